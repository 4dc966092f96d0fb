//! Counts what was answered, by code and by transport, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use hickory_proto::op::ResponseCode;

/// The codes we ever answer with, by the names the metrics use.
const CODES: [(ResponseCode, &str); 7] = [
    (ResponseCode::NoError, "noerror"),
    (ResponseCode::FormErr, "formerr"),
    (ResponseCode::ServFail, "servfail"),
    (ResponseCode::NXDomain, "nxdomain"),
    (ResponseCode::NotImp, "notimp"),
    (ResponseCode::Refused, "refused"),
    (ResponseCode::BADVERS, "badvers"),
];

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
#[derive(Debug, Default)]
pub struct Counters {
    answers: [[AtomicU64; CODES.len()]; 2],
    truncated: AtomicU64,
    dropped: [AtomicU64; 2],
    turned_away: AtomicU64,
}

impl Counters {
    /// Answers by transport and code, every pair, also those still at zero.
    pub fn answers(&self) -> impl Iterator<Item = (Transport, &'static str, u64)> + '_ {
        [Transport::Udp, Transport::Tcp].into_iter().flat_map(move |transport| {
            let row = CODES.iter().zip(&self.answers[transport as usize]);
            row.map(move |((_, code), count)| (transport, *code, count.load(Ordering::Relaxed)))
        })
    }

    /// Answers that did not fit a datagram.
    pub fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }

    /// Packets that were no query at all, or whose answer could not be sent.
    pub fn dropped(&self, transport: Transport) -> u64 {
        self.dropped[transport as usize].load(Ordering::Relaxed)
    }

    /// Connections refused because there were too many.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self, transport: Transport, code: ResponseCode) {
        let place = CODES.iter().position(|(known, _)| *known == code);
        let place = place.expect("we answer with known codes only");
        self.answers[transport as usize][place].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cut(&self) {
        self.truncated.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drop_one(&self, transport: Transport) {
        self.dropped[transport as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }
}
