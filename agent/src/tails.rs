//! Who still hands out old addresses after a move?
//!
//! Takes the agreed state as it changes, and the resolvers that this agent's owner named. After a move each of them is asked
//! for the app's names, by itself and with nothing kept here, until it gave nothing that only the stack before has, three times
//! in a row: behind one address there may be several caches. What a client of that resolver would see is known thereby, not
//! what every client sees. Knows nothing of ballots, of who publishes what, and of health.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::{AppId, AppState, Definition, Record, RecordData, RecordKind, StackId};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock;
use crate::run::Agreed;
use crate::sources;

/// Between two rounds of questions to one resolver.
const PACE: Duration = Duration::from_secs(1);
/// So many rounds in a row without an old address, and a resolver has followed.
const CLEAN: u32 = 3;
/// Beyond the lifetime of the old answers: whoever kept one as it was replaced lets go of it within that.
const MARGIN: Duration = Duration::from_secs(60);
/// No tail is watched longer, whatever the lifetimes, nor shown.
const LONGEST: Duration = Duration::from_secs(3600);

/// A move that resolvers may not have followed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailView {
    /// The app.
    pub app: AppId,
    /// The stack that answers named before.
    pub from: StackId,
    /// The stack that they name.
    pub to: StackId,
    /// Every resolver that was asked.
    pub resolvers: Vec<ResolverView>,
}

/// What one resolver hands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverView {
    /// Where it is asked.
    pub resolver: SocketAddr,
    /// The old addresses that it gave last, by name.
    pub old: Vec<OldView>,
    /// How long after the move was learned it had followed; none while it has not.
    pub followed_ms: Option<u64>,
    /// Why it does not tell, if it does not.
    pub why: Option<String>,
}

/// An old address that is still handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldView {
    /// Of which name.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// How long whoever asks now may keep it, by the resolver's own count.
    pub left_ms: u64,
}

/// The tails of all moves that are watched; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tails(Arc<Mutex<BTreeMap<AppId, (Instant, TailView)>>>);

impl Tails {
    /// All of them, by app: the last move of each, for an hour.
    pub fn views(&self) -> Vec<TailView> {
        let tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = tails.values().filter(|(begun, _)| begun.elapsed() < LONGEST);
        shown.map(|(_, tail)| tail.clone()).collect()
    }

    fn begin(&self, tail: TailView) {
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tails.insert(tail.app.clone(), (Instant::now(), tail));
    }

    fn update(&self, app: &AppId, resolver: SocketAddr, change: impl FnOnce(&mut ResolverView)) {
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut views = tails.get_mut(app).into_iter().flat_map(|(_, tail)| &mut tail.resolvers);
        if let Some(view) = views.find(|it| it.resolver == resolver) {
            change(view);
        }
    }

    /// Watches every move from now on, until nothing more can be agreed.
    pub async fn follow(
        self,
        resolvers: Vec<SocketAddr>,
        mut agreed: watch::Receiver<Arc<Agreed>>,
    ) {
        let mut active: BTreeMap<AppId, StackId> = BTreeMap::new();
        let mut watched: BTreeMap<AppId, JoinSet<()>> = BTreeMap::new();
        loop {
            let latest = agreed.borrow_and_update().clone();
            for state in &latest.apps {
                let app = &state.definition.name;
                let before = active.insert(app.clone(), state.active.clone());
                let Some(from) = before.or_else(|| moved_lately(state)) else { continue };
                if from == state.active {
                    continue;
                }
                // What was watched before is over: its task ends with its set.
                watched.insert(app.clone(), self.watch(state, from, &resolvers));
            }
            if agreed.changed().await.is_err() {
                return;
            }
        }
    }

    fn watch(&self, state: &AppState, from: StackId, resolvers: &[SocketAddr]) -> JoinSet<()> {
        let old = Arc::new(old_addresses(&state.definition, &from, &state.active));
        let (app, to) = (state.definition.name.clone(), state.active.clone());
        let view = |resolver: &SocketAddr| ResolverView {
            resolver: *resolver,
            old: Vec::new(),
            followed_ms: None,
            why: Some("was not asked yet".to_owned()),
        };
        let views = resolvers.iter().map(view).collect();
        self.begin(TailView { app: app.clone(), from, to, resolvers: views });
        let until = Instant::now() + watched_for(&state.definition);
        let mut asking = JoinSet::new();
        for resolver in resolvers {
            asking.spawn(self.clone().ask(app.clone(), *resolver, old.clone(), until));
        }
        asking
    }

    /// Asks one resolver until it has followed, or nobody could keep an old answer any more.
    async fn ask(self, app: AppId, resolver: SocketAddr, old: Arc<Old>, until: Instant) {
        let asker = match sources::resolver_at(resolver) {
            Ok(asker) => asker,
            Err(why) => return self.update(&app, resolver, |view| view.why = Some(why)),
        };
        let (began, mut clean) = (Instant::now(), 0);
        while Instant::now() < until {
            let asked = Instant::now();
            let (found, why) = round(&asker, &old).await;
            clean = if found.is_empty() && why.is_none() { clean + 1 } else { 0 };
            let followed = clean == CLEAN;
            self.update(&app, resolver, |view| {
                (view.old, view.why) = (found, why);
                view.followed_ms = followed.then(|| millis(asked.duration_since(began)));
            });
            if followed {
                tracing::info!(%app, %resolver, "has followed after {:?}", asked.duration_since(began));
                return;
            }
            sleep(PACE).await;
        }
        tracing::warn!(%app, %resolver, "did not follow as long as it was watched");
    }
}

/// What only the stack before has, by name and type.
type Old = BTreeMap<(String, RecordKind), BTreeSet<IpAddr>>;

/// The addresses that names had while `from` was the active stack and have not while `to` is.
fn old_addresses(definition: &Definition, from: &StackId, to: &StackId) -> Old {
    let addresses = |name: &str, kind: RecordKind, stack: &StackId| -> BTreeSet<IpAddr> {
        let same = definition.records.iter().filter(|it| it.name == name && it.kind == kind);
        let values = same.flat_map(|record| record.values.get(stack)).flatten();
        let address = |value: &RecordData| match value {
            RecordData::Address(address) => Some(*address),
            _ => None,
        };
        values.filter_map(address).collect()
    };
    let kinds = [RecordKind::A, RecordKind::Aaaa];
    // A wildcard is no name that could be asked for.
    let asked = |it: &&Record| kinds.contains(&it.kind) && !it.name.starts_with('*');
    let of_addresses = definition.records.iter().filter(asked);
    let old = of_addresses.map(|record| {
        let (before, now) = [from, to].map(|it| addresses(&record.name, record.kind, it)).into();
        let old: BTreeSet<_> = before.difference(&now).copied().collect();
        ((record.name.clone(), record.kind), old)
    });
    old.filter(|(_, old)| !old.is_empty()).collect()
}

/// Nobody who keeps to lifetimes hands out an old answer for longer.
fn watched_for(definition: &Definition) -> Duration {
    let longest = definition.records.iter().map(|record| record.ttl).max().unwrap_or_default();
    (Duration::from_secs(longest.into()) + MARGIN).min(LONGEST)
}

/// The stack that a move within the last minutes left: what an agent that starts meanwhile goes by. Wall clocks are good
/// enough for what is only looked at.
fn moved_lately(state: &AppState) -> Option<StackId> {
    let decision = &state.decision;
    let age = Duration::from_millis(clock::wall_ms().saturating_sub(decision.wall_ms));
    let moved = decision.to == state.active && decision.from != decision.to;
    (moved && age < watched_for(&state.definition)).then(|| decision.from.clone())
}

/// Asks for every name once: the old addresses that were given, and why any name was not answered.
async fn round(asker: &TokioResolver, old: &Old) -> (Vec<OldView>, Option<String>) {
    let (mut found, mut why) = (Vec::new(), None);
    for ((name, kind), old) in old {
        let kind = match kind {
            RecordKind::Aaaa => RecordType::AAAA,
            _ => RecordType::A,
        };
        match sources::lookup(asker, name, kind).await {
            Ok(records) => found.extend(records.into_iter().filter_map(|(data, left)| {
                let address = match data {
                    RData::A(address) => IpAddr::V4(address.0),
                    RData::AAAA(address) => IpAddr::V6(address.0),
                    _ => return None,
                };
                let (name, left_ms) = (name.clone(), millis(left));
                old.contains(&address).then_some(OldView { name, address, left_ms })
            })),
            Err(error) => why = Some(format!("{name}: {error}")),
        }
    }
    (found, why)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
impl Tails {
    /// For tests: as if these were watched.
    pub fn showing(tails: Vec<TailView>) -> Self {
        let all = Self::default();
        tails.into_iter().for_each(|tail| all.begin(tail));
        all
    }
}

#[cfg(test)]
mod tests {
    use consensus::model::Driver;

    use super::*;
    use crate::status::fixture;

    fn stacks() -> [StackId; 2] {
        ["aws-east", "do-west"].map(|name| name.parse().expect("a name"))
    }

    fn of(data: &[&str]) -> Vec<RecordData> {
        data.iter().map(|it| RecordData::Address(it.parse().expect("an address"))).collect()
    }

    #[test]
    fn old_is_what_only_the_stack_before_has() {
        let state = fixture::shop_state(consensus::model::Phase::Idle);
        let mut definition = Definition::clone(&state.definition);
        let [east, west] = stacks();
        let record = |name: &str| Record {
            name: name.to_owned(),
            kind: RecordKind::A,
            ttl: 30,
            values: BTreeMap::new(),
            driver: Driver::BuiltIn,
        };
        definition.records = vec![record("shop.example.com"), record("*.shop.example.com")];
        for (before, after, old) in [
            (&["192.0.2.1"][..], &["192.0.2.2"][..], &["192.0.2.1"][..]),
            // What both have, as a proxy before them, says nothing.
            (&["192.0.2.1", "192.0.2.9"], &["192.0.2.9"], &["192.0.2.1"]),
            (&["192.0.2.9"], &["192.0.2.9"], &[]),
            // What weighs more stands there more often.
            (&["192.0.2.1", "192.0.2.1"], &["192.0.2.2"], &["192.0.2.1"]),
        ] {
            let values = [(east.clone(), of(before)), (west.clone(), of(after))];
            definition.records.iter_mut().for_each(|it| it.values = values.clone().into());
            let found = old_addresses(&definition, &east, &west);
            assert!(found.keys().all(|(name, _)| name == "shop.example.com"), "{found:?}");
            let found: BTreeSet<_> = found.into_values().flatten().collect();
            let old: BTreeSet<IpAddr> = old.iter().map(|it| it.parse().expect("one")).collect();
            assert_eq!(found, old, "{before:?} {after:?}");
        }
    }

    #[test]
    fn an_agent_that_starts_soon_after_a_move_watches_it_and_no_older_one() {
        let mut state = fixture::shop_state(consensus::model::Phase::Idle);
        let [east, west] = stacks();
        (state.decision.from, state.decision.to, state.active) = (east.clone(), west.clone(), west);
        state.decision.wall_ms = clock::wall_ms();
        assert_eq!(moved_lately(&state), Some(east));
        state.decision.wall_ms -= 2 * 3_600_000;
        assert_eq!(moved_lately(&state), None);
        state.decision.wall_ms = clock::wall_ms();
        state.decision.from = state.decision.to.clone();
        assert_eq!(moved_lately(&state), None);
    }
}
