//! One web endpoint, as it really is.

use std::time::Duration;

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Web {
    /// It serves.
    Up,
    /// Its process is gone: connections are refused.
    Refusing,
    /// Its host is gone: nothing answers.
    Dark,
    /// It answers with a status of 500.
    Failing,
    /// It serves, after this long.
    Slow(Duration),
}

impl Web {
    /// Does a look with this limit find it well?
    pub fn serves(self, limit: Duration) -> bool {
        match self {
            Self::Up => true,
            Self::Slow(takes) => takes < limit,
            Self::Refusing | Self::Dark | Self::Failing => false,
        }
    }
}
