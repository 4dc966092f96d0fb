//! `NAME,REGION,ROLE,HOST:PORT[,KEY=ADDRESS:PORT…]` → an agent to be made.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use consensus::model::{AgentId, Region};

use crate::config::HostPort;

/// Where an agent's status is served unless its spec says otherwise.
const STATUS: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4791);
/// More than a mesh has agents.
const AGENT_LIMIT: usize = 64;
/// As `voters.toml` takes them: more are none safer (PROTOCOL.md section G).
const VOTER_LIMIT: usize = 9;

/// An agent to be made.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: AgentId,
    /// Its region.
    pub region: Region,
    /// Does it vote?
    pub voter: bool,
    /// Where the others reach it.
    pub address: Address,
    /// Where it listens for them.
    pub listen: SocketAddr,
    /// Where its status is served.
    pub status: SocketAddr,
    /// Where its DNS server answers, if it runs one.
    pub dns: Option<SocketAddr>,
}

/// `host:port` as typed, taken apart.
#[derive(Clone, Debug)]
pub struct Address {
    pub text: String,
    pub host: String,
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let parts: Vec<&str> = typed.split(',').map(str::trim).collect();
        let [name, region, role, address, options @ ..] = parts.as_slice() else {
            return Err("expected NAME,REGION,voter|observer,HOST:PORT".to_owned());
        };
        let voter = match *role {
            "voter" => true,
            "observer" => false,
            other => return Err(format!("role: expected `voter` or `observer`, found `{other}`")),
        };
        let reached: HostPort = address.parse().map_err(|why| format!("address: {why}"))?;
        let everywhere = SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), reached.port);
        // On loopback nothing else should be listened on; elsewhere the address may be one that only NAT knows.
        let listen = match reached.host.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() => SocketAddr::new(ip, reached.port),
            _ => everywhere,
        };
        let mut spec = Self {
            name: name.parse().map_err(|why| format!("name: {why}"))?,
            region: region.parse().map_err(|why| format!("region: {why}"))?,
            voter,
            address: Address { text: reached.joined(), host: reached.host },
            listen,
            status: STATUS,
            dns: None,
        };
        for option in options {
            let (key, value) = option
                .split_once('=')
                .ok_or_else(|| format!("expected KEY=ADDRESS:PORT, found `{option}`"))?;
            let at: SocketAddr = value
                .parse()
                .map_err(|_| format!("{key}: expected ADDRESS:PORT, found `{value}`"))?;
            match key {
                "listen" => spec.listen = at,
                "status" if at.ip().is_loopback() => spec.status = at,
                "status" => {
                    return Err(format!("status: expected a loopback address, found `{value}`"));
                }
                "dns" => spec.dns = Some(at),
                _ => return Err(format!("expected `listen`, `status` or `dns`, found `{key}`")),
            }
        }
        Ok(spec)
    }
}

/// Three voters in three regions of one machine, each with ports of its own.
pub fn on_this_machine() -> Vec<Spec> {
    let spec = |(name, region, port): (&str, &str, u16)| {
        let dns = 5300 + (port - 4790) / 2 + 1;
        format!(
            "{name},{region},voter,127.0.0.1:{port},status=127.0.0.1:{},dns=127.0.0.1:{dns}",
            port + 1
        )
        .parse()
        .expect("our own")
    };
    [("a1", "east", 4790), ("a2", "north", 4792), ("a3", "west", 4794)].map(spec).into()
}

/// Do these agents fit together?
///
/// # Errors
/// The first thing that does not.
pub fn check(specs: &[Spec]) -> Result<(), String> {
    let voters = specs.iter().filter(|spec| spec.voter).count();
    match (specs.len(), voters) {
        (_, 0) => {
            return Err(
                "no voter: at least one agent must be one, and three are the least".to_owned()
            );
        }
        (_, voters) if voters > VOTER_LIMIT => {
            return Err(format!(
                "expected at most {VOTER_LIMIT} voters, found {voters}: make the others observers"
            ));
        }
        (agents, _) if agents > AGENT_LIMIT => {
            return Err(format!("expected at most {AGENT_LIMIT} agents, found {agents}"));
        }
        _ => {}
    }
    let mut names = BTreeSet::new();
    let mut sockets = BTreeSet::new();
    for spec in specs {
        if !names.insert(&spec.name) {
            return Err(format!("agent `{}` is named twice", spec.name));
        }
        if !sockets.insert(("mesh", spec.address.text.clone())) {
            return Err(format!("two agents cannot both be reached at `{}`", spec.address.text));
        }
        let host = &spec.address.host;
        let mut taken = |what, at: SocketAddr, key: &str| match sockets
            .insert((what, format!("{host} {at}")))
        {
            true => Ok(()),
            false => Err(format!(
                "agent `{}`: another one on {host} has {what} on `{at}`: give it {key}=ADDRESS:PORT",
                spec.name
            )),
        };
        taken("status", spec.status, "status")?;
        if let Some(dns) = spec.dns {
            taken("dns", dns, "dns")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_names_an_agent() {
        let spec: Spec =
            "a1,ams,voter,127.0.0.1:1,status=127.0.0.1:2,dns=127.0.0.1:3".parse().expect("good");
        assert_eq!((spec.name.as_str(), spec.region.as_str(), spec.voter), ("a1", "ams", true));
        assert_eq!(spec.listen.to_string(), "127.0.0.1:1");
        assert_eq!(spec.dns.map(|dns| dns.port()), Some(3));
        let spec: Spec = "a1,ams,observer,host.example:1".parse().expect("good");
        assert_eq!((spec.listen.to_string(), spec.status), ("[::]:1".to_owned(), STATUS));
    }

    #[test]
    fn a_spec_that_is_none_says_why() {
        for (typed, why) in [
            ("a1,ams", "expected NAME,REGION"),
            ("A,ams,voter,h:1", "name: expected 1 to 63"),
            ("a,,voter,h:1", "region: expected"),
            ("a,b,boss,h:1", "role: expected `voter` or `observer`, found `boss`"),
            ("a,b,voter,h", "address: expected `host:port`, found `h`; the port is missing"),
            ("a,b,voter,h:1,x", "expected KEY=ADDRESS:PORT"),
            ("a,b,voter,h:1,x=127.0.0.1:1", "expected `listen`, `status` or `dns`, found `x`"),
            ("a,b,voter,h:1,dns=53", "dns: expected ADDRESS:PORT"),
            ("a,b,voter,h:1,status=0.0.0.0:1", "status: expected a loopback address"),
        ] {
            let found = typed.parse::<Spec>().expect_err(typed);
            assert!(found.starts_with(why), "{found}");
        }
    }

    #[test]
    fn agents_must_fit_together() {
        let specs = |typed: &[&str]| -> Vec<Spec> {
            typed.iter().map(|typed| typed.parse().expect("good")).collect()
        };
        assert_eq!(check(&on_this_machine()), Ok(()));
        for (typed, why) in [
            (&["a,r,observer,h:1"][..], "no voter"),
            (&["a,r,voter,h:1", "a,s,voter,i:1"], "agent `a` is named twice"),
            (&["a,r,voter,h:1", "b,s,voter,h:1"], "two agents cannot both be reached at `h:1`"),
            (
                &["a,r,voter,h:1", "b,s,voter,h:2"],
                "agent `b`: another one on h has status on `127.0.0.1:4791`",
            ),
        ] {
            let found = check(&specs(typed)).expect_err(why);
            assert!(found.starts_with(why), "{found}");
        }
    }
}
