//! What goes from agent to agent. Versioned by [`crate::codec`]; sender and mesh are the link's business.

mod ballot;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::ballot::*;
use crate::model::{
    Abstention, AcceptorId, ActionFault, AgentId, AppId, Ballot, Belief, CredentialId, Done,
    Evidence, Lost, MeshId, Outcome, Phases, Region, RegisterId, StackId, TargetId, Token,
};
use crate::moment::Moment;

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
    /// One message between whoever looks at a database and the guard through which alone it is seen. Lost without harm.
    View(Box<ViewMessage>),
}

/// One message between whoever looks at a database and the guard through which alone it is seen (PROTOCOL.md B.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewMessage {
    /// In which mesh.
    pub mesh: MeshId,
    /// The database.
    pub target: TargetId,
    /// When it was asked, by the clock of whoever asked.
    pub asked: Moment,
    /// What it says.
    pub body: ViewBody,
}

/// What a message about a look says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewBody {
    /// How is it now?
    Asks,
    /// A guard: so it is, by a look that I took when I was asked.
    Shows(Box<Glance>),
}

/// What a guard's look found, for whoever looks through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// Where the look's time went.
    pub phases: Phases,
    /// What came of it.
    pub outcome: Outcome,
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
            | Message::View(_)
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
    /// Those that it does not get done.
    pub troubles: Vec<Trouble>,
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

/// A step that its executor does not get done, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The app.
    pub app: AppId,
    /// Of which epoch, attempt and step.
    pub token: Token,
    /// Under which claim.
    pub term: u32,
    /// Has it given the step up to whoever else can carry it out?
    pub gave_up: bool,
    /// What went wrong, one line for people.
    pub why: String,
}

impl Trouble {
    /// The most bytes of why: it is said once a second, to everybody.
    pub const WHY_MOST: usize = 200;

    /// Is it about the same step, under the same claim?
    pub fn is_of(&self, other: &Self) -> bool {
        (self.token, self.term) == (other.token, other.term)
    }
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
