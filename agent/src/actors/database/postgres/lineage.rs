//! A standby and a primary → is what the one has received a part of what the other has?
//!
//! A promotion takes the next number, so two servers that were promoted from one timeline go by the same. Their history files
//! say where each left the one before (PostgreSQL manual, "Timelines"). Where both left it at one place, as two standbys do that
//! had all of a primary that died, only the log tells: the last that the standby received is compared, by its MD5. That takes
//! the right to read it (`pg_read_binary_file`), and that both have it still; else the files' word is all that is asked for.

use consensus::model::ActionFault;

use super::history::branches;
use super::session::Session;

/// So much of the log is compared: times and checksums of many transactions, or of the promotion itself.
const COMPARED: u64 = 64 * 1024;

const MEANS: &str =
    "SELECT has_function_privilege('pg_read_binary_file(text,bigint,bigint,boolean)', 'EXECUTE') AS may,
            pg_size_bytes(current_setting('wal_segment_size')) AS segment";

/// Nothing tells that the standby, which has received `position` of timeline `own`, is of another history than the primary, on
/// timeline `theirs`.
pub(super) async fn is_shared(
    (standby, own, position): (&Session, u32, u64),
    (primary, theirs): (&Session, u32),
) -> Result<bool, ActionFault> {
    let (ours, above) = (history(standby, own).await?, history(primary, theirs).await?);
    if !above.is_empty() && !branches(&above).starts_with(&branches(&ours)) {
        return Ok(false);
    }
    let means = standby.row("asking for rights", MEANS).await?;
    let above = primary.row("asking for rights", MEANS).await?;
    let segment = means.number("segment").unwrap_or_default();
    let Some(part) = Part::before(position, segment) else { return Ok(true) };
    if !means.is_true("may") || !above.is_true("may") {
        return Ok(true);
    }
    let sql = part.digest(own);
    let what = "reading the log (`pg_read_binary_file`)";
    let [ours, theirs] = [standby.row(what, &sql).await?, primary.row(what, &sql).await?];
    Ok(match (ours.text("digest"), theirs.text("digest")) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (None, _) | (_, None) => true,
    })
}

/// How a server came to a timeline; empty for the first, and where it does not know any more.
async fn history(session: &Session, timeline: u32) -> Result<String, ActionFault> {
    let file = format!("{timeline:08X}.history");
    let sql = format!("SELECT count(*) AS found FROM pg_ls_waldir() WHERE name = '{file}'");
    if session.row("looking for its history", &sql).await?.number("found") != Some(1) {
        return Ok(String::new());
    }
    let sql = format!("SELECT pg_read_file('pg_wal/{file}') AS history");
    let row = session.row("reading its history (`pg_read_file`)", &sql).await?;
    Ok(row.text("history").unwrap_or_default().to_owned())
}

/// A part of one file of the log.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// The file's name without its timeline.
    file: String,
    offset: u64,
    length: u64,
}

impl Part {
    /// The last before a position, of files of this size.
    fn before(position: u64, segment: u64) -> Option<Self> {
        let last = position.checked_sub(1)?;
        let number = last.checked_div(segment)?;
        // A name counts files by the four gigabytes that hold them (`XLogFileName` in PostgreSQL's `xlog_internal.h`).
        let each = (1u64 << 32).checked_div(segment).filter(|each| *each != 0)?;
        let end = last % segment + 1;
        let length = end.min(COMPARED);
        let file = format!("{:08X}{:08X}", number / each, number % each);
        Some(Self { file, offset: end - length, length })
    }

    fn digest(&self, timeline: u32) -> String {
        let Self { file, offset, length } = self;
        format!(
            "SELECT md5(pg_read_binary_file('pg_wal/{timeline:08X}{file}', {offset}, {length}, true)) AS digest"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_last_of_a_log_is_in_the_file_that_holds_it() {
        for (position, segment, expected) in [
            (0x0300_0148, 16 * MIB, Some(("0000000000000003", 0, 0x148))),
            (0x0400_0000, 16 * MIB, Some(("0000000000000003", 16 * MIB - COMPARED, COMPARED))),
            (0x2_FF02_0000, 16 * MIB, Some(("00000002000000FF", COMPARED, COMPARED))),
            (0x1_4000_0001, 1024 * MIB, Some(("0000000100000001", 0, 1))),
            (0, 16 * MIB, None),
            (7, 0, None),
        ] {
            let found = Part::before(position, segment);
            let found = found.as_ref().map(|it| (it.file.as_str(), it.offset, it.length));
            assert_eq!(found, expected, "{position:X} by {segment}");
        }
    }
}
