//! `quorate voters`: who votes, and how that is changed.
//!
//! What a change makes of the mesh's chances is worked out here and said before anything is asked of the voters; whether
//! it may be made is for the voters to say.

mod set;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;
use consensus::model::{AgentId, VotersChange};
use consensus::view::{View, VotersView};
use serde_json::{Value, json};

use super::client::{AgentArgs, Client};
use super::moving::Outcome;
use super::table::{Ink, Out, Sheet, span, widest};
use super::{failed, invalid, question};
use crate::status::VOTERS_LIMIT;
use set::Set;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// The client waits a little longer than the agent, so that it hears what the agent makes of a long wait.
const GRACE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  quorate voters list
  quorate voters replace ams-1           its disk was lost: take in the fresh store that stands by
  quorate voters replace ams-1 par-1     its host is gone: par-1 votes in its place
  quorate voters add par-1 && quorate voters add osl-1";

/// What `quorate voters` takes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show who votes, who stands by, and what the set could be better at
    List(List),
    /// Let an agent vote that stands by
    Add(Add),
    /// Let an agent vote no more
    Remove(Remove),
    /// Let one agent vote in the place of another, or an agent's fresh store in the place of the one it lost
    Replace(Replace),
}

#[derive(clap::Args)]
struct List {
    /// Print the agent's document as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

#[derive(clap::Args)]
struct Add {
    /// The agent
    name: AgentId,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args)]
struct Remove {
    /// The agent
    name: AgentId,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args)]
struct Replace {
    /// The agent that votes now
    old: AgentId,
    /// The agent that is to vote in its place [default: the same, with the fresh store that stands by]
    new: Option<AgentId>,
    #[command(flatten)]
    how: How,
}

/// How a change is made.
#[derive(clap::Args)]
struct How {
    /// Show what would change, and stop
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Args {
    /// Which agent is asked.
    pub fn agent_args(&mut self) -> &mut AgentArgs {
        match &mut self.verb {
            Verb::List(args) => &mut args.agent,
            Verb::Add(args) => &mut args.how.agent,
            Verb::Remove(args) => &mut args.how.agent,
            Verb::Replace(args) => &mut args.how.agent,
        }
    }
}

/// Lists or changes them.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    match &args.verb {
        Verb::List(args) => list(args, out).await,
        Verb::Add(Add { name, how }) => {
            change(&VotersChange::Add { agent: name.clone() }, how, out).await
        }
        Verb::Remove(Remove { name, how }) => {
            change(&VotersChange::Remove { agent: name.clone() }, how, out).await
        }
        Verb::Replace(Replace { old, new, how }) => {
            let new = new.as_ref().unwrap_or(old).clone();
            change(&VotersChange::Replace { old: old.clone(), new }, how, out).await
        }
    }
}

async fn list(args: &List, out: &mut Out<'_>) -> ExitCode {
    let client = args.agent.client();
    let printed = match args.json {
        true => client.get("/api/v1/voters").await.map(|voters| out.json(&voters)),
        false => {
            let view = client.read::<View>("/api/v1/status").await;
            view.map(|view| out.print(&sheet(&view, out.colour)))
        }
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

async fn change(change: &VotersChange, how: &How, out: &mut Out<'_>) -> ExitCode {
    let client = how.agent.client();
    let view: View = match client.read("/api/v1/status").await {
        Ok(view) => view,
        Err(error) => return failed(error),
    };
    let before = Set::of(&view);
    let after = match before.after(change, &view) {
        Ok(after) => after,
        Err(why) => return invalid(why),
    };
    if !how.json {
        out.print(&plan(change, &view.voters, &before, &after, out.colour));
    }
    if how.dry_run {
        if how.json {
            out.json(&json!({
                "change": change,
                "before": before.json(),
                "after": after.json(),
                "version": view.voters.version,
                "made": false,
            }));
        }
        return ExitCode::SUCCESS;
    }
    if let Err(end) = question::confirmed(how.yes, &format!("voters: {change}?")) {
        return end;
    }
    match ask(&client, change, &view.voters, how, out).await {
        Err(error) => failed(error),
        Ok((status, body)) => {
            let version = body["version"].as_u64().filter(|_| status == 200);
            match version {
                Some(_) if how.json => out.json(&json!({
                    "change": change,
                    "before": before.json(),
                    "after": after.json(),
                    "version": version,
                    "made": true,
                })),
                Some(version) => out.print(&format!("done: voters version {version}\n")),
                None => return complain(status, &body, how, out),
            }
            ExitCode::SUCCESS
        }
    }
}

/// Asks, and shows what happens meanwhile: a change takes its time.
async fn ask(
    client: &Client,
    change: &VotersChange,
    before: &VotersView,
    how: &How,
    out: &mut Out<'_>,
) -> Result<(u16, Value), super::client::ClientError> {
    let body = serde_json::to_string(change).expect("plain data");
    let limit = VOTERS_LIMIT + GRACE;
    let asked = client.post_within(limit, "/api/v1/voters", "application/json", body);
    let mut asked = std::pin::pin!(asked);
    let begun = Instant::now();
    let mut shown = before.version;
    loop {
        tokio::select! {
            answer = &mut asked => return answer,
            () = tokio::time::sleep(LOOK) => {}
        }
        let Ok(now) = client.read::<VotersView>("/api/v1/voters").await else { continue };
        if now.version != shown && !how.json {
            shown = now.version;
            out.print(&progress(&now, begun.elapsed(), out.colour));
        }
    }
}

fn progress(now: &VotersView, after: Duration, colour: bool) -> String {
    let mut sheet = Sheet::new(colour);
    let ms = after.as_millis();
    sheet.put(Ink::Faint, &format!("{:>5}.{:03} s  ", ms / 1_000, ms % 1_000));
    sheet.put(Ink::Strong, &format!("version {}  ", now.version));
    let words = match &now.changing {
        Some(_) => "both sets vote while every register is carried over",
        None => "the new set votes alone",
    };
    sheet.put(Ink::Plain, words).end();
    sheet.finish()
}

fn complain(status: u16, body: &Value, how: &How, out: &mut Out<'_>) -> ExitCode {
    let outcome = Outcome::of(status, body);
    if how.json {
        out.json(&outcome.json());
    }
    match outcome {
        Outcome::Unchanged => {
            if !how.json {
                out.print("nothing to change\n");
            }
            ExitCode::SUCCESS
        }
        Outcome::Unknown(why) => failed(format!(
            "it may or may not be done ({why}); whoever sees it half done carries on: see `quorate voters list`"
        )),
        other => other.complain(),
    }
}

/// What a change makes of the voters, and of the mesh's chances.
fn plan(
    change: &VotersChange,
    voters: &VotersView,
    before: &Set,
    after: &Set,
    colour: bool,
) -> String {
    let mut sheet = Sheet::new(colour);
    sheet.put(Ink::Strong, &format!("{change}")).put(Ink::Faint, "  voters version ");
    sheet.put(Ink::Faint, &voters.version.to_string()).end();
    match before == after {
        true => sheet.labelled(2, "voters", Ink::Plain, &before.words()),
        false => {
            sheet.labelled(2, "before", Ink::Faint, &before.words());
            sheet.labelled(2, "after", Ink::Plain, &after.words());
        }
    }
    for advice in after.advice() {
        let known = before.advice().contains(&advice);
        sheet.labelled(2, "careful", if known { Ink::Faint } else { Ink::Wary }, &advice);
    }
    for gone in before.advice().iter().filter(|gone| !after.advice().contains(gone)) {
        sheet.labelled(2, "no longer", Ink::Faint, gone);
    }
    sheet.finish()
}

/// Everybody who votes or could.
pub fn sheet(view: &View, colour: bool) -> String {
    let voters = &view.voters;
    let mut sheet = Sheet::new(colour);
    sheet.put(Ink::Strong, &format!("voters version {}", voters.version));
    sheet.put(Ink::Plain, &format!("  {}", Set::of(view).strength()));
    sheet.put(Ink::Faint, &format!("  as {} in {} sees it", view.agent, view.region)).end();
    if let Some(changing) = &voters.changing {
        sheet.labelled(0, "changing", Ink::Wary, changing);
    }
    sheet.end();
    let regions = voters.members.iter().map(|voter| voter.region.as_str());
    let agents = voters.members.iter().map(|voter| voter.agent.as_str());
    let regions = widest(regions.chain(["REGION"]), 16);
    let agents = widest(agents.chain(["AGENT"]), 20);
    sheet.cell(Ink::Faint, "REGION", regions).cell(Ink::Faint, "AGENT", agents);
    sheet.cell(Ink::Faint, "STORE", 8).put(Ink::Faint, "HEARD").end();
    let mut members: Vec<_> = voters.members.iter().collect();
    members.sort_by(|a, b| (&a.region, &a.agent).cmp(&(&b.region, &b.agent)));
    for voter in members {
        sheet.cell(Ink::Plain, voter.region.as_str(), regions);
        sheet.cell(Ink::Strong, voter.agent.as_str(), agents);
        sheet.cell(Ink::Plain, &voter.acceptor, 8);
        let (ink, heard) = match (voter.heard, voter.silent_ms) {
            (true, _) if voter.agent == view.agent => (Ink::Good, "itself".to_owned()),
            (true, _) => (Ink::Good, "yes".to_owned()),
            (false, Some(ms)) => (Ink::Bad, format!("silent for {}", span(ms))),
            (false, None) => (Ink::Bad, "never".to_owned()),
        };
        sheet.put(ink, &heard);
        if let Some(moving) = set::moving(voter) {
            sheet.put(Ink::Wary, &format!(", {moving}"));
        }
        sheet.end();
        if let Some(fresh) = &voter.standby_store {
            let words = format!(
                "  its fresh store {fresh} stands by: `quorate voters replace {}` takes it in",
                voter.agent
            );
            sheet.put(Ink::Wary, &words).end();
        }
    }
    let others = voters.standing_by.iter();
    let others = others.filter(|agent| !voters.members.iter().any(|voter| voter.agent == **agent));
    let others: Vec<_> = others.map(ToString::to_string).collect();
    if !others.is_empty() || !voters.advice.is_empty() {
        sheet.end();
    }
    if !others.is_empty() {
        let words = format!("{}: `quorate voters add NAME` lets one vote", others.join(", "));
        sheet.labelled(0, "standby", Ink::Plain, &words);
    }
    for advice in &voters.advice {
        sheet.labelled(0, "careful", Ink::Wary, advice);
    }
    sheet.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::golden;
    use crate::status::fixture::{self, name};
    use consensus::view::Moving;

    #[test]
    fn everybody_who_votes_or_could_is_listed() {
        let mut view = fixture::view();
        let mut text = sheet(&view, false);
        view.voters.changing = Some("replace sgp-1 by fra-2".into());
        view.voters.members[4].moving = Some(Moving::Leaving);
        view.voters.members[4].standby_store = None;
        text += "\n";
        text += &sheet(&view, false);
        golden::same("voters.txt", &text);
    }

    #[test]
    fn a_change_is_told_with_what_it_makes_of_the_chances() {
        let view = fixture::view();
        let before = Set::of(&view);
        let mut text = String::new();
        let (old, new): (AgentId, AgentId) = (name("sgp-1"), name("fra-2"));
        for change in [
            VotersChange::Remove { agent: old.clone() },
            VotersChange::Replace { old: old.clone(), new: old.clone() },
            VotersChange::Replace { old, new },
        ] {
            let after = before.after(&change, &view).expect("it may be");
            text += &plan(&change, &view.voters, &before, &after, false);
        }
        text += &progress(&view.voters, Duration::from_millis(10_412), false);
        golden::same("voters-change.txt", &text);
    }
}
