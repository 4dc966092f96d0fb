//! Every answer of every zone, worked out beforehand: a query only finds its own.
//!
//! Never changed; whoever holds one is not disturbed. When the agreed state changes the next one takes over what stays: a
//! name that holds nothing but data of its own is worked out anew only when that changes, so that a decision about one app
//! costs what that app holds. A name costs one entry, a type there one [`Body`]; what is not there is said by the zone's one
//! negative body. Knows nothing of packets, sizes or how fresh the zones are.

use std::sync::Arc;

use hickory_proto::rr::{LowerName, RecordType};
use rustc_hash::FxHashMap;

use super::answer::{Share, answer, kinds};
use super::body::{Anchor, Body, Turns, wire};
use super::query::{self, kind};
use super::signing::Signing;
use super::zones::{self, Zone, Zones};

/// A type that no name holds: its answer is that of all the others that a name does not hold.
const NO_TYPE: RecordType = RecordType::Unknown(0xff00);

/// All zones, ready to be served.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Every name that exists, in wire format and lower case.
    names: FxHashMap<Arc<[u8]>, Node>,
    zones: Vec<ServedZone>,
    /// Names whose answers also say what others hold: aliases, delegations, services, a zone's own.
    entwined: Arc<Vec<LowerName>>,
    /// What every name that is no alias answers to ANY: its owner is the question's, whatever that is.
    any: Option<Body>,
    /// Makes the answers that are signed; none where no zone is.
    pub(super) signing: Option<Signing>,
    /// What it was made of.
    pub(super) meaning: Arc<Zones>,
    /// The most labels of a name that exists.
    depth: usize,
    /// What could not be served as it was defined, for the log.
    pub(super) notes: Vec<String>,
}

#[derive(Debug)]
struct ServedZone {
    negative: Body,
    signed: bool,
}

/// One name.
#[derive(Clone, Debug)]
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
    /// The same, to whom wants no signatures; who does gets what [`Signing`] says.
    Signed(&'a Body, Existence),
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
    pub(super) fn new(zones: &Arc<Zones>) -> Self {
        let mut table = Self { notes: zones.notes.clone(), ..Self::default() };
        table.signing = zones.any_signed().then(|| Signing(zones.clone()));
        table.meaning = zones.clone();
        let empty = Arc::new(Sets::default());
        let mut entwined = Vec::new();
        for zone in zones.iter() {
            let Some(served) = served(zones, zone) else { continue };
            let number = table.zones.len() as u32;
            table.zones.push(served);
            for (name, sets) in zone.names() {
                if is_entwined(sets) {
                    entwined.push(name.clone());
                }
                let sets = match sets.is_empty() {
                    true => empty.clone(),
                    false => Arc::new(table.sets(zones, name)),
                };
                if table.any.is_none() && sets.other.is_none() && !sets.by_kind.is_empty() {
                    let any = answer(zones, name, RecordType::ANY, Share::All);
                    table.any = Body::new(&any, name, Anchor::Same);
                }
                let Some(key) = wire(name) else { continue };
                table.depth = table.depth.max(name.iter().len());
                let node = Node { zone: number, sets, wildcard: None };
                table.names.insert(key.into(), node);
            }
        }
        table.entwined = Arc::new(entwined);
        table.spread_wildcards();
        table
    }

    /// The answers from these zones, which differ from those that this table was made of by what these names hold and by
    /// their version; `None` if something in them cannot be served.
    pub(super) fn revised(&self, zones: &Arc<Zones>, touched: &[LowerName]) -> Option<Self> {
        if !self.notes.is_empty() {
            return None;
        }
        let mut table = Self {
            names: self.names.clone(),
            zones: zones.iter().map(|zone| served(zones, zone)).collect::<Option<_>>()?,
            entwined: self.entwined.clone(),
            any: self.any.clone(),
            signing: zones.any_signed().then(|| Signing(zones.clone())),
            meaning: zones.clone(),
            depth: self.depth,
            notes: Vec::new(),
        };
        for name in touched.iter().chain(&*self.entwined) {
            let sets = Arc::new(table.sets(zones, name));
            table.names.get_mut(wire(name)?.as_slice())?.sets = sets;
        }
        table.spread_wildcards();
        table.notes.is_empty().then_some(table)
    }

    fn sets(&mut self, zones: &Zones, name: &LowerName) -> Sets {
        let anchor = if name.is_wildcard() { Anchor::Wildcard } else { Anchor::Same };
        let mut sets = Sets::default();
        let mut by_kind = Vec::new();
        let kinds = kinds(zones, name);
        for kind in kinds.iter().copied() {
            match body(zones, name, kind, anchor) {
                Some(body) => by_kind.push((u16::from(kind), body)),
                None => self.notes.push(format!("{kind} `{name}` fits no DNS message")),
            }
        }
        if kinds.contains(&RecordType::CNAME) {
            sets.other = Body::new(&answer(zones, name, NO_TYPE, Share::All), name, anchor);
        }
        sets.by_kind = by_kind.into();
        sets
    }

    fn spread_wildcards(&mut self) {
        let wildcards = self.names.iter().filter_map(|(name, node)| {
            Some((Arc::from(name.strip_prefix(b"\x01*")?), node.sets.clone()))
        });
        let wildcards: Vec<(Arc<[u8]>, Arc<Sets>)> = wildcards.collect();
        for (above, sets) in wildcards {
            if let Some(node) = self.names.get_mut(&above) {
                node.wildcard = Some(sets);
            }
        }
    }

    /// What is known about this name and type.
    pub(super) fn find(&self, name: &query::Name, kind: u16) -> Found<'_> {
        let missing = name.labels().saturating_sub(self.depth);
        for (cut, suffix) in name.suffixes().enumerate().skip(missing) {
            let Some(node) = self.names.get(suffix) else { continue };
            let Some(zone) = self.zones.get(node.zone as usize) else { break };
            let (body, existence) = match (cut, &node.wildcard) {
                (0, _) => (node.sets.get(kind, &self.any), Existence::Exists),
                (_, Some(wildcard)) => (wildcard.get(kind, &self.any), Existence::Exists),
                (_, None) => (None, Existence::Missing),
            };
            let body = body.unwrap_or(&zone.negative);
            return match zone.signed {
                true => Found::Signed(body, existence),
                false => Found::Body(body, existence),
            };
        }
        Found::Outside
    }
}

/// What a name says to a type, in turns where the name has weights, or the one that its aliases lead to.
fn body(zones: &Zones, name: &LowerName, kind: RecordType, anchor: Anchor) -> Option<Body> {
    let whole = answer(zones, name, kind, Share::All);
    let body = Body::new(&whole, name, anchor)?;
    let Some(order) = whole.order else { return Some(body) };
    // Each record has a turn; how many it has is the order's business, so that these are few.
    let last = order.iter().copied().max().unwrap_or_default();
    let one = |at| Body::new(&answer(zones, name, kind, Share::One(at)), name, anchor);
    let bodies = (0..=last).map(one).collect::<Option<_>>()?;
    Some(body.in_turns(Turns { order, bodies }))
}

fn served(zones: &Zones, zone: &Zone) -> Option<ServedZone> {
    let apex = &zone.soa.name;
    let negative = Body::new(&answer(zones, apex, NO_TYPE, Share::All), apex, Anchor::Suffix)?;
    Some(ServedZone { negative, signed: zones.is_signed(zone) })
}

/// Do the answers for a name say more than what it holds itself ([`answer`])?
fn is_entwined(sets: &zones::Sets) -> bool {
    use RecordType::{CNAME, NS, SOA, SRV};
    sets.keys().any(|kind| matches!(*kind, CNAME | NS | SOA | SRV))
}

impl Sets {
    fn get<'a>(&'a self, kind: u16, any: &'a Option<Body>) -> Option<&'a Body> {
        let own = |kind| self.by_kind.iter().find(|(own, _)| *own == kind).map(|(_, body)| body);
        match (kind, &self.other) {
            (kind::ANY, Some(_)) => own(kind::CNAME),
            (kind::ANY, None) if self.by_kind.is_empty() => None,
            (kind::ANY, None) => any.as_ref(),
            (kind, other) => own(kind).or(other.as_ref()),
        }
    }
}
