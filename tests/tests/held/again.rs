//! There and back by disaster: the old primary is made a replica again, and takes over when the new one dies in its turn.

use super::*;

/// Both die, one after the other, each once the other could take over.
fn both_die(lab: &Lab, plan: Plan) {
    let mut world: Guarded<'_, 2> = Guarded::rebuilding(lab, plan, TWO);
    let broken = world.kill(0);
    world.mesh.settle(SETTLE, "shop", "s2");
    world.comes_back(0, "s2");
    world.takes(1);
    world.servers[1].waits();
    world.ready();
    // From here on both have everything.
    let ledger = world.writers.acknowledged();
    judged(&world, &ledger, [0, 1], broken);
    let before = ledger.len();
    world.takes_more(1);

    let broken = world.kill(1);
    let view = world.mesh.settle(SETTLE, "shop", "s1");
    assert_eq!(view.decision.kind, DecisionKind::Failover);
    world.takes_more(0);
    let ledger = world.writers.acknowledged();
    let old = world.servers[1].address();
    let later: Vec<_> = ledger.iter().skip(before).collect();
    let last = later.iter().filter(|it| it.server == old).map(|it| it.at).max();
    let new = later.iter().filter(|it| it.server != old).map(|it| it.at).min();
    let (last, new) = (last.expect("it took rows"), new.expect("it takes rows again"));
    println!("the second time writes paused for {}", ms(new.saturating_duration_since(last)));
    assert!(last < new && last < broken + LEASE, "one after the other");
    let lost = world.servers[0].lost(&ledger);
    println!("{} of {} rows lost", lost.len(), ledger.len());
    if plan.max_loss == "0" {
        assert_eq!(lost, Vec::<i64>::new());
    }
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn the_old_primary_takes_over_when_the_new_one_dies_and_nothing_is_lost() {
        // The mesh has each of them wait for the other while it is there.
        inside(|lab: &Lab| both_die(lab, Plan { kept: true, ..waiting(Dialect::Postgres) }));
    }
}

mod nginx_mariadb_bind {
    use super::*;

    #[test]
    fn the_old_primary_takes_over_when_the_new_one_dies_and_nothing_is_lost() {
        inside(|lab: &Lab| both_die(lab, waiting(Dialect::MariaDb)));
    }
}

mod nginx_foreign_mysql_bind {
    use super::*;

    #[test]
    fn the_old_primary_takes_over_when_the_new_one_dies_and_nothing_is_lost() {
        inside(|lab: &Lab| both_die(lab, waiting(Dialect::MySql)));
    }
}
