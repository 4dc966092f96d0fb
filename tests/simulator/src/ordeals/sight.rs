//! Ordeals of what is seen, by whom, and whether that is enough (PROTOCOL.md B).

use std::time::Duration;

use consensus::config::Mutant;

use super::{
    Ordeal, asks, blinds, buries, east, fells, guarded, kills, restarts, same, shop, wait, west,
};
use crate::chance::Chance;
use crate::scene::AppShape;
use crate::simulation::Simulation;
use crate::world::Web;

/// All of this room.
pub const ORDEALS: &[Ordeal] = &[
    Ordeal {
        name: "much fails at once for most voters",
        knows: &[Mutant::AbstainersCount, Mutant::MassFailureVotes],
        shape: |_, apps| apps.push(AppShape::web("blog")),
        play: |simulation, chance| {
            for (app, stack) in [("shop", east()), ("blog", east()), ("blog", west())] {
                blinds(simulation, &[0, 1, 2], app, &stack);
            }
            blinds(simulation, &[3], "shop", &east());
            wait(simulation, chance, 7_000..8_000);
        },
    },
    Ordeal {
        name: "canaries fall silent, and then a stack",
        knows: &[Mutant::CanariesIgnored],
        shape: |mesh, _| mesh.canaries = 3,
        play: |simulation, chance| {
            simulation.world.silent = simulation.agents.iter().map(|it| it.id.clone()).collect();
            wait(simulation, chance, 6_500..7_000);
            fells(simulation, &east());
            wait(simulation, chance, 6_000..7_000);
        },
    },
    Ordeal {
        name: "most voters lose sight of a stack and of their canaries at once",
        knows: &[Mutant::CanariesSlow],
        shape: |mesh, _| mesh.canaries = 3,
        play: |simulation, chance| {
            let most = [0, 1, 2, 3];
            simulation.world.silent = most.map(|it| simulation.agents[it].id.clone()).into();
            blinds(simulation, &most, "shop", &east());
            wait(simulation, chance, 7_000..8_000);
        },
    },
    Ordeal {
        name: "a stack that was down is up again when voters are asked about it",
        knows: &[Mutant::SuccessDoesNotClear],
        shape: same,
        play: |simulation, chance| {
            // With nowhere to move to, nobody moves while it is down.
            fells(simulation, &west());
            wait(simulation, chance, 1_000..2_000);
            fells(simulation, &east());
            wait(simulation, chance, 5_000..6_000);
            simulation.break_web(&shop(), &east(), Web::Up);
            wait(simulation, chance, 650..900);
            asks(simulation, 0);
            wait(simulation, chance, 3_000..4_000);
        },
    },
    Ordeal {
        name: "two of five are cut off from the others, and one is asked by the other",
        knows: &[Mutant::VotesWhileIsolated],
        shape: same,
        play: |simulation, chance| {
            for (one, other) in [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4)] {
                simulation.cut(one, other, true);
                simulation.cut(other, one, true);
            }
            simulation.look_at_links();
            // Asked for while they still think that they hear a majority, it is tried for ten seconds.
            wait(simulation, chance, 1_000..1_500);
            asks(simulation, 0);
            wait(simulation, chance, 9_500..10_500);
        },
    },
    Ordeal {
        name: "a voter that is needed stands still while a stack dies",
        knows: &[Mutant::PauseForgotten],
        shape: same,
        play: |simulation, chance| {
            buries(simulation, chance, &[3, 4]);
            fells(simulation, &east());
            wait(simulation, chance, 1_200..1_700);
            simulation.stop(0);
            wait(simulation, chance, 2_600..3_500);
            simulation.resume(0);
            wait(simulation, chance, 5_000..6_000);
        },
    },
    Ordeal {
        name: "the clocks of all are set, and then they are asked about a stack",
        knows: &[Mutant::ClockJumpIgnored],
        shape: same,
        play: |simulation, chance| {
            for agent in &mut simulation.agents {
                agent.clock.wall_off_ms += 5_000;
            }
            wait(simulation, chance, 2_000..3_000);
            asks(simulation, 0);
            wait(simulation, chance, 3_000..4_000);
        },
    },
    Ordeal {
        name: "voters have just started, and are asked about a stack",
        knows: &[Mutant::VotesWhileYoung],
        shape: same,
        play: |simulation, chance| {
            kills(simulation, &[3, 4]);
            wait(simulation, chance, 500..1_000);
            simulation.start(3);
            simulation.start(4);
            wait(simulation, chance, 2_000..3_000);
            asks(simulation, 0);
            wait(simulation, chance, 3_000..4_000);
        },
    },
    Ordeal {
        name: "nobody can look at anything, for a cause of its own, and all are asked about a stack",
        knows: &[Mutant::VotesWhileUnwell],
        shape: same,
        play: |simulation, chance| {
            simulation.rates.own_trouble = 1.0;
            wait(simulation, chance, 9_000..10_000);
            asks(simulation, 0);
            wait(simulation, chance, 3_000..4_000);
        },
    },
    Ordeal {
        name: "voters lose sight of a primary that its replica follows",
        knows: &[Mutant::VetoIgnored],
        shape: |_, apps| apps[0].database = true,
        play: |simulation, chance| {
            blinds(simulation, &[0, 1, 2, 3, 4], "shop", &east());
            wait(simulation, chance, 7_000..9_000);
        },
    },
    Ordeal {
        name: "voters lose sight of a primary whose guard sees it well",
        knows: &[Mutant::GuardVetoIgnored],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| {
            wait(simulation, chance, 25_000..26_000);
            let replica = simulation.database(&shop(), &west()).expect("it has one");
            simulation.world.hear(simulation.now);
            simulation.world.severed.insert(replica);
            blinds(simulation, &[0, 1, 2, 3, 4], "shop", &east());
            wait(simulation, chance, 8_000..9_000);
        },
    },
    Ordeal {
        // Here the other guard is awaited as well, which has not said that it gave no word.
        name: "a guard starts anew within its lease",
        knows: &[],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| {
            wait(simulation, chance, 25_000..26_000);
            let replica = simulation.database(&shop(), &west()).expect("it has one");
            simulation.world.hear(simulation.now);
            simulation.world.severed.insert(replica);
            simulation.crash(5);
            wait(simulation, chance, 5_000..6_000);
            simulation.start(5);
            wait(simulation, chance, 5_000..6_000);
        },
    },
    Ordeal {
        name: "no voter hears a guard that holds its door by the candidates' word",
        knows: &[
            Mutant::FailsafeOverlooked,
            Mutant::GrantedBeforeSaved,
            Mutant::VouchedBeforeSaved,
        ],
        shape: |mesh, apps| guarded(mesh, apps),
        play: |simulation, chance| {
            wait(simulation, chance, 25_000..26_000);
            for voter in 0..5 {
                simulation.cut(5, voter, true);
                simulation.cut(voter, 5, true);
            }
            wait(simulation, chance, 25_000..26_000);
        },
    },
    Ordeal {
        name: "who gave its word for a guard is heard again by most voters before it says so",
        knows: &[Mutant::WordNotAwaited],
        shape: |mesh, apps| guarded(mesh, apps),
        play: heard_before_it_says_so,
    },
    Ordeal {
        // Whoever did not hear the other guard saw nothing of its database either, which is not fit for as long.
        name: "the same, and nobody but its guard reaches the database",
        knows: &[],
        shape: |mesh, apps| {
            guarded(mesh, apps);
            apps[0].hidden = true;
        },
        play: heard_before_it_says_so,
    },
    Ordeal {
        name: "no voter hears a guard whose short lease ends between two words of who hears it",
        knows: &[],
        shape: |mesh, apps| {
            guarded(mesh, apps);
            apps[0].lease = Duration::from_secs(3);
        },
        play: |simulation, chance| {
            wait(simulation, chance, 20_000..30_000);
            for voter in 0..5 {
                simulation.cut(5, voter, true);
                simulation.cut(voter, 5, true);
            }
            wait(simulation, chance, 10_000..11_000);
        },
    },
    Ordeal {
        name: "the only other stack has come up a moment ago",
        knows: &[Mutant::UnfitStandby],
        shape: same,
        play: |simulation, chance| {
            fells(simulation, &west());
            wait(simulation, chance, 6_000..8_000);
            fells(simulation, &east());
            wait(simulation, chance, 1_000..1_500);
            simulation.break_web(&shop(), &west(), Web::Up);
            wait(simulation, chance, 5_000..6_000);
        },
    },
    Ordeal {
        name: "a region does not reach the only other stack",
        knows: &[Mutant::WorseStandby],
        shape: same,
        play: |simulation, chance| {
            blinds(simulation, &[2], "shop", &west());
            wait(simulation, chance, 3_000..4_000);
            fells(simulation, &east());
            wait(simulation, chance, 6_000..8_000);
        },
    },
    Ordeal {
        name: "the other stack came and went, and stands for a while",
        knows: &[Mutant::FlappingIgnored],
        shape: same,
        play: |simulation, chance| {
            for _ in 0..4 {
                fells(simulation, &west());
                wait(simulation, chance, 2_700..3_000);
                simulation.break_web(&shop(), &west(), Web::Up);
                wait(simulation, chance, 1_500..2_000);
            }
            wait(simulation, chance, 17_000..18_000);
            fells(simulation, &east());
            wait(simulation, chance, 5_000..6_000);
        },
    },
    Ordeal {
        name: "two of five see a stack down, and two more said so before they died",
        knows: &[Mutant::HearsayCounts, Mutant::MajorityOfReporting],
        shape: same,
        play: |simulation, chance| {
            blinds(simulation, &[3, 4], "shop", &east());
            restarts(simulation, &[2]);
            wait(simulation, chance, 1_000..1_400);
            fells(simulation, &east());
            wait(simulation, chance, 1_300..1_600);
            kills(simulation, &[3, 4]);
            wait(simulation, chance, 4_000..5_000);
        },
    },
    Ordeal {
        name: "three of five see a stack down, all in one region",
        knows: &[Mutant::OneRegion],
        shape: |mesh, _| mesh.voters = vec![1, 1, 1, 2, 3],
        play: |simulation, chance| {
            buries(simulation, chance, &[3, 4]);
            fells(simulation, &east());
            wait(simulation, chance, 6_000..8_000);
        },
    },
    Ordeal {
        name: "no voter sees what a crowd reaches",
        knows: &[Mutant::ContestIgnored],
        shape: |mesh, _| mesh.observers = (0..10).map(|at| at % 3 + 1).collect(),
        play: |simulation, chance| {
            wait(simulation, chance, 25_000..26_000);
            blinds(simulation, &[0, 1, 2, 3, 4], "shop", &east());
            wait(simulation, chance, 6_000..8_000);
        },
    },
];

/// The guard of the stack that serves lives on another's word, whom most voters hear again before it has told of that.
fn heard_before_it_says_so(simulation: &mut Simulation, chance: &mut Chance) {
    wait(simulation, chance, 25_000..26_000);
    let both = |simulation: &mut Simulation, guard, voter, cut| {
        simulation.cut(guard, voter, cut);
        simulation.cut(voter, guard, cut);
    };
    // Two hear all along whose word the door is open by; what they say of it is no evidence.
    (0..5).for_each(|voter| both(simulation, 5, voter, true));
    [0, 3, 4].into_iter().for_each(|voter| both(simulation, 6, voter, true));
    wait(simulation, chance, 17_000..22_000);
    [0, 3, 4].into_iter().for_each(|voter| both(simulation, 6, voter, false));
    wait(simulation, chance, 8_000..9_000);
}
