//! Stores that elect their own primary, followed by real agents.
//!
//! Modules name the servers their tests need, so that `./tests/run --without SERVER` can leave them out. MongoDB's members are
//! scripted in `mongodb`, and vouched for by a real client, pymongo; real ones, of the one version that can be had here, are
//! in `foreign_mongodb`.

#[path = "mongodb/real.rs"]
mod foreign_mongodb;

mod mongodb {
    mod bounds;
    mod tls;

    use std::process::Command;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use agent::actors::Actors;
    use agent::clock;
    use agent::config::Credential;
    use consensus::model::{
        Action, ActionFault, ActionFaultKind, Database, DatabaseSight, DecisionKind, Done, Effect,
        Engine, Epoch, Fault, FaultKind, Outcome, TargetId, Token, Watched,
    };
    use consensus::outbox::{Input, Look, Subject};
    use probe::{Login, Means, Tls};
    use serde_json::Value;
    use tests::harness::agents::Mesh;
    use tests::harness::app::{INSIDE, Shop};
    use tests::harness::fabric::address;
    use tests::harness::lab::{Lab, inside};
    use tests::harness::mongodb::member::{Ailment, Set};
    use tests::harness::mongodb::{Hosted, Loopback, PORT, client, python};
    use tests::harness::nginx::Web;
    use tests::harness::postgres::{PASSWORD, USER};
    use tests::harness::process::output;
    use tests::harness::resolver::{Answer, ask};
    use tests::harness::wait::{eventually, throughout};
    use tests::harness::world::SETTLE;

    fn database(set: &Loopback, number: usize) -> Database {
        Database {
            name: "orders".parse().expect("a name"),
            engine: Engine::Mongodb,
            address: "127.0.0.1".to_owned(),
            port: set.members[number].port(),
            credential: "orders".parse().expect("a name"),
            guard: None,
            view: Default::default(),
        }
    }

    async fn look(set: &Loopback, number: usize, login: Login) -> Outcome {
        look_at(database(set, number), login, Duration::from_secs(10)).await
    }

    async fn look_at(database: Database, login: Login, limit: Duration) -> Outcome {
        let target = TargetId {
            app: "shop".parse().expect("a name"),
            stack: "a".parse().expect("a name"),
            name: "orders".parse().expect("a name"),
        };
        let subject = Subject::Database(Arc::new(database));
        let look = Look { watched: Watched::Target(target), subject, limit };
        probe::look(&look, &Means::of_host(None).with_login(Some(Arc::new(login)))).await.outcome
    }

    /// Asks the primary of a fresh set to step down.
    async fn step_down(
        database: Database,
        login: Login,
        limit: Duration,
    ) -> Result<Done, ActionFault> {
        let login = Credential::Login(Arc::new(login));
        let credentials = [(database.credential.clone(), login)].into();
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        Actors::new(Arc::new(credentials), sender).start(Action {
            app: "shop".parse().expect("a name"),
            token: Token::new(Epoch(1), 0, 1),
            term: 0,
            item: 0,
            deadline: clock::now() + limit,
            limit,
            effect: Effect::StepDown { database, term: 3 },
        });
        let Some(Input::Report(report)) = receiver.recv().await else { panic!("no report") };
        report.result
    }

    async fn sight(set: &Loopback, number: usize) -> DatabaseSight {
        match look(set, number, Login::new(USER, Some(PASSWORD))).await {
            Outcome::Up(Some(sight)) => sight,
            other => panic!("expected a sight, found {other:?}"),
        }
    }

    async fn fault(set: &Loopback, login: Login) -> Fault {
        match look(set, 0, login).await {
            Outcome::Failed(fault) => fault,
            other => panic!("expected a fault, found {other:?}"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_real_client_accepts_the_scripted_set_and_follows_its_primary() {
        let set = Loopback::start(2).await;
        let members = [set.name(0), set.name(1)];
        let mut command = Command::new(python());
        client(&mut command, &members);
        let said = tokio::task::spawn_blocking(move || output(&mut command)).await;
        let said: Value = serde_json::from_str(&said.expect("it ends")).expect("it says JSON");
        println!("pymongo {}: {said}", said["version"]);
        assert_eq!(said["wrong password"], 18);
        assert_eq!(
            (&said["before"], &said["after"]),
            (&members[0].clone().into(), &members[1].clone().into())
        );
        assert_eq!(said["secondaries"], serde_json::json!([members[0]]));
        let rows: Vec<_> = set.set().rows.into_iter().map(|(member, _)| member).collect();
        assert_eq!(rows, members, "one write each, at the primary of the time");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn members_say_who_they_are_and_how_far() {
        let set = Loopback::start(3).await;
        set.change(|it| {
            it.behind = Some((it.members[1].clone(), 7));
            it.passive = Some(it.members[2].clone());
        });
        let [primary, behind, passive] =
            [sight(&set, 0).await, sight(&set, 1).await, sight(&set, 2).await];
        assert!(!primary.replica && !primary.read_only && behind.replica && behind.streaming);
        assert_eq!([primary.timeline, behind.timeline, passive.timeline], [3; 3]);
        assert_eq!([primary.system, passive.system], [behind.system; 2], "one history");
        assert_eq!((primary.position >> 32) - (behind.position >> 32), 7);
        assert_eq!((behind.lag, passive.lag), (Some(Duration::from_secs(7)), Some(Duration::ZERO)));
        assert_eq!(behind.upstream_name, Some(set.name(1)));
        assert_eq!(passive.upstream_name, None, "it can never be elected");
        // Without a password nothing is asked that needs a right.
        let Outcome::Up(Some(bare)) = look(&set, 1, Login::new(USER, None)).await else {
            panic!("it is up")
        };
        assert_eq!((bare.replica, bare.timeline, bare.lag), (true, 3, None));
        set.change(|it| it.elect(&it.members[1].clone()));
        assert!(!sight(&set, 1).await.replica && sight(&set, 0).await.replica);
        assert_eq!(sight(&set, 1).await.timeline, 4);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_is_said_and_of_its_kind() {
        let set = Loopback::start(2).await;
        let good = || Login::new(USER, Some(PASSWORD));
        let told = fault(&set, Login::new(USER, Some("wrong"))).await;
        assert_eq!(
            (told.kind, told.text.as_str()),
            (FaultKind::Credential, "refuses `quorate`: Authentication failed.")
        );
        let ails = |ailment| move |it: &mut Set| it.ails = Some((it.members[0].clone(), ailment));
        for (ailment, kind, words) in [
            (Ailment::Full, FaultKind::Unready, "too many connections"),
            (Ailment::Revoked, FaultKind::Credential, "not authorized on admin"),
            (Ailment::Ancient, FaultKind::Unready, "expected one of 6 to 29: MongoDB 3.6 to 8"),
            (Ailment::Alone, FaultKind::Unready, "no replica set"),
            (
                Ailment::Recovering,
                FaultKind::Unready,
                "neither a primary nor a secondary, but RECOVERING",
            ),
        ] {
            set.change(ails(ailment));
            let told = fault(&set, good()).await;
            assert_eq!(told.kind, kind, "{told}");
            assert!(told.text.contains(words), "{told}");
        }
        set.change(|it| it.ails = None);
        // Asked for protection, a server that has none is a fault of the credential.
        let told = fault(&set, Login { tls: Tls::Encrypted, ..good() }).await;
        assert_eq!(told.kind, FaultKind::Credential, "{told}");
        sight(&set, 0).await;
    }

    /// Waits until every agent agrees on the stack, and says it to resolvers.
    pub(super) fn answers(mesh: &Mesh<'_>, stack: &str) {
        mesh.settle(SETTLE, "shop", stack);
        let wanted = Answer::Addresses(vec![address(stack)]);
        eventually(SETTLE, &format!("every agent answers with {stack}"), || {
            mesh.running().try_for_each(|agent| match ask(agent.dns(), INSIDE) {
                answer if answer == wanted => Ok(()),
                answer => Err(format!("{}: {answer:?}", agent.name)),
            })
        });
    }

    /// Applies it, and waits until another stack could take over.
    pub(super) fn applied(lab: &Lab, mesh: &Mesh<'_>, shop: &Shop) {
        mesh.apply(lab, &shop.text());
        answers(mesh, "s1");
        eventually(SETTLE, "a failover of shop would succeed", || {
            mesh.running().try_for_each(|agent| match agent.app("shop")?.unready {
                unready if unready.is_empty() => Ok(()),
                unready => Err(unready.join("; ")),
            })
        });
    }

    #[test]
    fn dns_follows_the_primary_of_a_set_from_stack_to_stack() {
        inside(|lab: &Lab| {
            let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let mut set = Hosted::start(lab, &["s1", "s2"]);
            let mut mesh = Mesh::small(lab);
            mesh.start();
            let engine = ("mongodb", PORT);
            let shop = Shop { engine, outside: false, max_loss: "30s", ..Shop::default() };
            applied(lab, &mesh, &shop);
            let before = mesh.agents[0].app("shop").expect("it was applied").epoch;

            let elected = Instant::now();
            set.elect("s2");
            answers(&mesh, "s2");
            println!("election to every answer: {} ms", elected.elapsed().as_millis());
            let view = mesh.agents[0].app("shop").expect("it was applied");
            assert_eq!(view.decision.kind, DecisionKind::Failover);
            assert_eq!(view.epoch.0, before.0 + 1, "decided once");
            assert!(view.warnings.is_empty(), "{:?}", view.warnings);

            // While nobody leads, nothing moves; the next primary is followed at once.
            set.members[1].kill();
            let active = || mesh.agents[0].app("shop").map(|view| view.active);
            throughout(Duration::from_secs(6), "s2 stays active", active);
            set.elect("s1");
            answers(&mesh, "s1");
            assert!(set.set().stepped.is_empty(), "nobody was asked for anything");
        });
    }

    #[test]
    fn a_switchover_asks_the_primary_to_step_down() {
        inside(|lab: &Lab| {
            let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let set = Hosted::start(lab, &["s1", "s2"]);
            let mut mesh = Mesh::small(lab);
            mesh.start();
            let engine = ("mongodb", PORT);
            let shop = Shop { engine, outside: false, max_loss: "30s", ..Shop::default() };
            applied(lab, &mesh, &shop);
            let to_s2 = ["switchover", "shop", "--to", "s2", "--yes"];

            let asked = Instant::now();
            mesh.agents[0].quorate(&to_s2).expect_done();
            println!("switchover asked for to done: {} ms", asked.elapsed().as_millis());
            answers(&mesh, "s2");
            let after = set.set();
            assert_eq!(after.stepped, ["[Some(60), Some(3)]"], "asked once, and not forced");
            assert_eq!(after.primary.as_ref(), Some(&after.members[1]));

            // The same agent asks no second time within a minute.
            let back = ["switchover", "shop", "--to", "s1", "--yes"];
            let why = mesh.agents[0].quorate(&back).expect_refused();
            assert!(why.contains("once in 1 min at most"), "{why}");
            assert_eq!(set.set().stepped.len(), 1);
        });
    }

    #[test]
    fn the_primary_steps_down_where_the_web_has_died() {
        inside(|lab: &Lab| {
            let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let set = Hosted::start(lab, &["s1", "s2"]);
            let mut mesh = Mesh::small(lab);
            mesh.start();
            let engine = ("mongodb", PORT);
            let shop = Shop { engine, outside: false, max_loss: "30s", ..Shop::default() };
            applied(lab, &mesh, &shop);
            let died = Instant::now();
            webs[0].kill();
            answers(&mesh, "s2");
            println!("web's death to every answer: {} ms", died.elapsed().as_millis());
            assert_eq!(set.set().stepped, ["[Some(60), Some(3)]"], "asked once, and not forced");
        });
    }
}
