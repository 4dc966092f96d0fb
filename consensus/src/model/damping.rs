//! What holds the mesh back from acting by itself on an app: what it did lately, and what people asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Epoch, OperationId};

/// How many decisions damping remembers: nine that were taken back weigh as much as the three that are too many a day.
pub const DAMPING_MEMORY: usize = 9;
/// The longest name of a person, in bytes.
pub const BY_LIMIT: usize = 100;
/// The longest reason, in bytes.
pub const REASON_LIMIT: usize = 300;
/// The longest that automatic action may be held.
pub const FREEZE_MOST: Duration = Duration::from_secs(90 * 24 * 3600);

/// What the mesh did by itself lately: how long it must wait is counted from this (PROTOCOL.md E).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damping {
    /// Its own decisions since the last `ack`, oldest first, at most [`DAMPING_MEMORY`].
    pub history: Vec<Damped>,
    /// Was the last of them the third within a day? Then the mesh leaves the app alone until a person acknowledges it.
    pub flapping: bool,
    /// Who last acknowledged.
    pub cleared: Option<String>,
}

/// One decision that the mesh made by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damped {
    /// Its epoch.
    pub epoch: Epoch,
    /// Was it taken back?
    pub aborted: bool,
}

/// A person's word that the mesh is to leave an app alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// The write that put it on: tells it apart from every other.
    pub id: OperationId,
    /// Who asked for it.
    pub by: String,
    /// Why, for people.
    pub reason: String,
    /// How long it holds, by every voter's own clock from when it learned of it.
    pub lasts: Duration,
}
