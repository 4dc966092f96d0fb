//! Does every voter keep its word, and every guard? (PROTOCOL.md S3; I1, I2, I6; A.6, H; C.3)
//!
//! Holds what leaves a voter or a guard against what is durable there at that instant, and what is durable against what was.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::message::{BallotBody, BallotMessage, LeaseBody, LeaseMessage};
use consensus::model::{AcceptorId, AgentId, AppId, Ballot, RegisterId, StackId};
use consensus::saved::{Entry, Saved, SavedRegister};

use super::Found;

/// A lease of this length or a shorter one is what every start reckons with; a longer one has to be on disk.
const USUAL: Duration = Duration::from_secs(10);

/// One renewal of a guard: of which run of it, which one, and for what.
type Renewal = (AgentId, u64, u64, AppId, StackId);

/// What voters have said so far, and what guards asked them for.
#[derive(Debug, Default)]
pub struct Words {
    promised: BTreeMap<(AcceptorId, RegisterId), Ballot>,
    /// Of every renewal: the revision that its guard said it knows, and for how long a lease.
    renewed: BTreeMap<Renewal, (u64, Duration)>,
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
            | Entry::Rejoins { .. }
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

    /// A.6, H: what somebody says of a lease leaves only after what it rests on is durable. A grant rests on the record of its
    /// holder, with what the guard said it knows or more; a guard's word on the record that it gave it; and either, like the
    /// renewal itself, on the length of the lease, where that is longer than usual.
    pub fn on_lease(
        &mut self,
        (agent, to): (&AgentId, &AgentId),
        message: &LeaseMessage,
        durable: &Saved,
        found: &mut Found,
    ) {
        let LeaseMessage { app, stack, instance, number, .. } = message;
        let of = |guard: &AgentId| (guard.clone(), *instance, *number, app.clone(), stack.clone());
        let asked = || self.renewed.get(&of(to)).copied().unwrap_or_default();
        let (what, lease, covered) = match message.body {
            LeaseBody::Renew { revision, lease } => {
                self.renewed.insert(of(agent), (revision, lease));
                ("asks for a lease", lease, true)
            }
            LeaseBody::Granted { .. } => {
                let (revision, lease) = asked();
                let last = durable.holders.get(app).filter(|last| last.stack == *stack);
                let known = last.and_then(|last| last.acknowledged.get(to));
                ("grants", lease, known.is_some_and(|known| revision <= *known))
            }
            LeaseBody::Vouched => {
                let mut given = durable.vouching.iter();
                let gave = given.any(|(of, other)| of == app && other != stack);
                ("gives its word", asked().1, gave)
            }
            LeaseBody::Released { .. } | LeaseBody::Ask { .. } => return,
        };
        let longest = durable.longest.get(app).copied().unwrap_or_default();
        if !covered || longest.max(USUAL) < lease {
            let text =
                format!("{agent} {what} to {to} for {app}/{stack}: its disk does not say so");
            found.push(("saved before granted", text));
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

#[cfg(test)]
mod tests {
    use consensus::model::MeshId;
    use consensus::saved::LastHolder;

    use super::*;
    use crate::scene::name;

    const LONG: Duration = Duration::from_secs(60);

    fn message(body: LeaseBody) -> LeaseMessage {
        let (app, stack) = (name("shop"), name("east"));
        LeaseMessage { mesh: MeshId(1), app, stack, instance: 7, number: 1, body }
    }

    /// A disk that says of the shop who was granted to, of which stack, at which revision; who gave its word; how long leases are.
    fn disk(holder: Option<(&str, &str, u64)>, vouching: &[&str], longest: Duration) -> Saved {
        let mut saved = Saved::default();
        if let Some((guard, stack, revision)) = holder {
            let acknowledged = BTreeMap::from([(name(guard), revision)]);
            saved.holders.insert(name("shop"), LastHolder { stack: name(stack), acknowledged });
        }
        saved.vouching = vouching.iter().map(|stack| (name("shop"), name(stack))).collect();
        saved.longest.insert(name("shop"), longest);
        saved
    }

    fn durable(longest: Duration) -> Saved {
        disk(None, &[], longest)
    }

    #[test]
    fn what_is_said_of_a_lease_that_the_disk_does_not_say_is_found() {
        let granted = LeaseBody::Granted { acceptor: AcceptorId(1), voters: 1 };
        let vouched = LeaseBody::Vouched;
        let (short, long) = (USUAL, LONG);
        for (lease, said, disk, is_found) in [
            (short, &granted, disk(Some(("a6", "east", 3)), &[], short), false),
            (short, &granted, disk(Some(("a6", "east", 4)), &[], short), false),
            (long, &granted, disk(Some(("a6", "east", 3)), &[], long), false),
            (short, &granted, disk(None, &[], short), true),
            (short, &granted, disk(Some(("a6", "east", 2)), &[], short), true),
            (short, &granted, disk(Some(("a6", "west", 3)), &[], short), true),
            (short, &granted, disk(Some(("a7", "east", 3)), &[], short), true),
            (long, &granted, disk(Some(("a6", "east", 3)), &[], short), true),
            (short, &vouched, disk(None, &["west"], short), false),
            (short, &vouched, disk(None, &[], short), true),
            (short, &vouched, disk(None, &["east"], short), true),
            (long, &vouched, disk(None, &["west"], short), true),
        ] {
            let (guard, other) = (name("a6"), name("a1"));
            let (mut words, mut found) = (Words::default(), Found::new());
            let renew = message(LeaseBody::Renew { revision: 3, lease });
            words.on_lease((&guard, &other), &renew, &durable(lease), &mut found);
            assert!(found.is_empty(), "{found:?}");
            words.on_lease((&other, &guard), &message(said.clone()), &disk, &mut found);
            assert_eq!(!found.is_empty(), is_found, "{said:?} of {lease:?} by {disk:?}");
        }
    }

    #[test]
    fn a_long_lease_is_not_asked_for_before_the_disk_says_so() {
        let (mut words, mut found) = (Words::default(), Found::new());
        let renew = message(LeaseBody::Renew { revision: 3, lease: LONG });
        let ends = (&name("a6"), &name("a1"));
        words.on_lease(ends, &renew, &disk(None, &[], USUAL), &mut found);
        assert_eq!(found.len(), 1);
    }
}
