//! Signs answers when they are asked for (RFC 4035), and denies with names made for the question (RFC 9824).
//!
//! What is signed is what [`super::answer`] says, whichever wildcard it came from: for a validator the name that was asked
//! for exists. A name that does not exist is said to exist with no types; so one record denies, and nobody can walk the
//! zone. Signing takes tens of microseconds; [`Signed`] keeps what a thread has signed. Knows nothing of packets.

use std::collections::BTreeSet;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable};
use rustc_hash::FxHashMap;

use super::answer::{Answer, Share, answer};
use super::body::{Anchor, Body, wire};
use super::query;
use super::zones::Zones;
use crate::zone_key::{ALGORITHM, ZoneKey, ZoneKeys};

/// How long a signature holds, in seconds: two weeks outlast a long weekend with a wrong clock.
const VALID: u32 = 14 * 86_400;
/// How far a validator's clock may be behind, in seconds.
const SKEW: u32 = 3600;
/// How long a signature is handed out, in seconds; the rest is for caches.
const KEPT: u32 = 86_400;
/// Answers a thread keeps of names that exist, as many of those with weights, and of others: some megabytes at the most.
const ANSWERS: usize = 8192;
/// "There is no such name" among the types that a name has (RFC 9824 section 2).
const NO_NAME: u16 = 128;
/// The longest name in wire format.
const NAME_LIMIT: usize = 255;
/// The longest label.
const LABEL_LIMIT: usize = 63;

/// Signs what these zones hold, where they have keys.
#[derive(Debug)]
pub(super) struct Signing(pub(super) Arc<Zones>);

/// What one thread has signed.
#[derive(Debug, Default)]
pub(super) struct Signed {
    day: u32,
    existing: FxHashMap<Box<[u8]>, Arc<Body>>,
    /// One for each record of a set with weights: on their own, since one name has many.
    shares: FxHashMap<Box<[u8]>, Arc<Body>>,
    missing: FxHashMap<Box<[u8]>, Arc<Body>>,
}

impl Signed {
    /// Forgets everything: the zones have changed.
    pub(super) fn clear(&mut self) {
        self.existing.clear();
        self.shares.clear();
        self.missing.clear();
    }

    /// The signed answer to this question; `now` in seconds since 1970.
    pub(super) fn find(
        &mut self,
        signing: &Signing,
        (name, kind, share): (&query::Name, u16, Share),
        exists: bool,
        now: u32,
    ) -> Option<Arc<Body>> {
        if self.day != now / KEPT {
            self.day = now / KEPT;
            self.clear();
        }
        let (kept, at) = match (exists, share) {
            (true, Share::All) => (&mut self.existing, 0),
            (true, Share::One(at)) => (&mut self.shares, at),
            (false, _) => (&mut self.missing, 0),
        };
        // Types of a name that does not exist have one answer.
        let kind_of = if exists { kind } else { 0 };
        let mut key = [0; NAME_LIMIT + 4];
        let length = name.bytes().len();
        key[..length].copy_from_slice(name.bytes());
        key[length..length + 2].copy_from_slice(&kind_of.to_be_bytes());
        key[length + 2..length + 4].copy_from_slice(&at.to_be_bytes());
        let key = &key[..length + 4];
        if let Some(body) = kept.get(key) {
            return Some(body.clone());
        }
        if ANSWERS <= kept.len() {
            kept.clear();
        }
        let asked = Name::read(&mut BinDecoder::new(name.bytes())).ok()?;
        let answer = signing.answer(&asked, (RecordType::from(kind), share), now)?;
        let body = Arc::new(Body::new(&answer, &asked, Anchor::Same)?);
        kept.insert(key.into(), body.clone());
        Some(body)
    }
}

impl Signing {
    fn keys_of(&self, owner: &Name) -> Option<(&ZoneKeys, &Name)> {
        let zone = self.0.zone_of(&LowerName::new(owner))?;
        Some((self.0.keys_of(zone)?, &zone.soa.name))
    }

    /// What is to be said, with its signatures.
    fn answer(&self, asked: &Name, (kind, share): (RecordType, Share), now: u32) -> Option<Answer> {
        let mut answer = answer(&self.0, asked, kind, share);
        answer.additionals.clear();
        if let Some(start) = answer.authorities.first() {
            let denied = match answer.answers.last().map(|record| &record.data) {
                Some(RData::CNAME(target)) => target.0.clone(),
                _ => asked.clone(),
            };
            let denial = self.denial(&denied, kind, start)?;
            answer.authorities.push(denial);
            answer.code = ResponseCode::NoError;
        }
        self.sign(&mut answer.answers, None, now)?;
        let over = answer.authorities.first().map(|start| start.name.clone());
        self.sign(&mut answer.authorities, over.as_ref(), now)?;
        Some(answer)
    }

    /// What this name has, so that all else is denied.
    fn denial(&self, name: &Name, kind: RecordType, start: &Record) -> Option<Record> {
        let lower = LowerName::new(name);
        let zone = self.0.zone_at(&LowerName::new(&start.name))?;
        let mut types: BTreeSet<u16> = [RecordType::RRSIG, RecordType::NSEC].map(u16::from).into();
        let below = kind == RecordType::DS && lower != LowerName::new(&start.name);
        match (zone.matching(&lower), self.0.zone_at(&lower)) {
            // Seen from above, a zone is no more than its servers.
            (_, Some(_)) if below => drop(types.insert(u16::from(RecordType::NS))),
            (Some(sets), _) => types.extend(sets.keys().copied().map(u16::from)),
            (None, _) => drop(types.insert(NO_NAME)),
        }
        Some(nsec(name, next(name, &start.name)?, &types, start.ttl))
    }

    /// Puts a signature behind each set; by the zone over `over` where the name alone does not tell.
    fn sign(&self, records: &mut Vec<Record>, over: Option<&Name>, now: u32) -> Option<()> {
        let mut signed = Vec::new();
        for set in records.chunk_by(|a, b| a.name == b.name && a.record_type() == b.record_type()) {
            signed.extend(set.iter().cloned());
            let first = set.first()?;
            let Some((keys, apex)) = self.keys_of(over.unwrap_or(&first.name)) else { continue };
            signed.push(signature(set, (keys.keys.first()?, apex), now)?);
        }
        *records = signed;
        Some(())
    }
}

/// The name that follows next in the zone, in wire format, whether or not it is there (RFC 4471 section 3.1.1): the first one
/// below; where none is short enough, the first with more at its end, or with its last octet raised. Nothing is between them.
fn next(name: &Name, apex: &Name) -> Option<Vec<u8>> {
    let whole = wire(name)?;
    if whole.len() + 2 <= NAME_LIMIT {
        return Some([&[1, 0], whole.as_slice()].concat());
    }
    let mut length = whole.len();
    // Names are ordered as if they were written small, from the end.
    let mut labels: Vec<Vec<u8>> = name.to_lowercase().iter().rev().map(<[u8]>::to_vec).collect();
    let above = apex.iter().count();
    while above < labels.len() {
        let mut label = labels.pop()?;
        if length < NAME_LIMIT && label.len() < LABEL_LIMIT {
            label.push(0);
            labels.push(label);
            break;
        }
        let ends = label.iter().rev().take_while(|it| **it == u8::MAX).count();
        label.truncate(label.len() - ends);
        length -= ends;
        if let Some(last) = label.last_mut() {
            // What would come after `@` is `A`, which stands further back as `a`.
            *last = if *last == b'@' { b'[' } else { *last + 1 };
            labels.push(label);
            break;
        }
        // Nothing comes behind it here; what it is below takes its turn. After the last name of all comes the apex.
        length -= 1;
    }
    let labels =
        labels.iter().rev().flat_map(|label| [&[label.len() as u8], label.as_slice()].concat());
    Some(labels.chain([0]).collect())
}

/// What a name has, up to the next one in wire format (RFC 4034 section 4.1).
pub(super) fn nsec(owner: &Name, mut next: Vec<u8>, types: &BTreeSet<u16>, ttl: u32) -> Record {
    next.extend(bitmap(types));
    let data = RData::Unknown { code: RecordType::NSEC, rdata: NULL::with(next) };
    Record::from_rdata(owner.clone(), ttl, data)
}

/// The signature over one set (RFC 4034 section 3).
pub(super) fn signature(
    set: &[Record],
    (key, apex): (&ZoneKey, &Name),
    now: u32,
) -> Option<Record> {
    let first = set.first()?;
    let kind = u16::from(first.record_type());
    let mut data = kind.to_be_bytes().to_vec();
    data.extend([ALGORITHM, first.name.num_labels()]);
    data.extend(first.ttl.to_be_bytes());
    data.extend(now.wrapping_add(VALID).to_be_bytes());
    data.extend(now.wrapping_sub(SKEW).to_be_bytes());
    data.extend(key.tag().to_be_bytes());
    data.extend(wire(&apex.to_lowercase())?);

    let mut covered = data.clone();
    let owner = wire(&first.name.to_lowercase())?;
    let mut all = set.iter().map(canonical).collect::<Option<Vec<_>>>()?;
    all.sort();
    all.dedup();
    for one in all {
        covered.extend(&owner);
        covered.extend(kind.to_be_bytes());
        covered.extend(u16::from(first.dns_class).to_be_bytes());
        covered.extend(first.ttl.to_be_bytes());
        covered.extend(u16::try_from(one.len()).ok()?.to_be_bytes());
        covered.extend(one);
    }
    data.extend(key.sign(&covered)?);
    let data = RData::Unknown { code: RecordType::RRSIG, rdata: NULL::with(data) };
    Some(Record::from_rdata(first.name.clone(), first.ttl, data))
}

/// A record's data without compression and in lower case (RFC 4034 section 6.2).
fn canonical(record: &Record) -> Option<Vec<u8>> {
    match &record.data {
        RData::NS(server) => wire(&server.0.to_lowercase()),
        RData::CNAME(target) => wire(&target.0.to_lowercase()),
        RData::SRV(service) => {
            let numbers = [service.priority, service.weight, service.port];
            let mut data = numbers.map(u16::to_be_bytes).concat();
            data.extend(wire(&service.target.to_lowercase())?);
            Some(data)
        }
        RData::SOA(start) => {
            let mut data = wire(&start.mname.to_lowercase())?;
            data.extend(wire(&start.rname.to_lowercase())?);
            for number in [
                start.serial,
                start.refresh.cast_unsigned(),
                start.retry.cast_unsigned(),
                start.expire.cast_unsigned(),
                start.minimum,
            ] {
                data.extend(number.to_be_bytes());
            }
            Some(data)
        }
        other => other.to_bytes().ok(),
    }
}

/// Types as NSEC lists them (RFC 4034 section 4.1.2).
fn bitmap(types: &BTreeSet<u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let windows: BTreeSet<u8> = types.iter().map(|kind| kind.to_be_bytes()[0]).collect();
    for window in windows {
        let mut bits = [0; 32];
        let mut length = 0;
        for [high, low] in types.iter().map(|kind| kind.to_be_bytes()) {
            if high == window {
                let at = usize::from(low / 8);
                bits[at] |= 0x80 >> (low % 8);
                length = length.max(at + 1);
            }
        }
        bytes.extend([window, length as u8]);
        bytes.extend(&bits[..length]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name in `zone.`, of these labels; the first is long enough for so many octets in all.
    fn long(first: &[u8], octets: usize) -> Name {
        let mut labels = vec![];
        let mut left = octets - (1 + first.len()) - "zone..".len();
        while 0 < left {
            // No label may be empty.
            let length =
                if left == LABEL_LIMIT + 2 { LABEL_LIMIT - 1 } else { LABEL_LIMIT.min(left - 1) };
            labels.push(vec![b'x'; length]);
            left -= length + 1;
        }
        let labels = [vec![first.to_vec()], labels, vec![b"zone".to_vec()]].concat();
        let name = Name::from_labels(labels).expect("labels");
        assert_eq!(wire(&name).expect("a name").len(), octets);
        name
    }

    #[test]
    fn the_next_name_is_the_first_one_that_is_short_enough() {
        let apex = Name::from_ascii("zone.").expect("a name");
        let first = |name: &Name| {
            let next =
                Name::read(&mut BinDecoder::new(&next(name, &apex).expect("one"))).expect("a name");
            assert!(apex == next || name < &next, "{name} {next}");
            (
                next.iter().next().expect("a label").to_vec(),
                next.iter().count() - name.iter().count(),
            )
        };
        // There is room for a label below, and for it alone.
        assert_eq!(first(&long(b"a", 253)), (b"\0".to_vec(), 1));
        // For an octet more, unless the label is full.
        assert_eq!(first(&long(b"a", 254)), (b"a\0".to_vec(), 0));
        assert_eq!(first(&long(&[b'a'; 63], 254)), ([vec![b'a'; 62], vec![b'b']].concat(), 0));
        // For nothing.
        for (label, next) in [
            (b"ab".as_slice(), b"ac".as_slice()),
            (b"aZ", b"a{"),
            (b"a@", b"a["),
            (b"a`", b"aa"),
            (b"a\xff", b"b"),
            (b"@\xff\xff", b"["),
        ] {
            assert_eq!(first(&long(label, 255)), (next.to_vec(), 0), "{label:?}");
        }
    }

    #[test]
    fn after_the_last_name_below_another_comes_the_next_beside_it() {
        let apex = Name::from_ascii("zone.").expect("a name");
        let last = long(&[u8::MAX; 5], 255);
        let found =
            Name::read(&mut BinDecoder::new(&next(&last, &apex).expect("one"))).expect("a name");
        let labels: Vec<_> = last.iter().skip(2).collect();
        // The label that it was below is full, so its last octet is raised.
        let beside = [vec![b'x'; LABEL_LIMIT - 1], vec![b'y']].concat();
        assert_eq!(found.iter().next(), Some(beside.as_slice()));
        assert_eq!(found.iter().skip(1).collect::<Vec<_>>(), labels);

        let all = [vec![u8::MAX; 62], vec![u8::MAX; 61], vec![u8::MAX; 61], vec![u8::MAX; 61]];
        let all = [all.to_vec(), vec![b"zone".to_vec()]].concat();
        let all = Name::from_labels(all).expect("labels");
        assert_eq!(wire(&all).expect("a name").len(), 255);
        // No label can be longer, but the one below the apex: an octet more is for it.
        let found =
            Name::read(&mut BinDecoder::new(&next(&all, &apex).expect("one"))).expect("a name");
        assert_eq!(found.iter().next(), Some([vec![u8::MAX; 61], vec![0]].concat().as_slice()));
    }

    #[test]
    fn types_are_listed_as_in_rfc_4034() {
        // Section 4.3: A MX RRSIG NSEC TYPE1234.
        let mut expected = vec![0x00, 0x06, 0x40, 0x01, 0x00, 0x00, 0x00, 0x03, 0x04, 0x1b];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(bitmap(&[1, 15, 46, 47, 1234].into()), expected);
    }
}
