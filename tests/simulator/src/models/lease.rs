//! m4: who may write, by clocks that are wrong (PROTOCOL.md C.1 to C.3).
//!
//! Voters grant to the guards of one stack at a time by what they have accepted, guards hold doors, and a register goes
//! from the old stack over a fence to the new one. Terms are production's, time goes in ticks, and every clock is a
//! hundredth fast or slow. Messages arrive at any time after they were sent, or never; twice would only bind longer. Where
//! candidates give their word, one voter stands for the majority, and a database is promoted when its guard opens.

mod acts;
mod setup;

use std::time::Duration;

use consensus::lease::{Grants, Holder, Terms};
use consensus::model::{AgentId, AppId, StackId, Voters};
use consensus::moment::Moment;
use consensus::mutant::Mutant;
use stateright::{Model, Property};

use super::pool::{Number, Pool};
use super::register::{At, voters};
use super::{Sheet, explore};
use setup::Setup;

/// The sizes explored.
pub const SHEETS: &[Sheet] = &[
    Sheet {
        name: "m4 lease, 1 voter, 4 ticks",
        states: 26_403,
        knows: &[
            Mutant::TimerStopsWhilePaused,
            Mutant::LeaseFromArrival,
            Mutant::GrantsWhileFencing,
            Mutant::PromotesDespiteLease,
            Mutant::TwoOutstanding,
            Mutant::NoMargin,
            Mutant::MarginShort,
        ],
        explore: |mutant| explore(Lease::new(&Setup::LATE, mutant)),
    },
    Sheet {
        name: "m4 lease, 1 voter, 3 ticks, a restart",
        states: 21_132,
        knows: &[Mutant::GrantForgottenAtRestart],
        explore: |mutant| explore(Lease::new(&Setup::RESTART, mutant)),
    },
    Sheet {
        name: "m4 lease, 1 voter, 4 ticks, a shorter one while one runs",
        states: 14_545,
        knows: &[Mutant::LongerForgotten],
        explore: |mutant| explore(Lease::new(&Setup::SHORTER, mutant)),
    },
    Sheet {
        name: "m4 lease, 1 voter, 13 ticks",
        states: 715_978,
        knows: &[
            Mutant::TimerStopsWhilePaused,
            Mutant::LeaseFromArrival,
            Mutant::GrantsWhileFencing,
            Mutant::PromotesDespiteLease,
            Mutant::TwoOutstanding,
            Mutant::NoMargin,
            Mutant::MarginShort,
        ],
        explore: |mutant| explore(Lease::new(&Setup::FINE, mutant)),
    },
    Sheet {
        name: "m4 lease, 3 voters, 3 ticks, a restart",
        states: 941_958,
        knows: &[
            Mutant::GrantForgottenAtRestart,
            Mutant::PromotesDespiteLease,
            Mutant::TwoOutstanding,
        ],
        explore: |mutant| explore(Lease::new(&Setup::QUORUMS, mutant)),
    },
    Sheet {
        name: "m4 lease, 3 voters, 3 ticks, two renewals",
        states: 808_182,
        knows: &[],
        explore: |mutant| explore(Lease::new(&Setup::TWICE, mutant)),
    },
    Sheet {
        name: "m4 failsafe, 1 voter, 2 candidates, 5 ticks",
        states: 489_568,
        knows: &[
            Mutant::FailsafeByMajority,
            Mutant::FailsafeBarForgotten,
            Mutant::CandidateUnacknowledged,
        ],
        explore: |mutant| explore(Lease::new(&Setup::FAILSAFE, mutant)),
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Old,
    Fenced,
    Promoted,
}

/// What the register comes to, one after the other.
const STAGES: [Stage; 3] = [Stage::Old, Stage::Fenced, Stage::Promoted];

/// The old stack; the last is the one that is moved to.
const OLD: usize = 0;
/// The definition that names the last stack's guard, and so makes it a candidate.
const REVISION: u64 = 2;

/// The model.
pub struct Lease {
    setup: Setup,
    terms: Terms,
    app: AppId,
    stacks: Vec<StackId>,
    agents: Vec<AgentId>,
    voters: Voters,
    mutant: Option<Mutant>,
    grants: Pool<Grants>,
    holders: Pool<Holder>,
}

/// Everything that is so at one time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    tick: u8,
    /// By how many hundredths the old guard's clock and all the others are fast.
    rates: (i64, i64),
    guards: Vec<Guard>,
    voters: Vec<Voter>,
    /// After how many renewals the old guard said that it is shut.
    released: Option<u8>,
    /// Is the definition agreed that has one more candidate?
    listed: bool,
    /// May a process still restart?
    restarts: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Guard {
    holder: Number,
    /// The first tick at which its door is shut.
    shut: u8,
    /// Which stage it knows of.
    knows: u8,
    /// Does it know the newest definition?
    listed: bool,
    renewed: u8,
    /// Which of its renewals said that it knows the newest definition: bits.
    acknowledged: u8,
    /// Which of the old guard's renewals asked the candidates: bits.
    asks: u8,
    /// For which of these it gave its word, and of which the old guard heard: bits.
    vouched: u8,
    told: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Voter {
    grants: Number,
    /// Which stage it accepted last.
    accepted: u8,
    /// Which renewals it granted, and which of these grants were heard, by guard: bits.
    granted: [u8; 3],
    told: [u8; 3],
    /// Did it hear that the old guard is shut?
    released: bool,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time passes.
    Tick,
    /// Time passes while the old guard's process is stopped, and its timer with it.
    TickPaused,
    /// A voter accepts the next stage.
    Accept(At),
    /// A guard learns what is agreed.
    Learn(usize),
    /// A definition with one more candidate is agreed.
    List,
    /// The old guard learns of it.
    LearnList,
    /// A guard asks for its lease.
    Renew(usize),
    /// A voter hears a guard's renewal.
    Ask(usize, u8, At),
    /// A guard hears that a voter granted one.
    Granted(usize, u8, At),
    /// A voter hears what the old guard said when it shut its door.
    Release(At),
    /// A candidate's guard hears that it should vouch for a renewal.
    Vouch(usize, u8),
    /// The old guard hears that it did.
    Vouched(usize, u8),
    /// A voter's process restarts.
    Restart(At),
    /// A candidate's guard restarts.
    RestartGuard(usize),
}

/// What a clock shows: all began long before anything happens.
fn clock(setup: &Setup, tick: u8, rate: i64) -> Moment {
    let micros = setup.tick.as_micros() as i64 * i64::from(tick) * (100 + rate) / 100;
    Moment::from_micros(3_600_000_000 + micros.unsigned_abs())
}

impl Lease {
    fn new(setup: &Setup, mutant: Option<Mutant>) -> Self {
        let names =
            |letter: &str| (0..setup.renewals.len()).map(|it| format!("{letter}{it}")).collect();
        let (stacks, agents): (Vec<String>, Vec<String>) = (names("s"), names("g"));
        let terms = Terms::DEFAULT.broken(mutant);
        let long_ago = clock(setup, 0, 0) - terms.lease * 2;
        let mut holder = Holder::new(terms, Duration::ZERO, false, long_ago);
        holder.counts_from_arrival = mutant == Some(Mutant::LeaseFromArrival);
        let mut lease = Self {
            setup: *setup,
            terms,
            app: "shop".parse().expect("a name"),
            stacks: stacks.iter().map(|it| it.parse().expect("a name")).collect(),
            agents: agents.iter().map(|it| it.parse().expect("a name")).collect(),
            voters: voters(setup.voters),
            mutant,
            grants: Pool::new(Grants::new(terms, &[].into(), &[].into(), long_ago)),
            holders: Pool::new(holder),
        };
        let first = lease.started(Grants::new(terms, &[].into(), &[].into(), long_ago));
        lease.grants = Pool::new(first);
        lease
    }

    fn broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn started(&self, mut grants: Grants) -> Grants {
        grants.keeps_no_account = self.broken(Mutant::TwoOutstanding);
        grants.forgets_longer = self.broken(Mutant::LongerForgotten);
        if self.broken(Mutant::GrantForgottenAtRestart) {
            grants.forget();
        }
        grants
    }

    fn new_stack(&self) -> usize {
        self.stacks.len() - 1
    }

    /// The newest stage that a majority accepted.
    fn agreed(state: &State) -> u8 {
        let mut accepted: Vec<u8> = state.voters.iter().map(|voter| voter.accepted).collect();
        accepted.sort_unstable();
        accepted[state.voters.len() / 2]
    }

    fn stage(number: u8) -> Stage {
        STAGES[usize::from(number)]
    }

    fn writer(&self, stage: u8) -> Option<usize> {
        match Self::stage(stage) {
            Stage::Old => Some(OLD),
            Stage::Fenced => None,
            Stage::Promoted => Some(self.new_stack()),
        }
    }

    fn guard_clock(&self, state: &State, guard: usize) -> Moment {
        let (old, others) = state.rates;
        clock(&self.setup, state.tick, if guard == OLD { old } else { others })
    }

    fn voter_clock(&self, state: &State) -> Moment {
        clock(&self.setup, state.tick, state.rates.1)
    }

    fn is_open(state: &State, guard: usize) -> bool {
        state.tick < state.guards[guard].shut
    }

    /// Everything about who asks whom for a lease, and what comes of it.
    fn renewals(state: &State, actions: &mut Vec<Action>) {
        for (guard, it) in state.guards.iter().enumerate() {
            actions.extend([Action::Learn(guard), Action::Renew(guard)]);
            for number in 1..=it.renewed {
                let has = |bits: [u8; 3]| bits[guard] & 1 << number != 0;
                for (at, voter) in state.voters.iter().enumerate() {
                    // Voters are alike: they are numbered as they grant the first renewal.
                    let turn =
                        (guard, number) != (OLD, 1) || at == 0 || has(state.voters[at - 1].granted);
                    if turn && !has(voter.granted) {
                        actions.push(Action::Ask(guard, number, At(at)));
                    }
                    if has(voter.granted) && !has(voter.told) {
                        actions.push(Action::Granted(guard, number, At(at)));
                    }
                }
            }
        }
    }

    /// Everything about candidates and their word.
    fn words(state: &State, actions: &mut Vec<Action>) {
        let old = &state.guards[OLD];
        actions.extend((!state.listed).then_some(Action::List));
        actions.extend((state.listed && !old.listed).then_some(Action::LearnList));
        for (guard, it) in state.guards.iter().enumerate().skip(1) {
            if state.restarts && it.renewed == 0 {
                actions.push(Action::RestartGuard(guard));
            }
            for number in (1..=old.renewed).filter(|number| old.asks & 1 << number != 0) {
                let has = |bits: u8| bits & 1 << number != 0;
                actions.extend((!has(it.vouched)).then_some(Action::Vouch(guard, number)));
                let heard = has(it.vouched) && !has(it.told);
                actions.extend(heard.then_some(Action::Vouched(guard, number)));
            }
        }
    }
}

impl Model for Lease {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let state = |rates: &(i64, i64)| State {
            tick: 0,
            rates: *rates,
            guards: vec![Guard::default(); self.agents.len()],
            voters: vec![Voter::default(); self.setup.voters],
            released: None,
            listed: false,
            restarts: self.setup.restarts,
        };
        self.setup.rates.iter().map(state).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let voters = || (0..state.voters.len()).map(At);
        if state.tick < self.setup.ticks {
            actions.push(Action::Tick);
            let pauses = self.broken(Mutant::TimerStopsWhilePaused);
            actions.extend(pauses.then_some(Action::TickPaused));
        }
        actions.extend(voters().map(Action::Accept));
        if state.restarts && !self.setup.failsafe {
            actions.extend(voters().map(Action::Restart));
        }
        let deaf = |At(at): &At| state.released.is_some() && !state.voters[*at].released;
        actions.extend(voters().filter(deaf).map(Action::Release));
        Self::renewals(state, actions);
        if self.setup.failsafe {
            Self::words(state, actions);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.happen(&mut state, &action)?;
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one door is open", |_, state: &State| {
                (0..state.guards.len()).filter(|it| Self::is_open(state, *it)).count() <= 1
            }),
            Property::always(
                "no promotion is agreed while the old door is open",
                |model: &Self, state: &State| {
                    // By the candidates' word it may be: then the new guard is barred, and promotes nothing before it opens.
                    let promoted = Self::stage(Self::agreed(state)) == Stage::Promoted;
                    model.setup.failsafe || !promoted || !Self::is_open(state, OLD)
                },
            ),
            Property::sometimes("the new door opens", |model: &Self, state: &State| {
                Self::is_open(state, model.new_stack())
            }),
            Property::sometimes(
                "the old door stays open longer than by one renewal",
                |model: &Self, state: &State| {
                    let once = model.setup.tick * u32::from(state.tick) > model.terms.kept;
                    let twice = model.setup.renewals[OLD] > 1;
                    Self::is_open(state, OLD) && (once || !twice)
                },
            ),
        ]
    }
}
