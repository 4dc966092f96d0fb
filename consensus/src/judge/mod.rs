//! Turns single observations into steady beliefs, and says whether this agent's own word counts.
//!
//! What votes is fast to clear and what qualifies a standby is slow to rise (PROTOCOL.md rule 8): one success takes the
//! vote away at once. The judge knows nothing of other agents' beliefs and of what is agreed: what *we* think is the
//! register's business.

mod selfcheck;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

pub use selfcheck::{HEARD_WITHIN, SelfCheck};
pub use watch::Scale;
use watch::Watch;

use crate::model::{AppId, Belief, Definition, Health, Observation, Target, TargetId};
use crate::moment::Moment;
use crate::outbox::{Deadline, Note, Outbox, Output, Subject};

/// All targets of all apps, as this agent sees them.
#[derive(Debug, Default)]
pub struct Judge {
    watches: BTreeMap<TargetId, Watch>,
    /// The earliest moment any watch wants.
    next: Option<Moment>,
}

impl Judge {
    /// Nothing is watched yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An app's definition is this, from now on. Targets that stay as they are keep what is believed of them.
    pub fn on_definition(&mut self, definition: &Definition, now: Moment, rng: &mut StdRng) {
        let wanted: BTreeMap<TargetId, Subject> = definition
            .targets()
            .map(|(target, subject)| {
                let subject = match subject {
                    Target::Endpoint(endpoint) => Subject::Endpoint(Arc::new(endpoint.clone())),
                    Target::Database(database) => Subject::Database(Arc::new(database.clone())),
                };
                (target, subject)
            })
            .collect();
        let scale = Scale::of(definition.probe);
        self.watches.retain(|target, watch| {
            target.app != definition.name
                || wanted.get(target).is_some_and(|it| watch.looks_at(it, scale))
        });
        for (target, subject) in wanted {
            // The first looks are spread over one interval, so that agents do not look in step.
            let first = now + scale.interval.mul_f64(rng.random_range(0.0..0.2));
            self.watches.entry(target).or_insert_with(|| Watch::new(subject, scale, now, first));
        }
        self.next = Some(now);
    }

    /// A look ended. Does anything follow from it?
    pub fn on_observation(
        &mut self,
        observation: Observation,
        now: Moment,
        out: &mut Outbox,
    ) -> bool {
        let target = observation.target.clone();
        let Some(watch) = self.watches.get_mut(&target) else { return false };
        let before = watch.summary(now);
        watch.on_observation(observation, now);
        let changed = watch.summary(now) != before;
        let wake = watch.wake(now);
        if let Some((health, why)) = watch.turned(now) {
            out.note(Note::Judges { target: target.clone(), health, why });
        }
        // One half of a stack in doubt puts the whole app in doubt: everything of it is looked at closely.
        if self.watches[&target].in_doubt() {
            self.hasten(&target.app, now);
        }
        self.sooner(wake);
        changed
    }

    fn sooner(&mut self, wake: Moment) {
        self.next = Some(self.next.map_or(wake, |next| next.min(wake)));
    }

    /// Somebody doubts a target of this app: look at all of it closely for a while.
    pub fn hasten(&mut self, app: &AppId, now: Moment) {
        let mut wake = Moment::NEVER;
        for watch in self.of_app(app) {
            watch.hasten(now);
            wake = wake.min(watch.wake(now));
        }
        self.sooner(wake);
    }

    /// This process was not run for a while: beliefs older than the pause are no evidence.
    pub fn on_pause(&mut self, now: Moment) {
        for watch in self.watches.values_mut() {
            watch.on_pause(now);
        }
        self.next = Some(now);
    }

    /// Looks again, now, at every target of an app whose last look is older than `age`. Are any such looks under way?
    pub fn refresh(&mut self, app: &AppId, age: Duration, now: Moment, out: &mut Outbox) -> bool {
        let mut waiting = false;
        for (target, watch) in self.watches.iter_mut().filter(|(target, _)| target.app == *app) {
            if !watch.looked_within(age, now) {
                waiting = true;
                if let Some(look) = watch.look(target, now) {
                    out.push(Output::Probe(look));
                }
            }
        }
        waiting
    }

    /// Has every target of an app been looked at within `age`?
    pub fn fresh(&self, app: &AppId, age: Duration, now: Moment) -> bool {
        self.watches
            .iter()
            .filter(|(target, _)| target.app == *app)
            .all(|(_, watch)| watch.looked_within(age, now))
    }

    /// The time has come for something. Did a belief change by it?
    pub fn on_wake(&mut self, now: Moment, rng: &mut StdRng, out: &mut Outbox) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        let mut changed = false;
        for (target, watch) in &mut self.watches {
            if let Some(look) = watch.due(target, now, rng) {
                out.push(Output::Probe(look));
            }
            if let Some((health, why)) = watch.turned(now) {
                out.note(Note::Judges { target: target.clone(), health, why });
                changed = true;
            }
        }
        self.next = self.watches.values().map(|watch| watch.wake(now)).min();
        changed
    }

    /// When to be woken.
    pub fn wake(&self) -> Deadline {
        (self.next.unwrap_or(Moment::NEVER), "the next look is due")
    }

    /// What others would want to hear of at once if it changed: health, fitness and doubt of every target.
    pub fn summary(&self, now: Moment) -> Vec<(Health, bool, bool)> {
        self.watches.values().map(|watch| watch.summary(now)).collect()
    }

    /// Everything believed, by target.
    pub fn beliefs(&self, now: Moment) -> Vec<Belief> {
        self.watches.iter().map(|(target, watch)| watch.belief(target, now)).collect()
    }

    /// What is believed of one app.
    pub fn beliefs_of(&self, app: &AppId, now: Moment) -> Vec<Belief> {
        let watches = self.watches.iter().filter(|(target, _)| target.app == *app);
        watches.map(|(target, watch)| watch.belief(target, now)).collect()
    }

    fn of_app(&mut self, app: &AppId) -> impl Iterator<Item = &mut Watch> {
        self.watches
            .iter_mut()
            .filter(move |(target, _)| target.app == *app)
            .map(|(_, watch)| watch)
    }
}
