//! A real MariaDB: looked at, fenced, opened again, promoted, told whom to follow.

use std::sync::Arc;
use std::time::Duration;

use agent::config::Credentials;
use consensus::model::{
    ActionFaultKind, Candidate, Database, DatabaseSight, Effect, Engine, FaultKind, Outcome,
    TargetId, Watched,
};
use consensus::outbox::{Look, Subject};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use probe::{Login, Means};

use crate::common::mariadb::{MariaDb, ROLE};
use crate::common::{eventually, free_port};
use crate::{act, kind, login, text, token};

const TOKEN: &str = "select token from quorate.epoch where app = 'shop'";

fn database(port: u16) -> Database {
    Database {
        name: "main".parse().expect("a name"),
        engine: Engine::Mysql,
        address: "127.0.0.1".to_owned(),
        port,
        credential: "main".parse().expect("a name"),
        guard: None,
        view: Default::default(),
    }
}

fn role() -> Credentials {
    [("main".parse().expect("a name"), login(ROLE, Some(ROLE)))].into()
}

async fn look(port: u16, password: &str) -> Outcome {
    look_with(port, password, &Means::of_host(None)).await
}

async fn look_with(port: u16, password: &str, means: &Means) -> Outcome {
    let target = TargetId {
        app: "shop".parse().expect("a name"),
        stack: "a".parse().expect("a name"),
        name: "main".parse().expect("a name"),
    };
    let look = Look {
        watched: Watched::Target(target),
        subject: Subject::Database(Arc::new(database(port))),
        limit: Duration::from_secs(10),
    };
    let login = Login::new(ROLE, Some(password));
    probe::look(&look, &means.with_login(Some(Arc::new(login)))).await.outcome
}

async fn sight(server: &MariaDb) -> DatabaseSight {
    sight_with(server, &Means::of_host(None)).await
}

async fn sight_with(server: &MariaDb, means: &Means) -> DatabaseSight {
    match look_with(server.port, ROLE, means).await {
        Outcome::Up(Some(sight)) => sight,
        other => panic!("expected a sight, found {other:?}"),
    }
}

async fn fault(port: u16, password: &str) -> (FaultKind, String) {
    match look(port, password).await {
        Outcome::Failed(fault) => (fault.kind, fault.text),
        other => panic!("expected a failure, found {other:?}"),
    }
}

/// A client that may do nothing but write.
async fn client(server: &MariaDb) -> Conn {
    log_in(server, "app").await.expect("it logs in")
}

/// A session of a user whose password is its name, if there is room for one.
async fn log_in(server: &MariaDb, user: &str) -> Option<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(server.port)
        .user(Some(user))
        .pass(Some(user))
        .prefer_socket(false);
    Conn::new(options).await.ok()
}

async fn insert(server: &MariaDb, row: u32) -> Result<(), String> {
    let sql = format!("insert into app.t values ({row})");
    client(server).await.query_drop(sql).await.map_err(|error| error.to_string())
}

async fn candidate(replica: &MariaDb) -> Candidate {
    let DatabaseSight { system, timeline, position, .. } = sight(replica).await;
    Candidate { name: "main".parse().expect("a name"), system, timeline, position }
}

fn promote(replica: &MariaDb, candidate: &Candidate) -> Effect {
    let (database, candidate) = (database(replica.port), candidate.clone());
    Effect::Promote { database, candidate, at_least: None }
}

fn follow(server: &MariaDb, primary: &MariaDb) -> Effect {
    Effect::Follow { database: database(server.port), primary: database(primary.port) }
}

#[tokio::test]
async fn mariadb_says_who_it_is_and_is_told_apart_from_one_that_is_dead() {
    let mut primary = MariaDb::primary().await;
    let replica = primary.replica().await;
    insert(&primary, 1).await.expect("it takes writes");
    replica.caught_up(&primary).await;
    let (first, second) = (sight(&primary).await, sight(&replica).await);
    assert!(!first.replica && !first.read_only);
    assert!(second.replica && second.read_only && second.streaming, "{second:?}");
    assert_eq!((first.system, second.system), (u64::from(primary.id), first.system));
    assert_eq!((second.position, second.replayed), (first.position, first.position));
    assert_eq!(second.lag, None, "one look tells nothing of what does not come");
    let means = Means::of_host(None);
    sight_with(&replica, &means).await;
    insert(&primary, 2).await.expect("it takes writes");
    replica.caught_up(&primary).await;
    assert_eq!(sight_with(&replica, &means).await.lag, Some(Duration::ZERO));
    assert!(first.synchronous.is_empty());

    for (delay, late) in [(60, true), (0, false)] {
        replica.sql("stop slave").await;
        replica.sql(&format!("change master to master_delay = {delay}")).await;
        replica.sql("start slave").await;
        match look(replica.port, ROLE).await {
            Outcome::Failed(fault) if late => {
                assert!(fault.text.contains("applies everything 60 s late"), "{fault}");
            }
            Outcome::Up(Some(_)) if !late => {}
            other => panic!("a delay of {delay} s: {other:?}"),
        }
    }

    let (kind, text) = fault(primary.port, "wrong").await;
    assert_eq!(kind, FaultKind::Credential, "{text}");
    let mut held = Vec::new();
    while let Some(client) = log_in(&primary, "app").await {
        held.push(client);
    }
    // One place is kept for whoever has `CONNECTION ADMIN`: a full server is still seen and fenced, until that is taken, too.
    assert!(matches!(look(primary.port, ROLE).await, Outcome::Up(Some(_))));
    // A session that has ended gives its place back a moment later: until then the server is full without being filled.
    let full = eventually("the server has no place for anybody", async || {
        while let Some(client) = log_in(&primary, ROLE).await {
            held.push(client);
        }
        match look(primary.port, ROLE).await {
            Outcome::Failed(fault) => Some(fault),
            _ => None,
        }
    })
    .await;
    assert_eq!(full.kind, FaultKind::Unready, "{full}");
    drop(held);
    assert_eq!(fault(free_port(), ROLE).await.0, FaultKind::Refused);

    // Every commit waits for the one replica, for ever.
    primary.sql("set global rpl_semi_sync_master_timeout = 1000000000").await;
    primary.sql("set global rpl_semi_sync_master_wait_point = 'AFTER_SYNC'").await;
    primary.sql("set global rpl_semi_sync_master_enabled = 1").await;
    // It receives, and confirms nothing: with nobody else there, a commit waits for whoever comes to confirm it.
    let alone = sight(&primary).await.synchronous;
    assert!(alone.is_empty(), "{alone:?}");
    replica.sql("set global rpl_semi_sync_slave_enabled = 1").await;
    replica.sql("stop slave io_thread").await;
    replica.sql("start slave io_thread").await;
    eventually("the replica is waited for", || async {
        let found = sight(&primary).await.synchronous;
        (found == [replica.id.to_string()]).then_some(())
    })
    .await;
    assert_eq!(sight(&replica).await.upstream_name, Some(replica.id.to_string()));

    primary.kill();
    eventually("the replica lost its link", || async {
        (!sight(&replica).await.streaming).then_some(())
    })
    .await;
    let left = sight(&replica).await;
    assert!(second.position <= left.position && left.system == second.system, "{left:?}");
}

#[tokio::test]
async fn a_fenced_mariadb_takes_no_writes_feeds_its_replica_and_opens_again() {
    let primary = MariaDb::primary().await;
    let replica = primary.replica().await;
    let mut writer = client(&primary).await;
    writer.query_drop("begin").await.expect("it answers");
    writer.query_drop("insert into app.t values (1)").await.expect("it answers");

    let fence = Effect::Fence(database(primary.port));
    let fenced = act(&role(), token(2, 1), fence.clone()).await;
    assert!(text(&fenced).contains("read-only"), "{fenced:?}");
    let position = fenced.expect("it is fenced").position;
    assert!(position.is_some());
    assert!(writer.query_drop("commit").await.is_err(), "its session was ended");
    assert!(insert(&primary, 2).await.is_err());
    let seen = sight(&primary).await;
    assert!(seen.read_only && Some(seen.position) == position);
    assert!(sight(&replica).await.streaming);
    let told = act(&role(), token(2, 1), Effect::Fence(database(replica.port))).await;
    assert!(text(&told).contains("is a replica"), "{told:?}");

    let opened = act(&role(), token(3, 2), Effect::Unfence(database(primary.port))).await;
    assert_eq!(text(&opened), "takes writes", "{opened:?}");
    insert(&primary, 2).await.expect("it takes writes");
    let late = act(&role(), token(2, 1), fence).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    insert(&primary, 3).await.expect("it takes writes");
}

#[tokio::test]
async fn a_mariadb_replica_is_promoted_once_and_the_others_follow_it() {
    let mut old = MariaDb::primary().await;
    let (new, third) = (old.replica().await, old.replica().await);
    insert(&old, 1).await.expect("it takes writes");
    new.caught_up(&old).await;
    third.caught_up(&old).await;
    let candidate = candidate(&new).await;
    old.kill();

    let more = Candidate { position: candidate.position + 1_000, ..candidate.clone() };
    let stale = act(&role(), token(2, 3), promote(&new, &more)).await;
    assert_eq!(kind(&stale), Some(ActionFaultKind::Refused), "{stale:?}");
    let other = Candidate { system: 7_777, ..candidate.clone() };
    let stranger = act(&role(), token(2, 3), promote(&new, &other)).await;
    assert_eq!(kind(&stranger), Some(ActionFaultKind::Refused), "{stranger:?}");
    assert!(sight(&new).await.replica, "neither was promoted");

    for before in ["promoted", "was promoted before"] {
        let promoted = act(&role(), token(2, 3), promote(&new, &candidate)).await;
        assert_eq!(text(&promoted), before, "{promoted:?}");
    }
    assert_eq!(new.sql(TOKEN).await, token(2, 3).0.to_string());
    insert(&new, 2).await.expect("it takes writes");
    let late = act(&role(), token(1, 3), promote(&new, &candidate)).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");

    for before in ["follows `", "already"] {
        let told = act(&role(), token(2, 4), follow(&third, &new)).await;
        assert!(text(&told).contains(before), "{told:?}");
        third.caught_up(&new).await;
    }
    // The old primary has nothing of its own: it follows by GTID.
    old.restart().await;
    let told = act(&role(), token(2, 4), follow(&old, &new)).await;
    assert!(text(&told).starts_with("follows `"), "{told:?}");
    old.caught_up(&new).await;
    assert_eq!(old.sql("select count(*) from app.t").await, "2");
    assert!(sight(&old).await.replica);
    let late = act(&role(), token(1, 4), follow(&third, &old)).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
}

#[tokio::test]
async fn a_mariadb_with_transactions_that_nobody_has_is_left_alone_and_they_are_named() {
    let old = MariaDb::primary().await;
    let new = old.replica().await;
    let candidate = candidate(&new).await;
    let diverged = old.replica().await;
    diverged.sql("insert into app.t values (99)").await;
    let (kind_seen, said) = fault(diverged.port, ROLE).await;
    assert_eq!(kind_seen, FaultKind::Unready, "{said}");
    assert!(said.contains("of its own that no primary sent: 0-"), "{said}");
    let refused = act(&role(), token(2, 3), promote(&diverged, &candidate)).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    let promoted = act(&role(), token(2, 3), promote(&new, &candidate)).await;
    assert!(promoted.is_ok(), "{promoted:?}");
    insert(&old, 100).await.expect("nobody fenced it");
    insert(&old, 101).await.expect("nobody fenced it");
    let refused = act(&role(), token(2, 4), follow(&old, &new)).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert!(text(&refused).contains("never received (0-"), "{refused:?}");
    assert_eq!(old.sql("select count(*) from app.t").await, "2");
    assert!(!sight(&old).await.replica);
}

#[tokio::test]
async fn a_mariadb_whose_applier_was_stopped_applies_all_that_it_received_before_it_is_promoted() {
    for stopped in ["stop slave sql_thread", "stop slave"] {
        let mut old = MariaDb::primary().await;
        let new = old.replica().await;
        new.caught_up(&old).await;
        new.sql("stop slave sql_thread").await;
        for row in 1..=3 {
            insert(&old, row).await.expect("it takes writes");
        }
        let written = sight(&old).await.position;
        let behind = eventually("it has received all", async || {
            Some(sight(&new).await).filter(|it| it.position == written)
        })
        .await;
        assert!(behind.replayed < written, "{behind:?}");
        new.sql(stopped).await;
        let candidate = candidate(&new).await;
        old.kill();
        let promoted = act(&role(), token(2, 3), promote(&new, &candidate)).await;
        assert_eq!(text(&promoted), "promoted", "{promoted:?}");
        assert_eq!(new.sql("select count(*) from app.t").await, "3", "after `{stopped}`");
    }
}

/// What a commit waits for: a replica, for ever.
const WAITING: [&str; 3] = [
    "set global rpl_semi_sync_master_wait_point = 'AFTER_SYNC'",
    "set global rpl_semi_sync_master_timeout = 1000000000",
    "set global rpl_semi_sync_master_enabled = 1",
];

/// Clients whose rows wait for a replica that nobody is, each in a task that tells whether its row was acknowledged.
async fn waiting(primary: &MariaDb, clients: u32) -> Vec<tokio::task::JoinHandle<bool>> {
    for sql in WAITING {
        primary.sql(sql).await;
    }
    let mut tasks = Vec::new();
    for row in 0..clients {
        let mut client = client(primary).await;
        let sql = format!("insert into app.t values ({row})");
        tasks.push(tokio::spawn(async move { client.query_drop(sql).await.is_ok() }));
    }
    let asked = "select count(*) from information_schema.processlist where user = 'app' and \
                 state in ('Waiting for semi-sync ACK from slave', 'Commit')";
    eventually("all of them wait", || async {
        (primary.sql(asked).await == clients.to_string()).then_some(())
    })
    .await;
    tasks
}

/// How many were told that their row was taken.
async fn acknowledged(tasks: Vec<tokio::task::JoinHandle<bool>>) -> usize {
    let told = futures_util::future::join_all(tasks).await;
    told.into_iter().filter(|it| *it.as_ref().expect("no task panics")).count()
}

#[tokio::test]
async fn a_mariadb_whose_commits_wait_for_a_replica_is_seen_and_closed_and_acknowledges_none() {
    let primary = MariaDb::primary().await;
    let replica = primary.replica().await;
    insert(&primary, 100).await.expect("it takes writes");
    replica.caught_up(&primary).await;
    drop(replica);
    let before = sight(&primary).await.position;
    let clients = waiting(&primary, 5).await;
    // More often than there are places.
    for _ in 0..12 {
        assert_eq!(sight(&primary).await.position, before, "nothing of it is committed");
    }
    let sessions = "select count(*) from information_schema.processlist where user = 'quorate'";
    eventually("no look leaves a session behind", || async {
        (primary.sql(sessions).await == "0").then_some(())
    })
    .await;

    let fenced = act(&role(), token(2, 1), Effect::Fence(database(primary.port))).await;
    assert!(text(&fenced).contains("5 sessions ended"), "{fenced:?}");
    assert_eq!(acknowledged(clients).await, 0, "no replica has it");
    let position = fenced.expect("it is fenced").position;
    let log = primary.sql(
        "select variable_value from information_schema.global_status \
                           where variable_name = 'Binlog_snapshot_position'",
    );
    assert_eq!(position.map(|it| (it & 0xffff_ffff).to_string()), Some(log.await));
    assert_eq!(Some(sight(&primary).await.position), position);
    assert_eq!(primary.sql("select count(*) from app.t").await, "6");
}

#[tokio::test]
async fn an_old_mariadb_whose_commit_waits_for_a_replica_that_has_it_follows() {
    let old = MariaDb::primary().await;
    let new = old.replica().await;
    // It receives, and never says so.
    let clients = waiting(&old, 1).await;
    let candidate = candidate(&new).await;
    eventually("the replica has it", || async {
        (new.sql("select count(*) from app.t").await == "1").then_some(())
    })
    .await;
    let promoted = act(&role(), token(2, 3), promote(&new, &candidate)).await;
    assert_eq!(text(&promoted), "promoted", "{promoted:?}");
    let told = act(&role(), token(2, 4), follow(&old, &new)).await;
    assert!(text(&told).starts_with("follows `"), "{told:?}");
    assert_eq!(acknowledged(clients).await, 0, "nobody was told of it by the old one");
    insert(&new, 7).await.expect("it takes writes");
    old.caught_up(&new).await;
    assert_eq!(old.sql("select count(*) from app.t").await, "2");
}

#[tokio::test]
async fn an_old_mariadb_whose_commits_wait_is_said_to_have_transactions_of_its_own() {
    let old = MariaDb::primary().await;
    let new = old.replica().await;
    let candidate = candidate(&new).await;
    new.sql("stop slave io_thread").await;
    let _clients = waiting(&old, 2).await;
    let promoted = act(&role(), token(2, 3), promote(&new, &candidate)).await;
    assert_eq!(text(&promoted), "promoted", "{promoted:?}");
    let refused = act(&role(), token(2, 4), follow(&old, &new)).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert!(text(&refused).contains("never received (0-"), "{refused:?}");
    assert!(!sight(&old).await.replica);
}

#[tokio::test]
async fn a_node_of_a_galera_cluster_is_not_driven() {
    let options =
        format!("--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{}", free_port());
    let node = MariaDb::primary_with(&[
        "--wsrep-on=ON",
        "--wsrep-provider=/usr/lib/galera/libgalera_smm.so",
        "--wsrep-cluster-address=gcomm://",
        "--wsrep-node-address=127.0.0.1",
        "--binlog-format=ROW",
        &options,
    ])
    .await;
    let (kind, text) = fault(node.port, "quorate").await;
    assert!(kind == FaultKind::Unready && text.contains("Galera"), "{text}");
}
