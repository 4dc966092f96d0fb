//! Planned moves under a client that writes all the while: a short pause, nothing lost, and back to where it was if the
//! target lags.
//!
//! Modules name the servers their tests need, so that `./tests/run --without SERVER` can leave them out.

use std::net::SocketAddr;
use std::time::Duration;

use consensus::model::{DecisionKind, Epoch, Phase};
use tests::harness::app::{Shop, TWO};
use tests::harness::guarded::{Guarded, Plan, Server, ms};
use tests::harness::lab::{Lab, inside};
use tests::harness::postgres::Replication;
use tests::harness::switchover::{moves, written};
use tests::harness::wait::eventually;
use tests::harness::world::{SETTLE, World};
use tests::harness::writer::{Acknowledged, Dialect, Writers, gap};

/// What clients may notice (issue 4).
const PAUSE: Duration = Duration::from_secs(2);

/// The longest that one server acknowledged nothing between two rows of its own.
fn longest_pause(ledger: &[Acknowledged], server: SocketAddr) -> Duration {
    let at: Vec<_> = ledger.iter().filter(|it| it.server == server).map(|it| it.at).collect();
    at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// A planned move, as people ask for it.
const MOVE: [&str; 7] = ["switchover", "shop", "--to", "s2", "--yes", "--timeout", "30"];

/// The planned move is begun, and taken back for this; writes go on where they were.
fn is_taken_back(world: &Guarded<'_, 2>, why: &str) {
    let before = world.view().epoch;
    let agent = &world.mesh.agents[2];
    let said = agent.quorate(&MOVE).expect_refused();
    println!("{}", said.trim());
    assert!(said.contains(why), "{said}");
    eventually(SETTLE, "it is taken back", || match agent.app("shop")? {
        view if view.active.as_str() == "s1" && view.phase == Phase::Idle => Ok(()),
        view => Err(format!("{} {}", view.active, view.phase)),
    });
    assert_eq!(world.view().epoch, Epoch(before.0 + 2), "decided once, and taken back once");
    takes_more(world);
}

/// Waits until the first server has taken fifty rows more.
fn takes_more(world: &Guarded<'_, 2>) {
    let taken = world.took(0);
    eventually(SETTLE, "writes go on", || match world.took(0) {
        more if taken + 50 <= more => Ok(()),
        more => Err(format!("{more} rows, {taken} before")),
    });
}

/// The link between the two is cut just before a planned move: what the primary wrote last does not come, and it is left where
/// it is. Once the link is back, the same move is made, and all that was acknowledged is there. Guards hold the doors.
fn left_while_it_lags(lab: &Lab, dialect: Dialect) {
    let plan =
        Plan { dialect, replication: Replication::Asynchronous, max_loss: "64MiB", kept: false };
    let world: Guarded<'_, 2> = Guarded::start(lab, plan, TWO);
    let [old, new] = world.servers.each_ref().map(Server::address);
    let agent = &world.mesh.agents[2];
    lab.fabric.cut("s1", "s2");
    is_taken_back(&world, "orders has not received position");
    eventually(SETTLE, "it is refused before anything is closed", || {
        let said = agent.quorate(&MOVE).expect_refused();
        match said.contains("orders receives nothing from its primary") {
            true => Ok(()),
            false => Err(said),
        }
    });
    assert!(!world.reaches(1), "behind its door");
    let ledger = world.writers.acknowledged();
    let pause = longest_pause(&ledger, old);
    println!("writes paused for {} at most, and went on where they were", ms(pause));
    assert!(ledger.iter().all(|it| it.server == old));
    assert!(pause < PAUSE, "{pause:?}");

    lab.fabric.heal();
    world.ready();
    eventually(SETTLE, "it is moved once agents see that it receives again", || {
        let said = agent.quorate(&MOVE);
        if said.status.success() { Ok(()) } else { Err(said.errors) }
    });
    let view = world.mesh.settle(SETTLE, "shop", "s2");
    assert_eq!(view.decision.kind, DecisionKind::Switchover);
    world.takes(1);
    let ledger = world.writers.acknowledged();
    assert_eq!(world.servers[1].lost(&ledger), Vec::<i64>::new(), "of {}", ledger.len());
    let pause = gap(&ledger, old, new);
    println!(
        "then it is moved: writes paused for {}, of {} rows none lost",
        ms(pause),
        ledger.len()
    );
    assert!(pause < PAUSE, "{pause:?}");
}

/// Somebody stopped what applies the standby's log, which it goes on receiving: a planned move is taken back within a second,
/// writes go on where they were, and agents tell of it. Once the primary's host is gone, the standby applies all that it
/// received, and takes over.
fn left_while_it_applies_nothing(lab: &Lab, dialect: Dialect) {
    let plan =
        Plan { dialect, replication: Replication::Asynchronous, max_loss: "64MiB", kept: false };
    let mut world: Guarded<'_, 2> = Guarded::start(lab, plan, TWO);
    let [old, new] = world.servers.each_ref().map(Server::address);
    world.servers[1].stops_applying();
    is_taken_back(&world, "orders has not applied position");
    let ledger = world.writers.acknowledged();
    let pause = longest_pause(&ledger, old);
    println!("writes paused for {} at most, and went on where they were", ms(pause));
    assert!(ledger.iter().all(|it| it.server == old) && pause < PAUSE, "{pause:?}");
    eventually(SETTLE * 2, "it is told of", || {
        let found = world.mesh.agents[2].beside().readiness;
        let told = found.iter().any(|it| it.why.contains("orders has applied nothing of what"));
        if told { Ok(()) } else { Err(format!("{found:?}")) }
    });

    world.ready();
    // By the time others are taken the standby has these.
    let received = world.took(0);
    takes_more(&world);
    world.servers[1].stops_receiving();
    world.kill(0);
    let view = world.mesh.settle(SETTLE * 2, "shop", "s2");
    assert_eq!(view.decision.kind, DecisionKind::Failover);
    world.takes(1);
    let ledger = world.writers.acknowledged();
    let lost = world.servers[1].lost(&ledger);
    let of_old = ledger.iter().filter(|it| it.server == old).count();
    println!("then its host is gone: of {of_old} rows {} lost", lost.len());
    assert!(
        lost.len() <= of_old - received,
        "{} lost of {of_old}, {received} received",
        lost.len()
    );
    assert!(ledger.iter().any(|it| it.server == new));
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn a_target_that_applies_nothing_is_left_and_takes_over_all_the_same() {
        inside(|lab: &Lab| left_while_it_applies_nothing(lab, Dialect::Postgres));
    }

    #[test]
    fn writes_pause_briefly_and_none_is_lost() {
        inside(|lab: &Lab| {
            let shop = Shop { max_loss: "64MiB", ..Shop::default() };
            let pause = moves(lab, Replication::Asynchronous, &shop);
            assert!(pause < PAUSE, "{pause:?}");
        });
    }

    #[test]
    fn writes_pause_briefly_where_guards_hold_the_doors() {
        inside(|lab: &Lab| {
            let shop = Shop { guarded: true, ..Shop::default() };
            let pause = moves(lab, Replication::Synchronous, &shop);
            assert!(pause < PAUSE, "{pause:?}");
        });
    }

    /// The link between the two is cut just before: what the primary wrote last does not come.
    #[test]
    fn a_target_that_lags_is_left_and_writes_go_on_where_they_were() {
        inside(|lab: &Lab| {
            let world = World::small(lab, Replication::Asynchronous);
            world.apply(lab, &Shop { max_loss: "64MiB", ..Shop::default() });
            let [old, new] = world.databases.each_ref().map(|it| it.address());
            let writer = Writers::start(Dialect::Postgres, &[old, new]);
            written(&world, &writer, 0, 50);
            lab.fabric.cut("s1", "s2");
            let agent = &world.mesh.agents[2];
            let said = agent.quorate(&["switchover", "shop", "--to", "s2", "--yes", "--json"]);
            println!("{} {}", said.output.trim(), said.errors.trim());
            assert!(!said.status.success(), "it cannot be done");
            eventually(SETTLE, "it is taken back", || {
                let view = agent.app("shop")?;
                match view.active.as_str() == "s1" && view.phase == Phase::Idle {
                    true => Ok(()),
                    false => Err(format!("{} {}", view.active, view.phase)),
                }
            });
            let rows = writer.acknowledged().len();
            written(&world, &writer, 0, rows + 50);
            let pause = longest_pause(&writer.acknowledged(), old);
            println!(
                "writes paused for {} ms at most, and went on where they were",
                pause.as_millis()
            );
            assert!(writer.acknowledged().iter().all(|it| it.server == old));
            assert!(pause < PAUSE, "{pause:?}");
            eventually(SETTLE, "it is refused before anything is closed", || {
                let said = agent.quorate(&["switchover", "shop", "--to", "s2", "--yes"]);
                match said.errors.contains("receives nothing from its primary") {
                    true => Ok(()),
                    false => Err(said.errors),
                }
            });
        });
    }
}

mod nginx_mariadb_bind {
    use super::*;

    #[test]
    fn a_target_that_applies_nothing_is_left_and_takes_over_all_the_same() {
        inside(|lab: &Lab| left_while_it_applies_nothing(lab, Dialect::MariaDb));
    }

    #[test]
    fn a_target_that_lags_is_left_and_moved_to_once_it_does_not() {
        inside(|lab: &Lab| left_while_it_lags(lab, Dialect::MariaDb));
    }
}

mod nginx_foreign_mysql_bind {
    use super::*;

    #[test]
    fn a_target_that_applies_nothing_is_left_and_takes_over_all_the_same() {
        inside(|lab: &Lab| left_while_it_applies_nothing(lab, Dialect::MySql));
    }

    #[test]
    fn a_target_that_lags_is_left_and_moved_to_once_it_does_not() {
        inside(|lab: &Lab| left_while_it_lags(lab, Dialect::MySql));
    }
}

mod nginx_redis_bind {
    use super::*;

    #[test]
    fn a_target_that_lags_is_left_and_moved_to_once_it_does_not() {
        inside(|lab: &Lab| left_while_it_lags(lab, Dialect::Redis));
    }
}

mod nginx_foreign_valkey_bind {
    use super::*;

    #[test]
    fn a_target_that_lags_is_left_and_moved_to_once_it_does_not() {
        inside(|lab: &Lab| left_while_it_lags(lab, Dialect::Valkey));
    }
}
