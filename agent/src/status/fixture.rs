//! A mesh as it may be at 3:12 on a bad night, for tests: five agents in three regions, `shop` in the middle of a
//! failover, `blog` well, one agent that does not hear the others.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use consensus::model::*;
use consensus::view::*;

use super::Beside;
use crate::readiness::UnreadyView;
use crate::run::Agreed;

mod events;
mod guard;
mod mesh;
mod tails;
mod turning;

pub use events::events;
pub use tails::{ended, tails};
pub use turning::{Loop, spawn};

/// 2026-03-14 03:12:07 UTC.
pub const NIGHT: u64 = 1_773_457_927_000;

const AGENTS: [(&str, &str); 5] = [
    ("ams-1", "eu-west"),
    ("fra-1", "eu-west"),
    ("iad-1", "us-east"),
    ("nyc-1", "us-east"),
    ("sgp-1", "ap-southeast"),
];

/// A name of any sort.
pub fn name<T: FromStr<Err = BadName>>(text: &str) -> T {
    text.parse().expect("a name")
}

/// What it says of its host, and of what it asked outside.
pub fn beside() -> Beside {
    let unready = |stack: Option<&str>, why: &str| UnreadyView {
        app: name("shop"),
        stack: stack.map(name),
        why: why.to_owned(),
    };
    let readiness = vec![
        unready(None, "no name server of www.shop.example is found"),
        unready(
            Some("aws-east"),
            "web-1 for `shop.example`: the certificate expired 2 days ago, by this host's clock",
        ),
    ];
    Beside { tails: tails(), guard: guard::guard(), readiness }
}

/// What `ams-1` says of the mesh.
pub fn view() -> View {
    View {
        agent: name("ams-1"),
        region: name("eu-west"),
        mesh: "7c1e5ab0936d4f2288a10f4c5de0b917".into(),
        voter: true,
        abstention: None,
        health: HealthView::default(),
        quorum: QuorumView { voters: 5, heard: 4, needed: 3, why: None, silent_ms: 0 },
        voters: mesh::voters(),
        members: AGENTS
            .iter()
            .zip([0.0, 8.4, 81.25, 84.9, 0.0])
            .map(mesh::member)
            .chain([mesh::newcomer()])
            .collect(),
        apps: vec![blog(), shop()],
    }
}

fn shop() -> AppView {
    AppView {
        app: name("shop"),
        mode: Mode::Automatic,
        revision: 2,
        epoch: Epoch(4),
        ballot: Ballot { round: 19, instance: 0x7be1 },
        active: name("aws-east"),
        phase: Phase::Promoting,
        executor: Some(name("fra-1")),
        decision: decision_view(&shop_state(Phase::Promoting).decision),
        stacks: shop_stacks(),
        shortened: 0,
        planned: None,
        sync_set: Some([(name("orders"), vec![name("west")])].into()),
        freeze: None,
        damping: DampingView {
            flapping: false,
            cooling_ms: 840_000,
            history: vec![DampedView { epoch: Epoch(4), aborted: false, age_ms: 60_000 }],
            acknowledged: None,
        },
        next: "fra-1 promotes orders on do-west, then moves shop.example.com there".into(),
        lease: None,
        unready: vec!["a failover is in progress".into()],
        warnings: vec![Warning {
            target: TargetId { app: name("shop"), stack: name("do-west"), name: name("orders") },
            kind: WarningKind::OutOfSync,
            text: "receives nothing from its primary".into(),
        }],
        lost: BTreeMap::from([(
            name("orders"),
            LostView {
                stack: name("do-west"),
                epoch: Epoch(3),
                transactions: 7,
                bytes: 1_372,
                span_ms: 2_000,
            },
        )]),
        following: vec![mesh::following()],
    }
}

fn shop_stacks() -> Vec<StackView> {
    let dead = |text: &str, kind| {
        beliefs(|agent| match agent {
            "sgp-1" => up(231.0, None),
            _ => down(text, kind),
        })
    };
    let primary = sight(false, 0x3_0000_0000);
    let replica = sight(true, 0x3_0000_0000);
    let mut timed_out = dead("no answer within 4 s", FaultKind::Timeout);
    for target in timed_out.values_mut().filter(|belief| belief.health == Health::Up) {
        target.counts = false;
    }
    let mut refused = dead("connection refused", FaultKind::Refused);
    if let Some(belief) = refused.get_mut(&name::<AgentId>("sgp-1")) {
        *belief = BeliefView { database: Some(primary), counts: false, ..belief.clone() };
    }
    vec![
        StackView {
            stack: name("aws-east"),
            active: true,
            web: Some(Verdict::Down),
            data: Some(Verdict::Down),
            unfit: vec!["web-1 is down".into(), "orders is down".into()],
            would_lose: None,
            would_lose_ms: None,
            condition: None,
            targets: vec![
                target("web-1", false, "https://198.51.100.10/healthz", timed_out.clone()),
                target("web-2", false, "https://198.51.100.11/healthz", timed_out),
                target("orders", true, "198.51.100.20:5432", refused),
            ],
        },
        StackView {
            stack: name("do-west"),
            active: false,
            web: Some(Verdict::Standing),
            data: Some(Verdict::Standing),
            unfit: Vec::new(),
            would_lose: Some(4_096),
            would_lose_ms: Some(1_400),
            condition: None,
            targets: vec![
                target("web-1", false, "https://203.0.113.10/healthz", well(24.0, None)),
                target("web-2", false, "https://203.0.113.11/healthz", slow()),
                target("orders", true, "203.0.113.20:5432", well(6.0, Some(&replica))),
            ],
        },
    ]
}

fn slow() -> BTreeMap<AgentId, BeliefView> {
    beliefs(|agent| match agent {
        "nyc-1" => BeliefView {
            health: Health::Degraded,
            qualified: false,
            flapping: false,
            failures: 1,
            quiet_ms: Some(5_300),
            fault: Some(Fault::new(FaultKind::Status, "status 503, expected 200")),
            ..up(1_204.0, None)
        },
        "sgp-1" => BeliefView { counts: false, ..up(31.0, None) },
        _ => up(31.0, None),
    })
}

fn blog() -> AppView {
    let state = blog_state();
    AppView {
        app: name("blog"),
        mode: Mode::Shadow,
        revision: 1,
        epoch: Epoch(1),
        ballot: Ballot { round: 2, instance: 0x11d0 },
        active: name("hetzner-falkenstein"),
        phase: Phase::Idle,
        executor: None,
        decision: decision_view(&state.decision),
        stacks: ["hetzner-falkenstein", "ovh-gravelines"]
            .map(|stack| StackView {
                stack: name(stack),
                active: stack.starts_with("hetzner"),
                web: Some(Verdict::Standing),
                data: None,
                unfit: Vec::new(),
                would_lose: None,
                would_lose_ms: None,
                condition: None,
                targets: vec![target(
                    "web-1",
                    false,
                    "https://blog.internal.example.org:8443/a/rather/long/path/healthz",
                    well(18.0, None),
                )],
            })
            .into(),
        // All that can be shown of an app, at once: the core plans nothing in shadow.
        shortened: SHORTENED_MOST,
        sync_set: None,
        planned: Some(PlannedView {
            to: name("ovh-gravelines"),
            by: "ann".into(),
            within_ms: 41_300,
        }),
        freeze: Some(FreezeView {
            by: "ann".into(),
            reason: "release 2.4".into(),
            left_ms: 7_080_000,
            until_wall_ms: 1_767_232_305_000,
        }),
        damping: DampingView::default(),
        next: "nothing: hetzner-falkenstein is up".into(),
        lease: None,
        unready: Vec::new(),
        warnings: Vec::new(),
        lost: BTreeMap::new(),
        following: Vec::new(),
    }
}

fn target(
    target: &str,
    database: bool,
    address: &str,
    beliefs: BTreeMap<AgentId, BeliefView>,
) -> TargetView {
    TargetView { target: name(target), database, address: address.into(), beliefs }
}

fn beliefs(of: impl Fn(&str) -> BeliefView) -> BTreeMap<AgentId, BeliefView> {
    AGENTS.iter().map(|(agent, _)| (name(agent), of(agent))).collect()
}

fn well(took_ms: f64, database: Option<&DatabaseSight>) -> BTreeMap<AgentId, BeliefView> {
    beliefs(|agent| BeliefView { counts: agent != "sgp-1", ..up(took_ms, database.cloned()) })
}

fn up(took_ms: f64, database: Option<DatabaseSight>) -> BeliefView {
    BeliefView {
        health: Health::Up,
        qualified: true,
        flapping: false,
        failures: 0,
        quiet_ms: Some(1_200),
        fault: None,
        took_ms: Some(took_ms),
        database,
        counts: true,
    }
}

fn down(text: &str, kind: FaultKind) -> BeliefView {
    BeliefView {
        health: Health::Down,
        qualified: false,
        flapping: false,
        failures: 17,
        quiet_ms: Some(11_900),
        fault: Some(Fault::new(kind, text)),
        took_ms: Some(4_000.0),
        database: None,
        counts: true,
    }
}

fn sight(replica: bool, position: u64) -> DatabaseSight {
    DatabaseSight {
        replica,
        read_only: replica,
        system: 7_291_007_004_112_345_678,
        timeline: 3,
        position,
        replayed: position,
        streaming: replica,
        heard: replica.then_some(Duration::from_millis(800)),
        lag: replica.then_some(Duration::from_millis(40)),
        upstream_name: replica.then(|| "do_west".into()),
        synchronous: Vec::new(),
        receivers: Vec::new(),
        slots_at_risk: Vec::new(),
    }
}

/// The agreed state of both apps.
pub fn agreed() -> Agreed {
    Agreed {
        apps: vec![Arc::new(blog_state()), Arc::new(shop_state(Phase::Promoting))],
        confirmed: crate::clock::now(),
        ..Agreed::default()
    }
}

/// The agreed state of `shop`, in this phase of its failover.
pub fn shop_state(phase: Phase) -> AppState {
    let second = (Phase::Promoting <= phase || phase == Phase::Idle).then(|| certificate(19));
    AppState {
        guards_since: 1,
        damping: Damping::default(),
        freeze: None,
        definition: Arc::new(definition("shop", &["aws-east", "do-west"], true)),
        revision: 2,
        epoch: Epoch(4),
        active: name(if phase == Phase::Promoting { "aws-east" } else { "do-west" }),
        phase,
        decision: Decision {
            epoch: Epoch(4),
            kind: DecisionKind::Failover,
            from: name("aws-east"),
            to: name("do-west"),
            by: name("ams-1"),
            reason: "4 of 5 voters in 2 regions saw aws-east down".into(),
            wall_ms: NIGHT,
            attempt: 1,
            candidates: vec![Candidate {
                name: name("orders"),
                system: 7_291_007_004_112_345_678,
                timeline: 3,
                position: 0x3_0000_0000,
            }],
            fence: BTreeMap::from([(
                name("orders"),
                FenceRecord {
                    proven: false,
                    text: "unproven: connection refused".into(),
                    position: None,
                },
            )]),
            loss_bytes: Some(0),
            loss_time: None,
            first: Some(certificate(17)),
            second,
        },
        claim: (phase != Phase::Idle).then(|| Claim { agent: name("fra-1"), instance: 9, term: 2 }),
        closed: false,
        left: vec![],
        lifetimes: Default::default(),
        sync: Default::default(),
        operations: Vec::new(),
        previous: [7; 32],
    }
}

/// The agreed state of `blog`.
pub fn blog_state() -> AppState {
    let stacks = ["hetzner-falkenstein", "ovh-gravelines"];
    AppState {
        definition: Arc::new(definition("blog", &stacks, false)),
        revision: 1,
        epoch: Epoch(1),
        active: name(stacks[0]),
        phase: Phase::Idle,
        decision: Decision {
            epoch: Epoch(1),
            kind: DecisionKind::Apply,
            from: name(stacks[0]),
            to: name(stacks[0]),
            by: name("nyc-1"),
            reason: "applied by alice".into(),
            wall_ms: NIGHT - 86_400_000,
            attempt: 0,
            candidates: Vec::new(),
            fence: BTreeMap::new(),
            loss_bytes: None,
            loss_time: None,
            first: None,
            second: None,
        },
        claim: None,
        closed: false,
        previous: [0; 32],
        ..shop_state(Phase::Idle)
    }
}

fn certificate(round: u64) -> Certificate {
    let ballot = Ballot { round, instance: 0x7be1 };
    let evidence = AGENTS[..4].iter().zip(1u128..).map(|(&(agent, region), number)| Evidence {
        statement: Statement {
            mesh: MeshId(0x7c1e_5ab0_936d_4f22_88a1_0f4c_5de0_b917),
            voters: 1,
            app: name("shop"),
            revision: 2,
            epoch: Epoch(3),
            ballot,
            acceptor: AcceptorId(number << 120),
            agent: name(agent),
            region: name(region),
            abstention: None,
            beliefs: stated(),
        },
        signature: vec![0x5a; 64],
    });
    Certificate { ballot, evidence: evidence.collect() }
}

fn stated() -> Vec<Belief> {
    shop_stacks()
        .iter()
        .flat_map(|stack| {
            stack.targets.iter().map(|target| {
                let belief = &target.beliefs[&name::<AgentId>("ams-1")];
                Belief {
                    target: TargetId {
                        app: name("shop"),
                        stack: stack.stack.clone(),
                        name: target.target.clone(),
                    },
                    health: belief.health,
                    qualified: belief.qualified,
                    flapping: false,
                    failures: belief.failures,
                    quiet: belief.quiet_ms.map(Duration::from_millis),
                    fault: belief.fault.clone(),
                    took: Some(Duration::from_millis(31)),
                    database: belief.database.clone().map(|sight| (sight, Duration::ZERO)),
                    advancing: false,
                    reached: true,
                    guard: None,
                }
            })
        })
        .collect()
}

/// An app, with a PostgreSQL at each of these stacks if it has databases.
pub fn definition(app: &str, stacks: &[&str], databases: bool) -> Definition {
    let stack = |stack: &&str| Stack {
        name: name(stack),
        site: name(stack),
        endpoints: (1..=if databases { 2 } else { 1 })
            .map(|number| Endpoint {
                name: name(&format!("web-{number}")),
                scheme: Scheme::Https,
                address: "198.51.100.10".into(),
                port: 443,
                path: "/healthz".into(),
                host: Some(format!("{app}.example.com")),
                expect: Expect { status: vec![200], body: None },
                authority: None,
            })
            .collect(),
        databases: databases
            .then(|| Database {
                name: name("orders"),
                engine: Engine::Postgres,
                address: "198.51.100.20".into(),
                port: 5432,
                credential: name("orders"),
                guard: None,
                view: Default::default(),
            })
            .into_iter()
            .collect(),
    };
    Definition {
        name: name(app),
        mode: if databases { Mode::Automatic } else { Mode::Shadow },
        cooldown: Duration::from_secs(900),
        regions: 2,
        probe: ProbePolicy {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(4),
            window: Duration::from_secs(8),
        },
        data: DataPolicy {
            max_loss_bytes: 0,
            max_loss_time: None,
            fencing: Fencing::BestEffort,
            lease: DataPolicy::LEASE,
            sync: 0,
        },
        zones: Vec::new(),
        stacks: stacks.iter().map(stack).collect(),
        records: Vec::new(),
        following: vec![],
    }
}

fn decision_view(decision: &Decision) -> DecisionView {
    super::explain::decision_view(decision)
}
