//! Is it the world that is dead, or am I cut off from it? (PROTOCOL.md B.3, S2)
//!
//! Canaries are things that this agent alone watches, far from every app: while too few of them answer, what it sees of
//! the apps says more about its own way into the world. They have a pace of their own, and nobody votes on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Endpoint, Fault, FaultKind, Outcome, TargetName, Watched};
use crate::moment::Moment;
use crate::outbox::{Look, Subject};

/// A canary that answered no longer ago than this answers (PROTOCOL.md B.3).
pub const FRESH: Duration = Duration::from_secs(5);
/// Between two looks, so that one lost packet does not silence a canary: two fit into [`FRESH`].
const PACE: Duration = Duration::from_secs(2);
/// The limit of one look; they never overlap.
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
        self.answered.is_some_and(|answered| now.since(answered) <= FRESH)
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
}

impl Canaries {
    /// These are to be looked at from now on.
    pub fn new(endpoints: &[Endpoint], now: Moment) -> Self {
        let canary = |endpoint: &Endpoint| Canary {
            family: Family::of(&endpoint.address),
            endpoint: Arc::new(endpoint.clone()),
            next: now,
            answered: None,
            fault: None,
        };
        let all = endpoints.iter().map(|it| (it.name.clone(), canary(it)));
        Self { all: all.collect() }
    }

    /// Every canary, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetName, &Canary)> {
        self.all.iter()
    }

    /// A look ended.
    pub fn on_look(&mut self, name: &TargetName, outcome: Outcome, now: Moment) {
        let Some(canary) = self.all.get_mut(name) else { return };
        match outcome {
            Outcome::Up(_) => canary.answered = Some(now),
            // Whoever answers is there, whatever it thinks of our question.
            Outcome::Failed(fault) if matches!(fault.kind, FaultKind::Status | FaultKind::Body) => {
                canary.answered = Some(now);
            }
            // Our own trouble is no answer either: what is asked is whether we reach the world.
            Outcome::Failed(fault) | Outcome::Invalid(fault) => canary.fault = Some(fault),
        }
    }

    /// The looks that are due.
    pub fn due(&mut self, now: Moment) -> Vec<Look> {
        let due = self.all.iter_mut().filter(|(_, canary)| canary.next <= now);
        due.map(|(name, canary)| {
            canary.next = now + PACE;
            Look {
                watched: Watched::Canary(name.clone()),
                subject: Subject::Endpoint(canary.endpoint.clone()),
                limit: LIMIT,
            }
        })
        .collect()
    }

    /// When the next look is due.
    pub fn wake(&self) -> Moment {
        self.all.values().map(|canary| canary.next).min().unwrap_or(Moment::NEVER)
    }

    /// Do enough canaries answer, in each of these families? Where none is of a family, all of them stand for it.
    pub fn enough(&self, families: &BTreeSet<Family>, now: Moment) -> bool {
        let suffices = |group: Vec<&Canary>| {
            let needed = if group.len() > ENOUGH { ENOUGH } else { group.len().min(1) };
            group.iter().filter(|canary| canary.answers(now)).count() >= needed
        };
        let of = |family: Family| -> Vec<&Canary> {
            let fits = |canary: &&Canary| canary.family.is_none_or(|it| it == family);
            self.all.values().filter(fits).collect()
        };
        let groups: Vec<_> =
            families.iter().map(|it| of(*it)).filter(|it| !it.is_empty()).collect();
        match groups.is_empty() {
            true => suffices(self.all.values().collect()),
            false => groups.into_iter().all(suffices),
        }
    }

    /// Are there any, and do they all answer?
    pub fn vouch(&self, now: Moment) -> bool {
        !self.all.is_empty() && self.all.values().all(|canary| canary.answers(now))
    }
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
        canaries.on_look(&format!("canary-{number}").parse().unwrap(), Outcome::Up(None), at(ms));
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
            assert_eq!(canaries.enough(&four, at(5000)), enough, "{answering} of {addresses:?}");
            assert_eq!(canaries.enough(&four, at(5001)), addresses.is_empty());
        }
    }

    #[test]
    fn a_family_is_judged_by_its_own_canaries_and_by_names() {
        let mut canaries = canaries(&["192.0.2.1", "2001:db8::1"]);
        answer(&mut canaries, 1, 0);
        let (four, six) = (BTreeSet::from([Family::Four]), BTreeSet::from([Family::Six]));
        assert!(canaries.enough(&four, at(0)));
        assert!(!canaries.enough(&six, at(0)));
        assert!(!canaries.enough(&BTreeSet::from([Family::Four, Family::Six]), at(0)));
        assert!(canaries.enough(&BTreeSet::new(), at(0)), "names may be of either");
        let only_four = self::canaries(&["192.0.2.1"]);
        assert!(!only_four.enough(&six, at(0)), "where there is no other, it stands for all");
    }

    #[test]
    fn a_canary_is_looked_at_at_its_own_pace_and_says_what_ails_it() {
        let mut canaries = canaries(&["192.0.2.1"]);
        assert_eq!(canaries.due(at(0)).len(), 1);
        assert_eq!(canaries.due(at(1999)).len(), 0);
        assert_eq!((canaries.wake(), canaries.due(at(2000)).len()), (at(2000), 1));
        let fault = Fault::new(FaultKind::Timeout, "no end");
        canaries.on_look(&"canary-1".parse().unwrap(), Outcome::Failed(fault), at(2000));
        assert!(!canaries.vouch(at(2000)));
        let (_, canary) = canaries.iter().next().unwrap();
        assert_eq!(canary.fault(at(2000)).unwrap().text, "no end");
        answer(&mut canaries, 1, 2500);
        assert!(canaries.vouch(at(2500)));
    }
}
