//! What befalls replicas.

use std::time::Duration;

use consensus::model::TargetId;

use super::Simulation;
use crate::world::Role;

/// A replica does not reach its primary for a while, and can say so.
pub(super) fn sever_replica(simulation: &mut Simulation) {
    let Some(replica) = some_replica(simulation) else { return };
    simulation.world.hear(simulation.now);
    simulation.say(|| format!("{replica} does not reach its primary"));
    simulation.world.severed.insert(replica.clone());
    let span = simulation.chance.between(Duration::from_secs(1), Duration::from_secs(90));
    simulation.later(span, move |simulation| {
        simulation.say(|| format!("{replica} reaches its primary again"));
        simulation.world.severed.remove(&replica);
    });
}

/// A replica says that it streams, and receives nothing: a slot that is stuck, a disk that is.
pub(super) fn stick_replica(simulation: &mut Simulation) {
    let Some(replica) = some_replica(simulation) else { return };
    simulation.say(|| format!("{replica} is stuck"));
    simulation.world.stuck.insert(replica.clone());
    let span = simulation.some_span(&[10, 60, 300]);
    simulation.later(span, move |simulation| {
        simulation.say(|| format!("{replica} is stuck no more"));
        simulation.world.stuck.remove(&replica);
    });
}

/// A replica receives and applies nothing: somebody stopped it, or it waits for a lock.
pub(super) fn idle_replica(simulation: &mut Simulation) {
    let Some(replica) = some_replica(simulation) else { return };
    simulation.say(|| format!("{replica} applies nothing"));
    simulation.world.idle.insert(replica.clone());
    let span = simulation.some_span(&[10, 60, 300]);
    simulation.later(span, move |simulation| {
        simulation.say(|| format!("{replica} applies again"));
        simulation.world.apply(&replica);
    });
}

/// Somebody promotes a replica, writes to it and has it follow again: it holds what nobody else does.
pub(super) fn lead_astray(simulation: &mut Simulation) {
    let Some(replica) = some_replica(simulation) else { return };
    simulation.say(|| format!("{replica} is written to, and follows again"));
    simulation.world.lead_astray(&replica);
    simulation.outside_changed();
}

fn some_replica(simulation: &mut Simulation) -> Option<TargetId> {
    let databases = simulation.world.databases.iter();
    let replicas: Vec<TargetId> = databases
        .filter(|(_, database)| matches!(database.role, Role::Replica { .. }))
        .map(|(id, _)| id.clone())
        .collect();
    (!replicas.is_empty()).then(|| simulation.chance.pick(&replicas).clone())
}
