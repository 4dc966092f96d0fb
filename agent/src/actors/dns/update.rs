//! Builds the one message that changes a name's records: prerequisites, deletions, additions, all or nothing (RFC 2136).

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::marker::Marker;

/// How long the marker may be cached, in seconds (PROTOCOL.md D.3), where whoever holds the zone takes so little; only agents
/// read it, and never from a cache.
const MARKER_TTL: u32 = 30;
/// What must not stand beside an alias: a server would drop the alias without a word (RFC 2136 section 3.4.2.2), and
/// the name would be left empty.
const RIVALS: [RecordType; 8] = [
    RecordType::TXT,
    RecordType::MX,
    RecordType::NS,
    RecordType::SRV,
    RecordType::CAA,
    RecordType::HTTPS,
    RecordType::SVCB,
    RecordType::SOA,
];

/// The text that no marker has and nobody writes: taking it away changes nothing.
pub(super) const NEVER: &str = "may this be changed?";

/// What is to become of a name.
pub(super) struct Update<'a> {
    pub(super) zone: &'a Name,
    pub(super) name: &'a Name,
    pub(super) marker_name: &'a Name,
    /// The markers as they were read: one, or none before the first update.
    pub(super) old: &'a [Record],
    pub(super) new: &'a Marker,
    /// Is the name an alias now?
    pub(super) alias_now: bool,
    /// Every record of the name.
    pub(super) records: &'a [Record],
}

impl Update<'_> {
    /// The message, not signed yet.
    pub(super) fn message(&self) -> Message {
        let mut message = begun(self.zone);
        // The prerequisite section shares its place with a query's answers, the update section with its authorities.
        if self.old.is_empty() {
            message.add_answer(bare(self.marker_name, RecordType::TXT, DNSClass::NONE));
        }
        for old in self.old {
            message.add_answer(Record::from_rdata(self.marker_name.clone(), 0, old.data.clone()));
        }
        let to_alias = self.records.iter().any(|r| r.record_type() == RecordType::CNAME);
        match (to_alias, self.alias_now) {
            (true, true) => {
                message.add_answer(bare(self.name, RecordType::CNAME, DNSClass::ANY));
            }
            (true, false) => {
                let rivals = RIVALS.map(|kind| bare(self.name, kind, DNSClass::NONE));
                message.add_answers(rivals);
            }
            (false, _) => {}
        }

        for kind in owned(self.records) {
            message.add_authority(bare(self.name, kind, DNSClass::ANY));
        }
        message.add_authority(bare(self.marker_name, RecordType::TXT, DNSClass::ANY));
        message.add_authorities(self.records.iter().cloned());
        message.add_authority(marker_record(self.marker_name, self.new, 0));
        message
    }
}

/// An update of this zone that asks for nothing yet (RFC 2136 section 2.3).
fn begun(zone: &Name) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    let mut query = Query::query(zone.clone(), RecordType::SOA);
    query.set_query_class(DNSClass::IN);
    message.add_query(query);
    message
}

/// Would the zone be changed for us? Takes away a record that was never there, so that it changes nothing (RFC 2136 sections
/// 2.5.4 and 3.4.2.4), at a name that is ours to change.
pub(super) fn question(zone: &Name, marker_name: &Name) -> Message {
    let mut message = begun(zone);
    let never = RData::TXT(TXT::new(vec![NEVER.to_owned()]));
    let mut gone = Record::from_rdata(marker_name.clone(), 0, never);
    gone.dns_class = DNSClass::NONE;
    message.add_authority(gone);
    message
}

/// A marker, as it stands in the zone of one that takes no lifetime below so many seconds.
pub(super) fn marker_record(name: &Name, marker: &Marker, least: u32) -> Record {
    let text = RData::TXT(TXT::new(vec![marker.to_string()]));
    Record::from_rdata(name.clone(), MARKER_TTL.max(least), text)
}

/// The types that are replaced. Addresses and aliases are one matter: an AAAA left behind would keep half the clients on the
/// old stack. Text is somebody else's unless the app publishes some.
pub(super) fn owned(records: &[Record]) -> Vec<RecordType> {
    let ways = [RecordType::A, RecordType::AAAA, RecordType::CNAME];
    let publishes = |kind: RecordType| records.iter().any(|r| r.record_type() == kind);
    let mut kinds = Vec::new();
    if ways.into_iter().any(publishes) {
        kinds.extend(ways);
    }
    let others = [RecordType::TXT, RecordType::SRV, RecordType::CAA, RecordType::HTTPS];
    kinds.extend(others.into_iter().filter(|kind| publishes(*kind)));
    kinds
}

/// A record without data: in prerequisites "there is none" or "there is some", in updates "delete the set".
fn bare(name: &Name, kind: RecordType, class: DNSClass) -> Record {
    let mut record = Record::update0(name.clone(), 0, kind);
    record.dns_class = class;
    record
}
