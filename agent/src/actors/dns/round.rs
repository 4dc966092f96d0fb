//! What one look over an app's names has learnt: what is silent is waited for once, and not again for each name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use consensus::model::{Driver, Provider};
use hickory_proto::rr::Name;
use tokio::sync::{Mutex as Turns, MutexGuard};

/// Whoever has kept somebody waiting for so long without an answer is not asked again in this round.
pub(super) const SILENT: Duration = Duration::from_secs(2);

/// A zone's name servers, by name and address.
pub(super) type Servers = Vec<(Name, IpAddr)>;

/// One look over the names of an app; the next one begins with nothing.
#[derive(Default)]
pub(in crate::actors) struct Round {
    /// By zone, and by the server that was asked for them where it was not a resolver.
    servers: Mutex<HashMap<(Name, Option<String>), Servers>>,
    silent: Mutex<HashSet<SocketAddr>>,
    /// Whoever holds a zone and said nothing, with the words for that.
    holders: Mutex<BTreeMap<Driver, String>>,
    turns: Turns<()>,
}

impl Round {
    /// The name servers of a zone, if they are known already.
    pub(super) fn servers(&self, zone: &Name, primary: Option<&str>) -> Option<Servers> {
        let known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(zone.clone(), primary.map(str::to_owned))).cloned()
    }

    /// These are all of them.
    pub(super) fn found(&self, zone: &Name, primary: Option<&str>, servers: &Servers) {
        let mut known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((zone.clone(), primary.map(str::to_owned)), servers.clone());
    }

    /// Did this name server leave a question without an answer?
    pub(super) fn is_silent(&self, server: SocketAddr) -> bool {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).contains(&server)
    }

    pub(super) fn silent(&self, server: SocketAddr) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(server);
    }

    /// Why whoever holds the zone is not asked any more.
    pub(super) fn holder_is_silent(&self, driver: &Driver) -> Option<String> {
        let silent = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(driver).cloned()
    }

    pub(super) fn silent_holder(&self, driver: &Driver, why: &str) {
        let mut silent = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        silent.insert(driver.clone(), why.to_owned());
    }

    /// Whoever counts requests against an account is asked for one name after another: many at once would be too many, and
    /// then changes have to wait, too (`meter`).
    pub(super) async fn turn(&self, driver: &Driver) -> Option<MutexGuard<'_, ()>> {
        match driver {
            Driver::BuiltIn | Driver::Rfc2136 { .. } => None,
            Driver::Provider { provider: Provider::PowerDns, .. } => None,
            Driver::Provider { .. } => Some(self.turns.lock().await),
        }
    }
}
