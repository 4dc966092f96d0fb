//! Turns a signed zone into the copy that its secondaries hold: every set with its signature (RFC 4035 section 2.2) and a
//! chain of denials over every name (RFC 4034 section 4).
//!
//! Copies deny what is not there by their chain, as they hold no key; who asks one can walk it. Sets with weights stand in
//! it whole. A signature is kept for the day of the zone's version ([`super::zones`]) and as long as its set stays, so
//! that a move costs what it moved. Knows nothing of packets and of who may have it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use hickory_proto::rr::{LowerName, Name, Record, RecordType};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::body::wire;
use super::journal::{Journal, delegations, serial};
use super::signing::{nsec, signature};
use super::zones::{Zone, Zones};
use crate::zone_key::ZoneKey;

/// A zone as it is handed to secondaries: complete but for its start of authority, which stands before and after it.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) start: Record,
    pub(super) records: Arc<Vec<Record>>,
}

/// What was signed for secondaries, by zone; one at a time is made.
#[derive(Debug, Default)]
pub(super) struct Copies(Arc<Mutex<HashMap<LowerName, Kept>>>);

#[derive(Debug)]
struct Kept {
    whole: Whole,
    day: u32,
    signatures: Signatures,
}

type Signatures = HashMap<(LowerName, u16), (Vec<Record>, Record)>;

impl Copies {
    /// The copy of a signed zone, made now if none of this version is kept; `now` in seconds since 1970.
    ///
    /// `None` if there is no such zone, it is not signed, or it cannot be. Signs on a thread for such work, one zone after
    /// the other however many ask: ten thousand names take a second.
    pub(super) async fn whole(
        &self,
        journal: Arc<Journal>,
        apex: LowerName,
        now: u32,
    ) -> Option<Whole> {
        let zones = journal.zones.clone();
        zones.zone_at(&apex).filter(|zone| zones.is_signed(zone))?;
        let mut kept = self.0.clone().lock_owned().await;
        let making = spawn_blocking(move || {
            let zone = zones.zone_at(&apex)?;
            let before = kept.remove(&apex);
            let next = match before {
                Some(before) if serial(&before.whole.start) == serial(&zone.soa) => before,
                before => make(&zones, zone, before, now)?,
            };
            let whole = next.whole.clone();
            kept.insert(apex, next);
            Some(whole)
        });
        making.await.ok()?
    }
}

/// What one name holds in the copy.
#[derive(Default)]
struct Held {
    name: Name,
    types: BTreeSet<u16>,
    signed: Vec<Vec<Record>>,
}

fn make(zones: &Zones, zone: &Zone, before: Option<Kept>, now: u32) -> Option<Kept> {
    let key = zones.keys_of(zone)?.keys.first()?;
    let before = before.filter(|before| before.day == zones.day);
    let before = before.map(|before| before.signatures).unwrap_or_default();
    let mut signer = Signer { before, signatures: Signatures::new(), key, zone, now };

    let (names, mut records) = names(zones, zone);
    let apex = &zone.soa.name;
    let next = names.values().skip(1).map(|held| &held.name).chain([apex]);
    for (held, next) in names.values().zip(next) {
        for set in &held.signed {
            let start = set.first()?.record_type() == RecordType::SOA;
            records.extend(set.iter().filter(|_| !start).cloned());
            records.push(signer.sign(set)?);
        }
        let mut types = held.types.clone();
        types.extend([RecordType::RRSIG, RecordType::NSEC].map(u16::from));
        let denial = nsec(&held.name, wire(&next.to_lowercase())?, &types, zone.soa.ttl);
        records.push(denial.clone());
        records.push(signer.sign(&[denial])?);
    }
    let whole = Whole { start: zone.soa.clone(), records: Arc::new(records) };
    Some(Kept { whole, day: zones.day, signatures: signer.signatures })
}

/// Every name the zone speaks for, in canonical order (RFC 4034 section 6.1), and what is only handed on: the servers of
/// zones below it and their addresses, which nobody here signs (RFC 4035 section 2.2).
fn names(zones: &Zones, zone: &Zone) -> (BTreeMap<Vec<Vec<u8>>, Held>, Vec<Record>) {
    let mut names: BTreeMap<_, Held> = BTreeMap::new();
    for (name, sets) in zone.names().filter(|(_, sets)| !sets.is_empty()) {
        names.insert(
            order(name),
            Held {
                name: (**name).clone(),
                types: sets.keys().copied().map(u16::from).collect(),
                signed: sets.values().cloned().collect(),
            },
        );
    }
    let mut handed = Vec::new();
    for (below, records) in delegations(zones, zone) {
        let cut = names.entry(order(&LowerName::new(&below.soa.name))).or_default();
        cut.name = below.soa.name.clone();
        cut.types.insert(u16::from(RecordType::NS));
        if !below.delegation.is_empty() {
            cut.types.insert(u16::from(RecordType::DS));
            cut.signed.push(below.delegation.clone());
        }
        handed.extend(records);
    }
    (names, handed)
}

/// Sorts names as a chain has them: by their labels from the last one on.
fn order(name: &LowerName) -> Vec<Vec<u8>> {
    let mut labels: Vec<_> = name.iter().map(<[u8]>::to_vec).collect();
    labels.reverse();
    labels
}

struct Signer<'a> {
    before: Signatures,
    signatures: Signatures,
    key: &'a ZoneKey,
    zone: &'a Zone,
    now: u32,
}

impl Signer<'_> {
    fn sign(&mut self, set: &[Record]) -> Option<Record> {
        let first = set.first()?;
        let place = (LowerName::new(&first.name), u16::from(first.record_type()));
        // Records are equal whatever their lifetimes, and signatures are not.
        let same = |old: &[Record]| {
            old == set && old.iter().map(|it| it.ttl).eq(set.iter().map(|it| it.ttl))
        };
        let kept = self.before.remove(&place).filter(|(old, _)| same(old));
        let signed = match kept {
            Some(kept) => kept,
            None => (set.to_vec(), signature(set, (self.key, &self.zone.soa.name), self.now)?),
        };
        let record = signed.1.clone();
        self.signatures.insert(place, signed);
        Some(record)
    }
}
