//! `./tests/run bench NAME`: figures over real processes, each beside a peer's on the same machine; `latency` alone is exact,
//! over the simulator, and stands beside its aim, as `answers` and `switchover` do.
//!
//! The last line of each is the ratio: below one where Quorate needs less. Results that are worth keeping go to
//! RESULTS.md by hand, with the machine they were taken on.

mod answers;
mod database;
mod database_peers;
mod dns;
mod dns_peers;
mod failover;
mod idle;
mod latency;
mod sentinel;
mod switchover;

use std::process::ExitCode;

use tests::harness::lab::within;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // All of them, or those that are named.
        ["database", subjects @ ..] => database::run(subjects),
        ["answers"] => answers::run(true),
        // Without the moves, which take minutes.
        ["answers", "starts"] => answers::run(false),
        ["dns"] => dns::run(),
        // Without the peers, who have nothing to do with it.
        ["dns", "change"] => dns::start_and_change(),
        // One of the servers that it measures.
        ["serve", "dns", port] => dns::serve(port.parse().expect("a port")),
        ["failover"] => failover::run(),
        ["idle"] => idle::run(),
        ["latency"] => latency::run(),
        ["switchover"] => switchover::run(),
        // Each of these runs in a world of its own, started by one of those above.
        ["within", "database", subject, profile] => {
            within(&format!("{subject}-{profile}"), |lab| database::world(lab, subject, profile));
        }
        ["within", "answers"] => within("answers", |lab| answers::world(lab, answers::MOVES)),
        ["within", "starts"] => within("starts", |lab| answers::world(lab, 0)),
        ["within", "sentinel"] => within("sentinel", sentinel::world),
        ["within", "switchover", subject] => {
            within(&format!("switchover-{subject}"), |lab| switchover::world(lab, subject));
        }
        ["within", "idle"] => within("idle", idle::world),
        ["within", profile] => within(profile, |lab| failover::world(lab, profile)),
        _ => {
            eprintln!(
                "bench: expected `answers`, `database`, `dns`, `failover`, `idle`, `latency` or `switchover`"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// The middle one; of an even number the lower of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}
