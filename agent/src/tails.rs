//! Who still hands out old answers after a move?
//!
//! Takes the agreed state as it changes, and the resolvers that this agent's owner named. After a move each of them is asked
//! for the app's addresses and aliases, by itself and with nothing kept here, until it gave nothing that only the stack
//! before has, three times in a row: behind one address there may be several caches. What a client of that resolver would
//! see is known thereby, not what every client sees. The end of each tail is told once. Knows nothing of ballots, of who
//! publishes what, and of health.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::{AppId, AppState, Definition, Epoch, RecordData, RecordKind, StackId};
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

/// A move that is watched no more: what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The decision that moved.
    pub epoch: Epoch,
    /// How long it was watched.
    pub watched: Duration,
    /// Why it is watched no more.
    pub how: Ending,
    /// What was seen last of each resolver.
    pub tail: TailView,
}

/// Why a move is watched no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every resolver has followed.
    Followed,
    /// The old answers' lifetimes are over, and not every resolver has followed.
    Late,
    /// The app moved again before every resolver had followed.
    Moved,
}

/// The tails of all moves that are watched; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tails(Arc<Mutex<BTreeMap<AppId, Watched>>>);

/// The last move of an app.
#[derive(Debug)]
struct Watched {
    begun: Instant,
    epoch: Epoch,
    tail: TailView,
    /// Its end is told once.
    told: bool,
}

impl Watched {
    /// Its end, unless that was told before.
    fn end(&mut self, late: Ending) -> Option<Ended> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        let all = self.tail.resolvers.iter().all(|it| it.followed_ms.is_some());
        let how = if all { Ending::Followed } else { late };
        let watched = self.begun.elapsed();
        Some(Ended { epoch: self.epoch, watched, how, tail: self.tail.clone() })
    }
}

impl Tails {
    /// All of them, by app: the last move of each, for an hour.
    pub fn views(&self) -> Vec<TailView> {
        let tails = self.lock();
        let shown = tails.values().filter(|it| it.begun.elapsed() < LONGEST);
        shown.map(|it| it.tail.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppId, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches this move in place of the one before; returns the end of that one, if it was watched still.
    fn begin(&self, epoch: Epoch, tail: TailView) -> Option<Ended> {
        let app = tail.app.clone();
        let watched = Watched { begun: Instant::now(), epoch, tail, told: false };
        self.lock().insert(app, watched)?.end(Ending::Moved)
    }

    fn forget(&self, app: &AppId) -> Option<Ended> {
        self.lock().remove(app)?.end(Ending::Moved)
    }

    /// The end of this move, unless another is watched by now.
    fn end(&self, app: &AppId, epoch: Epoch, to: &StackId) -> Option<Ended> {
        let mut tails = self.lock();
        let watched = tails.get_mut(app).filter(|it| it.epoch == epoch && it.tail.to == *to)?;
        watched.end(Ending::Late)
    }

    fn update(&self, app: &AppId, resolver: SocketAddr, change: impl FnOnce(&mut ResolverView)) {
        let mut tails = self.lock();
        let mut views = tails.get_mut(app).into_iter().flat_map(|it| &mut it.tail.resolvers);
        if let Some(view) = views.find(|it| it.resolver == resolver) {
            change(view);
        }
    }

    /// Watches every move from now on, until nothing more can be agreed, and tells the end of each.
    pub async fn follow(
        self,
        resolvers: Vec<SocketAddr>,
        mut agreed: watch::Receiver<Arc<Agreed>>,
        tell: impl Fn(&Ended) + Clone + Send + 'static,
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
                // What was watched before is over: its tasks end with their set.
                watched.remove(app);
                watched.insert(app.clone(), self.watch(state, from, &resolvers, tell.clone()));
            }
            if agreed.changed().await.is_err() {
                return;
            }
        }
    }

    fn watch(
        &self,
        state: &AppState,
        from: StackId,
        resolvers: &[SocketAddr],
        tell: impl Fn(&Ended) + Send + 'static,
    ) -> JoinSet<()> {
        let old = Arc::new(old_answers(&state.definition, &from, &state.active));
        let (app, to) = (state.definition.name.clone(), state.active.clone());
        if old.is_empty() {
            // Nobody could be told apart, whatever is answered.
            self.forget(&app).iter().for_each(tell);
            return JoinSet::new();
        }
        let view = |resolver: &SocketAddr| ResolverView {
            resolver: *resolver,
            old: Vec::new(),
            followed_ms: None,
            why: Some("has not answered yet".to_owned()),
        };
        let views = resolvers.iter().map(view).collect();
        let tail = TailView { app: app.clone(), from, to: to.clone(), resolvers: views };
        self.begin(state.epoch, tail).iter().for_each(&tell);
        let until = Instant::now() + watched_for(&state.definition);
        let mut asking = JoinSet::new();
        for resolver in resolvers {
            asking.spawn(self.clone().ask(app.clone(), *resolver, old.clone(), until));
        }
        let (tails, epoch) = (self.clone(), state.epoch);
        let mut watching = JoinSet::new();
        watching.spawn(async move {
            while asking.join_next().await.is_some() {}
            tails.end(&app, epoch, &to).iter().for_each(tell);
        });
        watching
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
        tails.into_iter().for_each(|tail| drop(all.begin(Epoch(3), tail)));
        all
    }
}

#[cfg(test)]
mod tests;
