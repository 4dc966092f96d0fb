//! Whose a step is: an order among the agents that could carry it out, alike everywhere, and when the next of them takes
//! over from one that says nothing (PROTOCOL.md D.2).

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::execute::token_of;
use super::intent::Intent;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::judge::HEARD_WITHIN;
use crate::model::{AgentId, AppId, AppState, CredentialId, Epoch};
use crate::moment::Moment;

/// A silent executor's step is taken over after this and its rank (PROTOCOL.md D.2, T_take).
const TAKE_OVER: Duration = Duration::from_secs(3);
const RANK_STEP: Duration = Duration::from_millis(500);

impl Node {
    /// What nobody carries out, this agent may claim: after its rank among those who could.
    pub(super) fn consider_claim(&mut self, app: &AppId, now: Moment) {
        let Some((known, state)) = self.apps.get(app).and_then(|it| it.known()) else { return };
        let able = self.able(state, now);
        let silent = state.claim.as_ref().map(|claim| claim.agent.clone());
        let mut ranked: Vec<_> = able
            .iter()
            .filter(|agent| Some(*agent) != silent.as_ref() || **agent == self.config.agent)
            .collect();
        let wished = plan::wished(state);
        let token = token_of(&self.config, state);
        ranked.sort_by_cached_key(|agent| {
            let held = match **agent == self.config.agent {
                true => Some(&self.config.credentials),
                false => self.peers.peer(agent).map(|peer| &peer.credentials),
            };
            let gave_up = self.gave_up(agent, app, token, now);
            let lacks = !held.is_some_and(|held| wished.iter().all(|it| held.contains(it)));
            let distance = self.distance(agent, state, now);
            (gave_up, lacks, distance, rendezvous(app, state.epoch, agent))
        });
        let rank = ranked.iter().position(|agent| **agent == self.config.agent);
        let Some(rank) = rank else {
            let needed: Vec<_> = self.needed(state, now).into_iter().map(String::from).collect();
            let next = match able.is_empty() {
                true => {
                    format!("{} waits for an agent that holds {}", state.phase, needed.join(", "))
                }
                false => format!("{} is carried out elsewhere", state.phase),
            };
            self.say_next(app, next);
            return;
        };
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        let start = match self.abandoned(app, state, now) {
            Some((since, pause)) => since + pause.max(self.quiet(state)) + RANK_STEP * rank,
            None => known.learned + self.rtt().max(Duration::from_millis(25)) * 2 * rank,
        };
        let phase = state.phase;
        let not_before = self.apps[app].not_before;
        let start = start.max(not_before);
        if start > now {
            let way_out = self.way_out(app, state, now);
            let it = self.apps.get_mut(app).expect("it is known");
            it.again = Some((start, "a step may have to be taken over"));
            let executor = silent.as_ref().map_or("nobody yet", |agent| agent.as_str());
            let told = silent.as_ref().and_then(|it| self.peers.peer(it)?.troubles.get(app));
            let told = told.filter(|(told, _)| told.token == token);
            let told = told.map_or(String::new(), |(told, _)| format!(": {}", told.why));
            return self
                .say_next(app, format!("{phase}, carried out by {executor}{told}{way_out}"));
        }
        let operation = self.operation();
        self.start(app, Intent::Claim, operation, now);
    }

    pub(super) fn quiet(&self, state: &AppState) -> Duration {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::TakenOverAtOnce) {
            return Duration::ZERO;
        }
        plan::quiet(state)
    }

    /// Since when the executor has been silent, or has given it up, and how long a pause that calls for; `None` if nobody
    /// holds the claim, or a run that has ended.
    fn abandoned(&self, app: &AppId, state: &AppState, now: Moment) -> Option<(Moment, Duration)> {
        let claim = state.claim.as_ref()?;
        let learned = self.apps[app].chosen.as_ref()?.learned;
        let step = (app, token_of(&self.config, state), claim.term);
        let given_up = self.given_up_since(&claim.agent, step, now);
        if claim.agent == self.config.agent {
            // Others come first: they have yet to be told.
            return given_up.map(|since| (since, TAKE_OVER));
        }
        if let Some(since) = given_up {
            return Some((since.max(learned), Duration::ZERO));
        }
        let Some(peer) = self.peers.peer(&claim.agent) else { return Some((learned, TAKE_OVER)) };
        if peer.instance != 0 && peer.instance != claim.instance {
            return None;
        }
        let beat = peer
            .working
            .get(app)
            .filter(|(token, _)| *token == token_of(&self.config, state))
            .map(|(_, at)| *at);
        Some((beat.map_or(learned, |beat| beat.max(learned)), TAKE_OVER))
    }

    /// Agents heard just now that hold what the current phase needs. What is overdue anybody may end, where nobody does.
    pub(super) fn able(&self, state: &AppState, now: Moment) -> Vec<AgentId> {
        let able = self.holders(&self.needed(state, now), now);
        match able.is_empty() && self.is_overdue(state, now) {
            true => self.holders(&BTreeSet::new(), now),
            false => able,
        }
    }

    /// Agents heard just now, this one among them, that hold all of these.
    pub(super) fn holders(&self, needed: &BTreeSet<CredentialId>, now: Moment) -> Vec<AgentId> {
        let holds = |held: &[CredentialId]| needed.iter().all(|it| held.contains(it));
        let others = self.peers.iter().filter(|(_, peer)| {
            now.since(peer.heard) <= HEARD_WITHIN
                && peer.region.is_some()
                && holds(&peer.credentials)
        });
        let me = holds(&self.config.credentials).then(|| self.config.agent.clone());
        others.map(|(agent, _)| agent.clone()).chain(me).collect()
    }

    /// How far an agent is from the stack it would act on, in steps of four times: nearest first, without turning on noise.
    fn distance(&self, agent: &AgentId, state: &AppState, now: Moment) -> u32 {
        let took = |beliefs: &[crate::model::Belief]| {
            let there = beliefs.iter().filter(|it| {
                it.target.app == state.definition.name && it.target.stack == state.decision.to
            });
            there.filter_map(|belief| belief.took).min()
        };
        let found = match *agent == self.config.agent {
            true => took(&self.beliefs_of(&state.definition.name, now)),
            false => self.hearsay.word(agent).and_then(|word| took(&word.beliefs)),
        };
        found.map_or(u32::MAX, |took| (took.as_millis() as u64).saturating_add(1).ilog2() / 2)
    }
}

/// A number that orders agents differently for every app and epoch, and alike everywhere (rendezvous hashing).
pub fn rendezvous(app: &AppId, epoch: Epoch, agent: &AgentId) -> u32 {
    let app = crc32c::crc32c(app.as_str().as_bytes());
    let epoch = crc32c::crc32c_append(app, &epoch.0.to_le_bytes());
    crc32c::crc32c_append(epoch, agent.as_str().as_bytes())
}
