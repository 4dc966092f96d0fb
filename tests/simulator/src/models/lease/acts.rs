//! What each thing that happens changes: production's own grants and holders, given what their processes would be.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::lease::{Grants, Holder, Renewal};
use consensus::model::AcceptorId;
use consensus::moment::Moment;
use consensus::mutant::Mutant;

use super::{Action, Lease, OLD, REVISION, STAGES, Stage, State, clock};
use crate::models::register::At;

impl Lease {
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

    pub(super) fn happen(&self, state: &mut State, action: &Action) -> Option<()> {
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
}
