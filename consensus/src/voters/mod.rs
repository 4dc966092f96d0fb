//! Who votes, and how that changes (PROTOCOL.md A.4).
//!
//! Which set of voters may follow which ([`chain`]), what is heard of every store of ballots and whether one's own may be
//! trusted ([`Sightings`], [`Inquiry`]), and which registers have been carried over into a new set ([`Sweep`]). This room
//! knows nothing of ballots, apps or messages: `node` asks it, and writes what follows.

pub mod chain;
mod sightings;
mod sweep;

pub use sightings::{Inquiry, Sight, Sightings};
pub use sweep::Sweep;
