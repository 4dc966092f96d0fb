//! Beliefs → who sees what, and what the rule makes of it.
//!
//! Shows the sums of the rule (PROTOCOL.md B.5) beside the verdict; the verdict itself is the core's.

use std::collections::{BTreeMap, BTreeSet};

use consensus::model::{
    AgentId, AppId, AppState, Certificate, Decision, Epoch, Health, Mode, Phase, Region, StackId,
    TargetName, Verdict,
};
use consensus::view::{AppView, BeliefView, DampingView, DecisionView, FreezeView, View};
use serde::{Deserialize, Serialize};

use super::history::Entry;
use crate::readiness::UnreadyView;

/// Everything there is to say about an app, now or at a past decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The app.
    pub app: AppId,
    /// Whether the mesh may act by itself.
    pub mode: Mode,
    /// The definition's revision.
    pub revision: u64,
    /// The decision's epoch.
    pub epoch: Epoch,
    /// The stack the answers name, or named.
    pub active: StackId,
    /// How far the decision has been carried out.
    pub phase: Phase,
    /// Who carries it out.
    pub executor: Option<AgentId>,
    /// The decision.
    pub decision: DecisionView,
    /// Who sees what now, or saw what then: before the decision, and before the point of no return.
    pub sights: Vec<Sight>,
    /// Until when people hold the mesh back, if they do; only of the present.
    pub freeze: Option<FreezeView>,
    /// What the mesh did by itself, and how long it waits because of that; only of the present.
    pub damping: Option<DampingView>,
    /// What will happen next, or why nothing does; only of the present.
    pub next: Option<String>,
    /// Why a failover would not succeed; only of the present.
    pub unready: Vec<String>,
    /// What would keep its stacks from serving, as far as this agent found; only of the present.
    #[serde(default)]
    pub readiness: Vec<UnreadyView>,
    /// What happened around the decision; only of the past.
    pub entries: Vec<Entry>,
}

/// Who sees what at one time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sight {
    /// At what time.
    pub title: String,
    /// Who looks.
    pub witnesses: Vec<Witness>,
    /// What they see.
    pub stacks: Vec<StackSight>,
}

/// An agent that looks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Witness {
    /// Its name.
    pub agent: AgentId,
    /// Its region, once known.
    pub region: Option<Region>,
    /// Is it one of the voters?
    pub voter: bool,
    /// Why its word does not count, if it does not.
    pub silent: Option<String>,
}

/// One stack, as all see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StackSight {
    /// Its name.
    pub stack: StackId,
    /// Do the answers name it?
    pub active: bool,
    /// Why it could not be moved to.
    pub unfit: Vec<String>,
    /// What the rule makes of its web and its data.
    pub sums: Vec<Sum>,
    /// Its targets.
    pub targets: Vec<TargetSight>,
}

/// The rule's arithmetic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sum {
    /// `web` or `data`.
    pub part: String,
    /// How many voters see it down.
    pub down: usize,
    /// How many must.
    pub needed: usize,
    /// How many voters there are.
    pub voters: usize,
    /// In how many regions they see it down.
    pub regions: usize,
    /// In how many they must.
    pub regions_needed: usize,
    /// How many voters see it up.
    pub up: usize,
    /// How many may, at most, for it to be down.
    pub up_limit: usize,
    /// What the core makes of it; of the past, what the sums alone say.
    pub verdict: Verdict,
    /// All that in a line.
    pub text: String,
}

/// One target, as all see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetSight {
    /// Its name.
    pub target: TargetName,
    /// Is it a database?
    pub database: bool,
    /// What each witness sees.
    pub cells: BTreeMap<AgentId, Cell>,
}

/// What one agent sees of one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// In a word.
    pub health: Health,
    /// Does it count?
    pub counts: bool,
    /// What is wrong, if something is.
    pub fault: Option<String>,
}

/// The app as it is now.
pub fn now(view: &View, app: &AppView, agreed: Option<&AppState>) -> Explanation {
    let regions = agreed.map_or(2, |state| state.definition.regions);
    let witnesses: Vec<_> = view
        .members
        .iter()
        .map(|member| Witness {
            agent: member.agent.clone(),
            region: member.region.clone(),
            voter: member.voter,
            silent: match (member.heard || member.agent == view.agent, &member.abstention) {
                (_, Some(why)) => Some(why.to_string()),
                (false, None) => Some("is not heard".into()),
                (true, None) => None,
            },
        })
        .collect();
    let rule = Rule::new(view, &witnesses, regions);
    let stacks = app.stacks.iter().map(|stack| {
        let targets: Vec<_> = stack
            .targets
            .iter()
            .map(|target| TargetSight {
                target: target.target.clone(),
                database: target.database,
                cells: target.beliefs.iter().map(|(a, belief)| (a.clone(), cell(belief))).collect(),
            })
            .collect();
        let verdicts = [stack.web, stack.data];
        StackSight {
            stack: stack.stack.clone(),
            active: stack.active,
            unfit: stack.unfit.clone(),
            sums: rule.sums(&targets, &witnesses, verdicts),
            targets,
        }
    });
    Explanation {
        app: app.app.clone(),
        mode: app.mode,
        revision: app.revision,
        epoch: app.epoch,
        active: app.active.clone(),
        phase: app.phase,
        executor: app.executor.clone(),
        decision: app.decision.clone(),
        sights: vec![Sight { title: "now".into(), stacks: stacks.collect(), witnesses }],
        freeze: app.freeze.clone(),
        damping: Some(app.damping.clone()),
        next: Some(app.next.clone()),
        unready: app.unready.clone(),
        readiness: Vec::new(),
        entries: Vec::new(),
    }
}

/// A decision of the past, with the evidence it rests on.
pub fn past(view: &View, state: &AppState, entries: Vec<Entry>) -> Explanation {
    let titles = ["before the decision", "before the point of no return"];
    let certificates = [&state.decision.first, &state.decision.second];
    let sights = titles
        .into_iter()
        .zip(certificates)
        .filter_map(|(title, found)| Some(sight(title, view, state, found.as_ref()?)));
    Explanation {
        app: state.definition.name.clone(),
        mode: state.definition.mode,
        revision: state.revision,
        epoch: state.epoch,
        active: state.active.clone(),
        phase: state.phase,
        executor: state.claim.as_ref().map(|claim| claim.agent.clone()),
        decision: decision_view(&state.decision),
        sights: sights.collect(),
        freeze: None,
        damping: None,
        next: None,
        unready: Vec::new(),
        readiness: Vec::new(),
        entries,
    }
}

/// A decision, for people.
pub fn decision_view(decision: &Decision) -> DecisionView {
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
        loss_ms: decision.loss_time.map(|time| time.as_millis().try_into().unwrap_or(u64::MAX)),
        first: decision.first.clone(),
        second: decision.second.clone(),
    }
}

fn cell(belief: &BeliefView) -> Cell {
    Cell {
        health: belief.health,
        counts: belief.counts,
        fault: belief.fault.as_ref().map(ToString::to_string),
    }
}

fn sight(title: &str, view: &View, state: &AppState, found: &Certificate) -> Sight {
    let statements = || found.evidence.iter().map(|evidence| &evidence.statement);
    let witnesses: Vec<_> = statements()
        .map(|statement| Witness {
            agent: statement.agent.clone(),
            region: Some(statement.region.clone()),
            voter: true,
            silent: statement.abstention.map(|why| why.to_string()),
        })
        .collect();
    let rule = Rule::new(view, &witnesses, state.definition.regions);
    let mut cells: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for statement in statements() {
        for belief in &statement.beliefs {
            let cell = Cell {
                health: belief.health,
                counts: statement.abstention.is_none(),
                fault: belief.fault.as_ref().map(ToString::to_string),
            };
            let target = (belief.target.stack.clone(), belief.target.name.clone());
            cells.entry(target).or_default().insert(statement.agent.clone(), cell);
        }
    }
    let stacks = state.definition.stacks.iter().map(|stack| {
        let endpoints = stack.endpoints.iter().map(|endpoint| (&endpoint.name, false));
        let databases = stack.databases.iter().map(|database| (&database.name, true));
        let targets: Vec<_> = endpoints
            .chain(databases)
            .map(|(name, database)| TargetSight {
                target: name.clone(),
                database,
                cells: cells.remove(&(stack.name.clone(), name.clone())).unwrap_or_default(),
            })
            .collect();
        StackSight {
            stack: stack.name.clone(),
            active: stack.name == state.decision.from,
            unfit: Vec::new(),
            sums: rule.sums(&targets, &witnesses, [None, None]),
            targets,
        }
    });
    let title = format!("{title}, for ballot {}", found.ballot);
    Sight { title, stacks: stacks.collect(), witnesses }
}

/// The numbers that do not change from stack to stack.
struct Rule {
    voters: usize,
    needed: usize,
    regions_needed: usize,
}

impl Rule {
    fn new(view: &View, witnesses: &[Witness], regions: usize) -> Self {
        let known = view.members.iter().filter(|member| member.voter);
        let known: BTreeSet<_> = known
            .filter_map(|member| member.region.as_ref())
            .chain(witnesses.iter().filter(|w| w.voter).filter_map(|w| w.region.as_ref()))
            .collect();
        let regions_needed = regions.min(known.len()).max(1);
        Self { voters: view.quorum.voters, needed: view.quorum.needed, regions_needed }
    }

    fn sums(
        &self,
        targets: &[TargetSight],
        witnesses: &[Witness],
        [web, data]: [Option<Verdict>; 2],
    ) -> Vec<Sum> {
        [("web", false, web), ("data", true, data)]
            .into_iter()
            .filter(|(_, database, _)| targets.iter().any(|target| target.database == *database))
            .map(|(part, database, verdict)| {
                let targets: Vec<_> = targets.iter().filter(|t| t.database == database).collect();
                self.sum(part, &targets, witnesses, verdict)
            })
            .collect()
    }

    /// A web is down when every endpoint is, data when any database is; up is the reverse. As the core counts
    /// (`consensus::evidence`), over what a view or a certificate says.
    fn sum(
        &self,
        part: &str,
        targets: &[&TargetSight],
        witnesses: &[Witness],
        verdict: Option<Verdict>,
    ) -> Sum {
        let web = part == "web";
        let (mut down, mut up, mut regions) = (0, 0, BTreeSet::new());
        for witness in witnesses.iter().filter(|witness| witness.voter && witness.silent.is_none())
        {
            let health = |target: &&TargetSight| {
                let cell = target.cells.get(&witness.agent).filter(|cell| cell.counts);
                cell.map_or(Health::Unknown, |cell| cell.health)
            };
            let all = |wanted| targets.iter().all(|target| health(target) == wanted);
            let any = |wanted| targets.iter().any(|target| health(target) == wanted);
            if if web { all(Health::Down) } else { any(Health::Down) } {
                down += 1;
                regions.extend(&witness.region);
            } else if if web { any(Health::Up) } else { all(Health::Up) } {
                up += 1;
            }
        }
        let up_limit = (self.voters - self.needed.min(self.voters)) / 2;
        let regions = regions.len();
        let shown = match (self.needed <= down, self.regions_needed <= regions && up <= up_limit) {
            (true, true) => Verdict::Down,
            (true, false) => Verdict::Contested,
            (false, _) => Verdict::Standing,
        };
        let text = format!(
            "{down} of {} see it down ({} needed), {regions} {} of {} needed, {up} {} it up ({up_limit} may)",
            self.voters,
            self.needed,
            if regions == 1 { "region" } else { "regions" },
            self.regions_needed,
            if up == 1 { "sees" } else { "see" },
        );
        Sum {
            part: part.into(),
            down,
            needed: self.needed,
            voters: self.voters,
            regions,
            regions_needed: self.regions_needed,
            up,
            up_limit,
            verdict: verdict.unwrap_or(shown),
            text,
        }
    }
}
