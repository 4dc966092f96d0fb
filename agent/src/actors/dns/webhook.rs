//! A program of the user's own: it is told what is decided, signed, with the token, and answers whether it did so.
//!
//! 200 or 204: done, or was so already. 409: it holds a newer token. 4xx: it will not. Anything else: not known. It must
//! compare tokens itself; that is all the mesh asks of it.

use consensus::model::{ActionFault, ActionFaultKind, Done};
use http::Method;
use ring::hmac;
use serde_json::json;

use super::api::{Api, Ask, headers};
use super::plan::Plan;
use super::provider::{bare_text, written};
use super::sigv4::hex;
use crate::actors::attempt::{Attempt, fault};

pub(super) async fn publish(
    attempt: &mut Attempt,
    plan: &Plan,
    mut api: Api,
    secret: &str,
) -> Result<Done, ActionFault> {
    let records: Vec<_> = plan
        .records
        .iter()
        .map(|record| {
            json!({
                "type": record.record_type().to_string(), "ttl": record.ttl,
                "data": written(&record.data),
            })
        })
        .collect();
    let marker = &plan.marker;
    let body = json!({
        "app": marker.app.to_string(), "token": marker.token.0, "stack": marker.stack.to_string(),
        "zone": bare_text(&plan.zone), "name": bare_text(&plan.name), "records": records,
    });
    let body = body.to_string().into_bytes();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = format!("sha256={}", hex(hmac::sign(&key, &body).as_ref()));
    let pairs =
        [("content-type", "application/json".to_owned()), ("x-quorate-signature", signature)];
    attempt.commit("calling the webhook")?;
    let headers = headers(plan, pairs)?;
    let answer = api.ask(plan, Ask { method: Method::POST, path: "", headers, body }).await?;
    match answer.status.as_u16() {
        409 => Err(fault(
            ActionFaultKind::Superseded,
            format!("{} holds a newer token{}", plan.holder, answer.quoted()),
        )),
        _ => answer.well(plan).map(|_| plan.done("taken by the webhook")),
    }
}
