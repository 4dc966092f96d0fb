//! Whose word an answer is: which apps have records at a name, or anywhere in its zone.
//!
//! Asked only once no majority has confirmed the agreed state for too long: what rests on a stack that this agent itself sees
//! up is said all the same (PRODUCT.md section 3, promise 6).

use std::collections::{BTreeSet, HashMap};

use consensus::model::AppId;
use hickory_proto::rr::{LowerName, RData, RecordType};

use super::answer::HOPS;
use super::zones::Zones;
use crate::run::Seen;

/// The apps behind names and zones; changes with definitions only.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    names: HashMap<LowerName, BTreeSet<AppId>>,
    zones: HashMap<LowerName, BTreeSet<AppId>>,
}

impl Owners {
    /// An app has a record of this name, in the zone of this apex.
    pub(super) fn note(&mut self, app: &AppId, owner: LowerName, apex: LowerName) {
        self.names.entry(owner).or_default().insert(app.clone());
        self.zones.entry(apex).or_default().insert(app.clone());
    }
}

/// Do all stacks that the answers for this name rest on stand, as seen from here? What is no record of any app (that a name is
/// not there, who serves its zone) rests on all that have records in the zone.
pub(super) fn vouched(zones: &Zones, asked: &LowerName, seen: &Seen) -> bool {
    let stands = |app: &AppId| seen.get(app).is_some_and(|stack| zones.active(app) == Some(stack));
    let mut name = asked.clone();
    for _ in 0..=HOPS {
        let Some(zone) = zones.zone_of(&name) else { return true };
        let sets = zone.matching(&name);
        // A wildcard's records have its name, whatever was asked.
        let held = sets.and_then(|sets| sets.values().flatten().next());
        let owners = held.and_then(|held| zones.owners.names.get(&LowerName::new(&held.name)));
        let all = || zones.owners.zones.get(&LowerName::new(&zone.soa.name));
        if !owners.or_else(all).is_some_and(|apps| apps.iter().all(stands)) {
            return false;
        }
        let alias = sets.and_then(|sets| sets.get(&RecordType::CNAME)).and_then(|it| it.first());
        match alias.map(|alias| &alias.data) {
            Some(RData::CNAME(target)) => name = LowerName::new(&target.0),
            _ => return true,
        }
    }
    true
}
