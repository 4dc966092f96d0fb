//! Where everything meets: one heap of events, one step after the other, and every checker after each.
//!
//! Drives each node exactly as production does: one input, then all outputs in order, then wait. A record is durable
//! before anything behind it in the queue is performed, and a crash at a record performs nothing behind it.

mod aim;
mod drive;
mod errand;
mod held;
mod mesh;
mod rejoin;
mod trade;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use consensus::config::Mutant;
use consensus::message::Message;
use consensus::model::{
    AcceptorId, AgentId, AppId, AppState, CredentialId, Definition, Region, Report, TargetId, Voter,
};
use consensus::moment::Moment;
use consensus::outbox::{Answer, Command, CommandId, Input};

use super::agent::Agent;
use super::cells::Chronicle;
use super::chance::Chance;
use super::check::damping::Acts;
use super::check::effect::Reach;
use super::check::electorate::Electorate;
use super::check::evidence::Truth;
use super::check::fleet::Fleet;
use super::check::history::{Call, History};
use super::check::lease::Calm;
use super::check::register::Registers;
use super::check::store::Words;
use super::check::witness::Witnesses;
use super::check::{Found, Violation};
use super::network::{Network, Place, Way};
use super::scene::{AppShape, MeshShape};
use super::transcript::Transcript;
use super::weather::{Climate, Rates};
use super::world::World;
pub use aim::Aim;
pub use errand::Errand;
pub use rejoin::Rewind;
pub use trade::Trade;

/// Something that will happen.
pub enum Event {
    /// A message arrives.
    Deliver {
        /// From whom.
        from: Place,
        /// At whom.
        to: Place,
        /// How.
        way: Way,
        /// What.
        message: Message,
    },
    /// What an agent asked for ends: for this run of it only.
    Input {
        /// Whose.
        to: Place,
        /// Which run.
        run: u64,
        /// What it learns.
        input: Input,
    },
    /// An agent reads its clocks.
    Clocks {
        /// Whose.
        to: Place,
        /// Which run.
        run: u64,
    },
    /// A link is to be looked at.
    Link(Place, Place),
    /// An action arrives at the outside.
    Errand(Box<Errand>),
    /// A guard's command comes to its end, if its guard lives.
    Rewind(Box<Rewind>),
    /// Clients of an app do their business.
    Trade(AppId),
    /// Replicas of an app catch up.
    Replicate(AppId),
    /// An agent starts.
    Start(Place),
    /// A stopped agent goes on.
    Resume(Place),
    /// Something breaks.
    Strike,
    /// Something that was broken ends, or whatever else was to be done later.
    Later(Later),
}

/// An event, the soonest first, and of two at once the one that was known first.
struct Due {
    due: Reverse<(Moment, u64)>,
    event: Box<Event>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.due.cmp(&other.due)
    }
}

/// What is done later, unless everything has been healed by then.
pub type Later = Box<dyn FnOnce(&mut Simulation)>;

/// Waits for a message of one place to another, does something as it leaves, and tells whether it was that.
pub type Snare = Box<dyn FnMut(&mut Simulation, Place, Place, &Message) -> bool>;

/// A run.
pub struct Simulation {
    /// True time since the beginning.
    pub now: Moment,
    /// The agents, voters first.
    pub agents: Vec<Agent>,
    /// What lies between them.
    pub network: Network,
    /// What lies outside.
    pub world: World,
    /// The clients of every app, and what it was defined as.
    pub apps: BTreeMap<AppId, Trade>,
    /// When a store was last lost.
    pub lost: Moment,
    /// How likely what is.
    pub rates: Rates,
    /// Which faults strike.
    pub climate: Climate,
    /// An interruption that is waited for.
    pub aim: Option<Aim>,
    /// What waits for a message.
    pub snare: Option<Snare>,
    /// Who was interrupted in what.
    pub chronicle: Chronicle,
    /// Every credential that an agent may hold.
    pub credentials: Vec<CredentialId>,
    /// All that is random from here on.
    pub chance: Chance,
    /// What was said.
    pub transcript: Transcript,
    /// Who truly votes.
    pub electorate: Electorate,
    /// The registers as they truly are.
    pub registers: Registers,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// What became of commands.
    pub answers: BTreeMap<u64, Answer>,
    /// What happened how often, for the swarm's table.
    pub tally: BTreeMap<&'static str, u64>,
    /// Do replica sets elect by themselves? Not where a story tells what they do.
    pub elections: bool,
    /// And do sources of endpoints tell other things by themselves?
    pub wandering: bool,
    /// The apps that somebody wanted elsewhere whatever is lost.
    pub forgiven: BTreeSet<AppId>,
    /// Whom somebody named as a guard. A voter may have accepted that, and have it agreed at any time later.
    pub named: BTreeSet<AgentId>,
    /// What people asked for and were told, and what agents showed.
    pub history: History,
    words: Words,
    calm: Calm,
    truth: Truth,
    witnesses: Witnesses,
    /// The evidence keys of agents that hold another than the voters know, and of which store they are: another has its own.
    pub(super) lost_keys: BTreeMap<Place, (AcceptorId, [u8; 32])>,
    /// Since when everything has passed between all agents, and nobody's canaries have come back.
    calm_since: Moment,
    reach: Reach,
    acts: Acts,
    fleet: Fleet,
    heap: BinaryHeap<Due>,
    number: u64,
    commands: u64,
}

impl Simulation {
    /// A mesh that has not been started, and a world with these apps, all well.
    pub fn new(mesh: &MeshShape, apps: &[AppShape], seed: u64, kept: bool) -> Self {
        let mut chance = Chance::new(seed);
        let configs = mesh.configs(&mut chance.fork());
        let regions: Vec<&str> = configs.iter().map(|config| config.region.as_str()).collect();
        let farthest = chance.between(Duration::from_millis(3), Duration::from_millis(90));
        let network = Network::new(&regions, farthest, &mut chance.fork());
        let voters = configs[0].voters.clone();
        let credentials = configs[0].credentials.clone();
        let mut world = World::default();
        world.token_ignored = mesh.mutant == Some(Mutant::TokenIgnored);
        world.unmarked = mesh.mutant == Some(Mutant::WaitsUnmarked);
        world.blind_publish = mesh.mutant == Some(Mutant::BlindPublish);
        for app in apps {
            world.build(&app.definition(), app.synchronous && app.kept == 0);
        }
        let mut clocks = chance.fork();
        let agents = configs
            .into_iter()
            .map(|config| Agent::new(config, mesh.rate_error, &mut clocks))
            .collect();
        let mut simulation = Self {
            now: Moment::ZERO,
            agents,
            network,
            world,
            apps: apps.iter().map(|app| (app.name.clone(), Trade::new(app))).collect(),
            lost: Moment::ZERO,
            rates: Rates::default(),
            climate: Climate::default(),
            aim: None,
            snare: None,
            chronicle: Chronicle::default(),
            credentials,
            chance,
            transcript: Transcript::new(kept),
            registers: Registers::default(),
            electorate: Electorate::new(voters),
            violations: Vec::new(),
            answers: BTreeMap::new(),
            tally: BTreeMap::new(),
            elections: false,
            wandering: false,
            forgiven: BTreeSet::new(),
            named: BTreeSet::new(),
            history: History::default(),
            words: Words::default(),
            calm: Calm::default(),
            truth: Truth::default(),
            witnesses: Witnesses::default(),
            lost_keys: BTreeMap::new(),
            calm_since: Moment::ZERO,
            reach: Reach::default(),
            acts: Acts::default(),
            fleet: Fleet::default(),
            heap: BinaryHeap::new(),
            number: 0,
            commands: 0,
        };
        for app in apps {
            simulation.after(Duration::from_millis(500), Event::Trade(app.name.clone()));
        }
        simulation
    }

    /// Lets something happen after a while.
    pub fn after(&mut self, span: Duration, event: Event) {
        self.at(self.now + span, event);
    }

    /// Lets something happen then, or now if that has passed.
    pub fn at(&mut self, at: Moment, event: Event) {
        self.number += 1;
        let due = Reverse((at.max(self.now), self.number));
        self.heap.push(Due { due, event: Box::new(event) });
    }

    /// The next thing that happens, and every check of it. False once nothing will ever happen again.
    pub fn step(&mut self) -> bool {
        self.step_by(Moment::NEVER)
    }

    /// Everything up to then.
    pub fn run_until(&mut self, end: Moment) {
        while self.violations.len() < VIOLATIONS_KEPT && self.step_by(end) {}
        self.now = self.now.max(end);
    }

    /// The next thing that happens, unless it is later than that.
    fn step_by(&mut self, end: Moment) -> bool {
        let (next, whose) = self.next();
        if end < next || next == Moment::NEVER {
            return false;
        }
        self.now = self.now.max(next);
        match whose {
            Some(place) => self.wake(place),
            None => {
                let due = self.heap.pop().expect("it was just seen");
                self.happen(*due.event);
            }
        }
        true
    }

    /// Everything of the time to come.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// When the next thing happens, and whose wake it is, if it is one.
    fn next(&self) -> (Moment, Option<Place>) {
        let event = self.heap.peek().map_or(Moment::NEVER, |next| next.due.0.0);
        let wake = self.agents.iter().enumerate().map(|(place, agent)| (agent.wake, place)).min();
        match wake {
            Some((wake, place)) if wake < event => (wake, Some(place)),
            _ => (event, None),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, way, message } => self.deliver(from, to, way, message),
            Event::Input { to, run, input } => {
                if self.agents[to].run == run {
                    self.input(to, input);
                }
            }
            Event::Clocks { to, run } => {
                let agent = &mut self.agents[to];
                if agent.run != run || !agent.running() {
                    return;
                }
                if agent.stopped {
                    agent.missed = true;
                    return;
                }
                self.read_clocks(to);
                self.after(Duration::from_secs(1), Event::Clocks { to, run });
            }
            Event::Link(one, other) => self.look_at_link(one, other),
            Event::Errand(errand) => self.arrive(*errand),
            Event::Trade(app) => self.trade(&app),
            Event::Replicate(app) => self.world.replicate(self.now, &app),
            Event::Start(place) => self.start(place),
            Event::Rewind(rewind) => self.rewind(*rewind),
            Event::Resume(place) => self.resume(place),
            Event::Strike => self.strike(),
            Event::Later(what) => what(self),
        }
    }

    /// An agent's place by its name.
    pub fn place(&self, agent: &AgentId) -> Option<Place> {
        self.agents.iter().position(|other| other.id == *agent)
    }

    /// Is a voter's store still what its agent holds, and no copy from before, which will not vote again once it is told?
    pub fn holds(&self, voter: &Voter) -> bool {
        let agent = self.place(&voter.agent).map(|place| &self.agents[place]);
        let agent = agent.filter(|agent| !agent.doomed);
        let held = agent.and_then(|agent| agent.config.ballots.as_ref());
        held.is_some_and(|held| held.acceptor == voter.acceptor)
    }

    /// Asks an agent for something; its answer will be found under the number.
    pub fn command(&mut self, place: Place, command: Command) -> u64 {
        self.commands += 1;
        let number = self.commands;
        let agent = self.agents[place].id.clone();
        let call = Call { agent, command: command.clone(), at: self.now };
        self.history.on_call(number, call);
        self.input(place, Input::Command(CommandId(number), command));
        number
    }

    /// Puts an app before the mesh, by way of this agent.
    pub fn apply(&mut self, place: Place, definition: Definition) -> u64 {
        let definition = Arc::new(definition);
        self.command(place, Command::Apply { definition, replaces: None, active: None })
    }

    /// Says what the world or the weather does.
    pub fn say(&mut self, text: impl FnOnce() -> String) {
        self.transcript.say(self.now, None, text);
    }

    /// Forgets the weather to come. Requests that nobody waits for any more came, or never will, or come very late.
    pub fn forget_weather(&mut self) {
        let late = self.chance.happens(0.5);
        self.heap.retain(|due| match &*due.event {
            Event::Strike | Event::Later(_) => false,
            Event::Errand(errand) => late || errand.awaited(),
            _ => true,
        });
    }

    /// None of an agent's clocks counted some time that truly passed: what it does now, it may do too late without knowing.
    pub fn clock_stood_still(&mut self, place: Place) {
        self.reach.excuse(self.now, &self.agents[place].id);
    }

    /// Counts something for the swarm's table.
    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// The evidence key of an agent is another than the voters know: all it signs is worthless.
    pub fn lose_key(&mut self, place: Place) {
        if let Some(store) = &mut self.agents[place].config.ballots {
            self.lost_keys.insert(place, (store.acceptor, store.seed));
            store.seed = [7; 32];
        }
    }

    /// Whatever ailed somebody has ended just now; whether it knows so already cannot be told.
    pub fn disturbed(&mut self) {
        self.calm_since = self.now;
    }

    /// The observers that nothing ails and that everybody has heard for a while, if that can be told.
    pub(super) fn heard_observers(&self) -> Vec<(AgentId, Region)> {
        const LONG: Duration = Duration::from_secs(45);
        // What was cut for so long is cut still (seed 47612).
        let calm = self.network.calm() && LONG <= self.now.since(self.calm_since);
        if !calm || self.rates.own_trouble > 0.0 {
            return Vec::new();
        }
        let voters = self.electorate.latest();
        let sound = self.agents.iter().filter(|agent| {
            voters.by_agent(&agent.id).is_none()
                && agent.answers()
                && self.witnesses.steady(&agent.id, agent.clock.boot(self.now), LONG)
                && !self.world.outward.contains_key(&agent.id)
                && !self.world.silent.contains(&agent.id)
        });
        sound.map(|agent| (agent.id.clone(), agent.config.region.clone())).collect()
    }

    /// Something is wrong.
    pub fn report(&mut self, found: Found) {
        for (checker, text) in found {
            let violation = Violation { at: self.now, checker, text };
            self.transcript.say(self.now, None, || format!("VIOLATION {violation}"));
            self.violations.push(violation);
        }
    }

    /// To be called whenever something outside has changed: what the truth is from now on.
    pub fn outside_changed(&mut self) {
        let mut found: Found = Vec::new();
        let breaches = std::mem::take(&mut self.world.breaches);
        found.extend(breaches.into_iter().map(|text| ("what the outside refuses", text)));
        self.report(found);
        let states: Vec<Arc<AppState>> =
            self.apps.keys().filter_map(|app| self.agreed(app)).collect();
        let known = states.iter().map(AsRef::as_ref);
        let voters = self.electorate.latest();
        self.fleet.refresh(self.now, &self.world, voters, known);
        let states = states.iter().map(AsRef::as_ref);
        let agents = self.agents.iter().map(|agent| &agent.id);
        self.truth.refresh(self.now, &self.world, &agents, states);
    }

    /// What is truly agreed about an app.
    pub fn agreed(&self, app: &AppId) -> Option<Arc<AppState>> {
        self.registers.latest(app).map(|chosen| chosen.state.clone())
    }

    /// What an agent that runs holds for agreed about an app.
    pub fn held(&self, place: Place, app: &AppId) -> Option<Arc<AppState>> {
        let node = self.agents[place].node.as_ref()?;
        node.states().into_iter().find(|state| state.definition.name == *app)
    }

    /// The database of an app's stack.
    pub fn database(&self, app: &AppId, stack: &consensus::model::StackId) -> Option<TargetId> {
        let mut databases = self.world.databases.keys();
        databases.find(|id| id.app == *app && id.stack == *stack).cloned()
    }

    /// The database that an app's clients are to write to: the active stack's.
    pub fn writer(&self, app: &AppId) -> Option<TargetId> {
        let state = self.agreed(app)?;
        self.database(app, &state.active)
    }

    /// An answer to what an agent asked for comes after a while.
    fn answer(&mut self, place: Place, run: u64, span: Duration, report: Report) {
        self.after(span, Event::Input { to: place, run, input: Input::Report(report) });
    }
}

/// One broken rule breaks others; more than this says nothing new.
const VIOLATIONS_KEPT: usize = 10;
