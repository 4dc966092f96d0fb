//! The value of an app's register as bytes, in every format it was ever written in.
//!
//! The first byte of a value is the version of its own format, which grows apart from [`codec::VERSION`]: a store keeps
//! values for as long as it lives, and every voter answers from them. Older formats are read; the newest alone is written.
//! The bytes themselves are never written anew: what a value was derived from is known by their hash.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::{self, Malformed};
use crate::message::Value;
use crate::model::{
    AppState, Claim, Damping, Decision, Definition, Epoch, Freeze, Operation, OperationId, Phase,
    StackId,
};

/// The version written.
pub const VERSION: u8 = 3;

/// The first format: an operation did not say as which epoch it was agreed.
type First = Older<OperationId>;
/// The second: nothing was known of databases that may be closed still.
type Second = Older<Operation>;

/// A state as it was before, with its operations as they were.
#[derive(Serialize, Deserialize)]
struct Older<O> {
    definition: Arc<Definition>,
    revision: u64,
    epoch: Epoch,
    active: StackId,
    phase: Phase,
    decision: Decision,
    guards_since: u64,
    damping: Damping,
    freeze: Option<Freeze>,
    claim: Option<Claim>,
    operations: Vec<O>,
    previous: [u8; 32],
}

impl<O> Older<O> {
    /// The same state now, each operation by what is known of it.
    fn today(self, operation: impl Fn(O) -> Operation) -> AppState {
        AppState {
            definition: self.definition,
            revision: self.revision,
            epoch: self.epoch,
            active: self.active,
            phase: self.phase,
            decision: self.decision,
            guards_since: self.guards_since,
            damping: self.damping,
            freeze: self.freeze,
            claim: self.claim,
            closed: false,
            operations: self.operations.into_iter().map(operation).collect(),
            previous: self.previous,
        }
    }
}

fn first(it: First) -> AppState {
    let (epoch, revision) = (it.epoch, it.revision);
    it.today(|id| Operation { id, epoch, revision })
}

fn second(it: Second) -> AppState {
    it.today(|operation| operation)
}

/// A state as the value of its register.
pub fn encode(state: &AppState) -> Value {
    Value::new(codec::encode_as(VERSION, state))
}

/// The state that a value holds.
///
/// # Errors
/// If it is of a format that is not known here, or not what it should be.
pub fn decode(value: &Value) -> Result<AppState, Malformed> {
    match value.bytes().first() {
        Some(1) => codec::decode_as(1, value.bytes()).map(first),
        Some(2) => codec::decode_as(2, value.bytes()).map(second),
        _ => codec::decode_as(VERSION, value.bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written before there was a second format: an app in the middle of epoch 3, with an operation of run 7.
    const BEFORE: &str = include_str!("value/first.hex");

    fn written_before() -> Value {
        let digits: Vec<u8> = BEFORE.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        Value::new(digits.chunks(2).map(|pair| byte(pair).unwrap()).collect())
    }

    #[test]
    fn what_was_written_before_is_read_and_written_anew_in_the_newest_format() {
        let state = decode(&written_before()).expect("every format is read");
        let id = OperationId { instance: 7, number: 3 };
        let operation = Operation { id, epoch: state.epoch, revision: state.revision };
        assert_eq!((state.epoch, &state.operations[..]), (Epoch(3), &[operation][..]));
        let anew = encode(&state);
        assert_eq!((anew.bytes()[0], decode(&anew)), (VERSION, Ok(state)));
    }

    #[test]
    fn what_is_newer_is_said_to_be() {
        let mut bytes = encode(&decode(&written_before()).unwrap()).bytes().to_vec();
        bytes[0] = VERSION + 1;
        let newer = Malformed::Version { expected: VERSION, found: VERSION + 1 };
        assert_eq!(decode(&Value::new(bytes)), Err(newer));
    }
}
