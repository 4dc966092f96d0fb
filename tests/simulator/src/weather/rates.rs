//! What lasts: the risk of every record, request and look while chaos reigns.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chance::Chance;

/// Before or after an action has left the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moments {
    /// Before.
    Before,
    /// After.
    After,
}

/// How likely is what lasts.
#[derive(Clone, Debug)]
pub struct Rates {
    /// A crash in the middle of writing a record.
    pub crash_before_save: f64,
    /// A crash right after a record is durable.
    pub crash_after_save: f64,
    /// A sync fails: the process gives up, and what it wrote is there or is not.
    pub sync_fails: f64,
    /// A crashed agent is back within this.
    pub restart_within: Duration,
    /// A look fails for a cause of the agent's own.
    pub own_trouble: f64,
    /// A request is lost.
    pub request_lost: f64,
    /// A request arrives long after its time limit.
    pub request_late: f64,
    /// A request arrives once more, later.
    pub request_repeated: f64,
    /// How much later at most.
    pub repeated_within: Duration,
    /// A request is carried out, and its answer lost.
    pub answer_lost: f64,
    /// A request is answered with an error, carried out or not.
    pub request_fails: f64,
    /// A request reaches the outside within this.
    pub outside_takes: Duration,
    /// Whoever carries out a step is killed at it.
    pub executor_killed: f64,
    /// Whoever carries out a step is cut off from everybody, or stopped, at it.
    pub executor_cut_off: f64,
    /// What is to be promoted dies at that very moment.
    pub candidate_dies: f64,
    /// And surely at these steps whoever carries them out dies, once, not to come back by itself.
    pub traps: BTreeSet<(u64, Moments)>,
    /// A replica has what its primary wrote within this.
    pub replica_lag: Duration,
    /// How long until something strikes again, on average.
    pub calm_for: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            crash_before_save: 0.0,
            crash_after_save: 0.0,
            sync_fails: 0.0,
            restart_within: Duration::from_secs(1),
            own_trouble: 0.0,
            request_lost: 0.0,
            request_late: 0.0,
            request_repeated: 0.0,
            repeated_within: Duration::from_secs(120),
            answer_lost: 0.0,
            request_fails: 0.0,
            outside_takes: Duration::from_millis(60),
            executor_killed: 0.0,
            executor_cut_off: 0.0,
            candidate_dies: 0.0,
            traps: BTreeSet::new(),
            replica_lag: Duration::from_millis(20),
            calm_for: Duration::from_secs(10),
        }
    }
}

impl Rates {
    /// Rates of its own for a seed: half of the kinds do not occur at all.
    pub fn draw(chance: &mut Chance) -> Self {
        let mut some = |most: f64| match chance.happens(0.5) {
            true => chance.rate(most),
            false => 0.0,
        };
        let (crash_before_save, crash_after_save) = (some(0.02), some(0.05));
        let sync_fails = some(0.03);
        let own_trouble = some(0.1);
        let (request_lost, request_late) = (some(0.4), some(0.3));
        let (request_repeated, answer_lost) = (some(0.5), some(0.4));
        let request_fails = some(0.4);
        let (executor_killed, executor_cut_off) = (some(0.5), some(0.5));
        let candidate_dies = some(0.5);
        let hours = [Duration::from_secs(120), Duration::from_secs(3600), LATEST];
        Self {
            crash_before_save,
            crash_after_save,
            sync_fails,
            restart_within: chance.between(Duration::from_millis(200), Duration::from_secs(30)),
            own_trouble,
            request_lost,
            request_late,
            request_repeated,
            repeated_within: *chance.pick(&hours),
            answer_lost,
            request_fails,
            outside_takes: chance.between(Duration::from_millis(10), Duration::from_secs(2)),
            executor_killed,
            executor_cut_off,
            candidate_dies,
            traps: BTreeSet::new(),
            replica_lag: chance.between(Duration::from_millis(1), Duration::from_millis(900)),
            calm_for: chance.between(Duration::from_secs(2), Duration::from_secs(20)),
        }
    }
}

/// The latest that a request arrives once more: a proxy's queue, a provider's retry.
pub const LATEST: Duration = Duration::from_secs(12 * 3600);
