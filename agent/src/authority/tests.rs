use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use consensus::model::*;
use consensus::moment::Moment;
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, Record as Answer, RecordType};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::answer::{Share, answer};
use super::cookie::Baker;
use super::counters::{Tally, Transport};
use super::desk::{DATAGRAM, Desk, Outcome};
use super::limit::Limits;
use super::sets::Status;
use super::table::Table;
use super::zones::{Extra, Zones};
use crate::run::Agreed;

mod amplify;
mod cookies;
mod copies;
mod framing;
mod fuzz;
mod handing;
mod revision;
mod stale;
mod transfers;
mod weights;

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 77));

fn record(name: &str, kind: RecordKind, data: &[RecordData]) -> Record {
    let values = [("east".parse().expect("a name"), data.to_vec())];
    Record { name: name.to_owned(), kind, ttl: 30, values: values.into(), driver: Driver::BuiltIn }
}

fn address(text: &str) -> RecordData {
    RecordData::Address(text.parse().expect("an address"))
}

fn alias(text: &str) -> RecordData {
    RecordData::Name(text.to_owned())
}

fn zone(name: &str, ns: &[&str]) -> Zone {
    Zone {
        name: name.to_owned(),
        ns: ns.iter().map(|&name| name.to_owned()).collect(),
        contact: "hostmaster@shop.example".to_owned(),
    }
}

fn app(zones: Vec<Zone>, records: Vec<Record>) -> Arc<AppState> {
    let east: StackId = "east".parse().expect("a name");
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
        zones,
        stacks: Vec::new(),
        records,
        following: vec![],
    };
    Arc::new(AppState {
        damping: Damping::default(),
        freeze: None,
        guards_since: 1,
        definition: Arc::new(definition),
        revision: 1,
        epoch: Epoch(1),
        active: east.clone(),
        phase: Phase::Idle,
        decision: Decision {
            epoch: Epoch(1),
            kind: DecisionKind::Apply,
            from: east.clone(),
            to: east,
            by: "a1".parse().expect("a name"),
            reason: String::new(),
            wall_ms: 0,
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
        left: vec![],
        lifetimes: Default::default(),
        sync: Default::default(),
        operations: Vec::new(),
        previous: [0; 32],
    })
}

fn heavy(last: &str) -> RecordData {
    address(&format!("198.51.100.{last}"))
}

/// Every shape that answers have: aliases in and out, wildcards, names between, a zone within a zone, weights.
fn shop() -> Arc<AppState> {
    use RecordKind::{A, Aaaa, Caa, Cname, Https, Srv, Txt};
    let many: Vec<_> = (0..90).map(|last| address(&format!("192.0.2.{last}"))).collect();
    app(
        vec![
            zone("shop.example", &["ns1.shop.example", "ns2.example.net"]),
            zone("eu.shop.example", &["ns1.shop.example", "ns.eu.shop.example"]),
        ],
        vec![
            record("shop.example", A, &[address("192.0.2.1"), address("192.0.2.2")]),
            record("shop.example", Aaaa, &[address("2001:db8::1")]),
            record("shop.example", Txt, &[RecordData::Text("v".repeat(600))]),
            record(
                "shop.example",
                Caa,
                &[RecordData::Authorization {
                    flags: 0,
                    tag: "issue".to_owned(),
                    value: "ca.example".to_owned(),
                }],
            ),
            record(
                "shop.example",
                Https,
                &[RecordData::Binding {
                    priority: 1,
                    target: String::new(),
                    parameters: [(1, b"\x02h2".to_vec())].into(),
                }],
            ),
            record("ns1.shop.example", A, &[address("203.0.113.53")]),
            record("ns.eu.shop.example", Aaaa, &[address("2001:db8::53")]),
            record("many.shop.example", A, &many),
            record(
                "_imap._tcp.shop.example",
                Srv,
                &[RecordData::Service {
                    priority: 1,
                    weight: 2,
                    port: 143,
                    target: "ns1.shop.example".to_owned(),
                }],
            ),
            record("www.shop.example", Cname, &[alias("shop.example")]),
            record("deep.shop.example", Cname, &[alias("x.wild.shop.example")]),
            record("out.shop.example", Cname, &[alias("lb.example.net")]),
            record("lost.shop.example", Cname, &[alias("no.eu.shop.example")]),
            record("loop.shop.example", Cname, &[alias("pool.shop.example")]),
            record("pool.shop.example", Cname, &[alias("loop.shop.example")]),
            record("*.wild.shop.example", A, &[address("192.0.2.9")]),
            record("*.wild.shop.example", Txt, &[RecordData::Text("any".to_owned())]),
            record("host.wild.shop.example", Txt, &[RecordData::Text("one".to_owned())]),
            record("a.between.wild.shop.example", Txt, &[RecordData::Text("two".to_owned())]),
            record("*.alias.shop.example", Cname, &[alias("www.shop.example")]),
            record("*.eu.shop.example", A, &[address("192.0.2.10")]),
            record("heavy.shop.example", A, &["1", "1", "2", "1"].map(heavy)),
            record("*.heavy.shop.example", A, &["1", "2", "3", "2"].map(heavy)),
            record("light.shop.example", Cname, &[alias("heavy.shop.example")]),
            record("*.light.shop.example", Cname, &[alias("x.heavy.shop.example")]),
        ],
    )
}

fn agreed(apps: Vec<Arc<AppState>>) -> Agreed {
    Agreed { apps, ..Agreed::default() }
}

fn extra() -> Extra {
    Extra { status: Status::Told, ..Extra::default() }
}

fn desk(table: Table, transport: Transport, rate: u32) -> Desk {
    let baker = Baker::new([1; 32], 1_800_000_000);
    let limits = Limits::new(rate).map(Arc::new);
    let mut desk =
        Desk::new(Arc::new(table), baker, limits, (Arc::new(Tally::new(transport)), transport));
    desk.now = Moment::from_micros(10_000_000);
    desk
}

fn shop_desk(transport: Transport) -> Desk {
    desk(Table::new(&Arc::new(Zones::new(&agreed(vec![shop()]), &extra()))), transport, 0)
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("encodes")
}

fn ask(desk: &mut Desk, packet: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match desk.answer(packet, FROM, &mut out) {
        Outcome::Answered => Some(out),
        Outcome::Dropped | Outcome::Special(_) => None,
    }
}

/// Records as they compare: owners and names without their case.
fn lines(records: &[Answer]) -> Vec<String> {
    records.iter().map(|record| record.to_string().to_ascii_lowercase()).collect()
}

fn labels() -> impl Strategy<Value = String> {
    const WORDS: [&str; 23] = [
        "shop",
        "example",
        "eu",
        "www",
        "deep",
        "out",
        "lost",
        "loop",
        "wild",
        "between",
        "a",
        "alias",
        "many",
        "host",
        "*",
        "ns1",
        "ns",
        "_tcp",
        "_imap",
        "net",
        "X",
        "Shop",
        "a-label-of-sixty-three-octets-which-is-as-long-as-any-can-ever-be",
    ];
    (
        vec(select(&WORDS[..22]), 0..5),
        select(
            &[
                "shop.example.",
                "eu.sHop.Example.",
                "wild.shop.example.",
                "heavy.shop.example.",
                "light.Shop.example.",
                "example.",
                "net.",
            ][..],
        ),
    )
        .prop_map(|(labels, end)| {
            labels.into_iter().map(|label| format!("{label}.")).collect::<String>() + end
        })
}

fn kinds() -> impl Strategy<Value = RecordType> {
    use RecordType::*;
    select(vec![A, AAAA, CNAME, TXT, SOA, NS, SRV, CAA, HTTPS, MX, ANY, PTR])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..Default::default() })]

    /// What is found and copied is what the zones mean, for every name and type: of weights one share each time, as often
    /// as its turns come. With signatures it is the same, and each set has one.
    #[test]
    fn prepared_answers_are_those_worked_out_for_the_question(
        name in labels(), kind in kinds(), signed in any::<bool>(),
    ) {
        thread_local! {
            static DESKS: RefCell<[(Arc<Zones>, Desk); 2]> = RefCell::new(
                [extra(), weights::signing(extra())].map(|extra| {
                    let zones = Arc::new(Zones::new(&agreed(vec![shop()]), &extra));
                    (zones.clone(), desk(Table::new(&zones), Transport::Tcp, 0))
                }),
            );
        }
        let asked = Name::from_ascii(&name).expect("a name");
        let mut packet = question(&name, kind);
        if signed {
            packet = weights::wants_signatures(packet);
        }
        DESKS.with_borrow_mut(|desks| {
            let (zones, desk) = &mut desks[usize::from(signed)];
            let order = answer(zones, &asked, kind, Share::All).order;
            let shares: Vec<_> = match &order {
                Some(order) => order.iter().copied().map(Share::One).collect(),
                None => vec![Share::All],
            };
            let mut seen = vec![0; shares.len()];
            let rounds = if order.is_some() { 40 } else { 1 };
            for _ in 0..rounds {
                let told = ask(desk, &bytes(&packet)).expect("an answer");
                let told = Message::from_vec(&told).expect("DNS");
                let means = |share: &&Share| {
                    let meant = answer(zones, &asked, kind, **share);
                    match signed {
                        true => weights::same_but_signed(&told, &meant),
                        false => weights::same(&told, &meant),
                    }
                };
                let share = shares.iter().find(means);
                prop_assert!(share.is_some(), "none of {shares:?}: {told}");
                for (seen, of) in seen.iter_mut().zip(&shares) {
                    *seen += i32::from(Some(of) == share);
                }
                // The case of the question comes back.
                prop_assert_eq!(told.queries[0].name().to_ascii(), name.clone());
                if let Some(first) = told.answers.first() {
                    prop_assert_eq!(first.name.to_ascii(), name.clone());
                }
            }
            for (seen, share) in seen.iter().zip(&shares) {
                let turns = shares.iter().filter(|other| *other == share).count();
                let due = (rounds * turns / shares.len()) as i32;
                prop_assert!((seen - due).abs() <= 2, "{share:?}: {seen} of {due}");
            }
            Ok(())
        })?;
    }
}

/// Packets: well-formed ones with bytes changed, added and lost.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let cookie = vec![1, 2, 3, 4, 5, 6, 7, 8];
    let seeds: Vec<Vec<u8>> = [
        question("shop.example.", RecordType::A),
        with_edns(question("x.wild.shop.example.", RecordType::TXT), 4096, None),
        with_edns(question("deep.shop.example.", RecordType::ANY), 512, Some(cookie)),
        question("many.shop.example.", RecordType::A),
    ]
    .iter()
    .map(bytes)
    .collect();
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (select(seeds), vec(change, 0..6)).prop_map(|(mut packet, changes)| {
        for (at, byte, how) in changes {
            if packet.is_empty() {
                break;
            }
            let at = at.index(packet.len());
            match how {
                0 => packet[at] ^= 1 << (byte % 8),
                1 => packet[at] = byte,
                2 => packet.truncate(at),
                _ => packet.insert(at, byte),
            }
        }
        packet
    })
}

fn with_edns(mut message: Message, size: u16, cookie: Option<Vec<u8>>) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size);
    if let Some(cookie) = cookie {
        edns.options_mut().insert(EdnsOption::Unknown(u16::from(EdnsCode::Cookie), cookie));
    }
    message.set_edns(edns);
    message
}

#[test]
fn any_packet_is_answered_within_its_limit_or_dropped() {
    let config = ProptestConfig { cases: 100_000, failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let desk = RefCell::new(shop_desk(Transport::Udp));
    let counts = RefCell::new(BTreeMap::<String, u32>::new());
    runner
        .run(&packets(), |packet| {
            let mut out = Vec::new();
            let told = match desk.borrow_mut().answer(&packet, FROM, &mut out) {
                Outcome::Answered => {
                    prop_assert!(out.len() <= usize::from(DATAGRAM));
                    prop_assert_eq!(&out[..2], &packet[..2]);
                    prop_assert!(out[2] & 0x80 != 0);
                    let answer = Message::from_vec(&out).expect("what we send can be read");
                    answer.metadata.response_code.to_string()
                }
                Outcome::Dropped => {
                    prop_assert!(out.is_empty());
                    prop_assert!(packet.len() < 12 || packet[2] & 0x80 != 0);
                    "dropped".to_owned()
                }
                Outcome::Special(_) => "special".to_owned(),
            };
            *counts.borrow_mut().entry(told).or_default() += 1;
            Ok(())
        })
        .expect("holds for every packet");
    println!("{:?}", counts.borrow());
}

#[test]
fn a_wildcard_answers_for_what_does_not_exist() {
    let mut desk = shop_desk(Transport::Udp);
    use RecordType::{A, AAAA, TXT};
    for (name, kind, code, answers) in [
        ("x.wild.shop.example.", A, ResponseCode::NoError, "192.0.2.9"),
        ("a.b.wild.shop.example.", TXT, ResponseCode::NoError, "any"),
        ("x.wild.shop.example.", AAAA, ResponseCode::NoError, ""),
        // What exists is not covered, nor is what lies below it, nor a name between.
        ("host.wild.shop.example.", A, ResponseCode::NoError, ""),
        ("x.host.wild.shop.example.", A, ResponseCode::NXDomain, ""),
        ("between.wild.shop.example.", A, ResponseCode::NoError, ""),
        ("x.between.wild.shop.example.", A, ResponseCode::NXDomain, ""),
        ("*.wild.shop.example.", A, ResponseCode::NoError, "192.0.2.9"),
        ("x.eu.shop.example.", A, ResponseCode::NoError, "192.0.2.10"),
    ] {
        let told = ask(&mut desk, &bytes(&question(name, kind))).expect("an answer");
        let told = Message::from_vec(&told).expect("DNS");
        assert_eq!(told.metadata.response_code, code, "{name}");
        let data: Vec<_> = told.answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!(data.join(" "), answers, "{name}");
        for record in &told.answers {
            assert_eq!(record.name.to_ascii(), name);
        }
    }
}

#[test]
fn a_flood_from_one_network_is_answered_rarely_and_shortly() {
    let mut desk = desk(
        Table::new(&Arc::new(Zones::new(&agreed(vec![shop()]), &extra()))),
        Transport::Udp,
        10,
    );
    let packet = bytes(&with_edns(question("many.shop.example.", RecordType::A), 4096, None));
    let (mut sent, mut whole, mut cut) = (0, 0, 0);
    for _ in 0..1_000 {
        let Some(told) = ask(&mut desk, &packet) else { continue };
        sent += told.len();
        // Ninety addresses do not fit a datagram: within the limit it is cut as well.
        match told.len() <= packet.len() {
            true => cut += 1,
            false => whole += 1,
        }
    }
    assert_eq!((whole, cut), (0, 10 + 495), "each second one above the limit");
    assert!(sent <= 1_000 * packet.len(), "no more comes out than went in");

    let packet = bytes(&question("shop.example.", RecordType::A));
    let told: Vec<_> = (0..1_000).filter_map(|_| ask(&mut desk, &packet)).collect();
    let whole = told.iter().filter(|told| told[2] & 2 == 0).count();
    assert_eq!((whole, told.len()), (10, 10 + 495));

    // Errors count together, and refusals too.
    let mut other = question("shop.example.", RecordType::A);
    other.metadata.op_code = OpCode::Status;
    let told = (0..1_000).filter_map(|_| ask(&mut desk, &bytes(&other))).count();
    assert_eq!(told, 10);
    let foreign = bytes(&question("example.org.", RecordType::A));
    let told = (0..1_000).filter_map(|_| ask(&mut desk, &foreign)).count();
    assert_eq!(told, 10 + 495);
}
