//! One conversation over HTTP with whoever serves a zone: a request, its answer in full, or a fault worded for people.
//!
//! Nothing is sent twice: whether a broken request took effect is not known, and the driver reads before it tries again.

use std::time::Duration;

use bytes::Bytes;
use consensus::model::ActionFault;
use http::header::HeaderValue;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use serde::Deserialize;

use super::meter::{Leave, Meter, Use, left_alone};
use super::plan::Plan;
use crate::web;

/// The most bytes of an answer: a whole zone, where an interface gives nothing less.
const ANSWER_LIMIT: usize = 8 << 20;
/// A change that may go on within this waits for it; its own limit is five seconds.
const WAITS: Duration = Duration::from_millis(1_500);
/// The most characters of somebody else's words that are passed on.
const QUOTE_LIMIT: usize = 200;

/// Where an interface is spoken, who asks, and the connection to it.
pub(super) struct Api {
    base: Uri,
    meter: Meter,
    /// The header that carries the secret, where a fixed one does.
    identity: Option<(&'static str, HeaderValue)>,
    sender: Option<web::Connection>,
}

/// An answer in full.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Where it sends whoever asks, if it does.
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

/// A request, without what every request has.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Path and query below the base.
    pub(super) path: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Api {
    /// Nothing is sent yet.
    pub(super) fn new(plan: &Plan, base: &str, meter: Meter) -> Result<Self, ActionFault> {
        let base: Uri =
            base.parse().map_err(|_| plan.refused(format!("has no usable address: `{base}`")))?;
        match base.host() {
            Some(_) => Ok(Self { base, meter, identity: None, sender: None }),
            None => Err(plan.refused(format!("has no usable address: `{base}`"))),
        }
    }

    /// The same, asked for something else; nothing is kept open until then.
    pub(super) fn of_use(mut self, what: Use) -> Self {
        self.end();
        self.meter = self.meter.of_use(what);
        self
    }

    /// Takes leave for what may be left out.
    pub(super) fn begin(&self) -> Option<Leave> {
        self.meter.begin()
    }

    /// Says who asks, in every request from now on.
    pub(super) fn identified(
        mut self,
        plan: &Plan,
        name: &'static str,
        secret: &str,
    ) -> Result<Self, ActionFault> {
        self.identity = Some((name, sensitive(plan, name, secret)?));
        Ok(self)
    }

    /// Trades what `form` proves for a pass at a door of the same account (RFC 6749 section 4), and shows it from now on.
    pub(super) async fn admitted(
        self,
        plan: &Plan,
        door: &str,
        form: String,
    ) -> Result<Self, ActionFault> {
        #[derive(Deserialize)]
        struct Pass {
            access_token: String,
        }
        let mut door = Self::new(plan, door, self.meter.clone())?;
        let pairs = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let headers = headers(plan, pairs)?;
        let ask = Ask { method: Method::POST, path: "", headers, body: form.into_bytes() };
        let pass: Pass = door.ask(plan, ask).await?.json(plan)?;
        self.identified(plan, "authorization", &format!("Bearer {}", pass.access_token))
    }

    /// Sends JSON, or nothing, and reads the answer.
    pub(super) async fn call(
        &mut self,
        plan: &Plan,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, ActionFault> {
        let pairs = [("content-type", "application/json".to_owned())];
        self.ask(plan, Ask { method, path, headers: headers(plan, pairs)?, body }).await
    }

    /// Host and port, as they stand in a Host header.
    pub(super) fn host(&self) -> &str {
        self.base.authority().map_or("", |authority| authority.as_str())
    }

    /// The path of a request as it is sent; with nothing below it, the base's own with its query.
    pub(super) fn full_path(&self, path: &str) -> String {
        match path {
            "" => self.base.path_and_query().map_or("/", |whole| whole.as_str()).to_owned(),
            below => format!("{}{below}", self.base.path().trim_end_matches('/')),
        }
    }

    /// Sends a request and reads its answer.
    pub(super) async fn ask(&mut self, plan: &Plan, ask: Ask<'_>) -> Result<Answer, ActionFault> {
        let mut request = Request::new(Full::new(Bytes::from(ask.body)));
        *request.method_mut() = ask.method;
        *request.uri_mut() = self
            .full_path(ask.path)
            .parse()
            .map_err(|_| plan.refused(format!("cannot be asked for `{}`", ask.path)))?;
        let headers = request.headers_mut();
        *headers = ask.headers;
        if let Some((name, secret)) = &self.identity {
            headers.insert(*name, secret.clone());
        }
        if let Ok(host) = self.host().parse() {
            headers.insert(header::HOST, host);
        }
        headers.insert(header::USER_AGENT, HeaderValue::from_static(web::USER_AGENT));

        self.take_leave(plan).await?;
        let broke = |error: hyper::Error| plan.unclear(format!("broke the connection: {error}"));
        let sender = self.connected(plan).await?;
        let response = sender.send_request(request).await.map_err(broke)?;
        let status = response.status();
        let later = later(response.headers());
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|it| it.to_str().ok()).map(shown);
        let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
        let body = body.map_err(|error| plan.unclear(format!("broke off its answer: {error}")))?;
        let answer = Answer { status, location, body: body.to_bytes() };
        if answer.says_later() || (later.is_some() && status.is_server_error()) {
            self.meter.shut(later);
        }
        Ok(answer)
    }

    /// Waits for as long as the provider wants to be left alone, if that is not long.
    async fn take_leave(&self, plan: &Plan) -> Result<(), ActionFault> {
        loop {
            match self.meter.take() {
                Ok(()) => return Ok(()),
                Err(left) if left <= WAITS => tokio::time::sleep(left).await,
                Err(left) => return Err(plan.unclear(left_alone(left))),
            }
        }
    }

    async fn connected(
        &mut self,
        plan: &Plan,
    ) -> Result<&mut SendRequest<Full<Bytes>>, ActionFault> {
        if let Some((sender, _)) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.end();
        }
        let kept = match self.sender.take() {
            Some(kept) => kept,
            None => web::connect(&self.base).await.map_err(|error| {
                plan.unclear(format!("is not reached at {}: {error}", self.base))
            })?,
        };
        Ok(&mut self.sender.insert(kept).0)
    }

    /// Hangs up.
    pub(super) fn end(&mut self) {
        if let Some((_, connection)) = self.sender.take() {
            connection.abort();
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.end();
    }
}

/// How long a provider wants to be left alone, if it says so in seconds; dates are for caches.
fn later(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl Answer {
    /// Was too much asked for? Route 53 says so with 400 and a word.
    fn says_later(&self) -> bool {
        let throttled =
            || self.status == StatusCode::BAD_REQUEST && self.quoted().contains("Throttling");
        self.status == StatusCode::TOO_MANY_REQUESTS || throttled()
    }

    /// Its body, if all is well; else what the status means, whoever answered.
    pub(super) fn well(&self, plan: &Plan) -> Result<&[u8], ActionFault> {
        let status = self.status.as_u16();
        let said = self.quoted();
        match status {
            200..=299 => Ok(&self.body),
            _ if self.says_later() => {
                Err(plan.unclear(format!("asks to come again later ({status}){said}")))
            }
            300..=399 => {
                let to = self.location.as_deref().unwrap_or("nowhere");
                Err(plan
                    .refused(format!("redirects ({status}) to `{to}`, where no secret is sent")))
            }
            401 | 403 => Err(plan.refused(format!("refuses the credential ({status}){said}"))),
            404 => Err(plan.refused(format!("knows no such zone (404){said}"))),
            408 | 409 | 425 => {
                Err(plan.unclear(format!("asks to come again later ({status}){said}")))
            }
            400..=499 => Err(plan.refused(format!("refuses the request ({status}){said}"))),
            _ => Err(plan.unclear(format!("answers {status}{said}"))),
        }
    }

    /// The same, read as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &self,
        plan: &Plan,
    ) -> Result<T, ActionFault> {
        serde_json::from_slice(self.well(plan)?)
            .map_err(|error| plan.unclear(format!("answers with what is not expected: {error}")))
    }

    /// What it says, shortened, without anything that would disturb a line.
    pub(super) fn quoted(&self) -> String {
        match shown(&String::from_utf8_lossy(&self.body)).as_str() {
            "" => String::new(),
            shown => format!(": {shown}"),
        }
    }
}

/// Somebody else's words, shortened, in one line.
fn shown(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(QUOTE_LIMIT).collect()
}

/// Headers that say who asks and what is sent.
pub(super) fn headers<const N: usize>(
    plan: &Plan,
    pairs: [(&'static str, String); N],
) -> Result<HeaderMap, ActionFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(name, sensitive(plan, name, &value)?);
    }
    Ok(headers)
}

fn sensitive(plan: &Plan, name: &str, text: &str) -> Result<HeaderValue, ActionFault> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        plan.refused(format!("cannot be sent the secret as `{name}`: it holds no plain text"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}
