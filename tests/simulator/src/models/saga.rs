//! m5 and m6: what a failover asks of the outside, with requests that arrive late, twice, or epochs later (PROTOCOL.md D).
//!
//! The register is one agreed value here, and the lease is held by one stack at most (m1 and m4 show both). Which value may
//! follow is `failover::chain`'s word; what is then asked of the outside, and under which token, is `failover::plan`'s. Every
//! request that any agreed value ever called for may arrive at any time from then on, whoever sent it and however often.
//! Databases and the marker record compare tokens: a lower one is refused, an equal one was carried out already.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::RwLock;

use consensus::failover::{chain, plan};
use consensus::message::Value;
use consensus::model::{
    AppState, Ballot, Certainty, Certificate, Database as Target, DecisionKind, Effect, Epoch,
    Fencing, Phase, Stack, StackId, Token,
};
use consensus::mutant::Mutant;
use consensus::value;
use stateright::{Model, Property};

use super::app::{Change, at_rest, changed, standby};
use super::pool::{Number, Pool};
use super::{Sheet, explore};

/// The sizes explored.
pub const SHEETS: &[Sheet] = &[
    Sheet {
        name: "m6 abort, 2 executors, 3 epochs, 2 terms",
        states: 4_874,
        knows: &[Mutant::SameTokenAbort],
        explore: |mutant| explore(Saga::new(3, 2, mutant)),
    },
    Sheet {
        name: "m5 saga, 2 executors, 6 epochs, 3 terms",
        states: 903_410,
        knows: &[Mutant::TokenIgnored, Mutant::BlindPublish],
        explore: |mutant| explore(Saga::new(6, 3, mutant)),
    },
];

const STACKS: usize = 2;

/// The model.
pub struct Saga {
    epochs: u32,
    terms: u32,
    mutant: Option<Mutant>,
    states: Pool<Agreed>,
    followed: RwLock<HashMap<(Number, usize, Change), Option<Number>>>,
}

/// An agreed value, and what follows from it.
#[derive(Debug)]
struct Agreed {
    bytes: Value,
    state: AppState,
    token: Token,
    requests: Vec<Request>,
    active: usize,
    standby: usize,
}

impl PartialEq for Agreed {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Agreed {}

impl Hash for Agreed {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.bytes.bytes().hash(to);
    }
}

/// Everything that is so at one time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    agreed: Number,
    /// Every request that was ever called for, in order.
    sent: Vec<Request>,
    /// Which requests of the agreed phase are known to be done: bits, by kind.
    done: u8,
    databases: [Database; STACKS],
    marker: Marker,
    /// A decision was ended though not all of it was published.
    owed: bool,
    /// Whose guard lets writes through.
    lease: Option<usize>,
    /// The last decision whose promotion was taken back: it may be carried out yet, behind a door that stays shut.
    given_up: Option<Epoch>,
    /// Something happened that never may.
    harm: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Database {
    primary: bool,
    fenced: bool,
    token: Token,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Marker {
    stack: usize,
    token: Token,
}

/// One request, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    token: Token,
    kind: Kind,
    stack: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Fence,
    Unfence,
    Promote,
    Publish,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The voters agree on what one of two agents makes of the state.
    Agree(usize, Change),
    /// A request arrives.
    Arrive(Request),
    /// A guard is granted the lease.
    Grant(usize),
    /// The lease ends.
    Expire,
    /// Somebody makes what is not active a replica of what is.
    Rebuild,
    /// Whoever keeps the records puts them back.
    Mend,
}

/// What agents try.
const TRIED: [Change; 8] = [
    Change::FailOver,
    Change::Force,
    Change::Claim { fresh: true },
    Change::Promote { fresh: true },
    Change::Publish,
    Change::Verify,
    Change::Finish,
    Change::Abort,
];

impl Saga {
    fn new(epochs: u32, terms: u32, mutant: Option<Mutant>) -> Self {
        let states = Pool::new(Agreed::new(at_rest(Fencing::Required), mutant));
        Self { epochs, terms, mutant, states, followed: RwLock::new(HashMap::new()) }
    }

    fn broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn agree(&self, state: &mut State, by: usize, change: Change) -> Option<()> {
        let agreed = self.states.get(state.agreed);
        let before = &agreed.state;
        let done = agreed.requests.iter().all(|it| state.done & it.kind.bit() != 0);
        let more = before.epoch < Epoch(self.epochs);
        let ready = match change {
            Change::FailOver | Change::Force => more && !state.databases[agreed.standby].primary,
            // A promotion is taken back once its guard lets no writes through.
            Change::Abort => {
                let promoting = before.phase == Phase::Promoting;
                more && (!promoting || state.lease != Some(agreed.standby))
            }
            Change::Claim { .. } => {
                before.claim.as_ref().is_some_and(|claim| claim.term < self.terms)
            }
            // An old primary is proven fenced by its guard's word, or by its lease having ended.
            Change::Promote { .. } => done || state.lease != Some(agreed.active),
            // Nobody waits for a provider for ever: what was not published is owed.
            Change::Verify => true,
            Change::Same | Change::Publish | Change::Finish => done,
        };
        if !ready {
            return None;
        }
        let question = (state.agreed, by, change);
        let known = self.followed.read().expect("no thread panics here").get(&question).copied();
        let next = known.unwrap_or_else(|| {
            let next = self.follow(&agreed, by, change).map(|next| self.states.put(next));
            self.followed.write().expect("no thread panics here").insert(question, next);
            next
        })?;
        state.owed |= change == Change::Verify && !done;
        if change == Change::Abort && before.phase == Phase::Promoting {
            state.given_up = Some(before.epoch);
        }
        state.agreed = next;
        state.done = 0;
        state.sent.extend(&self.states.get(next).requests);
        state.sent.sort_unstable();
        state.sent.dedup();
        Some(())
    }

    fn follow(&self, before: &Agreed, by: usize, change: Change) -> Option<Agreed> {
        let evidence = Certificate { ballot: Ballot::ZERO, evidence: vec![] };
        let mut next = changed(&before.state, change, by, &evidence);
        let hash = before.bytes.hash();
        chain::follows(Some((&before.state, hash)), Certainty::Chosen, &next).ok()?;
        let claims = matches!(change, Change::Claim { .. });
        if !claims && next.phase == before.state.phase {
            return None;
        }
        // By which way a state was come to changes nothing that is still to come.
        next.previous = [0; 32];
        Some(Agreed::new(next, self.mutant))
    }

    /// The outside takes a request, if its token is new.
    fn arrive(&self, state: &mut State, request: Request) {
        let Request { token, kind, stack } = request;
        let compares = match kind {
            Kind::Publish => !self.broken(Mutant::BlindPublish),
            Kind::Fence | Kind::Unfence | Kind::Promote => true,
        };
        let held = match kind {
            Kind::Publish => &mut state.marker.token,
            Kind::Fence | Kind::Unfence | Kind::Promote => &mut state.databases[stack].token,
        };
        let blind = !compares || self.broken(Mutant::TokenIgnored);
        if token < *held && !blind {
            return;
        }
        let repeated = token == *held && !blind;
        *held = token;
        if !repeated {
            self.take_effect(state, request);
        }
        if token == self.states.get(state.agreed).token {
            state.done |= kind.bit();
        }
    }

    fn take_effect(&self, state: &mut State, Request { token, kind, stack }: Request) {
        let agreed = self.states.get(state.agreed);
        let database = &mut state.databases[stack];
        match kind {
            Kind::Fence => database.fenced = true,
            Kind::Unfence => database.fenced = false,
            Kind::Promote => {
                let wanted = agreed.active == stack || agreed.state.phase == Phase::Promoting;
                let shut = state.given_up >= Some(token.epoch()) && state.lease != Some(stack);
                if !wanted && !shut {
                    state.harm = Some("a replica is promoted that nobody wants promoted");
                }
                (database.primary, database.fenced) = (true, false);
            }
            Kind::Publish => state.marker.stack = stack,
        }
    }

    /// Is something not as it was agreed, though all of it was done?
    fn strays(&self, state: &State) -> Option<&'static str> {
        let agreed = self.states.get(state.agreed);
        let database = &state.databases[agreed.active];
        let (settled, published) = match agreed.state.phase {
            Phase::Idle | Phase::Verifying => (true, true),
            Phase::Publishing => (true, false),
            Phase::Fencing | Phase::Aborting => (false, true),
            Phase::Promoting => (false, false),
        };
        if settled && (!database.primary || database.fenced) {
            return Some("the active database is closed");
        }
        (published && !state.owed && state.marker.stack != agreed.active)
            .then_some("DNS names another stack")
    }

    /// Who may write (PROTOCOL.md C.1).
    fn writer(agreed: &Agreed) -> Option<usize> {
        match agreed.state.phase {
            Phase::Fencing => None,
            Phase::Promoting => Some(agreed.standby),
            Phase::Idle | Phase::Aborting | Phase::Publishing | Phase::Verifying => {
                Some(agreed.active)
            }
        }
    }
}

/// The token under which the standing decision is published.
fn published(state: &AppState) -> Token {
    Token::new(state.epoch, state.decision.attempt, Phase::Publishing.step())
}

impl Kind {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Agreed {
    fn new(state: AppState, mutant: Option<Mutant>) -> Self {
        let token = match mutant {
            Some(Mutant::SameTokenAbort) => plan::token_of_the_fence(&state),
            _ => plan::token(&state),
        };
        let place = |wanted: &dyn Fn(&Stack) -> bool| {
            state.definition.stacks.iter().position(wanted).expect("it is defined")
        };
        let of = |database: &Target| place(&|stack| stack.databases.contains(database));
        let named = |name: &StackId| place(&|stack| stack.name == *name);
        let request = |effect: &Effect| {
            let (kind, stack) = match effect {
                Effect::Fence(database) => (Kind::Fence, of(database)),
                Effect::Unfence(database) => (Kind::Unfence, of(database)),
                Effect::Promote { database, .. } => (Kind::Promote, of(database)),
                Effect::Publish { stack, .. } => (Kind::Publish, named(stack)),
                // Of databases that are led, or elect by themselves: the modelled ones are not.
                Effect::Follow { .. } | Effect::StepDown { .. } | Effect::Synchronous { .. } => {
                    return None;
                }
            };
            Some(Request { token, kind, stack })
        };
        let requests = plan::effects(&state).iter().filter_map(request).collect();
        let (active, standby) = (named(&state.active), named(standby(&state)));
        let bytes = value::encode(&state);
        Self { bytes, state, token, requests, active, standby }
    }
}

impl Model for Saga {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let primary = Database { primary: true, ..Database::default() };
        vec![State {
            agreed: 0,
            sent: vec![],
            done: 0,
            databases: [primary, Database::default()],
            marker: Marker::default(),
            owed: false,
            lease: Some(0),
            given_up: None,
            harm: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for by in 0..2 {
            actions.extend(TRIED.map(|change| Action::Agree(by, change)));
        }
        actions.extend(state.sent.iter().copied().map(Action::Arrive));
        actions.extend((0..STACKS).map(Action::Grant));
        actions.extend([Action::Expire, Action::Rebuild, Action::Mend]);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        let agreed = self.states.get(state.agreed);
        match action {
            Action::Agree(by, change) => self.agree(&mut state, by, change)?,
            Action::Arrive(request) => self.arrive(&mut state, request),
            Action::Grant(stack) if Self::writer(&agreed) == Some(stack) => {
                state.lease = state.lease.or(Some(stack));
            }
            Action::Grant(_) => return None,
            Action::Expire => state.lease = None,
            Action::Rebuild if agreed.state.phase == Phase::Idle => {
                state.databases[agreed.standby].primary = false;
            }
            Action::Mend if agreed.state.phase == Phase::Idle && state.owed => {
                let token = published(&agreed.state);
                state.sent.push(Request { token, kind: Kind::Publish, stack: agreed.active });
                state.sent.sort_unstable();
                state.sent.dedup();
            }
            Action::Rebuild | Action::Mend => return None,
        }
        // A record may say what is agreed, and be open still to what an older decision asked for.
        state.owed &= state.marker.token < published(&self.states.get(state.agreed).state);
        state.harm = state.harm.or(self.strays(&state));
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what is agreed is so outside", |_, it: &State| it.harm.is_none()),
            Property::sometimes("an app moves there and back", |model: &Self, state: &State| {
                let agreed = model.states.get(state.agreed);
                let moved = agreed.state.decision.kind == DecisionKind::Failover;
                agreed.state.phase == Phase::Idle && moved && agreed.active == 0
            }),
            Property::sometimes(
                "people move on from what is owed",
                |model: &Self, state: &State| {
                    let agreed = model.states.get(state.agreed);
                    agreed.state.decision.kind == DecisionKind::Forced && state.owed
                },
            ),
            Property::sometimes("what is owed is put back", |model: &Self, state: &State| {
                let agreed = model.states.get(state.agreed);
                let newer = state.marker.token.epoch() == agreed.state.epoch;
                agreed.state.phase == Phase::Idle
                    && newer
                    && state
                        .sent
                        .iter()
                        .any(|it| it.kind == Kind::Publish && it.token.epoch() < agreed.state.epoch)
            }),
            Property::sometimes("a promotion is taken back", |model: &Self, state: &State| {
                let agreed = model.states.get(state.agreed);
                agreed.state.phase == Phase::Idle
                    && agreed.active == 0
                    && state.lease == Some(0)
                    && state.given_up.is_some_and(|it| it.next() == agreed.state.epoch)
            }),
            Property::sometimes("a fence is taken back", |model: &Self, state: &State| {
                let agreed = model.states.get(state.agreed);
                agreed.state.phase == Phase::Idle
                    && agreed.state.decision.kind == DecisionKind::Abort
            }),
            Property::sometimes("the lease is handed over", |model: &Self, state: &State| {
                let agreed = model.states.get(state.agreed);
                agreed.active == 1 && state.lease == Some(1)
            }),
        ]
    }
}
