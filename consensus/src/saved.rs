//! What must survive, and how it lies on disk.
//!
//! An append-only log of records `[length u32][number u64][crc32c of those u32][entry][crc32c of the entry u32]`, little
//! endian. A record that ends beyond the file was never acknowledged and is cut off; a record that is wrong in any other
//! way is damage, and the voter it belongs to must not vote again (PROTOCOL.md A.6). The header has a checksum of its own
//! so that a damaged length is not taken for a torn tail. Pure, so that the simulator tears the very bytes that production
//! writes; the agent's store only writes them and syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::message::Accepted;
use crate::model::{
    AcceptorId, AgentId, AppId, Ballot, Epoch, MeshId, OperationId, Quarantined, RegisterId,
    StackId, TargetId, Token,
};

/// The most bytes one record may have.
pub const RECORD_LIMIT: usize = codec::LIMIT;
/// A log beyond this size is rewritten as a snapshot.
pub const COMPACT_BEYOND: usize = 4 * 1024 * 1024;
const HEADER: usize = 16;
const TRAILER: usize = 4;

/// So many targets are remembered as reached: those of followed endpoints come and go without end.
const REACHED_LIMIT: usize = 4_096;

/// Where a target was when it was reached. Beyond the limit another one is forgotten, and found out again at its next look.
pub fn remember(
    reached: &mut BTreeMap<TargetId, (String, u16)>,
    target: &TargetId,
    at: (String, u16),
) {
    reached.insert(target.clone(), at);
    if reached.len() > REACHED_LIMIT {
        let mut others = reached.keys().filter(|other| *other != target);
        if let Some(other) = others.next().cloned() {
            reached.remove(&other);
        }
    }
}

/// One thing that must survive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The store was made: always the first record.
    Born(Birth),
    /// The process started once more.
    Started {
        /// How often, by now.
        boot: u64,
    },
    /// A promise.
    Promised {
        /// The register.
        register: RegisterId,
        /// The ballot promised.
        ballot: Ballot,
    },
    /// An accepted value; promises its ballot, too.
    Accepted {
        /// The register.
        register: RegisterId,
        /// Ballot and value.
        accepted: Accepted,
    },
    /// A value known to be chosen: what DNS answers from after a restart.
    Chosen {
        /// The register.
        register: RegisterId,
        /// Ballot and value.
        accepted: Accepted,
    },
    /// To which stack's guards this voter grants leases: durable before the first of them does.
    Holder {
        /// The app.
        app: AppId,
        /// The stack and its guards.
        last: LastHolder,
    },
    /// This guard gave its word that it opens nothing, or holds a lease of its own again.
    Vouching {
        /// The app.
        app: AppId,
        /// The stack it guards.
        stack: StackId,
        /// Did it give its word?
        vouching: bool,
    },
    /// How many changes were made before the log was written anew.
    Counted {
        /// In all.
        changes: u64,
    },
    /// Another's store was heard to have made so many changes.
    Sighted {
        /// Which store.
        acceptor: AcceptorId,
        /// How many.
        changes: u64,
    },
    /// This store must not vote again.
    Quarantined(Quarantined),
    /// A target was reached from here: there is a way to it, as long as it is at this address.
    Reached {
        /// The target.
        target: TargetId,
        /// Where it is: host and port.
        at: (String, u16),
    },
    /// How long ago, by its own clocks, this agent learned of what damps an app; written once a minute.
    Aged {
        /// The app.
        app: AppId,
        /// How long ago.
        ages: SavedAges,
    },
    /// The longest lease of an app that this agent granted, gave its word for, or asked for, where it is longer than usual:
    /// durable before it does.
    Longest {
        /// The app.
        app: AppId,
        /// How long.
        lease: Duration,
    },
    /// This guard acts on its database with this token, and with no lower one ever after: durable before it does.
    Obeys {
        /// The database.
        target: TargetId,
        /// What it is asked with.
        token: Token,
    },
}

/// How long ago an agent learned of what damps an app, as it was last written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SavedAges {
    /// Of every automatic decision that the app remembers.
    pub epochs: BTreeMap<Epoch, Duration>,
    /// Of its freeze, told apart by the write that put it on.
    pub freeze: Option<(OperationId, Duration)>,
}

/// The stack that a voter granted leases to last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LastHolder {
    /// The stack.
    pub stack: StackId,
    /// Every guard of it that was granted one, and the newest revision of the definition that it said it knows.
    pub acknowledged: BTreeMap<AgentId, u64>,
}

impl Entry {
    /// Does it count as a change of what the store gave its word for? What it only knows does not: it is learned again, and
    /// learning it again must not hide that promises are missing. A start does not either: a copy from before that is
    /// started over and over would count itself up to what others have seen.
    pub(crate) fn counts(&self) -> bool {
        matches!(self, Self::Promised { .. } | Self::Accepted { .. } | Self::Holder { .. })
    }
}

/// Whose store this is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Birth {
    /// Of which mesh.
    pub mesh: MeshId,
    /// Of which agent.
    pub agent: AgentId,
    /// The store's id, of a voter.
    pub acceptor: Option<AcceptorId>,
}

/// One register as an acceptor holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SavedRegister {
    /// The highest ballot promised; never below what was accepted (rule R3).
    pub promised: Ballot,
    /// What was accepted last.
    pub accepted: Option<Accepted>,
    /// What is known to be chosen.
    pub chosen: Option<Accepted>,
}

/// Everything that survived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Saved {
    /// Whose store it is; absent only from a store that was never made.
    pub birth: Option<Birth>,
    /// How often the process started.
    pub boot: u64,
    /// The registers.
    pub registers: BTreeMap<RegisterId, SavedRegister>,
    /// To which stacks this voter granted leases last.
    pub holders: BTreeMap<AppId, LastHolder>,
    /// The stacks that another's lease may rest on this guard's word for.
    pub vouching: BTreeSet<(AppId, StackId)>,
    /// The longest lease of each app that had longer ones than usual.
    pub longest: BTreeMap<AppId, Duration>,
    /// The ages of what damps every app.
    pub ages: BTreeMap<AppId, SavedAges>,
    /// How many durable changes this store ever made: a copy from before holds fewer than others have heard of.
    pub changes: u64,
    /// The most changes that were heard of other stores.
    pub sightings: BTreeMap<AcceptorId, u64>,
    /// Why it must not vote again, if it must not.
    pub quarantined: Option<Quarantined>,
    /// Where targets were when they were reached.
    pub reached: BTreeMap<TargetId, (String, u16)>,
    /// The highest token that this guard ever acted with, on each of its databases.
    pub obeyed: BTreeMap<TargetId, Token>,
}

impl Saved {
    /// Takes one entry in, in the order of the log.
    pub fn apply(&mut self, entry: Entry) {
        self.changes += u64::from(entry.counts());
        match entry {
            Entry::Born(birth) => self.birth = Some(birth),
            Entry::Started { boot } => self.boot = boot,
            Entry::Promised { register, ballot } => {
                let register = self.registers.entry(register).or_default();
                register.promised = register.promised.max(ballot);
            }
            Entry::Accepted { register, accepted } => {
                let register = self.registers.entry(register).or_default();
                register.promised = register.promised.max(accepted.ballot);
                register.accepted = Some(accepted);
            }
            Entry::Chosen { register, accepted } => {
                self.registers.entry(register).or_default().chosen = Some(accepted);
            }
            Entry::Holder { app, last } => {
                self.holders.insert(app, last);
            }
            Entry::Vouching { app, stack, vouching: true } => {
                self.vouching.insert((app, stack));
            }
            Entry::Vouching { app, stack, vouching: false } => {
                self.vouching.remove(&(app, stack));
            }
            Entry::Reached { target, at } => {
                remember(&mut self.reached, &target, at);
            }
            Entry::Aged { app, ages } => {
                self.ages.insert(app, ages);
            }
            Entry::Longest { app, lease } => {
                let known = self.longest.entry(app).or_default();
                *known = lease.max(*known);
            }
            Entry::Obeys { target, token } => {
                let known = self.obeyed.entry(target).or_default();
                *known = token.max(*known);
            }
            Entry::Counted { changes } => self.changes = changes,
            Entry::Sighted { acceptor, changes } => {
                let known = self.sightings.entry(acceptor).or_default();
                *known = changes.max(*known);
            }
            Entry::Quarantined(why) => self.quarantined = Some(why),
        }
    }

    /// The shortest log that replays to this.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let born = self.birth.clone().map(Entry::Born);
        let registers = self.registers.iter().flat_map(|(register, saved)| {
            let accepted = saved
                .accepted
                .clone()
                .map(|accepted| Entry::Accepted { register: register.clone(), accepted });
            let chosen = saved
                .chosen
                .clone()
                .map(|accepted| Entry::Chosen { register: register.clone(), accepted });
            let promised = Entry::Promised { register: register.clone(), ballot: saved.promised };
            accepted.into_iter().chain(chosen).chain([promised])
        });
        let holders = self.holders.iter();
        let holders =
            holders.map(|(app, last)| Entry::Holder { app: app.clone(), last: last.clone() });
        let vouching = self.vouching.iter().map(|(app, stack)| Entry::Vouching {
            app: app.clone(),
            stack: stack.clone(),
            vouching: true,
        });
        let reached = self
            .reached
            .iter()
            .map(|(target, at)| Entry::Reached { target: target.clone(), at: at.clone() });
        let aged = self
            .ages
            .iter()
            .map(|(app, ages)| Entry::Aged { app: app.clone(), ages: ages.clone() });
        let longest = self
            .longest
            .iter()
            .map(|(app, lease)| Entry::Longest { app: app.clone(), lease: *lease });
        let obeyed = self
            .obeyed
            .iter()
            .map(|(target, token)| Entry::Obeys { target: target.clone(), token: *token });
        let sightings = self
            .sightings
            .iter()
            .map(|(acceptor, changes)| Entry::Sighted { acceptor: *acceptor, changes: *changes });
        // Last: whatever stands before it was counted when it was first written.
        let last = [Entry::Counted { changes: self.changes }];
        born.into_iter()
            .chain([Entry::Started { boot: self.boot }])
            .chain(registers)
            .chain(aged)
            .chain(sightings)
            .chain(holders)
            .chain(vouching)
            .chain(longest)
            .chain(obeyed)
            .chain(reached)
            .chain(self.quarantined.clone().map(Entry::Quarantined))
            .chain(last)
    }
}

/// A log that is wrong in a way that a crash does not explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where, in bytes from its start.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged at byte {}: {}", self.at, self.what)
    }
}

impl std::error::Error for Damage {}

/// A log read from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// What it holds.
    pub saved: Saved,
    /// The number of the next record.
    pub next: u64,
    /// How many bytes of it are whole records; the rest is a torn tail, to be cut off.
    pub whole: usize,
}

/// One record as it lies on disk.
pub fn record(number: u64, entry: &Entry) -> Vec<u8> {
    let entry = codec::encode(entry);
    let length = u32::try_from(entry.len()).expect("an entry is within its limit");
    let mut bytes = Vec::with_capacity(HEADER + entry.len() + TRAILER);
    bytes.extend(length.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes.extend(&entry);
    bytes.extend(crc32c::crc32c(&entry).to_le_bytes());
    bytes
}

/// Reads a log from its start.
///
/// # Errors
/// If a record that lies wholly in the file has a wrong checksum, number or content.
pub fn replay(log: &[u8]) -> Result<Replayed, Damage> {
    let mut replayed = Replayed { saved: Saved::default(), next: 0, whole: 0 };
    while let Some((entry, length)) = next_record(&log[replayed.whole..], replayed.next)
        .map_err(|what| Damage { at: replayed.whole, what })?
    {
        match (&entry, replayed.next) {
            (Entry::Born(_), 0) => {}
            (Entry::Born(_), _) | (_, 0) => {
                return Err(Damage {
                    at: replayed.whole,
                    what: "a log begins with its birth, once".into(),
                });
            }
            _ => {}
        }
        replayed.saved.apply(entry);
        replayed.next += 1;
        replayed.whole += length;
    }
    Ok(replayed)
}

/// The first record and its length; `None` at the end and at a torn tail.
fn next_record(log: &[u8], number: u64) -> Result<Option<(Entry, usize)>, String> {
    let Some((header, rest)) = log.split_at_checked(HEADER) else { return Ok(None) };
    if crc32c::crc32c(&header[..12]) != word(&header[12..]) {
        return Err("the checksum of a record's header does not match".into());
    }
    let length = word(header) as usize;
    let found = u64::from_le_bytes(header[4..12].try_into().expect("eight bytes"));
    if found != number {
        return Err(format!("expected record {number}, found {found}"));
    }
    if length > RECORD_LIMIT + 1 {
        return Err(format!("expected at most {RECORD_LIMIT} bytes in a record, found {length}"));
    }
    let Some(body) = rest.get(..length + TRAILER) else { return Ok(None) };
    let (entry, checksum) = body.split_at(length);
    if crc32c::crc32c(entry) != word(checksum) {
        return Err("the checksum of a record does not match".into());
    }
    let entry = codec::decode(entry).map_err(|error| error.to_string())?;
    Ok(Some((entry, HEADER + length + TRAILER)))
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Value;

    fn log() -> (Vec<u8>, Saved) {
        let app: AppId = "shop".parse().expect("a name");
        let register = RegisterId::App(app.clone());
        let accepted =
            Accepted { ballot: Ballot { round: 3, instance: 9 }, value: Value::new(vec![1, 2, 3]) };
        let entries = [
            Entry::Born(Birth {
                mesh: MeshId(1),
                agent: "a1".parse().expect("a name"),
                acceptor: Some(AcceptorId(7)),
            }),
            Entry::Started { boot: 1 },
            Entry::Promised {
                register: register.clone(),
                ballot: Ballot { round: 3, instance: 9 },
            },
            Entry::Accepted { register: register.clone(), accepted: accepted.clone() },
            Entry::Chosen { register, accepted },
            Entry::Holder {
                app: "shop".parse().expect("a name"),
                last: LastHolder {
                    stack: "east".parse().expect("a name"),
                    acknowledged: BTreeMap::from([("g1".parse().expect("a name"), 2)]),
                },
            },
            Entry::Vouching {
                app: "shop".parse().expect("a name"),
                stack: "west".parse().expect("a name"),
                vouching: true,
            },
            Entry::Longest { app: "shop".parse().expect("a name"), lease: Duration::from_secs(30) },
            Entry::Obeys {
                target: TargetId {
                    app: "shop".parse().expect("a name"),
                    stack: "west".parse().expect("a name"),
                    name: "orders".parse().expect("a name"),
                },
                token: Token::new(Epoch(2), 1, 3),
            },
            Entry::Aged {
                app,
                ages: SavedAges {
                    epochs: BTreeMap::from([(Epoch(2), Duration::from_secs(60))]),
                    freeze: None,
                },
            },
            Entry::Sighted { acceptor: AcceptorId(8), changes: 77 },
            Entry::Quarantined(Quarantined::Retired { version: 5 }),
        ];
        let mut saved = Saved::default();
        let mut bytes = Vec::new();
        for (number, entry) in entries.into_iter().enumerate() {
            bytes.extend(record(number as u64, &entry));
            saved.apply(entry);
        }
        (bytes, saved)
    }

    #[test]
    fn a_log_replays_to_what_was_saved_and_so_does_its_snapshot() {
        let (bytes, saved) = log();
        let replayed = replay(&bytes).expect("undamaged");
        assert_eq!((&replayed.saved, replayed.whole), (&saved, bytes.len()));
        assert_eq!(saved.changes, 3, "only what the store gave its word for is a change");

        let snapshot: Vec<u8> =
            (0..).zip(saved.entries()).flat_map(|(number, entry)| record(number, &entry)).collect();
        assert_eq!(replay(&snapshot).expect("undamaged").saved, saved);
    }

    #[test]
    fn targets_that_come_and_go_take_up_no_more_than_their_limit() {
        let mut reached = BTreeMap::new();
        let target = |number: usize| TargetId {
            app: "shop".parse().expect("a name"),
            stack: "west".parse().expect("a name"),
            name: format!("web-{number}").parse().expect("a name"),
        };
        for number in 0..REACHED_LIMIT + 10 {
            remember(&mut reached, &target(number), ("192.0.2.1".into(), 80));
            assert!(reached.contains_key(&target(number)));
        }
        assert_eq!(reached.len(), REACHED_LIMIT);
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_it_tears() {
        let (bytes, _) = log();
        for end in 0..bytes.len() {
            let replayed = replay(&bytes[..end]).expect("a torn tail is no damage");
            assert!(replayed.whole <= end);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_damage() {
        let (bytes, _) = log();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(replay(&flipped).is_err(), "byte {at}");
        }
    }
}
