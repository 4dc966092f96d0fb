//! Name servers of others that take changes, and what people do and see there: BIND, and Knot and PowerDNS of Debian.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tests::harness::process::{Process, output};

use super::*;

/// The zone that Knot has.
pub const KNOT: &str = "knot.test";
/// The zone of PowerDNS that is changed by dynamic updates, and the one that is changed by its HTTP interface.
pub const UPDATED: &str = "updated.test";
pub const PATCHED: &str = "patched.test";
/// What PowerDNS asks for there.
pub const API_KEY: &str = "an api key";

/// Somebody with the key changes a record by hand.
pub fn edit(lab: &Lab, change: &str) {
    edit_at(lab, address("dns"), ZONE, change);
}

/// The same at another name server, in another zone.
pub fn edit_at(lab: &Lab, server: Ipv4Addr, zone: &str, change: &str) {
    let mut command = lab.fabric.command("dns", "nsupdate");
    command.args(["-y", &format!("hmac-sha256:{KEY}:{SECRET}")]).stdin(Stdio::piped());
    let mut editor = command.spawn().expect("nsupdate (bind9-dnsutils) is installed");
    let script = format!("server {server}\nzone {zone}\n{change}\nsend\n");
    let mut input = editor.stdin.take().expect("piped");
    input.write_all(script.as_bytes()).expect("nsupdate reads");
    drop(input);
    assert!(editor.wait().expect("it ends").success(), "{script}");
}

/// What a server says of the name: each address, and for how long it may be kept.
pub fn kept(lab: &Lab, server: &str) -> Vec<(String, u32)> {
    found(lab, server, OUTSIDE, "A")
}

/// What a server says: each record's last word, and for how long it may be kept.
pub fn found(lab: &Lab, server: &str, name: &str, kind: &str) -> Vec<(String, u32)> {
    let mut dig = lab.fabric.command("dns", "dig");
    let found = dig.args([server, "+noall", "+answer", name, kind]).output().expect("dig runs");
    let text = String::from_utf8(found.stdout).expect("text");
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let record = |words: Vec<&str>| Some((words.last()?.to_string(), words.get(1)?.parse().ok()?));
    words.filter_map(record).collect()
}

/// Knot, on port 53 of a host, with [`KNOT`].
pub fn knot(lab: &Lab, host: &str) -> Process {
    let folder = lab.folder("knot");
    let (at, own) = (folder.display(), address(host));
    let zone = format!("$TTL 5\n@ IN SOA ns1 root 1 60 30 600 5\n@ IN NS ns1\nns1 IN A {own}\n");
    std::fs::write(folder.join("zone"), zone).expect("scratch folder takes files");
    let text = format!(
        "server:\n  rundir: {at}\n  listen: {own}@53\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         database:\n  storage: {at}\nkey:\n  - id: {KEY}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
         acl:\n  - id: mesh\n    key: {KEY}\n    action: [update, transfer]\n\
         zone:\n  - domain: {KNOT}\n    storage: {at}\n    file: zone\n    acl: mesh\n"
    );
    let file = folder.join("knot.conf");
    std::fs::write(&file, text).expect("scratch folder takes files");
    let mut command = lab.fabric.command(host, "knotd");
    let knot = Process::start(lab, "knot", command.arg("-c").arg(file));
    answers(host, KNOT);
    knot
}

/// PowerDNS on SQLite, on port 53 of a host and with its HTTP interface on 8081, with [`UPDATED`] and [`PATCHED`].
pub fn powerdns(lab: &Lab, host: &str) -> (Process, String) {
    let folder = lab.folder("powerdns");
    let (at, own) = (folder.display(), address(host));
    let schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
    let schema = std::fs::read_to_string(schema).expect("pdns-backend-sqlite3 is installed");
    output(Command::new("sqlite3").arg(folder.join("zones.db")).arg(schema));
    let text = format!(
        "launch=gsqlite3\ngsqlite3-database={at}/zones.db\nlocal-address={own}\nlocal-port=53\napi=yes\n\
         api-key={API_KEY}\nwebserver=yes\nwebserver-address={own}\nwebserver-port=8081\n\
         webserver-allow-from=10.77.0.0/16\nsocket-dir={at}\ndnsupdate=yes\nallow-dnsupdate-from=10.77.0.0/16\n\
         cache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\nzone-cache-refresh-interval=1\ndaemon=no\nguardian=no\n"
    );
    std::fs::write(folder.join("pdns.conf"), text).expect("scratch folder takes files");
    let keeps = |words: &[&str]| {
        output(Command::new("pdnsutil").arg(format!("--config-dir={at}")).args(words));
    };
    keeps(&["import-tsig-key", KEY, "hmac-sha256", SECRET]);
    for zone in [UPDATED, PATCHED] {
        keeps(&["create-zone", zone, &format!("ns1.{zone}")]);
        keeps(&["add-record", zone, "ns1", "A", "5", &own.to_string()]);
        keeps(&["set-kind", zone, "native"]);
    }
    keeps(&["set-meta", UPDATED, "TSIG-ALLOW-DNSUPDATE", KEY]);
    let program = PathBuf::from("/usr/sbin/pdns_server");
    let mut command = lab.fabric.command(host, program);
    let powerdns = Process::start(lab, "powerdns", command.arg(format!("--config-dir={at}")));
    for zone in [UPDATED, PATCHED] {
        answers(host, zone);
    }
    (powerdns, format!("http://{own}:8081"))
}

fn answers(host: &str, zone: &str) {
    let server = SocketAddr::from((address(host), 53));
    eventually(SETTLE, &format!("{zone} is served"), || {
        match ask(server, &format!("ns1.{zone}")) {
            Answer::Addresses(_) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
