//! Whom a primary waits for, where those who set it stop half way.

use std::process::Command;

use super::*;
use crate::common::run;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_postgres::NoTls;

const LOCK: &str =
    "SELECT pg_advisory_lock(hashtext('quorate'), hashtext('synchronous_standby_names'))";
const SETTING: &str = "SHOW synchronous_standby_names";

/// The way of one agent to a server: once it is cut nothing passes any more, and neither end is told.
struct Way {
    port: u16,
    cut: watch::Sender<bool>,
}

impl Way {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (cut, seen) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", server)).await.expect("it runs");
                    let cut = async { drop(seen.wait_for(|cut| *cut).await) };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        // Held open, and never read again: the kernel goes on to answer for it.
                        () = cut => std::future::pending().await,
                    }
                });
            }
        });
        Self { port, cut }
    }
}

#[tokio::test]
async fn whoever_holds_the_lock_and_is_heard_of_no_more_loses_it() {
    let primary = Postgres::primary().await;
    let place = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", primary.port);
    let (holder, connection) = tokio_postgres::connect(&place, NoTls).await.expect("it runs");
    tokio::spawn(connection);
    holder.simple_query(LOCK).await.expect("it is free");

    // The first agent waits for the lock; it has it once it is cut off, and never hears of that.
    let way = Way::to(primary.port).await;
    let effect = wait_for_at(way.port, 2, &["b"]);
    let first = tokio::spawn(async move { act(&superuser(), token(1, 4), effect).await });
    let locks = |granted: &str| {
        format!("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {granted}")
    };
    primary.until(&locks("NOT granted"), "1").await;
    way.cut.send_replace(true);
    drop(holder);
    let held = "granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE state = 'idle')";
    primary.until(&locks(held), "1").await;
    let began = Instant::now();

    // A host that is gone is noticed, too: the kernel asks it in seconds, and not in hours.
    let port = format!("sport = :{}", primary.port);
    eventually("the kernel is to ask soon", async || {
        let sockets = run(Command::new("ss").args(["-Htno", &port]));
        let mut asked = sockets.lines().filter(|line| line.contains("timer:(keepalive,"));
        asked.any(|line| !line.contains("min,")).then_some(())
    })
    .await;

    let mut tries = 0;
    let set = loop {
        tries += 1;
        let set = act(&superuser(), token(1, 4), wait_for(&primary, 3, &["c"])).await;
        if set.is_ok() || Duration::from_secs(20) < began.elapsed() {
            break set;
        }
    };
    let took = began.elapsed();
    println!("another had it after {took:?}, at the {tries}. try");
    assert_eq!(text(&set), "waits for c");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let first = first.await.expect("it ends");
    assert_eq!(kind(&first), Some(ActionFaultKind::Unknown), "{first:?}");
    assert_eq!(primary.sql(SETTING).await, r#"FIRST 1 ("c", "quorate:sync:shop:3")"#);
}

/// A primary that waits for `b` under version 4, and has something else written in its file.
async fn half_way(written: &str) -> Postgres {
    let primary = Postgres::primary().await;
    let set = act(&superuser(), token(1, 4), wait_for(&primary, 4, &["b"])).await;
    assert!(set.is_ok(), "{set:?}");
    primary.sql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{written}'")).await;
    primary
}

#[tokio::test]
async fn what_was_written_and_is_not_in_force_yet_counts() {
    let four = r#"FIRST 1 ("b", "quorate:sync:shop:4")"#;
    let wider = r#"FIRST 2 ("b", "c", "quorate:sync:shop:4")"#;
    let five = r#"FIRST 1 ("c", "quorate:sync:shop:5")"#;
    // Whoever wrote the second ended before the server was told to read it.
    for (written, (version, name), expected, then) in [
        // What rests on something older is refused, and what was written is in force.
        (five, (4, "d"), Err(()), five),
        // Within its version it grows.
        (five, (5, "d"), Ok("waits for c, d"), r#"FIRST 2 ("c", "d", "quorate:sync:shop:5")"#),
        (
            wider,
            (4, "d"),
            Ok("waits for b, c, d"),
            r#"FIRST 3 ("b", "c", "d", "quorate:sync:shop:4")"#,
        ),
        (wider, (3, "d"), Err(()), wider),
        // What is newer takes its place.
        (five, (6, "d"), Ok("waits for d"), r#"FIRST 1 ("d", "quorate:sync:shop:6")"#),
        // Somebody took it away by hand: what is in force stays so, as long as nobody reloads.
        ("", (3, "d"), Err(()), four),
        ("", (4, "d"), Ok("waits for b, d"), r#"FIRST 2 ("b", "d", "quorate:sync:shop:4")"#),
    ] {
        let primary = half_way(written).await;
        assert_eq!(primary.sql(SETTING).await, four, "{written} is not in force yet");
        let asked = act(&superuser(), token(1, 4), wait_for(&primary, version, &[name])).await;
        let case = format!("{written}, asked {version} {name}: {asked:?}");
        match expected {
            Ok(line) => assert_eq!(text(&asked), line, "{case}"),
            Err(()) => assert_eq!(kind(&asked), Some(ActionFaultKind::Superseded), "{case}"),
        }
        assert_eq!(primary.sql(SETTING).await, then, "{case}");
    }
}

#[tokio::test]
async fn whoever_may_not_know_what_was_written_changes_nothing() {
    let primary = Postgres::primary().await;
    primary.grant_documented_rights().await;
    let held = [("orders".parse().expect("a name"), login(ROLE, Some(ROLE)))].into();
    let right = "EXECUTE ON FUNCTION pg_show_all_file_settings()";
    primary.sql(&format!("REVOKE {right} FROM quorate")).await;
    let asked = act(&held, token(1, 4), wait_for(&primary, 1, &["b"])).await;
    assert_eq!(kind(&asked), Some(ActionFaultKind::Refused), "{asked:?}");
    assert!(text(&asked).contains("`GRANT EXECUTE ON FUNCTION pg_show_all_file_settings()`"));
    assert_eq!(primary.sql(SETTING).await, "");
    primary.sql(&format!("GRANT {right} TO quorate")).await;
    let asked = act(&held, token(1, 4), wait_for(&primary, 1, &["b"])).await;
    assert_eq!(text(&asked), "waits for b");
}
