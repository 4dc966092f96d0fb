//! Clients that take every connection a server gives and hold them, until they are told to go.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mysql_async::Conn;
use probe::redis::resp::{Link, Reply};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};

use super::postgres::{plain, runtime, superuser};
use super::sql::connect;
use super::wait::{eventually, pace};
use super::writer::Dialect;

/// Between two tries once there is no connection left: whoever looks takes one for a moment, and it is the crowd's next.
const AGAIN: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(5);
/// Who was not hung up on for so long is let stay.
const STAYS: Duration = Duration::from_millis(100);
/// How long a server may take to be out of connections.
const FILLING: Duration = Duration::from_secs(30);

/// They come as administrators, so that nothing is kept for others.
pub struct Crowd {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Comes to a server, and waits until one of them is turned away.
    pub fn at(dialect: Dialect, server: SocketAddr) -> Self {
        Self::of(Manner::Speaks(dialect), server)
    }

    /// The same at a server that hangs up on whoever is one too many; those who are not say nothing.
    pub fn silent(server: SocketAddr) -> Self {
        Self::of(Manner::Silent, server)
    }

    fn of(manner: Manner, server: SocketAddr) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let refusal = Arc::new(Mutex::new(None));
        let (end, said) = (Arc::clone(&ending), Arc::clone(&refusal));
        let thread = thread::spawn(move || runtime().block_on(fill(manner, server, &end, &said)));
        let crowd = Self { ending, thread: Some(thread) };
        let why = eventually(FILLING, &format!("{server} turns somebody away"), || {
            refusal.lock().expect("nobody panics while holding it").clone().ok_or("nobody")
        });
        println!("{server}: {why}");
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How they come.
#[derive(Clone, Copy)]
enum Manner {
    Speaks(Dialect),
    /// They connect, and say nothing.
    Silent,
}

async fn fill(
    manner: Manner,
    server: SocketAddr,
    ending: &AtomicBool,
    refusal: &Mutex<Option<String>>,
) {
    let mut held = Vec::new();
    while !ending.load(Ordering::Relaxed) {
        // Who is not answered was not turned away, and tries again.
        let came = tokio::time::timeout(LIMIT, Held::come(manner, server)).await;
        match came {
            Ok(Ok(one)) => held.push(one),
            Ok(Err(why)) => {
                refusal.lock().expect("nobody panics while holding it").get_or_insert(why);
                pace(AGAIN);
            }
            Err(_) => {}
        }
    }
}

/// A connection that is taken, and not used.
#[expect(dead_code, reason = "whoever holds one keeps it from others")]
enum Held {
    Postgres(Client),
    Redis(Link<TcpStream>),
    MySql(Conn),
    Silent(TcpStream),
}

impl Held {
    async fn come(manner: Manner, server: SocketAddr) -> Result<Self, String> {
        let Manner::Speaks(dialect) = manner else {
            let stream = TcpStream::connect(server).await.map_err(|it| it.to_string())?;
            return match tokio::time::timeout(STAYS, stream.peek(&mut [0])).await {
                Ok(_) => Err("hangs up".to_owned()),
                Err(_) => Ok(Self::Silent(stream)),
            };
        };
        match dialect {
            Dialect::Postgres => {
                let came = superuser(server).connect(NoTls).await;
                let (client, connection) = came.map_err(|error| plain(&error))?;
                tokio::spawn(connection);
                Ok(Self::Postgres(client))
            }
            Dialect::Redis | Dialect::Valkey => {
                let stream = TcpStream::connect(server).await.map_err(|it| it.to_string())?;
                let mut link = Link::over(stream);
                match link.ask(&["PING"]).await.map_err(|it| it.to_string())? {
                    Reply::Text(_) => Ok(Self::Redis(link)),
                    other => Err(format!("{other:?}")),
                }
            }
            Dialect::MariaDb | Dialect::MySql => {
                let came = connect(server, "root", None).await;
                came.map(Self::MySql).map_err(|it| it.to_string())
            }
        }
    }
}
