//! Who writes, truly? (PROTOCOL.md S8, S9; C3)
//!
//! Looks at the world alone: which primary has a door that is open, at every instant at which one opens or comes to be.
//! Doors shut by themselves, and shutting breaks nothing. And a guard that is well, in a mesh that is, keeps its lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::model::{AppId, Epoch, Phase, TargetId};
use consensus::moment::Moment;

use super::Found;
use super::register::Link;
use crate::sim::network::Place;
use crate::sim::simulation::Simulation;
use crate::sim::world::{Role, World};

/// S8: a door was opened, or whatever is behind an open one takes writes from now on.
pub fn opened(now: Moment, world: &World, database: &TargetId, found: &mut Found) {
    let primary = world.databases.get(database).is_some_and(|it| it.role == Role::Primary);
    if !primary || !world.doors.of.contains(database) || !world.open(now, database) {
        return;
    }
    for other in world.open_writers(now, database) {
        found.push(("one writer", format!("{database} and {other} are open at once")));
    }
    let newer = world.databases.iter().find(|(id, it)| {
        id.app == database.app
            && it.role == Role::Primary
            && it.timeline > world.databases[database].timeline
    });
    if let Some((newer, _)) = newer {
        let text = format!("{database} opens, and {newer} was promoted since");
        found.push(("nothing is written after a fence", text));
    }
}

/// S9: a database has just become the primary: whoever was it before is shut.
pub fn promoted(now: Moment, world: &World, database: &TargetId, found: &mut Found) {
    for other in world.open_writers(now, database) {
        let text = format!("{database} is promoted, and {other} is open");
        found.push(("fenced before promoted", text));
    }
    opened(now, world, database, found);
}

/// The point of no return: by then the old primary is proven fenced, and is shut; unless it lives on the word of those who
/// could be promoted, and will not be before it is.
pub fn decided(now: Moment, world: &World, link: &Link, found: &mut Found) {
    let Some(before) = &link.before else { return };
    let after = &link.after;
    if after.phase != Phase::Promoting || before.phase == Phase::Promoting || link.taken_back {
        return;
    }
    let app = &after.definition.name;
    let from = world.doors.of.iter().filter(|id| id.app == *app && id.stack == after.decision.from);
    for database in from {
        let promised = world.doors.failsafe.iter().any(|(_, id)| id == database);
        if world.open(now, database) && !promised {
            let text = format!("the end of {database} was agreed, and it is open");
            found.push(("fenced before promoted", text));
        }
        let proven = after.decision.fence.get(&database.name).is_some_and(|it| it.proven);
        if !proven {
            let text = format!("{database} has a guard and is not proven fenced");
            found.push(("fenced before promoted", text));
        }
    }
}

/// Since when nothing has been in the way of each app's lease.
#[derive(Debug, Default)]
pub struct Calm {
    since: BTreeMap<AppId, (Epoch, Moment)>,
}

/// Renewals every two and a half seconds, a word given that binds for ten, and a value that a minority holds repaired in
/// five: nothing keeps a lease away for longer.
const CALM: Duration = Duration::from_secs(30);

impl Calm {
    /// Looks at every app, once a second.
    pub fn look(&mut self, simulation: &Simulation, app: &AppId, found: &mut Found) {
        let now = simulation.now;
        let Some(database) = simulation.writer(app) else { return };
        if !is_calm(simulation, app, &database) {
            self.since.remove(app);
            return;
        }
        let epoch = simulation.agreed(app).map_or(Epoch(0), |agreed| agreed.epoch);
        let (of, since) = *self.since.entry(app.clone()).or_insert((epoch, now));
        if of != epoch {
            self.since.insert(app.clone(), (epoch, now));
            return;
        }
        if now.since(since) > CALM && !simulation.world.open(now, &database) {
            let text = format!("{database} is shut, and nothing was in its way since {since}");
            found.push(("a lease is kept", text));
            self.since.remove(app);
        }
    }
}

/// Is its guard well, and linked with a majority of voters that are well and linked with one another? A minority may be
/// away, or hold what was never chosen.
fn is_calm(simulation: &Simulation, app: &AppId, database: &TargetId) -> bool {
    let Some(agreed) = simulation.agreed(app) else { return false };
    let guard = agreed.definition.guarded().find_map(|(stack, it)| {
        let named = *stack == database.stack && it.name == database.name;
        it.guard.as_ref().filter(|_| named)
    });
    let Some(guard) = guard.and_then(|guard| simulation.place(guard)) else { return false };
    let settled = |place: Place| {
        simulation.agents[place].answers()
            && simulation
                .held(place, app)
                .is_some_and(|held| (held.epoch, held.phase) == (agreed.epoch, Phase::Idle))
    };
    if agreed.phase != Phase::Idle || !settled(guard) {
        return false;
    }
    let passes = |one: Place, other: Place| {
        one == other
            || (simulation.network.connection(one, other).is_some()
                && [(one, other), (other, one)].iter().all(|(from, to)| {
                    let edge = simulation.network.edge(*from, *to);
                    !edge.cut && edge.loss < 0.05
                }))
    };
    let voters = &simulation.agents[guard].config.voters;
    let well: Vec<Place> = voters
        .all()
        .filter_map(|voter| simulation.place(&voter.agent))
        .filter(|place| settled(*place) && passes(guard, *place))
        .collect();
    let whole: BTreeSet<_> = well
        .iter()
        .filter(|one| well.iter().all(|other| passes(**one, *other)))
        .map(|place| simulation.agents[*place].id.clone())
        .collect();
    voters.majority_of(&whole)
}
