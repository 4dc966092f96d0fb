//! `quorate failover APP`: moves it whatever the voters see.

use std::process::ExitCode;

use consensus::view::View;
use serde_json::json;

use super::moving::{self, Moving, Outcome};
use super::table::Out;
use super::{forcing, plan};

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
    // A set is forced by its own means, by people who know the price.
    if let Some(words) = forced(args).await {
        let refused = Outcome::Refused(words);
        if args.moving.json {
            out.json(&refused.json());
        }
        return refused.complain();
    }
    let body = json!({ "to": args.moving.to, "accept_loss": args.accept_loss });
    let costs = match args.accept_loss {
        true => ", and accept that acknowledged writes may be lost, beyond the app's budget",
        false => ", though nothing may be wrong with it",
    };
    moving::run("failover", &args.moving, body, costs, out).await
}

/// What to do where nobody leads the set that an app follows. An agent that does not answer is complained of by whoever asks next.
async fn forced(args: &Args) -> Option<String> {
    let (client, app) = (args.moving.agent.client(), &args.moving.app);
    let defined = plan::defined(&client, app).await.ok().flatten()?;
    if !defined.definition.follows() {
        return None;
    }
    let view: View = client.read("/api/v1/status").await.ok()?;
    forcing::advice(&view, app, &defined.definition, args.moving.to.as_ref())
}
