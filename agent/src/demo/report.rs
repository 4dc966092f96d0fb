//! What was expected and what happened: the table at the end, and the same as JSON.

use std::fmt;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::stage::ACTS;
use crate::cli::table::{Ink, Sheet, span, wrap};

/// The table is no wider than reads well.
const WIDEST: usize = 110;
const GAP: usize = 2;
/// A mark with its gap.
const MARK: usize = 3;

/// Everything the demo found out.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Did everything expected happen?
    pub agreed: bool,
    /// The program's version.
    pub version: &'static str,
    /// How long it all took.
    pub took_ms: u64,
    /// The databases' engine and version, where there were any.
    pub databases: Option<String>,
    /// Why there were none.
    pub without_databases: Option<String>,
    /// What the app files say, and what they would say in production.
    pub settings: Settings,
    /// What ended the demo early.
    pub trouble: Option<String>,
    /// The first act.
    pub start: Option<Start>,
    /// The second.
    pub observer_blinded: Option<Blinded>,
    /// The third.
    pub stack_killed: Option<StackKilled>,
    /// The fourth.
    pub executor_killed: Option<ExecutorKilled>,
    /// What was expected, and whether it happened.
    pub expectations: Vec<Expectation>,
}

/// How the demo's files differ from those of production.
#[derive(Debug, Serialize)]
pub struct Settings {
    /// In the demo's app files.
    pub demo: Profile,
    /// In production, by default.
    pub production: Profile,
}

/// What decides how fast a mesh acts, and on what proof.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Profile {
    pub window: &'static str,
    pub interval: &'static str,
    pub cooldown: &'static str,
    pub fencing: &'static str,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, interval, cooldown, fencing } = self;
        write!(
            f,
            "window = {window}, interval = {interval}, cooldown = {cooldown}, fencing = {fencing}"
        )
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            demo: Profile {
                window: "2s",
                interval: "500ms",
                cooldown: "0s",
                fencing: "best-effort",
            },
            production: Profile {
                window: "8s",
                interval: "5s",
                cooldown: "15m",
                fencing: "required",
            },
        }
    }
}

/// One claim, and what came of it.
#[derive(Debug, Serialize)]
pub struct Expectation {
    /// In which act.
    pub act: &'static str,
    /// What was expected.
    pub expected: String,
    /// What happened.
    pub happened: String,
    /// Do the two agree?
    pub agreed: bool,
}

/// How the mesh came up.
#[derive(Debug, Serialize)]
pub struct Start {
    /// When every agent heard every other.
    pub heard_ms: u64,
    /// When both apps were agreed.
    pub applied_ms: u64,
    /// When a failover would have succeeded.
    pub ready_ms: u64,
}

/// What came of one blinded observer.
#[derive(Debug, Serialize)]
pub struct Blinded {
    /// Who was blinded.
    pub agent: String,
    /// After what time it saw the stack down.
    pub down_ms: u64,
    /// For how long it did, and nothing moved.
    pub held_ms: u64,
    /// What another agent says will happen next, or why nothing does.
    pub next: String,
    /// The rule's sum.
    pub rule: String,
    /// The epochs before and after.
    pub epochs: [u32; 2],
    /// Did anything move?
    pub moved: bool,
}

/// The times of a failover, in milliseconds since the blow.
#[derive(Debug, Default, Serialize)]
pub struct Times {
    /// The first agent sees the stack down.
    pub suspected_ms: Option<u64>,
    /// A quorum does, as far as gossip tells.
    pub quorum_ms: Option<u64>,
    /// Evidence is asked for.
    pub evidence_ms: Option<u64>,
    /// The decision is durable on a majority.
    pub decided_ms: Option<u64>,
    /// The fence was tried.
    pub fenced_ms: Option<u64>,
    /// The standby's database is promoted.
    pub promoted_ms: Option<u64>,
    /// The first server answers with the new addresses.
    pub first_answer_ms: Option<u64>,
    /// All of them do.
    pub all_answers_ms: Option<u64>,
    /// The new database acknowledges a row.
    pub first_row_ms: Option<u64>,
    /// The new stack was seen to serve.
    pub finished_ms: Option<u64>,
    /// From the quorum's word to the first new answer: what the window does not account for.
    pub after_quorum_ms: Option<u64>,
}

/// Who signed what.
#[derive(Debug, Serialize)]
pub struct EvidenceCount {
    /// How many voters signed.
    pub signed: usize,
    /// How many of them saw the stack down.
    pub down: usize,
    /// In how many regions.
    pub regions: usize,
    /// For which ballot.
    pub ballot: String,
}

/// What a resolver saw.
#[derive(Debug, Default, Serialize)]
pub struct Resolved {
    /// The name asked for.
    pub name: String,
    /// How many servers were asked.
    pub servers: usize,
    /// The answers before.
    pub before: Vec<Ipv4Addr>,
    /// The answers after.
    pub after: Vec<Ipv4Addr>,
    /// How often each server's answer changed.
    pub changes: Vec<usize>,
    /// Answers without an address, and refusals, by servers that ran.
    pub failures: usize,
}

/// What became of the rows.
#[derive(Debug, Serialize)]
pub struct Rows {
    /// Acknowledged before the kill.
    pub written_before: usize,
    /// Of those, found in the new primary.
    pub found_after: usize,
    /// Acknowledged by the new primary until the count.
    pub written_after: usize,
}

/// What came of the active stack's death.
#[derive(Debug, Serialize)]
pub struct StackKilled {
    /// The app.
    pub app: &'static str,
    /// From which stack.
    pub from: String,
    /// To which.
    pub to: String,
    /// Why.
    pub reason: String,
    /// The epochs before and after.
    pub epochs: [u32; 2],
    /// The times.
    pub phases: Times,
    /// Before the decision.
    pub first_evidence: Option<EvidenceCount>,
    /// Before the point of no return.
    pub second_evidence: Option<EvidenceCount>,
    /// What became of the fence.
    pub fence: Option<String>,
    /// The bytes known to be left behind.
    pub loss_bytes: Option<u64>,
    /// What a resolver saw.
    pub dns: Resolved,
    /// What became of the rows.
    pub rows: Option<Rows>,
}

/// What came of the executor's death.
#[derive(Debug, Serialize)]
pub struct ExecutorKilled {
    /// The app.
    pub app: &'static str,
    /// How many failovers it took to catch one in the middle.
    pub attempts: u32,
    /// Who was killed.
    pub killed: Option<String>,
    /// While doing what, as far as the others knew.
    pub phase: Option<String>,
    /// Who finished.
    pub finished_by: Option<String>,
    /// How long after the decision it was killed.
    pub killed_after_ms: Option<u64>,
    /// How long after the executor's death another had claimed its step.
    pub taken_over_ms: Option<u64>,
    /// And finished it.
    pub finished_ms: Option<u64>,
    /// The epochs before and after.
    pub epochs: [u32; 2],
    /// The times, since the kill of the stack.
    pub phases: Times,
    /// What a resolver saw at the servers of the others.
    pub dns: Resolved,
}

impl Report {
    /// One more claim.
    pub fn expect(&mut self, act: usize, expected: &str, happened: String, agreed: bool) -> bool {
        let (act, _) = ACTS[act];
        self.expectations.push(Expectation {
            act,
            expected: expected.to_owned(),
            happened,
            agreed,
        });
        agreed
    }

    /// The last word.
    pub fn finish(&mut self, took_ms: u64) {
        self.took_ms = took_ms;
        let whole = self.executor_killed.is_some() && self.trouble.is_none();
        self.agreed = whole && self.expectations.iter().all(|it| it.agreed);
    }

    /// The table.
    pub fn sheet(&self, colour: bool, width: usize) -> String {
        let half = (width.min(WIDEST) - MARK - GAP) / 2;
        let mut sheet = Sheet::new(colour);
        sheet.cell(Ink::Faint, "", MARK - GAP).cell(Ink::Faint, "expected", half);
        sheet.put(Ink::Faint, "happened").end();
        let mut act = "";
        for it in &self.expectations {
            if it.act != act {
                act = it.act;
                sheet.put(Ink::Strong, act).end();
            }
            let (ink, mark) = if it.agreed { (Ink::Good, "✓") } else { (Ink::Bad, "✗") };
            let (left, right) = (wrap(&it.expected, half), wrap(&it.happened, half));
            for row in 0..left.len().max(right.len()) {
                let text = |side: &[String]| side.get(row).cloned().unwrap_or_default();
                sheet.cell(ink, if row == 0 { mark } else { "" }, MARK - GAP);
                sheet.cell(Ink::Plain, &text(&left), half).put(ink, &text(&right)).end();
            }
        }
        if let Some(trouble) = &self.trouble {
            for line in wrap(&format!("stopped: {trouble}"), width) {
                sheet.put(Ink::Bad, &line).end();
            }
        }
        let took = span(self.took_ms);
        let met = self.expectations.iter().filter(|it| it.agreed).count();
        let all = self.expectations.len();
        let (ink, words) = match self.agreed {
            true => (Ink::Good, format!("everything happened as expected, in {took}")),
            false => (Ink::Bad, format!("NOT as expected: {met} of {all} agree, after {took}")),
        };
        sheet.end();
        sheet.put(ink, &words).end();
        sheet.finish()
    }
}
