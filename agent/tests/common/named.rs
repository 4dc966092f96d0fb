//! BIND, primary for one zone that takes signed updates (TESTBED.md 2.7).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use tempfile::TempDir;

use super::{Process, eventually, free_port};

/// The zone it serves.
pub const ZONE: &str = "dyn.example";
/// The key that may update all of [`ZONE`].
pub const KEY: &str = "mesh-key";
/// A key that may read, and update nothing.
pub const POOR_KEY: &str = "poor-key";
/// The secret of both.
pub const SECRET: &[u8] = b"a secret of thirty-two octets!!!";

/// A running BIND.
pub struct Named {
    pub address: SocketAddr,
    _folder: TempDir,
    process: Process,
}

impl Named {
    /// Starts one; `records` are added to the zone, in its file's format.
    pub async fn start(records: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-dns-").tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a plain path").to_owned();
        let zone = format!(
            "$TTL 60\n@ IN SOA ns1 root 1 60 30 600 5\n@ IN NS ns1\nns1 IN A 127.0.0.1\n{records}\n"
        );
        fs::write(folder.path().join("zone"), zone).expect("the zone is written");
        for _ in 0..5 {
            let port = free_port();
            fs::write(folder.path().join("named.conf"), settings(&path, port)).expect("written");
            let log = folder.path().join("log");
            let config = format!("{path}/named.conf");
            let mut process =
                Process::start(None, &log, Path::new("/usr/sbin/named"), &["-g", "-c", &config]);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let up = eventually("BIND starts or gives up", || {
                let up = process.is_running();
                let asked = up && !dig(address, &[ZONE, "SOA"]).is_empty();
                async move {
                    match (up, asked) {
                        (false, _) => Some(false),
                        (true, true) => Some(true),
                        (true, false) => None,
                    }
                }
            })
            .await;
            if up {
                return Self { address, _folder: folder, process };
            }
        }
        panic!("BIND does not start");
    }

    /// What it answers, in short form, sorted. No answer at all is not an empty one.
    pub fn dig(&self, name: &str, kind: &str) -> Vec<String> {
        let (answered, lines) = told(self.address, &["+time=5", "+tries=3", name, kind]);
        assert!(answered, "BIND does not answer for {kind} `{name}`");
        lines
    }

    pub fn kill(&mut self) {
        self.process.end(rustix::process::Signal::KILL);
    }

    pub fn freeze(&mut self) {
        self.process.signal(rustix::process::Signal::STOP);
    }
}

/// Asks with dig, in short form; sorted lines, none where no answer comes within a second.
pub fn dig(server: SocketAddr, question: &[&str]) -> Vec<String> {
    told(server, question).1
}

/// Was there an answer (dig ends with 9 if not), and which?
fn told(server: SocketAddr, question: &[&str]) -> (bool, Vec<String>) {
    let output = Command::new("dig")
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string(), "+short", "+time=1", "+tries=1"])
        .args(question)
        .output()
        .expect("dig (bind9-dnsutils) is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect();
    lines.sort();
    (output.status.success(), lines)
}

fn settings(path: &str, port: u16) -> String {
    let secret = BASE64.encode(SECRET);
    format!(
        r#"
key "{KEY}" {{ algorithm hmac-sha256; secret "{secret}"; }};
key "{POOR_KEY}" {{ algorithm hmac-sha256; secret "{secret}"; }};
options {{ directory "{path}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  pid-file "{path}/pid"; session-keyfile "{path}/session.key"; recursion no; notify no;
  allow-transfer {{ none; }}; dnssec-validation no; managed-keys-directory "{path}";
  minimal-responses yes; }};
controls {{ }};
zone "{ZONE}" {{ type primary; file "{path}/zone";
  update-policy {{ grant {KEY} zonesub ANY; }}; }};
"#
    )
}
