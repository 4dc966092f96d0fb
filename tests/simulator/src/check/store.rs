//! Does every voter keep its word? (PROTOCOL.md S3; I1, I2, I6)
//!
//! Holds what leaves a voter against what is durable there at that instant, and what is durable against what was.

use std::collections::BTreeMap;

use consensus::message::{BallotBody, BallotMessage};
use consensus::model::{AcceptorId, AgentId, Ballot, RegisterId};
use consensus::saved::{Entry, Saved, SavedRegister};

use super::Found;

/// What voters have said so far.
#[derive(Debug, Default)]
pub struct Words {
    promised: BTreeMap<(AcceptorId, RegisterId), Ballot>,
}

impl Words {
    /// S3: promises never go back, and nothing is accepted below them; checked before a record becomes durable.
    pub fn on_save(&self, agent: &AgentId, entry: &Entry, durable: &Saved, found: &mut Found) {
        let (app, ballot) = match entry {
            Entry::Promised { register, ballot } => (register, *ballot),
            Entry::Accepted { register, accepted } => (register, accepted.ballot),
            Entry::Chosen { register: app, accepted } => {
                let known = durable.registers.get(app).and_then(|r| r.chosen.as_ref());
                if known.is_some_and(|known| known.ballot > accepted.ballot) {
                    let text = format!("{agent} {app}: chosen {} after a later", accepted.ballot);
                    found.push(("promises only grow", text));
                }
                return;
            }
            Entry::Started { boot } => {
                if *boot <= durable.boot {
                    let text = format!("{agent}: start {boot} after start {}", durable.boot);
                    found.push(("promises only grow", text));
                }
                return;
            }
            // Ages and ways hold nobody to anything but this agent itself.
            Entry::Aged { .. }
            | Entry::Reached { .. }
            | Entry::Holder { .. }
            | Entry::Vouching { .. }
            | Entry::Longest { .. }
            | Entry::Obeys { .. }
            | Entry::Counted { .. }
            | Entry::Sighted { .. }
            | Entry::Quarantined(_) => return,
            Entry::Born(_) => {
                found.push(("promises only grow", format!("{agent} was born again")));
                return;
            }
        };
        let promised = durable.registers.get(app).map_or(Ballot::ZERO, |r| r.promised);
        if ballot < promised {
            let text = format!("{agent} {app}: {ballot} below the promise {promised}");
            found.push(("promises only grow", text));
        }
    }

    /// I6: a reply leaves only after what it says is durable; and it never says less than was said before.
    pub fn on_send(
        &mut self,
        agent: &AgentId,
        message: &BallotMessage,
        durable: &Saved,
        found: &mut Found,
    ) {
        let app = &message.register;
        let nothing = SavedRegister::default();
        let register = durable.registers.get(app).unwrap_or(&nothing);
        let covered = match &message.body {
            BallotBody::Promise { accepted, .. } => {
                register.promised >= message.ballot && register.accepted == *accepted
            }
            BallotBody::Accepted { .. } => {
                register.accepted.as_ref().is_some_and(|held| held.ballot == message.ballot)
            }
            BallotBody::Observed { accepted, .. } => register.accepted == *accepted,
            BallotBody::Nack { promised, .. } => register.promised >= *promised,
            BallotBody::Prepare { .. }
            | BallotBody::Accept { .. }
            | BallotBody::Refuse { .. }
            | BallotBody::Observe
            | BallotBody::List
            | BallotBody::Listed { .. } => return,
        };
        if !covered {
            let text = format!("{agent} {app} at {}: its disk does not say so", message.ballot);
            found.push(("saved before sent", text));
        }
        if let BallotBody::Promise { acceptor, .. } | BallotBody::Accepted { acceptor } =
            message.body
        {
            let said = self.promised.entry((acceptor, app.clone())).or_default();
            if message.ballot < *said {
                let text = format!("{agent} {app}: {} after {said}", message.ballot);
                found.push(("promises only grow", text));
            }
            *said = (*said).max(message.ballot);
        }
    }

    /// What a store replays to is what it had made durable.
    pub fn on_restart(agent: &AgentId, replayed: &Saved, durable: &Saved, found: &mut Found) {
        if replayed != durable {
            found.push(("promises only grow", format!("{agent}: its store lost something")));
        }
        for (app, register) in &replayed.registers {
            if register.accepted.as_ref().is_some_and(|held| held.ballot > register.promised) {
                let text = format!("{agent} {app}: accepted beyond its promise");
                found.push(("promises only grow", text));
            }
        }
    }
}
