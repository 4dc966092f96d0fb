//! DNS that others serve, kept as it was decided for as long as the decision stands.
//!
//! While nothing is in progress every agent looks at it now and then; one, that holds the credentials, asks whoever holds
//! the zone, too, and puts back what somebody else has written over. That is a request of the same decision under the same
//! token, on a reading of the register that is fresh (rule E1); so it changes nothing that is agreed, keeps no failover
//! waiting, and where the outside compares tokens it never takes the place of anything newer.

use std::time::Duration;

use super::Node;
use super::claim::rendezvous;
use super::stir::Stir;
use super::work::Work;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::model::{
    AgentId, AppId, AppState, Effect, Held, Inspected, Inspection, Mode, Phase, Published,
    TargetId, Token, Warning, WarningKind,
};
use crate::moment::Moment;
use crate::outbox::{Note, Output};

/// Between two looks while all is as decided: so long does an edit by hand stand.
const CHECK: Duration = Duration::from_secs(30);
/// After a first look that found something else; the pause doubles up to [`CHECK`].
const CHECK_SOON: Duration = Duration::from_secs(2);
/// After so many looks in a row that could not be taken, somebody else takes them.
const UNREAD_MOST: u32 = 3;
/// An inspection that nobody answered is forgotten after this.
const UNANSWERED: Duration = Duration::from_secs(30);

/// What this agent saw of an app's records that drivers publish.
#[derive(Debug, Default)]
pub struct Records {
    due: Moment,
    asked: bool,
    /// Looks in a row that found something else than was decided.
    wrong: u32,
    /// Looks in a row after which it was not known what whoever holds a zone holds.
    unread: u32,
    seen: Vec<Published>,
    /// Since when all of them have been seen as decided, under the lifetime that is agreed.
    shown: Option<Moment>,
}

impl Records {
    /// Something has changed: look again at once.
    pub fn look(&mut self, now: Moment) {
        self.due = now;
        self.asked = false;
        self.shown = None;
    }

    /// Since when everything has been seen as decided, its lifetime too.
    pub fn shown(&self) -> Option<Moment> {
        self.shown
    }
}

impl Node {
    /// Begins the inspections that are due.
    pub(super) fn inspect(&mut self, now: Moment) {
        let due = self.apps.iter().filter(|(_, it)| it.records.due <= now);
        let due: Vec<AppId> = due.map(|(app, _)| app.clone()).collect();
        for app in due {
            let Some((_, state)) = self.apps[&app].known() else { continue };
            if state.phase != Phase::Idle {
                continue;
            }
            let publications = plan::publications(state);
            let holder = self.keeps_records(&app, state, now);
            let (token, shortened) = (published(state), state.lifetimes.shortened);
            let records = &mut self.apps.get_mut(&app).expect("it is known").records;
            if publications.is_empty() {
                // Until another definition is learned.
                records.due = Moment::NEVER;
                continue;
            }
            (records.due, records.asked) = (now + UNANSWERED, true);
            self.out.push(Output::Inspect(Inspection {
                app,
                token,
                shortened,
                publications,
                holder,
            }));
        }
    }

    /// An inspection ended. Whatever follows concerns its app.
    pub(super) fn on_inspected(&mut self, inspected: Inspected, now: Moment) -> Stir {
        let Inspected { app, token, shortened, names } = inspected;
        let Some(it) = self.apps.get_mut(&app) else { return Stir::Nothing };
        let rests = |(_, state): &(_, &AppState)| {
            state.phase == Phase::Idle
                && published(state) == token
                && state.lifetimes.shortened == shortened
        };
        if !it.records.asked || it.known().filter(rests).is_none() {
            return Stir::Nothing;
        }
        let decided = it.known().map(|(_, state)| plan::publications(state)).unwrap_or_default();
        let shown = decided.len() == names.len()
            && decided.iter().zip(&names).all(|(effect, seen)| shows(effect, seen));
        // Others' servers take a while to follow a shortening, and somebody waits for them.
        let amiss =
            |it: &Published| !it.wrong.is_empty() || !well(&it.held) || (shortened > 0 && !shown);
        let records = &mut it.records;
        records.asked = false;
        records.shown = if shown { records.shown.or(Some(now)) } else { None };
        let unread = |it: &Published| match &it.held {
            Held::Unknown(why) => Some(why.clone()),
            Held::Unasked | Held::AsDecided | Held::Owed(_) | Held::Otherwise(_) => None,
        };
        let unread = names.iter().find_map(unread);
        records.unread = if unread.is_some() { records.unread.saturating_add(1) } else { 0 };
        let unable = unread.filter(|_| UNREAD_MOST <= records.unread);
        records.wrong = if names.iter().any(amiss) { records.wrong.saturating_add(1) } else { 0 };
        let pause = match records.wrong {
            0 => CHECK,
            wrong => CHECK.min(CHECK_SOON * (1 << (wrong - 1).min(5))),
        };
        records.due = now + pause;
        for name in &names {
            let before = records.seen.iter().find(|it| it.name == name.name);
            if let Held::Otherwise(what) | Held::Owed(what) = &name.held
                && before.is_none_or(|before| before.held != name.held)
            {
                let (name, what) = (name.name.clone(), what.clone());
                self.out.note(Note::Drifts { app: app.clone(), name, what });
            }
        }
        records.seen = names;
        if let Some(why) = unable {
            records.unread = 0;
            self.keeps_no_more(&app, &why, now);
        }
        self.mend(&app, now);
        Stir::One(app)
    }

    /// Puts back what was written over, unless people want it left alone.
    fn mend(&mut self, app: &AppId, now: Moment) {
        let hears = self.hears_majority(now);
        let Some(it) = self.apps.get(app).filter(|it| it.work.is_none()) else { return };
        let Some((_, state)) = it.known() else { return };
        let frozen = it.ages.frozen_for(state, now).is_some();
        let left = state.definition.mode == Mode::Shadow || !hears;
        #[cfg(feature = "mutants")]
        let left = left || self.broken(Mutant::DriftLeft);
        let publications = plan::publications(state).into_iter().zip(&it.records.seen);
        // What a person wrote under a freeze stays; what a decision owes was never there.
        let adrift = publications.filter(|(_, seen)| match seen.held {
            Held::Owed(_) => true,
            Held::Otherwise(_) => !frozen,
            Held::Unasked | Held::AsDecided | Held::Unknown(_) => false,
        });
        let effects: Vec<Effect> = adrift.map(|(effect, _)| effect).collect();
        if left || effects.is_empty() {
            return;
        }
        let work = Work::mending(published(state), state.epoch, effects, now);
        self.apps.get_mut(app).expect("it is known").work = Some(work);
        self.work_on(app, now);
    }

    /// Everything that was written over has been put back: look whether it stays.
    pub(super) fn mended(&mut self, app: &AppId, now: Moment) -> bool {
        let Some(it) = self.apps.get_mut(app) else { return false };
        let over = it.work.as_ref().is_some_and(Work::is_mended);
        if over {
            it.work = None;
            it.records.look(now);
        }
        over
    }

    /// What is not as decided of an app's records, as far as this agent saw.
    pub(super) fn record_warnings(&self, state: &AppState, now: Moment) -> Vec<Warning> {
        let Some(it) = self.apps.get(&state.definition.name) else { return Vec::new() };
        let seen = it.records.seen.iter();
        let held = seen.clone().filter_map(|it| match &it.held {
            Held::Unasked | Held::AsDecided => None,
            Held::Owed(what) | Held::Otherwise(what) | Held::Unknown(what) => {
                Some(format!("{}: {what}", it.name))
            }
        });
        let servers = seen.filter(|it| !it.wrong.is_empty()).map(|it| {
            let (name, right, all) = (&it.name, it.right, it.right + it.wrong.len());
            format!("{name}: {right} of {all} name servers say so; {}", it.wrong.join(", "))
        });
        let of = |kind, lines: Vec<String>| {
            (!lines.is_empty()).then(|| Warning {
                target: TargetId {
                    app: state.definition.name.clone(),
                    stack: state.active.clone(),
                    name: "records".parse().expect("a name"),
                },
                kind,
                text: lines.join("; "),
            })
        };
        let records = of(WarningKind::Records, held.collect());
        let servers = of(WarningKind::Servers, servers.collect());
        let unable = of(WarningKind::Unable, self.given_up_by(state, now));
        records.into_iter().chain(servers).chain(unable).collect()
    }

    /// Is this the agent that asks whoever holds the zone? One of those that hold every credential of it, and asked last of all
    /// if it could not.
    pub(super) fn keeps_records(&self, app: &AppId, state: &AppState, now: Moment) -> bool {
        let token = published(state);
        let order = |agent: &AgentId| {
            let gave_up = self.gave_up(agent, app, token, now);
            (gave_up, rendezvous(app, state.epoch, agent), agent.clone())
        };
        let first = self.keepers(state, now).into_iter().min_by_key(order);
        first.is_some_and(|agent| agent == self.config.agent)
    }

    /// Agents heard just now that hold every credential of the records.
    pub(super) fn keepers(&self, state: &AppState, now: Moment) -> Vec<AgentId> {
        self.holders(&plan::publishing_credentials(state), now)
    }

    /// This agent asks whoever holds the zone, and cannot: others do, if there are any.
    fn keeps_no_more(&mut self, app: &AppId, why: &str, now: Moment) {
        let Some((_, state)) = self.apps.get(app).and_then(|it| it.known()) else { return };
        let token = published(state);
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::FailingKept) {
            return;
        }
        if self.keepers(state, now).len() > 1 {
            self.leave_step(app, (token, 0), why, now);
        }
    }
}

/// The token under which the standing decision was published.
pub(super) fn published(state: &AppState) -> Token {
    Token::new(state.epoch, state.decision.attempt, Phase::Publishing.step())
}

/// Was it seen as decided, and for no longer than it is to be kept?
fn shows(effect: &Effect, seen: &Published) -> bool {
    let Effect::Publish { sets, .. } = effect else { return true };
    let most = sets.iter().map(|set| set.ttl).max().unwrap_or(0);
    let held = match seen.held {
        Held::AsDecided => true,
        Held::Unasked => seen.right > 0,
        Held::Owed(_) | Held::Otherwise(_) | Held::Unknown(_) => false,
    };
    held && seen.wrong.is_empty() && seen.longest.is_none_or(|longest| longest <= most)
}

/// Is nothing known against it?
fn well(held: &Held) -> bool {
    match held {
        Held::Unasked | Held::AsDecided => true,
        Held::Owed(_) | Held::Otherwise(_) | Held::Unknown(_) => false,
    }
}
