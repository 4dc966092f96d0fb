//! Ordeals of what is asked of the outside: late, taken back, written over (PROTOCOL.md D).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use consensus::config::Mutant;
use consensus::message::{BallotBody, Message};
use consensus::model::{self, DecisionKind, Engine, Phase, RecordData, SHORTEST, TargetId};
use consensus::outbox::Command;
use consensus::value;

use super::{Ordeal, asks, east, fells, kills, leaves_two, shop, until, wait, west};
use crate::scene::DNS_SERVER;
use crate::simulation::Simulation;
use crate::weather;
use crate::world::{Host, Name, Trouble, Web};

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[
    Ordeal {
        name: "one agent alone is told of another server, which answers",
        knows: &[Mutant::UnfoundAccepted],
        shape: |_, apps| apps[0].follows = true,
        play: |simulation, chance| {
            for (stack, address) in [(east(), "198.51.100.1"), (west(), "198.51.100.2")] {
                simulation.world.tell(None, &shop(), &stack, Ok(place(address)));
            }
            let liar = simulation.agents[2].id.clone();
            let lie = &place("198.51.100.1") | &place("203.0.113.66");
            simulation.world.tell(Some(&liar), &shop(), &east(), Ok(lie));
            wait(simulation, chance, 25_000..30_000);
            simulation.world.tell_all_alike();
        },
    },
    Ordeal {
        name: "endpoints are elsewhere, that is agreed and begun, and who began it dies before anybody knows",
        knows: &[Mutant::FollowedUndone],
        shape: |_, apps| apps[0].follows = true,
        play: |simulation, chance| {
            simulation.world.tell(None, &shop(), &west(), Ok(place("198.51.100.2")));
            let both = &place("198.51.100.1") | &place("198.51.100.11");
            simulation.world.tell(None, &shop(), &east(), Ok(both));
            dies_claiming(
                simulation,
                chance.between(Duration::from_secs(15), Duration::from_secs(18)),
            );
            wait(simulation, chance, 50_000..55_000);
        },
    },
    Ordeal {
        name: "somebody writes over a record by hand, and leaves its marker",
        knows: &[Mutant::DriftLeft],
        shape: |_, apps| apps[0].outside = true,
        play: |simulation, chance| {
            weather::edit_a_record(simulation);
            wait(simulation, chance, 2_000..3_000);
        },
    },
    Ordeal {
        name: "the records' server refuses the key of whoever carries a failover out",
        knows: &[Mutant::FailingKept],
        shape: |_, apps| apps[0].outside = true,
        play: |simulation, chance| {
            let all = simulation.agents.iter().map(|agent| agent.id.clone()).collect();
            simulation.world.barred = all;
            fells(simulation, &east());
            until(simulation, 250, |state| state.claim.is_some());
            let claim = simulation.agreed(&shop()).and_then(|state| state.claim.clone());
            simulation.world.barred = claim.into_iter().map(|claim| claim.agent).collect();
            wait(simulation, chance, 8_000..9_000);
            let published =
                |name: &Name| matches!(&name.marker, Some((_, stack)) if *stack == west());
            let so = names(simulation).all(published);
            if !so {
                let what = "nobody else has published it within 9 s".to_owned();
                simulation.report(vec![("who cannot go on lets others", what)]);
            }
        },
    },
    Ordeal {
        name: "a definition brings an address at which nothing answers",
        knows: &[Mutant::NewPublished],
        shape: |_, apps| (apps[0].outside, apps[0].endpoints) = (true, 2),
        play: |simulation, chance| {
            let address = "198.51.100.21".parse::<IpAddr>().expect("an address");
            let holds = |simulation: &Simulation| {
                let names = names(simulation);
                let mut held = names.flat_map(|name| name.sets.values().flatten());
                held.any(|data| *data == RecordData::Address(address))
            };
            let state = simulation.agreed(&shop()).expect("it is agreed");
            let mut definition = (*state.definition).clone();
            let stack = definition.stacks.iter_mut().find(|it| it.name == east());
            let endpoint = &mut stack.expect("it has one").endpoints[1];
            endpoint.address = address.to_string();
            let id = TargetId { app: shop(), stack: east(), name: endpoint.name.clone() };
            let values = definition.records[0].values.get_mut(&east()).expect("it has some");
            values.push(RecordData::Address(address));
            simulation.break_endpoint(&id, Web::Dark);
            simulation.apply(1, definition);
            for _ in 0..60 {
                wait(simulation, chance, 999..1_001);
                if holds(simulation) {
                    let what = format!("{address} is published, where nothing answers");
                    return simulation.report(vec![("what is new is seen up first", what)]);
                }
            }
            simulation.break_endpoint(&id, Web::Up);
            wait(simulation, chance, 60_000..61_000);
            if !holds(simulation) {
                let what = format!("{address} is up, and not published");
                simulation.report(vec![("what is seen up is published", what)]);
            }
        },
    },
    Ordeal {
        name: "the records' server refuses the key of whoever would put an edit back",
        knows: &[],
        shape: |_, apps| apps[0].outside = true,
        play: |simulation, chance| {
            weather::edit_a_record(simulation);
            let edited = |simulation: &Simulation| {
                let mut names = names(simulation);
                names.any(|name| name.edited)
            };
            simulation.world.barred.insert(simulation.agents[0].id.clone());
            simulation.world.barred.insert(simulation.agents[1].id.clone());
            simulation.world.barred.insert(simulation.agents[2].id.clone());
            wait(simulation, chance, 150_000..151_000);
            if edited(simulation) {
                let what = "nobody else has put it back within 150 s".to_owned();
                simulation.report(vec![("who cannot go on lets others", what)]);
            }
        },
    },
    Ordeal {
        name: "the records' server is gone while a definition is applied, and the active stack dies",
        knows: &[Mutant::PublishingHolds],
        shape: |_, apps| apps[0].outside = true,
        play: |simulation, chance| {
            let server = simulation.world.servers.entry(DNS_SERVER.into()).or_default();
            server.trouble = Trouble::Dark;
            let state = simulation.agreed(&shop()).expect("it is agreed");
            let mut definition = (*state.definition).clone();
            definition.records[0].ttl = 77;
            simulation.apply(1, definition);
            wait(simulation, chance, 2_000..3_000);
            fells(simulation, &east());
            until(simulation, 900, |state| state.active == west() && state.phase == Phase::Idle);
            if simulation.agreed(&shop()).is_none_or(|state| state.active != west()) {
                let what = "it has not moved within 90 s".to_owned();
                simulation.report(vec![("no provider holds an app up", what)]);
            }
        },
    },
    Ordeal {
        name: "somebody writes over a record by hand, and no quorum answers who would put it back",
        knows: &[],
        shape: |_, apps| apps[0].outside = true,
        play: |simulation, chance| {
            simulation.snare = Some(Box::new(|simulation, from, _, message| {
                let reads = |it: &BallotBody| matches!(it, BallotBody::Observe);
                let reads = matches!(message, Message::Ballot(it) if reads(&it.body));
                if reads {
                    leaves_two(simulation, from);
                }
                reads
            }));
            weather::edit_a_record(simulation);
            wait(simulation, chance, 45_000..46_000);
        },
    },
    Ordeal {
        name: "a fence comes after it was taken back, and who asked for it has not heard of that",
        knows: &[],
        shape: |_, apps| apps[0].database = true,
        play: |simulation, chance| {
            let usual = simulation.rates.outside_takes;
            simulation.rates.outside_takes = Duration::from_millis(4_500);
            asks(simulation, 0);
            wait(simulation, chance, 600..700);
            simulation.cut_off(0);
            simulation.look_at_links();
            simulation.rates.outside_takes = usual;
            simulation.command(
                1,
                Command::Abort { app: shop(), accept_loss: false, by: "operator".to_owned() },
            );
            wait(simulation, chance, 5_000..6_000);
        },
    },
    Ordeal {
        name: "an executor loses sight of everybody while its request is refused",
        knows: &[Mutant::StaleClaim],
        shape: |_, apps| apps[0].outside = true,
        play: |simulation, chance| {
            let server = simulation.world.servers.entry(DNS_SERVER.into()).or_default();
            server.trouble = Trouble::Failing { done: false };
            fells(simulation, &east());
            wait(simulation, chance, 3_500..4_500);
            let claim = simulation.agreed(&shop()).and_then(|state| state.claim.clone());
            let executor = claim.and_then(|claim| simulation.place(&claim.agent));
            if let Some(executor) = executor {
                simulation.cut_off(executor);
                simulation.look_at_links();
            }
            wait(simulation, chance, 14_000..15_000);
        },
    },
    Ordeal {
        name: "an executor dies, and what it asked for comes late where nothing compares tokens",
        knows: &[Mutant::TakenOverAtOnce],
        shape: |_, apps| (apps[0].outside, apps[0].blind) = (true, true),
        play: |simulation, chance| {
            let usual = simulation.rates.outside_takes;
            // Within the limits of whoever asks and of the provider.
            simulation.rates.outside_takes = Duration::from_secs(9);
            asks(simulation, 0);
            if until(simulation, 30, |state| state.claim.is_some()) {
                wait(simulation, chance, 300..400);
                let claim = simulation.agreed(&shop()).and_then(|state| state.claim.clone());
                let executor = claim.and_then(|claim| simulation.place(&claim.agent));
                kills(simulation, &executor.into_iter().collect::<Vec<_>>());
            }
            simulation.rates.outside_takes = usual;
            until(simulation, 200, |state| state.phase == Phase::Idle);
            let (to, by) = (Some(east()), "operator".to_owned());
            for place in [1, 2] {
                let (to, by) = (to.clone(), by.clone());
                let back = Command::Failover { app: shop(), to, accept_loss: false, by };
                simulation.command(place, back);
            }
            wait(simulation, chance, 12_000..13_000);
            let so = names(simulation).any(|name| name.overtaken > 0);
            if so {
                let what = "a dead executor's request wrote over what is newer".to_owned();
                simulation.report(vec![("what is taken over is left alone first", what)]);
            }
        },
    },
    Ordeal {
        name: "a move is planned, and the records' server takes a while to take their shorter lifetime",
        knows: &[Mutant::PlannedTooEarly],
        shape: |_, apps| apps[0].outside = true,
        play: |simulation, chance| {
            let failing = |simulation: &mut Simulation, trouble| {
                simulation.world.servers.entry(DNS_SERVER.into()).or_default().trouble = trouble;
            };
            failing(simulation, Trouble::Failing { done: false });
            let (to, by) = (Some(west()), "operator".to_owned());
            let planned =
                Command::Switchover { app: shop(), to, well_for: None, at_once: false, by };
            simulation.command(1, planned);
            wait(simulation, chance, 9_000..11_000);
            failing(simulation, Trouble::None);
            let (mut lowered, mut moved) = (None, None);
            for tenth in 0..1_200_u64 {
                wait(simulation, chance, 99..101);
                let names = names(simulation);
                if names.map(|it| it.ttl).all(|ttl| ttl <= SHORTEST) {
                    lowered.get_or_insert(tenth);
                }
                let switched = simulation.agreed(&shop());
                if switched.is_some_and(|it| it.decision.kind == DecisionKind::Switchover) {
                    moved = Some(tenth);
                    break;
                }
            }
            let waited = moved.zip(lowered).map(|(moved, lowered)| moved.saturating_sub(lowered));
            // Half a minute is what its records may be kept.
            if waited.is_none_or(|tenths| tenths < 295) {
                let what = format!("lowered after {lowered:?} tenths, moved after {moved:?}");
                simulation.report(vec![("planned moves wait until answers have run out", what)]);
            }
        },
    },
    Ordeal {
        name: "a stack is doubted and fails where nothing compares tokens and every request takes long",
        knows: &[Mutant::BlindShortened],
        shape: |_, apps| (apps[0].outside, apps[0].blind) = (true, true),
        play: |simulation, chance| {
            let usual = simulation.rates.outside_takes;
            simulation.rates.outside_takes = Duration::from_secs(9);
            fells(simulation, &east());
            wait(simulation, chance, 1_500..1_700);
            simulation.rates.outside_takes = usual;
            wait(simulation, chance, 15_000..16_000);
            let so = names(simulation).any(|name| name.overtaken > 0);
            if so {
                let what = "a shortened lifetime came after the failover, and undid it".to_owned();
                simulation.report(vec![("no request stands in a failover's way", what)]);
            }
        },
    },
    Ordeal {
        name: "an old primary comes back, and nobody but the mesh can tell it whom to follow",
        knows: &[Mutant::AstrayLeft],
        shape: |_, apps| {
            apps[0].database = true;
            apps[0].engine = Engine::Redis;
        },
        play: |simulation, chance| {
            fells(simulation, &east());
            simulation.break_database(&shop(), &east(), Host::Dark);
            wait(simulation, chance, 12_000..14_000);
        },
    },
    Ordeal {
        name: "a primary dies behind its fence, the move is taken back, and it comes up closed",
        knows: &[Mutant::ClosedLeft],
        shape: |_, apps| apps[0].database = true,
        play: |simulation, chance| {
            simulation.snare = Some(Box::new(|simulation, _, _, _| {
                let east = simulation.database(&shop(), &east()).expect("it has one");
                if simulation.world.databases[&east].read_only {
                    for stack in [self::east(), west()] {
                        fells(simulation, &stack);
                        simulation.break_database(&shop(), &stack, Host::Dark);
                    }
                }
                false
            }));
            // It says that it streams, and never reaches the primary's last position.
            let replica = simulation.database(&shop(), &west()).expect("it has one");
            simulation.world.stuck.insert(replica.clone());
            wait(simulation, chance, 3_000..4_000);
            switches(simulation);
            wait(simulation, chance, 50_000..52_000);
            simulation.world.stuck.remove(&replica);
        },
    },
    Ordeal {
        name: "a planned move goes to a replica that receives all, and applies nothing",
        knows: &[Mutant::UnappliedPromoted],
        shape: |_, apps| apps[0].database = true,
        play: |simulation, chance| {
            let replica = simulation.database(&shop(), &west()).expect("it has one");
            simulation.world.idle.insert(replica.clone());
            wait(simulation, chance, 3_000..4_000);
            switches(simulation);
            wait(simulation, chance, 20_000..22_000);
            simulation.world.apply(&replica);
        },
    },
];

/// Somebody asks for a planned move to the west.
fn switches(simulation: &mut Simulation) {
    let (app, to, by) = (shop(), Some(west()), "operator".to_owned());
    let command = Command::Switchover { app, to, well_for: None, at_once: true, by };
    simulation.command(1, command);
}

/// What servers of records hold, name by name.
fn names(simulation: &Simulation) -> impl Iterator<Item = &Name> {
    simulation.world.servers.values().flat_map(|it| it.names.values())
}

/// Whoever first claims what was followed reaches two others with it, and dies before anybody tells. Until all hear each other
/// again, sources name the old place alone.
fn dies_claiming(simulation: &mut Simulation, span: Duration) {
    let mut reached = Vec::new();
    simulation.snare = Some(Box::new(move |simulation, from, to, message| {
        let Message::Ballot(message) = message else { return false };
        let BallotBody::Accept { value, .. } = &message.body else { return false };
        let claims = value::decode(value).is_ok_and(|state| {
            state.decision.kind == DecisionKind::Follow && state.claim.is_some()
        });
        if claims && from != to {
            reached.push((from, to));
        }
        if reached.len() < 2 {
            return false;
        }
        let count = simulation.agents.len();
        let ways = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        for (from, to) in ways.filter(|way| !reached.contains(way)) {
            simulation.network.edge_mut(from, to).cut = true;
        }
        simulation.later(Duration::from_millis(300), move |simulation| simulation.crash(from));
        simulation.partitioned(span);
        simulation.world.tell(None, &shop(), &east(), Ok(place("198.51.100.1")));
        true
    }));
}

fn place(address: &str) -> BTreeSet<model::Place> {
    let address = address.parse().expect("an address");
    BTreeSet::from([model::Place { address, port: None }])
}
