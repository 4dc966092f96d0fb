//! How many worlds run at once: as many as the machine has room for, and a few in any case.
//!
//! A test runner counts threads; what a world takes of a core depends on what it does just then, and on the core. So each
//! takes a place before it begins: some places are free to whoever comes, the others only while hardly anything that could
//! run waits for a core. Places are locks on files, so whoever dies leaves its own.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use std::{env, thread};

use super::wait::pace;

/// Worlds that run however busy the machine is.
const ALWAYS: usize = 4;
/// The most at once.
const MOST: usize = 8;
/// Of a hundred seconds, those in which something that could run waits for a core: while there are more, no further world begins.
const BUSY: f64 = 35.0;
/// A world that has begun shows in that only after some seconds: one begins after the other.
const APART: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(200);

/// A place for a world, until it is dropped.
#[derive(Debug)]
pub struct Room {
    _place: File,
}

impl Room {
    /// Waits for one. The test runner's own limit ends what waits for ever.
    pub fn take() -> Self {
        let user = rustix::process::getuid().as_raw();
        let folder = env::temp_dir().join(format!("quorate-worlds-{user}"));
        fs::create_dir_all(&folder).expect("the system's folder for temporary files takes folders");
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
            pace(AGAIN);
        }
    }
}

fn free(folder: &Path, mut places: Range<usize>) -> Option<File> {
    places.find_map(|place| locked(&folder.join(place.to_string())))
}

fn locked(path: &Path) -> Option<File> {
    let file = File::create(path).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// What the kernel says of the last ten seconds (its "Pressure Stall Information"); nothing where it does not count that.
fn waiting() -> Option<f64> {
    let said = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let some = said.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    some.split_whitespace().next()?.parse().ok()
}
