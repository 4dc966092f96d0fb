//! What follows a phase, by what came of its requests (PROTOCOL.md D.2).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Node;
use super::attempt::{Attempt, ROUND};
use super::intent::{Intent, Next};
use super::work::{Item, Stage, Work};
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::Aspect;
use crate::failover::plan;
use crate::model::{
    AppId, AppState, DecisionKind, Effect, FenceRecord, Phase, TargetName, Verdict,
};
use crate::moment::Moment;

/// A fence that cannot be taken back is left to people after this.
const UNFENCE_FOR: Duration = Duration::from_secs(600);
/// And after this, if its stack is down by now: there is nothing to open, and perhaps somewhere to move.
const UNFENCE_DEAD_FOR: Duration = Duration::from_secs(30);
/// The second look is taken this long before the old stack's lease has ended, so that nothing waits for both in turn.
const LEASE_LEAD: Duration = Duration::from_millis(1500);
/// What is not published within this is owed: the decision ends as if it were, and it is put back as what somebody wrote over
/// is (`drift`). Nothing else can be decided until then.
const PUBLISH_FOR: Duration = Duration::from_secs(30);
/// Every executor tries for so long all the same, and after each name that it published.
const PUBLISH_LEAST: Duration = Duration::from_secs(10);
/// A new stack that is not seen up is left to people after this (PROTOCOL.md D.2, Verifying).
const VERIFY_FOR: Duration = Duration::from_secs(600);

impl Node {
    /// What follows, once everything of a phase has ended.
    pub(super) fn outcome(&self, work: &Work, state: &AppState, now: Moment) -> Option<Next> {
        let ended = work.items.iter().all(|item| matches!(item.stage, Stage::Ended(_)));
        let took = now.since(self.phase_since(state, now));
        match work.phase {
            Phase::Idle => None,
            Phase::Fencing => {
                let over = self.lease_over(&state.definition.name, state, now);
                // A database that is surely shut need not answer; of a planned move its last position is needed.
                let shut = |item: &Item| {
                    over <= now
                        && matches!(&item.effect, Effect::Fence(it) if it.guard.is_some())
                        && state.decision.kind != DecisionKind::Switchover
                };
                // The second look need not wait for the answers: what it is written down with does (`answered`).
                let asked = |item: &Item| {
                    item.is_awaited(now) && plan::rests_on_evidence(state.decision.kind)
                };
                let due = |item: &Item| item.ended() || shut(item) || asked(item);
                (work.items.iter().all(due) && over <= now + LEASE_LEAD)
                    .then(|| fenced(work, state))
            }
            Phase::Aborting => {
                let dead = took > UNFENCE_DEAD_FOR && self.sees_dead(state, now);
                let opened = |item: &Item| matches!(item.stage, Stage::Ended(Ok(_)));
                let closed = !work.items.iter().all(opened);
                (ended || dead || took > UNFENCE_FOR).then_some(Next::Finish { closed })
            }
            Phase::Promoting => ended.then_some(Next::Publish),
            Phase::Publishing => {
                // Nothing that was asked for may come after what is decided next.
                let ends = self.publishing_ends(&state.definition.name, now);
                let over = ends.is_some_and(|(_, quiet)| quiet <= now) && work.is_idle();
                (ended || over).then_some(Next::Verify)
            }
            Phase::Verifying => {
                let own = self.beliefs_of(&state.definition.name, now);
                let panel = self.panel(state, &own, now);
                let seen = panel.serves(&state.active);
                let applied = matches!(
                    state.decision.kind,
                    DecisionKind::Apply | DecisionKind::Abort | DecisionKind::Follow
                );
                let over = seen || applied || took > VERIFY_FOR;
                // An applied definition opens nothing; whatever moved the app left the closed stack.
                let closed = applied && state.closed;
                over.then_some(Next::Finish { closed })
            }
        }
    }

    /// Since when this agent knows that a step is due, whoever claims it.
    pub(super) fn phase_since(&self, state: &AppState, now: Moment) -> Moment {
        let known = self.apps.get(&state.definition.name).and_then(|it| it.known());
        let same = known.filter(|(_, it)| (it.epoch, it.phase) == (state.epoch, state.phase));
        same.map_or(now, |(known, _)| known.since)
    }

    /// Has nobody carried out for long what is not to be waited for? Then anybody may end it, whatever it would take to do it.
    pub(super) fn is_overdue(&self, state: &AppState, now: Moment) -> bool {
        let limit = match state.phase {
            Phase::Publishing => PUBLISH_FOR,
            Phase::Aborting => UNFENCE_FOR,
            Phase::Idle | Phase::Fencing | Phase::Promoting | Phase::Verifying => return false,
        };
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::PublishingHolds) {
            return false;
        }
        limit <= now.since(self.phase_since(state, now))
    }

    /// Until when this executor asks for anything that it publishes, and when nothing of that can take effect any more. One that
    /// gets on goes on: a provider may take many names one by one.
    pub(super) fn publishing_ends(&self, app: &AppId, now: Moment) -> Option<(Moment, Moment)> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::PublishingHolds) {
            return None;
        }
        let it = self.apps.get(app)?;
        let work = it.work.as_ref().filter(|work| work.phase == Phase::Publishing)?;
        let (_, state) = it.known()?;
        let since = self.phase_since(state, now);
        let ends = (since + PUBLISH_FOR).max(work.advanced + PUBLISH_LEAST);
        Some((ends, ends + self.quiet(state)))
    }

    /// Do the voters see the active stack's databases down, as far as gossip tells?
    fn sees_dead(&self, state: &AppState, now: Moment) -> bool {
        let own = self.beliefs_of(&state.definition.name, now);
        let panel = self.panel(state, &own, now);
        panel.count(&state.active, Aspect::Data).is_some_and(|count| count.verdict == Verdict::Down)
    }

    /// When a promotion may be accepted, as far as voters told; anything else at once.
    pub(super) fn promotable_from(&self, app: &AppId, intent: &Intent, now: Moment) -> Moment {
        match (intent, self.apps.get(app).and_then(|it| it.known())) {
            (Intent::Advance { next: Next::Promote { .. }, .. }, Some((_, state))) => {
                self.lease_over(app, state, now).min(now + ROUND / 2)
            }
            _ => now,
        }
    }

    /// Is what this agent proposes a promotion whose fences may answer yet? If not, it is written down with what they said.
    pub(super) fn waits_for_fences(&mut self, app: &AppId, now: Moment) -> bool {
        let attempt = self.apps.get(app).and_then(|it| it.attempt.as_ref());
        if !attempt.is_some_and(Attempt::prepares_promotion) {
            return false;
        }
        let Some(answered) = self.answered(app, now) else { return true };
        let attempt = self.apps.get_mut(app).and_then(|it| it.attempt.as_mut());
        if let Some(Attempt { intent: Intent::Advance { next, .. }, .. }) = attempt {
            *next = answered;
        }
        false
    }

    /// What a promotion is to be written down with, now that its fences have answered; None while one may yet.
    fn answered(&self, app: &AppId, now: Moment) -> Option<Next> {
        let it = self.apps.get(app)?;
        let (work, (_, state)) = (it.work.as_ref()?, it.known()?);
        let over = self.lease_over(app, state, now) <= now;
        let guarded = |item: &Item| matches!(&item.effect, Effect::Fence(it) if it.guard.is_some());
        let due = work.items.iter().all(|item| item.ended() || (over && guarded(item)));
        due.then(|| fenced(work, state))
    }
}

/// What is known of every old primary, once it has been asked; a planned move cannot go on without all their positions.
fn fenced(work: &Work, state: &AppState) -> Next {
    let records: BTreeMap<TargetName, FenceRecord> = work
        .items
        .iter()
        .filter_map(|item| {
            let Effect::Fence(database) = &item.effect else { return None };
            let (text, position) = match &item.stage {
                Stage::Ended(Ok(done)) => (done.text.clone(), done.position),
                Stage::Ended(Err(fault)) => (fault.text.clone(), None),
                Stage::Waiting(_) | Stage::Running(_) => ("has not answered".to_owned(), None),
            };
            // Whoever accepts this as proven sees by its own clock that no lease runs.
            let record = match &database.guard {
                Some(guard) => FenceRecord {
                    proven: true,
                    text: format!("{guard} holds no lease any more; {text}"),
                    position,
                },
                None => FenceRecord { proven: false, text, position },
            };
            Some((database.name.clone(), record))
        })
        .collect();
    let unknown = records.iter().find(|(_, record)| record.position.is_none());
    match (state.decision.kind, unknown) {
        (DecisionKind::Switchover, Some((name, record))) => {
            Next::Abort(format!("the last position of {name} is not known: {}", record.text))
        }
        (kind, _) => Next::Promote { fence: records, looks_again: plan::rests_on_evidence(kind) },
    }
}
