//! Turns a name and a type into what is to be said: the meaning of the zones.
//!
//! Pure. Follows aliases within our zones, expands wildcards (RFC 4592), says what is not there with the start of
//! authority (RFC 2308), and never answers for a name that is not ours. It is asked for every name, type and share when
//! [`super::table`] is built, not once a query. Knows nothing of packets, sizes or how fresh the zones are.

use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::HINFO;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use super::zones::{Zone, Zones};

/// How many aliases are followed: real chains have one or two, and a loop must end.
pub(super) const HOPS: usize = 8;
/// How long the answer to ANY may be cached, in seconds: it never changes.
const ANY_TTL: u32 = 3600;

/// What is said of a set with weights; any other is said whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All that weigh anything.
    All,
    /// This one record.
    One(u16),
}

/// What is to be said.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    /// Of a set with weights: which record's turn it is, one after the other.
    pub(super) order: Option<Arc<[u16]>>,
}

impl Answer {
    /// Nothing but a code.
    fn bare(code: ResponseCode) -> Self {
        let none = Vec::new;
        Self {
            code,
            authoritative: false,
            answers: none(),
            authorities: none(),
            additionals: none(),
            order: None,
        }
    }

    /// Says that it is not there: the code, and until when that holds.
    fn negative(mut self, code: ResponseCode, zone: &Zone) -> Self {
        self.code = code;
        self.authorities.push(zone.soa.clone());
        self
    }
}

/// The answer to a question of class IN; of a set with weights, wherever aliases lead to it, this share.
pub(super) fn answer(zones: &Zones, asked: &Name, kind: RecordType, share: Share) -> Answer {
    let mut name = LowerName::new(asked);
    let Some(mut zone) = zones.zone_of(&name) else {
        return Answer::bare(ResponseCode::Refused);
    };
    let mut answer = Answer { authoritative: true, ..Answer::bare(ResponseCode::NoError) };
    // Of a zone's keys the zone above speaks (RFC 4035 section 3.1.4.1).
    if kind == RecordType::DS
        && LowerName::new(&zone.soa.name) == name
        && let Some(above) = zones.above(zone)
    {
        if zone.delegation.is_empty() || !zones.is_signed(above) {
            return answer.negative(ResponseCode::NoError, above);
        }
        answer.answers.extend(zone.delegation.iter().map(|record| respelt(record, asked)));
        return answer;
    }
    let mut spelt = asked.clone();
    for _ in 0..=HOPS {
        let Some(sets) = zone.matching(&name) else {
            return answer.negative(ResponseCode::NXDomain, zone);
        };
        if let Some(records) = sets.get(&kind) {
            answer.order = zones.order(records);
            let said = match (share, &answer.order) {
                (Share::One(at), Some(_)) => records.get(usize::from(at)..=usize::from(at)),
                (Share::One(_), None) | (Share::All, _) => None,
            };
            let said = said.unwrap_or(records);
            answer.answers.extend(said.iter().map(|record| respelt(record, &spelt)));
            answer.additionals = glue(zones, said);
            return answer;
        }
        match sets.get(&RecordType::CNAME).and_then(|records| records.first()) {
            None if kind == RecordType::ANY && !sets.is_empty() => {
                answer.answers.push(any(&spelt));
                return answer;
            }
            None => return answer.negative(ResponseCode::NoError, zone),
            Some(alias) => {
                answer.answers.push(respelt(alias, &spelt));
                let RData::CNAME(target) = &alias.data else { return answer };
                if kind == RecordType::ANY {
                    return answer;
                }
                spelt = target.0.clone();
                name = LowerName::new(&spelt);
                match zones.zone_of(&name) {
                    Some(next) => zone = next,
                    None => return answer,
                }
            }
        }
    }
    // A loop: what was followed is true, and no resolver goes round for ever.
    answer
}

/// The types that a name holds, or that the end of its aliases does.
pub(super) fn kinds(zones: &Zones, asked: &Name) -> Vec<RecordType> {
    let mut name = LowerName::new(asked);
    let mut kinds = Vec::new();
    for _ in 0..=HOPS {
        let Some(sets) = zones.zone_of(&name).and_then(|zone| zone.matching(&name)) else { break };
        if zones.zone_at(&name).is_some_and(|zone| zones.above(zone).is_some()) {
            kinds.push(RecordType::DS);
        }
        for kind in sets.keys() {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        let alias = sets.get(&RecordType::CNAME).and_then(|records| records.first());
        match alias.map(|alias| &alias.data) {
            Some(RData::CNAME(target)) => name = LowerName::new(&target.0),
            _ => break,
        }
    }
    kinds
}

fn respelt(record: &Record, name: &Name) -> Record {
    let mut record = record.clone();
    record.name = name.clone();
    record
}

/// The least that answers ANY truthfully (RFC 8482 section 4.2).
fn any(name: &Name) -> Record {
    let hint = HINFO::new("RFC8482".to_owned(), String::new());
    Record::from_rdata(name.clone(), ANY_TTL, RData::HINFO(hint))
}

/// The addresses of servers that have names within our zones.
fn glue(zones: &Zones, records: &[Record]) -> Vec<Record> {
    let mut found = Vec::new();
    for record in records {
        let server = match &record.data {
            RData::NS(server) => &server.0,
            RData::SRV(service) => &service.target,
            _ => continue,
        };
        let name = LowerName::new(server);
        let Some(sets) = zones.zone_of(&name).and_then(|zone| zone.matching(&name)) else {
            continue;
        };
        for kind in [RecordType::A, RecordType::AAAA] {
            let addresses = sets.get(&kind).into_iter().flatten();
            found.extend(addresses.map(|record| respelt(record, server)));
        }
    }
    found
}
