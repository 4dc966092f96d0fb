//! Ordeals of what guards are asked for (PROTOCOL.md D.4).

use std::time::Duration;

use consensus::config::Mutant;
use consensus::message::{GuardBody, Message};
use consensus::model::Phase;
use consensus::outbox::Command;

use super::{Ordeal, asks, east, guarded, shop, wait};
use crate::sim::chance::Chance;
use crate::sim::network::{Place, Way};
use crate::sim::simulation::{Event, Simulation};

/// Where the guard of the stack runs that serves at first.
const EASTS_GUARD: Place = 5;

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[
    Ordeal {
        name: "a guard whose database is the primary again is told once more to close it, as for the move before",
        knows: &[Mutant::GuardForgets],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| there_and_back(simulation, chance, false),
    },
    Ordeal {
        name: "the same, to a guard that has just started anew",
        knows: &[Mutant::GuardForgets],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| there_and_back(simulation, chance, true),
    },
    Ordeal {
        name: "a guard's disk is full when it is to write down what it is asked for",
        knows: &[Mutant::GuardActsUnsaved],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| {
            let span = chance.between(Duration::from_secs(2), Duration::from_secs(4));
            simulation.snare = Some(Box::new(move |simulation, _, to, message| {
                let fences = step(message) == Some(Phase::Fencing.step());
                if fences {
                    simulation.agents[to].disk.full = true;
                    simulation.later(span, move |it| it.agents[to].disk.full = false);
                }
                fences
            }));
            asks(simulation, 0);
            wait(simulation, chance, 15_000..16_000);
        },
    },
];

/// The app moves to the other stack and back, and what the old primary's guard was asked for at first comes once more.
fn there_and_back(simulation: &mut Simulation, chance: &mut Chance, anew: bool) {
    repeats(simulation, chance.between(Duration::from_secs(38), Duration::from_secs(40)));
    asks(simulation, 0);
    wait(simulation, chance, 4_000..5_000);
    simulation.rebuild_replicas();
    wait(simulation, chance, 20_000..21_000);
    let (to, by) = (Some(east()), "operator".to_owned());
    simulation.command(0, Command::Failover { app: shop(), to, accept_loss: false, by });
    wait(simulation, chance, 9_000..10_000);
    if anew {
        simulation.crash(EASTS_GUARD);
        simulation.start(EASTS_GUARD);
    }
    wait(simulation, chance, 8_000..9_000);
}

/// The first request of a fence comes once more, so much later.
fn repeats(simulation: &mut Simulation, span: Duration) {
    simulation.snare = Some(Box::new(move |simulation, from, to, message| {
        let fences = step(message) == Some(Phase::Fencing.step());
        if fences {
            let (way, message) = (Way::Datagram, message.clone());
            simulation.after(span, Event::Deliver { from, to, way, message });
        }
        fences
    }));
}

/// The step of which a guard is asked for something.
fn step(message: &Message) -> Option<u8> {
    match message {
        Message::Guard(it) if matches!(it.body, GuardBody::Asks { .. }) => {
            Some((it.token.0 & 0xff) as u8)
        }
        _ => None,
    }
}
