//! Replica sets that elect their own primary: who won, by which election, and who goes on claiming what it is no longer.

use consensus::model::{ActionFaultKind, AgentId, AppId, TargetId};
use consensus::moment::Moment;

use super::{Arrival, Host, Role, World, done, fault};

impl World {
    /// The set of a database elects it: every member that is reached by the others follows it, and none of those that are
    /// severed learns of it.
    pub fn elect(&mut self, now: Moment, id: &TargetId) {
        self.hear(now);
        let term = self.last_election(id) + 1;
        let others = self.of_set(id);
        let winner = self.databases.get_mut(id).expect("it is in the world");
        winner.forks.push((winner.timeline, winner.position));
        winner.timeline = term;
        winner.role = Role::Primary;
        for other in others {
            if self.databases[&other].host == Host::Up && !self.severed.contains(&other) {
                self.rebuild(now, &other, id, false);
            }
        }
    }

    /// Who won the last election of an app's set.
    pub fn elected(&self, app: &AppId) -> Option<TargetId> {
        let members = self.databases.iter().filter(|(id, _)| id.app == *app);
        let primaries = members.filter(|(_, it)| it.role == Role::Primary);
        primaries.max_by_key(|(_, it)| it.timeline).map(|(id, _)| id.clone())
    }

    /// Whom the others of an app's set can elect.
    pub fn electable(&self, app: &AppId) -> impl Iterator<Item = &TargetId> {
        let members = self.databases.iter().filter(move |(id, _)| id.app == *app);
        let able = members.filter(|(id, it)| it.host == Host::Up && !self.severed.contains(*id));
        able.map(|(id, _)| id)
    }

    /// Whoever is reached by the last winner follows it.
    pub fn rejoin_set(&mut self, now: Moment, app: &AppId) {
        let Some(winner) = self.elected(app) else { return };
        if self.databases[&winner].host != Host::Up || self.severed.contains(&winner) {
            return;
        }
        let astray: Vec<TargetId> =
            self.electable(app).filter(|id| **id != winner && !self.streams(id)).cloned().collect();
        for member in astray {
            self.rebuild(now, &member, &winner, false);
        }
    }

    /// A member says that it is the primary by the last election, though another won it: no set does this.
    pub fn claim(&mut self, id: &TargetId) {
        let term = self.last_election(id);
        let claimant = self.databases.get_mut(id).expect("it is in the world");
        claimant.timeline = term;
        claimant.role = Role::Primary;
    }

    /// A primary is asked to step down: the first of the others that could take its place is elected.
    pub(super) fn step_down(
        &mut self,
        now: Moment,
        agent: &AgentId,
        id: &TargetId,
        term: u32,
    ) -> Arrival {
        let arrival = self.on_database(now, agent, id, |member, _| {
            match member.role == Role::Primary && member.timeline == term {
                true => done(None, "steps down"),
                false => fault(ActionFaultKind::Refused, "is not the primary of that election"),
            }
        });
        if !matches!(arrival, Arrival::Answered(Ok(_))) {
            return arrival;
        }
        match self.heirs(id).into_iter().next() {
            Some(heir) => {
                self.elect(now, &heir);
                arrival
            }
            None => fault(ActionFaultKind::Refused, "no electable secondaries caught up"),
        }
    }

    /// Who could be elected in the place of this one.
    pub fn heirs(&self, id: &TargetId) -> Vec<TargetId> {
        let mut others = self.of_set(id);
        others.retain(|it| {
            let member = &self.databases[it];
            let well = member.host == Host::Up && !member.unready && member.role != Role::Primary;
            well && !self.severed.contains(it)
        });
        others
    }

    /// Has its set elected another since, whether or not it knows?
    pub fn is_succeeded(&self, id: &TargetId) -> bool {
        let own = &self.databases[id];
        own.role != Role::Primary || own.timeline < self.last_election(id)
    }

    fn of_set(&self, id: &TargetId) -> Vec<TargetId> {
        let others = self.databases.keys().filter(|it| it.app == id.app && *it != id);
        others.filter(|it| it.name == id.name).cloned().collect()
    }

    fn last_election(&self, id: &TargetId) -> u32 {
        let members = self.of_set(id).into_iter().chain([id.clone()]);
        members.map(|it| self.databases[&it].timeline).max().unwrap_or_default()
    }
}
