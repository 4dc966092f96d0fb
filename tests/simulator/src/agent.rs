//! One agent as a process on a machine: the node, its disk, its clocks and what waits for it.
//!
//! Only state: the loop that drives it is the simulation's, and does what production's does.

use std::collections::VecDeque;
use std::time::Duration;

use consensus::codec;
use consensus::config::{BallotStore, Config, Mutant};
use consensus::message::Accepted;
use consensus::model::{AgentId, RegisterId, VotersState};
use consensus::moment::Moment;
use consensus::node::Node;
use consensus::outbox::Input;
use consensus::saved::{Birth, Saved};

use super::chance::Chance;
use super::disk::Disk;
use super::scene::store;

/// The most that waits for a stopped process: what its sockets would hold.
pub const INBOX_LIMIT: usize = 4_096;

/// One agent.
pub struct Agent {
    /// Its name.
    pub id: AgentId,
    /// What it is told at its start.
    pub config: Config,
    /// Its store.
    pub disk: Disk,
    /// A copy of its store from before.
    pub copy: Option<(Disk, Option<BallotStore>)>,
    /// Is its store such a copy? It has not been told yet, and will not vote again once it is.
    pub doomed: bool,
    /// The version of the voters it goes by, as its disk says.
    pub version: u64,
    /// Its clocks.
    pub clock: Clock,
    /// The process; `None` while it does not run.
    pub node: Option<Node>,
    /// Counts its starts, so that what an older run asked for is not answered to a newer.
    pub run: u64,
    /// Is the process stopped (SIGSTOP, a frozen machine), or too busy to handle anything?
    pub stopped: bool,
    /// How often it was stopped, or too busy.
    pub stops: u64,
    /// Is it only too busy? Then its connections live on: other threads hold them.
    pub busy: bool,
    /// Were its clocks to be read while it was stopped? Then they are soon after.
    pub missed: bool,
    /// What arrived meanwhile.
    pub inbox: VecDeque<Input>,
    /// When the node wants to be woken, in true time.
    pub wake: Moment,
    /// How often it was woken since then: an agent that is woken all the time does nothing else.
    pub wakes: (u32, Moment),
}

impl Agent {
    /// An agent that has not been started yet.
    pub fn new(config: Config, rate_error: u64, chance: &mut Chance) -> Self {
        Self {
            id: config.agent.clone(),
            copy: None,
            doomed: false,
            version: config.voters.version,
            disk: Disk::new(birth(&config)),
            config,
            clock: Clock::new(rate_error, chance),
            node: None,
            run: 0,
            stopped: false,
            stops: 0,
            busy: false,
            missed: false,
            inbox: VecDeque::new(),
            wake: Moment::NEVER,
            wakes: (0, Moment::ZERO),
        }
    }

    /// It starts from what its disk holds.
    pub fn begins_with(&mut self, saved: &Saved) {
        self.version = self.config.voters.version;
        let voters = saved.registers.get(&RegisterId::Voters);
        if let Some(chosen) = voters.and_then(|register| register.chosen.as_ref()) {
            self.goes_by(chosen);
        }
    }

    /// It has learned who votes.
    pub fn goes_by(&mut self, chosen: &Accepted) {
        if let Ok(state) = codec::decode::<VotersState>(chosen.value.bytes()) {
            self.version = self.version.max(state.voters.version);
        }
    }

    /// Its store is gone: as `quorate agent` does at its start, it makes another, under a new id.
    pub fn lose_store(&mut self, chance: &mut Chance) {
        self.renew_store(Saved::default(), chance);
    }

    /// Its store must not be used again: it makes another, and what was known to be chosen is known on.
    pub fn replace_store(&mut self, chance: &mut Chance) {
        self.renew_store(self.disk.durable().heritage(), chance);
    }

    fn renew_store(&mut self, heritage: Saved, chance: &mut Chance) {
        if self.config.ballots.is_none() {
            return;
        }
        let kept = self.config.mutant == Some(Mutant::Amnesia);
        if !kept {
            self.config.ballots = Some(store(chance));
        }
        self.disk = Disk::heir(birth(&self.config), heritage);
        self.doomed = false;
    }

    /// Does it run, stopped or not?
    pub fn running(&self) -> bool {
        self.node.is_some()
    }

    /// Does it run and answer?
    pub fn answers(&self) -> bool {
        self.running() && !self.stopped
    }

    /// Do its connections live?
    pub fn connects(&self) -> bool {
        self.running() && (!self.stopped || self.busy)
    }
}

fn birth(config: &Config) -> Birth {
    Birth {
        mesh: config.voters.mesh,
        agent: config.agent.clone(),
        acceptor: config.ballots.as_ref().map(|store| store.acceptor),
    }
}

/// One machine's clocks against true time.
#[derive(Clone, Debug)]
pub struct Clock {
    /// What the boot-time clock showed at the beginning of true time.
    offset: i64,
    /// How much faster it runs, in millionths.
    drift: i64,
    /// How far the wall clock is off, in milliseconds.
    pub wall_off_ms: i64,
    /// How long the machine slept in all.
    pub slept: Duration,
}

/// 2026-01-01, so that times for people look like times.
const WALL_START_MS: i64 = 1_767_225_600_000;

/// How far off a clock is whose rate nothing disturbs, in millionths.
const CRYSTAL: u64 = 200;

impl Clock {
    /// A clock somewhere, its rate wrong by at most so many millionths. Where that is much, many are wrong by as much: what
    /// allows for it must do so at the very limit.
    pub fn new(rate_error: u64, chance: &mut Chance) -> Self {
        let hour = 3_600_000_000;
        let offset = hour + chance.below(1_000 * hour as u64) as i64;
        let within = chance.below(2 * rate_error + 1) as i64 - rate_error as i64;
        let extreme = rate_error > CRYSTAL && chance.happens(0.7);
        Self {
            offset,
            drift: if extreme { within.signum() * rate_error as i64 } else { within },
            wall_off_ms: chance.below(200) as i64 - 100,
            slept: Duration::ZERO,
        }
    }

    /// What the boot-time clock shows.
    pub fn boot(&self, now: Moment) -> Moment {
        let now = now.as_micros() as i64;
        Moment::from_micros((self.offset + now + now * self.drift / 1_000_000) as u64)
    }

    /// When, in true time, the boot-time clock shows this; never before it does.
    pub fn truly(&self, boot: Moment) -> Moment {
        if boot == Moment::NEVER {
            return Moment::NEVER;
        }
        let span = (boot.as_micros() as i64).saturating_sub(self.offset).max(0);
        let exact = span * 1_000_000 / (1_000_000 + self.drift);
        let mut now = Moment::from_micros((exact - 2).max(0) as u64);
        while self.boot(now) < boot {
            now = now + Duration::from_micros(1);
        }
        now
    }

    /// None of its clocks counted this much.
    pub fn stood_still(&mut self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).expect("simulated spans are short");
        self.offset -= micros;
        self.wall_off_ms -= micros / 1_000;
    }

    /// What the wall clock shows, in milliseconds since 1970.
    pub fn wall_ms(&self, now: Moment) -> u64 {
        (WALL_START_MS + (now.as_micros() / 1_000) as i64 + self.wall_off_ms).max(0) as u64
    }

    /// What the monotonic clock shows, which stands still in sleep.
    pub fn monotonic(&self, now: Moment) -> Duration {
        Duration::from_micros(self.boot(now).as_micros()).saturating_sub(self.slept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_never_rings_early() {
        for seed in 0..50 {
            let error = if seed % 2 == 0 { CRYSTAL } else { 10_000 };
            let clock = Clock::new(error, &mut Chance::new(seed));
            for now in [0, 17, 1_000_000, 3_600_000_001] {
                let boot = clock.boot(Moment::from_micros(now)) + Duration::from_micros(1_234_567);
                let rings = clock.truly(boot);
                assert!(clock.boot(rings) >= boot);
                assert!(clock.boot(rings - Duration::from_micros(2)) < boot, "nor much later");
            }
        }
    }
}
