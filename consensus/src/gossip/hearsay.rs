//! What every other agent believes: the last word of each, and when it came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::message::Beliefs;
use crate::model::{AgentId, AppId, Belief};
use crate::moment::Moment;

/// A word older than this is no word; agents repeat theirs at least every five seconds.
const HOLDS_FOR: Duration = Duration::from_secs(15);
/// And one this old is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// Beliefs one agent may report: sixty-four apps of the largest size.
const BELIEF_LIMIT: usize = 2048;

/// One agent's last word.
#[derive(Debug)]
struct Word {
    beliefs: Arc<Beliefs>,
    at: Moment,
    /// The apps of which it doubts a target.
    doubted: BTreeSet<AppId>,
}

/// The last word of every agent.
#[derive(Debug, Default)]
pub struct Hearsay {
    words: BTreeMap<AgentId, Word>,
}

/// What a report is to whoever heard the ones before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An older one, overtaken by a newer.
    Before,
    /// Newer, and of every app but these it means what the last one meant: no rule makes anything else of it.
    Of(BTreeSet<AppId>),
    /// Something else altogether, or the first for long.
    News,
}

impl Hearsay {
    /// Nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An agent reported.
    pub fn on_beliefs(&mut self, agent: &AgentId, beliefs: Arc<Beliefs>, now: Moment) -> Heard {
        self.words.retain(|_, word| now.since(word.at) <= FORGOTTEN_AFTER);
        let beliefs = in_order(beliefs);
        let heard = match self.words.get(agent) {
            Some(known) if !newer(&beliefs, &known.beliefs) => return Heard::Before,
            Some(known) if now.since(known.at) <= HOLDS_FOR => news(&beliefs, &known.beliefs),
            Some(_) | None => Heard::News,
        };
        let doubted = beliefs.beliefs.iter().filter(|belief| belief.failures > 0);
        let doubted = doubted.map(|belief| belief.target.app.clone()).collect();
        self.words.insert(agent.clone(), Word { beliefs, at: now, doubted });
        heard
    }

    fn holding(&self, now: Moment) -> impl Iterator<Item = (&AgentId, &Word)> {
        self.words.iter().filter(move |(_, word)| now.since(word.at) <= HOLDS_FOR)
    }

    /// The words that still hold.
    pub fn words(&self, now: Moment) -> impl Iterator<Item = (&AgentId, &Beliefs)> {
        self.told(now).map(|(agent, word, _)| (agent, word))
    }

    /// The same, and how long ago each came.
    pub fn told(&self, now: Moment) -> impl Iterator<Item = (&AgentId, &Beliefs, Duration)> {
        self.holding(now).map(move |(agent, word)| (agent, &*word.beliefs, now.since(word.at)))
    }

    /// An agent's last word, whether it still holds or not.
    pub fn word(&self, agent: &AgentId) -> Option<&Beliefs> {
        self.words.get(agent).map(|word| &*word.beliefs)
    }

    /// The apps of which anybody doubts a target.
    pub fn doubted(&self, now: Moment) -> Vec<&AppId> {
        let mut apps: Vec<_> = self.holding(now).flat_map(|(_, word)| &word.doubted).collect();
        apps.sort_unstable();
        apps.dedup();
        apps
    }
}

/// In the order of targets, so that one app's are found without looking at all; honest agents report them so.
fn in_order(mut beliefs: Arc<Beliefs>) -> Arc<Beliefs> {
    let few = beliefs.beliefs.len() <= BELIEF_LIMIT;
    if !few || !beliefs.beliefs.is_sorted_by_key(|belief| &belief.target) {
        let beliefs = &mut Arc::make_mut(&mut beliefs).beliefs;
        beliefs.truncate(BELIEF_LIMIT);
        beliefs.sort_by(|one, other| one.target.cmp(&other.target));
    }
    beliefs
}

fn newer(beliefs: &Beliefs, known: &Beliefs) -> bool {
    known.instance != beliefs.instance || known.number < beliefs.number
}

/// What a report says that the one before did not, but for how long ago and how far: those are looked up when evidence is
/// asked for.
fn news(beliefs: &Beliefs, known: &Beliefs) -> Heard {
    let word = |it: &Belief| {
        let guard = it.guard.as_ref().map(|guard| (guard.health, guard.open));
        let role = it.database.as_ref().map(|(sight, _)| (sight.replica, sight.streaming));
        (it.health, it.qualified, it.failures > 0, it.advancing, it.reached, guard, role)
    };
    let pairs = || beliefs.beliefs.iter().zip(&known.beliefs);
    let same = beliefs.abstention == known.abstention
        && beliefs.beliefs.len() == known.beliefs.len()
        && pairs().all(|(it, other)| it.target == other.target);
    match same {
        true => {
            let other = pairs().filter(|(it, other)| word(it) != word(other));
            Heard::Of(other.map(|(it, _)| it.target.app.clone()).collect())
        }
        false => Heard::News,
    }
}
