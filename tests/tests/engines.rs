//! Databases in three stacks on real processes: what is promoted, what is refused, and who follows whom afterwards.
//!
//! Modules name the servers their tests need, so that `./tests/run --without SERVER` can leave them out.

use std::time::Duration;

use consensus::model::{DecisionKind, Epoch, FaultKind, Phase, WarningKind};
use consensus::view::StackView;
use tests::harness::agents::Mesh;
use tests::harness::app::INSIDE;
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::recorded::recorded_loss;
use tests::harness::resolver::{Answer, ask};
use tests::harness::sql::SqlServer;
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::SETTLE;
use tests::harness::writer::{Dialect, Writer, lost};

/// The hosts of three stacks, in order of preference; the name server's is as good as any.
const STACKS: [&str; 3] = ["s1", "s2", "dns"];

/// An app that is nothing but a database, in three stacks.
fn app(engine: &str, port: u16, max_loss: &str) -> String {
    app_in(&STACKS, engine, port, max_loss)
}

/// The same in these of them.
fn app_in(stacks: &[&str], engine: &str, port: u16, max_loss: &str) -> String {
    let mut text = format!(
        "[app]\nname = \"shop\"\ncooldown = \"0s\"\n[quorum]\nregions = 2\n\
         [probe]\ninterval = \"1s\"\nwindow = \"2s\"\n\
         [data]\nmax_loss = \"{max_loss}\"\nfencing = \"best-effort\"\n\
         [[zone]]\nname = \"edge.test\"\nns = [\"ns1.edge.test\"]\ncontact = \"hostmaster@edge.test\"\n"
    );
    for stack in stacks {
        let host = address(stack);
        text += &format!(
            "[[stack]]\nname = \"{stack}\"\n[[stack.database]]\nname = \"main\"\n\
             engine = \"{engine}\"\naddress = \"{host}:{port}\"\ncredential = \"orders\"\n"
        );
    }
    let values: Vec<_> =
        stacks.iter().map(|stack| format!("{stack} = [\"{}\"]", address(stack))).collect();
    let values = values.join(", ");
    text + &format!(
        "[[record]]\nname = \"{INSIDE}\"\ntype = \"A\"\nttl = 5\nvalues = {{ {values} }}\n\
         [[record]]\nname = \"rw.edge.test\"\ntype = \"A\"\nttl = 5\nrw = \"main\"\n\
         [[record]]\nname = \"ro.edge.test\"\ntype = \"A\"\nttl = 5\nro = \"main\"\n"
    )
}

/// Waits until every agent answers a name with these hosts.
fn answered(mesh: &Mesh<'_>, name: &str, hosts: &[&str]) {
    let mut wanted: Vec<_> = hosts.iter().map(|host| address(host)).collect();
    wanted.sort();
    eventually(SETTLE, &format!("{name} leads to {hosts:?}"), || {
        mesh.running().try_for_each(|agent| match ask(agent.dns(), name) {
            Answer::Addresses(mut found) => {
                found.sort();
                if found == wanted { Ok(()) } else { Err(format!("{}: {found:?}", agent.name)) }
            }
            other => Err(format!("{}: {other:?}", agent.name)),
        })
    });
}

/// A mesh with the app applied, served from the first stack, and a failover from it sure to succeed.
fn mesh<'a>(lab: &'a Lab, text: &str) -> Mesh<'a> {
    let mut mesh = Mesh::small(lab);
    mesh.start();
    mesh.apply(lab, text);
    mesh.settle(SETTLE, "shop", STACKS[0]);
    mesh.ready(SETTLE, "shop");
    mesh
}

/// Waits until an agent says this of the app: in words of its readiness, or as a fault of this database.
fn says(mesh: &Mesh<'_>, what: &str) {
    eventually(SETTLE, &format!("the mesh says {what:?}"), || {
        let app = mesh.agents[0].app("shop")?;
        // Of every stack: while one could be moved to, what keeps another from it makes nobody unready.
        let said_of = |stack: StackView| {
            let beliefs = stack.targets.into_iter().flat_map(|it| it.beliefs.into_values());
            let faults = beliefs.filter_map(|belief| belief.fault.map(|fault| fault.text));
            stack.unfit.into_iter().chain(faults).collect::<Vec<_>>()
        };
        let of_stacks = app.stacks.into_iter().flat_map(said_of);
        let said: Vec<_> = app.unready.into_iter().chain(of_stacks).collect();
        match said.iter().any(|it| it.contains(what)) {
            true => Ok(()),
            false => Err(format!("{said:?}")),
        }
    });
}

/// Waits until people are warned of a replica: in the status, in the metrics, and by an event once it has lasted.
fn warned(mesh: &Mesh<'_>, kind: WarningKind, stack: &str) {
    let agent = &mesh.agents[0];
    eventually(SETTLE, &format!("a warning of {kind} for {stack}"), || {
        let warnings = agent.app("shop")?.warnings;
        let said = warnings.iter().any(|it| it.kind == kind && it.target.stack.as_str() == stack);
        let told = agent.said().contains(&format!("warns ({kind}): shop/{stack}/main "));
        let scraped = agent.scrapes(kind, [stack, "main"])?;
        match said && told && scraped {
            true => Ok(()),
            false => Err(format!("{warnings:?}, told: {told}, scraped: {scraped}")),
        }
    });
}

/// Waits until this, and nothing else, keeps a stack from being moved to.
fn excluded(mesh: &Mesh<'_>, stack: &str, why: &str) {
    eventually(SETTLE, &format!("{stack} is not fit: {why}"), || {
        let stacks = mesh.agents[0].app("shop")?.stacks;
        let unfit = stacks.into_iter().find(|it| it.stack.as_str() == stack).map(|it| it.unfit);
        match unfit.as_deref() {
            Some([only]) if only.contains(why) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// Waits until this stack is served from, and all have on record that it lacks nothing that was seen.
fn took_all_over(mesh: &Mesh<'_>, stack: &str) {
    let view = mesh.settle(SETTLE, "shop", stack);
    assert_eq!(recorded_loss(mesh, view.epoch), Some(0), "{:?}", view.decision);
}

/// Breaks what agents look with or at, sees it said as what it is, sees that nothing is done about it, and mends it.
fn faulty<T: PartialEq + std::fmt::Debug>(
    mesh: &Mesh<'_>,
    (kind, fault): (FaultKind, &str),
    (break_it, mend): (impl Fn(), impl Fn()),
    state: impl Fn() -> T,
) {
    let before = mesh.agents[0].app("shop").expect("it was applied").epoch;
    break_it();
    says(mesh, fault);
    throughout(Duration::from_secs(8), "nothing is done", || {
        let view = mesh.agents[0].app("shop").map(|it| (it.epoch, it.active, it.phase));
        (view, state())
    });
    let app = mesh.agents[0].app("shop").expect("it answers");
    let targets = app.stacks.iter().flat_map(|stack| &stack.targets);
    let faults = targets.flat_map(|it| it.beliefs.values()).filter_map(|it| it.fault.as_ref());
    let kinds: Vec<_> = faults.map(|fault| fault.kind).collect();
    assert!(!kinds.is_empty(), "somebody is refused somewhere");
    assert!(kinds.iter().all(|it| *it == kind), "{kinds:?}");
    mend();
    eventually(SETTLE, "a failover would succeed again", || {
        match mesh.agents[0].app("shop")?.unready {
            unready if unready.is_empty() => Ok(()),
            unready => Err(unready.join("; ")),
        }
    });
    assert_eq!(mesh.agents[0].app("shop").expect("it answers").epoch, before);
}

/// Waits until the writer's rows are acknowledged by this server.
fn written(writer: &Writer, server: std::net::SocketAddr) {
    eventually(SETTLE, &format!("20 rows are acknowledged by {server}"), || {
        let rows = writer.acknowledged().iter().filter(|entry| entry.server == server).count();
        if 20 <= rows { Ok(()) } else { Err(format!("{rows} rows")) }
    });
}

#[path = "engines/full.rs"]
mod full;

#[path = "engines/most.rs"]
mod most;

#[path = "engines/pairs.rs"]
mod pairs;

#[path = "engines/mysql.rs"]
mod foreign_mysql;

#[path = "engines/postgres.rs"]
mod postgres;

#[path = "engines/redis.rs"]
mod redis;

#[path = "engines/sealed.rs"]
mod sealed;

/// A MariaDB's or MySQL's replica has lost its link, and then its primary dies.
fn stale<S: SqlServer>(lab: &Lab, mut servers: [S; 3]) {
    let [(link, _), ..] = S::WORDS.sound;
    let mesh = mesh(lab, &app("mysql", 3306, "64KiB"));
    lab.fabric.cut("s1", "s2");
    eventually(SETTLE, "s2 lost its link", || match servers[1].replica(link)? {
        status if status == "Yes" => Err(status),
        _ => Ok(()),
    });
    servers[0].sql("create table app.large (t longtext)");
    servers[0].sql(&format!("insert into app.large values ('{}')", "x".repeat(100_000)));
    says(&mesh, "main lacks");
    warned(&mesh, WarningKind::Lag, "s2");
    servers[0].process().kill();
    took_all_over(&mesh, "dns");
    eventually(SETTLE, "the stale one follows it and has all", || {
        servers[1].follows(&servers[2])?;
        match servers[1].ask("select length(t) from app.large")?.as_str() {
            "100000" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
}

/// A MariaDB or MySQL that was the primary comes back without its data, and then the new primary dies, too.
fn back_empty<S: SqlServer>(lab: &Lab, mut servers: [S; 3], reaches: bool) {
    let mesh = mesh(lab, &app("mysql", 3306, "64KiB"));
    servers[0].sql("insert into app.ledger values (7)");
    let view = || mesh.agents[0].app("shop").expect("it answers");
    let before = view().epoch;
    servers[0].process().kill();
    let active = eventually(SETTLE, "a failover is done", || match view() {
        view if view.epoch > before && view.phase == Phase::Idle => Ok(view.active),
        view => Err(format!("{:?}", view.phase)),
    });
    let new = STACKS.iter().position(|name| active.as_str() == *name).expect("one of them");
    let third = 3 - new;
    eventually(SETTLE, "the third follows the new primary", || {
        servers[third].follows(&servers[new])?;
        servers[third].has_all_of(&servers[new])
    });
    if !reaches {
        lab.fabric.cut(STACKS[0], STACKS[new]);
    }
    servers[0].lose_data();
    servers[0].restart();
    excluded(&mesh, STACKS[0], "main is no replica");
    warned(&mesh, WarningKind::WrongUpstream, STACKS[0]);
    if reaches {
        eventually(SETTLE, "whoever would have it follow is told why not", || {
            let told = mesh.running().any(|agent| agent.said().contains("is empty, and `"));
            if told { Ok(()) } else { Err("nobody") }
        });
    }
    servers[new].process().kill();
    mesh.settle(SETTLE, "shop", STACKS[third]);
    let held = servers[third].ask("select count(*) from app.ledger where id = 7");
    assert_eq!(held.as_deref(), Ok("1"));
    assert_eq!(servers[third].replica(S::WORDS.source).as_deref(), Ok(""));
    throughout(Duration::from_secs(12), "and the empty one is left as it is", || {
        let state = [S::WORDS.closed, "show databases like 'app'"].map(|sql| servers[0].ask(sql));
        (state, servers[0].replica(S::WORDS.source), view().active)
    });
    assert_eq!(servers[0].ask(S::WORDS.closed).as_deref(), Ok("1"), "it takes no writes");
    assert_eq!(servers[0].replica(S::WORDS.source).as_deref(), Ok(""), "it follows nobody");
}

mod mariadb {
    use std::time::Instant;

    use tests::harness::mariadb::MariaDb;

    use super::*;

    /// What may be lost, and what one row takes of it in the binary log (100 bytes and more).
    const BUDGET: &str = "64KiB";
    const BUDGET_ROWS: usize = 655;

    fn addresses(servers: &[MariaDb<'_>; 3]) -> [std::net::SocketAddr; 3] {
        servers.each_ref().map(MariaDb::address)
    }

    #[test]
    fn a_killed_primary_is_replaced_and_back_it_follows_by_gtid() {
        inside(|lab: &Lab| {
            let mut servers = MariaDb::start(lab, STACKS);
            let mesh = mesh(lab, &app("mysql", 3306, BUDGET));
            let before = mesh.agents[0].app("shop").expect("it was applied").epoch;
            let writer = Writer::of(Dialect::MariaDb, &addresses(&servers));
            written(&writer, servers[0].address());

            answered(&mesh, "rw.edge.test", &["s1"]);
            answered(&mesh, "ro.edge.test", &["s2", "dns"]);
            let kill = Instant::now();
            servers[0].process.kill();
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
            written(&writer, servers[new].address());
            let first =
                writer.acknowledged().into_iter().find(|it| it.server == servers[new].address());
            let gap = first.expect("20 of them").at.saturating_duration_since(kill);
            println!("kill to first write at {}: {} ms", STACKS[new], gap.as_millis());
            let third = 3 - new;
            eventually(SETTLE, "the third follows the new primary", || {
                servers[third].follows(&servers[new])
            });

            answered(&mesh, "rw.edge.test", &[STACKS[new]]);
            answered(&mesh, "ro.edge.test", &[STACKS[third]]);
            servers[0].restart();
            eventually(SETTLE, "the old primary follows the new one", || {
                servers[0].follows(&servers[new])
            });
            answered(&mesh, "ro.edge.test", &["s1", STACKS[third]]);
            let ledger = writer.stop();
            for server in [0, third] {
                eventually(SETTLE, "both replicas have all that the new primary has", || {
                    servers[server].has_all_of(&servers[new])
                });
            }
            for server in &servers {
                let missing = server.lost(&ledger);
                assert!(missing.len() <= BUDGET_ROWS, "{missing:?} of {}", ledger.len());
                println!("{} of {} acknowledged rows lost", missing.len(), ledger.len());
            }
            let taken =
                ledger.iter().filter(|it| it.at < kill && it.server != servers[0].address());
            assert_eq!(taken.count(), 0, "nobody else took rows before");
        });
    }

    #[test]
    fn an_old_primary_that_is_back_empty_is_left_alone_and_never_the_active_one() {
        inside(|lab: &Lab| back_empty(lab, MariaDb::start(lab, STACKS), true));
    }

    #[test]
    fn one_that_is_back_empty_where_it_reaches_nobody_is_left_alone_too() {
        inside(|lab: &Lab| back_empty(lab, MariaDb::start(lab, STACKS), false));
    }

    #[test]
    fn a_replica_with_transactions_of_its_own_is_excluded_and_they_are_named() {
        inside(|lab: &Lab| {
            let mut servers = MariaDb::start(lab, STACKS);
            let mesh = mesh(lab, &app("mysql", 3306, BUDGET));
            servers[1].sql("insert into app.ledger values (-1)");
            says(&mesh, "holds transactions of its own");
            warned(&mesh, WarningKind::OutOfSync, "s2");
            servers[0].process.kill();
            mesh.settle(SETTLE, "shop", "dns");
            throughout(Duration::from_secs(15), "the diverged one is left as it is", || {
                (
                    servers[1].replica("Master_Host"),
                    servers[1].ask("select count(*) from app.ledger"),
                )
            });
            says(&mesh, "0-7-");
        });
    }

    #[test]
    fn a_stale_replica_is_passed_over_for_one_that_has_nearly_all() {
        inside(|lab: &Lab| stale(lab, MariaDb::start(lab, STACKS)));
    }

    #[test]
    fn a_wrong_password_and_a_right_taken_away_are_said_and_move_nothing() {
        inside(|lab: &Lab| {
            let servers = MariaDb::start(lab, STACKS);
            let mesh = mesh(lab, &app("mysql", 3306, BUDGET));
            let state = || servers.each_ref().map(|it| it.ask("select @@read_only"));
            for (break_it, fault, mend) in [
                (
                    "alter user quorate@'%' identified by 'another'",
                    "Access denied for user",
                    "alter user quorate@'%' identified by 'open sesame'",
                ),
                (
                    "revoke slave monitor, replication slave admin on *.* from quorate@'%'",
                    "SLAVE MONITOR",
                    "grant slave monitor, replication slave admin on *.* to quorate@'%'",
                ),
            ] {
                let run = |sql| drop(servers[0].sql(sql));
                faulty(
                    &mesh,
                    (FaultKind::Credential, fault),
                    (|| run(break_it), || run(mend)),
                    state,
                );
            }
        });
    }
}
