//! The built-in DNS server: answers from what the voters agreed, with nobody in between.
//!
//! Whenever the agreed state changes, the zones are worked out anew and put in place at once; a query never waits. Once
//! no majority has confirmed the state for `stale_after`, answers become SERVFAIL, so that resolvers ask another agent
//! (PRODUCT.md section 3, promise 6). Decides nothing: the answer *is* the decision.

mod answer;
mod counters;
mod packet;
mod server;
mod zones;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use consensus::moment::Moment;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

pub use self::counters::{Counters, Transport};
use self::zones::Zones;
use crate::clock;
use crate::config::DnsConfig;
use crate::run::Agreed;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// For port 0, UDP's port is drawn first; the same one may be taken on TCP.
const DRAWS: usize = 16;

/// A running DNS server; it ends when this is dropped.
#[derive(Debug)]
pub struct Authority {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Authority {
    /// Where it answers, UDP and TCP alike; port 0 has become the one drawn.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it has answered so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

/// Why the DNS server cannot run.
#[derive(Debug, Error)]
pub enum StartError {
    /// The port is held by another.
    #[error("cannot listen on `{address}` ({transport}): another server holds the port, \
             `ss -lntup 'sport = {port}'` tells which", port = address.port())]
    Taken {
        /// The address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The port is one of the system's.
    #[error(
        "cannot listen on `{address}` ({transport}): ports below 1024 need CAP_NET_BIND_SERVICE, \
             as in the unit's `AmbientCapabilities=`"
    )]
    Privileged {
        /// The address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The address is not this host's.
    #[error("cannot listen on `{address}` ({transport}): this host has no such address")]
    Foreign {
        /// The address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on `{address}` ({transport})")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What all sockets answer from.
#[derive(Debug)]
struct Shared {
    zones: ArcSwap<Zones>,
    /// When a majority last confirmed the agreed state: microseconds, as in [`Moment`].
    confirmed: AtomicU64,
    stale_after: Duration,
    counters: Counters,
}

impl Shared {
    /// Has nobody confirmed the agreed state for too long?
    fn stale(&self) -> bool {
        let confirmed = Moment::from_micros(self.confirmed.load(Ordering::Relaxed));
        self.stale_after < clock::now().since(confirmed)
    }
}

/// Binds every address and answers from now on; within a tokio runtime.
///
/// The state that was saved answers for `stale_after` from the start, whoever can be reached.
pub fn start(
    config: &DnsConfig,
    mut agreed: watch::Receiver<Arc<Agreed>>,
) -> Result<Authority, StartError> {
    let started = clock::now();
    let first = agreed.borrow_and_update().clone();
    let shared = Arc::new(Shared {
        zones: ArcSwap::from_pointee(Zones::new(&first.apps)),
        confirmed: AtomicU64::new(first.confirmed.max(started).as_micros()),
        stale_after: config.stale_after,
        counters: Counters::default(),
    });
    say(&shared.zones.load());

    let mut tasks = JoinSet::new();
    let mut addresses = Vec::new();
    for &address in &config.listen {
        if address.ip().is_unspecified() {
            warn!(%address, "answers may leave from another address than was asked; list each one");
        }
        let (udp, tcp, bound) = bind(address)?;
        tasks.spawn(server::serve_udp(udp, shared.clone()));
        tasks.spawn(server::serve_tcp(tcp, shared.clone()));
        info!(address = %bound, "answers DNS");
        addresses.push(bound);
    }
    tasks.spawn(follow(agreed, first, started, shared.clone()));
    Ok(Authority { addresses, shared, _tasks: tasks })
}

/// Puts every change of the agreed state in place, until there are no more.
async fn follow(
    mut agreed: watch::Receiver<Arc<Agreed>>,
    mut served: Arc<Agreed>,
    started: Moment,
    shared: Arc<Shared>,
) {
    while agreed.changed().await.is_ok() {
        let latest = agreed.borrow_and_update().clone();
        let same = latest.apps.len() == served.apps.len()
            && latest.apps.iter().zip(&served.apps).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            let zones = Zones::new(&latest.apps);
            if zones.notes != shared.zones.load().notes {
                say(&zones);
            }
            shared.zones.store(Arc::new(zones));
        }
        shared.confirmed.store(latest.confirmed.max(started).as_micros(), Ordering::Relaxed);
        served = latest;
    }
}

fn say(zones: &Zones) {
    for note in &zones.notes {
        warn!("DNS: {note}");
    }
}

fn bind(address: SocketAddr) -> Result<(UdpSocket, TcpListener, SocketAddr), StartError> {
    let mut draws = DRAWS;
    loop {
        let udp = socket(address, Type::DGRAM).and_then(|udp| UdpSocket::from_std(udp.into()));
        let udp = udp.map_err(|source| refusal(address, "udp", source))?;
        let bound = udp.local_addr().map_err(|source| refusal(address, "udp", source))?;
        let tcp = socket(bound, Type::STREAM).and_then(|tcp| TcpListener::from_std(tcp.into()));
        match tcp {
            Ok(tcp) => return Ok((udp, tcp, bound)),
            Err(_) if address.port() == 0 && 1 < draws => draws -= 1,
            Err(source) => return Err(refusal(bound, "tcp", source)),
        }
    }
}

fn socket(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None::<Protocol>)?;
    // Both families may be listed with the same port.
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Only for connections: a restart must not wait for those of the process before.
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

fn refusal(address: SocketAddr, transport: &'static str, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::Taken { address, transport, source },
        io::ErrorKind::PermissionDenied => StartError::Privileged { address, transport, source },
        io::ErrorKind::AddrNotAvailable => StartError::Foreign { address, transport, source },
        _ => StartError::Listen { address, transport, source },
    }
}
