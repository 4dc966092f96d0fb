//! Guards that make old primaries replicas again: on their own hosts, so that nothing comes late; what could be wrong is the
//! view they go by.

use std::time::Duration;

use consensus::outbox::{Input, Rejoin};

use super::{Event, Simulation};
use crate::check::Found;
use crate::network::Place;
use crate::world::{Host, Role};

impl Simulation {
    /// A guard's command runs on its database's host.
    pub(super) fn rejoin(&mut self, place: Place, rejoin: &Rejoin) {
        let Rejoin { target, token, deadline, .. } = rejoin;
        let agent = &self.agents[place];
        let (run, late) = (agent.run, *deadline < agent.clock.boot(self.now));
        let took = self.chance.between(Duration::from_secs(1), Duration::from_secs(10));
        let agreed = self.agreed(&target.app);
        let what = match self.writer(&target.app) {
            _ if late => Err("its deadline passed before it began".to_owned()),
            Some(primary) if primary == *target => {
                let epoch = agreed.map_or(0, |state| state.epoch.0);
                let text = format!("{target} is, in epoch {epoch}, and was asked for by {token}");
                let found: Found = vec![("what is active is not rewound", text)];
                self.report(found);
                Err("it is the primary".to_owned())
            }
            Some(primary) => {
                let theirs = &self.world.databases[&primary];
                let own = &self.world.databases[target];
                let leads = theirs.host == Host::Up && theirs.role == Role::Primary;
                let alone = own.log.iter().filter(|write| !theirs.log.contains(write)).count();
                match leads && own.host == Host::Up {
                    true => {
                        let waits = self.apps.get(&target.app).is_some_and(|it| it.synchronous);
                        self.say(|| format!("{target} is rewound to follow {primary}"));
                        self.world.rebuild(self.now, target, &primary, waits);
                        self.outside_changed();
                        Ok(format!("rewound; {alone} writes that it alone had are kept"))
                    }
                    false => Err(format!("{primary} is no primary that answers")),
                }
            }
            None => Err("there is nobody to follow".to_owned()),
        };
        self.count(if what.is_ok() { "old primaries rewound" } else { "rewinding failed" });
        let input =
            Input::Rejoined { target: target.clone(), token: *token, took, what, lost: None };
        self.after(took, Event::Input { to: place, run, input });
    }
}
