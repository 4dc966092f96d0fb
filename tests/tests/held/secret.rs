//! Servers that let Quorate in over TLS alone, with certificates that it is to check: who cannot says so and moves nothing; who
//! can moves everything, and what it makes follow is let in as well.

use tests::harness::authority::{Authority, furnished};

use super::*;

/// Long enough for a wrong decision to show: several windows and every retry.
const QUIET: Duration = Duration::from_secs(12);

/// From here on Quorate's log-in is good for nothing without TLS, for whatever is done with it.
fn require(lab: &Lab, servers: &[Server<'_>; 2]) {
    for (server, host) in servers.iter().zip(["s1", "s2"]) {
        let Server::Postgres(server) = server else { continue };
        let [certificate, key] = furnished(lab, host).expect("it was furnished");
        for sql in [
            format!("alter system set ssl_cert_file = '{certificate}'"),
            format!("alter system set ssl_key_file = '{key}'"),
            "alter system set ssl = on".to_owned(),
        ] {
            server.query_at_host(&sql).expect("it answers");
        }
        server.refuse_in_the_clear();
    }
    let sql = "alter user quorate@'%' require ssl";
    match &servers[0] {
        // Its replica gets it from it.
        Server::MariaDb(it) => it.at_host(sql).expect("it answers"),
        Server::MySql(it) => it.at_host(sql).expect("it answers"),
        Server::Postgres(_) => return,
        Server::Redis(_) => panic!("its own clients would be refused"),
    };
}

/// All agents start anew, and trust this authority alone.
fn trust(lab: &Lab, world: &mut Guarded<'_, 2>, authority: &Authority) {
    let file = lab.folder("trusted").join("authority.pem");
    std::fs::write(&file, authority.pem()).expect("own folder");
    let tls = format!("tls = \"verified\"\nauthority_file = \"{}\"", file.display());
    for agent in world.mesh.agents.iter_mut().chain(&mut world.guards) {
        agent.kill();
        agent.set_up(|setup| setup.tls.clone_from(&tls));
        agent.start();
    }
}

/// All agents say that they do not get in, and why; clients notice nothing.
fn says_so_and_moves_nothing(world: &Guarded<'_, 2>, why: &str) {
    eventually(SETTLE, &format!("all say: {why}"), || {
        world.mesh.running().try_for_each(|agent| {
            let status = agent.quorate(&["status"]).expect_done();
            if status.contains(why) { Ok(()) } else { Err(status) }
        })
    });
    throughout(QUIET, "nothing moves", || {
        let view = world.view();
        (view.active, view.epoch, view.phase)
    });
    world.takes_more(0);
}

fn moves_over_tls(lab: &Lab, dialect: Dialect) {
    let (ours, another) = (Authority::new("ours"), Authority::new("another"));
    ["s1", "s2"].into_iter().for_each(|host| ours.furnish(lab, host));
    let mut world: Guarded<'_, 2> = Guarded::rebuilding(lab, alone(dialect), TWO);
    require(lab, &world.servers);
    if dialect != Dialect::Postgres {
        // PostgreSQL is encrypted where it offers that, whoever it is.
        says_so_and_moves_nothing(&world, "Access denied");
    }
    trust(lab, &mut world, &another);
    says_so_and_moves_nothing(&world, "issuer is unknown");

    trust(lab, &mut world, &ours);
    world.ready();
    let broken = world.kill(0);
    world.mesh.settle(SETTLE, "shop", "s2");
    world.takes(1);
    judged(&world, &world.writers.acknowledged(), [0, 1], broken);
    // What is rebuilt is copied over TLS, too.
    match &mut world.servers[0] {
        Server::MariaDb(old) => old.lose_data(),
        Server::MySql(old) => old.lose_data(),
        Server::Postgres(_) | Server::Redis(_) => {}
    }
    world.comes_back(0, "s2");
    world.ready();
    match &world.servers[0] {
        Server::Postgres(old) => {
            let asked = "select conninfo from pg_stat_wal_receiver";
            let said = old.query_at_host(asked).expect("it follows");
            assert!(said.contains("sslmode=verify-full"), "{said}");
            and_back(&mut world);
        }
        _ => assert!(world.guards[0].said().contains("rebuilt, and a replica of")),
    }
}

/// Whoever follows next finds the authority's certificate in what it has from its primary, as another's file.
fn and_back(world: &mut Guarded<'_, 2>) {
    world.kill(1);
    world.mesh.settle(SETTLE, "shop", "s1");
    world.takes_more(0);
    world.comes_back(1, "s1");
    world.ready();
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn where_only_tls_gets_in_it_is_said_and_all_is_done_over_it() {
        inside(|lab: &Lab| moves_over_tls(lab, Dialect::Postgres));
    }
}

mod nginx_mariadb_bind {
    use super::*;

    #[test]
    fn where_only_tls_gets_in_it_is_said_and_all_is_done_over_it() {
        inside(|lab: &Lab| moves_over_tls(lab, Dialect::MariaDb));
    }
}

mod nginx_foreign_mysql_bind {
    use super::*;

    #[test]
    fn where_only_tls_gets_in_it_is_said_and_all_is_done_over_it() {
        inside(|lab: &Lab| moves_over_tls(lab, Dialect::MySql));
    }
}
