//! What is told of the play: which act it is, and one line for everything worth a line, with its time.
//!
//! Five agents tell of the same thing; the narrator says it once. What the agents say and what the demo itself does are
//! put in one order, that of the moments they were heard or done here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use consensus::model::{DecisionKind, Phase, Verdict};

use super::watch::{Heard, Learnt, Scene, Word};
use super::world::{AGENTS, domain, stack_at};
use crate::cli::table::Ink;

/// The acts, as they are announced.
pub const ACTS: [(&str, &str); 4] = [
    ("start", "five agents in three regions, until a failover would succeed"),
    ("blind one observer", "the active web refuses one agent, and nothing moves"),
    ("kill the active stack", "everything of the shop that runs there, kill -9"),
    ("kill the executor", "in the middle of a failover of the blog; another finishes"),
];
/// How many DNS servers there are.
const SERVERS: usize = AGENTS.len();
/// The place of the last act.
pub const LAST: usize = ACTS.len() - 1;

/// One line of the story.
#[derive(Clone, Debug)]
pub struct Line {
    /// In which act.
    pub act: usize,
    /// How long after the act's blow, or its beginning.
    pub after: Duration,
    /// How it looks.
    pub ink: Ink,
    /// What it says.
    pub text: String,
}

/// How far an act has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its turn has not come.
    Ahead,
    /// It is being played.
    Now,
    /// What was expected happened, or not.
    Done(bool),
}

/// The stage: where the story is told.
pub struct Stage {
    scene: Arc<Scene>,
    told: Mutex<Told>,
}

/// Everything told so far.
pub struct Told {
    /// How far each act has come.
    pub acts: [Progress; ACTS.len()],
    /// Which one is played.
    pub act: usize,
    /// Every line so far.
    pub lines: Vec<Line>,
    /// What is being waited for.
    pub waiting: String,
    /// When the demo began.
    pub began: Instant,
    zero: Instant,
    narrated: usize,
    said: BTreeSet<String>,
    doubts: BTreeMap<String, usize>,
    executors: BTreeMap<String, String>,
}

impl Stage {
    /// Nothing has happened yet.
    pub fn new(scene: Arc<Scene>) -> Self {
        let now = Instant::now();
        let told = Told {
            acts: [Progress::Ahead; ACTS.len()],
            act: 0,
            lines: Vec::new(),
            waiting: String::new(),
            began: now,
            zero: now,
            narrated: 0,
            said: BTreeSet::new(),
            doubts: BTreeMap::new(),
            executors: BTreeMap::new(),
        };
        Self { scene, told: Mutex::new(told) }
    }

    /// What was told, with everything heard so far put into words.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        let mut told = self.told.lock().expect("nobody panics while holding it");
        let state = self.scene.state();
        let fresh = state.heard[told.narrated..].to_vec();
        drop(state);
        told.narrated += fresh.len();
        for heard in &fresh {
            told.narrate(heard);
        }
        told
    }

    /// The next act.
    pub fn begin(&self, act: usize) {
        let mut told = self.told();
        told.act = act;
        told.acts[act] = Progress::Now;
        told.zero = Instant::now();
        told.forget();
    }

    /// The moment that the act's times are counted from.
    pub fn blow(&self) -> Instant {
        let mut told = self.told();
        told.zero = Instant::now();
        told.forget();
        told.zero
    }

    /// What is being waited for.
    pub fn waiting(&self, what: &str) {
        self.told().waiting = what.to_owned();
    }

    /// Tells of something the demo did or saw just now.
    pub fn say(&self, ink: Ink, text: impl Into<String>) {
        self.told().line(Instant::now(), ink, text.into());
    }

    /// The act is over.
    pub fn end(&self, act: usize, agreed: bool) {
        let mut told = self.told();
        told.acts[act] = Progress::Done(agreed);
        told.waiting.clear();
    }
}

impl Told {
    /// What was said before may be said again.
    fn forget(&mut self) {
        self.said.clear();
        self.doubts.clear();
        self.executors.clear();
    }

    fn line(&mut self, at: Instant, ink: Ink, text: String) {
        let after = at.saturating_duration_since(self.zero);
        self.lines.push(Line { act: self.act, after, ink, text });
    }

    /// Says it unless it was said in this act.
    fn once(&mut self, key: String, at: Instant, ink: Ink, text: String) {
        if self.said.insert(key) {
            self.line(at, ink, text);
        }
    }

    fn narrate(&mut self, heard: &Heard) {
        let (at, agent) = (heard.at, heard.agent);
        match &heard.word {
            Word::Suspects { app, stack, verdict, down, voters } => {
                let most = self.doubts.entry(format!("{app}/{stack}/{verdict:?}")).or_default();
                if *down <= *most {
                    return;
                }
                *most = *down;
                let quorum = if *verdict == Verdict::Down { ": a quorum" } else { "" };
                let text = format!("{down} of {voters} voters see {app}/{stack} down{quorum}");
                self.line(at, Ink::Wary, text);
            }
            Word::Proposes { app, what }
                if what == "failover" && !self.said.contains(&format!("decided {app}")) =>
            {
                let text = format!("{agent} asks every voter for signed evidence on {app}");
                self.once(format!("proposes {app} {agent}"), at, Ink::Plain, text);
            }
            Word::GivesUp { app, why }
                if self.said.contains(&format!("proposes {app} {agent}"))
                    && !self.said.contains(&format!("decided {app}")) =>
            {
                let text = format!("{agent} gives up: {why}");
                self.once(format!("gives up {app} {agent} {why}"), at, Ink::Faint, text);
            }
            Word::Learns(learnt) => self.narrate_learnt(at, learnt),
            Word::Acts { what, .. } => self.line(at, Ink::Plain, format!("{agent}: {what}")),
            Word::Reports { took, what, .. } => {
                let took = took.as_millis();
                let (ink, text) = match what {
                    Ok(what) => (Ink::Plain, format!("{agent}: done in {took} ms: {what}")),
                    Err(what) => (Ink::Wary, format!("{agent}: failed after {took} ms: {what}")),
                };
                self.line(at, ink, text);
            }
            Word::Misses(missed) if self.act == LAST => {
                let text = format!("{agent} hears {missed} no more");
                self.once(format!("misses {missed}"), at, Ink::Wary, text);
            }
            Word::Answers { app, addresses, servers } => {
                let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                let (name, list) = (domain(app), list.join(" "));
                // In the last act one server is silent.
                let last = *servers == SERVERS || self.act == LAST && *servers == SERVERS - 1;
                if *servers == 1 {
                    let text = format!("DNS: {name} is {list}, says the first server");
                    self.once(format!("first {list}"), at, Ink::Good, text);
                } else if last && self.said.contains(&format!("first {list}")) {
                    let text = format!("DNS: {name} is {list}, say {servers} servers");
                    self.once(format!("last {list}"), at, Ink::Good, text);
                }
            }
            Word::Writes(server) => {
                let text =
                    format!("rows: the database in {} acknowledges one", stack_at(server.ip()));
                self.line(at, Ink::Good, text);
            }
            Word::Alarm(what) => self.line(at, Ink::Bad, format!("{agent}: alarm: {what}")),
            Word::Proposes { .. } | Word::GivesUp { .. } | Word::Misses(_) => {}
        }
    }

    fn narrate_learnt(&mut self, at: Instant, learnt: &Learnt) {
        let Learnt { app, epoch, kind, phase, active, executor, reason } = learnt;
        if *kind == DecisionKind::Apply {
            if *phase == Phase::Idle {
                let text = format!("{app} is agreed: epoch {epoch}, live in {active}");
                self.once(format!("idle {app} {epoch}"), at, Ink::Plain, text);
            }
            return;
        }
        let text = format!("decided, epoch {epoch} of {app}: {kind}, because {reason}");
        self.once(format!("decided {app}"), at, Ink::Strong, text);
        // Word of an earlier step may come late, from an agent that is slow to hear.
        if self.said.contains(&format!("idle {app} {epoch}")) {
            return;
        }
        let who = executor.as_ref().map_or("nobody yet", |executor| executor.as_str());
        let before = self.executors.insert(app.clone(), who.to_owned());
        if *phase != Phase::Idle && before.is_some_and(|before| before != who) {
            let text = format!("{who} takes over: {phase}");
            self.once(format!("takes over {app} {who}"), at, Ink::Strong, text);
        }
        let (ink, text) = match phase {
            Phase::Idle => (Ink::Good, format!("{app} is carried out: live in {active}")),
            Phase::Fencing => (Ink::Plain, format!("{who} carries it out")),
            Phase::Promoting => (
                Ink::Plain,
                "evidence signed once more, and agreed: from here there is no way back".into(),
            ),
            Phase::Publishing => (Ink::Plain, format!("{app} is to be answered with {active}")),
            Phase::Verifying => (Ink::Plain, format!("{who} looks whether {active} serves")),
            Phase::Aborting => (Ink::Wary, format!("{who} takes it back")),
        };
        let key = format!("{phase} {app} {epoch}");
        self.once(key, at, ink, text);
    }
}
