//! How long the mesh must leave an app alone after what it did by itself (PROTOCOL.md E): pure, ages are arguments.
//!
//! Every voter counts ages on its own clock, from when it learned of a decision; so nobody's clock can shorten the wait
//! of the others. A cooldown of zero asks for no damping at all.

use std::time::Duration;

use crate::model::{DAMPING_MEMORY, Damped, Damping, Epoch};

/// What "a day" means for damping.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// What a decision that was taken back costs, or the app's own cooldown if that is shorter.
pub const ABORTED: Duration = Duration::from_secs(120);
/// Cooldowns double so often at most: 15, 30, 60, 120 minutes.
const LEVEL_MOST: u32 = 3;
/// One that was carried out weighs as much as three that were taken back.
const WEIGHT: u32 = 3;
/// So much within a day is flapping: three that were carried out.
const FLAPPING: u32 = 3 * WEIGHT;

/// A decision that the mesh made by itself, and how long ago this agent learned of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Was it taken back?
    pub aborted: bool,
    /// How long ago, by this agent's own clock.
    pub age: Duration,
}

/// Why the mesh leaves an app alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The last decision is too recent: so long still.
    Cooling(Duration),
    /// There were three within a day: until a person acknowledges them.
    Flapping,
}

/// What the past, oldest first, holds the mesh back by; `base` is the app's cooldown.
pub fn hold(base: Duration, flapping: bool, past: &[Past]) -> Option<Hold> {
    if base.is_zero() {
        return None;
    }
    let left = cooling(base, past);
    match (flapping, left.is_zero()) {
        (true, _) => Some(Hold::Flapping),
        (false, false) => Some(Hold::Cooling(left)),
        (false, true) => None,
    }
}

/// Doubles with every decision that was carried out, and falls by one step for every quiet day between two.
fn cooling(base: Duration, past: &[Past]) -> Duration {
    let mut level = 0;
    let mut before: Option<Duration> = None;
    let mut left = Duration::ZERO;
    for it in past {
        let quiet = before.map_or(Duration::ZERO, |age| age.saturating_sub(it.age));
        let days = u32::try_from(quiet.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX);
        level = u32::saturating_sub(level, days);
        before = Some(it.age);
        let cooldown = match it.aborted {
            true => base.min(ABORTED),
            false => base.saturating_mul(1 << level),
        };
        level = if it.aborted { level } else { LEVEL_MOST.min(level + 1) };
        left = left.max(cooldown.saturating_sub(it.age));
    }
    left
}

/// Would one more be too many for a day?
pub fn would_flap(base: Duration, past: &[Past]) -> bool {
    let recent = past.iter().filter(|it| it.age < DAY);
    let weight: u32 = recent.map(|it| if it.aborted { 1 } else { WEIGHT }).sum();
    !base.is_zero() && weight + WEIGHT >= FLAPPING
}

/// Damping once the mesh has made a decision by itself.
pub fn begun(before: &Damping, epoch: Epoch, flapping: bool) -> Damping {
    let surplus = (before.history.len() + 1).saturating_sub(DAMPING_MEMORY);
    let mut history = before.history[surplus..].to_vec();
    history.push(Damped { epoch, aborted: false });
    Damping { history, flapping, cleared: before.cleared.clone() }
}

/// Damping once the decision of an epoch was taken back; an operator's leaves no trace.
pub fn taken_back(before: &Damping, epoch: Epoch) -> Damping {
    let mut after = before.clone();
    if let Some(it) = after.history.iter_mut().find(|it| it.epoch == epoch) {
        it.aborted = true;
        // Whatever it was counted for was counted when it began, which nothing does while the app is held.
        after.flapping = false;
    }
    after
}

/// Damping once a person has acknowledged what happened.
pub fn cleared(by: &str) -> Damping {
    Damping { cleared: Some(by.to_owned()), ..Damping::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// `30m` was carried out half an hour ago, `!30m` was taken back; hours and days alike.
    fn past(words: &str) -> Vec<Past> {
        let one = |word: &str| {
            let aborted = word.starts_with('!');
            let (number, unit) = word
                .trim_start_matches('!')
                .split_at_checked(word.trim_start_matches('!').len() - 1)
                .unwrap();
            let unit = match unit {
                "m" => 1,
                "h" => 60,
                _ => 24 * 60,
            };
            Past { aborted, age: MINUTE * unit * number.parse::<u32>().unwrap() }
        };
        words.split_whitespace().map(one).collect()
    }

    #[test]
    fn cooldowns_double_and_decay() {
        let left = |minutes| Some(Hold::Cooling(MINUTE * minutes));
        for (words, expected) in [
            ("", None),
            ("0m", left(15)),
            ("14m", left(1)),
            ("15m", None),
            ("20m 0m", left(30)),
            ("60m 40m 0m", left(60)),
            ("5h 4h 2h 0m", left(120)),
            ("9h 8h 7h 5h 0m", left(120)),
            // One quiet day takes one step back, and so many as there were.
            ("25h 0m", left(15)),
            ("26h 25h 0m", left(30)),
            ("5d 4d 3d 0m", left(15)),
            // A quiet day is quiet: days that do not touch do not add up.
            ("30h 15h 0m", left(60)),
            // What was taken back costs two minutes and raises nothing.
            ("!0m", left(2)),
            ("!3m", None),
            ("20m !1m", left(1)),
            ("20m !1m 0m", left(30)),
            ("!9m !6m !3m 0m", left(15)),
            // An older cooldown that has not passed still holds.
            ("10m !2m", left(5)),
        ] {
            assert_eq!(hold(MINUTE * 15, false, &past(words)), expected, "`{words}`");
        }
    }

    #[test]
    fn the_third_within_a_day_is_flapping() {
        for (words, expected) in [
            ("", false),
            ("1h", false),
            ("2h 1h", true),
            ("25h 1h", false),
            ("!3h !2h !1h", false),
            ("!4h !3h !2h 1h", true),
            ("!3h !2h 1h", false),
            ("!6h !5h !4h !3h !2h !1h", true),
        ] {
            assert_eq!(would_flap(MINUTE * 15, &past(words)), expected, "`{words}`");
        }
    }

    #[test]
    fn flapping_holds_until_a_person_says_otherwise() {
        assert_eq!(hold(MINUTE * 15, true, &past("9d")), Some(Hold::Flapping));
        assert!(!cleared("ann").flapping);
    }

    #[test]
    fn no_cooldown_is_no_damping() {
        assert_eq!(hold(Duration::ZERO, true, &past("2m 1m 0m")), None);
        assert!(!would_flap(Duration::ZERO, &past("2m 1m 0m")));
    }

    #[test]
    fn a_short_cooldown_is_not_lengthened_by_taking_back() {
        let ten = Duration::from_secs(10);
        assert_eq!(hold(ten, false, &past("!0m")), Some(Hold::Cooling(ten)));
    }

    #[test]
    fn what_is_taken_back_counts_less_and_its_flapping_is_over() {
        let before = begun(&begun(&Damping::default(), Epoch(2), false), Epoch(3), true);
        let after = taken_back(&before, Epoch(3));
        assert!(before.flapping && !after.flapping && after.history[1].aborted);
        assert_eq!(taken_back(&before, Epoch(9)), before, "an operator's leaves no trace");
    }

    #[test]
    fn memory_is_bounded() {
        let many = (0..50).fold(Damping::default(), |it, epoch| begun(&it, Epoch(epoch), false));
        assert_eq!(many.history.len(), DAMPING_MEMORY);
        assert_eq!(many.history[0].epoch, Epoch(41));
    }
}
