//! Google Cloud DNS (API v1): a change says what it found, and is refused if that is not there.

use std::net::Ipv4Addr;
use std::process::Command;

use serde_json::{Value, json};

use super::{Book, Row, Server, bare, bearer, list, text};
use crate::common::web::Web;

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
    google_at(Ipv4Addr::LOCALHOST, book).await
}

/// At this address of this host.
pub async fn google_at(at: Ipv4Addr, book: Book) -> Server {
    const ZONE: &str = "/dns/v1/projects/acme/managedZones/dyn";
    Web::start_at(at, book, |book, asked| {
        let pass = asked.uri.path() == "/token";
        let rights = asked.uri.path() == format!("{ZONE}:testIamPermissions");
        let writes = asked.method == "POST" && !pass && !rights;
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
        if rights {
            // All that were asked for are held.
            return Some((200, asked.body.clone()));
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
