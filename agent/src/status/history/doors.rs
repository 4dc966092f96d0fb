//! What a weak door did → an entry: this agent's own, for the mesh is not told of it.

use serde_json::json;

use super::{Entry, TEXT_LIMIT};
use crate::guard::{WeakDoor, WeakTurn};

/// What is written as `event` where a weak door was shut.
pub const SHUT: &str = "weak-door-shut";
/// What is written as `event` where it was opened again.
pub const OPENED: &str = "weak-door-opened";

/// One entry for the last that a weak door did.
pub fn entry(door: &WeakDoor, turn: &WeakTurn) -> Entry {
    let (event, did) = match turn.open {
        true => (OPENED, "opened"),
        false => (SHUT, "shut"),
    };
    let text = format!("the weak door of {} is {did}: {}", door.database, turn.text);
    Entry {
        wall_ms: turn.wall_ms,
        event: event.into(),
        app: Some(door.app.clone()),
        epoch: None,
        text: text.chars().take(TEXT_LIMIT).collect(),
        detail: json!({ "database": door.database, "text": turn.text }),
    }
}
