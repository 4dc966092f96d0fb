//! What befalls disks for a while. What a single write risks is in the rates.

use super::Simulation;
use crate::sim::network::Place;

/// An agent's disk is full: it dies at its next record, and at every start, until somebody makes room.
pub(super) fn fill(simulation: &mut Simulation) {
    let place = simulation.some_place();
    let span = simulation.some_span(&[2, 20, 120]);
    simulation.agents[place].disk.full = true;
    let id = simulation.agents[place].id.clone();
    simulation.transcript.say(simulation.now, Some(&id), || "has a full disk".into());
    simulation.later(span, move |simulation| simulation.agents[place].disk.full = false);
}

impl Simulation {
    /// An agent's disk is gone; its process comes back with a new one.
    pub fn wipe(&mut self, place: Place) {
        let id = self.agents[place].id.clone();
        self.transcript.say(self.now, Some(&id), || "loses its disk".into());
        self.crash(place);
        self.agents[place].renew_store(&mut self.chance);
        self.start(place);
    }

    /// Somebody copies an agent's disk.
    pub fn copy_disk(&mut self, place: Place) {
        let agent = &mut self.agents[place];
        agent.copy = Some(agent.disk.clone());
        let id = agent.id.clone();
        self.transcript.say(self.now, Some(&id), || "has its disk copied".into());
    }

    /// An agent comes back from the copy of its disk.
    pub fn restore_disk(&mut self, place: Place) {
        let Some(copy) = self.agents[place].copy.take() else { return };
        let id = self.agents[place].id.clone();
        self.transcript.say(self.now, Some(&id), || "comes back from a copy of its disk".into());
        self.crash(place);
        self.agents[place].disk = copy;
        self.start(place);
    }
}
