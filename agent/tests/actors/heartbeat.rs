//! A row written to real servers: it is taken, or they say why not.

use std::sync::Arc;
use std::time::Duration;

use consensus::model::{Database, Engine, Fault, FaultKind, TargetId};
use probe::{Login, Means};

use crate::common::eventually;
use crate::common::mariadb::MariaDb;
use crate::common::postgres::Postgres;
use crate::common::redis::Redis;

const ROLE: &str = "quorate";

async fn beat(engine: Engine, port: u16, user: &str, password: Option<&str>) -> Option<Fault> {
    let target = TargetId {
        app: "shop".parse().expect("a name"),
        stack: "a".parse().expect("a name"),
        name: "orders".parse().expect("a name"),
    };
    let database = Database {
        name: target.name.clone(),
        engine,
        address: "127.0.0.1".to_owned(),
        port,
        credential: target.name.clone().as_str().parse().expect("a name"),
        guard: None,
        view: Default::default(),
    };
    let login = Some(Arc::new(Login::new(user, password)));
    let means = Means::of_host(None).with_login(login);
    probe::heartbeat(&target, &database, &means, Duration::from_secs(2)).await.err()
}

fn takes_no_writes(fault: Option<Fault>) -> String {
    let fault = fault.expect("it takes none");
    assert_eq!(fault.kind, FaultKind::Unready, "{fault}");
    assert!(fault.text.starts_with("takes no writes: "), "{fault}");
    fault.text
}

#[tokio::test]
async fn postgres_that_answers_and_takes_no_writes_is_found_out() {
    let primary = Postgres::primary().await;
    let beat = || beat(Engine::Postgres, primary.port, ROLE, Some(ROLE));
    primary.sql("CREATE ROLE quorate LOGIN PASSWORD 'quorate' IN ROLE pg_monitor").await;
    let refused = beat().await.expect("its role may not");
    assert_eq!(refused.kind, FaultKind::Credential, "{refused}");
    primary.sql("GRANT CREATE ON DATABASE postgres TO quorate").await;
    for _ in 0..2 {
        assert_eq!(beat().await, None);
    }
    let rows = "SELECT count(*) FROM quorate.heartbeat WHERE app = 'shop' AND name = 'orders'";
    assert_eq!(primary.sql(rows).await, "1");

    // Somebody holds the table and does not let go.
    let held = "BEGIN; LOCK TABLE quorate.heartbeat; SELECT pg_sleep(5); COMMIT";
    // Who gives up first, we or the server, is all the same.
    let (_, fault) = tokio::join!(primary.sql(held), eventually("it is held", beat));
    takes_no_writes(Some(fault));
    // What waits is given up by itself.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quorate'";
    primary.until(waiting, "0").await;

    // That a replica is waited for says nothing of the primary.
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    primary.sql("SELECT pg_reload_conf()").await;
    primary.until("SELECT current_setting('synchronous_standby_names')", "nobody").await;
    assert_eq!(beat().await, None);

    primary.sql("ALTER SYSTEM SET default_transaction_read_only = on").await;
    primary.sql("SELECT pg_reload_conf()").await;
    primary.until("SELECT current_setting('default_transaction_read_only')", "on").await;
    let before = primary.sql("SELECT at FROM quorate.heartbeat").await;
    assert_eq!(beat().await, None, "a fence is no fault");
    assert_eq!(primary.sql("SELECT at FROM quorate.heartbeat").await, before);
}

#[tokio::test]
async fn mariadb_that_answers_and_takes_no_writes_is_found_out() {
    let primary = MariaDb::primary().await;
    // The role that acts may write to what is read-only: this one may not.
    primary.sql("create user beats@'%' identified by 'beats'").await;
    primary.sql("grant create, select, insert, update on quorate.* to beats@'%'").await;
    let beat = || beat(Engine::Mysql, primary.port, "beats", Some("beats"));
    for _ in 0..2 {
        assert_eq!(beat().await, None);
    }
    let rows = "select count(*) from quorate.heartbeat where app = 'shop' and name = 'orders'";
    assert_eq!(primary.sql(rows).await, "1");
    let before = primary.sql("select at from quorate.heartbeat").await;
    primary.sql("set global read_only = 1").await;
    assert_eq!(beat().await, None, "a fence is no fault");
    assert_eq!(primary.sql("select at from quorate.heartbeat").await, before);
    primary.sql("set global read_only = 0").await;

    // Somebody holds the row and does not let go.
    let held = "begin; select at from quorate.heartbeat for update; do sleep(5); commit";
    // Who gives up first, we or the server, is all the same.
    let (_, fault) = tokio::join!(primary.sql(held), eventually("it is held", beat));
    takes_no_writes(Some(fault));

    // A commit that waits for a replica waits for longer than any limit of a statement: looks leave
    // sessions behind for as long as that is not seen, and no more.
    for sql in [
        "set global rpl_semi_sync_master_timeout = 1000000000",
        "set global rpl_semi_sync_master_enabled = 1",
    ] {
        primary.sql(sql).await;
    }
    takes_no_writes(beat().await);
    let said = eventually("it is not written any more", || async {
        beat().await.map(|fault| fault.text).filter(|text| text.contains("earlier heartbeats wait"))
    })
    .await;
    let left = "select count(*) from information_schema.processlist where info like 'insert into quorate.%'";
    let waiting: u32 = primary.sql(left).await.parse().expect("a number");
    assert!((1..=3).contains(&waiting), "{waiting}: {said}");
    for _ in 0..3 {
        takes_no_writes(beat().await);
    }
    assert_eq!(primary.sql(left).await, waiting.to_string());
    primary.sql("set global rpl_semi_sync_master_enabled = 0").await;
    eventually("what waited is written", || async { beat().await.is_none().then_some(()) }).await;

    primary.sql("revoke update on quorate.* from beats@'%'").await;
    let refused = beat().await.expect("its role may not");
    assert_eq!(refused.kind, FaultKind::Credential, "{refused}");
}

#[tokio::test]
async fn redis_that_answers_and_takes_no_writes_is_found_out() {
    let primary = Redis::primary().await;
    let beat = || beat(Engine::Redis, primary.port, "default", None);
    assert_eq!(beat().await, None);
    let key = primary.ask(&["GET", "quorate:heartbeat:shop:orders"]).await;
    assert_eq!(key.text(), Some("beats"));
    primary.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let text = takes_no_writes(beat().await);
    assert!(text.contains("OOM"), "{text}");
}
