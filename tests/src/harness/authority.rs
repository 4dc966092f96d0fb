//! Certificates for the servers of a world, by an authority of its own.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::fabric::address;
use super::lab::{Lab, give_to_server_user};

/// Who issues the certificates of servers.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Another authority, of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name or address, and its key, PEM.
    pub fn issue(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// Lays a certificate for a host's address where its database server looks for one at its start.
    pub fn furnish(&self, lab: &Lab, host: &str) {
        let (certificate, key) = self.issue(&address(host).to_string());
        let folder = lab.folder(&format!("{host}-tls"));
        fs::write(folder.join("cert.pem"), certificate).expect("own folder");
        fs::write(issuer(lab, host), self.pem()).expect("own folder");
        super::lab::write_private(&folder.join("key.pem"), &key);
        give_to_server_user(&folder);
    }
}

/// The certificate and the key that a host's server was furnished with.
pub fn furnished(lab: &Lab, host: &str) -> Option<[String; 2]> {
    let folder = lab.folder(&format!("{host}-tls"));
    let files = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    files[1].exists().then(|| files.map(|file| file.display().to_string()))
}

/// The same, as options of MariaDB or MySQL.
pub fn options(lab: &Lab, host: &str) -> Vec<String> {
    let files = furnished(lab, host).into_iter();
    files
        .flat_map(|[cert, key]| [format!("--ssl-cert={cert}"), format!("--ssl-key={key}")])
        .collect()
}

/// The certificate of whoever issued a host's.
pub fn issuer(lab: &Lab, host: &str) -> PathBuf {
    lab.folder(&format!("{host}-tls")).join("authority.pem")
}
