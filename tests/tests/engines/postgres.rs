//! PostgreSQL in three stacks: the standby that is not promoted is told whom to follow.

use tests::harness::postgres::{Postgres, Replication};

use super::*;

const BUDGET: &str = "1MiB";
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

#[test]
fn the_third_follows_the_new_primary_and_is_promoted_in_its_turn() {
    inside(|lab: &Lab| {
        let mut servers = servers(lab);
        let mesh = mesh(lab, &app("postgres", 5432, BUDGET));
        let writer = Writer::start(&servers.each_ref().map(Postgres::address));
        written(&writer, servers[0].address());
        answered(&mesh, "ro.edge.test", &["s2", "dns"]);
        servers[0].kill();
        mesh.settle(SETTLE, "shop", "s2");
        written(&writer, servers[1].address());
        eventually(SETTLE, "the third follows the new primary", || streams(&servers[2], "2"));
        answered(&mesh, "ro.edge.test", &["dns"]);

        eventually(SETTLE, "the third is ready", || {
            mesh.running().try_for_each(|agent| match agent.app("shop")?.unready {
                unready if unready.is_empty() => Ok(()),
                unready => Err(format!("{}: {}", agent.name, unready.join("; "))),
            })
        });
        servers[1].kill();
        mesh.settle(SETTLE, "shop", "dns");
        written(&writer, servers[2].address());
        let ledger = writer.stop();
        let missing = lost(&ledger, &servers[2]);
        println!("{} of {} acknowledged rows lost", missing.len(), ledger.len());
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
