//! What comes between agents and the world they look at, while the mesh itself is well.

use std::time::Duration;

use super::Simulation;
use crate::network::Place;
use crate::world::Path;

/// Some agents, a region or all of them see nothing of the world any more, and hear each other well.
pub(super) fn lose_the_world(simulation: &mut Simulation) {
    let path = match simulation.chance.happens(0.7) {
        true => Path { cut: true, loss: 0.0 },
        false => Path { cut: false, loss: simulation.chance.rate(0.6) },
    };
    let span = simulation.chance.between(Duration::from_secs(2), Duration::from_secs(60));
    for place in somewhere(simulation) {
        let agent = simulation.agents[place].id.clone();
        simulation.say(|| format!("{agent} does not see the world well: {path:?}"));
        simulation.world.outward.insert(agent.clone(), path);
        simulation.later(span, move |simulation| {
            simulation.say(|| format!("{agent} sees the world again"));
            simulation.world.outward.remove(&agent);
            simulation.outside_changed();
        });
    }
    simulation.outside_changed();
}

/// The canaries of some agents, of a region or of all are gone, and nothing else is.
pub(super) fn silence_canaries(simulation: &mut Simulation) {
    let span = simulation.chance.between(Duration::from_secs(2), Duration::from_secs(60));
    for place in somewhere(simulation) {
        let agent = simulation.agents[place].id.clone();
        simulation.say(|| format!("the canaries of {agent} fall silent"));
        simulation.world.silent.insert(agent.clone());
        simulation.later(span, move |simulation| {
            simulation.say(|| format!("the canaries of {agent} answer again"));
            simulation.world.silent.remove(&agent);
            simulation.disturbed();
        });
    }
}

/// No voter sees the active stack of an app any more; observers, clients and replicas do.
pub(super) fn blind_voters(simulation: &mut Simulation) {
    let app = simulation.some_app();
    let Some(state) = simulation.agreed(&app) else { return };
    let span = simulation.chance.between(Duration::from_secs(5), Duration::from_secs(60));
    simulation.say(|| format!("no voter sees {app}/{} any more", state.active));
    let voters = simulation.electorate.latest().agents();
    for voter in voters.into_iter().cloned().collect::<Vec<_>>() {
        let way = (voter, app.clone(), state.active.clone());
        simulation.world.paths.insert(way.clone(), Path { cut: true, loss: 0.0 });
        simulation.later(span, move |simulation| {
            simulation.world.paths.remove(&way);
            simulation.outside_changed();
        });
    }
    simulation.outside_changed();
}

/// One agent, one region, or everybody.
fn somewhere(simulation: &mut Simulation) -> Vec<Place> {
    let somebody = simulation.some_place();
    let region = simulation.agents[somebody].config.region.clone();
    let all = 0..simulation.agents.len();
    match simulation.chance.below(3) {
        0 => vec![somebody],
        1 => all.filter(|place| simulation.agents[*place].config.region == region).collect(),
        _ => all.collect(),
    }
}

impl Simulation {
    /// Are there so many observers that they can contest what voters see?
    pub(super) fn crowded(&self) -> bool {
        self.agents.len() >= self.agents[0].config.voters.members.len() + 10
    }

    /// An agent whose evidence key was another than its voters know finds the right one, with its next start.
    pub(super) fn find_key(&mut self, place: Place) {
        if let Some((of, key)) = self.lost_keys.remove(&place)
            && let Some(store) = &mut self.agents[place].config.ballots
            && store.acceptor == of
        {
            store.seed = key;
            self.crash(place);
        }
    }
}
