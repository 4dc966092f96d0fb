//! A host and a port → a fresh connection.
//!
//! A name with several addresses is tried as browsers do (RFC 8305): the next one starts when the one before failed
//! or was slow, and the first to connect wins; so one dead address hides neither the others nor itself for long.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Means;
use crate::fault::{Trouble, When, of_io};
use crate::phases::{Stage, Stopwatch};

/// How long one address may be alone (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects; leaves the watch in [`Stage::Connect`].
pub(crate) async fn connect(
    host: &str,
    port: u16,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<TcpStream, Trouble> {
    let addresses = means.names.find(host, port, means.source, watch).await?;
    watch.set_peer(match addresses.as_slice() {
        [only] => only.to_string(),
        _ => format!("`{host}` port {port}"),
    });
    watch.enter(Stage::Connect);
    let stream = match addresses.as_slice() {
        [only] => connect_one(*only, means.source).await?,
        _ => race(addresses, means.source).await?,
    };
    if let Ok(peer) = stream.peer_addr() {
        watch.set_peer(peer.to_string());
    }
    Ok(stream)
}

async fn race(addresses: Vec<SocketAddr>, source: Option<IpAddr>) -> Result<TcpStream, Trouble> {
    let mut waiting = addresses.into_iter();
    let mut running = JoinSet::new();
    let mut worst = None;
    loop {
        if let Some(address) = waiting.next() {
            running.spawn(connect_one(address, source));
        }
        let patience = match waiting.len() {
            0 => Duration::MAX,
            _ => HEAD_START,
        };
        match tokio::time::timeout(patience, running.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(trouble)))) => worst = Some(more_telling(worst, trouble)),
            Ok(Some(Err(error))) => {
                worst =
                    Some(more_telling(worst, Trouble::local(format!("cannot connect: {error}"))));
            }
            Ok(None) => {
                return Err(worst.unwrap_or_else(|| Trouble::local("no address to connect to")));
            }
            Err(_) => {}
        }
    }
}

/// What one address said counts more than that we could not ask another.
fn more_telling(before: Option<Trouble>, now: Trouble) -> Trouble {
    match (before, now) {
        (Some(Trouble::Theirs(fault)), _) => Trouble::Theirs(fault),
        (_, now) => now,
    }
}

async fn connect_one(address: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, Trouble> {
    let doing = || format!("connecting to {address}");
    let stream = begin(address, source).map_err(|error| of_io(&error, When::AtOnce, &doing()))?;
    let later = |error: io::Error| of_io(&error, When::Later, &doing());
    stream.writable().await.map_err(later)?;
    match stream.take_error().map_err(later)? {
        None => Ok(stream),
        Some(error) => Err(later(error)),
    }
}

/// Sends the first packet. What fails in here was never sent (see [`crate::fault`]).
fn begin(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
        Err(error) => return Err(error),
    }
    TcpStream::from_std(socket.into())
}
