//! A server that speaks TLS where the credential does not, or the other way round.
//!
//! It has no word for either: one that speaks TLS alone hangs up, as one that dies does, and one that does not takes a handshake
//! for the beginning of a command and waits for its end, as one that stands still does. Both are there, and the credential is
//! wrong. So whoever hangs up is spoken to by TLS once, and whoever hesitates without; who answers then is no vote.

use std::future;
use std::time::Duration;

use consensus::model::{Database, FaultKind};
use tokio::time::{sleep, timeout};

use super::resp::Link;
use crate::database::secure::over;
use crate::fault::Trouble;
use crate::phases::Stopwatch;
use crate::{Means, Tls, tcp};

/// How long a handshake may take before it is looked what else is spoken, and how long that may take: of the whole look.
const HESITATES: u32 = 3;

/// Ends once the server answers without TLS, and only then; `limit` is that of the whole look.
pub(super) async fn answers_plainly(
    database: &Database,
    means: &Means,
    limit: Duration,
) -> Trouble {
    sleep(limit / HESITATES).await;
    match answers(database, means, limit / HESITATES).await {
        true => Trouble::theirs(
            FaultKind::Credential,
            "the database speaks no TLS, and the credential asks for it (`tls`)",
        ),
        false => future::pending().await,
    }
}

async fn answers(database: &Database, means: &Means, limit: Duration) -> bool {
    let mut watch = Stopwatch::start(limit);
    let asking = async {
        let connected = tcp::connect(&database.address, database.port, means, &mut watch).await;
        let mut link = Link::over(connected.ok()?);
        // Whoever is not logged in is refused, and that is an answer.
        link.ask(&["PING"]).await.ok()
    };
    matches!(timeout(limit, asking).await, Ok(Some(_)))
}

/// What is wrong with a server that hung up, if it speaks TLS; `limit` is that of the whole look.
pub(super) async fn speaks_tls(
    database: &Database,
    means: &Means,
    limit: Duration,
) -> Option<Trouble> {
    let limit = limit / HESITATES;
    let mut watch = Stopwatch::start(limit);
    let asking = async {
        let stream =
            tcp::connect(&database.address, database.port, means, &mut watch).await.ok()?;
        over(stream, &database.address, &Tls::Encrypted, &means.trust).await.ok()
    };
    timeout(limit, asking).await.ok().flatten()?;
    let text = "the database speaks TLS alone, and the credential lacks `tls`";
    Some(Trouble::theirs(FaultKind::Credential, text))
}
