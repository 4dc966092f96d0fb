//! The built-in DNS server, asked by dig and by packets of our own making.

mod common;

#[path = "authority/batches.rs"]
mod batches;
#[path = "authority/connections.rs"]
mod connections;
#[path = "authority/notified.rs"]
mod notified;
#[path = "authority/secondary.rs"]
mod secondary;
#[path = "authority/shop.rs"]
mod shop;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::authority::{self, Authority, StartError, Transport};
use agent::clock;
use agent::config::{self, DnsConfig};
use agent::run::Agreed;
use common::named::dig;
use common::{PATIENCE, eventually};
use consensus::model::{AppState, SHORTENED_MOST};
use consensus::moment::Moment;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use hickory_proto::rr::{DNSClass, Name, RData, Record as Answer, RecordType, TSigner};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use secondary::Secondary;
use shop::app;
use tokio::sync::watch;

type Sender = watch::Sender<Arc<Agreed>>;

fn agreed(apps: &[Arc<AppState>]) -> Arc<Agreed> {
    Arc::new(Agreed { apps: apps.to_vec(), confirmed: clock::now(), ..Agreed::default() })
}

fn config(stale_after: Duration) -> DnsConfig {
    DnsConfig {
        listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        stale_after,
        rate_limit: 0,
        threads: 2,
        status: true,
        secondaries: Vec::new(),
        signing: Default::default(),
    }
}

/// A key that secondaries sign with.
fn key(secret: &[u8]) -> TSigner {
    let name = Name::from_ascii(format!("{}.", secondary::KEY)).expect("a name");
    TSigner::new(secret.to_vec(), TsigAlgorithm::HmacSha256, name, 300).expect("a key")
}

/// Answers, and gives zones to those who hold the key.
fn serve_secondaries(addresses: &[SocketAddr]) -> (Authority, SocketAddr, Sender) {
    let (sender, receiver) = watch::channel(agreed(&[app(1, "east")]));
    let mut config = config(Duration::from_secs(300));
    config.secondaries = addresses
        .iter()
        .map(|&address| config::Secondary { address, key: key(secondary::SECRET) })
        .collect();
    let authority = authority::start(&config, receiver).expect("a free port");
    let address = authority.addresses()[0];
    (authority, address, sender)
}

fn serve(stale_after: Duration) -> (Authority, SocketAddr, Sender) {
    serve_at(Ipv4Addr::LOCALHOST.into(), stale_after)
}

fn serve_at(local: IpAddr, stale_after: Duration) -> (Authority, SocketAddr, Sender) {
    let config = DnsConfig { listen: vec![(local, 0).into()], ..config(stale_after) };
    let (sender, receiver) = watch::channel(agreed(&[app(1, "east")]));
    let authority = authority::start(&config, receiver).expect("a free port");
    let address = authority.addresses()[0];
    assert_ne!(address.port(), 0);
    (authority, address, sender)
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

fn with_edns(mut message: Message, size: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size);
    message.set_edns(edns);
    message
}

/// Sends a packet; the answer, or `None` if none came.
fn ask_raw(server: SocketAddr, packet: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(patience)).expect("a limit");
    socket.connect(server).expect("loopback");
    socket.send(packet).expect("loopback");
    let mut answer = vec![0; 65_535];
    let length = socket.recv(&mut answer).ok()?;
    answer.truncate(length);
    Some(answer)
}

fn ask(server: SocketAddr, message: &Message) -> Message {
    let packet = message.to_vec().expect("encodes");
    let answer = ask_raw(server, &packet, PATIENCE).expect("an answer");
    Message::from_vec(&answer).expect("DNS")
}

fn ask_tcp(stream: &mut TcpStream, message: &Message) -> std::io::Result<Message> {
    let packet = message.to_vec().expect("encodes");
    stream.write_all(&(packet.len() as u16).to_be_bytes())?;
    stream.write_all(&packet)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(Message::from_vec(&answer).expect("DNS"))
}

fn data(records: &[Answer]) -> Vec<String> {
    records.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_question_gets_its_kind_of_answer() {
    use RecordType::*;
    let (_authority, server, _sender) = serve(Duration::from_secs(300));
    let none: [&str; 0] = [];
    let soa = ["ns1.shop.example. host\\.master.shop.example. 5 300 60 604800 60"];
    for (name, kind, code, answers, authorities) in [
        ("shop.example.", A, ResponseCode::NoError, &["192.0.2.1"][..], &none[..]),
        ("shop.example.", TXT, ResponseCode::NoError, &["v=1"], &none),
        ("v6.shop.example.", AAAA, ResponseCode::NoError, &["2001:db8::1"], &none),
        ("shop.example.", SOA, ResponseCode::NoError, &soa, &none),
        (
            "shop.example.",
            NS,
            ResponseCode::NoError,
            &["ns1.shop.example.", "ns2.example.net."],
            &none,
        ),
        ("www.shop.example.", A, ResponseCode::NoError, &["shop.example.", "192.0.2.1"], &none),
        ("www.shop.example.", CNAME, ResponseCode::NoError, &["shop.example."], &none),
        ("www.shop.example.", AAAA, ResponseCode::NoError, &["shop.example."], &soa),
        ("out.shop.example.", A, ResponseCode::NoError, &["lb.example.net."], &none),
        ("lost.shop.example.", A, ResponseCode::NXDomain, &["no.shop.example."], &soa),
        ("shop.example.", AAAA, ResponseCode::NoError, &none, &soa),
        ("shop.example.", MX, ResponseCode::NoError, &none, &soa),
        ("below.shop.example.", A, ResponseCode::NoError, &none, &soa),
        ("no.shop.example.", A, ResponseCode::NXDomain, &none, &soa),
        ("other.shop.example.", A, ResponseCode::NXDomain, &none, &soa),
        ("below.shop.example.", ANY, ResponseCode::NoError, &none, &soa),
        ("www.shop.example.", ANY, ResponseCode::NoError, &["shop.example."], &none),
        ("example.", A, ResponseCode::Refused, &none, &none),
        ("notshop.example.", A, ResponseCode::Refused, &none, &none),
        (".", NS, ResponseCode::Refused, &none, &none),
        ("shop.example.", AXFR, ResponseCode::Refused, &none, &none),
    ] {
        let answer = ask(server, &question(name, kind));
        assert_eq!(answer.metadata.response_code, code, "{name} {kind}");
        assert_eq!(data(&answer.answers), answers, "{name} {kind}");
        assert_eq!(data(&answer.authorities), authorities, "{name} {kind}");
        // What is not there is believed for as long as the zone's last number says, and no longer (RFC 2308, section 5).
        assert!(answer.authorities.iter().all(|record| record.ttl == 60), "{name} {kind}");
        assert_eq!(answer.metadata.authoritative, code != ResponseCode::Refused, "{name} {kind}");
        assert!(!answer.metadata.recursion_available && !answer.metadata.truncation);
        assert!(answer.edns.is_none(), "{name} {kind}: no EDNS was offered");
        assert_eq!((answer.metadata.id, answer.queries.len()), (4711, 1));
    }
    let servers = ask(server, &question("shop.example.", NS));
    assert_eq!(data(&servers.additionals), ["203.0.113.53"]);
    let any = ask(server, &question("shop.example.", ANY));
    assert_eq!(any.answers.len(), 1);
    assert_eq!(any.answers[0].record_type(), HINFO);
    let round = ask(server, &question("loop.shop.example.", A));
    assert!(round.answers.len() < 20, "{round}");

    // The case of the question comes back, in the question and in the answer.
    let cased = ask(server, &question("ShOp.eXample.", A));
    assert_eq!(cased.queries[0].name().to_ascii(), "ShOp.eXample.");
    assert_eq!(cased.answers[0].name.to_ascii(), "ShOp.eXample.");
    assert_eq!(cased.answers[0].ttl, 5);

    assert_eq!(dig(server, &["www.shop.example", "A"]), ["192.0.2.1", "shop.example."]);
    assert_eq!(dig(server, &["+tcp", "shop.example", "TXT"]), ["\"v=1\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plain_query_is_told_so_or_ignored() {
    let (authority, server, _sender) = serve(Duration::from_secs(300));
    let plain = || question("shop.example.", RecordType::A);
    for opcode in [OpCode::Status, OpCode::Notify, OpCode::Update] {
        let mut message = plain();
        message.metadata.op_code = opcode;
        let code = ask(server, &message).metadata.response_code;
        assert_eq!(code, ResponseCode::NotImp, "{opcode:?}");
    }
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(ask(server, &chaos).metadata.response_code, ResponseCode::Refused);

    let mut future = with_edns(plain(), 4096);
    future.edns.as_mut().expect("set").set_version(1);
    let answer = ask(server, &future);
    // 16 is BADVERS here and BADSIG in a signature; hickory reads it as the latter.
    assert_eq!(u16::from(answer.metadata.response_code), u16::from(ResponseCode::BADVERS));
    assert_eq!(answer.edns.as_ref().map(|edns| edns.version()), Some(0));

    let mut two = plain();
    two.add_query(two.queries[0].clone());
    let bytes = |message: &Message| message.to_vec().expect("encodes");
    let mut greedy = bytes(&plain());
    greedy[4..6].copy_from_slice(&u16::MAX.to_be_bytes());
    let cut = bytes(&plain())[..20].to_vec();
    for packet in [bytes(&two), greedy, cut] {
        let answer = ask_raw(server, &packet, PATIENCE).expect("an answer");
        let answer = Message::from_vec(&answer).expect("DNS");
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr, "{packet:?}");
        assert_eq!(answer.metadata.id, 4711);
    }

    let mut response = plain();
    response.metadata.message_type = MessageType::Response;
    let before = authority.counters().dropped(Transport::Udp);
    let short = Duration::from_millis(50);
    for packet in [bytes(&response), bytes(&plain())[..11].to_vec(), Vec::new()] {
        assert_eq!(ask_raw(server, &packet, short), None, "{packet:?}");
    }
    assert_eq!(authority.counters().dropped(Transport::Udp), before + 3);
    let counted = |code: &str| {
        let mut all = authority.counters().answers();
        all.find(|(by, named, _)| *by == Transport::Udp && *named == code).map(|found| found.2)
    };
    assert_eq!(counted("notimp"), Some(3));
    assert_eq!(counted("formerr"), Some(3));
    assert_eq!(counted("badvers"), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let (authority, server, _sender) = serve(Duration::from_secs(300));
    let long = || question("many.shop.example.", RecordType::A);
    for (offered, limit) in [(None, 512), (Some(100), 512), (Some(1232), 1232), (Some(4096), 1232)]
    {
        let message = match offered {
            None => long(),
            Some(size) => with_edns(long(), size),
        };
        let packet = message.to_vec().expect("encodes");
        let answer = ask_raw(server, &packet, PATIENCE).expect("an answer");
        assert!(answer.len() <= limit, "{offered:?}: {}", answer.len());
        let answer = Message::from_vec(&answer).expect("DNS");
        assert!(answer.metadata.truncation, "{offered:?}");
        assert_eq!(answer.edns.map(|edns| edns.max_payload()), offered.map(|_| 1232));
    }
    assert_eq!(authority.counters().truncated(), 4);
    let mut stream = TcpStream::connect(server).expect("accepted");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    for _ in 0..3 {
        let answer = ask_tcp(&mut stream, &long()).expect("an answer");
        assert!(!answer.metadata.truncation);
        assert_eq!(answer.answers.len(), 120);
    }
    // dig, and so every resolver, turns to TCP by itself.
    assert_eq!(dig(server, &["many.shop.example", "A"]).len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_answered_at_once_and_the_serial_grows() {
    let (_authority, server, sender) = serve(Duration::from_secs(300));
    let serial = || {
        let answer = ask(server, &question("shop.example.", RecordType::SOA));
        let text = data(&answer.answers).remove(0);
        text.split(' ').nth(2).expect("a serial").parse::<u32>().expect("a number")
    };
    let where_now = || data(&ask(server, &question("shop.example.", RecordType::A)).answers);
    let first = serial();
    assert_eq!(where_now(), ["192.0.2.1"]);

    let began = Instant::now();
    sender.send_replace(agreed(&[app(2, "west")]));
    eventually("the answer moves", async || (where_now() == ["198.51.100.1"]).then_some(())).await;
    println!("moved within {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(250));
    assert!(first < serial());
    assert_eq!(dig(server, &["www.shop.example", "AAAA"]), ["2001:db8::2", "v6.shop.example."]);

    sender.send_replace(agreed(&[]));
    let gone = || ask(server, &question("shop.example.", RecordType::A)).metadata.response_code;
    eventually("the zone goes", async || (gone() == ResponseCode::Refused).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_nobody_confirms_become_servfail_until_somebody_does() {
    // Saved long ago, by an agent that has just been started: answered from its start on.
    let config = config(Duration::from_millis(400));
    let saved = Agreed { apps: vec![app(1, "east")], confirmed: Moment::ZERO, ..Agreed::default() };
    let (sender, receiver) = watch::channel(Arc::new(saved));
    let authority = authority::start(&config, receiver).expect("a free port");
    let server = authority.addresses()[0];
    let code = |name: &str| ask(server, &question(name, RecordType::A)).metadata.response_code;
    assert_eq!(code("shop.example."), ResponseCode::NoError);
    let stale = async || (code("shop.example.") == ResponseCode::ServFail).then_some(());
    eventually("nobody confirms", stale).await;
    assert_eq!(code("no.shop.example."), ResponseCode::ServFail);
    assert_eq!(code("example.org."), ResponseCode::Refused);

    let apps = sender.borrow().apps.clone();
    sender.send_replace(agreed(&apps));
    let fresh = async || (code("shop.example.") == ResponseCode::NoError).then_some(());
    eventually("somebody confirms", fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_survived() {
    let (authority, server, _sender) = serve(Duration::from_secs(300));
    let mut chance = StdRng::seed_from_u64(2136);
    let seeds: Vec<_> = [
        question("shop.example.", RecordType::A),
        with_edns(question("www.shop.example.", RecordType::AAAA), 4096),
        with_edns(question("deep.below.shop.example.", RecordType::ANY), 512),
    ]
    .iter()
    .map(|message| message.to_vec().expect("encodes"))
    .collect();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server).expect("loopback");
    socket.set_nonblocking(true).expect("a socket");
    let mut answer = [0; 65_535];
    for round in 0..20_000_u32 {
        let mut packet = seeds[round as usize % seeds.len()].clone();
        for _ in 0..chance.random_range(1..6) {
            let at = chance.random_range(0..packet.len());
            match chance.random_range(0..4) {
                0 => packet[at] ^= 1 << chance.random_range(0..8),
                1 => packet[at] = chance.random(),
                2 => packet.truncate(at.max(1)),
                _ => packet.insert(at, chance.random()),
            }
        }
        let _ = socket.send(&packet);
        // Answers are read as they come, so that neither side's buffer overflows.
        while socket.recv(&mut answer).is_ok() {}
        if round % 200 == 0 {
            let plain = ask(server, &question("shop.example.", RecordType::A));
            assert_eq!(data(&plain.answers), ["192.0.2.1"], "after {round} packets");
        }
    }
    for _ in 0..300 {
        let Ok(mut stream) = TcpStream::connect(server) else { continue };
        let bytes: Vec<u8> = (0..chance.random_range(1..200)).map(|_| chance.random()).collect();
        let _ = stream.write_all(&bytes);
    }
    let plain = ask(server, &question("shop.example.", RecordType::A));
    assert_eq!(data(&plain.answers), ["192.0.2.1"]);
    let udp = authority.counters().answers().filter(|(by, ..)| *by == Transport::Udp);
    println!("answered: {:?}", udp.map(|(_, code, count)| (code, count)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_had_is_named() {
    let (_authority, server, _sender) = serve(Duration::from_secs(300));
    let (_other, receiver) = watch::channel(agreed(&[]));
    let start = |listen: &str| {
        let listen = vec![listen.parse().expect("an address")];
        let config = DnsConfig { listen, ..config(Duration::from_secs(300)) };
        authority::start(&config, receiver.clone()).map(|_| ())
    };
    let taken = start(&server.to_string()).expect_err("taken");
    assert!(matches!(taken, StartError::Taken { .. }), "{taken}");
    assert!(taken.to_string().starts_with(&format!("cannot listen on `{server}` (udp): another")));
    let foreign = start("192.0.2.1:5353").expect_err("not ours");
    assert!(matches!(foreign, StartError::Foreign { .. }), "{foreign}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_read_every_kind_of_record() {
    let (_authority, server, _sender) = serve(Duration::from_secs(300));
    let port = server.port().to_string();
    let tell = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output = command.args(["@127.0.0.1", "-p", &port]).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{program} is installed: {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (name, kind, data) in [
        ("shop.example", "A", "192.0.2.1"),
        ("www.shop.example", "A", "192.0.2.1"),
        ("_sip._tcp.shop.example", "SRV", "10 5 5060 ns1.shop.example."),
        ("shop.example", "CAA", "0 issue \"ca.example\""),
        ("any.wild.shop.example", "TXT", "\"wild\""),
        (
            "_status.shop.shop.example",
            "TXT",
            "\"app=shop active=east state=offline epoch=1 since=0\"",
        ),
    ] {
        assert!(tell("kdig", &["+short", name, kind]).contains(data), "kdig {name} {kind}");
        assert!(tell("kdig", &["+tcp", "+short", name, kind]).contains(data), "{name} {kind}");
        assert!(tell("drill", &[name, kind]).contains(data), "drill {name} {kind}");
        assert!(tell("dig", &["+short", name, kind]).contains(data), "dig {name} {kind}");
    }
    let https = tell("kdig", &["+short", "web.shop.example", "HTTPS"]);
    assert!(https.contains("1 . alpn=h2"), "{https}");
    assert!(tell("dig", &["+cookie", "shop.example"]).contains("(good)"));
    assert!(tell("kdig", &["+edns=1", "shop.example"]).contains("BADVERS"));
    // More than fits one read of ours, on one connection.
    let many = vec!["shop.example"; 100];
    let told = tell("kdig", &[&["+tcp", "+keepopen", "+short"], many.as_slice()].concat());
    assert_eq!(told.lines().filter(|line| *line == "192.0.2.1").count(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_sent_at_once_are_answered_in_their_order() {
    let (_authority, server, _sender) = serve(Duration::from_secs(300));
    let mut stream = TcpStream::connect(server).expect("accepted");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut all = Vec::new();
    for id in 0..500_u16 {
        let mut message = question("many.shop.example.", RecordType::A);
        message.metadata.id = id;
        let packet = message.to_vec().expect("encodes");
        all.extend((packet.len() as u16).to_be_bytes());
        all.extend(packet);
    }
    let mut writer = stream.try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || writer.write_all(&all));
    for id in 0..500_u16 {
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("the whole answer");
        assert_eq!(answer[..2], id.to_be_bytes());
    }
    writing.join().expect("no panic").expect("all was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_go_to_holders_of_the_key_only() {
    let secondary = SocketAddr::from((Ipv4Addr::LOCALHOST, common::free_port()));
    let (_authority, server, sender) = serve_secondaries(&[secondary]);
    let now = clock::wall_ms() / 1000;
    let transfer = |kind: RecordType, signer: Option<(&TSigner, u64)>, from: Option<u32>| {
        let mut message = question("shop.example.", kind);
        if let Some(serial) = from {
            let mut held =
                ask(server, &question("shop.example.", RecordType::SOA)).answers.remove(0);
            if let RData::SOA(soa) = &mut held.data {
                soa.serial = serial;
            }
            message.add_authority(held);
        }
        if let Some((signer, time)) = signer {
            message.finalize(signer, time).expect("signs");
        }
        let mut stream = TcpStream::connect(server).expect("accepted");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        ask_tcp(&mut stream, &message).expect("an answer")
    };
    let refused = |answer: &Message| answer.metadata.response_code;
    let error = |answer: &Message| answer.signature().and_then(|record| record.data.error);
    use RecordType::{AXFR, IXFR};

    let unsigned = transfer(AXFR, None, None);
    assert_eq!((refused(&unsigned), unsigned.answers.len()), (ResponseCode::Refused, 0));
    let stranger = transfer(AXFR, Some((&key(b"a wrong secret of 32 octets !!!!!"), now)), None);
    assert_eq!(refused(&stranger), ResponseCode::NotAuth);
    assert_eq!(error(&stranger), Some(TsigError::BadSig));
    let late = transfer(AXFR, Some((&key(secondary::SECRET), now - 3600)), None);
    assert_eq!((refused(&late), error(&late)), (ResponseCode::NotAuth, Some(TsigError::BadTime)));

    let right = key(secondary::SECRET);
    let whole = transfer(AXFR, Some((&right, now)), None);
    assert_eq!(refused(&whole), ResponseCode::NoError);
    let kinds: Vec<_> = whole.answers.iter().map(Answer::record_type).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), (RecordType::SOA, RecordType::SOA));
    assert!(130 < kinds.len(), "{}", kinds.len());

    let serial = |answer: &Answer| match &answer.data {
        RData::SOA(soa) => soa.serial,
        other => panic!("no start of authority: {other}"),
    };
    let old = serial(&whole.answers[0]);
    let same = transfer(IXFR, Some((&right, now)), Some(old));
    assert_eq!(same.answers.len(), 1, "nothing is newer");
    sender.send_replace(agreed(&[app(2, "west")]));
    let changed = || ask(server, &question("shop.example.", RecordType::SOA)).answers.remove(0);
    eventually("the zone moves", async || (serial(&changed()) != old).then_some(())).await;
    let changes = transfer(IXFR, Some((&right, now)), Some(old));
    let starts: Vec<_> = changes
        .answers
        .iter()
        .filter(|record| record.record_type() == RecordType::SOA)
        .map(serial)
        .collect();
    let new = starts[0];
    assert_eq!(starts, [new, old, new, new]);
    assert!(changes.answers.len() < 30, "what changed, not all: {}", changes.answers.len());
    let unknown = transfer(IXFR, Some((&right, now)), Some(old.wrapping_sub(1)));
    assert!(130 < unknown.answers.len(), "who is too far behind gets all");
}

/// The same app, whose answers are to be kept for so long, shortened so far.
fn kept_for(ttl: u32, shortened: u8) -> Arc<AppState> {
    let mut state = (*app(3, "east")).clone();
    state.lifetimes = state.lifetimes.next(shortened, None);
    for record in &mut Arc::make_mut(&mut state.definition).records {
        record.ttl = ttl;
    }
    Arc::new(state)
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_knot_and_nsd_hold_copies_and_follow() {
    let mut secondaries = ["bind", "knot", "nsd"].map(Secondary::new);
    let addresses = secondaries.each_ref().map(|secondary| secondary.address);
    let (_authority, server, sender) = serve_secondaries(&addresses);
    for secondary in &mut secondaries {
        secondary.start(server);
    }
    let asked: [&[&str]; 9] = [
        &["+noshort", "+noall", "+answer", "v6.shop.example", "AAAA"],
        &["shop.example", "SOA"],
        &["shop.example", "NS"],
        &["www.shop.example", "A"],
        &["many.shop.example", "A"],
        &["_sip._tcp.shop.example", "SRV"],
        &["shop.example", "CAA"],
        &["web.shop.example", "TYPE65"],
        &["any.wild.shop.example", "TXT"],
    ];
    let (lasting, shortened) = (kept_for(300, 0), kept_for(300, SHORTENED_MOST));
    for state in [app(1, "east"), app(2, "west"), lasting, shortened] {
        sender.send_replace(agreed(&[state]));
        for secondary in &secondaries {
            let same = async || {
                let same = |question: &&[&str]| {
                    let ours = dig(server, question);
                    !ours.is_empty() && dig(secondary.address, question) == ours
                };
                asked.iter().all(same).then_some(())
            };
            let what = format!("{} has the zone, see {:?}", secondary.name, secondary.log());
            eventually(&what, same).await;
        }
    }
    let said = secondaries[0].said();
    assert!(said.contains("IXFR") || said.contains("Transfer completed"), "{said}");
}
