//! Who publishes a record: the keys that each driver wants, and those that go with another one.

use consensus::model::{Driver, Provider, RecordKind};

use super::address::{DNS_NAME_LIMIT, lies_in};
use super::fault::{Findings, Span};
use super::leaf::DriverWord;
use super::typed::app::{AppFile, RecordTable, ZoneTable};

/// The marker record stands below the name it marks (PROTOCOL.md 0.1 o).
const MARKER: &str = "_quorate.";

/// What a driver's word means, given the keys beside it; `None` after a finding.
pub(super) fn mean_driver(
    file: &AppFile,
    table: &RecordTable,
    findings: &mut Findings<'_>,
) -> Option<Driver> {
    match table.driver.value {
        DriverWord::BuiltIn => {
            refuse_strays(table, &["server", "zone", "zone_id", "url", "credential"], findings);
            check_own_zone(file, table, findings);
            Some(Driver::BuiltIn)
        }
        DriverWord::Rfc2136 => {
            refuse_strays(table, &["zone_id", "url"], findings);
            check_outside_name(table, findings);
            if table.server.is_none() {
                lacks(table, "server", "the zone's primary server, `host:port`", findings);
            }
            let (zone, credential) = zone_and_credential(table, "the name of a TSIG key", findings);
            let server = table.server.as_ref()?.value.joined();
            Some(Driver::Rfc2136 { server, zone: zone?, credential: credential? })
        }
        DriverWord::Provider(provider) => mean_provider(provider, table, findings),
    }
}

fn mean_provider(
    provider: Provider,
    table: &RecordTable,
    findings: &mut Findings<'_>,
) -> Option<Driver> {
    refuse_strays(table, &["server"], findings);
    check_outside_name(table, findings);
    let secret = match provider {
        Provider::Route53 => "the name of an access key",
        Provider::Google => "the name of a service account's key",
        Provider::Azure => "the name of a service principal's secret",
        Provider::PowerDns | Provider::Cloudflare | Provider::DigitalOcean | Provider::Webhook => {
            "the name of a token"
        }
    };
    let (zone, credential) = zone_and_credential(table, secret, findings);
    let numbered = match provider {
        Provider::Route53 => Some("the hosted zone's id, such as `Z2FDTNDATAQYW2`"),
        Provider::Cloudflare => Some("the zone's id, 32 hexadecimal digits"),
        Provider::Google => Some("`project/zone`, both as the console names them"),
        Provider::Azure => Some("`subscription/resource group`, where the zone is"),
        Provider::PowerDns | Provider::DigitalOcean | Provider::Webhook => None,
    };
    match (numbered, &table.zone_id) {
        (Some(expected), None) => lacks(table, "zone_id", expected, findings),
        (None, Some(_)) => refuse_strays(table, &["zone_id"], findings),
        (Some(_), Some(id)) => {
            let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
            let parts = match provider {
                Provider::Google | Provider::Azure => 2,
                _ => 1,
            };
            let hexadecimal =
                |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            let fits = provider != Provider::Cloudflare || hexadecimal(&id.value.0);
            let shaped =
                fits && id.value.0.split('/').filter(|part| !part.is_empty()).count() == parts;
            if !id.value.0.bytes().all(fit) || !shaped || id.value.0.contains("..") {
                findings.error(&id.span, format!("expected {}", numbered.unwrap_or_default()));
            }
        }
        (None, None) => {}
    }
    let untyped = matches!(provider, Provider::Azure | Provider::DigitalOcean);
    if untyped && table.r#type.value == RecordKind::Https {
        let text = format!("`{}` serves no HTTPS records", provider.word());
        findings.error(&table.r#type.span, text);
    }
    let elsewhere = matches!(provider, Provider::PowerDns | Provider::Webhook);
    if elsewhere && table.url.is_none() {
        lacks(table, "url", "where it listens, `http(s)://host:port`", findings);
    }
    let url = table.url.as_ref().and_then(|url| match url.value.of_web() {
        Some(text) => Some(text),
        None => {
            findings.error(&url.span, "expected `http(s)://host[:port]/path`, found a TCP address");
            None
        }
    });
    Some(Driver::Provider {
        provider,
        url,
        zone: zone?,
        zone_id: table.zone_id.as_ref().map(|id| id.value.0.clone()),
        credential: credential?,
    })
}

/// For how many seconds a record may be kept: no less than who publishes it takes. Said where somebody typed less.
pub(super) fn mean_ttl(table: &RecordTable, driver: &Driver, findings: &mut Findings<'_>) -> u32 {
    let ttl = table.ttl.value.0;
    let Driver::Provider { provider, .. } = driver else { return ttl };
    let least = provider.least();
    if ttl < least && table.ttl.span != table.at {
        let word = provider.word();
        let text = format!("`{word}` takes no lifetime below {least} seconds: {least} it is");
        findings.warn(&table.ttl.span, text);
    }
    ttl.max(least)
}

/// Whoever follows a delegation asks the zone for the addresses of servers that lie in it, and is told when there are none.
pub(super) fn check_name_servers(file: &AppFile, zone: &ZoneTable, findings: &mut Findings<'_>) {
    let address = |record: &&RecordTable| {
        matches!(record.r#type.value, RecordKind::A | RecordKind::Aaaa)
            && record.driver.value == DriverWord::BuiltIn
    };
    let addresses: Vec<_> = file.record.iter().filter(address).collect();
    for ns in zone.ns.iter().filter(|ns| lies_in(&ns.value.0, &zone.name.value.0)) {
        if !addresses.iter().any(|record| record.name.value.0 == ns.value.0) {
            let text = format!(
                "`{}` lies in the zone, and no `[[record]]` gives its address: resolvers will not find it",
                ns.value.0
            );
            findings.warn(&ns.span, text);
        }
    }
}

fn zone_and_credential(
    table: &RecordTable,
    secret: &str,
    findings: &mut Findings<'_>,
) -> (Option<String>, Option<consensus::model::CredentialId>) {
    if table.zone.is_none() {
        lacks(table, "zone", "the zone to change", findings);
    }
    if table.credential.is_none() {
        lacks(table, "credential", secret, findings);
    }
    let zone = table.zone.as_ref().map(|zone| zone.value.0.clone());
    (zone, table.credential.as_ref().map(|name| name.value.clone()))
}

fn lacks(table: &RecordTable, key: &str, expected: &str, findings: &mut Findings<'_>) {
    let word = word_of(table.driver.value);
    findings.error(&table.at, format!("`driver = \"{word}\"` lacks `{key}`: expected {expected}"));
}

/// Keys that say nothing to this driver.
fn refuse_strays(table: &RecordTable, keys: &[&str], findings: &mut Findings<'_>) {
    let typed: [(&str, Option<&Span>, &str); 5] = [
        ("server", table.server.as_ref().map(|at| &at.span), "`driver = \"rfc2136\"`"),
        ("zone", table.zone.as_ref().map(|at| &at.span), "`driver = \"rfc2136\"` and providers"),
        (
            "zone_id",
            table.zone_id.as_ref().map(|at| &at.span),
            "`route53`, `cloudflare`, `google`, `azure`",
        ),
        ("url", table.url.as_ref().map(|at| &at.span), "providers"),
        (
            "credential",
            table.credential.as_ref().map(|at| &at.span),
            "`driver = \"rfc2136\"` and providers",
        ),
    ];
    for (key, span, owner) in typed {
        if let (true, Some(span)) = (keys.contains(&key), span) {
            findings.error(span, format!("`{key}` goes with {owner}"));
        }
    }
}

fn word_of(driver: DriverWord) -> &'static str {
    match driver {
        DriverWord::BuiltIn => "built-in",
        DriverWord::Rfc2136 => "rfc2136",
        DriverWord::Provider(provider) => provider.word(),
    }
}

/// A name that the built-in server answers lies in a zone of the file.
fn check_own_zone(file: &AppFile, table: &RecordTable, findings: &mut Findings<'_>) {
    let name = &table.name.value;
    let zone = file
        .zone
        .iter()
        .filter(|zone| name.lies_in(&zone.name.value.0))
        .max_by_key(|zone| zone.name.value.0.len());
    match zone {
        None => {
            let text = format!(
                "`{}` lies in no `[[zone]]` of this file: the built-in server would refuse it",
                name.0
            );
            findings.error(&table.name.span, text);
        }
        Some(zone) if zone.name.value.0 == name.0 && table.r#type.value == RecordKind::Cname => {
            let text =
                format!("a CNAME cannot stand at the apex of zone `{}`: use A or AAAA", name.0);
            findings.error(&table.name.span, text);
        }
        Some(_) => {}
    }
}

/// A name that others serve lies in the zone it is changed in, and leaves room for its marker.
fn check_outside_name(table: &RecordTable, findings: &mut Findings<'_>) {
    let name = &table.name.value;
    if let Some(zone) = table.zone.as_ref().filter(|zone| !name.lies_in(&zone.value.0)) {
        let text = format!("`{}` does not lie in zone `{}`", name.0, zone.value.0);
        findings.error(&table.name.span, text);
    }
    if name.0.starts_with("*.") {
        let text =
            "a wildcard is answered by the built-in server only: no marker could stand beside it";
        findings.error(&table.name.span, text);
    }
    if name.0.starts_with(MARKER) {
        let text = format!("`{MARKER}…` is where the marker of another name stands");
        findings.error(&table.name.span, text);
    }
    if name.0.len() + MARKER.len() > DNS_NAME_LIMIT {
        let text = format!(
            "expected a name of at most {} octets: the marker `{MARKER}<name>` stands beside it",
            DNS_NAME_LIMIT - MARKER.len()
        );
        findings.error(&table.name.span, text);
    }
}
