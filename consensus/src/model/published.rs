//! DNS that others serve, looked at while nothing is in progress: what to look at, and what was seen.

use super::{AppId, Effect, Token};

/// A look to be taken at every name of an app that a driver publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The app.
    pub app: AppId,
    /// Under which they were published.
    pub token: Token,
    /// How far their lifetimes are shortened.
    pub shortened: u8,
    /// What the outside is to say: publications, and nothing else.
    pub publications: Vec<Effect>,
    /// Is whoever holds the zone asked, too, with the credential? One agent does; all ask the name servers.
    pub holder: bool,
}

/// What came of an inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The app.
    pub app: AppId,
    /// Of what it was inspected.
    pub token: Token,
    /// And how far its lifetimes were shortened.
    pub shortened: u8,
    /// One for each publication, in their order.
    pub names: Vec<Published>,
}

/// What was seen of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The name.
    pub name: String,
    /// What whoever holds the zone holds.
    pub held: Held,
    /// How many of the zone's name servers answer as decided.
    pub right: usize,
    /// For how many seconds any of them lets its answer be kept, at most.
    pub longest: Option<u32>,
    /// Those that do not, one line each.
    pub wrong: Vec<String>,
}

/// What whoever holds a zone holds at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody asked.
    Unasked,
    /// What was decided.
    AsDecided,
    /// What an older decision published, or nobody of ours; in words.
    Owed(String),
    /// Something else than this decision published, in words, that may be written over.
    Otherwise(String),
    /// What it holds is not known, or not ours to write over.
    Unknown(String),
}
