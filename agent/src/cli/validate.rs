//! `quorate validate FILE…`: is it right, and if not, what is wrong where.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::INVALID;
use super::table::{Ink, Out, Sheet};
use crate::config::{self, Fault, Faults, Kind, Weight};

/// What `quorate validate` takes.
#[derive(clap::Args)]
pub struct Args {
    /// App files and agent files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Reads every file; one that is wrong keeps none of the others from being read.
pub fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let mut reports = Vec::new();
    let mut right = true;
    for file in &args.files {
        let (kind, faults) = match config::check(file) {
            Ok((kind, warnings)) => (Some(kind), warnings),
            Err(Faults(faults)) => (None, faults),
        };
        right &= kind.is_some();
        let name = file.display().to_string();
        match args.json {
            true => {
                reports.push(json!({ "file": name, "valid": kind.is_some(), "faults": faults }))
            }
            false => report(&name, kind, &faults, out),
        }
    }
    if args.json {
        out.json(&reports);
    }
    match right {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(INVALID),
    }
}

fn report(file: &str, kind: Option<Kind>, faults: &[Fault], out: &mut Out<'_>) {
    for fault in faults {
        super::complain(fault);
    }
    let count = |weight| faults.iter().filter(|fault| fault.weight == weight).count();
    let mut sheet = Sheet::new(out.colour);
    match kind {
        Some(kind) => {
            let kind = match kind {
                Kind::App => "app",
                Kind::Agent => "agent",
            };
            sheet.put(Ink::Good, "valid").put(Ink::Plain, &format!("    {file} ({kind} file)"));
        }
        None => {
            sheet.put(Ink::Bad, "invalid").put(Ink::Plain, &format!("  {file}"));
            sheet.put(Ink::Plain, &format!(": {}", counted(count(Weight::Error), "error")));
        }
    }
    if count(Weight::Warning) > 0 {
        sheet.put(Ink::Wary, &format!(", {}", counted(count(Weight::Warning), "warning")));
    }
    sheet.end();
    out.print(&sheet.finish());
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
