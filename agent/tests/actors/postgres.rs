//! Fence, unfence and promotion of a real PostgreSQL.

use std::time::{Duration, Instant};

use agent::actors::Actors;
use agent::clock;
use agent::config::Credentials;
use consensus::model::{ActionFaultKind, Candidate, Database, Effect, Engine, Waits};

use crate::common::postgres::{Postgres, ROLE};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{eventually, free_port};
use crate::{act, kind, login, report, text, token};

#[path = "following.rs"]
mod following;
#[path = "lineage.rs"]
mod lineage;
#[path = "sync.rs"]
mod sync;

const READ_ONLY: &str = "SHOW default_transaction_read_only";
const RECOVERY: &str = "SELECT pg_is_in_recovery()";
const ROW: &str = "SELECT token FROM quorate.epoch WHERE app = 'shop'";

fn database(port: u16) -> Database {
    Database {
        name: "orders".parse().expect("a name"),
        engine: Engine::Postgres,
        address: "127.0.0.1".to_owned(),
        port,
        credential: "orders".parse().expect("a name"),
        guard: None,
        view: Default::default(),
    }
}

fn superuser() -> Credentials {
    [("orders".parse().expect("a name"), login("postgres", None))].into()
}

/// The standby as a decision would have seen it.
async fn candidate(standby: &Postgres) -> Candidate {
    let position = "SELECT pg_last_wal_receive_lsn() - '0/0'";
    let timeline = "SELECT received_tli FROM pg_stat_wal_receiver";
    Candidate {
        name: "orders".parse().expect("a name"),
        system: standby.system().await,
        timeline: standby.sql(timeline).await.parse().expect("a number"),
        position: standby.sql(position).await.parse().expect("a number"),
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().expect("a number")).expect("a pid")
}

fn promote(standby: &Postgres, candidate: &Candidate, at_least: Option<u64>) -> Effect {
    Effect::Promote { database: database(standby.port), candidate: candidate.clone(), at_least }
}

#[tokio::test]
async fn a_standby_is_promoted_once_and_remembers_the_token() {
    let mut primary = Postgres::primary().await;
    primary.sql("CREATE TABLE t (i int); INSERT INTO t SELECT generate_series(1, 1000)").await;
    let standby = primary.standby("s1").await;
    primary.sql("INSERT INTO t VALUES (-1)").await;
    standby.until("SELECT count(*) FROM t", "1001").await;
    let seen = candidate(&standby).await;
    // A commit that waited for a standby would hang: there is none any more.
    standby.sql("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    standby.sql("SELECT pg_reload_conf()").await;
    primary.kill();

    let began = Instant::now();
    let first = act(&superuser(), token(2, 3), promote(&standby, &seen, None)).await;
    println!("promotion took {:?}: {first:?}", began.elapsed());
    assert_eq!(text(&first), "promoted, on timeline 2");
    assert_eq!(standby.sql(RECOVERY).await, "f");
    assert_eq!(standby.sql("SELECT count(*) FROM t").await, "1001");
    assert_eq!(standby.sql(ROW).await, token(2, 3).0.to_string());

    let again = act(&superuser(), token(2, 3), promote(&standby, &seen, None)).await;
    assert_eq!(text(&again), "was promoted before, on timeline 2");

    let newer = act(&superuser(), token(4, 3), promote(&standby, &seen, None)).await;
    assert!(newer.is_ok(), "{newer:?}");
    for late in [promote(&standby, &seen, None), Effect::Fence(database(standby.port))] {
        let late = act(&superuser(), token(3, 3), late).await;
        assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    }
    assert_eq!(standby.sql(ROW).await, token(4, 3).0.to_string());
    assert_eq!(standby.sql(READ_ONLY).await, "off");
}

fn wait_for(primary: &Postgres, version: u64, names: &[&str]) -> Effect {
    wait_for_at(primary.port, version, names)
}

fn wait_for_at(port: u16, version: u64, names: &[&str]) -> Effect {
    let waits = Waits {
        app: Some("shop".parse().expect("a name")),
        version,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    Effect::Synchronous { database: database(port), waits }
}

#[tokio::test]
async fn whom_a_primary_waits_for_grows_within_a_version_and_shrinks_by_a_newer_one_alone() {
    const SETTING: &str = "SHOW synchronous_standby_names";
    let primary = Postgres::primary().await;
    let asked = async |version, names: &[&str]| {
        act(&superuser(), token(1, 4), wait_for(&primary, version, names)).await
    };
    assert_eq!(text(&asked(2, &["b"]).await), "waits for b");
    assert_eq!(primary.sql(SETTING).await, r#"FIRST 1 ("b", "quorate:sync:shop:2")"#);
    assert_eq!(text(&asked(2, &["c"]).await), "waits for b, c");
    // From several agents at once, none is lost.
    let (d, e, f) = tokio::join!(asked(2, &["d"]), asked(2, &["e"]), asked(2, &["it's \"f\""]));
    assert!(d.is_ok() && e.is_ok() && f.is_ok(), "{d:?} {e:?} {f:?}");
    let all = r#"FIRST 5 ("b", "c", "d", "e", "it's ""f""", "quorate:sync:shop:2")"#;
    assert_eq!(primary.sql(SETTING).await, all);
    let late = asked(1, &["z"]).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    assert_eq!(primary.sql(SETTING).await, all);
    assert_eq!(text(&asked(3, &["c"]).await), "waits for c");
    assert_eq!(primary.sql(SETTING).await, r#"FIRST 1 ("c", "quorate:sync:shop:3")"#);
    let Effect::Synchronous { database, waits } = wait_for(&primary, 9, &["z"]) else { return };
    let waits = Waits { app: Some("till".parse().expect("a name")), ..waits };
    let refused = act(&superuser(), token(1, 4), Effect::Synchronous { database, waits }).await;
    assert!(text(&refused).ends_with("waits for is kept for app `shop`"), "{refused:?}");
    assert_eq!(text(&asked(4, &[]).await), "waits for no replica");
    assert_eq!(primary.sql(SETTING).await, "");

    primary.sql("ALTER SYSTEM SET synchronous_commit = 'local'").await;
    primary.sql("SELECT pg_reload_conf()").await;
    eventually("no commit waits", async || {
        (primary.sql("SHOW synchronous_commit").await == "local").then_some(())
    })
    .await;
    let refused = asked(5, &["b"]).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
}

#[tokio::test]
async fn a_copy_of_a_primary_waits_for_nobody_once_it_is_promoted() {
    let mut primary = Postgres::primary().await;
    let set = act(&superuser(), token(1, 4), wait_for(&primary, 2, &["s1"])).await;
    assert!(set.is_ok(), "{set:?}");
    let standby = primary.standby("s1").await;
    let refused = act(&superuser(), token(1, 4), wait_for(&standby, 2, &["b"])).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert_eq!(
        standby.sql("SHOW synchronous_standby_names").await,
        r#"FIRST 1 ("s1", "quorate:sync:shop:2")"#
    );
    let seen = candidate(&standby).await;
    primary.kill();
    let promoted = act(&superuser(), token(2, 3), promote(&standby, &seen, None)).await;
    assert!(promoted.is_ok(), "{promoted:?}");
    // It would hang.
    standby.sql("CREATE TABLE written (i int)").await;
    assert_eq!(standby.sql("SHOW synchronous_standby_names").await, "");
}

#[tokio::test]
async fn a_standby_that_is_not_what_was_decided_on_is_left_alone() {
    let primary = Postgres::primary().await;
    let standby = primary.standby("s1").await;
    let seen = candidate(&standby).await;
    let ahead = seen.position + (1 << 30);
    for (wrong, why) in [
        (Candidate { system: 7, ..seen.clone() }, "another history"),
        (Candidate { timeline: 2, ..seen.clone() }, "is on timeline 1, expected 2"),
        (Candidate { position: ahead, ..seen.clone() }, "expected at least"),
    ] {
        let result = act(&superuser(), token(2, 3), promote(&standby, &wrong, None)).await;
        assert_eq!(kind(&result), Some(ActionFaultKind::Refused), "{result:?}");
        assert!(text(&result).contains(why), "{result:?}");
    }
    // The primary itself is no candidate.
    let result = act(&superuser(), token(2, 3), promote(&primary, &seen, None)).await;
    assert_eq!(kind(&result), Some(ActionFaultKind::Refused), "{result:?}");
    assert!(text(&result).contains("is a primary on timeline 1 already"), "{result:?}");

    // What must be received first is waited for, until the limit.
    let deadline = clock::now() + Duration::from_secs(5);
    let waiting = promote(&standby, &seen, Some(ahead));
    let limit = Duration::from_millis(300);
    let late = report(Actors::new, &superuser(), token(2, 3), waiting, deadline, limit).await;
    assert_eq!(kind(&late.result), Some(ActionFaultKind::Unknown), "{late:?}");
    assert!(text(&late.result).contains("waiting for the replica to receive"), "{late:?}");
    assert_eq!(standby.sql(RECOVERY).await, "t");
    assert_eq!(standby.sql("SELECT to_regclass('quorate.epoch') IS NULL").await, "t");
}

#[tokio::test]
async fn two_executors_promote_at_the_same_time_and_both_are_done() {
    let mut primary = Postgres::primary().await;
    let standby = primary.standby("s1").await;
    let seen = candidate(&standby).await;
    primary.kill();
    let held = superuser();
    let (one, other) = tokio::join!(
        act(&held, token(2, 3), promote(&standby, &seen, None)),
        act(&held, token(2, 3), promote(&standby, &seen, None)),
    );
    // The one that made the row's table first is done; the other may have to try again, and is then.
    for result in [one, other] {
        match kind(&result) {
            None => {}
            Some(ActionFaultKind::Unknown) => {
                let again = act(&held, token(2, 3), promote(&standby, &seen, None)).await;
                assert_eq!(text(&again), "was promoted before, on timeline 2", "{result:?}");
            }
            Some(_) => panic!("{result:?}"),
        }
    }
    assert_eq!(standby.sql(ROW).await, token(2, 3).0.to_string());
}

/// PostgreSQL looks for its stream before it looks for a promotion: told of both at once, it forgets the latter for what
/// is left of `wal_retrieve_retry_interval`, five seconds, unless it is asked again.
#[tokio::test]
async fn a_standby_that_loses_its_primary_in_the_same_moment_is_promoted_all_the_same() {
    let mut primary = Postgres::primary().await;
    let standby = primary.standby("s1").await;
    let seen = candidate(&standby).await;
    let receiver = "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'";
    let first = standby.sql(receiver).await;
    kill_process(pid(&first), Signal::TERM).expect("it runs");
    let again = format!("SELECT count(*) FROM ({receiver} AND pid <> {first}) other");
    standby.until(&again, "1").await;

    let startup = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'";
    let startup = pid(&standby.sql(startup).await);
    kill_process(startup, Signal::STOP).expect("it runs");
    primary.kill();
    standby.until("SELECT count(*) FROM pg_stat_wal_receiver", "0").await;

    let began = Instant::now();
    let held = superuser();
    let asked = standby.folder.path().join("data/promote");
    let go_on = async {
        eventually("the promotion is asked for", async || asked.exists().then_some(())).await;
        kill_process(startup, Signal::CONT).expect("it runs");
    };
    let promotion = act(&held, token(2, 3), promote(&standby, &seen, None));
    let (promoted, ()) = tokio::join!(promotion, go_on);
    println!("promotion took {:?}: {promoted:?}", began.elapsed());
    assert_eq!(text(&promoted), "promoted, on timeline 2");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_promotion_whose_deadline_passes_while_it_waits_is_not_sent() {
    let primary = Postgres::primary().await;
    let standby = primary.standby("s1").await;
    let seen = candidate(&standby).await;
    let receiver = pid(&standby.sql("SELECT pid FROM pg_stat_wal_receiver").await);
    kill_process(receiver, Signal::STOP).expect("it runs");
    primary.sql("CREATE TABLE t (i int)").await;
    let written = async || -> u64 {
        let flushed = "SELECT pg_current_wal_flush_lsn() - '0/0'";
        primary.sql(flushed).await.parse().expect("a number")
    };

    let deadline = clock::now() + Duration::from_millis(200);
    let (held, limit) = (superuser(), Duration::from_secs(5));
    let waiting = promote(&standby, &seen, Some(written().await));
    let resume = async {
        eventually("the deadline passes", async || (deadline < clock::now()).then_some(())).await;
        kill_process(receiver, Signal::CONT).expect("it runs");
    };
    let (late, ()) =
        tokio::join!(report(Actors::new, &held, token(2, 3), waiting, deadline, limit), resume);
    assert_eq!(kind(&late.result), Some(ActionFaultKind::Late), "{late:?}");
    assert_eq!(text(&late.result), "its deadline passed before promoting");
    assert_eq!(standby.sql(RECOVERY).await, "t");

    // In time, the same wait ends in a promotion that has what was waited for, though somebody has replay paused.
    standby.sql("SELECT pg_wal_replay_pause()").await;
    primary.sql("INSERT INTO t VALUES (1)").await;
    let promoted = act(&held, token(2, 3), promote(&standby, &seen, Some(written().await))).await;
    assert_eq!(text(&promoted), "promoted, on timeline 2");
    assert_eq!(standby.sql("SELECT count(*) FROM t").await, "1");
}

#[tokio::test]
async fn a_fence_closes_the_primary_and_is_taken_back_under_a_newer_token() {
    let primary = Postgres::primary().await;
    primary.sql("CREATE TABLE t (i int)").await;
    let standby = primary.standby("s1").await;
    // A session that waits for ever: synchronous, and nobody confirms under that name.
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    primary.sql("SELECT pg_reload_conf()").await;
    let port = primary.port;
    let blocked = tokio::spawn(async move {
        let place = format!("host=127.0.0.1 port={port} user=postgres");
        let (client, connection) = tokio_postgres::connect(&place, tokio_postgres::NoTls)
            .await
            .expect("the primary is up");
        let driver = tokio::spawn(connection);
        let result = client.simple_query("INSERT INTO t VALUES (1)").await;
        let _ = driver.await;
        result
    });
    primary.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "1").await;

    let began = Instant::now();
    let fenced = act(&superuser(), token(2, 1), Effect::Fence(database(port))).await;
    println!("fence took {:?}: {fenced:?}", began.elapsed());
    let done = fenced.expect("the primary answers");
    assert!(!done.proven);
    assert_eq!(done.text, "read-only by default, 1 sessions ended; not proven");
    let flushed: u64 =
        primary.sql("SELECT pg_current_wal_flush_lsn() - '0/0'").await.parse().expect("a number");
    assert!(done.position.is_some_and(|position| position <= flushed), "{done:?} {flushed}");
    let _ = blocked.await.expect("the session ended");
    let refused = primary.try_sql("INSERT INTO t VALUES (2)").await;
    assert!(refused.clone().is_err_and(|why| why.contains("read-only transaction")), "{refused:?}");
    // Replication goes on (PROTOCOL.md 0.1 b).
    assert_eq!(primary.sql("SELECT count(*) FROM pg_stat_replication").await, "1");

    let opened = act(&superuser(), token(3, 2), Effect::Unfence(database(port))).await;
    assert_eq!(text(&opened), "writable by default", "{opened:?}");
    primary.sql("SET synchronous_commit = local; INSERT INTO t VALUES (3)").await;
    // The fence of the decision that was taken back arrives late.
    let late = act(&superuser(), token(2, 1), Effect::Fence(database(port))).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    assert_eq!(primary.sql(READ_ONLY).await, "off");

    let closed = act(&superuser(), token(4, 1), Effect::Fence(database(standby.port))).await;
    assert_eq!(text(&closed), "is in recovery, and so takes no writes", "{closed:?}");
}

#[tokio::test]
async fn the_documented_rights_suffice_and_a_copied_fence_is_taken_off() {
    let mut primary = Postgres::primary().await;
    primary.grant_documented_rights().await;
    let held = [("orders".parse().expect("a name"), login(ROLE, Some(ROLE)))].into();
    let fenced = act(&held, token(2, 1), Effect::Fence(database(primary.port))).await;
    assert!(fenced.is_ok(), "{fenced:?}");
    let opened = act(&held, token(3, 2), Effect::Unfence(database(primary.port))).await;
    assert!(opened.is_ok(), "{opened:?}");
    for (version, names) in [(1, &["s1"][..]), (2, &[])] {
        let set = act(&held, token(3, 4), wait_for(&primary, version, names)).await;
        assert!(set.is_ok(), "{set:?}");
    }
    let fenced = act(&held, token(4, 1), Effect::Fence(database(primary.port))).await;
    assert!(fenced.is_ok(), "{fenced:?}");

    // The copy is read-only by default, as the original now is.
    let standby = primary.standby("s1").await;
    let seen = candidate(&standby).await;
    primary.kill();
    let promoted = act(&held, token(4, 3), promote(&standby, &seen, None)).await;
    assert_eq!(text(&promoted), "promoted, on timeline 2");
    assert_eq!(standby.sql(READ_ONLY).await, "off");
    standby.sql("CREATE TABLE t (i int)").await;
}

#[tokio::test]
async fn servers_and_secrets_that_fail_are_named() {
    let mut primary = Postgres::primary().await;
    primary.grant_documented_rights().await;
    let standby = primary.standby("s1").await;
    let seen = candidate(&standby).await;
    let name = || "orders".parse().expect("a name");

    let wrong = [(name(), login(ROLE, Some("guess")))].into();
    let result = act(&wrong, token(2, 1), Effect::Fence(database(primary.port))).await;
    assert_eq!(kind(&result), Some(ActionFaultKind::Refused), "{result:?}");
    assert!(text(&result).contains("password authentication failed"), "{result:?}");

    let result = act(&Credentials::new(), token(2, 3), promote(&standby, &seen, None)).await;
    assert_eq!(kind(&result), Some(ActionFaultKind::Refused), "{result:?}");
    assert!(text(&result).contains("no credential `orders` is held here"), "{result:?}");

    let gone = free_port();
    let result = act(&superuser(), token(2, 1), Effect::Fence(database(gone))).await;
    assert_eq!(kind(&result), Some(ActionFaultKind::Unknown), "{result:?}");
    assert!(text(&result).contains(&format!("cannot reach `127.0.0.1:{gone}`")), "{result:?}");

    // Too late: nothing is sent, not even a connection; the server is not there to notice.
    let past = clock::now() - Duration::from_millis(1);
    let limit = Duration::from_secs(5);
    for effect in [Effect::Fence(database(gone)), promote(&standby, &seen, None)] {
        let late = report(Actors::new, &superuser(), token(2, 1), effect, past, limit).await;
        assert_eq!(kind(&late.result), Some(ActionFaultKind::Late), "{late:?}");
    }
    assert_eq!(standby.sql(RECOVERY).await, "t");

    // A server that has stopped: the limit is an answer.
    primary.freeze();
    let deadline = clock::now() + limit;
    let limit = Duration::from_millis(300);
    let fence = Effect::Fence(database(primary.port));
    let stuck = report(Actors::new, &superuser(), token(2, 1), fence, deadline, limit).await;
    assert_eq!(kind(&stuck.result), Some(ActionFaultKind::Unknown), "{stuck:?}");
    assert!(text(&stuck.result).starts_with("no end within 300ms, while"), "{stuck:?}");
    assert!(limit <= stuck.took && stuck.took < Duration::from_secs(2), "{stuck:?}");
}
