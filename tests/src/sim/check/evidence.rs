//! Did a quorum really see it, first hand, twice? (PROTOCOL.md S5, S15; C2)
//!
//! Reads the certificates in the agreed history with rules of its own, weaker than the core's but never wrong: whatever
//! fails them was decided without evidence. Then holds every failover against the world as it truly was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::codec;
use consensus::model::{
    AgentId, AppState, Certificate, DecisionKind, Health, Phase, StackId, Target, TargetId, Voters,
};
use consensus::moment::Moment;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::Found;
use super::electorate::Electorate;
use super::register::Link;
use crate::sim::world::World;

const BEHIND: &str = "a quorum's evidence behind it";
/// What every statement is signed together with.
const CONTEXT: &[u8] = b"quorate evidence 1\0";
const FALSE: &str = "no false failover";

/// Certificates of one step of the agreed history.
pub fn certified(electorate: &Electorate, link: &Link, found: &mut Found) {
    let (Some(before), after) = (&link.before, &link.after) else { return };
    if after.decision.kind != DecisionKind::Failover {
        return;
    }
    let mut broken = |what: String| {
        found.push((BEHIND, format!("{} epoch {}: {what}", after.definition.name, after.epoch)));
    };
    if after.epoch != before.epoch {
        match &after.decision.first {
            None => broken("decided without".into()),
            Some(first) => {
                if let Err(why) = holds(electorate, link, before, first, &after.decision.from) {
                    broken(format!("decided with evidence that {why}"));
                }
            }
        }
    }
    if after.phase == Phase::Promoting && before.phase != Phase::Promoting {
        match &after.decision.second {
            None => broken("promotes without a second look".into()),
            Some(second) => {
                if let Err(why) = holds(electorate, link, before, second, &after.decision.from) {
                    broken(format!("promotes with evidence that {why}"));
                }
            }
        }
    }
}

/// Is this a quorum's word, given for this ballot, that something of the stack is down?
fn holds(
    electorate: &Electorate,
    link: &Link,
    before: &AppState,
    certificate: &Certificate,
    stack: &StackId,
) -> Result<(), String> {
    if certificate.ballot != link.ballot {
        return Err(format!("is for {}, not for {}", certificate.ballot, link.ballot));
    }
    // The voters that the evidence was given under, all of it the same.
    let version = certificate.evidence.first().map_or(0, |evidence| evidence.statement.voters);
    let voters = electorate.at(version).ok_or("is of voters that never were")?;
    let mut speakers = BTreeSet::new();
    let (mut down, mut up) = (BTreeMap::new(), BTreeSet::new());
    for evidence in &certificate.evidence {
        let statement = &evidence.statement;
        let voter = voters.by_acceptor(statement.acceptor).ok_or("comes from a stranger")?;
        let key = UnparsedPublicKey::new(&ED25519, voter.key);
        let signed = [CONTEXT, &codec::encode(statement)].concat();
        if key.verify(&signed, &evidence.signature).is_err() {
            return Err(format!("{} did not sign", voter.agent));
        }
        let about = (statement.mesh, &statement.app, statement.revision);
        // A voter may not have learned of the newest epoch yet; the ballot alone makes its word fresh.
        if about != (voters.mesh, &before.definition.name, before.revision)
            || statement.epoch > before.epoch
            || statement.ballot != certificate.ballot
            || statement.agent != voter.agent
            || statement.region != voter.region
            || statement.voters != version
        {
            return Err(format!("{} gave for something else", voter.agent));
        }
        if !speakers.insert(statement.acceptor) {
            return Err(format!("{} gave twice", voter.agent));
        }
        let health = |wanted| {
            let of_stack = |target: &TargetId| target.stack == *stack;
            let mut of_stack = statement.beliefs.iter().filter(|b| of_stack(&b.target)).peekable();
            of_stack.peek().is_some()
                && match wanted {
                    Health::Down => of_stack.any(|belief| belief.health == Health::Down),
                    _ => of_stack.all(|belief| belief.health == wanted),
                }
        };
        if statement.abstention.is_none() && health(Health::Down) {
            down.insert(voter.agent.clone(), voter.region.clone());
        }
        if statement.abstention.is_none() && health(Health::Up) {
            up.insert(voter.agent.clone());
        }
    }
    let regions: BTreeSet<_> = down.values().collect();
    let needed = before.definition.regions.min(voters.regions().len());
    match () {
        () if !voters.majority_of(&down.keys().cloned().collect()) => {
            Err(format!("has {} of {} voters", down.len(), voters.agents().len()))
        }
        () if regions.len() < needed => Err(format!("has {} of {needed} regions", regions.len())),
        () if voters.blocked_by(&up) => Err(format!("{} voters contradict", up.len())),
        () => Ok(()),
    }
}

/// From when on every voter, had it looked, would have found every target well.
#[derive(Debug, Default)]
pub struct Truth {
    since: BTreeMap<(AgentId, TargetId), Moment>,
}

/// Evidence is at most five seconds old when it is accepted, and accepting takes a while.
const SLACK: Duration = Duration::from_secs(10);

impl Truth {
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
            for (target, _) in state.definition.targets() {
                for voter in voters.all() {
                    let key = (voter.agent.clone(), target.clone());
                    match world.well(&voter.agent, &target, limit) {
                        true => {
                            self.since.entry(key).or_insert(now);
                        }
                        false => {
                            self.since.remove(&key);
                        }
                    }
                }
            }
        }
    }

    /// A failover away from a stack that a majority of voters could see well, for all of the time that counts, is false.
    pub fn on_decided(&self, now: Moment, voters: &Voters, link: &Link, found: &mut Found) {
        let (Some(before), after) = (&link.before, &link.after) else { return };
        let failover = after.decision.kind == DecisionKind::Failover;
        if !failover || after.epoch == before.epoch || link.taken_back {
            return;
        }
        let definition = &before.definition;
        let span = definition.probe.window + SLACK;
        let from = &after.decision.from;
        let targets: Vec<TargetId> = definition
            .targets()
            .filter(|(id, target)| {
                id.stack == *from && matches!(target, Target::Endpoint(_) | Target::Database(_))
            })
            .map(|(id, _)| id)
            .collect();
        let saw_all_well = |agent: &AgentId| {
            targets.iter().all(|target| {
                let key = (agent.clone(), target.clone());
                self.since.get(&key).is_some_and(|since| *since + span <= now)
            })
        };
        let agents = voters.agents().into_iter();
        let well: BTreeSet<AgentId> = agents.filter(|agent| saw_all_well(agent)).cloned().collect();
        if voters.majority_of(&well) {
            let (name, well) = (&definition.name, well.len());
            let text = format!("{name} left {from}, which {well} voters could see for {span:?}");
            found.push((FALSE, text));
        }
    }
}
