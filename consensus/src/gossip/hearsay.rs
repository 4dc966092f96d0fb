//! What every other agent believes: the last word of each, and when it came.

use std::collections::BTreeMap;
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

/// The last word of every agent.
#[derive(Debug, Default)]
pub struct Hearsay {
    words: BTreeMap<AgentId, (Beliefs, Moment)>,
}

/// What a report is to whoever heard the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An older one, overtaken by a newer.
    Before,
    /// Newer, and it means what the last one meant: no rule makes anything else of it.
    Again,
    /// Something else, or the first for long.
    News,
}

impl Hearsay {
    /// Nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An agent reported.
    pub fn on_beliefs(&mut self, agent: &AgentId, mut beliefs: Beliefs, now: Moment) -> Heard {
        self.words.retain(|_, (_, at)| now.since(*at) <= FORGOTTEN_AFTER);
        beliefs.beliefs.truncate(BELIEF_LIMIT);
        // In order, so that one app's are found without looking at all.
        beliefs.beliefs.sort_by(|one, other| one.target.cmp(&other.target));
        let heard = match self.words.get(agent) {
            Some((known, _)) if !newer(&beliefs, known) => return Heard::Before,
            Some((known, at)) if now.since(*at) <= HOLDS_FOR && means(&beliefs, known) => {
                Heard::Again
            }
            Some(_) | None => Heard::News,
        };
        self.words.insert(agent.clone(), (beliefs, now));
        heard
    }

    /// The words that still hold.
    pub fn words(&self, now: Moment) -> impl Iterator<Item = (&AgentId, &Beliefs)> {
        self.words
            .iter()
            .filter(move |(_, (_, at))| now.since(*at) <= HOLDS_FOR)
            .map(|(agent, (beliefs, _))| (agent, beliefs))
    }

    /// An agent's last word, whether it still holds or not.
    pub fn word(&self, agent: &AgentId) -> Option<&Beliefs> {
        self.words.get(agent).map(|(beliefs, _)| beliefs)
    }

    /// Does anybody doubt a target of this app?
    pub fn doubts(&self, app: &AppId, now: Moment) -> bool {
        self.words(now).any(|(_, word)| {
            word.beliefs.iter().any(|belief| belief.target.app == *app && belief.failures > 0)
        })
    }
}

fn newer(beliefs: &Beliefs, known: &Beliefs) -> bool {
    known.instance != beliefs.instance || known.number < beliefs.number
}

/// Do two reports say the same, but for how long ago and how far? Those are looked up when evidence is asked for.
fn means(beliefs: &Beliefs, known: &Beliefs) -> bool {
    let word = |it: &Belief| {
        let guard = it.guard.as_ref().map(|guard| (guard.health, guard.open));
        let role = it.database.as_ref().map(|(sight, _)| (sight.replica, sight.streaming));
        (it.health, it.qualified, it.failures > 0, it.advancing, it.reached, guard, role)
    };
    let same =
        |(it, other): (&Belief, &Belief)| it.target == other.target && word(it) == word(other);
    beliefs.abstention == known.abstention
        && beliefs.beliefs.len() == known.beliefs.len()
        && beliefs.beliefs.iter().zip(&known.beliefs).all(same)
}
