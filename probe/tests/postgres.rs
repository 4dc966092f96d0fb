//! Looks at real PostgreSQL servers: primary, standby, promoted, refusing, full, ending.

use std::time::{Duration, Instant};

use consensus::model::{DatabaseSight, FaultKind, Outcome};
use probe::Sighted;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use cluster::Cluster;
use common::*;

mod cluster;
mod common;

const TRUST: &[&str] = &["host all all 127.0.0.1/32 trust"];
const ROLE: &str = "create role quorate login; grant pg_monitor to quorate";

async fn look_as_quorate(cluster: &Cluster) -> Sighted {
    look_into(database(cluster.port), Some(("quorate", None))).await
}

async fn sight(cluster: &Cluster) -> DatabaseSight {
    match look_as_quorate(cluster).await.outcome {
        Outcome::Up(Some(sight)) => sight,
        other => panic!("expected a sight, found {other:?}"),
    }
}

fn log_position(text: &str) -> u64 {
    let (high, low) = text.split_once('/').expect("two numbers");
    let number = |text| u64::from_str_radix(text, 16).expect("hexadecimal");
    number(high) << 32 | number(low)
}

#[tokio::test]
async fn a_primary_and_its_standby_say_who_they_are_and_a_promotion_shows_at_once() {
    let primary = Cluster::primary(&[], TRUST);
    primary.sql(ROLE);
    let standby = primary.standby("application_name='shop of b'", &[]);
    primary.wait_for("select state from pg_stat_replication", "streaming");
    primary.sql("create table t (i int); insert into t select generate_series(1, 1000)");
    let flushed = log_position(&primary.sql("select pg_current_wal_flush_lsn()"));
    let caught_up = format!("select pg_last_wal_replay_lsn() - '0/0' >= {flushed}");
    standby.wait_for(&caught_up, "t");
    let system: i64 =
        primary.sql("select system_identifier from pg_control_system()").parse().expect("a number");

    let first = sight(&primary).await;
    assert!(!first.replica && !first.read_only && !first.streaming);
    assert_eq!((first.system, first.timeline), (system.cast_unsigned(), 1));
    assert!(first.position >= flushed);
    assert_eq!((first.heard, first.lag, first.upstream_name), (None, None, None));
    assert!(first.synchronous.is_empty());

    let second = sight(&standby).await;
    assert!(second.replica && second.streaming && !second.read_only);
    assert_eq!((second.system, second.timeline), (first.system, 1));
    assert!(second.position >= flushed && second.replayed >= flushed);
    assert!(second.heard.is_some_and(|heard| heard < Duration::from_secs(60)), "{second:?}");
    assert!(second.lag.is_some());
    assert_eq!(second.upstream_name.as_deref(), Some("shop of b"));

    // Synchronous from now on: the primary names whom it waits for.
    primary.sql("alter system set synchronous_standby_names = 'FIRST 1 (\"shop of b\")'");
    primary.sql("select pg_reload_conf()");
    primary.wait_for("select sync_state from pg_stat_replication", "sync");
    assert_eq!(sight(&primary).await.synchronous, ["shop of b"]);
    primary.sql("alter system set synchronous_commit = 'local'");
    primary.sql("select pg_reload_conf()");
    primary.wait_for("select current_setting('synchronous_commit')", "local");
    assert!(sight(&primary).await.synchronous.is_empty(), "nobody waits for it any more");

    // Fenced: writes are refused by default.
    primary.sql("alter system set default_transaction_read_only = on");
    primary.sql("select pg_reload_conf()");
    primary.wait_for("select current_setting('default_transaction_read_only')", "on");
    assert!(sight(&primary).await.read_only);

    // The primary dies: the standby keeps its name and position, and no longer streams.
    let port = primary.port;
    primary.stop("immediate");
    standby.wait_for("select count(*) from pg_stat_wal_receiver", "0");
    let orphan = sight(&standby).await;
    assert!(orphan.replica && !orphan.streaming && orphan.heard.is_none());
    assert!(orphan.position >= flushed && orphan.replayed >= flushed);
    assert_eq!(orphan.timeline, 1);
    assert_eq!(orphan.upstream_name.as_deref(), Some("shop of b"));
    let sighted = look_into(database(port), Some(("quorate", None))).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Refused);

    // Promoted: a primary on the next timeline, before any checkpoint could have said so.
    assert_eq!(standby.sql("select pg_promote(true, 60)"), "t");
    let promoted = sight(&standby).await;
    assert!(!promoted.replica);
    assert_eq!((promoted.timeline, promoted.system), (2, first.system));
    assert!(promoted.position >= orphan.position);
}

#[tokio::test]
async fn a_name_that_two_receivers_bear_is_not_waited_for() {
    let primary = Cluster::primary(&[], TRUST);
    primary.sql(ROLE);
    primary.sql(
        r#"alter system set synchronous_standby_names = 'FIRST 1 ("b", "quorate:sync:shop:3")'"#,
    );
    primary.sql("select pg_reload_conf()");
    let names = async || {
        let mut names = sight(&primary).await.synchronous;
        // It says so only while its checkpointer idles.
        names.retain(|name| name != "quorate:sync:settled");
        names
    };
    let receivers = "select count(*) from pg_stat_replication where state = 'streaming'";
    let own = primary.receiver("b");
    primary.wait_for(receivers, "1");
    assert_eq!(names().await, ["quorate:sync:shop:3", "b"]);
    primary.wait_for("select sync_state from pg_stat_replication", "sync");

    // The server takes either for it, and the letters' case for nothing.
    let other = primary.receiver("B");
    primary.wait_for(receivers, "2");
    assert_eq!(names().await, ["quorate:sync:shop:3"]);
    drop(own);
    primary.wait_for(receivers, "1");
    // One that is alone cannot be told from the replica by its name.
    assert_eq!(names().await, ["quorate:sync:shop:3", "B"]);
    drop(other);
}

#[tokio::test]
async fn a_standby_that_came_along_to_a_new_timeline_stays_on_it_when_it_is_left_alone() {
    let old = Cluster::primary(&[], TRUST);
    old.sql(ROLE);
    let (new, third) = (old.standby("", &[]), old.standby("", &[]));
    old.stop("fast");
    assert_eq!(new.sql("select pg_promote(true, 60)"), "t");
    let upstream = format!("host=127.0.0.1 port={} user=postgres", new.port);
    third.sql(&format!("alter system set primary_conninfo = '{upstream}'"));
    third.sql("select pg_reload_conf()");
    third.wait_for("select received_tli from pg_stat_wal_receiver where status = 'streaming'", "2");
    assert_eq!(sight(&third).await.timeline, 2);
    new.stop("immediate");
    third.wait_for("select count(*) from pg_stat_wal_receiver", "0");
    let alone = sight(&third).await;
    assert!(alone.replica && !alone.streaming, "{alone:?}");
    assert_eq!(alone.timeline, 2);
}

#[tokio::test]
async fn a_slot_whose_log_goes_is_named() {
    let primary = Cluster::primary(&["max_slot_wal_keep_size = 1MB", "wal_keep_size = 0"], TRUST);
    primary.sql(ROLE);
    primary.sql("select pg_create_physical_replication_slot('left_behind', true)");
    assert!(sight(&primary).await.slots_at_risk.is_empty(), "nobody reads it, and it keeps little");
    for _ in 0..3 {
        primary.sql("select pg_logical_emit_message(false, '', 'x')");
        primary.sql("select pg_switch_wal()");
    }
    primary.sql("checkpoint");
    let slots = sight(&primary).await.slots_at_risk;
    assert!(slots.len() == 1 && slots[0].starts_with("left_behind "), "{slots:?}");
    assert!(slots[0].contains("its log"), "{slots:?}");
}

#[tokio::test]
async fn a_standby_without_a_name_is_known_by_its_clusters_or_as_walreceiver() {
    let primary = Cluster::primary(&[], TRUST);
    primary.sql(ROLE);
    let plain = primary.standby("", &[]);
    let named = primary.standby("", &["cluster_name = 'b2'"]);
    let names = "select string_agg(application_name, ',' order by application_name) \
                 from pg_stat_replication where state = 'streaming'";
    primary.wait_for(names, "b2,walreceiver");
    assert_eq!(sight(&plain).await.upstream_name.as_deref(), Some("walreceiver"));
    assert_eq!(sight(&named).await.upstream_name.as_deref(), Some("b2"));
    primary.stop("immediate");
    for (standby, name) in [(&plain, "walreceiver"), (&named, "b2")] {
        standby.wait_for("select count(*) from pg_stat_wal_receiver", "0");
        assert_eq!(sight(standby).await.upstream_name.as_deref(), Some(name));
    }
    // As a URI, with a password that never leaves the server.
    let uri = "postgresql://postgres:application_name=x@127.0.0.1:1/postgres?application_name=b3&sslmode=disable";
    plain.sql(&format!("alter system set primary_conninfo = '{uri}'"));
    plain.sql("select pg_reload_conf()");
    plain.wait_for("select current_setting('primary_conninfo')", uri);
    assert_eq!(sight(&plain).await.upstream_name.as_deref(), Some("b3"));
}

#[tokio::test]
async fn refusals_say_what_is_missing() {
    let hba = ["host all rejected 127.0.0.1/32 reject", "host all all 127.0.0.1/32 scram-sha-256"];
    let server = Cluster::primary(&["max_connections = 6"], &hba);
    server.sql("create role quorate login password 'secret'; grant pg_monitor to quorate");
    server.sql("create role bare login password 'secret'; create role rejected login");
    server.sql("create role unlogged password 'secret'");
    let target = || database(server.port);

    let sighted = look_into(target(), Some(("quorate", Some("secret")))).await;
    assert!(matches!(sighted.outcome, Outcome::Up(Some(_))), "{sighted:?}");
    assert!(sighted.phases.process.is_some());

    let sighted = look_into(target(), None).await;
    assert_eq!(invalid(&sighted).kind, FaultKind::NoCredential);
    assert!(invalid(&sighted).text.contains("`shop-db`"));

    for (user, password, words) in [
        ("quorate", Some("wrong"), "password authentication failed"),
        ("quorate", None, "password missing"),
        ("nobody", Some("secret"), "password authentication failed"),
        ("rejected", None, "rejects connection"),
        ("unlogged", Some("secret"), "not permitted to log in"),
        ("bare", Some("secret"), "grant pg_monitor to \"bare\""),
    ] {
        let sighted = look_into(target(), Some((user, password))).await;
        let fault = failed(&sighted);
        assert_eq!(fault.kind, FaultKind::Credential, "{user}: {fault}");
        assert!(fault.text.contains(words), "{user}: {fault}");
    }

    // Three of six are the superuser's; these three looks never end their sessions.
    let mut sessions = Vec::new();
    let until = Instant::now() + Duration::from_secs(20);
    while sessions.len() < 3 {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(server.port).user("quorate").password("secret");
        config.dbname("postgres");
        // A look that ended a moment ago may hold its place still.
        match config.connect(tokio_postgres::NoTls).await {
            Ok((client, connection)) => sessions.push((client, tokio::spawn(connection))),
            Err(error) => assert!(Instant::now() < until, "no room: {error}"),
        }
    }
    let sighted = look_into(target(), Some(("quorate", Some("secret")))).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Unready, "{}", failed(&sighted));
    assert!(failed(&sighted).text.contains("remaining connection slots"), "{}", failed(&sighted));
}

#[tokio::test]
async fn a_look_leaves_no_session_and_no_line_in_the_log() {
    let server = Cluster::primary(&["log_disconnections = on"], TRUST);
    server.sql(ROLE);
    for _ in 0..3 {
        sight(&server).await;
    }
    server.wait_for("select count(*) from pg_stat_activity where usename = 'quorate'", "0");
    let log = server.log();
    assert!(!log.contains("could not") && !log.contains("unexpected EOF"), "{log}");
}

#[tokio::test]
async fn encryption_is_used_where_it_is_offered_and_binds_the_password() {
    let server = Cluster::primary(&[], &["hostssl all all 127.0.0.1/32 scram-sha-256"]);
    server.sql("create role quorate login password 'secret'; grant pg_monitor to quorate");
    let as_quorate =
        async || look_into(database(server.port), Some(("quorate", Some("secret")))).await;
    // Only encrypted connections are let in, and none is offered yet.
    let sighted = as_quorate().await;
    assert_eq!(failed(&sighted).kind, FaultKind::Credential, "{}", failed(&sighted));

    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["db.example".to_owned()]).expect("a name");
    server.write("server.crt", &params.self_signed(&key).expect("signed").pem());
    server.write("server.key", &key.serialize_pem());
    server.sql("alter system set ssl = on");
    server.sql("select pg_reload_conf()");
    server.wait_for("select current_setting('ssl')", "on");
    let sighted = as_quorate().await;
    assert!(matches!(sighted.outcome, Outcome::Up(Some(_))), "{sighted:?}");
    assert!(sighted.phases.tls.is_some());
}

#[tokio::test]
async fn what_only_looks_like_postgresql_is_told_from_it() {
    let login = Some(("quorate", Some("secret")));
    // Authentication accepted, then whatever follows.
    let accepting = |rest: Vec<u8>| {
        serve(move |mut stream| {
            let rest = rest.clone();
            async move {
                let mut request = [0; 8];
                let _ = stream.read_exact(&mut request).await;
                let _ = stream.write_all(b"N").await;
                let length = stream.read_u32().await.unwrap_or(4) as usize;
                let _ = stream.read_exact(&mut vec![0; length.min(1024) - 4]).await;
                let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\0").await;
                let _ = stream.write_all(&rest).await;
                let _ = stream.read_u32().await;
            }
        })
    };
    let notices: Vec<u8> = b"N\0\0\0\x09SINFO\0".repeat(20_000);
    let endless_row = [b"Z\0\0\0\x05ID\x7f\xff\xff\xff".to_vec(), vec![0; 200_000]].concat();
    let fatal = b"E\0\0\0\x2eSFATAL\0C57P03\0Mthe system is starting up\0\0".to_vec();
    let of_version = |version: &str| {
        let status = [b"server_version\0", version.as_bytes(), b"\0"].concat();
        let length = u32::try_from(status.len() + 4).expect("a short text").to_be_bytes();
        accepting([b"S", &length[..], &status, b"Z\0\0\0\x05I"].concat())
    };
    let cases = [
        ("old", of_version("11.22").await, FaultKind::Unready, "version `11.22`, expected 12"),
        ("ancient", of_version("9.6.24").await, FaultKind::Unready, "expected 12 or newer"),
        ("strange", of_version("devel").await, FaultKind::Unready, "version `devel`"),
        // It is asked, and hangs up.
        ("new", of_version("17beta1").await, FaultKind::Reset, ""),
        ("web server", serve_text("HTTP/1.1 400 Bad\r\n\r\n").await, FaultKind::Timeout, ""),
        ("mail", serve_first(b"220 mail ready\r\n").await, FaultKind::Protocol, "right?"),
        // Its first letter is PostgreSQL's "yes, encrypt".
        ("SSH", serve_first(b"SSH-2.0-OpenSSH\r\n").await, FaultKind::Tls, "not speak TLS"),
        ("no process", serve_first(b"Ecould not fork\0").await, FaultKind::Unready, "no session"),
        ("closing", serve_first(b"").await, FaultKind::Reset, "closed"),
        ("garbage", accepting(b"\xff\xff\xff\xff\xff\xff".to_vec()).await, FaultKind::Protocol, ""),
        ("notices", accepting(notices).await, FaultKind::Protocol, "exceeds 65536"),
        ("endless row", accepting(endless_row).await, FaultKind::Protocol, "exceeds 65536"),
        ("starting", accepting(fatal).await, FaultKind::Unready, "starting up"),
        ("silent", accepting(vec![]).await, FaultKind::Timeout, "waiting for an answer"),
        (
            "unasked answer",
            accepting(b"Z\0\0\0\x05IC\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I".to_vec()).await,
            FaultKind::Protocol,
            "unexpected message",
        ),
    ];
    for (name, at, kind, words) in cases {
        let limit = Duration::from_millis(800);
        let sighted = look_into_within(database(at.port()), login, limit).await;
        let fault = failed(&sighted);
        assert_eq!(fault.kind, kind, "{name}: {fault}");
        assert!(fault.text.contains(words), "{name}: {fault}");
        assert!(sighted.took < limit * 2, "{name}: {:?}", sighted.took);
    }
}

/// A server that says this at once and closes.
async fn serve_first(text: &'static [u8]) -> std::net::SocketAddr {
    serve(move |mut stream| async move {
        let _ = stream.write_all(text).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}
