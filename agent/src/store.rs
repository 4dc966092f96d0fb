//! What must survive: writes the core's records and syncs them. Knows nothing of what they mean.
//!
//! The data folder holds `log` (the records of [`consensus::saved`]), `evidence.key` (the secret half of a voter's
//! evidence key) and `reserve` (a megabyte to give up on a full disk). One process holds the folder at a time, by a
//! lock on the folder itself. What [`Store::append`] has returned `Ok` for is on disk; after an error nothing is
//! known any more, the store takes no further records, and the process must end: the kernel marks pages clean whose
//! write failed, so a second sync that succeeds says nothing (PROTOCOL.md A.6).
//!
//! For the same reason [`Store::open`] writes what it read anew and starts from that copy: what another run left in the
//! page cache is never mistaken for what is on disk. A torn tail disappears by the same stroke.
//!
//! A voter whose log is damaged or gone does not vote again under its old id (rule R8). It is quarantined: the
//! damaged log is kept beside, and a fresh one is born *without* an acceptor, so that what the mesh agreed is still
//! there for DNS after a restart and every later start knows that this store may not vote.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use consensus::config::BallotStore;
use consensus::model::{AgentId, MeshId, Voter};
use consensus::saved::{self, Birth, COMPACT_BEYOND, Damage, Entry, Saved};
use data_encoding::HEXLOWER;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use crate::clock;
use crate::identity::write_secret;

const LOG: &str = "log";
const SEED: &str = "evidence.key";
const RESERVE: &str = "reserve";
/// Enough for a restart on a full disk to write its log anew (PROTOCOL.md A.6).
const RESERVE_BYTES: u64 = 1024 * 1024;
/// Beyond this a log was not written by us: compaction keeps it near its snapshot.
const LOG_LIMIT: u64 = 1024 * 1024 * 1024;

/// An open data folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// Held for its lock.
    _lock: File,
    log: File,
    saved: Saved,
    next: u64,
    bytes: usize,
    compact_beyond: usize,
    broken: bool,
}

/// What was found in a data folder.
#[derive(Debug)]
pub struct Opened {
    /// Everything that survived.
    pub saved: Saved,
    /// What makes this agent a voter, if it is one and may vote.
    pub ballots: Option<BallotStore>,
    /// Why an agent that should vote may not, or why an observer began anew.
    pub quarantine: Option<Quarantine>,
}

/// Why a store may not vote any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Quarantine {
    /// The log is wrong in a way that a crash does not explain.
    #[error("the log is {what}; it is kept as `{}`", kept.display())]
    Damaged {
        /// What is wrong and where.
        what: String,
        /// Where the damaged log lies now.
        kept: PathBuf,
    },
    /// There is no log though there must be one.
    #[error("there is no log in `{}`", .0.display())]
    Missing(PathBuf),
    /// This log was begun without the right to vote.
    #[error("the log in `{}` was begun after the voter's own was damaged or lost", .0.display())]
    Reborn(PathBuf),
    /// The log is another store's than the one the voters know.
    #[error("the log in `{}` is of another store than `voters.toml` names for this agent", .0.display())]
    OtherStore(PathBuf),
    /// The evidence key is missing, or not the one that the voters know.
    #[error("`{}` is missing or not the key that `voters.toml` names for this agent", .0.display())]
    Key(PathBuf),
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder.
    #[error(
        "the data folder `{}` is locked by another agent: stop that one, or give this one its own `data_dir`",
        .0.display()
    )]
    Locked(PathBuf),
    /// The folder is somebody else's.
    #[error(
        "the data folder `{}` belongs to agent `{}` of mesh `{}`: give this agent its own `data_dir`",
        folder.display(), birth.agent, birth.mesh
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        birth: Birth,
    },
    /// There is a store where one was to be made.
    #[error("there is a store in `{}` already: a store is made once and never again", .0.display())]
    Exists(PathBuf),
    /// The operating system says no.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// A record was not written whole; nothing is known of it any more.
    #[error("the store in `{}` failed earlier and takes nothing more", .0.display())]
    Broken(PathBuf),
}

/// Makes a data folder: a voter's with its acceptor in `birth` and the seed of its evidence key, an observer's with
/// neither.
///
/// # Errors
/// If there is a store already, or the file system refuses.
pub fn create(folder: &Path, birth: Birth, seed: Option<&[u8; 32]>) -> Result<(), StoreError> {
    make_folder(folder)?;
    let _lock = lock(folder)?;
    if folder.join(LOG).exists() {
        return Err(StoreError::Exists(folder.to_owned()));
    }
    if let Some(seed) = seed {
        let path = folder.join(SEED);
        write_secret(&path, format!("{}\n", HEXLOWER.encode(seed)).as_bytes())
            .map_err(failed("write", &path))?;
    }
    let saved = Saved { birth: Some(birth), ..Saved::default() };
    write_anew(folder, &saved).map(drop)
}

/// The public half of the evidence key that grows from this seed: what `voters.toml` names.
pub fn evidence_key(seed: &[u8; 32]) -> [u8; 32] {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed");
    pair.public_key().as_ref().try_into().expect("ed25519 keys have 32 bytes")
}

impl Store {
    /// Opens the data folder of this agent; `voter` is what `voters.toml` says of it, if it is one.
    ///
    /// # Errors
    /// If the folder is locked, somebody else's, or cannot be read or written. Damage is no error: see [`Opened`].
    pub fn open(
        folder: &Path,
        mesh: MeshId,
        agent: &AgentId,
        voter: Option<&Voter>,
    ) -> Result<(Self, Opened), StoreError> {
        make_folder(folder)?;
        let lock = lock(folder)?;
        let newborn = || Saved {
            birth: Some(Birth { mesh, agent: agent.clone(), acceptor: None }),
            ..Saved::default()
        };
        let (saved, damage) = match read_log(folder)? {
            Found::Whole(saved) => (saved, None),
            Found::Missing if voter.is_some() => {
                (newborn(), Some(Quarantine::Missing(folder.to_owned())))
            }
            Found::Missing => (newborn(), None),
            Found::Damaged(damage) => {
                let kept = keep_aside(folder)?;
                (newborn(), Some(Quarantine::Damaged { what: damage.to_string(), kept }))
            }
        };
        let birth = saved.birth.as_ref().expect("a log begins with its birth");
        if (birth.mesh, &birth.agent) != (mesh, agent) {
            return Err(StoreError::Foreign { folder: folder.to_owned(), birth: birth.clone() });
        }
        let (ballots, refused) = match voter {
            Some(voter) if damage.is_none() => ballots(folder, birth, voter)?,
            _ => (None, None),
        };

        give_up_reserve(folder)?;
        let (log, next, bytes) = write_anew(folder, &saved)?;
        make_reserve(folder);
        let opened = Opened { saved: saved.clone(), ballots, quarantine: damage.or(refused) };
        let folder = folder.to_owned();
        let compact_beyond = COMPACT_BEYOND.max(2 * bytes);
        let broken = false;
        Ok((Self { folder, _lock: lock, log, saved, next, bytes, compact_beyond, broken }, opened))
    }

    /// Makes these entries durable, in order, with one sync.
    ///
    /// # Errors
    /// If anything at all goes wrong: then the process must end without doing what depends on them, and never retry.
    pub fn append(&mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Broken(self.folder.clone()));
        }
        // Only a way through without an error mends this.
        self.broken = true;
        let path = self.folder.join(LOG);
        let mut bytes = Vec::new();
        for entry in &entries {
            bytes.extend(saved::record(self.next, entry));
            self.next += 1;
        }
        // Not `write_all`: a short write is an error here, not a reason to try again.
        let written = self.log.write(&bytes).map_err(failed("write", &path))?;
        if written != bytes.len() {
            let short = format!("wrote {written} of {} bytes", bytes.len());
            return Err(failed("write", &path)(io::Error::other(short)));
        }
        self.log.sync_data().map_err(failed("sync", &path))?;
        self.bytes += bytes.len();
        for entry in entries {
            self.saved.apply(entry);
        }
        if self.compact_beyond < self.bytes {
            (self.log, self.next, self.bytes) = write_anew(&self.folder, &self.saved)?;
            self.compact_beyond = COMPACT_BEYOND.max(2 * self.bytes);
        }
        self.broken = false;
        Ok(())
    }
}

#[cfg(test)]
impl Store {
    /// Every later write fails with ENOSPC.
    pub(crate) fn fill_the_disk(&mut self) {
        self.log = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    }
}

enum Found {
    Whole(Saved),
    Missing,
    Damaged(Damage),
}

fn read_log(folder: &Path) -> Result<Found, StoreError> {
    let path = folder.join(LOG);
    let bytes = match crate::identity::read_limited(&path, LOG_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    Ok(match saved::replay(&bytes) {
        Ok(replayed) if replayed.saved.birth.is_some() => Found::Whole(replayed.saved),
        // A log appears under its name only once it is whole, so its first record cannot be torn.
        Ok(_) => Found::Damaged(Damage { at: 0, what: "its first record is missing".into() }),
        Err(damage) => Found::Damaged(damage),
    })
}

/// What the voter votes with, or why it may not.
fn ballots(
    folder: &Path,
    birth: &Birth,
    voter: &Voter,
) -> Result<(Option<BallotStore>, Option<Quarantine>), StoreError> {
    let refused = match birth.acceptor {
        None => Quarantine::Reborn(folder.to_owned()),
        Some(acceptor) if acceptor != voter.acceptor => Quarantine::OtherStore(folder.to_owned()),
        Some(acceptor) => {
            let path = folder.join(SEED);
            let seed = match crate::identity::read_limited(&path, 1024) {
                Ok(text) => HEXLOWER.decode(text.trim_ascii()).ok(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(failed("read", &path)(error)),
            };
            match seed.and_then(|seed| <[u8; 32]>::try_from(seed).ok()) {
                Some(seed) if evidence_key(&seed) == voter.key => {
                    return Ok((Some(BallotStore { acceptor, seed }), None));
                }
                _ => Quarantine::Key(path),
            }
        }
    };
    Ok((None, Some(refused)))
}

/// Writes the shortest log that says this, durably, in the place of whatever log there is.
fn write_anew(folder: &Path, saved: &Saved) -> Result<(File, u64, usize), StoreError> {
    let (new, path) = (folder.join("log.new"), folder.join(LOG));
    let mut bytes = Vec::new();
    let mut next = 0;
    for entry in saved.entries() {
        bytes.extend(saved::record(next, &entry));
        next += 1;
    }
    // A leftover of a crash in the middle of this is worth nothing.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&new)
        .map_err(failed("write", &new))?;
    file.write_all(&bytes).map_err(failed("write", &new))?;
    file.sync_all().map_err(failed("sync", &new))?;
    fs::rename(&new, &path).map_err(failed("rename", &new))?;
    sync_folder(folder)?;
    Ok((file, next, bytes.len()))
}

fn keep_aside(folder: &Path) -> Result<PathBuf, StoreError> {
    let kept = folder.join(format!("log.damaged-{}", clock::wall_ms()));
    let path = folder.join(LOG);
    fs::rename(&path, &kept).map_err(failed("rename", &path))?;
    sync_folder(folder)?;
    Ok(kept)
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make", folder))
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let file = File::open(folder).map_err(failed("open", folder))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked(folder.to_owned())),
        Err(errno) => Err(failed("lock", folder)(errno.into())),
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(failed("sync", folder))
}

fn give_up_reserve(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(RESERVE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Best effort: without it everything works but a restart on a full disk.
fn make_reserve(folder: &Path) {
    let path = folder.join(RESERVE);
    let made = File::create(&path).and_then(|file| {
        fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES).map_err(io::Error::from)
    });
    if let Err(error) = made {
        tracing::warn!("no reserve for a full disk in `{}`: {error}", folder.display());
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
