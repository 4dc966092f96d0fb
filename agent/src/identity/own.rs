//! This agent's own certificate, key and authority: read from files, checked before anything listens.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use consensus::model::MeshId;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::{BadCertificate, Member};
use crate::config::MeshConfig;

/// A certificate chain or a key is a few kilobytes.
const FILE_LIMIT: u64 = 256 * 1024;

/// Who this agent is, and what proves it.
#[derive(Clone)]
pub struct Identity {
    /// The mesh its certificate is of.
    pub mesh: MeshId,
    /// Its name, region and role.
    pub member: Member,
    /// Its certificate chain and key, known to match.
    pub(crate) key: Arc<CertifiedKey>,
    /// The mesh's authority: the only one there is.
    pub(crate) roots: Arc<RootCertStore>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.member)
    }
}

/// Why this agent cannot prove who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("expected a PEM {what} in `{}`", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// A certificate that names no agent.
    #[error("`{}` is no agent's certificate: give the one that `quorate init` wrote", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: BadCertificate,
    },
    /// Signed by somebody else.
    #[error(
        "the certificate `{}` is not signed by the mesh's authority `{}`: give both files of one `quorate init`",
        certificate.display(), authority.display()
    )]
    Foreign {
        /// The certificate.
        certificate: PathBuf,
        /// The authority it should be signed by.
        authority: PathBuf,
    },
    /// The key of another certificate.
    #[error("the key `{}` does not belong to the certificate `{}`", key.display(), certificate.display())]
    Mismatch {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// Its time is over, or the clock is off.
    #[error(
        "the certificate `{}` expired at {ended} and the clock says {now}: set the clock, or issue a new certificate",
        path.display()
    )]
    Expired {
        /// Which.
        path: PathBuf,
        /// When its time was over.
        ended: String,
        /// What the clock says.
        now: String,
    },
    /// Its time has not come, or the clock is off.
    #[error(
        "the certificate `{}` is valid from {begins} and the clock says {now}: the clock is probably off, set it",
        path.display()
    )]
    NotYet {
        /// Which.
        path: PathBuf,
        /// When its time begins.
        begins: String,
        /// What the clock says.
        now: String,
    },
    /// Anything else that TLS would refuse.
    #[error("the certificate `{}` would be refused by every peer", path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl Identity {
    /// Reads certificate, key and authority, and checks all that a peer would check.
    ///
    /// # Errors
    /// If a peer would refuse this agent, or this agent could not be told who it is.
    pub fn load(files: &MeshConfig, wall_ms: u64) -> Result<Self, IdentityError> {
        let chain = certificates(&files.certificate)?;
        let leaf = chain.first().ok_or_else(|| no_certificate(&files.certificate))?;
        let (mesh, member) = Member::from_certificate(leaf).map_err(|source| {
            IdentityError::Certificate { path: files.certificate.clone(), source }
        })?;
        within_time(&files.certificate, leaf, wall_ms)?;

        let mut roots = RootCertStore::empty();
        for root in certificates(&files.authority)? {
            within_time(&files.authority, &root, wall_ms)?;
            roots.add(root).map_err(|source| unfit(&files.authority, source))?;
        }
        let roots = Arc::new(roots);
        signed(files, &chain, &roots, wall_ms)?;

        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
            .map_err(|_| IdentityError::Pem { path: files.key.clone(), what: "private key" })?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityError::Mismatch {
                key: files.key.clone(),
                certificate: files.certificate.clone(),
            },
            source => unfit(&files.key, source),
        })?;
        Ok(Self { mesh, member, key: Arc::new(key), roots })
    }
}

/// The one crypto provider: ring.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Reads a file that cannot rightly be large.
pub(crate) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= limit {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("expected at most {limit} bytes"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    read_limited(path, FILE_LIMIT)
        .map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(no_certificate(path)),
    }
}

fn no_certificate(path: &Path) -> IdentityError {
    IdentityError::Pem { path: path.to_owned(), what: "certificate" }
}

fn unfit(path: &Path, source: rustls::Error) -> IdentityError {
    IdentityError::Unfit { path: path.to_owned(), source }
}

/// From when until when the first certificate of a file is valid, in seconds since 1970.
///
/// # Errors
/// If there is none in it.
pub(crate) fn validity(path: &Path) -> Result<(u64, u64), IdentityError> {
    let chain = certificates(path)?;
    limits(path, chain.first().ok_or_else(|| no_certificate(path))?)
}

fn limits(path: &Path, der: &[u8]) -> Result<(u64, u64), IdentityError> {
    validity_of(der).ok_or_else(|| no_certificate(path))
}

/// From when until when a certificate is valid, in seconds since 1970; none where it cannot be read.
pub(crate) fn validity_of(der: &[u8]) -> Option<(u64, u64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
    Some((seconds(validity.not_before), seconds(validity.not_after)))
}

fn within_time(path: &Path, der: &[u8], wall_ms: u64) -> Result<(), IdentityError> {
    let (now, (begins, ends)) = (wall_ms / 1000, limits(path, der)?);
    let path = path.to_owned();
    match (begins <= now, now <= ends) {
        (true, true) => Ok(()),
        (false, _) => Err(IdentityError::NotYet { path, begins: date(begins), now: date(now) }),
        (_, false) => Err(IdentityError::Expired { path, ended: date(ends), now: date(now) }),
    }
}

/// Does the chain lead to the mesh's authority, for both sides of a connection?
fn signed(
    files: &MeshConfig,
    chain: &[CertificateDer<'static>],
    roots: &Arc<RootCertStore>,
    wall_ms: u64,
) -> Result<(), IdentityError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
        .build()
        .map_err(|_| no_certificate(&files.authority))?;
    let now = UnixTime::since_unix_epoch(Duration::from_millis(wall_ms));
    match verifier.verify_client_cert(&chain[0], &chain[1..], now) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
        )) => Err(IdentityError::Foreign {
            certificate: files.certificate.clone(),
            authority: files.authority.clone(),
        }),
        Err(source) => Err(unfit(&files.certificate, source)),
    }
}

/// Seconds since 1970 as RFC 3339 has it.
pub(crate) fn date(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Authority, Issued};

    fn member() -> Member {
        Member {
            name: "a1".parse().expect("a name"),
            region: "eu".parse().expect("a name"),
            voter: true,
        }
    }

    fn files(folder: &Path, authority: &Authority, issued: &Issued) -> MeshConfig {
        let path = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        MeshConfig {
            listen: "127.0.0.1:0".parse().expect("an address"),
            advertise: "127.0.0.1:0".into(),
            seeds: Vec::new(),
            certificate: path("agent.crt", &issued.certificate_pem),
            key: path("agent.key", &issued.key_pem),
            authority: path("mesh.crt", authority.certificate_pem()),
            voters: folder.join("voters.toml"),
        }
    }

    fn refused(files: &MeshConfig, wall_ms: u64) -> String {
        Identity::load(files, wall_ms).expect_err("refused").to_string()
    }

    #[test]
    fn an_agent_learns_who_it_is_from_its_certificate() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::create(MeshId(9)).expect("an authority");
        let issued = authority.issue(&member()).expect("a certificate");
        let files = files(folder.path(), &authority, &issued);
        let identity = Identity::load(&files, crate::clock::wall_ms()).expect("an identity");
        assert_eq!((identity.mesh, identity.member), (MeshId(9), member()));
    }

    #[test]
    fn every_wrong_file_is_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = crate::clock::wall_ms();
        let authority = Authority::create(MeshId(9)).expect("an authority");
        let other = Authority::create(MeshId(9)).expect("an authority");
        let issued = authority.issue(&member()).expect("a certificate");

        let foreign = files(folder.path(), &other, &issued);
        assert!(refused(&foreign, now).contains("is not signed by the mesh's authority"));

        let mut wrong = files(folder.path(), &authority, &issued);
        std::fs::write(&wrong.key, &authority.issue(&member()).expect("another").key_pem)
            .expect("a file");
        assert!(refused(&wrong, now).contains("does not belong to the certificate"));
        std::fs::write(&wrong.key, "nonsense").expect("a file");
        assert!(refused(&wrong, now).contains("expected a PEM private key in"));
        wrong.certificate = folder.path().join("missing.crt");
        assert!(refused(&wrong, now).contains("cannot read `"));
        std::fs::write(&wrong.certificate, authority.certificate_pem()).expect("a file");
        assert!(refused(&wrong, now).contains("is no agent's certificate"));
    }

    #[test]
    fn a_certificate_out_of_time_or_a_clock_that_is_off_is_one_clear_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = crate::clock::wall_ms();
        let authority = Authority::create(MeshId(9)).expect("an authority");
        let (day, second) = (24 * 60 * 60, now / 1000);
        let old = authority.issue_for(&member(), second - day, second - 60).expect("issued");
        let line = refused(&files(folder.path(), &authority, &old), now);
        assert!(line.contains("expired at 20") && line.contains("set the clock"), "{line}");
        let early = authority.issue_for(&member(), second + 60, second + day).expect("issued");
        let line = refused(&files(folder.path(), &authority, &early), now);
        assert!(line.contains("the clock is probably off"), "{line}");
    }
}
