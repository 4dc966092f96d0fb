//! Signed zones, checked by unbound and delv, which know nothing but the zone's key.

mod common;

#[path = "authority/secondary.rs"]
mod secondary;
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
use agent::config::{self, DnsConfig};
use agent::run::Agreed;
use agent::zone_key::{ZoneKey, ZoneKeys};
use common::{PATIENCE, Process, eventually, free_port, run};
use consensus::model::{AppState, Zone};
use data_encoding::BASE64;
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{LowerName, Name, RecordType, TSigner};
use secondary::Secondary;
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

/// A zone's keys.
fn keys(apex: &str, pems: &[&str]) -> ZoneKeys {
    let apex = LowerName::new(&Name::from_ascii(apex).expect("a name"));
    ZoneKeys { apex, keys: pems.iter().map(|pem| key(pem)).collect() }
}

fn serve(pems: &[&str]) -> (Authority, SocketAddr, Sender) {
    serve_secondaries(vec![keys("shop.example.", pems)], &[], app(1, "east"))
}

/// Answers, and gives zones to those who hold the key.
fn serve_secondaries(
    keys: Vec<ZoneKeys>,
    addresses: &[SocketAddr],
    app: Arc<AppState>,
) -> (Authority, SocketAddr, Sender) {
    let name = Name::from_ascii(format!("{}.", secondary::KEY)).expect("a name");
    let key = TSigner::new(secondary::SECRET.to_vec(), TsigAlgorithm::HmacSha256, name, 300);
    let key = key.expect("a key");
    let config = DnsConfig {
        listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        stale_after: Duration::from_secs(300),
        rate_limit: 0,
        threads: 2,
        status: false,
        secondaries: addresses
            .iter()
            .map(|&address| config::Secondary { address, key: key.clone() })
            .collect(),
        signing: Arc::new(keys),
    };
    let agreed = Agreed { apps: vec![app], confirmed: clock::now(), ..Agreed::default() };
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

/// A name that is not there, of so many octets on the wire.
fn long(octets: usize) -> String {
    let mut left = octets - "shop.example".len() - 2;
    let mut name = String::new();
    while 0 < left {
        // No label may be empty.
        let length = if left == 65 { 62 } else { 63.min(left - 1) };
        name += &format!("{}.", "a".repeat(length));
        left -= length + 1;
    }
    name + "shop.example"
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

/// Below the longest names there is none that could end what denies them.
#[tokio::test(flavor = "multi_thread")]
async fn unbound_validates_that_the_longest_names_are_not_there() {
    let pem = pem();
    let (_authority, server, _sender) = serve(&[&pem]);
    let unbound = Unbound::start(server, &key(&pem).delegation_text(&apex())).await;
    for octets in 252..=255 {
        let name = long(octets);
        assert_eq!(name.len() + 2, octets);
        let told = unbound.ask(&name, "A");
        assert!(told.contains("status: NOERROR"), "{octets}: {told}");
        let flags = told.lines().find(|line| line.starts_with(";; flags:")).expect("flags");
        assert!(flags.contains(" ad"), "{octets}: {told}");
        assert!(told.contains("TYPE128"), "{octets}: {told}");
    }
}

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

/// The app, with one signed and one unsigned zone below its own.
fn with_delegations(epoch: u32, active: &str) -> Arc<AppState> {
    let mut app = (*app(epoch, active)).clone();
    let mut definition = (*app.definition).clone();
    for (name, server) in
        [("safe.shop.example", "ns1.safe.shop.example"), ("bare.shop.example", "ns2.example.net")]
    {
        let mut glue = definition.records[3].clone();
        assert_eq!(glue.name, "ns1.shop.example");
        if server.ends_with(name) {
            server.clone_into(&mut glue.name);
            definition.records.push(glue);
        }
        definition.zones.push(Zone {
            name: name.to_owned(),
            ns: vec![server.to_owned()],
            ..definition.zones[0].clone()
        });
    }
    app.definition = Arc::new(definition);
    Arc::new(app)
}

/// The whole zone, as whoever holds the key is given it.
fn transfer(server: SocketAddr, kind: &str) -> String {
    let secret = format!("hmac-sha256:{}:{}", secondary::KEY, BASE64.encode(secondary::SECRET));
    let port = server.port().to_string();
    let told = run(Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "-y", &secret, "+nocomments", "+nocmd", "+nostats"])
        .args(["shop.example", kind]));
    // Without the signature of the transaction, and the start that stands at the end again.
    let of_zone = |line: &&str| !line.contains("\tTSIG\t") && !line.starts_with(';');
    let mut lines: Vec<_> = told.lines().filter(of_zone).collect();
    assert_eq!(lines.pop(), lines.first().copied(), "{told}");
    lines.join("\n") + "\n"
}

/// Has every name and every set its place in the chain and its signature, say others' tools?
fn verify(zone: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("zone");
    fs::write(&file, zone).expect("written");
    let file = file.display().to_string();
    let told = run(Command::new("dnssec-verify").args(["-z", "-o", "shop.example", &file]));
    println!("{told}");
    run(Command::new("ldns-verify-zone").arg(&file));
}

/// What validators are told, and what with: a name that is not there, types that are not, wildcards and delegations too.
const COPIED: [(&str, &str, &str, &str); 14] = [
    ("shop.example", "A", "NOERROR", "192.0.2.1"),
    ("shop.example", "DNSKEY", "NOERROR", "257 3 13"),
    ("shop.example", "AAAA", "NOERROR", "NSEC"),
    ("www.shop.example", "A", "NOERROR", "192.0.2.1"),
    ("v6.shop.example", "A", "NOERROR", "NSEC"),
    ("below.shop.example", "A", "NOERROR", "NSEC"),
    ("_sip._tcp.shop.example", "SRV", "NOERROR", "5060"),
    ("nobody.shop.example", "A", "NXDOMAIN", "NSEC"),
    ("x.y.nobody.shop.example", "TXT", "NXDOMAIN", "NSEC"),
    ("some.wild.shop.example", "TXT", "NOERROR", "\"wild\""),
    ("some.wild.shop.example", "A", "NOERROR", "NSEC"),
    ("heavy.shop.example", "A", "NOERROR", "203.0.113.2"),
    ("safe.shop.example", "DS", "NOERROR", " 13 2 "),
    ("bare.shop.example", "DS", "NOERROR", "NSEC"),
];

#[tokio::test(flavor = "multi_thread")]
async fn copies_at_bind_knot_and_nsd_are_whole_and_validate() {
    let (pem, below) = (pem(), pem());
    let signing = vec![keys("shop.example.", &[&pem]), keys("safe.shop.example.", &[&below])];
    let mut secondaries = ["bind", "knot", "nsd"].map(Secondary::new);
    let addresses = secondaries.each_ref().map(|secondary| secondary.address);
    let app = with_delegations(1, "east");
    let (_authority, server, sender) = serve_secondaries(signing, &addresses, app);
    let whole = transfer(server, "AXFR");
    verify(&whole);
    assert!(!whole.contains("TYPE128"), "{whole}");
    assert_eq!(transfer(server, "IXFR=1"), whole, "who has an older one gets all, signed once");
    for secondary in &mut secondaries {
        secondary.start(server);
    }
    let anchor = key(&pem).delegation_text(&apex());
    for (epoch, active, address) in [(1, "east", "192.0.2.1"), (2, "west", "198.51.100.1")] {
        let moved = vec![with_delegations(epoch, active)];
        let moved = Agreed { apps: moved, confirmed: clock::now(), ..Agreed::default() };
        sender.send_replace(Arc::new(moved));
        for secondary in &secondaries {
            let told = || dig(secondary.address, &["shop.example", "A"]);
            let new = async || told().contains(address).then_some(());
            let what = format!("{} follows, see {:?}", secondary.name, secondary.log());
            eventually(&what, new).await;
            let unbound = Unbound::start(secondary.address, &anchor).await;
            for (name, kind, status, holds) in COPIED {
                let told = unbound.ask(name, kind);
                let which = format!("{name} {kind} at {}: {told}", secondary.name);
                let flags = told.lines().find(|line| line.starts_with(";; flags:"));
                assert!(flags.expect("flags").contains(" ad"), "validated: {which}");
                assert!(told.contains(&format!("status: {status}")), "{which}");
                if holds != "192.0.2.1" || epoch == 1 {
                    assert!(told.contains(holds), "{which}");
                }
            }
            // Whoever is sent on is told how far to trust: DS, or that there is none.
            for (name, proof) in
                [("a.safe.shop.example", "\tDS\t"), ("a.bare.shop.example", "\tNSEC\t")]
            {
                let told = dig(secondary.address, &["+norec", name, "A"]);
                assert!(told.contains(proof) && told.contains("\tNS\t"), "{told}");
            }
        }
        verify(&transfer(server, "AXFR"));
    }
    assert!(secondaries[0].said().contains("Transfer completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_asked_in_turn_each_give_a_zone_that_holds_and_keys_roll_in_it() {
    let (old, new) = (pem(), pem());
    let address = [SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))];
    let serial = |zone: &str| zone.split_whitespace().nth(6).map(str::to_owned);
    let mut serials = Vec::new();
    for pems in [vec![&old], vec![&old], vec![&old, &new], vec![&new, &old], vec![&new]] {
        let pems: Vec<_> = pems.into_iter().map(String::as_str).collect();
        let keys = vec![keys("shop.example.", &pems)];
        let (_authority, server, _sender) = serve_secondaries(keys, &address, app(1, "east"));
        let whole = transfer(server, "AXFR");
        verify(&whole);
        let signers = whole.lines().filter(|line| line.contains("\tRRSIG\t"));
        let tag = format!(" {} shop.example.", key(pems[0]).tag());
        assert!(signers.clone().all(|line| line.contains(&tag)), "the first key signs: {whole}");
        assert!(20 < signers.count());
        serials.push(serial(&whole).expect("a start of authority"));
    }
    // Whichever agent is asked, the version is the same (unless midnight, UTC, falls into this test).
    serials.dedup();
    assert!(serials.len() <= 2, "{serials:?}");
}
