//! Whatever an agent writes, sends or shows is held against what may be.

use consensus::message::{Accepted, BallotBody, LeaseBody, LeaseMessage, Message};
use consensus::model::{AgentId, DecisionKind, Evidence, Phase, RegisterId, Voter};
use consensus::node::Node;
use consensus::saved::Entry;
use consensus::value;

use super::Simulation;
use crate::check::Found;
use crate::check::evidence;
use crate::check::following;
use crate::check::lease;
use crate::check::register::{self, Link};
use crate::check::witness::Speaker;
use crate::network::Place;

impl Simulation {
    /// A set of voters is in force, perhaps a new one.
    fn elected(&mut self, new: bool) {
        if !new {
            return;
        }
        let voters = self.electorate.latest().clone();
        if !voters.joint() {
            let mut found: Found = Vec::new();
            let links = self.registers.on_elected(self.now, &voters, &mut found);
            self.agreed_anew(links, &mut found);
            self.report(found);
        }
        self.count(if voters.joint() { "changes of voters begun" } else { "changes of voters" });
        self.look_at_links();
        self.outside_changed();
        let name = |how: &str, it: &Voter| format!("{how}{} ({})", it.agent, it.acceptor);
        self.say(|| {
            let moves: Vec<String> = match voters.joint() {
                true => (voters.leaving().map(|it| name("without ", it)))
                    .chain(voters.arriving().map(|it| name("with ", it)))
                    .collect(),
                false => voters.members.iter().map(|it| it.agent.to_string()).collect(),
            };
            let set = if voters.joint() { "two sets" } else { "one set" };
            format!("voters version {}, {set}: {}", voters.version, moves.join(" "))
        });
    }

    /// A record is durable: what that means for whoever holds agents to their word.
    pub(super) fn made_durable(&mut self, place: Place, entry: Entry) {
        let mut found: Found = Vec::new();
        let agent = &mut self.agents[place];
        self.words.on_save(&agent.id, &entry, agent.disk.durable(), &mut found);
        agent.disk.save(entry.clone());
        let store = agent.config.ballots.as_ref().map(|store| store.acceptor);
        let version = agent.version;
        match (entry, store) {
            (Entry::Accepted { register: RegisterId::App(app), accepted }, Some(store)) => {
                let value = (&app, accepted.ballot, &accepted.value);
                let links = self.registers.on_accepted(
                    self.now,
                    (store, version),
                    &self.electorate,
                    value,
                    &mut found,
                );
                self.aim_at_accepted(&app, accepted.ballot);
                self.agreed_anew(links, &mut found);
            }
            (Entry::Accepted { register: RegisterId::Voters, accepted }, Some(store)) => {
                let (agent, at) = (&agent.id, agent.clock.boot(self.now));
                let silent = |store| self.witnesses.silent(agent, store, at);
                self.electorate.before_accepted(agent, &accepted, silent, &mut found);
                let new =
                    self.electorate.on_accepted(self.now, (store, version), &accepted, &mut found);
                self.elected(new);
            }
            (Entry::Chosen { register: RegisterId::Voters, accepted }, _) => {
                self.electorate.on_learned(&accepted, &mut found);
                self.agents[place].goes_by(&accepted);
            }
            (Entry::Chosen { register: RegisterId::App(app), accepted }, _) => {
                self.registers.on_learned(&app, accepted.ballot, &accepted.value, &mut found);
                self.aim_at_learned(place, &app, accepted.ballot);
            }
            _ => {}
        }
        self.report(found);
    }

    /// The agreed history has grown.
    fn agreed_anew(&mut self, links: Vec<Link>, found: &mut Found) {
        for link in links {
            register::follows(&link, found);
            evidence::certified(&self.electorate, &link, found);
            let voters = self.electorate.latest();
            let gone = self.agents.iter().filter(|agent| !agent.answers());
            let gone = gone.map(|agent| agent.id.clone()).collect();
            let all = (&self.world, voters, &gone);
            self.truth.on_decided(link.accepted, all, &link, found);
            let observers = self.heard_observers();
            let crowd = (&self.world, &observers[..]);
            self.truth.on_contested(link.accepted, crowd, &link, found);
            self.truth.on_vouched(link.accepted, (voters, &observers), &link, found);
            self.acts.on_agreed(self.now, &link, found);
            lease::decided(self.now, &self.world, &link, found);
            // One that nobody chose is taken back without people, and says nothing of what it would have promoted.
            let taken_back = !link.after.decision.candidates.is_empty()
                && link.before.as_ref().is_some_and(|it| it.phase == Phase::Promoting);
            self.world.on_agreed(&link.after, taken_back);
            let app = &link.after.definition.name;
            if taken_back && link.after.phase == Phase::Aborting && !self.forgiven.contains(app) {
                found.push(("people alone give up", format!("{app}: a promotion was taken back")));
            }
            following::agreed(link.accepted, &self.world, voters, &link, found);
            let states: Vec<_> = self.apps.keys().filter_map(|app| self.agreed(app)).collect();
            self.fleet.on_agreed(self.now, voters, &link, &states, found);
            self.decided(&link);
        }
    }

    /// A store is about to accept a decision that evidence was given for; the proposer's own word never left it.
    pub(super) fn check_acceptance(&mut self, place: Place, entry: &Entry) {
        let Entry::Accepted { register: RegisterId::App(app), accepted } = entry else { return };
        let chosen = self.registers.latest(app).is_some_and(|it| it.ballot >= accepted.ballot);
        let Ok(state) = value::decode(&accepted.value) else { return };
        let agent = &self.agents[place];
        let decision = &state.decision;
        let certificate = match state.phase {
            Phase::Fencing | Phase::Publishing => &decision.first,
            Phase::Promoting => &decision.second,
            _ => &None,
        };
        let claims = state.claim.as_ref().is_some_and(|claim| claim.agent == agent.id);
        let own = self.chronicle.owner(accepted.ballot) == Some(place);
        let own = own || decision.by == agent.id || claims;
        let fresh = certificate.as_ref().is_some_and(|it| it.ballot == accepted.ballot);
        if chosen || own || !fresh || decision.kind != DecisionKind::Failover {
            return;
        }
        let mut found: Found = Vec::new();
        let who = (&agent.id, agent.clock.boot(self.now));
        self.witnesses.on_accept(who, (app, accepted.ballot), &state, &mut found);
        self.report(found);
    }

    fn check_evidence(&mut self, place: Place, evidence: &Evidence) {
        let agent = &self.agents[place];
        let shows = agent.node.as_ref().map(Node::states).unwrap_or_default();
        let speaker = Speaker {
            agent: &agent.id,
            at: agent.clock.boot(self.now),
            voters: self.electorate.at(agent.version).unwrap_or(&agent.config.voters),
            canaries: agent.config.canaries.len(),
            watched: shows.iter().flat_map(|it| it.definition.targets()).map(|it| it.0).collect(),
        };
        let state = self.held(place, &evidence.statement.app);
        let definition = state.as_ref().map(|state| &*state.definition);
        let mut found: Found = Vec::new();
        self.witnesses.on_statement(&speaker, evidence, definition, &mut found);
        self.report(found);
    }

    pub(super) fn check_message(&mut self, place: Place, message: &Message) {
        if let Message::Evidence(evidence) = message {
            return self.check_evidence(place, evidence);
        }
        if let Message::Relayed(relayed) = message
            && relayed.from == self.agents[place].id
        {
            return self.check_message(place, &relayed.letter.clone().open());
        }
        if let Message::Chosen { register: RegisterId::App(app), accepted } = message {
            self.aim_at_learned(place, app, accepted.ballot);
        }
        let Message::Ballot(ballot) = message else { return };
        let mut found: Found = Vec::new();
        let agent = &self.agents[place];
        self.words.on_send(&agent.id, ballot, agent.disk.durable(), &mut found);
        if let BallotBody::Accept { value, .. } = &ballot.body {
            let (at, value) = (ballot.ballot, value.clone());
            match &ballot.register {
                RegisterId::App(app) => {
                    self.registers.on_value(self.now, (app, at, &value), &mut found);
                }
                RegisterId::Voters => {
                    self.electorate.on_value(&Accepted { ballot: at, value }, &mut found);
                }
            }
        }
        self.report(found);
        if let RegisterId::App(app) = &ballot.register {
            self.aim_at_message(place, app, ballot);
        }
    }

    /// Something is said of a lease, to that agent.
    pub(super) fn check_lease(&mut self, place: Place, to: &AgentId, message: &LeaseMessage) {
        if matches!(message.body, LeaseBody::Granted { .. }) {
            let granted = (message.app.clone(), message.stack.clone(), to.clone());
            self.world.doors.granted.insert(granted);
        }
        let agent = &self.agents[place];
        let mut found: Found = Vec::new();
        self.words.on_lease((&agent.id, to), message, agent.disk.durable(), &mut found);
        self.report(found);
    }

    /// Somebody reads what an agent shows.
    pub(super) fn look_at_view(&mut self, place: Place) {
        let agent = &self.agents[place];
        let shows = agent.node.as_ref().map(Node::states).unwrap_or_default();
        let by = (agent.id.clone(), agent.run);
        let mut found: Found = Vec::new();
        for state in shows {
            self.history.on_shown((&by.0, by.1), &state, &self.registers, &mut found);
        }
        self.report(found);
    }
}
