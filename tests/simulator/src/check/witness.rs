//! Is whoever says "down" fit to say so, and does nobody accept what it knows to be wrong? (PROTOCOL.md B.2 to B.4, S15)
//!
//! Keeps what every agent was told by its looks and by the others, by its own boot clock, and holds every statement that
//! leaves it, and every decision that its store accepts, against that. The core's self-check said once more, in other
//! words and with less detail: what fails here should have been an abstention, or a refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use consensus::message::{Message, Pulse, ViewBody, ViewMessage};
use consensus::model::{
    AcceptorId, AgentId, AppId, AppState, Ballot, Definition, Evidence, FaultKind, Health,
    Observation, Outcome, StackId, Target, TargetId, Voters, Watched,
};
use consensus::moment::Moment;

use super::Found;

const FIT: &str = "whoever states is fit to";
const ACCEPTS: &str = "nobody accepts against its own sight";

/// What rounding and the order of events within an instant may cost.
const SLACK: Duration = Duration::from_millis(300);
/// A majority that was not heard for longer is none (S1).
const HEARD: Duration = Duration::from_secs(3);
/// A canary that was silent for longer, or for longer than an app's window, does not answer (S2).
const CANARY: Duration = Duration::from_secs(5);
/// Targets that fell within this fell at once (S3): less than the core's, which may see them fall a little apart.
const AT_ONCE: Duration = Duration::from_secs(7);
/// A pulse is due every second: whoever stood still for longer than this was surely late for one by a second (S4).
const STILL: Duration = Duration::from_millis(2_300);
/// And who stood still for as long as this may have noticed, so that what came meanwhile is no sight.
const NOTICED: Duration = Duration::from_secs(1);
/// A clock that moved by so much more or less than the boot clock was set, or stood still (S4): a little more than it takes.
const JUMP: Duration = Duration::from_millis(1_050);
/// For so long nobody trusts it, or for four windows if that is less.
const TILT: Duration = Duration::from_secs(30);
/// Who could not look for a cause of its own, whenever it tried, for so long, has had four bad seconds in a row (S7).
const TROUBLED: Duration = Duration::from_secs(6);
/// If it tried at least this often: then every second had a look.
const OFTEN: Duration = Duration::from_millis(900);
/// Evidence is not accepted upon for longer (PROTOCOL.md B.4).
const ROUND: Duration = Duration::from_secs(5);

/// What one agent's looks found of one thing.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    began: Moment,
    up: Option<Moment>,
    last_is_up: bool,
    failures: u32,
    /// When the first failure since it was last up ended.
    failed: Option<Moment>,
    fell: Option<Moment>,
}

/// What one run of an agent was told.
#[derive(Debug)]
struct Told {
    started: Moment,
    went_on: Option<Moment>,
    /// When it last went on after a pause that it may have noticed.
    paused: Option<Moment>,
    /// Its boot clock, its wall clock and its monotonic one, as it read them last, and when it last found them at odds.
    clocks: Option<(Moment, u64, Duration)>,
    jumped: Option<Moment>,
    /// Since when all its looks have failed for a cause of its own, without a pause between them, and when the last did.
    troubled: Option<(Moment, Moment)>,
    seen: BTreeMap<Watched, Seen>,
    /// When guards were asked what they see, and until when an answer counts at least, where they have not answered in time: the
    /// oldest question since their last answer first.
    asked: BTreeMap<TargetId, Vec<(Moment, Moment)>>,
    heard: BTreeMap<AgentId, Moment>,
    /// Whom others say they hear, and when they said so.
    hearing: BTreeMap<AgentId, (Arc<Pulse>, Moment)>,
    /// When each store was last presented to it.
    presented: BTreeMap<AcceptorId, Moment>,
    /// When the newest pulse of every run of every other was sent, and the newest of its own that each answered.
    newest: BTreeMap<(AgentId, Option<u64>), Option<Moment>>,
    stated: BTreeMap<AppId, (Ballot, Moment)>,
}

/// What every agent was told, by its own clock.
#[derive(Debug, Default)]
pub struct Witnesses {
    agents: BTreeMap<AgentId, Told>,
    stopped: BTreeMap<AgentId, Moment>,
}

/// One agent at one moment, as its checks need it.
pub struct Speaker<'a> {
    /// Who.
    pub agent: &'a AgentId,
    /// What its boot clock shows.
    pub at: Moment,
    /// Who votes, as it knows.
    pub voters: &'a Voters,
    /// How many canaries it has.
    pub canaries: usize,
    /// What is agreed that it watches. What a source names beside that it looks at, too, and lets nothing follow from it.
    pub watched: BTreeSet<TargetId>,
}

impl Witnesses {
    /// An agent starts.
    pub fn on_start(&mut self, agent: &AgentId, at: Moment) {
        let told = Told {
            started: at,
            went_on: None,
            paused: None,
            clocks: None,
            jumped: None,
            troubled: None,
            seen: BTreeMap::new(),
            asked: BTreeMap::new(),
            heard: BTreeMap::new(),
            hearing: BTreeMap::new(),
            presented: BTreeMap::new(),
            newest: BTreeMap::new(),
            stated: BTreeMap::new(),
        };
        self.stopped.remove(agent);
        self.agents.insert(agent.clone(), told);
    }

    /// An agent stands still.
    pub fn on_stop(&mut self, agent: &AgentId, at: Moment) {
        self.stopped.insert(agent.clone(), at);
    }

    /// An agent goes on. Whatever it saw before a pause is no evidence.
    pub fn on_resume(&mut self, agent: &AgentId, at: Moment) {
        let since = self.stopped.remove(agent);
        let noticed = since.is_some_and(|since| at.since(since) >= NOTICED);
        if let (true, Some(told)) = (noticed, self.agents.get_mut(agent)) {
            told.paused = Some(at);
        }
        let still = since.is_some_and(|since| at.since(since) >= STILL);
        if let (true, Some(told)) = (still, self.agents.get_mut(agent)) {
            told.went_on = Some(at);
            let targets = told.seen.iter_mut().filter(|(it, _)| matches!(it, Watched::Target(_)));
            for (_, seen) in targets {
                *seen = Seen { began: seen.began, ..Seen::default() };
            }
        }
    }

    /// Has an agent run for so long without standing still?
    pub fn steady(&self, agent: &AgentId, at: Moment, span: Duration) -> bool {
        let runs = |told: &Told| told.started.max(told.went_on.unwrap_or(told.started));
        !self.stopped.contains_key(agent)
            && self.agents.get(agent).is_some_and(|told| at.since(runs(told)) >= span)
    }

    /// For how long has nobody presented this store to an agent, as far as its process knows?
    pub fn silent(&self, agent: &AgentId, store: AcceptorId, at: Moment) -> Duration {
        self.agents.get(agent).map_or(Duration::MAX, |told| {
            at.since(told.presented.get(&store).copied().unwrap_or(told.started))
        })
    }

    /// An agent is told something by another.
    pub fn on_heard(&mut self, agent: &AgentId, from: &AgentId, message: &Message, at: Moment) {
        let Some(told) = self.agents.get_mut(agent) else { return };
        if !told.is_news(from, message) {
            return;
        }
        told.heard.insert(from.clone(), at);
        if let Message::View(view) = message {
            told.on_shown(view, at);
        }
        if let Message::Pulse(pulse) = message {
            told.hearing.insert(from.clone(), (pulse.clone(), at));
            if let Some(store) = &pulse.store {
                told.presented.insert(store.acceptor, at);
            }
        }
    }

    /// An agent reads its other clocks.
    pub fn on_clocks(&mut self, agent: &AgentId, at: Moment, wall_ms: u64, monotonic: Duration) {
        let Some(told) = self.agents.get_mut(agent) else { return };
        let before = told.clocks.replace((at, wall_ms, monotonic));
        let Some((then, wall_then, monotonic_then)) = before else { return };
        let passed = at.since(then);
        let wall =
            Duration::from_millis(wall_ms).abs_diff(Duration::from_millis(wall_then) + passed);
        let slept = monotonic.abs_diff(monotonic_then + passed);
        if JUMP < wall.max(slept) {
            told.jumped = Some(at);
        }
    }

    /// An agent is told what a look found.
    pub fn on_look(&mut self, agent: &AgentId, observation: &Observation, at: Moment) {
        let Some(told) = self.agents.get_mut(agent) else { return };
        if matches!(observation.watched, Watched::Target(_)) {
            let own = matches!(observation.outcome, Outcome::Invalid(_));
            let goes_on = told.troubled.filter(|(_, last)| at.since(*last) <= OFTEN);
            let since = goes_on.map_or(at, |(since, _)| since);
            told.troubled = own.then_some((since, at));
        }
        told.on_look(observation, at);
    }

    /// An agent asks a guard what it sees, and waits for so long at least.
    pub fn on_asked(&mut self, agent: &AgentId, view: &ViewMessage, limit: Duration) {
        let Some(told) = self.agents.get_mut(agent) else { return };
        if view.body == ViewBody::Asks {
            let until = view.asked + limit;
            told.asked.entry(view.target.clone()).or_default().push((view.asked, until));
        }
    }

    /// An agent states what it believes of an app of this definition.
    pub fn on_statement(
        &mut self,
        speaker: &Speaker<'_>,
        evidence: &Evidence,
        definition: Option<&Definition>,
        found: &mut Found,
    ) {
        let statement = &evidence.statement;
        let Some(told) = self.agents.get_mut(speaker.agent) else { return };
        let stated = told.stated.entry(statement.app.clone()).or_insert((Ballot::ZERO, speaker.at));
        if stated.0 != statement.ballot {
            *stated = (statement.ballot, speaker.at);
        }
        let Some(definition) = definition.filter(|_| statement.abstention.is_none()) else {
            return;
        };
        let told = &self.agents[speaker.agent];
        let window = definition.probe.window;
        let within = |since: Moment, span: Duration| speaker.at.since(since) + SLACK < span;
        let mut broken = |what: String| {
            found.push((FIT, format!("{} speaks of {}: {what}", speaker.agent, statement.app)));
        };
        if within(told.started, window * 4) {
            broken("it started too recently".into());
        }
        if told.went_on.is_some_and(|since| within(since, window)) {
            broken("it stood still just now".into());
        }
        if told.jumped.is_some_and(|jumped| within(jumped, TILT.min(window * 4))) {
            broken("its clocks were at odds just now".into());
        }
        let troubled = told.troubled.filter(|(_, last)| speaker.at.since(*last) <= OFTEN);
        if troubled.is_some_and(|(since, _)| TROUBLED <= speaker.at.since(since)) {
            broken("it has not been able to look at anything".into());
        }
        if !told.hears_majority(speaker) {
            broken("it hears no majority".into());
        }
        let canaries = || told.seen.iter().filter(|(it, _)| matches!(it, Watched::Canary(_)));
        let answered: Vec<Moment> = canaries().filter_map(|(_, seen)| seen.up).collect();
        let fresh = |up: &&Moment| speaker.at.since(**up) <= CANARY.min(window) + SLACK;
        let answering = answered.iter().filter(fresh).count();
        if speaker.canaries >= 3 && answering < 2 {
            broken(format!("{answering} of its {} canaries answer", speaker.canaries));
        }
        let vouched = speaker.canaries > 0 && answering == speaker.canaries;
        if let (false, Some(why)) = (vouched, told.fell_at_once(&speaker.watched)) {
            broken(why);
        }
        for belief in statement.beliefs.iter().filter(|it| it.health == Health::Down) {
            let seen = told.seen.get(&Watched::Target(belief.target.clone()));
            if let Some(up) = seen.and_then(|seen| seen.up).filter(|up| within(*up, window)) {
                let ago = speaker.at.since(up).as_millis();
                broken(format!("{} is down though it was up {ago} ms ago", belief.target));
            }
            // A guard that did not answer in time is a look that failed.
            let silent = told.asked.get(&belief.target).and_then(|asked| asked.first());
            let silent = silent.map(|(when, _)| *when);
            let failed = seen.and_then(|seen| seen.failed).into_iter().chain(silent).min();
            let failed = failed.unwrap_or(speaker.at);
            let since = answered.iter().filter(|up| failed <= **up).count();
            if speaker.canaries >= 3 && since < 2 {
                broken(format!("{since} canaries answered since {} failed", belief.target));
            }
        }
    }

    /// An agent's store accepts a decision of the mesh's own, made for this very ballot.
    pub fn on_accept(
        &self,
        (agent, at): (&AgentId, Moment),
        (app, ballot): (&AppId, Ballot),
        state: &AppState,
        found: &mut Found,
    ) {
        let Some(told) = self.agents.get(agent) else { return };
        let mut broken = |what: String| {
            found.push((ACCEPTS, format!("{agent} accepts {ballot} for {app}: {what}")));
        };
        match told.stated.get(app) {
            Some((of, stated)) if *of == ballot => {
                let age = at.since(*stated);
                if age > ROUND + SLACK {
                    broken(format!("its own evidence is {} ms old", age.as_millis()));
                }
            }
            _ => broken("it gave no evidence for it".into()),
        }
        let stack: &StackId = &state.decision.from;
        let noticed = told.paused.is_some_and(|paused| at.since(paused) <= Duration::from_secs(1));
        let just_up = |target: &TargetId| {
            let seen = told.seen.get(&Watched::Target(target.clone()));
            seen.filter(|seen| seen.last_is_up)
                .and_then(|seen| seen.up)
                .is_some_and(|up| at.since(up) <= Duration::from_secs(1))
        };
        // Whatever a database that lives by leases says of itself, without its guard it takes no writes.
        let led = |subject: &Target<'_>| match subject {
            Target::Database(database) => database.guard.as_ref().is_none_or(|guard| {
                let window = state.definition.probe.window;
                told.heard.get(guard).is_some_and(|heard| at.since(*heard) <= window)
            }),
            Target::Endpoint(_) => true,
        };
        let databases = state.definition.has_databases();
        let mut of_stack = state.definition.targets().filter(|(target, subject)| {
            target.stack == *stack && (databases || matches!(subject, Target::Endpoint(_)))
        });
        // What follows its primary leaves a stack that is well.
        let follows = state.definition.follows();
        if !follows
            && !noticed
            && of_stack.all(|(target, subject)| just_up(&target) && led(&subject))
        {
            broken(format!("it sees all of {stack} up"));
        }
    }
}

impl Told {
    /// A guard says what it saw when it was asked.
    fn on_shown(&mut self, view: &ViewMessage, at: Moment) {
        let ViewBody::Shows(glance) = &view.body else { return };
        let Some(asked) = self.asked.get_mut(&view.target) else { return };
        // What comes late answers nothing any more.
        if !asked.iter().any(|(when, until)| *when == view.asked && at < *until) {
            return;
        }
        match glance.outcome {
            Outcome::Up(_) => asked.retain(|(when, _)| view.asked < *when),
            Outcome::Failed(_) | Outcome::Invalid(_) => {
                asked.retain(|(when, _)| view.asked != *when);
            }
        }
        let observation = Observation {
            watched: Watched::Target(view.target.clone()),
            began: view.asked,
            took: at.since(view.asked),
            phases: glance.phases,
            outcome: glance.outcome.clone(),
        };
        self.on_look(&observation, at);
    }

    fn on_look(&mut self, observation: &Observation, at: Moment) {
        // A look that a pause cut short failed for want of the agent itself.
        let cut_short = self.went_on.is_some_and(|at| observation.began < at);
        if cut_short && matches!(observation.outcome, Outcome::Failed(_)) {
            return;
        }
        let seen = self.seen.entry(observation.watched.clone()).or_default();
        if observation.began < seen.began {
            return;
        }
        match &observation.outcome {
            Outcome::Invalid(_) => return,
            Outcome::Up(_) => {
                *seen = Seen { up: Some(at), last_is_up: true, ..Seen::default() };
            }
            // Whoever answers is not dead.
            Outcome::Failed(fault)
                if matches!(fault.kind, FaultKind::Credential | FaultKind::Unready) =>
            {
                (seen.failures, seen.last_is_up) = (1, false);
                seen.failed.get_or_insert(at);
            }
            Outcome::Failed(_) => {
                (seen.failures, seen.last_is_up) = (seen.failures + 1, false);
                seen.failed.get_or_insert(at);
                if seen.failures >= 3 {
                    seen.fell.get_or_insert(at);
                }
            }
        }
        seen.began = observation.began;
    }

    /// Was this said after all else that it heard of the same sort, as far as that can be told?
    fn is_news(&mut self, from: &AgentId, message: &Message) -> bool {
        let (newest, sent) = match message {
            Message::Gossip(_) => return false,
            Message::Pulse(pulse) => {
                let run = (from.clone(), Some(pulse.instance));
                (self.newest.entry(run).or_default(), pulse.sent)
            }
            Message::Echo { sent, .. } if *sent < self.started => return false,
            Message::Echo { sent, .. } => {
                (self.newest.entry((from.clone(), None)).or_default(), *sent)
            }
            _ => return true,
        };
        let news = newest.is_none_or(|newest| newest < sent);
        *newest = (*newest).max(Some(sent));
        news
    }

    /// Voters it hears itself, and those that one of these says it hears.
    fn hears_majority(&self, speaker: &Speaker<'_>) -> bool {
        let within = |at: Moment, span: Duration| speaker.at.since(at) <= span + SLACK;
        let direct = |agent: &&AgentId| {
            **agent == *speaker.agent || self.heard.get(*agent).is_some_and(|at| within(*at, HEARD))
        };
        let voters = speaker.voters.agents();
        let direct: BTreeSet<&AgentId> = voters.iter().copied().filter(direct).collect();
        let relayed = |agent: &&AgentId| {
            direct.iter().filter_map(|other| self.hearing.get(*other)).any(|(pulse, said)| {
                // Whom to reach through whom is found out once a second.
                pulse.hears.contains(agent) && within(*said, HEARD + Duration::from_secs(1))
            })
        };
        let relayed = voters.iter().copied().filter(relayed);
        speaker.voters.majority_of(&direct.iter().copied().chain(relayed).cloned().collect())
    }

    /// Did more than half of all it watches, of three stacks or more, fall within a few seconds, and stay down?
    fn fell_at_once(&self, watched: &BTreeSet<TargetId>) -> Option<String> {
        let targets: Vec<(&TargetId, Option<Moment>)> = self
            .seen
            .iter()
            .filter_map(|(what, seen)| match what {
                Watched::Target(target) if watched.contains(target) => Some((target, seen.fell)),
                Watched::Target(_) | Watched::Canary(_) => None,
            })
            .collect();
        let fallen = |from: Moment| {
            targets.iter().filter(move |(_, fell)| {
                fell.is_some_and(|at| from <= at && at.since(from) <= AT_ONCE)
            })
        };
        targets.iter().filter_map(|(_, fell)| *fell).find_map(|from| {
            let stacks: BTreeSet<_> =
                fallen(from).map(|(target, _)| (&target.app, &target.stack)).collect();
            let count = fallen(from).count();
            (count * 2 > targets.len() && stacks.len() >= 3)
                .then(|| format!("{count} of {} targets fell at once", targets.len()))
        })
    }
}
