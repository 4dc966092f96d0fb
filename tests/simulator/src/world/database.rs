//! PostgreSQL as far as a failover can tell: roles, timelines, positions, replication, and a ledger of every write.
//!
//! A fence here is what SQL can do: read-only by default, which a client may override, and ended sessions. A primary
//! holds an epoch row and compares tokens with it; a standby cannot hold one of its own, so a late promotion cannot be
//! refused (PROTOCOL.md 0.1 i).

use consensus::model::{ActionFaultKind, AppId, Candidate, StackId, TargetId, Token, Waits};
use consensus::moment::Moment;

use super::{Arrival, Host, World, done, fault};

/// So many timelines on, no failover of a run comes to the same.
const ASTRAY: u32 = 10_000;

/// What a database does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It replays another's log.
    Replica {
        /// The other.
        upstream: TargetId,
    },
}

/// One write of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    /// Told apart from every other.
    pub number: u64,
    /// Where in the log it ends.
    pub position: u64,
    /// Did it have to wait for a replica?
    pub synchronous: bool,
}

/// One database.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// Where it listens.
    pub address: String,
    /// Is it reached?
    pub host: Host,
    /// Does it answer that it cannot serve?
    pub unready: bool,
    /// What it does.
    pub role: Role,
    /// Which history it belongs to.
    pub system: u64,
    /// The timeline it is on.
    pub timeline: u32,
    /// Where earlier timelines of its history ended.
    pub forks: Vec<(u32, u64)>,
    /// Flushed, of a primary; received, of a replica.
    pub position: u64,
    /// Applied, of a replica.
    pub replayed: u64,
    /// When a replica last heard from its primary.
    pub heard: Option<Moment>,
    /// Does it refuse writes by default?
    pub read_only: bool,
    /// The stacks whose replicas must have a write before it is acknowledged.
    pub synchronous: Vec<StackId>,
    /// On which version of the agreed set that rests.
    pub mark: u64,
    /// The epoch row.
    pub token: Token,
    /// Every write it holds.
    pub log: Vec<Write>,
    /// What just went wrong here, by the world's own reckoning.
    pub(super) breach: Option<String>,
}

impl Postgres {
    /// A new primary.
    pub fn primary(id: &TargetId, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            host: Host::Up,
            unready: false,
            role: Role::Primary,
            // One history an app: the replicas of another app are strangers.
            system: id.app.as_str().bytes().fold(7_000, |sum, byte| sum * 31 + u64::from(byte)),
            timeline: 1,
            forks: vec![],
            position: 1_000_000,
            replayed: 1_000_000,
            heard: None,
            read_only: false,
            synchronous: vec![],
            mark: 0,
            token: Token::default(),
            log: vec![],
            breach: None,
        }
    }

    /// A new replica of it.
    pub fn replica(id: &TargetId, address: &str, upstream: TargetId) -> Self {
        let role = Role::Replica { upstream };
        Self { role, heard: Some(Moment::ZERO), ..Self::primary(id, address) }
    }

    /// Is there nothing in its way to follow this primary but that it has to be told?
    pub fn needs_telling(&self, primary: &Self) -> bool {
        matches!(self.role, Role::Replica { .. }) && self.descends(primary)
    }

    /// Can what this one holds be continued by replaying that one's log?
    fn descends(&self, primary: &Self) -> bool {
        let fork = primary.forks.iter().find(|(timeline, _)| *timeline == self.timeline);
        self.system == primary.system
            && match fork {
                _ if self.timeline == primary.timeline => self.position <= primary.position,
                Some((_, at)) => self.position <= *at,
                None => false,
            }
    }

    /// It compares the token and does not keep it: what is written as it is closed, the old primary alone would have.
    pub(super) fn fence(&mut self, token: Token, ignored: bool) -> Arrival {
        let held = self.token;
        if let Err(refused) = self.compare(token, ignored) {
            return refused;
        }
        self.token = held;
        self.read_only = true;
        done(Some(self.position), "read-only, sessions ended")
    }

    pub(super) fn unfence(&mut self, token: Token, ignored: bool) -> Arrival {
        if let Err(refused) = self.compare(token, ignored) {
            return refused;
        }
        self.read_only = false;
        done(Some(self.position), "writable again")
    }

    pub(super) fn promote(
        &mut self,
        token: Token,
        candidate: &Candidate,
        at_least: Option<u64>,
        ignored: bool,
    ) -> Arrival {
        let refused = |text: String| fault(ActionFaultKind::Refused, text);
        if self.system != candidate.system {
            return refused(format!("expected system {}, found {}", candidate.system, self.system));
        }
        match self.role {
            Role::Primary if self.timeline == candidate.timeline + 1 => {
                if let Err(refused) = self.compare(token, ignored) {
                    return refused;
                }
                self.read_only = false;
                return done(Some(self.position), "was promoted already");
            }
            Role::Primary => return refused(format!("a primary of timeline {}", self.timeline)),
            Role::Replica { .. } if self.timeline != candidate.timeline => {
                return refused(format!(
                    "expected timeline {}, found {}",
                    candidate.timeline, self.timeline
                ));
            }
            Role::Replica { .. } if self.position < candidate.position => {
                return refused(format!(
                    "expected position {} or more, found {}",
                    candidate.position, self.position
                ));
            }
            Role::Replica { .. } => {}
        }
        if at_least.is_some_and(|least| self.position < least) || self.replayed < self.position {
            return Arrival::Waits;
        }
        self.forks.push((self.timeline, self.position));
        self.timeline += 1;
        self.role = Role::Primary;
        self.read_only = false;
        (self.synchronous, self.mark) = (vec![], 0);
        match self.compare(token, ignored) {
            Ok(()) => done(Some(self.position), format!("promoted to timeline {}", self.timeline)),
            Err(refused) => refused,
        }
    }

    /// A setting that rests on an older version is refused.
    pub(super) fn wait_for(&mut self, asked: &Waits, unmarked: bool) -> Arrival {
        let names = self.synchronous.iter().map(known_as).collect();
        // An app has its databases to itself here.
        let app = asked.app.clone().filter(|_| 0 < self.mark);
        let held = Waits { app, version: self.mark, names };
        let taken = match unmarked {
            true => Ok(asked.clone()),
            false => held.taking(asked),
        };
        match (&self.role, taken) {
            (Role::Replica { .. }, _) => fault(ActionFaultKind::Refused, "a replica"),
            (Role::Primary, Err(held)) => {
                fault(ActionFaultKind::Superseded, format!("whom it waits for {held}"))
            }
            (Role::Primary, Ok(waits)) => {
                self.synchronous = waits.names.iter().filter_map(|name| stack_of(name)).collect();
                // A setting that names nobody bears no mark.
                self.mark = if self.synchronous.is_empty() { 0 } else { waits.version };
                done(Some(self.position), format!("waits for {:?}", waits.names))
            }
        }
    }

    /// One that is led keeps its epoch as a replica, too.
    pub(super) fn follow(&mut self, token: Token, upstream: &TargetId, ignored: bool) -> Arrival {
        let older = token < self.token;
        if older && !ignored {
            return fault(ActionFaultKind::Superseded, format!("holds {}", self.token));
        }
        if older {
            self.breach = Some(format!("an effect with {token} after one with {}", self.token));
        }
        self.token = token;
        self.role = Role::Replica { upstream: upstream.clone() };
        self.read_only = false;
        self.synchronous.clear();
        done(Some(self.position), format!("follows {}", upstream.stack))
    }

    /// A replica reads the epoch row that it received, and cannot write it. Whom it is to follow has been opened since.
    pub(super) fn repoint(
        &mut self,
        token: Token,
        (upstream, primary): (&TargetId, &Self),
        ignored: bool,
    ) -> Arrival {
        let newer = self.token.max(primary.token);
        let older = token < newer || primary.token < self.token;
        if older && !ignored {
            return fault(ActionFaultKind::Superseded, format!("holds {newer}"));
        }
        if older {
            self.breach = Some(format!("an effect with {token} after one with {newer}"));
        }
        if self.role == Role::Primary || primary.role != Role::Primary || !self.descends(primary) {
            return fault(ActionFaultKind::Refused, "it would have to be rewound");
        }
        self.role = Role::Replica { upstream: upstream.clone() };
        done(Some(self.position), format!("follows {}", upstream.stack))
    }

    /// Compares a token with the epoch row, and writes it there.
    fn compare(&mut self, token: Token, ignored: bool) -> Result<(), Arrival> {
        let older = token < self.token;
        if matches!(self.role, Role::Replica { .. }) {
            return Err(fault(ActionFaultKind::Refused, "a replica"));
        }
        match (older, ignored) {
            (true, false) => {
                return Err(fault(
                    ActionFaultKind::Superseded,
                    format!("the epoch row holds {}", self.token),
                ));
            }
            (true, true) => {
                self.breach = Some(format!("an effect with {token} after one with {}", self.token));
            }
            (false, _) => {}
        }
        self.token = token;
        Ok(())
    }
}

/// What a primary knows the replica of a stack by: its own name, and not the stack's.
pub fn known_as(stack: &StackId) -> String {
    format!("copy in {stack}")
}

fn stack_of(name: &str) -> Option<StackId> {
    name.strip_prefix("copy in ")?.parse().ok()
}

impl World {
    /// The names of those who stream from a primary.
    pub(super) fn receivers(&self, primary: &TargetId) -> Vec<String> {
        let from = |(id, it): &(&TargetId, &Postgres)| {
            matches!(&it.role, Role::Replica { upstream } if upstream == primary)
                && self.streams_to(id, it)
        };
        self.databases.iter().filter(from).map(|(id, _)| known_as(&id.stack)).collect()
    }

    /// Does a replica stream from its primary?
    pub fn streams(&self, replica: &TargetId) -> bool {
        self.databases.get(replica).is_some_and(|it| self.streams_to(replica, it))
    }

    fn streams_to(&self, replica: &TargetId, postgres: &Postgres) -> bool {
        let Role::Replica { upstream } = &postgres.role else { return false };
        let Some(primary) = self.databases.get(upstream) else { return false };
        postgres.host == Host::Up
            && primary.host == Host::Up
            && primary.role == Role::Primary
            && !self.severed.contains(replica)
            && postgres.descends(primary)
    }

    /// Every replica that streams has heard from its primary by now. Called before anything changes or is looked at.
    pub fn hear(&mut self, now: Moment) {
        let streaming: Vec<bool> =
            self.databases.iter().map(|(id, it)| self.streams_to(id, it)).collect();
        for (replica, _) in self.databases.values_mut().zip(streaming).filter(|(_, it)| *it) {
            replica.heard = Some(now);
        }
    }

    /// Every replica of an app that streams takes what its primary has, and writes that waited are acknowledged.
    pub fn replicate(&mut self, now: Moment, app: &AppId) {
        self.hear(now);
        let behind = |(id, replica): &(&TargetId, &Postgres)| {
            let Role::Replica { upstream } = &replica.role else { return false };
            id.app == *app
                && self.streams_to(id, replica)
                && !self.stuck.contains(*id)
                && self.databases.get(upstream).is_some_and(|primary| {
                    (replica.position, replica.timeline) != (primary.position, primary.timeline)
                })
        };
        let behind: Vec<TargetId> =
            self.databases.iter().filter(behind).map(|(id, _)| id.clone()).collect();
        for id in behind {
            let replica = &self.databases[&id];
            let Role::Replica { upstream } = &replica.role else { continue };
            let primary = &self.databases[upstream];
            // Whoever descends holds a prefix of the primary's log.
            let fresh = primary.log[replica.log.len().min(primary.log.len())..].to_vec();
            let (position, timeline) = (primary.position, primary.timeline);
            let (forks, token) = (primary.forks.clone(), primary.token);
            let replica = self.databases.get_mut(&id).expect("was just found");
            (replica.position, replica.timeline, replica.forks) = (position, timeline, forks);
            if !self.idle.contains(&id) {
                replica.replayed = position;
            }
            replica.token = replica.token.max(token);
            replica.log.extend(fresh);
        }
        self.acknowledge();
    }

    /// A client writes to a stack's database; one that is stubborn overrides what can be overridden.
    pub fn write(&mut self, now: Moment, database: &TargetId, bytes: u64, stubborn: bool) {
        self.hear(now);
        let number = self.writes;
        let open = self.open(now, database);
        let Some(postgres) = self.databases.get_mut(database) else { return };
        let takes = open
            && postgres.host == Host::Up
            && !postgres.unready
            && postgres.role == Role::Primary
            && (!postgres.read_only || stubborn);
        if !takes {
            return;
        }
        self.writes += 1;
        postgres.position += bytes;
        postgres.replayed = postgres.position;
        let write = Write { number, position: postgres.position, synchronous: false };
        postgres.log.push(write);
        self.waiting.push((database.clone(), write));
        self.acknowledge();
    }

    /// What applied nothing applies again, and at once all that it has received.
    pub fn apply(&mut self, replica: &TargetId) {
        if let Some(postgres) =
            self.databases.get_mut(replica).filter(|_| self.idle.remove(replica))
        {
            postgres.replayed = postgres.position;
        }
    }

    /// A replica leaves its primary's history for one of its own, which nobody else comes to.
    pub fn lead_astray(&mut self, replica: &TargetId) {
        let number = self.writes;
        let Some(postgres) = self.databases.get_mut(replica) else { return };
        if ASTRAY <= postgres.timeline {
            return;
        }
        self.writes += 1;
        postgres.forks.push((postgres.timeline, postgres.position));
        postgres.timeline += ASTRAY;
        postgres.position += 1;
        postgres.replayed = postgres.position;
        postgres.log.push(Write { number, position: postgres.position, synchronous: false });
    }

    /// Whatever went astray and is a replica still is put back from a copy of before: one that is to be promoted cannot be
    /// rebuilt of a primary.
    pub fn lead_back(&mut self) {
        let replicas =
            self.databases.values_mut().filter(|it| matches!(it.role, Role::Replica { .. }));
        for postgres in replicas.filter(|it| ASTRAY <= it.timeline) {
            postgres.timeline -= ASTRAY;
            postgres.position -= 1;
            postgres.replayed = postgres.position;
            postgres.forks.pop();
            postgres.log.pop();
        }
    }

    /// Acknowledges what waits no longer; forgets what waited on a primary that is none any more.
    fn acknowledge(&mut self) {
        let Self { waiting, databases, ledger, kept, .. } = self;
        waiting.retain(|(id, write)| {
            let primary = &databases[id];
            if primary.host != Host::Up || primary.role != Role::Primary {
                return false;
            }
            let has = |stack: &StackId| {
                let replica = TargetId { stack: stack.clone(), ..id.clone() };
                databases.get(&replica).is_some_and(|replica| {
                    matches!(&replica.role, Role::Replica { upstream } if upstream == id)
                        && replica.timeline == primary.timeline
                        && replica.position >= write.position
                })
            };
            let acknowledged = primary.synchronous.iter().all(has);
            if acknowledged {
                // Somebody may have told the primary meanwhile not to wait any more.
                let synchronous = !primary.synchronous.is_empty() || kept.contains(&id.app);
                let write = Write { synchronous, ..*write };
                ledger.entry(id.app.clone()).or_default().push((write, id.stack.clone()));
            }
            !acknowledged
        });
    }

    /// Somebody makes a database a fresh replica of another, discarding what it held.
    pub fn rebuild(&mut self, now: Moment, id: &TargetId, upstream: &TargetId, waits: bool) {
        self.hear(now);
        let primary = self.databases[upstream].clone();
        let old = &self.databases[id];
        let replica = Postgres {
            address: old.address.clone(),
            role: Role::Replica { upstream: upstream.clone() },
            host: Host::Up,
            unready: false,
            heard: Some(now),
            read_only: false,
            synchronous: vec![],
            mark: 0,
            ..primary
        };
        self.databases.insert(id.clone(), replica);
        self.severed.remove(id);
        self.stuck.remove(id);
        self.idle.remove(id);
        self.waiting.retain(|(primary, _)| primary != id);
        let primary = self.databases.get_mut(upstream).expect("was just read");
        if waits && primary.synchronous.is_empty() {
            primary.synchronous = vec![id.stack.clone()];
        }
    }

    /// Writes that were acknowledged after waiting for a replica, and that a database does not hold, each with the stack that
    /// acknowledged it.
    pub fn lost(&self, app: &AppId, database: &TargetId) -> Vec<(Write, StackId)> {
        let log: std::collections::BTreeSet<u64> =
            self.databases[database].log.iter().map(|write| write.number).collect();
        let acknowledged = self.ledger.get(app).into_iter().flatten();
        acknowledged
            .filter(|(write, _)| write.synchronous && !log.contains(&write.number))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::AppShape;
    use consensus::model::Epoch;

    fn world(synchronous: bool) -> (World, TargetId, TargetId, AppId) {
        let shape = AppShape::with_database("shop", synchronous);
        let mut world = World::default();
        world.build(&shape.definition(), synchronous);
        let mut ids = world.databases.keys().cloned();
        let (east, west) = (ids.next().expect("two"), ids.next().expect("two"));
        (world, east, west, shape.name)
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    fn candidate(world: &World, id: &TargetId) -> Candidate {
        let database = &world.databases[id];
        Candidate {
            name: id.name.clone(),
            system: database.system,
            timeline: database.timeline,
            position: database.position,
        }
    }

    #[test]
    fn a_synchronous_write_is_acknowledged_only_when_the_replica_has_it() {
        let (mut world, east, _, app) = world(true);
        world.write(at(1), &east, 100, false);
        assert!(world.ledger[&app].is_empty());
        world.replicate(at(2), &app);
        assert_eq!(world.ledger[&app].len(), 1);
    }

    #[test]
    fn a_promoted_replica_holds_every_synchronous_write_and_the_old_primary_acknowledges_none() {
        let (mut world, east, west, app) = world(true);
        world.write(at(1), &east, 100, false);
        world.replicate(at(2), &app);
        let token = Token::new(Epoch(2), 0, 3);
        let candidate = candidate(&world, &west);
        let promoted =
            world.databases.get_mut(&west).expect("west").promote(token, &candidate, None, false);
        assert!(matches!(promoted, Arrival::Answered(Ok(_))));
        world.write(at(3), &east, 100, false);
        world.replicate(at(4), &app);
        assert_eq!(world.ledger[&app].len(), 1);
        assert!(world.lost(&app, &west).is_empty());
    }

    #[test]
    fn sql_closes_a_primary_to_all_but_the_stubborn() {
        let (mut world, east, _, app) = world(false);
        world.databases.get_mut(&east).expect("east").fence(Token::new(Epoch(2), 0, 1), false);
        world.write(at(1), &east, 100, false);
        assert!(world.ledger[&app].is_empty());
        world.write(at(1), &east, 100, true);
        assert_eq!(world.ledger[&app].len(), 1);
    }

    #[test]
    fn a_primary_refuses_an_older_token_but_a_standby_cannot() {
        let (mut world, east, west, _) = world(false);
        let candidate = candidate(&world, &west);
        let primary = world.databases.get_mut(&east).expect("east");
        primary.fence(Token::new(Epoch(2), 0, 1), false);
        assert_eq!(primary.token, Token::default(), "a fence writes nothing");
        primary.unfence(Token::new(Epoch(3), 0, 2), false);
        let Arrival::Answered(Err(late)) = primary.fence(Token::new(Epoch(2), 0, 1), false) else {
            panic!("refused")
        };
        assert!(!primary.read_only);
        assert_eq!(late.kind, ActionFaultKind::Superseded);
        let replica = world.databases.get_mut(&west).expect("west");
        replica.promote(Token::new(Epoch(1), 0, 3), &candidate, None, false);
        assert_eq!(replica.role, Role::Primary);
    }

    #[test]
    fn a_replica_of_a_dead_timeline_does_not_stream_until_it_is_rebuilt() {
        let (mut world, east, west, _) = world(false);
        let candidate = candidate(&world, &west);
        world.databases.get_mut(&west).expect("west").promote(
            Token::new(Epoch(2), 0, 3),
            &candidate,
            None,
            false,
        );
        world.write(at(1), &east, 100, false);
        assert!(!world.streams(&east));
        world.rebuild(at(2), &east, &west, true);
        assert!(world.streams(&east));
        assert_eq!(world.databases[&west].synchronous, std::slice::from_ref(&east.stack));
    }
}
