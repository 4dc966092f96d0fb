//! Does whoever acts have leave to, now? (PROTOCOL.md S6, S12; rule E1)
//!
//! Holds every action that leaves an agent against the true history of its register, and against whom it could reach.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::failover::plan;
use consensus::model::{Action, AgentId, AppState, Effect, Phase, Token};
use consensus::moment::Moment;

use super::Found;
use super::register::Registers;

/// Rule E1: a claim that was confirmed longer ago is none.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);
/// Clocks that are a hundredth off, and the time a confirmation travels.
const SLACK: Duration = Duration::from_secs(1);
/// A stream that was cut off may still deliver for its idle timeout.
const LATE: Duration = Duration::from_secs(4);

/// Who could reach a majority, and until when.
#[derive(Debug, Default)]
pub struct Reach {
    lost: BTreeMap<AgentId, Moment>,
    /// Whose clocks stood still without their knowing, and when they went on.
    excused: BTreeMap<AgentId, Moment>,
}

impl Reach {
    /// The network has changed: can this agent exchange words with a majority of voters?
    pub fn refresh(&mut self, now: Moment, agent: &AgentId, majority: bool) {
        match majority {
            true => {
                self.lost.remove(agent);
            }
            false => {
                self.lost.entry(agent.clone()).or_insert(now);
            }
        }
    }

    /// An agent's clocks did not count a while that ends now: its word on how old its claim is cannot be held against it.
    pub fn excuse(&mut self, now: Moment, agent: &AgentId) {
        self.excused.insert(agent.clone(), now);
    }

    /// An action leaves an agent.
    pub fn on_act(
        &self,
        now: Moment,
        agent: &AgentId,
        action: &Action,
        registers: &Registers,
        found: &mut Found,
    ) {
        let token = action.token;
        let about = format!("{agent} acts for {} with {token}", action.app);
        let grace = CONFIRMED_WITHIN + SLACK;
        if self.excused.get(agent).is_some_and(|went_on| now <= *went_on + grace) {
            return;
        }
        // A guard acts for whoever asked it to, whenever that arrives: tokens are what holds it back.
        let database = plan::database(&action.effect);
        let guards = database.is_some_and(|it| it.guard.as_ref() == Some(agent));
        if !guards
            && self
                .lost
                .get(agent)
                .is_some_and(|lost| *lost + CONFIRMED_WITHIN + SLACK + LATE < now)
        {
            let since = self.lost[agent];
            found.push(("a minority does nothing", format!("{about}, cut off since {since}")));
        }
        let covers =
            |state: &AppState| {
                state.claim.as_ref().is_some_and(|claim| {
                    (guards || claim.agent == *agent) && claim.term == action.term
                }) && Token::new(state.epoch, state.decision.attempt, state.phase.step()) == token
            };
        // What was published and written over since is put back by whoever sees it, while nothing else is going on.
        let mends = |state: &AppState| {
            let published = (state.epoch, state.decision.attempt, Phase::Publishing.step());
            state.phase == Phase::Idle
                && matches!(
                    action.effect,
                    Effect::Publish { .. } | Effect::StepDown { .. } | Effect::Synchronous { .. }
                )
                && Token::new(published.0, published.1, published.2) == token
        };
        let covers = |state: &AppState| covers(state) || (action.term == 0 && mends(state));
        let mut history =
            registers.history(&action.app).skip_while(|chosen| !covers(&chosen.state));
        if history.next().is_none() {
            found.push(("acts on what was chosen", format!("{about}: no such claim was chosen")));
            return;
        }
        if guards {
            return;
        }
        let Some(ended) = history.find(|chosen| !covers(&chosen.state)) else { return };
        if ended.at + CONFIRMED_WITHIN + SLACK < now {
            let (at, ballot) = (ended.at, ended.ballot);
            found.push(("acts on a fresh claim", format!("{about}: over since {at} ({ballot})")));
        }
    }
}
