//! What one witness says of a database or an endpoint, with what it knows first hand of the guard, the door and the way there.

use std::time::Duration;

use super::panel::{Aspect, Panel, Witness};
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::model::{Belief, Definition, GuardSight, Health, Stack, StackId, TargetId, TargetName};

impl<'a> Panel<'a> {
    /// What one witness says of some targets of a stack, taken together.
    pub(super) fn word(
        &self,
        witness: &Witness<'a>,
        stack: &Stack,
        targets: &[&TargetName],
        aspect: Aspect,
    ) -> Health {
        // Whoever guards a database looks at it from its own host: that is no vote (PROTOCOL.md 0.1 h).
        let own = |name: &TargetName| {
            let mut databases = stack.databases.iter();
            databases.any(|it| it.name == *name && it.guard.as_ref() == Some(witness.agent))
        };
        let health = |name: &&TargetName| {
            belief(witness, self.definition, &stack.name, name)
                .filter(|_| !own(name))
                .map_or(Health::Unknown, |belief| self.health(belief))
        };
        let (decisive, all) = match aspect {
            Aspect::Web => (Health::Up, Health::Down),
            Aspect::Data => (Health::Down, Health::Up),
        };
        targets.iter().map(health).fold(all, |sum, health| match (sum, health) {
            (sum, health) if sum == decisive || health == decisive => decisive,
            (sum, health) if sum == all && health == all => all,
            _ => Health::Degraded,
        })
    }

    /// What one belief says, with what the believer knows first hand of the guard.
    pub(super) fn health(&self, belief: &Belief) -> Health {
        let window = self.definition.probe.window;
        match &belief.guard {
            Some(guard) if self.fenced == Some(&belief.target.stack) => match guard.health {
                _ if guard.heard > window => Health::Down,
                Health::Unknown => Health::Degraded,
                said => said,
            },
            // It takes no writes, however well it is: nobody holds its door open.
            Some(guard) if self.shut(guard, &belief.target) => Health::Down,
            // A guard that says that its database is dead only shortens the wait for what is seen anyway.
            Some(guard)
                if (guard.health, belief.health) == (Health::Down, Health::Degraded)
                    && guard.heard <= window
                    && belief.failures > 0
                    && belief.reached
                    && belief.quiet.is_none_or(|quiet| quiet >= window * 3 / 8) =>
            {
                Health::Down
            }
            // Without a way to it, silence says nothing of it (PROTOCOL.md 0.1 l).
            _ if belief.health == Health::Down && !belief.reached => Health::Degraded,
            _ => belief.health,
        }
    }

    /// Has the guard of a database that lives by its leases fallen silent, and has every one of them run out?
    fn shut(&self, guard: &GuardSight, target: &TargetId) -> bool {
        let silent = guard.lived && guard.heard > self.definition.probe.window;
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::SilenceShuts) {
            return silent;
        }
        silent && !guard.open && !self.held_open(target)
    }

    /// Does anybody, with a vote or without, know that a guard may hold this database's door open, by what it said last? The
    /// candidates may have given their word, whether the voters hear of it or not (PROTOCOL.md C.3); and a door stays open as
    /// long as was said, whatever became of its guard since. What a voter knows may be its own grant, which alone is no lease:
    /// it counts while the guard is heard.
    pub(super) fn held_open(&self, target: &TargetId) -> bool {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::FailsafeOverlooked) {
            return false;
        }
        let window = self.definition.probe.window;
        let says = |witness: &Witness<'_>, within: Duration| {
            witness.beliefs.iter().filter(|belief| belief.target == *target).any(|belief| {
                belief.guard.as_ref().is_some_and(|guard| guard.open && guard.heard <= within)
            })
        };
        self.witnesses.iter().any(|it| says(it, window))
            || self.observers.iter().any(|it| says(it, GuardSight::NEVER))
    }

    /// The database of this stack that voters see up, and that takes no writes for want of its guard.
    pub(super) fn left_by_its_guard(&self, stack: &StackId) -> Option<&TargetName> {
        let databases = &self.definition.stack(stack)?.databases;
        // Behind our own fence it would be shut in any case.
        let databases = databases.iter().filter(|_| self.fenced != Some(stack));
        databases.map(|database| &database.name).find(|name| {
            let target = self.target(stack, name);
            let up = |belief: &Belief| belief.target == target && belief.health == Health::Up;
            let shut = |belief: &Belief| {
                up(belief) && belief.guard.as_ref().is_some_and(|it| self.shut(it, &target))
            };
            self.healthy().any(|witness| witness.beliefs.iter().any(shut))
        })
    }
}

/// What a witness believes of one target.
pub(super) fn belief<'a>(
    witness: &Witness<'a>,
    definition: &Definition,
    stack: &StackId,
    name: &TargetName,
) -> Option<&'a Belief> {
    witness.beliefs.iter().find(|belief| {
        belief.target.name == *name
            && belief.target.stack == *stack
            && belief.target.app == definition.name
    })
}
