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
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, TSigner};

use super::attempt::{Attempt, fault};
use crate::config::{Credential, Credentials};

/// How far the clocks of signer and server may differ, in seconds (RFC 8945 section 10 recommends 300).
const FUDGE: u16 = 300;

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
    let (key, algorithm, secret) = match credentials.get(name) {
        Some(Credential::Key { name, algorithm, secret }) => (name, algorithm, secret),
        Some(Credential::Login { .. }) => {
            return Err(refused(format!(
                "credential `{name}` is a user and password, expected a TSIG key"
            )));
        }
        None => {
            return Err(refused(format!(
                "no credential `{name}` is held here; see `[credentials]` in agent.toml"
            )));
        }
    };
    let algorithm = match algorithm.trim_end_matches('.') {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        other => {
            return Err(refused(format!(
                "credential `{name}`: expected hmac-sha256, hmac-sha384 or hmac-sha512, \
                 found `{other}`"
            )));
        }
    };
    let key = absolute(key)
        .ok_or_else(|| refused(format!("credential `{name}`: `{key}` is no key name")))?;
    TSigner::new(secret.clone(), algorithm, key, FUDGE)
        .map_err(|error| refused(format!("credential `{name}` cannot sign: {error}")))
}

/// A name as typed, made absolute.
fn absolute(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).ok()
}
