//! From a host's death to a standby that takes writes, beside Patroni with etcd, repmgr and Redis Sentinel: each at its
//! defaults, and as fast as it can be set. And what being watched costs a primary.
//!
//! A host dies without a word: it is cut off from everybody, and all that ran on it is killed. Nobody hears a closed
//! connection. Two hosts hold data, the primary and its replica; who watches and votes lives in three other regions (ours
//! in five), except for repmgr, which has nobody beside its two servers. Only ours with guards, and Patroni, keep the old
//! primary from taking writes while the new one does.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::harness::agents::Mesh;
use tests::harness::app::{INSIDE, Shop};
use tests::harness::bind::Updates;
use tests::harness::fabric::address;
use tests::harness::guards;
use tests::harness::lab::{Lab, start_inside};
use tests::harness::postgres::{Postgres, Replication, rows};
use tests::harness::redis::Redis;
use tests::harness::wait::{eventually, promptly, throughout};
use tests::harness::world::{SETTLE, World};

use crate::database_peers::{patroni, repmgr, sentinel};
use crate::median;

/// What was killed must be replaced within this, by any of them.
pub const REPLACED: Duration = Duration::from_secs(180);
/// How long a primary at rest is watched being watched.
const WATCHED: Duration = Duration::from_secs(30);

/// Runs of what takes seconds; an odd number has a middle.
const RUNS: usize = 3;
/// Runs with the defaults, which take up to two minutes each.
const DEFAULT_RUNS: usize = 3;

/// How each of them is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As it comes.
    Defaults,
    /// As fast as it can be set.
    Fast,
}

impl Profile {
    fn word(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Fast => "fast",
        }
    }

    fn probing(self) -> (Duration, Duration) {
        match self {
            Self::Defaults => (Duration::from_secs(5), Duration::from_secs(8)),
            Self::Fast => (Duration::from_millis(200), Duration::from_secs(1)),
        }
    }
}

/// Ours beside theirs: which of ours does the same work.
const PAIRS: [(&str, &str); 5] = [
    ("quorate-guarded", "patroni"),
    ("quorate-guarded-3s", "patroni"),
    ("quorate-guarded", "repmgr"),
    ("quorate-postgres", "repmgr"),
    ("quorate-redis", "sentinel"),
];

/// Prints every run, the medians, and the ratios; of those named, or of all.
pub fn run(only: &[&str]) {
    let all = [
        "quorate-guarded",
        "quorate-guarded-3s",
        "quorate-postgres",
        "quorate-redis",
        "patroni",
        "repmgr",
        "sentinel",
    ];
    let chosen = all.into_iter().filter(|it| only.is_empty() || only.contains(it));
    let mut medians = Vec::new();
    for subject in chosen {
        for (profile, runs) in [(Profile::Fast, RUNS), (Profile::Defaults, DEFAULT_RUNS)] {
            let profile = profile.word();
            let reports: Vec<(f64, f64)> = (0..runs)
                .map(|_| {
                    let report = start_inside(&["within", "database", subject, profile]);
                    println!("{subject} {profile}: {}", report[0]);
                    let mut numbers = report[0].split(' ').filter_map(|word| word.parse().ok());
                    let mut next = || numbers.next().expect("as `Death::report` writes it");
                    (next(), next())
                })
                .collect();
            let (times, queries): (Vec<_>, Vec<_>) = reports.into_iter().unzip();
            let (time, queries) = (median(times), median(queries));
            println!("{subject} {profile}: median writable {time:.0} queries {queries:.2}");
            medians.push(((subject, profile), time));
        }
    }
    let of = |subject, profile| {
        medians.iter().find(|(of, _)| *of == (subject, profile)).map(|(_, time)| *time)
    };
    let ratios = PAIRS.iter().flat_map(|(ours, theirs)| {
        ["fast", "defaults"].into_iter().filter_map(move |profile| {
            Some(format!(
                "{ours}/{theirs} {profile} {:.2}",
                of(ours, profile)? / of(theirs, profile)?
            ))
        })
    });
    println!("ratio, host death to writable: {}", ratios.collect::<Vec<_>>().join(", "));
}

/// One death in a world of its own.
pub fn world(lab: &Lab, subject: &str, profile: &str) {
    let profile = match profile {
        "defaults" => Profile::Defaults,
        _ => Profile::Fast,
    };
    match subject {
        "quorate-guarded" => postgres(lab, profile, Some("10s")),
        "quorate-guarded-3s" => postgres(lab, profile, Some("3s")),
        "quorate-postgres" => postgres(lab, profile, None),
        "quorate-redis" => redis(lab, profile),
        "patroni" => patroni(lab, profile),
        "repmgr" => repmgr(lab, profile),
        "sentinel" => sentinel(lab, profile),
        other => panic!("no subject `{other}`"),
    }
}

/// The death of `s1`, told in full by whoever saw it coming.
pub struct Death {
    queries: f64,
    at: Instant,
}

impl Death {
    /// Counts what the primary is asked while all is well, then cuts the host off. What ran there is the caller's to kill.
    pub fn of_s1(lab: &Lab, mut asked: impl FnMut() -> Result<f64, String>) -> Self {
        let (before, start) = (asked().expect("the primary is up"), Instant::now());
        throughout(WATCHED, "all is well", || ());
        let asked = asked().expect("the primary is up") - before;
        let queries = asked / start.elapsed().as_secs_f64();
        let at = Instant::now();
        lab.fabric.isolate("s1");
        Self { queries, at }
    }

    /// Waits until the other host takes writes, and says how long that took.
    pub fn report(self, lab: &Lab, write: impl FnMut() -> Result<(), String>) {
        promptly(REPLACED, "the standby takes writes", write);
        let took = self.at.elapsed().as_millis();
        lab.report(&format!("writable {took} queries {:.2}", self.queries));
    }
}

/// Has a PostgreSQL server write down each statement, and says how to count them in the log of this name. (What it counts
/// itself leaves out sessions that stay and touch no table.)
pub fn statements(lab: &Lab, log: &str, server: SocketAddr) -> impl FnMut() -> Result<f64, String> {
    for sql in ["alter system set log_statement = 'all'", "select pg_reload_conf()"] {
        rows(server, sql).expect("the primary is up");
    }
    let log = lab.log(log);
    move || {
        let said = fs::read(&log).map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&said);
        let of_one =
            |line: &&str| line.contains("LOG:  statement:") || line.contains("LOG:  execute");
        Ok(said.lines().filter(of_one).count() as f64)
    }
}

/// One row more, if it takes writes.
pub fn insert(server: SocketAddr) -> Result<(), String> {
    rows(server, "insert into ledger values (-1) on conflict do nothing").map(drop)
}

/// Commands that a Redis server has carried out, this one among them; one a second is its replica's.
pub fn commands(server: &Redis<'_>) -> Result<f64, String> {
    let text = server.info("total_commands_processed")?;
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

/// One key more, if it takes writes.
pub fn set(server: &Redis<'_>) -> Result<(), String> {
    use probe::redis::resp::Reply;
    match server.ask(&["SET", "death", "was here"])? {
        Reply::Text(said) if said == "OK" => Ok(()),
        said => Err(format!("{said:?}")),
    }
}

/// With guards whose leases are so long, or without.
fn postgres(lab: &Lab, profile: Profile, lease: Option<&'static str>) {
    let (interval, window) = profile.probing();
    let guarded = lease.is_some();
    let lease = lease.unwrap_or("10s");
    let shop = Shop { interval, window, outside: false, guarded, lease, ..Shop::default() };
    let mut world = World::replicated(lab, Updates::Granted, Replication::Synchronous);
    let [first, second] = world.databases.each_ref().map(Postgres::address);
    let mut guards = guarded.then(|| guards::start(lab, &world.mesh));
    world.apply(lab, &shop);
    if let Some(guards) = &guards {
        guards::holds(&guards[0], SETTLE);
        eventually(SETTLE, "the door is open", || insert(first));
    }
    let death = Death::of_s1(lab, statements(lab, "s1-postgres", first));
    world.webs[0].kill();
    world.databases[0].kill();
    if let Some(guards) = &mut guards {
        guards[0].kill();
    }
    death.report(lab, || insert(second));
}

fn redis(lab: &Lab, profile: Profile) {
    let mut primary = Redis::start(lab, "s1", None);
    let replica = Redis::start(lab, "s2", Some("s1"));
    let (interval, window) = profile.probing();
    let mut text = format!(
        "[app]\nname = \"shop\"\n[quorum]\nregions = 2\n\
         [probe]\ninterval = \"{}ms\"\nwindow = \"{}ms\"\n\
         [data]\nmax_loss = \"1MiB\"\nfencing = \"best-effort\"\n\
         [[zone]]\nname = \"edge.test\"\nns = [\"ns1.edge.test\"]\ncontact = \"hostmaster@edge.test\"\n",
        interval.as_millis(),
        window.as_millis()
    );
    for host in ["s1", "s2"] {
        text += &format!(
            "[[stack]]\nname = \"{host}\"\n[[stack.database]]\nname = \"main\"\nengine = \"redis\"\n\
             address = \"{}:6379\"\ncredential = \"orders\"\n",
            address(host)
        );
    }
    let values = ["s1", "s2"].map(|host| format!("{host} = [\"{}\"]", address(host))).join(", ");
    text += &format!(
        "[[record]]\nname = \"{INSIDE}\"\ntype = \"A\"\nttl = 5\nvalues = {{ {values} }}\n"
    );
    let mut mesh = Mesh::new(lab);
    mesh.start();
    mesh.apply(lab, &text);
    mesh.settle(SETTLE, "shop", "s1");
    eventually(SETTLE + window * 8, "a failover of shop would succeed", || {
        mesh.running().try_for_each(|agent| match agent.app("shop")?.unready {
            unready if unready.is_empty() => Ok(()),
            unready => Err(unready.join("; ")),
        })
    });
    let death = Death::of_s1(lab, || commands(&primary));
    primary.process.kill();
    death.report(lab, || set(&replica));
}
