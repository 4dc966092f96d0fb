//! Is a primary asked to step down only where another could take its place?

use consensus::model::{Action, Effect, TargetId};

use super::Found;
use crate::world::World;

/// An action leaves an agent. What changed within the last moments is given the benefit of the doubt by whoever plays with it.
pub fn on_act(world: &World, action: &Action, found: &mut Found) {
    let Effect::StepDown { database, .. } = &action.effect else { return };
    let of_app = world.databases.iter().filter(|(id, _)| id.app == action.app);
    let mut asked = of_app.filter(|(_, it)| it.address == database.address).map(|(id, _)| id);
    let asked = asked.next();
    // The set knows of a later election: the request names one that is over, and ends nobody's term.
    if asked.is_some_and(|id| world.is_succeeded(id)) {
        return;
    }
    let heirs: Vec<TargetId> = asked.map(|id| world.heirs(id)).unwrap_or_default();
    if heirs.is_empty() {
        let text = format!("{} is asked to, and nobody could be elected", database.name);
        found.push(("who steps down has an heir", text));
    }
}
