//! One voter's memory of what it promised and accepted.
//!
//! Keeps `promised >= accepted` for every register, for ever (rules R3 and R4): nothing here is ever lowered, expired or
//! deleted. Every change is returned as an [`Entry`] that must be durable before the reply leaves (invariant I6).

use std::collections::BTreeMap;

use crate::message::{Accepted, BallotBody, Refusal, Value};
use crate::model::{AcceptorId, Ballot, RegisterId};
use crate::saved::{Entry, Saved};

/// A round this far beyond the one promised is corruption, not contention; following it would freeze the register for
/// ever (trap 14).
pub const ROUND_LEAP: u64 = 1 << 40;

/// Registers are never deleted, so there must not be any number of them.
pub const REGISTERS_MOST: usize = 1024;

/// What must be saved before the reply, and the reply.
pub type Change = (Option<Entry>, BallotBody);

/// One voter's ballots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor {
    id: AcceptorId,
    registers: BTreeMap<RegisterId, Register>,
    /// Break rule R3, to show that a test notices.
    #[cfg(feature = "mutants")]
    pub erases_promises: bool,
    /// Break rule R4, to show that a test notices.
    #[cfg(feature = "mutants")]
    pub expires: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Register {
    promised: Ballot,
    accepted: Option<Accepted>,
}

impl Register {
    fn accepted_ballot(&self) -> Ballot {
        self.accepted.as_ref().map_or(Ballot::ZERO, |accepted| accepted.ballot)
    }
}

impl Acceptor {
    /// The acceptor of a store, as far as it had come.
    pub fn new(id: AcceptorId, saved: &Saved) -> Self {
        let registers = saved
            .registers
            .iter()
            .map(|(id, saved)| {
                let register =
                    Register { promised: saved.promised, accepted: saved.accepted.clone() };
                (id.clone(), register)
            })
            .collect();
        Self {
            id,
            registers,
            #[cfg(feature = "mutants")]
            erases_promises: false,
            #[cfg(feature = "mutants")]
            expires: false,
        }
    }

    /// Its store's id.
    pub fn id(&self) -> AcceptorId {
        self.id
    }

    /// What it accepted last.
    pub fn accepted(&self, id: &RegisterId) -> Option<&Accepted> {
        self.registers.get(id)?.accepted.as_ref()
    }

    /// The highest ballot it promised.
    pub fn promised(&self, id: &RegisterId) -> Ballot {
        self.registers.get(id).map_or(Ballot::ZERO, |register| register.promised)
    }

    /// Somebody asks for a promise.
    pub fn on_prepare(&mut self, id: &RegisterId, ballot: Ballot) -> Change {
        let acceptor = self.id;
        if let Err(why) = self.in_bounds(id, ballot) {
            return (None, BallotBody::Refuse { acceptor, why });
        }
        let register = self.registers.entry(id.clone()).or_default();
        #[cfg(feature = "mutants")]
        if self.expires && register.promised < ballot {
            register.accepted = None;
        }
        let accepted = register.accepted.clone();
        if ballot > register.promised {
            register.promised = ballot;
            let entry = Entry::Promised { register: id.clone(), ballot };
            return (Some(entry), BallotBody::Promise { acceptor, accepted });
        }
        // The same message twice: harmless, because one ballot has at most one value (trap 11).
        if ballot == register.promised && register.accepted_ballot() < ballot {
            return (None, BallotBody::Promise { acceptor, accepted });
        }
        (None, BallotBody::Nack { acceptor, promised: register.promised })
    }

    /// Somebody asks to accept a value. `permit` is asked only when no promise stands in the way; what it refuses is
    /// the same as a lost message, and so always safe.
    pub fn on_accept(
        &mut self,
        id: &RegisterId,
        ballot: Ballot,
        value: Value,
        permit: impl FnOnce() -> Result<(), Refusal>,
    ) -> Change {
        let acceptor = self.id;
        if ballot < self.promised(id) {
            return (None, BallotBody::Nack { acceptor, promised: self.promised(id) });
        }
        if let Some(accepted) = self.accepted(id).filter(|it| it.ballot == ballot) {
            let body = match accepted.value == value {
                true => BallotBody::Accepted { acceptor },
                false => BallotBody::Refuse { acceptor, why: Refusal::TwoValues },
            };
            return (None, body);
        }
        if let Err(why) = self.in_bounds(id, ballot).and_then(|()| permit()) {
            return (None, BallotBody::Refuse { acceptor, why });
        }
        let accepted = Accepted { ballot, value };
        let register = self.registers.entry(id.clone()).or_default();
        register.promised = ballot;
        #[cfg(feature = "mutants")]
        if self.erases_promises {
            register.promised = Ballot::ZERO;
        }
        register.accepted = Some(accepted.clone());
        let entry = Entry::Accepted { register: id.clone(), accepted };
        (Some(entry), BallotBody::Accepted { acceptor })
    }

    /// Is this a register, and a round, that a sound mesh comes to?
    fn in_bounds(&self, id: &RegisterId, ballot: Ballot) -> Result<(), Refusal> {
        if ballot.round > self.promised(id).round.saturating_add(ROUND_LEAP) {
            return Err(Refusal::Malformed(format!("round {} leaps too far", ballot.round)));
        }
        let known = *id == RegisterId::Voters || self.registers.contains_key(id);
        match known || self.registers.len() < REGISTERS_MOST {
            true => Ok(()),
            false => Err(Refusal::Malformed(format!("there are {REGISTERS_MOST} apps already"))),
        }
    }

    /// Somebody asks which registers are known here. Writes nothing.
    pub fn on_list(&self) -> BallotBody {
        BallotBody::Listed {
            acceptor: self.id,
            registers: self.registers.keys().cloned().collect(),
        }
    }

    /// Somebody asks what was accepted last. Writes nothing.
    pub fn on_observe(&self, id: &RegisterId) -> BallotBody {
        BallotBody::Observed { acceptor: self.id, accepted: self.accepted(id).cloned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AppId;

    fn ballot(round: u64) -> Ballot {
        Ballot { round, instance: 1 }
    }

    fn acceptor() -> (Acceptor, RegisterId) {
        let app: AppId = "shop".parse().expect("a name");
        (Acceptor::new(AcceptorId(1), &Saved::default()), RegisterId::App(app))
    }

    fn value(text: &str) -> Value {
        Value::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_promise_is_kept_and_told() {
        let (mut acceptor, app) = acceptor();
        assert!(matches!(
            acceptor.on_prepare(&app, ballot(2)),
            (Some(_), BallotBody::Promise { .. })
        ));
        assert!(matches!(acceptor.on_prepare(&app, ballot(2)), (None, BallotBody::Promise { .. })));
        assert!(matches!(acceptor.on_prepare(&app, ballot(1)), (None, BallotBody::Nack { .. })));
        let low = acceptor.on_accept(&app, ballot(1), value("x"), || Ok(()));
        assert!(matches!(low, (None, BallotBody::Nack { .. })));
    }

    #[test]
    fn accepting_raises_the_promise() {
        let (mut acceptor, app) = acceptor();
        acceptor.on_accept(&app, ballot(3), value("x"), || Ok(()));
        assert_eq!(acceptor.promised(&app), ballot(3));
        assert!(matches!(acceptor.on_prepare(&app, ballot(2)), (None, BallotBody::Nack { .. })));
    }

    #[test]
    fn one_ballot_has_one_value() {
        let (mut acceptor, app) = acceptor();
        acceptor.on_accept(&app, ballot(3), value("x"), || Ok(()));
        let again = acceptor.on_accept(&app, ballot(3), value("x"), || Ok(()));
        assert!(matches!(again, (None, BallotBody::Accepted { .. })));
        let other = acceptor.on_accept(&app, ballot(3), value("y"), || Ok(()));
        assert!(matches!(other, (None, BallotBody::Refuse { why: Refusal::TwoValues, .. })));
    }

    #[test]
    fn what_is_refused_leaves_no_trace() {
        let (mut acceptor, app) = acceptor();
        let before = acceptor.clone();
        let refused = acceptor.on_accept(&app, ballot(3), value("x"), || Err(Refusal::SeenUp));
        assert!(matches!(refused, (None, BallotBody::Refuse { .. })));
        assert_eq!(acceptor, before);
    }

    #[test]
    fn a_poisoned_round_is_not_followed() {
        let (mut acceptor, app) = acceptor();
        let (saved, reply) = acceptor.on_prepare(&app, ballot(u64::MAX));
        assert!(saved.is_none() && matches!(reply, BallotBody::Refuse { .. }));
    }

    #[test]
    fn a_restart_continues_where_the_log_ends() {
        let (mut acceptor, app) = acceptor();
        let mut saved = Saved::default();
        saved.apply(acceptor.on_prepare(&app, ballot(2)).0.unwrap());
        saved.apply(acceptor.on_accept(&app, ballot(2), value("x"), || Ok(())).0.unwrap());
        saved.apply(acceptor.on_prepare(&app, ballot(5)).0.unwrap());
        assert_eq!(Acceptor::new(AcceptorId(1), &saved), acceptor);
    }
}
