//! Who still hands out old answers after a move?
//!
//! Takes the agreed state as it changes, and the resolvers that this agent's owner named. After a move each of them is asked
//! for the app's addresses and aliases, by itself and with nothing kept here, until it gave nothing that only the stack before has, three times
//! in a row: behind one address there may be several caches. What a client of that resolver would see is known thereby, not
//! what every client sees. Knows nothing of ballots, of who publishes what, and of health.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::{AppId, AppState, Definition, RecordData, RecordKind, StackId};
use futures_util::{StreamExt, stream};
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
/// So many names are asked for at a time, so that one that does not answer is known soon.
const AT_ONCE: usize = 8;
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
    /// What it gave last of the stack before, by name.
    pub old: Vec<OldView>,
    /// How long after the move was learned it had followed; none while it has not.
    pub followed_ms: Option<u64>,
    /// Why it does not tell, if it does not.
    pub why: Option<String>,
}

/// An old answer that is still handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldView {
    /// Of which name.
    pub name: String,
    /// An address, or the name that this one is an alias of.
    pub value: String,
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

    fn forget(&self, app: &AppId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(app);
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
        let old = Arc::new(old_answers(&state.definition, &from, &state.active));
        let (app, to) = (state.definition.name.clone(), state.active.clone());
        if old.is_empty() {
            // Nobody could be told apart, whatever is answered.
            self.forget(&app);
            return JoinSet::new();
        }
        let view = |resolver: &SocketAddr| ResolverView {
            resolver: *resolver,
            old: Vec::new(),
            followed_ms: None,
            why: Some("has not answered yet".to_owned()),
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
        tracing::warn!(%app, %resolver, "did not follow as long as it was asked");
        let why =
            format!("had not followed after {} s, and is asked no more", began.elapsed().as_secs());
        self.update(&app, resolver, |view| (view.old, view.why) = (Vec::new(), Some(why)));
    }
}

/// What only the stack before has, by name and type.
type Old = BTreeMap<(String, RecordType), BTreeSet<String>>;

/// What names had while `from` was the active stack and have not while `to` is.
fn old_answers(definition: &Definition, from: &StackId, to: &StackId) -> Old {
    let all = |name: &str, kind: RecordKind, stack: &StackId| -> BTreeSet<String> {
        let same = definition.records.iter().filter(|it| it.name == name && it.kind == kind);
        let data = same.flat_map(|record| record.values.get(stack)).flatten();
        let value = |data: &RecordData| match data {
            RecordData::Address(address) => Some(address.to_string()),
            RecordData::Name(name) => Some(plain(name)),
            _ => None,
        };
        data.filter_map(value).collect()
    };
    // A wildcard is no name that could be asked for.
    let named = definition.records.iter().filter(|it| !it.name.starts_with('*'));
    let old = named.filter_map(|record| {
        let [before, now] = [from, to].map(|stack| all(&record.name, record.kind, stack));
        let old: BTreeSet<_> = before.difference(&now).cloned().collect();
        (!old.is_empty()).then_some(((record.name.clone(), asked_as(record.kind)?), old))
    });
    old.collect()
}

/// The types that send people to a stack.
fn asked_as(kind: RecordKind) -> Option<RecordType> {
    match kind {
        RecordKind::A => Some(RecordType::A),
        RecordKind::Aaaa => Some(RecordType::AAAA),
        RecordKind::Cname => Some(RecordType::CNAME),
        RecordKind::Txt | RecordKind::Srv | RecordKind::Caa | RecordKind::Https => None,
    }
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
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

/// Asks for every name once: the old answers that were given, and why the first name that was not answered was not.
async fn round(asker: &TokioResolver, old: &Old) -> (Vec<OldView>, Option<String>) {
    let (mut found, mut why) = (Vec::new(), None);
    let asked = stream::iter(old.clone()).map(|((name, kind), old)| async move {
        let answer = sources::lookup(asker, &name, kind).await;
        (name, old, answer)
    });
    let mut answers = asked.buffered(AT_ONCE);
    while let Some((name, old, answer)) = answers.next().await {
        match answer {
            Ok(records) => found.extend(records.into_iter().filter_map(|(data, left)| {
                let value = match data {
                    RData::A(address) => address.0.to_string(),
                    RData::AAAA(address) => address.0.to_string(),
                    RData::CNAME(target) => plain(&target.0.to_ascii()),
                    _ => return None,
                };
                let (name, left_ms) = (name.clone(), millis(left));
                old.contains(&value).then_some(OldView { name, value, left_ms })
            })),
            Err(error) => why = why.or(Some(format!("{name}: {error}"))),
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
    use consensus::model::{Driver, Record};

    use super::*;
    use crate::status::fixture;

    fn stacks() -> [StackId; 2] {
        ["aws-east", "do-west"].map(|name| name.parse().expect("a name"))
    }

    fn of(data: &[&str]) -> Vec<RecordData> {
        let datum = |it: &&str| match it.parse() {
            Ok(address) => RecordData::Address(address),
            Err(_) => RecordData::Name((*it).to_owned()),
        };
        data.iter().map(datum).collect()
    }

    fn definition(kind: RecordKind, before: &[&str], after: &[&str]) -> Definition {
        let state = fixture::shop_state(consensus::model::Phase::Idle);
        let [east, west] = stacks();
        let record = |name: &str| Record {
            name: name.to_owned(),
            kind,
            ttl: 30,
            values: [(east.clone(), of(before)), (west.clone(), of(after))].into(),
            driver: Driver::BuiltIn,
        };
        let records = vec![record("shop.example.com"), record("*.shop.example.com")];
        Definition { records, ..Definition::clone(&state.definition) }
    }

    #[test]
    fn old_is_what_only_the_stack_before_has() {
        use RecordKind::{A, Aaaa, Cname, Txt};
        let [east, west] = stacks();
        for (kind, before, after, old) in [
            (A, &["192.0.2.1"][..], &["192.0.2.2"][..], &["192.0.2.1"][..]),
            (Aaaa, &["2001:db8::1"], &["2001:db8::2"], &["2001:db8::1"]),
            (Cname, &["East.example.net."], &["west.example.net"], &["east.example.net"]),
            // What both have, as a proxy before them, says nothing.
            (A, &["192.0.2.1", "192.0.2.9"], &["192.0.2.9"], &["192.0.2.1"]),
            (A, &["192.0.2.9"], &["192.0.2.9"], &[]),
            // What weighs more stands there more often.
            (A, &["192.0.2.1", "192.0.2.1"], &["192.0.2.2"], &["192.0.2.1"]),
            // Nobody is sent anywhere by it.
            (Txt, &["one"], &["two"], &[]),
        ] {
            let found = old_answers(&definition(kind, before, after), &east, &west);
            assert!(found.keys().all(|(name, _)| name == "shop.example.com"), "{found:?}");
            let found: BTreeSet<_> = found.into_values().flatten().collect();
            assert_eq!(
                found,
                old.iter().map(|it| (*it).to_owned()).collect(),
                "{before:?} {after:?}"
            );
        }
    }

    /// A tail of before that is still shown, and a move by which nothing changes that could be asked for.
    #[tokio::test]
    async fn a_move_that_changes_no_answer_is_not_watched() {
        let tails = Tails::showing(fixture::tails());
        let mut state = fixture::shop_state(consensus::model::Phase::Idle);
        state.definition = Arc::new(definition(RecordKind::A, &["192.0.2.9"], &["192.0.2.9"]));
        let [east, west] = stacks();
        state.active = west;
        let asked = tails.watch(&state, east, &["192.0.2.53:53".parse().expect("an address")]);
        assert!(asked.is_empty() && tails.views().is_empty(), "nobody is asked, nothing is shown");
    }

    #[tokio::test]
    async fn who_has_not_followed_in_time_is_not_shown_as_if_it_were_asked_still() {
        let resolver = "127.0.0.1:9".parse().expect("an address");
        let [from, to] = stacks();
        let old =
            OldView { name: "shop.example.com".into(), value: "192.0.2.1".into(), left_ms: 9 };
        let view = ResolverView { resolver, old: vec![old], followed_ms: None, why: None };
        let app: AppId = "shop".parse().expect("a name");
        let tails =
            Tails::showing(vec![TailView { app: app.clone(), from, to, resolvers: vec![view] }]);
        tails.clone().ask(app, resolver, Arc::default(), Instant::now()).await;
        let shown = tails.views();
        let view = &shown[0].resolvers[0];
        assert!(view.old.is_empty() && view.followed_ms.is_none(), "{view:?}");
        assert!(view.why.as_ref().is_some_and(|why| why.contains("is asked no more")), "{view:?}");
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
