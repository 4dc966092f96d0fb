//! What one app puts into the zones: the record sets of its active stack, without what is not handed out.
//!
//! Pure. A value is left out if it is the address or the name of endpoints that are all left out, or of databases where no
//! endpoint has it; values that stand for no target always stay. A set that nothing would be left of keeps all it has: that
//! everything looks down may be the looker's fault, and an empty answer helps nobody. The readers of a database are sent to its
//! primary instead, unless the looker hears no majority.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use consensus::model::{
    AppId, AppState, Driver, Record as RecordDefinition, RecordData, RecordKind, RecordSet, Stack,
    TargetName, kept,
};
use consensus::node::Handing;
use hickory_proto::rr::{Name, Record};

use crate::records::rdata;
use crate::run::Agreed;

/// How long what `_status` tells may be cached, in seconds.
const STATUS_TTL: u32 = 5;

/// The numbers of a binding's parameters (RFC 9460 section 14.3.2): `mandatory`, and `ipv4hint` with `ipv6hint`, each with the
/// octets of an address.
const MANDATORY: u16 = 0;
const HINTS: [(u16, usize); 2] = [(4, 4), (6, 16)];

/// Does `_status.<app>` in each zone of an app tell what is decided?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    Told,
    #[default]
    Untold,
}

/// An app, and what is handed out of it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) state: Arc<AppState>,
    handing: Arc<Handing>,
    /// Is its stack to act as the one that serves?
    online: bool,
    /// Is a majority of voters heard, so that who is left out is left out by its word?
    heard: bool,
}

impl Source {
    /// Every app, in the order of names; of these the stack is online.
    pub(super) fn all(agreed: &Agreed, online: &BTreeSet<AppId>) -> Vec<Self> {
        let source = |(state, handing): (Arc<AppState>, Arc<Handing>)| {
            let online = online.contains(&state.definition.name);
            Self { state, handing, online, heard: agreed.heard }
        };
        let mut all: Vec<_> = agreed.apps().map(source).collect();
        all.sort_by(|a, b| a.state.definition.name.cmp(&b.state.definition.name));
        all
    }

    /// The very same?
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
            && self.handing == other.handing
            && self.online == other.online
            // It matters where something is left out.
            && (self.heard == other.heard || self.handing.left_out.is_empty())
    }

    /// Every record set that is served, in an order that the definition gives.
    pub(super) fn sets(&self, status: Status) -> impl Iterator<Item = (Cow<'_, str>, RecordSet)> {
        let records = self.state.definition.records.iter();
        let own = records.filter(|record| record.driver == Driver::BuiltIn).map(|record| {
            let data = self.handed(record);
            let ttl = self.lifetime(record.ttl);
            (Cow::Borrowed(record.name.as_str()), RecordSet { kind: record.kind, ttl, data })
        });
        let told = (status == Status::Told).then(|| status_of(&self.state, self.online));
        own.chain(told.into_iter().flatten().map(|(name, set)| (Cow::Owned(name), set)))
    }

    fn handed(&self, record: &RecordDefinition) -> Vec<RecordData> {
        let all = record.values.get(&self.state.active).cloned().unwrap_or_default();
        if self.handing.left_out.is_empty() {
            return all;
        }
        let read = self.read_by(record);
        let gone = |data: &&RecordData| match read {
            Some(database) => self.is_database_left_out(database, record.kind, data),
            None => self.is_left_out(data),
        };
        let mut kept: Vec<RecordData> = Vec::new();
        for data in all.iter().filter(|data| !gone(data)) {
            match self.without_hints(data) {
                // Bindings that differed in nothing but such hints.
                Some(bare) if kept.contains(&bare) => {}
                Some(bare) => kept.push(bare),
                None => kept.push(data.clone()),
            }
        }
        let active = self.state.definition.stack(&self.state.active);
        let primary = || at(active?, read.filter(|_| self.heard)?, record.kind);
        match kept.is_empty() {
            true => primary().map_or(all, |primary| vec![primary]),
            false => kept,
        }
    }

    /// The database whose readers are led by this record: in every stack it holds where the others' databases of that name are
    /// (`ro` in app files).
    fn read_by(&self, record: &RecordDefinition) -> Option<&TargetName> {
        let stacks = &self.state.definition.stacks;
        let active = self.state.definition.stack(&self.state.active)?;
        active.databases.iter().map(|database| &database.name).find(|database| {
            stacks.iter().all(|stack| {
                let others = stacks.iter().filter(|other| other.name != stack.name);
                let mut replicas: Vec<RecordData> = Vec::new();
                for data in others.filter_map(|other| at(other, database, record.kind)) {
                    if !replicas.contains(&data) {
                        replicas.push(data);
                    }
                }
                !replicas.is_empty() && record.values.get(&stack.name) == Some(&replicas)
            })
        })
    }

    /// Is every database of this name at this place left out?
    fn is_database_left_out(&self, name: &TargetName, kind: RecordKind, data: &RecordData) -> bool {
        let stacks = self.state.definition.stacks.iter();
        let mut there = stacks.filter(|stack| at(stack, name, kind).as_ref() == Some(data));
        there.all(|stack| self.handing.left_out.contains(&(stack.name.clone(), name.clone())))
    }

    fn is_left_out(&self, data: &RecordData) -> bool {
        let here = |host: &str| match data {
            RecordData::Address(address) => host.parse() == Ok(*address),
            RecordData::Name(name)
            | RecordData::Service { target: name, .. }
            | RecordData::Binding { target: name, .. } => host.eq_ignore_ascii_case(name),
            RecordData::Text(_) | RecordData::Authorization { .. } => false,
        };
        let out = |stack: &Stack, name: &TargetName| {
            self.handing.left_out.contains(&(stack.name.clone(), name.clone()))
        };
        let stacks = || self.state.definition.stacks.iter();
        let endpoints =
            stacks().flat_map(|stack| stack.endpoints.iter().map(move |it| (stack, it)));
        let databases =
            stacks().flat_map(|stack| stack.databases.iter().map(move |it| (stack, it)));
        let mut of_web = endpoints.filter(|(_, it)| here(&it.address)).peekable();
        let mut of_data = databases.filter(|(_, it)| here(&it.address)).peekable();
        match (of_web.peek().is_some(), of_data.peek().is_some()) {
            (true, _) => of_web.all(|(stack, it)| out(stack, &it.name)),
            (false, true) => of_data.all(|(stack, it)| out(stack, &it.name)),
            (false, false) => false,
        }
    }

    /// A binding without the addresses that it hints at and that are left out; `None` of what hints at nothing. A hint may always
    /// go (RFC 9460 section 7.3), but for the last of those that the binding itself says are mandatory (section 8).
    fn without_hints(&self, data: &RecordData) -> Option<RecordData> {
        let RecordData::Binding { priority, target, parameters } = data else { return None };
        let mut parameters = parameters.clone();
        let mandatory = parameters.get(&MANDATORY).cloned().unwrap_or_default();
        for (key, width) in HINTS {
            let Some(hints) = parameters.get_mut(&key) else { continue };
            let stays = |hint: &&[u8]| {
                address_of(hint).is_none_or(|it| !self.is_left_out(&RecordData::Address(it)))
            };
            let kept = hints.chunks(width).filter(stays).collect::<Vec<_>>().concat();
            match (kept.is_empty(), mandatory.chunks(2).any(|it| it == key.to_be_bytes())) {
                (false, _) => *hints = kept,
                (true, false) => drop(parameters.remove(&key)),
                (true, true) => {}
            }
        }
        Some(RecordData::Binding { priority: *priority, target: target.clone(), parameters })
    }

    /// As short as is agreed, or as this agent makes it because of what it sees.
    fn lifetime(&self, ttl: u32) -> u32 {
        kept(ttl, self.handing.shortened.max(self.state.lifetimes.shortened))
    }
}

/// An address as it is sent.
fn address_of(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(octets).ok().map(IpAddr::from))
}

/// Where a stack's database of this name is, as a record of this kind says it.
fn at(stack: &Stack, name: &TargetName, kind: RecordKind) -> Option<RecordData> {
    let host = &stack.databases.iter().find(|database| database.name == *name)?.address;
    match (kind, host.parse()) {
        (RecordKind::A, Ok(address @ IpAddr::V4(_))) => Some(RecordData::Address(address)),
        (RecordKind::Aaaa, Ok(address @ IpAddr::V6(_))) => Some(RecordData::Address(address)),
        (RecordKind::Cname, Err(_)) => Some(RecordData::Name(host.to_ascii_lowercase())),
        _ => None,
    }
}

/// The version of all zones: grows with each decision, each definition, the move of the answers within a decision and each
/// change of their agreed lifetimes, of any app. What is handed out changes it not: agents differ in that for moments.
pub(super) fn serial(sources: &[Source]) -> u32 {
    sources.iter().map(|it| stamp(&it.state)).fold(0, u64::wrapping_add) as u32
}

/// What an app adds to every serial.
pub(super) fn stamp(app: &AppState) -> u64 {
    let moved = u64::from(app.active == app.decision.to);
    2 * u64::from(app.epoch.0) + moved + 2 * app.revision + u64::from(app.lifetimes.changes)
}

/// The records of a set, each once; `None` if one of them cannot be served, or there is none.
pub(super) fn records_of(owner: &Name, set: &RecordSet) -> Option<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    for data in distinct(&set.data) {
        records.push(Record::from_rdata(owner.clone(), set.ttl, rdata(set.kind, data)?));
    }
    (!records.is_empty()).then_some(records)
}

/// Which of a set's records is the answer, turn by turn; empty where all of them are each time.
pub(super) fn turns_of(set: &RecordSet) -> Vec<u16> {
    let distinct = distinct(&set.data);
    if distinct.len() == set.data.len() || distinct.len() < 2 {
        return Vec::new();
    }
    let place = |data| distinct.iter().position(|it| *it == data);
    set.data.iter().filter_map(place).filter_map(|at| u16::try_from(at).ok()).collect()
}

fn distinct(data: &[RecordData]) -> Vec<&RecordData> {
    let mut found: Vec<&RecordData> = Vec::new();
    for datum in data {
        if !found.contains(&datum) {
            found.push(datum);
        }
    }
    found
}

/// What is decided about the app, and whether the stack it names is to act by it.
fn status_of(app: &AppState, online: bool) -> impl Iterator<Item = (String, RecordSet)> {
    let name = &app.definition.name;
    let text = format!(
        "app={name} active={} state={} epoch={} since={}",
        app.active,
        if online { "online" } else { "offline" },
        app.epoch.0,
        app.decision.wall_ms / 1000
    );
    app.definition.zones.iter().map(move |zone| {
        let data = vec![RecordData::Text(text.clone())];
        (
            format!("_status.{name}.{}", zone.name),
            RecordSet { kind: RecordKind::Txt, ttl: STATUS_TTL, data },
        )
    })
}
