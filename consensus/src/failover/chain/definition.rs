//! Which definition may follow which: one that is applied, and one whose followed endpoints are elsewhere, or back.
//!
//! Each is a revision in an epoch of its own, and moves nothing.

use super::{Demand, at_rest, is_carried_out, needs_finding, restrains, takes_back};
use crate::model::{AppState, Certainty, DecisionKind, Mode, Phase};

/// Another definition.
pub fn applies(before: &AppState, next: &AppState) -> Result<Demand<'static>, String> {
    is_carried_out(before)?;
    let since = match next.definition.guarded_alike(&before.definition) {
        true => before.guards_since,
        false => next.revision,
    };
    let fits = next.revision == before.revision.saturating_add(1)
        && next.guards_since == since
        && next.epoch == before.epoch.next()
        && next.definition.name == before.definition.name
        && next.decision.kind == DecisionKind::Apply
        && next.phase == Phase::Publishing
        && next.active == before.active
        && next.closed == before.closed
        && restrains(next) == restrains(before);
    if !before.definition.left_by(&next.definition).is_empty() || next.left != before.left {
        return Err("endpoints are followed in a decision of its own kind".into());
    }
    fits.then_some(Demand::default())
        .ok_or("a definition is applied in an epoch of its own, and moves nothing".into())
}

/// Followed endpoints are elsewhere: the same definition but for them.
pub fn leads(before: &AppState, next: &AppState) -> Result<Demand<'static>, String> {
    at_rest(before)?;
    if before.definition.mode == Mode::Shadow {
        return Err("the mesh touches nothing of it".into());
    }
    let left = before.definition.left_by(&next.definition);
    let fits = next.epoch == before.epoch.next()
        && next.phase == Phase::Publishing
        && next.active == before.active
        && restrains(next) == restrains(before)
        && !left.is_empty()
        && next.left == left
        && next.definition.led_back(&left).as_ref() == Some(&*before.definition);
    fits.then_some(())
        .ok_or("endpoints are followed in an epoch of its own, and nothing else changes")?;
    redefined(before, next)?;
    Ok(Demand { found: true, ..Demand::default() })
}

/// Endpoints were followed by what only a minority accepted: back to where they were.
pub fn leads_back(
    before: &AppState,
    certainty: Certainty,
    next: &AppState,
) -> Result<Demand<'static>, String> {
    let fits = needs_finding(before)
        && certainty != Certainty::Chosen
        && next.epoch == before.epoch.next()
        && next.phase == Phase::Publishing
        && next.left == before.left
        && before.definition.led_back(&before.left).as_ref() == Some(&*next.definition);
    fits.then_some(()).ok_or("it does not lead back to where endpoints were")?;
    redefined(before, next)?;
    takes_back(before, next, &before.active)
}

/// Another revision that leaves alone what guards and databases rest on.
fn redefined(before: &AppState, next: &AppState) -> Result<(), String> {
    let fits = next.revision == before.revision.saturating_add(1)
        && next.guards_since == before.guards_since
        && next.closed == before.closed;
    fits.then_some(()).ok_or("it is no successor of that revision".into())
}
