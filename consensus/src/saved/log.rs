//! How what must survive lies on disk.
//!
//! An append-only log of records `[length u32][number u64][crc32c of those u32][entry][crc32c of the entry u32]`, little
//! endian. A record that ends beyond the file was never acknowledged and is cut off; a record that is wrong in any other
//! way is damage, and the voter it belongs to must not vote again (PROTOCOL.md A.6). The header has a checksum of its own
//! so that a damaged length is not taken for a torn tail. Pure, so that the simulator tears the very bytes that production
//! writes; the agent's store only writes them and syncs.

use std::fmt;

use super::{Entry, Saved};
use crate::codec;

/// The most bytes one record may have.
pub const RECORD_LIMIT: usize = codec::LIMIT;
const HEADER: usize = 16;
const TRAILER: usize = 4;

/// A log that is wrong in a way that a crash does not explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where, in bytes from its start.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged at byte {}: {}", self.at, self.what)
    }
}

impl std::error::Error for Damage {}

/// A log read from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// What it holds.
    pub saved: Saved,
    /// The number of the next record.
    pub next: u64,
    /// How many bytes of it are whole records; the rest is a torn tail, to be cut off.
    pub whole: usize,
}

/// One record as it lies on disk.
pub fn record(number: u64, entry: &Entry) -> Vec<u8> {
    let entry = codec::encode(entry);
    let length = u32::try_from(entry.len()).expect("an entry is within its limit");
    let mut bytes = Vec::with_capacity(HEADER + entry.len() + TRAILER);
    bytes.extend(length.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes.extend(&entry);
    bytes.extend(crc32c::crc32c(&entry).to_le_bytes());
    bytes
}

/// Reads a log from its start.
///
/// # Errors
/// If a record that lies wholly in the file has a wrong checksum, number or content.
pub fn replay(log: &[u8]) -> Result<Replayed, Damage> {
    let mut replayed = Replayed { saved: Saved::default(), next: 0, whole: 0 };
    while let Some((entry, length)) = next_record(&log[replayed.whole..], replayed.next)
        .map_err(|what| Damage { at: replayed.whole, what })?
    {
        match (&entry, replayed.next) {
            (Entry::Born(_), 0) => {}
            (Entry::Born(_), _) | (_, 0) => {
                return Err(Damage {
                    at: replayed.whole,
                    what: "a log begins with its birth, once".into(),
                });
            }
            _ => {}
        }
        replayed.saved.apply(entry);
        replayed.next += 1;
        replayed.whole += length;
    }
    Ok(replayed)
}

/// The first record and its length; `None` at the end and at a torn tail.
fn next_record(log: &[u8], number: u64) -> Result<Option<(Entry, usize)>, String> {
    let Some((header, rest)) = log.split_at_checked(HEADER) else { return Ok(None) };
    if crc32c::crc32c(&header[..12]) != word(&header[12..]) {
        return Err("the checksum of a record's header does not match".into());
    }
    let length = word(header) as usize;
    let found = u64::from_le_bytes(header[4..12].try_into().expect("eight bytes"));
    if found != number {
        return Err(format!("expected record {number}, found {found}"));
    }
    if length > RECORD_LIMIT + 1 {
        return Err(format!("expected at most {RECORD_LIMIT} bytes in a record, found {length}"));
    }
    let Some(body) = rest.get(..length + TRAILER) else { return Ok(None) };
    let (entry, checksum) = body.split_at(length);
    if crc32c::crc32c(entry) != word(checksum) {
        return Err("the checksum of a record does not match".into());
    }
    let entry = codec::decode(entry).map_err(|error| error.to_string())?;
    Ok(Some((entry, HEADER + length + TRAILER)))
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}
