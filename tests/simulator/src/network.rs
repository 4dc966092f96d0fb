//! What lies between agents: links that come and go, and messages that are late, lost, doubled and out of order.
//!
//! Every direction between two agents has its own faults, so partitions may be one-way and partial. A *link* is what
//! QUIC makes of both directions: it comes up after a handshake, goes down after an idle timeout, and a message on a
//! stream is retransmitted for as long as its link lives. Datagrams are sent once. Knows nothing of what is said.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::moment::Moment;

use super::chance::Chance;

/// QUIC's idle timeout in production is of this order; what matters is that it is no shorter than a voter's window.
pub const IDLE: Duration = Duration::from_secs(3);
/// How long until a lost packet of a stream is sent again.
pub const RETRANSMIT: Duration = Duration::from_millis(250);

/// An agent, by its place in the mesh.
pub type Place = usize;

/// One direction between two agents.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// How long a packet travels at least.
    pub latency: Duration,
    /// How much longer it may travel.
    pub jitter: Duration,
    /// The share of packets that are lost.
    pub loss: f64,
    /// The share of messages that arrive twice.
    pub repeat: f64,
    /// Does nothing pass?
    pub cut: bool,
}

/// A connection of two agents.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// Is it up?
    up: bool,
    /// Counts connections, so that what was said on an older one is not heard on a newer.
    generation: u64,
    /// Since when could packets not pass both ways, or could again.
    changed: Moment,
    /// Could they, when last looked at?
    able: bool,
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Once, as a datagram.
    Datagram,
    /// On a stream of this connection.
    Stream(u64),
}

/// What becomes of a link when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Stays,
    /// It comes up.
    Up,
    /// It goes down.
    Down,
    /// It may, and is to be looked at again then.
    Again(Moment),
}

/// All links of a mesh.
#[derive(Clone, Debug)]
pub struct Network {
    edges: BTreeMap<(Place, Place), Edge>,
    links: BTreeMap<(Place, Place), Link>,
}

impl Network {
    /// A whole network: `regions` says where everybody is, and pairs of regions draw how far apart they are.
    pub fn new(regions: &[&str], farthest: Duration, chance: &mut Chance) -> Self {
        let mut distances = BTreeMap::new();
        let mut edges = BTreeMap::new();
        let mut links = BTreeMap::new();
        for (from, region) in regions.iter().enumerate() {
            for (to, other) in regions.iter().enumerate() {
                let pair = (region.min(other), region.max(other));
                let distance = *distances.entry(pair).or_insert_with(|| match region == other {
                    true => Duration::from_micros(300),
                    false => chance.between(Duration::from_millis(2), farthest),
                });
                edges.insert((from, to), Edge::calm(distance));
                if from < to {
                    links.insert((from, to), Link::default());
                }
            }
        }
        Self { edges, links }
    }

    /// One direction.
    pub fn edge(&self, from: Place, to: Place) -> &Edge {
        &self.edges[&(from, to)]
    }

    /// One direction, to be made worse.
    pub fn edge_mut(&mut self, from: Place, to: Place) -> &mut Edge {
        self.edges.get_mut(&(from, to)).expect("every pair has an edge")
    }

    /// Every direction, to be made worse or well.
    pub fn edges_mut(&mut self) -> impl Iterator<Item = &mut Edge> {
        self.edges.values_mut()
    }

    /// Everything passes again; distances stay.
    pub fn heal(&mut self) {
        for edge in self.edges.values_mut() {
            *edge = Edge::calm(edge.latency);
        }
    }

    /// Does everything pass everywhere, at once and in order?
    pub fn calm(&self) -> bool {
        self.edges.values().all(|edge| {
            !edge.cut && edge.loss == 0.0 && edge.repeat == 0.0 && edge.jitter.is_zero()
        })
    }

    /// Do packets pass both ways?
    pub fn open(&self, one: Place, other: Place) -> bool {
        !self.edge(one, other).cut && !self.edge(other, one).cut
    }

    /// The connection these two have now.
    pub fn connection(&self, one: Place, other: Place) -> Option<u64> {
        let link = self.links[&ordered(one, other)];
        link.up.then_some(link.generation)
    }

    /// Looks at a link. `able`: can both ends answer, and do packets pass both ways?
    pub fn turn(&mut self, one: Place, other: Place, able: bool, now: Moment) -> Turn {
        let handshake = (self.edge(one, other).latency + self.edge(other, one).latency) * 2;
        let link = self.links.get_mut(&ordered(one, other)).expect("every pair has a link");
        if link.able != able {
            link.able = able;
            link.changed = now;
        }
        let (settled, due) = match (link.up, able) {
            (true, true) | (false, false) => return Turn::Stays,
            (false, true) => (Turn::Up, link.changed + handshake),
            (true, false) => (Turn::Down, link.changed + IDLE),
        };
        if now < due {
            return Turn::Again(due);
        }
        link.up = able;
        link.generation += 1;
        settled
    }

    /// Ends a connection at once, as a new start of one end does.
    pub fn reset(&mut self, one: Place, other: Place, now: Moment) -> bool {
        let link = self.links.get_mut(&ordered(one, other)).expect("every pair has a link");
        let was = link.up;
        *link = Link { up: false, generation: link.generation + 1, changed: now, able: false };
        was
    }

    /// When a message sent now arrives: nowhere, once, or more often.
    pub fn travel(&self, from: Place, to: Place, way: Way, chance: &mut Chance) -> Vec<Duration> {
        let edge = self.edge(from, to);
        let flight =
            |chance: &mut Chance| edge.latency + chance.between(Duration::ZERO, edge.jitter);
        let mut arrivals = Vec::with_capacity(1);
        match way {
            Way::Datagram if edge.cut || chance.happens(edge.loss) => return arrivals,
            Way::Datagram => arrivals.push(flight(chance)),
            Way::Stream(_) => {
                let mut late = Duration::ZERO;
                while chance.happens(edge.loss.min(0.9)) {
                    late += RETRANSMIT;
                }
                arrivals.push(late + flight(chance));
            }
        }
        if chance.happens(edge.repeat) {
            arrivals.push(flight(chance) * 3);
        }
        arrivals
    }
}

impl Edge {
    const fn calm(latency: Duration) -> Self {
        Self { latency, jitter: Duration::ZERO, loss: 0.0, repeat: 0.0, cut: false }
    }
}

const fn ordered(one: Place, other: Place) -> (Place, Place) {
    if one < other { (one, other) } else { (other, one) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Network {
        Network::new(&["r1", "r2"], Duration::from_millis(20), &mut Chance::new(3))
    }

    #[test]
    fn a_link_comes_up_after_a_handshake_and_goes_down_after_the_idle_timeout() {
        let mut network = pair();
        let start = Moment::from_micros(1_000_000);
        let Turn::Again(up) = network.turn(0, 1, true, start) else {
            panic!("a handshake takes time")
        };
        assert_eq!(network.turn(0, 1, true, up), Turn::Up);
        let first = network.connection(0, 1);
        assert!(first.is_some());
        assert_eq!(network.turn(0, 1, false, up), Turn::Again(up + IDLE));
        assert_eq!(network.turn(0, 1, true, up + IDLE / 2), Turn::Stays);
        assert_eq!(network.turn(0, 1, false, up + IDLE), Turn::Again(up + IDLE * 2));
        assert_eq!(network.turn(0, 1, false, up + IDLE * 2), Turn::Down);
        assert_eq!(network.connection(1, 0), None);
    }

    #[test]
    fn a_cut_direction_loses_datagrams_of_that_direction_alone() {
        let mut network = pair();
        network.edge_mut(0, 1).cut = true;
        let chance = &mut Chance::new(1);
        assert!(network.travel(0, 1, Way::Datagram, chance).is_empty());
        assert_eq!(network.travel(1, 0, Way::Datagram, chance).len(), 1);
        assert!(!network.open(1, 0));
    }
}
