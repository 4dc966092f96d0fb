//! The panel of what is gossiped: a hint for when to ask, and what people are shown.

use super::Node;
use crate::evidence::{Panel, Witness};
use crate::judge::HEARD_WITHIN;
use crate::model::{AppState, Belief};
use crate::moment::Moment;

impl Node {
    /// This agent's own word on an app, and every other agent's last one.
    pub(super) fn panel<'a>(
        &'a self,
        state: &'a AppState,
        own: &'a [Belief],
        now: Moment,
    ) -> Panel<'a> {
        let me = Witness {
            agent: &self.config.agent,
            region: &self.config.region,
            abstention: self.abstention_of(state, now),
            beliefs: own,
        };
        let others = self.hearsay(now).chain([me]);
        self.bent(Panel::new(&state.definition, &self.config.voters, others))
    }

    /// Every other agent's last word. One that is no voter is listened to only while it is heard: its word is a veto, and
    /// vetoes must not outlive what they go by.
    pub(super) fn hearsay(&self, now: Moment) -> impl Iterator<Item = Witness<'_>> {
        self.hearsay.words(now).filter_map(move |(agent, word)| {
            let region = match self.config.voters.by_agent(agent) {
                Some(voter) => &voter.region,
                None => {
                    let peer = self.peers.peer(agent)?;
                    (now.since(peer.heard) <= HEARD_WITHIN).then_some(peer.region.as_ref()?)?
                }
            };
            Some(Witness { agent, region, abstention: word.abstention, beliefs: &word.beliefs })
        })
    }

    /// The panel as a mutant counts it; unchanged in a build without mutants.
    #[cfg_attr(not(feature = "mutants"), allow(unused_mut))]
    pub(super) fn bent<'a>(&self, mut panel: Panel<'a>) -> Panel<'a> {
        #[cfg(feature = "mutants")]
        {
            panel.bend(self.config.mutant);
        }
        panel
    }
}
