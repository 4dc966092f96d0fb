//! What `freeze`, `unfreeze`, `ack` and `abort` have in common: ask the person, tell the mesh, say what became of it.

use std::process::ExitCode;

use consensus::model::{AppId, Phase};
use consensus::view::{AppView, View};
use serde_json::{Value, json};

use super::client::AgentArgs;
use super::moving::Outcome;
use super::table::Out;
use super::{failed, invalid, question};

/// How a person says something.
#[derive(clap::Args)]
pub struct Saying {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Show what would be done, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print the answers as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// What is said, of which apps.
pub struct Said<'a> {
    /// The last part of the path, and the verb's name.
    pub verb: &'a str,
    /// The app; every app if absent.
    pub app: Option<&'a AppId>,
    /// The rest of the command.
    pub body: Value,
    /// What would be done to an app, for the question and the dry run.
    pub would: &'a dyn Fn(&AppView) -> String,
    /// What was done, once it is agreed.
    pub done: &'a str,
    /// Only of apps at rest, as the mesh would refuse it of others?
    pub at_rest: bool,
}

/// Says it of every app that is meant.
pub async fn run(said: &Said<'_>, how: &Saying, out: &mut Out<'_>) -> ExitCode {
    let client = how.agent.client();
    let view: View = match client.read("/api/v1/status").await {
        Ok(view) => view,
        Err(error) => return failed(error),
    };
    let meant = |view: &&AppView| said.app.is_none_or(|app| view.app == *app);
    let views: Vec<&AppView> = view.apps.iter().filter(meant).collect();
    match (said.app, views.is_empty()) {
        (Some(app), true) => return invalid(format!("there is no app `{app}`")),
        (None, true) => return failed("there are no apps yet"),
        (_, false) => {}
    }
    if how.dry_run {
        return dry_run(said, &views, how.json, out);
    }
    let all: Vec<String> = views.iter().map(|view| (said.would)(view)).collect();
    if let Err(end) = question::confirmed(how.yes, &format!("{}?", all.join("; "))) {
        return end;
    }
    let mut answers = Vec::new();
    let mut end = ExitCode::SUCCESS;
    for view in views {
        let app = &view.app;
        let path = format!("/api/v1/apps/{app}/{}", said.verb);
        let outcome = match client.post(&path, "application/json", said.body.to_string()).await {
            Ok((status, body)) => Outcome::of(status, &body),
            Err(error) => return failed(error),
        };
        let mut answer = outcome.json();
        answer["app"] = json!(app);
        answers.push(answer);
        match (&outcome, how.json) {
            (Outcome::Agreed { .. }, false) => out.print(&format!("{app} {}\n", said.done)),
            (Outcome::Unchanged, false) => out.print(&format!("{app}: it is so already\n")),
            (Outcome::Agreed { .. } | Outcome::Unchanged, true) | (Outcome::Planned { .. }, _) => {}
            (Outcome::Refused(why), _) => end = failed(format!("{app}: refused: {why}")),
            (Outcome::Unknown(why), _) => {
                end = failed(format!("{app}: it may or may not have been agreed ({why})"));
            }
        }
    }
    if how.json {
        out.json(&json!({ "verb": said.verb, "apps": answers }));
    }
    end
}

fn dry_run(said: &Said<'_>, views: &[&AppView], as_json: bool, out: &mut Out<'_>) -> ExitCode {
    let refused = |view: &AppView| {
        (said.at_rest && view.phase != Phase::Idle)
            .then(|| format!("epoch {} is in progress ({})", view.epoch, view.phase))
    };
    if as_json {
        let apps = views.iter().map(
            |view| json!({ "app": view.app, "would": (said.would)(view), "refused": refused(view) }),
        );
        out.json(&json!({ "verb": said.verb, "dry_run": true, "apps": apps.collect::<Vec<_>>() }));
        return ExitCode::SUCCESS;
    }
    for view in views {
        let but = refused(view).map_or(String::new(), |why| format!(", and be refused: {why}"));
        out.print(&format!("would {}{but}\n", (said.would)(view)));
    }
    ExitCode::SUCCESS
}
