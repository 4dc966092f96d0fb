//! The old primary comes back after a failover, with rows that the new one never got: it is fenced, rewound and a replica
//! again, and what it alone had is kept and named.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use consensus::model::Epoch;
use tests::harness::agents::{Agent, Mesh};
use tests::harness::app::Shop;
use tests::harness::guards::{enrolled, enrolled_at, holds, rejoin};
use tests::harness::lab::{Lab, inside};
use tests::harness::nginx::Web;
use tests::harness::postgres::Replication;
use tests::harness::recorded::recorded_loss;
use tests::harness::sql::SqlServer;
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::{SETTLE, World};
use tests::harness::writer::{Dialect, Writer, gap, lost};

#[path = "rejoin/empty.rs"]
mod empty;

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn an_old_primary_with_rows_of_its_own_is_rewound_and_they_are_named() {
        inside(|lab: &Lab| comes_back(lab, Way::Rewound));
    }

    #[test]
    fn what_cannot_be_rewound_is_rebuilt_by_the_configured_command() {
        inside(|lab: &Lab| comes_back(lab, Way::Rebuilt));
    }

    #[test]
    fn what_was_cut_short_with_its_guard_is_begun_anew() {
        inside(|lab: &Lab| comes_back(lab, Way::CutShort));
    }

    /// How the old primary becomes a replica.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Way {
        Rewound,
        Rebuilt,
        /// The guard dies while it is rebuilt.
        CutShort,
    }

    /// The app with a PostgreSQL that waits for nobody, and its standby, each behind its guard's door.
    pub fn replicated(lab: &Lab, way: Way) -> (World<'_>, [Agent<'_>; 2]) {
        let shop = Shop { guarded: true, max_loss: "64MiB", ..Shop::default() };
        let world = World::small(lab, Replication::Asynchronous);
        let mut guards = enrolled(lab, &world.mesh);
        for (guard, database) in guards.iter_mut().zip(&world.databases) {
            let mut words = rejoin(database);
            if way == Way::CutShort {
                stops_once(lab, &mut words);
            }
            guard.set_up(|setup| setup.more += &format!("rejoin = {words:?}\n"));
            guard.start();
        }
        world.apply(lab, &shop);
        holds(&guards[0], SETTLE);
        (world, guards)
    }

    /// A primary dies with rows that its standby never got, and starts again after the failover.
    fn comes_back(lab: &Lab, way: Way) {
        let (mut world, mut guards) = replicated(lab, way);
        let [old, new] = world.databases.each_ref().map(|it| it.address());
        let writer = Writer::start(&[old, new]);
        takes(&writer, old, 20);
        // What is written from here on the standby never gets. The hosts still reach each other.
        for sql in ["alter system set primary_conninfo = ''", "select pg_reload_conf()"] {
            world.databases[1].query_at_host(sql).expect("no door is in the way");
        }
        takes(&writer, old, 50);
        would_lose(&world.mesh);
        let watches = world.watches(&[0]);
        world.kill_active();
        let view = world.settle_on_standby(&watches);
        on_record(&world.mesh, view.epoch);
        takes(&writer, new, 20);
        let ledger = writer.stop();
        let gone = lost(&ledger, &world.databases[1]);
        assert!(!gone.is_empty(), "rows that the standby never got");

        if way != Way::Rewound {
            // With neither these nor checksums nobody knows which pages to rewind.
            world.databases[0].set("wal_log_hints", "off");
        }
        world.databases[0].restart_as_service();
        world.webs[0].restart();
        if way == Way::CutShort {
            is_cut_short(lab, &mut guards[0]);
            world.databases[0].query_at_host("select 1").expect_err("it was left stopped");
            guards[0].start();
        }
        let streams = "select count(*) from pg_stat_replication where state = 'streaming' \
                       and application_name = 's1'";
        eventually(SETTLE * 2, "the old primary streams from the new one", || {
            match world.databases[1].try_query(streams)?.as_str() {
                "1" => Ok(()),
                other => Err(format!("{other} stream; {}", last_words(&guards[0].said()))),
            }
        });
        let replica = || world.databases[0].query_at_host("select pg_is_in_recovery()");
        let line = kept_aside(&guards[0]);
        let how = if way == Way::Rewound { "rewound" } else { "rebuilt" };
        assert!(line.contains(&format!("{how}, and a standby of")), "{line}");
        println!("{} rows lost; {line}", gone.len());
        let count = transactions(&line);
        assert!(gone.len() <= count, "{count} of them, and {} rows", gone.len());
        recorded(&world.mesh, count);
        let kept = line.split("are kept in ").nth(1).and_then(|it| it.split(' ').next());
        let kept = std::fs::read_dir(kept.expect("a folder")).expect("it is there");
        assert!(kept.count() >= 2, "log and a line about it");
        world.mesh.ready(SETTLE, "shop");
        throughout(Duration::from_secs(3), "and stays so", || match replica()?.as_str() {
            "t" => Ok(()),
            other => Err(other.to_owned()),
        });
        if way == Way::Rewound {
            goes_home(&world);
        }
    }

    /// The app is moved back to the stack that it was on, once that has been well for as long as is asked for.
    fn goes_home(world: &World<'_>) {
        let agent = &world.mesh.agents[2];
        let early = agent.quorate(&["failback", "shop", "--yes"]).expect_refused();
        assert!(early.contains("30 min are asked for"), "{early}");
        let [home, away] = world.databases.each_ref().map(|it| it.address());
        // A writer counts from the beginning.
        world.databases[1].query("truncate ledger");
        let writer = Writer::start(&[away, home]);
        takes(&writer, away, 50);
        eventually(SETTLE, "it is moved back", || {
            let said = agent.quorate(&["failback", "shop", "--after", "10s", "--yes", "--json"]);
            if said.status.success() { Ok(()) } else { Err(said.errors) }
        });
        world.mesh.settle(SETTLE, "shop", "s1");
        takes(&writer, home, 50);
        let ledger = writer.stop();
        assert_eq!(lost(&ledger, &world.databases[0]), Vec::<i64>::new());
        let pause = gap(&ledger, away, home);
        println!("moved back: writes paused for {} ms, none lost", pause.as_millis());
        assert!(pause < Duration::from_secs(2), "{pause:?}");
    }
}

mod nginx_mariadb {
    use tests::harness::mariadb::MariaDb;

    use super::*;

    #[test]
    fn transactions_that_the_old_primary_alone_had_are_exported_and_it_is_rebuilt() {
        inside(|lab: &Lab| comes_back(lab, MariaDb::start(lab, ["s1", "s2"]), Rebuilt::Once));
    }

    #[test]
    fn what_was_cut_short_with_its_guard_is_begun_anew() {
        inside(|lab: &Lab| comes_back(lab, MariaDb::start(lab, ["s1", "s2"]), Rebuilt::CutShort));
    }

    #[test]
    fn without_a_way_to_rebuild_it_they_are_exported_and_it_is_left_alone() {
        inside(|lab: &Lab| comes_back(lab, MariaDb::start(lab, ["s1", "s2"]), Rebuilt::Never));
    }
}

mod nginx_foreign_mysql {
    use tests::harness::mysql::{MySql, Version};

    use super::*;

    pub fn started(lab: &Lab, version: Version) -> [MySql<'_>; 2] {
        let servers = MySql::start(lab, version, ["s1", "s2"]);
        // Whoever is rebuilt copies as Quorate.
        servers[0].sql("grant backup_admin on *.* to quorate@'%'");
        servers
    }

    #[test]
    fn transactions_that_the_old_primary_alone_had_are_exported_and_it_is_rebuilt() {
        inside(|lab: &Lab| comes_back(lab, started(lab, Version::V8_4), Rebuilt::Once));
    }

    #[test]
    fn what_was_cut_short_with_its_guard_is_begun_anew() {
        inside(|lab: &Lab| comes_back(lab, started(lab, Version::V8_4), Rebuilt::CutShort));
    }

    #[test]
    fn of_8_0_too() {
        inside(|lab: &Lab| comes_back(lab, started(lab, Version::V8_0), Rebuilt::Once));
    }

    #[test]
    fn without_a_way_to_rebuild_it_they_are_exported_and_it_is_left_alone() {
        inside(|lab: &Lab| comes_back(lab, started(lab, Version::V8_4), Rebuilt::Never));
    }
}

/// Is a MariaDB or MySQL that wrote what nobody received rebuilt?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rebuilt {
    /// No way is configured.
    Never,
    Once,
    /// The guard dies while it is.
    CutShort,
}

/// The app with a MariaDB or MySQL at `s1` and its replica at `s2`, each behind its guard's door.
fn guarded<'a, S: SqlServer>(
    lab: &'a Lab,
    servers: &[S; 2],
    rebuilt: Rebuilt,
) -> (Mesh<'a>, [Agent<'a>; 2]) {
    let words = |n: usize| {
        let from = (rebuilt != Rebuilt::Never).then_some(&servers[1 - n]);
        let mut words = servers[n].rejoins(from);
        if rebuilt == Rebuilt::CutShort {
            stops_once(lab, &mut words);
        }
        words
    };
    behind_doors(lab, ("mysql", 3306), std::array::from_fn(words))
}

/// The first time, what rebuilds a server takes its data away and comes no further.
fn stops_once(lab: &Lab, words: &mut [String]) {
    let after = |words: &[String], what: &str| {
        words.iter().position(|word| word == what).expect("it is configured") + 1
    };
    let data = words[after(words, "--data")].clone();
    let mark = lab.folder("struck").join("mark").display().to_string();
    let rebuild = &mut words[after(words, "--rebuild")];
    let first = format!("touch {mark}; rm -rf {data}/*; while :; do sleep 1; done");
    *rebuild = format!("[ -e {mark} ] || {{ {first}; }}; {rebuild}");
}

/// There it is killed, and its guard with it.
fn is_cut_short(lab: &Lab, guard: &mut Agent<'_>) {
    let mark = lab.folder("struck").join("mark");
    eventually(SETTLE * 2, "the old primary is being rebuilt", || match mark.exists() {
        true => Ok(()),
        false => Err(last_words(&guard.said())),
    });
    guard.kill();
}

/// The app over servers of this engine, each behind the door of a guard that makes it a replica again by these words.
fn behind_doors<'a>(
    lab: &'a Lab,
    engine: (&'static str, u16),
    words: [Vec<String>; 2],
) -> (Mesh<'a>, [Agent<'a>; 2]) {
    let shop = Shop { guarded: true, outside: false, max_loss: "64MiB", engine, ..Shop::default() };
    let mut mesh = Mesh::small(lab);
    mesh.start();
    let mut guards = enrolled_at(lab, &mesh, engine.1);
    for (guard, words) in guards.iter_mut().zip(words) {
        guard.set_up(|setup| setup.more += &format!("rejoin = {words:?}\n"));
        guard.start();
    }
    mesh.apply(lab, &shop.text());
    mesh.settle(SETTLE, "shop", "s1");
    holds(&guards[0], SETTLE);
    mesh.ready(SETTLE, "shop");
    (mesh, guards)
}

/// A MariaDB or MySQL dies with rows that its replica never got, and starts again after the failover.
fn comes_back<S: SqlServer>(lab: &Lab, mut servers: [S; 2], rebuilt: Rebuilt) {
    let mut webs = ["s1", "s2"].map(|host| Web::start(lab, host));
    // A commit waits for nobody, as it is without further configuration.
    servers[0].sql(S::WORDS.waits_for_nobody);
    for sql in S::WORDS.patient {
        servers[1].sql(sql);
    }
    let (mesh, mut guards) = guarded(lab, &servers, rebuilt);
    let [old, new] = servers.each_ref().map(S::address);
    let writer = Writer::of(Dialect::MariaDb, &[old, new]);
    takes(&writer, old, 20);
    // Its replica does not notice for a while.
    lab.fabric.silence("s1", old.port(), "s2");
    takes(&writer, old, 50);
    would_lose(&mesh);
    servers[0].process().kill();
    webs[0].kill();
    on_record(&mesh, mesh.settle(SETTLE, "shop", "s2").epoch);
    takes(&writer, new, 20);
    lab.fabric.heal();
    let ledger = writer.stop();
    let gone = servers[1].lost(&ledger);
    assert!(!gone.is_empty(), "rows that the replica never got");

    servers[0].restart_as_service();
    webs[0].restart();
    if rebuilt == Rebuilt::CutShort {
        is_cut_short(lab, &mut guards[0]);
        servers[0].at_host("select 1").expect_err("it was left stopped");
        guards[0].start();
    }
    let line = kept_aside(&guards[0]);
    println!("{} rows lost; {line}", gone.len());
    let count = transactions(&line);
    // One row each; the last may have been on its way to its client.
    assert!((gone.len()..gone.len() + 2).contains(&count), "{count}, {} rows", gone.len());
    recorded(&mesh, count);
    let kept = line.split("are kept in ").nth(1).and_then(|it| it.split([' ', ',']).next());
    let kept = Path::new(kept.expect("a folder"));
    let sql = std::fs::read_to_string(kept.join("transactions.sql")).expect("it is there");
    let [before, after] = S::WORDS.row;
    for row in &gone {
        assert!(sql.contains(&format!("{before}{row}{after}")), "{row}");
    }
    let common = ledger.iter().find(|it| !gone.contains(&it.row)).expect("most").row;
    assert!(!sql.contains(&format!("{before}{common}{after}")), "{common}");
    assert_eq!(sql.matches(before).count(), count, "those and no others");
    let state = || {
        [S::WORDS.status, "select count(*) from app.ledger", S::WORDS.closed]
            .map(|sql| servers[0].at_host(sql))
    };
    if rebuilt == Rebuilt::Never {
        assert!(line.contains("and no --rebuild is configured"), "{line}");
        throughout(Duration::from_secs(12), "it is left as it is", state);
        return;
    }
    assert!(line.contains("rebuilt, and a replica of"), "{line}");
    has_all(&servers);
    mesh.ready(SETTLE, "shop");
}

/// Waits until the old primary has the rows of the new one; it takes none itself.
fn has_all<S: SqlServer>(servers: &[S; 2]) {
    eventually(SETTLE, "the old primary has what the new one has", || {
        let ask = |server: &S| server.at_host("select count(*) from app.ledger");
        match (ask(&servers[0])?, ask(&servers[1])?) {
            (own, other) if own == other => Ok(()),
            (own, other) => Err(format!("{own}, not {other}")),
        }
    });
    assert_eq!(servers[0].at_host(S::WORDS.closed).as_deref(), Ok("1"));
}

mod nginx_redis {
    use tests::harness::agents::program;
    use tests::harness::redis::Redis;

    use super::*;

    /// The app over a Redis, or Valkey, at `s1` and its replica at `s2`, each behind its guard's door.
    pub fn replicated(lab: &Lab) -> (Mesh<'_>, [Agent<'_>; 2]) {
        let words = [program().display().to_string(), "rejoin-redis".to_owned()];
        behind_doors(lab, ("redis", 6379), std::array::from_fn(|_| words.to_vec()))
    }

    #[test]
    fn commands_that_the_old_primary_alone_had_are_kept_and_it_follows() {
        inside(|lab: &Lab| {
            let mut webs = ["s1", "s2"].map(|host| Web::start(lab, host));
            let servers = [Redis::start(lab, "s1", None), Redis::start(lab, "s2", Some("s1"))];
            let (mesh, guards) = replicated(lab);
            let [old, new] = servers.each_ref().map(Redis::address);
            let writer = Writer::of(Dialect::Redis, &[old, new]);
            takes(&writer, old, 20);
            // Its replica does not notice for a while.
            for server in &servers {
                server.at_host(&["CONFIG", "SET", "repl-timeout", "60"]).expect("it is up");
            }
            lab.fabric.silence("s1", old.port(), "s2");
            takes(&writer, old, 50);
            would_lose(&mesh);
            // It keeps its data, as one whose host lost its network for a while.
            servers[0].process.pause();
            webs[0].kill();
            on_record(&mesh, mesh.settle(SETTLE, "shop", "s2").epoch);
            takes(&writer, new, 20);
            lab.fabric.heal();
            let ledger = writer.stop();
            let gone = servers[1].lost(&ledger);
            assert!(!gone.is_empty(), "rows that the replica never got");

            servers[0].process.resume();
            webs[0].restart();
            let line = kept_aside(&guards[0]);
            println!("{} rows lost; {line}", gone.len());
            let count = transactions(&line);
            // And those that were on their way when it stood still.
            assert!(gone.len() <= count, "{count} of them, and {} rows", gone.len());
            recorded(&mesh, count);
            let kept = line.split("are kept in ").nth(1).and_then(|it| it.split(' ').next());
            let kept = Path::new(kept.expect("a folder")).join("commands.resp");
            let commands = std::fs::read_to_string(kept).expect("it is there");
            assert_eq!(commands.matches("$3\r\nSET\r\n").count(), count, "those and no others");
            for row in &gone {
                assert!(commands.contains(&format!("\r\nrow:{row}\r\n")), "{row}");
            }
            let common = ledger.iter().find(|it| !gone.contains(&it.row)).expect("most").row;
            assert!(!commands.contains(&format!("\r\nrow:{common}\r\n")), "{common}");
            eventually(SETTLE, "the old primary has what the new one has", || {
                let ask = |server: &Redis<'_>| server.at_host(&["DBSIZE"]);
                let link = servers[0].at_host(&["INFO", "replication"])?;
                match (ask(&servers[0])?, ask(&servers[1])?) {
                    (own, other) if own == other && link.contains("master_link_status:up") => {
                        Ok(())
                    }
                    (own, other) => Err(format!("{own}, not {other}; {link}")),
                }
            });
            mesh.ready(SETTLE, "shop");
        });
    }
}

/// Waits until a server has taken so many rows more.
fn takes(writer: &Writer, server: SocketAddr, rows: usize) {
    let took = || writer.acknowledged().iter().filter(|entry| entry.server == server).count();
    let before = took();
    eventually(SETTLE, &format!("{server} takes {rows} rows"), || match took() - before {
        more if more < rows => Err(format!("{more}")),
        _ => Ok(()),
    });
}

/// Waits until all see that a move would lose something.
fn would_lose(mesh: &Mesh<'_>) {
    eventually(SETTLE, "a move is seen to lose something", || {
        mesh.running().try_for_each(|agent| {
            let stacks = agent.app("shop")?.stacks;
            let loss = stacks.iter().find(|it| it.stack.as_str() == "s2").map(|it| it.would_lose);
            match loss {
                Some(Some(bytes)) if 0 < bytes => Ok(()),
                other => Err(format!("{}: {other:?}", agent.name)),
            }
        })
    });
}

/// What was known to be left behind when it was decided is on record.
fn on_record(mesh: &Mesh<'_>, epoch: Epoch) {
    let known = recorded_loss(mesh, epoch);
    assert!(known.is_some_and(|bytes| 0 < bytes), "{known:?}");
}

/// What a guard says of what its old primary alone had, once that is kept.
fn kept_aside(guard: &Agent<'_>) -> String {
    eventually(SETTLE * 2, "what it alone had is reported", || {
        let said = guard.said();
        let line = said.lines().find(|it| it.contains("that it alone had are kept in"));
        line.map(str::to_owned).ok_or_else(|| last_words(&said))
    })
}

/// How many it were, by such a line.
fn transactions(line: &str) -> usize {
    let count = line.split(" transactions").next().and_then(|it| it.rsplit(' ').next());
    count.and_then(|it| it.parse().ok()).expect("a number of them")
}

/// What was really lost is in the status, in the history and in what explains the decision, at agents far from the old primary.
fn recorded(mesh: &Mesh<'_>, transactions: usize) {
    let agent = &mesh.agents[2];
    let lost = eventually(SETTLE, "what was really lost is in a3's status", || {
        agent.app("shop")?.lost.into_values().next().ok_or("nothing is said of it".to_owned())
    });
    assert_eq!(lost.transactions as usize, transactions, "{lost:?}");
    assert!(0 < lost.bytes && lost.stack.as_str() == "s1", "{lost:?}");
    let epoch = lost.epoch.0.to_string();
    for words in [&["history"][..], &["explain", "shop", "--epoch", &epoch]] {
        let said = agent.quorate(words).expect_done();
        let line = said.lines().find(|line| line.contains("really lost: ")).expect("it is there");
        println!("a3: {line}");
        assert!(line.contains(&format!("{transactions} transactions (")), "{line}");
    }
}

fn last_words(said: &str) -> String {
    said.lines().rev().take(3).collect::<Vec<_>>().join(" | ")
}
