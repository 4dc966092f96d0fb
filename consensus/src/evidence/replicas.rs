//! Which replicas do not follow the primary that the mesh agreed on, and whether that was left closed: what people are warned
//! of, and what is put right.

use super::panel::Panel;
use crate::model::{Database, DatabaseSight, StackId};

impl Panel<'_> {
    /// The first database of another stack that is told whom to follow, and is seen to be somewhere else, in words.
    /// None while the active stack does not serve: then there is nothing to follow.
    pub fn astray(&self, active: &StackId) -> Option<String> {
        let led = self.definition.guarded();
        let led = led.filter(|(stack, it)| *stack != active && self.definition.leads(it));
        // Whether stacks stand takes longer to say, and hardly anything strays.
        let mut astray = led.filter_map(|(stack, database)| {
            let what = self.strays(stack, database, active)?;
            self.stands(stack).then_some(what)
        });
        astray.next().filter(|_| self.serves(active))
    }

    /// The first database of the active stack that answers and takes no writes, in words: of interest if the taking back of
    /// a fence did not reach it.
    pub fn left_closed(&self, active: &StackId) -> Option<String> {
        let databases = &self.definition.stack(active)?.databases;
        let closed = |name| {
            let seen = self.latest(active, name);
            seen.is_some_and(|(sight, age)| {
                !sight.replica && sight.read_only && age <= self.definition.probe.window
            })
        };
        let found = databases.iter().map(|it| &it.name).find(|name| closed(name))?;
        Some(format!("{found} of {active} is closed still"))
    }

    fn strays(&self, stack: &StackId, database: &Database, active: &StackId) -> Option<String> {
        let name = &database.name;
        let (replica, _) = self.latest(stack, name)?;
        let (primary, _) = self.latest(active, name)?;
        if !database.engine.is_demoted() {
            return left_behind(replica, primary).then(|| {
                format!("{name} of {stack} is left behind on timeline {}", replica.timeline)
            });
        }
        if !replica.replica {
            return Some(format!("{name} of {stack} is a primary beside that of {active}"));
        }
        let kin = replica.system == primary.system;
        (!kin).then(|| format!("{name} of {stack} follows another primary than that of {active}"))
    }
}

/// Does a replica stand on a timeline that the primary left? Whoever follows comes along to the new one within moments.
fn left_behind(replica: &DatabaseSight, primary: &DatabaseSight) -> bool {
    replica.replica
        && !primary.replica
        && replica.system == primary.system
        && replica.timeline < primary.timeline
}
