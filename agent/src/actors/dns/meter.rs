//! How often a provider may still be asked.
//!
//! Each account has a bucket that refills as its provider allows; looks and upkeep (other lifetimes, what is put back) may take
//! only the upper half, so that a failover always finds enough. A provider that says "come again later" is left alone until then, by looks and changes alike:
//! asking on would only make it later (RFC 9110 section 10.2.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::Provider;

/// What is saved up at most, in requests: a change takes six at most.
const BURST: f64 = 30.0;
/// What looks and upkeep leave for changes.
const RESERVE: f64 = 15.0;
/// What a look takes: two names, and where passes are given out one for that.
const LOOK: f64 = 3.0;
/// What a change takes, and so what upkeep takes leave for. Not what it takes more where it meets another writer and tries
/// again.
const CHANGE: f64 = 6.0;
/// Since a provider said that it was asked too often, or was asked for a change in spite of that, changes go one by one for so
/// long.
const STRAINED: Duration = Duration::from_secs(10);
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
    /// What a change takes of them.
    change: f64,
    shut: Option<Instant>,
    strained: Option<Instant>,
    /// Changes that have begun and not ended.
    under_way: usize,
}

/// Leave for the whole of something; it has ended once this is dropped.
pub(super) struct Leave(Option<Shared>);

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(bucket) = &self.0 {
            bucket.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
        }
    }
}

impl Meters {
    /// The meter of whoever asks for this by this credential.
    pub(super) fn of(&self, provider: Provider, credential: &str, what: Use) -> Meter {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = all.entry((provider, credential.to_owned())).or_insert_with(|| {
            let (left, at) = (BURST, Instant::now());
            let (rate, change) = (rate(provider), change(provider));
            let (shut, strained, under_way) = (None, None, 0);
            let bucket = Bucket { left, at, rate, change, shut, strained, under_way };
            Arc::new(Mutex::new(bucket))
        });
        Meter { bucket: bucket.clone(), what }
    }
}

/// Requests a second that an account may make for long, below what the provider documents: others use it, too.
fn rate(provider: Provider) -> f64 {
    match provider {
        // Ten a second for an account, five until July 2026.
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

/// What a change takes: a pass where there are such, two names before and after, and itself.
fn change(provider: Provider) -> f64 {
    match provider {
        // Both names come in one answer, unless the marker is new.
        Provider::Route53 => 4.0,
        _ => CHANGE,
    }
}

impl Meter {
    /// The same account's, for something else.
    pub(super) fn of_use(&self, what: Use) -> Self {
        Self { bucket: self.bucket.clone(), what }
    }

    /// Takes leave for the whole of it, unless nobody is to ask at all, what is left is kept for changes, or the provider has
    /// complained and another change is under way.
    pub(super) fn begin(&self) -> Option<Leave> {
        self.begin_at(Instant::now())
    }

    fn begin_at(&self, now: Instant) -> Option<Leave> {
        let mut it = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        it.refill(now);
        let (takes, leaves) = match self.what {
            Use::Look => (LOOK, RESERVE),
            Use::Upkeep => (it.change, RESERVE),
            // Whatever it is that waits, it goes first.
            Use::Watch => (WATCH, RESERVE + it.change),
            Use::Change => return it.begin_change(now).then(|| Leave(Some(self.bucket.clone()))),
        };
        let may = it.shut_for(now).is_zero() && leaves + takes <= it.left;
        if may {
            it.left -= takes;
        }
        may.then_some(Leave(None))
    }

    /// Why there is no leave now, of whoever holds the zone.
    pub(super) fn why_not(&self) -> String {
        let it = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let shut = it.shut_for(Instant::now());
        match self.what {
            _ if !shut.is_zero() => left_alone(shut),
            Use::Change => "is asked too often: changes wait for one another".to_owned(),
            Use::Look | Use::Upkeep | Use::Watch => {
                "is left alone for now: what it allows is kept for a failover".to_owned()
            }
        }
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
        it.strained = it.strained.max(Some(until + STRAINED));
        // Whatever we thought was left.
        (it.left, it.at) = (0.0, now);
    }
}

/// How long a provider is not asked, for people.
pub(super) fn left_alone(left: Duration) -> String {
    format!("wants to be left alone for {} s more", left.as_secs() + 1)
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        (self.left, self.at) = ((self.left + refilled).min(BURST), now);
    }

    /// Each of its requests takes its own. Whether they are too many is the provider's to say; once it has, they do not all
    /// begin together: each would come as far as its first requests, and begin anew.
    fn begin_change(&mut self, now: Instant) -> bool {
        let strained = self.strained.is_some_and(|until| now < until);
        if strained {
            let may =
                self.shut_for(now).is_zero() && self.under_way == 0 && self.change <= self.left;
            if !may {
                return false;
            }
            self.strained = Some(now + STRAINED);
        }
        self.under_way += 1;
        true
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
        let look =
            |meter: &Meter, at| (0..100).take_while(|_| meter.begin_at(at).is_some()).count();
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
        let began =
            |meter: &Meter, at| (0..100).take_while(|_| meter.begin_at(at).is_some()).count();
        let now = Instant::now();
        // A hundred names at once: three go, the others wait, and so do looks.
        assert_eq!(began(&upkeep, now), 3);
        assert_eq!(began(&looks, now), 1);
        // Their requests were taken leave for.
        assert!((0..12).all(|_| upkeep.take_at(now).is_ok()));
        assert!((RESERVE..RESERVE + LOOK).contains(&left()), "{}", left());
        // They go on at the provider's pace, and leave the reserve whole however long that takes.
        let paced: usize = (1..60).map(|s| began(&upkeep, now + Duration::from_secs(s))).sum();
        assert_eq!(paced, 44, "three requests a second, four each");
        assert!(RESERVE <= left(), "{}", left());
        // A failover waits for none of it.
        assert!(changes.begin_at(now).is_some() && changes.take_at(now).is_ok());
    }

    #[test]
    fn changes_go_one_by_one_once_the_provider_has_complained() {
        let meters = Meters::default();
        let changes = meters.of(Provider::Route53, "dns", Use::Change);
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        // All at once, until it says that this is too much.
        let begun: Vec<_> = (0..60).map(|_| changes.begin_at(now)).collect();
        assert!(begun.iter().all(Option::is_some));
        changes.shut_at(now, None);
        assert!(changes.begin_at(after(900)).is_none(), "it is left alone");
        let last = begun.into_iter().last();
        assert!(changes.begin_at(after(1_340)).is_none(), "one of before has not ended");
        drop(last);
        let one = changes.begin_at(after(1_340));
        assert!(one.is_some() && changes.begin_at(after(1_340)).is_none());
        assert!(
            (0..3).all(|_| changes.take_at(after(1_340)).is_ok()),
            "a change waits for nothing"
        );
        drop(one);
        // The next as soon as there is enough for it, and so on, for as long as there are any.
        assert!(changes.begin_at(after(2_300)).is_none());
        let mut done = 0;
        for s in 3..=60 {
            let leave = changes.begin_at(after(s * 1_000));
            done += usize::from(leave.is_some());
            assert!((0..3).all(|_| changes.take_at(after(s * 1_000)).is_ok()));
        }
        assert_eq!(done, 58, "three requests each, three a second");
        // Nobody asked for ten seconds: whether it is too much is the provider's to say again.
        let begun: Vec<_> = (0..60).map(|_| changes.begin_at(after(71_000))).collect();
        assert!(begun.iter().all(Option::is_some));
    }

    #[test]
    fn whoever_watches_a_change_asks_for_what_nobody_else_wants() {
        let meters = Meters::default();
        let upkeep = meters.of(Provider::Route53, "dns", Use::Upkeep);
        let (watch, looks) = (upkeep.of_use(Use::Watch), upkeep.of_use(Use::Look));
        let now = Instant::now();
        // Sixty at once: eleven, and there is enough left for a change that may wait, and for a look.
        assert_eq!((0..60).take_while(|_| watch.begin_at(now).is_some()).count(), 11);
        let may = |meter: &Meter, at| meter.begin_at(at).is_some();
        assert!(may(&upkeep, now) && !may(&upkeep, now) && !may(&watch, now));
        // Whoever waits goes on at the provider's pace, and the sixty hear nothing meanwhile.
        let mut upkept = 0;
        for s in 1..=60 {
            let at = now + Duration::from_secs(s);
            upkept += usize::from(may(&upkeep, at));
            assert!(!may(&watch, at), "{s}");
        }
        assert_eq!(upkept, 45);
        assert!(may(&looks, now + Duration::from_secs(62)));
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
