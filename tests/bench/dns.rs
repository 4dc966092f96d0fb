//! CPU, throughput and latency of the built-in DNS server beside knot, nsd, gdnsd and PowerDNS: same zone, same queries,
//! same run.
//!
//! The load generator needs more CPU than any of the servers and shares the machine with them; so queries a second say
//! little, and what is compared is the CPU a server spends for each query. The built-in server runs as in an agent, with
//! its rate limit on (so high that it never strikes); those of the others are off.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::authority::{self, Authority};
use agent::clock;
use agent::config::DnsConfig;
use agent::run::Agreed;
use consensus::model::*;
use tests::harness::process::output;
use tests::harness::wait::eventually;
use tokio::sync::watch;

use super::dns_peers::{PEERS, Server};
use super::median;

/// Names of the zone, one address each.
pub const NAMES: u32 = 10_000;
/// Names that are asked for.
const ASKED: u32 = 1_000;
/// How often every server takes its turn.
const ROUNDS: usize = 3;
/// How long one turn lasts at full load, and again at a steady one.
const TURN: Duration = Duration::from_secs(5);
/// Queries a second while latency is measured: well below what any of them can do.
const STEADY: u32 = 30_000;
/// Records of one app; the most that one may have.
const APP: u32 = 64;
/// How often a change is timed.
const CHANGES: usize = 50;
const START: Duration = Duration::from_secs(20);

/// What one turn showed.
struct Turn {
    /// CPU seconds a million queries.
    cpu: f64,
    /// Queries a second.
    rate: f64,
    /// Of a hundred queries beside a steady load the slowest takes this long, in microseconds.
    slow: f64,
    lost: f64,
}

/// Prints every server's figures, what starting and changing takes, and the ratio.
pub fn run() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    fs::write(folder.join("zone"), zone_file()).expect("a scratch folder takes files");
    let queries = folder.join("queries");
    fs::write(&queries, query_file()).expect("a scratch folder takes files");
    // Some give up root, and must still read their files.
    output(Command::new("chmod").args(["-R", "a+rX"]).arg(folder));

    let mut servers: Vec<_> = PEERS.iter().map(|start| start(folder)).collect();
    servers.insert(0, ours());
    for server in &servers {
        let answers = || match ask(server.port, 1) {
            Some(_) => Ok(()),
            None => Err("no answer"),
        };
        eventually(START, &format!("{} answers", server.name), answers);
    }
    println!("{NAMES} names, memory: ");
    for server in &servers {
        println!("  {:8} {:6.1} MiB resident", server.name, server.memory());
    }
    let mut turns: Vec<Vec<Turn>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (server, turns) in servers.iter().zip(&mut turns) {
            turns.push(turn(server, &queries));
        }
    }
    println!("medians of {ROUNDS} turns:");
    let mut costs = Vec::new();
    for (server, turns) in servers.iter().zip(&turns) {
        let of = |what: fn(&Turn) -> f64| median(turns.iter().map(what).collect());
        let cpu = of(|turn| turn.cpu);
        let all: Vec<_> = turns.iter().map(|turn| format!("{:.2}", turn.cpu)).collect();
        println!(
            "  {:8} {cpu:.2} CPU s a million ({}), {:.0} a second, p99 {:.0} us at {STEADY}, lost {}",
            server.name,
            all.join(" "),
            of(|turn| turn.rate),
            of(|turn| turn.slow),
            of(|turn| turn.lost),
        );
        costs.push(cpu);
    }
    drop(servers);
    start_and_change();
    let best = costs[1..].iter().copied().min_by(f64::total_cmp).expect("there are peers");
    println!("ratio quorate/best, CPU per query: {:.2}", costs[0] / best);
}

/// The server of an agent, in a process of its own: this program, told to serve.
fn ours() -> Server {
    let program = std::env::current_exe().expect("this program has a path");
    let port = 5300;
    let mut command = Command::new(program);
    command.args(["serve", "dns", &port.to_string()]);
    Server::spawn("quorate", port, &mut command)
}

/// Serves until killed.
pub fn serve(port: u16) {
    let (_runtime, _sender, _authority) = start(port);
    loop {
        std::thread::park();
    }
}

type Running = (tokio::runtime::Runtime, watch::Sender<Arc<Agreed>>, Authority);

fn start(port: u16) -> Running {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let guard = runtime.enter();
    let (sender, receiver) = watch::channel(agreed());
    let config = DnsConfig {
        listen: vec![(Ipv4Addr::LOCALHOST, port).into()],
        stale_after: Duration::from_secs(3600),
        rate_limit: 1_000_000,
        threads: DnsConfig::threads(),
        status: false,
        secondaries: Vec::new(),
        signing: Default::default(),
    };
    let authority = authority::start(&config, receiver).expect("the port is free");
    drop(guard);
    (runtime, sender, authority)
}

/// Times a start with the whole zone, and decisions until every socket gives the new answer.
pub fn start_and_change() {
    let began = Instant::now();
    let (runtime, sender, authority) = start(0);
    let port = authority.addresses()[0].port();
    let first = ask(port, 1);
    println!("start to first answer with {NAMES} names: {:.1} ms", millis(began));
    assert!(first.is_some_and(|answer| answer.ends_with(&[10, 0, 0, 1])));
    let mut state = agreed();
    let mut epoch = 1;
    for (what, moved) in [("one app", 1), ("all apps", state.apps.len())] {
        let mut taken = Vec::new();
        for _ in 0..CHANGES {
            epoch += 1;
            let mut apps = state.apps.clone();
            apps.iter_mut().take(moved).for_each(|app| *app = elsewhere(app, epoch));
            let net = u8::from(apps[0].active.as_str() == "west");
            state = Arc::new(Agreed { apps, confirmed: clock::now(), ..Agreed::default() });
            let began = Instant::now();
            sender.send_replace(state.clone());
            // Several sockets take turns by the asker's port; a few in a row have asked each of them.
            let mut same = 0;
            while same < 16 {
                let answer = ask(port, 1).expect("an answer");
                same = if answer.ends_with(&[10, net, 0, 1]) { same + 1 } else { 0 };
            }
            taken.push(millis(began));
        }
        let most = taken.iter().copied().fold(0.0, f64::max);
        println!(
            "decision about {what} of {} to changed answer at every socket, {NAMES} names: \
             median {:.1} ms, most {most:.1} ms",
            state.apps.len(),
            median(taken)
        );
    }
    drop(authority);
    drop(runtime);
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Full load for its cost, then a steady one for its latency.
fn turn(server: &Server, queries: &Path) -> Turn {
    let before = server.cpu_seconds();
    let load = |more: &[&str]| {
        let mut command = Command::new("dnsperf");
        let (port, length) = (server.port.to_string(), TURN.as_secs().to_string());
        command.args(["-s", "127.0.0.1", "-p", &port, "-l", &length, "-e", "-T", "1", "-c", "8"]);
        command.args(["-q", "200", "-d"]).arg(queries).args(more);
        command
    };
    let told = output(&mut load(&[]));
    let done = figure(&told, "Queries completed:");
    let cpu = (server.cpu_seconds() - before) / done * 1e6;
    let steady = STEADY.to_string();
    let mut beside = load(&["-Q", &steady])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("dnsperf ran a moment ago");
    let mut times = Vec::new();
    while beside.try_wait().expect("an own child can be waited for").is_none() {
        let began = Instant::now();
        if ask(server.port, 1).is_some() {
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    Turn {
        cpu,
        rate: figure(&told, "Queries per second:"),
        slow: times[times.len() * 99 / 100],
        lost: figure(&told, "Queries lost:"),
    }
}

/// The number that follows these words in dnsperf's report.
fn figure(report: &str, words: &str) -> f64 {
    let line = report.lines().find_map(|line| line.trim().strip_prefix(words));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("dnsperf says no `{words}`:\n{report}"))
}

/// Asks for the address of one of the names; the answer as it came.
fn ask(port: u16, number: u32) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a limit");
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).expect("loopback is there");
    let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in [format!("host{number}").as_str(), "bench", "test"] {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend(b"\x00\x00\x01\x00\x01");
    socket.send(&query).ok()?;
    let mut answer = vec![0; 512];
    let length = socket.recv(&mut answer).ok()?;
    answer.truncate(length);
    (answer[3] & 0xf == 0 && answer[7] == 1).then_some(answer)
}

fn address(net: u8, number: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, net, (number >> 8) as u8, number as u8)
}

fn zone_file() -> String {
    let mut text = "$ORIGIN bench.test.\n$TTL 30\n@ 300 SOA ns1.bench.test. host.bench.test. 1 300 60 604800 60\n\
                    @ 300 NS ns1.bench.test.\n@ 300 NS ns2.bench.test.\nns1 A 192.0.2.1\nns2 A 192.0.2.2\n"
        .to_owned();
    for number in 1..=NAMES {
        text += &format!("host{number} A {}\n", address(0, number));
    }
    text
}

/// Of twenty queries one asks for a type that is not there, and one for a name.
fn query_file() -> String {
    let line = |number: u32| match number % 20 {
        0 => format!("host{number}.bench.test AAAA\n"),
        1 => format!("nobody{number}.bench.test A\n"),
        _ => format!("host{}.bench.test A\n", number * (NAMES / ASKED)),
    };
    (1..=ASKED).map(line).collect()
}

/// The same zone as agreed: of many apps, since one may have no more than [`APP`] records.
fn agreed() -> Arc<Agreed> {
    let record = |name: String, east: Ipv4Addr, west: Ipv4Addr| {
        let values = [("east", east), ("west", west)];
        let values =
            values.map(|(stack, it)| (name_of(stack), vec![RecordData::Address(it.into())]));
        Record {
            name,
            kind: RecordKind::A,
            ttl: 30,
            values: values.into(),
            driver: Driver::BuiltIn,
        }
    };
    let host = |number: u32| {
        record(format!("host{number}.bench.test"), address(0, number), address(1, number))
    };
    let mut records: Vec<_> = (1..=NAMES).map(host).collect();
    for (name, last) in [("ns1.bench.test", 1), ("ns2.bench.test", 2)] {
        let address = Ipv4Addr::new(192, 0, 2, last);
        records.push(record(name.to_owned(), address, address));
    }
    let apps = records.chunks(APP as usize).enumerate();
    let apps = apps.map(|(number, records)| Arc::new(app(number, records.to_vec())));
    Arc::new(Agreed { apps: apps.collect(), confirmed: clock::now(), ..Agreed::default() })
}

/// The same app after a move to its other stack.
fn elsewhere(app: &AppState, epoch: u32) -> Arc<AppState> {
    let mut app = app.clone();
    let to = name_of(if app.active.as_str() == "east" { "west" } else { "east" });
    (app.epoch, app.decision.epoch, app.decision.to) = (Epoch(epoch), Epoch(epoch), to.clone());
    app.active = to;
    Arc::new(app)
}

fn name_of(text: &str) -> StackId {
    text.parse().expect("a name")
}

fn app(number: usize, records: Vec<Record>) -> AppState {
    let east = name_of("east");
    let definition = Definition {
        name: format!("bench{number:03}").parse().expect("a name"),
        mode: Mode::Automatic,
        cooldown: Duration::ZERO,
        regions: 1,
        probe: ProbePolicy {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(4),
            window: Duration::from_secs(8),
        },
        data: DataPolicy {
            max_loss_bytes: 0,
            max_loss_time: None,
            fencing: Fencing::DnsOnly,
            lease: DataPolicy::LEASE,
            sync: 0,
        },
        zones: vec![Zone {
            name: "bench.test".to_owned(),
            ns: vec!["ns1.bench.test".to_owned(), "ns2.bench.test".to_owned()],
            contact: "host@bench.test".to_owned(),
        }],
        stacks: Vec::new(),
        records,
        following: vec![],
    };
    let decision = Decision {
        epoch: Epoch(1),
        kind: DecisionKind::Apply,
        from: east.clone(),
        to: east.clone(),
        by: "a1".parse().expect("a name"),
        reason: String::new(),
        wall_ms: 0,
        attempt: 0,
        candidates: Vec::new(),
        fence: Default::default(),
        loss_bytes: None,
        loss_time: None,
        first: None,
        second: None,
    };
    AppState {
        damping: Damping::default(),
        freeze: None,
        guards_since: 1,
        definition: Arc::new(definition),
        revision: 1,
        epoch: Epoch(1),
        active: east,
        phase: Phase::Idle,
        decision,
        claim: None,
        closed: false,
        left: vec![],
        lifetimes: Default::default(),
        sync: Default::default(),
        operations: Vec::new(),
        previous: [0; 32],
    }
}
