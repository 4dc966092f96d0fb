//! `quorate recover --unsafe`: the majority of the voters is gone for good, and one store is left to begin again from.
//!
//! Certificates name the mesh, so a new mesh id is a new authority and a new folder for every agent: what `quorate init`
//! makes, with what the one store knew in every voter's. The agents of the old mesh cannot talk to those of the new one,
//! which is the point: should the lost voters come back, they are strangers.

mod heir;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use consensus::model::{AppId, Phase, StackId};
use consensus::saved::Birth;
use serde_json::json;

use super::init::{self, Spec};
use super::table::{Ink, Out, Sheet, fit, widest};
use super::{chain, failed, invalid, question};
use crate::clock;
use crate::store::Stopped;
use heir::Heir;

const EXAMPLES: &str = "\
Example, on the host of the agent that knows most, once it is stopped:
  quorate recover --unsafe /var/lib/quorate --out new-mesh \\
    --agent ams-1,ams,voter,198.51.100.1:4790 \\
    --agent par-1,par,voter,203.0.113.77:4790 \\
    --agent nyc-2,nyc,voter,192.0.2.21:4790";

/// What `quorate recover` takes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The data folder of one stopped agent: of those that are left, the one with the highest epochs
    #[arg(value_name = "DATA_DIR")]
    from: PathBuf,
    /// Accept that what the lost voters agreed among themselves is forgotten
    #[arg(long = "unsafe", required = true)]
    is_unsafe: bool,
    /// The folder to make; it must not hold anything yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// An agent of the new mesh, as for `quorate init`: NAME,REGION,voter|observer,HOST:PORT. To be repeated
    #[arg(long = "agent", value_name = "AGENT", required = true)]
    agents: Vec<Spec>,
    /// The stack of an app that takes writes now: needed where a move was under way. May be repeated
    #[arg(long = "active", value_name = "APP=STACK", value_parser = active)]
    active: Vec<(AppId, StackId)>,
    /// Where every agent keeps its store, as its file will say
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// Show what would be made, and stop
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

fn active(typed: &str) -> Result<(AppId, StackId), String> {
    let (app, stack) = typed.split_once('=').ok_or("expected APP=STACK")?;
    Ok((
        app.parse().map_err(|why| format!("app: {why}"))?,
        stack.parse().map_err(|why| format!("stack: {why}"))?,
    ))
}

/// Says what it risks, asks, and makes it.
pub fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    if let Err(why) = init::check(&args.agents) {
        return invalid(why);
    }
    let stopped = match Stopped::open(&args.from) {
        Ok(stopped) => stopped,
        Err(error) => return failed(chain(&error)),
    };
    let heirs = match heir::heirs(&stopped, &args.active, clock::wall_ms()) {
        Ok(heirs) => heirs,
        Err(why) => return invalid(why),
    };
    if !args.json {
        out.print(&sheet(args, &stopped.birth, &heirs, out.colour));
    }
    if args.dry_run {
        return report(args, &stopped.birth, &heirs, None, out);
    }
    let asked = format!("recover: make a new mesh of what {} knew?", stopped.birth.agent);
    if let Err(end) = question::confirmed(args.yes, &asked) {
        return end;
    }
    let known = heirs.iter().map(Heir::register).collect();
    if let Err(error) = init::make(&args.out, &args.data_dir, &args.agents, &known) {
        return failed(chain(&error));
    }
    let birth = stopped.birth.clone();
    match stopped.retire(&args.out) {
        Ok(kept) => report(args, &birth, &heirs, Some(&kept), out),
        Err(error) => failed(format!(
            "made `{}`, and could not put the old log away: {}: see to it that no agent starts on `{}` again",
            args.out.display(),
            chain(&error),
            args.from.display()
        )),
    }
}

/// Says what was made, or would be.
fn report(
    args: &Args,
    birth: &Birth,
    heirs: &[Heir],
    kept: Option<&Path>,
    out: &mut Out<'_>,
) -> ExitCode {
    match (args.json, kept) {
        (true, _) => out.json(&json!({
            "from": { "agent": birth.agent, "mesh": birth.mesh.to_string(), "folder": args.from },
            "apps": heirs.iter().map(Heir::json).collect::<Vec<_>>(),
            "folder": args.out,
            "made": kept.is_some(),
            "kept": kept,
        })),
        (false, Some(kept)) => out.print(&done(args, kept, out.colour)),
        (false, None) => {}
    }
    ExitCode::SUCCESS
}

/// What every recovery risks, in the order of how much it costs.
const RISKS: [&str; 4] = [
    "lost voters that come back are a mesh of their own, with a majority, that moves your stacks too: wipe them first",
    "whatever they agreed and this store never heard of is forgotten: a stack moved since then is moved back in DNS",
    "the database that takes writes may not be the active stack's named above: look before you start the new agents",
    "if a majority of the old voters can be brought back, bring them back instead: nothing is at risk then",
];

fn sheet(args: &Args, birth: &Birth, heirs: &[Heir], colour: bool) -> String {
    let mut sheet = Sheet::new(colour);
    sheet.put(Ink::Strong, "recover ").put(Ink::Plain, &format!("what {} knew", birth.agent));
    let mesh = birth.mesh.to_string();
    sheet.put(Ink::Faint, &format!("  {}, mesh {}", args.from.display(), fit(&mesh, 8))).end();
    sheet.end();
    let apps = widest(heirs.iter().map(|heir| heir.app.as_str()).chain(["APP"]), 30);
    let stacks = widest(heirs.iter().map(|heir| heir.active.as_str()).chain(["ACTIVE"]), 30);
    sheet.cell(Ink::Faint, "APP", apps).cell(Ink::Faint, "ACTIVE", stacks);
    sheet.cell(Ink::Faint, "LAST KNOWN", 24).put(Ink::Faint, "GOES ON AT").end();
    for heir in heirs {
        sheet.cell(Ink::Strong, heir.app.as_str(), apps);
        sheet.cell(Ink::Strong, heir.active.as_str(), stacks);
        let ink = if heir.phase == Phase::Idle { Ink::Plain } else { Ink::Wary };
        sheet.cell(ink, &format!("epoch {}, {}", heir.highest, heir.phase), 24);
        sheet.put(Ink::Plain, &format!("epoch {}", heir.epoch)).end();
    }
    if heirs.is_empty() {
        sheet.put(Ink::Wary, "this store knows of no app").end();
    }
    sheet.end();
    for risk in RISKS {
        sheet.labelled(0, "at risk", Ink::Bad, risk);
    }
    let names: Vec<_> = args.agents.iter().map(|spec| spec.name.as_str()).collect();
    let makes = format!(
        "{}/ with a new mesh id, a new authority, and a folder for each of {}",
        args.out.display(),
        names.join(", ")
    );
    sheet.labelled(0, if args.dry_run { "would be" } else { "makes" }, Ink::Plain, &makes);
    sheet.finish()
}

fn done(args: &Args, kept: &Path, colour: bool) -> String {
    let mut sheet = Sheet::new(colour);
    sheet.end();
    sheet.labelled(0, "made", Ink::Good, &format!("{}/", args.out.display()));
    sheet.labelled(0, "kept", Ink::Plain, &format!("the old log, as {}", kept.display()));
    let first = &args.agents[0].name;
    let text = format!(
        "stop and wipe every agent of the old mesh; move each folder to its host, as after `quorate init`: \
         {}/{first} becomes /etc/quorate on {first}; copy its [credentials] and [dns] over from the old agent.toml",
        args.out.display()
    );
    sheet.labelled(0, "then", Ink::Plain, &text);
    let text = "start them, and compare `quorate status` with what the databases say of themselves";
    sheet.labelled(0, "", Ink::Plain, text);
    sheet.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::golden;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Result<Args, clap::Error> {
        let all = ["recover", "/var/lib/quorate", "--out", "new-mesh"];
        let agents = ["--agent", "ams-1,ams,voter,h1:1", "--agent", "nyc-2,nyc,voter,h2:1"];
        let words = all.iter().chain(&agents).chain(words);
        Line::try_parse_from(words).map(|line| line.args)
    }

    #[test]
    fn what_it_risks_is_said_before_and_what_to_do_next_after() {
        let args = args(&["--unsafe"]).expect("good words");
        let stopped = heir::tests::stopped();
        let heirs = heir::heirs(&stopped.1, &args.active, 0).expect("nothing under way");
        let mut text = sheet(&args, &stopped.1.birth, &heirs, false);
        text += &done(&args, Path::new("/var/lib/quorate/log.kept-1"), false);
        golden::same("recover.txt", &text.replace(&*stopped.0.path().to_string_lossy(), "FOLDER"));
    }

    #[test]
    fn it_must_be_asked_for_in_so_many_words() {
        assert!(args(&[]).is_err());
        assert!(args(&["--unsafe", "--active", "shop"]).is_err());
        let args = args(&["--unsafe", "--active", "shop=do-west"]).expect("good words");
        assert_eq!(args.active.len(), 1);
    }
}
