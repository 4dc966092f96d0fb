//! What witnesses see of an app's data → what people are warned of, and what a promotion would leave behind.
//!
//! The same for every engine, because sights are. Warnings decide nothing.

use std::time::Duration;

use super::loss::{in_seconds, lacks_for};
use super::panel::Panel;
use crate::model::{
    DataPolicy, Database, DatabaseSight, FaultKind, Health, StackId, Target, TargetId, Warning,
    WarningKind,
};

impl Panel<'_> {
    /// Everything that is not as it should be with the databases, in the order of the file.
    pub fn warnings(&self, active: &StackId) -> Vec<Warning> {
        if !self.definition.has_databases() && !self.definition.follows() {
            return Vec::new();
        }
        let databases = self.definition.targets().filter_map(|(id, target)| match target {
            Target::Database(database) => Some((id, database)),
            Target::Endpoint(_) => None,
        });
        databases.flat_map(|(id, database)| self.warnings_of(active, &id, database)).collect()
    }

    /// How much of the primaries' logs this stack has not received, as far as anybody saw: what moving there now would
    /// leave behind; and for how long that had been written, where that is known.
    pub fn would_lose(&self, active: &StackId, to: &StackId) -> Option<(u64, Option<Duration>)> {
        let databases =
            &self.definition.stack(to).filter(|_| self.definition.has_databases())?.databases;
        let mut sum = None;
        let mut longest = Some(Duration::ZERO);
        for database in databases {
            let (replica, _) = self.latest(to, &database.name)?;
            let (primary, _) = self.latest(active, &database.name)?;
            let kin = (replica.system, replica.timeline) == (primary.system, primary.timeline);
            let behind = kin.then(|| primary.position.saturating_sub(replica.position))?;
            sum = Some(behind.saturating_add(sum.unwrap_or_default()));
            let time = self.lacks_for(active, to, &database.name);
            longest = longest.zip(time).map(|(one, other)| one.max(other));
        }
        Some((sum?, longest))
    }

    fn warnings_of(&self, active: &StackId, id: &TargetId, database: &Database) -> Vec<Warning> {
        let warning = |kind, text| Warning { target: id.clone(), kind, text };
        let mut found = Vec::new();
        if !self.beliefs(id).any(|belief| belief.health == Health::Up) {
            // It answers, and says why it does not serve.
            let said = self.beliefs(id).filter_map(|belief| belief.fault.as_ref());
            let said =
                said.filter(|it| matches!(it.kind, FaultKind::Unready | FaultKind::Credential));
            found.extend(said.take(1).map(|it| warning(WarningKind::OutOfSync, it.text.clone())));
            return found;
        }
        let Some((sight, age)) = self.latest(&id.stack, &database.name) else { return found };
        if database.engine.is_followed() {
            return self.warnings_of_follower(id, sight);
        }
        let slots = sight.slots_at_risk.iter();
        found.extend(slots.map(|slot| warning(WarningKind::Slot, format!("slot {slot}"))));
        let primary = self.latest(active, &database.name).filter(|(it, _)| !it.replica);
        if let (Some(primary), false) = (primary, id.stack == *active) {
            let wrong = self.wrong(id, (sight, age), primary);
            found.extend(wrong.map(|(kind, text)| warning(kind, text)));
        }
        found
    }

    /// Does its primary wait for a replica, or for as many others as it should?
    fn waited_for(&self, id: &TargetId, it: &DatabaseSight, primary: &DatabaseSight) -> bool {
        match self.definition.data.sync {
            0 => it.upstream_name.as_ref().is_some_and(|it| primary.synchronous.contains(it)),
            _ => self.relies_on(&id.stack, &id.name) || self.relies_enough(&id.name),
        }
    }

    /// The worst of what is wrong with a replica of this primary.
    fn wrong(
        &self,
        id: &TargetId,
        (it, age): (&DatabaseSight, Duration),
        (primary, primary_age): (&DatabaseSight, Duration),
    ) -> Option<(WarningKind, String)> {
        let DataPolicy { max_loss_bytes: budget, max_loss_time, .. } = self.definition.data;
        let lacks = lacks_for((it, age), (primary, primary_age));
        let late = lacks.zip(max_loss_time).filter(|(lacks, most)| lacks > most);
        let behind = primary.position.saturating_sub(it.position);
        let (kind, text) = if !it.replica {
            (WarningKind::WrongUpstream, "is a primary beside the agreed one".to_owned())
        } else if it.system != primary.system {
            (WarningKind::WrongUpstream, "follows another primary than the agreed one".to_owned())
        } else if it.timeline != primary.timeline {
            let (own, other) = (it.timeline, primary.timeline);
            (WarningKind::WrongUpstream, format!("is on timeline {own}, its primary on {other}"))
        } else if budget > 0 && behind > budget {
            (WarningKind::Lag, format!("lacks {behind} bytes, {budget} may be lost"))
        } else if let Some((lacks, most)) = late {
            let (lacks, most) = (in_seconds(lacks), in_seconds(most));
            (WarningKind::Lag, format!("lacks the last {lacks} s, {most} s may be lost"))
        } else if !it.streaming {
            (WarningKind::OutOfSync, "receives nothing from its primary".to_owned())
        } else if budget == 0 && !self.waited_for(id, it, primary) {
            (WarningKind::OutOfSync, "is waited for by no commit, and `max_loss` is 0".to_owned())
        } else {
            return None;
        };
        Some((kind, text))
    }
}
