//! Files as typed, files as meant.
//!
//! Reading goes in two stages: `typed` tables from TOML (unknown keys, wrong types, values that are none), then what
//! they mean together (names used twice, records no stack can answer). Each stage goes on after a fault, so that all of its
//! faults are told at once; the second begins only if the first found none. What comes out needs no further check.

mod address;
mod agent;
mod app;
mod credentials;
mod datum;
mod drivers;
mod fault;
mod following;
mod leaf;
mod records;
mod tree;
mod typed;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use consensus::model::{AppId, CredentialId, Definition, Endpoint, StackId, TargetName};
use hickory_proto::rr::TSigner;
use probe::Login;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::guard::Device;
use crate::zone_key::ZoneKeys;
use fault::{Findings, Span};
use tree::Field;

pub(crate) use address::HostPort;
pub use fault::{Fault, Faults, Place, Weight};
pub use leaf::{duration, size, span};

/// The most bytes a file may have: twice what the largest definition needs, and what the API takes.
pub const FILE_LIMIT: usize = 64 * 1024;

/// An app file, as meant.
#[derive(Clone, Debug)]
pub struct App {
    /// What it says.
    pub definition: Definition,
    /// What its author should know.
    pub warnings: Vec<Fault>,
    /// Its text with every file it names put in place of the path: what goes to the mesh.
    pub text: String,
}

/// Which of the two kinds a file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An app file.
    App,
    /// An agent file.
    Agent,
}

/// Reads an app file; PEM files that it names are read from beside it.
///
/// # Errors
/// Every fault of the file, in its order.
pub fn read_app(path: &Path) -> Result<App, Faults> {
    let (text, _) = read(path)?;
    parse_app(&text, &path.display().to_string(), Some(folder(path)))
}

/// What the text of an app file means. `file` is its name for messages; without `beside` no other file is read, as it
/// must be for text that came over the network.
///
/// # Errors
/// Every fault of the text, in its order.
pub fn parse_app(text: &str, file: &str, beside: Option<&Path>) -> Result<App, Faults> {
    let mut findings = Findings::new(file, text);
    let Some(typed) = parse::<typed::app::AppFile>(text, &mut findings) else {
        return Err(Faults(findings.faults()));
    };
    let (definition, inlined) = app::mean(&typed, beside, &mut findings);
    match findings.failed() {
        true => Err(Faults(findings.faults())),
        false => Ok(App { definition, warnings: findings.faults(), text: inline(text, inlined) }),
    }
}

/// What the text of an app file that came over the network means, or what is wrong with it: for the API.
///
/// # Errors
/// Every fault of the text, in its order, as lines for people.
pub fn applied(text: &str) -> Result<Definition, String> {
    parse_app(text, "app file", None).map(|app| app.definition).map_err(|faults| faults.to_string())
}

/// Reads an agent file, and every secret that it names.
///
/// # Errors
/// Every fault of the file, in its order.
pub fn read_agent(path: &Path) -> Result<AgentConfig, Faults> {
    let (text, mode) = read(path)?;
    let exposed = mode & 0o007 != 0;
    parse_agent(&text, &path.display().to_string(), folder(path), exposed).map(|(config, _)| config)
}

/// What the text of an agent file means, with what its author should know. Relative paths start from `beside`; a file
/// that is `exposed` to everybody on the computer may hold no secret.
///
/// # Errors
/// Every fault of the text, in its order.
pub fn parse_agent(
    text: &str,
    file: &str,
    beside: &Path,
    exposed: bool,
) -> Result<(AgentConfig, Vec<Fault>), Faults> {
    let mut findings = Findings::new(file, text);
    let Some(typed) = parse::<typed::agent::AgentFile>(text, &mut findings) else {
        return Err(Faults(findings.faults()));
    };
    let config = agent::mean(&typed, beside, exposed, &mut findings);
    match findings.failed() {
        true => Err(Faults(findings.faults())),
        false => Ok((config, findings.faults())),
    }
}

/// Reads a file of either kind, told apart by its tables, for its faults and warnings alone.
///
/// # Errors
/// Every fault of the file, in its order.
pub fn check(path: &Path) -> Result<(Kind, Vec<Fault>), Faults> {
    let (text, mode) = read(path)?;
    let file = path.display().to_string();
    match kind(&text) {
        Kind::App => {
            parse_app(&text, &file, Some(folder(path))).map(|app| (Kind::App, app.warnings))
        }
        Kind::Agent => parse_agent(&text, &file, folder(path), mode & 0o007 != 0)
            .map(|(_, warnings)| (Kind::Agent, warnings)),
    }
}

/// The JSON Schema of one kind of file.
pub fn schema(kind: Kind) -> serde_json::Value {
    match kind {
        Kind::App => schemars::schema_for!(typed::app::AppFile).to_value(),
        Kind::Agent => schemars::schema_for!(typed::agent::AgentFile).to_value(),
    }
}

/// An agent file is what has more of an agent file's tables than of an app file's; anything else is read as an app file.
fn kind(text: &str) -> Kind {
    let (table, _) = DeTable::parse_recoverable(text);
    let has = |keys: &[&str]| keys.iter().filter(|key| table.get_ref().contains_key(**key)).count();
    match has(typed::app::AppFile::SHAPE.keys) < has(typed::agent::AgentFile::SHAPE.keys) {
        true => Kind::Agent,
        false => Kind::App,
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The file's text and permissions.
fn read(path: &Path) -> Result<(String, u32), Faults> {
    let whole = |text: String| Faults::from(Fault::whole(&path.display().to_string(), text));
    let cannot = |error: std::io::Error| whole(format!("cannot read: {error}"));
    let file = std::fs::File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err(whole("expected a file, found a folder".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        whole(format!("expected UTF-8, found other bytes in line {}", line + 1))
    })?;
    Ok((text, about.permissions().mode()))
}

/// The first stage: the file as typed, if nothing is wrong with it so far.
fn parse<T: Field>(text: &str, findings: &mut Findings<'_>) -> Option<T> {
    if text.len() > FILE_LIMIT {
        let text = format!("expected at most {FILE_LIMIT} bytes, found more");
        findings.error(&(0..0), text);
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut lines = Vec::new();
    let mut broken = false;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = text[..span.start.min(text.len())].matches('\n').count();
        broken |= error.message() != "duplicate key";
        // One slip makes the parser stumble several times; what it says after the first is noise.
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        findings.error(&span, syntax(text, &span, error.message()));
    }
    if broken {
        return None;
    }
    let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    let typed = T::read(&root, "the file", findings)?;
    (!findings.failed()).then_some(typed)
}

/// The parser's words, in ours where ours are clearer.
fn syntax(text: &str, span: &Span, message: &str) -> String {
    match message {
        "duplicate key" => {
            let key = text.get(span.clone()).unwrap_or_default();
            format!("`{}` is set twice", tree::excerpt(key))
        }
        "string values must be quoted, expected literal string" => {
            "expected a value; a text stands in quotes, `\"…\"`".to_owned()
        }
        other => other.to_owned(),
    }
}

/// The text with PEM in place of the paths of PEM files.
fn inline(text: &str, mut inlined: app::Inlined) -> String {
    let mut whole = text.to_owned();
    inlined.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, pem) in inlined {
        let quoted =
            pem.replace('\\', "\\\\").replace('"', "\\\"").replace('\r', "").replace('\n', "\\n");
        whole.replace_range(span, &format!("\"{quoted}\""));
    }
    whole
}

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
    /// Where files say which stacks are to act as those that serve, if they are to.
    pub states: Option<PathBuf>,
    /// Resolvers that are asked after a move who still hands out old addresses; at most 16, each once.
    pub resolvers: Vec<SocketAddr>,
    /// The built-in DNS server, if it is to run.
    pub dns: Option<DnsConfig>,
    /// What it looks at to know whether it reaches the world; none, and it does not ask itself.
    pub canaries: Vec<Endpoint>,
    /// The doors it can close.
    pub doors: Vec<DoorConfig>,
    /// The databases that it closes by their own means.
    pub weak_doors: Vec<WeakDoorConfig>,
    /// The watchdog that resets the host if a door may be open for too long.
    pub watchdog: Option<Device>,
    /// The secrets this agent holds.
    pub credentials: Credentials,
}

/// A database on this host that takes writes only while this agent holds its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorConfig {
    /// The app.
    pub app: AppId,
    /// The database's name in the app file.
    pub database: TargetName,
    /// The TCP ports by which clients reach it; never none.
    pub ports: Vec<u16>,
    /// Who is let in while it is shut.
    pub allow: Vec<IpAddr>,
    /// The program, with its arguments, that makes it a replica again once another took its place; empty if there is none.
    pub rejoin: Vec<String>,
    /// Is a row written to it with each look while its door is open?
    pub heartbeat: bool,
}

/// A database that is closed by its own means while this agent hears no majority of the voters: no lease holds it, and
/// nothing is proven by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeakDoorConfig {
    /// The app.
    pub app: AppId,
    /// In which of its stacks.
    pub stack: StackId,
    /// The database's name in the app file.
    pub database: TargetName,
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
    /// Answers older than this, unconfirmed by a majority, become SERVFAIL where their stack is not seen up from here.
    pub stale_after: Duration,
    /// How many times a second one network gets the same answer over UDP; 0 is no limit.
    pub rate_limit: u32,
    /// Threads that answer over UDP for each address, with a socket each; at least one.
    pub threads: usize,
    /// Does `_status.<app>` tell which stack is active?
    pub status: bool,
    /// Who holds copies of the zones.
    pub secondaries: Vec<Secondary>,
    /// The keys of zones that are signed.
    pub signing: Arc<Vec<ZoneKeys>>,
}

impl DnsConfig {
    /// More threads for one address gain nothing that was measured.
    const THREADS: usize = 4;

    /// So many threads an address where the file does not say: one less than there are cores, so that who has one address
    /// leaves a core to the loop that looks and votes.
    pub fn threads() -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores.saturating_sub(1).clamp(1, Self::THREADS)
    }
}

/// A server of others that holds copies of the zones.
pub struct Secondary {
    /// Where it is told of changes.
    pub address: SocketAddr,
    /// What it signs its requests with, and we what it is told.
    pub key: TSigner,
}

impl std::fmt::Debug for Secondary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secondary({}, key {})", self.address, self.key.signer_name())
    }
}

/// The secrets an agent holds, by the names that app files use.
pub type Credentials = BTreeMap<CredentialId, Credential>;

/// One secret.
#[derive(Clone)]
pub enum Credential {
    /// For a database.
    Login(Arc<Login>),
    /// For TSIG (RFC 8945).
    Key {
        /// The key's name, as the server knows it.
        name: String,
        /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
        algorithm: String,
        /// The secret, decoded.
        secret: Vec<u8>,
    },
    /// For a provider's HTTP interface.
    Token {
        /// The id of an access key; tokens have none.
        access_key: Option<String>,
        /// The token, or the secret of the access key.
        token: String,
    },
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Login(login) => write!(f, "{login:?}"),
            Self::Key { name, .. } => write!(f, "Key({name})"),
            Self::Token { access_key: Some(id), .. } => write!(f, "Token({id})"),
            Self::Token { access_key: None, .. } => f.write_str("Token"),
        }
    }
}
