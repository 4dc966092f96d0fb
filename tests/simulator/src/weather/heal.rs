//! The end of all trouble, and the people who look after what does not mend by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::model::{AppId, Mode, Phase, StackId, TargetId};
use consensus::value::Format;

use super::{Climate, Rates, Simulation};
use crate::check::outcome;
use crate::network::Place;
use crate::world::{Host, Role, Trouble, Web};

impl Simulation {
    /// Everything is well again, and every agent but these runs.
    pub fn heal(&mut self, but: &BTreeSet<Place>) {
        self.say(|| "everything is well again".into());
        let calm_for = Duration::from_secs(100_000_000);
        let replica_lag = self.rates.replica_lag.min(Duration::from_millis(200));
        self.rates = Rates { calm_for, replica_lag, ..Rates::default() };
        self.climate = Climate::default();
        self.aim = None;
        self.forget_weather();
        self.network.heal();
        self.world.hear(self.now);
        self.world.paths.clear();
        self.world.hidden.clear();
        self.world.outward.clear();
        self.world.silent.clear();
        self.world.severed.clear();
        self.world.stuck.clear();
        for replica in self.world.idle.clone() {
            self.world.apply(&replica);
        }
        self.world.barred.clear();
        self.world.lead_back();
        for server in self.world.servers.values_mut() {
            server.trouble = Trouble::None;
        }
        let stacks: Vec<(AppId, StackId)> = self
            .apps
            .iter()
            .flat_map(|(app, trade)| {
                trade.definition.stacks.iter().map(|s| (app.clone(), s.name.clone()))
            })
            .collect();
        for (app, stack) in stacks {
            match self.left_to_its_guard(&app, &stack, but) {
                true => self.break_web(&app, &stack, Web::Up),
                false => self.mend_stack(&app, &stack),
            }
        }
        if self.wandering {
            self.heal_sources();
        }
        for place in 0..self.agents.len() {
            self.heal_agent(place, but.contains(&place));
        }
        self.look_at_links();
        self.outside_changed();
    }

    /// Is a database stopped that its guard began to make a replica again? Then it is for the guard to go on.
    fn left_to_its_guard(&self, app: &AppId, stack: &StackId, away: &BTreeSet<Place>) -> bool {
        let guards = self.agents.iter().enumerate().filter(|(place, _)| !away.contains(place));
        guards.into_iter().any(|(_, agent)| outcome::owes_a_replica(self, agent, app, stack))
    }

    /// One agent is well again, or away for good.
    fn heal_agent(&mut self, place: Place, away: bool) {
        self.agents[place].disk.full = false;
        self.find_key(place);
        let all = self.credentials.clone();
        let lacks =
            std::mem::replace(&mut self.agents[place].config.credentials, all.clone()) != all;
        // Whoever upgrades one upgrades all.
        let upgraded = self.agents.iter().any(|agent| agent.config.format == Format::NEXT);
        let format = if upgraded { Format::NEXT } else { Format::NOW };
        let older = std::mem::replace(&mut self.agents[place].config.format, format) != format;
        // Credentials are read at the start, and versions stay what they are until then.
        if away || lacks || older {
            self.crash(place);
        }
        if !away {
            self.resume(place);
            self.start(place);
        }
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

    /// People make every database that follows nobody a replica of the active stack's, while nothing is in progress; whoever
    /// only has to be told whom to follow is the mesh's to tell.
    pub fn rebuild_replicas(&mut self) {
        let apps: Vec<(AppId, bool)> =
            self.apps.iter().map(|(app, trade)| (app.clone(), trade.synchronous)).collect();
        for (app, synchronous) in apps {
            let Some(state) = self.agreed(&app) else { continue };
            if state.definition.follows()
                || state.definition.guarded().any(|(_, it)| it.engine.is_demoted())
            {
                continue;
            }
            let Some(primary) = self.writer(&app) else { continue };
            let active = &self.world.databases[&primary];
            if state.phase != Phase::Idle || active.role != Role::Primary || active.host != Host::Up
            {
                continue;
            }
            let tells = state.definition.mode == Mode::Automatic
                && state.freeze.is_none()
                && state.definition.guarded().any(|(_, it)| state.definition.leads(it));
            let others: Vec<TargetId> = self
                .world
                .databases
                .iter()
                .filter(|(id, database)| {
                    id.app == app
                        && **id != primary
                        && database.host == Host::Up
                        && !(tells && database.needs_telling(active))
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
