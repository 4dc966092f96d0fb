//! (being written) Files as typed, files as meant.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use consensus::model::CredentialId;

/// `agent.toml`, as meant: who this agent is, where it listens, where its secrets are. Nothing about apps.
#[derive(Debug)]
pub struct AgentConfig {
    /// Where the store and the history are kept.
    pub data_dir: PathBuf,
    /// The source address of probes, where the host has several.
    pub source: Option<IpAddr>,
    /// The mesh.
    pub mesh: MeshConfig,
    /// Where the status page, the API and the metrics are served.
    pub status: Option<SocketAddr>,
    /// The Unix socket that commands travel over.
    pub socket: PathBuf,
    /// The built-in DNS server, if it is to run.
    pub dns: Option<DnsConfig>,
    /// The secrets this agent holds.
    pub credentials: Credentials,
}

/// How the mesh is reached.
#[derive(Debug)]
pub struct MeshConfig {
    /// UDP address for QUIC.
    pub listen: SocketAddr,
    /// Where others reach this agent, `host:port`.
    pub advertise: String,
    /// Where some others are reached, `host:port`.
    pub seeds: Vec<String>,
    /// This agent's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The mesh's authority, PEM.
    pub authority: PathBuf,
    /// The voters as `init` fixed them (`voters.toml`).
    pub voters: PathBuf,
}

/// The built-in DNS server.
#[derive(Debug)]
pub struct DnsConfig {
    /// Each address to bind, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Answers older than this, unconfirmed by a majority, become SERVFAIL.
    pub stale_after: Duration,
}

/// The secrets an agent holds, by the names that app files use.
pub type Credentials = BTreeMap<CredentialId, Credential>;

/// One secret.
#[derive(Clone)]
pub enum Credential {
    /// For a database.
    Login {
        /// The user.
        user: String,
        /// The password; none where the server asks for none.
        password: Option<String>,
    },
    /// For TSIG (RFC 8945).
    Key {
        /// The key's name, as the server knows it.
        name: String,
        /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
        algorithm: String,
        /// The secret, decoded.
        secret: Vec<u8>,
    },
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Login { user, .. } => write!(f, "Login({user})"),
            Self::Key { name, .. } => write!(f, "Key({name})"),
        }
    }
}
