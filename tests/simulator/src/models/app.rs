//! The state of an app, and what an agent may make of it: short values for models, of the production type.
//!
//! What is written here asks for everything an agent could ask for, lawful or not; whether it may follow is for
//! `failover::chain` to say.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::failover::damping;
use consensus::model::{
    AgentId, AppState, Candidate, Certificate, Claim, Damping, Decision, DecisionKind, Epoch,
    FenceRecord, Fencing, Phase, StackId,
};
use consensus::value;

use crate::scene::{AppShape, agent_name, database_name};

/// What somebody makes of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The very same: completing somebody's write.
    Same,
    /// A failover to the other stack.
    FailOver,
    /// The same, because a person says so.
    Force,
    /// Another executor, who brings fresh evidence or none.
    Claim {
        /// Is there evidence of this very ballot?
        fresh: bool,
    },
    /// The point of no return.
    Promote {
        /// Is there evidence of this very ballot?
        fresh: bool,
    },
    /// Moving DNS.
    Publish,
    /// Waiting for the new stack.
    Verify,
    /// The end of an epoch.
    Finish,
    /// The taking back of a fence.
    Abort,
}

/// An app with a database at each of two stacks, at rest.
pub fn at_rest(fencing: Fencing) -> AppState {
    let mut shape = AppShape::with_database("shop", true);
    shape.outside = true;
    shape.cooldown = Duration::ZERO;
    // What proves a fence is a guard's word.
    shape.guards = vec![agent_name(7), agent_name(8)];
    let mut definition = shape.definition();
    definition.data.fencing = fencing;
    let active = definition.stacks[0].name.clone();
    AppState {
        revision: 1,
        epoch: Epoch(1),
        phase: Phase::Idle,
        decision: decision(DecisionKind::Apply, Epoch(1), (&active, &active), agent_name(0)),
        active,
        damping: Damping::default(),
        freeze: None,
        guards_since: 1,
        claim: None,
        closed: false,
        left: vec![],
        lifetimes: Default::default(),
        sync: Default::default(),
        operations: Vec::new(),
        previous: [0; 32],
        definition: definition.into(),
    }
}

fn decision(
    kind: DecisionKind,
    epoch: Epoch,
    (from, to): (&StackId, &StackId),
    by: AgentId,
) -> Decision {
    Decision {
        epoch,
        kind,
        from: from.clone(),
        to: to.clone(),
        by,
        reason: String::new(),
        wall_ms: 0,
        attempt: 1,
        candidates: Vec::new(),
        fence: BTreeMap::new(),
        loss_bytes: None,
        loss_time: None,
        first: None,
        second: None,
    }
}

/// The stack that is not active.
pub fn standby(state: &AppState) -> &StackId {
    let mut stacks = state.definition.stacks.iter().map(|stack| &stack.name);
    stacks.find(|stack| **stack != state.active).expect("an app has two stacks here")
}

/// What `by` makes of a state, with the evidence of its ballot.
pub fn changed(before: &AppState, change: Change, by: usize, evidence: &Certificate) -> AppState {
    let mut next = before.clone();
    if change == Change::Same {
        return next;
    }
    next.previous = value::encode(before).hash();
    let term = before.claim.as_ref().map_or(0, |claim| claim.term) + 1;
    let claim = |term| Some(Claim { agent: agent_name(by), instance: by as u64, term });
    match change {
        Change::Same => {}
        Change::FailOver | Change::Force => {
            let (from, to) = (&before.active, standby(before));
            next.epoch = before.epoch.next();
            let kind = match change {
                Change::FailOver => DecisionKind::Failover,
                _ => DecisionKind::Forced,
            };
            next.decision = decision(kind, next.epoch, (from, to), agent_name(by));
            next.decision.candidates = vec![candidate()];
            if change == Change::FailOver {
                next.decision.first = Some(evidence.clone());
                next.damping = damping::begun(&before.damping, next.epoch, false);
            }
            next.phase = Phase::Fencing;
            next.claim = claim(1);
        }
        Change::Claim { fresh } => {
            if fresh && before.phase == Phase::Promoting {
                next.decision.second = Some(evidence.clone());
            } else if fresh {
                next.decision.first = Some(evidence.clone());
            }
            next.claim = claim(term);
        }
        Change::Promote { fresh } => {
            next.phase = Phase::Promoting;
            next.decision.fence = [(database_name(), fenced())].into();
            next.decision.second = match fresh {
                true => Some(evidence.clone()),
                false => before.decision.first.clone(),
            };
            next.claim = claim(term);
        }
        Change::Publish => {
            next.phase = Phase::Publishing;
            next.active = before.decision.to.clone();
            next.claim = claim(term);
        }
        Change::Verify => next.phase = Phase::Verifying,
        Change::Finish => {
            next.phase = Phase::Idle;
            next.claim = None;
        }
        Change::Abort => {
            let (from, to) = (&before.decision.to, &before.decision.from);
            next.epoch = before.epoch.next();
            next.decision = decision(DecisionKind::Abort, next.epoch, (from, to), agent_name(by));
            next.decision.fence = before.decision.fence.clone();
            if before.phase == Phase::Promoting {
                next.decision.candidates = before.decision.candidates.clone();
            }
            next.damping = damping::taken_back(&before.damping, before.epoch);
            next.phase = Phase::Aborting;
            next.active = before.decision.from.clone();
            next.claim = claim(1);
        }
    }
    next
}

fn candidate() -> Candidate {
    Candidate { name: database_name(), system: 1, timeline: 1, position: 1 }
}

fn fenced() -> FenceRecord {
    FenceRecord { proven: true, text: String::new(), position: Some(1) }
}
