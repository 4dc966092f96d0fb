//! Limits how often one network gets the same answer, so that forged senders gain nothing by asking us.
//!
//! The table has one size, whoever asks: two networks whose buckets fall together share one. It is read and written
//! without a lock; an update lost to a race lets one answer more pass.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use consensus::moment::Moment;

/// A power of two. At three million forged packets a second each gets fewer than the usual limit of 200.
const BUCKETS: usize = 16_384;
/// What may be saved up: one second's worth, in microseconds.
const BURST: u64 = 1_000_000;

/// Who asks for the same: hosts of one IPv4 /24 or one IPv6 /56 can each forge the others' addresses.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
        IpAddr::V6(address) => (address.to_bits() >> 72) as u64 | 1 << 63,
    }
}

/// How many answers of a sort each network gets a second.
#[derive(Debug)]
pub(super) struct Limits {
    /// Between two answers, in microseconds.
    gap: u64,
    /// When each bucket will have been refilled: microseconds, as in [`Moment`].
    full: Box<[AtomicU64]>,
    /// Nobody outside knows which buckets fall together.
    secret: [u64; 2],
}

impl Limits {
    /// At most this many a second; `None` for zero, which is no limit.
    pub(super) fn new(rate: u32) -> Option<Self> {
        let gap = 1_000_000_u64.checked_div(u64::from(rate))?.max(1);
        let full = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Some(Self { gap, full, secret: rand::random() })
    }

    /// May this network get this answer now?
    pub(super) fn pass(&self, now: Moment, from: IpAddr, answer: usize) -> bool {
        let [a, b] = self.secret;
        let mixed = u128::from(network(from) ^ a) * u128::from(answer as u64 ^ b);
        let bucket = &self.full[((mixed >> 64) as usize ^ mixed as usize) % BUCKETS];
        let (now, full) = (now.as_micros(), bucket.load(Ordering::Relaxed));
        if now + BURST < full + self.gap {
            return false;
        }
        bucket.store(full.max(now) + self.gap, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_gets_its_rate_and_one_second_at_once() {
        let limits = Limits::new(10).expect("a limit");
        let at = |micros: u64| Moment::from_micros(5_000_000 + micros);
        let passed = |now: Moment, from: [u8; 4]| {
            (0..100).filter(|_| limits.pass(now, from.into(), 1)).count()
        };
        assert_eq!(passed(at(0), [192, 0, 2, 1]), 10);
        assert_eq!(passed(at(0), [192, 0, 2, 200]), 0, "the same network");
        assert_eq!(passed(at(0), [198, 51, 100, 1]), 10, "another");
        assert_eq!(passed(at(500_000), [192, 0, 2, 1]), 5);
        assert_eq!(passed(at(9_000_000), [192, 0, 2, 1]), 10, "no more is saved up");
        assert!(limits.pass(at(9_000_000), [192, 0, 2, 1].into(), 2), "another answer");
        assert!(Limits::new(0).is_none());
    }

    #[test]
    fn networks_are_as_wide_as_one_host_can_forge() {
        let same = |a: &str, b: &str| {
            network(a.parse().expect("an address")) == network(b.parse().expect("an address"))
        };
        assert!(same("192.0.2.1", "192.0.2.255"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.9"));
        assert!(!same("192.0.2.1", "192.0.3.1"));
        assert!(same("2001:db8:0:ff::1", "2001:db8:0:1::2"));
        assert!(!same("2001:db8:0:100::1", "2001:db8:0:1::1"));
    }
}
