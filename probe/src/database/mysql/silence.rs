//! For how long a replica has received nothing, as far as looks tell.
//!
//! It says itself that its receiver runs for as long as that bears silence (`slave_net_timeout`, a minute unless it is set), and
//! that it is no second behind once it has applied all that came. Both are said of a link that was cut half a minute ago, too.
//! So what changes whenever something comes is remembered from look to look: its place in the primary's log and, of MariaDB,
//! the heartbeats it counted (MySQL counts them where this log-in may not read). What came just after a look counts from the
//! next one, which is too little by a look's interval.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consensus::model::Database;
use tokio::time::Instant;

/// Of so many servers; an app names 32 databases at most.
const SERVERS: usize = 4_096;

/// What replicas were last seen to have received.
#[derive(Clone, Debug, Default)]
pub struct Silences(Arc<Mutex<BTreeMap<(String, u16), Received>>>);

#[derive(Debug)]
struct Received {
    /// What changes whenever something comes.
    mark: (u64, u64),
    /// When it was seen to have changed; not known of what was there at the first look.
    changed: Option<Instant>,
}

impl Silences {
    /// How long ago something came, if any look saw that.
    pub(super) fn of(
        &self,
        database: &Database,
        mark: (u64, u64),
        now: Instant,
    ) -> Option<Duration> {
        let place = (database.address.clone(), database.port);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match all.get(&place) {
            Some(before) if before.mark == mark => before.changed,
            Some(_) => Some(now),
            None => None,
        };
        if all.len() < SERVERS || all.contains_key(&place) {
            all.insert(place, Received { mark, changed });
        }
        changed.map(|at| now.saturating_duration_since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_from_the_look_that_saw_something_come() {
        let database = |port| Database {
            name: "orders".parse().expect("a name"),
            engine: consensus::model::Engine::Mysql,
            address: "10.0.0.1".to_owned(),
            port,
            credential: "orders".parse().expect("a name"),
            guard: None,
            view: Default::default(),
        };
        let silences = Silences::default();
        let began = Instant::now();
        let mut said = Vec::new();
        // What was there at the first look may have come at any time.
        for (second, mark) in
            [(0, (5, 1)), (1, (5, 1)), (2, (6, 1)), (3, (6, 1)), (4, (6, 2)), (9, (6, 2))]
        {
            let now = began + Duration::from_secs(second);
            said.push(silences.of(&database(3306), mark, now).map(|it| it.as_secs()));
        }
        assert_eq!(said, [None, None, Some(0), Some(1), Some(0), Some(5)]);
        assert_eq!(silences.of(&database(3307), (6, 2), began), None, "another server");
    }
}
