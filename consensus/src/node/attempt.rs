//! One attempt to write an app's register: its ballot, what voters answer, and when there are enough of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::intent::{Intent, Next};
use crate::ballot::{Accepting, Preparing, Tally};
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::message::{BallotBody, BallotMessage, Message, Refusal};
use crate::model::{
    AcceptorId, AgentId, AppId, AppState, Ballot, Certainty, Certificate, Evidence, OperationId,
    RegisterId, Voters,
};
use crate::moment::Moment;
use crate::outbox::{Deadline, Note};

/// A round that takes longer is dropped: its evidence is no longer fresh (PROTOCOL.md B.4, T_round).
pub const ROUND: Duration = Duration::from_secs(5);
/// The longest a voter looks again before it states what it believes (PROTOCOL.md B.4, the burst).
pub const BURST: Duration = Duration::from_millis(1500);
/// Lost messages are repeated after this, or two round trips if those are longer.
pub(super) const RESEND: Duration = Duration::from_millis(500);
/// Whoever refused because it had not learned who votes is asked again after this.
pub const SOON: Duration = Duration::from_millis(20);
/// Voters silent for longer are not waited for.
const AWAITED_WITHIN: Duration = Duration::from_millis(1600);

/// One attempt.
#[derive(Debug)]
pub struct Attempt {
    pub intent: Intent,
    pub operation: OperationId,
    pub(super) stage: Stage,
    evidence: BTreeMap<AcceptorId, Evidence>,
    pub(super) refusals: BTreeSet<String>,
    began: Moment,
    evidence_by: Moment,
    /// Not to be accepted before this, by what voters said of leases: they would only refuse.
    not_before: Moment,
    pub(super) resend: Moment,
}

#[derive(Debug)]
pub(super) enum Stage {
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
    pub(super) fn ballot(&self) -> Ballot {
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
    pub(super) fn certificate(&self) -> Certificate {
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
    /// An attempt at this ballot, which nobody has promised yet.
    pub(super) fn preparing(&self, ballot: Ballot) -> Preparing {
        #[allow(unused_mut)]
        let mut preparing = Preparing::new(ballot);
        #[cfg(feature = "mutants")]
        {
            preparing.repeats = self.broken(Mutant::AnswersCounted).then_some(0);
        }
        preparing
    }

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
            stage: Stage::Preparing(self.preparing(ballot)),
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
}

/// A state to be encoded, shared with whoever composed it.
pub type Composition = Arc<AppState>;
