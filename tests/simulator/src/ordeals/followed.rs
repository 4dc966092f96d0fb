//! Ordeals of stores that elect their own primary (PROTOCOL.md rule 12).

use consensus::config::Mutant;
use consensus::model::Engine;
use consensus::outbox::Command;

use super::{Ordeal, east, shop, wait, west};
use crate::scene::{AppShape, MeshShape};
use crate::world::Host;

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[
    Ordeal {
        name: "two of five see that another stack leads",
        knows: &[Mutant::FollowsOneSight],
        shape: |mesh, apps| followed(mesh, apps),
        play: |simulation, chance| {
            for place in [0, 1, 2] {
                simulation.hide_database(place, &shop(), &west());
            }
            simulation.elect(&shop(), &west());
            wait(simulation, chance, 6_000..8_000);
        },
    },
    Ordeal {
        name: "two stacks claim to lead by one election",
        knows: &[Mutant::RivalFollowed],
        shape: |mesh, apps| followed(mesh, apps),
        play: |simulation, chance| {
            simulation.claim(&shop(), &west());
            wait(simulation, chance, 6_000..8_000);
            simulation.elect(&shop(), &east());
        },
    },
    Ordeal {
        name: "nobody could take the place of a primary that is to step down",
        knows: &[Mutant::HeirUnseen],
        shape: |mesh, apps| followed(mesh, apps),
        play: |simulation, chance| {
            simulation.break_database(&shop(), &west(), Host::Dark);
            wait(simulation, chance, 8_000..9_000);
            let (app, to, by) = (shop(), Some(west()), "operator".to_owned());
            simulation
                .command(0, Command::Switchover { app, to, well_for: None, at_once: true, by });
            wait(simulation, chance, 3_000..4_000);
        },
    },
];

/// A member of one set in each stack.
fn followed(_: &mut MeshShape, apps: &mut [AppShape]) {
    apps[0].database = true;
    apps[0].engine = Engine::Mongodb;
}
