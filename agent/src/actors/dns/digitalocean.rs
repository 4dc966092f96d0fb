//! DigitalOcean: one record a request, nothing compared. New records come before old ones go, and the marker is last.

use consensus::model::ActionFault;
use hickory_proto::rr::{RData, RecordType};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::api::Api;
use super::plan::{Plan, text_of};
use super::provider::{
    Change, Changed, Held, Lack, Zone, absolute_text, authorization, bare_text, read_data,
    read_kind, written,
};

pub(super) struct DigitalOcean {
    pub(super) api: Api,
}

#[derive(Deserialize)]
struct Listed {
    domain_records: Vec<Listing>,
}

#[derive(Deserialize)]
struct Listing {
    id: u64,
    r#type: String,
    data: String,
    ttl: u32,
    /// What types besides hold that are taken apart.
    priority: Option<u16>,
    port: Option<u16>,
    weight: Option<u16>,
    flags: Option<u8>,
    tag: Option<String>,
}

impl Listing {
    /// As a master file writes it.
    fn text(&self) -> String {
        let host = self.data.trim_end_matches('.');
        match (self.r#type.as_str(), self.priority, self.weight, self.port, self.flags, &self.tag) {
            ("SRV", Some(priority), Some(weight), Some(port), ..) => {
                format!("{priority} {weight} {port} {host}.")
            }
            // A value ends as a name does there.
            ("CAA", _, _, _, Some(flags), Some(tag)) => format!("{flags} {tag} \"{host}\""),
            _ => self.data.clone(),
        }
    }
}

impl Zone for DigitalOcean {
    async fn read(&mut self, plan: &Plan) -> Result<Vec<Held>, ActionFault> {
        let mut held = Vec::new();
        for name in [&plan.name, &plan.marker_name] {
            let path = format!("{}?name={}&per_page=200", records_path(plan), bare_text(name));
            let answer = self.api.call(plan, Method::GET, &path, Vec::new()).await?;
            let listed: Listed = answer.json(plan)?;
            for record in listed.domain_records {
                let Some(kind) = read_kind(&record.r#type) else { continue };
                let text = record.text();
                held.push(Held {
                    name: name.clone(),
                    kind,
                    ttl: record.ttl,
                    data: read_data(kind, &text),
                    text,
                    id: record.id.to_string(),
                });
            }
        }
        Ok(held)
    }

    async fn change(&mut self, plan: &Plan, change: &Change<'_>) -> Result<Changed, ActionFault> {
        // Only what differs: an identical record would be refused, and deleting before adding would leave none.
        let same = |held: &Held, record: &hickory_proto::rr::Record| {
            held.name == record.name
                && held.ttl == record.ttl
                && held.data.as_ref() == Some(&record.data)
        };
        let alias = |kind| matches!(kind, RecordType::CNAME);
        let (marker, records) = match change.come.split_last() {
            Some(split) => split,
            None => return Err(plan.refused("is never sent an empty set")),
        };
        let stale = change.gone.iter().filter(|held| !change.come.iter().any(|it| same(held, it)));
        // An alias and addresses cannot stand side by side: then what is there must go first.
        let (first, last): (Vec<&&Held>, Vec<&&Held>) =
            stale.partition(|held| held.name == plan.name && alias(held.kind) != plan.is_alias());
        for held in first {
            self.delete(plan, held).await?;
        }
        for record in records.iter().filter(|it| !change.gone.iter().any(|held| same(held, it))) {
            self.create(plan, record).await?;
        }
        for held in last.iter().filter(|held| held.name == plan.name) {
            self.delete(plan, held).await?;
        }
        if !change.gone.iter().any(|held| same(held, marker)) {
            self.create(plan, marker).await?;
        }
        for held in last.iter().filter(|held| held.name != plan.name) {
            self.delete(plan, held).await?;
        }
        Ok(Changed::Taken)
    }

    /// Its tokens have scopes (`domain:read`, `domain:update`), and nothing that is documented tells which.
    async fn lacking(
        &mut self,
        plan: &Plan,
        _: &[RecordType],
    ) -> Result<Option<Lack>, ActionFault> {
        Err(plan.unclear("does not tell what a token may change"))
    }
}

impl DigitalOcean {
    async fn create(
        &mut self,
        plan: &Plan,
        record: &hickory_proto::rr::Record,
    ) -> Result<(), ActionFault> {
        let whole = bare_text(&record.name);
        let zone = bare_text(&plan.zone);
        let name = match whole.strip_suffix(&zone).map(|rest| rest.trim_end_matches('.')) {
            Some("") | None => "@",
            Some(rest) => rest,
        };
        let data = match &record.data {
            RData::TXT(_) => text_of(&record.data),
            RData::SRV(it) => absolute_text(&it.target),
            RData::CAA(_) => match authorization(&record.data) {
                Some((_, _, value)) => format!("{}.", value.trim_end_matches('.')),
                None => return Err(plan.refused("is never sent what cannot be read")),
            },
            _ => written(&record.data),
        };
        let mut body = json!({
            "type": record.record_type().to_string(), "name": name, "data": data, "ttl": record.ttl,
        });
        if let RData::SRV(it) = &record.data {
            for (key, value) in
                [("priority", it.priority), ("weight", it.weight), ("port", it.port)]
            {
                body[key] = value.into();
            }
        }
        if let Some((flags, tag, _)) = authorization(&record.data) {
            (body["flags"], body["tag"]) = (flags.into(), tag.into());
        }
        let body = body.to_string().into_bytes();
        let answer = self.api.call(plan, Method::POST, &records_path(plan), body).await?;
        answer.well(plan).map(|_| ())
    }

    async fn delete(&mut self, plan: &Plan, held: &Held) -> Result<(), ActionFault> {
        let path = format!("{}/{}", records_path(plan), held.id);
        let answer = self.api.call(plan, Method::DELETE, &path, Vec::new()).await?;
        // Somebody else was faster: it is gone, which was wanted.
        if answer.status.as_u16() == 404 {
            return Ok(());
        }
        answer.well(plan).map(|_| ())
    }
}

fn records_path(plan: &Plan) -> String {
    format!("/v2/domains/{}/records", bare_text(&plan.zone))
}
