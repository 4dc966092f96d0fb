//! `quorate ack APP`: what the mesh did by itself is known, and damps the app no more.

use std::process::ExitCode;

use consensus::model::AppId;
use serde_json::json;

use super::saying::{self, Said, Saying};
use super::table::Out;

/// What `quorate ack` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The app
    app: AppId,
    #[command(flatten)]
    pub saying: Saying,
}

/// Asks, and puts it before the voters.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let said = Said {
        verb: "ack",
        app: Some(&args.app),
        body: json!({}),
        would: &|view| {
            let (app, count) = (&view.app, view.damping.history.len());
            match (view.damping.flapping, count) {
                (true, _) => format!("acknowledge that {app} was flapping, and let the mesh act"),
                (false, 0) => format!("acknowledge {app}, which the mesh has left alone"),
                (false, 1) => format!("acknowledge what the mesh did to {app}"),
                (false, _) => format!("acknowledge what the mesh did to {app}, {count} times"),
            }
        },
        done: "is acknowledged: nothing that was done damps it any more",
        at_rest: true,
    };
    saying::run(&said, &args.saying, out).await
}
