//! How well is this agent itself? (PROTOCOL.md B.3, S7; after Lifeguard, arXiv 1707.00788, and memberlist's awareness)
//!
//! A score from zero to seven that grows when this agent is late, is not answered, or cannot look, and shrinks with every
//! second in which all is well. Everything it waits for is stretched by it, and beyond a point its word does not count.

use std::time::Duration;

/// The score is at most this: everything takes eight times as long (memberlist's default).
const MOST: u8 = 7;
/// From this score on, the agent does not vote (S7).
const UNWELL: u8 = 4;
/// A wake-up that is this late is a bad sign.
const LATE: Duration = Duration::from_millis(250);
/// So are looks of which one in so many failed for a cause of our own: a single one among hundreds is none.
const OWN_TROUBLE: u32 = 4;

/// What this agent thinks of its own health.
#[derive(Debug, Default)]
pub struct Wellness {
    score: u8,
    looks: u32,
    troubled: u32,
    late: bool,
    refuted: bool,
}

impl Wellness {
    /// Zero is well.
    pub fn score(&self) -> u8 {
        self.score
    }

    /// By how much everything that is waited for takes longer.
    pub fn stretch(&self) -> u32 {
        u32::from(self.score) + 1
    }

    /// Is it so bad that this agent's word should not count?
    pub fn unwell(&self) -> bool {
        self.score >= UNWELL
    }

    /// The process was run this much later than it asked for.
    pub fn on_lateness(&mut self, late: Duration) {
        self.late |= late >= LATE;
    }

    /// A look ended; was it for a cause of our own that it said nothing?
    pub fn on_look(&mut self, own_trouble: bool) {
        self.looks += 1;
        self.troubled += u32::from(own_trouble);
    }

    /// Others held this agent for dead, and it had to contradict.
    pub fn on_refuted(&mut self) {
        self.refuted = true;
    }

    /// A second passed, in which `answered` of `heard` agents answered us. Fewer than half, and it is rather us than them.
    /// Did the score change?
    pub fn on_beat(&mut self, answered: usize, heard: usize) -> bool {
        let unanswered = heard > 0 && answered * 2 < heard;
        let troubled = self.troubled > 0 && self.troubled * OWN_TROUBLE >= self.looks;
        let signs = [self.late, self.refuted, unanswered, troubled];
        let bad = signs.into_iter().map(u8::from).sum();
        let before = self.score;
        self.score = match bad {
            0 if heard > 0 => before.saturating_sub(1),
            _ => before.saturating_add(bad).min(MOST),
        };
        (self.looks, self.troubled, self.late, self.refuted) = (0, 0, false, false);
        self.score != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_every_bad_sign_and_heals_by_the_second() {
        let mut wellness = Wellness::default();
        for _ in 0..4 {
            wellness.on_lateness(Duration::from_millis(300));
            wellness.on_beat(4, 4);
        }
        assert_eq!((wellness.score(), wellness.stretch(), wellness.unwell()), (4, 5, true));
        assert!(wellness.on_beat(4, 4));
        assert!(!wellness.unwell());
        for _ in 0..9 {
            wellness.on_refuted();
            wellness.on_beat(1, 4);
        }
        assert_eq!(wellness.score(), MOST);
        for _ in 0..7 {
            wellness.on_beat(4, 4);
        }
        assert_eq!(wellness.score(), 0);
        assert!(!wellness.on_beat(4, 4));
    }

    #[test]
    fn one_look_in_hundreds_is_no_sign_and_one_in_four_is() {
        let mut wellness = Wellness::default();
        for (looks, bad) in [(100, false), (4, true), (1, true)] {
            wellness.on_look(true);
            for _ in 1..looks {
                wellness.on_look(false);
            }
            wellness.on_beat(1, 1);
            assert_eq!(wellness.score() > 0, bad, "1 of {looks}");
            wellness.on_beat(1, 1);
        }
    }

    #[test]
    fn nobody_heard_heals_nothing() {
        let mut wellness = Wellness::default();
        wellness.on_refuted();
        wellness.on_beat(0, 0);
        wellness.on_beat(0, 0);
        assert_eq!(wellness.score(), 1);
    }
}
