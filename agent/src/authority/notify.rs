//! Tells secondaries that a zone has changed (RFC 1996), signed, until they confirm it or the next change comes.
//!
//! From the address that DNS is answered at, since that is the one that a secondary knows as its primary's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Record, RecordType, TSigner};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use super::journal::{Journal, serial};
use crate::clock;

/// How long is waited for each confirmation; then it is sent again.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// And then, once somebody was told that nobody confirms it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many zones are told of at once.
const AT_ONCE: usize = 16;

/// Tells one secondary of every change until there are no more. `own` are the addresses that DNS is answered at.
pub(super) async fn tell(
    secondary: SocketAddr,
    key: TSigner,
    own: Vec<IpAddr>,
    mut journal: watch::Receiver<Arc<Journal>>,
) {
    let own =
        own.into_iter().find(|it| it.is_ipv4() == secondary.is_ipv4() && !it.is_unspecified());
    let mut told: Vec<Record> = Vec::new();
    loop {
        let latest = journal.borrow_and_update().clone();
        let starts: Vec<_> = latest.zones.iter().map(|zone| zone.soa.clone()).collect();
        let news: Vec<_> = starts.iter().filter(|start| !told.contains(start)).cloned().collect();
        let send = async {
            insist(secondary, &key, own, news).await;
            future::pending::<()>().await;
        };
        tokio::select! {
            () = send => {}
            changed = journal.changed() => if changed.is_err() { return },
        }
        told = starts;
    }
}

/// Until all are confirmed.
async fn insist(secondary: SocketAddr, key: &TSigner, own: Option<IpAddr>, mut news: Vec<Record>) {
    let waits = WAITS.into_iter().chain(std::iter::repeat(PATIENCE));
    for (tries, wait) in waits.enumerate() {
        if tries == WAITS.len() {
            for Record { name: zone, .. } in &news {
                warn!(%secondary, %zone, "the secondary does not confirm the change");
            }
        }
        let next = Instant::now() + wait;
        let asked = news.into_iter().map(async |start| {
            match timeout(wait, exchange(secondary, key, own, &start)).await {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => debug!(%secondary, %error, "cannot notify"),
                Err(_) => {
                    debug!(%secondary, serial = serial(&start), "no answer to a notification")
                }
            }
            Some(start)
        });
        news = stream::iter(asked).buffered(AT_ONCE).filter_map(future::ready).collect().await;
        if news.is_empty() {
            return;
        }
        // A refusal is there at once, and may not last.
        sleep_until(next).await;
    }
}

/// A way to the secondary, from our own address if there is one from it.
async fn connected(secondary: SocketAddr, own: Option<IpAddr>) -> io::Result<UdpSocket> {
    let any: IpAddr = match secondary {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = async |own: IpAddr| {
        let socket = UdpSocket::bind((own, 0)).await?;
        socket.connect(secondary).await.map(|()| socket)
    };
    match own {
        Some(own) => match from(own).await {
            Ok(socket) => Ok(socket),
            Err(_) => from(any).await,
        },
        None => from(any).await,
    }
}

async fn exchange(
    secondary: SocketAddr,
    key: &TSigner,
    own: Option<IpAddr>,
    start: &Record,
) -> io::Result<()> {
    let socket = connected(secondary, own).await?;
    let mut message = Message::query();
    message.metadata.id = rand::random();
    message.metadata.op_code = OpCode::Notify;
    message.metadata.authoritative = true;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(start.name.clone(), RecordType::SOA));
    message.add_answer(start.clone());
    let verifier = message.finalize(key, clock::wall_ms() / 1000).map_err(io::Error::other)?;
    let mut verifier = verifier.ok_or_else(|| io::Error::other("the key does not sign"))?;
    socket.send(&message.to_vec().map_err(io::Error::other)?).await?;
    let mut answer = [0; 1232];
    loop {
        let length = socket.recv(&mut answer).await?;
        let bytes = &answer[..length];
        let Ok(said) = Message::from_vec(bytes) else { continue };
        let metadata = &said.metadata;
        if metadata.id != message.metadata.id || metadata.message_type != MessageType::Response {
            continue;
        }
        match metadata.response_code {
            // Anybody could send one that is not signed.
            ResponseCode::NoError if verifier.verify(bytes).is_ok() => return Ok(()),
            ResponseCode::NoError => {}
            code => return Err(io::Error::other(format!("it answers {code}"))),
        }
    }
}
