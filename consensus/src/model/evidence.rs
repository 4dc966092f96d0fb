//! What voters state of what they saw, for one ballot, and what the rule makes of it.

use serde::{Deserialize, Serialize};

use super::{Abstention, AcceptorId, AgentId, AppId, Ballot, Belief, Epoch, MeshId, Region};

/// The signed beliefs of the voters, all given for one ballot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The ballot they were given for: what makes them fresh.
    pub ballot: Ballot,
    /// At most one of each voter.
    pub evidence: Vec<Evidence>,
}

/// A signed belief, given for one ballot (PROTOCOL.md B.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What is stated.
    pub statement: Statement,
    /// ed25519 over the encoded statement; 64 bytes.
    pub signature: Vec<u8>,
}

/// What a voter states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// In which mesh.
    pub mesh: MeshId,
    /// Under which set of voters.
    pub voters: u64,
    /// About which app.
    pub app: AppId,
    /// Of which revision of its definition.
    pub revision: u64,
    /// After which epoch.
    pub epoch: Epoch,
    /// For which ballot.
    pub ballot: Ballot,
    /// Which store speaks.
    pub acceptor: AcceptorId,
    /// Which agent speaks.
    pub agent: AgentId,
    /// From where.
    pub region: Region,
    /// Why its word does not count, if it does not.
    pub abstention: Option<Abstention>,
    /// What it believes of every target of the app.
    pub beliefs: Vec<Belief>,
}

/// What the rule makes of the evidence about one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A majority of all voters, in enough regions, saw it down, and too few saw it up.
    Down,
    /// Enough saw it down, and something speaks against it.
    Contested,
    /// Anything else.
    Standing,
}
