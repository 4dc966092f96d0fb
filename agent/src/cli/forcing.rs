//! A set that elects its own primary and has lost its majority for good, for people: what forces it, and what that gives up.
//!
//! Nothing here or in the mesh does it: a set that is forced loses acknowledged writes, and two halves that were both forced
//! are two sets for ever. So the operator does it, with the store's own command, of which this tells the words and the price.

use std::collections::BTreeSet;

use consensus::model::{DatabaseSight, Definition, Health, StackId, TargetName};
use consensus::view::{AppView, TargetView};

/// What to do and what it costs, if a set of the app has members that answer, none of them a primary, and was seen to have one;
/// at the stack that is asked for, else at the first where one answers.
pub fn advice(view: &AppView, definition: &Definition, to: Option<&StackId>) -> Option<String> {
    let stacks = definition.stacks.iter().flat_map(|stack| &stack.databases);
    let names: BTreeSet<&TargetName> =
        stacks.filter(|it| it.engine.is_followed()).map(|it| &it.name).collect();
    names.into_iter().find_map(|name| Set::of(view, name).advice(name, to))
}

/// The members of one set, by stack, as they are seen.
struct Set<'a>(Vec<(&'a StackId, &'a TargetView)>);

impl<'a> Set<'a> {
    fn of(view: &'a AppView, name: &TargetName) -> Self {
        let member = |stack: &'a consensus::view::StackView| {
            let target = stack.targets.iter().find(|it| it.database && it.target == *name)?;
            Some((&stack.stack, target))
        };
        Self(view.stacks.iter().filter_map(member).collect())
    }

    fn advice(&self, name: &TargetName, to: Option<&StackId>) -> Option<String> {
        let answering: Vec<_> =
            self.0.iter().filter(|(_, it)| sights(it, true).next().is_some()).collect();
        let leads = |(_, it): &&&(_, &'a TargetView)| sights(it, true).any(|sight| !sight.replica);
        if answering.iter().any(|it| leads(&it)) {
            return None;
        }
        let (stack, member) =
            answering.iter().find(|(stack, _)| to.is_none_or(|to| to == *stack))?;
        let primaries = self.0.iter().flat_map(|(stack, it)| {
            sights(it, false).filter(|sight| !sight.replica).map(move |sight| (sight, *stack))
        });
        let (last, left) = primaries.max_by_key(|(sight, _)| (sight.timeline, sight.position))?;
        let has = sights(member, true).map(|sight| sight.position).max()?;
        // The upper half of a place in a set's log is the second of its clock.
        let lacks = (last.position >> 32).saturating_sub(has >> 32);
        let members: Vec<_> =
            answering.iter().map(|(_, it)| format!("\"{}\"", it.address)).collect();
        Some(format!(
            "nobody is heard to lead the set of {name}, and DNS follows whoever does: nothing can be moved from here. If \
             its majority is gone for good, this at {stack} ({address}) makes a set of those that answer:\n\
             cfg = rs.conf(); cfg.members = cfg.members.filter(function(m) {{ return [{members}].indexOf(m.host) >= 0 }}); \
             rs.reconfig(cfg, {{force: true}})\n\
             It gives up every write that they have not received: {stack} lacks {lacks} s of what the primary at {left} was \
             last seen to have, and all that was written since. Never do it while the others could come back together",
            address = member.address,
            members = members.join(", "),
        ))
    }
}

/// What agents whose word counts last saw of a member: those to whom it answers now, or all.
fn sights(member: &TargetView, now: bool) -> impl Iterator<Item = &DatabaseSight> {
    let beliefs = member.beliefs.values().filter(|it| it.counts);
    beliefs.filter(move |it| !now || it.health == Health::Up).filter_map(|it| it.database.as_ref())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use consensus::model::Engine;

    use super::*;
    use crate::status::fixture::{self, name};

    fn sight(replica: bool, second: u64) -> DatabaseSight {
        DatabaseSight {
            replica,
            read_only: replica,
            system: 7,
            timeline: 3,
            position: second << 32 | 1,
            replayed: second << 32 | 1,
            streaming: false,
            heard: Some(Duration::from_secs(1)),
            lag: None,
            upstream_name: None,
            synchronous: vec![],
            receivers: vec![],
            slots_at_risk: vec![],
        }
    }

    /// `shop` with a member at each stack, seen so by everybody.
    fn seen(members: [(Health, DatabaseSight); 2]) -> AppView {
        let mut view = fixture::view().apps.remove(1);
        let mut members = members.into_iter();
        view.stacks.truncate(2);
        for (stack, own) in view.stacks.iter_mut().zip(["aws-east", "hetzner"]) {
            let (health, sight) = members.next().expect("one for each");
            stack.stack = name(own);
            let mut target = stack.targets.pop().expect("it has some");
            (target.target, target.database) = (name("orders"), true);
            target.address = format!("{own}.example:27017");
            for belief in target.beliefs.values_mut() {
                belief.health = health;
                belief.counts = true;
                belief.database = Some(sight.clone());
            }
            stack.targets = vec![target];
        }
        view
    }

    #[test]
    fn the_command_and_its_price_are_told_where_nobody_leads() {
        let mut definition = fixture::definition("shop", &["aws-east", "hetzner"], true);
        definition.stacks.iter_mut().flat_map(|it| &mut it.databases).for_each(|it| {
            it.engine = Engine::Mongodb;
        });
        let primary = |health| (health, sight(false, 107));
        let left = (Health::Up, sight(true, 100));
        let lost = seen([primary(Health::Down), left.clone()]);
        let said = advice(&lost, &definition, None).expect("nobody leads");
        for words in [
            "at hetzner (hetzner.example:27017)",
            "[\"hetzner.example:27017\"].indexOf(m.host)",
            "rs.reconfig(cfg, {force: true})",
            "hetzner lacks 7 s of what the primary at aws-east was last seen to have",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(advice(&lost, &definition, Some(&name("hetzner"))).is_some());
        assert_eq!(advice(&lost, &definition, Some(&name("aws-east"))), None, "it does not answer");
        let well = seen([primary(Health::Up), left]);
        assert_eq!(advice(&well, &definition, None), None, "one leads");
        let nobody = seen([primary(Health::Down), (Health::Down, sight(true, 100))]);
        assert_eq!(advice(&nobody, &definition, None), None, "nobody is left");
    }
}
