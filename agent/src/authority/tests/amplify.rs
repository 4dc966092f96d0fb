//! How much more comes out than went in, over UDP: every kind of question at every name of a zone that is meant to be bad.
//!
//! A forged sender can ask whatever it likes, so what counts is the worst answer, not the usual one. Two numbers bound it:
//! [`DATAGRAM`], which no answer exceeds, and the rate limit, above which a network gets less than it sent. Who returns our
//! cookie has the address that it claims, and is let through.

use super::weights::signing_of;
use super::*;

/// No answer to a packet is larger than this many times the packet. The shortest question with EDNS at a name of eight
/// octets has 35, and 1,232 are 35.2 times that; a longer name lowers it. The root's own would have 44.
const WITH_EDNS: f64 = 35.3;
/// The same without EDNS, and so without signatures: 512 octets to 24.
const WITHOUT: f64 = 21.4;
/// The shortest apex that is likely to be delegated to anybody.
const APEX: &str = "bad.ch.";

/// Kinds of question: every one that has a meaning, and some that have none.
const KINDS: [u16; 34] = [
    0, 1, 2, 5, 6, 10, 12, 13, 15, 16, 17, 18, 24, 25, 28, 29, 33, 35, 39, 41, 43, 44, 46, 47, 48,
    50, 51, 52, 64, 65, 99, 255, 257, 65_280,
];

/// All that makes answers large: many values, long texts, long names, aliases after aliases, and servers with addresses.
fn bad() -> (Arc<AppState>, Vec<String>) {
    use RecordKind::{A, Aaaa, Caa, Cname, Https, Srv, Txt};
    let long =
        |place: usize| format!("{0}{place}.{0}.{0}.{1}.bad.ch", "l".repeat(60), "m".repeat(40));
    let v4: Vec<_> = (1..=64).map(|last| address(&format!("192.0.2.{last}"))).collect();
    // As many as just fit, with and without a signature behind them.
    let some = |count: usize| v4[..count].to_vec();
    let v6: Vec<_> = (1..=64).map(|last| address(&format!("2001:db8::{last}"))).collect();
    let service = |place: usize| RecordData::Service {
        priority: 1,
        weight: 1,
        port: 1,
        target: format!("n{}.bad.ch", place % 8),
    };
    let caa =
        RecordData::Authorization { flags: 0, tag: "issue".to_owned(), value: "c".repeat(200) };
    let binding = RecordData::Binding {
        priority: 1,
        target: String::new(),
        parameters: [(1, vec![2; 300]), (5, vec![3; 300])].into(),
    };
    let text = |length: usize| [RecordData::Text("t".repeat(length))];
    let mut records = vec![
        record("bad.ch", A, &v4),
        record("bad.ch", Aaaa, &v6),
        record("bad.ch", Txt, &text(1_100)),
        record("bad.ch", Caa, &[caa]),
        record("bad.ch", Https, &[binding]),
        record("t.bad.ch", Txt, &text(2_000)),
        record("s.bad.ch", Srv, &(0..20).map(service).collect::<Vec<_>>()),
        record("*.w.bad.ch", A, &some(30)),
        record("*.w.bad.ch", Txt, &text(400)),
        record(&long(0), A, &v4),
        record("a0.bad.ch", Cname, &[alias(&long(1))]),
        record(&long(7), A, &some(20)),
    ];
    for place in 1..7 {
        records.push(record(&long(place), Cname, &[alias(&long(place + 1))]));
    }
    for count in 1..64 {
        records.push(record(&format!("v{count}.bad.ch"), A, &some(count)));
        records.push(record(&format!("v{count}.bad.ch"), Aaaa, &v6[..count]));
        records.push(record(&format!("v{count}.bad.ch"), Txt, &text(count * 18)));
    }
    for place in 0..8 {
        records.push(record(&format!("n{place}.bad.ch"), A, &v4));
        records.push(record(&format!("n{place}.bad.ch"), Aaaa, &v6));
    }
    let mut names: Vec<String> = records.iter().map(|it| it.name.replace('*', "x")).collect();
    names.extend(["no.bad.ch", "x.y.z.no.bad.ch", "w.bad.ch", "t.bad.ch"].map(str::to_owned));
    names.push(format!("no.{}", long(9)));
    names.sort();
    names.dedup();
    let servers: Vec<_> = (0..8).map(|place| format!("n{place}.bad.ch")).collect();
    let servers: Vec<_> = servers.iter().map(String::as_str).collect();
    (app(vec![zone("bad.ch", &servers)], records), names)
}

fn bad_desk(signed: bool, rate: u32) -> (Desk, Vec<String>) {
    let (state, names) = bad();
    let extra = if signed { signing_of(extra(), &[APEX]) } else { extra() };
    let zones = Arc::new(Zones::new(&agreed(vec![state]), &extra));
    assert_eq!(zones.notes, Vec::<String>::new());
    (desk(Table::new(&zones), Transport::Udp, rate), names)
}

/// Every question, as small as its sender can make it: without EDNS, with EDNS, and with signatures wanted.
fn questions(names: &[String]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for name in names {
        for kind in KINDS.map(RecordType::from) {
            let plain = question(&format!("{name}."), kind);
            all.push(bytes(&plain));
            for dnssec in [false, true] {
                let mut message = plain.clone();
                let mut edns = Edns::new();
                edns.set_max_payload(u16::MAX);
                edns.set_dnssec_ok(dnssec);
                message.set_edns(edns);
                all.push(bytes(&message));
            }
        }
    }
    all
}

/// The largest answers, by how much larger than its question each is.
#[test]
fn no_answer_is_larger_than_so_many_times_its_question() {
    for signed in [false, true] {
        let (mut desk, names) = bad_desk(signed, 0);
        // The largest without EDNS, and with it: times, octets out, octets in, and the question.
        let mut worst = [(0.0, 0, 0, Vec::new()), (0.0, 0, 0, Vec::new())];
        let (mut asked, mut received, mut sent) = (0, 0, 0);
        for packet in questions(&names) {
            let told = ask(&mut desk, &packet).expect("an answer");
            let has_edns = packet[11] == 1;
            let most = if has_edns { usize::from(DATAGRAM) } else { 512 };
            assert!(told.len() <= most, "{} octets: {packet:02x?}", told.len());
            let times = told.len() as f64 / packet.len() as f64;
            (asked, received, sent) = (asked + 1, received + packet.len(), sent + told.len());
            let worst = &mut worst[usize::from(has_edns)];
            if worst.0 < times {
                *worst = (times, told.len(), packet.len(), packet);
            }
        }
        let mean = sent as f64 / received as f64;
        println!("signed {signed}: {asked} questions, {mean:.1} times as much in the mean");
        for ((times, out, came, packet), limit) in worst.into_iter().zip([WITHOUT, WITH_EDNS]) {
            let asked = Message::from_vec(&packet).expect("DNS");
            println!("  most: {times:.1} times, {out} octets to {came}: {}", asked.queries[0]);
            assert!(times <= limit, "{times} times: {asked}");
            // Bad enough to show what the bound is for.
            assert!(limit * 0.7 < times, "{times} times: {asked}");
        }
    }
}

/// What a forged sender's network gets at the most, whatever is sent in its name: so many whole answers a second as the limit
/// says, one second's worth more, and for each second packet beyond an empty one that is no longer.
#[test]
fn whoever_is_flooded_in_somebodys_name_gets_no_more_than_the_limit_lets_through() {
    use RecordType::{A, ANY, DNSKEY, NS, TXT};
    const RATE: u64 = 200;
    const SECONDS: u64 = 10;
    for signed in [false, true] {
        for (kind, a_second) in
            [A, TXT, NS, DNSKEY, ANY].map(|it| [(it, 1_000), (it, 20_000)]).concat()
        {
            let (mut desk, _) = bad_desk(signed, RATE as u32);
            let mut message = question(APEX, kind);
            let mut edns = Edns::new();
            edns.set_max_payload(u16::MAX);
            edns.set_dnssec_ok(true);
            message.set_edns(edns);
            let packet = bytes(&message);
            let (mut received, mut sent) = (0, 0);
            for number in 0..a_second * SECONDS {
                desk.now = Moment::from_micros(10_000_000 + number * 1_000_000 / a_second);
                received += packet.len();
                sent += ask(&mut desk, &packet).map_or(0, |told| told.len());
            }
            println!(
                "signed {signed}, {kind}, {a_second} a second: {received} octets in, {sent} out"
            );
            let whole = (RATE * (SECONDS + 1)) as usize * usize::from(DATAGRAM);
            assert!(
                sent <= whole + received / 2,
                "signed {signed}, {kind}: {received} in, {sent} out"
            );
            // A flood that could hurt anybody reaches him smaller than it was.
            assert!(a_second < 20_000 || sent < received, "signed {signed}, {kind}: {sent} out");
        }
    }
}
