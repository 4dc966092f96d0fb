//! The network: one namespace for each host, all joined by the test's own, which forwards between them.
//!
//! Cuts are pairs of interfaces between which nothing is forwarded. The test itself is the router, so it still reaches
//! everybody; hosts notice only silence, as they would behind a broken cable.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

use super::lab::server_user;
use super::process::run;

/// Every host, in the order of their addresses: five regions, two stacks, a name server and a client.
pub const HOSTS: [&str; 9] = ["r1", "r2", "r3", "r4", "r5", "s1", "s2", "dns", "client"];

/// The five regions.
pub const REGIONS: [&str; 5] = ["r1", "r2", "r3", "r4", "r5"];

/// Where a host is: `10.77.N.2`, with N counted from one.
pub fn address(host: &str) -> Ipv4Addr {
    let place = HOSTS.iter().position(|name| *name == host);
    let place = place.unwrap_or_else(|| panic!("no host `{host}` among {HOSTS:?}"));
    Ipv4Addr::new(10, 77, u8::try_from(place + 1).expect("few hosts"), 2)
}

/// Where a host is by IPv6, once [`Fabric::add_six`] was called: `fd77:N::2`.
pub fn address_six(host: &str) -> Ipv6Addr {
    let [_, _, place, _] = address(host).octets();
    Ipv6Addr::new(0xfd77, place.into(), 0, 0, 0, 0, 0, 2)
}

/// Where the router is for a host: an address that no cut keeps from it.
pub fn router(host: &str) -> Ipv4Addr {
    let [a, b, c, _] = address(host).octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// The network of one world.
pub struct Fabric(());

impl Fabric {
    pub(super) fn new() -> Self {
        fs::create_dir_all("/run/netns").expect("`/run` is this world's own");
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("this network is this world's own");
        ip("link set lo up");
        for host in HOSTS {
            let own = address(host);
            let router = router(host);
            ip(&format!("netns add {host}"));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("link add {host} type veth peer name up0 netns {host}"));
            ip(&format!("addr add {router}/24 dev {host}"));
            ip(&format!("link set {host} up"));
            ip(&format!("-n {host} addr add {own}/24 dev up0"));
            ip(&format!("-n {host} link set up0 up"));
            ip(&format!("-n {host} route add default via {router}"));
        }
        nft("table inet fabric { set cut { type ifname . ifname; }; \
             set silent { type ifname . ifname . inet_service; }; \
             set unheard { type ifname . ifname . inet_service; }; chain between { \
             type filter hook forward priority 0; policy accept; \
             iifname . oifname @cut counter drop; \
             iifname . oifname . tcp sport @silent counter drop; \
             iifname . oifname . udp dport @unheard counter drop; }; }");
        Self(())
    }

    /// Gives every host an IPv6 address, too.
    pub fn add_six(&self) {
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("as for IPv4");
        for host in HOSTS {
            let own = address_six(host);
            let router = Ipv6Addr::from_bits(own.to_bits() - 1);
            ip(&format!("addr add {router}/64 dev {host} nodad"));
            ip(&format!("-n {host} addr add {own}/64 dev up0 nodad"));
            ip(&format!("-n {host} -6 route add default via {router}"));
        }
    }

    /// A command that will run on this host.
    pub fn command(&self, host: &str, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{host}")).arg("--").arg(program.as_ref());
        command
    }

    /// The same, as a user that is not root, for servers that refuse to be.
    pub fn command_as_server(&self, host: &str, program: impl AsRef<Path>) -> Command {
        let Some(user) = server_user() else { return self.command(host, program) };
        let mut command = self.command(host, "setpriv");
        command.args(["--reuid", user, "--regid", user, "--init-groups", "--"]);
        // Not root's, where nobody else may look for certificates.
        command.env("HOME", "/nonexistent");
        command.arg(program.as_ref());
        command
    }

    /// Nothing passes between two hosts.
    pub fn cut(&self, one: &str, other: &str) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Nothing passes from one host to another; the way back stays open.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        nft(&format!("add element inet fabric cut {{ \"{from}\" . \"{to}\" }}"));
    }

    /// Nothing that a host's server on this port says reaches the other.
    pub fn silence(&self, from: &str, port: u16, to: &str) {
        nft(&format!("add element inet fabric silent {{ \"{from}\" . \"{to}\" . {port} }}"));
    }

    /// Nothing that these hosts send to this UDP port of another gets there. Whoever sends over QUIC sends it again for a
    /// while, so that it comes late once [`Fabric::pass_on`] lets it through.
    pub fn hold_back(&self, from: &[&str], to: &str, port: u16) {
        let ways: Vec<_> =
            from.iter().map(|from| format!("\"{from}\" . \"{to}\" . {port}")).collect();
        nft(&format!("add element inet fabric unheard {{ {} }}", ways.join(", ")));
    }

    /// What was held back gets there, if its sender still sends it.
    pub fn pass_on(&self) {
        nft("flush set inet fabric unheard");
    }

    /// Nothing passes between this host and any other.
    pub fn isolate(&self, host: &str) {
        let others = HOSTS.into_iter().filter(|other| *other != host);
        let ways =
            others.map(|other| format!("\"{host}\" . \"{other}\", \"{other}\" . \"{host}\""));
        // All in one step: a host does not fade away.
        let ways: Vec<_> = ways.collect();
        nft(&format!("add element inet fabric cut {{ {} }}", ways.join(", ")));
    }

    /// Nothing passes between the two groups.
    pub fn split(&self, one: &[&str], other: &[&str]) {
        for near in one {
            for far in other {
                self.cut(near, far);
            }
        }
    }

    /// Mends every cut.
    pub fn heal(&self) {
        nft(
            "flush set inet fabric cut; flush set inet fabric silent; flush set inet fabric unheard",
        );
    }
}

fn ip(words: &str) {
    run(Command::new("ip").args(words.split(' ')));
}

fn nft(rule: &str) {
    run(Command::new("nft").arg(rule));
}
