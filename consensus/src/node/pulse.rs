//! Signs of life: who is heard, by what it says once a second, and what this agent says of itself as often.

use std::sync::Arc;

use super::Node;
use super::app::App;
use super::stir::Stir;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::judge::HEARD_WITHIN;
use crate::message::{Message, Pulse};
use crate::model::{AgentId, AppId, Ballot, RegisterId};
use crate::moment::Moment;
use crate::outbox::Note;

/// States told to one agent at one of its pulses, so that a newcomer is not flooded.
const TOLD_AT_ONCE: usize = 4;

impl Node {
    /// Is this to be heeded? Whoever says something is heard, unless it may have said so long ago: a pulse or an answer that
    /// was overtaken says nothing of now, and gossip never tells when it was sent.
    pub(super) fn heeds(&mut self, from: &AgentId, message: &Message, now: Moment) -> bool {
        let news = match message {
            Message::Gossip(_) => false,
            Message::Pulse(pulse) => self.peers.is_news(from, (pulse.instance, pulse.sent), now),
            Message::Echo { sent, instance, .. } => {
                *instance == self.instance && self.peers.answers_anew(from, *sent, now)
            }
            _ => true,
        };
        #[cfg(feature = "mutants")]
        let news = news || self.broken(Mutant::OvertakenHeard);
        if news {
            self.on_heard(from, now);
        }
        news || matches!(message, Message::Gossip(_))
    }

    fn on_heard(&mut self, agent: &AgentId, now: Moment) {
        if self.peers.on_heard(agent, now) {
            self.out.note(Note::Hears(agent.clone()));
        }
    }

    /// Somebody runs. What follows concerns the apps of which it has given a step up: whoever comes next comes at once, before
    /// those after it do.
    pub(super) fn on_pulse(&mut self, from: &AgentId, pulse: &Pulse, now: Moment) -> Stir {
        let given_up = self.peers.on_pulse(from, pulse, now);
        self.dismiss(from, pulse, now);
        let seen = self.on_pulse_of_store(from, pulse, now);
        let (sent, instance) = (pulse.sent, pulse.instance);
        self.out.send(from, Message::Echo { sent, instance, seen });
        // Whoever knows less is told: this is how a joiner and a healed partition catch up.
        let mut told = 0;
        for (app, it) in &self.apps {
            let Some(known) = &it.chosen else { continue };
            if told >= TOLD_AT_ONCE {
                break;
            }
            let register = RegisterId::from(app);
            let theirs = pulse.chosen.iter().find(|(name, _)| *name == register);
            if theirs.map_or(Ballot::ZERO, |(_, ballot)| *ballot) < known.ballot {
                told += 1;
                self.out.send(from, Message::Chosen { register, accepted: known.accepted() });
            }
        }
        if given_up.is_empty() { Stir::Nothing } else { Stir::Some(given_up) }
    }

    /// How well this agent is by what happened since the last pulse: whoever is heard should answer.
    pub(super) fn feel(&mut self, now: Moment) {
        if self.membership.refuted() {
            self.selfcheck.wellness.on_refuted();
        }
        let within = |at: Moment| now.since(at) <= HEARD_WITHIN;
        let heard: Vec<_> = self.peers.iter().filter(|(_, it)| within(it.heard)).collect();
        let answered = heard.iter().filter(|(_, it)| within(it.echoed)).count();
        if self.selfcheck.wellness.on_beat(answered, heard.len()) {
            self.judge.on_stretch(self.selfcheck.wellness.stretch(), now);
        }
    }

    pub(super) fn pulse(&mut self, now: Moment) {
        let chosen = |(app, it): (&AppId, &App)| Some((app.into(), it.chosen.as_ref()?.ballot));
        let working = |(app, it): (&AppId, &App)| Some((app.clone(), it.work.as_ref()?.token));
        let (granted, open) = self.leases_said(now);
        let voters = self.config.voters.agents().into_iter();
        let pulse = Arc::new(Pulse {
            granted,
            open,
            sent: now,
            instance: self.instance,
            region: self.config.region.clone(),
            chosen: self.apps.iter().filter_map(chosen).collect(),
            working: self.apps.iter().filter_map(working).collect(),
            troubles: self.troubles(now),
            voters: self.config.voters.version,
            changing: self.changes_voters(now),
            store: self.store_hello(),
            credentials: self.config.credentials.clone(),
            hears: voters.filter(|agent| self.answers(agent, now)).cloned().collect(),
        });
        for agent in self.everybody() {
            self.out.send(&agent, Message::Pulse(pulse.clone()));
        }
    }
}
