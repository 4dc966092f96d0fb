//! Is a replica promoted by a planned move only once it has applied all that its primary wrote?

use consensus::failover::plan;
use consensus::model::{Action, DecisionKind, Effect};

use super::Found;
use super::register::Registers;
use crate::world::{Role, World};

/// An action leaves an agent.
pub fn on_act(world: &World, action: &Action, registers: &Registers, found: &mut Found) {
    let Effect::Promote { database, at_least: Some(last), .. } = &action.effect else { return };
    let mut history = registers.history(&action.app);
    let chosen = history.find(|it| plan::token(&it.state) == action.token);
    if chosen.is_none_or(|it| it.state.decision.kind != DecisionKind::Switchover) {
        return;
    }
    let of_app = world.databases.iter().filter(|(id, _)| id.app == action.app);
    let mut asked = of_app.filter(|(_, it)| it.address == database.address);
    let Some((id, replica)) = asked.next() else { return };
    if replica.role != Role::Primary && replica.replayed < *last {
        let text = format!("{id} is promoted with {} of {last} applied", replica.replayed);
        found.push(("clients wait for nobody who lags", text));
    }
}
