//! What clients are sent to, and what sends them there → checks. Asks and looks, and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use consensus::failover::plan;
use consensus::model::{
    AppId, Definition, Endpoint, FaultKind, Held, Outcome, RecordData, Scheme, Stack, StackId,
    TargetId, Watched,
};
use consensus::outbox::{Look, Subject};
use consensus::view::AppView;
use probe::Means;

use super::{Check, Found, Heard};
use crate::actors;
use crate::config::AgentConfig;

/// How long a server may take to show its certificate.
const LIMIT: Duration = Duration::from_secs(4);

/// Do the credentials for DNS work, do the name servers of each zone agree, and is every stack's certificate valid for the
/// names that clients will ask it by?
pub async fn checks(config: &AgentConfig, heard: &Heard) -> Vec<Check> {
    let means = Means::of_host(config.source);
    let mut checks = Vec::new();
    for definition in &heard.definitions {
        let Some(view) = heard.view.apps.iter().find(|it| it.app == definition.name) else {
            continue;
        };
        checks.extend(records(config, definition, view).await);
        for stack in &definition.stacks {
            checks.extend(certificates(definition, stack, &means).await);
        }
    }
    checks
}

/// What drivers publish: as whoever holds the zone has it, read with this agent's credential, and as its servers say it.
async fn records(config: &AgentConfig, definition: &Definition, view: &AppView) -> Vec<Check> {
    let publications = plan::published(definition, &view.active, view.shortened);
    let token = actors::published_under(view);
    let credentials = Arc::new(config.credentials.clone());
    let seen = actors::ask_holders(&view.app, token, publications, credentials).await;
    let mut checks = Vec::new();
    for it in seen {
        let (name, app) = (&it.name, &view.app);
        checks.push(match &it.held {
            Held::Unasked => {
                let words = format!("{name} of {app} is not read: this agent lacks the credential");
                Check::new("records", Found::Skipped, words)
            }
            Held::AsDecided => {
                let words = format!("{name} of {app} is as decided, read with its credential");
                Check::new("records", Found::Fine, words)
            }
            Held::Otherwise(what) => {
                Check::new("records", Found::Careful, format!("{name} of {app}: {what}"))
            }
            Held::Unknown(what) => {
                Check::new("records", Found::Wrong, format!("{name} of {app}: {what}"))
            }
        });
        let all = it.right + it.wrong.len();
        checks.push(match it.wrong.as_slice() {
            [] if all == 0 => {
                let words = format!("no name server of {name} was found");
                Check::new("servers", Found::Wrong, words)
            }
            [] => {
                let words = format!("all {all} name servers of {name} say what was decided");
                Check::new("servers", Found::Fine, words)
            }
            wrong => {
                let words = format!("{} of {all} say so of {name}; {}", it.right, wrong.join("; "));
                Check::new("servers", Found::Careful, words)
            }
        });
    }
    checks
}

/// Is the certificate of each endpoint that names are answered with valid for those names?
async fn certificates(definition: &Definition, stack: &Stack, means: &Means) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, endpoint) in public_names(definition, stack) {
        let at = format!("{}/{}/{}", definition.name, stack.name, endpoint.name);
        let look = Look {
            watched: Watched::Target(target(&definition.name, &stack.name, endpoint)),
            subject: Subject::Endpoint(Arc::new(Endpoint {
                host: Some(name.to_owned()),
                ..endpoint.clone()
            })),
            limit: LIMIT,
        };
        let outcome = probe::look(&look, means).await.outcome;
        checks.push(match outcome {
            Outcome::Failed(fault) | Outcome::Invalid(fault)
                if matches!(fault.kind, FaultKind::Certificate | FaultKind::Tls) =>
            {
                Check::new("names", Found::Wrong, format!("{at} for `{name}`: {fault}"))
            }
            // Whoever answers wrongly has shown its certificate before.
            Outcome::Failed(fault)
                if !matches!(
                    fault.kind,
                    FaultKind::Status | FaultKind::Body | FaultKind::Protocol
                ) =>
            {
                Check::new("names", Found::Skipped, format!("{at} shows no certificate: {fault}"))
            }
            Outcome::Invalid(fault) => {
                Check::new("names", Found::Skipped, format!("{at} was not looked at: {fault}"))
            }
            Outcome::Up(_) | Outcome::Failed(_) => {
                let words = format!("the certificate of {at} is valid for `{name}`");
                Check::new("names", Found::Fine, words)
            }
        });
    }
    checks
}

/// The names that lead clients to an endpoint which speaks TLS, by the addresses and names that records hold.
fn public_names<'a>(
    definition: &'a Definition,
    stack: &'a Stack,
) -> impl Iterator<Item = (&'a str, &'a Endpoint)> {
    let endpoints = stack.endpoints.iter().filter(|it| it.scheme == Scheme::Https);
    endpoints.flat_map(move |endpoint| {
        let leads = |data: &RecordData| match data {
            RecordData::Address(address) => endpoint.address.parse() == Ok(*address),
            RecordData::Name(name) => endpoint.address.eq_ignore_ascii_case(name),
            RecordData::Text(_)
            | RecordData::Service { .. }
            | RecordData::Authorization { .. }
            | RecordData::Binding { .. } => false,
        };
        let records = definition.records.iter().filter(move |record| {
            let held = record.values.get(&stack.name);
            // A wildcard is no name that a client would ask by.
            !record.name.starts_with('*') && held.is_some_and(|held| held.iter().any(leads))
        });
        records.map(move |record| (record.name.as_str(), endpoint))
    })
}

fn target(app: &AppId, stack: &StackId, endpoint: &Endpoint) -> TargetId {
    TargetId { app: app.clone(), stack: stack.clone(), name: endpoint.name.clone() }
}
