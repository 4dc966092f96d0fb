//! The door before a database, with real servers and the kernel's own timers: nobody writes but by a lease.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tests::harness::agents::Agent;
use tests::harness::app::Shop;
use tests::harness::bind::Updates;
use tests::harness::fabric::REGIONS;
use tests::harness::guards::{LEASE, holds, start};
use tests::harness::lab::{Lab, inside};
use tests::harness::postgres::Replication;
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::{SETTLE, World};
use tests::harness::writer::{Writer, gap, lost};

fn guarded() -> Shop {
    Shop { guarded: true, ..Shop::default() }
}

/// A world whose databases have guards, served from `s1`, with a client that writes wherever it is let.
fn world<'a>(
    lab: &'a Lab,
    replication: Replication,
    shop: &Shop,
) -> (World<'a>, [Agent<'a>; 2], Writer) {
    let world = World::replicated(lab, Updates::Granted, replication);
    let guards = start(lab, &world.mesh);
    world.apply(lab, shop);
    holds(&guards[0], SETTLE);
    let writer = Writer::start(&world.databases.each_ref().map(|it| it.address()));
    let first = world.databases[0].address();
    eventually(SETTLE, "s1 takes rows", || match took(&writer, first) {
        0..20 => Err("not yet"),
        _ => Ok(()),
    });
    (world, guards, writer)
}

fn took(writer: &Writer, server: SocketAddr) -> usize {
    writer.acknowledged().iter().filter(|entry| entry.server == server).count()
}

fn reaches(server: SocketAddr) -> bool {
    TcpStream::connect_timeout(&server, Duration::from_secs(1)).is_ok()
}

/// Waits until no row is acknowledged any more and nobody is let in, and says how long after `since` the last one was.
fn falls_silent(writer: &Writer, server: SocketAddr, since: Instant) -> Duration {
    eventually(LEASE * 2, "the door shuts", || match reaches(server) {
        true => Err("still open"),
        false => Ok(()),
    });
    let last = writer.acknowledged().iter().filter(|it| it.server == server).map(|it| it.at).max();
    last.expect("it took rows").saturating_duration_since(since)
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn a_door_is_shut_until_its_lease_is_there() {
        inside(|lab: &Lab| {
            let world = World::unapplied(lab, Updates::Granted);
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
        });
    }

    /// kill -9 and SIGSTOP alike: nobody is there to shut the door.
    #[test]
    fn the_kernel_shuts_the_door_of_a_guard_that_is_dead_or_stands_still() {
        inside(|lab: &Lab| {
            let (world, mut guards, writer) = world(lab, Replication::Synchronous, &guarded());
            let server = world.databases[0].address();
            let stopped = Instant::now();
            guards[0].process().pause();
            let last = falls_silent(&writer, server, stopped);
            println!("guard stopped: last acknowledged row {} ms later", last.as_millis());
            assert!(last < LEASE, "{last:?}");
            let rows = took(&writer, server);
            throughout(Duration::from_secs(3), "it stays shut", || reaches(server));
            assert_eq!(took(&writer, server), rows, "nothing is acknowledged behind a shut door");

            guards[0].process().resume();
            eventually(SETTLE, "it is opened again", || {
                (took(&writer, server) > rows).then_some(()).ok_or("not yet")
            });
            let killed = Instant::now();
            guards[0].kill();
            let last = falls_silent(&writer, server, killed);
            println!("guard killed: last acknowledged row {} ms later", last.as_millis());
            assert!(last < LEASE, "{last:?}");
        });
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
}
