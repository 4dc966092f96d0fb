//! Where the stages meet: one agent's whole mind, the same type in production and in the simulator.
//!
//! [`Node::handle`] takes one thing that happened, [`Node::poll`] gives one thing to do; in between, the stages push into
//! one ordered outbox and never meet but here. The node cannot fail: what is surprising becomes a note.

mod app;
mod attempt;
mod change;
mod claim;
mod compose;
mod conclude;
mod damping;
mod decision;
mod drift;
mod execute;
mod fleet;
mod following;
mod guard;
mod handing;
mod initiate;
mod intent;
mod learn;
mod lease;
mod lifetimes;
mod outcome;
mod panel;
mod people;
mod planned;
mod pulse;
mod reform;
mod rejoin;
mod relay;
mod request;
mod stepping;
mod stir;
mod sync;
mod tend;
mod through;
mod unable;
mod view;
mod vote;
mod voters;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use app::App;
pub use handing::Handing;
use relay::Relays;
use request::Obeying;
use stir::Stir;
use through::Through;
use voters::Voting;

use crate::ballot::{Acceptor, Ballots};
use crate::config::Config;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::KeyPair;
use crate::gossip::{Heard, Hearsay, Membership, Peers};
use crate::judge::{Canaries, Circumstances, HEARD_WITHIN, Judge, SelfCheck};
use crate::lease::Grants;
use crate::message::{Beliefs, Identity, Message};
use crate::model::{
    Abstention, AgentId, AppId, AppState, Observation, Outcome, RegisterId, Site, StackId,
    TargetId, Watched,
};
use crate::moment::Moment;
use crate::outbox::{Command, CommandId, Deadline, Input, Note, Outbox, Output};
use crate::saved::{Entry, Saved};

/// Between two pulses: three missed ones are the silence after which a step is taken over.
const PULSE: Duration = Duration::from_secs(1);
/// Beliefs are repeated this often while nothing changes, and at every pulse while something is in doubt.
const REPEAT_BELIEFS: Duration = Duration::from_secs(5);

/// One agent's whole mind.
pub struct Node {
    config: Config,
    rng: StdRng,
    out: Outbox,
    /// What this agent says to itself: it is one of the voters, too.
    loopback: VecDeque<Message>,
    instance: u64,
    operations: u64,
    acceptor: Option<Acceptor>,
    key: Option<KeyPair>,
    ballots: Ballots,
    judge: Judge,
    selfcheck: SelfCheck,
    membership: Membership,
    peers: Peers,
    hearsay: Hearsay,
    grants: Grants,
    /// The longest lease of each app that this agent had to do with, where that is longer than usual.
    longest: BTreeMap<AppId, Duration>,
    /// The stacks that another's lease may rest on this guard's word for.
    vouching: BTreeSet<(AppId, StackId)>,
    /// The databases that this guard began to make replicas again, and has not seen follow since.
    rejoining: BTreeSet<TargetId>,
    /// What this agent, as a guard, did with its databases when it was asked to.
    obeying: BTreeMap<TargetId, Obeying>,
    /// What this guard refused last: who asks the same again and again is not told of each time.
    denied: Option<Note>,
    apps: BTreeMap<AppId, App>,
    voting: Voting,
    relays: Relays,
    through: Through,
    pulse_at: Moment,
    ages_at: Moment,
    /// Sites of which something is down.
    sites: BTreeMap<Site, fleet::Cut>,
    sites_at: Moment,
    beliefs_at: Moment,
    beliefs_number: u64,
    /// What was last said of every target's state, and of every guard's door, to notice that it changed.
    beliefs_told: Vec<(crate::model::Health, bool, bool)>,
    doors_told: Vec<bool>,
    abstention_told: Option<Option<Abstention>>,
    quorum_heard: Moment,
    wall: (u64, Moment),
    wanted: Deadline,
    /// When the last thing happened.
    now: Moment,
}

impl Node {
    /// A node as it starts: `saved` is what its store holds, `seed` all the chance it will ever have. Queues the entry
    /// that counts this start, so drain it before anything else.
    pub fn new(config: Config, saved: Saved, now: Moment, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let boot = saved.boot + 1;
        // The durable boot count keeps two runs apart even where chance is poor (PROTOCOL.md A.3).
        let instance = (boot << 48) | (rng.random::<u64>() >> 16);
        #[cfg(feature = "mutants")]
        let instance = match config.broken(Mutant::InstanceKept) {
            true => config.agent.as_str().bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte)),
            false => instance,
        };
        let me = Identity {
            agent: config.agent.clone(),
            address: config.address.clone(),
            incarnation: boot,
        };
        // Whoever retired a store, or found it to be a copy, had it write that down.
        let store = config.ballots.as_ref().filter(|_| saved.quarantined.is_none());
        let mut ballots = Ballots::new(instance);
        for register in saved.registers.values() {
            ballots.seen(register.promised);
        }
        #[allow(unused_mut)]
        let mut acceptor = store.map(|store| Acceptor::new(store.acceptor, &saved));
        #[cfg(feature = "mutants")]
        if let Some(acceptor) = &mut acceptor {
            acceptor.erases_promises = config.broken(Mutant::PromiseErased);
            acceptor.expires = config.broken(Mutant::AcceptedExpires);
        }
        let voting = Voting::new(&saved, now);
        let mut node = Self {
            key: store.map(|store| KeyPair::from_seed(&store.seed)),
            acceptor,
            ballots,
            judge: Judge::new(Canaries::new(&config.canaries, now), saved.reached),
            selfcheck: SelfCheck::new(now, None),
            membership: Membership::new(me, StdRng::seed_from_u64(rng.random())),
            peers: Peers::new(),
            hearsay: Hearsay::new(),
            grants: Grants::new(Self::terms(&config), &saved.holders, &saved.longest, now),
            longest: saved.longest,
            vouching: saved.vouching,
            rejoining: saved.rejoining,
            obeying: Obeying::restored(saved.obeyed),
            denied: None,
            apps: BTreeMap::new(),
            rng,
            out: Outbox::new(saved.changes),
            voting,
            loopback: VecDeque::new(),
            instance,
            operations: 0,
            relays: Relays::default(),
            through: Through::default(),
            pulse_at: now,
            ages_at: now,
            sites: BTreeMap::new(),
            sites_at: now,
            beliefs_at: now,
            beliefs_number: 0,
            beliefs_told: Vec::new(),
            doors_told: Vec::new(),
            abstention_told: None,
            quorum_heard: now,
            wall: (0, now),
            wanted: (now, "the first pulse"),
            now,
            config,
        };
        #[cfg(feature = "mutants")]
        {
            node.grants.keeps_no_account = node.broken(Mutant::TwoOutstanding);
            node.grants.forgets_longer = node.broken(Mutant::LongerForgotten);
            if node.broken(Mutant::GrantForgottenAtRestart) {
                node.grants.forget();
            }
            node.judge.stubborn = node.broken(Mutant::SuccessDoesNotClear);
            node.judge.forgiving = node.broken(Mutant::FlappingIgnored);
            node.judge.canaries.unasked = node.broken(Mutant::CanariesIgnored);
            node.judge.canaries.slow = node.broken(Mutant::CanariesSlow);
        }
        node.out.push(Output::Save(Entry::Started { boot }));
        node.selfcheck.fix(node.standing());
        if let Some(chosen) =
            saved.registers.get(&RegisterId::Voters).and_then(|it| it.chosen.as_ref())
        {
            node.restore_voters(chosen, now);
        }
        let ages = saved.ages;
        for (register, saved) in saved.registers {
            let RegisterId::App(app) = register else { continue };
            node.apps.entry(app.clone()).or_default();
            if let Some(chosen) = saved.chosen {
                let ages = node.restored_ages(ages.get(&app), now);
                node.restore(&app, &chosen, ages, now);
            }
            if let Some(accepted) = saved.accepted {
                node.on_held(&app, &accepted.value, now);
            }
        }
        #[cfg(feature = "mutants")]
        node.forget_places();
        node
    }

    /// One thing that happened.
    pub fn handle(&mut self, now: Moment, input: Input) {
        self.now = now;
        if self.selfcheck.on_wake(now, self.wanted.0) && !self.forgets_pauses() {
            self.judge.on_pause(now);
        }
        // What is believed here changes by looks and by time, not by what others say, but for guards that look for us.
        let own = !matches!(input, Input::Message(_, ref it) if !matches!(it, Message::View(_)));
        // Most of what comes is small talk, after which no app needs to be looked at again.
        let stir = match input {
            Input::Message(from, message) => match self.heeds(&from, &message, now) {
                true => self.on_message(&from, message, now),
                false => Stir::Nothing,
            },
            Input::Linked(agent, address) => {
                self.membership.on_linked(&agent, &address, now, &mut self.out);
                Stir::Nothing
            }
            // Silence tells: a link that went down comes up again, or its agent is missed.
            Input::Unlinked(_) => Stir::Nothing,
            Input::Observation(observation) => self.on_observation(observation, now),
            Input::Report(report) => {
                let stir = Stir::One(report.app.clone());
                self.on_report(report, now);
                stir
            }
            Input::Inspected(inspected) => self.on_inspected(inspected, now),
            Input::Found(found) => self.on_found(found, now),
            Input::Rejoined { target, token, took, what, lost } => {
                self.on_rejoined(&target, token, took, what, now);
                if let Some(lost) = lost {
                    self.tell_lost(&target, token, lost);
                }
                Stir::One(target.app)
            }
            Input::Command(id, command) => {
                self.on_command(id, command, now);
                Stir::All
            }
            Input::Clocks { wall_ms, monotonic } => {
                self.wall = (wall_ms, now);
                Stir::all_if(self.selfcheck.on_clocks(now, wall_ms, monotonic))
            }
            Input::Wake => Stir::all_if(self.on_wake(now)),
        };
        if stir != Stir::Nothing
            || !self.loopback.is_empty()
            || self.voting.due <= now
            || self.apps.values().any(|app| app.due <= now)
        {
            if own {
                self.tell(now);
            }
            self.settle(&stir, now);
        }
        self.wanted = self.next_wake(now);
    }

    /// One thing to do; drain to `None` before the next [`Node::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        match self.out.pop()? {
            Output::Probe(look) => Some(self.look_through(look)),
            other => Some(other),
        }
    }

    /// When to send [`Input::Wake`], and why.
    pub fn wake(&self) -> Deadline {
        self.wanted
    }

    /// The agreed state of every app, as far as known: what DNS answers from.
    pub fn states(&self) -> Vec<Arc<AppState>> {
        self.apps.values().filter_map(|app| Some(app.chosen.as_ref()?.state.clone())).collect()
    }

    /// When a majority of voters was last heard, directly or through one other.
    pub fn quorum_heard(&self) -> Moment {
        self.quorum_heard
    }

    fn on_message(&mut self, from: &AgentId, message: Message, now: Moment) -> Stir {
        let stir = Stir::by(&message);
        match message {
            Message::Gossip(packet) => {
                if let Err(why) = self.membership.on_packet(from, &packet, now, &mut self.out) {
                    self.out
                        .note(Note::Alarm(format!("a gossip packet of {from} is dropped: {why}")));
                }
            }
            Message::Pulse(pulse) => return self.on_pulse(from, &pulse, now),
            Message::Echo { sent, instance, seen } => {
                self.peers.on_echo(from, sent, now);
                self.on_seen(from, instance, seen);
            }
            Message::Beliefs(beliefs) => {
                let heard = self.hearsay.on_beliefs(from, beliefs, now);
                if heard != Heard::Before {
                    self.share_doubts(now);
                }
                return Stir::by_beliefs(heard);
            }
            Message::Ballot(message) => self.on_ballot(from, message, now),
            Message::Evidence(evidence) => self.on_evidence(from, *evidence, now),
            Message::Relayed(relayed) => return self.on_relayed(from, *relayed, now),
            Message::Chosen { register: RegisterId::App(app), accepted } => {
                self.learn(&app, accepted, now)
            }
            Message::Chosen { register: RegisterId::Voters, accepted } => {
                self.learn_voters(accepted, now);
            }
            Message::Lease(message) => self.on_lease(from, &message, now),
            Message::Lost { mesh, target, token, lost } => {
                self.on_lost(from, mesh, &target, (token, lost));
            }
            Message::Guard(message) => self.on_guard_message(from, *message, now),
            Message::View(message) => return self.on_view(from, *message, now),
        }
        stir
    }

    /// A look of this agent's own ended. Does anything follow from it for an app?
    fn on_observation(&mut self, observation: Observation, now: Moment) -> Stir {
        if let Watched::Target(_) = observation.watched {
            let own_trouble = matches!(observation.outcome, Outcome::Invalid(_));
            self.selfcheck.wellness.on_look(own_trouble);
        }
        self.show_others(&observation);
        self.take_observation(observation, now)
    }

    /// A look ended, whoever's eyes it took. Does anything follow from it for an app?
    fn take_observation(&mut self, observation: Observation, now: Moment) -> Stir {
        let watched = observation.watched.clone();
        let changed = self.judge.on_observation(observation, now, &mut self.out);
        match watched {
            Watched::Target(target) => {
                self.answer_evidence(&target.app, now);
                Stir::one_if(changed, &target.app)
            }
            Watched::Canary(_) => Stir::all_if(changed),
        }
    }

    /// The time has come for something. Does anything follow from it for an app?
    fn on_wake(&mut self, now: Moment) -> bool {
        self.membership.on_wake(now, &mut self.out);
        let changed = self.miss_guards(now) | self.judge.on_wake(now, &mut self.rng, &mut self.out);
        for agent in self.peers.fell_silent(now, HEARD_WITHIN) {
            self.out.note(Note::Misses(agent));
        }
        let beat = self.pulse_at <= now;
        if beat {
            self.pulse_at = now + PULSE;
            self.feel(now);
            self.find_relays(now);
            self.pulse(now);
            self.trust_store(now);
            self.save_ages(now);
            self.forget_shown();
            self.inspect(now);
            self.seek(now);
        }
        changed || beat
    }

    /// Whatever this agent has to say of itself and of what it believes.
    fn tell(&mut self, now: Moment) {
        if self.hears_majority(now) {
            self.quorum_heard = now;
        }
        self.tell_abstention(now);
        self.tell_beliefs(now);
        self.look_at_sites(now);
    }

    /// Whatever follows from what just happened, until nothing does.
    fn settle(&mut self, stir: &Stir, now: Moment) {
        let mut stirred = self.stirred(stir, now);
        loop {
            while let Some(message) = self.loopback.pop_front() {
                let me = self.config.agent.clone();
                let stir = self.on_message(&me, message, now);
                stirred.extend(self.stirred(&stir, now));
            }
            self.consider_voters(now);
            for app in std::mem::take(&mut stirred) {
                self.consider(&app, now);
            }
            if self.loopback.is_empty() {
                break;
            }
        }
    }

    fn on_command(&mut self, id: CommandId, command: Command, now: Moment) {
        match command {
            Command::Voters { change, by } => self.want_voters(id, change, by, now),
            about_an_app => self.want(id, about_an_app, now),
        }
    }

    /// Everything but itself that this agent may have to speak to.
    fn everybody(&self) -> BTreeSet<AgentId> {
        let voters = self.config.voters.all().map(|voter| voter.agent.clone());
        let alive = self.membership.alive().map(|identity| identity.agent.clone());
        let heard = self.peers.iter().map(|(agent, _)| agent.clone());
        voters.chain(alive).chain(heard).filter(|agent| *agent != self.config.agent).collect()
    }

    /// Tells everybody what is believed here: at once when it changes, else now and then.
    fn tell_beliefs(&mut self, now: Moment) {
        let summary: Vec<_> = self.judge.summary(now).collect();
        let doubt = summary.iter().any(|(_, _, doubt)| *doubt);
        let due = self.beliefs_at + if doubt { PULSE } else { REPEAT_BELIEFS };
        let doors = self.doors(now);
        let same = summary == self.beliefs_told && doors == self.doors_told;
        if (same && now < due) || summary.is_empty() {
            return;
        }
        let mut beliefs = self.judge.beliefs(now);
        self.sight_guards(&mut beliefs, now);
        (self.beliefs_told, self.doors_told) = (summary, doors);
        self.beliefs_at = now;
        self.beliefs_number += 1;
        let abstention = self.abstention(now);
        let (instance, number) = (self.instance, self.beliefs_number);
        let message = Arc::new(Beliefs { instance, number, abstention, beliefs });
        for agent in self.everybody() {
            self.say(&agent, Message::Beliefs(message.clone()));
        }
    }

    /// Somebody doubts a target: look at all of its app closely, too.
    fn share_doubts(&mut self, now: Moment) {
        for app in self.hearsay.doubted(now) {
            if self.apps.contains_key(app) {
                self.judge.hasten(app, now);
            }
        }
    }

    fn tell_abstention(&mut self, now: Moment) {
        let abstention = self.abstention(now);
        if self.abstention_told.replace(abstention) != Some(abstention) {
            self.out.note(Note::Abstains(abstention));
        }
    }

    fn longest_window(&self) -> Duration {
        let windows = self
            .apps
            .values()
            .filter_map(|app| Some(app.chosen.as_ref()?.state.definition.probe.window));
        windows.max().unwrap_or_default()
    }

    /// Why this agent's word does not count at all, by the most demanding of its apps.
    fn abstention(&self, now: Moment) -> Option<Abstention> {
        self.abstains(None, self.longest_window(), now)
    }

    /// Why its word on this app does not count.
    fn abstention_of(&self, state: &AppState, now: Moment) -> Option<Abstention> {
        self.abstains(Some(&state.definition.name), state.definition.probe.window, now)
    }

    fn abstains(&self, app: Option<&AppId>, window: Duration, now: Moment) -> Option<Abstention> {
        let around = Circumstances {
            window,
            hears: self.hears_majority(now),
            reaches: self.judge.reaches(app, now),
            blackout: self.judge.blackout(now),
        };
        self.selfcheck.abstention(now, around).filter(|why| !self.overlooks(*why))
    }

    fn rtt(&self) -> Duration {
        self.peers.typical_rtt(self.config.voters.agents().into_iter())
    }

    fn say(&mut self, to: &AgentId, message: Message) {
        if *to == self.config.agent {
            return self.loopback.push_back(message);
        }
        self.send_around(to, &message);
        self.out.send(to, message);
    }

    fn next_wake(&mut self, now: Moment) -> Deadline {
        let pulse = (self.pulse_at, "the next pulse is due");
        let mut wake = pulse.min(self.judge.wake()).min(self.membership.wake());
        wake = wake.min(self.through.wake());
        let voters = self.wake_for_voters(now);
        self.voting.due = voters.0;
        wake = wake.min(voters);
        for app in self.apps.values_mut() {
            let deadline = app.wake(now);
            app.due = deadline.0;
            wake = wake.min(deadline);
        }
        wake
    }

    #[cfg(feature = "mutants")]
    fn broken(&self, mutant: Mutant) -> bool {
        self.config.broken(mutant)
    }
}
