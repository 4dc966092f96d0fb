//! Looks: what a real probe would find, and how long it would take to.

use std::time::Duration;

use consensus::model::{
    AgentId, DatabaseSight, Fault, FaultKind, Outcome, TargetId, Waits, Watched,
};
use consensus::moment::Moment;

use super::database::known_as;
use super::{Host, Path, Role, Web, World};
use crate::chance::Chance;

/// How long a look at something that answers takes, at most.
const ANSWERS_WITHIN: Duration = Duration::from_millis(60);

impl World {
    /// Looks at a target: how long it takes, and what comes of it.
    pub fn look(
        &mut self,
        now: Moment,
        agent: &AgentId,
        watched: &Watched,
        limit: Duration,
        chance: &mut Chance,
    ) -> (Duration, Outcome) {
        self.hear(now);
        let takes = chance.between(Duration::from_millis(1), ANSWERS_WITHIN);
        let path = match watched {
            Watched::Target(target) => self.path(agent, target),
            Watched::Canary(_) if self.silent.contains(agent) => Path { cut: true, loss: 0.0 },
            Watched::Canary(_) => self.outward.get(agent).copied().unwrap_or_default(),
        };
        let timeout = || {
            let text = format!("no answer within {} ms", limit.as_millis());
            (limit, Outcome::Failed(Fault::new(FaultKind::Timeout, text)))
        };
        if path.cut || chance.happens(path.loss) {
            return timeout();
        }
        let Watched::Target(target) = watched else { return (takes, Outcome::Up(None)) };
        let failed = |kind, text: &str| (takes, Outcome::Failed(Fault::new(kind, text)));
        if let Some(web) = self.webs.get(target) {
            return match *web {
                Web::Up => (takes, Outcome::Up(None)),
                Web::Slow(slow) if slow + takes < limit => (slow + takes, Outcome::Up(None)),
                Web::Slow(_) | Web::Dark => timeout(),
                Web::Refusing => failed(FaultKind::Refused, "connection refused"),
                Web::Failing => failed(FaultKind::Status, "expected any 2xx, found 500"),
            };
        }
        match self.databases.get(target).map(|postgres| (postgres.host, postgres.unready)) {
            None | Some((Host::Dark, _)) => timeout(),
            Some((Host::Refusing, _)) => failed(FaultKind::Refused, "connection refused"),
            Some((Host::Up, true)) => failed(FaultKind::Unready, "too many clients already"),
            Some((Host::Up, false)) => (takes, Outcome::Up(Some(self.sight(now, target)))),
        }
    }

    /// What a database says of itself.
    fn sight(&self, now: Moment, target: &TargetId) -> DatabaseSight {
        let postgres = &self.databases[target];
        let replica = matches!(postgres.role, Role::Replica { .. });
        DatabaseSight {
            replica,
            read_only: postgres.read_only,
            system: postgres.system,
            timeline: postgres.timeline,
            position: postgres.position,
            replayed: postgres.replayed,
            streaming: self.streams(target),
            heard: postgres.heard.filter(|_| replica).map(|heard| now.since(heard)),
            lag: None,
            upstream_name: replica.then(|| known_as(&target.stack)),
            synchronous: match replica {
                true => vec![],
                false => {
                    let names = postgres.synchronous.iter().map(known_as).collect();
                    let (version, app) = (postgres.mark, Some(target.app.clone()));
                    let waits = Waits { app: app.filter(|_| 0 < version), version, names };
                    let mark = waits.mark().into_iter();
                    let settled = mark.flat_map(|mark| [mark, Waits::SETTLED.to_owned()]);
                    settled.chain(waits.names).collect()
                }
            },
            receivers: if replica { vec![] } else { self.receivers(target) },
            slots_at_risk: Vec::new(),
        }
    }
}
