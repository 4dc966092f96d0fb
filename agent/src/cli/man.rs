//! `quorate man`: the manual, made from the same words as `--help`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::table::Out;
use super::{Cli, failed};

/// What `quorate man` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Write a page for every verb into this folder, in place of the first to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints quorate(1), or writes all pages.
pub fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let command = Cli::command();
    match &args.out {
        None => match page(&command) {
            Ok(page) => {
                out.print(&String::from_utf8_lossy(&page));
                ExitCode::SUCCESS
            }
            Err(error) => failed(error),
        },
        Some(folder) => match pages(&command, folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(format!("cannot write into `{}`: {error}", folder.display())),
        },
    }
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command.clone(), folder)
}
