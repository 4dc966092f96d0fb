//! HTTPS looks: whose certificate is believed, for which name, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use consensus::model::{Endpoint, FaultKind, Outcome, Scheme};
use consensus::outbox::Subject;
use probe::{Means, Sighted, Trust, look};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use common::*;

mod common;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names, changed by this.
    fn issue(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS 8");
        serving(vec![certificate.der().clone()], key)
    }
}

fn serving(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate match")
}

/// An HTTPS server; remembers the names it was asked for and whether any session was resumed.
async fn serve_tls(config: ServerConfig) -> (Endpoint, Arc<Mutex<Vec<Option<String>>>>) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let names = asked.clone();
    let at = serve(move |stream| {
        let acceptor = acceptor.clone();
        let names = names.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let (_, session) = stream.get_ref();
            assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
            names.lock().expect("not poisoned").push(session.server_name().map(str::to_owned));
            read_head(&mut stream).await;
            let text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfine\n";
            let _ = stream.write_all(text).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    (endpoint(Scheme::Https, at), asked)
}

fn named(endpoint: &Endpoint, host: &str, authority: &Authority) -> Endpoint {
    Endpoint { host: Some(host.to_owned()), authority: Some(authority.pem()), ..endpoint.clone() }
}

async fn certificate_fault(endpoint: Endpoint) -> String {
    let sighted = look_at(endpoint, AMPLE).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Certificate, "{}", failed(&sighted));
    failed(&sighted).text.clone()
}

#[tokio::test]
async fn the_endpoints_own_authority_is_believed_for_its_host_and_each_session_is_new() {
    let authority = Authority::new("ours");
    let (endpoint, asked) =
        serve_tls(authority.issue(&["shop.example", "127.0.0.1"], |_| {})).await;
    for _ in 0..3 {
        let sighted = look_at(named(&endpoint, "shop.example", &authority), AMPLE).await;
        assert_eq!(sighted.outcome, Outcome::Up(None));
        assert!(sighted.phases.tls.is_some_and(|tls| tls > Duration::ZERO));
    }
    let by_address = Endpoint { authority: Some(authority.pem()), ..endpoint };
    assert_eq!(look_at(by_address, AMPLE).await.outcome, Outcome::Up(None));
    let name = Some("shop.example".to_owned());
    let asked = asked.lock().expect("not poisoned").clone();
    assert_eq!(asked, [name.clone(), name.clone(), name, None]);
}

#[tokio::test]
async fn certificates_that_are_not_valid_say_why() {
    let authority = Authority::new("ours");
    let (expired, _) = serve_tls(authority.issue(&["shop.example"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }))
    .await;
    let text = certificate_fault(named(&expired, "shop.example", &authority)).await;
    assert!(text.starts_with("the certificate expired ") && text.contains("days ago"), "{text}");

    let (early, _) = serve_tls(authority.issue(&["shop.example"], |params| {
        params.not_before = date_time_ymd(2090, 1, 1);
    }))
    .await;
    let text = certificate_fault(named(&early, "shop.example", &authority)).await;
    assert!(text.contains("not valid for another"), "{text}");

    let (other, _) = serve_tls(authority.issue(&["other.example"], |_| {})).await;
    let text = certificate_fault(named(&other, "shop.example", &authority)).await;
    assert!(
        text.contains("not for `shop.example` but for") && text.contains("other.example"),
        "{text}"
    );

    let (valid, _) = serve_tls(authority.issue(&["shop.example"], |_| {})).await;
    let rebuilt = Authority::new("ours");
    let text = certificate_fault(named(&valid, "shop.example", &rebuilt)).await;
    assert!(text.contains("another authority of the same name"), "{text}");
    let stranger = Authority::new("theirs");
    let text = certificate_fault(named(&valid, "shop.example", &stranger)).await;
    assert!(text.contains("issuer is unknown"), "{text}");
}

#[tokio::test]
async fn the_hosts_authorities_are_believed_where_the_endpoint_names_none() {
    let authority = Authority::new("ours");
    let (endpoint, _) = serve_tls(authority.issue(&["127.0.0.1"], |_| {})).await;
    let by = async |certificates: Vec<CertificateDer<'static>>| -> Sighted {
        let means = Means { trust: Trust::in_authorities(certificates), ..means() };
        let subject = Subject::Endpoint(Arc::new(endpoint.clone()));
        look(&at(subject, AMPLE), &means).await
    };
    let own = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM");
    assert_eq!(by(vec![own]).await.outcome, Outcome::Up(None));
    let other =
        CertificateDer::from_pem_slice(Authority::new("ours").pem().as_bytes()).expect("PEM");
    assert_eq!(failed(&by(vec![other]).await).kind, FaultKind::Certificate);
    assert_eq!(invalid(&by(vec![]).await).kind, FaultKind::Local, "no authorities: we cannot tell");
}

#[tokio::test]
async fn an_authority_served_as_a_certificate_and_bad_authorities_are_named() {
    let authority = Authority::new("ours");
    let mut params = CertificateParams::new(vec!["shop.example".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("signed");
    let der = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS 8");
    let (endpoint, _) = serve_tls(serving(vec![own.der().clone()], der)).await;
    let itself =
        Endpoint { authority: Some(own.pem()), ..named(&endpoint, "shop.example", &authority) };
    let text = certificate_fault(itself).await;
    assert!(text.contains("an authority's own"), "{text}");

    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for bad in ["", "no PEM at all", garbled, "-----BEGIN CERTIFICATE-----\n!!"] {
        let endpoint = Endpoint { authority: Some(bad.to_owned()), ..endpoint.clone() };
        let sighted = look_at(endpoint, AMPLE).await;
        assert_eq!(invalid(&sighted).kind, FaultKind::Local, "{bad}");
    }
}

#[tokio::test]
async fn servers_without_tls_and_silent_ones_are_told_apart() {
    let plain = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let sighted = look_at(endpoint(Scheme::Https, plain), AMPLE).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Tls, "{}", failed(&sighted));

    let closing = serve(|stream| async move { drop(stream) }).await;
    let sighted = look_at(endpoint(Scheme::Https, closing), AMPLE).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Reset, "{}", failed(&sighted));

    let silent = serve(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let sighted = look_at(endpoint(Scheme::Https, silent), Duration::from_millis(300)).await;
    assert_eq!(failed(&sighted).kind, FaultKind::Timeout);
    assert!(failed(&sighted).text.contains("TLS handshake"), "{}", failed(&sighted));
}
