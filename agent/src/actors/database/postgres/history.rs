//! Timelines and positions, as PostgreSQL writes them.

use super::session::Row;

/// Where a history file says that this timeline was left (PostgreSQL manual, "Timelines").
pub(super) fn branch(history: &str, timeline: u32) -> Option<u64> {
    history.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let number = words.next()?.parse::<u32>().ok()?;
        (number == timeline).then(|| words.next().and_then(parse_lsn)).flatten()
    })
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
    }

    #[test]
    fn positions_read_as_they_are_written() {
        assert_eq!(lsn(0x1_0600_01c8), "1/60001C8");
        assert_eq!(parse_lsn("1/60001C8"), Some(0x1_0600_01c8));
        assert_eq!(parse_lsn("1/"), None);
    }
}
