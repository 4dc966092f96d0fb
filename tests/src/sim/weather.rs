//! What goes wrong: drawn per seed which kinds, how often and for how long, so that seeds differ in character.
//!
//! Chaos may break anything. What it does to the outside ends by itself after a while, what it does to requests and disks
//! lasts as long as its rates; [`Simulation::heal`] ends all of it.

mod outside;

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::model::{AgentId, AppId, StackId, TargetId};
use consensus::outbox::Command;

use super::chance::Chance;
use super::network::Place;
use super::simulation::{Event, Simulation};

/// Before or after an action has left the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moments {
    /// Before.
    Before,
    /// After.
    After,
}

/// How likely is what lasts.
#[derive(Clone, Debug)]
pub struct Rates {
    /// A crash in the middle of writing a record.
    pub crash_before_save: f64,
    /// A crash right after a record is durable.
    pub crash_after_save: f64,
    /// A crashed agent is back within this.
    pub restart_within: Duration,
    /// A look fails for a cause of the agent's own.
    pub own_trouble: f64,
    /// A request is lost.
    pub request_lost: f64,
    /// A request arrives long after its time limit.
    pub request_late: f64,
    /// A request arrives once more, much later.
    pub request_repeated: f64,
    /// A request is carried out, and its answer lost.
    pub answer_lost: f64,
    /// A request reaches the outside within this.
    pub outside_takes: Duration,
    /// Whoever carries out a step is killed at it.
    pub executor_killed: f64,
    /// Whoever carries out a step is cut off from everybody, or stopped, at it.
    pub executor_cut_off: f64,
    /// And surely at these, once, not to come back by itself.
    pub traps: BTreeSet<(u64, Moments)>,
    /// A replica has what its primary wrote within this.
    pub replica_lag: Duration,
    /// How long until the weather strikes again, on average.
    pub calm_for: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            crash_before_save: 0.0,
            crash_after_save: 0.0,
            restart_within: Duration::from_secs(1),
            own_trouble: 0.0,
            request_lost: 0.0,
            request_late: 0.0,
            request_repeated: 0.0,
            answer_lost: 0.0,
            outside_takes: Duration::from_millis(60),
            executor_killed: 0.0,
            executor_cut_off: 0.0,
            traps: BTreeSet::new(),
            replica_lag: Duration::from_millis(20),
            calm_for: Duration::from_secs(10),
        }
    }
}

impl Rates {
    /// A climate of its own: half of the kinds do not occur at all.
    pub fn draw(chance: &mut Chance) -> Self {
        let mut some = |most: f64| match chance.happens(0.5) {
            true => chance.rate(most),
            false => 0.0,
        };
        let (crash_before_save, crash_after_save) = (some(0.02), some(0.05));
        let own_trouble = some(0.1);
        let (request_lost, request_late) = (some(0.4), some(0.3));
        let (request_repeated, answer_lost) = (some(0.5), some(0.4));
        let (executor_killed, executor_cut_off) = (some(0.5), some(0.5));
        Self {
            crash_before_save,
            crash_after_save,
            restart_within: chance.between(Duration::from_millis(200), Duration::from_secs(30)),
            own_trouble,
            request_lost,
            request_late,
            request_repeated,
            answer_lost,
            outside_takes: chance.between(Duration::from_millis(10), Duration::from_secs(2)),
            executor_killed,
            executor_cut_off,
            traps: BTreeSet::new(),
            replica_lag: chance.between(Duration::from_millis(1), Duration::from_millis(900)),
            calm_for: chance.between(Duration::from_secs(2), Duration::from_secs(20)),
        }
    }
}

/// A change of weather.
#[derive(Clone, Debug)]
pub enum Weather {
    /// Something breaks, and it is not known yet what.
    Strikes,
    /// The network passes everything again, if no later partition has come.
    NetworkMends(u64),
    /// A stack is well again.
    StackMends(AppId, StackId),
    /// An agent sees a stack again.
    PathMends(AgentId, AppId, StackId),
    /// A replica reaches its primary again.
    ReplicaMends(TargetId),
    /// A DNS server answers again.
    ServerMends(String),
    /// People look after replicas that follow nobody.
    Rebuilds,
}

impl Simulation {
    /// Chaos begins.
    pub fn unleash(&mut self) {
        self.rates = Rates::draw(&mut self.chance);
        for trade in self.apps.values_mut() {
            trade.stubborn = self.chance.happens(0.3);
        }
        self.after(Duration::from_secs(1), Event::Weather(Weather::Strikes));
    }

    /// The weather changes.
    pub(super) fn strike(&mut self, weather: Weather) {
        match weather {
            Weather::Strikes => {
                self.break_something();
                let most = self.rates.calm_for * 2;
                let span = self.chance.between(Duration::from_millis(200), most);
                self.after(span, Event::Weather(Weather::Strikes));
            }
            Weather::NetworkMends(partition) => {
                if self.tally.get("partitions") == Some(&partition) {
                    self.say(|| "the network passes everything again".into());
                    for edge in self.network.edges_mut() {
                        edge.cut = false;
                    }
                    self.look_at_links();
                }
            }
            Weather::StackMends(app, stack) => self.mend_stack(&app, &stack),
            Weather::PathMends(agent, app, stack) => {
                self.say(|| format!("{agent} sees {app}/{stack} again"));
                self.world.paths.remove(&(agent, app, stack));
                self.outside_changed();
            }
            Weather::ReplicaMends(replica) => {
                self.say(|| format!("{replica} reaches its primary again"));
                self.world.severed.remove(&replica);
            }
            Weather::ServerMends(server) => {
                self.say(|| format!("{server} answers again"));
                self.world.servers.entry(server).or_default().dark = false;
            }
            Weather::Rebuilds => self.rebuild_replicas(),
        }
    }

    fn break_something(&mut self) {
        match self.chance.below(20) {
            0 | 1 => {
                let place = self.some_place();
                self.crash_for_a_while(place);
            }
            2 => self.power_cut(),
            3 | 4 => self.stop_somebody(),
            5 => self.jump_clock(),
            6..=8 => self.partition(),
            9 => self.lose_packets(),
            10..=13 => self.break_stack(),
            14 => self.blind_somebody(),
            15 => self.sever_replica(),
            16 => self.rebuild_replicas(),
            _ => self.ask_for_something(),
        }
    }

    fn some_place(&mut self) -> Place {
        self.chance.below(self.agents.len() as u64) as Place
    }

    fn some_app(&mut self) -> AppId {
        let apps: Vec<AppId> = self.apps.keys().cloned().collect();
        self.chance.pick(&apps).clone()
    }

    fn power_cut(&mut self) {
        for place in 0..self.agents.len() {
            if self.chance.happens(0.8) {
                self.crash_for_a_while(place);
            }
        }
    }

    fn stop_somebody(&mut self) {
        let place = self.some_place();
        let most = *self.chance.pick(&[
            Duration::from_secs(1),
            Duration::from_secs(10),
            Duration::from_secs(60),
        ]);
        let span = self.chance.between(Duration::from_millis(50), most);
        self.stop(place);
        // A frozen machine's monotonic clock stands still, a stopped process's does not.
        if self.chance.happens(0.3) {
            self.agents[place].clock.slept += span;
        }
        self.after(span, Event::Resume(place));
    }

    fn jump_clock(&mut self) {
        let place = self.some_place();
        let most = *self.chance.pick(&[2_000, 3_600_000, 300_000_000_000]);
        let jump = self.chance.below(2 * most) as i64 - most as i64;
        let agent = &mut self.agents[place];
        agent.clock.wall_off_ms += jump;
        let id = agent.id.clone();
        self.transcript.say(self.now, Some(&id), || format!("has its clock set by {jump} ms"));
    }

    fn partition(&mut self) {
        let all: Vec<Place> = (0..self.agents.len()).collect();
        let side: BTreeSet<Place> =
            all.iter().copied().filter(|_| self.chance.happens(0.4)).collect();
        let (there, back, part) =
            (self.chance.happens(0.9), self.chance.happens(0.8), self.chance.happens(0.3));
        for &from in &all {
            for &to in &all {
                let cut = match (side.contains(&from), side.contains(&to)) {
                    (true, false) => there,
                    (false, true) => back,
                    _ => false,
                };
                if cut && !(part && self.chance.happens(0.4)) {
                    self.network.edge_mut(from, to).cut = true;
                }
            }
        }
        let names: Vec<String> =
            side.iter().map(|place| self.agents[*place].id.to_string()).collect();
        self.say(|| {
            let partial = if part { ", in part" } else { "" };
            format!("cut off: {} (out {there}, in {back}{partial})", names.join(" "))
        });
        self.count("partitions");
        self.look_at_links();
        let span = self.chance.between(Duration::from_millis(500), Duration::from_secs(45));
        let partition = self.tally["partitions"];
        self.after(span, Event::Weather(Weather::NetworkMends(partition)));
    }

    /// Whoever carries out a step loses sight of everybody, or stands still; half the time what it asks is not answered
    /// either, so that it will want to ask again.
    pub(super) fn cut_off_or_stop(&mut self, place: Place) {
        let span = self.chance.between(Duration::from_secs(2), Duration::from_secs(40));
        if self.chance.happens(0.3) {
            self.stop(place);
            return self.after(span, Event::Resume(place));
        }
        for other in (0..self.agents.len()).filter(|other| *other != place) {
            self.network.edge_mut(place, other).cut = true;
            self.network.edge_mut(other, place).cut = true;
        }
        let agent = self.agents[place].id.clone();
        self.transcript.say(self.now, Some(&agent), || "is cut off from everybody".into());
        self.count("partitions");
        self.look_at_links();
        let partition = self.tally["partitions"];
        self.after(span, Event::Weather(Weather::NetworkMends(partition)));
        if self.chance.happens(0.5) {
            self.darken_server(span);
        }
    }

    fn lose_packets(&mut self) {
        let share = self.chance.rate(0.4);
        let jitter = self.chance.between(Duration::ZERO, Duration::from_millis(400));
        let (repeat, everywhere) = (self.chance.rate(0.3), self.chance.happens(0.3));
        for edge in self.network.edges_mut() {
            if everywhere || self.chance.happens(0.3) {
                (edge.loss, edge.jitter, edge.repeat) = (share, jitter, repeat);
            }
        }
        self.say(|| format!("{:.0} % of packets are lost", share * 100.0));
    }

    fn ask_for_something(&mut self) {
        let (place, app) = (self.some_place(), self.some_app());
        let Some(state) = self.agreed(&app) else { return };
        let stacks: Vec<StackId> = state.definition.stacks.iter().map(|s| s.name.clone()).collect();
        let to = self.chance.happens(0.7).then(|| self.chance.pick(&stacks).clone());
        let by = "operator".to_owned();
        match self.chance.below(3) {
            0 => {
                let mut definition = state.definition.as_ref().clone();
                definition.records[0].ttl = 10 + self.chance.below(50) as u32;
                self.say(|| format!("applies {app}"));
                self.apply(place, definition);
            }
            1 => {
                self.say(|| format!("asks for a switchover of {app}"));
                self.command(place, Command::Switchover { app, to, by });
            }
            _ => {
                self.say(|| format!("asks for a failover of {app}"));
                self.command(place, Command::Failover { app, to, accept_loss: false, by });
            }
        }
    }

    /// Everything is well again, and every agent but these runs.
    pub fn heal(&mut self, but: &BTreeSet<Place>) {
        self.say(|| "everything is well again".into());
        let calm_for = Duration::from_secs(100_000_000);
        let replica_lag = self.rates.replica_lag.min(Duration::from_millis(200));
        self.rates = Rates { calm_for, replica_lag, ..Rates::default() };
        self.forget_weather();
        self.network.heal();
        self.world.hear(self.now);
        self.world.paths.clear();
        self.world.severed.clear();
        for server in self.world.servers.values_mut() {
            server.dark = false;
        }
        let stacks: Vec<(AppId, StackId)> = self
            .apps
            .iter()
            .flat_map(|(app, trade)| {
                trade.definition.stacks.iter().map(|s| (app.clone(), s.name.clone()))
            })
            .collect();
        for (app, stack) in stacks {
            self.mend_stack(&app, &stack);
        }
        for place in 0..self.agents.len() {
            match but.contains(&place) {
                true => self.crash(place),
                false => {
                    self.resume(place);
                    self.start(place);
                }
            }
        }
        self.look_at_links();
        self.outside_changed();
    }
}
