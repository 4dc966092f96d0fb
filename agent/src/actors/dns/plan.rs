//! What a name is to hold, and whether what it holds may be written over.
//!
//! Pure: every driver reads, asks here, and only then writes.

use consensus::model::{ActionFault, ActionFaultKind, Done, Driver, Held, RecordSet};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Order;
use super::marker::Marker;
use super::provider::holder;
use super::update::owned;
use crate::actors::attempt::fault;
use crate::records::{absolute, rdata};

/// The names and records of an order, parsed.
#[derive(Clone)]
pub(super) struct Plan {
    /// Who holds the zone, as people are told: "DNS server `192.0.2.53:53`".
    pub(super) holder: String,
    pub(super) zone: Name,
    pub(super) name: Name,
    pub(super) marker_name: Name,
    pub(super) marker: Marker,
    pub(super) records: Vec<Record>,
    /// The shortest lifetime that the holder takes, in seconds.
    pub(super) least: u32,
}

impl Plan {
    /// What `driver` is to make of an order.
    pub(super) fn new(order: &Order<'_>, driver: &Driver) -> Result<Self, ActionFault> {
        match driver {
            Driver::BuiltIn => Err(fault(
                ActionFaultKind::Refused,
                "the built-in server needs no action: the decision is its answer",
            )),
            Driver::Rfc2136 { server, zone, .. } => {
                Self::at(order, zone, format!("DNS server `{server}`"), 0)
            }
            Driver::Provider { provider, zone, .. } => {
                Self::at(order, zone, holder(*provider).to_owned(), provider.least())
            }
        }
    }

    /// The same in a zone that this holder has, who takes no lifetime below `least` seconds.
    pub(super) fn at(
        order: &Order<'_>,
        zone: &str,
        holder: String,
        least: u32,
    ) -> Result<Self, ActionFault> {
        let refused = |why: String| fault(ActionFaultKind::Refused, why);
        let no_name = |name: &str| refused(format!("`{name}` is no DNS name"));
        let name = absolute(order.name).ok_or_else(|| no_name(order.name))?;
        let zone_name = absolute(zone).ok_or_else(|| no_name(zone))?;
        if !zone_name.zone_of(&name) {
            return Err(refused(format!("`{}` does not lie in zone `{zone}`", order.name)));
        }
        let marker_name = name
            .prepend_label("_quorate")
            .map_err(|_| refused(format!("`{}` is too long for a marker below it", order.name)))?;
        let mut records = Vec::new();
        for set in order.sets {
            let found = records_of(&name, set, least).filter(|found| !found.is_empty());
            records.extend(found.ok_or_else(|| {
                refused(format!("the {} set of `{}` is empty or mistyped", set.kind, order.name))
            })?);
        }
        if records.is_empty() {
            return Err(refused(format!("no records for `{}`; none are never sent", order.name)));
        }
        let marker =
            Marker { app: order.app.clone(), token: order.token, stack: order.stack.clone() };
        Ok(Self { holder, zone: zone_name, name, marker_name, marker, records, least })
    }

    pub(super) fn is_alias(&self) -> bool {
        self.records.iter().any(|record| record.record_type() == RecordType::CNAME)
    }

    /// May we write over what is there? Gives the newest of the markers found: where one is written before another goes, a
    /// change that was interrupted leaves both.
    pub(super) fn compare(&self, found: &[Record]) -> Result<Option<Marker>, ActionFault> {
        let mut newest: Option<Marker> = None;
        for record in found {
            let text = text_of(&record.data);
            let marker = Marker::parse(&text).ok_or_else(|| {
                self.refused(format!(
                    "holds `{text}` at `{}`, which no quorate agent wrote",
                    self.marker_name
                ))
            })?;
            if marker.app != self.marker.app {
                return Err(self.refused(format!(
                    "holds `{}` for app {}; remove `{}` if that is over",
                    self.name, marker.app, self.marker_name
                )));
            }
            newest = newest.filter(|it| marker.token <= it.token).or(Some(marker));
        }
        match newest {
            Some(held) if self.marker.token < held.token => Err(fault(
                ActionFaultKind::Superseded,
                format!(
                    "`{}` carries the newer token {}, of stack {}",
                    self.marker_name, held.token, held.stack
                ),
            )),
            newest => Ok(newest),
        }
    }

    /// Is our marker there, and no other beside it? A fault if what is there may not be written over.
    pub(super) fn is_marked(&self, found: &[Record]) -> Result<bool, ActionFault> {
        Ok(self.compare(found)?.as_ref() == Some(&self.marker) && found.len() == 1)
    }

    /// Are these exactly our records, of every type that is ours to replace?
    pub(super) fn matches(&self, held: &[Record]) -> bool {
        owned(&self.records)
            .into_iter()
            .all(|kind| sorted(held, kind) == sorted(&self.records, kind))
    }

    /// What stands in the place of our records, in words; nothing if they are there, of whatever lifetime.
    fn differs(&self, held: &[Record]) -> Option<String> {
        let (found, ours) = Self::difference(&self.records, held)?;
        Some(format!("holds {found}, decided was {ours}"))
    }

    /// What is held of the types that `ours` own and what should be, in words, where they differ.
    pub(super) fn difference(ours: &[Record], held: &[Record]) -> Option<(String, String)> {
        let words = |records: &[Record]| {
            let of = |kind| sorted(records, kind).into_iter().map(|(_, data)| data);
            let mut all: Vec<String> = owned(ours).into_iter().flat_map(of).collect();
            all.sort();
            all.dedup();
            if all.is_empty() { "nothing".to_owned() } else { all.join(" ") }
        };
        let (found, ours) = (words(held), words(ours));
        (found != ours).then_some((found, ours))
    }

    /// What is held, with the marker beside it: as decided, or what stands there in its place.
    pub(super) fn judge(&self, held: &[Record], marker: &[Record]) -> Result<Held, ActionFault> {
        let newest = self.compare(marker)?;
        let differs = self.differs(held);
        Ok(match newest {
            Some(newest) if newest != self.marker => Held::Owed(
                differs.unwrap_or_else(|| format!("carries the older token {}", newest.token)),
            ),
            None => Held::Owed(differs.unwrap_or_else(|| "carries no token".to_owned())),
            Some(_) if 1 < marker.len() => {
                Held::Owed(differs.unwrap_or_else(|| "carries another marker, too".to_owned()))
            }
            Some(_) => match differs {
                Some(words) => Held::Otherwise(words),
                None if self.matches(held) => Held::AsDecided,
                None => Held::Otherwise("holds it under another lifetime".to_owned()),
            },
        })
    }

    pub(super) fn done(&self, what: &str) -> Done {
        let records: Vec<_> = self.records.iter().map(|record| record.data.to_string()).collect();
        let text = format!("{what}: {} {}", self.name, records.join(" "));
        Done { proven: true, position: None, text }
    }

    /// The holder will say the same again.
    pub(super) fn refused(&self, what: impl std::fmt::Display) -> ActionFault {
        fault(ActionFaultKind::Refused, format!("{} {what}", self.holder))
    }

    /// Another try may end differently, or this one may have had its effect.
    pub(super) fn unclear(&self, what: impl std::fmt::Display) -> ActionFault {
        fault(ActionFaultKind::Unknown, format!("{} {what}", self.holder))
    }
}

fn records_of(name: &Name, set: &RecordSet, least: u32) -> Option<Vec<Record>> {
    // A definition that was agreed before app files were held to it may ask for less.
    let ttl = set.ttl.max(least);
    set.data
        .iter()
        .map(|data| Some(Record::from_rdata(name.clone(), ttl, rdata(set.kind, data)?)))
        .collect()
}

/// The records of one type as they compare: by lifetime and data, in no particular order, each once.
pub(super) fn sorted(records: &[Record], kind: RecordType) -> Vec<(u32, String)> {
    let data = |data: &RData| match data {
        RData::CNAME(alias) => alias.0.to_lowercase().to_ascii(),
        other => other.to_string(),
    };
    let ours = records.iter().filter(|record| record.record_type() == kind);
    let mut found: Vec<_> = ours.map(|record| (record.ttl, data(&record.data))).collect();
    found.sort();
    found.dedup();
    found
}

/// All strings of a text record as one.
pub(super) fn text_of(data: &RData) -> String {
    match data {
        RData::TXT(text) => {
            text.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()
        }
        _ => String::new(),
    }
}
