//! `quorate init`: a mesh's authority, and for each agent a folder to start from.
//!
//! Everything is made beside its destination and moved there at once, so that a failed `init` leaves nothing behind.

mod advice;
mod folder;
mod spec;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::table::{Ink, Out, Sheet, widest};
use super::{chain, failed, invalid};
pub(super) use folder::{Known, make};
pub(super) use spec::{Spec, check};

const EXAMPLES: &str = "\
Examples:
  Three agents on three hosts:
    quorate init --out mesh \\
      --agent ams-1,ams,voter,198.51.100.1:4790 \\
      --agent fra-1,fra,voter,203.0.113.10:4790,dns=203.0.113.10:53 \\
      --agent nyc-1,nyc,voter,192.0.2.20:4790

  Three agents on this machine, nothing to edit:
    quorate init --out mesh
    quorate agent --config mesh/a1/agent.toml     (and a2, a3, each in a terminal of its own)
    quorate status --agent mesh/a1/data/agent.sock";

/// What `quorate init` takes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder to make; it must not hold anything yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// An agent: NAME,REGION,voter|observer,HOST:PORT, and after it what differs from the defaults:
    /// listen=ADDRESS:PORT, status=ADDRESS:PORT, dns=ADDRESS:PORT. May be repeated; without any, three agents on this machine
    #[arg(long = "agent", value_name = "AGENT")]
    agents: Vec<Spec>,
    /// Where every agent keeps its store, as its file will say; relative paths start from the file
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// Show what would be made, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

/// Makes it, and says what to do next.
pub fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let local = args.agents.is_empty();
    let specs = if local { spec::on_this_machine() } else { args.agents.clone() };
    if let Err(why) = check(&specs) {
        return invalid(why);
    }
    let advice = advice::advice(&specs);
    if !args.dry_run
        && let Err(error) = make(&args.out, &args.data_dir, &specs, &Known::new())
    {
        return failed(chain(&error));
    }
    match args.json {
        true => out.json(&json!({
            "folder": args.out,
            "made": !args.dry_run,
            "agents": specs.iter().map(|spec| json!({
                "name": spec.name,
                "region": spec.region,
                "voter": spec.voter,
                "address": spec.address.text,
                "file": args.out.join(spec.name.as_str()).join("agent.toml"),
            })).collect::<Vec<_>>(),
            "advice": advice.iter().map(|(_, text)| text).collect::<Vec<_>>(),
        })),
        false => out.print(&sheet(args, &specs, &advice, local, out.colour)),
    }
    ExitCode::SUCCESS
}

fn sheet(
    args: &Args,
    specs: &[Spec],
    advice: &[(Ink, String)],
    local: bool,
    colour: bool,
) -> String {
    let mut sheet = Sheet::new(colour);
    let folder = args.out.display();
    let made = if args.dry_run { "would make" } else { "made" };
    sheet.put(Ink::Strong, &format!("{made} {folder}/")).end();
    let width = widest(specs.iter().map(|spec| spec.name.as_str()), 63);
    for spec in specs {
        let role = if spec.voter { "voter" } else { "observer" };
        sheet.put(Ink::Plain, "  ").cell(Ink::Strong, spec.name.as_str(), width);
        sheet.cell(Ink::Plain, role, 8);
        sheet.put(Ink::Plain, &format!("in {}, {}", spec.region, spec.address.text)).end();
    }
    for (ink, line) in advice {
        sheet.labelled(0, if *ink == Ink::Good { "fine" } else { "careful" }, *ink, line);
    }
    let key = "authority.key decides who belongs to the mesh and no agent needs it: keep it offline, you need it \
               only to add agents";
    sheet.labelled(0, "keep", Ink::Plain, key);
    let first = &specs[0].name;
    match local {
        true => {
            let text = format!(
                "quorate agent --config {folder}/{first}/agent.toml, and so on, each in a terminal of its own"
            );
            sheet.labelled(0, "then", Ink::Plain, &text);
            let text = format!("quorate status --agent {folder}/{first}/data/agent.sock");
            sheet.labelled(0, "", Ink::Plain, &text);
        }
        false => {
            let text = format!(
                "move each folder to its host: {folder}/{first} becomes /etc/quorate on {first}; its data is made \
                 once and never copied, a voter with a second store is a second voter"
            );
            sheet.labelled(0, "then", Ink::Plain, &text);
            sheet.labelled(
                0,
                "",
                Ink::Plain,
                "quorate agent --config /etc/quorate/agent.toml on each",
            );
        }
    }
    sheet.finish()
}
