//! What every other agent believes: the last word of each, and when it came.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::message::Beliefs;
use crate::model::{AgentId, AppId};
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

impl Hearsay {
    /// Nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An agent reported. Is that news, rather than an older report overtaken by a newer?
    pub fn on_beliefs(&mut self, agent: &AgentId, mut beliefs: Beliefs, now: Moment) -> bool {
        self.words.retain(|_, (_, at)| now.since(*at) <= FORGOTTEN_AFTER);
        beliefs.beliefs.truncate(BELIEF_LIMIT);
        // In order, so that one app's are found without looking at all.
        beliefs.beliefs.sort_by(|one, other| one.target.cmp(&other.target));
        let newer = self.words.get(agent).is_none_or(|(known, _)| {
            known.instance != beliefs.instance || known.number < beliefs.number
        });
        if newer {
            self.words.insert(agent.clone(), (beliefs, now));
        }
        newer
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
