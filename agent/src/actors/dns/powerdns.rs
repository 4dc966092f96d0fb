//! PowerDNS by its own HTTP interface, which changes several sets at once and compares nothing.

use consensus::model::ActionFault;
use hickory_proto::rr::RecordType;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::api::Api;
use super::plan::Plan;
use super::provider::{Change, Changed, Held, Lack, Zone, absolute_text, read_data, read_kind};
use crate::records::absolute;

pub(super) struct PowerDns {
    pub(super) api: Api,
}

#[derive(Deserialize)]
struct Listed {
    rrsets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    r#type: String,
    ttl: u32,
    records: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    content: String,
    #[serde(default)]
    disabled: bool,
}

impl Zone for PowerDns {
    async fn read(&mut self, plan: &Plan) -> Result<Vec<Held>, ActionFault> {
        let mut held = Vec::new();
        for name in [&plan.name, &plan.marker_name] {
            // Servers before 4.8 know no filter and answer with the whole zone.
            let path = format!("{}?rrset_name={}", zone_path(plan), absolute_text(name));
            let answer = self.api.call(plan, Method::GET, &path, Vec::new()).await?;
            let listed: Listed = answer.json(plan)?;
            let here = listed.rrsets.into_iter();
            for set in here.filter(|set| absolute(&set.name).as_ref() == Some(name)) {
                let Some(kind) = read_kind(&set.r#type) else { continue };
                let live = set.records.into_iter().filter(|record| !record.disabled);
                held.extend(live.map(|record| Held {
                    name: name.clone(),
                    kind,
                    ttl: set.ttl,
                    data: read_data(kind, &record.content),
                    text: record.content,
                    id: String::new(),
                }));
            }
        }
        Ok(held)
    }

    async fn change(&mut self, plan: &Plan, change: &Change<'_>) -> Result<Changed, ActionFault> {
        let come = change.sets();
        let stays = |name, kind| come.iter().any(|(of, it, ..)| of == name && *it == kind);
        let gone = change.gone_sets();
        let gone = gone.iter().filter(|(name, kind, ..)| !stays(name, *kind));
        let deleted = gone.map(|(name, kind, ..)| {
            json!({ "name": absolute_text(name), "type": kind.to_string(), "changetype": "DELETE" })
        });
        let replaced = come.iter().map(|(name, kind, ttl, data)| {
            let records: Vec<_> =
                data.iter().map(|text| json!({ "content": text, "disabled": false })).collect();
            json!({
                "name": absolute_text(name), "type": kind.to_string(), "ttl": ttl,
                "changetype": "REPLACE", "records": records,
            })
        });
        let sets: Vec<_> = deleted.chain(replaced).collect();
        let body = json!({ "rrsets": sets }).to_string().into_bytes();
        let answer = self.api.call(plan, Method::PATCH, &zone_path(plan), body).await?;
        answer.well(plan).map(|_| Changed::Taken)
    }

    /// Nothing: its one key (`api-key`) is for all of its interface, so whoever may read may change ("Authentication" in its
    /// documentation). That it is the key is known by reading.
    async fn lacking(
        &mut self,
        plan: &Plan,
        _: &[RecordType],
    ) -> Result<Option<Lack>, ActionFault> {
        self.read(plan).await.map(|_| None)
    }
}

fn zone_path(plan: &Plan) -> String {
    format!("/api/v1/servers/localhost/zones/{}", absolute_text(&plan.zone))
}
