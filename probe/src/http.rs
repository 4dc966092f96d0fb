//! A web endpoint → does it answer as it should?
//!
//! One GET over a fresh HTTP/1.1 connection; redirects are answers like any other and are not followed. `host` goes
//! into the Host header, SNI and the certificate check; `address` and `port` are what is connected to. Heads beyond
//! [`HEAD_LIMIT`] and anything after the first [`BODY_LIMIT`] bytes of a body are not read.

use std::error::Error;
use std::io;
use std::pin::pin;

use ::http::uri::Authority;
use ::http::{Request, Uri, header};
use bytes::Bytes;
use consensus::model::{Endpoint, Expect, FaultKind, Scheme};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::fault::{Trouble, When, of_io};
use crate::names::bare;
use crate::phases::{Stage, Stopwatch};
use crate::{Means, tcp, tls};

/// The most bytes of a status line and headers.
const HEAD_LIMIT: usize = 32 * 1024;
/// The most headers of an answer; as many as hyper takes by default.
const HEADER_LIMIT: usize = 100;
/// The most bytes of a body that are read and searched.
const BODY_LIMIT: usize = 64 * 1024;

const USER_AGENT: &str = concat!("quorate/", env!("CARGO_PKG_VERSION"));

/// Asks once.
pub(crate) async fn look(
    endpoint: &Endpoint,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<(), Trouble> {
    let request = request(endpoint)?;
    let stream = tcp::connect(&endpoint.address, endpoint.port, means, watch).await?;
    match endpoint.scheme {
        Scheme::Http | Scheme::Tcp => exchange(stream, request, &endpoint.expect, watch).await,
        Scheme::Https => {
            let stream = secured(stream, endpoint, means, watch).await?;
            exchange(stream, request, &endpoint.expect, watch).await
        }
    }
}

/// What it shows of itself before anything is asked.
pub(crate) async fn certificate(
    endpoint: &Endpoint,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<CertificateDer<'static>, Trouble> {
    let stream = tcp::connect(&endpoint.address, endpoint.port, means, watch).await?;
    let stream = secured(stream, endpoint, means, watch).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let none = || Trouble::theirs(FaultKind::Certificate, "the server presents no certificate");
    shown.map(|it| it.clone().into_owned()).ok_or_else(none)
}

async fn secured(
    stream: TcpStream,
    endpoint: &Endpoint,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<TlsStream<TcpStream>, Trouble> {
    watch.enter(Stage::Tls);
    let config = means.trust.for_endpoint(endpoint.authority.as_deref())?;
    tls::handshake(stream, checked_name(endpoint), config).await
}

fn request(endpoint: &Endpoint) -> Result<Request<Empty<Bytes>>, Trouble> {
    let path = match endpoint.path.as_str() {
        "" => "/",
        path => path,
    };
    let target = path.parse::<Uri>().ok().filter(|uri| uri.host().is_none()).ok_or_else(|| {
        Trouble::local(format!(
            "cannot ask for `{path}`: expected a path and query such as `/health`"
        ))
    })?;
    Request::get(target)
        .header(header::HOST, host_header(endpoint))
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| Trouble::local(format!("cannot ask `{}`: {error}", host_header(endpoint))))
}

/// `host` as given; else the address, with the port where it is not the scheme's own.
fn host_header(endpoint: &Endpoint) -> String {
    if let Some(host) = &endpoint.host {
        return host.clone();
    }
    let host = match bare(&endpoint.address) {
        address if address.contains(':') => format!("[{address}]"),
        address => address.to_owned(),
    };
    match (endpoint.scheme, endpoint.port) {
        (Scheme::Http, 80) | (Scheme::Https, 443) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

/// The name that the certificate must be for: `host` without a port, else the address.
fn checked_name(endpoint: &Endpoint) -> &str {
    let Some(host) = &endpoint.host else { return bare(&endpoint.address) };
    match host.parse::<Authority>() {
        Ok(parsed) if parsed.port().is_some() => {
            bare(&host[..host.len() - parsed.port().map_or(0, |port| port.as_str().len() + 1)])
        }
        Ok(_) | Err(_) => bare(host),
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
    expect: &Expect,
    watch: &mut Stopwatch,
) -> Result<(), Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    watch.enter(Stage::Process);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_LIMIT)
        .max_headers(HEADER_LIMIT)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| of_hyper(&error))?;
    // The connection moves only while it is polled; polled beside the question, it ends with it and leaves no task.
    #[expect(clippy::redundant_async_block, reason = "the block drops the connection when it ends")]
    let mut connection = pin!(async move { connection.await });
    let mut question = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| of_hyper(&error))?;
        watch.enter(Stage::Transfer);
        let status = response.status().as_u16();
        let body = read(response.into_body()).await?;
        check(status, &body, expect)
    });
    let ended = tokio::select! {
        biased;
        answer = &mut question => return answer,
        ended = &mut connection => ended,
    };
    // What had arrived before the end is still to be read; why it ended is known better by the connection.
    match (question.await, ended) {
        (Err(Trouble::Theirs(fault)), Err(error)) if fault.kind == FaultKind::Reset => {
            Err(of_hyper(&error))
        }
        (answer, _) => answer,
    }
}

/// The first [`BODY_LIMIT`] bytes.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| of_hyper(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        bytes.extend_from_slice(&data[..data.len().min(BODY_LIMIT - bytes.len())]);
        if bytes.len() == BODY_LIMIT {
            break;
        }
    }
    Ok(bytes)
}

fn check(status: u16, body: &[u8], expect: &Expect) -> Result<(), Trouble> {
    let welcome = match expect.status.as_slice() {
        [] => (200..300).contains(&status),
        listed => listed.contains(&status),
    };
    if !welcome {
        let expected = match expect.status.as_slice() {
            [] => "2xx".to_owned(),
            listed => listed.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
        };
        let text = format!("status {status}, expected {expected}");
        return Err(Trouble::theirs(FaultKind::Status, text));
    }
    let Some(wanted) = &expect.body else { return Ok(()) };
    let found =
        wanted.is_empty() || body.windows(wanted.len()).any(|part| part == wanted.as_bytes());
    match found {
        true => Ok(()),
        false => {
            let wanted: String = wanted.chars().take(60).collect();
            let text = format!("the body's first {} bytes lack `{wanted}`", body.len());
            Err(Trouble::theirs(FaultKind::Body, text))
        }
    }
}

fn of_hyper(error: &hyper::Error) -> Trouble {
    if let Some(error) = io_within(error) {
        return match error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            true => tls::of_tls(error),
            false => of_io(error, When::Later, "reading the answer"),
        };
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Trouble::theirs(FaultKind::Reset, "connection closed before the answer's end");
    }
    // hyper tells this kind by a method only to its servers.
    if error.is_parse() && error.to_string().contains("too large") {
        let text =
            format!("the answer's head exceeds {HEAD_LIMIT} bytes or {HEADER_LIMIT} headers");
        return Trouble::theirs(FaultKind::Protocol, text);
    }
    Trouble::theirs(FaultKind::Protocol, format!("not an HTTP/1.1 answer: {error}"))
}

fn io_within(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(scheme: Scheme, address: &str, port: u16, host: Option<&str>) -> Endpoint {
        Endpoint {
            name: "web-1".parse().expect("a name"),
            scheme,
            address: address.to_owned(),
            port,
            path: "/".to_owned(),
            host: host.map(str::to_owned),
            expect: Expect::default(),
            authority: None,
        }
    }

    #[test]
    fn host_overrides_header_and_name_and_the_address_stands_in_for_it() {
        let cases = [
            (Scheme::Http, "192.0.2.1", 80, None, "192.0.2.1", "192.0.2.1"),
            (Scheme::Http, "192.0.2.1", 443, None, "192.0.2.1:443", "192.0.2.1"),
            (Scheme::Https, "a.example", 443, None, "a.example", "a.example"),
            (Scheme::Https, "2001:db8::1", 8443, None, "[2001:db8::1]:8443", "2001:db8::1"),
            (Scheme::Https, "[2001:db8::1]", 443, None, "[2001:db8::1]", "2001:db8::1"),
            (Scheme::Https, "192.0.2.1", 8443, Some("b.example"), "b.example", "b.example"),
            (Scheme::Https, "192.0.2.1", 1, Some("b.example:8443"), "b.example:8443", "b.example"),
            (Scheme::Https, "192.0.2.1", 1, Some("[::1]:8443"), "[::1]:8443", "::1"),
        ];
        for (scheme, address, port, host, header, name) in cases {
            let endpoint = endpoint(scheme, address, port, host);
            assert_eq!(host_header(&endpoint), header, "{address} {host:?}");
            assert_eq!(checked_name(&endpoint), name, "{address} {host:?}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_asked_for_is_our_own_fault() {
        for path in ["no slash", "http://other.example/", "/a b", "/\u{7}"] {
            let endpoint =
                Endpoint { path: path.to_owned(), ..endpoint(Scheme::Http, "a", 80, None) };
            assert!(matches!(request(&endpoint), Err(Trouble::Ours(_))), "{path}");
        }
    }

    #[test]
    fn status_and_body_are_checked_in_this_order() {
        let expect = |status: &[u16], body: Option<&str>| Expect {
            status: status.to_vec(),
            body: body.map(str::to_owned),
        };
        let cases = [
            (200, "ok", expect(&[], None), None),
            (299, "", expect(&[], None), None),
            (301, "", expect(&[], None), Some(FaultKind::Status)),
            (301, "", expect(&[301, 302], None), None),
            (200, "", expect(&[204], None), Some(FaultKind::Status)),
            (200, "all is well", expect(&[], Some("is well")), None),
            (200, "all is", expect(&[], Some("is well")), Some(FaultKind::Body)),
            (500, "is well", expect(&[], Some("is well")), Some(FaultKind::Status)),
            (200, "", expect(&[], Some("")), None),
        ];
        for (status, body, expect, kind) in cases {
            let found = match check(status, body.as_bytes(), &expect) {
                Ok(()) => None,
                Err(Trouble::Theirs(fault) | Trouble::Ours(fault)) => Some(fault.kind),
            };
            assert_eq!(found, kind, "{status} {body} {expect:?}");
        }
    }
}
