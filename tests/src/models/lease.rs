//! m4: who may write, by clocks that are wrong (PROTOCOL.md C.1 to C.3).
//!
//! Voters grant to the guards of one stack at a time by what they have accepted, guards hold doors, and a register goes
//! from the old stack over a fence to the new one. Terms are production's, time goes in ticks, and every clock is a
//! hundredth fast or slow. Messages arrive at any time after they were sent, or never; twice would only bind longer. Where
//! candidates give their word, one voter stands for the majority, and a database is promoted when its guard opens.

mod setup;

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::lease::{Grants, Holder, Renewal, Terms};
use consensus::model::{AcceptorId, AgentId, AppId, StackId, Voters};
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
        name: "m4 lease, 3 voters, 3 ticks",
        states: 197_956,
        knows: &[Mutant::PromotesDespiteLease, Mutant::TwoOutstanding],
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

    fn accept(&self, state: &mut State, At(at): At) -> Option<()> {
        let next = state.voters[at].accepted + 1;
        if usize::from(next) >= STAGES.len() || Self::agreed(state) + 1 < next {
            return None;
        }
        let grants = self.grants.get(state.voters[at].grants);
        let new = &self.stacks[self.new_stack()];
        let listed = !self.setup.failsafe
            || state.listed
                && (self.broken(Mutant::CandidateUnacknowledged)
                    || grants.acknowledged(&self.app, new, REVISION).is_ok());
        let over = self.broken(Mutant::PromotesDespiteLease)
            || grants.left(&self.app, new, self.voter_clock(state)).is_zero();
        if Self::stage(next) == Stage::Promoted && !(listed && over) {
            return None;
        }
        state.voters[at].accepted = next;
        Some(())
    }

    fn learn(&self, state: &mut State, guard: usize) -> Option<()> {
        let agreed = Self::agreed(state);
        if state.guards[guard].knows >= agreed {
            return None;
        }
        state.guards[guard].knows = agreed;
        if self.writer(agreed) != Some(guard) {
            let now = self.guard_clock(state, guard);
            self.hold(state, guard, |holder| holder.shut(now));
            state.guards[guard].shut = 0;
            if guard == OLD {
                state.released.get_or_insert(state.guards[OLD].renewed);
            }
        }
        Some(())
    }

    fn hold<T>(&self, state: &mut State, guard: usize, act: impl FnOnce(&mut Holder) -> T) -> T {
        let mut holder = (*self.holders.get(state.guards[guard].holder)).clone();
        let done = act(&mut holder);
        state.guards[guard].holder = self.holders.put(holder);
        done
    }

    fn renew(&self, state: &mut State, guard: usize) -> Option<()> {
        let it = &state.guards[guard];
        let now = self.guard_clock(state, guard);
        let may = it.renewed < self.setup.renewals[guard] && self.writer(it.knows) == Some(guard);
        let mut holder = (*self.holders.get(it.holder)).clone();
        if self.broken(Mutant::FailsafeBarForgotten) {
            holder.unbar();
        }
        if !may || holder.due() > now {
            return None;
        }
        if it.renewed == 1 {
            holder.set_terms(self.terms.lasting(self.lease_of(guard, 2)));
        }
        let asks = self.setup.failsafe && guard == OLD && holder.wants_vouchers(now);
        let number = holder.renew(now) as u8;
        let newest = if it.listed { REVISION } else { 1 };
        let acknowledged = holder.acknowledges(newest, now) == REVISION;
        let holder = self.holders.put(holder);
        let it = &mut state.guards[guard];
        it.acknowledged |= u8::from(acknowledged) << number;
        it.asks |= u8::from(asks) << number;
        (it.renewed, it.holder) = (number, holder);
        Some(())
    }

    /// How long a lease this renewal asks for.
    fn lease_of(&self, guard: usize, number: u8) -> Duration {
        match self.setup.second {
            Some(second) if (guard, number) == (OLD, 2) => second,
            _ => self.terms.lease,
        }
    }

    fn ask(&self, state: &mut State, guard: usize, number: u8, At(at): At) -> Option<()> {
        let now = self.voter_clock(state);
        let acknowledged = state.guards[guard].acknowledged & 1 << number != 0;
        let voter = &mut state.voters[at];
        let writer = match self.broken(Mutant::GrantsWhileFencing) {
            true => Some(guard),
            false => self.writer(voter.accepted),
        };
        let renewal = Renewal {
            app: self.app.clone(),
            stack: self.stacks[guard].clone(),
            guard: self.agents[guard].clone(),
            revision: if acknowledged { REVISION } else { 1 },
            count: (1, u64::from(number)),
            lease: self.lease_of(guard, number),
        };
        let mut grants = (*self.grants.get(voter.grants)).clone();
        // What is refused may as well come later.
        grants.on_renew(renewal, writer.map(|it| &self.stacks[it]), now).ok()?;
        voter.grants = self.grants.put(grants);
        voter.granted[guard] |= 1 << number;
        match self.setup.late {
            true => Some(()),
            false => self.granted(state, guard, number, At(at)),
        }
    }

    fn granted(&self, state: &mut State, guard: usize, number: u8, At(at): At) -> Option<()> {
        let now = self.guard_clock(state, guard);
        let until = self.hold(state, guard, |holder| {
            let until = holder.on_granted(number.into(), AcceptorId(at as u128), &self.voters, now);
            if until.is_some() {
                holder.stops_vouching();
            }
            until
        });
        state.voters[at].told[guard] |= 1 << number;
        self.open(state, guard, until);
        Some(())
    }

    fn open(&self, state: &mut State, guard: usize, until: Option<Moment>) {
        let Some(until) = until else { return };
        let rate = if guard == OLD { state.rates.0 } else { state.rates.1 };
        let shut = (state.tick..).find(|tick| until <= clock(&self.setup, *tick, rate));
        state.guards[guard].shut = shut.expect("leases are short");
    }

    fn release(&self, state: &mut State, At(at): At) -> Option<()> {
        let given_up = Renewal {
            app: self.app.clone(),
            stack: self.stacks[OLD].clone(),
            guard: self.agents[OLD].clone(),
            revision: if state.guards[OLD].listed { REVISION } else { 1 },
            count: (1, u64::from(state.released?)),
            lease: Duration::ZERO,
        };
        let voter = &mut state.voters[at];
        let mut grants = (*self.grants.get(voter.grants)).clone();
        grants.on_release(given_up);
        voter.grants = self.grants.put(grants);
        voter.released = true;
        Some(())
    }

    fn vouch(&self, state: &mut State, guard: usize, number: u8) -> Option<()> {
        if self.writer(state.guards[guard].knows) != Some(OLD) {
            return None;
        }
        let now = self.guard_clock(state, guard);
        self.hold(state, guard, |holder| holder.vouch(self.terms.lease, now))?;
        state.guards[guard].vouched |= 1 << number;
        Some(())
    }

    fn vouched(&self, state: &mut State, by: usize, number: u8) -> Option<()> {
        let listed = state.guards[OLD].listed;
        let candidates = &self.agents[1..if listed { self.agents.len() } else { self.new_stack() }];
        let candidates: BTreeSet<_> = candidates.iter().cloned().collect();
        let needed = match self.broken(Mutant::FailsafeByMajority) {
            true => candidates.len() / 2,
            false => candidates.len(),
        };
        let list = (&candidates, if listed { REVISION } else { 1 });
        let now = self.guard_clock(state, OLD);
        let until = self.hold(state, OLD, |holder| {
            holder.on_vouched(number.into(), &self.agents[by], list, needed, now)
        });
        state.guards[by].told |= 1 << number;
        self.open(state, OLD, until);
        Some(())
    }

    fn restart(&self, state: &mut State, At(at): At) -> Option<()> {
        let now = self.voter_clock(state);
        let grants = self.grants.get(state.voters[at].grants);
        let saved = grants.last(&self.app).map(|last| (self.app.clone(), last.clone()));
        let grants = Grants::new(self.terms, &saved.into_iter().collect(), &[].into(), now);
        state.voters[at].grants = self.grants.put(self.started(grants));
        state.restarts = false;
        Some(())
    }

    fn restart_guard(&self, state: &mut State, guard: usize) -> Option<()> {
        let vouching = state.guards[guard].vouched != 0;
        let now = self.guard_clock(state, guard);
        let holder = Holder::new(self.terms, Duration::ZERO, vouching, now);
        state.guards[guard].holder = self.holders.put(holder);
        state.restarts = false;
        Some(())
    }

    fn happen(&self, state: &mut State, action: &Action) -> Option<()> {
        match *action {
            Action::Tick => state.tick += 1,
            Action::TickPaused => {
                state.guards[OLD].shut += u8::from(Self::is_open(state, OLD));
                state.tick += 1;
            }
            Action::Accept(at) => self.accept(state, at)?,
            Action::Learn(guard) => self.learn(state, guard)?,
            Action::List => state.listed = true,
            Action::LearnList => state.guards[OLD].listed = true,
            Action::Renew(guard) => self.renew(state, guard)?,
            Action::Ask(guard, number, at) => self.ask(state, guard, number, at)?,
            Action::Granted(guard, number, at) => self.granted(state, guard, number, at)?,
            Action::Release(at) => self.release(state, at)?,
            Action::Vouch(guard, number) => self.vouch(state, guard, number)?,
            Action::Vouched(by, number) => self.vouched(state, by, number)?,
            Action::Restart(at) => self.restart(state, at)?,
            Action::RestartGuard(guard) => self.restart_guard(state, guard)?,
        }
        Some(())
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
