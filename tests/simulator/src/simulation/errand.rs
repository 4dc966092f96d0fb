//! Actions on their way to the outside and back: late, lost, doubled, applied without an answer.

use std::time::Duration;

use consensus::failover::plan;
use consensus::model::{
    Action, ActionFault, ActionFaultKind, AppId, Effect, Inspected, Inspection, Phase, Report,
    Sought,
};
use consensus::moment::Moment;
use consensus::outbox::Input;

use super::aim::Fate;
use super::{Event, Simulation};
use crate::check::{Found, guard, lease, planned, stepping};
use crate::network::Place;
use crate::weather::Moments;
use crate::world::{Arrival, Host, Web};

/// A request that is on its way.
#[derive(Clone, Debug)]
pub struct Errand {
    place: Place,
    run: u64,
    action: Action,
    began: Moment,
    /// Is anybody still waiting for the answer?
    awaited: bool,
    /// Does the answer get lost?
    mute: bool,
    /// What the chronicle knows it by.
    number: usize,
}

impl Errand {
    /// Is anybody still waiting for the answer?
    pub fn awaited(&self) -> bool {
        self.awaited
    }
}

/// Slow, and not so slow that the asker gives up.
const SLOW: Duration = Duration::from_secs(3);
/// How long it takes to ask every name server.
const INSPECTION: Duration = Duration::from_millis(40);
/// How long a request that waits for the outside is kept waiting before it is tried again there.
const PATIENCE: Duration = Duration::from_millis(100);

impl Simulation {
    /// An agent asks the outside for something.
    pub(super) fn act(&mut self, place: Place, action: &Action) {
        let agent = &self.agents[place];
        let (run, now) = (agent.run, agent.clock.boot(self.now));
        // Whoever stood still between deciding and asking asks nothing any more.
        if action.deadline < now {
            let fault = ActionFault { kind: ActionFaultKind::Late, text: "too late".into() };
            return self.answer(place, run, Duration::ZERO, report(action, Duration::ZERO, fault));
        }
        let mut found: Found = Vec::new();
        self.reach.on_act(self.now, &agent.id, action, &self.registers, &mut found);
        stepping::on_act(&self.world, action, &mut found);
        planned::on_act(&self.world, action, &self.registers, &mut found);
        guard::on_act(&agent.id, action, agent.disk.durable(), &mut found);
        self.report(found);
        self.count(effect_name(&action.effect));
        let by = self.executor(place, action);
        if by != place {
            self.count("requests carried out by guards");
        }
        let Some(fate) = self.aim_at_request(by, action) else { return };
        let step = action.token.0 & 0xff;
        if self.killed_at(by, step, Moments::Before) && by == place {
            return;
        }
        if let Effect::Promote { .. } = action.effect
            && self.chance.happens(self.rates.candidate_dies)
        {
            self.kill_candidate(&action.app);
        }
        let strikes = self.chance.happens(self.rates.executor_cut_off);
        if strikes {
            self.cut_off_or_stop(by);
        }
        self.dispatch(place, run, (by, action), fate);
        self.aim_at_sent(by, fate);
        self.killed_at(by, step, Moments::After);
    }

    /// Who wants what an agent does: the executor that asked it to, if it is a guard.
    fn executor(&self, place: Place, action: &Action) -> Place {
        let claimed = self.registers.history(&action.app).find_map(|chosen| {
            let claim = chosen.state.claim.as_ref()?;
            let this = plan::token(&chosen.state) == action.token && claim.term == action.term;
            this.then(|| claim.agent.clone())
        });
        claimed.and_then(|agent| self.place(&agent)).unwrap_or(place)
    }

    /// An agent looks at what the outside's DNS says.
    pub(super) fn inspect(&mut self, place: Place, inspection: &Inspection) {
        let (run, agent) = (self.agents[place].run, &self.agents[place].id);
        let (token, holder) = (inspection.token, inspection.holder);
        let seen = |effect| self.world.inspect(agent, effect, token, holder);
        let inspected = Inspected {
            app: inspection.app.clone(),
            token: inspection.token,
            shortened: inspection.shortened,
            names: inspection.publications.iter().filter_map(seen).collect(),
        };
        self.after(INSPECTION, Event::Input { to: place, run, input: Input::Inspected(inspected) });
    }

    /// An agent asks a source of followed endpoints.
    pub(super) fn seek(&mut self, place: Place, sought: &Sought) {
        let agent = &self.agents[place];
        let (run, found) = (agent.run, self.world.answer(self.now, &agent.id, sought));
        self.after(INSPECTION, Event::Input { to: place, run, input: Input::Found(found) });
    }

    fn dispatch(&mut self, place: Place, run: u64, (by, action): (Place, &Action), fate: Fate) {
        let rates = self.rates.clone();
        let asked = (by, self.agents[by].run);
        let number = self.chronicle.on_request(self.now, &action.app, asked, action.token);
        let errand = Errand {
            place,
            run,
            action: action.clone(),
            began: self.now,
            awaited: true,
            mute: self.chance.happens(rates.answer_lost) || fate == Fate::Mute,
            number,
        };
        let repeated = match fate {
            Fate::Again(span) => Some(span),
            _ if self.chance.happens(rates.request_repeated) => {
                Some(self.chance.between(Duration::from_millis(10), rates.repeated_within))
            }
            _ => None,
        };
        if let Some(span) = repeated {
            let copy = Errand { awaited: false, ..errand.clone() };
            self.count("late duplicates");
            self.after(span, Event::Errand(Box::new(copy)));
        }
        let late = self.chance.happens(rates.request_late);
        let lost = self.chance.happens(rates.request_lost) || fate == Fate::Lost;
        if lost {
            self.chronicle.on_lost(&action.app, number);
        }
        if late || lost {
            self.give_up(&errand);
        }
        let span = match late {
            false if fate == Fate::Slow => SLOW,
            false => self.chance.between(Duration::from_millis(2), rates.outside_takes),
            true => self.chance.between(action.limit, Duration::from_secs(60)),
        };
        if !lost {
            let awaited = !late;
            self.after(span, Event::Errand(Box::new(Errand { awaited, ..errand })));
        }
    }

    /// A request is there.
    pub(super) fn arrive(&mut self, errand: Errand) {
        let agent = self.agents[errand.place].id.clone();
        let fails = self.chance.happens(self.rates.request_fails);
        let app = errand.action.app.clone();
        let before = self.world.primaries(&app);
        let arrival = match fails && self.chance.happens(0.5) {
            true => failed(),
            false => self.world.arrive(self.now, &agent, &errand.action),
        };
        let arrival = match arrival {
            Arrival::Answered(Ok(_)) if fails => failed(),
            other => other,
        };
        let mut found = Found::new();
        for promoted in self.world.primaries(&app).difference(&before) {
            lease::promoted(self.now, &self.world, promoted, &mut found);
        }
        self.report(found);
        let token = errand.action.token;
        let asked = &self.agents[errand.place];
        let heard = errand.awaited && !errand.mute && asked.run == errand.run && asked.answers();
        if let Arrival::Answered(_) = arrival {
            self.chronicle.on_arrival(self.now, &errand.action.app, errand.number, heard);
        }
        self.outside_changed();
        match arrival {
            Arrival::Answered(result) => {
                let what = effect_name(&errand.action.effect);
                let mute = errand.mute || !errand.awaited;
                self.say(|| {
                    let heard = if mute { ", unheard" } else { "" };
                    match &result {
                        Ok(done) => format!("{what} with {token} of {agent}: {}{heard}", done.text),
                        Err(no) => {
                            format!("{what} with {token} of {agent} not: {}{heard}", no.text)
                        }
                    }
                });
                match (errand.awaited, errand.mute) {
                    (false, _) => {}
                    (true, true) => self.give_up(&errand),
                    (true, false) => {
                        let action = &errand.action;
                        let back = self
                            .chance
                            .between(Duration::from_millis(1), Duration::from_millis(40));
                        let report = Report {
                            app: action.app.clone(),
                            token,
                            term: action.term,
                            item: action.item,
                            took: self.now.since(errand.began) + back,
                            result,
                        };
                        self.answer(errand.place, errand.run, back, report);
                    }
                }
            }
            Arrival::Waits if self.now + PATIENCE < errand.began + errand.action.limit => {
                self.after(PATIENCE, Event::Errand(Box::new(errand)));
            }
            Arrival::Waits | Arrival::Nowhere if errand.awaited => self.give_up(&errand),
            Arrival::Waits | Arrival::Nowhere => {}
        }
    }

    /// The stack to be promoted dies just now, and comes back later.
    fn kill_candidate(&mut self, app: &AppId) {
        let Some(to) = self.agreed(app).map(|state| state.decision.to.clone()) else { return };
        self.count("candidates that die");
        self.break_web(app, &to, Web::Dark);
        self.break_database(app, &to, Host::Dark);
        let span = self.chance.between(Duration::from_secs(1), Duration::from_secs(120));
        let app = app.clone();
        self.later(span, move |simulation| simulation.mend_stack(&app, &to));
    }

    /// The agent's time limit passes without an answer.
    fn give_up(&mut self, errand: &Errand) {
        let limit = errand.action.limit;
        let left = (errand.began + limit).since(self.now);
        let text = format!("no answer within {} ms", limit.as_millis());
        let fault = ActionFault { kind: ActionFaultKind::Unknown, text };
        self.answer(errand.place, errand.run, left, report(&errand.action, limit, fault));
    }

    /// Is this the moment at which whoever carries out a step dies?
    fn killed_at(&mut self, place: Place, step: u64, moment: Moments) -> bool {
        let trap = (Phase::Idle.step() as u64 + step, moment);
        let sprung =
            self.rates.traps.contains(&trap) || self.chance.happens(self.rates.executor_killed);
        if !sprung {
            return false;
        }
        self.count("executors killed");
        match self.rates.traps.remove(&trap) {
            true => self.crash(place),
            false => self.crash_for_a_while(place),
        }
        true
    }
}

/// An error of the outside's own, which says nothing of what was done.
fn failed() -> Arrival {
    let (kind, text) = (ActionFaultKind::Unknown, "503 service unavailable".into());
    Arrival::Answered(Err(ActionFault { kind, text }))
}

fn report(action: &Action, took: Duration, fault: ActionFault) -> Report {
    Report {
        app: action.app.clone(),
        token: action.token,
        term: action.term,
        item: action.item,
        took,
        result: Err(fault),
    }
}

fn effect_name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Fence(_) => "fence",
        Effect::Unfence(_) => "unfence",
        Effect::Promote { .. } => "promote",
        Effect::Follow { .. } => "follow",
        Effect::StepDown { .. } => "step down",
        Effect::Synchronous { .. } => "wait for replicas",
        Effect::Publish { .. } => "publish",
    }
}
