//! What is heard of every store of ballots, and whether one's own is what it was.
//!
//! A store counts its durable changes; everybody remembers the highest count heard of each. A store that comes back with
//! fewer is a copy from before, and would break promises it does not know of. So after every start it answers nothing until
//! others have told what they saw of it (PROTOCOL.md A.4, rollback).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::message::StoreHello;
use crate::model::{AcceptorId, AgentId, Region, Voters};
use crate::moment::Moment;

/// Stores that are remembered: every voter's and every one that stands by, many times over.
const SIGHTINGS_MOST: usize = 4096;
/// What was heard is written down no more often than this, so that it survives a restart of everybody.
const WRITE_DOWN: Duration = Duration::from_secs(10);
/// After this, a start that too few have answered goes on with those who have, if they are a quorum with the store itself:
/// one of three that is dead must not keep another from starting.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one store.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// Who holds it, and where; unknown of one that was only heard of in a log.
    pub holder: Option<(AgentId, Region)>,
    /// The public half of its evidence key.
    pub key: [u8; 32],
    /// The most changes it was heard to have made.
    pub changes: u64,
    /// When its holder last presented it.
    pub heard: Option<Moment>,
    written: u64,
    written_at: Moment,
}

impl Sight {
    fn held_by(&self, agent: &AgentId) -> bool {
        self.holder.as_ref().is_some_and(|(holder, _)| holder == agent)
    }
}

/// What is known of every store.
#[derive(Debug, Default)]
pub struct Sightings {
    stores: BTreeMap<AcceptorId, Sight>,
    /// Which store every agent presented last.
    presented: BTreeMap<AgentId, AcceptorId>,
}

impl Sightings {
    /// As far as one's own log remembers.
    pub fn new(remembered: &BTreeMap<AcceptorId, u64>) -> Self {
        let known = |changes: u64| Sight { changes, written: changes, ..Sight::default() };
        let stores = remembered.iter().map(|(id, changes)| (*id, known(*changes))).collect();
        Self { stores, presented: BTreeMap::new() }
    }

    fn store(&mut self, acceptor: AcceptorId) -> Option<&mut Sight> {
        let room = self.stores.len() < SIGHTINGS_MOST || self.stores.contains_key(&acceptor);
        room.then(|| self.stores.entry(acceptor).or_default())
    }

    /// An agent presents its store.
    pub fn on_store(&mut self, agent: &AgentId, region: &Region, hello: &StoreHello, now: Moment) {
        let Some(sight) = self.store(hello.acceptor) else { return };
        let before = sight.holder.replace((agent.clone(), region.clone()));
        sight.key = hello.key;
        sight.changes = sight.changes.max(hello.changes);
        sight.heard = Some(now);
        self.presented.insert(agent.clone(), hello.acceptor);
        // A store that went from one agent to another: the one holds what it presented before, if anything.
        if let Some((other, _)) = before.filter(|(other, _)| other != agent) {
            let held = self.stores.iter().filter(|(_, it)| it.held_by(&other));
            match held.max_by_key(|(_, it)| it.heard) {
                Some((store, _)) => self.presented.insert(other, *store),
                None => self.presented.remove(&other),
            };
        }
    }

    /// A store answered, so many changes into its life.
    pub fn on_changes(&mut self, acceptor: AcceptorId, changes: u64) {
        if let Some(sight) = self.store(acceptor) {
            sight.changes = sight.changes.max(changes);
        }
    }

    /// The most changes ever heard of a store.
    pub fn seen(&self, acceptor: AcceptorId) -> u64 {
        self.stores.get(&acceptor).map_or(0, |sight| sight.changes)
    }

    /// When a store was last presented to this process.
    pub fn heard(&self, acceptor: AcceptorId) -> Option<Moment> {
        self.stores.get(&acceptor)?.heard
    }

    /// The store an agent presented last.
    pub fn store_of(&self, agent: &AgentId) -> Option<(AcceptorId, &Sight)> {
        let acceptor = *self.presented.get(agent)?;
        Some((acceptor, self.stores.get(&acceptor)?))
    }

    /// Every agent with the store it presented last.
    pub fn holders(&self) -> BTreeMap<&AgentId, AcceptorId> {
        let mut holders: BTreeMap<&AgentId, (Option<Moment>, AcceptorId)> = BTreeMap::new();
        for (acceptor, sight) in &self.stores {
            let Some((agent, _)) = &sight.holder else { continue };
            let newest = holders.entry(agent).or_insert((sight.heard, *acceptor));
            if newest.0 <= sight.heard {
                *newest = (sight.heard, *acceptor);
            }
        }
        holders.into_iter().map(|(agent, (_, acceptor))| (agent, acceptor)).collect()
    }

    /// What should be written down now about the stores of these voters.
    pub fn to_write(&mut self, voters: &Voters, now: Moment) -> Vec<(AcceptorId, u64)> {
        let mut due = Vec::new();
        for voter in voters.all() {
            let Some(sight) = self.stores.get_mut(&voter.acceptor) else { continue };
            let rested = sight.written == 0 || now.since(sight.written_at) >= WRITE_DOWN;
            if sight.written < sight.changes && rested {
                (sight.written, sight.written_at) = (sight.changes, now);
                due.push((voter.acceptor, sight.changes));
            }
        }
        due
    }
}

/// The question of a store that starts: what did you last see of me?
#[derive(Clone, Debug)]
pub struct Inquiry {
    began: Moment,
    /// The stores whose memory has answered: an agent that lost its own has nothing to tell.
    answers: BTreeSet<AcceptorId>,
}

impl Inquiry {
    /// A store that starts now.
    pub fn new(now: Moment) -> Self {
        Self { began: now, answers: BTreeSet::new() }
    }

    /// The holder of this store has told what it remembers.
    pub fn on_answer(&mut self, store: AcceptorId) {
        self.answers.insert(store);
    }

    /// Have so many answered that whatever this store once promised, one of them has heard of it? That is, is there no
    /// quorum that the store could have been part of without any of them?
    pub fn answered(&self, me: AcceptorId, voters: &Voters, now: Moment) -> bool {
        let others = voters.all().map(|voter| voter.acceptor).filter(|store| *store != me);
        let (mut heard, mut silent): (BTreeSet<_>, BTreeSet<_>) =
            others.partition(|store| self.answers.contains(store));
        if silent.is_empty() {
            return true;
        }
        heard.insert(me);
        silent.insert(me);
        let patient = now.since(self.began) < PATIENCE;
        !voters.quorum(&silent) || (!patient && voters.quorum(&heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MeshId, Voter};

    fn voters(n: u128) -> Voters {
        let voter = |id: u128| Voter {
            acceptor: AcceptorId(id),
            agent: agent(id),
            region: "r1".parse().expect("a name"),
            key: [0; 32],
        };
        Voters::stable(MeshId(1), 1, (1..=n).map(voter).collect())
    }

    fn agent(id: u128) -> AgentId {
        format!("a{id}").parse().expect("a name")
    }

    fn at(secs: u64) -> Moment {
        Moment::from_micros(1_000_000 * secs)
    }

    #[test]
    fn a_start_waits_for_a_majority_of_the_others_and_in_the_end_for_a_quorum_with_itself() {
        for (n, answers, at_once, in_the_end) in [
            (1, 0, true, true),
            (3, 0, false, false),
            (3, 1, false, true),
            (3, 2, true, true),
            (5, 1, false, false),
            (5, 2, false, true),
            (5, 3, true, true),
        ] {
            let mut inquiry = Inquiry::new(at(0));
            for id in 2..2 + answers {
                inquiry.on_answer(AcceptorId(id));
            }
            let me = AcceptorId(1);
            assert_eq!(inquiry.answered(me, &voters(n), at(1)), at_once, "{answers} of {n}");
            assert_eq!(inquiry.answered(me, &voters(n), at(11)), in_the_end, "{answers} of {n}");
        }
    }

    #[test]
    fn what_was_heard_only_grows_and_is_written_down_now_and_then() {
        let mut sightings = Sightings::new(&BTreeMap::from([(AcceptorId(1), 7)]));
        let region: Region = "r1".parse().expect("a name");
        let hello = |changes| StoreHello { acceptor: AcceptorId(1), key: [0; 32], changes };
        sightings.on_store(&agent(1), &region, &hello(5), at(1));
        assert_eq!(sightings.seen(AcceptorId(1)), 7);
        sightings.on_store(&agent(1), &region, &hello(9), at(20));
        assert_eq!(sightings.to_write(&voters(3), at(20)), [(AcceptorId(1), 9)]);
        sightings.on_changes(AcceptorId(1), 10);
        assert_eq!(sightings.to_write(&voters(3), at(21)), []);
        assert_eq!(sightings.to_write(&voters(3), at(30)), [(AcceptorId(1), 10)]);
    }
}
