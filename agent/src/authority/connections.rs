//! Answers what is asked over connections, at most [`CONNECTIONS`] of them and [`CONNECTIONS_EACH`] from one address.
//!
//! Queries may be sent without waiting for answers; those that came together are answered together, in their order
//! (RFC 7766 section 6.2.1).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Shared;
use super::counters::Transport;
use super::desk::{Desk, Outcome};

/// The most connections at once.
const CONNECTIONS: usize = 256;
/// The most connections at once from one address, or from one /64 of IPv6, which one host can fill alone.
const CONNECTIONS_EACH: usize = 16;
/// How long a connection may say nothing, dawdle within a query, or not take its answers (RFC 7766 section 6.2.3).
const IDLE: Duration = Duration::from_secs(5);
/// Between two tries when a socket fails: out of file descriptors, mostly; without it the loop would spin.
const BREATH: Duration = Duration::from_millis(100);
/// What is read at once: some fifty queries.
const READ: usize = 2048;
/// Answers that are collected before they are sent.
const COLLECTED: usize = 32 * 1024;

/// Accepts connections and answers what they ask until dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let places = Arc::new(Places::default());
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept DNS queries over TCP");
                sleep(BREATH).await;
                continue;
            }
        };
        match Place::take(&places, from.ip()) {
            None => shared.tcp.turn_away(),
            Some(place) => {
                let shared = shared.clone();
                connections.spawn(async move {
                    let _place = place;
                    let mut desk = shared.desk(shared.tcp.clone(), Transport::Tcp);
                    if let Err(error) = converse(stream, from, &mut desk, &shared).await {
                        debug!(%from, %error, "DNS connection ended");
                    }
                });
            }
        }
    }
}

/// Answers one connection's queries until it ends or idles.
async fn converse(
    stream: TcpStream,
    from: SocketAddr,
    desk: &mut Desk,
    shared: &Shared,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(READ, stream);
    let (mut packet, mut out) = (Vec::new(), Vec::new());
    loop {
        timeout(IDLE, async {
            let length = stream.read_u16().await?;
            packet.resize(usize::from(length), 0);
            stream.read_exact(&mut packet).await
        })
        .await??;
        shared.refresh(desk);
        let start = out.len();
        out.extend([0; 2]);
        match desk.answer(&packet, from.ip(), &mut out) {
            Outcome::Answered => {
                let length = u16::try_from(out.len() - start - 2).map_err(io::Error::other)?;
                out[start..start + 2].copy_from_slice(&length.to_be_bytes());
            }
            Outcome::Dropped => {
                out.truncate(start);
                return timeout(IDLE, stream.write_all(&out)).await?;
            }
            Outcome::Special(query) => {
                out.truncate(start);
                let copy = shared.copy(&packet, &query).await;
                for message in shared.respond(desk, &packet, &query, from.ip(), copy.as_ref()) {
                    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
                    out.extend(length.to_be_bytes());
                    out.extend(message);
                }
            }
        }
        if out.len() < COLLECTED && holds_query(stream.buffer()) {
            continue;
        }
        timeout(IDLE, stream.write_all(&out)).await??;
        out.clear();
    }
}

/// Is the next query there already?
fn holds_query(bytes: &[u8]) -> bool {
    bytes
        .split_first_chunk::<2>()
        .is_some_and(|(length, rest)| usize::from(u16::from_be_bytes(*length)) <= rest.len())
}

/// How many connections there are, by where they come from.
#[derive(Default)]
struct Places(Mutex<HashMap<IpAddr, usize>>);

/// One connection's place; given back when dropped.
struct Place {
    places: Arc<Places>,
    from: IpAddr,
}

impl Place {
    fn take(places: &Arc<Places>, from: IpAddr) -> Option<Self> {
        let from = network(from);
        let mut taken = places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let each = taken.get(&from).copied().unwrap_or_default();
        if CONNECTIONS <= all || CONNECTIONS_EACH <= each {
            return None;
        }
        taken.insert(from, each + 1);
        drop(taken);
        Some(Self { places: places.clone(), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.from) {
            Some(each) if 1 < *each => *each -= 1,
            _ => drop(taken.remove(&self.from)),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}
