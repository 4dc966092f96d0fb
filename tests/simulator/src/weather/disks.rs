//! What befalls disks for a while. What a single write risks is in the rates; what is lost for good is in [`super::stores`].

use super::Simulation;

/// An agent's disk is full: it dies at its next record, and at every start, until somebody makes room.
pub(super) fn fill(simulation: &mut Simulation) {
    let place = simulation.some_place();
    let span = simulation.some_span(&[2, 20, 120]);
    simulation.agents[place].disk.full = true;
    let id = simulation.agents[place].id.clone();
    simulation.transcript.say(simulation.now, Some(&id), || "has a full disk".into());
    simulation.later(span, move |simulation| simulation.agents[place].disk.full = false);
}
