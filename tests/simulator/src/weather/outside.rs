//! What befalls stacks, the ways to them, and DNS servers.

use std::net::Ipv4Addr;
use std::time::Duration;

use consensus::model::{AppId, RecordData, RecordKind, StackId, TargetId};

use super::Simulation;
use crate::network::Place;
use crate::scene::DNS_SERVER;
use crate::world::{Host, Path, Trouble, Web};

/// Something of a stack stops working, most often the active one's everything.
pub(super) fn break_some_stack(simulation: &mut Simulation) {
    let app = simulation.some_app();
    let Some(state) = simulation.agreed(&app) else { return };
    let stacks: Vec<StackId> = state.definition.stacks.iter().map(|s| s.name.clone()).collect();
    let stack = match simulation.chance.happens(0.7) {
        true => state.active.clone(),
        false => simulation.chance.pick(&stacks).clone(),
    };
    let web = *simulation.chance.pick(&[
        Web::Refusing,
        Web::Dark,
        Web::Failing,
        Web::Slow(Duration::from_millis(2_500)),
    ]);
    let host = *simulation.chance.pick(&[Host::Refusing, Host::Dark]);
    match simulation.chance.below(7) {
        0 => simulation.break_web(&app, &stack, web),
        1 => simulation.break_database(&app, &stack, host),
        2 => simulation.crowd_database(&app, &stack),
        _ => {
            simulation.break_web(&app, &stack, web);
            simulation.break_database(&app, &stack, host);
        }
    }
    simulation.outside_changed();
    let span = Duration::from_secs(1) + simulation.some_span(&[5, 30, 150]);
    simulation.later(span, move |simulation| simulation.mend_stack(&app, &stack));
}

/// Some or all stacks of a site break at once.
pub(super) fn break_site(simulation: &mut Simulation) {
    let app = simulation.some_app();
    let Some(state) = simulation.agreed(&app) else { return };
    let site = state.definition.stack(&state.active).map(|stack| stack.site.clone());
    let share = *simulation.chance.pick(&[0.4, 0.6, 1.0, 1.0]);
    let web = *simulation.chance.pick(&[Web::Refusing, Web::Dark]);
    let apps: Vec<AppId> = simulation.apps.keys().cloned().collect();
    let mut stacks: Vec<(AppId, StackId)> = Vec::new();
    for app in apps {
        let Some(state) = simulation.agreed(&app) else { continue };
        let here =
            state.definition.stacks.iter().filter(|stack| Some(&stack.site) == site.as_ref());
        for stack in here {
            if simulation.chance.happens(share) {
                stacks.push((app.clone(), stack.name.clone()));
            }
        }
    }
    for (app, stack) in &stacks {
        simulation.break_web(app, stack, web);
        simulation.break_database(app, stack, Host::Dark);
    }
    let span = Duration::from_secs(1) + simulation.some_span(&[30, 150]);
    simulation.later(span, move |simulation| {
        for (app, stack) in &stacks {
            simulation.mend_stack(app, stack);
        }
    });
}

/// A stack comes and goes: down for longer than its window, up for a little, several times.
pub(super) fn flap_some_stack(simulation: &mut Simulation) {
    let app = simulation.some_app();
    let Some(state) = simulation.agreed(&app) else { return };
    let stacks: Vec<StackId> = state.definition.stacks.iter().map(|s| s.name.clone()).collect();
    let stack = simulation.chance.pick(&stacks).clone();
    let window = state.definition.probe.window;
    let (down, up) = (window.mul_f64(1.4), window.mul_f64(0.7));
    for turn in 0..3 + simulation.chance.below(4) as u32 {
        let (app, stack) = (app.clone(), stack.clone());
        let begins = (down + up) * turn;
        simulation.later(begins, move |simulation| {
            simulation.break_web(&app, &stack, Web::Refusing);
            simulation.break_database(&app, &stack, Host::Refusing);
            simulation.later(down, move |simulation| simulation.mend_stack(&app, &stack));
        });
    }
}

/// A stack is not seen, or not well, by some agents: by a whole region's as often as by any.
pub(super) fn blind_some(simulation: &mut Simulation) {
    let app = simulation.some_app();
    let Some(state) = simulation.agreed(&app) else { return };
    let (stack, share) = (state.active.clone(), simulation.chance.rate(1.0));
    let path = match simulation.chance.happens(0.6) {
        true => Path { cut: true, loss: 0.0 },
        false => Path { cut: false, loss: simulation.chance.rate(0.6) },
    };
    let regional = simulation.chance.happens(0.5);
    let somebody = simulation.some_place();
    let region = simulation.agents[somebody].config.region.clone();
    for place in 0..simulation.agents.len() {
        let blind = match regional {
            true => simulation.agents[place].config.region == region,
            false => simulation.chance.happens(share),
        };
        if !blind {
            continue;
        }
        let agent = simulation.agents[place].id.clone();
        let span = simulation.chance.between(Duration::from_secs(1), Duration::from_secs(60));
        simulation.say(|| format!("{agent} does not see {app}/{stack} well: {path:?}"));
        let way = (agent, app.clone(), stack.clone());
        simulation.world.paths.insert(way.clone(), path);
        simulation.later(span, move |simulation| {
            simulation.say(|| format!("{} sees {}/{} again", way.0, way.1, way.2));
            simulation.world.paths.remove(&way);
            simulation.outside_changed();
        });
    }
    simulation.outside_changed();
}

/// A DNS server answers nobody, or everybody with an error, done or not.
pub(super) fn trouble_server(simulation: &mut Simulation) {
    let trouble = *simulation.chance.pick(&[
        Trouble::Dark,
        Trouble::Refusing,
        Trouble::Failing { done: false },
        Trouble::Failing { done: true },
    ]);
    let span = simulation.some_span(&[5, 60, 200]);
    simulation.say(|| format!("{DNS_SERVER} is {trouble:?}"));
    simulation.trouble_server(trouble, span);
}

/// DNS servers refuse the key of some agents.
pub(super) fn bar_some(simulation: &mut Simulation) {
    let share = simulation.chance.rate(1.0);
    for place in 0..simulation.agents.len() {
        if !simulation.chance.happens(share) {
            continue;
        }
        let agent = simulation.agents[place].id.clone();
        simulation.say(|| format!("{DNS_SERVER} refuses the key of {agent}"));
        simulation.world.barred.insert(agent.clone());
        let span = Duration::from_secs(1) + simulation.some_span(&[30, 150]);
        simulation.later(span, move |simulation| {
            simulation.say(|| format!("{DNS_SERVER} takes the key of {agent} again"));
            simulation.world.barred.remove(&agent);
        });
    }
}

/// Somebody writes over an app's address by hand.
pub fn edit_a_record(simulation: &mut Simulation) {
    let app = simulation.some_app();
    let Some(state) = simulation.agreed(&app) else { return };
    for record in state.definition.records.iter().filter(|it| it.kind == RecordKind::A) {
        let data = RecordData::Address(Ipv4Addr::new(203, 0, 113, 99).into());
        simulation.say(|| format!("somebody has {} hold {data}", record.name));
        simulation.world.edit(&record.name, record.kind, &data);
    }
}

impl Simulation {
    /// The DNS server answers nobody for a while.
    pub(super) fn darken_server(&mut self, span: Duration) {
        self.say(|| format!("{DNS_SERVER} is dark"));
        self.trouble_server(Trouble::Dark, span);
    }

    fn trouble_server(&mut self, trouble: Trouble, span: Duration) {
        self.world.servers.entry(DNS_SERVER.into()).or_default().trouble = trouble;
        self.later(span, |simulation| {
            simulation.say(|| format!("{DNS_SERVER} answers again"));
            let server = simulation.world.servers.entry(DNS_SERVER.into()).or_default();
            server.trouble = Trouble::None;
        });
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

    /// One of a stack's endpoints behaves like this.
    pub fn break_endpoint(&mut self, id: &TargetId, how: Web) {
        self.world.hear(self.now);
        self.say(|| format!("{id} is {how:?}"));
        if let Some(web) = self.world.webs.get_mut(id) {
            *web = how;
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

    /// The set of a stack's database elects it.
    pub fn elect(&mut self, app: &AppId, stack: &StackId) {
        let Some(id) = self.database(app, stack) else { return };
        self.say(|| format!("{id} is elected by its set"));
        self.world.elect(self.now, &id);
        self.outside_changed();
    }

    /// A stack's database leads another set of the same name, by an election of the same number.
    pub fn set_apart(&mut self, app: &AppId, stack: &StackId) {
        let Some(id) = self.database(app, stack) else { return };
        self.say(|| format!("{id} leads another set of that name"));
        self.world.claim(&id);
        self.world.databases.get_mut(&id).expect("it is in the world").system ^= 1;
        self.outside_changed();
    }

    /// A stack's database claims to be the primary by an election that another won.
    pub fn claim(&mut self, app: &AppId, stack: &StackId) {
        let Some(id) = self.database(app, stack) else { return };
        self.say(|| format!("{id} claims to be the primary, too"));
        self.world.claim(&id);
        self.outside_changed();
    }

    /// An agent reaches a stack's database no more.
    pub fn hide_database(&mut self, place: Place, app: &AppId, stack: &StackId) {
        let Some(id) = self.database(app, stack) else { return };
        self.world.hidden.insert((self.agents[place].id.clone(), id));
        self.outside_changed();
    }

    /// A stack's database answers that it has too many clients.
    fn crowd_database(&mut self, app: &AppId, stack: &StackId) {
        let Some(id) = self.database(app, stack) else { return };
        self.world.hear(self.now);
        self.say(|| format!("{id} has too many clients"));
        self.world.databases.get_mut(&id).expect("was just found").unready = true;
    }
}
