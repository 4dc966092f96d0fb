//! Reads one packet by hand: header, one question, and what stands after it.
//!
//! Nothing is allocated and nothing beyond the packet is read, whatever it claims. What is an ordinary query is told
//! apart from what is none here, so that everything behind works on questions that are well-formed. Knows nothing of
//! zones.

/// What every message begins with (RFC 1035 section 4.1.1).
pub(super) const HEADER: usize = 12;
/// The longest name, the root's zero included (RFC 1035 section 2.3.4).
const NAME_LIMIT: usize = 255;
/// Records after the question that are looked through: OPT, TSIG and one to spare.
const ADDITIONAL_LIMIT: u16 = 3;

/// Types with a meaning to a server.
pub(super) mod kind {
    pub(in crate::authority) const CNAME: u16 = 5;
    pub(in crate::authority) const OPT: u16 = 41;
    pub(in crate::authority) const TSIG: u16 = 250;
    pub(in crate::authority) const IXFR: u16 = 251;
    pub(in crate::authority) const AXFR: u16 = 252;
    pub(in crate::authority) const ANY: u16 = 255;
}

/// A header's bits.
pub(super) mod flag {
    pub(in crate::authority) const RESPONSE: u16 = 0x8000;
    pub(in crate::authority) const OPCODE: u16 = 0x7800;
    pub(in crate::authority) const AUTHORITATIVE: u16 = 0x0400;
    pub(in crate::authority) const TRUNCATED: u16 = 0x0200;
    pub(in crate::authority) const RECURSION_DESIRED: u16 = 0x0100;
    pub(in crate::authority) const CHECKING_DISABLED: u16 = 0x0010;
}

/// What a packet is.
#[derive(Debug)]
pub(super) enum Packet<'a> {
    /// Never to be answered: too short for a header, or itself an answer (two servers would talk for ever).
    Noise,
    /// Has a header, and then not what it says; an OPT record all the same, perhaps.
    Broken(Header, Option<Opt>),
    /// Asks for nothing but a cookie (RFC 7873 section 5.4).
    Greeting(Header, Edns<'a>),
    /// Another kind of request than a query.
    Foreign(Header),
    /// A query, but one that takes more than a look: a zone transfer, or signed.
    Special(Query<'a>),
    /// A query for one name.
    Plain(Query<'a>),
}

/// What an answer takes over from its query's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) flags: u16,
}

/// One question, as it was asked.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) header: Header,
    /// Name, type and class, byte for byte.
    pub(super) question: &'a [u8],
    pub(super) name: Name,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) edns: Option<Edns<'a>>,
    /// The record that signs it, which is the end of the packet.
    pub(super) signature: Option<&'a [u8]>,
}

/// That there was an OPT record: the answer has one, too, whatever it says (RFC 6891 section 6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opt;

/// What an OPT record says (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edns<'a> {
    /// The largest datagram the asker takes.
    pub(super) size: u16,
    pub(super) version: u8,
    /// Are signatures wanted?
    pub(super) dnssec: bool,
    pub(super) cookie: Option<Cookie<'a>>,
}

/// A cookie as sent (RFC 7873).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cookie<'a> {
    pub(super) client: [u8; 8],
    /// Ours, as it was given before; empty at the first contact.
    pub(super) server: &'a [u8],
}

/// A name in wire format and lower case.
#[derive(Clone, Debug)]
pub(super) struct Name {
    bytes: [u8; NAME_LIMIT],
    length: u8,
    labels: u8,
}

impl Name {
    /// The whole name.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Without the root's.
    pub(super) fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// Itself, what is left without its first label, and so on to the root.
    pub(super) fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(self.bytes());
        std::iter::from_fn(move || {
            let suffix = rest?;
            let label = usize::from(*suffix.first()?);
            rest = suffix.get(1 + label..).filter(|_| label > 0);
            Some(suffix)
        })
    }

    /// A name from the beginning of `bytes`; compression has no place in a question.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut name = Self { bytes: [0; NAME_LIMIT], length: 0, labels: 0 };
        let mut at = 0;
        loop {
            let length = usize::from(*bytes.get(at)?);
            let end = at + 1 + length;
            if length > 63 || end > NAME_LIMIT {
                return None;
            }
            if length == 0 {
                name.length = u8::try_from(end).ok()?;
                return Some(name);
            }
            name.labels += 1;
            let label = bytes.get(at..end)?;
            name.bytes[at..end].copy_from_slice(label);
            // A length is below 64 and so no letter: all of it may be folded at once.
            name.bytes[at..end].make_ascii_lowercase();
            at = end;
        }
    }
}

/// What this packet is.
pub(super) fn read(packet: &[u8]) -> Packet<'_> {
    let Some(header) = packet.first_chunk::<HEADER>() else { return Packet::Noise };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (asked, counts) =
        (Header { id: word(0), flags: word(2) }, [word(4), word(6), word(8), word(10)]);
    if asked.flags & flag::RESPONSE != 0 {
        return Packet::Noise;
    }
    if asked.flags & flag::OPCODE != 0 {
        return Packet::Foreign(asked);
    }
    let mut opt = None;
    let read = match counts[0] {
        0 => greeting(packet, asked, counts, &mut opt),
        _ => query(packet, asked, counts, &mut opt),
    };
    read.unwrap_or(Packet::Broken(asked, opt))
}

fn greeting<'a>(
    packet: &'a [u8],
    header: Header,
    counts: [u16; 4],
    opt: &mut Option<Opt>,
) -> Option<Packet<'a>> {
    if counts != [0, 0, 0, 1] {
        return None;
    }
    let (extra, rest) = Extra::read(&packet[HEADER..])?;
    if extra.kind != kind::OPT {
        return None;
    }
    *opt = Some(Opt);
    let edns = extra.edns()?;
    (edns.cookie.is_some() && rest.is_empty()).then_some(Packet::Greeting(header, edns))
}

fn query<'a>(
    packet: &'a [u8],
    header: Header,
    counts: [u16; 4],
    opt: &mut Option<Opt>,
) -> Option<Packet<'a>> {
    let [questions, answers, authorities, additionals] = counts;
    if questions != 1 || answers != 0 || authorities > 1 || additionals > ADDITIONAL_LIMIT {
        return None;
    }
    let name = Name::read(&packet[HEADER..])?;
    let question = packet.get(HEADER..HEADER + name.bytes().len() + 4)?;
    let [.., k1, k2, c1, c2] = *question else { return None };
    let (kind, class) = (u16::from_be_bytes([k1, k2]), u16::from_be_bytes([c1, c2]));
    let mut query = Query { header, question, name, kind, class, edns: None, signature: None };
    // IXFR says there which version it has (RFC 1995 section 3).
    if authorities != 0 && kind != kind::IXFR {
        return None;
    }

    let mut rest = &packet[HEADER + question.len()..];
    for _ in 0..authorities {
        rest = Extra::read(rest)?.1;
    }
    for _ in 0..additionals {
        let record = rest;
        let (extra, after) = Extra::read(rest)?;
        rest = after;
        match extra.kind {
            // Nothing may follow it (RFC 8945 section 5.1).
            _ if query.signature.is_some() => return None,
            kind::OPT => {
                *opt = Some(Opt);
                if query.edns.is_some() {
                    return None;
                }
                query.edns = Some(extra.edns()?);
            }
            kind::TSIG => query.signature = Some(record),
            _ => {}
        }
    }
    if !rest.is_empty() {
        return None;
    }
    let special = matches!(kind, kind::AXFR | kind::IXFR) || query.signature.is_some();
    Some(if special { Packet::Special(query) } else { Packet::Plain(query) })
}

/// A record after the question.
struct Extra<'a> {
    root: bool,
    kind: u16,
    class: u16,
    ttl: u32,
    data: &'a [u8],
}

impl<'a> Extra<'a> {
    /// One record, and what follows it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut at = 0;
        loop {
            match *bytes.get(at)? {
                0 => break at += 1,
                label @ 1..64 => at += 1 + usize::from(label),
                0xc0.. => break at += 2,
                _ => return None,
            }
        }
        let (fixed, rest) = bytes.get(at..)?.split_first_chunk::<10>()?;
        let [k1, k2, c1, c2, t1, t2, t3, t4, l1, l2] = *fixed;
        let (data, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([l1, l2])))?;
        let extra = Self {
            root: at == 1,
            kind: u16::from_be_bytes([k1, k2]),
            class: u16::from_be_bytes([c1, c2]),
            ttl: u32::from_be_bytes([t1, t2, t3, t4]),
            data,
        };
        Some((extra, after))
    }

    /// What an OPT record says, which has the root's name.
    fn edns(&self) -> Option<Edns<'a>> {
        if !self.root {
            return None;
        }
        let [_, version, flags, _] = self.ttl.to_be_bytes();
        let mut edns = Edns { size: self.class, version, dnssec: flags & 0x80 != 0, cookie: None };
        let mut options = self.data;
        while !options.is_empty() {
            let ([c1, c2, l1, l2], rest) = options.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([*l1, *l2]));
            let (value, after) = rest.split_at_checked(length)?;
            options = after;
            if u16::from_be_bytes([*c1, *c2]) == Cookie::OPTION && edns.cookie.is_none() {
                edns.cookie = Some(Cookie::read(value)?);
            }
        }
        Some(edns)
    }
}

impl<'a> Cookie<'a> {
    /// The option's number.
    pub(super) const OPTION: u16 = 10;

    fn read(value: &'a [u8]) -> Option<Self> {
        match value.split_first_chunk::<8>()? {
            (client, server) if matches!(server.len(), 0 | 8..=32) => {
                Some(Self { client: *client, server })
            }
            _ => None,
        }
    }
}
