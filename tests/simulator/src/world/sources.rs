//! Sources of followed endpoints: what each truly tells whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use consensus::model::{AgentId, AppId, Found, Place, Sought, StackId, TargetId};
use consensus::moment::Moment;

use super::{Web, World};

/// What an agent was told may have counted this long ago: a vote for it travels, and waits at its voter for the others.
const COUNTED_WITHIN: Duration = Duration::from_secs(90);

/// What a source tells: some places, or why none.
pub type Told = Result<BTreeSet<Place>, String>;

/// What a source named to somebody, and when.
type Answer = (Moment, BTreeSet<Place>);

/// Every source, by what is followed there.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    told: BTreeMap<(AppId, StackId), Told>,
    /// What one agent alone is told: a stale cache, another view, or a lie.
    alone: BTreeMap<(AgentId, AppId, StackId), Told>,
    /// What each agent truly was told when it asked, and when.
    answers: BTreeMap<(AgentId, AppId, StackId), Vec<Answer>>,
}

/// Is a place one where nobody ever serves, whatever a source says?
pub fn is_deserted(place: &Place) -> bool {
    matches!(place.address, IpAddr::V4(it) if it.octets()[..3] == [192, 0, 2])
}

impl World {
    /// A source tells this from now on: everybody, or one agent alone. Whatever is named serves, unless it was broken before,
    /// or is deserted.
    pub fn tell(&mut self, agent: Option<&AgentId>, app: &AppId, stack: &StackId, told: Told) {
        for place in told.iter().flatten().filter(|place| !is_deserted(place)) {
            let name = format!("web-{}", place.address.to_string().replace('.', "-"));
            let name = name.parse().expect("a name of ours");
            let id = TargetId { app: app.clone(), stack: stack.clone(), name };
            self.webs.entry(id).or_insert(Web::Up);
        }
        let key = (app.clone(), stack.clone());
        match agent {
            Some(agent) => {
                self.sources.alone.insert((agent.clone(), key.0, key.1), told);
            }
            None => {
                self.sources.told.insert(key, told);
            }
        }
    }

    /// Everybody is told the same again.
    pub fn tell_all_alike(&mut self) {
        self.sources.alone.clear();
    }

    /// What an agent is told.
    pub fn told(&self, agent: &AgentId, app: &AppId, stack: &StackId) -> Told {
        let alone = self.sources.alone.get(&(agent.clone(), app.clone(), stack.clone()));
        let told = alone.or_else(|| self.sources.told.get(&(app.clone(), stack.clone())));
        told.cloned().unwrap_or_else(|| Err("no answer".into()))
    }

    /// What everybody is told of a stack who is not told something else.
    pub fn told_all(&self, app: &AppId, stack: &StackId) -> Option<&Told> {
        self.sources.told.get(&(app.clone(), stack.clone()))
    }

    /// An agent asks a source.
    pub fn answer(&mut self, now: Moment, agent: &AgentId, sought: &Sought) -> Found {
        let Sought { app, stack, name, .. } = sought.clone();
        let told = self.told(agent, &app, &stack);
        if let Some(places) = told.as_ref().ok().filter(|places| !places.is_empty()) {
            let key = (agent.clone(), app.clone(), stack.clone());
            let answers = self.sources.answers.entry(key).or_default();
            answers.retain(|(at, _)| now.since(*at) <= COUNTED_WITHIN);
            answers.push((now, places.clone()));
        }
        Found { app, stack, name, what: told.map(|places| (places, None)) }
    }

    /// What an agent was told that may count still: lately, and last.
    pub fn was_told<'w>(
        &'w self,
        now: Moment,
        (agent, app, stack): (&AgentId, &AppId, &StackId),
    ) -> impl Iterator<Item = &'w BTreeSet<Place>> + use<'w> {
        let answers = self.sources.answers.get(&(agent.clone(), app.clone(), stack.clone()));
        let answers = answers.map(|it| &it[..]).unwrap_or_default();
        let last = answers.len().saturating_sub(1);
        let counts = answers
            .iter()
            .enumerate()
            .filter(move |(at, (when, _))| *at == last || now.since(*when) <= COUNTED_WITHIN);
        counts.map(|(_, (_, places))| places)
    }
}
