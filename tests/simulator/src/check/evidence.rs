//! Did a quorum really see it, first hand, twice? (PROTOCOL.md S5, S15; C2)
//!
//! Reads the certificates in the agreed history with rules of its own, weaker than the core's but never wrong: whatever
//! fails them was decided without evidence. Then holds every failover against the world as it truly was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus::codec;
use consensus::model::{
    AgentId, AppState, Belief, Certificate, DecisionKind, Health, Phase, Region, StackId,
    Statement, Target, TargetId, TargetName, Voters,
};
use consensus::moment::Moment;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::Found;
use super::electorate::Electorate;
use super::register::Link;
use crate::world::World;

const BEHIND: &str = "a quorum's evidence behind it";
/// What every statement is signed together with.
const CONTEXT: &[u8] = b"quorate evidence 1\0";
const FALSE: &str = "no false failover";

/// Certificates of one step of the agreed history.
pub fn certified(electorate: &Electorate, link: &Link, found: &mut Found) {
    let (Some(before), after) = (&link.before, &link.after) else { return };
    if !matches!(after.decision.kind, DecisionKind::Failover | DecisionKind::Approved) {
        return;
    }
    let mut broken = |what: String| {
        found.push((BEHIND, format!("{} epoch {}: {what}", after.definition.name, after.epoch)));
    };
    if after.epoch != before.epoch {
        match &after.decision.first {
            None => broken("decided without".into()),
            Some(first) => {
                let shows = match before.definition.follows() {
                    true => led(electorate, link, (before, after), first),
                    false => holds(electorate, link, before, first, &after.decision.from)
                        .and_then(|voters| allows(voters, before, after, first)),
                };
                if let Err(why) = shows {
                    broken(format!("decided with evidence that {why}"));
                }
            }
        }
    }
    if after.phase == Phase::Promoting && before.phase != Phase::Promoting {
        match &after.decision.second {
            None => broken("promotes without a second look".into()),
            Some(second) => {
                let held = holds(electorate, link, before, second, &after.decision.from);
                if let Err(why) = held.and_then(|voters| allows(voters, before, after, second)) {
                    broken(format!("promotes with evidence that {why}"));
                }
            }
        }
    }
}

/// Does the evidence speak for where it moves to, and does no replica speak against moving at all?
fn allows(
    voters: &Voters,
    before: &AppState,
    after: &AppState,
    certificate: &Certificate,
) -> Result<(), String> {
    let (from, to) = (&after.decision.from, &after.decision.to);
    let sound = certificate.evidence.iter().map(|it| &it.statement);
    let sound: Vec<_> = sound.filter(|it| it.abstention.is_none()).collect();
    let definition = &before.definition;
    let stack = definition.stack(to).ok_or("moves to nowhere")?;
    let of = |statement: &Statement, stack: &StackId, name: &TargetName| {
        let named = |it: &&Belief| it.target.stack == *stack && it.target.name == *name;
        statement.beliefs.iter().find(named).cloned()
    };
    let sees_up = |statement: &Statement| {
        let up = |name| of(statement, to, name).is_some_and(|it| it.health == Health::Up);
        let web = stack.endpoints.is_empty() || stack.endpoints.iter().any(|it| up(&it.name));
        let data = !definition.has_databases() && !stack.endpoints.is_empty();
        web && (data || stack.databases.iter().all(|it| up(&it.name)))
    };
    let mut regions: BTreeMap<_, (f64, f64)> = BTreeMap::new();
    for statement in &sound {
        let (up, all) = regions.entry(&statement.region).or_default();
        (*up, *all) = (*up + f64::from(u8::from(sees_up(statement))), *all + 1.0);
    }
    let share = regions.values().map(|(up, all)| up / all).sum::<f64>() / regions.len() as f64;
    if share < 0.899 {
        return Err(format!("shows {to} up for {:.0} % of the world only", share * 100.0));
    }
    let long_up = |statement: &&&Statement| {
        let long = |name| of(statement, to, name).is_some_and(|it| it.qualified);
        stack.endpoints.is_empty() || stack.endpoints.iter().any(|it| long(&it.name))
    };
    let fit: BTreeSet<_> = sound.iter().filter(long_up).map(|it| it.agent.clone()).collect();
    if !voters.majority_of(&fit) {
        return Err(format!("shows {to} long enough up for {} voters", fit.len()));
    }
    for database in definition.stack(from).map(|it| &it.databases[..]).unwrap_or_default() {
        let fenced = before.phase != Phase::Idle;
        let window = definition.probe.window;
        let down = |it: &&&Statement| {
            let belief = of(it, from, &database.name);
            // That it is shut is another reason to move, and one that an observer's word may have taken away from the core.
            belief.is_some_and(|it| dead(&it, fenced, window) == Health::Down)
        };
        let down: BTreeSet<_> = sound.iter().filter(down).map(|it| it.agent.clone()).collect();
        let streams = |statement: &&Statement| {
            let mut of_it = statement.beliefs.iter().filter(|it| it.target.name == database.name);
            of_it.any(|it| it.target.stack != *from && it.advancing && it.health == Health::Up)
        };
        // A primary whose guard let go feeds whom it likes: it takes no writes (PROTOCOL.md 0.1 b).
        let kept = |statement: &&Statement| {
            let sight = of(statement, from, &database.name).and_then(|it| it.guard);
            sight.is_some_and(|guard| guard.open || guard.heard <= window)
        };
        let writable = database.guard.is_none() || sound.iter().any(kept);
        let fell = definition.has_databases() && voters.majority_of(&down);
        if fell && writable && sound.iter().any(streams) {
            return Err(format!("shows a replica that still streams from {from}"));
        }
    }
    Ok(())
}

/// What a belief says with what the believer knows of the guard: its word turns doubt into certainty, and under our own fence
/// nobody but it can tell.
fn seen(belief: &Belief, fenced: bool, window: Duration) -> Health {
    match &belief.guard {
        // Nobody holds its door open, and it takes no writes without.
        Some(guard) if !fenced && guard.lived && !guard.open && guard.heard > window => {
            Health::Down
        }
        _ => dead(belief, fenced, window),
    }
}

/// The same of the database alone, whatever its door does.
fn dead(belief: &Belief, fenced: bool, window: Duration) -> Health {
    match &belief.guard {
        Some(guard) if fenced && guard.heard > window => Health::Down,
        Some(guard) if fenced => guard.health,
        Some(guard) if (guard.health, belief.health) == (Health::Down, Health::Degraded) => {
            Health::Down
        }
        _ => belief.health,
    }
}

/// Did a quorum see, just now, that the primary is where it moves to, by an election that nothing speaks against?
fn led(
    electorate: &Electorate,
    link: &Link,
    (before, after): (&AppState, &AppState),
    certificate: &Certificate,
) -> Result<(), String> {
    let voters = genuine(electorate, link, before, certificate)?;
    let (definition, to) = (&before.definition, &after.decision.to);
    let stack = definition.stack(to).ok_or("moves to nowhere")?;
    let sound = || certificate.evidence.iter().map(|it| &it.statement);
    let sound = || sound().filter(|it| it.abstention.is_none());
    for name in stack.databases.iter().map(|it| &it.name) {
        let claims = |statement: &Statement| -> Vec<(u32, StackId)> {
            let named = statement.beliefs.iter().filter(|it| it.target.name == *name);
            let claims = named.filter_map(|it| {
                let (sight, age) = it.database.as_ref()?;
                let fresh = it.health == Health::Up && *age <= definition.probe.window;
                (fresh && !sight.replica).then(|| (sight.timeline, it.target.stack.clone()))
            });
            claims.collect()
        };
        let last = sound().flat_map(claims).map(|(term, _)| term).max().unwrap_or_default();
        let of_last: BTreeSet<StackId> =
            sound().flat_map(claims).filter(|it| it.0 == last).map(|it| it.1).collect();
        if of_last.len() > 1 {
            return Err(format!("shows two primaries of {name} by election {last}"));
        }
        let sees = |it: &&Statement| claims(it).contains(&(last, to.clone()));
        let seeing: BTreeSet<_> = sound().filter(sees).map(|it| it.agent.clone()).collect();
        if !voters.majority_of(&seeing) {
            let seeing = seeing.len();
            return Err(format!("shows {name} led from {to} to {seeing} voters"));
        }
    }
    let fit = |statement: &&Statement| {
        stack.endpoints.iter().any(|endpoint| {
            let mut beliefs = statement.beliefs.iter();
            beliefs.any(|it| {
                it.target.stack == *to
                    && it.target.name == endpoint.name
                    && it.qualified
                    && it.health == Health::Up
            })
        })
    };
    let fit: BTreeSet<_> = sound().filter(fit).map(|it| it.agent.clone()).collect();
    match stack.endpoints.is_empty() || voters.majority_of(&fit) {
        true => Ok(()),
        false => Err(format!("shows {to} long enough up for {} voters", fit.len())),
    }
}

/// Is this a quorum's word, given for this ballot, that something of the stack is down?
fn holds<'a>(
    electorate: &'a Electorate,
    link: &Link,
    before: &AppState,
    certificate: &Certificate,
    stack: &StackId,
) -> Result<&'a Voters, String> {
    let voters = genuine(electorate, link, before, certificate)?;
    let (mut down, mut up) = (BTreeMap::new(), BTreeSet::new());
    for evidence in &certificate.evidence {
        let statement = &evidence.statement;
        let fenced = before.phase != Phase::Idle;
        let seen = |belief: &Belief| seen(belief, fenced, before.definition.probe.window);
        let health = |wanted| {
            let of_stack = |target: &TargetId| target.stack == *stack;
            let mut of_stack = statement.beliefs.iter().filter(|b| of_stack(&b.target)).peekable();
            of_stack.peek().is_some()
                && match wanted {
                    Health::Down => of_stack.any(|belief| seen(belief) == Health::Down),
                    _ => of_stack.all(|belief| seen(belief) == wanted),
                }
        };
        if statement.abstention.is_none() && health(Health::Down) {
            down.insert(statement.agent.clone(), statement.region.clone());
        }
        if statement.abstention.is_none() && health(Health::Up) {
            up.insert(statement.agent.clone());
        }
    }
    let regions: BTreeSet<_> = down.values().collect();
    let needed = before.definition.regions.min(voters.regions().len());
    match () {
        () if !voters.majority_of(&down.keys().cloned().collect()) => {
            Err(format!("has {} of {} voters", down.len(), voters.agents().len()))
        }
        () if regions.len() < needed => Err(format!("has {} of {needed} regions", regions.len())),
        () if voters.blocked_by(&up) => Err(format!("{} voters contradict", up.len())),
        () => Ok(voters),
    }
}

/// Is all of it voters' word on this app, signed, given for this ballot?
fn genuine<'a>(
    electorate: &'a Electorate,
    link: &Link,
    before: &AppState,
    certificate: &Certificate,
) -> Result<&'a Voters, String> {
    if certificate.ballot != link.ballot {
        return Err(format!("is for {}, not for {}", certificate.ballot, link.ballot));
    }
    // The voters that the evidence was given under, all of it the same.
    let version = certificate.evidence.first().map_or(0, |evidence| evidence.statement.voters);
    let voters = electorate.at(version).ok_or("is of voters that never were")?;
    let mut speakers = BTreeSet::new();
    for evidence in &certificate.evidence {
        let statement = &evidence.statement;
        let voter = voters.by_acceptor(statement.acceptor).ok_or("comes from a stranger")?;
        let key = UnparsedPublicKey::new(&ED25519, voter.key);
        let signed = [CONTEXT, &codec::encode(statement)].concat();
        if key.verify(&signed, &evidence.signature).is_err() {
            return Err(format!("{} did not sign", voter.agent));
        }
        let about = (statement.mesh, &statement.app, statement.revision);
        // A voter may not have learned of the newest epoch yet; the ballot alone makes its word fresh.
        if about != (voters.mesh, &before.definition.name, before.revision)
            || statement.epoch > before.epoch
            || statement.ballot != certificate.ballot
            || statement.agent != voter.agent
            || statement.region != voter.region
            || statement.voters != version
        {
            return Err(format!("{} gave for something else", voter.agent));
        }
        if !speakers.insert(statement.acceptor) {
            return Err(format!("{} gave twice", voter.agent));
        }
    }
    Ok(voters)
}

/// From when on every voter, had it looked, would have found every target well.
#[derive(Debug, Default)]
pub struct Truth {
    since: BTreeMap<(AgentId, TargetId), Moment>,
}

/// Evidence is at most five seconds old when it is accepted, and accepting takes a while.
const SLACK: Duration = Duration::from_secs(10);

impl Truth {
    /// Something in the world has changed.
    pub fn refresh<'a>(
        &mut self,
        now: Moment,
        world: &World,
        agents: &(impl Iterator<Item = &'a AgentId> + Clone),
        states: impl Iterator<Item = &'a AppState>,
    ) {
        for state in states {
            let limit = state.definition.probe.timeout.min(state.definition.probe.window / 2);
            for (target, _) in state.definition.targets() {
                for agent in agents.clone() {
                    let key = (agent.clone(), target.clone());
                    // Nobody's writes pass a door that is shut, however well the database behind it is.
                    let serves = target.stack != state.active || world.open(now, &target);
                    match serves && world.well(agent, &target, limit) {
                        true => {
                            self.since.entry(key).or_insert(now);
                        }
                        false => {
                            self.since.remove(&key);
                        }
                    }
                }
            }
        }
    }

    /// A database that was shut takes writes again.
    pub fn reopened(&mut self, database: &TargetId) {
        self.since.retain(|(_, target), _| target != database);
    }

    /// A failover away from a stack that more than a third of a crowd of observers reaches: the voters were in the wrong
    /// place. `observers` are those that nothing ails and that everybody hears.
    pub fn on_contested(
        &self,
        now: Moment,
        (world, observers): (&World, &[(AgentId, Region)]),
        link: &Link,
        found: &mut Found,
    ) {
        let (Some(before), after) = (&link.before, &link.after) else { return };
        let failover = after.decision.kind == DecisionKind::Failover;
        let judged = failover && !before.definition.follows();
        if !judged || after.epoch == before.epoch || link.taken_back || observers.len() < 10 {
            return;
        }
        let span = before.definition.probe.window + SLACK * 3;
        let from = &after.decision.from;
        // However many reach it: nobody's writes pass a door that is shut.
        let mut of_stack = before.definition.targets().filter(|(id, _)| id.stack == *from);
        if of_stack.any(|(id, _)| !world.open(now, &id)) {
            return;
        }
        let reaches = |agent: &AgentId| {
            let targets = before.definition.targets().filter(|(id, _)| id.stack == *from);
            targets
                .map(|(id, _)| (agent.clone(), id))
                .all(|key| self.since.get(&key).is_some_and(|since| *since + span <= now))
        };
        let reaching: Vec<_> = observers.iter().filter(|(agent, _)| reaches(agent)).collect();
        let regions: BTreeSet<_> = reaching.iter().map(|(_, region)| region).collect();
        if reaching.len() * 3 > observers.len() && regions.len() >= 2 {
            let (some, all) = (reaching.len(), observers.len());
            let name = &before.definition.name;
            found.push((
                FALSE,
                format!("{name} left {from}, which {some} of {all} observers reach"),
            ));
        }
    }

    /// A failover because of a database whose guard found it well all the while, and was heard: the way there was broken,
    /// and not the database. `sound`: whom nothing ails and everybody hears, none of them a voter.
    pub fn on_vouched(
        &self,
        now: Moment,
        (voters, sound): (&Voters, &[(AgentId, Region)]),
        link: &Link,
        found: &mut Found,
    ) {
        let (Some(before), after) = (&link.before, &link.after) else { return };
        let failover = after.decision.kind == DecisionKind::Failover;
        if !failover || after.epoch == before.epoch || link.taken_back {
            return;
        }
        let Some(first) = &after.decision.first else { return };
        let definition = &before.definition;
        let span = definition.probe.window + SLACK * 3;
        for (stack, database) in definition.guarded().filter(|(it, _)| **it == after.decision.from)
        {
            let down = first.evidence.iter().map(|it| &it.statement).filter(|it| {
                let named = |belief: &&Belief| {
                    belief.target.stack == *stack && belief.target.name == database.name
                };
                let belief = it.beliefs.iter().find(named);
                it.abstention.is_none() && belief.is_some_and(|it| it.health == Health::Down)
            });
            let down: BTreeSet<AgentId> = down.map(|it| it.agent.clone()).collect();
            let vouches = |guard: &AgentId| {
                let target = definition
                    .targets()
                    .map(|(id, _)| id)
                    .find(|id| id.stack == *stack && id.name == database.name);
                let since = target.and_then(|target| self.since.get(&(guard.clone(), target)));
                sound.iter().any(|(agent, _)| agent == guard)
                    && since.is_some_and(|since| *since + span <= now)
            };
            if let Some(guard) = database.guard.as_ref().filter(|guard| vouches(guard))
                && voters.majority_of(&down)
            {
                let (name, from) = (&definition.name, &after.decision.from);
                let text = format!("{name} left {from}, whose guard {guard} saw it well");
                found.push((FALSE, text));
            }
        }
    }

    /// A failover away from a stack that a majority of voters could see well, for all of the time that counts, is false. But
    /// where a guard is `gone`, its door shuts in a moment and does not open again.
    pub fn on_decided(
        &self,
        now: Moment,
        (world, voters, gone): (&World, &Voters, &BTreeSet<AgentId>),
        link: &Link,
        found: &mut Found,
    ) {
        let (Some(before), after) = (&link.before, &link.after) else { return };
        let failover =
            matches!(after.decision.kind, DecisionKind::Failover | DecisionKind::Approved);
        // What follows its primary leaves a stack that is well.
        let follows = before.definition.follows();
        if !failover || follows || after.epoch == before.epoch || link.taken_back {
            return;
        }
        let definition = &before.definition;
        let span = definition.probe.window + SLACK;
        let from = &after.decision.from;
        let targets: Vec<TargetId> = definition
            .targets()
            .filter(|(id, target)| {
                id.stack == *from && matches!(target, Target::Endpoint(_) | Target::Database(_))
            })
            .map(|(id, _)| id)
            .collect();
        let saw_all_well = |agent: &AgentId| {
            targets.iter().all(|target| {
                let key = (agent.clone(), target.clone());
                self.since.get(&key).is_some_and(|since| *since + span <= now)
            })
        };
        let guards = definition.guards(from);
        if guards.into_iter().any(|it| gone.contains(it))
            || targets.iter().any(|it| !world.open(now, it))
        {
            return;
        }
        let agents = voters.agents().into_iter();
        let well: BTreeSet<AgentId> = agents.filter(|agent| saw_all_well(agent)).cloned().collect();
        if voters.majority_of(&well) {
            let (name, well) = (&definition.name, well.len());
            let text = format!("{name} left {from}, which {well} voters could see for {span:?}");
            found.push((FALSE, text));
        }
    }
}
