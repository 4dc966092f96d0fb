//! Publishes through a provider's HTTP interface: read all, compare the marker, change, read back.
//!
//! Where the provider can, the change itself depends on the marker that was read ([`Provider::compares`]). Where it cannot,
//! a stale writer is caught by reading before and after, and by rule E1 alone (PROTOCOL.md D.3): the interface is then
//! asked once more to hold what the newest decision says, until it does.

use std::time::Instant;

use consensus::model::{ActionFault, Done, Driver, Held as Seen, Provider};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Order;
use super::api::Api;
use super::azure::Azure;
use super::cloudflare::Cloudflare;
use super::digitalocean::DigitalOcean;
use super::google::Google;
use super::meter::Meter;
use super::plan::Plan;
use super::powerdns::PowerDns;
use super::route53::Route53;
use super::update::{marker_record, owned};
use super::webhook;
use crate::actors::attempt::Attempt;
use crate::config::Credential;
use crate::records::{self, Bound};

/// How often a marker that moved between reading and changing is read again.
const TRIES: usize = 3;

/// A record as the provider holds it.
pub(super) struct Held {
    pub(super) name: Name,
    pub(super) kind: RecordType,
    pub(super) ttl: u32,
    /// Its data as the provider writes it.
    pub(super) text: String,
    /// The provider's number for it; empty where it numbers none.
    pub(super) id: String,
    /// What it means; `None` for what we do not understand.
    pub(super) data: Option<RData>,
}

/// What is to be done in one step, where the provider can.
pub(super) struct Change<'a> {
    /// What goes: the marker as it was read, and all that is ours to replace.
    pub(super) gone: Vec<&'a Held>,
    /// What comes, the marker last.
    pub(super) come: Vec<Record>,
}

/// How a change ended, if not badly.
pub(super) enum Changed {
    /// The provider took it.
    Taken,
    /// What was read is not there any more, in the provider's words.
    Moved(String),
}

/// What keeps a credential that may read a zone from changing it.
pub(super) struct Lack {
    /// What it may not change.
    pub(super) what: String,
    /// What would let it, in the provider's own words.
    pub(super) grant: String,
}

/// What an interface can do.
pub(super) trait Zone {
    /// All records at the name and at its marker.
    async fn read(&mut self, plan: &Plan) -> Result<Vec<Held>, ActionFault>;

    /// Makes a change.
    async fn change(&mut self, plan: &Plan, change: &Change<'_>) -> Result<Changed, ActionFault>;

    /// What the credential lacks to publish this in the place of sets of other types (`gone`), found out without a change.
    /// Only what is sure: a fault means that it is not known, and so does every answer that is not understood.
    async fn lacking(
        &mut self,
        plan: &Plan,
        gone: &[RecordType],
    ) -> Result<Option<Lack>, ActionFault>;
}

/// Which zone, at which provider, by which secret.
pub(super) struct Account<'a> {
    pub(super) provider: Provider,
    pub(super) url: Option<&'a str>,
    pub(super) zone: &'a str,
    pub(super) zone_id: Option<&'a str>,
    /// What the secret is called by.
    pub(super) credential: &'a str,
    pub(super) access_key: Option<&'a str>,
    pub(super) token: &'a str,
    /// How often it may be asked.
    pub(super) meter: Meter,
}

/// An interface, entered.
pub(super) enum Interface {
    Route53(Route53),
    PowerDns(PowerDns),
    Cloudflare(Cloudflare),
    DigitalOcean(DigitalOcean),
    Google(Google),
    Azure(Azure),
    /// One that is only told.
    Webhook(Api, String),
}

/// What the plan of an order is called by: who holds the zone.
pub(super) fn holder(provider: Provider) -> &'static str {
    match provider {
        Provider::Route53 => "Route 53",
        Provider::Cloudflare => "Cloudflare",
        Provider::DigitalOcean => "DigitalOcean",
        Provider::Google => "Google Cloud DNS",
        Provider::Azure => "Azure DNS",
        Provider::PowerDns => "PowerDNS",
        Provider::Webhook => "the webhook",
    }
}

/// Who is asked where no address is given.
fn own_address(provider: Provider) -> &'static str {
    match provider {
        Provider::Route53 => "https://route53.amazonaws.com",
        Provider::Cloudflare => "https://api.cloudflare.com",
        Provider::DigitalOcean => "https://api.digitalocean.com",
        Provider::Google => "https://dns.googleapis.com",
        Provider::Azure => "https://management.azure.com",
        Provider::PowerDns | Provider::Webhook => "",
    }
}

/// Makes the provider's zone say what the order says.
pub(super) async fn publish(
    attempt: &mut Attempt,
    order: &Order<'_>,
    plan: &Plan,
    account: &Account<'_>,
) -> Result<Done, ActionFault> {
    let Some(_leave) = account.meter.begin() else {
        return Err(plan.unclear(account.meter.why_not()));
    };
    let done = match enter(plan, account, order.wall_ms).await? {
        Interface::Route53(mut zone) => {
            let done = write(attempt, plan, &mut zone).await;
            if done.is_ok() {
                zone.watched(plan, order);
            }
            done
        }
        Interface::PowerDns(mut zone) => write(attempt, plan, &mut zone).await,
        Interface::Cloudflare(mut zone) => write(attempt, plan, &mut zone).await,
        Interface::DigitalOcean(mut zone) => write(attempt, plan, &mut zone).await,
        Interface::Google(mut zone) => write(attempt, plan, &mut zone).await,
        Interface::Azure(mut zone) => write(attempt, plan, &mut zone).await,
        Interface::Webhook(api, secret) => {
            let done = webhook::publish(attempt, plan, api, &secret).await;
            // That it did so is to be seen at name servers.
            if let (Ok(_), Some(url)) = (&done, account.url) {
                let place = (url.to_owned(), order.name.to_owned());
                order.spreads.told.took(place, order.token, Instant::now());
            }
            done
        }
    }?;
    Ok(match account.provider.compares() {
        true => done,
        // The history is to say what was not guarded against.
        false => Done { text: format!("{} (compared before and after only)", done.text), ..done },
    })
}

/// What the provider holds, as against what was decided. A webhook cannot be asked, and nobody is whose answers are needed for
/// changes.
pub(super) async fn inspect(
    plan: &Plan,
    account: &Account<'_>,
    wall_ms: fn() -> u64,
) -> Result<Seen, ActionFault> {
    if account.provider == Provider::Webhook {
        return Ok(Seen::Unasked);
    }
    let Some(_leave) = account.meter.begin() else { return Ok(Seen::Unasked) };
    let held = match enter(plan, account, wall_ms).await? {
        Interface::Route53(mut zone) => zone.read(plan).await,
        Interface::PowerDns(mut zone) => zone.read(plan).await,
        Interface::Cloudflare(mut zone) => zone.read(plan).await,
        Interface::DigitalOcean(mut zone) => zone.read(plan).await,
        Interface::Google(mut zone) => zone.read(plan).await,
        Interface::Azure(mut zone) => zone.read(plan).await,
        Interface::Webhook(..) => return Ok(Seen::Unasked),
    }?;
    let (records, marker) = sorted_out(plan, &held);
    plan.judge(&records, &marker)
}

/// Does it have a word for what a credential may change?
fn tells_rights(provider: Provider) -> bool {
    !matches!(provider, Provider::DigitalOcean | Provider::Webhook)
}

/// Does whoever holds the zone tell what a credential may change, without a change?
pub(super) fn tells(driver: &Driver) -> bool {
    match driver {
        Driver::BuiltIn | Driver::Rfc2136 { .. } => true,
        Driver::Provider { provider, .. } => tells_rights(*provider),
    }
}

/// Why the provider would not let this be published in the place of sets of other types; a fault if that is not known.
pub(super) async fn would_refuse(
    plan: &Plan,
    gone: &[RecordType],
    account: &Account<'_>,
    wall_ms: fn() -> u64,
) -> Result<Option<String>, ActionFault> {
    let leave = tells_rights(account.provider).then(|| account.meter.begin());
    if matches!(leave, Some(None)) {
        return Err(plan.unclear(account.meter.why_not()));
    }
    // What is not ours to replace stays.
    let ours = owned(&plan.records);
    let gone: Vec<_> = gone.iter().copied().filter(|kind| ours.contains(kind)).collect();
    let gone = gone.as_slice();
    let lack = match enter(plan, account, wall_ms).await? {
        Interface::Route53(mut zone) => zone.lacking(plan, gone).await,
        Interface::PowerDns(mut zone) => zone.lacking(plan, gone).await,
        Interface::Cloudflare(mut zone) => zone.lacking(plan, gone).await,
        Interface::DigitalOcean(mut zone) => zone.lacking(plan, gone).await,
        Interface::Google(mut zone) => zone.lacking(plan, gone).await,
        Interface::Azure(mut zone) => zone.lacking(plan, gone).await,
        Interface::Webhook(..) => Err(plan.unclear("cannot be asked without being told to change")),
    }?;
    Ok(lack.map(|Lack { what, grant }| {
        let (holder, zone, credential) = (&plan.holder, account.zone, account.credential);
        format!(
            "{holder} does not let credential `{credential}` change {what} in zone `{zone}`: grant it {grant}"
        )
    }))
}

/// Says who asks; some interfaces are first asked for a pass.
async fn enter(
    plan: &Plan,
    account: &Account<'_>,
    wall_ms: fn() -> u64,
) -> Result<Interface, ActionFault> {
    let api = Api::new(
        plan,
        account.url.unwrap_or(own_address(account.provider)),
        account.meter.clone(),
    )?;
    let id = account.zone_id.unwrap_or_default().to_owned();
    let token = account.token.to_owned();
    let bearer = || format!("Bearer {token}");
    Ok(match account.provider {
        Provider::Route53 => {
            let Some(key) = account.access_key else {
                return Err(plan.refused("wants an access key: its credential lacks `access_key`"));
            };
            let (key, secret) = (key.to_owned(), token);
            Interface::Route53(Route53 { api, id, key, secret, wall_ms, taken: None })
        }
        Provider::PowerDns => {
            Interface::PowerDns(PowerDns { api: api.identified(plan, "x-api-key", &token)? })
        }
        Provider::Cloudflare => {
            let api = api.identified(plan, "authorization", &bearer())?;
            Interface::Cloudflare(Cloudflare { api, id })
        }
        Provider::DigitalOcean => {
            let api = api.identified(plan, "authorization", &bearer())?;
            Interface::DigitalOcean(DigitalOcean { api })
        }
        Provider::Google => {
            Interface::Google(Google::enter(plan, api, &id, &token, wall_ms).await?)
        }
        Provider::Azure => Interface::Azure(Azure::enter(plan, api, &id, &token).await?),
        Provider::Webhook => Interface::Webhook(api, token),
    })
}

/// The secret that a record names.
pub(super) fn secret(credential: &Credential) -> Result<(Option<&str>, &str), &'static str> {
    match credential {
        Credential::Token { access_key, token } => Ok((access_key.as_deref(), token)),
        Credential::Login(_) => Err("is a user and password, expected a provider's token"),
        Credential::Key { .. } => Err("is a TSIG key, expected a provider's token"),
    }
}

async fn write(
    attempt: &mut Attempt,
    plan: &Plan,
    zone: &mut impl Zone,
) -> Result<Done, ActionFault> {
    let mut last = String::new();
    for _ in 0..TRIES {
        attempt.begin("reading the records")?;
        let held = zone.read(plan).await?;
        if stands(plan, &held)? {
            return Ok(plan.done("says so already"));
        }
        refuse_rivals(plan, &held)?;
        let change = change(plan, &held);
        attempt.commit("changing the records")?;
        match zone.change(plan, &change).await? {
            Changed::Moved(said) => {
                last = said;
                continue;
            }
            Changed::Taken => {}
        }
        attempt.enter("reading the records back");
        return match stands(plan, &zone.read(plan).await?)? {
            true => Ok(plan.done("changed")),
            false => {
                Err(plan.unclear(format!("took the change, but `{}` does not hold it", plan.name)))
            }
        };
    }
    Err(plan.unclear(format!("saw `{}` change {TRIES} times meanwhile{last}", plan.marker_name)))
}

/// Does the provider hold exactly what the plan says, under its marker? A fault if it may not be written over.
fn stands(plan: &Plan, held: &[Held]) -> Result<bool, ActionFault> {
    let (records, marker) = sorted_out(plan, held);
    Ok(plan.is_marked(&marker)? && plan.matches(&records))
}

/// What is held at the name, and the text at its marker.
fn sorted_out(plan: &Plan, held: &[Held]) -> (Vec<Record>, Vec<Record>) {
    let at = |name: &Name| -> Vec<Record> {
        let here = held.iter().filter(|it| it.name == *name);
        let unread = |it: &Held| RData::Unknown {
            code: it.kind,
            rdata: hickory_proto::rr::rdata::NULL::with(it.text.clone().into_bytes()),
        };
        here.map(|it| {
            let data = it.data.clone().unwrap_or_else(|| unread(it));
            Record::from_rdata(it.name.clone(), it.ttl, data)
        })
        .collect()
    };
    let is_text = |record: &Record| record.record_type() == RecordType::TXT;
    (at(&plan.name), at(&plan.marker_name).into_iter().filter(is_text).collect())
}

/// A CNAME stands alone (RFC 1034 section 3.6.2): whatever else is there is somebody else's.
fn refuse_rivals(plan: &Plan, held: &[Held]) -> Result<(), ActionFault> {
    let ours = owned(&plan.records);
    let rival =
        held.iter().find(|it| it.name == plan.name && plan.is_alias() && !ours.contains(&it.kind));
    match rival {
        None => Ok(()),
        Some(rival) => Err(plan.refused(format!(
            "holds {} records at `{}`; no CNAME can stand beside them",
            rival.kind, plan.name
        ))),
    }
}

fn change<'a>(plan: &Plan, held: &'a [Held]) -> Change<'a> {
    let ours = owned(&plan.records);
    let gone = held.iter().filter(|it| match it.name == plan.name {
        true => ours.contains(&it.kind),
        false => it.name == plan.marker_name && it.kind == RecordType::TXT,
    });
    let marker = marker_record(&plan.marker_name, &plan.marker, plan.least);
    Change { gone: gone.collect(), come: plan.records.iter().cloned().chain([marker]).collect() }
}

impl Change<'_> {
    /// What comes, a set each: name, type, lifetime and data as master files write them.
    pub(super) fn sets(&self) -> Vec<(Name, RecordType, u32, Vec<String>)> {
        let mut sets: Vec<(Name, RecordType, u32, Vec<String>)> = Vec::new();
        for record in &self.come {
            let (name, kind, text) = (&record.name, record.record_type(), written(&record.data));
            match sets.iter_mut().find(|(of, it, ..)| of == name && *it == kind) {
                Some((.., data)) => data.push(text),
                None => sets.push((name.clone(), kind, record.ttl, vec![text])),
            }
        }
        sets
    }

    /// What goes, a set each.
    pub(super) fn gone_sets(&self) -> Vec<(Name, RecordType, u32, Vec<String>)> {
        let mut sets: Vec<(Name, RecordType, u32, Vec<String>)> = Vec::new();
        for held in &self.gone {
            match sets.iter_mut().find(|(of, it, ..)| *of == held.name && *it == held.kind) {
                Some((.., data)) => data.push(held.text.clone()),
                None => {
                    sets.push((held.name.clone(), held.kind, held.ttl, vec![held.text.clone()]));
                }
            }
        }
        sets
    }
}

/// The types that this holds at its name, each once.
pub(super) fn kinds(plan: &Plan) -> Vec<RecordType> {
    let mut kinds: Vec<_> = plan.records.iter().map(Record::record_type).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// Types, for people.
pub(super) fn listed(kinds: &[RecordType]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Data as a master file writes it (RFC 1035 section 5.1): names with their final dot, text in quotes.
pub(super) fn written(data: &RData) -> String {
    match data {
        RData::CNAME(name) => absolute_text(&name.0),
        RData::TXT(text) => {
            let quoted = text.txt_data.iter().map(|part| {
                let text = String::from_utf8_lossy(part);
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            });
            quoted.collect::<Vec<_>>().join(" ")
        }
        RData::HTTPS(_) | RData::SVCB(_) => match Bound::of(data) {
            Some(Bound { priority, target, parameters }) => {
                [vec![format!("{priority} {target}")], parameters].concat().join(" ")
            }
            None => data.to_string(),
        },
        other => other.to_string(),
    }
}

/// An authorization's flags, tag and value (RFC 8659 section 4.1).
pub(super) fn authorization(data: &RData) -> Option<(u8, String, String)> {
    let RData::CAA(_) = data else { return None };
    let wire = records::wire(data)?;
    let (flags, rest) = wire.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (tag, value) = rest.split_at_checked(usize::from(*length))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some((*flags, text(tag)?, text(value)?))
}

/// A name with its final dot.
pub(super) fn absolute_text(name: &Name) -> String {
    format!("{}.", name.to_ascii().trim_end_matches('.'))
}

/// A name without its final dot.
pub(super) fn bare_text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

/// Reads data as a provider writes it: text with or without quotes, names with or without their final dot.
pub(super) fn read_data(kind: RecordType, text: &str) -> Option<RData> {
    use hickory_proto::rr::rdata::{CNAME, TXT};
    match kind {
        RecordType::CNAME => Some(RData::CNAME(CNAME(records::absolute(text)?))),
        RecordType::TXT if !text.starts_with('"') => {
            let parts = records::strings(text);
            Some(RData::TXT(TXT::from_bytes(parts)))
        }
        _ => RData::try_from_str(kind, text).ok(),
    }
}

/// A type by its name; `None` for what DNS does not have.
pub(super) fn read_kind(text: &str) -> Option<RecordType> {
    text.parse().ok()
}
