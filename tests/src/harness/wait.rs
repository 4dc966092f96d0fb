//! Waiting for something to become true, or to stay true. The only place in the tests that passes time.

use std::fmt::{Debug, Display};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked. Short enough for the timings that tests print, long enough for two cores.
const EVERY: Duration = Duration::from_millis(25);

/// Looks until `look` succeeds and returns what it found; panics after `limit` with the last thing seen instead.
pub fn eventually<T, E: Display>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if limit <= start.elapsed() => {
                panic!("not within {limit:?}: {what}\nlast seen: {seen}")
            }
            Err(_) => thread::sleep(EVERY),
        }
    }
}

/// Looks again and again for as long as `span`; panics as soon as `look` no longer gives what it gave first.
pub fn throughout<T: PartialEq + Debug>(span: Duration, what: &str, mut look: impl FnMut() -> T) {
    let start = Instant::now();
    let first = look();
    while start.elapsed() < span {
        let now = look();
        assert!(now == first, "{what}: {now:?} after {:?}, was {first:?}", start.elapsed());
        thread::sleep(EVERY);
    }
}

/// Between two rounds of a background thread (a writer, a poller): its rate, not a wait for anything.
pub fn pace(every: Duration) {
    thread::sleep(every);
}
