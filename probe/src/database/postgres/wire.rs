//! A connection → an encrypted one where the server offers it, that brings no more than [`BUDGET`] bytes.
//!
//! `tokio_postgres` believes the length a message claims and reads on for as long as the server sends; here is where
//! that ends.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use consensus::model::FaultKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Trust;
use crate::fault::{Trouble, When, of_io};
use crate::phases::{Stage, Stopwatch};
use crate::tls;

/// An honest answer, log-in included, has about 2 KiB.
const BUDGET: usize = 64 * 1024;

/// Protocol 1234.5679: "may we encrypt?" (PostgreSQL documentation, 55.7 `SSLRequest`).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

/// A connection to a PostgreSQL server, before log-in.
pub(super) struct Wire {
    stream: Either,
    left: usize,
}

enum Either {
    Plain(TcpStream),
    Encrypted(Box<Encrypted>),
}

/// Asks for encryption and takes it if it is offered.
pub(super) async fn open(
    mut stream: TcpStream,
    name: &str,
    trust: &Trust,
    watch: &mut Stopwatch,
) -> Result<Wire, Trouble> {
    watch.enter(Stage::Tls);
    let broken = |error: io::Error| of_io(&error, When::Later, "asking for encryption");
    stream.write_all(&SSL_REQUEST).await.map_err(broken)?;
    let stream = match stream.read_u8().await.map_err(broken)? {
        b'S' => Either::Encrypted(Box::new(encrypt(stream, name, trust).await?)),
        b'N' => Either::Plain(stream),
        // An error before the server knows what we speak: it could not start a process for us.
        b'E' => return Err(Trouble::theirs(FaultKind::Unready, "the server can start no session")),
        _ => {
            let text = "the answer is not PostgreSQL's: is the port right?";
            return Err(Trouble::theirs(FaultKind::Protocol, text));
        }
    };
    Ok(Wire { stream, left: BUDGET })
}

async fn encrypt(stream: TcpStream, name: &str, trust: &Trust) -> Result<Encrypted, Trouble> {
    let config = trust.in_anyone().as_ref().clone();
    let mut maker = MakeRustlsConnect::new(config);
    let Ok(connector) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut maker, name);
    connector.connect(stream).await.map_err(|error| tls::of_tls(&error))
}

/// More came than an honest server has to say.
#[derive(Debug, thiserror::Error)]
#[error("the answer exceeds {BUDGET} bytes")]
pub(super) struct Exceeded;

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Exceeded)));
        }
        let before = buffer.filled().len();
        let polled = match &mut self.stream {
            Either::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Either::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Either::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Either::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Either::Plain(stream) => Pin::new(stream).poll_flush(context),
            Either::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Either::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Either::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.stream {
            Either::Plain(_) => ChannelBinding::none(),
            Either::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

/// Stands where `tokio_postgres` would encrypt: that is done.
pub(super) struct Opened;

impl TlsConnect<Wire> for Opened {
    type Stream = Wire;
    type Error = Infallible;
    type Future = Ready<Result<Wire, Infallible>>;

    fn connect(self, wire: Wire) -> Self::Future {
        ready(Ok(wire))
    }
}
