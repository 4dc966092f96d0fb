//! What is done to DNS that others serve.
//!
//! Beside the records of a name stands a marker with the token that wrote them. Whoever can make a change depend on the
//! marker that was read does; where the provider cannot, the marker is compared before and after (PROTOCOL.md D.3). No
//! driver ever sends an empty set.

mod api;
mod azure;
mod cloudflare;
mod digitalocean;
mod google;
mod link;
mod marker;
mod meter;
mod plan;
mod powerdns;
mod provider;
mod rfc2136;
mod round;
mod route53;
mod servers;
mod sigv4;
mod spread;
mod told;
mod update;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, Instant};

use consensus::model::{
    ActionFault, ActionFaultKind, AppId, CredentialId, Done, Driver, Held, Provider, Published,
    RecordSet, StackId, Token,
};
use consensus::moment::Moment;
use hickory_proto::rr::{RecordType, TSigner};
use tokio::time::timeout;

pub(super) use self::meter::{Meters, Use};
use self::plan::Plan;
use self::provider::Account;
pub(super) use self::round::Round;
use self::round::SILENT;
pub(super) use self::spread::Spreads;
use super::attempt::{Attempt, Stage, fault};
use crate::config::{Credential, Credentials};
use crate::records;

/// How long whoever holds a zone may take to say what it holds.
const INSPECTION: Duration = Duration::from_secs(5);

/// A name's records, as the decision has them.
pub(super) struct Order<'a> {
    pub(super) app: &'a AppId,
    pub(super) token: Token,
    pub(super) name: &'a str,
    pub(super) sets: &'a [RecordSet],
    pub(super) stack: &'a StackId,
    pub(super) credentials: &'a Credentials,
    pub(super) meters: &'a Meters,
    pub(super) spreads: &'a Arc<Spreads>,
    pub(super) what: Use,
    pub(super) wall_ms: fn() -> u64,
}

/// Makes the outside's DNS say what the order says.
pub(super) async fn publish(
    attempt: &mut Attempt,
    order: &Order<'_>,
    driver: &Driver,
) -> Result<Done, ActionFault> {
    let plan = Plan::new(order, driver)?;
    match driver {
        Driver::Rfc2136 { server, zone, credential } => {
            let signer = signer(order.credentials, credential)?;
            rfc2136::publish(attempt, &plan, server, zone, signer, order.wall_ms).await
        }
        Driver::Provider { .. } => {
            provider::publish(attempt, order, &plan, &account(order, driver)?).await
        }
        Driver::BuiltIn => Err(refused("the built-in server is not published to".to_owned())),
    }
}

/// Looks at what the outside's DNS says: every name server of the zone, and with the credential whoever holds it.
pub(super) async fn inspect(
    order: &Order<'_>,
    driver: &Driver,
    holder: bool,
    round: &Round,
) -> Published {
    let name = order.name.to_owned();
    let unknown = |fault: ActionFault| Held::Unknown(fault.text);
    let plan = match Plan::new(order, driver) {
        Ok(plan) => plan,
        Err(fault) => {
            let held = unknown(fault);
            return Published { name, held, right: 0, longest: None, wrong: vec![] };
        }
    };
    let primary = match driver {
        Driver::Rfc2136 { server, .. } => Some(server.as_str()),
        Driver::BuiltIn | Driver::Provider { .. } => None,
    };
    let asked = async {
        match holder {
            false => Held::Unasked,
            true => held_by(order, &plan, driver, round).await.unwrap_or_else(unknown),
        }
    };
    let (held, answers) = tokio::join!(asked, servers::ask_all(&plan, primary, round));
    let held = match held {
        Held::Unasked if holder && is_disproved(order, driver, &answers) => {
            Held::Otherwise("no name server says what the webhook was told".to_owned())
        }
        held => held,
    };
    let servers::Answers { right, longest, mut wrong, .. } = answers;
    wrong.extend(spreading(order, driver));
    Published { name, held, right, longest, wrong }
}

/// Would whoever holds a zone take a change from a credential that reads it?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consent {
    /// It would, as far as one can ask.
    Given,
    /// It would not: why, and what to grant.
    Refused(String),
    /// It does not answer, or is not to be asked now: why.
    Unknown(String),
    /// It never says: why.
    Untold(String),
}

/// Asks whoever holds the zone whether this could be published in the place of sets of other types (`gone`), without a change.
pub(super) async fn consent(
    order: &Order<'_>,
    driver: &Driver,
    gone: &[RecordType],
    round: &Round,
) -> Consent {
    let _turn = round.turn(driver).await;
    let asking = async {
        match driver {
            Driver::BuiltIn => Ok(None),
            Driver::Rfc2136 { server, zone, credential } => {
                let plan = Plan::new(order, driver)?;
                let signer = signer(order.credentials, credential)?;
                let attempt = Attempt::new(Moment::NEVER, INSPECTION, Stage::default());
                rfc2136::would_refuse(&attempt, &plan, server, zone, signer, order.wall_ms).await
            }
            Driver::Provider { .. } => {
                let plan = Plan::new(order, driver)?;
                let account = account(order, driver)?;
                provider::would_refuse(&plan, gone, &account, order.wall_ms).await
            }
        }
    };
    match timeout(INSPECTION, asking).await {
        Ok(Ok(None)) => Consent::Given,
        Ok(Ok(Some(why))) => Consent::Refused(why),
        Ok(Err(fault)) if !provider::tells(driver) => Consent::Untold(fault.text),
        Ok(Err(fault)) => Consent::Unknown(fault.text),
        Err(_) => Consent::Unknown(format!("no answer within {INSPECTION:?}")),
    }
}

/// Asks every name server that a zone of our own is delegated to for what agents answer there.
pub(super) async fn inspect_delegated(order: &Order<'_>, zone: &str, round: &Round) -> Published {
    let name = order.name.to_owned();
    match Plan::at(order, zone, "the built-in server".to_owned(), 0) {
        Ok(plan) => {
            let servers::Answers { right, longest, wrong, .. } =
                servers::ask_agents(&plan, round).await;
            Published { name, held: Held::Unasked, right, longest, wrong }
        }
        Err(fault) => Published {
            name,
            held: Held::Unknown(fault.text),
            right: 0,
            longest: None,
            wrong: vec![],
        },
    }
}

/// A webhook cannot be asked what it did. Once it has had its time, what all name servers of the zone say is held to be that.
fn is_disproved(order: &Order<'_>, driver: &Driver, answers: &servers::Answers) -> bool {
    let Driver::Provider { provider: Provider::Webhook, url: Some(url), .. } = driver else {
        return false;
    };
    let none_says_so = answers.right == 0 && 0 < answers.otherwise;
    let place = (url.clone(), order.name.to_owned());
    none_says_so && order.spreads.told.is_missed(place, order.token, Instant::now())
}

/// What is known to be on its way still: one line among those of the servers that do not say what was decided.
fn spreading(order: &Order<'_>, driver: &Driver) -> Option<String> {
    let Driver::Provider { provider, zone_id: Some(zone_id), .. } = driver else { return None };
    let change = order.spreads.pending(&(zone_id.clone(), order.name.to_owned()))?;
    let holder = provider::holder(*provider);
    Some(format!("some servers of {holder} do not have it yet (change {change})"))
}

async fn held_by(
    order: &Order<'_>,
    plan: &Plan,
    driver: &Driver,
    round: &Round,
) -> Result<Held, ActionFault> {
    let _turn = round.turn(driver).await;
    if let Some(why) = round.holder_is_silent(driver) {
        return Err(fault(ActionFaultKind::Unknown, why));
    }
    let began = Instant::now();
    let reading = async {
        match driver {
            Driver::BuiltIn => Ok(Held::Unasked),
            Driver::Rfc2136 { server, zone, credential } => {
                let signer = signer(order.credentials, credential)?;
                let attempt = Attempt::new(Moment::NEVER, INSPECTION, Stage::default());
                rfc2136::inspect(&attempt, plan, server, zone, signer, order.wall_ms).await
            }
            Driver::Provider { .. } => {
                let account = account(order, driver)?;
                provider::inspect(plan, &account, order.wall_ms).await
            }
        }
    };
    let late = |_| Err(plan.unclear(format!("has not answered within {INSPECTION:?}")));
    let held = timeout(INSPECTION, reading).await.unwrap_or_else(late);
    if let Err(fault) = &held
        && SILENT <= began.elapsed()
    {
        round.silent_holder(driver, &fault.text);
    }
    held
}

/// By which account a zone is changed; only for drivers that have one.
fn account<'a>(order: &Order<'a>, driver: &'a Driver) -> Result<Account<'a>, ActionFault> {
    let Driver::Provider { provider, url, zone, zone_id, credential } = driver else {
        return Err(refused("no account is needed".to_owned()));
    };
    let (access_key, token) = provider::secret(held(order.credentials, credential)?)
        .map_err(|why| refused(format!("credential `{credential}` {why}")))?;
    Ok(Account {
        provider: *provider,
        url: url.as_deref(),
        zone,
        zone_id: zone_id.as_deref(),
        credential: credential.as_str(),
        access_key,
        token,
        meter: order.meters.of(*provider, credential.as_str(), order.what),
    })
}

/// Finds the key that a record names.
fn signer(credentials: &Credentials, name: &CredentialId) -> Result<TSigner, ActionFault> {
    records::signer(held(credentials, name)?)
        .map_err(|why| refused(format!("credential `{name}` {why}")))
}

fn held<'a>(
    credentials: &'a Credentials,
    name: &CredentialId,
) -> Result<&'a Credential, ActionFault> {
    credentials.get(name).ok_or_else(|| {
        refused(format!("no credential `{name}` is held here; see `[credentials]` in agent.toml"))
    })
}

fn refused(why: String) -> ActionFault {
    fault(ActionFaultKind::Refused, why)
}
