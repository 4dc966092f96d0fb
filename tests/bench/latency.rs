//! How many round trips a decision takes, and the point of no return after it: in the simulator, so exactly.
//!
//! The aims are those of PROTOCOL.md F.5: two round trips to decide, four to the point of no return, and under twice that
//! for all but one in a hundred when five decide at once.

use simulator::latency::{self, Case, Trips};

const RUNS: u64 = 300;

/// Prints medians and ninety-ninth percentiles; the last line is the ratio to the aim.
pub fn run() {
    let alone = measure("alone", Case::Alone);
    let five = measure("five at once", Case::FiveAtOnce);
    let ratio = |measured: f64, aim: f64| measured / aim;
    println!(
        "ratio to the aims (2 and 4 alone, 4 and 8 for p99 of five): {:.2} {:.2} {:.2} {:.2}",
        ratio(alone.0.decided, 2.0),
        ratio(alone.0.no_return, 4.0),
        ratio(five.1.decided, 4.0),
        ratio(five.1.no_return, 8.0),
    );
}

/// The median and the ninety-ninth percentile over many seeds.
fn measure(what: &str, case: Case) -> (Trips, Trips) {
    let trips: Vec<Trips> = (0..RUNS).filter_map(|seed| latency::run(case, seed)).collect();
    let rank = |share: f64, of: fn(&Trips) -> f64| {
        let mut values: Vec<f64> = trips.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * share) as usize]
    };
    let at = |share| Trips {
        decided: rank(share, |it| it.decided),
        no_return: rank(share, |it| it.no_return),
    };
    let (median, most) = (at(0.5), at(0.99));
    println!(
        "{what}: {} of {RUNS} runs; round trips to decide: median {:.2}, p99 {:.2}; to the point of no return: median {:.2}, p99 {:.2}",
        trips.len(),
        median.decided,
        most.decided,
        median.no_return,
        most.no_return,
    );
    (median, most)
}
