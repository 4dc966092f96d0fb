//! Redis, and Valkey, in three stacks: nobody follows, or is replaced by, one that lacks what the others have.

use std::time::Instant;

use probe::redis::resp::Reply;
use tests::harness::agents::Agent;
use tests::harness::postgres::{PASSWORD, USER};
use tests::harness::redis::{Make, Redis};

use super::*;

/// What may be lost, and what one row takes of it in the stream to the replicas (64 bytes and more).
const BUDGET: &str = "64KiB";
const BUDGET_ROWS: usize = 1024;

fn servers(lab: &Lab) -> [Redis<'_>; 3] {
    made(lab, Make::Redis)
}

fn made(lab: &Lab, make: Make) -> [Redis<'_>; 3] {
    STACKS.map(|host| make.start(lab, host, (host != STACKS[0]).then_some(STACKS[0])))
}

#[test]
fn a_killed_primary_is_replaced_and_back_empty_it_follows_and_wipes_nobody() {
    inside(|lab: &Lab| killed(lab, Make::Redis));
}

fn killed(lab: &Lab, make: Make) {
    let mut servers = made(lab, make);
    let mesh = mesh(lab, &app("redis", 6379, BUDGET));
    let before = mesh.agents[0].app("shop").expect("it was applied").epoch;
    let writer = Writer::of(Dialect::Redis, &servers.each_ref().map(Redis::address));
    written(&writer, servers[0].address());
    answered(&mesh, "rw.edge.test", &["s1"]);
    answered(&mesh, "ro.edge.test", &["s2", "dns"]);

    let kill = Instant::now();
    servers[0].process.kill();
    written(&writer, servers[1].address());
    let first = writer.acknowledged().into_iter().find(|it| it.server == servers[1].address());
    let gap = first.expect("20 of them").at.saturating_duration_since(kill);
    println!("kill to first write at the new primary: {} ms", gap.as_millis());
    let view = mesh.settle(SETTLE, "shop", "s2");
    assert_eq!(view.decision.kind, DecisionKind::Failover);
    assert_eq!(view.epoch, Epoch(before.0 + 1), "decided once");
    eventually(SETTLE, "the third follows the new primary", || servers[2].follows(&servers[1]));

    // Whoever reads is not sent to the dead one, nor to the one that is written.
    answered(&mesh, "rw.edge.test", &["s2"]);
    answered(&mesh, "ro.edge.test", &["dns"]);

    servers[0].come_back_empty();
    eventually(SETTLE, "the old primary follows the new one", || servers[0].follows(&servers[1]));
    answered(&mesh, "ro.edge.test", &["s1", "dns"]);
    let ledger = writer.stop();
    eventually(SETTLE, "both replicas have all that the new primary has", || {
        let [a, b, c] = servers.each_ref().map(|it| it.ask(&["DBSIZE"]));
        if a == b && b == c { Ok(()) } else { Err(format!("{a:?} {b:?} {c:?}")) }
    });
    for server in &servers {
        let missing = server.lost(&ledger);
        assert!(missing.len() <= BUDGET_ROWS, "{missing:?} of {}", ledger.len());
        println!("{} of {} acknowledged rows lost", missing.len(), ledger.len());
    }
}

#[test]
fn an_old_primary_that_is_back_empty_is_followed_and_promoted_by_nobody() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("redis", 6379, BUDGET));
        servers[0].ask(&["SET", "precious", "x"]).expect("it takes writes");
        servers[0].process.kill();
        mesh.settle(SETTLE, "shop", "s2");
        eventually(SETTLE, "the third follows the new primary", || servers[2].follows(&servers[1]));
        // Back empty, and the new primary out of its reach: it can get nothing of what it lost.
        lab.fabric.cut("s1", "s2");
        servers[0].come_back_empty();
        servers[1].process.kill();
        mesh.settle(SETTLE, "shop", "dns");
        lab.fabric.heal();
        eventually(SETTLE, "it follows the one that has all", || servers[0].follows(&servers[2]));
        for server in [&servers[0], &servers[2]] {
            let found = server.ask(&["GET", "precious"]);
            assert_eq!(found, Ok(Reply::Text("x".to_owned())));
        }
    });
}

#[test]
fn a_stale_replica_is_passed_over_for_one_that_has_nearly_all() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("redis", 6379, BUDGET));
        lab.fabric.cut("s1", "s2");
        eventually(SETTLE, "s2 lost its link", || match servers[1].info("master_link_status")? {
            status if status == "down" => Ok(()),
            status => Err(status),
        });
        let large = "x".repeat(100_000);
        servers[0].ask(&["SET", "large", &large]).expect("it takes writes");
        eventually(SETTLE, "the mesh says that s2 lacks it", || {
            let stacks = mesh.agents[0].app("shop")?.stacks;
            let stale = stacks.into_iter().find(|it| it.stack.as_str() == "s2");
            let unfit = stale.map(|it| it.unfit).unwrap_or_default();
            match unfit.iter().any(|why| why.contains("main lacks")) {
                true => Ok(()),
                false => Err(format!("{unfit:?}")),
            }
        });
        warned(&mesh, WarningKind::Lag, "s2");
        servers[0].process.kill();
        took_all_over(&mesh, "dns");
        eventually(SETTLE, "the stale one follows it and has all", || {
            servers[1].follows(&servers[2])?;
            match servers[1].ask(&["STRLEN", "large"])? {
                Reply::Number(100_000) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    });
}

#[test]
fn a_primary_that_was_stopped_for_45_s_follows_when_it_goes_on() {
    inside(|lab: &Lab| {
        let servers = servers(lab);
        let mesh = mesh(lab, &app("redis", 6379, BUDGET));
        let stopped = Instant::now();
        servers[0].process.pause();
        mesh.settle(SETTLE, "shop", "s2");
        let rest = Duration::from_secs(45).saturating_sub(stopped.elapsed());
        throughout(rest, "the old primary stands still", || {
            (servers[1].info("role"), mesh.agents[0].app("shop").map(|it| it.active))
        });
        servers[0].process.resume();
        eventually(SETTLE, "the old primary follows the new one", || {
            servers[0].follows(&servers[1])
        });
        assert_eq!(servers[1].info("role").as_deref(), Ok("master"));
    });
}

#[test]
fn a_replica_that_was_made_a_primary_and_written_to_is_excluded_and_keeps_what_it_holds() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("redis", 6379, BUDGET));
        servers[1].ask(&["REPLICAOF", "NO", "ONE"]).expect("it answers");
        servers[1].ask(&["SET", "own", "x"]).expect("it takes writes");
        excluded(&mesh, "s2", "main is no replica");
        warned(&mesh, WarningKind::WrongUpstream, "s2");
        servers[0].process.kill();
        mesh.settle(SETTLE, "shop", "dns");
        throughout(Duration::from_secs(8), "the diverged one is left as it is", || {
            (servers[1].info("role"), servers[1].ask(&["GET", "own"]))
        });
        assert_eq!(servers[1].info("role").as_deref(), Ok("master"));
        excluded(&mesh, "s2", "main is no replica");
        let said = mesh.agents.iter().map(Agent::said).collect::<String>();
        assert!(said.contains("is a primary with data that"), "somebody tried, and was told why");
    });
}

#[test]
fn a_wrong_password_and_a_command_taken_away_are_said_and_move_nothing() {
    inside(|lab: &Lab| refused(lab, Make::Redis));
}

fn refused(lab: &Lab, make: Make) {
    let servers = made(lab, make);
    let mesh = mesh(lab, &app("redis", 6379, BUDGET));
    let state = || servers.each_ref().map(|it| it.info("role"));
    let right = format!(">{PASSWORD}");
    for (break_it, fault, mend) in [
        (&["resetpass", ">another"][..], "WRONGPASS", &["resetpass", &right][..]),
        (&["-info"], "no permissions to run the 'info' command", &["+info"]),
    ] {
        let run = |rules: &[&str]| {
            for server in &servers {
                let words = [&["ACL", "SETUSER", USER], rules].concat();
                assert_eq!(server.ask(&words), Ok(Reply::Text("OK".to_owned())));
            }
        };
        faulty(&mesh, (FaultKind::Credential, fault), (|| run(break_it), || run(mend)), state);
    }
}

/// Valkey where it could be another: in what it says of itself, copies and promotes, and in the words of its refusals. That one
/// stands still, with its guard, is in `held.rs`; whom it follows or not, and what is kept of its log, in `agent/tests/actors`.
/// All else here goes by what these show to be the same.
mod foreign_valkey {
    use super::*;

    #[test]
    fn a_killed_primary_is_replaced_and_back_empty_it_follows_and_wipes_nobody() {
        inside(|lab: &Lab| killed(lab, Make::Valkey));
    }

    #[test]
    fn a_wrong_password_and_a_command_taken_away_are_said_and_move_nothing() {
        inside(|lab: &Lab| refused(lab, Make::Valkey));
    }
}

/// The oldest Redis that is driven: it tells of one position alone, of what it has applied.
mod foreign_redis {
    use super::*;

    #[test]
    fn a_killed_primary_is_replaced_and_back_empty_it_follows_and_wipes_nobody() {
        inside(|lab: &Lab| killed(lab, Make::OldRedis));
    }
}
