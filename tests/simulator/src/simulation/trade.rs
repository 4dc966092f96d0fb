//! Clients: they resolve a name, write to what it leads to, and some hold on to an old answer.

use std::sync::Arc;
use std::time::Duration;

use consensus::model::{AppId, AppState, Definition, StackId};

use super::{Event, Simulation};
use crate::agent::Agent;
use crate::check::register::Link;
use crate::check::sync;
use crate::scene::AppShape;
use crate::weather::people;
use crate::world::{Host, server};

/// One app's clients, and what they know.
#[derive(Clone, Debug)]
pub struct Trade {
    /// What its owner wants it to be.
    pub definition: Arc<Definition>,
    /// Do people tell it to wait for a replica?
    pub synchronous: bool,
    /// Do some clients override what SQL can only ask for?
    pub stubborn: bool,
    /// May writes be lost from now on, because a person said so?
    pub excused: bool,
    fresh: StackId,
    stale: StackId,
}

impl Trade {
    /// Clients that all know the first stack.
    pub fn new(app: &AppShape) -> Self {
        let first = app.stacks[0].clone();
        Self {
            definition: Arc::new(app.definition()),
            synchronous: app.synchronous && app.kept == 0,
            stubborn: false,
            excused: false,
            fresh: first.clone(),
            stale: first,
        }
    }
}

impl Simulation {
    /// A second in the life of an app's clients.
    pub(super) fn trade(&mut self, app: &AppId) {
        // While the whole mesh stands still, nothing comes of what clients do, and days of it may pass.
        let pace = match self.agents.iter().any(Agent::answers) {
            true => Duration::from_secs(1),
            false => Duration::from_secs(30),
        };
        self.after(pace, Event::Trade(app.clone()));
        let mut found = Vec::new();
        let mut calm = std::mem::take(&mut self.calm);
        calm.look(self, app, &mut found);
        if let Some(chosen) = self.registers.latest(app) {
            sync::look(&self.world, &chosen.state, &mut found);
        }
        self.calm = calm;
        self.report(found);
        // In a story people say themselves what they do.
        if self.elections {
            people::attend(self, app);
        }
        if self.elections && self.apps[app].definition.follows() {
            self.hold_elections(app);
        }
        if self.wandering && !self.apps[app].definition.following.is_empty() {
            self.turn_sources(app);
        }
        let answer = self.resolve(app);
        let forgets = self.chance.happens(0.02);
        let Some(trade) = self.apps.get_mut(app) else { return };
        if let Some(answer) = answer {
            trade.fresh = answer;
        }
        if forgets {
            trade.stale = trade.fresh.clone();
        }
        let writers = [(trade.fresh.clone(), false), (trade.stale.clone(), trade.stubborn)];
        for (stack, stubborn) in writers {
            let bytes = 64 + self.chance.below(4_000);
            if let Some(database) = self.database(app, &stack) {
                self.world.write(self.now, &database, bytes, stubborn);
            }
        }
        let lag = self.chance.between(Duration::from_millis(1), self.rates.replica_lag);
        self.after(lag, Event::Replicate(app.clone()));
    }

    /// What a resolver answers now: the stack that the records are of.
    pub fn resolve(&mut self, app: &AppId) -> Option<StackId> {
        let definition = self.apps[app].definition.clone();
        let record = definition.records.first()?;
        match server(&record.driver) {
            None => {
                let place = self.chance.below(self.agents.len() as u64) as usize;
                self.held(place, app).map(|state| state.active.clone())
            }
            Some(server) => {
                let name = self.world.servers.get(server)?.names.get(&record.name)?;
                let data = name.sets.get(&record.kind)?;
                record.values.iter().find(|(_, of_stack)| *of_stack == data).map(|(s, _)| s.clone())
            }
        }
    }

    /// A second in the life of an app's replica set: whoever came back finds out that it leads no more, and another is
    /// elected if its primary is gone, or, in bad weather, for no reason at all.
    fn hold_elections(&mut self, app: &AppId) {
        let restless = self.climate.strikes() && self.chance.happens(0.01);
        let notices = self.chance.happens(0.3);
        if notices {
            self.world.rejoin_set(self.now, app);
        }
        let Some(primary) = self.world.elected(app) else { return };
        let gone = notices && self.world.databases[&primary].host != Host::Up;
        if !restless && !gone {
            return;
        }
        let able: Vec<_> =
            self.world.electable(app).filter(|it| **it != primary).cloned().collect();
        if !able.is_empty() {
            let stack = self.chance.pick(&able).stack.clone();
            self.count("elections");
            self.elect(app, &stack);
        }
    }

    /// Something was agreed.
    pub(super) fn decided(&mut self, link: &Link) {
        let after: &AppState = &link.after;
        let fresh = link.before.as_ref().is_none_or(|before| before.epoch != after.epoch);
        if fresh && !link.taken_back {
            self.count(match after.decision.kind {
                consensus::model::DecisionKind::Apply => "applied",
                consensus::model::DecisionKind::Failover => "failovers",
                consensus::model::DecisionKind::Approved => "approved failovers",
                consensus::model::DecisionKind::Switchover => "switchovers",
                consensus::model::DecisionKind::Forced => "forced failovers",
                consensus::model::DecisionKind::Abort => "aborts",
                consensus::model::DecisionKind::Follow => "followings",
            });
            let app = after.definition.name.clone();
            if let Some(trade) = self.apps.get_mut(&app) {
                trade.definition = after.definition.clone();
            }
            self.outside_changed();
        }
        self.say(|| {
            format!(
                "agreed for {}: epoch {} {} {}, {} to {}",
                after.definition.name,
                after.epoch,
                after.decision.kind,
                after.phase,
                after.decision.from,
                after.decision.to
            )
        });
    }
}
