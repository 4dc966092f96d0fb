//! Real agents' own DNS answers: how soon after a start, and how soon after a decision.
//!
//! *Start*: an agent that is alone, with what it kept of a run before, from the moment its process is begun to its first
//! right answer; of one app, and then of 10,000 names besides, in as many apps as it takes. *Change*: from the moment that whoever carries a move out knows its word to be chosen, by its log, to the
//! first new answer at each agent's socket; asked each half millisecond. The aims are 100 and 50 ms.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use tests::harness::agents::{Agent, Mesh};
use tests::harness::app::{INSIDE, Shop};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, start_inside};
use tests::harness::nginx::Web;
use tests::harness::wait::{eventually, pace};
use tests::harness::world::SETTLE;

use crate::idle::resident;
use crate::median;

const STARTS: usize = 15;
pub const MOVES: usize = 20;
/// Names of the larger case.
const NAMES: usize = 10_000;
/// An app may have no more records.
const APP: usize = 64;
/// How long an answer may take before a run is given up.
const LIMIT: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_micros(500);

/// Prints both, with the ratio to the aims; or the starts alone.
pub fn run(moves: bool) {
    let report = start_inside(&["within", if moves { "answers" } else { "starts" }]);
    let times = |what: &str| -> Vec<f64> {
        let lines = report.iter().filter_map(|line| line.strip_prefix(what));
        lines.map(|line| line.trim().parse().expect("milliseconds")).collect()
    };
    let mut ratios = Vec::new();
    for (what, words, aim) in [
        ("start", "process begun to first answer, from its disk, alone", 100.0),
        ("many", "the same with 10,000 names", 100.0),
        ("first", "chosen to the first agent's new answer", 50.0),
        ("each", "chosen to each agent's new answer", 50.0),
        ("last", "chosen to the last agent's new answer", 50.0),
    ] {
        let times = times(what);
        if times.is_empty() {
            continue;
        }
        let most = times.iter().copied().fold(0.0, f64::max);
        let middle = median(times.clone());
        println!("{words}: median {middle:.1} ms, most {most:.1}, {} times", times.len());
        ratios.push(format!("{:.2}", middle / aim));
    }
    let memory = times("memory");
    println!("resident then: median {:.1} MiB, {} times", median(memory.clone()), memory.len());
    println!("ratio to the aims (100, 100; 50, 50, 50): {}", ratios.join(" "));
}

/// One mesh, its moves, and then its starts.
pub fn world(lab: &Lab, moves: usize) {
    let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
    let mut mesh = Mesh::new(lab);
    mesh.start();
    mesh.apply(lab, &Shop { databases: false, outside: false, ..Shop::default() }.text());
    mesh.settle(SETTLE, "shop", "s1");
    for number in 0..moves {
        let to = ["s2", "s1"][number % 2];
        fit(&mesh);
        for (kind, ms) in change(&mesh, to) {
            lab.report(&format!("{kind} {ms}"));
        }
        mesh.settle(SETTLE, "shop", to);
    }
    let standing = address(["s1", "s2"][moves % 2]);
    starts(lab, &mut mesh, ("start", INSIDE), standing);
    mesh.agents.iter_mut().for_each(Agent::launch);
    crowd(lab, &mesh);
    let last = name(NAMES - 1);
    for agent in &mesh.agents {
        first(agent.dns(), &last, address("s1"));
    }
    starts(lab, &mut mesh, ("many", &last), address("s1"));
}

/// Kills all, and starts the first alone again and again, until it answers for this name.
fn starts(lab: &Lab, mesh: &mut Mesh<'_>, (kind, name): (&str, &str), standing: Ipv4Addr) {
    mesh.agents.iter_mut().for_each(Agent::kill);
    for _ in 0..STARTS {
        let agent = &mut mesh.agents[0];
        let began = Instant::now();
        agent.launch();
        first(agent.dns(), name, standing);
        lab.report(&format!("{kind} {}", began.elapsed().as_secs_f64() * 1000.0));
        if kind == "many" {
            lab.report(&format!("memory {}", resident(agent.process().id())));
        }
        agent.kill();
    }
}

fn name(number: usize) -> String {
    format!("n{number}.edge.test")
}

/// Applies apps that have all the names between them, over all agents at once. They are hardly looked at: their answers are
/// what is asked for.
fn crowd(lab: &Lab, mesh: &Mesh<'_>) {
    let apps: Vec<_> = (0..NAMES).collect::<Vec<_>>().chunks(APP).map(crowded).collect();
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for agent in &mesh.agents {
            let (apps, next) = (&apps, &next);
            scope.spawn(move || {
                while let Some(text) = apps.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let file = lab.folder("apps").join(format!("{}.toml", agent.name));
                    fs::write(&file, text).expect("scratch folder takes files");
                    let words = ["apply", "--yes", file.to_str().expect("our own path")];
                    eventually(SETTLE, "an app is applied", || {
                        let said = agent.quorate(&words);
                        if said.status.success() { Ok(()) } else { Err(said.errors) }
                    });
                }
            });
        }
    });
    println!("{} apps applied in {} s", apps.len(), began.elapsed().as_secs());
}

fn crowded(names: &[usize]) -> String {
    let mut text = format!(
        "[app]\nname = \"crowd-{}\"\n\n[quorum]\nregions = 2\n\n[probe]\ninterval = \"60s\"\nwindow = \"120s\"\n\n\
         [data]\nfencing = \"dns-only\"\n\n\
         [[zone]]\nname = \"edge.test\"\nns = [\"ns1.edge.test\"]\ncontact = \"hostmaster@edge.test\"\n",
        names[0]
    );
    for stack in ["s1", "s2"] {
        let host = address(stack);
        text += &format!(
            "\n[[stack]]\nname = \"{stack}\"\n\n[[stack.endpoint]]\nurl = \"http://{host}/healthz\"\n"
        );
    }
    for number in names {
        text += &format!("\n[[record]]\nname = \"{}\"\ntype = \"A\"\nttl = 5\n", name(*number));
    }
    text
}

fn fit(mesh: &Mesh<'_>) {
    eventually(SETTLE, "a move would succeed", || {
        let unready = mesh.agents[0].app("shop")?.unready;
        if unready.is_empty() { Ok(()) } else { Err(unready.join("; ")) }
    });
}

/// Waits for this answer. Asks again without waiting for the one before: a port that nobody has bound yet is silent as often as
/// it refuses.
fn first(server: SocketAddr, name: &str, wanted: Ipv4Addr) {
    let began = Instant::now();
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
    socket.set_read_timeout(Some(EVERY)).expect("a limit");
    socket.connect(server).expect("an address of this world");
    let name = Name::from_ascii(format!("{name}.")).expect("a name");
    let mut question = Message::query();
    question.add_query(Query::query(name, RecordType::A));
    let question = question.to_vec().expect("a question is short");
    let mut packet = [0; 512];
    loop {
        assert!(began.elapsed() < LIMIT, "{server} does not say {wanted}");
        if socket.send(&question).is_err() {
            pace(EVERY);
        }
        while let Ok(length) = socket.recv(&mut packet) {
            // The one record of the answer ends with the address; nothing stands behind it.
            if packet[..length].ends_with(&wanted.octets()) {
                return;
            }
        }
    }
}

/// Moves the app and times it: milliseconds from the choice to the answers.
fn change(mesh: &Mesh<'_>, to: &str) -> Vec<(&'static str, f64)> {
    let epoch = mesh.agents[0].app("shop").expect("it answers").epoch.0 + 1;
    let told: Vec<SystemTime> = thread::scope(|scope| {
        let asking = mesh.agents.iter().map(|agent| {
            let server = agent.dns();
            scope.spawn(move || {
                first(server, INSIDE, address(to));
                SystemTime::now()
            })
        });
        let asking: Vec<_> = asking.collect();
        let words = ["switchover", "shop", "--to", to, "--now", "--yes", "--no-wait"];
        mesh.agents[0].quorate(&words).expect_done();
        asking.into_iter().map(|it| it.join().expect("it is asked for")).collect()
    });
    let chosen = chosen(mesh, epoch, to);
    let mut taken: Vec<_> = told
        .into_iter()
        .map(|told| millis(told.duration_since(UNIX_EPOCH).expect("after 1970")) - chosen)
        .collect();
    taken.sort_by(f64::total_cmp);
    println!("to {to}: {taken:.1?} ms after it was chosen");
    let of = |kind| move |ms: &f64| (kind, *ms);
    let each = taken.iter().map(of("each"));
    taken
        .first()
        .map(of("first"))
        .into_iter()
        .chain(each)
        .chain(taken.last().map(of("last")))
        .collect()
}

/// When the first agent knew that the answers are moved, in milliseconds since 1970: by the line of its log.
fn chosen(mesh: &Mesh<'_>, epoch: u32, to: &str) -> f64 {
    let begin = format!("learns shop epoch {epoch} ");
    let active = format!("active {to}");
    let known = mesh.agents.iter().filter_map(|agent| {
        let said = agent.said();
        let line = said.lines().find(|it| it.contains(&begin) && it.contains(&active))?;
        let stamp = line.split_whitespace().next()?;
        Some(stamp_ms(stamp).unwrap_or_else(|| panic!("no time in {line:?}")))
    });
    known.min_by(f64::total_cmp).expect("somebody learned of it")
}

/// Milliseconds since midnight of the day, plus those of today's midnight since 1970: `2026-11-28T10:37:08.248891Z`.
fn stamp_ms(stamp: &str) -> Option<f64> {
    let (_, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    let parts = time.split(':').map(|part| part.parse::<f64>().ok()).collect::<Option<Vec<_>>>()?;
    let [hours, minutes, seconds] = parts[..] else { return None };
    let now = millis(SystemTime::now().duration_since(UNIX_EPOCH).ok()?);
    let today = (now / 86_400_000.0).floor() * 86_400_000.0;
    Some(today + ((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
