//! Who votes, as this agent knows it: learning it, going by it, teaching it, and whether the own store may vote.

use std::sync::Arc;

use super::Node;
use super::change::{Attempt, Wanted};
use crate::ballot::ROUND_LEAP;
use crate::codec;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::message::{Accepted, BallotBody, Message, Pulse, Refusal, StoreHello};
use crate::model::{
    Abstention, AcceptorId, AgentId, Ballot, Quarantined, RegisterId, Voter, Voters, VotersState,
};
use crate::moment::Moment;
use crate::outbox::{Note, Output};
use crate::saved::{Entry, Saved};
use crate::voters::{Inquiry, Sightings, Sweep};

/// What a node keeps of who votes; who does is in its configuration, which follows what is agreed.
#[derive(Debug)]
pub struct Voting {
    /// The newest value of the voters' register that is known to be chosen.
    pub chosen: Option<(Accepted, Arc<VotersState>)>,
    /// Since when this process goes by the voters it goes by.
    pub adopted: Moment,
    /// The last replacement that the mesh made by itself, and since when this process knows.
    pub automatic: Option<(u64, Moment)>,
    /// Since when this process runs.
    pub began: Moment,
    /// What was heard of every store.
    pub sightings: Sightings,
    /// What others saw of this one before it started.
    inquiry: Inquiry,
    /// Was it found whole, once?
    trusted: bool,
    /// Why this store must not vote again, if it must not.
    pub quarantined: Option<Quarantined>,
    /// An attempt to write the voters' register.
    pub attempt: Option<Attempt>,
    /// A person's command, until it is answered.
    pub wanted: Option<Wanted>,
    /// The registers carried over into the new set, by this agent, while there are two.
    pub sweep: Option<Sweep>,
    /// A value was found that may or may not be chosen: somebody has to find out.
    pub in_flux: bool,
    /// What this store accepted beyond what is known to be chosen, and since when.
    pub undecided: Option<(Ballot, Moment)>,
    /// No attempt before this.
    pub not_before: Moment,
    /// Attempts in a row that came to nothing.
    pub tries: u32,
    /// When an agent was last heard to carry out the change in progress.
    pub carried: Moment,
    /// When the voters have to be looked at again, though nothing happens.
    pub due: Moment,
    /// Since when a lost store could be replaced.
    pub replaceable: Option<(AcceptorId, Moment)>,
}

impl Voting {
    /// As far as the store remembers.
    pub fn new(saved: &Saved, now: Moment) -> Self {
        Self {
            chosen: None,
            adopted: now,
            automatic: None,
            began: now,
            sightings: Sightings::new(&saved.sightings),
            inquiry: Inquiry::new(now),
            trusted: false,
            quarantined: saved.quarantined.clone(),
            attempt: None,
            wanted: None,
            sweep: None,
            in_flux: false,
            undecided: None,
            not_before: now,
            tries: 0,
            carried: now,
            due: now,
            replaceable: None,
        }
    }

    /// The ballot up to which the voters' register is known.
    pub fn known(&self) -> Ballot {
        self.chosen.as_ref().map_or(Ballot::ZERO, |(accepted, _)| accepted.ballot)
    }
}

impl Node {
    /// What the store knows of who votes, at the start.
    pub(super) fn restore_voters(&mut self, accepted: &Accepted, now: Moment) {
        if let Some(state) = self.voters_of(accepted) {
            self.follow(&state, now);
            self.voting.chosen = Some((accepted.clone(), state));
        }
    }

    /// Somebody says who was chosen to vote.
    pub(super) fn learn_voters(&mut self, accepted: Accepted, now: Moment) {
        let known = self.voting.known();
        if accepted.ballot <= known {
            let same =
                self.voting.chosen.as_ref().is_none_or(|(it, _)| {
                    it.ballot != accepted.ballot || it.value == accepted.value
                });
            if !same {
                let why = format!("two sets of voters chosen at {}", accepted.ballot);
                self.out.note(Note::Alarm(why));
            }
            return;
        }
        if accepted.ballot.round > known.round.saturating_add(ROUND_LEAP) {
            let why = format!("{} for the voters is out of bounds", accepted.ballot);
            return self.out.note(Note::Alarm(why));
        }
        let Some(state) = self.voters_of(&accepted) else { return };
        self.ballots.seen(accepted.ballot);
        self.accept_chosen(&RegisterId::Voters, &accepted, now);
        self.out.push(Output::Save(Entry::Chosen {
            register: RegisterId::Voters,
            accepted: accepted.clone(),
        }));
        let newer = self.config.voters.version < state.voters.version;
        self.voting.chosen = Some((accepted, state.clone()));
        self.voting.in_flux = false;
        if newer {
            self.adopt_voters(&state, now);
        }
        self.answer_change(now);
    }

    fn voters_of(&mut self, accepted: &Accepted) -> Option<Arc<VotersState>> {
        match codec::decode::<VotersState>(accepted.value.bytes()) {
            Ok(state) if state.voters.mesh == self.config.voters.mesh => Some(Arc::new(state)),
            Ok(_) | Err(_) => {
                let why = format!("what was chosen at {} is no set of our voters", accepted.ballot);
                self.out.note(Note::Alarm(why));
                None
            }
        }
    }

    /// From here on nothing counts that was begun under another set: attempts are burnt, readings and evidence forgotten.
    fn adopt_voters(&mut self, state: &VotersState, now: Moment) {
        self.follow(state, now);
        let (version, what) = (state.voters.version, state.reason.clone());
        self.out.note(Note::Voters { version, what });
        for app in self.apps.keys().cloned().collect::<Vec<_>>() {
            self.burn(&app, now);
        }
        self.voting.attempt = None;
        self.voting.sweep = None;
        self.voting.undecided = None;
        self.voting.replaceable = None;
        self.voting.carried = now;
        let retired = self.acceptor.as_ref().is_some_and(|it| state.retired.contains(&it.id()));
        #[cfg(feature = "mutants")]
        let retired = retired && !self.broken(Mutant::RetiredReused);
        if retired {
            self.quarantine(Quarantined::Retired { version });
        }
        self.selfcheck.fix(self.standing());
    }

    fn follow(&mut self, state: &VotersState, now: Moment) {
        if state.voters.version <= self.config.voters.version {
            return;
        }
        if state.automatic != 0 && self.voting.automatic.is_none_or(|(it, _)| it != state.automatic)
        {
            self.voting.automatic = Some((state.automatic, now));
        }
        self.config.voters = state.voters.clone();
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::OnlyNewMajority) && self.config.voters.joint() {
            self.config.voters.members = std::mem::take(&mut self.config.voters.joining);
        }
        self.voting.adopted = now;
        self.selfcheck.fix(self.standing());
    }

    /// The voters as they were agreed: what a change is derived from.
    pub(super) fn agreed_voters(&self) -> Voters {
        let agreed = self.voting.chosen.as_ref().map(|(_, state)| &state.voters);
        agreed
            .filter(|agreed| self.config.voters.version <= agreed.version)
            .unwrap_or(&self.config.voters)
            .clone()
    }

    /// Why this agent's word can never count while nothing changes.
    pub(super) fn standing(&self) -> Option<Abstention> {
        let quarantined = self.config.quarantined || self.voting.quarantined.is_some();
        match (quarantined, &self.acceptor) {
            (true, _) => Some(Abstention::Quarantined),
            (false, None) => Some(Abstention::Observer),
            (false, Some(acceptor)) => match self.config.voters.by_acceptor(acceptor.id()) {
                Some(_) => None,
                None => Some(Abstention::StandingBy),
            },
        }
    }

    /// May the own store answer: is it whole, as far as others can tell?
    pub(super) fn store_trusted(&self, now: Moment) -> bool {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::RollbackUnnoticed) || self.broken(Mutant::Amnesia) {
            return self.acceptor.is_some();
        }
        self.acceptor.as_ref().is_some_and(|acceptor| {
            self.voting.inquiry.answered(acceptor.id(), &self.config.voters, now)
        })
    }

    /// Has the own store been found whole since it started? Then it catches up.
    pub(super) fn trust_store(&mut self, now: Moment) {
        if !self.voting.trusted && self.store_trusted(now) {
            self.voting.trusted = true;
            self.catch_up(now);
        }
    }

    /// Does the own store vote, just now?
    pub(super) fn votes(&self, now: Moment) -> bool {
        let voter = |id| self.config.voters.by_acceptor(id).is_some();
        self.acceptor.as_ref().is_some_and(|it| voter(it.id())) && self.store_trusted(now)
    }

    /// Is a request of this version to be answered? Whoever goes by other voters is told, or asked to tell: the fence of
    /// PROTOCOL.md A.4, M2.
    pub(super) fn same_voters(
        &mut self,
        from: &AgentId,
        register: &RegisterId,
        theirs: u64,
        ballot: Ballot,
    ) -> bool {
        let ours = self.config.voters.version;
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::VotersUnfenced) {
            return true;
        }
        if theirs == ours {
            return true;
        }
        if theirs < ours {
            self.teach_voters(from);
        }
        if let Some(acceptor) = &self.acceptor {
            let (acceptor, why) = (acceptor.id(), Refusal::Voters(ours));
            self.reply(from, register, ballot, None, BallotBody::Refuse { acceptor, why });
        }
        false
    }

    /// Tells an agent who votes.
    pub(super) fn teach_voters(&mut self, agent: &AgentId) {
        if let Some((accepted, _)) = &self.voting.chosen {
            let accepted = accepted.clone();
            self.say(agent, Message::Chosen { register: RegisterId::Voters, accepted });
        }
    }

    /// The own store, for a pulse.
    pub(super) fn store_hello(&self) -> Option<StoreHello> {
        let (acceptor, key) = (self.acceptor.as_ref()?, self.key.as_ref()?);
        Some(StoreHello { acceptor: acceptor.id(), key: key.public(), changes: self.out.changes() })
    }

    /// What a pulse says of its sender's store and voters. Returns the most that was ever heard of that store.
    pub(super) fn on_pulse_of_store(&mut self, from: &AgentId, pulse: &Pulse, now: Moment) -> u64 {
        if pulse.changing {
            self.voting.carried = now;
        }
        if pulse.voters < self.config.voters.version {
            self.teach_voters(from);
        }
        let Some(hello) = &pulse.store else { return 0 };
        let seen = self.voting.sightings.seen(hello.acceptor);
        self.voting.sightings.on_store(from, &pulse.region, hello, now);
        for (acceptor, changes) in self.voting.sightings.to_write(&self.config.voters, now) {
            self.out.push(Output::Save(Entry::Sighted { acceptor, changes }));
        }
        seen
    }

    /// Somebody says what it saw of the own store before.
    pub(super) fn on_seen(&mut self, by: &AgentId, instance: u64, seen: u64) {
        if instance != self.instance || self.acceptor.is_none() {
            return;
        }
        let holds = self.out.changes();
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::RollbackUnnoticed) || self.broken(Mutant::Amnesia) {
            return;
        }
        match holds < seen {
            true => self.quarantine(Quarantined::RolledBack { by: by.clone(), seen, holds }),
            false => {
                if let Some((store, _)) = self.voting.sightings.store_of(by) {
                    self.voting.inquiry.on_answer(store);
                }
            }
        }
    }

    fn quarantine(&mut self, why: Quarantined) {
        self.acceptor = None;
        self.key = None;
        self.out.push(Output::Save(Entry::Quarantined(why.clone())));
        self.out.note(Note::Quarantined(why.clone()));
        self.voting.quarantined = Some(why.clone());
        self.selfcheck.fix(self.standing());
        self.out.push(Output::Quarantine(why));
    }

    /// The store that an agent holds ready to become a voter's, as a voter.
    pub(super) fn newcomer(&self, agent: &AgentId, now: Moment) -> Result<Voter, String> {
        let voter = match *agent == self.config.agent {
            true => self.store_hello().map(|hello| Voter {
                acceptor: hello.acceptor,
                agent: agent.clone(),
                region: self.config.region.clone(),
                key: hello.key,
            }),
            false => self.presented(agent, now),
        };
        let voter =
            voter.ok_or_else(|| format!("{agent} holds no store ready, or is not heard"))?;
        match self.config.voters.by_acceptor(voter.acceptor) {
            Some(_) => Err(format!("{agent} votes already, with the store it holds")),
            None => Ok(voter),
        }
    }

    /// The store an agent presents, as a voter.
    pub(super) fn presented(&self, agent: &AgentId, now: Moment) -> Option<Voter> {
        let (acceptor, sight) = self.voting.sightings.store_of(agent)?;
        let heard = sight.heard.is_some_and(|at| now.since(at) <= crate::judge::HEARD_WITHIN);
        let (agent, region) = sight.holder.clone()?;
        heard.then_some(Voter { acceptor, agent, region, key: sight.key })
    }

    /// Is this very store heard, and not only its agent?
    pub(super) fn store_heard(
        &self,
        voter: &Voter,
        within: std::time::Duration,
        now: Moment,
    ) -> bool {
        if voter.agent == self.config.agent {
            return self.acceptor.as_ref().is_none_or(|own| own.id() == voter.acceptor)
                && self.voting.quarantined.is_none();
        }
        let presented = self.voting.sightings.store_of(&voter.agent);
        self.peers.heard_within(&voter.agent, within, now)
            && presented.is_none_or(|(acceptor, _)| acceptor == voter.acceptor)
    }
}
