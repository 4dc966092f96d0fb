//! `quorate approve APP`: lets the failover go ahead that waits for a person.

use std::process::ExitCode;

use consensus::model::AppId;
use serde_json::json;

use super::saying::{self, Said, Saying};
use super::table::Out;

/// What `quorate approve` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The app, in mode `approve`
    app: AppId,
    #[command(flatten)]
    pub saying: Saying,
}

/// Asks, and puts it before the voters, who look again.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let said = Said {
        verb: "approve",
        app: Some(&args.app),
        body: json!({}),
        would: &|view| format!("let {} go ahead: {}", view.app, view.next),
        done: "goes ahead: see `quorate watch`",
        at_rest: true,
    };
    saying::run(&said, &args.saying, out).await
}
