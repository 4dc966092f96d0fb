//! A PostgreSQL server → what it says of itself, in one connection, one log-in and one query.
//!
//! Encryption is `sslmode=prefer`, as libpq's default: used where the server offers it, and **its certificate is not
//! verified**, unless the credential asks for more ([`Tls`](crate::Tls)). A password is therefore safe from whoever only
//! listens, and with SCRAM (PostgreSQL's default) is not told to whoever answers in the server's place; with `md5` or
//! `password` in `pg_hba.conf` it is as safe as the network. The role needs `pg_monitor` and nothing else.
//!
//! It connects to the database `postgres` and leaves nothing behind.

use std::pin::pin;
use std::time::Duration;

use consensus::model::{Database, DatabaseSight, Fault, FaultKind};
use tokio::net::TcpStream;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::{Client, Config, Connection};

use crate::fault::Trouble;
use crate::names::bare;
use crate::phases::{Stage, Stopwatch};
use crate::{Login, Means, Trust, tcp};

mod heartbeat;
mod question;
mod refusal;
mod standbys;
mod wire;

pub(crate) use heartbeat::write;
pub use standbys::{Standbys, setting};
pub use wire::{Opened, Wire};

/// An honest answer, log-in included, has about 2 KiB.
const BUDGET: usize = 64 * 1024;
/// What whoever acts may be told in one session.
const SESSION_BUDGET: usize = 1 << 20;

/// Where `primary_conninfo` became a setting that can be asked for, and `pg_promote()` came from: what is older is not spoken
/// to (PostgreSQL manual, "recovery.conf file merged into postgresql.conf").
const OLDEST: u32 = 12;

/// The database every cluster has; what is asked is the same in all of them.
const DATABASE: &str = "postgres";

/// The most that is spent on saying goodbye, so that the server's log stays quiet.
const GOODBYE: Duration = Duration::from_millis(50);

/// Logs in over a connection, protected as the log-in asks for.
///
/// # Errors
/// Why not: of the way there in words, else as the server said it.
pub async fn connect(
    stream: TcpStream,
    host: &str,
    login: &Login,
    trust: &Trust,
    mut config: Config,
) -> Result<(Client, Connection<Wire, Wire>), Refusal> {
    let wire = wire::open(stream, bare(host), (&login.tls, trust), SESSION_BUDGET).await;
    let wire = wire.map_err(|trouble| Refusal::Unprotected(trouble.into_fault()))?;
    config.user(&login.user).dbname(DATABASE).application_name("quorate");
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    if let Some(password) = &login.password {
        config.password(password);
    }
    let opened = config.connect_raw(wire, Opened).await.map_err(Refusal::Server)?;
    let version = opened.1.parameter("server_version");
    spoken(version).map_err(|trouble| Refusal::TooOld(trouble.into_fault()))?;
    Ok(opened)
}

/// Why there is no session.
#[derive(Debug)]
pub enum Refusal {
    /// The connection could not be protected as it should be.
    Unprotected(Fault),
    /// The server is older than any that is spoken to.
    TooOld(Fault),
    /// What the server, or the way to it, said.
    Server(tokio_postgres::Error),
}

/// Is it of a version that is asked and driven? By what it said when it let us in.
fn spoken(version: Option<&str>) -> Result<(), Trouble> {
    // One that says nothing is judged by what it answers.
    let Some(version) = version else { return Ok(()) };
    let major = version.split(|it: char| !it.is_ascii_digit()).next().unwrap_or_default();
    match major.parse::<u32>() {
        Ok(major) if OLDEST <= major => Ok(()),
        Ok(_) | Err(_) => {
            let version: String = version.chars().take(40).collect();
            let text = format!("is of version `{version}`, expected {OLDEST} or newer");
            Err(Trouble::theirs(FaultKind::Unready, text))
        }
    }
}

/// Logs in and asks once.
pub(crate) async fn look(
    database: &Database,
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<DatabaseSight, Trouble> {
    let stream = tcp::connect(&database.address, database.port, means, watch).await?;
    watch.enter(Stage::Tls);
    let protection = (&login.tls, &means.trust);
    let wire = wire::open(stream, bare(&database.address), protection, BUDGET).await?;
    watch.enter(Stage::Process);
    let mut config = Config::new();
    config.user(&login.user).dbname(DATABASE).application_name("quorate");
    // The wire is encrypted already where it can be; this hands it over with its channel binding.
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    if let Some(password) = &login.password {
        config.password(password);
    }
    let (client, connection) = config
        .connect_raw(wire, Opened)
        .await
        .map_err(|error| refusal::of_postgres(&error, &login.user))?;
    spoken(connection.parameter("server_version"))?;
    // Each owns its half and drops it when it ends: the other then sees the end instead of waiting for ever.
    #[expect(clippy::redundant_async_block, reason = "the block drops the connection when it ends")]
    let mut connection = pin!(async move { connection.await });
    let mut asking = pin!(async move {
        let messages = client.simple_query(question::SQL).await?;
        let newest = match question::is_alone(&messages) {
            true => client.simple_query(question::NEWEST).await.ok(),
            false => None,
        };
        Ok::<_, tokio_postgres::Error>((messages, newest))
    });
    let early = tokio::select! {
        biased;
        answer = &mut asking => Ok(answer),
        ended = &mut connection => Err(ended),
    };
    let alive = early.is_ok();
    let answer = match early {
        Ok(answer) => answer,
        // The answer, or why there is none, may have come just before the end; only else the end itself tells.
        Err(ended) => asking.await.map_err(|error| match (error.is_closed(), ended) {
            (true, Err(cause)) => cause,
            _ => error,
        }),
    };
    let sight = match answer {
        Ok((messages, newest)) => {
            let newest = newest.and_then(|messages| question::newest(&messages));
            question::read(&messages, &login.user).map(|sight| {
                let timeline = newest.unwrap_or_default().max(sight.timeline);
                DatabaseSight { timeline, ..sight }
            })
        }
        Err(error) => Err(refusal::of_postgres(&error, &login.user)),
    };
    watch.stop();
    if alive {
        // Whatever comes of it, what is known is known; half of what is left keeps the look within its limit.
        let _ = tokio::time::timeout(GOODBYE.min(watch.left() / 2), connection).await;
    }
    sight
}
