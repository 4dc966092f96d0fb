//! An app file as meant: names that occur once, stacks that match, records that every stack can answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use consensus::codec;
use consensus::model::{
    DEFINITION_LIMIT, DataPolicy, Database, Definition, Endpoint, Engine, Expect, Fencing,
    ProbePolicy, STACK_LIMIT, Scheme, SeenBy, Stack, TARGET_LIMIT, TargetName, Zone,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::fault::{Findings, Span};
use super::following;
use super::leaf::{LossBudget, span as shown};
use super::records;
use super::tree::{At, excerpt};
use super::typed::app::{AppFile, EndpointTable, StackTable};

/// By default a look takes at most this, or half the window where that is less (PROTOCOL.md 0.1 j).
const TIMEOUT: Duration = Duration::from_secs(4);
/// The most a PEM file may have; the whole definition must fit [`DEFINITION_LIMIT`].
const AUTHORITY_LIMIT: u64 = DEFINITION_LIMIT as u64;

/// PEM that was read from a file, and the place where its path stood.
pub(super) type Inlined = Vec<(Span, String)>;

/// What the file means. Trustworthy only if the findings hold no error.
pub(super) fn mean(
    file: &AppFile,
    beside: Option<&Path>,
    findings: &mut Findings<'_>,
) -> (Definition, Inlined) {
    let mut inlined = Inlined::new();
    check_stacks(file, findings);
    check_databases(&file.stack, findings);
    let stacks: Vec<Stack> =
        file.stack.iter().map(|stack| mean_stack(stack, beside, &mut inlined, findings)).collect();
    check_policy(file, findings);
    let mut definition = Definition {
        name: file.app.name.value.clone(),
        mode: file.app.mode.value,
        cooldown: file.app.cooldown.value.0,
        regions: file.quorum.regions.value.0 as usize,
        probe: mean_probe(file, findings),
        data: mean_data(file),
        zones: mean_zones(file, findings),
        records: records::mean(file, &stacks, findings),
        stacks,
        following: Vec::new(),
    };
    following::mean(file, &mut definition, findings);
    // Only a file without faults has bounds on everything, and encoding needs them.
    if !findings.failed() {
        let bytes = codec::encode(&definition).len();
        if bytes > DEFINITION_LIMIT {
            let text = format!(
                "the whole definition may have at most {DEFINITION_LIMIT} bytes once encoded, this one has {bytes}: \
                 share authorities or split the app"
            );
            findings.error(&file.app.at, text);
        }
    }
    (definition, inlined)
}

fn check_stacks(file: &AppFile, findings: &mut Findings<'_>) {
    match file.stack.as_slice() {
        [] => findings
            .error(&file.app.at, "no `[[stack]]`: expected two or more places the app lives in"),
        [only] => findings.warn(&only.at, "one stack alone: there is nothing to fail over to"),
        stacks if stacks.len() > STACK_LIMIT => {
            let text = format!("expected at most {STACK_LIMIT} stacks, found {}", stacks.len());
            findings.error(&stacks[STACK_LIMIT].at, text);
        }
        _ => {}
    }
    twice(file.stack.iter().map(|stack| &stack.name), "stack", findings);
    let mut targets = 0;
    for stack in &file.stack {
        if stack.endpoint.is_empty() && stack.database.is_empty() {
            let text = format!(
                "stack `{}` has neither `[[stack.endpoint]]` nor `[[stack.database]]`: nothing to look at",
                stack.name.value
            );
            findings.error(&stack.at, text);
        }
        let before = targets;
        targets += stack.endpoint.len() + stack.database.len();
        if before <= TARGET_LIMIT && targets > TARGET_LIMIT {
            let text = format!("expected at most {TARGET_LIMIT} endpoints and databases in all");
            findings.error(&stack.at, text);
        }
    }
}

/// Databases of one name are each other's replicas, so every stack has each.
fn check_databases(stacks: &[StackTable], findings: &mut Findings<'_>) {
    let mut seen = BTreeMap::new();
    for (name, stack) in
        stacks.iter().flat_map(|stack| stack.database.iter().map(move |db| (&db.name, stack)))
    {
        seen.entry(&name.value).or_insert(stack);
    }
    let mut engines = BTreeMap::new();
    for database in stacks.iter().flat_map(|stack| &stack.database) {
        let engine = *engines.entry(&database.name.value).or_insert(database.engine.value);
        if engine != database.engine.value {
            let name = &database.name.value;
            let text = format!(
                "database `{name}` speaks another `engine` in another stack: they could not be replicas of each other"
            );
            findings.error(&database.engine.span, text);
        }
    }
    let mut databases = stacks.iter().flat_map(|stack| &stack.database);
    let followed = databases.clone().find(|database| database.engine.value.is_followed());
    let driven = databases.any(|database| !database.engine.value.is_followed());
    if let Some(followed) = followed.filter(|_| driven) {
        let text = "what elects its own primary is followed, and its app's other databases cannot move with it: give it an \
                    app of its own";
        findings.error(&followed.engine.span, text);
    }
    for stack in stacks {
        for (name, other) in &seen {
            if !stack.database.iter().any(|database| database.name.value == **name) {
                let text = format!(
                    "stack `{}` lacks database `{name}`, which stack `{}` has: every stack needs a replica",
                    stack.name.value, other.name.value
                );
                findings.error(&stack.at, text);
            }
        }
    }
}

/// What the file allows, and its author may not expect.
fn check_policy(file: &AppFile, findings: &mut Findings<'_>) {
    let databases = || file.stack.iter().flat_map(|stack| &stack.database);
    let unguarded = databases().any(|it| it.guard.is_none() && !it.engine.value.is_followed());
    for database in databases().filter(|it| it.engine.value.is_followed()) {
        if let Some(guard) = &database.guard {
            let text = "MongoDB fences itself: a member that no majority of its set agrees to takes no majority's writes";
            findings.error(&guard.span, text);
        }
    }
    let span = &file.data.fencing.span;
    check_guards(file, findings);
    match file.data.fencing.value {
        Fencing::Required if unguarded => findings.warn(
            span,
            "`fencing = \"required\"`: promotion will be refused where a database of the active stack has no `guard`",
        ),
        Fencing::BestEffort if unguarded => findings.warn(
            span,
            "`fencing = \"best-effort\"`: without a guard nothing proves that the old primary takes no writes; \
             two may for a while",
        ),
        _ => {}
    }
    check_budget(file, findings);
    if file.data.across.value {
        let text = "`across = true` is not supported yet: the mesh keeps an app's web and data at one stack";
        findings.error(&file.data.across.span, text);
    }
    if file.quorum.regions.value.0 == 1 {
        let text = "`regions = 1`: one region cut off from the app can move it";
        findings.warn(&file.quorum.regions.span, text);
    }
}

fn mean_data(file: &AppFile) -> DataPolicy {
    let (max_loss_bytes, max_loss_time) = match file.data.max_loss.value {
        LossBudget::Bytes(bytes) => (bytes, None),
        LossBudget::Time(time) => (u64::MAX, Some(time)),
    };
    let (fencing, lease) = (file.data.fencing.value, file.data.lease.value.0);
    let sync = u8::try_from(file.data.sync.value.0).unwrap_or(u8::MAX);
    DataPolicy { max_loss_bytes, max_loss_time, fencing, lease, sync }
}

/// What an engine cannot promise is not asked of it.
fn check_budget(file: &AppFile, findings: &mut Findings<'_>) {
    let mut databases = file.stack.iter().flat_map(|stack| &stack.database);
    let redis = databases.any(|database| database.engine.value == Engine::Redis);
    let moves = file.data.fencing.value != Fencing::DnsOnly;
    if redis && moves && file.data.max_loss.value == LossBudget::Bytes(0) {
        let text = "`max_loss = \"0\"` cannot be kept by Redis, which acknowledges a write before its replicas have it: \
                    give bytes, such as `16MiB`, or a time";
        findings.error(&file.data.max_loss.span, text);
    }
    let mut databases = file.stack.iter().flat_map(|stack| &stack.database);
    let others = databases.any(|database| database.engine.value != Engine::Postgres);
    if file.data.sync.value.0 > 0 && (others || !moves) {
        let text = "`sync` goes with PostgreSQL databases that are promoted: of others, whoever runs them says whom a \
                    primary waits for";
        findings.error(&file.data.sync.span, text);
    }
    let replicas = u32::try_from(file.stack.len().saturating_sub(1)).unwrap_or(u32::MAX);
    if file.data.sync.value.0 > replicas {
        let text = format!(
            "`sync = {}`: there are no more than {replicas} other stacks to wait for",
            file.data.sync.value.0
        );
        findings.error(&file.data.sync.span, text);
    }
}

/// A guard is on its database's own host, and closes one door there for each database name.
fn check_guards(file: &AppFile, findings: &mut Findings<'_>) {
    let mut seen = BTreeMap::new();
    for (stack, database) in
        file.stack.iter().flat_map(|stack| stack.database.iter().map(move |it| (stack, it)))
    {
        let Some(guard) = &database.guard else {
            if database.view.value == SeenBy::Guard {
                findings
                    .error(&database.view.span, "`view = \"guard\"` needs a `guard` to look at it");
            }
            continue;
        };
        if file.data.fencing.value == Fencing::DnsOnly {
            findings.error(
                &guard.span,
                "`guard` goes with databases that are promoted, not with `fencing = \"dns-only\"`",
            );
        }
        let other = seen.insert((&guard.value, &database.name.value), &stack.name.value);
        if let Some(other) = other {
            let text = format!(
                "`guard`: `{}` guards `{}` of stack `{other}` already: a guard is on its database's own host",
                guard.value, database.name.value
            );
            findings.error(&guard.span, text);
        }
    }
}

fn mean_probe(file: &AppFile, findings: &mut Findings<'_>) -> ProbePolicy {
    let (interval, window) = (file.probe.interval.value.0, file.probe.window.value.0);
    let timeout = match &file.probe.timeout {
        Some(timeout) if timeout.value.0 > window => {
            let text = format!(
                "`timeout`: expected at most the window, `{}`, found `{}`: a look that is still waiting says nothing",
                shown(window),
                shown(timeout.value.0)
            );
            findings.error(&timeout.span, text);
            window
        }
        Some(timeout) => timeout.value.0,
        None => TIMEOUT.min(window / 2),
    };
    if interval > window {
        let text = format!(
            "an interval (`{}`) longer than the window (`{}`): a failure may be noticed that much later",
            shown(interval),
            shown(window)
        );
        findings.warn(&file.probe.interval.span, text);
    }
    ProbePolicy { interval, timeout, window }
}

fn mean_zones(file: &AppFile, findings: &mut Findings<'_>) -> Vec<Zone> {
    twice(file.zone.iter().map(|zone| &zone.name), "zone", findings);
    for zone in &file.zone {
        if zone.ns.is_empty() {
            let text = "`[[zone]]` lacks `ns`: expected the names it is delegated to, one per agent that serves it";
            findings.error(&zone.at, text);
        }
        twice(zone.ns.iter(), "name server", findings);
        super::drivers::check_name_servers(file, zone, findings);
    }
    let mean = |zone: &super::typed::app::ZoneTable| Zone {
        name: zone.name.value.0.clone(),
        ns: zone.ns.iter().map(|ns| ns.value.0.clone()).collect(),
        contact: zone.contact.value.0.clone(),
    };
    file.zone.iter().map(mean).collect()
}

fn mean_stack(
    stack: &StackTable,
    beside: Option<&Path>,
    inlined: &mut Inlined,
    findings: &mut Findings<'_>,
) -> Stack {
    let endpoints: Vec<(Endpoint, Span)> = stack
        .endpoint
        .iter()
        .enumerate()
        .map(|(at, endpoint)| {
            let default = format!("web-{}", at + 1).parse().expect("a name of ours");
            let name = endpoint.name.as_ref().map_or(default, |name| name.value.clone());
            let span = endpoint.name.as_ref().map_or(&endpoint.at, |name| &name.span);
            (mean_endpoint(name, endpoint, beside, inlined, findings), span.clone())
        })
        .collect();
    let databases: Vec<Database> = stack
        .database
        .iter()
        .map(|database| Database {
            name: database.name.value.clone(),
            engine: database.engine.value,
            address: database.address.value.host.clone(),
            port: database.address.value.port,
            credential: database.credential.value.clone(),
            guard: database.guard.as_ref().map(|guard| guard.value.clone()),
            view: database.view.value,
        })
        .collect();
    let names = endpoints.iter().map(|(endpoint, span)| (&endpoint.name, span));
    let databases_named = stack.database.iter().map(|db| (&db.name.value, &db.name.span));
    let mut seen: BTreeSet<&TargetName> = BTreeSet::new();
    for (name, span) in names.chain(databases_named) {
        if !seen.insert(name) {
            let text = format!("target `{name}` is named twice in stack `{}`", stack.name.value);
            findings.error(span, text);
        }
    }
    let site = stack.site.as_ref().map(|site| site.value.clone());
    Stack {
        name: stack.name.value.clone(),
        site: site.unwrap_or_else(|| stack.name.value.as_str().parse().expect("a name as well")),
        endpoints: endpoints.into_iter().map(|(endpoint, _)| endpoint).collect(),
        databases,
    }
}

fn mean_endpoint(
    name: TargetName,
    endpoint: &EndpointTable,
    beside: Option<&Path>,
    inlined: &mut Inlined,
    findings: &mut Findings<'_>,
) -> Endpoint {
    let url = &endpoint.url.value;
    let expects = endpoint.expect.body.is_some() || !endpoint.expect.status.is_empty();
    if url.scheme == Scheme::Tcp && (expects || endpoint.host.is_some()) {
        let text = "a `tcp://` endpoint is connected to and nothing said: `host` and `expect` go with HTTP";
        findings.error(&endpoint.url.span, text);
    }
    let authority = endpoint.authority.as_ref().and_then(|authority| {
        if url.scheme != Scheme::Https {
            findings.error(&authority.span, "`authority` goes with `https://` only");
            return None;
        }
        let (pem, read) = authority_of(authority, beside, findings)?;
        if read {
            inlined.push((authority.span.clone(), pem.clone()));
        }
        Some(pem)
    });
    Endpoint {
        name,
        scheme: url.scheme,
        address: url.at.host.clone(),
        port: url.at.port,
        path: url.path.clone(),
        host: endpoint.host.as_ref().map(|host| host.value.0.clone()),
        expect: Expect {
            status: endpoint.expect.status.iter().map(|status| status.value.0 as u16).collect(),
            body: endpoint.expect.body.as_ref().map(|body| body.value.0.clone()),
        },
        authority,
    }
}

/// The PEM that was typed, or that stands in the file that was; and whether it had to be read.
fn authority_of(
    typed: &At<String>,
    beside: Option<&Path>,
    findings: &mut Findings<'_>,
) -> Option<(String, bool)> {
    let inline = typed.value.contains("-----BEGIN");
    let read = match (inline, beside) {
        (true, _) => Ok(typed.value.clone()),
        (false, Some(beside)) => read_authority(&beside.join(&typed.value)),
        (false, None) => {
            let found = excerpt(&typed.value);
            Err(format!(
                "expected PEM, found `{found}`: a path means nothing here, apply the file with `quorate`"
            ))
        }
    };
    let checked = read.and_then(|pem| {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(pem),
            _ => Err("expected one or more PEM certificates".to_owned()),
        }
    });
    match checked {
        Ok(pem) => Some((pem, !inline)),
        Err(why) => {
            findings.error(&typed.span, format!("`authority`: {why}"));
            None
        }
    }
}

fn read_authority(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read `{shown}`: {error}");
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(format!("expected a plain file, `{shown}` is none"));
    }
    let mut pem = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(AUTHORITY_LIMIT + 1).read_to_string(&mut pem).map_err(cannot)?;
    match pem.len() as u64 <= AUTHORITY_LIMIT {
        true => Ok(pem),
        false => Err(format!("expected at most {AUTHORITY_LIMIT} bytes in `{shown}`")),
    }
}

/// Notes every name that stands a second time.
pub(super) fn twice<'n, T: Ord + std::fmt::Display + 'n>(
    names: impl Iterator<Item = &'n At<T>>,
    what: &str,
    findings: &mut Findings<'_>,
) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(&name.value) {
            findings.error(&name.span, format!("{what} `{}` is named twice", name.value));
        }
    }
}
