//! Who may write: this agent as a guard, which holds its databases' doors by its leases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Node;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::lease::Holder;
use crate::message::{LeaseBody, LeaseMessage, Message};
use crate::model::{AcceptorId, AgentId, AppId, AppState, StackId, TargetId, TargetName};
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
    /// Is another's promotion under way, which waits for what this guard says it knows?
    awaited: bool,
}

impl Guarding {
    fn is_shut(&self) -> bool {
        self.told == Some(Hold::Released)
    }

    /// When it is to be said again that it is shut: as long as somebody waits for the word, without end.
    fn tells(&self) -> Moment {
        let (times, at) = self.releases;
        if times < TOLD_MOST || self.awaited { at } else { Moment::NEVER }
    }

    pub fn wake(&self, now: Moment) -> Deadline {
        if self.is_shut() {
            return (self.tells(), "a door that is shut is told of");
        }
        let lapses = if self.holder.open() > now { self.holder.open() } else { Moment::NEVER };
        self.due_or((lapses, "a lease runs out"))
    }

    fn due_or(&self, other: Deadline) -> Deadline {
        (self.holder.due(), "a lease is to be renewed").min(other)
    }
}

impl Node {
    /// What is defined has changed, or was learnt: which doors are this agent's?
    pub(super) fn take_guard(&mut self, app: &AppId, now: Moment) {
        let me = self.config.agent.clone();
        let terms = Self::terms(&self.config);
        let longest = self.longest_lease(app);
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(known) = &it.chosen else { return };
        let state = known.state.clone();
        let terms = terms.lasting(state.definition.data.lease);
        let writer = plan::writer(&state);
        it.released.retain(|(stack, _)| writer != Some(stack));
        let mine = |stack: &StackId| -> Vec<TargetId> {
            let guarded = state.definition.guarded();
            let mine = guarded.filter(|(of, it)| *of == stack && it.guard.as_ref() == Some(&me));
            let mine: Vec<_> = mine.collect();
            // A lease is the stack's, and one without a door would pass for a proof.
            if !mine.iter().all(|(_, it)| self.config.has_door(app, &it.name)) {
                return Vec::new();
            }
            let target = |name: &TargetName| TargetId {
                app: app.clone(),
                stack: stack.clone(),
                name: name.clone(),
            };
            mine.into_iter().map(|(_, database)| target(&database.name)).collect()
        };
        let (kept, dismissed) = std::mem::take(&mut it.guarding)
            .into_iter()
            .partition(|(stack, _)| !mine(stack).is_empty());
        it.guarding = kept;
        let dismissed: BTreeMap<StackId, Guarding> = dismissed;
        for stack in &state.definition.stacks {
            let targets = mine(&stack.name);
            if targets.is_empty() && state.definition.guards(&stack.name).contains(&me) {
                self.out.note(Note::Alarm(format!(
                    "{app}/{} names this agent as a guard, and it has no door there: see `[[guard.door]]` in agent.toml",
                    stack.name
                )));
            }
            if targets.is_empty() {
                continue;
            }
            let vouching = self.vouching.contains(&(app.clone(), stack.name.clone()));
            let guarding = it.guarding.entry(stack.name.clone()).or_insert_with(|| Guarding {
                holder: Holder::new(terms, longest, vouching, now),
                targets: Vec::new(),
                told: None,
                releases: (0, Moment::ZERO),
                awaited: false,
            });
            #[cfg(feature = "mutants")]
            {
                guarding.holder.counts_from_arrival = self.config.broken(Mutant::LeaseFromArrival);
            }
            guarding.holder.set_terms(terms);
            guarding.targets = targets;
        }
        for (stack, mut guarding) in dismissed {
            self.shut(app, &stack, &mut guarding, now);
            self.tell_released(app, &stack, guarding.holder.number(), state.revision);
        }
    }

    /// Keeps up, or ends, the leases of the databases that this agent guards.
    pub(super) fn guard(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app).filter(|it| !it.guarding.is_empty()) else { return };
        let Some(known) = &it.chosen else { return };
        let state = known.state.clone();
        let mut guarding = std::mem::take(&mut it.guarding);
        let busy = |stack: &StackId| it.rejoining.as_ref().is_some_and(|it| it.works_on(stack));
        let busy: BTreeSet<_> = guarding.keys().filter(|stack| busy(stack)).cloned().collect();
        let writer = plan::writer(&state);
        for (stack, guarding) in &mut guarding {
            match writer == Some(stack) && !busy.contains(stack) {
                true => self.hold(app, stack, guarding, &state, now),
                false => self.stay_shut(app, stack, guarding, &state, now),
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
        #[cfg(feature = "mutants")]
        let early = self.broken(Mutant::AcknowledgedEarly);
        let was_told = guarding.told;
        let holder = &mut guarding.holder;
        if holder.due() <= now {
            let asks = holder.wants_vouchers(now);
            let lease = holder.lease();
            let number = holder.renew(now);
            let revision = holder.acknowledges(state.revision, now);
            #[cfg(feature = "mutants")]
            let revision = if early { state.revision } else { revision };
            let message = |body| LeaseMessage {
                mesh: self.config.voters.mesh,
                app: app.clone(),
                stack: stack.clone(),
                instance: self.instance,
                number,
                body,
            };
            let renew = message(LeaseBody::Renew { revision, lease });
            let ask = message(LeaseBody::Ask { lease });
            self.remember_lease(app, lease);
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
            if how == Hold::Lapsed {
                // Shut by itself long ago, unless the host slept and its timers with it.
                for target in &guarding.targets {
                    self.out.push(Output::Lease(target.clone(), now));
                }
            }
        }
        guarding.told = how;
    }

    fn stay_shut(
        &mut self,
        app: &AppId,
        stack: &StackId,
        guarding: &mut Guarding,
        state: &AppState,
        now: Moment,
    ) {
        if !guarding.is_shut() {
            self.shut(app, stack, guarding, now);
        }
        guarding.awaited = plan::writer(state) != Some(&state.active);
        if guarding.tells() <= now {
            guarding.releases = (guarding.releases.0.saturating_add(1), now + TOLD_EVERY);
            self.tell_released(app, stack, guarding.holder.number(), state.revision);
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

    fn tell_released(&mut self, app: &AppId, stack: &StackId, number: u64, revision: u64) {
        let message = Message::Lease(LeaseMessage {
            mesh: self.config.voters.mesh,
            app: app.clone(),
            stack: stack.clone(),
            instance: self.instance,
            number,
            body: LeaseBody::Released { revision },
        });
        let me = self.config.agent.clone();
        self.loopback.push_back(message.clone());
        for agent in self.everybody().into_iter().filter(|agent| *agent != me) {
            self.out.send(&agent, message.clone());
        }
    }

    /// A voter granted a renewal of ours.
    pub(super) fn granted(
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
    pub(super) fn vouch(
        &mut self,
        from: &AgentId,
        message: &LeaseMessage,
        lease: Duration,
        now: Moment,
    ) {
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
        let (mut entries, mut open) = (Vec::new(), false);
        for (of, guarding) in others {
            match guarding.holder.vouch(lease, now) {
                None => open = true,
                Some(false) => {}
                Some(true) => entries.push((app.clone(), of.clone())),
            }
        }
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::VouchedBeforeSaved) && !open {
            self.lease_reply(from, message, LeaseBody::Vouched);
        }
        // Whoever gave its word for one of several has it durable, though another is open and nothing is answered.
        for (app, stack) in entries {
            self.vouching.insert((app.clone(), stack.clone()));
            self.out.push(Output::Save(Entry::Vouching { app, stack, vouching: true }));
        }
        if open {
            return;
        }
        self.remember_lease(app, lease);
        self.lease_reply(from, message, LeaseBody::Vouched);
    }

    /// A candidate's guard gave its word.
    pub(super) fn vouched(&mut self, from: &AgentId, message: &LeaseMessage, now: Moment) {
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
}

/// The guards of every database of another stack: those that must all vouch. None if one of them has no guard, or if there
/// are none: then nobody can keep it shut.
fn candidates(state: &AppState, stack: &StackId) -> Option<BTreeSet<AgentId>> {
    let others = state.definition.guarded().filter(|(of, _)| *of != stack);
    let guards: Option<BTreeSet<_>> = others.map(|(_, database)| database.guard.clone()).collect();
    guards.filter(|guards| !guards.is_empty())
}
