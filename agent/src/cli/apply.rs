//! `quorate apply FILE`: puts an app file before the voters, all or nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use consensus::model::StackId;
use serde_json::Value;

use super::client::AgentArgs;
use super::difference::difference;
use super::moving::Outcome;
use super::table::Out;
use super::{INVALID, failed, invalid, plan, question};
use crate::config;

/// What `quorate apply` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The app file
    file: PathBuf,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Of a new app: the stack that is live now [default: the first of the file]
    #[arg(long, value_name = "STACK")]
    active: Option<StackId>,
    /// Show what would change, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print the plan with its answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// Shows the plan, asks, and puts it before the voters.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let app = match config::read_app(&args.file) {
        Ok(app) => app,
        Err(faults) => {
            super::complain(&faults);
            return ExitCode::from(INVALID);
        }
    };
    let name = &app.definition.name;
    if let Some(active) = args.active.as_ref().filter(|it| app.definition.stack(it).is_none()) {
        let stacks: Vec<&str> = app.definition.stacks.iter().map(|it| it.name.as_str()).collect();
        return invalid(format!(
            "no stack is named `{active}`: expected one of {}",
            stacks.join(", ")
        ));
    }
    let client = args.agent.client();
    let defined = match plan::defined(&client, name).await {
        Ok(defined) => defined,
        Err(error) => return failed(error),
    };
    if args.active.is_some() && defined.is_some() {
        return invalid(format!(
            "`--active` says where a new app is live, and `{name}` is known: move it with `quorate switchover {name}`"
        ));
    }
    let changes = difference(defined.as_ref().map(|d| &d.definition), &app.definition);
    let mut document = plan::document(&app, defined.as_ref(), &changes);
    if !args.json {
        plan::print(&app, defined.as_ref(), &changes, out);
    }
    if changes.is_empty() || args.dry_run {
        if args.json {
            document["answer"] = match changes.is_empty() {
                true => Outcome::Unchanged.json(),
                false => Value::Null,
            };
            out.json(&document);
        }
        return ExitCode::SUCCESS;
    }
    let active = args.active.as_ref().unwrap_or(&app.definition.stacks[0].name);
    let asked = match defined {
        Some(_) => format!("apply {} to {name}?", args.file.display()),
        None => format!("add {name}, live on {active} now?"),
    };
    if let Err(end) = question::confirmed(args.yes, &asked) {
        return end;
    }
    let path = match &defined {
        Some(defined) => format!("/api/v1/apply?replaces={}", defined.revision),
        None => format!("/api/v1/apply?replaces=0&active={active}"),
    };
    let outcome = match client.post(&path, "application/toml", app.text.clone()).await {
        Ok((status, body)) => Outcome::of(status, &body),
        Err(error) => return failed(error),
    };
    if args.json {
        document["answer"] = outcome.json();
        out.json(&document);
    }
    let said = match &outcome {
        Outcome::Agreed { epoch, revision } => {
            format!("agreed: {name} is at revision {revision}, epoch {epoch}\n")
        }
        Outcome::Unchanged => "nothing to change\n".to_owned(),
        Outcome::Planned { .. } | Outcome::Refused(_) | Outcome::Unknown(_) => {
            return outcome.complain();
        }
    };
    if !args.json {
        out.print(&said);
    }
    ExitCode::SUCCESS
}
