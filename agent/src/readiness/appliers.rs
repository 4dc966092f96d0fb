//! Does a replica apply what it receives?
//!
//! Takes what this agent itself sees of every replica, a few times a minute, and tells of those that applied nothing of what
//! they had for a while: somebody stopped the applier or paused the replay, or it waits for something. Such a replica stays fit,
//! as all is there and a promotion starts the applier again; but a planned move to it is given up, and a failover has all of it
//! to apply while clients wait. Decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::model::{AppId, Health, StackId, TargetName};
use consensus::view::View;
use tokio::time::Instant;

use super::UnreadyView;

/// How often is looked.
pub(super) const EVERY: Duration = Duration::from_secs(15);
/// For how long nothing must have been applied. PostgreSQL's replay waits 30 s for whoever reads there
/// (`max_standby_streaming_delay`).
const STILL: Duration = Duration::from_secs(60);

/// What each replica that is behind had applied, and when that was first and last seen.
#[derive(Default)]
pub(super) struct Appliers(BTreeMap<(AppId, StackId, TargetName), Seen>);

struct Seen {
    applied: u64,
    first: Instant,
    last: Instant,
}

impl Appliers {
    /// Who applies nothing, as of now.
    pub(super) fn look(&mut self, view: &View, now: Instant) -> Vec<UnreadyView> {
        let before = std::mem::take(&mut self.0);
        for ((app, stack, target), (applied, quiet)) in behind(view) {
            let key = (app.clone(), stack.clone(), target.clone());
            // What an agent says is as old as its last look; a clock that began since knows no earlier time.
            let last = now.checked_sub(quiet).unwrap_or(now);
            let same = before.get(&key).filter(|then| then.applied == applied);
            let first = same.map_or(last, |then| then.first);
            self.0.insert(key, Seen { applied, first, last });
        }
        let still = self.0.iter().filter(|(_, it)| STILL <= it.last.duration_since(it.first));
        still
            .map(|((app, stack, target), _)| UnreadyView {
                app: app.clone(),
                stack: Some(stack.clone()),
                why: format!(
                    "{target} has applied nothing of what it received for a minute and more: somebody stopped that, or it is \
                     at one long transaction"
                ),
            })
            .collect()
    }
}

/// Every replica that receives and has not applied all of it, with what it has applied and how long ago it said so.
fn behind(view: &View) -> impl Iterator<Item = ((&AppId, &StackId, &TargetName), (u64, Duration))> {
    let stacks = view.apps.iter().flat_map(|app| app.stacks.iter().map(move |it| (&app.app, it)));
    let targets = stacks.flat_map(|(app, stack)| {
        stack.targets.iter().map(move |it| ((app, &stack.stack, &it.target), it))
    });
    targets.filter_map(|(key, target)| {
        let own = target.beliefs.get(&view.agent)?;
        // Of one that is not up it is told already why.
        let sight = own.database.as_ref().filter(|_| own.health == Health::Up)?;
        (sight.replica && sight.streaming && sight.replayed < sight.position)
            .then_some((key, (sight.replayed, Duration::from_millis(own.quiet_ms?))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture;

    /// The first replica that receives, as this agent sees it, made to have so much and to have applied so much of it.
    fn set(view: &mut View, (position, replayed): (u64, u64)) {
        let own = view.agent.clone();
        let targets = view.apps.iter_mut().flat_map(|app| &mut app.stacks);
        let mut beliefs =
            targets.flat_map(|it| &mut it.targets).filter_map(|it| it.beliefs.get_mut(&own));
        let replica = beliefs.find(|it| it.database.as_ref().is_some_and(|it| it.replica));
        let belief = replica.expect("a replica is seen");
        (belief.health, belief.quiet_ms) = (Health::Up, Some(0));
        let sight = belief.database.as_mut().expect("it is one");
        (sight.position, sight.replayed, sight.streaming) = (position, replayed, true);
    }

    #[test]
    fn a_replica_that_applies_nothing_for_a_minute_is_told_until_it_does() {
        let (mut view, mut appliers) = (fixture::view(), Appliers::default());
        let start = Instant::now();
        let mut at = |seconds: u64, sight: (u64, u64)| {
            set(&mut view, sight);
            appliers.look(&view, start + Duration::from_secs(seconds)).len()
        };
        assert_eq!(at(0, (10, 10)), 0, "it has all");
        assert_eq!(at(15, (20, 10)), 0, "something came just now");
        assert_eq!(at(74, (30, 10)), 0, "for 59 seconds");
        assert_eq!(at(75, (40, 10)), 1);
        assert_eq!(at(90, (40, 11)), 0, "it is slow, and applies");
        assert_eq!(at(149, (40, 11)), 0);
        assert_eq!(at(150, (40, 11)), 1);
        assert_eq!(at(165, (40, 40)), 0, "it has all again");
        assert_eq!(at(300, (50, 40)), 0, "and what comes now is new");
    }

    #[test]
    fn one_look_is_no_more_for_being_read_again() {
        let (mut view, mut appliers) = (fixture::view(), Appliers::default());
        set(&mut view, (20, 10));
        let start = Instant::now() + Duration::from_secs(3600);
        assert_eq!(appliers.look(&view, start), []);
        let own = view.agent.clone();
        let targets = view.apps.iter_mut().flat_map(|app| &mut app.stacks);
        for belief in
            targets.flat_map(|it| &mut it.targets).filter_map(|it| it.beliefs.get_mut(&own))
        {
            belief.quiet_ms = Some(90_000);
        }
        assert_eq!(appliers.look(&view, start + Duration::from_secs(90)), []);
    }

    #[test]
    fn one_that_receives_nothing_or_is_down_is_told_of_elsewhere() {
        let (mut view, mut appliers) = (fixture::view(), Appliers::default());
        set(&mut view, (20, 10));
        let own = view.agent.clone();
        let start = Instant::now();
        let late = start + STILL;
        assert_eq!(appliers.look(&view, start), []);
        let told = appliers.look(&view, late);
        assert!(matches!(told.as_slice(), [one] if one.stack.is_some()), "{told:?}");
        let mut down = view.clone();
        let targets = down.apps.iter_mut().flat_map(|app| &mut app.stacks);
        for belief in
            targets.flat_map(|it| &mut it.targets).filter_map(|it| it.beliefs.get_mut(&own))
        {
            belief.health = Health::Down;
        }
        assert_eq!(appliers.look(&down, late), []);
        assert_eq!(appliers.look(&view, late), [], "it begins anew");
    }
}
