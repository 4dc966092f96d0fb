//! Planned moves: nothing is promoted before its target has received, and applied, all that the closed primary wrote, and a
//! target that lags is left within a second: clients wait all the while.

use std::time::Duration;

use super::Node;
use super::intent::Next;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::model::{AppId, DatabaseSight, DecisionKind};
use crate::moment::Moment;

/// What the primary wrote last is there after a round trip, if it comes at all.
const CATCH_UP: Duration = Duration::from_secs(1);
/// Between two looks at the target: a look is a log-in and a query.
const PACE: Duration = Duration::from_millis(20);

impl Node {
    /// The next phase of what this agent carries out, once a planned move's target has caught up, by this agent's own looks;
    /// taking it back if that does not come to be. Every other phase as it is.
    pub(super) fn once_caught_up(&mut self, app: &AppId, next: Next, now: Moment) -> Option<Next> {
        let Next::Promote { fence, .. } = &next else { return Some(next) };
        let (_, state) = self.apps.get(app)?.known()?;
        if state.decision.kind != DecisionKind::Switchover {
            return Some(next);
        }
        #[cfg(feature = "mutants")]
        if self.config.broken(Mutant::UnappliedPromoted) {
            return Some(next);
        }
        let to = state.decision.to.clone();
        let own = self.judge.beliefs_of(app, now);
        let lacking = fence.iter().find_map(|(name, record)| {
            let mut sights = own.iter().filter(|it| it.target.stack == to);
            let belief = sights.find(|it| it.target.name == *name);
            let sight = belief.and_then(|it| it.database.as_ref()).map(|(sight, _)| sight);
            Some(format!("{name} {}", lacks(sight, record.position?)?))
        });
        let Some(why) = lacking else { return Some(next) };
        let work = self.apps.get_mut(app).and_then(|it| it.work.as_mut())?;
        if work.waited(now) > CATCH_UP {
            return Some(Next::Abort(why));
        }
        work.look_again(now + PACE, why);
        self.judge.look_closely(app, &to, PACE, now, &mut self.out);
        None
    }
}

/// What a replica lacks of all that its primary wrote last, in words. What was received is lost no more, but nobody takes writes
/// before it is applied, and an applier that stands still may never come to it.
fn lacks(seen: Option<&DatabaseSight>, last: u64) -> Option<String> {
    let not = |what: &str| Some(format!("has not {what} position {last}"));
    match seen {
        Some(seen) if seen.position >= last && seen.replayed >= last => None,
        Some(seen) if seen.position >= last => not("applied"),
        _ => not("received"),
    }
}
