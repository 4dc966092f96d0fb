//! Writes down whole zones, or what changed in them, for secondaries (RFC 5936, RFC 1995).

use hickory_proto::op::Message;
use hickory_proto::rr::{LowerName, RData, Record};

use super::body::{Anchor, Writer};
use super::copy::Whole;
use super::desk::head;
use super::journal::{Journal, records, serial};
use super::query::{Query, flag, kind};

/// Records of one message: compression reaches no further.
const PAGE: usize = 16 * 1024;
/// The messages that answer a request over a connection; none if there is no such zone.
pub(super) fn messages(
    journal: &Journal,
    signed: Option<&Whole>,
    packet: &[u8],
    query: &Query<'_>,
) -> Option<Vec<Vec<u8>>> {
    pages(query, &told(journal, signed, packet, query)?)
}

/// The name whose zone is asked for.
pub(super) fn apex(packet: &[u8]) -> Option<LowerName> {
    Some(LowerName::new(Message::from_vec(packet).ok()?.queries.first()?.name()))
}

/// What IXFR is answered in a datagram: which version there is to be had over a connection (RFC 1995 section 2).
pub(super) fn start(journal: &Journal, packet: &[u8], query: &Query<'_>) -> Option<Vec<Vec<u8>>> {
    let message = Message::from_vec(packet).ok()?;
    let zone = journal.zones.zone_at(&LowerName::new(message.queries.first()?.name()))?;
    pages(query, std::slice::from_ref(&zone.soa))
}

/// The records of the answer, in their order.
fn told(
    journal: &Journal,
    signed: Option<&Whole>,
    packet: &[u8],
    query: &Query<'_>,
) -> Option<Vec<Record>> {
    let message = Message::from_vec(packet).ok()?;
    let name = LowerName::new(message.queries.first()?.name());
    let zone = journal.zones.zone_at(&name)?;
    if journal.zones.is_signed(zone) && signed.is_none() {
        return None;
    }
    let start = signed.map_or(&zone.soa, |signed| &signed.start).clone();
    let whole = || {
        let mut all = vec![start.clone()];
        match signed {
            Some(signed) => all.extend(signed.records.iter().cloned()),
            None => all.extend(records(&journal.zones, zone)),
        }
        all.push(start.clone());
        all
    };
    match query.kind {
        kind::AXFR => Some(whole()),
        kind::IXFR => {
            let held = message.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(held) => Some(held.serial),
                _ => None,
            })?;
            // Serial arithmetic (RFC 1982): what is not older than ours needs nothing.
            if serial(&start).wrapping_sub(held).cast_signed() <= 0 {
                return Some(vec![start]);
            }
            let changes = journal.since(zone, held).filter(|_| signed.is_none());
            let Some(changes) = changes else { return Some(whole()) };
            let mut all = vec![start.clone()];
            for change in changes {
                all.push(change.old.clone());
                all.extend(change.removed.iter().cloned());
                all.push(change.new.clone());
                all.extend(change.added.iter().cloned());
            }
            all.push(start);
            Some(all)
        }
        _ => None,
    }
}

/// The records in as many messages as they need.
fn pages(query: &Query<'_>, records: &[Record]) -> Option<Vec<Vec<u8>>> {
    // The first is the start of authority, whose name was asked for.
    let name = &records.first()?.name;
    let mut messages = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let mut writer = Writer::new(name, Anchor::Same)?;
        let mut count: u16 = 0;
        while let Some((record, after)) = rest.split_first().filter(|_| writer.len() < PAGE) {
            writer.record(record)?;
            (count, rest) = (count.checked_add(1)?, after);
        }
        let mut message = Vec::new();
        head(&mut message, query.header, flag::AUTHORITATIVE, [1, count, 0, 0]);
        message.extend(query.question);
        message.extend(writer.into_bytes());
        messages.push(message);
    }
    Some(messages)
}
