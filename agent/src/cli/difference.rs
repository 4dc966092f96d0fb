//! Two definitions → what is different, key by key, in the words of app files.
//!
//! Every field is taken apart by name, so one that is added to the model and forgotten here does not compile.

use std::collections::BTreeMap;

use consensus::model::{
    DataPolicy, Database, Definition, Driver, Endpoint, Engine, Expect, Fencing, Following, Mode,
    ProbePolicy, Record, RecordData, SeenBy, Stack, Zone,
};
use serde::Serialize;

use crate::config::{size, span};
use crate::records::in_master_file;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where in the file, with names in place of numbers: `stack[aws].endpoint[web-1].url`.
    pub path: String,
    /// What the mesh has; nothing if it is new.
    pub from: Option<String>,
    /// What the file says; nothing if it is gone.
    pub to: Option<String>,
}

/// What applying `new` would change, in the order of the file, what goes away last.
pub fn difference(old: Option<&Definition>, new: &Definition) -> Vec<Change> {
    // A file says where to look, and not what was found there.
    let new = &old.map_or_else(|| new.clone(), |old| new.keeping_places(old));
    let before = old.map(rows).unwrap_or_default();
    let known: BTreeMap<&str, &str> =
        before.iter().map(|(p, v)| (p.as_str(), v.as_str())).collect();
    let after = rows(new);
    let mut changes: Vec<Change> = after
        .iter()
        .filter(|(path, value)| known.get(path.as_str()) != Some(&value.as_str()))
        .map(|(path, value)| Change {
            path: path.clone(),
            from: known.get(path.as_str()).map(|&from| from.to_owned()),
            to: Some(value.clone()),
        })
        .collect();
    let gone = before.iter().filter(|(path, _)| !after.iter().any(|(kept, _)| kept == path));
    changes.extend(gone.map(|(path, value)| Change {
        path: path.clone(),
        from: Some(value.clone()),
        to: None,
    }));
    changes.extend(old.into_iter().flat_map(|old| reordered(old, new)));
    changes
}

/// Lists whose common members stand in another order; of stacks, the order is the preference.
fn reordered(old: &Definition, new: &Definition) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut compare = |path: String, before: Vec<String>, after: Vec<String>| {
        let from: Vec<&String> = before.iter().filter(|name| after.contains(name)).collect();
        let to: Vec<&String> = after.iter().filter(|name| before.contains(name)).collect();
        if from != to {
            let line = |names: &[&String]| {
                Some(names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "))
            };
            changes.push(Change { path, from: line(&from), to: line(&to) });
        }
    };
    let stacks = |definition: &Definition| names(&definition.stacks, |it| it.name.to_string());
    compare("order of stacks".into(), stacks(old), stacks(new));
    let zones = |definition: &Definition| names(&definition.zones, |it| it.name.clone());
    compare("order of zones".into(), zones(old), zones(new));
    let records = |definition: &Definition| names(&definition.records, record_key);
    compare("order of records".into(), records(old), records(new));
    for stack in &new.stacks {
        let Some(before) = old.stack(&stack.name) else { continue };
        let endpoints = |stack: &Stack| names(&stack.endpoints, |it| it.name.to_string());
        let path = format!("order of stack[{}].endpoint", stack.name);
        compare(path, endpoints(before), endpoints(stack));
        let databases = |stack: &Stack| names(&stack.databases, |it| it.name.to_string());
        let path = format!("order of stack[{}].database", stack.name);
        compare(path, databases(before), databases(stack));
    }
    changes
}

fn names<T>(items: &[T], name: impl Fn(&T) -> String) -> Vec<String> {
    items.iter().map(name).collect()
}

type Rows = Vec<(String, String)>;

/// Every key of a definition with its value, as a file would have them.
fn rows(definition: &Definition) -> Rows {
    let Definition {
        name,
        mode,
        cooldown,
        regions,
        probe,
        data,
        zones,
        stacks,
        records,
        following,
    } = definition;
    let ProbePolicy { interval, timeout, window } = probe;
    let DataPolicy { max_loss_bytes, max_loss_time, fencing, lease, sync } = data;
    let mut rows: Rows = [
        ("app.name", name.to_string()),
        ("app.mode", mode_word(*mode).to_owned()),
        ("app.cooldown", span(*cooldown)),
        ("quorum.regions", regions.to_string()),
        ("probe.interval", span(*interval)),
        ("probe.timeout", span(*timeout)),
        ("probe.window", span(*window)),
        ("data.max_loss", max_loss_time.map_or_else(|| size(*max_loss_bytes), span)),
        ("data.fencing", fencing_word(*fencing).to_owned()),
        ("data.lease", span(*lease)),
        ("data.sync", sync.to_string()),
    ]
    .map(|(path, value)| (path.to_owned(), value))
    .into();
    for Zone { name, ns, contact } in zones {
        rows.push((format!("zone[{name}].ns"), ns.join(", ")));
        rows.push((format!("zone[{name}].contact"), contact.clone()));
    }
    for Stack { name, site, endpoints, databases } in stacks {
        rows.push((format!("stack[{name}].site"), site.to_string()));
        for endpoint in endpoints {
            endpoint_rows(
                &format!("stack[{name}].endpoint[{}]", endpoint.name),
                endpoint,
                &mut rows,
            );
        }
        for database in databases {
            database_rows(
                &format!("stack[{name}].database[{}]", database.name),
                database,
                &mut rows,
            );
        }
    }
    for Following { stack, sources, endpoint, records: _ } in following {
        let at = format!("stack[{stack}].endpoint[{}]", endpoint.name);
        let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
        rows.push((format!("{at}.follow"), sources.join(", else ")));
        rows.push((format!("{at}.begins"), joined(&endpoint.address, endpoint.port)));
    }
    for record in records {
        record_rows(&format!("record[{}]", record_key(record)), record, &mut rows);
    }
    rows
}

fn endpoint_rows(at: &str, endpoint: &Endpoint, rows: &mut Rows) {
    let Endpoint { name: _, scheme, address, port, path, host, expect, authority } = endpoint;
    let Expect { status, body } = expect;
    rows.push((format!("{at}.url"), format!("{scheme}://{}{path}", joined(address, *port))));
    if let Some(host) = host {
        rows.push((format!("{at}.host"), host.clone()));
    }
    if !status.is_empty() {
        let status: Vec<String> = status.iter().map(u16::to_string).collect();
        rows.push((format!("{at}.expect.status"), status.join(", ")));
    }
    if let Some(body) = body {
        rows.push((format!("{at}.expect.body"), format!("{body:?}")));
    }
    if let Some(pem) = authority {
        // A bundle is a screenful and says nothing to the eye; its fingerprint shows that it changed.
        let digest = ring::digest::digest(&ring::digest::SHA256, pem.as_bytes());
        let print = data_encoding::HEXLOWER.encode(&digest.as_ref()[..8]);
        rows.push((format!("{at}.authority"), format!("PEM, SHA-256 {print}…")));
    }
}

fn database_rows(at: &str, database: &Database, rows: &mut Rows) {
    let Database { name: _, engine, address, port, credential, guard, view } = database;
    let engine = match engine {
        Engine::Postgres => "postgres",
        Engine::Redis => "redis",
        Engine::Mysql => "mysql",
        Engine::Mongodb => "mongodb",
    };
    rows.push((format!("{at}.engine"), engine.to_owned()));
    rows.push((format!("{at}.address"), joined(address, *port)));
    rows.push((format!("{at}.credential"), credential.to_string()));
    if let Some(guard) = guard {
        rows.push((format!("{at}.guard"), guard.to_string()));
    }
    if *view == SeenBy::Guard {
        rows.push((format!("{at}.view"), "guard".to_owned()));
    }
}

fn record_rows(at: &str, record: &Record, rows: &mut Rows) {
    let Record { name: _, kind: _, ttl, values, driver } = record;
    rows.push((format!("{at}.ttl"), ttl.to_string()));
    match driver {
        Driver::BuiltIn => rows.push((format!("{at}.driver"), "built-in".to_owned())),
        Driver::Rfc2136 { server, zone, credential } => {
            rows.push((format!("{at}.driver"), "rfc2136".to_owned()));
            rows.push((format!("{at}.server"), server.clone()));
            rows.push((format!("{at}.zone"), zone.clone()));
            rows.push((format!("{at}.credential"), credential.to_string()));
        }
        Driver::Provider { provider, url, zone, zone_id, credential } => {
            rows.push((format!("{at}.driver"), provider.word().to_owned()));
            rows.push((format!("{at}.zone"), zone.clone()));
            for (key, value) in [("url", url), ("zone_id", zone_id)] {
                rows.extend(value.clone().map(|value| (format!("{at}.{key}"), value)));
            }
            rows.push((format!("{at}.credential"), credential.to_string()));
        }
    }
    for (stack, data) in values {
        // As people write it, where master files of old would have numbers.
        let shown = |data: &RecordData| match data {
            RecordData::Binding { .. } => in_master_file(data),
            _ => data.to_string(),
        };
        let data: Vec<String> = data.iter().map(shown).collect();
        rows.push((format!("{at}.values.{stack}"), data.join(", ")));
    }
}

fn record_key(record: &Record) -> String {
    format!("{} {}", record.name, record.kind)
}

fn joined(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Automatic => "automatic",
        Mode::Approve => "approve",
        Mode::Shadow => "shadow",
    }
}

fn fencing_word(fencing: Fencing) -> &'static str {
    match fencing {
        Fencing::Required => "required",
        Fencing::BestEffort => "best-effort",
        Fencing::DnsOnly => "dns-only",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_app;

    const SHOP: &str = include_str!("../../../deploy/examples/shop.toml");

    fn definition(text: &str) -> Definition {
        parse_app(text, "shop.toml", None).expect("a good file").definition
    }

    fn lines(from: &str, to: &str) -> Vec<String> {
        let line = |change: Change| match (change.from, change.to) {
            (None, Some(to)) => format!("+ {} {to}", change.path),
            (Some(from), None) => format!("- {} {from}", change.path),
            (from, to) => format!("~ {} {from:?} → {to:?}", change.path).replace("Some", ""),
        };
        difference(Some(&definition(from)), &definition(to)).into_iter().map(line).collect()
    }

    #[test]
    fn the_same_is_no_difference_and_a_new_app_is_all_new() {
        assert_eq!(lines(SHOP, SHOP), [""; 0]);
        let all = difference(None, &definition(SHOP));
        assert!(all.len() > 30 && all.iter().all(|change| change.from.is_none()));
    }

    #[test]
    fn changes_are_named_as_the_file_names_them() {
        let swap = |from: &str, to: &str| {
            assert!(SHOP.contains(from), "{from}");
            lines(SHOP, &SHOP.replacen(from, to, 1))
        };
        assert_eq!(
            swap("[probe]", "[probe]\nwindow = \"12s\""),
            [r#"~ probe.window ("8s") → ("12s")"#]
        );
        assert_eq!(
            swap("max_loss = \"0\"", "max_loss = \"16MiB\""),
            [r#"~ data.max_loss ("0") → ("16MiB")"#]
        );
        assert_eq!(
            swap("198.51.100.10/healthz", "198.51.100.11/healthz"),
            [
                r#"~ stack[aws-east].endpoint[web-1].url ("https://198.51.100.10:443/healthz") → ("https://198.51.100.11:443/healthz")"#,
                r#"~ record[shop.example.com A].values.aws-east ("198.51.100.10") → ("198.51.100.11")"#,
            ]
        );
        assert_eq!(
            swap(", body = \"ready\"", ""),
            ["- stack[aws-east].endpoint[web-1].expect.body \"ready\""]
        );
        assert_eq!(
            swap("type = \"CNAME\"", "type = \"CNAME\"\nttl = 60"),
            [r#"~ record[www.example.org CNAME].ttl ("30") → ("60")"#]
        );
        assert_eq!(
            swap("alpn=h2,h3", "alpn=h2 port=8443"),
            [
                r#"~ record[*.shop.example.com HTTPS].values.aws-east ("1 . alpn=h2,h3") → ("1 . alpn=h2 port=8443")"#
            ]
        );
    }

    #[test]
    fn another_order_of_stacks_is_a_change() {
        let first = SHOP.find("[[stack]]").expect("a stack");
        let second = first + 2 + SHOP[first + 2..].find("[[stack]]").expect("another");
        let end = SHOP.find("[[record]]").expect("a record");
        let swapped =
            [&SHOP[..first], &SHOP[second..end], &SHOP[first..second], &SHOP[end..]].concat();
        assert_eq!(
            lines(SHOP, &swapped),
            [r#"~ order of stacks ("aws-east, do-west") → ("do-west, aws-east")"#]
        );
    }
}
