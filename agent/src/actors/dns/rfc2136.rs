//! Publishes by dynamic update (RFC 2136), signed (RFC 8945): read the marker, compare, set, read back.

use consensus::model::{ActionFault, ActionFaultKind, Done, Held};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Record, RecordType, TSigner};

use super::link::Link;
use super::plan::{Plan, sorted};
use super::update::{Update, owned, question};
use crate::actors::attempt::Attempt;

/// How often a marker that moved between reading and setting is read again: another executor may hold the same token.
const TRIES: usize = 3;

pub(super) async fn publish(
    attempt: &mut Attempt,
    plan: &Plan,
    server: &str,
    zone: &str,
    signer: TSigner,
    wall_ms: fn() -> u64,
) -> Result<Done, ActionFault> {
    let mut link = Link::open(attempt, server, zone, signer, wall_ms).await?;
    let mut last = format!("saw `{}` change meanwhile", plan.marker_name);
    for _ in 0..TRIES {
        attempt.begin("reading the marker record")?;
        let old = link.read(&plan.marker_name, RecordType::TXT).await?;
        if plan.is_marked(&old)? && plan.matches(&held(plan, &mut link).await?) {
            return Ok(plan.done("says so already"));
        }
        let alias_now = !link.read(&plan.name, RecordType::CNAME).await?.is_empty();
        let update = Update {
            zone: &plan.zone,
            name: &plan.name,
            marker_name: &plan.marker_name,
            old: &old,
            new: &plan.marker,
            alias_now,
            records: &plan.records,
        };
        attempt.commit("updating the zone")?;
        let answer = link.exchange(update.message()).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError => {
                attempt.enter("reading the records back");
                match read_back(plan, &mut link).await? {
                    Ok(done) => return Ok(done),
                    // One server that takes one update at a time cannot come to that by our updates alone: an older one
                    // fails by its prerequisite, another of this token writes the same. So it was edited by hand, or
                    // more than one server answers at this address. Looking again is safe: it writes only under the
                    // marker that it reads.
                    Err(found) => last = format!("took the update, but holds {found}"),
                }
            }
            ResponseCode::NXRRSet | ResponseCode::YXRRSet | ResponseCode::YXDomain
                if plan.is_alias()
                    && !alias_now
                    && marker_stands(plan, &mut link, &old).await? =>
            {
                return Err(link.refused(format!(
                    "holds other records at `{}`; no CNAME can stand beside them",
                    plan.name
                )));
            }
            ResponseCode::NXRRSet | ResponseCode::YXRRSet | ResponseCode::YXDomain => {}
            code => return Err(no(&link, plan, code)),
        }
    }
    Err(plan.unclear(format!("{last}, in {TRIES} tries")))
}

/// What the server holds, as against what was decided.
pub(super) async fn inspect(
    attempt: &Attempt,
    plan: &Plan,
    server: &str,
    zone: &str,
    signer: TSigner,
    wall_ms: fn() -> u64,
) -> Result<Held, ActionFault> {
    let mut link = Link::open(attempt, server, zone, signer, wall_ms).await?;
    let records = held(plan, &mut link).await?;
    let marker = link.read(&plan.marker_name, RecordType::TXT).await?;
    plan.judge(&records, &marker)
}

/// Why the server would not take a change of the name's marker from this key, if that is sure; changes nothing.
pub(super) async fn would_refuse(
    attempt: &Attempt,
    plan: &Plan,
    server: &str,
    zone: &str,
    signer: TSigner,
    wall_ms: fn() -> u64,
) -> Result<Option<String>, ActionFault> {
    let mut link = Link::open(attempt, server, zone, signer, wall_ms).await?;
    let refused = match link.exchange(question(&plan.zone, &plan.marker_name)).await {
        Ok(answer) => match answer.metadata.response_code {
            ResponseCode::NoError => return Ok(None),
            code => no(&link, plan, code),
        },
        Err(fault) => fault,
    };
    match refused.kind {
        ActionFaultKind::Refused => Ok(Some(refused.text)),
        _ => Err(refused),
    }
}

/// What the server holds at the name, of every type that is ours to replace.
async fn held(plan: &Plan, link: &mut Link<'_>) -> Result<Vec<Record>, ActionFault> {
    let mut held = Vec::new();
    for kind in owned(&plan.records) {
        held.extend(link.read(&plan.name, kind).await?);
    }
    Ok(held)
}

/// Is the marker still the one that was read? Then another prerequisite failed.
async fn marker_stands(
    plan: &Plan,
    link: &mut Link<'_>,
    old: &[Record],
) -> Result<bool, ActionFault> {
    let now = link.read(&plan.marker_name, RecordType::TXT).await?;
    Ok(sorted(&now, RecordType::TXT) == sorted(old, RecordType::TXT))
}

/// Is it as we wrote it? Else what is there, in words. The marker is read last: if it still is ours, nobody wrote while the
/// records were read.
async fn read_back(plan: &Plan, link: &mut Link<'_>) -> Result<Result<Done, String>, ActionFault> {
    let held = held(plan, link).await?;
    let marker = link.read(&plan.marker_name, RecordType::TXT).await?;
    if plan.is_marked(&marker)? && plan.matches(&held) {
        return Ok(Ok(plan.done("updated")));
    }
    let found: Vec<_> = held.iter().chain(&marker).map(|it| it.data.to_string()).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    Ok(Err(format!("{found} for `{}`", plan.name)))
}

/// Words a refused update (RFC 2136 section 2.2).
fn no(link: &Link<'_>, plan: &Plan, code: ResponseCode) -> ActionFault {
    let zone = &plan.zone;
    match code {
        ResponseCode::Refused => link.refused(format!(
            "refuses to update `{}`: grant the key A, AAAA, CNAME and TXT of `{}` and `{}` \
             (BIND: `update-policy`)",
            zone, plan.name, plan.marker_name
        )),
        ResponseCode::NotAuth => link.refused(format!("does not serve zone `{zone}`")),
        ResponseCode::NotZone => {
            link.refused(format!("says that `{}` does not lie in zone `{zone}`", plan.name))
        }
        ResponseCode::NotImp => link.refused("takes no dynamic updates".to_owned()),
        ResponseCode::FormErr => link.refused("does not understand the update".to_owned()),
        code => link.unclear(format!("answers {code} to an update of `{zone}`")),
    }
}
