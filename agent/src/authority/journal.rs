//! What changed between the zones of one moment and those of the next, for secondaries that have the older ones.
//!
//! Pure. Kept in memory only: who is too far behind, or asks after a restart, gets the whole zone.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use hickory_proto::rr::{LowerName, RData, Record};

use super::zones::{Zone, Zones};

/// Changes that are kept; a failover makes three.
const CHANGES: usize = 64;

/// The zones that are served, and how they came to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    pub(super) zones: Arc<Zones>,
    changes: VecDeque<Arc<Change>>,
}

/// One zone's way from one serial to the next.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) old: Record,
    pub(super) removed: Vec<Record>,
    pub(super) new: Record,
    pub(super) added: Vec<Record>,
}

/// The serial of a start of authority.
pub(super) fn serial(start: &Record) -> u32 {
    match &start.data {
        RData::SOA(start) => start.serial,
        _ => 0,
    }
}

impl Journal {
    pub(super) fn new(zones: Arc<Zones>) -> Self {
        Self { zones, changes: VecDeque::new() }
    }

    /// The same with the zones that come next.
    pub(super) fn advance(&self, zones: Arc<Zones>) -> Self {
        let mut changes = self.changes.clone();
        for new in zones.iter() {
            let Some(old) = self.zones.zone_at(&LowerName::new(&new.soa.name)) else { continue };
            // Signed ones go whole: what changed in their signatures is not written down (RFC 1995 section 4).
            if serial(&old.soa) == serial(&new.soa) || zones.is_signed(new) {
                continue;
            }
            // Most names hold the very same still.
            let moved = |name: &LowerName| match (old.held(name), new.held(name)) {
                (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
                (_, _) => true,
            };
            let before = records_where(&self.zones, old, moved);
            let after = records_where(&zones, new, moved);
            let missing = |of: &[Record], other: &[Record]| -> Vec<Record> {
                let other: HashSet<_> = other.iter().map(Record::to_string).collect();
                of.iter().filter(|record| !other.contains(&record.to_string())).cloned().collect()
            };
            changes.push_back(Arc::new(Change {
                old: old.soa.clone(),
                removed: missing(&before, &after),
                new: new.soa.clone(),
                added: missing(&after, &before),
            }));
        }
        while CHANGES < changes.len() {
            changes.pop_front();
        }
        Self { zones, changes }
    }

    /// The changes that lead from this serial to what is served; `None` if they are not all known.
    pub(super) fn since(&self, zone: &Zone, from: u32) -> Option<Vec<Arc<Change>>> {
        let mut found: Vec<Arc<Change>> = Vec::new();
        for change in self.changes.iter().filter(|change| change.new.name == zone.soa.name) {
            match found.last() {
                None if serial(&change.old) == from => found.push(change.clone()),
                Some(last) if serial(&last.new) == serial(&change.old) => {
                    found.push(change.clone());
                }
                Some(_) => return None,
                None => {}
            }
        }
        let reached = found.last().is_some_and(|last| serial(&last.new) == serial(&zone.soa));
        reached.then_some(found)
    }
}

/// Everything that a zone holds but its start of authority, and the delegations of zones below it.
pub(super) fn records(zones: &Zones, zone: &Zone) -> Vec<Record> {
    records_where(zones, zone, |_| true)
}

/// The same, of the zone's own only those at such names.
fn records_where(zones: &Zones, zone: &Zone, own: impl Fn(&LowerName) -> bool) -> Vec<Record> {
    let own = zone.names().filter(|(name, _)| own(name));
    let own = own.flat_map(|(_, sets)| sets.values().flatten());
    let mut records: Vec<_> =
        own.filter(|record| !matches!(record.data, RData::SOA(_))).cloned().collect();
    records.extend(delegations(zones, zone).flat_map(|(_, handed)| handed));
    records
}

/// The zones right below this one, each with its servers and their addresses.
pub(super) fn delegations<'a>(
    zones: &'a Zones,
    zone: &'a Zone,
) -> impl Iterator<Item = (&'a Zone, Vec<Record>)> {
    let apex = LowerName::new(&zone.soa.name);
    let is_below = move |below: &&Zone| {
        let cut = LowerName::new(&below.soa.name);
        cut != apex && zones.zone_of(&cut.base_name()).is_some_and(|above| above.soa == zone.soa)
    };
    zones.iter().filter(is_below).map(|below| {
        let cut = LowerName::new(&below.soa.name);
        let mut all = Vec::new();
        for (name, sets) in below.names() {
            let addresses = |record: &&Record| {
                matches!(record.data, RData::A(_) | RData::AAAA(_)) && below.is_server(name)
            };
            let servers = |record: &&Record| *name == cut && matches!(record.data, RData::NS(_));
            let handed = sets.values().flatten();
            all.extend(handed.filter(|record| servers(record) || addresses(record)).cloned());
        }
        (below, all)
    })
}
