//! A resolver as clients have one: unbound on a host, which keeps answers for as long as they may be kept.

use std::net::SocketAddr;
use std::time::Duration;

use super::lab::Lab;
use super::process::Process;
use super::wait::eventually;

/// Far longer than a start takes, for a machine that is busy compiling.
const START: Duration = Duration::from_secs(20);
const PORT: u16 = 5300;
/// Where a host's programs ask.
const USUAL: u16 = 53;

/// unbound on the loopback of a host, which asks one server for a zone.
pub struct Unbound<'a> {
    lab: &'a Lab,
    host: String,
    port: u16,
    _process: Process,
}

impl<'a> Unbound<'a> {
    /// Starts it and waits until it answers.
    pub fn start(lab: &'a Lab, host: &str, zone: &str, server: SocketAddr) -> Self {
        Self::at(lab, host, (zone, server), PORT)
    }

    /// The same, and every program of this world asks the one on its own host.
    pub fn start_for_all(lab: &'a Lab, host: &str, zone: &str, server: SocketAddr) -> Self {
        let file = lab.folder("resolver").join("resolv.conf");
        std::fs::write(&file, "nameserver 127.0.0.1\n").expect("scratch folder takes files");
        let mut mount = std::process::Command::new("mount");
        let bound = mount.arg("--bind").arg(&file).arg("/etc/resolv.conf").status();
        assert!(bound.expect("mount (mount) is installed").success());
        Self::at(lab, host, (zone, server), USUAL)
    }

    fn at(lab: &'a Lab, host: &str, (zone, server): (&str, SocketAddr), port: u16) -> Self {
        let folder = lab.folder(&format!("{host}-unbound"));
        let text = format!(
            "server:\n  interface: 127.0.0.1\n  port: {port}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  \
             directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  do-ip6: no\n  \
             module-config: \"iterator\"\n  local-zone: \"test.\" nodefault\n\
             remote-control:\n  control-enable: no\n\
             stub-zone:\n  name: \"{zone}\"\n  stub-addr: {}@{}\n",
            folder.display(),
            server.ip(),
            server.port(),
        );
        let file = folder.join("unbound.conf");
        std::fs::write(&file, text).expect("scratch folder takes files");
        let mut command = lab.fabric.command(host, "unbound");
        command.arg("-d").arg("-c").arg(file);
        let process = Process::start(lab, &format!("{host}-unbound"), &mut command);
        let unbound = Self { lab, host: host.to_owned(), port, _process: process };
        eventually(START, &format!("unbound on {host} answers"), || {
            match unbound.dig(zone, "SOA") {
                text if text.contains("SOA") => Ok(()),
                text => Err(text),
            }
        });
        unbound
    }

    /// Where it is asked, from its own host.
    pub fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], PORT))
    }

    /// The answers as dig prints them.
    pub fn dig(&self, name: &str, kind: &str) -> String {
        let mut dig = self.lab.fabric.command(&self.host, "dig");
        let port = self.port.to_string();
        dig.args(["@127.0.0.1", "-p", &port, "+noall", "+answer", "+time=1", "+tries=1"]);
        let output = dig.args([name, kind]).output().expect("dig (bind9-dnsutils) is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
