//! May I vote? (PROTOCOL.md B.3: S1 to S7; after Redis Sentinel's TILT and Lifeguard.)
//!
//! An agent that was cut off, stopped, overloaded or confused about time must not say "down"; it still stores ballots.

use std::collections::VecDeque;
use std::time::Duration;

use super::wellness::Wellness;
use crate::model::Abstention;
use crate::moment::Moment;

/// Later than this for a wake-up, and the process was stopped or starved: what it believed before is stale.
const STALL: Duration = Duration::from_millis(1000);
/// A wake-up later than this is a late one; more than one in a hundred within [`LAG_SPAN`], and the process is starved (S4).
const LAG: Duration = Duration::from_millis(100);
const LAG_SPAN: Duration = Duration::from_secs(10);
/// Fewer late wake-ups than this are an accident, however few there were in all.
const LAGS: u32 = 3;
/// A wall clock that moved by this much more or less than the boot clock was set (Sentinel's TILT uses two seconds).
const JUMP: Duration = Duration::from_millis(1000);
/// After a jump, at most this long without a vote (Sentinel's TILT).
const TILT: Duration = Duration::from_secs(30);
/// Silence of a majority of voters for longer than this, and my vote could not count anyway (S1).
pub const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// What speaks for or against this agent's word besides its own clocks.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The window of the app in question.
    pub window: Duration,
    /// Is a majority of voters heard? (S1)
    pub hears: bool,
    /// Do enough canaries answer? (S2)
    pub reaches: bool,
    /// Did most targets fail at once, and not all canaries vouch for it? (S3)
    pub blackout: bool,
}

/// What this agent knows of its own soundness.
#[derive(Debug)]
pub struct SelfCheck {
    started: Moment,
    stalled: Option<Moment>,
    jumped: Option<Moment>,
    clocks: Option<(Moment, u64, Duration)>,
    /// Wake-ups by second: when it began, how many, how many of them late.
    wakes: VecDeque<(Moment, u32, u32)>,
    fixed: Option<Abstention>,
    /// How well it is otherwise.
    pub wellness: Wellness,
}

impl SelfCheck {
    /// An agent that starts now. `fixed` is a reason that lasts as long as the process: being an observer, or quarantined.
    pub fn new(now: Moment, fixed: Option<Abstention>) -> Self {
        Self {
            started: now,
            stalled: None,
            jumped: None,
            clocks: None,
            wakes: VecDeque::new(),
            fixed,
            wellness: Wellness::default(),
        }
    }

    /// What lasts has changed: a store became a voter's, or stopped being one.
    pub fn fix(&mut self, fixed: Option<Abstention>) {
        self.fixed = fixed;
    }

    /// Woken at `now` though it asked for `wanted`. Was that a stall?
    pub fn on_wake(&mut self, now: Moment, wanted: Moment) -> bool {
        if now < wanted {
            return false;
        }
        let late = now.since(wanted);
        self.wellness.on_lateness(late);
        match self.wakes.back_mut() {
            Some((since, wakes, lags)) if now.since(*since) < Duration::from_secs(1) => {
                *wakes += 1;
                *lags += u32::from(late >= LAG);
            }
            _ => self.wakes.push_back((now, 1, u32::from(late >= LAG))),
        }
        while self.wakes.front().is_some_and(|(since, ..)| now.since(*since) > LAG_SPAN) {
            self.wakes.pop_front();
        }
        let stalled = late >= STALL;
        if stalled {
            self.stalled = Some(now);
        }
        stalled
    }

    /// Was more than one wake-up in a hundred late, of those within [`LAG_SPAN`]?
    fn lags(&self, now: Moment) -> bool {
        let recent = self.wakes.iter().filter(|(since, ..)| now.since(*since) <= LAG_SPAN);
        let (wakes, lags) =
            recent.fold((0, 0), |(all, late), (_, wakes, lags)| (all + wakes, late + lags));
        lags >= LAGS && lags * 100 > wakes
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

    /// Why this agent's word does not count now, if it does not. That it only watches is said last: an observer's word is
    /// no vote, but it can be a veto, and for that it must be sound.
    pub fn abstention(&self, now: Moment, around: Circumstances) -> Option<Abstention> {
        let within = |at: Option<Moment>, span: Duration| at.is_some_and(|at| now.since(at) < span);
        let stalled = within(self.stalled, around.window) || self.lags(now);
        let reasons = [
            (self.fixed == Some(Abstention::Quarantined), Abstention::Quarantined),
            (within(Some(self.started), around.window * 4), Abstention::Young),
            (stalled, Abstention::Stalled),
            (within(self.jumped, TILT.min(around.window * 4)), Abstention::ClockJump),
            (!around.hears, Abstention::Isolated),
            (!around.reaches, Abstention::CutOff),
            (around.blackout, Abstention::MassFailure),
            (self.wellness.unwell(), Abstention::Unwell),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why).or(self.fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(8);
    const GOOD: Circumstances =
        Circumstances { window: WINDOW, hears: true, reaches: true, blackout: false };

    fn at(secs: u64) -> Moment {
        Moment::from_micros(1_000_000 * (1000 + secs))
    }

    fn sound() -> SelfCheck {
        SelfCheck::new(at(0), None)
    }

    #[test]
    fn every_reason_silences_and_passes() {
        let mut check = sound();
        assert_eq!(check.abstention(at(31), GOOD), Some(Abstention::Young));
        assert_eq!(check.abstention(at(32), GOOD), None);
        for (around, why) in [
            (Circumstances { hears: false, ..GOOD }, Abstention::Isolated),
            (Circumstances { reaches: false, ..GOOD }, Abstention::CutOff),
            (Circumstances { blackout: true, ..GOOD }, Abstention::MassFailure),
        ] {
            assert_eq!(check.abstention(at(40), around), Some(why));
        }
        assert!(!check.on_wake(at(41), at(41)));
        assert!(check.on_wake(at(50), at(45)));
        assert_eq!(check.abstention(at(57), GOOD), Some(Abstention::Stalled));
        assert_eq!(check.abstention(at(58), GOOD), None);
        for _ in 0..4 {
            check.wellness.on_refuted();
            check.wellness.on_beat(1, 1);
        }
        assert_eq!(check.abstention(at(58), GOOD), Some(Abstention::Unwell));
    }

    #[test]
    fn an_observer_is_sound_or_says_why_not() {
        let check = SelfCheck::new(at(0), Some(Abstention::Observer));
        assert_eq!(check.abstention(at(40), GOOD), Some(Abstention::Observer));
        let cut_off = Circumstances { reaches: false, ..GOOD };
        assert_eq!(check.abstention(at(40), cut_off), Some(Abstention::CutOff));
        let check = SelfCheck::new(at(0), Some(Abstention::Quarantined));
        assert_eq!(check.abstention(at(40), cut_off), Some(Abstention::Quarantined));
    }

    #[test]
    fn one_wake_in_a_hundred_may_be_late() {
        let ms = |ms: u64| Moment::from_micros(1_000_000_000 + ms * 1000);
        for (late, silent) in [(2, false), (4, true)] {
            let mut check = SelfCheck::new(Moment::ZERO, None);
            for tick in 0..200_u64 {
                let wanted = ms(tick * 50);
                let lag = if tick < late { 120 } else { 0 };
                check.on_wake(wanted + Duration::from_millis(lag), wanted);
            }
            assert_eq!(check.abstention(ms(10_000), GOOD).is_some(), silent, "{late} late");
            assert_eq!(check.abstention(ms(30_000), GOOD), None);
        }
    }

    #[test]
    fn a_jump_of_the_wall_clock_either_way_and_a_suspend_are_noticed() {
        for (wall_ms, monotonic) in [(3_600_000, 1), (1000, 0), (500_000, 1)] {
            let mut check = sound();
            check.on_clocks(at(100), 600_000, Duration::from_secs(100));
            let boot = if monotonic == 0 { at(200) } else { at(101) };
            assert!(check.on_clocks(boot, wall_ms, Duration::from_secs(100 + monotonic)));
            assert_eq!(check.abstention(boot, GOOD), Some(Abstention::ClockJump));
        }
        let mut check = sound();
        check.on_clocks(at(100), 600_000, Duration::from_secs(100));
        assert!(!check.on_clocks(at(101), 601_000, Duration::from_secs(101)));
    }
}
