//! Every answer of every zone, worked out beforehand: a query only finds its own.
//!
//! Built anew whenever the agreed state changes and never changed afterwards; whoever holds one is not disturbed. A name
//! costs one entry, a type there one [`Body`]; what is not there is said by the zone's one negative body. Knows nothing
//! of packets, sizes or how fresh the zones are.

use std::sync::Arc;

use hickory_proto::rr::{Name, RecordType};
use rustc_hash::FxHashMap;

use super::answer::{answer, kinds};
use super::body::{Anchor, Body, wire};
use super::query::{self, kind};
use super::zones::Zones;

/// A type that no name holds: its answer is that of all the others that a name does not hold.
const NO_TYPE: RecordType = RecordType::Unknown(0xff00);

/// All zones, ready to be served.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Every name that exists, in wire format and lower case.
    names: FxHashMap<Box<[u8]>, Node>,
    zones: Vec<Body>,
    /// The most labels of a name that exists.
    depth: usize,
    /// What could not be served as it was defined, for the log.
    pub(super) notes: Vec<String>,
}

/// One name.
#[derive(Debug)]
struct Node {
    zone: u32,
    sets: Arc<Sets>,
    /// What names below it hold that do not exist (RFC 4592).
    wildcard: Option<Arc<Sets>>,
}

/// What a name holds.
#[derive(Debug, Default)]
struct Sets {
    by_kind: Box<[(u16, Body)]>,
    /// An alias's answer to every other type.
    other: Option<Body>,
}

/// What a table knows about a question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// The body of the answer, and whether the name exists.
    Body(&'a Body, Existence),
    /// The name lies in none of the zones.
    Outside,
}

/// Does the name that was asked for exist?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existence {
    /// Itself, or through a wildcard.
    Exists,
    /// It does not.
    Missing,
}

impl Table {
    /// The answers from these zones.
    pub(super) fn new(zones: &Zones) -> Self {
        let mut table = Self { notes: zones.notes.clone(), ..Self::default() };
        let empty = Arc::new(Sets::default());
        for (number, zone) in (0..).zip(zones.iter()) {
            let apex = &zone.soa.name;
            let Some(negative) = Body::new(&answer(zones, apex, NO_TYPE), apex, Anchor::Suffix)
            else {
                continue;
            };
            table.zones.push(negative);
            for (name, sets) in zone.names() {
                let sets = match sets.is_empty() {
                    true => empty.clone(),
                    false => Arc::new(table.sets(zones, name)),
                };
                let Some(key) = wire(name) else { continue };
                table.depth = table.depth.max(name.iter().len());
                let node = Node { zone: number, sets, wildcard: None };
                table.names.insert(key.into(), node);
            }
        }
        table.spread_wildcards();
        table
    }

    fn sets(&mut self, zones: &Zones, name: &Name) -> Sets {
        let anchor = if name.is_wildcard() { Anchor::Wildcard } else { Anchor::Same };
        let mut sets = Sets::default();
        let mut by_kind = Vec::new();
        let kinds = kinds(zones, name);
        for kind in kinds.iter().copied().chain([RecordType::ANY]) {
            match Body::new(&answer(zones, name, kind), name, anchor) {
                Some(body) => by_kind.push((u16::from(kind), body)),
                None => self.notes.push(format!("{kind} `{name}` fits no DNS message")),
            }
        }
        if kinds.contains(&RecordType::CNAME) {
            sets.other = Body::new(&answer(zones, name, NO_TYPE), name, anchor);
        }
        sets.by_kind = by_kind.into();
        sets
    }

    fn spread_wildcards(&mut self) {
        let wildcards = self.names.iter().filter_map(|(name, node)| {
            Some((Box::from(name.strip_prefix(b"\x01*")?), node.sets.clone()))
        });
        let wildcards: Vec<(Box<[u8]>, Arc<Sets>)> = wildcards.collect();
        for (above, sets) in wildcards {
            if let Some(node) = self.names.get_mut(&above) {
                node.wildcard = Some(sets);
            }
        }
    }

    /// What is known about this name and type.
    pub(super) fn find(&self, name: &query::Name, kind: u16) -> Found<'_> {
        let missing = name.labels().saturating_sub(self.depth);
        for cut in missing..=name.labels() {
            let Some(node) = self.names.get(name.without(cut)) else { continue };
            let Some(negative) = self.zones.get(node.zone as usize) else { break };
            let sets = match (cut, &node.wildcard) {
                (0, _) => &node.sets,
                (_, Some(wildcard)) => wildcard,
                (_, None) => return Found::Body(negative, Existence::Missing),
            };
            let body = sets.get(kind).unwrap_or(negative);
            return Found::Body(body, Existence::Exists);
        }
        Found::Outside
    }
}

impl Sets {
    fn get(&self, kind: u16) -> Option<&Body> {
        let own = self.by_kind.iter().find(|(own, _)| *own == kind).map(|(_, body)| body);
        match kind {
            kind::ANY => own,
            _ => own.or(self.other.as_ref()),
        }
    }
}
