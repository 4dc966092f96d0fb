//! Dials one known address for ever, whenever there is no link with whoever lives there.

use std::sync::Arc;
use std::time::Duration;

use consensus::model::AgentId;
use quinn::Connection;
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout};

use super::greeting::{Refusal, explain};
use super::link::{self, PATIENCE, Parting};
use super::{Counters, Shared};
use crate::identity::PEER;

/// The first wait after a failure; doubled with each further one.
const SHORTEST: Duration = Duration::from_millis(100);
/// Dialling costs one small packet a try, and a healed network should be noticed within seconds.
const LONGEST: Duration = Duration::from_secs(5);
/// All agents may be given one list of seeds, so one of them is often this agent's own address.
const OWN: Duration = Duration::from_secs(60);
/// A link that lasted this long was a good one.
const LASTING: Duration = Duration::from_secs(10);
/// An address may have more than one meaning, not many.
const MEANINGS: usize = 8;
const RESOLVE_TIME: Duration = Duration::from_secs(3);

pub(super) async fn for_ever(shared: Arc<Shared>, address: String, holder: Option<AgentId>) {
    let mut changed = shared.changed.subscribe();
    let mut holder = holder;
    let mut wait = SHORTEST;
    let mut linked_at = None;
    loop {
        changed.mark_unchanged();
        if holder.as_ref().is_some_and(|agent| shared.linked(agent)) {
            linked_at.get_or_insert_with(Instant::now);
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        }
        if linked_at.take().is_some_and(|since| LASTING <= since.elapsed()) {
            wait = SHORTEST;
        }
        // Half of it is chance: agents that fell silent together must not dial in step.
        sleep(spread(wait)).await;
        wait = LONGEST.min(wait * 2);
        match dial(&shared, &address).await {
            Some(agent) if agent == shared.me => wait = OWN,
            Some(agent) => holder = Some(agent),
            None => {}
        }
    }
}

fn spread(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..1.0))
}

/// Tries every meaning of the address once. Returns who lives there, if anybody of the mesh does.
pub(super) async fn dial(shared: &Arc<Shared>, address: &str) -> Option<AgentId> {
    let meanings = match timeout(RESOLVE_TIME, tokio::net::lookup_host(address)).await {
        Ok(Ok(meanings)) => meanings.take(MEANINGS).collect(),
        Ok(Err(error)) => {
            shared.trouble(address, format!("cannot resolve `{address}`: {error}"));
            Vec::new()
        }
        Err(_) => {
            shared.trouble(address, format!("cannot resolve `{address}`: no answer"));
            Vec::new()
        }
    };
    for meaning in meanings {
        let connecting = match shared.endpoint.connect(meaning, PEER) {
            Ok(connecting) => connecting,
            Err(error) => {
                shared.trouble(address, format!("cannot dial `{address}`: {error}"));
                continue;
            }
        };
        match timeout(PATIENCE, connecting).await {
            Ok(Ok(connection)) => match greet(shared, address, connection).await {
                Some(agent) => return Some(agent),
                None => continue,
            },
            Ok(Err(error)) => {
                let why = explain(&error);
                if !matches!(error, quinn::ConnectionError::TimedOut) {
                    Counters::add(&shared.counters.refused);
                }
                shared.trouble(address, format!("cannot link with `{address}`: {why}"));
            }
            Err(_) => {
                shared.trouble(address, format!("cannot link with `{address}`: no answer"));
            }
        }
    }
    None
}

/// Greets whoever answered. Returns who it is, if it is one to be linked with, by this connection or a better one.
async fn greet(shared: &Arc<Shared>, address: &str, connection: Connection) -> Option<AgentId> {
    match link::greeted(shared, &connection, true).await {
        Ok((peer, link)) => {
            shared.no_trouble(address);
            tokio::spawn(link::live(shared.clone(), peer.clone(), link));
            Some(peer)
        }
        Err(Parting::Theirs(Some(peer), _)) if closed_ordinarily(&connection) => {
            shared.no_trouble(address);
            Some(peer)
        }
        Err(parting) => {
            parting.tell(shared, &connection, address);
            None
        }
    }
}

/// Did the other side hang up as it should: it is ourselves, or it stops?
fn closed_ordinarily(connection: &Connection) -> bool {
    let ordinary = [Refusal::Duplicate.code(), Refusal::Itself.code(), Refusal::Stopped.code()];
    matches!(
        connection.close_reason(),
        Some(quinn::ConnectionError::ApplicationClosed(close))
            if ordinary.contains(&close.error_code)
    )
}
