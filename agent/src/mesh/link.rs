//! One connection: the greeting, the choice between two, messages both ways, the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consensus::codec;
use consensus::message::Message;
use consensus::model::AgentId;
use consensus::outbox::Input;
use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::greeting::{self, GREETING_LIMIT, Greeting, Refusal, explain};
use super::tls::KEEP_ALIVE;
use super::{Counters, Shared, frame, locked};

/// For the handshake, and again for the greeting, whose answer may wait for [`PROOF_OF_LIFE`].
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// A message that takes longer would say old things.
const MESSAGE_TIME: Duration = Duration::from_secs(5);
/// A living link has been heard again by then: it shows that it lives every [`KEEP_ALIVE`].
const PROOF_OF_LIFE: Duration = KEEP_ALIVE.saturating_mul(2);
/// Two connections this close together were dialled at once by both sides; later than that, a peer dials because it has
/// lost its link, whatever we still hold for one.
const AT_ONCE: Duration = Duration::from_secs(5);
/// By then the other side has chosen, too, and what it said before has come.
const LINGER: Duration = Duration::from_secs(1);
/// What may be on its way to one peer: in units of a kibibyte, at least [`LEAST_COST`] a message.
const BUDGET: usize = 2 * 1024;
const LEAST_COST: usize = 16;

/// A connection that both sides have agreed to use.
#[derive(Clone)]
pub(super) struct Link {
    connection: Connection,
    /// The run of the peer's process.
    instance: u64,
    /// Which of the two dialled.
    dialler: AgentId,
    since: Instant,
    budget: Arc<Semaphore>,
}

impl Link {
    /// Sends without waiting; `false` if there is no room.
    pub(super) fn send(&self, message: &Message, counters: &Arc<Counters>) -> bool {
        let frame = frame(message);
        let lossy =
            matches!(message, Message::Gossip(_) | Message::Pulse(_) | Message::Echo { .. });
        let fits = self.connection.max_datagram_size().is_some_and(|most| frame.len() <= most);
        if lossy && fits {
            let sent = self.connection.send_datagram(frame).is_ok();
            if sent {
                Counters::add(&counters.sent);
            }
            return sent;
        }
        let cost = frame.len().div_ceil(1024).max(LEAST_COST);
        let cost = u32::try_from(cost).expect("a frame is within its limit");
        let Ok(permit) = self.budget.clone().try_acquire_many_owned(cost) else { return false };
        let (connection, counters) = (self.connection.clone(), counters.clone());
        tokio::spawn(async move {
            match timeout(MESSAGE_TIME, send_alone(&connection, frame)).await {
                Ok(Ok(())) => Counters::add(&counters.sent),
                Ok(Err(_)) | Err(_) => Counters::add(&counters.dropped),
            }
            drop(permit);
        });
        true
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.budget, &other.budget)
    }
}

/// A stream that ends without having been finished, so that half a message is never taken for one.
struct Unfinished(SendStream);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // An error means that it had ended already.
        let _ = self.0.reset(VarInt::from_u32(0));
    }
}

/// One message on a stream of its own; done once the peer has all of it.
async fn send_alone(connection: &Connection, frame: Bytes) -> Result<(), quinn::WriteError> {
    let mut stream = Unfinished(connection.open_uni().await?);
    stream.0.write_chunk(frame).await?;
    // Cannot fail: nobody else ends this stream.
    let _ = stream.0.finish();
    match stream.0.stopped().await {
        Ok(None) => Ok(()),
        _ => Err(quinn::WriteError::ClosedStream),
    }
}

/// Takes a connection that another agent dialled, and lives with it to its end.
pub(super) async fn answer(shared: Arc<Shared>, incoming: Incoming, permit: OwnedSemaphorePermit) {
    let from = plain(incoming.remote_address());
    let about = format!("from {from}");
    let connection = match timeout(PATIENCE, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            Counters::add(&shared.counters.refused);
            shared.trouble(&about, format!("refuses a peer at `{from}`: {}", explain(&error)));
            return;
        }
        Err(_) => return,
    };
    drop(permit);
    match greeted(&shared, &connection, false).await {
        Ok((peer, link)) => {
            shared.no_trouble(&about);
            live(shared, peer, link).await;
        }
        Err(parting) => {
            parting.tell(&shared, &connection, &about);
        }
    }
}

/// Why a greeting came to nothing.
pub(super) enum Parting {
    /// We hang up.
    Ours(Option<AgentId>, Refusal),
    /// They did, or the network.
    Theirs(Option<AgentId>, String),
}

impl Parting {
    /// Hangs up where it is ours to do so, and says so to operators on this side. Returns the line.
    pub(super) fn tell(
        self,
        shared: &Shared,
        connection: &Connection,
        about: &str,
    ) -> Option<String> {
        let at = plain(connection.remote_address());
        let name = |peer: Option<AgentId>| match peer {
            Some(peer) => format!("`{peer}` at `{at}`"),
            None => format!("a peer at `{at}`"),
        };
        let line = match self {
            Self::Ours(peer, refusal) => {
                hang_up(connection, &refusal);
                if refusal.ordinary() {
                    return None;
                }
                format!("refuses {}: {refusal}", name(peer))
            }
            Self::Theirs(peer, why) => format!("is refused by {}: {why}", name(peer)),
        };
        Counters::add(&shared.counters.refused);
        shared.trouble(about, line.clone());
        Some(line)
    }
}

/// Greets and is greeted, and takes the connection for the link if it is the better one; if it is not, it is still to
/// be lived with until it ends, for what the other side says on it before it knows.
pub(super) async fn greeted(
    shared: &Arc<Shared>,
    connection: &Connection,
    dialled: bool,
) -> Result<(AgentId, Link), Parting> {
    let member = greeting::peer(connection).map_err(|refusal| Parting::Ours(None, refusal))?;
    let peer = member.name;
    let ours = |refusal| Parting::Ours(Some(peer.clone()), refusal);
    let late = |_| ours(Refusal::Silent);
    let lost = |_| {
        let why = connection.close_reason().map(|error| explain(&error));
        Parting::Theirs(Some(peer.clone()), why.unwrap_or_else(|| "it hung up".into()))
    };

    let (mut send, theirs) = match dialled {
        true => {
            let greets = async {
                let (mut send, mut receive) = connection.open_bi().await.map_err(drop)?;
                send.write_all(&shared.greeting.encode()).await.map_err(drop)?;
                // Cannot fail: nobody else ends this stream.
                let _ = send.finish();
                Ok((send, receive.read_to_end(GREETING_LIMIT).await.map_err(drop)?))
            };
            timeout(PATIENCE, greets).await.map_err(late)?.map_err(|()| lost(()))?
        }
        false => {
            let greets = async {
                let (send, mut receive) = connection.accept_bi().await.map_err(drop)?;
                Ok((send, receive.read_to_end(GREETING_LIMIT).await.map_err(drop)?))
            };
            timeout(PATIENCE, greets).await.map_err(late)?.map_err(|()| lost(()))?
        }
    };
    let theirs = Greeting::decode(&theirs, &shared.me, &peer).map_err(ours)?;
    shared.greeting.accepts(&theirs, &shared.me, &peer).map_err(ours)?;

    let link = Link {
        connection: connection.clone(),
        instance: theirs.instance,
        dialler: if dialled { shared.me.clone() } else { peer.clone() },
        since: Instant::now(),
        budget: Arc::new(Semaphore::new(BUDGET)),
    };
    shared.admit(&peer, &link, &theirs.address).await.map_err(ours)?;
    if !dialled {
        // A failure shows as the end of the connection, a moment later.
        let _ = send.write_all(&shared.greeting.encode()).await;
        let _ = send.finish();
    }
    Ok((peer, link))
}

impl Shared {
    /// Makes this the link to the peer, unless there is a better one.
    async fn admit(&self, peer: &AgentId, link: &Link, address: &str) -> Result<(), Refusal> {
        loop {
            let announcing = self.announcing.lock().await;
            let old = locked(&self.links).get(peer).cloned();
            let choice = match &old {
                None => Choice::Take,
                Some(old) => choose(&self.me, peer, old, link),
            };
            match (choice, old) {
                (Choice::Keep, _) => {
                    linger(&link.connection);
                    return Ok(());
                }
                (Choice::Doubt, Some(old)) => {
                    drop(announcing);
                    if lives(&old.connection).await {
                        let at = plain(old.connection.remote_address()).to_string();
                        return Err(Refusal::NameTaken { name: peer.clone(), at });
                    }
                    hang_up(&old.connection, &Refusal::Succeeded);
                }
                (_, old) => {
                    locked(&self.links).insert(peer.clone(), link.clone());
                    self.changed.send_modify(|changes| *changes += 1);
                    let another_run = old.as_ref().is_some_and(|old| old.instance != link.instance);
                    match &old {
                        Some(old) if another_run => hang_up(&old.connection, &Refusal::Succeeded),
                        Some(old) => linger(&old.connection),
                        None => {}
                    }
                    if another_run {
                        self.announce(Input::Unlinked(peer.clone())).await;
                    }
                    if old.is_none() || another_run {
                        tracing::info!(agent = %self.me, "is linked with {peer} at `{address}`");
                        self.announce(Input::Linked(peer.clone(), address.to_owned())).await;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Forgets this link, unless another has taken its place.
    async fn dismiss(&self, peer: &AgentId, link: &Link, why: &str) {
        let _announcing = self.announcing.lock().await;
        let current = locked(&self.links).get(peer).is_some_and(|current| current.same(link));
        if current {
            locked(&self.links).remove(peer);
            self.changed.send_modify(|changes| *changes += 1);
            tracing::info!(agent = %self.me, "is no longer linked with {peer}: {why}");
            self.announce(Input::Unlinked(peer.clone())).await;
        }
    }

    async fn announce(&self, input: Input) {
        // The loop has ended: nobody is left to be told.
        let _ = self.inputs.send(input).await;
    }
}

enum Choice {
    /// The new connection replaces the old.
    Take,
    /// The old one stays.
    Keep,
    /// Two runs of one name: is the old one still alive?
    Doubt,
}

fn choose(me: &AgentId, peer: &AgentId, old: &Link, new: &Link) -> Choice {
    let ended = old.connection.close_reason().is_some();
    if old.instance != new.instance {
        // One socket belongs to one process, so a new run at the old one's address is its successor.
        let succeeds = old.connection.remote_address() == new.connection.remote_address();
        return if ended || succeeds { Choice::Take } else { Choice::Doubt };
    }
    let at_once = old.since.elapsed() < AT_ONCE;
    match !ended && at_once && old.dialler != new.dialler && old.dialler == *me.min(peer) {
        true => Choice::Keep,
        false => Choice::Take,
    }
}

/// Does anything still come over this connection?
async fn lives(connection: &Connection) -> bool {
    let before = connection.stats().udp_rx.datagrams;
    tokio::select! {
        _ = connection.closed() => false,
        () = sleep(PROOF_OF_LIFE) => before < connection.stats().udp_rx.datagrams,
    }
}

/// Reads what comes until the connection ends.
pub(super) async fn live(shared: Arc<Shared>, peer: AgentId, link: Link) {
    let connection = &link.connection;
    let mut reading = JoinSet::new();
    let end = loop {
        tokio::select! {
            datagram = connection.read_datagram() => match datagram {
                Ok(bytes) => heard(&shared, &peer, connection, &bytes).await,
                Err(error) => break error,
            },
            stream = connection.accept_uni() => match stream {
                Ok(stream) => {
                    let (shared, peer) = (shared.clone(), peer.clone());
                    let connection = connection.clone();
                    reading.spawn(async move { read(&shared, &peer, &connection, stream).await });
                }
                Err(error) => break error,
            },
            Some(_) = reading.join_next() => {}
        }
    };
    reading.abort_all();
    shared.dismiss(&peer, &link, &explain(&end)).await;
}

/// One message from a stream of its own. QUIC bounds how many there are at once.
async fn read(shared: &Shared, peer: &AgentId, connection: &Connection, mut stream: RecvStream) {
    match timeout(MESSAGE_TIME, stream.read_to_end(codec::LIMIT + 1)).await {
        Ok(Ok(bytes)) => heard(shared, peer, connection, &bytes).await,
        Ok(Err(quinn::ReadToEndError::TooLong)) => {
            let why = format!("expected at most {} bytes", codec::LIMIT + 1);
            malformed(shared, peer, connection, why);
        }
        // Reset by its sender, cut by the end of the connection, or too slow: a lost message.
        Ok(Err(quinn::ReadToEndError::Read(_))) | Err(_) => {}
    }
}

async fn heard(shared: &Shared, peer: &AgentId, connection: &Connection, bytes: &[u8]) {
    match codec::decode::<Message>(bytes) {
        Ok(message) => {
            Counters::add(&shared.counters.received);
            shared.announce(Input::Message(peer.clone(), message)).await;
        }
        Err(error) => malformed(shared, peer, connection, error.to_string()),
    }
}

fn malformed(shared: &Shared, peer: &AgentId, connection: &Connection, why: String) {
    Counters::add(&shared.counters.malformed);
    let refusal = Refusal::Malformed(why);
    let at = plain(connection.remote_address());
    shared.trouble(peer.as_str(), format!("hangs up on `{peer}` at `{at}`: {refusal}"));
    hang_up(connection, &refusal);
}

/// Hangs up on the worse of two connections once nothing is on its way over it any more.
fn linger(connection: &Connection) {
    let connection = connection.clone();
    tokio::spawn(async move {
        sleep(LINGER).await;
        hang_up(&connection, &Refusal::Duplicate);
    });
}

fn hang_up(connection: &Connection, refusal: &Refusal) {
    connection.close(refusal.code(), refusal.to_string().as_bytes());
}

/// An IPv4 address as people write it, also on a socket that serves both.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
