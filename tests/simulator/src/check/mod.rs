//! The checkers: what must hold after every step, one family a file.
//!
//! They see every record that becomes durable, every message and action that leaves, and the world as it truly is. They
//! share no code with the rules they check: what they know of PROTOCOL.md they say in their own words.

pub mod damping;
pub mod effect;
pub mod electorate;
pub mod evidence;
pub mod fleet;
pub mod following;
pub mod guard;
pub mod history;
pub mod lease;
pub mod outcome;
pub mod planned;
pub mod register;
pub mod stepping;
pub mod store;
pub mod sync;
pub mod witness;

use std::fmt;

use consensus::moment::Moment;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in true time.
    pub at: Moment,
    /// Which checker saw it.
    pub checker: &'static str,
    /// What it saw.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at, self.checker, self.text)
    }
}

/// What one check found: a checker's name and what is wrong, for every rule broken.
pub type Found = Vec<(&'static str, String)>;
