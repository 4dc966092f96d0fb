//! The heartbeat's row in PostgreSQL.

use std::pin::pin;
use std::time::Duration;

use consensus::model::{Database, TargetId};
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;

use super::{Refusal, connect, refusal};
use crate::fault::Trouble;
use crate::phases::{Stage, Stopwatch};
use crate::{Login, Means, tcp};

/// What waits for longer than we do ends by itself: else each look would leave one more session behind. Nothing ends the wait
/// for a replica (`finish_xact_command` of PostgreSQL puts the timer out before it), so that is not waited for.
const LONGER: Duration = Duration::from_secs(1);
const MAKE: &str = "CREATE SCHEMA IF NOT EXISTS quorate; CREATE TABLE IF NOT EXISTS quorate.heartbeat \
    (app text, name text, at timestamptz NOT NULL, PRIMARY KEY (app, name))";

/// Writes it. The role needs `CREATE` on the database `postgres`, or the table and the right to write it.
pub(crate) async fn write(
    (target, database): (&TargetId, &Database),
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<(), Trouble> {
    let stream = tcp::connect(&database.address, database.port, means, watch).await?;
    watch.enter(Stage::Process);
    let mut config = Config::new();
    let patience = watch.left().saturating_add(LONGER).as_millis();
    config.options(format!("-c synchronous_commit=local -c statement_timeout={patience}"));
    let session = connect(stream, &database.address, login, &means.trust, config).await;
    let (client, connection) = session.map_err(|refusal| match refusal {
        Refusal::Unprotected(fault) | Refusal::TooOld(fault) => Trouble::Theirs(fault),
        Refusal::Server(error) => refusal::of_postgres(&error, &login.user),
    })?;
    let row = format!(
        "INSERT INTO quorate.heartbeat (app, name, at) VALUES ('{}', '{}', now()) \
         ON CONFLICT (app, name) DO UPDATE SET at = excluded.at",
        target.app, target.name
    );
    let mut connection = pin!(connection);
    let mut writing = pin!(async move {
        match client.batch_execute(&row).await {
            Err(error) if lacks_table(&error) => {
                client.batch_execute(&format!("{MAKE}; {row}")).await
            }
            written => written,
        }
    });
    let written = tokio::select! {
        biased;
        written = &mut writing => written,
        // Why it ended is in the answer, if there was one.
        _ = &mut connection => writing.await,
    };
    match written {
        Err(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Ok(()),
        written => written.map_err(|error| refusal::of_postgres(&error, &login.user)),
    }
}

fn lacks_table(error: &tokio_postgres::Error) -> bool {
    let lacks = [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME];
    error.code().is_some_and(|code| lacks.contains(code))
}
