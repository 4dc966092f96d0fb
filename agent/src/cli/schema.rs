//! `quorate schema`: the JSON Schema of files, for editors.

use std::process::ExitCode;

use super::table::Out;
use crate::config::{self, Kind};

/// What `quorate schema` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Of which files
    #[arg(value_enum, default_value_t = Which::App)]
    of: Which,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Which {
    /// App files, which are applied to the mesh
    App,
    /// Agent files, one per agent
    Agent,
}

/// Prints it.
pub fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let kind = match args.of {
        Which::App => Kind::App,
        Which::Agent => Kind::Agent,
    };
    out.json(&config::schema(kind));
    ExitCode::SUCCESS
}
