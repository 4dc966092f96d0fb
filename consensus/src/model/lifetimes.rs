//! How long answers may be kept by whoever asked: shortened before an app is moved by plan and while it is doubted, and
//! lengthened again step by step.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Definition, Driver, Mode, OperationId, StackId};

/// The steps from the shortest lifetime back to the full one; each is four times as long.
pub const SHORTENED_MOST: u8 = 3;
/// What answers are kept for at most once they are shortened as far as can be, in seconds.
pub const SHORTEST: u32 = 5;
/// No planned move waits for longer than this, whatever the lifetimes were.
pub const RUNS_OUT_MOST: Duration = Duration::from_secs(15 * 60);
/// Records that are not seen under the short lifetime by then will not be: a provider takes seconds, its servers a minute.
const SHOWS: Duration = Duration::from_secs(60);
/// And so much later for each name at a provider: the slowest account known (DigitalOcean, 5,000 requests an hour) refills in
/// six seconds what a change that may wait takes, and in three what a look does.
const SHOWS_NAME: Duration = Duration::from_secs(10);

/// What is agreed on the lifetimes of an app's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes {
    /// How far they are shortened: 0, and they are as the definition says.
    pub shortened: u8,
    /// The move that waits until longer ones have run out.
    pub planned: Option<Planned>,
    /// How often `shortened` was another than before: a number that only grows, as copies of a zone need it (RFC 1982).
    pub changes: u32,
}

impl Lifetimes {
    /// The ones that come next, shortened so far and with this move planned.
    #[must_use]
    pub fn next(&self, shortened: u8, planned: Option<Planned>) -> Self {
        let changes = self.changes.saturating_add(u32::from(shortened != self.shortened));
        Self { shortened, planned, changes }
    }
}

/// A switchover that waits until answers of before have run out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// By which command.
    pub id: OperationId,
    /// To which stack.
    pub to: StackId,
    /// Who asked for it.
    pub by: String,
    /// For how long answers of before may be kept once none is given any more.
    pub runs_out: Duration,
}

/// For how many seconds an answer may be kept that would be for `ttl`.
pub const fn kept(ttl: u32, shortened: u8) -> u32 {
    match shortened {
        0 => ttl,
        shortened => {
            let steps = SHORTENED_MOST.saturating_sub(shortened);
            let most = SHORTEST << (2 * steps);
            if ttl < most { ttl } else { most }
        }
    }
}

impl Driver {
    /// The same for a record that it publishes: providers take no lifetime below their own least.
    pub fn kept(&self, ttl: u32, shortened: u8) -> u32 {
        let least = match self {
            Self::BuiltIn | Self::Rfc2136 { .. } => 0,
            Self::Provider { provider, .. } => provider.least(),
        };
        kept(ttl, shortened).max(least).min(ttl)
    }
}

impl Definition {
    /// For how long a planned move waits for answers of before: as long as those that could be shortened are kept at most.
    /// Nothing where none can, in shadow, whose records are nobody's to change, and for a set that elects by itself, which may move
    /// at any time.
    pub fn runs_out(&self) -> Duration {
        if self.mode == Mode::Shadow || self.follows() {
            return Duration::ZERO;
        }
        let records = self.records.iter();
        let longer = records.filter(|it| it.driver.kept(it.ttl, SHORTENED_MOST) < it.ttl);
        let longest = longer.map(|it| it.ttl).max().unwrap_or(0);
        Duration::from_secs(longest.into()).min(RUNS_OUT_MOST)
    }

    /// For how long records may take to be seen under the short lifetime, once that is agreed.
    pub fn shows_within(&self) -> Duration {
        let held = self.records.iter().filter(|it| matches!(it.driver, Driver::Provider { .. }));
        let names: BTreeSet<_> = held.map(|it| (&it.name, &it.driver)).collect();
        SHOWS + SHOWS_NAME * u32::try_from(names.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DataPolicy, Fencing, ProbePolicy, Provider, Record, RecordKind};

    fn at(provider: Provider) -> Driver {
        let (zone, credential) = ("example.com".into(), "dns".parse().expect("a name"));
        Driver::Provider { provider, url: None, zone, zone_id: None, credential }
    }

    #[test]
    fn lifetimes_shrink_to_five_seconds_and_grow_in_three_steps() {
        for (ttl, expected) in [
            (3600, [3600, 80, 20, 5]),
            (60, [60, 60, 20, 5]),
            (30, [30, 30, 20, 5]),
            (3, [3, 3, 3, 3]),
            (0, [0, 0, 0, 0]),
        ] {
            assert_eq!([0, 1, 2, 3].map(|shortened| kept(ttl, shortened)), expected, "{ttl}");
        }
        assert_eq!(kept(3600, 200), 5);
        assert_eq!(at(Provider::Cloudflare).kept(300, SHORTENED_MOST), 60);
        assert_eq!(at(Provider::Cloudflare).kept(30, SHORTENED_MOST), 30);
        assert_eq!(at(Provider::Route53).kept(300, SHORTENED_MOST), 5);
    }

    #[test]
    fn a_planned_move_waits_for_as_many_names_as_there_are_at_providers() {
        let secs = Duration::from_secs;
        let record =
            |name: String, kind, driver| Record { name, kind, ttl: 300, values: [].into(), driver };
        let kinds = [RecordKind::A, RecordKind::Aaaa];
        let names = (0..60).flat_map(|number| {
            kinds.map(|kind| {
                record(format!("n{number}.example.com"), kind, at(Provider::DigitalOcean))
            })
        });
        let own = record("own.example.com".into(), RecordKind::A, Driver::BuiltIn);
        let mut definition = Definition {
            name: "shop".parse().expect("a name"),
            mode: Mode::Automatic,
            cooldown: secs(0),
            regions: 2,
            probe: ProbePolicy { interval: secs(5), timeout: secs(4), window: secs(8) },
            data: DataPolicy {
                max_loss_bytes: 0,
                max_loss_time: None,
                fencing: Fencing::DnsOnly,
                lease: DataPolicy::LEASE,
                sync: 0,
            },
            zones: Vec::new(),
            stacks: Vec::new(),
            records: vec![own],
            following: Vec::new(),
        };
        assert_eq!(definition.shows_within(), secs(60));
        definition.records.extend(names);
        assert_eq!(definition.shows_within(), secs(660));
    }
}
