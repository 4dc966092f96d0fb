//! Broken files and what is said of them, to the letter; good files and what they mean.

use consensus::model::{Driver, Fencing, Mode, RecordData, RecordKind, Scheme};

use super::*;

mod agents;
mod broken;
mod following;
mod roles;
use broken::CASES;

const SHOP: &str = include_str!("../../../deploy/examples/shop.toml");
const AGENT: &str = include_str!("../../../deploy/examples/agent.toml");

/// A small good file, to be broken in one place.
const SMALL: &str = r#"[app]
name = "shop"
[data]
fencing = "dns-only"
[[zone]]
name = "shop.example"
ns = ["ns1.example"]
contact = "admin@example"
[[stack]]
name = "a"
[[stack.endpoint]]
url = "http://192.0.2.1/"
[[stack]]
name = "b"
[[stack.endpoint]]
url = "http://192.0.2.2/"
[[record]]
name = "shop.example"
type = "A"
"#;

fn definition(text: &str) -> Definition {
    parse_app(text, "shop.toml", None).expect("a good file").definition
}

/// The first lines of what is said of a text, without snippets.
fn said(text: &str) -> Vec<String> {
    let faults = match parse_app(text, "f", None) {
        Ok(app) => app.warnings,
        Err(Faults(faults)) => faults,
    };
    let first = |fault: Fault| fault.to_string().lines().next().unwrap_or_default().to_owned();
    faults.into_iter().map(first).collect()
}

#[test]
fn the_example_app_file_means_what_it_says() {
    let app = parse_app(SHOP, "shop.toml", None).expect("the example is good");
    assert_eq!(app.text, SHOP);
    assert_eq!(app.warnings.len(), 1, "{:?}", app.warnings);
    let shop = app.definition;
    assert_eq!((shop.mode, shop.regions), (Mode::Automatic, 2));
    assert_eq!(shop.cooldown, Duration::from_secs(900));
    assert_eq!(shop.probe.timeout, Duration::from_secs(4));
    assert_eq!((shop.data.max_loss_bytes, shop.data.fencing), (0, Fencing::BestEffort));
    let web = &shop.stacks[0].endpoints[0];
    assert_eq!((web.name.as_str(), web.scheme, web.port), ("web-1", Scheme::Https, 443));
    assert_eq!(shop.targets().count(), 4);
    let address = "198.51.100.10".parse().expect("an address");
    assert_eq!(shop.records[0].values[&shop.stacks[0].name], [RecordData::Address(address)]);
    assert_eq!(shop.records[0].ttl, 30);
    assert_eq!(shop.records[1].name, "*.shop.example.com");
    assert_eq!(shop.records[1].kind, RecordKind::Https);
    assert!(
        matches!(&shop.records[2].driver, Driver::Rfc2136 { server, .. } if server == "192.0.2.53:53")
    );
}

#[test]
fn no_record_is_to_be_kept_for_less_than_its_provider_takes() {
    let at = |typed: &str| {
        let driver = "driver = \"cloudflare\"\nzone = \"example.com\"\ncredential = \"dns\"\n\
                      zone_id = \"0123456789abcdef0123456789abcdef\"";
        let record =
            format!("[[record]]\nname = \"cdn.example.com\"\ntype = \"A\"\n{driver}\n{typed}\n");
        definition(&format!("{SHOP}\n{record}")).records.last().expect("one").ttl
    };
    assert_eq!([at(""), at("ttl = 30"), at("ttl = 60"), at("ttl = 300")], [60, 60, 60, 300]);
}

#[test]
fn a_definition_survives_json_and_the_codec() {
    let shop = definition(SHOP);
    let json = serde_json::to_string(&shop).expect("plain data");
    assert_eq!(serde_json::from_str::<Definition>(&json).expect("the same"), shop);
    let bytes = consensus::codec::encode(&shop);
    assert_eq!(consensus::codec::decode(&bytes), Ok(shop));
}

#[test]
fn a_broken_file_is_told_all_its_faults_at_once() {
    let text = "[app]\nnme = \"Shop 1\"\nmode = \"automtic\"\n\n[probe]\ninterval = \"5\"\nwindow = 8\n\
                fencing = \"required\"\n\n[health]\n\n[[stack]]\nname = 3\n[[stack.endpoint]]\nurl = \"htps://a/\"\n";
    let shown = parse_app(text, "shop.toml", None).expect_err("broken").to_string();
    assert_eq!(
        shown,
        r#"shop.toml:1:1: `[app]` lacks `name`: expected 1 to 63 of a-z, 0-9, `-` and `_`, starting with a letter or digit
 1 | [app]
   | ^^^^^
shop.toml:2:1: unknown key `nme` in `[app]`: did you mean `name`?
 2 | nme = "Shop 1"
   | ^^^
shop.toml:3:8: `mode`: expected `automatic`, `approve` or `shadow`, found `automtic`; did you mean `automatic`?
 3 | mode = "automtic"
   |        ^^^^^^^^^^
shop.toml:6:12: `interval`: expected a duration from `100ms` to `10m`, such as `500ms`, `8s`, `5m` or `1h`, found `5`; did you mean `5s`?
 6 | interval = "5"
   |            ^^^
shop.toml:7:10: `window`: expected a duration from `1s` to `10m`, such as `500ms`, `8s`, `5m` or `1h`, found the number `8`; did you mean `"8s"`?
 7 | window = 8
   |          ^
shop.toml:8:1: unknown key `fencing` in `[probe]`: it belongs in `[data]`
 8 | fencing = "required"
   | ^^^^^^^
shop.toml:10:2: unknown key `health` in the file: expected `app`, `quorum`, `probe`, `data`, `zone`, `stack` or `record`
 10 | [health]
    |  ^^^^^^
shop.toml:13:8: `name`: expected 1 to 63 of a-z, 0-9, `-` and `_`, starting with a letter or digit, found the number `3`; write it in quotes: `"3"`
 13 | name = 3
    |        ^
shop.toml:15:7: `url`: expected `http(s)://host[:port]/path` or `tcp://host:port`, found `htps://a/`; did you mean `https://`?
 15 | url = "htps://a/"
    |       ^^^^^^^^^^^"#
    );
}

#[test]
fn a_guard_is_on_one_host() {
    let guarded = SHOP.replace("fencing = \"best-effort\"", "fencing = \"required\"");
    assert!(said(&guarded)[0].contains("promotion will be refused"), "{:?}", said(&guarded));
    let all = guarded.replace("# guard = \"db-east\"", "guard = \"db-east\"");
    assert_eq!(all.matches("\nguard = ").count(), 1, "the example names one");
    let lines = said(&all);
    assert!(lines[0].contains("has no `guard`"), "the other stack's has none: {lines:?}");
    let other = "credential = \"orders\"\nguard = \"db-east\"";
    let twice = guarded.replace("credential = \"orders\"", other);
    let lines = said(&twice);
    assert!(
        lines.iter().any(|line| line.contains("a guard is on its database's own host")),
        "{lines:?}"
    );
}

#[test]
fn each_fault_has_its_line() {
    let swap = |from: &str, to: &str| {
        assert!(SMALL.contains(from), "{from}");
        said(&SMALL.replacen(from, to, 1))
    };
    assert_eq!(said(SMALL), [""; 0]);
    for (from, to, expected) in CASES {
        let found = swap(from, to);
        assert_eq!(found, *expected, "{from:?} → {to:?}");
    }
}

#[test]
fn an_authority_named_by_path_is_read_and_travels_with_the_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let mesh = consensus::model::MeshId(1);
    let authority = crate::identity::Authority::create(mesh).expect("an authority");
    std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).expect("own folder");
    let url = "url = \"http://192.0.2.2/\"";
    let text = SMALL.replace(url, "url = \"https://192.0.2.2/\"\nauthority = \"ca.pem\"");
    let app = parse_app(&text, "f", Some(folder.path())).expect("good");
    let pem = app.definition.stacks[1].endpoints[0].authority.clone();
    assert_eq!(pem.as_deref(), Some(authority.certificate_pem()));
    assert_eq!(parse_app(&app.text, "f", None).expect("good").definition, app.definition);
}

#[test]
fn limits_are_kept() {
    let stacks: String = (0..9).fold(String::new(), |text, n| {
        text + &format!(
            "[[stack]]\nname = \"s{n}\"\n[[stack.endpoint]]\nurl = \"tcp://192.0.2.{n}:1\"\n"
        )
    });
    let many = format!("[app]\nname = \"x\"\n{stacks}");
    assert_eq!(said(&many), ["f:35:1: expected at most 8 stacks, found 9"]);
    let endpoint = "[[stack.endpoint]]\nurl = \"tcp://192.0.2.1:1\"\n";
    let wide = SMALL.replace("[[record]]", &format!("{}[[record]]", endpoint.repeat(63)));
    assert_eq!(said(&wide), ["f:13:1: expected at most 32 endpoints and databases in all"]);
    let record = |n| format!("[[record]]\nname = \"r{n}.shop.example\"\ntype = \"A\"\n");
    let long = (0..64).fold(SMALL.to_owned(), |text, n| text + &record(n));
    assert_eq!(said(&long), ["f:209:1: expected at most 64 records, found 65"]);
    assert_eq!(
        said(&" ".repeat(FILE_LIMIT + 1)),
        ["f:1:1: expected at most 65536 bytes, found more"]
    );
    let text = format!("values = {{ a = [\"{}\"], b = [\"x\"] }}", "y".repeat(2049));
    let text = SMALL.replace("type = \"A\"", &format!("type = \"TXT\"\n{text}"));
    assert!(said(&text)[0].starts_with("f:20:17: expected a text of at most 2048 octets"));
}

#[test]
fn no_bytes_are_a_panic() {
    let deep = format!("x = {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let dotted = format!("{}x = 1", "a.".repeat(20_000));
    let texts = [
        "",
        "\0",
        "=",
        "[",
        "[[",
        "\u{feff}",
        "x = \"\\u12",
        "[app]\r\n\rname=1\u{2028}",
        &deep,
        &dotted,
    ];
    for text in texts {
        assert!(parse_app(text, "f", None).is_err());
        assert!(parse_agent(text, "f", Path::new(""), false).is_err());
    }
    // Every prefix of a good file, and every good file without one of its bytes.
    for at in (0..SHOP.len()).filter(|at| SHOP.is_char_boundary(*at)).step_by(7) {
        let _ = parse_app(&SHOP[..at], "f", None);
        let without: String =
            SHOP.char_indices().filter(|(own, _)| *own != at).map(|(_, c)| c).collect();
        let _ = parse_app(&without, "f", None).map_err(|faults| faults.to_string());
    }
}

#[test]
fn the_schema_knows_every_key_of_the_examples() {
    fn covers(schema: &serde_json::Value, whole: &serde_json::Value, value: &toml::Value) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => whole.pointer(&reference[1..]).expect("a definition"),
            None => schema,
        };
        match (value, schema["anyOf"].get(0)) {
            (_, Some(first)) => covers(first, whole, value),
            (toml::Value::Array(items), _) => {
                items.iter().for_each(|item| covers(&schema["items"], whole, item));
            }
            (toml::Value::Table(table), _) => {
                for (key, value) in table {
                    let known = schema["properties"].get(key);
                    let known = known.or(schema["additionalProperties"]
                        .as_object()
                        .map(|_| &schema["additionalProperties"]));
                    covers(known.unwrap_or_else(|| panic!("`{key}` in {schema}")), whole, value);
                }
            }
            _ => {}
        }
    }
    for (kind, text) in [(Kind::App, SHOP), (Kind::Agent, AGENT)] {
        let schema = schema(kind);
        covers(&schema, &schema, &text.parse::<toml::Table>().expect("TOML").into());
        assert_eq!(super::kind(text), kind);
    }
    let probe = &schema(Kind::App)["$defs"]["ProbeTable"];
    assert_eq!(probe["properties"]["interval"]["default"], "5s");
    assert_eq!(schema(Kind::App)["required"], serde_json::json!(["app"]));
}

#[test]
fn a_file_is_known_by_the_tables_it_has() {
    for text in ["[dns]\nlisten = []\n", "[mesh]", "[guard]\n[status]", "[credentials.x]"] {
        assert_eq!(kind(text), Kind::Agent, "{text}");
    }
    for text in ["", "[app]", "[[stack]]", "[[zone]]\n[probe]", "[nothing]"] {
        assert_eq!(kind(text), Kind::App, "{text}");
    }
}
