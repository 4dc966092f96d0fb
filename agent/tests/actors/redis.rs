//! A real Redis: looked at, fenced, opened again, promoted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::actors::Actors;
use agent::clock;
use agent::config::{Credentials, DoorConfig};
use consensus::model::{
    ActionFault, ActionFaultKind, Candidate, Database, DatabaseSight, Done, Effect, Engine,
    FaultKind, Outcome, TargetId, Watched,
};
use consensus::outbox::{Look, Subject};
use probe::redis::resp::{Link, Reply};
use probe::{Login, Means};
use tokio::net::TcpStream;

use crate::common::redis::{Make, ROLE, Redis};
use crate::common::{eventually, free_port};
use crate::{act, kind, login, report, text, token};

const KEY: &str = "quorate:epoch:shop";

fn database(port: u16) -> Database {
    Database {
        name: "cache".parse().expect("a name"),
        engine: Engine::Redis,
        address: "127.0.0.1".to_owned(),
        port,
        credential: "cache".parse().expect("a name"),
        guard: None,
        view: Default::default(),
    }
}

fn credentials(user: &str, password: Option<&str>) -> Credentials {
    [("cache".parse().expect("a name"), login(user, password))].into()
}

fn anybody() -> Credentials {
    credentials("default", None)
}

async fn look(port: u16, user: &str, password: Option<&str>) -> Outcome {
    let target = TargetId {
        app: "shop".parse().expect("a name"),
        stack: "a".parse().expect("a name"),
        name: "cache".parse().expect("a name"),
    };
    let look = Look {
        watched: Watched::Target(target),
        subject: Subject::Database(Arc::new(database(port))),
        limit: Duration::from_secs(10),
    };
    let login = Login::new(user, password);
    probe::look(&look, &Means::of_host(None).with_login(Some(Arc::new(login)))).await.outcome
}

async fn sight(redis: &Redis) -> DatabaseSight {
    match look(redis.port, "default", None).await {
        Outcome::Up(Some(sight)) => sight,
        other => panic!("expected a sight, found {other:?}"),
    }
}

async fn fault(port: u16, user: &str, password: Option<&str>) -> (FaultKind, String) {
    match look(port, user, password).await {
        Outcome::Failed(fault) => (fault.kind, fault.text),
        other => panic!("expected a failure, found {other:?}"),
    }
}

/// The replica as a decision would have seen it.
async fn candidate(replica: &Redis) -> Candidate {
    let sight = sight(replica).await;
    let DatabaseSight { system, timeline, position, .. } = sight;
    Candidate { name: "cache".parse().expect("a name"), system, timeline, position }
}

fn promote(replica: &Redis, candidate: &Candidate, at_least: Option<u64>) -> Effect {
    Effect::Promote { database: database(replica.port), candidate: candidate.clone(), at_least }
}

async fn set(redis: &Redis, key: &str) -> Reply {
    redis.ask(&["SET", key, "x"]).await
}

fn ok() -> Reply {
    Reply::Text("OK".to_owned())
}

/// Waits until a replica has all that its primary wrote.
async fn caught_up(primary: &Redis, replica: &Redis) {
    eventually("the replica has caught up", || async {
        let (ahead, behind) = (sight(primary).await.position, sight(replica).await);
        (ahead <= behind.replayed).then_some(())
    })
    .await;
}

async fn redis_says_who_it_is_and_what_it_lacks(make: Make) {
    let primary = make.primary().await;
    let mut replica = primary.replica().await;
    assert_eq!(set(&primary, "a").await, ok());
    caught_up(&primary, &replica).await;
    let (first, second) = (sight(&primary).await, sight(&replica).await);
    assert!(!first.replica && !first.read_only && !first.streaming);
    assert!(second.replica && second.read_only && second.streaming);
    assert_eq!(first.system, second.system, "one history");
    assert!(0 < first.position && first.position <= second.position);
    assert_eq!(second.upstream_name.as_deref(), Some(&*format!("127.0.0.1:{}", primary.port)));
    assert_eq!(second.lag, second.heard);
    assert!(second.heard.is_some_and(|heard| heard < Duration::from_secs(5)), "{second:?}");

    // Another server, of no kin.
    let stranger = make.primary().await;
    assert_ne!(sight(&stranger).await.system, first.system);

    replica.kill();
    assert_eq!(fault(replica.port, "default", None).await.0, FaultKind::Refused);
}

async fn redis_that_answers_is_told_apart_from_one_that_is_dead(make: Make) {
    let redis = make.start(&["--requirepass", "right", "--maxclients", "4"]).await;
    for (user, password) in
        [("default", Some("wrong")), ("nobody", Some("right")), ("default", None)]
    {
        let (kind, text) = fault(redis.port, user, password).await;
        assert_eq!(kind, FaultKind::Credential, "{user}: {text}");
    }
    assert!(matches!(look(redis.port, "default", Some("right")).await, Outcome::Up(Some(_))));
    // Full: every further connection is turned away with a word.
    let mut held = Vec::new();
    let full = eventually("the looks before have left, and no place is left", async || {
        let stream = TcpStream::connect(("127.0.0.1", redis.port)).await.expect("it listens");
        let mut link = Link::over(stream);
        let _ = link.ask(&["PING"]).await;
        held.push(link);
        match look(redis.port, "default", Some("right")).await {
            Outcome::Failed(fault) => Some(fault),
            _ => None,
        }
    })
    .await;
    assert_eq!(full.kind, FaultKind::Unready, "{full}");
    // A cluster moves its own primaries.
    let cluster = make.start(&["--cluster-enabled", "yes"]).await;
    let (kind, text) = fault(cluster.port, "default", None).await;
    assert_eq!(kind, FaultKind::Unready);
    assert!(text.contains("cluster mode"), "{text}");
    // And something that is no Redis at all.
    let (kind, _) = fault(free_port(), "default", None).await;
    assert_eq!(kind, FaultKind::Refused);
}

async fn a_fenced_redis_takes_no_writes_feeds_its_replica_and_opens_again(make: Make) {
    let primary = make.start(&["--min-replicas-to-write", "1"]).await;
    let replica = primary.replica().await;
    primary.grant_documented_rights().await;
    let role = credentials(ROLE, Some(ROLE));
    eventually("a replica suffices", || async { (set(&primary, "a").await == ok()).then_some(()) })
        .await;
    let stream = TcpStream::connect(("127.0.0.1", primary.port)).await.expect("it listens");
    let mut client = Link::over(stream);
    assert_eq!(client.ask(&["SET", "b", "x"]).await.expect("it answers"), ok());

    let fence = Effect::Fence(database(primary.port));
    for _ in 0..2 {
        let fenced = act(&role, token(2, 1), fence.clone()).await;
        assert!(text(&fenced).contains("refuses writes"), "{fenced:?}");
        let done = fenced.expect("it is fenced");
        assert!(!done.proven);
        assert!(done.position.is_some());
    }
    assert!(client.ask(&["SET", "c", "x"]).await.is_err(), "its session was ended");
    let refused = set(&primary, "c").await;
    assert!(refused.refusal().is_some_and(|why| why.starts_with("NOREPLICAS")), "{refused:?}");
    assert!(sight(&primary).await.read_only, "and a look says so");
    assert!(sight(&replica).await.streaming);
    let told = act(&role, token(2, 1), Effect::Fence(database(replica.port))).await;
    assert_eq!(
        kind(&told),
        Some(ActionFaultKind::Refused),
        "the replica has no such user: {told:?}"
    );
    let told = act(&anybody(), token(2, 1), Effect::Fence(database(replica.port))).await;
    assert!(text(&told).contains("is a replica"), "{told:?}");

    // Taken back, under a newer token; what its owner asked for is there again.
    let opened = act(&role, token(3, 2), Effect::Unfence(database(primary.port))).await;
    assert_eq!(text(&opened), "takes writes", "{opened:?}");
    assert_eq!(set(&primary, "c").await, ok());
    let required = primary.ask(&["CONFIG", "GET", "min-replicas-to-write"]).await;
    assert_eq!(required.setting("min-replicas-to-write"), Some("1"));
    // A late fence of the decision that was taken back.
    let late = act(&role, token(2, 1), fence).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    assert_eq!(set(&primary, "d").await, ok());
}

async fn a_redis_replica_is_promoted_once_with_all_it_received(make: Make) {
    let mut primary = make.primary().await;
    // Both ask for a replica before they take a write: a new primary has none yet, and is marked nevertheless.
    let replica = primary.replica().await;
    replica.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    assert_eq!(set(&primary, "a").await, ok());
    caught_up(&primary, &replica).await;
    let candidate = candidate(&replica).await;
    primary.kill();
    replica.until("master_link_status", "down").await;

    let more = Candidate { position: candidate.position + 1_000, ..candidate.clone() };
    let stale = act(&anybody(), token(2, 3), promote(&replica, &more, None)).await;
    assert_eq!(kind(&stale), Some(ActionFaultKind::Refused), "{stale:?}");
    let other = Candidate { system: 7, ..candidate.clone() };
    let stranger = act(&anybody(), token(2, 3), promote(&replica, &other, None)).await;
    assert_eq!(kind(&stranger), Some(ActionFaultKind::Refused), "{stranger:?}");
    assert_eq!(replica.info("role").await, "slave", "neither was promoted");

    for before in ["promoted, at", "was promoted before"] {
        let promoted = act(&anybody(), token(2, 3), promote(&replica, &candidate, None)).await;
        assert!(text(&promoted).starts_with(before), "{promoted:?}");
    }
    assert_eq!(replica.info("role").await, "master");
    assert_eq!(replica.ask(&["GET", "a"]).await, Reply::Text("x".to_owned()));
    assert_eq!(replica.ask(&["GET", KEY]).await, Reply::Text(token(2, 3).0.to_string()));
    let required = replica.ask(&["CONFIG", "GET", "min-replicas-to-write"]).await;
    assert_eq!(required.setting("min-replicas-to-write"), Some("1"));
    // What an executor that was paused asks for much later.
    let late = act(&anybody(), token(1, 3), promote(&replica, &candidate, None)).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    let late = act(&anybody(), token(1, 1), Effect::Fence(database(replica.port))).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
}

async fn a_redis_replica_that_lacks_something_is_waited_for_as_long_as_the_limit_says(make: Make) {
    let primary = make.primary().await;
    let replica = primary.replica().await;
    assert_eq!(set(&primary, "a").await, ok());
    caught_up(&primary, &replica).await;
    let candidate = candidate(&replica).await;
    let more = candidate.position + 1_000;
    let (asked, role) = (Instant::now(), anybody());
    let waiting = act(&role, token(2, 3), promote(&replica, &candidate, Some(more)));
    let late = async {
        // It looks every few milliseconds: a thousand times.
        while asked.elapsed() < Duration::from_secs(3) {
            assert_eq!(replica.info("role").await, "slave");
        }
        let long = "x".repeat(2_000);
        assert_eq!(primary.ask(&["SET", "late", &long]).await, ok());
    };
    let (promoted, ()) = tokio::join!(waiting, late);
    assert!(text(&promoted).starts_with("promoted, at"), "{promoted:?}");
    assert!(Duration::from_secs(3) < asked.elapsed());
    assert_eq!(replica.ask(&["EXISTS", "late"]).await, Reply::Number(1));
}

async fn a_redis_that_is_gone_refuses_nothing_and_may_be_asked_again(make: Make) {
    let gone = act(&anybody(), token(2, 1), Effect::Fence(database(free_port()))).await;
    assert_eq!(kind(&gone), Some(ActionFaultKind::Unknown), "{gone:?}");
    let redis = make.start(&["--requirepass", "right"]).await;
    let wrong = credentials("default", Some("wrong"));
    let refused = act(&wrong, token(2, 1), Effect::Fence(database(redis.port))).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
}

fn follow(database_port: u16, primary_port: u16) -> Effect {
    Effect::Follow { database: database(database_port), primary: database(primary_port) }
}

async fn redis_follows_the_new_primary_and_nobody_that_would_wipe_it(make: Make) {
    let old = make.primary().await;
    let (mut new, third) = (old.replica().await, old.replica().await);
    assert_eq!(set(&old, "a").await, ok());
    caught_up(&old, &new).await;
    caught_up(&old, &third).await;

    // The old primary goes on alone for a while: what it takes then nobody else has.
    let candidate = candidate(&new).await;
    let promoted = act(&anybody(), token(2, 3), promote(&new, &candidate, None)).await;
    assert!(promoted.is_ok(), "{promoted:?}");
    assert_eq!(set(&old, "b").await, ok());
    assert_eq!(set(&new, "c").await, ok());
    let told = act(&anybody(), token(2, 4), follow(third.port, new.port)).await;
    assert_eq!(text(&told), format!("follows `127.0.0.1:{}`", new.port));
    third.until("master_link_status", "up").await;
    let told = act(&anybody(), token(2, 4), follow(old.port, new.port)).await;
    assert!(text(&told).contains("gives up the last"), "{told:?}");
    old.until("master_link_status", "up").await;
    caught_up(&new, &old).await;
    assert_eq!(old.ask(&["GET", "b"]).await, Reply::Nothing);
    assert_eq!(old.ask(&["GET", "c"]).await, Reply::Text("x".to_owned()));
    let told = act(&anybody(), token(2, 4), follow(old.port, new.port)).await;
    assert!(text(&told).contains("already"), "{told:?}");

    // An executor of before asks for the old order of things.
    let late = act(&anybody(), token(1, 4), follow(third.port, old.port)).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");

    // A server with data of its own is left alone, and one that came back empty is followed by nobody.
    let stranger = make.primary().await;
    assert_eq!(set(&stranger, "precious").await, ok());
    let refused = act(&anybody(), token(2, 4), follow(stranger.port, new.port)).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert!(text(&refused).contains("by hand"), "{refused:?}");
    old.ask(&["REPLICAOF", "NO", "ONE"]).await;
    new.kill();
    // What it once was sent by its primary lies there still.
    let _ = std::fs::remove_file(new.folder.path().join("dump.rdb"));
    new.restart().await;
    for (port, words) in [(old.port, "older"), (stranger.port, "wipe")] {
        let refused = act(&anybody(), token(2, 4), follow(port, new.port)).await;
        assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
        assert!(text(&refused).contains(words), "{refused:?}");
    }
    assert_eq!(stranger.ask(&["GET", "precious"]).await, Reply::Text("x".to_owned()));
}

async fn a_redis_that_was_started_again_from_its_file_follows_if_it_has_nothing_of_its_own(
    make: Make,
) {
    let mut old = make.primary().await;
    let new = old.replica().await;
    assert_eq!(set(&old, "a").await, ok());
    old.save().await;
    // Of this its file knows nothing.
    assert_eq!(set(&old, "b").await, ok());
    caught_up(&old, &new).await;
    old.kill();
    let candidate = candidate(&new).await;
    let promoted = act(&anybody(), token(2, 3), promote(&new, &candidate, None)).await;
    assert!(promoted.is_ok(), "{promoted:?}");
    old.restart().await;
    assert_eq!(old.ask(&["GET", "a"]).await, Reply::Text("x".to_owned()));

    // With something that the new primary never had it is left alone.
    assert_eq!(set(&old, "its own").await, ok());
    let refused = act(&anybody(), token(2, 4), follow(old.port, new.port)).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert_eq!(old.ask(&["GET", "its own"]).await, Reply::Text("x".to_owned()));

    old.kill();
    old.restart().await;
    let told = act(&anybody(), token(2, 4), follow(old.port, new.port)).await;
    assert_eq!(text(&told), format!("follows `127.0.0.1:{}`", new.port));
    old.until("master_link_status", "up").await;
    caught_up(&new, &old).await;
    assert_eq!(old.ask(&["GET", "b"]).await, Reply::Text("x".to_owned()));
}

/// As a guard, or as somebody else, with a door of which `rejoin` keeps things aside or not.
async fn follow_as(agent: Option<&str>, keeps: bool, effect: Effect) -> Result<Done, ActionFault> {
    let door = DoorConfig {
        app: "shop".parse().expect("a name"),
        database: "cache".parse().expect("a name"),
        ports: vec![],
        allow: vec![],
        rejoin: if keeps { vec!["keep".to_owned()] } else { vec![] },
        heartbeat: false,
    };
    let actors = |credentials, inputs| {
        let actors = Actors::new(credentials, inputs);
        match agent {
            Some(agent) => actors.guarding(&agent.parse().expect("a name"), &[door]),
            None => actors,
        }
    };
    let limit = Duration::from_secs(5);
    report(actors, &anybody(), token(2, 4), effect, clock::now() + limit, limit).await.result
}

async fn what_a_guard_may_keep_aside_is_dropped_by_nobody(make: Make) {
    let old = make.primary().await;
    let (new, third) = (old.replica().await, old.replica().await);
    assert_eq!(set(&old, "a").await, ok());
    caught_up(&old, &new).await;
    let candidate = candidate(&new).await;
    let promoted = act(&anybody(), token(2, 3), promote(&new, &candidate, None)).await;
    assert!(promoted.is_ok(), "{promoted:?}");
    assert_eq!(set(&old, "b").await, ok());
    let guarded = |port| {
        let guard = Some("g1".parse().expect("a name"));
        let database = Database { guard, ..database(port) };
        Effect::Follow { database, primary: self::database(new.port) }
    };
    for (agent, keeps, words) in [
        (None, false, "only its guard g1 may keep aside"),
        (Some("g2"), true, "only its guard g1 may keep aside"),
        (Some("g1"), true, "the `rejoin` of its door keeps that aside"),
    ] {
        let refused = follow_as(agent, keeps, guarded(old.port)).await;
        assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
        assert!(text(&refused).contains(words), "{refused:?}");
        assert_eq!(old.info("role").await, "master");
    }
    // One that has nothing of its own is nobody's concern; and where nobody keeps anything, it is said what is given up.
    let told = follow_as(Some("g1"), true, guarded(third.port)).await;
    assert_eq!(text(&told), format!("follows `127.0.0.1:{}`", new.port));
    let told = follow_as(Some("g1"), false, guarded(old.port)).await;
    assert!(text(&told).contains("gives up the last"), "{told:?}");
    old.until("master_link_status", "up").await;
}

servers!(
    real,
    Make::Redis,
    [
        redis_says_who_it_is_and_what_it_lacks,
        redis_that_answers_is_told_apart_from_one_that_is_dead,
        a_fenced_redis_takes_no_writes_feeds_its_replica_and_opens_again,
        a_redis_replica_is_promoted_once_with_all_it_received,
        a_redis_replica_that_lacks_something_is_waited_for_as_long_as_the_limit_says,
        a_redis_that_is_gone_refuses_nothing_and_may_be_asked_again,
        redis_follows_the_new_primary_and_nobody_that_would_wipe_it,
        a_redis_that_was_started_again_from_its_file_follows_if_it_has_nothing_of_its_own,
        what_a_guard_may_keep_aside_is_dropped_by_nobody,
    ]
);
// Where Valkey could be another: in what it says of itself and of its history, in its settings, and in the words of its refusals.
servers!(
    foreign_valkey,
    Make::Valkey,
    [
        redis_says_who_it_is_and_what_it_lacks,
        redis_that_answers_is_told_apart_from_one_that_is_dead,
        a_fenced_redis_takes_no_writes_feeds_its_replica_and_opens_again,
        a_redis_replica_is_promoted_once_with_all_it_received,
        redis_follows_the_new_primary_and_nobody_that_would_wipe_it,
        a_redis_that_was_started_again_from_its_file_follows_if_it_has_nothing_of_its_own,
    ]
);
