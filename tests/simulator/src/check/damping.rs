//! Does the mesh leave an app alone for as long as it must? (PROTOCOL.md S14, E)
//!
//! Every voter counts on its own clock from when it learned of something, and none can learn of it before it was agreed.
//! So in true time, but for what clocks may be wrong, the wait is never shorter than the rule says.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::model::{AppId, AppState, DecisionKind, OperationId};
use consensus::moment::Moment;

use super::Found;
use super::register::Link;

const COOLS: &str = "cooldowns are kept";
const FLAPS: &str = "three a day are enough";
const FROZEN: &str = "a freeze is kept";

const DAY: Duration = Duration::from_secs(86_400);
/// What a decision costs that was taken back.
const ABORTED: Duration = Duration::from_secs(120);
/// What a clock may be fast: rates are trusted to one percent.
const FAST: f64 = 1.012;

/// A decision that the mesh made by itself.
#[derive(Clone, Copy, Debug)]
struct Act {
    epoch: u32,
    at: Moment,
    aborted: bool,
}

/// What the mesh did by itself since it was last acknowledged, and since when apps are frozen.
#[derive(Debug, Default)]
pub struct Acts {
    acts: BTreeMap<AppId, Vec<Act>>,
    frozen: BTreeMap<AppId, (OperationId, Moment)>,
}

impl Acts {
    /// Something was agreed.
    pub fn on_agreed(&mut self, now: Moment, link: &Link, found: &mut Found) {
        let Some(before) = &link.before else { return };
        let after = &link.after;
        let app = &after.definition.name;
        let acts = self.acts.entry(app.clone()).or_default();
        if after.epoch != before.epoch {
            match after.decision.kind {
                DecisionKind::Failover => {
                    check(now, acts, before, after, found);
                    acts.push(Act { epoch: after.epoch.0, at: now, aborted: false });
                }
                DecisionKind::Abort => {
                    if let Some(act) = acts.last_mut().filter(|act| act.epoch == before.epoch.0) {
                        act.aborted = true;
                    }
                }
                _ => {}
            }
        }
        if after.damping.history.is_empty() && !before.damping.history.is_empty() {
            acts.clear();
        }
        self.freezes(now, before, after, found);
    }

    fn freezes(&mut self, now: Moment, before: &AppState, after: &AppState, found: &mut Found) {
        let app = &after.definition.name;
        let begins = after.epoch != before.epoch && after.decision.kind == DecisionKind::Failover;
        if let (true, Some(freeze)) = (begins, &before.freeze)
            && let Some((_, since)) = self.frozen.get(app).filter(|(id, _)| *id == freeze.id)
            && longest(now.since(*since)) < freeze.lasts
        {
            let text =
                format!("{app} was frozen {:?} ago for {:?}", now.since(*since), freeze.lasts);
            found.push((FROZEN, text));
        }
        match &after.freeze {
            Some(freeze) if self.frozen.get(app).is_none_or(|(id, _)| *id != freeze.id) => {
                self.frozen.insert(app.clone(), (freeze.id, now));
            }
            Some(_) => {}
            None => {
                self.frozen.remove(app);
            }
        }
    }
}

/// What the fastest clock may make of a span.
fn longest(span: Duration) -> Duration {
    span.mul_f64(FAST) + Duration::from_secs(1)
}

fn check(now: Moment, acts: &[Act], before: &AppState, after: &AppState, found: &mut Found) {
    let base = before.definition.cooldown;
    let app = &after.definition.name;
    if base.is_zero() {
        return;
    }
    if before.damping.flapping {
        found.push((FLAPS, format!("{app} moves by itself, though it is held as flapping")));
    }
    let thirds: u32 = acts
        .iter()
        .filter(|act| longest(now.since(act.at)) < DAY)
        .map(|act| if act.aborted { 1 } else { 3 })
        .sum();
    if thirds >= 6 && !after.damping.flapping {
        found.push((FLAPS, format!("{app} moves for the third time within a day, unheld")));
    }
    // The clearest view of every wait: the level that the decisions so far had come to when each was made.
    let mut doubled = 0u32;
    for (number, act) in acts.iter().enumerate() {
        let quiet = match number {
            0 => Duration::ZERO,
            _ => longest(act.at.since(acts[number - 1].at)),
        };
        doubled = doubled.saturating_sub((quiet.as_secs() / DAY.as_secs()) as u32);
        let wait = match act.aborted {
            true => ABORTED.min(base),
            false => base * 2u32.pow(doubled),
        };
        if !act.aborted {
            doubled = 3.min(doubled + 1);
        }
        let since = now.since(act.at);
        if longest(since) < wait {
            let epoch = act.epoch;
            let text = format!("{app} moves by itself {since:?} after epoch {epoch}, not {wait:?}");
            found.push((COOLS, text));
        }
    }
}
