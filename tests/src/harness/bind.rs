//! An outside name server: BIND, with a zone that takes updates signed with a key (RFC 2136, RFC 8945).

use std::net::SocketAddr;
use std::time::Duration;

use super::fabric::address;
use super::lab::Lab;
use super::process::Process;
use super::resolver::{Answer, ask};
use super::wait::eventually;

/// The zone it serves.
pub const ZONE: &str = "example.test";
/// The name of the key that may update it.
pub const KEY: &str = "quorate.";
/// The key's secret, base64.
pub const SECRET: &str = "c2l4dGVlbiB0aW1lcyB0d28gb2N0ZXRzIGxvbmcgISE=";

const START: Duration = Duration::from_secs(20);

/// What the zone lets the key do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updates {
    /// Everything.
    Granted,
    /// Nothing: every update is answered REFUSED.
    Refused,
}

/// BIND on port 53 of the host `dns`.
pub struct Bind {
    process: Process,
}

/// The host of the zone's second name server, where there is one.
pub const SECOND: &str = "client";

/// Another BIND, which has the zone from the first by transfer.
pub struct Secondary {
    process: Process,
}

impl Bind {
    /// Starts it and waits until it answers for [`ZONE`].
    pub fn start(lab: &Lab, updates: Updates) -> Self {
        Self::with_servers(lab, updates, &[("ns1", "dns")])
    }

    /// The same, with a second name server on [`SECOND`].
    pub fn start_two(lab: &Lab) -> (Self, Secondary) {
        let first = Self::with_servers(lab, Updates::Granted, &[("ns1", "dns"), ("ns2", SECOND)]);
        (first, Secondary::start(lab))
    }

    fn with_servers(lab: &Lab, updates: Updates, servers: &[(&str, &str)]) -> Self {
        let folder = lab.folder("bind");
        let at = folder.display();
        let policy = match updates {
            Updates::Granted => format!("grant {KEY} zonesub ANY;"),
            Updates::Refused => format!("deny {KEY} zonesub ANY;"),
        };
        let text = format!(
            "key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
             options {{ directory \"{at}\"; listen-on port 53 {{ any; }}; listen-on-v6 {{ none; }};\n\
             pid-file \"{at}/pid\"; session-keyfile \"{at}/session.key\"; recursion no;\n\
             dnssec-validation no; notify yes; allow-query {{ any; }};\n\
             allow-transfer {{ any; }}; }};\n\
             controls {{ }};\n\
             zone \"{ZONE}\" {{ type primary; file \"zone\"; update-policy {{ {policy} }}; }};\n"
        );
        let mut zone = format!("$ORIGIN {ZONE}.\n$TTL 5\n@ IN SOA ns1 hostmaster 1 60 60 600 5\n");
        for (name, host) in servers {
            zone += &format!("@ IN NS {name}\n{name} IN A {}\n", address(host));
        }
        std::fs::write(folder.join("zone"), zone).expect("scratch folder takes files");
        let file = folder.join("named.conf");
        std::fs::write(&file, text).expect("scratch folder takes files");
        let mut command = lab.fabric.command("dns", "named");
        command.arg("-g").arg("-n").arg("1").arg("-c").arg(&file);
        let bind = Self { process: Process::start(lab, "bind", &mut command) };
        eventually(START, "BIND answers", || match ask(bind.address(), &format!("ns1.{ZONE}")) {
            Answer::Addresses(_) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        bind
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (address("dns"), 53).into()
    }

    /// Stops it in the middle of whatever it does: questions and updates wait.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.resume();
    }
}

impl Secondary {
    fn start(lab: &Lab) -> Self {
        let folder = lab.folder("secondary");
        let at = folder.display();
        let text = format!(
            "options {{ directory \"{at}\"; listen-on port 53 {{ any; }}; listen-on-v6 {{ none; }};\n\
             pid-file \"{at}/pid\"; session-keyfile \"{at}/session.key\"; recursion no;\n\
             dnssec-validation no; notify no; allow-query {{ any; }}; max-refresh-time 2;\n\
             min-refresh-time 1; max-retry-time 2; min-retry-time 1; }};\n\
             controls {{ }};\n\
             zone \"{ZONE}\" {{ type secondary; file \"zone\"; primaries {{ {}; }}; }};\n",
            address("dns")
        );
        let file = folder.join("named.conf");
        std::fs::write(&file, text).expect("scratch folder takes files");
        let mut command = lab.fabric.command(SECOND, "named");
        command.arg("-g").arg("-n").arg("1").arg("-c").arg(&file);
        let secondary = Self { process: Process::start(lab, "secondary", &mut command) };
        let server = SocketAddr::from((address(SECOND), 53));
        eventually(START, "the secondary has the zone", || {
            match ask(server, &format!("ns1.{ZONE}")) {
                Answer::Addresses(_) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        secondary
    }

    /// Stops it in the middle of whatever it does.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.resume();
    }
}
