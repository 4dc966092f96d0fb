//! Redis, or Valkey: a primary, and replicas of it (TESTBED.md 2.5).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use probe::redis::resp::{Info, Link, Reply};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Process, documented, eventually, foreign, free_port};

/// The user that has the documented rights and no more; its password is its name.
pub const ROLE: &str = "quorate";

/// Whose server it is. Both speak the same, or nearly.
#[derive(Clone, Copy, Debug)]
pub enum Make {
    Redis,
    /// Which Debian 12 has not: `tests/foreign` fetches it.
    Valkey,
    /// Another release of Redis that it fetches.
    Foreign(&'static str),
}

impl Make {
    /// A new, empty primary.
    pub async fn primary(self) -> Redis {
        self.start(&[]).await
    }

    /// A server with settings of its own.
    pub async fn start(self, settings: &[&str]) -> Redis {
        Redis::made(self, settings).await
    }

    /// What runs its programs, and what comes before their own arguments.
    fn program(self, name: &str) -> (PathBuf, Option<String>) {
        match self {
            Self::Redis => (format!("redis-{name}").into(), None),
            Self::Valkey => (foreign("valkey-9.0").join("run"), Some(format!("valkey-{name}"))),
            Self::Foreign(release) => (foreign(release).join("run"), Some(format!("redis-{name}"))),
        }
    }

    /// A client's command.
    pub fn cli(self) -> Command {
        let (program, first) = self.program("cli");
        let mut command = Command::new(program);
        command.args(first);
        command
    }
}

/// A running server, or one that was killed.
pub struct Redis {
    pub make: Make,
    pub port: u16,
    pub folder: TempDir,
    process: Process,
}

impl Redis {
    /// A new, empty primary.
    pub async fn primary() -> Self {
        Make::Redis.primary().await
    }

    /// A replica of this server, connected.
    pub async fn replica(&self) -> Self {
        let port = self.port.to_string();
        let replica = self.make.start(&["--replicaof", "127.0.0.1", &port]).await;
        replica.until("master_link_status", "up").await;
        replica
    }

    /// A server with settings of its own.
    pub async fn start(settings: &[&str]) -> Self {
        Make::Redis.start(settings).await
    }

    async fn made(make: Make, settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-redis-").tempdir().expect("a folder");
        let log = folder.path().join("log");
        // Another may take the port between drawing and binding it.
        for _ in 0..5 {
            let port = free_port();
            let mut process = run(make, &folder, port, settings);
            let up = eventually("Redis starts or gives up", || {
                let up = process.is_running();
                async move {
                    match up {
                        false => Some(false),
                        true => TcpStream::connect(("127.0.0.1", port)).await.ok().map(|_| true),
                    }
                }
            })
            .await;
            if up {
                return Self { make, port, folder, process };
            }
        }
        panic!("Redis does not start: {}", fs::read_to_string(&log).unwrap_or_default());
    }

    /// Asks one thing as the user `default`.
    pub async fn ask(&self, command: &[&str]) -> Reply {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens");
        Link::over(stream).ask(command).await.expect("it answers")
    }

    /// One value of `INFO`.
    pub async fn info(&self, key: &str) -> String {
        let reply = self.ask(&["INFO"]).await;
        Info(reply.text().expect("a text")).text(key).unwrap_or_default().to_owned()
    }

    /// Waits until `INFO` says this.
    pub async fn until(&self, key: &str, expected: &str) {
        eventually(&format!("`{key}` is `{expected}`"), || async {
            (self.info(key).await == expected).then_some(())
        })
        .await;
    }

    /// Has it write all it holds to its file. Redis forks for one copy at a time: a replica that just joined may still be
    /// sent its own.
    pub async fn save(&self) {
        self.until("rdb_bgsave_in_progress", "0").await;
        assert_eq!(self.ask(&["SAVE"]).await, Reply::Text("OK".to_owned()));
    }

    /// Makes [`ROLE`] with the rights that the documentation names.
    pub async fn grant_documented_rights(&self) {
        for command in documented("ACL SETUSER quorate ") {
            let words: Vec<&str> = command.split_whitespace().collect();
            assert_eq!(self.ask(&words).await, Reply::Text("OK".to_owned()));
        }
    }

    /// Kills it, as a lost machine would.
    pub fn kill(&mut self) {
        self.process.end(Signal::KILL);
    }

    /// Starts it again in the same place, with what it wrote to its disk and nothing else.
    pub async fn restart(&mut self) {
        self.process = run(self.make, &self.folder, self.port, &[]);
        eventually("Redis is back", || async {
            TcpStream::connect(("127.0.0.1", self.port)).await.ok()
        })
        .await;
    }
}

fn run(make: Make, folder: &TempDir, port: u16, settings: &[&str]) -> Process {
    let port = port.to_string();
    let place = folder.path().to_str().expect("a plain path");
    let (program, first) = make.program("server");
    let mut arguments: Vec<_> = first.as_deref().into_iter().collect();
    arguments.extend(["--port", &port, "--bind", "127.0.0.1", "--dir", place, "--save", ""]);
    arguments.extend(["--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
    arguments.extend(["--repl-ping-replica-period", "1"]);
    arguments.extend(settings);
    Process::start(None, &folder.path().join("log"), &program, &arguments)
}
