//! Amazon Route 53: one change batch deletes the marker that was read and creates the new one, or does nothing at all.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use consensus::model::ActionFault;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use http::Method;
use serde::Deserialize;
use tokio::time::timeout;

use super::Order;
use super::api::{Answer, Api, Ask, headers};
use super::meter::Use;
use super::plan::Plan;
use super::provider::{
    Change, Changed, Held, Lack, Zone, absolute_text, bare_text, kinds, listed, read_data,
    read_kind,
};
use super::sigv4::{Scope, Signed, authorization, seconds, stamp};
use super::spread::Watch;
use super::update::NEVER;
use crate::records::absolute;

/// The most record sets that are asked for at once, all that there are at nearly every name: A, AAAA, CNAME, TXT, and what
/// others put there.
const SETS: usize = 20;
/// What it calls a batch that it does not take.
const INVALID: &str = "InvalidChangeBatch";
/// What it says to a key that may not.
const DENIED: &str = "AccessDenied";
/// For how long what is never there would be kept, in seconds.
const NEVER_TTL: u32 = 30;
/// What it says of a change that all of its servers have.
const IN_SYNC: &str = "INSYNC";
/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most pages that are read of one name. A set of a routing policy ends it on its first, so these are plain sets: at most
/// one a type.
const PAGES: usize = 5;

pub(super) struct Route53 {
    pub(super) api: Api,
    /// The hosted zone's id.
    pub(super) id: String,
    pub(super) key: String,
    pub(super) secret: String,
    pub(super) wall_ms: fn() -> u64,
    /// The number of the change that it took last.
    pub(super) taken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    resource_record_sets: Sets,
    is_truncated: bool,
    next_record_name: Option<String>,
    next_record_type: Option<String>,
    next_record_identifier: Option<String>,
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    change_info: ChangeInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeInfo {
    id: String,
    status: String,
}

/// Why not, in either form: a batch that is wrong is told of in its own.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    error: Option<RefusalError>,
    messages: Option<Messages>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RefusalError {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Messages {
    #[serde(default)]
    message: Vec<String>,
}

impl Zone for Route53 {
    async fn read(&mut self, plan: &Plan) -> Result<Vec<Held>, ActionFault> {
        let mut held = Vec::new();
        let marker = &plan.marker_name;
        let next = self.read_name(plan, &plan.name, &mut held).await?;
        // The marker's sets follow those of its name, unless names below it come first: mostly it was read with them. It was
        // if the list ended, or goes on with another name behind it.
        let seen = held.iter().any(|it| it.name == *marker);
        if next.is_some_and(|next| !seen || absolute(&next).as_ref() == Some(marker)) {
            held.retain(|it| it.name != *marker);
            self.read_name(plan, marker, &mut held).await?;
        }
        Ok(held)
    }

    async fn change(&mut self, plan: &Plan, change: &Change<'_>) -> Result<Changed, ActionFault> {
        let answer = self.send(plan, change.gone_sets(), change.sets()).await?;
        let said = String::from_utf8_lossy(&answer.body);
        match answer.status.as_u16() {
            // All or nothing: a set that was to be deleted is not there as it was, or one to be created is.
            400 if said.starts_with(INVALID) && is_of_race(&said) => {
                Ok(Changed::Moved(answer.quoted()))
            }
            // It takes one change of a zone at a time.
            400 if said.starts_with("PriorRequestNotComplete") => {
                Err(plan.unclear(format!("asks to come again later (400){}", answer.quoted())))
            }
            _ => {
                self.taken = told(answer.well(plan)?).and_then(ChangeInfo::number);
                Ok(Changed::Taken)
            }
        }
    }

    /// Sends the batch that would replace what is decided by itself, and, at the marker, a text that is never there: it
    /// deletes that and creates it again, so that it can only be refused, as a whole, and would change nothing if it were
    /// taken. It is of the names, types and actions of a change, which a policy may allow apart ("Using IAM policy conditions
    /// for fine-grained access control"), and of one name, as changes are: each is allowed or not by itself. Whether the key
    /// may is decided first: what is wrong with the batch is said to those alone who may.
    async fn lacking(
        &mut self,
        plan: &Plan,
        _: &[RecordType],
    ) -> Result<Option<Lack>, ActionFault> {
        let never = RData::TXT(TXT::new(vec![NEVER.to_owned()]));
        let never = Record::from_rdata(plan.marker_name.clone(), NEVER_TTL, never);
        let come = plan.records.iter().cloned().chain([never]).collect();
        let sets = Change { gone: vec![], come }.sets();
        let answer = self.send(plan, sets.clone(), sets).await?;
        let said = String::from_utf8_lossy(&answer.body);
        match answer.status.as_u16() {
            400 if said.starts_with(INVALID) => Ok(None),
            403 if said.starts_with(DENIED) => {
                let (name, marker) = (bare_text(&plan.name), bare_text(&plan.marker_name));
                let kinds = listed(&kinds(plan));
                Ok(Some(Lack {
                    what: format!("{kinds} of `{name}` and TXT of `{marker}`"),
                    grant: format!(
                        "`route53:ChangeResourceRecordSets` on `hostedzone/{}`, to CREATE and to DELETE both{}",
                        self.id,
                        answer.quoted()
                    ),
                }))
            }
            _ => answer.well(plan).map(|_| None),
        }
    }
}

/// A set as batches have it: name, type, lifetime and data as master files write them.
type BatchSet = (Name, RecordType, u32, Vec<String>);

impl Route53 {
    /// Sends one batch: all of it is made, or nothing.
    async fn send(
        &mut self,
        plan: &Plan,
        gone: Vec<BatchSet>,
        come: Vec<BatchSet>,
    ) -> Result<Answer, ActionFault> {
        let mut changes = String::new();
        let gone = gone.into_iter().map(|set| ("DELETE", set));
        let come = come.into_iter().map(|set| ("CREATE", set));
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
        self.ask(plan, Method::POST, &path, "", body).await
    }

    /// Watches the change that it took, if there was one. Within a tokio runtime.
    pub(super) fn watched(mut self, plan: &Plan, order: &Order<'_>) {
        let Some(change) = self.taken.take() else { return };
        self.api = self.api.of_use(Use::Watch);
        let place = (self.id.clone(), order.name.to_owned());
        let path = format!("/2013-04-01/change/{change}");
        order.spreads.watch(place, change, Watching { zone: self, plan: plan.clone(), path });
    }

    /// Do all of its servers have this change?
    async fn has_spread(&mut self, plan: &Plan, path: &str) -> Result<bool, ActionFault> {
        let asking = self.ask(plan, Method::GET, path, "", String::new());
        let late = |_| plan.unclear(format!("has not answered within {PATIENCE:?}"));
        let answer = timeout(PATIENCE, asking).await.map_err(late)??;
        Ok(told(answer.well(plan)?).is_some_and(|it| it.status == IN_SYNC))
    }

    /// Reads the sets of one name, and those of the marker that follow in the list of the zone. Gives the name that it goes on
    /// with.
    async fn read_name(
        &mut self,
        plan: &Plan,
        name: &Name,
        held: &mut Vec<Held>,
    ) -> Result<Option<String>, ActionFault> {
        let path = format!("/2013-04-01/hostedzone/{}/rrset", self.id);
        let text = absolute_text(name);
        let here = |of: &str| absolute(of).as_ref() == Some(name);
        let mut from = format!("maxitems={SETS}&name={}", escaped(&text));
        for _ in 0..PAGES {
            let answer = self.ask(plan, Method::GET, &path, &from, String::new()).await?;
            let body = String::from_utf8_lossy(answer.well(plan)?);
            let listed: Listed = quick_xml::de::from_str(&body).map_err(|error| {
                plan.unclear(format!("answers with what is not expected: {error}"))
            })?;
            let sets = listed.resource_record_sets.resource_record_set.into_iter();
            for set in sets {
                let of = absolute(&set.name).filter(|of| of == name || *of == plan.marker_name);
                let Some(of) = of else { continue };
                let policy = set.set_identifier.is_some();
                let Some(records) = set.resource_records.filter(|_| !policy) else {
                    return Err(plan.refused(format!(
                        "holds an alias or a routing policy at `{}` {}: quorate replaces plain records only",
                        absolute_text(&of),
                        set.r#type
                    )));
                };
                let Some(kind) = read_kind(&set.r#type) else { continue };
                held.extend(records.resource_record.into_iter().map(|record| Held {
                    name: of.clone(),
                    kind,
                    ttl: set.ttl,
                    data: read_data(kind, &record.value),
                    text: record.value,
                    id: String::new(),
                }));
            }
            let next = listed.next_record_name.filter(|_| listed.is_truncated);
            let kind = listed.next_record_type;
            let (true, Some(kind)) = (next.as_deref().is_some_and(here), kind) else {
                return Ok(next);
            };
            // Keys in order, as they are signed.
            let id = listed.next_record_identifier;
            let id = id.map(|id| format!("identifier={}&", escaped(&id))).unwrap_or_default();
            let (name, kind) = (escaped(&text), escaped(&kind));
            from = format!("{id}maxitems={SETS}&name={name}&type={kind}");
        }
        Err(plan.refused(format!("holds more at `{text}` than is read: {PAGES} pages")))
    }

    /// Asks, and makes plain words of a refusal.
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
        let answer = self.api.ask(plan, ask).await?;
        let Some(said) = refusal(&answer).filter(|_| !answer.status.is_success()) else {
            return Ok(answer);
        };
        match clock_error(&said, (self.wall_ms)()) {
            Some(off) => Err(plan.refused(format!("refuses the signature: our clock is off{off}"))),
            None => Ok(Answer { body: Bytes::from(said), ..answer }),
        }
    }
}

/// A change that was taken, and who asks after it.
struct Watching {
    zone: Route53,
    plan: Plan,
    path: String,
}

impl Watch for Watching {
    async fn ask(&mut self) -> Option<Result<bool, ActionFault>> {
        let _leave = self.zone.api.begin()?;
        let asked = self.zone.has_spread(&self.plan, &self.path).await;
        self.zone.api.end();
        Some(asked)
    }
}

/// What an answer tells of a change.
fn told(body: &[u8]) -> Option<ChangeInfo> {
    let told: Told = quick_xml::de::from_str(&String::from_utf8_lossy(body)).ok()?;
    Some(told.change_info)
}

impl ChangeInfo {
    /// Its number as it is asked for, unless it is done or no number (API reference, ChangeInfo: at most 32 characters).
    fn number(self) -> Option<String> {
        let number = self.id.rsplit('/').next().unwrap_or_default();
        let lawful = (1..=32).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (lawful && self.status != IN_SYNC).then(|| number.to_owned())
    }
}

/// A refusal in one line: its code, and what is said to it.
fn refusal(answer: &Answer) -> Option<String> {
    let body = String::from_utf8_lossy(&answer.body);
    let Refusal { error, messages } = quick_xml::de::from_str(&body).ok()?;
    let error = error.map(|it| format!("{}: {}", it.code, it.message));
    error.or(messages.map(|it| format!("{INVALID}: {}", it.message.join("; "))))
}

/// By how much our clock is off, if that is why; it tells its own time in brackets.
fn clock_error(said: &str, wall_ms: u64) -> Option<String> {
    let named = ["Signature expired", "Signature not yet current", "RequestExpired"];
    let named = named.iter().chain(&["RequestTimeTooSkewed", "RequestInTheFuture"]);
    named.into_iter().find(|words| said.contains(**words))?;
    let theirs = said.split_once('(').and_then(|(_, rest)| rest.get(..16)).and_then(seconds);
    let ours = i64::try_from(wall_ms / 1000).ok()?;
    let by = theirs.map(|theirs| format!(" by {} s from the server's", ours - theirs));
    Some(by.unwrap_or_default())
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
