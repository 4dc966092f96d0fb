//! DigitalOcean (API v2): one record at a time.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Book, Row, Server, bearer, text};
use crate::common::web::Web;

pub async fn digitalocean(book: Book) -> Server {
    digitalocean_at(Ipv4Addr::LOCALHOST, book).await
}

/// At this address of this host.
pub async fn digitalocean_at(at: Ipv4Addr, book: Book) -> Server {
    const RECORDS: &str = "/v2/domains/dyn.example/records";
    Web::start_at(at, book, |book, asked| {
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
                let ttl = record["ttl"].as_u64().expect("a ttl");
                if ttl < 30 {
                    return Some((422, "{\"message\":\"TTL must be at least 30\"}".to_owned()));
                }
                book.apply(|book| {
                    book.next += 1;
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
                    let Some((_, rows)) = found else {
                        return Err((404, "{\"id\":\"not_found\"}".to_owned()));
                    };
                    rows.retain(|row| row.id != id);
                    Ok((204, String::new()))
                })
            }
        }
    })
    .await
}
