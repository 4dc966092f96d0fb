//! Letters to voters that are not heard directly, by way of a third that hears both (PROTOCOL.md A.5; Nifty, OSDI'20).
//!
//! Nothing is decided by it that could not be decided otherwise: a relay can lose a letter or repeat it, as the network
//! can, and neither hurts the register. Whom an agent reaches is found out at every pulse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Node;
use super::stir::Stir;
use crate::evidence::genuine;
use crate::judge::HEARD_WITHIN;
use crate::message::{Letter, Message, Relayed};
use crate::model::{AgentId, Voter};
use crate::moment::Moment;

/// Letters that are passed on for one agent between two pulses: a few for each of its apps.
const LETTERS: u32 = 256;

/// Through whom others are reached, and what was passed on for whom.
#[derive(Debug, Default)]
pub(super) struct Relays {
    through: BTreeMap<AgentId, AgentId>,
    passed: BTreeMap<AgentId, u32>,
}

impl Relays {
    /// Through whom an agent is reached that is not heard, or does not hear us.
    pub(super) fn through(&self, agent: &AgentId) -> Option<&AgentId> {
        self.through.get(agent)
    }
}

impl Node {
    /// Voters heard just now, directly or through one other that hears them; this agent included.
    pub(super) fn voters_heard(&self, within: Duration, now: Moment) -> BTreeSet<AgentId> {
        let voters = self.config.voters.all();
        let heard = voters.filter(|it| self.voter_heard(it, within, now));
        heard.map(|voter| voter.agent.clone()).collect()
    }

    pub(super) fn voter_heard(&self, voter: &Voter, within: Duration, now: Moment) -> bool {
        self.store_heard(voter, within, now)
            || self.hears_through_another(&voter.agent, within, now)
    }

    /// Does a voter that is heard hear this one, and pass on what it says? One that was left out of the voters since relays
    /// were found passes on nothing.
    pub(super) fn hears_through_another(
        &self,
        agent: &AgentId,
        within: Duration,
        now: Moment,
    ) -> bool {
        let votes = |relay: &AgentId| self.config.voters.by_agent(relay).is_some();
        let relay = self.relays.through(agent);
        let relay =
            relay.filter(|relay| votes(relay) && self.peers.heard_within(relay, within, now));
        relay.is_some_and(|relay| self.passes_on(relay, agent, now))
    }

    pub(super) fn hears_majority(&self, now: Moment) -> bool {
        self.config.voters.majority_where(|voter| self.voter_heard(voter, HEARD_WITHIN, now))
    }

    /// Finds out through whom the voters are reached that do not answer directly.
    pub(super) fn find_relays(&mut self, now: Moment) {
        let voters = self.config.voters.agents();
        let others = voters.iter().filter(|agent| ***agent != self.config.agent);
        let silent = others.filter(|agent| !self.answers(agent, now));
        let relay = |agent: &&&AgentId| {
            let passes =
                |other: &&&AgentId| self.answers(other, now) && self.passes_on(other, agent, now);
            let other = voters.iter().find(passes)?;
            Some(((**agent).clone(), (**other).clone()))
        };
        let through = silent.filter_map(|agent| relay(&agent)).collect();
        self.relays = Relays { through, passed: BTreeMap::new() };
    }

    /// Did an agent say just now that it hears another, and is answered by it?
    pub(super) fn passes_on(&self, relay: &AgentId, agent: &AgentId, now: Moment) -> bool {
        self.peers
            .peer(relay)
            .is_some_and(|it| it.hears.contains(agent) && now.since(it.pulsed) <= HEARD_WITHIN)
    }

    /// Is an agent heard, and does it hear us?
    pub(super) fn answers(&self, agent: &AgentId, now: Moment) -> bool {
        self.peers.peer(agent).is_some_and(|it| {
            now.since(it.heard) <= HEARD_WITHIN && now.since(it.echoed) <= HEARD_WITHIN
        })
    }

    /// Sends a message by way of another as well, if it is for a voter that does not answer directly.
    pub(super) fn send_around(&mut self, to: &AgentId, message: &Message) {
        let Some(through) = self.relays.through(to).cloned() else { return };
        if let (Some(key), Some(letter)) = (&self.key, Letter::of(message)) {
            let letter = key.seal(self.config.voters.mesh, &self.config.agent, to, letter);
            self.out.send(&through, Message::Relayed(Box::new(letter)));
        }
    }

    /// A letter came by way of `by`: it is for us, or to be passed on.
    pub(super) fn on_relayed(&mut self, by: &AgentId, relayed: Relayed, now: Moment) -> Stir {
        let voters = &self.config.voters;
        let known = voters.by_agent(&relayed.from).is_some() && relayed.from != self.config.agent;
        if !known || voters.by_agent(&relayed.to).is_none() {
            return Stir::Nothing;
        }
        if relayed.to == self.config.agent {
            // Whoever did not write it, it is as if it had been lost.
            let genuine = genuine(&relayed, voters);
            #[cfg(feature = "mutants")]
            let genuine = genuine || self.broken(crate::config::Mutant::LetterUnsealed);
            if !genuine {
                return Stir::Nothing;
            }
            let from = relayed.from.clone();
            return self.on_message(&from, relayed.letter.open(), now);
        }
        // One hop: only who wrote a letter may ask for it to be passed on.
        let passed = self.relays.passed.entry(by.clone()).or_default();
        *passed += 1;
        if *by == relayed.from && *passed <= LETTERS {
            let to = relayed.to.clone();
            self.out.send(&to, Message::Relayed(Box::new(relayed)));
        }
        Stir::Nothing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{BallotStore, Config};
    use crate::evidence::KeyPair;
    use crate::message::Beliefs;
    use crate::model::{AcceptorId, MeshId, Voters};
    use crate::outbox::Output;
    use crate::saved::Saved;

    const MESH: MeshId = MeshId(1);

    fn name<T: std::str::FromStr>(text: &str) -> T {
        text.parse().ok().expect("names in tests are names")
    }

    fn key(number: u8) -> KeyPair {
        KeyPair::from_seed(&[number; 32])
    }

    /// The first of three voters, with nothing left to do.
    fn first() -> Node {
        let voter = |number: u8| Voter {
            acceptor: AcceptorId(number.into()),
            agent: name(&format!("a{number}")),
            region: name("r1"),
            key: key(number).public(),
        };
        let voters = Voters::stable(MESH, 1, (1..=3).map(voter).collect());
        let ballots = Some(BallotStore { acceptor: AcceptorId(1), seed: [1; 32] });
        let config = Config::observer(name("a1"), name("r1"), "a1:4790".into(), voters);
        let mut node = Node::new(Config { ballots, ..config }, Saved::default(), Moment::ZERO, 1);
        while node.poll().is_some() {}
        node
    }

    fn letter(number: u64) -> Letter {
        let (abstention, beliefs) = (None, Vec::new());
        Letter::Beliefs(Arc::new(Beliefs { instance: 1, number, abstention, beliefs }))
    }

    /// A letter that says it is of a voter for another, under this agent's seal.
    fn sealed(mesh: MeshId, (from, to): (&str, &str), by: u8) -> Relayed {
        key(by).seal(mesh, &name(from), &name(to), letter(1))
    }

    #[test]
    fn a_letter_is_taken_of_whoever_sealed_it_and_as_it_was_sealed() {
        let own = sealed(MESH, ("a2", "a1"), 2);
        let another = Relayed { letter: letter(2), ..own.clone() };
        let others = Relayed { to: name("a1"), ..sealed(MESH, ("a2", "a3"), 2) };
        let bare = Relayed { signature: Vec::new(), ..own.clone() };
        for (what, relayed, taken) in [
            ("its writer's", own, true),
            ("the seal of whoever passed it on", sealed(MESH, ("a2", "a1"), 3), false),
            ("a seal of nobody's", sealed(MESH, ("a2", "a1"), 9), false),
            ("no seal", bare, false),
            ("the seal of another letter", another, false),
            ("a letter to somebody else", others, false),
            ("a letter of another mesh", sealed(MeshId(2), ("a2", "a1"), 2), false),
            ("a letter of no voter", sealed(MESH, ("a9", "a1"), 9), false),
            ("one's own", sealed(MESH, ("a1", "a1"), 1), false),
        ] {
            let mut node = first();
            let writer = relayed.from.clone();
            let stir = node.on_relayed(&name("a3"), relayed, Moment::ZERO);
            assert_eq!(node.hearsay.word(&writer).is_some(), taken, "{what}");
            assert_eq!(stir != Stir::Nothing, taken, "{what}");
            assert!(node.poll().is_none(), "{what}");
        }
    }

    #[test]
    fn only_who_wrote_a_letter_has_it_passed_on_and_not_without_end() {
        let mut node = first();
        let mut passes = |by: &str, to: &str| {
            let relayed = sealed(MESH, ("a2", to), 2);
            node.on_relayed(&name(by), relayed, Moment::ZERO);
            let output = node.poll();
            assert!(node.poll().is_none());
            matches!(output, Some(Output::Send(other, Message::Relayed(_))) if other == name(to))
        };
        assert!(!passes("a3", "a3"));
        assert!(!passes("a2", "a9"));
        for _ in 0..LETTERS {
            assert!(passes("a2", "a3"));
        }
        assert!(!passes("a2", "a3"));
        // Counted by who asks, whosever the letter is; and anew at every pulse.
        assert_eq!(node.relays.passed.get(&name("a3")), Some(&1));
        assert_eq!(node.relays.passed.get(&name("a2")), Some(&(LETTERS + 1)));
        node.find_relays(Moment::ZERO);
        assert!(node.relays.passed.is_empty());
    }
}
