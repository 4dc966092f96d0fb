//! A query that the DNS server has worked out beforehand allocates nothing, on any thread of the process.
//!
//! One test, alone in its program: whatever else ran beside it would be counted, too.

#[path = "authority/shop.rs"]
mod shop;

use std::alloc::System;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use agent::authority::{self, Authority};
use agent::clock;
use agent::config::DnsConfig;
use agent::run::Agreed;
use agent::zone_key::{ZoneKey, ZoneKeys};
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{LowerName, Name, RecordType};
use shop::app;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::watch;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// As many as the server takes at once.
const BATCH: usize = 64;
/// Rounds that are counted; each kind of question is asked in each.
const ROUNDS: usize = 200;
/// No answer is longer.
const LIMIT: usize = 65_535;

/// A question, ready to be sent, and the code of its answer.
struct Question {
    what: String,
    packet: Vec<u8>,
    code: ResponseCode,
}

fn start() -> (Authority, SocketAddr, watch::Sender<Arc<Agreed>>) {
    let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let pem = Command::new("openssl").args(curve).output().expect("openssl is installed").stdout;
    let pem = String::from_utf8(pem).expect("text");
    let apex = LowerName::new(&Name::from_ascii("shop.example.").expect("a name"));
    let keys = vec![ZoneKey::from_pem(&pem).expect("as openssl writes it")];
    let config = DnsConfig {
        listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        stale_after: Duration::from_secs(300),
        // Every answer is counted, and none is one too many.
        rate_limit: u32::MAX,
        threads: 2,
        // Who is online is worked out anew from time to time, for no query: that allocates.
        status: false,
        secondaries: Vec::new(),
        signing: Arc::new(vec![ZoneKeys { apex, keys }]),
    };
    let agreed =
        Agreed { apps: vec![app(1, "east")], confirmed: clock::now(), ..Agreed::default() };
    let (sender, receiver) = watch::channel(Arc::new(agreed));
    let authority = authority::start(&config, receiver).expect("a free port");
    let address = authority.addresses()[0];
    (authority, address, sender)
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

fn edns(signed: bool, cookie: Option<&[u8]>) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(1232).set_dnssec_ok(signed);
    if let Some(cookie) = cookie {
        let cookie = EdnsOption::Unknown(u16::from(EdnsCode::Cookie), cookie.to_vec());
        edns.options_mut().insert(cookie);
    }
    edns
}

fn question(what: impl Debug, message: &Message, code: ResponseCode) -> Question {
    Question { what: format!("{what:?}"), packet: message.to_vec().expect("encodes"), code }
}

/// Every kind of question, with this cookie of the server's.
fn questions(cookie: &[u8]) -> Vec<Question> {
    use RecordType::*;
    use ResponseCode::{FormErr, NXDomain, NoError, NotImp, Refused};
    let mut questions = Vec::new();
    for (name, kind, code) in [
        ("shop.example.", A, NoError),
        ("v6.shop.example.", AAAA, NoError),
        // The case comes back.
        ("ShOp.eXample.", A, NoError),
        // Nothing of this type; nothing of any; a name between names.
        ("shop.example.", AAAA, NoError),
        ("no.shop.example.", A, NXDomain),
        ("below.shop.example.", A, NoError),
        ("any.wild.shop.example.", TXT, NoError),
        ("any.wild.shop.example.", A, NoError),
        // Aliases: within the zone, out of it, to nothing, round and round.
        ("www.shop.example.", A, NoError),
        ("www.shop.example.", CNAME, NoError),
        ("out.shop.example.", A, NoError),
        ("lost.shop.example.", A, NXDomain),
        ("loop.shop.example.", A, NoError),
        ("_sip._tcp.shop.example.", SRV, NoError),
        ("shop.example.", CAA, NoError),
        ("web.shop.example.", HTTPS, NoError),
        ("shop.example.", SOA, NoError),
        ("shop.example.", NS, NoError),
        ("shop.example.", ANY, NoError),
        // With weights, at the name and behind an alias.
        ("heavy.shop.example.", A, NoError),
        ("light.shop.example.", A, NoError),
        // Too long for a datagram.
        ("many.shop.example.", A, NoError),
        ("example.org.", A, Refused),
    ] {
        let plain = query(name, kind);
        questions.push(question((name, kind), &plain, code));
        for (how, edns) in [
            ("EDNS", edns(false, None)),
            ("a new cookie", edns(false, Some(&cookie[..8]))),
            ("our cookie", edns(false, Some(cookie))),
        ] {
            let mut message = plain.clone();
            message.set_edns(edns);
            questions.push(question((name, kind, how), &message, code));
        }
        // Signed, what is not there is said to be there with no types (RFC 9824).
        let mut signed = plain.clone();
        signed.set_edns(edns(true, Some(cookie)));
        let code = if code == NXDomain { NoError } else { code };
        questions.push(question((name, kind, "signed"), &signed, code));
    }
    let mut future = query("shop.example.", A);
    future.set_edns(edns(false, None).set_version(1).clone());
    // BADVERS: four bits of it stand in the header, and are zero.
    questions.push(question("EDNS of a later version", &future, NoError));
    let mut update = query("shop.example.", A);
    update.metadata.op_code = OpCode::Update;
    questions.push(question("an update", &update, NotImp));
    let mut two = query("shop.example.", A);
    two.add_query(two.queries[0].clone());
    questions.push(question("two questions", &two, FormErr));
    questions
}

fn client(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    socket.connect(server).expect("loopback");
    socket
}

fn is_answer(answer: &[u8], code: ResponseCode) -> bool {
    answer.len() > 4
        && answer[..2] == 4711_u16.to_be_bytes()
        && u16::from(answer[3] & 0xf) == u16::from(code)
}

/// Asks this many times at once, and takes every answer.
fn ask(socket: &UdpSocket, question: &Question, times: usize, answer: &mut [u8]) {
    for _ in 0..times {
        socket.send(&question.packet).expect("loopback");
    }
    for _ in 0..times {
        let length = socket.recv(answer).expect("an answer");
        assert!(is_answer(&answer[..length], question.code), "{}", question.what);
    }
}

/// Over a connection that is there already.
fn ask_over(stream: &mut TcpStream, question: &Question, answer: &mut [u8]) {
    let length = question.packet.len() as u16;
    stream.write_all(&length.to_be_bytes()).expect("loopback");
    stream.write_all(&question.packet).expect("loopback");
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("an answer");
    let answer = &mut answer[..usize::from(u16::from_be_bytes(length))];
    stream.read_exact(answer).expect("an answer");
    assert!(is_answer(answer, question.code), "{}", question.what);
}

/// What the process allocates meanwhile.
fn allocations(of: impl FnOnce()) -> usize {
    let region = Region::new(COUNTED);
    of();
    let change = region.change();
    change.allocations + change.reallocations
}

/// The cookie that this server gives us, both halves.
fn cookie(socket: &UdpSocket, answer: &mut [u8]) -> Vec<u8> {
    let mut message = query("shop.example.", RecordType::A);
    message.set_edns(edns(false, Some(b"whatever")));
    ask(socket, &question("a cookie", &message, ResponseCode::NoError), 1, answer);
    let at = answer.windows(8).position(|bytes| bytes == b"whatever").expect("our half");
    answer[at..at + 24].to_vec()
}

#[test]
fn a_query_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let (_authority, server, _sender) = start();
    let mut answer = vec![0; LIMIT];
    let socket = client(server);
    let questions = questions(&cookie(&socket, &mut answer));

    // Every thread has begun; what is signed has been signed once, each share of what has weights.
    for _ in 0..32 {
        ask(&client(server), &questions[0], 1, &mut answer);
    }
    let mut stream = TcpStream::connect(server).expect("accepted");
    stream.set_nodelay(true).expect("loopback");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    for question in &questions {
        ask(&socket, question, BATCH, &mut answer);
        for _ in 0..BATCH {
            ask_over(&mut stream, question, &mut answer);
        }
    }

    for question in &questions {
        let found = allocations(|| {
            for _ in 0..ROUNDS {
                ask(&socket, question, 1, &mut answer);
            }
        });
        assert_eq!(found, 0, "{ROUNDS} times {}", question.what);
        // Those that are there together are taken, and answered, by one system call.
        let found = allocations(|| ask(&socket, question, BATCH, &mut answer));
        assert_eq!(found, 0, "{BATCH} at once of {}", question.what);
        let found = allocations(|| {
            for _ in 0..ROUNDS {
                ask_over(&mut stream, question, &mut answer);
            }
        });
        assert_eq!(found, 0, "{ROUNDS} times {} over TCP", question.what);
    }

    // What is for secondaries is rare, and allocates; it leaves nothing behind that plain queries pay for.
    let zone = query("shop.example.", RecordType::AXFR);
    let zone = question("a whole zone", &zone, ResponseCode::Refused);
    let found = allocations(|| ask(&socket, &zone, BATCH, &mut answer));
    assert!(BATCH <= found, "{found}");
    for question in &questions {
        let found = allocations(|| ask(&socket, question, BATCH, &mut answer));
        assert_eq!(found, 0, "{BATCH} at once of {}, after zones", question.what);
    }

    // The first signature for a name is made when it is asked for, and counted: the server's threads are seen.
    let mut fresh = query("fresh.wild.shop.example.", RecordType::TXT);
    fresh.set_edns(edns(true, None));
    let fresh = question("what nobody asked for yet", &fresh, ResponseCode::NoError);
    let found = allocations(|| ask(&socket, &fresh, 1, &mut answer));
    assert_ne!(found, 0);
    assert_eq!(allocations(|| ask(&socket, &fresh, BATCH, &mut answer)), 0);
}
