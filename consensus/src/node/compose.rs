//! What is to be written, given what was found: from intent and current value to the next.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::attempt::{Composition, Found};
use super::intent::{Intent, Next};
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::{Choice, Panel, Path};
use crate::failover::chain::{self, at_rest};
use crate::failover::{damping, plan};
use crate::model::{
    AppId, AppState, Certainty, Claim, DecisionKind, Epoch, Lifetimes, OPERATION_MEMORY, Operation,
    Phase,
};
use crate::moment::Moment;

/// A fenced stack that is not seen down any more is given back after this long without a clear word (PROTOCOL.md D.2).
const DOUBT: Duration = Duration::from_secs(30);
/// Sooner, if it is not known to be agreed: then it has closed nothing yet, and whoever accepted it grants no lease.
const DOUBT_UNSURE: Duration = Duration::from_secs(10);

/// What came of composing.
pub enum Composed {
    Write(Composition),
    /// The value found holds our own operation already: complete it as it is (rule R6).
    Again,
    Reject(String),
}

impl Node {
    pub(super) fn compose(
        &self,
        app: &AppId,
        intent: &Intent,
        found: &Found<'_>,
        now: Moment,
    ) -> Composed {
        let result = match (found.current, intent) {
            (Some(current), _) if self.holds_own(current, found) => {
                return match chain::follows(Some((current, found.hash)), found.certainty, current) {
                    Ok(_) => Composed::Again,
                    // What only evidence allows is not completed unseen, not even our own.
                    Err(_) => self
                        .claim(current, found, now)
                        .map_or_else(Composed::Reject, Composed::Write),
                };
            }
            (current, Intent::Apply { definition, replaces, active }) => {
                self.applied(current, definition, *replaces, active.as_ref(), now)
            }
            (None, _) => Err(format!("there is no app {app}")),
            (Some(current), Intent::Claim) => {
                self.claim(current, found, now).map(|state| (*state).clone())
            }
            // The same value, accepted by both sets: what only evidence allows needs it here, too (PROTOCOL.md 0.1 e).
            (Some(current), Intent::Sweep { .. }) => {
                let before = Some((current, found.hash));
                return match chain::follows(before, found.certainty, current) {
                    Ok(_) => Composed::Again,
                    Err(_) => match self.completed(current, found, now) {
                        Ok(state) => Composed::Write(Arc::new(self.sealed(state, found))),
                        Err(why) => Composed::Reject(why),
                    },
                };
            }
            (Some(current), Intent::Tend { reason, opens: false }) => {
                self.tended(current, reason, now)
            }
            (Some(current), Intent::Tend { reason, opens: true }) => {
                self.opened_again(current, reason, now)
            }
            (Some(current), Intent::Follow) => self.followed(current, now),
            (Some(current), Intent::Failover) => self.failover(current, found, now),
            (Some(current), Intent::Operator { kind, to, accept_loss, by }) => {
                self.operator(current, found, (*kind, to.as_ref(), *accept_loss, by), now)
            }
            (Some(current), Intent::Plan { to, by }) => {
                self.planned(current, found, (to.as_ref(), by), now)
            }
            (Some(current), Intent::Planned { id }) => self.as_planned(current, found, *id, now),
            (Some(current), Intent::Keep { shortened, gives_up }) => {
                self.relived(current, *shortened, gives_up.as_ref().map(|(id, _)| *id))
            }
            (Some(current), Intent::Rely { sync }) => self.relying(current, sync),
            (Some(current), Intent::Approve { by }) => self.approved(current, found, by, now),
            (Some(current), Intent::TakeBack { accept_loss, by }) => {
                self.called_off(current, *accept_loss, by, now)
            }
            (Some(current), Intent::Regulate { word, by }) => {
                self.regulated(current, found, word, by)
            }
            (Some(current), Intent::Advance { epoch, phase, term, next }) => {
                let mine = current.claim.as_ref().is_some_and(|claim| {
                    claim.agent == self.config.agent
                        && claim.instance == self.instance
                        && claim.term == *term
                });
                match mine && (current.epoch, current.phase) == (*epoch, *phase) {
                    true => self.advanced(current, found, next, now),
                    false => {
                        Err(format!("it is at epoch {} {} by now", current.epoch, current.phase))
                    }
                }
            }
        };
        match result {
            Ok(state) => Composed::Write(Arc::new(self.sealed(state, found))),
            Err(why) => Composed::Reject(why),
        }
    }

    /// Is an earlier try of this very write part of the value found (rule R6)?
    fn holds_own(&self, current: &AppState, found: &Found<'_>) -> bool {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::DuplicateOperation) {
            return false;
        }
        current.operations.iter().any(|it| it.id == found.operation)
    }

    /// Links a value with the one it was derived from, and signs it with its operation.
    fn sealed(&self, mut state: AppState, found: &Found<'_>) -> AppState {
        state.previous = found.hash;
        if let Some(before) = found.current.filter(|before| before.sync == state.sync) {
            state.sync = before.sync.carried(before, &state);
        }
        let (id, epoch, revision) = (found.operation, state.epoch, state.revision);
        if state.operations.iter().all(|it| it.id != id) {
            state.operations.push(Operation { id, epoch, revision });
        }
        let surplus = state.operations.len().saturating_sub(OPERATION_MEMORY);
        state.operations.drain(..surplus);
        state
    }

    /// The move that the rule calls for, on the evidence given for this ballot.
    fn failover(
        &self,
        current: &AppState,
        found: &Found<'_>,
        now: Moment,
    ) -> Result<AppState, String> {
        at_rest(current)?;
        let panel = self.panel_of(&found.certificate, current, found, now);
        let choice = panel.failover(&current.active)?;
        let mut state = self.move_to(current, DecisionKind::Failover, &choice, &choice.reason, now);
        state.decision.first = Some(found.certificate.clone());
        let flapping = self.would_flap(&current.definition.name, current, now);
        state.damping = damping::begun(&current.damping, state.epoch, flapping);
        state.freeze = None;
        Ok(state)
    }

    pub(super) fn move_to(
        &self,
        current: &AppState,
        kind: DecisionKind,
        choice: &Choice,
        reason: &str,
        now: Moment,
    ) -> AppState {
        let epoch = self.next_epoch(current);
        let mut decision = self.decision(kind, epoch, (&current.active, &choice.to), reason, now);
        decision.candidates.clone_from(&choice.candidates);
        (decision.loss_bytes, decision.loss_time) = (choice.loss_bytes, choice.loss_time);
        let phase = plan::first_phase(choice.path == Path::Data);
        let active = match phase {
            Phase::Publishing => choice.to.clone(),
            _ => current.active.clone(),
        };
        let lifetimes = Lifetimes { planned: None, ..current.lifetimes };
        let claim = None;
        let state =
            AppState { epoch, phase, decision, active, claim, lifetimes, ..current.clone() };
        self.claimed(state, now)
    }

    /// Names this agent as the executor of the state's phase if it can be, and nobody otherwise.
    pub(super) fn claimed(&self, mut state: AppState, now: Moment) -> AppState {
        let term = state.claim.as_ref().map_or(0, |claim| claim.term).saturating_add(1);
        let able = self.is_able(&state, now);
        state.claim =
            able.then(|| Claim { agent: self.config.agent.clone(), instance: self.instance, term });
        state
    }

    fn is_able(&self, state: &AppState, now: Moment) -> bool {
        self.able(state, now).contains(&self.config.agent)
    }

    fn advanced(
        &self,
        current: &AppState,
        found: &Found<'_>,
        next: &Next,
        now: Moment,
    ) -> Result<AppState, String> {
        let mut state = current.clone();
        match next {
            Next::Promote { fence, .. } => {
                state.phase = Phase::Promoting;
                state.decision.fence.clone_from(fence);
                if plan::rests_on_evidence(state.decision.kind) && !self.skips_second_look() {
                    match self.still_down(current, found, now) {
                        Ok(choice) => {
                            state.decision.candidates = choice.candidates;
                            // A primary that nobody has seen since was judged when the decision was made.
                            if choice.loss_bytes.is_some() {
                                state.decision.loss_bytes = choice.loss_bytes;
                                state.decision.loss_time = choice.loss_time;
                            }
                        }
                        Err(why) => return self.taken_back_if_up(current, found, &why, now),
                    }
                }
                state.decision.second =
                    plan::rests_on_evidence(state.decision.kind).then(|| found.certificate.clone());
            }
            Next::Publish => {
                state.phase = Phase::Publishing;
                state.active = state.decision.to.clone();
            }
            Next::Verify => state.phase = Phase::Verifying,
            Next::Finish { closed } => {
                state.phase = Phase::Idle;
                state.claim = None;
                state.closed = *closed;
                return Ok(state);
            }
            Next::Abort(why) => return Ok(self.taken_back(current, why, now)),
        }
        Ok(self.claimed(state, now))
    }

    fn next_epoch(&self, current: &AppState) -> Epoch {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::EpochReused) {
            return current.epoch;
        }
        current.epoch.next()
    }

    fn skips_second_look(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::EvidenceOnce);
        #[cfg(not(feature = "mutants"))]
        false
    }

    fn still_down(
        &self,
        current: &AppState,
        found: &Found<'_>,
        now: Moment,
    ) -> Result<Choice, String> {
        let panel = self.panel_of(&found.certificate, current, found, now);
        let panel = panel.recalling(&current.decision.candidates);
        panel.failover_to(&current.decision.from, &current.decision.to)
    }

    /// Carries out what nobody does, as far as the evidence allows.
    fn claim(
        &self,
        current: &AppState,
        found: &Found<'_>,
        now: Moment,
    ) -> Result<Composition, String> {
        let mut state = self.completed(current, found, now)?;
        // Whoever cannot carry it out only completes it, and leaves the claim to whoever has it.
        let agreed = found.certainty == Certainty::Chosen || !chain::needs_finding(current);
        let goes_on = current.phase != Phase::Idle && state.epoch == current.epoch && agreed;
        if goes_on && self.is_able(&state, now) {
            state = self.claimed(state, now);
        }
        Ok(Arc::new(self.sealed(state, found)))
    }

    /// What was found, completed or taken back as the evidence allows; claims stay as they are.
    fn completed(
        &self,
        current: &AppState,
        found: &Found<'_>,
        now: Moment,
    ) -> Result<AppState, String> {
        if chain::needs_finding(current) && found.certainty != Certainty::Chosen {
            return Ok(self.found_or_back(current, found.certainty, now));
        }
        let automatic = plan::rests_on_evidence(current.decision.kind);
        let mut state = current.clone();
        let doubtful = match current.phase {
            Phase::Fencing => automatic,
            Phase::Promoting => automatic && found.certainty == Certainty::Unchosen,
            Phase::Publishing => {
                chain::needs_evidence_first(current) && found.certainty != Certainty::Chosen
            }
            Phase::Idle if found.certainty == Certainty::Chosen => {
                return Err("nothing is in progress".into());
            }
            Phase::Idle | Phase::Aborting | Phase::Verifying => false,
        };
        if doubtful {
            match (self.still_down(current, found, now), current.phase) {
                (Ok(_), Phase::Promoting) => {
                    state.decision.second = Some(found.certificate.clone())
                }
                (Ok(_), _) => state.decision.first = Some(found.certificate.clone()),
                // A fence that was surely never agreed has closed nothing: nothing is lost by taking it back.
                (Err(why), Phase::Fencing) if found.certainty != Certainty::Unchosen => {
                    return self.taken_back_if_up(current, found, &why, now);
                }
                (Err(why), _) => return Ok(self.taken_back(current, &why, now)),
            }
        }
        Ok(state)
    }

    fn taken_back_after(
        &self,
        current: &AppState,
        limit: Duration,
        why: &str,
        now: Moment,
    ) -> Result<AppState, String> {
        let it = self.apps.get(&current.definition.name);
        let since = it.and_then(|it| it.knows_since(current.epoch)).map(|since| now.since(since));
        match limit.is_zero() || since.is_some_and(|since| since > limit) {
            true => Ok(self.taken_back(current, why, now)),
            false => Err(why.to_owned()),
        }
    }

    /// Takes a fence back if the stack is clearly up, or nothing clear was seen for long; waits otherwise.
    fn taken_back_if_up(
        &self,
        current: &AppState,
        found: &Found<'_>,
        why: &str,
        now: Moment,
    ) -> Result<AppState, String> {
        let panel = self.panel_of(&found.certificate, current, found, now);
        let up = panel.stands(&current.decision.from);
        let sure = self.apps.get(&current.definition.name).and_then(|it| it.chosen.as_ref());
        let sure = sure.is_some_and(|known| known.state.epoch == current.epoch);
        let limit = match (up, sure) {
            (true, _) => Duration::ZERO,
            (false, true) => DOUBT,
            (false, false) => DOUBT_UNSURE,
        };
        self.taken_back_after(current, limit, &format!("no longer clear: {why}"), now)
    }

    /// The taking back of a decision, under a new epoch and so a new token (PROTOCOL.md rule 10).
    pub(super) fn taken_back(&self, current: &AppState, why: &str, now: Moment) -> AppState {
        let epoch = self.next_epoch(current);
        let old = &current.decision;
        let mut decision =
            self.decision(DecisionKind::Abort, epoch, (&old.to, &old.from), why, now);
        decision.fence.clone_from(&old.fence);
        let phase = match current.phase {
            Phase::Publishing => Phase::Publishing,
            _ => Phase::Aborting,
        };
        let active = old.from.clone();
        let damping = damping::taken_back(&current.damping, current.epoch);
        let claim = None;
        let (definition, revision) = super::following::before(current);
        let state = AppState {
            definition,
            revision,
            epoch,
            phase,
            decision,
            active,
            claim,
            damping,
            ..current.clone()
        };
        self.claimed(state, now)
    }

    pub(super) fn panel_of<'a>(
        &'a self,
        certificate: &'a crate::model::Certificate,
        state: &'a AppState,
        found: &'a Found<'_>,
        now: Moment,
    ) -> Panel<'a> {
        let panel = Panel::of(certificate, &state.definition, found.voters).relying(&state.sync);
        let own = self.beliefs_of(&state.definition.name, now);
        let panel = panel.owned_by(&self.config.agent, own);
        let panel = self.heeding_hearsay(panel.watched_by(self.hearsay(now)), now);
        self.bent(match state.phase {
            Phase::Idle => panel,
            _ => panel.behind_fence(&state.decision.from),
        })
    }
}
