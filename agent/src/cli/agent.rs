//! `quorate agent`: runs one until it is told to stop.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use super::{INVALID, chain, failed};
use crate::config::{self, AgentConfig};
use crate::guard::Guard;
use crate::readiness::{Pace, Readiness};
use crate::tails::{Ended, Tails};
use crate::{authority, clock, run, standing, status};

/// What `quorate agent` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Its file
    #[arg(long, short, value_name = "FILE", default_value = "/etc/quorate/agent.toml")]
    config: PathBuf,
    /// Only lay the rules by which its doors (`[[guard.door]]`) are shut, and end
    #[arg(long)]
    shut_doors: bool,
    /// How log lines are written, to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "QUORATE_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged
    #[arg(long, value_enum, default_value_t = LogLevel::Info, env = "QUORATE_LOG_LEVEL")]
    log_level: LogLevel,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Reads its file and runs it.
pub fn run(args: &Args) -> ExitCode {
    let config = match config::read_agent(&args.config) {
        Ok(config) => config,
        Err(faults) => {
            super::complain(&faults);
            return ExitCode::from(INVALID);
        }
    };
    log(args);
    // Two threads: one for the loop that must not wait, one for everything that does.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("cannot start: {error}")),
    };
    let ended = match args.shut_doors {
        true => runtime.block_on(lay(&config)),
        false => runtime.block_on(serve(&config)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(why),
    }
}

/// What a unit runs before the database's: whoever comes up first, no client is let in.
async fn lay(config: &AgentConfig) -> Result<(), String> {
    let laid = Guard::start(config.doors.clone(), None).await;
    laid.map(drop).map_err(|error| chain(&error))
}

/// Starts everything that the file asks for, and runs it until a signal; an error is one line for people.
async fn serve(config: &AgentConfig) -> Result<(), String> {
    let running = run::start(config).await.map_err(|error| chain(&error))?;
    // DNS answers from what was saved before anything else is looked at.
    let dns = match &config.dns {
        Some(dns) => {
            let started = authority::start(dns, running.handle.agreed());
            Some(started.map_err(|error| chain(&error))?)
        }
        None => None,
    };
    let tails = Tails::default();
    let readiness = Readiness::default();
    let (handle, doors) = (running.handle.clone(), running.doors.clone());
    let parse = config::applied;
    let answered = dns.as_ref().map(|dns| dns.counters().clone());
    let status =
        status::start(config, handle, parse, tails.clone(), doors, readiness.clone(), answered)
            .await
            .map_err(|error| chain(&error))?;
    let (looks, handle) = (running.looks.clone(), running.handle.clone());
    let looking = tokio::spawn(readiness.follow(looks, handle, Pace::default()));
    let told = config
        .states
        .as_ref()
        .map(|folder| tokio::spawn(standing::tell(folder.clone(), running.handle.agreed())));
    let watched = (!config.resolvers.is_empty()).then(|| {
        let (resolvers, history) = (config.resolvers.clone(), status.history());
        let tell = move |ended: &Ended| history.tail(ended, clock::wall_ms());
        tokio::spawn(tails.follow(resolvers, running.handle.agreed(), tell))
    });
    running.ready();
    let ended = running.until_told().await;
    status.stop().await;
    for task in told.into_iter().chain(watched).chain([looking]) {
        task.abort();
    }
    drop(dns);
    ended.map_err(|error| chain(&error))
}

fn log(args: &Args) {
    let level = match args.log_level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // Others' libraries log a line or two per query and packet.
    let others = Level::WARN.min(level);
    let targets = Targets::new().with_default(others).with_targets([
        ("agent", level),
        ("probe", level),
        ("consensus", level),
    ]);
    let registry = tracing_subscriber::registry().with(targets);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        LogFormat::Text => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let lines =
                lines.with_target(false).with_ansi(std::io::stderr().is_terminal() && !plain);
            // The journal has its own clock.
            match std::env::var_os("JOURNAL_STREAM").is_some() {
                true => registry.with(lines.without_time()).init(),
                false => registry.with(lines).init(),
            }
        }
    }
}
