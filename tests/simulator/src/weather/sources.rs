//! What befalls the sources of followed endpoints: they name others, fail, tell of nothing, or tell agents different things.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use consensus::model::{AppId, Place, StackId};

use super::Simulation;
use crate::world::{Told, Web, is_deserted};

/// How often in a second something befalls the sources of an app.
const TURNS: f64 = 0.04;
/// Servers a stack has beside the one it began with.
const OTHERS: u8 = 3;

const fn place(address: [u8; 4]) -> Place {
    let [a, b, c, d] = address;
    Place { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port: None }
}

impl Simulation {
    /// Every source tells what was defined at first, and lives from then on.
    pub fn begin_sources(&mut self) {
        self.wandering = true;
        for (app, stack) in self.followed() {
            let first = self.servers_of(&app, &stack).into_iter().take(1).collect();
            self.world.tell(None, &app, &stack, Ok(first));
        }
    }

    /// A second in the life of an app's sources.
    pub(crate) fn turn_sources(&mut self, app: &AppId) {
        if !self.climate.strikes() || !self.chance.happens(TURNS) {
            return;
        }
        let mut stacks = self.followed();
        stacks.retain(|(of, _)| of == app);
        let (app, stack) = self.chance.pick(&stacks).clone();
        self.count("turns of sources");
        let servers = self.servers_of(&app, &stack);
        let told: Told = match self.chance.below(10) {
            0 => Err("no answer".to_owned()),
            1 => Ok(BTreeSet::new()),
            _ => {
                let some = servers.iter().filter(|_| self.chance.happens(0.4)).copied();
                let mut some: BTreeSet<Place> = some.collect();
                if some.is_empty() {
                    some.insert(*self.chance.pick(&servers));
                }
                if self.chance.happens(0.2) {
                    some.insert(place([192, 0, 2, 66]));
                }
                Ok(some)
            }
        };
        match self.chance.below(10) {
            0..=4 => self.tells(None, &app, &stack, told),
            5..=7 => {
                // A poisoned cache, and whoever serves there serves well.
                let agent = self.some_place();
                let lie = told.map(|mut places| {
                    if self.chance.happens(0.5) {
                        places.insert(place([203, 0, 113, 66]));
                    }
                    places
                });
                self.tells(Some(agent), &app, &stack, lie);
            }
            8 => self.world.tell_all_alike(),
            _ => {
                let server = *self.chance.pick(&servers);
                let span = self.some_span(&[5, 60]);
                self.serves_not(&app, &stack, server, span);
            }
        }
    }

    /// Sources tell everybody alike of somebody who serves.
    pub(crate) fn heal_sources(&mut self) {
        self.world.tell_all_alike();
        for (app, stack) in self.followed() {
            let told = self.world.told_all(&app, &stack).cloned();
            let well = |places: &BTreeSet<Place>| places.iter().any(|it| !is_deserted(it));
            if !told.is_some_and(|told| told.is_ok_and(|places| well(&places))) {
                let first = self.servers_of(&app, &stack).into_iter().take(1).collect();
                self.tells(None, &app, &stack, Ok(first));
            }
        }
    }

    fn tells(&mut self, to: Option<usize>, app: &AppId, stack: &StackId, told: Told) {
        let agent = to.map(|place| self.agents[place].id.clone());
        self.say(|| {
            let whom = agent.as_ref().map_or("everybody".into(), ToString::to_string);
            let what = match &told {
                Ok(places) => places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                Err(why) => why.clone(),
            };
            format!("the source of {app}/{stack} tells {whom} [{what}]")
        });
        self.world.tell(agent.as_ref(), app, stack, told);
        self.outside_changed();
    }

    /// One server is gone for a while, whether it is named or not.
    fn serves_not(&mut self, app: &AppId, stack: &StackId, server: Place, span: Duration) {
        let Some(state) = self.agreed(app) else { return };
        let mut following = state.definition.following.iter();
        let Some(of) = following.find(|of| of.stack == *stack) else { return };
        let (app, stack, name) = (app.clone(), stack.clone(), of.at(server).name);
        let id = consensus::model::TargetId { app, stack, name };
        self.break_endpoint(&id, Web::Refusing);
        self.later(span, move |simulation| simulation.break_endpoint(&id, Web::Up));
    }

    /// Every stack whose endpoints are followed.
    fn followed(&self) -> Vec<(AppId, StackId)> {
        let apps = self.apps.iter();
        let of = apps.flat_map(|(app, trade)| {
            trade.definition.following.iter().map(|of| (app.clone(), of.stack.clone()))
        });
        of.collect()
    }

    /// Who could be named: first the one that is defined.
    fn servers_of(&self, app: &AppId, stack: &StackId) -> Vec<Place> {
        let stacks = &self.apps[app].definition.stacks;
        let at = stacks.iter().position(|it| it.name == *stack).unwrap_or_default() as u8;
        let others = (1..=OTHERS).map(|it| place([198, 51, 100, 10 * (at + 1) + it]));
        std::iter::once(place([198, 51, 100, at + 1])).chain(others).collect()
    }
}
