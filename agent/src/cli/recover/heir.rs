//! What one store held of an app → the state that the voters of a new mesh begin with.

use std::cmp::Reverse;

use consensus::message::Accepted;
use consensus::model::{
    AgentId, AppId, AppState, Ballot, Decision, DecisionKind, Epoch, Phase, RegisterId, StackId,
};
use consensus::saved::SavedRegister;
use consensus::value;
use serde_json::{Value as Json, json};

use crate::store::Stopped;

/// How far above the highest epoch of this store the new mesh goes on: the lost voters may have decided a few that it
/// never heard of, and whatever they left outside (marker records, `quorate.epoch`) must not outrank the new ones.
const EPOCH_GAP: u32 = 1000;
/// Lower than every ballot that a running agent uses: their instances count its starts in the upper bits.
const FIRST: Ballot = Ballot { round: 1, instance: 1 };

/// An app as the new mesh begins with it.
pub struct Heir {
    /// The app.
    pub app: AppId,
    /// The stack that the answers will name.
    pub active: StackId,
    /// The highest epoch this store has seen, decided or not.
    pub highest: Epoch,
    /// How far the last decision was, as far as it knows.
    pub phase: Phase,
    /// The epoch to go on at.
    pub epoch: Epoch,
    chosen: Accepted,
}

impl Heir {
    /// What every store of the new mesh is born with.
    pub fn register(&self) -> (RegisterId, Accepted) {
        (RegisterId::App(self.app.clone()), self.chosen.clone())
    }

    /// The stable shape that scripts read.
    pub fn json(&self) -> Json {
        json!({
            "app": self.app,
            "active": self.active,
            "last_known": { "epoch": self.highest, "phase": self.phase },
            "epoch": self.epoch,
        })
    }
}

/// Every app of a store. `active` says of an app which stack takes writes: needed where a move was under way.
///
/// # Errors
/// If that is not said, or of an app or a stack that is not there.
pub fn heirs(
    stopped: &Stopped,
    active: &[(AppId, StackId)],
    wall_ms: u64,
) -> Result<Vec<Heir>, String> {
    let mut heirs = Vec::new();
    for (id, register) in &stopped.saved.registers {
        let RegisterId::App(app) = id else { continue };
        let said = active.iter().find(|(named, _)| named == app).map(|(_, stack)| stack);
        heirs.extend(heir(app, register, said, &stopped.birth.agent, wall_ms)?);
    }
    match active.iter().find(|(named, _)| !heirs.iter().any(|heir| heir.app == *named)) {
        None => Ok(heirs),
        Some((app, _)) => Err(format!("--active: this store knows no app `{app}`")),
    }
}

/// `None` for an app that was promised something and never held a value.
fn heir(
    app: &AppId,
    register: &SavedRegister,
    said: Option<&StackId>,
    by: &AgentId,
    wall_ms: u64,
) -> Result<Option<Heir>, String> {
    let held = [&register.chosen, &register.accepted].into_iter().flatten();
    let mut states: Vec<_> = held
        .filter_map(|held| {
            let state: AppState = value::decode(&held.value).ok()?;
            Some((held.ballot, held.value.hash(), state))
        })
        .collect();
    // What was accepted last may have been agreed; taking it for agreed is part of what is unsafe here.
    states.sort_by_key(|(ballot, ..)| Reverse(*ballot));
    let highest = states.iter().map(|(.., state)| state.epoch).max();
    let (Some((_, hash, newest)), Some(highest)) = (states.into_iter().next(), highest) else {
        return Ok(None);
    };
    let stacks: Vec<_> = newest.definition.stacks.iter().map(|stack| &stack.name).collect();
    let names = || stacks.iter().map(|stack| stack.as_str()).collect::<Vec<_>>().join(", ");
    let moving = match newest.phase {
        Phase::Fencing | Phase::Aborting | Phase::Promoting => true,
        Phase::Idle | Phase::Publishing | Phase::Verifying => false,
    };
    let active = match said {
        Some(stack) if stacks.contains(&stack) => stack.clone(),
        Some(stack) => {
            return Err(format!("{app} has no stack `{stack}`: expected one of {}", names()));
        }
        None if moving => {
            let Decision { from, to, .. } = &newest.decision;
            let phase = newest.phase;
            return Err(format!(
                "{app} was being moved from {from} to {to} ({phase}), and this store cannot know how far that came: \
                 look which stack's databases take writes, and say --active {app}=STACK"
            ));
        }
        None => newest.active.clone(),
    };
    let epoch = Epoch(highest.0.saturating_add(EPOCH_GAP));
    let phase = newest.phase;
    let decision = Decision {
        epoch,
        kind: DecisionKind::Apply,
        from: active.clone(),
        to: active.clone(),
        by: by.clone(),
        reason: format!("recovered from what {by} knew, epoch {highest} ({phase})"),
        wall_ms,
        attempt: 0,
        candidates: Vec::new(),
        fence: Default::default(),
        loss_bytes: None,
        loss_time: None,
        first: None,
        second: None,
    };
    // Published anew, as after an apply: outside name servers may still hold what the lost voters wrote last.
    let state = AppState {
        epoch,
        active: active.clone(),
        phase: Phase::Publishing,
        decision,
        claim: None,
        // Whatever was being fenced or opened when the voters were lost may be closed.
        closed: newest.closed || matches!(phase, Phase::Fencing | Phase::Aborting),
        operations: Vec::new(),
        previous: hash,
        ..newest
    };
    let chosen = Accepted { ballot: FIRST, value: value::encode(&state) };
    Ok(Some(Heir { app: app.clone(), active, highest, phase, epoch, chosen }))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::status::fixture::{blog_state, shop_state};
    use crate::store;
    use consensus::model::MeshId;
    use std::path::Path;
    use tempfile::TempDir;

    fn accepted(round: u64, state: &AppState) -> Option<Accepted> {
        let ballot = Ballot { round, instance: 1 << 48 };
        Some(Accepted { ballot, value: value::encode(state) })
    }

    fn holding(shop: SavedRegister) -> (TempDir, Stopped) {
        let folder = tempfile::tempdir().expect("a folder");
        let ballots = store::draw().expect("chance");
        let mesh = MeshId(0x7c1e_5ab0_936d_4f22_88a1_0f4c_5de0_b917);
        let mut saved = store::newborn(mesh, &"ams-1".parse().expect("a name"), Some(&ballots));
        let blog = SavedRegister { chosen: accepted(2, &blog_state()), ..SavedRegister::default() };
        let promised = SavedRegister {
            promised: Ballot { round: 1, instance: 1 << 48 },
            ..SavedRegister::default()
        };
        for (app, register) in [("shop", shop), ("blog", blog), ("none", promised)] {
            saved.registers.insert(RegisterId::App(app.parse().expect("a name")), register);
        }
        store::create(folder.path(), &saved, Some(&ballots)).expect("a store");
        let stopped = Stopped::open(folder.path()).expect("nobody runs on it");
        (folder, stopped)
    }

    /// A store that knew two apps, both idle.
    pub fn stopped() -> (TempDir, Stopped) {
        let chosen = accepted(9, &shop_state(Phase::Idle));
        holding(SavedRegister { chosen, ..SavedRegister::default() })
    }

    fn state(heir: &Heir) -> AppState {
        value::decode(&heir.register().1.value).expect("a state")
    }

    fn named(app: &str, stack: &str) -> Vec<(AppId, StackId)> {
        vec![(app.parse().expect("a name"), stack.parse().expect("a name"))]
    }

    #[test]
    fn an_app_goes_on_above_every_epoch_the_store_saw() {
        let (_folder, stopped) = stopped();
        let heirs = heirs(&stopped, &[], 5).expect("nothing under way");
        let found: Vec<_> =
            heirs.iter().map(|heir| (heir.app.as_str(), heir.highest.0, heir.epoch.0)).collect();
        assert_eq!(found, [("blog", 1, 1001), ("shop", 4, 1004)]);
        let shop = state(&heirs[1]);
        assert_eq!((shop.active.as_str(), shop.phase), ("do-west", Phase::Publishing));
        assert_eq!((shop.decision.kind, shop.decision.wall_ms), (DecisionKind::Apply, 5));
        assert_eq!(shop.revision, 2);
    }

    #[test]
    fn what_was_accepted_after_what_was_chosen_counts() {
        let mut newer = shop_state(Phase::Verifying);
        newer.epoch = Epoch(6);
        let (_folder, stopped) = holding(SavedRegister {
            chosen: accepted(9, &shop_state(Phase::Idle)),
            accepted: accepted(12, &newer),
            ..SavedRegister::default()
        });
        let heirs = heirs(&stopped, &[], 0).expect("the promotion is over");
        assert_eq!((heirs[1].highest, heirs[1].epoch), (Epoch(6), Epoch(1006)));
    }

    #[test]
    fn a_move_under_way_must_be_looked_at() {
        let (_folder, stopped) = holding(SavedRegister {
            chosen: accepted(9, &shop_state(Phase::Promoting)),
            ..SavedRegister::default()
        });
        let refused = |active: &[(AppId, StackId)]| heirs(&stopped, active, 0).err();
        let why = refused(&[]).expect("it cannot know");
        assert!(why.contains("from aws-east to do-west (promoting)"), "{why}");
        assert!(why.contains("--active shop=STACK"), "{why}");
        let why = refused(&named("shop", "moon")).expect("no such stack");
        assert!(why.contains("expected one of aws-east, do-west"), "{why}");
        let mut both = named("shop", "do-west");
        both.extend(named("toys", "do-west"));
        assert!(refused(&both).expect("no such app").contains("no app `toys`"));
        let heirs = heirs(&stopped, &named("shop", "do-west"), 0).expect("said");
        assert_eq!(state(&heirs[1]).active.as_str(), "do-west");
    }

    #[test]
    fn a_store_is_recovered_from_once() {
        let (folder, stopped) = stopped();
        let kept = stopped.retire(Path::new("new-mesh")).expect("own folder");
        assert!(kept.exists());
        let error = Stopped::open(folder.path()).expect_err("its log is away").to_string();
        assert!(error.contains("there is no log"), "{error}");
    }
}
