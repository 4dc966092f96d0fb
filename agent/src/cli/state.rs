//! `quorate state APP --stack S`: is this stack to act as the one that serves? For what must run once.

use std::path::PathBuf;
use std::process::ExitCode;

use consensus::model::{AppId, StackId};
use serde::Deserialize;
use serde_json::json;

use super::client::AgentArgs;
use super::table::Out;
use crate::clock;
use crate::standing::{self, Standing};

/// What `quorate state` takes.
#[derive(clap::Args)]
#[command(after_help = "0 if it is online, 1 if it is not or nobody can tell. In a crontab:\n  \
                        * * * * * quorate state shop --stack aws-east --quiet && send-mail")]
pub struct Args {
    /// The app
    app: AppId,
    /// The stack that this host belongs to
    #[arg(long)]
    stack: StackId,
    /// Read the files that the agent keeps here (`states` of `[status]`), and ask no agent
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Print nothing
    #[arg(long, short)]
    quiet: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub agent: AgentArgs,
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Told {
    Online { left_ms: u64 },
    Offline { why: String },
}

/// Asks, and says it.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let standing = match &args.folder {
        Some(folder) => {
            let file = standing::path(folder, &args.app, &args.stack);
            match std::fs::read_to_string(&file) {
                Ok(text) => standing::read(&text, clock::now()),
                Err(error) => {
                    Standing::Offline { why: format!("cannot read `{}`: {error}", file.display()) }
                }
            }
        }
        None => {
            let path = format!("/api/v1/apps/{}/state/{}", args.app, args.stack);
            match args.agent.client().read(&path).await {
                Ok(Told::Online { left_ms }) => Standing::Online { left_ms },
                Ok(Told::Offline { why }) => Standing::Offline { why },
                Err(error) => Standing::Offline { why: super::chain(&error) },
            }
        }
    };
    let words = match &standing {
        Standing::Online { left_ms } => format!("online, for another {} s\n", left_ms / 1000),
        Standing::Offline { why } => format!("offline: {why}\n"),
    };
    match (args.json, args.quiet) {
        (true, _) => out.json(&json!(standing)),
        (false, false) => out.print(&words),
        (false, true) => {}
    }
    match standing {
        Standing::Online { .. } => ExitCode::SUCCESS,
        Standing::Offline { .. } => ExitCode::FAILURE,
    }
}
