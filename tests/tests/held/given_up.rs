//! What is promoted is gone while it is: people take the promotion back, and the old primary takes writes again.

use super::*;

/// The host of the stack that is moved to is cut off from everybody before it is promoted, and stays so.
fn given_up(lab: &Lab, plan: Plan) {
    let world: Guarded<'_, 2> = Guarded::start(lab, plan, TWO);
    let epoch = Epoch(world.view().epoch.0 + 1);
    // Whoever fences it waits for its last position, so that there is time to strike.
    world.servers[0].freeze();
    let agent = &world.mesh.agents[2];
    let mut asking = agent.begin(&["failover", "shop", "--to", "s2", "--yes"]);
    world.mesh.executor_at("shop", Phase::Fencing, epoch);
    lab.fabric.isolate("s2");
    eventually(SETTLE, "it is to be promoted, and is not there", || {
        let view = world.view();
        match (view.phase, view.epoch == epoch) {
            (Phase::Promoting, true) => Ok(()),
            other => Err(format!("{other:?}: {}", view.next)),
        }
    });
    world.servers[0].thaw();
    let executor = world.view().executor.expect("somebody carries it out");
    eventually(SETTLE, "the executor says what can be done", || {
        let mut all = world.mesh.running();
        let view = all.find(|it| it.name == executor.as_str()).expect("it runs").app("shop")?;
        match view
            .next
            .contains("`quorate abort shop --accept-loss` takes it back once no lease of s2 runs")
        {
            true => Ok(()),
            false => Err(view.next.to_string()),
        }
    });
    let refused = agent.quorate(&["abort", "shop", "--yes"]).expect_refused();
    assert!(refused.contains("what s2 wrote while it held its lease would be lost"), "{refused}");
    assert!(!world.reaches(0));

    let asked = Instant::now();
    agent.quorate(&["abort", "shop", "--accept-loss", "--yes"]).expect_done();
    let view = world.mesh.settle(SETTLE, "shop", "s1");
    assert_eq!((view.decision.kind, view.epoch), (DecisionKind::Abort, Epoch(epoch.0 + 1)));
    assert!(view.decision.reason.ends_with("what s2 wrote meanwhile is given up"), "{view:?}");
    eventually(SETTLE, "its door is open again", || match world.reaches(0) {
        true => Ok(()),
        false => Err("shut"),
    });
    println!("open again {} after it was asked for", ms(asked.elapsed()));
    asking.kill();

    lab.fabric.heal();
    world.ready();
    eventually(SETTLE, "the other follows", || world.servers[1].follows("s1"));
    let before = world.took(0);
    eventually(SETTLE, "rows are taken", || match world.took(0) {
        more if more < before + 20 => Err(more),
        _ => Ok(()),
    });
    let ledger = world.writers.acknowledged();
    assert_eq!(world.took(1), 0, "it never took a row");
    assert_eq!(world.servers[0].lost(&ledger), Vec::<i64>::new());
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn a_promotion_of_what_is_gone_is_taken_back() {
        inside(|lab: &Lab| given_up(lab, waiting(Dialect::Postgres)));
    }
}

mod nginx_mariadb_bind {
    use super::*;

    /// Where its commits wait for the one replica that is gone, it takes none, and says so: the word that it is open is one.
    #[test]
    fn a_promotion_of_what_is_gone_is_taken_back() {
        inside(|lab: &Lab| given_up(lab, alone(Dialect::MariaDb)));
    }
}

mod nginx_redis_bind {
    use super::*;

    #[test]
    fn a_promotion_of_what_is_gone_is_taken_back() {
        inside(|lab: &Lab| given_up(lab, waiting(Dialect::Redis)));
    }
}
