//! A web server inside the test, for interfaces of providers that cannot be run here.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What was asked.
pub struct Asked {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    /// A header's text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The value of a key of the query.
    pub fn query(&self, key: &str) -> Option<&str> {
        let pairs = self.uri.query().unwrap_or_default().split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(it, _)| *it == key).map(|it| it.1)
    }
}

/// What is answered; `None` never ends.
pub type Reply = Option<(u16, String)>;

/// A server whose answers are made by `answer` from its state.
pub struct Web<S> {
    pub address: SocketAddr,
    state: Arc<Mutex<S>>,
    task: tokio::task::JoinHandle<()>,
}

impl<S: Send + 'static> Web<S> {
    pub async fn start(state: S, answer: fn(&mut S, &Asked) -> Reply) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, state, answer).await
    }

    /// At this address of this host.
    pub async fn start_at(at: Ipv4Addr, state: S, answer: fn(&mut S, &Asked) -> Reply) -> Self {
        let listener = TcpListener::bind((at, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request| serve(shared.clone(), answer, request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Looks at its state, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.state.lock().expect("not poisoned"))
    }
}

impl<S> Drop for Web<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S>(
    state: Arc<Mutex<S>>,
    answer: fn(&mut S, &Asked) -> Reply,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    let asked = Asked { method: head.method, uri: head.uri, headers: head.headers, body };
    let reply = answer(&mut state.lock().expect("not poisoned"), &asked);
    let Some((status, body)) = reply else { return std::future::pending().await };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    if status == 429 {
        response.headers_mut().insert("retry-after", 3.into());
    }
    Ok(response)
}
