//! Amazon Route 53: one change batch deletes the marker that was read and creates the new one, or does nothing at all.

use std::fmt::Write;

use consensus::model::ActionFault;
use http::Method;
use serde::Deserialize;

use super::api::{Answer, Api, Ask, headers};
use super::plan::Plan;
use super::provider::{Change, Changed, Held, Zone, absolute_text, read_data, read_kind};
use super::sigv4::{Scope, Signed, authorization, stamp};
use crate::records::absolute;

/// The most record sets that are asked for at one name: A, AAAA, CNAME, TXT, and what others put there.
const SETS: usize = 20;

pub(super) struct Route53 {
    pub(super) api: Api,
    /// The hosted zone's id.
    pub(super) id: String,
    pub(super) key: String,
    pub(super) secret: String,
    pub(super) wall_ms: fn() -> u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    resource_record_sets: Sets,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sets {
    #[serde(default)]
    resource_record_set: Vec<Set>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Set {
    name: String,
    r#type: String,
    #[serde(default, rename = "TTL")]
    ttl: u32,
    set_identifier: Option<String>,
    resource_records: Option<Records>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    #[serde(default)]
    resource_record: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Value {
    value: String,
}

impl Zone for Route53 {
    async fn read(&mut self, plan: &Plan) -> Result<Vec<Held>, ActionFault> {
        let mut held = Vec::new();
        for name in [&plan.name, &plan.marker_name] {
            let path = format!("/2013-04-01/hostedzone/{}/rrset", self.id);
            let text = absolute_text(name);
            let query = format!("maxitems={SETS}&name={}", escaped(&text));
            let answer = self.ask(plan, Method::GET, &path, &query, String::new()).await?;
            let body = String::from_utf8_lossy(answer.well(plan)?);
            let listed: Listed = quick_xml::de::from_str(&body).map_err(|error| {
                plan.unclear(format!("answers with what is not expected: {error}"))
            })?;
            // The list goes on with the names that follow in the zone.
            let here = listed.resource_record_sets.resource_record_set.into_iter();
            for set in here.filter(|set| absolute(&set.name).as_ref() == Some(name)) {
                let Some(kind) = read_kind(&set.r#type) else { continue };
                let plain = set.resource_records.filter(|_| set.set_identifier.is_none());
                let Some(records) = plain else {
                    return Err(plan.refused(format!(
                        "holds an alias or a routing policy at `{text}` {kind}: quorate replaces plain records only"
                    )));
                };
                held.extend(records.resource_record.into_iter().map(|record| Held {
                    name: name.clone(),
                    kind,
                    ttl: set.ttl,
                    data: read_data(kind, &record.value),
                    text: record.value,
                    id: String::new(),
                }));
            }
        }
        Ok(held)
    }

    async fn change(&mut self, plan: &Plan, change: &Change<'_>) -> Result<Changed, ActionFault> {
        let mut changes = String::new();
        let gone = change.gone_sets().into_iter().map(|set| ("DELETE", set));
        let come = change.sets().into_iter().map(|set| ("CREATE", set));
        for (action, (name, kind, ttl, data)) in gone.chain(come) {
            // Writing to a String cannot fail.
            let _ = write!(
                changes,
                "<Change><Action>{action}</Action><ResourceRecordSet><Name>{}</Name><Type>{kind}</Type>\
                 <TTL>{ttl}</TTL><ResourceRecords>",
                as_xml(&absolute_text(&name)),
            );
            for value in data {
                let value = as_xml(&value);
                let _ = write!(changes, "<ResourceRecord><Value>{value}</Value></ResourceRecord>");
            }
            changes.push_str("</ResourceRecords></ResourceRecordSet></Change>");
        }
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChangeResourceRecordSetsRequest \
             xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Comment>quorate {}</Comment>\
             <Changes>{changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>",
            as_xml(&plan.marker.to_string()),
        );
        let path = format!("/2013-04-01/hostedzone/{}/rrset", self.id);
        let answer = self.ask(plan, Method::POST, &path, "", body).await?;
        let said = answer.quoted();
        match answer.status.as_u16() {
            // All or nothing: a set that was to be deleted is not there as it was, or one to be created is.
            400 if said.contains("InvalidChangeBatch") && is_of_race(&said) => Ok(Changed::Moved),
            400 if said.contains("PriorRequestNotComplete") || said.contains("Throttling") => {
                Err(plan.unclear(format!("asks to come again later{said}")))
            }
            _ => answer.well(plan).map(|_| Changed::Taken),
        }
    }
}

impl Route53 {
    async fn ask(
        &mut self,
        plan: &Plan,
        method: Method,
        path: &str,
        query: &str,
        body: String,
    ) -> Result<Answer, ActionFault> {
        let stamp = stamp((self.wall_ms)());
        let host = self.api.host().to_owned();
        let full = self.api.full_path(path);
        let scope =
            Scope { key: &self.key, secret: &self.secret, region: "us-east-1", service: "route53" };
        let signed = Signed {
            method: method.as_str(),
            path: &full,
            query,
            headers: &[("host", &host), ("x-amz-date", &stamp)],
            body: body.as_bytes(),
        };
        let authorization = authorization(&scope, &stamp, &signed);
        let pairs = [("x-amz-date", stamp), ("authorization", authorization)];
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let ask =
            Ask { method, path: &path, headers: headers(plan, pairs)?, body: body.into_bytes() };
        self.api.ask(plan, ask).await
    }
}

/// Do these words of an invalid change batch mean that somebody else was there?
fn is_of_race(said: &str) -> bool {
    ["not found", "already exists", "do not match", "doesn't match"]
        .iter()
        .any(|words| said.contains(words))
}

/// As part of a query: all but unreserved characters in percent code (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => {
                let _ = write!(escaped, "%{other:02X}");
            }
        }
    }
    escaped
}

fn as_xml(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}
