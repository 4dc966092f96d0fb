//! What a person asks for → a command → what became of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json, Response};
use consensus::model::{AppId, StackId, VotersChange};
use consensus::outbox::{Answer, Command};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::api::{Asked, Failure, Shared, app_id, understood};
use super::serve::Caller;

/// The most bytes of an app file; twice what its encoded definition may have.
const APP_FILE_LIMIT: usize = 64 * 1024;
/// The most bytes of any other command.
const COMMAND_BYTES: usize = 4 * 1024;
/// How long a command's body may take to come.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// How long a command may take to be agreed; less than clients wait, so that they hear of it.
const COMMAND_LIMIT: Duration = Duration::from_secs(9);
/// How long a change of voters may take: both sets stay in force for as long as a lease may run (PROTOCOL.md 0.1 a), and
/// every register is swept meanwhile.
pub const VOTERS_LIMIT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
pub struct ApplyQuery {
    replaces: Option<u64>,
    active: Option<StackId>,
}

/// `POST /api/v1/apply`: an app file.
pub async fn apply(
    State(shared): State<Arc<Shared>>,
    query: Asked<ApplyQuery>,
    body: Body,
) -> Result<Response, Failure> {
    let ApplyQuery { replaces, active } = understood(query)?;
    let bytes = read(body, APP_FILE_LIMIT).await?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| bad(format!("expected an app file in UTF-8: {error}")))?;
    let definition =
        (shared.parse)(text).map_err(|why| Failure(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    ask(&shared, Command::Apply { definition: Arc::new(definition), replaces, active }).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Switchover {
    to: Option<StackId>,
    well_for: Option<String>,
    now: bool,
}

/// `POST /api/v1/apps/{app}/switchover`: `{"to": …, "well_for": "30m", "now": true}`.
pub async fn switchover(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    let app = app_id(&app)?;
    let Switchover { to, well_for, now: at_once } = parsed(body).await?;
    let span = |text: String| {
        let found = crate::config::duration(&text);
        found.ok_or_else(|| bad(format!("`well_for`: expected a time like `30m`, found `{text}`")))
    };
    let well_for = well_for.map(span).transpose()?;
    ask(&shared, Command::Switchover { app, to, well_for, at_once, by: by(caller) }).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Failover {
    to: Option<StackId>,
    accept_loss: bool,
}

/// `POST /api/v1/apps/{app}/failover`: `{"to": …, "accept_loss": …}`.
pub async fn failover(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    let app = app_id(&app)?;
    let Failover { to, accept_loss } = parsed(body).await?;
    ask(&shared, Command::Failover { app, to, accept_loss, by: by(caller) }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Freeze {
    #[serde(rename = "for")]
    lasts: String,
    #[serde(default)]
    reason: String,
}

impl Default for Freeze {
    fn default() -> Self {
        Self { lasts: "1h".into(), reason: String::new() }
    }
}

/// `POST /api/v1/apps/{app}/freeze`: `{"for": "2h", "reason": …}`.
pub async fn freeze(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    let app = app_id(&app)?;
    let Freeze { lasts, reason } = parsed(body).await?;
    let lasts = crate::config::duration(&lasts)
        .ok_or_else(|| bad(format!("`for`: expected a time like `2h`, found `{lasts}`")))?;
    ask(&shared, Command::Freeze { app, lasts, reason, by: by(caller) }).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Nothing {}

/// `POST /api/v1/apps/{app}/unfreeze`: `{}`.
pub async fn unfreeze(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    said(&shared, caller, &app, body, |app, by| Command::Unfreeze { app, by }).await
}

/// `POST /api/v1/apps/{app}/ack`: `{}`.
pub async fn ack(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    said(&shared, caller, &app, body, |app, by| Command::Ack { app, by }).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Abort {
    accept_loss: bool,
}

/// `POST /api/v1/apps/{app}/abort`: `{"accept_loss": …}`.
pub async fn abort(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    let app = app_id(&app)?;
    let Abort { accept_loss } = parsed(body).await?;
    ask(&shared, Command::Abort { app, accept_loss, by: by(caller) }).await
}

/// `POST /api/v1/apps/{app}/approve`: `{}`.
pub async fn approve(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    said(&shared, caller, &app, body, |app, by| Command::Approve { app, by }).await
}

/// `POST /api/v1/voters`: `{"add": {"agent": …}}`, `{"remove": {"agent": …}}` or `{"replace": {"old": …, "new": …}}`.
pub async fn voters(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Failure> {
    let bytes = read(body, COMMAND_BYTES).await?;
    let change: VotersChange =
        serde_json::from_slice(&bytes).map_err(|error| bad(format!("bad command: {error}")))?;
    let command = Command::Voters { change, by: by(caller) };
    Ok(match answer(&shared, command, VOTERS_LIMIT).await {
        Answer::Agreed { revision, .. } => {
            Json(json!({ "answer": "agreed", "version": revision })).into_response()
        }
        other => response(other),
    })
}

/// Commands where the caller is not known.
pub async fn forbidden() -> Failure {
    Failure(
        StatusCode::FORBIDDEN,
        "commands are taken over the agent's Unix socket only: use `quorate --agent SOCKET`".into(),
    )
}

fn by(caller: Caller) -> String {
    match caller {
        Caller::Tcp => "somebody on this machine".into(),
        Caller::User(name) => name,
    }
}

/// What is said of an app, and needs nothing beside it.
async fn said(
    shared: &Shared,
    caller: Caller,
    app: &str,
    body: Body,
    command: impl FnOnce(AppId, String) -> Command,
) -> Result<Response, Failure> {
    let app = app_id(app)?;
    let Nothing {} = parsed(body).await?;
    ask(shared, command(app, by(caller))).await
}

async fn ask(shared: &Shared, command: Command) -> Result<Response, Failure> {
    Ok(response(answer(shared, command, COMMAND_LIMIT).await))
}

async fn answer(shared: &Shared, command: Command, limit: Duration) -> Answer {
    let answer = tokio::time::timeout(limit, shared.handle.command(command)).await;
    shared.changed().await;
    match answer {
        Ok(Some(answer)) => answer,
        Ok(None) => Answer::Unknown("the agent is stopping".into()),
        Err(_) => Answer::Unknown(format!("nothing was agreed within {} s", limit.as_secs())),
    }
}

fn response(answer: Answer) -> Response {
    let (status, body) = match answer {
        Answer::Agreed { epoch, revision } => {
            (StatusCode::OK, json!({ "answer": "agreed", "epoch": epoch, "revision": revision }))
        }
        Answer::Planned { epoch, runs_out } => {
            let seconds = runs_out.as_secs();
            (StatusCode::OK, json!({ "answer": "planned", "epoch": epoch, "runs_out_s": seconds }))
        }
        Answer::Unchanged => (StatusCode::OK, json!({ "answer": "unchanged" })),
        Answer::Refused(why) => (StatusCode::CONFLICT, json!({ "answer": "refused", "why": why })),
        Answer::Unknown(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "answer": "unknown", "why": why }))
        }
    };
    (status, Json(body)).into_response()
}

async fn parsed<T: DeserializeOwned + Default>(body: Body) -> Result<T, Failure> {
    let bytes = read(body, COMMAND_BYTES).await?;
    match bytes.is_empty() {
        true => Ok(T::default()),
        false => {
            serde_json::from_slice(&bytes).map_err(|error| bad(format!("bad command: {error}")))
        }
    }
}

async fn read(body: Body, limit: usize) -> Result<bytes::Bytes, Failure> {
    match tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => {
            Err(Failure(StatusCode::PAYLOAD_TOO_LARGE, format!("expected at most {limit} bytes")))
        }
        Ok(Err(error)) => Err(bad(format!("the request broke off: {error}"))),
        Err(_) => Err(Failure(StatusCode::REQUEST_TIMEOUT, "the request took too long".into())),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

fn bad(why: String) -> Failure {
    Failure(StatusCode::BAD_REQUEST, why)
}
