//! The outside, with ground truth: what is really up, who really took which write, what DNS really answers.
//!
//! It answers looks as a real probe would and takes effects as real servers would, at the instant they arrive: refusing
//! what they can compare, unable to refuse what they cannot (PROTOCOL.md 0.1 i). It notes every breach it can see itself.
//! It knows nothing of agents but their names and the paths on which they come.

mod database;
mod dns;
mod door;
mod elections;
mod look;
mod sources;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::failover::plan;
use consensus::model::{
    Action, ActionFault, ActionFaultKind, AgentId, AppId, Database, Definition, Done, Effect,
    StackId, Target, TargetId, Token,
};
use consensus::moment::Moment;

pub use database::{Postgres, Role, Write};
pub use dns::{Name, Server, Trouble, server};
pub use door::Doors;
pub use sources::{Sources, Told, is_deserted};
pub use web::Web;

/// Whether something that listens can be reached, from where nothing is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// It answers.
    Up,
    /// The machine answers, and nothing listens.
    Refusing,
    /// Nothing answers at all.
    Dark,
}

/// The way from one agent to one stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path {
    /// Does nothing pass?
    pub cut: bool,
    /// The share of attempts that fail.
    pub loss: f64,
}

/// What an arriving request meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// An answer.
    Answered(Result<Done, ActionFault>),
    /// Not yet what it waits for: to be asked again.
    Waits,
    /// Nobody.
    Nowhere,
}

/// The outside.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Web endpoints.
    pub webs: BTreeMap<TargetId, Web>,
    /// Databases.
    pub databases: BTreeMap<TargetId, Postgres>,
    /// DNS servers, by address.
    pub servers: BTreeMap<String, Server>,
    /// Agents whose key DNS servers refuse.
    pub barred: BTreeSet<AgentId>,
    /// Where followed endpoints are found.
    pub sources: Sources,
    /// Ways that are not free.
    pub paths: BTreeMap<(AgentId, AppId, StackId), Path>,
    /// The way out of agents for which that is not free: everything they look at lies behind it, canaries first.
    pub outward: BTreeMap<AgentId, Path>,
    /// Agents whose canaries alone do not answer.
    pub silent: BTreeSet<AgentId>,
    /// Databases that an agent does not reach, though it reaches their stack.
    pub hidden: BTreeSet<(AgentId, TargetId)>,
    /// Replicas that cannot reach their primary.
    pub severed: BTreeSet<TargetId>,
    /// Replicas that say they stream and receive nothing.
    pub stuck: BTreeSet<TargetId>,
    /// Replicas that receive and apply nothing.
    pub idle: BTreeSet<TargetId>,
    /// What keeps writes from databases that have a guard.
    pub doors: Doors,
    /// Writes that were acknowledged, by app, each with the stack that did.
    pub ledger: BTreeMap<AppId, Vec<(Write, StackId)>>,
    /// Apps of which nothing that is acknowledged may be lost, whether or not it was waited for.
    pub kept: BTreeSet<AppId>,
    /// Writes that wait for a replica.
    waiting: Vec<(TargetId, Write)>,
    /// Does whoever could compare a token not do so?
    pub token_ignored: bool,
    /// Is whom primaries wait for set without comparing what that rests on?
    pub unmarked: bool,
    /// Does DNS change without comparing its marker?
    pub blind_publish: bool,
    /// What the world itself saw go wrong.
    pub breaches: Vec<String>,
    writes: u64,
}

impl World {
    /// Puts everything that a definition names into the world, well and replicating.
    pub fn build(&mut self, definition: &Definition, synchronous: bool) {
        let primary = definition.stacks.first().map(|stack| stack.name.clone());
        for (id, target) in definition.targets() {
            match target {
                Target::Endpoint(_) => {
                    self.webs.insert(id, Web::Up);
                }
                Target::Database(it) if Some(&id.stack) == primary.as_ref() => {
                    self.databases.insert(id.clone(), Postgres::primary(&id, &it.address));
                }
                Target::Database(it) => {
                    let stack = primary.clone().expect("an app has stacks");
                    let upstream = TargetId { stack, ..id.clone() };
                    self.databases
                        .insert(id.clone(), Postgres::replica(&id, &it.address, upstream));
                }
            }
        }
        if let (true, Some(second)) = (synchronous, definition.stacks.get(1)) {
            for (id, database) in &mut self.databases {
                if id.app == definition.name && Some(&id.stack) == primary.as_ref() {
                    database.synchronous = vec![second.name.clone()];
                }
            }
        }
        if definition.data.sync > 0 {
            self.kept.insert(definition.name.clone());
        }
        for (id, target) in definition.targets() {
            if let Target::Database(it) = target
                && it.guard.is_some()
            {
                self.doors.of.insert(id);
            }
        }
        self.ledger.entry(definition.name.clone()).or_default();
    }

    /// The way from an agent to a stack.
    pub fn path(&self, agent: &AgentId, target: &TargetId) -> Path {
        let key = (agent.clone(), target.app.clone(), target.stack.clone());
        let path = self.paths.get(&key).copied().unwrap_or_default();
        let out = self.outward.get(agent).copied().unwrap_or_default();
        let hidden = self.hidden.contains(&(agent.clone(), target.clone()));
        Path { cut: path.cut || out.cut || hidden, loss: path.loss.max(out.loss) }
    }

    /// Would a look by this agent, now, find the target well? The truth that false failovers are measured by.
    pub fn well(&self, agent: &AgentId, target: &TargetId, limit: Duration) -> bool {
        let path = self.path(agent, target);
        let serves = match (self.webs.get(target), self.databases.get(target)) {
            (Some(web), _) => web.serves(limit),
            (_, Some(database)) => database.host == Host::Up && !database.unready,
            (None, None) => false,
        };
        // A path that loses a third of everything is not one that anybody could call well.
        serves && !path.cut && path.loss < 0.1
    }

    /// A request of an agent arrives.
    pub fn arrive(&mut self, now: Moment, agent: &AgentId, action: &Action) -> Arrival {
        let hidden = plan::database(&action.effect).and_then(Database::seen_through);
        if hidden.is_some_and(|guard| guard != agent) {
            return Arrival::Nowhere;
        }
        let target = |database: &Database, stack: Option<&StackId>| {
            stack.map(|stack| TargetId {
                app: action.app.clone(),
                stack: stack.clone(),
                name: database.name.clone(),
            })
        };
        match &action.effect {
            Effect::Publish { name, driver, sets, stack } => {
                self.publish(agent, name, driver, sets, (action.token, stack))
            }
            Effect::Fence(database) | Effect::Unfence(database) => {
                let stack = self.stack_at(&action.app, &database.address);
                match target(database, stack.as_ref()) {
                    Some(id) => self.on_database(now, agent, &id, |postgres, ignored| {
                        match matches!(action.effect, Effect::Fence(_)) {
                            true => postgres.fence(action.token, ignored),
                            false => postgres.unfence(action.token, ignored),
                        }
                    }),
                    None => Arrival::Nowhere,
                }
            }
            Effect::Follow { database, primary } => {
                let [stack, upstream] = [database, primary]
                    .map(|it| target(it, self.stack_at(&action.app, &it.address).as_ref()));
                match (stack, upstream) {
                    (Some(id), Some(upstream)) if database.engine.is_demoted() => {
                        self.follow(now, agent, (&id, &upstream), action.token)
                    }
                    (Some(id), Some(upstream)) => {
                        self.repoint(now, agent, (&id, &upstream), action.token)
                    }
                    _ => Arrival::Nowhere,
                }
            }
            Effect::StepDown { database, term } => {
                let stack = self.stack_at(&action.app, &database.address);
                match target(database, stack.as_ref()) {
                    Some(id) => self.step_down(now, agent, &id, *term),
                    None => Arrival::Nowhere,
                }
            }
            Effect::Synchronous { database, waits } => {
                let stack = self.stack_at(&action.app, &database.address);
                let unmarked = self.unmarked;
                match target(database, stack.as_ref()) {
                    Some(id) => {
                        self.on_database(now, agent, &id, |it, _| it.wait_for(waits, unmarked))
                    }
                    None => Arrival::Nowhere,
                }
            }
            Effect::Promote { database, candidate, at_least } => {
                let stack = self.stack_at(&action.app, &database.address);
                match target(database, stack.as_ref()) {
                    Some(id) => self.on_database(now, agent, &id, |postgres, ignored| {
                        postgres.promote(action.token, candidate, *at_least, ignored)
                    }),
                    None => Arrival::Nowhere,
                }
            }
        }
    }

    /// A database is told to follow another, and takes over all of it if it is there.
    fn follow(
        &mut self,
        now: Moment,
        agent: &AgentId,
        (id, upstream): (&TargetId, &TargetId),
        token: Token,
    ) -> Arrival {
        let arrival =
            self.on_database(now, agent, id, |it, ignored| it.follow(token, upstream, ignored));
        let there = self
            .databases
            .get(upstream)
            .is_some_and(|it| it.host == Host::Up && it.role == Role::Primary);
        if there && matches!(arrival, Arrival::Answered(Ok(_))) {
            self.rebuild(now, id, upstream, false);
        }
        arrival
    }

    /// A replica whose primary cannot be told to become one is told to follow another, and has to hold nothing beyond it.
    fn repoint(
        &mut self,
        now: Moment,
        agent: &AgentId,
        (id, upstream): (&TargetId, &TargetId),
        token: Token,
    ) -> Arrival {
        let primary = self.databases.get(upstream).filter(|it| it.host == Host::Up).cloned();
        self.on_database(now, agent, id, |it, ignored| match &primary {
            Some(primary) => it.repoint(token, (upstream, primary), ignored),
            None => fault(ActionFaultKind::Unknown, "the primary is not there"),
        })
    }

    fn on_database(
        &mut self,
        now: Moment,
        agent: &AgentId,
        id: &TargetId,
        act: impl FnOnce(&mut Postgres, bool) -> Arrival,
    ) -> Arrival {
        if self.path(agent, id).cut {
            return Arrival::Nowhere;
        }
        self.hear(now);
        let ignored = self.token_ignored;
        let Some(postgres) = self.databases.get_mut(id) else { return Arrival::Nowhere };
        let arrival = match postgres.host {
            Host::Dark => Arrival::Nowhere,
            Host::Refusing => fault(ActionFaultKind::Unknown, "connection refused"),
            Host::Up if postgres.unready => fault(ActionFaultKind::Unknown, "not ready"),
            Host::Up => act(postgres, ignored),
        };
        self.breaches.extend(postgres.breach.take().map(|what| format!("{id}: {what}")));
        arrival
    }

    /// Addresses tell stacks apart: the effect names a database as the definition does.
    fn stack_at(&self, app: &AppId, address: &str) -> Option<StackId> {
        self.databases
            .iter()
            .find(|(id, database)| id.app == *app && database.address == address)
            .map(|(id, _)| id.stack.clone())
    }
}

/// An answer that says no.
fn fault(kind: ActionFaultKind, text: impl Into<String>) -> Arrival {
    Arrival::Answered(Err(ActionFault { kind, text: text.into() }))
}

/// An answer that says yes.
fn done(position: Option<u64>, text: impl Into<String>) -> Arrival {
    Arrival::Answered(Ok(Done { proven: false, position, text: text.into() }))
}
