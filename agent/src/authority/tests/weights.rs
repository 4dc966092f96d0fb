//! Names whose addresses weigh differently: one address each time, as often as it weighs, signed or not.

use consensus::node::Handing;
use hickory_proto::rr::LowerName;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::handing::state;
use super::*;
use crate::authority::answer::Answer as Meant;
use crate::zone_key::{ZoneKey, ZoneKeys};

const QUERIES: i32 = 400;

/// The same, with keys for the shop's zone and the one within.
pub(super) fn signing(extra: Extra) -> Extra {
    signing_of(extra, &["shop.example.", "eu.shop.example."])
}

/// The same, with a key for the zones of these apexes.
pub(super) fn signing_of(extra: Extra, apexes: &[&str]) -> Extra {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let text = data_encoding::BASE64.encode(document.expect("randomness").as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    let keys = apexes.iter().map(|apex| ZoneKeys {
        apex: LowerName::new(&Name::from_ascii(apex).expect("a name")),
        keys: vec![ZoneKey::from_pem(&pem).expect("a key")],
    });
    Extra { keys: Arc::new(keys.collect()), ..extra }
}

pub(super) fn wants_signatures(mut message: Message) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    edns.set_dnssec_ok(true);
    message.set_edns(edns);
    message
}

/// Is this said?
pub(super) fn same(told: &Message, meant: &Meant) -> bool {
    told.metadata.response_code == meant.code
        && told.metadata.authoritative == meant.authoritative
        && lines(&told.answers) == lines(&meant.answers)
        && lines(&told.authorities) == lines(&meant.authorities)
        && lines(&told.additionals) == lines(&meant.additionals)
}

/// Is this said, with one signature for each set of ours, and a denial for what is not there?
pub(super) fn same_but_signed(told: &Message, meant: &Meant) -> bool {
    let added =
        |record: &&Answer| matches!(record.record_type(), RecordType::RRSIG | RecordType::NSEC);
    let without = |records: &[Answer]| -> Vec<Answer> {
        records.iter().filter(|record| !added(record)).cloned().collect()
    };
    let sets = |records: &[Answer]| {
        let plain = without(records);
        plain.chunk_by(|a, b| a.name == b.name && a.record_type() == b.record_type()).count()
    };
    let signatures = |records: &[Answer]| {
        records.iter().filter(|record| record.record_type() == RecordType::RRSIG).count()
    };
    let denials = usize::from(!meant.authorities.is_empty());
    lines(&without(&told.answers)) == lines(&meant.answers)
        && lines(&without(&told.authorities)) == lines(&meant.authorities)
        && signatures(&told.answers) == sets(&told.answers)
        && signatures(&told.authorities) == denials + sets(&told.authorities)
}

fn served(extra: &Extra, rate: u32) -> Desk {
    let zones = Arc::new(Zones::new(&agreed(vec![shop()]), extra));
    desk(Table::new(&zones), if rate == 0 { Transport::Tcp } else { Transport::Udp }, rate)
}

/// How often each address is the answer, if others ask for so much in between.
fn counted(desk: &mut Desk, asked: &Message, between: &[Message]) -> Vec<(String, i32)> {
    let mut counts = BTreeMap::new();
    for _ in 0..QUERIES {
        let told = Message::from_vec(&ask(desk, &bytes(asked)).expect("an answer")).expect("DNS");
        let kind = asked.queries[0].query_type();
        let mut of_kind = told.answers.iter().filter(|record| record.record_type() == kind);
        let (Some(one), None) = (of_kind.next(), of_kind.next()) else { panic!("{told}") };
        *counts.entry(one.data.to_string()).or_insert(0) += 1;
        for other in between {
            ask(desk, &bytes(other)).expect("an answer");
        }
    }
    counts.into_iter().collect()
}

/// Within a hundredth of all: which turn is first is drawn.
fn close(counts: &[(String, i32)], due: &[(&str, i32)]) -> bool {
    counts.len() == due.len()
        && counts.iter().zip(due).all(|((told, count), (address, due))| {
            told == address && (count - due).abs() <= QUERIES / 100
        })
}

#[test]
fn addresses_that_weigh_more_are_answered_with_more_often() {
    let mut state = AppState::clone(&state());
    let mut definition = Definition::clone(&state.definition);
    let [one, two] = [address("192.0.2.1"), address("192.0.2.2")];
    let values = vec![one.clone(), one.clone(), two.clone(), one.clone()];
    definition.records[0].values = [(state.active.clone(), values)].into();
    state.definition = Arc::new(definition);
    for (left_out, due) in [
        (&[][..], &[("192.0.2.1", 300), ("192.0.2.2", 100)][..]),
        (&["web-1"], &[("192.0.2.2", 400)]),
    ] {
        let place = |name: &&str| ("east".parse().expect("a name"), name.parse().expect("a name"));
        let left_out = left_out.iter().map(place).collect();
        let handing = vec![Arc::new(Handing { left_out, shortened: 0 })];
        let agreed = Agreed { apps: vec![Arc::new(state.clone())], handing, ..Agreed::default() };
        let zones = Arc::new(Zones::new(&agreed, &Extra::default()));
        let mut desk = desk(Table::new(&zones), Transport::Tcp, 0);
        let counts = counted(&mut desk, &question("shop.example.", RecordType::A), &[]);
        assert!(close(&counts, due), "{counts:?}");
    }
}

#[test]
fn weights_hold_at_aliases_and_wildcards_signed_or_not_whatever_is_asked_in_between() {
    let [of_heavy, below_heavy] = [
        &[("198.51.100.1", 300), ("198.51.100.2", 100)][..],
        &[("198.51.100.1", 100), ("198.51.100.2", 200), ("198.51.100.3", 100)],
    ];
    for (extra, signed) in [(extra(), false), (signing(extra()), false), (signing(extra()), true)] {
        let mut desk = served(&extra, 0);
        for (name, due) in [
            ("heavy.shop.example.", of_heavy),
            ("light.shop.example.", of_heavy),
            ("some.heavy.shop.example.", below_heavy),
            ("some.light.shop.example.", below_heavy),
        ] {
            let mut asked = question(name, RecordType::A);
            if signed {
                asked = wants_signatures(asked);
            }
            // Most askers want A and AAAA, one after the other.
            for between in 0..4 {
                let between = vec![question(name, RecordType::AAAA); between];
                let counts = counted(&mut desk, &asked, &between);
                let others = between.len();
                assert!(close(&counts, due), "{name}, {others} between, {signed}: {counts:?}");
            }
        }
    }
}

#[test]
fn what_is_signed_for_weights_is_one_answer_an_address_and_displaces_no_other() {
    let mut desk = served(&signing(extra()), 0);
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let asked = wants_signatures(question("heavy.shop.example.", RecordType::A));
        answers.insert(ask(&mut desk, &bytes(&asked)).expect("an answer"));
    }
    // Signatures are random: each address was signed once, however often it was said.
    assert_eq!(answers.len(), 2);
    let plain = wants_signatures(question("shop.example.", RecordType::A));
    let first = ask(&mut desk, &bytes(&plain));
    for number in 0..9_000 {
        let name = format!("x{number}.heavy.shop.example.");
        let asked = wants_signatures(question(&name, RecordType::A));
        ask(&mut desk, &bytes(&asked)).expect("an answer");
    }
    assert_eq!(ask(&mut desk, &bytes(&plain)), first);
}

#[test]
fn a_signed_flood_is_limited_as_one_whatever_names_it_asks_for() {
    for name in ["heavy.shop.example.", "not-there"] {
        let mut desk = served(&signing(extra()), 10);
        let mut whole = 0;
        for number in 0..1_000 {
            let name = match name {
                "not-there" => format!("x{number}.shop.example."),
                name => name.to_owned(),
            };
            let asked = wants_signatures(question(&name, RecordType::A));
            let told = ask(&mut desk, &bytes(&asked));
            whole += i32::from(told.is_some_and(|told| told[2] & 2 == 0));
        }
        assert_eq!(whole, 10, "{name}");
    }
}
