//! Ordeals of what is said, when, and by whose store (PROTOCOL.md A and B.4).

use std::time::Duration;

use consensus::config::Mutant;
use consensus::evidence::KeyPair;
use consensus::message::{Accepted, BallotBody, Letter, Message};
use consensus::model::{Ballot, Definition, MeshId, Phase, RegisterId, VotersChange};
use consensus::outbox::Command;
use consensus::value;

use super::{
    Ordeal, asks, blinds, buries, east, fells, guarded, kills, leaves_two, restarts, same, shop,
    until, wait, west,
};
use crate::network::Way;
use crate::scene::{AppShape, agent_name};
use crate::simulation::{Event, Simulation};
use crate::world::{Host, Web};

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[
    Ordeal {
        name: "one of three that see a stack down signs with a key nobody knows",
        knows: &[Mutant::EvidenceUnsigned],
        shape: same,
        play: |simulation, chance| {
            simulation.crash(0);
            simulation.lose_key(0);
            simulation.start(0);
            buries(simulation, chance, &[3, 4]);
            fells(simulation, &east());
            wait(simulation, chance, 6_000..8_000);
        },
    },
    Ordeal {
        name: "who passes letters on writes one itself, that a move was agreed",
        knows: &[Mutant::LetterUnsealed],
        shape: same,
        play: |simulation, chance| {
            let latest = simulation.registers.latest(&shop()).expect("it is agreed");
            let mut state = (*latest.state).clone();
            state.active = west();
            let ballot = Ballot { round: latest.ballot.round + 1, ..latest.ballot };
            let accepted = Accepted { ballot, value: value::encode(&state) };
            let letter = Letter::Chosen { register: RegisterId::App(shop()), accepted };
            let seed = simulation.agents[3].config.ballots.as_ref().expect("it votes").seed;
            let (from, to) = (agent_name(1), agent_name(2));
            let letter = KeyPair::from_seed(&seed).seal(MeshId(1), &from, &to, letter);
            let (way, message) = (Way::Datagram, Message::Relayed(Box::new(letter)));
            let event = Event::Deliver { from: 3, to: 2, way, message };
            simulation.after(Duration::ZERO, event);
            wait(simulation, chance, 1_000..2_000);
        },
    },
    Ordeal {
        name: "a voter whose vote is needed sees the stack that three do not",
        knows: &[Mutant::OwnViewIgnored],
        shape: same,
        play: |simulation, chance| {
            kills(simulation, &[3]);
            blinds(simulation, &[0, 1, 2], "shop", &east());
            wait(simulation, chance, 5_000..6_000);
        },
    },
    Ordeal {
        name: "a voter gives evidence, and hears what came of it six seconds later",
        knows: &[Mutant::StaleEvidenceAccepted],
        shape: same,
        play: |simulation, chance| {
            buries(simulation, chance, &[3, 4]);
            fells(simulation, &east());
            let span = chance.between(Duration::from_millis(5_400), Duration::from_millis(6_500));
            simulation.snare = Some(Box::new(move |simulation, from, to, message| {
                let stated = from != to && matches!(message, Message::Evidence(_));
                if stated {
                    simulation.later(Duration::ZERO, move |simulation| {
                        simulation.overload(from);
                        simulation.after(span, Event::Resume(from));
                    });
                }
                stated
            }));
            wait(simulation, chance, 10_000..11_000);
        },
    },
    Ordeal {
        name: "the evidence of a voter that is needed comes too late every time",
        knows: &[Mutant::EvidenceReplayed],
        shape: same,
        play: |simulation, chance| {
            let usual: Vec<_> =
                (1..5).map(|other| simulation.network.edge(0, other).latency).collect();
            let slow = chance.between(Duration::from_millis(1_800), Duration::from_millis(2_400));
            for other in 1..5 {
                simulation.network.edge_mut(0, other).latency = slow;
            }
            restarts(simulation, &[3, 4]);
            wait(simulation, chance, 400..600);
            fells(simulation, &east());
            wait(simulation, chance, 6_500..7_000);
            for (other, usual) in (1..5).zip(usual) {
                simulation.network.edge_mut(0, other).latency = usual;
            }
        },
    },
    Ordeal {
        name: "who asked for a move hears nothing of it until it is over",
        knows: &[Mutant::DuplicateOperation],
        shape: same,
        play: |simulation, chance| {
            let span = chance.between(Duration::from_millis(7_500), Duration::from_millis(9_600));
            simulation.snare = Some(Box::new(move |simulation, from, _, message| {
                let proposes = proposes(message);
                if from == 0 && proposes {
                    simulation.later(Duration::ZERO, move |simulation| {
                        simulation.overload(0);
                        simulation.after(span, Event::Resume(0));
                    });
                }
                from == 0 && proposes
            }));
            let by = "operator".to_owned();
            simulation
                .command(0, Command::Failover { app: shop(), to: None, accept_loss: false, by });
            wait(simulation, chance, 13_000..14_000);
        },
    },
    Ordeal {
        name: "who asked for a move hears of it when somebody else has moved it back",
        knows: &[Mutant::AnsweredAsOfNow],
        shape: same,
        play: |simulation, chance| {
            let span = chance.between(Duration::from_millis(8_600), Duration::from_millis(9_300));
            simulation.snare = Some(Box::new(move |simulation, from, _, message| {
                let proposes = from == 0 && proposes(message);
                if proposes {
                    simulation.later(Duration::ZERO, move |simulation| {
                        simulation.overload(0);
                        simulation.after(span, Event::Resume(0));
                    });
                }
                proposes
            }));
            let by = || "operator".to_owned();
            let to = Some(west());
            let command = Command::Failover { app: shop(), to, accept_loss: false, by: by() };
            simulation.command(0, command);
            wait(simulation, chance, 6_000..6_500);
            simulation.command(
                1,
                Command::Switchover {
                    app: shop(),
                    to: Some(east()),
                    well_for: None,
                    at_once: true,
                    by: by(),
                },
            );
            wait(simulation, chance, 8_000..9_000);
        },
    },
    Ordeal {
        name: "a value is chosen, who proposed it dies before anybody hears, and another proposes",
        knows: &[Mutant::UnlinkedValue],
        shape: same,
        play: |simulation, chance| {
            let mut definition = edited(simulation);
            simulation.snare = Some(Box::new(|simulation, from, to, message| {
                let accepted = is_accepted(message);
                if to == 1 && from != 1 && accepted {
                    simulation.crash(1);
                }
                to == 1 && from != 1 && accepted
            }));
            simulation.apply(1, definition.clone());
            wait(simulation, chance, 300..900);
            definition.records[0].ttl += 1;
            simulation.apply(2, definition);
            wait(simulation, chance, 9_000..10_000);
        },
    },
    Ordeal {
        name: "a stack dies",
        knows: &[Mutant::EpochReused],
        shape: same,
        play: |simulation, chance| {
            fells(simulation, &east());
            wait(simulation, chance, 6_000..8_000);
        },
    },
    Ordeal {
        name: "a primary dies whose new guard never came up",
        knows: &[Mutant::NeverHeldProves],
        shape: |mesh, apps| {
            mesh.observers = vec![1, 2, 3];
            apps[0].database = true;
            apps[0].guards = vec![agent_name(5), agent_name(6)];
        },
        play: |simulation, chance| {
            wait(simulation, chance, 25_000..26_000);
            kills(simulation, &[7]);
            let mut definition = (*simulation.apps[&shop()].definition).clone();
            definition.stacks[0].databases[0].guard = Some(agent_name(7));
            simulation.apply(1, definition);
            wait(simulation, chance, 15_000..16_000);
            fells(simulation, &east());
            simulation.break_database(&shop(), &east(), Host::Dark);
            wait(simulation, chance, 20_000..22_000);
        },
    },
    Ordeal {
        name: "a voter comes back from a copy of before, and whoever knows of more dies",
        knows: &[Mutant::RollbackUnnoticed, Mutant::Amnesia],
        shape: same,
        play: |simulation, chance| {
            simulation.copy_disk(0);
            kills(simulation, &[3, 4]);
            let mut definition = AppShape::web("shop").definition();
            definition.probe = simulation.apps[&shop()].definition.probe;
            definition.records[0].ttl += 1;
            simulation.apply(1, definition.clone());
            wait(simulation, chance, 6_000..7_000);
            kills(simulation, &[2]);
            simulation.snare = Some(Box::new(|simulation, from, to, message| {
                // It answers this run, not one before: a run's instance begins with how often its agent started.
                let answers = |message: &Message| matches!(message, Message::Echo { instance, .. } if instance >> 48 == 2);
                let told = (from, to) == (1, 0) && answers(message);
                if told {
                    simulation.crash(1);
                    simulation.later(Duration::ZERO, |simulation| {
                        simulation.start(3);
                        simulation.start(4);
                    });
                }
                told
            }));
            simulation.restore_disk(0);
            wait(simulation, chance, 6_000..7_000);
            definition.records[0].ttl += 1;
            for place in [3, 4] {
                simulation.apply(place, definition.clone());
                wait(simulation, chance, 4_000..5_000);
            }
        },
    },
    Ordeal {
        name: "a voter comes back from a copy of before, and starts over and over before it is told",
        knows: &[Mutant::RollbackUnnoticed],
        shape: same,
        play: |simulation, chance| {
            // A ballot's number begins with how often its agent started: the fifth outbids the second in one round.
            for _ in 0..2 {
                simulation.crash(4);
                simulation.start(4);
                wait(simulation, chance, 10_000..11_000);
            }
            kills(simulation, &[1]);
            simulation.copy_disk(0);
            // Refused, and yet promised: the second does not know of it.
            let abort = || Command::Abort { app: shop(), accept_loss: false, by: "someone".into() };
            simulation.command(4, abort());
            wait(simulation, chance, 2_000..3_000);
            simulation.start(1);
            simulation.restore_disk(0);
            // More often than it gave its word since the copy: starts must not make up for what it forgot.
            for _ in 0..8 {
                wait(simulation, chance, 5..10);
                simulation.crash(0);
                simulation.start(0);
            }
            wait(simulation, chance, 17_000..18_000);
            simulation.command(1, abort());
            wait(simulation, chance, 2_000..3_000);
        },
    },
    Ordeal {
        name: "a guard comes back to a fence, and a voter that is needed never heard that it knows the candidates",
        knows: &[],
        shape: |mesh, apps| {
            guarded(mesh, apps);
            mesh.observers.push(3);
        },
        play: |simulation, chance| {
            wait(simulation, chance, 25_000..26_000);
            kills(simulation, &[4]);
            // With another's guard the candidates are others, and nothing is promoted before the old one knows them.
            let mut definition = simulation.apps[&shop()].definition.as_ref().clone();
            definition.stacks[1].databases[0].guard = Some(agent_name(7));
            simulation.apply(1, definition);
            wait(simulation, chance, 5_000..6_000);
            simulation.crash(5);
            simulation.start(4);
            simulation.break_database(&shop(), &east(), Host::Dark);
            until(simulation, 300, |state| state.phase != Phase::Idle);
            // Whoever is left learns of it: what nobody knows to be agreed is taken back soon.
            wait(simulation, chance, 400..500);
            kills(simulation, &[2, 3]);
            simulation.start(5);
            if !until(simulation, 600, |state| state.active == west()) {
                let what = "a quorum waits for what the guard cannot say".to_owned();
                simulation.report(vec![("a healed core settles", what)]);
            }
        },
    },
    Ordeal {
        name: "a voter that granted a long lease is replaced, and the others that did die",
        knows: &[Mutant::LeftBeforeLease, Mutant::LeftByAnothersClock],
        shape: |mesh, apps| {
            mesh.standbys = vec![1];
            mesh.observers = vec![1, 2];
            apps[0].database = true;
            apps[0].guards = vec![agent_name(6), agent_name(7)];
            apps[0].lease = Duration::from_secs(60);
            // What nobody proves can be promoted: then only that leases have ended stands before it.
            apps[0].proven = false;
        },
        play: |simulation, chance| {
            // It says that it knows the candidates once nothing binds it of before: a lease after its start.
            wait(simulation, chance, 66_000..67_000);
            // Two, and who will vote later, hear nothing of the guard for so long that nothing they granted runs.
            for other in [3, 4, 5] {
                simulation.cut(6, other, true);
                simulation.cut(other, 6, true);
            }
            wait(simulation, chance, 64_000..70_000);
            let change = VotersChange::Replace { old: agent_name(0), new: agent_name(5) };
            simulation.command(3, Command::Voters { change, by: "operator".into() });
            wait(simulation, chance, 14_000..15_000);
            simulation.cut_off_site(&shop(), &east(), true);
            kills(simulation, &[1, 2]);
            wait(simulation, chance, 1_000..2_000);
            asks(simulation, 3);
            wait(simulation, chance, 30_000..31_000);
            simulation.reach_site(&shop(), &east());
        },
    },
    Ordeal {
        name: "a guard lives on the long word of a candidate that is none any more",
        knows: &[Mutant::AcknowledgedEarly, Mutant::CandidateUnacknowledged],
        shape: |mesh, apps| {
            guarded(mesh, apps);
            mesh.observers.push(3);
            apps[0].lease = Duration::from_secs(60);
        },
        play: |simulation, chance| {
            let voters_hear = |simulation: &mut Simulation, cut: bool| {
                for voter in 0..5 {
                    simulation.cut(5, voter, cut);
                    simulation.cut(voter, 5, cut);
                }
            };
            wait(simulation, chance, 66_000..67_000);
            voters_hear(simulation, true);
            wait(simulation, chance, 35_000..36_000);
            // It hears of both from its fellow guards; its lease is renewed by then, and soon to be a short one.
            let mut definition = simulation.apps[&shop()].definition.as_ref().clone();
            definition.stacks[1].databases[0].guard = Some(agent_name(7));
            definition.data.lease = Duration::from_secs(3);
            simulation.apply(1, definition);
            wait(simulation, chance, 14_000..15_000);
            voters_hear(simulation, false);
            wait(simulation, chance, 4_000..5_000);
            simulation.cut_off_site(&shop(), &east(), true);
            fells(simulation, &east());
            for _ in 0..10 {
                asks(simulation, 0);
                wait(simulation, chance, 2_000..3_000);
            }
            simulation.reach_site(&shop(), &east());
        },
    },
    Ordeal {
        name: "syncs fail while a stack dies",
        knows: &[Mutant::SyncFailureIgnored],
        shape: same,
        play: |simulation, chance| {
            simulation.rates.sync_fails = 0.25;
            fells(simulation, &east());
            wait(simulation, chance, 6_000..8_000);
        },
    },
    Ordeal {
        name: "a definition reaches one voter, and is asked for again elsewhere",
        knows: &[],
        shape: same,
        play: |simulation, chance| {
            let definition = edited(simulation);
            kills(simulation, &[3]);
            simulation.snare = Some(Box::new(|simulation, from, to, message| {
                let reaches = (from, to) == (1, 0) && proposes(message);
                if reaches {
                    simulation.crash(1);
                }
                reaches
            }));
            simulation.apply(1, definition.clone());
            wait(simulation, chance, 600..1_200);
            simulation.apply(2, definition);
            wait(simulation, chance, 9_000..10_000);
        },
    },
    Ordeal {
        name: "a definition is accepted by all, and whoever asked for it dies before it hears so",
        knows: &[Mutant::LingeringLeft],
        shape: same,
        play: |simulation, chance| {
            let definition = edited(simulation);
            let records = definition.records.clone();
            simulation.snare = Some(Box::new(|simulation, _, to, message| {
                let hears = to == 1 && is_accepted(message);
                if hears {
                    simulation.crash(1);
                }
                hears
            }));
            simulation.apply(1, definition);
            wait(simulation, chance, 9_000..10_000);
            let known = |place| {
                let held = simulation.held(place, &shop());
                held.is_some_and(|state| state.definition.records == records)
            };
            if ![0, 2, 3, 4].into_iter().all(known) {
                let what = "nobody finds out what was agreed".to_owned();
                simulation.report(vec![("a healed core settles", what)]);
            }
        },
    },
    Ordeal {
        name: "a decision reaches two of five, and is found when the other stack has come and gone",
        knows: &[],
        shape: same,
        play: |simulation, chance| {
            simulation.snare = Some(Box::new(|simulation, from, _, message| {
                let proposes = proposes(message);
                if proposes {
                    leaves_two(simulation, from);
                }
                proposes
            }));
            fells(simulation, &east());
            wait(simulation, chance, 5_000..6_000);
            for _ in 0..3 {
                fells(simulation, &west());
                wait(simulation, chance, 2_700..3_000);
                simulation.break_web(&shop(), &west(), Web::Up);
                wait(simulation, chance, 1_500..2_000);
            }
            wait(simulation, chance, 21_000..22_000);
        },
    },
];

/// The shop as somebody would have it who changes little.
fn edited(simulation: &Simulation) -> Definition {
    let mut definition = simulation.apps[&shop()].definition.as_ref().clone();
    definition.records[0].ttl += 1;
    definition
}

/// Is this somebody's wish that a value be accepted?
fn proposes(message: &Message) -> bool {
    matches!(message, Message::Ballot(it) if matches!(it.body, BallotBody::Accept { .. }))
}

/// Does somebody say that it accepted a value?
fn is_accepted(message: &Message) -> bool {
    matches!(message, Message::Ballot(it) if matches!(it.body, BallotBody::Accepted { .. }))
}
