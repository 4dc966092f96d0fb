//! Replicas that follow another than the agreed primary are told to follow it, in an epoch of its own; and a primary that
//! the taking back of a fence did not reach is opened.
//!
//! An old primary that comes back, or a replica that could not be reached during a failover, is found by looks like
//! everything else. It is put right by applying the definition anew: the request carries a token and needs a claim like
//! every other, so that an agent with an old view of things can do no harm (rule E1). What cannot be put right is asked
//! for more and more seldom, and said in the status all the while.

use std::time::Duration;

use super::Node;
use super::intent::Intent;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::chain::at_rest;
use crate::model::{AppId, AppState, DecisionKind, Epoch, Mode, Phase};
use crate::moment::Moment;
use crate::outbox::Note;

/// A replica may be found astray for moments after a failover: links take a second or two to come up again.
const PATIENCE: Duration = Duration::from_secs(10);
/// The next in rank waits so much longer.
const RANK_STEP: Duration = Duration::from_secs(2);
/// The patience doubles with every try, up to three hours.
const DOUBLINGS: u32 = 10;

/// What this agent knows of an app's replicas that are not where they should be.
#[derive(Debug)]
pub struct Astray {
    what: String,
    since: Moment,
    /// Epochs in which anybody asked for it to be put right.
    tries: u32,
    counted: Epoch,
    /// Has it been so for longer than a moment, and was that said?
    said: bool,
}

impl Node {
    /// Puts an app's replicas right, if they are not and nothing else is going on.
    pub(super) fn consider_replicas(&mut self, app: &AppId, now: Moment) {
        let Some((_, state)) = self.apps.get(app).and_then(|it| it.known()) else { return };
        let led = state.definition.guarded().any(|(_, database)| state.definition.leads(database));
        if !led && !state.closed {
            self.apps.get_mut(app).expect("it is known").astray = None;
            return;
        }
        let own = self.beliefs_of(app, now);
        let Some((known, state)) = self.apps.get(app).and_then(|it| it.known()) else { return };
        let (learned, mode, epoch) = (known.learned, state.definition.mode, state.epoch);
        let panel = self.panel(state, &own, now);
        let closed = state.closed.then(|| panel.left_closed(&state.active)).flatten();
        let opens = closed.is_some();
        let found = closed.or_else(|| panel.astray(&state.active));
        #[cfg(feature = "mutants")]
        let found = found.filter(|_| {
            let mutant = if opens { Mutant::ClosedLeft } else { Mutant::AstrayLeft };
            !self.broken(mutant)
        });
        let Some(what) = found else {
            self.apps.get_mut(app).expect("it is known").astray = None;
            return;
        };
        let rank = self.rank(app, state, now);
        let may = mode == Mode::Automatic
            && self.apps[app].ages.frozen_for(state, now).is_none()
            && self.abstention_of(state, now).is_none()
            && self.hears_majority(now);
        let it = self.apps.get_mut(app).expect("it is known");
        let fresh = it.astray.as_ref().is_none_or(|before| before.what != what);
        if fresh {
            it.astray = Some(Astray { what, since: now, tries: 0, counted: epoch, said: false });
        }
        let Some(astray) = &mut it.astray else { return };
        if astray.counted < epoch {
            astray.tries = astray.tries.saturating_add(1);
            astray.counted = epoch;
        }
        it.next.clone_from(&astray.what);
        let since = astray.since.max(learned);
        if !astray.said && since + PATIENCE <= now {
            astray.said = true;
            self.out.note(Note::Alarm(format!("{app}: {}", astray.what)));
        }
        let patience = PATIENCE * (1 << astray.tries.min(DOUBLINGS)) + RANK_STEP * rank;
        let due = match may {
            true => (since + patience).max(it.not_before),
            false if astray.said => return,
            false => since + PATIENCE,
        };
        if now < due {
            if it.again.is_none_or(|(at, _)| due < at) {
                it.again = Some((due, "a replica may have to be told whom to follow"));
            }
            return;
        }
        let what = if opens { "it is opened again" } else { "it is told to follow" };
        let reason = format!("{}: {what}", astray.what);
        let operation = self.operation();
        self.start(app, Intent::Tend { reason, opens }, operation, now);
    }

    /// The fence is taken back once more, where that had not reached a database before.
    pub(super) fn opened_again(
        &self,
        current: &AppState,
        reason: &str,
        now: Moment,
    ) -> Result<AppState, String> {
        at_rest(current)?;
        if !current.closed {
            return Err(Intent::UNCHANGED.into());
        }
        let epoch = current.epoch.next();
        let stacks = (&current.active, &current.active);
        let state = AppState {
            epoch,
            phase: Phase::Aborting,
            decision: self.decision(DecisionKind::Abort, epoch, stacks, reason, now),
            claim: None,
            ..current.clone()
        };
        Ok(self.claimed(state, now))
    }

    /// The same definition once more, so that everything that follows from it is asked for again.
    pub(super) fn tended(
        &self,
        current: &AppState,
        reason: &str,
        now: Moment,
    ) -> Result<AppState, String> {
        at_rest(current)?;
        let epoch = current.epoch.next();
        let stacks = (&current.active, &current.active);
        Ok(AppState {
            revision: current.revision.saturating_add(1),
            epoch,
            phase: Phase::Publishing,
            decision: self.decision(DecisionKind::Apply, epoch, stacks, reason, now),
            claim: None,
            ..current.clone()
        })
    }
}
