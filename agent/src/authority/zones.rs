//! Turns the agreed state of all apps into the zones that are served.
//!
//! Pure. A record set is what its app's *active* stack holds; every name above one exists too (RFC 8020); where two apps
//! claim the same, the first by name keeps it and a note says so. Knows nothing of queries, sockets or time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use consensus::model::{AppId, AppState, RecordKind, RecordSet, StackId, Zone as ZoneDefinition};
use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use super::owners::Owners;
use super::sets::{Source, Status, records_of, serial, turns_of};
use crate::records::{absolute, record_type};
use crate::run::Agreed;
use crate::zone_key::{ZoneKey, ZoneKeys};

/// How long a resolver may remember that something is not there, in seconds (PROTOCOL.md D.3: at most 60).
const NEGATIVE_TTL: u32 = 60;
/// How long the apex's own records may be cached, in seconds: they change with the definition only.
const APEX_TTL: u32 = 300;
/// What a secondary is told, in seconds (refresh, retry, expire): RIPE-203 with a quicker pace.
const SECONDARY: (i32, i32, i32) = (300, 60, 604_800);
/// How much a day adds to the version of a signed zone: more than decisions do in the time that two clocks are apart, or
/// one agent's version of today could be another's of yesterday, with other records. Within 89 years of them no step is
/// one back (RFC 1982).
const DAY_STEP: u32 = 1 << 16;

/// What this agent adds to the zones.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    pub(super) status: Status,
    pub(super) keys: Arc<Vec<ZoneKeys>>,
    /// Days since 2026 began. A signed zone has a new version each day, so that copies are signed anew long before their
    /// signatures end.
    pub(super) day: u32,
    /// The apps whose active stack is to act as the one that serves.
    pub(super) online: BTreeSet<AppId>,
}

/// Every zone, ready to be answered from.
#[derive(Clone, Debug, Default)]
pub(super) struct Zones {
    keys: Arc<Vec<ZoneKeys>>,
    /// Of the versions of those that are signed: as in [`Extra`].
    pub(super) day: u32,
    by_apex: HashMap<LowerName, Zone>,
    /// Of names with weights: which of their records is the answer, turn by turn.
    turns: HashMap<LowerName, BTreeMap<RecordType, Arc<[u16]>>>,
    /// What they are made of, in the order of names.
    sources: Vec<Source>,
    pub(super) owners: Arc<Owners>,
    /// What could not be served as it was defined, for the log.
    pub(super) notes: Vec<String>,
}

/// One zone.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    /// As it was defined, to tell two definitions of one zone apart.
    defined: ZoneDefinition,
    /// The start of authority, for the authority section of negative answers.
    pub(super) soa: Record,
    /// What the zone above says of its keys.
    pub(super) delegation: Vec<Record>,
    /// Every name that exists, also those that hold nothing but names below them.
    names: HashMap<LowerName, Arc<Sets>>,
}

/// What a name holds, by type.
pub(super) type Sets = BTreeMap<RecordType, Vec<Record>>;

impl Zones {
    /// The zones of these apps.
    pub(super) fn new(agreed: &Agreed, extra: &Extra) -> Self {
        let sources = Source::all(agreed, &extra.online);
        let serial = serial(&sources);
        let mut zones = Self { keys: extra.keys.clone(), day: extra.day, ..Self::default() };
        for Source { state, .. } in &sources {
            for zone in &state.definition.zones {
                zones.add_zone(state, zone, serial);
            }
        }
        for signed in extra.keys.iter() {
            if let Some(zone) = zones.by_apex.get_mut(&signed.apex) {
                zone.publish(&signed.keys);
            }
        }
        for source in &sources {
            for (name, set) in source.sets(extra.status) {
                zones.add_set(&source.state, &name, &set);
            }
        }
        zones.sources = sources;
        zones
    }

    /// The zones of these apps and the names whose records are others, worked out from those of a moment before: only
    /// what changed is read. `None` where that cannot be, because an app was defined anew or something could not be served.
    pub(super) fn revised(&self, agreed: &Agreed, extra: &Extra) -> Option<(Self, Vec<LowerName>)> {
        let sources = Source::all(agreed, &extra.online);
        let pairs = || self.sources.iter().zip(&sources);
        if sources.len() != self.sources.len()
            || !self.notes.is_empty()
            || !pairs().all(|(old, new)| old.state.definition == new.state.definition)
        {
            return None;
        }
        let (mut zones, mut touched) = (self.clone(), Vec::new());
        for (old, new) in pairs().filter(|(old, new)| !old.is(new)) {
            let sets = old.sets(extra.status).zip(new.sets(extra.status));
            for (_, (name, set)) in sets.filter(|(old, new)| old != new) {
                let owner = absolute(&name)?;
                let records = records_of(&owner, &set)?;
                let owner = LowerName::new(&owner);
                zones.take_turns(&owner, &set);
                let held = zones.zone_at_or_above(&owner)?.names.get_mut(&owner)?;
                Arc::make_mut(held).insert(record_type(set.kind), records);
                touched.push(owner);
            }
        }
        let agreed = serial(&sources);
        zones.day = extra.day;
        if agreed != serial(&self.sources) || zones.day != self.day {
            let version = |apex: &LowerName| zones.version(apex, agreed);
            let versions: Vec<_> =
                zones.by_apex.keys().map(|apex| (apex.clone(), version(apex))).collect();
            for (apex, version) in versions {
                if let Some(zone) = zones.by_apex.get_mut(&apex) {
                    zone.renumber(version);
                }
            }
        }
        zones.sources = sources;
        Some((zones, touched))
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

    /// Every zone, in the order of their apexes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Zone> {
        let mut zones: Vec<_> = self.by_apex.iter().collect();
        zones.sort_by_key(|(apex, _)| *apex);
        zones.into_iter().map(|(_, zone)| zone)
    }

    /// Is any of them signed?
    pub(super) fn any_signed(&self) -> bool {
        !self.keys.is_empty()
    }

    /// What signs this zone, if it is signed.
    pub(super) fn keys_of(&self, zone: &Zone) -> Option<&ZoneKeys> {
        let apex = LowerName::new(&zone.soa.name);
        self.keys.iter().find(|signed| signed.apex == apex)
    }

    /// Is what this zone holds signed?
    pub(super) fn is_signed(&self, zone: &Zone) -> bool {
        self.keys_of(zone).is_some()
    }

    /// The version of the zone of this apex.
    fn version(&self, apex: &LowerName, serial: u32) -> u32 {
        match self.keys.iter().any(|signed| signed.apex == *apex) {
            true => serial.wrapping_add(self.day.wrapping_mul(DAY_STEP)),
            false => serial,
        }
    }

    /// The zone that this one is delegated from, if that is ours too.
    pub(super) fn above(&self, zone: &Zone) -> Option<&Zone> {
        self.zone_of(&LowerName::new(&zone.soa.name).base_name())
    }

    /// The zone of this very apex.
    pub(super) fn zone_at(&self, apex: &LowerName) -> Option<&Zone> {
        self.by_apex.get(apex)
    }

    /// The stack that an app's answers name.
    pub(super) fn active(&self, app: &AppId) -> Option<&StackId> {
        let at = self.sources.binary_search_by(|it| it.state.definition.name.cmp(app)).ok()?;
        Some(&self.sources[at].state.active)
    }

    /// The zone that this name belongs to, to be changed.
    fn zone_at_or_above(&mut self, name: &LowerName) -> Option<&mut Zone> {
        let apex = self.zone_of(name).map(|zone| LowerName::new(&zone.soa.name))?;
        self.by_apex.get_mut(&apex)
    }

    fn take_turns(&mut self, owner: &LowerName, set: &RecordSet) {
        let (kind, turns) = (record_type(set.kind), turns_of(set));
        match turns.is_empty() {
            true => {
                if let Some(kinds) = self.turns.get_mut(owner) {
                    kinds.remove(&kind);
                }
            }
            false => drop(self.turns.entry(owner.clone()).or_default().insert(kind, turns.into())),
        }
    }

    /// Which of a set's records is the answer, turn by turn; `None` where all are. The owner may be a wildcard.
    pub(super) fn order(&self, set: &[Record]) -> Option<Arc<[u16]>> {
        let first = set.first().filter(|_| !self.turns.is_empty())?;
        self.turns.get(&LowerName::new(&first.name))?.get(&first.record_type()).cloned()
    }

    fn add_zone(&mut self, app: &AppState, defined: &ZoneDefinition, serial: u32) {
        let app = &app.definition.name;
        let Some(apex) = absolute(&defined.name) else {
            return self.notes.push(format!("zone `{}` of {app} is no name", defined.name));
        };
        match self.by_apex.get(&LowerName::new(&apex)) {
            Some(zone) if zone.defined == *defined => {}
            Some(_) => self.notes.push(format!(
                "zone `{}` of {app} differs from an earlier app's, which is served",
                defined.name
            )),
            None => match Zone::new(&apex, defined, self.version(&LowerName::new(&apex), serial)) {
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
        let Some(owner) = absolute(name) else {
            return self.notes.push(format!("record `{name}` of {app} is no name"));
        };
        let Some(zone) = self.zone_at_or_above(&LowerName::new(&owner)) else {
            return self.notes.push(format!("record `{name}` of {app} lies in no zone"));
        };
        let Some(records) = records_of(&owner, set) else {
            return self.notes.push(format!("{} `{name}` of {app} cannot be served", set.kind));
        };
        if zone.holds_rival(&LowerName::new(&owner), set.kind) {
            return self.notes.push(format!(
                "{} `{name}` of {app} cannot stand beside what an earlier record holds there",
                set.kind
            ));
        }
        records.into_iter().for_each(|record| zone.put(record));
        let apex = LowerName::new(&zone.soa.name);
        Arc::make_mut(&mut self.owners).note(app, LowerName::new(&owner), apex);
        self.take_turns(&LowerName::new(&owner), set);
    }
}

impl Zone {
    fn new(apex: &Name, defined: &ZoneDefinition, serial: u32) -> Option<Self> {
        let servers: Vec<_> =
            defined.ns.iter().map(|name| absolute(name)).collect::<Option<_>>()?;
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
        let mut zone = Self {
            defined: defined.clone(),
            soa: soa.clone(),
            delegation: Vec::new(),
            names: HashMap::new(),
        };
        zone.put(soa);
        for server in servers {
            zone.put(Record::from_rdata(apex.clone(), APEX_TTL, RData::NS(NS(server))));
        }
        Some(zone)
    }

    fn publish(&mut self, keys: &[ZoneKey]) {
        let apex = self.soa.name.clone();
        for key in keys {
            self.put(key.record(&apex, APEX_TTL));
            self.delegation.extend(key.delegation(&apex, APEX_TTL));
        }
    }

    /// Every name that exists and what it holds, by type.
    pub(super) fn names(&self) -> impl Iterator<Item = (&LowerName, &Arc<Sets>)> {
        self.names.iter()
    }

    /// What a name holds itself.
    pub(super) fn held(&self, name: &LowerName) -> Option<&Arc<Sets>> {
        self.names.get(name)
    }

    /// The same zone, a version on.
    fn renumber(&mut self, serial: u32) {
        if let RData::SOA(start) = &mut self.soa.data {
            start.serial = serial;
        }
        let apex = self.names.entry(LowerName::new(&self.soa.name)).or_default();
        Arc::make_mut(apex).insert(RecordType::SOA, vec![self.soa.clone()]);
    }

    /// Is it one of the zone's own servers?
    pub(super) fn is_server(&self, name: &LowerName) -> bool {
        let servers = self.names.get(&LowerName::new(&self.soa.name));
        let mut servers = servers.and_then(|sets| sets.get(&RecordType::NS)).into_iter().flatten();
        servers.any(|record| matches!(&record.data, RData::NS(server) if LowerName::new(&server.0) == *name))
    }

    /// What is said for a name: what it holds itself, or what the wildcard below the closest name that exists does
    /// (RFC 4592 section 3.3.1).
    pub(super) fn matching(&self, name: &LowerName) -> Option<&Sets> {
        if let Some(sets) = self.names.get(name) {
            return Some(sets);
        }
        let mut above = name.base_name();
        while !self.names.contains_key(&above) {
            if above.is_root() {
                return None;
            }
            above = above.base_name();
        }
        let wildcard = Name::from_labels([b"*".as_slice()]).ok()?.append_domain(&above).ok()?;
        self.names.get(&LowerName::new(&wildcard)).map(Arc::as_ref)
    }

    /// Does the name hold this type already, or one that cannot stand beside it (RFC 1034 section 3.6.2)?
    fn holds_rival(&self, name: &LowerName, kind: RecordKind) -> bool {
        let Some(sets) = self.names.get(name) else { return false };
        match kind {
            RecordKind::Cname => !sets.is_empty(),
            kind => sets.contains_key(&record_type(kind)) || sets.contains_key(&RecordType::CNAME),
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
        let sets = Arc::make_mut(self.names.entry(owner).or_default());
        sets.entry(record.record_type()).or_default().push(record);
    }
}

/// A mail address as a name: its first label is all that stands before the `@`, dots and all (RFC 1035 section 8).
fn mailbox(contact: &str) -> Option<Name> {
    match contact.split_once('@') {
        Some((user, domain)) => absolute(domain)?.prepend_label(user.as_bytes()).ok(),
        None => absolute(contact),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use consensus::model::{
        Damping, DataPolicy, Decision, DecisionKind, Definition, Driver, Epoch, Fencing, Mode,
        Phase, ProbePolicy, Record as RecordDefinition, RecordData, StackId,
    };

    use super::super::sets::stamp;
    use super::*;

    fn zone(ns: &str) -> ZoneDefinition {
        ZoneDefinition {
            name: "shop.example".to_owned(),
            ns: vec![ns.to_owned()],
            contact: "root@shop.example".to_owned(),
        }
    }

    fn record(name: &str, kind: RecordKind, data: RecordData) -> RecordDefinition {
        RecordDefinition {
            name: name.to_owned(),
            kind,
            ttl: 30,
            values: [(stack("east"), vec![data])].into(),
            driver: Driver::BuiltIn,
        }
    }

    fn stack(name: &str) -> StackId {
        name.parse().expect("a name")
    }

    fn address(last: u8) -> RecordData {
        RecordData::Address([192, 0, 2, last].into())
    }

    fn app(name: &str, zones: Vec<ZoneDefinition>, records: Vec<RecordDefinition>) -> AppState {
        let definition = Definition {
            name: name.parse().expect("a name"),
            mode: Mode::Automatic,
            cooldown: Duration::ZERO,
            regions: 2,
            probe: ProbePolicy {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(4),
                window: Duration::from_secs(8),
            },
            data: DataPolicy {
                max_loss_bytes: 0,
                max_loss_time: None,
                fencing: Fencing::DnsOnly,
                lease: DataPolicy::LEASE,
                sync: 0,
            },
            zones,
            stacks: Vec::new(),
            records,
            following: vec![],
        };
        let decision = Decision {
            epoch: Epoch(1),
            kind: DecisionKind::Apply,
            from: stack("east"),
            to: stack("east"),
            by: "a1".parse().expect("a name"),
            reason: String::new(),
            wall_ms: 0,
            attempt: 0,
            candidates: Vec::new(),
            fence: BTreeMap::new(),
            loss_bytes: None,
            loss_time: None,
            first: None,
            second: None,
        };
        AppState {
            guards_since: 1,
            damping: Damping::default(),
            freeze: None,
            definition: Arc::new(definition),
            revision: 1,
            epoch: Epoch(1),
            active: stack("east"),
            phase: Phase::Idle,
            decision,
            claim: None,
            closed: false,
            left: vec![],
            lifetimes: Default::default(),
            sync: Default::default(),
            operations: Vec::new(),
            previous: [0; 32],
        }
    }

    fn holds(zones: &Zones, name: &str, kind: RecordType) -> Vec<String> {
        let name = LowerName::new(&absolute(name).expect("a name"));
        let sets = zones.zone_of(&name).and_then(|zone| zone.matching(&name));
        let records = sets.and_then(|sets| sets.get(&kind));
        records.into_iter().flatten().map(|record| record.data.to_string()).collect()
    }

    #[test]
    fn a_zone_of_two_apps_is_one_and_the_first_by_name_wins() {
        let (a, www) = (RecordKind::A, "www.shop.example");
        let first = app("a", vec![zone("ns1.example.net")], vec![record(www, a, address(1))]);
        let second = app(
            "b",
            vec![zone("ns2.example.net")],
            vec![
                record(www, a, address(2)),
                record(www, RecordKind::Cname, RecordData::Name("x.example".to_owned())),
                record("till.shop.example", a, address(3)),
                record("till.example.org", a, address(4)),
                record("bad.shop.example", RecordKind::Aaaa, address(5)),
            ],
        );
        let apps = vec![Arc::new(second), Arc::new(first)];
        let zones = Zones::new(&Agreed { apps, ..Agreed::default() }, &Extra::default());
        assert_eq!(holds(&zones, www, RecordType::A), ["192.0.2.1"]);
        assert_eq!(holds(&zones, "till.shop.example", RecordType::A), ["192.0.2.3"]);
        assert_eq!(holds(&zones, "shop.example", RecordType::NS), ["ns1.example.net."]);
        assert_eq!(
            zones.notes,
            [
                "zone `shop.example` of b differs from an earlier app's, which is served",
                "A `www.shop.example` of b cannot stand beside what an earlier record holds there",
                "CNAME `www.shop.example` of b cannot stand beside what an earlier record holds \
                 there",
                "record `till.example.org` of b lies in no zone",
                "AAAA `bad.shop.example` of b cannot be served",
            ]
        );
    }

    #[test]
    fn the_serial_grows_on_every_way_through_a_decision() {
        let at = |epoch: u32, (revision, changes): (u64, u32), to: &str, active: &str| {
            let mut state = app("a", Vec::new(), Vec::new());
            (state.epoch, state.revision, state.lifetimes.changes) =
                (Epoch(epoch), revision, changes);
            (state.decision.to, state.active) = (stack(to), stack(active));
            stamp(&state)
        };
        let way = [
            at(1, (1, 0), "east", "east"), // applied
            at(1, (1, 1), "east", "east"), // a move is planned
            at(2, (1, 1), "west", "east"), // fencing, promoting
            at(2, (1, 1), "west", "west"), // publishing, verifying, idle
            at(2, (1, 2), "west", "west"), // lifetimes grow again
            at(3, (1, 2), "east", "west"), // fencing again
            at(4, (1, 2), "west", "west"), // taken back
            at(5, (2, 2), "west", "west"), // applied anew
        ];
        assert!(way.is_sorted_by(|a, b| a < b), "{way:?}");
    }
}
