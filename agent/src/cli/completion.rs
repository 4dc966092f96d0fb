//! `quorate completion SHELL`: for `source <(quorate completion bash)` and its kin.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::table::Out;

/// What `quorate completion` takes.
#[derive(clap::Args)]
pub struct Args {
    /// For which shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "quorate", &mut script);
    out.print(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
