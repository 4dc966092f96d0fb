//! What somebody wants written, in words and before anything was found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::people::Word;
use crate::model::{
    DecisionKind, Definition, Epoch, FenceRecord, OperationId, Phase, SHORTENED_MOST, StackId,
    SyncSet, TargetName,
};

/// What somebody wants written.
#[derive(Clone, Debug)]
pub enum Intent {
    /// A definition.
    Apply { definition: Arc<Definition>, replaces: Option<u64>, active: Option<StackId> },
    /// What the rule calls for.
    Failover,
    /// What an operator calls for.
    Operator { kind: DecisionKind, to: Option<StackId>, accept_loss: bool, by: String },
    /// The failover that waits for a person.
    Approve { by: String },
    /// To take back what is in progress, because a person says so.
    TakeBack { accept_loss: bool, by: String },
    /// A person's word on what the mesh may do by itself.
    Regulate { word: Word, by: String },
    /// The next phase of what this agent carries out.
    Advance { epoch: Epoch, phase: Phase, term: u32, next: Next },
    /// To tell replicas anew whom to follow, or to open a primary that was left closed.
    Tend { reason: String, opens: bool },
    /// To follow endpoints to where this agent finds them.
    Follow,
    /// What an operator calls for, once answers of before have run out.
    Plan { to: Option<StackId>, by: String },
    /// The planned move, now that it may begin.
    Planned { id: OperationId },
    /// To have answers kept for as long as this; to give up what is planned, and why.
    Keep { shortened: u8, gives_up: Option<(OperationId, String)> },
    /// To rely on other replicas.
    Rely { sync: SyncSet },
    /// To carry out what nobody does.
    Claim,
    /// To carry the register over into another set of voters, as it is.
    Sweep {
        /// Something is in progress, which only evidence may allow to complete.
        evidence: bool,
    },
}

/// What follows the phase this agent carried out.
#[derive(Clone, Debug)]
pub enum Next {
    Promote {
        fence: BTreeMap<TargetName, FenceRecord>,
        /// The voters are asked once more what they see: not of what an operator called for.
        looks_again: bool,
    },
    Publish,
    Verify,
    Finish {
        /// Of a taking back: may a database of the active stack be closed still?
        closed: bool,
    },
    Abort(String),
}

impl Next {
    /// Is it the promotion that a second look at the old stack must allow?
    pub fn promotes_on_evidence(&self) -> bool {
        matches!(self, Self::Promote { looks_again: true, .. })
    }
}

impl Intent {
    /// The answer to a command that asks for what is so already.
    pub const UNCHANGED: &'static str = "it is so already";

    pub fn asks_evidence(&self) -> bool {
        match self {
            Self::Failover
            | Self::Operator { .. }
            | Self::Plan { .. }
            | Self::Planned { .. }
            | Self::Approve { .. }
            | Self::Claim => true,
            Self::Advance { next, .. } => next.promotes_on_evidence(),
            Self::Sweep { evidence } => *evidence,
            Self::Apply { .. }
            | Self::Tend { .. }
            | Self::Follow
            | Self::Keep { .. }
            | Self::Rely { .. }
            | Self::TakeBack { .. }
            | Self::Regulate { .. } => false,
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply { .. } => f.write_str("apply a definition"),
            Self::Failover => f.write_str("failover"),
            Self::Operator { kind, by, .. } => write!(f, "{kind}, for {by}"),
            Self::Approve { by } => write!(f, "approved failover, for {by}"),
            Self::TakeBack { by, .. } => write!(f, "take it back, for {by}"),
            Self::Tend { reason, .. } => f.write_str(reason),
            Self::Regulate { word, by } => write!(f, "{word}, for {by}"),
            Self::Advance { phase, next, .. } => match next {
                Next::Promote { .. } => write!(f, "promote after {phase}"),
                Next::Publish => write!(f, "publish after {phase}"),
                Next::Verify => write!(f, "verify after {phase}"),
                Next::Finish { .. } => write!(f, "finish after {phase}"),
                Next::Abort(why) => write!(f, "abort while {phase}: {why}"),
            },
            Self::Follow => f.write_str("follow its endpoints"),
            Self::Plan { by, .. } => write!(f, "switchover, for {by}"),
            Self::Planned { .. } => f.write_str("the planned switchover"),
            Self::Keep { gives_up: Some((_, why)), .. } => f.write_str(why),
            Self::Keep { shortened: SHORTENED_MOST, .. } => f.write_str("shorten lifetimes"),
            Self::Keep { .. } => f.write_str("lengthen lifetimes"),
            Self::Rely { .. } => f.write_str("rely on other replicas"),
            Self::Claim => f.write_str("carry it out"),
            Self::Sweep { .. } => f.write_str("carry it over to other voters"),
        }
    }
}
