//! (being written) The command: one file a verb.

use std::process::ExitCode;

pub mod client;
pub mod explain;
pub mod history;
pub mod members;
pub mod status;
pub mod table;
pub mod watch;

#[cfg(test)]
pub(crate) mod golden;

/// Runs the command line; the exit status is PRODUCT.md section 5's.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
