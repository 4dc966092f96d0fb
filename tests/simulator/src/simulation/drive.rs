//! The loop around one node: exactly production's, with a disk that may fail at every record.

use std::time::Duration;

use consensus::config::Mutant;
use consensus::message::Message;
use consensus::model::{Fault, FaultKind, Observation, Outcome, Phases, TargetId};
use consensus::moment::Moment;
use consensus::node::Node;
use consensus::outbox::{Hold, Input, Look, Note, Output};
use consensus::saved::Entry;
use consensus::value::Format;

use super::{Event, Simulation};
use crate::agent::INBOX_LIMIT;
use crate::check::Found;
use crate::check::lease;
use crate::check::store::Words;
use crate::network::Place;

/// More wakes than this within [`SPIN_WITHIN`], and the node spins.
const SPINS: u32 = 200;
const SPIN_WITHIN: Duration = Duration::from_millis(10);

impl Simulation {
    /// Starts an agent from its disk.
    pub fn start(&mut self, place: Place) {
        if self.agents[place].running() {
            return;
        }
        // Connections of its last run end now; a process that starts knows of none.
        self.reset_links(place);
        let seed = self.chance.bits();
        let agent = &mut self.agents[place];
        // As `quorate agent` does: what its last run was too late to put aside is put aside now.
        if agent.disk.durable().quarantined.is_some() {
            agent.replace_store(&mut self.chance);
        }
        let mut found: Found = Vec::new();
        let saved = match agent.disk.restart() {
            Ok(saved) => saved,
            Err(damage) => {
                self.report(vec![("saved before sent", format!("a store was {damage}"))]);
                return;
            }
        };
        Words::on_restart(&agent.id, &saved, agent.disk.durable(), &mut found);
        agent.begins_with(&saved);
        agent.run += 1;
        (agent.stopped, agent.busy, agent.missed) = (false, false, false);
        agent.inbox.clear();
        let now = agent.clock.boot(self.now);
        agent.node = Some(Node::new(agent.config.clone(), saved, now, seed));
        self.witnesses.on_start(&agent.id, now);
        let (run, id) = (agent.run, agent.id.clone());
        self.fleet.on_start(&id);
        self.transcript.say(self.now, Some(&id), || format!("starts, run {run}"));
        self.report(found);
        self.drain(place);
        let span = self.chance.between(Duration::ZERO, Duration::from_secs(1));
        self.after(span, Event::Clocks { to: place, run });
        self.look_at_links();
    }

    /// Kills an agent: what it had not made durable is gone.
    pub fn crash(&mut self, place: Place) {
        self.interrupted(place);
        let agent = &mut self.agents[place];
        if agent.node.take().is_none() {
            return;
        }
        agent.inbox.clear();
        agent.wake = Moment::NEVER;
        (agent.stopped, agent.busy) = (false, false);
        let id = agent.id.clone();
        self.transcript.say(self.now, Some(&id), || "is killed".into());
        self.count("crashes");
        self.look_at_links();
    }

    /// Stops a process; what arrives waits.
    pub fn stop(&mut self, place: Place) {
        let agent = &mut self.agents[place];
        if !agent.answers() {
            return;
        }
        self.interrupted(place);
        let agent = &mut self.agents[place];
        (agent.stopped, agent.stops) = (true, agent.stops + 1);
        let id = agent.id.clone();
        if agent.config.broken(Mutant::TimerStopsWhilePaused) {
            self.world.timers_stop(self.now, &id);
        }
        self.witnesses.on_stop(&id, agent.clock.boot(self.now));
        self.transcript.say(self.now, Some(&id), || "is stopped".into());
        self.count("stops");
        self.look_at_links();
    }

    /// Gives an agent too much to do: it handles nothing for a while.
    pub fn overload(&mut self, place: Place) {
        let agent = &mut self.agents[place];
        if !agent.answers() {
            return;
        }
        self.interrupted(place);
        let agent = &mut self.agents[place];
        (agent.stopped, agent.busy, agent.stops) = (true, true, agent.stops + 1);
        let id = agent.id.clone();
        self.witnesses.on_stop(&id, agent.clock.boot(self.now));
        self.transcript.say(self.now, Some(&id), || "has too much to do".into());
    }

    /// Lets a stopped process go on: first its timers or first its sockets, as it happens.
    pub fn resume(&mut self, place: Place) {
        let agent = &mut self.agents[place];
        if !agent.stopped {
            return;
        }
        (agent.stopped, agent.busy) = (false, false);
        let id = agent.id.clone();
        let (inbox, run) = (std::mem::take(&mut agent.inbox), agent.run);
        let missed = std::mem::take(&mut agent.missed);
        self.witnesses.on_resume(&id, agent.clock.boot(self.now));
        self.world.timers_go_on(self.now, &id);
        self.transcript.say(self.now, Some(&id), || "goes on".into());
        self.drain(place);
        if self.chance.happens(0.5) {
            self.read_clocks(place);
        }
        if missed {
            let span = self.chance.between(Duration::ZERO, Duration::from_secs(1));
            self.after(span, Event::Clocks { to: place, run });
        }
        for input in inbox {
            if self.agents[place].run == run {
                self.input(place, input);
            }
        }
        self.look_at_links();
    }

    /// Hands one input to a node and performs all that follows.
    pub fn input(&mut self, place: Place, input: Input) {
        let agent = &mut self.agents[place];
        if agent.stopped {
            if agent.inbox.len() < INBOX_LIMIT {
                agent.inbox.push_back(input);
            }
            return;
        }
        let now = agent.clock.boot(self.now);
        let Some(node) = &mut agent.node else { return };
        // A look that ended while its process was stopped is only read now.
        let input = match input {
            Input::Observation(observation) => {
                let took = now.since(observation.began);
                Input::Observation(Observation { took: took.max(observation.took), ..observation })
            }
            other => other,
        };
        match &input {
            Input::Message(from, what) => self.witnesses.on_heard(&agent.id, from, what, now),
            Input::Observation(seen) => self.witnesses.on_look(&agent.id, seen, now),
            Input::Clocks { wall_ms, monotonic } => {
                self.witnesses.on_clocks(&agent.id, now, *wall_ms, *monotonic);
            }
            _ => {}
        }
        node.handle(now, input);
        self.drain(place);
    }

    /// The time has come that a node asked for.
    pub(super) fn wake(&mut self, place: Place) {
        let agent = &mut self.agents[place];
        if agent.stopped {
            agent.wake = Moment::NEVER;
            return;
        }
        let (wakes, since) = agent.wakes;
        agent.wakes = match self.now.since(since) < SPIN_WITHIN {
            true => (wakes + 1, since),
            false => (1, self.now),
        };
        if wakes > SPINS {
            let why = agent.node.as_ref().map_or("", |node| node.wake().1);
            let text = format!("{} is woken all the time: {why}", agent.id);
            agent.wake = Moment::NEVER;
            return self.report(vec![("time passes", text)]);
        }
        self.input(place, Input::Wake);
    }

    /// Reads an agent's clocks for it.
    pub(super) fn read_clocks(&mut self, place: Place) {
        let agent = &self.agents[place];
        if agent.stopped {
            return;
        }
        let wall_ms = agent.clock.wall_ms(self.now);
        let monotonic = agent.clock.monotonic(self.now);
        self.look_at_view(place);
        self.input(place, Input::Clocks { wall_ms, monotonic });
    }

    /// Performs all outputs, in order, until none is left, or the process is gone or stands still.
    fn drain(&mut self, place: Place) {
        while !self.agents[place].stopped {
            let output = self.agents[place].node.as_mut().and_then(Node::poll);
            let Some(output) = output else { break };
            self.perform(place, output);
        }
        let agent = &mut self.agents[place];
        agent.wake = match &agent.node {
            Some(node) => agent.clock.truly(node.wake().0).max(self.now),
            None => Moment::NEVER,
        };
    }

    fn perform(&mut self, place: Place, output: Output) {
        match output {
            Output::Save(entry) => self.save(place, entry),
            Output::Send(to, message) => {
                self.check_message(place, &message);
                match &message {
                    Message::Lease(it) => self.check_lease(place, &to, it),
                    Message::View(it) => {
                        self.count("looks through guards");
                        let probe = self.apps.get(&it.target.app).map(|app| app.definition.probe);
                        let limit =
                            probe.map_or(Duration::ZERO, |it| it.timeout.min(it.window / 2));
                        self.witnesses.on_asked(&self.agents[place].id, it, limit);
                    }
                    _ => {}
                }
                if let Some(to) = self.place(&to) {
                    let Some(mut snare) = self.snare.take() else {
                        return self.send(place, to, message);
                    };
                    self.send(place, to, message.clone());
                    if !snare(self, place, to, &message) {
                        self.snare = Some(snare);
                    }
                }
            }
            Output::Probe(look) => self.look(place, look),
            Output::Act(action) => self.act(place, &action),
            Output::Inspect(inspection) => self.inspect(place, &inspection),
            Output::Seek(sought) => self.seek(place, &sought),
            Output::Rejoin(rejoin) => self.rejoin(place, &rejoin),
            Output::Note(note) => self.note(place, &note),
            Output::Lease(database, until) => self.keep_open(place, &database, until),
            Output::Answer(id, answer) => {
                let agent = self.agents[place].id.clone();
                self.transcript.say(self.now, Some(&agent), || format!("answers: {answer:?}"));
                let mut found: Found = Vec::new();
                let truth = (&self.registers, &self.electorate);
                self.history.on_answer(self.now, id.0, &answer, truth, &mut found);
                self.answers.insert(id.0, answer);
                self.report(found);
            }
            // Everybody is linked with everybody who can be reached; how addresses are learnt is the mesh's business.
            Output::Address(..) => {}
            Output::Quarantine(_) => self.lose_store(place),
        }
    }

    fn save(&mut self, place: Place, entry: Entry) {
        let full = self.agents[place].disk.full;
        if full || self.chance.happens(self.rates.crash_before_save) {
            let agent = &mut self.agents[place];
            agent.disk.tear(&entry, &mut self.chance);
            self.count(if full { "writes to a full disk" } else { "torn writes" });
            return self.crash_for_a_while(place);
        }
        if self.chance.happens(self.rates.sync_fails) {
            self.count("failed syncs");
            if self.agents[place].config.mutant == Some(Mutant::SyncFailureIgnored) {
                return;
            }
            // A store writes what it reads anew at every start, so the record is there for good then, or gone: of when it was
            // written, if anything was chosen by it.
            if self.chance.happens(0.5) {
                self.made_durable(place, entry);
            }
            return self.crash_for_a_while(place);
        }
        self.check_acceptance(place, &entry);
        self.made_durable(place, entry);
        if self.chance.happens(self.rates.crash_after_save) {
            self.crash_for_a_while(place);
        }
    }

    /// A store must not be used again: the process ends, and its next start makes a fresh one.
    fn lose_store(&mut self, place: Place) {
        self.count("quarantined stores");
        self.crash(place);
        self.agents[place].replace_store(&mut self.chance);
        let span = self.chance.between(Duration::from_millis(500), Duration::from_secs(5));
        self.after(span, Event::Start(place));
    }

    fn look(&mut self, place: Place, look: Look) {
        let agent = &self.agents[place];
        let (run, began) = (agent.run, agent.clock.boot(self.now));
        let id = agent.id.clone();
        let (took, outcome) =
            self.world.look(self.now, &id, &look.watched, look.limit, &mut self.chance);
        let outcome = match self.chance.happens(self.rates.own_trouble) {
            true => Outcome::Invalid(Fault::new(FaultKind::Local, "too many open files")),
            false => outcome,
        };
        let watched = look.watched;
        let observation = Observation { watched, began, took, phases: Phases::default(), outcome };
        self.after(took, Event::Input { to: place, run, input: Input::Observation(observation) });
    }

    /// A guard tells its door until when to stay open; the timer is the machine's, and counts by its boot-time clock.
    fn keep_open(&mut self, place: Place, database: &TargetId, until: Moment) {
        let agent = &self.agents[place];
        let until = agent.clock.truly(until);
        let was_open = self.world.open(self.now, database);
        self.world.keep_open(&agent.id, database.clone(), until);
        if !was_open {
            self.truth.reopened(database);
            self.outside_changed();
        }
        let mut found: Found = Vec::new();
        lease::opened(self.now, &self.world, database, &mut found);
        self.report(found);
    }

    fn note(&mut self, place: Place, note: &Note) {
        if let Note::Guards { app, stack, how } = note {
            self.count(match how {
                Hold::Leased => "leases begun",
                Hold::Failsafe => "leases kept by the candidates' word",
                Hold::Lapsed => "leases lapsed",
                Hold::Released => "leases given back",
            });
            let agent = self.agents[place].id.clone();
            for id in self.world.doors.of.iter().filter(|id| id.app == *app && id.stack == *stack) {
                let key = (agent.clone(), id.clone());
                match how {
                    Hold::Failsafe => self.world.doors.failsafe.insert(key),
                    Hold::Leased | Hold::Lapsed | Hold::Released => {
                        self.world.doors.failsafe.remove(&key)
                    }
                };
            }
        }
        let agent = &self.agents[place].id;
        self.transcript.say(self.now, Some(agent), || note.to_string());
        if let Note::Judges { target, health, .. } = note {
            self.fleet.on_judged(self.now, agent, target, *health);
        }
        let Note::Alarm(what) = note else { return };
        // Others were upgraded before this agent was.
        if what.contains("it is to be upgraded") && self.agents[place].config.format == Format::NOW
        {
            return self.count("values of the version that comes next");
        }
        // That a database which is told whom to follow goes astray, or cannot be reached when it is told, or dies behind its
        // fence and comes back closed, is what happens to it, and no fault of the mesh.
        let befalls = ["beside that of", "is left behind on", "is closed still"];
        if !befalls.iter().any(|it| what.contains(it)) {
            let text = format!("{agent}: {what}");
            self.report(vec![("no alarm", text)]);
        }
    }

    /// Kills an agent and has it start again, in time or much later.
    pub fn crash_for_a_while(&mut self, place: Place) {
        self.crash(place);
        let most = self.rates.restart_within;
        let span = self.chance.between(Duration::from_millis(50), most);
        self.after(span, Event::Start(place));
    }
}
