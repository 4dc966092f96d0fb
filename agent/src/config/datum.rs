//! One value of a record, from text to what it means; the error says what was expected.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use consensus::model::{RecordData, RecordKind};
use data_encoding::BASE64;

use super::address::DnsName;
use super::fault::{alternatives, nearest};
use crate::records::TEXT_LIMIT;

/// Property tags of CAA that authorities know (RFC 8659, 8657, 9495).
const TAGS: [&str; 6] =
    ["issue", "issuewild", "issuemail", "iodef", "contactemail", "contactphone"];
/// The most octets of a CAA value: a name, an account and some parameters.
const AUTHORITY_LIMIT: usize = 1024;
/// Parameters of HTTPS by name, in the order of their numbers (RFC 9460 section 14.3.2).
const PARAMETERS: [&str; 7] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"];
/// The most octets of one parameter: an ECH configuration is some hundred.
const PARAMETER_LIMIT: usize = 2048;

/// What this value means for a record of this kind, or what was expected in its place.
pub(super) fn datum(kind: RecordKind, typed: &str) -> Result<RecordData, String> {
    match kind {
        RecordKind::A => typed
            .parse::<Ipv4Addr>()
            .map(|address| RecordData::Address(address.into()))
            .map_err(|_| "an IPv4 address".to_owned()),
        RecordKind::Aaaa => typed
            .parse::<Ipv6Addr>()
            .map(|address| RecordData::Address(address.into()))
            .map_err(|_| "an IPv6 address".to_owned()),
        RecordKind::Cname => DnsName::parse(typed)
            .map(|name| RecordData::Name(name.0))
            .map_err(|_| "a DNS name".to_owned()),
        RecordKind::Txt if typed.len() <= TEXT_LIMIT => Ok(RecordData::Text(typed.to_owned())),
        RecordKind::Txt => Err(format!("a text of at most {TEXT_LIMIT} octets")),
        RecordKind::Srv => service(typed).ok_or_else(|| {
            "`priority weight port host`, such as `10 5 443 web.example.com`".to_owned()
        }),
        RecordKind::Caa => authorization(typed),
        RecordKind::Https => binding(typed),
    }
}

/// A host, or the root.
fn target(typed: &str) -> Option<String> {
    match typed {
        "." => Some(String::new()),
        name => DnsName::parse(name).ok().map(|name| name.0),
    }
}

fn service(typed: &str) -> Option<RecordData> {
    let words: Vec<_> = typed.split_ascii_whitespace().collect();
    let [priority, weight, port, host] = words.as_slice() else { return None };
    Some(RecordData::Service {
        priority: priority.parse().ok()?,
        weight: weight.parse().ok()?,
        port: port.parse().ok()?,
        target: target(host)?,
    })
}

fn authorization(typed: &str) -> Result<RecordData, String> {
    let shape = || "`flags tag value`, such as `0 issue letsencrypt.org`".to_owned();
    let (flags, rest) = typed.trim().split_once(char::is_whitespace).ok_or_else(shape)?;
    let (tag, value) = rest.trim().split_once(char::is_whitespace).ok_or_else(shape)?;
    let flags: u8 = flags.parse().map_err(|_| shape())?;
    if !matches!(flags, 0 | 128) {
        return Err("the flags `0`, or `128` for critical".to_owned());
    }
    let tag = tag.to_ascii_lowercase();
    if !TAGS.contains(&tag.as_str()) {
        let hint = nearest(&tag, TAGS).map_or(String::new(), |word| format!(" (`{word}`?)"));
        return Err(format!("the tag {}{hint}", alternatives(TAGS)));
    }
    let value = value.trim();
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    if AUTHORITY_LIMIT < bare.len() || !bare.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(format!("a value of at most {AUTHORITY_LIMIT} printable ASCII characters"));
    }
    Ok(RecordData::Authorization { flags, tag, value: bare.to_owned() })
}

fn binding(typed: &str) -> Result<RecordData, String> {
    let shape =
        || "`priority target key=value …`, such as `1 . alpn=h2,h3 ipv4hint=192.0.2.1`".to_owned();
    let mut words = typed.split_ascii_whitespace();
    let priority: u16 = words.next().and_then(|word| word.parse().ok()).ok_or_else(shape)?;
    let target = words.next().and_then(target).ok_or_else(shape)?;
    let mut parameters = BTreeMap::new();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = parameter(key)?;
        let value = value.trim_matches('"');
        let wire = match number {
            0 => mandatory(value)?,
            number => parameter_value(number, value)
                .filter(|wire| wire.len() <= PARAMETER_LIMIT)
                .ok_or_else(|| format!("`{key}` {}", expected(number)))?,
        };
        if parameters.insert(number, wire).is_some() {
            return Err(format!("`{key}` once"));
        }
    }
    if priority == 0 && !parameters.is_empty() {
        return Err("no parameters beside priority 0, which makes an alias".to_owned());
    }
    let lacking = parameters.get(&0).and_then(|keys| {
        let mut keys = keys.chunks_exact(2).map(|key| u16::from_be_bytes([key[0], key[1]]));
        keys.find(|key| !parameters.contains_key(key))
    });
    match lacking {
        Some(key) => Err(format!("`{}`, which is mandatory", parameter_name(key))),
        None if parameters.contains_key(&2) && !parameters.contains_key(&1) => {
            Err("`alpn` beside `no-default-alpn`".to_owned())
        }
        None => Ok(RecordData::Binding { priority, target, parameters }),
    }
}

fn parameter_name(number: u16) -> String {
    match PARAMETERS.get(usize::from(number)) {
        Some(name) => (*name).to_owned(),
        None => format!("key{number}"),
    }
}

fn parameter(key: &str) -> Result<u16, String> {
    if let Some(number) = PARAMETERS.iter().position(|name| *name == key) {
        return Ok(number as u16);
    }
    match key.strip_prefix("key").and_then(|number| number.parse::<u16>().ok()) {
        Some(number) if number < u16::MAX => Ok(number),
        _ => {
            let hint =
                nearest(key, PARAMETERS).map_or(String::new(), |word| format!(" (`{word}`?)"));
            Err(format!("the parameter {} or `keyNNNNN`{hint}", alternatives(PARAMETERS)))
        }
    }
}

/// Keys in rising order, none twice, and not itself (RFC 9460 section 8).
fn mandatory(value: &str) -> Result<Vec<u8>, String> {
    let mut keys = value.split(',').map(parameter).collect::<Result<Vec<_>, _>>()?;
    keys.sort_unstable();
    if keys.contains(&0) || keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("other keys in `mandatory`, each once".to_owned());
    }
    Ok(keys.into_iter().flat_map(u16::to_be_bytes).collect())
}

fn expected(number: u16) -> &'static str {
    match number {
        1 => "as protocols with commas between, such as `h2,h3`",
        2 => "without a value",
        3 => "as a port",
        4 => "as IPv4 addresses with commas between",
        5 => "in base64",
        6 => "as IPv6 addresses with commas between",
        _ => "as printable ASCII without `\\` and `\"`",
    }
}

fn parameter_value(number: u16, value: &str) -> Option<Vec<u8>> {
    let items = || value.split(',');
    match number {
        1 => items().try_fold(Vec::new(), |mut wire, item| {
            let fits = (1..=255).contains(&item.len())
                && item.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'"');
            wire.push(u8::try_from(item.len()).ok()?);
            wire.extend(item.as_bytes());
            fits.then_some(wire)
        }),
        2 => value.is_empty().then(Vec::new),
        3 => value.parse::<u16>().ok().map(|port| port.to_be_bytes().to_vec()),
        4 => items().try_fold(Vec::new(), |mut wire, item| {
            wire.extend(item.parse::<Ipv4Addr>().ok()?.octets());
            Some(wire)
        }),
        5 => BASE64.decode(value.as_bytes()).ok().filter(|wire| !wire.is_empty()),
        6 => items().try_fold(Vec::new(), |mut wire, item| {
            wire.extend(item.parse::<Ipv6Addr>().ok()?.octets());
            Some(wire)
        }),
        _ => {
            let plain = |b: u8| b.is_ascii_graphic() && b != b'\\' && b != b'"';
            value.bytes().all(plain).then(|| value.as_bytes().to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_mean_what_other_servers_read() {
        for (kind, typed, shown) in [
            (RecordKind::Srv, "10 5 443 Web.Example.com.", "10 5 443 web.example.com."),
            (RecordKind::Srv, "0 0 0 .", "0 0 0 ."),
            (RecordKind::Caa, "0 issue letsencrypt.org", "0 issue \"letsencrypt.org\""),
            (RecordKind::Caa, "128 ISSUEWILD \";\"", "128 issuewild \";\""),
            (RecordKind::Https, "0 svc.example.com", "0 svc.example.com."),
            (
                RecordKind::Https,
                "1 . alpn=h2 port=8443",
                "1 . key1=\\002\\104\\050 key3=\\032\\251",
            ),
            (
                RecordKind::Https,
                "1 . port=1 mandatory=port key700=ab",
                "1 . key0=\\000\\003 key3=\\000\\001 key700=\\097\\098",
            ),
        ] {
            let meant = datum(kind, typed).map(|data| data.to_string());
            assert_eq!(meant.as_deref(), Ok(shown), "{typed}");
            let data = datum(kind, typed).expect("just read");
            assert!(crate::records::rdata(kind, &data).is_some(), "{typed}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (kind, typed, expected) in [
            (RecordKind::Srv, "10 5 web.example.com", "`priority weight port host`"),
            (RecordKind::Srv, "10 5 70000 web.example.com", "`priority weight port host`"),
            (RecordKind::Caa, "0 issue", "`flags tag value`"),
            (RecordKind::Caa, "1 issue x.org", "the flags `0`"),
            (RecordKind::Caa, "0 isue x.org", "(`issue`?)"),
            (RecordKind::Https, "1", "`priority target key=value …`"),
            (RecordKind::Https, "0 x.example alpn=h2", "no parameters beside priority 0"),
            (RecordKind::Https, "1 . apln=h2", "(`alpn`?)"),
            (RecordKind::Https, "1 . alpn=", "`alpn` as protocols"),
            (RecordKind::Https, "1 . alpn=h2 alpn=h3", "`alpn` once"),
            (RecordKind::Https, "1 . ipv4hint=::1", "`ipv4hint` as IPv4"),
            (RecordKind::Https, "1 . mandatory=port", "`port`, which is mandatory"),
            (RecordKind::Https, "1 . no-default-alpn", "`alpn` beside"),
            (RecordKind::Https, "1 . key65535=x", "the parameter"),
        ] {
            let told = datum(kind, typed).expect_err(typed);
            assert!(told.contains(expected), "{typed}: {told}");
        }
    }
}
