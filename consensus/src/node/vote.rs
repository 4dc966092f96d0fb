//! This agent as a voter: promises, acceptances, and the evidence it gives.

use std::time::Duration;

use super::Node;
use super::app::Asked;
use super::attempt::{BURST, ROUND};
use crate::ballot::Current;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::{Leader, Panel, Path, Trust, Witness, certified};
use crate::failover::chain;
use crate::message::{Accepted, BallotBody, BallotMessage, Message, Refusal, Value};
use crate::model::{
    AcceptorId, AgentId, AppId, AppState, Ballot, Belief, Certainty, Certificate, Phase,
    RegisterId, StackId, Statement,
};
use crate::moment::Moment;
use crate::outbox::{Note, Output};
use crate::saved::Entry;

/// Looks older than this are taken again before evidence is given (PROTOCOL.md B.4).
const RECENT: Duration = Duration::from_secs(2);
/// How long another's ballot is given to come through: two round trips, and as many for evidence (PROTOCOL.md A.5).
const YIELD_LEAST: Duration = Duration::from_millis(50);
const YIELD_MOST: Duration = Duration::from_secs(1);
/// Agents that may wait for evidence of one app at once.
const ASKED_LIMIT: usize = 32;

impl Node {
    /// A message of the register protocol.
    pub(super) fn on_ballot(&mut self, from: &AgentId, message: BallotMessage, now: Moment) {
        if message.mesh != self.config.voters.mesh {
            return;
        }
        match message.body {
            BallotBody::Prepare { .. }
            | BallotBody::Accept { .. }
            | BallotBody::Observe
            | BallotBody::List => {
                let BallotMessage { voters, register, ballot, body, .. } = message;
                if self.same_voters(from, &register, voters, ballot) && self.votes(now) {
                    self.on_request(from, register, ballot, body, now);
                }
            }
            _ => self.on_response(from, message, now),
        }
    }

    /// Somebody who goes by the same voters asks this agent as one of them.
    fn on_request(
        &mut self,
        from: &AgentId,
        register: RegisterId,
        ballot: Ballot,
        body: BallotBody,
        now: Moment,
    ) {
        let Some(acceptor) = &mut self.acceptor else { return };
        match body {
            BallotBody::Prepare { evidence } => {
                let (entry, body) = acceptor.on_prepare(&register, ballot);
                let promised = matches!(body, BallotBody::Promise { .. });
                self.reply(from, &register, ballot, entry, body);
                let (true, RegisterId::App(app)) = (promised, register) else { return };
                self.yield_to(from, &app, now);
                if evidence {
                    self.on_asked(from, &app, ballot, now);
                }
            }
            BallotBody::Accept { predecessor, promises, value } => {
                self.on_accept(from, &register, (ballot, predecessor, promises, value), now);
            }
            BallotBody::Observe => {
                let body = acceptor.on_observe(&register);
                self.reply(from, &register, ballot, None, body);
            }
            BallotBody::List => {
                let body = acceptor.on_list();
                self.reply(from, &register, ballot, None, body);
            }
            _ => {}
        }
    }

    /// Whoever promised another's ballot lets it come through before it begins one of its own: two that duel take longer
    /// than one after the other (PROTOCOL.md A.5).
    fn yield_to(&mut self, proposer: &AgentId, app: &AppId, now: Moment) {
        let span = (self.rtt() * 4).clamp(YIELD_LEAST, YIELD_MOST);
        if let Some(it) = self.apps.get_mut(app).filter(|_| *proposer != self.config.agent) {
            it.not_before = it.not_before.max(now + span);
        }
    }

    /// Somebody answers, with its own store.
    fn on_response(&mut self, from: &AgentId, message: BallotMessage, now: Moment) {
        let BallotMessage { voters, register, ballot, changes, body, .. } = message;
        let (BallotBody::Promise { acceptor, .. }
        | BallotBody::Accepted { acceptor }
        | BallotBody::Nack { acceptor, .. }
        | BallotBody::Refuse { acceptor, .. }
        | BallotBody::Observed { acceptor, .. }
        | BallotBody::Listed { acceptor, .. }) = body
        else {
            return;
        };
        self.voting.sightings.on_changes(acceptor, changes);
        let refused = matches!(body, BallotBody::Refuse { why: Refusal::Voters(_), .. });
        if refused && voters < self.config.voters.version {
            self.teach_voters(from);
            return match &register {
                RegisterId::Voters => self.ask_change_again(ballot, now),
                RegisterId::App(app) => self.ask_again(app, ballot, now),
            };
        }
        let voter = self.config.voters.by_acceptor(acceptor);
        if voter.is_none_or(|voter| voter.agent != *from) {
            return;
        }
        match (register, body) {
            (RegisterId::App(app), BallotBody::Observed { accepted, .. }) => {
                self.on_observed(acceptor, &app, ballot, accepted, now);
            }
            (RegisterId::App(app), body) => self.on_reply(acceptor, &app, ballot, body, now),
            (RegisterId::Voters, BallotBody::Listed { registers, .. }) => {
                // A list belongs to no ballot, only to the voters it was asked for under.
                if voters == self.config.voters.version {
                    self.on_listed(acceptor, &registers, now);
                }
            }
            (RegisterId::Voters, body) => self.on_change_reply(acceptor, ballot, body, now),
        }
    }

    fn on_accept(
        &mut self,
        from: &AgentId,
        register: &RegisterId,
        (ballot, predecessor, promises, value): (
            Ballot,
            Option<Accepted>,
            Vec<(AcceptorId, Ballot)>,
            Value,
        ),
        now: Moment,
    ) {
        let Some(mut acceptor) = self.acceptor.take() else { return };
        let held = acceptor.accepted(register).cloned();
        let (entry, body) = acceptor.on_accept(register, ballot, value.clone(), || {
            let derived = (held, predecessor, &promises[..]);
            match register {
                RegisterId::App(app) => self.permit(app, ballot, derived, &value, now),
                RegisterId::Voters => self.permit_voters(derived, &value, now),
            }
        });
        self.acceptor = Some(acceptor);
        if let (Some(_), RegisterId::App(app)) = (&entry, register) {
            // An app that is new here: somebody has to notice if its first value lingers.
            self.apps.entry(app.clone()).or_default();
            self.on_held(app, &value, now);
        }
        if let BallotBody::Refuse { why, .. } = &body {
            self.tell_refusal(register, ballot, why);
            match (why, register) {
                (Refusal::Unfound(_), RegisterId::App(app)) => self.seek_again(app, now),
                (Refusal::Lease(left), RegisterId::App(app)) => {
                    self.withhold(app, &value, *left, now);
                }
                _ => {}
            }
        }
        self.reply(from, register, ballot, entry, body);
    }

    fn tell_refusal(&mut self, register: &RegisterId, ballot: Ballot, why: &Refusal) {
        self.out.note(match register {
            RegisterId::App(app) => Note::Refuses { app: app.clone(), ballot, why: why.clone() },
            RegisterId::Voters => Note::Changing(format!("refuses {ballot}: {why}")),
        });
        if *why == Refusal::TwoValues {
            self.out.note(Note::Alarm(format!("two values for {register} at {ballot}")));
        }
    }

    /// Saves what the reply rests on, then replies.
    pub(super) fn reply(
        &mut self,
        to: &AgentId,
        register: &RegisterId,
        ballot: Ballot,
        entry: Option<Entry>,
        body: BallotBody,
    ) {
        let message = self.ballot_message(register, ballot, body);
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::SentBeforeSaved) {
            self.say(to, message);
            self.out.queue_save(entry);
            return;
        }
        if let Some(entry) = entry {
            self.out.push(Output::Save(entry));
        }
        self.say(to, message);
    }

    /// Do the promises bear the predecessor out? If so, the ballot it was accepted at.
    pub(super) fn borne_out(
        &self,
        held: Option<&Accepted>,
        predecessor: Option<&Accepted>,
        promises: &[(AcceptorId, Ballot)],
    ) -> Result<Ballot, Refusal> {
        let promised = promises.iter().map(|(acceptor, _)| *acceptor).collect();
        let newest = promises.iter().map(|(_, ballot)| *ballot).max().unwrap_or(Ballot::ZERO);
        let base = predecessor.map_or(Ballot::ZERO, |it| it.ballot);
        if !self.swept_by().quorum(&promised) || newest != base {
            return Err(Refusal::Malformed("its promises do not bear it out".into()));
        }
        match (held, predecessor) {
            (Some(held), Some(predecessor))
                if held.ballot == predecessor.ballot && held.value != predecessor.value =>
            {
                Err(Refusal::TwoValues)
            }
            _ => Ok(base),
        }
    }

    /// May this value be accepted? Everything an acceptor checks besides ballots.
    fn permit(
        &self,
        app: &AppId,
        ballot: Ballot,
        (held, predecessor, promises): (
            Option<Accepted>,
            Option<Accepted>,
            &[(AcceptorId, Ballot)],
        ),
        value: &Value,
        now: Moment,
    ) -> Result<(), Refusal> {
        let malformed = |why: String| Refusal::Malformed(why);
        let voters = &self.config.voters;
        let base = self.borne_out(held.as_ref(), predecessor.as_ref(), promises)?;
        let decode = |value: &Value| {
            self.config.format.decode(value).map_err(|error| malformed(error.to_string()))
        };
        let before = predecessor.as_ref().map(|it| decode(&it.value)).transpose()?;
        let next = decode(value)?;
        if next.definition.name != *app {
            return Err(malformed(format!("it is the state of {}", next.definition.name)));
        }
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::UnlinkedValue) {
            return Ok(());
        }
        let found = Current::certainty(voters, promises, base);
        let certainty = before.as_ref().map_or(found, |before| self.certainty(before, base, found));
        let hash = predecessor.as_ref().map_or([0; 32], |it| it.value.hash());
        let follows = chain::follows(before.as_ref().map(|it| (it, hash)), certainty, &next);
        #[cfg(feature = "mutants")]
        let follows = match before.as_ref().is_some_and(|before| before.epoch == next.epoch) {
            true if self.broken(Mutant::EpochReused) => Ok(follows.unwrap_or_default()),
            _ => follows,
        };
        let demand = follows.map_err(malformed)?;
        if demand.found {
            self.finds(&next, now)?;
        }
        let Some(before) = &before else { return Ok(()) };
        if demand.waited {
            self.saw_waiting(before, &next, now)?;
        }
        if demand.damping {
            self.free(app, before, now)?;
            self.affordable(app, before, now)?;
            if self.would_flap(app, before, now) && !next.damping.flapping {
                return Err(malformed("it is the third within a day, and does not say so".into()));
            }
        }
        if demand.acknowledged {
            self.acknowledged(&next)?;
        }
        // Not for later claims of a promotion: by then the new stack's guard may hold what the old one did.
        let promotes = (before.phase, next.phase) == (Phase::Fencing, Phase::Promoting);
        if demand.acknowledged || demand.unleased && promotes {
            self.provable(&next)?;
        }
        if demand.unleased {
            self.unleased(&next, now)?;
        }
        match demand.evidence {
            Some(_) if self.forgoes(next.phase) => Ok(()),
            Some(certificate) => self.convinced(app, ballot, before, &next, certificate, now),
            None => Ok(()),
        }
    }

    /// How sure it is that the phase found was chosen.
    pub(super) fn certainty(&self, state: &AppState, at: Ballot, found: Certainty) -> Certainty {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::CompletedUnseen) {
            return Certainty::Chosen;
        }
        #[cfg(feature = "mutants")]
        if chain::needs_finding(state) && self.broken(Mutant::FollowedUndone) {
            return found;
        }
        chain::certainty_of_phase(state, at, found)
    }

    /// Is the evidence what it claims, does it show what the value needs, and is it fresh by this voter's own clock?
    fn convinced(
        &self,
        app: &AppId,
        ballot: Ballot,
        before: &AppState,
        next: &AppState,
        certificate: &Certificate,
        now: Moment,
    ) -> Result<(), Refusal> {
        let decision = &next.decision;
        certified(certificate, &self.config.voters, ballot, (app, before.revision), self.trust())
            .map_err(Refusal::Evidence)?;
        let panel = Panel::of(certificate, &before.definition, &self.config.voters);
        let panel = panel.relying(&before.sync);
        let panel = panel.owned_by(&self.config.agent, self.beliefs_of(app, now));
        let panel = self.bent(self.heeding_hearsay(panel, now));
        let panel = match before.phase {
            Phase::Idle => panel,
            _ => panel.recalling(&before.decision.candidates).behind_fence(&decision.from),
        };
        let choice = panel.failover_to(&decision.from, &decision.to).map_err(Refusal::Evidence)?;
        let watched = self.bent(panel.watched_by(self.hearsay(now)));
        watched.failover_to(&decision.from, &decision.to).map_err(Refusal::Contested)?;
        let decided = if next.phase == Phase::Publishing { Path::Web } else { Path::Data };
        if choice.path != decided {
            return Err(Refusal::Evidence("it calls for another sort of move".into()));
        }
        let begins = next.epoch != before.epoch;
        let settles = begins || (before.phase, next.phase) == (Phase::Fencing, Phase::Promoting);
        if settles && choice.candidates != decision.candidates {
            return Err(Refusal::Evidence("it shows other candidates".into()));
        }
        let stated = (decision.loss_bytes, decision.loss_time);
        if begins && (choice.loss_bytes, choice.loss_time) != stated {
            return Err(Refusal::Evidence("it shows another loss".into()));
        }
        let stated = self.apps.get(app).and_then(|it| it.stated);
        let fresh = stated.is_some_and(|(of, at)| of == ballot && now.since(at) <= ROUND);
        if !fresh && !self.forgives(&Refusal::StaleEvidence) {
            return Err(Refusal::StaleEvidence);
        }
        let own = self.beliefs_of(app, now);
        let denied = match before.definition.follows() {
            false => self.sees_up(before, &own, &decision.from),
            true => self.sees_led(before, &own, &watched.leader().map_err(Refusal::Contested)?),
        };
        match denied && !self.forgives(&Refusal::SeenUp) {
            true => Err(Refusal::SeenUp),
            false => Ok(()),
        }
    }

    /// Does this very agent see all of a stack up? What makes it unfit to say "down" does not make it blind to "up".
    fn sees_up(&self, state: &AppState, own: &[Belief], stack: &StackId) -> bool {
        let counts = self.alone(state, own).deciding(stack);
        counts.into_iter().flatten().all(|count| count.up.contains(&self.config.agent))
    }

    /// Does this very agent see the primary elsewhere, by an election that is no older?
    fn sees_led(&self, state: &AppState, own: &[Belief], leader: &Leader) -> bool {
        self.alone(state, own).led_elsewhere(leader)
    }

    /// A panel of nobody but this agent, sound or not.
    fn alone<'a>(&'a self, state: &'a AppState, own: &'a [Belief]) -> Panel<'a> {
        let (agent, region) = (&self.config.agent, &self.config.region);
        let me = Witness { agent, region, abstention: None, beliefs: own, said: Duration::ZERO };
        self.bent(Panel::new(&state.definition, &self.config.voters, [me]))
    }

    /// Does a mutant accept all the same?
    fn forgives(&self, why: &Refusal) -> bool {
        let _ = why;
        #[cfg(feature = "mutants")]
        return match why {
            Refusal::StaleEvidence => self.broken(Mutant::StaleEvidenceAccepted),
            Refusal::SeenUp => self.broken(Mutant::OwnViewIgnored),
            _ => false,
        };
        #[cfg(not(feature = "mutants"))]
        false
    }

    /// What is taken on trust about evidence: nothing, but by a mutant.
    pub(super) fn trust(&self) -> Trust {
        #[cfg(feature = "mutants")]
        return Trust {
            ballot: self.broken(Mutant::EvidenceReplayed),
            signature: self.broken(Mutant::EvidenceUnsigned),
        };
        #[cfg(not(feature = "mutants"))]
        Trust::default()
    }

    fn forgoes(&self, phase: Phase) -> bool {
        let _ = phase;
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::EvidenceOnce) && phase == Phase::Promoting;
        #[cfg(not(feature = "mutants"))]
        false
    }

    /// Somebody asks for evidence: look again at what was not looked at just now, then state what is believed.
    fn on_asked(&mut self, by: &AgentId, app: &AppId, ballot: Ballot, now: Moment) {
        let Some(it) = self.apps.get_mut(app).filter(|it| it.chosen.is_some()) else { return };
        it.asked.retain(|asked| asked.by != *by);
        if it.asked.len() < ASKED_LIMIT {
            it.asked.push(Asked { by: by.clone(), ballot, until: now + BURST });
        }
        // Whoever is not looked at again must still be fresh when the others have been: else it would be waited for until its
        // next look, which nobody hastens.
        self.judge.refresh(app, RECENT / 2, now, &mut self.out);
        self.answer_evidence(app, now);
    }

    /// Gives the evidence that is waited for, once everything has been looked at again or there is no more time.
    pub(super) fn answer_evidence(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app).filter(|it| !it.asked.is_empty()) else { return };
        let fresh = self.judge.fresh(app, RECENT, now);
        let (ready, waiting) = std::mem::take(&mut it.asked)
            .into_iter()
            .partition(|asked| fresh || asked.until <= now);
        it.asked = waiting;
        let ready: Vec<Asked> = ready;
        for asked in ready {
            self.state(&asked.by, app, asked.ballot, now);
        }
    }

    fn state(&mut self, to: &AgentId, app: &AppId, ballot: Ballot, now: Moment) {
        let (Some(key), Some(acceptor)) = (&self.key, &self.acceptor) else { return };
        let Some((_, state)) = self.apps.get(app).and_then(|it| it.known()) else { return };
        let mut beliefs = self.beliefs_of(app, now);
        for belief in &mut beliefs {
            // Words are for people near by; the kind is evidence enough, and a certificate must stay small.
            if let Some(fault) = &mut belief.fault {
                fault.text.clear();
            }
        }
        let statement = Statement {
            mesh: self.config.voters.mesh,
            voters: self.config.voters.version,
            app: app.clone(),
            revision: state.revision,
            epoch: state.epoch,
            ballot,
            acceptor: acceptor.id(),
            agent: self.config.agent.clone(),
            region: self.config.region.clone(),
            abstention: self.abstention_of(state, now),
            beliefs,
        };
        let evidence = key.sign(statement);
        // Asked twice for one ballot, the clock of its freshness runs from the first answer.
        let stated = &mut self.apps.get_mut(app).expect("it is known").stated;
        if stated.is_none_or(|(of, _)| of != ballot) {
            *stated = Some((ballot, now));
        }
        self.say(to, Message::Evidence(Box::new(evidence)));
    }
}
