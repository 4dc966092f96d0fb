//! The heartbeat's key in Redis and Valkey.

use consensus::model::{Database, FaultKind, TargetId};

use super::resp::Reply;
use super::{broken, log_in, reach, refused, refused_log_in};
use crate::fault::Trouble;
use crate::phases::Stopwatch;
use crate::{Login, Means};

/// By which a server says that it is closed to writes: a replica, a primary whose replicas are not there.
const CLOSED: [&str; 2] = ["READONLY", "NOREPLICAS"];

/// Writes it. The role needs `+set` on `~quorate:*`.
pub(crate) async fn write(
    (target, database): (&TargetId, &Database),
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<(), Trouble> {
    let mut link = reach(database, login, means, watch).await?;
    let broken = |error| broken(&error);
    if let Some(log_in) = log_in(&login.user, login.password.as_deref()) {
        let reply = link.ask(&log_in).await.map_err(broken)?;
        if let Some(why) = reply.refusal() {
            return Err(refused_log_in(why, &login.user));
        }
    }
    let key = format!("quorate:heartbeat:{}:{}", target.app, target.name);
    match link.ask(&["SET", &key, "beats"]).await.map_err(broken)? {
        Reply::Text(_) => Ok(()),
        Reply::Refused(why) if CLOSED.iter().any(|word| why.starts_with(word)) => Ok(()),
        Reply::Refused(why) => Err(refused(&why, &login.user)),
        other => Err(Trouble::theirs(FaultKind::Protocol, format!("answers `{other:?}`"))),
    }
}
