//! The core's whole edge: what may happen to it, what it may want done, and the one ordered queue between.
//!
//! The driver performs outputs in order and needs no rules of its own: a [`Output::Save`] stands before every
//! [`Output::Send`] that depends on it, and must be durable before the next output is looked at.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::message::{Message, Refusal};
use crate::model::{
    Abstention, Action, AgentId, AppId, Ballot, Database, DecisionKind, Definition, Endpoint,
    Epoch, Found, Health, Inspected, Inspection, Lost, Observation, Phase, Quarantined, Report,
    Sought, StackId, TargetId, TargetName, Token, Verdict, VotersChange, Warning, WarningKind,
    Watched, kept,
};
use crate::moment::Moment;
use crate::saved::Entry;

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

/// Something people may want to know: log line, event, metric and test transcript at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", content = "detail", rename_all = "kebab-case")]
pub enum Note {
    /// A belief changed.
    Judges {
        /// Of what.
        target: TargetId,
        /// To what.
        health: Health,
        /// The last fault, if any.
        why: Option<String>,
    },
    /// This agent's word stopped counting, or counts again.
    Abstains(Option<Abstention>),
    /// Another agent is heard directly.
    Hears(AgentId),
    /// Another agent has not been heard for three seconds.
    Misses(AgentId),
    /// The verdict on a stack, as far as gossip tells, changed.
    Suspects {
        /// The app.
        app: AppId,
        /// The stack.
        stack: StackId,
        /// The verdict.
        verdict: Verdict,
        /// How many voters believe it down.
        down: usize,
        /// Of how many.
        voters: usize,
    },
    /// Why nothing happens about an app whose active stack is not well.
    Holds {
        /// The app.
        app: AppId,
        /// Why.
        why: String,
    },
    /// An attempt to write begins.
    Proposes {
        /// The app.
        app: AppId,
        /// At which ballot.
        ballot: Ballot,
        /// To what end.
        what: String,
    },
    /// An attempt to write ended without success.
    GivesUp {
        /// The app.
        app: AppId,
        /// At which ballot.
        ballot: Ballot,
        /// Why.
        why: String,
    },
    /// A value was chosen.
    Learns {
        /// The app.
        app: AppId,
        /// At which ballot.
        ballot: Ballot,
        /// Its epoch.
        epoch: Epoch,
        /// What sort of decision.
        kind: DecisionKind,
        /// How far carried out.
        phase: Phase,
        /// Which stack the answers name.
        active: StackId,
        /// Who carries it out.
        executor: Option<AgentId>,
        /// The decision's reason.
        reason: String,
    },
    /// An app was frozen.
    Frozen {
        /// The app.
        app: AppId,
        /// By whom.
        by: String,
        /// For how long.
        lasts: Duration,
        /// Why.
        reason: String,
    },
    /// A freeze was taken off.
    Thawed {
        /// Of which app.
        app: AppId,
    },
    /// For how long answers of an app may be kept was agreed anew.
    Lifetimes {
        /// Of which app.
        app: AppId,
        /// How far they are shortened; 0, and they are as its definition says.
        shortened: u8,
        /// The stack that it is moved to once longer ones have run out.
        planned: Option<StackId>,
    },
    /// A person has acknowledged what the mesh did to an app.
    Acknowledged {
        /// Which app.
        app: AppId,
        /// Who.
        by: String,
    },
    /// An action is asked of the outside.
    Acts {
        /// The app.
        app: AppId,
        /// The token it carries.
        token: Token,
        /// What is done.
        what: String,
    },
    /// An action ended.
    Reports {
        /// The app.
        app: AppId,
        /// The token it carried.
        token: Token,
        /// How long it took.
        took: Duration,
        /// What came of it.
        what: Result<String, String>,
    },
    /// It was found out what a decision really lost.
    Loses {
        /// The old primary.
        target: TargetId,
        /// The token under which it was brought back.
        token: Token,
        /// What it alone had.
        lost: Lost,
    },
    /// Somebody has written over what was decided.
    Drifts {
        /// The app.
        app: AppId,
        /// The name whose records they are.
        name: String,
        /// What stands there, and what was decided.
        what: String,
    },
    /// A source tells of other places than before, or of none any more.
    Finds {
        /// The app.
        app: AppId,
        /// The stack.
        stack: StackId,
        /// Which of its followed endpoints.
        name: TargetName,
        /// Where they are, or why that is not known.
        what: Result<String, String>,
    },
    /// DNS hands out other endpoints of the active stack than before.
    HandsOut {
        /// The app.
        app: AppId,
        /// Its active stack.
        stack: StackId,
        /// The endpoints that are left out; none, and all are handed out.
        without: Vec<TargetName>,
    },
    /// This voter would not accept a value.
    Refuses {
        /// The app.
        app: AppId,
        /// At which ballot.
        ballot: Ballot,
        /// Why.
        why: Refusal,
    },
    /// This guard began or ceased to hold a stack's databases open.
    Guards {
        /// The app.
        app: AppId,
        /// The stack.
        stack: StackId,
        /// By what, or why no more.
        how: Hold,
    },
    /// Something is not as it should be with a database or with records, though nothing has failed yet; told by whoever drives the core,
    /// once it lasts.
    Warns(Warning),
    /// It is as it should be again.
    Rests {
        /// Which database, or `records`.
        target: TargetId,
        /// In what respect.
        kind: WarningKind,
    },
    /// Another set of voters is in force.
    Voters {
        /// Its version.
        version: u64,
        /// What is changing or was changed, and why.
        what: String,
    },
    /// How a change of voters comes on.
    Changing(String),
    /// This agent's store must not vote again.
    Quarantined(Quarantined),
    /// Something that cannot be, was.
    Alarm(String),
}

/// What a guard does with its databases' door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// It is open by a majority's lease.
    Leased,
    /// It is open by the word of every candidate's guard, no majority answering.
    Failsafe,
    /// Its lease ran out.
    Lapsed,
    /// It is shut because another stack may write, or none.
    Released,
}

impl fmt::Display for Note {
    /// Without its subject: whoever prints it puts the agent's name in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judges { target, health, why: None } => write!(f, "judges {target} {health}"),
            Self::Judges { target, health, why: Some(why) } => {
                write!(f, "judges {target} {health}: {why}")
            }
            Self::Abstains(Some(why)) => write!(f, "abstains: {why}"),
            Self::Abstains(None) => write!(f, "may vote"),
            Self::Hears(agent) => write!(f, "hears {agent}"),
            Self::Misses(agent) => write!(f, "misses {agent}"),
            Self::Suspects { app, stack, verdict, down, voters } => {
                let verdict = match verdict {
                    Verdict::Down => "down",
                    Verdict::Contested => "contested",
                    Verdict::Standing => "standing",
                };
                write!(
                    f,
                    "holds {app}/{stack} for {verdict}: {down} of {voters} voters see it down"
                )
            }
            Self::Holds { app, why } => write!(f, "leaves {app} alone: {why}"),
            Self::Proposes { app, ballot, what } => {
                write!(f, "proposes for {app} at {ballot}: {what}")
            }
            Self::GivesUp { app, ballot, why } => write!(f, "gives up {ballot} for {app}: {why}"),
            Self::Learns { app, ballot, epoch, kind, phase, active, executor, reason } => {
                write!(
                    f,
                    "learns {app} epoch {epoch} {phase} at {ballot}: {kind}, active {active}"
                )?;
                if let Some(executor) = executor {
                    write!(f, ", carried out by {executor}")?;
                }
                write!(f, " ({reason})")
            }
            Self::Frozen { app, by, lasts, reason } => {
                write!(f, "learns that {by} froze {app} for {}: {reason}", in_words(*lasts))
            }
            Self::Thawed { app } => write!(f, "learns that {app} is no longer frozen"),
            Self::Lifetimes { app, shortened, planned } => {
                match shortened {
                    0 => write!(f, "learns that answers of {app} are kept as defined")?,
                    _ => {
                        let most = kept(u32::MAX, *shortened);
                        write!(f, "learns that answers of {app} are kept for {most} s at most")?;
                    }
                }
                match planned {
                    Some(to) => write!(f, ", and a move to {to} is planned"),
                    None => Ok(()),
                }
            }
            Self::Acknowledged { app, by } => {
                write!(f, "learns that {by} acknowledged what was done for {app}")
            }
            Self::Acts { app, token, what } => write!(f, "acts for {app} with {token}: {what}"),
            Self::Reports { app, token, what: Ok(what), .. } => {
                write!(f, "is done for {app} with {token}: {what}")
            }
            Self::Reports { app, token, what: Err(what), .. } => {
                write!(f, "failed for {app} with {token}: {what}")
            }
            Self::Loses { target, lost, .. } => {
                write!(f, "learns what the old primary {target} alone had: {lost}")
            }
            Self::Drifts { app, name, what } => write!(f, "finds {name} of {app} changed: {what}"),
            Self::Finds { app, stack, name, what: Ok(what) } => {
                write!(f, "finds {name} of {app}/{stack} at {what}")
            }
            Self::Finds { app, stack, name, what: Err(why) } => {
                write!(f, "does not find {name} of {app}/{stack}: {why}")
            }
            Self::HandsOut { app, stack, without } => match without.as_slice() {
                [] => write!(f, "hands out all endpoints of {app}/{stack}"),
                without => {
                    let names: Vec<_> = without.iter().map(ToString::to_string).collect();
                    write!(f, "hands out {app}/{stack} without {}", names.join(", "))
                }
            },
            Self::Refuses { app, ballot, why } => write!(f, "refuses {ballot} for {app}: {why}"),
            Self::Guards { app, stack, how } => {
                let how = match how {
                    Hold::Leased => "holds open",
                    Hold::Failsafe => "holds open by the candidates' word",
                    Hold::Lapsed => "has no lease any more on",
                    Hold::Released => "has shut",
                };
                write!(f, "{how} {app}/{stack}")
            }
            Self::Voters { version, what } => write!(f, "goes by voters version {version}: {what}"),
            Self::Changing(what) => write!(f, "changes the voters: {what}"),
            Self::Quarantined(why) => write!(f, "does not vote again with this store: {why}"),
            Self::Warns(warning) => write!(f, "warns ({}): {warning}", warning.kind),
            Self::Rests { target, kind } => write!(f, "warns no longer ({kind}): {target}"),
            Self::Alarm(what) => write!(f, "raises the alarm: {what}"),
        }
    }
}

/// A span as people say it: in the largest unit that divides it.
pub fn in_words(span: Duration) -> String {
    match span.as_secs() {
        0 => "no time".into(),
        seconds if seconds.is_multiple_of(86_400) => format!("{} d", seconds / 86_400),
        seconds if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        seconds if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
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
