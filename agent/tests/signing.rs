//! Signed zones, checked by unbound and delv, which know nothing but the zone's key.

mod common;

#[path = "authority/shop.rs"]
mod shop;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use agent::authority::{self, Authority};
use agent::clock;
use agent::config::DnsConfig;
use agent::run::Agreed;
use agent::zone_key::{ZoneKey, ZoneKeys};
use common::{PATIENCE, Process, eventually, free_port, run};
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{LowerName, Name, RecordType};
use shop::app;
use tempfile::TempDir;
use tokio::sync::watch;

type Sender = watch::Sender<Arc<Agreed>>;

fn apex() -> Name {
    Name::from_ascii("shop.example.").expect("a name")
}

/// A key's file as openssl writes it.
fn pem() -> String {
    let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    run(Command::new("openssl").args(curve))
}

fn key(pem: &str) -> ZoneKey {
    ZoneKey::from_pem(pem).expect("as openssl writes it")
}

fn serve(pems: &[&str]) -> (Authority, SocketAddr, Sender) {
    let keys =
        ZoneKeys { apex: LowerName::new(&apex()), keys: pems.iter().map(|pem| key(pem)).collect() };
    let config = DnsConfig {
        listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        stale_after: Duration::from_secs(300),
        rate_limit: 0,
        status: false,
        secondaries: Vec::new(),
        signing: Arc::new(vec![keys]),
    };
    let agreed =
        Agreed { apps: vec![app(1, "east")], confirmed: clock::now(), ..Agreed::default() };
    let (sender, receiver) = watch::channel(Arc::new(agreed));
    let authority = authority::start(&config, receiver).expect("a free port");
    let address = authority.addresses()[0];
    (authority, address, sender)
}

/// A resolver that trusts this key and asks this server.
struct Unbound {
    address: SocketAddr,
    _folder: TempDir,
    _process: Process,
}

impl Unbound {
    async fn start(server: SocketAddr, anchor: &str) -> Self {
        Self::start_with(server, anchor, "").await
    }

    async fn start_with(server: SocketAddr, anchor: &str, more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-dns-").tempdir().expect("a folder");
        let port = free_port();
        let text = format!(
            "server:\n  interface: 127.0.0.1\n  port: {port}\n  do-daemonize: no\n  username: \"\"\n  \
             chroot: \"\"\n  directory: \"{here}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  \
             val-log-level: 2\n  do-not-query-localhost: no\n  do-ip6: no\n  \
             module-config: \"validator iterator\"\n  trust-anchor: \"{anchor}\"\n{more}\
             remote-control:\n  control-enable: no\n\
             stub-zone:\n  name: shop.example\n  stub-addr: 127.0.0.1@{from}\n",
            here = folder.path().display(),
            from = server.port(),
        );
        let file = folder.path().join("conf");
        fs::write(&file, text).expect("written");
        let file = file.display().to_string();
        let log = folder.path().join("log");
        let process =
            Process::start(None, &log, Path::new("/usr/sbin/unbound"), &["-d", "-c", &file]);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let unbound = Self { address, _folder: folder, _process: process };
        let up = async || unbound.ask("shop.example", "SOA").contains("status:").then_some(());
        eventually("unbound starts", up).await;
        unbound
    }

    /// dig's whole report.
    fn ask(&self, name: &str, kind: &str) -> String {
        dig(self.address, &[name, kind])
    }
}

fn dig(server: SocketAddr, question: &[&str]) -> String {
    let port = server.port().to_string();
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "+dnssec", "+time=2", "+tries=1"])
        .args(question)
        .output()
        .expect("dig (bind9-dnsutils) is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The addresses a resolver tells, and whether it has validated them.
fn addresses(resolver: SocketAddr, name: &str, socket: &UdpSocket) -> (Vec<String>, bool) {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    message.set_edns(edns);
    socket.send_to(&message.to_vec().expect("encodes"), resolver).expect("loopback");
    let mut packet = [0; 4096];
    let length = socket.recv(&mut packet).expect("an answer");
    let told = Message::from_vec(&packet[..length]).expect("DNS");
    let of_kind = told.answers.iter().filter(|record| record.record_type() == RecordType::A);
    (of_kind.map(|record| record.data.to_string()).collect(), told.metadata.authentic_data)
}

/// Questions of every shape, and what the answer holds.
const QUESTIONS: [(&str, &str, &str); 13] = [
    ("shop.example", "A", "192.0.2.1"),
    ("shop.example", "SOA", "ns1.shop.example."),
    ("shop.example", "NS", "ns2.example.net."),
    ("shop.example", "DNSKEY", "257 3 13"),
    ("shop.example", "AAAA", "NSEC"),
    ("www.shop.example", "A", "192.0.2.1"),
    ("www.shop.example", "AAAA", "NSEC"),
    ("below.shop.example", "A", "NSEC"),
    ("nobody.shop.example", "A", "TYPE128"),
    ("x.y.nobody.shop.example", "TXT", "TYPE128"),
    ("some.wild.shop.example", "TXT", "\"wild\""),
    ("some.wild.shop.example", "A", "NSEC"),
    ("many.shop.example", "A", "192.0.2.119"),
];

#[tokio::test(flavor = "multi_thread")]
async fn unbound_validates_every_kind_of_answer() {
    let pem = pem();
    let (_authority, server, sender) = serve(&[&pem]);
    let unbound = Unbound::start(server, &key(&pem).delegation_text(&apex())).await;
    for (name, kind, holds) in QUESTIONS {
        let told = unbound.ask(name, kind);
        assert!(told.contains("status: NOERROR"), "{name} {kind}: {told}");
        let flags = told.lines().find(|line| line.starts_with(";; flags:")).expect("flags");
        assert!(flags.contains(" ad"), "{name} {kind} is validated: {told}");
        assert!(told.contains(holds), "{name} {kind}: {told}");
    }
    // A move is signed too, at once.
    let moved = Agreed { apps: vec![app(2, "west")], confirmed: clock::now(), ..Agreed::default() };
    sender.send_replace(Arc::new(moved));
    let ours = || dig(server, &["shop.example", "A"]);
    let new = async || ours().contains("198.51.100.1").then_some(());
    eventually("the answer moves", new).await;
    assert!(ours().contains("RRSIG"));

    let other = key(&self::pem()).delegation_text(&apex());
    let stranger = Unbound::start(server, &other).await;
    let told = stranger.ask("shop.example", "A");
    assert!(told.contains("status: SERVFAIL"), "{told}");
}

/// Two servers with the zone's key, each asked again and again by a resolver that keeps nothing.
#[tokio::test(flavor = "multi_thread")]
async fn weights_hold_in_a_signed_zone_and_behind_its_aliases() {
    let pem = pem();
    let (_authority, server, _sender) = serve(&[&pem]);
    let (_other_authority, other, _other_sender) = serve(&[&pem]);
    let anchor = key(&pem).delegation_text(&apex());
    for server in [server, other] {
        let keeps_nothing = "  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n";
        let unbound = Unbound::start_with(server, &anchor, keeps_nothing).await;
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        for name in ["heavy.shop.example.", "light.shop.example."] {
            let mut counts = BTreeMap::new();
            for _ in 0..400 {
                let (told, validated) = addresses(unbound.address, name, &socket);
                assert!(validated, "{name}: {told:?}");
                let [one] = told.as_slice() else { panic!("{name}: one each: {told:?}") };
                *counts.entry(one.clone()).or_insert(0) += 1;
            }
            println!("{name} at {server}: {counts:?}");
            // Sockets count each for itself, and which one is asked is chance: five times its spread.
            let often: i32 = counts.remove("203.0.113.1").unwrap_or_default();
            assert!((often - 300).abs() <= 45, "{name}: {often} of 400, and {counts:?}");
            assert_eq!(counts.into_keys().collect::<Vec<_>>(), ["203.0.113.2"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delv_validates_and_who_wants_no_signatures_gets_none() {
    let pem = pem();
    let (_authority, server, _sender) = serve(&[&pem]);
    let folder = tempfile::tempdir().expect("a folder");
    let anchor = key(&pem).delegation_text(&apex());
    let [_, _, tag, algorithm, digest, hash] = anchor.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{anchor}")
    };
    let file = folder.path().join("anchor");
    let text = format!(
        "trust-anchors {{ \"shop.example\" static-ds {tag} {algorithm} {digest} \"{hash}\"; }};\n"
    );
    fs::write(&file, text).expect("written");
    for (name, kind, _) in QUESTIONS {
        let output = Command::new("delv")
            .args(["@127.0.0.1", "-p", &server.port().to_string(), "+root=shop.example", "-a"])
            .arg(&file)
            .args([name, kind])
            .output()
            .expect("delv (bind9-dnsutils) is installed");
        let told = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let validated = ["; fully validated", "; negative response, fully validated"];
        assert!(validated.iter().any(|words| told.contains(words)), "{name} {kind}: {told}");
    }
    let plain = dig(server, &["+nodnssec", "nobody.shop.example", "A"]);
    assert!(plain.contains("status: NXDOMAIN") && !plain.contains("RRSIG"), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rolled_without_a_moment_of_doubt() {
    let (old, new) = (pem(), pem());
    let anchor = |pem: &str| key(pem).delegation_text(&apex());
    // Published; then the parent points to it, and it signs; then the old one leaves.
    for (keys, anchors) in [
        (vec![&old], vec![&old]),
        (vec![&old, &new], vec![&old]),
        (vec![&old, &new], vec![&old, &new]),
        (vec![&new, &old], vec![&old, &new]),
        (vec![&new, &old], vec![&new]),
        (vec![&new], vec![&new]),
    ] {
        let keys: Vec<_> = keys.iter().map(|pem| pem.as_str()).collect();
        let (_authority, server, _sender) = serve(&keys);
        let anchors: Vec<_> = anchors.iter().map(|pem| anchor(pem)).collect();
        let anchors = anchors.join("\"\n  trust-anchor: \"");
        let unbound = Unbound::start(server, &anchors).await;
        let told = unbound.ask("shop.example", "A");
        assert!(told.contains("status: NOERROR"), "{told}");
        let flags = told.lines().find(|line| line.starts_with(";; flags:")).expect("flags");
        assert!(flags.contains(" ad"), "{told}");
    }
}
