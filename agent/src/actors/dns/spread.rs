//! Which changes a provider has taken, and not told all of its servers of yet.
//!
//! Whoever reads back is told what the provider holds ("Resource record sets that are PENDING", ListResourceRecordSets); its
//! servers follow, and behind each of their addresses are many, of which a look from one host meets one. Route 53 tells when
//! all have a change (GetChange: INSYNC), within a minute mostly. A change counts as made before that. This only
//! watches, for as long as the list of its looks, with requests that nobody else wants, so that looks can say so; what it does
//! not learn by then is not known, and not said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::{ActionFault, ActionFaultKind};
use tokio::task::AbortHandle;

use super::told::Told;

/// How long after a change it is asked for: a planned move that has one name gives up after 70 s
/// (`Definition::shows_within`), and looks again at 60 s at the latest.
const ASKED: [Duration; 6] = [
    Duration::from_secs(3),
    Duration::from_secs(8),
    Duration::from_secs(15),
    Duration::from_secs(25),
    Duration::from_secs(35),
    Duration::from_secs(50),
];

/// Everything that is on its way to a provider's servers.
#[derive(Debug, Default)]
pub(crate) struct Spreads {
    watched: Mutex<HashMap<Place, Spread>>,
    /// And what webhooks were told, who cannot be asked.
    pub(super) told: Told,
}

/// A zone as its provider numbers it, or the webhook that has it, and a name in it.
pub(super) type Place = (String, String);

/// Whoever can ask after a change.
pub(super) trait Watch: Send + 'static {
    /// Do all servers have it? `None` while nobody may ask.
    fn ask(&mut self) -> impl Future<Output = Option<Result<bool, ActionFault>>> + Send;
}

#[derive(Debug)]
struct Spread {
    /// The provider's number for the change.
    change: String,
    watcher: AbortHandle,
}

impl Spreads {
    /// The last change of a place, if not all servers are known to have it.
    pub(super) fn pending(&self, place: &Place) -> Option<String> {
        let all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(place).map(|spread| spread.change.clone())
    }

    /// Watches a change, in the place of the one before. Within a tokio runtime.
    pub(super) fn watch(self: &Arc<Self>, place: Place, change: String, watch: impl Watch) {
        let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = Watched(self.clone(), place.clone(), change.clone());
        let began = Instant::now();
        let task = tokio::spawn(async move {
            look(watch, |after| tokio::time::sleep(after.saturating_sub(began.elapsed()))).await;
            drop(watched);
        });
        if let Some(before) = all.insert(place, Spread { change, watcher: task.abort_handle() }) {
            before.watcher.abort();
        }
    }
}

/// A place that is being watched; forgotten with it, unless another change of it is.
struct Watched(Arc<Spreads>, Place, String);

impl Drop for Watched {
    fn drop(&mut self) {
        let Self(spreads, place, change) = self;
        let mut all = spreads.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(place).is_some_and(|spread| spread.change == *change) {
            all.remove(place);
        }
    }
}

/// Asks until all have it, nobody may ask, or there is no more time.
async fn look<F: Future<Output = ()>>(mut watch: impl Watch, wait: impl Fn(Duration) -> F) {
    for after in ASKED {
        wait(after).await;
        match watch.ask().await {
            Some(Ok(true)) => return,
            Some(Err(fault)) if fault.kind == ActionFaultKind::Refused => return,
            Some(Ok(false) | Err(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn fault(kind: ActionFaultKind) -> ActionFault {
        ActionFault { kind, text: "as told".to_owned() }
    }

    /// Answers by how often it was asked.
    struct Told<F>(usize, F);

    impl<F> Watch for Told<F>
    where
        F: Fn(usize) -> Option<Result<bool, ActionFault>> + Send + 'static,
    {
        fn ask(&mut self) -> impl Future<Output = Option<Result<bool, ActionFault>>> + Send {
            self.0 += 1;
            ready((self.1)(self.0))
        }
    }

    /// Looks without waiting; gives after how many seconds it was asked.
    async fn asked(
        answer: impl Fn(usize) -> Option<Result<bool, ActionFault>> + Send + 'static,
    ) -> Vec<u64> {
        let seconds = Mutex::new(Vec::new());
        let wait = |after: Duration| {
            seconds.lock().expect("nobody panics with it").push(after.as_secs());
            ready(())
        };
        look(Told(0, answer), wait).await;
        seconds.into_inner().expect("nobody panics with it")
    }

    #[tokio::test]
    async fn a_change_is_asked_for_until_all_have_it_and_for_fifty_seconds_at_most() {
        assert_eq!(asked(|_| Some(Ok(false))).await, [3, 8, 15, 25, 35, 50]);
        assert_eq!(asked(|times| Some(Ok(times == 2))).await, [3, 8]);
        // Nobody may ask now, or it is not told: later. Who is refused asks no more.
        assert_eq!(asked(|_| None).await.len(), 6);
        assert_eq!(asked(|_| Some(Err(fault(ActionFaultKind::Unknown)))).await.len(), 6);
        assert_eq!(asked(|_| Some(Err(fault(ActionFaultKind::Refused)))).await, [3]);
    }

    #[tokio::test]
    async fn a_newer_change_takes_the_place_of_an_older_one_and_nothing_stays() {
        let spreads = Arc::new(Spreads::default());
        let place = || ("Z1".to_owned(), "shop.example".to_owned());
        let other = ("Z1".to_owned(), "till.example".to_owned());
        let watch = |change: &str| {
            spreads.watch(place(), change.to_owned(), Told(0, |_| Some(Ok(false))));
        };
        watch("C1");
        watch("C2");
        assert_eq!(spreads.pending(&place()), Some("C2".to_owned()));
        assert_eq!(spreads.pending(&other), None);
        let watcher =
            spreads.watched.lock().expect("nobody panics with it")[&place()].watcher.clone();
        // As when the agent ends: whatever becomes of a watcher, its change is not pending for ever.
        watcher.abort();
        while !watcher.is_finished() || spreads.pending(&place()).is_some() {
            tokio::task::yield_now().await;
        }
    }
}
