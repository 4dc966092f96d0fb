//! How long clients cannot write while a person moves an app: from the last row that the old primary acknowledged to the
//! first that the new one did, under a client that tries every few milliseconds. It has no peer beside it.

use tests::harness::app::Shop;
use tests::harness::lab::{Lab, start_inside};
use tests::harness::postgres::Replication;
use tests::harness::switchover::moves;

use crate::median;

/// Moves of each; an odd number has a middle.
const RUNS: usize = 5;

/// Prints every pause, and the median of each subject.
pub fn run() {
    for subject in ["asynchronous", "synchronous", "guarded"] {
        let pauses = (0..RUNS).map(|_| {
            let report = start_inside(&["within", "switchover", subject]);
            println!("{subject}: writes paused {} ms", report[0]);
            report[0].parse().expect("a number of milliseconds")
        });
        println!("{subject}: median {:.0} ms", median(pauses.collect()));
    }
}

/// One move in a world of its own; reports milliseconds.
pub fn world(lab: &Lab, subject: &str) {
    let (replication, shop) = match subject {
        "asynchronous" => {
            (Replication::Asynchronous, Shop { max_loss: "64MiB", ..Shop::default() })
        }
        "synchronous" => (Replication::Synchronous, Shop::default()),
        "guarded" => (Replication::Synchronous, Shop { guarded: true, ..Shop::default() }),
        other => panic!("no subject `{other}`"),
    };
    let pause = moves(lab, replication, &shop);
    lab.report(&pause.as_millis().to_string());
}
