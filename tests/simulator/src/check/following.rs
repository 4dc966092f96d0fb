//! Is what is agreed of followed endpoints what a majority of voters were told, each by its own source? Of both sets, while two
//! are in force: three of the same five in each may be three of six.

use std::collections::BTreeSet;

use consensus::model::{AgentId, DecisionKind, Place, Voters};
use consensus::moment::Moment;

use super::Found;
use super::register::Link;
use crate::world::{World, is_deserted};

const FIRST_HAND: &str = "endpoints are followed by what a majority finds";

/// Another set of places was agreed: what came must be what sources told a majority, what went what they no longer told one, and
/// there is never none at all.
pub fn agreed(now: Moment, world: &World, voters: &Voters, link: &Link, found: &mut Found) {
    let follows = link.after.decision.kind == DecisionKind::Follow && !link.taken_back;
    let Some(before) = link.before.as_ref().filter(|_| follows) else { return };
    let all = voters.agents();
    for of in &link.after.definition.following {
        let (old, new) = (before.definition.places(of), link.after.definition.places(of));
        if new.is_empty() {
            found.push((FIRST_HAND, format!("{} of {} is nowhere", of.endpoint.name, of.stack)));
        }
        let told =
            |agent: &AgentId| world.was_told(now, (agent, &link.after.definition.name, &of.stack));
        for place in new.difference(&old) {
            let by = |agent: &&AgentId| told(agent).any(|places| places.contains(place));
            let by: BTreeSet<AgentId> = all.iter().copied().filter(by).cloned().collect();
            if !voters.majority_of(&by) {
                let text = format!("{place} was told to {} of {} voters", by.len(), all.len());
                found.push((FIRST_HAND, text));
            }
            if is_deserted(place) {
                found.push((FIRST_HAND, format!("nobody ever served at {place}")));
            }
        }
        for place in old.difference(&new) {
            let always =
                |place: &Place, agent: &AgentId| told(agent).all(|places| places.contains(place));
            let not = all.iter().copied().filter(|agent| !always(place, agent));
            let not: BTreeSet<AgentId> = not.cloned().collect();
            if !voters.majority_of(&not) {
                let text =
                    format!("{place} was left out for {} of {} voters", not.len(), all.len());
                found.push((FIRST_HAND, text));
            }
        }
    }
}
