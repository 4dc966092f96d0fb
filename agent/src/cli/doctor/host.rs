//! What can be looked at on this host → checks.

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use consensus::model::{AgentId, Definition};
use consensus::view::View;

use super::{Check, Found};
use crate::cli::chain;
use crate::cli::table::bytes;
use crate::config::AgentConfig;
use crate::guard::{Device, WATCHDOG_LEAST};
use crate::identity::{date, validity};
use crate::store;

/// A certificate that ends sooner wants renewing.
const SOON: u64 = 30 * 24 * 60 * 60;
/// A log with its snapshot and its copy, the reserve, and a history: below this a restart may fail.
const ROOM: u64 = 64 * 1024 * 1024;
/// A lease that leaves a door open for long enough under a watchdog (README.md, Guards).
const LEASE: Duration = Duration::from_secs(15);
/// How long a server on this host may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// The certificates, and how long they last.
pub fn identity(config: &AgentConfig, now: u64) -> Vec<Check> {
    let look = |area, path: &Path| {
        let (begins, ends) = match validity(path) {
            Ok(validity) => validity,
            Err(error) => return Check::new(area, Found::Wrong, chain(&error)),
        };
        let shown = path.display();
        let until = date(ends);
        if now < begins {
            let words = format!("`{shown}` is valid from {} only: set the clock", date(begins));
            return Check::new(area, Found::Wrong, words);
        }
        match ends.checked_sub(now) {
            None => Check::new(area, Found::Wrong, format!("`{shown}` expired at {until}")),
            Some(left) if left < SOON => {
                let days = left / (24 * 60 * 60);
                let words =
                    format!("`{shown}` expires in {days} days, at {until}: issue a new one");
                Check::new(area, Found::Careful, words)
            }
            Some(_) => Check::new(area, Found::Fine, format!("`{shown}` is valid until {until}")),
        }
    };
    vec![look("certificate", &config.mesh.certificate), look("authority", &config.mesh.authority)]
}

/// The watchdog that resets this host if its guard stands still.
pub fn watchdog(device: Device) -> Check {
    match device.look() {
        Err(why) => Check::new("watchdog", Found::Wrong, chain(&why)),
        Ok(driver) => {
            let driver = driver.unwrap_or_else(|| "driver unknown".to_owned());
            let words = format!("`{device}` ({driver}) is there; armed while a door is open");
            Check::new("watchdog", Found::Fine, words)
        }
    }
}

/// The agreed leases of this guard that are too short for a watchdog.
pub fn leases(agent: &AgentId, definitions: &[Definition]) -> Vec<Check> {
    let mine = |it: &&Definition| {
        it.data.lease < LEASE && it.guarded().any(|(_, it)| it.guard.as_ref() == Some(agent))
    };
    let words = |it: &Definition| {
        let (lease, left) = (it.data.lease, it.data.lease.saturating_sub(WATCHDOG_LEAST));
        format!(
            "the lease of {} is {lease:?}, and a door under a watchdog is shut {left:?} after a renewal: give it {LEASE:?}",
            it.name
        )
    };
    let short = definitions.iter().filter(mine);
    short.map(|it| Check::new("watchdog", Found::Careful, words(it))).collect()
}

/// Is the wall clock set from the network? Certificates and people depend on it, decisions do not.
pub fn clock() -> Check {
    let mut command = Command::new("timedatectl");
    let asked = command.args(["show", "--property=NTPSynchronized", "--value"]).output();
    let said = asked.ok().filter(|output| output.status.success());
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match said.as_deref() {
        Some("yes") => Check::new("clock", Found::Fine, "is set from the network"),
        Some("no") => {
            let words = "is not set from the network: certificates and the history go by it; install chrony or enable \
                         systemd-timesyncd";
            Check::new("clock", Found::Careful, words)
        }
        Some(_) | None => {
            let words =
                "whether it is set from the network is not known here: `timedatectl` does not say";
            Check::new("clock", Found::Skipped, words)
        }
    }
}

/// The data folder: room, who may read it, what is kept aside.
pub fn data(config: &AgentConfig, running: bool) -> Vec<Check> {
    let folder = &config.data_dir;
    let shown = folder.display();
    let about = match fs::metadata(folder) {
        Ok(about) => about,
        Err(error) => {
            return vec![Check::new(
                "data",
                Found::Wrong,
                format!("cannot read `{shown}`: {error}"),
            )];
        }
    };
    let mut checks = Vec::new();
    if about.permissions().mode() & 0o077 != 0 {
        let words = format!("others may look into `{shown}`: `chmod 700 {shown}`");
        checks.push(Check::new("data", Found::Careful, words));
    }
    checks.push(match rustix::fs::statvfs(folder) {
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let words = format!("{} are free in `{shown}`", bytes(free));
            match free {
                0..ROOM => Check::new(
                    "data",
                    if free < ROOM / 8 { Found::Wrong } else { Found::Careful },
                    format!("only {words}: an agent that cannot write ends"),
                ),
                _ => Check::new("data", Found::Fine, words),
            }
        }
        Err(error) => {
            Check::new("data", Found::Skipped, format!("cannot look at `{shown}`: {error}"))
        }
    });
    let log = store::looks(folder);
    if running && !log.reserve {
        let words = format!(
            "there is no reserve in `{shown}` for a restart on a full disk: restart the agent once there is room"
        );
        checks.push(Check::new("data", Found::Careful, words));
    }
    if !log.kept.is_empty() {
        let names: Vec<_> = log.kept.iter().map(|path| path.display().to_string()).collect();
        let words = format!(
            "a store was lost here: `{}`; look at that disk, and delete what is kept once it is understood",
            names.join("`, `")
        );
        checks.push(Check::new("data", Found::Careful, words));
    }
    checks
}

/// The ports: taken by the agent where it runs, free where it does not, and answered on.
pub fn ports(config: &AgentConfig, view: Option<&View>) -> Vec<Check> {
    let mut checks = vec![mesh(config.mesh.listen, view)];
    for listen in config.dns.iter().flat_map(|dns| &dns.listen) {
        checks.push(match view {
            Some(_) => answers(*listen),
            None => free("DNS", *listen),
        });
    }
    if let (Some(listen), Some(_)) = (config.status, view) {
        checks.push(match TcpStream::connect_timeout(&listen, ANSWER) {
            Ok(_) => Check::new("ports", Found::Fine, format!("status answers on TCP `{listen}`")),
            Err(error) => {
                Check::new("ports", Found::Wrong, format!("status on TCP `{listen}`: {error}"))
            }
        });
    }
    checks
}

fn mesh(listen: SocketAddr, view: Option<&View>) -> Check {
    let Some(view) = view else { return free("the mesh", listen) };
    let others = || view.members.iter().filter(|member| member.agent != view.agent);
    let (heard, all) = (others().filter(|member| member.heard).count(), others().count());
    let words = format!("{heard} of {all} other agents are heard over UDP `{listen}`");
    let found = match heard {
        0 if all > 0 => Found::Wrong,
        heard if heard < all => Found::Careful,
        _ => Found::Fine,
    };
    Check::new("ports", found, words)
}

fn free(what: &str, listen: SocketAddr) -> Check {
    match UdpSocket::bind(listen) {
        Ok(_) => Check::new("ports", Found::Fine, format!("UDP `{listen}` is free for {what}")),
        Err(error) => {
            Check::new("ports", Found::Wrong, format!("UDP `{listen}`, for {what}: {error}"))
        }
    }
}

/// Does a name server answer anything at all?
fn answers(listen: SocketAddr) -> Check {
    /// "Who is responsible for the root?", question number 0x5144 (RFC 1035, 4.1).
    const QUESTION: [u8; 17] = [0x51, 0x44, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
    let here: SocketAddr = match listen.is_ipv4() {
        true => ([0, 0, 0, 0], 0).into(),
        false => ([0u16; 8], 0).into(),
    };
    let asked = UdpSocket::bind(here).and_then(|socket| {
        socket.set_read_timeout(Some(ANSWER))?;
        socket.connect(listen)?;
        socket.send(&QUESTION)?;
        let mut answer = [0; 512];
        socket.recv(&mut answer).map(|length| 2 <= length && answer[..2] == QUESTION[..2])
    });
    match asked {
        Ok(true) => Check::new("ports", Found::Fine, format!("DNS answers on UDP `{listen}`")),
        Ok(false) => {
            Check::new("ports", Found::Wrong, format!("what answers on UDP `{listen}` is no DNS"))
        }
        Err(error) => Check::new("ports", Found::Wrong, format!("DNS on UDP `{listen}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_name_server_is_told_from_one_that_is_none() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let at = server.local_addr().expect("bound");
        let serving = thread::spawn(move || {
            for echo in [true, false] {
                let mut question = [0; 64];
                let (length, from) = server.recv_from(&mut question).expect("asked");
                let answer = if echo { &question[..length] } else { &b"hello"[..] };
                server.send_to(answer, from).expect("answered");
            }
        });
        assert_eq!(answers(at).found, Found::Fine);
        assert_eq!(answers(at).found, Found::Wrong);
        serving.join().expect("served");
        assert_eq!(answers(at).found, Found::Wrong, "nobody is there");
    }

    #[test]
    fn a_watchdog_that_is_not_there_is_said_with_how_to_get_one() {
        let device = "/dev/watchdog99".parse().expect("a device");
        let check = watchdog(device);
        assert_eq!(check.found, Found::Wrong);
        assert!(check.words.contains("modprobe softdog"), "{}", check.words);
    }

    #[test]
    fn a_lease_that_is_too_short_for_a_watchdog_is_named_to_its_guard() {
        let [short, long] = ["10s", "15s"].map(|lease| {
            let database = |stack, guard| {
                format!(
                    "[[stack]]\nname = \"{stack}\"\n[[stack.database]]\nname = \"main\"\nengine = \"redis\"\n\
                     address = \"192.0.2.1:6379\"\ncredential = \"cache\"\nguard = \"{guard}\"\n"
                )
            };
            let text = format!(
                "[app]\nname = \"shop\"\n[data]\nmax_loss = \"1MiB\"\nlease = \"{lease}\"\n{}{}",
                database("a", "g1"),
                database("b", "g2")
            );
            crate::config::parse_app(&text, "shop.toml", None).expect("a good file").definition
        });
        let agent = |name: &str| name.parse().expect("a name");
        let found = leases(&agent("g1"), &[short.clone(), long]);
        let [check] = &found[..] else { panic!("{found:?}") };
        assert!(check.words.contains("the lease of shop is 10s"), "{}", check.words);
        assert_eq!(leases(&agent("g3"), &[short]), Vec::new());
    }

    #[test]
    fn a_port_is_free_or_said_to_be_taken() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let at = taken.local_addr().expect("bound");
        assert_eq!(free("the mesh", at).found, Found::Wrong);
        drop(taken);
        assert_eq!(free("the mesh", at).found, Found::Fine);
    }
}
