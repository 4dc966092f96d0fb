//! Google Cloud DNS: one change names the sets that go exactly as they were read, or it fails as a whole.

use consensus::model::ActionFault;
use data_encoding::BASE64URL_NOPAD as BASE64URL;
use hickory_proto::rr::RecordType;
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;

use super::api::Api;
use super::plan::Plan;
use super::provider::{Change, Changed, Held, Lack, Zone, absolute_text, read_data, read_kind};

pub(super) struct Google {
    api: Api,
    project: String,
    zone: String,
}

/// What matters of a service account's key file.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    rrsets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    r#type: String,
    ttl: u32,
    #[serde(default)]
    rrdatas: Vec<String>,
}

/// Those of the permissions that were asked for that are held.
#[derive(Deserialize)]
struct Tested {
    #[serde(default)]
    permissions: Vec<String>,
}

const LIST: &str = "dns.resourceRecordSets.list";
const CHANGE: &str = "dns.changes.create";
const CREATE: &str = "dns.resourceRecordSets.create";
const UPDATE: &str = "dns.resourceRecordSets.update";
const DELETE: &str = "dns.resourceRecordSets.delete";

impl Google {
    /// Trades the key for a pass of some minutes (RFC 7523).
    pub(super) async fn enter(
        plan: &Plan,
        api: Api,
        id: &str,
        key_file: &str,
        wall_ms: fn() -> u64,
    ) -> Result<Self, ActionFault> {
        let bad = |what: &str| plan.refused(format!("wants a service account's key file: {what}"));
        let key: KeyFile =
            serde_json::from_str(key_file).map_err(|error| bad(&error.to_string()))?;
        let (project, zone) = id.split_once('/').ok_or_else(|| bad("no zone is named"))?;
        let pair = PrivatePkcs8KeyDer::from_pem_slice(key.private_key.as_bytes())
            .ok()
            .and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok())
            .ok_or_else(|| bad("its `private_key` cannot be read"))?;
        let now = wall_ms() / 1000;
        let claims = json!({
            "iss": key.client_email, "aud": key.token_uri, "iat": now, "exp": now + 600,
            "scope": "https://www.googleapis.com/auth/ndev.clouddns.readwrite",
        });
        let head = json!({ "alg": "RS256", "typ": "JWT" });
        let encode = |value: &serde_json::Value| BASE64URL.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", encode(&head), encode(&claims));
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| bad("its `private_key` cannot sign"))?;
        let body = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={signed}.{}",
            BASE64URL.encode(&signature)
        );
        let api = api.admitted(plan, &key.token_uri, body).await?;
        Ok(Self { api, project: project.to_owned(), zone: zone.to_owned() })
    }

    fn path(&self) -> String {
        format!("/dns/v1/projects/{}/managedZones/{}", self.project, self.zone)
    }
}

impl Zone for Google {
    async fn read(&mut self, plan: &Plan) -> Result<Vec<Held>, ActionFault> {
        let mut held = Vec::new();
        for name in [&plan.name, &plan.marker_name] {
            let path = format!("{}/rrsets?name={}", self.path(), absolute_text(name));
            let answer = self.api.call(plan, Method::GET, &path, Vec::new()).await?;
            let listed: Listed = answer.json(plan)?;
            for set in listed.rrsets {
                let Some(kind) = read_kind(&set.r#type) else { continue };
                if set.rrdatas.is_empty() {
                    return Err(plan.refused(format!(
                        "holds a routing policy at `{name}` {kind}: quorate replaces plain records only"
                    )));
                }
                held.extend(set.rrdatas.into_iter().map(|text| Held {
                    name: name.clone(),
                    kind,
                    ttl: set.ttl,
                    data: read_data(kind, &text),
                    text,
                    id: String::new(),
                }));
            }
        }
        Ok(held)
    }

    async fn change(&mut self, plan: &Plan, change: &Change<'_>) -> Result<Changed, ActionFault> {
        let of = |sets: Vec<(hickory_proto::rr::Name, _, u32, Vec<String>)>| -> Vec<_> {
            let set = |(name, kind, ttl, data): (_, RecordType, _, _)| {
                json!({
                    "name": absolute_text(&name), "type": kind.to_string(), "ttl": ttl, "rrdatas": data,
                })
            };
            sets.into_iter().map(set).collect()
        };
        let body = json!({ "deletions": of(change.gone_sets()), "additions": of(change.sets()) });
        let path = format!("{}/changes", self.path());
        let answer =
            self.api.call(plan, Method::POST, &path, body.to_string().into_bytes()).await?;
        match answer.status.as_u16() {
            // What was to go is not as it was read, or what was to come is there (documented for changes.create).
            404 | 409 | 412 => Ok(Changed::Moved(answer.quoted())),
            _ => answer.well(plan).map(|_| Changed::Taken),
        }
    }

    /// Asks which of the rights that a change takes are held ("Roles and permissions": to create, to update and to delete a
    /// set each has its own). A set that is replaced counts as updated, or as deleted and created. An answer that lacks the
    /// right to read is of another zone, or of none ("If the resource does not exist, this returns an empty set").
    async fn lacking(
        &mut self,
        plan: &Plan,
        gone: &[RecordType],
    ) -> Result<Option<Lack>, ActionFault> {
        let asked = [LIST, CHANGE, CREATE, UPDATE, DELETE];
        let body = json!({ "permissions": asked }).to_string().into_bytes();
        let path = format!("{}:testIamPermissions", self.path());
        let answer = self.api.call(plan, Method::POST, &path, body).await?;
        let tested: Tested = answer.json(plan)?;
        let has = |right: &str| tested.permissions.iter().any(|it| it == right);
        if !has(LIST) {
            return Err(plan.unclear("does not tell what may be done in the zone"));
        }
        let mut wanted = vec![CHANGE];
        if !gone.is_empty() || !has(UPDATE) {
            wanted.extend([CREATE, DELETE]);
        }
        let lacks = wanted.into_iter().filter(|it| !has(it)).map(|it| format!("`{it}`"));
        let lacks = lacks.collect::<Vec<_>>().join(" and ");
        let grant = format!("{lacks} (as `roles/dns.admin` does)");
        Ok((!lacks.is_empty()).then(|| Lack { what: "records".to_owned(), grant }))
    }
}
