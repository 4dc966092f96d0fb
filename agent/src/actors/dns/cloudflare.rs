//! Cloudflare: one batch is one transaction. It deletes the marker by its number, which fails once another was written.

use consensus::model::ActionFault;
use hickory_proto::rr::{RData, RecordType};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::plan::Plan;
use super::provider::{
    Change, Changed, Held, Zone, authorization, bare_text, read_data, read_kind, written,
};
use crate::records::Bound;

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
    /// Of types that it takes apart.
    #[serde(default)]
    data: Value,
}

impl Listing {
    /// As a master file writes it: what is taken apart has no text that is documented.
    fn text(&self) -> String {
        let part = |key: &str| match &self.data[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let host = |key: &str| format!("{}.", part(key).trim_end_matches('.'));
        match (self.r#type.as_str(), self.data.is_object()) {
            ("SRV", true) => {
                let [priority, weight, port] = ["priority", "weight", "port"].map(part);
                format!("{priority} {weight} {port} {}", host("target"))
            }
            ("CAA", true) => format!("{} {} \"{}\"", part("flags"), part("tag"), part("value")),
            ("HTTPS", true) => {
                format!("{} {} {}", part("priority"), host("target"), part("value"))
            }
            _ => self.content.clone(),
        }
    }
}

/// What a record holds, as it is sent.
fn content(data: &RData) -> (&'static str, Value) {
    if let RData::SRV(it) = data {
        let target = bare_text(&it.target);
        let parts = json!({ "priority": it.priority, "weight": it.weight, "port": it.port, "target": target });
        return ("data", parts);
    }
    if let Some((flags, tag, value)) = authorization(data) {
        return ("data", json!({ "flags": flags, "tag": tag, "value": value }));
    }
    if let (RData::HTTPS(_), Some(it)) = (data, Bound::of(data)) {
        let value = it.parameters.join(" ");
        return ("data", json!({ "priority": it.priority, "target": it.target, "value": value }));
    }
    let text = written(data);
    // Names go without their final dot here.
    let text = if text.ends_with('"') { text.as_str() } else { text.trim_end_matches('.') };
    ("content", text.into())
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
                let text = record.text();
                held.push(Held {
                    name: name.clone(),
                    kind,
                    ttl: record.ttl,
                    data: read_data(kind, &text),
                    text,
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
                let (key, holds) = content(&record.data);
                let mut sent = json!({
                    "name": bare_text(&record.name), "type": record.record_type().to_string(),
                    "ttl": record.ttl, key: holds,
                });
                // Nothing else can be led through its own servers.
                if matches!(
                    record.record_type(),
                    RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::TXT
                ) {
                    sent["proxied"] = false.into();
                }
                sent
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
