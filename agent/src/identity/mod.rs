//! Who belongs to the mesh: certificates made, certificates read, voters written down.
//!
//! An agent's name, region and role stand in its certificate and nowhere else, as one URI among its alternative
//! names: `quorate://<mesh>/<region>/<voter|observer>/<name>`. A URI, because names may hold what a DNS name may not
//! (`a_`), and because one text says all of it at once. Every agent's certificate also carries the DNS name [`PEER`],
//! which is what is dialled: then rustls' own verifier does the whole check, and who answered is read from the URI
//! afterwards. Knows nothing of sockets; reads no clock but the one it is given.

mod authority;
mod own;
mod voters;

use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use consensus::model::{AgentId, MeshId, Region};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use authority::{Authority, AuthorityError, Issued};
pub use own::{Identity, IdentityError};
pub(crate) use own::{date, provider, read_limited, validity, validity_of};
pub use voters::{VotersError, read_voters, voters_from_toml, voters_to_toml};

/// The name every agent's certificate carries, dialled whoever is expected.
pub const PEER: &str = "peer.mesh";

const SCHEME: &str = "quorate://";

/// What an agent's certificate says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: AgentId,
    /// Where it is.
    pub region: Region,
    /// Does it vote, or only watch?
    pub voter: bool,
}

impl Member {
    /// What this certificate (DER) says, and of which mesh. Whether to believe it is for whoever checks its signature.
    ///
    /// # Errors
    /// If it is no certificate, or not one of a mesh's agent.
    pub fn from_certificate(der: &[u8]) -> Result<(MeshId, Self), BadCertificate> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| BadCertificate::NoCertificate)?;
        let uri = mesh_uri(&certificate)?;
        Self::from_uri(&uri).ok_or(BadCertificate::NoMember(uri))
    }

    fn from_uri(uri: &str) -> Option<(MeshId, Self)> {
        let mut parts = uri.strip_prefix(SCHEME)?.split('/');
        let mesh = mesh_from_hex(parts.next()?)?;
        let region = parts.next()?.parse().ok()?;
        let voter = match parts.next()? {
            "voter" => true,
            "observer" => false,
            _ => return None,
        };
        let name = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some((mesh, Self { name, region, voter }))
    }

    fn uri(&self, mesh: MeshId) -> String {
        format!("{SCHEME}{mesh}/{}/{}/{}", self.region, self.role(), self.name)
    }

    /// `voter` or `observer`.
    pub const fn role(&self) -> &'static str {
        match self.voter {
            true => "voter",
            false => "observer",
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in {}", self.role(), self.name, self.region)
    }
}

/// A certificate that says nothing about an agent of a mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// Not an X.509 certificate.
    #[error("not an X.509 certificate")]
    NoCertificate,
    /// One without our URI.
    #[error("not a certificate of a mesh: no alternative name begins with `{SCHEME}`")]
    NoUri,
    /// One whose URI names no agent.
    #[error("expected `{SCHEME}<mesh>/<region>/<voter|observer>/<name>`, found `{0}`")]
    NoMember(String),
}

/// The one URI of ours that a certificate carries.
fn mesh_uri(certificate: &X509Certificate<'_>) -> Result<String, BadCertificate> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| BadCertificate::NoCertificate)?
        .ok_or(BadCertificate::NoUri)?;
    let uri = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(uri.chars().take(256).collect()),
        _ => None,
    });
    uri.ok_or(BadCertificate::NoUri)
}

/// The mesh of an authority's certificate: `quorate://<mesh>`.
fn mesh_of_authority(certificate: &X509Certificate<'_>) -> Result<MeshId, BadCertificate> {
    let uri = mesh_uri(certificate)?;
    uri.strip_prefix(SCHEME).and_then(mesh_from_hex).ok_or(BadCertificate::NoUri)
}

/// 128 bits from exactly 32 hexadecimal digits.
fn u128_from_hex(text: &str) -> Option<u128> {
    let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn mesh_from_hex(text: &str) -> Option<MeshId> {
    u128_from_hex(text).map(MeshId)
}

/// Makes a file that only its owner may read, durably; an existing one is left alone and is an error.
///
/// # Errors
/// Whatever the file system says.
pub fn write_secret(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_who_an_agent_is_or_nothing() {
        let member = Member {
            name: "a_".parse().expect("a name"),
            region: "eu-1".parse().expect("a name"),
            voter: true,
        };
        let uri = member.uri(MeshId(7));
        assert_eq!(uri, "quorate://00000000000000000000000000000007/eu-1/voter/a_");
        assert_eq!(Member::from_uri(&uri), Some((MeshId(7), member)));
        for bad in [
            "quorate://7/eu-1/voter/a",
            "quorate://00000000000000000000000000000007/eu-1/boss/a",
            "quorate://00000000000000000000000000000007/eu-1/voter",
            "quorate://00000000000000000000000000000007/eu-1/voter/a/b",
            "quorate://00000000000000000000000000000007/EU/voter/a",
            "quorate://+0000000000000000000000000000007/eu/voter/a",
            "https://example.net/",
        ] {
            assert_eq!(Member::from_uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_of_ours_is_named() {
        assert_eq!(Member::from_certificate(b"nonsense"), Err(BadCertificate::NoCertificate));
        let foreign =
            rcgen::generate_simple_self_signed(vec!["example.net".into()]).expect("a certificate");
        assert_eq!(Member::from_certificate(foreign.cert.der()), Err(BadCertificate::NoUri));
    }
}
