//! A client that writes rows and keeps a ledger of those that were acknowledged.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

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

/// A thread that writes to whichever server takes writes, first come first.
pub struct Writer {
    ledger: Arc<Mutex<Vec<Acknowledged>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Begins to write to one of these servers, moving on to the next whenever one fails.
    pub fn start(servers: &[SocketAddr]) -> Self {
        let ledger = Arc::new(Mutex::new(Vec::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let (list, end, servers) = (Arc::clone(&ledger), Arc::clone(&ending), servers.to_vec());
        let thread = thread::spawn(move || runtime().block_on(write(&servers, &list, &end)));
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

async fn write(servers: &[SocketAddr], ledger: &Mutex<Vec<Acknowledged>>, ending: &AtomicBool) {
    let mut row: i64 = 0;
    let mut turn = servers.iter().cycle();
    while !ending.load(Ordering::Relaxed) {
        let server = *turn.next().expect("a cycle never ends");
        pace(EVERY);
        let Some(client) = connect(server).await else { continue };
        while !ending.load(Ordering::Relaxed) {
            // A number is never used twice: whether an unanswered row was taken is not known.
            row += 1;
            let insert = format!("insert into ledger values ({row})");
            match tokio::time::timeout(LIMIT, client.batch_execute(&insert)).await {
                Ok(Ok(_)) => {
                    let entry = Acknowledged { row, server, at: Instant::now() };
                    ledger.lock().expect("nobody panics while holding it").push(entry);
                }
                Ok(Err(_)) | Err(_) => break,
            }
            pace(EVERY);
        }
    }
}

async fn connect(server: SocketAddr) -> Option<Client> {
    let config = superuser(server);
    let (client, connection) =
        tokio::time::timeout(LIMIT, config.connect(NoTls)).await.ok()?.ok()?;
    tokio::spawn(async move {
        // Ends when the client is dropped; what went wrong shows in the client's own errors.
        let _ = connection.await;
    });
    Some(client)
}
