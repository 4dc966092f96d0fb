//! The register protocol's own messages (PROTOCOL.md A.3): values, ballots, and why an acceptor refuses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{AcceptorId, AgentId, Ballot, MeshId, RegisterId};

/// The most bytes one register value may have: a definition, two certificates of nine voters, and room.
pub const VALUE_LIMIT: usize = 192 * 1024;

/// An encoded register value. The register itself never looks inside.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(Arc<[u8]>);

impl Value {
    /// Takes encoded bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The encoded bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the bytes.
    pub fn hash(&self) -> [u8; 32] {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.0);
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {VALUE_LIMIT} bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
                match bytes.len() <= VALUE_LIMIT {
                    true => Ok(Value(bytes.into())),
                    false => Err(E::invalid_length(bytes.len(), &self)),
                }
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// A value and the ballot it was accepted at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Accepted {
    /// The ballot.
    pub ballot: Ballot,
    /// The value.
    pub value: Value,
}

/// One message of the register protocol (PROTOCOL.md A.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BallotMessage {
    /// In which mesh.
    pub mesh: MeshId,
    /// Under which set of voters.
    pub voters: u64,
    /// The register.
    pub register: RegisterId,
    /// The ballot it belongs to.
    pub ballot: Ballot,
    /// How many durable changes the sender's store ever made; zero without one.
    pub changes: u64,
    /// What it says.
    pub body: BallotBody,
}

/// What a message of the register protocol says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BallotBody {
    /// Promise me to accept nothing lower.
    Prepare {
        /// And state what you believe, for this ballot.
        evidence: bool,
    },
    /// I do, and this is what I accepted before.
    Promise {
        /// The store that promises.
        acceptor: AcceptorId,
        /// What it accepted last.
        accepted: Option<Accepted>,
    },
    /// Accept this.
    Accept {
        /// What the value was derived from.
        predecessor: Option<Accepted>,
        /// What every store of the promising quorum had accepted last ([`Ballot::ZERO`]: nothing). From these follows, for
        /// proposer and acceptor alike, whether the predecessor was chosen.
        promises: Vec<(AcceptorId, Ballot)>,
        /// The value.
        value: Value,
    },
    /// I have, durably.
    Accepted {
        /// The store.
        acceptor: AcceptorId,
    },
    /// I promised a higher one.
    Nack {
        /// The store.
        acceptor: AcceptorId,
        /// What it promised.
        promised: Ballot,
    },
    /// I will not, though I could.
    Refuse {
        /// The store.
        acceptor: AcceptorId,
        /// Why.
        why: Refusal,
    },
    /// What did you accept last? Writes nothing.
    Observe,
    /// This.
    Observed {
        /// The store.
        acceptor: AcceptorId,
        /// What it accepted last.
        accepted: Option<Accepted>,
    },
    /// Which registers do you know? Writes nothing.
    List,
    /// These.
    Listed {
        /// The store.
        acceptor: AcceptorId,
        /// Every register it ever promised or accepted anything in.
        registers: Vec<RegisterId>,
    },
}

/// Why an acceptor will not accept, though no higher promise stands in the way. Always safe: the same as a lost message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The value is not one, or not one that follows from its predecessor.
    Malformed(String),
    /// The evidence does not show what the value needs.
    Evidence(String),
    /// Those who only watch, as far as I hear them, speak against it.
    Contested(String),
    /// My own evidence for this ballot is missing or older than five seconds.
    StaleEvidence,
    /// I see the stack up, just now.
    SeenUp,
    /// The last automatic decision is too recent.
    Cooldown(Duration),
    /// There were three automatic decisions within a day, and nobody has acknowledged them.
    Flapping,
    /// Too many other apps are being moved, or were just now.
    Budget {
        /// How many.
        moving: usize,
        /// How many may be at once.
        most: usize,
    },
    /// Another app has just begun to be moved: not before so long.
    Pace(Duration),
    /// A person asked to leave it alone.
    Frozen {
        /// Who.
        by: String,
        /// For how long still.
        left: Duration,
    },
    /// Two values at one ballot: a bug, and an alarm (rule R2).
    TwoValues,
    /// I follow another set of voters.
    Voters(u64),
    /// A lease of the old stack may still run for so long.
    Lease(Duration),
    /// This guard has not said that it knows who could be promoted.
    Unacknowledged(AgentId),
    /// The joint set is too young to be left: leases given before it may still run (PROTOCOL.md 0.1 a).
    Young(Duration),
    /// This guard was never granted a lease by me, so nothing proves that it has a door.
    NeverHeld(AgentId),
    /// What a source is said to tell is not what I find there, or does not answer me.
    Unfound(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "not a successor: {why}"),
            Self::Evidence(why) => write!(f, "evidence: {why}"),
            Self::Contested(why) => write!(f, "by those who watch: {why}"),
            Self::StaleEvidence => f.write_str("own evidence missing or older than 5 s"),
            Self::SeenUp => f.write_str("seen up just now"),
            Self::Cooldown(left) => write!(f, "cooling down for {} more", roughly(*left)),
            Self::Flapping => f.write_str(
                "held as flapping after three failovers within a day, until `quorate ack`",
            ),
            Self::Budget { moving, most } => write!(
                f,
                "{moving} other apps are being moved, or were just now, and {most} at once are enough"
            ),
            Self::Pace(left) => {
                write!(f, "another app was begun just now, {} ms too soon", left.as_millis())
            }
            Self::Frozen { by, left } => write!(f, "frozen by {by} for {} more", roughly(*left)),
            Self::TwoValues => f.write_str("two values at one ballot"),
            Self::Voters(version) => write!(f, "voters are at version {version}"),
            Self::Lease(_) => f.write_str("a lease of the old stack may still run"),
            Self::Unacknowledged(guard) => {
                write!(f, "{guard} has not said that it knows who could be promoted")
            }
            Self::NeverHeld(guard) => {
                write!(f, "{guard} never held a lease, so nothing proves that it has a door")
            }
            Self::Unfound(what) => f.write_str(what),
            Self::Young(left) => {
                write!(f, "both sets of voters stay for {} s more", left.as_secs() + 1)
            }
        }
    }
}

/// In minutes, or hours: whoever says it again when it changes should not do so every second.
fn roughly(left: Duration) -> String {
    match left.as_secs() {
        0..60 => "less than a minute".into(),
        seconds @ 60..7_200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3_600)),
    }
}
