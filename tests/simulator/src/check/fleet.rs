//! Does the mesh move only so many apps at once, and never to what comes and goes? (PROTOCOL.md E)
//!
//! Knows from the world which stacks were well, and from what agents say how often they turned their minds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::model::{
    AgentId, AppId, AppState, Certificate, DecisionKind, Health, Site, StackId, TargetId, Voters,
};
use consensus::moment::Moment;

use super::Found;
use super::register::Link;
use crate::world::World;

const BUDGET: &str = "only so many at once";
const FLAPS: &str = "never to what comes and goes";

/// A decision counts for two minutes; less what clocks may be wrong and the way to a majority.
const COUNTS: Duration = Duration::from_secs(110);
/// What was down so lately may still have been seen down.
const LATELY: Duration = Duration::from_secs(45);
/// More turns than this within ten minutes, or as many windows as ten minutes hold of the default.
const TURNS: usize = 4;
const TURNS_WITHIN: u32 = 75;
/// Evidence may be so old when it is agreed upon.
const EVIDENCE: Duration = Duration::from_secs(20);

/// What was moved lately, what was unwell, and who changed its mind how often.
#[derive(Debug, Default)]
pub struct Fleet {
    begun: Vec<(AppId, Moment)>,
    /// Stacks that a majority could not see well, and until when if that is over.
    unwell: BTreeMap<(AppId, StackId), Option<Moment>>,
    minds: BTreeMap<(AgentId, TargetId), (bool, Vec<Moment>)>,
}

impl Fleet {
    /// Something in the world has changed.
    pub fn refresh<'a>(
        &mut self,
        now: Moment,
        world: &World,
        voters: &Voters,
        states: impl Iterator<Item = &'a AppState>,
    ) {
        for state in states {
            let limit = state.definition.probe.timeout.min(state.definition.probe.window / 2);
            let mut unwell = BTreeSet::new();
            for (target, _) in state.definition.targets() {
                let sees = |agent: &AgentId| world.well(agent, &target, limit);
                let blind: BTreeSet<AgentId> = voters
                    .members
                    .iter()
                    .map(|voter| &voter.agent)
                    .filter(|agent| !sees(agent))
                    .cloned()
                    .collect();
                if voters.majority_of(&blind) {
                    unwell.insert(target.stack);
                }
            }
            for stack in &state.definition.stacks {
                let key = (state.definition.name.clone(), stack.name.clone());
                match (unwell.contains(&stack.name), self.unwell.get(&key)) {
                    (true, _) => drop(self.unwell.insert(key, None)),
                    (false, Some(None)) => drop(self.unwell.insert(key, Some(now))),
                    (false, _) => {}
                }
            }
        }
    }

    /// An agent has started anew: what it thought before is forgotten.
    pub fn on_start(&mut self, agent: &AgentId) {
        self.minds.retain(|(who, _), _| who != agent);
    }

    /// An agent says what it thinks of a target.
    pub fn on_judged(&mut self, now: Moment, agent: &AgentId, target: &TargetId, health: Health) {
        let stands = match health {
            Health::Up => true,
            Health::Down => false,
            Health::Degraded | Health::Unknown => return,
        };
        let key = (agent.clone(), target.clone());
        let (before, turns) = self.minds.entry(key).or_insert_with(|| (stands, Vec::new()));
        if std::mem::replace(before, stands) != stands {
            turns.push(now);
        }
    }

    /// Something was agreed, while these are all apps as they are agreed.
    pub fn on_agreed(
        &mut self,
        now: Moment,
        voters: &Voters,
        link: &Link,
        states: &[std::sync::Arc<AppState>],
        found: &mut Found,
    ) {
        let (Some(before), after) = (&link.before, &link.after) else { return };
        // What leaves and comes back is new.
        let definition = &after.definition;
        self.minds.retain(|(_, target), _| {
            target.app != definition.name || definition.targets().any(|(id, _)| id == *target)
        });
        if after.decision.kind != DecisionKind::Failover {
            return;
        }
        // Evidence speaks of when it was given: this very value was first proposed on it, however long ago that was.
        let given = [&after.decision.first, &after.decision.second].into_iter().flatten();
        for certificate in given.filter(|it| it.ballot == link.ballot) {
            self.flaps(link.proposed, certificate, after, found);
        }
        if after.epoch == before.epoch {
            return;
        }
        let app = &after.definition.name;
        self.begun.retain(|(other, at)| other != app && now.since(*at) < COUNTS);
        if !link.held {
            return;
        }
        self.begun.push((app.clone(), now));
        let site = before.definition.stack(&after.decision.from).map(|stack| stack.site.clone());
        let each = match site.is_some_and(|site| self.is_down(now, &site, states)) {
            true => 50,
            false => 2.max(states.len() / 10),
        };
        let most = each * voters.members.len() / (voters.members.len() / 2 + 1);
        if self.begun.len() > most {
            let count = self.begun.len();
            found.push((BUDGET, format!("{app} is the {count}th within two minutes, of {most}")));
        }
    }

    /// Was nearly all of a site down, just now or lately?
    fn is_down(&self, now: Moment, site: &Site, states: &[std::sync::Arc<AppState>]) -> bool {
        let stacks = states.iter().flat_map(|state| {
            let here = state.definition.stacks.iter().filter(|stack| stack.site == *site);
            here.map(|stack| (state.definition.name.clone(), stack.name.clone()))
        });
        let (mut all, mut down) = (0, 0);
        for key in stacks {
            all += 1;
            down += usize::from(match self.unwell.get(&key) {
                Some(None) => true,
                Some(Some(until)) => now.since(*until) < LATELY,
                None => false,
            });
        }
        all >= 3 && down * 100 >= all * 80
    }

    fn flaps(&self, at: Moment, given: &Certificate, after: &AppState, found: &mut Found) {
        let within = (after.definition.probe.window * TURNS_WITHIN).saturating_sub(EVIDENCE);
        for evidence in &given.evidence {
            let statement = &evidence.statement;
            let there = statement
                .beliefs
                .iter()
                .filter(|belief| belief.target.stack == after.decision.to && belief.qualified);
            for belief in there {
                let key = (statement.agent.clone(), belief.target.clone());
                let Some((_, turns)) = self.minds.get(&key) else { continue };
                let counts = |turn: &&Moment| (EVIDENCE..within).contains(&at.since(**turn));
                let turned = turns.iter().filter(counts).count();
                if turned > TURNS {
                    let (agent, target) = (&statement.agent, &belief.target);
                    let text =
                        format!("{agent} holds {target} for fit, having turned {turned} times");
                    found.push((FLAPS, text));
                }
            }
        }
    }
}
