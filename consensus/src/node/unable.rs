//! An executor that does not get its step done gives it up to whoever else can, and says so (PROTOCOL.md D.2).
//!
//! From the silent a step is taken over. Whoever is there and fails (a key that is refused, a provider that its region does
//! not reach) would keep it for ever. So it stops by itself, where another holds what the step takes, and is asked last from
//! then on. Nothing that is agreed changes by that: the next one claims the step as if from the silent, under the same
//! token. What is put back while nothing is in progress (`drift`) is given up in the same way.

use std::time::Duration;

use super::Node;
use super::drift::published;
use super::people::cut;
use super::work::Work;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::gossip::TROUBLES_LIMIT;
use crate::judge::HEARD_WITHIN;
use crate::message::Trouble;
use crate::model::{AgentId, AppId, AppState, Phase, Token};
use crate::moment::Moment;
use crate::outbox::Note;

/// A step whose requests fail for so long is given up. What was refused is given up at once: it will be refused again.
const FAILS_FOR: Duration = Duration::from_secs(10);
/// A promotion waits for what its replica has received, too.
const PROMOTION_FAILS_FOR: Duration = Duration::from_secs(30);
/// Where everybody else has given it up before.
const LAST_FAILS_FOR: Duration = Duration::from_secs(60);
/// Whoever gave a step up is asked like anybody else again after this.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// A step that this agent gave up.
#[derive(Clone, Debug)]
pub struct GaveUp {
    token: Token,
    term: u32,
    since: Moment,
    why: String,
}

/// Requests that fail, and nothing of their step has been done since.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    pub since: Moment,
    pub refused: bool,
}

impl Node {
    /// Is what this agent is in the middle of to be given up, as soon as it waits for no answer? Until then it asks for nothing.
    pub(super) fn is_given_up(
        &self,
        app: &AppId,
        work: &Work,
        state: &AppState,
        now: Moment,
    ) -> bool {
        let Some(failing) = work.failing else { return false };
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::FailingKept) {
            return false;
        }
        if self.is_overdue(state, now) && work.phase == Phase::Publishing {
            return false;
        }
        let others = self.others_able(work, state, now);
        let fresh = others.iter().any(|agent| !self.gave_up(agent, app, work.token, now));
        let patience = match (work.phase, failing.refused) {
            (Phase::Fencing | Phase::Verifying, _) => return false,
            _ if !fresh => LAST_FAILS_FOR,
            (_, true) => Duration::ZERO,
            (Phase::Promoting, false) => PROMOTION_FAILS_FOR,
            // What a provider lets wait is no reason to begin anew elsewhere.
            (Phase::Idle, false) => LAST_FAILS_FOR,
            (Phase::Aborting | Phase::Publishing, false) => FAILS_FOR,
        };
        !others.is_empty() && failing.since + patience <= now
    }

    /// Who else could go on with it, as far as is known.
    fn others_able(&self, work: &Work, state: &AppState, now: Moment) -> Vec<AgentId> {
        let mut able = match work.phase {
            Phase::Idle => self.keepers(state, now),
            _ => self.able(state, now),
        };
        able.retain(|agent| *agent != self.config.agent);
        able
    }

    /// Gives up what this agent is in the middle of.
    pub(super) fn leave_work(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let Some(work) = it.work.take() else { return };
        let why = work.trouble.unwrap_or_default();
        self.leave_step(app, (work.token, work.term), &why, now);
    }

    /// Says that this agent does not get a step done.
    pub(super) fn leave_step(
        &mut self,
        app: &AppId,
        (token, term): (Token, u32),
        why: &str,
        now: Moment,
    ) {
        let Some(it) = self.apps.get_mut(app) else { return };
        let why = cut(why, Trouble::WHY_MOST);
        it.gave_up = Some(GaveUp { token, term, since: now, why: why.clone() });
        self.out.note(Note::Leaves { app: app.clone(), token, why });
    }

    /// Did this agent give this step up, and not long ago?
    pub(super) fn gave_up(&self, agent: &AgentId, app: &AppId, token: Token, now: Moment) -> bool {
        match *agent == self.config.agent {
            true => self.own_giving_up(app, now).is_some_and(|it| it.token == token),
            false => self.told_giving_up(agent, app).is_some_and(|(it, _)| it.token == token),
        }
    }

    /// Since when whoever holds this claim has given it up.
    pub(super) fn given_up_since(
        &self,
        agent: &AgentId,
        (app, token, term): (&AppId, Token, u32),
        now: Moment,
    ) -> Option<Moment> {
        match *agent == self.config.agent {
            true => {
                let own = self.own_giving_up(app, now)?;
                ((own.token, own.term) == (token, term)).then_some(own.since)
            }
            false => {
                let (told, since) = self.told_giving_up(agent, app)?;
                ((told.token, told.term) == (token, term)).then_some(since)
            }
        }
    }

    fn own_giving_up(&self, app: &AppId, now: Moment) -> Option<&GaveUp> {
        let it = self.apps.get(app)?.gave_up.as_ref()?;
        (now.since(it.since) <= FORGOTTEN).then_some(it)
    }

    fn told_giving_up(&self, agent: &AgentId, app: &AppId) -> Option<(&Trouble, Moment)> {
        let (told, since) = self.peers.peer(agent)?.troubles.get(app)?;
        Some((told, (*since)?))
    }

    /// What this agent does not get done, for everybody.
    pub(super) fn troubles(&self, now: Moment) -> Vec<Trouble> {
        let troubles = self.apps.iter().filter_map(|(app, it)| {
            if let Some(own) = self.own_giving_up(app, now) {
                let (token, term, why) = (own.token, own.term, own.why.clone());
                return Some(Trouble { app: app.clone(), token, term, gave_up: true, why });
            }
            let work = it.work.as_ref()?;
            let why = cut(work.trouble.as_ref()?, Trouble::WHY_MOST);
            let (token, term) = (work.token, work.term);
            Some(Trouble { app: app.clone(), token, term, gave_up: false, why })
        });
        troubles.take(TROUBLES_LIMIT).collect()
    }

    /// Who gave up what is in progress of this app, or keeping its records, and why: one line each.
    pub(super) fn given_up_by(&self, state: &AppState, now: Moment) -> Vec<String> {
        let app = &state.definition.name;
        let concerns = |it: &Trouble| {
            it.gave_up && (it.token == plan::token(state) || it.token == published(state))
        };
        let others = self.peers.iter().filter(|(_, peer)| now.since(peer.heard) <= HEARD_WITHIN);
        let told =
            others.filter_map(|(agent, peer)| Some((agent, peer.troubles.get(app)?.0.clone())));
        let own = self.troubles(now).into_iter().filter(|it| it.app == *app);
        let own = own.map(|it| (&self.config.agent, it));
        let mut all: Vec<_> = told.chain(own).filter(|(_, it)| concerns(it)).collect();
        all.sort_by(|one, other| one.0.cmp(other.0));
        all.into_iter().map(|(agent, it)| format!("{agent} could not: {}", it.why)).collect()
    }
}
