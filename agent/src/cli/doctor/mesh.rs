//! What the agent sees of the mesh → checks.

use std::collections::BTreeSet;

use consensus::model::{Abstention, CredentialId, Database, FaultKind, Phase, TargetName};
use consensus::view::View;

use super::{Check, Found, Heard};
use crate::cli::table::span;
use crate::config::AgentConfig;

/// Quorum, voters, placement, and each app.
pub fn checks(heard: &Heard) -> Vec<Check> {
    let view = &heard.view;
    let mut checks = vec![quorum(view)];
    checks.extend(own(view));
    checks.extend(stores(view));
    checks.extend(placement(view));
    checks.extend(apps(view));
    checks
}

fn quorum(view: &View) -> Check {
    let quorum = &view.quorum;
    let heard =
        format!("{} of {} voters heard, {} needed", quorum.heard, quorum.voters, quorum.needed);
    let silent: Vec<_> = view
        .voters
        .members
        .iter()
        .filter(|voter| !voter.heard && voter.agent != view.agent)
        .map(|voter| match voter.silent_ms {
            Some(ms) => format!("{} for {}", voter.agent, span(ms)),
            None => format!("{} since this agent runs", voter.agent),
        })
        .collect();
    let silent =
        if silent.is_empty() { String::new() } else { format!("; silent: {}", silent.join(", ")) };
    match quorum.heard.checked_sub(quorum.needed) {
        None => {
            Check::new("quorum", Found::Wrong, format!("{heard}: nothing can be decided{silent}"))
        }
        Some(0) => {
            Check::new("quorum", Found::Careful, format!("{heard}: none more may fail{silent}"))
        }
        Some(spare) => {
            let found = if silent.is_empty() { Found::Fine } else { Found::Careful };
            Check::new("quorum", found, format!("{heard}: {spare} more may fail{silent}"))
        }
    }
}

/// Does this agent's own word count?
fn own(view: &View) -> Option<Check> {
    let why = view.abstention.filter(|_| view.voter)?;
    Some(Check::new("vote", Found::Careful, format!("{} does not vote: {why}", view.agent)))
}

fn stores(view: &View) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(changing) = &view.voters.changing {
        checks.push(Check::new("voters", Found::Careful, format!("are being changed: {changing}")));
    }
    for voter in &view.voters.members {
        if let Some(fresh) = &voter.standby_store {
            let agent = &voter.agent;
            let words = format!(
                "{agent} lost its store {}; `quorate voters replace {agent}` takes in its fresh one, {fresh}",
                voter.acceptor
            );
            checks.push(Check::new("voters", Found::Careful, words));
        }
    }
    checks
}

fn placement(view: &View) -> Vec<Check> {
    let advice = &view.voters.advice;
    match advice.is_empty() {
        true => {
            let regions: BTreeSet<_> = view.voters.members.iter().map(|it| &it.region).collect();
            let words = format!(
                "{} voters in {} regions: whichever region is lost, a majority is left",
                view.quorum.voters,
                regions.len()
            );
            vec![Check::new("placement", Found::Fine, words)]
        }
        false => advice
            .iter()
            .map(|words| Check::new("placement", Found::Careful, words.clone()))
            .collect(),
    }
}

fn apps(view: &View) -> Vec<Check> {
    if view.apps.is_empty() {
        return vec![Check::new(
            "apps",
            Found::Skipped,
            "there are none yet: `quorate apply FILE`",
        )];
    }
    let check = |app: &consensus::view::AppView| {
        let name = &app.app;
        match (app.phase, app.unready.is_empty()) {
            (Phase::Idle, true) => {
                let words = format!("a failover of {name} from {} would succeed", app.active);
                Check::new("failover", Found::Fine, words)
            }
            (Phase::Idle, false) => {
                let why = app.unready.join("; ");
                let words = format!("one of {name} would not succeed: {why}");
                Check::new("failover", Found::Wrong, words)
            }
            (phase, _) => {
                let to = &app.decision.to;
                let words = format!("one of {name} to {to} is in progress: {phase}");
                Check::new("failover", Found::Careful, words)
            }
        }
    };
    view.apps.iter().map(check).collect()
}

/// Does this host hold what the apps' steps need, and is it taken?
pub fn credentials(config: &AgentConfig, heard: &Heard) -> Check {
    let needed: BTreeSet<CredentialId> = heard
        .definitions
        .iter()
        .flat_map(|definition| {
            let databases = definition.stacks.iter().flat_map(|stack| &stack.databases);
            // What one guard does to its own takes the log-in of its fellows, which it is to follow.
            let guards = |name: &TargetName| {
                let mut all = definition.stacks.iter().flat_map(|stack| &stack.databases);
                all.any(|it| it.name == *name && it.guard.as_ref() == Some(&heard.view.agent))
            };
            let needed = move |it: &&Database| it.seen_through().is_none() || guards(&it.name);
            let databases = databases.filter(needed);
            let databases = databases.map(|database| &database.credential);
            let records = definition.records.iter().filter_map(|record| record.driver.credential());
            databases.chain(records).cloned()
        })
        .collect();
    let refused = refused(&heard.view);
    let lacking: Vec<_> = needed
        .iter()
        .filter(|name| !config.credentials.contains_key(*name))
        .map(ToString::to_string)
        .collect();
    match (refused, lacking.as_slice()) {
        (Some(why), _) => Check::new("credentials", Found::Wrong, why),
        (None, []) => {
            let words = match needed.len() {
                0 => "no app needs any".to_owned(),
                n => format!("this agent holds all {n} that the apps need"),
            };
            Check::new("credentials", Found::Fine, words)
        }
        (None, lacking) => {
            let words = format!(
                "this agent lacks {}: steps that need them go to others, and it does not see those databases",
                lacking.join(", ")
            );
            Check::new("credentials", Found::Careful, words)
        }
    }
}

/// Can this agent tell that it is itself cut off?
pub fn canaries(config: &AgentConfig, heard: &Heard) -> Check {
    match (config.canaries.len(), heard.view.abstention) {
        (0, _) => {
            let words = "none are configured, so this agent cannot tell that it is itself cut off: name some in \
                         `[health] canaries`";
            Check::new("canaries", Found::Skipped, words)
        }
        (all, Some(why @ (Abstention::CutOff | Abstention::MassFailure))) => {
            Check::new("canaries", Found::Wrong, format!("{all} are configured: this agent {why}"))
        }
        (all, _) => {
            let words = format!("{all} are configured, and enough of them answer this agent");
            Check::new("canaries", Found::Fine, words)
        }
    }
}

/// The first database that does not take this agent's credential.
fn refused(view: &View) -> Option<String> {
    let targets = view.apps.iter().flat_map(|app| {
        let stacks = app.stacks.iter().flat_map(|stack| &stack.targets);
        stacks.map(|target| (&app.app, target))
    });
    targets.into_iter().find_map(|(app, target)| {
        let fault = target.beliefs.get(&view.agent)?.fault.as_ref()?;
        (fault.kind == FaultKind::Credential)
            .then(|| format!("{} of {app} at {}: {fault}", target.target, target.address))
    })
}
