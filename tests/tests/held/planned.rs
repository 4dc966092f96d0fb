//! Planned moves under load: nothing is lost, the old primary follows, and so do the others.

use super::*;

/// Moves the app from one server to another while clients write: briefly nobody can, nothing is lost, and all others follow.
pub fn moves<const N: usize>(world: &Guarded<'_, N>, [old, new]: [usize; 2]) {
    let begun = Instant::now();
    world.takes_more(old);
    let (epoch, name) = (Epoch(world.view().epoch.0 + 1), &world.guards[new].host);
    let asked = Instant::now();
    world.mesh.agents[2].quorate(&["switchover", "shop", "--to", name, "--yes"]).expect_done();
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

/// There, once.
fn moved(lab: &Lab, dialect: Dialect) {
    let world: Guarded<'_, 2> = Guarded::start(lab, waiting(dialect), TWO);
    moves(&world, [0, 1]);
}

mod nginx_postgres_bind {
    use super::*;

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

    #[test]
    fn a_planned_move_under_load_pauses_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved(lab, Dialect::MariaDb));
    }
}

mod nginx_foreign_mysql_bind {
    use super::*;

    #[test]
    fn a_planned_move_under_load_pauses_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved(lab, Dialect::MySql));
    }
}

mod nginx_redis_bind {
    use super::*;

    #[test]
    fn a_planned_move_under_load_pauses_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved(lab, Dialect::Redis));
    }
}

mod nginx_foreign_valkey_bind {
    use super::*;

    #[test]
    fn a_planned_move_under_load_pauses_writes_briefly_and_none_is_lost() {
        inside(|lab: &Lab| moved(lab, Dialect::Valkey));
    }
}
