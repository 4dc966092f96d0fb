//! What is done to DNS that others serve.
//!
//! Beside the records of a name stands a marker with the token that wrote them. Whoever can make a change depend on the
//! marker that was read does; where the provider cannot, the marker is compared before and after (PROTOCOL.md D.3). No
//! driver ever sends an empty set.

mod api;
mod cloudflare;
mod digitalocean;
mod google;
mod link;
mod marker;
mod plan;
mod powerdns;
mod provider;
mod rfc2136;
mod route53;
mod sigv4;
mod update;
mod webhook;

use consensus::model::{
    ActionFault, ActionFaultKind, AppId, CredentialId, Done, Driver, RecordSet, StackId, Token,
};
use hickory_proto::rr::TSigner;

use self::provider::Account;
use super::attempt::{Attempt, fault};
use crate::config::{Credential, Credentials};
use crate::records;

/// A name's records, as the decision has them.
pub(super) struct Order<'a> {
    pub(super) app: &'a AppId,
    pub(super) token: Token,
    pub(super) name: &'a str,
    pub(super) sets: &'a [RecordSet],
    pub(super) stack: &'a StackId,
    pub(super) credentials: &'a Credentials,
    pub(super) wall_ms: fn() -> u64,
}

/// Makes the outside's DNS say what the order says.
pub(super) async fn publish(
    attempt: &mut Attempt,
    order: &Order<'_>,
    driver: &Driver,
) -> Result<Done, ActionFault> {
    match driver {
        Driver::BuiltIn => Err(fault(
            ActionFaultKind::Refused,
            "the built-in server needs no action: the decision is its answer",
        )),
        Driver::Rfc2136 { server, zone, credential } => {
            let signer = signer(order.credentials, credential)?;
            rfc2136::publish(attempt, order, server, zone, signer).await
        }
        Driver::Provider { provider, url, zone, zone_id, credential } => {
            let (access_key, token) = provider::secret(held(order.credentials, credential)?)
                .map_err(|why| refused(format!("credential `{credential}` {why}")))?;
            let account = Account {
                provider: *provider,
                url: url.as_deref(),
                zone,
                zone_id: zone_id.as_deref(),
                access_key,
                token,
            };
            provider::publish(attempt, order, &account).await
        }
    }
}

/// Finds the key that a record names.
fn signer(credentials: &Credentials, name: &CredentialId) -> Result<TSigner, ActionFault> {
    records::signer(held(credentials, name)?)
        .map_err(|why| refused(format!("credential `{name}` {why}")))
}

fn held<'a>(
    credentials: &'a Credentials,
    name: &CredentialId,
) -> Result<&'a Credential, ActionFault> {
    credentials.get(name).ok_or_else(|| {
        refused(format!("no credential `{name}` is held here; see `[credentials]` in agent.toml"))
    })
}

fn refused(why: String) -> ActionFault {
    fault(ActionFaultKind::Refused, why)
}
