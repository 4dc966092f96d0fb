//! m1: one register, its stores, and a few ballots that anybody may begin at any time (PROTOCOL.md A.3).
//!
//! Every ballot appends its own number to what it finds, so that a value tells its whole history and agreement is plain:
//! of any two values chosen, one begins with the other. A proposer is what the network holds for its ballot: it may hear any
//! quorum of the promises that were ever made, and nothing of the rest. A store may restart from its disk at any time.

mod clients;

use consensus::ballot::{Acceptor, Ballots, Current, Preparing, Tally};
use consensus::message::{Accepted, BallotBody, Value};
use consensus::model::{AcceptorId, Ballot, Certainty, MeshId, RegisterId, Voter, Voters};
use consensus::mutant::Mutant;
use consensus::saved::{Entry, Saved};
use stateright::{Model, Property};

use clients::{Call, Clients};

use super::pool::{Number, Pool};
use super::{Explored, Sheet, explore};

/// The sizes explored. What breaks in the smallest is broken there.
pub const SHEETS: &[Sheet] = &[
    Sheet {
        name: "m1 register, 3 stores, 2 ballots",
        states: 364,
        knows: &[
            Mutant::BallotReused,
            Mutant::PromiseErased,
            Mutant::AcceptedExpires,
            Mutant::SentBeforeSaved,
            Mutant::Amnesia,
        ],
        explore: |mutant| check(3, 2, Reads::Never, mutant),
    },
    Sheet {
        name: "m1 register, 3 stores, 3 ballots, reads",
        states: 13_216,
        knows: &[Mutant::ReadNewest],
        explore: |mutant| check(3, 3, Reads::Anytime, mutant),
    },
    Sheet {
        name: "m1 register, 3 stores, 2 ballots and a reader, as clients see it",
        states: 8_027,
        knows: &[],
        explore: |mutant| check(3, 3, Reads::ByOne, mutant),
    },
    Sheet {
        name: "m1 register, 5 stores, 2 ballots",
        states: 5_214,
        knows: &[],
        explore: |mutant| check(5, 2, Reads::Never, mutant),
    },
    Sheet {
        name: "m1 register, 3 stores, 4 ballots",
        states: 542_816,
        knows: &[],
        explore: |mutant| check(3, 4, Reads::Never, mutant),
    },
];

fn check(stores: usize, ballots: usize, reads: Reads, mutant: Option<Mutant>) -> Explored {
    explore(Register::new(stores, ballots, reads, mutant))
}

/// Who reads what was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// Nobody does.
    Never,
    /// Whoever has a ballot may.
    Anytime,
    /// The last ballot but one is for that alone, and clients' calls and answers are kept.
    ByOne,
}

/// The most ballots a state has room for.
const BALLOTS: usize = 4;
/// The values a ballot may have: one, and another if ballots are used twice.
const VALUES: usize = 2;

/// The model.
pub struct Register {
    register: RegisterId,
    voters: Voters,
    ballots: Vec<Ballot>,
    reads: Reads,
    mutant: Option<Mutant>,
    stores: Pool<Store>,
    promises: Pool<Option<Accepted>>,
    values: Pool<Value>,
}

/// A store as it runs and as it lies on disk.
///
/// Its id is only a signature on replies, which the model gives in its stead, so that stores can be told apart by what
/// they hold and by nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Store {
    acceptor: Acceptor,
    saved: Saved,
}

impl Store {
    fn save(&mut self, entry: Option<Entry>) {
        entry.into_iter().for_each(|entry| self.saved.apply(entry));
        // How often it changed tells an old copy of a disk from a new one; no model has copies.
        self.saved.changes = 0;
    }
}

/// Everything that is so at one time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The stores with what they said, in any order: sorted.
    columns: Vec<Column>,
    /// The values that were asked to be accepted, by ballot.
    proposed: [[Option<Number>; VALUES]; BALLOTS],
    /// Which of them are chosen: bits.
    chosen: u8,
    /// Something that was read, or chosen, contradicts something else that was.
    contradicted: bool,
    /// What clients asked and were told, where that is kept.
    clients: Option<Clients>,
}

/// One store, and what the network holds of its replies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Column {
    store: Number,
    promised: [Option<Number>; BALLOTS],
    /// Which proposals it said to have accepted: bits.
    accepted: u8,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A store hears of a ballot.
    Prepare(usize, At),
    /// A proposer has heard these stores (bits) and asks for a value.
    Propose(usize, u8),
    /// A proposer has heard these stores (bits) and leaves it at that.
    Read(usize, u8),
    /// A store hears that it should accept a ballot's first value, or its second.
    Accept(usize, usize, At),
    /// A store does as it is asked, and forgets it in a crash after its reply left.
    Forget(Box<Action>),
    /// A store restarts.
    Restart(At),
}

/// A store, by its place in the order of the state before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At(pub usize);

fn bit(ballot: usize, value: usize) -> u8 {
    1 << (ballot * VALUES + value)
}

/// A set of voters that is not changing.
pub fn voters(stores: usize) -> Voters {
    let voter = |number| Voter {
        acceptor: AcceptorId(number),
        agent: format!("a{number}").parse().expect("a name"),
        region: "r".parse().expect("a name"),
        key: [0; 32],
    };
    Voters::stable(MeshId(1), 1, (0..stores as u128).map(voter).collect())
}

/// Of the stores that answered, the sets (bits) that are more than half of all.
pub fn quorums(answered: impl ExactSizeIterator<Item = bool>) -> impl Iterator<Item = u8> {
    let stores = answered.len();
    let answered = answered.enumerate().fold(0u8, |bits, (at, yes)| bits | u8::from(yes) << at);
    let enough = move |bits: &u8| 2 * bits.count_ones() as usize > stores;
    (0..1u8 << stores).filter(move |bits| bits & !answered == 0).filter(enough)
}

impl Register {
    fn new(stores: usize, ballots: usize, reads: Reads, mutant: Option<Mutant>) -> Self {
        // Two proposers by turns: every ballot is one that production makes, and all are told apart.
        let mut proposers = [Ballots::new(1), Ballots::new(2)];
        let ballots = (0..ballots).map(|number| proposers[number % 2].fresh()).collect();
        #[allow(unused_mut)]
        let mut acceptor = Acceptor::new(AcceptorId(0), &Saved::default());
        acceptor.erases_promises = mutant == Some(Mutant::PromiseErased);
        acceptor.expires = mutant == Some(Mutant::AcceptedExpires);
        Self {
            register: RegisterId::App("shop".parse().expect("a name")),
            voters: voters(stores),
            ballots,
            reads,
            mutant,
            stores: Pool::new(Store { acceptor, saved: Saved::default() }),
            promises: Pool::new(None),
            values: Pool::new(Value::new(vec![])),
        }
    }

    /// A proposer that heard these stores.
    fn heard(&self, state: &State, ballot: usize, heard: u8) -> Preparing {
        let mut preparing = Preparing::new(self.ballots[ballot]);
        for (number, column) in state.columns.iter().enumerate() {
            if heard & 1 << number != 0
                && let Some(promise) = column.promised[ballot]
            {
                let accepted = (*self.promises.get(promise)).clone();
                preparing.on_promise(AcceptorId(number as u128), accepted);
            }
        }
        preparing
    }

    fn restarted(&self, store: &Store) -> Store {
        let saved = match self.mutant {
            Some(Mutant::Amnesia) => Saved::default(),
            _ => store.saved.clone(),
        };
        #[allow(unused_mut)]
        let mut acceptor = Acceptor::new(AcceptorId(0), &saved);
        acceptor.erases_promises = self.mutant == Some(Mutant::PromiseErased);
        acceptor.expires = self.mutant == Some(Mutant::AcceptedExpires);
        Store { acceptor, saved }
    }

    fn prepare(&self, state: &mut State, ballot: usize, At(at): At) -> Option<()> {
        let first = state.columns.iter().all(|column| column.promised[ballot].is_none());
        let column = &mut state.columns[at];
        let mut held = (*self.stores.get(column.store)).clone();
        let (entry, body) = held.acceptor.on_prepare(&self.register, self.ballots[ballot]);
        let BallotBody::Promise { accepted, .. } = body else { return None };
        held.save(entry);
        column.promised[ballot] = Some(self.promises.put(accepted));
        column.store = self.stores.put(held);
        if let (true, Some(clients)) = (first, &mut state.clients) {
            clients.asks(ballot * VALUES, self.call(ballot));
        }
        Some(())
    }

    /// What a ballot's client asks for.
    fn call(&self, ballot: usize) -> Call {
        match self.is_reader(ballot) {
            true => Call::Read,
            false => Call::Append((ballot * VALUES) as u8),
        }
    }

    /// Is this ballot for reading alone?
    fn is_reader(&self, ballot: usize) -> bool {
        self.reads == Reads::ByOne && ballot + 2 == self.ballots.len()
    }

    fn propose(&self, state: &mut State, ballot: usize, heard: u8) -> Option<()> {
        let proposed = state.proposed[ballot].iter().flatten().count();
        let preparing = self.heard(state, ballot, heard);
        if preparing.tally(&self.voters) != Tally::Won {
            return None;
        }
        let found = preparing.current().accepted;
        let mut value = found.map(|it| it.value.bytes().to_vec()).unwrap_or_default();
        value.push((ballot * VALUES + proposed) as u8);
        let accepting = preparing.choose(Value::new(value));
        state.proposed[ballot][proposed] = Some(self.values.put(accepting.accepted().value));
        if let (1.., Some(clients)) = (proposed, &mut state.clients) {
            let again = ballot * VALUES + proposed;
            clients.asks(again, Call::Append(again as u8));
        }
        Some(())
    }

    fn read(&self, state: &mut State, ballot: usize, heard: u8) -> Option<()> {
        let preparing = self.heard(state, ballot, heard);
        if preparing.tally(&self.voters) != Tally::Won {
            return None;
        }
        let Current { accepted: Some(accepted), promises } = preparing.current() else {
            state.clients.as_mut()?.is_told(ballot * VALUES, &[]);
            return Some(());
        };
        let certainty = Current::certainty(&self.voters, &promises, accepted.ballot);
        let trusts = self.mutant == Some(Mutant::ReadNewest);
        let found = accepted.value.bytes().to_vec();
        let number = self.values.put(accepted.value);
        let chosen = |at: usize| state.chosen & bit(at / VALUES, at % VALUES) != 0;
        let mut proposed = state.proposed.iter().flatten().enumerate();
        let is_chosen = proposed.any(|(at, value)| *value == Some(number) && chosen(at));
        let told = trusts || certainty == Certainty::Chosen;
        match &mut state.clients {
            Some(clients) if told => clients.is_told(ballot * VALUES, &found),
            Some(_) => return None,
            None => state.contradicted = told && !is_chosen,
        }
        Some(())
    }

    fn accept(&self, state: &mut State, (ballot, value): (usize, usize), At(at): At) -> Option<()> {
        let proposed = self.values.get(state.proposed[ballot][value]?);
        let column = &mut state.columns[at];
        let mut held = (*self.stores.get(column.store)).clone();
        let (entry, body) = held.acceptor.on_accept(
            &self.register,
            self.ballots[ballot],
            (*proposed).clone(),
            || Ok(()),
        );
        let BallotBody::Accepted { .. } = body else { return None };
        held.save(entry);
        column.store = self.stores.put(held);
        column.accepted |= bit(ballot, value);
        let mut accepting = Preparing::new(self.ballots[ballot]).choose((*proposed).clone());
        for (number, column) in state.columns.iter().enumerate() {
            if column.accepted & bit(ballot, value) != 0 {
                accepting.on_accepted(AcceptorId(number as u128));
            }
        }
        if accepting.tally(&self.voters) == Tally::Won && state.chosen & bit(ballot, value) == 0 {
            match &mut state.clients {
                Some(clients) => clients.is_told(ballot * VALUES + value, proposed.bytes()),
                None => state.contradicted |= !self.agrees(state, &proposed),
            }
            state.chosen |= bit(ballot, value);
        }
        Some(())
    }

    /// Is a value that is now chosen of one history with all that were chosen before?
    fn agrees(&self, state: &State, value: &Value) -> bool {
        let chosen = |at: usize| state.chosen & bit(at / VALUES, at % VALUES) != 0;
        let proposed = state.proposed.iter().flatten().enumerate();
        proposed.filter(|(at, _)| chosen(*at)).filter_map(|(_, other)| *other).all(|other| {
            let other = self.values.get(other);
            other.bytes().starts_with(value.bytes()) || value.bytes().starts_with(other.bytes())
        })
    }

    fn happen(&self, state: &mut State, action: &Action) -> Option<()> {
        match action {
            Action::Prepare(ballot, store) => self.prepare(state, *ballot, *store),
            Action::Propose(ballot, heard) => self.propose(state, *ballot, *heard),
            Action::Read(ballot, heard) => self.read(state, *ballot, *heard),
            Action::Accept(ballot, value, store) => self.accept(state, (*ballot, *value), *store),
            Action::Forget(action) => {
                let (Action::Prepare(_, At(store)) | Action::Accept(_, _, At(store))) = **action
                else {
                    return None;
                };
                let before = state.columns[store].store;
                self.happen(state, action)?;
                state.columns[store].store = before;
                Some(())
            }
            Action::Restart(At(store)) => {
                let column = &mut state.columns[*store];
                column.store = self.stores.put(self.restarted(&self.stores.get(column.store)));
                Some(())
            }
        }
    }
}

impl Model for Register {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let column = Column { store: 0, promised: [None; BALLOTS], accepted: 0 };
        vec![State {
            columns: vec![column; self.voters.members.len()],
            proposed: [[None; VALUES]; BALLOTS],
            chosen: 0,
            contradicted: false,
            clients: (self.reads == Reads::ByOne).then(Clients::new),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let stores = || (0..state.columns.len()).map(At);
        let values = if self.mutant == Some(Mutant::BallotReused) { VALUES } else { 1 };
        for ballot in 0..self.ballots.len() {
            actions.extend(stores().map(|store| Action::Prepare(ballot, store)));
            let proposed = state.proposed[ballot].iter().flatten().count();
            for value in 0..proposed {
                actions.extend(stores().map(|store| Action::Accept(ballot, value, store)));
            }
            let promised = state.columns.iter().map(|column| column.promised[ballot].is_some());
            for heard in quorums(promised) {
                let reader = self.is_reader(ballot);
                let proposes = proposed < values && !reader;
                actions.extend(proposes.then_some(Action::Propose(ballot, heard)));
                let reads = reader || self.reads == Reads::Anytime;
                actions.extend(reads.then_some(Action::Read(ballot, heard)));
            }
        }
        if self.mutant == Some(Mutant::SentBeforeSaved) {
            let forgotten = actions.iter().cloned().map(|it| Action::Forget(Box::new(it)));
            actions.extend(forgotten.collect::<Vec<_>>());
        }
        actions.extend(stores().map(Action::Restart));
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.happen(&mut state, &action)?;
        state.columns.sort_unstable();
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was chosen and read is one history", |_, state: &State| {
                !state.contradicted
            }),
            Property::always("what clients are told is linearizable", |_, state: &State| {
                state.clients.as_ref().is_none_or(Clients::agree)
            }),
            Property::sometimes("every ballot is chosen", |model: &Self, state: &State| {
                let readers = (0..model.ballots.len()).filter(|it| model.is_reader(*it)).count();
                state.chosen.count_ones() as usize + readers == model.ballots.len()
            }),
            Property::sometimes(
                "a value is left behind unchosen",
                |model: &Self, state: &State| {
                    let mut later =
                        (1..model.ballots.len()).map(|ballot| state.chosen & bit(ballot, 0));
                    later.any(|it| it != 0)
                        && state.proposed[0][0].is_some()
                        && state.chosen & bit(0, 0) == 0
                },
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_alone_notice_whatever_any_size_knows() {
        let seen = SHEETS.iter().find(|sheet| sheet.name.ends_with("as clients see it"));
        let seen = seen.expect("it is one of them");
        let known: Vec<Mutant> = SHEETS.iter().flat_map(|sheet| sheet.knows).copied().collect();
        assert!(!known.is_empty());
        for mutant in known {
            let broken = (seen.explore)(Some(mutant)).broken;
            let broken = broken.map(|broken| broken.property);
            assert_eq!(broken, Some("what clients are told is linearizable"), "{mutant:?}");
        }
    }
}
