//! What must survive: writes the core's records and syncs them. Knows nothing of what they mean.
//!
//! The data folder holds `log` (the records of [`consensus::saved`]), `evidence.key` (a voter's acceptor id and the secret
//! half of its evidence key) and `reserve` (a megabyte to give up on a full disk). One process holds the folder at a time,
//! by a lock on the folder itself. What [`Store::append`] has returned `Ok` for is on disk; after an error nothing is
//! known any more, the store takes no further records, and the process must end: the kernel marks pages clean whose
//! write failed, so a second sync that succeeds says nothing (PROTOCOL.md A.6).
//!
//! For the same reason [`Store::open`] writes what it read anew and starts from that copy: what another run left in the
//! page cache is never mistaken for what is on disk. A torn tail disappears by the same stroke.
//!
//! A voter whose log is damaged, gone or behind what the others saw of it does not vote again under its old id (rule R8):
//! its log is kept beside, and a fresh store is born with an acceptor id and an evidence key of its own. Nobody counts
//! that store until the voters take it in; until then `quarantine` says what became of the one before. What a whole old
//! log knew to be chosen goes on into the fresh one, so that DNS is answered from it right after a restart; what it had
//! promised does not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use consensus::config::BallotStore;
use consensus::model::{AgentId, MeshId, Voter};
use consensus::saved::{self, Birth, COMPACT_BEYOND, Damage, Entry, Saved};

use crate::clock;

mod folder;
mod key;
mod quarantine;

use folder::{failed, give_up_reserve, keep_aside, lock, make_folder, make_reserve, sync_folder};

pub use folder::{Looks, looks};
pub use key::{draw, evidence_key};
pub use quarantine::Quarantine;

const LOG: &str = "log";
const KEY: &str = "evidence.key";
/// Beyond this a log was not written by us: compaction keeps it near its snapshot.
const LOG_LIMIT: u64 = 1024 * 1024 * 1024;

/// Whose folder it should be.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'o> {
    /// Of which mesh.
    pub mesh: MeshId,
    /// Of which agent.
    pub agent: &'o AgentId,
    /// Does its certificate say that it votes?
    pub voter: bool,
    /// What `voters.toml` says of it: the store it was made with.
    pub bootstrap: Option<&'o Voter>,
}

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
    /// The store's id and key, of an agent whose certificate says that it votes. Whether it is counted is for the voters
    /// to say.
    pub ballots: Option<BallotStore>,
    /// Why there is a fresh store in the place of an earlier one; of a voter also if that was at an earlier start.
    pub quarantine: Option<Quarantine>,
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
    /// There is nothing to be had from it.
    #[error("cannot use the store in `{}`: {why}", folder.display())]
    Unfit {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        why: String,
    },
    /// The system gives no randomness.
    #[error("the system gives no random numbers")]
    Random,
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

/// Makes a data folder that holds this: a voter's with its id in the birth and its key, an observer's with neither.
///
/// # Errors
/// If there is a store already, or the file system refuses.
pub fn create(
    folder: &Path,
    saved: &Saved,
    ballots: Option<&BallotStore>,
) -> Result<(), StoreError> {
    make_folder(folder)?;
    let _lock = lock(folder)?;
    if folder.join(LOG).exists() {
        return Err(StoreError::Exists(folder.to_owned()));
    }
    if let Some(ballots) = ballots {
        key::write(folder, ballots)?;
    }
    write_anew(folder, saved).map(drop)
}

/// What a store holds that was just made.
pub fn newborn(mesh: MeshId, agent: &AgentId, ballots: Option<&BallotStore>) -> Saved {
    let acceptor = ballots.map(|ballots| ballots.acceptor);
    Saved { birth: Some(Birth { mesh, agent: agent.clone(), acceptor }), ..Saved::default() }
}

impl Store {
    /// Opens the data folder of this agent.
    ///
    /// # Errors
    /// If the folder is locked, somebody else's, or cannot be read or written. Damage is no error: see [`Opened`].
    pub fn open(folder: &Path, owner: Owner<'_>) -> Result<(Self, Opened), StoreError> {
        make_folder(folder)?;
        let lock = lock(folder)?;
        let found = read_log(folder)?;
        if let Found::Whole(saved) = &found {
            owned(folder, saved, owner)?;
        }
        // What is written below needs the room.
        give_up_reserve(folder)?;
        let (saved, ballots, quarantine) = match (found, owner.voter) {
            (Found::Whole(saved), false) => (*saved, None, None),
            (Found::Whole(saved), true) => match key_of(folder, &saved, owner)? {
                Ok(ballots) => (*saved, Some(ballots), quarantine::read(folder)?),
                Err(why) => begin_anew(folder, owner, saved.heritage(), why)?,
            },
            // An observer keeps nothing that anybody relies on, and an agent that was enrolled later has no store yet.
            (Found::Missing, _) => {
                let why = owner.bootstrap.map(|_| Quarantine::Missing);
                begin_anew(folder, owner, Saved::default(), why)?
            }
            (Found::Damaged(damage), _) => {
                let why = Quarantine::Damaged(damage.to_string());
                begin_anew(folder, owner, Saved::default(), Some(why))?
            }
        };
        let (log, next, bytes) = write_anew(folder, &saved)?;
        make_reserve(folder);
        let opened = Opened { saved: saved.clone(), ballots, quarantine };
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
            let short = format!(
                "wrote {written} of {} bytes, the disk is full or a quota is used up",
                bytes.len()
            );
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

/// The store of an agent that does not run, looked at and left as it is.
#[derive(Debug)]
pub struct Stopped {
    folder: PathBuf,
    /// Held for its lock.
    _lock: File,
    /// What it holds.
    pub saved: Saved,
    /// Whose it is.
    pub birth: Birth,
}

impl Stopped {
    /// Looks at a data folder.
    ///
    /// # Errors
    /// If an agent runs on it, or it holds no whole log.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let _lock = lock(folder)?;
        let unfit = |why: String| StoreError::Unfit { folder: folder.to_owned(), why };
        let saved = match read_log(folder)? {
            Found::Whole(saved) => saved,
            Found::Missing => return Err(unfit("there is no log".into())),
            Found::Damaged(damage) => return Err(unfit(format!("the log is {damage}"))),
        };
        let birth = saved.birth.clone().ok_or_else(|| unfit("the log is nobody's".into()))?;
        Ok(Self { folder: folder.to_owned(), _lock, saved: *saved, birth })
    }

    /// Keeps its log aside, because a new mesh was made of it in the folder `heir`. Says where the log is now.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn retire(self, heir: &Path) -> Result<PathBuf, StoreError> {
        let kept = keep_aside(&self.folder)?.unwrap_or_else(|| self.folder.join(LOG));
        let why = Quarantine::Recovered(heir.to_owned());
        quarantine::write(&self.folder, &why, Some(&kept))?;
        Ok(kept)
    }
}

enum Found {
    Whole(Box<Saved>),
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
        Ok(replayed) if replayed.saved.birth.is_some() => Found::Whole(Box::new(replayed.saved)),
        // A log appears under its name only once it is whole, so its first record cannot be torn.
        Ok(_) => Found::Damaged(Damage { at: 0, what: "its first record is missing".into() }),
        Err(damage) => Found::Damaged(damage),
    })
}

fn owned(folder: &Path, saved: &Saved, owner: Owner<'_>) -> Result<(), StoreError> {
    let birth = saved.birth.as_ref().expect("a log begins with its birth");
    match (birth.mesh, &birth.agent) == (owner.mesh, owner.agent) {
        true => Ok(()),
        false => Err(StoreError::Foreign { folder: folder.to_owned(), birth: birth.clone() }),
    }
}

/// What the voter votes with, or why it may not with this log; nothing, if it simply never had one to vote with.
fn key_of(
    folder: &Path,
    saved: &Saved,
    owner: Owner<'_>,
) -> Result<Result<BallotStore, Option<Quarantine>>, StoreError> {
    if let Some(why) = &saved.quarantined {
        return Ok(Err(Some(Quarantine::Told(why.clone()))));
    }
    let Some(acceptor) = saved.birth.as_ref().and_then(|birth| birth.acceptor) else {
        return Ok(Err(owner.bootstrap.map(|_| Quarantine::Observers)));
    };
    let known = owner.bootstrap.filter(|voter| voter.acceptor == acceptor);
    let right =
        |ballots: &BallotStore| known.is_none_or(|voter| voter.key == evidence_key(&ballots.seed));
    let found = key::read(folder, acceptor)?;
    Ok(found.filter(right).ok_or(Some(Quarantine::Key)))
}

/// Begins a store in the place of whatever was there, with an id that never voted; `saved` is what goes on from the old.
fn begin_anew(
    folder: &Path,
    owner: Owner<'_>,
    saved: Saved,
    why: Option<Quarantine>,
) -> Result<(Saved, Option<BallotStore>, Option<Quarantine>), StoreError> {
    let kept = keep_aside(folder)?;
    if let Some(why) = &why {
        quarantine::write(folder, why, kept.as_deref())?;
    }
    let ballots = if owner.voter { Some(draw()?) } else { None };
    if let Some(ballots) = &ballots {
        key::write(folder, ballots)?;
    }
    let birth = newborn(owner.mesh, owner.agent, ballots.as_ref()).birth;
    // Later than every start of the store before: others follow the later of two runs. For that and nothing else.
    let boot = saved.boot.max(clock::wall_ms() / 60_000);
    Ok((Saved { birth, boot, ..saved }, ballots, why))
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

#[cfg(test)]
mod tests;
