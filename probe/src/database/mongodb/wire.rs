//! Commands → what a server says to them: MongoDB's own framing (`OP_MSG`), for whoever looks and whoever acts.
//!
//! Lengths are checked before memory is taken for them, and all that one connection may bring is bounded. Every command but
//! those of the log-in says how long the server may take over it (`maxTimeMS`), so that it gives up before whoever asked does.
//! Documents are the `bson` crate's, read in place: what is malformed reads as absent. The official driver would bring monitors
//! that look by themselves, pools, and a way to another member than the one that was asked for.

use std::fmt;
use std::io;
use std::time::Duration;

use bson::cstr;
use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use crc32c::crc32c;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// What one connection may bring in all: a set has 50 members at most, and says half a KiB of each.
const BUDGET: usize = 256 * 1024;
/// The framing around a document: length, numbers of request and answer, operation; then flags, and the kind of section.
const HEAD: usize = 16;
const SECTION: usize = 5;
/// The shortest document.
const DOCUMENT: usize = 5;
const OP_MSG: i32 = 2013;
/// Another operation within, compressed: only for whoever said in `hello` that it can read that.
const OP_COMPRESSED: i32 = 2012;
/// What servers before MongoDB 3.6 answer with.
const OP_REPLY: i32 = 1;
/// A checksum follows the document: CRC-32C of all before it.
const CHECKSUM: u32 = 1;
/// Flags without which a message cannot be understood; of them all but the first two mean nothing yet (`OP_MSG`'s
/// specification, "flagBits"), and the second says that the answer goes on in further messages, which nobody asked for.
const REQUIRED: u32 = 0xffff;
/// What the way there and back may take: a server that counts by itself has to end before we do, so that its no is heard.
const WAY: Duration = Duration::from_millis(200);
/// The most characters of what a server says to people.
const TEXT: usize = 160;
/// A number beyond this need not be whole in a floating-point number (2^53).
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Why a command came to nothing.
#[derive(Debug)]
pub enum Broken {
    /// The connection broke, or what came over it is no answer.
    Io(io::Error),
    /// The server said no.
    Refused(Refusal),
}

/// A server's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// MongoDB's own number of the error.
    pub code: i64,
    /// What it says to people, as one line.
    pub text: String,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Refused(refusal) => f.write_str(&refusal.text),
        }
    }
}

/// More came than an honest server has to say, or something else than MongoDB speaks.
pub(super) fn strange(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// What a server says to people, as one line that steers no terminal.
pub(super) fn line(text: &str) -> String {
    text.chars().take(TEXT).map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// How many milliseconds a server may take over a command; never zero, which would be for ever.
fn allowed(left: Duration) -> i32 {
    let allowed = left.saturating_sub(WAY).max(left / 2);
    i32::try_from(allowed.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// What a document says, by its keys; what is missing, or of another type, reads as absent.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a>(pub &'a RawDocument);

impl<'a> Facts<'a> {
    fn value(self, key: &str) -> Option<RawBsonRef<'a>> {
        self.0.get(key).ok().flatten()
    }

    /// A text.
    pub fn text(self, key: &str) -> Option<&'a str> {
        self.value(key)?.as_str()
    }

    /// Is it said to be so?
    pub fn says(self, key: &str) -> bool {
        self.value(key).and_then(RawBsonRef::as_bool).unwrap_or(false)
    }

    /// A whole number, in whichever of its three types.
    pub fn number(self, key: &str) -> Option<i64> {
        match self.value(key)? {
            RawBsonRef::Int32(number) => Some(number.into()),
            RawBsonRef::Int64(number) => Some(number),
            // Servers say `ok: 1.0`; what is not whole, or no number, is none of these.
            RawBsonRef::Double(number) => {
                (number.fract() == 0.0 && number.abs() <= WHOLE).then_some(number as i64)
            }
            _ => None,
        }
    }

    /// A moment by the server's wall clock, in milliseconds since 1970.
    pub fn millis(self, key: &str) -> Option<i64> {
        Some(self.value(key)?.as_datetime()?.timestamp_millis())
    }

    /// The eight bytes of a number that grows with every election.
    pub fn term_of_election(self, key: &str) -> Option<i64> {
        let bytes = self.value(key)?.as_object_id()?.bytes();
        let (mark, term) = bytes.split_at(4);
        (mark == [0x7f, 0xff, 0xff, 0xff])
            .then(|| term.iter().fold(0i64, |sum, byte| sum.wrapping_shl(8) | i64::from(*byte)))
    }

    /// A place in the set's log: of whose term, and where.
    pub fn place(self, key: &str) -> Option<(i64, u64)> {
        let place = self.document(key)?;
        let at = place.value("ts")?.as_timestamp()?;
        Some((place.number("t")?, u64::from(at.time) << 32 | u64::from(at.increment)))
    }

    /// Bytes.
    pub fn bytes(self, key: &str) -> Option<&'a [u8]> {
        Some(self.value(key)?.as_binary()?.bytes)
    }

    /// A document within.
    pub fn document(self, key: &str) -> Option<Self> {
        self.value(key)?.as_document().map(Self)
    }

    /// The entries of a list, as far as they can be read.
    pub fn list(self, key: &str) -> impl Iterator<Item = RawBsonRef<'a>> + use<'a> {
        let list: Option<&'a RawArray> = self.value(key).and_then(RawBsonRef::as_array);
        list.into_iter().flat_map(|list| list.into_iter().map_while(Result::ok))
    }
}

/// One connection.
#[derive(Debug)]
pub struct Link<S> {
    stream: S,
    ends: Instant,
    left: usize,
    asked: i32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Over a connection that nothing was said on yet, and that its owner gives up when so much time has passed: what is asked
    /// of the server is bounded by that, too, but waiting for it is not.
    pub fn over(stream: S, left: Duration) -> Self {
        Self { stream, ends: Instant::now() + left, left: BUDGET, asked: 0 }
    }

    /// Says a command, with the time that the server may take over it, and hears what comes of it. Every command takes
    /// `maxTimeMS` (MongoDB's `generic_argument.idl`); it may not be there already.
    ///
    /// # Errors
    /// If the server says no, or nothing that can be understood.
    pub async fn ask(&mut self, command: &RawDocumentBuf) -> Result<RawDocumentBuf, Broken> {
        let mut command = command.clone();
        let left = self.ends.saturating_duration_since(Instant::now());
        command.append(cstr!("maxTimeMS"), allowed(left));
        self.say(&command).await
    }

    /// Says a command of the log-in, without a bound: a server answers whatever ends one, its own clock, too, as it answers a
    /// wrong password (MongoDB's `sasl_commands.cpp`), and that is no word on whether it is well.
    pub(super) async fn say(&mut self, command: &RawDocumentBuf) -> Result<RawDocumentBuf, Broken> {
        self.asked = self.asked.wrapping_add(1);
        let document = command.as_bytes();
        let length = i32::try_from(HEAD + SECTION + document.len());
        let length = length.map_err(|_| strange("the question is too long"))?;
        let mut message = Vec::with_capacity(HEAD + SECTION + document.len());
        for number in [length, self.asked, 0, OP_MSG, 0] {
            message.extend(number.to_le_bytes());
        }
        message.push(0);
        message.extend(document);
        self.stream.write_all(&message).await?;
        self.stream.flush().await?;
        let said = self.hear().await?;
        let facts = Facts(&said);
        match facts.number("ok") {
            Some(1) => Ok(said),
            Some(0) => Err(Broken::Refused(Refusal {
                code: facts.number("code").unwrap_or_default(),
                text: line(facts.text("errmsg").unwrap_or("no, and no reason")),
            })),
            Some(_) | None => {
                Err(strange("the answer does not say whether it is one (`ok`)").into())
            }
        }
    }

    async fn hear(&mut self) -> io::Result<RawDocumentBuf> {
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).await?;
        let number =
            |at: usize| i32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        match number(12) {
            OP_MSG => {}
            OP_COMPRESSED => {
                return Err(strange("the answer is compressed, which nobody asked for"));
            }
            OP_REPLY => {
                return Err(strange("the answer is of before MongoDB 3.6"));
            }
            _ => return Err(strange("the answer is not MongoDB's: is the port right?")),
        }
        if number(8) != self.asked {
            return Err(strange("the answer is to another question"));
        }
        let rest = usize::try_from(number(0)).ok().and_then(|length| length.checked_sub(HEAD));
        let rest = rest.filter(|rest| SECTION + DOCUMENT <= *rest);
        let rest = rest.ok_or_else(|| strange("the answer is of no length that it can have"))?;
        self.left = self.left.checked_sub(rest).ok_or_else(|| strange("the answer is too long"))?;
        let mut body = vec![0; rest];
        self.stream.read_exact(&mut body).await?;
        let flags = u32::from_le_bytes([body[0], body[1], body[2], body[3]]);
        if flags & REQUIRED & !CHECKSUM != 0 || body[4] != 0 {
            return Err(strange("the answer is of a form that was not asked for"));
        }
        if flags & CHECKSUM != 0 {
            let sum = body.split_off(rest - 4);
            let whole = [head.as_slice(), &body].concat();
            if crc32c(&whole).to_le_bytes().as_slice() != sum {
                return Err(strange("the answer's checksum is wrong"));
            }
        }
        let document = body.split_off(SECTION);
        RawDocumentBuf::from_bytes(document).map_err(|error| strange(error.to_string()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use bson::rawdoc;
    use tokio::io::DuplexStream;

    /// Hears a question, and gives this answer to the one of this number.
    pub(in super::super) async fn serve(
        stream: &mut DuplexStream,
        number: i32,
        said: &RawDocumentBuf,
    ) -> RawDocumentBuf {
        let mut head = [0; HEAD + SECTION];
        stream.read_exact(&mut head).await.expect("it asks");
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let mut asked = vec![0; length - head.len()];
        stream.read_exact(&mut asked).await.expect("a whole question");
        let length = (HEAD + SECTION + said.as_bytes().len()) as i32;
        let mut message = Vec::new();
        for it in [length, 9, number, OP_MSG, 0] {
            message.extend(it.to_le_bytes());
        }
        message.push(0);
        message.extend(said.as_bytes());
        stream.write_all(&message).await.expect("it fits");
        RawDocumentBuf::from_bytes(asked).expect("a command")
    }

    /// What an answer of these bytes, framed as given, is taken for.
    async fn heard(frame: impl FnOnce(Vec<u8>) -> Vec<u8>, said: &RawDocumentBuf) -> String {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut message = Vec::new();
        let length = (HEAD + SECTION + said.as_bytes().len()) as i32;
        for number in [length, 9, 1, OP_MSG, 0] {
            message.extend(number.to_le_bytes());
        }
        message.push(0);
        message.extend(said.as_bytes());
        theirs.write_all(&frame(message)).await.expect("it fits");
        theirs.shutdown().await.expect("it can");
        let mut link = Link::over(ours, Duration::from_secs(10));
        match link.ask(&rawdoc! { "hello": 1 }).await {
            Ok(said) => format!("{:?}", Facts(&said).number("n")),
            Err(Broken::Refused(refusal)) => format!("{}: {}", refusal.code, refusal.text),
            Err(Broken::Io(error)) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn answers_are_read_as_they_are_meant() {
        let same = |message| message;
        assert_eq!(heard(same, &rawdoc! { "ok": 1.0, "n": 7 }).await, "Some(7)");
        assert_eq!(heard(same, &rawdoc! { "ok": 1, "n": 7_i64 }).await, "Some(7)");
        let no = rawdoc! { "ok": 0.0, "code": 13, "errmsg": "not authorized" };
        assert_eq!(heard(same, &no).await, "13: not authorized");
    }

    #[tokio::test]
    async fn a_checksum_is_looked_at() {
        let with_checksum = |wrong: u32| {
            move |mut message: Vec<u8>| {
                message[0] += 4;
                message[16] = 1;
                let sum = crc32c(&message) ^ wrong;
                message.extend(sum.to_le_bytes());
                message
            }
        };
        let said = rawdoc! { "ok": 1.0, "n": 7 };
        assert_eq!(heard(with_checksum(0), &said).await, "Some(7)");
        assert!(heard(with_checksum(1), &said).await.contains("checksum is wrong"));
        // One that has no room for itself.
        let short = |mut message: Vec<u8>| {
            message.truncate(26);
            (message[0], message[16]) = (26, 1);
            message
        };
        assert!(heard(short, &said).await.contains("checksum is wrong"));
    }

    #[test]
    fn a_server_has_less_time_than_whoever_asks_and_always_a_bound() {
        for (left, millis) in [
            (Duration::from_secs(5), 4_800),
            (Duration::from_millis(300), 150),
            (Duration::from_micros(10), 1),
            (Duration::ZERO, 1),
            (Duration::MAX, i32::MAX),
        ] {
            assert_eq!(allowed(left), millis, "{left:?}");
        }
    }

    #[tokio::test]
    async fn a_command_says_how_long_the_server_may_take() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let mut link = Link::over(ours, Duration::from_secs(2));
        let asked = async {
            let mut message = vec![0; 256];
            let read = theirs.read(&mut message).await.expect("it asks");
            let document = message[HEAD + SECTION..read].to_vec();
            drop(theirs);
            RawDocumentBuf::from_bytes(document).expect("a command")
        };
        let hello = rawdoc! { "hello": 1 };
        let (_, asked) = tokio::join!(link.ask(&hello), asked);
        let millis = Facts(&asked).number("maxTimeMS").expect("a bound");
        assert!((1..=1_800).contains(&millis), "{millis}");
    }

    #[tokio::test]
    async fn what_is_strange_cut_off_or_without_end_is_an_error() {
        let good = rawdoc! { "ok": 1.0, "n": 7 };
        let with = |at: usize, byte: u8| {
            move |mut message: Vec<u8>| {
                message[at] = byte;
                message
            }
        };
        for (at, byte, words) in [
            // Its length: none, less than its own head, less than a document, of two thousand million bytes, below zero.
            (0, 0, "no length"),
            (0, 15, "no length"),
            (0, 20, "no length"),
            (3, 0x7f, "too long"),
            (3, 0x80, "no length"),
            // To which question; in which operation: OP_REPLY, OP_COMPRESSED, none that is known.
            (8, 2, "another question"),
            (11, 0x80, "another question"),
            (12, 0xdc, "compressed"),
            (12, 0xde, "not MongoDB's"),
            // More to come, a flag that nobody knows, a section of documents.
            (16, 2, "not asked for"),
            (17, 0x80, "not asked for"),
            (20, 1, "not asked for"),
        ] {
            let told = heard(with(at, byte), &good).await;
            assert!(told.contains(words), "{at} {byte}: {told}");
        }
        let old = |mut message: Vec<u8>| {
            (message[12], message[13]) = (1, 0);
            message
        };
        assert!(heard(old, &good).await.contains("before MongoDB 3.6"));
        assert!(heard(with(21, 0x7f), &good).await.contains("length"));
        let http = |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
        assert!(heard(http, &good).await.contains("not MongoDB's"));
        let cut = |message: Vec<u8>| message[..30].to_vec();
        assert!(heard(cut, &good).await.contains("eof"));
        let long = rawdoc! { "ok": 1.0, "text": "x".repeat(BUDGET) };
        assert!(heard(|message| message, &long).await.contains("too long"));
        for said in [
            rawdoc! { "n": 7 },
            rawdoc! { "ok": f64::NAN },
            rawdoc! { "ok": 2 },
            rawdoc! { "ok": "1" },
            rawdoc! { "ok": 1.5 },
        ] {
            assert!(heard(|message| message, &said).await.contains("`ok`"), "{said:?}");
        }
        let no = rawdoc! { "ok": 0, "errmsg": format!("\u{1b}[2Jno\n{}", "x".repeat(5_000)) };
        let told = heard(|message| message, &no).await;
        assert!(told.starts_with("0:  [2Jno xxx") && told.len() < 200, "{told}");
    }

    #[test]
    fn facts_are_of_their_types_or_absent() {
        let id = bson::oid::ObjectId::from_bytes([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 1, 2]);
        let at = bson::Timestamp { time: 3, increment: 4 };
        let other = bson::oid::ObjectId::from_bytes([7; 12]);
        let said = rawdoc! { "e": id, "f": other, "p": { "ts": at, "t": 5_i64 }, "l": ["a", "b"], "x": "y" };
        let facts = Facts(&said);
        assert_eq!(facts.term_of_election("e"), Some(258));
        assert_eq!(facts.term_of_election("f"), None);
        assert_eq!(facts.place("p"), Some((5, 3 << 32 | 4)));
        assert_eq!(facts.list("l").filter_map(|it| it.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(facts.list("x").count(), 0);
        let numbers =
            rawdoc! { "a": f64::NAN, "b": f64::INFINITY, "c": -3.0, "d": 1e300, "e": 0.5 };
        let numbers = ["a", "b", "c", "d", "e"].map(|it| Facts(&numbers).number(it));
        assert_eq!(numbers, [None, None, Some(-3), None, None]);
        assert_eq!((facts.number("x"), facts.place("x"), facts.says("x")), (None, None, false));
    }
}
