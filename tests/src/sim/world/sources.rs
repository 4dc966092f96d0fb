//! Sources of followed endpoints: what each truly tells whom.

use std::collections::{BTreeMap, BTreeSet};

use consensus::model::{AgentId, AppId, Found, Place, Sought, StackId, TargetId};

use super::{Web, World};

/// What a source tells: some places, or why none.
pub type Told = Result<BTreeSet<Place>, String>;

/// Every source, by what is followed there.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    told: BTreeMap<(AppId, StackId), Told>,
    /// What one agent alone is told: a stale cache, another view, or a lie.
    alone: BTreeMap<(AgentId, AppId, StackId), Told>,
}

impl World {
    /// A source tells this from now on: everybody, or one agent alone. Whatever is named serves, unless it was broken before.
    pub fn tell(&mut self, agent: Option<&AgentId>, app: &AppId, stack: &StackId, told: Told) {
        for place in told.iter().flatten() {
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

    /// An agent asks a source.
    pub fn answer(&self, agent: &AgentId, sought: &Sought) -> Found {
        let Sought { app, stack, name, .. } = sought.clone();
        let what = self.told(agent, &app, &stack).map(|places| (places, None));
        Found { app, stack, name, what }
    }
}
