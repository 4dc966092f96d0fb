//! What this agent knows, for people and for machines: API, metrics, events, history, page.
//!
//! Reads [`View`](consensus::view::View)s and agreed states from the loop and passes commands to it; decides nothing.
//! Over TCP one can only read, and only on loopback; commands come over the Unix socket, whose file mode says who may.
//! A client that is slow, silent, greedy or one of too many costs itself its connection and the agent nothing.

mod api;
mod command;
mod events;
pub mod explain;
pub mod history;
mod metrics;
mod openapi;
mod page;
mod serve;

pub(crate) use command::VOTERS_LIMIT;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use consensus::model::Definition;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::authority;
use crate::config::AgentConfig;
use crate::guard::{Doors, GuardView};
use crate::readiness::{Readiness, UnreadyView};
use crate::run::Handle;
use crate::tails::{TailView, Tails};
use api::Shared;
use history::History;
use metrics::Counters;
use serve::{Listener, Patience};

/// How long open connections may take to end when the agent stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Turns an app file's text into a definition, or says what is wrong with it, where, and what was expected.
pub type ParseApp = fn(&str) -> Result<Definition, String>;

/// What an agent says of its own host and of what it asked outside, beside what it knows of the mesh.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    /// Who still hands out old addresses.
    pub tails: Vec<TailView>,
    /// The doors that it keeps.
    pub guard: GuardView,
    /// What would keep stacks from serving, as far as this agent found.
    pub readiness: Vec<UnreadyView>,
}

/// Why the status cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that others could reach.
    #[error(
        "cannot serve status on `{0}`: only loopback for now, where everybody may read; set `[status] listen` to \
         `127.0.0.1:{port}`", port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on `{0}` for status")]
    Listen(SocketAddr, #[source] io::Error),
    /// The socket cannot be made.
    #[error("cannot make the socket `{path}`", path = .0.display())]
    Socket(PathBuf, #[source] io::Error),
    /// Somebody answers there.
    #[error("cannot make the socket `{path}`: another agent answers there", path = .0.display())]
    SocketTaken(PathBuf),
}

/// The running servers; they end when this is dropped, and in good order with [`Status::stop`].
pub struct Status {
    /// Where the page, the API and the metrics are, if they are served over TCP.
    pub address: Option<SocketAddr>,
    /// Where the socket is.
    pub socket: PathBuf,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    history: Arc<History>,
}

/// Opens the history, listens, and serves until [`Status::stop`].
///
/// # Errors
/// If the TCP address or the Unix socket cannot be listened on.
pub async fn start(
    config: &AgentConfig,
    handle: Handle,
    parse: ParseApp,
    tails: Tails,
    doors: Doors,
    readiness: Readiness,
    answered: Option<Arc<authority::Counters>>,
) -> Result<Status, StartError> {
    let tcp = match config.status {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let unix = serve::bind_socket(&config.socket).await?;
    let address = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
    let (stop, stopped) = watch::channel(false);
    let history = Arc::new(History::open(&config.data_dir, handle.agreed()));
    let counters = Counters::default();
    let weak = doors.weak();
    let shared = Arc::new(Shared {
        handle: handle.clone(),
        parse,
        history: history.clone(),
        counters: counters.clone(),
        answered,
        tails,
        doors,
        readiness,
        stopped: stopped.clone(),
        view: tokio::sync::Mutex::default(),
        watchers: Arc::new(Semaphore::new(events::WATCHERS)),
        readers: Semaphore::new(1),
    });
    let mut tasks = vec![
        tokio::spawn({
            let (history, events) = (history.clone(), handle.events());
            let (handle, stopped) = (handle.clone(), stopped.clone());
            async move { history.follow(events, handle, stopped).await }
        }),
        tokio::spawn({
            let (history, stopped) = (history.clone(), stopped.clone());
            async move { history.doors(weak, stopped).await }
        }),
        tokio::spawn(counters.follow(handle.events(), stopped.clone())),
        tokio::spawn(serve::serve(
            Listener::Unix(unix, config.socket.clone()),
            api::router(shared.clone(), true),
            Patience::default(),
            stopped.clone(),
        )),
    ];
    if let Some(tcp) = tcp {
        let router = api::router(shared, false);
        tasks.push(tokio::spawn(serve::serve(
            Listener::Tcp(tcp),
            router,
            Patience::default(),
            stopped,
        )));
    }
    Ok(Status { address, socket: config.socket.clone(), stop, tasks, history })
}

async fn listen(address: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    match address.ip().is_loopback() {
        true => tokio::net::TcpListener::bind(address)
            .await
            .map_err(|error| StartError::Listen(address, error)),
        false => Err(StartError::NotLoopback(address)),
    }
}

impl Status {
    /// Where this agent writes down what the mesh knows nothing of.
    pub fn history(&self) -> Arc<History> {
        self.history.clone()
    }

    /// Ends every stream and connection, takes the socket away, and finishes the history.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let ending = async {
            for task in self.tasks {
                let _ = task.await;
            }
            let history = self.history;
            let _ = tokio::task::spawn_blocking(move || history.close()).await;
        };
        if tokio::time::timeout(2 * FAREWELL, ending).await.is_err() {
            tracing::warn!("the status server did not end in time");
        }
    }
}

/// The folder a path is in; the working directory if it names none.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
