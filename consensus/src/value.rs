//! The value of an app's register as bytes, in every format it was ever written in.
//!
//! The first byte of a value is the version of its own format, which grows apart from [`codec::VERSION`]: a store keeps
//! values for as long as it lives, and every voter answers from them. Older formats are read; the newest alone is written.
//! The bytes themselves are never written anew: what a value was derived from is known by their hash.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec::{self, Malformed};
use crate::message::Value;
use crate::model::{
    AppId, AppState, Claim, Damping, DataPolicy, Decision, Definition, Epoch, Fencing, Freeze,
    Mode, Operation, OperationId, Phase, ProbePolicy, Record, Stack, StackId, Zone,
};

/// The version written.
pub const VERSION: u8 = 3;

/// A definition of the first two formats: loss had a bound in bytes only.
#[derive(Serialize, Deserialize)]
struct Bytewise {
    name: AppId,
    mode: Mode,
    cooldown: Duration,
    regions: usize,
    probe: ProbePolicy,
    max_loss_bytes: u64,
    fencing: Fencing,
    zones: Vec<Zone>,
    stacks: Vec<Stack>,
    records: Vec<Record>,
}

impl From<Bytewise> for Definition {
    fn from(old: Bytewise) -> Self {
        let Bytewise { name, mode, cooldown, regions, probe, zones, stacks, records, .. } = old;
        let (max_loss_bytes, fencing) = (old.max_loss_bytes, old.fencing);
        let data = DataPolicy { max_loss_bytes, max_loss_time: None, fencing };
        Self { name, mode, cooldown, regions, probe, data, zones, stacks, records }
    }
}

/// The first two formats differ in what an operation is: in the first it did not say as which epoch it was agreed.
#[derive(Serialize, Deserialize)]
struct Before<O> {
    definition: Bytewise,
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

impl<O> Before<O> {
    fn into_state(self, operation: impl Fn(O, Epoch, u64) -> Operation) -> AppState {
        let (epoch, revision) = (self.epoch, self.revision);
        let operation = |it| operation(it, epoch, revision);
        AppState {
            definition: Arc::new(self.definition.into()),
            revision,
            epoch,
            active: self.active,
            phase: self.phase,
            decision: self.decision,
            guards_since: self.guards_since,
            damping: self.damping,
            freeze: self.freeze,
            claim: self.claim,
            operations: self.operations.into_iter().map(operation).collect(),
            previous: self.previous,
        }
    }
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
        Some(1) => codec::decode_as::<Before<OperationId>>(1, value.bytes())
            .map(|it| it.into_state(|id, epoch, revision| Operation { id, epoch, revision })),
        Some(2) => codec::decode_as::<Before<Operation>>(2, value.bytes())
            .map(|it| it.into_state(|operation, _, _| operation)),
        _ => codec::decode_as(VERSION, value.bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written in the first and in the second format: an app in the middle of epoch 3, with an operation of run 7.
    const FIRST: &str = include_str!("value/first.hex");
    const SECOND: &str = include_str!("value/second.hex");

    fn written_before(text: &str) -> Value {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        Value::new(digits.chunks(2).map(|pair| byte(pair).unwrap()).collect())
    }

    #[test]
    fn what_was_written_before_is_read_and_written_anew_in_the_newest_format() {
        for (version, text) in (1..).zip([FIRST, SECOND]) {
            let value = written_before(text);
            assert_eq!(value.bytes()[0], version);
            let state = decode(&value).expect("every format is read");
            let id = OperationId { instance: 7, number: 3 };
            let operation = Operation { id, epoch: state.epoch, revision: state.revision };
            assert_eq!((state.epoch, &state.operations[..]), (Epoch(3), &[operation][..]));
            let anew = encode(&state);
            assert_eq!((anew.bytes()[0], decode(&anew)), (VERSION, Ok(state)));
        }
    }

    #[test]
    fn what_is_newer_is_said_to_be() {
        let mut bytes = encode(&decode(&written_before(SECOND)).unwrap()).bytes().to_vec();
        bytes[0] = VERSION + 1;
        let newer = Malformed::Version { expected: VERSION, found: VERSION + 1 };
        assert_eq!(decode(&Value::new(bytes)), Err(newer));
    }
}
