//! What people are told of what goes on: log line, event, metric and transcript at once.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::message::Refusal;
use crate::model::{
    Abstention, AgentId, AppId, Ballot, DecisionKind, Epoch, Health, Lost, Phase, Quarantined,
    StackId, TargetId, TargetName, Token, Verdict, Warning, WarningKind, kept,
};

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
    /// Other replicas of an app are relied on to hold whatever was acknowledged.
    Relies {
        /// Of which app.
        app: AppId,
        /// Which: none, and nothing is promoted without loss.
        replicas: Vec<(TargetName, StackId)>,
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
    /// It does not get a step done, and leaves it to others who may.
    Leaves {
        /// The app.
        app: AppId,
        /// Of which epoch, attempt and step.
        token: Token,
        /// What went wrong.
        why: String,
    },
    /// A decision ends though not all of its records are published: they are owed.
    Owes {
        /// The app.
        app: AppId,
        /// Of which epoch, attempt and step.
        token: Token,
        /// What went wrong.
        what: String,
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
    /// This guard would not do what another agent asked of it.
    Denies {
        /// The database.
        target: TargetId,
        /// The token that the request carried.
        token: Token,
        /// Who asked.
        by: AgentId,
        /// Why not.
        why: String,
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
            Self::Relies { app, replicas } => {
                let named = |(name, stack): &(TargetName, StackId)| format!("{name} of {stack}");
                match replicas.iter().map(named).collect::<Vec<_>>().join(", ") {
                    none if none.is_empty() => {
                        write!(f, "learns that no replica of {app} is relied on")
                    }
                    some => write!(f, "learns that {app} relies on {some}"),
                }
            }
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
            Self::Leaves { app, token, why } => {
                write!(f, "leaves {app} with {token} to others: {why}")
            }
            Self::Owes { app, token, what } => {
                write!(f, "goes on with {app}, with records owed by {token}: {what}")
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
            Self::Denies { target, token, by, why } => {
                write!(f, "refuses what {by} asks of {target} with {token}: {why}")
            }
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
