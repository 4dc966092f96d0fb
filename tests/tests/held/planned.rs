//! Planned moves under load: nothing is lost, the old primary follows, and so do the others; also where whoever carries one
//! out is killed in the middle.

use super::*;

/// Moves the app from one server to another while clients write: briefly nobody can, nothing is lost, and all others follow.
pub fn moves<const N: usize>(world: &Guarded<'_, N>, [old, new]: [usize; 2]) {
    moves_by(world, [old, new], || {
        let (name, asked) = (&world.guards[new].host, Instant::now());
        world.mesh.agents[2].quorate(&["switchover", "shop", "--to", name, "--yes"]).expect_done();
        asked
    });
}

/// The same back to where it was at first, once that has been well for as long as is asked for.
fn goes_home<const N: usize>(world: &Guarded<'_, N>) {
    let agent = &world.mesh.agents[2];
    let early = agent.quorate(&["failback", "shop", "--yes"]).expect_refused();
    assert!(early.contains("30 min are asked for"), "{early}");
    moves_by(world, [1, 0], || {
        eventually(SETTLE, "it has been well for long enough", || {
            let asked = Instant::now();
            let said = agent.quorate(&["failback", "shop", "--after", "10s", "--yes"]);
            if said.status.success() { Ok(asked) } else { Err(said.errors) }
        })
    });
}

fn moves_by<const N: usize>(
    world: &Guarded<'_, N>,
    [old, new]: [usize; 2],
    ask: impl FnOnce() -> Instant,
) {
    let begun = Instant::now();
    world.takes_more(old);
    let (epoch, name) = (Epoch(world.view().epoch.0 + 1), &world.guards[new].host);
    let asked = ask();
    let view = world.mesh.settle(SETTLE, "shop", name);
    assert_eq!((view.decision.kind, view.epoch), (DecisionKind::Switchover, epoch));
    world.takes_more(new);
    for other in (0..N).filter(|other| *other != new) {
        comes_to_follow(world, other, name);
    }
    let ledger = world.writers.acknowledged();
    assert_eq!(world.servers[new].lost(&ledger), Vec::<i64>::new());
    // They may have been moved before.
    let ledger: Vec<_> = ledger.into_iter().filter(|it| begun <= it.at).collect();
    let pause = judged(world, &ledger, [old, new], asked);
    assert!(pause < PAUSE, "{pause:?}");
}

/// Waits until one follows and applies what it gets, behind its door.
fn comes_to_follow<const N: usize>(world: &Guarded<'_, N>, other: usize, name: &str) {
    let it = &world.servers[other];
    eventually(SETTLE * 2, &format!("{} follows {name}", it.address()), || it.follows(name));
    let before = it.rows();
    eventually(SETTLE, "and applies what it gets", || match it.rows() {
        more if more == before => Err(format!("{more:?}")),
        _ => it.follows(name),
    });
    assert!(!world.reaches(other), "behind its door");
}

/// Whoever carries a planned move out is killed as soon as it has claimed this phase, and another finishes it: decided once,
/// nothing is lost, and the old primary follows.
fn killed_while_it_moves(lab: &Lab, dialect: Dialect, phase: Phase) {
    let mut world: Guarded<'_, 2> = Guarded::rejoining(lab, alone(dialect), TWO);
    let epoch = Epoch(world.view().epoch.0 + 1);
    // Whom it asks stands still meanwhile, so that it is struck in the middle of what it does.
    let guard = match phase {
        Phase::Fencing => Some(0),
        Phase::Promoting => Some(1),
        Phase::Publishing | Phase::Verifying | Phase::Aborting | Phase::Idle => None,
    };
    if phase == Phase::Publishing {
        world.bind.as_ref().expect("two stacks leave it a host").pause();
    }
    if let Some(guard) = guard {
        world.guards[guard].process().pause();
    }
    let asked = Instant::now();
    let words = ["switchover", "shop", "--to", "s2", "--yes"];
    let mut asking = world.mesh.agents[2].begin(&words);
    let executor = world.mesh.executor_at("shop", phase, epoch);
    world.mesh.agent(&executor).kill();
    let struck = asked.elapsed();
    if let Some(guard) = guard {
        world.guards[guard].process().resume();
    }
    println!("{executor} was killed {} after it was asked for", ms(struck));
    let view = finished_by_another(&world, epoch);
    assert_eq!(view.decision.kind, DecisionKind::Switchover);
    asking.kill();
    comes_to_follow(&world, 0, "s2");
    changes_nothing_more(&mut world, &executor);
    let ledger = world.writers.acknowledged();
    judged(&world, &ledger, [0, 1], asked);
    assert_eq!(world.servers[1].lost(&ledger), Vec::<i64>::new());
}

/// There, once, where commits wait for the replica.
fn moved(lab: &Lab, dialect: Dialect) {
    let world: Guarded<'_, 2> = Guarded::start(lab, waiting(dialect), TWO);
    moves(&world, [0, 1]);
}

/// There and home. A MariaDB or MySQL that has never been the primary does not have its commits wait.
fn moved_and_back(lab: &Lab, plan: Plan) {
    let world: Guarded<'_, 2> = Guarded::start(lab, plan, TWO);
    moves(&world, [0, 1]);
    goes_home(&world);
}

mod nginx_postgres_bind {
    use super::*;

    executor_is_killed!(killed_while_it_moves, Dialect::Postgres);

    /// Each time the old primary is made a standby by its guard.
    #[test]
    fn a_planned_move_there_and_back_pauses_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| {
            let world: Guarded<'_, 2> = Guarded::rejoining(lab, alone(Dialect::Postgres), TWO);
            moves(&world, [0, 1]);
            world.ready();
            moves(&world, [1, 0]);
        });
    }
}

mod nginx_mariadb_bind {
    use super::*;

    executor_is_killed!(killed_while_it_moves, Dialect::MariaDb);

    #[test]
    fn a_planned_move_under_load_pauses_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved(lab, Dialect::MariaDb));
    }

    #[test]
    fn a_planned_move_and_the_way_home_pause_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved_and_back(lab, alone(Dialect::MariaDb)));
    }
}

mod nginx_foreign_mysql_bind {
    use super::*;

    executor_is_killed!(killed_while_it_moves, Dialect::MySql);

    #[test]
    fn a_planned_move_under_load_pauses_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved(lab, Dialect::MySql));
    }

    #[test]
    fn a_planned_move_and_the_way_home_pause_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved_and_back(lab, alone(Dialect::MySql)));
    }
}

mod nginx_redis_bind {
    use super::*;

    executor_is_killed!(killed_while_it_moves, Dialect::Redis);

    #[test]
    fn a_planned_move_and_the_way_home_pause_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved_and_back(lab, waiting(Dialect::Redis)));
    }
}

mod nginx_foreign_valkey_bind {
    use super::*;

    #[test]
    fn a_planned_move_and_the_way_home_pause_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved_and_back(lab, waiting(Dialect::Valkey)));
    }
}
