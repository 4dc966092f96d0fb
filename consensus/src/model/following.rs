//! Endpoints that are followed instead of listed: a source says where they are, and what is agreed is what a quorum found there.
//!
//! A definition that follows holds the places agreed last as ordinary endpoints of its stack, named by their address; so
//! looks, evidence, answers and records know nothing of sources. What one agent sees of a source is no truth: another set of
//! places is another revision, which a voter accepts only if it found those places itself.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AppId, Definition, Endpoint, RecordData, RecordKind, StackId, TargetName};

/// The most places that are taken of one source.
pub const FOLLOWED_LIMIT: usize = 16;
/// The most sources one endpoint is followed at, the first that knows any counting.
pub const SOURCE_LIMIT: usize = 4;
/// The longest name of a followed endpoint: with the longest address and a port it is a target's name still.
pub const FOLLOWED_NAME_LIMIT: usize = 16;

/// Endpoints of a stack that are found at a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Of which stack.
    pub stack: StackId,
    /// Where to look, in order: the first that knows any place counts, so that a load balancer takes the place of the servers
    /// behind it once there is one.
    pub sources: Vec<Source>,
    /// How to look at what is found: everything but its name, address and port, which are where it begins.
    pub endpoint: Endpoint,
    /// The records that hold the addresses of the stack's endpoints while it is active.
    pub records: Vec<(String, RecordKind)>,
}

/// Where endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// The addresses of a name; of one whose first label begins with `_`, the services there (RFC 2782).
    Dns {
        /// The name, lower case, without the final dot.
        name: String,
        /// Who is asked, where it is not the host's own resolver.
        server: Option<SocketAddr>,
    },
    /// JSON behind a URL.
    Json(String),
    /// A file on every agent's host.
    File(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { name, server: None } => write!(f, "dns:{name}"),
            Self::Dns { name, server: Some(server) } => write!(f, "dns://{server}/{name}"),
            Self::Json(url) => f.write_str(url),
            Self::File(path) => f.write_str(path),
        }
    }
}

/// A place that a source names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The address.
    pub address: IpAddr,
    /// The port, where the source tells it.
    pub port: Option<u16>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.address, port)),
            None => write!(f, "{}", self.address),
        }
    }
}

/// Where followed endpoints were before they were followed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Of which stack.
    pub stack: StackId,
    /// Which of its endpoints.
    pub name: TargetName,
    /// The places agreed before.
    pub places: BTreeSet<Place>,
}

/// A source to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// For which app.
    pub app: AppId,
    /// Of which stack.
    pub stack: StackId,
    /// Which of its endpoints.
    pub name: TargetName,
    /// Where, in order.
    pub sources: Vec<Source>,
    /// How long it may take.
    pub limit: Duration,
}

/// What a source said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// For which app.
    pub app: AppId,
    /// Of which stack.
    pub stack: StackId,
    /// Which of its endpoints.
    pub name: TargetName,
    /// The places, and how long that may be believed where the source tells; or why it told none.
    pub what: Result<(BTreeSet<Place>, Option<Duration>), String>,
}

impl Following {
    /// The endpoint at a place.
    pub fn at(&self, place: Place) -> Endpoint {
        let port = place.port.unwrap_or(self.endpoint.port);
        Endpoint {
            name: self.named(place.address, port),
            address: place.address.to_string(),
            port,
            ..self.endpoint.clone()
        }
    }

    /// Of its address, so that a name never comes to mean another machine; and of its port, where that is another.
    fn named(&self, address: IpAddr, port: u16) -> TargetName {
        let mut name = self.endpoint.name.to_string();
        match address {
            IpAddr::V4(it) => it.octets().iter().for_each(|part| name += &format!("-{part}")),
            IpAddr::V6(it) => it.segments().iter().for_each(|part| name += &format!("-{part:x}")),
        }
        if port != self.endpoint.port {
            name += &format!("-{port}");
        }
        // Too long only where the file's parser was not asked, and then it is refused.
        name.parse().unwrap_or_else(|_| self.endpoint.name.clone())
    }

    /// The place of an endpoint, if it is one of these.
    pub fn place(&self, endpoint: &Endpoint) -> Option<Place> {
        let address = endpoint.address.parse().ok()?;
        let port = (endpoint.port != self.endpoint.port).then_some(endpoint.port);
        let place = Place { address, port };
        (self.at(place) == *endpoint).then_some(place)
    }

    /// A place as it is compared: a port that is the usual one goes without saying.
    pub fn usual(&self, place: Place) -> Place {
        Place { port: place.port.filter(|port| *port != self.endpoint.port), ..place }
    }

    /// Does another follow the same, the same way?
    pub fn goes_on_in(&self, other: &Self) -> bool {
        (&self.stack, &self.sources, &self.endpoint)
            == (&other.stack, &other.sources, &other.endpoint)
    }
}

impl Definition {
    /// The places agreed last.
    pub fn places(&self, of: &Following) -> BTreeSet<Place> {
        let stack = self.stack(&of.stack);
        stack.iter().flat_map(|it| &it.endpoints).filter_map(|it| of.place(it)).collect()
    }

    /// The same with these places in the place of those agreed last; unless a record would be left with nothing.
    pub fn placed(&self, of: &Following, places: &BTreeSet<Place>) -> Option<Self> {
        let mut next = self.clone();
        let stack = next.stacks.iter_mut().find(|it| it.name == of.stack)?;
        stack.endpoints.retain(|it| of.place(it).is_none());
        stack.endpoints.extend(places.iter().map(|place| of.at(*place)));
        // In one order whatever changed last: else the same file would seem to be another.
        let order = |it: &Endpoint| {
            let followed = self.following.iter().map(|of| of.place(it));
            followed.enumerate().find_map(|(at, place)| Some((at, place?)))
        };
        stack.endpoints.sort_by_key(order);
        let held = next.held(of);
        for (record, data) in held {
            if data.is_empty() {
                return None;
            }
            let mut records = next.records.iter_mut();
            let record = records.find(|it| (&it.name, it.kind) == (&record.0, record.1))?;
            record.values.insert(of.stack.clone(), data);
        }
        Some(next)
    }

    /// The same with the places that another agreed on, wherever both follow alike.
    pub fn keeping_places(&self, before: &Self) -> Self {
        let alike = |it: &&Following| before.following.iter().any(|old| it.goes_on_in(old));
        let followed = self.following.iter().filter(alike);
        followed.fold(self.clone(), |next, it| next.placed(it, &before.places(it)).unwrap_or(next))
    }

    /// What is followed alike here and there, and to other places there: where it is here.
    pub fn left_by(&self, next: &Self) -> Vec<Left> {
        let alike = |it: &&Following| next.following.iter().any(|other| it.goes_on_in(other));
        let moved = self.following.iter().filter(alike).filter_map(|it| {
            let places = self.places(it);
            let (stack, name) = (it.stack.clone(), it.endpoint.name.clone());
            (places != next.places(it)).then_some(Left { stack, name, places })
        });
        moved.collect()
    }

    /// The same with followed endpoints where they were before.
    pub fn led_back(&self, left: &[Left]) -> Option<Self> {
        left.iter().try_fold(self.clone(), |next, left| next.placed(self.left(left)?, &left.places))
    }

    /// What is followed, of which this is where it was.
    pub fn left(&self, left: &Left) -> Option<&Following> {
        let is = |it: &&Following| it.stack == left.stack && it.endpoint.name == left.name;
        self.following.iter().find(is)
    }

    /// Is everything that is followed somewhere, in bounds, and held by the records that hold it?
    pub fn follows_well(&self) -> bool {
        self.following.iter().all(|it| {
            let places = self.places(it).len();
            (1..=FOLLOWED_LIMIT).contains(&places)
                && (1..=SOURCE_LIMIT).contains(&it.sources.len())
                && it.endpoint.name.as_str().len() <= FOLLOWED_NAME_LIMIT
                && self.held(it).into_iter().all(|((name, kind), data)| {
                    let mut records = self.records.iter();
                    let record = records.find(|held| (&held.name, held.kind) == (&name, kind));
                    !data.is_empty()
                        && record.and_then(|held| held.values.get(&it.stack)) == Some(&data)
                })
        })
    }

    /// What the records of a followed endpoint hold while its stack is active: the address of each of the stack's endpoints.
    fn held(&self, of: &Following) -> Vec<((String, RecordKind), Vec<RecordData>)> {
        let endpoints = self.stack(&of.stack).map(|it| &it.endpoints[..]).unwrap_or_default();
        let addresses: BTreeSet<IpAddr> =
            endpoints.iter().filter_map(|it| it.address.parse().ok()).collect();
        let data = |kind: RecordKind| {
            let fits = addresses.iter().filter(|it| match kind {
                RecordKind::A => it.is_ipv4(),
                RecordKind::Aaaa => it.is_ipv6(),
                _ => false,
            });
            fits.map(|address| RecordData::Address(*address)).collect()
        };
        of.records.iter().map(|(name, kind)| ((name.clone(), *kind), data(*kind))).collect()
    }
}
