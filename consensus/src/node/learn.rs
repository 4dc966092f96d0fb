//! What was chosen becomes known: to this agent, its store, and everybody who answers from it.

use std::sync::Arc;

use super::Node;
use super::app::{App, Known};
use super::damping::Ages;
use super::fleet::Place;
use crate::ballot::{REGISTERS_MOST, ROUND_LEAP, Tally};
use crate::codec::Malformed;
use crate::message::{Accepted, BallotBody};
use crate::model::{AcceptorId, AppId, AppState, Ballot, Lifetimes, Phase, RegisterId};
use crate::moment::Moment;
use crate::outbox::{Note, Output};
use crate::saved::Entry;

impl Node {
    /// What the store knows to be chosen, at the start.
    pub(super) fn restore(&mut self, app: &AppId, accepted: &Accepted, ages: Ages, now: Moment) {
        let Some(known) = self.known(app, accepted, now, Moment::ZERO) else { return };
        let state = known.state.clone();
        let it = self.apps.entry(app.clone()).or_default();
        it.ages = ages;
        it.ages.on_learned(&state, now);
        it.keeping.on_learned(&state, now);
        it.place = Place::restored(&state, &it.ages, now);
        it.chosen = Some(known);
        self.judge.on_definition(&state.definition, now, &mut self.rng);
        self.follow_sources(app, now);
        self.take_guard(app, now);
        self.take_up(app, now);
    }

    /// Somebody says what was chosen.
    pub(super) fn learn(&mut self, app: &AppId, accepted: Accepted, now: Moment) {
        self.learn_at(app, accepted, Moment::ZERO, now);
    }

    /// A value was chosen, and known to be the newest at `confirmed`.
    pub(super) fn learn_at(
        &mut self,
        app: &AppId,
        accepted: Accepted,
        confirmed: Moment,
        now: Moment,
    ) {
        let before = self.apps.get(app).and_then(|it| it.chosen.clone());
        if let Some(known) = before.as_ref().filter(|known| known.ballot >= accepted.ballot) {
            if known.ballot == accepted.ballot && known.value != accepted.value {
                self.out.note(Note::Alarm(format!(
                    "two values chosen for {app} at {}",
                    accepted.ballot
                )));
            }
            return;
        }
        let base = before.as_ref().map_or(Ballot::ZERO, |known| known.ballot);
        let strange = before.is_none() && self.apps.len() >= REGISTERS_MOST;
        if strange || accepted.ballot.round > base.round.saturating_add(ROUND_LEAP) {
            return self
                .out
                .note(Note::Alarm(format!("{} for {app} is out of bounds", accepted.ballot)));
        }
        let Some(mut known) = self.known(app, &accepted, now, confirmed) else { return };
        let state = known.state.clone();
        let step = |state: &AppState| (state.epoch, state.phase);
        if let Some(before) = before.as_ref().filter(|it| step(&it.state) == step(&state)) {
            known.since = before.since;
        }
        let before = before.as_ref();
        let redefined = before.is_none_or(|known| known.state.revision != state.revision);
        let moved = before.is_none_or(|known| {
            (known.state.epoch, known.state.phase, &known.state.claim)
                != (state.epoch, state.phase, &state.claim)
        });
        self.ballots.seen(accepted.ballot);
        let elsewhere = before.is_some_and(|known| known.state.active != state.active);
        let it = self.apps.entry(app.clone()).or_default();
        if elsewhere {
            it.suspicion_told = None;
        }
        it.ages.on_learned(&state, now);
        let relived = it.keeping.on_learned(&state, now);
        it.place = Place::after(it.place, &state, now);
        if moved {
            it.records.look(now);
        }
        it.chosen = Some(known);
        it.in_flux = false;
        it.called = None;
        if redefined {
            self.judge.on_definition(&state.definition, now, &mut self.rng);
            self.follow_sources(app, now);
            self.hand_out(app, now);
        }
        self.tell_regulated(before.as_ref().map(|known| &*known.state), &state);
        if moved {
            self.tell_learnt(app, accepted.ballot, &state);
        }
        if state.phase != Phase::Idle {
            self.judge.hasten(app, now);
        }
        self.take_guard(app, now);
        self.guard(app, now);
        self.take_up(app, now);
        if let Some(before) = before.filter(|_| relived) {
            self.relive(app, before.state.lifetimes.shortened, now);
        }
        self.adopt(app, accepted, now);
    }

    fn known(
        &mut self,
        app: &AppId,
        accepted: &Accepted,
        now: Moment,
        confirmed: Moment,
    ) -> Option<Known> {
        match self.config.format.decode(&accepted.value) {
            Ok(state) if state.definition.name == *app => Some(Known {
                ballot: accepted.ballot,
                value: accepted.value.clone(),
                state: Arc::new(state),
                learned: now,
                since: now,
                confirmed,
            }),
            Ok(_) => {
                let at = accepted.ballot;
                self.out
                    .note(Note::Alarm(format!("what was chosen for {app} at {at} is another's")));
                None
            }
            Err(error) => {
                self.out.note(unreadable(app, accepted.ballot, &error));
                None
            }
        }
    }

    /// Says what people said of an app.
    fn tell_regulated(&mut self, before: Option<&AppState>, state: &AppState) {
        let Some(before) = before else { return };
        let app = state.definition.name.clone();
        if before.lifetimes != state.lifetimes {
            let Lifetimes { shortened, planned, .. } = &state.lifetimes;
            let planned = planned.as_ref().map(|planned| planned.to.clone());
            self.out.note(Note::Lifetimes { app: app.clone(), shortened: *shortened, planned });
        }
        if before.sync.relied != state.sync.relied {
            let relied = state.sync.relied.iter();
            let each = relied.flat_map(|(name, of)| of.keys().map(|it| (name.clone(), it.clone())));
            self.out.note(Note::Relies { app: app.clone(), replicas: each.collect() });
        }
        match (&before.freeze, &state.freeze) {
            (old, Some(new)) if old.as_ref().is_none_or(|old| old.id != new.id) => {
                let (by, reason) = (new.by.clone(), new.reason.clone());
                self.out.note(Note::Frozen { app: app.clone(), by, lasts: new.lasts, reason });
            }
            (Some(_), None) => self.out.note(Note::Thawed { app: app.clone() }),
            _ => {}
        }
        if let (false, true, Some(by)) = (
            before.damping.history.is_empty(),
            state.damping.history.is_empty(),
            &state.damping.cleared,
        ) {
            self.out.note(Note::Acknowledged { app, by: by.clone() });
        }
    }

    fn tell_learnt(&mut self, app: &AppId, ballot: Ballot, state: &AppState) {
        self.out.note(Note::Learns {
            app: app.clone(),
            ballot,
            epoch: state.epoch,
            kind: state.decision.kind,
            phase: state.phase,
            active: state.active.clone(),
            executor: state.claim.as_ref().map(|claim| claim.agent.clone()),
            reason: state.decision.reason.clone(),
        });
    }

    /// A voter that learns what was chosen accepts it, if no promise stands in the way: as if the proposer's message had
    /// come late. So all voters soon report the same, and what was chosen is seen to be.
    fn adopt(&mut self, app: &AppId, accepted: Accepted, now: Moment) {
        let register = RegisterId::from(app);
        self.accept_chosen(&register, &accepted, now);
        self.out.push(Output::Save(Entry::Chosen { register, accepted }));
    }

    /// Accepts what was chosen, unless nobody has said yet that the store is whole: until then it must not change.
    pub(super) fn accept_chosen(
        &mut self,
        register: &RegisterId,
        accepted: &Accepted,
        now: Moment,
    ) {
        if self.store_trusted(now)
            && let Some(acceptor) = &mut self.acceptor
            && acceptor.accepted(register).is_none_or(|held| held.ballot < accepted.ballot)
            && let (Some(entry), _) =
                acceptor.on_accept(register, accepted.ballot, accepted.value.clone(), || Ok(()))
        {
            self.out.push(Output::Save(entry));
        }
    }

    /// The store has just been found to be whole: it catches up with what was chosen meanwhile.
    pub(super) fn catch_up(&mut self, now: Moment) {
        let voters = self.voting.chosen.as_ref();
        let voters = voters.map(|(accepted, _)| (RegisterId::Voters, accepted.clone()));
        let apps = self
            .apps
            .iter()
            .filter_map(|(app, it)| Some((RegisterId::from(app), it.chosen.as_ref()?.accepted())));
        for (register, accepted) in apps.chain(voters).collect::<Vec<_>>() {
            self.accept_chosen(&register, &accepted, now);
        }
    }

    /// Asks the voters whether what is known is still the newest: without a fresh yes, nothing is asked of the outside
    /// (rule E1).
    pub(super) fn confirm(&mut self, app: &AppId, reading: u64) {
        // An observation is no ballot; its number only matches answers with this reading of this run.
        let ballot = Ballot { round: reading, instance: self.instance };
        self.tell_voters(&app.into(), ballot, &BallotBody::Observe);
    }

    /// A voter says what it accepted last. A majority saying the same proves it chosen (rule R7).
    pub(super) fn on_observed(
        &mut self,
        acceptor: AcceptorId,
        app: &AppId,
        ballot: Ballot,
        accepted: Option<Accepted>,
        now: Moment,
    ) {
        if ballot.instance != self.instance {
            return;
        }
        let voters = &self.config.voters;
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(known) = &mut it.chosen else { return };
        if let Some(rejoining) = &mut it.rejoining
            && let Some(reading) = rejoining.reading().filter(|it| it.number == ballot.round)
        {
            match reading.on_observed(acceptor, accepted, known.ballot, voters) {
                Tally::Won => {
                    known.confirmed = reading.began;
                    self.rejoin(app, now);
                }
                Tally::Lost => rejoining.unconfirmed(now),
                Tally::Pending => {}
            }
            return;
        }
        let Some(work) = &mut it.work else { return };
        // An answer that was long under way, to a process that stood still, must not confirm a newer reading (seed 211).
        let Some(reading) = work.reading.as_mut().filter(|it| it.number == ballot.round) else {
            return;
        };
        match reading.on_observed(acceptor, accepted, known.ballot, voters) {
            Tally::Won => {
                known.confirmed = reading.began;
                if work.confirmed() {
                    let (epoch, token) = (known.state.epoch, work.token);
                    self.out.note(Note::Alarm(format!(
                        "the outside of {app} is ahead of all that was agreed: {token} was superseded, and epoch {epoch} is the \
                         newest"
                    )));
                }
                self.work_on(app, now);
            }
            Tally::Lost => work.reading = None,
            Tally::Pending => {}
        }
    }
}

impl App {
    /// Is what is known still surely the newest, by a word no older than `within`?
    pub fn confirmed_within(&self, within: std::time::Duration, now: Moment) -> bool {
        self.chosen.as_ref().is_some_and(|known| {
            known.confirmed != Moment::ZERO && now.since(known.confirmed) < within
        })
    }
}

/// What is said of a value that cannot be read. Of a newer format is what others write that were upgraded before this agent.
pub(super) fn unreadable(app: &AppId, at: Ballot, error: &Malformed) -> Note {
    Note::Alarm(match error {
        Malformed::Version { expected, found } if expected < found => {
            format!(
                "the value of {app} at {at} is of format {found}, and this agent reads {expected}: it is to be upgraded"
            )
        }
        other => format!("the value of {app} at {at} is no state: {other}"),
    })
}
