//! What DNS hands out of an app: worked out of what everybody says, on every agent by itself; nothing is agreed.
//!
//! A decision says which stack answers. Which of its targets are worth handing out changes more often than anybody would
//! want to agree on, and nothing is lost where two agents differ for a moment. So that answers do not flap, what is left out
//! comes back only after as long as a standby must be up; and lifetimes that were shortened grow again step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Node;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::Place;
use crate::model::{
    AppId, AppState, DecisionKind, Health, Phase, RecordData, SHORTENED_MOST, StackId, Target,
    TargetId, TargetName,
};
use crate::moment::Moment;
use crate::outbox::Note;

/// How long nothing is doubted before shortened lifetimes grow by one step.
const CALM: Duration = Duration::from_secs(30);

/// What DNS makes of an app besides what was agreed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handing {
    /// Targets that are not handed out; a record that would be left with nothing holds all of its own.
    pub left_out: BTreeSet<Place>,
    /// How far lifetimes are shortened, besides what is agreed: 0, and they are not.
    pub shortened: u8,
}

/// The same, with what it takes to keep it steady.
#[derive(Debug, Default)]
pub struct Handed {
    pub now: Arc<Handing>,
    /// Every target that was ever defined here, and where it is; none before the first definition is known.
    defined: BTreeMap<Place, String>,
    revision: u64,
    active: Option<StackId>,
    /// Targets, or places of targets, that a definition brought while others were served.
    new: BTreeSet<Place>,
    /// Does a record lead to replicas? Then the active stack's health does not tell all.
    replicas: bool,
    /// When something was last doubted, or a step was last taken.
    stirred: Moment,
    /// Since when a majority has doubted the active stack, while it does.
    doubted: Option<Moment>,
    /// When something was last doubted or moved.
    troubled: Moment,
}

impl Handed {
    /// Since when a majority has doubted the active stack, while it does.
    pub fn doubted(&self) -> Option<Moment> {
        self.doubted
    }

    /// When something was last doubted or moved.
    pub fn troubled(&self) -> Moment {
        self.troubled
    }

    /// Takes note of what a definition brings.
    fn on_definition(&mut self, state: &AppState) {
        let first = self.revision == 0;
        let mut defined = BTreeMap::new();
        for (id, target) in state.definition.targets() {
            let address = match target {
                Target::Endpoint(it) => format!("{}:{}", it.address, it.port),
                Target::Database(it) => format!("{}:{}", it.address, it.port),
            };
            let place = (id.stack, id.name);
            if !first && self.defined.get(&place) != Some(&address) {
                self.new.insert(place.clone());
            }
            defined.insert(place, address);
        }
        self.new.retain(|place| defined.contains_key(place));
        self.replicas = leads_to_replicas(state);
        (self.defined, self.revision) = (defined, state.revision);
        self.active = Some(state.active.clone());
    }
}

impl Node {
    /// What DNS hands out of every app of [`Node::states`], in the same order.
    pub fn handing(&self) -> Vec<Arc<Handing>> {
        let known = self.apps.values().filter(|app| app.chosen.is_some());
        known.map(|app| app.handed.now.clone()).collect()
    }

    /// Targets that a definition brought, that its records lead to, and that nobody is to be led to yet: they have not been seen
    /// up. What moves an app waits for none of them.
    pub(super) fn unproven(&self, app: &AppId, state: &AppState) -> Vec<TargetName> {
        let brings = matches!(state.decision.kind, DecisionKind::Apply | DecisionKind::Follow);
        let Some(it) = self.apps.get(app).filter(|_| brings) else { return Vec::new() };
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::NewPublished) {
            return Vec::new();
        }
        let new =
            |(id, _): &(TargetId, Target<'_>)| it.handed.new.contains(&place(&id.stack, &id.name));
        let led_to = state.definition.targets().filter(new).filter(|(_, target)| {
            let address = match target {
                Target::Endpoint(it) => &it.address,
                Target::Database(it) => &it.address,
            };
            held(state).any(|data| leads(data, address))
        });
        led_to.map(|(id, _)| id.name).collect()
    }

    /// Works out anew what is handed out of an app.
    pub(super) fn hand_out(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(state) = it.chosen.as_ref().map(|known| known.state.clone()) else { return };
        if it.handed.revision != state.revision || it.handed.active.as_ref() != Some(&state.active)
        {
            it.handed.on_definition(&state);
        }
        let it = &self.apps[app];
        let before = it.handed.now.clone();
        let settled = it.handed.new.is_empty() && !it.handed.replicas;
        let plain = *before == Handing::default() && settled;
        if plain && state.phase == Phase::Idle && self.stands_for_all(&state, now) {
            self.apps.get_mut(app).expect("it is there").handed.doubted = None;
            return;
        }
        let own = self.beliefs_of(app, now);
        let panel = self.panel(&state, &own, now);
        let mut left_out = panel.left_out(&state.active, &before.left_out, &it.handed.new);
        // Others may still speak of where it was before.
        let seen_here = |(stack, name): &Place| {
            let mut own = own.iter().filter(|it| it.health == Health::Up);
            own.any(|it| it.target.stack == *stack && it.target.name == *name)
        };
        left_out.extend(it.handed.new.iter().filter(|place| !seen_here(place)).cloned());
        let doubted = panel.doubts(&state.active);
        let stirred = state.phase != Phase::Idle || doubted;
        let handed = &mut self.apps.get_mut(app).expect("it is there").handed;
        handed.doubted = doubted.then(|| handed.doubted.unwrap_or(now));
        handed.new.retain(|place| left_out.contains(place));
        let shortened = match before.shortened {
            _ if stirred => SHORTENED_MOST,
            0 => 0,
            step if now.since(handed.stirred) < CALM => step,
            step => step - 1,
        };
        if stirred {
            handed.troubled = now;
        }
        if stirred || shortened != before.shortened {
            handed.stirred = now;
        }
        let next = Handing { left_out, shortened };
        if next == *before {
            return;
        }
        let (was, is) = (without(&state, &before), without(&state, &next));
        handed.now = Arc::new(next);
        if was != is {
            let (app, stack) = (app.clone(), state.active.clone());
            self.out.note(Note::HandsOut { app, stack, without: is });
        }
    }
}

/// The endpoints of the active stack that are left out; none where all would be.
fn without(state: &AppState, handing: &Handing) -> Vec<TargetName> {
    let Some(stack) = state.definition.stack(&state.active) else { return Vec::new() };
    let out = |name: &TargetName| handing.left_out.contains(&place(&stack.name, name));
    let names: Vec<_> = state.definition.led_to(stack).map(|endpoint| &endpoint.name).collect();
    let left_out: Vec<_> = names.iter().filter(|name| out(name)).copied().cloned().collect();
    if left_out.len() < names.len() { left_out } else { Vec::new() }
}

/// Does a record hold the address of another stack's database?
fn leads_to_replicas(state: &AppState) -> bool {
    let others = state.definition.stacks.iter().filter(|stack| stack.name != state.active);
    let hosts: Vec<&String> =
        others.flat_map(|stack| &stack.databases).map(|database| &database.address).collect();
    held(state).any(|data| hosts.iter().any(|host| leads(data, host)))
}

/// What records hold while the active stack is that.
fn held(state: &AppState) -> impl Iterator<Item = &RecordData> {
    let records = state.definition.records.iter();
    records.filter_map(|it| it.values.get(&state.active)).flatten()
}

/// Does it lead whoever is told to this host?
fn leads(data: &RecordData, host: &str) -> bool {
    match data {
        RecordData::Address(address) => host.parse() == Ok(*address),
        RecordData::Name(name) => host.eq_ignore_ascii_case(name),
        _ => false,
    }
}

fn place(stack: &StackId, name: &TargetName) -> Place {
    (stack.clone(), name.clone())
}
