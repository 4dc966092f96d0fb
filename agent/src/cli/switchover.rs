//! `quorate switchover APP`: moves it without loss.

use std::process::ExitCode;

use serde_json::json;

use super::moving::{self, Moving};
use super::table::Out;

/// What `quorate switchover` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub moving: Moving,
    /// Do not wait until answers of before have run out at resolvers
    #[arg(long)]
    now: bool,
}

/// Asks, moves, and shows how it goes.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    moving::run(
        "switchover",
        &args.moving,
        json!({ "to": args.moving.to, "now": args.now }),
        "",
        out,
    )
    .await
}
