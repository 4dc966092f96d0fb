//! Of two replicas that are both fit the one that received most is promoted; preference only breaks ties.

use tests::harness::guarded::{Server, engine};
use tests::harness::postgres::Replication;

use super::*;

/// What the preferred one does not get: well within the budget.
const ROWS: usize = 2_000;

/// Writes so many rows at once.
fn writes(server: &Server<'_>) {
    let rows = 1..=ROWS;
    let values = || rows.clone().map(|row| format!("({row})")).collect::<Vec<_>>().join(",");
    match server {
        Server::Postgres(it) => drop(it.query(&format!("insert into ledger values {}", values()))),
        Server::MariaDb(it) => drop(it.sql(&format!("insert into app.ledger values {}", values()))),
        Server::MySql(it) => drop(it.sql(&format!("insert into app.ledger values {}", values()))),
        Server::Redis(it) => {
            let pairs = rows.flat_map(|row| [format!("row:{row}"), "x".repeat(50)]);
            let words: Vec<_> = ["MSET".to_owned()].into_iter().chain(pairs).collect();
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            it.ask(&words).expect("it takes writes");
        }
    }
}

/// How many it holds, as it says at its host.
fn held(server: &Server<'_>) -> Result<usize, String> {
    server.rows()?.parse().map_err(|_| "no number".to_owned())
}

/// `s2` is preferred, and a link that is cut keeps something from it that `dns` has. Both could be moved to, by all that is known.
fn wins(lab: &Lab, dialect: Dialect) {
    let mut servers = Server::start(lab, dialect, Replication::Asynchronous, STACKS);
    let (engine, port) = engine(dialect);
    let mesh = mesh(lab, &app_in(&STACKS, engine, port, "64MiB"));
    lab.fabric.cut("s1", "s2");
    writes(&servers[0]);
    eventually(SETTLE, "all see what s2 lacks, and that both are fit", || {
        mesh.running().try_for_each(|agent| {
            let stacks = agent.app("shop")?.stacks;
            let found = stacks[1..].iter().map(|it| (it.unfit.as_slice(), it.would_lose));
            match found.collect::<Vec<_>>()[..] {
                [([], Some(lacks)), ([], Some(0))] if ROWS as u64 <= lacks => Ok(()),
                ref other => Err(format!("{}: {other:?}", agent.name)),
            }
        })
    });
    assert!(held(&servers[2]).is_ok_and(|held| ROWS <= held), "{:?}", held(&servers[2]));
    servers[0].kill();
    took_all_over(&mesh, "dns");
    assert!(held(&servers[2]).is_ok_and(|held| ROWS <= held), "{:?}", held(&servers[2]));
    eventually(SETTLE, "the preferred one follows it and has all", || {
        servers[1].follows("dns")?;
        match held(&servers[1])? {
            held if ROWS <= held => Ok(()),
            held => Err(format!("{held} rows")),
        }
    });
}

mod postgres {
    use super::*;

    #[test]
    fn who_received_most_is_promoted_before_who_is_preferred() {
        inside(|lab: &Lab| wins(lab, Dialect::Postgres));
    }
}

mod mariadb {
    use super::*;

    #[test]
    fn who_received_most_is_promoted_before_who_is_preferred() {
        inside(|lab: &Lab| wins(lab, Dialect::MariaDb));
    }
}

mod foreign_mysql {
    use super::*;

    #[test]
    fn who_received_most_is_promoted_before_who_is_preferred() {
        inside(|lab: &Lab| wins(lab, Dialect::MySql));
    }
}

mod redis {
    use super::*;

    #[test]
    fn who_received_most_is_promoted_before_who_is_preferred() {
        inside(|lab: &Lab| wins(lab, Dialect::Redis));
    }
}
