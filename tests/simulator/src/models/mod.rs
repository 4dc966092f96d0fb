//! The production types inside exhaustive models (PROTOCOL.md F.2).
//!
//! A model turns a small setup (three stores, four ballots) into every state it can come to, and a rule broken on purpose
//! into the shortest way to harm. Nothing is written twice: acceptors, proposers, the saga's table and the lease are those
//! of `consensus`; a model only says what the network, the disks and the outside may do to them. Messages are sets: whatever
//! was ever sent may arrive at any time, again, or never. What each model holds is true of its size and says nothing of
//! time to answer; the simulator knows larger meshes.

pub mod app;
pub mod lease;
pub mod pool;
pub mod register;
pub mod saga;
pub mod sync;
pub mod voters;
pub mod zombie;

use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use consensus::mutant::Mutant;
use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// One model at one size.
pub struct Sheet {
    /// Its name, and its size in words.
    pub name: &'static str,
    /// How many states it has. One that silently shrinks proves nothing, so this is asserted.
    pub states: usize,
    /// The rules without which it is broken.
    pub knows: &'static [Mutant],
    /// Explores it, with one rule broken or none.
    pub explore: fn(Option<Mutant>) -> Explored,
}

impl Sheet {
    /// What is wrong with what was found, with every rule in force.
    pub fn faults(&self, found: &Explored) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(Broken { property, steps }) = &found.broken {
            faults.push(format!("not so: {property}, after {}", steps.join("; ")));
        }
        faults.extend(found.unreached.iter().map(|what| format!("never so: {what}")));
        if found.broken.is_none() && found.states != self.states {
            faults.push(format!("expected {} states, found {}", self.states, found.states));
        }
        faults
    }
}

/// What exploring a model found.
#[derive(Debug)]
pub struct Explored {
    /// How many states there are, up to whatever is the same by symmetry.
    pub states: usize,
    /// The length of the longest way that was needed to reach one.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The shortest way to a state that should not be.
    pub broken: Option<Broken>,
    /// What should be possible and is not: a model that cannot come to where it hurts holds nothing.
    pub unreached: Vec<&'static str>,
}

/// A way to a state that should not be.
#[derive(Debug)]
pub struct Broken {
    /// What does not hold there.
    pub property: &'static str,
    /// How it came about.
    pub steps: Vec<String>,
}

/// Every model at its sizes, the cheap ones first.
pub const ALL: &[&[Sheet]] =
    &[saga::SHEETS, sync::SHEETS, zombie::SHEETS, register::SHEETS, lease::SHEETS, voters::SHEETS];

/// Every sheet.
pub fn sheets() -> impl Iterator<Item = &'static Sheet> {
    ALL.iter().copied().flatten()
}

/// Goes to every state of a model, or to the first that should not be.
pub fn explore<M>(model: M) -> Explored
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + PartialEq + Hash + Send + Sync,
    M::Action: Clone + PartialEq + Debug,
{
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let mut found = checker.discoveries();
    let properties = checker.model().properties();
    let broken = properties
        .iter()
        .filter(|property| property.expectation.discovery_is_failure())
        .find_map(|property| {
            let path = found.remove(property.name)?;
            let steps = path.into_actions();
            let steps = steps.iter().map(|it| checker.model().format_action(it)).collect();
            Some(Broken { property: property.name, steps })
        });
    let unreached = properties
        .iter()
        .filter(|it| it.expectation == Expectation::Sometimes && !found.contains_key(it.name))
        .map(|property| property.name)
        .collect();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    Explored { states, depth, took: began.elapsed(), broken, unreached }
}
