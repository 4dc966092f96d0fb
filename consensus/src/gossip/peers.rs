//! Whom we hear directly, how far away they are, and what they say they are doing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::message::{Pulse, Trouble};
use crate::model::{AgentId, AppId, CredentialId, Region, StackId, Token};
use crate::moment::Moment;

/// One agent that was heard.
#[derive(Clone, Debug)]
pub struct Peer {
    /// When it was last heard, whatever it said.
    pub heard: Moment,
    /// Did we tell people that it is heard?
    pub told: bool,
    /// The run of its process.
    pub instance: u64,
    /// Where it is.
    pub region: Option<Region>,
    /// The last round trip.
    pub rtt: Option<Duration>,
    /// When it last answered one of our pulses.
    pub echoed: Moment,
    /// What it is carrying out, and when it last said so.
    pub working: BTreeMap<AppId, (Token, Moment)>,
    /// What it does not get done, and when it first said that it gave it up.
    pub troubles: BTreeMap<AppId, (Trouble, Option<Moment>)>,
    /// The credentials it holds.
    pub credentials: Vec<CredentialId>,
    /// When this run of it was first heard.
    pub since: Moment,
    /// Of a voter: which stack it last said it granted leases to, and when the last of them ends.
    pub granted: BTreeMap<AppId, (StackId, Moment)>,
    /// Of a guard: what it holds open, and until when by its last word.
    pub open: BTreeMap<(AppId, StackId), Moment>,
    /// The voters that it hears and that answer it, as it last said.
    pub hears: Vec<AgentId>,
    /// When it said so.
    pub pulsed: Moment,
    /// The newest pulse of each of its last runs, by its own clock.
    runs: Vec<(u64, Moment)>,
    /// The newest of our pulses that it answered.
    answered: Option<Moment>,
}

/// Every agent that was ever heard.
#[derive(Debug, Default)]
pub struct Peers {
    peers: BTreeMap<AgentId, Peer>,
}

const RTT_MOST: Duration = Duration::from_secs(2);
/// Voters that one agent may say it hears.
const HEARS_LIMIT: usize = 64;
/// Steps that one agent may say it does not get done.
pub const TROUBLES_LIMIT: usize = 64;
/// Runs of one agent of which late pulses are told from new ones.
const RUNS_LIMIT: usize = 8;
/// Agents a mesh may have: beyond it, strangers with valid certificates are not remembered.
const PEER_LIMIT: usize = 1024;

impl Peers {
    /// Nobody was heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An agent said something, whatever it was. Was it not being heard before?
    pub fn on_heard(&mut self, agent: &AgentId, now: Moment) -> bool {
        let Some(peer) = self.known(agent, now) else { return false };
        peer.heard = peer.heard.max(now);
        !std::mem::replace(&mut peer.told, true)
    }

    /// What is known of an agent from now on; nothing of one too many.
    fn known(&mut self, agent: &AgentId, now: Moment) -> Option<&mut Peer> {
        if !self.peers.contains_key(agent) && self.peers.len() >= PEER_LIMIT {
            return None;
        }
        Some(self.peers.entry(agent.clone()).or_insert_with(|| Peer {
            heard: now,
            told: false,
            instance: 0,
            region: None,
            rtt: None,
            echoed: now,
            working: BTreeMap::new(),
            troubles: BTreeMap::new(),
            credentials: Vec::new(),
            since: now,
            granted: BTreeMap::new(),
            open: BTreeMap::new(),
            hears: Vec::new(),
            pulsed: now,
            runs: Vec::new(),
            answered: None,
        }))
    }

    /// Was this pulse of an agent sent after all that came of the same run so far? One that was overtaken, or comes twice,
    /// tells how it was then, and not that it is there.
    pub fn is_news(&mut self, agent: &AgentId, run: (u64, Moment), now: Moment) -> bool {
        let (instance, sent) = run;
        let Some(peer) = self.known(agent, now) else { return true };
        if let Some((_, newest)) = peer.runs.iter_mut().find(|(run, _)| *run == instance) {
            let news = *newest < sent;
            *newest = sent.max(*newest);
            return news;
        }
        if peer.runs.len() >= RUNS_LIMIT {
            peer.runs.remove(0);
        }
        peer.runs.push((instance, sent));
        true
    }

    /// Did an agent answer a pulse of ours that we sent after all that it answered before?
    pub fn answers_anew(&mut self, agent: &AgentId, sent: Moment, now: Moment) -> bool {
        let Some(peer) = self.known(agent, now) else { return true };
        let news = peer.answered.is_none_or(|newest| newest < sent);
        peer.answered = peer.answered.max(Some(sent));
        news
    }

    /// An agent says that it runs. Gives the apps of which it has just given a step up.
    pub fn on_pulse(&mut self, agent: &AgentId, pulse: &Pulse, now: Moment) -> BTreeSet<AppId> {
        let Some(peer) = self.peers.get_mut(agent) else { return BTreeSet::new() };
        if peer.instance != pulse.instance {
            peer.working.clear();
            peer.troubles.clear();
            peer.since = now;
        }
        peer.instance = pulse.instance;
        peer.region = Some(pulse.region.clone());
        peer.credentials.clone_from(&pulse.credentials);
        peer.hears.clone_from(&pulse.hears);
        peer.hears.truncate(HEARS_LIMIT);
        peer.pulsed = now;
        peer.working.retain(|app, _| pulse.working.iter().any(|(it, _)| it == app));
        for (app, token) in &pulse.working {
            peer.working.insert(app.clone(), (*token, now));
        }
        let troubles = pulse.troubles.iter().filter(|it| it.why.len() <= Trouble::WHY_MOST);
        let troubles = troubles.take(TROUBLES_LIMIT);
        let troubles = troubles.map(|told| {
            let before = peer.troubles.get(&told.app).filter(|(it, _)| it.is_of(told));
            let since = before.and_then(|(_, since)| *since);
            (told.app.clone(), (told.clone(), told.gave_up.then(|| since.unwrap_or(now))))
        });
        peer.troubles = troubles.collect();
        let given_up = peer.troubles.iter().filter(|(_, (_, since))| *since == Some(now));
        let given_up = given_up.map(|(app, _)| app.clone()).collect();
        peer.granted.clear();
        for said in &pulse.granted {
            let end = now + said.left;
            let (_, until) =
                peer.granted.entry(said.app.clone()).or_insert((said.stack.clone(), end));
            *until = end.max(*until);
        }
        let mine = pulse.open.iter().filter(|said| said.guard == *agent);
        peer.open = mine.map(|it| ((it.app.clone(), it.stack.clone()), now + it.left)).collect();
        given_up
    }

    /// A guard said that it is shut.
    pub fn on_released(&mut self, agent: &AgentId, app: &AppId, stack: &StackId) {
        if let Some(peer) = self.peers.get_mut(agent) {
            peer.open.remove(&(app.clone(), stack.clone()));
        }
    }

    /// Until when a voter's grants to another stack than this may run, by its last word.
    pub fn granted(&self, voter: &AgentId, app: &AppId, but: &StackId) -> Moment {
        let granted = self.peers.get(voter).and_then(|peer| peer.granted.get(app));
        granted.filter(|(stack, _)| stack != but).map_or(Moment::ZERO, |(_, until)| *until)
    }

    /// Until when a guard holds a stack open, by its last word.
    pub fn open(&self, guard: &AgentId, app: &AppId, stack: &StackId) -> Moment {
        let open = self.peers.get(guard).map(|peer| &peer.open);
        open.and_then(|open| open.get(&(app.clone(), stack.clone())))
            .copied()
            .unwrap_or(Moment::ZERO)
    }

    /// An agent heard our pulse.
    pub fn on_echo(&mut self, agent: &AgentId, sent: Moment, now: Moment) {
        if let Some(peer) = self.peers.get_mut(agent) {
            // The echo is another's word on when we spoke; no link is this slow.
            peer.rtt = Some(now.since(sent).min(RTT_MOST));
            peer.echoed = now;
        }
    }

    /// Agents that fell silent since this was last asked.
    pub fn fell_silent(&mut self, now: Moment, within: Duration) -> Vec<AgentId> {
        let mut silent = Vec::new();
        for (agent, peer) in &mut self.peers {
            if peer.told && now.since(peer.heard) > within {
                peer.told = false;
                silent.push(agent.clone());
            }
        }
        silent
    }

    /// Was it heard within this long?
    pub fn heard_within(&self, agent: &AgentId, within: Duration, now: Moment) -> bool {
        self.peers.get(agent).is_some_and(|peer| now.since(peer.heard) <= within)
    }

    /// What is known of an agent.
    pub fn peer(&self, agent: &AgentId) -> Option<&Peer> {
        self.peers.get(agent)
    }

    /// Every agent that was ever heard.
    pub fn iter(&self) -> impl Iterator<Item = (&AgentId, &Peer)> {
        self.peers.iter()
    }

    /// A round trip that most of these agents stay within; a guess while none is known.
    pub fn typical_rtt<'a>(&self, agents: impl Iterator<Item = &'a AgentId>) -> Duration {
        let mut trips: Vec<_> = agents.filter_map(|agent| self.peers.get(agent)?.rtt).collect();
        trips.sort_unstable();
        trips.get(trips.len() / 2).copied().unwrap_or(Duration::from_millis(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_that_was_overtaken_is_no_news() {
        let (mut peers, agent) = (Peers::new(), "a1".parse::<AgentId>().expect("a name"));
        let at = |seconds: u64| Moment::from_micros(seconds * 1_000_000);
        assert!(peers.is_news(&agent, (1, at(5)), at(9)), "nobody has heard it before");
        assert!(peers.on_heard(&agent, at(9)));
        assert!(!peers.is_news(&agent, (1, at(4)), at(9)), "the very first came before it");
        assert!(peers.is_news(&agent, (1, at(7)), at(9)));
        assert!(!peers.is_news(&agent, (1, at(6)), at(9)), "a later one came before it");
        assert!(!peers.is_news(&agent, (1, at(7)), at(9)), "it comes twice");
        assert!(peers.is_news(&agent, (2, at(1)), at(9)), "a new run, after its host started anew");
        assert!(!peers.is_news(&agent, (1, at(7)), at(9)), "of the run before");
        assert!(peers.is_news(&agent, (2, at(2)), at(9)));
    }

    #[test]
    fn an_answer_to_an_older_pulse_is_no_news() {
        let (mut peers, agent) = (Peers::new(), "a1".parse::<AgentId>().expect("a name"));
        let at = Moment::from_micros;
        assert!(peers.answers_anew(&agent, at(2), at(9)));
        assert!(peers.on_heard(&agent, at(9)));
        assert!(!peers.answers_anew(&agent, at(1), at(9)), "the very first came before it");
        assert!(peers.answers_anew(&agent, at(9), at(9)));
        assert!(!peers.answers_anew(&agent, at(9), at(9)));
        assert!(!peers.answers_anew(&agent, at(4), at(9)));
    }
}
