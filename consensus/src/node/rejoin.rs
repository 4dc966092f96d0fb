//! The old primary is brought back: its guard makes it a replica again, once another stack's database has taken its place.
//!
//! Nobody else can: it takes the host. So no executor asks for it; the guard goes by what is agreed. It acts only on what a
//! quorum confirmed less than five seconds ago, and only while its door is shut; and while it is at it, it asks for no lease,
//! without which nobody promotes what it works on.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::app::App;
use super::work::{ACT, Reading};
use crate::message::Message;
use crate::model::{
    AgentId, AppId, AppState, Database, Health, Lost, MeshId, Phase, StackId, TargetId, Token,
};
use crate::moment::Moment;
use crate::outbox::{Deadline, Note, Output, Rejoin};
use crate::saved::Entry;

/// What was agreed may be a moment old: the old primary's own agent may not have closed it yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// A reading of the register that took longer is begun anew.
const READING: Duration = Duration::from_secs(2);
/// After it was done, until the looks show it; after it failed twice that at first, doubled each time.
const AGAIN: Duration = Duration::from_secs(30);
const DOUBLINGS: u32 = 7;
/// The step within a token: after all of those that executors ask for.
const STEP: u8 = 6;

/// What this agent, as a guard, does about its old primary.
#[derive(Debug)]
pub struct Rejoining {
    target: TargetId,
    stage: Stage,
    tries: u32,
}

#[derive(Debug)]
enum Stage {
    Waiting(Moment),
    Reading(Reading),
    Running,
}

impl Rejoining {
    pub fn wake(&self) -> Deadline {
        let at = match &self.stage {
            Stage::Waiting(at) => *at,
            Stage::Reading(reading) => reading.began + READING,
            Stage::Running => Moment::NEVER,
        };
        (at, "an old primary is to be brought back")
    }

    /// Is this stack's database being worked on?
    pub fn works_on(&self, stack: &StackId) -> bool {
        matches!(self.stage, Stage::Running) && self.target.stack == *stack
    }

    /// The reading of the register that its leave to act rests on.
    pub fn reading(&mut self) -> Option<&mut Reading> {
        match &mut self.stage {
            Stage::Reading(reading) => Some(reading),
            Stage::Waiting(_) | Stage::Running => None,
        }
    }

    /// No quorum is of one mind.
    pub fn unconfirmed(&mut self, now: Moment) {
        self.stage = Stage::Waiting(now + READING);
    }
}

impl Node {
    /// Brings an old primary of this host back, if there is one.
    pub(super) fn consider_rejoin(&mut self, app: &AppId, now: Moment) {
        if self.config.rejoins.as_ref().is_some_and(BTreeSet::is_empty) {
            return;
        }
        let Some(it) = self.apps.get(app) else { return };
        if it.rejoining.as_ref().is_some_and(|it| matches!(it.stage, Stage::Running)) {
            return;
        }
        self.see_follow(app, now);
        let strayed = self.strayed(app, now);
        let unfinished = self.rejoining.iter().any(|target| target.app == *app);
        let Some(it) = self.apps.get_mut(app) else { return };
        // Of two each has its turn, at one pace: one that cannot be helped is not all that is ever tried.
        let last = it.rejoining.as_ref().map(|it| it.target.clone());
        let another = strayed.iter().find(|target| last.as_ref() != Some(target));
        let Some(target) = another.or(strayed.first()).cloned() else {
            // While something is unfinished its next try keeps its pause.
            it.rejoining.take_if(|it| !unfinished || it.wake().0 <= now);
            return;
        };
        let learned = it.chosen.as_ref().map_or(now, |known| known.learned);
        let first = Rejoining {
            target: target.clone(),
            stage: Stage::Waiting(now.max(learned + PATIENCE)),
            tries: 0,
        };
        let rejoining = it.rejoining.get_or_insert(first);
        let due = match &rejoining.stage {
            Stage::Waiting(at) => *at,
            Stage::Reading(reading) => reading.began + READING,
            Stage::Running => return,
        };
        if due <= now {
            let number = self.operation().number;
            let rejoining = self.apps.get_mut(app).and_then(|it| it.rejoining.as_mut());
            let rejoining = rejoining.expect("it was just there");
            rejoining.target = target;
            rejoining.stage = Stage::Reading(Reading::begun(number, now));
            self.confirm(app, number);
        }
    }

    /// What was begun is over once the database follows, or is the active stack's: whoever stops it then has a reason. So it is
    /// once this agent is no guard of it any more.
    fn see_follow(&mut self, app: &AppId, now: Moment) {
        if !self.rejoining.iter().any(|target| target.app == *app) {
            return;
        }
        let Some((_, state)) = self.apps.get(app).and_then(App::known) else { return };
        let beliefs = self.beliefs_of(app, now);
        let over = |target: &&TargetId| {
            let belief = beliefs.iter().find(|it| it.target == **target);
            let up = belief.filter(|it| it.health == Health::Up);
            let database = up.and_then(|it| it.database.as_ref());
            target.app == *app
                && (!self.guards(state, target)
                    || database.is_some_and(|(sight, _)| sight.replica)
                    || up.is_some() && target.stack == state.active)
        };
        let over: Vec<TargetId> = self.rejoining.iter().filter(over).cloned().collect();
        for target in over {
            self.rejoining.remove(&target);
            self.out.push(Output::Save(Entry::Rejoins { target, begun: false }));
        }
    }

    /// Is this agent the guard of this database?
    fn guards(&self, state: &AppState, target: &TargetId) -> bool {
        state.definition.guarded().any(|(stack, database)| {
            (stack, &database.name) == (&target.stack, &target.name)
                && database.guard.as_ref() == Some(&self.config.agent)
        })
    }

    /// Databases of this host that were primaries and still are, though another stack's took their place; and those that this
    /// guard began to make replicas, which came to no good end: they may be stopped, and would stay so. People may be at work
    /// on such a one: nothing is done to it under a freeze.
    fn strayed(&self, app: &AppId, now: Moment) -> Vec<TargetId> {
        let Some(it) = self.apps.get(app) else { return vec![] };
        let Some((_, state)) = it.known().filter(|(_, state)| state.phase == Phase::Idle) else {
            return vec![];
        };
        let mine = state.definition.guarded().filter(|(stack, database)| {
            let shut = it.guarding.get(*stack).is_some_and(|it| it.holder.open() <= now);
            **stack != state.active
                && shut
                && database.guard.as_ref() == Some(&self.config.agent)
                && self.config.rejoins(app, &database.name)
        });
        let mut mine = mine.peekable();
        if mine.peek().is_none() {
            return vec![];
        }
        let own = self.beliefs_of(app, now);
        let panel = self.panel(state, &own, now);
        let strayed = |(stack, database): (&StackId, &Database)| {
            let name = database.name.clone();
            let target = TargetId { app: app.clone(), stack: stack.clone(), name };
            let seen = own.iter().find(|it| it.target == target)?;
            let unfinished =
                self.rejoining.contains(&target) && panel.is_primary(&state.active, &target.name);
            let strayed = match seen.health {
                Health::Up => {
                    let (sight, _) = seen.database.as_ref().filter(|(sight, _)| !sight.replica)?;
                    unfinished || panel.superseded(sight, &state.active, &target.name)
                }
                Health::Down => unfinished && it.ages.frozen_for(state, now).is_none(),
                Health::Degraded | Health::Unknown => false,
            };
            strayed.then_some(target)
        };
        mine.filter_map(strayed).collect()
    }

    /// A quorum confirmed what the guard goes by.
    pub(super) fn rejoin(&mut self, app: &AppId, now: Moment) {
        let still = self.strayed(app, now);
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(rejoining) = &mut it.rejoining else { return };
        let Some(known) = &it.chosen else { return };
        let request = still
            .into_iter()
            .find(|target| *target == rejoining.target)
            .and_then(|target| request(&known.state, target, known.confirmed + ACT));
        let Some(request) = request else {
            rejoining.unconfirmed(now);
            return;
        };
        rejoining.stage = Stage::Running;
        if self.rejoining.insert(request.target.clone()) {
            let entry = Entry::Rejoins { target: request.target.clone(), begun: true };
            self.out.push(Output::Save(entry));
        }
        let what = format!("make {} a replica of {}", request.target, request.primary_of());
        self.out.note(Note::Acts { app: app.clone(), token: request.token, what });
        self.out.push(Output::Rejoin(Box::new(request)));
    }

    /// It came to an end.
    pub(super) fn on_rejoined(
        &mut self,
        target: &TargetId,
        token: Token,
        took: Duration,
        what: Result<String, String>,
        now: Moment,
    ) {
        let it = self.apps.get_mut(&target.app).and_then(|it: &mut App| it.rejoining.as_mut());
        if let Some(rejoining) = it.filter(|it| it.target == *target) {
            if what.is_err() {
                rejoining.tries = rejoining.tries.saturating_add(1);
            }
            let pause = AGAIN * (1 << rejoining.tries.min(DOUBLINGS));
            rejoining.stage = Stage::Waiting(now + pause);
        }
        self.out.note(Note::Reports { app: target.app.clone(), token, took, what });
    }

    /// What a database of this host alone had is known: that is told to everybody.
    pub(super) fn tell_lost(&mut self, target: &TargetId, token: Token, lost: Lost) {
        let mesh = self.config.voters.mesh;
        self.on_lost(&self.config.agent.clone(), mesh, target, (token, lost));
        for agent in self.everybody() {
            let message = Message::Lost { mesh, target: target.clone(), token, lost };
            self.out.send(&agent, message);
        }
    }

    /// A guard tells what its database alone had.
    pub(super) fn on_lost(
        &mut self,
        from: &AgentId,
        mesh: MeshId,
        target: &TargetId,
        (token, lost): (Token, Lost),
    ) {
        if mesh != self.config.voters.mesh {
            return;
        }
        let Some(it) = self.apps.get_mut(&target.app) else { return };
        let Some((_, state)) = it.known() else { return };
        let guards = |(stack, database): (&StackId, &Database)| {
            (stack, &database.name, &database.guard)
                == (&target.stack, &target.name, &Some(from.clone()))
        };
        let known = it.lost.get(&target.name).is_some_and(|(_, held, _)| *held >= token);
        if known || !state.definition.guarded().any(guards) {
            return;
        }
        it.lost.insert(target.name.clone(), (target.stack.clone(), token, lost));
        self.out.note(Note::Loses { target: target.clone(), token, lost });
    }
}

fn request(state: &AppState, target: TargetId, deadline: Moment) -> Option<Rejoin> {
    let of = |stack: &StackId| {
        let databases = &state.definition.stack(stack)?.databases;
        databases.iter().find(|it| it.name == target.name).cloned()
    };
    let (database, primary) = (of(&target.stack)?, of(&state.active)?);
    let token = Token::new(state.epoch, state.decision.attempt, STEP);
    Some(Rejoin { token, deadline, database, primary, target })
}
