//! Which value may follow which, and what must be seen before it may: the saga as one table (PROTOCOL.md D.2).
//!
//! Derived from predecessor and value alone, never from a field that the sender chose (PROTOCOL.md 0.1 d). An acceptor that
//! finds nothing wrong here has checked everything but the evidence itself and its own clock.

mod definition;
mod form;

use std::collections::BTreeSet;

use self::definition::{applies, leads, leads_back};
use self::form::well_formed;
use super::{damping, plan};
use crate::model::{
    AppState, Ballot, Certainty, Certificate, Damping, Decision, DecisionKind, Epoch, Fencing,
    Freeze, Lifetimes, Mode, Phase, SYNC_VERSION_MOST, SyncSet,
};

/// What must stand behind a value besides its form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand<'a> {
    /// Evidence, fresh for this very ballot, that shows the active stack down and the destination fit.
    pub evidence: Option<&'a Certificate>,
    /// That the old stack's guards know every database that could be promoted.
    pub acknowledged: bool,
    /// And that no lease may still run but of the stack that is promoted.
    pub unleased: bool,
    /// That the acceptor itself finds followed endpoints where they are said to be.
    pub found: bool,
    /// That it has itself seen the primary wait for whoever is relied on from now on.
    pub waited: bool,
    /// That the mesh may act by itself just now: not frozen, cooled down, within the fleet's budget.
    pub damping: bool,
}

/// How sure it is that the *phase* of a value was chosen, given how sure it is of the value accepted at `at`. A later claim
/// of the same phase that only a minority accepted says nothing of the promotion, or the answer, before it: what carries an
/// older certificate was derived from a value that may have been chosen, and was perhaps acted upon. What was followed is
/// claimed only once it is known to be chosen.
pub fn certainty_of_phase(state: &AppState, at: Ballot, found: Certainty) -> Certainty {
    if needs_finding(state) && state.claim.is_some() {
        return Certainty::Chosen;
    }
    let (evidence, before) = match state.phase {
        Phase::Promoting => (&state.decision.second, Certainty::Possible),
        Phase::Publishing if needs_evidence_first(state) => {
            (&state.decision.first, Certainty::Chosen)
        }
        _ => return found,
    };
    let renewed = evidence.as_ref().is_some_and(|certificate| certificate.ballot == at);
    match (found, renewed) {
        (Certainty::Chosen, _) | (_, true) => found,
        (_, false) => before,
    }
}

/// May `next` follow `before` (with the hash of its bytes)?
///
/// # Errors
/// Why not, in words.
pub fn follows<'a>(
    before: Option<(&AppState, [u8; 32])>,
    certainty: Certainty,
    next: &'a AppState,
) -> Result<Demand<'a>, String> {
    well_formed(next)?;
    let Some((before, hash)) = before else { return first(next) };
    if *next == *before {
        return repeats(before, certainty);
    }
    if next.previous != hash {
        return Err("it was derived from another value".into());
    }
    if next.epoch == before.epoch && next.lifetimes != before.lifetimes {
        return relives(before, next);
    }
    if next.sync != before.sync.carried(before, next) {
        return relies(before, next);
    }
    let counted = |lifetimes: &Lifetimes| (lifetimes.shortened, lifetimes.changes);
    if counted(&next.lifetimes) != counted(&before.lifetimes) {
        return Err("lifetimes change in a step of their own".into());
    }
    let calls_off = moves(next.decision.kind) && next.epoch == before.epoch.next();
    let planned = if calls_off { &None } else { &before.lifetimes.planned };
    if next.lifetimes.planned != *planned {
        return Err("a planned move goes with the next move, and not before".into());
    }
    if next.revision != before.revision || next.definition != before.definition {
        return match (next.decision.kind, before.decision.kind) {
            (DecisionKind::Follow, _) => leads(before, next),
            (DecisionKind::Abort, DecisionKind::Follow) => leads_back(before, certainty, next),
            _ => applies(before, next),
        };
    }
    if next.left != before.left {
        return Err("it says that something was followed, and follows nothing".into());
    }
    if next.guards_since != before.guards_since {
        return Err("its guards changed at another revision".into());
    }
    if next.epoch == before.epoch && restrains(next) != restrains(before) {
        return regulates(before, next);
    }
    if next.epoch == before.epoch {
        return carries_on(before, certainty, next);
    }
    if next.epoch == before.epoch.next() {
        return decides(before, certainty, next);
    }
    Err(format!("epoch {} cannot follow epoch {}", next.epoch, before.epoch))
}

/// The first value of a register.
fn first(next: &AppState) -> Result<Demand<'static>, String> {
    let fits = next.epoch == Epoch(1)
        && next.revision == 1
        && next.phase == Phase::Publishing
        && next.decision.kind == DecisionKind::Apply
        && next.guards_since == 1
        && next.left.is_empty()
        && next.lifetimes == Lifetimes::default()
        && next.sync == SyncSet::default()
        && restrains(next) == (&Damping::default(), &None)
        && next.previous == [0; 32];
    fits.then_some(Demand::default())
        .ok_or("a register begins with the definition being applied".into())
}

/// The same value again: somebody's write whose outcome is unknown is being completed. What only evidence could allow is
/// never completed unseen (PROTOCOL.md 0.1 e).
fn repeats(state: &AppState, certainty: Certainty) -> Result<Demand<'static>, String> {
    let harmless = match state.phase {
        Phase::Idle | Phase::Aborting | Phase::Verifying => true,
        Phase::Publishing => !needs_evidence_first(state),
        Phase::Fencing | Phase::Promoting => false,
    };
    let unleased = opens(state);
    let found = needs_finding(state) && certainty != Certainty::Chosen;
    match harmless || certainty == Certainty::Chosen {
        true => Ok(Demand { unleased, found, ..Demand::default() }),
        false => Err(format!("{} is not completed unseen", state.phase)),
    }
}

/// Is nothing in progress?
///
/// # Errors
/// What is, in words.
pub fn at_rest(before: &AppState) -> Result<(), String> {
    match before.phase {
        Phase::Idle => Ok(()),
        phase => Err(format!("epoch {} is in progress ({phase})", before.epoch)),
    }
}

/// Is nothing asked for any more? While it is only looked whether the new stack serves, people may change what it is, or move
/// on.
///
/// # Errors
/// What is asked for, in words.
pub fn is_carried_out(before: &AppState) -> Result<(), String> {
    match before.phase {
        Phase::Verifying => Ok(()),
        _ => at_rest(before),
    }
}

/// Does it move the app, whoever asked for it?
fn moves(kind: DecisionKind) -> bool {
    match kind {
        DecisionKind::Failover
        | DecisionKind::Approved
        | DecisionKind::Switchover
        | DecisionKind::Forced => true,
        DecisionKind::Apply | DecisionKind::Abort | DecisionKind::Follow => false,
    }
}

/// What holds the mesh back.
fn restrains(state: &AppState) -> (&Damping, &Option<Freeze>) {
    (&state.damping, &state.freeze)
}

/// Answers of an app at rest are to be kept for longer, or not for so long; a move is planned, or is not any more. Nothing else
/// changes: whoever publishes follows under the token of the decision that stands.
fn relives(before: &AppState, next: &AppState) -> Result<Demand<'static>, String> {
    at_rest(before)?;
    if before.definition.mode == Mode::Shadow {
        return Err("the mesh touches nothing of it".into());
    }
    let Lifetimes { shortened, planned, .. } = next.lifetimes.clone();
    let expected = AppState {
        lifetimes: before.lifetimes.next(shortened, planned),
        operations: next.operations.clone(),
        previous: next.previous,
        ..before.clone()
    };
    match expected == *next {
        true => Ok(Demand::default()),
        false => Err("lifetimes change in a step of their own".into()),
    }
}

/// Other replicas of an app at rest are relied on. Nothing else changes. Whoever is not relied on any more takes no proof.
fn relies(before: &AppState, next: &AppState) -> Result<Demand<'static>, String> {
    at_rest(before)?;
    let expected = AppState {
        sync: next.sync.clone(),
        operations: next.operations.clone(),
        previous: next.previous,
        ..before.clone()
    };
    let kept = before.definition.data.sync > 0 && before.definition.mode != Mode::Shadow;
    // Beyond what a setting may say of itself nothing is jumped to: there is always a next one.
    let counts = before.sync.version < next.sync.version
        && next.sync.version <= before.sync.version.max(SYNC_VERSION_MOST).saturating_add(1);
    match kept && expected == *next && counts {
        true => match !next.sync.beyond(&before.sync).is_empty() {
            true if before.sync.version == 0 => Err("nothing rests on no version".into()),
            waited => Ok(Demand { waited, ..Demand::default() }),
        },
        false => Err("the sync set changes in a step of its own".into()),
    }
}

/// A person's word, in an app at rest: it is frozen or not, and what happened is acknowledged. Nothing else changes.
fn regulates(before: &AppState, next: &AppState) -> Result<Demand<'static>, String> {
    at_rest(before)?;
    let expected = AppState {
        damping: next.damping.clone(),
        freeze: next.freeze.clone(),
        operations: next.operations.clone(),
        previous: next.previous,
        ..before.clone()
    };
    let acknowledged = next.damping.cleared.as_deref().map(damping::cleared);
    let fits = expected == *next
        && (next.damping == before.damping || Some(&next.damping) == acknowledged.as_ref());
    fits.then_some(Demand::default()).ok_or("a person's word changes nothing else".into())
}

/// The same epoch: the decision stands, and is carried one step on or claimed by another.
fn carries_on<'a>(
    before: &AppState,
    certainty: Certainty,
    next: &'a AppState,
) -> Result<Demand<'a>, String> {
    let (old, new) = (&before.decision, &next.decision);
    if (old.kind, &old.from, &old.to, &old.by, &old.reason)
        != (new.kind, &new.from, &new.to, &new.by, &new.reason)
    {
        return Err(format!("epoch {} has another decision", before.epoch));
    }
    keeps(before, next)?;
    let moved = next.active != before.active;
    let demand = match (before.phase, next.phase) {
        (Phase::Fencing, Phase::Fencing) => behind(new, new.first.as_ref()),
        (Phase::Fencing, Phase::Promoting) => {
            fenced(next)?;
            behind(new, new.second.as_ref())
        }
        (Phase::Promoting, Phase::Promoting) if certainty == Certainty::Unchosen => {
            behind(new, new.second.as_ref())
        }
        (Phase::Promoting, Phase::Promoting) => Ok(Demand::default()),
        (Phase::Promoting, Phase::Publishing) if next.active == new.to => {
            return Ok(Demand::default());
        }
        (Phase::Publishing, Phase::Publishing)
            if needs_evidence_first(before) && certainty != Certainty::Chosen =>
        {
            behind(new, new.first.as_ref())
        }
        (Phase::Publishing, Phase::Publishing | Phase::Verifying)
            if needs_finding(before) && certainty != Certainty::Chosen =>
        {
            match next.phase == Phase::Publishing && next.claim.is_none() {
                true => Ok(Demand { found: true, ..Demand::default() }),
                false => Err("what may not have been agreed to be followed is carried out".into()),
            }
        }
        (Phase::Publishing, Phase::Publishing | Phase::Verifying)
        | (Phase::Verifying, Phase::Verifying | Phase::Idle)
        | (Phase::Idle, Phase::Idle)
        | (Phase::Aborting, Phase::Aborting | Phase::Idle) => Ok(Demand::default()),
        (from, to) => Err(format!("{to} cannot follow {from}")),
    }?;
    match moved {
        true => Err(format!(
            "the active stack cannot change between {} and {}",
            before.phase, next.phase
        )),
        // The point of no return, the taking back of it, and every later claim of them: on the acceptor's own clock, each time
        // (PROTOCOL.md C.2).
        false => Ok(Demand { unleased: opens(next), ..demand }),
    }
}

/// Does it lead to a stack that may take writes from then on, while another may have done so just before? A promotion that is
/// taken back says what it promoted.
fn opens(state: &AppState) -> bool {
    match state.phase {
        Phase::Promoting => true,
        Phase::Aborting => !state.decision.candidates.is_empty(),
        Phase::Idle | Phase::Fencing | Phase::Publishing | Phase::Verifying => false,
    }
}

/// What of a decision may not change within its epoch: all but what the next phase finds out.
fn keeps(before: &AppState, next: &AppState) -> Result<(), String> {
    let (old, new) = (&before.decision, &next.decision);
    let promotes = (before.phase, next.phase) == (Phase::Fencing, Phase::Promoting);
    let looks_again = promotes && plan::rests_on_evidence(old.kind);
    if old.attempt != new.attempt || (!promotes && old.fence != new.fence) {
        return Err(format!("epoch {} knows other fences", before.epoch));
    }
    let promises = |it: &Decision| (it.candidates.clone(), it.loss_bytes, it.loss_time);
    if !looks_again && promises(old) != promises(new) {
        return Err(format!("epoch {} has other candidates", before.epoch));
    }
    let term = |state: &AppState| state.claim.as_ref().map_or(0, |claim| claim.term);
    match next.claim.is_some() && next.claim != before.claim && term(next) <= term(before) {
        true => Err("its claim is older".into()),
        false => Ok(()),
    }
}

/// The next epoch: a decision, or the taking back of one.
fn decides<'a>(
    before: &AppState,
    certainty: Certainty,
    next: &'a AppState,
) -> Result<Demand<'a>, String> {
    let decision = &next.decision;
    match (before.phase, decision.kind, next.phase) {
        (
            Phase::Idle,
            DecisionKind::Failover
            | DecisionKind::Approved
            | DecisionKind::Switchover
            | DecisionKind::Forced,
            phase,
        ) => {
            begins(before, next, phase)?;
            Ok(Demand {
                damping: plan::is_automatic(decision.kind),
                acknowledged: phase == Phase::Fencing,
                ..behind(decision, decision.first.as_ref())?
            })
        }
        (Phase::Verifying, DecisionKind::Switchover | DecisionKind::Forced, phase) => {
            begins(before, next, phase)?;
            Ok(Demand { acknowledged: phase == Phase::Fencing, ..Demand::default() })
        }
        (Phase::Fencing, DecisionKind::Abort, Phase::Aborting) => {
            takes_back(before, next, &before.active)
        }
        (Phase::Promoting, DecisionKind::Abort, Phase::Aborting) => {
            let taken = &before.decision.candidates;
            match (certainty, decision.candidates == *taken) {
                (_, true) => given_up(before)?,
                (Certainty::Unchosen, false) => {}
                _ => return Err("it does not say what it gives up".into()),
            }
            takes_back(before, next, &before.active)
        }
        (Phase::Idle, DecisionKind::Abort, Phase::Aborting) if before.closed => {
            opens_again(before, next)
        }
        // A DNS move that only a minority may have accepted is undone by publishing the old answer again.
        (Phase::Publishing, DecisionKind::Abort, Phase::Publishing)
            if needs_evidence_first(before) && certainty != Certainty::Chosen =>
        {
            takes_back(before, next, &before.decision.from)
        }
        (phase, kind, to) => Err(format!("no {kind} ({to}) while {phase}")),
    }
}

fn begins(before: &AppState, next: &AppState, phase: Phase) -> Result<(), String> {
    let decision = &next.decision;
    match (decision.kind, before.definition.mode) {
        (DecisionKind::Failover, Mode::Approve | Mode::Shadow) => {
            return Err("the mesh may not move it by itself".into());
        }
        (DecisionKind::Approved, Mode::Automatic | Mode::Shadow) => {
            return Err("nothing waits to be approved".into());
        }
        _ => {}
    }
    if decision.from != before.active || decision.to == decision.from {
        return Err("it does not move away from the active stack".into());
    }
    restrained(before, next)?;
    let active = match phase {
        Phase::Fencing => &decision.from,
        Phase::Publishing if decision.candidates.is_empty() => &decision.to,
        _ => return Err(format!("a move does not begin with {phase}")),
    };
    (next.active == *active).then_some(()).ok_or("it names the wrong active stack".into())
}

/// Does a move carry on what damps the app? The mesh's own is remembered, and takes off a freeze that has run out: whether
/// it has is for every acceptor's own clock to say.
fn restrained(before: &AppState, next: &AppState) -> Result<(), String> {
    let automatic = plan::is_automatic(next.decision.kind);
    if automatic && before.damping.flapping && !before.definition.cooldown.is_zero() {
        return Err("it is held as flapping until a person acknowledges it".into());
    }
    let begun = damping::begun(&before.damping, next.epoch, next.damping.flapping);
    let expected = if automatic { (&begun, &None) } else { restrains(before) };
    match restrains(next) == expected {
        true => Ok(()),
        false => Err("it is damped otherwise than what it follows".into()),
    }
}

fn takes_back(
    before: &AppState,
    next: &AppState,
    active: &crate::model::StackId,
) -> Result<Demand<'static>, String> {
    let (old, new) = (&before.decision, &next.decision);
    let fits = new.from == old.to
        && new.to == old.from
        && next.active == *active
        && next.damping == damping::taken_back(&before.damping, before.epoch)
        && next.freeze == before.freeze;
    let demand = Demand { unleased: opens(next), ..Demand::default() };
    fits.then_some(demand).ok_or("it does not take back the decision before it".into())
}

/// May this promotion be taken back once no lease of its stack runs? Where a guard holds each of its doors it takes no writes
/// then, whatever came of the promotion or comes of it yet.
///
/// # Errors
/// Why not, in words.
pub fn given_up(state: &AppState) -> Result<(), String> {
    let to = &state.decision.to;
    let databases = state.definition.stack(to).map(|it| &it.databases[..]).unwrap_or_default();
    match databases.iter().find(|database| database.guard.is_none()) {
        Some(database) => Err(format!(
            "nothing tells that {} of {to} takes no writes: it has no guard, so there is no way back: let it end, then move it",
            database.name
        )),
        None => Ok(()),
    }
}

/// What the taking back of a fence had not reached is asked for once more; nothing moves.
fn opens_again(before: &AppState, next: &AppState) -> Result<Demand<'static>, String> {
    let decision = &next.decision;
    let fits = [&decision.from, &decision.to, &next.active].iter().all(|it| **it == before.active)
        && restrains(next) == restrains(before);
    fits.then_some(Demand::default()).ok_or("it does not open the active stack again".into())
}

/// A decision of the mesh's own needs its evidence; an operator's does not.
fn behind<'a>(
    decision: &Decision,
    certificate: Option<&'a Certificate>,
) -> Result<Demand<'a>, String> {
    match (plan::rests_on_evidence(decision.kind), certificate) {
        (false, _) => Ok(Demand::default()),
        (true, Some(_)) => Ok(Demand { evidence: certificate, ..Demand::default() }),
        (true, None) => Err("it has no evidence".into()),
    }
}

/// Is enough known of the old primaries to promote others?
fn fenced(next: &AppState) -> Result<(), String> {
    let decision = &next.decision;
    let old =
        next.definition.stack(&decision.from).map(|stack| &stack.databases[..]).unwrap_or_default();
    let names: BTreeSet<_> = old.iter().map(|database| &database.name).collect();
    if names != decision.fence.keys().collect() {
        return Err("it does not say what is known of every old primary".into());
    }
    let guess = old.iter().find(|it| it.guard.is_none() && decision.fence[&it.name].proven);
    if let Some(database) = guess {
        return Err(format!("nothing can prove {} fenced: it has no guard", database.name));
    }
    let proven = decision.fence.values().all(|fence| fence.proven);
    if next.definition.data.fencing == Fencing::Required && !proven {
        return Err("an old primary is not proven fenced, and `fencing` is `required`".into());
    }
    // Without the exact last position a planned move could lose what was acknowledged.
    if decision.kind == DecisionKind::Switchover
        && decision.fence.values().any(|fence| fence.position.is_none())
    {
        return Err("a switchover needs the old primary's last position".into());
    }
    Ok(())
}

/// Was the DNS move itself what the evidence decided, with nothing promoted before it?
pub fn needs_evidence_first(state: &AppState) -> bool {
    state.phase == Phase::Publishing
        && plan::rests_on_evidence(state.decision.kind)
        && state.decision.candidates.is_empty()
        && state.decision.second.is_none()
}

/// Are endpoints followed by this, and nothing is done about it yet but to publish it?
pub fn needs_finding(state: &AppState) -> bool {
    state.phase == Phase::Publishing && state.decision.kind == DecisionKind::Follow
}

#[cfg(test)]
mod tests;
