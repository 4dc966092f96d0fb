//! `quorate demo`: a whole mesh on loopback, in real processes; it breaks things and shows what the mesh makes of it.
//!
//! Agents are children running `quorate agent`, made by `quorate init`, asked through their sockets and DNS servers as any
//! user would. Whatever ends the demo ends its children, and nothing of it is left behind.

mod acts;
mod postgres;
mod process;
mod report;
mod screen;
mod stage;
mod watch;
mod web;
mod world;

pub use postgres::programs as postgres_programs;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use acts::Play;
use postgres::Installed;
use process::Trouble;
use report::Report;
use screen::{Manner, Show};
use stage::Stage;
use watch::Scene;
use world::{BLOG, SHOP, World, domain};

use crate::cli::table::{Ink, Out, Sheet, wrap};

const EXAMPLES: &str = "\
Examples:
  quorate demo                       under a minute, ends by itself
  quorate demo --stay                the same, and then the mesh is yours until Ctrl-C
  quorate demo --databases none      web servers only
  quorate demo --json > report.json  one report, nothing else

Exit status: 0 if all happened as expected, 1 if not. Without a terminal, or with NO_COLOR, plain lines.";

/// What `quorate demo` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Which databases the shop has
    #[arg(long, value_enum, default_value_t = Wish::Auto)]
    databases: Wish,
    /// Print one report at the end, and nothing else
    #[arg(long, conflicts_with = "stay")]
    json: bool,
    /// Keep everything running afterwards, for `quorate status`, `dig` and a browser
    #[arg(long)]
    stay: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Wish {
    /// PostgreSQL where it is installed
    Auto,
    /// No databases
    None,
    /// PostgreSQL, or fail
    Postgres,
}

/// What the demo's own children are.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Becomes a program that dies with the demo
    #[command(hide = true)]
    Child(process::ChildArgs),
    /// Serves a stack's web
    #[command(hide = true)]
    Web(web::WebArgs),
    /// Removes the demo's folder once the demo is gone
    #[command(hide = true)]
    Broom {
        /// The folder
        folder: PathBuf,
    },
}

/// Plays the demo, or a part in it.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    match &args.part {
        Some(Part::Child(child)) => process::become_child(child),
        Some(Part::Web(web)) => web::serve(web).await,
        Some(Part::Broom { folder }) => process::sweep(folder),
        None => match play(args, out).await {
            Ok(code) => code,
            Err(trouble) => {
                eprintln!("quorate: {trouble}");
                ExitCode::FAILURE
            }
        },
    }
}

async fn play(args: &Args, out: &mut Out<'_>) -> Result<ExitCode, Trouble> {
    let mut interrupted =
        Interrupted::new().map_err(|error| Trouble(format!("cannot take signals: {error}")))?;
    let (installed, without) = databases(args.databases)?;
    let scene = Arc::new(Scene::default());
    let stage = Stage::new(scene.clone());
    let mut report = Report { version: env!("CARGO_PKG_VERSION"), ..Report::default() };
    report.without_databases = without;
    let mut world = tokio::select! {
        world = World::make(installed) => world?,
        () = interrupted.wait() => return Ok(ExitCode::FAILURE),
    };
    let manner = match (args.json, out.terminal && out.colour) {
        (true, _) => Manner::Silent,
        (false, true) => Manner::Picture,
        (false, false) => Manner::Lines,
    };
    let mut show = Show::new(manner);
    let mut play = Play::new(&mut world, scene.clone(), &stage, &mut report);
    let played = tokio::select! {
        played = play.run() => Some(played),
        () = show.run(&stage, &scene, out) => None,
        () = interrupted.wait() => None,
    };
    drop(play);
    show.end(&stage, out);
    let Some(played) = played else {
        eprintln!("quorate: interrupted; everything is taken down");
        return Ok(ExitCode::FAILURE);
    };
    report.trouble = played.err().map(|trouble| trouble.to_string());
    let took = stage.told().began.elapsed();
    report.finish(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    match args.json {
        true => out.json(&report),
        false => out.print(&format!("\n{}", report.sheet(out.colour, width(out)))),
    }
    if args.stay {
        stay(&mut world, out)?;
        interrupted.wait().await;
        out.print("\neverything is taken down\n");
    }
    Ok(if report.agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Which PostgreSQL to use; or, where none is, why.
fn databases(wish: Wish) -> Result<(Option<Installed>, Option<String>), Trouble> {
    match (wish, Installed::find()) {
        (Wish::None, _) => Ok((None, Some("not wished for".to_owned()))),
        (_, Ok(installed)) => Ok((Some(installed), None)),
        (Wish::Auto, Err(why)) => Ok((None, Some(format!("no PostgreSQL: {why}")))),
        (Wish::Postgres, Err(why)) => Err(Trouble(format!("cannot use PostgreSQL: {why}"))),
    }
}

fn width(out: &Out<'_>) -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    match size {
        Ok(size) if out.terminal && size.ws_col > 0 => usize::from(size.ws_col),
        Ok(_) | Err(_) => crate::cli::table::WIDTH,
    }
}

/// Starts again what was killed, as far as it can be, and says how to look at it all.
fn stay(world: &mut World, out: &mut Out<'_>) -> Result<(), Trouble> {
    for agent in &mut world.agents {
        agent.start(&world.folder)?;
    }
    for web in &mut world.webs {
        web.start(&world.folder)?;
    }
    let program = process::own_program()?;
    let here = std::env::current_dir().unwrap_or_default();
    let program = program.strip_prefix(here).unwrap_or(&program).display();
    let first = &world.agents[0];
    let (dns, socket) = (first.dns(), first.socket());
    let socket = socket.display();
    let ask = format!("{program} --agent {socket}");
    let mut sheet = Sheet::new(out.colour);
    sheet.end();
    let old = match &world.databases {
        Some(_) => ", but for the old primary, which must not come back by itself",
        None => "",
    };
    let words = format!("everything stays until Ctrl-C; what was killed is started again{old}");
    for line in wrap(&words, width(out)) {
        sheet.put(Ink::Strong, &line).end();
    }
    let lines = [
        ("status page", format!("http://{}/", first.status())),
        ("API", format!("http://{}/api/v1/status", first.status())),
        ("DNS server", format!("{dns}, UDP and TCP")),
        ("a web server", world.url(SHOP, "west")),
        ("files", world.folder.path().display().to_string()),
    ];
    for (label, text) in lines {
        sheet.cell(Ink::Faint, label, 12).put(Ink::Plain, &text).end();
    }
    sheet.end();
    let commands = [
        format!("{ask} status"),
        format!("{ask} explain {SHOP}"),
        format!("{ask} history {SHOP}"),
        format!("{ask} failover {BLOG}"),
        format!("dig @{} -p {} {} A", dns.ip(), dns.port(), domain(SHOP)),
    ];
    for command in commands {
        sheet.put(Ink::Plain, &command).end();
    }
    out.print(&sheet.finish());
    Ok(())
}

/// The signals that ask the demo to end.
struct Interrupted {
    signals: [tokio::signal::unix::Signal; 3],
}

impl Interrupted {
    fn new() -> io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self { signals: [interrupt?, terminate?, hangup?] })
    }

    /// Waits for the first.
    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
