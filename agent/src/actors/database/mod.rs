//! What is done to databases: closed, opened again, promoted. One module for each thing they speak, and the same verbs in
//! each; what they share, and all that a caller sees, is here.
//!
//! An engine keeps the token where its clients' data lives, refuses to go below it, and can be asked for the same thing
//! again after a crash at any point. None proves a fence: that is a guard's (PROTOCOL.md C.4).

mod mongodb;
mod mysql;
mod postgres;
mod redis;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use consensus::model::{
    Action, ActionFault, ActionFaultKind, AgentId, AppId, Candidate, Database, Done, Engine, Fault,
    FaultKind, Token, Waits,
};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use probe::{Login, Trust};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Uses;
use super::attempt::{Attempt, Stage, fault};
use crate::clock;
use crate::config::{Credential, Credentials};

/// A host that is there answers the first packet, or the first of a later connection if that was lost: the kernel itself sends
/// it again only after a second (RFC 6298 section 2). A dead one answers none, and a fence that is only tried must not keep the
/// promotion waiting for its whole limit.
const REACHED: Duration = Duration::from_millis(800);
/// Another connection is tried each time so long after the one before, as long as none answers.
const ANOTHER: Duration = Duration::from_millis(200);
/// So many in all: the last has still two of these pauses to answer in.
const CONNECTIONS: u32 = 3;

/// How long it may take to tell what a log-in may do.
const LOOK: Duration = Duration::from_secs(4);

/// An action on a database, with what it takes to log in.
pub(super) struct Order<'a> {
    app: &'a AppId,
    token: Token,
    database: &'a Database,
    login: &'a Login,
    trust: &'a Trust,
    tail: Tail,
}

/// What becomes of what an old primary alone has when it is made a replica, where the engine drops that (Redis does).
#[derive(Clone, Debug, Default)]
pub(super) enum Tail {
    /// Nobody keeps it.
    #[default]
    Dropped,
    /// This agent, which guards it, keeps it aside by `rejoin` of its door.
    Kept,
    /// Its guard may keep it, and is not this agent.
    Elsewhere(AgentId),
}

impl<'a> Order<'a> {
    /// Finds the secret that the database names.
    pub(super) fn new(
        action: &'a Action,
        database: &'a Database,
        credentials: &'a Credentials,
        trust: &'a Trust,
    ) -> Result<Self, ActionFault> {
        let name = &database.credential;
        match credentials.get(name) {
            Some(Credential::Login(login)) => {
                let (app, token, tail) = (&action.app, action.token, Tail::default());
                Ok(Self { app, token, database, login, trust, tail })
            }
            Some(Credential::Key { .. } | Credential::Token { .. }) => Err(fault(
                ActionFaultKind::Refused,
                format!("credential `{name}` is for DNS, expected a user and password"),
            )),
            None => Err(fault(
                ActionFaultKind::Refused,
                format!("no credential `{name}` is held here; see `[credentials]` in agent.toml"),
            )),
        }
    }

    /// The same, where this becomes of what it alone has.
    pub(super) fn with(self, tail: Tail) -> Self {
        Self { tail, ..self }
    }

    /// Where the server is, for people.
    fn place(&self) -> String {
        let Database { address, port, .. } = self.database;
        match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        }
    }

    /// Where its name leads to.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, ActionFault> {
        let Database { address, port, .. } = self.database;
        let found = tokio::net::lookup_host((address.as_str(), *port)).await;
        let found = found.map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        match found.is_empty() {
            false => Ok(found),
            true => Err(fault(
                ActionFaultKind::Unknown,
                format!("cannot find the address of `{}`", self.place()),
            )),
        }
    }

    /// Where it is reached.
    fn host(&self) -> (&str, u16) {
        (&self.database.address, self.database.port)
    }

    /// Ends if nobody is there, and never if somebody is: see [`silence`].
    async fn silence(&self) {
        silence(self.host()).await;
    }

    async fn connect(&self) -> Result<TcpStream, ActionFault> {
        let stream = reach(self.host()).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        stream.map_err(|error| {
            fault(ActionFaultKind::Unknown, format!("cannot reach `{}`: {error}", self.place()))
        })
    }
}

/// The first of several connections that is answered, whatever the answer.
async fn reach(place: (&str, u16)) -> io::Result<TcpStream> {
    answered(place, 0..CONNECTIONS).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// Ends if nobody is at a place, as [`reach`] finds out, and never if somebody is: for a client that opens its connection itself
/// and has begun to. Whoever answers that one soon is not asked at all: a server counts those that leave without a log-in.
async fn silence(place: (&str, u16)) {
    if answered(place, 1..CONNECTIONS).await.is_some() {
        std::future::pending().await
    }
}

/// What is said first to one of these connections, if anything is.
async fn answered(place: (&str, u16), numbers: Range<u32>) -> Option<io::Result<TcpStream>> {
    let connection = |number| async move {
        sleep(ANOTHER * number).await;
        TcpStream::connect(place).await
    };
    let mut connections: FuturesUnordered<_> = numbers.map(connection).collect();
    timeout(REACHED, connections.next()).await.ok().flatten()
}

/// Closes a primary to writes, as far as it can be asked to.
pub(super) async fn fence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Postgres => postgres::fence(attempt, order).await,
        Engine::Mysql => mysql::fence(attempt, order).await,
        Engine::Redis => redis::fence(attempt, order).await,
        Engine::Mongodb => Err(never_driven()),
    }
}

/// Opens a primary again.
pub(super) async fn unfence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Postgres => postgres::unfence(attempt, order).await,
        Engine::Mysql => mysql::unfence(attempt, order).await,
        Engine::Redis => redis::unfence(attempt, order).await,
        Engine::Mongodb => Err(never_driven()),
    }
}

/// Has a primary wait for these replicas.
pub(super) async fn wait_for(
    attempt: &mut Attempt,
    order: &Order<'_>,
    waits: &Waits,
) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Postgres => postgres::wait_for(attempt, order, waits).await,
        Engine::Mysql | Engine::Redis => {
            let text = "whom it waits for is not the mesh's to set";
            Err(fault(ActionFaultKind::Refused, text))
        }
        Engine::Mongodb => Err(never_driven()),
    }
}

/// Makes a replica the primary.
pub(super) async fn promote(
    attempt: &mut Attempt,
    order: &Order<'_>,
    candidate: &Candidate,
    at_least: Option<u64>,
) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Postgres => postgres::promote(attempt, order, candidate, at_least).await,
        Engine::Mysql => mysql::promote(attempt, order, candidate, at_least).await,
        Engine::Redis => redis::promote(attempt, order, candidate, at_least).await,
        Engine::Mongodb => Err(never_driven()),
    }
}

/// Makes a database a replica of another.
pub(super) async fn follow(
    attempt: &mut Attempt,
    order: &Order<'_>,
    upstream: &Order<'_>,
) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Postgres => postgres::follow(attempt, order, upstream).await,
        Engine::Mysql => mysql::follow(attempt, order, upstream).await,
        Engine::Redis => redis::follow(attempt, order, upstream).await,
        Engine::Mongodb => Err(never_driven()),
    }
}

/// Asks a primary, by the election that it leads by, to let its set elect another.
pub(super) async fn step_down(
    attempt: &mut Attempt,
    order: &Order<'_>,
    term: u32,
) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Mongodb => mongodb::step_down(attempt, order, term).await,
        Engine::Postgres | Engine::Mysql | Engine::Redis => Err(fault(
            ActionFaultKind::Refused,
            "elects nobody: only what elects its own primary is asked to step down",
        )),
    }
}

/// What a log-in lacks for these steps, a sentence each. Changes nothing.
pub(super) async fn lacking(
    app: &AppId,
    database: &Database,
    uses: Uses,
    login: &Login,
    trust: &Trust,
) -> Result<Vec<String>, ActionFault> {
    let (token, tail) = (Token(0), Tail::default());
    let order = Order { app, token, database, login, trust, tail };
    let attempt = Attempt::new(clock::now() + LOOK, LOOK, Stage::default());
    let lacking = async {
        match database.engine {
            Engine::Postgres => postgres::lacking(&attempt, &order, uses).await,
            Engine::Mysql => mysql::lacking(&attempt, &order).await,
            Engine::Redis => redis::lacking(&attempt, &order, uses).await,
            Engine::Mongodb => Ok(Vec::new()),
        }
    };
    timeout(LOOK, lacking).await.unwrap_or_else(|_| {
        let text = format!("`{}` does not answer within {LOOK:?}", order.place());
        Err(fault(ActionFaultKind::Unknown, text))
    })
}

/// What elects its own primary is followed (PROTOCOL.md rule 12).
fn never_driven() -> ActionFault {
    let text = "a MongoDB replica set elects its own primary: it is followed, never driven";
    fault(ActionFaultKind::Refused, text)
}

/// No protected session came about: for a reason that stays, or for one that passes, as a server that has too many clients hangs
/// up.
fn unprotected(place: &str, why: &Fault) -> ActionFault {
    let kind = match why.kind {
        FaultKind::Reset | FaultKind::Timeout | FaultKind::Refused | FaultKind::Local => {
            ActionFaultKind::Unknown
        }
        _ => ActionFaultKind::Refused,
    };
    fault(kind, format!("no session with `{place}`: {why}"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[tokio::test]
    async fn a_host_whose_first_answer_is_lost_is_reached_all_the_same() {
        // Whoever comes while one connection waits to be accepted is not answered, as if the packet were lost.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        listener.bind(&any.into()).expect("a free port");
        listener.listen(0).expect("it listens");
        let address = listener.local_addr().expect("it is bound").as_socket().expect("IPv4");
        let waiting = TcpStream::connect(address).await.expect("the first waits");

        let mut reaching = std::pin::pin!(reach(("127.0.0.1", address.port())));
        let early = timeout(ANOTHER / 2, &mut reaching).await;
        assert!(early.is_err(), "nobody answers yet: {early:?}");
        listener.accept().expect("it waits");
        reaching.await.expect("the next connection is answered");
        drop(waiting);
    }
}
