//! `quorate dns verify|export APP`: what was decided for an app's names, beside what their name servers say.

use std::process::ExitCode;

use consensus::failover::plan;
use consensus::model::{AppId, Effect, Published, Token};
use consensus::view::AppView;
use serde_json::json;

use super::client::AgentArgs;
use super::failed;
use super::plan::{Defined, defined};
use super::table::{Ink, Out, Sheet};
use crate::actors;

/// What `quorate dns` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Ask every name server of the zones that drivers publish in, from this host; 1 if one says something else
    Verify(Names),
    /// Print every record as it was decided, as a master file
    Export(Names),
}

#[derive(clap::Args)]
struct Names {
    /// The app
    app: AppId,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Args {
    /// Which agent is asked.
    pub(super) fn agent(&mut self) -> &mut AgentArgs {
        match &mut self.what {
            What::Verify(names) | What::Export(names) => &mut names.agent,
        }
    }
}

/// Reads what was decided, and compares or prints it.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let (What::Verify(names) | What::Export(names)) = &args.what;
    let client = names.agent.client();
    let view: AppView = match client.read(&format!("/api/v1/apps/{}", names.app)).await {
        Ok(view) => view,
        Err(error) => return failed(error),
    };
    let decided = match defined(&client, &names.app).await {
        Ok(Some(decided)) => decided,
        Ok(None) => return failed(format!("there is no app {}", names.app)),
        Err(error) => return failed(error),
    };
    match args.what {
        What::Export(_) => export(&decided, &view, names.json, out),
        What::Verify(_) => verify(&decided, &view, names.json, out).await,
    }
}

fn export(decided: &Defined, view: &AppView, json: bool, out: &mut Out<'_>) -> ExitCode {
    let answers = plan::answers(&decided.definition, &view.active);
    let mut lines = Vec::new();
    for ((name, _), sets) in &answers {
        for set in sets {
            let line = |data| format!("{name}. {} IN {} {data}", set.ttl, set.kind);
            lines.extend(set.data.iter().map(line));
        }
    }
    match json {
        true => out.json(&json!({ "app": view.app, "stack": view.active, "records": lines })),
        false => out.print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
    }
    ExitCode::SUCCESS
}

async fn verify(decided: &Defined, view: &AppView, json: bool, out: &mut Out<'_>) -> ExitCode {
    let publications: Vec<Effect> = plan::published(&decided.definition, &view.active);
    let token = Token::new(view.epoch, 0, 0);
    let seen = actors::ask_servers(&view.app, token, publications).await;
    let well = seen.iter().all(|it| it.wrong.is_empty());
    match json {
        true => {
            let names: Vec<_> = seen.iter().map(document).collect();
            out.json(&json!({ "app": view.app, "stack": view.active, "names": names }));
        }
        false => {
            let mut sheet = Sheet::new(out.colour);
            for it in &seen {
                let all = it.right + it.wrong.len();
                let ink = if it.wrong.is_empty() { Ink::Good } else { Ink::Wary };
                sheet.put(ink, &format!("{}: {} of {all} name servers say so", it.name, it.right));
                sheet.end();
                for wrong in &it.wrong {
                    sheet.put(Ink::Wary, &format!("  {wrong}"));
                    sheet.end();
                }
            }
            out.print(&sheet.finish());
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn document(it: &Published) -> serde_json::Value {
    json!({ "name": it.name, "right": it.right, "wrong": it.wrong })
}
