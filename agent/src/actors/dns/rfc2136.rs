//! Publishes by dynamic update (RFC 2136), signed (RFC 8945): read the marker, compare, set, read back.

use consensus::model::{ActionFault, ActionFaultKind, Done, RecordSet};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType, TSigner};

use super::Order;
use super::link::Link;
use super::marker::Marker;
use super::update::{Update, owned};
use crate::actors::attempt::{Attempt, fault};
use crate::records::{absolute, rdata};

/// How often a marker that moved between reading and setting is read again: another executor may hold the same token.
const TRIES: usize = 3;

/// The names and records of an order, parsed.
struct Plan {
    zone: Name,
    name: Name,
    marker_name: Name,
    marker: Marker,
    records: Vec<Record>,
}

pub(super) async fn publish(
    attempt: &mut Attempt,
    order: &Order<'_>,
    server: &str,
    zone: &str,
    signer: TSigner,
) -> Result<Done, ActionFault> {
    let plan = Plan::new(order, zone)?;
    let mut link = Link::open(attempt, server, zone, signer, order.wall_ms).await?;
    for _ in 0..TRIES {
        attempt.begin("reading the marker record")?;
        let old = link.read(&plan.marker_name, RecordType::TXT).await?;
        let held = plan.compare(&link, &old)?;
        if held.as_ref() == Some(&plan.marker) && plan.matches(&mut link).await? {
            return Ok(done(&plan, "says so already"));
        }
        let alias_now = !link.read(&plan.name, RecordType::CNAME).await?.is_empty();
        let update = Update {
            zone: &plan.zone,
            name: &plan.name,
            marker_name: &plan.marker_name,
            old: old.first().map(|record| &record.data),
            new: &plan.marker,
            alias_now,
            records: &plan.records,
        };
        attempt.commit("updating the zone")?;
        let answer = link.exchange(update.message()).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError => {
                attempt.enter("reading the records back");
                return plan.read_back(&mut link).await;
            }
            ResponseCode::NXRRSet | ResponseCode::YXRRSet | ResponseCode::YXDomain
                if plan.is_alias() && !alias_now && plan.marker_stands(&mut link, &old).await? =>
            {
                return Err(link.refused(format!(
                    "holds other records at `{}`; no CNAME can stand beside them",
                    plan.name
                )));
            }
            ResponseCode::NXRRSet | ResponseCode::YXRRSet | ResponseCode::YXDomain => {}
            code => return Err(no(&link, &plan, code)),
        }
    }
    Err(link.unclear(format!("saw `{}` change {TRIES} times meanwhile", plan.marker_name)))
}

impl Plan {
    fn new(order: &Order<'_>, zone: &str) -> Result<Self, ActionFault> {
        let refused = |why: String| fault(ActionFaultKind::Refused, why);
        let no_name = |name: &str| refused(format!("`{name}` is no DNS name"));
        let name = absolute(order.name).ok_or_else(|| no_name(order.name))?;
        let zone_name = absolute(zone).ok_or_else(|| no_name(zone))?;
        if !zone_name.zone_of(&name) {
            return Err(refused(format!("`{}` does not lie in zone `{zone}`", order.name)));
        }
        let marker_name = name
            .prepend_label("_quorate")
            .map_err(|_| refused(format!("`{}` is too long for a marker below it", order.name)))?;
        let mut records = Vec::new();
        for set in order.sets {
            let found = records_of(&name, set).filter(|found| !found.is_empty());
            records.extend(found.ok_or_else(|| {
                refused(format!("the {} set of `{}` is empty or mistyped", set.kind, order.name))
            })?);
        }
        if records.is_empty() {
            return Err(refused(format!("no records for `{}`; none are never sent", order.name)));
        }
        let marker =
            Marker { app: order.app.clone(), token: order.token, stack: order.stack.clone() };
        Ok(Self { zone: zone_name, name, marker_name, marker, records })
    }

    fn is_alias(&self) -> bool {
        self.records.iter().any(|record| record.record_type() == RecordType::CNAME)
    }

    /// May we write over what is there? Gives the marker found.
    fn compare(&self, link: &Link<'_>, old: &[Record]) -> Result<Option<Marker>, ActionFault> {
        let (text, more) = match old {
            [] => return Ok(None),
            [only] => (text_of(&only.data), false),
            [first, ..] => (text_of(&first.data), true),
        };
        match Marker::parse(&text).filter(|_| !more) {
            None => Err(link.refused(format!(
                "holds `{text}` at `{}`, which no quorate agent wrote",
                self.marker_name
            ))),
            Some(held) if held.app != self.marker.app => Err(link.refused(format!(
                "holds `{}` for app {}; remove `{}` if that is over",
                self.name, held.app, self.marker_name
            ))),
            Some(held) if self.marker.token < held.token => Err(fault(
                ActionFaultKind::Superseded,
                format!(
                    "`{}` carries the newer token {}, of stack {}",
                    self.marker_name, held.token, held.stack
                ),
            )),
            Some(held) => Ok(Some(held)),
        }
    }

    /// Does the server hold exactly our records, of every type that is ours to replace?
    async fn matches(&self, link: &mut Link<'_>) -> Result<bool, ActionFault> {
        for kind in owned(&self.records) {
            let held = sorted(&link.read(&self.name, kind).await?, kind);
            if held != sorted(&self.records, kind) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Is the marker still the one that was read? Then another prerequisite failed.
    async fn marker_stands(
        &self,
        link: &mut Link<'_>,
        old: &[Record],
    ) -> Result<bool, ActionFault> {
        let now = link.read(&self.marker_name, RecordType::TXT).await?;
        Ok(sorted(&now, RecordType::TXT) == sorted(old, RecordType::TXT))
    }

    /// Is it as we wrote it? The marker is read last: if it still is ours, nobody wrote while the records were read.
    async fn read_back(&self, link: &mut Link<'_>) -> Result<Done, ActionFault> {
        let holds = self.matches(link).await?;
        let marker = link.read(&self.marker_name, RecordType::TXT).await?;
        let held = self.compare(link, &marker)?;
        match holds && held.as_ref() == Some(&self.marker) {
            true => Ok(done(self, "updated")),
            false => {
                Err(link.unclear(format!("took the update, but `{}` does not hold it", self.name)))
            }
        }
    }
}

fn done(plan: &Plan, what: &str) -> Done {
    let records: Vec<_> = plan.records.iter().map(|record| record.data.to_string()).collect();
    let text = format!("{what}: {} {}", plan.name, records.join(" "));
    Done { proven: true, position: None, text }
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

fn records_of(name: &Name, set: &RecordSet) -> Option<Vec<Record>> {
    set.data
        .iter()
        .map(|data| Some(Record::from_rdata(name.clone(), set.ttl, rdata(set.kind, data)?)))
        .collect()
}

/// The records of one type as they compare: by lifetime and data, in no particular order, each once.
fn sorted(records: &[Record], kind: RecordType) -> Vec<(u32, String)> {
    let data = |data: &RData| match data {
        RData::CNAME(alias) => alias.0.to_lowercase().to_ascii(),
        other => other.to_string(),
    };
    let ours = records.iter().filter(|record| record.record_type() == kind);
    let mut found: Vec<_> = ours.map(|record| (record.ttl, data(&record.data))).collect();
    found.sort();
    found.dedup();
    found
}

fn text_of(data: &RData) -> String {
    match data {
        RData::TXT(text) => {
            text.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()
        }
        _ => String::new(),
    }
}
