//! Which stack stands and serves, as far as a majority sees: what a decision that was carried out is verified by.

use super::panel::{Panel, Witness};
use super::word::belief;
use crate::model::{AgentId, DatabaseSight, Health, StackId, TargetName};

impl<'a> Panel<'a> {
    /// Does a majority see all of a stack up? A guard's look at its own database from within is no vote on whether others
    /// reach it, but it is no doubt either: were it left out, a voter that guards would be missing from every majority.
    pub fn stands(&self, stack: &StackId) -> bool {
        let [web, _] = self.deciding(stack);
        web.is_none_or(|count| self.majority(&count.up)) && self.holds_data(stack)
    }

    /// And of its databases alone, where it has some?
    pub fn holds_data(&self, stack: &StackId) -> bool {
        let [_, data] = self.deciding(stack);
        data.is_none_or(|mut count| {
            count.up.extend(self.guards_content(stack));
            self.majority(&count.up)
        })
    }

    /// The witnesses that guard databases of this stack, and see all of its databases up.
    fn guards_content(&self, stack: &StackId) -> Vec<AgentId> {
        let databases = self.definition.stack(stack).map_or(&[][..], |stack| &stack.databases);
        let up = |witness: &Witness<'a>| {
            databases.iter().all(|database| {
                belief(witness, self.definition, stack, &database.name)
                    .is_some_and(|belief| self.health(belief) == Health::Up)
            })
        };
        let guards = |witness: &&Witness<'a>| {
            databases.iter().any(|database| database.guard.as_ref() == Some(witness.agent))
        };
        self.healthy().filter(guards).filter(|it| up(it)).map(|it| it.agent.clone()).collect()
    }

    /// And do its databases take writes?
    pub fn serves(&self, stack: &StackId) -> bool {
        let databases = self.definition.stack(stack).map(|stack| &stack.databases[..]);
        self.stands(stack)
            && (!self.definition.has_databases()
                || databases.unwrap_or_default().iter().all(|it| self.is_primary(stack, &it.name)))
    }

    /// Is a stack's database of this name a primary, as was seen last?
    pub fn is_primary(&self, stack: &StackId, name: &TargetName) -> bool {
        self.latest(stack, name).is_some_and(|(sight, _)| !sight.replica)
    }

    /// Has the active stack's database of this name, a primary by all that is known, taken the place of this one?
    pub fn superseded(&self, old: &DatabaseSight, active: &StackId, name: &TargetName) -> bool {
        self.latest(active, name).is_some_and(|(new, _)| {
            !new.replica && (old.system != new.system || old.timeline < new.timeline)
        })
    }

    /// A database of this stack that receives nothing from its primary just now, as far as anybody knows.
    pub fn adrift(&self, stack: &StackId) -> Option<&TargetName> {
        let databases = &self.definition.stack(stack)?.databases;
        let streams = |name| self.latest(stack, name).is_some_and(|(sight, _)| sight.streaming);
        databases.iter().map(|database| &database.name).find(|name| !streams(name))
    }
}
