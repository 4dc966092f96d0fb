//! `quorate failover APP`: moves it whatever the voters see.

use std::process::ExitCode;

use serde_json::json;

use super::moving::{self, Moving};
use super::table::Out;

/// What `quorate failover` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub moving: Moving,
    /// Promote though more than the app's loss budget would be lost
    #[arg(long)]
    accept_loss: bool,
}

/// Asks, moves, and shows how it goes.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let body = json!({ "to": args.moving.to, "accept_loss": args.accept_loss });
    let costs = match args.accept_loss {
        true => ", and accept that acknowledged writes may be lost, beyond the app's budget",
        false => ", though nothing may be wrong with it",
    };
    moving::run("failover", &args.moving, body, costs, out).await
}
