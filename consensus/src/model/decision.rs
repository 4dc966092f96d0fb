//! What the voters agreed, and what follows from it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    AgentId, Certificate, Damping, Definition, Freeze, Left, Lifetimes, StackId, SyncSet,
    TargetName,
};

/// Counts decisions of one app; only grows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The one after this.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One attempt to write one register. Ordered by round, then by who tries (PROTOCOL.md A.3).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot {
    /// Which round.
    pub round: u64,
    /// Which run of which process: drawn at random at every start (trap 16).
    pub instance: u64,
}

impl Ballot {
    /// Lower than every real ballot.
    pub const ZERO: Self = Self { round: 0, instance: 0 };
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04x}", self.round, self.instance & 0xffff)
    }
}

/// What every outside request carries and the outside compares: epoch, attempt, step; strictly growing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Token(pub u64);

impl Token {
    /// The token of a step of an attempt of an epoch (PROTOCOL.md D.1).
    pub const fn new(epoch: Epoch, attempt: u8, step: u8) -> Self {
        Self((epoch.0 as u64) << 16 | (attempt as u64) << 8 | step as u64)
    }

    /// The epoch within.
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 16) as u32)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0 >> 16, self.0 >> 8 & 0xff, self.0 & 0xff)
    }
}

/// Was a value that a quorum of promises reported chosen?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// A quorum reported it: it was.
    Chosen,
    /// It may have been, with voters that did not answer.
    Possible,
    /// It cannot have been.
    Unchosen,
}

/// One write, told apart from every other, so that its proposer finds it again after an unknown outcome (rule R6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OperationId {
    /// The run of the process that asked for it.
    pub instance: u64,
    /// Counted by that run.
    pub number: u64,
}

/// A write that became part of a value, and as what: whoever asks again is told what was agreed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operation {
    /// Which write.
    pub id: OperationId,
    /// The epoch of the value it first was part of.
    pub epoch: Epoch,
    /// And its revision.
    pub revision: u64,
}

/// How many operations a value remembers (rule R6).
pub const OPERATION_MEMORY: usize = 16;

/// The value of an app's register: everything the mesh agrees on about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppState {
    /// The app as defined.
    pub definition: Arc<Definition>,
    /// Grows by one with every change of the definition; evidence names it.
    pub revision: u64,
    /// The last decision's epoch.
    pub epoch: Epoch,
    /// The stack that the DNS answers name.
    pub active: StackId,
    /// How far the last decision has been carried out.
    pub phase: Phase,
    /// The last decision.
    pub decision: Decision,
    /// The revision at which the guards of the app's databases last changed: nothing is promoted before the active stack's
    /// guards know it (PROTOCOL.md 0.1 g).
    pub guards_since: u64,
    /// What the mesh did by itself lately.
    pub damping: Damping,
    /// A person's word to leave it alone; may have run out by now.
    pub freeze: Option<Freeze>,
    /// Who carries out the current phase.
    pub claim: Option<Claim>,
    /// The last taking back ended before it had opened every database of the active stack: what its fence closed may be
    /// closed still, and is opened once it is found so.
    pub closed: bool,
    /// Where followed endpoints were before they were last followed, for whoever takes that back.
    #[serde(default)]
    pub left: Vec<Left>,
    /// For how long answers may be kept.
    #[serde(default)]
    pub lifetimes: Lifetimes,
    /// The replicas on which a promotion without loss may rely.
    #[serde(default)]
    pub sync: SyncSet,
    /// The last writes, oldest first, at most [`OPERATION_MEMORY`].
    pub operations: Vec<Operation>,
    /// SHA-256 of the value this one was derived from; zero for the first.
    pub previous: [u8; 32],
}

/// How far a decision has been carried out (PROTOCOL.md D.2). The number is the step within the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing in progress.
    Idle,
    /// The old stack's databases are being closed; can still be taken back.
    Fencing,
    /// The fence is being taken back, under a new epoch.
    Aborting,
    /// The standby's databases are being promoted: no way back.
    Promoting,
    /// DNS is being moved.
    Publishing,
    /// Waiting for the new stack to be seen up.
    Verifying,
}

impl Phase {
    /// The step number within a token; grows along every path through an epoch.
    pub const fn step(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Fencing => 1,
            Self::Aborting => 2,
            Self::Promoting => 3,
            Self::Publishing => 4,
            Self::Verifying => 5,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::Fencing => "fencing",
            Self::Aborting => "aborting",
            Self::Promoting => "promoting",
            Self::Publishing => "publishing",
            Self::Verifying => "verifying",
        })
    }
}

/// What the voters agreed to do, and everything that doing it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Its epoch.
    pub epoch: Epoch,
    /// What sort of decision.
    pub kind: DecisionKind,
    /// The stack that was active.
    pub from: StackId,
    /// The stack that is to be.
    pub to: StackId,
    /// The agent that proposed it.
    pub by: AgentId,
    /// One line for people.
    pub reason: String,
    /// The proposer's wall clock, milliseconds since 1970; for people, never compared.
    pub wall_ms: u64,
    /// Which attempt at promotion.
    pub attempt: u8,
    /// The databases to promote, fixed before anything is sent.
    pub candidates: Vec<Candidate>,
    /// What is known of the old databases' fence, by name of the database.
    pub fence: BTreeMap<TargetName, FenceRecord>,
    /// The bytes of log that the promotion is known to leave behind.
    pub loss_bytes: Option<u64>,
    /// For how long those had been written, where that is known.
    pub loss_time: Option<Duration>,
    /// What the voters saw before the decision.
    pub first: Option<Certificate>,
    /// What they saw before the point of no return.
    pub second: Option<Certificate>,
}

/// What a decision really lost of one database: what the old primary turned out to hold alone, once it was back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Transactions that had committed.
    pub transactions: u64,
    /// The log they take.
    pub bytes: u64,
    /// From the first to the last of them, by the old primary's clock.
    pub time: Duration,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, bytes, time } = self;
        match transactions {
            0 => f.write_str("nothing"),
            1 => write!(f, "1 transaction ({bytes} bytes)"),
            _ => write!(f, "{transactions} transactions ({bytes} bytes, of {} s)", time.as_secs()),
        }
    }
}

/// What sort of decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionKind {
    /// The app's definition was applied; its records are published as they now are.
    Apply,
    /// A quorum saw the active stack down.
    Failover,
    /// A quorum saw the active stack down, and an operator let it go ahead.
    Approved,
    /// An operator moved it, without loss.
    Switchover,
    /// An operator moved it, whatever the voters see.
    Forced,
    /// The decision before was taken back.
    Abort,
    /// A quorum found followed endpoints elsewhere.
    Follow,
}

impl fmt::Display for DecisionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Apply => "apply",
            Self::Failover => "failover",
            Self::Approved => "approved failover",
            Self::Switchover => "switchover",
            Self::Forced => "forced failover",
            Self::Abort => "abort",
            Self::Follow => "follow",
        })
    }
}

/// A database to promote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The database, of the stack that is to be active.
    pub name: TargetName,
    /// The history it must belong to.
    pub system: u64,
    /// The timeline it is on before promotion.
    pub timeline: u32,
    /// The least it must have received: what was seen of it when it was chosen.
    pub position: u64,
}

/// What is known of an old database's fence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRecord {
    /// Is it proven that it takes no writes? Never without a guard.
    pub proven: bool,
    /// One line for people.
    pub text: String,
    /// Its last position, where it could be asked after the fence.
    pub position: Option<u64>,
}

/// Who carries out the current phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The executor.
    pub agent: AgentId,
    /// The run of its process.
    pub instance: u64,
    /// Grows with every claim of an epoch.
    pub term: u32,
}
