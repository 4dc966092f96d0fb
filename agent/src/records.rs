//! Record data and keys, turned into what the DNS library knows; `None` for what no file that was read can hold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use consensus::model::{RecordData, RecordKind};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType, TSigner};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};

use crate::config::Credential;

/// How far the clocks of signer and server may differ, in seconds (RFC 8945 section 10 recommends 300).
const FUDGE: u16 = 300;
/// The most octets of one string in a TXT record (RFC 1035 section 3.3.14).
const STRING_LIMIT: usize = 255;
/// The most octets of a TXT record.
pub(crate) const TEXT_LIMIT: usize = 2048;

/// The type's number.
pub(crate) fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Cname => RecordType::CNAME,
        RecordKind::Txt => RecordType::TXT,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::Caa => RecordType::CAA,
        RecordKind::Https => RecordType::HTTPS,
    }
}

/// A name in text, lower case and absolute; the root where it is empty.
pub(crate) fn absolute(name: &str) -> Option<Name> {
    let name = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).ok()?;
    Some(name.to_lowercase())
}

/// A TSIG key ready to sign with, or why it is none.
pub(crate) fn signer(credential: &Credential) -> Result<TSigner, String> {
    let (key, algorithm, secret) = match credential {
        Credential::Key { name, algorithm, secret } => (name, algorithm, secret),
        Credential::Login(_) => {
            return Err("is a user and password, expected a TSIG key".to_owned());
        }
        Credential::Token { .. } => return Err("is a token, expected a TSIG key".to_owned()),
    };
    let algorithm = match algorithm.trim_end_matches('.') {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        other => {
            return Err(format!(
                "has no usable algorithm: expected hmac-sha256, hmac-sha384 or hmac-sha512, \
                 found `{other}`"
            ));
        }
    };
    let name = absolute(key).ok_or_else(|| format!("names key `{key}`, which is no key name"))?;
    TSigner::new(secret.clone(), algorithm, name, FUDGE)
        .map_err(|error| format!("cannot sign: {error}"))
}

/// A text in the strings that one record holds, at least one; no character lies in two of them, so that each is text.
pub(crate) fn strings(text: &str) -> Vec<&[u8]> {
    let mut strings = Vec::new();
    let mut rest = text;
    while rest.len() > STRING_LIMIT {
        let ends = (1..=STRING_LIMIT).rev().find(|at| rest.is_char_boundary(*at));
        let at = ends.expect("a character has four octets at most");
        strings.push(&rest.as_bytes()[..at]);
        rest = &rest[at..];
    }
    strings.push(rest.as_bytes());
    strings
}

/// Data as a master file writes it (RFC 1035 section 5.1): text in strings of 255 octets, what is not plain as `\\DDD`.
pub(crate) fn in_master_file(data: &RecordData) -> String {
    let quoted = |string: &[u8]| {
        let octet = |byte: &u8| match byte {
            b'"' | b'\\' => format!("\\{}", char::from(*byte)),
            b' '..=b'~' => char::from(*byte).to_string(),
            other => format!("\\{other:03}"),
        };
        format!("\"{}\"", string.iter().map(octet).collect::<String>())
    };
    match data {
        RecordData::Text(text) => {
            strings(text).into_iter().map(quoted).collect::<Vec<_>>().join(" ")
        }
        RecordData::Authorization { flags, tag, value } => {
            format!("{flags} {tag} {}", quoted(value.as_bytes()))
        }
        RecordData::Binding { priority, target, parameters } => {
            let parameters = parameters.iter().map(|(key, value)| (*key, value.as_slice()));
            let words = parameters.map(|(key, value)| format!(" {}", parameter(key, value)));
            format!("{priority} {target}.{}", words.collect::<String>())
        }
        other => other.to_string(),
    }
}

/// A binding to a service, taken apart: the library writes its lists as only it reads them.
pub(crate) struct Bound {
    pub(crate) priority: u16,
    /// With its final dot.
    pub(crate) target: String,
    /// Every parameter, as a master file writes it.
    pub(crate) parameters: Vec<String>,
}

impl Bound {
    /// Of a record of type HTTPS or SVCB (RFC 9460 section 2.2).
    pub(crate) fn of(data: &RData) -> Option<Self> {
        let wire = wire(data)?;
        let (priority, mut rest) = wire.split_at_checked(2)?;
        let mut target = String::new();
        loop {
            let (length, behind) = rest.split_first()?;
            let (label, behind) = behind.split_at_checked(usize::from(*length))?;
            rest = behind;
            match label {
                [] => break,
                label => target.push_str(&format!("{}.", str::from_utf8(label).ok()?)),
            }
        }
        let mut parameters = Vec::new();
        while !rest.is_empty() {
            let (head, behind) = rest.split_at_checked(4)?;
            let length = u16::from_be_bytes([head[2], head[3]]);
            let (value, behind) = behind.split_at_checked(usize::from(length))?;
            parameters.push(parameter(u16::from_be_bytes([head[0], head[1]]), value));
            rest = behind;
        }
        let target = if target.is_empty() { ".".to_owned() } else { target };
        Some(Self { priority: u16::from_be_bytes(priority.try_into().ok()?), target, parameters })
    }
}

/// A record's data as it is sent (RFC 1035 section 3.3).
pub(crate) fn wire(data: &RData) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    data.emit(&mut BinEncoder::new(&mut wire)).ok()?;
    Some(wire)
}

/// A parameter by its name (RFC 9460 section 14.3.2); what has none, or holds what is not plain, by its number.
fn parameter(key: u16, value: &[u8]) -> String {
    let list = |size: usize, text: fn(&[u8]) -> String| {
        let whole = !value.is_empty() && value.len().is_multiple_of(size);
        whole.then(|| value.chunks(size).map(text).collect::<Vec<_>>().join(","))
    };
    let number = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
    let named = match key {
        1 => protocols(value).map(|ids| format!("alpn={ids}")),
        2 if value.is_empty() => Some("no-default-alpn".to_owned()),
        3 if value.len() == 2 => Some(format!("port={}", number(value))),
        4 => list(4, |it| Ipv4Addr::from([it[0], it[1], it[2], it[3]]).to_string())
            .map(|hosts| format!("ipv4hint={hosts}")),
        6 => list(16, |it| {
            <[u8; 16]>::try_from(it)
                .map_or_else(|_| String::new(), |it| Ipv6Addr::from(it).to_string())
        })
        .map(|hosts| format!("ipv6hint={hosts}")),
        _ => None,
    };
    named.unwrap_or_else(|| {
        let octets = value.iter().map(|byte| format!("\\{byte:03}")).collect::<String>();
        let before = if value.is_empty() { "" } else { "=" };
        format!("key{key}{before}{octets}")
    })
}

/// Application protocols, one after the other, each behind its length.
fn protocols(mut value: &[u8]) -> Option<String> {
    let mut ids = Vec::new();
    while !value.is_empty() {
        let (length, behind) = value.split_first()?;
        let (id, rest) = behind.split_at_checked(usize::from(*length))?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._/".contains(byte);
        if id.is_empty() || !id.iter().all(plain) {
            return None;
        }
        ids.push(str::from_utf8(id).ok()?);
        value = rest;
    }
    (!ids.is_empty()).then(|| ids.join(","))
}

/// One record's data.
pub(crate) fn rdata(kind: RecordKind, data: &RecordData) -> Option<RData> {
    Some(match (kind, data) {
        (RecordKind::A, RecordData::Address(IpAddr::V4(address))) => RData::A(A(*address)),
        (RecordKind::Aaaa, RecordData::Address(IpAddr::V6(address))) => RData::AAAA(AAAA(*address)),
        (RecordKind::Cname, RecordData::Name(name)) => RData::CNAME(CNAME(absolute(name)?)),
        (RecordKind::Txt, RecordData::Text(text)) if text.len() <= TEXT_LIMIT => {
            RData::TXT(TXT::from_bytes(strings(text)))
        }
        (RecordKind::Srv, RecordData::Service { priority, weight, port, target }) => {
            RData::SRV(SRV::new(*priority, *weight, *port, absolute(target)?))
        }
        (RecordKind::Caa, RecordData::Authorization { flags, tag, value }) => {
            let mut wire = vec![*flags, u8::try_from(tag.len()).ok()?];
            wire.extend(tag.as_bytes());
            wire.extend(value.as_bytes());
            parsed(RecordType::CAA, &wire)?
        }
        (RecordKind::Https, RecordData::Binding { priority, target, parameters }) => {
            let mut wire = priority.to_be_bytes().to_vec();
            wire.extend(absolute(target)?.to_bytes().ok()?);
            for (key, value) in parameters {
                wire.extend(key.to_be_bytes());
                wire.extend(u16::try_from(value.len()).ok()?.to_be_bytes());
                wire.extend(value);
            }
            parsed(RecordType::HTTPS, &wire)?
        }
        _ => return None,
    })
}

/// The library keeps the fields of these to itself; it reads them as it would from another server.
fn parsed(kind: RecordType, wire: &[u8]) -> Option<RData> {
    // The root's record, of class IN, kept for no time.
    let mut record = vec![0];
    record.extend(u16::from(kind).to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 0]);
    record.extend(u16::try_from(wire.len()).ok()?.to_be_bytes());
    record.extend(wire);
    Record::read(&mut BinDecoder::new(&record)).ok().map(|record| record.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_written_as_a_master_file_has_it() {
        let text = format!("{}é\"\\{}", "a".repeat(254), "b".repeat(300));
        let cut = strings(&text);
        assert_eq!(cut.iter().map(|it| it.len()).collect::<Vec<_>>(), [254, 255, 49]);
        assert!(cut.iter().all(|it| std::str::from_utf8(it).is_ok()));
        let written = in_master_file(&RecordData::Text(text));
        assert!(
            written.starts_with(&format!("\"{}\" \"\\195\\169\\\"\\\\bb", "a".repeat(254))),
            "{written}"
        );
        assert_eq!(in_master_file(&RecordData::Text(String::new())), "\"\"");
    }
}
