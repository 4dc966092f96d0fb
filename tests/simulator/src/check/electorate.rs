//! Who truly votes, and is every change of it sound? (PROTOCOL.md S13; A.4, invariants I7 and I8)
//!
//! Learns from disks alone, as [`super::register`] does: a set of voters is in force once a quorum of the set before it has
//! made it durable. Every other checker asks here whose word counted at which version.

use std::collections::{BTreeMap, BTreeSet};

use consensus::codec;
use consensus::message::Accepted;
use consensus::model::{AcceptorId, Ballot, Voters, VotersState};

use super::Found;

const CHAIN: &str = "voters form a chain";
const ONCE: &str = "a store votes once";

/// Every set of voters there was.
#[derive(Debug)]
pub struct Electorate {
    sets: BTreeMap<u64, Voters>,
    holders: BTreeMap<(Ballot, u64), BTreeSet<AcceptorId>>,
    values: BTreeMap<Ballot, Accepted>,
    chosen: BTreeMap<Ballot, VotersState>,
    /// Stores that voted and do not any more.
    gone: BTreeSet<AcceptorId>,
}

impl Electorate {
    /// The voters that a mesh begins with.
    pub fn new(first: Voters) -> Self {
        Self {
            sets: BTreeMap::from([(first.version, first)]),
            holders: BTreeMap::new(),
            values: BTreeMap::new(),
            chosen: BTreeMap::new(),
            gone: BTreeSet::new(),
        }
    }

    /// The set of a version, once it was in force.
    pub fn at(&self, version: u64) -> Option<&Voters> {
        self.sets.get(&version)
    }

    /// The newest set.
    pub fn latest(&self) -> &Voters {
        self.sets.values().next_back().expect("there is a first")
    }

    /// The set of a version and every later one.
    pub fn since(&self, version: u64) -> impl Iterator<Item = &Voters> {
        self.sets.range(version..).map(|(_, voters)| voters)
    }

    /// One ballot carries at most one value here, too. Called for every proposal that leaves and every record of one.
    pub fn on_value(&mut self, accepted: &Accepted, found: &mut Found) {
        let known = self.values.entry(accepted.ballot).or_insert_with(|| accepted.clone());
        if known.value != accepted.value {
            let text = format!("the voters: two values at {}", accepted.ballot);
            found.push(("one value a ballot", text));
        }
    }

    /// A store that goes by this version has made a set durable. Is it in force by that, and new?
    pub fn on_accepted(
        &mut self,
        (store, version): (AcceptorId, u64),
        accepted: &Accepted,
        found: &mut Found,
    ) -> bool {
        self.on_value(accepted, found);
        self.holders.entry((accepted.ballot, version)).or_default().insert(store);
        if !self.is_held(accepted.ballot, version) || self.chosen.contains_key(&accepted.ballot) {
            return false;
        }
        let mut new = self.choose(accepted, found);
        // The new set's word may suffice for what was accepted before, and so on.
        while let Some(ballot) = self.held_besides() {
            let accepted = self.values[&ballot].clone();
            let others = self.chosen.len();
            new |= self.choose(&accepted, found);
            if self.chosen.len() == others {
                break;
            }
        }
        new
    }

    /// The first ballot whose value a quorum holds, and which does not count as chosen yet.
    fn held_besides(&self) -> Option<Ballot> {
        let held = |(ballot, version): &(Ballot, u64)| {
            !self.chosen.contains_key(ballot) && self.is_held(*ballot, *version)
        };
        self.holders.keys().find(|it| held(it)).map(|(ballot, _)| *ballot)
    }

    /// Does a quorum hold what was accepted at this version? Once the new set is alone in force, its word suffices for what was
    /// accepted while both were asked, as for apps ([`super::register::Registers::on_elected`]).
    fn is_held(&self, ballot: Ballot, version: u64) -> bool {
        let Some(holders) = self.holders.get(&(ballot, version)) else { return false };
        let alone = self.at(version + 1).filter(|voters| !voters.joint());
        let mut sets = self.at(version).into_iter().chain(alone);
        sets.any(|voters| voters.quorum(holders))
    }

    /// A set is in force, perhaps a new one.
    fn choose(&mut self, accepted: &Accepted, found: &mut Found) -> bool {
        let Ok(state) = codec::decode::<VotersState>(accepted.value.bytes()) else {
            found.push((CHAIN, format!("what was chosen at {} is no set", accepted.ballot)));
            return false;
        };
        self.follows(accepted, &state, found);
        self.chosen.insert(accepted.ballot, state.clone());
        let new = !self.sets.contains_key(&state.voters.version);
        self.sets.entry(state.voters.version).or_insert(state.voters);
        new
    }

    /// No agent goes by voters that were not chosen.
    pub fn on_learned(&self, accepted: &Accepted, found: &mut Found) {
        let truly = self.chosen.contains_key(&accepted.ballot)
            && self.values.get(&accepted.ballot).is_some_and(|it| it.value == accepted.value);
        if !truly {
            let text = format!("the voters: {} is taken for chosen", accepted.ballot);
            found.push(("chosen by a majority", text));
        }
    }

    fn follows(&mut self, accepted: &Accepted, state: &VotersState, found: &mut Found) {
        let voters = &state.voters;
        let mut broken = |what: String| {
            found.push((
                CHAIN,
                format!("version {} at {}: {what}", voters.version, accepted.ballot),
            ));
        };
        let before = self.chosen.range(..accepted.ballot).next_back();
        let base = before.map_or_else(
            || self.sets.values().next(),
            |(_, state)| self.sets.get(&state.voters.version),
        );
        let base = base.expect("there is a first");
        if voters.version == base.version {
            let same = before.is_some_and(|(_, before)| before == state);
            if !same {
                broken("is another than was there".into());
            }
            return;
        }
        let previous = before.map_or([0; 32], |(ballot, _)| self.values[ballot].value.hash());
        if voters.version != base.version + 1 || state.previous != previous {
            broken(format!("follows version {}", base.version));
        }
        match (base.joint(), voters.joint()) {
            (false, true) if voters.members == base.members => {}
            (true, false) if voters.members == base.joining => {}
            _ => broken("does not go over both sets".into()),
        }
        for voter in voters.arriving() {
            if self.gone.contains(&voter.acceptor) {
                let text = format!("{} of {} voted before", voter.acceptor, voter.agent);
                found.push((ONCE, text));
            }
        }
        let stays: BTreeSet<_> = voters.all().map(|voter| voter.acceptor).collect();
        self.gone.extend(base.all().map(|it| it.acceptor).filter(|id| !stays.contains(id)));
    }
}
