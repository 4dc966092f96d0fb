//! One target as this agent sees it: when to look next, and what to believe (PROTOCOL.md B.2, 0.1 j).

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::canaries::Family;
use crate::model::{
    Belief, Database, DatabaseSight, Fault, FaultKind, Health, Observation, Outcome, ProbePolicy,
    TargetId, Watched,
};
use crate::moment::Moment;
use crate::outbox::{Look, Subject};

/// Looks under way at one target at most: a target that never answers must not pile them up.
const IN_FLIGHT: usize = 16;
/// Successes that qualify a standby (PROTOCOL.md B.2, R).
const QUALIFYING: usize = 10;
/// More turns from up to down or back than this within ten minutes (or 75 windows), and a standby is none: it would not
/// stay up. A look that is lost now and then turns nothing.
const TURNS: usize = 4;
const TURNS_WITHIN: u32 = 75;
/// Failures in a row that end a standby's clean time; fewer are ordinary loss, which the window forgives, too.
const SPOILING: usize = 3;

/// An app's probe policy with everything that scales with its window (PROTOCOL.md 0.1 j).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Between two looks at a healthy target.
    pub interval: Duration,
    /// Between two looks while in doubt.
    pub fast: Duration,
    /// The limit of one look.
    pub limit: Duration,
    /// Down only after this long without one success.
    pub window: Duration,
    /// And this many failures in it.
    pub failures: usize,
    /// A standby qualifies after this long.
    pub qualify: Duration,
    /// And only this long after its last failure.
    pub clean: Duration,
    /// The next look at a healthy target is due within this.
    again: Duration,
}

impl Scale {
    /// The scale of a policy.
    pub fn of(policy: ProbePolicy) -> Self {
        let window = policy.window.as_secs_f64();
        let rate = f64::max(2.0, 4.0 / window);
        let fast = Duration::from_secs_f64(1.0 / rate).min(policy.interval);
        Self {
            interval: policy.interval,
            fast,
            limit: policy.timeout.min(policy.window / 2),
            window: policy.window,
            failures: ((window * rate / 2.0) as usize).max(2),
            qualify: policy.window.mul_f64(7.5),
            clean: policy.window.mul_f64(15.0 / 8.0),
            again: policy.interval.mul_f64(1.25),
        }
    }

    /// A success no older than this still says "up", where looks may take so long.
    fn up_for(&self, limit: Duration) -> Duration {
        (self.fast * 2).max(self.again) + limit
    }
}

/// One target as this agent sees it.
#[derive(Debug)]
pub struct Watch {
    subject: Subject,
    /// Where the way to it leads.
    way: (String, u16),
    /// Of its address, if that is none that has to be looked up.
    family: Option<Family>,
    scale: Scale,
    /// Since when this is looked at: what began before was a look at something else of that name.
    made: Moment,
    /// When counting began: at the first look, or after a pause.
    since: Moment,
    next: Moment,
    /// When something may change without anything happening, as last found: before then nobody need ask.
    wanted: Moment,
    fast_until: Moment,
    in_flight: VecDeque<Moment>,
    /// When any look last ended, whatever came of it.
    looked: Option<Moment>,
    /// When the newest look that counts began, and how long it took.
    last: Option<(Moment, Duration)>,
    succeeded: Option<Moment>,
    /// When it last answered, if only to turn us away: whoever answers is not dead.
    answered: Option<Moment>,
    /// When the failures since the last success ended; bounded by what the window can hold.
    failures: VecDeque<Moment>,
    failed: Option<Moment>,
    /// Did enough canaries answer since it began to fail? If not, it is as likely this agent that fails.
    vouched: bool,
    fault: Option<Fault>,
    clean_since: Option<Moment>,
    successes: usize,
    sight: Option<(DatabaseSight, Moment)>,
    streamed: Option<Moment>,
    advanced: Option<Moment>,
    /// Was it ever reached from here, by this run or one before? Without a way to it, silence says nothing of it.
    reached: bool,
    /// When it stopped being well, while it is not.
    fell: Option<Moment>,
    /// How much longer than usual this agent gives it, being unwell itself.
    stretch: u32,
    /// Was it last up or down, whatever lay between?
    stood: Option<bool>,
    /// When it turned from one to the other lately.
    turns: VecDeque<Moment>,
    told: Health,
    /// Breaks rule 8: one success does not take the vote away.
    #[cfg(feature = "mutants")]
    pub stubborn: bool,
    /// Qualifies however often it came and went, to show that a test notices.
    #[cfg(feature = "mutants")]
    pub forgiving: bool,
}

impl Watch {
    /// A target that was never looked at.
    pub fn new(subject: Subject, scale: Scale, now: Moment, first: Moment) -> Self {
        let way = way(&subject);
        Self {
            family: Family::of(&way.0),
            way,
            subject,
            scale,
            made: now,
            since: now,
            next: first,
            wanted: now,
            fast_until: Moment::ZERO,
            in_flight: VecDeque::new(),
            looked: None,
            last: None,
            succeeded: None,
            answered: None,
            failures: VecDeque::new(),
            failed: None,
            vouched: false,
            fault: None,
            clean_since: None,
            successes: 0,
            sight: None,
            streamed: None,
            advanced: None,
            reached: false,
            fell: None,
            stretch: 1,
            stood: None,
            turns: VecDeque::new(),
            told: Health::Unknown,
            #[cfg(feature = "mutants")]
            stubborn: false,
            #[cfg(feature = "mutants")]
            forgiving: false,
        }
    }

    /// Where it is: what is known of the way to it holds for this address alone.
    pub fn address(&self) -> (&str, u16) {
        (&self.way.0, self.way.1)
    }

    /// Down only after this long without one success, if this agent is well.
    pub fn usual_window(&self) -> Duration {
        self.scale.window
    }

    /// By which of the two ways it is addressed, if that is known.
    pub fn family(&self) -> Option<Family> {
        self.family
    }

    /// It was reached from here before. Was that not known?
    pub fn on_reached(&mut self) -> bool {
        !std::mem::replace(&mut self.reached, true)
    }

    /// This agent is so unwell, itself, that it gives everything so many times as long.
    pub fn on_stretch(&mut self, stretch: u32) {
        self.stretch = stretch;
        self.wanted = Moment::ZERO;
    }

    fn window(&self) -> Duration {
        self.scale.window * self.stretch
    }

    fn limit(&self) -> Duration {
        self.scale.limit * self.stretch
    }

    fn up_for(&self) -> Duration {
        self.scale.up_for(self.limit())
    }

    /// Did this look begin before anybody looked at this, at whatever bore its name then?
    pub fn is_of_before(&self, observation: &Observation) -> bool {
        observation.began < self.made
    }

    /// Is this the same target, looked at in the same way? Who guards a database changes nothing about that.
    pub fn looks_at(&self, subject: &Subject, scale: Scale) -> bool {
        let same = match (&self.subject, subject) {
            (Subject::Endpoint(old), Subject::Endpoint(new)) => old == new,
            (Subject::Database(old), Subject::Database(new)) => {
                let new = Database::clone(new);
                old.seen_through() == new.seen_through()
                    && **old == Database { guard: old.guard.clone(), ..new }
            }
            _ => false,
        };
        same && self.scale == scale
    }

    /// It goes on as this, which is looked at in the same way.
    pub fn goes_on_as(&mut self, subject: Subject) {
        self.subject = subject;
    }

    /// A look ended.
    pub fn on_observation(&mut self, observation: Observation, now: Moment) {
        self.in_flight.pop_front();
        self.wanted = Moment::ZERO;
        self.looked = Some(now);
        // A look that began before the newest one says nothing new.
        if self.last.is_some_and(|(began, _)| observation.began < began) {
            return;
        }
        // Whoever stood still cut its own looks short.
        if observation.began < self.since && matches!(observation.outcome, Outcome::Failed(_)) {
            return;
        }
        match observation.outcome {
            // Our own trouble counts neither way.
            Outcome::Invalid(fault) => {
                self.fault = Some(fault);
                return;
            }
            Outcome::Up(sight) => self.on_success(sight, now),
            Outcome::Failed(fault) => self.on_failure(fault, now),
        }
        self.last = Some((observation.began, observation.took));
    }

    fn on_success(&mut self, sight: Option<DatabaseSight>, now: Moment) {
        #[cfg(feature = "mutants")]
        if self.stubborn && self.successes < SPOILING && self.health(now) == Health::Down {
            self.successes += 1;
            return;
        }
        self.fell = None;
        self.succeeded = Some(now);
        self.failures.clear();
        self.fault = None;
        self.clean_since.get_or_insert(now);
        self.successes += 1;
        let Some(mut sight) = sight else { return };
        let before = self.sight.as_ref().map(|(before, _)| before.position);
        let heard = sight.heard.is_some_and(|heard| heard <= self.scale.window);
        if sight.streaming {
            self.streamed = Some(now);
            if heard || before.is_none_or(|before| before < sight.position) {
                self.advanced = Some(now);
            }
        } else {
            self.advanced = None;
            // Who does not say when it last heard its primary was last seen to hear it then.
            sight.heard = sight.heard.or(self.streamed.map(|at| now.since(at)));
        }
        self.sight = Some((sight, now));
    }

    fn on_failure(&mut self, fault: Fault, now: Moment) {
        // A refused credential or a full server is a matter for people: were it a vote, a changed password would promote.
        if matches!(fault.kind, FaultKind::Credential | FaultKind::Unready) {
            self.answered = Some(now);
            self.failures.clear();
        }
        self.vouched &= !self.failures.is_empty();
        self.failures.push_back(now);
        if self.failures.len() > self.scale.failures.max(SPOILING) * 4 {
            self.failures.pop_front();
        }
        if self.failures.len() >= SPOILING {
            self.clean_since = None;
            self.successes = 0;
        }
        if self.failures.len() >= SPOILING.min(self.scale.failures) {
            self.fell.get_or_insert(now);
        }
        self.failed = Some(now);
        self.fault = Some(fault);
        self.hasten(now);
    }

    /// Look closely for a while.
    pub fn hasten(&mut self, now: Moment) {
        self.fast_until = self.fast_until.max(now + self.scale.window * 2);
        self.next = self.next.min(now + self.scale.fast);
        self.wanted = self.wanted.min(self.next);
    }

    /// Enough canaries answered looks that began no sooner than this: what failed before did not fail for want of a way into
    /// the world.
    pub fn on_canaries(&mut self, asked: Moment) {
        self.vouched |= self.failures.front().is_some_and(|&failed| failed <= asked);
    }

    /// Did the last look fail?
    pub fn in_doubt(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Since when it has not been well, if it is not: a single failure is no fall.
    pub fn fell(&self) -> Option<Moment> {
        self.fell
    }

    /// Failures from before a pause are no evidence; counting begins anew.
    pub fn on_pause(&mut self, now: Moment) {
        self.failures.clear();
        self.in_flight.clear();
        self.since = now;
        self.next = now;
        self.wanted = now;
        self.succeeded = None;
        self.fell = None;
    }

    /// Did a look end within `age`?
    pub fn looked_within(&self, age: Duration, now: Moment) -> bool {
        self.looked.is_some_and(|ended| now.since(ended) <= age)
    }

    /// For how long it has been well, if it is.
    pub fn well_for(&self, now: Moment) -> Option<Duration> {
        let since = self.clean_since.filter(|_| self.told == Health::Up)?;
        Some(now.since(since))
    }

    /// Is a look under way?
    pub fn is_looking(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Did the newest look, under way or ended, begin within `age`?
    pub fn began_within(&self, age: Duration, now: Moment) -> bool {
        let ended = self.last.map(|(began, _)| began);
        let newest = self.in_flight.back().copied().max(ended);
        newest.is_some_and(|began| now.since(began) <= age)
    }

    /// A look that is due. A look that hangs is doubt enough to look closely: a dead host answers nothing, and waiting for
    /// the first limit to pass would double the time until it is noticed.
    pub fn due(&mut self, target: &TargetId, now: Moment, rng: &mut StdRng) -> Option<Look> {
        if self.hangs().is_some_and(|at| at <= now) && self.fast_until <= now {
            self.hasten(now);
        }
        if now < self.next {
            return None;
        }
        let pace = if now < self.fast_until { self.scale.fast } else { self.scale.interval };
        // Five percent of jitter keeps agents from falling into step.
        self.next = now + pace.mul_f64(rng.random_range(0.95..1.05));
        self.look(target, now)
    }

    /// A look, now, unless too many are under way.
    pub fn look(&mut self, target: &TargetId, now: Moment) -> Option<Look> {
        // The edge answers within the limit; whatever is older than twice that was lost with a task.
        let lost = self.limit() * 2;
        while self.in_flight.front().is_some_and(|&began| now.since(began) > lost) {
            self.in_flight.pop_front();
        }
        if self.in_flight.len() >= IN_FLIGHT {
            return None;
        }
        self.in_flight.push_back(now);
        self.wanted = Moment::ZERO;
        Some(Look {
            watched: Watched::Target(target.clone()),
            subject: self.subject.clone(),
            limit: self.limit(),
        })
    }

    /// When the oldest look under way begins to look as if it would never end.
    fn hangs(&self) -> Option<Moment> {
        self.in_flight.front().map(|&began| began + self.scale.fast * 2)
    }

    /// When to be asked again though nothing happens, as last found.
    pub fn wanted(&self) -> Moment {
        self.wanted
    }

    /// Finds out when something may change without anything happening.
    pub fn wake(&mut self, now: Moment) -> Moment {
        self.wanted = self.changes(now);
        self.wanted
    }

    fn changes(&self, now: Moment) -> Moment {
        let quiet_since = self.quiet_since();
        let turns = [quiet_since + self.window(), quiet_since + self.up_for()];
        let hangs = self.hangs().filter(|_| self.fast_until <= now);
        turns
            .into_iter()
            .chain(hangs)
            .filter(|&at| at > now)
            .chain([self.next])
            .min()
            .unwrap_or(self.next)
    }

    /// The health to tell people of, and why, if it is another than before.
    pub fn turned(&mut self, now: Moment) -> Option<(Health, Option<String>)> {
        let health = self.health(now);
        if std::mem::replace(&mut self.told, health) == health {
            return None;
        }
        let stands = match health {
            Health::Up => Some(true),
            Health::Down => Some(false),
            Health::Degraded | Health::Unknown => self.stood,
        };
        if self.stood.is_some() && self.stood != stands {
            self.turns.push_back(now);
            if self.turns.len() > TURNS + 1 {
                self.turns.pop_front();
            }
        }
        self.stood = stands;
        Some((health, self.fault.as_ref().map(|fault| fault.text.clone())))
    }

    fn quiet_since(&self) -> Moment {
        let spoke = self.succeeded.max(self.answered);
        spoke.unwrap_or(self.since).max(self.since)
    }

    fn health(&self, now: Moment) -> Health {
        let quiet_since = self.quiet_since();
        let window = self.window();
        let within = |at: &&Moment| now.since(**at) <= window;
        let failures = self.failures.iter().filter(within).count();
        if now.since(quiet_since) >= window && failures >= self.scale.failures && self.vouched {
            return Health::Down;
        }
        match (self.succeeded, self.failures.is_empty()) {
            (Some(succeeded), true) if now.since(succeeded) < self.up_for() => Health::Up,
            (None, true) => Health::Unknown,
            _ => Health::Degraded,
        }
    }

    fn qualified(&self, now: Moment) -> bool {
        let long = self.clean_since.is_some_and(|since| now.since(since) >= self.scale.qualify);
        let clean = self.failed.is_none_or(|failed| now.since(failed) >= self.scale.clean);
        long && clean && self.successes >= QUALIFYING && !self.flapping(now)
    }

    /// Does it come and go, so that nothing should be moved there?
    fn flapping(&self, now: Moment) -> bool {
        #[cfg(feature = "mutants")]
        if self.forgiving {
            return false;
        }
        let lately = self.scale.window * TURNS_WITHIN;
        self.turns.iter().filter(|turned| now.since(**turned) <= lately).count() > TURNS
    }

    /// Does it answer as it should, whatever is known of the way to it?
    pub fn answers(&self, now: Moment) -> bool {
        self.health(now) == Health::Up
    }

    /// Is it up, with nothing to be said against that?
    pub fn is_up(&self, now: Moment) -> bool {
        self.reached && self.health(now) == Health::Up
    }

    /// What others would want to hear of at once if it changed.
    pub fn summary(&self, now: Moment) -> (Health, bool, bool) {
        (self.health(now), self.qualified(now), self.in_doubt())
    }

    /// What to believe.
    pub fn belief(&self, target: &TargetId, now: Moment) -> Belief {
        let database = self.sight.clone().map(|(mut sight, seen)| {
            let age = now.since(seen);
            sight.heard = sight.heard.map(|heard| heard.saturating_add(age));
            (sight, age)
        });
        Belief {
            target: target.clone(),
            health: self.health(now),
            qualified: self.qualified(now),
            flapping: self.flapping(now),
            failures: u16::try_from(self.failures.len()).unwrap_or(u16::MAX),
            quiet: self.succeeded.map(|succeeded| now.since(succeeded)),
            fault: self.fault.clone(),
            took: self.last.map(|(_, took)| took),
            database,
            advancing: self
                .advanced
                .is_some_and(|advanced| now.since(advanced) <= self.scale.window),
            reached: self.reached,
            guard: None,
        }
    }
}

/// Where the way to it leads: of what is seen through its guard alone, through that.
fn way(subject: &Subject) -> (String, u16) {
    match subject {
        Subject::Endpoint(endpoint) => (endpoint.address.clone(), endpoint.port),
        Subject::Database(database) => match database.seen_through() {
            Some(guard) => (format!("{} by {guard}", database.address), database.port),
            None => (database.address.clone(), database.port),
        },
    }
}

#[cfg(test)]
mod tests;
