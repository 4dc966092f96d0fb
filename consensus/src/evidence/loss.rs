//! What a promotion leaves behind: how much by all that is known, whether that is within the budget, and where it is least.

use std::time::Duration;

use super::choice::{Choice, Path};
use super::panel::Panel;
use crate::model::{Candidate, DataPolicy, DatabaseSight, StackId, TargetName};

/// A replica that heard from its primary no longer ago than this, before the primary fell silent, has a known loss.
const STREAMED_WITHIN: Duration = Duration::from_secs(30);

/// Of all moves that are allowed the one whose databases received the most; of equals the first, in order of preference.
///
/// # Errors
/// Why none is, each in words.
pub fn most_received(
    judged: impl Iterator<Item = Result<Choice, String>>,
) -> Result<Choice, Vec<String>> {
    let mut best: Option<Choice> = None;
    let mut reasons = Vec::new();
    for found in judged {
        match found {
            Ok(choice) if best.as_ref().is_none_or(|it| it.received() < choice.received()) => {
                best = Some(choice);
            }
            Ok(_) => {}
            Err(why) => reasons.push(why),
        }
    }
    best.ok_or(reasons)
}

impl Choice {
    fn received(&self) -> u128 {
        self.candidates.iter().map(|candidate| u128::from(candidate.position)).sum()
    }
}

/// For how long the primary had written, when it was last seen, what a replica lacks; unknown where that does not tell when
/// the last of what it has was written.
pub(super) fn lacks_for(
    (standby, standby_age): (&DatabaseSight, Duration),
    (primary, primary_age): (&DatabaseSight, Duration),
) -> Option<Duration> {
    if primary.position <= standby.position {
        return Some(Duration::ZERO);
    }
    let newest = standby.lag?.saturating_add(standby_age);
    Some(newest.saturating_sub(primary_age))
}

/// Whole seconds for people, rounded up because it is a bound; in tenths the next look would say something else.
pub(super) fn in_seconds(time: Duration) -> u128 {
    time.as_millis().div_ceil(1000)
}

impl Panel<'_> {
    pub(super) fn within_budget(
        &self,
        to: &StackId,
        name: &TargetName,
        (standby, standby_age): (&DatabaseSight, Duration),
        (primary, primary_age): (&DatabaseSight, Duration),
    ) -> Result<(), String> {
        let DataPolicy { max_loss_bytes: budget, max_loss_time, .. } = self.definition.data;
        let behind = primary.position.saturating_sub(standby.position);
        if self.relies_on(to, name) {
            return Ok(());
        }
        if budget == 0 && self.definition.data.sync > 0 && !self.goes_by_looks() {
            return Err(format!("{name} is not in the agreed sync set, and `max_loss` is 0"));
        }
        if budget == 0 {
            let synchronous =
                standby.upstream_name.as_ref().is_some_and(|it| primary.synchronous.contains(it));
            if !synchronous {
                return Err(format!(
                    "{name} was no synchronous replica when its primary was last seen, and `max_loss` is 0"
                ));
            }
            // The only one that is left to confirm commits may lack what another confirmed before it left. Looked at before the
            // primary was, it may have come as far since.
            if self.waits_for_any(to, name) && 0 < behind && standby_age < primary_age {
                return Err(format!(
                    "{name} lacks {behind} bytes, which another replica may have confirmed, and `max_loss` is 0"
                ));
            }
            return Ok(());
        }
        if behind > budget {
            return Err(format!("{name} lacks {behind} bytes, {budget} may be lost"));
        }
        let streamed = primary_age.saturating_add(STREAMED_WITHIN);
        let streamed =
            standby.streaming || self.last_heard(to, name).is_some_and(|it| it <= streamed);
        if let Some(most) = max_loss_time {
            // Whoever has as much as its primary was in step with it, or has another history under the same numbers.
            if behind == 0 && !streamed {
                return Err(format!(
                    "{name} has as much as its primary had, and had not streamed from it for {} s when that was last seen",
                    STREAMED_WITHIN.as_secs()
                ));
            }
            let lacks = lacks_for((standby, standby_age), (primary, primary_age));
            return match lacks {
                Some(lacks) if lacks <= most => Ok(()),
                Some(lacks) => Err(format!(
                    "{name} lacks the last {} s ({behind} bytes), {} s may be lost",
                    in_seconds(lacks),
                    in_seconds(most)
                )),
                None => Err(format!(
                    "{name} lacks {behind} bytes, and of how long is not known; {} s may be lost",
                    in_seconds(most)
                )),
            };
        }
        match streamed {
            true => Ok(()),
            false => Err(format!(
                "{name} had not streamed for {} s when its primary was last seen, and lacks {behind} bytes",
                STREAMED_WITHIN.as_secs()
            )),
        }
    }

    /// Is it of an engine whose commits wait for no replica by its name?
    fn waits_for_any(&self, stack: &StackId, name: &TargetName) -> bool {
        let databases = self.definition.stack(stack).into_iter().flat_map(|it| &it.databases);
        databases.filter(|it| it.name == *name).any(|it| it.engine.waits_for_any())
    }

    /// Does a mutant take whom the primary was last seen to wait for to be agreed?
    fn goes_by_looks(&self) -> bool {
        #[cfg(feature = "mutants")]
        let goes = self.broken(crate::config::Mutant::UnreliedPromoted);
        #[cfg(not(feature = "mutants"))]
        let goes = false;
        goes
    }

    /// How long ago a replica heard from its primary, by whoever knows it best: whoever looked at it only since then may not
    /// know, and a replica may not say it any more (PostgreSQL's receiver is gone with its connection).
    fn last_heard(&self, stack: &StackId, name: &TargetName) -> Option<Duration> {
        let target = self.target(stack, name);
        let sights = self.beliefs(&target).filter_map(|belief| belief.database.as_ref());
        sights.filter_map(|(sight, _)| sight.heard).min()
    }

    /// What is to be promoted, and what is known to be lost by it: bytes of log, and for how long they had been written.
    pub(super) fn promotion(
        &self,
        active: &StackId,
        to: &StackId,
        path: Path,
    ) -> (Vec<Candidate>, Option<u64>, Option<Duration>) {
        let stack = match (path, self.definition.stack(to)) {
            (Path::Data, Some(stack)) => stack,
            _ => return (Vec::new(), None, None),
        };
        let mut times = stack.databases.iter().map(|it| self.lacks_for(active, to, &it.name));
        let time = times.try_fold(Duration::ZERO, |most, time| Some(most.max(time?)));
        let seen = stack.databases.iter().filter_map(|database| {
            let (standby, _) = self.latest(to, &database.name)?;
            let primary = self.latest(active, &database.name).map(|(primary, _)| primary.position);
            let candidate = Candidate {
                name: database.name.clone(),
                system: standby.system,
                timeline: standby.timeline,
                position: standby.position,
            };
            Some((candidate, primary.map(|primary| primary.saturating_sub(standby.position))))
        });
        let (candidates, losses): (Vec<_>, Vec<Option<u64>>) = seen.unzip();
        let loss = losses.into_iter().try_fold(0u64, |sum, loss| Some(sum.saturating_add(loss?)));
        (candidates, loss, time)
    }

    /// For how long what a standby lacks of its primary's log had been written, as far as anybody saw.
    pub(super) fn lacks_for(
        &self,
        active: &StackId,
        to: &StackId,
        name: &TargetName,
    ) -> Option<Duration> {
        lacks_for(self.latest(to, name)?, self.latest(active, name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(to: &str, position: u64) -> Choice {
        let candidate =
            Candidate { name: "orders".parse().unwrap(), system: 7, timeline: 1, position };
        Choice {
            to: to.parse().unwrap(),
            path: Path::Data,
            candidates: vec![candidate],
            loss_bytes: None,
            loss_time: None,
            reason: String::new(),
        }
    }

    #[test]
    fn who_received_most_is_chosen_and_preference_breaks_ties() {
        let chosen = |judged: Vec<Result<Choice, String>>| {
            most_received(judged.into_iter()).map(|it| it.to.to_string())
        };
        let refused = || Err("b is not fit".to_owned());
        assert_eq!(chosen(vec![Ok(choice("b", 5)), Ok(choice("c", 6))]), Ok("c".to_owned()));
        assert_eq!(chosen(vec![Ok(choice("b", 6)), Ok(choice("c", 6))]), Ok("b".to_owned()));
        assert_eq!(chosen(vec![refused(), Ok(choice("c", 1))]), Ok("c".to_owned()));
        assert_eq!(chosen(vec![refused()]), Err(vec!["b is not fit".to_owned()]));
    }

    #[test]
    fn a_bound_is_rounded_up() {
        for (millis, shown) in [(0, 0), (1, 1), (5_000, 5), (6_940, 7)] {
            assert_eq!(in_seconds(Duration::from_millis(millis)), shown);
        }
    }
}
