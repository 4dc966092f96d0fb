//! Is whoever a promotion may rely on waited for, truly? (PROTOCOL.md C.5)
//!
//! Held against the primary itself, whatever anybody saw of it, from the moment that a majority holds the agreed set.

use consensus::model::{AppState, TargetId};

use super::Found;
use crate::world::{Role, World};

/// Every replica that is relied on now is waited for by its primary now.
pub fn look(world: &World, agreed: &AppState, found: &mut Found) {
    for (name, replicas) in &agreed.sync.relied {
        let app = agreed.definition.name.clone();
        let id = TargetId { app, stack: agreed.active.clone(), name: name.clone() };
        let Some(primary) = world.databases.get(&id).filter(|it| it.role == Role::Primary) else {
            continue;
        };
        for stack in replicas.keys().filter(|stack| !primary.synchronous.contains(stack)) {
            let (version, mark) = (agreed.sync.version, primary.mark);
            let waits = &primary.synchronous;
            let text =
                format!("{id} waits for {waits:?} ({mark}); {stack} is relied on ({version})");
            found.push(("who is relied on is waited for", text));
        }
    }
}
