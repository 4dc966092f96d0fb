//! A few seeds in every test run, and the promise that a seed is the same run every time. `./tests/run swarm` runs many.

use std::time::Duration;

use simulator::aimed;
use simulator::cells::Cell;
use simulator::latency::{self, Case};
use simulator::regime::{self, Regime};
use simulator::swarm::run;

#[test]
fn a_few_seeds_break_nothing() {
    for seed in 0..12 {
        let verdict = run(seed, None, false);
        let first = verdict.violations.first();
        assert!(first.is_none(), "seed {seed}: {}", first.expect("was just found"));
    }
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let tell = || {
        let verdict = run(3, None, true);
        let lines: Vec<String> = verdict.lines.iter().map(ToString::to_string).collect();
        (lines, verdict.tally, verdict.simulated)
    };
    assert_eq!(tell(), tell());
}

#[test]
fn every_crash_cell_is_hit_and_breaks_nothing() {
    let tour = aimed::tour(0, aimed::ATTEMPTS);
    let missed: Vec<_> = Cell::reachable().filter(|it| !tour.covered.contains_key(it)).collect();
    assert!(missed.is_empty(), "not hit in {} runs: {missed:?}", tour.runs);
    assert!(tour.violations.is_empty(), "{:?}", tour.violations);
}

/// RESULTS.md has a hundred days of each.
#[test]
fn under_bad_weather_alone_nothing_moves() {
    let hours = Duration::from_secs(3 * 3600);
    for (name, regime) in Regime::ALL {
        let verdict = regime::run(*regime, 1000, hours, false);
        assert!(verdict.violations.is_empty(), "{name}: {:?}", verdict.violations);
    }
}

/// The aims of PROTOCOL.md F.5: two round trips to decide and four to the point of no return, and under twice that for
/// five at once. `./tests/run bench latency` tells the figures.
#[test]
fn a_decision_takes_two_round_trips_and_its_point_of_no_return_four() {
    for seed in 0..10 {
        let alone = latency::run(Case::Alone, seed).expect("it is decided");
        assert!(alone.decided < 2.1 && alone.no_return < 4.1, "seed {seed}: {alone:?}");
        let five = latency::run(Case::FiveAtOnce, seed).expect("it is decided");
        assert!(five.decided < 4.0 && five.no_return < 8.0, "seed {seed}: {five:?}");
    }
}
