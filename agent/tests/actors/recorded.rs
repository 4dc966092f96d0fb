//! Exchanges with the real providers, as others recorded them, played back: the drivers must ask for no more than is there, and
//! read whatever came, with everything that is of no interest to them in it.
//!
//! The forms are those of the recordings that dns-lexicon keeps (DigitalOcean and Google 2018, Azure 2019, Cloudflare 2020) and
//! of what users quote in issues of Terraform's Google provider (#9112) and of ddns-go (#1378); names, numbers and the values
//! are ours. Cloudflare's batch, and what it and DigitalOcean take apart, is documented and was recorded by nobody that we
//! found.

use consensus::model::{ActionFaultKind, Done, Provider, RecordData, RecordKind, RecordSet};
use data_encoding::BASE64URL_NOPAD as BASE64URL;
use http::Method;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::{MARKER, NAME, addresses, alias, emulators, kind, marker, text, to, token, with_token};
use crate::act;
use crate::common::web::Web;

#[path = "consents.rs"]
mod consents;

/// What is asked, in this order for each path, and what is answered.
struct Exchange {
    method: Method,
    path: String,
    /// The body, as JSON; none, and any will do.
    asks: Option<Value>,
    status: u16,
    answer: String,
}

#[derive(Default)]
struct Tape {
    left: Vec<Exchange>,
    /// The bodies of what was asked, by its path.
    asked: Vec<(String, String)>,
    wrong: Vec<String>,
}

impl Tape {
    fn get(&mut self, path: &str, status: u16, answer: &dyn ToString) {
        self.add(Method::GET, path, None, status, answer);
    }

    fn add(
        &mut self,
        method: Method,
        path: &str,
        asks: Option<Value>,
        status: u16,
        answer: &dyn ToString,
    ) {
        let (path, answer) = (path.to_owned(), answer.to_string());
        self.left.push(Exchange { method, path, asks, status, answer });
    }

    /// Plays it, from its beginning.
    async fn play(self) -> Web<Self> {
        Web::start(self, |tape, asked| {
            let path = asked.uri.path_and_query().expect("a path").to_string();
            tape.asked.push((path.clone(), asked.body.clone()));
            let next = tape.left.iter().position(|it| it.method == asked.method && it.path == path);
            let Some(next) = next else {
                tape.wrong.push(format!("{} {path} was recorded nowhere", asked.method));
                return Some((500, String::new()));
            };
            let next = tape.left.remove(next);
            let body: Option<Value> = serde_json::from_str(&asked.body).ok();
            if next.asks.is_some() && next.asks != body {
                tape.wrong.push(format!("{} {path} with {}", asked.method, asked.body));
            }
            Some((next.status, next.answer))
        })
        .await
    }
}

/// Everything was asked for, and nothing else.
fn ended(tape: &Web<Tape>) {
    tape.with(|tape| {
        let left: Vec<_> =
            tape.left.iter().map(|it| format!("{} {}", it.method, it.path)).collect();
        assert_eq!((left, &tape.wrong), (vec![], &vec![]));
    });
}

/// For how many seconds a set of this name may be kept: markers are short-lived.
fn ttl(name: &str) -> u32 {
    if name.starts_with("_quorate.") { 30 } else { 60 }
}

const CLOUDFLARE: &str = "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records";

fn cloudflare_record(id: &str, name: &str, kind: &str, content: &str) -> Value {
    json!({
        "id": id, "zone_id": "023e105f4ecef8ad9ca31a8372d0c353", "zone_name": "dyn.example",
        "name": name, "type": kind, "content": content, "proxiable": kind == "A", "proxied": false,
        "ttl": 60, "locked": false,
        "meta": { "auto_added": false, "managed_by_apps": false, "managed_by_argo_tunnel": false,
            "source": "primary" },
        "created_on": "2020-05-05T21:30:53.195926Z", "modified_on": "2020-05-05T21:30:53.195926Z",
    })
}

fn cloudflare_list(tape: &mut Tape, name: &str, records: &[Value]) {
    let info = json!({ "page": 1, "per_page": 100, "count": records.len(),
        "total_count": records.len(), "total_pages": 1 });
    let said = json!({ "result": records, "success": true, "errors": [], "messages": [],
        "result_info": info });
    // As it came: set over many lines.
    let said = serde_json::to_string_pretty(&said).expect("JSON");
    tape.get(&format!("{CLOUDFLARE}?name={name}&per_page=100"), 200, &said);
}

/// What Cloudflare holds once the driver has read it, and the batch that it is to send then. Texts came without quotes.
fn cloudflare_read(tape: &mut Tape) -> Value {
    let bare = |epoch| marker(epoch).trim_matches('"').to_owned();
    let old = "794c8452998ad058579c4a8da2f8299c";
    cloudflare_list(tape, NAME, &[cloudflare_record(old, NAME, "A", "198.51.100.1")]);
    let held = "ad2e1aa9bd5c4fcc1f550e984157b6c9";
    cloudflare_list(tape, MARKER, &[cloudflare_record(held, MARKER, "TXT", &bare(2))]);
    json!({
        "deletes": [{ "id": old }, { "id": held }],
        "posts": [
            { "name": NAME, "type": "A", "ttl": 60, "content": "192.0.2.3", "proxied": false },
            { "name": MARKER, "type": "TXT", "ttl": 60, "content": marker(3), "proxied": false },
        ],
    })
}

#[tokio::test]
async fn cloudflare_as_it_was_recorded() {
    let mut tape = Tape::default();
    let batch = cloudflare_read(&mut tape);
    let posts = [("372e67954025e0ba6aaa6d586b9e0b59", NAME, "A", "192.0.2.3".to_owned())]
        .into_iter()
        .chain([("372e67954025e0ba6aaa6d586b9e0b60", MARKER, "TXT", marker(3))]);
    let posts: Vec<_> =
        posts.map(|(id, name, kind, text)| cloudflare_record(id, name, kind, &text)).collect();
    let said = json!({ "success": true, "errors": [], "messages": [], "result": {
        "deletes": [], "patches": null, "puts": null, "posts": posts } });
    tape.add(Method::POST, &format!("{CLOUDFLARE}/batch"), Some(batch), 200, &said);
    cloudflare_list(&mut tape, NAME, &[posts[0].clone()]);
    cloudflare_list(&mut tape, MARKER, &[posts[1].clone()]);
    let tape = tape.play().await;
    let good = with_token(None, "a token");
    let effect = to(Provider::Cloudflare, &tape.url(), vec![addresses(&["192.0.2.3"])]);
    let changed = act(&good, token(3, 4), effect).await;
    assert!(matches!(&changed, Ok(Done { proven: true, .. })), "{changed:?}");
    ended(&tape);
}

/// Somebody else was faster: each of these says so, and what is there then is newer.
#[tokio::test]
async fn cloudflare_says_in_these_words_that_somebody_else_was_faster() {
    for (code, message) in [
        (81_044, "Record does not exist."),
        (81_053, "An A, AAAA, or CNAME record with that host already exists."),
        (81_057, "The record already exists."),
        (81_058, "An identical record already exists."),
    ] {
        let mut tape = Tape::default();
        let batch = cloudflare_read(&mut tape);
        let said = json!({ "result": null, "success": false,
            "errors": [{ "code": code, "message": message }], "messages": [] });
        tape.add(Method::POST, &format!("{CLOUDFLARE}/batch"), Some(batch), 400, &said);
        cloudflare_list(&mut tape, NAME, &[cloudflare_record("5", NAME, "A", "192.0.2.9")]);
        let newer = marker(9).trim_matches('"').to_owned();
        cloudflare_list(&mut tape, MARKER, &[cloudflare_record("6", MARKER, "TXT", &newer)]);
        let tape = tape.play().await;
        let effect = to(Provider::Cloudflare, &tape.url(), vec![addresses(&["192.0.2.3"])]);
        let overtaken = act(&with_token(None, "a token"), token(3, 4), effect).await;
        assert_eq!(kind(&overtaken), Some(ActionFaultKind::Superseded), "{code}: {overtaken:?}");
        ended(&tape);
    }
}

const DIGITALOCEAN: &str = "/v2/domains/dyn.example/records";

fn digitalocean_record(id: u64, kind: &str, name: &str, data: &str) -> Value {
    json!({ "id": id, "type": kind, "name": name, "data": data, "priority": null, "port": null,
        "ttl": ttl(name), "weight": null, "flags": null, "tag": null })
}

fn digitalocean_list(tape: &mut Tape, name: &str, records: &[Value]) {
    let said =
        json!({ "domain_records": records, "links": {}, "meta": { "total": records.len() } });
    tape.get(&format!("{DIGITALOCEAN}?name={name}&per_page=200"), 200, &said);
}

#[tokio::test]
async fn digitalocean_as_it_was_recorded() {
    let bare = |epoch| marker(epoch).trim_matches('"').to_owned();
    let mut tape = Tape::default();
    let old = [
        digitalocean_record(38_629_349, "A", "shop", "198.51.100.1"),
        digitalocean_record(38_629_351, "TXT", "_quorate.shop", &bare(2)),
    ];
    digitalocean_list(&mut tape, NAME, &old[..1]);
    digitalocean_list(&mut tape, MARKER, &old[1..]);
    let new = [
        digitalocean_record(38_629_395, "A", "shop", "192.0.2.3"),
        digitalocean_record(38_629_397, "TXT", "_quorate.shop", &bare(3)),
    ];
    for record in &new {
        let asks = json!({ "type": record["type"], "name": record["name"], "data": record["data"],
            "ttl": record["ttl"] });
        let said = json!({ "domain_record": record });
        tape.add(Method::POST, DIGITALOCEAN, Some(asks), 201, &said);
    }
    tape.add(Method::DELETE, &format!("{DIGITALOCEAN}/38629349"), None, 204, &"");
    // Whoever came before has deleted it.
    let gone = json!({ "id": "not_found",
        "message": "The resource you were accessing could not be found." });
    tape.add(Method::DELETE, &format!("{DIGITALOCEAN}/38629351"), None, 404, &gone);
    digitalocean_list(&mut tape, NAME, &new[..1]);
    digitalocean_list(&mut tape, MARKER, &new[1..]);
    let tape = tape.play().await;
    let effect = to(Provider::DigitalOcean, &tape.url(), vec![addresses(&["192.0.2.3"])]);
    let changed = act(&with_token(None, "a token"), token(3, 4), effect).await;
    assert!(matches!(&changed, Ok(Done { proven: true, .. })), "{changed:?}");
    ended(&tape);
}

const GOOGLE: &str = "/dns/v1/projects/acme/managedZones/dyn";

fn google_set(name: &str, kind: &str, data: &str) -> Value {
    json!({ "kind": "dns#resourceRecordSet", "name": format!("{name}."), "type": kind, "ttl": ttl(name),
        "rrdatas": [data] })
}

fn google_list(tape: &mut Tape, name: &str, sets: &[Value]) {
    let said = json!({ "kind": "dns#resourceRecordSetsListResponse", "rrsets": sets });
    tape.get(&format!("{GOOGLE}/rrsets?name={name}."), 200, &said);
}

/// A pass, what is held, and the change that the driver is to send for it.
fn google_read(tape: &mut Tape) -> Value {
    let pass =
        json!({ "access_token": "ya29.c.a-pass", "token_type": "Bearer", "expires_in": 3600 });
    tape.add(Method::POST, "/token", None, 200, &pass);
    google_list(tape, NAME, &[google_set(NAME, "A", "198.51.100.1")]);
    google_list(tape, MARKER, &[google_set(MARKER, "TXT", &marker(2))]);
    let plain = |name: &str, kind: &str, data: &str| json!({ "name": format!("{name}."), "type": kind, "ttl": ttl(name), "rrdatas": [data] });
    json!({
        "deletions": [plain(NAME, "A", "198.51.100.1"), plain(MARKER, "TXT", &marker(2))],
        "additions": [plain(NAME, "A", "192.0.2.3"), plain(MARKER, "TXT", &marker(3))],
    })
}

#[tokio::test]
async fn google_as_it_was_recorded_with_a_pass_that_the_key_signs_for() {
    let mut tape = Tape::default();
    let change = google_read(&mut tape);
    let additions = [google_set(NAME, "A", "192.0.2.3"), google_set(MARKER, "TXT", &marker(3))];
    let said = json!({ "kind": "dns#change", "additions": additions, "deletions": [],
        "startTime": "2018-07-09T13:19:54.117Z", "id": "219", "status": "pending" });
    tape.add(Method::POST, &format!("{GOOGLE}/changes"), Some(change), 200, &said);
    let [address, text] = additions;
    google_list(&mut tape, NAME, &[address]);
    google_list(&mut tape, MARKER, &[text]);
    let tape = tape.play().await;
    let key_file = emulators::key_file(&tape.url());
    let effect = to(Provider::Google, &tape.url(), vec![addresses(&["192.0.2.3"])]);
    let changed = act(&with_token(None, &key_file), token(3, 4), effect).await;
    assert!(matches!(&changed, Ok(Done { proven: true, .. })), "{changed:?}");
    ended(&tape);

    // What Google would look at (RFC 7515, RFC 7523 section 3).
    let asked = tape.with(|tape| tape.asked.iter().find(|it| it.0 == "/token").cloned());
    let (_, body) = asked.expect("a pass was asked for");
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let assertion = body.strip_prefix(grant).expect("the grant of RFC 7523");
    let (signed, signature) = assertion.rsplit_once('.').expect("a signature");
    let (head, claims) = signed.split_once('.').expect("head and claims");
    let read = |part: &str| BASE64URL.decode(part.as_bytes()).expect("base64url");
    let parsed = |part: &str| -> Value { serde_json::from_slice(&read(part)).expect("JSON") };
    assert_eq!(parsed(head), json!({ "alg": "RS256", "typ": "JWT" }));
    let key_file: Value = serde_json::from_str(&key_file).expect("JSON");
    let claims = parsed(claims);
    assert_eq!(claims["iss"], key_file["client_email"]);
    assert_eq!(claims["aud"], key_file["token_uri"]);
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/ndev.clouddns.readwrite");
    let [from, until] = ["iat", "exp"].map(|key| claims[key].as_u64().expect("a time"));
    let now = agent::clock::wall_ms() / 1000;
    assert!(from <= now && now - from < 60 && (60..=3600).contains(&(until - from)), "{claims}");
    let pem = key_file["private_key"].as_str().expect("PEM");
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("PKCS 8");
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("a key");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    public.verify(signed.as_bytes(), &read(signature)).expect("signed by the key of the file");
}

#[tokio::test]
async fn google_says_in_these_words_that_somebody_else_was_faster() {
    for (code, message, reason) in [
        (
            409,
            "The resource 'entity.change.additions[0]' named 'x. (A)' already exists",
            "alreadyExists",
        ),
        (412, "Precondition not met for 'entity.change.deletions[0]'", "conditionNotMet"),
    ] {
        let mut tape = Tape::default();
        let change = google_read(&mut tape);
        let said = json!({ "error": { "code": code, "message": message,
            "errors": [{ "message": message, "domain": "global", "reason": reason }] } });
        tape.add(Method::POST, &format!("{GOOGLE}/changes"), Some(change), code, &said);
        google_list(&mut tape, NAME, &[google_set(NAME, "A", "192.0.2.9")]);
        google_list(&mut tape, MARKER, &[google_set(MARKER, "TXT", &marker(9))]);
        let tape = tape.play().await;
        let key_file = emulators::key_file(&tape.url());
        let effect = to(Provider::Google, &tape.url(), vec![addresses(&["192.0.2.3"])]);
        let overtaken = act(&with_token(None, &key_file), token(3, 4), effect).await;
        assert_eq!(kind(&overtaken), Some(ActionFaultKind::Superseded), "{code}: {overtaken:?}");
        ended(&tape);
    }
}

const AZURE: &str = "/subscriptions/acme/resourceGroups/dns/providers/Microsoft.Network";

fn azure_path(kind: &str, below: &str) -> String {
    format!("{AZURE}/dnsZones/dyn.example/{kind}/{below}?api-version=2018-05-01")
}

fn azure_set(kind: &str, below: &str, etag: &str, records: &Value) -> Value {
    let key = format!("{kind}Records");
    json!({
        "id": format!("{AZURE}/dnszones/dyn.example/{kind}/{below}"), "name": below,
        "type": format!("Microsoft.Network/dnszones/{kind}"), "etag": etag,
        "properties": { "fqdn": format!("{below}.dyn.example."), "TTL": ttl(below), key: records,
            "targetResource": {}, "provisioningState": "Succeeded" },
    })
}

/// What is held: an address and the marker of this epoch, and nothing of any other type.
fn azure_read(tape: &mut Tape, address: &str, epoch: u32) {
    let etag = |of: u32| format!("0000{of:04}-2af8-4d82-8bbb-e6a95a6489b6");
    for kind in ["A", "AAAA", "CNAME", "TXT", "SRV", "CAA", "MX"] {
        let path = azure_path(kind, "shop");
        match kind {
            "A" => {
                let records = json!([{ "ipv4Address": address }]);
                tape.get(&path, 200, &azure_set("A", "shop", &etag(epoch), &records));
            }
            _ => {
                let message = format!(
                    "The resource record 'shop' does not exist in resource group 'dns' of \
                     subscription 'acme' ({kind})."
                );
                tape.get(&path, 404, &json!({ "code": "NotFound", "message": message }));
            }
        }
    }
    let text = marker(epoch).trim_matches('"').to_owned();
    let set = azure_set("TXT", "_quorate.shop", &etag(epoch), &json!([{ "value": [text] }]));
    tape.get(&azure_path("TXT", "_quorate.shop"), 200, &set);
}

fn azure_pass(tape: &mut Tape) {
    let pass = json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599,
        "access_token": "eyJ0eXAi.a-pass" });
    tape.add(Method::POST, "/acme.example/oauth2/v2.0/token", None, 200, &pass);
}

#[tokio::test]
async fn azure_as_it_was_recorded() {
    let mut tape = Tape::default();
    azure_pass(&mut tape);
    azure_read(&mut tape, "198.51.100.1", 2);
    let text = marker(3).trim_matches('"').to_owned();
    for (kind, below, records) in [
        ("TXT", "_quorate.shop", json!([{ "value": [text] }])),
        ("A", "shop", json!([{ "ipv4Address": "192.0.2.3" }])),
    ] {
        let key = format!("{kind}Records");
        let asks = json!({ "properties": { "TTL": ttl(below), key: records } });
        let said = azure_set(kind, below, "9c2209b1-4555-44b3-839c-cbe5415190d8", &records);
        tape.add(Method::PUT, &azure_path(kind, below), Some(asks), 200, &said);
    }
    azure_read(&mut tape, "192.0.2.3", 3);
    let tape = tape.play().await;
    let principal = emulators::principal(&tape.url());
    let effect = to(Provider::Azure, &tape.url(), vec![addresses(&["192.0.2.3"])]);
    let changed = act(&with_token(None, &principal), token(3, 4), effect).await;
    assert!(matches!(&changed, Ok(Done { proven: true, .. })), "{changed:?}");
    ended(&tape);
}

#[tokio::test]
async fn azure_says_in_these_words_that_somebody_else_was_faster() {
    let mut tape = Tape::default();
    azure_pass(&mut tape);
    azure_read(&mut tape, "198.51.100.1", 2);
    let said = json!({ "code": "PreconditionFailed",
        "message": "The condition '00000002-2af8-4d82-8bbb-e6a95a6489b6' in the If-Match header was \
                    not satisfied. The current was '505eaa58-2af8-4d82-8bbb-e6a95a6489b6'." });
    tape.add(Method::PUT, &azure_path("TXT", "_quorate.shop"), None, 412, &said);
    azure_read(&mut tape, "192.0.2.9", 9);
    let tape = tape.play().await;
    let principal = emulators::principal(&tape.url());
    let effect = to(Provider::Azure, &tape.url(), vec![addresses(&["192.0.2.3"])]);
    let overtaken = act(&with_token(None, &principal), token(3, 4), effect).await;
    assert_eq!(kind(&overtaken), Some(ActionFaultKind::Superseded), "{overtaken:?}");
    assert!(!text(&overtaken).is_empty());
    ended(&tape);
}

/// Types that two of them take apart.
fn taken_apart() -> Vec<RecordSet> {
    let set = |kind, data| RecordSet { kind, ttl: 60, data: vec![data] };
    let target = "sip.example.net".to_owned();
    let service = RecordData::Service { priority: 10, weight: 5, port: 5060, target };
    let (tag, value) = ("issue".to_owned(), "ca.example.net".to_owned());
    let authorization = RecordData::Authorization { flags: 0, tag, value };
    vec![set(RecordKind::Srv, service), set(RecordKind::Caa, authorization)]
}

#[tokio::test]
async fn cloudflare_takes_services_authorizations_and_bindings_apart() {
    let parameters = [(1, b"\x02h2\x02h3".to_vec())].into();
    let binding = RecordData::Binding { priority: 1, target: String::new(), parameters };
    let mut sets = taken_apart();
    sets.push(RecordSet { kind: RecordKind::Https, ttl: 60, data: vec![binding] });
    let parts = [
        ("SRV", json!({ "priority": 10, "weight": 5, "port": 5060, "target": "sip.example.net" })),
        ("CAA", json!({ "flags": 0, "tag": "issue", "value": "ca.example.net" })),
        ("HTTPS", json!({ "priority": 1, "target": ".", "value": "alpn=h2,h3" })),
    ];
    let mut tape = Tape::default();
    cloudflare_list(&mut tape, NAME, &[]);
    cloudflare_list(&mut tape, MARKER, &[]);
    let mut posts: Vec<_> = parts
        .iter()
        .map(|(kind, data)| json!({ "name": NAME, "type": kind, "ttl": 60, "data": data }))
        .collect();
    posts.push(
        json!({ "name": MARKER, "type": "TXT", "ttl": 60, "content": marker(3), "proxied": false }),
    );
    let batch = json!({ "deletes": [], "posts": posts });
    let said = json!({ "success": true, "errors": [], "messages": [], "result": {} });
    tape.add(Method::POST, &format!("{CLOUDFLARE}/batch"), Some(batch), 200, &said);
    // What it shows in one text is of its own making.
    let held = parts.iter().map(|(kind, data)| {
        let mut record = cloudflare_record(kind, NAME, kind, "5\t5060\tsip.example.net");
        record["data"] = data.clone();
        record
    });
    cloudflare_list(&mut tape, NAME, &held.collect::<Vec<_>>());
    cloudflare_list(&mut tape, MARKER, &[cloudflare_record("m", MARKER, "TXT", &marker(3))]);
    let tape = tape.play().await;
    let effect = to(Provider::Cloudflare, &tape.url(), sets);
    let changed = act(&with_token(None, "a token"), token(3, 4), effect).await;
    assert!(matches!(&changed, Ok(Done { proven: true, .. })), "{changed:?}");
    ended(&tape);
}

#[tokio::test]
async fn digitalocean_takes_services_and_authorizations_apart() {
    let bare = marker(3).trim_matches('"').to_owned();
    let part = |kind: &str, data: &str, parts: Value| {
        let mut record = json!({ "type": kind, "name": "shop", "data": data, "ttl": 60 });
        for (key, value) in parts.as_object().expect("parts") {
            record[key] = value.clone();
        }
        record
    };
    let asks = [
        part("SRV", "sip.example.net.", json!({ "priority": 10, "weight": 5, "port": 5060 })),
        part("CAA", "ca.example.net.", json!({ "flags": 0, "tag": "issue" })),
    ];
    let mut tape = Tape::default();
    digitalocean_list(&mut tape, NAME, &[]);
    digitalocean_list(&mut tape, MARKER, &[]);
    for asks in &asks {
        tape.add(Method::POST, DIGITALOCEAN, Some(asks.clone()), 201, &json!({}));
    }
    let marks = json!({ "type": "TXT", "name": "_quorate.shop", "data": bare, "ttl": 30 });
    tape.add(Method::POST, DIGITALOCEAN, Some(marks), 201, &json!({}));
    let held = asks.iter().zip(1..).map(|(asked, id)| {
        let data = asked["data"].as_str().expect("a text").trim_end_matches('.');
        let mut record = digitalocean_record(id, "", "shop", data);
        for (key, value) in asked.as_object().expect("parts") {
            if key != "data" {
                record[key] = value.clone();
            }
        }
        record
    });
    digitalocean_list(&mut tape, NAME, &held.collect::<Vec<_>>());
    let text = digitalocean_record(9, "TXT", "_quorate.shop", &bare);
    digitalocean_list(&mut tape, MARKER, &[text]);
    let tape = tape.play().await;
    let effect = to(Provider::DigitalOcean, &tape.url(), taken_apart());
    let changed = act(&with_token(None, "a token"), token(3, 4), effect).await;
    assert!(matches!(&changed, Ok(Done { proven: true, .. })), "{changed:?}");
    ended(&tape);
}
