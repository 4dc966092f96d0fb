//! Links to other agents: QUIC, both sides authenticated, messages in and out.
//!
//! [`consensus::outbox::Output::Send`] goes out as a datagram (gossip, pulses, echoes: newer is better) or on a
//! stream of its own (everything else: nothing waits behind a lost packet of something else). What comes in arrives
//! in the loop's queue as [`Input::Linked`], [`Input::Message`] and [`Input::Unlinked`], the sender named by its
//! certificate. Messages may be lost, repeated and reordered, so nothing here waits for a slow peer: what does not
//! fit its budget is dropped and counted. Between two agents at most one link counts; known addresses are dialled for
//! ever.
//!
//! Knows nothing of what messages mean, nor who votes.

mod dial;
mod greeting;
mod link;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use consensus::codec;
use consensus::message::Message;
use consensus::model::{AgentId, Voters};
use consensus::outbox::Input;
use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use crate::identity::Identity;
use greeting::{Greeting, Refusal};
use link::Link;

pub use greeting::PROTOCOL;

/// Messages of one link that may be on their way in at once.
const STREAMS: u32 = 64;
/// Handshakes that may be under way at once: each costs a signature.
const HANDSHAKES: usize = 32;
/// Agents dialled because others named them.
const LEARNED_LIMIT: usize = 256;
/// Lines kept about what keeps agents apart.
const TROUBLES_LIMIT: usize = 64;
/// How long a stopping agent tells the others so.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a mesh is started with.
pub struct Setup<'a> {
    /// Who this agent is.
    pub identity: &'a Identity,
    /// Who votes: both sides of a link must agree on it.
    pub voters: &'a Voters,
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// Where others reach this agent, `host:port`; with port 0, the port that the system gives.
    pub advertise: String,
    /// Where some others are reached, `host:port`.
    pub seeds: Vec<String>,
    /// Which run of this process this is: drawn at random.
    pub instance: u64,
    /// The loop's queue.
    pub inputs: mpsc::Sender<Input>,
}

/// Why there are no links.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The port is taken.
    #[error(
        "cannot listen on UDP `{0}`: another agent or program does; stop it, or change `mesh.listen`"
    )]
    Taken(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on UDP `{listen}`: see `mesh.listen`")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Certificate or authority cannot be used.
    #[error("cannot use this agent's certificate for the mesh")]
    Tls(#[source] rustls::Error),
}

/// What went over the links, counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages handed to the loop.
    pub received: AtomicU64,
    /// Messages handed to the network.
    pub sent: AtomicU64,
    /// Messages not sent: no link, or its budget used up.
    pub dropped: AtomicU64,
    /// Frames that were not what they should be.
    pub malformed: AtomicU64,
    /// Connections refused, by either side.
    pub refused: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The links of this agent.
pub struct Mesh {
    shared: Arc<Shared>,
    seeds: BTreeSet<String>,
    learned: BTreeMap<AgentId, (String, AbortHandle)>,
    tasks: Vec<AbortHandle>,
}

/// What the tasks of one mesh share.
struct Shared {
    me: AgentId,
    /// What this agent says first.
    greeting: Greeting,
    endpoint: Endpoint,
    inputs: mpsc::Sender<Input>,
    links: Mutex<BTreeMap<AgentId, Link>>,
    /// Held over a change of `links` and its announcement, so that the loop hears of changes in their order.
    announcing: tokio::sync::Mutex<()>,
    /// Changes with `links`.
    changed: watch::Sender<u64>,
    counters: Arc<Counters>,
    troubles: Mutex<BTreeMap<String, String>>,
}

impl Mesh {
    /// Binds, and starts to listen and to dial. Must be called within a runtime.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn start(setup: Setup<'_>) -> Result<Self, MeshError> {
        let (server, client) = tls::configs(setup.identity).map_err(MeshError::Tls)?;
        let listen = setup.listen;
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => MeshError::Taken(listen),
            _ => MeshError::Listen { listen, source },
        };
        let socket = bind(listen).map_err(refused)?;
        let runtime = Arc::new(TokioRuntime);
        let mut endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime)
            .map_err(refused)?;
        endpoint.set_default_client_config(client);
        let port = endpoint.local_addr().map_err(refused)?.port();
        let advertise = match setup.advertise.strip_suffix(":0") {
            Some(host) => format!("{host}:{port}"),
            None => setup.advertise,
        };

        let shared = Arc::new(Shared {
            me: setup.identity.member.name.clone(),
            greeting: Greeting::new(setup.voters, setup.instance, advertise),
            endpoint,
            inputs: setup.inputs,
            links: Mutex::default(),
            announcing: tokio::sync::Mutex::default(),
            changed: watch::Sender::new(0),
            counters: Arc::default(),
            troubles: Mutex::default(),
        });
        let seeds: BTreeSet<_> = setup.seeds.into_iter().collect();
        let mut tasks = vec![tokio::spawn(listen_for_ever(shared.clone())).abort_handle()];
        for seed in &seeds {
            let dialling = dial::for_ever(shared.clone(), seed.clone(), None);
            tasks.push(tokio::spawn(dialling).abort_handle());
        }
        Ok(Self { shared, seeds, learned: BTreeMap::new(), tasks })
    }

    /// Where this agent listens.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.shared.endpoint.local_addr()
    }

    /// Where others reach this agent: what it tells them.
    pub fn address(&self) -> &str {
        &self.shared.greeting.address
    }

    /// What went over the links.
    pub fn counters(&self) -> Arc<Counters> {
        self.shared.counters.clone()
    }

    /// What keeps, or last kept, agents apart: one line for each address or name.
    pub fn troubles(&self) -> Vec<String> {
        locked(&self.shared.troubles).values().cloned().collect()
    }

    /// Says something to an agent, if there is a link and room on it. Never waits.
    pub fn send(&self, to: &AgentId, message: &Message) {
        let link = locked(&self.shared.links).get(to).cloned();
        let outcome = match link {
            Some(link) => link.send(message, &self.shared.counters),
            None => false,
        };
        if !outcome {
            Counters::add(&self.shared.counters.dropped);
        }
    }

    /// Dials this agent there from now on, whenever there is no link.
    pub fn learn(&mut self, agent: AgentId, address: String) {
        let known = self.learned.get(&agent).is_some_and(|(known, _)| *known == address);
        let full = LEARNED_LIMIT <= self.learned.len() && !self.learned.contains_key(&agent);
        if known || full || agent == self.shared.me || self.seeds.contains(&address) {
            return;
        }
        let dialling = dial::for_ever(self.shared.clone(), address.clone(), Some(agent.clone()));
        let dialling = tokio::spawn(dialling).abort_handle();
        if let Some((_, older)) = self.learned.insert(agent, (address, dialling)) {
            older.abort();
        }
    }

    /// Hangs up, and tells the others so.
    pub async fn close(self) {
        let stopped = Refusal::Stopped;
        self.shared.endpoint.close(stopped.code(), stopped.to_string().as_bytes());
        // Nothing is lost if they do not hear it: they notice.
        let _ = tokio::time::timeout(FAREWELL, self.shared.endpoint.wait_idle()).await;
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        for task in self.tasks.iter().chain(self.learned.values().map(|(_, task)| task)) {
            task.abort();
        }
        let stopped = Refusal::Stopped;
        self.shared.endpoint.close(stopped.code(), stopped.to_string().as_bytes());
    }
}

impl Shared {
    fn linked(&self, agent: &AgentId) -> bool {
        locked(&self.links).contains_key(agent)
    }

    /// Logs a line about this place or agent, unless it is the one logged last.
    fn trouble(&self, about: &str, line: String) {
        let mut troubles = locked(&self.troubles);
        if troubles.get(about) == Some(&line) {
            return;
        }
        tracing::warn!(agent = %self.me, "{line}");
        if TROUBLES_LIMIT <= troubles.len() && !troubles.contains_key(about) {
            troubles.pop_first();
        }
        troubles.insert(about.to_owned(), line);
    }

    fn no_trouble(&self, about: &str) {
        locked(&self.troubles).remove(about);
    }
}

async fn listen_for_ever(shared: Arc<Shared>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    while let Some(incoming) = shared.endpoint.accept().await {
        let Ok(permit) = handshakes.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        // A forged source address cannot answer this, and so never costs us a signature.
        if handshakes.available_permits() < HANDSHAKES / 2 && !incoming.remote_address_validated() {
            // An error means that it cannot be asked, and then it is let go.
            let _ = incoming.retry();
            continue;
        }
        let shared = shared.clone();
        tokio::spawn(async move { link::answer(shared, incoming, permit).await });
    }
}

/// A UDP socket; on an IPv6 wildcard it serves IPv4, too, whatever the system's default.
fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

/// A message as it goes out.
fn frame(message: &Message) -> Bytes {
    codec::encode(message).into()
}

/// A panic elsewhere leaves these maps whole: every change is one call.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
