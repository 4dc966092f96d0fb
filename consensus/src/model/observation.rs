//! What one look found, and what one agent makes of many.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{TargetId, TargetName};
use crate::moment::Moment;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watched {
    /// A target of an app.
    Target(TargetId),
    /// One of this agent's own canaries: is it me who is cut off?
    Canary(TargetName),
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(target) => write!(f, "{target}"),
            Self::Canary(name) => write!(f, "canary {name}"),
        }
    }
}

/// One look at one thing, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What was looked at.
    pub watched: Watched,
    /// When the look began.
    pub began: Moment,
    /// How long it took.
    pub took: Duration,
    /// Where the time went.
    pub phases: Phases,
    /// What came of it.
    pub outcome: Outcome,
}

/// Where the time of one look went; a phase that was not reached is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Looking the name up.
    pub resolve: Option<Duration>,
    /// Connecting.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the request's last byte to the answer's first; for a database, log-in and query.
    pub process: Option<Duration>,
    /// From the answer's first byte to its last.
    pub transfer: Option<Duration>,
}

/// What came of one look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The target did what it should.
    Up(Option<DatabaseSight>),
    /// The target did not.
    Failed(Fault),
    /// The look failed for a cause of our own (out of sockets, no route): it counts neither way.
    Invalid(Fault),
}

/// What is wrong, typed for the rules and worded for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What sort of thing went wrong.
    pub kind: FaultKind,
    /// One line, lower case, with the values; at most [`Fault::LIMIT`] bytes.
    pub text: String,
}

impl Fault {
    /// The most bytes a fault's text keeps.
    pub const LIMIT: usize = 200;

    /// A fault of this kind; a text beyond the limit is cut at a character.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > Self::LIMIT {
            let end = (0..=Self::LIMIT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
        }
        Self { kind, text }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What sort of thing went wrong in a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The name could not be looked up.
    Resolve,
    /// Nothing listens there.
    Refused,
    /// The limit passed.
    Timeout,
    /// The connection broke.
    Reset,
    /// No route, no permission, out of sockets: our own trouble.
    Local,
    /// The TLS handshake failed.
    Tls,
    /// The certificate is not valid for the name, now.
    Certificate,
    /// The answer is not of the protocol, or beyond its limits.
    Protocol,
    /// An HTTP status that was not expected.
    Status,
    /// The body lacks what was expected.
    Body,
    /// The credential was refused, or its rights do not suffice.
    Credential,
    /// The database answers, and says that it cannot serve (too many connections, starting up, shutting down).
    Unready,
    /// No credential of that name is held here.
    NoCredential,
}

/// What a database said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSight {
    /// Does it replay another's log?
    pub replica: bool,
    /// Does it refuse writes by default?
    pub read_only: bool,
    /// Which history it belongs to (PostgreSQL's system identifier): replicas share their primary's.
    pub system: u64,
    /// The timeline it is on.
    pub timeline: u32,
    /// The log position, in bytes: of a primary, flushed; of a replica, received.
    pub position: u64,
    /// Of a replica: the position replayed.
    pub replayed: u64,
    /// Of a replica: is it connected to its primary?
    pub streaming: bool,
    /// Of a replica: how long ago it last heard from its primary, by the database's own clock; in a belief, as of now.
    pub heard: Option<Duration>,
    /// Of a replica: how far behind its replay is in time, where known.
    pub lag: Option<Duration>,
    /// Of a replica: the name under which its primary knows it.
    pub upstream_name: Option<String>,
    /// Of a primary: the names of the replicas without whose word it acknowledges no commit, and what marks on which sync set
    /// that rests (`Waits`); at most 16.
    pub synchronous: Vec<String>,
    /// Of a primary: the names of those who receive from it now, each borne by one of them alone; at most 16.
    #[serde(default)]
    pub receivers: Vec<String>,
    /// What holds log for replicas and is about to lose it, or to fill the disk: its name, and what is wrong; at most 8.
    #[serde(default)]
    pub slots_at_risk: Vec<String>,
}

/// What one agent thinks of one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belief {
    /// The target.
    pub target: TargetId,
    /// The state that votes: fast to clear (PROTOCOL.md rule 8).
    pub health: Health,
    /// The state that qualifies a standby: slow to rise.
    pub qualified: bool,
    /// Did it turn from up to down and back so often lately that it does not qualify, however well it looks?
    pub flapping: bool,
    /// Valid failures since the last success.
    pub failures: u16,
    /// How long since the last success, if there was one.
    pub quiet: Option<Duration>,
    /// The last failure, while there are any.
    pub fault: Option<Fault>,
    /// How long the last look took.
    pub took: Option<Duration>,
    /// What the database last said of itself, and how long ago.
    pub database: Option<(DatabaseSight, Duration)>,
    /// Of a replica that was heard: has what it received advanced, or was its primary heard, within the window?
    pub advancing: bool,
    /// Was it ever reached from here? Without a way to it, silence says nothing (PROTOCOL.md 0.1 l).
    pub reached: bool,
    /// Of a database with a guard: what this agent hears of that guard on its own link, never through others.
    pub guard: Option<GuardSight>,
}

/// What an agent knows of a database's guard, first hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardSight {
    /// How long ago the guard was heard.
    pub heard: Duration,
    /// What the guard itself last said of its database.
    pub health: Health,
    /// May the database still take writes: does the guard say that its door is open, or may a lease of it still run?
    pub open: bool,
    /// Is this the stack that serves, and did the guard ever hold a lease by this agent's grant, or say so? Then the database
    /// takes writes by a lease only.
    pub lived: bool,
}

impl GuardSight {
    /// What stands for a guard that was never heard.
    pub const NEVER: Duration = Duration::from_secs(3600);
}

/// What an agent thinks of a target's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// The last look succeeded, and is recent: a veto.
    Up,
    /// Neither a vote for nor against.
    Degraded,
    /// No success for a whole window, and enough failures in it: a vote.
    Down,
    /// Not looked at long enough.
    Unknown,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Unknown => "unknown",
        })
    }
}

/// Why an agent's word does not count just now (PROTOCOL.md B.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Abstention {
    /// Not running long enough to have a full window of looks (S5).
    Young,
    /// No majority of voters heard within three seconds (S1).
    Isolated,
    /// Too few of its canaries answer: it is the agent that is cut off, not the world that is dead (S2).
    CutOff,
    /// Most of what it watches failed at once, and not all its canaries vouch for it (S3).
    MassFailure,
    /// The process was not run when it should have been (S4).
    Stalled,
    /// A clock jumped, or the machine slept (S4).
    ClockJump,
    /// Its store of ballots is damaged or missing (S6).
    Quarantined,
    /// It is late, or not answered, so often that its looks say more about itself (S7).
    Unwell,
    /// Its store is whole, and none of the voters'.
    StandingBy,
    /// It stores no ballots.
    Observer,
}

impl fmt::Display for Abstention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Young => "started too recently",
            Self::Isolated => "hears no majority of voters",
            Self::CutOff => "reaches too few of its canaries",
            Self::MassFailure => "saw most of what it watches fail at once",
            Self::Stalled => "was not scheduled in time",
            Self::ClockJump => "its clock jumped",
            Self::Quarantined => "its store must not vote again",
            Self::StandingBy => "stands by to become a voter",
            Self::Unwell => "is unwell itself: late, or not answered",
            Self::Observer => "is an observer",
        })
    }
}
