//! Ordeals of who votes: people change it, and stores are lost (PROTOCOL.md A.4).

use std::time::Duration;

use consensus::config::Mutant;
use consensus::model::VotersChange;
use consensus::outbox::{Answer, Command};

use super::{Ordeal, same, wait};
use crate::chance::Chance;
use crate::scene::agent_name;
use crate::simulation::Simulation;

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[
    Ordeal {
        name: "a voter is replaced by one that stands by, and who asked for it is told",
        knows: &[Mutant::ChangeToldEarly],
        shape: |mesh, _| mesh.standbys = vec![1],
        play: |simulation, chance| {
            let change = VotersChange::Replace { old: agent_name(0), new: agent_name(5) };
            changes(simulation, chance, change);
        },
    },
    Ordeal {
        name: "a voter is sent away, and asked back",
        knows: &[Mutant::RetiredReused],
        shape: same,
        play: |simulation, chance| {
            changes(simulation, chance, VotersChange::Remove { agent: agent_name(4) });
            // It ends, and comes back with another store.
            wait(simulation, chance, 7_000..8_000);
            changes(simulation, chance, VotersChange::Add { agent: agent_name(4) });
        },
    },
    Ordeal {
        name: "a voter loses its disk, and is there again at once",
        knows: &[Mutant::ReplacedAtOnce],
        shape: same,
        play: |simulation, chance| {
            simulation.wipe(4);
            wait(simulation, chance, 40_000..50_000);
        },
    },
    Ordeal {
        name: "a voter loses its disk, and once that is replaced another does",
        knows: &[Mutant::ReplacedTooOften],
        shape: same,
        play: |simulation, chance| {
            simulation.wipe(4);
            let replaced = |simulation: &mut Simulation| {
                simulation.run_for(Duration::from_secs(1));
                let voters = simulation.electorate.latest();
                !voters.joint() && voters.members.iter().all(|voter| simulation.holds(voter))
            };
            if !(0..90).any(|_| replaced(simulation)) {
                let what = "the mesh has not replaced a lost store within 90 s".to_owned();
                simulation.report(vec![("a healed core settles", what)]);
            }
            simulation.wipe(3);
            wait(simulation, chance, 80_000..90_000);
        },
    },
];

/// People change who votes, and are told that it is agreed.
fn changes(simulation: &mut Simulation, chance: &mut Chance, change: VotersChange) {
    let number = simulation.command(3, Command::Voters { change, by: "operator".into() });
    wait(simulation, chance, 14_000..15_000);
    let answer = simulation.answers.get(&number).cloned();
    if !matches!(answer, Some(Answer::Agreed { .. })) {
        let what = format!("a change of voters is answered with {answer:?} after 14 s");
        simulation.report(vec![("a healed core settles", what)]);
    }
}
