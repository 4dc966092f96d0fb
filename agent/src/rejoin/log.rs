//! A server's log as its replicas get it (`PSYNC`): commands, one after another, or first all its data.
//!
//! Nothing of it is ever acknowledged: whoever waits on this server for a replica (`WAIT`) is not to take a copy for one.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use probe::Stream;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::session::Session;

/// A server says something every ten seconds while it makes a copy (`repl-ping-replica-period`).
const SILENCE: Duration = Duration::from_secs(90);
/// Signs of life, so that it does not take us for dead (`repl-timeout`).
const ALIVE: Duration = Duration::from_secs(1);
/// `REPLCONF ACK 0`: here, and with nothing.
const ACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$1\r\n0\r\n";
/// The longest line: an answer, or a length.
const LINE: u64 = 1024;
/// What is copied at a time.
const PIECE: usize = 64 * 1024;
/// No command that matters here has a longer name.
const NAME: u64 = 32;
/// A copy whose length nobody knows ends with this many bytes that were told before.
const MARK: usize = 40;

/// How all data are sent.
#[derive(Debug)]
pub struct Whole(());

/// The log of one server, from a place on.
pub struct Log {
    stream: BufReader<Stream>,
    place: String,
    /// The offset of the last byte that was read.
    at: u64,
    /// When a sign of life was last given; none is asked for, nor understood, while all data are sent.
    alive: Option<Instant>,
}

/// How much it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writes, those of one `MULTI` together.
    pub transactions: u64,
    /// Bytes of log.
    pub bytes: u64,
}

impl std::fmt::Display for Tally {
    /// A log of Redis does not tell when.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "lost: {} transactions, {} bytes, 0 s", self.transactions, self.bytes)
    }
}

impl Log {
    /// Asks for it behind this offset of this history, or for all data; all data come, too, where the log does not reach
    /// back so far: then they have to be read first.
    pub async fn begin(
        mut session: Session,
        history: Option<(&str, u64)>,
    ) -> Result<(Self, Option<Whole>), String> {
        let capable = ["REPLCONF", "capa", "eof", "capa", "psync2"];
        session.ask("being copied", &capable).await?;
        let next = history.map_or("-1".to_owned(), |(_, from)| (from + 1).to_string());
        let id = history.map_or("?", |(id, _)| id);
        let (stream, place) = session.into_stream(&["PSYNC", id, &next]).await?;
        let mut log = Self { stream, place, at: 0, alive: None };
        let answer = log.said().await?;
        let mut words = answer.split(' ');
        match (words.next(), words.nth(1).map(str::parse), history) {
            (Some("+CONTINUE"), _, Some((_, from))) => {
                log.at = from;
                log.acknowledge().await?;
                Ok((log, None))
            }
            (Some("+FULLRESYNC"), Some(Ok(at)), _) => {
                log.at = at;
                Ok((log, Some(Whole(()))))
            }
            _ => Err(format!("`{}` refuses to be copied: {answer}", log.place)),
        }
    }

    /// The offset of the last byte that was read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// All data, as the file they would be in (RDB).
    pub async fn data(&mut self, _: Whole, into: &mut impl Write) -> Result<(), String> {
        let head = self.said().await?;
        let at = self.at;
        match head.strip_prefix("$EOF:") {
            Some(mark) if mark.len() == MARK => self.until(mark.as_bytes(), into).await?,
            _ => self.copy(length(&head, '$')?, into).await?,
        }
        // They are no part of the log; which follows once we said that they came.
        self.at = at;
        self.acknowledge().await
    }

    /// Commands, up to this offset.
    pub async fn read<W: Write>(
        &mut self,
        until: u64,
        commands: &mut Commands<W>,
    ) -> Result<(), String> {
        while self.at < until {
            self.command(commands).await?;
        }
        Ok(())
    }

    async fn command<W: Write>(&mut self, commands: &mut Commands<W>) -> Result<(), String> {
        let head = self.line().await?;
        let words = length(&head, '*')?;
        let size = self.line().await?;
        let named = length(&size, '$')?;
        let mut begun = format!("{head}\r\n{size}\r\n").into_bytes();
        let mut name = Vec::new();
        if named <= NAME {
            self.copy(named + 2, &mut name).await?;
            begun.extend_from_slice(&name);
        }
        name.make_ascii_uppercase();
        let left = words.saturating_sub(1);
        match name.trim_ascii_end() {
            // What keeps the replicas awake, and words to whoever listens just then: no data.
            b"PING" | b"REPLCONF" | b"PUBLISH" | b"SPUBLISH" => {
                self.words(left, &mut io::sink()).await
            }
            b"SELECT" => {
                self.words(left, &mut begun).await?;
                commands.select = Select::Told(begun);
                Ok(())
            }
            name => {
                commands.begin(name, &begun)?;
                if NAME < named {
                    self.copy(named + 2, commands).await?;
                }
                self.words(left, commands).await
            }
        }
    }

    async fn words(&mut self, count: u64, into: &mut impl Write) -> Result<(), String> {
        for _ in 0..count {
            let size = self.line().await?;
            write(into, format!("{size}\r\n").as_bytes())?;
            self.copy(length(&size, '$')? + 2, into).await?;
        }
        Ok(())
    }

    /// So many bytes.
    async fn copy(&mut self, count: u64, into: &mut impl Write) -> Result<(), String> {
        let mut left = count;
        while 0 < left {
            let piece = self.piece(usize::try_from(left).unwrap_or(usize::MAX)).await?;
            write(into, &piece)?;
            left -= piece.len() as u64;
        }
        Ok(())
    }

    /// Everything before this mark, which ends what is sent.
    async fn until(&mut self, mark: &[u8], into: &mut impl Write) -> Result<(), String> {
        let mut held = Vec::new();
        loop {
            held.extend_from_slice(&self.piece(PIECE).await?);
            let done = held.ends_with(mark);
            let sure = held.len().saturating_sub(MARK);
            write(into, &held[..sure])?;
            held.drain(..sure);
            if done {
                return Ok(());
            }
        }
    }

    /// The next bytes, this many at most.
    async fn piece(&mut self, most: usize) -> Result<Vec<u8>, String> {
        if self.alive.is_some_and(|since| ALIVE <= since.elapsed()) {
            self.acknowledge().await?;
        }
        let mut bytes = vec![0; most.min(PIECE)];
        let read = timeout(SILENCE, self.stream.read(&mut bytes)).await;
        let read = self.sound(read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))?;
        bytes.truncate(read);
        if read == 0 {
            return self.sound(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.at += read as u64;
        Ok(bytes)
    }

    /// A line of the log, without its end.
    async fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE);
        let read = timeout(SILENCE, limited.read_until(b'\n', &mut line)).await;
        let read = self.sound(read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))?;
        self.at += read as u64;
        match line.pop() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            _ => self.sound(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// An answer: empty lines before it are signs of life.
    async fn said(&mut self) -> Result<String, String> {
        loop {
            let line = self.line().await?;
            if !line.is_empty() {
                return Ok(line);
            }
        }
    }

    async fn acknowledge(&mut self) -> Result<(), String> {
        self.alive = Some(Instant::now());
        let sent = self.stream.write_all(ACK).await;
        self.sound(sent)
    }

    fn sound<T>(&self, result: io::Result<T>) -> Result<T, String> {
        result.map_err(|error| format!("the copy of `{}` broke off: {error}", self.place))
    }
}

/// Commands that are kept, as they came, and counted.
pub struct Commands<W> {
    into: W,
    select: Select,
    /// Is nobody's word there for the database of the first?
    untold: bool,
    within: bool,
    tally: Tally,
}

/// Which database the next command goes to.
enum Select {
    /// The log said, and the file does not yet.
    Told(Vec<u8>),
    /// The only one that holds keys.
    Only(u32),
    /// Nobody said.
    Unknown,
    /// The file says so.
    Written,
}

impl<W: Write> Commands<W> {
    /// Keeps them here. The log says which database is meant only when that changes: until then it is the only one that
    /// holds keys, if there is but one.
    pub fn into(into: W, only: Option<u32>) -> Self {
        let select = only.map_or(Select::Unknown, Select::Only);
        Self { into, select, untold: false, within: false, tally: Tally::default() }
    }

    fn begin(&mut self, name: &[u8], begun: &[u8]) -> Result<(), String> {
        // A transaction goes to no database by itself. Where the log has not said which is meant, Valkey says so within.
        let select = match (name, &mut self.select) {
            (b"MULTI", Select::Only(_) | Select::Unknown) => Select::Written,
            (_, select) => std::mem::replace(select, Select::Written),
        };
        match select {
            Select::Written => {}
            Select::Told(bytes) => self.keep(&bytes)?,
            Select::Only(number) => {
                let number = number.to_string();
                let select = format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{number}\r\n", number.len());
                write(&mut self.into, select.as_bytes())?;
            }
            Select::Unknown => self.untold = true,
        }
        match (name, self.within) {
            (b"MULTI", _) => self.within = true,
            (b"EXEC", _) => {
                self.within = false;
                self.tally.transactions += 1;
            }
            (_, true) => {}
            (_, false) => self.tally.transactions += 1,
        }
        self.keep(begun)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.tally.bytes += bytes.len() as u64;
        write(&mut self.into, bytes)
    }

    /// Where they are, how many they were, and what is to be said of the first.
    pub fn end(self) -> (W, Tally, &'static str) {
        let told = match self.untold {
            true => "; which database the first of them went to the log does not tell",
            false => "",
        };
        (self.into, self.tally, told)
    }
}

impl<W: Write> Write for Commands<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.into.write(bytes)?;
        self.tally.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

fn write(into: &mut impl Write, bytes: &[u8]) -> Result<(), String> {
    into.write_all(bytes).map_err(|error| format!("cannot keep what it alone has: {error}"))
}

/// `*3` or `$11`.
fn length(line: &str, kind: char) -> Result<u64, String> {
    let number = line.strip_prefix(kind).and_then(|number| number.parse::<u64>().ok());
    // Beyond this no number is meant; and sums of them stay numbers.
    let number = number.filter(|number| *number <= u64::MAX / 4);
    number.ok_or_else(|| format!("its log is not Redis's: `{}`", line.escape_debug()))
}
