//! Clients that write rows and keep a ledger of those that were acknowledged.
//!
//! A [`Writer`] is an application: it stays with one server until that fails. [`Writers`] measure: they are at every server
//! all the time, so that two that take rows at once are seen. All of them run on one machine and read one clock.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use probe::redis::resp::{Link, Reply};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};

use super::postgres::{Postgres, runtime, superuser};
use super::sql::{CLIENT, connect};
use super::wait::pace;

/// Between two rows: enough of them to notice a loss, few enough for two cores.
const EVERY: Duration = Duration::from_millis(5);
/// How long a row may wait for its acknowledgement before the client gives the connection up.
const LIMIT: Duration = Duration::from_secs(1);

/// How long a client waits that gives nothing up: for longer than anything in a test takes.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two tries of a client that has one server: as exact are the gaps it finds.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a door or a server may take to say no to a client that tries again and again: the network here takes none.
const KNOCK: Duration = Duration::from_millis(200);
/// How many row numbers each client of [`Writers`] has for itself.
const RANGE: i64 = 1_000_000_000;

/// One acknowledged row.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// Its number.
    pub row: i64,
    /// Who took it.
    pub server: SocketAddr,
    /// When the acknowledgement came.
    pub at: Instant,
}

/// What a writer's servers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Rows of the table `ledger`.
    Postgres,
    /// Keys `row:N`.
    Redis,
    /// The same: who starts its servers starts others.
    Valkey,
    /// Rows of the table `app.ledger`.
    MariaDb,
    /// The same, of the release that is newest here.
    MySql,
}

/// A thread that writes to whichever server takes writes, first come first.
pub struct Writer {
    ledger: Arc<Mutex<Vec<Acknowledged>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Begins to write to one of these servers, moving on to the next whenever one fails.
    pub fn start(servers: &[SocketAddr]) -> Self {
        Self::of(Dialect::Postgres, servers)
    }

    /// The same for servers that speak something else.
    pub fn of(dialect: Dialect, servers: &[SocketAddr]) -> Self {
        Self::with(Task { dialect, servers: servers.to_vec(), row: 0, again: EVERY, limit: LIMIT })
    }

    fn with(task: Task) -> Self {
        let ledger = Arc::new(Mutex::new(Vec::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let (list, end) = (Arc::clone(&ledger), Arc::clone(&ending));
        let thread = thread::spawn(move || runtime().block_on(task.write(&list, &end)));
        Self { ledger, ending, thread: Some(thread) }
    }

    /// The rows acknowledged so far.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.ledger.lock().expect("nobody panics while holding it").clone()
    }

    /// Stops writing and returns the whole ledger.
    pub fn stop(mut self) -> Vec<Acknowledged> {
        self.end();
        self.acknowledged()
    }

    fn end(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Clients that try each its own server for as long as they are there, each with row numbers of its own: two for each server.
/// One gives a row up after a second and connects anew; the other waits for its answer, however late that comes.
pub struct Writers(Vec<Writer>);

impl Writers {
    /// Begins to write to all of these servers.
    pub fn start(dialect: Dialect, servers: &[SocketAddr]) -> Self {
        let each = servers.iter().flat_map(|server| [(*server, LIMIT), (*server, PATIENCE)]);
        let tasks = (0..).zip(each).map(|(number, (server, limit))| Task {
            dialect,
            servers: vec![server],
            row: number * RANGE,
            again: AGAIN,
            limit,
        });
        Self(tasks.map(Writer::with).collect())
    }

    /// The rows acknowledged so far, in the order of their acknowledgements.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        let mut all: Vec<_> = self.0.iter().flat_map(Writer::acknowledged).collect();
        all.sort_by_key(|entry| entry.at);
        all
    }

    /// Stops writing and returns the whole ledger.
    pub fn stop(mut self) -> Vec<Acknowledged> {
        self.0.iter_mut().for_each(Writer::end);
        self.acknowledged()
    }
}

/// How long after the last row that one server took came the first that another did; else for how long both took rows. Panics if
/// either took none.
pub fn handover(
    ledger: &[Acknowledged],
    from: SocketAddr,
    to: SocketAddr,
) -> Result<Duration, Duration> {
    let of = |server| ledger.iter().filter(move |entry| entry.server == server);
    let last = of(from).map(|entry| entry.at).max().expect("the first took rows");
    let first = of(to).map(|entry| entry.at).min().expect("the second took rows");
    match last < first {
        true => Ok(first.duration_since(last)),
        false => Err(last.duration_since(first)),
    }
}

/// The gap of a ledger in which one server took over from another. Panics if both took rows at once, or if either took none.
pub fn gap(ledger: &[Acknowledged], from: SocketAddr, to: SocketAddr) -> Duration {
    handover(ledger, from, to)
        .unwrap_or_else(|overlap| panic!("both took rows for {overlap:?}: {from} and {to}"))
}

/// The acknowledged rows that this server does not hold.
pub fn lost(ledger: &[Acknowledged], server: &Postgres<'_>) -> Vec<i64> {
    let rows = server.rows("select row from ledger").expect("the surviving server answers");
    let held: BTreeSet<i64> =
        rows.iter().map(|row| row.parse().expect("`ledger.row` is a number")).collect();
    ledger.iter().map(|entry| entry.row).filter(|row| !held.contains(row)).collect()
}

/// What one thread does.
struct Task {
    dialect: Dialect,
    servers: Vec<SocketAddr>,
    /// The last row number that is not its own.
    row: i64,
    /// Between a failure and the next try.
    again: Duration,
    /// How long a row may wait for its acknowledgement before the connection is given up.
    limit: Duration,
}

impl Task {
    async fn write(self, ledger: &Mutex<Vec<Acknowledged>>, ending: &AtomicBool) {
        let ended = || ending.load(Ordering::Relaxed);
        let mut row = self.row;
        let mut turn = self.servers.iter().cycle();
        while !ended() {
            let server = *turn.next().expect("a cycle never ends");
            pace(self.again);
            let Some(mut session) = self.connect(server).await else { continue };
            while !ended() {
                // A number is never used twice: whether an unanswered row was taken is not known.
                row += 1;
                if !answered(session.insert(row), self.limit, &ended).await {
                    break;
                }
                let entry = Acknowledged { row, server, at: Instant::now() };
                ledger.lock().expect("nobody panics while holding it").push(entry);
                pace(EVERY);
            }
        }
    }

    async fn connect(&self, server: SocketAddr) -> Option<Session> {
        if let [_] = self.servers[..] {
            // Whoever waits for the network to try again measures the network.
            tokio::time::timeout(KNOCK, TcpStream::connect(server)).await.ok()?.ok()?;
        }
        tokio::time::timeout(LIMIT, Session::open(self.dialect, server)).await.ok()?
    }
}

/// Was it acknowledged in time, and before the end?
async fn answered(
    asked: impl Future<Output = bool>,
    limit: Duration,
    ended: &impl Fn() -> bool,
) -> bool {
    let mut asked = pin!(asked);
    let start = Instant::now();
    while start.elapsed() < limit && !ended() {
        if let Ok(taken) = tokio::time::timeout(KNOCK, asked.as_mut()).await {
            return taken;
        }
    }
    false
}

/// One connection of a writer.
enum Session {
    Postgres(Client),
    Redis(Link<TcpStream>),
    MariaDb(Conn),
}

impl Session {
    async fn open(dialect: Dialect, server: SocketAddr) -> Option<Self> {
        match dialect {
            Dialect::Postgres => {
                let (client, connection) = superuser(server).connect(NoTls).await.ok()?;
                tokio::spawn(async move {
                    // Ends when the client is dropped; what went wrong shows in the client's own errors.
                    let _ = connection.await;
                });
                Some(Self::Postgres(client))
            }
            Dialect::Redis | Dialect::Valkey => {
                let stream = TcpStream::connect(server).await.ok()?;
                Some(Self::Redis(Link::over(stream)))
            }
            Dialect::MariaDb | Dialect::MySql => {
                connect(server, CLIENT, Some(CLIENT)).await.ok().map(Self::MariaDb)
            }
        }
    }

    /// Was it acknowledged?
    async fn insert(&mut self, row: i64) -> bool {
        match self {
            Self::Postgres(client) => {
                let insert = format!("insert into ledger values ({row})");
                client.batch_execute(&insert).await.is_ok()
            }
            Self::Redis(link) => {
                let said = link.ask(&["SET", &format!("row:{row}"), "x"]).await;
                said.is_ok_and(|reply| reply == Reply::Text("OK".to_owned()))
            }
            Self::MariaDb(conn) => {
                conn.query_drop(format!("insert into app.ledger values ({row})")).await.is_ok()
            }
        }
    }
}
