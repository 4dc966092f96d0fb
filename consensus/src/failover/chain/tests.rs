//! The table, row by row: what may follow what, and what must stand behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{
    Candidate, Claim, DataPolicy, Database, Definition, Engine, FenceRecord, OperationId, Planned,
    ProbePolicy, SHORTENED_MOST, Stack,
};

fn definition() -> Definition {
    let stack = |name: &str| Stack {
        name: name.parse().unwrap(),
        site: name.parse().unwrap(),
        endpoints: Vec::new(),
        databases: vec![Database {
            name: "orders".parse().unwrap(),
            engine: Engine::Postgres,
            address: "192.0.2.1".into(),
            port: 5432,
            credential: "orders".parse().unwrap(),
            guard: None,
            view: Default::default(),
        }],
    };
    let secs = Duration::from_secs;
    Definition {
        name: "shop".parse().unwrap(),
        mode: Mode::Automatic,
        cooldown: secs(0),
        regions: 2,
        probe: ProbePolicy { interval: secs(5), timeout: secs(4), window: secs(8) },
        data: DataPolicy {
            max_loss_bytes: 0,
            max_loss_time: None,
            fencing: Fencing::BestEffort,
            lease: DataPolicy::LEASE,
            sync: 0,
        },
        zones: Vec::new(),
        stacks: vec![stack("a"), stack("b")],
        records: Vec::new(),
        following: vec![],
    }
}

fn certificate(round: u64) -> Option<Certificate> {
    Some(Certificate { ballot: Ballot { round, instance: 1 }, evidence: Vec::new() })
}

fn state(phase: Phase, epoch: u32, kind: DecisionKind) -> AppState {
    let [a, b] = ["a", "b"].map(|name| name.parse().unwrap());
    let candidate =
        Candidate { name: "orders".parse().unwrap(), system: 7, timeline: 1, position: 5000 };
    let fence = FenceRecord { proven: false, text: "gone".into(), position: None };
    let promotes = matches!(phase, Phase::Promoting | Phase::Publishing);
    AppState {
        definition: Arc::new(definition()),
        revision: 1,
        epoch: Epoch(epoch),
        active: if phase == Phase::Publishing { b } else { a },
        phase,
        decision: Decision {
            epoch: Epoch(epoch),
            kind,
            from: "a".parse().unwrap(),
            to: "b".parse().unwrap(),
            by: "a1".parse().unwrap(),
            reason: "down".into(),
            wall_ms: 0,
            attempt: 1,
            candidates: vec![candidate],
            fence: match promotes {
                true => BTreeMap::from([("orders".parse().unwrap(), fence)]),
                false => BTreeMap::new(),
            },
            loss_bytes: Some(0),
            loss_time: None,
            first: certificate(5),
            second: promotes.then(|| certificate(10)).flatten(),
        },
        guards_since: 1,
        damping: match plan::is_automatic(kind) {
            true => damping::begun(&Damping::default(), Epoch(epoch), false),
            false => Damping::default(),
        },
        freeze: None,
        claim: Some(Claim { agent: "a1".parse().unwrap(), instance: 1, term: 1 }),
        closed: false,
        left: vec![],
        lifetimes: Default::default(),
        sync: Default::default(),
        operations: Vec::new(),
        previous: [0; 32],
    }
}

const HASH: [u8; 32] = [9; 32];

fn step(
    before: &AppState,
    certainty: Certainty,
    edit: impl FnOnce(&mut AppState),
) -> Result<bool, String> {
    let mut next = before.clone();
    next.previous = HASH;
    edit(&mut next);
    follows(Some((before, HASH)), certainty, &next).map(|demand| demand.evidence.is_some())
}

fn claims(state: &mut AppState) {
    state.claim = Some(Claim { agent: "a2".parse().unwrap(), instance: 2, term: 2 });
}

/// An automatic fence is claimed, or followed by a promotion, only with fresh evidence.
#[test]
fn nothing_follows_a_fence_without_evidence() {
    let fencing = state(Phase::Fencing, 2, DecisionKind::Failover);
    assert_eq!(step(&fencing, Certainty::Chosen, claims), Ok(true));
    let promoting = state(Phase::Promoting, 2, DecisionKind::Failover);
    assert_eq!(
        step(&fencing, Certainty::Chosen, |next| *next = AppState { previous: HASH, ..promoting }),
        Ok(true)
    );
    let bare = step(&fencing, Certainty::Chosen, |next| {
        claims(next);
        next.decision.first = None;
    });
    assert!(bare.is_err());
}

fn aborts(next: &mut AppState) {
    next.phase = Phase::Aborting;
    next.epoch = Epoch(3);
    next.decision.epoch = Epoch(3);
    next.decision.kind = DecisionKind::Abort;
    std::mem::swap(&mut next.decision.from, &mut next.decision.to);
    next.decision.candidates.clear();
    next.damping.history[0].aborted = true;
}

#[test]
fn a_promotion_that_may_have_been_asked_for_only_goes_forward() {
    let promoting = state(Phase::Promoting, 2, DecisionKind::Failover);
    assert_eq!(step(&promoting, Certainty::Chosen, claims), Ok(false));
    assert_eq!(step(&promoting, Certainty::Possible, claims), Ok(false));
    assert!(step(&promoting, Certainty::Chosen, aborts).is_err());
    assert!(step(&promoting, Certainty::Possible, aborts).is_err());
    assert_eq!(step(&promoting, Certainty::Unchosen, aborts), Ok(false));
}

/// Behind a guard's door it takes no writes once no lease runs, which is for every acceptor's clock to say: of the taking back,
/// of claims of it, and where somebody's write of it is completed.
#[test]
fn a_promotion_behind_a_door_is_taken_back_once_no_lease_runs() {
    let guarded = |mut state: AppState| {
        let mut definition = AppState::clone(&state).definition.as_ref().clone();
        definition.stacks[1].databases[0].guard = Some("b9".parse().unwrap());
        state.definition = Arc::new(definition);
        state
    };
    let demand = |before: &AppState, next: &AppState| {
        follows(Some((before, HASH)), Certainty::Chosen, next).map(|demand| demand.unleased)
    };
    let promoting = guarded(state(Phase::Promoting, 2, DecisionKind::Failover));
    let mut aborting = AppState { previous: HASH, ..promoting.clone() };
    aborts(&mut aborting);
    assert!(demand(&promoting, &aborting).is_err(), "it does not say what it gives up");
    aborting.decision.candidates.clone_from(&promoting.decision.candidates);
    assert_eq!(demand(&promoting, &aborting), Ok(true));
    let mut claimed = AppState { previous: HASH, ..aborting.clone() };
    claims(&mut claimed);
    assert_eq!(demand(&aborting, &claimed), Ok(true));
    assert_eq!(demand(&aborting, &aborting), Ok(true));
    // The guard of the other stack says nothing of this one.
    let mut other = AppState::clone(&promoting).definition.as_ref().clone();
    other.stacks[0].databases[0].guard = other.stacks[1].databases[0].guard.take();
    let (mut promoting, mut aborting) = (promoting, aborting);
    promoting.definition = Arc::new(other);
    aborting.definition = promoting.definition.clone();
    assert!(demand(&promoting, &aborting).is_err());
}

/// The promotion was chosen and carried out at ballot 10; a claim of it at ballot 20 reached only a minority.
#[test]
fn a_claim_that_was_not_chosen_says_nothing_of_the_promotion_before_it() {
    let at = |round| Ballot { round, instance: 1 };
    let promoting = state(Phase::Promoting, 2, DecisionKind::Failover);
    let rows = [
        (at(10), Certainty::Unchosen, Certainty::Unchosen),
        (at(20), Certainty::Unchosen, Certainty::Possible),
        (at(20), Certainty::Possible, Certainty::Possible),
        (at(20), Certainty::Chosen, Certainty::Chosen),
    ];
    for (ballot, found, expected) in rows {
        assert_eq!(certainty_of_phase(&promoting, ballot, found), expected, "{ballot} {found:?}");
    }
    let fencing = state(Phase::Fencing, 2, DecisionKind::Failover);
    assert_eq!(certainty_of_phase(&fencing, at(20), Certainty::Unchosen), Certainty::Unchosen);
}

/// Nobody claims what may not have been followed; so whatever is claimed was, however few have heard of the claim.
#[test]
fn what_is_followed_is_claimed_once_it_is_agreed() {
    let at = Ballot { round: 20, instance: 1 };
    let claimed = state(Phase::Publishing, 2, DecisionKind::Follow);
    assert!(claimed.claim.is_some());
    for found in [Certainty::Unchosen, Certainty::Possible, Certainty::Chosen] {
        assert_eq!(certainty_of_phase(&claimed, at, found), Certainty::Chosen);
    }
    let fresh = AppState { claim: None, ..claimed };
    assert_eq!(certainty_of_phase(&fresh, at, Certainty::Unchosen), Certainty::Unchosen);
    assert!(step(&fresh, Certainty::Possible, claims).is_err());
    assert!(step(&fresh, Certainty::Unchosen, claims).is_err());
    assert!(step(&fresh, Certainty::Possible, |next| next.phase = Phase::Verifying).is_err());
    assert!(step(&fresh, Certainty::Chosen, claims).is_ok());
}

#[test]
fn a_decision_stays_what_it_is_within_its_epoch() {
    let promoting = state(Phase::Promoting, 2, DecisionKind::Failover);
    let edits: [fn(&mut AppState); 9] = [
        |next| next.decision.to = "a".parse().unwrap(),
        |next| next.decision.reason = "whim".into(),
        |next| next.decision.attempt = 0,
        |next| next.decision.candidates.clear(),
        |next| next.decision.fence.clear(),
        |next| next.decision.loss_bytes = Some(9),
        |next| next.decision.loss_time = Some(Duration::from_secs(9)),
        |next| next.damping = Damping::default(),
        |next| next.claim.as_mut().unwrap().agent = "a3".parse().unwrap(),
    ];
    for (row, edit) in edits.into_iter().enumerate() {
        let found = step(&promoting, Certainty::Chosen, |next| {
            if row < 8 {
                claims(next);
            }
            edit(next);
        });
        assert!(found.is_err(), "row {row}");
    }
}

#[test]
fn phases_follow_one_another_and_never_turn_back() {
    use Phase::{Aborting, Fencing, Idle, Promoting, Publishing, Verifying};
    let all = [Idle, Fencing, Aborting, Promoting, Publishing, Verifying];
    let lawful = [
        (Idle, Idle),
        (Fencing, Fencing),
        (Fencing, Promoting),
        (Aborting, Aborting),
        (Aborting, Idle),
        (Promoting, Promoting),
        (Promoting, Publishing),
        (Publishing, Publishing),
        (Publishing, Verifying),
        (Verifying, Verifying),
        (Verifying, Idle),
    ];
    for from in all {
        for to in all {
            let mut before = state(from, 2, DecisionKind::Failover);
            before.active = "a".parse().unwrap();
            let mut next = state(to, 2, DecisionKind::Failover);
            next.previous = HASH;
            next.active =
                if (from, to) == (Promoting, Publishing) { "b" } else { "a" }.parse().unwrap();
            if (from, to) != (Fencing, Promoting) {
                next.decision = before.decision.clone();
            }
            claims(&mut next);
            let found = follows(Some((&before, HASH)), Certainty::Chosen, &next);
            assert_eq!(found.is_ok(), lawful.contains(&(from, to)), "{from} to {to}: {found:?}");
        }
    }
}

#[test]
fn the_mesh_moves_by_itself_only_what_it_may() {
    let idle = state(Phase::Idle, 1, DecisionKind::Apply);
    let moves = |kind: DecisionKind| {
        move |next: &mut AppState| {
            *next = AppState { previous: HASH, ..state(Phase::Fencing, 2, kind) };
            next.definition = Arc::new(Definition { mode: next.definition.mode, ..definition() });
        }
    };
    assert_eq!(step(&idle, Certainty::Chosen, moves(DecisionKind::Failover)), Ok(true));
    assert_eq!(step(&idle, Certainty::Chosen, moves(DecisionKind::Forced)), Ok(false));
    let mut shadow = idle;
    shadow.definition = Arc::new(Definition { mode: Mode::Shadow, ..definition() });
    let by_itself = step(&shadow, Certainty::Chosen, |next| {
        let definition = next.definition.clone();
        *next = AppState {
            previous: HASH,
            definition,
            ..state(Phase::Fencing, 2, DecisionKind::Failover)
        };
    });
    assert!(by_itself.unwrap_err().contains("by itself"));
}

#[test]
fn the_mesh_remembers_what_it_did_by_itself() {
    let idle = state(Phase::Idle, 1, DecisionKind::Apply);
    let moves = |kind: DecisionKind, edit: fn(&mut AppState)| {
        step(&idle, Certainty::Chosen, |next| {
            *next = AppState { previous: HASH, ..state(Phase::Fencing, 2, kind) };
            next.definition = idle.definition.clone();
            edit(next);
        })
    };
    assert!(moves(DecisionKind::Failover, |_| {}).is_ok());
    assert!(moves(DecisionKind::Failover, |next| next.damping.flapping = true).is_ok());
    assert!(moves(DecisionKind::Failover, |next| next.damping = Damping::default()).is_err());
    assert!(moves(DecisionKind::Forced, |_| {}).is_ok());
    let invents = |next: &mut AppState| next.damping.flapping = true;
    assert!(moves(DecisionKind::Forced, invents).is_err());
}

#[test]
fn flapping_is_a_matter_for_people() {
    let mut idle = state(Phase::Idle, 1, DecisionKind::Apply);
    idle.damping.flapping = true;
    let moves = |idle: &AppState, kind: DecisionKind| {
        step(idle, Certainty::Chosen, |next| {
            *next = AppState { previous: HASH, ..state(Phase::Fencing, 2, kind) };
            next.definition = idle.definition.clone();
            next.damping.flapping = true;
        })
    };
    assert!(moves(&idle, DecisionKind::Failover).is_ok(), "without a cooldown nothing is damped");
    idle.definition = Arc::new(Definition { cooldown: Duration::from_secs(900), ..definition() });
    assert!(moves(&idle, DecisionKind::Failover).unwrap_err().contains("flapping"));
    assert!(moves(&idle, DecisionKind::Forced).is_ok());
}

fn freeze(reason: &str) -> Option<Freeze> {
    Some(Freeze {
        id: OperationId { instance: 1, number: 7 },
        by: "ann".into(),
        reason: reason.into(),
        lasts: Duration::from_secs(3600),
    })
}

/// A freeze and an acknowledgement come and go while nothing is in progress, and bring nothing else with them.
#[test]
fn a_persons_word_changes_nothing_else() {
    let idle = state(Phase::Idle, 2, DecisionKind::Failover);
    type Edit = fn(&mut AppState);
    let rows: [(Edit, bool); 8] = [
        (|next| next.freeze = freeze("release"), true),
        (|next| next.damping = damping::cleared("ann"), true),
        (|next| next.freeze = freeze(&"x".repeat(400)), false),
        (|next| next.damping = Damping::default(), false),
        (|next| next.damping.flapping = true, false),
        (|next| next.damping.history[0].epoch = Epoch(1), false),
        (
            |next| {
                next.freeze = freeze("release");
                next.active = "b".parse().unwrap();
            },
            false,
        ),
        (
            |next| {
                next.freeze = freeze("release");
                next.decision.reason = "whim".into();
            },
            false,
        ),
    ];
    for (row, (edit, lawful)) in rows.into_iter().enumerate() {
        assert_eq!(step(&idle, Certainty::Chosen, edit).is_ok(), lawful, "row {row}");
    }
    let verifying = state(Phase::Verifying, 2, DecisionKind::Failover);
    let refused = step(&verifying, Certainty::Chosen, |next| next.freeze = freeze("release"));
    assert!(refused.unwrap_err().contains("epoch 2 is in progress"));
}

/// Whether a freeze has run out is for the acceptors' clocks; the mesh's own decision takes it off, a person's leaves it.
#[test]
fn an_automatic_move_takes_a_freeze_off() {
    let mut idle = state(Phase::Idle, 1, DecisionKind::Apply);
    idle.freeze = freeze("release");
    for (kind, left, lawful) in [
        (DecisionKind::Failover, None, true),
        (DecisionKind::Failover, freeze("release"), false),
        (DecisionKind::Forced, None, false),
        (DecisionKind::Forced, freeze("release"), true),
    ] {
        let found = step(&idle, Certainty::Chosen, |next| {
            *next = AppState { previous: HASH, ..state(Phase::Fencing, 2, kind) };
            next.definition = idle.definition.clone();
            next.freeze = left;
        });
        assert_eq!(found.is_ok(), lawful, "{kind}: {found:?}");
    }
}

#[test]
fn lifetimes_change_at_rest_and_alone_and_what_is_planned_goes_with_the_next_move() {
    let idle = AppState { claim: None, ..state(Phase::Idle, 2, DecisionKind::Apply) };
    let planned = |to: &str| Lifetimes {
        shortened: SHORTENED_MOST,
        planned: Some(Planned {
            id: OperationId { instance: 1, number: 1 },
            to: to.parse().unwrap(),
            by: "somebody".into(),
            runs_out: Duration::from_secs(300),
        }),
        changes: 1,
    };
    let sets = |lifetimes: Lifetimes| move |next: &mut AppState| next.lifetimes = lifetimes;
    let follows = |before: &AppState, edit: &dyn Fn(&mut AppState)| {
        step(before, Certainty::Chosen, edit).is_ok()
    };
    assert!(step(&idle, Certainty::Chosen, sets(planned("b"))).is_ok());
    for (what, lifetimes) in [
        ("to where it is", planned("a")),
        ("to nowhere", planned("z")),
        ("not shortened", Lifetimes { shortened: 1, ..planned("b") }),
        ("not counted", Lifetimes { changes: 0, ..planned("b") }),
        ("counted twice", Lifetimes { changes: 2, ..planned("b") }),
        (
            "beyond the steps",
            Lifetimes { shortened: SHORTENED_MOST + 1, planned: None, changes: 1 },
        ),
    ] {
        assert!(step(&idle, Certainty::Chosen, sets(lifetimes)).is_err(), "{what}");
    }
    let fencing = state(Phase::Fencing, 2, DecisionKind::Failover);
    assert!(step(&fencing, Certainty::Chosen, sets(planned("b"))).is_err(), "in progress");
    let with_more = |next: &mut AppState| {
        next.lifetimes = planned("b");
        next.closed = true;
    };
    assert!(!follows(&idle, &with_more), "something else with it");

    let waiting = AppState { lifetimes: planned("b"), ..idle };
    let moves = |next: &mut AppState| {
        let moved = state(Phase::Fencing, 3, DecisionKind::Switchover);
        *next = AppState { previous: HASH, lifetimes: next.lifetimes.clone(), ..moved };
    };
    assert!(!follows(&waiting, &moves), "still planned though it moved");
    let called_off = |next: &mut AppState| {
        moves(next);
        next.lifetimes.planned = None;
    };
    assert!(follows(&waiting, &called_off));
    let lengthened = |next: &mut AppState| {
        called_off(next);
        next.lifetimes.shortened = 0;
    };
    assert!(!follows(&waiting, &lengthened), "lifetimes change with a move");
    let counted = |next: &mut AppState| {
        called_off(next);
        next.lifetimes.changes += 1;
    };
    assert!(!follows(&waiting, &counted), "a change of nothing");
}

#[test]
fn the_sync_set_changes_at_rest_and_alone_and_goes_with_the_primary() {
    let mut idle = AppState { claim: None, ..state(Phase::Idle, 2, DecisionKind::Apply) };
    Arc::make_mut(&mut idle.definition).data.sync = 1;
    idle.sync.version = 1;
    let relied = |stack: &str| {
        let of = [(stack.parse().unwrap(), format!("{stack}-1"))].into();
        [("orders".parse().unwrap(), of)].into()
    };
    let set = |version, stack: &str| SyncSet { version, relied: relied(stack) };
    let sets = |sync: SyncSet| move |next: &mut AppState| next.sync = sync;
    let waited = |before: &AppState, sync: SyncSet| {
        let next = AppState { sync, previous: HASH, ..before.clone() };
        follows(Some((before, HASH)), Certainty::Chosen, &next).map(|demand| demand.waited)
    };
    assert_eq!(waited(&idle, set(2, "b")), Ok(true), "who is added has to be seen");
    let relying = AppState { sync: set(2, "b"), ..idle.clone() };
    let never = AppState { sync: SyncSet::default(), ..idle.clone() };
    let nobody = SyncSet { version: 3, ..SyncSet::default() };
    assert_eq!(waited(&relying, nobody), Ok(false), "who is taken away has not");
    for (what, before, sync) in [
        ("of the same version", &relying, SyncSet { version: 2, ..SyncSet::default() }),
        ("of an older one", &relying, SyncSet { version: 1, ..SyncSet::default() }),
        ("the primary itself", &idle, set(2, "a")),
        ("a stack that is not defined", &idle, set(2, "z")),
        ("a version nobody comes to", &idle, set(SYNC_VERSION_MOST + 2, "b")),
        ("resting on no version", &never, set(1, "b")),
    ] {
        assert!(step(before, Certainty::Chosen, sets(sync)).is_err(), "{what}");
    }
    let mut unkept = idle.clone();
    Arc::make_mut(&mut unkept.definition).data.sync = 0;
    assert!(step(&unkept, Certainty::Chosen, sets(set(2, "b"))).is_err(), "nobody keeps it");
    let fencing = AppState {
        definition: idle.definition.clone(),
        ..state(Phase::Fencing, 2, DecisionKind::Failover)
    };
    assert!(step(&fencing, Certainty::Chosen, sets(set(2, "b"))).is_err(), "in progress");

    let promoting = AppState {
        definition: idle.definition.clone(),
        sync: set(4, "b"),
        ..state(Phase::Promoting, 3, DecisionKind::Failover)
    };
    let publishes = |sync: SyncSet| {
        move |next: &mut AppState| {
            next.phase = Phase::Publishing;
            next.active = next.decision.to.clone();
            next.sync = sync;
        }
    };
    let emptied = SyncSet { version: 5, ..SyncSet::default() };
    assert!(step(&promoting, Certainty::Chosen, publishes(emptied)).is_ok());
    for kept in [set(4, "b"), set(5, "b"), SyncSet { version: 4, ..SyncSet::default() }] {
        assert!(step(&promoting, Certainty::Chosen, publishes(kept)).is_err(), "another primary");
    }
}
