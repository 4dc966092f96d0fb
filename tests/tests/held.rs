//! Nobody writes at two places, and nothing acknowledged is lost: the same claims for each engine, with real servers, guards
//! and doors, and clients that are at every server all the time (`Writers`).
//!
//! Modules name the servers their tests need, so that `./tests/run --without SERVER` can leave them out.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use consensus::model::{DecisionKind, Epoch, Phase};
use consensus::view::AppView;
use tests::harness::agents::Agent;
use tests::harness::app::{OUTSIDE, TWO};
use tests::harness::fabric::address;
use tests::harness::guarded::{Guarded, Plan, Server, ms};
use tests::harness::guards::LEASE;
use tests::harness::lab::{Lab, inside};
use tests::harness::postgres::Replication;
use tests::harness::process::run;
use tests::harness::resolver::{Answer, ask};
use tests::harness::sql::SqlServer as _;
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::SETTLE;
use tests::harness::writer::{Acknowledged, Dialect, gap, handover};

/// What clients may notice of a planned move (issue 4).
const PAUSE: Duration = Duration::from_secs(2);
/// What a primary that waits for nobody acknowledged for so long before its end may not have left it: it says so to its client
/// first, and to its replica next.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// What is promised where commits wait for a replica: nothing is lost. Redis has no such commits.
fn waiting(dialect: Dialect) -> Plan {
    let max_loss = match dialect {
        Dialect::Redis | Dialect::Valkey => "64KiB",
        Dialect::Postgres | Dialect::MariaDb | Dialect::MySql => "0",
    };
    Plan { dialect, replication: Replication::Synchronous, max_loss, kept: false }
}

/// Where they wait for nobody, so that a primary that is alone goes on taking rows.
fn alone(dialect: Dialect) -> Plan {
    Plan { dialect, replication: Replication::Asynchronous, max_loss: "64MiB", kept: false }
}

/// What the ledger says of a move: the last row of the old primary came before the first of the new one and within its lease,
/// and what the new one lacks the old one took when it was broken already. Returns how long nobody could write.
fn judged<const N: usize>(
    world: &Guarded<'_, N>,
    ledger: &[Acknowledged],
    [old, new]: [usize; 2],
    broken: Instant,
) -> Duration {
    let [from, to] = [old, new].map(|n| world.servers[n].address());
    let pause = gap(ledger, from, to);
    let last = ledger.iter().filter(|it| it.server == from).map(|it| it.at).max();
    let last = last.expect("it took rows").saturating_duration_since(broken);
    let first = ledger.iter().filter(|it| it.server == to).map(|it| it.at).min();
    let first = first.expect("it took rows").saturating_duration_since(broken);
    let lost = world.servers[new].lost(ledger);
    println!(
        "last row of the old primary after {}, first of the new one after {}: overlap 0 ms, pause {}; \
         {} of {} rows lost",
        ms(last),
        ms(first),
        ms(pause),
        lost.len(),
        ledger.len()
    );
    assert!(last < LEASE, "{last:?}");
    // Of the old primary's own: one before it may have lost some, too.
    let own = || ledger.iter().filter(|it| it.server == from);
    let kept = |row: &&i64| own().any(|it| it.row == **row && it.at + ON_ITS_WAY < broken);
    let kept: Vec<_> = lost.iter().filter(kept).collect();
    assert!(kept.is_empty(), "acknowledged well before it was broken: {kept:?}");
    pause
}

/// The primary's processes stand still for 45 s while its guard is well.
fn stands_still(lab: &Lab, plan: Plan) {
    let world: Guarded<'_, 2> = Guarded::rejoining(lab, plan, TWO);
    let stopped = Instant::now();
    world.servers[0].freeze();
    world.takes(1);
    let view = world.mesh.settle(SETTLE, "shop", "s2");
    assert_eq!(view.decision.kind, DecisionKind::Failover);
    let rest = Duration::from_secs(45).saturating_sub(stopped.elapsed());
    throughout(rest, "its door stays shut", || world.reaches(0));
    world.servers[0].thaw();
    throughout(Duration::from_secs(5), "and shut once it goes on", || world.reaches(0));
    assert!(!world.reaches(0));
    match &world.servers[0] {
        Server::Postgres(_) => is_brought_back(&world, 1),
        Server::Redis(_) => {
            eventually(SETTLE, "it follows the new one", || world.servers[0].follows("s2"));
        }
        Server::MariaDb(old) => answers_and_is_alone(&world, |sql| old.at_host(sql)),
        Server::MySql(old) => answers_and_is_alone(&world, |sql| old.at_host(sql)),
    }
    let ledger = world.writers.acknowledged();
    judged(&world, &ledger, [0, 1], stopped);
    let taken = ledger.iter().filter(|it| it.server == world.servers[1].address());
    let first = taken.map(|it| it.at).min().expect("it took rows");
    assert!(first < stopped + LEASE, "{:?}", first.duration_since(stopped));
    if plan.max_loss == "0" {
        assert_eq!(world.servers[1].lost(&ledger), Vec::<i64>::new());
    }
    assert_eq!(world.view().active.as_str(), "s2");
}

/// A PostgreSQL that goes on as if nothing had happened is made a replica by its guard, and what it alone had is named: at least
/// all that was acknowledged and is not there.
fn is_brought_back<const N: usize>(world: &Guarded<'_, N>, new: usize) {
    let name = &world.guards[new].host;
    eventually(SETTLE * 2, "the old primary follows", || world.servers[0].follows(name));
    let said = world.guards[0].said();
    let line = said.lines().find(|line| line.contains(", and a standby of"));
    let line = line.expect("its guard says what it did");
    let lost = world.servers[new].lost(&world.writers.acknowledged()).len();
    let told = eventually(SETTLE, "what it alone had is told to all", || {
        world.view().lost.into_values().next().ok_or("nothing is said of it")
    });
    println!("{lost} rows lost; {line}; told: {told:?}");
    assert!(lost <= told.transactions as usize && told.stack.as_str() == "s1", "{lost}, {told:?}");
    if 0 < told.transactions {
        let words = [format!("{} transactions (", told.transactions), "are kept in".to_owned()];
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
}

/// What clients had asked of a MariaDB or MySQL is logged when it goes on, and waits for a replica that will never come. It
/// answers all the same, and where the new primary does not have all of that, people are told. Where it has, for no client was
/// between the two just then, the old one follows.
fn answers_and_is_alone(world: &Guarded<'_, 2>, old: impl Fn(&str) -> Result<String, String>) {
    let what = "it is said that it has transactions of its own, or it follows";
    let said = eventually(SETTLE * 2, what, || match has_its_own(world) {
        Some(said) => Ok(said),
        None => world.servers[0].follows("s2").map(|()| "none of its own: it follows".to_owned()),
    });
    println!("{} commits wait: {said}", old(WAITING).expect("it answers"));
    throughout(Duration::from_secs(5), "it goes on to answer", || old("select 1"));
    let left = "select count(*) from information_schema.processlist where user = 'quorate'";
    eventually(SETTLE, "looks leave no session behind", || match old(left)?.as_str() {
        "0" => Ok(()),
        other => Err(other.to_owned()),
    });
}

/// Commits that no replica has confirmed.
const WAITING: &str = "select count(*) from information_schema.processlist where user = 'app' \
                       and (state like 'Waiting for semi-sync ACK%' or state = 'Commit')";

/// What agents say of transactions that an old primary alone has.
fn has_its_own<const N: usize>(world: &Guarded<'_, N>) -> Option<String> {
    let agents = world.mesh.running().chain(&world.guards);
    let said: String = agents.map(Agent::said).collect();
    let line = said.lines().find(|line| line.contains("never received ("));
    line.map(str::to_owned)
}

/// The primary's host and its guard are cut off from everybody but the clients.
fn cut_off(lab: &Lab, dialect: Dialect) {
    let world: Guarded<'_, 2> = Guarded::start(lab, alone(dialect), TWO);
    let cut = cut_away(lab, &world);
    lab.fabric.heal();
    throughout(Duration::from_secs(5), "and shut once it is back", || world.reaches(0));
    let ledger = world.writers.acknowledged();
    judged(&world, &ledger, [0, 1], cut);
    let old = ledger.iter().filter(|it| it.server == world.servers[0].address());
    let last = old.map(|it| it.at).max().expect("it took rows");
    assert!(cut + Duration::from_secs(5) < last, "it wrote for as long as it might");
}

/// Cuts them off, and waits until the other has taken its place with the door proven shut.
fn cut_away(lab: &Lab, world: &Guarded<'_, 2>) -> Instant {
    let cut = Instant::now();
    lab.fabric.isolate("s1");
    let view = world.mesh.settle(SETTLE, "shop", "s2");
    assert!(view.decision.fence.values().all(|fence| fence.proven), "{:?}", view.decision);
    world.takes(1);
    assert!(!world.reaches(0));
    cut
}

/// The same, and somebody takes the door away: its guard stands still, and its rules are gone. What all others claim rests on
/// this being seen.
fn cut_off_without_a_door(lab: &Lab, dialect: Dialect) {
    let mut world: Guarded<'_, 2> = Guarded::start(lab, alone(dialect), TWO);
    world.guards[0].process().pause();
    run(lab.fabric.command("s1", "nft").args(["delete", "table", "inet", "quorate"]));
    lab.fabric.isolate("s1");
    world.mesh.settle(SETTLE, "shop", "s2");
    world.takes(1);
    let [old, new] = world.servers.each_ref().map(Server::address);
    let overlap = eventually(SETTLE, "both take rows", || {
        handover(&world.writers.acknowledged(), old, new).err().ok_or("one after the other")
    });
    println!("without a door both took rows for {}", ms(overlap));
}

/// Whoever carries a failover out is killed as soon as it has claimed this phase.
fn killed(lab: &Lab, dialect: Dialect, phase: Phase) {
    let mut world: Guarded<'_, 2> = Guarded::start(lab, alone(dialect), TWO);
    let epoch = Epoch(world.view().epoch.0 + 1);
    let broken = match phase {
        // Slow steps are struck in the middle, fast ones just before or just after their effect.
        Phase::Fencing => {
            lab.fabric.isolate("s1");
            Instant::now()
        }
        Phase::Publishing => {
            world.bind.as_ref().expect("two stacks leave it a host").pause();
            world.kill(0)
        }
        _ => world.kill(0),
    };
    let executor = world.mesh.executor_at("shop", phase, epoch);
    world.mesh.agent(&executor).kill();
    finished_by_another(&world, epoch);
    changes_nothing_more(&mut world, &executor);
    judged(&world, &world.writers.acknowledged(), [0, 1], broken);
}

/// What was begun goes on at the second stack under one decision, whoever carries it out, and is published.
fn finished_by_another(world: &Guarded<'_, 2>, epoch: Epoch) -> AppView {
    let bind = world.bind.as_ref().expect("two stacks leave it a host");
    bind.resume();
    let view = world.mesh.settle(SETTLE, "shop", "s2");
    assert_eq!(view.epoch, epoch, "one decision, whoever carried it out");
    world.takes(1);
    let bind = bind.address();
    eventually(SETTLE, "it is published", || match ask(bind, OUTSIDE) {
        answer if answer == Answer::Addresses(vec![address("s2")]) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    view
}

/// Whatever the struck one still had in hand must change nothing.
fn changes_nothing_more(world: &mut Guarded<'_, 2>, executor: &str) {
    world.mesh.agent(executor).start();
    // It knows what was on its disk until it hears of the rest.
    world.mesh.settle(SETTLE, "shop", "s2");
    throughout(Duration::from_secs(3), "what is settled", || {
        let view = world.view();
        (view.active, view.epoch, view.phase)
    });
}

/// What befalls the guard of the primary.
#[derive(Clone, Copy)]
enum Blow {
    Killed,
    StandsStill,
}

/// Its own server is well, and all agents see that: the kernel shuts its door all the same, and the other takes over.
fn left_by_its_guard(lab: &Lab, dialect: Dialect, blow: Blow) {
    let mut world: Guarded<'_, 2> = Guarded::start(lab, alone(dialect), TWO);
    let broken = Instant::now();
    match blow {
        Blow::Killed => world.guards[0].kill(),
        Blow::StandsStill => world.guards[0].process().pause(),
    }
    let view = world.mesh.settle(SETTLE, "shop", "s2");
    assert_eq!(view.decision.kind, DecisionKind::Failover);
    assert!(view.decision.reason.contains("is silent"), "{}", view.decision.reason);
    world.takes(1);
    assert!(!world.reaches(0));
    if let Blow::StandsStill = blow {
        world.guards[0].process().resume();
        throughout(Duration::from_secs(5), "and shut once it goes on", || world.reaches(0));
        assert!(!world.reaches(0));
    }
    judged(&world, &world.writers.acknowledged(), [0, 1], broken);
}

/// Every voter is gone: the primary goes on for as long as whoever could be promoted says that it was not (PROTOCOL.md C.3), and
/// no longer than a lease without that.
fn goes_on_without_voters(lab: &Lab, dialect: Dialect) {
    let mut world: Guarded<'_, 2> = Guarded::start(lab, alone(dialect), TWO);
    world.mesh.agents.iter_mut().for_each(Agent::kill);
    throughout(LEASE * 3, "it is let write by the word of the other", || world.reaches(0));
    let rows = world.took(0);
    eventually(LEASE, "and writes", || match world.took(0) {
        more if more < rows + 20 => Err(more),
        _ => Ok(()),
    });
    let alone = Instant::now();
    world.guards[1].kill();
    eventually(LEASE * 2, "alone it is shut", || match world.reaches(0) {
        true => Err("still open"),
        false => Ok(()),
    });
    let last = world.writers.acknowledged().iter().map(|it| it.at).max().expect("it took rows");
    let last = last.saturating_duration_since(alone);
    println!("alone it took rows for {}", ms(last));
    assert!(last < LEASE, "{last:?}");
    world.mesh.start();
    let rows = world.took(0);
    eventually(SETTLE * 2, "voters let it write again", || match world.took(0) {
        more if more < rows + 20 => Err(more),
        _ => Ok(()),
    });
    assert_eq!((world.view().active.as_str(), world.took(1)), ("s1", 0));
}

/// A test for each phase in which whoever carries a failover out is killed.
macro_rules! executor_is_killed {
    ($killed:path, $dialect:expr) => {
        #[test]
        fn the_executor_is_killed_while_it_fences() {
            inside(|lab: &Lab| $killed(lab, $dialect, Phase::Fencing));
        }

        #[test]
        fn the_executor_is_killed_while_it_promotes() {
            inside(|lab: &Lab| $killed(lab, $dialect, Phase::Promoting));
        }

        #[test]
        fn the_executor_is_killed_while_it_publishes() {
            inside(|lab: &Lab| $killed(lab, $dialect, Phase::Publishing));
        }

        #[test]
        fn the_executor_is_killed_while_it_verifies() {
            inside(|lab: &Lab| $killed(lab, $dialect, Phase::Verifying));
        }
    };
}

#[path = "held/again.rs"]
mod again;

#[path = "held/booted.rs"]
mod booted;

#[path = "held/given_up.rs"]
mod given_up;

#[path = "held/pairs.rs"]
mod pairs;

#[path = "held/planned.rs"]
mod planned;

#[path = "held/secret.rs"]
mod secret;

#[path = "held/three.rs"]
mod three;

mod nginx_postgres_bind {
    use super::*;

    executor_is_killed!(killed, Dialect::Postgres);

    #[test]
    fn a_primary_that_stands_still_for_45_s_is_replaced_and_its_door_stays_shut() {
        inside(|lab: &Lab| stands_still(lab, waiting(Dialect::Postgres)));
    }

    #[test]
    fn without_any_voter_it_goes_on_by_the_word_of_the_other() {
        inside(|lab: &Lab| goes_on_without_voters(lab, Dialect::Postgres));
    }
}

mod nginx_mariadb_bind {
    use super::*;

    executor_is_killed!(killed, Dialect::MariaDb);

    #[test]
    fn a_guard_that_is_killed_leaves_its_door_to_the_kernel() {
        inside(|lab: &Lab| left_by_its_guard(lab, Dialect::MariaDb, Blow::Killed));
    }

    #[test]
    fn a_guard_that_stands_still_leaves_its_door_to_the_kernel() {
        inside(|lab: &Lab| left_by_its_guard(lab, Dialect::MariaDb, Blow::StandsStill));
    }

    #[test]
    fn a_primary_that_stands_still_for_45_s_is_replaced_and_goes_on_to_answer() {
        inside(|lab: &Lab| stands_still(lab, waiting(Dialect::MariaDb)));
    }

    #[test]
    fn without_any_voter_it_goes_on_by_the_word_of_the_other() {
        inside(|lab: &Lab| goes_on_without_voters(lab, Dialect::MariaDb));
    }

    #[test]
    fn a_primary_that_is_cut_off_takes_no_write_once_another_may() {
        inside(|lab: &Lab| cut_off(lab, Dialect::MariaDb));
    }
}

/// What MySQL does in other words, or not at all as MariaDB does; the rest is one for both.
mod nginx_foreign_mysql_bind {
    use super::*;

    executor_is_killed!(killed, Dialect::MySql);

    #[test]
    fn a_guard_that_is_killed_leaves_its_door_to_the_kernel() {
        inside(|lab: &Lab| left_by_its_guard(lab, Dialect::MySql, Blow::Killed));
    }

    #[test]
    fn a_guard_that_stands_still_leaves_its_door_to_the_kernel() {
        inside(|lab: &Lab| left_by_its_guard(lab, Dialect::MySql, Blow::StandsStill));
    }

    #[test]
    fn without_any_voter_it_goes_on_by_the_word_of_the_other() {
        inside(|lab: &Lab| goes_on_without_voters(lab, Dialect::MySql));
    }

    #[test]
    fn a_primary_that_stands_still_for_45_s_is_replaced_and_goes_on_to_answer() {
        inside(|lab: &Lab| stands_still(lab, waiting(Dialect::MySql)));
    }

    #[test]
    fn a_primary_that_is_cut_off_takes_no_write_once_another_may() {
        inside(|lab: &Lab| cut_off(lab, Dialect::MySql));
    }
}

mod nginx_redis_bind {
    use super::*;

    executor_is_killed!(killed, Dialect::Redis);

    #[test]
    fn a_guard_that_is_killed_leaves_its_door_to_the_kernel() {
        inside(|lab: &Lab| left_by_its_guard(lab, Dialect::Redis, Blow::Killed));
    }

    #[test]
    fn a_guard_that_stands_still_leaves_its_door_to_the_kernel() {
        inside(|lab: &Lab| left_by_its_guard(lab, Dialect::Redis, Blow::StandsStill));
    }

    #[test]
    fn a_primary_that_stands_still_for_45_s_is_replaced_and_follows() {
        inside(|lab: &Lab| stands_still(lab, waiting(Dialect::Redis)));
    }

    #[test]
    fn without_any_voter_it_goes_on_by_the_word_of_the_other() {
        inside(|lab: &Lab| goes_on_without_voters(lab, Dialect::Redis));
    }

    #[test]
    fn a_primary_that_is_cut_off_takes_no_write_once_another_may() {
        inside(|lab: &Lab| cut_off(lab, Dialect::Redis));
    }

    #[test]
    fn a_primary_that_is_cut_off_and_has_no_door_is_seen_to_take_writes_beside_the_other() {
        inside(|lab: &Lab| cut_off_without_a_door(lab, Dialect::Redis));
    }
}

mod nginx_foreign_valkey_bind {
    use super::*;

    executor_is_killed!(killed, Dialect::Valkey);

    #[test]
    fn a_guard_that_is_killed_leaves_its_door_to_the_kernel() {
        inside(|lab: &Lab| left_by_its_guard(lab, Dialect::Valkey, Blow::Killed));
    }

    #[test]
    fn without_any_voter_it_goes_on_by_the_word_of_the_other() {
        inside(|lab: &Lab| goes_on_without_voters(lab, Dialect::Valkey));
    }

    #[test]
    fn a_primary_that_stands_still_for_45_s_is_replaced_and_follows() {
        inside(|lab: &Lab| stands_still(lab, waiting(Dialect::Valkey)));
    }

    #[test]
    fn a_primary_that_is_cut_off_takes_no_write_once_another_may() {
        inside(|lab: &Lab| cut_off(lab, Dialect::Valkey));
    }
}
