//! Servers of Redis that speak TLS alone, each behind its guard's door.

mod redis {
    use std::fs;
    use std::net::TcpStream;

    use tests::harness::agents::{Agent, program};
    use tests::harness::app::TWO;
    use tests::harness::authority::Authority;
    use tests::harness::crowd::Crowd;
    use tests::harness::guards::{enrolled_of, holds};
    use tests::harness::redis::Redis;

    use super::super::full::{is_left_alone, is_over};
    use super::super::*;

    const PORT: u16 = 6379;

    struct Sealed<'a> {
        servers: [Redis<'a>; 2],
        mesh: Mesh<'a>,
        guards: Vec<Agent<'a>>,
    }

    impl<'a> Sealed<'a> {
        /// Served from `s1`; everybody trusts the servers' authority.
        fn start(lab: &'a Lab) -> Self {
            let authority = Authority::new("ours");
            ["s1", "s2"].into_iter().for_each(|host| authority.furnish(lab, host));
            let servers = [Redis::start(lab, "s1", None), Redis::start(lab, "s2", Some("s1"))];
            let file = lab.folder("trusted").join("authority.pem");
            fs::write(&file, authority.pem()).expect("own folder");
            let tls = format!("tls = \"verified\"\nauthority_file = \"{}\"", file.display());
            let mut mesh = Mesh::small(lab);
            let mut guards = enrolled_of(lab, &mesh, &[("main", PORT)], TWO);
            for guard in &mut guards {
                let words = [program().display().to_string(), "rejoin-redis".to_owned()];
                guard.set_up(|setup| setup.more += &format!("rejoin = {words:?}\n"));
            }
            for agent in mesh.agents.iter_mut().chain(&mut guards) {
                agent.set_up(|setup| setup.tls.clone_from(&tls));
            }
            mesh.start();
            guards.iter_mut().for_each(Agent::start);
            mesh.apply(lab, &text());
            mesh.settle(SETTLE, "shop", "s1");
            holds(&guards[0], SETTLE);
            let sealed = Self { servers, mesh, guards };
            sealed.mesh.ready(SETTLE, "shop");
            sealed
        }

        /// Waits until the old primary follows the new one, over TLS.
        fn follows(&self) {
            let old = &self.servers[0];
            eventually(SETTLE, "the old primary follows over TLS", || {
                let said = old.at_host(&["INFO", "replication"])?;
                let words =
                    [format!("master_host:{}", address("s2")), "master_link_status:up".to_owned()];
                if words.iter().all(|word| said.contains(word)) { Ok(()) } else { Err(said) }
            });
            let encrypts = old.at_host(&["CONFIG", "GET", "tls-replication"]);
            assert!(encrypts.as_ref().is_ok_and(|said| said.ends_with("yes")), "{encrypts:?}");
        }

        /// Does the door of a server let a client in?
        fn reaches(&self, server: usize) -> bool {
            let server = self.servers[server].address();
            TcpStream::connect_timeout(&server, Duration::from_secs(1)).is_ok()
        }
    }

    /// The app in two stacks, with a guard for each database.
    fn text() -> String {
        let hosts = TWO.iter().map(|(host, _)| *host).collect::<Vec<_>>();
        let text = app_in(&hosts, "redis", PORT, "64KiB").replace("best-effort", "required");
        TWO.iter().fold(text, |text, (host, guard)| {
            let line = format!("address = \"{}:{PORT}\"\n", address(host));
            text.replace(&line, &format!("{line}guard = \"{guard}\"\n"))
        })
    }

    #[test]
    fn they_are_watched_promoted_and_made_to_follow_over_it() {
        inside(|lab: &Lab| {
            let mut sealed = Sealed::start(lab);
            let plainly = sealed.servers[0].ask(&["PING"]);
            assert!(plainly.is_err(), "it speaks TLS alone: {plainly:?}");
            assert_eq!([0, 1].map(|n| sealed.reaches(n)), [true, false]);
            sealed.servers[0].at_host(&["SET", "precious", "x"]).expect("it takes writes");
            sealed.servers[0].process.kill();
            let view = sealed.mesh.settle(SETTLE, "shop", "s2");
            assert_eq!(view.decision.kind, DecisionKind::Failover);
            assert!(view.decision.fence.values().all(|it| it.proven), "{:?}", view.decision);
            holds(&sealed.guards[1], SETTLE);
            assert_eq!([0, 1].map(|n| sealed.reaches(n)), [false, true]);
            let role = sealed.servers[1].at_host(&["INFO", "replication"]);
            assert!(role.as_ref().is_ok_and(|said| said.contains("role:master")), "{role:?}");

            // Empty, and told nothing of whom to follow, nor how.
            sealed.servers[0].come_back_empty();
            sealed.follows();
            let held = sealed.servers[0].at_host(&["GET", "precious"]);
            assert_eq!(held.as_deref(), Ok("x"));
            sealed.mesh.ready(SETTLE, "shop");
        });
    }

    #[test]
    fn what_one_alone_had_is_kept_and_its_guard_makes_it_follow_over_it() {
        inside(|lab: &Lab| {
            let sealed = Sealed::start(lab);
            // Its replica does not notice for a while.
            lab.fabric.silence("s1", PORT, "s2");
            sealed.servers[0].at_host(&["SET", "own", "x"]).expect("it takes writes");
            sealed.servers[0].process.pause();
            sealed.mesh.settle(SETTLE, "shop", "s2");
            lab.fabric.heal();
            sealed.servers[0].process.resume();
            eventually(SETTLE, "its guard keeps what it alone had", || {
                let said = sealed.guards[0].said();
                let line = said.lines().find(|it| it.contains("that it alone had are kept in"));
                line.map(|line| println!("{line}")).ok_or("nothing of the kind")
            });
            sealed.follows();
            sealed.mesh.ready(SETTLE, "shop");
        });
    }

    /// Who has no connection left hangs up before the handshake, without a word: there is none that a client would understand.
    #[test]
    fn one_that_gives_out_no_more_connections_is_not_moved_from() {
        inside(|lab: &Lab| {
            let sealed = Sealed::start(lab);
            let before = sealed.mesh.agents[0].app("shop").expect("it was applied").epoch;
            sealed.servers[0].at_host(&["CONFIG", "SET", "maxclients", "20"]).expect("it answers");
            let crowd = Crowd::silent(sealed.servers[0].address());
            is_left_alone(&sealed.mesh, before, "`maxclients`");
            drop(crowd);
            is_over(&sealed.mesh);
        });
    }
}
