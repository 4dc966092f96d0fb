//! Asks before something changes.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use super::invalid;

/// Asks on the terminal unless `yes`; `Err` is how the command ends when it must not go on.
pub fn confirmed(yes: bool, question: &str) -> Result<(), ExitCode> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        return Err(invalid(
            "this changes the mesh and there is no terminal to ask on: add `--yes`",
        ));
    }
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    match stdin.lock().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        Ok(_) | Err(_) => Err(super::failed("nothing was changed")),
    }
}
