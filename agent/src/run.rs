//! From files to a running agent, and what the rest of the agent may ask of it.
//!
//! One task ([`turn`]) owns the node; there are no locks. Starting checks everything that can be wrong before anything
//! listens, and each thing that is wrong is one line that says what, where and what to do.

mod sight;
mod start;
mod turn;
mod warnings;

use std::sync::Arc;

use consensus::model::AppState;
use consensus::moment::Moment;
use consensus::node::Handing;
use consensus::outbox::{Answer, Command, Note};
use consensus::view::View;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::standing::Since;

pub use sight::Seen;
pub use start::{Running, StartError, start};

/// A note with its place in this run and in time.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Counted from the start of the process.
    pub number: u64,
    /// Milliseconds since 1970, for people.
    pub wall_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub note: Note,
}

/// What DNS answers from.
#[derive(Clone, Debug, Default)]
pub struct Agreed {
    /// The agreed state of every app, as far as known here; changes are published at once.
    pub apps: Vec<Arc<AppState>>,
    /// What is handed out of each, in the same order; of the others everything, for as long as the definition says.
    pub handing: Vec<Arc<Handing>>,
    /// Since when each app's stack is known to serve.
    pub since: Since,
    /// When a majority of voters was last heard, or the agent started; refreshed about once a second.
    pub confirmed: Moment,
    /// Is a majority of voters heard, so that what is handed out is handed out by its word?
    pub heard: bool,
    /// What this agent itself sees up; looked at only while no majority is heard.
    pub seen: Arc<Seen>,
}

impl Agreed {
    /// Every app with what is handed out of it.
    pub fn apps(&self) -> impl Iterator<Item = (Arc<AppState>, Arc<Handing>)> {
        let handing = self.handing.iter().cloned().chain(std::iter::repeat_with(Arc::default));
        self.apps.iter().cloned().zip(handing)
    }

    /// Does nothing in it differ from the other but when it was confirmed, and what is seen?
    pub fn same(&self, other: &Self) -> bool {
        let alike = |(one, other): (&Arc<AppState>, &Arc<AppState>)| Arc::ptr_eq(one, other);
        self.heard == other.heard
            && self.apps.len() == other.apps.len()
            && self.apps.iter().zip(&other.apps).all(alike)
            && self.handing == other.handing
    }
}

/// What others may ask of the loop.
pub(crate) enum Ask {
    /// What this agent sees, thinks and knows.
    View(oneshot::Sender<View>),
    /// What a person asks for.
    Command(Command, oneshot::Sender<Answer>),
}

/// The loop, as the rest of the agent sees it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) agreed: watch::Receiver<Arc<Agreed>>,
    pub(crate) events: broadcast::Sender<Arc<Event>>,
}

impl Handle {
    /// What this agent sees, thinks and knows; `None` once the loop has ended.
    pub async fn view(&self) -> Option<View> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(Ask::View(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Puts a command before the mesh and waits for what becomes of it; `None` once the loop has ended.
    pub async fn command(&self, command: Command) -> Option<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(Ask::Command(command, sender)).await.ok()?;
        receiver.await.ok()
    }

    /// The agreed state of every app, now and whenever it changes.
    pub fn agreed(&self) -> watch::Receiver<Arc<Agreed>> {
        self.agreed.clone()
    }

    /// Every event from now on; a slow reader misses the oldest and is told how many.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }
}
