//! Which targets DNS hands out: those that a quorum does not see down, slowly taken back in.

use std::collections::BTreeSet;

use super::panel::{Aspect, Panel};
use super::word::belief;
use crate::model::{Belief, Health, StackId, Target, TargetName, Verdict};

/// One target of an app, by its stack.
pub type Place = (StackId, TargetName);

impl Panel<'_> {
    /// The targets that are not handed out: whatever a quorum sees down, unless its stack is dying; of those left out `before`, too, what a majority does
    /// not see up for as long as a standby must be; of the `new`, what no majority has seen up yet, and no longer than that; and databases beside the
    /// `active` stack's that no majority sees receive anything. Who hears no majority changes nothing.
    pub fn left_out(
        &self,
        active: &StackId,
        before: &BTreeSet<Place>,
        new: &BTreeSet<Place>,
    ) -> BTreeSet<Place> {
        let mut left_out = BTreeSet::new();
        for (id, target) in self.definition.targets() {
            let place = (id.stack, id.name);
            let aspect = match target {
                Target::Endpoint(_) => Aspect::Web,
                Target::Database(_) => Aspect::Data,
            };
            let steady = |belief: &Belief| belief.health == Health::Up && belief.qualified;
            let up = |belief: &Belief| belief.health == Health::Up;
            // What is new was looked at before it was agreed: it does not come back, it comes.
            let back =
                new.contains(&place) || !before.contains(&place) || self.most_say(&place, steady);
            let proved = !new.contains(&place) || self.most_say(&place, up);
            let follows = |belief: &Belief| {
                belief.database.as_ref().is_some_and(|(sight, _)| sight.replica && sight.streaming)
            };
            let current = match target {
                Target::Database(_) if place.0 != *active => self.most_say(&place, follows),
                Target::Database(_) | Target::Endpoint(_) => true,
            };
            let fell = || self.seen_down(&place, aspect) && self.falls_alone(&place, aspect);
            if !back || !proved || !current || fell() {
                left_out.insert(place);
            }
        }
        left_out
    }

    /// Does a majority of all voters doubt a target of this stack: has the last look of each failed?
    pub fn doubts(&self, stack: &StackId) -> bool {
        let doubts = |belief: &Belief| belief.reached && belief.failures > 0;
        let of_stack = self.definition.targets().filter(|(id, _)| id.stack == *stack);
        of_stack.map(|(id, _)| (id.stack, id.name)).any(|place| self.most_say(&place, doubts))
    }

    /// Is this more than the first of its stack to be seen down? While all others fail, too, and are not seen down yet, answers
    /// stay what they are: they would turn over twice before the stack is left.
    fn falls_alone(&self, (stack, name): &Place, aspect: Aspect) -> bool {
        let others = || {
            let targets = self.definition.targets().filter(|(id, _)| id.stack == *stack);
            let alike = targets.filter(|(_, target)| {
                matches!(target, Target::Endpoint(_)) == (aspect == Aspect::Web)
            });
            alike.map(|(id, _)| (id.stack, id.name)).filter(|(_, other)| other != name)
        };
        let fails = |belief: &Belief| belief.failures > 0;
        others().any(|other| !self.most_say(&other, fails))
            || others().all(|other| self.seen_down(&other, aspect))
    }

    fn seen_down(&self, (stack, name): &Place, aspect: Aspect) -> bool {
        let Some(stack) = self.definition.stack(stack) else { return false };
        // Without as many failures nobody can see it down, and to count those takes less.
        self.most_say(&(stack.name.clone(), name.clone()), |it| self.health(it) == Health::Down)
            && self.verdict_on(stack, &[name], aspect) == Verdict::Down
    }

    fn most_say(&self, (stack, name): &Place, what: impl Fn(&Belief) -> bool) -> bool {
        self.most(|witness| belief(witness, self.definition, stack, name).is_some_and(&what))
    }
}
