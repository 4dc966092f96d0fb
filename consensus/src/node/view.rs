//! What a node sees, thinks and knows, gathered for people.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Node;
use super::app::Known;
use crate::evidence::{Aspect, Panel, Path};
use crate::failover::plan;
use crate::judge::HEARD_WITHIN;
use crate::model::{
    AcceptorId, AgentId, AppId, AppState, Belief, Health, Lost, Stack, StackId, Target, TargetId,
    TargetName, Token, Voter, Voters, Warning, advice,
};
use crate::moment::Moment;
use crate::view::{
    AppView, BeliefView, CanaryView, DecisionView, GrantView, GuardView, HealthView, LeaseView,
    LostView, MemberView, Moving, QuorumView, StackView, TargetView, View, VoterView, VotersView,
};

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn fine_millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e5).round() / 100.0
}

impl Node {
    /// What this agent sees, thinks and knows.
    pub fn view(&self, now: Moment) -> View {
        View {
            agent: self.config.agent.clone(),
            region: self.config.region.clone(),
            mesh: self.config.voters.mesh.to_string(),
            voter: self.config.voters.by_agent(&self.config.agent).is_some(),
            abstention: self.abstention(now),
            health: self.health_view(now),
            quorum: self.quorum_view(now),
            voters: self.voters_view(now),
            members: self.members(now),
            apps: self
                .apps
                .values()
                .filter_map(|app| Some(self.app_view(app.chosen.as_ref()?, &app.next, now)))
                .collect(),
        }
    }

    fn health_view(&self, now: Moment) -> HealthView {
        let canaries = self.judge.canaries.iter().map(|(_, canary)| {
            let endpoint = canary.endpoint();
            CanaryView {
                address: format!("{}://{}:{}", endpoint.scheme, endpoint.address, endpoint.port),
                answers: canary.answers(now),
                fault: canary.fault(now).cloned(),
            }
        });
        HealthView { score: self.selfcheck.wellness.score(), canaries: canaries.collect() }
    }

    fn quorum_view(&self, now: Moment) -> QuorumView {
        let quorum = self.hears_majority(now);
        QuorumView {
            voters: self.config.voters.agents().len(),
            heard: self.voters_heard(HEARD_WITHIN, now).len(),
            needed: self.config.voters.needed(),
            why: (!quorum)
                .then(|| format!("no quorum: {}; nothing will be decided", self.quorum_words(now))),
            silent_ms: if quorum { 0 } else { millis(now.since(self.quorum_heard)) },
        }
    }

    fn voters_view(&self, now: Moment) -> VotersView {
        let voters = self.agreed_voters();
        let reason = self.voting.chosen.as_ref().map(|(_, state)| state.reason.clone());
        let known = |acceptor| voters.by_acceptor(acceptor).is_some();
        let mut members: Vec<VoterView> = voters
            .all()
            .map(|voter| {
                let held = self.voting.sightings.store_of(&voter.agent).map(|(held, _)| held);
                let silent = self.voting.sightings.heard(voter.acceptor);
                VoterView {
                    agent: voter.agent.clone(),
                    region: voter.region.clone(),
                    acceptor: voter.acceptor.to_string(),
                    moving: moving(&voters, voter.acceptor),
                    heard: self.store_heard(voter, HEARD_WITHIN, now),
                    silent_ms: silent.map(|heard| millis(now.since(heard))),
                    standby_store: held
                        .filter(|held| *held != voter.acceptor && !known(*held))
                        .map(|held| held.to_string()),
                }
            })
            .collect();
        members.sort_by(|one, other| {
            (&one.agent, &one.acceptor).cmp(&(&other.agent, &other.acceptor))
        });
        let own = self.store_hello().map(|hello| (&self.config.agent, hello.acceptor));
        let holders = self.voting.sightings.holders();
        let holders: BTreeMap<_, _> = holders.into_iter().chain(own).collect();
        let standing_by = holders.into_iter().filter(|(agent, held)| {
            let heard =
                **agent == self.config.agent || self.peers.heard_within(agent, HEARD_WITHIN, now);
            heard && !known(*held)
        });
        VotersView {
            version: voters.version,
            changing: reason.filter(|_| voters.joint()),
            members,
            standing_by: standing_by.map(|(agent, _)| agent.clone()).collect(),
            advice: advice(&voters),
        }
    }

    fn members(&self, now: Moment) -> Vec<MemberView> {
        let mut agents = self.everybody();
        agents.insert(self.config.agent.clone());
        agents.iter().map(|agent| self.member(agent, now)).collect()
    }

    fn member(&self, agent: &AgentId, now: Moment) -> MemberView {
        let me = *agent == self.config.agent;
        let peer = self.peers.peer(agent);
        let voter = self.config.voters.by_agent(agent);
        let identity = self.membership.alive().find(|identity| identity.agent == *agent);
        let region = voter.map(|voter| voter.region.clone());
        let region = region.or(peer.and_then(|peer| peer.region.clone()));
        MemberView {
            agent: agent.clone(),
            region: if me { Some(self.config.region.clone()) } else { region },
            voter: voter.is_some(),
            heard: me || self.peers.heard_within(agent, HEARD_WITHIN, now),
            alive: me || identity.is_some(),
            rtt_ms: peer.and_then(|peer| peer.rtt).map(fine_millis),
            silent_ms: peer.map(|peer| millis(now.since(peer.heard))),
            address: match me {
                true => Some(self.config.address.clone()),
                false => identity.map(|identity| identity.address.clone()),
            },
            abstention: match me {
                true => self.abstention(now),
                false => self.hearsay.word(agent).and_then(|word| word.abstention),
            },
        }
    }

    /// What is not as it should be with databases, though nothing has failed yet.
    pub fn warnings(&self, now: Moment) -> Vec<Warning> {
        let known = self.apps.values().filter_map(|app| app.known());
        let of_app = |state: &AppState| {
            let own = self.beliefs_of(&state.definition.name, now);
            let mut found = self.panel(state, &own, now).warnings(&state.active);
            found.extend(self.record_warnings(state, now));
            found
        };
        known.flat_map(|(_, state)| of_app(state)).collect()
    }

    fn app_view(&self, known: &Known, next: &str, now: Moment) -> AppView {
        let state = &*known.state;
        let own = self.beliefs_of(&state.definition.name, now);
        let panel = self.panel(state, &own, now);
        let path = if state.definition.has_databases() { Path::Data } else { Path::Web };
        let stacks: Vec<_> = state
            .definition
            .stacks
            .iter()
            .map(|stack| self.stack_view(stack, state, &panel, &own, path, now))
            .collect();
        let standbys = stacks.iter().filter(|stack| !stack.active);
        let ready = standbys.clone().any(|stack| stack.unfit.is_empty());
        let mut unready: Vec<String> = match ready {
            true => Vec::new(),
            false => standbys
                .flat_map(|it| it.unfit.iter().map(|why| format!("{}: {why}", it.stack)))
                .collect(),
        };
        let active = &state.active;
        let blind = panel.out_of_sight(active).into_iter();
        unready.extend(blind.map(|why| format!("{active} is never judged down: {why}")));
        if !self.hears_majority(now) {
            unready.push(format!("no quorum: {}", self.quorum_words(now)));
        }
        unready.extend(self.held_back(state, now));
        unready.extend(self.would_refuse(state));
        if stacks.len() < 2 {
            unready.push("there is no other stack".into());
        }
        let lease = self.lease_view(state, now);
        unready.extend(lease.iter().flat_map(shut));
        AppView {
            following: self.following_view(state, now),
            lease,
            app: state.definition.name.clone(),
            mode: state.definition.mode,
            revision: state.revision,
            epoch: state.epoch,
            ballot: known.ballot,
            active: state.active.clone(),
            phase: state.phase,
            executor: state.claim.as_ref().map(|claim| claim.agent.clone()),
            decision: decision_view(state),
            stacks,
            shortened: state.lifetimes.shortened,
            planned: self.planned_view(state, now),
            sync_set: super::sync::sync_view(state),
            freeze: self.freeze_view(state, now),
            damping: self.damping_view(state, now),
            next: next.to_owned(),
            unready,
            warnings: {
                let mut found = panel.warnings(active);
                found.extend(self.record_warnings(state, now));
                found
            },
            lost: self.lost(&state.definition.name),
        }
    }

    /// What decisions really lost, as far as old primaries' guards told.
    fn lost(&self, app: &AppId) -> BTreeMap<TargetName, LostView> {
        let told = self.apps.get(app).into_iter().flat_map(|it| &it.lost);
        let view = |(stack, token, lost): &(StackId, Token, Lost)| LostView {
            stack: stack.clone(),
            epoch: token.epoch(),
            transactions: lost.transactions,
            bytes: lost.bytes,
            span_ms: millis(lost.time),
        };
        told.map(|(name, told)| (name.clone(), view(told))).collect()
    }

    /// Who may write, as far as guards and voters told.
    fn lease_view(&self, state: &AppState, now: Moment) -> Option<LeaseView> {
        let app = &state.definition.name;
        let guards: BTreeSet<(&StackId, &AgentId)> = state
            .definition
            .guarded()
            .filter_map(|(stack, database)| Some((stack, database.guard.as_ref()?)))
            .collect();
        if guards.is_empty() {
            return None;
        }
        let guard = |(stack, guard): &(&StackId, &AgentId)| GuardView {
            stack: (*stack).clone(),
            guard: (*guard).clone(),
            heard: **guard == self.config.agent
                || self.peers.heard_within(guard, HEARD_WITHIN, now),
            open_ms: millis(self.open_until(app, stack, guard).since(now)),
        };
        let mut granted: Vec<GrantView> = self
            .peers
            .iter()
            .filter_map(|(voter, peer)| Some((voter, peer.granted.get(app)?)))
            .filter(|(_, (_, until))| *until > now)
            .map(|(voter, (stack, until))| GrantView {
                voter: voter.clone(),
                stack: stack.clone(),
                left_ms: millis(until.since(now)),
            })
            .collect();
        let own = self.grants.running(now).filter(|(of, ..)| *of == app).max_by_key(|it| it.3);
        granted.extend(own.map(|(_, stack, _, left)| GrantView {
            voter: self.config.agent.clone(),
            stack: stack.clone(),
            left_ms: millis(left),
        }));
        granted.sort_by(|one, other| one.voter.cmp(&other.voter));
        Some(LeaseView {
            writer: plan::writer(state).cloned(),
            guards: guards.iter().map(guard).collect(),
            granted,
        })
    }

    fn stack_view(
        &self,
        stack: &Stack,
        state: &AppState,
        panel: &Panel<'_>,
        own: &[Belief],
        path: Path,
        now: Moment,
    ) -> StackView {
        let active = stack.name == state.active;
        let targets = state.definition.targets().filter(|(target, _)| target.stack == stack.name);
        let would_lose = match active {
            true => None,
            false => panel.would_lose(&state.active, &stack.name),
        };
        StackView {
            stack: stack.name.clone(),
            active,
            web: panel.count(&stack.name, Aspect::Web).map(|count| count.verdict),
            data: panel.count(&stack.name, Aspect::Data).map(|count| count.verdict),
            unfit: if active {
                Vec::new()
            } else {
                panel.unfit(&stack.name, &state.active, path, true)
            },
            would_lose: would_lose.map(|(bytes, _)| bytes),
            would_lose_ms: would_lose.and_then(|(_, time)| time).map(millis),
            condition: panel.condition(&stack.name),
            targets: targets
                .map(|(target, subject)| self.target_view(&target, subject, own, now))
                .collect(),
        }
    }

    fn target_view(
        &self,
        target: &TargetId,
        subject: Target<'_>,
        own: &[Belief],
        now: Moment,
    ) -> TargetView {
        let mut beliefs = BTreeMap::new();
        if let Some(belief) = own.iter().find(|belief| belief.target == *target) {
            let counts = self.abstention(now).is_none();
            beliefs.insert(self.config.agent.clone(), belief_view(belief, counts));
        }
        for (agent, word) in self.hearsay.words(now) {
            if let Some(belief) = word.beliefs.iter().find(|belief| belief.target == *target) {
                let counts =
                    word.abstention.is_none() && self.peers.heard_within(agent, HEARD_WITHIN, now);
                beliefs.insert(agent.clone(), belief_view(belief, counts));
            }
        }
        let (database, address) = match subject {
            Target::Endpoint(it) => {
                (false, format!("{}://{}:{}{}", it.scheme, it.address, it.port, it.path))
            }
            Target::Database(it) => (true, format!("{}:{}", it.address, it.port)),
        };
        TargetView { target: target.name.clone(), database, address, beliefs }
    }
}

/// Guards that should hold their databases open, and do not.
fn shut(lease: &LeaseView) -> Vec<String> {
    let shut = |it: &&GuardView| Some(&it.stack) == lease.writer.as_ref() && it.open_ms == 0;
    lease
        .guards
        .iter()
        .filter(shut)
        .map(|it| format!("{} takes no writes: its guard {} holds no lease", it.stack, it.guard))
        .collect()
}

/// A store's way, while two sets are in force.
fn moving(voters: &Voters, acceptor: AcceptorId) -> Option<Moving> {
    let among = |mut stores: Box<dyn Iterator<Item = &Voter> + '_>| {
        stores.any(|voter| voter.acceptor == acceptor)
    };
    match (among(Box::new(voters.arriving())), among(Box::new(voters.leaving()))) {
        (true, _) => Some(Moving::Joining),
        (false, true) => Some(Moving::Leaving),
        (false, false) => None,
    }
}

fn decision_view(state: &AppState) -> DecisionView {
    let decision = &state.decision;
    DecisionView {
        kind: decision.kind,
        from: decision.from.clone(),
        to: decision.to.clone(),
        by: decision.by.clone(),
        attempt: decision.attempt,
        reason: decision.reason.clone(),
        wall_ms: decision.wall_ms,
        fence: decision.fence.clone(),
        loss_bytes: decision.loss_bytes,
        loss_ms: decision.loss_time.map(millis),
        first: decision.first.clone(),
        second: decision.second.clone(),
    }
}

fn belief_view(belief: &Belief, counts: bool) -> BeliefView {
    BeliefView {
        health: belief.health,
        qualified: belief.qualified,
        flapping: belief.flapping,
        failures: belief.failures,
        quiet_ms: belief.quiet.map(millis),
        fault: belief.fault.clone().filter(|_| belief.health != Health::Up),
        took_ms: belief.took.map(fine_millis),
        database: belief.database.as_ref().map(|(sight, _)| sight.clone()),
        counts,
    }
}
