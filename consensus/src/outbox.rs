//! The core's whole edge: what may happen to it, what it may want done, and the one ordered queue between.
//!
//! The driver performs outputs in order and needs no rules of its own: a [`Output::Save`] stands before every
//! [`Output::Send`] that depends on it, and must be durable before the next output is looked at.

mod note;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::message::Message;
use crate::model::{
    Action, AgentId, AppId, Database, Definition, Endpoint, Epoch, Found, Inspected, Inspection,
    Lost, Observation, Quarantined, Report, Sought, StackId, TargetId, Token, VotersChange,
    Watched,
};
use crate::moment::Moment;
use crate::saved::Entry;

pub use note::{Hold, Note, in_words};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// An agent, as its certificate names it, said something.
    Message(AgentId, Message),
    /// A link to an agent came up; it is reached at this address.
    Linked(AgentId, String),
    /// The last link to an agent went down.
    Unlinked(AgentId),
    /// A look ended. Every [`Output::Probe`] is answered at most once.
    Observation(Observation),
    /// An action ended. Every [`Output::Act`] is answered at most once.
    Report(Report),
    /// An inspection ended. Every [`Output::Inspect`] is answered at most once.
    Inspected(Inspected),
    /// A source was asked. Every [`Output::Seek`] is answered at most once.
    Found(Found),
    /// Making a database a replica again ended, and what there is to say of it. Every [`Output::Rejoin`] is answered at most once.
    Rejoined {
        /// Which database.
        target: TargetId,
        /// Of which request.
        token: Token,
        /// How long it took.
        took: Duration,
        /// What came of it.
        what: Result<String, String>,
        /// What that database alone had, where it was found out, whatever came of the rest.
        lost: Option<Lost>,
    },
    /// Somebody asks for something.
    Command(CommandId, Command),
    /// The other clocks, read at this very moment; once a second.
    Clocks {
        /// Wall clock, milliseconds since 1970.
        wall_ms: u64,
        /// Monotonic clock, which stands still in suspend.
        monotonic: Duration,
    },
    /// The time asked for by `wake` has come.
    Wake,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make this durable before anything after it is done.
    Save(Entry),
    /// Say this to an agent; it may be lost.
    Send(AgentId, Message),
    /// Look at a target, or at a canary.
    Probe(Look),
    /// Carry out an action.
    Act(Action),
    /// Look at what the outside's DNS says.
    Inspect(Inspection),
    /// Ask a source where endpoints are.
    Seek(Sought),
    /// Make a database on this host a replica again, however long it takes.
    Rejoin(Box<Rejoin>),
    /// Keep a database open to writes until then on this host's boot clock, whatever becomes of this process; shut it if that
    /// has passed.
    Lease(TargetId, Moment),
    /// Tell people.
    Note(Note),
    /// Answer a command.
    Answer(CommandId, Answer),
    /// An agent is reached at this address: link with it.
    Address(AgentId, String),
    /// The store must not vote again, which its log says by now, too ([`crate::saved::Saved::quarantined`]): keep it aside
    /// and make a fresh one under a new id at the next start, the sooner the better.
    Quarantine(Quarantined),
}

/// A look to be taken.
#[derive(Clone, Debug)]
pub struct Look {
    /// At what.
    pub watched: Watched,
    /// How.
    pub subject: Subject,
    /// How long it may take.
    pub limit: Duration,
}

/// What is looked at.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A web endpoint.
    Endpoint(Arc<Endpoint>),
    /// A database.
    Database(Arc<Database>),
}

/// A database on this agent's own host that was the primary, to be made a replica of the one that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejoin {
    /// Which one.
    pub target: TargetId,
    /// What its guard compares, durably: whoever is asked for a lower one does nothing.
    pub token: Token,
    /// Not to be begun after this (PROTOCOL.md rule E1).
    pub deadline: Moment,
    /// Where it is.
    pub database: Database,
    /// The agreed primary.
    pub primary: Database,
}

impl Rejoin {
    /// Where the agreed primary is, for people.
    pub fn primary_of(&self) -> String {
        format!("{}:{}", self.primary.address, self.primary.port)
    }
}

/// Matches an answer with its command; drawn by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// What a person asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make this the app's definition; all or nothing, and only while nothing is in progress.
    Apply {
        /// The definition.
        definition: Arc<Definition>,
        /// The revision it replaces, if the caller looked; refused if another is there by now.
        replaces: Option<u64>,
        /// Of a new app: the stack that is live now; the first if absent.
        active: Option<StackId>,
    },
    /// Move without loss; refused unless the destination is fit, taken back unless the old primary tells its last
    /// position.
    Switchover {
        /// The app.
        app: AppId,
        /// The stack to move to; the first other one that is fit if absent.
        to: Option<StackId>,
        /// Only if all of it has been well for so long, as the agent that is asked has seen it: a failback.
        well_for: Option<Duration>,
        /// Now, and not once lifetimes were shortened and answers of before have run out.
        at_once: bool,
        /// Who asks, for the record.
        by: String,
    },
    /// Move whatever the voters see; the destination must be fit all the same.
    Failover {
        /// The app.
        app: AppId,
        /// The stack to move to; the first other one that is fit if absent.
        to: Option<StackId>,
        /// Promote though more than the budget would be lost.
        accept_loss: bool,
        /// Who asks, for the record.
        by: String,
    },
    /// Of an app in mode `approve`: let the failover go ahead that waits for a person.
    Approve {
        /// The app.
        app: AppId,
        /// Who asks, for the record.
        by: String,
    },
    /// Take back what is in progress, if nothing was promoted or published yet.
    Abort {
        /// The app.
        app: AppId,
        /// Take back a promotion, too, whose stack holds no lease any more: what that wrote is given up.
        accept_loss: bool,
        /// Who asks, for the record.
        by: String,
    },
    /// Leave the app alone for a while, whatever the voters see; takes the place of an earlier freeze.
    Freeze {
        /// The app.
        app: AppId,
        /// For how long, by every voter's own clock.
        lasts: Duration,
        /// Why, for people.
        reason: String,
        /// Who asks, for the record.
        by: String,
    },
    /// Take a freeze off.
    Unfreeze {
        /// The app.
        app: AppId,
        /// Who asks, for the record.
        by: String,
    },
    /// Acknowledge what the mesh did by itself: nothing of it damps the app any more.
    Ack {
        /// The app.
        app: AppId,
        /// Who asks, for the record.
        by: String,
    },
    /// Change who votes; answered once the new set alone is in force, its version as the revision.
    Voters {
        /// What.
        change: VotersChange,
        /// Who asks, for the record.
        by: String,
    },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Agreed, under this epoch and revision; what follows is seen in the status.
    Agreed {
        /// The epoch.
        epoch: Epoch,
        /// The definition's revision.
        revision: u64,
    },
    /// Agreed, and begun once answers of before have run out: about so long after it was seen that none is given any more.
    Planned {
        /// The epoch it was planned in; the move is the next.
        epoch: Epoch,
        /// How long they are kept.
        runs_out: Duration,
    },
    /// What is asked for is so already.
    Unchanged,
    /// Not done, and why.
    Refused(String),
    /// It may or may not have been agreed; the status tells.
    Unknown(String),
}

/// The ordered queue of what is to be done.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Output>,
    changes: u64,
}

impl Outbox {
    /// The queue of an agent whose store has made so many durable changes.
    pub fn new(changes: u64) -> Self {
        Self { queue: VecDeque::new(), changes }
    }

    /// How many durable changes the store will have made, once everything queued is done: what may be told behind it.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Puts one thing behind the others.
    pub fn push(&mut self, output: Output) {
        if let Output::Save(entry) = &output {
            self.changes += u64::from(entry.counts());
        }
        self.queue.push_back(output);
    }

    /// Tells people.
    pub fn note(&mut self, note: Note) {
        self.push(Output::Note(note));
    }

    /// Says something to an agent.
    pub fn send(&mut self, to: &AgentId, message: Message) {
        self.push(Output::Send(to.clone(), message));
    }

    /// Puts a save behind what rests on it: what a mutant does.
    #[cfg(feature = "mutants")]
    pub fn queue_save(&mut self, entry: Option<Entry>) {
        if let Some(entry) = entry {
            self.push(Output::Save(entry));
        }
    }

    /// Takes the first thing to do.
    pub fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }
}

/// When a stage wants to be woken, and why: the reason shows in transcripts and when debugging a hang.
pub type Deadline = (Moment, &'static str);
