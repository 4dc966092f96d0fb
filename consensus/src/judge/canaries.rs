//! Is it the world that is dead, or am I cut off from it? (PROTOCOL.md B.3, S2)
//!
//! Canaries are things that this agent alone watches, far from every app: while too few of them answer, what it sees of
//! the apps says more about its own way into the world. Nobody votes on them. They answer for the app whose window is the
//! shortest, and for every target by itself: that it fails says nothing of it until enough of them answered since.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Endpoint, Fault, FaultKind, Outcome, TargetName, Watched};
use crate::moment::Moment;
use crate::outbox::{Look, Subject};

/// A canary that answered no longer ago than this answers (PROTOCOL.md B.3), or than the shortest window if that is less.
pub const FRESH: Duration = Duration::from_secs(5);
/// Looks in five times as long as an answer is fresh, so that one lost packet does not silence a canary.
const LOOKS: u32 = 2;
/// The limit of one look, or as long as an answer is fresh.
const LIMIT: Duration = Duration::from_millis(1900);
/// Two of three or more must answer; of fewer, one.
const ENOUGH: usize = 2;

/// One of the two ways to address the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Four,
    /// IPv6.
    Six,
}

impl Family {
    /// The family of an address; names may be of either, and have none.
    pub fn of(address: &str) -> Option<Self> {
        match address.parse().ok()? {
            IpAddr::V4(_) => Some(Self::Four),
            IpAddr::V6(_) => Some(Self::Six),
        }
    }
}

/// One canary.
#[derive(Debug)]
pub struct Canary {
    endpoint: Arc<Endpoint>,
    family: Option<Family>,
    next: Moment,
    /// How long an answer is fresh.
    fresh: Duration,
    /// When it was last looked at.
    looked: Moment,
    /// When the newest look that it answered began.
    asked: Moment,
    answered: Option<Moment>,
    fault: Option<Fault>,
}

impl Canary {
    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Did it answer just now?
    pub fn answers(&self, now: Moment) -> bool {
        self.answered_within(self.fresh, now)
    }

    fn answered_within(&self, span: Duration, now: Moment) -> bool {
        self.answered.is_some_and(|answered| now.since(answered) <= span)
    }

    /// Between two looks.
    fn pace(&self) -> Duration {
        self.fresh * LOOKS / 5
    }

    /// What went wrong last, while it does not answer.
    pub fn fault(&self, now: Moment) -> Option<&Fault> {
        self.fault.as_ref().filter(|_| !self.answers(now))
    }
}

/// All canaries of this agent; none, and the question is not asked.
#[derive(Debug, Default)]
pub struct Canaries {
    all: BTreeMap<TargetName, Canary>,
    /// Nobody asks whether they answered since a target began to fail.
    #[cfg(feature = "mutants")]
    pub unasked: bool,
    /// They are as slow as they like.
    #[cfg(feature = "mutants")]
    pub slow: bool,
}

impl Canaries {
    /// These are to be looked at from now on.
    pub fn new(endpoints: &[Endpoint], now: Moment) -> Self {
        let canary = |endpoint: &Endpoint| Canary {
            family: Family::of(&endpoint.address),
            endpoint: Arc::new(endpoint.clone()),
            next: now,
            fresh: FRESH,
            looked: Moment::ZERO,
            asked: Moment::ZERO,
            answered: None,
            fault: None,
        };
        let mut canaries = Self::default();
        canaries.all.extend(endpoints.iter().map(|it| (it.name.clone(), canary(it))));
        canaries
    }

    /// This is the shortest window of all apps, if there are any.
    pub fn on_window(&mut self, shortest: Option<Duration>, now: Moment) {
        let fresh = self.fresh(shortest);
        for canary in self.all.values_mut() {
            canary.fresh = fresh;
            canary.next = canary.next.min(now + canary.pace());
        }
    }

    /// How long an answer is fresh where this is the shortest window.
    pub fn fresh(&self, shortest: Option<Duration>) -> Duration {
        #[cfg(feature = "mutants")]
        if self.slow {
            return FRESH;
        }
        shortest.map_or(FRESH, |window| window.min(FRESH))
    }

    /// Something begins to fail: is it me? No canary is looked at more than four times as often as usual.
    pub fn hasten(&mut self, now: Moment) {
        for canary in self.all.values_mut() {
            canary.next = canary.next.min(now.max(canary.looked + canary.pace() / 4));
        }
    }

    /// Every canary, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetName, &Canary)> {
        self.all.iter()
    }

    /// A look ended.
    pub fn on_look(&mut self, name: &TargetName, began: Moment, outcome: Outcome, now: Moment) {
        let Some(canary) = self.all.get_mut(name) else { return };
        let fault = match outcome {
            Outcome::Up(_) => None,
            // Whoever answers is there, whatever it thinks of our question.
            Outcome::Failed(fault) if matches!(fault.kind, FaultKind::Status | FaultKind::Body) => {
                None
            }
            // Our own trouble is no answer either: what is asked is whether we reach the world.
            Outcome::Failed(fault) | Outcome::Invalid(fault) => Some(fault),
        };
        if fault.is_none() {
            canary.answered = Some(now);
            canary.asked = canary.asked.max(began);
        }
        canary.fault = fault.or(canary.fault.take());
    }

    /// The looks that are due.
    pub fn due(&mut self, now: Moment) -> Vec<Look> {
        let due = self.all.iter_mut().filter(|(_, canary)| canary.next <= now);
        due.map(|(name, canary)| {
            canary.looked = now;
            canary.next = now + canary.pace();
            Look {
                watched: Watched::Canary(name.clone()),
                subject: Subject::Endpoint(canary.endpoint.clone()),
                limit: LIMIT.min(canary.fresh),
            }
        })
        .collect()
    }

    /// When the next look is due.
    pub fn wake(&self) -> Moment {
        self.all.values().map(|canary| canary.next).min().unwrap_or(Moment::NEVER)
    }

    /// Did enough canaries answer within this long, in each of these families? Where none is of a family, all of them stand
    /// for it.
    pub fn enough(&self, families: &BTreeSet<Family>, within: Duration, now: Moment) -> bool {
        let suffices = |group: Vec<&Canary>| {
            let answering = group.iter().filter(|canary| canary.answered_within(within, now));
            answering.count() >= needed(group.len())
        };
        let groups = families.iter().map(|it| self.of(*it)).filter(|it| !it.is_empty());
        let groups: Vec<_> = groups.collect();
        match groups.is_empty() {
            true => suffices(self.all.values().collect()),
            false => groups.into_iter().all(suffices),
        }
    }

    fn of(&self, family: Family) -> Vec<&Canary> {
        let fits = |canary: &&Canary| canary.family.is_none_or(|it| it == family);
        self.all.values().filter(fits).collect()
    }

    /// Since when enough canaries of a family were looked at and answered: whatever failed before was not for want of a way
    /// into the world. Where there are none, nobody can tell.
    pub fn answered_since(&self, family: Option<Family>) -> Moment {
        #[cfg(feature = "mutants")]
        if self.unasked || self.slow {
            return Moment::NEVER;
        }
        let group = match family.map(|family| self.of(family)) {
            Some(group) if !group.is_empty() => group,
            _ => self.all.values().collect(),
        };
        let Some(rank) = needed(group.len()).checked_sub(1) else { return Moment::NEVER };
        let mut asked: Vec<_> = group.iter().map(|canary| canary.asked).collect();
        asked.sort_unstable_by(|one, other| other.cmp(one));
        asked[rank]
    }

    /// Are there any, and do they all answer?
    pub fn vouch(&self, now: Moment) -> bool {
        !self.all.is_empty() && self.all.values().all(|canary| canary.answers(now))
    }
}

/// How many of so many canaries must answer.
fn needed(of: usize) -> usize {
    if of > ENOUGH { ENOUGH } else { of.min(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Expect, Scheme};

    fn at(ms: u64) -> Moment {
        Moment::from_micros(1_000_000_000 + ms * 1000)
    }

    fn canaries(addresses: &[&str]) -> Canaries {
        let endpoint = |(number, address): (usize, &&str)| Endpoint {
            name: format!("canary-{}", number + 1).parse().unwrap(),
            scheme: Scheme::Tcp,
            address: (*address).into(),
            port: 443,
            path: "/".into(),
            host: None,
            expect: Expect::default(),
            authority: None,
        };
        let endpoints: Vec<_> = addresses.iter().enumerate().map(endpoint).collect();
        Canaries::new(&endpoints, at(0))
    }

    fn answer(canaries: &mut Canaries, number: usize, ms: u64) {
        let name = format!("canary-{number}").parse().unwrap();
        canaries.on_look(&name, at(ms), Outcome::Up(None), at(ms));
    }

    #[test]
    fn two_of_three_are_enough_and_one_of_fewer() {
        let four = BTreeSet::from([Family::Four]);
        for (addresses, answering, enough) in [
            (&[][..], 0, true),
            (&["192.0.2.1"], 0, false),
            (&["192.0.2.1"], 1, true),
            (&["192.0.2.1", "192.0.2.2"], 1, true),
            (&["192.0.2.1", "192.0.2.2", "192.0.2.3"], 1, false),
            (&["192.0.2.1", "192.0.2.2", "192.0.2.3"], 2, true),
        ] {
            let mut canaries = canaries(addresses);
            for number in 1..=answering {
                answer(&mut canaries, number, 0);
            }
            assert_eq!(
                canaries.enough(&four, FRESH, at(5000)),
                enough,
                "{answering} of {addresses:?}"
            );
            assert_eq!(canaries.enough(&four, FRESH, at(5001)), addresses.is_empty());
        }
    }

    #[test]
    fn a_family_is_judged_by_its_own_canaries_and_by_names() {
        let mut canaries = canaries(&["192.0.2.1", "2001:db8::1"]);
        answer(&mut canaries, 1, 0);
        let (four, six) = (BTreeSet::from([Family::Four]), BTreeSet::from([Family::Six]));
        assert!(canaries.enough(&four, FRESH, at(0)));
        assert!(!canaries.enough(&six, FRESH, at(0)));
        assert!(!canaries.enough(&BTreeSet::from([Family::Four, Family::Six]), FRESH, at(0)));
        assert!(canaries.enough(&BTreeSet::new(), FRESH, at(0)), "names may be of either");
        let only_four = self::canaries(&["192.0.2.1"]);
        assert!(
            !only_four.enough(&six, FRESH, at(0)),
            "where there is no other, it stands for all"
        );
    }

    #[test]
    fn a_canary_is_looked_at_at_its_own_pace_and_says_what_ails_it() {
        let mut canaries = canaries(&["192.0.2.1"]);
        assert_eq!(canaries.due(at(0)).len(), 1);
        assert_eq!(canaries.due(at(1999)).len(), 0);
        assert_eq!((canaries.wake(), canaries.due(at(2000)).len()), (at(2000), 1));
        let fault = Fault::new(FaultKind::Timeout, "no end");
        canaries.on_look(&"canary-1".parse().unwrap(), at(2000), Outcome::Failed(fault), at(2000));
        assert!(!canaries.vouch(at(2000)));
        let (_, canary) = canaries.iter().next().unwrap();
        assert_eq!(canary.fault(at(2000)).unwrap().text, "no end");
        answer(&mut canaries, 1, 2500);
        assert!(canaries.vouch(at(2500)));
    }

    #[test]
    fn the_shortest_window_sets_the_pace_and_doubt_hastens_it() {
        let mut canaries = canaries(&["192.0.2.1"]);
        canaries.due(at(0));
        answer(&mut canaries, 1, 10);
        canaries.on_window(Some(Duration::from_secs(2)), at(10));
        assert!(canaries.vouch(at(2010)) && !canaries.vouch(at(2011)));
        assert_eq!(canaries.wake(), at(810));
        canaries.hasten(at(100));
        assert_eq!(canaries.wake(), at(200), "a quarter of the pace after the last look");
        canaries.due(at(200));
        canaries.hasten(at(900));
        assert_eq!(canaries.wake(), at(900), "at once");
        canaries.on_window(Some(Duration::from_secs(600)), at(900));
        assert!(canaries.vouch(at(5010)));
    }

    #[test]
    fn what_counts_is_when_the_looks_began_that_enough_of_them_answered() {
        let none = canaries(&[]);
        assert_eq!(none.answered_since(None), Moment::NEVER);
        let mut three = canaries(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
        assert_eq!(three.answered_since(None), Moment::ZERO);
        answer(&mut three, 1, 100);
        assert_eq!(three.answered_since(Some(Family::Four)), at(100), "one of two");
        assert_eq!(three.answered_since(Some(Family::Six)), Moment::ZERO);
        assert_eq!(three.answered_since(None), Moment::ZERO, "two of three");
        answer(&mut three, 3, 300);
        assert_eq!(three.answered_since(None), at(100));
    }
}
