//! m7: who is relied on is waited for (PROTOCOL.md C.5).
//!
//! One register, one primary, and requests that arrive at any time, again, or never. Who asks is as bad as can be: anybody is
//! taken away, and under any version that was ever agreed the primary is asked to wait for anybody beside those that it
//! relies on. One voter stands for the majority, for a single one that looked is enough, however long ago; and it is enough that
//! production's [`Waits`] compare.

use std::collections::{BTreeMap, BTreeSet};

use consensus::model::{StackId, SyncSet, TargetName, Waits};
use consensus::mutant::Mutant;
use stateright::{Model, Property};

use super::{Sheet, explore};

/// The sizes explored.
pub const SHEETS: &[Sheet] = &[
    Sheet {
        name: "m7 sync set, 2 replicas, 6 versions",
        states: 98_076,
        knows: &[Mutant::ReliedUnseen, Mutant::WaitsUnmarked],
        explore: |mutant| explore(Sync { replicas: 2, versions: 6, mutant }),
    },
    Sheet {
        name: "m7 sync set, 3 replicas, 4 versions",
        states: 54_445,
        knows: &[Mutant::ReliedUnseen, Mutant::WaitsUnmarked],
        explore: |mutant| explore(Sync { replicas: 3, versions: 4, mutant }),
    },
];

/// The model.
#[derive(Debug)]
pub struct Sync {
    replicas: usize,
    versions: usize,
    mutant: Option<Mutant>,
}

/// What was agreed, one version after the other, what the primary is set to, and what a voter saw last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    agreed: Vec<BTreeSet<String>>,
    primary: Waits,
    seen: Waits,
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The voter looks at the primary.
    Look,
    /// It is agreed that these are relied on.
    Agree(BTreeSet<String>),
    /// What was asked for, now or long ago, arrives.
    Arrive(Waits),
}

impl State {
    fn relied(&self) -> &BTreeSet<String> {
        self.agreed.last().expect("it begins with nobody")
    }

    /// What was agreed last, as the register holds it.
    fn sync(&self) -> SyncSet {
        let version = self.agreed.len() as u64 - 1;
        SyncSet { version, relied: entries(self.relied()) }
    }
}

fn entries(relied: &BTreeSet<String>) -> BTreeMap<TargetName, BTreeMap<StackId, String>> {
    let stack = |name: &String| (name.parse().expect("a name"), name.clone());
    [("orders".parse().expect("a name"), relied.iter().map(stack).collect())].into()
}

impl Sync {
    fn broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Every set of replicas.
    fn sets(&self) -> impl Iterator<Item = BTreeSet<String>> {
        let names = ["b", "c", "d"].map(str::to_owned);
        let count = self.replicas;
        (0..1_usize << count).map(move |bits| {
            let chosen = names.iter().take(count).enumerate();
            chosen.filter(|(at, _)| bits & (1 << at) != 0).map(|(_, name)| name.clone()).collect()
        })
    }

    /// Would the voter accept it?
    fn accepts(&self, state: &State, relied: &BTreeSet<String>) -> bool {
        let before = state.sync();
        let next = before.next(entries(relied));
        self.broken(Mutant::ReliedUnseen)
            || next
                .beyond(&before)
                .iter()
                .all(|(_, _, name)| state.seen.bears_out(before.version, name))
    }
}

impl Model for Sync {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let (primary, seen) = (Waits::default(), Waits::default());
        vec![State { agreed: vec![BTreeSet::new()], primary, seen }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Act>) {
        if state.seen != state.primary {
            actions.push(Act::Look);
        }
        if state.agreed.len() <= self.versions {
            let agreeable = self.sets().filter(|relied| self.accepts(state, relied));
            actions.extend(agreeable.map(Act::Agree));
        }
        for (version, relied) in (0..).zip(&state.agreed) {
            let asked = self.sets().filter(|names| relied.is_subset(names));
            let app = || (0 < version).then(|| "shop".parse().expect("a name"));
            let asked = asked.map(|names| Waits { app: app(), version, names });
            actions.extend(asked.map(Act::Arrive));
        }
    }

    fn next_state(&self, state: &State, act: Act) -> Option<State> {
        let mut next = state.clone();
        match act {
            Act::Look => next.seen = state.primary.clone(),
            Act::Agree(relied) => next.agreed.push(relied),
            Act::Arrive(waits) if self.broken(Mutant::WaitsUnmarked) => next.primary = waits,
            Act::Arrive(waits) => {
                // A setting that names nobody bears no mark.
                let taken = state.primary.taking(&waits).ok()?;
                let named = !taken.names.is_empty();
                next.primary = if named { taken } else { Waits::default() };
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("who is relied on is waited for", |_, state: &State| {
                state.relied().is_subset(&state.primary.names)
            }),
            Property::sometimes("one is relied on after another", |_, state: &State| {
                state.relied().contains("c") && !state.primary.names.contains("b")
            }),
            Property::sometimes("nobody is relied on any more", |model, state: &State| {
                state.agreed.len() > model.versions
                    && state.relied().is_empty()
                    && !state.primary.names.is_empty()
            }),
        ]
    }
}
