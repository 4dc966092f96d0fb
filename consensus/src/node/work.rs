//! What an executor is in the middle of: one phase, its requests one by one, and the reading that confirms its claim.
//!
//! It knows how far each request has come and when it is worth asking again, and nothing of who claims what, nor of what
//! follows from the reports.

use std::collections::BTreeSet;
use std::time::Duration;

use super::unable::Failing;
use crate::ballot::Tally;
use crate::message::Accepted;
use crate::model::{
    AcceptorId, ActionFault, AgentId, Ballot, Done, Effect, Epoch, Phase, Token, Voters,
};
use crate::moment::Moment;
use crate::outbox::Deadline;

/// An executor may act only on a claim confirmed no longer ago than this, and a request may last no longer (rule E1).
pub const ACT: Duration = Duration::from_secs(5);
/// A guard that answers others and says nothing of what it was asked for is gone past after this: it may not know of requests.
const PATIENCE: Duration = Duration::from_secs(6);
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// One phase being carried out by this agent.
#[derive(Debug)]
pub struct Work {
    pub token: Token,
    pub(super) epoch: Epoch,
    pub phase: Phase,
    pub term: u32,
    pub items: Vec<Item>,
    pub reading: Option<Reading>,
    /// Readings that found no quorum of one mind.
    pub(super) unread: u32,
    /// Since when something newer than this is known to have been asked for, and the register was not read.
    pub(super) outrun: Option<Moment>,
    /// Since when everything has ended and its outcome is waited for.
    waits: Option<Moment>,
    /// The last thing that went wrong and has not been put right.
    pub trouble: Option<String>,
    pub failing: Option<Failing>,
    /// When something of it was last done; at first, when it began.
    pub advanced: Moment,
    pub again: Moment,
}

#[derive(Debug)]
pub(super) struct Item {
    pub effect: Effect,
    pub stage: Stage,
    pub tries: u32,
    /// The guard that was asked for it, and when last.
    pub asked: Option<(AgentId, Moment)>,
    /// Is it to be done from afar, whether or not there is a guard?
    pub afar: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    Waiting(Moment),
    Running(Moment),
    Ended(Result<Done, ActionFault>),
}

impl Item {
    pub fn ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// A request that was lost is made again. `holds`: could it be made from afar? `heard`: does its guard answer others?
    pub fn look_after(&mut self, holds: bool, heard: bool, now: Moment) {
        let asks = self.asked.is_some();
        if matches!(self.stage, Stage::Running(_)) && (!self.is_awaited(now) || (asks && !heard)) {
            self.stage = Stage::Waiting(now);
            (self.asked, self.afar) = (None, asks && holds);
        }
    }

    /// Was it asked for, and may it be answered still?
    pub fn is_awaited(&self, now: Moment) -> bool {
        let patience = match self.asked {
            // The edge answers within the limit.
            None => ACT * 2,
            Some(_) => PATIENCE,
        };
        matches!(self.stage, Stage::Running(since) if now.since(since) <= patience)
    }

    /// When a guard that has not answered is to be asked once more: messages are lost.
    pub fn asks_again(&self) -> Moment {
        self.asked.as_ref().map_or(Moment::NEVER, |(_, last)| *last + ASK_AGAIN)
    }
}

impl Work {
    /// Requests of a decision that has been carried out, asked for once more: nobody's claim, and nothing follows.
    pub fn mending(token: Token, epoch: Epoch, effects: Vec<Effect>, now: Moment) -> Self {
        Self::new(token, epoch, Phase::Idle, 0, effects, now)
    }

    pub(super) fn new(
        token: Token,
        epoch: Epoch,
        phase: Phase,
        term: u32,
        effects: Vec<Effect>,
        now: Moment,
    ) -> Self {
        let items = effects.into_iter().map(|effect| Item {
            effect,
            stage: Stage::Waiting(now),
            tries: 0,
            asked: None,
            afar: false,
        });
        Self {
            token,
            epoch,
            phase,
            term,
            items: items.collect(),
            reading: None,
            unread: 0,
            outrun: None,
            waits: None,
            trouble: None,
            failing: None,
            advanced: now,
            again: now,
        }
    }

    /// A request failed; what was not even sent, or was overtaken, says nothing of whether it could be done.
    pub fn fails(&mut self, refused: bool, now: Moment) {
        let before = self.failing.unwrap_or(Failing { since: now, refused });
        self.failing = Some(Failing { refused: refused || before.refused, ..before });
    }

    /// Is no answer waited for?
    pub fn is_idle(&self) -> bool {
        !self.items.iter().any(|item| matches!(item.stage, Stage::Running(_)))
    }

    /// Has everything that was asked for once more ended?
    pub fn is_mended(&self) -> bool {
        self.phase == Phase::Idle && self.items.iter().all(Item::ended)
    }

    /// A reading found a quorum of one mind. Does that contradict what was found outside? Whatever is asked for there was
    /// chosen before; so what was begun after something newer had been found must have found that.
    pub fn confirmed(&mut self) -> bool {
        let began = self.reading.take().map(|reading| reading.began);
        self.unread = 0;
        let denied = self.outrun.zip(began).is_some_and(|(outrun, began)| outrun <= began);
        if denied {
            self.outrun = None;
        }
        denied
    }

    pub fn wake(&self) -> Deadline {
        (self.again, "a step is being carried out")
    }

    /// For how long what was done has been waiting to show.
    pub fn waited(&mut self, now: Moment) -> Duration {
        now.since(*self.waits.get_or_insert(now))
    }

    /// It does not show yet: again then.
    pub fn look_again(&mut self, at: Moment, why: String) {
        self.again = at;
        self.trouble = Some(why);
    }
}

/// A read of the register at a quorum.
#[derive(Debug)]
pub struct Reading {
    /// Told apart from every other of this run: an answer to an older one says nothing of now.
    pub number: u64,
    pub began: Moment,
    same: BTreeSet<AcceptorId>,
    other: BTreeSet<AcceptorId>,
}

impl Reading {
    pub fn begun(number: u64, now: Moment) -> Self {
        Self { number, began: now, same: BTreeSet::new(), other: BTreeSet::new() }
    }

    /// Counts one voter's word on whether `expected` is what it accepted last.
    pub fn on_observed(
        &mut self,
        acceptor: AcceptorId,
        accepted: Option<Accepted>,
        expected: Ballot,
        voters: &Voters,
    ) -> Tally {
        match accepted.is_some_and(|it| it.ballot == expected) {
            true => self.same.insert(acceptor),
            false => self.other.insert(acceptor),
        };
        let possible = voters.all().map(|voter| voter.acceptor);
        let possible = possible.filter(|it| !self.other.contains(it)).collect();
        match (voters.quorum(&self.same), voters.quorum(&possible)) {
            (true, _) => Tally::Won,
            (false, true) => Tally::Pending,
            (false, false) => Tally::Lost,
        }
    }
}
