//! What a node keeps of one app.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempt;
use super::damping::Ages;
use super::drift::Records;
use super::fleet::Place;
use super::following::Lookouts;
use super::guard::Guarding;
use super::handing::Handed;
use super::intent::Intent;
use super::lifetimes::Keeping;
use super::rejoin::Rejoining;
use super::stepping::Stepping;
use super::sync::Syncing;
use super::tend::Astray;
use super::unable::GaveUp;
use super::work::Work;
use crate::message::{Accepted, Value};
use crate::model::{
    AgentId, AppState, Ballot, Epoch, Lost, OperationId, StackId, TargetName, Token, Verdict,
};
use crate::moment::Moment;
use crate::outbox::{CommandId, Deadline};

/// A state known to be chosen.
#[derive(Clone, Debug)]
pub struct Known {
    pub ballot: Ballot,
    pub value: Value,
    pub state: Arc<AppState>,
    /// When this process learned of it.
    pub learned: Moment,
    /// When it learned of this phase of this epoch, whoever claims it.
    pub since: Moment,
    /// When it was last known to be the newest: what an executor's leave to act is counted from (rule E1).
    pub confirmed: Moment,
}

impl Known {
    pub fn accepted(&self) -> Accepted {
        Accepted { ballot: self.ballot, value: self.value.clone() }
    }
}

/// A person's command, until it is answered.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub command: CommandId,
    pub intent: Intent,
    /// The same through all tries, so that a try whose outcome stayed unknown is recognised (rule R6).
    pub operation: OperationId,
    pub until: Moment,
}

/// Evidence somebody waits for, until everything has been looked at again.
#[derive(Clone, Debug)]
pub struct Asked {
    pub by: AgentId,
    pub ballot: Ballot,
    pub until: Moment,
}

/// What a node keeps of one app.
#[derive(Debug, Default)]
pub struct App {
    pub chosen: Option<Known>,
    /// How long ago this agent learned of what damps the app.
    pub ages: Ages,
    /// The last automatic decision that this agent holds: what the fleet's budget counts.
    pub place: Option<Place>,
    pub attempt: Option<Attempt>,
    pub wanted: Option<Wanted>,
    /// No attempt before this.
    pub not_before: Moment,
    pub tries: u32,
    /// A value was found that may or may not be chosen: somebody has to find out.
    pub in_flux: bool,
    /// What this voter accepted beyond what is known to be chosen, and since when.
    pub undecided: Option<(Ballot, Moment)>,
    /// A decision that was found and is not known to be chosen, which nothing could be done about, and since when.
    pub doubted: Option<(Epoch, Moment)>,
    /// The ballot of an attempt whose outcome is unknown: what a mutant uses again.
    #[cfg(feature = "mutants")]
    pub burnt: Option<crate::ballot::Preparing>,
    pub work: Option<Work>,
    /// The step that this agent last gave up.
    pub gave_up: Option<GaveUp>,
    /// The stacks whose databases this agent guards.
    pub guarding: BTreeMap<StackId, Guarding>,
    /// Until when nothing is granted to the stack of a promotion that somebody is taking back, by this epoch.
    pub withheld: (Epoch, Moment),
    /// Guards that said they are shut, of a stack that may not write.
    pub released: BTreeSet<(StackId, AgentId)>,
    pub asked: Vec<Asked>,
    /// The ballot this voter last gave evidence for, and when.
    pub stated: Option<(Ballot, Moment)>,
    /// Since when a failover has been called for.
    pub called: Option<Moment>,
    /// An old primary on this host that is to be a replica again.
    pub rejoining: Option<Rejoining>,
    /// What decisions lost, as old primaries' guards found, by database: of which stack, told under which token.
    pub lost: BTreeMap<TargetName, (StackId, Token, Lost)>,
    /// A replica that follows another than it should.
    pub astray: Option<Astray>,
    /// What this agent finds of endpoints that are followed.
    pub lookouts: Lookouts,
    /// What others' DNS says of it.
    pub records: Records,
    /// Its primaries that were last asked to step down.
    pub stepping: Option<Stepping>,
    /// What DNS hands out of it.
    pub handed: Handed,
    /// For how long answers of it may be kept.
    pub keeping: Keeping,
    /// Replicas that its primaries wait for.
    pub syncing: Syncing,
    /// When to look at this app again though nothing happens.
    pub again: Option<Deadline>,
    /// When it was last found that this app would have to be looked at, though nothing happens.
    pub due: Moment,
    /// What will happen next, or why nothing does.
    pub next: String,
    pub next_told: String,
    pub suspicion_told: Option<(Verdict, usize)>,
}

impl App {
    pub fn known(&self) -> Option<(&Known, &AppState)> {
        self.chosen.as_ref().map(|known| (known, &*known.state))
    }

    /// What was found of this epoch could neither be completed nor taken back.
    pub fn doubt(&mut self, epoch: Epoch, now: Moment) {
        if self.doubted.is_none_or(|(of, _)| of != epoch) {
            self.doubted = Some((epoch, now));
        }
    }

    /// Since when this agent knows of this epoch, whether or not it is sure that it was chosen.
    pub fn knows_since(&self, epoch: Epoch) -> Option<Moment> {
        let known = self.chosen.as_ref().filter(|known| known.state.epoch == epoch);
        let doubted = self.doubted.filter(|(of, _)| *of == epoch);
        known.map(|known| known.learned).or(doubted.map(|(_, since)| since))
    }

    /// When to be woken for this app.
    pub fn wake(&self, now: Moment) -> Deadline {
        let asked = self.asked.iter().map(|asked| (asked.until, "evidence is waited for")).min();
        let always = self.guarding.values().map(|it| it.wake(now)).chain(asked);
        let always = always.chain(self.rejoining.as_ref().map(Rejoining::wake));
        let (at, why) = match &self.attempt {
            // While an attempt runs, everything else rests: its outcome is what is waited for.
            Some(attempt) => Some(attempt.wake(now)).into_iter().chain(always).min(),
            None => self.rest().into_iter().flatten().chain(always).min(),
        }
        .unwrap_or((Moment::NEVER, ""));
        (at.max(now + Duration::from_micros(1)), why)
    }

    fn rest(&self) -> [Option<Deadline>; 4] {
        // What waits for a set to elect is looked at when something is seen, or `again`.
        let waits = |it: &&Wanted| !self.stepping.as_ref().is_some_and(|by| by.is_by(it.operation));
        let wanted = self.wanted.as_ref().filter(waits);
        [
            wanted.map(|_| (self.not_before, "a command waits")),
            self.in_flux.then_some((self.not_before, "somebody must find out what was chosen")),
            self.work.as_ref().map(Work::wake),
            self.again,
        ]
    }
}
