//! Why a store of this agent may not vote any more, remembered until a fresh one has taken its place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use consensus::model::Quarantined;

use super::StoreError;
use super::folder::{failed, sync_folder};
use crate::clock;
use crate::identity::{date, read_limited};

const FILE: &str = "quarantine";
/// A reason is a line.
const FILE_LIMIT: u64 = 4096;

/// Why an earlier store of this agent may not vote any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Quarantine {
    /// The log is wrong in a way that a crash does not explain.
    #[error("the log was {0}")]
    Damaged(String),
    /// There is no log though there must be one.
    #[error("there was no log")]
    Missing,
    /// The log is an observer's.
    #[error("the log was begun without the right to vote")]
    Observers,
    /// The evidence key is missing, damaged, or not the one that belongs to the log.
    #[error("the evidence key was missing or did not belong to the log")]
    Key,
    /// The mesh found out while the agent ran.
    #[error("{0}")]
    Told(Quarantined),
    /// A new mesh was made of it.
    #[error("`quorate recover` made a new mesh of its log in `{}`", .0.display())]
    Recovered(PathBuf),
    /// Found at an earlier start; in its words then.
    #[error("{0}")]
    Earlier(String),
}

/// Writes down why, for this start and later ones.
pub(super) fn write(
    folder: &Path,
    why: &Quarantine,
    kept: Option<&Path>,
) -> Result<(), StoreError> {
    let kept =
        kept.map_or_else(String::new, |kept| format!("; it is kept as `{}`", kept.display()));
    let text = format!("at {} {why}{kept}\n", date(clock::wall_ms() / 1000));
    let path = folder.join(FILE);
    fs::write(&path, text).map_err(failed("write", &path))?;
    sync_folder(folder)
}

/// What an earlier start wrote down.
pub(super) fn read(folder: &Path) -> Result<Option<Quarantine>, StoreError> {
    let path = folder.join(FILE);
    match read_limited(&path, FILE_LIMIT) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            Ok((!text.is_empty()).then_some(Quarantine::Earlier(text)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}
