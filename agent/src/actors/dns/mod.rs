//! What is done to DNS that others serve.
//!
//! Every driver compares and sets: beside the records of a name stands a marker with the token that wrote them, and a
//! change is made only if the marker still is what was read (PROTOCOL.md D.3). No driver ever sends an empty set.

mod link;
mod marker;
mod rfc2136;
mod update;

use consensus::model::{
    ActionFault, ActionFaultKind, AppId, CredentialId, Done, Driver, RecordSet, StackId, Token,
};
use hickory_proto::rr::TSigner;

use super::attempt::{Attempt, fault};
use crate::config::Credentials;
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
    }
}

/// Finds the key that a record names.
fn signer(credentials: &Credentials, name: &CredentialId) -> Result<TSigner, ActionFault> {
    let refused = |why: String| fault(ActionFaultKind::Refused, why);
    let Some(credential) = credentials.get(name) else {
        return Err(refused(format!(
            "no credential `{name}` is held here; see `[credentials]` in agent.toml"
        )));
    };
    records::signer(credential).map_err(|why| refused(format!("credential `{name}` {why}")))
}
