//! A primary and two guarded replicas: one of them takes over, the other follows that one, and the old one is in nobody's way.

use tests::harness::app::THREE;

use super::*;

/// What befalls the primary of three.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Its processes stand still for 45 s while its guard is well.
    StandsStill,
    /// Its host and its guard are cut off from everybody but the clients.
    CutOff,
}

/// A primary beside two replicas is in trouble: one takes over, the other follows that one from then on, and the old one, once it
/// is back behind its door, follows, too, or is said to have transactions of its own.
fn one_of_two_takes_over(lab: &Lab, plan: Plan, trouble: Trouble) {
    let world: Guarded<'_, 3> = Guarded::rejoining(lab, plan, THREE);
    let before = world.view().epoch;
    let broken = Instant::now();
    match trouble {
        Trouble::StandsStill => world.servers[0].freeze(),
        Trouble::CutOff => lab.fabric.isolate("s1"),
    }
    let view = eventually(SETTLE, "another is the primary", || {
        let view = world.view();
        match view.active.as_str() != THREE[0].0 && view.phase == Phase::Idle {
            true => Ok(view),
            false => Err(view.next.to_string()),
        }
    });
    assert_eq!(view.decision.kind, DecisionKind::Failover);
    assert_eq!(view.epoch, Epoch(before.0 + 1), "decided once");
    assert!(view.decision.fence.values().all(|fence| fence.proven), "{:?}", view.decision);
    let new = if view.active.as_str() == THREE[1].0 { 1 } else { 2 };
    let (name, other) = (THREE[new].0, 3 - new);
    world.takes(new);
    eventually(SETTLE, "the third follows it", || world.servers[other].follows(name));
    match trouble {
        Trouble::StandsStill => {
            let rest = Duration::from_secs(45).saturating_sub(broken.elapsed());
            throughout(rest, "its door stays shut", || world.reaches(0));
            world.servers[0].thaw();
        }
        Trouble::CutOff => lab.fabric.heal(),
    }
    throughout(Duration::from_secs(5), "and shut once it is back", || world.reaches(0));
    assert!(!world.reaches(0));
    match plan.dialect {
        Dialect::Postgres => is_brought_back(&world, new),
        _ => {
            let end = eventually(SETTLE * 2, "it follows, or is said to have its own", || {
                let follows = world.servers[0].follows(name).map(|()| "it follows".to_owned());
                follows.or_else(|why| has_its_own(&world).ok_or(why))
            });
            println!("in the end: {end}");
        }
    }
    // The third is none the worse for it.
    let rows = world.servers[other].rows();
    eventually(SETTLE, "the third applies what it gets", || match world.servers[other].rows() {
        more if more == rows => Err(format!("{more:?}")),
        _ => world.servers[other].follows(name),
    });
    let ledger = world.writers.acknowledged();
    judged(&world, &ledger, [0, new], broken);
    if plan.replication == Replication::Synchronous && plan.dialect != Dialect::Redis {
        assert_eq!(world.servers[new].lost(&ledger), Vec::<i64>::new());
    }
    assert_eq!(world.view().active.as_str(), name);
    assert!(!world.reaches(other), "the third is behind its door");
    assert_eq!(world.took(other), 0, "it took a row");
}

/// A planned move to one of two: the other follows that one, and so does the old primary.
fn one_of_two_is_moved_to(lab: &Lab, plan: Plan) {
    let world: Guarded<'_, 3> = Guarded::rejoining(lab, plan, THREE);
    planned::moves(&world, [0, 1]);
    assert_eq!(world.took(2), 0, "the third took a row");
}

/// A primary with two guarded replicas dies, and then the one that took over.
fn twice(lab: &Lab, dialect: Dialect) {
    let mut world: Guarded<'_, 3> = Guarded::start(lab, alone(dialect), THREE);
    let stack = |n: usize| THREE[n].0;
    let mut at = 0;
    let mut left = vec![0, 1, 2];
    while 1 < left.len() {
        let before = world.view().epoch;
        let killed = world.kill(at);
        left.retain(|n| *n != at);
        let view = eventually(SETTLE, "a failover is done", || {
            let view = world.view();
            match before < view.epoch && view.phase == Phase::Idle {
                true => Ok(view),
                false => Err(view.next.to_string()),
            }
        });
        assert_eq!(view.epoch, Epoch(before.0 + 1), "decided once");
        let new = left.iter().copied().find(|n| view.active.as_str() == stack(*n)).expect("one");
        world.takes(new);
        for other in left.iter().copied().filter(|n| *n != new) {
            eventually(SETTLE, &format!("{} follows", stack(other)), || {
                world.servers[other].follows(stack(new))
            });
            assert!(!world.reaches(other), "behind its door");
            assert_eq!(world.took(other), 0, "it took a row");
        }
        println!("{} after {}:", stack(new), stack(at));
        judged(&world, &world.writers.acknowledged(), [at, new], killed);
        if 1 < left.len() {
            world.ready();
        }
        at = new;
    }
}

mod nginx_postgres {
    use super::*;

    #[test]
    fn two_guarded_standbys_take_over_one_after_the_other() {
        inside(|lab: &Lab| twice(lab, Dialect::Postgres));
    }

    #[test]
    fn a_primary_that_stands_still_is_replaced_by_one_of_two() {
        inside(|lab: &Lab| {
            one_of_two_takes_over(lab, alone(Dialect::Postgres), Trouble::StandsStill);
        });
    }

    #[test]
    fn a_primary_that_is_cut_off_is_replaced_by_one_of_two() {
        inside(|lab: &Lab| {
            one_of_two_takes_over(lab, alone(Dialect::Postgres), Trouble::CutOff);
        });
    }

    #[test]
    fn a_planned_move_to_one_of_two_leads_the_other_there() {
        inside(|lab: &Lab| one_of_two_is_moved_to(lab, alone(Dialect::Postgres)));
    }
}

mod nginx_mariadb {
    use super::*;

    #[test]
    fn two_guarded_replicas_take_over_one_after_the_other() {
        inside(|lab: &Lab| twice(lab, Dialect::MariaDb));
    }

    #[test]
    fn a_primary_that_stands_still_is_replaced_by_one_of_two() {
        // A commit waits for either: which of them has it nobody is told, and a budget of nothing lets neither take over.
        let plan = Plan { max_loss: "64MiB", ..waiting(Dialect::MariaDb) };
        inside(|lab: &Lab| one_of_two_takes_over(lab, plan, Trouble::StandsStill));
    }

    #[test]
    fn a_primary_that_is_cut_off_is_replaced_by_one_of_two() {
        inside(|lab: &Lab| {
            one_of_two_takes_over(lab, alone(Dialect::MariaDb), Trouble::CutOff);
        });
    }

    #[test]
    fn a_planned_move_to_one_of_two_leads_the_other_there() {
        let plan = Plan { max_loss: "64MiB", ..waiting(Dialect::MariaDb) };
        inside(|lab: &Lab| one_of_two_is_moved_to(lab, plan));
    }
}

mod nginx_foreign_mysql {
    use super::*;

    #[test]
    fn two_guarded_replicas_take_over_one_after_the_other() {
        inside(|lab: &Lab| twice(lab, Dialect::MySql));
    }

    #[test]
    fn a_primary_that_stands_still_is_replaced_by_one_of_two() {
        let plan = Plan { max_loss: "64MiB", ..waiting(Dialect::MySql) };
        inside(|lab: &Lab| one_of_two_takes_over(lab, plan, Trouble::StandsStill));
    }

    #[test]
    fn a_primary_that_is_cut_off_is_replaced_by_one_of_two() {
        inside(|lab: &Lab| one_of_two_takes_over(lab, alone(Dialect::MySql), Trouble::CutOff));
    }

    #[test]
    fn a_planned_move_to_one_of_two_leads_the_other_there() {
        let plan = Plan { max_loss: "64MiB", ..waiting(Dialect::MySql) };
        inside(|lab: &Lab| one_of_two_is_moved_to(lab, plan));
    }
}

mod nginx_redis {
    use super::*;

    #[test]
    fn two_guarded_replicas_take_over_one_after_the_other() {
        inside(|lab: &Lab| twice(lab, Dialect::Redis));
    }

    #[test]
    fn a_primary_that_stands_still_is_replaced_by_one_of_two() {
        inside(|lab: &Lab| {
            one_of_two_takes_over(lab, waiting(Dialect::Redis), Trouble::StandsStill);
        });
    }

    #[test]
    fn a_primary_that_is_cut_off_is_replaced_by_one_of_two() {
        inside(|lab: &Lab| one_of_two_takes_over(lab, alone(Dialect::Redis), Trouble::CutOff));
    }

    #[test]
    fn a_planned_move_to_one_of_two_leads_the_other_there() {
        inside(|lab: &Lab| one_of_two_is_moved_to(lab, waiting(Dialect::Redis)));
    }
}

mod nginx_foreign_valkey {
    use super::*;

    #[test]
    fn two_guarded_replicas_take_over_one_after_the_other() {
        inside(|lab: &Lab| twice(lab, Dialect::Valkey));
    }
}
