//! What stands behind the question of an answer, in wire format and ready to be copied.
//!
//! The owner of the first record is a pointer to the question, so the question's case comes back (0x20) and one body
//! serves a wildcard's every name. Pointers into the rest of the message hold for the name the body was made for; for a
//! longer or shorter one they are moved by the difference. Knows nothing of zones and transports.

use std::collections::HashMap;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::BinEncodable;

use super::answer::{Answer, Share};
use super::query::HEADER;

/// A pointer's two high bits (RFC 1035 section 4.1.4).
const POINTER: u16 = 0xc000;
/// What a pointer can reach.
const REACH: usize = 0x4000;
/// The golden ratio of all there are, odd: steps of it fill any interval evenly, and so does every second of them. Plain
/// counting would give those who ask for A and AAAA in pairs every second turn only, at each name the same.
const STEP: u32 = 0x9e37_79b9;
/// Type and class.
const QUESTION_TAIL: usize = 4;

/// Answer, authority and additional section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    bytes: Box<[u8]>,
    /// Where pointers stand that move with the length of the question's name, rising.
    pointers: Box<[u16]>,
    /// The length of the name that the pointers hold for.
    asked: u8,
    /// How much is left without the additional section.
    core: u16,
    pub(super) missing: bool,
    counts: [u16; 3],
    /// What is said in its place, where it has weights.
    turns: Option<Box<Turns>>,
}

/// One body for each record of a set, and whose turn it is, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    pub(super) order: Arc<[u16]>,
    pub(super) bodies: Box<[Body]>,
}

impl Turns {
    fn at(&self, turn: u32) -> Option<u16> {
        let part = u64::from(turn.wrapping_mul(STEP)) * self.order.len() as u64;
        self.order.get((part >> u32::BITS) as usize).copied()
    }
}

/// How much of a body is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// All but the additional section, which is a courtesy (RFC 2181 section 9).
    Core,
}

impl Body {
    /// The body of this answer to a question for `asked`; `None` if it fits no message.
    ///
    /// `Anchor` says what the question of a later query has in common with `asked`.
    pub(super) fn new(answer: &Answer, asked: &Name, anchor: Anchor) -> Option<Self> {
        let mut writer = Writer::new(asked, anchor)?;
        answer.answers.iter().chain(&answer.authorities).try_for_each(|r| writer.record(r))?;
        let core = writer.bytes.len();
        answer.additionals.iter().try_for_each(|record| writer.record(record))?;
        let count = |records: &[Record]| u16::try_from(records.len()).ok();
        Some(Self {
            core: u16::try_from(core).ok()?,
            asked: u8::try_from(writer.base - HEADER - QUESTION_TAIL).ok()?,
            missing: answer.code == ResponseCode::NXDomain,
            counts: [
                count(&answer.answers)?,
                count(&answer.authorities)?,
                count(&answer.additionals)?,
            ],
            bytes: writer.bytes.into(),
            pointers: writer.pointers.into(),
            turns: None,
        })
    }

    /// The same, with these said in its place.
    pub(super) fn in_turns(self, turns: Turns) -> Self {
        Self { turns: Some(Box::new(turns)), ..self }
    }

    /// Which share is said at a turn.
    pub(super) fn share(&self, turn: u32) -> Share {
        let at = self.turns.as_ref().and_then(|turns| turns.at(turn));
        at.map_or(Share::All, Share::One)
    }

    /// What is said at a turn.
    pub(super) fn at_turn(&self, turn: u32) -> &Body {
        match (self.share(turn), &self.turns) {
            (Share::One(at), Some(turns)) => turns.bodies.get(usize::from(at)).unwrap_or(self),
            (Share::One(_), None) | (Share::All, _) => self,
        }
    }

    /// How many bytes are written.
    pub(super) fn len(&self, part: Part) -> usize {
        match part {
            Part::Whole => self.bytes.len(),
            Part::Core => usize::from(self.core),
        }
    }

    /// How many records there are in each section.
    pub(super) fn counts(&self, part: Part) -> [u16; 3] {
        let [answers, authorities, additionals] = self.counts;
        match part {
            Part::Whole => [answers, authorities, additionals],
            Part::Core => [answers, authorities, 0],
        }
    }

    /// Appends it behind a question for a name of this length.
    pub(super) fn write(&self, part: Part, asked: usize, out: &mut Vec<u8>) {
        let (start, length) = (out.len(), self.len(part));
        out.extend_from_slice(&self.bytes[..length]);
        let moved = (asked as u16).wrapping_sub(u16::from(self.asked));
        if moved == 0 {
            return;
        }
        for at in self.pointers.iter().map(|at| usize::from(*at)).take_while(|at| *at < length) {
            let pointer = &mut out[start + at..start + at + 2];
            let old = u16::from_be_bytes([pointer[0], pointer[1]]);
            pointer.copy_from_slice(&old.wrapping_add(moved).to_be_bytes());
        }
    }
}

/// What the name of a later question has in common with the one that a body is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// It is the same.
    Same,
    /// It ends in the same labels, all but the first: that is a wildcard's.
    Wildcard,
    /// It ends in this name.
    Suffix,
}

/// Writes records and compresses their names.
pub(super) struct Writer {
    bytes: Vec<u8>,
    pointers: Vec<u16>,
    /// Where in the message `bytes` begins.
    base: usize,
    /// The question's own name, for owners.
    asked: Vec<u8>,
    anchor: Anchor,
    /// Where a name, by its lower-case wire format, stands in the message.
    places: HashMap<Vec<u8>, usize>,
}

impl Writer {
    /// Writes what stands behind a question for `asked`.
    pub(super) fn new(asked: &Name, anchor: Anchor) -> Option<Self> {
        let asked = wire(asked)?;
        let mut places = HashMap::new();
        for (at, suffix) in suffixes(&asked) {
            if at > 0 || anchor != Anchor::Wildcard {
                places.insert(suffix.to_vec(), HEADER + at);
            }
        }
        let base = HEADER + asked.len() + QUESTION_TAIL;
        Some(Self { bytes: Vec::new(), pointers: Vec::new(), base, asked, anchor, places })
    }

    /// How much is written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What is written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// One more record.
    pub(super) fn record(&mut self, record: &Record) -> Option<()> {
        let owner = wire(&record.name)?;
        match self.anchor {
            Anchor::Same | Anchor::Wildcard if owner.eq_ignore_ascii_case(&self.asked) => {
                self.bytes.extend((POINTER | HEADER as u16).to_be_bytes());
            }
            _ => self.name(&owner)?,
        }
        self.bytes.extend(u16::from(record.record_type()).to_be_bytes());
        self.bytes.extend(u16::from(record.dns_class).to_be_bytes());
        self.bytes.extend(record.ttl.to_be_bytes());
        let at = self.bytes.len();
        self.bytes.extend([0; 2]);
        // Only these may hold compressed names (RFC 3597 section 4).
        match &record.data {
            RData::NS(server) => self.name(&wire(&server.0)?)?,
            RData::CNAME(target) => self.name(&wire(&target.0)?)?,
            RData::SOA(start) => {
                self.name(&wire(&start.mname)?)?;
                self.name(&wire(&start.rname)?)?;
                for number in [
                    start.serial,
                    start.refresh.cast_unsigned(),
                    start.retry.cast_unsigned(),
                    start.expire.cast_unsigned(),
                    start.minimum,
                ] {
                    self.bytes.extend(number.to_be_bytes());
                }
            }
            other => self.bytes.extend(other.to_bytes().ok()?),
        }
        let length = u16::try_from(self.bytes.len() - at - 2).ok()?;
        self.bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
        Some(())
    }

    /// A name, as far as it does not stand in the message already.
    fn name(&mut self, name: &[u8]) -> Option<()> {
        let mut written = 0;
        for (at, suffix) in suffixes(name) {
            let folded = suffix.to_ascii_lowercase();
            if let Some(place) = self.places.get(&folded) {
                self.bytes.extend(&name[written..at]);
                self.pointers.push(u16::try_from(self.bytes.len()).ok()?);
                self.bytes.extend((POINTER | *place as u16).to_be_bytes());
                return Some(());
            }
            let place = self.base + self.bytes.len() + at - written;
            // A question of another length must not move it out of reach.
            if place + usize::from(u8::MAX) < REACH {
                self.places.insert(folded, place);
            }
            let end = at + 1 + usize::from(name[at]);
            self.bytes.extend(&name[written..end]);
            written = end;
        }
        self.bytes.extend(&name[written..]);
        Some(())
    }
}

/// A name in wire format, as it is spelt.
pub(super) fn wire(name: &Name) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 1);
    for label in name.iter() {
        bytes.push(u8::try_from(label.len()).ok()?);
        bytes.extend(label);
    }
    bytes.push(0);
    Some(bytes)
}

/// Every label's place in a name and the name from there on; not the root's.
fn suffixes(name: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let label = usize::from(*name.get(start)?);
        at = start + 1 + label;
        (label > 0).then(|| (start, &name[start..]))
    })
}
