//! Ordeals of how often the mesh acts, on how much at once, and of who told it not to (PROTOCOL.md E).

use std::time::Duration;

use consensus::config::Mutant;
use consensus::outbox::Command;

use super::{Ordeal, east, fells, restarts, same, shop, wait, west};
use crate::chance::Chance;
use crate::scene::AppShape;
use crate::simulation::Simulation;
use crate::world::Web;

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[
    Ordeal {
        name: "four of six stacks of a site die at once",
        knows: &[Mutant::BudgetIgnored, Mutant::CutUncertified],
        shape: |_, apps| apps.extend((1..=5).map(|at| AppShape::web(&format!("app-{at}")))),
        play: |simulation, chance| {
            let apps: Vec<_> = simulation.apps.keys().take(4).cloned().collect();
            for app in &apps {
                simulation.break_web(app, &east(), Web::Refusing);
            }
            wait(simulation, chance, 11_000..12_000);
            simulation.run_for(Duration::from_secs(1));
        },
    },
    Ordeal {
        name: "stacks die, are defined anew, everybody starts anew, and others die",
        knows: &[Mutant::BudgetForgottenAtRestart],
        shape: |_, apps| apps.extend((1..=5).map(|at| AppShape::web(&format!("app-{at}")))),
        play: |simulation, chance| {
            let apps: Vec<_> = simulation.apps.keys().take(4).cloned().collect();
            let (first, then) = apps.split_at(2);
            for app in first {
                simulation.break_web(app, &east(), Web::Refusing);
            }
            wait(simulation, chance, 8_000..9_000);
            // The last decision about either is no failover any more.
            for app in first {
                let mut definition = (*simulation.apps[app].definition).clone();
                definition.records[0].ttl += 1;
                simulation.apply(1, definition);
            }
            wait(simulation, chance, 2_000..3_000);
            restarts(simulation, &[0, 1, 2, 3, 4]);
            wait(simulation, chance, 18_000..20_000);
            for app in then {
                simulation.break_web(app, &east(), Web::Refusing);
            }
            wait(simulation, chance, 8_000..9_000);
        },
    },
    Ordeal {
        name: "a stack dies of an app that somebody froze",
        knows: &[Mutant::FreezeIgnored],
        shape: same,
        play: |simulation, chance| {
            let (by, reason) = ("operator".to_owned(), "works".to_owned());
            let lasts = Duration::from_secs(3_600);
            simulation.command(0, Command::Freeze { app: shop(), lasts, reason, by });
            wait(simulation, chance, 2_000..3_000);
            fells(simulation, &east());
            wait(simulation, chance, 6_000..7_000);
        },
    },
    Ordeal {
        name: "the stack that was moved to dies soon after",
        knows: &[Mutant::CooldownIgnored],
        shape: |_, apps| apps[0].cooldown = Duration::from_secs(900),
        play: |simulation, chance| dies_again(simulation, chance, false),
    },
    Ordeal {
        name: "the stack that was moved to dies soon after everybody started anew",
        knows: &[Mutant::CooldownForgottenAtRestart],
        shape: |_, apps| apps[0].cooldown = Duration::from_secs(900),
        play: |simulation, chance| dies_again(simulation, chance, true),
    },
    Ordeal {
        name: "whatever is moved to dies once the first cooldown is over, and again",
        knows: &[Mutant::CooldownNeverDoubles],
        shape: |_, apps| apps[0].cooldown = Duration::from_secs(22),
        play: dies_thrice,
    },
    Ordeal {
        name: "whatever is moved to dies three times within a day",
        knows: &[Mutant::ThirdADayUnheld],
        shape: |_, apps| apps[0].cooldown = Duration::from_secs(5),
        play: dies_thrice,
    },
];

/// The active stack dies, comes back, and qualifies; then the other one dies.
fn dies_again(simulation: &mut Simulation, chance: &mut Chance, anew: bool) {
    fells(simulation, &east());
    wait(simulation, chance, 7_000..8_000);
    simulation.break_web(&shop(), &east(), Web::Up);
    if anew {
        restarts(simulation, &[0, 1, 2, 3, 4]);
    }
    wait(simulation, chance, 26_000..28_000);
    fells(simulation, &west());
    wait(simulation, chance, 6_000..7_000);
}

/// Whichever stack is active dies, comes back, and qualifies: three times.
fn dies_thrice(simulation: &mut Simulation, chance: &mut Chance) {
    for stack in [east(), west(), east()] {
        fells(simulation, &stack);
        wait(simulation, chance, 7_000..8_000);
        simulation.break_web(&shop(), &stack, Web::Up);
        wait(simulation, chance, 23_000..24_000);
    }
}
