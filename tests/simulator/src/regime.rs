//! Days of one kind of bad weather in which every stack is truly well: not one failover may happen.
//!
//! What chaos cannot show, as it breaks stacks as well: that trouble of agents, links and clocks alone moves nothing. A guard that
//! is cut off or stands still closes its database, which is no false failover's weather: packets of guards are lost as anybody's
//! are, and nothing else befalls them.
//! After it everything is healed, the mesh must come to rest, and a stack that then really dies must be left.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::model::Region;

use super::chance::Chance;
use super::network::Place;
use super::scene::{AppShape, MeshShape, agent_name};
use super::simulation::Simulation;
use super::swarm::{self, Verdict};
use super::world::Path;

/// One kind of bad weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// A tenth of all packets is lost, between agents and on the way to stacks.
    Loss,
    /// Nearly a third is, for any minority of agents.
    Minority,
    /// One voter stands still half of the time.
    Paused,
    /// Any one region is cut off, from the others and from most stacks.
    Region,
    /// The canaries of any one region are dead.
    Canaries,
    /// Wall clocks show anything.
    Clocks,
}

impl Regime {
    /// All of them, by the names that the command line knows.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("loss", Self::Loss),
        ("minority", Self::Minority),
        ("paused", Self::Paused),
        ("region", Self::Region),
        ("canaries", Self::Canaries),
        ("clocks", Self::Clocks),
    ];
}

/// How long one victim is bothered before it is another's turn.
const TURN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1800));
/// A false failover, in one word for the checkers' table.
const FALSE: &str = "no false failover";

/// Lets a mesh live under a regime for this long.
pub fn run(regime: Regime, seed: u64, span: Duration, kept: bool) -> Verdict {
    let mut chance = Chance::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(3));
    let (voters, regions) = *chance.pick(&[(5, 3), (5, 3), (5, 5), (7, 3), (3, 3)]);
    let mut mesh = MeshShape::spread(voters, regions);
    mesh.canaries = if regime == Regime::Canaries || chance.happens(0.5) { 3 } else { 0 };
    let mut apps =
        vec![AppShape::with_database("shop", chance.happens(0.5)), AppShape::web("blog")];
    for app in &mut apps {
        app.outside = chance.happens(0.5);
    }
    guard(&mut mesh, &mut apps[0], seed);
    let mut simulation = Simulation::new(&mesh, &apps, chance.bits(), kept);
    swarm::begin(&mut simulation, &apps);
    simulation.run_for(Duration::from_secs(90));
    turn(&mut simulation, regime);
    let end = simulation.now + span;
    while simulation.now < end && simulation.violations.is_empty() {
        simulation.run_for(Duration::from_secs(60));
        let moved = simulation.tally.get("failovers").copied().unwrap_or_default();
        if 0 < moved {
            simulation.report(vec![(FALSE, format!("under {regime:?}, while all was well"))]);
        }
    }
    simulation.heal(&BTreeSet::new());
    swarm::finish(&mut simulation, &apps, &mut chance);
    swarm::verdict(simulation, seed)
}

/// Half of all databases have guards, and a third of those are seen through them alone: drawn apart.
fn guard(mesh: &mut MeshShape, app: &mut AppShape, seed: u64) {
    let mut chance = Chance::new(seed.wrapping_mul(0x9fb2_1c65_1e98_df25).wrapping_add(19));
    if chance.happens(0.5) {
        let first = mesh.voters.len() + mesh.standbys.len() + mesh.observers.len();
        app.guards = (0..app.stacks.len()).map(|at| agent_name(first + at)).collect();
        app.hidden = chance.happens(1.0 / 3.0);
        let regions = mesh.voters.iter().max().copied().unwrap_or(1);
        mesh.observers.extend((0..app.guards.len() as u64).map(|at| at % regions + 1));
    }
}

/// Begins to bother the next victim, and arranges for another to follow.
fn turn(simulation: &mut Simulation, regime: Regime) {
    let span = simulation.chance.between(TURN.0, TURN.1);
    match regime {
        Regime::Loss => {
            let all: Vec<Place> = (0..simulation.agents.len()).collect();
            lose(simulation, &all, 0.1);
        }
        Regime::Minority => {
            let victims = some_minority(simulation);
            lose(simulation, &victims, 0.3);
        }
        Regime::Paused => {
            let all = others(simulation);
            let victim = *simulation.chance.pick(&all);
            let beat = [200, 1_000, 5_000, 30_000, 120_000];
            let beat = Duration::from_millis(*simulation.chance.pick(&beat));
            pause(simulation, victim, beat, span);
        }
        Regime::Region => {
            let region = some_region(simulation);
            isolate(simulation, &region);
        }
        Regime::Canaries => {
            let region = some_region(simulation);
            let victims = simulation.agents.iter().filter(|agent| agent.config.region == region);
            simulation.world.silent = victims.map(|agent| agent.id.clone()).collect();
        }
        Regime::Clocks => {
            for agent in &mut simulation.agents {
                let ten_years = 315_360_000_000;
                let jump = simulation.chance.below(2 * ten_years) as i64 - ten_years as i64;
                agent.clock.wall_off_ms = jump;
            }
        }
    }
    simulation.later(span, move |simulation| {
        clear(simulation);
        turn(simulation, regime);
    });
}

fn clear(simulation: &mut Simulation) {
    simulation.network.heal();
    simulation.world.paths.clear();
    simulation.world.silent.clear();
    simulation.world.outward.clear();
    simulation.look_at_links();
    simulation.outside_changed();
}

fn some_region(simulation: &mut Simulation) -> Region {
    let regions: BTreeSet<Region> =
        simulation.agents.iter().map(|agent| agent.config.region.clone()).collect();
    let regions: Vec<Region> = regions.into_iter().collect();
    simulation.chance.pick(&regions).clone()
}

/// Agents that guard nothing.
fn others(simulation: &Simulation) -> Vec<Place> {
    let guards = simulation.guards();
    (0..simulation.agents.len()).filter(|place| !guards.contains(place)).collect()
}

fn some_minority(simulation: &mut Simulation) -> Vec<Place> {
    let all = others(simulation);
    let most = (all.len() - 1) / 2;
    let wanted = 1 + simulation.chance.below(most as u64) as usize;
    let mut victims = BTreeSet::new();
    while victims.len() < wanted {
        victims.insert(*simulation.chance.pick(&all));
    }
    victims.into_iter().collect()
}

/// Packets of these agents are lost, to and from others, to every stack and to canaries. A look is several packets that are sent again
/// when lost: what a share of lost packets makes fail of looks is less, but a share is what is simulated.
fn lose(simulation: &mut Simulation, victims: &[Place], share: f64) {
    let count = simulation.agents.len();
    for &victim in victims {
        for other in (0..count).filter(|other| *other != victim) {
            simulation.network.edge_mut(victim, other).loss = share;
            simulation.network.edge_mut(other, victim).loss = share;
        }
        let agent = simulation.agents[victim].id.clone();
        simulation.world.outward.insert(agent, Path { cut: false, loss: share });
    }
    simulation.outside_changed();
}

fn blind(simulation: &mut Simulation, place: Place, path: Path) {
    let agent = simulation.agents[place].id.clone();
    let stacks: Vec<_> = simulation
        .apps
        .iter()
        .flat_map(|(app, trade)| {
            trade.definition.stacks.iter().map(|it| (app.clone(), it.name.clone()))
        })
        .collect();
    for (app, stack) in stacks {
        simulation.world.paths.insert((agent.clone(), app, stack), path);
    }
}

/// An agent stands still and goes on, in turns, until its time is over.
fn pause(simulation: &mut Simulation, victim: Place, beat: Duration, left: Duration) {
    let Some(rest) = left.checked_sub(beat * 2) else { return };
    simulation.stop(victim);
    simulation.later(beat, move |simulation| {
        simulation.resume(victim);
        simulation.later(beat, move |simulation| pause(simulation, victim, beat, rest));
    });
}

/// A region loses everybody else, and half the time every stack.
fn isolate(simulation: &mut Simulation, region: &Region) {
    let guards = simulation.guards();
    let inside = |place: Place, simulation: &Simulation| {
        simulation.agents[place].config.region == *region && !guards.contains(&place)
    };
    let blinded = simulation.chance.happens(0.5);
    for from in 0..simulation.agents.len() {
        for to in 0..simulation.agents.len() {
            if inside(from, simulation) != inside(to, simulation) {
                simulation.network.edge_mut(from, to).cut = true;
            }
        }
        if blinded && inside(from, simulation) {
            blind(simulation, from, Path { cut: true, loss: 0.0 });
        }
    }
    simulation.look_at_links();
    simulation.outside_changed();
}
