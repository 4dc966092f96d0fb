//! The weak door of a database: its own read-only mode, asked for by an agent that hears no majority of the voters.
//!
//! For a database whose host lets nobody near its filter (a container). It is no guard. A client may ask for
//! writable sessions, and an agent that is stopped or killed shuts nothing; so no lease holds this door, the core is not
//! told of it, and what it did proves nothing: a promotion finds the old primary unproven, or is refused where a proof is
//! required.
//!
//! It uses the effects of an agreed fence, and keeps out of its way ([`wish`]):
//!
//! * Until a move has promoted, what is agreed is the executor's to do. A fence that it did not bring about within
//!   [`PATIENCE`] is asked for here as well; nothing is opened.
//! * It opens only what it shut itself, by a mark on its disk that is there before it shuts; so a person's read-only mode
//!   stays. Only while it hears a majority and has done so for [`SETTLED`], in which whoever it hears tells it what it lacks.
//!   That is no reading of the register: who hears others and is not heard itself is told nothing.
//! * A replica takes no writes: it stays as it is, whoever is heard.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consensus::failover::plan;
use consensus::judge::HEARD_WITHIN;
use consensus::model::{
    Action, ActionFault, ActionFaultKind, AgentId, AppState, Database, DatabaseSight, Definition,
    Effect, Epoch, Fencing, Mode, Outcome, Phase, StackId, TargetId, Token, Watched,
};
use consensus::moment::Moment;
use consensus::outbox::{Look, Subject};
use probe::Means;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::actors::Actors;
use crate::clock;
use crate::config::{Credential, Credentials, WeakDoorConfig};
use crate::guard::{WeakDoor, WeakTurn};
use crate::run::Agreed;

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// How long a look may take: what answers later than this does not take many writes either.
const LOOK: Duration = Duration::from_secs(2);
/// How long shutting and opening may take: as any action.
const ACT: Duration = Duration::from_secs(5);
/// That a majority is heard is said about once a second.
const FRESH: Duration = Duration::from_millis(2_500);
/// For so long a majority must have been heard before anything is opened: whoever is heard tells of four apps a second that
/// this agent knows an older state of.
const SETTLED: Duration = Duration::from_secs(20);
/// Turns further apart than this: the process stood still, and what it heard before says nothing of now.
const STOOD_STILL: Duration = Duration::from_secs(10);
/// What is agreed must have stood for so long: the executor asks for its effects at once, and both end sessions.
const PATIENCE: Duration = Duration::from_secs(1);

/// What it takes to keep the weak doors of an agent.
pub struct Weak {
    /// Which agent.
    pub agent: AgentId,
    /// Its doors.
    pub doors: Vec<WeakDoorConfig>,
    /// Its data folder.
    pub folder: PathBuf,
    /// From which address it looks.
    pub means: Means,
    /// Who shuts and opens.
    pub actors: Actors,
    /// The secrets it holds.
    pub credentials: Arc<Credentials>,
    /// What is agreed, and when a majority was last heard.
    pub agreed: watch::Receiver<Arc<Agreed>>,
}

/// Keeps the doors, each in a task of its own, until the loop ends; shows how they are. Within a tokio runtime.
pub fn start(weak: Weak) -> watch::Receiver<Vec<WeakDoor>> {
    let view = |door: &WeakDoorConfig| WeakDoor {
        app: door.app.clone(),
        database: door.database.clone(),
        until: Moment::ZERO,
        trouble: None,
        last: None,
    };
    let (show, shown) = watch::channel(weak.doors.iter().map(view).collect());
    let (show, weak) = (Arc::new(show), Arc::new(weak));
    for (number, door) in weak.doors.iter().enumerate() {
        let WeakDoorConfig { app, stack, database } = door;
        let mark = weak.folder.join("weak-doors").join(format!("{app}.{stack}.{database}"));
        let keeper = Keeper {
            number,
            target: TargetId { app: app.clone(), stack: stack.clone(), name: database.clone() },
            shut: if mark.exists() { Shut::Begun } else { Shut::No },
            mark,
            began: weak.agreed.borrow().confirmed,
            heard: None,
            turned: clock::now(),
            known: None,
            show: show.clone(),
            weak: weak.clone(),
        };
        tokio::spawn(keeper.keep());
    }
    shown
}

/// Keeps one door.
struct Keeper {
    number: usize,
    target: TargetId,
    /// Did this agent shut it?
    shut: Shut,
    /// The file that says so.
    mark: PathBuf,
    /// What counted as the last word of a majority when this process began: nobody was heard then.
    began: Moment,
    /// Since when a majority has been heard without a break.
    heard: Option<Moment>,
    /// When that was last asked.
    turned: Moment,
    /// Since when what is agreed has stood.
    known: Option<((Epoch, u8, Phase), Moment)>,
    show: Arc<watch::Sender<Vec<WeakDoor>>>,
    weak: Arc<Weak>,
}

/// What became of shutting a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shut {
    /// It was not shut here.
    No,
    /// Begun, or by an earlier run: sessions may go on that can write.
    Begun,
    /// It is done.
    Done,
}

/// What is to be done to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    /// Shut it, under this token, for this reason.
    Shut(Token, String),
    /// Open it, under this token, if it was shut here.
    Open(Token),
    /// Nothing.
    Leave,
}

/// How well an agent knows what is agreed.
#[derive(Clone, Copy, Debug)]
struct Knows {
    /// How long ago a majority was last said to be heard.
    quiet: Duration,
    /// For how long it has been heard without a break, since this process began.
    heard: Duration,
    /// For how long this agent has known just this state.
    stood: Duration,
}

impl Keeper {
    async fn keep(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let agreed = match self.weak.agreed.has_changed() {
                Ok(_) => self.weak.agreed.borrow().clone(),
                // The loop has ended.
                Err(_) => return,
            };
            let named = |state: &&Arc<AppState>| state.definition.name == self.target.app;
            // Nothing is known of an app that nobody defined yet.
            let Some(state) = agreed.apps.iter().find(named).cloned() else { continue };
            let (until, trouble) = match self.turn(&state, agreed.confirmed).await {
                Ok(until) => (until, None),
                Err(why) => (Moment::ZERO, Some(why)),
            };
            self.tell(until, trouble);
        }
    }

    /// Does what is to be done. Until when it is open then.
    async fn turn(&mut self, state: &AppState, confirmed: Moment) -> Result<Moment, String> {
        let database = self.database(state)?;
        let limit = limit(state.definition.data.lease);
        let now = clock::now();
        let knows = self.knows(state, confirmed, now);
        let wish = wish(state, &self.target.stack, knows);
        let seen = self.look(&database).await;
        let seen = seen.map_err(|why| format!("it is not known whether it is shut: {why}"))?;
        let open = !seen.replica && !seen.read_only;
        match wish {
            Wish::Shut(token, why) if open || self.shut == Shut::Begun => {
                self.close(database, token, &why).await?;
                Ok(Moment::ZERO)
            }
            Wish::Open(token) if self.shut != Shut::No => {
                if !open && !seen.replica {
                    // By what was known before the look: who stood still since then opens nothing (rule E1).
                    self.open(database, token, now + ACT).await?;
                }
                self.forget()?;
                Ok(confirmed + limit)
            }
            Wish::Shut(..) | Wish::Open(_) | Wish::Leave => match open {
                true => Ok(confirmed + limit),
                false => Ok(Moment::ZERO),
            },
        }
    }

    /// The database, if it is one that a weak door is for.
    fn database(&self, state: &AppState) -> Result<Database, String> {
        behind(&state.definition, &self.target, &self.weak.agent)
    }

    fn knows(&mut self, state: &AppState, confirmed: Moment, now: Moment) -> Knows {
        let quiet = now.since(confirmed);
        if STOOD_STILL < now.since(std::mem::replace(&mut self.turned, now)) {
            self.heard = None;
        }
        match self.began < confirmed && quiet < FRESH {
            true => drop(self.heard.get_or_insert(now)),
            false => self.heard = None,
        }
        let what = (state.epoch, state.decision.attempt, state.phase);
        let since = match self.known {
            Some((known, since)) if known == what => since,
            Some(_) | None => now,
        };
        self.known = Some((what, since));
        let heard = self.heard.map(|heard| now.since(heard)).unwrap_or_default();
        Knows { quiet, heard, stood: now.since(since) }
    }

    async fn look(&self, database: &Database) -> Result<DatabaseSight, String> {
        let login = match self.weak.credentials.get(&database.credential) {
            Some(Credential::Login(login)) => Some(login.clone()),
            Some(Credential::Key { .. } | Credential::Token { .. }) | None => None,
        };
        match look(&self.target, database, self.weak.means.with_login(login), LOOK).await? {
            Outcome::Up(Some(seen)) => Ok(seen),
            Outcome::Up(None) => Err("it is no database".into()),
            Outcome::Failed(fault) | Outcome::Invalid(fault) => Err(fault.text),
        }
    }

    /// The mark is there before the door is shut: whoever finds it shut after a restart knows who did it.
    async fn close(&mut self, database: Database, token: Token, why: &str) -> Result<(), String> {
        let first = self.shut == Shut::No;
        if let (true, Err(error)) = (first, self.remember()) {
            // It is shut all the same; only after a restart nobody would know.
            let path = self.mark.display();
            tracing::error!(agent = %self.weak.agent, "cannot write `{path}`: {error}");
        }
        self.shut = Shut::Begun;
        match self.act(token, Effect::Fence(database.clone()), clock::now() + ACT).await {
            Ok(said) => {
                self.shut = Shut::Done;
                tracing::warn!(agent = %self.weak.agent, "the weak door of {} is shut, for {why}: {said}", self.target);
                self.did(false, format!("{why}; {said}"));
                Ok(())
            }
            Err(fault) => {
                // What is open after a refusal was not shut, and whoever shuts it next is somebody else.
                if first && fault.kind != ActionFaultKind::Unknown {
                    let left = self.look(&database).await.is_ok_and(|it| !it.read_only);
                    if left {
                        self.forget()?;
                    }
                }
                Err(format!("cannot shut it: {}", fault.text))
            }
        }
    }

    async fn open(&self, database: Database, token: Token, by: Moment) -> Result<(), String> {
        let said = self.act(token, Effect::Unfence(database), by).await;
        let said = said.map_err(|fault| format!("cannot open it: {}", fault.text))?;
        tracing::info!(agent = %self.weak.agent, "opens the weak door of {}: {said}", self.target);
        self.did(true, said);
        Ok(())
    }

    async fn act(
        &self,
        token: Token,
        effect: Effect,
        deadline: Moment,
    ) -> Result<String, ActionFault> {
        let app = self.target.app.clone();
        let action = Action { app, token, term: 0, item: 0, deadline, limit: ACT, effect };
        let report = self.weak.actors.carry_out(action).await;
        report.result.map(|done| done.text)
    }

    fn remember(&self) -> io::Result<()> {
        let folder = self.mark.parent().expect("it is in a folder of its own");
        fs::create_dir_all(folder)?;
        File::create(&self.mark)?.sync_all()?;
        File::open(folder)?.sync_all()
    }

    fn forget(&mut self) -> Result<(), String> {
        match fs::remove_file(&self.mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("cannot remove `{}`: {error}", self.mark.display()))
            }
            Ok(()) | Err(_) => {
                self.shut = Shut::No;
                Ok(())
            }
        }
    }

    /// Shows what was done, for the history.
    fn did(&self, open: bool, text: String) {
        let turn = WeakTurn { wall_ms: clock::wall_ms(), open, text };
        self.show.send_modify(|doors| doors[self.number].last = Some(turn));
    }

    /// Shows how it is, and logs what is new of what went wrong.
    fn tell(&self, until: Moment, trouble: Option<String>) {
        self.show.send_modify(|doors| {
            let door = &mut doors[self.number];
            if let Some(why) = trouble.as_ref().filter(|why| door.trouble.as_ref() != Some(why)) {
                tracing::error!(agent = %self.weak.agent, "the weak door of {}: {why}", self.target);
            }
            (door.until, door.trouble) = (until, trouble);
        });
    }
}

/// The database behind a weak door of this agent.
///
/// # Errors
/// Why it is none that a weak door is for.
pub fn behind(
    definition: &Definition,
    target: &TargetId,
    agent: &AgentId,
) -> Result<Database, String> {
    let TargetId { app, stack, name } = target;
    let found = definition
        .stack(stack)
        .and_then(|stack| stack.databases.iter().find(|database| database.name == *name));
    let database = found.ok_or(format!("{app} has no database `{name}` in a stack `{stack}`"))?;
    if let Some(guard) = &database.guard {
        return Err(format!(
            "the app file names {guard} as its `guard`, and {agent} shuts it by the engine, which holds no lease: leave one of \
             both out"
        ));
    }
    if database.engine.is_followed() {
        return Err("it elects its own primary, and closes itself without a majority".into());
    }
    if definition.data.fencing == Fencing::DnsOnly {
        return Err("`fencing = \"dns-only\"` leaves it alone".into());
    }
    if definition.mode == Mode::Shadow {
        return Err("its app is only watched (`mode = \"shadow\"`)".into());
    }
    Ok(database.clone())
}

/// Looks once at such a database, apart, so that even a panic is an answer.
///
/// # Errors
/// If it broke off.
pub async fn look(
    target: &TargetId,
    database: &Database,
    means: Means,
    limit: Duration,
) -> Result<Outcome, String> {
    let look = Look {
        watched: Watched::Target(target.clone()),
        subject: Subject::Database(Arc::new(database.clone())),
        limit,
    };
    let sighted = tokio::spawn(async move { probe::look(&look, &means).await }).await;
    Ok(sighted.map_err(|error| format!("the look broke off: {error}"))?.outcome)
}

/// For how long no majority may be said to be heard before a database is shut, so that this is begun within a lease of their
/// last word: that counts for [`HEARD_WITHIN`], and is looked for every [`TICK`]. Of a short lease that leaves less than what
/// an agent may go without by itself: then it is a little later than that.
fn limit(lease: Duration) -> Duration {
    lease.saturating_sub(HEARD_WITHIN + TICK).max(FRESH)
}

/// What is to be done to a stack's database by what is agreed, and by how well that is known.
fn wish(state: &AppState, stack: &StackId, knows: Knows) -> Wish {
    let limit = limit(state.definition.data.lease);
    if limit <= knows.quiet {
        let silent = (knows.quiet + HEARD_WITHIN).as_secs();
        let why = format!("no majority of the voters was heard for up to {silent} s");
        // Whatever was agreed meanwhile: nobody is told by it, and so nobody's newer word is passed over.
        return Wish::Shut(Token(u64::MAX), why);
    }
    if FRESH <= knows.quiet || knows.stood < PATIENCE {
        return Wish::Leave;
    }
    let token = plan::token(state);
    let decision = &state.decision;
    match state.phase {
        Phase::Fencing if decision.from == *stack => {
            Wish::Shut(token, format!("{stack} is being fenced"))
        }
        Phase::Promoting if decision.to != *stack => {
            Wish::Shut(token, format!("{} is being promoted", decision.to))
        }
        // The executor's: it opens what is promoted, and what a fence that was taken back had closed.
        Phase::Fencing | Phase::Promoting | Phase::Aborting => Wish::Leave,
        Phase::Idle | Phase::Publishing | Phase::Verifying if state.active != *stack => {
            Wish::Shut(token, format!("{} is the writer", state.active))
        }
        Phase::Idle | Phase::Publishing | Phase::Verifying if knows.heard < SETTLED => Wish::Leave,
        // Nobody acts under it any more, and it is not below what this epoch promoted under.
        Phase::Idle => {
            let last = Phase::Verifying.step();
            Wish::Open(Token::new(state.epoch, decision.attempt, last))
        }
        // Nor above what whoever follows is told under: a primary with a newer token would refuse that.
        Phase::Publishing | Phase::Verifying => Wish::Open(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture;

    const SURE: Knows = Knows {
        quiet: Duration::ZERO,
        heard: Duration::from_secs(60),
        stood: Duration::from_secs(60),
    };

    /// What is to be done to the old stack's database and to the new one's, in a word.
    fn wishes(phase: Phase, knows: Knows) -> [String; 2] {
        let state = fixture::shop_state(phase);
        [&state.decision.from, &state.decision.to].map(|stack| match wish(&state, stack, knows) {
            Wish::Shut(Token(u64::MAX), _) => "shut, whatever is agreed".to_owned(),
            Wish::Shut(token, _) => format!("shut {token}"),
            Wish::Open(token) => format!("open {token}"),
            Wish::Leave => "leave".to_owned(),
        })
    }

    #[test]
    fn what_is_under_way_is_the_executors_and_nothing_fenced_is_opened() {
        for (phase, expected) in [
            (Phase::Fencing, ["shut 4.1.1", "leave"]),
            (Phase::Promoting, ["shut 4.1.3", "leave"]),
            (Phase::Publishing, ["shut 4.1.4", "open 4.1.4"]),
            (Phase::Verifying, ["shut 4.1.5", "open 4.1.5"]),
            (Phase::Idle, ["shut 4.1.0", "open 4.1.5"]),
        ] {
            assert_eq!(wishes(phase, SURE), expected, "{phase}");
            // The executor first.
            let early = Knows { stood: PATIENCE / 2, ..SURE };
            assert_eq!(wishes(phase, early), ["leave", "leave"], "{phase}");
        }
        // The old stack is the active one again, and whoever took the fence back opens it.
        let aborting = AppState {
            active: fixture::shop_state(Phase::Promoting).decision.from,
            ..fixture::shop_state(Phase::Aborting)
        };
        for stack in [&aborting.decision.from, &aborting.decision.to] {
            assert_eq!(wish(&aborting, stack, SURE), Wish::Leave);
        }
    }

    #[test]
    fn an_agent_that_hears_no_majority_opens_nothing_and_shuts_after_a_lease() {
        let quiet = |quiet| Knows { quiet, ..SURE };
        for phase in [Phase::Idle, Phase::Fencing, Phase::Promoting, Phase::Publishing] {
            for stale in [FRESH, Duration::from_millis(5_990)] {
                assert_eq!(wishes(phase, quiet(stale)), ["leave", "leave"], "{phase} {stale:?}");
            }
            let shut = wishes(phase, quiet(Duration::from_secs(6)));
            assert!(shut.iter().all(|it| it == "shut, whatever is agreed"), "{shut:?}");
        }
        let new = Knows { heard: SETTLED / 2, ..SURE };
        assert_eq!(wishes(Phase::Idle, new), ["shut 4.1.0", "leave"], "heard for a moment only");
    }

    #[test]
    fn shutting_begins_within_a_lease_of_the_last_word() {
        for lease in 7..=60 {
            let lease = Duration::from_secs(lease);
            assert_eq!(limit(lease) + HEARD_WITHIN + TICK, lease);
        }
        assert_eq!(limit(Duration::from_secs(2)), FRESH);
    }
}
