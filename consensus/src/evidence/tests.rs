//! Golden rows: who sees what, and what the rule makes of it.
//!
//! A row's words have one letter a voter, in the order of their names: `D` down, `U` up, `g` degraded, `a` abstaining
//! (and seeing it down), `.` silent. Voters a1 to a5 live in regions x, x, y, y, z.

use std::time::Duration;

mod golden;
mod loss;
mod pairs;

use super::*;
use crate::model::{
    Abstention, AcceptorId, AgentId, Ballot, Belief, Candidate, Certificate, DataPolicy, Database,
    DatabaseSight, Definition, Endpoint, Engine, Epoch, Expect, Fencing, Health, MeshId, Mode,
    ProbePolicy, Region, Scheme, Stack, StackId, Statement, TargetId, Verdict, Voter, Voters,
};

const REGIONS: [&str; 5] = ["x", "x", "y", "y", "z"];

fn voters() -> Voters {
    let members = REGIONS.iter().zip(1..).map(|(region, n)| Voter {
        acceptor: AcceptorId(n),
        agent: format!("a{n}").parse().unwrap(),
        region: region.parse().unwrap(),
        key: KeyPair::from_seed(&[n as u8; 32]).public(),
    });
    Voters::stable(MeshId(1), 1, members.collect())
}

fn endpoint() -> Endpoint {
    Endpoint {
        name: "web-1".parse().unwrap(),
        scheme: Scheme::Http,
        address: "192.0.2.1".into(),
        port: 80,
        path: "/".into(),
        host: None,
        expect: Expect::default(),
        authority: None,
    }
}

fn database() -> Database {
    Database {
        name: "orders".parse().unwrap(),
        engine: Engine::Postgres,
        address: "192.0.2.2".into(),
        port: 5432,
        credential: "orders".parse().unwrap(),
        guard: None,
        view: Default::default(),
    }
}

fn definition(data: bool) -> Definition {
    let stack = |name: &str| Stack {
        name: name.parse().unwrap(),
        site: name.parse().unwrap(),
        endpoints: vec![endpoint()],
        databases: data.then(database).into_iter().collect(),
    };
    Definition {
        name: "shop".parse().unwrap(),
        mode: Mode::Automatic,
        cooldown: Duration::ZERO,
        regions: 2,
        probe: ProbePolicy {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(4),
            window: Duration::from_secs(8),
        },
        data: DataPolicy {
            max_loss_bytes: 1024,
            max_loss_time: None,
            fencing: Fencing::BestEffort,
            lease: DataPolicy::LEASE,
            sync: 0,
        },
        zones: Vec::new(),
        stacks: vec![stack("a"), stack("b")],
        records: Vec::new(),
        following: vec![],
    }
}

fn stack(name: &str) -> StackId {
    name.parse().unwrap()
}

fn belief(stack: &str, name: &str, letter: char) -> Belief {
    let health = match letter {
        'D' | 'a' => Health::Down,
        'U' => Health::Up,
        _ => Health::Degraded,
    };
    Belief {
        target: TargetId {
            app: "shop".parse().unwrap(),
            stack: stack.parse().unwrap(),
            name: name.parse().unwrap(),
        },
        health,
        qualified: health == Health::Up,
        flapping: false,
        failures: 0,
        quiet: None,
        fault: None,
        took: None,
        database: None,
        advancing: false,
        reached: true,
        guard: None,
    }
}

fn sight(replica: bool, position: u64) -> DatabaseSight {
    DatabaseSight {
        replica,
        read_only: replica,
        system: 7,
        timeline: 1,
        position,
        replayed: position,
        streaming: replica,
        heard: replica.then_some(Duration::ZERO),
        lag: None,
        upstream_name: replica.then(|| "b".into()),
        synchronous: if replica { Vec::new() } else { vec!["b".into()] },
        receivers: if replica { Vec::new() } else { vec!["b".into()] },
        slots_at_risk: Vec::new(),
    }
}

/// What is bent in a row, besides who sees what.
#[derive(Clone, Default)]
struct Twist {
    streams: bool,
    behind: u64,
    edit: Option<fn(&mut Definition)>,
    sight: Option<fn(&mut DatabaseSight)>,
}

struct Bench {
    definition: Definition,
    voters: Voters,
    words: Vec<(AgentId, Region, Option<Abstention>, Vec<Belief>)>,
}

impl Bench {
    /// `a` and `b` are what is seen of the web and, behind a slash, of the database of each stack.
    fn new(a: &str, b: &str, twist: &Twist) -> Self {
        let halves = |text: &str| -> (String, Option<String>) {
            match text.split_once('/') {
                Some((web, data)) => (web.into(), Some(data.into())),
                None => (text.into(), None),
            }
        };
        let ((web_a, data_a), (web_b, data_b)) = (halves(a), halves(b));
        let mut definition = definition(data_a.is_some());
        if let Some(edit) = twist.edit {
            edit(&mut definition);
        }
        let voters = voters();
        let mut words = Vec::new();
        for (n, voter) in voters.members.iter().enumerate() {
            let letter = |text: &String| text.chars().nth(n).unwrap();
            if letter(&web_a) == '.' {
                continue;
            }
            let mut beliefs =
                vec![belief("a", "web-1", letter(&web_a)), belief("b", "web-1", letter(&web_b))];
            if let (Some(data_a), Some(data_b)) = (&data_a, &data_b) {
                let mut primary = belief("a", "orders", letter(data_a));
                primary.database = Some((sight(false, 5000), Duration::from_secs(9)));
                let mut standby = belief("b", "orders", letter(data_b));
                let mut seen = sight(true, 5000 - twist.behind);
                if let Some(edit) = twist.sight {
                    edit(&mut seen);
                }
                standby.database = Some((seen, Duration::ZERO));
                standby.advancing = twist.streams;
                beliefs.extend([primary, standby]);
            }
            let abstention = (letter(&web_a) == 'a').then_some(Abstention::Isolated);
            words.push((voter.agent.clone(), voter.region.clone(), abstention, beliefs));
        }
        Self { definition, voters, words }
    }

    fn panel(&self) -> Panel<'_> {
        Panel::new(&self.definition, &self.voters, self.words.iter().map(witness_of))
    }
}

fn witness_of(word: &(AgentId, Region, Option<Abstention>, Vec<Belief>)) -> Witness<'_> {
    Witness {
        agent: &word.0,
        region: &word.1,
        abstention: word.2,
        beliefs: &word.3,
        said: Duration::ZERO,
    }
}

fn says(a: &str, b: &str, twist: &Twist) -> String {
    match Bench::new(a, b, twist).panel().failover(&stack("a")) {
        Ok(choice) => format!("move to {} ({:?})", choice.to, choice.path),
        Err(why) => why,
    }
}

#[test]
fn the_web_rule() {
    let rows = [
        ("UUUUU", "UUUUU", "a stands: nobody"),
        ("DUUUU", "UUUUU", "a stands: 1 of 5 voters see it down, 3 are needed"),
        ("DDUUU", "UUUUU", "a stands: 2 of 5"),
        ("DDDUU", "UUUUU", "a is contested: 3 of 5 voters see it down, 2 see it up"),
        ("DDDgU", "UUUUU", "move to b (Web)"),
        ("DDDgg", "UUUUU", "move to b (Web)"),
        ("DDDDU", "UUUUU", "move to b (Web)"),
        ("DDDDD", "UUUUU", "move to b (Web)"),
        ("DDD..", "UUU..", "move to b (Web)"),
        ("DD...", "UU...", "a stands: 2 of 5"),
        ("DDaaa", "UUUUU", "a stands: 2 of 5"),
        ("DDDaa", "UUUUU", "move to b (Web)"),
        ("aaaaa", "UUUUU", "a stands: nobody"),
        ("ggggg", "UUUUU", "a stands: nobody"),
        ("DDDDD", "DDDDD", "b is not fit"),
        ("DDDDD", "UUggg", "b is not fit: web long enough up for 2 of 5 voters, 3 are needed"),
        ("DDDDD", "UUUgg", "b is not better: 50 % reach it, 0 % reach a"),
        ("DDDDD", "UUUUg", "b is not better"),
    ];
    for (a, b, expected) in rows {
        let found = says(a, b, &Twist::default());
        assert!(found.starts_with(expected), "{a} {b}: expected `{expected}`, found `{found}`");
    }
}

#[test]
fn one_region_is_never_enough() {
    let bench = Bench::new("DDUUU", "UUUUU", &Twist::default());
    let count = bench.panel().count(&stack("a"), Aspect::Web).unwrap();
    assert_eq!((count.down.len(), count.regions, count.verdict), (2, 1, Verdict::Standing));

    let three: Twist = Twist { edit: Some(|it| it.regions = 3), ..Twist::default() };
    assert!(
        says("DDDDg", "UUUUU", &three).starts_with("a is contested: seen down in 2 of 3 regions")
    );
    assert_eq!(says("DgDgD", "UUUUU", &three), "move to b (Web)");
}

#[test]
fn the_data_rule() {
    let plain = Twist::default();
    let streams = Twist { streams: true, ..Twist::default() };
    let far = Twist { behind: 2000, ..Twist::default() };
    let near = Twist { behind: 1000, ..Twist::default() };
    let dns_only =
        Twist { edit: Some(|it| it.data.fencing = Fencing::DnsOnly), ..Twist::default() };
    let guarded =
        Twist { edit: Some(|it| it.data.fencing = Fencing::Required), ..Twist::default() };
    let rows = [
        (&plain, "DDDDD/DDDDD", "UUUUU/UUUUU", "move to b (Data)"),
        (&plain, "UUUUU/DDDDD", "UUUUU/UUUUU", "move to b (Data)"),
        (&plain, "DDDDD/UUUUU", "UUUUU/UUUUU", "move to b (Data)"),
        (&plain, "DDDDD/ggggg", "UUUUU/UUUUU", "the web of a is down, and its database is neither"),
        (&plain, "UUUUU/ggggg", "UUUUU/UUUUU", "a stands"),
        (&streams, "DDDDD/DDDDD", "UUUUU/UUUUU", "shop/b/orders still streams from a"),
        (&streams, "UUUUU/DDDDD", "UUUUU/UUUUU", "shop/b/orders still streams from a"),
        (&plain, "DDDDD/DDDDD", "UUUUU/DDDDD", "b is not fit: orders long enough up for 0 of 5"),
        (&near, "DDDDD/DDDDD", "UUUUU/UUUUU", "move to b (Data)"),
        (
            &far,
            "DDDDD/DDDDD",
            "UUUUU/UUUUU",
            "b is not fit: orders lacks 2000 bytes, 1024 may be lost",
        ),
        (&guarded, "DDDDD/DDDDD", "UUUUU/UUUUU", "b is not fit: no guard"),
        (&dns_only, "DDDDD/DDDDD", "UUUUU/UUUUU", "move to b (Web)"),
        (&dns_only, "UUUUU/DDDDD", "UUUUU/UUUUU", "a stands"),
    ];
    for (twist, a, b, expected) in rows {
        let found = says(a, b, twist);
        assert!(found.starts_with(expected), "{a} {b}: expected `{expected}`, found `{found}`");
    }
}

#[test]
fn a_voter_that_guards_is_not_missing_where_its_own_database_is_seen_up() {
    let guarded: Twist = Twist {
        edit: Some(|it| it.stacks[0].databases[0].guard = Some(voters().members[2].agent.clone())),
        ..Twist::default()
    };
    // Two voters are dead, and the third guards: its own look is no vote on whether others reach what it guards.
    for (data, stands, up) in [("UUU..", true, 2), ("UUg..", false, 2), ("UgU..", false, 1)] {
        let bench = Bench::new(&format!("UUU../{data}"), "UUU../UUU..", &guarded);
        let panel = bench.panel();
        let seen = panel.count(&stack("a"), Aspect::Data).unwrap().up.len();
        assert_eq!((panel.stands(&stack("a")), seen), (stands, up), "{data}");
    }
}

#[test]
fn a_standby_that_is_not_its_primarys_replica_is_unfit() {
    type Edit = fn(&mut DatabaseSight);
    let rows: [(Edit, &str); 5] = [
        (|it| it.replica = false, "is no replica"),
        (|it| it.system = 8, "another history"),
        (|it| it.timeline = 2, "is on timeline 2"),
        (
            |it| {
                it.streaming = false;
                it.heard = None;
            },
            "had not streamed",
        ),
        (
            |it| {
                it.streaming = false;
                it.heard = Some(Duration::from_secs(9 + 31));
            },
            "had not streamed",
        ),
    ];
    for (edit, expected) in rows {
        let found =
            says("DDDDD/DDDDD", "UUUUU/UUUUU", &Twist { sight: Some(edit), ..Twist::default() });
        assert!(found.contains(expected), "expected `{expected}`, found `{found}`");
    }
}

#[test]
fn an_operator_needs_fitness_but_no_failure_and_may_accept_loss() {
    let far = Twist { behind: 2000, ..Twist::default() };
    let bench = Bench::new("UUUUU/UUUUU", "UUUUU/UUUUU", &far);
    let panel = bench.panel();
    assert!(panel.operator(&stack("a"), &stack("b"), false).is_err());
    let choice = panel.operator(&stack("a"), &stack("b"), true).unwrap();
    assert_eq!((choice.path, choice.loss_bytes), (Path::Data, Some(2000)));
}

#[test]
fn evidence_is_what_it_claims_or_nothing() {
    let voters = voters();
    let key = |n: u8| KeyPair::from_seed(&[n; 32]);
    let ballot = Ballot { round: 3, instance: 9 };
    let state = |n: usize| {
        let voter = &voters.members[n - 1];
        Statement {
            mesh: MeshId(1),
            voters: 1,
            app: "shop".parse().unwrap(),
            revision: 2,
            epoch: Epoch(4),
            ballot,
            acceptor: voter.acceptor,
            agent: voter.agent.clone(),
            region: voter.region.clone(),
            abstention: None,
            beliefs: vec![belief("a", "web-1", 'D')],
        }
    };
    let app = "shop".parse().unwrap();
    let check = |evidence: Vec<crate::model::Evidence>| {
        certified(&Certificate { ballot, evidence }, &voters, ballot, (&app, 2), Trust::default())
    };
    let good = || vec![key(1).sign(state(1)), key(2).sign(state(2))];
    assert_eq!(check(good()), Ok(()));

    type Edit = fn(&mut Statement);
    let edits: [(&str, Edit); 7] = [
        ("another mesh", |it| it.mesh = MeshId(2)),
        ("another mesh or set of voters", |it| it.voters = 2),
        ("speaks of", |it| it.app = "blog".parse().unwrap()),
        ("speaks of", |it| it.revision = 1),
        ("speaks for", |it| it.ballot.round = 2),
        ("is no voter", |it| it.acceptor = AcceptorId(9)),
        ("is no voter", |it| it.region = "q".parse().unwrap()),
    ];
    for (expected, edit) in edits {
        let mut statement = state(1);
        edit(&mut statement);
        let found = check(vec![key(1).sign(statement)]).unwrap_err();
        assert!(found.contains(expected), "expected `{expected}`, found `{found}`");
    }
    let mut tampered = good();
    tampered[0].statement.beliefs.clear();
    assert!(check(tampered).unwrap_err().contains("signature"));
    assert!(check(vec![key(2).sign(state(1))]).unwrap_err().contains("signature"));
    assert!(check([good(), good()].concat()).unwrap_err().contains("twice"));
    let other = Ballot { round: 4, instance: 9 };
    let replayed = Certificate { ballot: other, evidence: good() };
    assert!(certified(&replayed, &voters, other, (&app, 2), Trust::default()).is_err());
}

#[test]
fn a_primary_that_nobody_saw_since_is_what_the_decision_knew_of_it() {
    let mut bench = Bench::new("DDDDD/DDDDD", "UUUUU/UUUUU", &Twist::default());
    for belief in bench.words.iter_mut().flat_map(|word| &mut word.3) {
        if belief.target.stack == stack("a") {
            belief.database = None;
        }
    }
    let forgotten = bench.panel().failover(&stack("a")).unwrap_err();
    assert!(forgotten.contains("the primary of orders was never seen"), "{forgotten}");

    let candidate =
        |position| Candidate { name: "orders".parse().unwrap(), system: 7, timeline: 1, position };
    let chosen = [candidate(4000)];
    let choice = bench.panel().recalling(&chosen).failover(&stack("a")).unwrap();
    assert_eq!((choice.path, choice.loss_bytes), (Path::Data, None));
    let ahead = [candidate(6000)];
    assert!(bench.panel().recalling(&ahead).failover(&stack("a")).is_err());
}

#[test]
fn people_are_warned_of_a_replica_before_it_is_too_late() {
    type Row = (fn(&mut DatabaseSight), u64, &'static str, Option<u64>);
    let rows: [Row; 8] = [
        (|_| {}, 0, "", Some(0)),
        (|_| {}, 1024, "", Some(1024)),
        (|_| {}, 1025, "lag: shop/b/orders lacks 1025 bytes, 1024 may be lost", Some(1025)),
        (|it| it.streaming = false, 7, "out-of-sync: shop/b/orders receives nothing", Some(7)),
        (|it| it.replica = false, 0, "wrong-upstream: shop/b/orders is a primary", Some(0)),
        (|it| it.system = 8, 0, "wrong-upstream: shop/b/orders follows another", None),
        (|it| it.timeline = 2, 0, "wrong-upstream: shop/b/orders is on timeline 2", None),
        (
            |it| it.slots_at_risk = vec!["x lost its log".into()],
            0,
            "slot: shop/b/orders slot x",
            Some(0),
        ),
    ];
    for (edit, behind, expected, loss) in rows {
        let twist = Twist { behind, sight: Some(edit), ..Twist::default() };
        let bench = Bench::new("UUUUU/UUUUU", "UUUUU/UUUUU", &twist);
        let panel = bench.panel();
        let found = panel.warnings(&stack("a"));
        let found: Vec<_> = found.iter().map(|it| format!("{}: {it}", it.kind)).collect();
        assert!(found.join("; ").starts_with(expected) && found.len() < 2, "{expected}: {found:?}");
        assert_eq!(expected.is_empty(), found.is_empty(), "{found:?}");
        assert_eq!(
            panel.would_lose(&stack("a"), &stack("b")).map(|(bytes, _)| bytes),
            loss,
            "{expected}"
        );
    }
    let strict: Twist = Twist {
        edit: Some(|it| it.data.max_loss_bytes = 0),
        sight: Some(|it| it.upstream_name = Some("c".into())),
        ..Twist::default()
    };
    let bench = Bench::new("UUUUU/UUUUU", "UUUUU/UUUUU", &strict);
    assert!(bench.panel().warnings(&stack("a"))[0].text.contains("waited for by no commit"));
}

#[test]
fn whoever_looked_only_since_the_primary_fell_silent_takes_nothing_back() {
    let broken: fn(&mut DatabaseSight) = |it| {
        it.streaming = false;
        it.heard = Some(Duration::from_secs(9 + 2));
    };
    let mut bench = Bench::new(
        "DDDDD/DDDDD",
        "UUUUU/UUUUU",
        &Twist { sight: Some(broken), ..Twist::default() },
    );
    // It started a moment ago, and so its look is the youngest.
    let standby = bench.words[4].3.last_mut().expect("it believes something");
    let (sight, age) = standby.database.as_mut().expect("of a database");
    (sight.heard, *age) = (None, Duration::ZERO);
    let choice = bench.panel().failover(&stack("a"));
    assert_eq!(choice.map(|it| it.path), Ok(Path::Data));
}

/// Seconds of a set's log stand in the upper half of a position.
#[test]
fn a_secondary_more_than_thirty_seconds_behind_is_no_heir() {
    let set: fn(&mut Definition) = |it| {
        it.stacks.iter_mut().for_each(|stack| stack.databases[0].engine = Engine::Mongodb);
    };
    for (behind, late, expected) in [
        (0, 0, Ok(())),
        (30, 0, Ok(())),
        (
            31,
            0,
            Err(
                "b has a member of orders that could be elected now for 0 of 5 voters, 3 are needed",
            ),
        ),
        // Two of five see it further behind, three do not.
        (30, 2, Ok(())),
        (
            30,
            3,
            Err(
                "b has a member of orders that could be elected now for 2 of 5 voters, 3 are needed",
            ),
        ),
    ] {
        let mut bench = Bench::new(
            "UUUUU/UUUUU",
            "UUUUU/UUUUU",
            &Twist { edit: Some(set), ..Twist::default() },
        );
        for (n, (.., beliefs)) in bench.words.iter_mut().enumerate() {
            for (sight, age) in beliefs.iter_mut().filter_map(|it| it.database.as_mut()) {
                let behind = if n < late { behind + 1 } else { behind };
                sight.position = (if sight.replica { 1_000 - behind } else { 1_000 }) << 32;
                *age = Duration::ZERO;
            }
        }
        let found = bench.panel().heir(&stack("a"), &stack("b"));
        assert_eq!(found, expected.map_err(ToOwned::to_owned), "{behind} s, {late} further");
    }
}
