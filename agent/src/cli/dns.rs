//! `quorate dns diff|verify|export APP`: what was decided for an app's names, beside what others hold and say.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use consensus::failover::plan;
use consensus::model::{self, AppId, Effect, Published};
use consensus::view::AppView;
use serde_json::json;

use super::client::AgentArgs;
use super::failed;
use super::plan::{Defined, defined};
use super::table::{Ink, Out, Sheet};
use crate::config::{self, Credentials};
use crate::{actors, records};

/// What `quorate dns` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Read what whoever holds the zones has, with this agent's credentials; 2 if it is not what was decided, 1 if it cannot
    /// be known
    Diff(Held),
    /// Ask every name server of the zones, from this host: of what drivers publish, and of what agents answer themselves; 1 if
    /// one says something else, or none is found
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

#[derive(clap::Args)]
struct Held {
    /// The agent's file, which names the credentials
    #[arg(long, short, value_name = "FILE", default_value = "/etc/quorate/agent.toml")]
    config: PathBuf,
    #[command(flatten)]
    names: Names,
}

impl What {
    fn names(&self) -> &Names {
        match self {
            Self::Diff(held) => &held.names,
            Self::Verify(names) | Self::Export(names) => names,
        }
    }
}

impl Args {
    /// Which agent is asked.
    pub(super) fn agent(&mut self) -> &mut AgentArgs {
        match &mut self.what {
            What::Diff(held) => &mut held.names.agent,
            What::Verify(names) | What::Export(names) => &mut names.agent,
        }
    }
}

/// Reads what was decided, and compares or prints it.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let names = args.what.names();
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
    match &args.what {
        What::Diff(held) => match config::read_agent(&held.config) {
            Ok(config) => diff(&decided, &view, config.credentials, names.json, out).await,
            Err(faults) => failed(faults),
        },
        What::Export(_) => export(&decided, &view, names.json, out),
        What::Verify(_) => verify(&decided, &view, names.json, out).await,
    }
}

fn export(decided: &Defined, view: &AppView, json: bool, out: &mut Out<'_>) -> ExitCode {
    let answers = plan::answers(&decided.definition, &view.active, 0);
    let mut lines = Vec::new();
    for ((name, _), sets) in &answers {
        for set in sets {
            let line = |data| {
                format!("{name}. {} IN {} {}", set.ttl, set.kind, records::in_master_file(data))
            };
            lines.extend(set.data.iter().map(line));
        }
    }
    match json {
        true => out.json(&json!({ "app": view.app, "stack": view.active, "records": lines })),
        false => out.print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
    }
    ExitCode::SUCCESS
}

async fn diff(
    decided: &Defined,
    view: &AppView,
    credentials: Credentials,
    json: bool,
    out: &mut Out<'_>,
) -> ExitCode {
    let publications = plan::published(&decided.definition, &view.active, view.shortened);
    let token = actors::published_under(view);
    let seen = actors::ask_holders(&view.app, token, publications, Arc::new(credentials)).await;
    let lines = seen.iter().map(|it| match &it.held {
        model::Held::AsDecided => (Ink::Good, "same", "as decided".to_owned()),
        model::Held::Owed(what) | model::Held::Otherwise(what) => {
            (Ink::Wary, "differs", what.clone())
        }
        model::Held::Unknown(what) => (Ink::Bad, "unknown", what.clone()),
        model::Held::Unasked => {
            let why = "not read: this agent lacks the credential, or nobody can be asked, as of a webhook";
            (Ink::Bad, "unknown", why.to_owned())
        }
    });
    let lines: Vec<_> = lines.collect();
    let found = |word| lines.iter().any(|(_, it, _)| *it == word);
    match json {
        true => {
            let name = |(it, (_, word, words)): (&Published, &(Ink, &str, String))| json!({ "name": it.name, "found": word, "words": words });
            let names: Vec<_> = seen.iter().zip(&lines).map(name).collect();
            out.json(&json!({ "app": view.app, "stack": view.active, "names": names }));
        }
        false => {
            let mut sheet = Sheet::new(out.colour);
            if seen.is_empty() {
                let words =
                    format!("{}: others hold no record of it, only agents answer", view.app);
                sheet.put(Ink::Plain, &words);
                sheet.end();
            }
            for (it, (ink, _, words)) in seen.iter().zip(&lines) {
                sheet.put(*ink, &format!("{}: {words}", it.name));
                sheet.end();
            }
            out.print(&sheet.finish());
        }
    }
    match (found("differs"), found("unknown")) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::SUCCESS,
    }
}

async fn verify(decided: &Defined, view: &AppView, json: bool, out: &mut Out<'_>) -> ExitCode {
    let publications: Vec<Effect> =
        plan::published(&decided.definition, &view.active, view.shortened);
    let token = actors::published_under(view);
    let mut seen = actors::ask_servers(&view.app, token, publications).await;
    seen.extend(actors::ask_delegated(&decided.definition, &view.active, token).await);
    let well = seen.iter().all(|it| it.wrong.is_empty() && 0 < it.right);
    match json {
        true => {
            let names: Vec<_> = seen.iter().map(document).collect();
            out.json(&json!({ "app": view.app, "stack": view.active, "names": names }));
        }
        false => {
            let mut sheet = Sheet::new(out.colour);
            for it in &seen {
                let all = it.right + it.wrong.len();
                let (ink, words) = match (all, it.wrong.is_empty()) {
                    (0, _) => {
                        (Ink::Bad, "no name server of its zone is found from here".to_owned())
                    }
                    (_, well) => (
                        if well { Ink::Good } else { Ink::Wary },
                        format!("{} of {all} name servers say so", it.right),
                    ),
                };
                sheet.put(ink, &format!("{}: {words}", it.name));
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
