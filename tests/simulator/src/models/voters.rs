//! m2: one register while one of three stores is replaced by a fourth (PROTOCOL.md A.4).
//!
//! Ballots are made under the old set of voters, under both, or under the new one, as soon as each may be agreed, and for
//! ever after. A store learns of a newer set with the first request under it: before, it would only refuse more, and that is
//! the same as a lost message. Between both and the new one stands the sweep.
//!
//! In the other sheet a value is chosen with the word of the store that is replaced, which may then lose all it had, at any
//! moment (PROTOCOL.md F.2, amnesia and replacement). It answers nobody from then on; what it had said is still on its way.

use std::collections::BTreeSet;

use consensus::ballot::{Acceptor, Ballots, Current, Preparing, Tally};
use consensus::message::{Accepted, BallotBody, Value};
use consensus::model::{AcceptorId, Ballot, Certainty, MeshId, RegisterId, Voters};
use consensus::mutant::Mutant;
use consensus::saved::Saved;
use consensus::voters::Sweep;
use stateright::{Model, Property};

use super::pool::{Memo, Number, Pool};
use super::register::{At, voters};
use super::{Sheet, explore};

/// The sizes explored.
pub const SHEETS: &[Sheet] = &[
    Sheet {
        name: "m2 a store is lost and replaced, 4 stores, 3 ballots",
        states: 618_196,
        knows: &[Mutant::Amnesia, Mutant::NoSweep],
        explore: |mutant| explore(Change { loses: true, ..Change::new(3, mutant) }),
    },
    Sheet {
        name: "m2 voter change, 4 stores, 3 ballots",
        states: 6_370_549,
        knows: &[
            Mutant::NoSweep,
            Mutant::SweepWithOldQuorum,
            Mutant::VotersUnfenced,
            Mutant::DirectChange,
            Mutant::OnlyNewMajority,
        ],
        explore: |mutant| explore(Change::new(3, mutant)),
    },
];

/// The most ballots a state has room for.
const BALLOTS: usize = 3;
const STORES: usize = 4;
/// The store that is replaced.
const LEAVES: usize = 0;
/// The sets by number: the old one is zero.
const BOTH: u8 = 1;
const NEW: u8 = 2;

/// The model.
pub struct Change {
    register: RegisterId,
    /// The set of each version, in order.
    sets: Vec<Voters>,
    /// The set by whose count a register is carried over.
    swept_by: Voters,
    ballots: Vec<Ballot>,
    /// May the store that is replaced lose all it had?
    loses: bool,
    mutant: Option<Mutant>,
    stores: Pool<Acceptor>,
    promises: Pool<Option<Accepted>>,
    values: Pool<Value>,
    /// What a store is after it heard of a ballot, and what it promises.
    promising: Memo<(Number, usize), Option<(Number, Number)>>,
    /// What a store is after it accepted a value.
    accepting: Memo<(Number, usize, Number), Option<Number>>,
    /// The stores (bits) that suffice for a sweep, and of which none is too many.
    lists: Vec<u8>,
}

/// Everything that is so at one time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    columns: [Column; STORES],
    attempts: [Attempt; BALLOTS],
    carried: Carried,
    /// Has the store that is replaced lost all it had?
    lost: bool,
    /// Which ballots' values are chosen: bits.
    chosen: u8,
    contradicted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Carried {
    Unlisted,
    Listed,
    Over,
}

/// One store, and what the network holds of its replies.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Column {
    store: Number,
    /// The set of voters it goes by.
    version: u8,
    promised: [Option<Number>; BALLOTS],
    accepted: u8,
}

/// One ballot: the set of voters it is made under, and what was asked to be accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Attempt {
    version: Option<u8>,
    proposed: Option<Number>,
    sweeps: bool,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A proposer goes by a set of voters, and a store hears of its ballot.
    Prepare(usize, u8, At),
    /// A proposer has heard these stores (bits) and asks for a new value.
    Propose(usize, u8),
    /// A proposer has heard these stores (bits) and carries over what it found.
    Sweep(usize, u8),
    /// A store hears that it should accept.
    Accept(usize, At),
    /// These stores (bits) list their registers.
    List(u8),
    /// The store that is replaced loses all it had, and stands aside.
    Lose,
}

/// The stores of which these are the bits.
fn members(bits: u8) -> impl Iterator<Item = usize> {
    (0..STORES).filter(move |at| bits & 1 << at != 0)
}

fn id(store: usize) -> AcceptorId {
    AcceptorId(store as u128)
}

impl Change {
    fn new(ballots: usize, mutant: Option<Mutant>) -> Self {
        let all = voters(STORES).members;
        let (old, new) = (all[..STORES - 1].to_vec(), all[1..].to_vec());
        let set = |version, members| Voters::stable(MeshId(1), version, members);
        let both = match mutant {
            Some(Mutant::OnlyNewMajority) => set(2, new.clone()),
            _ => Voters { joining: new.clone(), ..set(2, old.clone()) },
        };
        let swept_by = match mutant {
            Some(Mutant::SweepWithOldQuorum) => set(2, old.clone()),
            _ => both.clone(),
        };
        let sets = match mutant {
            Some(Mutant::DirectChange) => vec![set(1, old), set(2, new)],
            _ => vec![set(1, old), both, set(3, new)],
        };
        let suffices = |heard: u8| {
            let mut sweep = Sweep::new();
            members(heard).for_each(|at| sweep.on_listed(id(at), &[]));
            sweep.listed(&swept_by)
        };
        let spare = |heard: u8| members(heard).any(|at| suffices(heard & !(1 << at)));
        let lists = (1..1 << STORES).filter(|it| suffices(*it) && !spare(*it)).collect();
        let mut proposers = [Ballots::new(1), Ballots::new(2)];
        Self {
            register: RegisterId::App("shop".parse().expect("a name")),
            sets,
            swept_by,
            ballots: (0..ballots).map(|number| proposers[number % 2].fresh()).collect(),
            loses: false,
            mutant,
            stores: Pool::new(Acceptor::new(AcceptorId(0), &Saved::default())),
            promises: Pool::new(None),
            values: Pool::new(Value::new(vec![])),
            promising: Memo::default(),
            accepting: Memo::default(),
            lists,
        }
    }

    fn broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The voters that an attempt counts.
    fn counting(&self, attempt: Attempt, sweeps: bool) -> Option<&Voters> {
        let version = usize::from(attempt.version?);
        Some(if sweeps && attempt.version == Some(BOTH) {
            &self.swept_by
        } else {
            &self.sets[version]
        })
    }

    fn list(&self, state: &mut State, heard: u8) -> Option<()> {
        let mut sweep = Sweep::new();
        for at in members(heard) {
            let column = &state.columns[at];
            if BOTH < column.version || self.stands_aside(state, at) {
                return None;
            }
            let listed = self.stores.get(column.store).on_list();
            let BallotBody::Listed { registers, .. } = listed else { return None };
            sweep.on_listed(id(at), &registers);
        }
        state.carried = match sweep.finished(&self.swept_by) {
            true => Carried::Over,
            false => Carried::Listed,
        };
        for at in members(heard) {
            state.columns[at].version = BOTH;
        }
        Some(())
    }

    /// Does a store answer nobody, because it knows that it has lost something?
    fn stands_aside(&self, state: &State, at: usize) -> bool {
        at == LEAVES && state.lost && !self.broken(Mutant::Amnesia)
    }

    fn lose(&self, state: &mut State) -> Option<()> {
        if !self.loses || state.lost {
            return None;
        }
        state.lost = true;
        let column = &mut state.columns[LEAVES];
        (column.store, column.version) = (Number::default(), 0);
        Some(())
    }

    /// Does a store answer whoever goes by this set of voters?
    fn answers(&self, state: &mut State, version: u8, at: usize) -> bool {
        if self.stands_aside(state, at) {
            return false;
        }
        let column = &mut state.columns[at];
        let asked = self.sets[usize::from(version)].by_acceptor(id(at)).is_some();
        let fenced = version < column.version && !self.broken(Mutant::VotersUnfenced);
        column.version = column.version.max(version);
        asked && !fenced
    }

    fn prepare(&self, state: &mut State, (ballot, version): (usize, u8), At(at): At) -> Option<()> {
        if !self.answers(state, version, at) {
            return None;
        }
        let column = &mut state.columns[at];
        let (store, promise) = self.promising.of((column.store, ballot), || {
            let mut held = (*self.stores.get(column.store)).clone();
            let (_, body) = held.on_prepare(&self.register, self.ballots[ballot]);
            let BallotBody::Promise { accepted, .. } = body else { return None };
            Some((self.stores.put(held), self.promises.put(accepted)))
        })?;
        (column.store, column.promised[ballot]) = (store, Some(promise));
        state.attempts[ballot].version = Some(version);
        Some(())
    }

    fn propose(&self, state: &mut State, (ballot, heard): (usize, u8), sweeps: bool) -> Option<()> {
        let attempt = state.attempts[ballot];
        let voters = self.counting(attempt, sweeps)?;
        let mut preparing = Preparing::new(self.ballots[ballot]);
        for (at, column) in state.columns.iter().enumerate().filter(|it| heard & 1 << it.0 != 0) {
            preparing.on_promise(id(at), (*self.promises.get(column.promised[ballot]?)).clone());
        }
        if preparing.tally(voters) != Tally::Won {
            return None;
        }
        let Current { accepted: found, promises } = preparing.current();
        let at = found.as_ref().map_or(Ballot::ZERO, |it| it.ballot);
        let certainty =
            Current::certainty(&self.sets[usize::from(attempt.version?)], &promises, at);
        if sweeps && (found.is_none() || certainty == Certainty::Chosen) {
            state.carried = Carried::Over;
            return Some(());
        }
        let mut value = found.map(|it| it.value.bytes().to_vec()).unwrap_or_default();
        value.extend((!sweeps).then_some(ballot as u8));
        let accepting = preparing.choose(Value::new(value));
        let proposed = Some(self.values.put(accepting.accepted().value));
        state.attempts[ballot] = Attempt { proposed, sweeps, ..attempt };
        Some(())
    }

    fn accept(&self, state: &mut State, ballot: usize, At(at): At) -> Option<()> {
        let attempt = state.attempts[ballot];
        let proposed = attempt.proposed?;
        if !self.answers(state, attempt.version?, at) {
            return None;
        }
        let column = &mut state.columns[at];
        let value = self.values.get(proposed);
        column.store = self.accepting.of((column.store, ballot, proposed), || {
            let mut held = (*self.stores.get(column.store)).clone();
            let ballot = self.ballots[ballot];
            let (entry, _) = held.on_accept(&self.register, ballot, (*value).clone(), || Ok(()));
            entry.is_some().then(|| self.stores.put(held))
        })?;
        column.accepted |= 1 << ballot;
        let mut accepting = Preparing::new(self.ballots[ballot]).choose((*value).clone());
        for (at, column) in state.columns.iter().enumerate() {
            if column.accepted & 1 << ballot != 0 {
                accepting.on_accepted(id(at));
            }
        }
        if accepting.tally(self.counting(attempt, attempt.sweeps)?) == Tally::Won {
            state.contradicted |= !self.agrees(state, &value);
            state.chosen |= 1 << ballot;
            if attempt.sweeps && state.carried == Carried::Listed {
                state.carried = Carried::Over;
            }
        }
        Some(())
    }

    /// Is a value that is now chosen of one history with all that were chosen before?
    fn agrees(&self, state: &State, value: &Value) -> bool {
        let chosen = state.attempts.iter().enumerate().filter(|it| state.chosen & 1 << it.0 != 0);
        chosen.filter_map(|(_, attempt)| attempt.proposed).all(|other| {
            let other = self.values.get(other);
            other.bytes().starts_with(value.bytes()) || value.bytes().starts_with(other.bytes())
        })
    }

    /// How many sets of voters may have been agreed.
    fn agreed(&self, state: &State) -> u8 {
        let left = state.carried == Carried::Over || self.broken(Mutant::NoSweep);
        let most = if left { NEW } else { BOTH };
        most.min(self.sets.len() as u8 - 1) + 1
    }

    fn happen(&self, state: &mut State, action: &Action) -> Option<()> {
        match *action {
            Action::Prepare(ballot, version, at) => self.prepare(state, (ballot, version), at),
            Action::Propose(ballot, heard) => self.propose(state, (ballot, heard), false),
            Action::Sweep(ballot, heard) => self.propose(state, (ballot, heard), true),
            Action::Accept(ballot, at) => self.accept(state, ballot, at),
            Action::List(heard) => self.list(state, heard),
            Action::Lose => self.lose(state),
        }
    }
}

impl Model for Change {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            columns: std::array::from_fn(|_| Column::default()),
            attempts: [Attempt::default(); BALLOTS],
            carried: Carried::Unlisted,
            lost: false,
            chosen: 0,
            contradicted: false,
        };
        if self.loses {
            let chosen = [LEAVES, LEAVES + 1].map(At);
            let promised = chosen.iter().map(|at| Action::Prepare(0, 0, *at));
            let proposed = Action::Propose(0, 0b11);
            let accepted = chosen.iter().map(|at| Action::Accept(0, *at));
            for action in promised.chain([proposed]).chain(accepted) {
                self.happen(&mut state, &action).expect("nothing is in its way");
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.carried == Carried::Unlisted {
            actions.extend(self.lists.iter().copied().map(Action::List));
        }
        if self.loses && !state.lost {
            actions.push(Action::Lose);
        }
        for ballot in 0..self.ballots.len() {
            let attempt = state.attempts[ballot];
            let versions = match attempt.version {
                Some(version) => version..version + 1,
                None => 0..self.agreed(state),
            };
            for version in versions {
                actions.extend((0..STORES).map(|at| Action::Prepare(ballot, version, At(at))));
            }
            if attempt.proposed.is_some() {
                actions.extend((0..STORES).map(|at| Action::Accept(ballot, At(at))));
                continue;
            }
            let promised: BTreeSet<usize> =
                (0..STORES).filter(|at| state.columns[*at].promised[ballot].is_some()).collect();
            for heard in 1..1u8 << STORES {
                if (0..STORES).any(|at| heard & 1 << at != 0 && !promised.contains(&at)) {
                    continue;
                }
                actions.push(Action::Propose(ballot, heard));
                if attempt.version == Some(BOTH) && state.carried == Carried::Listed {
                    actions.push(Action::Sweep(ballot, heard));
                }
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.happen(&mut state, &action)?;
        // The two that stay are alike.
        state.columns[1..STORES - 1].sort_unstable();
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was chosen is one history", |_, it: &State| !it.contradicted),
            Property::sometimes(
                "chosen by the old, and then by the new",
                |model: &Self, state: &State| {
                    let chosen = |version| {
                        let mut attempts = state.attempts.iter().enumerate();
                        attempts.any(|(at, it)| {
                            state.chosen & 1 << at != 0 && it.version == Some(version)
                        })
                    };
                    // Whoever was lost before it was replaced knew nothing of later ballots.
                    let later = state.columns[LEAVES].promised[1..].iter().any(Option::is_some);
                    let lost = state.lost && !later;
                    chosen(0) && chosen(NEW) && lost == model.loses
                },
            ),
        ]
    }
}
