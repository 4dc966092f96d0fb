//! `quorate history`: decisions, refusals and steps, each with its time after the decision.

use std::collections::BTreeMap;
use std::process::ExitCode;

use consensus::model::{AppId, AppState, Epoch};

use super::client::AgentArgs;
use super::table::{Ink, Out, Sheet, WIDTH, clock, widest, wrap};
use crate::status::history::{Entry, Story};

/// What `quorate history` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this app
    pub app: Option<AppId>,
    /// Only this decision, whole, with its evidence
    #[arg(long, value_name = "N")]
    pub epoch: Option<u32>,
    /// At most so many entries, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// The agent to ask
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Print the agent's document as it is
    #[arg(long)]
    pub json: bool,
}

/// Asks, and prints.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let client = args.agent.client();
    let mut path = format!("/api/v1/history?limit={}", args.limit);
    if let Some(app) = &args.app {
        path.push_str(&format!("&app={app}"));
    }
    if let Some(epoch) = args.epoch {
        path.push_str(&format!("&epoch={epoch}"));
    }
    let printed = match args.json {
        true => client.get(&path).await.map(|story| out.json(&story)),
        false => client.read(&path).await.map(|story| out.print(&sheet(&story, out.colour))),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(format_args!("quorate: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Everything, for a person.
pub fn sheet(story: &Story, colour: bool) -> String {
    let mut sheet = Sheet::new(colour);
    for state in &story.states {
        decision(&mut sheet, state);
    }
    if story.entries.is_empty() {
        sheet.put(Ink::Plain, "nothing of that kind is in this agent's history").end();
    }
    lines(&mut sheet, &story.entries);
    if story.garbled + story.lost > 0 {
        let words = format!(
            "{} lines could not be written, {} not be read: the history has holes",
            story.lost, story.garbled
        );
        sheet.put(Ink::Wary, &words).end();
    }
    sheet.finish()
}

fn decision(sheet: &mut Sheet, state: &AppState) {
    let decision = &state.decision;
    let words = format!("{} epoch {}, {}", state.definition.name, state.epoch, state.phase);
    sheet.put(Ink::Strong, &words).end();
    let way = format!("{} {} → {}", decision.kind, decision.from, decision.to);
    sheet.labelled(2, "decided", Ink::Plain, &format!("{way} by {}", decision.by));
    sheet.labelled(2, "because", Ink::Plain, &decision.reason);
    for (when, found) in [("first", &decision.first), ("second", &decision.second)] {
        if let Some(found) = found {
            let agents = found.evidence.iter().map(|evidence| evidence.statement.agent.as_str());
            let agents = agents.collect::<Vec<_>>().join(", ");
            let words = format!("signed by {agents} for ballot {}", found.ballot);
            sheet.labelled(2, when, Ink::Plain, &words);
        }
    }
    let app = &state.definition.name;
    let hint = format!("`quorate explain {app} --epoch {}` shows who saw what", state.epoch);
    sheet.labelled(2, "more", Ink::Faint, &hint);
    sheet.end();
}

/// One line an entry: when, which app and decision, how long after it was learnt, what.
pub fn lines(sheet: &mut Sheet, entries: &[Entry]) {
    const TIME: usize = 23;
    const AFTER: usize = 8;
    let apps = widest(entries.iter().filter_map(|e| e.app.as_ref()).map(AppId::as_str), 16).max(3);
    let left = WIDTH - TIME - apps - AFTER - 5 - 8;
    if !entries.is_empty() {
        sheet.cell(Ink::Faint, "TIME (UTC)", TIME).cell(Ink::Faint, "APP", apps);
        sheet.cell(Ink::Faint, "EPOCH", 5).cell(Ink::Faint, "   AFTER", AFTER);
        sheet.put(Ink::Faint, "WHAT").end();
    }
    let mut begun: BTreeMap<(&AppId, Epoch), u64> = BTreeMap::new();
    for entry in entries {
        let after = entry.app.as_ref().zip(entry.epoch).map(|decision| {
            let since = *begun.entry(decision).or_insert(entry.wall_ms);
            format!("{:>+8.3}", entry.wall_ms.saturating_sub(since) as f64 / 1_000.0)
        });
        let epoch = entry.epoch.map_or_else(String::new, |epoch| epoch.to_string());
        for (number, line) in wrap(&entry.text, left).iter().enumerate() {
            match number {
                0 => {
                    sheet.cell(Ink::Plain, &clock(entry.wall_ms), TIME);
                    let app = entry.app.as_ref().map_or("", AppId::as_str);
                    sheet.cell(Ink::Plain, app, apps).cell(Ink::Plain, &epoch, 5);
                    sheet.cell(Ink::Plain, after.as_deref().unwrap_or(""), AFTER);
                }
                _ => {
                    sheet.cell(Ink::Plain, "", TIME).cell(Ink::Plain, "", apps);
                    sheet.cell(Ink::Plain, "", 5).cell(Ink::Plain, "", AFTER);
                }
            }
            sheet.put(ink(entry), line).end();
        }
    }
}

fn ink(entry: &Entry) -> Ink {
    match entry.event.as_str() {
        "learns" => Ink::Strong,
        "resolvers-followed" | "weak-door-opened" => Ink::Good,
        "alarm" | "refuses" => Ink::Bad,
        "suspects" | "holds" | "gives-up" | "abstains" | "misses" | "resolvers-given-up"
        | "weak-door-shut" => Ink::Wary,
        "reports" if entry.detail["what"]["Ok"].is_null() => Ink::Bad,
        _ => Ink::Plain,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use consensus::model::Phase;

    use super::*;
    use crate::cli::golden;
    use crate::run::Agreed;
    use crate::status::fixture;
    use crate::status::history::{History, Question};
    use crate::tails::Ending;

    /// The fixture's night, as a history tells it.
    pub fn entries() -> Vec<Entry> {
        story().entries
    }

    fn story() -> Story {
        let folder = tempfile::tempdir().expect("a folder");
        let agreed = tokio::sync::watch::channel(Arc::<Agreed>::default()).1;
        let history = History::open(folder.path(), agreed);
        for event in fixture::events() {
            history.event(&event);
        }
        history.state(&fixture::shop_state(Phase::Idle));
        history.tail(&fixture::ended(Ending::Followed), fixture::NIGHT + 61_300);
        history.close();
        let question =
            Question { app: Some(fixture::name("shop")), epoch: Some(Epoch(4)), limit: 100 };
        history.ask(&question)
    }

    #[test]
    fn a_failover_is_told_with_its_timings() {
        let story = story();
        golden::same("history.txt", &sheet(&story, false));
        let text = serde_json::to_string_pretty(&story).expect("plain data");
        golden::same("history.json", &format!("{text}\n"));
    }
}
