//! What clients are sent to, and what sends them there → checks. Asks and looks, and changes nothing.

use std::sync::Arc;

use consensus::failover::plan;
use consensus::model::{Definition, Held, Published};
use consensus::view::AppView;
use probe::Means;

use super::{Check, Found, Heard};
use crate::config::AgentConfig;
use crate::identity::date;
use crate::readiness::certificates::{self, Certificate, Shown};
use crate::{actors, clock};

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
        checks.extend(delegated(definition, view).await);
        checks.extend(certificates(definition, &means).await);
    }
    checks
}

/// What drivers publish: as whoever holds the zone has it, read with this agent's credential, and as its servers say it.
async fn records(config: &AgentConfig, definition: &Definition, view: &AppView) -> Vec<Check> {
    let publications = plan::published(definition, &view.active, view.shortened);
    let token = actors::published_under(view);
    let credentials = Arc::new(config.credentials.clone());
    let refused = actors::ask_refusals(&view.app, token, &publications, credentials.clone()).await;
    let seen = actors::ask_holders(&view.app, token, publications, credentials).await;
    let mut checks: Vec<Check> = refused
        .into_iter()
        .map(|(name, why)| {
            let words = format!("{name} of {} cannot be changed: {why}", view.app);
            Check::new("records", Found::Wrong, words)
        })
        .collect();
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
            Held::Owed(what) | Held::Otherwise(what) => {
                Check::new("records", Found::Careful, format!("{name} of {app}: {what}"))
            }
            Held::Unknown(what) => {
                Check::new("records", Found::Wrong, format!("{name} of {app}: {what}"))
            }
        });
        checks.push(servers(&it, (Found::Wrong, "")));
    }
    checks
}

/// What agents answer themselves: as those say it that the app's zones are delegated to.
async fn delegated(definition: &Definition, view: &AppView) -> Vec<Check> {
    let token = actors::published_under(view);
    let seen = actors::ask_delegated(definition, &view.active, token).await;
    // Whoever is asked by clients themselves, without resolvers between, needs no delegation.
    let nobody = (Found::Careful, ": is its zone delegated to the agents?");
    seen.iter().map(|it| servers(it, nobody)).collect()
}

fn servers(it: &Published, (nobody, hint): (Found, &str)) -> Check {
    let (name, all) = (&it.name, it.right + it.wrong.len());
    match it.wrong.as_slice() {
        [] if all == 0 => {
            let words = format!("no name server of {name} was found{hint}");
            Check::new("servers", nobody, words)
        }
        [] => {
            let words = format!("all {all} name servers of {name} say what was decided");
            Check::new("servers", Found::Fine, words)
        }
        wrong => {
            let words = format!("{} of {all} say so of {name}; {}", it.right, wrong.join("; "));
            Check::new("servers", Found::Careful, words)
        }
    }
}

/// Is the certificate of each endpoint that names are answered with valid for those names?
async fn certificates(definition: &Definition, means: &Means) -> Vec<Check> {
    let shown = certificates::look(definition, means, clock::wall_ms() / 1000).await;
    let check = |it: Shown| {
        let at = format!("{}/{}/{}", definition.name, it.stack, it.endpoint);
        let name = it.name;
        let (found, words) = match it.certificate {
            Certificate::Wrong(fault) => (Found::Wrong, format!("{at} for `{name}`: {fault}")),
            Certificate::Unseen(fault) => {
                (Found::Skipped, format!("{at} shows no certificate: {fault}"))
            }
            Certificate::Ending(ends) => {
                let until = date(ends);
                (Found::Careful, format!("the certificate of {at} for `{name}` ends at {until}"))
            }
            Certificate::Valid(_) => {
                (Found::Fine, format!("the certificate of {at} is valid for `{name}`"))
            }
        };
        Check::new("names", found, words)
    };
    shown.into_iter().map(check).collect()
}
