//! A client that writes rows and keeps a ledger of those that were acknowledged.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use probe::redis::resp::{Link, Reply};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};

use super::mariadb::{CLIENT, connect};
use super::postgres::{Postgres, runtime, superuser};
use super::wait::pace;

/// Between two rows: enough of them to notice a loss, few enough for two cores.
const EVERY: Duration = Duration::from_millis(5);
/// How long a row may wait for its acknowledgement before the client gives the connection up.
const LIMIT: Duration = Duration::from_secs(1);

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
    /// Rows of the table `app.ledger`.
    MariaDb,
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
        let ledger = Arc::new(Mutex::new(Vec::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let (list, end, servers) = (Arc::clone(&ledger), Arc::clone(&ending), servers.to_vec());
        let thread =
            thread::spawn(move || runtime().block_on(write(dialect, &servers, &list, &end)));
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

/// The last row that one server took, and the first that the other did, of a ledger in which the second took over: how long
/// after the one came the other. Panics if they overlap, or if either took none.
pub fn gap(ledger: &[Acknowledged], from: SocketAddr, to: SocketAddr) -> Duration {
    let of = |server| ledger.iter().filter(move |entry| entry.server == server);
    let last = of(from).map(|entry| entry.at).max().expect("the first took rows");
    let first = of(to).map(|entry| entry.at).min().expect("the second took rows");
    assert!(last < first, "both took rows for {:?}", last.duration_since(first));
    first.duration_since(last)
}

/// The acknowledged rows that this server does not hold.
pub fn lost(ledger: &[Acknowledged], server: &Postgres<'_>) -> Vec<i64> {
    let rows = server.rows("select row from ledger").expect("the surviving server answers");
    let held: BTreeSet<i64> =
        rows.iter().map(|row| row.parse().expect("`ledger.row` is a number")).collect();
    ledger.iter().map(|entry| entry.row).filter(|row| !held.contains(row)).collect()
}

async fn write(
    dialect: Dialect,
    servers: &[SocketAddr],
    ledger: &Mutex<Vec<Acknowledged>>,
    ending: &AtomicBool,
) {
    let mut row: i64 = 0;
    let mut turn = servers.iter().cycle();
    while !ending.load(Ordering::Relaxed) {
        let server = *turn.next().expect("a cycle never ends");
        pace(EVERY);
        let connected = tokio::time::timeout(LIMIT, Session::open(dialect, server)).await;
        let Ok(Some(mut session)) = connected else { continue };
        while !ending.load(Ordering::Relaxed) {
            // A number is never used twice: whether an unanswered row was taken is not known.
            row += 1;
            match tokio::time::timeout(LIMIT, session.insert(row)).await {
                Ok(true) => {
                    let entry = Acknowledged { row, server, at: Instant::now() };
                    ledger.lock().expect("nobody panics while holding it").push(entry);
                }
                Ok(false) | Err(_) => break,
            }
            pace(EVERY);
        }
    }
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
            Dialect::Redis => {
                let stream = TcpStream::connect(server).await.ok()?;
                Some(Self::Redis(Link::over(stream)))
            }
            Dialect::MariaDb => connect(server, CLIENT, Some(CLIENT)).await.ok().map(Self::MariaDb),
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
