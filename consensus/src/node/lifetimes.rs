//! How long answers may be kept: shortened before a planned move and while the active stack is doubted, lengthened again
//! step by step once nothing stirs.
//!
//! The lifetime is agreed, in the epoch that stands; whoever publishes follows it under the token of that epoch's decision
//! (`node/drift`), so that a failover neither waits for a provider because of it nor is written over by it. A planned move
//! is agreed together with the shortening, and begins, by whichever agent comes first, once that agent has seen every record under
//! the short lifetime for as long as answers of before may be kept. What is never seen so is given up, and said.

use std::time::Duration;

use super::Node;
use super::attempt::Found;
use super::intent::Intent;
use super::people::cut;
use super::work::Work;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::chain::at_rest;
use crate::failover::plan;
use crate::model::{
    AppId, AppState, BY_LIMIT, DecisionKind, Driver, Lifetimes, Mode, OperationId, Phase, Planned,
    SHORTENED_MOST, StackId,
};
use crate::moment::Moment;
use crate::outbox::Answer;
use crate::view::PlannedView;

/// For so long a move is tried that has been waited for.
const TRIED: Duration = Duration::from_secs(60);
/// Nothing stirs for so long before lifetimes grow by one step: each is a change at the provider.
const CALM: Duration = Duration::from_secs(60);
/// The next in rank waits so much longer.
const RANK_STEP: Duration = Duration::from_secs(2);

/// What this agent knows of the agreed lifetimes of an app's answers.
#[derive(Debug, Default)]
pub struct Keeping {
    /// How far they are shortened, and since when this agent knows.
    shortened: u8,
    since: Moment,
    /// The planned move, and since when this agent knows of it.
    planned: Option<(OperationId, Moment)>,
}

impl Keeping {
    /// The state is this from now on. Are lifetimes others than before?
    pub fn on_learned(&mut self, state: &AppState, now: Moment) -> bool {
        let Lifetimes { shortened, planned, .. } = &state.lifetimes;
        let changed = self.shortened != *shortened;
        if changed {
            (self.shortened, self.since) = (*shortened, now);
        }
        let since = |id| self.planned.filter(|(of, _)| *of == id).map_or(now, |(_, since)| since);
        self.planned = planned.as_ref().map(|planned| (planned.id, since(planned.id)));
        changed
    }
}

impl Node {
    /// Lifetimes have changed: whoever keeps the records publishes them anew, under the decision that stands.
    pub(super) fn relive(&mut self, app: &AppId, shortened_before: u8, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        it.records.look(now);
        let Some((_, state)) = self.apps[app].known() else { return };
        if state.phase != Phase::Idle || !self.keeps_records(app, state, now) {
            return;
        }
        let mut before = state.clone();
        before.lifetimes.shortened = shortened_before;
        let before = plan::publications(&before);
        let mut effects = plan::publications(state);
        effects.retain(|effect| !before.contains(effect));
        if effects.is_empty() {
            return;
        }
        let work = Work::mending(super::drift::published(state), state.epoch, effects, now);
        self.apps.get_mut(app).expect("it is known").work = Some(work);
        self.work_on(app, now);
    }

    /// Shortens, lengthens or moves, if the time has come for it and nothing else is going on.
    pub(super) fn consider_lifetimes(&mut self, app: &AppId, now: Moment) {
        let it = &self.apps[app];
        let Some((_, state)) = it.known().filter(|(_, it)| it.phase == Phase::Idle) else { return };
        if it.attempt.is_some() || it.called.is_some() || state.definition.mode == Mode::Shadow {
            return;
        }
        if state.lifetimes.planned.is_some() {
            return self.consider_planned(app, now);
        }
        let frozen = it.ages.frozen_for(state, now).is_some();
        let (not_before, doubted) = (it.not_before, it.handed.doubted());
        let due = match (doubted, state.lifetimes.shortened) {
            (Some(since), shortened) if shortened < SHORTENED_MOST && self.shortens(state) => {
                Some((since, SHORTENED_MOST))
            }
            (None, shortened) if shortened > 0 => {
                let calm = it.keeping.since.max(it.handed.troubled());
                Some((calm + CALM, longer(state)))
            }
            _ => None,
        };
        let Some((due, shortened)) = due.filter(|_| !frozen && self.hears_majority(now)) else {
            return;
        };
        let due = (due + RANK_STEP * self.rank(app, state, now)).max(not_before);
        if now < due {
            return self.look_again(app, due);
        }
        let operation = self.operation();
        self.start(app, Intent::Keep { shortened, gives_up: None }, operation, now);
    }

    /// Is it worth it, and safe, to shorten lifetimes while the active stack is doubted? Not where a provider compares no tokens: a
    /// request that is late would write over the failover that may follow at once (PROTOCOL.md D.3). The built-in server shortens
    /// by itself.
    fn shortens(&self, state: &AppState) -> bool {
        let mut drivers = state.definition.records.iter().map(|it| (&it.driver, it.ttl));
        let compares = drivers.clone().all(|(driver, _)| driver.compares());
        #[cfg(feature = "mutants")]
        let compares = compares || self.broken(Mutant::BlindShortened);
        compares
            && drivers.any(|(driver, ttl)| {
                *driver != Driver::BuiltIn && driver.kept(ttl, SHORTENED_MOST) < ttl
            })
    }

    /// Begins a planned move once answers of before have run out; gives it up where they never will.
    fn consider_planned(&mut self, app: &AppId, now: Moment) {
        let it = &self.apps[app];
        let Some((_, state)) = it.known() else { return };
        let Some(planned) = &state.lifetimes.planned else { return };
        let since = it.keeping.planned.map_or(now, |(_, since)| since);
        let (id, to) = (planned.id, &planned.to);
        let shown = self.shown(app, state).map(|at| at.max(since));
        let begins = shown.map(|at| at + planned.runs_out);
        let ends = match begins {
            Some(begins) => begins + TRIED,
            None => since + state.definition.shows_within(),
        };
        let next = match begins {
            Some(_) => {
                format!("moves to {to}, for {}, once answers of before have run out", planned.by)
            }
            None => {
                format!("moves to {to}, for {}, once its records are seen shortened", planned.by)
            }
        };
        let gives_up = match begins {
            Some(_) => format!("the planned move to {to} could not be begun"),
            None => format!("no move to {to}: its records were not seen shortened"),
        };
        let not_before = it.not_before;
        let rank = RANK_STEP * self.rank(app, state, now);
        let due = (begins.unwrap_or(ends).min(ends) + rank).max(not_before);
        // A failover may wait for somebody to approve it: whoever reads of the plan alone would not know.
        let told = &self.apps[app].next_told;
        let next = if told.is_empty() { next } else { format!("{told}; {next}") };
        self.say_next(app, next);
        if now < due {
            return self.look_again(app, due);
        }
        if !self.hears_majority(now) {
            return;
        }
        let intent = match now < ends && begins.is_some() {
            true => Intent::Planned { id },
            false => Intent::Keep { shortened: SHORTENED_MOST, gives_up: Some((id, gives_up)) },
        };
        let operation = self.operation();
        self.start(app, intent, operation, now);
    }

    pub(super) fn look_again(&mut self, app: &AppId, at: Moment) {
        let it = self.apps.get_mut(app).expect("it is known");
        if it.again.is_none_or(|(before, _)| at < before) {
            it.again = Some((at, "something that is kept is to be looked at again"));
        }
    }

    /// Since when this agent sees all answers given under the agreed lifetime.
    fn shown(&self, app: &AppId, state: &AppState) -> Option<Moment> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::PlannedTooEarly) {
            return Some(Moment::ZERO);
        }
        let it = self.apps.get(app)?;
        match plan::publications(state).is_empty() {
            true => Some(it.keeping.since),
            false => it.records.shown().map(|at| at.max(it.keeping.since)),
        }
    }

    /// A move that has no answers to wait for is asked for at once.
    pub(super) fn at_once_where_nothing_runs_out(&self, app: &AppId, intent: Intent) -> Intent {
        let known = self.apps.get(app).and_then(|it| it.known());
        let waits = known.is_some_and(|(_, state)| !state.definition.runs_out().is_zero());
        match intent {
            Intent::Plan { to, by } if !waits => {
                let kind = DecisionKind::Switchover;
                Intent::Operator { kind, to, accept_loss: false, by }
            }
            other => other,
        }
    }

    /// A switchover that an operator calls for: planned, where answers of before would outlive it.
    pub(super) fn planned(
        &self,
        current: &AppState,
        found: &Found<'_>,
        (to, by): (Option<&StackId>, &str),
        now: Moment,
    ) -> Result<AppState, String> {
        let moved =
            self.operator(current, found, (DecisionKind::Switchover, to, false, by), now)?;
        let app = &current.definition.name;
        let runs_out = current.definition.runs_out();
        let ran_out = current.lifetimes.shortened == SHORTENED_MOST
            && self.shown(app, current).is_some_and(|at| runs_out <= now.since(at));
        if runs_out.is_zero() || ran_out {
            return Ok(moved);
        }
        at_rest(current)?;
        let (id, to, by) = (found.operation, moved.decision.to, cut(by, BY_LIMIT));
        if current.lifetimes.planned.as_ref().is_some_and(|planned| planned.to == to) {
            return Err(Intent::UNCHANGED.into());
        }
        let planned = Some(Planned { id, to, by, runs_out });
        let lifetimes = current.lifetimes.next(SHORTENED_MOST, planned);
        Ok(AppState { lifetimes, ..current.clone() })
    }

    /// The planned move, now that it may begin.
    pub(super) fn as_planned(
        &self,
        current: &AppState,
        found: &Found<'_>,
        id: OperationId,
        now: Moment,
    ) -> Result<AppState, String> {
        let planned = current.lifetimes.planned.as_ref().filter(|planned| planned.id == id);
        let Planned { to, by, .. } = planned.ok_or("it is not planned any more")?;
        self.operator(current, found, (DecisionKind::Switchover, Some(to), false, by), now)
    }

    /// Other lifetimes, or what was planned given up.
    pub(super) fn relived(
        &self,
        current: &AppState,
        shortened: u8,
        gives_up: Option<OperationId>,
    ) -> Result<AppState, String> {
        at_rest(current)?;
        let held = current.lifetimes.planned.as_ref().map(|planned| planned.id);
        match (held, gives_up) {
            (None, None) => {}
            (held, Some(id)) if held == Some(id) => {}
            (_, Some(_)) => return Err("it is not planned any more".into()),
            (Some(_), None) => return Err("a move is planned".into()),
        }
        let lifetimes = current.lifetimes.next(shortened, None);
        match lifetimes == current.lifetimes {
            true => Err(Intent::UNCHANGED.into()),
            false => Ok(AppState { lifetimes, ..current.clone() }),
        }
    }

    /// The planned move, for people.
    pub(super) fn planned_view(&self, state: &AppState, now: Moment) -> Option<PlannedView> {
        let planned = state.lifetimes.planned.as_ref()?;
        let app = &state.definition.name;
        let since = self.apps.get(app)?.keeping.planned.map_or(now, |(_, since)| since);
        let shown = self.shown(app, state).map_or(now, |at| at.max(since));
        let within = (shown + planned.runs_out).since(now);
        Some(PlannedView {
            to: planned.to.clone(),
            by: planned.by.clone(),
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// What whoever asked for it is told, if this operation planned a move that is planned still.
pub fn planned_by(state: &AppState, operation: OperationId) -> Option<Answer> {
    let planned = state.lifetimes.planned.as_ref().filter(|planned| planned.id == operation)?;
    Some(Answer::Planned { epoch: state.epoch, runs_out: planned.runs_out })
}

/// The next step back to full lifetimes that changes anything.
fn longer(state: &AppState) -> u8 {
    let kept = |shortened| {
        let records = state.definition.records.iter();
        records.map(|it| it.driver.kept(it.ttl, shortened)).collect::<Vec<_>>()
    };
    let mut next = state.lifetimes.shortened.saturating_sub(1);
    while next > 0 && kept(next) == kept(next - 1) {
        next -= 1;
    }
    next
}
