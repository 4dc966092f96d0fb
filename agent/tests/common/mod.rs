//! Real servers for tests: each listens on loopback at a port of its own, lives in a folder of its own, and is gone when
//! its value is dropped, or when the test's process dies.

// Each test crate uses some of it.
#![allow(dead_code)]

pub mod knot;
pub mod mariadb;
pub mod mysql8;
pub mod named;
pub mod pdns;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod web;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a server to start on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks every few milliseconds until there is something to see; panics when patience ends.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < until, "not seen within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The statements of the README's block that begins so, with `quorate` for the password.
pub fn documented(start: &str) -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let at = readme.find(&format!("\n{start}")).expect("the README has it") + 1;
    let (block, _) = readme[at..].split_once("\n```").expect("a block ends");
    let lines = block.lines().map(|line| line.split("--").next().unwrap_or_default());
    let all = lines.collect::<Vec<_>>().join(" ").replace('…', "quorate");
    let statements = all.split(';').map(|it| it.trim().to_owned());
    statements.filter(|it| !it.is_empty()).collect()
}

/// Where `tests/foreign` put a release that Debian 12 has not; `run PROGRAM` in it runs one.
pub fn foreign(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_quorate")).ancestors().nth(2);
    let folder = target.expect("`target/PROFILE`").join("foreign").join(name);
    assert!(folder.join("run").exists(), "{name} is missing: run `./tests/run install`");
    folder
}

/// The release of this server that tests are to be about (`./tests/run releases`), if it is not Debian's.
pub fn release(server: &str) -> Option<String> {
    std::env::var("QUORATE_RELEASE").ok().filter(|release| release.starts_with(server))
}

/// A port that is free on UDP and TCP, and that no other test draws until this process ends.
///
/// BIND shares its port with whoever else does (SO_REUSEPORT), and the kernel deals out packets and connections among them: two
/// tests that drew one port in the moment before their servers started would each meet the other's server now and then, which
/// holds the same zone. So a port that is drawn is held by a name first, which the kernel frees with the process, and only
/// then tried; and it is none of those that the kernel deals out by itself (`ip_local_port_range`, from 32,768 on): some
/// client may have it by the time that the server binds it.
pub fn free_port() -> u16 {
    loop {
        let drawn = RandomState::new().build_hasher().finish() % 22_000;
        let port = 10_000 + u16::try_from(drawn).expect("less than 22,000");
        let free = || {
            let tcp = TcpListener::bind(("127.0.0.1", port));
            tcp.is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
        };
        if hold(port) && free() {
            return port;
        }
    }
}

/// Holds a port's name until this process ends; not if somebody does already.
fn hold(port: u16) -> bool {
    let name = net::SocketAddr::from_abstract_name(format!("quorate-test-port-{port}"));
    match UnixDatagram::bind_addr(&name.expect("a short name")) {
        Ok(held) => {
            std::mem::forget(held);
            true
        }
        Err(_) => false,
    }
}

#[test]
fn a_port_is_drawn_once() {
    let port = free_port();
    assert!(!hold(port), "it was free, and is drawn");
    let drawn: std::collections::BTreeSet<_> = (0..100).map(|_| free_port()).collect();
    assert_eq!((drawn.len(), drawn.contains(&port)), (100, false));
}

/// A server's process; killed when dropped, and by the kernel when the test dies.
pub struct Process(Child);

impl Process {
    /// Starts a server as `user` (only root can; others start it as themselves), its output in `log`.
    pub fn start(user: Option<&str>, log: &Path, program: &Path, arguments: &[&str]) -> Self {
        let log = std::fs::File::create(log).expect("a log file");
        let child = command_as(user, program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("setpriv (util-linux) is installed");
        Self(child)
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let _ = self.0.wait();
    }

    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            let pid = Pid::from_raw(self.0.id() as i32).expect("a running process has a pid");
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Signal::KILL);
    }
}

/// A command that runs as `user` where we are root, and dies with us.
pub fn command_as(user: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let (Some(user), true) = (user, rustix::process::geteuid().is_root()) {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg(program);
    command
}

/// Runs a command to its end; panics with its output if it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{complaint}");
    text
}
