//! The command: one file a verb.
//!
//! A verb takes its arguments and a place to write to and returns the exit status of PRODUCT.md section 5: 0 done,
//! 1 failed, 2 usage or an invalid file. Answers go to standard output, complaints and questions to standard error.

pub mod client;
pub mod explain;
pub mod history;
pub mod members;
pub mod status;
pub mod table;
mod tails;
pub mod voters;
pub mod watch;

mod abort;
mod ack;
mod agent;
mod apply;
mod approve;
mod completion;
mod dns;
mod doctor;
mod failback;
mod failover;
mod following;
mod forcing;
mod freeze;
mod init;
mod man;
mod plan;
mod recover;
mod rejoin_redis;
mod schema;
mod state;
mod switchover;
mod unfreeze;
mod validate;

mod difference;
mod findings;
mod moving;
mod question;
mod saying;

#[cfg(test)]
pub(crate) mod golden;

use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use client::AgentArgs;
use table::Out;

use crate::demo;

/// The exit status of wrong usage and invalid files.
const INVALID: u8 = 2;

const ABOUT: &str = "Watches the stacks of your apps from several regions, and moves an app when a quorum saw it fail";

const EXAMPLES: &str = "\
Examples:
  quorate demo                     the whole thing on this machine, nothing to set up
  quorate init --out mesh          certificates, stores and files for a first mesh
  quorate agent --config agent.toml
  quorate validate shop.toml
  quorate apply shop.toml
  quorate status

Exit status: 0 done, 1 failed, 2 wrong usage or an invalid file. NO_COLOR is honoured.";

#[derive(Parser)]
#[command(name = "quorate", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    /// The agent to ask, for every verb that asks one: its socket, or http://ADDRESS:PORT
    #[arg(long, value_name = "PATH|URL")]
    agent: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

// Verbs stand in the order a newcomer needs them.
#[derive(Subcommand)]
enum Verb {
    /// Run a whole mesh on this machine, break it, and see what becomes of it
    Demo(demo::Args),
    /// Make a mesh: its authority, and for each agent a folder to start from
    Init(init::Args),
    /// Run an agent
    Agent(agent::Args),
    /// Check app files and agent files; needs no mesh
    Validate(validate::Args),
    /// Show what applying an app file would change
    Plan(plan::Args),
    /// Put an app file before the voters
    Apply(apply::Args),
    /// Print the JSON Schema of app files or agent files
    Schema(schema::Args),
    /// Show the apps, their stacks, and what is wrong with them
    Status(status::Args),
    /// Show the same, live
    Watch(watch::Args),
    /// Show the agents of the mesh
    Members(members::Args),
    /// Show who votes, and change it
    Voters(voters::Args),
    /// Show who sees what, what the rule makes of it, and why nothing happens
    Explain(explain::Args),
    /// Show what was decided and done
    History(history::Args),
    /// Move an app to another stack without loss; refused unless the destination is fit
    Switchover(switchover::Args),
    /// Move an app back to its first stack without loss, once that has been well for long enough
    Failback(failback::Args),
    /// Move an app to another stack whatever the voters see
    Failover(failover::Args),
    /// Let a failover go ahead that waits for a person (mode `approve`)
    Approve(approve::Args),
    /// Take back what is in progress, before databases are promoted
    Abort(abort::Args),
    /// Have the mesh do nothing by itself for a while
    Freeze(freeze::Args),
    /// Let the mesh act by itself again
    Unfreeze(unfreeze::Args),
    /// Acknowledge what the mesh did by itself, so that it damps the app no more
    Ack(ack::Args),
    /// Is a stack to act as the one that serves? For what must run once, such as cron jobs
    State(state::Args),
    /// Compare what DNS says with what was decided, or print it
    Dns(dns::Args),
    /// Check that the mesh would hold and that this host would do its part
    Doctor(doctor::Args),
    /// Make a new mesh of what one agent knew, when the majority of the voters is gone for good
    Recover(recover::Args),
    /// Make an old Redis primary of this host a replica; run by its guard (`rejoin` of `[[guard.door]]`)
    RejoinRedis(rejoin_redis::Args),
    /// Print a completion script for a shell
    Completion(completion::Args),
    /// Print the manual
    Man(man::Args),
}

/// Runs the command line; the exit status is PRODUCT.md section 5's.
pub fn main() -> ExitCode {
    let mut cli = Cli::parse();
    if let (Some(agent), Some(args)) = (cli.agent.take(), cli.verb.agent_args()) {
        // Said aloud, it counts more than QUORATE_AGENT, which stands in `args` by now.
        args.agent = Some(agent);
    }
    let mut stdout = std::io::stdout();
    let out = &mut Out::stdout(&mut stdout);
    match &cli.verb {
        Verb::Demo(args) => wait(demo::run(args, out)),
        Verb::Init(args) => init::run(args, out),
        Verb::Agent(args) => agent::run(args),
        Verb::Validate(args) => validate::run(args, out),
        Verb::Plan(args) => wait(plan::run(args, out)),
        Verb::Apply(args) => wait(apply::run(args, out)),
        Verb::Schema(args) => schema::run(args, out),
        Verb::Status(args) => wait(status::run(args, out)),
        Verb::Watch(args) => wait(watch::run(args, out)),
        Verb::Members(args) => wait(members::run(args, out)),
        Verb::Voters(args) => wait(voters::run(args, out)),
        Verb::Explain(args) => wait(explain::run(args, out)),
        Verb::History(args) => wait(history::run(args, out)),
        Verb::Failback(args) => wait(failback::run(args, out)),
        Verb::Switchover(args) => wait(switchover::run(args, out)),
        Verb::Failover(args) => wait(failover::run(args, out)),
        Verb::Approve(args) => wait(approve::run(args, out)),
        Verb::Abort(args) => wait(abort::run(args, out)),
        Verb::Freeze(args) => wait(freeze::run(args, out)),
        Verb::Unfreeze(args) => wait(unfreeze::run(args, out)),
        Verb::Ack(args) => wait(ack::run(args, out)),
        Verb::State(args) => wait(state::run(args, out)),
        Verb::Dns(args) => wait(dns::run(args, out)),
        Verb::Doctor(args) => wait(doctor::run(args, out)),
        Verb::Recover(args) => recover::run(args, out),
        Verb::RejoinRedis(args) => wait(rejoin_redis::run(args, out)),
        Verb::Completion(args) => completion::run(args, out),
        Verb::Man(args) => man::run(args, out),
    }
}

impl Verb {
    /// Which agent the verb asks, if it asks one: `quorate --agent X status` means `quorate status --agent X`.
    fn agent_args(&mut self) -> Option<&mut AgentArgs> {
        match self {
            Self::Plan(args) => Some(&mut args.agent),
            Self::Apply(args) => Some(&mut args.agent),
            Self::Status(args) => Some(&mut args.agent),
            Self::Watch(args) => Some(&mut args.agent),
            Self::Members(args) => Some(&mut args.agent),
            Self::Voters(args) => Some(args.agent_args()),
            Self::Explain(args) => Some(&mut args.agent),
            Self::History(args) => Some(&mut args.agent),
            Self::State(args) => Some(&mut args.agent),
            Self::Dns(args) => Some(args.agent()),
            Self::Doctor(args) => Some(&mut args.agent),
            Self::Switchover(args) => Some(&mut args.moving.agent),
            Self::Failback(args) => Some(&mut args.moving.agent),
            Self::Failover(args) => Some(&mut args.moving.agent),
            Self::Approve(args) => Some(&mut args.saying.agent),
            Self::Abort(args) => Some(&mut args.saying.agent),
            Self::Freeze(args) => Some(&mut args.saying.agent),
            Self::Unfreeze(args) => Some(&mut args.saying.agent),
            Self::Ack(args) => Some(&mut args.saying.agent),
            Self::Demo(_)
            | Self::Init(_)
            | Self::Agent(_)
            | Self::Validate(_)
            | Self::Schema(_)
            | Self::Recover(_)
            | Self::RejoinRedis(_)
            | Self::Completion(_)
            | Self::Man(_) => None,
        }
    }
}

/// Runs a verb that waits for others; one thread is enough for one question.
fn wait(verb: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(verb),
        Err(error) => failed(format!("cannot start: {error}")),
    }
}

/// Writes a complaint; a reader that went away (`2>&1 | head`) is no error.
fn complain(what: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Says why nothing was done.
fn failed(why: impl std::fmt::Display) -> ExitCode {
    complain(format_args!("quorate: {why}"));
    ExitCode::FAILURE
}

/// Says what is wrong with the command or its files.
fn invalid(why: impl std::fmt::Display) -> ExitCode {
    complain(format_args!("quorate: {why}"));
    ExitCode::from(INVALID)
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_agent_may_be_named_before_the_verb() {
        let mut cli = Cli::parse_from(["quorate", "--agent", "/x", "plan", "f"]);
        let agent = cli.agent.take();
        assert_eq!(agent.as_deref(), Some("/x"));
        assert!(cli.verb.agent_args().is_some());
    }
}
