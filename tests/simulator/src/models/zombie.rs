//! m3: a decision that nobody would make any more (PROTOCOL.md rule 2, 0.1 e).
//!
//! The active stack is down, and at some time comes back: each voter notices by itself, and from then on neither states
//! nor lets pass that it is down. Proposers are as bad as can be: with any quorum of promises they propose anything that
//! evidence could be had for, at any time later. What `failover::chain` lets follow, and what it asks to be seen, is all
//! that stands between a decision made in vain and its being carried out.

use std::collections::HashMap;
use std::sync::RwLock;

use consensus::ballot::{Acceptor, Ballots, Current, Preparing, Tally};
use consensus::failover::chain;
use consensus::message::{Accepted, BallotBody, Value};
use consensus::model::{
    AcceptorId, Ballot, Certainty, Certificate, Epoch, Fencing, Phase, RegisterId, Voters,
};
use consensus::mutant::Mutant;
use consensus::saved::Saved;
use consensus::value;
use stateright::{Model, Property};

use super::app::{Change, at_rest, changed};
use super::pool::{Number, Pool};
use super::register::{At, quorums, voters};
use super::{Sheet, explore};

/// The sizes explored.
pub const SHEETS: &[Sheet] = &[
    Sheet {
        name: "m3 zombie, 3 stores, 2 ballots, from rest",
        states: 138_861,
        knows: &[Mutant::EvidenceOnce, Mutant::CompletedUnseen],
        explore: |mutant| explore(Zombie::new(2, &[], mutant)),
    },
    Sheet {
        name: "m3 zombie, 3 stores, 2 ballots, fenced",
        states: 92_099,
        knows: &[Mutant::EvidenceOnce],
        explore: |mutant| explore(Zombie::new(2, &[Change::FailOver], mutant)),
    },
];

/// What proposers propose.
const TRIED: [Change; 7] = [
    Change::Same,
    Change::FailOver,
    Change::Claim { fresh: false },
    Change::Claim { fresh: true },
    Change::Promote { fresh: false },
    Change::Promote { fresh: true },
    Change::Abort,
];

/// The most ballots a state has room for.
const BALLOTS: usize = 4;
const STORES: usize = 3;
/// What was chosen before the first ballot.
const AGREED: Number = 0;

/// The model.
pub struct Zombie {
    register: RegisterId,
    voters: Voters,
    ballots: Vec<Ballot>,
    mutant: Option<Mutant>,
    first: Acceptor,
    stores: Pool<Acceptor>,
    promises: Pool<Option<Accepted>>,
    proposals: Pool<Proposal>,
    composed: RwLock<HashMap<Question, Option<Number>>>,
}

/// Everything that a proposal follows from.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    ballot: usize,
    found: Accepted,
    certainty: Certainty,
    change: Change,
}

/// A value that may follow, and the ballot whose evidence it rests on, if it needs any.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Proposal {
    value: Value,
    epoch: Epoch,
    phase: Phase,
    evidence: Option<Ballot>,
}

/// Everything that is so at one time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The voters, in any order: sorted.
    columns: Vec<Column>,
    /// What was asked to be accepted, by ballot.
    proposed: [Option<Number>; BALLOTS],
    /// Which of it is chosen: bits.
    chosen: u8,
    /// Which of it some voter accepted that did not see the stack up: bits.
    timely: u8,
    /// What was accepted that nobody should have accepted any more.
    harm: Option<Phase>,
}

/// One voter, and what the network holds of its replies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Column {
    store: Number,
    promised: [Option<Number>; BALLOTS],
    /// What it said to have accepted: bits.
    accepted: u8,
    /// For which ballots it stated that the stack is down: bits.
    stated: u8,
    /// Does it see the stack up again?
    up: bool,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A voter sees the stack up.
    Notice(At),
    /// A voter hears of a ballot, and is asked what it sees.
    Prepare(usize, At),
    /// A proposer has heard these voters (bits) and proposes something.
    Propose(usize, u8, Change),
    /// A voter hears that it should accept.
    Accept(usize, At),
}

impl Zombie {
    /// With what `changes` made of an app at rest chosen everywhere.
    fn new(ballots: usize, changes: &[Change], mutant: Option<Mutant>) -> Self {
        let register = RegisterId::App("shop".parse().expect("a name"));
        let mut proposers = [Ballots::new(1), Ballots::new(2)];
        let before = Ballots::new(0).fresh();
        proposers.iter_mut().for_each(|ballots| ballots.seen(before));
        let ballots = (0..ballots).map(|number| proposers[number % 2].fresh()).collect();
        let mut first = Acceptor::new(AcceptorId(0), &Saved::default());
        let evidence = Certificate { ballot: before, evidence: vec![] };
        let state = changes.iter().fold(at_rest(Fencing::BestEffort), |state, change| {
            changed(&state, *change, 0, &evidence)
        });
        let value = value::encode(&state);
        first.on_accept(&register, before, value.clone(), || Ok(()));
        let agreed =
            Proposal { value, epoch: state.epoch, phase: state.phase, evidence: Some(before) };
        Self {
            register,
            voters: voters(STORES),
            ballots,
            mutant,
            stores: Pool::new(first.clone()),
            first,
            promises: Pool::new(None),
            proposals: Pool::new(agreed),
            composed: RwLock::new(HashMap::new()),
        }
    }

    fn broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn prepare(&self, state: &mut State, ballot: usize, At(at): At) -> Option<()> {
        let column = &mut state.columns[at];
        let mut held = (*self.stores.get(column.store)).clone();
        let (_, body) = held.on_prepare(&self.register, self.ballots[ballot]);
        let BallotBody::Promise { accepted, .. } = body else { return None };
        column.promised[ballot] = Some(self.promises.put(accepted));
        column.store = self.stores.put(held);
        column.stated |= u8::from(!column.up) << ballot;
        Some(())
    }

    fn propose(&self, state: &mut State, ballot: usize, heard: u8, change: Change) -> Option<()> {
        let mut preparing = Preparing::new(self.ballots[ballot]);
        for (number, column) in state.columns.iter().enumerate().filter(|it| heard & 1 << it.0 != 0)
        {
            let accepted = (*self.promises.get(column.promised[ballot]?)).clone();
            preparing.on_promise(AcceptorId(number as u128), accepted);
        }
        if preparing.tally(&self.voters) != Tally::Won {
            return None;
        }
        let Current { accepted: Some(found), promises } = preparing.current() else { return None };
        let certainty = match self.broken(Mutant::CompletedUnseen) {
            true => Certainty::Chosen,
            false => Current::certainty(&self.voters, &promises, found.ballot),
        };
        let question = Question { ballot, found, certainty, change };
        let known = self.composed.read().expect("no thread panics here").get(&question).copied();
        let proposal = known.unwrap_or_else(|| {
            let proposal = self.compose(&question).map(|proposal| self.proposals.put(proposal));
            self.composed.write().expect("no thread panics here").insert(question, proposal);
            proposal
        })?;
        // Evidence of another ballot is refused, and what a majority did not state is no evidence.
        let stated = state.columns.iter().filter(|it| it.stated & 1 << ballot != 0).count();
        match self.proposals.get(proposal).evidence {
            Some(of) if of != self.ballots[ballot] || stated < self.voters.needed() => return None,
            Some(_) | None => state.proposed[ballot] = Some(proposal),
        }
        Some(())
    }

    /// What an acceptor will let pass, and on what evidence: the production table, on the production types.
    fn compose(&self, question: &Question) -> Option<Proposal> {
        let Question { ballot, found, certainty, change } = question;
        let before = value::decode(&found.value).expect("a state of ours");
        let evidence = Certificate { ballot: self.ballots[*ballot], evidence: vec![] };
        let next = changed(&before, *change, ballot % 2, &evidence);
        let certainty = chain::certainty_of_phase(&before, found.ballot, *certainty);
        let demand = chain::follows(Some((&before, found.value.hash())), certainty, &next).ok()?;
        let forgoes = self.broken(Mutant::EvidenceOnce) && next.phase == Phase::Promoting;
        let evidence = demand.evidence.filter(|_| !forgoes).map(|it| it.ballot);
        let value = value::encode(&next);
        Some(Proposal { value, epoch: next.epoch, phase: next.phase, evidence })
    }

    fn accept(&self, state: &mut State, ballot: usize, At(at): At) -> Option<()> {
        let proposal = self.proposals.get(state.proposed[ballot]?);
        let column = &mut state.columns[at];
        let mut held = (*self.stores.get(column.store)).clone();
        let stated = column.stated & 1 << ballot != 0;
        let convinced = proposal.evidence.is_none() || stated && !column.up;
        let permit = || convinced.then_some(()).ok_or(consensus::message::Refusal::SeenUp);
        let (_, body) =
            held.on_accept(&self.register, self.ballots[ballot], proposal.value.clone(), permit);
        let BallotBody::Accepted { .. } = body else { return None };
        if column.accepted & 1 << ballot != 0 {
            return None;
        }
        column.store = self.stores.put(held);
        column.accepted |= 1 << ballot;
        let up = column.up;
        self.judge(state, ballot, &proposal, up);
        let agree = state.columns.iter().filter(|it| it.accepted & 1 << ballot != 0).count();
        if agree >= self.voters.needed() {
            state.chosen |= 1 << ballot;
        }
        Some(())
    }

    /// Was this accepted by somebody who knows better, with nothing before that allows it?
    fn judge(&self, state: &mut State, ballot: usize, proposal: &Proposal, up: bool) {
        let of_the_same = |bits: u8| {
            let numbers = state.proposed.iter().enumerate().filter(|it| bits & 1 << it.0 != 0);
            numbers.filter_map(|(_, number)| *number).chain([AGREED]).any(|number| {
                let other = self.proposals.get(number);
                (other.epoch, other.phase) == (proposal.epoch, proposal.phase)
            })
        };
        let harmless = match proposal.phase {
            // A fence that was agreed stands until it is taken back.
            Phase::Fencing => of_the_same(state.chosen),
            // A promotion that may have been agreed may have been acted upon: it is carried on.
            Phase::Promoting => of_the_same(state.timely),
            Phase::Idle | Phase::Aborting | Phase::Publishing | Phase::Verifying => true,
        };
        match up {
            true if !harmless => state.harm = Some(proposal.phase),
            true => {}
            false => state.timely |= 1 << ballot,
        }
    }

    fn is_chosen(&self, state: &State, wanted: impl Fn(&Proposal) -> bool) -> bool {
        let numbers = state.proposed.iter().enumerate().filter(|it| state.chosen & 1 << it.0 != 0);
        numbers.filter_map(|(_, number)| *number).any(|it| wanted(&self.proposals.get(it)))
    }
}

impl Model for Zombie {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let column = Column {
            store: self.stores.put(self.first.clone()),
            promised: [None; BALLOTS],
            accepted: 0,
            stated: 0,
            up: false,
        };
        vec![State {
            columns: vec![column; STORES],
            proposed: [None; BALLOTS],
            chosen: 0,
            timely: 0,
            harm: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for ballot in 0..self.ballots.len() {
            for at in 0..STORES {
                actions.push(Action::Prepare(ballot, At(at)));
                actions.extend(state.proposed[ballot].map(|_| Action::Accept(ballot, At(at))));
            }
            if state.proposed[ballot].is_none() {
                let promised = state.columns.iter().map(|it| it.promised[ballot].is_some());
                for heard in quorums(promised) {
                    actions.extend(TRIED.map(|change| Action::Propose(ballot, heard, change)));
                }
            }
        }
        let blind = (0..STORES).filter(|at| !state.columns[*at].up);
        actions.extend(blind.map(|at| Action::Notice(At(at))));
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Notice(At(at)) => state.columns[at].up = true,
            Action::Prepare(ballot, at) => self.prepare(&mut state, ballot, at)?,
            Action::Propose(ballot, heard, change) => {
                self.propose(&mut state, ballot, heard, change)?;
            }
            Action::Accept(ballot, at) => self.accept(&mut state, ballot, at)?,
        }
        state.columns.sort_unstable();
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "whoever sees the stack up carries on nothing new",
                |_, it: &State| it.harm.is_none(),
            ),
            Property::sometimes("a stack is promoted", |model: &Self, state: &State| {
                model.is_chosen(state, |it| it.phase == Phase::Promoting)
            }),
            Property::sometimes("a fence is taken back", |model: &Self, state: &State| {
                model.is_chosen(state, |it| it.phase == Phase::Aborting)
            }),
            Property::sometimes("all see it up while little is agreed", |_, state: &State| {
                state.chosen == 0 && state.timely != 0 && state.columns.iter().all(|it| it.up)
            }),
        ]
    }
}
