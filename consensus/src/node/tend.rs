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
use super::people::at_rest;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::model::{AppId, AppState, DecisionKind, Mode, Phase};
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
    tries: u32,
    /// Has it been so for longer than a moment, and was that said?
    told: bool,
}

impl Node {
    /// Puts an app's replicas right, if they are not and nothing else is going on.
    pub(super) fn consider_replicas(&mut self, app: &AppId, now: Moment) {
        let Some((_, state)) = self.apps.get(app).and_then(|it| it.known()) else { return };
        // Where a primary has to be rewound, of two stacks one has the primary, and the other what is not told.
        let third = state.definition.stacks.len() > 2;
        let led = state.definition.guarded().any(|(_, database)| {
            database.engine.is_led() && (database.engine.is_demoted() || third)
        });
        if !led && !state.closed {
            self.apps.get_mut(app).expect("it is known").astray = None;
            return;
        }
        let own = self.beliefs_of(app, now);
        let Some((known, state)) = self.apps.get(app).and_then(|it| it.known()) else { return };
        let (learned, mode) = (known.learned, state.definition.mode);
        let panel = self.panel(state, &own, now);
        let closed = state.closed.then(|| panel.left_closed(&state.active)).flatten();
        let opens = closed.is_some();
        let found = closed.or_else(|| panel.astray(&state.active));
        #[cfg(feature = "mutants")]
        let found = found.filter(|_| {
            let mutant = if opens { Mutant::ClosedLeft } else { Mutant::AstrayLeft };
            !self.broken(mutant)
        });
        let rank = self.rank(app, state, now);
        let may = mode == Mode::Automatic
            && self.apps[app].ages.frozen_for(state, now).is_none()
            && self.abstention_of(state, now).is_none()
            && self.hears_majority(now);
        let it = self.apps.get_mut(app).expect("it is known");
        let Some(what) = found else {
            it.astray = None;
            return;
        };
        let fresh = it.astray.as_ref().is_none_or(|before| before.what != what);
        if fresh {
            it.astray = Some(Astray { what, since: now, tries: 0, told: false });
        }
        let Some(astray) = &mut it.astray else { return };
        it.next.clone_from(&astray.what);
        let since = astray.since.max(learned);
        if !astray.told && since + PATIENCE <= now {
            astray.told = true;
            self.out.note(Note::Alarm(format!("{app}: {}", astray.what)));
        }
        let patience = PATIENCE * (1 << astray.tries.min(DOUBLINGS)) + RANK_STEP * rank;
        let due = match may {
            true => (since + patience).max(it.not_before),
            false if astray.told => return,
            false => since + PATIENCE,
        };
        if now < due {
            if it.again.is_none_or(|(at, _)| due < at) {
                it.again = Some((due, "a replica may have to be told whom to follow"));
            }
            return;
        }
        astray.tries = astray.tries.saturating_add(1);
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
