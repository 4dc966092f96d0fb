//! Closes a PostgreSQL primary, as far as SQL can: new transactions are read-only by default, and sessions are ended.
//!
//! Never proven: a client may ask for a writable transaction by name. Replication is left open (PROTOCOL.md 0.1 b).

use std::time::Duration;

use consensus::model::{ActionFault, Done};
use tokio::time::{Instant, sleep};

use super::Order;
use super::epoch;
use super::session::Session;
use crate::actors::attempt::Attempt;

/// How long sessions are waited for; they end within milliseconds unless they hang in the disk.
const GOODBYE: Duration = Duration::from_secs(1);
/// Between two looks: a reload and the end of a session take a few milliseconds.
const PACE: Duration = Duration::from_millis(2);

const LOOK: &str = "SELECT pg_is_in_recovery() AS recovery, \
                    to_regclass('quorate.epoch') IS NOT NULL AS has_table";

/// Ends every client's session that we may end; replication is none. One row: how many ended, how many had to stay.
const END: &str = "
    SELECT count(*) FILTER (WHERE ended) AS ended, count(*) FILTER (WHERE NOT ended) AS left_open,
           coalesce(string_agg(pid::text, ',') FILTER (WHERE ended), '0') AS pids
    FROM (
        SELECT pid, CASE WHEN me.rolsuper OR NOT coalesce(them.rolsuper, true)
                         THEN pg_terminate_backend(pid) ELSE false END AS ended
        FROM pg_stat_activity
        LEFT JOIN pg_roles them ON them.oid = usesysid
        CROSS JOIN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) me
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    ) sessions";

pub(in crate::actors::database) async fn fence(
    attempt: &mut Attempt,
    order: &Order<'_>,
) -> Result<Done, ActionFault> {
    let session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let seen = session.row("looking", LOOK).await?;
    if seen.is_true("recovery") {
        let text = "is in recovery, and so takes no writes".to_owned();
        return Ok(Done { proven: false, position: None, text });
    }
    let held = epoch::held(&session, order.app, seen.is_true("has_table")).await?;
    epoch::compare(&session, held, order.token)?;

    attempt.commit("making the database read-only")?;
    let sql = "ALTER SYSTEM SET default_transaction_read_only = on";
    session.run("making it read-only", sql).await?;
    attempt.commit("reloading the database's configuration")?;
    session.run("reloading", "SELECT pg_reload_conf()").await?;
    // The postmaster reloads first: once this session sees it, sessions yet to come begin with it.
    settled(&session, "on", GOODBYE).await?;

    attempt.commit("ending the database's sessions")?;
    let sessions = session.row("ending sessions", END).await?;
    let gone = await_end(&session, sessions.text("pids").unwrap_or("0")).await?;

    attempt.enter("reading the database's last position");
    let sql = "SELECT pg_current_wal_flush_lsn() - '0/0' AS position";
    let position = session.row("reading its position", sql).await?.number("position");
    let ended = sessions.number::<u64>("ended").unwrap_or_default();
    let mut text = format!("read-only by default, {ended} sessions ended; not proven");
    match sessions.number::<u64>("left_open") {
        Some(0) | None => {}
        Some(open) => text += &format!("; {open} sessions of superusers left open"),
    }
    if !gone {
        text += "; some sessions have not ended yet";
    }
    Ok(Done { proven: false, position, text })
}

/// Waits until this session, and so every new one, sees read-only-by-default `on` or `off`; says if it came to that.
pub(super) async fn settled(
    session: &Session,
    value: &str,
    patience: Duration,
) -> Result<bool, ActionFault> {
    let until = Instant::now() + patience;
    let sql = "SELECT current_setting('default_transaction_read_only') AS read_only";
    loop {
        let row = session.row("reading `default_transaction_read_only`", sql).await?;
        if row.text("read_only") == Some(value) {
            return Ok(true);
        }
        if until <= Instant::now() {
            return Ok(false);
        }
        sleep(PACE).await;
    }
}

/// Waits for the sessions to be gone; says if they are.
async fn await_end(session: &Session, pids: &str) -> Result<bool, ActionFault> {
    let until = Instant::now() + GOODBYE;
    let sql = format!("SELECT count(*) AS open FROM pg_stat_activity WHERE pid IN ({pids})");
    loop {
        let row = session.row("waiting for sessions to end", &sql).await?;
        if row.number("open") == Some(0_u64) {
            return Ok(true);
        }
        if until <= Instant::now() {
            return Ok(false);
        }
        sleep(PACE).await;
    }
}
