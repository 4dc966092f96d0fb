//! The door before a database, with real servers and the kernel's own timers: nobody writes but by a lease.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tests::harness::agents::Agent;
use tests::harness::app::Shop;
use tests::harness::fabric::REGIONS;
use tests::harness::guards::{LEASE, enrolled, holds, start};
use tests::harness::lab::{Lab, inside};
use tests::harness::postgres::{PASSWORD, Replication, rows};
use tests::harness::wait::{eventually, promptly, throughout};
use tests::harness::world::{SETTLE, World};
use tests::harness::writer::{Dialect, Writers, gap, lost};

fn guarded() -> Shop {
    Shop { guarded: true, ..Shop::default() }
}

/// A world whose databases have guards, served from `s1`, with clients that write wherever they are let.
fn world<'a>(
    lab: &'a Lab,
    replication: Replication,
    shop: &Shop,
) -> (World<'a>, [Agent<'a>; 2], Writers) {
    let world = World::small(lab, replication);
    let guards = start(lab, &world.mesh);
    world.apply(lab, shop);
    holds(&guards[0], SETTLE);
    let servers = world.databases.each_ref().map(|it| it.address());
    let writer = Writers::start(Dialect::Postgres, &servers);
    let first = world.databases[0].address();
    eventually(SETTLE, "s1 takes rows", || match took(&writer, first) {
        0..20 => Err("not yet"),
        _ => Ok(()),
    });
    (world, guards, writer)
}

fn took(writer: &Writers, server: SocketAddr) -> usize {
    writer.acknowledged().iter().filter(|entry| entry.server == server).count()
}

fn reaches(server: SocketAddr) -> bool {
    TcpStream::connect_timeout(&server, Duration::from_secs(1)).is_ok()
}

/// Waits until no row is acknowledged any more and nobody is let in, and says how long after `since` the last one was.
fn falls_silent(writer: &Writers, server: SocketAddr, since: Instant) -> Duration {
    eventually(LEASE * 2, "the door shuts", || match reaches(server) {
        true => Err("still open"),
        false => Ok(()),
    });
    let last = writer.acknowledged().iter().filter(|it| it.server == server).map(|it| it.at).max();
    last.expect("it took rows").saturating_duration_since(since)
}

/// The role of everybody but the guards: it may look, and change nothing.
const WATCHER: &str = "watcher";

/// A line that an agent logged with all of these words.
fn said(agent: &Agent<'_>, words: &[&str]) -> Option<String> {
    let said = agent.said();
    let line = said.lines().find(|line| words.iter().all(|word| line.contains(word)));
    line.map(str::to_owned)
}

#[path = "guard/late.rs"]
mod nginx_postgres_bind_late;
#[path = "guard/private.rs"]
mod nginx_postgres_bind_private;

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn a_door_is_shut_until_its_lease_is_there() {
        inside(|lab: &Lab| {
            let world = World::small(lab, Replication::Synchronous);
            let servers = world.databases.each_ref().map(|it| it.address());
            assert!(servers.iter().all(|server| reaches(*server)), "nobody guards them yet");
            let guards = start(lab, &world.mesh);
            assert!(!servers.iter().any(|server| reaches(*server)), "shut at once");
            world.apply(lab, &guarded());
            holds(&guards[0], SETTLE);
            eventually(SETTLE, "the primary is reached", || {
                reaches(servers[0]).then_some(()).ok_or("not yet")
            });
            throughout(Duration::from_secs(5), "the standby's door stays shut", || {
                (reaches(servers[0]), reaches(servers[1]))
            });
            assert!(!reaches(servers[1]));
            let shown = guards.each_ref().map(|guard| guard.doors()[0].left_ms);
            assert!((1..=10_000).contains(&shown[0]) && shown[1] == 0, "{shown:?}");
        });
    }

    /// It answers whatever it is asked, and says that it takes writes: only whoever tries finds out that it does not.
    #[test]
    fn a_primary_that_takes_no_writes_is_told_of_by_its_guard_and_moves_nothing() {
        inside(|lab: &Lab| {
            let world = World::small(lab, Replication::Synchronous);
            let mut guards = enrolled(lab, &world.mesh);
            for guard in &mut guards {
                guard.set_up(|setup| setup.more.push_str("heartbeat = true\n"));
                guard.start();
            }
            let beats = |server: usize| {
                let found = world.databases[server].try_query("SELECT at FROM quorate.heartbeat");
                found.ok().filter(|at| !at.is_empty())
            };
            let explained = || {
                let said = world.mesh.agents[0].quorate(&["explain", "shop"]).expect_done();
                said.contains("s1/orders: takes no writes: ")
            };
            assert_eq!(beats(0), None);
            world.apply(lab, &guarded());
            holds(&guards[0], SETTLE);
            let first = eventually(SETTLE, "it beats", || beats(0).ok_or("no row yet"));
            eventually(SETTLE, "again and again", || match beats(0) == Some(first.clone()) {
                true => Err("the same row"),
                false => Ok(()),
            });
            assert!(!explained());
            let before = world.epoch();
            let server = world.databases[0].address();
            std::thread::scope(|scope| {
                // Somebody holds the table for most of a while.
                scope.spawn(|| {
                    let held = "BEGIN; LOCK TABLE quorate.heartbeat; SELECT pg_sleep(3); COMMIT";
                    (0..4).for_each(|_| drop(rows(server, held).expect("it is held")));
                });
                eventually(SETTLE, "everybody is told", || explained().then_some(()).ok_or("not"));
            });
            eventually(SETTLE, "it is over", || (!explained()).then_some(()).ok_or("not yet"));
            assert_eq!(world.epoch(), before, "one guard's word moves nothing");
        });
    }

    /// What the unit does at boot, before anything listens and with no mesh to ask.
    #[test]
    fn doors_are_shut_at_boot_without_a_mesh_and_stay_shut() {
        inside(|lab: &Lab| {
            let world = World::small(lab, Replication::Synchronous);
            let [server, other] = world.databases.each_ref().map(|it| it.address());
            let [guard, _] = enrolled(lab, &world.mesh);
            assert!(reaches(server));
            guard.run_once(&["--shut-doors"]).expect_done();
            assert!(!reaches(server), "the process has ended, and the door is shut");
            assert!(reaches(other), "nobody shut that one");
            guard.run_once(&["--shut-doors"]).expect_done();
            assert!(!reaches(server), "twice is as good as once");
        });
    }

    /// The kernel holds the door of a guard that starts anew within its lease, and nothing is decided. One that is gone for
    /// good is another matter: its door shuts by itself, all agents still see the database up behind it, and the standby
    /// is promoted with everything that was acknowledged.
    #[test]
    fn a_guard_that_starts_anew_changes_nothing_and_one_that_dies_is_replaced() {
        inside(|lab: &Lab| {
            let (world, mut guards, writer) = world(lab, Replication::Synchronous, &guarded());
            let [old, new] = world.databases.each_ref().map(|it| it.address());
            let before = world.epoch();
            guards[0].kill();
            throughout(Duration::from_secs(5), "the door is held without its guard", || {
                (reaches(old), world.epoch())
            });
            guards[0].start();
            holds(&guards[0], SETTLE);
            throughout(LEASE, "it is back in time", || (reaches(old), world.epoch()));
            assert_eq!(world.epoch(), before);

            let watches = world.watches(&[0]);
            let killed = Instant::now();
            guards[0].kill();
            taken_over(&world, &writer, killed, "killed");
            let view = world.settle_on_standby(&watches);
            assert!(view.decision.reason.contains("is silent"), "{}", view.decision.reason);
            assert_eq!(took(&writer, old), took_before(&writer, old, killed + LEASE));
            let ledger = writer.stop();
            assert_eq!(lost(&ledger, &world.databases[1]), Vec::<i64>::new());
            println!("overlap 0 ms, pause {} ms", gap(&ledger, old, new).as_millis());
        });
    }

    /// The same for one that stands still: the kernel shuts its door, and once it goes on it leaves it shut.
    #[test]
    fn the_kernel_shuts_the_door_of_a_guard_that_stands_still_and_it_stays_shut() {
        inside(|lab: &Lab| {
            let (world, mut guards, writer) = world(lab, Replication::Synchronous, &guarded());
            let [old, new] = world.databases.each_ref().map(|it| it.address());
            let watches = world.watches(&[0]);
            let stopped = Instant::now();
            guards[0].process().pause();
            taken_over(&world, &writer, stopped, "stopped");
            world.settle_on_standby(&watches);
            let rest = Duration::from_secs(45).saturating_sub(stopped.elapsed());
            throughout(rest, "it stays shut", || reaches(old));
            guards[0].process().resume();
            throughout(Duration::from_secs(5), "and shut once it goes on", || reaches(old));
            assert!(!reaches(old));
            let ledger = writer.stop();
            assert_eq!(lost(&ledger, &world.databases[1]), Vec::<i64>::new());
            println!("overlap 0 ms, pause {} ms", gap(&ledger, old, new).as_millis());
        });
    }

    /// A definition with a shorter lease, while a longer one runs: nothing is noticed of that, and from then on a guard that
    /// stands still is replaced that much sooner.
    #[test]
    fn a_lease_is_as_long_as_the_definition_says_and_is_changed_while_it_runs() {
        inside(|lab: &Lab| {
            let (world, mut guards, writer) = world(lab, Replication::Synchronous, &guarded());
            let [old, new] = world.databases.each_ref().map(|it| it.address());
            let before = Instant::now();
            world.apply(lab, &Shop { lease: "3s", ..guarded() });
            throughout(LEASE + Duration::from_secs(2), "its door stays open", || reaches(old));
            let rows = writer.acknowledged();
            let rows: Vec<_> = rows.iter().map(|it| it.at).filter(|at| *at > before).collect();
            let gaps = rows.windows(2).map(|two| two[1].saturating_duration_since(two[0]));
            let longest = gaps.max().expect("rows");
            assert!(longest < Duration::from_secs(1), "{longest:?}");

            let stopped = Instant::now();
            guards[0].process().pause();
            let last = falls_silent(&writer, old, stopped);
            assert!(last < Duration::from_secs(3), "{last:?}");
            eventually(SETTLE, "s2 takes rows", || match took(&writer, new) {
                0..20 => Err("not yet"),
                _ => Ok(()),
            });
            let ledger = writer.stop();
            assert_eq!(lost(&ledger, &world.databases[1]), Vec::<i64>::new());
            let pause = gap(&ledger, old, new).as_millis();
            println!(
                "longest gap while the lease was changed: {} ms; guard stopped: last row after {} ms, pause {pause} ms",
                longest.as_millis(),
                last.as_millis()
            );
        });
    }

    fn took_before(writer: &Writers, server: SocketAddr, until: Instant) -> usize {
        let rows = writer.acknowledged();
        rows.iter().filter(|it| it.server == server && it.at < until).count()
    }

    /// Waits until the old primary's door has shut within its lease, and the standby takes rows.
    fn taken_over(world: &World<'_>, writer: &Writers, since: Instant, how: &str) {
        let [old, new] = world.databases.each_ref().map(|it| it.address());
        let last = falls_silent(writer, old, since);
        assert!(last < LEASE, "{last:?}");
        eventually(SETTLE, "s2 takes rows", || match took(writer, new) {
            0..20 => Err("not yet"),
            _ => Ok(()),
        });
        let first = writer.acknowledged().into_iter().find(|it| it.server == new);
        let first = first.expect("20 of them").at.saturating_duration_since(since);
        println!(
            "guard {how}: last row of the old primary after {} ms, first of the new after {} ms",
            last.as_millis(),
            first.as_millis()
        );
    }

    /// The primary and its guard are cut off from the mesh, while clients still reach it and nothing but the door keeps it
    /// from acknowledging what the standby never got.
    #[test]
    fn a_primary_that_is_cut_off_takes_no_write_once_another_may() {
        inside(|lab: &Lab| {
            let shop = Shop { max_loss: "64MiB", ..guarded() };
            let (world, _guards, writer) = world(lab, Replication::Asynchronous, &shop);
            let [old, new] = world.databases.each_ref().map(|it| it.address());
            let watches = world.watches(&[0]);
            let cut = Instant::now();
            for other in REGIONS.iter().chain(&["s2", "dns", "client"]) {
                lab.fabric.cut("s1", other);
            }
            let view = world.settle_on_standby(&watches);
            assert!(view.decision.fence.values().all(|fence| fence.proven), "{:?}", view.decision);
            eventually(SETTLE, "s2 takes rows", || match took(&writer, new) {
                0..20 => Err("not yet"),
                _ => Ok(()),
            });
            let ledger = writer.stop();
            let pause = gap(&ledger, old, new);
            let last = ledger.iter().filter(|it| it.server == old).map(|it| it.at).max();
            let last = last.map(|at| at.saturating_duration_since(cut)).unwrap_or_default();
            println!(
                "cut off: last row of the old primary {} ms after the cut, first of the new {} ms later, overlap 0 ms",
                last.as_millis(),
                pause.as_millis()
            );
            assert!(last < LEASE, "{last:?}");
            assert!(Duration::from_secs(5) < last, "it wrote for as long as it might: {last:?}");
            assert!(!reaches(old));
            // What it acknowledged after the cut is lost, and nothing else.
            let lost = lost(&ledger, &world.databases[1]);
            let before = |row: &i64| ledger.iter().any(|it| it.row == *row && it.at < cut);
            assert!(!lost.iter().any(before), "{lost:?}");
        });
    }

    /// No executor could promote anything: the standby's guard does, though it is killed the moment it has begun, and has its
    /// token on disk when it is back.
    #[test]
    fn agents_that_may_only_look_fail_over_by_a_guard_that_is_killed_in_between() {
        inside(|lab: &Lab| {
            let mut world = World::small(lab, Replication::Synchronous);
            let role =
                format!("create role {WATCHER} login password '{PASSWORD}' in role pg_monitor");
            world.databases[0].query(&role);
            for agent in &mut world.mesh.agents {
                agent.kill();
                agent.set_up(|setup| setup.user = WATCHER.to_owned());
            }
            world.mesh.start();
            let mut guards = start(lab, &world.mesh);
            world.apply(lab, &Shop { guarded: true, ..Shop::default() });
            holds(&guards[0], SETTLE);
            for function in ["pg_promote(boolean, integer)", "pg_reload_conf()"] {
                let may =
                    format!("select has_function_privilege('{WATCHER}', '{function}', 'execute')");
                assert_eq!(world.databases[1].query_at_host(&may).expect("it answers"), "f");
            }

            let watches = world.watches(&[0]);
            let kill = world.kill_active();
            guards[0].kill();
            let began = promptly(SETTLE, "g2 begins to promote", || {
                said(&guards[1], &["acts for shop with 2.1.3: promote orders", "(asked by a"])
                    .ok_or("not yet")
            });
            guards[1].kill();
            let killed = kill.at.elapsed();
            let finished = said(&guards[1], &["is done for shop with 2.1.3"]).is_some();
            guards[1].start();
            let again = Instant::now();
            world.settle_on_standby(&watches);
            let done = said(&guards[1], &["is done for shop with 2.1.3"]).expect("by its guard");
            let asked = world.mesh.running().filter_map(|it| {
                said(it, &["acts for shop with 2.1.3: promote orders", ", by g2"])
            });
            assert!(asked.count() > 0, "some executor asked it");
            let afar = world.mesh.running().filter_map(|it| {
                said(it, &["is done for shop with 2.1.3", "promoted"]).filter(|_| {
                    said(it, &["acts for shop with 2.1.3: promote orders", ", by g2"]).is_none()
                })
            });
            assert_eq!(afar.collect::<Vec<_>>(), Vec::<String>::new());
            println!(
                "{began}\nkilled {} ms after the primary, before it was done: {}\n{done}\nserved {} ms after its start",
                killed.as_millis(),
                !finished,
                again.elapsed().as_millis()
            );
            assert!(again.elapsed() < Duration::from_secs(45));
        });
    }
}
