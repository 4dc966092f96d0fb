//! Would a standby serve, if it had to? What `doctor` looks at, looked at by the agent itself now and then.
//!
//! Takes the agreed state and looks from this host: does every stack show a certificate that is valid for the names that lead
//! clients there, and for a while yet; is a name server of each zone found, and can whoever holds the zone be read with the
//! credential that this agent holds, and changed where that can be asked without a change; where a zone of the agents' own is
//! delegated, do all whom clients are sent to answer as was decided; does every database take its log-in, and every replica
//! apply what it receives. Changes nothing, and tells no other agent: each shows what it found itself.
//! Whether a provider's name servers say what was decided is not asked here: the mesh looks at that twice a minute
//! (`consensus::node::drift`), and warns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consensus::failover::plan;
use consensus::model::{
    AppId, AppState, Driver, Effect, Epoch, FaultKind, Held, Phase, StackId, Token,
};
use consensus::view::{AppView, View};
use probe::Means;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use crate::actors::{self, Actors, Consent};
use crate::clock;
use crate::config::Credentials;
use crate::identity::date;
use crate::run::{Agreed, Handle};

mod appliers;
pub(crate) mod certificates;

use self::appliers::Appliers;
use self::certificates::Certificate;

/// What would keep a stack from serving, or an app from being moved there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnreadyView {
    /// The app.
    pub app: AppId,
    /// The stack; none where it concerns all of them.
    pub stack: Option<StackId>,
    /// What, in words.
    pub why: String,
}

/// How often an agent looks. Each pause is drawn from half of it up to all of it, so that agents do not look all at once.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the start, and after an app is defined otherwise or has moved.
    pub first: Duration,
    /// While all is ready.
    pub calm: Duration,
    /// While something is not: whoever mends it wants to see that.
    pub soon: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let [first, calm, soon] = [10, 600, 30].map(Duration::from_secs);
        Self { first, calm, soon }
    }
}

/// With what an agent looks.
#[derive(Clone)]
pub struct Looks {
    /// Its resolver and the authorities it believes.
    pub means: Means,
    /// Who reads whoever holds a zone, at the pace that all of its requests share.
    pub actors: Actors,
    /// The secrets it holds.
    pub credentials: Arc<Credentials>,
}

/// What was found last, by app; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<AppId, BTreeSet<UnreadyView>>>>);

impl Readiness {
    /// Everything that is not ready.
    pub fn views(&self) -> Vec<UnreadyView> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.values().flatten().cloned().collect()
    }

    /// Looks at every app from now on, until the loop ends.
    pub async fn follow(self, looks: Looks, handle: Handle, pace: Pace) {
        let mut agreed = handle.agreed();
        let mut known = Vec::new();
        let mut due = Instant::now() + drawn(pace.first);
        let (mut appliers, mut looked) = (Appliers::default(), BTreeMap::new());
        let mut glance = Instant::now() + appliers::EVERY;
        loop {
            let latest = agreed.borrow_and_update().clone();
            let now = identified(&latest);
            if known != now {
                due = due.min(Instant::now() + drawn(pace.first));
                known = now;
            }
            tokio::select! {
                () = sleep_until(due.min(glance)) => {}
                changed = agreed.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            }
            let latest = agreed.borrow_and_update().clone();
            if due <= Instant::now() {
                let Some(view) = handle.view().await else { return };
                let before = self.views();
                let mut calm = true;
                looked.clear();
                for state in &latest.apps {
                    let app = &state.definition.name;
                    let seen = view.apps.iter().find(|it| it.app == *app);
                    let found = looks.at(state, seen, &view, &before).await;
                    calm &= found.unready.is_empty() && !found.unsure;
                    looked.insert(app.clone(), found.unready);
                }
                due = Instant::now() + drawn(if calm { pace.calm } else { pace.soon });
            }
            // Looks take their time: what is seen now is asked for after them.
            let Some(view) = handle.view().await else { return };
            let mut all = looked.clone();
            for still in appliers.look(&view, Instant::now()) {
                all.entry(still.app.clone()).or_default().insert(still);
            }
            glance = Instant::now() + appliers::EVERY;
            self.show(all);
        }
    }

    /// Shows this in the place of what was found before; the log says what is new and what is over.
    fn show(&self, all: BTreeMap<AppId, BTreeSet<UnreadyView>>) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *found, all);
        let of = |all: &BTreeMap<_, BTreeSet<UnreadyView>>| -> BTreeSet<UnreadyView> {
            all.values().flatten().cloned().collect()
        };
        let (before, now) = (of(&before), of(&found));
        for UnreadyView { app, stack, why } in now.difference(&before) {
            let stack = stack.as_ref().map_or("any stack", StackId::as_str);
            tracing::warn!(%app, "{stack} is not ready: {why}");
        }
        for UnreadyView { app, stack, why } in before.difference(&now) {
            let stack = stack.as_ref().map_or("any stack", StackId::as_str);
            tracing::info!(%app, "{stack}: no longer found: {why}");
        }
    }
}

/// What an app is known by, as far as it matters here; records are looked at only once it is at rest.
fn identified(agreed: &Agreed) -> Vec<(AppId, u64, Epoch, bool)> {
    let rests = |it: &AppState| it.phase == Phase::Idle;
    let app = |it: &Arc<AppState>| (it.definition.name.clone(), it.revision, it.epoch, rests(it));
    agreed.apps.iter().map(app).collect()
}

fn drawn(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// What one look at an app came to.
struct Found {
    unready: BTreeSet<UnreadyView>,
    /// Was something not answered this time? Then calm is not known.
    unsure: bool,
}

impl Looks {
    /// What is not ready of an app, where `before` was found last.
    async fn at(
        &self,
        state: &AppState,
        seen: Option<&AppView>,
        view: &View,
        before: &[UnreadyView],
    ) -> Found {
        let app = &state.definition.name;
        let of =
            |(stack, why): (Option<StackId>, String)| UnreadyView { app: app.clone(), stack, why };
        let mut unready: BTreeSet<_> = self.certificates(state).await.into_iter().map(of).collect();
        let mut unsure = false;
        // While it is being moved, what is published is not what stands.
        if state.phase == Phase::Idle {
            let (unread, consents) = self.zones(state).await;
            unready.extend(unread.into_iter().map(of));
            let (refused, unknown) = refusals(app, consents, before);
            unready.extend(refused);
            unsure = unknown;
            unready.extend(delegated(state).await.into_iter().map(of));
        }
        unready.extend(seen.map(|seen| logins(seen, view)).into_iter().flatten().map(of));
        Found { unready, unsure }
    }

    async fn certificates(&self, state: &AppState) -> Vec<(Option<StackId>, String)> {
        let now = clock::wall_ms() / 1000;
        let shown = certificates::look(&state.definition, &self.means, now).await;
        let found = shown.into_iter().filter_map(|it| {
            let why = match it.certificate {
                Certificate::Wrong(fault) => fault.to_string(),
                Certificate::Ending(ends) => format!("the certificate ends at {}", date(ends)),
                Certificate::Valid(_) | Certificate::Unseen(_) => return None,
            };
            Some((Some(it.stack), format!("{} for `{}`: {why}", it.endpoint, it.name)))
        });
        found.collect()
    }

    /// Each zone is read once, by whichever of its names comes first, and what can be read is asked for consent to what each
    /// stack has at that name: what cannot be read, and which name had which answer.
    async fn zones(
        &self,
        state: &AppState,
    ) -> (Vec<(Option<StackId>, String)>, Vec<(String, Consent)>) {
        let mut drivers: BTreeSet<Driver> = BTreeSet::new();
        let mut publications = plan::publications(state);
        publications.retain(|it| match it {
            Effect::Publish { driver, .. } => {
                let held = driver.credential().is_none_or(|it| self.credentials.contains_key(it));
                held && drivers.insert(driver.clone())
            }
            _ => false,
        });
        let token = published_under(state);
        let app = &state.definition.name;
        let mut changes = actors::publications_of_all(&state.definition);
        changes.retain(|it| publications.iter().any(|read| is_of_one_name(it, read)));
        let read = self.actors.read(app, token, publications).await;
        actors::leave_out_unread(&mut changes, &read);
        let consents = self.actors.consents(app, token, &changes).await;
        let found = read.into_iter().flat_map(|it| {
            let unread = match it.held {
                Held::Unknown(why) => Some(format!("{} cannot be read: {why}", it.name)),
                Held::Unasked | Held::AsDecided | Held::Owed(_) | Held::Otherwise(_) => None,
            };
            let nobody = it.right == 0 && it.wrong.is_empty();
            let nobody = nobody.then(|| format!("no name server of {} is found", it.name));
            unread.into_iter().chain(nobody)
        });
        (found.map(|why| (None, why)).collect(), consents)
    }
}

/// What may not be changed, and whether that is not known of some name. A holder that does not answer, or is asked no more for
/// now (`actors::dns::meter`), says neither yes nor no: what it said `before` stands, and it is asked again soon.
fn refusals(
    app: &AppId,
    consents: Vec<(String, Consent)>,
    before: &[UnreadyView],
) -> (BTreeSet<UnreadyView>, bool) {
    let (mut refused, mut unsure) = (BTreeSet::new(), false);
    for (name, consent) in consents {
        let start = format!("{name} cannot be changed: ");
        match consent {
            // Of a holder that never tells nothing is learnt by asking again.
            Consent::Given | Consent::Untold(_) => {}
            Consent::Refused(why) => {
                refused.insert(UnreadyView { app: app.clone(), stack: None, why: start + &why });
            }
            Consent::Unknown(why) => {
                tracing::debug!(%app, "does not learn whether {name} could be changed: {why}");
                unsure = true;
                let same = |it: &&UnreadyView| it.app == *app && it.why.starts_with(&start);
                refused.extend(before.iter().filter(same).cloned());
            }
        }
    }
    (refused, unsure)
}

/// Are these what one driver publishes at one name?
fn is_of_one_name(one: &Effect, other: &Effect) -> bool {
    match (one, other) {
        (Effect::Publish { name, driver, .. }, Effect::Publish { name: other, driver: by, .. }) => {
            name == other && driver == by
        }
        _ => false,
    }
}

/// The token under which what was decided is published.
fn published_under(state: &AppState) -> Token {
    Token::new(state.epoch, state.decision.attempt, Phase::Publishing.step())
}

/// The name servers of the agents' own zones that do not answer as was decided. Nobody is found where clients ask agents
/// without any resolver between, and that is as well.
async fn delegated(state: &AppState) -> Vec<(Option<StackId>, String)> {
    let token = published_under(state);
    let said = actors::ask_delegated(&state.definition, &state.active, token).await;
    let found = said.into_iter().filter(|it| !it.wrong.is_empty()).map(|it| {
        let (name, wrong, all) = (&it.name, it.wrong.len(), it.right + it.wrong.len());
        let what = it.wrong.join("; ");
        format!("{wrong} of {all} name servers of {name} do not say what was decided: {what}")
    });
    found.map(|why| (None, why)).collect()
}

/// The databases that do not take the log-in that this agent holds.
fn logins(seen: &AppView, view: &View) -> Vec<(Option<StackId>, String)> {
    let targets =
        seen.stacks.iter().flat_map(|stack| stack.targets.iter().map(|it| (&stack.stack, it)));
    let found = targets.filter_map(|(stack, target)| {
        let fault = target.beliefs.get(&view.agent)?.fault.as_ref()?;
        (fault.kind == FaultKind::Credential)
            .then(|| (Some(stack.clone()), format!("{}: {fault}", target.target)))
    });
    found.collect()
}

#[cfg(test)]
impl Readiness {
    /// For tests: as if this had been found.
    pub fn showing(found: Vec<UnreadyView>) -> Self {
        let all = Self::default();
        let mut by_app: BTreeMap<AppId, BTreeSet<UnreadyView>> = BTreeMap::new();
        for it in found {
            by_app.entry(it.app.clone()).or_default().insert(it);
        }
        all.show(by_app);
        all
    }
}

#[cfg(test)]
mod tests {
    use consensus::model::Fault;

    use super::*;
    use crate::status::fixture;

    #[test]
    fn a_holder_that_does_not_answer_says_neither_yes_nor_no() {
        let [app, other] = ["shop", "blog"].map(|it| it.parse::<AppId>().expect("short"));
        let line = |app: &AppId, why: &str| {
            let why = format!("www.example cannot be changed: {why}");
            UnreadyView { app: app.clone(), stack: None, why }
        };
        let told = |consent| {
            refusals(
                &app,
                vec![("www.example".to_owned(), consent)],
                &[
                    line(&app, "grant it"),
                    line(&other, "grant it there"),
                    UnreadyView {
                        why: "no name server of www.example is found".to_owned(),
                        ..line(&app, "")
                    },
                ],
            )
        };
        let of = |line: UnreadyView| BTreeSet::from([line]);
        let busy = Consent::Unknown("is left alone for now".to_owned());
        assert_eq!(told(busy.clone()), (of(line(&app, "grant it")), true));
        assert_eq!(told(Consent::Refused("still".to_owned())), (of(line(&app, "still")), false));
        assert_eq!(told(Consent::Given), (BTreeSet::new(), false));
        assert_eq!(
            told(Consent::Untold("has no word for it".to_owned())),
            (BTreeSet::new(), false)
        );
        let never = refusals(&app, vec![("www.example".to_owned(), busy)], &[]);
        assert_eq!(never, (BTreeSet::new(), true), "nothing was known, and nothing is");
    }

    #[test]
    fn a_log_in_that_is_refused_here_is_told_with_its_stack() {
        let mut view = fixture::view();
        let agent = view.agent.clone();
        let data = |app: &AppView| app.stacks.iter().any(|it| it.data.is_some());
        let at = view.apps.iter().position(data).expect("an app with databases");
        assert_eq!(logins(&view.apps[at], &view), []);
        let targets = view.apps[at].stacks.iter_mut().flat_map(|stack| {
            let name = stack.stack.clone();
            stack.targets.iter_mut().map(move |it| (name.clone(), it))
        });
        let mut databases = targets.filter(|(_, it)| it.database);
        let (name, target) = databases.next().expect("a database");
        for (who, belief) in &mut target.beliefs {
            // What another agent is refused is that agent's to show.
            let kind = if *who == agent { FaultKind::Credential } else { FaultKind::Refused };
            belief.fault = Some(Fault::new(kind, "it refuses `quorate`"));
        }
        let why = format!("{}: it refuses `quorate`", target.target);
        drop(databases);
        assert_eq!(logins(&view.apps[at], &view), [(Some(name), why)]);
    }
}
