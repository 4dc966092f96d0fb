//! One attempt at an action: may it still send, and how far has it come?

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::{ActionFault, ActionFaultKind};
use consensus::moment::Moment;

use crate::clock;

/// What an attempt is doing, readable by whoever has to give it up.
#[derive(Clone, Default)]
pub(super) struct Stage(Arc<Mutex<&'static str>>);

impl Stage {
    /// What it was doing last.
    pub(super) fn last(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stage: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

/// One attempt at an action.
pub(super) struct Attempt {
    deadline: Moment,
    ends: Instant,
    /// Has anything been sent that cannot be taken back?
    sent: bool,
    stage: Stage,
}

impl Attempt {
    /// Begun now, and given up by whoever waits for it once `limit` has passed.
    pub(super) fn new(deadline: Moment, limit: Duration, stage: Stage) -> Self {
        Self { deadline, ends: Instant::now() + limit, sent: false, stage }
    }

    /// How long from now until it is given up.
    pub(super) fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// Says what is done next; nothing that changes the outside.
    pub(super) fn enter(&self, stage: &'static str) {
        self.stage.enter(stage);
    }

    /// Leave to send the first byte (rule E1).
    pub(super) fn begin(&self, stage: &'static str) -> Result<(), ActionFault> {
        self.enter(stage);
        match clock::now() <= self.deadline {
            true => Ok(()),
            false => Err(self.late(stage)),
        }
    }

    /// Leave to send what cannot be taken back; asked for immediately before each such request.
    pub(super) fn commit(&mut self, stage: &'static str) -> Result<(), ActionFault> {
        self.begin(stage)?;
        self.sent = true;
        Ok(())
    }

    fn late(&self, stage: &'static str) -> ActionFault {
        match self.sent {
            false => fault(ActionFaultKind::Late, format!("its deadline passed before {stage}")),
            true => fault(
                ActionFaultKind::Unknown,
                format!("its deadline passed half way, before {stage}"),
            ),
        }
    }
}

/// A fault with its line for people.
pub(super) fn fault(kind: ActionFaultKind, text: impl Into<String>) -> ActionFault {
    ActionFault { kind, text: text.into() }
}
