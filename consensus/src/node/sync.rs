//! Whom a primary waits for, kept as the app's definition asks: who receives is added, who is silent is taken away.
//!
//! A replica that dies would hold up every write for ever, and one that is waited for by nobody holds less than was
//! acknowledged. What is agreed and what the primary is set to change one after the other, in the order that
//! [`crate::model::sync`] explains: what the mesh asks the primary for rests on a version that is agreed, and each voter that
//! accepts another replica has itself seen the primary wait for it under that version, and the replica hold whatever the
//! primary had by then: what was acknowledged before is on none of its replicas for certain. Any agent does this that holds
//! the primary's credential, one after the other; that two do it at once costs nothing but an attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Node;
use super::drift::published;
use super::intent::Intent;
use super::work::Work;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::is_replica_of;
use crate::failover::chain::at_rest;
use crate::message::Refusal;
use crate::model::{
    AppId, AppState, Belief, Database, DatabaseSight, Definition, Effect, Engine, Health, Mode,
    Phase, StackId, SyncSet, TargetName, Waits,
};
use crate::moment::Moment;

/// A replica that nobody sees receive for so long is waited for no more: writes stand still meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// The next in rank waits so much longer: the first may not reach the primary.
const RANK_STEP: Duration = Duration::from_secs(10);
/// Between two requests: what was asked for shows at the next look. Doubled, up to a minute and a half, while it does not.
const PAUSE: Duration = Duration::from_secs(3);
const DOUBLINGS: u32 = 5;
/// Whoever says that it goes by a setting means that nothing keeps it from reading it; this is for it to get round to that.
const SETTLES: Duration = Duration::from_secs(1);
/// A replica that lacks more than this catches up first: until it has, every write would wait.
const CLOSE: u64 = 16 << 20;

/// What this agent knows of replicas that are waited for.
#[derive(Debug, Default)]
pub struct Syncing {
    /// Those who do not receive: since when, and when that was seen last.
    silent: BTreeMap<(TargetName, StackId), (Moment, Moment)>,
    /// Those whom a primary was seen to wait for, by the names it knows them by.
    waited: BTreeMap<(TargetName, String), Waited>,
    /// Since when something has been to be done under this version.
    due: Option<(u64, Moment)>,
    /// What was last asked of each primary: one that refuses holds up no other.
    asked: BTreeMap<TargetName, Asked>,
}

/// What a primary was last asked for.
#[derive(Debug)]
struct Asked {
    effect: Effect,
    /// How often in a row before.
    tries: u32,
    /// Nothing is asked of it before this.
    not_before: Moment,
}

/// A primary was seen to wait for a replica.
#[derive(Clone, Copy, Debug)]
struct Waited {
    /// Under which version of the agreed set.
    version: u64,
    /// When that was first seen.
    since: Moment,
    /// Where the primary was a moment later: whatever it acknowledges beyond that, the replica has.
    from: Option<u64>,
}

impl Syncing {
    /// What was known of databases that the app has no more is forgotten.
    fn keep_only(&mut self, databases: &[Database]) {
        let has = |name: &TargetName| databases.iter().any(|it| it.name == *name);
        self.waited.retain(|(of, _), _| has(of));
        self.asked.retain(|of, _| has(of));
    }

    /// When a primary may be asked again.
    fn asks_from(&self, database: &TargetName) -> Moment {
        self.asked.get(database).map_or(Moment::ZERO, |asked| asked.not_before)
    }

    /// A primary is asked now.
    fn ask(&mut self, database: TargetName, effect: Effect, now: Moment) {
        let before = self.asked.get(&database).filter(|before| before.effect == effect);
        let tries = before.map_or(0, |before| before.tries.saturating_add(1));
        let not_before = now + PAUSE * (1 << tries.min(DOUBLINGS));
        self.asked.insert(database, Asked { effect, tries, not_before });
    }

    /// Takes note of whom a primary is seen to wait for.
    fn on_sight(
        &mut self,
        database: &TargetName,
        waits: &Waits,
        primary: &DatabaseSight,
        at: Moment,
    ) {
        self.waited
            .retain(|(of, name), held| of != database || waits.bears_out(held.version, name));
        for name in waits.names.iter().filter(|name| waits.bears_out(waits.version, name)) {
            let first = Waited { version: waits.version, since: at, from: None };
            let held = self.waited.entry((database.clone(), name.clone())).or_insert(first);
            if held.from.is_none() && held.since + SETTLES <= at && Waits::settled(primary) {
                held.from = Some(primary.position);
            }
        }
    }

    /// Does this replica hold whatever its primary acknowledged and will, by what was seen under this version?
    fn holds_all(&self, database: &TargetName, version: u64, replica: &DatabaseSight) -> bool {
        let Some(name) = &replica.upstream_name else { return false };
        let held = self.waited.get(&(database.clone(), name.clone()));
        held.filter(|held| held.version == version && replica.replica)
            .and_then(|held| held.from)
            .is_some_and(|from| from <= replica.position)
    }
}

/// What is to be done next.
enum Step {
    /// To be agreed.
    Rely(SyncSet),
    /// To be asked of the primary of this database.
    Ask(TargetName, Box<Effect>),
}

/// One database of an app: its primary, as this agent last saw it, and who is agreed to hold what it acknowledges.
struct Kept<'a> {
    state: &'a AppState,
    database: &'a Database,
    primary: &'a DatabaseSight,
    own: &'a [Belief],
    syncing: &'a Syncing,
    /// Only a mutant relies on whom nobody has seen to be waited for.
    unseen: bool,
}

impl Node {
    /// Takes the next step towards the replicas that should be waited for, if nothing else is going on.
    pub(super) fn consider_sync(&mut self, app: &AppId, now: Moment) {
        let is_tended = |state: &AppState| is_kept(state) || was_kept(state);
        let Some((known, _)) = self.apps[app].known().filter(|(_, it)| is_tended(it)) else {
            return;
        };
        let (state, learned) = (known.state.clone(), known.learned);
        let own = self.beliefs_of(app, now);
        self.note_waits(app, &state, &own, now);
        self.look_again(app, now + PATIENCE);
        let it = &self.apps[app];
        let rests = state.phase == Phase::Idle && it.attempt.is_none() && it.called.is_none();
        let may = rests && self.keeps_sync(&state) && self.hears_majority(now);
        // A frozen app moves nowhere by itself; that its writes stand still because a replica is off helps nobody.
        if !may {
            return;
        }
        #[cfg(feature = "mutants")]
        let unseen = self.broken(Mutant::ReliedUnseen);
        #[cfg(not(feature = "mutants"))]
        let unseen = false;
        let silent = self.silent(&state, &own, now);
        let it = self.apps.get_mut(app).expect("it is known");
        it.syncing.silent.retain(|place, _| silent.contains_key(place));
        for (place, at) in silent {
            it.syncing.silent.entry(place).or_insert((at, at)).1 = at;
        }
        let (syncing, works) = (&it.syncing, it.work.is_some());
        let Some(active) = state.definition.stack(&state.active) else { return };
        let mut later = Moment::NEVER;
        let step = active.databases.iter().find_map(|database| {
            let (sight, age) = seen(&own, &state, &state.active, &database.name)?;
            // What was seen before the agreed set was known says nothing of it.
            if sight.replica || now.since(learned) <= *age || database.engine != Engine::Postgres {
                return None;
            }
            let kept = Kept { state: &state, database, primary: sight, own: &own, syncing, unseen };
            let step = kept.step()?;
            let asks_from = syncing.asks_from(&database.name);
            if matches!(step, Step::Ask(..)) && now < asks_from {
                later = later.min(asks_from);
                return None;
            }
            Some(step)
        });
        let patient = syncing.silent.values().map(|(since, _)| *since + PATIENCE);
        let patient = patient.filter(|due| now < *due).min();
        let not_before = it.not_before;
        let since = syncing.due.filter(|(version, _)| *version == state.sync.version);
        let due = step.as_ref().map(|_| since.unwrap_or((state.sync.version, now)));
        let turn = due.map_or(now, |(_, since)| since + RANK_STEP * self.rank(app, &state, now));
        self.apps.get_mut(app).expect("it is known").syncing.due = due;
        if now < turn {
            return self.look_again(app, turn);
        }
        match step {
            Some(Step::Rely(sync)) if not_before <= now => {
                let operation = self.operation();
                self.start(app, Intent::Rely { sync }, operation, now);
            }
            Some(Step::Ask(database, effect)) if !works => {
                let it = self.apps.get_mut(app).expect("it is known");
                it.syncing.ask(database, effect.as_ref().clone(), now);
                it.work = Some(Work::mending(published(&state), state.epoch, vec![*effect], now));
                self.judge.hasten(app, now);
                self.work_on(app, now);
            }
            Some(Step::Rely(_)) => self.look_again(app, not_before),
            Some(Step::Ask(..)) => self.look_again(app, now + PAUSE),
            None => self.look_again(app, later.min(patient.unwrap_or(Moment::NEVER))),
        }
    }

    /// Takes note of whom the primaries of an app are seen to wait for.
    fn note_waits(&mut self, app: &AppId, state: &AppState, own: &[Belief], now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let databases = state.definition.stack(&state.active).map_or(&[][..], |it| &it.databases);
        it.syncing.keep_only(databases);
        for database in databases {
            match seen(own, state, &state.active, &database.name) {
                Some((sight, age)) if !sight.replica => {
                    let at = now - *age;
                    it.syncing.on_sight(&database.name, &Waits::seen(sight, app), sight, at);
                }
                _ => {}
            }
        }
    }

    /// Replicas that do not receive while their primary is clearly up, and when that was seen: nobody sees them receive, or
    /// their primary sends nothing to anybody of their name. With their primary dead they receive nothing either, and are what
    /// it is replaced by.
    fn silent(
        &self,
        state: &AppState,
        own: &[Belief],
        now: Moment,
    ) -> BTreeMap<(TargetName, StackId), Moment> {
        let panel = self.panel(state, own, now);
        if !panel.holds_data(&state.active) {
            return BTreeMap::new();
        }
        let replicas = state.definition.guarded().filter(|(stack, _)| **stack != state.active);
        let silent = replicas.filter_map(|(stack, it)| {
            let at = match panel.receives(stack, &it.name) {
                true => now - unsent(state, own, stack, &it.name)?,
                false => now,
            };
            Some(((it.name.clone(), stack.clone()), at))
        });
        silent.collect()
    }

    /// Could this agent ask the primaries?
    fn keeps_sync(&self, state: &AppState) -> bool {
        let active = state.definition.stack(&state.active);
        let mut databases = active.into_iter().flat_map(|stack| &stack.databases);
        databases.all(|it| self.config.credentials.contains(&it.credential))
    }

    /// A database that another definition lacks while its primary waits for replicas: nobody would end that any more.
    pub(super) fn left_waiting(
        &self,
        current: &AppState,
        next: &Definition,
        now: Moment,
    ) -> Option<TargetName> {
        let own = self.beliefs_of(&current.definition.name, now);
        let of_active = |it: &Definition| -> BTreeSet<TargetName> {
            let databases = it.stack(&current.active).into_iter().flat_map(|it| &it.databases);
            databases.map(|it| it.name.clone()).collect()
        };
        let stays = of_active(next);
        let waits = |name: &TargetName| {
            seen(&own, current, &current.active, name).is_some_and(|(sight, _)| {
                !sight.replica && !Waits::seen(sight, &current.definition.name).names.is_empty()
            })
        };
        let mut left = of_active(&current.definition).into_iter();
        left.find(|it| !stays.contains(it) && (waits(it) || current.sync.of(it).next().is_some()))
    }

    /// Other replicas are relied on.
    pub(super) fn relying(&self, current: &AppState, sync: &SyncSet) -> Result<AppState, String> {
        at_rest(current)?;
        match current.sync.version < sync.version {
            true => Ok(AppState { sync: sync.clone(), ..current.clone() }),
            false => Err("the sync set has changed since".into()),
        }
    }

    /// Has this voter itself seen primaries wait for whoever is relied on from now on, under the version that stood?
    pub(super) fn saw_waiting(
        &self,
        before: &AppState,
        next: &AppState,
        now: Moment,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::ReliedUnseen) {
            return Ok(());
        }
        let own = self.beliefs_of(&before.definition.name, now);
        let Some(it) = self.apps.get(&before.definition.name) else { return Ok(()) };
        for (database, stack, name) in next.sync.beyond(&before.sync) {
            let replica = seen(&own, before, stack, database).map(|(sight, _)| sight);
            let holds = replica.is_some_and(|replica| {
                replica.upstream_name.as_ref() == Some(name)
                    && it.syncing.holds_all(database, before.sync.version, replica)
            });
            if !holds || is_shared(before, &own, database, stack, name) {
                let why = format!("{database} of {stack} ({name}) was not seen to be waited for");
                return Err(Refusal::Evidence(why));
            }
        }
        Ok(())
    }
}

impl Kept<'_> {
    /// The next step for this database: what is agreed must not be more than what is waited for, so that is looked to first.
    fn step(&self) -> Option<Step> {
        let Self { state, database, .. } = self;
        let waits = Waits::seen(self.primary, &state.definition.name);
        if !is_kept(state) && waits.app.is_none() {
            // What people have set is theirs.
            return None;
        }
        let relied: BTreeMap<&StackId, &String> = state.sync.of(&database.name).collect();
        let rely = |replicas: BTreeMap<StackId, String>| {
            let mut all = state.sync.relied.clone();
            all.insert(database.name.clone(), replicas);
            all.retain(|_, replicas| !replicas.is_empty());
            let mut sync = state.sync.next(all);
            sync.version = sync.version.max(waits.version.saturating_add(1));
            Some(Step::Rely(sync))
        };
        let owned = |all: &BTreeMap<&StackId, &String>| {
            all.iter().map(|(stack, name)| ((*stack).clone(), (*name).clone())).collect()
        };
        let mut kept = relied.clone();
        kept.retain(|stack, name| waits.names.contains(*name) && self.goes_by(stack, name));
        if kept != relied || state.sync.version < waits.version.max(1) {
            return rely(owned(&kept));
        }
        let mut wanted = kept;
        for (stack, name) in self.able() {
            if wanted.len() < usize::from(state.definition.data.sync) {
                wanted.entry(stack).or_insert(name);
            }
        }
        let current = waits.version == state.sync.version;
        let mut waited = wanted.clone();
        waited.retain(|stack, name| {
            let holds = |(it, _): &(DatabaseSight, Duration)| {
                self.syncing.holds_all(&database.name, state.sync.version, it)
            };
            let replica = seen(self.own, state, stack, &database.name);
            let seen = current
                && waits.names.contains(*name)
                && (relied.contains_key(stack) || replica.is_some_and(holds));
            seen || self.unseen
        });
        if relied.len() < waited.len() {
            return rely(owned(&waited));
        }
        // Whoever is waited for under an older version is relied on only once it is under this one.
        let settled = current || wanted.keys().all(|stack| relied.contains_key(stack));
        let names: BTreeSet<String> = wanted.into_values().cloned().collect();
        if names == waits.names && settled {
            return None;
        }
        if current && !waits.names.is_subset(&names) {
            // Nothing is taken away under the version that added it.
            return rely(owned(&relied));
        }
        let app = Some(state.definition.name.clone());
        let waits = Waits { app, version: state.sync.version, names };
        let effect = Effect::Synchronous { database: (*database).clone(), waits };
        Some(Step::Ask(database.name.clone(), Box::new(effect)))
    }

    /// Does this replica receive, under the name that it is relied on by and no other does?
    fn goes_by(&self, stack: &StackId, name: &str) -> bool {
        let database = &self.database.name;
        let now = seen(self.own, self.state, stack, database);
        let now = now.and_then(|(sight, _)| sight.upstream_name.as_deref());
        !self.is_silent(stack)
            && now.is_none_or(|now| now == name)
            && !is_shared(self.state, self.own, database, stack, name)
    }

    /// Has this replica been seen not to receive for too long?
    fn is_silent(&self, stack: &StackId) -> bool {
        let seen = self.syncing.silent.get(&(self.database.name.clone(), stack.clone()));
        seen.is_some_and(|(since, last)| PATIENCE <= last.since(*since))
    }

    /// The replicas that could be waited for, in the order of the stacks.
    fn able(&self) -> impl Iterator<Item = (&StackId, &String)> {
        let name = &self.database.name;
        let standbys =
            self.state.definition.stacks.iter().filter(|it| it.name != self.state.active);
        standbys.filter_map(move |stack| {
            let (sight, _) = seen(self.own, self.state, &stack.name, name)?;
            let known = sight.upstream_name.as_ref()?;
            let close = self.primary.position.saturating_sub(sight.position) <= CLOSE;
            let able = is_replica_of(sight, self.primary)
                && sight.streaming
                && self.primary.receivers.contains(known)
                && Waits::may_name(known)
                && close
                && !self.is_silent(&stack.name)
                && !is_shared(self.state, self.own, name, &stack.name, known);
            able.then_some((&stack.name, known))
        })
    }
}

/// Does the mesh keep whom its primaries wait for?
fn is_kept(state: &AppState) -> bool {
    state.definition.data.sync > 0
        && state.definition.mode != Mode::Shadow
        && state.definition.has_databases()
}

/// Did it once? Then its primaries may be set to wait still.
fn was_kept(state: &AppState) -> bool {
    state.sync.version > 0
        && state.definition.mode != Mode::Shadow
        && state.definition.has_databases()
}

/// Who is relied on, by database, for people.
pub(super) fn sync_view(state: &AppState) -> Option<BTreeMap<TargetName, Vec<StackId>>> {
    let active = state.definition.stack(&state.active).filter(|_| is_kept(state))?;
    let of = |name| state.sync.of(name).map(|(stack, _)| stack.clone()).collect();
    Some(active.databases.iter().map(|it| (it.name.clone(), of(&it.name))).collect())
}

/// What this agent last saw of a database.
fn seen<'a>(
    own: &'a [Belief],
    state: &AppState,
    stack: &StackId,
    name: &TargetName,
) -> Option<&'a (DatabaseSight, Duration)> {
    let app = &state.definition.name;
    let mut of_it = own.iter().filter(|belief| {
        (&belief.target.app, &belief.target.stack, &belief.target.name) == (app, stack, name)
    });
    of_it.next().filter(|belief| belief.health == Health::Up)?.database.as_ref()
}

/// How long ago the primary was seen to send nothing to anybody of this replica's name, if it was.
fn unsent(
    state: &AppState,
    own: &[Belief],
    stack: &StackId,
    name: &TargetName,
) -> Option<Duration> {
    let (primary, age) = seen(own, state, &state.active, name).filter(|(it, _)| !it.replica)?;
    let relied = state.sync.of(name).find(|(of, _)| *of == stack).map(|(_, known)| known);
    let known = || seen(own, state, stack, name)?.0.upstream_name.as_ref();
    let sent = primary.receivers.contains(relied.or_else(known)?);
    (!sent).then_some(*age)
}

/// Does another replica of the same database go by this name? Then a primary takes either for it; it compares without case.
fn is_shared(
    state: &AppState,
    own: &[Belief],
    database: &TargetName,
    stack: &StackId,
    name: &str,
) -> bool {
    let app = &state.definition.name;
    own.iter().any(|belief| {
        let target = &belief.target;
        target.app == *app
            && target.name == *database
            && target.stack != *stack
            && belief.database.as_ref().is_some_and(|(sight, _)| {
                let known = sight.upstream_name.as_deref();
                sight.replica && known.is_some_and(|it| it.eq_ignore_ascii_case(name))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(position: u64, synchronous: &[&str]) -> DatabaseSight {
        DatabaseSight {
            replica: false,
            read_only: false,
            system: 7,
            timeline: 1,
            position,
            replayed: position,
            streaming: false,
            heard: None,
            lag: None,
            upstream_name: None,
            synchronous: synchronous.iter().map(|name| (*name).to_owned()).collect(),
            receivers: Vec::new(),
            slots_at_risk: Vec::new(),
        }
    }

    fn replica(position: u64) -> DatabaseSight {
        let upstream_name = Some("b".to_owned());
        DatabaseSight { replica: true, upstream_name, ..primary(position, &[]) }
    }

    #[test]
    fn a_replica_holds_all_once_it_is_where_its_primary_was_when_that_had_begun_to_wait() {
        let orders: TargetName = "orders".parse().unwrap();
        let at = |millis| Moment::ZERO + Duration::from_millis(millis);
        let (mark, settled) = ("quorate:sync:shop:2", Waits::SETTLED);
        let mut syncing = Syncing::default();
        let mut sees = |millis, position, names: &[&str]| {
            let primary = primary(position, names);
            let waits = Waits::seen(&primary, &"shop".parse().unwrap());
            syncing.on_sight(&orders, &waits, &primary, at(millis));
            let holds = |position| syncing.holds_all(&orders, 2, &replica(position));
            [100, 200, 300, 400].map(holds)
        };
        let nobody = [false; 4];
        assert_eq!(sees(0, 100, &["b", settled]), nobody, "by hand, under no version");
        assert_eq!(sees(1_000, 100, &[mark, "b", settled]), nobody, "seen for the first time");
        assert_eq!(sees(1_900, 200, &[mark, "b", settled]), nobody, "a moment later");
        assert_eq!(sees(2_000, 300, &[mark, "b"]), nobody, "its checkpointer has not read it");
        assert_eq!(sees(9_000, 300, &[mark, "b", settled]), [false, false, true, true]);
        assert_eq!(sees(9_500, 400, &[mark, "b"]), [false, false, true, true], "it stays so");
        assert_eq!(
            sees(9_600, 400, &["quorate:sync:shop:3", "b", settled]),
            nobody,
            "another version"
        );
        assert_eq!(sees(9_700, 400, &[mark, "c", settled]), nobody, "somebody else");
        let other = "quorate:sync:till:2";
        assert_eq!(sees(9_800, 400, &[other, "b", settled]), nobody, "for another app");
        assert_eq!(sees(11_000, 400, &[other, "b", settled]), nobody, "still for another app");
    }
}
