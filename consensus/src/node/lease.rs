//! Who may write: this agent as a voter that grants, and as whoever has to wait for leases or tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::app::App;
use super::attempt::ROUND;
use super::change::BOTH_FOR;
use super::{Node, PULSE};
use crate::ballot::Acceptor;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::lease::{Renewal, Terms};
use crate::message::{LeaseBody, LeaseMessage, LeaseSaid, Message, Pulse, Refusal, Value};
use crate::model::{
    AcceptorId, AgentId, AppId, AppState, Belief, DataPolicy, DecisionKind, Effect, Fencing,
    GuardSight, Health, Phase, RegisterId, StackId, TargetId,
};
use crate::moment::Moment;
use crate::outbox::Output;
use crate::saved::Entry;

impl Node {
    /// How long leases last where nothing else is defined; other times only as a mutant.
    pub(super) fn terms(config: &crate::config::Config) -> Terms {
        let terms = Terms::DEFAULT;
        let _ = config;
        #[cfg(feature = "mutants")]
        let terms = terms.broken(config.mutant);
        terms
    }

    /// No lease of this app that this agent has to do with may be longer than this, by what is durable.
    pub(super) fn longest_lease(&self, app: &AppId) -> Duration {
        let usual = Self::terms(&self.config).lease;
        self.longest.get(app).map_or(usual, |longest| usual.max(*longest))
    }

    /// From now on a lease of this length may run: that is durable before it does.
    pub(super) fn remember_lease(&mut self, app: &AppId, lease: Duration) {
        if self.longest_lease(app) < lease {
            self.longest.insert(app.clone(), lease);
            self.out.push(Output::Save(Entry::Longest { app: app.clone(), lease }));
        }
    }

    /// For how long both sets of voters are in force at least: no lease that this voter granted before runs longer (PROTOCOL.md
    /// 0.1 a, Lv). Whoever leaves the old set needs its quorum, and so one voter of every quorum that granted a lease.
    pub(super) fn both_for(&self) -> Duration {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::LeftBeforeLease) {
            return BOTH_FOR;
        }
        outlasting(&self.longest)
    }

    /// A message about who may write.
    pub(super) fn on_lease(&mut self, from: &AgentId, message: &LeaseMessage, now: Moment) {
        if message.mesh != self.config.voters.mesh {
            return;
        }
        match message.body {
            // Nobody asks for another lease than a definition may: whoever does is not heeded.
            LeaseBody::Renew { lease, .. } | LeaseBody::Ask { lease }
                if !DataPolicy::may_last(lease) => {}
            LeaseBody::Renew { revision, lease } => {
                self.grant(from, message, (revision, lease), now);
            }
            LeaseBody::Granted { acceptor, voters } => {
                self.granted(from, message, (acceptor, voters), now);
            }
            LeaseBody::Released { revision } => self.on_released(from, message, revision),
            LeaseBody::Ask { lease } => self.vouch(from, message, lease, now),
            LeaseBody::Vouched => self.vouched(from, message, now),
        }
    }

    /// A guard wants its lease renewed, of this voter.
    fn grant(
        &mut self,
        from: &AgentId,
        message: &LeaseMessage,
        (revision, lease): (u64, Duration),
        now: Moment,
    ) {
        let LeaseMessage { app, stack, .. } = message;
        // A store that may have lost something may have lost whom it granted to.
        let voting = self.acceptor.as_ref().filter(|_| self.votes(now));
        let Some(acceptor) = voting.map(Acceptor::id) else { return };
        let Some(state) = self.newest(app) else { return };
        // Who guards what is agreed; a certificate says who asks (PROTOCOL.md 0.1 h).
        if !state.definition.guards(stack).contains(from) {
            return;
        }
        let withheld = state.phase == Phase::Promoting
            && self
                .apps
                .get(app)
                .is_some_and(|it| it.withheld.0 == state.epoch.next() && it.withheld.1 > now);
        let writer = match self.grants_to_the_old(&state, stack) {
            true => Some(stack),
            false => plan::writer(&state).filter(|_| !withheld),
        };
        let renewal = Renewal {
            app: app.clone(),
            stack: stack.clone(),
            guard: from.clone(),
            revision,
            count: (message.instance, message.number),
            lease,
        };
        let Ok(entry) = self.grants.on_renew(renewal, writer, now) else { return };
        self.remember_lease(app, lease);
        let voters = self.config.voters.version;
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::GrantedBeforeSaved) {
            self.lease_reply(from, message, LeaseBody::Granted { acceptor, voters });
            return self.out.queue_save(entry);
        }
        if let Some(entry) = entry {
            self.out.push(Output::Save(entry));
        }
        self.lease_reply(from, message, LeaseBody::Granted { acceptor, voters });
    }

    /// This voter refused to take a promotion back, because a lease of its stack may still run. Others may have accepted it, so
    /// that it can be neither carried on nor dropped while that lease is renewed: it is let run out, for as long as somebody
    /// goes on asking.
    pub(super) fn withhold(&mut self, app: &AppId, value: &Value, left: Duration, now: Moment) {
        let asked = self.config.format.decode(value);
        let Ok(next) = asked else { return };
        let taken_back = next.phase == Phase::Aborting;
        #[cfg(feature = "mutants")]
        let taken_back = taken_back && !self.broken(Mutant::NeverWithheld);
        if let Some(it) = self.apps.get_mut(app).filter(|_| taken_back) {
            it.withheld = (next.epoch, now + left + ROUND);
        }
    }

    fn grants_to_the_old(&self, state: &AppState, stack: &StackId) -> bool {
        let _ = (state, stack);
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::GrantsWhileFencing) && state.decision.from == *stack;
        #[cfg(not(feature = "mutants"))]
        false
    }

    /// The newest state that this agent accepted, or knows to be chosen.
    fn newest(&self, app: &AppId) -> Option<std::sync::Arc<AppState>> {
        let known = self.apps.get(app).and_then(|it| it.chosen.as_ref());
        let held = self.acceptor.as_ref().and_then(|acceptor| acceptor.accepted(&app.into()));
        match (known, held) {
            (Some(known), Some(held)) if known.ballot >= held.ballot => Some(known.state.clone()),
            (_, Some(held)) => self.config.format.decode(&held.value).ok().map(std::sync::Arc::new),
            (known, None) => known.map(|known| known.state.clone()),
        }
    }

    pub(super) fn lease_reply(&mut self, to: &AgentId, message: &LeaseMessage, body: LeaseBody) {
        let reply = LeaseMessage { body, ..message.clone() };
        self.say(to, Message::Lease(reply));
    }

    /// A guard says that it is shut.
    fn on_released(&mut self, from: &AgentId, message: &LeaseMessage, revision: u64) {
        let LeaseMessage { app, stack, instance, number, .. } = message;
        let given_up = Renewal {
            app: app.clone(),
            stack: stack.clone(),
            guard: from.clone(),
            revision,
            count: (*instance, *number),
            lease: Duration::ZERO,
        };
        if let Some(entry) = self.grants.on_release(given_up) {
            self.out.push(Output::Save(entry));
        }
        self.peers.on_released(from, app, stack);
        if let Some(it) = self.apps.get_mut(app)
            && it.known().is_some_and(|(_, state)| state.definition.guards(stack).contains(from))
        {
            it.released.insert((stack.clone(), from.clone()));
        }
    }

    /// An agent that was a guard, and knows that it is none any more, need not acknowledge anything. What it held before its
    /// start may still run: that long it must have been heard.
    pub(super) fn dismiss(&mut self, from: &AgentId, pulse: &Pulse, now: Moment) {
        let terms = Self::terms(&self.config);
        let since = self.peers.peer(from).map_or(now, |peer| peer.since);
        for (register, theirs) in &pulse.chosen {
            let RegisterId::App(app) = register else { continue };
            if now.since(since) < terms.lasting(self.longest_lease(app)).kept {
                continue;
            }
            let Some((known, state)) = self.apps.get(app).and_then(|it| it.known()) else {
                continue;
            };
            let Some(last) = self.grants.last(app) else { continue };
            let named = state.definition.guards(&last.stack).contains(from);
            if *theirs >= known.ballot
                && !named
                && let Some(entry) = self.grants.dismiss(app, from, now)
            {
                self.out.push(Output::Save(entry));
            }
        }
    }

    /// May the old stack's databases be taken for closed, on this voter's own clock?
    pub(super) fn unleased(&self, next: &AppState, now: Moment) -> Result<(), Refusal> {
        #[cfg(feature = "mutants")]
        if self.broken(match next.phase {
            Phase::Aborting => Mutant::GivenUpDespiteLease,
            _ => Mutant::PromotesDespiteLease,
        }) {
            return Ok(());
        }
        self.acknowledged(next)?;
        let (app, to) = (&next.definition.name, &next.decision.to);
        let left = self.grants.left(app, to, now);
        if left.is_zero() { Ok(()) } else { Err(Refusal::Lease(left)) }
    }

    /// Do the old stack's guards know who could be promoted (PROTOCOL.md 0.1 g)?
    pub(super) fn acknowledged(&self, next: &AppState) -> Result<(), Refusal> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::CandidateUnacknowledged) {
            return Ok(());
        }
        let (app, to) = (&next.definition.name, &next.decision.to);
        self.grants.acknowledged(app, to, next.guards_since).map_err(Refusal::Unacknowledged)
    }

    /// Why this voter would refuse any move away from where an app is served, whatever becomes of it: somebody who may hold a
    /// database of it open has not said that it knows who could be promoted, and may have died before it could.
    pub(super) fn would_refuse(&self, state: &AppState) -> Option<String> {
        let voter = self.config.voters.by_agent(&self.config.agent)?;
        let mut others =
            state.definition.stacks.iter().map(|it| &it.name).filter(|it| **it != state.active);
        let app = &state.definition.name;
        let behind = self.grants.acknowledged(app, others.next()?, state.guards_since).err()?;
        Some(format!("{} would refuse: {}", voter.agent, Refusal::Unacknowledged(behind)))
    }

    /// Where a proof is required: did each of the old stack's guards ever hold a lease by this voter's grant? Of one that
    /// never did nobody knows whether it has a door, and that no lease runs proves nothing.
    pub(super) fn provable(&self, next: &AppState) -> Result<(), Refusal> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::NeverHeldProves) {
            return Ok(());
        }
        let (definition, from) = (&next.definition, &next.decision.from);
        if definition.data.fencing != Fencing::Required {
            return Ok(());
        }
        let last = self.grants.last(&definition.name).filter(|last| last.stack == *from);
        let held = |guard: &AgentId| last.is_some_and(|it| it.acknowledged.contains_key(guard));
        match definition.guards(from).into_iter().find(|guard| !held(guard)) {
            Some(guard) => Err(Refusal::NeverHeld(guard.clone())),
            None => Ok(()),
        }
    }

    /// When a quorum's grants to another stack than `to` will have ended, as far as voters told: a proposer that came before
    /// would only be refused. Nobody waits for a guard that said it is shut.
    pub(super) fn lease_over(&self, app: &AppId, state: &AppState, now: Moment) -> Moment {
        self.lease_ends(app, (&state.decision.from, &state.decision.to), now)
    }

    /// The same of a lease of `from`, and of any other stack than `to`.
    pub(super) fn lease_ends(
        &self,
        app: &AppId,
        (from, to): (&StackId, &StackId),
        now: Moment,
    ) -> Moment {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::PromotesDespiteLease) || self.broken(Mutant::GivenUpDespiteLease) {
            return now;
        }
        let Some((it, (_, state))) = self.apps.get(app).and_then(|it| Some((it, it.known()?)))
        else {
            return now;
        };
        let guards = state.definition.guards(from);
        let shut = |guard: &&AgentId| it.released.contains(&(from.clone(), (*guard).clone()));
        // What it said before it became the writer says nothing of now.
        if plan::writer(state) != Some(from) && guards.iter().all(shut) {
            return now;
        }
        let voters = &self.config.voters;
        let mut ends: Vec<(Moment, AcceptorId)> = voters
            .all()
            .map(|voter| {
                let left = match voter.agent == self.config.agent {
                    true => now + self.grants.left(app, to, now),
                    false => self.peers.granted(&voter.agent, app, to),
                };
                (left, voter.acceptor)
            })
            .collect();
        ends.sort_unstable();
        let mut over = BTreeSet::new();
        for (end, acceptor) in ends {
            over.insert(acceptor);
            if voters.quorum(&over) {
                return end.max(now);
            }
        }
        Moment::NEVER
    }

    /// Does the guard of this database hold its door open? A guarded database is promoted only then: its guard is there, it
    /// is bound by nobody's failsafe, and writes will pass.
    pub(super) fn is_open(
        &self,
        app: &AppId,
        stack: &StackId,
        guard: &AgentId,
        now: Moment,
    ) -> bool {
        self.open_until(app, stack, guard) > now
    }

    /// May it, as far as is known here? By a grant of this agent's own; and what a guard held when it last spoke it may have got
    /// for longer since, by another lease or the candidates' word: that is told by its next pulse, or the one after.
    fn may_be_open(&self, app: &AppId, stack: &StackId, guard: &AgentId, now: Moment) -> bool {
        let mut running = self.grants.running(now);
        if running.any(|(of, to, by, _)| (of, to, by) == (app, stack, guard)) {
            return true;
        }
        // After a restart nobody else may say so: this agent's own word, as another stack's guard, holds the writer's door.
        let it = self
            .apps
            .get(app)
            .filter(|it| it.known().is_some_and(|(_, state)| plan::writer(state) == Some(stack)));
        let mut others = it.into_iter().flat_map(|it| &it.guarding).filter(|(of, _)| *of != stack);
        if others.any(|(_, it)| it.holder.barred(now) > Duration::ZERO) {
            return true;
        }
        let until = self.open_until(app, stack, guard);
        let spoke = self.peers.peer(guard).map_or(Moment::ZERO, |peer| peer.pulsed);
        now < until || (spoke < until && now.since(spoke) <= PULSE * 2)
    }

    /// Until when a guard holds a stack's databases open, by its last word.
    pub(super) fn open_until(&self, app: &AppId, stack: &StackId, guard: &AgentId) -> Moment {
        match *guard == self.config.agent {
            true => {
                let guarding = self.apps.get(app).and_then(|it| it.guarding.get(stack));
                guarding.map_or(Moment::ZERO, |it| it.holder.open())
            }
            false => self.peers.open(guard, app, stack),
        }
    }

    /// Must a request wait for a lease? The last position of a planned move is asked for once nothing more is written; what
    /// a guard keeps shut is not promoted yet.
    pub(super) fn waits_for_lease(&self, state: &AppState, effect: &Effect, now: Moment) -> bool {
        let app = &state.definition.name;
        match effect {
            Effect::Fence(database) if database.guard.is_some() => {
                state.decision.kind == DecisionKind::Switchover
                    && self.lease_over(app, state, now) > now
            }
            Effect::Promote { database, .. } => database
                .guard
                .as_ref()
                .is_some_and(|guard| !self.is_open(app, &state.decision.to, guard, now)),
            Effect::Fence(_)
            | Effect::Unfence(_)
            | Effect::Follow { .. }
            | Effect::StepDown { .. }
            | Effect::Synchronous { .. }
            | Effect::Publish { .. } => false,
        }
    }

    /// What this agent, as a voter and as a guard, says of leases in its pulse.
    pub(super) fn leases_said(&self, now: Moment) -> (Vec<LeaseSaid>, Vec<LeaseSaid>) {
        let granted = self.grants.running(now).map(|(app, stack, guard, left)| LeaseSaid {
            app: app.clone(),
            stack: stack.clone(),
            guard: guard.clone(),
            left,
        });
        let open = self.apps.iter().flat_map(|(app, it)| {
            let open = it.guarding.iter().filter(|(_, it)| it.holder.open() > now);
            open.map(|(stack, it)| LeaseSaid {
                app: app.clone(),
                stack: stack.clone(),
                guard: self.config.agent.clone(),
                left: it.holder.left(now),
            })
        });
        (granted.collect(), open.collect())
    }

    /// Which guards' doors are open, as far as is known here, in the order of apps: whoever hears a guard that no voter hears is
    /// all that keeps its stack from being left, and must say so at once.
    pub(super) fn doors(&self, now: Moment) -> Vec<bool> {
        let states = self.apps.iter().filter_map(|(app, it)| Some((app, it.known()?.1)));
        let doors = states.flat_map(|(app, state)| {
            let guarded = state.definition.guarded();
            guarded.filter_map(move |(stack, it)| Some((app, stack, it.guard.as_ref()?)))
        });
        doors.map(|(app, stack, guard)| self.may_be_open(app, stack, guard, now)).collect()
    }

    /// What this agent believes of an app's targets, with what it knows of their guards.
    pub(super) fn beliefs_of(&self, app: &AppId, now: Moment) -> Vec<Belief> {
        let mut beliefs = self.judge.beliefs_of(app, now);
        self.sight_guards(&mut beliefs, now);
        beliefs
    }

    /// Adds what is known first hand of the guards of databases.
    pub(super) fn sight_guards(&self, beliefs: &mut [Belief], now: Moment) {
        for belief in beliefs {
            let state = self.apps.get(&belief.target.app).and_then(App::known);
            let database = state.and_then(|(_, state)| {
                let mut guarded = state.definition.guarded();
                let TargetId { stack, name, .. } = &belief.target;
                guarded.find(|(of, it)| *of == stack && it.name == *name).map(|(_, it)| it)
            });
            let serves = state.is_some_and(|(_, state)| state.active == belief.target.stack);
            let guard = database.and_then(|database| database.guard.as_ref());
            belief.guard = guard
                .map(|guard| self.guard_sight(guard, &belief.target, (belief.health, serves), now));
        }
    }

    fn guard_sight(
        &self,
        guard: &AgentId,
        target: &TargetId,
        (own, serves): (Health, bool),
        now: Moment,
    ) -> GuardSight {
        let TargetId { app, stack, .. } = target;
        let me = *guard == self.config.agent;
        let peer = self.peers.peer(guard);
        let heard = peer.map_or(GuardSight::NEVER, |peer| now.since(peer.heard));
        let said = self.hearsay.word(guard).and_then(|word| {
            word.beliefs.iter().find(|belief| belief.target == *target).map(|belief| belief.health)
        });
        let last = self.grants.last(app).filter(|last| last.stack == *stack);
        let by_grant = last.is_some_and(|last| last.acknowledged.contains_key(guard));
        GuardSight {
            heard: if me { Duration::ZERO } else { heard.min(GuardSight::NEVER) },
            health: if me { own } else { said.unwrap_or(Health::Unknown) },
            open: self.may_be_open(app, stack, guard, now),
            lived: serves && (by_grant || self.open_until(app, stack, guard) > Moment::ZERO),
        }
    }
}

fn outlasting(longest: &BTreeMap<AppId, Duration>) -> Duration {
    let kept = longest.values().map(|lease| Terms::DEFAULT.lasting(*lease).kept);
    kept.fold(BOTH_FOR, Duration::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sets_of_voters_outlast_every_lease() {
        assert_eq!(outlasting(&BTreeMap::new()), BOTH_FOR);
        let of = |name: &str, lease| (name.parse().expect("a name"), Duration::from_secs(lease));
        assert_eq!(outlasting(&[of("shop", 3)].into()), BOTH_FOR);
        let long = outlasting(&[of("blog", 60), of("shop", 12)].into());
        assert_eq!(long, Terms::DEFAULT.lasting(Duration::from_secs(60)).kept);
        assert!(Duration::from_secs(60).mul_f64(1.01 / 0.99) < long);
    }
}
