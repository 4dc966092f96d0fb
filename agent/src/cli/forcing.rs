//! A set that elects its own primary and has lost its majority for good, for people: what forces it, and what that gives up.
//!
//! Nothing here or in the mesh does it: a set that is forced loses acknowledged writes, and two halves that were both forced
//! are two sets for ever. So the operator does it, with the store's own command, of which this tells the words and the price.

use std::collections::BTreeSet;

use consensus::model::{AppId, DatabaseSight, Definition, Health, StackId, TargetName};
use consensus::view::{BeliefView, StackView, TargetView, View};

/// An election is over by then: MongoDB begins one after 10 s.
const ELECTED: u64 = 30_000;

/// What to do and what it costs, for every set of an app of which only a part answers, and nobody has been heard to lead for a
/// while; at the stack that is asked for, else at the member that has most. Nothing, if the agent that is asked hears no quorum:
/// then it is as likely cut off itself.
pub fn advice(
    view: &View,
    app: &AppId,
    definition: &Definition,
    to: Option<&StackId>,
) -> Option<String> {
    let app = view.apps.iter().find(|it| it.app == *app)?;
    if view.quorum.heard < view.quorum.needed {
        return None;
    }
    let databases = definition.stacks.iter().flat_map(|stack| &stack.databases);
    let names: BTreeSet<&TargetName> =
        databases.filter(|it| it.engine.is_followed()).map(|it| &it.name).collect();
    let advice = names.into_iter().filter_map(|name| Set::of(&app.stacks, name).advice(name, to));
    let advice: Vec<String> = advice.collect();
    (!advice.is_empty()).then(|| advice.join("\n"))
}

/// The members of one set, as they are seen.
struct Set<'a>(Vec<Member<'a>>);

struct Member<'a> {
    stack: &'a StackId,
    target: &'a TargetView,
}

impl<'a> Set<'a> {
    fn of(stacks: &'a [StackView], name: &TargetName) -> Self {
        let member = |stack: &'a StackView| {
            let target = stack.targets.iter().find(|it| it.database && it.target == *name)?;
            Some(Member { stack: &stack.stack, target })
        };
        Self(stacks.iter().filter_map(member).collect())
    }

    fn advice(&self, name: &TargetName, to: Option<&StackId>) -> Option<String> {
        let left: Vec<_> = self.0.iter().filter(|it| it.answers()).collect();
        // Where most answer they can elect, or will once they have made up their minds.
        if self.0.len() < left.len() * 2 || self.0.iter().any(Member::led_lately) {
            return None;
        }
        let there = left.iter().filter(|it| to.is_none_or(|to| to == it.stack));
        let best = there.max_by_key(|it| it.position())?;
        let led = self.0.iter().filter_map(|it| Some((it.led()?, it.stack)));
        let price = match led.max_by_key(|(sight, _)| (sight.timeline, sight.position)) {
            // The upper half of a place in a set's log is the second of its clock.
            Some((last, stack)) => format!(
                "{} lacks {} s of what the primary at {stack} was last seen to have, and all that was written since",
                best.stack,
                (last.position >> 32).saturating_sub(best.position() >> 32)
            ),
            None => "how many those are is not known, for no primary of it was seen".to_owned(),
        };
        let members: Vec<_> = left.iter().map(|it| format!("\"{}\"", it.own_name())).collect();
        Some(format!(
            "nobody is heard to lead the set of {name}, and DNS follows whoever does: nothing can be moved from here. If \
             its majority is gone for good, this at {stack} ({address}) makes a set of the members that answer, and of no \
             others (hidden ones and arbiters go, too):\n\
             cfg = rs.conf(); cfg.members = cfg.members.filter(function(m) {{ return [{members}].indexOf(m.host) >= 0 }}); \
             if (cfg.members.length != {count}) throw 'they have other names in rs.conf()'; rs.reconfig(cfg, {{force: true}})\n\
             It gives up every write that they have not received: {price}. Never do it while the others could come back \
             together",
            stack = best.stack,
            address = best.target.address,
            members = members.join(", "),
            count = members.len(),
        ))
    }
}

impl<'a> Member<'a> {
    /// What those believe whose word counts.
    fn beliefs(&self) -> impl Iterator<Item = &'a BeliefView> {
        self.target.beliefs.values().filter(|it| it.counts)
    }

    /// As it is seen now.
    fn sights(&self) -> impl Iterator<Item = &'a DatabaseSight> {
        self.beliefs().filter(|it| it.health == Health::Up).filter_map(|it| it.database.as_ref())
    }

    fn answers(&self) -> bool {
        self.sights().next().is_some()
    }

    /// How far its log goes.
    fn position(&self) -> u64 {
        self.sights().map(|sight| sight.position).max().unwrap_or_default()
    }

    /// As it was seen when it led last.
    fn led(&self) -> Option<&'a DatabaseSight> {
        let led = self.beliefs().filter_map(|it| it.database.as_ref()).filter(|it| !it.replica);
        led.max_by_key(|sight| (sight.timeline, sight.position))
    }

    /// Does it, or did it a moment ago?
    fn led_lately(&self) -> bool {
        self.beliefs().any(|it| {
            it.database.as_ref().is_some_and(|sight| !sight.replica)
                && it.quiet_ms.is_some_and(|quiet| quiet < ELECTED)
        })
    }

    /// The name by which its set knows it, where it says so.
    fn own_name(&self) -> &'a str {
        let said = self.sights().find_map(|sight| sight.upstream_name.as_deref());
        said.unwrap_or(&self.target.address)
    }
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

    /// `shop` with a member at each stack, seen so by everybody, and not since so many milliseconds.
    fn seen(members: [(Health, DatabaseSight, u64); 2]) -> View {
        let mut view = fixture::view();
        let shop = view.apps.iter_mut().find(|it| it.app.as_str() == "shop").expect("it has one");
        let mut members = members.into_iter();
        shop.stacks.truncate(2);
        for (stack, own) in shop.stacks.iter_mut().zip(["aws-east", "hetzner"]) {
            let (health, sight, quiet) = members.next().expect("one for each");
            stack.stack = name(own);
            let mut target = stack.targets.pop().expect("it has some");
            (target.target, target.database) = (name("orders"), true);
            target.address = format!("{own}.example:27017");
            for belief in target.beliefs.values_mut() {
                (belief.health, belief.counts) = (health, true);
                (belief.database, belief.quiet_ms) = (Some(sight.clone()), Some(quiet));
            }
            stack.targets = vec![target];
        }
        view
    }

    fn told(view: &View, to: Option<&str>) -> Option<String> {
        let mut definition = fixture::definition("shop", &["aws-east", "hetzner"], true);
        definition.stacks.iter_mut().flat_map(|it| &mut it.databases).for_each(|it| {
            it.engine = Engine::Mongodb;
        });
        advice(view, &name("shop"), &definition, to.map(name).as_ref())
    }

    #[test]
    fn the_command_and_its_price_are_told_where_nobody_leads() {
        let gone = (Health::Down, sight(false, 107), 60_000);
        let left = (
            Health::Up,
            DatabaseSight { upstream_name: Some("b:1".into()), ..sight(true, 100) },
            0,
        );
        let lost = seen([gone.clone(), left.clone()]);
        let said = told(&lost, None).expect("nobody leads");
        for words in [
            "at hetzner (hetzner.example:27017)",
            "[\"b:1\"].indexOf(m.host)",
            "if (cfg.members.length != 1) throw",
            "rs.reconfig(cfg, {force: true})",
            "hetzner lacks 7 s of what the primary at aws-east was last seen to have",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(told(&lost, Some("hetzner")).is_some());
        assert_eq!(told(&lost, Some("aws-east")), None, "it does not answer");
        // One that stepped down before the others went says nothing of who led.
        let unknown = seen([(Health::Down, sight(true, 107), 60_000), left.clone()]);
        let said = told(&unknown, None).expect("nobody leads");
        assert!(said.contains("no primary of it was seen"), "{said}");
    }

    #[test]
    fn nothing_is_forced_while_there_may_be_another_way() {
        let gone = (Health::Down, sight(false, 107), 60_000);
        let left = (Health::Up, sight(true, 100), 0);
        let cases = [
            ("one leads", [(Health::Up, sight(false, 107), 0), left.clone()]),
            ("an election may be on", [(Health::Down, sight(false, 107), 20_000), left.clone()]),
            ("both answer", [(Health::Up, sight(true, 107), 0), left.clone()]),
            ("nobody is left", [gone.clone(), (Health::Down, sight(true, 100), 60_000)]),
        ];
        for (why, members) in cases {
            assert_eq!(told(&seen(members), None), None, "{why}");
        }
        let mut cut_off = seen([gone, left]);
        cut_off.quorum.heard = cut_off.quorum.needed - 1;
        assert_eq!(told(&cut_off, None), None, "who is asked may be cut off itself");
    }
}
