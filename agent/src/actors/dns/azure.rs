//! Azure DNS: each set carries a tag that changes with it, and is changed only as it was read.
//!
//! A change is several requests, the marker's first: whoever lost the race for the marker writes nothing else, and whoever won
//! it and was then stopped finds every later set under another tag. A name that turns from addresses into an alias has none for
//! a moment, since the one must go before the other can come.

use consensus::model::ActionFault;
use hickory_proto::rr::{Name, RData, RecordType};
use http::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, Ask, headers};
use super::plan::{Plan, text_of};
use super::provider::{Change, Changed, Held, Lack, Zone, bare_text, kinds, read_data, written};

/// The version of the interface that all this is about.
const VERSION: &str = "2018-05-01";
/// The version of the one that tells what the caller may do.
const PERMISSIONS: &str = "2022-04-01";
/// Where passes are given out.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// What Azure serves and may stand where we write.
const KINDS: [&str; 7] = ["A", "AAAA", "CNAME", "TXT", "SRV", "CAA", "MX"];

pub(super) struct Azure {
    api: Api,
    subscription: String,
    group: String,
}

/// A service principal, as `az ad sp create-for-rbac` prints it.
#[derive(Deserialize)]
struct Principal {
    #[serde(rename = "appId")]
    app_id: String,
    password: String,
    tenant: String,
    /// Another cloud's.
    authority: Option<String>,
}

#[derive(Deserialize)]
struct Set {
    etag: String,
    properties: Value,
}

/// What a caller may do with a resource ("Permissions - List For Resource").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permitted {
    value: Vec<Permission>,
    next_link: Option<String>,
}

/// As one role has it: what is in its actions and not in its `notActions`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    actions: Option<Vec<String>>,
    not_actions: Option<Vec<String>>,
}

impl Permitted {
    fn allows(&self, action: &str) -> bool {
        let names = |patterns: &Option<Vec<String>>| {
            patterns.iter().flatten().any(|pattern| matches(pattern, action))
        };
        self.value.iter().any(|role| names(&role.actions) && !names(&role.not_actions))
    }
}

impl Azure {
    /// Trades the secret for a pass of an hour (RFC 6749 section 4.4).
    pub(super) async fn enter(
        plan: &Plan,
        api: Api,
        id: &str,
        principal: &str,
    ) -> Result<Self, ActionFault> {
        let bad = |what: &str| {
            plan.refused(format!("wants what `az ad sp create-for-rbac` printed: {what}"))
        };
        let of: Principal =
            serde_json::from_str(principal).map_err(|error| bad(&error.to_string()))?;
        let (subscription, group) = id.split_once('/').ok_or_else(|| bad("no zone is named"))?;
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if of.tenant.is_empty() || !of.tenant.bytes().all(fit) {
            return Err(bad("its `tenant` is no tenant's"));
        }
        let base = of.authority.as_deref().unwrap_or(AUTHORITY);
        let door = format!("{}/{}/oauth2/v2.0/token", base.trim_end_matches('/'), of.tenant);
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
            escaped(&of.app_id),
            escaped(&of.password),
            escaped("https://management.azure.com/.default"),
        );
        let api = api.admitted(plan, &door, body).await?;
        Ok(Self { api, subscription: subscription.to_owned(), group: group.to_owned() })
    }

    fn path(&self, plan: &Plan, name: &Name, kind: &str) -> String {
        let (zone, name) = (bare_text(&plan.zone), bare_text(name));
        let below = name.strip_suffix(&zone).map(|below| below.trim_end_matches('.'));
        let below = match below {
            None | Some("") => "@".to_owned(),
            Some(below) => escaped(below),
        };
        format!("{}/{kind}/{below}", self.zone_path(plan))
    }

    fn zone_path(&self, plan: &Plan) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/dnsZones/{}",
            self.subscription,
            self.group,
            bare_text(&plan.zone)
        )
    }

    /// What the caller may do with a zone or a set.
    async fn permitted(&mut self, plan: &Plan, of: &str) -> Result<Permitted, ActionFault> {
        let path =
            format!("{of}/providers/Microsoft.Authorization/permissions?api-version={PERMISSIONS}");
        let answer = self.api.call(plan, Method::GET, &path, Vec::new()).await?;
        let permitted: Permitted = answer.json(plan)?;
        match permitted.next_link.as_deref().unwrap_or_default() {
            "" => Ok(permitted),
            _ => Err(plan.unclear("lists more permissions than are read")),
        }
    }

    /// Changes one set, if it is as it was read.
    async fn set(
        &mut self,
        plan: &Plan,
        (name, kind): (&Name, RecordType),
        tag: Option<&str>,
        properties: Option<Value>,
    ) -> Result<Changed, ActionFault> {
        let path = versioned(&self.path(plan, name, &kind.to_string()));
        let condition = match tag {
            Some(tag) => ("if-match", tag.to_owned()),
            None => ("if-none-match", "*".to_owned()),
        };
        let pairs = [("content-type", "application/json".to_owned()), condition];
        let (method, body) = match properties {
            Some(properties) => {
                (Method::PUT, json!({ "properties": properties }).to_string().into_bytes())
            }
            None => (Method::DELETE, Vec::new()),
        };
        let mut headers = headers(plan, pairs)?;
        if method == Method::DELETE {
            headers.remove(header::CONTENT_TYPE);
        }
        let answer = self.api.ask(plan, Ask { method, path: &path, headers, body }).await?;
        match answer.status {
            StatusCode::PRECONDITION_FAILED => Ok(Changed::Moved(answer.quoted())),
            _ => answer.well(plan).map(|_| Changed::Taken),
        }
    }
}

impl Zone for Azure {
    async fn read(&mut self, plan: &Plan) -> Result<Vec<Held>, ActionFault> {
        let mut held = Vec::new();
        let wanted = KINDS.iter().map(|kind| (&plan.name, *kind));
        for (name, kind) in wanted.chain([(&plan.marker_name, "TXT")]) {
            let path = versioned(&self.path(plan, name, kind));
            let answer = self.api.call(plan, Method::GET, &path, Vec::new()).await?;
            if answer.status == StatusCode::NOT_FOUND && answer.quoted().contains("NotFound") {
                continue;
            }
            let set: Set = answer.json(plan)?;
            let Ok(kind) = kind.parse::<RecordType>() else { continue };
            if set.properties["targetResource"]["id"].is_string() {
                return Err(plan.refused(format!(
                    "leads `{name}` {kind} to a resource of its own: quorate replaces plain records only"
                )));
            }
            let ttl = set.properties["TTL"].as_u64().and_then(|ttl| u32::try_from(ttl).ok());
            let ttl = ttl.ok_or_else(|| plan.unclear("answers with a set without lifetime"))?;
            held.extend(texts(kind, &set.properties).into_iter().map(|text| Held {
                name: name.clone(),
                kind,
                ttl,
                data: read_data(kind, &text),
                text,
                id: set.etag.clone(),
            }));
        }
        Ok(held)
    }

    async fn change(&mut self, plan: &Plan, change: &Change<'_>) -> Result<Changed, ActionFault> {
        let tag = |name: &Name, kind: RecordType| {
            let held = change.gone.iter().find(|it| it.name == *name && it.kind == kind);
            held.map(|held| held.id.clone())
        };
        let mut come: Vec<(Name, RecordType, Value)> = Vec::new();
        for (name, kind, ttl, _) in change.sets() {
            let data = change.come.iter().filter(|it| it.name == name && it.record_type() == kind);
            let data: Vec<&RData> = data.map(|it| &it.data).collect();
            let properties = properties(kind, ttl, &data).ok_or_else(|| {
                plan.refused(format!("does not serve {kind} records; delegate `{name}` instead"))
            })?;
            come.push((name, kind, properties));
        }
        // The marker comes last in the plan, and first here.
        come.rotate_right(1);
        let mut come = come.into_iter();
        if let Some((name, kind, properties)) = come.next()
            && let moved @ Changed::Moved(_) =
                self.set(plan, (&name, kind), tag(&name, kind).as_deref(), Some(properties)).await?
        {
            return Ok(moved);
        }
        let come: Vec<_> = come.collect();
        for (name, kind, ..) in change.gone_sets() {
            let stays = name == plan.marker_name || come.iter().any(|(_, it, _)| *it == kind);
            if !stays
                && let moved @ Changed::Moved(_) =
                    self.set(plan, (&name, kind), tag(&name, kind).as_deref(), None).await?
            {
                return Ok(moved);
            }
        }
        for (name, kind, properties) in come {
            let tag = tag(&name, kind);
            if let moved @ Changed::Moved(_) =
                self.set(plan, (&name, kind), tag.as_deref(), Some(properties)).await?
            {
                return Ok(moved);
            }
        }
        Ok(Changed::Taken)
    }

    /// Asks what the caller may do with the zone, and with each set that it may not change by that: a role may be given for one
    /// set. An answer without the right to read, which is used all the time, does not tell everything. What is denied or bound
    /// to conditions besides is not listed.
    async fn lacking(
        &mut self,
        plan: &Plan,
        gone: &[RecordType],
    ) -> Result<Option<Lack>, ActionFault> {
        let zone = self.permitted(plan, &self.zone_path(plan)).await?;
        let comes = kinds(plan).into_iter().map(|kind| (&plan.name, kind, "write"));
        let goes = gone.iter().map(|kind| (&plan.name, *kind, "delete"));
        let marker = (&plan.marker_name, RecordType::TXT, "write");
        let mut lacks = Vec::new();
        for (name, kind, verb) in comes.chain(goes).chain([marker]) {
            let action = |verb| format!("Microsoft.Network/dnsZones/{kind}/{verb}");
            if zone.allows(&action(verb)) {
                continue;
            }
            let set = self.permitted(plan, &self.path(plan, name, &kind.to_string())).await?;
            match (set.allows(&action(verb)), set.allows(&action("read"))) {
                (true, _) => {}
                (false, true) => lacks.push((name, kind, action(verb))),
                (false, false) => {
                    return Err(
                        plan.unclear(format!("does not tell what may be done with `{name}`"))
                    );
                }
            }
        }
        let text = |all: Vec<String>, and: &str| all.join(and);
        let what = lacks.iter().map(|(name, kind, _)| format!("{kind} of `{}`", bare_text(name)));
        let grant = lacks.iter().map(|(.., action)| format!("`{action}`"));
        let (what, grant) = (text(what.collect(), " and "), text(grant.collect(), " and "));
        let grant = format!("{grant} (as the role DNS Zone Contributor does)");
        Ok((!lacks.is_empty()).then_some(Lack { what, grant }))
    }
}

/// A path with the version of the interface that it is of.
fn versioned(path: &str) -> String {
    format!("{path}?api-version={VERSION}")
}

/// Does an action fit a pattern, in which `*` stands for anything? Case is nothing.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A set's data as master files write it.
fn texts(kind: RecordType, properties: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = |key: &str| properties[key].as_array().cloned().unwrap_or_default();
    let each = |key: &str, of: &dyn Fn(&Value) -> String| all(key).iter().map(of).collect();
    match kind {
        RecordType::A => each("ARecords", &|it| text(&it["ipv4Address"])),
        RecordType::AAAA => each("AAAARecords", &|it| text(&it["ipv6Address"])),
        RecordType::CNAME => {
            let alias = properties["CNAMERecord"]["cname"].as_str();
            alias.map(|alias| format!("{}.", alias.trim_end_matches('.'))).into_iter().collect()
        }
        RecordType::TXT => each("TXTRecords", &|it| {
            let parts = it["value"].as_array().cloned().unwrap_or_default();
            let quoted = parts.iter().map(|part| {
                format!("\"{}\"", text(part).replace('\\', "\\\\").replace('"', "\\\""))
            });
            quoted.collect::<Vec<_>>().join(" ")
        }),
        RecordType::SRV => each("SRVRecords", &|it| {
            let target = text(&it["target"]);
            let target = target.trim_end_matches('.');
            format!("{} {} {} {target}.", it["priority"], it["weight"], it["port"])
        }),
        RecordType::CAA => each("caaRecords", &|it| {
            format!("{} {} \"{}\"", it["flags"], text(&it["tag"]), text(&it["value"]))
        }),
        RecordType::MX => {
            each("MXRecords", &|it| format!("{} {}", it["preference"], text(&it["exchange"])))
        }
        _ => Vec::new(),
    }
}

/// A set as the interface takes it; `None` for a type that Azure does not serve.
fn properties(kind: RecordType, ttl: u32, data: &[&RData]) -> Option<Value> {
    let each = |of: &dyn Fn(&RData) -> Option<Value>| -> Option<Value> {
        data.iter().map(|data| of(data)).collect::<Option<Vec<_>>>().map(Value::from)
    };
    let (key, records) = match kind {
        RecordType::A => ("ARecords", each(&|it| Some(json!({ "ipv4Address": written(it) })))?),
        RecordType::AAAA => {
            ("AAAARecords", each(&|it| Some(json!({ "ipv6Address": written(it) })))?)
        }
        RecordType::CNAME => match data {
            [RData::CNAME(alias)] => ("CNAMERecord", json!({ "cname": bare_text(&alias.0) })),
            _ => return None,
        },
        RecordType::TXT => {
            let parts = |it: &RData| -> Vec<String> {
                let whole: Vec<char> = text_of(it).chars().collect();
                whole.chunks(255).map(|part| part.iter().collect()).collect()
            };
            ("TXTRecords", each(&|it| Some(json!({ "value": parts(it) })))?)
        }
        RecordType::SRV => (
            "SRVRecords",
            each(&|it| match it {
                RData::SRV(it) => Some(json!({
                    "priority": it.priority, "weight": it.weight, "port": it.port,
                    "target": bare_text(&it.target),
                })),
                _ => None,
            })?,
        ),
        RecordType::CAA => (
            "caaRecords",
            each(&|it| {
                let text = it.to_string();
                let mut words = text.splitn(3, ' ');
                let flags: u8 = words.next()?.parse().ok()?;
                let (tag, value) = (words.next()?, words.next()?.trim_matches('"'));
                Some(json!({ "flags": flags, "tag": tag, "value": value }))
            })?,
        ),
        _ => return None,
    };
    Some(json!({ "TTL": ttl, key: records }))
}

/// As it stands in a path or a form (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_fit_patterns_as_roles_have_them() {
        const WRITE: &str = "Microsoft.Network/dnsZones/A/write";
        for (pattern, fits) in [
            ("*", true),
            ("*/write", true),
            ("*/read", false),
            ("Microsoft.Network/dnsZones/*", true),
            ("microsoft.network/dnszones/a/WRITE", true),
            ("Microsoft.Network/*/write", true),
            ("Microsoft.Network/*/A/*", true),
            ("Microsoft.Network/dnsZones/A", false),
            ("Microsoft.Network/dnsZones/A/write*", true),
            ("Microsoft.Network/dnsZones/AAAA/*", false),
            ("Microsoft.Compute/*", false),
            ("", false),
        ] {
            assert_eq!(matches(pattern, WRITE), fits, "{pattern}");
        }
    }

    #[test]
    fn what_one_role_leaves_out_another_may_allow() {
        let role =
            |actions: &[&str], not: &[&str]| json!({ "actions": actions, "notActions": not });
        let permitted = |roles: &[Value]| -> Permitted {
            serde_json::from_value(json!({ "value": roles, "nextLink": null }))
                .expect("permissions")
        };
        const WRITE: &str = "Microsoft.Network/dnsZones/TXT/write";
        let half = role(&["Microsoft.Network/dnsZones/*"], &["*/TXT/*"]);
        let reader = role(&["*/read"], &[]);
        assert!(!permitted(&[half.clone(), reader.clone()]).allows(WRITE));
        assert!(
            permitted(std::slice::from_ref(&half)).allows("Microsoft.Network/dnsZones/A/write")
        );
        assert!(permitted(&[half, reader, role(&["*/write"], &[])]).allows(WRITE));
        assert!(!permitted(&[]).allows(WRITE));
    }
}
