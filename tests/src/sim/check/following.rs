//! Is what is agreed of followed endpoints what a majority of voters were told, each by its own source?

use consensus::model::{AgentId, DecisionKind, Voters};

use super::Found;
use super::register::Link;
use crate::sim::world::World;

const FIRST_HAND: &str = "endpoints are followed by what a majority finds";

/// Another set of places was agreed: it must be what sources tell a majority, and never none at all. Sources that changed
/// their mind within the last moments are given the benefit of the doubt by whoever plays with them.
pub fn agreed(world: &World, voters: &Voters, link: &Link, found: &mut Found) {
    let follows = link.after.decision.kind == DecisionKind::Follow && !link.taken_back;
    let Some(before) = link.before.as_ref().filter(|_| follows) else { return };
    for of in &link.after.definition.following {
        let (old, new) = (before.definition.places(of), link.after.definition.places(of));
        if new.is_empty() {
            found.push((FIRST_HAND, format!("{} of {} is nowhere", of.endpoint.name, of.stack)));
        }
        for place in new.difference(&old) {
            let told = |agent: &&AgentId| {
                let told = world.told(agent, &link.after.definition.name, &of.stack);
                told.is_ok_and(|places| places.contains(place))
            };
            let all = voters.agents();
            let told = all.iter().copied().filter(told).count();
            if told * 2 <= all.len() {
                let text = format!("{place} was told to {told} of {} voters", all.len());
                found.push((FIRST_HAND, text));
            }
        }
    }
}
