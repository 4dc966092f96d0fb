//! May I vote? (PROTOCOL.md B.3: S1, S4, S5, S6; after Redis Sentinel's TILT and Lifeguard.)
//!
//! An agent that was cut off, stopped or confused about time must not say "down"; it still stores ballots.

use std::time::Duration;

use crate::model::Abstention;
use crate::moment::Moment;

/// Later than this for a wake-up, and the process was stopped or starved: what it believed before is stale.
const STALL: Duration = Duration::from_millis(1000);
/// A wall clock that moved by this much more or less than the boot clock was set (Sentinel's TILT uses two seconds).
const JUMP: Duration = Duration::from_millis(1000);
/// After a jump, at most this long without a vote (Sentinel's TILT).
const TILT: Duration = Duration::from_secs(30);
/// Silence of a majority of voters for longer than this, and my vote could not count anyway (S1).
pub const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// What this agent knows of its own soundness.
#[derive(Debug)]
pub struct SelfCheck {
    started: Moment,
    stalled: Option<Moment>,
    jumped: Option<Moment>,
    clocks: Option<(Moment, u64, Duration)>,
    fixed: Option<Abstention>,
}

impl SelfCheck {
    /// An agent that starts now. `fixed` is a reason that lasts as long as the process: being an observer, or quarantined.
    pub fn new(now: Moment, fixed: Option<Abstention>) -> Self {
        Self { started: now, stalled: None, jumped: None, clocks: None, fixed }
    }

    /// What lasts has changed: a store became a voter's, or stopped being one.
    pub fn fix(&mut self, fixed: Option<Abstention>) {
        self.fixed = fixed;
    }

    /// Woken at `now` though it asked for `wanted`. Was that a stall?
    pub fn on_wake(&mut self, now: Moment, wanted: Moment) -> bool {
        let stalled = now.since(wanted) >= STALL;
        if stalled {
            self.stalled = Some(now);
        }
        stalled
    }

    /// The other clocks, read at the very moment `now`. Did one of them jump?
    pub fn on_clocks(&mut self, now: Moment, wall_ms: u64, monotonic: Duration) -> bool {
        let Some((then, wall_then, monotonic_then)) =
            self.clocks.replace((now, wall_ms, monotonic))
        else {
            return false;
        };
        let passed = now.since(then);
        // A wall clock set back shows as less time than has passed; an unsigned difference would hide how much less.
        let expected =
            wall_then.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        let set = Duration::from_millis(wall_ms.abs_diff(expected)) > JUMP;
        let slept = monotonic.saturating_sub(monotonic_then).abs_diff(passed) > JUMP;
        let jumped = set || slept;
        if jumped {
            self.jumped = Some(now);
        }
        jumped
    }

    /// Why this agent's word does not count now, for an app whose window is `window`; `heard` says whether a majority of
    /// voters was heard directly within [`HEARD_WITHIN`].
    pub fn abstention(&self, now: Moment, window: Duration, heard: bool) -> Option<Abstention> {
        let within = |at: Option<Moment>, span: Duration| at.is_some_and(|at| now.since(at) < span);
        if self.fixed.is_some() {
            return self.fixed;
        }
        if within(Some(self.started), window * 4) {
            return Some(Abstention::Young);
        }
        if within(self.stalled, window) {
            return Some(Abstention::Stalled);
        }
        if within(self.jumped, TILT.min(window * 4)) {
            return Some(Abstention::ClockJump);
        }
        if !heard {
            return Some(Abstention::Isolated);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(8);

    fn at(secs: u64) -> Moment {
        Moment::from_micros(1_000_000 * (1000 + secs))
    }

    fn sound() -> SelfCheck {
        SelfCheck::new(at(0), None)
    }

    #[test]
    fn every_reason_silences_and_passes() {
        let mut check = sound();
        assert_eq!(check.abstention(at(31), WINDOW, true), Some(Abstention::Young));
        assert_eq!(check.abstention(at(32), WINDOW, true), None);
        assert_eq!(check.abstention(at(40), WINDOW, false), Some(Abstention::Isolated));

        assert!(!check.on_wake(at(41), at(41)));
        assert!(check.on_wake(at(50), at(45)));
        assert_eq!(check.abstention(at(57), WINDOW, true), Some(Abstention::Stalled));
        assert_eq!(check.abstention(at(58), WINDOW, true), None);
    }

    #[test]
    fn a_jump_of_the_wall_clock_either_way_and_a_suspend_are_noticed() {
        for (wall_ms, monotonic) in [(3_600_000, 1), (1000, 0), (500_000, 1)] {
            let mut check = sound();
            check.on_clocks(at(100), 600_000, Duration::from_secs(100));
            let boot = if monotonic == 0 { at(200) } else { at(101) };
            assert!(check.on_clocks(boot, wall_ms, Duration::from_secs(100 + monotonic)));
            assert_eq!(check.abstention(boot, WINDOW, true), Some(Abstention::ClockJump));
        }
        let mut check = sound();
        check.on_clocks(at(100), 600_000, Duration::from_secs(100));
        assert!(!check.on_clocks(at(101), 601_000, Duration::from_secs(101)));
    }
}
