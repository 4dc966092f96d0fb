//! MySQL's own dialect against a scripted server: what is read, and every statement that is sent.

use std::sync::Arc;
use std::time::Duration;

use agent::config::Credentials;
use consensus::model::{
    ActionFaultKind, Candidate, Database, DatabaseSight, Effect, Engine, FaultKind, Outcome,
    TargetId, Watched,
};
use consensus::outbox::{Look, Subject};
use probe::{Login, Means};

use crate::common::mysql8::{MySql8, State, uuid};
use crate::{act, kind, login, text, token};

/// The last of the old words, and the first long-lived version of the new.
const VERSIONS: [&str; 2] = ["8.0.36", "8.4.3"];

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
    [("main".parse().expect("a name"), login("quorate", Some("quorate")))].into()
}

async fn look(server: &MySql8) -> Outcome {
    look_with(server, &Means::of_host(None)).await
}

async fn look_with(server: &MySql8, means: &Means) -> Outcome {
    let target = TargetId {
        app: "shop".parse().expect("a name"),
        stack: "a".parse().expect("a name"),
        name: "main".parse().expect("a name"),
    };
    let look = Look {
        watched: Watched::Target(target),
        subject: Subject::Database(Arc::new(database(server.port))),
        limit: Duration::from_secs(10),
    };
    let login = Login::new("quorate", Some("quorate"));
    probe::look(&look, &means.with_login(Some(Arc::new(login)))).await.outcome
}

async fn sight(server: &MySql8) -> DatabaseSight {
    sight_with(server, &Means::of_host(None)).await
}

async fn sight_with(server: &MySql8, means: &Means) -> DatabaseSight {
    match look_with(server, means).await {
        Outcome::Up(Some(sight)) => sight,
        other => panic!("expected a sight, found {other:?}"),
    }
}

async fn unready(server: &MySql8) -> String {
    match look(server).await {
        Outcome::Failed(fault) if fault.kind == FaultKind::Unready => fault.text,
        other => panic!("expected a fault, found {other:?}"),
    }
}

async fn pair(version: &'static str) -> [MySql8; 2] {
    let primary = MySql8::start(State::primary(version, 1)).await;
    let replica = MySql8::start(State::replica(version, 2, 1, primary.port)).await;
    [primary, replica]
}

const fn place(offset: u64) -> u64 {
    1 << 32 | offset
}

#[tokio::test]
async fn a_mysql_that_is_set_up_for_group_replication_is_not_driven() {
    for version in VERSIONS {
        let server =
            MySql8::start(State { group: Some("shop"), ..State::primary(version, 1) }).await;
        let text = unready(&server).await;
        assert!(text.contains("Group Replication"), "{text}");
        // The plugin is loaded, and no more.
        server.change(|it| it.group = Some(""));
        sight(&server).await;
    }
}

#[tokio::test]
async fn mysql_says_who_it_is_in_words_of_its_own() {
    for version in VERSIONS {
        let [primary, replica] = pair(version).await;
        let (first, second) = (sight(&primary).await, sight(&replica).await);
        assert!(!first.replica && !first.read_only && first.synchronous.is_empty());
        assert_eq!((first.system, first.position), (1, place(700)));
        assert!(second.replica && second.read_only && second.streaming, "{second:?}");
        assert_eq!((second.system, second.position, second.replayed), (1, place(700), place(600)));
        assert_eq!(second.lag, None, "one look tells nothing of what does not come");
        let means = Means::of_host(None);
        sight_with(&replica, &means).await;
        replica.change(|it| it.source.as_mut().expect("a replica").received += 1);
        let third = sight_with(&replica, &means).await;
        assert_eq!(third.lag, Some(Duration::from_secs(2)), "as it says itself");
        assert_eq!(second.upstream_name.as_deref(), Some("2"));

        primary.change(|it| {
            (it.replicas, it.confirm) = (vec![2], 1);
            it.semi_sync = vec![
                ("source_enabled", "ON"),
                ("source_timeout", "4294967295"),
                ("source_wait_point", "AFTER_SYNC"),
            ];
        });
        assert_eq!(sight(&primary).await.synchronous, ["2"]);
        // One receives and confirms nothing; two confirm, and of one of them nobody is told.
        for confirm in [0, 2] {
            primary.change(|it| it.confirm = confirm);
            assert!(sight(&primary).await.synchronous.is_empty(), "{confirm} confirm");
        }
        primary.change(|it| it.confirm = 1);
        // A commit that goes on without after ten seconds waits for nobody.
        primary.change(|it| it.semi_sync[1].1 = "10000");
        assert!(sight(&primary).await.synchronous.is_empty());
        replica.change(|it| it.source.as_mut().expect("a replica").auto_position = false);
        assert!(unready(&replica).await.contains("SOURCE_AUTO_POSITION"));
    }
    let old = MySql8::start(State::primary("5.7.44", 1)).await;
    assert!(unready(&old).await.contains("expected MariaDB 10.5 or MySQL 8.0.23"));
}

#[tokio::test]
async fn mysql_is_fenced_for_administrators_too_and_opened_again() {
    for version in VERSIONS {
        let [primary, _] = pair(version).await;
        let fence = Effect::Fence(database(primary.port));
        let fenced = act(&role(), token(2, 1), fence.clone()).await;
        assert_eq!(fenced.as_ref().map(|done| done.position), Ok(Some(place(700))), "{fenced:?}");
        let state = primary.state();
        assert!(state.super_read_only && state.read_only);
        assert!(state.said.contains(&"kill connection 41".to_owned()), "{:?}", state.said);
        let opened = act(&role(), token(3, 2), Effect::Unfence(database(primary.port))).await;
        assert_eq!(text(&opened), "takes writes", "{opened:?}");
        let state = primary.state();
        assert!(!state.super_read_only && !state.read_only);
        assert_eq!(state.token, Some(token(3, 2).0));
        let late = act(&role(), token(2, 1), fence).await;
        assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
    }
}

#[tokio::test]
async fn a_mysql_replica_is_promoted_once_and_the_old_primary_follows_or_its_own_are_named() {
    for version in VERSIONS {
        let [old, new] = pair(version).await;
        let name = "main".parse().expect("a name");
        let candidate = Candidate { name, system: 1, timeline: 1, position: place(700) };
        let promote = |candidate: &Candidate| Effect::Promote {
            database: database(new.port),
            candidate: candidate.clone(),
            at_least: None,
        };
        let stale = Candidate { position: place(701), ..candidate.clone() };
        let refused = act(&role(), token(2, 3), promote(&stale)).await;
        assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
        for before in ["promoted", "was promoted before"] {
            let promoted = act(&role(), token(2, 3), promote(&candidate)).await;
            assert_eq!(text(&promoted), before, "{promoted:?}");
        }
        let state = new.state();
        assert!(state.source.is_none() && !state.read_only && !state.super_read_only);
        assert_eq!(state.token, Some(token(2, 3).0));
        let at = |what: &str| state.said.iter().position(|it| it.starts_with(what));
        let order = [
            "stop replica io_thread",
            "stop replica",
            "insert into quorate.epoch",
            "reset replica all",
            "set global read_only = 0",
        ];
        let order = order.map(at);
        assert!(order.is_sorted() && order[0].is_some(), "{:?}", state.said);

        old.change(|it| it.semi_sync = vec![("source_enabled", "ON"), ("replica_enabled", "ON")]);
        let follow = Effect::Follow { database: database(old.port), primary: database(new.port) };
        let followed = act(&role(), token(2, 4), follow.clone()).await;
        assert!(text(&followed).starts_with("follows `"), "{followed:?}");
        let state = old.state();
        let source = state.source.expect("it follows");
        assert!(source.running && source.auto_position && state.super_read_only);
        assert_eq!(
            state.semi_sync,
            [("replica_enabled", "ON")],
            "it would wait for one of its own"
        );
        assert_eq!(source.port, new.port);

        old.change(|it| {
            it.source = None;
            it.executed.values_mut().for_each(|last| *last += 2);
        });
        let refused = act(&role(), token(2, 4), follow.clone()).await;
        assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
        assert!(text(&refused).contains("-000000000000:8-9"), "{refused:?}");

        // Back without its data, or after what it lacks was purged, it would follow and never arrive.
        old.change(|it| it.executed.clear());
        let empty = act(&role(), token(2, 4), follow.clone()).await;
        assert_eq!(kind(&empty), Some(ActionFaultKind::Refused), "{empty:?}");
        assert!(text(&empty).contains("is empty, and `127.0.0.1:"), "{empty:?}");
        old.change(|it| it.executed = [(uuid(1), 1)].into());
        new.change(|it| it.purged = "00000002-0000-0000-0000-000000000000:1-3");
        let late = act(&role(), token(2, 4), follow).await;
        assert_eq!(kind(&late), Some(ActionFaultKind::Refused), "{late:?}");
        assert!(text(&late).contains("has no more (00000002-"), "{late:?}");
        assert!(old.state().source.is_none());
    }
}
