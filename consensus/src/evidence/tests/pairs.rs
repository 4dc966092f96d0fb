//! Two databases in one app: who is heard against which of them.

use std::time::Duration;

use super::{Bench, Twist, belief, database, sight, stack};
use crate::model::{Database, GuardSight, Health};

/// `orders` is down for everybody, and `cache` beside it as `cache` says, one letter a voter. Replicas of `streaming` receive,
/// and the guard of `well` says that it is.
fn says(cache: &str, streaming: &[&str], well: &[&str]) -> String {
    let mut bench = Bench::new("UUUUU/DDDDD", "UUUUU/UUUUU", &Twist::default());
    for stack in &mut bench.definition.stacks {
        stack.databases.push(Database { name: "cache".parse().unwrap(), ..database() });
    }
    for ((_, _, _, beliefs), letter) in bench.words.iter_mut().zip(cache.chars()) {
        let mut primary = belief("a", "cache", letter);
        primary.database = Some((sight(false, 5000), Duration::from_secs(9)));
        let mut standby = belief("b", "cache", 'U');
        standby.database = Some((sight(true, 5000), Duration::ZERO));
        beliefs.extend([primary, standby]);
        for belief in beliefs {
            let is = |names: &[&str]| names.contains(&belief.target.name.as_str());
            let primary = belief.target.stack == stack("a");
            belief.advancing = !primary && is(streaming);
            let heard = Duration::from_secs(1);
            let guard = GuardSight { heard, health: Health::Up, open: true, lived: false };
            belief.guard = (primary && is(well)).then_some(guard);
        }
    }
    match bench.panel().failover(&stack("a")) {
        Ok(choice) => format!("move to {}", choice.to),
        Err(why) => why,
    }
}

#[test]
fn only_what_is_said_of_the_one_that_is_down_stands_against_its_being_down() {
    let rows: [(&str, &[&str], &[&str], &str); 8] = [
        ("UUUUU", &[], &[], "move to b"),
        ("UUUUU", &["cache"], &[], "move to b"),
        ("DDUUU", &["cache"], &[], "move to b"),
        ("UUUUU", &["orders"], &[], "shop/b/orders still streams"),
        ("DDDDD", &["cache"], &[], "shop/b/cache still streams"),
        ("UUUUU", &[], &["cache"], "move to b"),
        ("UUUUU", &[], &["orders"], "the guard of orders says that it is well"),
        ("DDDDD", &[], &["cache"], "the guard of cache says that it is well"),
    ];
    for (cache, streaming, well, expected) in rows {
        let found = says(cache, streaming, well);
        assert!(found.contains(expected), "{cache} {streaming:?} {well:?}: {found}");
    }
}
