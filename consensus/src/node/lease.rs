//! Who may write: this agent as a voter that grants, as a guard that holds a door, and as a proposer that waits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::app::App;
use crate::codec;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::lease::{Holder, Renewal, Terms};
use crate::message::{LeaseBody, LeaseMessage, LeaseSaid, Message, Pulse, Refusal};
use crate::model::{
    AcceptorId, AgentId, AppId, AppState, Belief, DecisionKind, Effect, GuardSight, Health,
    RegisterId, StackId, TargetId,
};
use crate::moment::Moment;
use crate::outbox::{Deadline, Hold, Note, Output};
use crate::saved::Entry;

/// Between two tellings that a door is shut, and how many there are: messages are lost.
const TOLD_EVERY: Duration = Duration::from_secs(1);
const TOLD_MOST: u32 = 5;

/// One stack whose databases, or some of them, this agent guards.
#[derive(Debug)]
pub struct Guarding {
    pub holder: Holder,
    /// The databases whose doors it holds.
    targets: Vec<TargetId>,
    /// What was last said of it.
    told: Option<Hold>,
    /// How often it was said since then that it is shut, and when to say it again.
    releases: (u32, Moment),
}

impl Guarding {
    fn is_shut(&self) -> bool {
        self.told == Some(Hold::Released)
    }

    pub fn wake(&self, now: Moment) -> Deadline {
        if self.is_shut() {
            let at = if self.releases.0 < TOLD_MOST { self.releases.1 } else { Moment::NEVER };
            return (at, "a door that is shut is told of");
        }
        let lapses = if self.holder.open() > now { self.holder.open() } else { Moment::NEVER };
        self.due_or((lapses, "a lease runs out"))
    }

    fn due_or(&self, other: Deadline) -> Deadline {
        (self.holder.due(), "a lease is to be renewed").min(other)
    }
}

impl Node {
    /// How long leases last; other times only as a mutant.
    pub(super) fn terms(config: &crate::config::Config) -> Terms {
        let terms = Terms::DEFAULT;
        let _ = config;
        #[cfg(feature = "mutants")]
        let terms = match config.mutant {
            Some(Mutant::NoMargin) => Terms { kept: terms.lease, margin: Duration::ZERO, ..terms },
            Some(Mutant::MarginShort) => {
                Terms { kept: terms.lease.mul_f64(1.01), margin: Duration::ZERO, ..terms }
            }
            _ => terms,
        };
        terms
    }

    /// A message about who may write.
    pub(super) fn on_lease(&mut self, from: &AgentId, message: &LeaseMessage, now: Moment) {
        if message.mesh != self.config.voters.mesh {
            return;
        }
        match message.body {
            LeaseBody::Renew { revision } => self.grant(from, message, revision, now),
            LeaseBody::Granted { acceptor, voters } => {
                self.granted(from, message, (acceptor, voters), now);
            }
            LeaseBody::Released => self.on_released(from, &message.app, &message.stack),
            LeaseBody::Ask => self.vouch(from, message, now),
            LeaseBody::Vouched => self.vouched(from, message, now),
        }
    }

    /// A guard wants its lease renewed, of this voter.
    fn grant(&mut self, from: &AgentId, message: &LeaseMessage, revision: u64, now: Moment) {
        let LeaseMessage { app, stack, .. } = message;
        let Some(acceptor) = self.acceptor.as_ref().map(crate::ballot::Acceptor::id) else {
            return;
        };
        let Some(state) = self.newest(app) else { return };
        // Who guards what is agreed; a certificate says who asks (PROTOCOL.md 0.1 h).
        if !state.definition.guards(stack).contains(from) {
            return;
        }
        let writer = match self.grants_to_the_old(&state, stack) {
            true => Some(stack),
            false => plan::writer(&state),
        };
        let renewal =
            Renewal { app: app.clone(), stack: stack.clone(), guard: from.clone(), revision };
        let Ok(entry) = self.grants.on_renew(renewal, writer, now) else { return };
        if let Some(entry) = entry {
            self.out.push(Output::Save(entry));
        }
        let voters = self.config.voters.version;
        self.lease_reply(from, message, LeaseBody::Granted { acceptor, voters });
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
            (_, Some(held)) => codec::decode(held.value.bytes()).ok(),
            (known, None) => known.map(|known| known.state.clone()),
        }
    }

    fn lease_reply(&mut self, to: &AgentId, message: &LeaseMessage, body: LeaseBody) {
        let reply = LeaseMessage { body, ..message.clone() };
        self.say(to, Message::Lease(reply));
    }

    /// A guard says that it is shut.
    fn on_released(&mut self, from: &AgentId, app: &AppId, stack: &StackId) {
        self.grants.on_release(app, stack, from);
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
        let lasts = Self::terms(&self.config).kept;
        let since = self.peers.peer(from).map_or(now, |peer| peer.since);
        if now.since(since) < lasts {
            return;
        }
        for (register, theirs) in &pulse.chosen {
            let RegisterId::App(app) = register else { continue };
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
    pub(super) fn unleased(
        &self,
        app: &AppId,
        (from, to): (&StackId, &StackId),
        since: u64,
        now: Moment,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::PromotesDespiteLease) {
            return Ok(());
        }
        self.acknowledged(app, from, since)?;
        let left = self.grants.left(app, to, now);
        if left.is_zero() { Ok(()) } else { Err(Refusal::Lease(left)) }
    }

    /// Do the old stack's guards know who could be promoted (PROTOCOL.md 0.1 g)?
    pub(super) fn acknowledged(
        &self,
        app: &AppId,
        from: &StackId,
        since: u64,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::CandidateUnacknowledged) {
            return Ok(());
        }
        self.grants.acknowledged(app, from, since).map_err(Refusal::Unacknowledged)
    }

    /// When a quorum's grants to another stack than `to` will have ended, as far as voters told: a proposer that came before
    /// would only be refused. Nobody waits for a guard that said it is shut.
    pub(super) fn lease_over(&self, app: &AppId, state: &AppState, now: Moment) -> Moment {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::PromotesDespiteLease) {
            return now;
        }
        let Some(it) = self.apps.get(app) else { return now };
        let (from, to) = (&state.decision.from, &state.decision.to);
        let guards = state.definition.guards(from);
        let shut = |guard: &&AgentId| it.released.contains(&(from.clone(), (*guard).clone()));
        if guards.iter().all(shut) {
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
    fn is_open(&self, app: &AppId, stack: &StackId, guard: &AgentId, now: Moment) -> bool {
        self.open_until(app, stack, guard) > now
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
    pub(super) fn held_back(&self, state: &AppState, effect: &Effect, now: Moment) -> bool {
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
            Effect::Fence(_) | Effect::Unfence(_) | Effect::Publish { .. } => false,
        }
    }

    /// What is defined has changed, or was learnt: which doors are this agent's?
    pub(super) fn take_guard(&mut self, app: &AppId, now: Moment) {
        let me = self.config.agent.clone();
        let terms = Self::terms(&self.config);
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(known) = &it.chosen else { return };
        let state = known.state.clone();
        let writer = plan::writer(&state);
        it.released.retain(|(stack, _)| writer != Some(stack));
        let mine = |stack: &StackId| -> Vec<TargetId> {
            let guarded = state.definition.guarded();
            let mine = guarded.filter(|(of, it)| *of == stack && it.guard.as_ref() == Some(&me));
            let target = |name: &crate::model::TargetName| TargetId {
                app: app.clone(),
                stack: stack.clone(),
                name: name.clone(),
            };
            mine.map(|(_, database)| target(&database.name)).collect()
        };
        let (kept, dismissed) = std::mem::take(&mut it.guarding)
            .into_iter()
            .partition(|(stack, _)| !mine(stack).is_empty());
        it.guarding = kept;
        let dismissed: std::collections::BTreeMap<StackId, Guarding> = dismissed;
        for stack in &state.definition.stacks {
            let targets = mine(&stack.name);
            if targets.is_empty() {
                continue;
            }
            let vouching = self.vouching.contains(&(app.clone(), stack.name.clone()));
            let guarding = it.guarding.entry(stack.name.clone()).or_insert_with(|| Guarding {
                holder: Holder::new(terms, vouching, now),
                targets: Vec::new(),
                told: None,
                releases: (0, Moment::ZERO),
            });
            #[cfg(feature = "mutants")]
            {
                guarding.holder.counts_from_arrival = self.config.broken(Mutant::LeaseFromArrival);
            }
            guarding.targets = targets;
        }
        for (stack, mut guarding) in dismissed {
            self.shut(app, &stack, &mut guarding, now);
            self.tell_released(app, &stack);
        }
    }

    /// Keeps up, or ends, the leases of the databases that this agent guards.
    pub(super) fn guard(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app).filter(|it| !it.guarding.is_empty()) else { return };
        let Some(known) = &it.chosen else { return };
        let state = known.state.clone();
        let mut guarding = std::mem::take(&mut it.guarding);
        let writer = plan::writer(&state);
        for (stack, guarding) in &mut guarding {
            match writer == Some(stack) {
                true => self.hold(app, stack, guarding, &state, now),
                false => self.stay_shut(app, stack, guarding, now),
            }
        }
        self.apps.get_mut(app).expect("it is guarded").guarding = guarding;
    }

    fn hold(
        &mut self,
        app: &AppId,
        stack: &StackId,
        guarding: &mut Guarding,
        state: &AppState,
        now: Moment,
    ) {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::FailsafeBarForgotten) {
            guarding.holder.unbar();
        }
        let was_told = guarding.told;
        let holder = &mut guarding.holder;
        if holder.due() <= now {
            let asks = holder.wants_vouchers(now);
            let number = holder.renew(now);
            let revision = holder.acknowledges(state.revision, now);
            let message = |body| LeaseMessage {
                mesh: self.config.voters.mesh,
                app: app.clone(),
                stack: stack.clone(),
                instance: self.instance,
                number,
                body,
            };
            let (renew, ask) = (message(LeaseBody::Renew { revision }), message(LeaseBody::Ask));
            let voters: Vec<_> = self.config.voters.agents().into_iter().cloned().collect();
            for voter in voters {
                self.say(&voter, Message::Lease(renew.clone()));
            }
            let candidates = candidates(state, stack).filter(|_| asks);
            for candidate in candidates.into_iter().flatten() {
                self.say(&candidate, Message::Lease(ask.clone()));
            }
        }
        let holder = &guarding.holder;
        let how = match (holder.open() > now, holder.failsafe(now)) {
            (true, true) => Some(Hold::Failsafe),
            (true, false) => Some(Hold::Leased),
            (false, _) if matches!(was_told, Some(Hold::Leased | Hold::Failsafe)) => {
                Some(Hold::Lapsed)
            }
            // Nothing is said of a door that has not been opened yet.
            (false, _) => was_told.filter(|told| *told == Hold::Lapsed),
        };
        if how != was_told
            && let Some(how) = how
        {
            self.out.note(Note::Guards { app: app.clone(), stack: stack.clone(), how });
        }
        guarding.told = how;
    }

    fn stay_shut(&mut self, app: &AppId, stack: &StackId, guarding: &mut Guarding, now: Moment) {
        if !guarding.is_shut() {
            self.shut(app, stack, guarding, now);
        }
        let (times, at) = guarding.releases;
        if times < TOLD_MOST && at <= now {
            guarding.releases = (times + 1, now + TOLD_EVERY);
            self.tell_released(app, stack);
        }
    }

    /// Shuts the doors, whatever is thought of them: they may be open since before this start.
    fn shut(&mut self, app: &AppId, stack: &StackId, guarding: &mut Guarding, now: Moment) {
        if guarding.holder.shut(now) {
            let how = Hold::Released;
            self.out.note(Note::Guards { app: app.clone(), stack: stack.clone(), how });
        }
        guarding.told = Some(Hold::Released);
        guarding.releases = (0, now);
        for target in &guarding.targets {
            self.out.push(Output::Lease(target.clone(), now));
        }
    }

    fn tell_released(&mut self, app: &AppId, stack: &StackId) {
        let message = Message::Lease(LeaseMessage {
            mesh: self.config.voters.mesh,
            app: app.clone(),
            stack: stack.clone(),
            instance: self.instance,
            number: 0,
            body: LeaseBody::Released,
        });
        let me = self.config.agent.clone();
        self.loopback.push_back(message.clone());
        for agent in self.everybody().into_iter().filter(|agent| *agent != me) {
            self.out.send(&agent, message.clone());
        }
    }

    /// A voter granted a renewal of ours.
    fn granted(
        &mut self,
        from: &AgentId,
        message: &LeaseMessage,
        (acceptor, version): (AcceptorId, u64),
        now: Moment,
    ) {
        let voters = &self.config.voters;
        let theirs = voters.by_acceptor(acceptor).is_some_and(|voter| voter.agent == *from);
        if !theirs || message.instance != self.instance || version != voters.version {
            return;
        }
        let Some(guarding) =
            self.apps.get_mut(&message.app).and_then(|it| it.guarding.get_mut(&message.stack))
        else {
            return;
        };
        let was_open = guarding.holder.open() > now;
        let Some(until) = guarding.holder.on_granted(message.number, acceptor, voters, now) else {
            return;
        };
        // From here on nobody's lease rests on this guard's word.
        if guarding.holder.stops_vouching() {
            let (app, stack) = (message.app.clone(), message.stack.clone());
            self.vouching.remove(&(app.clone(), stack.clone()));
            self.out.push(Output::Save(Entry::Vouching { app, stack, vouching: false }));
        }
        self.open(&message.app, &message.stack, until);
        if !was_open {
            // Whoever is to promote the database waits for this.
            self.pulse(now);
        }
    }

    fn open(&mut self, app: &AppId, stack: &StackId, until: Moment) {
        let guarding = &self.apps[app].guarding[stack];
        for target in &guarding.targets {
            self.out.push(Output::Lease(target.clone(), until));
        }
    }

    /// The writer's guard asks for this one's word that it opens nothing meanwhile (PROTOCOL.md C.3).
    fn vouch(&mut self, from: &AgentId, message: &LeaseMessage, now: Moment) {
        let LeaseMessage { app, stack, .. } = message;
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(known) = &it.chosen else { return };
        let state = &known.state;
        if plan::writer(state) != Some(stack) || !state.definition.guards(stack).contains(from) {
            return;
        }
        let mut others = it.guarding.iter_mut().filter(|(of, _)| *of != stack).peekable();
        if others.peek().is_none() {
            return;
        }
        let mut entries = Vec::new();
        for (of, guarding) in others {
            match guarding.holder.vouch(now) {
                None => return,
                Some(false) => {}
                Some(true) => entries.push((app.clone(), of.clone())),
            }
        }
        for (app, stack) in entries {
            self.vouching.insert((app.clone(), stack.clone()));
            self.out.push(Output::Save(Entry::Vouching { app, stack, vouching: true }));
        }
        self.lease_reply(from, message, LeaseBody::Vouched);
    }

    /// A candidate's guard gave its word.
    fn vouched(&mut self, from: &AgentId, message: &LeaseMessage, now: Moment) {
        let LeaseMessage { app, stack, instance, number, .. } = message;
        if *instance != self.instance {
            return;
        }
        let most = self.needs_most_only();
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(state) = it.chosen.as_ref().map(|known| known.state.clone()) else { return };
        let Some(guarding) = it.guarding.get_mut(stack) else { return };
        let Some(candidates) = candidates(&state, stack) else { return };
        let needed = if most { candidates.len() / 2 } else { candidates.len() };
        let list = (&candidates, state.guards_since);
        let opened = guarding.holder.on_vouched(*number, from, list, needed, now);
        if let Some(until) = opened {
            self.open(app, stack, until);
        }
    }

    fn needs_most_only(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::FailsafeByMajority);
        #[cfg(not(feature = "mutants"))]
        false
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
            let guard = database.and_then(|database| database.guard.as_ref());
            belief.guard =
                guard.map(|guard| self.guard_sight(guard, &belief.target, belief.health, now));
        }
    }

    fn guard_sight(
        &self,
        guard: &AgentId,
        target: &TargetId,
        own: Health,
        now: Moment,
    ) -> GuardSight {
        let TargetId { app, stack, .. } = target;
        let me = *guard == self.config.agent;
        let peer = self.peers.peer(guard);
        let heard = peer.map_or(GuardSight::NEVER, |peer| now.since(peer.heard));
        let said = self.hearsay.word(guard).and_then(|word| {
            word.beliefs.iter().find(|belief| belief.target == *target).map(|belief| belief.health)
        });
        let mut running = self.grants.running(now);
        let granted = running.any(|(of, to, by, _)| (of, to, by) == (app, stack, guard));
        GuardSight {
            heard: if me { Duration::ZERO } else { heard.min(GuardSight::NEVER) },
            health: if me { own } else { said.unwrap_or(Health::Unknown) },
            open: granted || self.is_open(app, stack, guard, now),
        }
    }
}

/// The guards of every database of another stack: those that must all vouch. None if one of them has no guard, or if there
/// are none: then nobody can keep it shut.
fn candidates(state: &AppState, stack: &StackId) -> Option<BTreeSet<AgentId>> {
    let others = state.definition.guarded().filter(|(of, _)| *of != stack);
    let guards: Option<BTreeSet<_>> = others.map(|(_, database)| database.guard.clone()).collect();
    guards.filter(|guards| !guards.is_empty())
}
