//! Counts what was answered, by code and by transport, for the metrics.
//!
//! Each socket's thread counts for itself, so that no two write to the same place; reading adds them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What an answer says of itself (its response code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    NoError,
    FormErr,
    ServFail,
    NxDomain,
    NotImp,
    Refused,
    BadVers,
}

/// By the names that metrics use, in the order of [`Code`].
const CODES: [&str; 7] =
    ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "badvers"];

impl Code {
    /// The number on the wire; what is above the header's four bits stands in OPT.
    pub(super) fn wire(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::BadVers => 16,
        }
    }
}

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In one datagram.
    Udp,
    /// Over a connection.
    Tcp,
}

impl Transport {
    /// As the metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// How many answers of each sort were given since the start.
#[derive(Debug)]
pub struct Counters {
    tallies: Vec<Arc<Tally>>,
}

/// One thread's counts; alone in its cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Tally {
    transport: Transport,
    answers: [AtomicU64; CODES.len()],
    truncated: AtomicU64,
    dropped: AtomicU64,
    limited: AtomicU64,
    turned_away: AtomicU64,
    batches: AtomicU64,
    sends: AtomicU64,
}

impl Counters {
    pub(super) fn new(tallies: Vec<Arc<Tally>>) -> Self {
        Self { tallies }
    }

    /// Answers by transport and code, every pair, also those still at zero.
    pub fn answers(&self) -> impl Iterator<Item = (Transport, &'static str, u64)> + '_ {
        [Transport::Udp, Transport::Tcp].into_iter().flat_map(move |transport| {
            let codes = CODES.into_iter().enumerate();
            codes.map(move |(place, code)| {
                let count = self.sum(Some(transport), |tally| &tally.answers[place]);
                (transport, code, count)
            })
        })
    }

    /// Answers that did not fit a datagram.
    pub fn truncated(&self) -> u64 {
        self.sum(None, |tally| &tally.truncated)
    }

    /// Packets that were no query at all, or whose answer could not be sent.
    pub fn dropped(&self, transport: Transport) -> u64 {
        self.sum(Some(transport), |tally| &tally.dropped)
    }

    /// Answers that a network asked for too often: dropped, or sent empty and marked as truncated.
    pub fn limited(&self) -> u64 {
        self.sum(None, |tally| &tally.limited)
    }

    /// Connections refused because there were too many.
    pub fn turned_away(&self) -> u64 {
        self.sum(None, |tally| &tally.turned_away)
    }

    /// How often packets were taken from the kernel, all that were there at once.
    pub fn batches(&self) -> u64 {
        self.sum(None, |tally| &tally.batches)
    }

    /// How often answers were given to the kernel, all of a batch at once.
    pub fn sends(&self) -> u64 {
        self.sum(None, |tally| &tally.sends)
    }

    fn sum(&self, transport: Option<Transport>, which: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        let tallies = self.tallies.iter();
        tallies
            .filter(|tally| transport.is_none_or(|transport| tally.transport == transport))
            .map(|tally| which(tally).load(Ordering::Relaxed))
            .sum()
    }
}

impl Tally {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            answers: Default::default(),
            truncated: AtomicU64::default(),
            dropped: AtomicU64::default(),
            limited: AtomicU64::default(),
            turned_away: AtomicU64::default(),
            batches: AtomicU64::default(),
            sends: AtomicU64::default(),
        }
    }

    pub(super) fn answer(&self, code: Code) {
        self.answers[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cut(&self) {
        self.truncated.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn limit(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn send(&self) {
        self.sends.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }
}
