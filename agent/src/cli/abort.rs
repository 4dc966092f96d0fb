//! `quorate abort APP`: takes back what is in progress, before there is no way back, and a promotion whose stack is gone.

use std::process::ExitCode;

use consensus::model::{AppId, Phase};
use serde_json::json;

use super::saying::{self, Said, Saying};
use super::table::Out;

/// What `quorate abort` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The app
    app: AppId,
    /// Take back a promotion, too, once its stack holds no lease any more: what it wrote is given up
    #[arg(long)]
    accept_loss: bool,
    #[command(flatten)]
    pub saying: Saying,
}

/// Asks, and puts it before the voters.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let said = Said {
        verb: "abort",
        app: Some(&args.app),
        body: json!({ "accept_loss": args.accept_loss }),
        would: &|view| {
            let (app, decision) = (&view.app, &view.decision);
            match view.phase {
                Phase::Idle => format!("take back what is in progress for {app}, which is nothing"),
                phase => format!(
                    "take back the {} of {app} from {} to {}, which is {phase}{}",
                    decision.kind,
                    decision.from,
                    decision.to,
                    if args.accept_loss { ", and give up what that wrote" } else { "" }
                ),
            }
        },
        done: "goes back; the mesh may decide again after two minutes: `quorate freeze` holds it",
        at_rest: false,
    };
    saying::run(&said, &args.saying, out).await
}
