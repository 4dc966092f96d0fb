//! PowerDNS on SQLite, with its HTTP interface and dynamic updates (TESTBED.md 2.7).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use tempfile::TempDir;

use super::named::{KEY, SECRET, ZONE, dig};
use super::{Process, eventually, free_port};

/// What its HTTP interface asks for.
pub const API_KEY: &str = "an api key";

/// A running PowerDNS, primary for [`ZONE`].
pub struct Pdns {
    pub address: SocketAddr,
    pub url: String,
    _folder: TempDir,
    _process: Process,
}

impl Pdns {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-pdns-").tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a plain path").to_owned();
        let database = format!("{path}/zones.db");
        let schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
        let schema = fs::read(schema).expect("pdns-backend-sqlite3 is installed");
        let schema = String::from_utf8(schema).expect("text");
        let made = Command::new("sqlite3").args([&database, &schema]).status();
        assert!(made.expect("sqlite3 is installed").success());
        for _ in 0..5 {
            let (port, api) = (free_port(), free_port());
            fs::write(folder.path().join("pdns.conf"), settings(&path, port, api))
                .expect("written");
            let settings = format!("--config-dir={path}");
            let secret = BASE64.encode(SECRET);
            for step in [
                vec!["create-zone", ZONE, &format!("ns1.{ZONE}")],
                vec!["import-tsig-key", KEY, "hmac-sha256", &secret],
                vec!["set-meta", ZONE, "TSIG-ALLOW-DNSUPDATE", KEY],
                vec!["set-kind", ZONE, "native"],
            ] {
                // A second try finds the first one's zone.
                let _ = Command::new("pdnsutil").arg(&settings).args(step).output();
            }
            let log = folder.path().join("log");
            let program = Path::new("/usr/sbin/pdns_server");
            let mut process = Process::start(None, &log, program, &[&settings]);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let up = eventually("PowerDNS starts or gives up", || {
                let up = process.is_running();
                let asked = up && !dig(address, &[ZONE, "SOA"]).is_empty();
                async move { if up { asked.then_some(true) } else { Some(false) } }
            })
            .await;
            if up {
                let url = format!("http://127.0.0.1:{api}");
                return Self { address, url, _folder: folder, _process: process };
            }
        }
        panic!("PowerDNS does not start");
    }

    /// What it answers, in short form, sorted.
    pub fn dig(&self, name: &str, kind: &str) -> Vec<String> {
        dig(self.address, &[name, kind])
    }
}

fn settings(path: &str, port: u16, api: u16) -> String {
    format!(
        "launch=gsqlite3\ngsqlite3-database={path}/zones.db\nlocal-address=127.0.0.1\nlocal-port={port}\n\
         api=yes\napi-key={API_KEY}\nwebserver=yes\nwebserver-address=127.0.0.1\nwebserver-port={api}\n\
         socket-dir={path}\ndnsupdate=yes\nallow-dnsupdate-from=127.0.0.0/8\ncache-ttl=0\n\
         query-cache-ttl=0\nnegquery-cache-ttl=0\nzone-cache-refresh-interval=1\ndaemon=no\nguardian=no\n"
    )
}
