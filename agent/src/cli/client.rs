//! Asks an agent, over its Unix socket or over HTTP on loopback.
//!
//! One question a connection, everything with a limit, and every failure a line that says what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Where the socket is unless somebody says otherwise.
pub const SOCKET: &str = "/run/quorate/agent.sock";
/// Where the API is read where the socket cannot be.
pub const ADDRESS: &str = "http://127.0.0.1:4791";
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// Which agent to ask.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AgentArgs {
    /// The agent to ask: its socket, or http://ADDRESS:PORT
    #[arg(long, value_name = "PATH|URL", env = "QUORATE_AGENT")]
    pub agent: Option<String>,
}

impl AgentArgs {
    /// A client for the agent named, or for this host's.
    pub fn client(&self) -> Client {
        match self.agent.as_deref().filter(|agent| !agent.is_empty()) {
            Some(agent) => Client::open(agent),
            None => Client { places: vec![place(SOCKET), place(ADDRESS)] },
        }
    }
}

/// Somebody to ask.
#[derive(Clone, Debug)]
pub struct Client {
    places: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Socket(PathBuf),
    /// `host:port`.
    Http(String),
    Unusable(String),
}

fn place(text: &str) -> Place {
    match text.split_once("://") {
        Some(("http", rest)) => {
            let host = rest.trim_end_matches('/');
            match host.parse::<http::uri::Authority>() {
                Ok(authority) if authority.port().is_some() => Place::Http(host.into()),
                Ok(_) if !host.contains('/') => Place::Http(format!("{host}:80")),
                Ok(_) | Err(_) => Place::Unusable(text.into()),
            }
        }
        Some(("unix", path)) => Place::Socket(path.into()),
        Some(_) => Place::Unusable(text.into()),
        None => Place::Socket(text.into()),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Http(host) => write!(f, "http://{host}"),
            Self::Unusable(text) => f.write_str(text),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a socket's path nor an address.
    #[error("cannot use `{0}`: expected the path of an agent's socket, or `http://ADDRESS:PORT`")]
    Place(String),
    /// Nobody is there.
    #[error(
        "no agent answers at `{0}`: start one with `quorate agent`, or say where it is with `--agent` or QUORATE_AGENT"
    )]
    Nobody(String),
    /// Somebody is there, for others.
    #[error(
        "may not talk to the agent at `{0}`: use `sudo`, or join the group that owns the socket"
    )]
    Forbidden(String),
    /// It did not answer.
    #[error("the agent at `{place}` did not answer within {} s", limit.as_secs())]
    Silent {
        /// Where it was asked.
        place: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The answer is not one of an agent's.
    #[error("what answers at `{place}` is not an agent: {why}")]
    Stranger {
        /// Where it was asked.
        place: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The agent says no.
    #[error("{why}")]
    Refused {
        /// HTTP's number.
        status: u16,
        /// The agent's words.
        why: String,
    },
    /// The connection failed in some other way.
    #[error("cannot ask the agent at `{place}`: {why}")]
    Failed {
        /// Where it was asked.
        place: String,
        /// The cause.
        why: String,
    },
}

impl Client {
    /// The agent at a socket's path or an `http://` address.
    pub fn open(place_or_url: &str) -> Self {
        Self { places: vec![place(place_or_url)] }
    }

    /// Reads.
    ///
    /// # Errors
    /// If nobody answers, the answer is none of an agent's, or the agent refuses.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.read(path).await
    }

    /// Reads straight into a type.
    ///
    /// # Errors
    /// As [`Client::get`], and if the answer is not of the type.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (at, status, body) = self.ask(LIMIT, Method::GET, path, "", Bytes::new()).await?;
        match status.is_success() {
            true => serde_json::from_slice(&body).map_err(|error| ClientError::Stranger {
                place: at.to_string(),
                why: error.to_string(),
            }),
            false => Err(refusal(&at, status, &body)),
        }
    }

    /// Asks for something; the status and the answer, whatever they are.
    ///
    /// # Errors
    /// If nobody answers, or the answer is no JSON.
    pub async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<(u16, Value), ClientError> {
        self.post_within(LIMIT, path, content_type, body).await
    }

    /// The same for what takes its time.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn post_within(
        &self,
        limit: Duration,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<(u16, Value), ClientError> {
        let asked = self.ask(limit, Method::POST, path, content_type, body.into());
        let (at, status, body) = asked.await?;
        match serde_json::from_slice(&body) {
            Ok(answer) => Ok((status.as_u16(), answer)),
            Err(error) => {
                Err(ClientError::Stranger { place: at.to_string(), why: error.to_string() })
            }
        }
    }

    /// Asks at the first place where somebody is; the error is the first place's.
    async fn ask(
        &self,
        limit: Duration,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<(Place, StatusCode, Bytes), ClientError> {
        let mut first = None;
        for place in &self.places {
            let asking = place.ask(method.clone(), path, content_type, body.clone());
            let silent = || ClientError::Silent { place: place.to_string(), limit };
            match tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| Err(silent())) {
                Ok((status, body)) => return Ok((place.clone(), status, body)),
                // A command goes to nobody else than whom it was meant for.
                Err(error) if method != Method::GET => return Err(error),
                Err(error @ (ClientError::Nobody(_) | ClientError::Forbidden(_))) => {
                    first.get_or_insert(error);
                }
                Err(error) => return Err(first.unwrap_or(error)),
            }
        }
        Err(first.unwrap_or_else(|| ClientError::Nobody("nowhere".into())))
    }
}

impl Place {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let host = match self {
            Self::Http(host) => host.as_str(),
            Self::Socket(_) | Self::Unusable(_) => "localhost",
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::new(body)).map_err(|error| self.failed(&error))?;
        match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|e| self.unreached(&e))?;
                self.exchange(stream, request).await
            }
            Self::Http(host) => {
                let stream = TcpStream::connect(host).await.map_err(|e| self.unreached(&e))?;
                self.exchange(stream, request).await
            }
            Self::Unusable(text) => Err(ClientError::Place(text.clone())),
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = TokioIo::new(stream);
        let (mut sender, connection) =
            http1::handshake(stream).await.map_err(|error| self.failed(&error))?;
        let answering = async {
            let response = sender.send_request(request).await.map_err(|e| self.stranger(&e))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => self.stranger(&format!("more than {ANSWER_LIMIT} bytes")),
                false => self.failed(&error),
            })?;
            Ok((status, body.to_bytes()))
        };
        let mut answering = std::pin::pin!(answering);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            answer = answering.as_mut() => answer,
            // The connection may be over before its last bytes are looked at.
            _ = connection.as_mut() => answering.await,
        }
    }

    fn unreached(&self, error: &io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::Nobody(self.to_string())
            }
            io::ErrorKind::PermissionDenied => ClientError::Forbidden(self.to_string()),
            _ => self.failed(error),
        }
    }

    fn failed(&self, why: &dyn fmt::Display) -> ClientError {
        ClientError::Failed { place: self.to_string(), why: why.to_string() }
    }

    fn stranger(&self, why: &dyn fmt::Display) -> ClientError {
        ClientError::Stranger { place: self.to_string(), why: why.to_string() }
    }
}

fn refusal(at: &Place, status: StatusCode, body: &[u8]) -> ClientError {
    let why = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|body| body["error"].as_str().map(str::to_owned));
    match why {
        Some(why) => ClientError::Refused { status: status.as_u16(), why },
        None => ClientError::Stranger { place: at.to_string(), why: format!("status {status}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_named_by_path_or_address() {
        assert_eq!(place("/run/a.sock"), Place::Socket("/run/a.sock".into()));
        assert_eq!(place("unix:///run/a.sock"), Place::Socket("/run/a.sock".into()));
        assert_eq!(place("http://127.0.0.1:4791/"), Place::Http("127.0.0.1:4791".into()));
        assert_eq!(place("http://[::1]:4791"), Place::Http("[::1]:4791".into()));
        assert_eq!(place("http://localhost"), Place::Http("localhost:80".into()));
        for bad in ["https://127.0.0.1:4791", "http://", "http://a/b"] {
            assert!(matches!(place(bad), Place::Unusable(_)), "{bad}");
        }
    }
}
