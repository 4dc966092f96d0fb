//! Cloudflare (API v4): a batch is taken as a whole.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Book, Row, Server, bearer, list, text};
use crate::common::web::Web;

pub async fn cloudflare(book: Book) -> Server {
    cloudflare_at(Ipv4Addr::LOCALHOST, book).await
}

/// At this address of this host.
pub async fn cloudflare_at(at: Ipv4Addr, book: Book) -> Server {
    const RECORDS: &str = "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records";
    Web::start_at(at, book, |book, asked| {
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
                let ttl = come["ttl"].as_u64().expect("a ttl");
                // "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic."
                if ttl != 1 && !(60..=86_400).contains(&ttl) {
                    return Err(refused(9_021));
                }
                book.next += 1;
                let row = Row { id: book.next, ttl, text };
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
