//! Opens a PostgreSQL primary again that was closed by a fence, under a newer token.

use std::time::Duration;

use consensus::model::{ActionFault, Done};

use super::Order;
use super::epoch;
use super::fence::settled;
use super::session::Session;
use crate::actors::attempt::Attempt;

/// How long the reload may take to show.
const RELOAD: Duration = Duration::from_secs(1);

const LOOK: &str = "SELECT pg_is_in_recovery() AS recovery, \
                    to_regclass('quorate.epoch') IS NOT NULL AS has_table";

pub(in crate::actors::database) async fn unfence(
    attempt: &mut Attempt,
    order: &Order<'_>,
) -> Result<Done, ActionFault> {
    let session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let seen = session.row("looking", LOOK).await?;
    if seen.is_true("recovery") {
        let text = "is in recovery: there is nothing to open".to_owned();
        return Ok(Done { proven: false, position: None, text });
    }
    // First the row: from here on, a late fence of the decision that was taken back is refused.
    attempt.commit("raising `quorate.epoch`")?;
    let facts = "pg_current_wal_flush_lsn() - '0/0' AS position";
    let table = seen.is_true("has_table");
    let row = epoch::raise(&session, order.app, order.token, table, facts).await?;

    let text = match open(attempt, &session).await? {
        true => "writable by default",
        false => "still read-only by default: its configuration file, or its role's, says so",
    };
    Ok(Done { proven: false, position: row.number("position"), text: text.to_owned() })
}

/// Takes back what a fence, or the copy of a fenced primary's settings, left behind; says if it shows.
pub(super) async fn open(attempt: &mut Attempt, session: &Session) -> Result<bool, ActionFault> {
    attempt.commit("making the database writable")?;
    let sql = "ALTER SYSTEM RESET default_transaction_read_only";
    session.run("making it writable", sql).await?;
    attempt.commit("reloading the database's configuration")?;
    session.run("reloading", "SELECT pg_reload_conf()").await?;
    settled(session, "off", RELOAD).await
}
