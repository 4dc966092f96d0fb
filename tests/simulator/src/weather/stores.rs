//! What befalls stores for good, and what people change about who votes.
//!
//! A store that is lost never votes again, so there are never more of them than the voters in force can spare. A copy from
//! before is noticed only by those who have heard of more (PROTOCOL.md A.4): it comes back only where, whoever answers,
//! somebody has.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::model::{AcceptorId, AgentId, Voter, Voters, VotersChange};
use consensus::outbox::Command;

use super::Simulation;
use crate::network::Place;

/// What others heard is on their disks by then, and whoever was asked has answered.
const NOTICED: Duration = Duration::from_secs(25);

/// Some agent's disk is gone.
pub(super) fn wipe_one(simulation: &mut Simulation) {
    let place = simulation.some_place();
    if simulation.can_lose(place) {
        simulation.count("disks lost");
        simulation.wipe(place);
    }
}

/// Some agent's disk is copied, and that copy put in its place later.
pub(super) fn roll_one_back(simulation: &mut Simulation) {
    let place = simulation.some_place();
    if simulation.agents[place].copy.is_some() {
        return;
    }
    simulation.copy_disk(place);
    let span = NOTICED + simulation.some_span(&[1, 20, 60]);
    simulation.later(span, move |simulation| {
        if simulation.can_lose(place) && simulation.would_be_noticed(place) {
            simulation.count("disks rolled back");
            simulation.restore_disk(place);
        }
        simulation.agents[place].copy = None;
    });
}

/// Somebody changes who votes.
pub(super) fn change_voters(simulation: &mut Simulation) {
    let place = simulation.some_place();
    let voters = simulation.electorate.latest().clone();
    let members: Vec<AgentId> = voters.members.iter().map(|voter| voter.agent.clone()).collect();
    let ready: Vec<AgentId> = simulation
        .agents
        .iter()
        .filter(|agent| agent.running())
        .filter(|agent| {
            agent
                .config
                .ballots
                .as_ref()
                .is_some_and(|store| voters.by_acceptor(store.acceptor).is_none())
        })
        .map(|agent| agent.id.clone())
        .collect();
    let old = simulation.chance.pick(&members).clone();
    let new = if ready.is_empty() { old.clone() } else { simulation.chance.pick(&ready).clone() };
    let change = match simulation.chance.below(4) {
        0 if members.len() < 7 => VotersChange::Add { agent: new },
        1 if members.len() > 3 => VotersChange::Remove { agent: old },
        _ => VotersChange::Replace { old, new },
    };
    simulation.say(|| format!("asks to {change}"));
    simulation.command(place, Command::Voters { change, by: "operator".into() });
}

impl Simulation {
    /// An agent's disk is gone; its process comes back with a new one.
    pub fn wipe(&mut self, place: Place) {
        let id = self.agents[place].id.clone();
        self.transcript.say(self.now, Some(&id), || "loses its disk".into());
        self.crash(place);
        self.agents[place].lose_store(&mut self.chance);
        self.lost = self.now;
        self.start(place);
    }

    /// Somebody copies an agent's disk.
    pub fn copy_disk(&mut self, place: Place) {
        let agent = &mut self.agents[place];
        agent.copy = Some((agent.disk.clone(), agent.config.ballots.clone()));
        let id = agent.id.clone();
        self.transcript.say(self.now, Some(&id), || "has its disk copied".into());
    }

    /// An agent comes back from the copy of its disk.
    pub fn restore_disk(&mut self, place: Place) {
        let Some((disk, store)) = self.agents[place].copy.take() else { return };
        let id = self.agents[place].id.clone();
        self.transcript.say(self.now, Some(&id), || "comes back from a copy of its disk".into());
        self.crash(place);
        let agent = &mut self.agents[place];
        (agent.disk, agent.config.ballots, agent.doomed) = (disk, store, true);
        self.lost = self.now;
        self.start(place);
    }

    /// Could the voters in force go on if this agent lost the store it holds? One is lost at a time.
    fn can_lose(&self, place: Place) -> bool {
        self.goes_on_without(&BTreeSet::from([place])) && self.now >= self.lost + NOTICED
    }

    /// Could the voters go on without these agents? A set that was agreed on, and that nobody else knows of yet, is found out
    /// only by a quorum of the one before (seeds 5426 and 7740).
    pub fn goes_on_without(&self, away: &BTreeSet<Place>) -> bool {
        let stays = |id: &AgentId| self.place(id).is_some_and(|it| !away.contains(&it));
        let others = self.agents.iter().filter(|agent| stays(&agent.id));
        let known = others.map(|agent| agent.version).max().unwrap_or_default();
        let go_on = |voters: &Voters| {
            let left = voters.all().filter(|voter| stays(&voter.agent) && self.holds(voter));
            voters.quorum(&left.map(|voter| voter.acceptor).collect())
        };
        self.electorate.since(known).all(go_on)
    }

    /// Is there no quorum, with a store whose copy comes back, of voters whose disks know of nothing newer?
    fn would_be_noticed(&self, place: Place) -> bool {
        let Some((copy, Some(store))) = &self.agents[place].copy else { return true };
        let me = store.acceptor;
        let voters = self.electorate.latest();
        let knows = |voter: &Voter| {
            let place = self.place(&voter.agent);
            let disk = place.map(|place| self.agents[place].disk.durable());
            let seen = disk.and_then(|disk| disk.sightings.get(&me).copied());
            self.holds(voter) && seen > Some(copy.durable().changes)
        };
        let blind = voters.all().filter(|voter| voter.acceptor != me && !knows(voter));
        let blind: BTreeSet<AcceptorId> = blind.map(|it| it.acceptor).chain([me]).collect();
        !voters.quorum(&blind)
    }

    /// People see to it that every voter whose store is gone, and whose agent runs, votes with its new one.
    pub fn replace_lost_stores(&mut self) {
        let voters = self.electorate.latest();
        let lost = voters.members.iter().find(|voter| {
            let place = self.place(&voter.agent);
            !self.holds(voter) && place.is_some_and(|place| self.agents[place].answers())
        });
        let Some(agent) = lost.map(|voter| voter.agent.clone()).filter(|_| !voters.joint()) else {
            return;
        };
        let asked = (0..self.agents.len()).find(|place| self.agents[*place].answers());
        if let Some(place) = asked {
            let change = VotersChange::Replace { old: agent.clone(), new: agent };
            self.say(|| format!("people {change}"));
            self.command(place, Command::Voters { change, by: "operator".into() });
        }
    }
}
