//! Cloudflare: one batch is one transaction. It deletes the marker by its number, which fails once another was written.

use consensus::model::ActionFault;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::api::Api;
use super::plan::Plan;
use super::provider::{Change, Changed, Held, Zone, bare_text, read_data, read_kind, written};

pub(super) struct Cloudflare {
    pub(super) api: Api,
    /// The zone's id.
    pub(super) id: String,
}

#[derive(Deserialize)]
struct Listed {
    result: Vec<Listing>,
}

#[derive(Deserialize)]
struct Listing {
    id: String,
    r#type: String,
    content: String,
    ttl: u32,
    #[serde(default)]
    proxied: bool,
}

/// The codes of what is said once somebody else has changed what was read: "Record does not exist", "An A, AAAA, or CNAME record
/// with that host already exists", "The record already exists" and "An identical record already exists".
const MOVED: [&str; 4] = ["81044", "81053", "81057", "81058"];

impl Zone for Cloudflare {
    async fn read(&mut self, plan: &Plan) -> Result<Vec<Held>, ActionFault> {
        let mut held = Vec::new();
        for name in [&plan.name, &plan.marker_name] {
            let path = format!(
                "/client/v4/zones/{}/dns_records?name={}&per_page=100",
                self.id,
                bare_text(name)
            );
            let answer = self.api.call(plan, Method::GET, &path, Vec::new()).await?;
            let listed: Listed = answer.json(plan)?;
            for record in listed.result {
                let Some(kind) = read_kind(&record.r#type) else { continue };
                if record.proxied {
                    return Err(plan.refused(format!(
                        "proxies `{}`: clients never see its records; switch the proxy off for it",
                        bare_text(name)
                    )));
                }
                held.push(Held {
                    name: name.clone(),
                    kind,
                    ttl: record.ttl,
                    data: read_data(kind, &record.content),
                    text: record.content,
                    id: record.id,
                });
            }
        }
        Ok(held)
    }

    async fn change(&mut self, plan: &Plan, change: &Change<'_>) -> Result<Changed, ActionFault> {
        let gone: Vec<_> = change.gone.iter().map(|held| json!({ "id": held.id })).collect();
        let come: Vec<_> = change
            .come
            .iter()
            .map(|record| {
                let text = written(&record.data);
                // Names go without their final dot here.
                let text =
                    if text.ends_with('"') { text.as_str() } else { text.trim_end_matches('.') };
                json!({
                    "name": bare_text(&record.name), "type": record.record_type().to_string(),
                    "ttl": record.ttl, "content": text, "proxied": false,
                })
            })
            .collect();
        let path = format!("/client/v4/zones/{}/dns_records/batch", self.id);
        let body = json!({ "deletes": gone, "posts": come }).to_string().into_bytes();
        let answer = self.api.call(plan, Method::POST, &path, body).await?;
        let said = answer.quoted();
        match answer.status.is_client_error() {
            true if MOVED.iter().any(|code| said.contains(code)) => Ok(Changed::Moved(said)),
            _ => answer.well(plan).map(|_| Changed::Taken),
        }
    }
}
