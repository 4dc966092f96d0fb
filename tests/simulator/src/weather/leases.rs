//! What befalls leases: hosts and their guards, sites, and the voters that grant.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::model::{AgentId, AppId, StackId, TargetId};

use super::Simulation;
use crate::network::Place;
use crate::world::{Host, Path, Web};

/// The host of the active stack's database dies, and its guard with it.
pub(super) fn host_dies(simulation: &mut Simulation) {
    let Some((app, stack, guard)) = some_guarded(simulation) else { return };
    let span = Duration::from_secs(1) + simulation.some_span(&[15, 60, 150]);
    simulation.host_dies(&app, &stack);
    simulation.later(span, move |simulation| {
        simulation.mend_stack(&app, &stack);
        simulation.start(guard);
    });
}

/// A guard stands still, longer than any lease.
pub(super) fn stop_a_guard(simulation: &mut Simulation) {
    let Some((_, _, guard)) = some_guarded(simulation) else { return };
    let span = simulation.chance.between(Duration::from_secs(5), Duration::from_secs(45));
    simulation.stop(guard);
    simulation.later(span, move |simulation| simulation.resume(guard));
}

/// A whole site is cut off from the mesh: clients beside it still reach its database. Its guard may still reach those of
/// the other stacks.
pub(super) fn cut_off_a_site(simulation: &mut Simulation) {
    let Some((app, stack, _)) = some_guarded(simulation) else { return };
    let from_guards = simulation.chance.happens(0.5);
    let span = simulation.chance.between(Duration::from_secs(5), Duration::from_secs(60));
    simulation.cut_off_site(&app, &stack, from_guards);
    simulation.later(span, move |simulation| simulation.reach_site(&app, &stack));
}

/// Most voters are gone at once, and come back one by one.
pub(super) fn lose_voters(simulation: &mut Simulation) {
    let voters = simulation.agents[0].config.voters.members.len();
    let (kills, most) = (simulation.chance.happens(0.5), simulation.chance.happens(0.5));
    for place in (0..voters).filter(|place| !most || place % 4 != 3) {
        let span = simulation.chance.between(Duration::from_secs(3), Duration::from_secs(40));
        match kills {
            true => simulation.crash(place),
            false => simulation.stop(place),
        }
        simulation.later(span, move |simulation| match kills {
            true => simulation.start(place),
            false => simulation.resume(place),
        });
    }
}

/// Somebody has another agent guard a stack's database: one that guarded nothing so far.
pub(super) fn name_another_guard(simulation: &mut Simulation) {
    let (place, app) = (simulation.some_place(), simulation.some_app());
    let Some(state) = simulation.agreed(&app) else { return };
    let mut definition = state.definition.as_ref().clone();
    let named: Vec<AgentId> =
        definition.guarded().filter_map(|(_, database)| database.guard.clone()).collect();
    let voters = simulation.agents[0].config.voters.members.len();
    let agents = simulation.agents[voters..].iter().map(|agent| agent.id.clone());
    let free: Vec<AgentId> = agents.filter(|agent| !named.contains(agent)).collect();
    if free.is_empty() || named.is_empty() {
        return;
    }
    let spare = simulation.chance.pick(&free).clone();
    let stack = simulation.chance.below(definition.stacks.len() as u64) as usize;
    for database in &mut definition.stacks[stack].databases {
        database.guard = Some(spare.clone());
    }
    simulation.say(|| format!("names {spare} as a guard of {app}"));
    simulation.named.insert(spare);
    simulation.apply(place, definition);
}

/// An app whose databases have guards, its active stack mostly, and where its guard runs.
fn some_guarded(simulation: &mut Simulation) -> Option<(AppId, StackId, Place)> {
    let app = simulation.some_app();
    let state = simulation.agreed(&app)?;
    let stacks = &state.definition.stacks;
    let stack = match simulation.chance.happens(0.8) {
        true => state.active.clone(),
        false => simulation.chance.pick(stacks).name.clone(),
    };
    let guard = simulation.guard_of(&app, &stack)?;
    Some((app, stack, guard))
}

impl Simulation {
    /// Where the guard of a stack's database runs.
    pub fn guard_of(&self, app: &AppId, stack: &StackId) -> Option<Place> {
        let state = self.agreed(app)?;
        let guards = state.definition.guards(stack);
        self.place(guards.into_iter().next()?)
    }

    /// Where guards run.
    pub fn guards(&self) -> BTreeSet<Place> {
        let states: Vec<_> = self.apps.keys().filter_map(|app| self.agreed(app)).collect();
        let guards = states.iter().flat_map(|state| state.definition.guarded());
        guards.filter_map(|(_, database)| self.place(database.guard.as_ref()?)).collect()
    }

    /// Where guards run, those that were named before them, and those that may be next.
    pub fn ever_guards(&self) -> BTreeSet<Place> {
        let chosen = self.apps.keys().flat_map(|app| self.registers.history(app));
        let guards = chosen.flat_map(|chosen| chosen.state.definition.guarded());
        let guards = guards.filter_map(|(_, database)| database.guard.as_ref());
        guards.chain(&self.named).filter_map(|guard| self.place(guard)).collect()
    }

    /// The host of a stack's database dies: whatever ran on it.
    pub fn host_dies(&mut self, app: &AppId, stack: &StackId) {
        self.break_web(app, stack, Web::Dark);
        self.break_database(app, stack, Host::Dark);
        if let Some(guard) = self.guard_of(app, stack) {
            self.crash(guard);
        }
    }

    /// Nobody but whoever is beside it reaches a site any more.
    pub fn cut_off_site(&mut self, app: &AppId, stack: &StackId, from_guards: bool) {
        let Some(guard) = self.guard_of(app, stack) else { return };
        let voters = self.agents[0].config.voters.members.len();
        self.say(|| format!("the site of {app}/{stack} is cut off"));
        for other in (0..self.agents.len()).filter(|other| *other != guard) {
            let key = (self.agents[other].id.clone(), app.clone(), stack.clone());
            self.world.paths.insert(key, Path { cut: true, loss: 0.0 });
            if from_guards || other < voters {
                self.network.edge_mut(guard, other).cut = true;
                self.network.edge_mut(other, guard).cut = true;
            }
        }
        self.world.hear(self.now);
        let elsewhere = |id: &&TargetId| id.app == *app && id.stack != *stack;
        let severed: Vec<_> = self.world.databases.keys().filter(elsewhere).cloned().collect();
        self.world.severed.extend(severed);
        self.count("sites cut off");
        self.look_at_links();
        self.outside_changed();
    }

    /// Everybody reaches it again.
    pub fn reach_site(&mut self, app: &AppId, stack: &StackId) {
        let Some(guard) = self.guard_of(app, stack) else { return };
        self.say(|| format!("the site of {app}/{stack} is reached again"));
        self.world.paths.retain(|(_, of, at), _| (of, at) != (app, stack));
        self.world.severed.retain(|id| id.app != *app);
        for other in (0..self.agents.len()).filter(|other| *other != guard) {
            self.network.edge_mut(guard, other).cut = false;
            self.network.edge_mut(other, guard).cut = false;
        }
        self.look_at_links();
        self.outside_changed();
    }

    /// Does this agent's clock decide when a door shuts?
    pub(super) fn may_guard(&self, place: Place) -> bool {
        !self.world.doors.of.is_empty() && place >= self.agents[0].config.voters.members.len()
    }
}
