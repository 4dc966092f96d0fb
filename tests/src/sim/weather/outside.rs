//! What breaks outside, and the people who mend it.

use std::time::Duration;

use consensus::model::{AppId, Phase, StackId, TargetId};

use super::{Simulation, Weather};
use crate::sim::scene::DNS_SERVER;
use crate::sim::simulation::Event;
use crate::sim::world::{Host, Path, Role, Web};

impl Simulation {
    /// Something of a stack stops working, most often the active one's everything.
    pub(super) fn break_stack(&mut self) {
        let app = self.some_app();
        let Some(state) = self.agreed(&app) else { return };
        let stacks: Vec<StackId> = state.definition.stacks.iter().map(|s| s.name.clone()).collect();
        let stack = match self.chance.happens(0.7) {
            true => state.active.clone(),
            false => self.chance.pick(&stacks).clone(),
        };
        let web = *self.chance.pick(&[
            Web::Refusing,
            Web::Dark,
            Web::Failing,
            Web::Slow(Duration::from_millis(2_500)),
        ]);
        let host = *self.chance.pick(&[Host::Refusing, Host::Dark]);
        match self.chance.below(8) {
            0 => self.break_web(&app, &stack, web),
            1 => self.break_database(&app, &stack, host),
            2 => {
                if let Some(id) = self.database(&app, &stack) {
                    self.world.hear(self.now);
                    self.say(|| format!("{id} has too many clients"));
                    self.world.databases.get_mut(&id).expect("was just found").unready = true;
                }
            }
            3 => {
                let span = self.chance.between(Duration::from_secs(1), Duration::from_secs(60));
                self.darken_server(span);
            }
            _ => {
                self.break_web(&app, &stack, web);
                self.break_database(&app, &stack, host);
            }
        }
        self.outside_changed();
        let most = *self.chance.pick(&[
            Duration::from_secs(6),
            Duration::from_secs(30),
            Duration::from_secs(150),
        ]);
        let span = self.chance.between(Duration::from_secs(1), most);
        self.after(span, Event::Weather(Weather::StackMends(app, stack)));
    }

    /// The DNS server answers nobody for a while.
    pub(super) fn darken_server(&mut self, span: Duration) {
        self.say(|| format!("{DNS_SERVER} is dark"));
        self.world.servers.entry(DNS_SERVER.into()).or_default().dark = true;
        self.after(span, Event::Weather(Weather::ServerMends(DNS_SERVER.into())));
    }

    /// All web endpoints of a stack behave like this.
    pub fn break_web(&mut self, app: &AppId, stack: &StackId, how: Web) {
        self.world.hear(self.now);
        self.say(|| format!("{app}/{stack}: web is {how:?}"));
        for (id, web) in &mut self.world.webs {
            if id.app == *app && id.stack == *stack {
                *web = how;
            }
        }
        self.outside_changed();
    }

    /// A stack's database behaves like this.
    pub fn break_database(&mut self, app: &AppId, stack: &StackId, how: Host) {
        let Some(id) = self.database(app, stack) else { return };
        self.world.hear(self.now);
        self.say(|| format!("{id} is {how:?}"));
        self.world.databases.get_mut(&id).expect("was just found").host = how;
        self.outside_changed();
    }

    /// A stack serves again. Its database is what it was when it stopped.
    pub fn mend_stack(&mut self, app: &AppId, stack: &StackId) {
        self.break_web(app, stack, Web::Up);
        if let Some(id) = self.database(app, stack) {
            let database = self.world.databases.get_mut(&id).expect("was just found");
            database.host = Host::Up;
            database.unready = false;
        }
        self.outside_changed();
    }

    pub(super) fn blind_somebody(&mut self) {
        let app = self.some_app();
        let Some(state) = self.agreed(&app) else { return };
        let (stack, share) = (state.active.clone(), self.chance.rate(1.0));
        let path = match self.chance.happens(0.6) {
            true => Path { cut: true, loss: 0.0 },
            false => Path { cut: false, loss: self.chance.rate(0.6) },
        };
        // What lies in the way is a whole region's as often as one agent's.
        let regional = self.chance.happens(0.5);
        let somebody = self.some_place();
        let region = self.agents[somebody].config.region.clone();
        for place in 0..self.agents.len() {
            let blind = match regional {
                true => self.agents[place].config.region == region,
                false => self.chance.happens(share),
            };
            if !blind {
                continue;
            }
            let agent = self.agents[place].id.clone();
            let span = self.chance.between(Duration::from_secs(1), Duration::from_secs(60));
            self.say(|| format!("{agent} does not see {app}/{stack} well: {path:?}"));
            self.world.paths.insert((agent.clone(), app.clone(), stack.clone()), path);
            self.after(span, Event::Weather(Weather::PathMends(agent, app.clone(), stack.clone())));
        }
        self.outside_changed();
    }

    pub(super) fn sever_replica(&mut self) {
        let replicas: Vec<TargetId> = self
            .world
            .databases
            .iter()
            .filter(|(_, database)| matches!(database.role, Role::Replica { .. }))
            .map(|(id, _)| id.clone())
            .collect();
        if replicas.is_empty() {
            return;
        }
        let replica = self.chance.pick(&replicas).clone();
        self.world.hear(self.now);
        self.say(|| format!("{replica} does not reach its primary"));
        self.world.severed.insert(replica.clone());
        let span = self.chance.between(Duration::from_secs(1), Duration::from_secs(90));
        self.after(span, Event::Weather(Weather::ReplicaMends(replica)));
    }

    /// People make every database that follows nobody a replica of the active stack's, while nothing is in progress.
    pub fn rebuild_replicas(&mut self) {
        let apps: Vec<(AppId, bool)> =
            self.apps.iter().map(|(app, trade)| (app.clone(), trade.synchronous)).collect();
        for (app, synchronous) in apps {
            let Some(state) = self.agreed(&app) else { continue };
            let Some(primary) = self.writer(&app) else { continue };
            let active = &self.world.databases[&primary];
            if state.phase != Phase::Idle || active.role != Role::Primary || active.host != Host::Up
            {
                continue;
            }
            let others: Vec<TargetId> = self
                .world
                .databases
                .iter()
                .filter(|(id, database)| {
                    id.app == app && **id != primary && database.host == Host::Up
                })
                .map(|(id, _)| id.clone())
                .collect();
            for other in others {
                if !self.world.streams(&other) && !self.world.severed.contains(&other) {
                    self.say(|| format!("{other} is made a replica of {primary}"));
                    self.world.rebuild(self.now, &other, &primary, synchronous);
                }
            }
        }
    }
}
