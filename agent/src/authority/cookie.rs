//! Cookies that prove that an asker gets what is sent to its address (RFC 7873), made as RFC 9018 says.
//!
//! Nothing is remembered of anybody: a cookie holds its time and a hash over it that only we can make. The secret is
//! drawn at the start and turns every day; a cookie made before the turn keeps until it is an hour old.

use std::hash::Hasher;
#[allow(deprecated)]
// Is SipHash-2-4 by its documentation, which no other hasher of std promises to be.
use std::hash::SipHasher;
use std::net::IpAddr;

use super::query::Cookie;

/// How long a cookie holds, in seconds (RFC 9018 section 4.3).
const OLD: i32 = 3600;
/// From this age on it is answered with a fresh one, in seconds.
const STALE: i32 = 1800;
/// How far ahead of our clock it may be, in seconds.
const AHEAD: i32 = -300;
/// How long one secret makes cookies, in seconds.
const TURN: u32 = 24 * 3600;
/// Version 1, and three bytes for later.
const VERSION: [u8; 4] = [1, 0, 0, 0];

type Secret = [u8; 16];

/// Makes cookies and knows its own again.
#[derive(Clone, Debug)]
pub(super) struct Baker {
    master: [u8; 32],
    now: u32,
    day: u32,
    /// Of today and of yesterday.
    secrets: [Secret; 2],
}

/// What an asker's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// Did this address get a cookie of ours?
    pub(super) known: bool,
    /// The server's half for the answer.
    pub(super) answer: [u8; 16],
}

impl Baker {
    /// With a secret of its own.
    pub(super) fn new(master: [u8; 32], now: u32) -> Self {
        let mut baker = Self { master, now, day: 0, secrets: Default::default() };
        baker.turn(now);
        baker
    }

    /// Goes with the wall clock: seconds since 1970, as many as fit.
    pub(super) fn tell(&mut self, now: u32) {
        self.now = now;
        if self.day != now / TURN {
            self.turn(now);
        }
    }

    fn turn(&mut self, now: u32) {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.master);
        self.day = now / TURN;
        self.secrets = [self.day, self.day.wrapping_sub(1)].map(|day| {
            let tag = ring::hmac::sign(&key, &day.to_be_bytes());
            tag.as_ref().first_chunk().copied().expect("SHA-256 has 32 bytes")
        });
    }

    /// What this cookie is worth, coming from there.
    pub(super) fn judge(&self, cookie: &Cookie<'_>, from: IpAddr) -> Judged {
        let held = cookie.server.split_first_chunk::<4>().and_then(|(version, rest)| {
            let (time, hash) = rest.split_first_chunk::<4>()?;
            let time = u32::from_be_bytes(*time);
            let secret = match self.day.wrapping_sub(time / TURN) {
                0 => &self.secrets[0],
                1 => &self.secrets[1],
                _ => return None,
            };
            let made = bake(secret, cookie.client, time, from);
            let same = *version == VERSION && made[8..] == *hash;
            let age = self.now.wrapping_sub(time).cast_signed();
            (same && (AHEAD..=OLD).contains(&age)).then_some((made, age))
        });
        match held {
            Some((made, age)) if age < STALE => Judged { known: true, answer: made },
            _ => {
                let answer = bake(&self.secrets[0], cookie.client, self.now, from);
                Judged { known: held.is_some(), answer }
            }
        }
    }
}

#[allow(deprecated)]
fn bake(secret: &Secret, client: [u8; 8], time: u32, from: IpAddr) -> [u8; 16] {
    let [low, high] = [0, 8]
        .map(|at| u64::from_le_bytes(*secret[at..].first_chunk().expect("a secret has 16 bytes")));
    let mut hasher = SipHasher::new_with_keys(low, high);
    hasher.write(&client);
    hasher.write(&VERSION);
    hasher.write(&time.to_be_bytes());
    match from {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    let mut cookie = [0; 16];
    cookie[..4].copy_from_slice(&VERSION);
    cookie[4..8].copy_from_slice(&time.to_be_bytes());
    cookie[8..].copy_from_slice(&hasher.finish().to_le_bytes());
    cookie
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        HEXLOWER.decode(hex.as_bytes()).expect("hex").try_into().expect("of that length")
    }

    #[test]
    fn cookies_are_those_of_rfc_9018() {
        for (secret, client, time, from, expected) in [
            (
                "e5e973e5a6b2a43f48e7dc849e37bfcf",
                "2464c4abcf10c957",
                1_559_731_985,
                "198.51.100.100",
                "010000005cf79f111f8130c3eee29480",
            ),
            (
                "dd3bdf9344b678b185a6f5cb60fca715",
                "22681ab97d52c298",
                1_559_741_817,
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "010000005cf7c57926556bd0934c72f8",
            ),
            (
                "445536bcd2513298075a5d379663c962",
                "22681ab97d52c298",
                1_559_741_961,
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "010000005cf7c609a6bb79d16625507a",
            ),
        ] {
            let from = from.parse().expect("an address");
            let made = bake(&bytes(secret), bytes(client), time, from);
            assert_eq!(HEXLOWER.encode(&made), expected);
        }
    }

    #[test]
    fn a_cookie_holds_for_an_hour_and_for_its_address_only() {
        let (noon, from) = (1_800_000_000, IpAddr::from([192, 0, 2, 1]));
        let mut baker = Baker::new([7; 32], noon);
        let first = Cookie { client: *b"whatever", server: &[] };
        let given = baker.judge(&first, from);
        assert!(!given.known);
        let back = Cookie { server: &given.answer, ..first };
        for (later, known, fresh) in [
            (0, true, false),
            (1_799, true, false),
            (1_800, true, true),
            (3_600, true, true),
            (3_601, false, true),
            (3 * TURN, false, true),
        ] {
            baker.tell(noon + later);
            let judged = baker.judge(&back, from);
            assert_eq!((judged.known, judged.answer != given.answer), (known, fresh), "{later}");
        }
        baker.tell(noon);
        assert!(!baker.judge(&back, IpAddr::from([192, 0, 2, 2])).known);
        let other = Cookie { client: *b"whoever.", ..back };
        assert!(!baker.judge(&other, from).known);
        assert!(!Baker::new([8; 32], noon).judge(&back, from).known);
    }

    #[test]
    fn a_cookie_outlives_the_turn_of_the_secret() {
        let midnight = 20_000 * TURN;
        let from = IpAddr::from([192, 0, 2, 1]);
        let mut baker = Baker::new([7; 32], midnight - 1);
        let first = Cookie { client: *b"whatever", server: &[] };
        let given = baker.judge(&first, from);
        baker.tell(midnight + 60);
        assert!(baker.judge(&Cookie { server: &given.answer, ..first }, from).known);
    }
}
