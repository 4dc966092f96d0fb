//! A connection → an encrypted one where the server offers it, that brings no more than it may.
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

use crate::database::secure;
use crate::fault::{Trouble, When, of_io};
use crate::tls::of_tls;
use crate::{Tls, Trust};

/// Protocol 1234.5679: "may we encrypt?" (PostgreSQL documentation, 55.7 `SSLRequest`).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

/// A connection to a PostgreSQL server, before log-in.
pub struct Wire {
    stream: Either,
    left: usize,
    budget: usize,
}

enum Either {
    Plain(TcpStream),
    Encrypted(Box<Encrypted>),
}

/// Asks for encryption and takes it if it is offered; what comes over it is limited to `budget` bytes.
pub(super) async fn open(
    mut stream: TcpStream,
    name: &str,
    (tls, trust): (&Tls, &Trust),
    budget: usize,
) -> Result<Wire, Trouble> {
    let broken = |error: io::Error| of_io(&error, When::Later, "asking for encryption");
    stream.write_all(&SSL_REQUEST).await.map_err(broken)?;
    let stream = match stream.read_u8().await.map_err(broken)? {
        b'S' => Either::Encrypted(Box::new(encrypt(stream, name, tls, trust).await?)),
        b'N' if *tls == Tls::AsOffered => Either::Plain(stream),
        b'N' => return Err(secure::offers_none()),
        // An error before the server knows what we speak: it could not start a process for us.
        b'E' => return Err(Trouble::theirs(FaultKind::Unready, "the server can start no session")),
        _ => {
            let text = "the answer is not PostgreSQL's: is the port right?";
            return Err(Trouble::theirs(FaultKind::Protocol, text));
        }
    };
    Ok(Wire { stream, left: budget, budget })
}

async fn encrypt(
    stream: TcpStream,
    name: &str,
    tls: &Tls,
    trust: &Trust,
) -> Result<Encrypted, Trouble> {
    let config = trust.for_database(tls)?.as_ref().clone();
    let mut maker = MakeRustlsConnect::new(config);
    let Ok(connector) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut maker, name);
    connector.connect(stream).await.map_err(|error| match tls {
        Tls::AsOffered => of_tls(&error),
        Tls::Encrypted | Tls::Verified(_) => secure::answered(of_tls(&error)),
    })
}

/// More came than an honest server has to say.
#[derive(Debug, thiserror::Error)]
#[error("the answer exceeds {0} bytes")]
pub(super) struct Exceeded(usize);

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let exceeded = Exceeded(self.budget);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, exceeded)));
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
pub struct Opened;

impl TlsConnect<Wire> for Opened {
    type Stream = Wire;
    type Error = Infallible;
    type Future = Ready<Result<Wire, Infallible>>;

    fn connect(self, wire: Wire) -> Self::Future {
        ready(Ok(wire))
    }
}
