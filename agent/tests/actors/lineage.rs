//! Two servers of one timeline's number, and of two histories.

use super::following::{CONNINFO, follow};
use super::*;

/// Where both left the timeline before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    AtOnePlace,
    AtTwo,
}

/// Two standbys that somebody promoted both when their primary had died, with so many rows more each. The second was made a
/// standby again, and not rewound.
async fn two_of_one_timeline(old: &mut Postgres, left: Left, more: [u32; 2]) -> [Postgres; 2] {
    old.sql("CREATE TABLE t (i int)").await;
    let (first, second) = (old.standby("s1").await, old.standby("s2").await);
    if left == Left::AtTwo {
        first.sql("ALTER SYSTEM SET primary_conninfo = ''").await;
        first.sql("SELECT pg_reload_conf()").await;
        first.until("SELECT count(*) FROM pg_stat_wal_receiver", "0").await;
    }
    old.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
    let end = old.sql("SELECT pg_current_wal_lsn()").await;
    for standby in [&first, &second].into_iter().skip(usize::from(left == Left::AtTwo)) {
        standby.until("SELECT pg_last_wal_replay_lsn()", &end).await;
    }
    old.kill();
    for (server, rows) in [&first, &second].into_iter().zip(more) {
        server.sql("SELECT pg_promote()").await;
        server.sql(&format!("INSERT INTO t SELECT generate_series(1, {rows})")).await;
    }
    let history = "SELECT pg_read_file('pg_wal/00000002.history')";
    let same = first.sql(history).await == second.sql(history).await;
    assert_eq!(same, left == Left::AtOnePlace);
    [first, second.standby_again().await]
}

fn role() -> Credentials {
    [("orders".parse().expect("a name"), login(ROLE, Some(ROLE)))].into()
}

/// It is told nothing, for this reason.
async fn refused(standby: &Postgres, primary: &Postgres, why: &str) {
    let before = standby.sql(CONNINFO).await;
    let told = act(&role(), token(2, 4), follow(standby, primary)).await;
    assert_eq!(kind(&told), Some(ActionFaultKind::Refused), "{told:?}");
    assert!(text(&told).contains(why), "{told:?}");
    assert_eq!(standby.sql(CONNINFO).await, before);
}

#[tokio::test]
async fn a_server_that_was_promoted_at_the_same_place_is_not_told_to_follow_the_other() {
    let mut old = Postgres::primary().await;
    old.grant_documented_rights().await;
    let [first, second] = two_of_one_timeline(&mut old, Left::AtOnePlace, [10_000, 10]).await;
    refused(&second, &first, "is on another timeline 2 than").await;
}

#[tokio::test]
async fn two_histories_that_left_at_two_places_are_told_apart_without_reading_the_log() {
    let mut old = Postgres::primary().await;
    old.grant_documented_rights().await;
    old.sql(
        "REVOKE EXECUTE ON FUNCTION pg_read_binary_file(text,bigint,bigint,boolean) FROM quorate",
    )
    .await;
    let [first, second] = two_of_one_timeline(&mut old, Left::AtTwo, [100_000, 10]).await;
    refused(&second, &first, "is on another timeline 2 than").await;
}

#[tokio::test]
async fn one_that_has_more_of_a_timeline_than_its_primary_is_not_told_to_follow_it() {
    let mut old = Postgres::primary().await;
    old.grant_documented_rights().await;
    old.sql(
        "REVOKE EXECUTE ON FUNCTION pg_read_binary_file(text,bigint,bigint,boolean) FROM quorate",
    )
    .await;
    let [first, second] = two_of_one_timeline(&mut old, Left::AtOnePlace, [10, 10_000]).await;
    refused(&second, &first, "has no more than").await;
}
