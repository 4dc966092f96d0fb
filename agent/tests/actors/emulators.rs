//! Interfaces of providers as they are documented, kept strictly: what they would refuse is refused.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::common::web::{Asked, Reply, Web};

#[path = "azure.rs"]
mod azure;

pub use azure::{azure, principal};

pub type Server = Web<Book>;

/// One record.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    id: u64,
    ttl: u64,
    text: String,
}

/// What goes wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// It has been asked too often.
    Busy,
    Broken,
    /// The credential was revoked.
    Locked,
    Gibberish,
    /// Says that it took a change, and did not.
    Forgets,
    /// Makes a change, and never says so.
    Silent,
}

/// A zone, as a provider holds it: names without a final dot, data as master files write it.
#[derive(Default)]
pub struct Book {
    rows: BTreeMap<(String, String), Vec<Row>>,
    next: u64,
    pub asked: u32,
    pub writes: u32,
    pub trouble: Option<Trouble>,
    /// A marker that somebody else writes just before the next change.
    pub rival: Option<String>,
    /// The fewest records that a name held after one was deleted.
    pub fewest: Option<usize>,
}

impl Book {
    pub fn put(&mut self, name: &str, kind: &str, ttl: u64, texts: &[&str]) {
        let rows = texts.iter().map(|text| {
            self.next += 1;
            Row { id: self.next, ttl, text: (*text).to_owned() }
        });
        let rows = rows.collect();
        self.rows.insert((name.to_owned(), kind.to_owned()), rows);
    }

    pub fn get(&self, name: &str, kind: &str) -> Vec<String> {
        let rows = self.rows.get(&(name.to_owned(), kind.to_owned()));
        let mut texts: Vec<_> = rows.into_iter().flatten().map(|row| row.text.clone()).collect();
        texts.sort();
        texts
    }

    fn set(&self, name: &str, kind: &str) -> Vec<Row> {
        self.rows.get(&(name.to_owned(), kind.to_owned())).cloned().unwrap_or_default()
    }

    fn at<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Row)> {
        let here = self.rows.iter().filter(move |((of, _), _)| of == name);
        here.flat_map(|((_, kind), rows)| rows.iter().map(move |row| (kind.as_str(), row)))
    }

    /// A CNAME beside anything else (RFC 1034 section 3.6.2), or two of them.
    fn is_lawful(&self) -> bool {
        self.rows
            .iter()
            .filter(|((_, kind), rows)| kind == "CNAME" && !rows.is_empty())
            .all(|((name, _), rows)| rows.len() == 1 && self.at(name).count() == 1)
    }

    /// What every request meets first; some of it only those that change something.
    fn trouble(&mut self, writes: bool) -> Option<Reply> {
        self.asked += 1;
        self.writes += u32::from(writes);
        if writes && let Some(rival) = self.rival.take() {
            self.put("_quorate.shop.dyn.example", "TXT", 30, &[&rival]);
        }
        Some(Some(match self.trouble? {
            Trouble::Busy => (429, "{\"message\":\"slow down\"}".to_owned()),
            Trouble::Broken => (500, "<h1>oops</h1>".to_owned()),
            Trouble::Locked => (403, "{\"message\":\"revoked\"}".to_owned()),
            Trouble::Gibberish => (200, "<html>a proxy's page</html>".to_owned()),
            Trouble::Forgets | Trouble::Silent => return None,
        }))
    }

    /// Makes a change, as far as the trouble of the day allows; all or nothing.
    fn apply(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<(u16, String), (u16, String)>,
    ) -> Reply {
        if self.trouble == Some(Trouble::Forgets) {
            return Some((200, "{}".to_owned()));
        }
        let before = self.rows.clone();
        let made = change(self);
        let conflict = || (400, "{\"message\":\"CNAME conflicts with other records\"}".to_owned());
        let made = made.and_then(|reply| self.is_lawful().then_some(reply).ok_or_else(conflict));
        if made.is_err() {
            self.rows = before;
        }
        match self.trouble {
            Some(Trouble::Silent) => None,
            _ => Some(made.unwrap_or_else(|refusal| refusal)),
        }
    }

    fn count_after_delete(&mut self, name: &str) {
        let left = self.at(name).count();
        self.fewest = Some(self.fewest.map_or(left, |fewest| fewest.min(left)));
    }
}

fn bare(name: &str) -> String {
    name.trim_end_matches('.').to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

// Route 53 (API of 2013-04-01).

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    change_batch: Batch,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    changes: Changes,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Changes {
    change: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    action: String,
    resource_record_set: Set,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
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
    Web::start(book, |book, asked| {
        let writes = asked.method == "POST";
        if let Some(reply) = book.trouble(writes) {
            return reply;
        }
        let signed = asked.header("authorization");
        let lawful = signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            && signed.contains("/us-east-1/route53/aws4_request, SignedHeaders=host;x-amz-date, ")
            && signed.rsplit('=').next().is_some_and(|signature| signature.len() == 64);
        if !lawful || asked.header("x-amz-date").len() != 16 {
            return Some((403, "<Code>SignatureDoesNotMatch</Code>".to_owned()));
        }
        assert_eq!(asked.uri.path(), "/2013-04-01/hostedzone/Z2FDTNDATAQYW2/rrset");
        match writes {
            false => Some((200, list_sets(book, &bare(asked.query("name").expect("a name"))))),
            true => book.apply(|book| change_sets(book, asked)),
        }
    })
    .await
}

/// From a name on, in the order of the zone (from the last label to the first).
fn list_sets(book: &Book, from: &str) -> String {
    let order = |name: &str| name.rsplit('.').map(str::to_owned).collect::<Vec<_>>();
    let mut sets: Vec<_> = book
        .rows
        .iter()
        .filter(|((name, _), rows)| order(name) >= order(from) && !rows.is_empty())
        .collect();
    sets.sort_by_key(|((name, kind), _)| (order(name), kind.clone()));
    let sets: String = sets
        .into_iter()
        .map(|((name, kind), rows)| {
            let records: String = rows
                .iter()
                .map(|row| {
                    let value = row.text.replace('"', "&quot;");
                    format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>")
                })
                .collect();
            format!(
                "<ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type><TTL>{}</TTL>\
                 <ResourceRecords>{records}</ResourceRecords></ResourceRecordSet>",
                rows[0].ttl
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?><ListResourceRecordSetsResponse \
         xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ResourceRecordSets>{sets}\
         </ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>20</MaxItems>\
         </ListResourceRecordSetsResponse>"
    )
}

fn change_sets(book: &mut Book, asked: &Asked) -> Result<(u16, String), (u16, String)> {
    let invalid = |why: String| {
        let text =
            format!("<Error><Code>InvalidChangeBatch</Code><Message>{why}</Message></Error>");
        (400, text)
    };
    let request: Request =
        quick_xml::de::from_str(&asked.body).map_err(|error| invalid(error.to_string()))?;
    for change in request.change_batch.changes.change {
        let set = change.resource_record_set;
        let (name, kind) = (bare(&set.name), set.r#type);
        let mut given: Vec<String> =
            set.resource_records.resource_record.into_iter().map(|it| it.value).collect();
        given.sort();
        let held = book.set(&name, &kind);
        let named = format!("[name='{name}.', type='{kind}']");
        match change.action.as_str() {
            "DELETE" if held.is_empty() => {
                return Err(invalid(format!("Tried to delete {named} but it was not found")));
            }
            "DELETE" if book.get(&name, &kind) != given || held[0].ttl != set.ttl => {
                return Err(invalid(format!(
                    "Tried to delete {named} but the values provided do not match the current values"
                )));
            }
            "DELETE" => {
                book.rows.remove(&(name, kind));
            }
            "CREATE" if !held.is_empty() => {
                return Err(invalid(format!("Tried to create {named} but it already exists")));
            }
            "CREATE" => {
                let given: Vec<&str> = given.iter().map(String::as_str).collect();
                book.put(&name, &kind, set.ttl, &given);
            }
            other => return Err(invalid(format!("no action {other}"))),
        }
    }
    Ok((200, "<ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo>".to_owned()))
}

// Cloudflare (API v4).

fn bearer(asked: &Asked, token: &str) -> bool {
    asked.header("authorization") == format!("Bearer {token}")
}

pub async fn cloudflare(book: Book) -> Server {
    const RECORDS: &str = "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records";
    Web::start(book, |book, asked| {
        let writes = asked.method == "POST";
        if let Some(reply) = book.trouble(writes) {
            return reply;
        }
        if !bearer(asked, "a token") {
            return Some((403, "{\"success\":false}".to_owned()));
        }
        if !writes {
            assert_eq!(asked.uri.path(), RECORDS);
            let name = asked.query("name").expect("a name");
            let rows: Vec<_> = book
                .at(name)
                .map(|(kind, row)| {
                    json!({ "id": row.id.to_string(), "name": name, "type": kind, "ttl": row.ttl,
                        "content": row.text.trim_end_matches('.'), "proxied": false })
                })
                .collect();
            return Some((200, json!({ "success": true, "result": rows }).to_string()));
        }
        assert_eq!(asked.uri.path(), format!("{RECORDS}/batch"));
        let batch: Value = serde_json::from_str(&asked.body).expect("JSON");
        let refused = |code: u32| (400, json!({ "errors": [{ "code": code }] }).to_string());
        book.apply(|book| {
            for gone in list(&batch["deletes"]) {
                let id = text(&gone["id"]);
                let row = |row: &Row| row.id.to_string() == id;
                let rows = book.rows.values_mut().find(|rows| rows.iter().any(row));
                rows.ok_or_else(|| refused(81_044))?.retain(|it| !row(it));
            }
            for come in list(&batch["posts"]) {
                let (name, kind, text) =
                    (text(&come["name"]), text(&come["type"]), text(&come["content"]));
                book.next += 1;
                let row = Row { id: book.next, ttl: come["ttl"].as_u64().expect("a ttl"), text };
                let rows = book.rows.entry((name, kind)).or_default();
                if rows.iter().any(|it| it.text == row.text) {
                    return Err(refused(81_058));
                }
                rows.push(row);
            }
            Ok((200, json!({ "success": true }).to_string()))
        })
    })
    .await
}

// DigitalOcean (API v2).

pub async fn digitalocean(book: Book) -> Server {
    const RECORDS: &str = "/v2/domains/dyn.example/records";
    Web::start(book, |book, asked| {
        let writes = asked.method != "GET";
        if let Some(reply) = book.trouble(writes) {
            return reply;
        }
        if !bearer(asked, "a token") {
            return Some((401, "{\"id\":\"unauthorized\"}".to_owned()));
        }
        let unquoted = |kind: &str, text: &str| match kind {
            "TXT" => text.trim_matches('"').to_owned(),
            _ => text.to_owned(),
        };
        match asked.method.as_str() {
            "GET" => {
                assert_eq!(asked.uri.path(), RECORDS);
                let rows: Vec<_> = book
                    .at(asked.query("name").expect("a name"))
                    .map(|(kind, row)| {
                        json!({ "id": row.id, "type": kind, "name": "x", "ttl": row.ttl,
                            "data": unquoted(kind, &row.text).trim_end_matches('.') })
                    })
                    .collect();
                Some((200, json!({ "domain_records": rows }).to_string()))
            }
            "POST" => {
                assert_eq!(asked.uri.path(), RECORDS);
                let record: Value = serde_json::from_str(&asked.body).expect("JSON");
                let (kind, data) = (text(&record["type"]), text(&record["data"]));
                let data = match kind.as_str() {
                    "TXT" => format!("\"{data}\""),
                    "CNAME" if !data.ends_with('.') => {
                        return Some((
                            422,
                            "{\"message\":\"Data needs to end with a dot\"}".to_owned(),
                        ));
                    }
                    _ => data,
                };
                let name = format!("{}.dyn.example", text(&record["name"]));
                book.apply(|book| {
                    book.next += 1;
                    let ttl = record["ttl"].as_u64().expect("a ttl");
                    let row = Row { id: book.next, ttl, text: data };
                    book.rows.entry((name, kind)).or_default().push(row);
                    Ok((201, "{}".to_owned()))
                })
            }
            _ => {
                let id = asked.uri.path().strip_prefix(RECORDS).expect("a record");
                let id: u64 = id.trim_matches('/').parse().expect("a number");
                book.apply(|book| {
                    let of = |rows: &Vec<Row>| rows.iter().any(|row| row.id == id);
                    let found = book.rows.iter_mut().find(|(_, rows)| of(rows));
                    let Some(((name, _), rows)) = found else {
                        return Err((404, "{\"id\":\"not_found\"}".to_owned()));
                    };
                    rows.retain(|row| row.id != id);
                    let name = name.clone();
                    book.count_after_delete(&name);
                    Ok((204, String::new()))
                })
            }
        }
    })
    .await
}

// Google Cloud DNS (API v1).

/// A service account's key file, its key made by OpenSSL.
pub fn key_file(url: &str) -> String {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .expect("openssl is installed");
    let key = String::from_utf8(made.stdout).expect("PEM");
    json!({
        "type": "service_account", "client_email": "mesh@acme.example", "private_key": key,
        "token_uri": format!("{url}/token"),
    })
    .to_string()
}

pub async fn google(book: Book) -> Server {
    const ZONE: &str = "/dns/v1/projects/acme/managedZones/dyn";
    Web::start(book, |book, asked| {
        let pass = asked.uri.path() == "/token";
        let writes = asked.method == "POST" && !pass;
        if let Some(reply) = book.trouble(writes) {
            return reply;
        }
        if pass {
            let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
            let assertion = asked.body.strip_prefix(grant).expect("the grant of RFC 7523");
            assert_eq!(assertion.split('.').count(), 3, "head, claims and signature");
            return Some((200, json!({ "access_token": "a pass", "expires_in": 600 }).to_string()));
        }
        if !bearer(asked, "a pass") {
            return Some((401, "{}".to_owned()));
        }
        if !writes {
            assert_eq!(asked.uri.path(), format!("{ZONE}/rrsets"));
            let name = bare(asked.query("name").expect("a name"));
            let sets: Vec<_> = book
                .rows
                .iter()
                .filter(|((of, _), rows)| *of == name && !rows.is_empty())
                .map(|((_, kind), rows)| {
                    let texts: Vec<_> = rows.iter().map(|row| &row.text).collect();
                    json!({ "name": format!("{name}."), "type": kind, "ttl": rows[0].ttl, "rrdatas": texts })
                })
                .collect();
            return Some((200, json!({ "rrsets": sets }).to_string()));
        }
        assert_eq!(asked.uri.path(), format!("{ZONE}/changes"));
        let change: Value = serde_json::from_str(&asked.body).expect("JSON");
        book.apply(|book| {
            for set in list(&change["deletions"]) {
                let (name, kind, held) = read_set(book, set);
                let mut texts: Vec<_> = list(&set["rrdatas"]).map(text).collect();
                texts.sort();
                if held.is_empty() {
                    return Err((404, "{\"error\":{\"message\":\"notFound\"}}".to_owned()));
                }
                if texts != book.get(&name, &kind) || set["ttl"] != held[0].ttl {
                    return Err((412, "{\"error\":{\"message\":\"conditionNotMet\"}}".to_owned()));
                }
                book.rows.remove(&(name, kind));
            }
            for set in list(&change["additions"]) {
                let (name, kind, held) = read_set(book, set);
                if !held.is_empty() {
                    return Err((409, "{\"error\":{\"message\":\"alreadyExists\"}}".to_owned()));
                }
                let texts: Vec<_> = list(&set["rrdatas"]).map(text).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                book.put(&name, &kind, set["ttl"].as_u64().expect("a ttl"), &texts);
            }
            Ok((200, "{}".to_owned()))
        })
    })
    .await
}

fn read_set(book: &Book, set: &Value) -> (String, String, Vec<Row>) {
    let (name, kind) = (bare(&text(&set["name"])), text(&set["type"]));
    let held = book.set(&name, &kind);
    (name, kind, held)
}

// A webhook, as a user would write it.

pub async fn webhook(book: Book) -> Server {
    Web::start(book, |book, asked| {
        assert_eq!(asked.uri, "/dns?x=1");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a shared secret");
        let signature = asked.header("x-quorate-signature").strip_prefix("sha256=");
        let signature =
            signature.and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok());
        let genuine = signature
            .is_some_and(|it| ring::hmac::verify(&key, asked.body.as_bytes(), &it).is_ok());
        if !genuine {
            return Some((403, "not signed by us".to_owned()));
        }
        let order: Value = serde_json::from_str(&asked.body).expect("JSON");
        let token = order["token"].as_u64().expect("a token");
        let held: u64 = book.get("", "token").first().map_or(0, |it| it.parse().expect("a number"));
        if token < held {
            return Some((409, held.to_string()));
        }
        book.put("", "token", 0, &[&token.to_string()]);
        let texts: Vec<_> = list(&order["records"]).map(|record| text(&record["data"])).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        book.put(&text(&order["name"]), "A", 60, &texts);
        Some((204, String::new()))
    })
    .await
}
