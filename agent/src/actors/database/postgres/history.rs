//! Timelines and positions, as PostgreSQL writes them.

use consensus::model::ActionFault;

use super::session::{Row, Session};

/// A standby's timeline, as SQL: its receiver's while it streams, else what its last restart point and its replayed pages say.
/// That may lag behind the log itself ([`newest`]).
pub(super) const STANDBYS: &str = "greatest((SELECT received_tli FROM pg_stat_wal_receiver),
                    (SELECT timeline_id FROM pg_control_checkpoint()),
                    (SELECT min_recovery_end_timeline FROM pg_control_recovery()))";

/// The newest timeline of which a server has a log file.
pub(super) async fn newest(session: &Session) -> Result<u32, ActionFault> {
    let sql = "SELECT max(left(name, 8)) AS newest FROM pg_ls_waldir() \
               WHERE name ~ '^[0-9A-F]{24}$'";
    let row = session.row("listing its log", sql).await?;
    let newest = row.text("newest").and_then(|hex| u32::from_str_radix(hex, 16).ok());
    Ok(newest.unwrap_or_default())
}

/// Where a history file says that this timeline was left (PostgreSQL manual, "Timelines").
pub(super) fn branch(history: &str, timeline: u32) -> Option<u64> {
    let left = branches(history).into_iter().find(|(number, _)| *number == timeline);
    left.map(|(_, position)| position)
}

/// Of every timeline that a history file names: where it was left, in the file's order.
pub(super) fn branches(history: &str) -> Vec<(u32, u64)> {
    let each = history.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, parse_lsn(words.next()?)?))
    });
    each.collect()
}

/// The timeline of a log file's name.
pub(super) fn segment_timeline(row: &Row) -> Option<u32> {
    u32::from_str_radix(row.text("segment")?.get(..8)?, 16).ok()
}

fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u32::from_str_radix(high, 16).ok()?;
    let low = u32::from_str_radix(low, 16).ok()?;
    Some(u64::from(high) << 32 | u64::from(low))
}

/// A position, as the server writes it.
pub(super) fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_says_where_each_timeline_was_left() {
        let history = "1\t0/5000148\tno recovery target specified\n\n2\t1/60001C8\treason\n";
        assert_eq!(branch(history, 1), Some(0x0500_0148));
        assert_eq!(branch(history, 2), Some(0x1_0600_01c8));
        assert_eq!(branch(history, 3), None);
        assert_eq!(branch("", 1), None);
        assert_eq!(branch("1\tnonsense", 1), None);
        assert_eq!(branches(history), [(1, 0x0500_0148), (2, 0x1_0600_01c8)]);
    }

    #[test]
    fn positions_read_as_they_are_written() {
        assert_eq!(lsn(0x1_0600_01c8), "1/60001C8");
        assert_eq!(parse_lsn("1/60001C8"), Some(0x1_0600_01c8));
        assert_eq!(parse_lsn("1/"), None);
    }
}
