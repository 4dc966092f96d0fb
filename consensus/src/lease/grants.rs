//! One voter's grants: at most one stack of an app holds any that may still run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Terms;
use crate::model::{AgentId, AppId, StackId};
use crate::moment::Moment;
use crate::saved::{Entry, LastHolder};

/// What a guard asks a voter for, or gives up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Renewal {
    /// The app.
    pub app: AppId,
    /// The stack whose databases it guards.
    pub stack: StackId,
    /// The guard, as its link's certificate names it.
    pub guard: AgentId,
    /// The revision of the definition that it goes by.
    pub revision: u64,
    /// Which run of the guard's process asks, and the how manieth time.
    pub count: Count,
    /// How long a lease the guard counts from this renewal; none, if it gives up what it has.
    pub lease: Duration,
}

/// A run of a guard's process, and the last renewal it had asked for.
pub type Count = (u64, u64);

/// One voter's grants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grants {
    terms: Terms,
    apps: BTreeMap<AppId, Granted>,
    /// Keep nobody out, to show that a test notices.
    #[cfg(feature = "mutants")]
    pub keeps_no_account: bool,
    /// Keep others out for the last renewal's lease alone, to show that a test notices.
    #[cfg(feature = "mutants")]
    pub forgets_longer: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Granted {
    /// What is on disk.
    last: LastHolder,
    /// Until when each guard's lease may run.
    until: BTreeMap<AgentId, Moment>,
    /// The newest renewal of each guard that was granted.
    counts: BTreeMap<AgentId, Count>,
}

impl Granted {
    fn left(&self, now: Moment) -> Duration {
        self.until.values().max().map_or(Duration::ZERO, |until| until.since(now))
    }
}

impl Grants {
    /// As the store knows them. What was granted before this start may still run: until it cannot, it does; at most for
    /// `longest`, the longest lease of each app that was ever granted, where that is longer than usual.
    pub fn new(
        terms: Terms,
        saved: &BTreeMap<AppId, LastHolder>,
        longest: &BTreeMap<AppId, Duration>,
        now: Moment,
    ) -> Self {
        let granted = |app: &AppId, last: &LastHolder| {
            let lease = longest.get(app).map_or(terms.lease, |longest| terms.lease.max(*longest));
            let until = now + terms.lasting(lease).kept;
            Granted {
                until: last.acknowledged.keys().map(|guard| (guard.clone(), until)).collect(),
                last: last.clone(),
                counts: BTreeMap::new(),
            }
        };
        let apps = saved.iter().map(|(app, last)| (app.clone(), granted(app, last))).collect();
        Self {
            terms,
            apps,
            #[cfg(feature = "mutants")]
            keeps_no_account: false,
            #[cfg(feature = "mutants")]
            forgets_longer: false,
        }
    }

    /// Forgets what was granted before this start, as only a mutant does.
    #[cfg(feature = "mutants")]
    pub fn forget(&mut self) {
        for granted in self.apps.values_mut() {
            granted.until.clear();
        }
    }

    /// A guard wants its lease renewed; `writer` is the stack that may write by what this voter has accepted. Granted, with
    /// what must be durable first, if no other stack's grant may still run; otherwise how long one may.
    ///
    /// # Errors
    /// How long to wait; zero if waiting alone does not help.
    pub fn on_renew(
        &mut self,
        renewal: Renewal,
        writer: Option<&StackId>,
        now: Moment,
    ) -> Result<Option<Entry>, Duration> {
        let Renewal { app, stack, guard, revision, count, lease } = renewal;
        if writer != Some(&stack) {
            return Err(Duration::ZERO);
        }
        let left = self.left(&app, &stack, now);
        #[cfg(feature = "mutants")]
        let left = if self.keeps_no_account { Duration::ZERO } else { left };
        if !left.is_zero() {
            return Err(left);
        }
        let fresh = || Granted {
            last: LastHolder { stack: stack.clone(), acknowledged: BTreeMap::new() },
            until: BTreeMap::new(),
            counts: BTreeMap::new(),
        };
        let granted = self.apps.entry(app.clone()).or_insert_with(fresh);
        if granted.last.stack != stack {
            *granted = fresh();
        }
        let kept = now + self.terms.lasting(lease).kept;
        let until = granted.until.entry(guard.clone()).or_insert(kept);
        // What was granted for longer may still run.
        *until = kept.max(*until);
        #[cfg(feature = "mutants")]
        if self.forgets_longer {
            *until = kept;
        }
        let newest = granted.counts.entry(guard.clone()).or_insert(count);
        *newest = if newest.0 == count.0 { count.max(*newest) } else { count };
        let known = granted.last.acknowledged.get(&guard).copied();
        // Who holds a lease, and what it knows, is durable before it does (PROTOCOL.md A.6, H).
        let newer = known.is_none_or(|known| known < revision);
        if newer {
            granted.last.acknowledged.insert(guard, revision);
        }
        Ok(newer.then(|| Entry::Holder { app, last: granted.last.clone() }))
    }

    /// A guard had shut its door after this renewal, asked for nothing any more, and knew this revision: with its door shut
    /// nothing of before binds it, so that it acknowledges it as a renewal would. What was granted since stays: a word that
    /// comes late says nothing of now. Returns what must be durable.
    pub fn on_release(&mut self, given_up: Renewal) -> Option<Entry> {
        let Renewal { app, stack, guard, revision, count, .. } = given_up;
        let granted = self.apps.get_mut(&app).filter(|it| it.last.stack == stack)?;
        if granted.counts.get(&guard).is_some_and(|it| it.0 == count.0 && it.1 <= count.1) {
            granted.until.remove(&guard);
        }
        let known = granted.last.acknowledged.get_mut(&guard).filter(|known| **known < revision)?;
        *known = revision;
        Some(Entry::Holder { app, last: granted.last.clone() })
    }

    /// An agent knows that it guards nothing of the last holder any more, and what it held has ended: it is forgotten.
    pub fn dismiss(&mut self, app: &AppId, guard: &AgentId, now: Moment) -> Option<Entry> {
        let granted = self.apps.get_mut(app)?;
        let ended = granted.until.get(guard).is_none_or(|until| *until <= now);
        let forgotten = ended && granted.last.acknowledged.remove(guard).is_some();
        forgotten.then(|| Entry::Holder { app: app.clone(), last: granted.last.clone() })
    }

    /// The stack that was granted to last, and the guards of it that were.
    pub fn last(&self, app: &AppId) -> Option<&LastHolder> {
        self.apps.get(app).map(|granted| &granted.last)
    }

    /// For how long a lease of any other stack than this may still run.
    pub fn left(&self, app: &AppId, but: &StackId, now: Moment) -> Duration {
        #[cfg(feature = "mutants")]
        if self.keeps_no_account {
            return Duration::ZERO;
        }
        match self.apps.get(app) {
            Some(granted) if granted.last.stack != *but => granted.left(now),
            Some(_) | None => Duration::ZERO,
        }
    }

    /// Did every guard of any other stack than this that ever held a lease by this voter's grant say that it knows what was
    /// defined at `revision`? Until then it may count on others than those that could be promoted (PROTOCOL.md 0.1 g).
    ///
    /// # Errors
    /// Who did not.
    pub fn acknowledged(&self, app: &AppId, but: &StackId, revision: u64) -> Result<(), AgentId> {
        let Some(granted) = self.apps.get(app).filter(|it| it.last.stack != *but) else {
            return Ok(());
        };
        let behind = granted.last.acknowledged.iter().find(|(_, known)| **known < revision);
        behind.map_or(Ok(()), |(guard, _)| Err(guard.clone()))
    }

    /// What may still run, for people and for whoever has to wait: app, stack, guard, how much longer.
    pub fn running(
        &self,
        now: Moment,
    ) -> impl Iterator<Item = (&AppId, &StackId, &AgentId, Duration)> {
        self.apps.iter().flat_map(move |(app, granted)| {
            let running = granted.until.iter().filter(move |(_, until)| **until > now);
            running.map(move |(guard, until)| (app, &granted.last.stack, guard, until.since(now)))
        })
    }
}
