//! What may be lost: nothing, bytes, or the writes of a while.

use std::time::Duration;

use super::{Bench, Twist, says, stack, witness_of};
use crate::evidence::panel::{Panel, Witness};
use crate::model::{Belief, DatabaseSight, Definition};

#[test]
fn no_loss_at_all_asks_for_a_synchronous_replica() {
    let zero: fn(&mut Definition) = |it| it.data.max_loss_bytes = 0;
    let twist = Twist { edit: Some(zero), behind: 3000, ..Twist::default() };
    assert_eq!(says("DDDDD/DDDDD", "UUUUU/UUUUU", &twist), "move to b (Data)");
    let other = Twist { sight: Some(|it| it.upstream_name = Some("c".into())), ..twist };
    assert!(says("DDDDD/DDDDD", "UUUUU/UUUUU", &other).contains("no synchronous replica"));
}

#[test]
fn a_span_of_writes_may_be_lost_and_no_longer_one() {
    const SECOND: Duration = Duration::from_secs(1);
    let timed: fn(&mut Definition) =
        |it| (it.data.max_loss_bytes, it.data.max_loss_time) = (u64::MAX, Some(5 * SECOND));
    // The primary was last seen 9 s ago, and what the replica has last was written so long before now.
    let rows: [(Option<Duration>, u64, &str); 4] = [
        (Some(14 * SECOND), 2000, "move to b"),
        (Some(16 * SECOND), 2000, "lacks the last 7 s (2000 bytes), 5 s may be lost"),
        (None, 2000, "lacks 2000 bytes, and of how long is not known; 5 s may be lost"),
        (None, 0, "move to b"),
    ];
    for (lag, behind, expected) in rows {
        let sight: fn(&mut DatabaseSight) = match lag.map(|it| it.as_secs()) {
            Some(14) => |it| it.lag = Some(14 * SECOND),
            Some(_) => |it| it.lag = Some(16 * SECOND),
            None => |it| it.lag = None,
        };
        let twist = Twist { edit: Some(timed), sight: Some(sight), behind, ..Twist::default() };
        let found = says("DDDDD/DDDDD", "UUUUU/UUUUU", &twist);
        assert!(found.contains(expected), "expected `{expected}`, found `{found}`");
    }
    // Of another history, maybe, that is numbered like the primary's.
    let apart: fn(&mut DatabaseSight) = |it| (it.streaming, it.heard) = (false, None);
    let twist = Twist { edit: Some(timed), sight: Some(apart), ..Twist::default() };
    assert!(says("DDDDD/DDDDD", "UUUUU/UUUUU", &twist).contains("had, and had not streamed"));
}

#[test]
fn what_was_said_a_while_ago_is_older_by_that() {
    const SECOND: Duration = Duration::from_secs(1);
    let standby: fn(&mut DatabaseSight) = |it| it.lag = Some(Duration::ZERO);
    let twist = Twist { behind: 2000, sight: Some(standby), ..Twist::default() };
    let bench = Bench::new("UUUUU/UUUUU", "UUUUU/UUUUU", &twist);
    let names = |side: &str| -> Vec<Belief> {
        let beliefs = bench.words[0].3.iter().filter(|it| it.target.stack == stack(side));
        beliefs.cloned().collect()
    };
    let (of_a, of_b) = (names("a"), names("b"));
    let lacks = |primary_said: Duration, standby_said: Duration| {
        let told = [(0, &of_a, primary_said), (2, &of_b, standby_said)];
        let witnesses = told.map(|(n, beliefs, said)| {
            let word = &bench.words[n];
            Witness { beliefs, said, ..witness_of(word) }
        });
        let panel = Panel::new(&bench.definition, &bench.voters, witnesses);
        panel.lacks_for(&stack("a"), &stack("b"), &"orders".parse().unwrap())
    };
    // The primary was seen 9 s before that was said, the standby when it was.
    assert_eq!(lacks(Duration::ZERO, Duration::ZERO), Some(Duration::ZERO));
    assert_eq!(lacks(Duration::ZERO, 12 * SECOND), Some(3 * SECOND));
    assert_eq!(lacks(2 * SECOND, 12 * SECOND), Some(SECOND));
}
