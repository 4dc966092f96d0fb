//! Cloudflare: one batch is one transaction. It deletes the marker by its number, which fails once another was written.

use consensus::model::ActionFault;
use hickory_proto::rr::{RData, RecordType};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Answer, Api};
use super::plan::Plan;
use super::provider::{
    Change, Changed, Held, Lack, Zone, authorization, bare_text, read_data, read_kind, written,
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

/// The number of a record that never was: they are drawn from 128 bits.
const NEVER: &str = "00000000000000000000000000000000";
/// "Authentication error" and "Unauthorized to access requested resource", of a token that was let in, too.
const DENIED: [u32; 2] = [10_000, 9_109];
/// "Record does not exist".
const GONE: u32 = 81_044;

/// Why not, if that can be read.
#[derive(Default, Deserialize)]
struct Refused {
    #[serde(default)]
    errors: Vec<Coded>,
}

#[derive(Deserialize)]
struct Coded {
    code: u32,
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
        let answer = self.send(plan, &json!({ "deletes": gone, "posts": come })).await?;
        let said = answer.quoted();
        match answer.status.is_client_error() {
            true if MOVED.iter().any(|code| said.contains(code)) => Ok(Changed::Moved(said)),
            _ => answer.well(plan).map(|_| Changed::Taken),
        }
    }

    /// Sends the batch that deletes a record that never was: "DNS Write" is asked for any ("Batch DNS Records"), and with it
    /// the record is not found. The `permissions` of a zone do not tell: they are those of a user's membership of old, and
    /// not the token's ("Zone Details"). Whoever was not let in at all is not let read either.
    async fn lacking(
        &mut self,
        plan: &Plan,
        _: &[RecordType],
    ) -> Result<Option<Lack>, ActionFault> {
        let answer = self.send(plan, &json!({ "deletes": [{ "id": NEVER }] })).await?;
        let refused: Refused = serde_json::from_slice(&answer.body).unwrap_or_default();
        let is = |codes: &[u32]| refused.errors.iter().any(|it| codes.contains(&it.code));
        match answer.status.as_u16() {
            403 if is(&DENIED) => {
                self.read(plan).await?;
                let what = "records".to_owned();
                let grant = format!("the permission `DNS` `Edit` for this zone{}", answer.quoted());
                Ok(Some(Lack { what, grant }))
            }
            _ if is(&[GONE]) => Ok(None),
            _ => answer.well(plan).map(|_| None),
        }
    }
}

impl Cloudflare {
    /// Sends one batch: all of it is made, or nothing.
    async fn send(&mut self, plan: &Plan, batch: &Value) -> Result<Answer, ActionFault> {
        let path = format!("/client/v4/zones/{}/dns_records/batch", self.id);
        self.api.call(plan, Method::POST, &path, batch.to_string().into_bytes()).await
    }
}
