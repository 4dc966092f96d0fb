//! Interfaces of providers as they are documented, kept strictly: what they would refuse is refused.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::common::web::{Asked, Reply, Web};

#[path = "azure.rs"]
pub mod azure;
#[path = "cloudflare.rs"]
pub mod cloudflare;
#[path = "digitalocean.rs"]
pub mod digitalocean;
#[path = "google.rs"]
pub mod google;
#[path = "route53.rs"]
pub mod route53;

pub use azure::{azure, principal};
pub use cloudflare::cloudflare;
pub use digitalocean::digitalocean;
pub use google::{google, key_file};
pub use route53::route53;

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
    /// A marker, by its name, that somebody else writes just before the next change.
    pub rival: Option<(String, String)>,
    /// After how many changes more one is cut short, and whether that one is made, unsaid.
    pub cut: Option<(u32, bool)>,
    /// The change of now is made, and the answer to it lost on its way.
    unsaid: bool,
    /// The fewest records that a name which had any was ever left with, as clients could have seen it.
    pub fewest: Option<usize>,
    /// What only Route 53 has.
    pub amazon: route53::Amazon,
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

    /// Everything that it holds, to be compared.
    pub fn everything(&self) -> String {
        format!("{:?}", self.rows)
    }

    /// For how many seconds a set may be kept.
    pub fn ttl(&self, name: &str, kind: &str) -> Option<u32> {
        let rows = self.rows.get(&(name.to_owned(), kind.to_owned()))?;
        u32::try_from(rows.first()?.ttl).ok()
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
        if writes && let Some((name, rival)) = self.rival.take() {
            self.put(&name, "TXT", 30, &[&rival]);
        }
        match self.cut {
            Some((0, made)) if writes => {
                (self.cut, self.unsaid) = (None, made);
                if !made {
                    return Some(Some((503, "<h1>gone for a while</h1>".to_owned())));
                }
            }
            Some((left, made)) if writes => self.cut = Some((left - 1, made)),
            _ => {}
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
        match made.is_ok() {
            true => self.count_what_is_left(&before),
            false => self.rows = before,
        }
        if std::mem::take(&mut self.unsaid) {
            return Some((502, "<h1>no answer from behind</h1>".to_owned()));
        }
        match self.trouble {
            Some(Trouble::Silent) => None,
            _ => Some(made.unwrap_or_else(|refusal| refusal)),
        }
    }

    fn count_what_is_left(&mut self, before: &BTreeMap<(String, String), Vec<Row>>) {
        let held = before.iter().filter(|(_, rows)| !rows.is_empty());
        let left = held.map(|((name, _), _)| self.at(name).count()).min();
        self.fewest = self.fewest.into_iter().chain(left).min();
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

fn bearer(asked: &Asked, token: &str) -> bool {
    asked.header("authorization") == format!("Bearer {token}")
}

/// A webhook, as a user would write it.
pub async fn webhook(book: Book) -> Server {
    webhook_at(Ipv4Addr::LOCALHOST, book).await
}

/// At this address of this host.
pub async fn webhook_at(at: Ipv4Addr, book: Book) -> Server {
    Web::start_at(at, book, |book, asked| {
        if let Some(reply) = book.trouble(true) {
            return reply;
        }
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
        book.apply(|book| {
            book.put("", "token", 0, &[&token.to_string()]);
            let name = text(&order["name"]);
            let mut sets: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
            for record in list(&order["records"]) {
                let (_, texts) = sets
                    .entry(text(&record["type"]))
                    .or_insert_with(|| (record["ttl"].as_u64().expect("a ttl"), vec![]));
                texts.push(text(&record["data"]));
            }
            for (kind, (ttl, texts)) in sets {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                book.put(&name, &kind, ttl, &texts);
            }
            Ok((204, String::new()))
        })
    })
    .await
}
