//! Ordeals of the sync set: on whom a promotion without loss may rely (PROTOCOL.md C.5).

use std::time::Duration;

use consensus::config::Mutant;

use super::{Ordeal, east, fells, shop, wait, west};
use crate::check::outcome;
use crate::simulation::Simulation;
use crate::world::Host;

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[
    Ordeal {
        name: "a primary that was told to wait for nobody dies before anybody sees that",
        knows: &[Mutant::UnreliedPromoted],
        shape: |_, apps| {
            apps[0].database = true;
            (apps[0].synchronous, apps[0].kept) = (true, 1);
        },
        play: |simulation, chance| {
            let [primary, replica] = [east(), west()]
                .map(|stack| simulation.database(&shop(), &stack).expect("it has one"));
            wait(simulation, chance, 15_000..16_000);
            simulation.world.hear(simulation.now);
            simulation.world.severed.insert(replica);
            for _ in 0..400 {
                wait(simulation, chance, 99..101);
                if simulation.world.databases[&primary].synchronous.is_empty() {
                    break;
                }
            }
            // Clients write once a second; nobody looks again meanwhile.
            let agents: Vec<_> = simulation.agents.iter().map(|it| it.id.clone()).collect();
            simulation.world.hidden.extend(agents.into_iter().map(|it| (it, primary.clone())));
            wait(simulation, chance, 1_200..1_500);
            fells(simulation, &east());
            simulation.break_database(&shop(), &east(), Host::Dark);
            simulation.run_for(Duration::from_secs(20));
            if let Some(lost) = outcome::lost(simulation, &shop()) {
                simulation.report(vec![("no acknowledged write is lost", lost)]);
            }
        },
    },
    Ordeal {
        name: "a replica is back before its primary waits for it no more",
        knows: &[],
        shape: |_, apps| {
            apps[0].database = true;
            (apps[0].synchronous, apps[0].kept) = (true, 1);
        },
        play: |simulation, chance| {
            let replica = simulation.database(&shop(), &west()).expect("it has one");
            let relies = |simulation: &Simulation| {
                simulation.agreed(&shop()).is_some_and(|state| !state.sync.relied.is_empty())
            };
            wait(simulation, chance, 15_000..16_000);
            simulation.world.hear(simulation.now);
            simulation.world.severed.insert(replica.clone());
            for _ in 0..4_000 {
                wait(simulation, chance, 9..11);
                if !relies(simulation) {
                    break;
                }
            }
            simulation.world.severed.remove(&replica);
            simulation.run_for(Duration::from_secs(40));
            if !relies(simulation) {
                let what = "nobody is relied on, though a replica receives".to_owned();
                simulation.report(vec![("the sync set is kept", what)]);
            }
        },
    },
];
