//! Doors as nftables has them: one table, and for each door a set whose elements the kernel forgets by itself.
//!
//! The filter matches every packet, so that sessions of before end as well: a client's next packet is answered with a reset,
//! and what the server still has to say does not leave the host. Loopback passes, and so do the addresses that a door names:
//! the agents, that look, and the replicas, that are to get all that was written.

use std::io;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::watchdog::WatchdogFault;
use crate::config::DoorConfig;

/// How long opening may take from reading the clock to the kernel's doing it; well below the core's margin of 250 ms, as the
/// kernel counts in steps of up to 10 ms.
pub(super) const TICKET: Duration = Duration::from_millis(200);

/// A call takes a few milliseconds.
const LIMIT: Duration = Duration::from_secs(1);

/// Users other than root often have no system folders on their path.
const PROGRAMS: [&str; 2] = ["nft", "/usr/sbin/nft"];

/// Why a door does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum DoorFault {
    /// The program is missing.
    #[error("`nft` is not installed: a guard needs nftables")]
    Missing,
    /// It does not run.
    #[error("cannot run `nft`")]
    Run(#[from] io::Error),
    /// It does not end.
    #[error("`nft` does not end within {LIMIT:?}")]
    Hangs,
    /// It says no.
    #[error("`nft` refuses: {0}; a guard needs CAP_NET_ADMIN")]
    Refuses(String),
    /// The watchdog beside the doors cannot be relied upon.
    #[error("`watchdog` of `[guard]`")]
    Watchdog(#[from] WatchdogFault),
    /// Nobody carries out orders any more.
    #[error("the guard's task has ended")]
    Gone,
}

/// Lays the rules, whatever is there: doors that are open stay open.
pub(super) async fn lay(doors: &[DoorConfig]) -> Result<(), DoorFault> {
    run(&rules(doors)).await
}

/// The first step of opening.
pub(super) async fn ticket(door: usize, config: &DoorConfig) -> Result<(), DoorFault> {
    let (port, ticket) = (config.ports[0], TICKET.as_millis());
    run(&format!(
        "flush set inet quorate ticket_{door}\n\
         add element inet quorate ticket_{door} {{ {port} timeout {ticket}ms }}\n"
    ))
    .await
}

/// The second: nothing of it is done if the ticket is gone.
pub(super) async fn open(
    door: usize,
    config: &DoorConfig,
    left: Duration,
) -> Result<(), DoorFault> {
    let (port, left) = (config.ports[0], left.as_millis());
    let ports: Vec<_> =
        config.ports.iter().map(|port| format!("{port} timeout {left}ms")).collect();
    run(&format!(
        "delete element inet quorate ticket_{door} {{ {port} }}\n\
         flush set inet quorate open_{door}\n\
         add element inet quorate open_{door} {{ {} }}\n",
        ports.join(", ")
    ))
    .await
}

/// Shuts a door at once; a ticket that is still there opens nothing any more.
pub(super) async fn shut(door: usize) -> Result<(), DoorFault> {
    run(&format!("flush set inet quorate ticket_{door}\nflush set inet quorate open_{door}\n"))
        .await
}

/// The whole table, laid in one go.
pub(super) fn rules(doors: &[DoorConfig]) -> String {
    let mut text = String::from("table inet quorate {\n");
    for door in 0..doors.len() {
        for set in ["open", "ticket"] {
            text += &format!("  set {set}_{door} {{ type inet_service; flags timeout; }}\n");
        }
    }
    // Before the filters of others: what they let pass must not come past this one.
    for hook in ["input", "output"] {
        text +=
            &format!("  chain {hook} {{ type filter hook {hook} priority -10; policy accept; }}\n");
    }
    text += "}\nflush chain inet quorate input\nflush chain inet quorate output\n";
    text += "table inet quorate {\n";
    for (hook, port, peer, interface) in
        [("input", "dport", "saddr", "iifname"), ("output", "sport", "daddr", "oifname")]
    {
        text += &format!("  chain {hook} {{\n    meta l4proto != tcp accept\n");
        text += &format!("    {interface} \"lo\" accept\n");
        for (number, door) in doors.iter().enumerate() {
            let ports: Vec<_> = door.ports.iter().map(u16::to_string).collect();
            let at = format!("    tcp {port} {{ {} }}", ports.join(", "));
            text += &format!("{at} tcp {port} @open_{number} accept\n");
            for (family, is) in
                [("ip", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("ip6", IpAddr::is_ipv6)]
            {
                let known: Vec<_> =
                    door.allow.iter().filter(|it| is(it)).map(IpAddr::to_string).collect();
                if !known.is_empty() {
                    text += &format!("{at} {family} {peer} {{ {} }} accept\n", known.join(", "));
                }
            }
            if hook == "output" {
                text += &format!("{at} tcp flags & rst == rst accept\n");
            }
            text += &format!("{at} reject with tcp reset\n");
        }
        text += "  }\n";
    }
    text + "}\n"
}

async fn run(script: &str) -> Result<(), DoorFault> {
    for program in PROGRAMS {
        match timeout(LIMIT, feed(program, script)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(said))) => return Err(DoorFault::Refuses(said)),
            Err(_) => return Err(DoorFault::Hangs),
        }
    }
    Err(DoorFault::Missing)
}

/// Runs `nft` on a script; what it complained of, if it failed.
async fn feed(program: &str, script: &str) -> io::Result<Option<String>> {
    let mut command = Command::new(program);
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Given up after its limit, it must not act later.
    let mut child = command.kill_on_drop(true).spawn()?;
    let mut input = child.stdin.take().expect("asked for");
    input.write_all(script.as_bytes()).await?;
    drop(input);
    let done = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&done.stderr);
    let first = said.lines().next().unwrap_or("it gives no reason");
    Ok((!done.status.success()).then(|| first.chars().take(200).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_lets_pass_what_is_open_and_who_is_named() {
        let door = DoorConfig {
            app: "shop".parse().expect("a name"),
            database: "orders".parse().expect("a name"),
            ports: vec![5432, 6432],
            allow: vec!["192.0.2.7".parse().expect("v4"), "2001:db8::7".parse().expect("v6")],
            rejoin: vec![],
            heartbeat: false,
        };
        let rules = rules(&[door]);
        let input = rules.rsplit_once("chain input {").map(|(_, rest)| rest).expect("a chain");
        let lines: Vec<_> = input.lines().map(str::trim).skip(1).take(6).collect();
        assert_eq!(
            lines,
            [
                "meta l4proto != tcp accept",
                "iifname \"lo\" accept",
                "tcp dport { 5432, 6432 } tcp dport @open_0 accept",
                "tcp dport { 5432, 6432 } ip saddr { 192.0.2.7 } accept",
                "tcp dport { 5432, 6432 } ip6 saddr { 2001:db8::7 } accept",
                "tcp dport { 5432, 6432 } reject with tcp reset",
            ]
        );
    }
}
