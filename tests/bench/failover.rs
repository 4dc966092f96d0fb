//! From the kill to the decision, to a standby that takes writes, to the first changed answer; beside Redis Sentinel.
//!
//! Both wait equally long before they hold the primary for down ([`WINDOW`]), so the whole time from the kill to a
//! standby that takes writes can be compared. Each run has a world of its own.

use std::time::Duration;

use tests::harness::app::Shop;
use tests::harness::bind::Updates;
use tests::harness::lab::{Lab, start_inside};
use tests::harness::world::{Timings, World};

use crate::median;

/// The window of the fast profile, and Sentinel's `down-after-milliseconds`.
pub const WINDOW: Duration = Duration::from_secs(2);

/// Runs of the fast profile and of Sentinel; an odd number has a middle.
const RUNS: usize = 5;
/// Runs with the defaults, which take ten seconds each.
const DEFAULT_RUNS: usize = 3;

/// Prints every run, the medians, and the ratio.
pub fn run() {
    let writable = repeat("fast", RUNS);
    repeat("defaults", DEFAULT_RUNS);
    let peer = (0..RUNS).map(|_| {
        let report = start_inside(&["within", "sentinel"]);
        let took: f64 = report[0].parse().expect("a number of milliseconds");
        println!("sentinel: writable {took:.0}");
        took
    });
    let peer = median(peer.collect());
    println!("sentinel: median writable {peer:.0}, window {}", WINDOW.as_millis());
    println!("ratio quorate/sentinel, kill to writable: {:.2}", writable / peer);
}

fn shop(profile: &str) -> Shop {
    match profile {
        "fast" => Shop { interval: Duration::from_millis(500), window: WINDOW, ..Shop::default() },
        "defaults" => {
            let (interval, window) = (Duration::from_secs(5), Duration::from_secs(8));
            Shop { interval, window, ..Shop::default() }
        }
        other => panic!("no profile `{other}`"),
    }
}

/// One failover; reports [`Timings::line`].
pub fn world(lab: &Lab, profile: &str) {
    let mut world = World::unapplied(lab, Updates::Granted);
    world.apply(lab, &shop(profile));
    let watches = world.watches(&[2]);
    let kill = world.kill_active();
    let (timings, _) = Timings::follow(&world, kill, &watches);
    lab.report(&timings.line());
}

/// The median time to a writable standby, in milliseconds.
fn repeat(profile: &str, runs: usize) -> f64 {
    let reports = (0..runs).map(|_| {
        let report = start_inside(&["within", profile]);
        println!("{profile}: {}", report[0]);
        report[0].clone()
    });
    let reports: Vec<_> = reports.collect();
    // A line is names and milliseconds in turn.
    let column = |name: &str| {
        let values = reports.iter().map(|line| {
            let mut words = line.split(' ').skip_while(|word| *word != name);
            words.nth(1).and_then(|word| word.parse().ok()).expect("as `Timings::line` writes it")
        });
        median(values.collect())
    };
    let names = ["decision", "promotion", "dns-inside", "dns-outside"];
    let medians = names.map(|name| format!("{name} {:.0}", column(name))).join(" ");
    println!("{profile}: median {medians}, window {} ms", shop(profile).window.as_millis());
    column("promotion")
}
