//! The sync set: the replicas that are agreed to hold whatever their primary acknowledged (PROTOCOL.md C.5).
//!
//! Whom a primary waits for is its own setting; on whom a promotion without loss may rely is agreed. What is agreed must never
//! be more than what the primary waits for (Patroni's `/sync` keeps the same order): who is added is waited for first and
//! agreed second, who is taken away is agreed to be so first. Requests come late, twice and from several agents, so the
//! setting names the version of the agreed set that it rests on, and compares: within one version it only grows, and only
//! what rests on a newer one takes anything away. Then whoever was once seen to be waited for, under the version that is
//! agreed, still is, however old that look. Nothing rests on version 0, under which a setting may be anybody's.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AppId, AppState, DatabaseSight, Definition, Mode, StackId, TargetName};

/// The most replicas that a primary may be made to wait for.
pub const SYNC_MOST: u8 = 8;

/// No version is higher than what a setting said by so much: versions count changes, and nobody comes near.
pub const SYNC_VERSION_MOST: u64 = 1 << 48;
/// PostgreSQL keeps less than so much of a name that a replica goes by (`NAMEDATALEN`), in bytes.
pub const SYNC_NAME_MOST: usize = 64;

/// The replicas on which a promotion without loss may rely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSet {
    /// Counts its changes; only grows.
    pub version: u64,
    /// By name of the database: the stacks, and the name under which the primary knows the replica there.
    pub relied: BTreeMap<TargetName, BTreeMap<StackId, String>>,
}

impl SyncSet {
    /// Is this stack's replica relied on?
    pub fn holds(&self, database: &TargetName, stack: &StackId) -> bool {
        self.of(database).any(|(of, _)| of == stack)
    }

    /// The replicas of a database that are relied on.
    pub fn of(&self, database: &TargetName) -> impl Iterator<Item = (&StackId, &String)> {
        self.relied.get(database).into_iter().flatten()
    }

    /// The next one.
    #[must_use]
    pub fn next(&self, relied: BTreeMap<TargetName, BTreeMap<StackId, String>>) -> Self {
        Self { version: self.version.saturating_add(1), relied }
    }

    /// Those who are relied on here and were not before.
    pub fn beyond(&self, before: &Self) -> Vec<(&TargetName, &StackId, &String)> {
        let all = self.relied.iter().flat_map(|(database, replicas)| {
            replicas.iter().map(move |(stack, name)| (database, stack, name))
        });
        let held = |database, stack, name: &String| {
            before.of(database).any(|(of, known)| (of, known) == (stack, name))
        };
        all.filter(|(database, stack, name)| !held(database, stack, name)).collect()
    }

    /// What of it holds in a state that follows: nothing, once other databases may be the primaries.
    pub fn carried(&self, before: &AppState, next: &AppState) -> Self {
        let kept = |it: &Definition| it.data.sync > 0 && it.mode != Mode::Shadow;
        let alike = before.active == next.active
            && kept(&before.definition) == kept(&next.definition)
            && before.definition.databases_alike(&next.definition);
        let unused = *self == Self::default() && !kept(&next.definition);
        match alike || unused {
            true => self.clone(),
            false => self.next(BTreeMap::new()),
        }
    }
}

/// Whom a primary is set to wait for, and on which version of which app's agreed set that rests.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waits {
    /// The app; none if it is not the mesh's.
    pub app: Option<AppId>,
    /// The version.
    pub version: u64,
    /// The names of the replicas that must have a write before it is acknowledged.
    pub names: BTreeSet<String>,
}

/// Why a setting is not changed as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// It is another app's: two on one server would take each other's replicas away.
    ForAnother(AppId),
    /// It rests on something newer.
    Newer(u64),
}

impl fmt::Display for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForAnother(app) => write!(f, "is kept for app `{app}`"),
            Self::Newer(version) => write!(f, "rests on sync set {version}"),
        }
    }
}

impl Waits {
    /// What marks app and version among the names of a primary's setting: no replica bears such a name.
    const MARK: &'static str = "quorate:sync:";
    /// What stands among the names that a primary tells once it goes by its setting: no setting holds it.
    pub const SETTLED: &'static str = "quorate:sync:settled";

    /// What the setting is to be when `asked` arrives: within one version it only grows.
    ///
    /// # Errors
    /// [`Unchanged`]: it is kept for another app, whatever the version, or rests on a newer one.
    pub fn taking(&self, asked: &Self) -> Result<Self, Unchanged> {
        if let Some(other) = self.app.as_ref().filter(|app| asked.app.as_ref() != Some(app)) {
            return Err(Unchanged::ForAnother(other.clone()));
        }
        match self.version.cmp(&asked.version) {
            Ordering::Greater => Err(Unchanged::Newer(self.version)),
            Ordering::Equal => {
                let names = self.names.union(&asked.names).cloned().collect();
                Ok(Self { names, ..asked.clone() })
            }
            Ordering::Less => Ok(asked.clone()),
        }
    }

    /// Is this one waited for, under this very version? Under none, a setting is not the mesh's.
    pub fn bears_out(&self, version: u64, name: &str) -> bool {
        0 < version && self.version == version && self.names.contains(name)
    }

    /// The mark of its app and version, if it bears one.
    pub fn mark(&self) -> Option<String> {
        let app = self.app.as_ref()?;
        Some(format!("{}{app}:{}", Self::MARK, self.version))
    }

    /// The app and the version that a name marks, if it does.
    pub fn marked(name: &str) -> Option<(AppId, u64)> {
        let (app, digits) = name.strip_prefix(Self::MARK)?.rsplit_once(':')?;
        let version = digits.parse().ok().filter(|it| (1..=SYNC_VERSION_MOST).contains(it))?;
        // As it is written, and no other way: a sign or a leading zero is nobody's mark.
        (digits == u64::to_string(&version)).then_some((app.parse().ok()?, version))
    }

    /// Can a replica of this name be waited for, and no other with it? A primary takes `*` for everybody, knows by its own
    /// letters what is not printable ASCII, and calls `walreceiver` whatever was given no name.
    pub fn may_name(name: &str) -> bool {
        (1..SYNC_NAME_MOST).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\')
            && !matches!(name, "*" | "walreceiver")
            && !name.starts_with(Self::MARK)
    }

    /// Out of the names of a setting, the mark among them; without one it rests on nothing.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        let mut waits = Self::default();
        for name in names.into_iter().filter(|name| *name != Self::SETTLED) {
            match Self::marked(name) {
                Some((app, version)) if waits.version < version => {
                    (waits.app, waits.version) = (Some(app), version);
                }
                Some(_) => {}
                None => _ = waits.names.insert(name.clone()),
            }
        }
        waits
    }

    /// Whom a primary is set to wait for, by what it said; for nobody, as far as this app goes, if it does so for another's.
    pub fn seen(primary: &DatabaseSight, by: &AppId) -> Self {
        let waits = Self::named(&primary.synchronous);
        let foreign = waits.app.as_ref().is_some_and(|app| app != by);
        if foreign { Self::default() } else { waits }
    }

    /// And does it go by that?
    pub fn settled(primary: &DatabaseSight) -> bool {
        primary.synchronous.iter().any(|name| name == Self::SETTLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(version: u64, names: &[&str]) -> Waits {
        let app = (0 < version).then(|| "shop".parse().unwrap());
        Waits { app, version, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn a_setting_grows_within_a_version_and_shrinks_by_a_newer_one_alone() {
        let held = waits(2, &["b"]);
        for (asked, expected) in [
            (waits(2, &["c"]), Ok(waits(2, &["b", "c"]))),
            (waits(2, &[]), Ok(waits(2, &["b"]))),
            (waits(3, &[]), Ok(waits(3, &[]))),
            (waits(3, &["c"]), Ok(waits(3, &["c"]))),
            (waits(1, &["b", "c"]), Err(Unchanged::Newer(2))),
        ] {
            assert_eq!(held.taking(&asked), expected, "{asked:?}");
        }
        let till: AppId = "till".parse().unwrap();
        let other = Waits { app: Some(till), ..waits(9, &["c"]) };
        assert_eq!(held.taking(&other), Err(Unchanged::ForAnother("shop".parse().unwrap())));
    }

    #[test]
    fn a_mark_is_told_from_the_names() {
        let held = waits(7, &["b", "quorate"]);
        let setting: Vec<String> = held.names.iter().cloned().chain(held.mark()).collect();
        assert_eq!(Waits::named(&setting), held);
        assert_eq!(Waits::named(&["quorate:sync:x".to_owned()]), waits(0, &["quorate:sync:x"]));
        let most = SYNC_VERSION_MOST;
        for (mark, version) in [
            (format!("quorate:sync:shop:{most}"), Some(most)),
            (format!("quorate:sync:shop:{}", most + 1), None),
            ("quorate:sync:shop:0".to_owned(), None),
            ("quorate:sync:shop:+5".to_owned(), None),
            ("quorate:sync:shop:05".to_owned(), None),
            ("quorate:sync:Shop!:5".to_owned(), None),
            ("quorate:sync:5".to_owned(), None),
        ] {
            let expected = version.map(|version| ("shop".parse().unwrap(), version));
            assert_eq!(Waits::marked(&mark), expected, "{mark}");
        }
    }

    #[test]
    fn who_could_be_taken_for_another_is_not_waited_for() {
        let long = "x".repeat(SYNC_NAME_MOST);
        let unfit = ["", "*", "walreceiver", "quorate:sync:a:9", "b\n", "b\u{fc}ro", "b\\", &long];
        for (name, may) in
            [("b", true), ("b of shop", true)].into_iter().chain(unfit.map(|it| (it, false)))
        {
            assert_eq!(Waits::may_name(name), may, "{name}");
        }
    }

    #[test]
    fn nothing_rests_on_no_version() {
        assert!(waits(1, &["b"]).bears_out(1, "b"));
        assert!(!waits(0, &["b"]).bears_out(0, "b"));
    }
}
