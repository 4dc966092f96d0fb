//! Names and addresses: DNS names, `host:port`, URLs of endpoints.
//!
//! Whatever passes here is safe to put into a request line, a certificate check and a DNS message as it stands.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use consensus::model::{Scheme, Source};
use serde_json::{Value, json};

use super::fault::nearest;
use super::leaf::text;
use super::tree::{Leaf, Odd, Raw, excerpt};

/// The most octets of a DNS name in text (RFC 1035 section 2.3.4, without the final dot).
pub(crate) const DNS_NAME_LIMIT: usize = 253;
/// The most octets of the place where endpoints are found.
const SOURCE_OCTETS: usize = 2048;

/// A DNS name: lower case, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DnsName(pub String);

impl DnsName {
    /// From text, or why not.
    pub(crate) fn parse(typed: &str) -> Result<Self, Odd> {
        let name = typed.strip_suffix('.').unwrap_or(typed).to_ascii_lowercase();
        if !name.is_ascii() {
            return Err(Odd::Hint("write it in its ASCII form, `xn--…`".to_owned()));
        }
        if name.parse::<IpAddr>().is_ok() {
            return Err(Odd::Hint("an address is no name".to_owned()));
        }
        if name.len() > DNS_NAME_LIMIT {
            return Err(Odd::Hint(format!("it has {} octets", name.len())));
        }
        match name.split('.').all(label) {
            true => Ok(Self(name)),
            false if name.starts_with("*.") => {
                Err(Odd::Hint("only a record's own name may be a wildcard".to_owned()))
            }
            false => Err(Odd::Found),
        }
    }
}

/// Is the name `zone` itself or below it?
pub(crate) fn lies_in(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|left| left.is_empty() || left.ends_with('.'))
}

impl std::fmt::Display for DnsName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl Leaf for DnsName {
    fn expected() -> Cow<'static, str> {
        format!("a DNS name of at most {DNS_NAME_LIMIT} octets, labels at most 63").into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "maxLength": DNS_NAME_LIMIT + 1, "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        Self::parse(text(raw)?)
    }
}

/// The name that a record stands at: a DNS name, or `*.` before one (RFC 4592).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OwnerName(pub String);

impl OwnerName {
    /// Is it `zone` itself or below it?
    pub(crate) fn lies_in(&self, zone: &str) -> bool {
        lies_in(&self.0, zone)
    }
}

impl Leaf for OwnerName {
    fn expected() -> Cow<'static, str> {
        DnsName::expected()
    }

    fn schema() -> Value {
        json!({ "type": "string", "maxLength": DNS_NAME_LIMIT + 1, "pattern": r"^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        let typed = text(raw)?;
        let below = typed.strip_prefix("*.");
        if below.unwrap_or(typed).contains('*') {
            return Err(Odd::Hint("`*` is a whole label, and the first".into()));
        }
        match below {
            Some(below) if below.len() + 2 <= DNS_NAME_LIMIT => {
                Ok(Self(format!("*.{}", DnsName::parse(below)?.0)))
            }
            _ => Ok(Self(DnsName::parse(typed)?.0)),
        }
    }
}

/// The mail address of whoever answers for a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact(pub String);

impl Leaf for Contact {
    fn expected() -> Cow<'static, str> {
        "a mail address such as `hostmaster@example.com`".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[^@ ]+@[^@ ]+$" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        let (local, domain) = text(raw)?.split_once('@').ok_or(Odd::Found)?;
        // It becomes one label of the SOA's RNAME (RFC 1035 section 8).
        let fits = (1..=63).contains(&local.len())
            && local.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b));
        let domain = DnsName::parse(domain).map_err(|_| Odd::Found)?;
        match fits && local.len() + domain.0.len() < DNS_NAME_LIMIT {
            true => Ok(Self(format!("{local}@{}", domain.0))),
            false => Err(Odd::Found),
        }
    }
}

/// A host and a port: an address literal (IPv6 in brackets) or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// As it was typed: `host:port`, IPv6 in brackets.
    pub(crate) fn joined(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Splits `host[:port]`; IPv6 stands in brackets.
fn host_port(typed: &str) -> Result<(String, Option<&str>), Odd> {
    let (host, rest) = match typed.strip_prefix('[') {
        Some(inner) => {
            let (inside, rest) = inner.split_once(']').ok_or(Odd::Found)?;
            let address: IpAddr = inside.parse().map_err(|_| Odd::Found)?;
            if address.is_ipv4() {
                return Err(Odd::Hint("brackets are for IPv6".to_owned()));
            }
            (address.to_string(), rest)
        }
        None if typed.matches(':').count() > 1 => {
            return Err(Odd::Hint("write an IPv6 address in brackets, `[2001:db8::1]`".to_owned()));
        }
        None => {
            let at = typed.find(':').unwrap_or(typed.len());
            let host = match typed[..at].parse::<IpAddr>() {
                Ok(address) => address.to_string(),
                // Digits and dots alone are an address with a slip in it, never a name.
                Err(_) if typed[..at].bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
                    return Err(Odd::Found);
                }
                Err(_) => DnsName::parse(&typed[..at])?.0,
            };
            (host, &typed[at..])
        }
    };
    match (rest.is_empty(), rest.strip_prefix(':')) {
        (true, _) => Ok((host, None)),
        (false, Some(port)) => Ok((host, Some(port))),
        (false, None) => Err(Odd::Found),
    }
}

fn port(typed: &str) -> Result<u16, Odd> {
    match typed.parse::<u16>() {
        Ok(port) if port > 0 && typed.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(Odd::Hint("a port is 1 to 65535".to_owned())),
    }
}

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let expected = || format!("expected {}, found `{}`", Self::expected(), excerpt(typed));
        Self::read(Raw::Text(typed)).map_err(|odd| match odd {
            Odd::Hint(hint) => format!("{}; {hint}", expected()),
            Odd::Found | Odd::Refused(_) => expected(),
        })
    }
}

impl Leaf for HostPort {
    fn expected() -> Cow<'static, str> {
        "`host:port`".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^.+:[0-9]{1,5}$" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        match host_port(text(raw)?)? {
            (host, Some(typed)) => Ok(Self { host, port: port(typed)? }),
            (_, None) => Err(Odd::Hint("the port is missing".to_owned())),
        }
    }
}

/// Where followed endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceWord(pub Source);

impl Leaf for SourceWord {
    fn expected() -> Cow<'static, str> {
        "`dns:NAME`, `dns://SERVER[:PORT]/NAME`, `http(s)://…` or the absolute path of a file"
            .into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "maxLength": 2048, "pattern": "^(dns:|https?://|/)." })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        let typed = text(raw)?;
        if typed.len() > SOURCE_OCTETS {
            return Err(Odd::Hint(format!("it has {} octets", typed.len())));
        }
        if let Some(rest) = typed.strip_prefix("dns://") {
            let (server, name) = rest.split_once('/').ok_or(Odd::Found)?;
            let (host, typed) = host_port(server)?;
            let address = host.parse::<IpAddr>().map_err(|_| {
                Odd::Hint(
                    "a server is named by its address: its name would have to be looked up".into(),
                )
            })?;
            let port = typed.map_or(Ok(53), port)?;
            let (name, server) = (DnsName::parse(name)?.0, Some(SocketAddr::new(address, port)));
            return Ok(Self(Source::Dns { name, server }));
        }
        if let Some(name) = typed.strip_prefix("dns:") {
            let name = DnsName::parse(name)?.0;
            return Ok(Self(Source::Dns { name, server: None }));
        }
        if typed.starts_with('/') {
            return Ok(Self(Source::File(typed.to_owned())));
        }
        match EndpointUrl::read(Raw::Text(typed)).map_err(|_| Odd::Found)?.scheme {
            Scheme::Http | Scheme::Https => Ok(Self(Source::Json(typed.to_owned()))),
            Scheme::Tcp => Err(Odd::Found),
        }
    }
}

/// Where an endpoint is, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointUrl {
    pub scheme: Scheme,
    pub at: HostPort,
    /// Path and query; empty for TCP.
    pub path: String,
}

impl EndpointUrl {
    /// As it is written for the web, without a final slash; `None` if it is a TCP address.
    pub(crate) fn of_web(&self) -> Option<String> {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Tcp => return None,
        };
        Some(format!("{scheme}://{}{}", self.at.joined(), self.path.trim_end_matches('/')))
    }
}

impl Leaf for EndpointUrl {
    fn expected() -> Cow<'static, str> {
        "`http(s)://host[:port]/path` or `tcp://host:port`".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "maxLength": 2048, "pattern": "^(https?|tcp)://[^/@#]+" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        let typed = text(raw)?;
        let (scheme, rest) = match typed.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("tcp", rest)) => (Scheme::Tcp, rest),
            Some((scheme, _)) => {
                let word = nearest(scheme, ["http", "https", "tcp"]).ok_or(Odd::Found)?;
                return Err(Odd::Hint(format!("did you mean `{word}://`?")));
            }
            None => {
                return Err(Odd::Hint(
                    "it begins with `http://`, `https://` or `tcp://`".to_owned(),
                ));
            }
        };
        if typed.len() > 2048 || !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Odd::Hint("percent-encode spaces and anything beyond ASCII".to_owned()));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Odd::Hint("a user or password has no place in it".to_owned()));
        }
        if path.contains('#') {
            return Err(Odd::Hint("a fragment, `#…`, is never sent".to_owned()));
        }
        let (host, typed_port) = host_port(authority)?;
        let port = match (scheme, typed_port) {
            (_, Some(typed)) => port(typed)?,
            (Scheme::Http, None) => 80,
            (Scheme::Https, None) => 443,
            (Scheme::Tcp, None) => return Err(Odd::Hint("the port is missing".to_owned())),
        };
        let path = match (scheme, path) {
            (Scheme::Tcp, "" | "/") => String::new(),
            (Scheme::Tcp, _) => return Err(Odd::Hint("TCP has no path".to_owned())),
            (_, path) if path.starts_with('/') => path.to_owned(),
            (_, path) => format!("/{path}"),
        };
        Ok(Self { scheme, at: HostPort { host, port }, path })
    }
}

macro_rules! addresses {
    ($($address:ty: $expected:literal, $hint:expr;)*) => {$(
        impl Leaf for $address {
            fn expected() -> Cow<'static, str> {
                $expected.into()
            }

            fn schema() -> Value {
                json!({ "type": "string" })
            }

            fn read(raw: Raw<'_>) -> Result<Self, Odd> {
                let typed = text(raw)?;
                typed.parse().map_err(|_| {
                    let hint: fn(&str) -> Option<&'static str> = $hint;
                    hint(typed).map_or(Odd::Found, |hint| Odd::Hint(hint.to_owned()))
                })
            }
        }
    )*};
}

addresses! {
    IpAddr: "an IP address", |_| None;
    SocketAddr: "`address:port`, such as `127.0.0.1:4791` or `[::]:4790`", |typed| {
        match typed.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => Some("the port is missing"),
            Ok(IpAddr::V6(_)) => Some("write it in brackets and add the port"),
            Err(_) if typed.starts_with(':') => Some("all addresses are `[::]`"),
            Err(_) if typed.starts_with("localhost:") => Some("this computer is `127.0.0.1`"),
            Err(_) => None,
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Leaf>(typed: &str) -> Result<T, Odd> {
        T::read(Raw::Text(typed))
    }

    #[test]
    fn dns_names_are_labels() {
        let long = format!("{}.{}", "a".repeat(63), "b".repeat(63));
        for (typed, name) in [
            ("Shop.Example.com.", "shop.example.com"),
            ("_a.b", "_a.b"),
            ("x", "x"),
            (&long, &long),
        ] {
            assert_eq!(read(typed), Ok(DnsName(name.to_owned())), "{typed}");
        }
        let (label, name) = ("a".repeat(64), "a.".repeat(127) + "a");
        for typed in [
            "",
            ".",
            "a..b",
            ".a",
            "-a",
            "a-",
            "a b",
            "bücher.de",
            "192.0.2.1",
            "*.a",
            "a/b",
            &label,
            &name,
        ] {
            assert!(read::<DnsName>(typed).is_err(), "{typed}");
        }
        let inside: OwnerName = read("WWW.example.com.").expect("a name");
        assert_eq!(inside.0, "www.example.com");
        assert_eq!(read::<OwnerName>("*.Example.com").expect("a wildcard").0, "*.example.com");
        for typed in ["*", "*.", "a.*.example.com", "**.example.com", "*.*.example.com"] {
            assert!(read::<OwnerName>(typed).is_err(), "{typed}");
        }
        assert!(inside.lies_in("example.com") && inside.lies_in("www.example.com"));
        assert!(!inside.lies_in("ample.com") && !inside.lies_in("a.www.example.com"));
    }

    #[test]
    fn hosts_have_ports() {
        for (typed, host, port) in [
            ("a.example:1", "a.example", 1),
            ("192.0.2.1:53", "192.0.2.1", 53),
            ("[2001:DB8::1]:9", "2001:db8::1", 9),
        ] {
            assert_eq!(read(typed), Ok(HostPort { host: host.to_owned(), port }), "{typed}");
        }
        for typed in [
            "",
            ":",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "::1:5",
            "[::1]",
            "[::1]5",
            "[a]:1",
            "1.2.3:4",
            "300.1.1.1:5",
            "a b:1",
        ] {
            assert!(read::<HostPort>(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        for (typed, scheme, host, port, path) in [
            ("https://198.51.100.10/healthz", Scheme::Https, "198.51.100.10", 443, "/healthz"),
            ("http://[::1]:8080/a?b=c", Scheme::Http, "::1", 8080, "/a?b=c"),
            ("http://web.example?x", Scheme::Http, "web.example", 80, "/?x"),
            ("http://web.example", Scheme::Http, "web.example", 80, "/"),
            ("tcp://10.0.0.1:22", Scheme::Tcp, "10.0.0.1", 22, ""),
        ] {
            let at = HostPort { host: host.to_owned(), port };
            assert_eq!(
                read(typed),
                Ok(EndpointUrl { scheme, at, path: path.to_owned() }),
                "{typed}"
            );
        }
        for typed in [
            "",
            "web.example",
            "ftp://a",
            "htp://a",
            "http://",
            "http://u:p@a/",
            "http://a/#x",
            "http://a b/",
            "http://a/ü",
            "http://a/\r\nX: y",
            "tcp://a",
            "tcp://a:1/x",
            "http://a:99999/",
            "http:///x",
        ] {
            assert!(read::<EndpointUrl>(typed).is_err(), "{typed}");
        }
        assert_eq!(
            read::<EndpointUrl>("htps://a/"),
            Err(Odd::Hint("did you mean `https://`?".into()))
        );
    }

    #[test]
    fn contacts_are_mail_addresses() {
        assert_eq!(read("Admin.x@Example.COM"), Ok(Contact("Admin.x@example.com".to_owned())));
        for typed in ["", "a", "@b", "a@", "a@b@c", "a b@c", "ä@b.c"] {
            assert!(read::<Contact>(typed).is_err(), "{typed}");
        }
    }
}
