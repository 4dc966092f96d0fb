//! Who truly votes, and is every change of it sound? (PROTOCOL.md S13; A.4, invariants I7 and I8)
//!
//! Learns from disks alone, as [`super::register`] does: a set of voters is in force once a quorum of the set before it has
//! made it durable. Every other checker asks here whose word counted at which version.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::codec;
use consensus::message::Accepted;
use consensus::model::{AcceptorId, AgentId, Ballot, Voters, VotersChange, VotersState};
use consensus::moment::Moment;

use super::Found;

const CHAIN: &str = "voters form a chain";
const ONCE: &str = "a store votes once";
const ITSELF: &str = "the mesh replaces what is long lost";

/// A store that the mesh replaces by itself has been silent for this long, by the clock of whoever accepts that.
const SILENT: Duration = Duration::from_secs(60);
/// And it replaces none sooner after another, in true time: ten minutes by a clock that is a hundredth fast.
const RESTS: Duration = Duration::from_secs(590);

/// Every set of voters there was.
#[derive(Debug)]
pub struct Electorate {
    sets: BTreeMap<u64, Voters>,
    /// Since when each has been in force; the first always was.
    since: BTreeMap<u64, Moment>,
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
            since: BTreeMap::from([(first.version, Moment::ZERO)]),
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

    /// Is it true that this change, asked for at `asked`, is through by now, as this version? Its two sets came into force since,
    /// and the new one alone after them.
    pub fn is_through(&self, change: &VotersChange, version: u64, asked: Moment) -> bool {
        let alone = self.at(version).is_some_and(|voters| !voters.joint());
        let mut begun = self
            .sets
            .range(..version)
            .filter(|(version, _)| self.since.get(version).is_some_and(|since| asked <= *since));
        alone && begun.any(|(_, voters)| makes(voters, change))
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
        now: Moment,
        (store, version): (AcceptorId, u64),
        accepted: &Accepted,
        found: &mut Found,
    ) -> bool {
        self.on_value(accepted, found);
        self.holders.entry((accepted.ballot, version)).or_default().insert(store);
        if !self.is_held(accepted.ballot, version) || self.chosen.contains_key(&accepted.ballot) {
            return false;
        }
        let mut new = self.choose(now, accepted, found);
        // The new set's word may suffice for what was accepted before, and so on.
        while let Some(ballot) = self.held_besides() {
            let accepted = self.values[&ballot].clone();
            let others = self.chosen.len();
            new |= self.choose(now, &accepted, found);
            if self.chosen.len() == others {
                break;
            }
        }
        new
    }

    /// A store is about to accept this, and `silent` tells for how long its agent has not heard of each. Whoever accepts it first
    /// does not complete what somebody else has found to be so: a store that the mesh replaces by itself is long silent.
    pub fn before_accepted(
        &self,
        agent: &AgentId,
        accepted: &Accepted,
        silent: impl Fn(AcceptorId) -> Duration,
        found: &mut Found,
    ) {
        let held = |(ballot, _): &(Ballot, u64)| self.values[ballot].value == accepted.value;
        let Ok(state) = codec::decode::<VotersState>(accepted.value.bytes()) else { return };
        let itself = state.voters.joint() && state.automatic == state.voters.version;
        if !itself || self.holders.keys().any(held) {
            return;
        }
        for voter in state.voters.leaving() {
            let span = silent(voter.acceptor);
            if span < SILENT {
                let text = format!("{agent} accepts that the store of {} is replaced", voter.agent);
                found.push((ITSELF, format!("{text}, which it heard of {span:?} ago")));
            }
        }
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
    fn choose(&mut self, now: Moment, accepted: &Accepted, found: &mut Found) -> bool {
        let Ok(state) = codec::decode::<VotersState>(accepted.value.bytes()) else {
            found.push((CHAIN, format!("what was chosen at {} is no set", accepted.ballot)));
            return false;
        };
        self.follows(accepted, &state, found);
        self.rests(now, accepted.ballot, &state, found);
        self.chosen.insert(accepted.ballot, state.clone());
        let new = !self.sets.contains_key(&state.voters.version);
        self.since.entry(state.voters.version).or_insert(now);
        self.sets.entry(state.voters.version).or_insert(state.voters);
        new
    }

    /// The mesh replaces one store at a time, and then none for a while.
    fn rests(&self, now: Moment, ballot: Ballot, state: &VotersState, found: &mut Found) {
        let version = state.voters.version;
        let Some((_, before)) = self.chosen.range(..ballot).next_back() else { return };
        let last = self.since.get(&before.automatic).filter(|_| before.automatic != 0);
        let begins = state.automatic == version && before.voters.version < version;
        if let Some(last) = last.filter(|last| begins && now.since(**last) < RESTS) {
            let ago = now.since(*last);
            found.push((ITSELF, format!("version {version} begins {ago:?} after the last")));
        }
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

/// Do these two sets make just this change?
fn makes(voters: &Voters, change: &VotersChange) -> bool {
    let arrive: Vec<&AgentId> = voters.arriving().map(|voter| &voter.agent).collect();
    let leave: Vec<&AgentId> = voters.leaving().map(|voter| &voter.agent).collect();
    match change {
        VotersChange::Add { agent } => (&arrive[..], &leave[..]) == (&[agent], &[]),
        VotersChange::Remove { agent } => (&arrive[..], &leave[..]) == (&[], &[agent]),
        VotersChange::Replace { old, new } => (&arrive[..], &leave[..]) == (&[new], &[old]),
    }
}

#[cfg(test)]
mod tests {
    use consensus::message::Value;
    use consensus::model::{MeshId, Voter};

    use super::*;
    use crate::scene::name;

    fn set(ids: &[u128]) -> Vec<Voter> {
        let voter = |id: &u128| Voter {
            acceptor: AcceptorId(*id),
            agent: name(&format!("a{id}")),
            region: name("r1"),
            key: [*id as u8; 32],
        };
        ids.iter().map(voter).collect()
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    /// Three voters, of which the third is replaced by a fourth: both sets at ten seconds, the new one at twenty.
    fn changed() -> Electorate {
        let first = Voters::stable(MeshId(1), 1, set(&[1, 2, 3]));
        let both = Voters { version: 2, joining: set(&[1, 2, 4]), ..first.clone() };
        let alone = Voters::stable(MeshId(1), 3, set(&[1, 2, 4]));
        let mut electorate = Electorate::new(first);
        let (mut previous, mut found) = ([0; 32], Found::new());
        for (voters, by, seconds) in [(both, [1, 2], 10), (alone, [1, 2], 20)] {
            let version = voters.version - 1;
            let state = VotersState {
                voters,
                reason: String::new(),
                automatic: 0,
                retired: if version == 2 { vec![AcceptorId(3)] } else { vec![] },
                operations: vec![],
                previous,
            };
            let ballot = Ballot { round: version, instance: 1 };
            let accepted = Accepted { ballot, value: Value::new(codec::encode(&state)) };
            previous = accepted.value.hash();
            for id in by {
                let store = (AcceptorId(id), version);
                electorate.on_accepted(at(seconds), store, &accepted, &mut found);
            }
        }
        assert_eq!(found, Found::new());
        electorate
    }

    #[test]
    fn a_change_is_through_once_its_new_set_alone_is_in_force() {
        let electorate = changed();
        let agent = |id: u8| name::<AgentId>(&format!("a{id}"));
        let replace = |old, new| VotersChange::Replace { old: agent(old), new: agent(new) };
        for (change, version, asked, through) in [
            (replace(3, 4), 3, 5, true),
            (replace(3, 4), 3, 10, true),
            (replace(3, 4), 2, 5, false),
            (replace(3, 4), 4, 5, false),
            (replace(3, 4), 1, 0, false),
            (replace(3, 4), 3, 11, false),
            (replace(2, 4), 3, 5, false),
            (VotersChange::Add { agent: agent(4) }, 3, 5, false),
            (VotersChange::Remove { agent: agent(3) }, 3, 5, false),
        ] {
            assert_eq!(
                electorate.is_through(&change, version, at(asked)),
                through,
                "{change} as version {version}, asked for at {asked} s"
            );
        }
    }
}
