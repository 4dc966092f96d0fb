//! Turns each action into its effect on the outside, and into exactly one report.
//!
//! An action is begun only while its deadline lies ahead (PROTOCOL.md rule E1), asked again before every request that
//! cannot be taken back, given up after its limit, and answered also when its task breaks. An action leaves no choice:
//! the actors know no peers, no beliefs and no history, and compare tokens only with what the outside holds.

mod attempt;
mod database;
mod dns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use consensus::failover::plan;
use consensus::model::{
    Action, ActionFault, ActionFaultKind, AgentId, AppId, Database, Definition, Done, Driver,
    Effect, Held, Inspected, Inspection, Phase, Published, RecordKind, RecordSet, Report, StackId,
    TargetName, Token, Zone,
};
use consensus::outbox::Input;
use consensus::view::AppView;
use futures_util::{StreamExt, future, stream};
use probe::{Login, Trust};
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::timeout;

use self::attempt::{Attempt, Stage, fault};
use self::database::Tail;
pub use self::dns::Consent;
use crate::config::{Credentials, DoorConfig};
use crate::{clock, records};

/// The longest an action may take, whatever it asks for: what rule E1 counts on (PROTOCOL.md 0.1 i).
const LIMIT: Duration = Duration::from_secs(5);
/// How many names are looked at at once: with one server that answers and one that does not, sixty take little longer than the
/// first eight, and nobody is asked by more than eight sockets.
const AT_ONCE: usize = 8;

/// Carries out actions, each in a task of its own.
#[derive(Clone, Debug)]
pub struct Actors {
    credentials: Arc<Credentials>,
    meters: Arc<dns::Meters>,
    spreads: Arc<dns::Spreads>,
    trust: Trust,
    inputs: mpsc::Sender<Input>,
    wall_ms: fn() -> u64,
    guarding: Option<Arc<Guarding>>,
}

/// What stands at one name while one stack or another is the active one, by its types.
type Alternatives<'a> = BTreeMap<Vec<RecordKind>, &'a Effect>;

/// What this agent, as a guard, does with what its old primaries alone have.
#[derive(Debug)]
struct Guarding {
    agent: AgentId,
    /// The databases of which it is kept aside.
    keeps: BTreeSet<(AppId, TargetName)>,
}

impl Actors {
    /// Actors that hold these secrets and report to this loop. Reads the host's certificate authorities.
    pub fn new(credentials: Arc<Credentials>, inputs: mpsc::Sender<Input>) -> Self {
        let (meters, spreads, trust) = (Arc::default(), Arc::default(), Trust::of_host());
        let (wall_ms, guarding): (fn() -> u64, _) = (clock::wall_ms, None);
        Self { credentials, meters, spreads, trust, inputs, wall_ms, guarding }
    }

    /// The same, of this agent, with these doors.
    pub fn guarding(self, agent: &AgentId, doors: &[DoorConfig]) -> Self {
        let keeps = doors.iter().filter(|door| !door.rejoin.is_empty());
        let keeps = keeps.map(|door| (door.app.clone(), door.database.clone())).collect();
        let guarding = Some(Arc::new(Guarding { agent: agent.clone(), keeps }));
        Self { guarding, ..self }
    }

    /// What becomes of what this database alone has when it is made a replica.
    fn tail(&self, app: &AppId, database: &Database) -> Tail {
        let Some(guard) = &database.guard else { return Tail::Dropped };
        match &self.guarding {
            Some(it) if it.agent == *guard => {
                match it.keeps.contains(&(app.clone(), database.name.clone())) {
                    true => Tail::Kept,
                    false => Tail::Dropped,
                }
            }
            Some(_) | None => Tail::Elsewhere(guard.clone()),
        }
    }

    /// The same, signing by another wall clock: milliseconds since 1970.
    pub fn with_wall(self, wall_ms: fn() -> u64) -> Self {
        Self { wall_ms, ..self }
    }

    /// Begins an action; its report follows as an input. Within a tokio runtime.
    pub fn start(&self, action: Action) {
        let actors = self.clone();
        tokio::spawn(async move {
            let report = actors.carry_out(action).await;
            // A loop that has ended wants no report.
            let _ = actors.inputs.send(Input::Report(report)).await;
        });
    }

    /// Begins an inspection; what it saw follows as an input. Within a tokio runtime.
    pub fn inspect(&self, inspection: Inspection) {
        let actors = self.clone();
        tokio::spawn(async move {
            let inspected = actors.look(inspection).await;
            // A loop that has ended wants to know nothing.
            let _ = actors.inputs.send(Input::Inspected(inspected)).await;
        });
    }

    async fn look(&self, inspection: Inspection) -> Inspected {
        let Inspection { app, token, shortened, publications, holder } = inspection;
        let publications = publications.into_iter().map(|publication| (publication, holder));
        let names = self.look_over(&app, token, publications).await;
        Inspected { app, token, shortened, names }
    }

    /// What whoever holds these publications' zones has, and what their name servers say; changes nothing.
    pub(crate) async fn read(
        &self,
        app: &AppId,
        token: Token,
        publications: Vec<Effect>,
    ) -> Vec<Published> {
        self.look_over(app, token, publications.into_iter().map(|it| (it, true))).await
    }

    /// Would whoever holds these publications' zones take them, with the names that they are of? They may be those of several
    /// stacks; each set of types of a name is asked for once, and nothing is where this agent holds no credential. Changes
    /// nothing.
    pub async fn consents(
        &self,
        app: &AppId,
        token: Token,
        publications: &[Effect],
    ) -> Vec<(String, Consent)> {
        let mut known: BTreeMap<(&str, &Driver), Alternatives<'_>> = BTreeMap::new();
        for publication in publications {
            let Effect::Publish { name, driver, sets, .. } = publication else { continue };
            if driver.credential().is_none_or(|it| self.credentials.contains_key(it)) {
                let kinds: Vec<_> = sets.iter().map(|set| set.kind).collect();
                known.entry((name, driver)).or_default().entry(kinds).or_insert(publication);
            }
        }
        let round = dns::Round::default();
        let mut asked = Vec::new();
        for ((name, driver), alternatives) in &known {
            let all: BTreeSet<_> = alternatives.keys().flatten().collect();
            for (kinds, publication) in alternatives {
                let Effect::Publish { sets, stack, .. } = publication else { continue };
                let others = all.iter().copied().filter(|it| !kinds.contains(it));
                let gone: Vec<_> = others.map(|it| records::record_type(*it)).collect();
                let round = &round;
                asked.push(async move {
                    let order = self.look_for(app, token, name, (sets, stack));
                    let consent = dns::consent(&order, driver, &gone, round).await;
                    ((*name).to_owned(), consent)
                });
            }
        }
        stream::iter(asked).buffered(AT_ONCE).collect().await
    }

    /// Looks at what was published, some at once, and where it is said so at what whoever holds its zone has.
    async fn look_over(
        &self,
        app: &AppId,
        token: Token,
        publications: impl Iterator<Item = (Effect, bool)>,
    ) -> Vec<Published> {
        let round = dns::Round::default();
        let looks = publications.map(async |(publication, holder)| {
            let Effect::Publish { name, driver, sets, stack } = &publication else { return None };
            let order = self.look_for(app, token, name, (sets, stack));
            Some(dns::inspect(&order, driver, holder, &round).await)
        });
        stream::iter(looks).buffered(AT_ONCE).filter_map(future::ready).collect().await
    }

    /// What a look at a name compares with.
    fn look_for<'a>(
        &'a self,
        app: &'a AppId,
        token: Token,
        name: &'a str,
        (sets, stack): (&'a [RecordSet], &'a StackId),
    ) -> dns::Order<'a> {
        dns::Order {
            app,
            token,
            name,
            sets,
            stack,
            credentials: &self.credentials,
            meters: &self.meters,
            spreads: &self.spreads,
            what: dns::Use::Look,
            wall_ms: self.wall_ms,
        }
    }

    /// Carries an action out, to its end; what comes of it is no input of the loop's.
    pub async fn carry_out(&self, action: Action) -> Report {
        let began = Instant::now();
        let limit = action.limit.min(LIMIT);
        let stage = Stage::default();
        let Action { app, token, term, item, .. } = action.clone();
        let mut task = tokio::spawn(perform(self.clone(), action, stage.clone()));
        let result = match timeout(limit, &mut task).await {
            Ok(ended) => ended.unwrap_or_else(|error| Err(broken(error))),
            Err(_) => {
                task.abort();
                // Once it has ended it sends nothing more; it may also have come to its end just now.
                match task.await {
                    Ok(result) => result,
                    Err(error) if error.is_panic() => Err(broken(error)),
                    Err(_) => Err(fault(
                        ActionFaultKind::Unknown,
                        format!("no end within {limit:?}, while {}", stage.last()),
                    )),
                }
            }
        };
        Report { app, token, term, item, took: began.elapsed(), result }
    }
}

/// Actors of no loop: what comes of their work is what they return.
fn apart(credentials: Arc<Credentials>) -> Actors {
    let (inputs, _) = mpsc::channel(1);
    Actors::new(credentials, inputs)
}

/// What every name server of these publications' zones says, asked from this host and without any credential.
pub(crate) async fn ask_servers(
    app: &AppId,
    token: Token,
    publications: Vec<Effect>,
) -> Vec<Published> {
    let actors = apart(Arc::default());
    actors.look_over(app, token, publications.into_iter().map(|it| (it, false))).await
}

/// The same, and what whoever holds the zones holds, read with these credentials; where one is missing nobody is asked.
pub(crate) async fn ask_holders(
    app: &AppId,
    token: Token,
    publications: Vec<Effect>,
    credentials: Arc<Credentials>,
) -> Vec<Published> {
    let actors = apart(credentials);
    let held = |publication: &Effect| match publication {
        Effect::Publish { driver, .. } => {
            driver.credential().is_none_or(|it| actors.credentials.contains_key(it))
        }
        _ => false,
    };
    let publications = publications.into_iter().map(|publication| {
        let holder = held(&publication);
        (publication, holder)
    });
    actors.look_over(app, token, publications).await
}

/// What drivers would publish at every name, whichever stack is the active one.
pub(crate) fn publications_of_all(definition: &Definition) -> Vec<Effect> {
    let stacks = definition.stacks.iter();
    stacks.flat_map(|stack| plan::published(definition, &stack.name, 0)).collect()
}

/// Leaves out what could not be read: that is said, and whether it may be changed is not the question yet.
pub(crate) fn leave_out_unread(publications: &mut Vec<Effect>, read: &[Published]) {
    let unread =
        |name: &str| read.iter().any(|it| it.name == name && matches!(it.held, Held::Unknown(_)));
    publications.retain(|it| match it {
        Effect::Publish { name, .. } => !unread(name),
        _ => false,
    });
}

/// Would whoever holds these publications' zones take them by these credentials? Changes nothing.
pub(crate) async fn ask_consents(
    app: &AppId,
    token: Token,
    publications: &[Effect],
    credentials: Arc<Credentials>,
) -> Vec<(String, Consent)> {
    apart(credentials).consents(app, token, publications).await
}

/// What every name server says that the app's own zones are delegated to, of what agents answer themselves while `active` is the
/// active stack: asked from this host, and nobody where none is found.
pub(crate) async fn ask_delegated(
    definition: &Definition,
    active: &StackId,
    token: Token,
) -> Vec<Published> {
    let actors = apart(Arc::default());
    let round = dns::Round::default();
    let mut looks = Vec::new();
    for ((name, driver), sets) in plan::answers(definition, active, 0) {
        let lies_in =
            |zone: &&Zone| name == zone.name || name.ends_with(&format!(".{}", zone.name));
        let zone = definition.zones.iter().filter(lies_in).max_by_key(|zone| zone.name.len());
        let Some(zone) = zone.filter(|_| *driver == Driver::BuiltIn) else { continue };
        let (actors, round) = (&actors, &round);
        looks.push(async move {
            let order = actors.look_for(&definition.name, token, name, (&sets, active));
            dns::inspect_delegated(&order, &zone.name, round).await
        });
    }
    stream::iter(looks).buffered(AT_ONCE).collect().await
}

/// What an app's steps do to a database beyond what they do to each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uses {
    /// It may have to follow another than before, without being the old primary.
    pub follows: bool,
    /// The mesh keeps whom it waits for.
    pub sync: bool,
    /// What it alone has is read from its log by `quorate rejoin-redis`.
    pub log: bool,
}

/// What a log-in lacks for these steps at a database, a sentence each. Changes nothing.
///
/// # Errors
/// Why it is not known.
pub async fn lacking(
    app: &AppId,
    database: &Database,
    uses: Uses,
    login: &Login,
    trust: &Trust,
) -> Result<Vec<String>, String> {
    let lacking = database::lacking(app, database, uses, login, trust).await;
    lacking.map_err(|fault| fault.text)
}

/// The token under which what was decided is published.
pub(crate) fn published_under(view: &AppView) -> Token {
    Token::new(view.epoch, view.decision.attempt, Phase::Publishing.step())
}

async fn perform(actors: Actors, action: Action, stage: Stage) -> Result<Done, ActionFault> {
    let mut attempt = Attempt::new(action.deadline, action.limit.min(LIMIT), stage);
    match &action.effect {
        Effect::Fence(database) => {
            let order =
                database::Order::new(&action, database, &actors.credentials, &actors.trust)?;
            database::fence(&mut attempt, &order).await
        }
        Effect::Unfence(database) => {
            let order =
                database::Order::new(&action, database, &actors.credentials, &actors.trust)?;
            database::unfence(&mut attempt, &order).await
        }
        Effect::Promote { database, candidate, at_least } => {
            let order =
                database::Order::new(&action, database, &actors.credentials, &actors.trust)?;
            database::promote(&mut attempt, &order, candidate, *at_least).await
        }
        Effect::Follow { database, primary } => {
            let order =
                database::Order::new(&action, database, &actors.credentials, &actors.trust)?;
            let order = order.with(actors.tail(&action.app, database));
            let upstream =
                database::Order::new(&action, primary, &actors.credentials, &actors.trust)?;
            database::follow(&mut attempt, &order, &upstream).await
        }
        Effect::StepDown { database, term } => {
            let order =
                database::Order::new(&action, database, &actors.credentials, &actors.trust)?;
            database::step_down(&mut attempt, &order, *term).await
        }
        Effect::Synchronous { database, waits } => {
            let order =
                database::Order::new(&action, database, &actors.credentials, &actors.trust)?;
            database::wait_for(&mut attempt, &order, waits).await
        }
        Effect::Publish { name, driver, sets, stack } => {
            let order = dns::Order {
                app: &action.app,
                token: action.token,
                name,
                sets,
                stack,
                credentials: &actors.credentials,
                meters: &actors.meters,
                spreads: &actors.spreads,
                what: of_term(action.term),
                wall_ms: actors.wall_ms,
            };
            dns::publish(&mut attempt, &order, driver).await
        }
    }
}

/// Is it a step of a decision, or nobody's claim and asked for once more (`Work::mending`)? Claims count from one.
fn of_term(term: u32) -> dns::Use {
    match term {
        0 => dns::Use::Upkeep,
        _ => dns::Use::Change,
    }
}

fn broken(error: JoinError) -> ActionFault {
    let why = match error.try_into_panic() {
        Ok(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (None, Some(text)) => (*text).to_owned(),
            (None, None) => "no reason given".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    fault(ActionFaultKind::Unknown, format!("the action broke: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_asked_about_changes() {
        let publication = |name: &str| Effect::Publish {
            name: name.to_owned(),
            driver: Driver::BuiltIn,
            sets: vec![],
            stack: "s1".parse().expect("a name"),
        };
        let read = |name: &str, held| Published {
            name: name.to_owned(),
            held,
            right: 0,
            longest: None,
            wrong: vec![],
        };
        let mut publications = ["a.example", "b.example", "c.example"].map(publication).to_vec();
        let seen = [
            read("a.example", Held::Unknown("it refuses the credential".to_owned())),
            read("b.example", Held::AsDecided),
        ];
        leave_out_unread(&mut publications, &seen);
        assert_eq!(publications, ["b.example", "c.example"].map(publication));
    }
}
