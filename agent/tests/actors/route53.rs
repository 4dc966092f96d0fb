//! Route 53 (API of 2013-04-01): signatures, paces, pages and batches, refused in its own words.
//!
//! The words are those of the API reference, and where it gives none those that people were told: InvalidChangeBatch in
//! DNSControl 493 and 1114, external-dns 3203, gardener/external-dns-management 513 and terraform 9732, clocks in terraform
//! 9333 and external-dns 1626, paces in "Throttling for Amazon Route 53 API requests", AccessDenied in external-dns 5773 and
//! cert-manager/website 1649, and what policies can be limited to in "Using IAM policy conditions for fine-grained access
//! control to manage resource record sets".

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use data_encoding::HEXLOWER;
use quick_xml::escape::escape;
use ring::{digest, hmac};
use serde::Deserialize;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::{Book, Server, Trouble, bare};
use crate::common::named::ZONE;
use crate::common::web::{Asked, Reply, Web};

/// The secret of Amazon's own examples.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const ZONE_PATH: &str = "/2013-04-01/hostedzone/Z2FDTNDATAQYW2/rrset";
const CHANGE_PATH: &str = "/2013-04-01/change/";
const XMLNS: &str = "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"";
/// How far a date may be from ours, in minutes: of the messages that people were told.
const SKEW: i64 = 5;
/// The most sets of a page (ListResourceRecordSets).
const PAGE: usize = 300;
/// The most records and characters of a batch, and the most records of a set (Quotas, "ChangeResourceRecordSets").
const RECORDS: usize = 1000;
const CHARACTERS: usize = 32_000;
const OF_A_SET: usize = 400;

type At = (String, String, String);

/// What it has besides records.
#[derive(Default)]
pub struct Amazon {
    /// Sets that are no plain records, by name, type and identifier (none for an alias): the rest of them, as it is listed.
    pub special: BTreeMap<At, String>,
    /// One of those that somebody else makes just before the next change.
    pub late: Option<(At, String)>,
    /// The most sets that it puts on a page, whatever is asked for.
    pub page: Option<usize>,
    /// Is it busy with somebody else's change of the zone?
    pub processing: bool,
    /// How often it may be asked.
    pub pace: Option<Pace>,
    /// How many requests came too early.
    pub throttled: u32,
    /// Do its servers hear of changes late?
    pub pending: bool,
    /// May the key not ask after changes?
    pub closed: bool,
    /// What the key may change; everything where nothing is said.
    pub granted: Option<Granted>,
    /// How many names were left with a marker and without an address, after any change.
    pub lost: usize,
    /// How many changes it took, and how often it was asked after one.
    pub taken: u32,
    pub asked_after: u32,
}

/// What a policy lets a key change: all names, types and actions of a batch must be among these (`ForAllValues`). None of
/// any, and it may only read.
#[derive(Clone, Copy, Default)]
pub struct Granted {
    pub names: &'static [&'static str],
    pub kinds: &'static [&'static str],
    pub actions: &'static [&'static str],
}

impl Granted {
    fn lets(&self, changes: &[Change]) -> bool {
        changes.iter().all(|change| {
            let set = &change.resource_record_set;
            self.names.contains(&bare(&set.name).as_str())
                && self.kinds.contains(&set.r#type.as_str())
                && self.actions.contains(&change.action.as_str())
        })
    }
}

/// So many requests at once, and so many a second from then on.
pub struct Pace {
    rate: f64,
    burst: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    pub fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, left: burst, at: Instant::now() }
    }

    fn take(&mut self) -> bool {
        let refilled = self.at.elapsed().as_secs_f64() * self.rate;
        (self.left, self.at) = ((self.left + refilled).min(self.burst), Instant::now());
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Request {
    #[serde(rename = "@xmlns")]
    xmlns: String,
    change_batch: Batch,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Batch {
    comment: Option<String>,
    changes: Changes,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Changes {
    change: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Change {
    action: String,
    resource_record_set: Set,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Set {
    name: String,
    r#type: String,
    #[serde(rename = "TTL")]
    ttl: u64,
    resource_records: Records,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    resource_record: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    value: String,
}

pub async fn route53(book: Book) -> Server {
    route53_at(Ipv4Addr::LOCALHOST, book).await
}

/// At this address of this host.
pub async fn route53_at(at: Ipv4Addr, book: Book) -> Server {
    Web::start_at(at, book, |book, asked| {
        let writes = asked.method == "POST";
        let trouble = book.trouble(writes);
        if let Err((code, why)) = check_signature(asked) {
            return refusal(403, code, &why);
        }
        let paced = book.amazon.pace.as_mut().is_none_or(Pace::take);
        if !paced || book.trouble == Some(Trouble::Busy) {
            book.amazon.throttled += 1;
            return refusal(400, "Throttling", "Rate exceeded");
        }
        if book.trouble == Some(Trouble::Locked) {
            let why = "The security token included in the request is invalid.";
            return refusal(403, "InvalidClientTokenId", why);
        }
        if let Some(reply) = trouble {
            return reply;
        }
        if writes && !may_change(&book.amazon, asked) {
            let why = "User: arn:aws:iam::123456789012:user/mesh is not authorized to perform: \
                       route53:ChangeResourceRecordSets on resource: arn:aws:route53:::hostedzone/Z2FDTNDATAQYW2 because \
                       no identity-based policy allows the route53:ChangeResourceRecordSets action";
            return refusal(403, "AccessDenied", why);
        }
        match (asked.uri.path(), writes) {
            (ZONE_PATH, false) => list_sets(book, asked),
            (ZONE_PATH, true) if book.amazon.processing => refusal(
                400,
                "PriorRequestNotComplete",
                "The request was rejected because Route 53 was still processing a prior request.",
            ),
            (ZONE_PATH, true) if book.trouble == Some(Trouble::Forgets) => {
                Some((200, change_info("ChangeResourceRecordSetsResponse", 0, "PENDING")))
            }
            (ZONE_PATH, true) => {
                book.amazon.special.extend(book.amazon.late.take());
                book.apply(|book| {
                    change_sets(book, asked)?;
                    book.amazon.taken += 1;
                    book.amazon.lost += book.bare_markers();
                    let taken = book.amazon.taken;
                    Ok((200, change_info("ChangeResourceRecordSetsResponse", taken, "PENDING")))
                })
            }
            (path, false) if path.starts_with(CHANGE_PATH) => get_change(&mut book.amazon, path),
            (path, _) => refusal(404, "NoSuchHostedZone", &format!("No hosted zone at {path}")),
        }
    })
    .await
}

fn refusal(status: u16, code: &str, why: &str) -> Reply {
    let text = format!(
        "<?xml version=\"1.0\"?>\n<ErrorResponse {XMLNS}><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{}</Message></Error><RequestId>b25f48e8-84fd-11e6-80d9-574e0c4664cb</RequestId></ErrorResponse>",
        escape(why)
    );
    Some((status, text))
}

/// Signature Version 4 as the server checks it ("Create a signed AWS API request"): what was signed is put together
/// from the request as it came, and the day of the scope is that of the date.
fn check_signature(asked: &Asked) -> Result<(), (&'static str, String)> {
    let incomplete = |what: &str| ("IncompleteSignature", format!("{what} is missing"));
    let wrong = |what: &str| ("SignatureDoesNotMatch", what.to_owned());
    let scheme = asked.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ");
    let scheme = scheme.ok_or_else(|| incomplete("Authorization"))?;
    let field = |key: &str| {
        let fields = scheme.split(", ").filter_map(|field| field.split_once('='));
        fields.into_iter().find(|(it, _)| *it == key).map(|it| it.1).ok_or_else(|| incomplete(key))
    };
    let date = asked.header("x-amz-date");
    let then = seconds(date).ok_or_else(|| incomplete("X-Amz-Date"))?;
    let now = i64::try_from(agent::clock::wall_ms() / 1000).expect("in range");
    let (early, late) = (now - SKEW * 60, now + SKEW * 60);
    let (now, earliest, latest) = (stamp(now), stamp(early), stamp(late));
    if then < early {
        let why = format!("{date} is now earlier than {earliest} ({now} - {SKEW} min.)");
        return Err(wrong(&format!("Signature expired: {why}")));
    }
    if late < then {
        let why = format!("{date} is still later than {latest} ({now} + {SKEW} min.)");
        return Err(wrong(&format!("Signature not yet current: {why}")));
    }
    let (key, scope) = field("Credential")?.split_once('/').ok_or_else(|| incomplete("Scope"))?;
    if key != "AKIDEXAMPLE" {
        let why = "The security token included in the request is invalid.";
        return Err(("InvalidClientTokenId", why.to_owned()));
    }
    if scope != format!("{}/us-east-1/route53/aws4_request", &date[..8]) {
        return Err(wrong(
            "Credential should be scoped to a valid region and to service: 'route53'.",
        ));
    }
    let names = field("SignedHeaders")?;
    if !names.split(';').any(|it| it == "host") || !names.split(';').any(|it| it == "x-amz-date") {
        return Err(wrong("'Host' and 'X-Amz-Date' must be signed"));
    }
    let mut canonical = vec![asked.method.to_string(), asked.uri.path().to_owned()];
    let mut pairs: Vec<&str> = asked.uri.query().unwrap_or_default().split('&').collect();
    pairs.sort_unstable();
    canonical.push(pairs.join("&"));
    canonical.extend(names.split(';').map(|name| format!("{name}:{}", asked.header(name))));
    canonical.extend([String::new(), names.to_owned(), sha256(asked.body.as_bytes())]);
    let hashed = sha256(canonical.join("\n").as_bytes());
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{SECRET}").as_bytes());
    for part in scope.split('/') {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
    let given = HEXLOWER.decode(field("Signature")?.as_bytes()).unwrap_or_default();
    hmac::verify(&key, text.as_bytes(), &given).map_err(|_| {
        wrong(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.",
        )
    })
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Seconds since 1970 of a date such as `20150830T123600Z`.
fn seconds(date: &str) -> Option<i64> {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    Some(PrimitiveDateTime::parse(date, form).ok()?.assume_utc().unix_timestamp())
}

fn stamp(seconds: i64) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = OffsetDateTime::from_unix_timestamp(seconds).expect("in range");
    time.format(form).expect("a date")
}

/// A page of the zone, in its order: by name from the last label to the first, by type, by identifier.
fn list_sets(book: &Book, asked: &Asked) -> Reply {
    let order = |name: &str, kind: &str, id: &str| {
        let labels: Vec<String> = bare(name).rsplit('.').map(str::to_owned).collect();
        (labels, kind.to_owned(), id.to_owned())
    };
    let query = |key: &str| asked.query(key).unwrap_or_default();
    if !query("type").is_empty() && query("name").is_empty() {
        return refusal(400, "InvalidInput", "A type without a name");
    }
    let from = order(query("name"), query("type"), query("identifier"));
    let mut sets = BTreeMap::new();
    for ((name, kind), rows) in book.rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        let records: String = rows.iter().map(|row| value(&row.text)).collect();
        let rest =
            format!("<TTL>{}</TTL><ResourceRecords>{records}</ResourceRecords>", rows[0].ttl);
        sets.insert(order(name, kind, ""), (name, kind, rest));
    }
    for ((name, kind, id), rest) in &book.amazon.special {
        sets.insert(order(name, kind, id), (name, kind, rest.clone()));
    }
    let most: usize = asked.query("maxitems").map_or(PAGE, |it| it.parse().expect("a number"));
    let page = most.min(PAGE).min(book.amazon.page.unwrap_or(PAGE));
    let mut sets = sets.range(from..);
    let listed: String = sets
        .by_ref()
        .take(page)
        .map(|(_, (name, kind, rest))| {
            format!(
                "<ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type>{rest}</ResourceRecordSet>"
            )
        })
        .collect();
    let more = sets.next().map(|((.., id), (name, kind, _))| {
        let id = match id.as_str() {
            "" => String::new(),
            id => format!("<NextRecordIdentifier>{id}</NextRecordIdentifier>"),
        };
        format!(
            "<NextRecordName>{name}.</NextRecordName><NextRecordType>{kind}</NextRecordType>{id}"
        )
    });
    let text = format!(
        "<?xml version=\"1.0\"?>\n<ListResourceRecordSetsResponse {XMLNS}><ResourceRecordSets>{listed}\
         </ResourceRecordSets><IsTruncated>{}</IsTruncated>{}<MaxItems>{most}</MaxItems>\
         </ListResourceRecordSetsResponse>",
        more.is_some(),
        more.unwrap_or_default()
    );
    Some((200, text))
}

/// A record as it is listed.
pub fn value(text: &str) -> String {
    format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", escape(text))
}

fn get_change(amazon: &mut Amazon, path: &str) -> Reply {
    amazon.asked_after += 1;
    if amazon.closed {
        let why = "User is not authorized to perform: route53:GetChange";
        return refusal(403, "AccessDenied", why);
    }
    let number = path.strip_prefix(CHANGE_PATH).and_then(|it| it.strip_prefix('C'));
    let number = number.and_then(|it| it.parse().ok());
    match number.filter(|number| (1..=amazon.taken).contains(number)) {
        None => {
            refusal(404, "NoSuchChange", "A change with the specified change ID does not exist.")
        }
        Some(number) => {
            let status = if amazon.pending { "PENDING" } else { "INSYNC" };
            Some((200, change_info("GetChangeResponse", number, status)))
        }
    }
}

fn change_info(answer: &str, number: u32, status: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<{answer} {XMLNS}><ChangeInfo><Id>/change/C{number}</Id>\
         <Status>{status}</Status><SubmittedAt>2026-09-30T12:00:00.000Z</SubmittedAt></ChangeInfo></{answer}>"
    )
}

/// Whether the key may comes before whatever else is wrong with a batch, as long as it can be read.
fn may_change(amazon: &Amazon, asked: &Asked) -> bool {
    let request = quick_xml::de::from_str::<Request>(&asked.body);
    match (amazon.granted, request) {
        (Some(granted), Ok(request)) => granted.lets(&request.change_batch.changes.change),
        (None, _) | (_, Err(_)) => true,
    }
}

/// Makes all changes of a batch, or says what is wrong with each of them.
fn change_sets(book: &mut Book, asked: &Asked) -> Result<(), (u16, String)> {
    let request: Request = quick_xml::de::from_str(&asked.body).map_err(|error| {
        refusal(400, "MalformedXML", &error.to_string()).expect("it is an answer")
    })?;
    assert!(XMLNS.contains(&request.xmlns), "{}", request.xmlns);
    assert!(request.change_batch.comment.is_none_or(|it| it.len() <= 256), "a comment is short");
    let changes = request.change_batch.changes.change;
    let mut wrong = Vec::new();
    let times = |change: &Change| if change.action == "UPSERT" { 2 } else { 1 };
    let counted = |count: fn(&Set) -> usize| {
        changes.iter().map(|it| times(it) * count(&it.resource_record_set)).sum::<usize>()
    };
    if RECORDS < counted(|set| set.resource_records.resource_record.len()) {
        wrong.push(format!("Number of records limit of {RECORDS} exceeded."));
    }
    let characters =
        |set: &Set| set.resource_records.resource_record.iter().map(|it| it.value.len()).sum();
    if CHARACTERS < counted(characters) {
        wrong.push(format!("Number of characters limit of {CHARACTERS} exceeded."));
    }
    let mut deleted = BTreeSet::new();
    for change in changes {
        let Set { name, r#type: kind, ttl, resource_records } = change.resource_record_set;
        let name = bare(&name);
        let mut given: Vec<String> =
            resource_records.resource_record.into_iter().map(|it| it.value).collect();
        given.sort();
        wrong.extend(unlawful(&name, &kind, &given));
        let named = format!("resource record set [name='{name}.', type='{kind}']");
        let held = book.set(&name, &kind);
        match change.action.as_str() {
            "DELETE" if !deleted.insert((name.clone(), kind.clone())) => {
                wrong.push(format!("Tried to delete {named} more than once"));
            }
            "DELETE" if held.is_empty() => {
                wrong.push(format!("Tried to delete {named} but it was not found"));
            }
            "DELETE" if book.get(&name, &kind) != given || held[0].ttl != ttl => {
                wrong.push(format!(
                    "Tried to delete {named} but the values provided do not match the current values"
                ));
            }
            "DELETE" => {
                book.rows.remove(&(name, kind));
            }
            "CREATE" if !held.is_empty() => {
                wrong.push(format!("Tried to create {named} but it already exists"));
            }
            "CREATE" | "UPSERT" if book.amazon.holds(&name, &kind) => {
                wrong.push(format!(
                    "RRSet with DNS name {name}., type {kind} cannot be created as other RRSets exist with the \
                     same name and type."
                ));
            }
            "CREATE" | "UPSERT" => {
                let given: Vec<&str> = given.iter().map(String::as_str).collect();
                book.put(&name, &kind, ttl, &given);
            }
            other => wrong.push(format!("Invalid action {other}")),
        }
    }
    if !book.is_lawful() {
        wrong.push(format!(
            "RRSet of type CNAME is not permitted as it conflicts with other records with the same DNS name in \
             zone {ZONE}."
        ));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let messages: String =
        wrong.iter().map(|it| format!("<Message>{}</Message>", escape(it))).collect();
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InvalidChangeBatch {XMLNS}><Messages>{messages}</Messages>\
         <RequestId>b25f48e8-84fd-11e6-80d9-574e0c4664cb</RequestId></InvalidChangeBatch>"
    );
    Err((400, text))
}

/// What is wrong with a set by itself.
fn unlawful(name: &str, kind: &str, given: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    if name != ZONE && !name.ends_with(&format!(".{ZONE}")) {
        wrong.push(format!("RRSet with DNS name {name}. is not permitted in zone {ZONE}."));
    }
    if OF_A_SET < given.len() {
        wrong.push(format!("Cannot have more than {OF_A_SET} records in a RRSet"));
    }
    if let Some(pair) = given.windows(2).find(|pair| pair[0] == pair[1]) {
        wrong.push(format!("Duplicate Resource Record: '{}'", pair[0]));
    }
    let lawful = |text: &str| match kind {
        "A" => text.parse::<Ipv4Addr>().is_ok(),
        "AAAA" => text.parse::<Ipv6Addr>().is_ok(),
        "TXT" => {
            text.starts_with('"')
                && text.ends_with('"')
                && text.split('"').all(|it| it.len() <= 255)
        }
        _ => true,
    };
    let illegal = given.iter().filter(|it| !lawful(it));
    wrong.extend(
        illegal.map(|it| format!("Invalid Resource Record: FATAL problem with {kind} '{it}'")),
    );
    wrong
}

impl Book {
    /// How many markers stand beside nothing.
    fn bare_markers(&self) -> usize {
        let markers = self.rows.keys().filter_map(|(name, _)| name.strip_prefix("_quorate."));
        markers.filter(|name| self.at(name).next().is_none()).count()
    }
}

impl Amazon {
    fn holds(&self, name: &str, kind: &str) -> bool {
        self.special.keys().any(|(of, it, _)| of == name && it == kind)
    }
}
