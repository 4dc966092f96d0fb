//! Writing the voters' register: one attempt, from ballot to outcome, and the rule by which it is accepted.
//!
//! As for apps, but without evidence, and with this difference: what is found and not surely chosen is completed as it is,
//! whatever the attempt was for. So a set of voters is always derived from one that is in force.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use super::attempt::{ROUND, SOON};
use crate::ballot::{Accepting, Current, Preparing, Tally};
use crate::codec;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::message::{Accepted, BallotBody, Message, Refusal, Value};
use crate::model::{
    AcceptorId, Ballot, Certainty, OPERATION_MEMORY, OperationId, RegisterId, Voters, VotersChange,
    VotersState,
};
use crate::moment::Moment;
use crate::outbox::{CommandId, Deadline, Note};
use crate::voters::chain;

/// Both sets of voters are in force for at least so long: a lease of the usual length that was granted before runs no longer
/// (PROTOCOL.md 0.1 a, Lv). Where leases are longer, so is this.
pub const BOTH_FOR: Duration = Duration::from_millis(10_200);
/// A store that the mesh replaces by itself has been silent for this long (PROTOCOL.md A.4).
pub const SILENT_FOR: Duration = Duration::from_secs(60);
/// And it does so no more often than this.
pub const AUTOMATIC_REST: Duration = Duration::from_secs(600);
/// Lost messages are repeated after this.
const RESEND: Duration = Duration::from_millis(500);
const BACKOFF_LEAST: Duration = Duration::from_millis(50);
const BACKOFF_MOST: Duration = Duration::from_secs(2);

/// A person's command, until it is answered.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub command: CommandId,
    pub change: VotersChange,
    pub by: String,
    /// The same through all tries, so that a try whose outcome stayed unknown is recognised (rule R6).
    pub operation: OperationId,
    pub until: Moment,
    /// Was it agreed to begin?
    pub begun: bool,
}

/// What an attempt is for.
#[derive(Clone, Debug)]
pub enum Goal {
    /// To find out what was chosen.
    FindOut,
    /// To put a second set beside the first.
    Begin {
        change: VotersChange,
        /// Who asks; nobody if the mesh does by itself.
        by: Option<String>,
        operation: OperationId,
    },
    /// To go on with the second alone.
    Leave,
}

/// One attempt to write the voters' register.
#[derive(Debug)]
pub struct Attempt {
    goal: Goal,
    stage: Stage,
    began: Moment,
    resend: Moment,
    refusals: BTreeSet<String>,
}

#[derive(Debug)]
enum Stage {
    Preparing(Preparing),
    Accepting { accepting: Accepting, body: BallotBody },
}

impl Attempt {
    fn ballot(&self) -> Ballot {
        match &self.stage {
            Stage::Preparing(preparing) => preparing.ballot(),
            Stage::Accepting { accepting, .. } => accepting.ballot(),
        }
    }

    fn on_refusal(&mut self, acceptor: AcceptorId, why: String) {
        self.refusals.insert(why);
        match &mut self.stage {
            Stage::Preparing(preparing) => preparing.on_refusal(acceptor),
            Stage::Accepting { accepting, .. } => accepting.on_refusal(acceptor),
        }
    }

    fn request(&self) -> BallotBody {
        match &self.stage {
            Stage::Preparing(_) => BallotBody::Prepare { evidence: false },
            Stage::Accepting { body, .. } => body.clone(),
        }
    }

    pub fn wake(&self) -> Deadline {
        (self.resend.min(self.began + ROUND), "a change of voters waits for answers")
    }
}

impl Node {
    /// Begins an attempt at a fresh ballot.
    pub(super) fn start_change(&mut self, goal: Goal, now: Moment) {
        if let Some(acceptor) = &self.acceptor {
            self.ballots.seen(acceptor.promised(&RegisterId::Voters));
        }
        self.ballots.seen(self.voting.known());
        let ballot = self.ballots.fresh();
        let attempt = Attempt {
            goal,
            stage: Stage::Preparing(self.preparing(ballot)),
            began: now,
            resend: now,
            refusals: BTreeSet::new(),
        };
        self.voting.attempt = Some(attempt);
        self.change_due(now);
    }

    /// Time passed for an attempt.
    pub(super) fn change_due(&mut self, now: Moment) {
        if self.voting.attempt.is_none() {
            return;
        }
        let pause = RESEND.max(self.rtt() * 2);
        let Some(attempt) = &mut self.voting.attempt else { return };
        if attempt.began + ROUND <= now {
            return self.abandon_change("no quorum answered", now);
        }
        if now < attempt.resend {
            return;
        }
        attempt.resend = now + pause;
        let (ballot, body) = (attempt.ballot(), attempt.request());
        self.tell_voters(&RegisterId::Voters, ballot, &body);
    }

    /// A voter answered.
    pub(super) fn on_change_reply(
        &mut self,
        acceptor: AcceptorId,
        ballot: Ballot,
        body: BallotBody,
        now: Moment,
    ) {
        let Some(attempt) = self.voting.attempt.as_mut().filter(|it| it.ballot() == ballot) else {
            return;
        };
        match (&mut attempt.stage, body) {
            (Stage::Preparing(preparing), BallotBody::Promise { accepted, .. }) => {
                preparing.on_promise(acceptor, accepted);
            }
            (Stage::Accepting { accepting, .. }, BallotBody::Accepted { .. }) => {
                accepting.on_accepted(acceptor);
            }
            (_, BallotBody::Nack { promised, .. }) => {
                self.ballots.seen(promised);
                attempt.on_refusal(acceptor, format!("{promised} was promised"));
            }
            (_, BallotBody::Refuse { why, .. }) => attempt.on_refusal(acceptor, why.to_string()),
            _ => return,
        }
        self.advance_change(now);
    }

    fn advance_change(&mut self, now: Moment) {
        let Some(attempt) = &self.voting.attempt else { return };
        let voters = &self.config.voters;
        let tally = match &attempt.stage {
            Stage::Preparing(preparing) => preparing.tally(voters),
            Stage::Accepting { accepting, .. } => accepting.tally(voters),
        };
        match (&attempt.stage, tally) {
            (_, Tally::Pending) => {}
            (_, Tally::Lost) => self.abandon_change("too many refused", now),
            (Stage::Preparing(_), Tally::Won) => self.choose_voters(now),
            (Stage::Accepting { accepting, .. }, Tally::Won) => {
                let accepted = accepting.accepted();
                self.voting.attempt = None;
                self.voting.tries = 0;
                self.voting.not_before = now;
                let message =
                    Message::Chosen { register: RegisterId::Voters, accepted: accepted.clone() };
                for agent in self.everybody() {
                    self.out.send(&agent, message.clone());
                }
                self.learn_voters(accepted, now);
            }
        }
    }

    /// A quorum promised: what was found is learned or completed, and only what is in force is built upon.
    fn choose_voters(&mut self, now: Moment) {
        let Some(attempt) = self.voting.attempt.take() else { return };
        let Stage::Preparing(preparing) = &attempt.stage else { return };
        let Current { accepted: predecessor, promises } = preparing.current();
        let base = predecessor.as_ref().map_or(Ballot::ZERO, |it| it.ballot);
        let certainty = Current::certainty(&self.config.voters, &promises, base);
        let value = match (&predecessor, certainty) {
            (Some(found), Certainty::Possible | Certainty::Unchosen) => Ok(found.value.clone()),
            (found, _) => {
                let version = self.config.voters.version;
                if let Some(found) = found {
                    self.learn_voters(found.clone(), now);
                }
                if self.config.voters.version != version {
                    // Promises of another set of voters are none.
                    return;
                }
                self.next_voters(&attempt.goal, predecessor.as_ref(), now)
                    .map(|state| Value::new(codec::encode(&state)))
            }
        };
        match value {
            Ok(value) => {
                let body = BallotBody::Accept { predecessor, promises, value: value.clone() };
                let Stage::Preparing(preparing) = attempt.stage else { return };
                let stage = Stage::Accepting { accepting: preparing.choose(value), body };
                self.voting.attempt = Some(Attempt { stage, resend: now, ..attempt });
                self.change_due(now);
            }
            Err(why) => {
                self.refuse_change(&attempt.goal, why);
                self.back_off_change(now);
            }
        }
    }

    /// The value that reaches a goal, derived from what was found to be chosen.
    fn next_voters(
        &self,
        goal: &Goal,
        found: Option<&Accepted>,
        now: Moment,
    ) -> Result<VotersState, String> {
        let current = self.agreed_voters();
        let chosen = self.voting.chosen.as_ref();
        // What was just found and not learned was not news, or nothing that this agent can read.
        let before = chosen.filter(|(known, _)| found == Some(known)).map(|(_, state)| state);
        if found.is_some() && before.is_none() {
            return Err("what was found is not what is in force".into());
        }
        let mut state = before.map_or_else(
            || VotersState {
                voters: current.clone(),
                reason: String::new(),
                automatic: 0,
                retired: Vec::new(),
                operations: Vec::new(),
                previous: [0; 32],
            },
            |state| (**state).clone(),
        );
        state.previous = found.map_or([0; 32], |found| found.value.hash());
        let version = current.version.saturating_add(1);
        match goal {
            Goal::FindOut => return Err("nothing is to be changed".into()),
            Goal::Begin { change, by, operation } => {
                if current.joint() {
                    return Err("another change is in progress".into());
                }
                let joining = self.joining(&current, change, now)?;
                let by = by.as_ref().map_or("the mesh itself", String::as_str);
                let reason = format!("{change}, for {by}");
                state.reason = reason.chars().take(chain::REASON_LIMIT).collect();
                if by == "the mesh itself" {
                    state.automatic = version;
                }
                state.operations.push(*operation);
                let surplus = state.operations.len().saturating_sub(OPERATION_MEMORY);
                state.operations.drain(..surplus);
                state.voters = Voters { version, joining, ..current };
                #[cfg(feature = "mutants")]
                if self.broken(Mutant::DirectChange) {
                    state.retired.extend(state.voters.leaving().map(|voter| voter.acceptor));
                    state.voters.members = std::mem::take(&mut state.voters.joining);
                }
            }
            Goal::Leave => {
                if !current.joint() {
                    return Err("the change is through".into());
                }
                state.retired.extend(current.leaving().map(|voter| voter.acceptor));
                state.reason = format!("done: {}", state.reason);
                state.reason = state.reason.chars().take(chain::REASON_LIMIT).collect();
                state.voters = Voters::stable(current.mesh, version, current.joining);
            }
        }
        Ok(state)
    }

    /// May this set of voters be accepted? Everything an acceptor checks besides ballots.
    pub(super) fn permit_voters(
        &self,
        (held, predecessor, promises): (
            Option<Accepted>,
            Option<Accepted>,
            &[(AcceptorId, Ballot)],
        ),
        value: &Value,
        now: Moment,
    ) -> Result<(), Refusal> {
        let malformed = |why: String| Refusal::Malformed(why);
        let base = self.borne_out(held.as_ref(), predecessor.as_ref(), promises)?;
        let decode = |value: &Value| {
            codec::decode::<VotersState>(value.bytes())
                .map_err(|error| malformed(error.to_string()))
        };
        let before = predecessor.as_ref().map(|it| decode(&it.value)).transpose()?;
        let next = decode(value)?;
        let certainty = Current::certainty(&self.config.voters, promises, base);
        let hash = predecessor.as_ref().map_or([0; 32], |it| it.value.hash());
        #[cfg(feature = "mutants")]
        let (before, next) = match self.broken(Mutant::RetiredReused) {
            true => forgetting(before, next),
            false => (before, next),
        };
        let before = before.as_ref().map(|it| (it, hash));
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::DirectChange) || self.broken(Mutant::OnlyNewMajority) {
            return Ok(());
        }
        let demand =
            chain::follows(before, certainty, &self.agreed_voters(), &next).map_err(malformed)?;
        #[cfg(feature = "mutants")]
        let demand = match before.is_some_and(|(before, _)| *before == next) {
            true if self.broken(Mutant::LeftByAnothersClock) => chain::Demand::default(),
            _ => demand,
        };
        let (since, both_for) = (now.since(self.voting.adopted), self.both_for());
        if demand.leaves && since < both_for {
            return Err(Refusal::Young(both_for - since));
        }
        match demand.replaces {
            Some(store) => self.may_replace(store, now).map_err(malformed),
            None => Ok(()),
        }
    }

    /// Was a store, of another agent, not heard for long?
    pub(super) fn is_silent(&self, store: AcceptorId, now: Moment) -> bool {
        let heard = self.voting.sightings.heard(store).unwrap_or(self.voting.began);
        let own = self.acceptor.as_ref().is_some_and(|own| own.id() == store);
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::ReplacedAtOnce) {
            return !own;
        }
        !own && SILENT_FOR <= now.since(heard)
    }

    /// May the mesh replace this store by itself, by this agent's own clock?
    pub(super) fn may_replace(&self, store: AcceptorId, now: Moment) -> Result<(), String> {
        if !self.is_silent(store, now) {
            return Err(format!("the store {store} is not silent for {} s", SILENT_FOR.as_secs()));
        }
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::ReplacedTooOften) {
            return Ok(());
        }
        match self.voting.automatic {
            Some((_, since)) if now.since(since) < AUTOMATIC_REST => {
                Err("a store was replaced just now".into())
            }
            _ => Ok(()),
        }
    }

    /// No quorum, or no time left: the ballot is burnt, whatever became of it.
    fn abandon_change(&mut self, why: &str, now: Moment) {
        let Some(attempt) = self.voting.attempt.take() else { return };
        let why = match attempt.refusals.is_empty() {
            true => why.to_owned(),
            false => attempt.refusals.into_iter().collect::<Vec<_>>().join(", "),
        };
        if !matches!(attempt.goal, Goal::FindOut) {
            self.out.note(Note::Changing(format!("gives up for now: {why}")));
        }
        self.voting.in_flux |= matches!(attempt.stage, Stage::Accepting { .. });
        self.back_off_change(now);
    }

    fn back_off_change(&mut self, now: Moment) {
        let least = BACKOFF_LEAST.max(self.rtt() * 2);
        self.voting.tries = self.voting.tries.saturating_add(1);
        let most = least.saturating_mul(1 << self.voting.tries.min(6)).min(BACKOFF_MOST);
        self.voting.not_before = now + most.mul_f64(self.rng.random_range(0.0..1.0));
    }

    /// An agent that goes by older voters refused; it was told, and is to be asked again soon.
    pub(super) fn ask_change_again(&mut self, ballot: Ballot, now: Moment) {
        if let Some(attempt) = self.voting.attempt.as_mut().filter(|it| it.ballot() == ballot) {
            attempt.resend = attempt.resend.min(now + SOON);
        }
    }
}

/// What was retired is forgotten in both, as only a mutant does: nothing else about them changes.
#[cfg(feature = "mutants")]
fn forgetting(
    mut before: Option<VotersState>,
    mut next: VotersState,
) -> (Option<VotersState>, VotersState) {
    let gone = before.as_mut().map(|before| std::mem::take(&mut before.retired));
    next.retired.retain(|store| !gone.iter().flatten().any(|it| it == store));
    (before, next)
}
