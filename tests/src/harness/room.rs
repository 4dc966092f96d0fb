//! How many worlds run at once: as many as the machine has room for, and a few in any case.
//!
//! A test runner counts threads; what a world takes of a core depends on what it does just then, and on the core. So each
//! takes a place before it begins, one after the other: some places are free to whoever is next, the others only while not much
//! waits for a core. Places are locks on files, so whoever dies leaves its own.

use std::fs::{self, File, TryLockError};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, thread};

use super::wait::pace;

/// Worlds that run however busy the machine is: so many passed in CI when each had five agents.
const ALWAYS: usize = 4;
/// The most at once: with ten on two cores a planned move paused writes for 2.1 s, and 2 s are allowed.
const MOST: usize = 8;
/// Of a hundred seconds, those in which something that could run waits for a core: while there are more, no further world begins.
/// Four worlds with five agents made 30 of them where they left more than half of two cores idle.
const BUSY: f64 = 45.0;
/// What a world takes shows in a mean over ten seconds: for so long after one has begun so, no other does.
const APART: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_millis(200);
/// After so long it is said what is waited for.
const LONG: Duration = Duration::from_secs(60);

/// A place for a world, until it is dropped.
#[derive(Debug)]
pub struct Room {
    _place: File,
}

impl Room {
    /// Waits for one, behind whoever came before.
    pub fn take() -> Self {
        let user = rustix::process::getuid().as_raw();
        let folder = env::temp_dir().join(format!("quorate-worlds-{user}"));
        fs::create_dir_all(&folder).expect("the system's folder for temporary files takes folders");
        let queue = lock_file(&folder.join("queue"));
        queue.lock().expect("files can be locked");
        let mut told = Instant::now();
        loop {
            if let Some(place) = free(&folder, 0..ALWAYS) {
                return Self { _place: place };
            }
            if let Some(turn) = locked(&folder.join("turn"))
                && waiting().is_some_and(|waiting| waiting < BUSY)
                && let Some(place) = free(&folder, ALWAYS..MOST)
            {
                thread::spawn(move || {
                    pace(APART);
                    drop(turn);
                });
                return Self { _place: place };
            }
            if LONG <= told.elapsed() {
                told = Instant::now();
                eprintln!("waits for one of the other worlds to end ({})", folder.display());
            }
            pace(AGAIN);
        }
    }
}

fn free(folder: &Path, mut places: Range<usize>) -> Option<File> {
    places.find_map(|place| locked(&folder.join(place.to_string())))
}

/// This file locked, unless somebody has it.
fn locked(path: &Path) -> Option<File> {
    let file = lock_file(path);
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("cannot lock {}: {error}", path.display()),
    }
}

fn lock_file(path: &Path) -> File {
    File::create(path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()))
}

/// What the kernel says of the last ten seconds (its "Pressure Stall Information"); nothing where it does not count that.
fn waiting() -> Option<f64> {
    let said = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let some = said.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    some.split_whitespace().next()?.parse().ok()
}
