//! The panel of what is gossiped: a hint for when to ask, and what people are shown.

use std::time::Duration;

use super::Node;
use crate::evidence::{Panel, Witness};
use crate::judge::HEARD_WITHIN;
use crate::model::{Abstention, AgentId, AppId, AppState, Belief, Health, StackId};
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
            said: Duration::ZERO,
        };
        let app = &state.definition.name;
        let others = self
            .hearsay(now)
            .map(|witness| Witness { beliefs: of_app(witness.beliefs, app), ..witness });
        let others = others.chain([me]);
        let panel = Panel::new(&state.definition, &self.config.voters, others);
        self.bent(panel.relying(&state.sync))
    }

    /// Does this agent, and everybody whose word holds, see all of a stack up, and are its guards heard? Whoever says nothing
    /// of it does not tell.
    pub(super) fn all_see_up(&self, state: &AppState, stack: &StackId, now: Moment) -> bool {
        let app = &state.definition.name;
        let up = |belief: &Belief| belief.health == Health::Up && belief.reached;
        let heard = |guard: &AgentId| {
            *guard == self.config.agent || self.peers.heard_within(guard, HEARD_WITHIN, now)
        };
        self.judge.all_up(app, stack, now)
            && state.definition.guards(stack).into_iter().all(heard)
            && self.hearsay.words(now).all(|(_, word)| {
                let mut of_stack =
                    of_app(&word.beliefs, app).iter().filter(|it| it.target.stack == *stack);
                of_stack.all(up)
            })
    }

    /// The last word of every other agent that is heard now, directly or through one other: words are vetoes too, and must
    /// not outlive what they go by. A region that dies with the stack it serves would otherwise hold it up for as long as
    /// words are kept.
    pub(super) fn hearsay(&self, now: Moment) -> impl Iterator<Item = Witness<'_>> {
        self.hearsay.told(now).filter_map(move |(agent, word, said)| {
            let direct = self.peers.heard_within(agent, HEARD_WITHIN, now);
            let region = match self.config.voters.by_agent(agent) {
                Some(voter) => (direct || self.hears_through_another(agent, HEARD_WITHIN, now))
                    .then_some(&voter.region),
                None => self.peers.peer(agent).filter(|_| direct)?.region.as_ref(),
            };
            let (abstention, beliefs) = (word.abstention, word.beliefs.as_slice());
            Some(Witness { agent, region: region?, abstention, beliefs, said })
        })
    }

    /// What a mutant makes of gossip: as good as evidence. Nothing, in a build without mutants.
    pub(super) fn heeding_hearsay<'a>(&'a self, panel: Panel<'a>, now: Moment) -> Panel<'a> {
        let _ = now;
        #[cfg(feature = "mutants")]
        if self.broken(crate::config::Mutant::HearsayCounts) {
            return panel.taking_for_evidence(self.hearsay(now));
        }
        panel
    }

    /// Does a mutant vote all the same?
    pub(super) fn overlooks(&self, why: Abstention) -> bool {
        let _ = why;
        #[cfg(feature = "mutants")]
        return match why {
            Abstention::Isolated => self.broken(crate::config::Mutant::VotesWhileIsolated),
            Abstention::CutOff => self.broken(crate::config::Mutant::CanariesIgnored),
            Abstention::MassFailure => self.broken(crate::config::Mutant::MassFailureVotes),
            Abstention::Stalled => self.broken(crate::config::Mutant::PauseForgotten),
            Abstention::Young => self.broken(crate::config::Mutant::VotesWhileYoung),
            Abstention::ClockJump => self.broken(crate::config::Mutant::ClockJumpIgnored),
            Abstention::Unwell => self.broken(crate::config::Mutant::VotesWhileUnwell),
            _ => false,
        };
        #[cfg(not(feature = "mutants"))]
        false
    }

    /// Does a mutant go on after a pause as if there had been none?
    pub(super) fn forgets_pauses(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(crate::config::Mutant::PauseForgotten);
        #[cfg(not(feature = "mutants"))]
        false
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

/// The beliefs about one app, of beliefs in the order of their targets.
fn of_app<'a>(beliefs: &'a [Belief], app: &AppId) -> &'a [Belief] {
    let from = beliefs.partition_point(|belief| belief.target.app < *app);
    let to = beliefs.partition_point(|belief| belief.target.app <= *app);
    &beliefs[from..to]
}
