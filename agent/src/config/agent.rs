//! `agent.toml` as meant: paths made whole, secrets read, each file that holds one checked for who else may read it.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consensus::model::{CredentialId, Endpoint, Expect};
use data_encoding::BASE64;
use hickory_proto::rr::LowerName;
use probe::{Login, Tls};

use super::address::EndpointUrl;
use super::fault::{Findings, Span, alternatives};
use super::leaf::Protection;
use super::tree::At;
use super::typed::agent::{AgentFile, CredentialTable, DnsTable};
use super::{AgentConfig, Credential, Credentials, DnsConfig, DoorConfig, MeshConfig, Secondary};
use crate::zone_key::{ZoneKey, ZoneKeys};

/// No password and no key is longer.
const SECRET_LIMIT: u64 = 64 * 1024;
/// More seeds than a mesh has agents.
const SEED_LIMIT: usize = 256;
/// Each is looked at every two seconds.
const CANARY_LIMIT: usize = 16;
/// Each is asked about once a second for every name, for as long as old answers may live.
const RESOLVER_LIMIT: usize = 16;
/// More agents and replicas than one database has.
const ALLOW_LIMIT: usize = 256;
/// Of fewer, one that fails by itself says too much.
const CANARY_LEAST: usize = 3;

/// What the file means; `beside` is the folder that relative paths start from.
pub(super) fn mean(
    file: &AgentFile,
    beside: &Path,
    exposed: bool,
    findings: &mut Findings<'_>,
) -> AgentConfig {
    let from = |path: &At<PathBuf>| beside.join(&path.value);
    let data_dir = from(&file.agent.data_dir);
    let certificate = from(&file.mesh.certificate);
    let voters = file.mesh.voters.as_ref().map_or(certificate.with_file_name("voters.toml"), from);
    let socket = file.status.socket.as_ref().map_or(data_dir.join("agent.sock"), from);
    if socket.as_os_str().len() > 107 {
        // sockaddr_un.sun_path has 108 bytes, the last a zero (unix(7)).
        let span = file.status.socket.as_ref().map_or(&file.agent.data_dir.span, |path| &path.span);
        let found = socket.as_os_str().len();
        findings.error(
            span,
            format!("`socket`: expected a path of at most 107 bytes, found {found}; set `[status] socket`"),
        );
    }
    if file.mesh.seeds.len() > SEED_LIMIT {
        let found = file.mesh.seeds.len();
        findings
            .error(&file.mesh.at, format!("`seeds`: expected at most {SEED_LIMIT}, found {found}"));
    }
    if let Some(listen) = file.status.listen.as_ref().filter(|at| !at.value.ip().is_loopback()) {
        let text = format!(
            "`listen`: expected a loopback address, such as `127.0.0.1:{}`, found `{}`: reading from other hosts \
             needs tokens, which are still to come",
            listen.value.port(),
            listen.value
        );
        findings.error(&listen.span, text);
    }
    let credentials = credentials(file, beside, exposed, findings);
    AgentConfig {
        source: file.agent.source.as_ref().map(|source| source.value),
        mesh: MeshConfig {
            listen: file.mesh.listen.value,
            advertise: file.mesh.advertise.value.joined(),
            seeds: file.mesh.seeds.iter().map(|seed| seed.value.joined()).collect(),
            key: from(&file.mesh.key),
            authority: from(&file.mesh.authority),
            certificate,
            voters,
        },
        status: file.status.listen.as_ref().map(|listen| listen.value),
        socket,
        states: file.status.states.as_ref().map(from),
        resolvers: resolvers(file, findings),
        dns: dns(file, beside, &credentials, findings),
        canaries: canaries(file, findings),
        doors: doors(file, findings),
        credentials,
        data_dir,
    }
}

fn resolvers(file: &AgentFile, findings: &mut Findings<'_>) -> Vec<SocketAddr> {
    let typed = &file.status.resolvers;
    if typed.len() > RESOLVER_LIMIT {
        let text = format!("`resolvers`: expected at most {RESOLVER_LIMIT}, found {}", typed.len());
        findings.error(&typed[RESOLVER_LIMIT].span, text);
    }
    for (at, resolver) in typed.iter().enumerate() {
        if typed[..at].iter().any(|other| other.value == resolver.value) {
            let text = format!("`resolvers`: `{}` is named twice", resolver.value);
            findings.error(&resolver.span, text);
        }
    }
    typed.iter().map(|resolver| resolver.value).collect()
}

fn canaries(file: &AgentFile, findings: &mut Findings<'_>) -> Vec<Endpoint> {
    let typed = &file.health.canaries;
    if typed.len() > CANARY_LIMIT {
        let text = format!("`canaries`: expected at most {CANARY_LIMIT}, found {}", typed.len());
        findings.error(&typed[CANARY_LIMIT].span, text);
    } else if let Some(first) = typed.first().filter(|_| typed.len() < CANARY_LEAST) {
        let text = format!(
            "{} is few: with {CANARY_LEAST} or more, in different networks, one may fail without silencing this agent",
            typed.len()
        );
        findings.warn(&first.span, text);
    }
    for (at, canary) in typed.iter().enumerate() {
        let host = &canary.value.at.host;
        if typed[..at].iter().any(|other| other.value.at.host == *host) {
            let text =
                format!("`canaries`: `{host}` is named twice: one failure would count as two");
            findings.error(&canary.span, text);
        }
    }
    let endpoint = |(number, canary): (usize, &At<EndpointUrl>)| Endpoint {
        name: format!("canary-{}", number + 1).parse().expect("a name"),
        scheme: canary.value.scheme,
        address: canary.value.at.host.clone(),
        port: canary.value.at.port,
        path: canary.value.path.clone(),
        host: None,
        expect: Expect::default(),
        authority: None,
    };
    typed.iter().enumerate().map(endpoint).collect()
}

fn doors(file: &AgentFile, findings: &mut Findings<'_>) -> Vec<DoorConfig> {
    let typed = &file.guard.door;
    let mut doors: Vec<DoorConfig> = Vec::new();
    for door in typed {
        let (app, database) = (&door.app.value, &door.database.value);
        if doors.iter().any(|other| (&other.app, &other.database) == (app, database)) {
            findings.error(&door.database.span, format!("`{app}/{database}` has two doors"));
        }
        if door.ports.is_empty() {
            let text =
                "`[[guard.door]]` lacks `ports`: expected the database's port, such as `[5432]`";
            findings.error(&door.at, text);
        }
        let mut ports = Vec::new();
        for port in &door.ports {
            let number = u16::try_from(port.value.0).expect("read as at most 65,535");
            let taken = doors.iter().any(|other| other.ports.contains(&number));
            if taken || ports.contains(&number) {
                findings.error(&port.span, format!("`ports`: `{number}` is behind a door already"));
            }
            ports.push(number);
        }
        if door.allow.len() > ALLOW_LIMIT {
            let text =
                format!("`allow`: expected at most {ALLOW_LIMIT}, found {}", door.allow.len());
            findings.error(&door.at, text);
        }
        if door.allow.is_empty() {
            let text = "`allow` is empty: while this door is shut no other agent sees the database and no replica is fed, \
                        so a standby behind it is never fit";
            findings.warn(&door.at, text);
        }
        let allow = door.allow.iter().map(|address| address.value).collect();
        let rejoin = door.rejoin.iter().map(|word| word.value.0.clone()).collect();
        doors.push(DoorConfig {
            app: app.clone(),
            database: database.clone(),
            ports,
            allow,
            rejoin,
            heartbeat: door.heartbeat.value,
        });
    }
    doors
}

fn dns(
    file: &AgentFile,
    beside: &Path,
    credentials: &Credentials,
    findings: &mut Findings<'_>,
) -> Option<DnsConfig> {
    let table = file.dns.as_ref()?;
    if table.listen.is_empty() {
        findings.error(&table.at, "`[dns]` lacks `listen`: expected a list of `address:port`");
    }
    for (at, listen) in table.listen.iter().enumerate() {
        if table.listen[..at].iter().any(|other| other.value == listen.value) {
            findings.error(&listen.span, format!("`listen`: `{}` is named twice", listen.value));
        }
        if listen.value.ip().is_unspecified() {
            // UDP answers from a wildcard socket leave with the wrong source on hosts with several addresses.
            let text = "on a host with several addresses name each: an answer must come from the one that was asked";
            findings.warn(&listen.span, text);
        }
    }
    let listen = table.listen.iter().map(|listen| listen.value).collect();
    Some(DnsConfig {
        listen,
        stale_after: table.stale_after.value.0,
        rate_limit: table.rate_limit.value.0,
        status: table.status.value,
        secondaries: secondaries(table, credentials, findings),
        signing: signing(table, beside, findings).into(),
    })
}

fn secondaries(
    table: &DnsTable,
    credentials: &Credentials,
    findings: &mut Findings<'_>,
) -> Vec<Secondary> {
    let mut secondaries = Vec::new();
    for secondary in &table.secondary {
        let name = &secondary.credential;
        match credentials.get(&name.value).map(crate::records::signer) {
            Some(Ok(key)) => {
                secondaries.push(Secondary { address: secondary.address.value, key });
            }
            Some(Err(why)) => {
                findings.error(&name.span, format!("credential `{}` {why}", name.value))
            }
            None => findings.error(
                &name.span,
                format!(
                    "no credential is named `{0}`: expected a TSIG key in `[credentials.{0}]`",
                    name.value
                ),
            ),
        }
    }
    secondaries
}

fn signing(table: &DnsTable, beside: &Path, findings: &mut Findings<'_>) -> Vec<ZoneKeys> {
    let mut signing: Vec<ZoneKeys> = Vec::new();
    for signed in &table.signing {
        let apex = crate::records::absolute(&signed.zone.value.0);
        let Some(apex) = apex.map(|apex| LowerName::new(&apex)) else { continue };
        if signing.iter().any(|other| other.apex == apex) {
            findings
                .error(&signed.zone.span, format!("zone `{}` is named twice", signed.zone.value));
        }
        if signed.keys.is_empty() {
            findings
                .error(&signed.at, "`[[dns.signing]]` lacks `keys`: expected the file of a key");
        }
        if !table.secondary.is_empty() {
            let text = "signatures are made for each question, so a secondary cannot have them: leave \
                        `[[dns.secondary]]` out, or `[[dns.signing]]`";
            findings.error(&signed.at, text);
        }
        let mut keys = Vec::new();
        for file in &signed.keys {
            let path = beside.join(&file.value);
            match read_secret(&path).and_then(|pem| ZoneKey::from_pem(&pem)) {
                Ok(key) => keys.push(key),
                Err(why) => findings.error(&file.span, format!("`{}`: {why}", path.display())),
            }
        }
        if !keys.is_empty() {
            signing.push(ZoneKeys { apex, keys });
        }
    }
    signing
}

fn credentials(
    file: &AgentFile,
    beside: &Path,
    exposed: bool,
    findings: &mut Findings<'_>,
) -> Credentials {
    let mut credentials = Credentials::new();
    for (name, table) in &file.credentials.0 {
        if exposed
            && let Some(inline) =
                table.password.as_ref().or(table.secret.as_ref()).or(table.token.as_ref())
        {
            let text = "the secret stands in a file that everybody on this computer may read: `chmod 640` it, or \
                        name a file of its own with `password_file` or `secret_file`";
            findings.error(&inline.span, text);
        }
        if let Some(credential) = credential(&name.value, table, beside, findings) {
            credentials.insert(name.value.clone(), credential);
        }
    }
    credentials
}

/// What a credential is for, told by its keys.
#[derive(Clone, Copy)]
enum Kind {
    Login,
    Key,
    Token,
}

impl Kind {
    fn named(self) -> &'static str {
        match self {
            Self::Login => "a log-in",
            Self::Key => "a TSIG key",
            Self::Token => "a provider's token",
        }
    }
}

fn credential(
    name: &CredentialId,
    table: &CredentialTable,
    beside: &Path,
    findings: &mut Findings<'_>,
) -> Option<Credential> {
    let span = |key: Option<&Span>| key.cloned();
    let login = [
        ("user", span(table.user.as_ref().map(|at| &at.span))),
        ("password", span(table.password.as_ref().map(|at| &at.span))),
        ("password_file", span(table.password_file.as_ref().map(|at| &at.span))),
    ];
    let login = login.into_iter().chain([
        ("tls", span(table.tls.as_ref().map(|at| &at.span))),
        ("authority_file", span(table.authority_file.as_ref().map(|at| &at.span))),
    ]);
    let login: Vec<_> = login.collect();
    let key = [
        ("name", span(table.name.as_ref().map(|at| &at.span))),
        ("algorithm", span(table.algorithm.as_ref().map(|at| &at.span))),
        ("secret", span(table.secret.as_ref().map(|at| &at.span))),
        ("secret_file", span(table.secret_file.as_ref().map(|at| &at.span))),
    ];
    let token = [
        ("access_key", span(table.access_key.as_ref().map(|at| &at.span))),
        ("token", span(table.token.as_ref().map(|at| &at.span))),
        ("token_file", span(table.token_file.as_ref().map(|at| &at.span))),
    ];
    let typed = |keys: &[(&'static str, Option<Span>)]| {
        keys.iter().find_map(|(key, span)| Some((*key, span.clone()?)))
    };
    let kinds =
        [(Kind::Login, typed(&login)), (Kind::Key, typed(&key)), (Kind::Token, typed(&token))];
    let mut given = kinds.into_iter().filter_map(|(kind, typed)| Some((kind, typed?)));
    match (given.next(), given.next()) {
        (None, _) => {
            let text = format!(
                "credential `{name}` is empty: expected `user` and {} for a database, `name`, `algorithm` and {} \
                 for TSIG, or {} for a provider",
                alternatives(["password_file", "password"]),
                alternatives(["secret_file", "secret"]),
                alternatives(["token_file", "token"]),
            );
            findings.error(&table.at, text);
            None
        }
        (Some((kind, _)), Some((other, (stray, span)))) => {
            let (kind, other) = (kind.named(), other.named());
            let text =
                format!("`{stray}` belongs to {other}, `{name}` is {kind} by its other keys");
            findings.error(&span, text);
            None
        }
        (Some((Kind::Login, _)), None) => {
            let user = table.user.as_ref().map(|user| user.value.0.clone());
            if user.is_none() {
                findings.error(&table.at, format!("credential `{name}` lacks `user`"));
            }
            let given = (&table.password, &table.password_file);
            let password = secret(("password", "password_file"), given, beside, findings)?;
            let (user, password) = (user?, password.map(|(text, _)| text));
            let tls = protection(table, beside, findings)?;
            Some(Credential::Login(Arc::new(Login { user, password, tls })))
        }
        (Some((Kind::Key, _)), None) => tsig(name, table, beside, findings),
        (Some((Kind::Token, _)), None) => {
            let given = (&table.token, &table.token_file);
            let Some((token, _)) = secret(("token", "token_file"), given, beside, findings)? else {
                let text = format!("credential `{name}` lacks `token_file` or `token`");
                findings.error(&table.at, text);
                return None;
            };
            let access_key = table.access_key.as_ref().map(|id| id.value.0.clone());
            Some(Credential::Token { access_key, token })
        }
    }
}

/// How a log-in is protected; `None` after a finding.
fn protection(table: &CredentialTable, beside: &Path, findings: &mut Findings<'_>) -> Option<Tls> {
    let authority = match &table.authority_file {
        None => None,
        Some(file) => match std::fs::read_to_string(beside.join(&file.value)) {
            Ok(pem) if pem.contains("BEGIN CERTIFICATE") => Some((pem.into(), &file.span)),
            Ok(_) => {
                findings
                    .error(&file.span, "`authority_file`: expected PEM certificates, found none");
                return None;
            }
            Err(error) => {
                findings.error(&file.span, format!("`authority_file`: cannot read it: {error}"));
                return None;
            }
        },
    };
    match (table.tls.as_ref().map(|word| word.value), authority) {
        (Some(Protection::Encrypted), Some((_, span))) => {
            let text = "an `authority_file` is checked by `tls = \"verified\"` alone";
            findings.error(span, text);
            None
        }
        (Some(Protection::Encrypted), None) => Some(Tls::Encrypted),
        (Some(Protection::Verified), authority) => {
            Some(Tls::Verified(authority.map(|(pem, _)| pem)))
        }
        (None, Some((pem, _))) => Some(Tls::Verified(Some(pem))),
        (None, None) => Some(Tls::AsOffered),
    }
}

fn tsig(
    name: &CredentialId,
    table: &CredentialTable,
    beside: &Path,
    findings: &mut Findings<'_>,
) -> Option<Credential> {
    let mut lacks = |key| findings.error(&table.at, format!("credential `{name}` lacks {key}"));
    if table.name.is_none() {
        lacks("`name`, the key's name as the server knows it");
    }
    if table.algorithm.is_none() {
        lacks("`algorithm`: expected `hmac-sha256`, `hmac-sha384` or `hmac-sha512`");
    }
    if table.secret.is_none() && table.secret_file.is_none() {
        lacks("its secret: expected `secret_file` or `secret`");
    }
    let given = (&table.secret, &table.secret_file);
    let (text, span) = secret(("secret", "secret_file"), given, beside, findings)??;
    let secret = match BASE64.decode(text.trim().as_bytes()) {
        Ok(secret) if !secret.is_empty() => secret,
        _ => {
            // What was found is a secret, or nearly one.
            findings.error(&span, "expected the secret in base64, as `tsig-keygen` prints it");
            return None;
        }
    };
    Some(Credential::Key {
        name: table.name.as_ref()?.value.0.clone(),
        algorithm: table.algorithm.as_ref()?.value.0.to_owned(),
        secret,
    })
}

/// What was typed for a secret, or stands in the file that was; the outer `None` after a finding.
#[allow(clippy::option_option)]
fn secret(
    (inline, filed): (&str, &str),
    given: (&Option<At<super::leaf::Secret>>, &Option<At<PathBuf>>),
    beside: &Path,
    findings: &mut Findings<'_>,
) -> Option<Option<(String, Span)>> {
    match given {
        (None, None) => Some(None),
        (Some(secret), None) => Some(Some((secret.value.0.clone(), secret.span.clone()))),
        (Some(_), Some(file)) => {
            findings
                .error(&file.span, format!("`{inline}` and `{filed}` are both given: keep one"));
            None
        }
        (None, Some(file)) => match read_secret(&beside.join(&file.value)) {
            Ok(text) => Some(Some((text, file.span.clone()))),
            Err(why) => {
                findings.error(&file.span, format!("`{filed}`: {why}"));
                None
            }
        },
    }
}

/// The first line of a file that nobody else may read.
fn read_secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read `{shown}`: {error}");
    let file = std::fs::metadata(path).map_err(cannot)?;
    if !file.is_file() {
        return Err(format!("expected a plain file, `{shown}` is none"));
    }
    if file.permissions().mode() & 0o007 != 0 {
        return Err(format!("everybody on this computer may read `{shown}`: `chmod 600 {shown}`"));
    }
    let mut text = String::new();
    let open = std::fs::File::open(path).map_err(cannot)?;
    open.take(SECRET_LIMIT + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > SECRET_LIMIT {
        return Err(format!("expected at most {SECRET_LIMIT} bytes in `{shown}`"));
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("`{shown}` is empty")),
        secret => Ok(secret.to_owned()),
    }
}
