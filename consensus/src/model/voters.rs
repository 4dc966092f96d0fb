//! Who votes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AgentId, AppId, OperationId, Region};

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

/// The agreed set of voters: one set, or two while it changes. Whoever counts asks here, so that both are heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voters {
    /// The mesh they vote in.
    pub mesh: MeshId,
    /// Grows by one with every change; every ballot message carries it.
    pub version: u64,
    /// The voters, in the order of their agents' names; while joint, those that were.
    pub members: Vec<Voter>,
    /// While joint, those that will be; empty otherwise.
    pub joining: Vec<Voter>,
}

impl Voters {
    /// A set that is not changing.
    pub fn stable(mesh: MeshId, version: u64, members: Vec<Voter>) -> Self {
        Self { mesh, version, members, joining: Vec::new() }
    }

    /// Is it changing?
    pub fn joint(&self) -> bool {
        !self.joining.is_empty()
    }

    /// The sets that each have to agree.
    fn sets(&self) -> impl Iterator<Item = &[Voter]> {
        [&self.members[..], &self.joining[..]].into_iter().filter(|set| !set.is_empty())
    }

    /// Every store that votes, once.
    pub fn all(&self) -> impl Iterator<Item = &Voter> {
        let known = |voter: &Voter| self.members.iter().any(|it| it.acceptor == voter.acceptor);
        self.members.iter().chain(self.joining.iter().filter(move |voter| !known(voter)))
    }

    /// Every agent that votes, once; one that is replaced by itself holds two stores meanwhile.
    pub fn agents(&self) -> BTreeSet<&AgentId> {
        self.all().map(|voter| &voter.agent).collect()
    }

    /// How many votes are needed, for words: of the larger set while there are two.
    pub fn needed(&self) -> usize {
        self.sets().map(majority).max().unwrap_or(usize::MAX)
    }

    /// The voter with this store.
    pub fn by_acceptor(&self, acceptor: AcceptorId) -> Option<&Voter> {
        self.all().find(|voter| voter.acceptor == acceptor)
    }

    /// The voter that is this agent; by its new store, while that replaces its old one.
    pub fn by_agent(&self, agent: &AgentId) -> Option<&Voter> {
        self.joining.iter().chain(&self.members).find(|voter| voter.agent == *agent)
    }

    /// Do these stores make a quorum? Counts distinct ids of the current sets, never connections (trap 9).
    pub fn quorum(&self, acceptors: &BTreeSet<AcceptorId>) -> bool {
        self.each_set(|voter| acceptors.contains(&voter.acceptor))
    }

    /// Can these stores have chosen a value? Under two sets that was enough before the second came: whoever voted while
    /// there was only the first needed no more (PROTOCOL.md A.4).
    pub fn may_have_chosen(&self, acceptors: &BTreeSet<AcceptorId>) -> bool {
        let counted = self.members.iter().filter(|voter| acceptors.contains(&voter.acceptor));
        counted.count() >= majority(&self.members)
    }

    /// Are these agents more than half of *all* voters (PROTOCOL.md rule 9)?
    pub fn majority_of(&self, agents: &BTreeSet<AgentId>) -> bool {
        self.each_set(|voter| agents.contains(&voter.agent))
    }

    /// Are the agents of the stores that this says yes to more than half of all voters? The same as
    /// [`Voters::majority_of`], for what is asked all the time.
    pub fn majority_where(&self, yes: impl Fn(&Voter) -> bool) -> bool {
        let same = |voter: &Voter| self.all().any(|it| it.agent == voter.agent && yes(it));
        self.each_set(|voter| yes(voter) || (self.joint() && same(voter)))
    }

    /// Are these agents more than half of what could still outvote a majority? A few that see a target up block its fall
    /// (PROTOCOL.md B.5).
    pub fn blocked_by(&self, agents: &BTreeSet<AgentId>) -> bool {
        self.blocked_where(|voter| agents.contains(&voter.agent))
    }

    /// The same of the voters that this says yes to.
    pub fn blocked_where(&self, yes: impl Fn(&Voter) -> bool) -> bool {
        let blocks = |set: &[Voter]| {
            let counted = set.iter().filter(|voter| yes(voter)).count();
            counted > (set.len() - majority(set)) / 2
        };
        self.sets().any(blocks)
    }

    /// Stores that vote now and will not once the change is through; none while it is stable.
    pub fn leaving(&self) -> impl Iterator<Item = &Voter> {
        let stays = |voter: &Voter| self.joining.iter().any(|it| it.acceptor == voter.acceptor);
        self.members.iter().filter(move |voter| self.joint() && !stays(voter))
    }

    /// Stores that vote since the change began, or will once it is through; none while it is stable.
    pub fn arriving(&self) -> impl Iterator<Item = &Voter> {
        let known = |voter: &Voter| self.members.iter().any(|it| it.acceptor == voter.acceptor);
        self.joining.iter().filter(move |voter| !known(voter))
    }

    fn each_set(&self, counts: impl Fn(&Voter) -> bool) -> bool {
        let agrees = |set: &[Voter]| set.iter().filter(|it| counts(it)).count() >= majority(set);
        !self.members.is_empty() && self.sets().all(agrees)
    }

    /// The regions voters live in, with how many live in each.
    pub fn regions(&self) -> BTreeMap<&Region, usize> {
        let mut regions = BTreeMap::new();
        for voter in self.all() {
            *regions.entry(&voter.region).or_default() += 1;
        }
        regions
    }
}

/// The smallest number that is more than half.
fn majority(set: &[Voter]) -> usize {
    set.len() / 2 + 1
}

/// More voters make every decision slower and none safer; nine survive four failures (PROTOCOL.md section G).
pub const VOTER_LIMIT: usize = 9;
/// Stores that may ever be retired: their ids must be known for ever, lest one be used again. A mesh that has lost so many
/// takes no further change of voters, and is made anew by `quorate recover`.
pub const RETIRED_LIMIT: usize = 1024;

/// The value of the voters' register: who votes, and what must never be forgotten about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VotersState {
    /// Who votes.
    pub voters: Voters,
    /// What this step does, and why: one line for people.
    pub reason: String,
    /// The version with which the mesh last began to replace a store by itself; zero for never.
    pub automatic: u64,
    /// Stores that voted once and never will again (rule R8).
    pub retired: Vec<AcceptorId>,
    /// The last writes, oldest first.
    pub operations: Vec<OperationId>,
    /// SHA-256 of the value this one was derived from; zero for the first.
    pub previous: [u8; 32],
}

/// What could be better about where the voters are, in words; empty if no region holds a majority and the loss of any
/// leaves one, with a vote to spare (PROTOCOL.md A.4).
pub fn advice(voters: &Voters) -> Vec<String> {
    let set = if voters.joint() { &voters.joining } else { &voters.members };
    let (n, needed) = (set.len(), majority(set));
    let mut regions: BTreeMap<&Region, usize> = BTreeMap::new();
    for voter in set {
        *regions.entry(&voter.region).or_default() += 1;
    }
    let mut advice = Vec::new();
    if n < 3 {
        advice.push(format!("{n} of {n} voters are needed: the loss of one stops the mesh"));
        return advice;
    }
    if n % 2 == 0 {
        advice.push(format!(
            "{n} voters survive no more losses than {}: one more costs nothing",
            n - 1
        ));
    }
    for (region, held) in regions {
        match (n - held).cmp(&needed) {
            Ordering::Less => {
                advice.push(format!("{region} holds {held} of {n} voters: its loss stops the mesh"))
            }
            Ordering::Equal if held > 1 => advice.push(format!(
                "losing {region} leaves exactly a majority: every other voter is needed then"
            )),
            Ordering::Equal | Ordering::Greater => {}
        }
    }
    advice
}

/// What a person may want changed about who votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VotersChange {
    /// This agent, whose store stands by, is to vote.
    Add {
        /// Who.
        agent: AgentId,
    },
    /// This agent is not to vote any more.
    Remove {
        /// Who.
        agent: AgentId,
    },
    /// One is to vote in the place of the other; the same agent twice, when its new store replaces the one it lost.
    Replace {
        /// Who votes now.
        old: AgentId,
        /// Who is to.
        new: AgentId,
    },
}

impl fmt::Display for VotersChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { agent } => write!(f, "add {agent}"),
            Self::Remove { agent } => write!(f, "remove {agent}"),
            Self::Replace { old, new } if old == new => write!(f, "replace the store of {old}"),
            Self::Replace { old, new } => write!(f, "replace {old} by {new}"),
        }
    }
}

/// Why a store must not vote again, ever (rule R8).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quarantined {
    /// Somebody heard of more changes than it holds: it is a copy from before.
    RolledBack {
        /// Who heard.
        by: AgentId,
        /// Of how many.
        seen: u64,
        /// How many it holds.
        holds: u64,
    },
    /// The voters went on without it.
    Retired {
        /// At this version.
        version: u64,
    },
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RolledBack { by, seen, holds } => write!(
                f,
                "its store is a copy from before: it holds {holds} changes, and {by} has seen {seen}"
            ),
            Self::Retired { version } => {
                write!(f, "its store was replaced or removed by voters version {version}")
            }
        }
    }
}

/// One of the registers that every store of ballots keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RegisterId {
    /// Who votes.
    Voters,
    /// The state of an app.
    App(AppId),
}

impl From<&AppId> for RegisterId {
    fn from(app: &AppId) -> Self {
        Self::App(app.clone())
    }
}

impl fmt::Display for RegisterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Voters => f.pad("the voters"),
            Self::App(app) => app.fmt(f),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(old: &[u128], new: &[u128]) -> Voters {
        let set = |ids: &[u128]| ids.iter().map(|id| voter(*id)).collect();
        Voters { mesh: MeshId(1), version: 1, members: set(old), joining: set(new) }
    }

    fn voter(id: u128) -> Voter {
        Voter {
            acceptor: AcceptorId(id),
            agent: format!("a{id}").parse().expect("a name"),
            region: "r1".parse().expect("a name"),
            key: [0; 32],
        }
    }

    #[test]
    fn while_joint_a_quorum_is_one_of_each_set() {
        let joint = voters(&[1, 2, 3], &[2, 3, 4, 5, 6]);
        for (ids, quorum, may_have_chosen) in [
            (&[1, 2][..], false, true),
            (&[1, 2, 3], false, true),
            (&[2, 3, 4], true, true),
            (&[3, 4, 5, 6], false, false),
            (&[4, 5, 6], false, false),
            (&[1, 3, 4, 5], true, true),
        ] {
            let stores = ids.iter().map(|id| AcceptorId(*id)).collect();
            let agents = ids.iter().map(|id| voter(*id).agent).collect();
            assert_eq!(joint.quorum(&stores), quorum, "{ids:?}");
            assert_eq!(joint.majority_of(&agents), quorum, "{ids:?}");
            assert_eq!(joint.may_have_chosen(&stores), may_have_chosen, "{ids:?}");
        }
        assert_eq!(joint.all().count(), 6);
    }

    #[test]
    fn advice_names_the_region_that_stops_the_mesh() {
        for (regions, expected) in [
            (&["r1", "r2", "r3"][..], &[][..]),
            (&["r1", "r1", "r2", "r2", "r3"], &["losing r1 leaves", "losing r2 leaves"]),
            (&["r1", "r1", "r1", "r2", "r3"], &["r1 holds 3 of 5"]),
            (&["r1", "r1", "r1", "r2", "r2", "r2", "r3", "r3", "r3"], &[]),
            (&["r1", "r2"], &["2 of 2 voters are needed"]),
            (&["r1", "r2", "r3", "r4"], &["4 voters survive no more losses than 3"]),
        ] {
            let members = regions
                .iter()
                .zip(1..)
                .map(|(region, id)| Voter { region: region.parse().expect("a name"), ..voter(id) });
            let advice = advice(&Voters::stable(MeshId(1), 1, members.collect()));
            assert_eq!(advice.len(), expected.len(), "{regions:?}: {advice:?}");
            for (said, expected) in advice.iter().zip(expected) {
                assert!(said.starts_with(expected), "{said}");
            }
        }
    }

    #[test]
    fn nobody_is_no_quorum() {
        assert!(!voters(&[], &[]).quorum(&BTreeSet::new()));
        assert!(!voters(&[1], &[]).quorum(&BTreeSet::new()));
    }
}
