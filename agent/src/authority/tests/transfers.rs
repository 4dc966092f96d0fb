//! Signed requests that were tampered with: nobody is given a zone but by the very words that the key's holder signed.

use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use hickory_proto::rr::TSigner;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use super::fuzz::{bend, takes, told};
use super::*;
use crate::authority::Shared;
use crate::authority::copy::Copies;
use crate::authority::journal::Journal;
use crate::clock;

const REQUESTS: u64 = 20_000;

fn key(name: &str) -> TSigner {
    let name = Name::from_ascii(name).expect("a name");
    TSigner::new(vec![7; 32], TsigAlgorithm::HmacSha256, name, 300).expect("a key")
}

pub(super) fn shared() -> Shared {
    sharing(shop())
}

fn sharing(app: Arc<AppState>) -> Shared {
    let zones = Arc::new(Zones::new(&agreed(vec![app]), &extra()));
    Shared {
        copies: Copies::default(),
        table: ArcSwap::from_pointee(Table::new(&zones)),
        confirmed: AtomicU64::new(clock::now().as_micros()),
        seen: ArcSwap::default(),
        stale_after: Duration::from_secs(300),
        stopped: AtomicBool::new(false),
        master: [1; 32],
        limits: None,
        tcp: Arc::new(Tally::new(Transport::Tcp)),
        keys: vec![key("transfer-key.")],
        journal: watch::Sender::new(Arc::new(Journal::new(zones))),
        extra: extra(),
    }
}

/// Requests that are answered, and such as are refused: of another key, and of none.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let kinds = [RecordType::AXFR, RecordType::IXFR, RecordType::SOA, RecordType::A];
    let mut requests = Vec::new();
    for kind in kinds {
        for name in ["shop.example.", "eu.shop.example.", "example.net."] {
            let plain = question(name, kind);
            requests.push(bytes(&plain));
            for signer in ["transfer-key.", "stranger."] {
                let mut signed = plain.clone();
                signed.finalize(&key(signer), clock::wall_ms() / 1000).expect("signs");
                requests.push(bytes(&signed));
            }
        }
    }
    requests
}

/// How many records the answers hold.
fn records(messages: &[Vec<u8>]) -> usize {
    let count = |message: &Vec<u8>| usize::from(u16::from_be_bytes([message[6], message[7]]));
    messages.iter().map(count).sum()
}

fn ask_shared(shared: &Shared, packet: &[u8], transport: Transport) -> Vec<Vec<u8>> {
    let mut desk = shared.desk(Arc::new(Tally::new(transport)), transport);
    shared.refresh(&mut desk);
    let mut out = Vec::new();
    match desk.answer(packet, FROM, &mut out) {
        Outcome::Answered => vec![out],
        Outcome::Dropped => Vec::new(),
        Outcome::Special(query) => shared.respond(&mut desk, packet, &query, FROM, None),
    }
}

#[test]
fn nobody_is_given_a_zone_but_by_what_the_keys_holder_signed() {
    let count = told("QUORATE_PACKETS").map_or(REQUESTS, |packets| packets / 10);
    let seed = told("QUORATE_SEED").unwrap_or(1);
    let mut chance = StdRng::seed_from_u64(seed);
    let (shared, requests) = (shared(), requests());
    let whole = |message: &Vec<u8>| records(&ask_shared(&shared, message, Transport::Tcp));
    let most = requests.iter().map(whole).max().expect("there are requests");
    assert!(100 < most, "the key's holder is given the zone: {most} records");
    let (mut given, mut refused) = (0_u64, 0_u64);
    for number in 0..count {
        let mut packet = requests[chance.random_range(0..requests.len())].clone();
        bend(&mut packet, &requests, &mut chance);
        for transport in [Transport::Udp, Transport::Tcp] {
            let messages = ask_shared(&shared, &packet, transport);
            let room = takes(&packet).min(usize::from(DATAGRAM));
            let fits = messages.iter().all(|it| it.len() <= room) && messages.len() <= 1;
            assert!(
                transport == Transport::Tcp || fits,
                "request {number} of seed {seed}: {:?} octets, {room} at most: {packet:02x?}",
                messages.iter().map(Vec::len).collect::<Vec<_>>()
            );
            // The most that any single name holds here is less than half of a zone.
            if most / 2 < records(&messages) {
                given += 1;
                // The number of a message is not signed: whoever relays it may change it (RFC 8945 section 5.3.2).
                let known = requests.iter().any(|it| packet.get(2..) == it.get(2..));
                assert!(known, "request {number} of seed {seed}: {packet:02x?}");
            } else {
                refused += 1;
            }
        }
    }
    println!("{count} requests of seed {seed}: {given} zones given, {refused} other answers");
    assert!(0 < given && 0 < refused);
}

/// What does not fit beside the signature is left out, and said to be (RFC 8945 section 5.3).
#[test]
fn a_signed_answer_is_as_large_as_who_asks_can_take_and_no_larger() {
    let wide: Vec<_> = (0..40).map(|last| address(&format!("192.0.2.{last}"))).collect();
    let record = record("wide.shop.example", RecordKind::A, &wide);
    let shared = sharing(app(vec![zone("shop.example", &["ns.example.net"])], vec![record]));
    let (mut whole, mut cut) = (vec![], 0);
    for size in 512..=DATAGRAM {
        let mut message = with_edns(question("wide.shop.example.", RecordType::A), size, None);
        message.finalize(&key("transfer-key."), clock::wall_ms() / 1000).expect("signs");
        let packet = bytes(&message);
        assert_eq!(takes(&packet), usize::from(size));
        let messages = ask_shared(&shared, &packet, Transport::Udp);
        let [answer] = messages.as_slice() else { panic!("{size}: {messages:?}") };
        assert!(answer.len() <= usize::from(size), "{size}: {} octets", answer.len());
        let told = Message::from_vec(answer).expect("DNS");
        assert!(told.signature().is_some(), "{size}: it is signed");
        match (told.answers.len(), told.metadata.truncation) {
            (40, false) => whole.push((usize::from(size), answer.len())),
            (0, true) => cut += 1,
            other => panic!("{size}: {other:?}"),
        }
    }
    // As soon as there is room for all of it, and not an octet later.
    let (size, length) = *whole.first().expect("the largest takes it");
    assert_eq!(size, length);
    assert_eq!(cut, size - 512);
}
