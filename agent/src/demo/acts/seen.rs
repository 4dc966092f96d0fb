//! What was there before an act, to be compared with what is there after it; and what evidence says.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Instant;

use consensus::model::{Certificate, Health, Statement};
use consensus::view::{AppView, StackView, TargetView};

use super::ASKED;
use crate::demo::process::Trouble;
use crate::demo::report::{EvidenceCount, Resolved};
use crate::demo::watch::{Answer, State};
use crate::demo::world::{BLOG, SHOP, domain};

/// What must not change while nothing moves.
#[derive(Debug, PartialEq)]
pub(super) struct Snapshot {
    /// App, epoch and active stack as every agent knows them.
    apps: BTreeSet<(String, u32, String)>,
    /// What DNS answers.
    answers: usize,
}

impl Snapshot {
    pub(super) fn take(state: &State) -> Self {
        let views = [SHOP, BLOG].into_iter().flat_map(|app| state.everybodys(app));
        Self {
            apps: views
                .map(|app| (app.app.to_string(), app.epoch.0, app.active.to_string()))
                .collect(),
            answers: state.answers.keys().map(|(app, agent)| state.turns(app, agent).len()).sum(),
        }
    }

    pub(super) fn epoch(&self, app: &str) -> u32 {
        let epochs = self.apps.iter().filter(|(name, ..)| name == app);
        epochs.map(|(_, epoch, _)| *epoch).max().unwrap_or_default()
    }
}

/// What one app's DNS answers were when it began.
pub(super) struct Watch {
    app: &'static str,
    began: Instant,
    before: Vec<Ipv4Addr>,
}

impl Watch {
    pub(super) fn begin(state: &State, app: &'static str) -> Self {
        let before = state.turns(app, ASKED).pop();
        let before = before.map(|(_, addresses)| addresses.to_vec()).unwrap_or_default();
        Self { app, began: Instant::now(), before }
    }

    /// When each server first gave another answer.
    pub(super) fn turned(&self, state: &State, agents: &[&'static str]) -> Vec<Instant> {
        let first = |agent: &&'static str| {
            let mut turns = state.turns(self.app, agent).into_iter();
            turns.find(|(at, _)| self.began < *at).map(|(at, _)| at)
        };
        agents.iter().filter_map(first).collect()
    }

    pub(super) fn resolved(&self, state: &State, agents: &[&'static str]) -> Resolved {
        let later = |agent: &&'static str| {
            let turns = state.turns(self.app, agent).into_iter();
            turns.filter(|(at, _)| self.began < *at).count()
        };
        let refusals = |agent: &&'static str| {
            let answers = state.answers.get(&(self.app, *agent)).into_iter().flatten();
            let later = answers.filter(|(at, _)| self.began < *at);
            later.filter(|(_, it)| matches!(it, Answer::Empty | Answer::Failed(_))).count()
        };
        let after = agents.iter().find_map(|agent| state.turns(self.app, agent).pop());
        Resolved {
            name: domain(self.app),
            servers: agents.len(),
            before: self.before.clone(),
            after: after.map(|(_, addresses)| addresses.to_vec()).unwrap_or_default(),
            changes: agents.iter().map(later).collect(),
            failures: agents.iter().map(refusals).sum(),
        }
    }
}

/// The stack that was moved away from.
pub(super) fn old_stack(view: &AppView) -> Result<&StackView, Trouble> {
    let from = &view.decision.from;
    let old = view.stacks.iter().find(|stack| stack.stack == *from);
    old.ok_or_else(|| Trouble(format!("{} has no stack {from}", view.app)))
}

/// Who signed that a stack is down: its databases where it has any, of which one is enough, or else its whole web.
pub(super) fn evidence(certificate: &Certificate, stack: &StackView) -> EvidenceCount {
    let statements: Vec<_> = certificate.evidence.iter().map(|it| &it.statement).collect();
    let data = stack.targets.iter().any(|target| target.database);
    let down = |statement: &&&Statement| {
        let sees = |target: &TargetView| {
            statement.beliefs.iter().any(|belief| {
                belief.target.stack == stack.stack
                    && belief.target.name == target.target
                    && belief.health == Health::Down
            })
        };
        let mut targets = stack.targets.iter().filter(|target| target.database == data);
        let down = if data { targets.any(sees) } else { targets.all(sees) };
        statement.abstention.is_none() && down
    };
    let down: Vec<_> = statements.iter().filter(down).collect();
    let regions: BTreeSet<_> = down.iter().map(|statement| &statement.region).collect();
    EvidenceCount {
        signed: statements.len(),
        down: down.len(),
        regions: regions.len(),
        ballot: certificate.ballot.to_string(),
    }
}
