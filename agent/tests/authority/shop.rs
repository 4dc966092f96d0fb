//! An app with records of every kind, as agreed.

use std::sync::Arc;
use std::time::Duration;

use consensus::model::*;

fn record(name: &str, kind: RecordKind, east: &[RecordData], west: &[RecordData]) -> Record {
    Record {
        name: name.to_owned(),
        kind,
        ttl: 5,
        values: [
            ("east".parse().expect("a name"), east.to_vec()),
            ("west".parse().expect("a name"), west.to_vec()),
        ]
        .into(),
        driver: Driver::BuiltIn,
    }
}

fn address(text: &str) -> RecordData {
    RecordData::Address(text.parse().expect("an address"))
}

fn many() -> Vec<RecordData> {
    (0..120).map(|i| address(&format!("192.0.2.{i}"))).collect()
}

/// One that weighs three times what the other does.
fn heavy() -> [RecordData; 4] {
    ["1", "1", "2", "1"].map(|last| address(&format!("203.0.113.{last}")))
}

/// An app with records of every kind, as agreed at this epoch.
pub fn app(epoch: u32, active: &str) -> Arc<AppState> {
    let name = |text: &str| RecordData::Name(text.to_owned());
    let text = [RecordData::Text("v=1".to_owned())];
    let (east, west) = ([address("192.0.2.1")], [address("198.51.100.1")]);
    let glue = [address("203.0.113.53")];
    let alias = |target: &str| [name(target)];
    let wild = [RecordData::Text("wild".to_owned())];
    let service = [RecordData::Service {
        priority: 10,
        weight: 5,
        port: 5060,
        target: "ns1.shop.example".to_owned(),
    }];
    let authority = [RecordData::Authorization {
        flags: 0,
        tag: "issue".to_owned(),
        value: "ca.example".to_owned(),
    }];
    let binding = [RecordData::Binding {
        priority: 1,
        target: String::new(),
        parameters: [(1, b"\x02h2".to_vec())].into(),
    }];
    let mut hidden = record("other.shop.example", RecordKind::A, &east, &west);
    hidden.driver = Driver::Rfc2136 {
        server: "192.0.2.53:53".to_owned(),
        zone: "shop.example".to_owned(),
        credential: "dns-key".parse().expect("a name"),
    };
    let definition = Definition {
        name: "shop".parse().expect("a name"),
        mode: Mode::Automatic,
        cooldown: Duration::ZERO,
        regions: 2,
        probe: ProbePolicy {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(4),
            window: Duration::from_secs(8),
        },
        data: DataPolicy {
            max_loss_bytes: 0,
            max_loss_time: None,
            fencing: Fencing::DnsOnly,
            lease: DataPolicy::LEASE,
            sync: 0,
        },
        zones: vec![Zone {
            name: "shop.example".to_owned(),
            ns: vec!["ns1.shop.example".to_owned(), "ns2.example.net".to_owned()],
            contact: "host.master@shop.example".to_owned(),
        }],
        stacks: ["east", "west"]
            .map(|stack| Stack {
                name: stack.parse().expect("a name"),
                site: stack.parse().expect("a name"),
                endpoints: Vec::new(),
                databases: Vec::new(),
            })
            .into(),
        records: vec![
            record("shop.example", RecordKind::A, &east, &west),
            record("shop.example", RecordKind::Txt, &text, &text),
            record(
                "v6.shop.example",
                RecordKind::Aaaa,
                &[address("2001:db8::1")],
                &[address("2001:db8::2")],
            ),
            record("ns1.shop.example", RecordKind::A, &glue, &glue),
            record(
                "www.shop.example",
                RecordKind::Cname,
                &alias("shop.example"),
                &alias("v6.shop.example"),
            ),
            record(
                "out.shop.example",
                RecordKind::Cname,
                &alias("lb.example.net"),
                &alias("lb.example.net"),
            ),
            record(
                "lost.shop.example",
                RecordKind::Cname,
                &alias("no.shop.example"),
                &alias("no.shop.example"),
            ),
            record(
                "loop.shop.example",
                RecordKind::Cname,
                &alias("pool.shop.example"),
                &alias("pool.shop.example"),
            ),
            record(
                "pool.shop.example",
                RecordKind::Cname,
                &alias("loop.shop.example"),
                &alias("loop.shop.example"),
            ),
            record("_sip._tcp.shop.example", RecordKind::Srv, &service, &service),
            record("shop.example", RecordKind::Caa, &authority, &authority),
            record("web.shop.example", RecordKind::Https, &binding, &binding),
            record("*.wild.shop.example", RecordKind::Txt, &wild, &wild),
            record("deep.below.shop.example", RecordKind::A, &east, &west),
            record("many.shop.example", RecordKind::A, &many(), &many()),
            record("heavy.shop.example", RecordKind::A, &heavy(), &heavy()),
            record(
                "light.shop.example",
                RecordKind::Cname,
                &alias("heavy.shop.example"),
                &alias("heavy.shop.example"),
            ),
            hidden,
        ],
        following: vec![],
    };
    let active: StackId = active.parse().expect("a name");
    Arc::new(AppState {
        guards_since: 1,
        damping: Damping::default(),
        freeze: None,
        definition: Arc::new(definition),
        revision: 1,
        epoch: Epoch(epoch),
        active: active.clone(),
        phase: Phase::Idle,
        decision: Decision {
            epoch: Epoch(epoch),
            kind: DecisionKind::Apply,
            from: active.clone(),
            to: active,
            by: "a1".parse().expect("a name"),
            reason: String::new(),
            wall_ms: 0,
            attempt: 0,
            candidates: Vec::new(),
            fence: Default::default(),
            loss_bytes: None,
            loss_time: None,
            first: None,
            second: None,
        },
        claim: None,
        closed: false,
        left: vec![],
        lifetimes: Default::default(),
        sync: Default::default(),
        operations: Vec::new(),
        previous: [0; 32],
    })
}
