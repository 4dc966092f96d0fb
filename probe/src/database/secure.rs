//! A connection to a database → one that is protected as the credential asks for, or why it cannot be.
//!
//! A server that answers, and with whom no protected session comes about, is not dead: that is a fault of the credential,
//! as a wrong password is, and no vote.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use consensus::model::{Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::Trust;
use crate::fault::Trouble;
use crate::names::bare;
use crate::tls::handshake;

/// How the way to a database is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// As the engine's own clients do it: PostgreSQL's encrypt where the server offers it, with whoever answers; the others'
    /// do not.
    #[default]
    AsOffered,
    /// Encrypted, with whoever answers: safe from those who only listen.
    Encrypted,
    /// Encrypted, with a server whose certificate is valid for the address that the app file names: by these authorities
    /// (PEM), or by the system's.
    Verified(Option<Arc<str>>),
}

/// A connection, protected or not.
#[derive(Debug)]
pub enum Stream {
    /// Readable by everybody on the way.
    Plain(TcpStream),
    /// Not.
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// Protects a connection whose server speaks TLS from its first byte on.
pub(crate) async fn over(
    stream: TcpStream,
    host: &str,
    tls: &Tls,
    trust: &Trust,
) -> Result<Stream, Trouble> {
    if *tls == Tls::AsOffered {
        return Ok(Stream::Plain(stream));
    }
    let config = trust.for_database(tls)?;
    let shaken = handshake(stream, bare(host), config).await;
    shaken.map(|stream| Stream::Encrypted(Box::new(stream))).map_err(answered)
}

/// The same, for whoever acts.
///
/// # Errors
/// Why not, in words.
pub async fn protect(
    stream: TcpStream,
    host: &str,
    tls: &Tls,
    trust: &Trust,
) -> Result<Stream, Fault> {
    over(stream, host, tls, trust).await.map_err(Trouble::into_fault)
}

/// What a server answered that no protected session comes about with.
pub(crate) fn answered(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Theirs(fault) if matches!(fault.kind, FaultKind::Tls | FaultKind::Certificate) => {
            Trouble::theirs(FaultKind::Credential, fault.text)
        }
        other => other,
    }
}

/// A server that offers no encryption where the credential asks for it.
pub(crate) fn offers_none() -> Trouble {
    let text = "the server offers no encryption, and the credential asks for it (`tls`)";
    Trouble::theirs(FaultKind::Credential, text)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
