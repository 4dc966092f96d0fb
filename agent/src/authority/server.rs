//! Takes queries from sockets and sends what [`super::packet`] makes of them.
//!
//! hickory-server's own loops are left out: they spawn a task for every datagram, queue replies without bound, let one
//! datagram claim 65,535 questions, and cap no connections. Here one task serves a socket's datagrams in turn, and a
//! connection costs one task of at most [`CONNECTIONS`], of at most [`CONNECTIONS_EACH`] from one address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Shared;
use super::counters::Transport;
use super::packet::respond;

/// The most connections at once.
pub(super) const CONNECTIONS: usize = 256;
/// The most connections at once from one address, or from one /64 of IPv6, which one host can fill alone.
pub(super) const CONNECTIONS_EACH: usize = 16;
/// How long a connection may say nothing, dawdle within a query, or not take its answer (RFC 7766 section 6.2.3).
pub(super) const IDLE: Duration = Duration::from_secs(5);
/// Between two tries when a socket fails: out of file descriptors, mostly; without it the loop would spin.
const BREATH: Duration = Duration::from_millis(100);

/// Answers datagrams until dropped.
pub(super) async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut packet = vec![0; usize::from(u16::MAX)];
    loop {
        let (length, from) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "cannot receive DNS queries over UDP");
                sleep(BREATH).await;
                continue;
            }
        };
        let answer = match from.port() {
            0 => None,
            _ => respond(&shared, &packet[..length], from, Transport::Udp),
        };
        let sent = match answer {
            Some(answer) => socket.try_send_to(&answer, from).is_ok(),
            None => false,
        };
        if !sent {
            shared.counters.drop_one(Transport::Udp);
        }
    }
}

/// Accepts connections and answers what they ask until dropped.
pub(super) async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
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
            None => shared.counters.turn_away(),
            Some(place) => {
                let shared = shared.clone();
                connections.spawn(async move {
                    let _place = place;
                    if let Err(error) = converse(stream, from, &shared).await {
                        debug!(%from, %error, "DNS connection ended");
                    }
                });
            }
        }
    }
}

/// Answers one connection's queries, one after the other, until it ends or idles.
async fn converse(mut stream: TcpStream, from: SocketAddr, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut packet = Vec::new();
    loop {
        timeout(IDLE, async {
            let length = stream.read_u16().await?;
            packet.resize(usize::from(length), 0);
            stream.read_exact(&mut packet).await
        })
        .await??;
        let Some(answer) = respond(shared, &packet, from, Transport::Tcp) else {
            shared.counters.drop_one(Transport::Tcp);
            return Ok(());
        };
        let length = u16::try_from(answer.len()).expect("an answer is encoded within 65,535 bytes");
        let framed = [length.to_be_bytes().as_slice(), &answer].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
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
