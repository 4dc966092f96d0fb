//! What wants looking at, the worst first: for people, and as one line for monitoring plugins.

use consensus::model::{Abstention, Phase, TargetId, Verdict, Warning};
use consensus::view::{AppView, MemberView, StackView, View};

use super::table::Ink;
use crate::guard::{DoorMeans, GuardView};
use crate::readiness::UnreadyView;
use crate::status::Beside;

/// How bad it is; the number is the monitoring plugin's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Nothing to do.
    Ok = 0,
    /// Look in the morning.
    Warning = 1,
    /// Look now.
    Critical = 2,
}

impl Grade {
    /// As it stands before a finding.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Its colour.
    pub fn ink(self) -> Ink {
        match self {
            Self::Ok => Ink::Good,
            Self::Warning => Ink::Wary,
            Self::Critical => Ink::Bad,
        }
    }
}

/// Everything that wants looking at, the worst first.
pub fn findings(view: &View, beside: &Beside) -> Vec<(Grade, String)> {
    let mut found = Vec::new();
    let quorum = &view.quorum;
    if quorum.heard < quorum.needed {
        let why = quorum.why.clone().unwrap_or_else(|| {
            format!("{} of {} voters heard, {} needed", quorum.heard, quorum.voters, quorum.needed)
        });
        found.push((Grade::Critical, format!("no quorum, nothing will be moved: {why}")));
    }
    if let (true, Some(why)) = (view.voter, view.abstention) {
        found.push((Grade::Warning, format!("{} does not vote: {why}", view.agent)));
    }
    if !view.voter && view.abstention == Some(Abstention::StandingBy) {
        let words = format!("{0} stands by: `quorate voters add {0}` lets it vote", view.agent);
        found.push((Grade::Warning, words));
    }
    about_voters(view, &mut found);
    about_doors(&beside.guard, &mut found);
    let unheard =
        |member: &&MemberView| member.voter && !member.heard && member.agent != view.agent;
    let lost: Vec<_> = view.members.iter().filter(unheard).collect();
    if !lost.is_empty() && quorum.needed <= quorum.heard {
        let names: Vec<_> = lost.iter().map(|member| member.agent.as_str()).collect();
        let margin = quorum.heard - quorum.needed;
        let words = format!("not heard: {}; {margin} more may fail", names.join(", "));
        found.push((Grade::Warning, words));
    }
    for app in &view.apps {
        about_app(app, &mut found);
    }
    for it in &beside.readiness {
        found.push((Grade::Warning, format!("{}: {}", it.app, unready_words(it))));
    }
    found.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
    found
}

fn about_voters(view: &View, found: &mut Vec<(Grade, String)>) {
    if let Some(changing) = &view.voters.changing {
        found.push((Grade::Warning, format!("the voters are being changed: {changing}")));
    }
    for voter in view.voters.members.iter().filter(|voter| voter.standby_store.is_some()) {
        let agent = &voter.agent;
        let words = format!(
            "{agent} does not vote: its store was lost; `quorate voters replace {agent}` takes in its fresh one"
        );
        found.push((Grade::Warning, words));
    }
}

fn about_doors(guard: &GuardView, found: &mut Vec<(Grade, String)>) {
    if let Some(trouble) = &guard.trouble {
        let words = format!("the doors here may stand open: their rules cannot be laid: {trouble}");
        found.push((Grade::Critical, words));
    }
    for door in &guard.doors {
        if let Some(trouble) = &door.trouble {
            let sort = match door.by {
                DoorMeans::Nftables => "door",
                DoorMeans::Engine => "weak door",
            };
            let words = format!("the {sort} of {}/{} here: {trouble}", door.app, door.database);
            found.push((Grade::Critical, words));
        }
    }
    let watchdog = guard.watchdog.as_ref();
    if let Some(trouble) = watchdog.and_then(|watchdog| watchdog.trouble.as_ref()) {
        found.push((Grade::Critical, format!("the watchdog here: {trouble}")));
    }
}

fn about_app(app: &AppView, found: &mut Vec<(Grade, String)>) {
    let name = &app.app;
    if app.phase != Phase::Idle {
        let decision = &app.decision;
        let way = match decision.from == decision.to {
            true => format!("on {}", decision.to),
            false => format!("{} → {}", decision.from, decision.to),
        };
        let who = app.executor.as_ref().map_or("nobody yet", |agent| agent.as_str());
        let words = format!("{name}: {} {way}, {}, carried out by {who}", decision.kind, app.phase);
        found.push((Grade::Critical, words));
    }
    let down: Vec<_> = app.stacks.iter().filter(|stack| worst(stack) == Verdict::Down).collect();
    for stack in &app.stacks {
        let verdict = worst(stack);
        let words = match (stack.active, verdict) {
            (true, Verdict::Down) if app.phase == Phase::Idle => {
                format!("{name}: {} is down: {}", stack.stack, app.next)
            }
            (true, Verdict::Contested) => {
                format!("{name}: {} is contested: {}", stack.stack, app.next)
            }
            (false, Verdict::Down) => format!("{name}: standby {} is down", stack.stack),
            _ => continue,
        };
        let grade = if stack.active { Grade::Critical } else { Grade::Warning };
        found.push((grade, words));
    }
    if app.phase == Phase::Idle && down.is_empty() && !app.unready.is_empty() {
        let words = format!("{name}: a failover would not succeed: {}", app.unready.join("; "));
        found.push((Grade::Warning, words));
    }
    for warning in &app.warnings {
        found.push((Grade::Warning, format!("{name}: {}", warning_words(warning))));
    }
}

fn worst(stack: &StackView) -> Verdict {
    let verdicts = [stack.web, stack.data];
    let has = |wanted| verdicts.contains(&Some(wanted));
    match (has(Verdict::Down), has(Verdict::Contested)) {
        (true, _) => Verdict::Down,
        (false, true) => Verdict::Contested,
        (false, false) => Verdict::Standing,
    }
}

/// One line, as monitoring plugins print it.
pub fn check(view: &View, beside: &Beside) -> (Grade, String) {
    let found = findings(view, beside);
    let grade = found.first().map_or(Grade::Ok, |(grade, _)| *grade);
    let words = match found.is_empty() {
        true => format!("{} apps well, {}", view.apps.len(), quorum(view)),
        false => found.into_iter().map(|(_, words)| words).collect::<Vec<_>>().join("; "),
    };
    // What follows a bar would be read as figures.
    let words = super::table::clean(&words).replace('|', "/");
    let figures = format!(
        "voters_heard={};;{}:;0;{} apps={}",
        view.quorum.heard,
        view.quorum.needed,
        view.quorum.voters,
        view.apps.len()
    );
    (grade, format!("QUORATE {} - {words} | {figures}\n", grade.word().to_uppercase()))
}

/// How many voters are heard.
pub fn quorum(view: &View) -> String {
    let quorum = &view.quorum;
    format!("{} of {} voters heard, {} needed", quorum.heard, quorum.voters, quorum.needed)
}

/// What would keep a stack from serving, without the app's name, which stands above it.
pub fn unready_words(found: &UnreadyView) -> String {
    match &found.stack {
        Some(stack) => format!("{stack}, seen from here: {}", found.why),
        None => format!("any stack, seen from here: {}", found.why),
    }
}

/// A warning, without the app's name, which stands above it.
pub fn warning_words(warning: &Warning) -> String {
    let TargetId { stack, name, .. } = &warning.target;
    format!("{name} of {stack} {}", warning.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::golden;
    use crate::status::fixture;

    #[test]
    fn a_check_is_one_line_and_a_grade() {
        let (grade, line) = check(&fixture::view(), &fixture::beside());
        assert_eq!(grade, Grade::Critical);
        golden::same("check.txt", &line);

        let mut view = fixture::view();
        view.apps.remove(1);
        assert_eq!(check(&view, &Beside::default()).0, Grade::Warning);
        view.members.retain(|member| member.heard);
        view.quorum.heard = 5;
        view.voters.members.pop();
        assert_eq!(
            check(&view, &Beside::default()),
            (
                Grade::Ok,
                "QUORATE OK - 1 apps well, 5 of 5 voters heard, 3 needed | voters_heard=5;;3:;0;5 apps=1\n"
                    .into()
            )
        );
        view.quorum.heard = 2;
        assert_eq!(check(&view, &Beside::default()).0, Grade::Critical);
    }
}
