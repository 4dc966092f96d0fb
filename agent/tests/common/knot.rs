//! Knot DNS, primary for one zone that takes signed updates.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use data_encoding::BASE64;
use tempfile::TempDir;

use super::named::{KEY, SECRET, ZONE, dig};
use super::{Process, eventually, free_port};

/// A running Knot.
pub struct Knot {
    pub address: SocketAddr,
    _folder: TempDir,
    _process: Process,
}

impl Knot {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-knot-").tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a plain path").to_owned();
        let zone = "$TTL 60\n@ IN SOA ns1 root 1 60 30 600 5\n@ IN NS ns1\nns1 IN A 127.0.0.1\n";
        fs::write(folder.path().join("zone"), zone).expect("the zone is written");
        for _ in 0..5 {
            let port = free_port();
            let secret = BASE64.encode(SECRET);
            let settings = format!(
                "server:\n  rundir: {path}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
                 background-workers: 1\ndatabase:\n  storage: {path}\nkey:\n  - id: {KEY}\n    algorithm: hmac-sha256\n    \
                 secret: {secret}\nacl:\n  - id: mesh\n    key: {KEY}\n    action: [update, transfer]\nzone:\n  \
                 - domain: {ZONE}\n    storage: {path}\n    file: zone\n    acl: mesh\n"
            );
            let config = format!("{path}/knot.conf");
            fs::write(&config, settings).expect("written");
            let log = folder.path().join("log");
            let mut process =
                Process::start(None, &log, Path::new("/usr/sbin/knotd"), &["-c", &config]);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let up = eventually("Knot starts or gives up", || {
                let up = process.is_running();
                let asked = up && !dig(address, &[ZONE, "SOA"]).is_empty();
                async move { if up { asked.then_some(true) } else { Some(false) } }
            })
            .await;
            if up {
                return Self { address, _folder: folder, _process: process };
            }
        }
        panic!("Knot does not start");
    }
}
