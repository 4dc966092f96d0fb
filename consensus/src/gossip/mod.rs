//! Beliefs to everybody, and who everybody is.
//!
//! Three small things side by side: [`Membership`] (foca's SWIM: which agents exist, by whatever path), [`Peers`] (whom we
//! hear *directly*, how far away, and what they say they are doing) and [`Hearsay`] (what each of them believes). All of it
//! is a hint and a source of vetoes: none of it is ever a vote, and none of it says who the voters are.

mod hearsay;
mod membership;
mod peers;

pub use hearsay::{Heard, Hearsay};
pub use membership::Membership;
pub use peers::{Peer, Peers, TROUBLES_LIMIT};
