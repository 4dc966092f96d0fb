//! A URL → a connection to whoever answers there, over TLS where it says so.

use std::io;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use probe::Trust;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

/// Who asks, in every request.
pub(crate) const USER_AGENT: &str = concat!("quorate/", env!("CARGO_PKG_VERSION"));

/// The certificate authorities of this host, read when somebody is first spoken to.
static TRUST: LazyLock<Trust> = LazyLock::new(Trust::of_host);

/// What requests are sent by; and the task that keeps the connection, to be ended with it.
pub(crate) type Connection = (SendRequest<Full<Bytes>>, AbortHandle);

/// Connects to the host of a URL.
pub(crate) async fn connect(base: &Uri) -> io::Result<Connection> {
    let host = base.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let tls = base.scheme_str() == Some("https");
    let port = base.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    if !tls {
        return handshake(stream).await;
    }
    // The first time this reads the host's certificates.
    let trust = tokio::task::spawn_blocking(|| TRUST.system()).await.map_err(io::Error::other)?;
    let config = trust.ok_or_else(|| {
        io::Error::other("this host knows no certificate authorities: install `ca-certificates`")
    })?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    handshake(TlsConnector::from(Arc::clone(&config)).connect(name, stream).await?).await
}

async fn handshake<S>(stream: S) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let driver = tokio::spawn(async move {
        // Whoever asks next is told how it ended.
        let _ = connection.await;
    });
    Ok((sender, driver.abort_handle()))
}
