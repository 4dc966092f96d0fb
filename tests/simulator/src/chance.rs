//! Turns one seed into all the chance of a run.
//!
//! SplitMix64 (Steele, Lea, Flood 2014), written out: the transcripts of stories are literal, so the sequence must not
//! change with the version of a crate.

use std::time::Duration;

/// A source of chance.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// All that follows from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A source of its own, so that drawing from one does not shift the other.
    pub const fn fork(&mut self) -> Self {
        Self(self.bits())
    }

    /// A number below `end`, which is not zero. The bias of the remainder does not matter here.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// Does something of this probability happen?
    pub fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && ((self.bits() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    /// A time span between two.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let range = most.saturating_sub(least).as_micros() as u64;
        least + Duration::from_micros(self.below(range + 1))
    }

    /// A rate below `most`, small ones as likely as large ones.
    pub fn rate(&mut self, most: f64) -> f64 {
        let share = self.below(1_000) as f64 / 1_000.0;
        most * share * share * share
    }

    /// One of several, of which there is at least one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_paper() {
        let mut chance = Chance::new(1_234_567);
        assert_eq!(chance.bits(), 6_457_827_717_110_365_317);
        assert_eq!(chance.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn what_is_certain_happens_and_what_is_impossible_does_not() {
        let mut chance = Chance::new(1);
        for _ in 0..1_000 {
            assert!(chance.happens(1.0));
            assert!(!chance.happens(0.0));
        }
    }
}
