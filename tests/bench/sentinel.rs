//! Redis Sentinel on the same fabric: three sentinels in three regions, a primary and a replica in the two stacks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tests::harness::fabric::address;
use tests::harness::lab::Lab;
use tests::harness::process::Process;
use tests::harness::wait::eventually;

use crate::failover::WINDOW;

const LIMIT: Duration = Duration::from_secs(60);

/// Kills the primary and reports how many milliseconds later the replica takes writes.
pub fn world(lab: &Lab) {
    let mut primary = redis(lab, "s1", "port 6379\n", 6379);
    let from = format!("port 6379\nreplicaof {} 6379\n", address("s1"));
    let _replica = redis(lab, "s2", &from, 6379);
    let settings = format!(
        "port 26379\nsentinel monitor shop {} 6379 2\nsentinel down-after-milliseconds shop {}\n\
         sentinel failover-timeout shop 10000\n",
        address("s1"),
        WINDOW.as_millis()
    );
    let _sentinels =
        ["r1", "r2", "r3"].map(|host| redis(lab, host, &format!("{settings}#sentinel"), 26379));
    for host in ["r1", "r2", "r3"] {
        eventually(LIMIT, "every sentinel knows the others and the replica", || {
            let told = ask(host, 26379, "INFO sentinel")?;
            let known = told.contains("slaves=1,sentinels=3");
            if known { Ok(()) } else { Err(told) }
        });
    }
    let killed = Instant::now();
    primary.kill();
    let took =
        eventually(LIMIT, "the replica is a primary", || match ask("s2", 6379, "SET kill mark")? {
            told if told.starts_with("+OK") => Ok(killed.elapsed()),
            told => Err(told),
        });
    lab.report(&took.as_millis().to_string());
}

fn redis(lab: &Lab, host: &str, settings: &str, port: u16) -> Process {
    let folder = lab.folder(&format!("{host}-redis"));
    let file = folder.join("redis.conf");
    let text = format!(
        "dir {}\nbind 0.0.0.0\nprotected-mode no\nsave \"\"\nrepl-diskless-sync-delay 0\n\
         repl-ping-replica-period 1\n{settings}\n",
        folder.display()
    );
    // A sentinel takes fewer settings than a server.
    let (text, sentinel) = match settings.contains("#sentinel") {
        true => (format!("dir {}\nprotected-mode no\n{settings}\n", folder.display()), true),
        false => (text, false),
    };
    std::fs::write(&file, text).expect("scratch folder takes files");
    let mut command = lab.fabric.command(host, "redis-server");
    command.arg(&file);
    if sentinel {
        command.arg("--sentinel");
    }
    let process = Process::start(lab, &format!("{host}-redis"), &mut command);
    eventually(LIMIT, &format!("Redis on {host} answers"), || ask(host, port, "PING"));
    process
}

/// One inline command, and what came back.
fn ask(host: &str, port: u16, command: &str) -> Result<String, String> {
    let server = SocketAddr::from((address(host), port));
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
