//! A user and a password → a log-in that a server cannot replay, and by which it proves itself (SCRAM-SHA-256, RFC 7677).
//!
//! Pure: messages in, messages out. What a server asks for is bounded, and nothing is believed of one that cannot prove
//! that it knows the password, too.

use std::num::NonZeroU32;

use data_encoding::BASE64;
use ring::{digest, hmac, pbkdf2};

/// So often a server may want the password hashed: MongoDB's own number is 15,000, and what is more only costs us.
const ROUNDS: std::ops::RangeInclusive<u32> = 4_096..=200_000;
/// The longest message that is read.
const LONGEST: usize = 4 * 1024;
/// `n,,` in base64: no channel is bound.
const UNBOUND: &str = "c=biws";

/// Begun: the first message was said.
pub struct Begun {
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
    pub fn new(user: &str, password: &str, nonce: &str) -> (Self, String) {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={user},r={nonce}");
        let said = format!("n,,{first}");
        // What cannot be prepared is sent as it is, as other clients do: the server compares.
        let password = stringprep::saslprep(password).map_or(password.into(), |it| it.into_owned());
        (Self { first, nonce: nonce.to_owned(), password: password.into_bytes() }, said)
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
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, &self.password, &mut salted);
        let client = keyed(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client.as_ref());
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

fn keyed(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
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
        let (begun, first) = Begun::new("user", "pencil", NONCE);
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (proved, second) = begun.prove(CHALLENGE.as_bytes()).expect("it is in order");
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(second, expected);
        assert!(proved.believes(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proved.believes(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proved.believes(b"e=other-error") && !proved.believes(b""));
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
            let (begun, _) = Begun::new("user", "pencil", NONCE);
            assert!(begun.prove(CHALLENGE.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        let (begun, first) = Begun::new("a,b=c", "pencil", NONCE);
        assert!(first.starts_with("n,,n=a=2Cb=3Dc,"), "{first}");
        assert!(begun.prove(&[0xff; 9]).is_err());
    }
}
