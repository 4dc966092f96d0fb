//! Ordeals of who votes: people change it, and stores are lost (PROTOCOL.md A.4).

use consensus::config::Mutant;
use consensus::model::VotersChange;
use consensus::outbox::{Answer, Command};

use super::{Ordeal, wait};
use crate::chance::Chance;
use crate::scene::agent_name;
use crate::simulation::Simulation;

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[Ordeal {
    name: "a voter is replaced by one that stands by, and who asked for it is told",
    knows: &[Mutant::ChangeToldEarly],
    shape: |mesh, _| mesh.standbys = vec![1],
    play: |simulation, chance| {
        let change = VotersChange::Replace { old: agent_name(0), new: agent_name(5) };
        changes(simulation, chance, change);
    },
}];

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
