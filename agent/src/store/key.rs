//! What makes a store a voter's: its acceptor id and its evidence key, drawn together and kept in one small file.
//!
//! The file holds three words: the seed, the public half that grows from it, and the acceptor it was drawn for. So a key
//! that was damaged, or that lies beside another store's log, is noticed without asking anybody.

use std::fs;
use std::io;
use std::path::Path;

use consensus::config::BallotStore;
use consensus::model::AcceptorId;
use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::folder::{failed, sync_folder};
use super::{KEY, StoreError};
use crate::identity::{read_limited, write_secret};

/// The three words, a few times over.
const FILE_LIMIT: u64 = 1024;

/// Draws the acceptor id and the evidence key of a new store.
///
/// # Errors
/// If the system gives no randomness.
pub fn draw() -> Result<BallotStore, StoreError> {
    let random = SystemRandom::new();
    let (mut acceptor, mut seed) = ([0; 16], [0; 32]);
    random
        .fill(&mut acceptor)
        .and_then(|()| random.fill(&mut seed))
        .map_err(|_| StoreError::Random)?;
    Ok(BallotStore { acceptor: AcceptorId(u128::from_be_bytes(acceptor)), seed })
}

/// The public half of the evidence key that grows from this seed: what the voters know it by.
pub fn evidence_key(seed: &[u8; 32]) -> [u8; 32] {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed");
    pair.public_key().as_ref().try_into().expect("ed25519 keys have 32 bytes")
}

/// Writes the key in the place of whatever key there is.
pub(super) fn write(folder: &Path, ballots: &BallotStore) -> Result<(), StoreError> {
    let (new, path) = (folder.join("evidence.key.new"), folder.join(KEY));
    // A leftover of a crash in the middle of this is worth nothing.
    let _ = fs::remove_file(&new);
    let words = [
        HEXLOWER.encode(&ballots.seed),
        HEXLOWER.encode(&evidence_key(&ballots.seed)),
        HEXLOWER.encode(&ballots.acceptor.0.to_be_bytes()),
    ];
    write_secret(&new, format!("{}\n", words.join(" ")).as_bytes())
        .map_err(failed("write", &new))?;
    fs::rename(&new, &path).map_err(failed("rename", &new))?;
    sync_folder(folder)
}

/// The key of this acceptor, if that is what the file holds.
pub(super) fn read(folder: &Path, acceptor: AcceptorId) -> Result<Option<BallotStore>, StoreError> {
    let path = folder.join(KEY);
    match read_limited(&path, FILE_LIMIT) {
        Ok(text) => Ok(parse(&text, acceptor)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

fn parse(text: &[u8], acceptor: AcceptorId) -> Option<BallotStore> {
    let words: Vec<Vec<u8>> = std::str::from_utf8(text)
        .ok()?
        .split_ascii_whitespace()
        .map(|word| HEXLOWER.decode(word.as_bytes()))
        .collect::<Result<_, _>>()
        .ok()?;
    let [seed, public, owner] = words.as_slice() else { return None };
    let seed: [u8; 32] = seed.as_slice().try_into().ok()?;
    let fits = *public == evidence_key(&seed) && *owner == acceptor.0.to_be_bytes();
    fits.then_some(BallotStore { acceptor, seed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_damaged_or_another_stores_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let drawn = draw().expect("a key");
        assert!(read(folder.path(), drawn.acceptor).expect("readable").is_none(), "not yet");
        write(folder.path(), &drawn).expect("written");
        let found = read(folder.path(), drawn.acceptor).expect("readable").expect("there");
        assert_eq!(found.seed, drawn.seed);
        let other = draw().expect("another").acceptor;
        assert!(read(folder.path(), other).expect("readable").is_none());
        let path = folder.path().join(KEY);
        let text = fs::read_to_string(&path).expect("the key");
        for at in 0..text.trim_end().len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            assert!(parse(&bytes, drawn.acceptor).is_none(), "byte {at}");
        }
        write(folder.path(), &draw().expect("another")).expect("written over");
        assert!(read(folder.path(), drawn.acceptor).expect("readable").is_none());
    }
}
