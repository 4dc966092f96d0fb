//! Makes a PostgreSQL replica the primary: checks that it is the one that was decided on, promotes, writes the token.
//!
//! On the critical path: one connection, and no waits of a fixed length. `pg_promote(true)` looks every 100 ms; asking
//! it not to wait and looking ourselves is done in a fraction of that.

use std::fmt::Display;
use std::time::Duration;

use consensus::model::{ActionFault, ActionFaultKind, Candidate, Done};
use tokio::time::sleep;

use super::history::{STANDBYS, branch, lsn, newest, segment_timeline};
use super::session::{Row, Session};
use super::sync::forget;
use super::unfence::open;
use super::{Order, epoch};
use crate::actors::attempt::{Attempt, fault};

/// Between two looks at a promotion, or at what is received, in progress.
const PACE: Duration = Duration::from_millis(2);

/// After how many looks a promotion is asked for again: about as long as one takes.
const REMIND: u32 = 8;

/// What the server is.
fn look() -> String {
    format!(
        "SELECT pg_is_in_recovery() AS recovery,
                (SELECT system_identifier FROM pg_control_system()) AS system,
                CASE WHEN pg_is_in_recovery() THEN {STANDBYS} END AS replica_timeline,
                CASE WHEN NOT pg_is_in_recovery() THEN
                    pg_walfile_name(pg_current_wal_insert_lsn())
                END AS segment,
                pg_last_wal_receive_lsn() - '0/0' AS received,
                pg_last_wal_replay_lsn() - '0/0' AS replayed,
                current_setting('default_transaction_read_only') AS read_only,
                current_setting('synchronous_standby_names') AS standbys,
                CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END
                    AND current_setting('server_version_num')::int < 130000 AS stays_paused,
                to_regclass('quorate.epoch') IS NOT NULL AS has_table"
    )
}

/// What is asked of the new primary, in the epoch row's round trip.
const FACTS: &str = "pg_walfile_name(pg_current_wal_insert_lsn()) AS segment, \
                     pg_current_wal_flush_lsn() - '0/0' AS position";

pub(in crate::actors::database) async fn promote(
    attempt: &mut Attempt,
    order: &Order<'_>,
    candidate: &Candidate,
    at_least: Option<u64>,
) -> Result<Done, ActionFault> {
    let session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let seen = session.row("looking", &look()).await?;
    let system = seen.number::<u64>("system");
    if system != Some(candidate.system) {
        let found = system.map_or("nothing".to_owned(), |system| system.to_string());
        return Err(refused(
            &session,
            format!("belongs to another history: expected {}, found {found}", candidate.system),
        ));
    }
    let table = seen.is_true("has_table");
    let held = epoch::held(&session, order.app, table).await?;
    epoch::compare(&session, held, order.token)?;

    let before = match seen.is_true("recovery") {
        true => {
            fit(&session, &seen, candidate).await?;
            if let Some(position) = at_least {
                receive(attempt, &session, position).await?;
            }
            forget(attempt, &session, seen.text("standbys").unwrap_or_default()).await?;
            ask(attempt, &session, seen.is_true("stays_paused")).await?;
            "promoted"
        }
        false => {
            descends(&session, &seen, candidate).await?;
            "was promoted before"
        }
    };

    attempt.commit("raising `quorate.epoch`")?;
    let row = epoch::raise(&session, order.app, order.token, table, FACTS).await?;
    let timeline = segment_timeline(&row).unwrap_or_default();
    let mut text = format!("{before}, on timeline {timeline}");
    // pg_basebackup copies a fenced primary's settings along with its data.
    if seen.text("read_only") == Some("on") && !open(attempt, &session).await? {
        text += "; still read-only by default: its configuration file, or its role's, says so";
    }
    Ok(Done { proven: false, position: row.number("position"), text })
}

/// Is the replica what the decision saw: on its timeline, with at least what it had then?
async fn fit(session: &Session, seen: &Row, candidate: &Candidate) -> Result<(), ActionFault> {
    let timeline = timeline(session, seen, candidate).await?;
    if timeline != candidate.timeline {
        let expected = candidate.timeline;
        return Err(refused(session, format!("is on timeline {timeline}, expected {expected}")));
    }
    let received = seen.number::<u64>("received");
    let replayed = seen.number::<u64>("replayed").unwrap_or_default();
    let has = received.unwrap_or_default().max(replayed);
    let expected = candidate.position;
    match received {
        _ if expected <= has => Ok(()),
        Some(_) => Err(refused(
            session,
            format!("has received {}, expected at least {}", lsn(has), lsn(expected)),
        )),
        // Restarted since, and not through with its own log yet.
        None => Err(fault(
            ActionFaultKind::Unknown,
            format!(
                "`{}` has replayed {} since it was started, expected at least {}",
                session.place(),
                lsn(has),
                lsn(expected)
            ),
        )),
    }
}

/// A replica's timeline. Its control file lags after a switch until the next restart point; the log itself does not.
async fn timeline(
    session: &Session,
    seen: &Row,
    candidate: &Candidate,
) -> Result<u32, ActionFault> {
    let known = seen.number::<u32>("replica_timeline").unwrap_or_default();
    if candidate.timeline <= known {
        return Ok(known);
    }
    Ok(newest(session).await?.max(known))
}

/// Waits until the replica has received this much; the action's limit ends it. A promotion replays all of it, also where replay
/// was paused or is delayed (PostgreSQL documentation, `pg_wal_replay_pause`, `recovery_min_apply_delay`; before 13, see [`ask`]).
async fn receive(attempt: &Attempt, session: &Session, position: u64) -> Result<(), ActionFault> {
    attempt.enter("waiting for the replica to receive what the old primary wrote");
    let sql = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0' AS received, \
               pg_is_in_recovery() AS recovery";
    loop {
        let row = session.row("reading its position", sql).await?;
        if position <= row.number("received").unwrap_or_default() || !row.is_true("recovery") {
            return Ok(());
        }
        sleep(PACE).await;
    }
}

/// Promotes, and waits until it is done; the action's limit ends it.
///
/// Asked once, a standby that loses its primary in the same moment may sleep over it for the rest of
/// `wal_retrieve_retry_interval`: it notices the lost stream first and forgets that it was woken. Asking again wakes it. Before
/// version 13 a promotion does not end a pause of replay, and waits for somebody who does (`stays_paused`): that takes a right
/// of its own, and so is asked for only where it is paused.
async fn ask(
    attempt: &mut Attempt,
    session: &Session,
    stays_paused: bool,
) -> Result<(), ActionFault> {
    let ask = match stays_paused {
        true => "SELECT pg_wal_replay_resume(), pg_promote(false)",
        false => "SELECT pg_promote(false)",
    };
    let look = "SELECT pg_is_in_recovery() AS recovery";
    attempt.commit("promoting")?;
    session.run("promotion", ask).await?;
    for looks in 1_u32.. {
        attempt.enter("waiting for the promotion to end");
        if !session.row("looking", look).await?.is_true("recovery") {
            break;
        }
        sleep(PACE).await;
        if looks.is_multiple_of(REMIND) && attempt.commit("promoting").is_ok() {
            // Refused if it has ended just now; anything worse shows at the next look.
            let _ = session.run("promotion", ask).await;
        }
    }
    Ok(())
}

/// Is a server that is a primary already what this promotion would have made of it?
async fn descends(session: &Session, seen: &Row, candidate: &Candidate) -> Result<(), ActionFault> {
    let timeline = segment_timeline(seen).unwrap_or_default();
    if Some(timeline) == candidate.timeline.checked_add(1) {
        return Ok(());
    }
    if timeline <= candidate.timeline {
        return Err(refused(
            session,
            format!("is a primary on timeline {timeline} already, expected a replica"),
        ));
    }
    let sql = format!("SELECT pg_read_file('pg_wal/{timeline:08X}.history') AS history");
    let row = session.row("reading its history", &sql).await?;
    match branch(row.text("history").unwrap_or_default(), candidate.timeline) {
        Some(left) if candidate.position <= left => Ok(()),
        _ => Err(refused(
            session,
            format!(
                "is a primary on timeline {timeline}, which does not come from {} at {}",
                candidate.timeline,
                lsn(candidate.position)
            ),
        )),
    }
}

fn refused(session: &Session, what: impl Display) -> ActionFault {
    fault(ActionFaultKind::Refused, format!("`{}` {what}", session.place()))
}
