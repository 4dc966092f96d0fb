//! `quorate failback APP`: moves it back to where it is at home, without loss, once that has been well for long enough.

use std::process::ExitCode;

use consensus::view::AppView;
use serde_json::json;

use super::moving::{self, Moving};
use super::table::Out;
use super::{failed, invalid};

/// What `quorate failback` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub moving: Moving,
    /// Refuse unless all of that stack has been well for so long, as the agent that is asked has seen it
    #[arg(long, value_name = "TIME", default_value = "30m")]
    after: String,
    /// Do not wait until answers of before have run out at resolvers
    #[arg(long)]
    now: bool,
}

/// Asks, moves, and shows how it goes.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    if crate::config::duration(&args.after).is_none() {
        return invalid(format!("`--after`: expected a time like `30m`, found `{}`", args.after));
    }
    let path = format!("/api/v1/apps/{}", args.moving.app);
    let view: AppView = match args.moving.agent.client().read(&path).await {
        Ok(view) => view,
        Err(error) => return failed(error),
    };
    // In order of preference: home is the first, unless it is told otherwise.
    let home = view.stacks.first().map(|stack| stack.stack.clone());
    let mut moving = args.moving.clone();
    moving.to = moving.to.or(home);
    let body = json!({ "to": moving.to, "well_for": args.after, "now": args.now });
    moving::run_by(("failback", "switchover"), &moving, body, "", out).await
}
