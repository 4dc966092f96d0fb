//! Tells a standby whom to follow: the host and the port in its `primary_conninfo`, and nothing else of that.
//!
//! Its log-in, its certificate and its `application_name` are its owner's, and stay. A standby that has received more than
//! the new primary had when it was promoted can never follow it, and is left where it is.

use std::fmt::Display;

use consensus::model::{ActionFault, ActionFaultKind, Database, Done};

use super::history::{STANDBYS, branch, lsn, newest, segment_timeline};
use super::lineage::is_shared;
use super::session::{Row, Session};
use super::{Order, epoch};
use crate::actors::attempt::{Attempt, fault};

const LOOK: &str = "
    SELECT pg_is_in_recovery() AS recovery,
           (SELECT system_identifier FROM pg_control_system()) AS system,
           to_regclass('quorate.epoch') IS NOT NULL AS has_table,
           CASE WHEN NOT pg_is_in_recovery() THEN
               pg_walfile_name(pg_current_wal_insert_lsn())
           END AS segment";

/// What is asked of the standby alone. Of its last record it may have received a part, where its primary died in the middle of
/// it: where it waits for more log it has replayed whatever is whole, and the rest is nothing that anybody had.
fn look_at_standby() -> String {
    format!(
        "SELECT CASE WHEN EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event IN
                    ('RecoveryWalStream', 'RecoveryWalAll', 'RecoveryRetrieveRetryInterval'))
                THEN pg_last_wal_replay_lsn()
                ELSE greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) END - '0/0' AS position,
                (SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming') AS streams,
                {STANDBYS} AS timeline,
                current_setting('primary_conninfo') AS conninfo,
                current_setting('primary_slot_name') AS slot,
                current_setting('recovery_target_timeline') AS target,
                (SELECT context = 'sighup' FROM pg_settings WHERE name = 'primary_conninfo') AS reloads,
                (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
                current_setting('server_version_num')::int >= 150000 AS grants"
    )
}

/// How far a primary's own log goes.
const WRITTEN: &str = "SELECT pg_current_wal_insert_lsn() - '0/0' AS position";

/// A statement that is refused is logged, password and all: so it is asked first whether it will be.
const MAY: &str =
    "SELECT has_parameter_privilege(current_user, 'primary_conninfo', 'ALTER SYSTEM') AS may";

pub(in crate::actors::database) async fn follow(
    attempt: &mut Attempt,
    order: &Order<'_>,
    upstream: &Order<'_>,
) -> Result<Done, ActionFault> {
    let session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let seen = session.row("looking", LOOK).await?;
    if !seen.is_true("recovery") {
        let why = "is a primary: it has to be rewound on its host (`rejoin` of its guard's door)";
        return Err(refused(&session, why));
    }
    let held = epoch::held(&session, order.app, seen.is_true("has_table")).await?;
    epoch::compare(&session, held, order.token)?;

    let primary = Session::open(attempt, upstream).await?;
    attempt.enter("looking at the primary that is to be followed");
    let above = primary.row("looking", LOOK).await?;
    let above_held = epoch::held(&primary, order.app, above.is_true("has_table")).await?;
    epoch::compare(&primary, above_held, order.token)?;
    if above.is_true("recovery") {
        return Err(refused(&primary, "is a standby: it cannot be followed"));
    }
    if above_held < held {
        return Err(refused(&primary, "may not be followed: its token is older"));
    }
    if seen.text("system") != above.text("system") {
        let other = primary.place();
        return Err(refused(&session, format!("belongs to another history than `{other}`")));
    }
    let standby = session.row("looking", &look_at_standby()).await?;
    let timeline = segment_timeline(&above).unwrap_or_default();
    if standby.number("streams") == Some(timeline) {
        // From whom, its number does not say.
        descends((&session, timeline), &standby, (&primary, timeline)).await?;
        return Ok(done(format!("streams from timeline {timeline} already")));
    }
    may_be_told(&session, &standby).await?;
    let own = standby.number::<u32>("timeline").unwrap_or_default().max(newest(&session).await?);
    descends((&session, own), &standby, (&primary, timeline)).await?;

    let Database { address, port, .. } = upstream.database;
    let conninfo = repointed(standby.text("conninfo").unwrap_or_default(), address, *port);
    let conninfo = conninfo.map_err(|why| refused(&session, why))?;
    if let Some(slot) = standby.text("slot").filter(|slot| !slot.is_empty()) {
        attempt.commit("making its replication slot at the new primary")?;
        let name = quoted(slot);
        let sql = format!(
            "SELECT pg_create_physical_replication_slot({name}, true) \
             WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name})"
        );
        primary.run("making a replication slot", &sql).await?;
    }
    attempt.commit("telling it whom to follow")?;
    let sql = format!("ALTER SYSTEM SET primary_conninfo = {}", quoted(&conninfo));
    session.run("telling it whom to follow", &sql).await?;
    attempt.commit("reloading the database's configuration")?;
    session.run("reloading", "SELECT pg_reload_conf()").await?;
    Ok(done(format!("follows `{}`", primary.place())))
}

/// Would it do what it is told?
async fn may_be_told(session: &Session, standby: &Row) -> Result<(), ActionFault> {
    if !standby.is_true("reloads") {
        let why = "has to be restarted to follow another: PostgreSQL before 13 is not told";
        return Err(refused(session, why));
    }
    if standby.text("target") != Some("latest") {
        return Err(refused(session, "stays on one timeline: `recovery_target_timeline` says so"));
    }
    let may = standby.is_true("super")
        || (standby.is_true("grants")
            && session.row("asking for rights", MAY).await?.is_true("may"));
    match may {
        true => Ok(()),
        false => Err(refused(
            session,
            "does not let us tell it whom to follow: `GRANT ALTER SYSTEM ON PARAMETER primary_conninfo` (15 or newer, else \
             a superuser)",
        )),
    }
}

/// Does what the primary has go on from where the standby is?
async fn descends(
    (session, own): (&Session, u32),
    standby: &Row,
    (primary, theirs): (&Session, u32),
) -> Result<(), ActionFault> {
    let place = primary.place();
    if theirs < own {
        return Err(refused(session, format!("is on timeline {own}, `{place}` on {theirs}")));
    }
    let position = standby.number::<u64>("position").unwrap_or_default();
    let left = match theirs == own {
        true => {
            let row = primary.row("reading its position", WRITTEN).await?;
            row.number("position")
        }
        false => {
            let sql = format!("SELECT pg_read_file('pg_wal/{theirs:08X}.history') AS history");
            let row = primary.row("reading its history (`pg_read_file`)", &sql).await?;
            branch(row.text("history").unwrap_or_default(), own)
        }
    };
    let Some(left) = left else {
        let why = format!("is on timeline {own}, which `{place}` never was on: rebuild it");
        return Err(refused(session, why));
    };
    if left < position {
        let has = lsn(position);
        let what = if theirs == own { "has no more than" } else { "left it at" };
        let left = lsn(left);
        return Err(refused(
            session,
            format!(
                "has received {has} of timeline {own}, and `{place}` {what} {left}: rewind or rebuild it"
            ),
        ));
    }
    match is_shared((session, own, position), (primary, theirs)).await? {
        true => Ok(()),
        false => Err(refused(
            session,
            format!(
                "is on another timeline {own} than `{place}`: both were promoted from one; rewind or rebuild it"
            ),
        )),
    }
}

/// The same connection string with another host and port.
///
/// Keywords and values as libpq reads them (PostgreSQL manual, "Connection Strings"): a value that holds blanks is quoted, a
/// backslash keeps the next character.
fn repointed(conninfo: &str, host: &str, port: u16) -> Result<String, &'static str> {
    if conninfo.starts_with("postgres://") || conninfo.starts_with("postgresql://") {
        return Err("has an address as `primary_conninfo`, of which no part can be changed");
    }
    let host = host.replace('\\', r"\\").replace('\'', r"\'");
    let mut changed = format!("host='{host}' port={port}");
    let mut kept = 0;
    let mut rest = conninfo.trim();
    while !rest.is_empty() {
        let unreadable = "has a `primary_conninfo` that cannot be read";
        let (key, after) = rest.split_once('=').ok_or(unreadable)?;
        let after = after.trim_start();
        let end = value_end(after).ok_or(unreadable)?;
        let (value, after) = after.split_at(end);
        let key = key.trim();
        if key.is_empty() || key.contains(|it: char| it.is_whitespace() || "'\\".contains(it)) {
            return Err(unreadable);
        }
        if !["host", "hostaddr", "port"].contains(&key) {
            changed += &format!(" {key}={value}");
            kept += 1;
        }
        rest = after.trim_start();
    }
    match kept {
        0 => Err("follows no primary by itself: its `primary_conninfo` names no log-in"),
        _ => Ok(changed),
    }
}

/// Where the value at the beginning of this text ends, quotes and all.
fn value_end(text: &str) -> Option<usize> {
    let is_quoted = text.starts_with('\'');
    let mut characters = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()?),
            '\'' if is_quoted => return Some(at + 1),
            blank if blank.is_whitespace() && !is_quoted => return Some(at),
            _ => {}
        }
    }
    (!is_quoted).then_some(text.len())
}

/// A string constant, whatever it holds and however the server reads backslashes.
fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

fn done(text: String) -> Done {
    Done { proven: false, position: None, text }
}

fn refused(session: &Session, what: impl Display) -> ActionFault {
    fault(ActionFaultKind::Refused, format!("`{}` {what}", session.place()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_and_port_of_a_connection_string_are_changed() {
        let place = "host='192.0.2.2' port=5433";
        for (conninfo, kept) in [
            ("host=192.0.2.1 user=me", "user=me"),
            ("user=me host = 192.0.2.1 port=5 hostaddr=192.0.2.1", "user=me"),
            ("user=me password='it''s' host=h", ""),
            (r"user=me password='a b=\'c\\' host='h i'", r"user=me password='a b=\'c\\'"),
            (r"user=me password=a\ b port=1", r"user=me password=a\ b"),
            ("user=me application_name= host=h", "user=me application_name=host=h"),
            ("user='me", ""),
            ("user", ""),
            ("", ""),
            ("host=192.0.2.1", ""),
            ("postgresql://me@h/db", ""),
        ] {
            let told = repointed(conninfo, "192.0.2.2", 5433);
            let expected = (!kept.is_empty()).then(|| format!("{place} {kept}"));
            assert_eq!(told.ok(), expected, "{conninfo}");
        }
    }

    #[test]
    fn a_string_stays_one() {
        assert_eq!(quoted(r"a'b\c"), r"E'a''b\\c'");
    }
}
