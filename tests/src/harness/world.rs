//! Everything at once: agents, two stacks with nginx and PostgreSQL, BIND, and the app `shop` applied and served.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consensus::model::{Epoch, Phase};
use consensus::view::AppView;

use super::agents::Mesh;
use super::app::{INSIDE, OUTSIDE, Shop};
use super::bind::{Bind, Updates};
use super::fabric::address;
use super::lab::Lab;
use super::nginx::Web;
use super::postgres::{Postgres, Replication};
use super::resolver::{Answer, Watch, ask};
use super::wait::{eventually, promptly};

/// How long anything may take to settle, on a machine that runs another world beside this one.
pub const SETTLE: Duration = Duration::from_secs(60);

/// The whole world of most tests.
pub struct World<'a> {
    /// The agents.
    pub mesh: Mesh<'a>,
    /// The web servers of `s1` and `s2`.
    pub webs: [Web<'a>; 2],
    /// The primary on `s1` and its standby on `s2`.
    pub databases: [Postgres<'a>; 2],
    /// The outside name server.
    pub bind: Bind,
}

impl<'a> World<'a> {
    /// Brings everything up: `shop` as in the fast profile, replication synchronous, served from `s1`.
    pub fn new(lab: &'a Lab) -> Self {
        let world = Self::unapplied(lab, Updates::Granted);
        world.apply(lab, &Shop::default());
        world
    }

    /// Brings everything up except the app.
    pub fn unapplied(lab: &'a Lab, updates: Updates) -> Self {
        Self::replicated(lab, updates, Replication::Synchronous)
    }

    /// The same, with this sort of replication.
    pub fn replicated(lab: &'a Lab, updates: Updates, replication: Replication) -> Self {
        Self::of(lab, Mesh::new(lab), updates, replication)
    }

    /// The same with three agents in place of five.
    pub fn small(lab: &'a Lab, replication: Replication) -> Self {
        Self::of(lab, Mesh::small(lab), Updates::Granted, replication)
    }

    fn of(lab: &'a Lab, mut mesh: Mesh<'a>, updates: Updates, replication: Replication) -> Self {
        let webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let primary = Postgres::primary(lab, "s1");
        let standby = Postgres::standby(&primary, "s2", replication);
        let bind = Bind::start(lab, updates);
        mesh.start();
        Self { mesh, webs, databases: [primary, standby], bind }
    }

    /// Applies an app and waits until it is published and a failover would succeed.
    pub fn apply(&self, lab: &Lab, shop: &Shop) {
        self.mesh.apply(lab, &shop.text());
        self.mesh.settle(SETTLE, "shop", "s1");
        // A standby qualifies after 7.5 windows.
        self.mesh.ready(SETTLE + shop.window * 8, "shop");
        let first = Answer::Addresses(vec![address("s1")]);
        assert_eq!(ask(self.mesh.agents[0].dns(), INSIDE), first);
        if shop.outside {
            assert_eq!(ask(self.bind.address(), OUTSIDE), first);
        }
    }

    /// `kill -9` of the web server and the database of `s1`.
    pub fn kill_active(&mut self) -> Kill {
        let kill = Kill { at: Instant::now(), wall_ms: wall_ms() };
        self.webs[0].kill();
        self.databases[0].kill();
        kill
    }

    /// Watches the app's name at the outside server and at these agents' own.
    pub fn watches(&self, agents: &[usize]) -> Watches {
        let inside = agents.iter().map(|n| Watch::start(self.mesh.agents[*n].dns(), INSIDE));
        let outside = Watch::start(self.bind.address(), OUTSIDE);
        let watches = Watches { inside: inside.collect(), outside };
        for watch in watches.all() {
            eventually(SETTLE, "a watch sees the first answer", || {
                watch.first(address("s1")).ok_or("not yet")
            });
        }
        watches
    }

    /// Waits until an executor has claimed this phase of an epoch, and returns its name.
    pub fn executor_at(&self, phase: Phase, epoch: Epoch) -> String {
        self.mesh.executor_at("shop", phase, epoch)
    }

    /// The epoch that the first running agent knows.
    pub fn epoch(&self) -> Epoch {
        let agent = self.mesh.running().next().expect("somebody runs");
        agent.app("shop").expect("the app was applied").epoch
    }

    /// Waits until `s2` serves in every way: agreed, promoted, answered inside and outside.
    pub fn settle_on_standby(&self, watches: &Watches) -> AppView {
        let view = self.mesh.settle(SETTLE, "shop", "s2");
        eventually(SETTLE, "the standby takes writes", || match self.databases[1].writable()? {
            true => Ok(()),
            false => Err("still read-only".to_owned()),
        });
        for watch in watches.all() {
            eventually(SETTLE, "the answer is s2", || {
                watch.first(address("s2")).ok_or_else(|| format!("{:?}", watch.changes()))
            });
            // From the one to the other and never back: changed once.
            assert_eq!(watch.addresses(), [vec![address("s1")], vec![address("s2")]]);
        }
        view
    }
}

/// What clients see of `shop`, in both ways.
pub struct Watches {
    /// At agents' own servers.
    pub inside: Vec<Watch>,
    /// At the outside server.
    pub outside: Watch,
}

impl Watches {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Watch> {
        self.inside.iter().chain([&self.outside])
    }
}

/// The moment something was broken.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// For measuring.
    pub at: Instant,
    /// Milliseconds since 1970, to compare with the decision's own time.
    pub wall_ms: u64,
}

/// What took how long, counted from the kill.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Until the decision was proposed.
    pub decision: Duration,
    /// Until the standby took writes.
    pub promotion: Duration,
    /// Until the first changed answer of an agent's own server.
    pub inside: Duration,
    /// Until the first changed answer of the outside server.
    pub outside: Duration,
}

impl Timings {
    /// Follows a failover to its end, beginning right after the kill.
    pub fn follow(world: &World<'_>, kill: Kill, watches: &Watches) -> (Self, AppView) {
        let promoted = promptly(SETTLE, "the standby takes writes", || {
            match world.databases[1].writable()? {
                true => Ok(Instant::now()),
                false => Err("still read-only".to_owned()),
            }
        });
        let view = world.settle_on_standby(watches);
        let changed = |watch: &Watch| {
            watch.first(address("s2")).expect("settled on it").saturating_duration_since(kill.at)
        };
        let decided = view.decision.wall_ms.saturating_sub(kill.wall_ms);
        let timings = Self {
            decision: Duration::from_millis(decided),
            promotion: promoted.saturating_duration_since(kill.at),
            inside: changed(&watches.inside[0]),
            outside: changed(&watches.outside),
        };
        println!("timings: {}", timings.line());
        (timings, view)
    }

    /// One line, in milliseconds.
    pub fn line(&self) -> String {
        let Self { decision, promotion, inside, outside } = self;
        let [decision, promotion, inside, outside] =
            [decision, promotion, inside, outside].map(Duration::as_millis);
        format!(
            "decision {decision} promotion {promotion} dns-inside {inside} dns-outside {outside}"
        )
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    u64::try_from(since.as_millis()).expect("and before the sun dies")
}
