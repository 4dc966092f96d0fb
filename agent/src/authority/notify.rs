//! Tells secondaries that a zone has changed (RFC 1996), signed, until they confirm it or the next change comes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Record, RecordType, TSigner};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::timeout;
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

/// Tells one secondary of every change until there are no more.
pub(super) async fn tell(
    secondary: SocketAddr,
    key: TSigner,
    mut journal: watch::Receiver<Arc<Journal>>,
) {
    let mut told: Vec<Record> = Vec::new();
    loop {
        let latest = journal.borrow_and_update().clone();
        let starts: Vec<_> = latest.zones.iter().map(|zone| zone.soa.clone()).collect();
        let news = starts.iter().filter(|start| !told.contains(start));
        let news: Vec<_> = news.cloned().collect();
        let send = async {
            for start in &news {
                if !notify(secondary, &key, start).await {
                    let zone = &start.name;
                    warn!(%secondary, %zone, "no secondary confirms the change");
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = send => {}
            changed = journal.changed() => if changed.is_err() { return },
        }
        told = starts;
    }
}

/// Was it confirmed?
async fn notify(secondary: SocketAddr, key: &TSigner, start: &Record) -> bool {
    for wait in WAITS {
        match timeout(wait, exchange(secondary, key, start)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => debug!(%secondary, %error, "cannot notify"),
            Err(_) => debug!(%secondary, serial = serial(start), "no answer to a notification"),
        }
    }
    false
}

async fn exchange(secondary: SocketAddr, key: &TSigner, start: &Record) -> std::io::Result<()> {
    let own: SocketAddr = match secondary {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(secondary).await?;
    let mut message = Message::query();
    message.metadata.id = rand::random();
    message.metadata.op_code = OpCode::Notify;
    message.metadata.authoritative = true;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(start.name.clone(), RecordType::SOA));
    message.add_answer(start.clone());
    message.finalize(key, clock::wall_ms() / 1000).map_err(std::io::Error::other)?;
    socket.send(&message.to_vec().map_err(std::io::Error::other)?).await?;
    let mut answer = [0; 1232];
    loop {
        let length = socket.recv(&mut answer).await?;
        let Ok(answer) = Message::from_vec(&answer[..length]) else { continue };
        let metadata = &answer.metadata;
        if metadata.id == message.metadata.id && metadata.message_type == MessageType::Response {
            return Ok(());
        }
    }
}
