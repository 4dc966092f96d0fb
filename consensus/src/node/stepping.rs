//! A primary that its set has elected, asked to step down: the one thing that is ever asked of a store which agrees by itself.
//!
//! It changes nothing that is agreed and promises nothing: the set elects whom it likes, or nobody, and keeps its data by its
//! own rules; DNS moves afterwards by the rule that it moves by anyway. So no decision goes before it. Like what is put back
//! (`drift`) it is a request under the standing decision's token, on a reading of the register that is fresh (rule E1); it is
//! sent once, to the primary of one election, and the next not within a minute.

use std::time::Duration;

use super::Node;
use super::app::Wanted;
use super::drift::published;
use super::intent::Intent;
use super::work::{Stage, Work};
use crate::evidence::Leader;
use crate::failover::plan;
use crate::message::Refusal;
use crate::model::{
    AgentId, AppId, AppState, CredentialId, DecisionKind, Effect, Mode, OperationId, Phase, StackId,
};
use crate::moment::Moment;
use crate::outbox::{Answer, in_words};

/// Whoever stepped down is not elected again for as long: what is asked for of it.
const AGAIN: Duration = Duration::from_secs(60);
/// Within this the set has elected at the target, or whoever asked is told that it has not: less than a caller waits.
const ELECTED: Duration = Duration::from_secs(8);

/// Primaries that were asked to step down.
#[derive(Clone, Debug)]
pub struct Stepping {
    /// The command that wants it; absent, and the mesh does by itself.
    operation: Option<OperationId>,
    /// The stack that was active.
    from: StackId,
    leader: Leader,
    began: Moment,
    /// What they said, once all of them have.
    said: Option<Result<(), String>>,
}

impl Stepping {
    /// Is it this command that wants it?
    pub fn is_by(&self, operation: OperationId) -> bool {
        self.operation == Some(operation)
    }

    /// Does it lead from there by that very election still?
    fn is_as_before(&self, leader: &Leader) -> bool {
        (&leader.stack, &leader.terms) == (&self.leader.stack, &self.leader.terms)
    }
}

impl Node {
    /// Does a person's move wait for the set to elect where it goes? Its primary is asked to step down first, once.
    pub(super) fn awaits_election(&mut self, app: &AppId, now: Moment) -> bool {
        let it = &self.apps[app];
        let (Some(wanted), Some(known)) = (&it.wanted, &it.chosen) else { return false };
        let Wanted { operation, intent, .. } = wanted;
        let Intent::Operator { kind: DecisionKind::Switchover, to, .. } = intent else {
            return false;
        };
        let (operation, state) = (*operation, known.state.clone());
        let asked = it.stepping.clone().filter(|it| it.is_by(operation));
        let targets = others(&state, to.as_ref());
        let arrived = to.as_ref().is_none_or(|to| *to == state.active);
        if arrived && asked.as_ref().is_some_and(|asked| asked.from != state.active) {
            // Whoever saw the new primary first has moved it.
            self.answer(app, operation, Answer::Unchanged);
            return true;
        }
        if !state.definition.follows() || state.phase != Phase::Idle || targets.is_empty() {
            return false;
        }
        let own = self.beliefs_of(app, now);
        let leader = self.panel(&state, &own, now).leader();
        if leader.as_ref().is_ok_and(|leader| targets.contains(&leader.stack)) {
            return false;
        }
        let answer = match asked {
            None => match self.ask_down(app, &state, (&targets, Some(operation)), AGAIN, now) {
                Ok(()) => return true,
                Err(why) => Answer::Refused(why),
            },
            Some(Stepping { said: Some(Err(why)), leader, .. }) => Answer::Refused(format!(
                "the primary at {} does not step down: {why}",
                leader.stack
            )),
            Some(asked) => match leader {
                Ok(leader) if !asked.is_as_before(&leader) => Answer::Refused(format!(
                    "the set was asked for another primary, and chose otherwise: {}",
                    leader.reason
                )),
                leader if asked.began + ELECTED <= now => Answer::Unknown(format!(
                    "the primary was asked to step down, and nothing has moved yet: {}",
                    leader.map_or_else(|why| why, |leader| leader.reason)
                )),
                _ => {
                    let it = self.apps.get_mut(app).expect("it is considered");
                    it.again = Some((asked.began + ELECTED, "another primary is waited for"));
                    return true;
                }
            },
        };
        self.answer(app, operation, answer);
        true
    }

    /// The web of the active stack is down for a quorum, and its primary is well there: the mesh asks it to step down, by one
    /// agent, once in a cooldown. Why not, in words.
    pub(super) fn steps_aside(&mut self, app: &AppId, now: Moment) -> Result<(), String> {
        let Some(known) = &self.apps[app].chosen else { return Ok(()) };
        let state = known.state.clone();
        match state.definition.mode {
            Mode::Automatic => {}
            Mode::Approve | Mode::Shadow => {
                return Err("in this mode `quorate switchover` does".to_owned());
            }
        }
        let words = |why: Refusal| why.to_string();
        self.free(app, &state, now).map_err(words)?;
        self.affordable(app, &state, now).map_err(words)?;
        if 0 < self.rank(app, &state, now) {
            return Err("another agent does".to_owned());
        }
        let pace = AGAIN.max(state.definition.cooldown);
        self.ask_down(app, &state, (&others(&state, None), None), pace, now)
    }

    fn ask_down(
        &mut self,
        app: &AppId,
        state: &AppState,
        (targets, operation): (&[StackId], Option<OperationId>),
        pace: Duration,
        now: Moment,
    ) -> Result<(), String> {
        let it = &self.apps[app];
        if let (Some(freeze), Some(left)) = (&state.freeze, it.ages.frozen_for(state, now)) {
            return Err(Refusal::Frozen { by: freeze.by.clone(), left }.to_string());
        }
        if let Some(last) = it.stepping.as_ref().filter(|last| now < last.began + pace) {
            let ago = in_words(Duration::from_secs(now.since(last.began).as_secs()));
            let pace = in_words(pace);
            return Err(format!("its primary was asked {ago} ago, and is once in {pace} at most"));
        }
        if it.work.is_some() {
            return Err("its records are being put right".to_owned());
        }
        if let Some(abstention) = self.abstention_of(state, now) {
            return Err(format!("this agent {abstention}"));
        }
        if !self.hears_majority(now) {
            return Err(format!("no quorum: {}", self.quorum_words(now)));
        }
        let own = self.beliefs_of(app, now);
        let panel = self.panel(state, &own, now);
        let leader = panel.leader()?;
        if operation.is_none() && leader.stack != state.active {
            return Err(format!("{}, and not at {}", leader.reason, state.active));
        }
        let able: Vec<_> = targets.iter().map(|to| panel.heir(&state.active, to)).collect();
        if !able.iter().any(Result::is_ok) {
            let why: Vec<String> = able.into_iter().filter_map(Result::err).collect();
            return Err(why.join("; "));
        }
        let effects = plan::step_downs(state, &leader.stack, &leader.terms);
        for credential in effects.iter().filter_map(plan::credential) {
            if !self.config.credentials.contains(&credential) {
                return Err(self.held_elsewhere(&credential));
            }
        }
        let work = Work::mending(published(state), state.epoch, effects, now);
        let from = state.active.clone();
        let stepping = Stepping { operation, from, leader, began: now, said: None };
        let it = self.apps.get_mut(app).expect("it is considered");
        (it.work, it.stepping) = (Some(work), Some(stepping));
        it.again = Some((now + ELECTED, "a primary was asked to step down"));
        self.work_on(app, now);
        Ok(())
    }

    fn held_elsewhere(&self, credential: &CredentialId) -> String {
        let holds = self.peers.iter().filter(|(_, peer)| peer.credentials.contains(credential));
        let holders: Vec<String> =
            holds.map(|(agent, _): (&AgentId, _)| agent.to_string()).collect();
        format!(
            "no credential `{credential}` is held here; ask {}",
            match holders.is_empty() {
                true => "an agent that holds it".to_owned(),
                false => holders.join(" or "),
            }
        )
    }

    /// Everything that was asked for once more has ended. Was that to step down?
    pub(super) fn stepped_down(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let (Some(work), Some(stepping)) = (&it.work, &mut it.stepping) else { return };
        if !work.is_mended() || !asks_down(work) {
            return;
        }
        let refused = work.items.iter().find_map(|item| match &item.stage {
            Stage::Ended(Err(fault)) => Some(fault.text.clone()),
            Stage::Ended(Ok(_)) | Stage::Waiting(_) | Stage::Running(_) => None,
        });
        stepping.said = Some(refused.map_or(Ok(()), Err));
        self.judge.hasten(app, now);
    }

    /// What has not been answered by now is given up, and never asked once more.
    pub(super) fn give_up_stepping(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(stepping) = &mut it.stepping else { return };
        if stepping.said.is_none() && stepping.began + ELECTED <= now {
            stepping.said = Some(Err("nobody answered in time".to_owned()));
            it.work.take_if(|work| asks_down(work));
        }
    }
}

fn asks_down(work: &Work) -> bool {
    work.items.iter().any(|item| matches!(item.effect, Effect::StepDown { .. }))
}

/// Where a move may go.
fn others(state: &AppState, to: Option<&StackId>) -> Vec<StackId> {
    let stacks = state.definition.stacks.iter().map(|stack| &stack.name);
    let others = stacks.filter(|it| **it != state.active && to.is_none_or(|to| to == *it));
    others.cloned().collect()
}
