//! What people should know of an app's data and records before it is too late.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TargetId;

/// One thing that is not as it should be with a database or with an app's records, though nothing has failed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The database; `records` of the active stack for what DNS says.
    pub target: TargetId,
    /// What sort of thing.
    pub kind: WarningKind,
    /// One line, without the database's name.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.target, self.text)
    }
}

/// What sort of thing is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// A replica does not receive, does not apply, or is not waited for where `max_loss` is 0.
    OutOfSync,
    /// A replica follows another than the agreed primary, or nobody.
    WrongUpstream,
    /// A replica lacks more than may be lost.
    Lag,
    /// The log that a replica still needs is about to go, or about to fill the disk.
    Slot,
    /// Whoever holds the zone of an app's records holds something else than was decided, or does not tell.
    Records,
    /// Not every name server of the zone says what was decided.
    Servers,
    /// An agent could not carry a step out, or keep the app's records, and left that to others.
    Unable,
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OutOfSync => "out-of-sync",
            Self::WrongUpstream => "wrong-upstream",
            Self::Lag => "lag",
            Self::Slot => "slot",
            Self::Records => "records",
            Self::Servers => "servers",
            Self::Unable => "unable",
        })
    }
}
