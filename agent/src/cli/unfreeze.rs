//! `quorate unfreeze [APP]`: the mesh may act by itself again.

use std::process::ExitCode;

use consensus::model::AppId;
use serde_json::json;

use super::saying::{self, Said, Saying};
use super::table::Out;

/// What `quorate unfreeze` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The app; every app if left out
    app: Option<AppId>,
    #[command(flatten)]
    pub saying: Saying,
}

/// Asks, and puts it before the voters.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let said = Said {
        verb: "unfreeze",
        app: args.app.as_ref(),
        body: json!({}),
        would: &|view| match &view.freeze {
            Some(freeze) => {
                format!("unfreeze {}, which {} froze: {}", view.app, freeze.by, freeze.reason)
            }
            None => format!("unfreeze {}, which is not frozen", view.app),
        },
        done: "is no longer frozen",
        at_rest: true,
    };
    saying::run(&said, &args.saying, out).await
}
