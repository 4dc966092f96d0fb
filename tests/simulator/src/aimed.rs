//! Runs that go straight for one crash cell: a calm world, one decision, one interruption, and every checker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use consensus::model::{Phase, ProbePolicy, SHORTEST};
use consensus::outbox::Command;

use super::cells::Cell;
use super::chance::Chance;
use super::check::{Violation, outcome};
use super::scene::{AppShape, MeshShape};
use super::simulation::{Aim, Simulation};
use super::world::{Host, Web};

/// What a run went through.
#[derive(Debug)]
pub struct Passage {
    /// The cells.
    pub cells: BTreeSet<Cell>,
    /// What was broken.
    pub violations: Vec<Violation>,
}

/// What came of going for every cell.
#[derive(Debug, Default)]
pub struct Tour {
    /// How often each cell was hit.
    pub covered: BTreeMap<Cell, u64>,
    /// What was broken, and on the way to which cell.
    pub violations: Vec<(Cell, u64, Violation)>,
    /// How many runs it took.
    pub runs: u64,
}

/// A cell that this many runs do not hit is not hit.
pub const ATTEMPTS: u64 = 40;

/// Goes for every reachable cell until it is hit, on every core.
pub fn tour(first: u64, attempts: u64) -> Tour {
    let cells: Vec<Cell> = Cell::reachable().collect();
    let next = AtomicUsize::new(0);
    let tour = Mutex::new(Tour::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let held = "no thread panics while it holds this";
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for seed in first..first + attempts {
                        if tour.lock().expect(held).covered.contains_key(cell) {
                            break;
                        }
                        let passage = go(*cell, seed);
                        tour.lock().expect(held).add(*cell, seed, passage);
                    }
                }
            });
        }
    });
    tour.into_inner().expect("every thread has ended")
}

impl Tour {
    fn add(&mut self, cell: Cell, seed: u64, passage: Passage) {
        self.runs += 1;
        for hit in passage.cells {
            *self.covered.entry(hit).or_default() += 1;
        }
        let broken = passage.violations.into_iter().map(|violation| (cell, seed, violation));
        self.violations.extend(broken);
    }
}

/// Goes for one cell.
pub fn go(cell: Cell, seed: u64) -> Passage {
    let mut simulation = play(cell, seed, false);
    let violations = std::mem::take(&mut simulation.violations);
    Passage { cells: simulation.chronicle.cells(&simulation.registers), violations }
}

/// The run itself, for whoever wants to read it.
pub fn play(cell: Cell, seed: u64, kept: bool) -> Simulation {
    let mut chance = Chance::new(seed.wrapping_mul(0x9e6c_63d0_876a_46ad).wrapping_add(7));
    let mut app = AppShape::with_database("shop", true);
    // What cannot be shortened is asked for and agreed by what the cell is about alone.
    app.ttl = SHORTEST;
    app.outside = true;
    app.probe = ProbePolicy {
        interval: Duration::from_millis(500),
        timeout: Duration::from_secs(1),
        window: Duration::from_secs(2),
    };
    let mesh = MeshShape::spread(5, 3);
    let mut simulation = Simulation::new(&mesh, std::slice::from_ref(&app), chance.bits(), kept);
    for place in 0..simulation.agents.len() {
        simulation.start(place);
    }
    simulation.run_for(Duration::from_secs(4));
    simulation.apply(0, app.definition());
    simulation.run_for(chance.between(Duration::from_secs(24), Duration::from_secs(26)));
    simulation.aim = Some(Aim::at(cell));
    let stack = app.stacks[0].clone();
    let begins = match cell.phase {
        Phase::Aborting => {
            switch_in_vain(&mut simulation, &app);
            Duration::ZERO
        }
        // Only a primary that lives can be asked to close, and answer.
        Phase::Fencing => {
            let (app, to) = (app.name.clone(), Some(app.stacks[1].clone()));
            let by = "operator".to_owned();
            simulation.command(1, Command::Failover { app, to, accept_loss: false, by });
            Duration::from_secs(75)
        }
        _ => {
            simulation.break_web(&app.name, &stack, Web::Refusing);
            simulation.break_database(&app.name, &stack, Host::Dark);
            Duration::from_secs(75)
        }
    };
    simulation.run_for(begins);
    simulation.aim = None;
    // Everybody is back by now; the next epoch is somebody's new definition.
    simulation.heal(&BTreeSet::new());
    simulation.run_for(Duration::from_secs(10));
    simulation.rebuild_replicas();
    let mut definition = app.definition();
    definition.records[0].ttl += 1;
    for place in 0..3 {
        simulation.apply(place, definition.clone());
        simulation.run_for(Duration::from_secs(4));
    }
    simulation.run_for(Duration::from_secs(100));
    if simulation.violations.is_empty()
        && let Some(why) = outcome::unsettled(&simulation, &app.name)
    {
        let words = outcome::words(&simulation, &app.name);
        simulation.report(vec![("a healed core settles", format!("{}: {why}{words}", app.name))]);
    }
    simulation
}

/// A planned move that is taken back at once, as the old primary does not tell its last position.
fn switch_in_vain(simulation: &mut Simulation, app: &AppShape) {
    let id = simulation.database(&app.name, &app.stacks[0]).expect("it has one");
    let by = "operator".to_owned();
    let to = Some(app.stacks[1].clone());
    simulation.command(
        1,
        Command::Switchover { app: app.name.clone(), to, well_for: None, at_once: true, by },
    );
    let mut waited = Duration::ZERO;
    let step = Duration::from_millis(5);
    let mut crowded = false;
    while waited < Duration::from_secs(75) {
        simulation.run_for(step);
        waited += step;
        let phase = simulation.agreed(&app.name).map(|state| state.phase);
        let wanted = phase == Some(Phase::Fencing);
        if crowded != wanted {
            crowded = wanted;
            simulation.world.databases.get_mut(&id).expect("was just found").unready = wanted;
            simulation.outside_changed();
        }
    }
}
