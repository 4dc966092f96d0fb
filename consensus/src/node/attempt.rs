//! One attempt to write an app's register, from ballot to outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use super::compose::{Composed, Intent, Next};
use super::lifetimes::planned_by;
use crate::ballot::{Accepting, Current, Preparing, Tally};
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::sift;
use crate::message::{Accepted, BallotBody, BallotMessage, Message, Refusal, VALUE_LIMIT, Value};
use crate::model::{
    AcceptorId, AgentId, AppId, AppState, Ballot, Certainty, Certificate, Evidence, OperationId,
    RegisterId, Voters,
};
use crate::moment::Moment;
use crate::outbox::{Answer, Deadline, Note, Output};
use crate::value;

/// A round that takes longer is dropped: its evidence is no longer fresh (PROTOCOL.md B.4, T_round).
pub const ROUND: Duration = Duration::from_secs(5);
/// The longest a voter looks again before it states what it believes (PROTOCOL.md B.4, the burst).
pub const BURST: Duration = Duration::from_millis(1500);
/// Lost messages are repeated after this, or two round trips if those are longer.
const RESEND: Duration = Duration::from_millis(500);
/// Whoever refused because it had not learned who votes is asked again after this.
pub const SOON: Duration = Duration::from_millis(20);
/// Voters silent for longer are not waited for.
const AWAITED_WITHIN: Duration = Duration::from_millis(1600);
const BACKOFF_LEAST: Duration = Duration::from_millis(50);
/// Several rounds that ask for evidence, of up to two seconds each: with six proposers that pause for less, somebody always
/// begins before another is through (swarm seed 433).
const BACKOFF_MOST: Duration = Duration::from_secs(8);

/// One attempt.
#[derive(Debug)]
pub struct Attempt {
    pub intent: Intent,
    pub operation: OperationId,
    stage: Stage,
    evidence: BTreeMap<AcceptorId, Evidence>,
    refusals: BTreeSet<String>,
    began: Moment,
    evidence_by: Moment,
    /// Not to be accepted before this, by what voters said of leases: they would only refuse.
    not_before: Moment,
    resend: Moment,
}

#[derive(Debug)]
enum Stage {
    Preparing(Preparing),
    Accepting {
        accepting: Accepting,
        body: BallotBody,
        sent: Moment,
        #[cfg(feature = "mutants")]
        prepared: Preparing,
    },
}

impl Attempt {
    fn ballot(&self) -> Ballot {
        match &self.stage {
            Stage::Preparing(preparing) => preparing.ballot(),
            Stage::Accepting { accepting, .. } => accepting.ballot(),
        }
    }

    pub fn wake(&self, now: Moment) -> Deadline {
        let waits = match &self.stage {
            // Once that has passed, only an answer can change anything.
            Stage::Preparing(_) if now < self.evidence_by => self.resend.min(self.evidence_by),
            Stage::Preparing(_) if now < self.not_before => self.resend.min(self.not_before),
            Stage::Preparing(_) | Stage::Accepting { .. } => self.resend,
        };
        (waits.min(self.began + ROUND), "an attempt waits for answers")
    }

    /// Is it a promotion that needs a second look, and has no value yet?
    pub fn prepares_promotion(&self) -> bool {
        let next = Next::promotes_on_evidence;
        matches!(self.stage, Stage::Preparing(_))
            && matches!(&self.intent, Intent::Advance { next: it, .. } if next(it))
    }

    /// The evidence that voters gave for this attempt's ballot.
    fn certificate(&self) -> Certificate {
        Certificate { ballot: self.ballot(), evidence: self.evidence.values().cloned().collect() }
    }
}

/// Everything a value is composed from.
pub struct Found<'a> {
    pub current: Option<&'a AppState>,
    pub hash: [u8; 32],
    pub certainty: Certainty,
    pub certificate: Certificate,
    pub operation: OperationId,
    pub voters: &'a Voters,
}

impl Node {
    /// Begins an attempt at a fresh ballot.
    pub(super) fn start(
        &mut self,
        app: &AppId,
        intent: Intent,
        operation: OperationId,
        now: Moment,
    ) {
        let ballot = self.fresh_ballot(app);
        let rtt = self.rtt();
        let evidence = intent.asks_evidence();
        let not_before = self.promotable_from(app, &intent, now);
        self.out.note(Note::Proposes { app: app.clone(), ballot, what: intent.to_string() });
        let attempt = Attempt {
            intent,
            operation,
            stage: Stage::Preparing(Preparing::new(ballot)),
            evidence: BTreeMap::new(),
            refusals: BTreeSet::new(),
            began: now,
            evidence_by: if evidence { now + rtt * 2 + BURST } else { now },
            not_before,
            resend: now + RESEND.max(rtt * 2),
        };
        #[allow(unused_mut)]
        let mut attempt = attempt;
        #[cfg(feature = "mutants")]
        if let Some(burnt) = self.apps.get_mut(app).and_then(|it| it.burnt.take()) {
            attempt.stage = Stage::Preparing(burnt);
            attempt.evidence_by = now;
        }
        let ballot = attempt.ballot();
        self.apps.entry(app.clone()).or_default().attempt = Some(attempt);
        self.tell_voters(&app.into(), ballot, &BallotBody::Prepare { evidence });
    }

    fn fresh_ballot(&mut self, app: &AppId) -> Ballot {
        if let Some(acceptor) = &self.acceptor {
            self.ballots.seen(acceptor.promised(&app.into()));
        }
        if let Some(known) = self.apps.get(app).and_then(|it| it.chosen.as_ref()) {
            self.ballots.seen(known.ballot);
        }
        self.ballots.fresh()
    }

    pub(super) fn tell_voters(&mut self, register: &RegisterId, ballot: Ballot, body: &BallotBody) {
        let voters: Vec<_> = self.config.voters.agents().into_iter().cloned().collect();
        for agent in voters {
            let message = self.ballot_message(register, ballot, body.clone());
            self.say(&agent, message);
        }
    }

    pub(super) fn ballot_message(
        &self,
        register: &RegisterId,
        ballot: Ballot,
        body: BallotBody,
    ) -> Message {
        let (mesh, voters) = (self.config.voters.mesh, self.config.voters.version);
        let (register, changes) = (register.clone(), self.out.changes());
        Message::Ballot(BallotMessage { mesh, voters, register, ballot, changes, body })
    }

    /// A voter answered an attempt of ours, with its own store.
    pub(super) fn on_reply(
        &mut self,
        acceptor: AcceptorId,
        app: &AppId,
        ballot: Ballot,
        body: BallotBody,
        now: Moment,
    ) {
        let Some(attempt) = self.apps.get_mut(app).and_then(|it| it.attempt.as_mut()) else {
            return;
        };
        if attempt.ballot() != ballot {
            return;
        }
        if let BallotBody::Nack { promised, .. } = body {
            self.ballots.seen(promised);
        }
        match (&mut attempt.stage, body) {
            (Stage::Preparing(preparing), BallotBody::Promise { accepted, .. }) => {
                preparing.on_promise(acceptor, accepted);
            }
            (Stage::Accepting { accepting, .. }, BallotBody::Accepted { .. }) => {
                accepting.on_accepted(acceptor)
            }
            (Stage::Preparing(preparing), BallotBody::Nack { promised, .. }) => {
                attempt.refusals.insert(format!("{promised} was promised"));
                preparing.on_refusal(acceptor);
            }
            (Stage::Accepting { accepting, .. }, BallotBody::Nack { promised, .. }) => {
                attempt.refusals.insert(format!("{promised} was promised"));
                accepting.on_refusal(acceptor);
            }
            // The very same question again once the lease has ended: its evidence is fresh as long as the round lasts.
            (Stage::Accepting { .. }, BallotBody::Refuse { why: Refusal::Lease(left), .. })
                if now + left < attempt.began + ROUND =>
            {
                attempt.resend = attempt.resend.min(now + left);
            }
            (Stage::Accepting { accepting, .. }, BallotBody::Refuse { why, .. }) => {
                attempt.refusals.insert(why.to_string());
                accepting.on_refusal(acceptor);
            }
            (Stage::Preparing(preparing), BallotBody::Refuse { why, .. }) => {
                attempt.refusals.insert(why.to_string());
                preparing.on_refusal(acceptor);
            }
            _ => return,
        }
        self.advance(app, now);
    }

    /// A voter stated what it believes, for a ballot of ours.
    pub(super) fn on_evidence(&mut self, from: &AgentId, evidence: Evidence, now: Moment) {
        let app = evidence.statement.app.clone();
        let replayed = self.trust().ballot;
        let Some(attempt) = self.apps.get_mut(&app).and_then(|it| it.attempt.as_mut()) else {
            return;
        };
        let acceptor = evidence.statement.acceptor;
        if (attempt.ballot() == evidence.statement.ballot || replayed)
            && self.config.voters.by_acceptor(acceptor).is_some_and(|voter| voter.agent == *from)
        {
            attempt.evidence.insert(acceptor, evidence);
            self.advance(&app, now);
        }
    }

    /// Takes an attempt as far as the answers allow.
    pub(super) fn advance(&mut self, app: &AppId, now: Moment) {
        let Some(attempt) = self.apps.get(app).and_then(|it| it.attempt.as_ref()) else { return };
        // A process that stood still must not go on with what it heard before.
        if attempt.began + ROUND <= now {
            return self.give_up(app, now);
        }
        let waits = self.waits_for_fences(app, now);
        let Some(attempt) = self.apps.get(app).and_then(|it| it.attempt.as_ref()) else { return };
        let voters = &self.counting(attempt);
        // Voters that are not heard could still make a quorum; waiting for them would cost the whole round (0.1 k).
        let heard: Vec<_> = self
            .voters_heard(AWAITED_WITHIN, now)
            .iter()
            .filter_map(|agent| Some(voters.by_agent(agent)?.acceptor))
            .collect();
        let mut heard = heard.into_iter();
        match &attempt.stage {
            Stage::Preparing(preparing) => match preparing.tally(voters) {
                Tally::Won
                    if now >= attempt.not_before
                        && !waits
                        && (now >= attempt.evidence_by || self.everybody_spoke(attempt, now)) =>
                {
                    self.choose(app, now);
                }
                Tally::Pending if preparing.refused_by_all_of(&mut heard) => self.give_up(app, now),
                Tally::Lost => self.give_up(app, now),
                Tally::Won | Tally::Pending => {}
            },
            Stage::Accepting { accepting, .. } => match accepting.tally(voters) {
                Tally::Won => self.succeed(app, now),
                Tally::Pending if accepting.refused_by_all_of(&mut heard) => self.give_up(app, now),
                Tally::Lost => self.give_up(app, now),
                Tally::Pending => {}
            },
        }
    }

    /// The voters that an attempt counts; only a mutant counts others than those in force.
    fn counting(&self, attempt: &Attempt) -> Voters {
        match attempt.intent {
            Intent::Sweep { .. } => self.swept_by(),
            _ => self.config.voters.clone(),
        }
    }

    /// The voters are others by now: an attempt that was begun under the old ones is burnt, and what was asked and
    /// stated for them is void.
    pub(super) fn burn(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        it.asked.clear();
        it.stated = None;
        if let Some(work) = &mut it.work {
            work.reading = None;
        }
        let Some(attempt) = it.attempt.take() else { return };
        it.in_flux |= matches!(attempt.stage, Stage::Accepting { .. });
        it.not_before = now;
        let why = "the voters changed".to_owned();
        self.out.note(Note::GivesUp { app: app.clone(), ballot: attempt.ballot(), why });
    }

    /// An agent that goes by older voters refused; it was told, and is to be asked again soon.
    pub(super) fn ask_again(&mut self, app: &AppId, ballot: Ballot, now: Moment) {
        let attempt = self.apps.get_mut(app).and_then(|it| it.attempt.as_mut());
        if let Some(attempt) = attempt.filter(|attempt| attempt.ballot() == ballot) {
            attempt.resend = attempt.resend.min(now + SOON);
        }
    }

    /// Did every voter that is heard give its evidence? Others are not waited for (PROTOCOL.md 0.1 k).
    fn everybody_spoke(&self, attempt: &Attempt, now: Moment) -> bool {
        self.voters_heard(AWAITED_WITHIN, now).iter().all(|agent| {
            let voter = self.config.voters.by_agent(agent).expect("it is a voter");
            attempt.evidence.contains_key(&voter.acceptor)
        })
    }

    /// A quorum promised: derive the one value of this ballot, and ask for it to be accepted.
    fn choose(&mut self, app: &AppId, now: Moment) {
        let it = self.apps.get(app).expect("it has an attempt");
        let attempt = it.attempt.as_ref().expect("it was just advanced");
        let Stage::Preparing(preparing) = &attempt.stage else { return };
        let Current { accepted: predecessor, promises } = preparing.current();
        let state = match predecessor.as_ref().map(|it| value::decode(&it.value)) {
            None => None,
            Some(Ok(state)) => Some(state),
            Some(Err(error)) => {
                self.out
                    .note(Note::Alarm(format!("the accepted value of {app} is no state: {error}")));
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
                let value = value::encode(&state);
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
    fn succeed(&mut self, app: &AppId, now: Moment) {
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
    fn give_up(&mut self, app: &AppId, now: Moment) {
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

    /// Time passed for an attempt.
    pub(super) fn attempt_due(&mut self, app: &AppId, now: Moment) {
        let Some(attempt) = self.apps.get(app).and_then(|it| it.attempt.as_ref()) else { return };
        if now >= attempt.began + ROUND {
            return self.give_up(app, now);
        }
        if now >= attempt.evidence_by.min(attempt.not_before) {
            self.advance(app, now);
        }
        let rtt = self.rtt();
        let Some(attempt) = self.apps.get_mut(app).and_then(|it| it.attempt.as_mut()) else {
            return;
        };
        if now < attempt.resend {
            return;
        }
        attempt.resend = now + RESEND.max(rtt * 2);
        let (ballot, body) = match &attempt.stage {
            Stage::Preparing(preparing) => (
                preparing.ballot(),
                BallotBody::Prepare { evidence: attempt.intent.asks_evidence() },
            ),
            Stage::Accepting { accepting, body, .. } => (accepting.ballot(), body.clone()),
        };
        self.tell_voters(&app.into(), ballot, &body);
    }

    /// Answers a command whose operation this is.
    pub(super) fn answer(&mut self, app: &AppId, operation: OperationId, answer: Answer) {
        let Some(it) = self.apps.get_mut(app) else { return };
        if let Some(wanted) = it.wanted.take_if(|wanted| wanted.operation == operation) {
            self.out.push(Output::Answer(wanted.command, answer));
        }
    }
}

/// A state to be encoded, shared with whoever composed it.
pub type Composition = Arc<AppState>;
