//! Messages and links between the agents of a run.

use std::time::Duration;

use consensus::message::{GuardBody, GuardMessage, Message};
use consensus::outbox::Input;

use super::{Event, Simulation};
use crate::network::{Place, RETRANSMIT, Turn, Way};

impl Simulation {
    /// Sends a message on its way, if the two are linked.
    pub(super) fn send(&mut self, from: Place, to: Place, message: Message) {
        if from == to {
            let event = Event::Deliver { from, to, way: Way::Datagram, message };
            return self.at(self.now, event);
        }
        let Some(connection) = self.network.connection(from, to) else { return };
        let way = match message {
            Message::Gossip(_) | Message::Pulse(_) | Message::Echo { .. } => Way::Datagram,
            _ => Way::Stream(connection),
        };
        let asks = |it: &GuardMessage| matches!(it.body, GuardBody::Asks { .. });
        if matches!(&message, Message::Guard(it) if asks(it))
            && self.chance.happens(self.rates.request_repeated)
        {
            // Whatever repeats it, and however late.
            self.count("late duplicates to guards");
            let span = self.chance.between(Duration::from_millis(10), self.rates.repeated_within);
            let (way, message) = (Way::Datagram, message.clone());
            self.after(span, Event::Deliver { from, to, way, message });
        }
        for span in self.network.travel(from, to, way, &mut self.chance) {
            self.after(span, Event::Deliver { from, to, way, message: message.clone() });
        }
    }

    /// A message is there, unless something came between.
    pub(super) fn deliver(&mut self, from: Place, to: Place, way: Way, message: Message) {
        if !self.agents[to].running() {
            return;
        }
        if from != to {
            let cut = self.network.edge(from, to).cut;
            match way {
                Way::Datagram if cut => return,
                Way::Stream(generation)
                    if self.network.connection(from, to) != Some(generation) =>
                {
                    return;
                }
                Way::Stream(_) if cut => {
                    return self.after(RETRANSMIT, Event::Deliver { from, to, way, message });
                }
                _ => {}
            }
        }
        let sender = self.agents[from].id.clone();
        self.input(to, Input::Message(sender, message));
    }

    /// Looks at every link. To be called whenever the network or the life of an agent has changed.
    pub fn look_at_links(&mut self) {
        if !self.network.calm() {
            self.calm_since = self.now;
        }
        for one in 0..self.agents.len() {
            for other in one + 1..self.agents.len() {
                self.look_at_link(one, other);
            }
        }
        for place in 0..self.agents.len() {
            // Directly, or by a letter that one other agent passes on.
            let through = |other: Place| {
                (0..self.agents.len()).any(|by| self.able(place, by) && self.able(by, other))
            };
            let reached = (0..self.agents.len())
                .filter(|other| *other == place || self.able(place, *other) || through(*other))
                .map(|other| self.agents[other].id.clone())
                .collect();
            let majority = self.electorate.latest().majority_of(&reached);
            self.reach.refresh(self.now, &self.agents[place].id, majority);
        }
    }

    /// Looks at one link.
    pub(super) fn look_at_link(&mut self, one: Place, other: Place) {
        let able = self.able(one, other);
        match self.network.turn(one, other, able, self.now) {
            Turn::Stays => {}
            Turn::Again(at) => self.at(at, Event::Link(one, other)),
            Turn::Up => {
                for (here, there) in [(one, other), (other, one)] {
                    let agent = &self.agents[there];
                    let linked = Input::Linked(agent.id.clone(), agent.config.address.clone());
                    self.input(here, linked);
                }
            }
            Turn::Down => self.unlinked(one, other),
        }
    }

    /// Ends every connection of an agent that starts again: its old ones are of another run.
    pub(super) fn reset_links(&mut self, place: Place) {
        for other in (0..self.agents.len()).filter(|other| *other != place) {
            if self.network.reset(place, other, self.now) {
                self.unlinked(place, other);
            }
        }
    }

    fn unlinked(&mut self, one: Place, other: Place) {
        for (here, there) in [(one, other), (other, one)] {
            let gone = self.agents[there].id.clone();
            self.input(here, Input::Unlinked(gone));
        }
    }

    fn able(&self, one: Place, other: Place) -> bool {
        self.agents[one].connects()
            && self.agents[other].connects()
            && self.network.open(one, other)
    }
}
