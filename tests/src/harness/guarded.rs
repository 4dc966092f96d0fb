//! The same guarded app over every engine that is driven: real servers, a guard with a door at each, and clients at every
//! server all the time.

use std::fmt::Display;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use consensus::view::AppView;

use super::agents::{Agent, Mesh};
use super::app::Shop;
use super::bind::{Bind, Updates};
use super::fabric::address;
use super::guards::{enrolled_of, holds, rejoin};
use super::lab::Lab;
use super::mariadb::MariaDb;
use super::mysql::{MySql, Version};
use super::nginx::Web;
use super::postgres::{Postgres, Replication};
use super::redis::{Make, Redis};
use super::sql::SqlServer as _;
use super::wait::eventually;
use super::world::SETTLE;
use super::writer::{Acknowledged, Dialect, Writers, lost};

/// A database of any engine.
pub enum Server<'a> {
    /// PostgreSQL.
    Postgres(Postgres<'a>),
    /// MariaDB.
    MariaDb(MariaDb<'a>),
    /// MySQL.
    MySql(MySql<'a>),
    /// Redis, or Valkey.
    Redis(Redis<'a>),
}

impl<'a> Server<'a> {
    /// A primary at the first of these hosts, and a replica of it at every other. Redis waits for no replica, whatever is asked.
    pub fn start<const N: usize>(
        lab: &'a Lab,
        dialect: Dialect,
        replication: Replication,
        hosts: [&str; N],
    ) -> [Self; N] {
        match dialect {
            Dialect::Postgres => {
                let primary = Postgres::primary(lab, hosts[0]);
                let others =
                    hosts[1..].iter().map(|host| Postgres::standby(&primary, host, replication));
                let others: Vec<_> = others.collect();
                let mut all = std::iter::once(primary).chain(others);
                hosts.map(|_| Self::Postgres(all.next().expect("one for each host")))
            }
            Dialect::MariaDb => {
                let servers = MariaDb::start(lab, hosts);
                if replication == Replication::Asynchronous {
                    servers[0].sql("set global rpl_semi_sync_master_enabled = 0");
                }
                servers.map(Self::MariaDb)
            }
            Dialect::MySql => {
                let servers = MySql::start(lab, Version::V8_4, hosts);
                if replication == Replication::Asynchronous {
                    servers[0].sql("set global rpl_semi_sync_source_enabled = 0");
                }
                servers.map(Self::MySql)
            }
            Dialect::Redis => Self::redis(lab, Make::Redis, hosts),
            Dialect::Valkey => Self::redis(lab, Make::Valkey, hosts),
        }
    }

    fn redis<const N: usize>(lab: &'a Lab, make: Make, hosts: [&str; N]) -> [Self; N] {
        hosts.map(|host| {
            let primary = (host != hosts[0]).then_some(hosts[0]);
            Self::Redis(make.start(lab, host, primary))
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Postgres(it) => it.address(),
            Self::MariaDb(it) => it.address(),
            Self::MySql(it) => it.address(),
            Self::Redis(it) => it.address(),
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        match self {
            Self::Postgres(it) => it.kill(),
            Self::MariaDb(it) => it.process.kill(),
            Self::MySql(it) => it.process.kill(),
            Self::Redis(it) => it.process.kill(),
        }
    }

    /// Starts it again on the same data as its host's service manager would.
    pub fn restart_as_service(&mut self) {
        match self {
            Self::Postgres(it) => it.restart_as_service(),
            Self::MariaDb(it) => it.restart_as_service(),
            Self::MySql(it) => it.restart_as_service(),
            Self::Redis(_) => panic!("a Redis that was killed has nothing"),
        }
    }

    /// Has its commits wait for a replica, as README.md has people do at a new primary of MariaDB or MySQL once one is there.
    pub fn waits(&self) {
        let said = match self {
            Self::MariaDb(it) => it.at_host(
                "set global rpl_semi_sync_master_timeout = 3600000, \
                 global rpl_semi_sync_master_wait_point = 'AFTER_SYNC', \
                 global rpl_semi_sync_master_enabled = 1",
            ),
            Self::MySql(it) => it.at_host(
                "set global rpl_semi_sync_source_timeout = 3600000, \
                 global rpl_semi_sync_source_enabled = 1",
            ),
            Self::Postgres(_) | Self::Redis(_) => return,
        };
        said.expect("it answers");
    }

    /// Stops all its processes where they are.
    pub fn freeze(&self) {
        match self {
            Self::Postgres(it) => it.process().freeze(),
            Self::MariaDb(it) => it.process.freeze(),
            Self::MySql(it) => it.process.freeze(),
            Self::Redis(it) => it.process.freeze(),
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        match self {
            Self::Postgres(it) => it.process().thaw(),
            Self::MariaDb(it) => it.process.thaw(),
            Self::MySql(it) => it.process.thaw(),
            Self::Redis(it) => it.process.thaw(),
        }
    }

    /// The acknowledged rows that it does not hold; asked through its door.
    pub fn lost(&self, ledger: &[Acknowledged]) -> Vec<i64> {
        match self {
            Self::Postgres(it) => lost(ledger, it),
            Self::MariaDb(it) => it.lost(ledger),
            Self::MySql(it) => it.lost(ledger),
            Self::Redis(it) => it.lost(ledger),
        }
    }

    /// How many rows it holds, asked at its own host.
    pub fn rows(&self) -> Result<String, String> {
        match self {
            Self::Postgres(it) => it.query_at_host("select count(*) from ledger"),
            Self::MariaDb(it) => it.at_host("select count(*) from app.ledger"),
            Self::MySql(it) => it.at_host("select count(*) from app.ledger"),
            Self::Redis(it) => it.at_host(&["DBSIZE"]),
        }
    }

    /// A standby gets something that its primary never had.
    pub fn diverge(&self) {
        let said = match self {
            Self::Postgres(_) => panic!("a standby of PostgreSQL takes nothing of its own, short of a promotion"),
            Self::MariaDb(it) => it.at_host("insert into app.ledger values (-1)"),
            Self::MySql(it) => it.at_host(
                "set global super_read_only = 0; insert into app.ledger values (-1); set global super_read_only = 1",
            ),
            Self::Redis(it) => it
                .at_host(&["REPLICAOF", "NO", "ONE"])
                .and_then(|_| it.at_host(&["SET", "own", "x"])),
        };
        said.expect("it answers");
    }

    /// Keeps a link on which nothing comes for a minute, as all of them do where nobody set it otherwise.
    pub fn is_patient(&self) {
        let said = match self {
            Self::Postgres(it) => it
                .query_at_host("alter system set wal_receiver_timeout = '60s'")
                .and_then(|_| it.query_at_host("select pg_reload_conf()")),
            Self::MariaDb(it) => it.at_host(
                "stop slave io_thread; set global slave_net_timeout = 60; start slave io_thread",
            ),
            Self::MySql(it) => it.at_host(
                "stop replica io_thread; set global replica_net_timeout = 60; start replica io_thread",
            ),
            Self::Redis(it) => it.at_host(&["CONFIG", "SET", "repl-timeout", "60"]),
        };
        said.expect("it answers");
    }

    /// A standby goes on receiving and applies nothing any more. Redis has no such state.
    pub fn stops_applying(&self) {
        let said = match self {
            Self::Postgres(it) => it.query_at_host("select pg_wal_replay_pause()"),
            Self::MariaDb(it) => it.at_host("stop slave sql_thread"),
            Self::MySql(it) => it.at_host("stop replica sql_thread"),
            Self::Redis(_) => panic!("a replica of Redis applies what it receives"),
        };
        said.expect("it answers");
    }

    /// Nor does it receive anything, where that can be stopped by itself.
    pub fn stops_receiving(&self) {
        let said = match self {
            Self::MariaDb(it) => it.at_host("stop slave"),
            Self::MySql(it) => it.at_host("stop replica"),
            Self::Postgres(_) | Self::Redis(_) => return,
        };
        said.expect("it answers");
    }

    /// Does it follow this host's server, connected? Asked at its own host, where no door is in the way.
    pub fn follows(&self, host: &str) -> Result<(), String> {
        let whom = address(host).to_string();
        let (said, words) = match self {
            Self::Postgres(it) => {
                let asked = "select status, sender_host from pg_stat_wal_receiver";
                (it.query_at_host(asked)?, vec![format!("streaming|{whom}")])
            }
            Self::MariaDb(it) => (
                it.at_host("show slave status")?,
                vec![format!("\t{whom}\t"), "\tYes\tYes\t".to_owned()],
            ),
            Self::MySql(it) => (
                it.at_host("show replica status")?,
                vec![format!("\t{whom}\t"), "\tYes\tYes\t".to_owned()],
            ),
            Self::Redis(it) => {
                let words = [format!("master_host:{whom}"), "master_link_status:up".to_owned()];
                (it.at_host(&["INFO", "replication"])?, words.to_vec())
            }
        };
        match words.iter().all(|word| said.contains(word)) {
            true => Ok(()),
            false => Err(said),
        }
    }
}

/// The word of the app file for who speaks this, and the port it listens on.
pub fn engine(dialect: Dialect) -> (&'static str, u16) {
    match dialect {
        Dialect::Postgres => ("postgres", 5432),
        Dialect::MariaDb | Dialect::MySql => ("mysql", 3306),
        Dialect::Redis | Dialect::Valkey => ("redis", 6379),
    }
}

/// What of the world a test may want different.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What its servers speak.
    pub dialect: Dialect,
    /// What a commit waits for.
    pub replication: Replication,
    /// How much may be lost.
    pub max_loss: &'static str,
    /// Does the mesh keep whom the primary waits for? Of PostgreSQL only.
    pub kept: bool,
}

/// The world: `shop` served from `s1`, every server behind a guarded door, clients at all of them.
pub struct Guarded<'a, const N: usize> {
    /// The voters.
    pub mesh: Mesh<'a>,
    /// A web server for each stack.
    pub webs: [Web<'a>; N],
    /// A database for each stack.
    pub servers: [Server<'a>; N],
    /// Its guard.
    pub guards: Vec<Agent<'a>>,
    /// The outside name server, where there is a host for it.
    pub bind: Option<Bind>,
    /// The clients, who run where no cut is in their way.
    pub writers: Writers,
}

impl<'a, const N: usize> Guarded<'a, N> {
    /// Brings everything up and waits until a failover would succeed and the primary takes rows.
    pub fn start(lab: &'a Lab, plan: Plan, stacks: &'static [(&str, &str)]) -> Self {
        let hosts: [&str; N] = std::array::from_fn(|n| stacks[n].0);
        let servers = Server::start(lab, plan.dialect, plan.replication, hosts);
        Self::over(lab, servers, plan, stacks, |_, _| String::new())
    }

    /// The same, and every guard can make a PostgreSQL of its host, which runs as a service, a replica again. Others need nobody
    /// for that as long as they alone have nothing.
    pub fn rejoining(lab: &'a Lab, plan: Plan, stacks: &'static [(&str, &str)]) -> Self {
        Self::served(lab, plan, stacks, |servers, n| match &servers[n] {
            Server::Postgres(it) => Some(rejoin(it)),
            Server::MariaDb(_) | Server::MySql(_) | Server::Redis(_) => None,
        })
    }

    /// The same of every server that can be rebuilt from its neighbour: one that is to be runs as a service from its next start on.
    pub fn rebuilding(lab: &'a Lab, plan: Plan, stacks: &'static [(&str, &str)]) -> Self {
        Self::served(lab, plan, stacks, |servers, n| match (&servers[n], &servers[(n + 1) % N]) {
            (Server::Postgres(it), _) => Some(rejoin(it)),
            (Server::MariaDb(it), Server::MariaDb(other)) => Some(it.rejoins(Some(other))),
            (Server::MySql(it), Server::MySql(other)) => {
                if n == 0 {
                    // Whoever is rebuilt copies as Quorate.
                    it.sql("grant backup_admin on *.* to quorate@'%'");
                }
                Some(it.rejoins(Some(other)))
            }
            _ => None,
        })
    }

    fn served(
        lab: &'a Lab,
        plan: Plan,
        stacks: &'static [(&str, &str)],
        rejoin: impl Fn(&[Server<'a>; N], usize) -> Option<Vec<String>>,
    ) -> Self {
        let hosts: [&str; N] = std::array::from_fn(|n| stacks[n].0);
        let mut servers = Server::start(lab, plan.dialect, plan.replication, hosts);
        for server in &mut servers {
            if let Server::Postgres(it) = server {
                it.kill();
                it.restart_as_service();
                eventually(SETTLE, "it answers again", || it.try_query("select 1"));
            }
        }
        Self::over(lab, servers, plan, stacks, |servers, n| {
            rejoin(servers, n).map(|words| format!("rejoin = {words:?}\n")).unwrap_or_default()
        })
    }

    /// The world over these servers, with what their doors say besides.
    fn over(
        lab: &'a Lab,
        servers: [Server<'a>; N],
        plan: Plan,
        stacks: &'static [(&str, &str)],
        door: impl Fn(&[Server<'a>; N], usize) -> String,
    ) -> Self {
        let Plan { dialect, max_loss, .. } = plan;
        let hosts: [&str; N] = std::array::from_fn(|n| stacks[n].0);
        let outside = !hosts.contains(&"dns");
        let webs = hosts.map(|host| Web::start(lab, host));
        let bind = outside.then(|| Bind::start(lab, Updates::Granted));
        let mut mesh = Mesh::small(lab);
        mesh.start();
        let engine = engine(dialect);
        let mut guards = enrolled_of(lab, &mesh, &[("orders", engine.1)], stacks);
        for (n, guard) in guards.iter_mut().enumerate() {
            guard.set_up(|setup| setup.more += &door(&servers, n));
            guard.start();
        }
        let guarded = true;
        let shop = Shop { stacks, engine, outside, guarded, max_loss, ..Shop::default() };
        let kept = if plan.kept { "sync = 1\nfencing" } else { "fencing" };
        mesh.apply(lab, &shop.text().replace("fencing", kept));
        mesh.settle(SETTLE, "shop", hosts[0]);
        holds(&guards[0], SETTLE);
        let addresses = servers.each_ref().map(Server::address);
        let writers = Writers::start(dialect, &addresses);
        let world = Self { mesh, webs, servers, guards, bind, writers };
        world.ready();
        world.takes(0);
        world
    }

    /// Waits until a failover would succeed.
    pub fn ready(&self) {
        self.mesh.ready(SETTLE * 2, "shop");
    }

    /// What the first running agent knows of the app.
    pub fn view(&self) -> AppView {
        let agent = self.mesh.running().next().expect("somebody runs");
        agent.app("shop").expect("the app was applied")
    }

    /// Waits until a server has taken twenty rows.
    pub fn takes(&self, server: usize) {
        let of = self.servers[server].address();
        eventually(SETTLE, &format!("{of} takes rows"), || match self.took(server) {
            0..20 => Err("not yet"),
            _ => Ok(()),
        });
    }

    /// Waits until a server has taken twenty rows more.
    pub fn takes_more(&self, server: usize) {
        let before = self.took(server);
        let of = self.servers[server].address();
        eventually(SETTLE, &format!("{of} takes more rows"), || match self.took(server) {
            now if before + 20 <= now => Ok(()),
            now => Err(format!("{now}, {before} before")),
        });
    }

    /// How many rows a server has acknowledged.
    pub fn took(&self, server: usize) -> usize {
        let of = self.servers[server].address();
        self.writers.acknowledged().iter().filter(|entry| entry.server == of).count()
    }

    /// Does the door of a server let a client in?
    pub fn reaches(&self, server: usize) -> bool {
        TcpStream::connect_timeout(&self.servers[server].address(), Duration::from_secs(1)).is_ok()
    }

    /// What was killed of a stack runs again, and its database is made to follow this host's.
    pub fn comes_back(&mut self, stack: usize, host: &str) {
        self.servers[stack].restart_as_service();
        self.webs[stack].restart();
        let what = format!("the old primary follows {host}");
        eventually(SETTLE * 2, &what, || self.servers[stack].follows(host));
    }

    /// `kill -9` of the web server and the database of a stack.
    pub fn kill(&mut self, stack: usize) -> Instant {
        let at = Instant::now();
        self.webs[stack].kill();
        self.servers[stack].kill();
        at
    }
}

/// A duration in milliseconds, as the tests print it.
pub fn ms(duration: Duration) -> impl Display {
    format!("{} ms", duration.as_millis())
}
