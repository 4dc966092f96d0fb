//! From a decision to the requests that carry it out: pure, and the same for every executor.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{
    AppState, CredentialId, Database, DecisionKind, Definition, Driver, Effect, Phase, RecordKind,
    RecordSet, Stack, StackId, TargetId, TargetName, Token,
};

/// The token that every request of the current phase carries.
pub fn token(state: &AppState) -> Token {
    Token::new(state.epoch, state.decision.attempt, state.phase.step())
}

/// Breaks rule 10: an abort under the very token of the fence it takes back.
#[cfg(feature = "mutants")]
pub fn token_of_the_fence(state: &AppState) -> Token {
    match state.phase {
        Phase::Aborting => {
            let fenced = crate::model::Epoch(state.epoch.0.saturating_sub(1));
            Token::new(fenced, state.decision.attempt, Phase::Fencing.step())
        }
        _ => token(state),
    }
}

/// Every record set of an app while `stack` is the active one and lifetimes are shortened so far, by name and driver. Never
/// holds an empty set.
pub fn answers<'a>(
    definition: &'a Definition,
    stack: &StackId,
    shortened: u8,
) -> BTreeMap<(&'a str, &'a Driver), Vec<RecordSet>> {
    let mut answers: BTreeMap<_, BTreeMap<RecordKind, RecordSet>> = BTreeMap::new();
    for record in &definition.records {
        let Some(data) = record.values.get(stack).filter(|data| !data.is_empty()) else { continue };
        let sets = answers.entry((record.name.as_str(), &record.driver)).or_default();
        let set = sets.entry(record.kind).or_insert_with(|| RecordSet {
            kind: record.kind,
            ttl: record.driver.kept(record.ttl, shortened),
            data: vec![],
        });
        // What weighs more stands there more often; others' servers hold a set.
        for datum in data {
            if !set.data.contains(datum) {
                set.data.push(datum.clone());
            }
        }
    }
    answers.into_iter().map(|(key, sets)| (key, sets.into_values().collect())).collect()
}

/// The requests of the current phase, in order.
pub fn effects(state: &AppState) -> Vec<Effect> {
    let decision = &state.decision;
    let databases = |stack: &StackId| -> Vec<Database> {
        state.definition.stack(stack).map(|stack| stack.databases.clone()).unwrap_or_default()
    };
    match state.phase {
        Phase::Idle | Phase::Verifying => Vec::new(),
        Phase::Fencing => databases(&decision.from).into_iter().map(Effect::Fence).collect(),
        Phase::Aborting => databases(&state.active).into_iter().map(Effect::Unfence).collect(),
        Phase::Promoting => promotions(state),
        Phase::Publishing => publications(state).into_iter().chain(followers(state)).collect(),
    }
}

/// Every database of another stack, told to follow that of the active one where it is told such things. The primary that was
/// moved from is not, where it would have to be rewound; in a later decision it refuses that by itself.
fn followers(state: &AppState) -> Vec<Effect> {
    let Some(active) = state.definition.stack(&state.active) else { return Vec::new() };
    let others = state.definition.guarded().filter(|(stack, _)| **stack != active.name);
    let led = others.filter(|(stack, database)| {
        let left = !database.engine.is_demoted() && **stack == state.decision.from;
        state.definition.leads(database) && !left
    });
    led.filter_map(|(_, database)| {
        let primary = active.databases.iter().find(|primary| primary.name == database.name)?;
        Some(Effect::Follow { database: database.clone(), primary: primary.clone() })
    })
    .collect()
}

/// The primaries of a stack, each of the election by which it leads: in the order of the databases' names.
pub fn step_downs(state: &AppState, stack: &StackId, terms: &[u32]) -> Vec<Effect> {
    let stack = state.definition.stack(stack);
    let databases = stack.into_iter().flat_map(|stack| &stack.databases);
    let mut followed: Vec<_> = databases.filter(|it| it.engine.is_followed()).collect();
    followed.sort_by(|one, other| one.name.cmp(&other.name));
    let pairs = followed.into_iter().zip(terms);
    pairs.map(|(it, term)| Effect::StepDown { database: it.clone(), term: *term }).collect()
}

/// May a request fail, and the decision be carried on all the same?
pub fn is_only_tried(effect: &Effect) -> bool {
    match effect {
        Effect::Fence(_)
        | Effect::Follow { .. }
        | Effect::StepDown { .. }
        | Effect::Synchronous { .. } => true,
        Effect::Unfence(_) | Effect::Promote { .. } | Effect::Publish { .. } => false,
    }
}

fn promotions(state: &AppState) -> Vec<Effect> {
    let decision = &state.decision;
    let database = |name: &TargetName| {
        let stack: &Stack = state.definition.stack(&decision.to)?;
        stack.databases.iter().find(|database| database.name == *name).cloned()
    };
    decision
        .candidates
        .iter()
        .filter_map(|candidate| {
            let at_least = decision.fence.get(&candidate.name).and_then(|fence| fence.position);
            Some(Effect::Promote {
                database: database(&candidate.name)?,
                candidate: candidate.clone(),
                at_least,
            })
        })
        .collect()
}

/// What drivers are to publish while the active stack stands.
pub fn publications(state: &AppState) -> Vec<Effect> {
    published(&state.definition, &state.active, state.lifetimes.shortened)
}

/// What drivers are to publish while `stack` is the active one, and lifetimes are shortened so far.
pub fn published(definition: &Definition, stack: &StackId, shortened: u8) -> Vec<Effect> {
    answers(definition, stack, shortened)
        .into_iter()
        .filter(|((_, driver), _)| **driver != Driver::BuiltIn)
        .map(|((name, driver), sets)| Effect::Publish {
            name: name.to_owned(),
            driver: driver.clone(),
            sets,
            stack: stack.clone(),
        })
        .collect()
}

/// The credential without which an agent cannot carry out a request from afar. A fence is only tried: whoever lacks its
/// credential records that, and goes on.
pub fn credential(effect: &Effect) -> Option<CredentialId> {
    match effect {
        Effect::Fence(_) | Effect::Follow { .. } => None,
        Effect::Unfence(database)
        | Effect::Promote { database, .. }
        | Effect::StepDown { database, .. }
        | Effect::Synchronous { database, .. } => Some(database.credential.clone()),
        Effect::Publish { driver, .. } => driver.credential().cloned(),
    }
}

/// The database that a request is about, where its guard may have a part in it.
pub fn database(effect: &Effect) -> Option<&Database> {
    match effect {
        Effect::Fence(database)
        | Effect::Unfence(database)
        | Effect::Promote { database, .. }
        | Effect::Follow { database, .. }
        | Effect::StepDown { database, .. } => Some(database),
        Effect::Synchronous { .. } | Effect::Publish { .. } => None,
    }
}

/// The same, by its name in the mesh.
pub fn target(state: &AppState, effect: &Effect) -> Option<TargetId> {
    let database = database(effect)?;
    let mut all = state.definition.guarded();
    let (stack, _) = all.find(|(_, it)| *it == database)?;
    let (app, stack) = (state.definition.name.clone(), stack.clone());
    Some(TargetId { app, stack, name: database.name.clone() })
}

/// The credentials with which whoever carries out a request logs in to databases.
pub fn logins(effect: &Effect) -> impl Iterator<Item = &CredentialId> {
    let other = match effect {
        Effect::Follow { primary, .. } => Some(&primary.credential),
        Effect::Synchronous { database, .. } => Some(&database.credential),
        Effect::Fence(_)
        | Effect::Unfence(_)
        | Effect::Promote { .. }
        | Effect::StepDown { .. }
        | Effect::Publish { .. } => None,
    };
    database(effect).map(|it| &it.credential).into_iter().chain(other)
}

/// The credentials without which an agent cannot publish an app's records.
pub fn publishing_credentials(state: &AppState) -> BTreeSet<CredentialId> {
    let records = state.definition.records.iter();
    records.filter_map(|record| record.driver.credential().cloned()).collect()
}

/// The credentials that whoever carries out the current phase should hold besides: for what is only tried.
pub fn wished(state: &AppState) -> BTreeSet<CredentialId> {
    let followed = effects(state).into_iter().filter_map(|effect| match effect {
        Effect::Follow { database, .. } => Some(database.credential),
        Effect::Fence(_)
        | Effect::Unfence(_)
        | Effect::Promote { .. }
        | Effect::StepDown { .. }
        | Effect::Synchronous { .. }
        | Effect::Publish { .. } => None,
    });
    followed.collect()
}

/// Every credential that some step of a failover of this app needs: what an agent should hold to see it through.
pub fn all_credentials(definition: &Definition) -> BTreeSet<CredentialId> {
    let databases = definition.stacks.iter().flat_map(|stack| &stack.databases);
    let drivers = definition.records.iter().filter_map(|record| record.driver.credential());
    databases.map(|database| &database.credential).chain(drivers).cloned().collect()
}

/// The stack whose databases may take writes; nobody's while they are being closed.
pub fn writer(state: &AppState) -> Option<&StackId> {
    match state.phase {
        Phase::Fencing => None,
        Phase::Promoting => Some(&state.decision.to),
        Phase::Idle | Phase::Aborting | Phase::Publishing | Phase::Verifying => Some(&state.active),
    }
}

/// How long whoever takes the current phase over must leave the outside alone: where it compares no tokens, until nothing
/// that the one before may have asked for can still take effect (PROTOCOL.md D.3, T_quiet: its limit, and the provider's).
pub fn quiet(state: &AppState) -> Duration {
    let blind = state.phase == Phase::Publishing
        && state.definition.records.iter().any(|record| !record.driver.compares());
    if blind { Duration::from_secs(10) } else { Duration::ZERO }
}

/// The phase that a decided move begins with.
pub fn first_phase(promotes: bool) -> Phase {
    if promotes { Phase::Fencing } else { Phase::Publishing }
}

/// One line for people about a request.
pub fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Fence(database) => {
            format!("fence {} at {}:{}", database.name, database.address, database.port)
        }
        Effect::Unfence(database) => {
            format!("unfence {} at {}:{}", database.name, database.address, database.port)
        }
        Effect::Promote { database, .. } => {
            format!("promote {} at {}:{}", database.name, database.address, database.port)
        }
        Effect::Follow { database, primary } => format!(
            "let {} at {}:{} follow {}:{}",
            database.name, database.address, database.port, primary.address, primary.port
        ),
        Effect::StepDown { database, term } => format!(
            "ask {} at {}:{} to step down from election {term}",
            database.name, database.address, database.port
        ),
        Effect::Synchronous { database, waits } => {
            let names: Vec<_> = waits.names.iter().map(String::as_str).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            format!(
                "let {} at {}:{} wait for {names} (sync set {})",
                database.name, database.address, database.port, waits.version
            )
        }
        Effect::Publish { name, stack, .. } => format!("publish {name} for {stack}"),
    }
}

/// Did the mesh decide this by itself, so that it counts for damping?
pub fn is_automatic(kind: DecisionKind) -> bool {
    kind == DecisionKind::Failover
}

/// Must evidence stand behind it? Of what the mesh decided by itself, and of what a person only let go ahead.
pub fn rests_on_evidence(kind: DecisionKind) -> bool {
    matches!(kind, DecisionKind::Failover | DecisionKind::Approved)
}
