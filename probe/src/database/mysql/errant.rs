//! What a MySQL replica wrote by itself: transactions under its own UUID that its source does not hold.
//!
//! A server alone cannot tell. One that was a primary once bears transactions of its own by right, and its source holds them;
//! those of an errant writer it does not. So the source is asked, with the same log-in, whenever they have changed, and what
//! it said is remembered: it matters most when that source is dead. Whoever holds none is asked nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consensus::model::Database;
use mysql_async::{Conn, Error};
use tokio::time::timeout;

use super::{Facts, ask, open};
use crate::phases::Stopwatch;
use crate::{Login, Means};

/// All of it: a source that is dead must not cost its replica the look.
const LIMIT: Duration = Duration::from_millis(250);
/// What is longer is not remembered, and what is one server's own is not longer: intervals of one UUID.
const LONGEST: usize = 16 << 10;
/// Of so many servers; an app names 32 databases at most.
const SERVERS: usize = 4_096;

/// What sources said of their replicas' own transactions.
#[derive(Clone, Debug, Default)]
pub struct Errants(Arc<Mutex<BTreeMap<(String, u16), Said>>>);

#[derive(Clone, Debug)]
struct Said {
    own: String,
    errant: String,
}

impl Errants {
    /// The transactions of a replica that its source never had, as far as that is known; empty if there are none.
    ///
    /// # Errors
    /// What the replica, or the way to it, said.
    pub(super) async fn of(
        &self,
        conn: &mut Conn,
        (database, login, means): (&Database, &Login, &Means),
        replica: &Facts,
    ) -> Result<String, Error> {
        let own = ask(conn, OWN).await?.unwrap_or_default().text("own").to_owned();
        let place = (database.address.clone(), database.port);
        let known = self.known(&place, &own);
        // What was errant may be put right at the source at any time.
        if own.is_empty() || LONGEST < own.len() || known.as_deref() == Some("") {
            return Ok(String::new());
        }
        match timeout(LIMIT, lacking(login, means, replica, &own)).await {
            Ok(Some(errant)) => {
                let said = Said { own, errant: errant.clone() };
                let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if all.len() < SERVERS || all.contains_key(&place) {
                    all.insert(place, said);
                }
                Ok(errant)
            }
            Ok(None) | Err(_) => Ok(known.unwrap_or_default()),
        }
    }

    fn known(&self, place: &(String, u16), own: &str) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(place).filter(|said| said.own == own).map(|said| said.errant.clone())
    }
}

/// Of all that a server executed, what bears its own UUID.
const OWN: &str = "select gtid_subtract(@@global.gtid_executed, gtid_subtract(@@global.gtid_executed, \
     concat(@@server_uuid, ':1-9223372036854775806'))) as own";

/// Which of these transactions the source that a replica names does not hold; nothing where it does not say.
async fn lacking(login: &Login, means: &Means, replica: &Facts, own: &str) -> Option<String> {
    let (host, port) = (replica.text("Master_Host"), replica.number("Master_Port")?);
    let mut watch = Stopwatch::start(LIMIT);
    let addresses: Vec<SocketAddr> =
        means.names.find(host, port, means.source, &mut watch).await.ok()?;
    let mut source = open(host, &addresses, login, &means.trust).await.ok()?;
    // As the server wrote it: hexadecimal digits, `-`, `:`, `,` and, of a tag, letters; anything else is no set.
    let set = own.chars().all(|it| it.is_ascii_alphanumeric() || " \n-:,_".contains(it));
    let sql = format!("select gtid_subtract('{own}', @@global.gtid_executed) as errant");
    let said = if set { ask(&mut source, &sql).await.ok()? } else { None };
    let _ = source.disconnect().await;
    Some(said?.text("errant").trim().to_owned())
}
