//! Has it come to rest where it should, and is everything still there? (PROTOCOL.md S10, S11; L1, L6)
//!
//! Asked of a world that is well again: what is agreed, what DNS answers, and which database takes writes must be one.

use consensus::model::{AppId, AppState, DecisionKind, Phase, Stack, StackId, TargetId};

use crate::agent::Agent;
use crate::simulation::Simulation;
use crate::world::{Host, Role, is_deserted, server};

/// Why an app has not come to rest; `None` once it has.
pub fn unsettled(simulation: &Simulation, app: &AppId) -> Option<String> {
    let Some(agreed) = simulation.agreed(app) else { return Some("never agreed".into()) };
    if agreed.phase != Phase::Idle {
        let claim = agreed.claim.as_ref().map_or("nobody".into(), |claim| claim.agent.to_string());
        let decision = &agreed.decision;
        return Some(format!(
            "epoch {} ({}, {} to {}) is still {} with {claim}",
            agreed.epoch, decision.kind, decision.from, decision.to, agreed.phase
        ));
    }
    for (place, agent) in simulation.agents.iter().enumerate() {
        if !agent.answers() {
            continue;
        }
        match simulation.held(place, app) {
            Some(held) if held.epoch == agreed.epoch && held.phase == Phase::Idle => {}
            Some(held) => {
                let id = &agent.id;
                return Some(format!("{id} holds epoch {} {}", held.epoch, held.phase));
            }
            None => return Some(format!("{} knows nothing of it", agent.id)),
        }
    }
    if let Some(why) = names_others(simulation, &agreed) {
        return Some(why);
    }
    let owing = |stack: &Stack| {
        let mut running = simulation.agents.iter().filter(|agent| agent.answers());
        running.any(|agent| owes_a_replica(simulation, agent, app, &stack.name))
    };
    if let Some(stack) = agreed.definition.stacks.iter().find(|stack| owing(stack)) {
        return Some(format!(
            "{} was stopped by its guard to be rewound, and is still",
            stack.name
        ));
    }
    names_another(simulation, &agreed).or_else(|| {
        match agreed.definition.follows() && simulation.elections {
            // Who leads the set is its own business; the app may have to cool down before it moves there.
            true => None,
            false => {
                takes_no_writes(simulation, &agreed).or_else(|| goes_astray(simulation, &agreed))
            }
        }
    })
}

/// Has this guard stopped its database to make it a replica again, and not come to an end? Under a freeze that is for people.
pub fn owes_a_replica(
    simulation: &Simulation,
    agent: &Agent,
    app: &AppId,
    stack: &StackId,
) -> bool {
    let Some(agreed) = simulation.agreed(app) else { return false };
    let begun = &agent.disk.durable().rejoining;
    let stopped = simulation.database(app, stack).filter(|id| begun.contains(id));
    agreed.freeze.is_none()
        && agreed.active != *stack
        && agreed.definition.guards(stack).contains(&agent.id)
        && stopped.is_some_and(|id| simulation.world.databases[&id].host == Host::Refusing)
}

/// Which followed endpoints are elsewhere than sources name. Nothing is followed under a freeze.
fn names_others(simulation: &Simulation, agreed: &AppState) -> Option<String> {
    if !simulation.wandering || agreed.freeze.is_some() {
        return None;
    }
    agreed.definition.following.iter().find_map(|of| {
        let told = simulation.world.told_all(&agreed.definition.name, &of.stack)?;
        let mut named = told.as_ref().ok()?.clone();
        named.retain(|place| !is_deserted(place));
        let held = agreed.definition.places(of);
        (held != named).then(|| format!("{} is at {held:?}, its source names {named:?}", of.stack))
    })
}

/// Why the voters have not come to rest: two sets are in force, a store is lost, or somebody has not learned who votes
/// (PROTOCOL.md L4, L5).
pub fn voters_unsettled(simulation: &Simulation) -> Option<String> {
    let voters = simulation.electorate.latest();
    if voters.joint() {
        return Some(format!("version {} of the voters has two sets", voters.version));
    }
    let mut running = simulation.agents.iter().filter(|agent| agent.answers());
    let lost = voters.members.iter().find(|voter| {
        !simulation.holds(voter) && running.clone().any(|agent| agent.id == voter.agent)
    });
    if let Some(voter) = lost {
        return Some(format!("{} has lost the store it votes with", voter.agent));
    }
    let behind = running.find(|agent| agent.version != voters.version);
    behind.map(|agent| format!("{} goes by version {}", agent.id, agent.version))
}

/// What an outside server says in place of what was agreed. What was edited by hand under a freeze is left alone.
fn names_another(simulation: &Simulation, agreed: &AppState) -> Option<String> {
    agreed.definition.records.iter().find_map(|record| {
        let server = server(&record.driver)?;
        let held = simulation.world.servers.get(server).and_then(|s| s.names.get(&record.name));
        let left = agreed.freeze.is_some() && held.is_some_and(|name| name.edited);
        let data = held.and_then(|name| name.sets.get(&record.kind));
        let wanted = record.values.get(&agreed.active);
        (data != wanted && !left)
            .then(|| format!("{} is {data:?}, agreed was {}", record.name, agreed.active))
    })
}

/// Why the database that clients of the active stack write to takes no writes.
fn takes_no_writes(simulation: &Simulation, agreed: &AppState) -> Option<String> {
    let id = simulation.writer(&agreed.definition.name)?;
    let database = &simulation.world.databases[&id];
    if !simulation.world.open(simulation.now, &id) {
        return Some(format!("{id} is shut: its guard holds no lease"));
    }
    match (&database.role, database.read_only, database.host) {
        (Role::Primary, false, Host::Up) => None,
        (Role::Primary, true, _) => Some(format!("{id} is still closed")),
        (Role::Primary, _, host) => Some(format!("{id} is {host:?}")),
        (Role::Replica { .. }, ..) => Some(format!("{id} is a replica")),
    }
}

/// Which database is told whom to follow, and does not follow the agreed primary.
fn goes_astray(simulation: &Simulation, agreed: &AppState) -> Option<String> {
    let led = agreed.definition.guarded().filter(|(_, it)| agreed.definition.leads(it));
    let others = led.filter(|(stack, _)| **stack != agreed.active);
    let databases = &simulation.world.databases;
    let primary = simulation.writer(&agreed.definition.name).and_then(|id| databases.get(&id));
    others.map(|(stack, it)| (stack, it.engine)).find_map(|(stack, engine)| {
        let id = simulation.database(&agreed.definition.name, stack)?;
        let database = &simulation.world.databases[&id];
        let follows = |upstream: &TargetId| upstream.stack == agreed.active;
        match &database.role {
            Role::Replica { upstream } if follows(upstream) => None,
            // People rewind it, or build it anew.
            _ if !engine.is_demoted() && !primary.is_some_and(|it| database.needs_telling(it)) => {
                None
            }
            _ => Some(format!("{id} does not follow {}", agreed.active)),
        }
    })
}

/// What the agents themselves say will happen, for whoever reads a violation.
pub fn words(simulation: &Simulation, app: &AppId) -> String {
    let mut words = String::new();
    for agent in simulation.agents.iter().filter(|agent| agent.answers()) {
        let now = agent.clock.boot(simulation.now);
        let view = agent.node.as_ref().map(|node| node.view(now));
        let app = view.and_then(|view| view.apps.into_iter().find(|it| it.app == *app));
        words.push_str(&match app {
            Some(app) => format!("\n    {}: {}", agent.id, app.next),
            None => format!("\n    {}: knows nothing of it", agent.id),
        });
    }
    words
}

/// The stacks whose promotions were taken back, each as often as that was done.
pub fn given_up(simulation: &Simulation, app: &AppId) -> Vec<StackId> {
    let history = || simulation.registers.history(app);
    let given_up = history().zip(history().skip(1)).filter(|(before, next)| {
        (before.state.phase, next.state.phase) == (Phase::Promoting, Phase::Aborting)
            && !next.state.decision.candidates.is_empty()
    });
    given_up.map(|(before, _)| before.state.decision.to.clone()).collect()
}

/// Acknowledged writes that are gone, though each had waited for a replica, and nobody had accepted that: whoever gave a
/// promotion up accepted the loss of what that stack had acknowledged, and of nothing else.
pub fn lost(simulation: &Simulation, app: &AppId) -> Option<String> {
    let mut history = simulation.registers.history(app);
    let accepted = simulation.forgiven.contains(app);
    if accepted && history.any(|it| it.state.decision.kind == DecisionKind::Forced) {
        return None;
    }
    if simulation.agreed(app).is_some_and(|agreed| agreed.definition.follows()) {
        return None;
    }
    let id = simulation.writer(app)?;
    let mut lost = simulation.world.lost(app, &id);
    if accepted {
        let given_up = given_up(simulation, app);
        lost.retain(|(_, by)| !given_up.contains(by));
    }
    let acknowledged = simulation.world.ledger[app].len();
    (!lost.is_empty()).then(|| {
        format!(
            "{} of {acknowledged} acknowledged writes are not in {id}: {:?}",
            lost.len(),
            lost[0]
        )
    })
}
