//! The clocks: the only place that reads them for the core.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consensus::moment::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Now, on the boot-time clock, which counts suspend (`Instant` does not: rust-lang/rust 87906).
pub fn now() -> Moment {
    Moment::from_micros(
        u64::try_from(read(ClockId::Boottime).as_micros()).expect("boot was recent"),
    )
}

/// Now, on the monotonic clock, which stands still in suspend.
pub fn monotonic() -> Duration {
    read(ClockId::Monotonic)
}

/// Now, on the wall clock: milliseconds since 1970, for people only.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn read(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
