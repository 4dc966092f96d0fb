//! Commands → replies: the protocol that Redis and Valkey speak (RESP2), for whoever looks and whoever acts.
//!
//! Everything a server sends is bounded: a line, a text, a list, and all that are one reply. A client library would bring
//! reconnection, pools and a cache of its own; here one connection asks a handful of things and is gone.

use std::fmt;
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// What one reply may bring in all; `INFO` has about 6 KiB.
const BUDGET: u64 = 256 * 1024;
/// The longest line.
const LINE: u64 = 4 * 1024;
/// The most entries of one list, and of all lists within it.
const ENTRIES: usize = 1024;

/// What a server said to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A text, short or long; bytes that are no text are replaced.
    Text(String),
    /// A number.
    Number(i64),
    /// Nothing of that name.
    Nothing,
    /// Why it will not: a word in capitals, and the rest for people.
    Refused(String),
    /// Several replies.
    List(Vec<Reply>),
}

impl Reply {
    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Nothing | Self::Refused(_) | Self::List(_) => None,
        }
    }

    /// Why it was refused, if it was.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(why) => Some(why),
            Self::Text(_) | Self::Number(_) | Self::Nothing | Self::List(_) => None,
        }
    }

    /// The value of a setting in the reply to `CONFIG GET`.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let Self::List(entries) = self else { return None };
        let mut pairs = entries.chunks_exact(2);
        pairs.find(|pair| pair[0].text() == Some(name)).and_then(|pair| pair[1].text())
    }
}

/// The reply to `INFO`, by its keys.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a>(pub &'a str);

impl<'a> Info<'a> {
    /// A value as it was said.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':').map(str::trim))
    }

    /// A value that is a number; what is none reads as absent.
    pub fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.text(key)?.parse().ok()
    }

    /// The history a replication id stands for: its first 64 bits, of 160 drawn at random.
    pub fn history(&self, key: &str) -> Option<u64> {
        u64::from_str_radix(self.text(key)?.get(..16)?, 16).ok()
    }
}

/// More came than an honest server has to say, or something else than Redis speaks.
#[derive(Debug)]
struct Strange(String);

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Strange {}

fn strange(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Strange(what.into()))
}

/// One connection.
#[derive(Debug)]
pub struct Link<S> {
    stream: BufReader<S>,
    left: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Speaks over this stream.
    pub fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream), left: BUDGET }
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// What the connection, or a server that does not speak the protocol, made of it.
    pub async fn ask(&mut self, command: &[&str]) -> io::Result<Reply> {
        self.send(&[command]).await?;
        self.hear().await
    }

    /// Sends commands at once; a reply to each follows.
    ///
    /// # Errors
    /// What the connection made of it. A server that turns us away closes before it has read: then its word is what
    /// [`Link::hear`] finds, and sending is no error.
    pub async fn send(&mut self, commands: &[&[&str]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for command in commands {
            bytes.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
            for word in *command {
                bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
        }
        let sent = async {
            self.stream.write_all(&bytes).await?;
            // Over TLS what was taken may still wait in the session.
            self.stream.flush().await
        };
        match sent.await {
            Err(error) if is_closed(&error) => Ok(()),
            sent => sent,
        }
    }

    /// The next reply.
    ///
    /// # Errors
    /// As for [`Link::ask`].
    pub async fn hear(&mut self) -> io::Result<Reply> {
        self.left = BUDGET;
        let mut room = ENTRIES;
        let mut open: Vec<(usize, Vec<Reply>)> = Vec::new();
        loop {
            let mut reply = match self.begin().await? {
                Begun::Whole(reply) => reply,
                Begun::List(length) => {
                    room =
                        room.checked_sub(length).ok_or_else(|| strange("the list is too long"))?;
                    open.push((length, Vec::new()));
                    match length {
                        0 => Reply::List(open.pop().map(|(_, list)| list).unwrap_or_default()),
                        _ => continue,
                    }
                }
            };
            loop {
                let Some((length, list)) = open.last_mut() else { return Ok(reply) };
                list.push(reply);
                if list.len() < *length {
                    break;
                }
                reply = Reply::List(open.pop().map(|(_, list)| list).unwrap_or_default());
            }
        }
    }

    /// What follows is no reply: the raw bytes, with those that were read ahead.
    pub fn into_stream(self) -> BufReader<S> {
        self.stream
    }

    async fn begin(&mut self) -> io::Result<Begun> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| strange("an empty line"))?;
        let length = |most: i64| match rest.parse::<i64>() {
            Ok(length) if (-1..=most).contains(&length) => Ok(usize::try_from(length).ok()),
            _ => Err(strange(format!("a length of `{rest}`"))),
        };
        Ok(match kind {
            "+" => Begun::Whole(Reply::Text(rest.to_owned())),
            "-" => Begun::Whole(Reply::Refused(rest.to_owned())),
            ":" => {
                let number = rest.parse().map_err(|_| strange(format!("no number: `{rest}`")))?;
                Begun::Whole(Reply::Number(number))
            }
            "$" => match length(BUDGET as i64)? {
                Some(length) => Begun::Whole(Reply::Text(self.bulk(length).await?)),
                None => Begun::Whole(Reply::Nothing),
            },
            "*" => match length(ENTRIES as i64)? {
                Some(length) => Begun::List(length),
                None => Begun::Whole(Reply::Nothing),
            },
            _ => return Err(strange("the answer is not Redis's: is the port right?")),
        })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let most = LINE.min(self.left);
        let read = (&mut self.stream).take(most).read_until(b'\n', &mut line).await?;
        self.left -= (read as u64).min(self.left);
        match line.pop() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) if (read as u64) < most => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) => Err(strange("the answer is too long, or not Redis's")),
        }
    }

    async fn bulk(&mut self, length: usize) -> io::Result<String> {
        let whole = length as u64 + 2;
        self.left =
            self.left.checked_sub(whole).ok_or_else(|| strange("the answer is too long"))?;
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).await?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

enum Begun {
    Whole(Reply),
    List(usize),
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(bytes: &str) -> io::Result<Reply> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(bytes.as_bytes()).await.expect("it fits");
        drop(theirs);
        Link::over(ours).hear().await
    }

    fn text(text: &str) -> Reply {
        Reply::Text(text.to_owned())
    }

    #[tokio::test]
    async fn replies_are_read_as_they_are_meant() {
        for (bytes, expected) in [
            ("+OK\r\n", text("OK")),
            ("-LOADING wait\r\n", Reply::Refused("LOADING wait".to_owned())),
            (":-7\r\n", Reply::Number(-7)),
            ("$2\r\n\r\n\r\n", text("\r\n")),
            ("$-1\r\n", Reply::Nothing),
            ("*0\r\n", Reply::List(vec![])),
            (
                "*2\r\n*1\r\n:1\r\n*2\r\n$1\r\na\r\n*-1\r\n",
                Reply::List(vec![
                    Reply::List(vec![Reply::Number(1)]),
                    Reply::List(vec![text("a"), Reply::Nothing]),
                ]),
            ),
        ] {
            assert_eq!(heard(bytes).await.expect("it is well formed"), expected, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn what_is_strange_cut_off_or_without_end_is_an_error() {
        let endless = "*1\r\n".repeat(ENTRIES + 1);
        let long = format!("+{}", "x".repeat(LINE as usize));
        for bytes in [
            "",
            "+OK",
            "$5\r\nab",
            "$999999999\r\n",
            "*2000\r\n",
            ":x\r\n",
            "\r\n",
            "HTTP/1.1 400\r\n",
            "*2\r\n:1\r\n",
            &endless,
            &long,
        ] {
            assert!(heard(bytes).await.is_err(), "{:?}", bytes.get(..20));
        }
    }

    #[test]
    fn information_is_found_by_its_whole_key() {
        let info =
            Info("# Replication\r\nrole:slave\r\nmaster_replid:00000000000000ff0123\r\nx:-1\r\n");
        assert_eq!(info.text("role"), Some("slave"));
        assert_eq!(info.text("master"), None);
        assert_eq!(info.history("master_replid"), Some(255));
        assert_eq!(info.number::<u64>("x"), None);
    }
}
