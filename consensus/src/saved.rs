//! What must survive a restart, entry by entry; how it lies on disk is the log's business.

mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::log::{Damage, RECORD_LIMIT, Replayed, record, replay};
use crate::message::Accepted;
use crate::model::{
    AcceptorId, AgentId, AppId, Ballot, Epoch, MeshId, OperationId, Quarantined, RegisterId,
    StackId, TargetId, Token,
};

/// A log beyond this size is rewritten as a snapshot.
pub const COMPACT_BEYOND: usize = 4 * 1024 * 1024;

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
    /// This guard begins to make a database of its host a replica again, durable before it does; or has seen it follow since.
    Rejoins {
        /// The database.
        target: TargetId,
        /// Is it still to be seen to follow?
        begun: bool,
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
    /// The databases that this guard began to make replicas again, and has not seen follow since: each may be stopped.
    pub rejoining: BTreeSet<TargetId>,
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
            Entry::Rejoins { target, begun: true } => {
                self.rejoining.insert(target);
            }
            Entry::Rejoins { target, begun: false } => {
                self.rejoining.remove(&target);
            }
            Entry::Counted { changes } => self.changes = changes,
            Entry::Sighted { acceptor, changes } => {
                let known = self.sightings.entry(acceptor).or_default();
                *known = changes.max(*known);
            }
            Entry::Quarantined(why) => self.quarantined = Some(why),
        }
    }

    /// What a store that is begun in the place of this one takes over: what is known to be chosen, and of other stores, and which
    /// databases may be stopped, without anything that it promised.
    pub fn heritage(&self) -> Self {
        let registers = self.registers.iter().filter(|(_, register)| register.chosen.is_some());
        let registers = registers.map(|(id, register)| {
            let chosen = register.chosen.clone();
            (id.clone(), SavedRegister { chosen, ..SavedRegister::default() })
        });
        let (registers, sightings) = (registers.collect(), self.sightings.clone());
        let rejoining = self.rejoining.clone();
        Self { boot: self.boot, registers, sightings, rejoining, ..Self::default() }
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
        let rejoining = self.rejoining.iter();
        let rejoining =
            rejoining.map(|target| Entry::Rejoins { target: target.clone(), begun: true });
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
            .chain(rejoining)
            .chain(reached)
            .chain(self.quarantined.clone().map(Entry::Quarantined))
            .chain(last)
    }
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
            Entry::Rejoins {
                target: TargetId {
                    app: "shop".parse().expect("a name"),
                    stack: "west".parse().expect("a name"),
                    name: "orders".parse().expect("a name"),
                },
                begun: true,
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
