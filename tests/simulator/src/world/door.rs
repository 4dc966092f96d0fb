//! Doors: whether writes reach a database that has a guard. In the kernel, not in the guard: what it was told holds
//! whatever becomes of whoever told it (PROTOCOL.md C.3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::model::{AgentId, AppId, AppState, Phase, StackId, TargetId};
use consensus::moment::Moment;

use super::{Postgres, Role, World};

/// Every door.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// The databases that have one; all others are always open.
    pub of: BTreeSet<TargetId>,
    /// Until when, in true time, each guard keeps which open.
    until: BTreeMap<(TargetId, AgentId), Moment>,
    /// Which guards were ever granted a lease, and for what.
    pub granted: BTreeSet<(AppId, StackId, AgentId)>,
    /// Guards that live on the candidates' word, by their own account.
    pub failsafe: BTreeSet<(AgentId, TargetId)>,
    /// The databases whose promotion was taken back: what opens beside them leads again, though they were promoted since.
    pub given_up: BTreeSet<TargetId>,
    /// How much of a lease is left of a guard that stands still, and that shuts its own door: only in a mutant.
    still: BTreeMap<(TargetId, AgentId), Duration>,
}

impl World {
    /// Do writes reach this database?
    pub fn open(&self, now: Moment, database: &TargetId) -> bool {
        let mut until = self.doors.until.iter().filter(|((id, _), _)| id == database);
        !self.doors.of.contains(database) || until.any(|(_, until)| *until > now)
    }

    /// What was agreed promotes a stack's databases, or takes that back.
    pub fn on_agreed(&mut self, state: &AppState, taken_back: bool) {
        let of =
            |stack: &StackId, id: &TargetId| id.app == state.definition.name && id.stack == *stack;
        match state.phase {
            Phase::Promoting => self.doors.given_up.retain(|id| !of(&state.decision.to, id)),
            Phase::Aborting if taken_back => {
                let back = self.doors.of.iter().filter(|id| of(&state.decision.from, id));
                self.doors.given_up.extend(back.cloned());
            }
            _ => {}
        }
    }

    /// Was a guard ever granted a lease of this database, or did it open its door?
    pub fn was_held(&self, database: &TargetId, guard: &AgentId) -> bool {
        let (app, stack) = (database.app.clone(), database.stack.clone());
        self.doors.granted.contains(&(app, stack, guard.clone()))
            || self.doors.until.contains_key(&(database.clone(), guard.clone()))
    }

    /// A guard keeps a database open until then, in true time.
    pub fn keep_open(&mut self, agent: &AgentId, database: TargetId, until: Moment) {
        self.doors.until.insert((database, agent.clone()), until);
    }

    /// The databases of an app that replay nobody's log.
    pub fn primaries(&self, app: &AppId) -> BTreeSet<TargetId> {
        let primary =
            |(id, it): &(&TargetId, &Postgres)| id.app == *app && it.role == Role::Primary;
        self.databases.iter().filter(primary).map(|(id, _)| id.clone()).collect()
    }

    /// Databases of the same app that take writes just now, or would if they were reached, but for these.
    pub fn open_writers(&self, now: Moment, database: &TargetId) -> Vec<TargetId> {
        let others = self.primaries(&database.app).into_iter().filter(|id| id != database);
        others.filter(|id| self.doors.of.contains(id) && self.open(now, id)).collect()
    }

    /// A guard's process stands still, and its timers with it: only in a mutant.
    pub fn timers_stop(&mut self, now: Moment, agent: &AgentId) {
        for ((id, by), until) in &mut self.doors.until {
            if by == agent && *until > now {
                self.doors.still.insert((id.clone(), by.clone()), until.since(now));
                *until = Moment::NEVER;
            }
        }
    }

    /// And goes on.
    pub fn timers_go_on(&mut self, now: Moment, agent: &AgentId) {
        let of = |(_, by): &(TargetId, AgentId)| by == agent;
        let still: Vec<_> = self.doors.still.keys().filter(|key| of(key)).cloned().collect();
        for key in still {
            let left = self.doors.still.remove(&key).expect("was just there");
            self.doors.until.insert(key, now + left);
        }
    }
}
