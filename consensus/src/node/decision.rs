//! A decision as it begins: what, from where to where, by whom and why; nothing of what carrying it out finds.

use std::collections::BTreeMap;

use super::Node;
use crate::model::{Decision, DecisionKind, Epoch, OperationId, StackId};
use crate::moment::Moment;

impl Node {
    pub(super) fn decision(
        &self,
        kind: DecisionKind,
        epoch: Epoch,
        (from, to): (&StackId, &StackId),
        reason: &str,
        now: Moment,
    ) -> Decision {
        Decision {
            epoch,
            kind,
            from: from.clone(),
            to: to.clone(),
            by: self.config.agent.clone(),
            reason: reason.chars().take(300).collect(),
            wall_ms: self.wall_ms(now),
            attempt: 1,
            candidates: Vec::new(),
            fence: BTreeMap::new(),
            loss_bytes: None,
            loss_time: None,
            first: None,
            second: None,
        }
    }

    /// The wall clock, for people.
    pub(super) fn wall_ms(&self, now: Moment) -> u64 {
        self.wall.0 + u64::try_from(now.since(self.wall.1).as_millis()).unwrap_or(0)
    }

    /// A write of this agent's own, told apart from every other (rule R6).
    pub(super) fn operation(&mut self) -> OperationId {
        self.operations += 1;
        OperationId { instance: self.instance, number: self.operations }
    }
}
