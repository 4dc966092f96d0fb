//! A third standby, told to follow the new primary.

use super::*;

pub fn follow(standby: &Postgres, primary: &Postgres) -> Effect {
    Effect::Follow { database: database(standby.port), primary: database(primary.port) }
}

/// How a standby reaches its primary.
pub const CONNINFO: &str = "SHOW primary_conninfo";

#[tokio::test]
async fn a_third_standby_is_told_whom_to_follow_and_keeps_its_own_log_in() {
    let mut old = Postgres::primary().await;
    old.grant_documented_rights().await;
    old.sql("CREATE TABLE t (i int)").await;
    let (new, third) = (old.standby("s1").await, old.standby("s2").await);
    let role: Credentials = [("orders".parse().expect("a name"), login(ROLE, Some(ROLE)))].into();

    // Nothing has happened: what streams is left alone.
    let before = third.sql(CONNINFO).await;
    let told = act(&role, token(1, 4), follow(&third, &old)).await;
    assert_eq!(text(&told), "streams from timeline 1 already");
    assert_eq!(third.sql(CONNINFO).await, before);
    // A standby is nobody's primary, and a primary is not told.
    let refused = act(&role, token(2, 4), follow(&third, &new)).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    let refused = act(&role, token(2, 4), follow(&old, &new)).await;
    assert!(text(&refused).contains("has to be rewound"), "{refused:?}");

    let seen = candidate(&new).await;
    old.kill();
    let promoted = act(&role, token(2, 3), promote(&new, &seen, None)).await;
    assert!(promoted.is_ok(), "{promoted:?}");
    new.sql("INSERT INTO t VALUES (1)").await;
    let told = act(&role, token(2, 4), follow(&third, &new)).await;
    if third.version().await < 13 {
        assert!(text(&told).contains("has to be restarted to follow another"), "{told:?}");
        assert_eq!(third.sql(CONNINFO).await, before);
        return;
    }
    assert_eq!(text(&told), format!("follows `127.0.0.1:{}`", new.port));
    third.until("SELECT count(*) FROM t", "1").await;
    third.until("SELECT received_tli FROM pg_stat_wal_receiver", "2").await;
    let conninfo = third.sql(CONNINFO).await;
    assert!(conninfo.contains("application_name=s2"), "{conninfo}");
    assert!(conninfo.contains(&format!("port={}", new.port)), "{conninfo}");
    let again = act(&role, token(2, 4), follow(&third, &new)).await;
    assert_eq!(text(&again), "streams from timeline 2 already");

    // It has the newer token by replication, and goes back for nobody.
    third.until(ROW, &token(2, 3).0.to_string()).await;
    let late = act(&role, token(1, 4), follow(&third, &new)).await;
    assert_eq!(kind(&late), Some(ActionFaultKind::Superseded), "{late:?}");
}

#[tokio::test]
async fn a_third_standby_brings_its_slot_along_and_one_that_has_more_is_left_alone() {
    let mut old = Postgres::primary().await;
    old.grant_documented_rights().await;
    old.sql("ALTER ROLE quorate NOREPLICATION").await;
    old.sql("CREATE TABLE t (i int)").await;
    let new = old.standby("s1").await;
    let (third, ahead) = (old.standby("s2").await, old.standby("s3").await);
    old.sql("SELECT pg_create_physical_replication_slot('third', true)").await;
    third.sql("ALTER SYSTEM SET primary_slot_name = 'third'").await;
    third.sql("SELECT pg_reload_conf()").await;
    old.until("SELECT count(*) FROM pg_replication_slots WHERE active", "1").await;
    // What one standby alone gets: the new primary's own receiver looks the other way.
    new.sql("ALTER SYSTEM SET primary_conninfo = ''").await;
    new.sql("SELECT pg_reload_conf()").await;
    new.until("SELECT count(*) FROM pg_stat_wal_receiver", "0").await;
    third.until("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'", "1").await;
    let seen = Candidate {
        name: "orders".parse().expect("a name"),
        system: new.system().await,
        timeline: 1,
        position: 0,
    };
    third.sql("ALTER SYSTEM SET primary_conninfo = 'user=postgres application_name=s2'").await;
    third.sql("SELECT pg_reload_conf()").await;
    third.until("SELECT count(*) FROM pg_stat_wal_receiver", "0").await;
    old.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
    ahead.until("SELECT count(*) FROM t", "1000").await;
    old.kill();
    let role: Credentials = [("orders".parse().expect("a name"), login(ROLE, Some(ROLE)))].into();
    let promoted = act(&role, token(2, 3), promote(&new, &seen, None)).await;
    assert!(promoted.is_ok(), "{promoted:?}");

    let more = act(&role, token(2, 4), follow(&ahead, &new)).await;
    assert_eq!(kind(&more), Some(ActionFaultKind::Refused), "{more:?}");
    assert!(text(&more).contains("left it at"), "{more:?}");
    let back = act(&role, token(2, 4), follow(&third, &ahead)).await;
    assert!(text(&back).contains("is a standby"), "{back:?}");
    let bare = act(&role, token(2, 4), follow(&third, &new)).await;
    assert_eq!(kind(&bare), Some(ActionFaultKind::Refused), "{bare:?}");
    assert!(text(&bare).contains("making a replication slot"), "{bare:?}");
    for _ in 0..2 {
        let told = act(&superuser(), token(2, 4), follow(&third, &new)).await;
        assert!(told.is_ok(), "{told:?}");
    }
    let active = "SELECT string_agg(slot_name, ',') FROM pg_replication_slots WHERE active";
    new.until(active, "third").await;
    third.until("SELECT received_tli FROM pg_stat_wal_receiver", "2").await;
    assert_eq!(third.sql("SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn without_the_right_a_third_standby_is_not_asked_and_no_password_is_logged() {
    let mut old = Postgres::primary().await;
    old.grant_documented_rights().await;
    let (new, third) = (old.standby("s1").await, old.standby("s2").await);
    let own = third.sql(CONNINFO).await.replace("user=postgres", "user=postgres password=sesame");
    third.sql(&format!("ALTER SYSTEM SET primary_conninfo = '{}'", own.replace('\'', "''"))).await;
    third.sql("SELECT pg_reload_conf()").await;
    third.until(CONNINFO, &own).await;
    old.sql("REVOKE ALTER SYSTEM ON PARAMETER primary_conninfo FROM quorate").await;
    let may = "SELECT has_parameter_privilege('quorate', 'primary_conninfo', 'ALTER SYSTEM')";
    third.until(may, "f").await;
    new.until(may, "f").await;
    let seen = candidate(&new).await;
    old.kill();
    let role: Credentials = [("orders".parse().expect("a name"), login(ROLE, Some(ROLE)))].into();
    let promoted = act(&role, token(2, 3), promote(&new, &seen, None)).await;
    assert!(promoted.is_ok(), "{promoted:?}");
    // What a reload changes the server logs by itself.
    let logged = || {
        let log = std::fs::read_to_string(third.folder.path().join("log")).expect("it has one");
        log.matches("sesame").count()
    };
    let before = logged();
    let refused = act(&role, token(2, 4), follow(&third, &new)).await;
    assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
    assert!(text(&refused).contains("GRANT ALTER SYSTEM ON PARAMETER"), "{refused:?}");
    assert_eq!(logged(), before);
    assert_eq!(third.sql(CONNINFO).await, own);
}
