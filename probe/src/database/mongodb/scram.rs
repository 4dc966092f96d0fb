//! A user and a password → a log-in that a server cannot replay, and by which it proves itself (SCRAM, RFC 5802 and 7677).
//!
//! By SHA-256, which came with MongoDB 4.0, or by SHA-1, where the password is first hashed in a way of MongoDB's own.
//! Pure: messages in, messages out. What a server asks for is bounded, and nothing is believed of one that cannot prove
//! that it knows the password, too.

use std::num::NonZeroU32;

use data_encoding::{BASE64, HEXLOWER};
use md5::{Digest as _, Md5};
use ring::{digest, hmac, pbkdf2};

/// So often a server may want the password hashed: MongoDB's own numbers are 10,000 and 15,000, and what is more only costs us.
const ROUNDS: std::ops::RangeInclusive<u32> = 4_096..=200_000;
/// The longest message that is read.
const LONGEST: usize = 4 * 1024;
/// `n,,` in base64: no channel is bound.
const UNBOUND: &str = "c=biws";

/// Which hash a log-in is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Sha1,
    Sha256,
}

impl Mechanism {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }

    fn keyed(self, key: &[u8], text: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text)
    }

    fn salted(self, password: &[u8], salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; self.digest().output_len()];
        pbkdf2::derive(algorithm, rounds, salt, password, &mut salted);
        salted
    }

    /// What stands for the password.
    fn prepared(self, user: &str, password: &str) -> Vec<u8> {
        match self {
            Self::Sha1 => {
                let hash = Md5::digest(format!("{user}:mongo:{password}"));
                HEXLOWER.encode(&hash).into_bytes()
            }
            // What cannot be prepared is sent as it is, as other clients do: the server compares.
            Self::Sha256 => match stringprep::saslprep(password) {
                Ok(prepared) => prepared.into_owned().into_bytes(),
                Err(_) => password.as_bytes().to_vec(),
            },
        }
    }
}

/// Begun: the first message was said.
pub struct Begun {
    mechanism: Mechanism,
    first: String,
    nonce: String,
    password: Vec<u8>,
}

/// The password was proved; now the server has to.
pub struct Proved {
    signature: Vec<u8>,
}

impl Begun {
    /// The first message, and what is remembered of it; `nonce` is new each time.
    pub fn new(mechanism: Mechanism, user: &str, password: &str, nonce: &str) -> (Self, String) {
        let password = mechanism.prepared(user, password);
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={user},r={nonce}");
        let said = format!("n,,{first}");
        (Self { mechanism, first, nonce: nonce.to_owned(), password }, said)
    }

    /// The second message.
    ///
    /// # Errors
    /// Why the server's answer is none.
    pub fn prove(self, challenge: &[u8]) -> Result<(Proved, String), String> {
        let strange = |what: &str| format!("its challenge has {what}");
        let challenge = std::str::from_utf8(challenge).ok().filter(|it| it.len() <= LONGEST);
        let challenge = challenge.ok_or_else(|| strange("no text, or too much of it"))?;
        let field = |name| challenge.split(',').find_map(|it| it.strip_prefix(name));
        let nonce = field("r=").filter(|it| it.starts_with(&self.nonce) && *it != self.nonce);
        let nonce = nonce.ok_or_else(|| strange("another nonce"))?;
        let salt = field("s=").and_then(|it| BASE64.decode(it.as_bytes()).ok());
        let salt = salt.filter(|it| !it.is_empty()).ok_or_else(|| strange("no salt"))?;
        let rounds = field("i=").and_then(|it| it.parse::<u32>().ok());
        let rounds = rounds.filter(|it| ROUNDS.contains(it)).and_then(NonZeroU32::new);
        let rounds = rounds.ok_or_else(|| strange("too few rounds, or too many"))?;
        let keyed = |key: &[u8], text: &[u8]| self.mechanism.keyed(key, text);
        let salted = self.mechanism.salted(&self.password, &salt, rounds);
        let client = keyed(&salted, b"Client Key");
        let stored = digest::digest(self.mechanism.digest(), client.as_ref());
        let bare = format!("{UNBOUND},r={nonce}");
        let all = format!("{},{challenge},{bare}", self.first);
        let signature = keyed(stored.as_ref(), all.as_bytes());
        let proof: Vec<u8> = client
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(one, other)| one ^ other)
            .collect();
        let server = keyed(&salted, b"Server Key");
        let signature = keyed(server.as_ref(), all.as_bytes()).as_ref().to_vec();
        Ok((Proved { signature }, format!("{bare},p={}", BASE64.encode(&proof))))
    }
}

impl Proved {
    /// Does the server know the password, too?
    pub fn believes(&self, last: &[u8]) -> bool {
        let said = last.strip_prefix(b"v=").and_then(|it| BASE64.decode(it).ok());
        // The signature is of this log-in alone: how long a comparison takes tells nobody anything.
        said.is_some_and(|said| said == self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn it_says_what_the_standard_says() {
        let (begun, first) = Begun::new(Mechanism::Sha256, "user", "pencil", NONCE);
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (proved, second) = begun.prove(CHALLENGE.as_bytes()).expect("it is in order");
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(second, expected);
        assert!(proved.believes(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proved.believes(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proved.believes(b"e=other-error") && !proved.believes(b""));
    }

    /// The example of MongoDB's specification of log-ins ("SCRAM-SHA-1").
    #[test]
    fn by_sha_1_the_password_is_first_hashed_in_mongodbs_own_way() {
        let (begun, first) =
            Begun::new(Mechanism::Sha1, "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL");
        assert_eq!(first, "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        let challenge = "r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,\
                         s=rQ9ZY3MntBeuP3E1TDVC4w==,i=10000";
        let (proved, second) = begun.prove(challenge.as_bytes()).expect("it is in order");
        let expected = "c=biws,r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,\
                        p=MC2T8BvbmWRckDw8oWl5IVghwCY=";
        assert_eq!(second, expected);
        assert!(proved.believes(b"v=UMWeI25JD1yNYZRMpZ4VHvhZ9e0="));
    }

    #[test]
    fn a_challenge_that_is_none_is_refused() {
        for (from, to) in [
            ("i=4096", "i=1"),
            ("i=4096", "i=4000000000"),
            ("i=4096", "i=x"),
            ("r=rOpr", "r=Xopr"),
            ("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""),
            ("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s="),
            ("s=W22", "s=%%%"),
        ] {
            let (begun, _) = Begun::new(Mechanism::Sha256, "user", "pencil", NONCE);
            assert!(begun.prove(CHALLENGE.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        let (begun, first) = Begun::new(Mechanism::Sha256, "a,b=c", "pencil", NONCE);
        assert!(first.starts_with("n,,n=a=2Cb=3Dc,"), "{first}");
        assert!(begun.prove(&[0xff; 9]).is_err());
    }
}
