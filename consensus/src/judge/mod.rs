//! Turns single observations into steady beliefs, and says whether this agent's own word counts.
//!
//! What votes is fast to clear and what qualifies a standby is slow to rise (PROTOCOL.md rule 8): one success takes the
//! vote away at once. The judge knows nothing of other agents' beliefs and of what is agreed: what *we* think is the
//! register's business.

mod canaries;
mod selfcheck;
mod watch;
mod wellness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

pub use canaries::{Canaries, Family};
pub use selfcheck::{Circumstances, HEARD_WITHIN, SelfCheck};
pub use watch::Scale;
use watch::Watch;

use crate::model::{
    AppId, Belief, Definition, Endpoint, Health, Observation, Outcome, StackId, Target, TargetId,
    Watched,
};
use crate::moment::Moment;
use crate::outbox::{Deadline, Note, Outbox, Output, Subject};
use crate::saved::{self, Entry};

/// Targets that stopped being well within this fell together (PROTOCOL.md B.3, S3).
const TOGETHER: Duration = Duration::from_secs(10);
/// Of fewer stacks, it is an outage and no reason to doubt oneself.
const STACKS: usize = 3;

/// All targets of all apps, as this agent sees them.
#[derive(Debug, Default)]
pub struct Judge {
    watches: BTreeMap<TargetId, Watch>,
    /// Places that a source names and nobody agreed on yet: looked at, and no part of any belief.
    candidates: BTreeMap<TargetId, Watch>,
    /// What this agent alone watches, to know whether it reaches the world at all.
    pub canaries: Canaries,
    /// Where targets were when they were reached from here.
    reached: BTreeMap<TargetId, (String, u16)>,
    /// How much longer than usual everything is given.
    stretch: u32,
    /// Did most of what is watched fall together, and not get up again?
    blackout: bool,
    /// The earliest moment any watch wants.
    next: Option<Moment>,
    /// Breaks rule 8 in every watch: one success does not take the vote away.
    #[cfg(feature = "mutants")]
    pub stubborn: bool,
    /// Lets a target qualify that comes and goes, to show that a test notices.
    #[cfg(feature = "mutants")]
    pub forgiving: bool,
}

impl Judge {
    /// Nothing is watched yet; these targets were reached before, at these addresses.
    pub fn new(canaries: Canaries, reached: BTreeMap<TargetId, (String, u16)>) -> Self {
        Self { canaries, reached, stretch: 1, ..Self::default() }
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
            let known = self.reached.get(&target);
            let found = self.candidates.remove(&target);
            let watch = self.watches.entry(target);
            let watch = watch.and_modify(|watch| watch.goes_on_as(subject.clone()));
            watch.or_insert_with(|| {
                if let Some(mut found) = found.filter(|found| found.looks_at(&subject, scale)) {
                    found.on_stretch(self.stretch);
                    return found;
                }
                let mut watch = Watch::new(subject, scale, now, first);
                watch.on_stretch(self.stretch);
                if known.is_some_and(|(host, port)| watch.address() == (host, *port)) {
                    watch.on_reached();
                }
                #[cfg(feature = "mutants")]
                {
                    watch.stubborn = self.stubborn;
                    watch.forgiving = self.forgiving;
                }
                watch
            });
        }
        self.blackout = self.falls_together();
        self.next = Some(now);
        let shortest = self.watches.values().map(Watch::usual_window).min();
        self.canaries.on_window(shortest, now);
    }

    /// These places of an app are named by its sources and not agreed: they are looked at as if they were.
    pub fn on_candidates(
        &mut self,
        definition: &Definition,
        candidates: BTreeMap<TargetId, Arc<Endpoint>>,
        now: Moment,
    ) {
        let scale = Scale::of(definition.probe);
        self.candidates.retain(|target, watch| {
            let named = candidates.get(target).map(|it| Subject::Endpoint(it.clone()));
            target.app != definition.name || named.is_some_and(|it| watch.looks_at(&it, scale))
        });
        for (target, endpoint) in candidates {
            let watch = self.candidates.entry(target);
            watch.or_insert_with(|| Watch::new(Subject::Endpoint(endpoint), scale, now, now));
        }
        self.next = Some(now);
    }

    /// Is this target up, as seen from here, whether or not it is agreed?
    pub fn sees_up(&self, target: &TargetId, now: Moment) -> bool {
        let watch = self.watches.get(target).or(self.candidates.get(target));
        watch.is_some_and(|watch| watch.answers(now))
    }

    /// A look ended. Does anything follow from it?
    pub fn on_observation(
        &mut self,
        observation: Observation,
        now: Moment,
        out: &mut Outbox,
    ) -> bool {
        let target = match &observation.watched {
            Watched::Target(target) => target.clone(),
            Watched::Canary(name) => {
                let before = self.canaries.vouch(now);
                self.canaries.on_look(name, observation.began, observation.outcome, now);
                return self.on_canaries(now, out) || self.canaries.vouch(now) != before;
            }
        };
        if let Some(watch) = self.candidates.get_mut(&target) {
            let before = watch.answers(now);
            watch.on_observation(observation, now);
            let (after, wake) = (watch.answers(now), watch.wake(now));
            self.sooner(wake);
            return before != after;
        }
        let Some(watch) = self.watches.get_mut(&target) else { return false };
        if watch.is_of_before(&observation) {
            return false;
        }
        let (before, fell) = (watch.summary(now), watch.fell());
        if matches!(observation.outcome, Outcome::Up(_)) && watch.on_reached() {
            let (host, port) = watch.address();
            let at = (host.to_owned(), port);
            saved::remember(&mut self.reached, &target, at.clone());
            out.push(Output::Save(Entry::Reached { target: target.clone(), at }));
        }
        watch.on_observation(observation, now);
        if watch.in_doubt() {
            watch.on_canaries(self.canaries.answered_since(watch.family()));
            if !before.2 {
                self.canaries.hasten(now);
            }
        }
        let fell = fell != watch.fell();
        let changed = watch.summary(now) != before;
        let wake = watch.wake(now);
        if let Some((health, why)) = watch.turned(now) {
            out.note(Note::Judges { target: target.clone(), health, why });
        }
        // One half of a stack in doubt puts the whole app in doubt: everything of it is looked at closely.
        if self.watches[&target].in_doubt() {
            self.hasten(&target.app, now);
        }
        if fell {
            self.blackout = self.falls_together();
        }
        self.sooner(wake);
        changed
    }

    /// A canary answered, or did not. Was anything believed to be down only now that enough of them answered?
    fn on_canaries(&mut self, now: Moment, out: &mut Outbox) -> bool {
        let mut changed = false;
        for (target, watch) in self.watches.iter_mut().filter(|(_, watch)| watch.in_doubt()) {
            watch.on_canaries(self.canaries.answered_since(watch.family()));
            if let Some((health, why)) = watch.turned(now) {
                out.note(Note::Judges { target: target.clone(), health, why });
                changed = true;
            }
        }
        changed
    }

    /// Did more than half of all targets, of several stacks, fall within a few seconds of one another, and are they still
    /// not well? Then it is as likely this agent that fell.
    fn falls_together(&self) -> bool {
        let mut fallen: Vec<(Moment, &TargetId)> = self
            .watches
            .iter()
            .filter_map(|(target, watch)| Some((watch.fell()?, target)))
            .collect();
        fallen.sort_unstable();
        fallen.iter().enumerate().any(|(first, (since, _))| {
            let end = fallen.partition_point(|(at, _)| at.since(*since) <= TOGETHER);
            let together = &fallen[first..end.max(first)];
            let stacks = || {
                let stacks: BTreeSet<_> =
                    together.iter().map(|(_, target)| (&target.app, &target.stack)).collect();
                stacks.len()
            };
            together.len() * 2 > self.watches.len() && stacks() >= STACKS
        })
    }

    /// Did most targets fall together, with nothing to say that it was not this agent?
    pub fn blackout(&self, now: Moment) -> bool {
        self.blackout && !self.canaries.vouch(now)
    }

    /// Did enough canaries answer within an app's window for this agent's word on it to count, or on any of them?
    pub fn reaches(&self, app: Option<&AppId>, now: Moment) -> bool {
        if self.canaries.iter().next().is_none() {
            return true;
        }
        let of = |target: &TargetId| app.is_none_or(|app| target.app == *app);
        let watches = || self.watches.iter().filter(|(target, _)| of(target)).map(|(_, it)| it);
        let fresh = self.canaries.fresh(watches().map(Watch::usual_window).min());
        self.canaries.enough(&watches().filter_map(Watch::family).collect(), fresh, now)
    }

    /// This agent gives everything so many times as long, being unwell itself.
    pub fn on_stretch(&mut self, stretch: u32, now: Moment) {
        self.stretch = stretch;
        for watch in self.watches.values_mut() {
            watch.on_stretch(stretch);
        }
        self.next = Some(now);
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
        for watch in self.watches.values_mut().chain(self.candidates.values_mut()) {
            watch.on_pause(now);
        }
        self.blackout = false;
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

    /// For how long all of a stack has been well, as seen from here.
    pub fn well_for(&self, app: &AppId, stack: &StackId, now: Moment) -> Option<Duration> {
        let of_stack = |target: &TargetId| target.app == *app && target.stack == *stack;
        let watches = self.watches.iter().filter(|(target, _)| of_stack(target));
        let spans: Option<Vec<_>> = watches.map(|(_, watch)| watch.well_for(now)).collect();
        spans?.into_iter().min()
    }

    /// Looks again, now, at what was not looked at within `age` of one stack, unless it is being looked at.
    pub fn look_closely(
        &mut self,
        app: &AppId,
        stack: &StackId,
        age: Duration,
        now: Moment,
        out: &mut Outbox,
    ) {
        let of_stack = |target: &TargetId| target.app == *app && target.stack == *stack;
        for (target, watch) in self.watches.iter_mut().filter(|(target, _)| of_stack(target)) {
            if !watch.looked_within(age, now)
                && !watch.is_looking()
                && let Some(look) = watch.look(target, now)
            {
                out.push(Output::Probe(look));
            }
        }
    }

    /// Looks now at one target, unless a look began within `age`.
    pub fn look_since(&mut self, target: &TargetId, age: Duration, now: Moment, out: &mut Outbox) {
        let Some(watch) = self.watches.get_mut(target) else { return };
        if !watch.began_within(age, now)
            && let Some(look) = watch.look(target, now)
        {
            out.push(Output::Probe(look));
        }
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
        for look in self.canaries.due(now) {
            out.push(Output::Probe(look));
        }
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        let mut changed = false;
        let mut next = Moment::NEVER;
        for (target, watch) in &mut self.watches {
            if now < watch.wanted() {
                next = next.min(watch.wanted());
                continue;
            }
            if let Some(look) = watch.due(target, now, rng) {
                out.push(Output::Probe(look));
            }
            if let Some((health, why)) = watch.turned(now) {
                out.note(Note::Judges { target: target.clone(), health, why });
                changed = true;
            }
            next = next.min(watch.wake(now));
        }
        for (target, watch) in &mut self.candidates {
            if let Some(look) = watch.due(target, now, rng) {
                out.push(Output::Probe(look));
            }
            next = next.min(watch.wake(now));
        }
        self.next = Some(next);
        changed
    }

    /// When to be woken.
    pub fn wake(&self) -> Deadline {
        let looks = self.next.unwrap_or(Moment::NEVER).min(self.canaries.wake());
        (looks, "the next look is due")
    }

    /// What others would want to hear of at once if it changed: health, fitness and doubt of every target.
    pub fn summary(&self, now: Moment) -> impl Iterator<Item = (Health, bool, bool)> {
        let found = self.candidates.values().map(move |it| {
            (if it.answers(now) { Health::Up } else { Health::Unknown }, false, false)
        });
        self.watches.values().map(move |watch| watch.summary(now)).chain(found)
    }

    /// Is every target of one stack of an app up, and a way to it known?
    pub fn all_up(&self, app: &AppId, stack: &StackId, now: Moment) -> bool {
        let mut watches =
            self.watches.iter().filter(|(target, _)| target.app == *app && target.stack == *stack);
        watches.all(|(_, watch)| watch.is_up(now))
    }

    /// Everything believed, by target; and of places that nobody agreed on yet, those that answer.
    pub fn beliefs(&self, now: Moment) -> Vec<Belief> {
        let found = self.candidates.iter().filter(|(_, watch)| watch.answers(now));
        let watches = self.watches.iter().chain(found);
        let mut beliefs: Vec<_> =
            watches.map(|(target, watch)| watch.belief(target, now)).collect();
        if !self.candidates.is_empty() {
            beliefs.sort_by(|one, other| one.target.cmp(&other.target));
        }
        beliefs
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
