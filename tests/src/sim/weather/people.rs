//! What people ask for while it burns.

use consensus::model::StackId;
use consensus::outbox::Command;

use super::Simulation;

/// Somebody wants an app elsewhere.
pub(super) fn ask_for_a_move(simulation: &mut Simulation) {
    let (place, app) = (simulation.some_place(), simulation.some_app());
    let Some(state) = simulation.agreed(&app) else { return };
    let stacks: Vec<StackId> = state.definition.stacks.iter().map(|s| s.name.clone()).collect();
    let to = simulation.chance.happens(0.7).then(|| simulation.chance.pick(&stacks).clone());
    let by = "operator".to_owned();
    match simulation.chance.happens(0.5) {
        true => {
            simulation.say(|| format!("asks for a switchover of {app}"));
            simulation.command(place, Command::Switchover { app, to, by });
        }
        false => {
            simulation.say(|| format!("asks for a failover of {app}"));
            simulation.command(place, Command::Failover { app, to, accept_loss: false, by });
        }
    }
}

/// Somebody applies a definition that differs in one number.
pub(super) fn apply(simulation: &mut Simulation) {
    let (place, app) = (simulation.some_place(), simulation.some_app());
    let Some(state) = simulation.agreed(&app) else { return };
    let mut definition = state.definition.as_ref().clone();
    definition.records[0].ttl = 10 + simulation.chance.below(50) as u32;
    simulation.say(|| format!("applies {app}"));
    simulation.apply(place, definition);
}
