//! A primary that gives out no more connections: it is there, and so it is not moved from, for however long that lasts.

use consensus::model::Verdict;
use tests::harness::agents::Agent;
use tests::harness::crowd::Crowd;
use tests::harness::guarded::{Server, engine};
use tests::harness::postgres::Replication;

use super::*;

/// Well beyond the time in which one that is dead is moved from.
const LASTS: Duration = Duration::from_secs(10);

/// Leaves it few to give, so that it is soon out of them. A PostgreSQL has 60, and would have to be started anew.
fn has_few(server: &Server<'_>) {
    match server {
        Server::Postgres(_) => {}
        Server::MariaDb(it) => drop(it.sql("set global max_connections = 20")),
        Server::MySql(it) => drop(it.sql("set global max_connections = 20")),
        Server::Redis(it) => {
            it.ask(&["CONFIG", "SET", "maxclients", "20"]).expect("it answers");
        }
    }
}

/// What all of the mesh say of the primary, as one agent heard them: what is wrong with it, if anything.
fn faults(agent: &Agent<'_>) -> Result<Vec<Option<(FaultKind, String)>>, String> {
    let mut stacks = agent.app("shop")?.stacks.into_iter();
    let primary = stacks.find(|it| it.stack.as_str() == STACKS[0]).ok_or("it is not there")?;
    let beliefs = primary.targets.into_iter().flat_map(|it| it.beliefs.into_values());
    Ok(beliefs.map(|it| it.fault.map(|fault| (fault.kind, fault.text))).collect())
}

/// Clients take every connection of the primary: all see that and say so, and nobody moves it. Once they are gone, all is as it
/// was; and when it dies, it is moved from.
fn is_full(lab: &Lab, dialect: Dialect, words: &str) {
    let hosts = ["s1", "s2"];
    let mut servers = Server::start(lab, dialect, Replication::Asynchronous, hosts);
    let (engine, port) = engine(dialect);
    let mesh = mesh(lab, &app_in(&hosts, engine, port, "64MiB"));
    let before = mesh.agents[0].app("shop").expect("it was applied").epoch;
    has_few(&servers[0]);

    let crowd = Crowd::at(dialect, servers[0].address());
    is_left_alone(&mesh, before, words);
    drop(crowd);
    is_over(&mesh);
    servers[0].kill();
    let view = mesh.settle(SETTLE, "shop", "s2");
    assert_eq!((view.decision.kind, view.epoch), (DecisionKind::Failover, Epoch(before.0 + 1)));
}

/// All see that the primary is full, and say so in these words; and for as long as that lasts nobody holds it for dead.
pub(super) fn is_left_alone(mesh: &Mesh<'_>, before: Epoch, words: &str) {
    eventually(SETTLE, "all say that it is full", || {
        mesh.running().try_for_each(|agent| {
            let found = faults(agent)?;
            let full = |it: &Option<(FaultKind, String)>| {
                it.as_ref().is_some_and(|(_, text)| text.contains(words))
            };
            match mesh.agents.len() <= found.len() && found.iter().all(full) {
                true => Ok(()),
                false => Err(format!("{}: {found:?}", agent.name)),
            }
        })
    });
    warned(mesh, WarningKind::OutOfSync, STACKS[0]);
    let status = mesh.agents[0].quorate(&["status"]).expect_done();
    assert!(status.contains(words), "{status}");
    let state = || {
        let each = mesh.running().map(|agent| {
            let view = agent.app("shop").expect("it answers");
            let down = view.stacks.iter().any(|it| it.data == Some(Verdict::Down));
            // Somebody may be let in for once; but nobody holds it for dead.
            let kinds: Vec<_> = faults(agent).expect("it answers").into_iter().flatten().collect();
            let other = kinds.into_iter().find(|(kind, _)| *kind != FaultKind::Unready);
            (view.epoch, view.active.to_string(), view.phase, down, other)
        });
        each.collect::<Vec<_>>()
    };
    throughout(LASTS, "it is not moved from", &state);
    let well = (before, STACKS[0].to_owned(), Phase::Idle, false, None);
    assert_eq!(state(), vec![well; mesh.agents.len()], "nor held for dead");
    assert!(!mesh.agents[0].said().contains("leaves shop alone"), "nobody would have moved it");
    warned(mesh, WarningKind::OutOfSync, STACKS[0]);
}

/// It has connections again: nobody says anything of it any more.
pub(super) fn is_over(mesh: &Mesh<'_>) {
    eventually(SETTLE, "it is over", || {
        mesh.running().try_for_each(|agent| {
            let (view, faults) = (agent.app("shop")?, faults(agent)?);
            let scraped = agent.scrapes(WarningKind::OutOfSync, [STACKS[0], "main"])?;
            let well = faults.iter().all(Option::is_none) && view.warnings.is_empty();
            match well && view.unready.is_empty() && !scraped {
                true => Ok(()),
                false => Err(format!("{faults:?} {:?} {:?}", view.warnings, view.unready)),
            }
        })
    });
}

mod postgres {
    use super::*;

    #[test]
    fn one_that_gives_out_no_more_connections_is_not_moved_from() {
        inside(|lab: &Lab| is_full(lab, Dialect::Postgres, "too many clients already"));
    }
}

mod mariadb {
    use super::*;

    #[test]
    fn one_that_gives_out_no_more_connections_is_not_moved_from() {
        inside(|lab: &Lab| is_full(lab, Dialect::MariaDb, "Too many connections"));
    }
}

mod foreign_mysql {
    use super::*;

    #[test]
    fn one_that_gives_out_no_more_connections_is_not_moved_from() {
        inside(|lab: &Lab| is_full(lab, Dialect::MySql, "Too many connections"));
    }
}

mod redis {
    use super::*;

    #[test]
    fn one_that_gives_out_no_more_connections_is_not_moved_from() {
        inside(|lab: &Lab| is_full(lab, Dialect::Redis, "max number of clients reached"));
    }
}
