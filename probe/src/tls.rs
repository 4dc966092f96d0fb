//! A connection → one whose other end is known, and what is wrong with its certificate in words.
//!
//! Sessions are never resumed: a resumed one hides a certificate that was replaced or has expired since.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use consensus::model::FaultKind;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Tls;
use crate::fault::{Trouble, When, of_io};

/// The certificate authorities this host believes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust {
    system: Option<Arc<ClientConfig>>,
    certificates: Arc<[CertificateDer<'static>]>,
    anyone: Arc<ClientConfig>,
}

impl Trust {
    /// As the system's store says; what of it cannot be parsed is left out.
    pub fn of_host() -> Self {
        Self::in_authorities(rustls_native_certs::load_native_certs().certs)
    }

    /// Exactly these.
    pub fn in_authorities(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let system = (!roots.is_empty()).then(|| Arc::new(believing(roots)));
        Self { system, certificates: certificates.into(), anyone: Arc::new(believing_anyone()) }
    }

    /// To check a certificate with: the endpoint's own authorities if it names any, else the system's.
    pub(crate) fn for_endpoint(
        &self,
        authority: Option<&str>,
    ) -> Result<Arc<ClientConfig>, Trouble> {
        match (authority, &self.system) {
            (Some(pem), _) => parse(pem).map(|roots| Arc::new(believing(roots))),
            (None, Some(system)) => Ok(system.clone()),
            (None, None) => Err(Trouble::local(
                "this host knows no certificate authorities: install `ca-certificates`, or name an `authority`",
            )),
        }
    }

    /// To speak to a database with, as its credential asks for.
    pub(crate) fn for_database(&self, tls: &Tls) -> Result<Arc<ClientConfig>, Trouble> {
        let checking = match tls {
            Tls::AsOffered | Tls::Encrypted => return Ok(self.anyone.clone()),
            Tls::Verified(authority) => self.for_endpoint(authority.as_deref())?,
        };
        let mut config = checking.as_ref().clone();
        // It is not HTTP that is spoken.
        config.alpn_protocols.clear();
        Ok(Arc::new(config))
    }

    /// The certificates of the authorities that the system believes.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// To speak to any host of the world by its name; `None` where nobody is believed.
    pub fn system(&self) -> Option<Arc<ClientConfig>> {
        self.system.clone()
    }
}

fn parse(pem: &str) -> Result<RootCertStore, Trouble> {
    let bad = |why: String| Trouble::local(format!("cannot use the `authority`: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(bad("expected PEM certificates, found none".to_owned())),
    }
}

fn believing(roots: RootCertStore) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks every default version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn believing_anyone() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring speaks every default version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// Believes every certificate; still demands that the other end holds its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Shakes hands with whoever should be `name`.
pub(crate) async fn handshake(
    stream: TcpStream,
    name: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Trouble> {
    let server = ServerName::try_from(name.to_owned()).map_err(|_| {
        Trouble::local(format!(
            "cannot check a certificate for `{name}`: not a host name or address"
        ))
    })?;
    TlsConnector::from(config).connect(server, stream).await.map_err(|error| of_tls(&error))
}

/// Is it TLS's own, and not the network's?
pub(crate) fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// An error of a handshake, or of a connection after it.
pub(crate) fn of_tls(error: &io::Error) -> Trouble {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        None => of_io(error, When::Later, "in the TLS handshake"),
        Some(rustls::Error::InvalidCertificate(why)) => {
            Trouble::theirs(FaultKind::Certificate, certificate_in_words(why))
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            Trouble::theirs(FaultKind::Certificate, "the server presents no certificate")
        }
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            let text = "the server asks for a client's certificate, and an agent has none to show";
            Trouble::theirs(FaultKind::Tls, text)
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            Trouble::theirs(FaultKind::Tls, format!("the server ends the TLS handshake: {alert:?}"))
        }
        Some(rustls::Error::InvalidMessage(why)) => {
            Trouble::theirs(FaultKind::Tls, format!("the server does not speak TLS: {why:?}"))
        }
        Some(other) => Trouble::theirs(FaultKind::Tls, format!("the TLS handshake fails: {other}")),
    }
}

/// A name as it is: rustls gives `DnsName("a.example")`.
fn plain(name: &str) -> &str {
    let inner = name.strip_prefix("DnsName(\"").and_then(|it| it.strip_suffix("\")"));
    inner.unwrap_or(name)
}

fn certificate_in_words(error: &CertificateError) -> String {
    let ago = |from: &UnixTime, to: &UnixTime| {
        span_in_words(Duration::from_secs(to.as_secs().saturating_sub(from.as_secs())))
    };
    match error {
        CertificateError::Expired => "the certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("the certificate expired {} ago, by this host's clock", ago(not_after, time))
        }
        CertificateError::NotValidYet => "the certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let left = ago(time, not_before);
            format!("the certificate is not valid for another {left}, by this host's clock")
        }
        CertificateError::UnknownIssuer => {
            "the certificate's issuer is unknown: not among the trusted authorities".to_owned()
        }
        CertificateError::NotValidForName => "the certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().take(3).map(|it| plain(it)).collect();
            let expected = expected.to_str();
            format!("the certificate is not for `{expected}` but for {}", names.join(", "))
        }
        CertificateError::Revoked => "the certificate is revoked".to_owned(),
        CertificateError::BadEncoding => "the certificate cannot be parsed".to_owned(),
        CertificateError::BadSignature => {
            "the certificate's signature is wrong: perhaps another authority of the same name made it"
                .to_owned()
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is an authority's own: a server needs one issued to it".to_owned()
        }
        other => format!("the certificate is not valid: {other}"),
    }
}

fn span_in_words(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7_200 => format!("{} minutes", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
