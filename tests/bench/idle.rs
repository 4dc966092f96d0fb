//! Memory and CPU of one agent that looks at twenty targets every five seconds; beside blackbox_exporter doing the same.
//!
//! blackbox_exporter looks only when it is asked, so this program asks; the asking is not counted, the agent's part in
//! its mesh of five is.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tests::harness::agents::Mesh;
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, start_inside};
use tests::harness::nginx::{Web, fetch};
use tests::harness::process::Process;
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::SETTLE;

const TARGETS: usize = 20;
const INTERVAL: Duration = Duration::from_secs(5);
/// Long enough for the kernel's hundredths of a second to add up.
const SPAN: Duration = Duration::from_secs(120);

/// What a process used.
#[derive(Clone, Copy)]
struct Usage {
    /// Resident memory, in MiB.
    memory: f64,
    /// Of one core, in percent.
    cpu: f64,
}

/// Prints both, and the ratios.
pub fn run() {
    let report = start_inside(&["within", "idle"]);
    let usages = report.iter().map(|line| {
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        Usage { memory: numbers[0], cpu: numbers[1] }
    });
    let usages: Vec<_> = usages.collect();
    for (name, usage) in ["quorate", "blackbox_exporter"].iter().zip(&usages) {
        println!("{name}: {:.1} MiB resident, {:.2} % of a core", usage.memory, usage.cpu);
    }
    let (memory, cpu) = (usages[0].memory / usages[1].memory, usages[0].cpu / usages[1].cpu);
    println!("ratio quorate/blackbox_exporter, memory and CPU: {memory:.2} {cpu:.2}");
}

/// One after the other; reports memory and CPU of each.
pub fn world(lab: &Lab) {
    let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
    for usage in [agent(lab), blackbox(lab)] {
        lab.report(&format!("{} {}", usage.memory, usage.cpu));
    }
}

/// Half of the targets on each stack, by number.
fn target(number: usize) -> String {
    let host = if number < TARGETS / 2 { "s1" } else { "s2" };
    format!("http://{}/healthz?target={number}", address(host))
}

fn agent(lab: &Lab) -> Usage {
    let mut mesh = Mesh::new(lab);
    mesh.start();
    let mut text = format!(
        "[app]\nname = \"shop\"\n\n[probe]\ninterval = \"{}s\"\n\n[data]\nfencing = \"dns-only\"\n\n\
         [[zone]]\nname = \"edge.test\"\nns = [\"ns1.edge.test\"]\ncontact = \"hostmaster@edge.test\"\n",
        INTERVAL.as_secs()
    );
    for (name, numbers) in [("s1", 0..TARGETS / 2), ("s2", TARGETS / 2..TARGETS)] {
        text += &format!("\n[[stack]]\nname = \"{name}\"\n");
        for number in numbers {
            text += &format!("\n[[stack.endpoint]]\nurl = \"{}\"\n", target(number));
        }
    }
    text += "\n[[record]]\nname = \"shop.edge.test\"\ntype = \"A\"\n";
    mesh.apply(lab, &text);
    mesh.settle(SETTLE, "shop", "s1");
    let id = mesh.agents[0].process().id();
    measure(id, || {})
}

fn blackbox(lab: &Lab) -> Usage {
    let file = lab.folder("blackbox").join("blackbox.yml");
    let text = "modules:\n  web:\n    prober: http\n    timeout: 4s\n";
    fs::write(&file, text).expect("scratch folder takes files");
    let mut command = lab.fabric.command("r1", "prometheus-blackbox-exporter");
    command.arg(format!("--config.file={}", file.display()));
    let process = Process::start(lab, "blackbox", command.arg("--web.listen-address=:9115"));
    let look = |number: usize| {
        let path = format!("/probe?module=web&target={}", target(number).replace('?', "%3F"));
        let told = fetch("r1", 9115, &path).map_err(|error| error.to_string())?;
        if told.contains("probe_success 1") { Ok(()) } else { Err(told) }
    };
    eventually(SETTLE, "blackbox_exporter sees a target up", || look(0));
    let mut due = Instant::now();
    measure(process.id(), || {
        if due <= Instant::now() {
            due += INTERVAL;
            for number in 0..TARGETS {
                look(number).expect("every target is up");
            }
        }
    })
}

/// Follows a process for [`SPAN`]; `work` is called every few milliseconds.
fn measure(id: u32, mut work: impl FnMut()) -> Usage {
    let (start, before) = (Instant::now(), cpu_seconds(id));
    throughout(SPAN, "the process runs", || {
        work();
        Path::new(&format!("/proc/{id}")).exists()
    });
    let cpu = (cpu_seconds(id) - before) / start.elapsed().as_secs_f64() * 100.0;
    Usage { memory: resident(id), cpu }
}

/// User and system time so far: fields 14 and 15 of proc(5)'s `stat`, in hundredths of a second.
fn cpu_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
    let (_, fields) = stat.rsplit_once(')').expect("the name stands in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|field| field.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

pub fn resident(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes.and_then(|text| text.trim().parse::<f64>().ok()).expect("as in proc(5)") / 1024.0
}
