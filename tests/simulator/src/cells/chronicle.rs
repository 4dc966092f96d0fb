//! What a run did to its sagas: who tried to write what, which requests went where, and who was interrupted when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::failover::plan;
use consensus::model::{AppId, AppState, Ballot, Epoch, Phase, Token};
use consensus::moment::Moment;

use super::{Cell, Heir, Request, Write};
use crate::check::register::{Chosen, Registers};
use crate::network::Place;

/// An attempt to write that is older than this is over.
const ATTEMPT: Duration = Duration::from_secs(6);
/// Whoever learnt of its write longer ago has begun something else.
const JUST_NOW: Duration = Duration::from_millis(500);
/// More interruptions of one run than this are not remembered.
const REMEMBERED: usize = 4_096;

/// One agent's last attempt to write an app's register.
#[derive(Clone, Debug)]
struct Attempt {
    ballot: Ballot,
    at: Moment,
    /// What it wants to replace; known once it proposes.
    base: Option<Base>,
    /// When the agent learnt that it was chosen.
    seen: Option<Moment>,
}

/// Where a saga stands.
#[derive(Clone, Debug)]
struct Base {
    epoch: Epoch,
    phase: Phase,
    token: Token,
}

impl Base {
    fn of(state: &AppState) -> Self {
        Self { epoch: state.epoch, phase: state.phase, token: plan::token(state) }
    }
}

/// One request.
#[derive(Clone, Debug)]
struct Sent {
    by: (Place, u64),
    token: Token,
    at: Moment,
    lost: bool,
    unheard: bool,
    arrivals: Vec<Moment>,
}

/// Somebody was interrupted.
#[derive(Clone, Debug)]
struct Interruption {
    app: AppId,
    by: (Place, u64),
    at: Moment,
    base: Base,
    write: Write,
    own: Option<Ballot>,
}

/// What a run did to its sagas.
#[derive(Debug, Default)]
pub struct Chronicle {
    attempts: BTreeMap<(AppId, Place), Attempt>,
    /// Who a ballot's instance is.
    owners: BTreeMap<u64, Place>,
    /// When somebody tried to write something, or asked for something.
    tries: BTreeMap<(AppId, Place), Vec<Moment>>,
    requests: BTreeMap<AppId, Vec<Sent>>,
    interruptions: Vec<Interruption>,
}

impl Chronicle {
    /// An agent tries to go on: it says something to voters that only whoever wants to write or to act does.
    pub fn on_try(&mut self, now: Moment, app: &AppId, place: Place) {
        let tries = self.tries.entry((app.clone(), place)).or_default();
        if tries.last().is_none_or(|last| *last < now) {
            tries.push(now);
        }
    }

    /// Does this agent know that what it wrote at this ballot was chosen?
    pub fn has_seen(&self, app: &AppId, place: Place, ballot: Ballot) -> bool {
        let attempt = self.attempts.get(&(app.clone(), place));
        attempt.is_some_and(|attempt| attempt.ballot == ballot && attempt.seen.is_some())
    }

    /// An agent asks for promises.
    pub fn on_prepare(&mut self, now: Moment, app: &AppId, place: Place, ballot: Ballot) {
        let key = (app.clone(), place);
        self.owners.insert(ballot.instance, place);
        if self.attempts.get(&key).is_none_or(|attempt| attempt.ballot != ballot) {
            self.attempts.insert(key, Attempt { ballot, at: now, base: None, seen: None });
        }
    }

    /// An agent asks for acceptances of a value derived from this state. Is it for the first time?
    pub fn on_accept(
        &mut self,
        app: &AppId,
        place: Place,
        ballot: Ballot,
        base: Option<&AppState>,
    ) -> bool {
        let Some(attempt) = self.attempts.get_mut(&(app.clone(), place)) else { return false };
        let first = attempt.ballot == ballot && attempt.base.is_none();
        if first {
            attempt.base = base.map(Base::of);
        }
        first
    }

    /// An agent learnt that a value was chosen. Was it its own?
    pub fn on_learned(&mut self, now: Moment, app: &AppId, place: Place, ballot: Ballot) -> bool {
        let attempt = self.attempts.get_mut(&(app.clone(), place));
        let Some(attempt) = attempt.filter(|attempt| attempt.ballot == ballot) else {
            return false;
        };
        attempt.seen.get_or_insert(now);
        true
    }

    /// The phase that an agent's attempt would leave or claim, if it has proposed a value.
    pub fn proposes(&self, app: &AppId, place: Place) -> Option<Phase> {
        Some(self.attempts.get(&(app.clone(), place))?.base.as_ref()?.phase)
    }

    /// Whose ballot is this?
    pub fn owner(&self, ballot: Ballot) -> Option<Place> {
        self.owners.get(&ballot.instance).copied()
    }

    /// Has this run of an agent asked for anything with this token?
    pub fn has_asked(&self, app: &AppId, by: (Place, u64), token: Token) -> bool {
        let requests = self.requests.get(app).into_iter().flatten();
        requests.clone().any(|sent| sent.by == by && sent.token == token)
    }

    /// An agent asks something of the outside. Returns a number for what becomes of it.
    pub fn on_request(
        &mut self,
        now: Moment,
        app: &AppId,
        by: (Place, u64),
        token: Token,
    ) -> usize {
        self.tries.entry((app.clone(), by.0)).or_default().push(now);
        let requests = self.requests.entry(app.clone()).or_default();
        requests.push(Sent { by, token, at: now, lost: false, unheard: false, arrivals: vec![] });
        requests.len() - 1
    }

    /// A request got lost.
    pub fn on_lost(&mut self, app: &AppId, number: usize) {
        self.request(app, number).lost = true;
    }

    /// A request arrived.
    pub fn on_arrival(&mut self, now: Moment, app: &AppId, number: usize, heard: bool) {
        let sent = self.request(app, number);
        sent.arrivals.push(now);
        sent.unheard |= !heard;
    }

    fn request(&mut self, app: &AppId, number: usize) -> &mut Sent {
        let requests = self.requests.get_mut(app).expect("it was sent");
        &mut requests[number]
    }

    /// An agent dies, stands still or loses sight of everybody.
    pub fn on_interrupted(
        &mut self,
        now: Moment,
        (app, latest): (&AppId, Option<&Chosen>),
        by: (Place, u64),
        holds_claim: bool,
        registers: &Registers,
    ) {
        if self.interruptions.len() >= REMEMBERED {
            return;
        }
        let Some(latest) = latest else { return };
        let attempt =
            self.attempts.get(&(app.clone(), by.0)).filter(|it| now.since(it.at) < ATTEMPT);
        let stage = attempt.and_then(|attempt| {
            let base = attempt.base.clone();
            match (attempt.seen, base) {
                (Some(seen), Some(base)) if now.since(seen) < JUST_NOW => Some((Write::Seen, base)),
                (Some(_), _) => None,
                (None, None) => Some((Write::Before, Base::of(&latest.state))),
                (None, Some(base)) => {
                    let held = registers.held_by(app, attempt.ballot);
                    let write = match held {
                        _ if registers.is_chosen(app, attempt.ballot) => Write::Unseen,
                        0 => Write::Sent,
                        _ => Write::Minority,
                    };
                    Some((write, base))
                }
            }
        });
        let own = attempt.map(|attempt| attempt.ballot);
        let mut stages: Vec<_> = stage.into_iter().collect();
        if holds_claim && stages.iter().all(|(write, _)| *write == Write::Seen) {
            stages.push((Write::Before, Base::of(&latest.state)));
        }
        for (write, base) in stages {
            let app = app.clone();
            self.interruptions.push(Interruption { app, by, at: now, base, write, own });
        }
    }

    /// Every cell that the run went through.
    pub fn cells(&self, registers: &Registers) -> BTreeSet<Cell> {
        let all = self.interruptions.iter();
        all.flat_map(|interruption| self.cells_of(interruption, registers)).collect()
    }

    fn cells_of(&self, it: &Interruption, registers: &Registers) -> Vec<Cell> {
        let mut chosen: Vec<&Chosen> = registers.history(&it.app).collect();
        chosen.sort_by_key(|chosen| chosen.at);
        let after = |chosen: &&&Chosen| it.at < chosen.at && Some(chosen.ballot) != it.own;
        let Some(next) = chosen.iter().find(after) else { return vec![] };
        let ends = chosen.iter().filter(after).find(|later| later.state.epoch > it.base.epoch);
        // Where its own write ended the saga, nobody has to go on.
        let ended = chosen
            .iter()
            .any(|chosen| Some(chosen.ballot) == it.own && chosen.state.phase == Phase::Idle);
        let heir = match self.owner(next.ballot) {
            _ if ended => Heir::Same,
            Some(place) if place == it.by.0 => Heir::Same,
            _ => {
                let until = chosen
                    .iter()
                    .filter(after)
                    .find(|later| {
                        later.state.phase == Phase::Idle || later.state.epoch > next.state.epoch
                    })
                    .map_or(Moment::NEVER, |later| later.at);
                let tries = self.tries.get(&(it.app.clone(), it.by.0)).into_iter().flatten();
                match tries.clone().any(|at| next.at < *at && *at < until) {
                    true => Heir::Both,
                    false => Heir::Other,
                }
            }
        };
        let cell = |request| Cell { phase: it.base.phase, write: it.write, request, heir };
        let requests = self.requests.get(&it.app).into_iter().flatten();
        let mine: Vec<&Sent> = requests
            .clone()
            .filter(|sent| sent.by == it.by && sent.token == it.base.token && sent.at <= it.at)
            .collect();
        if mine.is_empty() {
            return vec![cell(Request::NotSent)];
        }
        let arrivals = requests
            .filter(|sent| sent.token == it.base.token)
            .map(|sent| sent.arrivals.len())
            .sum::<usize>();
        let arrived_after =
            |at: Moment| mine.iter().flat_map(|sent| &sent.arrivals).any(|arrival| at < *arrival);
        let states = [
            (Request::Lost, mine.iter().any(|sent| sent.lost)),
            (Request::Unheard, mine.iter().any(|sent| sent.unheard)),
            (Request::Twice, arrivals > 1),
            (Request::AfterTakeover, arrived_after(next.at)),
            (Request::AfterNextEpoch, ends.is_some_and(|ends| arrived_after(ends.at))),
        ];
        states.into_iter().filter(|(_, is)| *is).map(|(request, _)| cell(request)).collect()
    }
}
