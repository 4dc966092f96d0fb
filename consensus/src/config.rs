//! What a node is told once, at its start.

use std::collections::BTreeSet;

use crate::model::{
    AcceptorId, AgentId, AppId, CredentialId, Endpoint, Region, TargetName, Voters,
};
#[cfg(feature = "mutants")]
pub use crate::mutant::Mutant;
use crate::value::Format;

/// Who this agent is, and with whom it agrees.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name, from its certificate.
    pub agent: AgentId,
    /// Its region, from its certificate.
    pub region: Region,
    /// Where others reach it, `host:port`.
    pub address: String,
    /// Who voted first, by `voters.toml`; later sets are agreed, and kept in the store.
    pub voters: Voters,
    /// The store it holds and the seed of its evidence key, whenever its certificate says voter. Whether it votes follows
    /// from the agreed voters: a store that they do not know stands by.
    pub ballots: Option<BallotStore>,
    /// Is it a voter by its certificate that holds no store it may use?
    pub quarantined: bool,
    /// The credentials it holds, so that steps go to whoever can carry them out.
    pub credentials: Vec<CredentialId>,
    /// What it watches to know whether it reaches the world at all; none, and it does not ask itself (PROTOCOL.md 0.1 m).
    pub canaries: Vec<Endpoint>,
    /// The databases on its host, by app and name, that it can close to writes whatever becomes of it: of others it is no
    /// guard, whoever names it. `None`: it can close any.
    pub doors: Option<BTreeSet<(AppId, TargetName)>>,
    /// The databases on its host, by app and name, that it can make replicas again. `None`: any.
    pub rejoins: Option<BTreeSet<(AppId, TargetName)>>,
    /// The formats of values that it reads and writes: those of its version.
    pub format: Format,
    /// One safety rule to break, in test builds.
    #[cfg(feature = "mutants")]
    pub mutant: Option<Mutant>,
}

/// What makes an agent a voter.
#[derive(Clone)]
pub struct BallotStore {
    /// The store's id.
    pub acceptor: AcceptorId,
    /// The secret half of its evidence key: an ed25519 seed.
    pub seed: [u8; 32],
}

impl std::fmt::Debug for BallotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BallotStore({})", self.acceptor)
    }
}

impl Config {
    /// An agent that only watches and holds no credential: the rest is added to it.
    pub fn observer(agent: AgentId, region: Region, address: String, voters: Voters) -> Self {
        Self {
            agent,
            region,
            address,
            voters,
            ballots: None,
            quarantined: false,
            credentials: Vec::new(),
            canaries: Vec::new(),
            doors: Some(BTreeSet::new()),
            rejoins: Some(BTreeSet::new()),
            format: Format::NOW,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Can it close this database?
    pub fn has_door(&self, app: &AppId, database: &TargetName) -> bool {
        self.doors.as_ref().is_none_or(|doors| doors.contains(&(app.clone(), database.clone())))
    }

    /// Can it make this database a replica again?
    pub fn rejoins(&self, app: &AppId, database: &TargetName) -> bool {
        self.rejoins.as_ref().is_none_or(|it| it.contains(&(app.clone(), database.clone())))
    }

    /// Is this safety rule broken on purpose? Never, in a build without mutants.
    #[cfg(feature = "mutants")]
    pub fn broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
