//! Values to bytes and back: the only module that knows bincode.
//!
//! Every encoding starts with a version byte. Decoding has a limit that is checked before memory is taken, and refuses
//! bytes left over: without both, nine hostile bytes abort the process (bincode 2.0.1, `Vec` with a claimed length).

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of everything encoded here that has none of its own.
pub const VERSION: u8 = 1;
/// The most bytes one encoded thing may have or claim: two register values, each with two certificates.
pub const LIMIT: usize = 512 * 1024;

const FORMAT: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<LIMIT>,
> = bincode::config::standard().with_limit::<LIMIT>();

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No bytes at all.
    Empty,
    /// Another version of the format.
    Version {
        /// The one that is read here.
        expected: u8,
        /// The one it is of.
        found: u8,
    },
    /// Longer than [`LIMIT`].
    TooLong(usize),
    /// Not an encoding of the type.
    Garbled(String),
    /// Bytes left over.
    Trailing(usize),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::Version { expected, found } => {
                write!(f, "expected format {expected}, found {found}")
            }
            Self::TooLong(bytes) => write!(f, "expected at most {LIMIT} bytes, found {bytes}"),
            Self::Garbled(why) => write!(f, "garbled: {why}"),
            Self::Trailing(bytes) => write!(f, "{bytes} bytes left over"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Encodes a value of ours.
///
/// # Panics
/// If the value is beyond [`LIMIT`]: whatever makes values bounds them first.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_as(VERSION, value)
}

/// Encodes what has a version of its own.
///
/// # Panics
/// If the value is beyond [`LIMIT`]: whatever makes values bounds them first.
pub fn encode_as<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    let mut bytes = vec![version];
    bincode::serde::encode_into_std_write(value, &mut bytes, FORMAT)
        .expect("our own types encode within their limits");
    bytes
}

/// Decodes what somebody else encoded.
///
/// # Errors
/// If the bytes are of another version, beyond [`LIMIT`], not of the type, or more than it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    decode_as(VERSION, bytes)
}

/// Decodes what has a version of its own.
///
/// # Errors
/// If the bytes are of another version, beyond [`LIMIT`], not of the type, or more than it.
pub fn decode_as<T: DeserializeOwned>(expected: u8, bytes: &[u8]) -> Result<T, Malformed> {
    let (&found, body) = bytes.split_first().ok_or(Malformed::Empty)?;
    if found != expected {
        return Err(Malformed::Version { expected, found });
    }
    if body.len() > LIMIT {
        return Err(Malformed::TooLong(body.len()));
    }
    let (value, used) = bincode::serde::decode_from_slice(body, FORMAT)
        .map_err(|error| Malformed::Garbled(error.to_string()))?;
    match body.len() - used {
        0 => Ok(value),
        left => Err(Malformed::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_nothing_else_does() {
        let bytes = encode(&("quorate".to_owned(), 7u64));
        assert_eq!(decode::<(String, u64)>(&bytes), Ok(("quorate".to_owned(), 7)));
        assert_eq!(decode::<String>(&bytes), Err(Malformed::Trailing(1)));
        assert_eq!(decode::<String>(&[]), Err(Malformed::Empty));
        assert_eq!(decode::<String>(&[9]), Err(Malformed::Version { expected: VERSION, found: 9 }));
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let claim = [VERSION, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(decode::<String>(&claim), Err(Malformed::Garbled(_))));
        assert!(matches!(decode::<Vec<u64>>(&claim), Err(Malformed::Garbled(_))));
    }
}
