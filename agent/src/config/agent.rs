//! `agent.toml` as meant: paths made whole, secrets read, each file that holds one checked for who else may read it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use consensus::model::{Endpoint, Expect};
use hickory_proto::rr::LowerName;

use super::address::EndpointUrl;
use super::credentials::{credentials, read_secret};
use super::fault::Findings;
use super::leaf::DoorWord;
use super::tree::At;
use super::typed::agent::{AgentFile, DnsTable, DoorTable};
use super::{
    AgentConfig, Credentials, DnsConfig, DoorConfig, MeshConfig, Secondary, WeakDoorConfig,
};
use crate::zone_key::{ZoneKey, ZoneKeys};

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
    let (doors, weak_doors) = doors(file, findings);
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
        doors,
        weak_doors,
        watchdog: file.guard.watchdog.as_ref().map(|device| device.value),
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

fn doors(file: &AgentFile, findings: &mut Findings<'_>) -> (Vec<DoorConfig>, Vec<WeakDoorConfig>) {
    let typed = &file.guard.door;
    let mut doors: Vec<DoorConfig> = Vec::new();
    let mut weak_doors = Vec::new();
    for (at, door) in typed.iter().enumerate() {
        let (app, database) = (&door.app.value, &door.database.value);
        let same = |other: &DoorTable| (&other.app.value, &other.database.value) == (app, database);
        if typed[..at].iter().any(same) {
            findings.error(&door.database.span, format!("`{app}/{database}` has two doors"));
        }
        match door.by.value {
            DoorWord::Engine => {
                weak_doors.extend(weak_door(door, findings));
                continue;
            }
            DoorWord::Nftables => {}
        }
        if let Some(stack) = &door.stack {
            let text =
                "`stack`: of a door by nftables the app file says it, by `guard`: leave it out";
            findings.error(&stack.span, text);
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
    if let Some(device) = file.guard.watchdog.as_ref().filter(|_| doors.is_empty())
        && !weak_doors.is_empty()
    {
        let text = "`watchdog`: nothing arms it: it goes beside a door by nftables, which a lease holds open";
        findings.error(&device.span, text);
    }
    (doors, weak_doors)
}

/// A door that is shut by the database itself; what belongs to the other sort is a mistake.
fn weak_door(door: &DoorTable, findings: &mut Findings<'_>) -> Option<WeakDoorConfig> {
    let foreign = [
        ("ports", door.ports.first().map(|it| &it.span)),
        ("allow", door.allow.first().map(|it| &it.span)),
        ("rejoin", door.rejoin.first().map(|it| &it.span)),
        ("heartbeat", door.heartbeat.value.then_some(&door.heartbeat.span)),
    ];
    for (word, span) in foreign {
        if let Some(span) = span {
            let text = format!(
                "`{word}`: of a door by nftables alone: with `by = \"engine\"` leave it out"
            );
            findings.error(span, text);
        }
    }
    let Some(stack) = &door.stack else {
        let text = "`[[guard.door]]` lacks `stack`: with `by = \"engine\"` no app file says which one's database it is";
        findings.error(&door.at, text);
        return None;
    };
    Some(WeakDoorConfig {
        app: door.app.value.clone(),
        stack: stack.value.clone(),
        database: door.database.value.clone(),
    })
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
        threads: table.threads.as_ref().map_or_else(DnsConfig::threads, |it| it.value.0 as usize),
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
