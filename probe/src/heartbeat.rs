//! One row written to a database that says that it takes writes → whether it does.
//!
//! A primary whose disk is full, that lost what it writes to, or that somebody holds, answers every question and takes no
//! write. Only whoever holds its door open may try: behind a shut door the row would be one that no
//! other server ever has.

use std::time::Duration;

use consensus::model::{Database, Engine, Fault, FaultKind, TargetId};

use crate::database::{mysql, postgres, redis};
use crate::fault::Trouble;
use crate::phases::Stopwatch;
use crate::{Means, out_of_time};

/// Writes the row of this database, `quorate.heartbeat` or the key `quorate:heartbeat:APP:NAME`, within `limit`. That it is
/// closed to writes, as a fence leaves it, is no fault; nor is trouble of this host's.
///
/// # Errors
/// Why it takes no writes: [`FaultKind::Credential`] if the role may not, else [`FaultKind::Unready`], for by itself neither
/// moves an app.
pub async fn heartbeat(
    target: &TargetId,
    database: &Database,
    means: &Means,
    limit: Duration,
) -> Result<(), Fault> {
    let Some(login) = means.login.as_deref() else { return Ok(()) };
    let mut watch = Stopwatch::start(limit);
    let row = (target, database);
    let written = async {
        match database.engine {
            Engine::Postgres => postgres::write(row, login, means, &mut watch).await,
            Engine::Mysql => mysql::write(row, login, means, &mut watch).await,
            Engine::Redis => redis::write(row, login, means, &mut watch).await,
            // A set has no guard: its members agree among themselves who takes writes.
            Engine::Mongodb => Ok(()),
        }
    };
    let written = tokio::time::timeout(limit, written).await;
    match written.unwrap_or_else(|_| Err(out_of_time(&watch))) {
        Ok(()) | Err(Trouble::Ours(_)) => Ok(()),
        Err(Trouble::Theirs(fault)) => Err(match fault.kind {
            FaultKind::Credential => Fault::new(fault.kind, format!("its heartbeat: {fault}")),
            _ => Fault::new(FaultKind::Unready, format!("takes no writes: {fault}")),
        }),
    }
}
