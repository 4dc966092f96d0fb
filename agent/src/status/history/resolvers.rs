//! The end of a tail → an entry: this agent's own, for other agents ask other resolvers, or none.

use std::time::Duration;

use serde_json::Value;

use super::{Entry, TEXT_LIMIT};
use crate::tails::{Ended, Ending};

/// What is written as `event` where every resolver has followed a move.
pub const FOLLOWED: &str = "resolvers-followed";
/// What is written as `event` where some had not followed and are asked no more.
pub const GIVEN_UP: &str = "resolvers-given-up";

/// One entry for the end of a tail.
pub fn entry(ended: &Ended, wall_ms: u64) -> Entry {
    let event = match ended.how {
        Ending::Followed => FOLLOWED,
        Ending::Late | Ending::Moved => GIVEN_UP,
    };
    Entry {
        wall_ms,
        event: event.into(),
        app: Some(ended.tail.app.clone()),
        epoch: Some(ended.epoch),
        text: words(ended).chars().take(TEXT_LIMIT).collect(),
        detail: serde_json::to_value(&ended.tail).unwrap_or(Value::Null),
    }
}

/// Does this entry tell what came of a move at the resolvers?
pub fn is_end(entry: &Entry) -> bool {
    [FOLLOWED, GIVEN_UP].contains(&entry.event.as_str())
}

/// Do both tell of the same move? An agent that starts soon after a move watches it once more.
pub fn is_same(entry: &Entry, other: &Entry) -> bool {
    let way = |entry: &Entry| ["from", "to"].map(|end| entry.detail[end].clone());
    is_end(entry)
        && is_end(other)
        && (&entry.app, entry.epoch) == (&other.app, other.epoch)
        && way(entry) == way(other)
}

fn words(ended: &Ended) -> String {
    let resolvers = &ended.tail.resolvers;
    let last = resolvers.iter().max_by_key(|it| it.followed_ms);
    let late: Vec<_> = resolvers.iter().filter(|it| it.followed_ms.is_none()).collect();
    let who: Vec<_> = late.iter().map(|it| it.resolver.to_string()).collect();
    let had = format!(
        "{} had not followed, {} of {} had",
        who.join(", "),
        resolvers.len() - late.len(),
        resolvers.len()
    );
    match (ended.how, last) {
        (Ending::Followed, Some(last)) => format!(
            "every resolver asked hands out the new address, {} after the move was learned: {} was the last",
            seconds(Duration::from_millis(last.followed_ms.unwrap_or_default())),
            last.resolver
        ),
        (Ending::Followed, None) => "no resolver was asked".into(),
        (Ending::Late, _) => format!("given up after {}: {had}", seconds(ended.watched)),
        (Ending::Moved, _) => format!("given up, as the app moved again: {had}"),
    }
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture;

    #[test]
    fn what_came_of_a_move_is_one_sentence() {
        for (how, words) in [
            (
                Ending::Followed,
                "every resolver asked hands out the new address, 61.0 s after the move was learned: \
                 192.0.2.53:53 was the last",
            ),
            (Ending::Late, "given up after 120.0 s: 192.0.2.53:53 had not followed, 1 of 2 had"),
            (
                Ending::Moved,
                "given up, as the app moved again: 192.0.2.53:53 had not followed, 1 of 2 had",
            ),
        ] {
            assert_eq!(entry(&fixture::ended(how), 0).text, words);
        }
    }
}
