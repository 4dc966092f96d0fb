//! What people ask for: from a command to an intent, and from an intent to the next value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::app::Wanted;
use super::attempt::Found;
use super::intent::Intent;
use crate::evidence::most_received;
use crate::failover::chain::{at_rest, given_up, is_carried_out};
use crate::failover::damping;
use crate::model::{
    AgentId, AppId, AppState, BY_LIMIT, Damping, Decision, DecisionKind, Definition, Epoch,
    FREEZE_MOST, Freeze, Lifetimes, Mode, Phase, REASON_LIMIT, StackId, SyncSet,
};
use crate::moment::Moment;
use crate::outbox::{Answer, Command, CommandId, Output, in_words};

/// A command that is not agreed within this is answered as unknown.
const COMMAND: Duration = Duration::from_secs(10);

/// A promotion is over within this, or something is wrong.
const STUCK: Duration = Duration::from_secs(10);

/// A person's word on what the mesh may do by itself.
#[derive(Clone, Debug)]
pub enum Word {
    /// Leave it alone for a while.
    Freeze { lasts: Duration, reason: String },
    /// Go on.
    Unfreeze,
    /// What happened is known.
    Acknowledge,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freeze { lasts, .. } => write!(f, "freeze for {}", in_words(*lasts)),
            Self::Unfreeze => f.write_str("unfreeze"),
            Self::Acknowledge => f.write_str("acknowledge"),
        }
    }
}

/// The app that a command is about, and what it asks for.
fn intent(command: Command) -> Option<(AppId, Intent)> {
    let moves = |kind, to, accept_loss, by| Intent::Operator { kind, to, accept_loss, by };
    let says = |word, by| Intent::Regulate { word, by };
    Some(match command {
        Command::Apply { definition, replaces, active } => {
            (definition.name.clone(), Intent::Apply { definition, replaces, active })
        }
        Command::Switchover { app, to, at_once: false, by, .. } => (app, Intent::Plan { to, by }),
        Command::Switchover { app, to, at_once: true, by, .. } => {
            (app, moves(DecisionKind::Switchover, to, false, by))
        }
        Command::Failover { app, to, accept_loss, by } => {
            (app, moves(DecisionKind::Forced, to, accept_loss, by))
        }
        Command::Approve { app, by } => (app, Intent::Approve { by }),
        Command::Abort { app, accept_loss, by } => (app, Intent::TakeBack { accept_loss, by }),
        Command::Freeze { app, lasts, reason, by } => {
            (app, says(Word::Freeze { lasts, reason }, by))
        }
        Command::Unfreeze { app, by } => (app, says(Word::Unfreeze, by)),
        Command::Ack { app, by } => (app, says(Word::Acknowledge, by)),
        Command::Voters { .. } => return None,
    })
}

impl Node {
    /// Takes a person's command about an app; one at a time for each app.
    pub(super) fn want(&mut self, id: CommandId, command: Command, now: Moment) {
        let early = self.too_early(&command, now);
        let Some((app, intent)) = intent(command) else { return };
        let intent = self.at_once_where_nothing_runs_out(&app, intent);
        let it = self.apps.get(&app);
        let refusal = match (&intent, it.is_some_and(|it| it.chosen.is_some())) {
            (Intent::Apply { .. }, _) | (_, true) if !self.hears_majority(now) => {
                Some(format!("no quorum: {}", self.quorum_words(now)))
            }
            (Intent::Apply { .. }, _) | (_, true) => it
                .is_some_and(|it| it.wanted.is_some())
                .then(|| "another command is in progress".into()),
            (_, false) => Some(format!("there is no app {app}")),
        };
        let refusal = refusal.or(early);
        if let Some(why) = refusal {
            return self.out.push(Output::Answer(id, Answer::Refused(why)));
        }
        let operation = self.operation();
        let it = self.apps.entry(app).or_default();
        it.wanted = Some(Wanted { command: id, intent, operation, until: now + COMMAND });
    }

    /// Has the stack to move back to not been well for as long as was asked for, as this agent has seen it?
    fn too_early(&self, command: &Command, now: Moment) -> Option<String> {
        let Command::Switchover { app, to: Some(to), well_for: Some(least), .. } = command else {
            return None;
        };
        let well = self.judge.well_for(app, to, now).unwrap_or_default();
        (well < *least).then(|| {
            format!(
                "{to} has been well for {}, and {} are asked for",
                in_words(well),
                in_words(*least)
            )
        })
    }

    /// A definition that is applied.
    pub(super) fn applied(
        &self,
        current: Option<&AppState>,
        definition: &Arc<Definition>,
        replaces: Option<u64>,
        active: Option<&StackId>,
        now: Moment,
    ) -> Result<AppState, String> {
        let Some(current) = current else {
            if replaces.is_some_and(|revision| revision != 0) {
                return Err("there is no such app yet".into());
            }
            let first = definition.stacks.first().ok_or("it has no stack")?;
            let active = active.unwrap_or(&first.name).clone();
            if definition.stack(&active).is_none() {
                return Err(format!("it has no stack {active}"));
            }
            return Ok(AppState {
                definition: definition.clone(),
                revision: 1,
                epoch: Epoch(1),
                phase: Phase::Publishing,
                decision: self.decision(
                    DecisionKind::Apply,
                    Epoch(1),
                    (&active, &active),
                    "its first definition",
                    now,
                ),
                active,
                guards_since: 1,
                damping: Damping::default(),
                freeze: None,
                claim: None,
                closed: false,
                left: Vec::new(),
                lifetimes: Lifetimes::default(),
                sync: SyncSet::default(),
                operations: Vec::new(),
                previous: [0; 32],
            });
        };
        // A file says where to look, and not what was found there.
        let definition = &match definition.following.is_empty() {
            true => definition.clone(),
            false => Arc::new(definition.keeping_places(&current.definition)),
        };
        if current.definition == *definition {
            return Err(Intent::UNCHANGED.into());
        }
        if replaces.is_some_and(|revision| revision != current.revision) {
            return Err(format!("revision {} is there by now: look again", current.revision));
        }
        is_carried_out(current)?;
        if let Some(planned) = &current.lifetimes.planned
            && definition.stack(&planned.to).is_none()
        {
            return Err(format!("it lacks {}, and a move to that is planned", planned.to));
        }
        if definition.stack(&current.active).is_none() {
            return Err(format!("it lacks {}, which is the active stack", current.active));
        }
        if let Some(database) = self.left_waiting(current, definition, now) {
            return Err(format!(
                "it lacks {database}, whose primary waits for replicas: apply `sync = 0` first, and this once it waits for nobody"
            ));
        }
        let epoch = current.epoch.next();
        let revision = current.revision.saturating_add(1);
        let reason = format!("definition revision {revision}");
        let stacks = (&current.active, &current.active);
        Ok(AppState {
            definition: definition.clone(),
            revision,
            epoch,
            phase: Phase::Publishing,
            decision: self.decision(DecisionKind::Apply, epoch, stacks, &reason, now),
            guards_since: match definition.guarded_alike(&current.definition) {
                true => current.guards_since,
                false => revision,
            },
            claim: None,
            ..current.clone()
        })
    }

    /// A move that an operator calls for.
    pub(super) fn operator(
        &self,
        current: &AppState,
        found: &Found<'_>,
        (kind, to, accept_loss, by): (DecisionKind, Option<&StackId>, bool, &str),
        now: Moment,
    ) -> Result<AppState, String> {
        let there = to == Some(&current.active);
        // Whoever saw first where a set leads from has moved it there, or does.
        if !(there && current.definition.follows()) {
            is_carried_out(current)?;
        }
        if there {
            return Err(Intent::UNCHANGED.into());
        }
        let panel = self.panel_of(&found.certificate, current, found, now);
        let others = current.definition.stacks.iter().map(|stack| &stack.name);
        let wanted: Vec<_> = others
            .filter(|stack| **stack != current.active && to.is_none_or(|to| to == *stack))
            .collect();
        let planned = kind == DecisionKind::Switchover;
        let judged = wanted.into_iter().map(|stack| match panel.adrift(stack) {
            // Where a set leads from, nothing is received.
            Some(name) if planned && !current.definition.follows() => Err(format!(
                "{stack} cannot be moved to without loss: {name} receives nothing from its primary"
            )),
            _ => panel.operator(&current.active, stack, accept_loss),
        });
        let mut judged: Vec<_> = judged.collect();
        // Where nothing is lost, preference decides alone.
        if let (true, Some(first)) = (planned, judged.iter().position(Result::is_ok)) {
            judged = vec![judged.swap_remove(first)];
        }
        let choice = most_received(judged.into_iter()).map_err(|reasons| match &reasons[..] {
            [] => "there is no such stack".to_owned(),
            reasons => reasons.join("; "),
        })?;
        let reason = format!("{kind} asked for by {by}");
        Ok(self.move_to(current, kind, &choice, &reason, now))
    }

    /// The failover that the rule calls for and that waits for a person.
    pub(super) fn approved(
        &self,
        current: &AppState,
        found: &Found<'_>,
        by: &str,
        now: Moment,
    ) -> Result<AppState, String> {
        at_rest(current)?;
        if current.definition.mode != Mode::Approve {
            return Err("its mode is not `approve`, so nothing waits to be approved".into());
        }
        let panel = self.panel_of(&found.certificate, current, found, now);
        let choice = panel
            .failover(&current.active)
            .map_err(|why| format!("nothing waits to be approved: {why}"))?;
        let reason = format!("{}, approved by {by}", choice.reason);
        let mut state = self.move_to(current, DecisionKind::Approved, &choice, &reason, now);
        state.decision.first = Some(found.certificate.clone());
        Ok(state)
    }

    /// What is in progress, taken back because a person says so.
    pub(super) fn called_off(
        &self,
        current: &AppState,
        accept_loss: bool,
        by: &str,
        now: Moment,
    ) -> Result<AppState, String> {
        match current.phase {
            Phase::Promoting => self.given_up(current, accept_loss, by, now),
            Phase::Fencing => Ok(self.taken_back(current, &format!("taken back by {by}"), now)),
            Phase::Aborting => Err(Intent::UNCHANGED.into()),
            Phase::Idle if current.lifetimes.planned.is_some() => {
                let lifetimes = Lifetimes { planned: None, ..current.lifetimes };
                Ok(AppState { lifetimes, ..current.clone() })
            }
            Phase::Idle => Err("nothing is in progress".into()),
            Phase::Publishing => Err(format!(
                "epoch {} is publishing, and there is no way back from that: let it end, then move it",
                current.epoch
            )),
            Phase::Verifying => Err(format!(
                "epoch {} is carried out, and there is nothing to take back: move it",
                current.epoch
            )),
        }
    }

    /// Of a promotion that lasts: what it waits for, and how people take it back.
    pub(super) fn way_out(&self, app: &AppId, state: &AppState, now: Moment) -> String {
        let lasts = state.phase == Phase::Promoting
            && STUCK <= now.since(self.phase_since(state, now))
            && given_up(state).is_ok();
        if !lasts {
            return String::new();
        }
        let to = &state.decision.to;
        let guards = state.definition.guards(to);
        let shut = guards.iter().find(|guard| !self.is_open(app, to, guard, now));
        let waits =
            shut.map(|guard| format!("; {guard} holds no lease of {to}")).unwrap_or_default();
        format!(
            "{waits}; `quorate abort {app} --accept-loss` takes it back once no lease of {to} runs"
        )
    }

    /// A promotion taken back: its stack holds no lease any more, so it takes no writes, and what it took is given up. Whether
    /// no lease runs every voter says once more by its own clock.
    fn given_up(
        &self,
        current: &AppState,
        accept_loss: bool,
        by: &str,
        now: Moment,
    ) -> Result<AppState, String> {
        let Decision { epoch, from, to, .. } = &current.decision;
        given_up(current).map_err(|why| format!("epoch {epoch} is promoting, and {why}"))?;
        let app = &current.definition.name;
        let open = |guard: &&AgentId| self.is_open(app, to, guard, now);
        if let Some(guard) = current.definition.guards(to).into_iter().find(open) {
            return Err(format!(
                "epoch {epoch} is promoting, and {guard} holds {to} open: stop that agent if it is not to"
            ));
        }
        let left = self.lease_ends(app, (to, from), now).since(now);
        match (left.is_zero(), accept_loss) {
            (false, _) => Err(format!(
                "epoch {epoch} is promoting, and {to} may take writes for {}, or longer if its guard is there: it can be taken \
                 back once that is over, and is not",
                in_words(left)
            )),
            (true, false) => Err(format!(
                "epoch {epoch} is promoting: what {to} wrote while it held its lease would be lost; take it back by \
                 `quorate abort {app} --accept-loss`"
            )),
            (true, true) => {
                let why = format!("taken back by {by}; what {to} wrote meanwhile is given up");
                let mut state = self.taken_back(current, &why, now);
                state.decision.candidates.clone_from(&current.decision.candidates);
                Ok(state)
            }
        }
    }

    /// What a person says of an app at rest.
    pub(super) fn regulated(
        &self,
        current: &AppState,
        found: &Found<'_>,
        word: &Word,
        by: &str,
    ) -> Result<AppState, String> {
        at_rest(current)?;
        let (mut freeze, mut damping) = (current.freeze.clone(), current.damping.clone());
        match word {
            Word::Freeze { lasts, .. } if lasts.is_zero() || *lasts > FREEZE_MOST => {
                return Err(format!(
                    "a freeze lasts at least a second and at most {}",
                    in_words(FREEZE_MOST)
                ));
            }
            Word::Freeze { lasts, reason } => {
                freeze = Some(Freeze {
                    id: found.operation,
                    by: cut(by, BY_LIMIT),
                    reason: cut(reason, REASON_LIMIT),
                    lasts: *lasts,
                });
            }
            Word::Unfreeze => freeze = None,
            Word::Acknowledge if damping.history.is_empty() && !damping.flapping => {}
            Word::Acknowledge => damping = damping::cleared(&cut(by, BY_LIMIT)),
        }
        match (&freeze, &damping) == (&current.freeze, &current.damping) {
            true => Err(Intent::UNCHANGED.into()),
            false => Ok(AppState { freeze, damping, ..current.clone() }),
        }
    }
}

/// A text cut at a character.
pub fn cut(text: &str, limit: usize) -> String {
    let end = (0..=limit.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text[..end].to_owned()
}
