//! The one query, and its row → [`DatabaseSight`].
//!
//! Everything is asked in one statement, so that what it tells belongs to one moment. `pg_is_in_recovery()` is asked
//! once: a server promoted meanwhile answers as the replica it was, never as half of each.

use std::time::Duration;

use consensus::model::{DatabaseSight, FaultKind, SYNC_NAME_MOST, Waits};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::standbys::Standbys;
use crate::fault::Trouble;

/// The most replicas that are named: those that are waited for, and those that receive.
const SYNCHRONOUS_LIMIT: usize = 16;
/// The most slots that are named.
const SLOTS_LIMIT: usize = 8;

/// Asks a primary or a replica.
///
/// Every look is a log-in of its own, so that a server parses and plans this anew each time, which costs it more than the answer:
/// the functions behind `pg_stat_replication`, `pg_stat_activity` and `pg_replication_slots` are asked, and not the views, and the
/// first once. Of PostgreSQL 15 that took half of the cost away, from 7 to 3.5 ms of its CPU a look.
///
/// * `timeline` in hexadecimal: of a primary, out of the name of the file it writes, for the control file keeps the old
///   one until the first checkpoint after a promotion; of a replica, the newest that it has heard of.
/// * `upstream`: what the receiver calls itself: `application_name` in `primary_conninfo`, else `cluster_name`, else
///   `walreceiver`. The server cuts it out of the connection string, so that the password in there never travels;
///   `pg_stat_wal_receiver.conninfo` hides passwords but quotes nothing, so a name with a space could not be read.
/// * `lag`: of a replica that streams and has applied all that came, since when nothing came: that a link is cut shows a minute
///   later (`wal_receiver_timeout`).
/// * `slots`: `wal_status` came with version 13, and is read so that a 12 only knows nothing of it. A slot that nobody reads
///   is told of from 1 GiB on: what it keeps grows until the disk is full.
/// * `settled`: does it go by that? Commits wait once the checkpointer has read the setting, which it does where it idles or
///   paces itself, and not while it hurries or syncs (`ReloadConfig` in `checkpointer.c`).
/// * `synchronous`: only where commits wait at all, and until a replica has flushed them.
/// * `shared`: names that more than one receiver bears, whatever it is doing; the server compares them without case, and takes
///   either for the one that it waits for (`syncrep.c`). So none of them is known to be waited for.
/// * `receivers`: all other names of those that stream.
pub(super) const SQL: &str = r#"
with own as materialized (
  select pg_is_in_recovery() as replica,
    pg_has_role(current_user, 'pg_read_all_stats', 'usage')
      and pg_has_role(current_user, 'pg_read_all_settings', 'usage') as permitted
), receiver as (
  select status, received_tli, last_msg_receipt_time from pg_stat_wal_receiver limit 1
), log as materialized (
  select
    case when replica then coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')
      else pg_current_wal_flush_lsn() end as position,
    case when replica then coalesce(pg_last_wal_replay_lsn(), '0/0') end as replayed
  from own
), upstream as (
  select case when replica and permitted then current_setting('primary_conninfo') end as conninfo from own
), senders as materialized (
  select a.application_name, lower(a.application_name collate "C") as name, s.state, s.sync_state
  from pg_stat_get_wal_senders() as s join pg_stat_get_activity(null) as a using (pid)
), parts as (
  select m[1] as key, m[2] as value, place
  from upstream, regexp_matches(
    case when conninfo ~ '^postgres(ql)?://' then translate(split_part(conninfo, '?', 2), '&', ' ') else conninfo end,
    $re$([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)$re$, 'g'
  ) with ordinality as t(m, place)
)
select
  own.replica as replica,
  own.permitted as permitted,
  current_setting('default_transaction_read_only') as read_only,
  (select system_identifier from pg_control_system()) as system,
  case when own.replica then to_hex(greatest(
      (select received_tli from receiver),
      (select timeline_id from pg_control_checkpoint()),
      (select min_recovery_end_timeline from pg_control_recovery())))
    else left(pg_walfile_name(log.position), 8) end as timeline,
  log.position - '0/0'::pg_lsn as position,
  coalesce(log.replayed, log.position) - '0/0'::pg_lsn as replayed,
  coalesce((select status = 'streaming' from receiver), false) as streaming,
  (select extract(epoch from clock_timestamp() - last_msg_receipt_time) from receiver) as heard,
  case when not own.replica then null
    when log.position = log.replayed and exists (select from receiver where status = 'streaming')
      then (select extract(epoch from clock_timestamp() - last_msg_receipt_time) from receiver)
    else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end as lag,
  case when own.replica then coalesce(
    (select value from parts where key = 'application_name' order by place desc limit 1),
    nullif(current_setting('cluster_name'), ''),
    'walreceiver') end as upstream,
  case when own.replica or current_setting('synchronous_commit') in ('off', 'local', 'remote_write') then ''
    else current_setting('synchronous_standby_names') end as standbys,
  (select string_agg(sync_state || ' ' || application_name, chr(10) order by sync_state, application_name)
    from (select * from senders where sync_state in ('sync', 'quorum') limit 64) as s) as synchronous,
  (select string_agg(name, chr(10)) from (
    select name from senders group by 1 having count(*) > 1
    ) as names) as shared,
  (select string_agg(name, chr(10)) from (
    select min(application_name) as name from senders group by senders.name
    having count(*) = 1 and bool_and(state = 'streaming') order by 1 limit 16) as names) as receivers,
  case when own.replica or current_setting('synchronous_standby_names') = '' then false
    else coalesce((select wait_event in ('CheckpointerMain', 'CheckpointWriteDelay') from pg_stat_get_activity(null)
      where backend_type = 'checkpointer' limit 1), false) end as settled,
  (select string_agg(name || ' ' || wrong, chr(10) order by name) from (
    select slot_name as name, case
      when state = 'lost' then 'lost its log: whoever reads it is to be rebuilt'
      when state = 'unreserved' then 'may lose its log at the next checkpoint'
      when not active and kept > 1073741824 then 'is read by nobody, and keeps ' || kept || ' bytes of log'
      end as wrong
    from (select slot_name, active, to_jsonb(s) ->> 'wal_status' as state, log.position - restart_lsn as kept
      from pg_get_replication_slots() as s where slot_type = 'physical') as slots
    ) as slots where wrong is not null limit 1) as slots
from own, log"#;

/// Asks a replica that streams from nobody for the newest timeline of which it has a log file. It may have come along to
/// that, and its control file names the old one until the next restart point. Members of `pg_monitor` may ask; in [`SQL`] it
/// would be refused to others even where it is not reached.
pub(super) const NEWEST: &str = r"
select to_hex(max(('x' || left(name, 8))::bit(32)::int)) as newest from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'";

/// Is it a replica that streams from nobody?
pub(super) fn is_alone(messages: &[SimpleQueryMessage]) -> bool {
    first(messages).is_some_and(|row| {
        matches!((row.is("replica"), row.is("streaming")), (Ok(true), Ok(false)))
    })
}

/// The timeline that [`NEWEST`] found; none where it was refused.
pub(super) fn newest(messages: &[SimpleQueryMessage]) -> Option<u32> {
    timeline(first(messages)?.maybe("newest").ok()??).ok()
}

fn first(messages: &[SimpleQueryMessage]) -> Option<Row<'_>> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(Row(row)),
        _ => None,
    })
}

/// Reads the one row.
pub(super) fn read(messages: &[SimpleQueryMessage], user: &str) -> Result<DatabaseSight, Trouble> {
    let row = first(messages).ok_or_else(|| unreadable("a row", None))?;
    if !row.is("permitted")? {
        let text =
            format!("`{user}` may not see replication: run `grant pg_monitor to \"{user}\"`");
        return Err(Trouble::theirs(FaultKind::Credential, text));
    }
    let replica = row.is("replica")?;
    Ok(DatabaseSight {
        replica,
        read_only: row.is("read_only")?,
        system: row.parse::<i64>("system")?.cast_unsigned(),
        timeline: timeline(row.text("timeline")?)?,
        position: row.parse("position")?,
        replayed: row.parse("replayed")?,
        streaming: row.is("streaming")?,
        heard: row.span("heard")?,
        lag: row.span("lag")?,
        upstream_name: row.maybe("upstream")?.map(unquoted),
        synchronous: required(
            row.text("standbys")?,
            row.maybe("synchronous")?.unwrap_or(""),
            row.maybe("shared")?.unwrap_or(""),
            row.is("settled")?,
        ),
        receivers: row.maybe("receivers")?.map(received).unwrap_or_default(),
        slots_at_risk: row.maybe("slots")?.map(at_risk).unwrap_or_default(),
    })
}

/// The names of a primary's receivers, a line each.
fn received(lines: &str) -> Vec<String> {
    let names = lines.lines().filter(|name| name.len() < SYNC_NAME_MOST);
    names.take(SYNCHRONOUS_LIMIT).map(str::to_owned).collect()
}

fn at_risk(lines: &str) -> Vec<String> {
    lines.lines().take(SLOTS_LIMIT).map(|line| line.chars().take(160).collect()).collect()
}

struct Row<'a>(&'a SimpleQueryRow);

impl Row<'_> {
    fn maybe(&self, column: &'static str) -> Result<Option<&str>, Trouble> {
        self.0.try_get(column).map_err(|_| unreadable(column, None))
    }

    fn text(&self, column: &'static str) -> Result<&str, Trouble> {
        self.maybe(column)?.ok_or_else(|| unreadable(column, None))
    }

    fn is(&self, column: &'static str) -> Result<bool, Trouble> {
        match self.text(column)? {
            "t" | "on" => Ok(true),
            "f" | "off" => Ok(false),
            other => Err(unreadable(column, Some(other))),
        }
    }

    fn parse<T: std::str::FromStr>(&self, column: &'static str) -> Result<T, Trouble> {
        let text = self.text(column)?;
        text.parse().map_err(|_| unreadable(column, Some(text)))
    }

    /// A span that a clock set back made negative is none.
    fn span(&self, column: &'static str) -> Result<Option<Duration>, Trouble> {
        let Some(text) = self.maybe(column)? else { return Ok(None) };
        let seconds: f64 = text.parse().map_err(|_| unreadable(column, Some(text)))?;
        let span = Duration::try_from_secs_f64(seconds.max(0.0));
        span.map(Some).map_err(|_| unreadable(column, Some(text)))
    }
}

fn unreadable(what: &str, found: Option<&str>) -> Trouble {
    let text = match found {
        None => format!("the database's answer lacks `{what}`"),
        Some(found) => format!("the database's answer has no readable `{what}`: found `{found}`"),
    };
    Trouble::theirs(FaultKind::Protocol, text)
}

fn timeline(text: &str) -> Result<u32, Trouble> {
    u32::from_str_radix(text, 16).map_err(|_| unreadable("timeline", Some(text)))
}

/// A value of a connection string as it is meant (PostgreSQL documentation, 34.1.1.1).
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let mut value = String::new();
    let mut letters = inner.unwrap_or(text).chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next()),
            letter => value.push(letter),
        }
    }
    value
}

/// The replicas without whose word no commit is acknowledged now, out of `state name` lines and those whose name is shared,
/// and what marks that.
fn required(standbys: &str, states: &str, shared: &str, settled: bool) -> Vec<String> {
    let named = |state: &str| {
        let lines = states.lines().filter_map(|line| line.split_once(' '));
        let mut names: Vec<String> =
            lines.filter(|(found, _)| *found == state).map(|(_, name)| name.to_owned()).collect();
        names.dedup();
        names
    };
    let Some(setting) = Standbys::read(standbys) else { return Vec::new() };
    let mut names = setting.required(named("sync"), named("quorum"));
    let marked = setting.waits().version > 0 && settled;
    names.splice(0..0, marked.then(|| Waits::SETTLED.to_owned()));
    names.retain(|name| name.len() < SYNC_NAME_MOST);
    names.retain(|name| !shared.lines().any(|it| it.eq_ignore_ascii_case(name)));
    names.truncate(SYNCHRONOUS_LIMIT);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replicas_that_every_commit_waits_for_are_named() {
        let cases: [(&str, &str, &[&str]); 18] = [
            ("", "sync b", &[]),
            ("b", "sync b", &["b"]),
            ("*", "sync b", &["b"]),
            ("FIRST 2 (b, c, d)", "sync b\nsync c\npotential d", &["b", "c"]),
            ("ANY 1 (b, c)", "quorum b\nquorum c", &[]),
            ("ANY 1 (b, c)", "quorum b", &[]),
            ("any 2 (b, c)", "quorum b\nquorum c", &["b", "c"]),
            ("ANY 1 (b)", "quorum b", &["b"]),
            ("ANY 1 (\"b, c\")", "quorum b, c", &["b, c"]),
            ("ANY 1 (*)", "quorum b", &["b"]),
            ("ANY 1 (*)", "quorum b\nquorum c", &[]),
            ("b", "", &["b"]),
            ("FIRST 1 (\"b, c\")", "", &["b, c"]),
            ("ANY 1 ( b )", "", &["b"]),
            ("*", "", &[]),
            ("FIRST 1 (b, c)", "", &[]),
            ("ANY 1 (\"b\", \"c\")", "", &[]),
            ("1 (b", "", &[]),
        ];
        for (standbys, states, expected) in cases {
            assert_eq!(required(standbys, states, "", true), expected, "{standbys} / {states}");
        }
    }

    #[test]
    fn a_name_that_two_receivers_bear_is_not_named() {
        for (standbys, states, expected) in [
            ("FIRST 2 (b, c)", "sync c\nsync B\nsync b", &["c"][..]),
            ("FIRST 1 (B)", "", &[]),
            ("*", "sync b\nsync b\nsync c", &["c"]),
            (
                r#"FIRST 1 (b, "quorate:sync:shop:3")"#,
                "sync b",
                &["quorate:sync:settled", "quorate:sync:shop:3"],
            ),
        ] {
            assert_eq!(required(standbys, states, "d\nb", true), expected, "{standbys}");
        }
    }

    #[test]
    fn at_most_sixteen_are_named() {
        let states: String = (0..40).map(|n| format!("sync s{n}\n")).collect();
        assert_eq!(required("*", &states, "", true).len(), SYNCHRONOUS_LIMIT);
    }

    #[test]
    fn values_of_connection_strings_lose_their_quotes() {
        for (text, value) in [
            ("walreceiver", "walreceiver"),
            ("'b of shop'", "b of shop"),
            (r"'it\'s'", "it's"),
            (r"a\ b", "a b"),
            ("", ""),
            ("'", "'"),
            (r"\", ""),
        ] {
            assert_eq!(unquoted(text), value, "{text}");
        }
    }
}
