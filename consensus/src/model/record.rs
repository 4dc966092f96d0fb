//! What clients look up, and how it is published.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{CredentialId, StackId};

/// What clients look up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The full name, lower case, without the final dot.
    pub name: String,
    /// The type.
    pub kind: RecordKind,
    /// How long it may be cached, in seconds.
    pub ttl: u32,
    /// What it holds while each stack is the active one; never empty for any of them. What stands there more often than
    /// another is to be answered with more often, where that can be.
    pub values: BTreeMap<StackId, Vec<RecordData>>,
    /// How it is published.
    pub driver: Driver,
}

/// A record's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum RecordKind {
    A,
    Aaaa,
    Cname,
    Txt,
    Srv,
    Caa,
    Https,
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
            Self::Srv => "SRV",
            Self::Caa => "CAA",
            Self::Https => "HTTPS",
        })
    }
}

/// What one record holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordData {
    /// For A and AAAA.
    Address(IpAddr),
    /// For CNAME: lower case, without the final dot.
    Name(String),
    /// For TXT: at most 2,048 octets, sent in strings of 255.
    Text(String),
    /// For SRV (RFC 2782).
    Service {
        /// Lower comes first.
        priority: u16,
        /// Shares among those of one priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host: lower case, without the final dot; empty for the root, which says that there is no such service.
        target: String,
    },
    /// For CAA (RFC 8659).
    Authorization {
        /// 128 if an authority that does not know the tag must not issue.
        flags: u8,
        /// What is said: `issue`, `issuewild`, `iodef` and the like.
        tag: String,
        /// Of whom.
        value: String,
    },
    /// For HTTPS (RFC 9460).
    Binding {
        /// Lower comes first; 0 makes the target an alias.
        priority: u16,
        /// The host: lower case, without the final dot; empty for the record's own name.
        target: String,
        /// Parameters by their numbers, in wire format.
        parameters: BTreeMap<u16, Vec<u8>>,
    },
}

impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => write!(f, "{name}."),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Service { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {target}.")
            }
            Self::Authorization { flags, tag, value } => write!(f, "{flags} {tag} {value:?}"),
            Self::Binding { priority, target, parameters } => {
                write!(f, "{priority} {target}.")?;
                for (key, value) in parameters {
                    // As RFC 3597 writes what it does not know: every reader understands it.
                    write!(f, " key{key}")?;
                    for (at, byte) in value.iter().enumerate() {
                        let before = if at == 0 { "=" } else { "" };
                        write!(f, "{before}\\{byte:03}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// How a record is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Driver {
    /// By the server in every agent with `[dns]`: the decision is the answer.
    BuiltIn,
    /// By dynamic update (RFC 2136), signed (RFC 8945).
    Rfc2136 {
        /// The primary server, `host:port`.
        server: String,
        /// The zone to update, lower case, without the final dot.
        zone: String,
        /// The name of the TSIG key.
        credential: CredentialId,
    },
    /// Through the HTTP interface of whoever serves the zone.
    Provider {
        /// Which interface.
        provider: Provider,
        /// Where it is spoken, without a final slash; the provider's own address where there is none.
        url: Option<String>,
        /// The zone to change, lower case, without the final dot.
        zone: String,
        /// The zone as the provider numbers it, where it does.
        zone_id: Option<String>,
        /// The name of the secret.
        credential: CredentialId,
    },
}

impl Driver {
    /// Does whoever holds the zone refuse an old token in the very step of the change (PROTOCOL.md D.3)?
    pub fn compares(&self) -> bool {
        match self {
            Self::BuiltIn | Self::Rfc2136 { .. } => true,
            Self::Provider { provider, .. } => provider.compares(),
        }
    }

    /// What an agent must hold to publish by it.
    pub fn credential(&self) -> Option<&CredentialId> {
        match self {
            Self::BuiltIn => None,
            Self::Rfc2136 { credential, .. } | Self::Provider { credential, .. } => {
                Some(credential)
            }
        }
    }
}

/// Whose HTTP interface a zone is changed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Amazon Route 53: compares and sets.
    Route53,
    /// PowerDNS's own interface: does not compare.
    PowerDns,
    /// Cloudflare: compares and sets by the marker's record number.
    Cloudflare,
    /// DigitalOcean: does not compare, and changes one record at a time.
    DigitalOcean,
    /// Google Cloud DNS: compares and sets.
    Google,
    /// A program of the user's own, which is sent the token and compares.
    Webhook,
    /// Azure DNS: every set is changed only as it was read, the marker's first.
    Azure,
}

impl Provider {
    /// Can it make a change depend on the marker that was read (PROTOCOL.md D.3)?
    pub fn compares(self) -> bool {
        !matches!(self, Self::PowerDns | Self::DigitalOcean)
    }

    /// The shortest lifetime that it takes, in seconds: what is less it refuses, records and markers alike (Cloudflare "Create
    /// DNS Record": 60 to 86,400, and 30 for Enterprise zones alone; DigitalOcean "Create a New Domain Record": 30).
    pub const fn least(self) -> u32 {
        match self {
            Self::Cloudflare => 60,
            Self::DigitalOcean => 30,
            Self::Route53 | Self::PowerDns | Self::Google | Self::Webhook | Self::Azure => 1,
        }
    }

    /// As app files name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Route53 => "route53",
            Self::PowerDns => "powerdns",
            Self::Cloudflare => "cloudflare",
            Self::DigitalOcean => "digitalocean",
            Self::Google => "google",
            Self::Webhook => "webhook",
            Self::Azure => "azure",
        }
    }
}
