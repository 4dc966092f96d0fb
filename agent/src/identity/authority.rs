//! The mesh's own authority: makes the certificates that agents show each other.

use std::time::Duration;

use consensus::model::MeshId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{BadCertificate, Member, PEER, SCHEME, mesh_of_authority};
use crate::clock;

/// A machine whose clock runs behind by less than this can use a certificate at once.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
/// Ten years. A mesh guards against the loss of a site, and certificates that all expire in one night would be the one
/// failure that takes every agent at once; who may be a member is decided by who holds the authority's key.
const VALID: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What signs agents' certificates.
pub struct Authority {
    mesh: MeshId,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// A certificate and its key, both PEM. The key is secret: see [`super::write_secret`].
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key (PKCS #8, ECDSA P-256).
    pub key_pem: String,
}

/// Why there is no authority to sign with.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate does not belong to a mesh's authority.
    #[error("cannot read the authority's certificate")]
    Certificate(#[source] BadCertificate),
    /// The PEM texts hold no certificate or no key.
    #[error("cannot read the authority's certificate or key: expected PEM, ECDSA P-256")]
    Pem(#[source] rcgen::Error),
    /// Certificate and key do not belong together.
    #[error(
        "the authority's key does not belong to its certificate: give the pair that `quorate init` wrote"
    )]
    Mismatch,
    /// The signature could not be made.
    #[error("cannot sign a certificate")]
    Sign(#[source] rcgen::Error),
}

impl Authority {
    /// Makes the authority of a new mesh.
    ///
    /// # Errors
    /// If the system gives no randomness for a key.
    pub fn create(mesh: MeshId) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Sign)?;
        let mut params = params(&format!("quorate mesh {mesh}"), format!("{SCHEME}{mesh}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(AuthorityError::Sign)?;
        let certificate_pem = certificate.pem();
        Ok(Self { mesh, issuer: Issuer::new(params, key), certificate_pem })
    }

    /// Takes up the authority that [`Self::create`] made earlier.
    ///
    /// # Errors
    /// If the texts are not a mesh authority's certificate and the key that belongs to it.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key_pem).map_err(AuthorityError::Pem)?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes())
            .map_err(|_| AuthorityError::Certificate(BadCertificate::NoCertificate))?;
        let (_, parsed) = X509Certificate::from_der(&pem.contents)
            .map_err(|_| AuthorityError::Certificate(BadCertificate::NoCertificate))?;
        let mesh = mesh_of_authority(&parsed).map_err(AuthorityError::Certificate)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(AuthorityError::Pem)?;
        Ok(Self { mesh, issuer, certificate_pem: certificate_pem.to_owned() })
    }

    /// The mesh it speaks for.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Its certificate, PEM: what every agent trusts.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key, PEM: whoever holds it decides who belongs to the mesh.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Makes an agent's certificate and key, valid for ten years from an hour ago.
    ///
    /// # Errors
    /// If the system gives no randomness for a key.
    pub fn issue(&self, member: &Member) -> Result<Issued, AuthorityError> {
        let now = clock::wall_ms() / 1000;
        let begins = now.saturating_sub(BACKDATED.as_secs());
        self.issue_for(member, begins, now + VALID.as_secs())
    }

    /// The same with chosen limits, in seconds since 1970.
    pub(crate) fn issue_for(
        &self,
        member: &Member,
        begins: u64,
        ends: u64,
    ) -> Result<Issued, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Sign)?;
        let mut params = params(member.name.as_str(), member.uri(self.mesh));
        params.not_before = time_from(begins);
        params.not_after = time_from(ends);
        let peer = PEER.try_into().expect("a DNS name is ASCII");
        params.subject_alt_names.insert(0, SanType::DnsName(peer));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // One endpoint dials and listens, so one certificate must do for both.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Sign)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn params(common_name: &str, uri: String) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let uri = uri.try_into().expect("names and digits are ASCII");
    params.subject_alt_names.push(SanType::URI(uri));
    let now = clock::wall_ms() / 1000;
    params.not_before = time_from(now.saturating_sub(BACKDATED.as_secs()));
    params.not_after = time_from(now + VALID.as_secs());
    params
}

fn time_from(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    fn member(name: &str, voter: bool) -> Member {
        Member { name: name.parse().expect("a name"), region: "eu".parse().expect("a name"), voter }
    }

    #[test]
    fn a_certificate_says_what_it_was_issued_for() {
        let authority = Authority::create(MeshId(0xfeed)).expect("an authority");
        for member in [member("a1", true), member("w_", false), member("x-", true)] {
            let issued = authority.issue(&member).expect("a certificate");
            let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes())
                .expect("a PEM certificate");
            assert_eq!(Member::from_certificate(&der), Ok((MeshId(0xfeed), member)));
        }
    }

    #[test]
    fn an_authority_is_taken_up_again_and_only_with_its_own_key() {
        let authority = Authority::create(MeshId(3)).expect("an authority");
        let again = Authority::load(authority.certificate_pem(), &authority.key_pem())
            .expect("the same authority");
        assert_eq!(again.mesh(), MeshId(3));
        let other = Authority::create(MeshId(3)).expect("an authority");
        assert!(matches!(
            Authority::load(authority.certificate_pem(), &other.key_pem()),
            Err(AuthorityError::Mismatch)
        ));
        assert!(matches!(
            Authority::load("nonsense", &other.key_pem()),
            Err(AuthorityError::Certificate(_))
        ));
        assert!(matches!(
            Authority::load(authority.certificate_pem(), "nonsense"),
            Err(AuthorityError::Pem(_))
        ));
    }
}
