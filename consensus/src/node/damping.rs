//! Ages on this agent's own clock, and what they say: may the mesh act by itself on an app?

use std::collections::BTreeMap;
use std::time::Duration;

use super::Node;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::damping::{self, Hold, Past};
use crate::message::Refusal;
use crate::model::{AppId, AppState, Epoch, FREEZE_MOST, OperationId};
use crate::moment::Moment;
use crate::outbox::Output;
use crate::saved::{Entry, SavedAges};
use crate::view::{DampedView, DampingView, FreezeView};

/// How often ages are made durable, so that a restart does not begin to count anew (PROTOCOL.md 0.1 n).
const AGES_EVERY: Duration = Duration::from_secs(60);
/// What is older than this holds nothing back any more, whatever its level: it is not written down any further.
const AGED: Duration = Duration::from_secs(8 * 24 * 3600);

/// How long ago something was learned: what earlier runs of this process counted, and since when this one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    before: Duration,
    since: Moment,
}

impl Age {
    /// Of what is learned now.
    pub fn fresh(now: Moment) -> Self {
        Self { before: Duration::ZERO, since: now }
    }

    /// How long ago it was.
    pub fn at(self, now: Moment) -> Duration {
        self.before.saturating_add(now.since(self.since))
    }
}

/// How long ago this agent learned of what damps one app.
#[derive(Debug, Default)]
pub struct Ages {
    epochs: BTreeMap<Epoch, Age>,
    freeze: Option<(OperationId, Age)>,
}

impl Ages {
    /// As they were when they were last written down; the time since then is not counted, for nobody knows it.
    pub fn restored(saved: &SavedAges, now: Moment) -> Self {
        let age = |before: &Duration| Age { before: *before, since: now };
        Self {
            epochs: saved.epochs.iter().map(|(epoch, before)| (*epoch, age(before))).collect(),
            freeze: saved.freeze.as_ref().map(|(id, before)| (*id, age(before))),
        }
    }

    /// A state is known: what it holds that was not known before is new from now on.
    pub fn on_learned(&mut self, state: &AppState, now: Moment) {
        let history = &state.damping.history;
        self.epochs.retain(|epoch, _| history.iter().any(|damped| damped.epoch == *epoch));
        let fresh = Age::fresh(now);
        for damped in history {
            self.epochs.entry(damped.epoch).or_insert(fresh);
        }
        let known = self.freeze.take();
        self.freeze = state.freeze.as_ref().map(|freeze| match known {
            Some((id, age)) if id == freeze.id => (id, age),
            _ => (freeze.id, fresh),
        });
    }

    /// Of a decision; as of now if nothing is known of it.
    pub fn of_epoch(&self, epoch: Epoch, now: Moment) -> Age {
        self.epochs.get(&epoch).copied().unwrap_or(Age::fresh(now))
    }

    /// How long a freeze still holds; `None` once it has run out, or if there is none.
    pub fn frozen_for(&self, state: &AppState, now: Moment) -> Option<Duration> {
        let freeze = state.freeze.as_ref()?;
        let known = self.freeze.filter(|(id, _)| *id == freeze.id);
        let age = known.map_or(Duration::ZERO, |(_, age)| age.at(now));
        Some(freeze.lasts.saturating_sub(age)).filter(|left| !left.is_zero())
    }

    /// What the mesh did by itself, oldest first, and how long ago.
    pub fn past(&self, state: &AppState, now: Moment) -> Vec<Past> {
        let of = |damped: &crate::model::Damped| Past {
            aborted: damped.aborted,
            age: self.of_epoch(damped.epoch, now).at(now),
        };
        state.damping.history.iter().map(of).collect()
    }

    /// What is to be written down; `None` if nothing of it is young enough to matter.
    fn saved(&self, now: Moment) -> Option<SavedAges> {
        let young = self.epochs.values().any(|age| age.at(now) < AGED)
            || self.freeze.is_some_and(|(_, age)| age.at(now) < FREEZE_MOST);
        young.then(|| SavedAges {
            epochs: self.epochs.iter().map(|(epoch, age)| (*epoch, age.at(now))).collect(),
            freeze: self.freeze.map(|(id, age)| (id, age.at(now))),
        })
    }
}

impl Node {
    /// May the mesh act by itself on this app, as far as this agent's own clock tells?
    pub(super) fn free(&self, app: &AppId, state: &AppState, now: Moment) -> Result<(), Refusal> {
        let unknown = Ages::default();
        let ages = self.apps.get(app).map_or(&unknown, |it| &it.ages);
        if let (Some(freeze), Some(left)) = (&state.freeze, ages.frozen_for(state, now))
            && !self.ignores_freezes()
        {
            return Err(Refusal::Frozen { by: freeze.by.clone(), left });
        }
        let (base, past) = (state.definition.cooldown, ages.past(state, now));
        #[cfg(feature = "mutants")]
        let past = match self.broken(Mutant::CooldownNeverDoubles) {
            true => past.into_iter().next_back().into_iter().collect(),
            false => past,
        };
        match damping::hold(base, state.damping.flapping, &past) {
            Some(_) if self.ignores_cooldowns() => Ok(()),
            Some(Hold::Cooling(left)) => Err(Refusal::Cooldown(left)),
            Some(Hold::Flapping) => Err(Refusal::Flapping),
            None => Ok(()),
        }
    }

    /// Would another automatic decision be the third within a day, by this agent's clock?
    pub(super) fn would_flap(&self, app: &AppId, state: &AppState, now: Moment) -> bool {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::ThirdADayUnheld) {
            return false;
        }
        let unknown = Ages::default();
        let ages = self.apps.get(app).map_or(&unknown, |it| &it.ages);
        damping::would_flap(state.definition.cooldown, &ages.past(state, now))
            && !self.ignores_cooldowns()
    }

    /// The freeze that still holds, for people.
    pub(super) fn freeze_view(&self, state: &AppState, now: Moment) -> Option<FreezeView> {
        let ages = &self.apps.get(&state.definition.name)?.ages;
        let (freeze, left) = (state.freeze.as_ref()?, ages.frozen_for(state, now)?);
        let left_ms = millis(left);
        Some(FreezeView {
            by: freeze.by.clone(),
            reason: freeze.reason.clone(),
            left_ms,
            until_wall_ms: self.wall_ms(now).saturating_add(left_ms),
        })
    }

    /// What the mesh did by itself, for people.
    pub(super) fn damping_view(&self, state: &AppState, now: Moment) -> DampingView {
        let Some(it) = self.apps.get(&state.definition.name) else { return DampingView::default() };
        let past = it.ages.past(state, now);
        let hold = damping::hold(state.definition.cooldown, state.damping.flapping, &past);
        let history = state.damping.history.iter().zip(&past).map(|(damped, past)| DampedView {
            epoch: damped.epoch,
            aborted: damped.aborted,
            age_ms: millis(past.age),
        });
        DampingView {
            flapping: hold == Some(Hold::Flapping),
            cooling_ms: match hold {
                Some(Hold::Cooling(left)) => millis(left),
                Some(Hold::Flapping) | None => 0,
            },
            history: history.collect(),
            acknowledged: state.damping.cleared.clone(),
        }
    }

    /// Why the mesh would not act by itself, in words.
    pub(super) fn held_back(&self, state: &AppState, now: Moment) -> Option<String> {
        self.free(&state.definition.name, state, now).err().map(|why| why.to_string())
    }

    /// Writes down how old everything is by now, once a minute.
    pub(super) fn save_ages(&mut self, now: Moment) {
        if now < self.ages_at {
            return;
        }
        self.ages_at = now + AGES_EVERY;
        for (app, it) in &self.apps {
            if let Some(ages) = it.ages.saved(now) {
                self.out.push(Output::Save(Entry::Aged { app: app.clone(), ages }));
            }
        }
    }

    /// The ages of an app as this run begins.
    pub(super) fn restored_ages(&self, saved: Option<&SavedAges>, now: Moment) -> Ages {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::CooldownForgottenAtRestart) {
            let long_ago = |epoch| (epoch, AGED);
            let epochs = (0..1000).map(|number| long_ago(Epoch(number))).collect();
            return Ages::restored(&SavedAges { epochs, freeze: None }, now);
        }
        saved.map_or_else(Ages::default, |saved| Ages::restored(saved, now))
    }

    fn ignores_cooldowns(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::CooldownIgnored);
        #[cfg(not(feature = "mutants"))]
        false
    }

    fn ignores_freezes(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::FreezeIgnored);
        #[cfg(not(feature = "mutants"))]
        false
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
