//! What is asked of the outside, and what came of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AppId, Candidate, Database, Driver, RecordData, RecordKind, StackId, Token, Waits};
use crate::moment::Moment;

/// One request to the outside, complete: no choice is left to whoever carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// For which app.
    pub app: AppId,
    /// Of which epoch, attempt and step.
    pub token: Token,
    /// Under which claim.
    pub term: u32,
    /// Which one of the step's actions.
    pub item: u16,
    /// Not to be begun after this (PROTOCOL.md rule E1).
    pub deadline: Moment,
    /// How long it may take once begun.
    pub limit: Duration,
    /// What to do.
    pub effect: Effect,
}

/// What an action does to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Close a database to writes.
    Fence(Database),
    /// Open it again.
    Unfence(Database),
    /// Make a replica the primary.
    Promote {
        /// The replica.
        database: Database,
        /// What it must be before.
        candidate: Candidate,
        /// The position to wait for before promoting, where a planned move knows it.
        at_least: Option<u64>,
    },
    /// Make a database a replica of another. Only tried: what cannot be reached is told later.
    Follow {
        /// The replica to be.
        database: Database,
        /// The agreed primary.
        primary: Database,
    },
    /// Ask a primary that its set has elected to step down, once no more than seconds are left to catch up with. Only tried: the
    /// set elects whom it likes.
    StepDown {
        /// The primary.
        database: Database,
        /// By which election: nobody's of a later one is asked.
        term: u32,
    },
    /// Have a primary wait for these replicas, if what it waits for rests on no newer version. Only tried.
    Synchronous {
        /// The primary.
        database: Database,
        /// Whom it is to wait for.
        waits: Waits,
    },
    /// Make the outside's DNS say this.
    Publish {
        /// The name whose records these are.
        name: String,
        /// The driver; never [`Driver::BuiltIn`], which needs no action.
        driver: Driver,
        /// Every record set of that name; never empty.
        sets: Vec<RecordSet>,
        /// The stack to name in the marker record.
        stack: StackId,
    },
}

/// All records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// The type.
    pub kind: RecordKind,
    /// Seconds.
    pub ttl: u32,
    /// Never empty.
    pub data: Vec<RecordData>,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For which app.
    pub app: AppId,
    /// Of which epoch, attempt and step.
    pub token: Token,
    /// Under which claim.
    pub term: u32,
    /// Which one of the step's actions.
    pub item: u16,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub result: Result<Done, ActionFault>,
}

/// An action that was carried out, now or before by another with the same token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Is the effect proven (a fence by a guard), or only asked for?
    pub proven: bool,
    /// The database's position afterwards.
    pub position: Option<u64>,
    /// One line for people.
    pub text: String,
}

/// An action that was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionFault {
    /// What that means for the step.
    pub kind: ActionFaultKind,
    /// One line for people.
    pub text: String,
}

/// What a failed action means for its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionFaultKind {
    /// The outside holds a higher token: somebody newer was there.
    Superseded,
    /// Refused for a reason that another try will meet again (credential, wrong history).
    Refused,
    /// Not known whether it took effect, or not reached: try again.
    Unknown,
    /// Its deadline had passed before it began; nothing was sent.
    Late,
}
