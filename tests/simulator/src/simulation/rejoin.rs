//! Guards that make old primaries replicas again: on their own hosts, so that nothing comes late; what could be wrong is the
//! view they go by. A command that dies with its guard leaves the server stopped.

use std::time::Duration;

use consensus::failover::plan;
use consensus::model::{TargetId, Token};
use consensus::outbox::{Input, Rejoin};

use super::{Event, Simulation};
use crate::check::Found;
use crate::network::Place;
use crate::world::{Host, Role};

/// A guard's command at work.
pub struct Rewind {
    place: Place,
    run: u64,
    took: Duration,
    target: TargetId,
    token: Token,
}

impl Simulation {
    /// A guard's command begins on its database's host: it stops the server.
    pub(super) fn rejoin(&mut self, place: Place, rejoin: &Rejoin) {
        let Rejoin { target, token, deadline, .. } = rejoin.clone();
        let agent = &self.agents[place];
        let (run, late) = (agent.run, deadline < agent.clock.boot(self.now));
        let took = self.chance.between(Duration::from_secs(1), Duration::from_secs(10));
        let rewind = Rewind { place, run, took, target, token };
        let whom = match late {
            true => Err("its deadline passed before it began".to_owned()),
            false => self.whom_to_follow(&rewind),
        };
        if let Err(why) = whom {
            return self.rejoined(rewind, Err(why));
        }
        self.say(|| format!("{} is stopped, to be rewound", rewind.target));
        let own = self.world.databases.get_mut(&rewind.target).expect("was just looked at");
        own.host = Host::Refusing;
        self.outside_changed();
        self.after(took, Event::Rewind(Box::new(rewind)));
    }

    /// It comes to its end, unless it died with its guard.
    pub(super) fn rewind(&mut self, rewind: Rewind) {
        let agent = &self.agents[rewind.place];
        if agent.run != rewind.run || !agent.running() {
            self.count("rewinding cut short");
            return;
        }
        let done = self.whom_to_follow(&rewind).map(|primary| {
            let target = &rewind.target;
            let (theirs, own) = (&self.world.databases[&primary], &self.world.databases[target]);
            let alone = own.log.iter().filter(|write| !theirs.log.contains(write)).count();
            let waits = self.apps.get(&target.app).is_some_and(|it| it.synchronous);
            self.say(|| format!("{target} is rewound to follow {primary}"));
            self.world.rebuild(self.now, target, &primary, waits);
            self.outside_changed();
            format!("rewound; {alone} writes that it alone had are kept")
        });
        self.rejoined(rewind, done);
    }

    /// Whom it is to follow: what every such command looks at first, and again before it is done.
    fn whom_to_follow(&mut self, rewind: &Rewind) -> Result<TargetId, String> {
        let Rewind { target, token, .. } = rewind;
        let agreed = self.agreed(&target.app);
        let writer = agreed.as_ref().and_then(|state| plan::writer(state).cloned());
        if writer.as_ref() == Some(&target.stack) {
            let epoch = agreed.map_or(0, |state| state.epoch.0);
            let text = format!("{target} is, in epoch {epoch}, and was asked for by {token}");
            let found: Found = vec![("what is active is not rewound", text)];
            self.report(found);
            return Err("it is the primary".to_owned());
        }
        let primary = self.writer(&target.app).filter(|primary| primary != target);
        let primary = primary.ok_or("there is nobody to follow")?;
        let theirs = &self.world.databases[&primary];
        if theirs.host != Host::Up || theirs.role != Role::Primary {
            return Err(format!("{primary} is no primary that answers"));
        }
        match self.world.databases[target].host {
            Host::Dark => Err("its host is gone".to_owned()),
            Host::Up | Host::Refusing => Ok(primary),
        }
    }

    fn rejoined(&mut self, rewind: Rewind, what: Result<String, String>) {
        self.count(if what.is_ok() { "old primaries rewound" } else { "rewinding failed" });
        let Rewind { place, run, took, target, token } = rewind;
        let input = Input::Rejoined { target, token, took, what, lost: None };
        self.after(Duration::ZERO, Event::Input { to: place, run, input });
    }
}
