//! The value of an app's register as bytes, in every format it was ever written in.
//!
//! The first byte of a value is the version of its own format, which grows apart from [`codec::VERSION`]: a store keeps
//! values for as long as it lives, and every voter answers from them. Older formats are read; the newest alone is written.
//! The bytes themselves are never written anew: what a value was derived from is known by their hash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec::{self, Malformed};
use crate::message::Value;
use crate::model::{
    AgentId, AppId, AppState, Candidate, Certificate, Claim, CredentialId, Damping, DataPolicy,
    Database, Decision, DecisionKind, Definition, Endpoint, Engine, Epoch, FenceRecord, Fencing,
    Following, Freeze, Left, Lifetimes, Mode, Operation, OperationId, Phase, Planned, ProbePolicy,
    Record, SeenBy, Site, Stack, StackId, SyncSet, TargetName, Zone,
};

/// The version written.
pub const VERSION: u8 = 10;

/// What may be lost, in bytes only: of the first three formats.
type Bytewise = u64;
/// The same in bytes and in time: of the fourth.
type Bounded = (u64, Option<Duration>);

/// A database of the first nine formats: every voter looked at it itself.
#[derive(Serialize, Deserialize)]
struct Exposed {
    name: TargetName,
    engine: Engine,
    address: String,
    port: u16,
    credential: CredentialId,
    guard: Option<AgentId>,
}

impl From<Exposed> for Database {
    fn from(old: Exposed) -> Self {
        let Exposed { name, engine, address, port, credential, guard } = old;
        Self { name, engine, address, port, credential, guard, view: SeenBy::All }
    }
}

/// A stack of the first nine formats.
#[derive(Serialize, Deserialize)]
struct Open {
    name: StackId,
    site: Site,
    endpoints: Vec<Endpoint>,
    databases: Vec<Exposed>,
}

impl From<Open> for Stack {
    fn from(old: Open) -> Self {
        let Open { name, site, endpoints, databases } = old;
        Self { name, site, endpoints, databases: databases.into_iter().map(Into::into).collect() }
    }
}

fn stacks(old: Vec<Open>) -> Vec<Stack> {
    old.into_iter().map(Into::into).collect()
}

/// A definition of the first four formats: a lease was as long as it usually is.
#[derive(Serialize, Deserialize)]
struct Unleased<L> {
    name: AppId,
    mode: Mode,
    cooldown: Duration,
    regions: usize,
    probe: ProbePolicy,
    max_loss: L,
    fencing: Fencing,
    zones: Vec<Zone>,
    stacks: Vec<Open>,
    records: Vec<Record>,
}

impl<L> Unleased<L> {
    fn today(self, bounds: impl Fn(L) -> Bounded) -> Definition {
        let Self { name, mode, cooldown, regions, probe, zones, records, .. } = self;
        let ((max_loss_bytes, max_loss_time), fencing) = (bounds(self.max_loss), self.fencing);
        let data = Unkept { max_loss_bytes, max_loss_time, fencing, lease: DataPolicy::LEASE };
        let data = data.into();
        let (stacks, following) = (stacks(self.stacks), Vec::new());
        Definition { name, mode, cooldown, regions, probe, data, zones, stacks, records, following }
    }
}

/// What may happen to data, of the first eight formats: whom a primary waits for was nobody's to set.
#[derive(Serialize, Deserialize)]
struct Unkept {
    max_loss_bytes: u64,
    #[serde(default)]
    max_loss_time: Option<Duration>,
    fencing: Fencing,
    lease: Duration,
}

impl From<Unkept> for DataPolicy {
    fn from(old: Unkept) -> Self {
        let Unkept { max_loss_bytes, max_loss_time, fencing, lease } = old;
        Self { max_loss_bytes, max_loss_time, fencing, lease, sync: 0 }
    }
}

/// A definition of the formats from the fifth to the ninth, with what may happen to data and what is followed.
#[derive(Serialize, Deserialize)]
struct Direct<P, F> {
    name: AppId,
    mode: Mode,
    cooldown: Duration,
    regions: usize,
    probe: ProbePolicy,
    data: P,
    zones: Vec<Zone>,
    stacks: Vec<Open>,
    records: Vec<Record>,
    following: F,
}

impl<P: Into<DataPolicy>, F> Direct<P, F> {
    fn today(self, following: impl Fn(F) -> Vec<Following>) -> Definition {
        Definition {
            name: self.name,
            mode: self.mode,
            cooldown: self.cooldown,
            regions: self.regions,
            probe: self.probe,
            data: self.data.into(),
            zones: self.zones,
            stacks: stacks(self.stacks),
            records: self.records,
            following: following(self.following),
        }
    }
}

/// Of the fifth: endpoints were listed.
impl From<Direct<Unkept, ()>> for Definition {
    fn from(old: Direct<Unkept, ()>) -> Self {
        old.today(|()| Vec::new())
    }
}

impl<P: Into<DataPolicy>> From<Direct<P, Vec<Following>>> for Definition {
    fn from(old: Direct<P, Vec<Following>>) -> Self {
        old.today(|following| following)
    }
}

impl From<Unleased<Bytewise>> for Definition {
    fn from(old: Unleased<Bytewise>) -> Self {
        old.today(|bytes| (bytes, None))
    }
}

impl From<Unleased<Bounded>> for Definition {
    fn from(old: Unleased<Bounded>) -> Self {
        old.today(|bounds| bounds)
    }
}

/// A decision of the first four formats: a loss was known in bytes only.
#[derive(Serialize, Deserialize)]
struct Timeless {
    epoch: Epoch,
    kind: DecisionKind,
    from: StackId,
    to: StackId,
    by: AgentId,
    reason: String,
    wall_ms: u64,
    attempt: u8,
    candidates: Vec<Candidate>,
    fence: BTreeMap<TargetName, FenceRecord>,
    loss_bytes: Option<u64>,
    first: Option<Certificate>,
    second: Option<Certificate>,
}

impl From<Timeless> for Decision {
    fn from(old: Timeless) -> Self {
        Self {
            epoch: old.epoch,
            kind: old.kind,
            from: old.from,
            to: old.to,
            by: old.by,
            reason: old.reason,
            wall_ms: old.wall_ms,
            attempt: old.attempt,
            candidates: old.candidates,
            fence: old.fence,
            loss_bytes: old.loss_bytes,
            loss_time: None,
            first: old.first,
            second: old.second,
        }
    }
}

/// The first format: an operation did not say as which epoch it was agreed.
type First = Older<Unleased<Bytewise>, Timeless, (), OperationId>;
/// The second: nothing was known of databases that may be closed still.
type Second = Older<Unleased<Bytewise>, Timeless, (), Operation>;
/// The third: loss had a bound in bytes only, as in those before it.
type Third = Older<Unleased<Bytewise>, Timeless, bool, Operation>;
/// The fourth: a decision knew its loss in bytes only, and a definition of no lease of its own, as in those before it.
type Fourth = Older<Unleased<Bounded>, Timeless, bool, Operation>;
/// The fifth: nothing was followed, as in those before it.
type Fifth = Older<Direct<Unkept, ()>, Decision, bool, Operation>;

/// A state as it was before: the definition, the decision, whether a database may be closed still, and the operations, as they
/// were.
#[derive(Serialize, Deserialize)]
struct Older<D, S, C, O> {
    definition: D,
    revision: u64,
    epoch: Epoch,
    active: StackId,
    phase: Phase,
    decision: S,
    guards_since: u64,
    damping: Damping,
    freeze: Option<Freeze>,
    claim: Option<Claim>,
    closed: C,
    operations: Vec<O>,
    previous: [u8; 32],
}

impl<D: Into<Definition>, S: Into<Decision>, C, O> Older<D, S, C, O> {
    /// The same state now, by what is known of it.
    fn today(self, closed: impl Fn(C) -> bool, operation: impl Fn(O) -> Operation) -> AppState {
        AppState {
            definition: Arc::new(self.definition.into()),
            revision: self.revision,
            epoch: self.epoch,
            active: self.active,
            phase: self.phase,
            decision: self.decision.into(),
            guards_since: self.guards_since,
            damping: self.damping,
            freeze: self.freeze,
            claim: self.claim,
            closed: closed(self.closed),
            left: Vec::new(),
            lifetimes: Lifetimes::default(),
            sync: SyncSet::default(),
            operations: self.operations.into_iter().map(operation).collect(),
            previous: self.previous,
        }
    }
}

/// The sixth format: answers were kept for as long as the definition said, as in those before it.
type Sixth = Earlier<Unkept, (), ()>;
/// The seventh: how often lifetimes had changed was not counted.
type Seventh = Earlier<Unkept, Uncounted, ()>;
/// The eighth: nobody was relied on, as in those before it.
type Eighth = Earlier<Unkept, Lifetimes, ()>;
/// The ninth: every database was looked at by every voter itself, as in those before it.
type Ninth = Earlier<DataPolicy, Lifetimes, SyncSet>;

/// What was agreed on lifetimes of answers, in the seventh format.
#[derive(Serialize, Deserialize)]
struct Uncounted {
    shortened: u8,
    planned: Option<Planned>,
}

/// A state of the formats from the sixth to the ninth, with what may happen to data, lifetimes and who is relied on as they were.
#[derive(Serialize, Deserialize)]
struct Earlier<P, L, S> {
    definition: Direct<P, Vec<Following>>,
    revision: u64,
    epoch: Epoch,
    active: StackId,
    phase: Phase,
    decision: Decision,
    guards_since: u64,
    damping: Damping,
    freeze: Option<Freeze>,
    claim: Option<Claim>,
    closed: bool,
    left: Vec<Left>,
    lifetimes: L,
    sync: S,
    operations: Vec<Operation>,
    previous: [u8; 32],
}

impl<P: Into<DataPolicy>, L, S> Earlier<P, L, S> {
    /// The same state now.
    fn today(self, lifetimes: impl Fn(L) -> Lifetimes, sync: impl Fn(S) -> SyncSet) -> AppState {
        AppState {
            definition: Arc::new(self.definition.into()),
            revision: self.revision,
            epoch: self.epoch,
            active: self.active,
            phase: self.phase,
            decision: self.decision,
            guards_since: self.guards_since,
            damping: self.damping,
            freeze: self.freeze,
            claim: self.claim,
            closed: self.closed,
            left: self.left,
            lifetimes: lifetimes(self.lifetimes),
            sync: sync(self.sync),
            operations: self.operations,
            previous: self.previous,
        }
    }
}

fn first(it: First) -> AppState {
    let (epoch, revision) = (it.epoch, it.revision);
    it.today(|()| false, |id| Operation { id, epoch, revision })
}

fn second(it: Second) -> AppState {
    it.today(|()| false, |operation| operation)
}

fn third(it: Third) -> AppState {
    it.today(|closed| closed, |operation| operation)
}

fn fourth(it: Fourth) -> AppState {
    it.today(|closed| closed, |operation| operation)
}

fn fifth(it: Fifth) -> AppState {
    it.today(|closed| closed, |operation| operation)
}

fn sixth(it: Sixth) -> AppState {
    it.today(|()| Lifetimes::default(), |()| SyncSet::default())
}

fn seventh(it: Seventh) -> AppState {
    let counted = |Uncounted { shortened, planned }| Lifetimes { shortened, planned, changes: 0 };
    it.today(counted, |()| SyncSet::default())
}

fn eighth(it: Eighth) -> AppState {
    it.today(|lifetimes| lifetimes, |()| SyncSet::default())
}

fn ninth(it: Ninth) -> AppState {
    it.today(|lifetimes| lifetimes, |sync| sync)
}

/// The formats that an agent reads, all up to this one, and the one that it writes: what tells two versions of it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format(u8);

impl Format {
    /// Of this version.
    pub const NOW: Self = Self(VERSION);
    /// Of the version that comes after it, which the simulator upgrades to: the same state under another number.
    #[cfg(feature = "mutants")]
    pub const NEXT: Self = Self(VERSION + 1);

    /// A state as the value of its register.
    pub fn encode(self, state: &AppState) -> Value {
        Value::new(codec::encode_as(self.0, state))
    }

    /// The state that a value holds.
    ///
    /// # Errors
    /// If it is of a format that is not known here, or not what it should be.
    pub fn decode(self, value: &Value) -> Result<AppState, Malformed> {
        let bytes = value.bytes();
        match bytes.first() {
            Some(1) => codec::decode_as(1, bytes).map(first),
            Some(2) => codec::decode_as(2, bytes).map(second),
            Some(3) => codec::decode_as(3, bytes).map(third),
            Some(4) => codec::decode_as(4, bytes).map(fourth),
            Some(5) => codec::decode_as(5, bytes).map(fifth),
            Some(6) => codec::decode_as(6, bytes).map(sixth),
            Some(7) => codec::decode_as(7, bytes).map(seventh),
            Some(8) => codec::decode_as(8, bytes).map(eighth),
            Some(9) => codec::decode_as(9, bytes).map(ninth),
            Some(&found) if VERSION < found && found <= self.0 => codec::decode_as(found, bytes),
            _ => codec::decode_as(VERSION, bytes),
        }
    }
}

/// A state as the value of its register, in the newest format.
pub fn encode(state: &AppState) -> Value {
    Format::NOW.encode(state)
}

/// The state that a value of any format holds, as whoever looks on reads it.
///
/// # Errors
/// If it is of a format that is not known here, or not what it should be.
pub fn decode(value: &Value) -> Result<AppState, Malformed> {
    #[cfg(feature = "mutants")]
    return Format::NEXT.decode(value);
    #[cfg(not(feature = "mutants"))]
    Format::NOW.decode(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written in each format before: an app in the middle of epoch 3, with an operation of run 7.
    const FIRST: &str = include_str!("value/first.hex");
    const SECOND: &str = include_str!("value/second.hex");
    const THIRD: &str = include_str!("value/third.hex");
    const FOURTH: &str = include_str!("value/fourth.hex");
    const FIFTH: &str = include_str!("value/fifth.hex");
    const SIXTH: &str = include_str!("value/sixth.hex");
    const SEVENTH: &str = include_str!("value/seventh.hex");
    const EIGHTH: &str = include_str!("value/eighth.hex");
    const NINTH: &str = include_str!("value/ninth.hex");

    fn written_before(text: &str) -> Value {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        Value::new(digits.chunks(2).map(|pair| byte(pair).unwrap()).collect())
    }

    #[test]
    fn what_was_written_before_is_read_and_written_anew_in_the_newest_format() {
        let every = [FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, EIGHTH, NINTH];
        for (version, text) in (1..).zip(every) {
            let value = written_before(text);
            assert_eq!(value.bytes()[0], version);
            let state = decode(&value).expect("every format is read");
            let id = OperationId { instance: 7, number: 3 };
            let operation = Operation { id, epoch: state.epoch, revision: state.revision };
            assert_eq!((state.epoch, &state.operations[..]), (Epoch(3), &[operation][..]));
            assert_eq!(state.closed, 3 <= version);
            assert_eq!(state.lifetimes.shortened, if 7 <= version { 2 } else { 0 });
            let anew = encode(&state);
            assert_eq!((anew.bytes()[0], decode(&anew)), (VERSION, Ok(state)));
        }
    }

    #[test]
    fn what_is_newer_is_said_to_be() {
        let mut bytes = encode(&decode(&written_before(SECOND)).unwrap()).bytes().to_vec();
        bytes[0] = VERSION + 1;
        let newer = Malformed::Version { expected: VERSION, found: VERSION + 1 };
        assert_eq!(Format::NOW.decode(&Value::new(bytes)), Err(newer));
    }
}
