//! The register: CASPaxos, one register an app, no leader, no log (PROTOCOL.md A.3).
//!
//! An acceptor promises and accepts; a proposer asks a quorum for promises, derives one value from the newest it hears of,
//! and asks for it to be accepted. This room knows nothing of evidence, leases or apps: `node` hands it the rule by which
//! to accept, and values are bytes.

mod acceptor;
mod proposer;

pub use acceptor::{Acceptor, Change, REGISTERS_MOST, ROUND_LEAP};
pub use proposer::{Accepting, Ballots, Current, Preparing, Tally};
