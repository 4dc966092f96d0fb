//! The panel of what is gossiped: a hint for when to ask, and what people are shown.

use super::Node;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::{Panel, Witness};
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
            abstention: self.abstention(now, state.definition.probe.window),
            beliefs: own,
        };
        let others = self.hearsay.words(now).filter_map(|(agent, word)| {
            let region = &self.config.voters.by_agent(agent)?.region;
            Some(Witness { agent, region, abstention: word.abstention, beliefs: &word.beliefs })
        });
        self.bent(Panel::new(&state.definition, &self.config.voters, others.chain([me])))
    }

    /// The panel as a mutant counts it; unchanged in a build without mutants.
    #[cfg_attr(not(feature = "mutants"), allow(unused_mut))]
    pub(super) fn bent<'a>(&self, mut panel: Panel<'a>) -> Panel<'a> {
        #[cfg(feature = "mutants")]
        {
            if self.broken(Mutant::MajorityOfReporting) {
                panel.count_only_reporting();
            }
            if self.broken(Mutant::OneRegion) {
                panel.forget_regions();
            }
        }
        panel
    }
}
