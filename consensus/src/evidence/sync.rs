//! What looks tell of replicas that a primary waits for: who could be, and who is no use any more.

use crate::model::{DatabaseSight, Health, StackId, TargetName};

use super::panel::Panel;

impl Panel<'_> {
    /// Does anybody see this replica receive from its primary?
    pub fn receives(&self, stack: &StackId, name: &TargetName) -> bool {
        let target = self.target(stack, name);
        self.beliefs(&target).any(|belief| belief.advancing && belief.health == Health::Up)
    }

    /// Are as many replicas of a database relied on as its primary is to wait for?
    pub(super) fn relies_enough(&self, name: &TargetName) -> bool {
        let wanted = usize::from(self.definition.data.sync);
        let relied = self.relied.map_or(0, |sync| sync.of(name).count());
        0 < wanted && wanted <= relied
    }

    /// Is this stack's replica agreed to hold whatever its primary acknowledged?
    pub(super) fn relies_on(&self, stack: &StackId, name: &TargetName) -> bool {
        self.relied.is_some_and(|sync| sync.holds(name, stack))
    }
}

/// Is this a replica of that primary, as far as both tell?
pub fn is_replica_of(replica: &DatabaseSight, primary: &DatabaseSight) -> bool {
    replica.replica
        && !primary.replica
        && (replica.system, replica.timeline) == (primary.system, primary.timeline)
}
