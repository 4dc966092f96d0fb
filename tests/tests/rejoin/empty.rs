//! The old primary comes back without its data: it is built anew from the new one, or left alone, and wipes nobody. What it
//! alone had is gone with its disk, or with its log: nobody can count that, and so nobody says that nothing was lost.

use std::fmt::Display;

use consensus::view::AppView;
use tests::harness::redis::Make;

use super::*;

/// Its guard says this.
fn says(guard: &Agent<'_>, what: &str) {
    eventually(SETTLE * 2, &format!("its guard says {what:?}"), || {
        let said = guard.said();
        if said.contains(what) { Ok(()) } else { Err(last_words(&said)) }
    });
}

/// Nobody claims to know what was really lost; what was known when it was decided stays on record.
fn uncounted(mesh: &Mesh<'_>, guard: &Agent<'_>, failover: &AppView) {
    for agent in mesh.running().chain([guard]) {
        let lost = agent.app("shop").expect("the app was applied").lost;
        assert!(lost.is_empty(), "{}: {lost:?}", agent.name);
        for words in [&["history"][..], &["explain", "shop"]] {
            let said = agent.quorate(words).expect_done();
            let line = said.lines().find(|line| line.contains("really lost"));
            assert_eq!(line, None, "{}", agent.name);
        }
    }
    let known = recorded_loss(mesh, failover.epoch);
    assert!(known.is_some(), "{:?}", failover.decision);
    assert_eq!(known, failover.decision.loss_bytes);
}

/// Waits until it has as many rows as the new primary.
fn has_as_many<E: Display>(ask: impl Fn(usize) -> Result<String, E>) {
    eventually(SETTLE, "the old primary has what the new one has", || {
        match (ask(0).map_err(|error| error.to_string())?, ask(1).map_err(|it| it.to_string())?) {
            (own, other) if own == other => Ok(()),
            (own, other) => Err(format!("{own}, not {other}")),
        }
    });
}

/// A MariaDB or MySQL dies, its replica takes over, and it comes back without its data.
fn comes_back_empty<S: SqlServer>(lab: &Lab, mut servers: [S; 2], rebuilds: bool) {
    let mut webs = ["s1", "s2"].map(|host| Web::start(lab, host));
    let (mesh, guards) =
        guarded(lab, &servers, if rebuilds { Rebuilt::Once } else { Rebuilt::Never });
    servers[0].sql("insert into app.ledger values (7)");
    servers[0].process().kill();
    webs[0].kill();
    let failover = mesh.settle(SETTLE, "shop", "s2");
    servers[0].lose_data();
    servers[0].restart_as_service();
    webs[0].restart();
    if rebuilds {
        says(&guards[0], "rebuilt, and a replica of");
        has_all(&servers);
        mesh.ready(SETTLE, "shop");
    } else {
        says(&guards[0], "it is empty, and no --rebuild is configured");
        // Whoever would rejoin it tries again and again, and ends every session that it finds there, perhaps this one.
        let asked = |sql| servers[0].at_host(sql).or_else(|_| servers[0].at_host(sql));
        throughout(Duration::from_secs(12), "it is left as it is", || {
            let ask = [S::WORDS.status, "show databases like 'app'", S::WORDS.closed];
            (ask.map(asked), mesh.agents[0].app("shop").map(|it| it.active))
        });
        assert_eq!(asked(S::WORDS.status).as_deref(), Ok(""), "it follows nobody");
    }
    uncounted(&mesh, &guards[0], &failover);
    says(&guards[0], "what it alone had is gone with its data");
    let held = servers[1].at_host("select count(*) from app.ledger where id = 7");
    assert_eq!(held.as_deref(), Ok("1"), "the new primary keeps what it has");
}

mod nginx_postgres_bind {
    use super::super::nginx_postgres_bind::{Way, replicated};
    use super::*;

    /// What it is then has its own history, and transactions in it that no app ever made.
    #[test]
    fn one_that_is_back_empty_is_rebuilt() {
        inside(|lab: &Lab| {
            let (mut world, guards) = replicated(lab, Way::Rewound);
            world.databases[0].query("insert into ledger values (7)");
            let watches = world.watches(&[0]);
            world.kill_active();
            let failover = world.settle_on_standby(&watches);
            world.databases[0].lose_data();
            world.databases[0].restart_as_service();
            world.webs[0].restart();
            says(&guards[0], "rebuilt, and a standby of");
            let rows = "select count(*) from ledger where row = 7";
            has_as_many(|n| world.databases[n].query_at_host(rows));
            assert_eq!(world.databases[0].query_at_host(rows).as_deref(), Ok("1"));
            let recovers = world.databases[0].query_at_host("select pg_is_in_recovery()");
            assert_eq!(recovers.as_deref(), Ok("t"));
            world.mesh.ready(SETTLE, "shop");
            uncounted(&world.mesh, &guards[0], &failover);
            says(&guards[0], "what it alone had is gone with its data");
        });
    }
}

mod postgres {
    use tests::harness::guards::rejoin;
    use tests::harness::postgres::{PASSWORD, Postgres, USER};
    use tests::harness::process::output;

    use super::*;

    /// It went on alone for so long that its own log no longer reaches back to where the two parted.
    #[test]
    fn a_tail_whose_log_is_gone_is_not_said_to_be_nothing() {
        inside(|lab: &Lab| {
            let mut old = Postgres::primary(lab, "s1");
            let new = Postgres::standby(&old, "s2", Replication::Asynchronous);
            new.query("select pg_promote()");
            eventually(SETTLE, "nobody holds the log", || {
                old.try_query("select pg_drop_replication_slot('s2')")
            });
            for (setting, value) in
                [("wal_keep_size", "0"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")]
            {
                old.query(&format!("alter system set {setting} = '{value}'"));
            }
            old.query("select pg_reload_conf()");
            for row in 0..6 {
                old.query(&format!("insert into ledger values ({row})"));
                old.query("select pg_switch_wal()");
                old.query("checkpoint");
            }
            old.restart_as_service();
            let keep = lab.folder("kept").join("shop.orders.1");
            let (words, port) = (rejoin(&old), new.address().port().to_string());
            let host = new.address().ip().to_string();
            let mut command = lab.fabric.command("s1", &words[0]);
            command.args(&words[1..]).env("QUORATE_KEEP", &keep);
            for (name, value) in [
                ("APP", "shop"),
                ("STACK", "s1"),
                ("DATABASE", "orders"),
                ("TOKEN", "1.1.6"),
                ("PRIMARY_HOST", &host),
                ("PRIMARY_PORT", &port),
                ("USER", USER),
                ("PASSWORD", PASSWORD),
            ] {
                command.env(format!("QUORATE_{name}"), value);
            }
            let said = output(&mut command);
            println!("{said}");
            assert!(!said.contains("lost: ") && !said.contains("nothing was diverged"), "{said}");
            assert!(said.contains("rebuilt, and a standby of 10."), "{said}");
            assert!(said.contains("bytes of log") && said.contains("that it alone had"), "{said}");
            let kept = std::fs::read_dir(keep).expect("what is left of its log is kept").count();
            assert!(2 <= kept, "log and a line about it");
        });
    }
}

mod nginx_mariadb {
    use tests::harness::mariadb::MariaDb;

    use super::*;

    #[test]
    fn one_that_is_back_empty_is_rebuilt() {
        inside(|lab: &Lab| comes_back_empty(lab, MariaDb::start(lab, ["s1", "s2"]), true));
    }

    #[test]
    fn one_that_is_back_empty_and_cannot_be_rebuilt_is_left_alone() {
        inside(|lab: &Lab| comes_back_empty(lab, MariaDb::start(lab, ["s1", "s2"]), false));
    }
}

mod nginx_foreign_mysql {
    use tests::harness::mysql::Version;

    use super::super::nginx_foreign_mysql::started;
    use super::*;

    #[test]
    fn one_that_is_back_empty_is_rebuilt() {
        inside(|lab: &Lab| comes_back_empty(lab, started(lab, Version::V8_0), true));
    }

    #[test]
    fn one_that_is_back_empty_and_cannot_be_rebuilt_is_left_alone() {
        inside(|lab: &Lab| comes_back_empty(lab, started(lab, Version::V8_4), false));
    }
}

/// A Redis or Valkey keeps nothing on disk here: killed and started again it is an empty primary. That it follows then is the
/// executor's order or its guard's, whichever comes first.
fn is_back_empty(lab: &Lab, make: Make) {
    let mut webs = ["s1", "s2"].map(|host| Web::start(lab, host));
    let mut servers = [make.start(lab, "s1", None), make.start(lab, "s2", Some("s1"))];
    let (mesh, guards) = super::nginx_redis::replicated(lab);
    servers[0].ask(&["SET", "precious", "x"]).expect("it takes writes");
    servers[0].process.kill();
    webs[0].kill();
    let failover = mesh.settle(SETTLE, "shop", "s2");
    let new = servers[1].address();
    servers[0].come_back_empty();
    webs[0].restart();
    eventually(SETTLE, "it follows the new one", || {
        let said = servers[0].at_host(&["INFO", "replication"])?;
        let words = [format!("master_host:{}", new.ip()), "master_link_status:up".to_owned()];
        if words.iter().all(|word| said.contains(word)) { Ok(()) } else { Err(said) }
    });
    has_as_many(|n: usize| servers[n].at_host(&["DBSIZE"]));
    mesh.ready(SETTLE, "shop");
    uncounted(&mesh, &guards[0], &failover);
    for server in &servers {
        assert_eq!(server.at_host(&["GET", "precious"]).as_deref(), Ok("x"));
    }
    assert!(std::net::TcpStream::connect_timeout(&servers[0].address(), KNOCK).is_err());
}

/// How long a door may take to say no.
const KNOCK: Duration = Duration::from_secs(1);

mod nginx_redis {
    use super::*;

    #[test]
    fn one_that_is_back_empty_follows_and_wipes_nobody() {
        inside(|lab: &Lab| is_back_empty(lab, Make::Redis));
    }
}

mod nginx_foreign_valkey {
    use super::*;

    #[test]
    fn one_that_is_back_empty_follows_and_wipes_nobody() {
        inside(|lab: &Lab| is_back_empty(lab, Make::Valkey));
    }
}
