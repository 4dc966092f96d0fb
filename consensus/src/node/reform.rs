//! Carrying a change of voters through: what a person or a lost store calls for, the sweep, and leaving the old set.
//!
//! Whoever sees two sets in force and nobody at work carries on (PROTOCOL.md A.4): every step can be repeated by anyone.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Node;
use super::change::{Goal, Wanted};
use super::intent::Intent;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::judge::HEARD_WITHIN;
use crate::message::BallotBody;
use crate::model::{
    AcceptorId, AgentId, AppId, Ballot, Epoch, Phase, RegisterId, VOTER_LIMIT, Voter, Voters,
    VotersChange,
};
use crate::moment::Moment;
use crate::outbox::{Answer, CommandId, Deadline, Note, Output};
use crate::voters::Sweep;

/// A command that is not through within this is answered as unknown; it may go on all the same.
const COMMAND: Duration = Duration::from_secs(60);
/// Nobody is heard to carry a change on for this long: another does, after its rank.
const TAKE_OVER: Duration = Duration::from_secs(3);
/// After this, everybody may carry it on at once: it is taking too long.
const ALONE_FOR: Duration = Duration::from_secs(30);
const RANK_STEP: Duration = Duration::from_millis(500);
/// A value accepted and not known to be chosen is left to its proposer for this long (PROTOCOL.md A.5).
const LINGERS: Duration = Duration::from_secs(2);
/// A list that not enough have answered is asked for again after this.
const LIST_AGAIN: Duration = Duration::from_millis(500);
/// Registers carried over at the same time.
const SWEPT_AT_ONCE: usize = 16;
/// Acceptors count from when they learned, which is later than here.
const LATER: Duration = Duration::from_millis(500);

impl Node {
    /// Takes a person's command; one at a time.
    pub(super) fn want_voters(
        &mut self,
        command: CommandId,
        change: VotersChange,
        by: String,
        now: Moment,
    ) {
        let current = self.agreed_voters();
        let refusal = match self.joining(&current, &change, now) {
            _ if !self.hears_majority(now) => {
                Some(format!("no quorum: {}", self.quorum_words(now)))
            }
            _ if self.voting.wanted.is_some() || current.joint() => {
                Some("another change of voters is in progress".into())
            }
            Err(why) => Some(why),
            Ok(_) => None,
        };
        if let Some(why) = refusal {
            return self.out.push(Output::Answer(command, Answer::Refused(why)));
        }
        let operation = self.operation();
        let until = now + COMMAND;
        self.voting.wanted = Some(Wanted { command, change, by, operation, until, begun: false });
    }

    /// Does this agent carry a change on, so that others need not? Not for ever: it may be the only one that cannot.
    pub(super) fn changes_voters(&self, now: Moment) -> bool {
        (self.voting.sweep.is_some() && now.since(self.voting.adopted) < ALONE_FOR)
            || self.voting.attempt.is_some()
    }

    /// The set that a change leads to, if it can be reached from here.
    pub(super) fn joining(
        &self,
        current: &Voters,
        change: &VotersChange,
        now: Moment,
    ) -> Result<Vec<Voter>, String> {
        let voter = |agent: &AgentId| current.members.iter().find(|voter| voter.agent == *agent);
        let (gone, new) = match change {
            VotersChange::Add { agent } => (None, Some(agent)),
            VotersChange::Remove { agent } => (Some(agent), None),
            VotersChange::Replace { old, new } => (Some(old), Some(new)),
        };
        if let Some(agent) = gone.filter(|agent| voter(agent).is_none()) {
            return Err(format!("{agent} is no voter"));
        }
        if let Some(agent) = new.filter(|agent| Some(*agent) != gone && voter(agent).is_some()) {
            return Err(format!("{agent} votes already"));
        }
        let newcomer = new.map(|agent| self.newcomer(agent, now)).transpose()?;
        let retired = self.voting.chosen.as_ref().map_or(&[][..], |(_, state)| &state.retired);
        #[cfg(feature = "mutants")]
        let retired = if self.broken(Mutant::RetiredReused) { &[] } else { retired };
        if let Some(new) = newcomer.as_ref().filter(|new| retired.contains(&new.acceptor)) {
            return Err(format!("the store {} of {} voted before", new.acceptor, new.agent));
        }
        let stay = current.members.iter().filter(|voter| Some(&voter.agent) != gone).cloned();
        let mut joining: Vec<Voter> = stay.chain(newcomer).collect();
        joining.sort_by(|one, other| one.agent.cmp(&other.agent));
        if !(1..=VOTER_LIMIT).contains(&joining.len()) {
            return Err(format!("a mesh has 1 to {VOTER_LIMIT} voters"));
        }
        // Both sets have to agree before either is left: a set that is not heard would hold up everything.
        let future = Voters::stable(current.mesh, current.version, joining.clone());
        let heard = joining.iter().filter(|voter| self.store_heard(voter, HEARD_WITHIN, now));
        let heard: BTreeSet<AcceptorId> = heard.map(|voter| voter.acceptor).collect();
        match future.quorum(&heard) {
            true => Ok(joining),
            false => Err(format!(
                "only {} of the {} voters that would be are heard, {} are needed",
                heard.len(),
                joining.len(),
                future.needed()
            )),
        }
    }

    fn refused(&mut self, why: String) {
        if let Some(wanted) = self.voting.wanted.take() {
            self.out.push(Output::Answer(wanted.command, Answer::Refused(why)));
        }
    }

    /// An attempt could not even begin: whoever asked for it is told.
    pub(super) fn refuse_change(&mut self, goal: &Goal, why: String) {
        let Goal::Begin { operation, .. } = goal else { return };
        if self.voting.wanted.as_ref().is_some_and(|it| it.operation == *operation && !it.begun) {
            self.refused(why);
        }
    }

    /// Another value of the voters' register is known: is that what somebody waits for?
    pub(super) fn answer_change(&mut self, now: Moment) {
        let Some((_, state)) = &self.voting.chosen else { return };
        let (joint, version) = (state.voters.joint(), state.voters.version);
        let began = state.operations.last().is_some_and(|it| it.instance == self.instance);
        if joint && began && self.voting.sweep.is_none() {
            // Whoever began it carries it through: nobody else need wait for it to fall silent.
            self.voting.sweep = Some(Sweep::new());
            self.voting.carried = now;
        }
        let Some(wanted) = &mut self.voting.wanted else { return };
        let mine = state.operations.contains(&wanted.operation);
        wanted.begun |= mine;
        #[cfg(feature = "mutants")]
        let joint = joint && !(mine && self.config.broken(Mutant::ChangeToldEarly));
        match (mine, joint) {
            (true, false) => {
                let answer = Answer::Agreed { epoch: Epoch(0), revision: version };
                if let Some(wanted) = self.voting.wanted.take() {
                    self.out.push(Output::Answer(wanted.command, answer));
                }
            }
            (true, true) => {}
            (false, true) => self.refused("another change of voters is in progress".into()),
            (false, false) => {}
        }
    }

    /// Whatever may be done about the voters now.
    pub(super) fn consider_voters(&mut self, now: Moment) {
        if let Some(wanted) = self.voting.wanted.take_if(|wanted| wanted.until <= now) {
            let why = "it is not through yet; `quorate voters list` tells what became of it";
            self.out.push(Output::Answer(wanted.command, Answer::Unknown(why.into())));
        }
        self.change_due(now);
        self.notice_undecided_voters(now);
        if self.voting.attempt.is_some() || now < self.voting.not_before {
            return;
        }
        if std::mem::take(&mut self.voting.in_flux) {
            return self.start_change(Goal::FindOut, now);
        }
        let agreed = self.voting.chosen.as_ref();
        if self.config.voters.joint() || agreed.is_some_and(|(_, state)| state.voters.joint()) {
            return self.carry_on(now);
        }
        if let Some(wanted) = self.voting.wanted.clone() {
            let Wanted { change, by, operation, .. } = wanted;
            self.out.note(Note::Changing(format!("{change}, for {by}")));
            return self.start_change(Goal::Begin { change, by: Some(by), operation }, now);
        }
        self.consider_replacement(now);
    }

    /// As for apps: a value that this voter accepted, and of which nobody says what became of it, must not linger.
    fn notice_undecided_voters(&mut self, now: Moment) {
        let held = self.acceptor.as_ref().and_then(|it| it.accepted(&RegisterId::Voters));
        let held = held.map(|held| held.ballot).filter(|held| *held > self.voting.known());
        let Some(held) = held else {
            self.voting.undecided = None;
            return;
        };
        let since = match self.voting.undecided {
            Some((ballot, since)) if ballot == held => since,
            _ => now,
        };
        let due = since + LINGERS + RANK_STEP * self.place(now);
        self.voting.undecided = Some((held, since));
        if due <= now && self.voting.attempt.is_none() {
            self.voting.undecided = None;
            self.voting.in_flux = true;
        }
    }

    /// Two sets are in force: sweeps, and leaves the old one, if it is this agent's turn.
    fn carry_on(&mut self, now: Moment) {
        // Whoever began it need not be a voter to go on.
        if self.voting.sweep.is_none() {
            if !self.votes(now) {
                return;
            }
            let since = self.voting.carried.max(self.voting.adopted);
            if now < since + TAKE_OVER + RANK_STEP * self.place(now) {
                return;
            }
            self.out.note(Note::Changing("carries it on".into()));
            self.voting.sweep = Some(Sweep::new());
        }
        #[cfg(feature = "mutants")]
        let swept = self.broken(Mutant::NoSweep) || self.sweep(now);
        #[cfg(not(feature = "mutants"))]
        let swept = self.sweep(now);
        if swept && now.since(self.voting.adopted) >= self.both_for() + LATER {
            self.start_change(Goal::Leave, now);
        }
    }

    /// Asks for what is not known yet. Is every register carried over?
    fn sweep(&mut self, now: Moment) -> bool {
        let voters = self.swept_by();
        let Some(sweep) = &mut self.voting.sweep else { return false };
        if sweep.finished(&voters) {
            return true;
        }
        let due = sweep.asked.is_none_or(|at| at + LIST_AGAIN <= now);
        if !sweep.listed(&voters) && due {
            sweep.asked = Some(now);
            // A list belongs to no ballot: it is matched by the version that it is asked for and given under.
            self.tell_voters(&RegisterId::Voters, Ballot::ZERO, &BallotBody::List);
        }
        false
    }

    /// The voters by whose count a register is carried over; only a mutant counts the old ones alone.
    pub(super) fn swept_by(&self) -> Voters {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::SweepWithOldQuorum) {
            let Voters { mesh, version, members, .. } = self.config.voters.clone();
            return Voters::stable(mesh, version, members);
        }
        self.config.voters.clone()
    }

    /// A voter lists its registers.
    pub(super) fn on_listed(
        &mut self,
        acceptor: AcceptorId,
        registers: &[RegisterId],
        now: Moment,
    ) {
        let voters = self.swept_by();
        let Some(sweep) = &mut self.voting.sweep else { return };
        let before = sweep.listed(&voters);
        sweep.on_listed(acceptor, registers);
        if !before && sweep.listed(&voters) {
            let left: Vec<AppId> = sweep.left().cloned().collect();
            self.out.note(Note::Changing(format!("carries {} registers over", left.len())));
            for app in left {
                self.apps.entry(app).or_default();
            }
        }
        self.consider_voters(now);
    }

    /// Carries an app's register over, if that is this agent's turn. Does it?
    pub(super) fn carry_over(&mut self, app: &AppId, now: Moment) -> bool {
        let Some(sweep) = self.voting.sweep.as_ref().filter(|sweep| sweep.wants(app)) else {
            return false;
        };
        // Not all at once, and those first that come first.
        if !sweep.listed(&self.swept_by()) || !sweep.left().take(SWEPT_AT_ONCE).any(|it| it == app)
        {
            return false;
        }
        let it = &self.apps[app];
        // Also when a first try came to nothing: what is found may be newer than what is known.
        let busy = it.tries > 0 || it.known().is_none_or(|(_, state)| state.phase != Phase::Idle);
        let operation = self.operation();
        self.start(app, Intent::Sweep { evidence: busy }, operation, now);
        true
    }

    /// A register is held by a quorum of both sets.
    pub(super) fn on_swept(&mut self, app: &AppId) {
        if let Some(sweep) = &mut self.voting.sweep {
            sweep.on_swept(app);
        }
    }

    /// The mesh replaces a store by itself if its very agent came back without it, and it has long been silent.
    fn consider_replacement(&mut self, now: Moment) {
        let lost = self.config.voters.members.iter().find(|voter| {
            self.is_silent(voter.acceptor, now)
                && self.may_replace(voter.acceptor, now).is_ok()
                && self.newcomer(&voter.agent, now).is_ok()
        });
        let Some(lost) = lost.filter(|_| self.votes(now)) else {
            self.voting.replaceable = None;
            return;
        };
        let (store, agent) = (lost.acceptor, lost.agent.clone());
        let since = match self.voting.replaceable {
            Some((known, since)) if known == store => since,
            _ => now,
        };
        self.voting.replaceable = Some((store, since));
        let change = VotersChange::Replace { old: agent.clone(), new: agent };
        let fits = self.joining(&self.agreed_voters(), &change, now).is_ok();
        if fits && since + RANK_STEP * (1 + self.place(now)) <= now {
            self.voting.replaceable = None;
            self.out.note(Note::Changing(format!("{change}, which is lost")));
            let operation = self.operation();
            self.start_change(Goal::Begin { change, by: None, operation }, now);
        }
    }

    /// This agent's place among the voters that are heard, another for every version.
    fn place(&self, now: Moment) -> u32 {
        let order = |agent: &AgentId| {
            let version = crc32c::crc32c(&self.config.voters.version.to_le_bytes());
            (crc32c::crc32c_append(version, agent.as_str().as_bytes()), agent.clone())
        };
        let mine = order(&self.config.agent);
        let heard = self.voters_heard(HEARD_WITHIN, now);
        let before = heard.iter().filter(|agent| order(agent) < mine).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// When to look at the voters again though nothing happens.
    pub(super) fn wake_for_voters(&self, now: Moment) -> Deadline {
        // A pulse a second looks at all the rest.
        let attempt = self.voting.attempt.as_ref().map(super::change::Attempt::wake);
        let list =
            self.voting.sweep.as_ref().and_then(|sweep| sweep.asked).map(|at| at + LIST_AGAIN);
        let list = list.filter(|at| now < *at).map(|at| (at, "a list of registers is waited for"));
        let (at, why) = attempt.into_iter().chain(list).min().unwrap_or((Moment::NEVER, ""));
        (at.max(now + Duration::from_micros(1)), why)
    }
}
