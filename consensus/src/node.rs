//! (being written) Where the stages meet.

use std::sync::Arc;

use crate::config::Config;
use crate::model::AppState;
use crate::moment::Moment;
use crate::outbox::{Deadline, Input, Output};
use crate::saved::Saved;
use crate::view::View;

/// One agent's whole mind: the same type in production and in the simulator.
pub struct Node {}

impl Node {
    /// A node as it starts: `saved` is what its store holds, `seed` all the chance it will ever have. Queues the entry
    /// that counts this start, so drain it before anything else.
    pub fn new(config: Config, saved: Saved, now: Moment, seed: u64) -> Self {
        let _ = (config, saved, now, seed);
        Self {}
    }

    /// One thing that happened.
    pub fn handle(&mut self, now: Moment, input: Input) {
        let _ = (now, input);
    }

    /// One thing to do; drain to `None` before the next [`Node::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        None
    }

    /// When to send [`Input::Wake`], and why.
    pub fn wake(&self) -> Deadline {
        (Moment::NEVER, "nothing to do")
    }

    /// What this agent sees, thinks and knows.
    pub fn view(&self, now: Moment) -> View {
        let _ = now;
        unimplemented!()
    }

    /// The agreed state of every app, as far as known: what DNS answers from.
    pub fn states(&self) -> Vec<Arc<AppState>> {
        Vec::new()
    }
}
