//! (being written) The command: one file a verb.

use std::process::ExitCode;

/// Runs the command line; the exit status is PRODUCT.md section 5's.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
