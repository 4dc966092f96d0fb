//! Is the register linearizable, as its clients see it? (PROTOCOL.md C1, F.3)
//!
//! Holds what people were told, and what every agent showed as agreed, against the chain of what was truly chosen: a
//! command that was agreed took effect between its call and its answer, one that found nothing to do found so at some
//! instant of that time, and what an agent shows was chosen before and never goes back. A change of voters that was agreed is
//! through: its new set alone is in force. A command that was not answered, or with "unknown", may have taken effect at any
//! time after its call, or never; nothing follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::model::{AgentId, AppId, AppState, Ballot, DecisionKind, Epoch, Phase};
use consensus::moment::Moment;
use consensus::outbox::{Answer, Command};

use super::Found;
use super::electorate::Electorate;
use super::register::{Chosen, Registers};

const CHECKER: &str = "linearizable to its clients";

/// One call of a client.
#[derive(Clone, Debug)]
pub struct Call {
    /// Of whom.
    pub agent: AgentId,
    /// What.
    pub command: Command,
    /// When.
    pub at: Moment,
}

/// What clients asked, and what agents showed.
#[derive(Debug, Default)]
pub struct History {
    calls: BTreeMap<u64, Call>,
    /// By run of an agent: what it showed last, and the moment at which that was chosen.
    shown: BTreeMap<(AgentId, u64, AppId), (Arc<AppState>, Ballot)>,
}

impl History {
    /// Somebody asks for something.
    pub fn on_call(&mut self, number: u64, call: Call) {
        self.calls.insert(number, call);
    }

    /// May somebody who was asked to still change the voters?
    pub fn changes_voters(&self) -> bool {
        self.calls.values().any(|call| matches!(call.command, Command::Voters { .. }))
    }

    /// An answer, given now.
    pub fn on_answer(
        &mut self,
        now: Moment,
        number: u64,
        answer: &Answer,
        (registers, electorate): (&Registers, &Electorate),
        found: &mut Found,
    ) {
        let Some(call) = self.calls.remove(&number) else { return };
        let (app, kind) = match &call.command {
            Command::Apply { definition, .. } => (&definition.name, DecisionKind::Apply),
            Command::Switchover { app, .. } => (app, DecisionKind::Switchover),
            Command::Failover { app, .. } => (app, DecisionKind::Forced),
            Command::Approve { app, .. } => (app, DecisionKind::Approved),
            Command::Abort { app, .. } => (app, DecisionKind::Abort),
            Command::Freeze { .. } | Command::Unfreeze { .. } | Command::Ack { .. } => {
                return Self::on_word(now, &call, answer, registers, found);
            }
            Command::Voters { change, .. } => {
                let through = match answer {
                    Answer::Agreed { revision, .. } => {
                        electorate.is_through(change, *revision, call.at)
                    }
                    // What is so already, and what is planned, nobody is told of a change of voters.
                    Answer::Unchanged | Answer::Planned { .. } => false,
                    Answer::Refused(_) | Answer::Unknown(_) => return,
                };
                if !through {
                    let (agent, at) = (&call.agent, call.at);
                    let what =
                        format!("{agent} told whoever asked at {at} to {change}: {answer:?}");
                    found.push((CHECKER, format!("{what}, which it was not")));
                }
                return;
            }
        };
        let about =
            || format!("{} told whoever asked at {} for {kind} of {app}", call.agent, call.at);
        let during = |chosen: &&Chosen| call.at <= chosen.at && chosen.at <= now;
        // A move that this command may have planned, in this epoch.
        let planned = |epoch: Epoch| {
            let Command::Switchover { to, at_once: false, .. } = &call.command else {
                return false;
            };
            registers.history(app).filter(during).any(|chosen| {
                let planned = chosen.state.lifetimes.planned.as_ref();
                chosen.state.epoch == epoch
                    && planned.is_some_and(|planned| to.as_ref().is_none_or(|to| planned.to == *to))
            })
        };
        // What was planned and is no more, without a move.
        let called_off = || {
            let chosen = || registers.history(app);
            let ends = |(old, new): (&Chosen, &Chosen)| {
                during(&new)
                    && old.state.epoch == new.state.epoch
                    && old.state.lifetimes.planned.is_some()
                    && new.state.lifetimes.planned.is_none()
            };
            matches!(call.command, Command::Abort { .. })
                && chosen().zip(chosen().skip(1)).any(ends)
        };
        // An approval that few accepted, and that was taken back before more did, took effect for as long as nothing.
        let taken_back = |epoch: Epoch| {
            let approved = matches!(call.command, Command::Approve { .. });
            approved
                && registers.history(app).filter(during).any(|it| {
                    (it.state.epoch, it.state.decision.kind) == (epoch.next(), DecisionKind::Abort)
                })
        };
        match answer {
            Answer::Agreed { epoch, revision } => {
                let is = |state: &AppState| {
                    (state.epoch, state.revision, state.decision.kind) == (*epoch, *revision, kind)
                };
                let first = registers.history(app).find(|chosen| is(&chosen.state));
                let otherwise = || planned(*epoch) || called_off() || taken_back(*epoch);
                if !first.as_ref().is_some_and(during) && !otherwise() {
                    let at = first.map_or("never".into(), |first| format!("at {}", first.at));
                    let what = format!("{}: agreed as epoch {epoch}, chosen {at}", about());
                    found.push((CHECKER, what));
                }
            }
            Answer::Unchanged => {
                let so = |state: &AppState| match &call.command {
                    Command::Apply { definition, .. } => state.definition == *definition,
                    Command::Switchover { to, .. } | Command::Failover { to, .. } => {
                        let planned = state.lifetimes.planned.as_ref().map(|planned| &planned.to);
                        to.as_ref().is_none_or(|to| state.active == *to || planned == Some(to))
                    }
                    Command::Abort { .. } => state.phase == Phase::Aborting,
                    _ => false,
                };
                let before = registers.history(app).filter(|chosen| chosen.at < call.at).last();
                let meanwhile = registers.history(app).filter(during);
                if !before.into_iter().chain(meanwhile).any(|chosen| so(&chosen.state)) {
                    found.push((
                        CHECKER,
                        format!("{}: it is so already, which it was not", about()),
                    ));
                }
            }
            Answer::Planned { epoch, .. } => {
                if !planned(*epoch) {
                    found.push((
                        CHECKER,
                        format!("{}: planned in {epoch}, which it was not", about()),
                    ));
                }
            }
            Answer::Refused(_) | Answer::Unknown(_) => {}
        }
    }

    /// An answer to a person's word on what the mesh may do by itself.
    fn on_word(
        now: Moment,
        call: &Call,
        answer: &Answer,
        registers: &Registers,
        found: &mut Found,
    ) {
        let app = match &call.command {
            Command::Freeze { app, .. }
            | Command::Unfreeze { app, .. }
            | Command::Ack { app, .. } => app,
            _ => return,
        };
        let so = |state: &AppState| match &call.command {
            Command::Freeze { lasts, reason, by, .. } => {
                let freeze = state.freeze.as_ref();
                freeze.is_some_and(|it| (&it.lasts, &it.reason, &it.by) == (lasts, reason, by))
            }
            Command::Unfreeze { .. } => state.freeze.is_none(),
            _ => state.damping.history.is_empty() && !state.damping.flapping,
        };
        let during = registers.history(app).filter(|it| call.at <= it.at && it.at <= now);
        let before = registers.history(app).filter(|it| it.at < call.at).last();
        let (about, bears_out) = match answer {
            // It was written: at some instant between call and answer.
            Answer::Agreed { .. } => ("agreed", during.into_iter().any(|it| so(&it.state))),
            Answer::Unchanged => {
                ("it is so already", before.into_iter().chain(during).any(|it| so(&it.state)))
            }
            Answer::Planned { .. } => ("planned", false),
            Answer::Refused(_) | Answer::Unknown(_) => return,
        };
        if !bears_out {
            let (agent, at) = (&call.agent, call.at);
            let what = format!("{agent} told whoever asked at {at} {:?}: {about}", call.command);
            found.push((CHECKER, format!("{what}, which it was not")));
        }
    }

    /// An agent shows this as agreed, now.
    pub fn on_shown(
        &mut self,
        (agent, run): (&AgentId, u64),
        state: &Arc<AppState>,
        registers: &Registers,
        found: &mut Found,
    ) {
        let app = &state.definition.name;
        let key = (agent.clone(), run, app.clone());
        let before = self.shown.get(&key);
        if before.is_some_and(|(shown, _)| Arc::ptr_eq(shown, state)) {
            return;
        }
        let is =
            |chosen: &&Chosen| chosen.state.previous == state.previous && chosen.state == *state;
        let held = registers.history(app).filter(is).last();
        let Some(held) = held else {
            let what = format!("{agent} shows epoch {} {} of {app}", state.epoch, state.phase);
            return found.push((CHECKER, format!("{what}, which no majority holds")));
        };
        // In the order of the chain, not of time: an older value may become a majority's late, when a disk gives back what it
        // was thought not to hold.
        let shown = before.map_or(Ballot::ZERO, |(_, ballot)| *ballot);
        if held.ballot < shown {
            let what = format!("{agent} shows what was chosen for {app} at {}", held.ballot);
            found.push((CHECKER, format!("{what} after what was chosen at {shown}")));
        }
        self.shown.insert(key, (state.clone(), shown.max(held.ballot)));
    }
}

#[cfg(test)]
mod tests {
    use consensus::model::{MeshId, Voters, VotersChange};

    use super::*;

    fn nobody() -> Electorate {
        Electorate::new(Voters::stable(MeshId(1), 1, Vec::new()))
    }

    #[test]
    fn an_answer_of_agreed_that_nothing_bears_out_is_found() {
        let mut history = History::default();
        let app: AppId = "shop".parse().expect("a name");
        let command = Command::Switchover {
            app,
            to: None,
            well_for: None,
            at_once: true,
            by: "operator".into(),
        };
        let agent = "a1".parse().expect("a name");
        history.on_call(1, Call { agent, command, at: Moment::ZERO });
        let answer = Answer::Agreed { epoch: Epoch(2), revision: 1 };
        let mut found = Found::new();
        let now = Moment::from_micros(5);
        history.on_answer(now, 1, &answer, (&Registers::default(), &nobody()), &mut found);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_word_of_people_that_nothing_bears_out_is_found() {
        let (app, by) = ("shop".parse::<AppId>().expect("a name"), "operator".to_owned());
        let (lasts, reason) = (std::time::Duration::from_secs(60), String::new());
        let agreed = Answer::Agreed { epoch: Epoch(2), revision: 1 };
        let change = VotersChange::Remove { agent: "a1".parse().expect("a name") };
        let voters = Command::Voters { change, by: by.clone() };
        let calls = [
            (Command::Freeze { app: app.clone(), lasts, reason, by: by.clone() }, agreed.clone()),
            (Command::Unfreeze { app: app.clone(), by: by.clone() }, Answer::Unchanged),
            (Command::Ack { app: app.clone(), by: by.clone() }, agreed.clone()),
            (Command::Approve { app: app.clone(), by: by.clone() }, agreed),
            (Command::Abort { app, accept_loss: false, by: by.clone() }, Answer::Unchanged),
            (voters.clone(), Answer::Agreed { epoch: Epoch(0), revision: 1 }),
            (voters, Answer::Unchanged),
        ];
        for (command, answer) in calls {
            let mut history = History::default();
            let agent = "a1".parse().expect("a name");
            history.on_call(1, Call { agent, command: command.clone(), at: Moment::ZERO });
            let mut found = Found::new();
            let now = Moment::from_micros(5);
            history.on_answer(now, 1, &answer, (&Registers::default(), &nobody()), &mut found);
            assert_eq!(found.len(), 1, "{command:?}: {answer:?}");
        }
    }
}
