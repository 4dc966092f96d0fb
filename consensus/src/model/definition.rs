//! An app as its owner defined it: parsed, checked, and part of its register's value.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    AgentId, AppId, CredentialId, Following, Record, RecordData, Site, StackId, TargetId,
    TargetName,
};

/// The most bytes an encoded definition may have (PROTOCOL.md 0.1 f).
pub const DEFINITION_LIMIT: usize = 32 * 1024;
/// The most stacks of one app.
pub const STACK_LIMIT: usize = 8;
/// The most targets of one app, over all its stacks: two certificates of nine voters about all of them must fit one value.
pub const TARGET_LIMIT: usize = 32;
/// The most records of one app.
pub const RECORD_LIMIT: usize = 64;

/// What `quorate apply` puts before the voters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The app's name.
    pub name: AppId,
    /// Whether the mesh may act by itself.
    pub mode: Mode,
    /// How long after an automatic failover the next one must wait.
    pub cooldown: Duration,
    /// In how many regions, besides a majority of all voters, a stack must be seen down.
    pub regions: usize,
    /// How targets are looked at.
    pub probe: ProbePolicy,
    /// What may happen to data.
    pub data: DataPolicy,
    /// Zones the built-in server answers for.
    pub zones: Vec<Zone>,
    /// The stacks, in order of preference.
    pub stacks: Vec<Stack>,
    /// What clients look up.
    pub records: Vec<Record>,
    /// The endpoints that are followed.
    #[serde(default)]
    pub following: Vec<Following>,
}

impl Definition {
    /// The stack of this name.
    pub fn stack(&self, name: &StackId) -> Option<&Stack> {
        self.stacks.iter().find(|stack| stack.name == *name)
    }

    /// Every target of every stack, in the order of the file.
    pub fn targets(&self) -> impl Iterator<Item = (TargetId, Target<'_>)> {
        self.stacks.iter().flat_map(|stack| {
            let id = |name: &TargetName| TargetId {
                app: self.name.clone(),
                stack: stack.name.clone(),
                name: name.clone(),
            };
            let endpoints = stack.endpoints.iter().map(move |e| (id(&e.name), Target::Endpoint(e)));
            let databases = stack.databases.iter().map(move |d| (id(&d.name), Target::Database(d)));
            endpoints.chain(databases)
        })
    }

    /// The endpoints of a stack that its records lead to while it is active: one that is drained is watched, and that it is up
    /// says nothing of what clients get. All of them, where records lead to none (a load balancer's name), and those by name.
    pub fn led_to<'a>(&'a self, stack: &'a Stack) -> impl Iterator<Item = &'a Endpoint> {
        let held = |address: IpAddr| {
            let mut held = self.records.iter().filter_map(|record| record.values.get(&stack.name));
            held.any(|data| data.contains(&RecordData::Address(address)))
        };
        let held = move |it: &Endpoint| it.address.parse().ok().map(held);
        let some =
            1 < stack.endpoints.len() && stack.endpoints.iter().any(|it| held(it) == Some(true));
        stack.endpoints.iter().filter(move |it| !some || held(it) != Some(false))
    }

    /// Does any stack hold a database that a failover would have to promote?
    pub fn has_databases(&self) -> bool {
        self.data.fencing != Fencing::DnsOnly && self.databases().any(|it| !it.engine.is_followed())
    }

    /// Does its data choose its own place, so that DNS moves with it?
    pub fn follows(&self) -> bool {
        self.data.fencing != Fencing::DnsOnly && self.databases().any(|it| it.engine.is_followed())
    }

    fn databases(&self) -> impl Iterator<Item = &Database> {
        self.stacks.iter().flat_map(|stack| &stack.databases)
    }

    /// Every database that a failover could promote, with its guard: the list that a primary's guard has to know before
    /// one of them may be promoted (PROTOCOL.md 0.1 g).
    pub fn guarded(&self) -> impl Iterator<Item = (&StackId, &Database)> {
        let stacks = self.stacks.iter().filter(|_| self.has_databases());
        stacks.flat_map(|stack| stack.databases.iter().map(move |it| (&stack.name, it)))
    }

    /// Does the mesh tell this database whom to follow? Where a primary has to be rewound first, of two stacks one has the
    /// primary, and the other what was one.
    pub fn leads(&self, database: &Database) -> bool {
        let engine = database.engine;
        engine.is_led() && (engine.is_demoted() || self.stacks.len() > 2)
    }

    /// The agents that guard a stack's databases.
    pub fn guards(&self, stack: &StackId) -> BTreeSet<&AgentId> {
        self.guarded()
            .filter(|(of, _)| *of == stack)
            .filter_map(|(_, database)| database.guard.as_ref())
            .collect()
    }

    /// Does every database of a stack have a guard, so that it can be proven closed?
    pub fn is_guarded(&self, stack: &StackId) -> bool {
        let mut databases = self.guarded().filter(|(of, _)| *of == stack).peekable();
        databases.peek().is_some() && databases.all(|(_, database)| database.guard.is_some())
    }

    /// Are the databases of another definition guarded by the same agents?
    pub fn guarded_alike(&self, other: &Self) -> bool {
        let list = |of: &Self| -> Vec<_> {
            let all = of.guarded();
            all.map(|(stack, it)| (stack.clone(), it.name.clone(), it.guard.clone())).collect()
        };
        list(self) == list(other)
    }

    /// Are its databases the same ones, at the same places?
    pub fn databases_alike(&self, other: &Self) -> bool {
        let list = |of: &Self| -> Vec<_> {
            let place = |(stack, it): (&StackId, &Database)| {
                (stack.clone(), it.name.clone(), it.engine, it.address.clone(), it.port)
            };
            of.guarded().map(place).collect()
        };
        list(self) == list(other)
    }
}

/// Either kind of target, borrowed from its stack.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A web endpoint.
    Endpoint(&'a Endpoint),
    /// A database.
    Database(&'a Database),
}

/// Whether the mesh may act by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Act.
    #[default]
    Automatic,
    /// Decide, and wait for `quorate failover`.
    Approve,
    /// Say what would be done, touch nothing.
    Shadow,
}

/// How targets are looked at (PROTOCOL.md B.2 and 0.1 j).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePolicy {
    /// Between two looks at a healthy target.
    pub interval: Duration,
    /// The limit of one look.
    pub timeout: Duration,
    /// Down only after this long without one success.
    pub window: Duration,
}

/// What may happen to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPolicy {
    /// The most bytes of the primary's log that a promotion may leave behind; zero asks for synchronous replication, and
    /// [`u64::MAX`] leaves it to the other bound.
    pub max_loss_bytes: u64,
    /// The longest span of writes that a promotion may leave behind.
    #[serde(default)]
    pub max_loss_time: Option<Duration>,
    /// What must be known of the old primary before another is promoted.
    pub fencing: Fencing,
    /// How long a guard may hold its databases open without another word of the voters.
    #[serde(default = "DataPolicy::usual_lease")]
    pub lease: Duration,
    /// How many replicas the mesh makes a primary wait for; 0, and whom it waits for is left to whoever runs it.
    #[serde(default)]
    pub sync: u8,
}

impl DataPolicy {
    /// The lease where none is asked for (PROTOCOL.md H).
    pub const LEASE: Duration = Duration::from_secs(10);
    /// A shorter lease would be over before a renewal that was lost is asked for again.
    pub const LEASE_LEAST: Duration = Duration::from_secs(2);
    /// Whoever died without a word holds up its replacement for as long.
    pub const LEASE_MOST: Duration = Duration::from_secs(60);

    /// Is a lease of this length within its limits?
    pub fn may_last(lease: Duration) -> bool {
        (Self::LEASE_LEAST..=Self::LEASE_MOST).contains(&lease)
    }

    fn usual_lease() -> Duration {
        Self::LEASE
    }
}

/// What must be known of the old primary before another is promoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fencing {
    /// That it is fenced, proven by a guard.
    #[default]
    Required,
    /// Nothing: fencing is tried, and recorded as unproven.
    BestEffort,
    /// Databases are left alone.
    DnsOnly,
}

/// A zone the built-in server answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its apex, lower case, without the final dot.
    pub name: String,
    /// The names of its servers.
    pub ns: Vec<String>,
    /// The mail address of whoever answers for it.
    pub contact: String,
}

/// One complete copy of the app in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Its name.
    pub name: StackId,
    /// The place it lives in.
    pub site: Site,
    /// Its web endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Its databases.
    pub databases: Vec<Database>,
}

/// A web endpoint and how to look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name within the stack; `web-1`, `web-2`, … where the file gives none.
    pub name: TargetName,
    /// How to speak to it.
    pub scheme: Scheme,
    /// Where it listens: the host of its URL, an address or a name.
    pub address: String,
    /// The port it listens on.
    pub port: u16,
    /// The path and query to ask for; unused for TCP.
    pub path: String,
    /// The name to put into `Host`, SNI and the certificate check, where it is not `address`.
    pub host: Option<String>,
    /// What a healthy answer looks like.
    pub expect: Expect,
    /// A PEM bundle of the authorities to trust in place of the system's.
    pub authority: Option<String>,
}

/// How to speak to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP/1.1 over TCP.
    Http,
    /// HTTP/1.1 over TLS, certificate checked.
    Https,
    /// A TCP connection, nothing said.
    Tcp,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        })
    }
}

/// What a healthy answer looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// Any of these statuses; any 2xx if empty.
    pub status: Vec<u16>,
    /// Text that must be in the first 64 KiB of the body.
    pub body: Option<String>,
}

/// A database of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name; databases of the same name in different stacks are each other's replicas.
    pub name: TargetName,
    /// What it speaks.
    pub engine: Engine,
    /// The host it listens on, an address or a name.
    pub address: String,
    /// The port it listens on.
    pub port: u16,
    /// The name of the credential to log in with.
    pub credential: CredentialId,
    /// The agent on its host that closes it to writes when its lease ends; without one, nothing proves a fence.
    pub guard: Option<AgentId>,
    /// Who looks at it.
    #[serde(default)]
    pub view: SeenBy,
}

impl Database {
    /// The agent through which alone it is seen.
    pub fn seen_through(&self) -> Option<&AgentId> {
        self.guard.as_ref().filter(|_| self.view == SeenBy::Guard)
    }
}

/// Who looks at a database (PROTOCOL.md B.5, private databases).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenBy {
    /// Every agent itself.
    #[default]
    #[serde(rename = "direct")]
    All,
    /// Its guard, and what that tells an agent on their own link is the agent's first-hand observation: where nobody else
    /// reaches the database.
    Guard,
}

/// What a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL 12 or newer.
    Postgres,
    /// Redis 5 or newer, or Valkey.
    Redis,
    /// MariaDB 10.5 or newer, or MySQL 8.0.23 or newer.
    Mysql,
    /// MongoDB 3.6 or newer: a replica set, which elects its own primary.
    Mongodb,
}

impl Engine {
    /// Does a replica follow whom it is told to, so that the mesh tells it after a failover?
    pub fn is_led(self) -> bool {
        match self {
            Self::Postgres | Self::Redis | Self::Mysql => true,
            Self::Mongodb => false,
        }
    }

    /// Does a primary, too, become a replica by being told whom to follow? PostgreSQL's has to be rewound first, on its host
    /// (`rejoin`).
    pub fn is_demoted(self) -> bool {
        match self {
            Self::Postgres | Self::Mongodb => false,
            Self::Redis | Self::Mysql => true,
        }
    }

    /// Does a commit wait for any one replica, whichever confirms first, and for none by its name?
    pub fn waits_for_any(self) -> bool {
        match self {
            Self::Mysql => true,
            Self::Postgres | Self::Redis | Self::Mongodb => false,
        }
    }

    /// Does it agree by itself on who is the primary, so that it is followed and never driven (PROTOCOL.md rule 12)?
    pub fn is_followed(self) -> bool {
        match self {
            Self::Postgres | Self::Redis | Self::Mysql => false,
            Self::Mongodb => true,
        }
    }
}
