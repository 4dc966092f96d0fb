//! Carrying out what was decided: claims, requests, reports (PROTOCOL.md D.2, rules E1 to E3).

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::compose::Intent;
use super::request::Way;
use crate::ballot::Tally;
use crate::config::Config;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::message::{Accepted, GuardBody, GuardMessage};
use crate::model::{
    AcceptorId, Action, ActionFault, ActionFaultKind, AgentId, AppId, AppState, Ballot, Done,
    Effect, Epoch, Phase, Report, Token, Voters,
};
use crate::moment::Moment;
use crate::outbox::{Deadline, Note, Output};

/// An executor may act only on a claim confirmed no longer ago than this, and a request may last no longer (rule E1).
pub const ACT: Duration = Duration::from_secs(5);
/// A guard that answers others and says nothing of what it was asked for is gone past after this: it may not know of requests.
const PATIENCE: Duration = Duration::from_secs(6);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Too little of [`ACT`] left to be worth beginning.
const WORTHWHILE: Duration = Duration::from_millis(500);
/// A silent executor's step is taken over after this and its rank (PROTOCOL.md D.2, T_take).
const TAKE_OVER: Duration = Duration::from_secs(3);
const RANK_STEP: Duration = Duration::from_millis(500);
const RETRY_LEAST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// What was refused will be refused again until somebody changes something.
const RETRY_REFUSED: Duration = Duration::from_secs(20);
/// After so many readings without a quorum of one mind, an executor confirms its claim by writing it anew.
const UNREAD_MOST: u32 = 3;

/// One phase being carried out by this agent.
#[derive(Debug)]
pub struct Work {
    pub token: Token,
    epoch: Epoch,
    pub phase: Phase,
    pub term: u32,
    pub items: Vec<Item>,
    pub began: Moment,
    pub reading: Option<Reading>,
    /// Readings that found no quorum of one mind.
    unread: u32,
    /// Since when something newer than this is known to have been asked for, and the register was not read.
    outrun: Option<Moment>,
    /// Since when everything has ended and its outcome is waited for.
    waits: Option<Moment>,
    /// The last thing that went wrong and has not been put right.
    pub trouble: Option<String>,
    pub again: Moment,
}

#[derive(Debug)]
pub(super) struct Item {
    pub effect: Effect,
    pub stage: Stage,
    tries: u32,
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
    fn look_after(&mut self, holds: bool, heard: bool, now: Moment) {
        let Stage::Running(since) = self.stage else { return };
        let (patience, asks) = match self.asked {
            // The edge answers within the limit.
            None => (ACT * 2, false),
            Some(_) => (PATIENCE, true),
        };
        if now.since(since) > patience || (asks && !heard) {
            self.stage = Stage::Waiting(now);
            (self.asked, self.afar) = (None, asks && holds);
        }
    }

    /// When a guard that has not answered is to be asked once more: messages are lost.
    fn asks_again(&self) -> Moment {
        self.asked.as_ref().map_or(Moment::NEVER, |(_, last)| *last + ASK_AGAIN)
    }
}

impl Work {
    /// Requests of a decision that has been carried out, asked for once more: nobody's claim, and nothing follows.
    pub fn mending(token: Token, epoch: Epoch, effects: Vec<Effect>, now: Moment) -> Self {
        Self::new(token, epoch, Phase::Idle, 0, effects, now)
    }

    fn new(
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
            began: now,
            reading: None,
            unread: 0,
            outrun: None,
            waits: None,
            trouble: None,
            again: now,
        }
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

/// What the requests of the current phase carry.
#[cfg_attr(not(feature = "mutants"), allow(unused_variables))]
pub(super) fn token_of(config: &Config, state: &AppState) -> Token {
    #[cfg(feature = "mutants")]
    if config.broken(Mutant::SameTokenAbort) {
        return plan::token_of_the_fence(state);
    }
    plan::token(state)
}

impl Node {
    /// The state changed: is its phase mine to carry out?
    pub(super) fn take_up(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some((_, state)) = it.known() else { return };
        let mine = state.claim.as_ref().filter(|claim| {
            claim.agent == self.config.agent
                && claim.instance == self.instance
                && state.phase != Phase::Idle
        });
        let Some(claim) = mine else {
            it.work = None;
            return;
        };
        let same = it.work.as_ref().is_some_and(|work| {
            (work.epoch, work.phase, work.term) == (state.epoch, state.phase, claim.term)
        });
        if same {
            return;
        }
        let token = token_of(&self.config, state);
        let effects = plan::effects(state);
        it.work = Some(Work::new(token, state.epoch, state.phase, claim.term, effects, now));
        self.work_on(app, now);
    }

    /// Asks for whatever may be asked now.
    pub(super) fn work_on(&mut self, app: &AppId, now: Moment) {
        let confirmed = self.may_act(app, now);
        let rtt = self.rtt();
        let trusts = self.trusts_old_claims();
        let number = self.operation().number;
        let held = self.held_items(app, now);
        let ways = self.ways(app, now);
        let mesh = self.config.voters.mesh;
        let Some(it) = self.apps.get_mut(app) else { return };
        let (Some(work), Some(known)) = (&mut it.work, &it.chosen) else { return };
        let (mut acts, mut asks) = (Vec::new(), Vec::new());
        let mut unconfirmed = work.outrun.is_some();
        let confirmed = confirmed && !unconfirmed;
        for (number, item) in work.items.iter_mut().enumerate() {
            let Some((way, holds)) = ways.get(number) else { continue };
            item.look_after(*holds, matches!(way, Way::Guard(_)), now);
            let due = match item.stage {
                Stage::Waiting(at) => at,
                Stage::Running(_) => item.asks_again(),
                Stage::Ended(_) => continue,
            };
            if held.contains(&number) || now < due {
                continue;
            }
            if !confirmed {
                unconfirmed = true;
                continue;
            }
            let deadline = if trusts { now } else { known.confirmed } + ACT;
            let index = u16::try_from(number).expect("items are limited by the definition");
            match way {
                Way::Afar => {
                    item.stage = Stage::Running(now);
                    let (token, term, limit) = (work.token, work.term, ACT);
                    let (app, effect) = (app.clone(), item.effect.clone());
                    acts.push(Action { app, token, term, item: index, deadline, limit, effect });
                }
                Way::Guard(guard) => {
                    let Some(target) = plan::target(&known.state, &item.effect) else { continue };
                    let (agreed, left) = (known.accepted(), deadline.since(now));
                    let (token, term) = (work.token, work.term);
                    let body = GuardBody::Asks { agreed, left };
                    let ask = GuardMessage { mesh, target, token, term, item: index, body };
                    if !matches!(item.stage, Stage::Running(_)) {
                        item.stage = Stage::Running(now);
                    }
                    let again = item.asked.replace((guard.clone(), now)).is_some();
                    asks.push((guard.clone(), ask, again));
                }
                Way::None => {
                    let what = plan::describe(&item.effect);
                    work.trouble =
                        Some(format!("no guard answers, nor is a credential held here, to {what}"));
                }
            }
        }
        let waits = work.items.iter().filter_map(|item| match item.stage {
            Stage::Waiting(at) => Some(at.max(now + RETRY_LEAST)),
            Stage::Running(since) => {
                Some(item.asks_again().min(since + ACT * 2 + RETRY_LEAST).max(now + RETRY_LEAST))
            }
            Stage::Ended(_) => None,
        });
        work.again = waits.min().unwrap_or(now + RETRY_LEAST);
        let guarded = |item: &Item| matches!(&item.effect, Effect::Fence(it) if it.guard.is_some());
        if work.items.iter().any(guarded) {
            // Leases end whether or not anybody answers.
            work.again = now + RETRY_LEAST;
        }
        if !(acts.is_empty() && asks.is_empty()) && work.phase == Phase::Fencing {
            // The second look may begin with the fences.
            work.again = now;
        }
        let read = unconfirmed
            && work
                .reading
                .as_ref()
                .is_none_or(|reading| now.since(reading.began) > rtt * 4 + RETRY_LEAST);
        // Voters may hold later promises that keep them from ever reporting the same: then only a write can tell.
        let writes = read && work.unread >= UNREAD_MOST;
        if read {
            work.unread += 1;
            work.reading = Some(Reading::begun(number, now));
        }
        it.in_flux |= writes;
        for action in acts {
            let what = plan::describe(&action.effect);
            self.out.note(Note::Acts { app: app.clone(), token: action.token, what });
            self.out.push(Output::Act(action));
        }
        for (guard, ask, again) in asks {
            self.ask_guard(&guard, ask, again);
        }
        if read {
            self.confirm(app, number);
        }
    }

    /// Which requests wait for a lease.
    fn held_items(&self, app: &AppId, now: Moment) -> BTreeSet<usize> {
        let Some(it) = self.apps.get(app) else { return BTreeSet::new() };
        let (Some(work), Some((_, state))) = (&it.work, it.known()) else {
            return BTreeSet::new();
        };
        let items = work.items.iter().enumerate();
        items
            .filter(|(_, item)| self.waits_for_lease(state, &item.effect, now))
            .map(|(number, _)| number)
            .collect()
    }

    /// Does it act on a claim however long ago it was confirmed? Only as a mutant.
    fn trusts_old_claims(&self) -> bool {
        #[cfg(feature = "mutants")]
        let trusts = self.broken(Mutant::StaleClaim);
        #[cfg(not(feature = "mutants"))]
        let trusts = false;
        trusts
    }

    /// How each request is to be made, and whether this agent could make it from afar.
    fn ways(&self, app: &AppId, now: Moment) -> Vec<(Way, bool)> {
        let items = self.apps.get(app).and_then(|it| it.work.as_ref()).map(|work| &work.items);
        let way =
            |item: &Item| (self.way(&item.effect, item.afar, now), self.holds_for(&item.effect));
        items.into_iter().flatten().map(way).collect()
    }

    fn may_act(&self, app: &AppId, now: Moment) -> bool {
        self.trusts_old_claims()
            || self.apps.get(app).is_some_and(|it| it.confirmed_within(ACT - WORTHWHILE, now))
    }

    /// An action ended.
    pub(super) fn on_report(&mut self, report: Report, now: Moment) {
        if !self.on_obeyed(&report, now) {
            self.on_outcome(report, now);
        }
    }

    /// A request ended, from afar or by a guard.
    pub(super) fn on_outcome(&mut self, report: Report, now: Moment) {
        let Report { app, token, term, item, took, result } = report;
        let what = match &result {
            Ok(done) => Ok(done.text.clone()),
            Err(fault) => Err(fault.text.clone()),
        };
        self.out.note(Note::Reports { app: app.clone(), token, took, what });
        let Some(work) = self.apps.get_mut(&app).and_then(|it| it.work.as_mut()) else { return };
        if (work.token, work.term) != (token, term) {
            return;
        }
        let Some(item) = work.items.get_mut(usize::from(item)) else { return };
        item.tries = item.tries.saturating_add(1);
        // What was refused from afar its guard may be able to do, once it is back.
        let guarded = plan::database(&item.effect).is_some_and(|it| it.guard.is_some());
        let bypassed = guarded && item.asked.is_none();
        (item.asked, item.afar) = (None, false);
        let most = match &result {
            Err(fault) if bypassed && fault.kind == ActionFaultKind::Refused => RETRY_MOST,
            Err(fault)
                if matches!(fault.kind, ActionFaultKind::Refused | ActionFaultKind::Superseded) =>
            {
                RETRY_REFUSED
            }
            _ => RETRY_MOST,
        };
        let pause = RETRY_LEAST.saturating_mul(1 << item.tries.min(9)).min(most);
        if result.as_ref().is_err_and(|fault| fault.kind == ActionFaultKind::Superseded) {
            work.outrun.get_or_insert(now);
        }
        work.trouble = result.as_ref().err().map(|fault| fault.text.clone());
        item.stage = match result {
            Ok(done) => Stage::Ended(Ok(done)),
            // A request that was never sent says nothing of what it asks for.
            Err(fault)
                if plan::is_only_tried(&item.effect) && fault.kind != ActionFaultKind::Late =>
            {
                Stage::Ended(Err(fault))
            }
            Err(_) => Stage::Waiting(now + pause),
        };
        work.again = now;
        self.stepped_down(&app, now);
        if !self.mended(&app, now) {
            self.drive(&app, now);
        }
        self.advance(&app, now);
    }

    /// Takes the current phase as far as the reports allow.
    pub(super) fn drive(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get(app).filter(|it| it.attempt.is_none()) else { return };
        let (Some(work), Some((_, state))) = (&it.work, it.known()) else { return };
        if now < work.again && work.items.iter().any(|item| !item.ended()) {
            return;
        }
        let next = match self.outcome(work, state, now).filter(|_| work.outrun.is_none()) {
            Some(next) if it.not_before <= now => next,
            Some(_) => {
                let again = it.not_before;
                self.apps.get_mut(app).and_then(|it| it.work.as_mut()).expect("it works").again =
                    again;
                return;
            }
            None => return self.work_on(app, now),
        };
        let (epoch, phase, term) = (work.epoch, work.phase, work.term);
        let Some(next) = self.once_received(app, next, now) else { return };
        let intent = Intent::Advance { epoch, phase, term, next };
        let operation = self.operation();
        self.start(app, intent, operation, now);
    }

    /// What nobody carries out, this agent may claim: after its rank among those who could.
    pub(super) fn consider_claim(&mut self, app: &AppId, now: Moment) {
        let Some((known, state)) = self.apps.get(app).and_then(|it| it.known()) else { return };
        let able = self.able(state, now);
        let silent = state.claim.as_ref().map(|claim| claim.agent.clone());
        let mut ranked: Vec<_> = able
            .iter()
            .filter(|agent| Some(*agent) != silent.as_ref() || **agent == self.config.agent)
            .collect();
        let wished = plan::wished(state);
        ranked.sort_by_cached_key(|agent| {
            let held = match **agent == self.config.agent {
                true => Some(&self.config.credentials),
                false => self.peers.peer(agent).map(|peer| &peer.credentials),
            };
            let lacks = !held.is_some_and(|held| wished.iter().all(|it| held.contains(it)));
            (lacks, self.distance(agent, state, now), rendezvous(app, state.epoch, agent))
        });
        let rank = ranked.iter().position(|agent| **agent == self.config.agent);
        let Some(rank) = rank else {
            let needed: Vec<_> = self.needed(state, now).into_iter().map(String::from).collect();
            let next = match able.is_empty() {
                true => {
                    format!("{} waits for an agent that holds {}", state.phase, needed.join(", "))
                }
                false => format!("{} is carried out elsewhere", state.phase),
            };
            self.say_next(app, next);
            return;
        };
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        let start = match self.abandoned(app, state) {
            Some(since) => since + TAKE_OVER.max(self.quiet(state)) + RANK_STEP * rank,
            None => known.learned + self.rtt().max(Duration::from_millis(25)) * 2 * rank,
        };
        let phase = state.phase;
        let not_before = self.apps[app].not_before;
        let start = start.max(not_before);
        if start > now {
            let it = self.apps.get_mut(app).expect("it is known");
            it.again = Some((start, "a step may have to be taken over"));
            let executor = silent.map_or("nobody yet".to_owned(), |agent| agent.to_string());
            return self.say_next(app, format!("{phase}, carried out by {executor}"));
        }
        let operation = self.operation();
        self.start(app, Intent::Claim, operation, now);
    }

    fn quiet(&self, state: &AppState) -> Duration {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::TakenOverAtOnce) {
            return Duration::ZERO;
        }
        plan::quiet(state)
    }

    /// Since when the executor has been silent; `None` if nobody holds the claim, or a run that has ended.
    fn abandoned(&self, app: &AppId, state: &AppState) -> Option<Moment> {
        let claim = state.claim.as_ref()?;
        let learned = self.apps[app].chosen.as_ref()?.learned;
        if claim.agent == self.config.agent {
            return None;
        }
        let Some(peer) = self.peers.peer(&claim.agent) else { return Some(learned) };
        if peer.instance != 0 && peer.instance != claim.instance {
            return None;
        }
        let beat = peer
            .working
            .get(app)
            .filter(|(token, _)| *token == token_of(&self.config, state))
            .map(|(_, at)| *at);
        Some(beat.map_or(learned, |beat| beat.max(learned)))
    }

    /// Agents heard just now that hold what the current phase needs.
    fn able(&self, state: &AppState, now: Moment) -> Vec<AgentId> {
        let needed = self.needed(state, now);
        let holds = |credentials: &[crate::model::CredentialId]| {
            needed.iter().all(|it| credentials.contains(it))
        };
        let others = self.peers.iter().filter(|(_, peer)| {
            now.since(peer.heard) <= crate::judge::HEARD_WITHIN
                && peer.region.is_some()
                && holds(&peer.credentials)
        });
        let me = holds(&self.config.credentials).then(|| self.config.agent.clone());
        others.map(|(agent, _)| agent.clone()).chain(me).collect()
    }

    /// How far an agent is from the stack it would act on, in steps of four times: nearest first, without turning on noise.
    fn distance(&self, agent: &AgentId, state: &AppState, now: Moment) -> u32 {
        let took = |beliefs: &[crate::model::Belief]| {
            let there = beliefs.iter().filter(|it| {
                it.target.app == state.definition.name && it.target.stack == state.decision.to
            });
            there.filter_map(|belief| belief.took).min()
        };
        let found = match *agent == self.config.agent {
            true => took(&self.beliefs_of(&state.definition.name, now)),
            false => self.hearsay.word(agent).and_then(|word| took(&word.beliefs)),
        };
        found.map_or(u32::MAX, |took| (took.as_millis() as u64).saturating_add(1).ilog2() / 2)
    }
}

/// A number that orders agents differently for every app and epoch, and alike everywhere (rendezvous hashing).
pub fn rendezvous(app: &AppId, epoch: Epoch, agent: &AgentId) -> u32 {
    let app = crc32c::crc32c(app.as_str().as_bytes());
    let epoch = crc32c::crc32c_append(app, &epoch.0.to_le_bytes());
    crc32c::crc32c_append(epoch, agent.as_str().as_bytes())
}
