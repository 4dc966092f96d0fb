//! Aiming: whoever comes to one crash cell is interrupted in that very place, so that no cell waits for luck.
//!
//! An [`Aim`] names a cell ([`crate::cells`]) and springs once. Where the cell asks for a request with a fate, the
//! first request of the phase gets it; where it asks for none though the phase has some, the first executor is killed
//! before it asks, and whoever claims the phase is the one that is waited for.

use std::time::Duration;

use consensus::failover::plan;
use consensus::message::{BallotBody, BallotMessage, Message};
use consensus::model::{Action, AppId, Ballot, Phase};

use super::{Event, Simulation};
use crate::cells::{Cell, Heir, Request, Write};
use crate::chance::Chance;
use crate::network::Place;

/// An interruption that is waited for.
#[derive(Clone, Debug)]
pub struct Aim {
    cell: Cell,
    /// Has a request of the phase had its fate?
    fated: bool,
    /// Is the first executor out of the way?
    cleared: bool,
    /// Is it over?
    sprung: bool,
    /// Who is to come back as soon as another has taken over.
    returns: Option<Place>,
}

/// What happens to one request on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Whatever chance brings.
    Chance,
    /// The same, and it is the request that the aim is about.
    Aimed,
    /// It is lost.
    Lost,
    /// Its answer is.
    Mute,
    /// It takes its time, though not so long that nobody would wait for it.
    Slow,
    /// It arrives, and once more after this long.
    Again(Duration),
}

/// Later than any takeover, and mostly within the epoch.
const AFTER_TAKEOVER: Duration = Duration::from_secs(20);
/// Later than the next epoch, if somebody sees to it that there is one.
pub const AFTER_NEXT_EPOCH: Duration = Duration::from_secs(150);
/// Silence after which others take over.
const LONG_SILENCE: (Duration, Duration) = (Duration::from_secs(7), Duration::from_secs(20));
/// And one after which nobody does.
const SHORT_SILENCE: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_millis(1500));

impl Aim {
    /// At this cell.
    pub const fn at(cell: Cell) -> Self {
        Self { cell, fated: false, cleared: false, sprung: false, returns: None }
    }

    /// At any cell.
    pub fn draw(chance: &mut Chance) -> Self {
        let cells: Vec<Cell> = Cell::reachable().collect();
        Self::at(*chance.pick(&cells))
    }

    /// Is this the write that is waited for, in this phase?
    fn wants(&self, write: Write, phase: Phase) -> bool {
        let asks = !matches!(phase, Phase::Idle | Phase::Verifying);
        let ready = match (self.cell.request, asks) {
            (_, false) => self.cleared || !self.wants_claim(),
            (Request::NotSent, true) => self.cleared,
            (_, true) => self.fated,
        };
        !self.sprung && ready && (self.cell.write, self.cell.phase) == (write, phase)
    }

    /// Is it a claim of the last phase that is waited for? The write that ends it leaves nobody anything to do.
    fn wants_claim(&self) -> bool {
        let Cell { phase, write, heir, .. } = self.cell;
        (phase, heir == Heir::Same, write == Write::Before) == (Phase::Verifying, false, false)
    }

    fn fate(&self) -> Fate {
        match self.cell.request {
            Request::NotSent => Fate::Chance,
            Request::Lost => Fate::Lost,
            Request::Unheard => Fate::Mute,
            Request::Twice => Fate::Again(Duration::from_millis(80)),
            Request::AfterTakeover => Fate::Again(AFTER_TAKEOVER),
            Request::AfterNextEpoch => Fate::Again(AFTER_NEXT_EPOCH),
        }
    }
}

impl Simulation {
    /// An agent asks the outside for something. `None`: it was interrupted before it could.
    pub(super) fn aim_at_request(&mut self, place: Place, action: &Action) -> Option<Fate> {
        let step = (action.token.0 & 0xff) as u8;
        let Some(aim) = &mut self.aim else { return Some(Fate::Chance) };
        // What is put right of a standing decision is nobody's claim.
        if aim.cell.phase.step() != step || action.term == 0 {
            return Some(Fate::Chance);
        }
        if aim.sprung {
            // Whoever took over must still be at it when the interrupted one tries again.
            let slow = aim.cell.heir == Heir::Both && aim.cell.write == Write::Before;
            return Some(if slow { Fate::Slow } else { Fate::Chance });
        }
        match (aim.cell.request, aim.cell.write) {
            (Request::NotSent, Write::Before) => {
                self.spring(place);
                None
            }
            (Request::NotSent, _) if !aim.cleared => {
                aim.cleared = true;
                self.crash(place);
                self.after(Duration::from_secs(45), Event::Start(place));
                None
            }
            (Request::NotSent, _) => Some(Fate::Chance),
            _ if aim.fated => Some(Fate::Chance),
            _ => {
                aim.fated = true;
                match aim.fate() {
                    Fate::Chance => Some(Fate::Aimed),
                    fate => Some(fate),
                }
            }
        }
    }

    /// A request has left.
    pub(super) fn aim_at_sent(&mut self, place: Place, fate: Fate) {
        let before = self.aim.as_ref().is_some_and(|aim| aim.cell.write == Write::Before);
        if !matches!(fate, Fate::Chance | Fate::Slow) && before {
            self.spring(place);
        }
    }

    /// An agent says something about a register.
    pub(super) fn aim_at_message(&mut self, place: Place, app: &AppId, message: &BallotMessage) {
        if let BallotBody::Prepare { .. } | BallotBody::Accept { .. } | BallotBody::Observe =
            message.body
        {
            self.chronicle.on_try(self.now, app, place);
        }
        match &message.body {
            BallotBody::Prepare { .. } => {
                self.chronicle.on_prepare(self.now, app, place, message.ballot);
                let phase = self.registers.latest(app).map(|latest| latest.state.phase);
                if phase == Some(Phase::Idle) {
                    self.spring_at(place, Write::Before, Phase::Idle);
                }
            }
            BallotBody::Accept { predecessor, .. } => {
                let base = predecessor.as_ref();
                let base = base.and_then(|base| self.registers.proposed(app, base.ballot));
                let first = self.chronicle.on_accept(app, place, message.ballot, base.as_deref());
                if let (true, Some(base)) = (first, base) {
                    self.spring_at(place, Write::Sent, base.phase);
                }
            }
            _ => {}
        }
    }

    /// A voter has made a value durable.
    pub(super) fn aim_at_accepted(&mut self, app: &AppId, ballot: Ballot) {
        let Some(place) = self.chronicle.owner(ballot) else { return };
        self.bring_back(app, ballot, place);
        let Some(phase) = self.chronicle.proposes(app, place) else { return };
        match (self.registers.is_chosen(app, ballot), self.registers.held_by(app, ballot)) {
            (true, _) => self.spring_at(place, Write::Unseen, phase),
            (false, 1) => self.spring_at(place, Write::Minority, phase),
            (false, _) => {}
        }
    }

    /// An agent has learnt what was chosen.
    pub(super) fn aim_at_learned(&mut self, place: Place, app: &AppId, ballot: Ballot) {
        if !self.chronicle.on_learned(self.now, app, place, ballot) {
            return;
        }
        if let Some(phase) = self.chronicle.proposes(app, place) {
            self.spring_at(place, Write::Seen, phase);
        }
        let latest = self.registers.latest(app).filter(|latest| latest.ballot == ballot);
        if latest.is_some_and(|latest| latest.state.phase == Phase::Verifying) {
            if let Some(aim) = self.aim.as_mut().filter(|aim| aim.wants_claim() && !aim.cleared) {
                aim.cleared = true;
                self.crash(place);
                return self.after(Duration::from_secs(45), Event::Start(place));
            }
            self.spring_at(place, Write::Before, Phase::Verifying);
        }
    }

    /// Another has taken over: now is the time for the interrupted one to go on, too.
    fn bring_back(&mut self, app: &AppId, ballot: Ballot, writer: Place) {
        let Some(aim) = &mut self.aim else { return };
        let Some(place) = aim.returns.filter(|place| *place != writer) else { return };
        if !self.registers.is_chosen(app, ballot) {
            return;
        }
        aim.returns = None;
        let span = self.chance.between(Duration::from_millis(1), Duration::from_millis(60));
        self.after(span, Event::Resume(place));
        self.later(span, |simulation| {
            for edge in simulation.network.edges_mut() {
                edge.cut = false;
            }
            simulation.look_at_links();
        });
    }

    fn spring_at(&mut self, place: Place, write: Write, phase: Phase) {
        if self.aim.as_ref().is_some_and(|aim| aim.wants(write, phase)) {
            self.spring(place);
        }
    }

    /// Interrupts an agent so that whoever is to go on will.
    fn spring(&mut self, place: Place) {
        let Some(aim) = &mut self.aim else { return };
        aim.sprung = true;
        let Cell { phase, heir, write, .. } = aim.cell;
        // Whoever still waits for a lost request learns of its heir before it tries again, unless it is cut off so long.
        let deaf = (aim.cell.write, aim.cell.request) == (Write::Before, Request::Lost);
        aim.returns = (heir == Heir::Both && !deaf).then_some(place);
        self.count("interruptions aimed at");
        // What is on its way would make a majority of it after all.
        if write == Write::Minority && self.chance.happens(0.5) {
            self.lose_proposals(place);
        }
        let (least, most) = match (heir, phase) {
            // Whoever sees what it sees proposes the same, a round trip later.
            (Heir::Same, Phase::Idle) => (Duration::from_millis(1), Duration::from_millis(40)),
            (Heir::Same, _) => SHORT_SILENCE,
            (Heir::Both | Heir::Other, _) => LONG_SILENCE,
        };
        let span = self.chance.between(least, most);
        let how = match phase {
            Phase::Idle => 2,
            _ if deaf && heir == Heir::Both => 0,
            _ => self.chance.below(3),
        };
        match (heir, how) {
            (Heir::Other, _) => {
                self.crash(place);
                self.after(Duration::from_secs(45), Event::Start(place));
            }
            (_, 0) => {
                self.cut_off(place);
                self.partitioned(span);
            }
            (Heir::Same | Heir::Both, _) => {
                self.stop(place);
                self.after(span, Event::Resume(place));
            }
        }
    }

    /// What an agent has proposed and nobody has received yet is lost.
    fn lose_proposals(&mut self, place: Place) {
        let proposes = |message: &Message| match message {
            Message::Ballot(ballot) => matches!(ballot.body, BallotBody::Accept { .. }),
            _ => false,
        };
        self.heap.retain(|due| match &*due.event {
            Event::Deliver { from, message, .. } => *from != place || !proposes(message),
            _ => true,
        });
    }

    /// An agent dies, stands still or loses sight of everybody: in the middle of what?
    pub(crate) fn interrupted(&mut self, place: Place) {
        let agent = &self.agents[place];
        if !agent.answers() {
            return;
        }
        let by = (place, agent.run);
        for app in self.apps.keys() {
            let latest = self.registers.latest(app);
            let holds = latest.is_some_and(|latest| {
                let claim = latest.state.claim.as_ref();
                let token = plan::token(&latest.state);
                claim.is_some_and(|claim| claim.agent == agent.id)
                    && (latest.state.phase == Phase::Verifying
                        || self.chronicle.has_asked(app, by, token)
                        || self.chronicle.has_seen(app, place, latest.ballot)
                        || self.held_by_run(place, app, latest.ballot))
            });
            self.chronicle.on_interrupted(self.now, (app, latest), by, holds, &self.registers);
        }
    }

    /// Does the running process of this agent know that this ballot was chosen?
    fn held_by_run(&self, place: Place, app: &AppId, ballot: Ballot) -> bool {
        let saved = self.agents[place].disk.durable().registers.iter();
        let of_app = |id: &consensus::model::RegisterId| matches!(id, consensus::model::RegisterId::App(name) if name == app);
        saved
            .filter(|(id, _)| of_app(id))
            .any(|(_, it)| it.chosen.as_ref().is_some_and(|chosen| chosen.ballot == ballot))
    }
}
