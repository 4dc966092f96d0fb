//! The values that files are made of: names, words, texts, numbers, durations and sizes.
//!
//! Each says what it expects in words and as JSON Schema, and what was probably meant where that can be told.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use consensus::model::{
    AgentId, AppId, BadName, CredentialId, Engine, Fencing, Mode, NAME_LIMIT, Provider, RecordKind,
    SeenBy, Site, StackId, TargetName,
};
use serde_json::{Value, json};

use super::fault::nearest;
use super::tree::{Leaf, Odd, Raw};
use crate::guard::Device;

/// The text that was typed.
pub(crate) fn text<'a>(raw: Raw<'a>) -> Result<&'a str, Odd> {
    match raw {
        Raw::Text(text) => Ok(text),
        Raw::Whole(number) => Err(Odd::Hint(format!("write it in quotes: `\"{number}\"`"))),
        _ => Err(Odd::Found),
    }
}

macro_rules! names {
    ($($name:ident),*) => {$(
        impl Leaf for $name {
            fn expected() -> Cow<'static, str> {
                format!("1 to {NAME_LIMIT} of a-z, 0-9, `-` and `_`, starting with a letter or digit").into()
            }

            fn schema() -> Value {
                json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$" })
            }

            fn read(raw: Raw<'_>) -> Result<Self, Odd> {
                let typed = text(raw)?;
                typed.parse().map_err(|BadName(_)| {
                    let allowed = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
                    let lower = typed.to_lowercase();
                    let words: Vec<String> = lower
                        .split_whitespace()
                        .map(|word| word.chars().filter(allowed).collect())
                        .filter(|word: &String| !word.is_empty())
                        .collect();
                    let meant: String = words.join("-").chars().take(NAME_LIMIT).collect();
                    let meant = meant.trim_matches(['-', '_']);
                    match meant.is_empty() {
                        true => Odd::Found,
                        false => Odd::Hint(format!("did you mean `{meant}`?")),
                    }
                })
            }
        }
    )*};
}

names! { AgentId, AppId, StackId, Site, TargetName, CredentialId }

/// Words of which one is chosen; `later` ones are known and not supported yet.
macro_rules! words {
    ($name:ty { $( $word:literal => $value:expr, )* } $( later { $( $later:literal )* => $meanwhile:literal } )?) => {
        impl Leaf for $name {
            fn expected() -> Cow<'static, str> {
                super::fault::alternatives([$($word),*]).into()
            }

            fn schema() -> Value {
                json!({ "type": "string", "enum": [$($word),*] })
            }

            fn read(raw: Raw<'_>) -> Result<Self, Odd> {
                let Raw::Text(typed) = raw else { return Err(Odd::Found) };
                match typed {
                    $( $word => Ok($value), )*
                    $( $( $later )|* => Err(Odd::Refused(format!(
                        "`{typed}` is not supported yet: {}", $meanwhile
                    ))), )?
                    _ => Err(match nearest(typed, [$($word),*]) {
                        Some(word) => Odd::Hint(format!("did you mean `{word}`?")),
                        None => Odd::Found,
                    }),
                }
            }
        }
    };
}

words! { Mode {
    "automatic" => Self::Automatic,
    "approve" => Self::Approve,
    "shadow" => Self::Shadow,
} }

words! { Fencing {
    "required" => Self::Required,
    "best-effort" => Self::BestEffort,
    "dns-only" => Self::DnsOnly,
} }

words! { Engine {
    "postgres" => Self::Postgres,
    "mysql" => Self::Mysql,
    "redis" => Self::Redis,
    "mongodb" => Self::Mongodb,
} }

words! { RecordKind {
    "A" => Self::A,
    "AAAA" => Self::Aaaa,
    "CNAME" => Self::Cname,
    "TXT" => Self::Txt,
    "SRV" => Self::Srv,
    "CAA" => Self::Caa,
    "HTTPS" => Self::Https,
} later { "SVCB" "MX" "NS" => "this version publishes A, AAAA, CNAME, TXT, SRV, CAA and HTTPS" } }

/// By what means a door is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoorWord {
    Nftables,
    Engine,
}

words! { DoorWord {
    "nftables" => Self::Nftables,
    "engine" => Self::Engine,
} }

impl Leaf for Device {
    fn expected() -> Cow<'static, str> {
        "a watchdog's device, such as `/dev/watchdog`".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^/dev/watchdog[0-9]{0,3}$" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        text(raw)?.parse().map_err(|()| Odd::Found)
    }
}

words! { SeenBy {
    "direct" => Self::All,
    "guard" => Self::Guard,
} }

/// How a record is published, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverWord {
    BuiltIn,
    Rfc2136,
    Provider(Provider),
}

words! { DriverWord {
    "built-in" => Self::BuiltIn,
    "rfc2136" => Self::Rfc2136,
    "route53" => Self::Provider(Provider::Route53),
    "powerdns" => Self::Provider(Provider::PowerDns),
    "cloudflare" => Self::Provider(Provider::Cloudflare),
    "digitalocean" => Self::Provider(Provider::DigitalOcean),
    "google" => Self::Provider(Provider::Google),
    "azure" => Self::Provider(Provider::Azure),
    "webhook" => Self::Provider(Provider::Webhook),
} }

/// A TSIG algorithm; the three that RFC 8945 asks for and every server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Algorithm(pub &'static str);

words! { Algorithm {
    "hmac-sha256" => Self("hmac-sha256"),
    "hmac-sha384" => Self("hmac-sha384"),
    "hmac-sha512" => Self("hmac-sha512"),
} }

/// How a log-in's connections are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Encrypted, with whoever answers.
    Encrypted,
    /// Encrypted, and the server's certificate is checked.
    Verified,
}

words! { Protection {
    "encrypted" => Self::Encrypted,
    "verified" => Self::Verified,
} }

/// Text of at most `MOST` octets, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<const MOST: usize>(pub String);

impl<const MOST: usize> Leaf for Text<MOST> {
    fn expected() -> Cow<'static, str> {
        format!("a text of 1 to {MOST} octets").into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": MOST })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        let typed = text(raw)?;
        match (1..=MOST).contains(&typed.len()) {
            true => Ok(Self(typed.to_owned())),
            false if typed.is_empty() => Err(Odd::Found),
            false => Err(Odd::Hint(format!("it has {} octets", typed.len()))),
        }
    }
}

/// Any text.
impl Leaf for String {
    fn expected() -> Cow<'static, str> {
        "a text".into()
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        text(raw).map(str::to_owned)
    }
}

/// Text that is never repeated.
#[derive(Clone)]
pub(crate) struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Leaf for Secret {
    const SECRET: bool = true;

    fn expected() -> Cow<'static, str> {
        "a text in quotes, not empty".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        match raw {
            Raw::Text(typed) if !typed.is_empty() => Ok(Self(typed.to_owned())),
            _ => Err(Odd::Found),
        }
    }
}

impl Leaf for bool {
    fn expected() -> Cow<'static, str> {
        "`true` or `false`".into()
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        match raw {
            Raw::Truth(truth) => Ok(truth),
            Raw::Text("true" | "false") => Err(Odd::Hint("without quotes".to_owned())),
            _ => Err(Odd::Found),
        }
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole<const LEAST: u32, const MOST: u32>(pub u32);

impl<const LEAST: u32, const MOST: u32> Leaf for Whole<LEAST, MOST> {
    fn expected() -> Cow<'static, str> {
        format!("a whole number from {LEAST} to {MOST}").into()
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        match raw {
            Raw::Whole(number) => u32::try_from(number)
                .ok()
                .filter(|number| (LEAST..=MOST).contains(number))
                .map(Self)
                .ok_or(Odd::Found),
            Raw::Text(typed) if typed.parse::<u32>().is_ok() => {
                Err(Odd::Hint(format!("without quotes: `{typed}`")))
            }
            _ => Err(Odd::Found),
        }
    }
}

/// A duration within bounds, given in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time<const LEAST: u64, const MOST: u64>(pub Duration);

impl<const LEAST: u64, const MOST: u64> Leaf for Time<LEAST, MOST> {
    fn expected() -> Cow<'static, str> {
        let (least, most) = (Duration::from_millis(LEAST), Duration::from_millis(MOST));
        format!(
            "a duration from `{}` to `{}`, such as `500ms`, `8s`, `5m` or `1h`",
            span(least),
            span(most)
        )
        .into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        let typed = match raw {
            Raw::Text(typed) => typed,
            Raw::Whole(number) => return Err(Odd::Hint(format!("did you mean `\"{number}s\"`?"))),
            _ => return Err(Odd::Found),
        };
        let Some(time) = duration(typed) else {
            return Err(match typed.parse::<u32>() {
                Ok(number) => Odd::Hint(format!("did you mean `{number}s`?")),
                Err(_) => Odd::Found,
            });
        };
        match (Duration::from_millis(LEAST)..=Duration::from_millis(MOST)).contains(&time) {
            true => Ok(Self(time)),
            false => Err(Odd::Found),
        }
    }
}

/// `500ms`, `8s`, `5m`, `1h`.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit).map(Duration::from_millis)
}

/// A duration as a file would have it.
pub fn span(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// A loss budget: bytes of the primary's log, or a span of its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossBudget {
    Bytes(u64),
    Time(Duration),
}

/// Shorter, and no two looks at a primary lie so close together; longer, and it bounds nothing.
const LOSS_TIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

const SIZE_UNITS: [(&str, u64); 4] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl Leaf for LossBudget {
    fn expected() -> Cow<'static, str> {
        "`0`, a size such as `16MiB` or a time from `1s` to `24h`".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^(0|[0-9]+(B|KiB|MiB|GiB|ms|s|m|h))$" })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        let typed = text(raw)?;
        if typed == "0" {
            return Ok(Self::Bytes(0));
        }
        if let Some(time) = duration(typed) {
            return LOSS_TIMES.contains(&time).then_some(Self::Time(time)).ok_or(Odd::Found);
        }
        let digits = typed.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = typed[..digits].parse().map_err(|_| Odd::Found)?;
        let unit = typed[digits..].trim_start();
        match SIZE_UNITS.iter().find(|(name, _)| *name == &typed[digits..]) {
            Some((_, bytes)) => number.checked_mul(*bytes).map(Self::Bytes).ok_or(Odd::Found),
            None => Err(match unit.to_ascii_uppercase().as_str() {
                "" => Odd::Hint(format!("did you mean `{number}B`?")),
                "K" | "KB" | "KIB" => Odd::Hint(format!("did you mean `{number}KiB`?")),
                "M" | "MB" | "MIB" => Odd::Hint(format!("did you mean `{number}MiB`?")),
                "G" | "GB" | "GIB" => Odd::Hint(format!("did you mean `{number}GiB`?")),
                _ => Odd::Found,
            }),
        }
    }
}

/// A size as a file would have it.
pub fn size(bytes: u64) -> String {
    let unit = SIZE_UNITS.iter().rev().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => "0".to_owned(),
    }
}

impl Leaf for PathBuf {
    fn expected() -> Cow<'static, str> {
        "a path".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn read(raw: Raw<'_>) -> Result<Self, Odd> {
        match text(raw)? {
            typed if typed.is_empty() || typed.contains('\0') => Err(Odd::Found),
            typed => Ok(Self::from(typed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Leaf>(typed: &str) -> Result<T, Odd> {
        T::read(Raw::Text(typed))
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        type Any = Time<0, { u64::MAX }>;
        for (typed, millis) in
            [("500ms", 500), ("8s", 8_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0)]
        {
            let time = Duration::from_millis(millis);
            assert_eq!(read::<Any>(typed), Ok(Time(time)), "{typed}");
            assert_eq!(span(time), typed);
        }
        for typed in
            ["", "s", "8 s", "8sec", "-8s", "1.5s", "1h30m", "99999999999999999999s", "ä", "5ä"]
        {
            assert!(read::<Any>(typed).is_err(), "{typed}");
        }
        assert_eq!(read::<Any>("18446744073709551615h"), Err(Odd::Found));
        assert_eq!(read::<Any>("8"), Err(Odd::Hint("did you mean `8s`?".into())));
        assert_eq!(read::<Time<1_000, 2_000>>("3s"), Err(Odd::Found));
    }

    #[test]
    fn sizes_are_in_powers_of_two() {
        for (typed, bytes) in [("0", 0), ("100B", 100), ("16MiB", 16 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(read(typed), Ok(LossBudget::Bytes(bytes)), "{typed}");
            assert_eq!(size(bytes), typed);
        }
        assert_eq!(read::<LossBudget>("16MB"), Err(Odd::Hint("did you mean `16MiB`?".into())));
        assert_eq!(read::<LossBudget>("16 MiB"), Err(Odd::Hint("did you mean `16MiB`?".into())));
        assert_eq!(read("30s"), Ok(LossBudget::Time(Duration::from_secs(30))));
        assert_eq!(read::<LossBudget>("0s"), Err(Odd::Found));
        assert_eq!(read::<LossBudget>("25h"), Err(Odd::Found));
        assert_eq!(read::<LossBudget>("99999999999GiB"), Err(Odd::Found));
        assert_eq!(read::<LossBudget>(""), Err(Odd::Found));
    }
}
