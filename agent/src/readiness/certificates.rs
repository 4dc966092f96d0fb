//! Is the certificate of each endpoint that names are answered with valid for those names, and for how much longer?
//!
//! A look as the probes take it, but for the name that clients ask by. Knows nothing of what is made of it.

use std::time::Duration;

use consensus::model::{
    Definition, Endpoint, Fault, FaultKind, RecordData, Scheme, Stack, StackId, TargetName,
};
use futures_util::{StreamExt, stream};
use probe::Means;

use crate::identity::validity_of;

/// How long a server may take to show its certificate.
const LIMIT: Duration = Duration::from_secs(4);
/// So many are asked at a time.
const AT_ONCE: usize = 8;
/// Whoever renews by itself does so when a third is left (90 days, and 30 before their end). A certificate with less than a
/// tenth left has been forgotten; in seconds, of long ones no more than this.
const NEAR: u64 = 14 * 86_400;

/// What an endpoint showed to whoever asked by a name.
pub(crate) struct Shown {
    pub(crate) stack: StackId,
    pub(crate) endpoint: TargetName,
    pub(crate) name: String,
    pub(crate) certificate: Certificate,
}

/// How its certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// Valid until then, in seconds since 1970.
    Valid(u64),
    /// The same, and that is soon.
    Ending(u64),
    /// Clients would not take it.
    Wrong(Fault),
    /// None was shown, or this agent could not look.
    Unseen(Fault),
}

/// Looks at every stack's endpoints by every name that leads there; `now` in seconds since 1970.
pub(crate) async fn look(definition: &Definition, means: &Means, now: u64) -> Vec<Shown> {
    let mut all = Vec::new();
    for stack in &definition.stacks {
        for (name, endpoint) in public_names(definition, stack) {
            let asked = Endpoint { host: Some(name.to_owned()), ..endpoint.clone() };
            let (stack, means) = (stack.name.clone(), means.clone());
            all.push(async move { shown(stack, asked, &means, now).await });
        }
    }
    stream::iter(all).buffered(AT_ONCE).collect().await
}

async fn shown(stack: StackId, asked: Endpoint, means: &Means, now: u64) -> Shown {
    let certificate = match probe::certificate(&asked, LIMIT, means).await {
        Ok(der) => valid(validity_of(&der), now),
        Err(fault) if matches!(fault.kind, FaultKind::Certificate | FaultKind::Tls) => {
            Certificate::Wrong(fault)
        }
        Err(fault) => Certificate::Unseen(fault),
    };
    let name = asked.host.unwrap_or_default();
    Shown { stack, endpoint: asked.name, name, certificate }
}

/// One that the handshake took; its validity is read again for its end alone.
fn valid(validity: Option<(u64, u64)>, now: u64) -> Certificate {
    let (begins, ends) = validity.unwrap_or((now, u64::MAX));
    let near = NEAR.min(ends.saturating_sub(begins) / 10);
    match ends.saturating_sub(now) < near {
        true => Certificate::Ending(ends),
        false => Certificate::Valid(ends),
    }
}

/// The names that lead clients to an endpoint which speaks TLS, by the addresses and names that records hold.
fn public_names<'a>(
    definition: &'a Definition,
    stack: &'a Stack,
) -> impl Iterator<Item = (&'a str, &'a Endpoint)> {
    let endpoints = stack.endpoints.iter().filter(|it| it.scheme == Scheme::Https);
    endpoints.flat_map(move |endpoint| {
        let leads = |data: &RecordData| match data {
            RecordData::Address(address) => endpoint.address.parse() == Ok(*address),
            // Clients of a binding expect a certificate of the name that they asked for, not of its target (RFC 9460 section 9.1).
            RecordData::Name(name) | RecordData::Binding { target: name, .. } => {
                endpoint.address.eq_ignore_ascii_case(name)
            }
            RecordData::Text(_) | RecordData::Service { .. } | RecordData::Authorization { .. } => {
                false
            }
        };
        let records = definition.records.iter().filter(move |record| {
            let held = record.values.get(&stack.name);
            // A wildcard is no name that a client would ask by.
            !record.name.starts_with('*') && held.is_some_and(|held| held.iter().any(leads))
        });
        records.map(move |record| (record.name.as_str(), endpoint))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_near_when_a_tenth_is_left_and_two_weeks_at_most() {
        const DAY: u64 = 86_400;
        let now = 20_000 * DAY;
        // For how many days it is issued, and how many are left.
        for (whole, left, near) in [
            (90, 10, false),
            (90, 8, true),
            (6, 1, false),
            (7, 0, true),
            (3650, 15, false),
            (3650, 13, true),
        ] {
            let ends = now + left * DAY;
            let found = valid(Some((ends - whole * DAY, ends)), now);
            let wanted = if near { Certificate::Ending(ends) } else { Certificate::Valid(ends) };
            assert_eq!(found, wanted, "{left} of {whole} days");
        }
        assert_eq!(valid(None, now), Certificate::Valid(u64::MAX));
    }
}
