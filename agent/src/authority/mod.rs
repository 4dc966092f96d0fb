//! The built-in DNS server: answers from what the voters agreed, with nobody in between.
//!
//! Whenever the agreed state changes, the zones are worked out anew and put in place at once; a query never waits. Once
//! no majority has confirmed the state for `stale_after`, what rests on a stack that this agent does not itself see up becomes
//! SERVFAIL, so that resolvers ask another agent (PRODUCT.md section 3, promise 6). Decides nothing: the answer *is* the
//! decision.

mod answer;
mod body;
mod connections;
mod cookie;
mod copy;
mod counters;
mod datagrams;
mod desk;
mod journal;
mod limit;
mod notify;
mod owners;
mod query;
mod sets;
mod signing;
mod table;
#[cfg(test)]
mod tests;
mod transfer;
mod tsig;
mod zones;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use consensus::model::AppId;
use consensus::moment::Moment;
use hickory_proto::rr::TSigner;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::{info, warn};

use self::cookie::Baker;
use self::copy::{Copies, Whole};
use self::counters::{Code, Tally};
pub use self::counters::{Counters, Transport};
use self::desk::Desk;
use self::journal::Journal;
use self::limit::Limits;
use self::query::{Query, kind};
use self::sets::Status;
use self::table::Table;
use self::tsig::Signed;
use self::zones::{Extra, Zones};
use crate::clock;
use crate::config::DnsConfig;
use crate::run::{Agreed, Seen};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// For port 0, UDP's port is drawn first; the same one may be taken on TCP.
const DRAWS: usize = 16;
/// What a socket holds while its thread is busy, in bytes: some thousand queries, where the system allows it.
const QUEUE: usize = 4 * 1024 * 1024;
/// How late a new day is seen, at the most, where zones are signed: a clock may be set.
const DAY_LOOK: Duration = Duration::from_secs(60);

/// A running DNS server; it ends when this is dropped.
pub struct Authority {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    sockets: Vec<Arc<UdpSocket>>,
    threads: Vec<JoinHandle<()>>,
    _tasks: JoinSet<()>,
}

impl Authority {
    /// Where it answers, UDP and TCP alike; port 0 has become the one drawn.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it has answered so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for socket in &self.sockets {
            // It is not connected, says the system, and wakes whoever waits for a packet all the same.
            let _ = SockRef::from(&**socket).shutdown(Shutdown::Read);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
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
struct Shared {
    table: ArcSwap<Table>,
    /// When a majority last confirmed the agreed state: microseconds, as in [`Moment`].
    confirmed: AtomicU64,
    /// While none does: the stacks that this agent itself sees up.
    seen: ArcSwap<Seen>,
    stale_after: Duration,
    stopped: AtomicBool,
    /// Cookies are made with secrets drawn from this.
    master: [u8; 32],
    limits: Option<Arc<Limits>>,
    /// Of all connections.
    tcp: Arc<Tally>,
    /// Who may have whole zones.
    keys: Vec<TSigner>,
    /// What they are given; empty where nobody may.
    journal: watch::Sender<Arc<Journal>>,
    copies: Copies,
    extra: Extra,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn desk(&self, tally: Arc<Tally>, transport: Transport) -> Desk {
        let baker = Baker::new(self.master, wall());
        Desk::new(self.table.load_full(), baker, self.limits.clone(), (tally, transport))
    }

    /// What a holder of a key is to be given of a signed zone.
    async fn copy(&self, packet: &[u8], query: &Query<'_>) -> Option<Whole> {
        if !matches!(query.kind, kind::AXFR | kind::IXFR) {
            return None;
        }
        let now = clock::wall_ms() / 1000;
        let Signed::By(_) = tsig::check(&self.keys, packet, query, now) else { return None };
        let journal = self.journal.borrow().clone();
        self.copies.whole(journal, transfer::apex(packet)?, wall()).await
    }

    /// The messages that answer a request that is signed, or that should have been; one where it came in a datagram.
    fn respond(
        &self,
        desk: &mut Desk,
        packet: &[u8],
        query: &Query<'_>,
        from: IpAddr,
        signed: Option<&Whole>,
    ) -> Vec<Vec<u8>> {
        let now = clock::wall_ms() / 1000;
        let mut signing = match tsig::check(&self.keys, packet, query, now) {
            Signed::By(signing) => signing,
            Signed::Not => return vec![desk.refuse(query)],
            Signed::Badly(answer) => {
                desk.tally.answer(Code::Refused);
                return vec![answer];
            }
        };
        let journal = self.journal.borrow().clone();
        let messages = match (query.kind, desk.transport) {
            (kind::AXFR, Transport::Udp) => None,
            (kind::IXFR, Transport::Udp) => transfer::start(&journal, packet, query),
            (kind::AXFR | kind::IXFR, Transport::Tcp) => {
                transfer::messages(&journal, signed, packet, query)
            }
            _ => {
                let mut answer = Vec::new();
                desk.plain(query, from, &mut answer);
                Some(vec![answer])
            }
        };
        let mut messages = messages.unwrap_or_else(|| vec![desk.refuse(query)]);
        messages.retain(|message| !message.is_empty());
        for message in &mut messages {
            signing.sign(message, now);
        }
        messages
    }

    /// Serves what these apps hold from now on, and says what of it cannot be served.
    fn publish(
        &self,
        agreed: &Agreed,
        (online, day): (BTreeSet<AppId>, u32),
        served: &Zones,
    ) -> Arc<Zones> {
        let table = self.table.load();
        let of_copies = Extra { day, ..self.extra.clone() };
        let extra = Extra { online, ..of_copies.clone() };
        let revised = served.revised(agreed, &extra).and_then(|(zones, touched)| {
            let zones = Arc::new(zones);
            Some((table.revised(&zones, &touched)?, zones))
        });
        let (next, zones) = revised.unwrap_or_else(|| {
            let zones = Arc::new(Zones::new(agreed, &extra));
            (Table::new(&zones), zones)
        });
        if next.notes != table.notes {
            say(&next.notes);
        }
        self.table.store(Arc::new(next));
        if !self.keys.is_empty() {
            let whole = whole(agreed);
            self.journal.send_if_modified(|journal| {
                let revised = journal.zones.revised(&whole, &of_copies);
                let zones =
                    revised.map_or_else(|| Zones::new(&whole, &of_copies), |(zones, _)| zones);
                let before = journal.zones.clone();
                *journal = Arc::new(journal.advance(Arc::new(zones)));
                !journal.zones.iter().map(|it| &it.soa).eq(before.iter().map(|it| &it.soa))
            });
        }
        zones
    }

    /// Brings what a thread looks up once a batch up to date.
    fn refresh(&self, desk: &mut Desk) {
        let table = self.table.load();
        if !Arc::ptr_eq(&table, &desk.table) {
            desk.take(table.clone());
        }
        let confirmed = Moment::from_micros(self.confirmed.load(Ordering::Relaxed));
        (desk.now, desk.wall) = (clock::now(), wall());
        desk.stale = self.stale_after < desk.now.since(confirmed);
        if desk.stale {
            desk.seen = self.seen.load_full();
        }
        desk.baker.tell(desk.wall);
    }
}

/// The wall clock's seconds, as many as fit: cookies count in them (RFC 9018 section 4.3).
fn wall() -> u32 {
    (clock::wall_ms() / 1000) as u32
}

/// The day of a moment in seconds since 1970, as the versions of signed zones count them: since 2026 began.
fn day(seconds: u32) -> u32 {
    (seconds / 86_400).saturating_sub(20_454)
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
    let tcp = Arc::new(Tally::new(Transport::Tcp));
    let status = if config.status { Status::Told } else { Status::Untold };
    let keys = config.signing.clone();
    let extra = Extra { status, keys, day: day(wall()), ..Extra::default() };
    for signed in config.signing.iter() {
        for key in &signed.keys {
            info!("the parent needs: {}", key.delegation_text(&signed.apex));
        }
    }
    let zones = Arc::new(Zones::new(&first, &extra));
    let table = Table::new(&zones);
    let journal = match config.secondaries.is_empty() {
        true => Zones::default(),
        false => Zones::new(&whole(&first), &extra),
    };
    let shared = Arc::new(Shared {
        table: ArcSwap::from_pointee(table),
        confirmed: AtomicU64::new(first.confirmed.max(started).as_micros()),
        seen: ArcSwap::new(first.seen.clone()),
        stale_after: config.stale_after,
        stopped: AtomicBool::new(false),
        master: rand::random(),
        limits: Limits::new(config.rate_limit).map(Arc::new),
        tcp: tcp.clone(),
        keys: config.secondaries.iter().map(|secondary| secondary.key.clone()).collect(),
        journal: watch::Sender::new(Arc::new(Journal::new(Arc::new(journal)))),
        copies: Copies::default(),
        extra,
    });
    say(&shared.table.load().notes);

    let mut authority = Authority {
        addresses: Vec::new(),
        shared: shared.clone(),
        counters: Arc::new(Counters::new(Vec::new())),
        sockets: Vec::new(),
        threads: Vec::new(),
        _tasks: JoinSet::new(),
    };
    let mut tallies = vec![tcp];
    for &address in &config.listen {
        if address.ip().is_unspecified() {
            warn!(%address, "answers may leave from another address than was asked; list each one");
        }
        let (sockets, listener, bound) = bind(address, config.threads)?;
        for socket in sockets {
            let (socket, tally) = (Arc::new(socket), Arc::new(Tally::new(Transport::Udp)));
            authority.sockets.push(socket.clone());
            tallies.push(tally.clone());
            let (desk, shared) = (shared.desk(tally, Transport::Udp), shared.clone());
            let thread = std::thread::Builder::new().name("dns".to_owned());
            let thread = thread.spawn(move || datagrams::serve(&socket, bound, desk, &shared));
            authority.threads.push(thread.map_err(|source| refusal(bound, "udp", source))?);
        }
        authority._tasks.spawn(connections::serve(listener, shared.clone()));
        info!(address = %bound, "answers DNS");
        authority.addresses.push(bound);
    }
    authority.counters = Arc::new(Counters::new(tallies));
    for secondary in &config.secondaries {
        let (journal, key) = (shared.journal.subscribe(), secondary.key.clone());
        let own = authority.addresses.iter().map(SocketAddr::ip).collect();
        authority._tasks.spawn(notify::tell(secondary.address, key, own, journal));
    }
    authority._tasks.spawn(follow(agreed, (first, zones), started, shared));
    Ok(authority)
}

/// Puts every change of the agreed state in place, until there are no more.
async fn follow(
    mut agreed: watch::Receiver<Arc<Agreed>>,
    (mut served, mut zones): (Arc<Agreed>, Arc<Zones>),
    started: Moment,
    shared: Arc<Shared>,
) {
    let told = shared.extra.status == Status::Told;
    let signed = !shared.extra.keys.is_empty();
    let (mut online, mut today) = (BTreeSet::new(), shared.extra.day);
    loop {
        // Who is online ends by itself, and so does a day.
        let standing = told.then(|| served.standing_changes_in(clock::now()));
        let changed = match standing.into_iter().chain(signed.then_some(DAY_LOOK)).min() {
            Some(wait) => timeout(wait, agreed.changed()).await,
            None => Ok(agreed.changed().await),
        };
        if let Ok(Err(_)) = changed {
            return;
        }
        let latest = agreed.borrow_and_update().clone();
        let still = if told { latest.online(clock::now()) } else { BTreeSet::new() };
        let day = if signed { day(wall()) } else { today };
        if !latest.same(&served) || still != online || day != today {
            (online, today) = (still.clone(), day);
            let (latest, shared) = (latest.clone(), shared.clone());
            // Thousands of records take milliseconds, in which this thread has other work.
            let publishing = spawn_blocking(move || shared.publish(&latest, (still, day), &zones));
            match publishing.await {
                Ok(published) => zones = published,
                Err(_) => return,
            }
        }
        shared.seen.store(latest.seen.clone());
        shared.confirmed.store(latest.confirmed.max(started).as_micros(), Ordering::Relaxed);
        served = latest;
    }
}

/// What secondaries hold: every target of the active stacks, for a copy must not rest on what one agent saw.
fn whole(agreed: &Agreed) -> Agreed {
    Agreed { apps: agreed.apps.clone(), ..Agreed::default() }
}

fn say(notes: &[String]) {
    for note in notes {
        warn!("DNS: {note}");
    }
}

/// Every UDP socket, so many, and the TCP listener of one address.
fn bind(
    address: SocketAddr,
    count: usize,
) -> Result<(Vec<UdpSocket>, TcpListener, SocketAddr), StartError> {
    let mut draws = DRAWS;
    loop {
        let first = socket(address, Type::DGRAM, Sharing::Alone);
        let first = first.map_err(|source| refusal(address, "udp", source))?;
        let bound = first.local_addr().map(|bound| bound.as_socket());
        let bound = bound.map_err(|source| refusal(address, "udp", source))?.unwrap_or(address);
        let listener = socket(bound, Type::STREAM, Sharing::Alone)
            .and_then(|listener| TcpListener::from_std(listener.into()));
        let listener = match listener {
            Ok(listener) => listener,
            Err(_) if address.port() == 0 && 1 < draws => {
                draws -= 1;
                continue;
            }
            Err(source) => return Err(refusal(bound, "tcp", source)),
        };
        let mut sockets = vec![first.into()];
        let sharing = |source| refusal(bound, "udp", source);
        // Only now, so that the first one has found out whether another process holds the port.
        SockRef::from(&sockets[0]).set_reuse_port(true).map_err(sharing)?;
        while sockets.len() < count {
            let next = socket(bound, Type::DGRAM, Sharing::Port).map_err(sharing)?;
            sockets.push(next.into());
        }
        return Ok((sockets, listener, bound));
    }
}

/// Who else may hold a socket's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Alone,
    /// Others of ours: the kernel deals packets out among them.
    Port,
}

fn socket(address: SocketAddr, kind: Type, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None::<Protocol>)?;
    // Both families may be listed with the same port.
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    match kind {
        Type::STREAM => {
            // Only for connections: a restart must not wait for those of the process before.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
        }
        _ => {
            socket.set_reuse_port(sharing == Sharing::Port)?;
            // As much as the system allows.
            let _ = socket.set_recv_buffer_size(QUEUE);
        }
    }
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
