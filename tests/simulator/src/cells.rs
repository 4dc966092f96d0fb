//! Where a saga can be interrupted: the crash cells of PROTOCOL.md D.2, and which of them exist.
//!
//! A cell is one way in which whoever carries out an app's decision is interrupted (dies, stands still, is cut off): in a
//! phase, at a stage of the write that leaves the phase or claims it, with its requests of that phase in some state, and
//! with somebody to go on. [`Chronicle`] tells which cells a run went through.

mod chronicle;

use std::fmt;

use consensus::model::Phase;

pub use chronicle::Chronicle;

/// How far the interrupted agent's own write had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Write {
    /// It was not sent yet: what comes before it was still under way.
    Before,
    /// It was sent, and no voter had it.
    Sent,
    /// Fewer than a majority had it.
    Minority,
    /// A majority had it, and the agent did not know.
    Unseen,
    /// The agent knew, and had done nothing more.
    Seen,
}

/// What became of the interrupted agent's requests of the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// None had been sent.
    NotSent,
    /// One got lost.
    Lost,
    /// One was carried out, and the agent did not hear of it.
    Unheard,
    /// It was carried out, or answered, more than once.
    Twice,
    /// One arrived after somebody had written what follows.
    AfterTakeover,
    /// One arrived after the next epoch had begun.
    AfterNextEpoch,
}

/// Who went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heir {
    /// The interrupted agent itself.
    Same,
    /// Another.
    Other,
    /// Another, and the interrupted agent tried as well.
    Both,
}

/// One way to be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The phase that was being carried out; `Idle` for the decision itself.
    pub phase: Phase,
    /// The write.
    pub write: Write,
    /// The requests.
    pub request: Request,
    /// Who went on.
    pub heir: Heir,
}

/// Every phase there is. `Promoted` of D.2 is part of `Publishing` here: replicas are told whom to follow beside it.
pub const PHASES: [Phase; 6] = [
    Phase::Idle,
    Phase::Fencing,
    Phase::Aborting,
    Phase::Promoting,
    Phase::Publishing,
    Phase::Verifying,
];
/// Every stage of a write.
pub const WRITES: [Write; 5] =
    [Write::Before, Write::Sent, Write::Minority, Write::Unseen, Write::Seen];
/// Every state of requests.
pub const REQUESTS: [Request; 6] = [
    Request::NotSent,
    Request::Lost,
    Request::Unheard,
    Request::Twice,
    Request::AfterTakeover,
    Request::AfterNextEpoch,
];
/// Everybody who can go on.
pub const HEIRS: [Heir; 3] = [Heir::Same, Heir::Other, Heir::Both];

impl Cell {
    /// All cells, those that cannot exist included.
    pub fn all() -> impl Iterator<Item = Self> {
        PHASES.into_iter().flat_map(|phase| {
            WRITES.into_iter().flat_map(move |write| {
                REQUESTS.into_iter().flat_map(move |request| {
                    HEIRS.into_iter().map(move |heir| Self { phase, write, request, heir })
                })
            })
        })
    }

    /// Why no run can come here; `None` if one can.
    pub fn impossible(&self) -> Option<&'static str> {
        let ends = matches!(self.write, Write::Unseen | Write::Seen);
        match (self.phase, self.request) {
            (_, Request::NotSent) => None,
            (Phase::Idle, _) => Some("a decision asks nothing of the outside before it is chosen"),
            (Phase::Verifying, _) => Some("verifying only looks"),
            (Phase::Aborting, _) if ends && self.heir != Heir::Same => {
                Some("its own write ended the saga, so that nobody has to go on")
            }
            _ => None,
        }
    }

    /// Every cell that a run can come to.
    pub fn reachable() -> impl Iterator<Item = Self> {
        Self::all().filter(|cell| cell.impossible().is_none())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, write, request, heir } = self;
        write!(f, "{phase}, write {write:?}, request {request:?}, carried on by {heir:?}")
    }
}

/// The table that `swarm` prints: how many of its cells each phase and stage has covered, and what cannot exist.
pub fn table(covered: &std::collections::BTreeMap<Cell, u64>) -> String {
    let mut told = String::from("crash cells covered    ");
    for write in WRITES {
        told.push_str(&format!("{:>10}", format!("{write:?}").to_lowercase()));
    }
    for phase in PHASES {
        told.push_str(&format!("\n  {:<21}", phase.to_string()));
        for write in WRITES {
            let here = || Cell::reachable().filter(|it| (it.phase, it.write) == (phase, write));
            let hit = here().filter(|cell| covered.contains_key(cell)).count();
            told.push_str(&format!("{:>10}", format!("{hit}/{}", here().count())));
        }
    }
    let reachable = Cell::reachable().count();
    let hit = Cell::reachable().filter(|cell| covered.contains_key(cell)).count();
    let all = Cell::all().count();
    told.push_str(&format!(
        "\n{hit} of {reachable} crash cells covered; {} of {all} cannot exist: idle and verifying ask nothing of the outside, and a write that ends a saga leaves nobody anything to do",
        all - reachable
    ));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_phases_ask_something_of_the_outside_and_two_do_not() {
        assert_eq!(Cell::all().count(), 540);
        assert_eq!(Cell::reachable().count(), 4 * 5 * 6 * 3 + 2 * 5 * 3 - 2 * 5 * 2);
    }
}
