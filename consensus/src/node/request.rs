//! Requests to the guard of a database, both ends: who carries a step out asks it, and it acts on its own host (PROTOCOL.md
//! D.4).
//!
//! A guard is told what was agreed and which of the requests that follow from it is meant, never what to do: it works that
//! out itself, from a claim of whoever asks. It compares the token with the highest one it ever acted with, and has it
//! written down before it acts, so that what comes late or twice does nothing that was not done. Where no guard answers, or
//! it cannot, the executor acts from afar with credentials of its own; there the database compares, as far as it can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::execute::token_of;
use super::work::{ACT, Item, Stage};
#[cfg(feature = "mutants")]
use crate::config::Mutant;
use crate::failover::plan;
use crate::message::{GuardBody, GuardMessage, Message};
use crate::model::{
    Action, ActionFault, ActionFaultKind, AgentId, AppState, CredentialId, Database, Done, Effect,
    Report, TargetId, Token,
};
use crate::moment::Moment;
use crate::outbox::{Note, Output};
use crate::saved::Entry;

/// The most characters that a guard may say of what it did: they become part of what is agreed.
const TEXT_MOST: usize = 300;

/// A guard that cannot will not be able to the next moment.
const RETRY_DECLINED: Duration = Duration::from_secs(2);

/// What a guard did with one of its databases when it was asked to.
#[derive(Debug, Default)]
pub struct Obeying {
    /// The highest token that it ever acted with; durable.
    token: Token,
    running: Option<Running>,
    /// What came of the last one, for whoever asks again.
    done: Option<(Token, Done)>,
    /// Asked for while another is carried out; the newest alone.
    next: Option<Request>,
}

#[derive(Debug)]
struct Running {
    by: AgentId,
    token: Token,
    term: u32,
    item: u16,
    since: Moment,
}

/// What an executor asks for, and until when it may be begun.
#[derive(Debug)]
struct Request {
    by: AgentId,
    message: GuardMessage,
    until: Moment,
}

/// What a guard makes of a request.
enum Weighed {
    Act(Effect),
    Say(GuardBody),
    Deny(ActionFault),
    /// Something else is being carried out.
    Later,
    /// This very thing is: its end is the answer.
    Running,
}

/// How a request reaches a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By its guard.
    Guard(AgentId),
    /// From here.
    Afar,
    /// Not now: no guard answers, and no credential is held here.
    None,
}

impl Obeying {
    /// As the store knows it.
    pub(super) fn restored(saved: BTreeMap<TargetId, Token>) -> BTreeMap<TargetId, Self> {
        let known = |(target, token)| (target, Self { token, ..Self::default() });
        saved.into_iter().map(known).collect()
    }

    fn runs(&self, now: Moment) -> Option<&Running> {
        // The edge answers within the limit; a request that was lost with its task is over.
        self.running.as_ref().filter(|it| now.since(it.since) <= ACT * 2)
    }
}

impl Node {
    /// The guard that can carry a request out just now, with what credentials it says it holds.
    fn guard_of(&self, effect: &Effect, now: Moment) -> Option<AgentId> {
        let guard = plan::database(effect)?.guard.as_ref()?;
        let holds = |held: &[CredentialId]| plan::logins(effect).all(|it| held.contains(it));
        let able = match *guard == self.config.agent {
            // Its own database is nobody else's to act on, whether or not it can.
            true => true,
            false => {
                let peer = self.peers.peer(guard);
                self.answers(guard, now) && peer.is_some_and(|it| holds(&it.credentials))
            }
        };
        able.then(|| guard.clone())
    }

    /// Does this agent hold what a request takes from afar?
    pub(super) fn holds_for(&self, effect: &Effect) -> bool {
        plan::logins(effect).all(|it| self.config.credentials.contains(it))
    }

    /// How a request is to be made; `afar`: its guard was asked, and did not answer or cannot.
    pub(super) fn way(&self, effect: &Effect, afar: bool, now: Moment) -> Way {
        let guarded = plan::database(effect).is_some_and(|it| it.guard.is_some());
        // Where the guard is this agent, that it is busy is no reason to go past it: the token would not be durable.
        let own = |guard: &AgentId| *guard == self.config.agent;
        #[cfg(feature = "mutants")]
        let own = |guard: &AgentId| own(guard) && !self.broken(Mutant::GuardPassedBy);
        match self.guard_of(effect, now).filter(|guard| !afar || own(guard)) {
            Some(guard) => Way::Guard(guard),
            None if is_private(effect) && !plan::is_only_tried(effect) => Way::None,
            // What is only tried is tried: that no credential is held is what is written down.
            None if !guarded || plan::is_only_tried(effect) || self.holds_for(effect) => Way::Afar,
            None => Way::None,
        }
    }

    /// The credentials without which an agent cannot carry out the current phase: what a guard does takes none but its own.
    pub(super) fn needed(&self, state: &AppState, now: Moment) -> BTreeSet<CredentialId> {
        let effects = plan::effects(state);
        let afar = effects.iter().filter(|effect| match self.guard_of(effect, now) {
            Some(guard) => guard == self.config.agent,
            None => true,
        });
        afar.filter_map(plan::credential).collect()
    }

    /// Asks a guard for something, or once more.
    pub(super) fn ask_guard(&mut self, guard: &AgentId, ask: GuardMessage, again: bool) {
        let app = ask.target.app.clone();
        let work = self.apps.get(&app).and_then(|it| it.work.as_ref());
        let item = work.and_then(|work| work.items.get(usize::from(ask.item)));
        if let Some(item) = item.filter(|_| !again) {
            let what = plan::describe(&item.effect);
            let what = match *guard == self.config.agent {
                true => what,
                false => format!("{what}, by {guard}"),
            };
            self.out.note(Note::Acts { app, token: ask.token, what });
        }
        self.say(guard, Message::Guard(Box::new(ask)));
    }

    /// A guard says what came of what it was asked for.
    fn on_guard_answer(
        &mut self,
        from: &AgentId,
        message: &GuardMessage,
        took: Duration,
        result: Result<Done, ActionFault>,
        now: Moment,
    ) {
        let GuardMessage { target, token, term, item, .. } = message;
        let Some(asked) = self.asked(from, message) else { return };
        // That it failed says nothing of a try from afar that was begun since.
        if asked.asked.is_none() && result.is_err() {
            return;
        }
        let (app, token, term, item) = (target.app.clone(), *token, *term, *item);
        self.on_outcome(Report { app, token, term, item, took, result }, now);
    }

    /// A guard cannot do what it was asked for.
    fn on_declined(&mut self, from: &AgentId, message: &GuardMessage, why: String, now: Moment) {
        let Some(asked) = self.asked(from, message).filter(|it| it.asked.is_some()) else { return };
        let holds = self.holds_for(&asked.effect) && !is_private(&asked.effect);
        let app = &message.target.app;
        let Some(work) = self.apps.get_mut(app).and_then(|it| it.work.as_mut()) else { return };
        let Some(item) = work.items.get_mut(usize::from(message.item)) else { return };
        (item.asked, item.afar) = (None, holds);
        item.stage = Stage::Waiting(if holds { now } else { now + RETRY_DECLINED });
        work.trouble = Some(why);
        work.again = now;
        self.drive(app, now);
    }

    /// The request that a guard's word is about, if it was to do it and it has not ended.
    fn asked(&self, guard: &AgentId, message: &GuardMessage) -> Option<&Item> {
        let it = self.apps.get(&message.target.app)?;
        let (work, (_, state)) = (it.work.as_ref()?, it.known()?);
        let item = work.items.get(usize::from(message.item))?;
        let theirs = plan::database(&item.effect)?.guard.as_ref() == Some(guard)
            && plan::target(state, &item.effect).as_ref() == Some(&message.target);
        let this = (work.token, work.term) == (message.token, message.term);
        (this && theirs && !item.ended()).then_some(item)
    }

    /// Somebody who carries a step out says something to a guard, or a guard to them.
    pub(super) fn on_guard_message(&mut self, from: &AgentId, message: GuardMessage, now: Moment) {
        if message.mesh != self.config.voters.mesh {
            return;
        }
        match &message.body {
            GuardBody::Asks { agreed, left } => {
                let until = now + (*left).min(ACT);
                let agreed = agreed.clone();
                self.learn(&message.target.app, agreed, now);
                self.obey(Request { by: from.clone(), message, until }, now);
            }
            GuardBody::Answers { took, result } => {
                let (took, result) = (*took, bounded(result));
                self.on_guard_answer(from, &message, took, result, now);
            }
            GuardBody::Declines(why) => {
                let why = why.chars().take(TEXT_MOST).collect();
                self.on_declined(from, &message, why, now);
            }
        }
    }

    /// A guard is asked for something.
    fn obey(&mut self, request: Request, now: Moment) {
        match self.weigh(&request, now) {
            Weighed::Act(effect) => self.begin(&request, effect, now),
            Weighed::Say(body) => self.answer_asked(&request.by, &request.message, body),
            Weighed::Deny(fault) => self.deny(&request, fault),
            Weighed::Running => {}
            Weighed::Later => {
                let target = request.message.target.clone();
                self.obeying.entry(target).or_default().next = Some(request);
            }
        }
    }

    /// What is not done is said here, too, and not only to whoever asked: a late request may come from nobody's agent any more.
    fn deny(&mut self, request: &Request, fault: ActionFault) {
        let Request { by, message, .. } = request;
        let (target, token) = (message.target.clone(), message.token);
        let note = Note::Denies { target, token, by: by.clone(), why: fault.text.clone() };
        if *by != self.config.agent && self.denied.as_ref() != Some(&note) {
            self.denied = Some(note.clone());
            self.out.note(note);
        }
        let body = GuardBody::Answers { took: Duration::ZERO, result: Err(fault) };
        self.answer_asked(by, message, body);
    }

    fn weigh(&self, request: &Request, now: Moment) -> Weighed {
        let Request { message, until, .. } = request;
        let GuardMessage { target, token, term, item, .. } = message;
        let (effect, newer) = match self.derived(request) {
            Ok(derived) => derived,
            Err(why) => return no(ActionFaultKind::Refused, why),
        };
        let nothing = Obeying::default();
        let obeying = self.obeying.get(target).unwrap_or(&nothing);
        let held = obeying.token;
        if !self.forgets_tokens() {
            if newer {
                let why = format!("{} knows of a newer claim", self.config.agent);
                return no(ActionFaultKind::Superseded, why);
            }
            if *token < held {
                let why = format!("{} acted with the newer token {held}", self.config.agent);
                return no(ActionFaultKind::Superseded, why);
            }
        }
        if request.by != self.config.agent && !self.holds_for(&effect) {
            let needed: Vec<_> = plan::logins(&effect).map(ToString::to_string).collect();
            let me = &self.config.agent;
            return Weighed::Say(GuardBody::Declines(format!(
                "{me} does not hold {}",
                needed.join(", ")
            )));
        }
        if let Some((_, done)) = obeying.done.as_ref().filter(|(of, _)| of == token) {
            let result = Ok(done.clone());
            return Weighed::Say(GuardBody::Answers { took: Duration::ZERO, result });
        }
        if let Some(running) = obeying.runs(now) {
            let same = (running.token, running.term, running.item) == (*token, *term, *item);
            return if same { Weighed::Running } else { Weighed::Later };
        }
        let rejoining = self.apps.get(&target.app).and_then(|it| it.rejoining.as_ref());
        if rejoining.is_some_and(|it| it.works_on(&target.stack)) {
            return no(ActionFaultKind::Unknown, "it is being made a replica again".to_owned());
        }
        if *until < now {
            return no(ActionFaultKind::Late, "its deadline passed before it began".to_owned());
        }
        Weighed::Act(effect)
    }

    /// What a request asks for, by what was agreed, and whether this guard knows of something newer.
    fn derived(&self, request: &Request) -> Result<(Effect, bool), String> {
        let Request { by, message, .. } = request;
        let GuardMessage { target, token, term, item, .. } = message;
        let GuardBody::Asks { agreed, .. } = &message.body else {
            return Err("it asks for nothing".to_owned());
        };
        let known = self.apps.get(&target.app).and_then(|it| it.chosen.as_ref());
        let state = match known.filter(|known| known.ballot == agreed.ballot) {
            Some(known) => known.state.clone(),
            None => match self.config.format.decode(&agreed.value) {
                Ok(state) if state.definition.name == target.app => Arc::new(state),
                Ok(_) | Err(_) => return Err("what it goes by is no state of the app".to_owned()),
            },
        };
        let claims = |state: &AppState| {
            let claim = state.claim.as_ref();
            claim.is_some_and(|claim| claim.agent == *by && claim.term == *term)
                && token_of(&self.config, state) == *token
        };
        if !claims(&state) {
            return Err(format!("{by} has no claim to it"));
        }
        let effect = plan::effects(&state).into_iter().nth(usize::from(*item));
        let effect = effect.filter(|effect| {
            let guard = plan::database(effect).and_then(|it| it.guard.as_ref());
            guard == Some(&self.config.agent)
                && plan::target(&state, effect).as_ref() == Some(target)
        });
        let effect = effect.ok_or("it does not follow from what was agreed")?;
        let newer = known.is_some_and(|it| agreed.ballot < it.ballot && !claims(&it.state));
        Ok((effect, newer))
    }

    fn begin(&mut self, request: &Request, effect: Effect, now: Moment) {
        let Request { by, message, until } = request;
        let GuardMessage { target, token, term, item, .. } = message.clone();
        let obeying = self.obeying.entry(target.clone()).or_default();
        let raised = obeying.token < token;
        obeying.token = token.max(obeying.token);
        obeying.running = Some(Running { by: by.clone(), token, term, item, since: now });
        let app = target.app.clone();
        if *by != self.config.agent {
            let what = format!("{} (asked by {by})", plan::describe(&effect));
            self.out.note(Note::Acts { app: app.clone(), token, what });
        }
        let act = Action { app, token, term, item, deadline: *until, limit: ACT, effect };
        let save = raised.then_some(Output::Save(Entry::Obeys { target, token }));
        let outputs = match self.acts_unsaved() {
            false => [save, Some(Output::Act(act))],
            true => [Some(Output::Act(act)), save],
        };
        outputs.into_iter().flatten().for_each(|output| self.out.push(output));
    }

    /// Did this agent do that as a guard? Then whoever asked is told.
    pub(super) fn on_obeyed(&mut self, report: &Report, now: Moment) -> bool {
        let Report { app, token, term, item, took, result } = report;
        let asked = |it: &Running| (it.token, it.term, it.item) == (*token, *term, *item);
        let mut mine = self.obeying.iter_mut().filter(|(target, _)| target.app == *app);
        let found = mine.find(|(_, it)| it.running.as_ref().is_some_and(asked));
        let Some((target, obeying)) = found else { return false };
        let (target, next) = (target.clone(), obeying.next.take());
        let Some(running) = obeying.running.take() else { return false };
        if let Ok(done) = result {
            obeying.done = Some((*token, done.clone()));
        }
        if running.by != self.config.agent {
            let what = match result {
                Ok(done) => Ok(done.text.clone()),
                Err(fault) => Err(fault.text.clone()),
            };
            self.out.note(Note::Reports { app: app.clone(), token: *token, took: *took, what });
        }
        let body = GuardBody::Answers { took: *took, result: result.clone() };
        let mesh = self.config.voters.mesh;
        let (token, term, item) = (*token, *term, *item);
        let answer = GuardMessage { mesh, target, token, term, item, body };
        self.say(&running.by, Message::Guard(Box::new(answer)));
        if let Some(next) = next {
            self.obey(next, now);
        }
        true
    }

    fn answer_asked(&mut self, to: &AgentId, asked: &GuardMessage, body: GuardBody) {
        let GuardMessage { mesh, token, term, item, .. } = *asked;
        let target = asked.target.clone();
        let answer = GuardMessage { mesh, target, token, term, item, body };
        self.say(to, Message::Guard(Box::new(answer)));
    }

    /// Does it compare no tokens? Only as a mutant.
    fn forgets_tokens(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::GuardForgets);
        #[cfg(not(feature = "mutants"))]
        false
    }

    /// Does it act before its token is durable? Only as a mutant.
    fn acts_unsaved(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken(Mutant::GuardActsUnsaved);
        #[cfg(not(feature = "mutants"))]
        false
    }
}

/// Is this about a database that nobody but its guard reaches? At its address something else may be, seen from elsewhere.
fn is_private(effect: &Effect) -> bool {
    plan::database(effect).and_then(Database::seen_through).is_some()
}

fn no(kind: ActionFaultKind, text: String) -> Weighed {
    Weighed::Deny(ActionFault { kind, text })
}

/// What a guard says of what it did, no longer than it may be.
fn bounded(result: &Result<Done, ActionFault>) -> Result<Done, ActionFault> {
    let short = |text: &str| text.chars().take(TEXT_MOST).collect();
    match result {
        Ok(done) => Ok(Done { text: short(&done.text), ..*done }),
        Err(fault) => Err(ActionFault { text: short(&fault.text), ..*fault }),
    }
}
