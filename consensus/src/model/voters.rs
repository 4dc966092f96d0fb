//! Who votes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AgentId, Region};

/// One mesh, told apart from every other: drawn at random by `quorate init`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MeshId(#[serde(with = "hexadecimal")] pub u128);

impl fmt::Display for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One store of ballots. Drawn when the store is made and never used again (PROTOCOL.md rule R8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AcceptorId(#[serde(with = "hexadecimal")] pub u128);

impl fmt::Display for AcceptorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

/// An agent whose word counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// The store its promises are kept in.
    pub acceptor: AcceptorId,
    /// The agent that holds the store.
    pub agent: AgentId,
    /// The region its certificate names.
    pub region: Region,
    /// The public half of its evidence key (ed25519, RFC 8032).
    pub key: [u8; 32],
}

/// The agreed set of voters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voters {
    /// The mesh they vote in.
    pub mesh: MeshId,
    /// Grows by one with every change; every ballot message carries it.
    pub version: u64,
    /// The voters, in the order of their agents' names.
    pub members: Vec<Voter>,
}

impl Voters {
    /// The smallest number that is more than half of *all* voters (PROTOCOL.md rule 9).
    pub fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Every voter.
    pub fn everyone(&self) -> impl Iterator<Item = &Voter> {
        self.members.iter()
    }

    /// The voter with this store.
    pub fn by_acceptor(&self, acceptor: AcceptorId) -> Option<&Voter> {
        self.members.iter().find(|voter| voter.acceptor == acceptor)
    }

    /// The voter that is this agent.
    pub fn by_agent(&self, agent: &AgentId) -> Option<&Voter> {
        self.members.iter().find(|voter| voter.agent == *agent)
    }

    /// Do these stores make a quorum? Counts distinct ids of the current set, never connections (trap 9).
    pub fn quorum(&self, acceptors: &BTreeSet<AcceptorId>) -> bool {
        let counted =
            self.members.iter().filter(|voter| acceptors.contains(&voter.acceptor)).count();
        counted >= self.majority()
    }

    /// The regions voters live in, with how many live in each.
    pub fn regions(&self) -> BTreeMap<&Region, usize> {
        let mut regions = BTreeMap::new();
        for voter in &self.members {
            *regions.entry(&voter.region).or_default() += 1;
        }
        regions
    }
}

/// 128 bits as a number on the wire and as text for people: neither JSON nor TOML has integers that large.
mod hexadecimal {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
        match to.is_human_readable() {
            true => format!("{number:032x}").serialize(to),
            false => number.serialize(to),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        match from.is_human_readable() {
            true => {
                let text = String::deserialize(from)?;
                u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
            }
            false => u128::deserialize(from),
        }
    }
}
