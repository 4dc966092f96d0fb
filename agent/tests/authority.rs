//! The built-in DNS server, asked by dig and by packets of our own making.

mod common;

#[path = "authority/shop.rs"]
mod shop;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::authority::{self, Authority, StartError, Transport};
use agent::clock;
use agent::config::DnsConfig;
use agent::run::Agreed;
use common::named::dig;
use common::{PATIENCE, eventually};
use consensus::model::AppState;
use consensus::moment::Moment;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record as Answer, RecordType};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shop::app;
use tokio::sync::watch;

type Sender = watch::Sender<Arc<Agreed>>;

fn agreed(apps: &[Arc<AppState>]) -> Arc<Agreed> {
    Arc::new(Agreed { apps: apps.to_vec(), confirmed: clock::now() })
}

fn config(stale_after: Duration) -> DnsConfig {
    DnsConfig {
        listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        stale_after,
        rate_limit: 0,
        status: true,
        secondaries: Vec::new(),
    }
}

fn serve(stale_after: Duration) -> (Authority, SocketAddr, Sender) {
    let config = config(stale_after);
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
    let saved = Agreed { apps: vec![app(1, "east")], confirmed: Moment::ZERO };
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
async fn connections_are_few_from_one_address_and_end_when_idle() {
    let (authority, server, _sender) = serve(Duration::from_secs(300));
    let plain = question("shop.example.", RecordType::A);
    let open = || {
        let stream = TcpStream::connect(server).expect("loopback");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream
    };
    let mut streams: Vec<_> = (0..16).map(|_| open()).collect();
    for stream in &mut streams {
        assert_eq!(ask_tcp(stream, &plain).expect("an answer").answers.len(), 1);
    }
    assert!(ask_tcp(&mut open(), &plain).is_err(), "one too many");
    assert_eq!(authority.counters().turned_away(), 1);

    // One that ends makes room; one that says nothing is ended.
    drop(streams.pop());
    let again = async || ask_tcp(&mut open(), &plain).ok();
    eventually("there is room again", again).await;
    let began = Instant::now();
    let mut rest = [0; 1];
    assert_eq!(streams[0].read(&mut rest).expect("closed, not broken"), 0);
    println!("idle connection closed after {:?}", began.elapsed());

    // What is no DNS ends the connection.
    let mut stream = open();
    stream.write_all(&[0, 3, 1, 2, 3]).expect("loopback");
    assert_eq!(stream.read(&mut rest).expect("closed, not broken"), 0);
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
