//! Every event as it happens, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use http::StatusCode;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::api::{Failure, Shared};
use crate::run::Event;

/// How many may listen at once.
pub const WATCHERS: usize = 16;
/// How often a silent stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /api/v1/events`. Ends when the agent stops; says so, in the stream, when events were missed.
pub async fn stream(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    let place = shared.watchers.clone().try_acquire_owned().map_err(|_| {
        Failure(StatusCode::SERVICE_UNAVAILABLE, format!("{WATCHERS} listen already"))
    })?;
    let events = shared.handle.events();
    let mut stopped = shared.stopped.clone();
    let lines = unfold((events, place), |(mut events, place)| async move {
        let line = match events.recv().await {
            Ok(event) => line(&event),
            Err(RecvError::Lagged(missed)) => {
                Line::default().event("missed").data(json!({ "missed": missed }).to_string())
            }
            Err(RecvError::Closed) => return None,
        };
        Some((Ok::<_, Infallible>(line), (events, place)))
    });
    let lines = lines.take_until(async move { drop(stopped.wait_for(|stop| *stop).await) });
    Ok(Sse::new(lines).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn line(event: &Event) -> Line {
    let data = match serde_json::to_value(event) {
        Ok(mut data) => {
            data["text"] = event.note.to_string().into();
            data
        }
        Err(_) => json!({ "text": event.note.to_string() }),
    };
    let kind = data["event"].as_str().unwrap_or("event").to_owned();
    Line::default().id(event.number.to_string()).event(kind).data(data.to_string())
}
