//! `quorate freeze [APP]`: the mesh does nothing by itself for a while.

use std::process::ExitCode;
use std::time::Duration;

use consensus::model::AppId;
use serde_json::json;

use super::saying::{self, Said, Saying};
use super::table::Out;
use crate::config;

/// What `quorate freeze` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The app; every app if left out
    app: Option<AppId>,
    /// For how long, by every voter's own clock: `30m`, `2h`; at most 90 days
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "1h")]
    lasts: Duration,
    /// Why, for everybody who looks
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    reason: String,
    #[command(flatten)]
    pub saying: Saying,
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "expected a time like `30m` or `2h`".into())
}

/// Asks, and puts it before the voters.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let span = config::span(args.lasts);
    let said = Said {
        verb: "freeze",
        app: args.app.as_ref(),
        body: json!({ "for": span, "reason": args.reason }),
        would: &|view| format!("freeze {} for {span}: {}", view.app, args.reason),
        done: "is frozen: the mesh does nothing by itself, people may move it all the same",
        at_rest: true,
    };
    saying::run(&said, &args.saying, out).await
}
