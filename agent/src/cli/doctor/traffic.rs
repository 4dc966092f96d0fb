//! What clients are sent to, and what sends them there → checks. Asks and looks, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consensus::failover::plan;
use consensus::model::{AppId, Definition, Held, Published};
use consensus::view::AppView;
use probe::Means;

use super::{Check, Found, Heard};
use crate::actors::{self, Consent};
use crate::clock;
use crate::config::AgentConfig;
use crate::identity::date;
use crate::readiness::certificates::{self, Certificate, Shown};

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
    let seen = actors::ask_holders(&view.app, token, publications, credentials.clone()).await;
    let mut changes = actors::publications_of_all(definition);
    actors::leave_out_unread(&mut changes, &seen);
    let consents = actors::ask_consents(&view.app, token, &changes, credentials).await;
    let mut checks: Vec<Check> = Vec::new();
    for it in seen {
        let (name, app) = (&it.name, &view.app);
        let mut of_it = consents.iter().filter(|(of, _)| of == name).peekable();
        let may = match of_it.peek().is_some() && of_it.all(|(_, it)| *it == Consent::Given) {
            true => ", which may change it",
            false => "",
        };
        checks.push(match &it.held {
            Held::Unasked => {
                let words = format!(
                    "{name} of {app} is not read: this agent lacks the credential, is not to ask for now, or can ask nobody, as of a webhook"
                );
                Check::new("records", Found::Skipped, words)
            }
            Held::AsDecided => {
                let words = format!("{name} of {app} is as decided, read with its credential{may}");
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
    checks.extend(changes_of(&view.app, consents));
    checks
}

/// What would not be changed, and what nobody tells: a line for each reason, with the names that it is of.
fn changes_of(app: &AppId, consents: Vec<(String, Consent)>) -> Vec<Check> {
    let mut names: BTreeMap<Consent, BTreeSet<String>> = BTreeMap::new();
    for (name, consent) in consents {
        names.entry(consent).or_default().insert(name);
    }
    let check = |(consent, names): (Consent, BTreeSet<String>)| {
        let more = match names.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let name = names.into_iter().next()?;
        let (found, words) = match consent {
            Consent::Given => return None,
            Consent::Refused(why) => {
                (Found::Wrong, format!("{name}{more} of {app} cannot be changed: {why}"))
            }
            Consent::Unknown(why) | Consent::Untold(why) => {
                let words =
                    format!("whether {name}{more} of {app} can be changed is not known: {why}");
                (Found::Skipped, words)
            }
        };
        Some(Check::new("records", found, words))
    };
    names.into_iter().filter_map(check).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_changed_is_one_line_a_reason() {
        let app = "shop".parse().expect("a name");
        let said = |it: &str| it.to_owned();
        let consents = vec![
            (said("a.example"), Consent::Given),
            (said("b.example"), Consent::Refused(said("grant it more"))),
            (said("c.example"), Consent::Unknown(said("nobody tells"))),
            (said("c.example"), Consent::Unknown(said("nobody tells"))),
            (said("d.example"), Consent::Unknown(said("nobody tells"))),
        ];
        let checks = changes_of(&app, consents);
        let checks: Vec<_> = checks.iter().map(|it| (it.found, it.words.as_str())).collect();
        let told = [
            (Found::Wrong, "b.example of shop cannot be changed: grant it more"),
            (
                Found::Skipped,
                "whether c.example (and 1 more) of shop can be changed is not known: nobody tells",
            ),
        ];
        assert_eq!(checks, told);
    }
}
