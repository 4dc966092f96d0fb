//! A proxy before a real server over HTTP, for what networks and doors do to it: answers that are somebody else's, late, never
//! or endless, while the server behind has done what it was asked for, or has heard nothing of it.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Ill {
    /// It is answered with this, and whether to come again after so many seconds.
    Status(u16, Option<u32>),
    /// It is sent elsewhere.
    Elsewhere(String),
    /// It is passed on with this header spoilt, as if its secret had been revoked.
    Revoked(&'static str),
    /// It is said to be done, and is not passed on.
    Swallowed,
    /// It is passed on, and never answered.
    Silent,
    /// It is passed on, and its connection ends.
    HungUp,
    /// It is passed on, and its answer has no end.
    Endless,
}

/// Which requests are ill, and how.
#[derive(Default)]
struct State {
    ill: Option<Ill>,
    /// Only those that change something?
    writes: bool,
    asked: u32,
    passed: u32,
}

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Before the server of this URL.
    pub async fn start(before: &str) -> Self {
        let before: Uri = before.parse().expect("a URL");
        let server = before.authority().expect("a host").to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, server) = (shared.clone(), server.clone());
                let service =
                    service_fn(move |request| answer(shared.clone(), server.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests are ill from now on.
    pub fn spoil(&self, ill: Ill) {
        self.set(Some(ill), false);
    }

    /// Those that change something are.
    pub fn spoil_writes(&self, ill: Ill) {
        self.set(Some(ill), true);
    }

    /// All are well.
    pub fn heal(&self) {
        self.set(None, false);
    }

    fn set(&self, ill: Option<Ill>, writes: bool) {
        let mut state = self.state.lock().expect("not poisoned");
        (state.ill, state.writes) = (ill, writes);
    }

    /// How many requests came since the last time this was asked, and how many the server was asked for.
    pub fn counted(&self) -> (u32, u32) {
        let mut state = self.state.lock().expect("not poisoned");
        let counted = (state.asked, state.passed);
        (state.asked, state.passed) = (0, 0);
        counted
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer's body.
enum Reply {
    Whole(Full<Bytes>),
    Endless,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context),
            Self::Endless => {
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 65_536])))))
            }
        }
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    server: String,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Box<dyn Error + Send + Sync>> {
    let writes = request.method() != Method::GET;
    let ill = {
        let mut state = state.lock().expect("not poisoned");
        let ill = state.ill.clone().filter(|_| writes || !state.writes);
        let keeps = matches!(ill, Some(Ill::Status(..) | Ill::Elsewhere(_) | Ill::Swallowed));
        state.asked += 1;
        state.passed += u32::from(!keeps);
        ill
    };
    let empty = |status: u16| {
        let mut response = Response::new(Reply::Whole(Full::default()));
        *response.status_mut() = status.try_into().expect("a status");
        response
    };
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    match &ill {
        Some(Ill::Status(status, after)) => {
            let mut response = empty(*status);
            if let Some(after) = after {
                response.headers_mut().insert(header::RETRY_AFTER, (*after).into());
            }
            return Ok(response);
        }
        Some(Ill::Elsewhere(url)) => {
            let mut response = empty(307);
            response.headers_mut().insert(header::LOCATION, url.parse()?);
            return Ok(response);
        }
        Some(Ill::Swallowed) => return Ok(empty(204)),
        Some(Ill::Revoked(name)) => spoil(&mut head.headers, name),
        Some(Ill::Silent | Ill::HungUp | Ill::Endless) | None => {}
    }
    let stream = TokioIo::new(TcpStream::connect(&server).await?);
    let (mut sender, connection) = client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    driver.abort();
    match ill {
        Some(Ill::Silent) => std::future::pending().await,
        Some(Ill::HungUp) => Err("it hangs up".into()),
        Some(Ill::Endless) => Ok(Response::new(Reply::Endless)),
        Some(_) | None => Ok(Response::from_parts(head, Reply::Whole(Full::new(body)))),
    }
}

fn spoil(headers: &mut HeaderMap, name: &'static str) {
    headers.insert(name, header::HeaderValue::from_static("revoked"));
}
