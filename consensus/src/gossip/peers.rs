//! Whom we hear directly, how far away they are, and what they say they are doing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::message::Pulse;
use crate::model::{AgentId, AppId, CredentialId, Region, Token};
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
    /// The credentials it holds.
    pub credentials: Vec<CredentialId>,
}

/// Every agent that was ever heard.
#[derive(Debug, Default)]
pub struct Peers {
    peers: BTreeMap<AgentId, Peer>,
}

const RTT_MOST: Duration = Duration::from_secs(2);
/// Agents a mesh may have: beyond it, strangers with valid certificates are not remembered.
const PEER_LIMIT: usize = 1024;

impl Peers {
    /// Nobody was heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An agent said something, whatever it was. Was it not being heard before?
    pub fn on_heard(&mut self, agent: &AgentId, now: Moment) -> bool {
        if !self.peers.contains_key(agent) && self.peers.len() >= PEER_LIMIT {
            return false;
        }
        let peer = self.peers.entry(agent.clone()).or_insert_with(|| Peer {
            heard: now,
            told: false,
            instance: 0,
            region: None,
            rtt: None,
            echoed: now,
            working: BTreeMap::new(),
            credentials: Vec::new(),
        });
        peer.heard = peer.heard.max(now);
        !std::mem::replace(&mut peer.told, true)
    }

    /// An agent says that it runs.
    pub fn on_pulse(&mut self, agent: &AgentId, pulse: &Pulse, now: Moment) {
        let Some(peer) = self.peers.get_mut(agent) else { return };
        if peer.instance != pulse.instance {
            peer.working.clear();
        }
        peer.instance = pulse.instance;
        peer.region = Some(pulse.region.clone());
        peer.credentials.clone_from(&pulse.credentials);
        peer.working.retain(|app, _| pulse.working.iter().any(|(it, _)| it == app));
        for (app, token) in &pulse.working {
            peer.working.insert(app.clone(), (*token, now));
        }
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
