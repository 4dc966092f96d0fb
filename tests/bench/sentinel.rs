//! Redis Sentinel on the same fabric: three sentinels in three regions, a primary and a replica in the two stacks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tests::harness::fabric::address;
use tests::harness::lab::Lab;
use tests::harness::process::Process;
use tests::harness::redis::Redis;
use tests::harness::wait::{eventually, promptly};

use crate::database::set;
use crate::failover::WINDOW;

const LIMIT: Duration = Duration::from_secs(60);
const PORT: u16 = 26379;

/// Kills the primary and reports how many milliseconds later the replica takes writes.
pub fn world(lab: &Lab) {
    let mut primary = Redis::start(lab, "s1", None);
    let replica = Redis::start(lab, "s2", Some("s1"));
    let pace = format!(
        "sentinel down-after-milliseconds shop {}\nsentinel failover-timeout shop 10000\n",
        WINDOW.as_millis()
    );
    let hosts = ["r1", "r2", "r3"];
    let _sentinels = hosts.map(|host| watcher(lab, host, &pace));
    eventually(LIMIT, "every sentinel knows the others and the replica", || {
        hosts.iter().try_for_each(|host| known(host))
    });
    let killed = Instant::now();
    primary.process.kill();
    promptly(LIMIT, "the replica takes writes", || set(&replica));
    lab.report(&killed.elapsed().as_millis().to_string());
}

/// One sentinel of three that watch the primary on `s1`, with these settings more.
pub fn watcher(lab: &Lab, host: &str, pace: &str) -> Process {
    let folder = lab.folder(&format!("{host}-sentinel"));
    let file = folder.join("sentinel.conf");
    let text = format!(
        "dir {}\nprotected-mode no\nport {PORT}\nsentinel monitor shop {} 6379 2\n{pace}",
        folder.display(),
        address("s1"),
    );
    std::fs::write(&file, text).expect("scratch folder takes files");
    let mut command = lab.fabric.command(host, "redis-server");
    let process =
        Process::start(lab, &format!("{host}-sentinel"), command.arg(&file).arg("--sentinel"));
    eventually(LIMIT, &format!("the sentinel on {host} answers"), || ask(host, "PING"));
    process
}

/// Does a sentinel know the other two, and the replica?
pub fn known(host: &str) -> Result<(), String> {
    let told = ask(host, "INFO sentinel")?;
    if told.contains("slaves=1,sentinels=3") { Ok(()) } else { Err(told) }
}

/// One inline command, and what came back.
fn ask(host: &str, command: &str) -> Result<String, String> {
    let server = SocketAddr::from((address(host), PORT));
    let limit = Duration::from_millis(500);
    let told = || {
        let mut stream = TcpStream::connect_timeout(&server, limit)?;
        stream.set_read_timeout(Some(limit))?;
        write!(stream, "{command}\r\n")?;
        let mut bytes = [0; 8192];
        let length = stream.read(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    };
    told().map_err(|error: std::io::Error| error.to_string())
}
