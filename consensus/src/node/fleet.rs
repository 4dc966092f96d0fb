//! Many apps at once: how many the mesh may move by itself, and what to make of a site that fails (PROTOCOL.md E, B.5).
//!
//! There is no register for the fleet. Every voter counts the apps that it itself holds in an automatic decision and
//! refuses one too many; two quorums meet, so the fleet as a whole is bounded, too. A site that nearly all of fails is one
//! event and not many: it is moved as a whole, once it is clear how much of it there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Node;
use super::damping::{Age, Ages};
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::message::{Refusal, Value};
use crate::model::{AppId, AppState, DecisionKind, Epoch, Phase, Site, StackId, Verdict};
use crate::moment::Moment;

/// So many apps may always be moved at once, whatever their number.
const LEAST: usize = 2;
/// Beyond that, one in so many.
const ONE_IN: usize = 10;
/// So many at once when a whole site is down.
const OF_A_SITE: usize = 50;
/// A decision takes up a place for so long even if it is carried out sooner: what looks wrong with many stacks at once is
/// more often wrong with whoever looks, and shows so within minutes.
const SETTLES: Duration = Duration::from_secs(120);
/// What is not carried out within this is left to people, and takes up no place any more.
const GIVEN_UP: Duration = Duration::from_secs(600);
/// Between the beginnings of two.
const PACE: Duration = Duration::from_secs(2);
/// A site is down when so many percent of its stacks are, of which there are at least [`STACKS`].
const PERCENT: usize = 80;
const STACKS: usize = 3;
/// The set of stacks that are down at a site is waited for until it has been the same for this long,
const STABLE: Duration = Duration::from_secs(2);
/// but no longer than this since the first.
const STABLE_MOST: Duration = Duration::from_secs(5);
/// How often sites are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The last automatic decision about an app that this agent holds, or knows to be behind what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    epoch: Epoch,
    age: Age,
    done: bool,
}

impl Place {
    /// The place that an app takes up once this state is held.
    pub fn after(before: Option<Self>, state: &AppState, now: Moment) -> Option<Self> {
        // What was decided since says no more of when, but the state remembers what the mesh did by itself.
        let epoch = match state.decision.kind {
            DecisionKind::Failover => Some(state.epoch),
            _ => state.damping.history.last().map(|damped| damped.epoch),
        };
        // Taking it back is still part of it.
        let goes_on = state.phase != Phase::Idle
            && epoch.is_some_and(|epoch| match state.decision.kind {
                DecisionKind::Failover => true,
                DecisionKind::Abort => epoch.next() == state.epoch,
                _ => false,
            });
        match (epoch, before) {
            (_, Some(place)) if state.epoch < place.epoch => Some(place),
            (Some(epoch), Some(place)) if place.epoch == epoch => {
                Some(Self { done: !goes_on, ..place })
            }
            (Some(epoch), place) if place.is_none_or(|place| place.epoch < epoch) => {
                Some(Self { epoch, age: Age::fresh(now), done: !goes_on })
            }
            (_, place) => place.map(|place| Self { done: true, ..place }),
        }
    }

    /// The place that an app takes up as this run begins: a restart frees none.
    pub fn restored(state: &AppState, ages: &Ages, now: Moment) -> Option<Self> {
        let place = Self::after(None, state, now)?;
        Some(Self { age: ages.of_epoch(place.epoch, now), ..place })
    }

    fn unfinished(self, now: Moment) -> bool {
        !self.done && self.age.at(now) < GIVEN_UP
    }

    fn taken(self, now: Moment) -> bool {
        self.unfinished(now) || self.age.at(now) < SETTLES
    }
}

/// The stacks at one site.
#[derive(Clone, Debug)]
pub struct Cut {
    stacks: usize,
    down: BTreeSet<(AppId, StackId)>,
    began: Moment,
    changed: Moment,
}

impl Cut {
    /// Is the site as good as gone, for a majority, as far as gossip tells?
    fn certified(&self) -> bool {
        self.stacks >= STACKS && self.down.len() * 100 >= self.stacks * PERCENT
    }

    /// From when on it is clear how much of the site is down.
    fn stable(&self, now: Moment) -> Moment {
        match self.down.len() == self.stacks {
            true => now,
            false => (self.changed + STABLE).min(self.began + STABLE_MOST),
        }
    }
}

impl Node {
    /// Looks at which sites have stacks that are down: all of them together, for they may be down for one reason.
    pub(super) fn look_at_sites(&mut self, now: Moment) {
        if now < self.sites_at {
            return;
        }
        self.sites_at = now + LOOK;
        let mut found: BTreeMap<Site, (usize, BTreeSet<(AppId, StackId)>)> = BTreeMap::new();
        for (app, it) in &self.apps {
            let Some((_, state)) = it.known() else { continue };
            let doubted: Vec<_> = (state.definition.stacks.iter())
                .map(|stack| !self.all_see_up(state, &stack.name, now))
                .collect();
            for stack in &state.definition.stacks {
                found.entry(stack.site.clone()).or_default().0 += 1;
            }
            if !doubted.contains(&true) {
                continue;
            }
            let own = self.judge.beliefs_of(app, now);
            let panel = self.panel(state, &own, now);
            for (stack, _) in state.definition.stacks.iter().zip(doubted).filter(|it| it.1) {
                let (_, down) = found.entry(stack.site.clone()).or_default();
                let counts = panel.deciding(&stack.name);
                if counts.iter().flatten().any(|count| count.verdict == Verdict::Down) {
                    down.insert((app.clone(), stack.name.clone()));
                }
            }
        }
        let mut closer = BTreeSet::new();
        self.sites.retain(|site, _| found.get(site).is_some_and(|(_, down)| !down.is_empty()));
        for (site, (stacks, down)) in found.into_iter().filter(|(_, (_, down))| !down.is_empty()) {
            match self.sites.get_mut(&site) {
                Some(cut) if cut.down == down => cut.stacks = stacks,
                Some(cut) => (cut.stacks, cut.down, cut.changed) = (stacks, down, now),
                None => {
                    closer.insert(site.clone());
                    self.sites.insert(site, Cut { stacks, down, began: now, changed: now });
                }
            }
        }
        // One stack of a site is down: everything else there is looked at closely, so that it is soon clear what is.
        let lives_there = |state: &AppState| {
            state.definition.stacks.iter().any(|stack| closer.contains(&stack.site))
        };
        let neighbours = self.apps.iter().filter(|(_, it)| {
            !closer.is_empty() && it.known().is_some_and(|(_, state)| lives_there(state))
        });
        for app in neighbours.map(|(app, _)| app.clone()).collect::<Vec<_>>() {
            self.judge.hasten(&app, now);
        }
    }

    /// This agent's store holds a value of an app.
    pub(super) fn on_held(&mut self, app: &AppId, value: &Value, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        if let Ok(state) = self.config.format.decode(value) {
            it.place = Place::after(it.place, &state, now);
        }
    }

    /// What is known of the site of an app's active stack, if anything of it is down.
    fn cut_of(&self, state: &AppState) -> Option<&Cut> {
        self.sites.get(&state.definition.stack(&state.active)?.site)
    }

    /// Is the site of an app's active stack as good as gone?
    fn is_cut(&self, state: &AppState) -> bool {
        let cut = self.cut_of(state);
        #[cfg(feature = "mutants")]
        if cut.is_some() && self.broken(Mutant::CutUncertified) {
            return true;
        }
        cut.is_some_and(Cut::certified)
    }

    /// Does anything of another app live at the site of this one's active stack?
    fn has_neighbours(&self, app: &AppId, state: &AppState) -> bool {
        let Some(stack) = state.definition.stack(&state.active) else { return false };
        self.apps.iter().filter(|(other, _)| *other != app).any(|(_, it)| {
            let at_site = |state: &AppState| {
                state.definition.stacks.iter().any(|other| other.site == stack.site)
            };
            it.known().is_some_and(|(_, state)| at_site(state))
        })
    }

    /// May another app be moved, as far as this agent holds others in decisions? Asked at every acceptor.
    pub(super) fn affordable(
        &self,
        app: &AppId,
        state: &AppState,
        now: Moment,
    ) -> Result<(), Refusal> {
        if self.ignores_budget() {
            return Ok(());
        }
        let places = || {
            let others = self.apps.iter().filter(|(other, _)| *other != app);
            others.filter_map(|(_, it)| it.place)
        };
        if self.is_cut(state) {
            let moving = places().filter(|place| place.unfinished(now)).count();
            return match moving < OF_A_SITE {
                true => Ok(()),
                false => Err(Refusal::Budget { moving, most: OF_A_SITE }),
            };
        }
        let moving = places().filter(|place| place.taken(now)).count();
        let most = LEAST.max(self.apps.len() / ONE_IN);
        if moving >= most {
            return Err(Refusal::Budget { moving, most });
        }
        let last = places().map(|place| place.age.at(now)).min();
        match last.map(|last| PACE.saturating_sub(last)) {
            Some(left) if !left.is_zero() => Err(Refusal::Pace(left)),
            _ => Ok(()),
        }
    }

    /// When to propose an app's failover so that the fleet's budget allows it: one app after the other, the same one first
    /// for everybody, unless a whole site is down.
    pub(super) fn turn(
        &self,
        app: &AppId,
        state: &AppState,
        now: Moment,
    ) -> Result<Moment, Refusal> {
        let since = self.apps[app].called.unwrap_or(now);
        let here = (app.clone(), state.active.clone());
        let stable = match self.cut_of(state) {
            _ if !self.has_neighbours(app, state) => now,
            Some(cut) if cut.down.contains(&here) => cut.stable(now),
            // It has only just turned: what else is down is seen at the next look.
            _ => now.max(since + LOOK),
        };
        let at = match self.affordable(app, state, now) {
            Ok(()) => now,
            Err(Refusal::Pace(left)) => now + left,
            Err(why) => return Err(why),
        };
        let queued = match self.is_cut(state) || self.ignores_budget() {
            true => 0,
            false => self.apps.range(..app).filter(|(_, it)| it.called.is_some()).count(),
        };
        let queued = PACE.saturating_mul(u32::try_from(queued).unwrap_or(u32::MAX));
        Ok(at.max(stable).max(since + queued))
    }

    /// Forgets at its start whatever the fleet did lately. Only as a mutant.
    #[cfg(feature = "mutants")]
    pub(super) fn forget_places(&mut self) {
        if self.broken(Mutant::BudgetForgottenAtRestart) {
            self.apps.values_mut().for_each(|it| it.place = None);
        }
    }

    fn ignores_budget(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::BudgetIgnored);
        #[cfg(not(feature = "mutants"))]
        false
    }
}
