//! Ordeals of what guards are asked for (PROTOCOL.md D.4).

use std::time::Duration;

use consensus::config::Mutant;
use consensus::message::{BallotBody, GuardBody, Message};
use consensus::model::Phase;
use consensus::outbox::Command;

use super::{Ordeal, asks, east, guarded, shop, until, wait, west};
use crate::chance::Chance;
use crate::network::{Place, Way};
use crate::scene::{agent_name, name};
use crate::simulation::{Event, Simulation};
use crate::world::Web;

/// Where the guard of the stack runs that serves at first.
const EASTS_GUARD: Place = 5;
/// And that of the stack it is moved to.
const WESTS_GUARD: Place = 6;
/// And that of a third stack, where there is one.
const NORTHS_GUARD: Place = 7;

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
    Ordeal {
        name: "who has an app moved dies, and the guard that still closes the old primary is to open it again itself",
        knows: &[Mutant::GuardPassedBy],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| {
            let usual = simulation.rates.outside_takes;
            simulation.rates.outside_takes = Duration::from_secs(12);
            simulation.snare = Some(Box::new(|simulation, from, _, message| {
                let fences = step(message) == Some(Phase::Fencing.step());
                if fences {
                    simulation.later(Duration::from_millis(100), move |it| it.crash(from));
                }
                fences
            }));
            asks(simulation, 0);
            until(simulation, 50, |state| state.phase == Phase::Fencing);
            wait(simulation, chance, 900..1_200);
            simulation.rates.outside_takes = usual;
            let abort = Command::Abort { app: shop(), accept_loss: false, by: "operator".into() };
            simulation.command(EASTS_GUARD, abort);
            wait(simulation, chance, 20_000..21_000);
        },
    },
    Ordeal {
        name: "a promotion is given up whose guard is cut off with what it promoted, and its clients",
        knows: &[Mutant::GivenUpDespiteLease],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| {
            asks(simulation, 0);
            until(simulation, 100, |state| state.phase == Phase::Promoting);
            // It opens, and nobody is told that it takes writes.
            is_unready(simulation);
            wait(simulation, chance, 2_500..3_500);
            parts(simulation, WESTS_GUARD, true);
            for _ in 0..6 {
                wait(simulation, chance, 1_900..2_100);
                let by = "operator".to_owned();
                simulation.forgiven.insert(shop());
                let command = Command::Abort { app: shop(), accept_loss: true, by };
                simulation.command(1, command);
            }
        },
    },
    Ordeal {
        name: "a promotion is given up by one voter alone, and what it promoted is there again",
        knows: &[Mutant::NeverWithheld],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| {
            asks(simulation, 0);
            until(simulation, 100, |state| state.phase == Phase::Promoting);
            is_unready(simulation);
            parts(simulation, WESTS_GUARD, true);
            wait(simulation, chance, 14_000..15_000);
            // Whoever takes it back is cut off as soon as it has accepted that itself.
            simulation.snare = Some(Box::new(|simulation, from, _, message| {
                let accepts = matches!(message, Message::Ballot(it) if matches!(it.body, BallotBody::Accept { .. }));
                if accepts && from == 1 {
                    parts(simulation, 1, true);
                    parts(simulation, WESTS_GUARD, false);
                }
                accepts && from == 1
            }));
            simulation.forgiven.insert(shop());
            let by = "operator".to_owned();
            simulation.command(1, Command::Abort { app: shop(), accept_loss: true, by });
            wait(simulation, chance, 6_000..7_000);
            parts(simulation, 1, false);
            wait(simulation, chance, 1_000..2_000);
        },
    },
    Ordeal {
        name: "no voter hears a guard to which one of two candidates still gives its word, and people have the app moved",
        knows: &[Mutant::FailsafeByMajority],
        shape: |mesh, apps| {
            guarded(mesh, apps);
            mesh.observers.push(3);
            apps[0].stacks.push(name("north"));
            apps[0].guards.push(agent_name(NORTHS_GUARD));
        },
        play: |simulation, chance| {
            wait(simulation, chance, 25_000..26_000);
            hears_no_more(simulation, EASTS_GUARD, &[0, 1, 2, 3, 4, WESTS_GUARD]);
            wait(simulation, chance, 25_000..26_000);
            asks(simulation, 0);
            wait(simulation, chance, 12_000..13_000);
        },
    },
    Ordeal {
        name: "people move an app whose guard lives on a long word of the other, and by then hears nobody",
        knows: &[Mutant::FailsafeBarForgotten],
        shape: |mesh, apps| {
            guarded(mesh, apps);
            apps[0].lease = Duration::from_secs(60);
        },
        play: |simulation, chance| {
            // It says that it knows the candidates once nothing binds it of before: a lease after its start.
            wait(simulation, chance, 66_000..67_000);
            hears_no_more(simulation, EASTS_GUARD, &[0, 1, 2, 3, 4]);
            wait(simulation, chance, 70_000..71_000);
            hears_no_more(simulation, EASTS_GUARD, &[WESTS_GUARD]);
            asks(simulation, 0);
            wait(simulation, chance, 20_000..21_000);
        },
    },
    Ordeal {
        name: "a guard dies with its host, and what it said before goes on arriving at two of five",
        knows: &[Mutant::OvertakenHeard],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| {
            repeats_pulses(simulation);
            wait(simulation, chance, 4_000..5_000);
            simulation.break_web(&shop(), &east(), Web::Dark);
            simulation.host_dies(&shop(), &east());
            let moves = until(simulation, 300, |state| {
                state.phase == Phase::Idle && state.active != east()
            });
            if !moves {
                let text = "shop is served by a host that died 30 s ago".to_owned();
                simulation.report(vec![("a dead stack is left", text)]);
            }
        },
    },
];

/// One agent hears nobody and is heard by nobody, or is again.
fn parts(simulation: &mut Simulation, place: Place, cut: bool) {
    for other in (0..simulation.agents.len()).filter(|other| *other != place) {
        simulation.network.edge_mut(place, other).cut = cut;
        simulation.network.edge_mut(other, place).cut = cut;
    }
    simulation.look_at_links();
}

/// One agent and these hear each other no more.
fn hears_no_more(simulation: &mut Simulation, place: Place, others: &[Place]) {
    for other in others {
        simulation.cut(place, *other, true);
        simulation.cut(*other, place, true);
    }
}

/// What is being promoted takes clients only later.
fn is_unready(simulation: &mut Simulation) {
    let database = simulation.database(&shop(), &west()).expect("it has one");
    simulation.world.databases.get_mut(&database).expect("it is there").unready = true;
}

/// A pulse of the serving stack's guard to each of two voters comes again and again.
fn repeats_pulses(simulation: &mut Simulation) {
    let mut caught = 0;
    simulation.snare = Some(Box::new(move |simulation, from, to, message| {
        if from == EASTS_GUARD && to < 2 && matches!(message, Message::Pulse(_)) {
            caught += 1;
            for count in 1..80 {
                let (way, message) = (Way::Datagram, message.clone());
                let span = Duration::from_millis(500 * count);
                simulation.after(span, Event::Deliver { from, to, way, message });
            }
        }
        caught == 2
    }));
}

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

#[cfg(test)]
mod tests {
    use consensus::message::GuardMessage;
    use consensus::model::Token;

    use super::*;

    /// What asks a guard for the same as the executor does, but for one thing.
    fn bent(asked: &GuardMessage) -> Vec<GuardMessage> {
        let mut stack = asked.target.clone();
        stack.stack = west();
        vec![
            GuardMessage { item: asked.item + 1, ..asked.clone() },
            GuardMessage { term: asked.term + 1, ..asked.clone() },
            GuardMessage { token: Token(asked.token.0 + 2), ..asked.clone() },
            GuardMessage { target: stack, ..asked.clone() },
        ]
    }

    #[test]
    fn a_guard_does_only_what_follows_from_a_claim_of_whoever_asks() {
        let ordeal = Ordeal {
            name: "guards are asked for what was not agreed, and by others",
            knows: &[],
            shape: |mesh, apps| guarded(mesh, apps),
            play: |simulation, chance| {
                simulation.snare = Some(Box::new(|simulation, from, to, message| {
                    let fences = step(message) == Some(Phase::Fencing.step());
                    let Message::Guard(asked) = message else { return false };
                    if !fences {
                        return false;
                    }
                    let way = Way::Datagram;
                    // The very request of another than who has the claim, ahead of the real one.
                    let others = [(from + 1, to, asked.clone()), (from + 1, 6, asked.clone())];
                    let bent = bent(asked).into_iter().map(Box::new);
                    let bent = bent.flat_map(|it| [(from, to, it.clone()), (from, 6, it)]);
                    for (from, to, message) in bent.chain(others) {
                        let message = Message::Guard(message);
                        simulation.after(Duration::ZERO, Event::Deliver { from, to, way, message });
                    }
                    true
                }));
                asks(simulation, 0);
                wait(simulation, chance, 5_000..6_000);
            },
        };
        let verdict = ordeal.run(1, None, true);
        assert!(verdict.violations.is_empty(), "{}", verdict.violations[0]);
        let lines: Vec<_> = verdict.lines.iter().map(ToString::to_string).collect();
        let done: Vec<_> = lines
            .iter()
            .filter_map(|line| Some(line.split_once(" acts for shop with ")?.1))
            .filter(|line| line.contains("(asked by "))
            .collect();
        assert_eq!(
            done,
            [
                "2.1.1: fence db at 198.51.100.1:5432 (asked by a1)",
                "2.1.3: promote db at 198.51.100.2:5432 (asked by a1)",
            ]
        );
    }
}
