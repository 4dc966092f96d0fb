//! Who writes, truly? (PROTOCOL.md S8, S9; C3)
//!
//! Looks at the world alone: which primary has a door that is open, at every instant at which one opens or comes to be.
//! Doors shut by themselves, and shutting breaks nothing. And a guard that is well, in a mesh that is, keeps its lease.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::model::{AcceptorId, AppId, AppState, Epoch, Fencing, Phase, TargetId};
use consensus::moment::Moment;

use super::Found;
use super::register::Link;
use crate::network::Place;
use crate::simulation::Simulation;
use crate::world::{Role, World};

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
            && !world.doors.given_up.contains(*id)
            && it.role == Role::Primary
            && it.timeline > world.databases[database].timeline
    });
    if let Some((newer, _)) = newer {
        let text = format!("{database} opens, and {newer} was promoted since");
        found.push(("nothing is written after a fence", text));
    }
}

/// S9: a database has just become the primary: whoever was it before is shut. A request may come late for a promotion that people
/// gave up: then its own door is, and it has to be built anew.
pub fn promoted(now: Moment, world: &World, database: &TargetId, found: &mut Found) {
    if world.doors.given_up.contains(database) && !world.open(now, database) {
        return;
    }
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
    if (before.phase, after.phase) == (Phase::Promoting, Phase::Aborting) {
        given_up(now, world, after, found);
    }
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
        let named = after
            .definition
            .guarded()
            .find(|(stack, it)| **stack == database.stack && it.name == database.name);
        let guard = named.and_then(|(_, it)| it.guard.as_ref());
        let required = after.definition.data.fencing == Fencing::Required;
        if let Some(guard) = guard.filter(|guard| required && !world.was_held(database, guard)) {
            let text = format!("{guard} never held {database}, and proves it fenced");
            found.push(("fenced before promoted", text));
        }
        let proven = after.decision.fence.get(&database.name).is_some_and(|it| it.proven);
        if !proven {
            let text = format!("{database} has a guard and is not proven fenced");
            found.push(("fenced before promoted", text));
        }
    }
}

/// A promotion was taken back: what it promoted takes no writes any more, which nobody would ever see again; unless it lives on
/// the word of those who would open in its place.
fn given_up(now: Moment, world: &World, after: &AppState, found: &mut Found) {
    let app = &after.definition.name;
    let of = world.doors.of.iter().filter(|id| id.app == *app && id.stack == after.decision.from);
    for database in of {
        let promised = world.doors.failsafe.iter().any(|(_, id)| id == database);
        if world.open(now, database) && !promised {
            found.push((
                "given up once it is shut",
                format!("{database} is given up, and it is open"),
            ));
        }
    }
}

/// Since when nothing has been in the way of each app's lease.
#[derive(Debug, Default)]
pub struct Calm {
    since: BTreeMap<AppId, (Epoch, Moment)>,
    /// When each was last seen open, or something was in the way.
    excused: BTreeMap<AppId, Moment>,
    /// When some voter was last seen to hold what was never chosen.
    fluxes: BTreeMap<AppId, Moment>,
    /// Which run of every agent's process this is, and since when.
    runs: BTreeMap<Place, (u64, Moment)>,
}

/// Renewals every two and a half seconds, and a word given that binds for ten: nothing keeps a lease away for longer.
const CALM: Duration = Duration::from_secs(30);

/// But a fence that only a minority accepted, if that many are needed: found out about after two seconds, in doubt for ten,
/// and a few rounds.
const IN_FLUX: Duration = Duration::from_secs(20);

/// What travels longer than this may come too late for a renewal.
const LATE: Duration = Duration::from_secs(1);

/// A voter that starts asks the others whether its store is whole, and grants nothing before they answered.
const STARTS: Duration = Duration::from_secs(15);

impl Calm {
    /// Looks at every app, once a second.
    pub fn look(&mut self, simulation: &Simulation, app: &AppId, found: &mut Found) {
        let now = simulation.now;
        for (place, agent) in simulation.agents.iter().enumerate() {
            let run = self.runs.entry(place).or_insert((agent.run, now));
            if run.0 != agent.run {
                *run = (agent.run, now);
            }
        }
        let young = |place: Place| self.runs[&place].1 + STARTS > now;
        let Some(database) = simulation.writer(app) else { return };
        let Some(calm) = calm(simulation, app, &database, young) else {
            self.since.remove(app);
            self.excused.insert(app.clone(), now);
            return;
        };
        if !calm.of_one_mind {
            self.fluxes.insert(app.clone(), now);
        }
        // A door shuts for want of what did not come for as long as a lease lasts.
        let lately = self.fluxes.get(app).is_some_and(|flux| now.since(*flux) <= calm.lease);
        let patience = if lately { IN_FLUX } else { Duration::ZERO };
        let open = simulation.world.open(now, &database);
        if open {
            self.excused.insert(app.clone(), now);
        }
        let epoch = simulation.agreed(app).map_or(Epoch(0), |agreed| agreed.epoch);
        let (of, since) = *self.since.entry(app.clone()).or_insert((epoch, now));
        if of != epoch {
            self.since.insert(app.clone(), (epoch, now));
            return;
        }
        let shut = now.since(self.excused.get(app).copied().unwrap_or(since));
        if now.since(since) > CALM && !open && shut > patience {
            let text = format!("{database} is shut, and nothing was in its way since {since}");
            found.push(("a lease is kept", text));
            self.since.remove(app);
        }
    }
}

/// What there is where nothing is in a lease's way.
struct Around {
    /// How long it lasts.
    lease: Duration,
    /// Is there a quorum without those that hold what was never chosen? That takes a while to be found out.
    of_one_mind: bool,
}

/// Is its guard well, and linked with a quorum of stores whose agents are well and linked with one another?
fn calm(
    simulation: &Simulation,
    app: &AppId,
    database: &TargetId,
    young: impl Fn(Place) -> bool,
) -> Option<Around> {
    let agreed = simulation.agreed(app)?;
    let guard = agreed.definition.guarded().find_map(|(stack, it)| {
        let named = *stack == database.stack && it.name == database.name;
        it.guard.as_ref().filter(|_| named)
    });
    let guard = guard.and_then(|guard| simulation.place(guard))?;
    let settled = |place: Place| {
        simulation.agents[place].answers()
            && simulation
                .held(place, app)
                .is_some_and(|held| (held.epoch, held.phase) == (agreed.epoch, Phase::Idle))
    };
    // What came back from a copy of its disk shuts what it knew to be another's then, until it has learnt more (seed 10772).
    let behind = simulation.agents[guard].doomed && young(guard);
    if agreed.phase != Phase::Idle || !settled(guard) || behind {
        return None;
    }
    let passes = |one: Place, other: Place| {
        one == other
            || (simulation.network.connection(one, other).is_some()
                && [(one, other), (other, one)].iter().all(|(from, to)| {
                    let edge = simulation.network.edge(*from, *to);
                    !edge.cut && edge.loss < 0.05 && edge.jitter < LATE
                }))
    };
    let known = &simulation.agents[guard];
    let voters = simulation.electorate.at(known.version).unwrap_or(&known.config.voters);
    // Stores count, not agents: one that came back without its own is half of two sets of voters at most.
    let well: Vec<(AcceptorId, Place)> = voters
        .all()
        .filter(|voter| simulation.holds(voter))
        .filter_map(|voter| Some((voter.acceptor, simulation.place(&voter.agent)?)))
        .filter(|(_, place)| settled(*place) && !young(*place) && passes(guard, *place))
        .collect();
    let latest = simulation.registers.latest(app)?.ballot;
    let decided = |place: Place| {
        let register = simulation.agents[place].disk.durable().registers.get(&app.into());
        let accepted = register.and_then(|register| register.accepted.as_ref());
        accepted.is_none_or(|accepted| accepted.ballot <= latest)
    };
    let whole: Vec<(AcceptorId, Place)> = well
        .iter()
        .copied()
        .filter(|(_, one)| well.iter().all(|(_, other)| passes(*one, *other)))
        .collect();
    let quorum = |counts: &dyn Fn(Place) -> bool| {
        let counted = whole.iter().filter(|(_, place)| counts(*place));
        voters.quorum(&counted.map(|(store, _)| *store).collect())
    };
    quorum(&|_| true)
        .then(|| Around { lease: agreed.definition.data.lease, of_one_mind: quorum(&decided) })
}
