//! MySQL, 8.0 and 8.4: what MariaDB is asked in other words, of servers that answer in their own.

use std::time::Instant;

use tests::harness::mysql::{MySql, Version};

use super::*;

/// What may be lost, and what one row takes of it in the binary log (250 bytes and more).
const BUDGET: &str = "64KiB";

fn addresses(servers: &[MySql<'_>; 3]) -> [std::net::SocketAddr; 3] {
    servers.each_ref().map(MySql::address)
}

/// Waits until a failover is done, and says to which of the hosts.
fn failed_over(mesh: &Mesh<'_>, before: Epoch) -> usize {
    let view = eventually(SETTLE, "a failover is done", || {
        let view = mesh.agents[0].app("shop")?;
        match view.epoch > before && view.phase == Phase::Idle {
            true => Ok(view),
            false => Err(format!("{:?}", view.phase)),
        }
    });
    assert_eq!(view.decision.kind, DecisionKind::Failover);
    assert_eq!(view.epoch, Epoch(before.0 + 1), "decided once");
    let new = STACKS.iter().position(|name| view.active.as_str() == *name).expect("one");
    assert_ne!(new, 0);
    new
}

/// Its primary dies under a client that writes: what it acknowledged is there, the third follows the new one, and so does the
/// old one, if it is not said what it alone has (what it logged and no replica got counts there once it is back).
fn a_killed_primary_is_replaced(lab: &Lab, version: Version) {
    let mut servers = MySql::start(lab, version, STACKS);
    let mesh = mesh(lab, &app("mysql", 3306, BUDGET));
    let before = mesh.agents[0].app("shop").expect("it was applied").epoch;
    let writer = Writer::of(Dialect::MariaDb, &addresses(&servers));
    written(&writer, servers[0].address());
    let kill = Instant::now();
    servers[0].process.kill();
    let new = failed_over(&mesh, before);
    written(&writer, servers[new].address());
    let first = writer.acknowledged().into_iter().find(|it| it.server == servers[new].address());
    let gap = first.expect("20 of them").at.saturating_duration_since(kill);
    println!("kill to first write at {}: {} ms", STACKS[new], gap.as_millis());
    let third = 3 - new;
    eventually(SETTLE, "the third follows the new primary", || {
        servers[third].follows(&servers[new])
    });
    answered(&mesh, "rw.edge.test", &[STACKS[new]]);
    servers[0].restart();
    let alone =
        eventually(
            SETTLE,
            "the old primary follows, or is known for what it has",
            || match servers[0].follows(&servers[new]) {
                Ok(()) => Ok(false),
                Err(_) if told(&mesh, "never received") => Ok(true),
                Err(why) => Err(why),
            },
        );
    println!("the old primary has transactions of its own: {alone}");
    let ledger = writer.stop();
    eventually(SETTLE, "the replica has all that the new primary has", || {
        servers[third].has_all_of(&servers[new])
    });
    for server in [new, third] {
        assert_eq!(servers[server].lost(&ledger), Vec::<i64>::new(), "of {}", ledger.len());
    }
}

/// Does an agent say this in its log?
fn told(mesh: &Mesh<'_>, what: &str) -> bool {
    mesh.running().any(|agent| agent.said().contains(what))
}

#[test]
fn a_killed_primary_of_8_0_is_replaced() {
    inside(|lab: &Lab| a_killed_primary_is_replaced(lab, Version::V8_0));
}

#[test]
fn a_killed_primary_of_8_4_is_replaced() {
    inside(|lab: &Lab| a_killed_primary_is_replaced(lab, Version::V8_4));
}

#[test]
fn a_wrong_password_and_a_right_taken_away_are_said_and_move_nothing() {
    inside(|lab: &Lab| {
        let servers = MySql::start(lab, Version::V8_4, STACKS);
        let mesh = mesh(lab, &app("mysql", 3306, BUDGET));
        let state = || servers.each_ref().map(|it| it.ask("select @@super_read_only"));
        for (break_it, fault, mend) in [
            (
                "alter user quorate@'%' identified by 'another'",
                "Access denied for user",
                "alter user quorate@'%' identified by 'open sesame'",
            ),
            (
                "revoke replication client on *.* from quorate@'%'",
                "REPLICATION CLIENT",
                "grant replication client on *.* to quorate@'%'",
            ),
            // A log-in that has to encrypt is refused without TLS, in the same words as a wrong password.
            (
                "alter user quorate@'%' require ssl",
                "without TLS",
                "alter user quorate@'%' require none",
            ),
        ] {
            let run = |sql| drop(servers[0].sql(sql));
            faulty(&mesh, (FaultKind::Credential, fault), (|| run(break_it), || run(mend)), state);
        }
    });
}

#[test]
fn a_primary_that_is_set_up_for_group_replication_is_named_and_moved_by_nobody() {
    inside(|lab: &Lab| {
        let servers = MySql::start(lab, Version::V8_4, STACKS);
        let mesh = mesh(lab, &app("mysql", 3306, BUDGET));
        let state = || servers.each_ref().map(|it| it.ask("select @@super_read_only"));
        let run = |sql| drop(servers[0].sql(sql));
        let group = || {
            run("install plugin group_replication soname 'group_replication.so'");
            run("set global group_replication_group_name = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'");
        };
        let none = || run("uninstall plugin group_replication");
        let fault = (FaultKind::Unready, "set up for Group Replication");
        faulty(&mesh, fault, (group, none), state);
    });
}

#[test]
fn a_stale_replica_is_passed_over_for_one_that_has_nearly_all() {
    inside(|lab: &Lab| stale(lab, MySql::start(lab, Version::V8_4, STACKS)));
}

#[test]
fn an_old_primary_that_is_back_empty_is_left_alone_and_never_the_active_one() {
    inside(|lab: &Lab| back_empty(lab, MySql::start(lab, Version::V8_4, STACKS), true));
}

#[test]
fn one_that_is_back_empty_where_it_reaches_nobody_is_left_alone_too() {
    inside(|lab: &Lab| back_empty(lab, MySql::start(lab, Version::V8_0, STACKS), false));
}

/// Its source is asked whether it has them, for one that was a primary once bears transactions of its own by right; what it
/// said is remembered when it is dead.
#[test]
fn a_replica_with_transactions_of_its_own_is_excluded_and_they_are_named() {
    inside(|lab: &Lab| {
        let mut servers = MySql::start(lab, Version::V8_4, STACKS);
        let mesh = mesh(lab, &app("mysql", 3306, BUDGET));
        servers[1].sql("set global super_read_only = 0");
        servers[1].sql("insert into app.ledger values (-1)");
        servers[1].sql("set global super_read_only = 1");
        says(&mesh, "holds transactions of its own");
        warned(&mesh, WarningKind::OutOfSync, "s2");
        servers[0].process.kill();
        mesh.settle(SETTLE, "shop", "dns");
        throughout(Duration::from_secs(5), "the diverged one is left as it is", || {
            (servers[1].replica("Source_Host"), servers[1].ask("select count(*) from app.ledger"))
        });
        let own = servers[1].sql("select @@server_uuid");
        says(&mesh, &format!("{own}:1"));
    });
}
