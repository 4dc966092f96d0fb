//! Carrying out what was decided: requests, and what their reports come to (PROTOCOL.md D.2, rules E1 to E3).

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::intent::{Intent, Next};
use super::request::Way;
use super::unable::Failing;
use super::work::{ACT, Item, Reading, Stage, Work};
use crate::config::Config;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::message::{GuardBody, GuardMessage};
use crate::model::{
    Action, ActionFaultKind, AppId, AppState, Effect, Phase, Report, TargetName, Token,
};
use crate::moment::Moment;
use crate::outbox::{Note, Output};

/// Too little of [`ACT`] left to be worth beginning.
const WORTHWHILE: Duration = Duration::from_millis(500);
const RETRY_LEAST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// What was refused will be refused again until somebody changes something.
const RETRY_REFUSED: Duration = Duration::from_secs(20);
/// After so many readings without a quorum of one mind, an executor confirms its claim by writing it anew.
const UNREAD_MOST: u32 = 3;

/// What the requests of the current phase carry.
#[cfg_attr(not(feature = "mutants"), allow(unused_variables))]
pub(super) fn token_of(config: &Config, state: &AppState) -> Token {
    #[cfg(feature = "mutants")]
    if config.broken(Mutant::SameTokenAbort) {
        return plan::token_of_the_fence(state);
    }
    plan::token(state)
}

impl Node {
    /// The state changed: is its phase mine to carry out?
    pub(super) fn take_up(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some((_, state)) = it.known() else { return };
        let mine = state.claim.as_ref().filter(|claim| {
            claim.agent == self.config.agent
                && claim.instance == self.instance
                && state.phase != Phase::Idle
        });
        let Some(claim) = mine else {
            it.work = None;
            return;
        };
        let same = it.work.as_ref().is_some_and(|work| {
            (work.epoch, work.phase, work.term) == (state.epoch, state.phase, claim.term)
        });
        if same {
            return;
        }
        let token = token_of(&self.config, state);
        let effects = plan::effects(state);
        it.work = Some(Work::new(token, state.epoch, state.phase, claim.term, effects, now));
        self.work_on(app, now);
    }

    /// Asks for whatever may be asked now.
    pub(super) fn work_on(&mut self, app: &AppId, now: Moment) {
        let confirmed = self.may_act(app, now);
        let rtt = self.rtt();
        let trusts = self.trusts_old_claims();
        let number = self.operation().number;
        let (held, unproven) = self.held_items(app, now);
        let ways = self.ways(app, now);
        let stops = self.stops_asking(app, now);
        let ends = self.publishing_ends(app, now);
        let mesh = self.config.voters.mesh;
        let Some(it) = self.apps.get_mut(app) else { return };
        let (Some(work), Some(known)) = (&mut it.work, &it.chosen) else { return };
        let (mut acts, mut asks) = (Vec::new(), Vec::new());
        let mut unconfirmed = work.outrun.is_some();
        let confirmed = confirmed && !unconfirmed;
        for (number, item) in work.items.iter_mut().enumerate() {
            let Some((way, holds)) = ways.get(number) else { continue };
            item.look_after(*holds, matches!(way, Way::Guard(_)), now);
            let due = match item.stage {
                Stage::Waiting(at) => at,
                Stage::Running(_) => item.asks_again(),
                Stage::Ended(_) => continue,
            };
            if held.contains(&number) || now < due || stops {
                continue;
            }
            if !confirmed {
                unconfirmed = true;
                continue;
            }
            let deadline = if trusts { now } else { known.confirmed } + ACT;
            let index = u16::try_from(number).expect("items are limited by the definition");
            match way {
                Way::Afar => {
                    item.stage = Stage::Running(now);
                    let (token, term, limit) = (work.token, work.term, ACT);
                    let (app, effect) = (app.clone(), item.effect.clone());
                    acts.push(Action { app, token, term, item: index, deadline, limit, effect });
                }
                Way::Guard(guard) => {
                    let Some(target) = plan::target(&known.state, &item.effect) else { continue };
                    let (agreed, left) = (known.accepted(), deadline.since(now));
                    let (token, term) = (work.token, work.term);
                    let body = GuardBody::Asks { agreed, left };
                    let ask = GuardMessage { mesh, target, token, term, item: index, body };
                    if !matches!(item.stage, Stage::Running(_)) {
                        item.stage = Stage::Running(now);
                    }
                    let again = item.asked.replace((guard.clone(), now)).is_some();
                    asks.push((guard.clone(), ask, again));
                }
                Way::None => {
                    let what = plan::describe(&item.effect);
                    work.trouble =
                        Some(format!("no guard answers, nor is a credential held here, to {what}"));
                    let failing = Failing { since: now, refused: false };
                    work.failing.get_or_insert(failing);
                }
            }
        }
        if let Some(first) = unproven.first() {
            work.trouble = Some(format!("records wait until {first} is seen up"));
        }
        let waits = work.items.iter().filter_map(|item| match item.stage {
            Stage::Waiting(at) => Some(at.max(now + RETRY_LEAST)),
            Stage::Running(since) => {
                Some(item.asks_again().min(since + ACT * 2 + RETRY_LEAST).max(now + RETRY_LEAST))
            }
            Stage::Ended(_) => None,
        });
        work.again = waits.min().unwrap_or(now + RETRY_LEAST);
        if let Some((_, quiet)) = ends {
            work.again = work.again.min(quiet.max(now + RETRY_LEAST));
        }
        let guarded = |item: &Item| matches!(&item.effect, Effect::Fence(it) if it.guard.is_some());
        if work.items.iter().any(guarded) {
            // Leases end whether or not anybody answers.
            work.again = now + RETRY_LEAST;
        }
        if !(acts.is_empty() && asks.is_empty()) && work.phase == Phase::Fencing {
            // The second look may begin with the fences.
            work.again = now;
        }
        let read = unconfirmed
            && work
                .reading
                .as_ref()
                .is_none_or(|reading| now.since(reading.began) > rtt * 4 + RETRY_LEAST);
        // Voters may hold later promises that keep them from ever reporting the same: then only a write can tell.
        let writes = read && work.unread >= UNREAD_MOST;
        if read {
            work.unread += 1;
            work.reading = Some(Reading::begun(number, now));
        }
        it.in_flux |= writes;
        for action in acts {
            let what = plan::describe(&action.effect);
            self.out.note(Note::Acts { app: app.clone(), token: action.token, what });
            self.out.push(Output::Act(action));
        }
        for (guard, ask, again) in asks {
            self.ask_guard(&guard, ask, again);
        }
        if read {
            self.confirm(app, number);
        }
    }

    /// Which requests wait for a lease, or for what they would lead clients to; and what that is.
    fn held_items(&self, app: &AppId, now: Moment) -> (BTreeSet<usize>, Vec<TargetName>) {
        let nothing = (BTreeSet::new(), Vec::new());
        let Some(it) = self.apps.get(app) else { return nothing };
        let (Some(work), Some((_, state))) = (&it.work, it.known()) else { return nothing };
        let publishes = |item: &Item| matches!(item.effect, Effect::Publish { .. });
        let unproven = match work.items.iter().any(publishes) {
            true => self.unproven(app, state),
            false => Vec::new(),
        };
        let waits = |item: &Item| {
            (publishes(item) && !unproven.is_empty())
                || self.waits_for_lease(state, &item.effect, now)
        };
        let held = work.items.iter().enumerate().filter(|(_, item)| waits(item));
        (held.map(|(number, _)| number).collect(), unproven)
    }

    /// Does it act on a claim however long ago it was confirmed? Only as a mutant.
    fn trusts_old_claims(&self) -> bool {
        #[cfg(feature = "mutants")]
        let trusts = self.broken(Mutant::StaleClaim);
        #[cfg(not(feature = "mutants"))]
        let trusts = false;
        trusts
    }

    /// Is nothing more to be asked for, because the step is given up or has lasted for long enough?
    fn stops_asking(&self, app: &AppId, now: Moment) -> bool {
        let Some(it) = self.apps.get(app) else { return false };
        let (Some(work), Some((_, state))) = (&it.work, it.known()) else { return false };
        self.publishing_ends(app, now).is_some_and(|(ends, _)| ends <= now)
            || self.is_given_up(app, work, state, now)
    }

    /// How each request is to be made, and whether this agent could make it from afar.
    fn ways(&self, app: &AppId, now: Moment) -> Vec<(Way, bool)> {
        let items = self.apps.get(app).and_then(|it| it.work.as_ref()).map(|work| &work.items);
        let way =
            |item: &Item| (self.way(&item.effect, item.afar, now), self.holds_for(&item.effect));
        items.into_iter().flatten().map(way).collect()
    }

    fn may_act(&self, app: &AppId, now: Moment) -> bool {
        self.trusts_old_claims()
            || self.apps.get(app).is_some_and(|it| it.confirmed_within(ACT - WORTHWHILE, now))
    }

    /// An action ended.
    pub(super) fn on_report(&mut self, report: Report, now: Moment) {
        if !self.on_obeyed(&report, now) {
            self.on_outcome(report, now);
        }
    }

    /// A request ended, from afar or by a guard.
    pub(super) fn on_outcome(&mut self, report: Report, now: Moment) {
        let Report { app, token, term, item, took, result } = report;
        let what = match &result {
            Ok(done) => Ok(done.text.clone()),
            Err(fault) => Err(fault.text.clone()),
        };
        self.out.note(Note::Reports { app: app.clone(), token, took, what });
        let Some(it) = self.apps.get_mut(&app) else { return };
        let Some(work) = &mut it.work else { return };
        if (work.token, work.term) != (token, term) {
            return;
        }
        let Some(item) = work.items.get_mut(usize::from(item)) else { return };
        item.tries = item.tries.saturating_add(1);
        // What was refused from afar its guard may be able to do, once it is back.
        let guarded = plan::database(&item.effect).is_some_and(|it| it.guard.is_some());
        let bypassed = guarded && item.asked.is_none();
        (item.asked, item.afar) = (None, false);
        let most = match &result {
            Err(fault) if bypassed && fault.kind == ActionFaultKind::Refused => RETRY_MOST,
            Err(fault)
                if matches!(fault.kind, ActionFaultKind::Refused | ActionFaultKind::Superseded) =>
            {
                RETRY_REFUSED
            }
            _ => RETRY_MOST,
        };
        let pause = RETRY_LEAST.saturating_mul(1 << item.tries.min(9)).min(most);
        if result.as_ref().is_err_and(|fault| fault.kind == ActionFaultKind::Superseded) {
            work.outrun.get_or_insert(now);
        }
        work.trouble = result.as_ref().err().map(|fault| fault.text.clone());
        let fault = result.as_ref().err().map(|fault| fault.kind);
        item.stage = match result {
            Ok(done) => Stage::Ended(Ok(done)),
            // A request that was never sent says nothing of what it asks for.
            Err(fault)
                if plan::is_only_tried(&item.effect) && fault.kind != ActionFaultKind::Late =>
            {
                Stage::Ended(Err(fault))
            }
            Err(_) => Stage::Waiting(now + pause),
        };
        match (fault, item.ended()) {
            (None, _) => {
                (work.failing, it.gave_up) = (None, None);
                work.advanced = now;
            }
            (Some(ActionFaultKind::Late | ActionFaultKind::Superseded), _) | (_, true) => {}
            // What a guard was asked for may be possible from here, and the other way round.
            (Some(kind), false) => work.fails(kind == ActionFaultKind::Refused && !guarded, now),
        }
        work.again = now;
        self.stepped_down(&app, now);
        if !self.mended(&app, now) {
            self.drive(&app, now);
        }
        self.advance(&app, now);
    }

    /// Takes the current phase as far as the reports allow.
    pub(super) fn drive(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get(app).filter(|it| it.attempt.is_none()) else { return };
        let (Some(work), Some((_, state))) = (&it.work, it.known()) else { return };
        if now < work.again && work.items.iter().any(|item| !item.ended()) {
            return;
        }
        if work.is_idle() && self.is_given_up(app, work, state, now) {
            return self.leave_work(app, now);
        }
        let next = match self.outcome(work, state, now).filter(|_| work.outrun.is_none()) {
            Some(next) if it.not_before <= now => next,
            Some(_) => {
                let again = it.not_before;
                self.apps.get_mut(app).and_then(|it| it.work.as_mut()).expect("it works").again =
                    again;
                return;
            }
            None => return self.work_on(app, now),
        };
        let (epoch, phase, term) = (work.epoch, work.phase, work.term);
        let owed = matches!(next, Next::Verify).then_some(&work.trouble).cloned().flatten();
        if let Some(what) = owed.filter(|_| work.items.iter().any(|item| !item.ended())) {
            self.out.note(Note::Owes { app: app.clone(), token: work.token, what });
        }
        let Some(next) = self.once_caught_up(app, next, now) else { return };
        let intent = Intent::Advance { epoch, phase, term, next };
        let operation = self.operation();
        self.start(app, intent, operation, now);
    }
}
