//! A few seeds in every test run, and the promise that a seed is the same run every time. `./tests/run swarm` runs many.

use simulator::aimed;
use simulator::cells::Cell;
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
