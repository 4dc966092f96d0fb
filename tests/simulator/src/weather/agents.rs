//! What befalls agents: death, standstill, too much to do, and an upgrade that restarts them one by one.

use std::time::Duration;

use consensus::value::Format;

use super::Simulation;
use crate::network::Place;

/// One process dies and comes back.
pub(super) fn kill_one(simulation: &mut Simulation) {
    let place = simulation.some_place();
    simulation.crash_for_a_while(place);
}

/// Most die at once.
pub(super) fn power_cut(simulation: &mut Simulation) {
    for place in 0..simulation.agents.len() {
        if simulation.chance.happens(0.8) {
            simulation.crash_for_a_while(place);
        }
    }
}

/// One process is stopped, and goes on.
pub(super) fn stop_one(simulation: &mut Simulation) {
    let place = simulation.some_place();
    let span = simulation.some_span(&[1, 10, 60, 600]);
    simulation.stop(place);
    simulation.later(span, move |simulation| simulation.resume(place));
}

/// One agent handles nothing for a while, though its connections live on: it wakes late, to a full inbox.
pub(super) fn overload_one(simulation: &mut Simulation) {
    let place = simulation.some_place();
    let span = simulation.some_span(&[1, 2, 5, 20]);
    simulation.overload(place);
    simulation.later(span, move |simulation| simulation.resume(place));
}

/// Everybody is restarted, one after the other, as the version that comes next, half of them with other credentials than
/// before.
pub(super) fn rolling_restart(simulation: &mut Simulation) {
    let pause = simulation.chance.between(Duration::from_millis(500), Duration::from_secs(15));
    for place in 0..simulation.agents.len() {
        let changes = simulation.chance.happens(0.5);
        simulation.later(pause * place as u32, move |simulation| {
            if changes {
                change_credentials(simulation, place);
            }
            simulation.crash(place);
            simulation.agents[place].config.format = Format::NEXT;
            let down = simulation.chance.between(Duration::from_millis(300), pause);
            simulation.later(down, move |simulation| simulation.start(place));
        });
    }
}

/// From its next start on, an agent holds others of the credentials there are: all, one, or none.
fn change_credentials(simulation: &mut Simulation, place: Place) {
    let all = simulation.credentials.clone();
    let kept = all.into_iter().filter(|_| simulation.chance.happens(0.7)).collect();
    simulation.agents[place].config.credentials = kept;
}
