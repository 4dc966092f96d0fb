//! What `switchover` and `failover` have in common: ask the person, ask the mesh, show the phases as they pass.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use consensus::model::{AppId, Phase, RUNS_OUT_MOST, StackId};
use consensus::view::AppView;
use serde_json::{Value, json};

use super::client::{AgentArgs, Client};
use super::table::{Ink, Out, Sheet};
use super::{failed, invalid, question};

/// Between two looks at how far it is; a phase can be as short as a few milliseconds.
const LOOK: Duration = Duration::from_millis(50);

/// Which app, where to, and how.
#[derive(Clone, clap::Args)]
pub struct Moving {
    /// The app
    pub app: AppId,
    /// The stack to move to [default: the first other one that is fit]
    #[arg(long, value_name = "STACK")]
    pub to: Option<StackId>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
    /// Wait at most so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Print the answer, and the phases with their times, as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Agreed.
    Agreed {
        /// Under this epoch.
        epoch: u64,
        /// At this revision of the definition.
        revision: u64,
    },
    /// Agreed, and begun once answers of before have run out.
    Planned {
        /// In this epoch; the move is the next.
        epoch: u64,
        /// How long they are kept, in seconds.
        runs_out: u64,
    },
    /// What is asked for is so already.
    Unchanged,
    /// Not done, and why.
    Refused(String),
    /// It may or may not have been.
    Unknown(String),
}

impl Outcome {
    /// From an agent's answer.
    pub fn of(status: u16, body: &Value) -> Self {
        let why = || {
            let why = body["why"].as_str().or(body["error"].as_str());
            why.map_or_else(|| format!("status {status}"), str::to_owned)
        };
        if let (200, Some("planned"), Some(epoch), Some(runs_out)) =
            (status, body["answer"].as_str(), body["epoch"].as_u64(), body["runs_out_s"].as_u64())
        {
            return Self::Planned { epoch, runs_out };
        }
        match (status, body["answer"].as_str(), body["epoch"].as_u64(), body["revision"].as_u64()) {
            (200, Some("agreed"), Some(epoch), Some(revision)) => Self::Agreed { epoch, revision },
            (200, Some("unchanged"), ..) => Self::Unchanged,
            (_, Some("unknown"), ..) | (200 | 500.., ..) => Self::Unknown(why()),
            _ => Self::Refused(why()),
        }
    }

    /// The stable shape that scripts read.
    pub fn json(&self) -> Value {
        match self {
            Self::Agreed { epoch, revision } => {
                json!({ "answer": "agreed", "epoch": epoch, "revision": revision })
            }
            Self::Planned { epoch, runs_out } => {
                json!({ "answer": "planned", "epoch": epoch, "runs_out_s": runs_out })
            }
            Self::Unchanged => json!({ "answer": "unchanged" }),
            Self::Refused(why) => json!({ "answer": "refused", "why": why }),
            Self::Unknown(why) => json!({ "answer": "unknown", "why": why }),
        }
    }

    /// Says why it was not, or perhaps not, agreed.
    pub fn complain(&self) -> ExitCode {
        match self {
            Self::Agreed { .. } | Self::Planned { .. } | Self::Unchanged => ExitCode::SUCCESS,
            Self::Refused(why) => failed(format!("refused: {why}")),
            Self::Unknown(why) => {
                failed(format!("it may or may not have been agreed ({why}): see `quorate status`"))
            }
        }
    }
}

/// Moves an app by `verb`; `costs` ends the question.
pub async fn run(
    verb: &str,
    moving: &Moving,
    body: Value,
    costs: &str,
    out: &mut Out<'_>,
) -> ExitCode {
    run_by((verb, verb), moving, body, costs, out).await
}

/// The same, where the mesh is asked for it by another name.
pub async fn run_by(
    (verb, asked_as): (&str, &str),
    moving: &Moving,
    body: Value,
    costs: &str,
    out: &mut Out<'_>,
) -> ExitCode {
    let client = moving.agent.client();
    let app = &moving.app;
    let view: AppView = match client.read(&format!("/api/v1/apps/{app}")).await {
        Ok(view) => view,
        Err(error) => return failed(error),
    };
    if let Some(to) = moving.to.as_ref().filter(|to| !view.stacks.iter().any(|it| it.stack == **to))
    {
        let stacks: Vec<&str> = view.stacks.iter().map(|it| it.stack.as_str()).collect();
        return invalid(format!(
            "{app} has no stack `{to}`: expected one of {}",
            stacks.join(", ")
        ));
    }
    let to = moving.to.as_ref().map_or("the first other stack that is fit", |to| to.as_str());
    let asked = format!("{verb}: move {app} from {} to {to}{costs}?", view.active);
    if let Err(end) = question::confirmed(moving.yes, &asked) {
        return end;
    }
    let begun = Instant::now();
    let path = format!("/api/v1/apps/{app}/{asked_as}");
    let outcome = match client.post(&path, "application/json", body.to_string()).await {
        Ok((status, body)) => Outcome::of(status, &body),
        Err(error) => return failed(error),
    };
    match outcome {
        Outcome::Agreed { epoch, .. } if !moving.no_wait => {
            return follow(&client, moving, (verb, epoch, begun), out).await;
        }
        Outcome::Planned { epoch, runs_out } if !moving.no_wait => {
            if !moving.json {
                out.print(&format!(
                    "lifetimes of answers are shortened; {app} moves once those of before have run out, {runs_out} s after that \
                     was seen (`quorate abort {app}` calls it off, `--now` would not wait)\n"
                ));
            }
            return match wait(&client, moving, epoch).await {
                Ok(epoch) => follow(&client, moving, (verb, epoch, begun), out).await,
                Err(why) => failed(why),
            };
        }
        _ if moving.json => out.json(&outcome.json()),
        Outcome::Agreed { epoch, .. } => {
            out.print(&format!("agreed under epoch {epoch}; see `quorate status`\n"));
        }
        Outcome::Planned { .. } => out.print("planned; see `quorate status`\n"),
        Outcome::Unchanged => out.print(&format!("{app} is there already\n")),
        Outcome::Refused(_) | Outcome::Unknown(_) => {}
    }
    outcome.complain()
}

/// Looks until what was planned in this epoch has begun, and gives the epoch of the move.
async fn wait(client: &Client, moving: &Moving, epoch: u64) -> Result<u64, String> {
    let app = &moving.app;
    let begun = Instant::now();
    // The mesh gives up by itself before that.
    let most = Duration::from_secs(moving.timeout) + RUNS_OUT_MOST;
    while begun.elapsed() < most {
        tokio::time::sleep(LOOK).await;
        let looked: Result<AppView, _> = client.read(&format!("/api/v1/apps/{app}")).await;
        // An agent that does not answer now may do so again.
        let Ok(view) = looked else { continue };
        match (u64::from(view.epoch.0) > epoch, &view.planned) {
            (true, None) => return Ok(u64::from(view.epoch.0)),
            (false, None) => {
                return Err(format!(
                    "it was called off, or given up: see `quorate history --app {app}`"
                ));
            }
            (_, Some(_)) => {}
        }
    }
    Err(format!("it has not begun after {} s: see `quorate status`", most.as_secs()))
}

/// Looks until the app is idle again under this epoch or a later one, and says how it ended.
async fn follow(
    client: &Client,
    moving: &Moving,
    (verb, epoch, begun): (&str, u64, Instant),
    out: &mut Out<'_>,
) -> ExitCode {
    let app = &moving.app;
    let mut phases: Vec<(Phase, u128)> = Vec::new();
    let mut silent = None;
    loop {
        let looked: Result<AppView, _> = client.read(&format!("/api/v1/apps/{app}")).await;
        match looked {
            Ok(view) if u64::from(view.epoch.0) >= epoch => {
                silent = None;
                if phases.last().is_none_or(|(last, _)| *last != view.phase) {
                    let at = begun.elapsed().as_millis();
                    phases.push((view.phase, at));
                    if !moving.json {
                        out.print(&line(&view, at, out.colour));
                    }
                }
                if view.phase == Phase::Idle {
                    return ended(&view, moving, (verb, epoch), &phases, out);
                }
            }
            Ok(_) => silent = None,
            Err(error) if silent.is_none() => {
                super::complain(format_args!("quorate: {error}; still waiting"));
                silent = Some(());
            }
            Err(_) => {}
        }
        if begun.elapsed() >= Duration::from_secs(moving.timeout) {
            return failed(format!(
                "agreed, and not done after {} s; the mesh goes on: see `quorate status`",
                moving.timeout
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn line(view: &AppView, at_ms: u128, colour: bool) -> String {
    let mut sheet = Sheet::new(colour);
    sheet.put(Ink::Faint, &format!("{:>5}.{:03} s  ", at_ms / 1_000, at_ms % 1_000));
    sheet.cell(Ink::Strong, &view.phase.to_string(), 10);
    match (view.phase, &view.executor) {
        (Phase::Idle, _) => sheet.put(Ink::Plain, &format!("{} is active", view.active)),
        (_, Some(executor)) => sheet.put(Ink::Plain, &format!("by {executor}")),
        (_, None) => &mut sheet,
    };
    sheet.end();
    sheet.finish()
}

fn ended(
    view: &AppView,
    moving: &Moving,
    (verb, epoch): (&str, u64),
    phases: &[(Phase, u128)],
    out: &mut Out<'_>,
) -> ExitCode {
    // An epoch that was taken back ends idle as well, under the next one.
    let there = view.active == view.decision.to && u64::from(view.epoch.0) == epoch;
    if moving.json {
        let phases: Vec<Value> =
            phases.iter().map(|(phase, ms)| json!({ "phase": phase, "at_ms": ms })).collect();
        out.json(&json!({
            "answer": "agreed",
            "epoch": epoch,
            "revision": view.revision,
            "done": there,
            "active": view.active,
            "phases": phases,
        }));
    }
    match there {
        true => ExitCode::SUCCESS,
        false => failed(format!(
            "the {verb} did not last: {} is active under epoch {}, {}",
            view.active, view.epoch, view.decision.reason
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let agreed = json!({ "answer": "agreed", "epoch": 3, "revision": 2 });
        for (status, body, outcome) in [
            (200, agreed.clone(), Outcome::Agreed { epoch: 3, revision: 2 }),
            (
                200,
                json!({ "answer": "planned", "epoch": 3, "runs_out_s": 30 }),
                Outcome::Planned { epoch: 3, runs_out: 30 },
            ),
            (200, json!({ "answer": "unchanged" }), Outcome::Unchanged),
            (409, json!({ "answer": "refused", "why": "x" }), Outcome::Refused("x".into())),
            (503, json!({ "answer": "unknown", "why": "x" }), Outcome::Unknown("x".into())),
            (422, json!({ "error": "x" }), Outcome::Refused("x".into())),
            (500, json!({ "error": "x" }), Outcome::Unknown("x".into())),
            (200, json!({}), Outcome::Unknown("status 200".into())),
            (404, json!([]), Outcome::Refused("status 404".into())),
        ] {
            assert_eq!(Outcome::of(status, &body), outcome, "{status} {body}");
        }
        let Outcome::Agreed { .. } = Outcome::of(200, &agreed) else { panic!("agreed") };
        assert_eq!(Outcome::of(200, &agreed).json(), agreed);
    }
}
