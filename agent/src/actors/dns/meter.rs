//! How often a provider may still be asked.
//!
//! Each account has a bucket that refills as its provider allows; looks and upkeep (other lifetimes, what is put back) may take
//! only the upper half, so that a failover always finds enough. A provider that says "come again later" is left alone until then, by looks and changes alike:
//! asking on would only make it later (RFC 9110 section 10.2.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::Provider;

/// What is saved up at most, in requests: a change takes six.
const BURST: f64 = 30.0;
/// What looks and upkeep leave for changes.
const RESERVE: f64 = 15.0;
/// What a look takes: two names, and where passes are given out one for that.
const LOOK: f64 = 3.0;
/// What upkeep takes: a change that may wait. Not what it takes more where it meets another writer and tries again.
const UPKEEP: f64 = 6.0;
/// What it takes to hear how far a change has come.
const WATCH: f64 = 1.0;
/// Where the provider does not say how long to stay away.
const LATER: Duration = Duration::from_secs(1);
/// Whatever it says: a decision must not wait for a header that is wrong.
const LATEST: Duration = Duration::from_secs(120);

/// Every account that was spoken to since the start.
#[derive(Debug, Default)]
pub(crate) struct Meters(Mutex<HashMap<Account, Shared>>);

/// A provider, and the name of the credential.
type Account = (Provider, String);
type Shared = Arc<Mutex<Bucket>>;

/// What a provider is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// To see what it holds.
    Look,
    /// To hold what stands decided, after an edit or under another lifetime: it may wait.
    Upkeep,
    /// To hold what a decision under way says.
    Change,
    /// To hear how far a change has come: it may be left out.
    Watch,
}

/// One account's bucket, and what for.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    bucket: Shared,
    what: Use,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
    /// Requests a second.
    rate: f64,
    shut: Option<Instant>,
}

impl Meters {
    /// The meter of whoever asks for this by this credential.
    pub(super) fn of(&self, provider: Provider, credential: &str, what: Use) -> Meter {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = all.entry((provider, credential.to_owned())).or_insert_with(|| {
            let (left, at) = (BURST, Instant::now());
            Arc::new(Mutex::new(Bucket { left, at, rate: rate(provider), shut: None }))
        });
        Meter { bucket: bucket.clone(), what }
    }
}

/// Requests a second that an account may make for long, below what the provider documents: others use it, too.
fn rate(provider: Provider) -> f64 {
    match provider {
        // Five a second for an account.
        Provider::Route53 => 3.0,
        // 1,200 in five minutes.
        Provider::Cloudflare => 2.0,
        // 5,000 an hour.
        Provider::DigitalOcean => 1.0,
        // 600 a minute for a project.
        Provider::Google => 5.0,
        // 200 reads and 40 changes a minute for a subscription at Azure DNS; a look is eight.
        Provider::Azure => 2.0,
        Provider::PowerDns | Provider::Webhook => 50.0,
    }
}

impl Meter {
    /// The same account's, for something else.
    pub(super) fn of_use(&self, what: Use) -> Self {
        Self { bucket: self.bucket.clone(), what }
    }

    /// Takes leave for the whole of what may wait, unless what is left is kept for changes or nobody is to ask at all.
    pub(super) fn begin(&self) -> bool {
        self.begin_at(Instant::now())
    }

    fn begin_at(&self, now: Instant) -> bool {
        let (takes, leaves) = match self.what {
            Use::Look => (LOOK, RESERVE),
            Use::Upkeep => (UPKEEP, RESERVE),
            // Whatever it is that waits, it goes first.
            Use::Watch => (WATCH, RESERVE + UPKEEP),
            // Each request takes its own.
            Use::Change => return true,
        };
        let mut it = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        it.refill(now);
        let may = it.shut_for(now).is_zero() && leaves + takes <= it.left;
        if may {
            it.left -= takes;
        }
        may
    }

    /// Takes leave for one request; else how long to stay away.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Result<(), Duration> {
        let mut it = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let shut = it.shut_for(now);
        if !shut.is_zero() {
            return Err(shut);
        }
        if self.what == Use::Change {
            it.refill(now);
            // What is urgent is asked for in any case: whether it is too much is the provider's to say.
            it.left = (it.left - 1.0).max(0.0);
        }
        Ok(())
    }

    /// The provider says to come again later: when, if it says that, too.
    pub(super) fn shut(&self, after: Option<Duration>) {
        self.shut_at(Instant::now(), after);
    }

    fn shut_at(&self, now: Instant, after: Option<Duration>) {
        let until = now + after.unwrap_or(LATER).min(LATEST);
        let mut it = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        it.shut = it.shut.max(Some(until));
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        (self.left, self.at) = ((self.left + refilled).min(BURST), now);
    }

    fn shut_for(&self, now: Instant) -> Duration {
        self.shut.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_leave_a_reserve_for_changes() {
        let meters = Meters::default();
        let looks = meters.of(Provider::Route53, "dns", Use::Look);
        let changes = meters.of(Provider::Route53, "dns", Use::Change);
        let now = Instant::now();
        let look = |meter: &Meter, at| (0..100).take_while(|_| meter.begin_at(at)).count();
        assert_eq!(look(&looks, now), 5);
        // A failover in the very moment: six requests, and more.
        assert!((0..100).all(|_| changes.take_at(now).is_ok()));
        // What was taken comes back at the provider's pace, and looks wait for the reserve to be full again.
        assert_eq!(look(&looks, now + Duration::from_secs(5)), 0);
        assert_eq!(look(&looks, now + Duration::from_secs(8)), 3);
        // Another account has its own.
        assert_eq!(look(&meters.of(Provider::Route53, "other", Use::Look), now), 5);
    }

    #[test]
    fn other_lifetimes_leave_a_failover_what_it_needs() {
        let meters = Meters::default();
        let upkeep = meters.of(Provider::Route53, "dns", Use::Upkeep);
        let changes = meters.of(Provider::Route53, "dns", Use::Change);
        let looks = meters.of(Provider::Route53, "dns", Use::Look);
        let left = || changes.bucket.lock().expect("nobody panics with it").left;
        let began = |meter: &Meter, at| (0..100).take_while(|_| meter.begin_at(at)).count();
        let now = Instant::now();
        // A hundred names at once: two go, the others wait, and so do looks.
        assert_eq!(began(&upkeep, now), 2);
        assert_eq!(began(&looks, now), 1);
        // Their requests were taken leave for.
        assert!((0..12).all(|_| upkeep.take_at(now).is_ok()));
        assert!((RESERVE..RESERVE + LOOK).contains(&left()), "{}", left());
        // They go on at the provider's pace, and leave the reserve whole however long that takes.
        let paced: usize = (1..60).map(|s| began(&upkeep, now + Duration::from_secs(s))).sum();
        assert_eq!(paced, 29, "three requests a second, six each");
        assert!(RESERVE <= left(), "{}", left());
        // A failover waits for none of it.
        assert!(changes.begin_at(now) && changes.take_at(now).is_ok());
    }

    #[test]
    fn whoever_watches_a_change_asks_for_what_nobody_else_wants() {
        let meters = Meters::default();
        let upkeep = meters.of(Provider::Route53, "dns", Use::Upkeep);
        let (watch, looks) = (upkeep.of_use(Use::Watch), upkeep.of_use(Use::Look));
        let now = Instant::now();
        // Sixty at once: nine, and there is enough left for a change that may wait, and for a look.
        assert_eq!((0..60).take_while(|_| watch.begin_at(now)).count(), 9);
        assert!(upkeep.begin_at(now) && !upkeep.begin_at(now) && !watch.begin_at(now));
        // Whoever waits goes on at the provider's pace, and the sixty hear nothing meanwhile.
        let mut upkept = 0;
        for s in 1..=60 {
            let at = now + Duration::from_secs(s);
            upkept += usize::from(upkeep.begin_at(at));
            assert!(!watch.begin_at(at), "{s}");
        }
        assert_eq!(upkept, 30);
        assert!(looks.begin_at(now + Duration::from_secs(62)));
    }

    #[test]
    fn whoever_says_later_is_left_alone_until_then() {
        let meters = Meters::default();
        let meter = meters.of(Provider::Cloudflare, "dns", Use::Change);
        let now = Instant::now();
        meter.shut_at(now, Some(Duration::from_secs(3)));
        // A second answer, of a request that was under way, does not shorten it.
        meter.shut_at(now, None);
        assert_eq!(meter.take_at(now + Duration::from_secs(1)), Err(Duration::from_secs(2)));
        assert_eq!(meter.take_at(now + Duration::from_secs(3)), Ok(()));
        meter.shut_at(now, Some(Duration::from_secs(86_400)));
        assert!(meter.take_at(now + LATEST).is_ok(), "no header keeps a decision for a day");
    }
}
