//! One attempt to write one register.
//!
//! States are moved, not mutated: [`Preparing::choose`] consumes the ballot into [`Accepting`], so that no code path can
//! give one ballot a second value (rule R1). Counts distinct stores of the current voters, never replies (trap 9).

use std::collections::{BTreeMap, BTreeSet};

use super::acceptor::ROUND_LEAP;
use crate::message::{Accepted, Value};
use crate::model::{AcceptorId, Ballot, Certainty, Voters};

/// Where fresh ballots come from.
#[derive(Clone, Debug)]
pub struct Ballots {
    instance: u64,
    round: u64,
}

impl Ballots {
    /// The ballots of one run of one process: `instance` is drawn at random at every start (trap 16).
    pub fn new(instance: u64) -> Self {
        Self { instance, round: 0 }
    }

    /// Somebody used this round; go beyond it (trap 15).
    pub fn seen(&mut self, ballot: Ballot) {
        if ballot.round <= self.round.saturating_add(ROUND_LEAP) {
            self.round = self.round.max(ballot.round);
        }
    }

    /// A ballot never used before, higher than every one seen.
    pub fn fresh(&mut self) -> Ballot {
        self.round += 1;
        Ballot { round: self.round, instance: self.instance }
    }
}

/// How a count stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A quorum agrees.
    Won,
    /// A quorum can no longer agree.
    Lost,
    /// Neither yet.
    Pending,
}

fn tally(voters: &Voters, agree: &BTreeSet<AcceptorId>, against: &BTreeSet<AcceptorId>) -> Tally {
    let possible: BTreeSet<_> = voters
        .all()
        .map(|voter| voter.acceptor)
        .filter(|acceptor| !against.contains(acceptor) || agree.contains(acceptor))
        .collect();
    match (voters.quorum(agree), voters.quorum(&possible)) {
        (true, _) => Tally::Won,
        (false, true) => Tally::Pending,
        (false, false) => Tally::Lost,
    }
}

/// Whoever agrees, and as many more as answered more than once: what a mutant counts.
#[cfg(feature = "mutants")]
fn with_repeats(
    voters: &Voters,
    mut agree: BTreeSet<AcceptorId>,
    repeats: Option<usize>,
) -> BTreeSet<AcceptorId> {
    let others: Vec<_> =
        voters.all().map(|it| it.acceptor).filter(|it| !agree.contains(it)).collect();
    agree.extend(others.into_iter().take(repeats.unwrap_or(0)));
    agree
}

/// One more answer of somebody who had given one, if that is counted.
#[cfg(feature = "mutants")]
fn repeated(repeats: &mut Option<usize>, again: bool) {
    if let Some(repeats) = repeats.as_mut().filter(|_| again) {
        *repeats += 1;
    }
}

/// What a quorum of promises found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The newest accepted value any of them reported.
    pub accepted: Option<Accepted>,
    /// What each of them had accepted last.
    pub promises: Vec<(AcceptorId, Ballot)>,
}

impl Current {
    /// Was the value chosen? Derived from what the promises reported, for proposer and acceptor alike.
    pub fn certainty(
        voters: &Voters,
        promises: &[(AcceptorId, Ballot)],
        ballot: Ballot,
    ) -> Certainty {
        let having = |wanted: &dyn Fn(Ballot) -> bool| -> BTreeSet<AcceptorId> {
            promises
                .iter()
                .filter(|(_, found)| wanted(*found))
                .map(|(acceptor, _)| *acceptor)
                .collect()
        };
        let witnesses = having(&|found| found == ballot);
        let others = having(&|found| found != ballot);
        let possible = voters.all().map(|voter| voter.acceptor);
        let possible = possible.filter(|acceptor| !others.contains(acceptor)).collect();
        match (voters.quorum(&witnesses), voters.may_have_chosen(&possible)) {
            (true, _) => Certainty::Chosen,
            (false, true) => Certainty::Possible,
            (false, false) => Certainty::Unchosen,
        }
    }
}

/// Collecting promises.
#[derive(Clone, Debug)]
pub struct Preparing {
    ballot: Ballot,
    promises: BTreeMap<AcceptorId, Option<Accepted>>,
    against: BTreeSet<AcceptorId>,
    /// Breaks trap 9's rule, to show that a test notices: counts what was answered more than once.
    #[cfg(feature = "mutants")]
    pub repeats: Option<usize>,
}

impl Preparing {
    /// An attempt at a fresh ballot.
    pub fn new(ballot: Ballot) -> Self {
        Self {
            ballot,
            promises: BTreeMap::new(),
            against: BTreeSet::new(),
            #[cfg(feature = "mutants")]
            repeats: None,
        }
    }

    /// Its ballot.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// A voter promised.
    pub fn on_promise(&mut self, acceptor: AcceptorId, accepted: Option<Accepted>) {
        #[cfg(feature = "mutants")]
        repeated(&mut self.repeats, self.promises.contains_key(&acceptor));
        self.promises.insert(acceptor, accepted);
    }

    /// A voter will not. One nack loses nothing: a quorum may still be reachable (trap 13).
    pub fn on_refusal(&mut self, acceptor: AcceptorId) {
        self.against.insert(acceptor);
    }

    /// Did somebody refuse, and have all of these answered one way or the other?
    pub fn refused_by_all_of(&self, mut acceptors: impl Iterator<Item = AcceptorId>) -> bool {
        let answered =
            |it: AcceptorId| self.promises.contains_key(&it) || self.against.contains(&it);
        !self.against.is_empty() && acceptors.all(answered)
    }

    /// Has a quorum promised?
    pub fn tally(&self, voters: &Voters) -> Tally {
        let agree = self.promises.keys().copied().collect();
        #[cfg(feature = "mutants")]
        let agree = with_repeats(voters, agree, self.repeats);
        tally(voters, &agree, &self.against)
    }

    /// What the promises say is the register's value. Meaningful once [`Preparing::tally`] is won.
    pub fn current(&self) -> Current {
        let ballot_of =
            |accepted: &Option<Accepted>| accepted.as_ref().map_or(Ballot::ZERO, |it| it.ballot);
        let newest = self.promises.values().max_by_key(|accepted| ballot_of(accepted));
        Current {
            accepted: newest.cloned().flatten(),
            promises: self
                .promises
                .iter()
                .map(|(id, accepted)| (*id, ballot_of(accepted)))
                .collect(),
        }
    }

    /// Gives the ballot its one value.
    pub fn choose(self, value: Value) -> Accepting {
        Accepting {
            ballot: self.ballot,
            value,
            agree: BTreeSet::new(),
            against: BTreeSet::new(),
            #[cfg(feature = "mutants")]
            repeats: self.repeats.map(|_| 0),
        }
    }
}

/// Collecting acceptances of the one value of one ballot.
#[derive(Clone, Debug)]
pub struct Accepting {
    ballot: Ballot,
    value: Value,
    agree: BTreeSet<AcceptorId>,
    against: BTreeSet<AcceptorId>,
    #[cfg(feature = "mutants")]
    repeats: Option<usize>,
}

impl Accepting {
    /// Its ballot.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// A voter accepted, durably.
    pub fn on_accepted(&mut self, acceptor: AcceptorId) {
        #[cfg(feature = "mutants")]
        repeated(&mut self.repeats, self.agree.contains(&acceptor));
        self.agree.insert(acceptor);
    }

    /// A voter will not.
    pub fn on_refusal(&mut self, acceptor: AcceptorId) {
        self.against.insert(acceptor);
    }

    /// Did somebody refuse, and have all of these answered one way or the other?
    pub fn refused_by_all_of(&self, mut acceptors: impl Iterator<Item = AcceptorId>) -> bool {
        let answered = |it: AcceptorId| self.agree.contains(&it) || self.against.contains(&it);
        !self.against.is_empty() && acceptors.all(answered)
    }

    /// Is the value chosen?
    pub fn tally(&self, voters: &Voters) -> Tally {
        let agree = &self.agree;
        #[cfg(feature = "mutants")]
        let agree = &with_repeats(voters, agree.clone(), self.repeats);
        tally(voters, agree, &self.against)
    }

    /// What was chosen. Meaningful once [`Accepting::tally`] is won.
    pub fn accepted(&self) -> Accepted {
        Accepted { ballot: self.ballot, value: self.value.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MeshId, Voter};

    fn voters(n: u128) -> Voters {
        let members = (0..n)
            .map(|id| Voter {
                acceptor: AcceptorId(id),
                agent: format!("a{id}").parse().unwrap(),
                region: "r".parse().unwrap(),
                key: [0; 32],
            })
            .collect();
        Voters::stable(MeshId(1), 1, members)
    }

    fn accepted(round: u64) -> Option<Accepted> {
        let ballot = Ballot { round, instance: 1 };
        Some(Accepted { ballot, value: Value::new(vec![round as u8]) })
    }

    #[test]
    fn the_newest_value_a_quorum_knows_is_the_current_one() {
        let mut preparing = Preparing::new(Ballot { round: 9, instance: 1 });
        preparing.on_promise(AcceptorId(0), accepted(2));
        assert_eq!(preparing.tally(&voters(5)), Tally::Pending);
        preparing.on_promise(AcceptorId(0), accepted(2));
        preparing.on_promise(AcceptorId(1), None);
        preparing.on_promise(AcceptorId(77), accepted(8));
        assert_eq!(preparing.tally(&voters(5)), Tally::Pending, "a stranger does not count");
        preparing.on_promise(AcceptorId(2), accepted(3));
        assert_eq!(preparing.tally(&voters(5)), Tally::Won);
    }

    #[test]
    fn one_nack_of_five_loses_nothing_and_three_lose_all() {
        let mut accepting =
            Preparing::new(Ballot { round: 9, instance: 1 }).choose(Value::new(vec![]));
        for id in 0..2 {
            accepting.on_refusal(AcceptorId(id));
            assert_eq!(accepting.tally(&voters(5)), Tally::Pending);
        }
        accepting.on_refusal(AcceptorId(2));
        assert_eq!(accepting.tally(&voters(5)), Tally::Lost);
    }

    #[test]
    fn certainty_follows_from_what_the_promises_report() {
        let at = |round| Ballot { round, instance: 1 };
        let report = |rounds: &[u64]| -> Vec<_> {
            rounds
                .iter()
                .enumerate()
                .map(|(id, round)| (AcceptorId(id as u128), at(*round)))
                .collect()
        };
        for (rounds, expected) in [
            (&[3, 3, 3][..], Certainty::Chosen),
            (&[3, 2, 2], Certainty::Possible),
            (&[3, 2, 2, 2], Certainty::Unchosen),
            (&[3, 3, 2, 2], Certainty::Possible),
            (&[3, 3, 2, 2, 2], Certainty::Unchosen),
        ] {
            assert_eq!(
                Current::certainty(&voters(5), &report(rounds), at(3)),
                expected,
                "{rounds:?}"
            );
        }
    }
}
