//! Redis, or Valkey, on a host: a primary, or a replica of another host's.
//!
//! Nothing is kept on disk, so that a server that was killed comes back empty: the worst that Redis can do to a mesh.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use probe::redis::resp::{Info, Link, Reply};
use tokio::net::TcpStream;

use super::authority::{furnished, issuer};
use super::fabric::address;
use super::lab::{Lab, foreign};
use super::postgres::{PASSWORD, USER, runtime};
use super::process::Process;
use super::wait::eventually;
use super::writer::Acknowledged;

const PORT: u16 = 6379;
const START: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(2);

/// Whose server it is. Both speak the same, or nearly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Debian's.
    Redis,
    /// The oldest that is driven, which `tests/foreign` fetches.
    OldRedis,
    /// Valkey, which `tests/foreign` fetches.
    Valkey,
}

impl Make {
    /// One of its programs, to be run on a host.
    fn command(self, lab: &Lab, host: &str, program: &str) -> Command {
        let (release, name) = match self {
            Self::Redis => return lab.fabric.command(host, format!("redis-{program}")),
            Self::OldRedis => ("redis-6.0", "redis"),
            Self::Valkey => ("valkey-9.0", "valkey"),
        };
        let mut command = lab.fabric.command(host, foreign(release).join("run"));
        command.arg(format!("{name}-{program}"));
        command
    }

    /// Starts an empty server, and waits until it answers and, as a replica, has all of its primary. One that was furnished with a
    /// certificate speaks TLS alone.
    pub fn start<'a>(self, lab: &'a Lab, host: &str, primary: Option<&str>) -> Redis<'a> {
        let process = launch(self, lab, host, primary);
        let server = Redis { make: self, lab, host: host.to_owned(), process };
        // At its host: where it is back behind a door, that is shut.
        eventually(START, &format!("{self:?} on {host} answers"), || server.at_host(&["PING"]));
        let password = format!(">{PASSWORD}");
        let user = ["ACL", "SETUSER", USER, "on", &password, "allkeys", "allcommands"];
        server.at_host(&user).expect("it was up a moment ago");
        if primary.is_some() {
            eventually(START, &format!("{host} follows"), || {
                let said = server.at_host(&["INFO", "replication"])?;
                if said.contains("master_link_status:up") { Ok(()) } else { Err(said) }
            });
        }
        server
    }
}

/// A server on port 6379 of a host. Quorate logs in as [`USER`], the tests as the user `default`.
pub struct Redis<'a> {
    make: Make,
    lab: &'a Lab,
    host: String,
    /// Its process.
    pub process: Process,
}

impl<'a> Redis<'a> {
    /// A Redis: [`Make::start`].
    pub fn start(lab: &'a Lab, host: &str, primary: Option<&str>) -> Self {
        Make::Redis.start(lab, host, primary)
    }

    /// Kills it and starts it again: empty, a primary, at the same address.
    pub fn come_back_empty(&mut self) {
        self.process.kill();
        *self = self.make.start(self.lab, &self.host, None);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (address(&self.host), PORT).into()
    }

    /// Asks one thing, as the router, from which nothing is cut.
    pub fn ask(&self, command: &[&str]) -> Result<Reply, String> {
        runtime().block_on(async {
            let asked = async {
                let stream = TcpStream::connect(self.address()).await?;
                Link::over(stream).ask(command).await
            };
            let answered = tokio::time::timeout(LIMIT, asked).await;
            answered.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        })
    }

    /// Asks at its host, where no door is in the way; in words as `redis-cli` prints them.
    pub fn at_host(&self, command: &[&str]) -> Result<String, String> {
        let mut cli = self.make.command(self.lab, &self.host, "cli");
        if furnished(self.lab, &self.host).is_some() {
            cli.args(["--tls", "--insecure"]);
        }
        let done = cli.args(command).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        if done.status.success() { Ok(said) } else { Err(said) }
    }

    /// One value of `INFO`.
    pub fn info(&self, key: &str) -> Result<String, String> {
        let reply = self.ask(&["INFO"])?;
        let text = reply.text().ok_or("no text")?;
        Ok(Info(text).text(key).unwrap_or_default().to_owned())
    }

    /// Does it follow another, connected?
    pub fn follows(&self, other: &Self) -> Result<(), String> {
        let found = ["role", "master_host", "master_link_status"].map(|key| self.info(key));
        let expected = ["slave", &address(&other.host).to_string(), "up"];
        match found.iter().zip(expected).all(|(it, word)| it.as_deref() == Ok(word)) {
            true => Ok(()),
            false => Err(format!("{found:?}")),
        }
    }

    /// The acknowledged rows that it does not hold.
    pub fn lost(&self, ledger: &[Acknowledged]) -> Vec<i64> {
        let mut missing = Vec::new();
        for entries in ledger.chunks(1_000) {
            let keys: Vec<_> = entries.iter().map(|entry| format!("row:{}", entry.row)).collect();
            let words: Vec<_> =
                ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
            let Reply::List(found) = self.ask(&words).expect("the survivor answers") else {
                panic!("`MGET` is answered with a list")
            };
            let both = entries.iter().zip(found);
            missing
                .extend(both.filter(|(_, it)| *it == Reply::Nothing).map(|(entry, _)| entry.row));
        }
        missing
    }
}

fn launch(make: Make, lab: &Lab, host: &str, primary: Option<&str>) -> Process {
    let folder = lab.folder(&format!("{host}-redis"));
    let mut command = make.command(lab, host, "server");
    command.args(["--bind", "0.0.0.0", "--protected-mode", "no"]);
    let port = PORT.to_string();
    match furnished(lab, host) {
        None => command.args(["--port", &port]),
        Some([certificate, key]) => command
            .args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"])
            .args(["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file"])
            .arg(issuer(lab, host)),
    };
    command.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
    command.args(["--repl-ping-replica-period", "1", "--repl-timeout", "5", "--dir"]);
    command.arg(folder);
    if let Some(primary) = primary {
        command.args(["--replicaof", &address(primary).to_string(), &port]);
        if furnished(lab, host).is_some() {
            command.args(["--tls-replication", "yes"]);
        }
    }
    Process::start(lab, &format!("{host}-redis"), &mut command)
}
