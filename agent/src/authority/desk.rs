//! Turns the bytes of one query into the bytes of its answer.
//!
//! Nothing is allocated for a query: its answer is found in the [`Table`] and copied behind its question. The exceptions are
//! counted by `tests/allocations.rs`: what is signed for the first time, and what is for secondaries. An answer never
//! exceeds what its asker can take; one that would is sent empty, marked as truncated (RFC 2181 section 9). Knows nothing
//! of sockets.

use std::net::IpAddr;
use std::sync::Arc;

use consensus::moment::Moment;
use hickory_proto::rr::{LowerName, Name};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::body::{Body, Part};
use super::cookie::Baker;
use super::counters::{Code, Tally, Transport};
use super::limit::Limits;
use super::owners::vouched;
use super::query::{Cookie, Edns, HEADER, Header, Packet, Query, flag, kind, read};
use super::signing::{Signed, Signing};
use super::table::{Existence, Found, Table};
use crate::run::Seen;

/// The most a datagram carries: fits every path without fragments (DNS flag day 2020).
pub(super) const DATAGRAM: u16 = 1232;
/// What an asker without EDNS can take (RFC 1035 section 4.2.1).
const CLASSIC: u16 = 512;
/// The Internet's class.
const IN: u16 = 1;
/// An OPT record without options, and a cookie of both halves within it.
const OPT_LENGTH: usize = 11;
const COOKIE_LENGTH: usize = 4 + 8 + 16;
/// Of the answers above the limit each second one goes out empty, so that an honest asker comes back over TCP.
const SLIP: u32 = 2;
/// Told apart from bodies by their address when answers are counted for the limit.
const REFUSALS: usize = 0;
const ERRORS: usize = 1;

/// One thread's place to answer from; looks up once a batch what is the same for all of it.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) table: Arc<Table>,
    /// Has nobody confirmed the agreed state for too long?
    pub(super) stale: bool,
    /// While it is: the stacks that this agent itself sees up.
    pub(super) seen: Arc<Seen>,
    pub(super) now: Moment,
    /// The wall clock's seconds.
    pub(super) wall: u32,
    signed: Signed,
    pub(super) baker: Baker,
    pub(super) limits: Option<Arc<Limits>>,
    pub(super) tally: Arc<Tally>,
    pub(super) transport: Transport,
    slipped: u32,
    /// Counts answers, for those that are given in turns.
    pub(super) turn: u32,
}

/// What became of a packet.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    /// The answer stands in the buffer.
    Answered,
    /// It deserves none.
    Dropped,
    /// It is for somebody who may take longer.
    Special(Box<Query<'a>>),
}

/// What is said.
enum Say<'a> {
    Code(Code),
    Body(&'a Body, Code),
    Signed(Arc<Body>),
}

impl Say<'_> {
    fn body(&self) -> Option<&Body> {
        match self {
            Self::Code(_) => None,
            Self::Body(body, _) => Some(body),
            Self::Signed(body) => Some(body),
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Code(code) | Self::Body(_, code) => *code,
            Self::Signed(_) => Code::NoError,
        }
    }
}

impl Desk {
    pub(super) fn new(
        table: Arc<Table>,
        baker: Baker,
        limits: Option<Arc<Limits>>,
        (tally, transport): (Arc<Tally>, Transport),
    ) -> Self {
        Self {
            table,
            stale: false,
            seen: Arc::default(),
            now: Moment::ZERO,
            wall: 0,
            signed: Signed::default(),
            baker,
            limits,
            tally,
            transport,
            slipped: 0,
            // Threads begin at different places.
            turn: rand::random(),
        }
    }

    /// Answers from this table from now on.
    pub(super) fn take(&mut self, table: Arc<Table>) {
        self.table = table;
        self.signed.clear();
    }

    /// Appends the answer to `out`, if there is one.
    pub(super) fn answer<'a>(
        &mut self,
        packet: &'a [u8],
        from: IpAddr,
        out: &mut Vec<u8>,
    ) -> Outcome<'a> {
        let (header, code, opt) = match read(packet) {
            Packet::Plain(query) => return self.plain(&query, from, out),
            Packet::Greeting(header, edns) => return self.greet(header, &edns, from, out),
            Packet::Special(query) => return Outcome::Special(Box::new(query)),
            Packet::Noise => {
                self.tally.drop_one();
                return Outcome::Dropped;
            }
            Packet::Broken(header, opt) => (header, Code::FormErr, opt),
            Packet::Foreign(header) => (header, Code::NotImp, None),
        };
        if self.limited(from, ERRORS) {
            return Outcome::Dropped;
        }
        head(out, header, code.wire(), [0, 0, 0, u16::from(opt.is_some())]);
        if opt.is_some() {
            edns(out, code, false, None);
        }
        self.tally.answer(code);
        Outcome::Answered
    }

    /// Appends the answer to who asks for a cookie alone.
    fn greet<'a>(
        &self,
        header: Header,
        asked: &Edns<'_>,
        from: IpAddr,
        out: &mut Vec<u8>,
    ) -> Outcome<'a> {
        let cookie = asked.cookie.map(|cookie| (cookie.client, self.baker.judge(&cookie, from)));
        if !cookie.is_some_and(|(_, judged)| judged.known) && self.limited(from, ERRORS) {
            return Outcome::Dropped;
        }
        let code = if asked.version > 0 { Code::BadVers } else { Code::NoError };
        head(out, header, code.wire() & 0xf, [0, 0, 0, 1]);
        edns(out, code, asked.dnssec, cookie.map(|(client, judged)| (client, judged.answer)));
        self.tally.answer(code);
        Outcome::Answered
    }

    /// A refusal.
    pub(super) fn refuse(&self, query: &Query<'_>) -> Vec<u8> {
        self.tally.answer(Code::Refused);
        bare(query, Code::Refused.wire())
    }

    /// Appends the answer to an ordinary query.
    pub(super) fn plain<'a>(
        &mut self,
        query: &Query<'_>,
        from: IpAddr,
        out: &mut Vec<u8>,
    ) -> Outcome<'a> {
        let cookie = query.edns.as_ref().and_then(|edns| edns.cookie);
        let judged = cookie.map(|cookie| self.baker.judge(&cookie, from));
        self.turn = self.turn.wrapping_add(1);
        // All shares of a set count as one, signed or not, and so do all names that are not there.
        let place = |body: &Body| std::ptr::from_ref(body).addr();
        let (say, place) = match said(&self.table, query) {
            // The state is too old to be told: others may know of a newer one.
            Said::Body(..) | Said::Sign(..) if self.stale && !self.vouches(query) => {
                (Say::Code(Code::ServFail), REFUSALS)
            }
            Said::Code(code) => (Say::Code(code), REFUSALS),
            Said::Body(body, code) => (Say::Body(body.at_turn(self.turn), code), place(body)),
            Said::Sign(signing, body, existence) => {
                let exists = existence == Existence::Exists;
                let asked = (&query.name, query.kind, body.share(self.turn));
                let signed = self.signed.find(signing, asked, exists, self.wall);
                (signed.map_or(Say::Code(Code::ServFail), Say::Signed), place(body))
            }
        };
        // Who sends our own cookie back has the address it claims.
        let limited = !judged.is_some_and(|judged| judged.known) && self.limited(from, place);
        let slipped = self.slipped.wrapping_add(u32::from(limited));
        let code = match limited && !slipped.is_multiple_of(SLIP) {
            true => None,
            false => {
                Some(self.write(query, &say, limited, judged.map(|judged| judged.answer), out))
            }
        };
        self.slipped = slipped;
        let Some(code) = code else { return Outcome::Dropped };
        self.tally.answer(code);
        Outcome::Answered
    }

    /// Does this agent itself see what the answer rests on?
    fn vouches(&self, query: &Query<'_>) -> bool {
        let name = Name::read(&mut BinDecoder::new(query.name.bytes()));
        let name = name.map(|name| LowerName::new(&name));
        name.is_ok_and(|name| vouched(&self.table.meaning, &name, &self.seen))
    }

    /// Counts an answer of this sort; is it one too many?
    fn limited(&self, from: IpAddr, place: usize) -> bool {
        let limited = match (&self.limits, self.transport) {
            (Some(limits), Transport::Udp) => !limits.pass(self.now, from, place),
            (None, _) | (_, Transport::Tcp) => false,
        };
        if limited {
            self.tally.limit();
        }
        limited
    }

    fn write(
        &self,
        query: &Query<'_>,
        say: &Say<'_>,
        limited: bool,
        cookie: Option<[u8; 16]>,
        out: &mut Vec<u8>,
    ) -> Code {
        let room = match (self.transport, &query.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, None) => CLASSIC,
            (Transport::Udp, Some(edns)) => edns.size.clamp(CLASSIC, DATAGRAM),
        };
        let opt = match (&query.edns, cookie) {
            (None, _) => 0,
            (Some(_), None) => OPT_LENGTH,
            (Some(_), Some(_)) => OPT_LENGTH + COOKIE_LENGTH,
        };
        // An answer's signature is as long as the asker's: the same key, the same algorithm (RFC 8945 section 5.3).
        let signature = query.signature.map_or(0, <[u8]>::len);
        let room = usize::from(room) - HEADER - query.question.len() - opt;
        let room = room.saturating_sub(signature);
        let (code, body) = (say.code(), say.body());
        let said = body.map(|body| {
            let part = match () {
                () if limited => None,
                () if body.len(Part::Whole) <= room => Some(Part::Whole),
                () if body.len(Part::Core) <= room => Some(Part::Core),
                () => None,
            };
            part.map(|part| (body, part)).ok_or(())
        });
        let cut = matches!(said, Some(Err(()))) || limited;
        let said = said.and_then(Result::ok);

        let mut flags = code.wire() & 0xf;
        if body.is_some() {
            flags |= flag::AUTHORITATIVE;
        }
        if cut {
            flags |= flag::TRUNCATED;
            self.tally.cut();
        }
        let [answers, authorities, additionals] =
            said.map_or([0; 3], |(body, part)| body.counts(part));
        let additionals = additionals + u16::from(query.edns.is_some());
        head(out, query.header, flags, [1, answers, authorities, additionals]);
        out.extend_from_slice(query.question);
        if let Some((body, part)) = said {
            body.write(part, query.name.bytes().len(), out);
        }
        if let Some(asked) = &query.edns {
            let cookie = asked.cookie.zip(cookie).map(|(asked, server)| (asked.client, server));
            edns(out, code, asked.dnssec, cookie);
        }
        code
    }
}

/// Appends an OPT record, with a cookie's both halves where there is one.
fn edns(out: &mut Vec<u8>, code: Code, dnssec: bool, cookie: Option<([u8; 8], [u8; 16])>) {
    let extended = (code.wire() >> 4) as u8;
    let flags = u8::from(dnssec) << 7;
    let [o1, o2] = kind::OPT.to_be_bytes();
    let [s1, s2] = DATAGRAM.to_be_bytes();
    let length = if cookie.is_some() { COOKIE_LENGTH as u8 } else { 0 };
    out.extend_from_slice(&[0, o1, o2, s1, s2, extended, 0, flags, 0, 0, length]);
    if let Some((client, server)) = cookie {
        out.extend_from_slice(&Cookie::OPTION.to_be_bytes());
        out.extend_from_slice(&24_u16.to_be_bytes());
        out.extend_from_slice(&client);
        out.extend_from_slice(&server);
    }
}

/// What a table says to a query.
enum Said<'a> {
    Code(Code),
    Body(&'a Body, Code),
    /// In its place what this signs.
    Sign(&'a Signing, &'a Body, Existence),
}

fn said<'a>(table: &'a Table, query: &Query<'_>) -> Said<'a> {
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Said::Code(Code::BadVers);
    }
    if query.class != IN {
        return Said::Code(Code::Refused);
    }
    let wants_signatures = query.edns.is_some_and(|edns| edns.dnssec);
    match (table.find(&query.name, query.kind), &table.signing) {
        (Found::Outside, _) => Said::Code(Code::Refused),
        (Found::Signed(body, existence), Some(signing)) if wants_signatures => {
            Said::Sign(signing, body, existence)
        }
        (Found::Body(body, existence) | Found::Signed(body, existence), _) => {
            match existence == Existence::Missing || body.missing {
                true => Said::Body(body, Code::NxDomain),
                false => Said::Body(body, Code::NoError),
            }
        }
    }
}

/// An answer that holds nothing but this code.
pub(super) fn bare(query: &Query<'_>, code: u16) -> Vec<u8> {
    let mut out = Vec::new();
    head(&mut out, query.header, code, [1, 0, 0, 0]);
    out.extend_from_slice(query.question);
    out
}

/// Appends an answer's header.
pub(super) fn head(out: &mut Vec<u8>, asked: Header, flags: u16, counts: [u16; 4]) {
    let kept = flag::OPCODE | flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;
    let flags = flag::RESPONSE | asked.flags & kept | flags;
    let [questions, answers, authorities, additionals] = counts;
    let words = [asked.id, flags, questions, answers, authorities, additionals];
    let mut bytes = [0; HEADER];
    for (place, word) in bytes.chunks_exact_mut(2).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&bytes);
}
