//! What befalls the network between agents.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Simulation;
use crate::network::Place;

/// Some are cut off from the others: both ways or one, wholly or in part.
pub(super) fn partition(simulation: &mut Simulation) {
    let all: Vec<Place> = (0..simulation.agents.len()).collect();
    let side: BTreeSet<Place> =
        all.iter().copied().filter(|_| simulation.chance.happens(0.4)).collect();
    let (there, back, part) = (
        simulation.chance.happens(0.9),
        simulation.chance.happens(0.8),
        simulation.chance.happens(0.3),
    );
    for &from in &all {
        for &to in &all {
            let cut = match (side.contains(&from), side.contains(&to)) {
                (true, false) => there,
                (false, true) => back,
                _ => false,
            };
            if cut && !(part && simulation.chance.happens(0.4)) {
                simulation.network.edge_mut(from, to).cut = true;
            }
        }
    }
    let names: Vec<String> =
        side.iter().map(|place| simulation.agents[*place].id.to_string()).collect();
    simulation.say(|| {
        let partial = if part { ", in part" } else { "" };
        format!("cut off: {} (out {there}, in {back}{partial})", names.join(" "))
    });
    let span = simulation.chance.between(Duration::from_millis(500), Duration::from_secs(45));
    simulation.partitioned(span);
}

/// Directions between agents go one after the other, in any order, and come back in another (FoundationDB's swizzle).
pub(super) fn swizzle(simulation: &mut Simulation) {
    let count = simulation.agents.len();
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    let pairs: Vec<(Place, Place)> =
        pairs.filter(|(from, to)| from != to && simulation.chance.happens(0.4)).collect();
    let most = simulation.chance.between(Duration::from_secs(1), Duration::from_secs(30));
    for (from, to) in pairs {
        let goes = simulation.chance.between(Duration::ZERO, most);
        let back = simulation.chance.between(Duration::ZERO, most);
        simulation.later(goes, move |simulation| simulation.cut(from, to, true));
        simulation.later(most + back, move |simulation| simulation.cut(from, to, false));
    }
}

/// Packets are lost, late and doubled, on some ways or everywhere, until the next time.
pub(super) fn lose_packets(simulation: &mut Simulation) {
    let chance = &mut simulation.chance;
    let share = chance.rate(0.4);
    let late = *chance.pick(&[Duration::from_millis(400), Duration::from_secs(60)]);
    let jitter = chance.between(Duration::ZERO, late).mul_f64(chance.rate(1.0));
    let (repeat, everywhere) = (chance.rate(0.3), chance.happens(0.3));
    for edge in simulation.network.edges_mut() {
        if everywhere || chance.happens(0.3) {
            (edge.loss, edge.jitter, edge.repeat) = (share, jitter, repeat);
        }
    }
    simulation.say(|| format!("{:.0} % of packets are lost", share * 100.0));
    simulation.look_at_links();
}

impl Simulation {
    /// One direction passes nothing any more, or everything again.
    pub fn cut(&mut self, from: Place, to: Place, cut: bool) {
        self.network.edge_mut(from, to).cut = cut;
        self.look_at_links();
    }

    /// One agent is cut off from everybody.
    pub(crate) fn cut_off(&mut self, place: Place) {
        self.interrupted(place);
        for other in (0..self.agents.len()).filter(|other| *other != place) {
            self.network.edge_mut(place, other).cut = true;
            self.network.edge_mut(other, place).cut = true;
        }
        let agent = self.agents[place].id.clone();
        self.transcript.say(self.now, Some(&agent), || "is cut off from everybody".into());
    }

    /// A partition has come: it ends after a while, unless another one has come by then.
    pub(crate) fn partitioned(&mut self, span: Duration) {
        self.count("partitions");
        self.look_at_links();
        let partition = self.tally["partitions"];
        self.later(span, move |simulation| {
            if simulation.tally["partitions"] == partition {
                simulation.say(|| "the network passes everything again".into());
                for edge in simulation.network.edges_mut() {
                    edge.cut = false;
                }
                simulation.look_at_links();
            }
        });
    }

    /// Whoever carries out a step loses sight of everybody, or stands still; half the time what it asks is not answered
    /// either, so that it will want to ask again.
    pub(crate) fn cut_off_or_stop(&mut self, place: Place) {
        let span = self.chance.between(Duration::from_secs(2), Duration::from_secs(40));
        if self.chance.happens(0.3) {
            self.stop(place);
            return self.later(span, move |simulation| simulation.resume(place));
        }
        self.cut_off(place);
        self.partitioned(span);
        if self.chance.happens(0.5) {
            self.darken_server(span);
        }
    }
}
