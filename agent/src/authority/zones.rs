//! Turns the agreed state of all apps into the zones that are served.
//!
//! Pure. A record set is what its app's *active* stack holds; every name above one exists too (RFC 8020); where two apps
//! claim the same, the first by name keeps it and a note says so. Knows nothing of queries, sockets or time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use consensus::model::{
    AppState, Driver, RecordData, RecordKind, RecordSet, Zone as ZoneDefinition,
};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

/// How long a resolver may remember that something is not there, in seconds (PROTOCOL.md D.3: at most 60).
const NEGATIVE_TTL: u32 = 60;
/// How long the apex's own records may be cached, in seconds: they change with the definition only.
const APEX_TTL: u32 = 300;
/// What a secondary is told, in seconds (refresh, retry, expire): there are none yet; RIPE-203 with a quicker pace.
const SECONDARY: (i32, i32, i32) = (300, 60, 604_800);

/// Every zone, ready to be answered from.
#[derive(Debug, Default)]
pub(super) struct Zones {
    by_apex: HashMap<LowerName, Zone>,
    /// What could not be served as it was defined, for the log.
    pub(super) notes: Vec<String>,
}

/// One zone.
#[derive(Debug)]
pub(super) struct Zone {
    /// As it was defined, to tell two definitions of one zone apart.
    defined: ZoneDefinition,
    /// The start of authority, for the authority section of negative answers.
    pub(super) soa: Record,
    /// Every name that exists, also those that hold nothing but names below them.
    names: HashMap<LowerName, BTreeMap<RecordType, Vec<Record>>>,
}

impl Zones {
    /// The zones of these apps.
    pub(super) fn new(apps: &[Arc<AppState>]) -> Self {
        let mut apps: Vec<_> = apps.iter().collect();
        apps.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
        let serial = apps.iter().map(|app| stamp(app)).fold(0, u64::wrapping_add) as u32;

        let mut zones = Self::default();
        for app in &apps {
            for zone in &app.definition.zones {
                zones.add_zone(app, zone, serial);
            }
        }
        for app in &apps {
            for (name, set) in built_in(app) {
                zones.add_set(app, name, &set);
            }
        }
        zones
    }

    /// The zone that this name belongs to: the deepest one.
    pub(super) fn zone_of(&self, name: &LowerName) -> Option<&Zone> {
        let mut above = name.clone();
        loop {
            if let Some(zone) = self.by_apex.get(&above) {
                return Some(zone);
            }
            if above.is_root() {
                return None;
            }
            above = above.base_name();
        }
    }

    fn add_zone(&mut self, app: &AppState, defined: &ZoneDefinition, serial: u32) {
        let app = &app.definition.name;
        let Some(apex) = parse(&defined.name) else {
            return self.notes.push(format!("zone `{}` of {app} is no name", defined.name));
        };
        match self.by_apex.get(&LowerName::new(&apex)) {
            Some(zone) if zone.defined == *defined => {}
            Some(_) => self.notes.push(format!(
                "zone `{}` of {app} differs from an earlier app's, which is served",
                defined.name
            )),
            None => match Zone::new(&apex, defined, serial) {
                Some(zone) => drop(self.by_apex.insert(LowerName::new(&apex), zone)),
                None => self.notes.push(format!(
                    "zone `{}` of {app} has no usable server or contact",
                    defined.name
                )),
            },
        }
    }

    fn add_set(&mut self, app: &AppState, name: &str, set: &RecordSet) {
        let app = &app.definition.name;
        let Some(owner) = parse(name) else {
            return self.notes.push(format!("record `{name}` of {app} is no name"));
        };
        let apex = self.zone_of(&LowerName::new(&owner)).map(|zone| LowerName::new(&zone.soa.name));
        let Some(zone) = apex.and_then(|apex| self.by_apex.get_mut(&apex)) else {
            return self.notes.push(format!("record `{name}` of {app} lies in no zone"));
        };
        let records: Vec<_> = set
            .data
            .iter()
            .filter_map(|data| rdata(set.kind, data))
            .map(|data| Record::from_rdata(owner.clone(), set.ttl, data))
            .collect();
        if records.len() < set.data.len() || records.is_empty() {
            return self.notes.push(format!("{} `{name}` of {app} cannot be served", set.kind));
        }
        if zone.holds_rival(&LowerName::new(&owner), set.kind) {
            return self.notes.push(format!(
                "{} `{name}` of {app} cannot stand beside what an earlier record holds there",
                set.kind
            ));
        }
        records.into_iter().for_each(|record| zone.put(record));
    }
}

impl Zone {
    fn new(apex: &Name, defined: &ZoneDefinition, serial: u32) -> Option<Self> {
        let servers: Vec<_> = defined.ns.iter().map(|name| parse(name)).collect::<Option<_>>()?;
        let (refresh, retry, expire) = SECONDARY;
        let start = SOA::new(
            servers.first()?.clone(),
            mailbox(&defined.contact)?,
            serial,
            refresh,
            retry,
            expire,
            NEGATIVE_TTL,
        );
        let soa = Record::from_rdata(apex.clone(), NEGATIVE_TTL, RData::SOA(start));
        let mut zone = Self { defined: defined.clone(), soa: soa.clone(), names: HashMap::new() };
        zone.put(soa);
        for server in servers {
            zone.put(Record::from_rdata(apex.clone(), APEX_TTL, RData::NS(NS(server))));
        }
        Some(zone)
    }

    /// What a name holds, by type; `None` if there is no such name.
    pub(super) fn sets(&self, name: &LowerName) -> Option<&BTreeMap<RecordType, Vec<Record>>> {
        self.names.get(name)
    }

    /// Does the name hold this type already, or one that cannot stand beside it (RFC 1034 section 3.6.2)?
    fn holds_rival(&self, name: &LowerName, kind: RecordKind) -> bool {
        let Some(sets) = self.names.get(name) else { return false };
        match kind {
            RecordKind::Cname => !sets.is_empty(),
            RecordKind::A | RecordKind::Aaaa | RecordKind::Txt => {
                sets.contains_key(&record_type(kind)) || sets.contains_key(&RecordType::CNAME)
            }
        }
    }

    fn put(&mut self, record: Record) {
        let apex = LowerName::new(&self.soa.name);
        let owner = LowerName::new(&record.name);
        let mut above = owner.clone();
        while above != apex {
            above = above.base_name();
            self.names.entry(above.clone()).or_default();
        }
        let sets = self.names.entry(owner).or_default();
        sets.entry(record.record_type()).or_default().push(record);
    }
}

/// What an app adds to every serial: grows with each decision, each definition, and the move of the answers within a decision.
fn stamp(app: &AppState) -> u64 {
    let moved = u64::from(app.active == app.decision.to);
    2 * u64::from(app.epoch.0) + moved + 2 * app.revision
}

/// The record sets of the active stack that the mesh answers itself.
fn built_in(app: &AppState) -> impl Iterator<Item = (&str, RecordSet)> {
    let records = app.definition.records.iter();
    records.filter(|record| record.driver == Driver::BuiltIn).map(|record| {
        let data = record.values.get(&app.active).cloned().unwrap_or_default();
        (record.name.as_str(), RecordSet { kind: record.kind, ttl: record.ttl, data })
    })
}

fn parse(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.')))
        .ok()
        .map(|name| name.to_lowercase())
}

/// A mail address as a name: its first label is all that stands before the `@`, dots and all (RFC 1035 section 8).
fn mailbox(contact: &str) -> Option<Name> {
    match contact.split_once('@') {
        Some((user, domain)) => parse(domain)?.prepend_label(user.as_bytes()).ok(),
        None => parse(contact),
    }
}

fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Cname => RecordType::CNAME,
        RecordKind::Txt => RecordType::TXT,
    }
}

fn rdata(kind: RecordKind, data: &RecordData) -> Option<RData> {
    Some(match (kind, data) {
        (RecordKind::A, RecordData::Address(IpAddr::V4(address))) => RData::A(A(*address)),
        (RecordKind::Aaaa, RecordData::Address(IpAddr::V6(address))) => RData::AAAA(AAAA(*address)),
        (RecordKind::Cname, RecordData::Name(name)) => RData::CNAME(CNAME(parse(name)?)),
        (RecordKind::Txt, RecordData::Text(text)) if text.len() <= 255 => {
            RData::TXT(TXT::new(vec![text.clone()]))
        }
        _ => return None,
    })
}
