//! What goes wrong: drawn per seed which kinds, how often and for how long, so that seeds differ in character.
//!
//! Two sorts of trouble. What *strikes* ([`FAULTS`]: one function a fault, in the file of what it hits) does so now and
//! then, and ends by itself by means of [`Simulation::later`]. What *lasts* ([`Rates`]) makes every record, request and
//! look a risk while chaos reigns. [`Simulation::heal`] ends all of both. To add a fault, write its function and its line
//! in [`FAULTS`], or its rate and the one place that asks for it.

mod agents;
mod clocks;
mod data;
mod disks;
mod heal;
mod leases;
mod links;
mod outside;
pub mod people;
mod rates;
mod sources;
mod stores;
mod world;

use std::fmt;
use std::time::Duration;

use consensus::model::AppId;

use super::chance::Chance;
use super::network::Place;
use super::simulation::{Aim, Event, Simulation};
pub use outside::edit_a_record;
pub use rates::{Moments, Rates};

/// Something that strikes now and then.
#[derive(Clone, Copy)]
pub struct Fault {
    /// What it is, for the swarm's table.
    pub name: &'static str,
    /// How often beside the others, in a seed that has it.
    pub weight: u64,
    strike: fn(&mut Simulation),
}

/// Everything that strikes. A seed has about half of them.
pub const FAULTS: &[Fault] = &[
    Fault { name: "strike: an agent is killed", weight: 4, strike: agents::kill_one },
    Fault { name: "strike: a power cut", weight: 2, strike: agents::power_cut },
    Fault { name: "strike: rolling restarts", weight: 1, strike: agents::rolling_restart },
    Fault { name: "strike: a process is stopped", weight: 3, strike: agents::stop_one },
    Fault { name: "strike: an agent is overloaded", weight: 2, strike: agents::overload_one },
    Fault { name: "strike: a machine is suspended", weight: 2, strike: clocks::suspend },
    Fault { name: "strike: a clock does not count it", weight: 1, strike: clocks::freeze },
    Fault { name: "strike: a wall clock is set", weight: 2, strike: clocks::jump },
    Fault { name: "strike: a disk is full", weight: 1, strike: disks::fill },
    Fault { name: "strike: a disk is lost", weight: 1, strike: stores::wipe_one },
    Fault { name: "strike: a disk is copied", weight: 1, strike: stores::roll_one_back },
    Fault { name: "strike: somebody changes who votes", weight: 3, strike: stores::change_voters },
    Fault { name: "strike: a partition", weight: 6, strike: links::partition },
    Fault { name: "strike: links go one by one", weight: 2, strike: links::swizzle },
    Fault { name: "strike: packets are lost", weight: 2, strike: links::lose_packets },
    Fault { name: "strike: a stack breaks", weight: 8, strike: outside::break_some_stack },
    Fault { name: "strike: a site breaks", weight: 2, strike: outside::break_site },
    Fault { name: "strike: a stack comes and goes", weight: 1, strike: outside::flap_some_stack },
    Fault { name: "strike: paths to a stack break", weight: 2, strike: outside::blind_some },
    Fault { name: "strike: agents lose the world", weight: 2, strike: world::lose_the_world },
    Fault { name: "strike: canaries fall silent", weight: 1, strike: world::silence_canaries },
    Fault { name: "strike: all voters are blind", weight: 1, strike: world::blind_voters },
    Fault {
        name: "strike: a DNS server is in trouble",
        weight: 2,
        strike: outside::trouble_server,
    },
    Fault { name: "strike: a DNS server refuses keys", weight: 1, strike: outside::bar_some },
    Fault { name: "strike: a record is edited", weight: 1, strike: edit_a_record },
    Fault { name: "strike: a replica is cut off", weight: 2, strike: data::sever_replica },
    Fault { name: "strike: a replica is stuck", weight: 2, strike: data::stick_replica },
    Fault { name: "strike: a replica applies nothing", weight: 2, strike: data::idle_replica },
    Fault { name: "strike: a replica goes astray", weight: 1, strike: data::lead_astray },
    Fault { name: "strike: replicas are rebuilt", weight: 2, strike: Simulation::rebuild_replicas },
    Fault { name: "strike: somebody asks for a move", weight: 4, strike: people::ask_for_a_move },
    Fault { name: "strike: a host dies", weight: 4, strike: leases::host_dies },
    Fault { name: "strike: a guard is stopped", weight: 3, strike: leases::stop_a_guard },
    Fault { name: "strike: a site is cut off", weight: 5, strike: leases::cut_off_a_site },
    Fault { name: "strike: most voters are gone", weight: 2, strike: leases::lose_voters },
    Fault { name: "strike: another guard is named", weight: 2, strike: leases::name_another_guard },
    Fault { name: "strike: somebody applies", weight: 2, strike: people::apply },
    Fault { name: "strike: somebody freezes an app", weight: 1, strike: people::freeze },
    Fault { name: "strike: somebody lets an app go on", weight: 1, strike: people::let_go },
    Fault { name: "strike: somebody calls a move off", weight: 3, strike: people::call_off },
];

/// Which faults strike in this seed, and how often beside each other.
#[derive(Clone, Debug, Default)]
pub struct Climate(Vec<(u64, Fault)>);

impl Climate {
    /// Half of all faults, at weights of their own; now and then all of them.
    pub fn draw(chance: &mut Chance) -> Self {
        let all = chance.happens(0.1);
        let drawn = FAULTS.iter().filter_map(|fault| {
            let (has, weight) = (all || chance.happens(0.5), fault.weight * (1 + chance.below(4)));
            has.then_some((weight, *fault))
        });
        Self(drawn.collect())
    }

    /// Without what befalls links, and with blind voters: where there is a crowd of observers, it is to be heard.
    fn spare_links(&mut self) {
        let of_links =
            ["strike: a partition", "strike: links go one by one", "strike: packets are lost"];
        self.0.retain(|(_, fault)| !of_links.contains(&fault.name));
        let blind = FAULTS.iter().find(|fault| fault.name == "strike: all voters are blind");
        self.0.extend(blind.map(|fault| (8, *fault)));
    }

    /// Does anything strike at all?
    pub fn strikes(&self) -> bool {
        !self.0.is_empty()
    }

    fn pick(&self, chance: &mut Chance) -> Option<Fault> {
        let total = self.0.iter().map(|(weight, _)| weight).sum::<u64>();
        let mut at = chance.below(total.max(1));
        let here = |(weight, fault): &(u64, Fault)| match at < *weight {
            true => Some(*fault),
            false => {
                at -= weight;
                None
            }
        };
        self.0.iter().find_map(here)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Simulation {
    /// Chaos begins.
    pub fn unleash(&mut self) {
        self.rates = Rates::draw(&mut self.chance);
        self.climate = Climate::draw(&mut self.chance);
        if self.crowded() && self.chance.happens(0.7) {
            self.climate.spare_links();
            self.rates.own_trouble = 0.0;
        }
        self.aim = self.chance.happens(0.5).then(|| Aim::draw(&mut self.chance));
        for trade in self.apps.values_mut() {
            trade.stubborn = self.chance.happens(0.3);
        }
        self.after(Duration::from_secs(1), Event::Strike);
    }

    /// Something breaks, and then something else.
    pub(super) fn strike(&mut self) {
        if let Some(fault) = self.climate.pick(&mut self.chance) {
            self.count(fault.name);
            (fault.strike)(self);
        }
        let span = self.chance.between(Duration::from_millis(200), self.rates.calm_for * 2);
        self.after(span, Event::Strike);
    }

    /// Does something after a while, unless everything has been healed by then: how what strikes ends.
    pub(crate) fn later(&mut self, span: Duration, what: impl FnOnce(&mut Self) + 'static) {
        self.after(span, Event::Later(Box::new(what)));
    }

    fn some_place(&mut self) -> Place {
        self.chance.below(self.agents.len() as u64) as Place
    }

    fn some_app(&mut self) -> AppId {
        let apps: Vec<AppId> = self.apps.keys().cloned().collect();
        self.chance.pick(&apps).clone()
    }

    /// A while, mostly short.
    fn some_span(&mut self, most: &[u64]) -> Duration {
        let most = Duration::from_secs(*self.chance.pick(most));
        self.chance.between(Duration::from_millis(50), most)
    }
}
