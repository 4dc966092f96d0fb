//! What an attempt comes to: the one value of its ballot, or an end, and what whoever asked for it is told.

use std::time::Duration;

use rand::RngExt;

use super::Node;
use super::attempt::{Found, RESEND, Stage};
use super::compose::Composed;
use super::intent::Intent;
use super::learn::unreadable;
use super::lifetimes::planned_by;
use crate::ballot::Current;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::sift;
use crate::message::{Accepted, BallotBody, Message, VALUE_LIMIT, Value};
use crate::model::{AcceptorId, AppId, Ballot, Certainty, OperationId};
use crate::moment::Moment;
use crate::outbox::{Answer, Note, Output};

const BACKOFF_LEAST: Duration = Duration::from_millis(50);
/// Several rounds that ask for evidence, of up to two seconds each: with six proposers that pause for less, somebody always
/// begins before another is through (swarm seed 433).
const BACKOFF_MOST: Duration = Duration::from_secs(8);

impl Node {
    /// A quorum promised: derive the one value of this ballot, and ask for it to be accepted.
    pub(super) fn choose(&mut self, app: &AppId, now: Moment) {
        let it = self.apps.get(app).expect("it has an attempt");
        let attempt = it.attempt.as_ref().expect("it was just advanced");
        let Stage::Preparing(preparing) = &attempt.stage else { return };
        let Current { accepted: predecessor, promises } = preparing.current();
        let state = match predecessor.as_ref().map(|it| self.config.format.decode(&it.value)) {
            None => None,
            Some(Ok(state)) => Some(state),
            Some(Err(error)) => {
                let at = predecessor.as_ref().map_or(Ballot::ZERO, |it| it.ballot);
                self.out.note(unreadable(app, at, &error));
                return self.give_up(app, now);
            }
        };
        let ballot_of = predecessor.as_ref().map_or(Ballot::ZERO, |it| it.ballot);
        let certainty = Current::certainty(&self.config.voters, &promises, ballot_of);
        if matches!(attempt.intent, Intent::Sweep { .. })
            && (predecessor.is_none() || certainty == Certainty::Chosen)
        {
            return self.found_swept(app, predecessor, now);
        }
        let mut certificate = attempt.certificate();
        if let Some(state) = &state {
            // One voter that is behind, or confused, must not spoil what the others say.
            let voters = &self.config.voters;
            let trust = self.trust();
            sift(&mut certificate, voters, preparing.ballot(), (app, state.revision), trust);
        }
        let hash = predecessor.as_ref().map_or([0; 32], |it| it.value.hash());
        #[cfg(feature = "mutants")]
        let (state, hash) = match it.chosen.as_ref() {
            Some(known) if self.broken(Mutant::UnlinkedValue) => {
                (Some((*known.state).clone()), known.value.hash())
            }
            _ => (state, hash),
        };
        let found = Found {
            current: state.as_ref(),
            hash,
            certainty: state
                .as_ref()
                .map_or(certainty, |state| self.certainty(state, ballot_of, certainty)),
            certificate,
            operation: attempt.operation,
            voters: &self.config.voters,
        };
        match self.compose(app, &attempt.intent, &found, now) {
            Composed::Write(state) => {
                let value = self.config.format.encode(&state);
                self.propose(app, predecessor, promises, value, now);
            }
            Composed::Again => {
                let value =
                    predecessor.as_ref().expect("an operation was found in it").value.clone();
                self.propose(app, predecessor, promises, value, now);
            }
            Composed::Reject(why) => {
                if let Some(state) = &state {
                    self.apps.get_mut(app).expect("it has an attempt").doubt(state.epoch, now);
                }
                self.reject(app, why, predecessor, certainty, now);
            }
        }
    }

    /// A quorum of both sets holds the value already, or none of them any: there is nothing to carry over.
    fn found_swept(&mut self, app: &AppId, found: Option<Accepted>, now: Moment) {
        let it = self.apps.get_mut(app).expect("it has an attempt");
        it.attempt = None;
        it.tries = 0;
        self.on_swept(app);
        if let Some(accepted) = found {
            self.learn(app, accepted, now);
        }
    }

    fn propose(
        &mut self,
        app: &AppId,
        predecessor: Option<Accepted>,
        promises: Vec<(AcceptorId, Ballot)>,
        value: Value,
        now: Moment,
    ) {
        if value.bytes().len() > VALUE_LIMIT {
            return self.reject(
                app,
                "the value would be too large".into(),
                None,
                Certainty::Unchosen,
                now,
            );
        }
        let rtt = self.rtt();
        let attempt = self
            .apps
            .get_mut(app)
            .and_then(|it| it.attempt.as_mut())
            .expect("it is being advanced");
        let Stage::Preparing(preparing) = &attempt.stage else { return };
        #[cfg(feature = "mutants")]
        let prepared = preparing.clone();
        let ballot = preparing.ballot();
        let body = BallotBody::Accept { predecessor, promises, value: value.clone() };
        attempt.stage = Stage::Accepting {
            accepting: preparing.clone().choose(value),
            body: body.clone(),
            sent: now,
            #[cfg(feature = "mutants")]
            prepared,
        };
        attempt.resend = now + RESEND.max(rtt * 2);
        self.tell_voters(&app.into(), ballot, &body);
    }

    /// The value is chosen.
    pub(super) fn succeed(&mut self, app: &AppId, now: Moment) {
        let it = self.apps.get_mut(app).expect("it has an attempt");
        let attempt = it.attempt.take().expect("it was just advanced");
        let Stage::Accepting { accepting, sent, .. } = attempt.stage else { return };
        it.tries = 0;
        it.not_before = now;
        let accepted = accepting.accepted();
        for agent in self.everybody() {
            let message = Message::Chosen { register: app.into(), accepted: accepted.clone() };
            self.out.send(&agent, message);
        }
        self.learn_at(app, accepted, sent, now);
        self.on_swept(app);
        self.answer_agreed(app, attempt.operation);
    }

    /// Whoever asked for a write is told as what it was agreed, which an earlier try of it may have been long ago.
    fn answer_agreed(&mut self, app: &AppId, asked: OperationId) {
        let Some((_, state)) = self.apps[app].known() else { return };
        let agreed = state.operations.iter().find(|operation| operation.id == asked);
        #[cfg(feature = "mutants")]
        let agreed = agreed.filter(|_| !self.broken(Mutant::AnsweredAsOfNow));
        if let Some(planned) = planned_by(state, asked) {
            return self.answer(app, asked, planned);
        }
        let (epoch, revision) = agreed.map_or((state.epoch, state.revision), |operation| {
            (operation.epoch, operation.revision)
        });
        self.answer(app, asked, Answer::Agreed { epoch, revision });
    }

    /// The value found leaves nothing to write. What is surely chosen is news; what is not, somebody must find out.
    fn reject(
        &mut self,
        app: &AppId,
        why: String,
        found: Option<Accepted>,
        certainty: Certainty,
        now: Moment,
    ) {
        let it = self.apps.get_mut(app).expect("it has an attempt");
        let Some(attempt) = it.attempt.take() else { return };
        self.out.note(Note::GivesUp {
            app: app.clone(),
            ballot: attempt.ballot(),
            why: why.clone(),
        });
        let it = self.apps.get_mut(app).expect("it has an attempt");
        #[cfg(feature = "mutants")]
        let certainty = match self.config.broken(Mutant::ReadNewest) {
            true => Certainty::Chosen,
            false => certainty,
        };
        let uncertain = certainty != Certainty::Chosen && found.is_some();
        match found {
            Some(accepted) if !uncertain => self.learn(app, accepted, now),
            Some(_) => it.in_flux = true,
            None => {}
        }
        match why == Intent::UNCHANGED {
            // It is so by a value that may yet come to nothing: whoever asks is told once that has been found out.
            true if uncertain => {}
            true => self.answer(app, attempt.operation, Answer::Unchanged),
            false => self.answer(app, attempt.operation, Answer::Refused(why)),
        }
        self.back_off(app, now);
    }

    /// No quorum, or no time left: the ballot is burnt, whatever became of it.
    pub(super) fn give_up(&mut self, app: &AppId, now: Moment) {
        let it = self.apps.get_mut(app).expect("it has an attempt");
        let Some(attempt) = it.attempt.take() else { return };
        let why = match attempt.refusals.is_empty() {
            true => "no quorum answered".to_owned(),
            false => attempt.refusals.iter().cloned().collect::<Vec<_>>().join(", "),
        };
        self.out.note(Note::GivesUp { app: app.clone(), ballot: attempt.ballot(), why });
        #[cfg(feature = "mutants")]
        if let Stage::Accepting { prepared, .. } = attempt.stage
            && self.config.broken(Mutant::BallotReused)
        {
            self.apps.get_mut(app).expect("it has an attempt").burnt = Some(prepared);
        }
        self.back_off(app, now);
    }

    /// Full jitter, doubling (trap 12): duels end because somebody waits longer.
    fn back_off(&mut self, app: &AppId, now: Moment) {
        let least = BACKOFF_LEAST.max(self.rtt() * 2);
        let it = self.apps.get_mut(app).expect("it had an attempt");
        it.tries = it.tries.saturating_add(1);
        let most = least.saturating_mul(1 << it.tries.min(8)).min(BACKOFF_MOST);
        let pause = most.mul_f64(self.rng.random_range(0.0..1.0));
        it.not_before = it.not_before.max(now + pause);
    }

    /// Answers a command whose operation this is.
    pub(super) fn answer(&mut self, app: &AppId, operation: OperationId, answer: Answer) {
        let Some(it) = self.apps.get_mut(app) else { return };
        if let Some(wanted) = it.wanted.take_if(|wanted| wanted.operation == operation) {
            self.out.push(Output::Answer(wanted.command, answer));
        }
    }
}
