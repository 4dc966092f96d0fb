//! A real set, followed by real agents: two members that hold data, in the stacks, and an arbiter elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use consensus::model::{
    Database, DecisionKind, Engine, Fault, FaultKind, Outcome, TargetId, Watched,
};
use consensus::outbox::{Look, Subject};
use probe::{Login, Means};
use tests::harness::agents::Mesh;
use tests::harness::app::{INSIDE, Shop};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::mongodb::PORT;
use tests::harness::mongodb::real::{Mongod, Real};
use tests::harness::nginx::Web;
use tests::harness::postgres::{PASSWORD, USER};
use tests::harness::resolver::{Answer, ask};
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::SETTLE;

use crate::mongodb::{answers, applied};

/// The stacks' hosts, and the arbiter's.
const HOSTS: [&str; 3] = ["s1", "s2", "dns"];
/// A primary that is not heard for so long is replaced; MongoDB's own number is 10 s.
const PATIENCE: Duration = Duration::from_secs(2);
/// Long enough for what is wrong to show.
const WHILE: Duration = Duration::from_secs(8);

const WRITE: &str = "assert.writeOK(db.rows.insert({ at: new Date() }))";
const SWITCHOVER: [&str; 5] = ["switchover", "shop", "--to", "s2", "--yes"];

/// Everything that most tests need.
struct Followed<'a> {
    set: Real<'a>,
    mesh: Mesh<'a>,
    _webs: [Web<'a>; 2],
}

impl<'a> Followed<'a> {
    /// A set whose first member leads, and three agents that answer with its stack.
    fn new(lab: &'a Lab, patience: Duration) -> Self {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let set = Real::start(lab, HOSTS, patience);
        let mut mesh = Mesh::small(lab);
        mesh.start();
        let engine = ("mongodb", PORT);
        let shop = Shop { engine, outside: false, max_loss: "30s", ..Shop::default() };
        applied(lab, &mesh, &shop);
        Self { set, mesh, _webs }
    }

    /// The decision that moved the app the last time, and how many there were.
    fn decision(&self) -> (DecisionKind, u32) {
        let view = self.mesh.agents[0].app("shop").expect("it was applied");
        (view.decision.kind, view.epoch.0)
    }

    /// Waits until a member says that it leads; by which election.
    fn leads(&self, number: usize) -> u32 {
        eventually(SETTLE, &format!("{} leads", HOSTS[number]), || {
            self.set.members[number].claims()?.ok_or_else(|| "it does not".to_owned())
        })
    }

    /// For so long every agent answers with this stack alone.
    fn stays(&self, stack: &str, span: Duration) {
        let wanted = Answer::Addresses(vec![address(stack)]);
        throughout(span, &format!("the answer stays {stack}"), || {
            let answers = self.mesh.running().map(|agent| ask(agent.dns(), INSIDE));
            let other: Vec<_> =
                answers.filter(|it| !matches!(it, Answer::Silent) && *it != wanted).collect();
            assert!(other.is_empty(), "{other:?}");
        });
    }
}

fn look(host: &str, login: Login) -> Outcome {
    let name = || "orders".parse().expect("a name");
    let database = Database {
        name: "orders".parse().expect("a name"),
        engine: Engine::Mongodb,
        address: address(host).to_string(),
        port: PORT,
        credential: "orders".parse().expect("a name"),
        guard: None,
        view: Default::default(),
    };
    let (app, stack) = ("shop".parse().expect("a name"), "a".parse().expect("a name"));
    let watched = Watched::Target(TargetId { app, stack, name: name() });
    let subject = Subject::Database(Arc::new(database));
    let look = Look { watched, subject, limit: Duration::from_secs(10) };
    let means = Means::of_host(None).with_login(Some(Arc::new(login)));
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    runtime.block_on(probe::look(&look, &means)).outcome
}

fn fault(host: &str, login: Login) -> Fault {
    match look(host, login) {
        Outcome::Failed(fault) => fault,
        other => panic!("expected a fault, found {other:?}"),
    }
}

#[test]
fn members_say_who_they_are_and_who_may_not_know_is_told_why() {
    inside(|lab: &Lab| {
        let ours = || Login::new(USER, Some(PASSWORD));
        let alone = Mongod::start(lab, "client");
        let told = fault("client", Login::new(USER, None));
        assert!(told.text.contains("never initiated"), "{told}");
        drop(alone);

        let set = Real::start(lab, HOSTS, PATIENCE);
        let seen = |host: &str, login: Login| match look(host, login) {
            Outcome::Up(Some(sight)) => sight,
            other => panic!("{host}: expected a sight, found {other:?}"),
        };
        set.members[0]
            .run("assert.writeOK(db.rows.insert({ row: 1 }, { writeConcern: { w: 2 } }))");
        let [primary, secondary] = ["s1", "s2"].map(|host| seen(host, ours()));
        println!("{primary:?}\n{secondary:?}");
        assert!(!primary.replica && secondary.replica && secondary.streaming);
        let term = set.members[0].claims().expect("it answers").expect("it leads");
        assert_eq!([primary.timeline, secondary.timeline], [term; 2]);
        assert_eq!(primary.system, secondary.system, "one history");
        assert_eq!(secondary.upstream_name, Some(format!("{}:{PORT}", address("s2"))));
        assert!(secondary.heard.is_some() && secondary.lag.is_some(), "{secondary:?}");
        // What needs no right is heard without a password.
        let bare = seen("s2", Login::new(USER, None));
        assert_eq!((bare.replica, bare.timeline, bare.lag), (true, term, None));

        for (host, login, kind, words) in [
            ("s1", Login::new(USER, Some("wrong")), FaultKind::Credential, "Authentication failed"),
            (
                "s2",
                Login::new("stranger", Some(PASSWORD)),
                FaultKind::Credential,
                "refuses `stranger`",
            ),
            ("s1", Login::new("nobody", Some("nobody")), FaultKind::Credential, "not authorized"),
            ("dns", ours(), FaultKind::Unready, "is an arbiter"),
        ] {
            let told = fault(host, login);
            println!("{host}: {told}");
            assert_eq!(told.kind, kind, "{told}");
            assert!(told.text.contains(words), "{told}");
        }
    });
}

#[test]
fn dns_follows_a_primary_that_was_killed_and_stays_when_it_is_back() {
    inside(|lab: &Lab| {
        let mut followed = Followed::new(lab, PATIENCE);
        let (_, before) = followed.decision();
        let killed = Instant::now();
        followed.set.members[0].process.kill();
        followed.leads(1);
        println!("primary killed to another that leads: {} ms", killed.elapsed().as_millis());
        answers(&followed.mesh, "s2");
        println!("primary killed to every answer: {} ms", killed.elapsed().as_millis());
        assert_eq!(followed.decision(), (DecisionKind::Failover, before + 1), "decided once");

        followed.set.members[0].restart();
        followed.set.is_whole();
        followed.stays("s2", WHILE);
        assert_eq!(followed.decision().1, before + 1);
    });
}

#[test]
fn a_primary_that_stood_still_is_believed_no_more_when_it_goes_on() {
    inside(|lab: &Lab| {
        let followed = Followed::new(lab, PATIENCE);
        let old = followed.leads(0);
        let stopped = Instant::now();
        followed.set.members[0].process.pause();
        answers(&followed.mesh, "s2");
        println!("primary stopped to every answer: {} ms", stopped.elapsed().as_millis());
        assert!(old < followed.leads(1));
        followed.stays("s2", Duration::from_secs(15).saturating_sub(stopped.elapsed()));
        followed.set.members[0].process.resume();
        followed.stays("s2", WHILE);
        followed.set.is_whole();
        assert_eq!(followed.set.members[0].claims(), Ok(None));
    });
}

#[test]
fn of_two_real_claims_the_later_election_is_followed() {
    inside(|lab: &Lab| {
        // So long the one that is cut off goes on claiming.
        let followed = Followed::new(lab, Duration::from_secs(30));
        let old = followed.leads(0);
        let cut = Instant::now();
        lab.fabric.split(&["s1"], &["s2", "dns"]);
        // The arbiter votes for nobody else while it hears the primary; the other one would wait for those 30 s.
        let arbiter = &followed.set.members[2].process;
        let down = format!("Member {}:{PORT} is now in state RS_DOWN", address("s1"));
        eventually(SETTLE, "the arbiter hears the primary no more", || {
            if arbiter.said().contains(&down) { Ok(()) } else { Err("not yet") }
        });
        followed.set.members[1].run("assert.commandWorked(db.adminCommand({ replSetStepUp: 1 }))");
        let new = followed.leads(1);
        assert!(old < new, "{old}, {new}");
        println!("cut to another election: {} ms", cut.elapsed().as_millis());
        answers(&followed.mesh, "s2");
        println!("cut to every answer: {} ms", cut.elapsed().as_millis());
        assert_eq!(followed.set.members[0].claims(), Ok(Some(old)), "it claims to lead still");
        followed.stays("s2", WHILE);
        assert_eq!(followed.set.members[0].claims(), Ok(Some(old)), "it claims to lead still");
        lab.fabric.heal();
        followed.set.is_whole();
        followed.stays("s2", PATIENCE);
    });
}

#[test]
fn a_switchover_asks_the_real_primary_to_step_down() {
    inside(|lab: &Lab| {
        let followed = Followed::new(lab, PATIENCE);
        let old = followed.leads(0);
        // Nobody writes to it: what it writes by itself makes no member too far behind.
        let asked = Instant::now();
        let said = followed.mesh.agents[0].quorate(&SWITCHOVER);
        assert!(said.status.success(), "{}", said.errors);
        let said = said.output;
        println!("switchover asked for to done: {} ms: {said}", asked.elapsed().as_millis());
        answers(&followed.mesh, "s2");
        // A failover, where another agent than the one that asked was first to follow.
        let (kind, _) = followed.decision();
        println!("decided as a {kind:?}");
        assert!(matches!(kind, DecisionKind::Switchover | DecisionKind::Failover), "{kind:?}");
        assert!(old < followed.leads(1));
        assert_eq!(followed.set.members[0].claims(), Ok(None));
        let log = followed.set.members[0].process.said();
        assert_eq!(log.matches("Attempting to step down").count(), 1, "asked once");
    });
}

#[test]
fn a_member_that_is_behind_takes_over_nothing() {
    inside(|lab: &Lab| {
        let followed = Followed::new(lab, PATIENCE);
        let [primary, secondary, _] = &followed.set.members;
        let (_, before) = followed.decision();
        let write = || primary.run(WRITE);
        let asked = || primary.process.said().matches("Attempting to step down").count();

        // Too far behind, the primary is not even asked.
        secondary.applies(false);
        let began = Instant::now();
        let why = eventually(SETTLE, "the member is too far behind", || {
            write();
            let far = Duration::from_secs(34) < began.elapsed();
            if far {
                Ok(followed.mesh.agents[0].quorate(&SWITCHOVER).expect_refused())
            } else {
                Err("not yet")
            }
        });
        println!("{why}");
        assert_eq!(asked(), 0, "{why}");

        // A little behind, it is asked, and says no: nobody catches up.
        secondary.applies(true);
        followed.set.is_whole();
        secondary.applies(false);
        let why = eventually(SETTLE, "the primary is asked", || {
            write();
            let why = followed.mesh.agents[0].quorate(&SWITCHOVER).expect_refused();
            if asked() == 0 { Err(why) } else { Ok(why) }
        });
        println!("{why}");
        assert!(why.contains("does not step down") && asked() == 1, "{} times: {why}", asked());
        followed.stays("s1", WHILE);
        assert_eq!(followed.decision().1, before, "nothing moved");
        secondary.applies(true);
    });
}

#[test]
fn a_set_without_a_majority_moves_nothing() {
    inside(|lab: &Lab| {
        let mut followed = Followed::new(lab, PATIENCE);
        let (_, before) = followed.decision();
        for member in &mut followed.set.members[1..] {
            member.process.kill();
        }
        eventually(SETTLE, "nobody leads", || match followed.set.members[0].claims()? {
            None => Ok(()),
            Some(term) => Err(format!("by {term}")),
        });
        followed.stays("s1", WHILE);
        let why = followed.mesh.agents[0].quorate(&SWITCHOVER).expect_refused();
        println!("{why}");
        // The other one alone leads nobody, either.
        followed.set.members[0].process.kill();
        followed.set.members[1].restart();
        followed.stays("s1", WHILE);
        assert_eq!(followed.decision().1, before, "nothing moved");
        // With the arbiter it does.
        followed.set.members[2].restart();
        answers(&followed.mesh, "s2");
        assert_eq!(followed.decision(), (DecisionKind::Failover, before + 1));
    });
}

/// The stack of the primary and the arbiter are gone for good: an operator is told what forces the member that is left, and what
/// that gives up, and does it.
#[test]
fn a_set_that_has_lost_its_majority_for_good_is_forced_by_an_operator() {
    inside(|lab: &Lab| {
        let mut followed = Followed::new(lab, PATIENCE);
        let (_, before) = followed.decision();
        // While somebody leads there is nothing to force.
        let forced = ["failover", "shop", "--to", "s2", "--yes"];
        let why = followed.mesh.agents[0].quorate(&forced).expect_refused();
        assert!(!why.contains("rs.reconfig"), "{why}");
        let [first, second, third] = &mut followed.set.members;
        first.process.kill();
        third.process.kill();
        eventually(SETTLE, "nobody leads", || match second.claims()? {
            None => Ok(()),
            Some(term) => Err(format!("by {term}")),
        });
        let agent = &followed.mesh.agents[0];
        let why = eventually(SETTLE, "the command is told", || {
            let said = agent.quorate(&forced).expect_refused();
            if said.contains("rs.reconfig") { Ok(said) } else { Err(said) }
        });
        println!("{why}");
        assert!(why.contains(" s of what the primary at s1 was last seen to have"), "{why}");
        let command = why.lines().find(|line| line.starts_with("cfg = rs.conf()"));
        let command = command.expect("a line to copy").to_owned();
        followed.stays("s1", WHILE);
        followed.set.members[1].run(&format!("{command}; print('done')"));
        followed.leads(1);
        answers(&followed.mesh, "s2");
        assert_eq!(followed.decision(), (DecisionKind::Failover, before + 1));
    });
}

#[test]
fn agents_with_a_wrong_password_say_so_and_move_nothing() {
    inside(|lab: &Lab| {
        let mut followed = Followed::new(lab, PATIENCE);
        let (_, before) = followed.decision();
        for agent in &mut followed.mesh.agents {
            agent.kill();
            agent.set_up(|it| it.password = "wrong".to_owned());
        }
        followed.mesh.start();
        eventually(SETTLE, "every agent says why it knows nothing", || {
            followed.mesh.running().try_for_each(|agent| {
                let status = agent.quorate(&["status"]).expect_done();
                if status.contains("Authentication failed") { Ok(()) } else { Err(status) }
            })
        });
        followed.set.members[0].process.kill();
        followed.leads(1);
        followed.stays("s1", WHILE);
        let why = followed.mesh.agents[0].quorate(&SWITCHOVER).expect_refused();
        println!("{why}");
        assert_eq!(followed.decision().1, before, "nothing moved");
    });
}
