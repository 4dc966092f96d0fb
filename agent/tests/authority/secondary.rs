//! BIND, Knot and NSD, holding a copy of a zone.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use tempfile::TempDir;

use crate::common::{Process, free_port};

/// The key that both sides sign with.
pub const KEY: &str = "transfer-key";
/// Its secret.
pub const SECRET: &[u8] = b"another secret of 32 octets !!!!";
/// The zone.
const ZONE: &str = "shop.example";

/// A running secondary.
pub struct Secondary {
    pub name: &'static str,
    pub address: SocketAddr,
    folder: TempDir,
    program: &'static str,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Secondary {
    /// One that is still to be started: its address is what the primary needs first.
    pub fn new(name: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-dns-").tempdir().expect("a folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        Self { name, address, folder, program: "", arguments: Vec::new(), process: None }
    }

    /// Starts it with this server as its primary.
    pub fn start(&mut self, primary: SocketAddr) {
        let (here, port) = (self.folder.path().to_owned(), self.address.port());
        let folder = here.display().to_string();
        let secret = BASE64.encode(SECRET);
        let from = primary.port();
        let (program, text, before) = match self.name {
            "bind" => (
                "/usr/sbin/named",
                format!(
                    r#"key "{KEY}" {{ algorithm hmac-sha256; secret "{secret}"; }};
options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  pid-file "{folder}/pid"; session-keyfile "{folder}/session.key"; recursion no; notify no;
  dnssec-validation no; managed-keys-directory "{folder}"; max-records-per-type 0; }};
controls {{ }};
zone "{ZONE}" {{ type secondary; file "{folder}/zone"; masterfile-format text;
  primaries {{ 127.0.0.1 port {from} key {KEY}; }}; }};
"#
                ),
                vec!["-g".to_owned(), "-c".to_owned()],
            ),
            "knot" => (
                "/usr/sbin/knotd",
                format!(
                    "server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\ndatabase:\n  \
                     storage: {folder}\nlog:\n  - target: stderr\n    any: info\nkey:\n  - id: {KEY}\n    \
                     algorithm: hmac-sha256\n    secret: {secret}\nremote:\n  - id: quorate\n    \
                     address: 127.0.0.1@{from}\n    key: {KEY}\nacl:\n  - id: notify\n    \
                     address: 127.0.0.1\n    key: {KEY}\n    action: notify\nzone:\n  - domain: {ZONE}\n    \
                     file: {folder}/zone\n    master: quorate\n    acl: notify\n"
                ),
                vec!["-c".to_owned()],
            ),
            "nsd" => (
                "/usr/sbin/nsd",
                format!(
                    "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  \
                     database: \"\"\n  pidfile: \"\"\n  zonelistfile: {folder}/zones\n  \
                     xfrdfile: {folder}/xfrd\n  xfrdir: {folder}\n  zonesdir: {folder}\n  verbosity: 2\n\
                     remote-control:\n  control-enable: no\nkey:\n  name: {KEY}\n  \
                     algorithm: hmac-sha256\n  secret: \"{secret}\"\nzone:\n  name: {ZONE}\n  \
                     zonefile: {folder}/zone\n  request-xfr: 127.0.0.1@{from} {KEY}\n  \
                     allow-notify: 127.0.0.1 {KEY}\n"
                ),
                vec!["-d".to_owned(), "-c".to_owned()],
            ),
            other => panic!("no secondary is called {other}"),
        };
        let file = here.join("conf");
        fs::write(&file, text).expect("written");
        self.program = program;
        self.arguments = before;
        self.arguments.push(file.display().to_string());
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        self.process = Some(Process::start(None, &self.log(), Path::new(self.program), &arguments));
    }

    /// Where it logs.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has logged.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Secondary {
    /// What a test that fails would like to know goes with its folder.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} logged\n{}", self.name, self.said());
        }
    }
}
