//! The app that most tests define: `shop`, in the stacks `s1` and `s2`, published in both ways.

use std::time::Duration;

use super::bind::ZONE;
use super::fabric::address;

/// The name that the built-in servers answer for.
pub const INSIDE: &str = "shop.edge.test";
/// The same app's name at the outside name server.
pub const OUTSIDE: &str = "shop.example.test";

/// Two stacks, by their hosts, and who guards each.
pub const TWO: &[(&str, &str)] = &[("s1", "g1"), ("s2", "g2")];
/// Three of them; the name server's host is as good as any, where there is no name server.
pub const THREE: &[(&str, &str)] = &[("s1", "g1"), ("s2", "g2"), ("dns", "g3")];

/// What a test may want different in `shop`.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Between two looks.
    pub interval: Duration,
    /// Down only after this long without one success.
    pub window: Duration,
    /// Are there databases?
    pub databases: bool,
    /// Is it published at the outside name server too?
    pub outside: bool,
    /// How much may be lost.
    pub max_loss: &'static str,
    /// Do `g1` and `g2` guard them, so that nothing is promoted without proof?
    pub guarded: bool,
    /// Are they seen through those alone?
    pub hidden: bool,
    /// How long their guards' leases are.
    pub lease: &'static str,
    /// What the databases speak, and on which port.
    pub engine: (&'static str, u16),
    /// Each stack's second database: its name, what it speaks, and on which port.
    pub second: Option<(&'static str, &'static str, u16)>,
    /// Its stacks, by the hosts they are on, and who guards each.
    pub stacks: &'static [(&'static str, &'static str)],
    /// What else the file says, at its end.
    pub more: &'static str,
}

impl Default for Shop {
    /// Probed as seldom as so short a window allows: most of what a test costs is servers that are logged in to.
    fn default() -> Self {
        let (interval, window) = (Duration::from_secs(1), Duration::from_secs(2));
        let engine = ("postgres", 5432);
        let (databases, outside, guarded, hidden) = (true, true, false, false);
        let (max_loss, lease, second, more) = ("0", "10s", None, "");
        let stacks = TWO;
        Self {
            interval,
            window,
            databases,
            outside,
            max_loss,
            guarded,
            hidden,
            lease,
            engine,
            second,
            stacks,
            more,
        }
    }
}

impl Shop {
    /// The app file.
    pub fn text(&self) -> String {
        let Self { interval, window, databases, outside, max_loss, guarded, .. } = self;
        let Self { hidden, lease, engine, second, stacks, more, .. } = self;
        let (word, port) = *engine;
        let all: Vec<_> = [("orders", word, port)].into_iter().chain(*second).collect();
        let fencing = if *guarded { "required" } else { "best-effort" };
        let mut text = format!(
            "[app]\nname = \"shop\"\ncooldown = \"0s\"\n\n[quorum]\nregions = 2\n\n\
             [probe]\ninterval = \"{}ms\"\nwindow = \"{}ms\"\n\n[data]\nmax_loss = \"{max_loss}\"\n\
             fencing = \"{fencing}\"\nlease = \"{lease}\"\n\n[[zone]]\nname = \"edge.test\"\nns = [\"ns1.edge.test\"]\n\
             contact = \"hostmaster@edge.test\"\n",
            interval.as_millis(),
            window.as_millis(),
        );
        for (stack, guard) in *stacks {
            let host = address(stack);
            text += &format!(
                "\n[[stack]]\nname = \"{stack}\"\n\n[[stack.endpoint]]\n\
                 url = \"http://{host}/healthz\"\nexpect = {{ status = [200], body = \"ready\" }}\n"
            );
            for (name, engine, port) in all.iter().filter(|_| *databases) {
                text += &format!(
                    "\n[[stack.database]]\nname = \"{name}\"\nengine = \"{engine}\"\n\
                     address = \"{host}:{port}\"\ncredential = \"orders\"\n"
                );
                if *guarded {
                    text += &format!("guard = \"{guard}\"\n");
                }
                if *hidden {
                    text += "view = \"guard\"\n";
                }
            }
        }
        text += &format!("\n[[record]]\nname = \"{INSIDE}\"\ntype = \"A\"\nttl = 5\n");
        if *outside {
            text += &format!(
                "\n[[record]]\nname = \"{OUTSIDE}\"\ntype = \"A\"\nttl = 5\ndriver = \"rfc2136\"\n\
                 server = \"{}:53\"\nzone = \"{ZONE}\"\ncredential = \"dns-key\"\n",
                address("dns")
            );
        }
        text + more
    }
}
