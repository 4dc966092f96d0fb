//! What every value must be, whatever it follows: whole, speakable, within its limits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{
    AppState, BY_LIMIT, DAMPING_MEMORY, DataPolicy, Definition, FREEZE_MOST, Lifetimes,
    OPERATION_MEMORY, REASON_LIMIT, RECORD_LIMIT, RUNS_OUT_MOST, SHORTENED_MOST, STACK_LIMIT,
    SYNC_MOST, StackId, TARGET_LIMIT, TargetName, Waits,
};

/// What a probe policy may ask for.
const SPAN_LEAST: Duration = Duration::from_millis(10);
const SPAN_MOST: Duration = Duration::from_secs(24 * 3600);

/// Is it a value at all?
///
/// # Errors
/// Why not, in words.
pub fn well_formed(state: &AppState) -> Result<(), String> {
    let decision = &state.decision;
    let defined = |stack| state.definition.stack(stack).is_some();
    if decision.epoch != state.epoch {
        return Err("its decision is of another epoch".into());
    }
    if ![&state.active, &decision.from, &decision.to].into_iter().all(defined) {
        return Err("it names a stack that is not defined".into());
    }
    within_limits(&state.definition)?;
    speakable(state)?;
    keepable(state)?;
    reliable(state)?;
    if state.operations.len() > OPERATION_MEMORY {
        return Err("it remembers too many operations".into());
    }
    // An answer is never empty: every name is published with something, whichever stack is active.
    let empty = state
        .definition
        .records
        .iter()
        .find(|record| record.values.get(&state.active).is_none_or(Vec::is_empty));
    match empty {
        Some(record) => Err(format!("{} would have no {} record", record.name, record.kind)),
        None => Ok(()),
    }
}

/// What the file's parser limits is limited here, too: a definition that one agent let through must not stop the others.
fn within_limits(definition: &Definition) -> Result<(), String> {
    let probe = &definition.probe;
    let spans = [probe.interval, probe.timeout, probe.window];
    let fits = definition.stacks.len() <= STACK_LIMIT
        && definition.targets().count() <= TARGET_LIMIT
        && definition.records.len() <= RECORD_LIMIT
        && DataPolicy::may_last(definition.data.lease)
        && definition.follows_well()
        && spans.iter().all(|span| (SPAN_LEAST..=SPAN_MOST).contains(span));
    fits.then_some(()).ok_or("its definition is beyond its limits".into())
}

/// What people say of it is limited, too.
fn speakable(state: &AppState) -> Result<(), String> {
    let named = |by: &String| by.len() <= BY_LIMIT;
    let fits = state.damping.history.len() <= DAMPING_MEMORY
        && state.damping.cleared.as_ref().is_none_or(named)
        && state.freeze.as_ref().is_none_or(|freeze| {
            named(&freeze.by) && freeze.reason.len() <= REASON_LIMIT && freeze.lasts <= FREEZE_MOST
        });
    fits.then_some(()).ok_or("what is said of it is beyond its limits".into())
}

/// What is planned is a move that could be, once answers of before have run out.
fn keepable(state: &AppState) -> Result<(), String> {
    let Lifetimes { shortened, planned, .. } = &state.lifetimes;
    let fits = *shortened <= SHORTENED_MOST
        && planned.as_ref().is_none_or(|planned| {
            planned.by.len() <= BY_LIMIT
                && planned.runs_out <= RUNS_OUT_MOST
                && planned.to != state.active
                && state.definition.stack(&planned.to).is_some()
                && *shortened == SHORTENED_MOST
        });
    fits.then_some(()).ok_or("its lifetimes are beyond their limits".into())
}

/// Who is relied on is a replica that is defined, in another stack than the active one.
fn reliable(state: &AppState) -> Result<(), String> {
    let defined = |(database, replicas): (&TargetName, &BTreeMap<StackId, String>)| {
        replicas.len() <= usize::from(SYNC_MOST)
            && replicas.iter().all(|(stack, name)| {
                let mut all = state.definition.guarded();
                *stack != state.active
                    && Waits::may_name(name)
                    && all.any(|(of, it)| of == stack && it.name == *database)
            })
    };
    let fits = state.definition.data.sync <= SYNC_MOST && state.sync.relied.iter().all(defined);
    fits.then_some(()).ok_or("its sync set is beyond its limits".into())
}
