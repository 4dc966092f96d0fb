//! Packets that nobody would send: whatever comes, the server neither panics nor answers with more than it may.
//!
//! Queries of every shape are bent, cut, joined and filled with noise, and asked of zones that are signed and of the same
//! unsigned in turn. A hundred thousand of them each time; as many as `QUORATE_PACKETS` says by hand, with another start by
//! `QUORATE_SEED`.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::weights::signing;
use super::*;

const PACKETS: u64 = 100_000;
/// What an asker without EDNS can take (RFC 1035 section 4.2.1).
const CLASSIC: usize = 512;

pub(super) fn told(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Queries that mean something: all types at names that are there and that are not, with and without EDNS and cookies.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let names = [
        "shop.example.",
        "many.shop.example.",
        "www.shop.example.",
        "x.wild.shop.example.",
        "nothing.shop.example.",
        "loop.shop.example.",
        "eu.shop.example.",
        "example.net.",
        ".",
        "_status.shop.shop.example.",
        "a.b.c.d.e.f.g.h.shop.example.",
    ];
    let kinds = [
        RecordType::A,
        RecordType::AAAA,
        RecordType::TXT,
        RecordType::SOA,
        RecordType::NS,
        RecordType::ANY,
        RecordType::AXFR,
        RecordType::IXFR,
        RecordType::HTTPS,
        RecordType::DNSKEY,
    ];
    let mut seeds = Vec::new();
    for name in names {
        for kind in kinds {
            let plain = question(name, kind);
            seeds.push(bytes(&plain));
            for size in [0, 512, 1232, 65_535] {
                let mut message = plain.clone();
                let mut edns = Edns::new();
                edns.set_max_payload(size);
                edns.set_dnssec_ok(size == 1232);
                let cookie = EdnsOption::Unknown(10, vec![7; if size == 512 { 8 } else { 24 }]);
                edns.options_mut().insert(cookie);
                message.edns = Some(edns);
                seeds.push(bytes(&message));
            }
        }
    }
    seeds
}

/// One more or less of everything that can be wrong with a packet.
pub(super) fn bend(packet: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut StdRng) {
    for _ in 0..chance.random_range(0..6) {
        let at = chance.random_range(0..packet.len().max(1));
        match chance.random_range(0..9) {
            0 if at < packet.len() => packet[at] ^= 1 << chance.random_range(0..8),
            1 if at < packet.len() => packet[at] = chance.random(),
            2 => packet.truncate(at),
            3 => packet.insert(at.min(packet.len()), chance.random()),
            // A pointer, anywhere and to anywhere (RFC 1035 section 4.1.4).
            4 if at + 1 < packet.len() => {
                packet[at] = 0xc0 | chance.random::<u8>() & 0x3f;
                packet[at + 1] = chance.random();
            }
            // Counts that promise more than there is.
            5 if 12 <= packet.len() => {
                packet[4 + chance.random_range(0..8)] = chance.random();
            }
            6 => {
                let other = &seeds[chance.random_range(0..seeds.len())];
                packet.extend_from_slice(&other[other.len().min(12)..]);
            }
            7 => packet.extend((0..chance.random_range(0..600)).map(|_| chance.random::<u8>())),
            // Lengths of labels and options that lie.
            8 if at < packet.len() => packet[at] = [0, 1, 63, 64, 127, 128, 192, 255][at % 8],
            _ => {}
        }
    }
}

/// What the asker says it can take, if it is an ordinary query.
pub(super) fn takes(packet: &[u8]) -> usize {
    use crate::authority::query::{Packet, read};
    match read(packet) {
        Packet::Plain(query) | Packet::Special(query) => {
            query.edns.map_or(CLASSIC, |edns| usize::from(edns.size).max(CLASSIC))
        }
        Packet::Noise | Packet::Broken(..) | Packet::Greeting(..) | Packet::Foreign(_) => CLASSIC,
    }
}

#[test]
fn no_packet_breaks_the_server_and_no_answer_is_larger_than_it_may_be() {
    let (packets, seed) =
        (told("QUORATE_PACKETS").unwrap_or(PACKETS), told("QUORATE_SEED").unwrap_or(1));
    let mut chance = StdRng::seed_from_u64(seed);
    let seeds = seeds();
    let mut desks = [extra(), signing(extra())].map(|extra| {
        let zones = Arc::new(Zones::new(&agreed(vec![shop()]), &extra));
        desk(Table::new(&zones), Transport::Udp, 0)
    });
    let (mut out, mut answered, mut dropped, mut special) = (Vec::new(), 0_u64, 0_u64, 0_u64);
    let (mut received, mut sent, mut worst) = (0_u64, 0_u64, 0.0_f64);
    for number in 0..packets {
        let mut packet = seeds[chance.random_range(0..seeds.len())].clone();
        bend(&mut packet, &seeds, &mut chance);
        out.clear();
        let desk = &mut desks[usize::from(number % 2 == 1)];
        received += packet.len() as u64;
        match desk.answer(&packet, FROM, &mut out) {
            Outcome::Answered => answered += 1,
            Outcome::Dropped => dropped += 1,
            Outcome::Special(query) => {
                special += 1;
                out = desk.refuse(&query);
            }
        }
        let most = takes(&packet).min(usize::from(DATAGRAM));
        assert!(
            out.len() <= most,
            "packet {number} of seed {seed}: {} bytes, {most} at most: {packet:02x?}",
            out.len()
        );
        if !out.is_empty() {
            assert_eq!(out[..2], packet[..2], "packet {number} of seed {seed} keeps its number");
            assert!(
                out[2] & 0x80 != 0,
                "packet {number} of seed {seed} is answered with an answer"
            );
            worst = worst.max(out.len() as f64 / packet.len() as f64);
        }
        sent += out.len() as u64;
    }
    println!(
        "{packets} packets of seed {seed}: {answered} answered, {dropped} dropped, {special} special; {received} bytes in, \
         {sent} out, at most {worst:.1} times what came"
    );
}

/// Whoever forges somebody's address gets him less than it sends: a flood of one query, and one of names that do not exist.
#[test]
fn a_flood_with_a_forged_sender_reaches_its_victim_smaller_than_it_was() {
    let zones = Arc::new(Zones::new(&agreed(vec![shop()]), &extra()));
    for name in ["many.shop.example.", "shop.example.", "*.shop.example."] {
        let mut desk = desk(Table::new(&zones), Transport::Udp, 200);
        let (mut received, mut sent) = (0, 0);
        // Twenty thousand a second for a second.
        for number in 0..20_000_u64 {
            desk.now = Moment::from_micros(10_000_000 + number * 50);
            let name = name.replace('*', &format!("n{number}"));
            let packet = bytes(&question(&name, RecordType::A));
            received += packet.len();
            sent += ask(&mut desk, &packet).map_or(0, |answer| answer.len());
        }
        println!("{name}: {received} bytes in, {sent} out");
        assert!(sent < received, "{name}: {received} bytes in, {sent} out");
    }
}
