//! `quorate status`: what is wrong, what the mesh thinks, what it will do, and why it has not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use consensus::model::{Health, Mode, Phase, StackId, TargetName, Verdict, kept};
use consensus::view::{
    AppView, BeliefView, DampingView, FreezeView, LeaseView, LostView, StackView, TargetView, View,
};
use serde::Deserialize;
use serde_json::Value;

use super::client::{AgentArgs, ClientError};
use super::findings::{check, findings, quorum, unready_words, warning_words};
use super::table::{Ink, Out, Sheet, WIDTH, bytes, clock, fit, of, span, widest};
use crate::guard::{DoorMeans, DoorView};
use crate::status::Beside;

/// What `quorate status` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The agent to ask
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Print the agent's document as it is
    #[arg(long)]
    pub json: bool,
    /// Print one line, and exit as monitoring plugins do: 0 ok, 1 warning, 2 critical, 3 unknown
    #[arg(long, conflicts_with = "json")]
    pub check: bool,
}

/// Asks, and prints.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let document: Value = match args.agent.client().get("/api/v1/status").await {
        Ok(document) => document,
        Err(error) => return fail(&error, args.check, out),
    };
    if args.json {
        out.json(&document);
        return ExitCode::SUCCESS;
    }
    let (version, view, beside) = match read(&document) {
        Ok(read) => read,
        Err(error) => return fail(&error, args.check, out),
    };
    match args.check {
        true => {
            let (grade, line) = check(&view, &beside);
            out.print(&line);
            ExitCode::from(grade as u8)
        }
        false => {
            out.print(&sheet(&view, &beside, &version, out.colour));
            ExitCode::SUCCESS
        }
    }
}

/// Who says a document, and what it says; an agent of before says less.
///
/// # Errors
/// If it is no agent's.
pub fn read(document: &Value) -> Result<(String, View, Beside), ClientError> {
    let version = document["version"].as_str().unwrap_or("?").to_owned();
    let view = View::deserialize(document);
    let read = view.and_then(|view| Ok((version, view, Beside::deserialize(document)?)));
    read.map_err(|error| ClientError::Stranger { place: "there".into(), why: error.to_string() })
}

fn fail(error: &ClientError, check: bool, out: &mut Out<'_>) -> ExitCode {
    match check {
        true => {
            out.print(&format!("QUORATE UNKNOWN - {error}\n"));
            ExitCode::from(3)
        }
        false => {
            super::complain(format_args!("quorate: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Everything, for a person.
pub fn sheet(view: &View, beside: &Beside, version: &str, colour: bool) -> String {
    let mut sheet = Sheet::new(colour);
    let ink = if view.quorum.needed <= view.quorum.heard { Ink::Good } else { Ink::Bad };
    sheet.put(Ink::Strong, "mesh ").put(Ink::Plain, &fit(&view.mesh, 8)).put(Ink::Plain, "  ");
    sheet.put(ink, &quorum(view));
    let asked = format!("  as {} in {} sees it, {version}", view.agent, view.region);
    sheet.put(Ink::Faint, &fit(&asked, 56)).end();
    sheet.end();
    let found = findings(view, beside);
    for (grade, words) in &found {
        sheet.labelled(0, grade.word(), grade.ink(), words);
    }
    if found.is_empty() {
        sheet.labelled(0, "ok", Ink::Good, "nothing wants looking at");
    }
    for app in &view.apps {
        sheet.end();
        app_lines(&mut sheet, app, beside);
    }
    if view.apps.is_empty() {
        sheet.end();
        sheet.put(Ink::Plain, "no apps yet: `quorate apply FILE` gives the mesh one").end();
    }
    sheet.finish()
}

fn app_lines(sheet: &mut Sheet, app: &AppView, beside: &Beside) {
    let moving = app.phase != Phase::Idle;
    sheet.put(Ink::Strong, &fit(app.app.as_str(), 30)).put(Ink::Plain, "  active ");
    sheet.put(Ink::Strong, &fit(app.active.as_str(), 30)).put(Ink::Plain, "  ");
    sheet.put(if moving { Ink::Bad } else { Ink::Good }, &app.phase.to_string());
    let mode = match app.mode {
        Mode::Automatic => "automatic",
        Mode::Approve => "asks before it acts",
        Mode::Shadow => "shadow: touches nothing",
    };
    let rest = format!("  {mode}, epoch {}, revision {}", app.epoch, app.revision);
    sheet.put(Ink::Faint, &rest).end();
    let decision = &app.decision;
    let way = match decision.from == decision.to {
        true => decision.to.to_string(),
        false => format!("{} → {}", decision.from, decision.to),
    };
    let at = clock(decision.wall_ms);
    let what =
        format!("{} {way} at {} UTC by {}", decision.kind, &at[..at.len().min(19)], decision.by);
    sheet.labelled(2, "decided", Ink::Plain, &what);
    sheet.labelled(2, "because", Ink::Plain, &decision.reason);
    for (name, fence) in &decision.fence {
        let ink = if fence.proven { Ink::Good } else { Ink::Wary };
        sheet.labelled(2, "fence", ink, &format!("{name}: {}", fence.text));
    }
    if let Some(loss) = decision.loss_bytes.filter(|loss| *loss > 0) {
        let left = format!("{}{} of log not taken over", bytes(loss), of(decision.loss_ms));
        sheet.labelled(2, "left", Ink::Wary, &left);
    }
    sheet.labelled(2, "next", if moving { Ink::Wary } else { Ink::Plain }, &app.next);
    if let Some(lease) = &app.lease {
        let (ink, words) = lease_words(lease);
        sheet.labelled(2, "lease", ink, &words);
    }
    for (name, stacks) in app.sync_set.iter().flatten() {
        let (ink, words) = sync_words(name, stacks);
        sheet.labelled(2, "sync set", ink, &words);
    }
    let weak = |door: &&DoorView| door.app == app.app && door.by == DoorMeans::Engine;
    for door in beside.guard.doors.iter().filter(weak) {
        sheet.labelled(2, "weak door", Ink::Wary, &weak_words(door));
    }
    if app.shortened > 0 {
        let words =
            format!("for {} s, or the least a provider takes", kept(u32::MAX, app.shortened));
        sheet.labelled(2, "kept", Ink::Plain, &words);
    }
    if let Some(planned) = &app.planned {
        let (to, by, within) = (&planned.to, &planned.by, planned.within_ms.div_ceil(1_000));
        let words = format!("to {to} in {within} s, for {by}");
        sheet.labelled(2, "planned", Ink::Wary, &words);
    }
    restraints(sheet, 2, app.freeze.as_ref(), &app.damping);
    for why in &app.unready {
        sheet.labelled(2, "unready", Ink::Wary, why);
    }
    for it in beside.readiness.iter().filter(|it| it.app == app.app) {
        sheet.labelled(2, "unready", Ink::Wary, &unready_words(it));
    }
    for warning in &app.warnings {
        sheet.labelled(2, "warning", Ink::Wary, &warning_words(warning));
    }
    for stack in &app.stacks {
        if let Some(loss) = stack.would_lose.filter(|loss| *loss > 0) {
            let (loss, time) = (bytes(loss), of(stack.would_lose_ms));
            let words = format!("a move to {} now would lose {loss}{time} of log", stack.stack);
            sheet.labelled(2, "loss", Ink::Wary, &words);
        }
    }
    for (name, lost) in &app.lost {
        sheet.labelled(2, "lost", Ink::Wary, &lost_words(name, lost));
    }
    super::following::lines(sheet, app);
    super::tails::lines(sheet, app, &beside.tails);
    for stack in &app.stacks {
        stack_lines(sheet, app, stack);
    }
}

/// What an old primary turned out to hold alone.
fn lost_words(name: &TargetName, lost: &LostView) -> String {
    let LostView { stack, epoch, transactions, bytes: size, span_ms } = lost;
    let what = match transactions {
        0 => "nothing".to_owned(),
        _ => format!("{transactions} transactions, {}{} of log", bytes(*size), of(Some(*span_ms))),
    };
    format!("{what}: what {name} of {stack} alone had, back in epoch {epoch}")
}

/// How a door is that no lease holds.
fn weak_words(door: &DoorView) -> String {
    let how = match (door.left_ms, &door.trouble) {
        (0, Some(_)) => "not known to be shut".to_owned(),
        (0, None) => "takes no writes".to_owned(),
        (left, _) => format!("shut in {} s unless a majority of the voters is heard", left / 1000),
    };
    format!("{} here: {how}; by the engine's own means, which prove nothing", door.database)
}

/// On whom a promotion without loss may rely.
fn sync_words(name: &TargetName, stacks: &[StackId]) -> (Ink, String) {
    let stacks: Vec<_> = stacks.iter().map(StackId::as_str).collect();
    match stacks.as_slice() {
        [] => (Ink::Wary, format!("{name}: no replica holds for certain what is acknowledged")),
        stacks => {
            (Ink::Good, format!("{name}: {} has whatever is acknowledged", stacks.join(", ")))
        }
    }
}

/// Who may write, for how long, and by how many voters' leave.
fn lease_words(lease: &LeaseView) -> (Ink, String) {
    let Some(writer) = &lease.writer else {
        return (Ink::Wary, "nobody may write while the old stack is being fenced".into());
    };
    let guards = lease.guards.iter().filter(|guard| guard.stack == *writer);
    let held: Vec<String> = guards
        .map(|guard| match guard.open_ms {
            0 => format!("{} holds none", guard.guard),
            left => format!("{} holds it for {} s more", guard.guard, left / 1000),
        })
        .collect();
    let voters = lease.granted.iter().filter(|grant| grant.stack == *writer).count();
    let shut = held.is_empty() || held.iter().any(|words| words.ends_with("none"));
    let ink = if shut { Ink::Bad } else { Ink::Good };
    (ink, format!("{writer}: {}; granted by {voters} voters", held.join(", ")))
}

/// What holds the mesh back from acting by itself.
pub fn restraints(
    sheet: &mut Sheet,
    indent: usize,
    freeze: Option<&FreezeView>,
    damping: &DampingView,
) {
    if let Some(FreezeView { by, reason, until_wall_ms, .. }) = freeze {
        let until = clock(*until_wall_ms);
        let until = &until[..until.len().min(19)];
        sheet.labelled(
            indent,
            "frozen",
            Ink::Wary,
            &format!("by {by} until {until} UTC: {reason}"),
        );
    }
    let count = damping.history.len();
    if count == 0 {
        return;
    }
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let aborted = damping.history.iter().filter(|damped| damped.aborted).count();
    let back = if aborted == 0 { String::new() } else { format!(" ({aborted} taken back)") };
    let waits = match (damping.flapping, damping.cooling_ms) {
        (true, _) => "held as flapping until `quorate ack`".to_owned(),
        (false, 0) => "cooled down".to_owned(),
        (false, left) => format!("cooling down for {} s", left.div_ceil(1_000)),
    };
    let ink = if damping.flapping { Ink::Bad } else { Ink::Faint };
    let words = format!("the mesh acted by itself {times}{back}: {waits}");
    sheet.labelled(indent, "damping", ink, &words);
}

/// The width of `down 4, up 1, degraded 1`.
const SEEN: usize = 18;

fn stack_lines(sheet: &mut Sheet, app: &AppView, stack: &StackView) {
    sheet.put(Ink::Plain, "  ").cell(Ink::Strong, stack.stack.as_str(), 24);
    sheet.put(Ink::Plain, if stack.active { "active " } else { "standby" });
    for (part, verdict) in [("web", stack.web), ("data", stack.data)] {
        let Some(verdict) = verdict else { continue };
        let (ink, word) = verdict_word(verdict);
        sheet.put(Ink::Plain, "  ").put(Ink::Plain, part).put(Ink::Plain, " ").put(ink, word);
    }
    if let (false, Some(why)) = (stack.active, stack.unfit.first()) {
        let more = match stack.unfit.len() {
            1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        sheet.put(Ink::Wary, &format!("  unfit: {}{more}", fit(why, 30)));
    }
    sheet.end();
    let names = widest(stack.targets.iter().map(|target| target.target.as_str()), 20);
    let left = WIDTH - 4 - names - 2 - SEEN - 2;
    let remarks: Vec<_> = stack.targets.iter().map(|target| remark(app, target)).collect();
    let width = widest(remarks.iter().map(String::as_str), left - 14).max(34);
    for (target, remark) in stack.targets.iter().zip(&remarks) {
        let (ink, seen) = seen(target);
        sheet.put(Ink::Plain, "    ").cell(Ink::Plain, target.target.as_str(), names);
        sheet.cell(ink, &seen, SEEN);
        sheet.cell(Ink::Plain, remark, width);
        sheet.put(Ink::Faint, &fit(&target.address, left - width - 2)).end();
    }
}

/// A verdict in a word, and its colour.
pub fn verdict_word(verdict: Verdict) -> (Ink, &'static str) {
    match verdict {
        Verdict::Down => (Ink::Bad, "down"),
        Verdict::Contested => (Ink::Wary, "contested"),
        Verdict::Standing => (Ink::Good, "standing"),
    }
}

/// The colour of a belief.
pub fn health_ink(health: Health) -> Ink {
    match health {
        Health::Up => Ink::Good,
        Health::Degraded => Ink::Wary,
        Health::Down => Ink::Bad,
        Health::Unknown => Ink::Faint,
    }
}

/// How many see it how, the most frequent first: `down 4, up 1`.
fn seen(target: &TargetView) -> (Ink, String) {
    let mut counts: BTreeMap<Health, usize> = BTreeMap::new();
    for belief in target.beliefs.values() {
        *counts.entry(belief.health).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut words = String::new();
    for (health, count) in &counts {
        let comma = if words.is_empty() { "" } else { ", " };
        write!(words, "{comma}{health} {count}").expect("a string");
    }
    match counts.as_slice() {
        [] => (Ink::Faint, "nobody looked yet".into()),
        [(health, _)] => (health_ink(*health), words),
        [(Health::Up, _), ..] => (Ink::Wary, words),
        [(health, _), ..] => (health_ink(*health), words),
    }
}

/// The one thing to know about a target: its fault, where it lags, or how fast it is.
fn remark(app: &AppView, target: &TargetView) -> String {
    let counted = || target.beliefs.values().filter(|belief| belief.counts);
    let worst =
        counted().filter(|belief| belief.fault.is_some()).max_by_key(|belief| belief.health);
    if let Some(BeliefView { fault: Some(fault), quiet_ms, .. }) = worst {
        return match quiet_ms {
            Some(quiet) => format!("{fault}, up {} ago", span(*quiet)),
            None => fault.to_string(),
        };
    }
    let sight = counted().find_map(|belief| belief.database.as_ref());
    match sight {
        Some(sight) if sight.replica => {
            let streaming = if sight.streaming { "streaming" } else { "not streaming" };
            match behind(app, target) {
                Some(lag) => format!("replica, {streaming}, {} behind", bytes(lag)),
                None => format!("replica, {streaming}"),
            }
        }
        Some(sight) if sight.read_only => "primary, read-only".into(),
        Some(_) => "primary".into(),
        None => {
            let took: Vec<_> = counted().filter_map(|belief| belief.took_ms).collect();
            let slowest = took.iter().copied().fold(0.0, f64::max);
            if took.is_empty() { String::new() } else { format!("{slowest:.0} ms") }
        }
    }
}

/// The bytes that a replica has not received of what is the primary's log, as far as anybody sees.
fn behind(app: &AppView, replica: &TargetView) -> Option<u64> {
    let sights = |target: &TargetView, wanted: bool| {
        let sights = target.beliefs.values().filter_map(|belief| belief.database.as_ref());
        sights.filter(|sight| sight.replica == wanted).map(|sight| sight.position).max()
    };
    let primary = app
        .stacks
        .iter()
        .flat_map(|stack| &stack.targets)
        .filter(|target| target.target == replica.target)
        .filter_map(|target| sights(target, false))
        .max()?;
    Some(primary.saturating_sub(sights(replica, true)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::golden;
    use crate::status::fixture;

    #[test]
    fn one_look_tells_what_is_wrong() {
        golden::same("status.txt", &sheet(&fixture::view(), &fixture::beside(), "0.1.0", false));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let mut view = fixture::view();
        let long = fixture::name::<StackId>(&"x".repeat(63));
        view.apps[1].stacks[0].stack = long.clone();
        view.apps[1].active = long;
        view.apps[1].next = "word ".repeat(60);
        for line in sheet(&view, &fixture::beside(), "0.1.0", false).lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
