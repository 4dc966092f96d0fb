//! One guard's lease on one stack: what it may hold its databases open for.
//!
//! A lease counts from the moment its renewal was *sent*, with the grants of a majority of one set of voters. While no
//! majority answers, a lease that runs may be kept up by the word of *every* candidate's guard that it will not open its
//! own meanwhile: the failsafe (PROTOCOL.md C.3). Whoever gave that word is barred for as long, even if it starts anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Terms;
use crate::model::{AcceptorId, AgentId, Voters};
use crate::moment::Moment;

/// One guard's lease on one stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    terms: Terms,
    number: u64,
    /// Until when the lease runs that each renewal asked for which may still be answered: from when it was sent.
    sent: BTreeMap<u64, Moment>,
    /// The set of voters that the grants are of.
    version: u64,
    /// Until when the lease runs of all that each voter granted.
    granted: BTreeMap<AcceptorId, Moment>,
    /// The same of the candidates' guards, and the revision of the list that they are of.
    vouched: BTreeMap<AgentId, Moment>,
    listed: u64,
    /// Until when the lease of a majority runs.
    leased: Moment,
    /// Until when the lease of all candidates runs.
    vouched_for: Moment,
    /// Until when its door may be open by the word of a list of candidates, and at which revision that was made: of before
    /// its start, nobody knows by which.
    bound: (Moment, u64),
    /// Until when the door was last told to stay open.
    open: Moment,
    /// Not before this: another stack's guard goes by this one's word.
    barred: Moment,
    /// Was that word the last thing that happened here, rather than a lease?
    vouching: bool,
    next: Moment,
    /// Count a lease from when its grant arrives, to show that a test notices.
    #[cfg(feature = "mutants")]
    pub counts_from_arrival: bool,
}

impl Holder {
    /// A door that is shut. `longest`: no lease that it held, or gave its word for, before its start was longer.
    /// `vouching`: another's lease may rest on that word.
    pub fn new(terms: Terms, longest: Duration, vouching: bool, now: Moment) -> Self {
        let before = terms.lasting(longest.max(terms.lease));
        Self {
            terms,
            number: 0,
            sent: BTreeMap::new(),
            version: 0,
            granted: BTreeMap::new(),
            vouched: BTreeMap::new(),
            listed: 0,
            leased: Moment::ZERO,
            vouched_for: Moment::ZERO,
            bound: (now + before.lease, 0),
            open: Moment::ZERO,
            barred: if vouching { now + before.kept } else { Moment::ZERO },
            vouching,
            next: Moment::ZERO,
            #[cfg(feature = "mutants")]
            counts_from_arrival: false,
        }
    }

    /// How long a lease its renewals ask for from now on.
    pub fn lease(&self) -> Duration {
        self.terms.lease
    }

    /// From now on leases are of another length. What it holds it keeps.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// When to renew next; never before the bar is gone.
    pub fn due(&self) -> Moment {
        self.next.max(self.barred)
    }

    /// A renewal leaves now: its number.
    pub fn renew(&mut self, now: Moment) -> u64 {
        self.number += 1;
        self.sent.retain(|_, until| *until > now);
        self.sent.insert(self.number, now + self.terms.lease);
        let pause = if self.open > now { self.terms.renew } else { self.terms.retry };
        self.next = now + pause;
        self.number
    }

    /// The newest revision whose list of candidates this guard is surely bound by: what its renewals acknowledge. While it
    /// lives on the word of an older list, that one.
    pub fn acknowledges(&self, revision: u64, now: Moment) -> u64 {
        match self.bound {
            (until, listed) if until > now => listed.min(revision),
            _ => revision,
        }
    }

    /// Is there so little left of the majority's lease that the candidates should be asked, too?
    pub fn wants_vouchers(&self, now: Moment) -> bool {
        self.open > now
            && self.leased.since(now) < self.terms.lease.saturating_sub(self.terms.renew * 2)
    }

    /// A voter granted a renewal. Returns until when the door may stay open, if that is longer than before.
    pub fn on_granted(
        &mut self,
        number: u64,
        acceptor: AcceptorId,
        voters: &Voters,
        now: Moment,
    ) -> Option<Moment> {
        let until = *self.sent.get(&number)?;
        #[cfg(feature = "mutants")]
        let until = if self.counts_from_arrival { now + self.terms.lease } else { until };
        if self.version != voters.version {
            self.version = voters.version;
            self.granted.clear();
        }
        let longest = self.granted.entry(acceptor).or_insert(until);
        *longest = (*longest).max(until);
        let beyond = |until: Moment| -> BTreeSet<AcceptorId> {
            let granted = self.granted.iter().filter(|(_, granted)| **granted >= until);
            granted.map(|(acceptor, _)| *acceptor).collect()
        };
        let leased = self.granted.values().copied().filter(|it| voters.quorum(&beyond(*it))).max();
        self.leased = self.leased.max(leased?);
        self.opened(now)
    }

    /// A candidate's guard gave its word for a renewal. `candidates`: the guards of every database that could be promoted,
    /// by the list of `revision`. Continues a lease that runs, and never begins one.
    pub fn on_vouched(
        &mut self,
        number: u64,
        by: &AgentId,
        (candidates, revision): (&BTreeSet<AgentId>, u64),
        needed: usize,
        now: Moment,
    ) -> Option<Moment> {
        let until = *self.sent.get(&number)?;
        if self.listed != revision {
            self.listed = revision;
            self.vouched.clear();
        }
        if self.open <= now || !candidates.contains(by) {
            return None;
        }
        let longest = self.vouched.entry(by.clone()).or_insert(until);
        *longest = (*longest).max(until);
        let words = candidates.iter().filter_map(|guard| self.vouched.get(guard).copied());
        let mut words: Vec<_> = words.collect();
        words.sort_unstable_by(|one, other| other.cmp(one));
        let until = *words.get(needed.checked_sub(1)?)?;
        self.vouched_for = self.vouched_for.max(until);
        let opened = self.opened(now);
        if opened.is_some() {
            self.bound = (self.vouched_for, revision);
        }
        opened
    }

    fn opened(&mut self, now: Moment) -> Option<Moment> {
        let until = self.leased.max(self.vouched_for) - self.terms.margin;
        if until <= self.open.max(now) {
            return None;
        }
        self.open = until;
        Some(until)
    }

    /// Another stack may write, or none: the door is shut now, and no answer under way opens it again. Was it open?
    pub fn shut(&mut self, now: Moment) -> bool {
        let was_open = self.open > now;
        self.sent.clear();
        self.granted.clear();
        self.vouched.clear();
        self.bound = (Moment::ZERO, 0);
        (self.leased, self.vouched_for) = (Moment::ZERO, Moment::ZERO);
        (self.open, self.next) = (Moment::ZERO, Moment::ZERO);
        was_open
    }

    /// Another stack's guard asks for this one's word that it will stay shut, for a lease of this length. Given for as long as
    /// a voter would keep others out; not while this one is open itself. Tells whether it must be made durable that it was
    /// given, before it is.
    pub fn vouch(&mut self, lease: Duration, now: Moment) -> Option<bool> {
        if self.open > now {
            return None;
        }
        self.shut(now);
        self.barred = self.barred.max(now + self.terms.lasting(lease).kept);
        Some(!std::mem::replace(&mut self.vouching, true))
    }

    /// Its own lease began after the last word it gave had run out: is that to be made durable?
    pub fn stops_vouching(&mut self) -> bool {
        std::mem::replace(&mut self.vouching, false)
    }

    /// Forgets the word it gave, as only a mutant does.
    #[cfg(feature = "mutants")]
    pub fn unbar(&mut self) {
        self.barred = Moment::ZERO;
    }

    /// The last renewal that left.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Until when the door was told to stay open.
    pub fn open(&self) -> Moment {
        self.open
    }

    /// For how long the door stays open, were nothing granted any more.
    pub fn left(&self, now: Moment) -> Duration {
        self.open.since(now)
    }

    /// Does it stay open by the candidates' word, now or once the majority's lease has run out?
    pub fn failsafe(&self, now: Moment) -> bool {
        self.open > now && self.leased - self.terms.margin < self.open
    }

    /// For how long it is bound by the word it gave.
    pub fn barred(&self, now: Moment) -> Duration {
        self.barred.since(now)
    }
}
