//! Does a guard keep to its token? (PROTOCOL.md D.4, S7)
//!
//! What it does to its own database it does with a token that is durable on its disk, and with the highest one there.

use consensus::failover::plan;
use consensus::model::{Action, AgentId, Token};
use consensus::saved::Saved;

use super::Found;

/// A guard acts on its database; `durable` is what its disk holds at this moment.
pub fn on_act(agent: &AgentId, action: &Action, durable: &Saved, found: &mut Found) {
    let Some(database) = plan::database(&action.effect) else { return };
    if database.guard.as_ref() != Some(agent) {
        return;
    }
    let own = durable
        .obeyed
        .iter()
        .filter(|(target, _)| (&target.app, &target.name) == (&action.app, &database.name));
    // Whoever guards the same database in two stacks would need its address, too: nobody does here.
    let held = own.map(|(_, token)| *token).max().unwrap_or_default();
    let about = || format!("{agent} acts on {} with {}", database.name, action.token);
    match held {
        held if held < action.token => {
            let text = format!("{}, and only {held} is on its disk", about());
            found.push(("a guard's token is durable before it acts", text));
        }
        held if action.token < held => {
            found.push(("a guard never goes back", format!("{} after {held}", about())));
        }
        Token(_) => {}
    }
}
