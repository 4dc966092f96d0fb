//! Paths → answers. Everything is JSON, errors too: `{"error": "…"}`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use consensus::model::{AppId, AppState, Epoch};
use consensus::view::{AppView, View};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Mutex, Semaphore, watch};

use super::history::{History, Question, Story};
use super::metrics::Counters;
use super::page::{PAGE, Page};
use super::serve::Caller;
use super::{Beside, ParseApp, command, events, explain, metrics, openapi};
use crate::authority;
use crate::clock;
use crate::guard::Doors;
use crate::readiness::Readiness;
use crate::run::Handle;
use crate::standing::Standing;
use crate::tails::Tails;

/// How long the loop may take to say what it sees: it never waits for anything, so this is a hundred times too long.
const VIEW_LIMIT: Duration = Duration::from_secs(2);
/// A view so young is shown again, so that many readers cost the loop no more than a few.
const VIEW_AGE: Duration = Duration::from_millis(50);
/// The entries of the history that are shown unless more are asked for, and the most.
const ENTRIES: (usize, usize) = (100, 1_000);
/// What every request needs.
pub struct Shared {
    pub handle: Handle,
    pub parse: ParseApp,
    pub history: Arc<History>,
    pub counters: Counters,
    /// What the DNS server here answered, if there is one.
    pub answered: Option<Arc<authority::Counters>>,
    /// Who still hands out old addresses.
    pub tails: Tails,
    /// The doors of this host.
    pub doors: Doors,
    /// What would keep stacks from serving.
    pub readiness: Readiness,
    pub stopped: watch::Receiver<bool>,
    /// The last view and its age.
    pub view: Mutex<Option<(Instant, Arc<View>)>>,
    /// Places for readers of events.
    pub watchers: Arc<Semaphore>,
    /// One at a time may read the history's files.
    pub readers: Semaphore,
}

/// An error, with its status.
#[derive(Debug)]
pub struct Failure(pub StatusCode, pub String);

impl Failure {
    /// There is no such thing.
    pub fn missing(what: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, what.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

type Answer<T> = Result<Json<T>, Failure>;
type Agent = State<Arc<Shared>>;

/// Every path; commands only where the caller is known.
pub fn router(shared: Arc<Shared>, commands: bool) -> Router {
    let router = Router::new()
        .route("/", get(page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .route("/openapi.json", get(openapi::document))
        .route("/api/v1/status", get(status))
        .route("/api/v1/members", get(members))
        .route("/api/v1/voters", get(voters))
        .route("/api/v1/apps/{app}", get(app))
        .route("/api/v1/apps/{app}/definition", get(definition))
        .route("/api/v1/apps/{app}/state/{stack}", get(state))
        .route("/api/v1/explain/{app}", get(explanation))
        .route("/api/v1/history", get(history))
        .route("/api/v1/events", get(events::stream));
    let router = match commands {
        true => router
            .route("/api/v1/apply", post(command::apply))
            .route("/api/v1/voters", post(command::voters))
            .route("/api/v1/apps/{app}/switchover", post(command::switchover))
            .route("/api/v1/apps/{app}/failover", post(command::failover))
            .route("/api/v1/apps/{app}/freeze", post(command::freeze))
            .route("/api/v1/apps/{app}/unfreeze", post(command::unfreeze))
            .route("/api/v1/apps/{app}/ack", post(command::ack))
            .route("/api/v1/apps/{app}/abort", post(command::abort))
            .route("/api/v1/apps/{app}/approve", post(command::approve)),
        false => router
            .route("/api/v1/apply", post(command::forbidden))
            .route("/api/v1/voters", post(command::forbidden))
            .route("/api/v1/apps/{app}/switchover", post(command::forbidden))
            .route("/api/v1/apps/{app}/failover", post(command::forbidden))
            .route("/api/v1/apps/{app}/freeze", post(command::forbidden))
            .route("/api/v1/apps/{app}/unfreeze", post(command::forbidden))
            .route("/api/v1/apps/{app}/ack", post(command::forbidden))
            .route("/api/v1/apps/{app}/abort", post(command::forbidden))
            .route("/api/v1/apps/{app}/approve", post(command::forbidden)),
    };
    router
        .fallback(async || Failure::missing("no such path; the API is under `/api/v1/`"))
        .method_not_allowed_fallback(async || {
            Failure(StatusCode::METHOD_NOT_ALLOWED, "no such method on this path".into())
        })
        .layer(middleware::from_fn_with_state(shared.clone(), around))
        .with_state(shared)
}

/// What holds for every request: it is counted, and it comes from nobody who was tricked into asking.
async fn around(State(shared): Agent, request: Request, next: Next) -> Response {
    let mut response = match asked_by_name(&request) {
        Some(host) => Failure(
            StatusCode::FORBIDDEN,
            format!("asked for as `{host}`: use `localhost` or an address"),
        )
        .into_response(),
        None => next.run(request).await,
    };
    shared.counters.answered(response.status());
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The name that a browser believes to be talking to, unless it is harmless: a page elsewhere can point its own name at
/// loopback (DNS rebinding), but it cannot make the browser say an address.
fn asked_by_name(request: &Request) -> Option<String> {
    if request.extensions().get() != Some(&Caller::Tcp) {
        return None;
    }
    let host = request.headers().get(HOST)?.to_str().unwrap_or("?");
    let authority: http::uri::Authority = match host.parse() {
        Ok(authority) => authority,
        Err(_) => return Some(host.to_owned()),
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let harmless =
        name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok();
    (!harmless).then(|| host.to_owned())
}

impl Shared {
    /// What it says beside its view.
    fn beside(&self) -> Beside {
        let (tails, guard) = (self.tails.views(), self.doors.view());
        Beside { tails, guard, readiness: self.readiness.views() }
    }

    /// What the agent sees, now or a moment ago.
    pub async fn view(&self) -> Result<Arc<View>, Failure> {
        let mut last = self.view.lock().await;
        if let Some((at, view)) = &*last
            && at.elapsed() < VIEW_AGE
        {
            return Ok(view.clone());
        }
        let view = match tokio::time::timeout(VIEW_LIMIT, self.handle.view()).await {
            Ok(Some(view)) => Arc::new(view),
            Ok(None) => return Err(unavailable("the agent is stopping")),
            Err(_) => return Err(unavailable("the agent's loop does not answer")),
        };
        *last = Some((Instant::now(), view.clone()));
        Ok(view)
    }

    /// The next view is a new one: whoever had something changed sees that it is so.
    pub async fn changed(&self) {
        *self.view.lock().await = None;
    }

    /// What was agreed about an app.
    pub fn agreed(&self, app: &AppId) -> Option<Arc<AppState>> {
        let agreed = self.handle.agreed();
        let agreed = agreed.borrow();
        agreed.apps.iter().find(|state| state.definition.name == *app).cloned()
    }

    /// What the history knows; whole decisions are read from the files, one at a time.
    pub async fn ask(&self, question: Question) -> Result<Story, Failure> {
        if question.epoch.is_none() {
            return Ok(self.history.ask(&question));
        }
        let _reader = self.readers.acquire().await.map_err(|_| unavailable("stopping"))?;
        let history = self.history.clone();
        tokio::task::spawn_blocking(move || history.ask(&question))
            .await
            .map_err(|_| unavailable("the history could not be read"))
    }
}

fn unavailable(why: &str) -> Failure {
    Failure(StatusCode::SERVICE_UNAVAILABLE, why.into())
}

/// A view, and who shows it.
#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    #[serde(flatten)]
    view: &'a View,
    #[serde(flatten)]
    beside: Beside,
}

async fn status(State(shared): Agent) -> Result<Response, Failure> {
    let view = shared.view().await?;
    let document =
        Document { version: env!("CARGO_PKG_VERSION"), view: &view, beside: shared.beside() };
    Ok(Json(document).into_response())
}

async fn members(State(shared): Agent) -> Result<Response, Failure> {
    Ok(Json(&shared.view().await?.members).into_response())
}

async fn voters(State(shared): Agent) -> Result<Response, Failure> {
    Ok(Json(&shared.view().await?.voters).into_response())
}

async fn app(State(shared): Agent, Path(app): Path<String>) -> Result<Response, Failure> {
    let view = shared.view().await?;
    Ok(Json(find(&view, &app)?).into_response())
}

/// The app of this name.
pub fn find<'a>(view: &'a View, app: &str) -> Result<&'a AppView, Failure> {
    view.apps.iter().find(|found| found.app.as_str() == app).ok_or_else(|| unknown_app(app))
}

/// There is no such app.
pub fn unknown_app(app: &str) -> Failure {
    let app: String = app.chars().take(consensus::model::NAME_LIMIT).collect();
    Failure::missing(format!("no app `{app}` here; `quorate status` lists them"))
}

/// An app's name, if it is one.
pub fn app_id(app: &str) -> Result<AppId, Failure> {
    app.parse().map_err(|_| unknown_app(app))
}

#[derive(Serialize)]
struct Defined {
    revision: u64,
    definition: Arc<consensus::model::Definition>,
}

async fn definition(State(shared): Agent, Path(app): Path<String>) -> Answer<Defined> {
    let state = shared.agreed(&app_id(&app)?).ok_or_else(|| unknown_app(&app))?;
    Ok(Json(Defined { revision: state.revision, definition: state.definition.clone() }))
}

async fn state(
    State(shared): Agent,
    Path((app, stack)): Path<(String, String)>,
) -> Answer<Standing> {
    let (app, agreed) = (app_id(&app)?, shared.handle.agreed());
    let agreed = agreed.borrow();
    let state = agreed.apps.iter().find(|state| state.definition.name == app);
    let state = state.ok_or_else(|| unknown_app(app.as_str()))?;
    let stack = state.definition.stacks.iter().find(|it| it.name.as_str() == stack);
    let stack = stack.ok_or_else(|| Failure::missing(format!("{app} has no such stack")))?;
    Ok(Json(agreed.standing(state, &stack.name, clock::now())))
}

#[derive(Deserialize)]
struct HistoryQuery {
    app: Option<AppId>,
    limit: Option<usize>,
    epoch: Option<u32>,
}

/// A query, or what is wrong with it.
pub type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

/// What was asked, or a 400 that says why not.
pub fn understood<T>(query: Asked<T>) -> Result<T, Failure> {
    query
        .map(|Query(query)| query)
        .map_err(|error| Failure(StatusCode::BAD_REQUEST, error.body_text()))
}

async fn history(State(shared): Agent, query: Asked<HistoryQuery>) -> Answer<Story> {
    let query = understood(query)?;
    let limit = query.limit.unwrap_or(ENTRIES.0).min(ENTRIES.1);
    let question = Question { app: query.app, epoch: query.epoch.map(Epoch), limit };
    shared.ask(question).await.map(Json)
}

#[derive(Deserialize)]
struct ExplainQuery {
    epoch: Option<u32>,
}

async fn explanation(
    State(shared): Agent,
    Path(name): Path<String>,
    query: Asked<ExplainQuery>,
) -> Answer<explain::Explanation> {
    let epoch = understood(query)?.epoch.map(Epoch);
    let app = app_id(&name)?;
    let view = shared.view().await?;
    let agreed = shared.agreed(&app);
    let Some(epoch) = epoch else {
        let found = find(&view, &name)?;
        let mut explained = explain::now(&view, found, agreed.as_deref());
        explained.readiness = shared.readiness.views();
        explained.readiness.retain(|it| it.app == app);
        return Ok(Json(explained));
    };
    let question = Question { app: Some(app), epoch: Some(epoch), limit: ENTRIES.1 };
    let mut story = shared.ask(question).await?;
    let state = match agreed.filter(|state| state.epoch == epoch) {
        Some(state) => state.as_ref().clone(),
        None => story.states.pop().ok_or_else(|| {
            Failure::missing(format!("epoch {epoch} of `{name}` is not in this agent's history"))
        })?,
    };
    Ok(Json(explain::past(&view, &state, story.entries)))
}

async fn healthz(State(shared): Agent) -> Result<&'static str, Failure> {
    shared.view().await.map(|_| "ok\n")
}

async fn readyz(State(shared): Agent) -> Result<&'static str, Failure> {
    let view = shared.view().await?;
    match view.quorum.needed <= view.quorum.heard {
        true => Ok("ready\n"),
        false => Err(unavailable(&view.quorum.why.clone().unwrap_or_else(|| {
            let quorum = &view.quorum;
            format!(
                "hears {} of {} voters, {} are needed",
                quorum.heard, quorum.voters, quorum.needed
            )
        }))),
    }
}

async fn scrape(State(shared): Agent) -> Result<Response, Failure> {
    let view = shared.view().await?;
    let text = metrics::text(
        &view,
        &shared.beside(),
        &shared.counters,
        shared.answered.as_deref(),
        shared.history.losses(),
    );
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

async fn page() -> Response {
    let Page { html, policy } = &*PAGE;
    let text = |value| HeaderValue::from_static(value);
    let headers = [
        (CONTENT_TYPE, text("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy.clone()),
        (X_FRAME_OPTIONS, text("DENY")),
        (REFERRER_POLICY, text("no-referrer")),
    ];
    (headers, html.as_str()).into_response()
}
