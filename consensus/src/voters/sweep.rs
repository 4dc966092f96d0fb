//! Carrying every register over into a new set of voters, before the old one is left.
//!
//! What was chosen by the old set alone might be unknown to every quorum of the new one. So while both are in force, all
//! registers that a quorum of both knows are read and, where need be, written by both (PROTOCOL.md A.4, M3).

use std::collections::BTreeSet;

use crate::model::{AcceptorId, AppId, RegisterId, Voters};
use crate::moment::Moment;

/// How far the sweep has come.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    listed: BTreeSet<AcceptorId>,
    known: BTreeSet<AppId>,
    done: BTreeSet<AppId>,
    /// When the list was last asked for.
    pub asked: Option<Moment>,
}

impl Sweep {
    /// A sweep that begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store lists its registers. It does so under both sets: what it accepted under the old one alone is among them.
    pub fn on_listed(&mut self, acceptor: AcceptorId, registers: &[RegisterId]) {
        self.listed.insert(acceptor);
        // The voters' own register is carried over by the very write that ends the change.
        self.known.extend(registers.iter().filter_map(|register| match register {
            RegisterId::Voters => None,
            RegisterId::App(app) => Some(app.clone()),
        }));
    }

    /// Has a quorum of both sets listed its registers?
    pub fn listed(&self, voters: &Voters) -> bool {
        voters.quorum(&self.listed)
    }

    /// A register was written by both sets, or found to be held by both.
    pub fn on_swept(&mut self, app: &AppId) {
        self.done.insert(app.clone());
    }

    /// The registers still to be carried over.
    pub fn left(&self) -> impl Iterator<Item = &AppId> {
        self.known.difference(&self.done)
    }

    /// Must this register still be carried over?
    pub fn wants(&self, app: &AppId) -> bool {
        self.known.contains(app) && !self.done.contains(app)
    }

    /// Is there nothing left to carry over?
    pub fn finished(&self, voters: &Voters) -> bool {
        self.listed(voters) && self.left().next().is_none()
    }
}
