//! Signed beliefs, and the pure rule that turns them into a verdict.
//!
//! Evidence is asked for first hand, for one ballot, and signed over it: fresh by causality, not by clocks (PROTOCOL.md
//! rule 1). The same [`Panel`] judges evidence, which counts, and gossip, which is only a hint: the rule cannot differ
//! between who proposes, who accepts and who explains. This room knows nothing of ballots beyond their number.

mod choice;
mod followed;
mod handing;
mod loss;
mod panel;
mod replicas;
mod signed;
mod standing;
mod sync;
#[cfg(test)]
mod tests;
mod warnings;
mod word;

pub use choice::{Choice, Path, nobody_sees_down};
pub use followed::Leader;
pub use handing::Place;
pub use loss::most_received;
pub use panel::{Aspect, Count, Panel, Witness};
pub use signed::{KeyPair, Trust, certified, genuine, sift};
pub use sync::is_replica_of;
