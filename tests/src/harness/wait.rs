//! Waiting for something to become true, or to stay true. The only place in the tests that passes time.

use std::fmt::{Debug, Display};
use std::thread;
use std::time::{Duration, Instant};

use super::lab::for_figures;

/// How often is looked at first. What takes long is looked at more and more rarely: other worlds share the two cores.
const EVERY: Duration = Duration::from_millis(25);

/// And how rarely in the end.
const RARELY: Duration = Duration::from_millis(150);

/// Looks until `look` succeeds and returns what it found; panics after `limit` with the last thing seen instead.
pub fn eventually<T, E: Display>(
    limit: Duration,
    what: &str,
    look: impl FnMut() -> Result<T, E>,
) -> T {
    until(limit, RARELY, what, look)
}

/// The same for what does not last, or is timed: looks as often to the end.
pub fn promptly<T, E: Display>(
    limit: Duration,
    what: &str,
    look: impl FnMut() -> Result<T, E>,
) -> T {
    until(limit, EVERY, what, look)
}

fn until<T, E: Display>(
    limit: Duration,
    rarely: Duration,
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
            Err(_) => thread::sleep((start.elapsed() / 32).clamp(EVERY, rarely)),
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
        thread::sleep(RARELY);
    }
}

/// Between two rounds of a background thread where `fine` is the resolution of figures: elsewhere a quarter as often.
pub fn pace_by(fine: Duration) {
    pace(if for_figures() { fine } else { fine * 4 });
}

/// Between two rounds of a background thread (a writer, a poller): its rate, not a wait for anything.
pub fn pace(every: Duration) {
    thread::sleep(every);
}
