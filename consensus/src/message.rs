//! What goes from agent to agent. Versioned by [`crate::codec`]; sender and mesh are the link's business.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{
    Abstention, AcceptorId, ActionFault, AgentId, AppId, Ballot, Belief, CredentialId, Done,
    Evidence, Lost, MeshId, Region, RegisterId, StackId, TargetId, Token,
};
use crate::moment::Moment;

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

/// What one agent says to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// foca's own bytes: who is a member. Lost without harm, so it may travel as a datagram.
    Gossip(Vec<u8>),
    /// I run, and this is how far I know. Lost without harm.
    Pulse(Arc<Pulse>),
    /// I heard your pulse.
    Echo {
        /// The pulse's own time, so that its sender learns the round trip.
        sent: Moment,
        /// The run that sent the pulse: an answer to an older run says nothing to a newer.
        instance: u64,
        /// The most changes of your store that I ever heard of: more than it holds, and it was rolled back.
        seen: u64,
    },
    /// What I believe of every target; replaces what I said before.
    Beliefs(Arc<Beliefs>),
    /// One message of the register protocol.
    Ballot(BallotMessage),
    /// What I state for your ballot.
    Evidence(Box<Evidence>),
    /// What was chosen.
    Chosen {
        /// In which register.
        register: RegisterId,
        /// Ballot and value.
        accepted: Accepted,
    },
    /// One message about who may write.
    Lease(LeaseMessage),
    /// A letter of one voter to another, by way of a third that hears both.
    Relayed(Box<Relayed>),
    /// A guard to everybody: what its database alone had, that was the primary. Lost without harm: its own history holds it.
    Lost {
        /// In which mesh.
        mesh: MeshId,
        /// The old primary.
        target: TargetId,
        /// The token under which it was brought back.
        token: Token,
        /// What it alone had.
        lost: Lost,
    },
    /// One message between whoever carries a step out and the guard of a database.
    Guard(Box<GuardMessage>),
}

/// One message between whoever carries a step out and the guard of a database (PROTOCOL.md D.4, the guard's requests).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardMessage {
    /// In which mesh.
    pub mesh: MeshId,
    /// The database.
    pub target: TargetId,
    /// Of which epoch, attempt and step.
    pub token: Token,
    /// Under which claim.
    pub term: u32,
    /// Which one of the step's requests: what is to be done follows from what was agreed, and is not said.
    pub item: u16,
    /// What it says.
    pub body: GuardBody,
}

/// What a message between an executor and a guard says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardBody {
    /// An executor: carry this out.
    Asks {
        /// What it goes by: its own claim among the rest.
        agreed: Accepted,
        /// For how long it may still be begun, by when it was sent (rule E1).
        left: Duration,
    },
    /// A guard: this is what came of it, now or when it was asked before.
    Answers {
        /// How long it took.
        took: Duration,
        /// What came of it.
        result: Result<Done, ActionFault>,
    },
    /// A guard: I cannot, and compared nothing; whoever can may do it from afar.
    Declines(String),
}

/// One message about who may write (PROTOCOL.md C.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseMessage {
    /// In which mesh.
    pub mesh: MeshId,
    /// Whose databases.
    pub app: AppId,
    /// Of which stack.
    pub stack: StackId,
    /// The run of the guard's process: numbers are counted anew by every run.
    pub instance: u64,
    /// Which of its renewals this is, or answers.
    pub number: u64,
    /// What it says.
    pub body: LeaseBody,
}

/// What a message about who may write says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseBody {
    /// A guard to every voter: let me hold this open.
    Renew {
        /// The revision of the definition whose candidates it is bound by.
        revision: u64,
        /// How long a lease it counts from this.
        lease: Duration,
    },
    /// A voter to a guard: as far as I am concerned, from when you sent that.
    Granted {
        /// The store that grants.
        acceptor: AcceptorId,
        /// The set of voters it grants under.
        voters: u64,
    },
    /// A guard to everybody: it is shut, and I ask for nothing any more.
    Released {
        /// The revision of the definition that it knows. Nobody's word keeps its door open any more, so that it will never be
        /// bound by older candidates.
        revision: u64,
    },
    /// A guard to every candidate's guard: no majority answers; will you stay shut meanwhile?
    Ask {
        /// How long a lease it counts from this.
        lease: Duration,
    },
    /// A candidate's guard: I will, from now on, for as long as a voter would keep others out.
    Vouched,
}

/// A letter that goes through one other agent, because the direct way is cut (PROTOCOL.md A.5). Signed by its writer, so
/// that who carries it can lose or repeat it, as any network can, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed {
    /// The voter that wrote it.
    pub from: AgentId,
    /// The voter it is for.
    pub to: AgentId,
    /// What it says.
    pub letter: Letter,
    /// ed25519 by the writer's evidence key.
    pub signature: Vec<u8>,
}

/// What may be relayed: what agreement needs, and the beliefs that call for it. Never a relayed letter again, so that there is one hop and no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Letter {
    /// One message of the register protocol.
    Ballot(BallotMessage),
    /// Evidence for a ballot.
    Evidence(Box<Evidence>),
    /// What is believed.
    Beliefs(Arc<Beliefs>),
    /// What was chosen.
    Chosen {
        /// In which register.
        register: RegisterId,
        /// Ballot and value.
        accepted: Accepted,
    },
}

impl Letter {
    /// The message to be relayed, if it is of a sort that may be.
    pub fn of(message: &Message) -> Option<Self> {
        match message {
            Message::Ballot(message) => Some(Self::Ballot(message.clone())),
            Message::Evidence(evidence) => Some(Self::Evidence(evidence.clone())),
            Message::Chosen { register, accepted } => {
                Some(Self::Chosen { register: register.clone(), accepted: accepted.clone() })
            }
            Message::Beliefs(beliefs) => Some(Self::Beliefs(beliefs.clone())),
            Message::Gossip(_)
            | Message::Pulse(_)
            | Message::Echo { .. }
            | Message::Lease(_)
            | Message::Lost { .. }
            | Message::Guard(_)
            | Message::Relayed(_) => None,
        }
    }

    /// The message it was.
    pub fn open(self) -> Message {
        match self {
            Self::Ballot(message) => Message::Ballot(message),
            Self::Evidence(evidence) => Message::Evidence(evidence),
            Self::Beliefs(beliefs) => Message::Beliefs(beliefs),
            Self::Chosen { register, accepted } => Message::Chosen { register, accepted },
        }
    }
}

/// Sent to every known agent once a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// The sender's clock; comes back in the echo.
    pub sent: Moment,
    /// Which run of the sender's process this is.
    pub instance: u64,
    /// The region of its certificate.
    pub region: Region,
    /// The highest ballot it knows to be chosen, in every register.
    pub chosen: Vec<(RegisterId, Ballot)>,
    /// The steps it is carrying out, so that nobody takes over.
    pub working: Vec<(AppId, Token)>,
    /// The version of the voters it goes by.
    pub voters: u64,
    /// Is it carrying out a change of voters?
    pub changing: bool,
    /// The store of ballots it holds, whether the voters know it or not.
    pub store: Option<StoreHello>,
    /// The credentials it holds.
    pub credentials: Vec<CredentialId>,
    /// Of a voter: the leases it granted that may still run.
    pub granted: Vec<LeaseSaid>,
    /// Of a guard: what it holds open.
    pub open: Vec<LeaseSaid>,
    /// The voters it hears and that answer it: to them it can pass letters on.
    pub hears: Vec<AgentId>,
}

/// A lease, as whoever granted it or holds it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSaid {
    /// The app.
    pub app: AppId,
    /// The stack.
    pub stack: StackId,
    /// The guard.
    pub guard: AgentId,
    /// How much longer it may run, by the speaker's clock.
    pub left: Duration,
}

/// A store of ballots as its agent presents it: one that is no voter's stands by to become one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHello {
    /// Its id.
    pub acceptor: AcceptorId,
    /// The public half of its evidence key.
    pub key: [u8; 32],
    /// How many durable changes it ever made.
    pub changes: u64,
}

/// What one agent believes of every target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beliefs {
    /// The run of the sender's process.
    pub instance: u64,
    /// Grows with every report of that run.
    pub number: u64,
    /// Why its word does not count, if it does not.
    pub abstention: Option<Abstention>,
    /// Its beliefs.
    pub beliefs: Vec<Belief>,
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

/// Who an agent is, as its link knows it. Kept for membership: foca's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name of its certificate: what makes it one member.
    pub agent: AgentId,
    /// Where it is reached, `host:port`.
    pub address: String,
    /// Grows with every start.
    pub incarnation: u64,
}
