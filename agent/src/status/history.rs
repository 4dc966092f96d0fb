//! Events and agreed states → lines in a file, and back.
//!
//! `history.jsonl` is append-only and starts anew, as `history.1.jsonl`, when it is full; a line is an [`Entry`], some
//! with the whole [`AppState`] that was agreed. The file is for people: nothing reads it to decide, so whatever the disk
//! does, the agent goes on, and says once that its history has holes. Looks and beliefs are not kept, decisions and the
//! way to them are, and when the resolvers that this agent asks had followed a move.

mod doors;
mod file;
mod resolvers;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use consensus::model::{AppId, AppState, Epoch, Phase, Verdict, Warning};
use consensus::outbox::{Note, in_words};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use crate::guard::{WeakDoor, WeakTurn};
use crate::run::{Agreed, Event, Handle};
use crate::tails::Ended;
use file::{Files, Writer};

/// How many entries are kept in memory: what the page and `quorate history` show without reading the file.
const RECENT: usize = 1_000;
/// Longer texts are cut: nothing that people read is longer.
const TEXT_LIMIT: usize = 600;
/// Longer details are left out; their text stays.
const DETAIL_LIMIT: usize = 4 * 1024;
/// How long before a decision its suspicions, holds and refusals belong to its story.
const PRELUDE_MS: u64 = 60_000;
/// What is written as `event` of a line that holds a whole agreed state.
const STATE: &str = "state";

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by this agent's wall clock: milliseconds since 1970.
    pub wall_ms: u64,
    /// What sort of event, as in [`Note`]; or `resolvers-followed`, `resolvers-given-up`, `weak-door-shut`
    /// or `weak-door-opened`, which the mesh knows nothing of.
    pub event: String,
    /// The app it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// The decision it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// One line for people, without what `app` and `epoch` say.
    pub text: String,
    /// The event itself.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// A line that holds what was agreed.
#[derive(Serialize, Deserialize)]
struct StateLine {
    wall_ms: u64,
    event: String,
    app: AppId,
    epoch: Epoch,
    text: String,
    state: AppState,
}

/// How an agreed state is told apart from the one before.
type Mark = (Epoch, u64, Phase);

/// What is asked of the history.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Only this app.
    pub app: Option<AppId>,
    /// Only this decision, whole.
    pub epoch: Option<Epoch>,
    /// At most so many entries, the newest.
    pub limit: usize,
}

/// What the history knows about it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Story {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
    /// What was agreed, with its evidence, if one decision was asked for and is still held.
    pub states: Vec<AppState>,
    /// Lines that could not be read.
    pub garbled: u64,
    /// Lines that could not be written.
    pub lost: u64,
}

/// The history of this agent.
pub struct History {
    recent: Mutex<VecDeque<Entry>>,
    marks: Mutex<BTreeMap<AppId, Mark>>,
    files: Files,
    writer: Writer,
}

impl History {
    /// Reads what is there and opens it for more. Never fails: what cannot be read or written is counted.
    pub fn open(folder: &Path, agreed: watch::Receiver<Arc<Agreed>>) -> Self {
        Self::with_limit(folder, agreed, file::FILE_LIMIT)
    }

    fn with_limit(folder: &Path, agreed: watch::Receiver<Arc<Agreed>>, limit: u64) -> Self {
        let files = Files::new(folder);
        let mut recent = VecDeque::new();
        let mut marks = BTreeMap::new();
        files.read(|line| match serde_json::from_slice::<Entry>(line) {
            Ok(entry) if entry.event == STATE => match serde_json::from_slice::<StateLine>(line) {
                Ok(line) => {
                    marks.insert(line.app, mark(&line.state));
                    true
                }
                Err(_) => false,
            },
            Ok(entry) => {
                keep(&mut recent, entry);
                true
            }
            Err(_) => false,
        });
        let snapshot = move || {
            let agreed = agreed.borrow().clone();
            agreed.apps.iter().map(|state| state_line(state, crate::clock::wall_ms())).collect()
        };
        let writer = Writer::spawn(files.clone(), limit, snapshot);
        Self { recent: Mutex::new(recent), marks: Mutex::new(marks), files, writer }
    }

    /// Writes down everything that happens from now on, until the loop has ended or `stop` says so.
    pub async fn follow(
        &self,
        mut events: broadcast::Receiver<Arc<Event>>,
        handle: Handle,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut agreed = handle.agreed();
        drop(handle);
        agreed.mark_changed();
        let mut stable = true;
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => self.event(&event),
                    Err(broadcast::error::RecvError::Lagged(missed)) => self.writer.lost(missed),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                changed = agreed.changed(), if stable => match changed {
                    Ok(()) => {
                        let now = agreed.borrow_and_update().clone();
                        for state in &now.apps {
                            self.state(state);
                        }
                    }
                    Err(_) => stable = false,
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Takes down one event, unless it is of a sort that only fills disks.
    pub fn event(&self, event: &Event) {
        let Some((app, epoch)) = subject(&event.note) else { return };
        let (name, detail) = match serde_json::to_value(&event.note) {
            Ok(Value::Object(mut fields)) => (
                fields.remove("event").and_then(|name| name.as_str().map(str::to_owned)),
                fields.remove("detail").unwrap_or_default(),
            ),
            Ok(_) | Err(_) => (None, Value::Null),
        };
        let entry = Entry {
            wall_ms: event.wall_ms,
            event: name.unwrap_or_else(|| "event".into()),
            app,
            epoch,
            text: words(&event.note).chars().take(TEXT_LIMIT).collect(),
            detail: if detail.to_string().len() <= DETAIL_LIMIT { detail } else { Value::Null },
        };
        self.put(entry);
    }

    /// Takes down what came of a move at the resolvers that this agent asks, once.
    pub fn tail(&self, ended: &Ended, wall_ms: u64) {
        let entry = resolvers::entry(ended, wall_ms);
        if !lock(&self.recent).iter().any(|it| resolvers::is_same(it, &entry)) {
            self.put(entry);
        }
    }

    /// Takes down whatever a weak door of this host does, until its keeper has ended or `stop` says so.
    pub async fn doors(
        &self,
        mut weak: watch::Receiver<Vec<WeakDoor>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut told: Vec<Option<WeakTurn>> = Vec::new();
        loop {
            let doors = weak.borrow_and_update().clone();
            told.resize(doors.len(), None);
            for (door, told) in doors.iter().zip(&mut told) {
                if let Some(turn) = door.last.as_ref().filter(|turn| told.as_ref() != Some(turn)) {
                    self.put(doors::entry(door, turn));
                    *told = Some(turn.clone());
                }
            }
            tokio::select! {
                changed = weak.changed() => if changed.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn put(&self, entry: Entry) {
        self.writer.write(line(&entry), false);
        keep(&mut lock(&self.recent), entry);
    }

    /// Takes down an agreed state, if it differs from the last one in more than who carries it out.
    pub fn state(&self, state: &AppState) {
        let before = lock(&self.marks).insert(state.definition.name.clone(), mark(state));
        if before != Some(mark(state)) {
            self.writer.write(state_line(state, crate::clock::wall_ms()), true);
        }
    }

    /// What is known about it. Asking for one decision reads the files: call it where blocking is allowed.
    pub fn ask(&self, question: &Question) -> Story {
        let mut story = Story { lost: self.writer.missing(), ..Story::default() };
        match question.epoch {
            None => {
                let recent = lock(&self.recent);
                let of_app = |entry: &&Entry| question.app.is_none() || entry.app == question.app;
                story.entries = recent.iter().filter(of_app).cloned().collect();
            }
            Some(epoch) => self.tell(question, epoch, &mut story),
        }
        let surplus = story.entries.len().saturating_sub(question.limit);
        story.entries.drain(..surplus);
        story.garbled = self.files.garbled();
        story
    }

    fn tell(&self, question: &Question, epoch: Epoch, story: &mut Story) {
        let mut around = VecDeque::new();
        let mut span: Option<(u64, u64)> = None;
        let mut states = BTreeMap::new();
        self.files.read(|line| {
            let Ok(entry) = serde_json::from_slice::<Entry>(line) else { return false };
            if question.app.is_some() && entry.app != question.app {
                return true;
            }
            match (entry.epoch == Some(epoch), entry.event == STATE) {
                (true, true) => match serde_json::from_slice::<StateLine>(line) {
                    Ok(line) => drop(states.insert(line.app, line.state)),
                    Err(_) => return false,
                },
                (false, true) => {}
                (ours, false) => {
                    // Resolvers follow long after: what else happened meanwhile is not this decision's.
                    if ours && !resolvers::is_end(&entry) {
                        let (from, to) = span.unwrap_or((entry.wall_ms, entry.wall_ms));
                        span = Some((from.min(entry.wall_ms), to.max(entry.wall_ms)));
                    }
                    if ours || entry.epoch.is_none() {
                        keep(&mut around, entry);
                    }
                }
            }
            true
        });
        let (from, to) = span.unwrap_or((u64::MAX, 0));
        let near = from.saturating_sub(PRELUDE_MS)..=to;
        let told = |entry: &Entry| resolvers::is_end(entry) || near.contains(&entry.wall_ms);
        story.entries = around.into_iter().filter(told).collect();
        story.states = states.into_values().collect();
    }

    /// How many lines could not be written, and how many could not be read.
    pub fn losses(&self) -> (u64, u64) {
        (self.writer.missing(), self.files.garbled())
    }

    /// Waits until everything taken down so far was handed to the disk, and writes no more.
    pub fn close(&self) {
        self.writer.close();
    }
}

fn mark(state: &AppState) -> Mark {
    (state.epoch, state.revision, state.phase)
}

fn line(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry).expect("an entry is plain data")
}

fn state_line(state: &AppState, wall_ms: u64) -> Vec<u8> {
    let line = StateLine {
        wall_ms,
        event: STATE.into(),
        app: state.definition.name.clone(),
        epoch: state.epoch,
        text: format!("{} epoch {} {}", state.decision.kind, state.epoch, state.phase),
        state: state.clone(),
    };
    serde_json::to_vec(&line).expect("an agreed state is plain data")
}

fn keep(recent: &mut VecDeque<Entry>, entry: Entry) {
    if recent.len() == RECENT {
        recent.pop_front();
    }
    recent.push_back(entry);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A note in the words of a table that has the app and the epoch in columns of their own.
fn words(note: &Note) -> String {
    match note {
        Note::Learns { kind, phase: Phase::Idle, active, .. } => {
            format!("carried out: {kind}, answers name {active}")
        }
        Note::Learns { kind, phase, active, executor, .. } => match executor {
            Some(agent) => format!("{phase} by {agent}: {kind}, answers name {active}"),
            None => format!("{phase}: {kind}, answers name {active}"),
        },
        Note::Suspects { stack, verdict, down, voters, .. } => {
            let verdict = match verdict {
                Verdict::Down => "down",
                Verdict::Contested => "contested",
                Verdict::Standing => "standing",
            };
            format!("{stack} is {verdict}: {down} of {voters} voters see it down")
        }
        Note::Holds { why, .. } => format!("nothing is done: {why}"),
        Note::Proposes { ballot, what, .. } => format!("proposes at {ballot}: {what}"),
        Note::GivesUp { ballot, why, .. } => format!("gives up {ballot}: {why}"),
        Note::Refuses { ballot, why, .. } => format!("refuses {ballot}: {why}"),
        Note::Denies { target, token, by, why } => {
            format!(
                "refuses what {by} asks of {} on {} with {token}: {why}",
                target.name, target.stack
            )
        }
        Note::Acts { what, .. } => format!("acts: {what}"),
        Note::Reports { took, what, .. } => match what {
            Ok(done) => format!("done after {} ms: {done}", took.as_millis()),
            Err(why) => format!("failed after {} ms: {why}", took.as_millis()),
        },
        Note::Loses { target, lost, .. } => {
            format!("really lost: {lost}, of {} on {}", target.name, target.stack)
        }
        Note::Frozen { by, lasts, reason, .. } => {
            format!("frozen by {by} for {}: {reason}", in_words(*lasts))
        }
        Note::Thawed { .. } => "no longer frozen".into(),
        Note::Acknowledged { by, .. } => format!("acknowledged by {by}: nothing damps it any more"),
        note => note.to_string(),
    }
}

/// What a note is about; `None` for those that are not kept: beliefs change with every flap.
fn subject(note: &Note) -> Option<(Option<AppId>, Option<Epoch>)> {
    match note {
        Note::Judges { .. } => None,
        Note::Abstains(_)
        | Note::Hears(_)
        | Note::Misses(_)
        | Note::Voters { .. }
        | Note::Changing(_)
        | Note::Quarantined(_)
        | Note::Alarm(_) => Some((None, None)),
        Note::Suspects { app, .. }
        | Note::Holds { app, .. }
        | Note::Proposes { app, .. }
        | Note::GivesUp { app, .. }
        | Note::Guards { app, .. }
        | Note::Frozen { app, .. }
        | Note::Thawed { app }
        | Note::Lifetimes { app, .. }
        | Note::Relies { app, .. }
        | Note::Acknowledged { app, .. }
        | Note::Drifts { app, .. }
        | Note::HandsOut { app, .. }
        | Note::Finds { app, .. }
        | Note::Refuses { app, .. } => Some((Some(app.clone()), None)),
        Note::Warns(Warning { target, .. }) | Note::Rests { target, .. } => {
            Some((Some(target.app.clone()), None))
        }
        Note::Learns { app, epoch, .. } => Some((Some(app.clone()), Some(*epoch))),
        Note::Loses { target, token, .. } | Note::Denies { target, token, .. } => {
            Some((Some(target.app.clone()), Some(token.epoch())))
        }
        Note::Acts { app, token, .. }
        | Note::Reports { app, token, .. }
        | Note::Leaves { app, token, .. }
        | Note::Owes { app, token, .. } => Some((Some(app.clone()), Some(token.epoch()))),
    }
}

#[cfg(test)]
mod tests;
