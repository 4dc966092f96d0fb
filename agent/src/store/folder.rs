//! The data folder itself: made, locked, synced; the reserve for a full disk; logs that are kept aside.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use super::{LOG, StoreError};
use crate::clock;

pub(super) const RESERVE: &str = "reserve";
/// Enough for a restart on a full disk to write its log anew (PROTOCOL.md A.6).
const RESERVE_BYTES: u64 = 1024 * 1024;
/// What the names of logs begin with that are kept for whoever wants to know what happened.
const KEPT: &str = "log.kept-";
/// How many of them: a disk that damages every log must not be filled with them.
const KEPT_MOST: usize = 3;

pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make", folder))
}

pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let file = File::open(folder).map_err(failed("open", folder))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked(folder.to_owned())),
        Err(errno) => Err(failed("lock", folder)(errno.into())),
    }
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(failed("sync", folder))
}

/// Moves the log out of the way; `None` if there is none.
pub(super) fn keep_aside(folder: &Path) -> Result<Option<PathBuf>, StoreError> {
    let path = folder.join(LOG);
    let kept = folder.join(format!("{KEPT}{}", clock::wall_ms()));
    match fs::rename(&path, &kept) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("rename", &path)(error)),
    }
    sync_folder(folder)?;
    let older = kept_aside(folder);
    for path in older.iter().take(older.len().saturating_sub(KEPT_MOST)) {
        // Best effort: what stays is only clutter.
        let _ = fs::remove_file(path);
    }
    Ok(Some(kept))
}

/// What lies in a data folder, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks {
    /// Is there a reserve for a restart on a full disk?
    pub reserve: bool,
    /// The logs that were moved out of the way, oldest first.
    pub kept: Vec<PathBuf>,
}

/// Looks into a data folder, whoever runs on it.
pub fn looks(folder: &Path) -> Looks {
    Looks { reserve: folder.join(RESERVE).exists(), kept: kept_aside(folder) }
}

/// The logs that were moved out of the way, oldest first.
fn kept_aside(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut kept: Vec<_> = names
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(KEPT))
        .map(|entry| entry.path())
        .collect();
    kept.sort();
    kept
}

pub(super) fn give_up_reserve(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(RESERVE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Best effort: without it everything works but a restart on a full disk.
pub(super) fn make_reserve(folder: &Path) {
    let path = folder.join(RESERVE);
    let made = File::create(&path).and_then(|file| {
        fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES).map_err(io::Error::from)
    });
    if let Err(error) = made {
        tracing::warn!("no reserve for a full disk in `{}`: {error}", folder.display());
    }
}

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { doing, path: path.to_owned(), source }
}
