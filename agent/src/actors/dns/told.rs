//! What a webhook was told, and for how long that is believed.
//!
//! A webhook tells nothing but that it did as it was told. It is given as long as the slowest provider needs, and then the zone's
//! name servers are asked whether it did. While none of them says so it is told again, at ever longer intervals: the servers that
//! are found may not be those that it leads to, and whoever keeps it should not have its program run for ever at full pace.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::Token;

use super::spread::Place;

/// How long what was taken may need until name servers say so, the first time.
const TIME: Duration = Duration::from_secs(60);
/// And at most, after it was told again and again.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// What every webhook was told last of each name.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<Place, Telling>>);

#[derive(Debug)]
struct Telling {
    /// Of which decision it was.
    token: Token,
    at: Instant,
    /// For how long from then on it is believed.
    believed: Duration,
    /// Has that run out, with no name server that says so?
    missed: bool,
}

impl Telling {
    fn new(token: Token, at: Instant, believed: Duration) -> Self {
        Self { token, at, believed, missed: false }
    }
}

impl Told {
    /// A webhook has taken what a decision makes of a place: believed for longer where that was missed before.
    pub(super) fn took(&self, place: Place, token: Token, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(&place).filter(|before| before.token == token && before.missed);
        let believed = before.map_or(TIME, |before| LONGEST.min(before.believed * 2));
        all.insert(place, Telling::new(token, now, believed));
    }

    /// No name server says what it was told: should one by now? What another agent told it counts from the first such question
    /// of the same decision.
    pub(super) fn is_missed(&self, place: Place, token: Token, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let telling = all.entry(place).or_insert_with(|| Telling::new(token, now, TIME));
        if telling.token != token {
            *telling = Telling::new(token, now, TIME);
        }
        telling.missed = telling.believed <= now.saturating_duration_since(telling.at);
        telling.missed
    }
}

#[cfg(test)]
mod tests {
    use consensus::model::Epoch;

    use super::*;

    #[test]
    fn a_webhook_is_believed_for_a_minute_of_each_decision_and_for_longer_once_it_was_told_again() {
        let (told, began) = (Told::default(), Instant::now());
        let place = || ("https://hook.test".to_owned(), "shop.test".to_owned());
        // What happens when, of which decision, and whether the name servers should say so by then.
        let steps: [(u64, u32, Option<bool>); 15] = [
            // Told by this agent, and of another lifetime.
            (0, 1, None),
            (0, 1, Some(false)),
            (0, 1, None),
            (59, 1, Some(false)),
            (60, 1, Some(true)),
            // Told again, twice.
            (61, 1, None),
            (180, 1, Some(false)),
            (181, 1, Some(true)),
            (181, 1, None),
            (420, 1, Some(false)),
            (421, 1, Some(true)),
            // Another decision, which another agent told it of.
            (500, 2, Some(false)),
            (560, 2, Some(true)),
            (561, 2, None),
            (680, 2, Some(false)),
        ];
        for (at, epoch, due) in steps {
            let now = began + Duration::from_secs(at);
            let token = Token::new(Epoch(epoch), 1, 4);
            match due {
                None => told.took(place(), token, now),
                Some(due) => {
                    assert_eq!(told.is_missed(place(), token, now), due, "epoch {epoch}, {at} s")
                }
            }
        }
        let mut at = began + Duration::from_secs(1_000);
        for _ in 0..20 {
            assert!(told.is_missed(place(), Token::new(Epoch(2), 1, 4), at));
            told.took(place(), Token::new(Epoch(2), 1, 4), at);
            at += LONGEST;
        }
        assert_eq!(told.0.lock().expect("nobody panics with it").len(), 1);
    }
}
