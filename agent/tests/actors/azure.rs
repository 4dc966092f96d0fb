//! Azure DNS (2018-05-01), as far as it is documented: a set is changed only under the tag that was read.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Book, Row, Server, bearer, list, text};
use crate::common::web::Web;

/// A service principal whose passes are given out here.
pub fn principal(url: &str) -> String {
    json!({ "appId": "mesh", "password": "a + b", "tenant": "acme.example", "authority": url })
        .to_string()
}

pub async fn azure(book: Book) -> Server {
    azure_at(Ipv4Addr::LOCALHOST, book).await
}

/// At this address of this host.
pub async fn azure_at(at: Ipv4Addr, book: Book) -> Server {
    const ZONE: &str =
        "/subscriptions/acme/resourceGroups/dns/providers/Microsoft.Network/dnsZones/dyn.example/";
    Web::start_at(at, book, |book, asked| {
        let pass = asked.uri.path() == "/acme.example/oauth2/v2.0/token";
        let writes = asked.method == "PUT" || asked.method == "DELETE";
        if let Some(reply) = book.trouble(writes) {
            return reply;
        }
        if pass {
            let grant = "grant_type=client_credentials&client_id=mesh&client_secret=a%20%2B%20b\
                         &scope=https%3A%2F%2Fmanagement.azure.com%2F.default";
            assert_eq!((asked.method.as_str(), asked.body.as_str()), ("POST", grant));
            return Some((
                200,
                json!({ "access_token": "a pass", "expires_in": 3599 }).to_string(),
            ));
        }
        if !bearer(asked, "a pass") {
            return Some((401, "{}".to_owned()));
        }
        if asked.uri.path().ends_with("/providers/Microsoft.Authorization/permissions") {
            let all = json!({ "actions": ["Microsoft.Network/dnsZones/*"], "notActions": [] });
            return Some((200, json!({ "value": [all] }).to_string()));
        }
        assert_eq!(asked.query("api-version"), Some("2018-05-01"));
        let (kind, below) =
            asked.uri.path().strip_prefix(ZONE).expect("the zone").split_once('/').expect("a set");
        let (kind, name) = (kind.to_owned(), format!("{below}.dyn.example"));
        let held = book.set(&name, &kind);
        let tag = held.first().map(|row| row.id.to_string());
        if !writes {
            return Some(match &tag {
                None => (404, json!({ "code": "NotFound", "message": "no such set" }).to_string()),
                Some(tag) => {
                    (200, json!({ "etag": tag, "properties": azure_set(&kind, &held) }).to_string())
                }
            });
        }
        let fits = match (asked.header("if-match"), asked.header("if-none-match")) {
            ("", "*") => tag.is_none(),
            (wanted, "") => tag.as_deref() == Some(wanted),
            other => panic!("a change without a condition would be blind: {other:?}"),
        };
        if !fits {
            return Some((412, "{\"code\":\"PreconditionFailed\"}".to_owned()));
        }
        let body = asked.body.clone();
        let put = asked.method == "PUT";
        book.apply(|book| {
            match put {
                true => {
                    let body: Value = serde_json::from_str(&body).expect("JSON");
                    let set = &body["properties"];
                    let texts: Vec<String> = match kind.as_str() {
                        "A" => list(&set["ARecords"]).map(|it| text(&it["ipv4Address"])).collect(),
                        "AAAA" => {
                            list(&set["AAAARecords"]).map(|it| text(&it["ipv6Address"])).collect()
                        }
                        "SRV" => list(&set["SRVRecords"])
                            .map(|it| {
                                let target = text(&it["target"]);
                                format!(
                                    "{} {} {} {target}.",
                                    it["priority"], it["weight"], it["port"]
                                )
                            })
                            .collect(),
                        "CAA" => list(&set["caaRecords"])
                            .map(|it| {
                                let (tag, value) = (text(&it["tag"]), text(&it["value"]));
                                format!("{} {tag} \"{value}\"", it["flags"])
                            })
                            .collect(),
                        "CNAME" => vec![format!("{}.", text(&set["CNAMERecord"]["cname"]))],
                        "TXT" => list(&set["TXTRecords"])
                            .map(|it| {
                                let whole = list(&it["value"]).map(text).collect::<String>();
                                format!("\"{}\"", whole.replace('"', "\\\""))
                            })
                            .collect(),
                        other => panic!("no test writes {other}"),
                    };
                    assert!(!texts.is_empty(), "an empty set is refused");
                    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                    book.put(&name, &kind, set["TTL"].as_u64().expect("a ttl"), &texts);
                }
                false => drop(book.rows.remove(&(name, kind))),
            }
            Ok((200, "{}".to_owned()))
        })
    })
    .await
}

fn azure_set(kind: &str, held: &[Row]) -> Value {
    let texts: Vec<&str> = held.iter().map(|row| row.text.as_str()).collect();
    let ttl = held[0].ttl;
    match kind {
        "A" => {
            let all: Vec<_> = texts.iter().map(|it| json!({ "ipv4Address": it })).collect();
            json!({ "TTL": ttl, "ARecords": all })
        }
        "CNAME" => {
            json!({ "TTL": ttl, "CNAMERecord": { "cname": texts[0].trim_end_matches('.') } })
        }
        "TXT" => {
            let all: Vec<_> = texts.iter().map(|it| json!({ "value": [whole(it)] })).collect();
            json!({ "TTL": ttl, "TXTRecords": all })
        }
        "AAAA" => {
            let all: Vec<_> = texts.iter().map(|it| json!({ "ipv6Address": it })).collect();
            json!({ "TTL": ttl, "AAAARecords": all })
        }
        "SRV" => {
            let all = texts.iter().map(|it| {
                let words: Vec<_> = it.split(' ').collect();
                let [priority, weight, port] =
                    [0, 1, 2].map(|at| words[at].parse::<u16>().expect("a number"));
                let target = words[3].trim_end_matches('.');
                json!({ "priority": priority, "weight": weight, "port": port, "target": target })
            });
            json!({ "TTL": ttl, "SRVRecords": all.collect::<Vec<_>>() })
        }
        "CAA" => {
            let all = texts.iter().map(|it| {
                let words: Vec<_> = it.splitn(3, ' ').collect();
                let flags: u8 = words[0].parse().expect("a number");
                json!({ "flags": flags, "tag": words[1], "value": whole(words[2]) })
            });
            json!({ "TTL": ttl, "caaRecords": all.collect::<Vec<_>>() })
        }
        other => panic!("no test holds {other}"),
    }
}

/// A text without its quotes.
fn whole(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.expect("quoted").replace("\\\"", "\"")
}
