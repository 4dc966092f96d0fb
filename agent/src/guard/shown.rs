//! What the doors of this host do, for people: the last word of whoever keeps them.

use consensus::model::{AppId, TargetName};
use consensus::moment::Moment;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock;

/// The doors of this host, as they are by now; clones share them.
#[derive(Clone, Debug)]
pub struct Doors {
    kept: watch::Receiver<Kept>,
    weak: watch::Receiver<Vec<WeakDoor>>,
}

/// What a weak door last did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeakDoor {
    /// In front of which app's database.
    pub app: AppId,
    /// Which one.
    pub database: TargetName,
    /// When it is shut if no majority of the voters is heard until then; [`Moment::ZERO`] if it does not take writes.
    pub until: Moment,
    /// What went wrong with it.
    pub trouble: Option<String>,
    /// What this run of the agent did to it last.
    pub last: Option<WeakTurn>,
}

/// A weak door that was shut or opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeakTurn {
    /// When, by the wall clock: milliseconds since 1970.
    pub wall_ms: u64,
    /// Opened, or shut?
    pub open: bool,
    /// Why, and what its database said.
    pub text: String,
}

/// By what means a door is shut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoorMeans {
    /// The kernel's filter, by the end of a lease, whatever becomes of the agent.
    #[default]
    Nftables,
    /// The database's own read-only mode, which the agent asks for: weaker, and no proof.
    Engine,
}

/// What was last done with doors and watchdog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) doors: Vec<KeptDoor>,
    pub(super) trouble: Option<String>,
    pub(super) watchdog: Option<WatchdogView>,
}

/// What was last done with one door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptDoor {
    pub(super) app: AppId,
    pub(super) database: TargetName,
    /// [`Moment::ZERO`] if it is known to be shut.
    pub(super) until: Moment,
    pub(super) trouble: Option<String>,
}

/// The doors of an agent's own host, and the watchdog beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardView {
    /// Every door.
    pub doors: Vec<DoorView>,
    /// Why their rules could not be laid again, when that was last tried: then each of them may stand open to everybody.
    pub trouble: Option<String>,
    /// The host's watchdog, where the agent's file names one.
    pub watchdog: Option<WatchdogView>,
}

/// A door of the agent's own host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorView {
    /// In front of which app's database.
    pub app: AppId,
    /// Which one.
    pub database: TargetName,
    /// By what it is shut.
    #[serde(default)]
    pub by: DoorMeans,
    /// For how long it stays open if nothing more is heard, as this run of the agent opened it; zero if it is shut, or, by
    /// the engine, if the database takes no writes.
    pub left_ms: u64,
    /// What went wrong with it when it was last opened or shut.
    pub trouble: Option<String>,
}

/// The watchdog of the agent's own host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchdogView {
    /// Its device.
    pub device: String,
    /// Is the host reset unless the agent goes on?
    pub armed: bool,
    /// What went wrong with it when it was last armed or disarmed.
    pub trouble: Option<String>,
}

impl Doors {
    pub(super) fn new(kept: watch::Receiver<Kept>) -> Self {
        let (_, weak) = watch::channel(Vec::new());
        Self { kept, weak }
    }

    /// The same, with these weak ones.
    pub fn with_weak(self, weak: watch::Receiver<Vec<WeakDoor>>) -> Self {
        Self { weak, ..self }
    }

    /// The weak ones, whenever anything about them changes.
    pub fn weak(&self) -> watch::Receiver<Vec<WeakDoor>> {
        self.weak.clone()
    }

    /// Every door by now.
    pub fn view(&self) -> GuardView {
        let kept = self.kept.borrow();
        let now = clock::now();
        let left_ms =
            |until: Moment| u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
        let view = |door: &KeptDoor| DoorView {
            app: door.app.clone(),
            database: door.database.clone(),
            by: DoorMeans::Nftables,
            left_ms: left_ms(door.until),
            trouble: door.trouble.clone(),
        };
        let weak = |door: &WeakDoor| DoorView {
            app: door.app.clone(),
            database: door.database.clone(),
            by: DoorMeans::Engine,
            left_ms: left_ms(door.until),
            trouble: door.trouble.clone(),
        };
        let beside = self.weak.borrow();
        let doors = kept.doors.iter().map(view).chain(beside.iter().map(weak));
        let (trouble, watchdog) = (kept.trouble.clone(), kept.watchdog.clone());
        GuardView { doors: doors.collect(), trouble, watchdog }
    }

    /// Doors that are shut and stay so, for tests.
    #[cfg(test)]
    pub fn showing(view: &GuardView) -> Self {
        let kept = |door: &DoorView| KeptDoor {
            app: door.app.clone(),
            database: door.database.clone(),
            until: Moment::ZERO,
            trouble: door.trouble.clone(),
        };
        let weak = |door: &DoorView| WeakDoor {
            app: door.app.clone(),
            database: door.database.clone(),
            until: Moment::ZERO,
            trouble: door.trouble.clone(),
            last: None,
        };
        let of = |means| view.doors.iter().filter(move |door| door.by == means);
        let doors = of(DoorMeans::Nftables).map(kept).collect();
        let (trouble, watchdog) = (view.trouble.clone(), view.watchdog.clone());
        let (_, kept) = watch::channel(Kept { doors, trouble, watchdog });
        let (_, weak) = watch::channel(of(DoorMeans::Engine).map(weak).collect());
        Self { kept, weak }
    }
}
