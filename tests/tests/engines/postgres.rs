//! PostgreSQL in three stacks: the standby that is not promoted is told whom to follow.

use consensus::view::AppView;
use tests::harness::agents::Agent;
use tests::harness::postgres::{PASSWORD, Postgres, Replication, USER};

use super::*;

/// What may be lost, and what one row takes of it in the log (150 bytes and more: row, index and commit).
const BUDGET: &str = "128KiB";
const BUDGET_BYTES: u64 = 128 * 1024;
const BUDGET_ROWS: usize = 873;
/// What a standby streams: its timeline, and whether it has all that the other has flushed.
const STREAMS: &str = "select received_tli from pg_stat_wal_receiver where status = 'streaming'";

fn servers(lab: &Lab) -> [Postgres<'_>; 3] {
    let primary = Postgres::primary(lab, STACKS[0]);
    let [second, third] = [STACKS[1], STACKS[2]]
        .map(|host| Postgres::standby(&primary, host, Replication::Asynchronous));
    [primary, second, third]
}

fn streams(server: &Postgres<'_>, timeline: &str) -> Result<(), String> {
    match server.try_query(STREAMS)? {
        found if found == timeline => Ok(()),
        found => Err(format!("streams from timeline {found:?}")),
    }
}

/// What others' client is told of a name by an agent.
fn dug(lab: &Lab, agent: &Agent<'_>, name: &str) -> Vec<String> {
    let mut dig = lab.fabric.command("client", "dig");
    let found = dig.args([&format!("@{}", agent.dns().ip()), "+short", name, "A"]).output();
    let found = String::from_utf8(found.expect("dig runs").stdout).expect("text");
    let mut addresses: Vec<_> = found.lines().map(str::to_owned).collect();
    addresses.sort();
    addresses
}

fn sorted(hosts: &[&str]) -> Vec<String> {
    let mut addresses: Vec<_> = hosts.iter().map(|host| address(host).to_string()).collect();
    addresses.sort();
    addresses
}

/// What was known to be lost when it was decided.
fn within_budget(view: &AppView) {
    let known = view.decision.loss_bytes;
    assert!(known.is_some_and(|bytes| bytes <= BUDGET_BYTES), "{known:?}");
}

#[test]
fn the_third_follows_the_new_primary_and_is_promoted_in_its_turn() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("postgres", 5432, BUDGET));
        let writer = Writer::start(&servers.each_ref().map(Postgres::address));
        written(&writer, servers[0].address());
        let leads = |writes: &str, reads: &[&str]| {
            answered(&mesh, "rw.edge.test", &[writes]);
            answered(&mesh, "ro.edge.test", reads);
            for agent in &mesh.agents {
                assert_eq!(dug(lab, agent, "rw.edge.test"), sorted(&[writes]));
                assert_eq!(dug(lab, agent, "ro.edge.test"), sorted(reads));
            }
        };
        leads("s1", &["s2", "dns"]);
        servers[0].kill();
        within_budget(&mesh.settle(SETTLE, "shop", "s2"));
        written(&writer, servers[1].address());
        eventually(SETTLE, "the third follows the new primary", || streams(&servers[2], "2"));
        // The one that died was the primary: it is no replica now, and not among those that are read.
        leads("s2", &["dns"]);

        eventually(SETTLE, "the third is ready", || {
            mesh.running().try_for_each(|agent| match agent.app("shop")?.unready {
                unready if unready.is_empty() => Ok(()),
                unready => Err(format!("{}: {}", agent.name, unready.join("; "))),
            })
        });
        servers[1].kill();
        within_budget(&mesh.settle(SETTLE, "shop", "dns"));
        written(&writer, servers[2].address());
        let ledger = writer.stop();
        let missing = lost(&ledger, &servers[2]);
        println!("{} of {} acknowledged rows lost", missing.len(), ledger.len());
        // Two failovers, and a budget for each.
        assert!(missing.len() <= 2 * BUDGET_ROWS, "{missing:?} of {}", ledger.len());
    });
}

/// Waits until every agent says that these hold whatever is acknowledged.
fn relied(mesh: &Mesh<'_>, stacks: &[&str]) {
    eventually(SETTLE, &format!("{stacks:?} are relied on"), || {
        mesh.running().try_for_each(|agent| {
            let found = agent.app("shop")?.sync_set.unwrap_or_default();
            let found: Vec<_> = found.values().flatten().map(ToString::to_string).collect();
            if found == stacks { Ok(()) } else { Err(format!("{}: {found:?}", agent.name)) }
        })
    });
}

#[test]
fn the_mesh_keeps_whom_the_primary_waits_for_and_promotes_nobody_else() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("postgres", 5432, "0").replace("fencing", "sync = 1\nfencing"));
        relied(&mesh, &["s2"]);
        let setting = servers[0].query("show synchronous_standby_names");
        assert!(setting.starts_with("FIRST 1 (\"s2\", \"quorate:sync:shop:"), "{setting}");
        excluded(&mesh, "dns", "main is not in the agreed sync set");
        let writer = Writer::start(&servers.each_ref().map(Postgres::address));
        written(&writer, servers[0].address());

        // Who is waited for dies: nothing is acknowledged until somebody else is.
        servers[1].kill();
        relied(&mesh, &["dns"]);
        written(&writer, servers[0].address());

        servers[0].kill();
        mesh.settle(SETTLE, "shop", "dns");
        written(&writer, servers[2].address());
        let ledger = writer.stop();
        let missing = lost(&ledger, &servers[2]);
        println!("{} of {} acknowledged rows lost", missing.len(), ledger.len());
        assert!(missing.is_empty(), "{missing:?} of {}", ledger.len());
        relied(&mesh, &[]);
    });
}

#[test]
fn a_third_that_was_down_is_told_when_it_is_back() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("postgres", 5432, BUDGET));
        servers[2].kill();
        servers[0].kill();
        mesh.settle(SETTLE, "shop", "s2");
        servers[1].query("insert into ledger values (-1)");
        servers[2].restart();
        eventually(SETTLE, "the third follows the new primary", || streams(&servers[2], "2"));
        eventually(SETTLE, "the third has what the new primary wrote", || {
            match servers[2].try_query("select count(*) from ledger where row = -1")?.as_str() {
                "1" => Ok(()),
                found => Err(format!("{found} rows")),
            }
        });
    });
}

#[test]
fn a_replica_that_was_promoted_apart_is_excluded_also_where_it_follows_again() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("postgres", 5432, BUDGET));
        servers[1].query("select pg_promote()");
        servers[1].query("insert into ledger values (-1)");
        excluded(&mesh, "s2", "main is no replica");
        warned(&mesh, WarningKind::WrongUpstream, "s2");
        servers[1].restart_as_standby();
        excluded(&mesh, "s2", "main is on timeline 2, its primary on 1");
        // Once more, so that it shares no number with the one that is promoted next: that is not told apart.
        servers[1].query("select pg_promote()");
        servers[1].restart_as_standby();
        excluded(&mesh, "s2", "main is on timeline 3, its primary on 1");
        servers[0].kill();
        mesh.settle(SETTLE, "shop", "dns");
        servers[2].query("insert into ledger values (1)");
        excluded(&mesh, "s2", "main is on timeline 3, its primary on 2");
        servers[2].kill();
        throughout(Duration::from_secs(8), "the diverged one is left as it is", || {
            let rows = servers[1].rows("select row from ledger where row in (-1, 1)");
            let recovers = servers[1].try_query("select pg_is_in_recovery()");
            (rows, recovers, mesh.agents[0].app("shop").map(|it| it.active))
        });
        assert_eq!(servers[1].try_query("select pg_is_in_recovery()").as_deref(), Ok("t"));
    });
}

#[test]
fn an_old_primary_that_is_back_empty_is_left_alone_and_never_the_active_one() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("postgres", 5432, BUDGET));
        servers[0].query("insert into ledger values (7)");
        servers[0].kill();
        mesh.settle(SETTLE, "shop", "s2");
        eventually(SETTLE, "the third follows the new primary", || streams(&servers[2], "2"));
        servers[0].come_back_empty();
        excluded(&mesh, "s1", "main is no replica");
        warned(&mesh, WarningKind::WrongUpstream, "s1");
        // And as a standby of nobody: it answers as one that could be promoted.
        servers[0].restart_as_standby();
        excluded(&mesh, "s1", "main belongs to another history than its primary");
        servers[1].kill();
        mesh.settle(SETTLE, "shop", "dns");
        assert_eq!(servers[2].query("select count(*) from ledger where row = 7"), "1");
        throughout(Duration::from_secs(5), "and the empty one is left as it is", || {
            let recovers = servers[0].try_query("select pg_is_in_recovery()");
            (recovers, mesh.agents[0].app("shop").map(|it| it.active))
        });
        excluded(&mesh, "s1", "main belongs to another history than its primary");
    });
}

#[test]
fn a_stale_replica_is_passed_over_for_one_that_has_nearly_all() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("postgres", 5432, BUDGET));
        lab.fabric.cut("s1", "s2");
        let receivers = "select count(*) from pg_stat_wal_receiver";
        eventually(SETTLE, "s2 lost its link", || {
            match servers[1].try_query(receivers)?.as_str() {
                "0" => Ok(()),
                found => Err(format!("{found} receivers")),
            }
        });
        servers[0].query("insert into ledger select generate_series(1000000, 1010000)");
        excluded(&mesh, "s2", "main lacks");
        warned(&mesh, WarningKind::Lag, "s2");
        servers[0].kill();
        took_all_over(&mesh, "dns");
        eventually(SETTLE, "the stale one follows it", || streams(&servers[1], "2"));
        eventually(SETTLE, "and has all", || {
            match servers[1].try_query("select count(*) from ledger")?.as_str() {
                "10001" => Ok(()),
                found => Err(format!("{found} rows")),
            }
        });
    });
}

#[test]
fn a_wrong_password_and_a_right_taken_away_are_said_and_move_nothing() {
    inside(|lab: &Lab| {
        let servers = servers(lab);
        let mesh = mesh(lab, &app("postgres", 5432, BUDGET));
        let state = || servers.each_ref().map(|it| it.try_query("select pg_is_in_recovery()"));
        let run = |sql: String| drop(servers[0].query(&sql));
        for (break_it, fault, mend) in [
            (
                "password 'another'".to_owned(),
                "password authentication failed",
                format!("password '{PASSWORD}'"),
            ),
            ("nosuperuser".to_owned(), "may not see replication", "superuser".to_owned()),
        ] {
            let alter = |what: &str| run(format!("alter role {USER} {what}"));
            faulty(
                &mesh,
                (FaultKind::Credential, fault),
                (|| alter(&break_it), || alter(&mend)),
                state,
            );
        }
    });
}

#[test]
fn who_receives_through_another_is_not_waited_for_and_once_nobody_is_to_be_none_is() {
    inside(|lab: &Lab| {
        const SETTING: &str = "show synchronous_standby_names";
        let primary = Postgres::primary(lab, STACKS[0]);
        let second = Postgres::standby(&primary, STACKS[1], Replication::Asynchronous);
        let _third = Postgres::standby(&second, STACKS[2], Replication::Asynchronous);
        let definition = app("postgres", 5432, "0");
        let mesh = mesh(lab, &definition.replace("fencing", "sync = 2\nfencing"));
        relied(&mesh, &["s2"]);
        let setting = primary.query(SETTING);
        assert!(setting.starts_with("FIRST 1 (\"s2\", \"quorate:sync:shop:"), "{setting}");
        let writer = Writer::start(&[primary.address()]);
        written(&writer, primary.address());

        mesh.apply(lab, &definition);
        let becomes = |wanted: &str| {
            let what = format!("the primary's setting is {wanted:?}");
            eventually(SETTLE, &what, || match primary.query(SETTING) {
                setting if setting == wanted => Ok(()),
                setting => Err(setting),
            });
        };
        becomes("");
        // What people set then is theirs.
        primary.query("alter system set synchronous_standby_names = 'ANY 1 (s2, x)'");
        primary.query("select pg_reload_conf()");
        becomes("ANY 1 (s2, x)");
        throughout(Duration::from_secs(12), "it stays as they set it", || primary.query(SETTING));
        written(&writer, primary.address());
        writer.stop();
    });
}

#[test]
fn a_slot_whose_log_is_gone_is_warned_of_until_it_is_dropped() {
    inside(|lab: &Lab| {
        let servers = servers(lab);
        let primary = &servers[0];
        for sql in [
            "alter system set max_slot_wal_keep_size = '16MB'",
            "alter system set wal_keep_size = 0",
            "select pg_reload_conf()",
            "select pg_create_physical_replication_slot('forgotten', true)",
        ] {
            primary.query_at_host(sql).expect("it may");
        }
        let mesh = mesh(lab, &app("postgres", 5432, BUDGET));
        let status = || mesh.agents[0].quorate(&["status"]).expect_done();
        assert!(!status().contains("slot forgotten"), "{}", status());

        eventually(SETTLE, "the log that the slot stands for is gone", || {
            // Each begins another file of 16 MiB.
            primary.query_at_host("select pg_logical_emit_message(true, '', 'x')")?;
            primary.query_at_host("select pg_switch_wal()")?;
            // Standbys have no slots: what they lack is not to go.
            let behind =
                "select count(*) from pg_stat_replication where flush_lsn < pg_current_wal_lsn()";
            eventually(SETTLE, "both standbys have it", || {
                match primary.query_at_host(behind)? {
                    none if none == "0" => Ok(()),
                    other => Err(other),
                }
            });
            primary.query_at_host("checkpoint")?;
            let asked = "select wal_status from pg_replication_slots where slot_name = 'forgotten'";
            match primary.query_at_host(asked)? {
                lost if lost == "lost" => Ok(()),
                other => Err(other),
            }
        });
        warned(&mesh, WarningKind::Slot, STACKS[0]);
        let said = status();
        println!("{said}");
        assert!(said.contains("slot forgotten"), "{said}");
        // It is no reason to move, or not to.
        let view = mesh.agents[0].app("shop").expect("it was applied");
        assert_eq!((view.active.as_str(), view.unready.as_slice()), (STACKS[0], [].as_slice()));

        primary.query_at_host("select pg_drop_replication_slot('forgotten')").expect("it may");
        eventually(SETTLE, "it is over", || {
            let agent = &mesh.agents[0];
            let scraped = agent.scrapes(WarningKind::Slot, [STACKS[0], "main"])?;
            let over = !scraped && agent.said().contains("warns no longer (slot)");
            if over && !status().contains("slot forgotten") { Ok(()) } else { Err(status()) }
        });
    });
}
