//! Watching over one app: when to call for a failover, and saying why not.

use std::time::Duration;

use super::Node;
use super::app::Wanted;
use super::claim::rendezvous;
use super::intent::Intent;
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::evidence::{Choice, Count, nobody_sees_down};
use crate::failover::plan;
use crate::model::{AppId, AppState, Ballot, Mode, Phase, Verdict};
use crate::moment::Moment;
use crate::outbox::{Answer, Note, Output};

/// The least a proposer of a lower rank waits, so that two do not duel over a network without delay.
const RANK_LEAST: Duration = Duration::from_millis(50);
/// A value accepted and not known to be chosen is left to its proposer for this long (PROTOCOL.md A.5).
const LINGERS: Duration = Duration::from_secs(2);
const RANK_LINGERS: Duration = Duration::from_millis(500);

impl Node {
    /// Whatever may be done for an app now.
    pub(super) fn consider(&mut self, app: &AppId, now: Moment) {
        let Some(it) = self.apps.get_mut(app) else { return };
        it.again = None;
        if it.wanted.as_ref().is_some_and(|wanted| wanted.until <= now) {
            let wanted = it.wanted.take().expect("it was just there");
            let answer = Answer::Unknown(
                "no quorum answered in time; the status tells what became of it".into(),
            );
            self.out.push(Output::Answer(wanted.command, answer));
        }
        self.give_up_stepping(app, now);
        self.hand_out(app, now);
        self.answer_evidence(app, now);
        self.guard(app, now);
        self.consider_rejoin(app, now);
        self.attempt_due(app, now);
        let Some(it) = self.apps.get_mut(app) else { return };
        if it.attempt.is_some() {
            return;
        }
        self.notice_undecided(app, now);
        let Some(it) = self.apps.get_mut(app) else { return };
        if it.not_before <= now {
            // What was decided comes before what is asked for: a person who asks again and again must not keep it from being
            // found out and carried out.
            if it.in_flux {
                it.in_flux = false;
                let operation = self.operation();
                return self.start(app, Intent::Claim, operation, now);
            }
            if it.work.is_some() {
                self.drive(app, now);
                if self.apps[app].attempt.is_some() {
                    return self.say_work(app, now);
                }
            }
            let waits = self.awaits_election(app, now);
            if let (Some(Wanted { intent, operation, .. }), false) =
                (self.apps[app].wanted.clone(), waits)
            {
                return self.start(app, intent, operation, now);
            }
            if self.carry_over(app, now) {
                return;
            }
        }
        let it = &self.apps[app];
        match (it.known().map(|(_, state)| state.phase), it.work.is_some()) {
            (None, _) => {}
            (Some(Phase::Idle), works) => {
                // What is put back needs no ballot, and waits for no pause between two: else it would wake us all the while.
                if works {
                    self.drive(app, now);
                }
                self.consider_failover(app, now);
                self.consider_lifetimes(app, now);
                self.consider_sync(app, now);
            }
            (Some(_), true) => {
                self.drive(app, now);
                self.say_work(app, now);
            }
            (Some(_), false) => self.consider_claim(app, now),
        }
    }

    /// A value that this voter accepted, and of which nobody says what became of it, must not linger: its proposer may be
    /// dead, and it may be chosen (PROTOCOL.md A.5, in-flux repair). Voters find out one after the other.
    fn notice_undecided(&mut self, app: &AppId, now: Moment) {
        #[cfg(feature = "mutants")]
        if self.broken(Mutant::LingeringLeft) {
            return;
        }
        let held = self
            .acceptor
            .as_ref()
            .and_then(|acceptor| acceptor.accepted(&app.into()))
            .map(|held| held.ballot);
        let it = self.apps.get_mut(app).expect("it is considered");
        let known = it.chosen.as_ref().map_or(Ballot::ZERO, |known| known.ballot);
        let Some(held) = held.filter(|held| *held > known) else {
            it.undecided = None;
            return;
        };
        let rank = self.apps[app].known().map_or(0, |(_, state)| self.rank(app, state, now));
        let it = self.apps.get_mut(app).expect("it is considered");
        let since = match it.undecided {
            Some((ballot, since)) if ballot == held => since,
            _ => now,
        };
        it.undecided = Some((held, since));
        let due = since + LINGERS + RANK_LINGERS * rank;
        match due <= now {
            true => {
                it.undecided = None;
                it.in_flux = true;
            }
            false => it.again = Some((due, "an accepted value may have to be completed")),
        }
    }

    /// How many voters are heard, in words.
    pub(super) fn quorum_words(&self, now: Moment) -> String {
        let heard = self.voters_heard(crate::judge::HEARD_WITHIN, now).len();
        let (n, needed) = (self.config.voters.agents().len(), self.config.voters.needed());
        format!("{heard} of {n} voters are heard, {needed} are needed")
    }

    fn consider_failover(&mut self, app: &AppId, now: Moment) {
        let Some((_, state)) = self.apps[app].known() else { return };
        if self.stands_for_all(state, now) {
            self.leave_standing(app);
            return self.consider_repairs(app, now);
        }
        let own = self.beliefs_of(app, now);
        let Some((_, state)) = self.apps[app].known() else { return };
        let panel = self.panel(state, &own, now);
        let halves = panel.halves(&state.active);
        let suspicion = suspicion(&halves);
        let doubted = suspicion.is_some_and(|(_, down)| down > 0);
        let choice = panel.failover_by(&halves, &state.active);
        let called = choice.and_then(|choice| self.call(app, state, &choice, now));
        let active = state.active.clone();
        let web = halves[0].as_ref().map(|web| web.verdict);
        let stranded = state.definition.follows()
            && web == Some(Verdict::Down)
            && panel.leader().is_ok_and(|leader| leader.stack == active);
        self.tell_suspicion(app, &active, suspicion);
        match called {
            Ok(at) if at <= now => {
                self.apps.get_mut(app).expect("it is known").called.get_or_insert(now);
                let operation = self.operation();
                self.start(app, Intent::Failover, operation, now);
            }
            Ok(at) => {
                let it = self.apps.get_mut(app).expect("it is known");
                it.called.get_or_insert(now);
                it.again = Some((at, "a failover is called for"));
                self.say_next(app, format!("a failover from {active} is about to be proposed"));
            }
            Err(why) => {
                let asked = match stranded.then(|| self.steps_aside(app, now)) {
                    None => String::new(),
                    Some(Ok(())) => "; it is asked to step down".to_owned(),
                    Some(Err(not)) => format!("; it is not asked to step down: {not}"),
                };
                self.say_next(app, format!("{why}{asked}"));
                let it = self.apps.get_mut(app).expect("it is known");
                it.called = None;
                if !doubted {
                    it.next_told.clear();
                    return self.consider_repairs(app, now);
                }
                if it.next_told != why {
                    it.next_told.clone_from(&why);
                    self.out.note(Note::Holds { app: app.clone(), why });
                }
                // What does not answer where it was may have moved.
                self.consider_places(app, now);
            }
        }
    }

    /// Does everybody who says anything see all of the active stack up? Then the rule has nothing to count: most of the
    /// time, of most apps.
    pub(super) fn stands_for_all(&self, state: &AppState, now: Moment) -> bool {
        let (definition, active) = (&state.definition, &state.active);
        let watched = definition.stack(active).is_some_and(|stack| {
            if definition.has_databases() {
                !stack.databases.is_empty()
            } else {
                !stack.endpoints.is_empty()
            }
        });
        // What leads from elsewhere is no fault of the active stack's.
        let follows = definition.follows();
        watched && !follows && 1 < definition.stacks.len() && self.all_see_up(state, active, now)
    }

    /// The rule would say that nobody sees it down.
    fn leave_standing(&mut self, app: &AppId) {
        let Some((_, state)) = self.apps[app].known() else { return };
        let active = state.active.clone();
        self.tell_suspicion(app, &active, None);
        self.say_next(app, nobody_sees_down(&active));
        let it = self.apps.get_mut(app).expect("it is known");
        it.called = None;
        it.next_told.clear();
    }

    /// When to propose a failover that the rule allows, or why not to.
    fn call(
        &self,
        app: &AppId,
        state: &AppState,
        choice: &Choice,
        now: Moment,
    ) -> Result<Moment, String> {
        if !self.hears_majority(now) {
            return Err(format!("no quorum: {}", self.quorum_words(now)));
        }
        match state.definition.mode {
            Mode::Automatic => {}
            Mode::Approve => {
                return Err(format!(
                    "would move to {} ({}), and waits for `quorate approve`",
                    choice.to, choice.reason
                ));
            }
            Mode::Shadow => {
                return Err(format!(
                    "would move to {} ({}), and is only a shadow",
                    choice.to, choice.reason
                ));
            }
        }
        let held = |why| format!("{}, and {why}", choice.reason);
        self.free(app, state, now).map_err(held)?;
        let turn = self.turn(app, state, now).map_err(held)?;
        if let Some(abstention) = self.abstention_of(state, now) {
            return Err(format!("{}; others will propose: this agent {abstention}", choice.reason));
        }
        let it = &self.apps[app];
        let since = it.called.unwrap_or(now);
        let rank = self.rank(app, state, now);
        Ok((since + (self.rtt() * 2).max(RANK_LEAST) * rank).max(it.not_before).max(turn))
    }

    /// This agent's place among the voters that could propose: those that can carry it out first.
    pub(super) fn rank(&self, app: &AppId, state: &AppState, now: Moment) -> u32 {
        let needed = plan::all_credentials(&state.definition);
        let order = |agent: &crate::model::AgentId| {
            let held = match *agent == self.config.agent {
                true => Some(&self.config.credentials),
                false => self.peers.peer(agent).map(|peer| &peer.credentials),
            };
            let able = held.is_some_and(|held| needed.iter().all(|it| held.contains(it)));
            (!able, rendezvous(app, state.epoch, agent), agent.clone())
        };
        let mine = order(&self.config.agent);
        let before = self
            .voters_heard(crate::judge::HEARD_WITHIN, now)
            .iter()
            .filter(|agent| order(agent) < mine)
            .count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    fn tell_suspicion(
        &mut self,
        app: &AppId,
        stack: &crate::model::StackId,
        suspicion: Option<(Verdict, usize)>,
    ) {
        let voters = self.config.voters.agents().len();
        let it = self.apps.get_mut(app).expect("it is known");
        let suspicion = suspicion.unwrap_or((Verdict::Standing, 0));
        let before = it.suspicion_told.replace(suspicion).unwrap_or((Verdict::Standing, 0));
        if before != suspicion {
            let (verdict, down) = suspicion;
            self.out.note(Note::Suspects {
                app: app.clone(),
                stack: stack.clone(),
                verdict,
                down,
                voters,
            });
        }
    }

    fn say_work(&mut self, app: &AppId, now: Moment) {
        let Some((_, state)) = self.apps[app].known() else { return };
        let mut next = format!("{}, carried out by {}", state.phase, self.config.agent);
        if let Some(trouble) = self.apps[app].work.as_ref().and_then(|work| work.trouble.as_ref()) {
            next = format!("{next}: {trouble}");
        }
        let way_out = self.way_out(app, state, now);
        self.say_next(app, next + &way_out);
    }

    pub(super) fn say_next(&mut self, app: &AppId, next: String) {
        self.apps.get_mut(app).expect("it is known").next = next;
    }
}

/// The worse of the active stack's two halves, and how many voters see it down.
fn suspicion(halves: &[Option<Count>; 2]) -> Option<(Verdict, usize)> {
    let counts = halves.iter().flatten().map(|count| (count.verdict, count.down.len()));
    counts.max_by_key(|(verdict, down)| (*verdict == Verdict::Down, *down))
}
