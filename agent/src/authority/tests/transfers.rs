//! Signed requests that were tampered with: nobody is given a zone but by the very words that the key's holder signed.

use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use hickory_proto::rr::TSigner;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use super::fuzz::{bend, told};
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
    let zones = Arc::new(Zones::new(&agreed(vec![shop()]), &extra()));
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
    let (count, seed) =
        (told("QUORATE_PACKETS").unwrap_or(REQUESTS), told("QUORATE_SEED").unwrap_or(1));
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
            assert!(transport == Transport::Tcp || messages.len() <= 1, "request {number}");
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
