//! The main job on real processes: a stack dies, the standby serves, everything is done once and nothing is lost.
//!
//! `nginx_postgres_bind` names the servers these tests need, so that `./tests/run --without SERVER` can leave them out.

use std::time::Duration;

use consensus::model::{DecisionKind, Epoch, Phase};
use tests::harness::agents::Agent;
use tests::harness::app::Shop;
use tests::harness::bind::Updates;
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::resolver::{Answer, ask};
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::{SETTLE, Timings, World};
use tests::harness::writer::{Writer, lost};

/// Long enough for a wrong decision to show: several windows and every retry.
const QUIET: Duration = Duration::from_secs(8);

/// Waits until the writer's rows are acknowledged by one of the databases.
fn written(world: &World<'_>, writer: &Writer, database: usize) {
    let server = world.databases[database].address();
    eventually(SETTLE, &format!("20 rows are acknowledged by {server}"), || {
        let rows = writer.acknowledged().iter().filter(|entry| entry.server == server).count();
        if 20 <= rows { Ok(()) } else { Err(format!("{rows} rows")) }
    });
}

/// Names that lead to whoever takes writes, and to the others.
const ROLES: &str = "[[record]]\nname = \"rw.edge.test\"\ntype = \"A\"\nttl = 5\nrw = \"orders\"\n\
     [[record]]\nname = \"ro.edge.test\"\ntype = \"A\"\nttl = 5\nro = \"orders\"\n";

/// Waits until every agent answers a name with this host.
fn leads(world: &World<'_>, name: &str, stack: &str) {
    eventually(SETTLE, &format!("{name} leads to {stack}"), || {
        world.mesh.running().try_for_each(|agent| match ask(agent.dns(), name) {
            answer if answer == Answer::Addresses(vec![address(stack)]) => Ok(()),
            other => Err(format!("{}: {other:?}", agent.name)),
        })
    });
}

/// What must not change while nothing is to happen.
fn state(agent: &Agent<'_>) -> (String, Epoch, Phase) {
    let view = agent.app("shop").expect("the agent answers");
    (view.active.as_str().to_owned(), view.epoch, view.phase)
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn a_killed_stack_is_replaced_once_and_every_acknowledged_row_is_there() {
        inside(|lab: &Lab| {
            let mut world = World::unapplied(lab, Updates::Granted);
            world.apply(lab, &Shop { more: ROLES, ..Shop::default() });
            let before = world.epoch();
            let watches = world.watches(&[2]);
            leads(&world, "rw.edge.test", "s1");
            leads(&world, "ro.edge.test", "s2");
            let [primary, standby] = [0, 1].map(|n| world.databases[n].address());
            let writer = Writer::start(&[primary, standby]);
            written(&world, &writer, 0);

            let kill = world.kill_active();
            let (_, view) = Timings::follow(&world, kill, &watches);

            assert_eq!(view.decision.kind, DecisionKind::Failover);
            assert_eq!(view.epoch, Epoch(before.0 + 1), "decided once");
            assert!(view.decision.first.is_some() && view.decision.second.is_some());
            written(&world, &writer, 1);
            let ledger = writer.stop();
            let missing = lost(&ledger, &world.databases[1]);
            assert_eq!(missing, Vec::<i64>::new(), "of {} acknowledged rows", ledger.len());
            leads(&world, "rw.edge.test", "s2");
            // There is no other replica: what can be read is the new primary, and not the one that died.
            leads(&world, "ro.edge.test", "s2");
        });
    }

    #[test]
    fn one_blinded_observer_moves_nothing() {
        inside(|lab: &Lab| {
            let world = World::new(lab);
            let watches = world.watches(&[2]);
            lab.fabric.cut("r1", "s1");
            eventually(SETTLE, "a2 hears that a1 sees s1 down", || {
                let view = world.mesh.agents[1].app("shop")?;
                let stack = view.stacks.iter().find(|stack| stack.stack.as_str() == "s1");
                let targets = &stack.ok_or("no s1")?.targets;
                let down = targets.iter().all(|target| {
                    target.beliefs.iter().any(|(agent, belief)| {
                        agent.as_str() == "a1" && belief.health == consensus::model::Health::Down
                    })
                });
                if down { Ok(()) } else { Err(format!("{targets:?}")) }
            });
            throughout(QUIET, "one blinded observer", || {
                world.mesh.agents.iter().map(state).collect::<Vec<_>>()
            });
            for watch in watches.all() {
                assert_eq!(watch.changes().len(), 1, "{:?}", watch.changes());
            }
            assert_eq!(world.databases[1].writable(), Ok(false));
        });
    }

    #[test]
    fn two_of_five_cut_off_and_the_three_decide() {
        inside(|lab: &Lab| {
            let mut world = World::new(lab);
            let watches = world.watches(&[2]);
            let rest = ["r1", "r2", "r3", "s1", "s2", "dns", "client"];
            lab.fabric.split(&["r4", "r5"], &rest);
            world.kill_active();
            eventually(SETTLE, "a1 knows s2 to be active and settled", || {
                let (active, _, phase) = state(&world.mesh.agents[0]);
                let settled = active == "s2" && phase == Phase::Idle;
                if settled { Ok(()) } else { Err(format!("{active} {phase}")) }
            });
            let (active, _, _) = state(&world.mesh.agents[3]);
            assert_eq!(active, "s1", "the two know nothing of it");
            let quorum = world.mesh.agents[3].view().expect("a4 answers").quorum;
            assert_eq!((quorum.heard, quorum.needed), (2, 3));
            assert!(quorum.why.is_some());
            lab.fabric.heal();
            world.settle_on_standby(&watches);
        });
    }

    #[test]
    fn three_of_five_gone_and_nobody_decides_until_one_is_back() {
        inside(|lab: &Lab| {
            let mut world = World::new(lab);
            let watches = world.watches(&[0]);
            for name in ["a3", "a4", "a5"] {
                world.mesh.agent(name).kill();
            }
            world.kill_active();
            eventually(SETTLE, "a1 says that there is no quorum", || {
                let quorum = world.mesh.agents[0].view()?.quorum;
                match &quorum.why {
                    Some(_) if quorum.heard == 2 => Ok(()),
                    _ => Err(format!("{quorum:?}")),
                }
            });
            throughout(QUIET, "two of five voters", || {
                world.mesh.running().map(state).collect::<Vec<_>>()
            });
            assert_eq!(world.databases[1].writable(), Ok(false));
            world.mesh.agent("a3").start();
            world.settle_on_standby(&watches);
        });
    }

    #[test]
    fn all_agents_restarted_in_the_middle_finish_what_was_begun() {
        inside(|lab: &Lab| {
            let mut world = World::new(lab);
            let epoch = Epoch(world.epoch().0 + 1);
            let watches = world.watches(&[2]);
            // Silence instead of a refused connection: the fence takes its whole time.
            lab.fabric.isolate("s1");
            world.executor_at(Phase::Fencing, epoch);
            for agent in &mut world.mesh.agents {
                agent.kill();
            }
            world.mesh.start();
            let view = world.settle_on_standby(&watches);
            assert_eq!(view.epoch, epoch, "the same decision, carried on");
        });
    }

    /// What befalls the executor.
    #[derive(Clone, Copy)]
    enum Blow {
        Kill,
        Pause,
    }

    /// Strikes the executor of a failover as soon as it has claimed `phase`.
    fn strike(lab: &Lab, phase: Phase, blow: Blow) {
        let mut world = World::new(lab);
        let epoch = Epoch(world.epoch().0 + 1);
        // The struck one's server too: after its restart it may not answer what it no longer answered before.
        let watches = world.watches(&[0, 1, 2, 3, 4]);
        match phase {
            // Slow steps are struck in the middle, fast ones just before or just after their effect.
            Phase::Fencing => lab.fabric.isolate("s1"),
            Phase::Publishing => {
                world.bind.pause();
                world.kill_active();
            }
            _ => {
                world.kill_active();
            }
        }
        let executor = world.executor_at(phase, epoch);
        match blow {
            Blow::Kill => world.mesh.agent(&executor).kill(),
            Blow::Pause => world.mesh.agent(&executor).process().pause(),
        }
        world.bind.resume();
        let others = |agent: &&Agent<'_>| agent.name != executor;
        eventually(SETTLE, &format!("the others finish without {executor}"), || {
            world.mesh.running().filter(others).try_for_each(|agent| {
                let (active, _, phase) = state(agent);
                let settled = active == "s2" && phase == Phase::Idle;
                if settled { Ok(()) } else { Err(format!("{}: {active} {phase}", agent.name)) }
            })
        });
        match blow {
            Blow::Kill => world.mesh.agent(&executor).start(),
            Blow::Pause => world.mesh.agent(&executor).process().resume(),
        }
        let view = world.settle_on_standby(&watches);
        assert_eq!(view.epoch, epoch, "one decision, whoever carried it out");
        // Whatever the struck one still had in hand must change nothing.
        throughout(Duration::from_secs(3), "a settled failover", || {
            world.mesh.agents.iter().map(state).collect::<Vec<_>>()
        });
        world.settle_on_standby(&watches);
    }

    #[test]
    fn the_executor_is_killed_while_it_fences() {
        inside(|lab: &Lab| strike(lab, Phase::Fencing, Blow::Kill));
    }

    #[test]
    fn the_executor_is_killed_while_it_promotes() {
        inside(|lab: &Lab| strike(lab, Phase::Promoting, Blow::Kill));
    }

    #[test]
    fn the_executor_is_killed_while_it_publishes() {
        inside(|lab: &Lab| strike(lab, Phase::Publishing, Blow::Kill));
    }

    #[test]
    fn the_executor_is_killed_while_it_verifies() {
        inside(|lab: &Lab| strike(lab, Phase::Verifying, Blow::Kill));
    }

    #[test]
    fn the_executor_is_stopped_while_it_fences() {
        inside(|lab: &Lab| strike(lab, Phase::Fencing, Blow::Pause));
    }

    #[test]
    fn the_executor_is_stopped_while_it_promotes() {
        inside(|lab: &Lab| strike(lab, Phase::Promoting, Blow::Pause));
    }

    #[test]
    fn the_executor_is_stopped_while_it_publishes() {
        inside(|lab: &Lab| strike(lab, Phase::Publishing, Blow::Pause));
    }

    #[test]
    fn the_executor_is_stopped_while_it_verifies() {
        inside(|lab: &Lab| strike(lab, Phase::Verifying, Blow::Pause));
    }
}
