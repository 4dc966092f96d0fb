//! Ordeals: short runs in which one rule alone stands between what happens and harm.
//!
//! Each is a small world at peace, one trouble aimed at one rule, and every checker: with all rules in force nothing is
//! broken and the mesh comes to rest; without the rule somebody sees harm within a few seeds. `swarm` goes through all of
//! them beside its seeds, so that what shows that a mutant is caught shows, too, that the rule holds.

mod damping;
mod followed;
mod guards;
mod outside;
mod sight;
mod sync;
mod voters;
mod words;

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::config::Mutant;
use consensus::model::{AppId, AppState, ProbePolicy, StackId};
use consensus::outbox::Command;

use super::chance::Chance;
use super::network::Place;
use super::scene::{AppShape, MeshShape, agent_name, name};
use super::simulation::Simulation;
use super::swarm::{self, Verdict};
use super::world::{Path, Web};

/// One ordeal.
pub struct Ordeal {
    /// What befalls the mesh.
    pub name: &'static str,
    /// The rules without which it does harm.
    pub knows: &'static [Mutant],
    /// Who is there.
    shape: fn(&mut MeshShape, &mut Vec<AppShape>),
    /// What happens.
    play: fn(&mut Simulation, &mut Chance),
}

/// Every ordeal.
pub fn all() -> impl Iterator<Item = &'static Ordeal> {
    let seen = sight::ORDEALS.iter().chain(followed::ORDEALS);
    let said = words::ORDEALS.iter().chain(voters::ORDEALS);
    seen.chain(said)
        .chain(outside::ORDEALS)
        .chain(guards::ORDEALS)
        .chain(sync::ORDEALS)
        .chain(damping::ORDEALS)
}

/// What is healed comes to rest within this.
const REST: Duration = Duration::from_secs(240);
/// The window of every app here: voters know their own mind after so long.
const WINDOW: Duration = Duration::from_secs(2);

impl Ordeal {
    /// Goes through it once.
    pub fn run(&self, seed: u64, mutant: Option<Mutant>, kept: bool) -> Verdict {
        let mut chance = Chance::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(11));
        let mut mesh = MeshShape { mutant, ..MeshShape::spread(5, 3) };
        let mut apps = vec![AppShape::web("shop")];
        (self.shape)(&mut mesh, &mut apps);
        for app in &mut apps {
            app.probe = ProbePolicy {
                interval: Duration::from_millis(500),
                timeout: Duration::from_secs(1),
                window: WINDOW,
            };
        }
        let mut simulation = Simulation::new(&mesh, &apps, chance.bits(), kept);
        swarm::begin(&mut simulation, &apps);
        // Standbys qualify after seven and a half windows.
        wait(&mut simulation, &mut chance, 18_000..20_000);
        (self.play)(&mut simulation, &mut chance);
        simulation.snare = None;
        simulation.heal(&BTreeSet::new());
        swarm::settle(&mut simulation, &apps, REST, "a healed core settles");
        let of = format!("`{}`, ", self.name);
        Verdict { of, ..swarm::verdict(simulation, seed) }
    }
}

fn same(_: &mut MeshShape, _: &mut Vec<AppShape>) {}

/// A database in each stack, and a guard on the host of each.
fn guarded(mesh: &mut MeshShape, apps: &mut [AppShape]) {
    mesh.observers = vec![1, 2];
    apps[0].database = true;
    apps[0].guards = vec![agent_name(5), agent_name(6)];
}

fn shop() -> AppId {
    name("shop")
}

fn east() -> StackId {
    name("east")
}

fn west() -> StackId {
    name("west")
}

/// Lets some milliseconds pass.
fn wait(simulation: &mut Simulation, chance: &mut Chance, millis: std::ops::Range<u64>) {
    let (least, most) = (Duration::from_millis(millis.start), Duration::from_millis(millis.end));
    simulation.run_for(chance.between(least, most));
}

/// The web of a stack of the shop refuses everybody.
fn fells(simulation: &mut Simulation, stack: &StackId) {
    simulation.break_web(&shop(), stack, Web::Refusing);
}

/// These agents see nothing of a stack any more.
fn blinds(simulation: &mut Simulation, places: &[Place], app: &str, stack: &StackId) {
    for place in places {
        let way = (simulation.agents[*place].id.clone(), name(app), stack.clone());
        simulation.world.paths.insert(way, Path { cut: true, loss: 0.0 });
    }
    simulation.outside_changed();
}

/// Somebody wants the shop moved to west, by way of this agent: so all voters are asked what they see.
fn asks(simulation: &mut Simulation, place: Place) {
    let (to, by) = (Some(west()), "operator".to_owned());
    simulation.command(place, Command::Failover { app: shop(), to, accept_loss: false, by });
}

/// Is this agreed of the shop within so many tenths of a second?
fn until(simulation: &mut Simulation, tenths: u32, so: fn(&AppState) -> bool) -> bool {
    (0..tenths).any(|_| {
        simulation.run_for(Duration::from_millis(100));
        simulation.agreed(&shop()).is_some_and(|state| so(&state))
    })
}

/// Of five voters, all die but this one and another.
fn leaves_two(simulation: &mut Simulation, place: Place) {
    let others: Vec<_> = (0..5).filter(|it| *it != place).skip(1).collect();
    kills(simulation, &others);
}

fn kills(simulation: &mut Simulation, places: &[Place]) {
    for place in places {
        simulation.crash(*place);
    }
}

/// These agents die, and what they said last is forgotten: until then a stack they saw up is contested.
fn buries(simulation: &mut Simulation, chance: &mut Chance, places: &[Place]) {
    kills(simulation, places);
    wait(simulation, chance, 16_000..17_000);
}

/// These agents start anew: for four windows nobody counts their word.
fn restarts(simulation: &mut Simulation, places: &[Place]) {
    for place in places {
        simulation.crash(*place);
        simulation.start(*place);
    }
}

#[cfg(test)]
mod tests {
    use consensus::model::{Epoch, Token};

    use super::*;

    #[test]
    fn a_token_outside_that_nobody_agreed_on_is_an_alarm() {
        let ordeal = Ordeal {
            name: "somebody else has used a newer token",
            knows: &[],
            shape: |_, apps| apps[0].database = true,
            play: |simulation, chance| {
                let primary = simulation.database(&shop(), &east()).expect("it has one");
                let database = simulation.world.databases.get_mut(&primary).expect("it is there");
                database.token = Token::new(Epoch(9), 1, 1);
                asks(simulation, 0);
                wait(simulation, chance, 5_000..6_000);
            },
        };
        let verdict = ordeal.run(0, None, false);
        let alarms = verdict.violations.iter().filter(|it| it.checker == "no alarm");
        assert!(alarms.count() > 0, "{:?}", verdict.violations);
        assert!(verdict.violations[0].text.contains("superseded"), "{}", verdict.violations[0]);
    }

    #[test]
    fn ordeals_do_no_harm_while_every_rule_is_in_force() {
        for ordeal in all() {
            let verdict = ordeal.run(0, None, false);
            assert!(verdict.violations.is_empty(), "{}: {}", ordeal.name, verdict.violations[0]);
        }
    }
}
