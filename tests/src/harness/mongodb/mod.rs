//! A replica set whose members are scripted ([`member`]), a real client that accepts it, and a real set ([`real`]).

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use super::fabric::address;
use super::lab::{Lab, build_folder};
use super::postgres::{PASSWORD, USER};
use super::process::Process;
use super::wait::eventually;

pub mod member;
pub mod real;

use member::Set;

/// What a member serves TLS with; where an authority is given, only to clients with a certificate of that one.
///
/// # Panics
/// If these are no PEM of a certificate and its key.
pub fn protected((certificate, key): (&str, &str), clients: Option<&str>) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let parse = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring speaks every default version");
    let config = match clients {
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(parse(authority)).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().expect("one authority"))
        }
        None => config.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    Arc::new(config.with_single_cert(vec![parse(certificate)], key).expect("they belong together"))
}

/// Members on loopback, served by this process for as long as its runtime lives.
pub struct Loopback {
    /// Where each listens.
    pub members: Vec<SocketAddr>,
    /// What they agree on.
    pub file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Loopback {
    /// So many members, of which the first is the primary.
    pub async fn start(number: usize) -> Self {
        Self::start_with(number, None).await
    }

    /// The same, over TLS alone if it is given that.
    pub async fn start_with(number: usize, tls: Option<Arc<ServerConfig>>) -> Self {
        let folder = tempfile::tempdir().expect("the system's folder takes files");
        let file = folder.path().join("set.json");
        let mut listeners = Vec::new();
        for _ in 0..number {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        }
        let members: Vec<_> = listeners.iter().map(|it| it.local_addr().expect("bound")).collect();
        let names: Vec<_> = members.iter().map(ToString::to_string).collect();
        Set::of(&names).write(&file);
        for (listener, name) in listeners.into_iter().zip(names) {
            let login = (USER.to_owned(), PASSWORD.to_owned());
            tokio::spawn(member::serve(listener, name, file.clone(), login, tls.clone()));
        }
        Self { members, file, _folder: folder }
    }

    /// A member's name.
    pub fn name(&self, number: usize) -> String {
        self.members[number].to_string()
    }

    /// Changes what they agree on.
    pub fn change(&self, change: impl FnOnce(&mut Set)) {
        Set::change(&self.file, change);
    }

    /// What they agree on.
    pub fn set(&self) -> Set {
        Set::read(&self.file)
    }
}

/// The port that members listen on.
pub const PORT: u16 = 27017;

/// A set with a member on each of some hosts, each a process of its own.
pub struct Hosted<'a> {
    lab: &'a Lab,
    /// What they agree on.
    pub file: PathBuf,
    /// The members' processes, in the order of the hosts.
    pub members: Vec<Process>,
}

impl<'a> Hosted<'a> {
    /// Starts a member on each host, of which the first is the primary, and waits until they listen.
    pub fn start(lab: &'a Lab, hosts: &[&str]) -> Self {
        let file = lab.folder("set").join("set.json");
        Set::of(&hosts.iter().map(|host| name(host)).collect::<Vec<_>>()).write(&file);
        let mut set = Self { lab, file, members: Vec::new() };
        set.members = hosts.iter().map(|host| set.launch(host)).collect();
        for host in hosts {
            eventually(Duration::from_secs(20), &format!("{host}'s member listens"), || {
                TcpStream::connect(name(host)).map(drop)
            });
        }
        set
    }

    fn launch(&self, host: &str) -> Process {
        let program = build_folder().with_file_name("scripted-mongod");
        let mut command = self.lab.fabric.command(host, program);
        command.arg(name(host)).arg(&self.file).args([USER, PASSWORD]);
        Process::start(self.lab, &format!("{host}-mongod"), &mut command)
    }

    /// Changes what they agree on.
    pub fn change(&self, change: impl FnOnce(&mut Set)) {
        Set::change(&self.file, change);
    }

    /// Holds an election, which the member on this host wins.
    pub fn elect(&self, host: &str) {
        Set::change(&self.file, |set| set.elect(&name(host)));
    }

    /// What they agree on.
    pub fn set(&self) -> Set {
        Set::read(&self.file)
    }
}

/// The member on a host, as its set names it.
pub fn name(host: &str) -> String {
    format!("{}:{PORT}", address(host))
}

/// A Python that has pymongo: `./tests/run install` makes it.
pub fn python() -> PathBuf {
    let folder = build_folder();
    let target = folder.ancestors().nth(2).expect("`target/PROFILE/processes`");
    let python = target.join("pymongo/bin/python");
    assert!(python.exists(), "no {}: run `./tests/run install`", python.display());
    python
}

/// The real client, about to be run against these members.
pub fn client(command: &mut Command, members: &[String]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/harness/mongodb/client.py");
    command.arg(script).arg(members.join(",")).args([USER, PASSWORD]);
}
