//! Looks at databases that nobody but their guards reaches, both ends (PROTOCOL.md B.5, private databases).
//!
//! Whoever would look asks the guard, on their own link and never by way of a third: that it answers, and what it saw just
//! then, is first-hand. A guard that does not answer in time makes a look that failed, as a dead host would. The judge knows
//! nothing of it: a look is a look, whoever's eyes it takes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Node;
use super::stir::Stir;
use crate::message::{Glance, Message, ViewBody, ViewMessage};
use crate::model::{
    AgentId, Database, Fault, FaultKind, Observation, Outcome, Phases, TargetId, Watched,
};
use crate::moment::Moment;
use crate::outbox::{Deadline, Look, Output, Subject};

/// What a guard began to look at so shortly before it was asked answers the question, too: all agents ask at about the same
/// time once something is in doubt.
const SHARED: Duration = Duration::from_millis(250);
/// A guard's look may run into the very limit, and begins when the question has come: that much later its end is still heard of.
const RETURN: Duration = Duration::from_millis(500);
/// Questions that wait for the end of a look, of each database: a few of every agent of a large mesh.
const WAITING: usize = 1024;

/// Looks through guards that are under way.
#[derive(Debug, Default)]
pub(super) struct Through {
    asked: VecDeque<Asked>,
    /// Of the databases that this agent guards.
    shown: BTreeMap<TargetId, Shown>,
}

/// A look of this agent's own that a guard takes for it.
#[derive(Debug)]
struct Asked {
    target: TargetId,
    guard: AgentId,
    at: Moment,
    until: Moment,
}

/// Who waits for what this guard sees, and what it saw last.
#[derive(Debug, Default)]
struct Shown {
    waiting: Vec<Waiting>,
    last: Option<Observation>,
}

#[derive(Debug)]
struct Waiting {
    agent: AgentId,
    /// When, by its own clock.
    asked: Moment,
    came: Moment,
}

impl Through {
    pub(super) fn wake(&self) -> Deadline {
        let until = self.asked.iter().map(|it| it.until).min();
        (until.unwrap_or(Moment::NEVER), "a guard that was asked does not answer")
    }

    /// The look that this answers, if it is waited for still.
    fn take(
        &mut self,
        from: &AgentId,
        (target, at): (&TargetId, Moment),
        now: Moment,
    ) -> Option<Asked> {
        let this =
            |it: &Asked| it.at == at && it.target == *target && it.guard == *from && now < it.until;
        let place = self.asked.iter().position(this)?;
        self.asked.remove(place)
    }

    fn take_overdue(&mut self, now: Moment) -> Option<Asked> {
        let place = self.asked.iter().position(|it| it.until <= now)?;
        self.asked.remove(place)
    }
}

impl Node {
    /// What is to be done for a look that is due: it is taken here, or by the guard through which alone its subject is seen.
    pub(super) fn look_through(&mut self, look: Look) -> Output {
        let (Subject::Database(database), Watched::Target(target)) = (&look.subject, &look.watched)
        else {
            return Output::Probe(look);
        };
        let guard = database.seen_through().filter(|guard| **guard != self.config.agent);
        let Some(guard) = guard.cloned() else { return Output::Probe(look) };
        let (at, target) = (self.now, target.clone());
        let mesh = self.config.voters.mesh;
        let ask = ViewMessage { mesh, target: target.clone(), asked: at, body: ViewBody::Asks };
        let asked = Asked { target, guard: guard.clone(), at, until: at + look.limit + RETURN };
        self.through.asked.push_back(asked);
        self.wanted = self.wanted.min(self.through.wake());
        Output::Send(guard, Message::View(Box::new(ask)))
    }

    /// Somebody asks this guard what it sees, or a guard says it.
    pub(super) fn on_view(&mut self, from: &AgentId, message: ViewMessage, now: Moment) -> Stir {
        let ViewMessage { mesh, target, asked, body } = message;
        if mesh != self.config.voters.mesh {
            return Stir::Nothing;
        }
        match body {
            ViewBody::Asks => {
                self.on_asked_to_look(from, &target, asked, now);
                Stir::Nothing
            }
            ViewBody::Shows(glance) => {
                let Glance { phases, outcome } = *glance;
                let Some(asked) = self.through.take(from, (&target, asked), now) else {
                    return Stir::Nothing;
                };
                self.see_through(asked, phases, said_by(from, outcome), now)
            }
        }
    }

    /// Guards that were asked and did not answer in time. Does anything follow from it for an app?
    pub(super) fn miss_guards(&mut self, now: Moment) -> bool {
        let mut changed = false;
        while let Some(asked) = self.through.take_overdue(now) {
            let fault = format!("its guard {} does not answer", asked.guard);
            let outcome = Outcome::Failed(Fault::new(FaultKind::Timeout, fault));
            changed |= self.see_through(asked, Phases::default(), outcome, now) != Stir::Nothing;
        }
        changed
    }

    fn see_through(&mut self, asked: Asked, phases: Phases, outcome: Outcome, now: Moment) -> Stir {
        let (watched, began) = (Watched::Target(asked.target), asked.at);
        let took = now.since(began);
        self.take_observation(Observation { watched, began, took, phases, outcome }, now)
    }

    fn on_asked_to_look(&mut self, by: &AgentId, target: &TargetId, asked: Moment, now: Moment) {
        if !self.shows(target) {
            return;
        }
        let shown = self.through.shown.entry(target.clone()).or_default();
        let recent = |it: &&Observation| now.since(it.began) <= SHARED;
        if let Some(last) = shown.last.as_ref().filter(recent).cloned() {
            return self.show(by, asked, &last);
        }
        if shown.waiting.len() < WAITING {
            shown.waiting.push(Waiting { agent: by.clone(), asked, came: now });
        }
        self.judge.look_since(target, SHARED, now, &mut self.out);
    }

    /// Forgets what is shown of databases that others see through this guard no more.
    pub(super) fn forget_shown(&mut self) {
        let mut shown = std::mem::take(&mut self.through.shown);
        shown.retain(|target, _| self.shows(target));
        self.through.shown = shown;
    }

    /// Is this a database that others see through this agent alone?
    fn shows(&self, target: &TargetId) -> bool {
        let known = self.apps.get(&target.app).and_then(|it| it.chosen.as_ref());
        let stack = known.and_then(|it| it.state.definition.stack(&target.stack));
        let mut databases = stack.iter().flat_map(|it| &it.databases);
        let database = databases.find(|it| it.name == target.name);
        database.and_then(Database::seen_through) == Some(&self.config.agent)
    }

    /// This guard saw something that others may wait for.
    pub(super) fn show_others(&mut self, observation: &Observation) {
        let Watched::Target(target) = &observation.watched else { return };
        let Some(shown) = self.through.shown.get_mut(target) else { return };
        let answers = |it: &mut Waiting| it.came <= observation.began + SHARED;
        let answered: Vec<_> = shown.waiting.extract_if(.., answers).collect();
        shown.last = Some(observation.clone());
        for Waiting { agent, asked, .. } in answered {
            self.show(&agent, asked, observation);
        }
    }

    fn show(&mut self, to: &AgentId, asked: Moment, observation: &Observation) {
        let Observation { watched, phases, outcome, .. } = observation;
        let Watched::Target(target) = watched else { return };
        let (mesh, target) = (self.config.voters.mesh, target.clone());
        let body = ViewBody::Shows(Box::new(Glance { phases: *phases, outcome: outcome.clone() }));
        let answer = ViewMessage { mesh, target, asked, body };
        self.out.send(to, Message::View(Box::new(answer)));
    }
}

/// What a guard saw, as this agent's own look: whose eyes it took is said, and words from elsewhere are no longer than ours.
fn said_by(guard: &AgentId, outcome: Outcome) -> Outcome {
    // That a guard's log-in is refused is that guard's to put right: to others its database answers, and does not serve.
    let kind = |kind| if kind == FaultKind::Credential { FaultKind::Unready } else { kind };
    let said = |it: Fault| Fault::new(kind(it.kind), format!("{guard} says: {}", it.text));
    match outcome {
        Outcome::Failed(fault) => Outcome::Failed(said(fault)),
        Outcome::Invalid(fault) => Outcome::Invalid(said(fault)),
        up @ Outcome::Up(_) => up,
    }
}
