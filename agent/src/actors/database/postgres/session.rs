//! One session with a PostgreSQL server: plain queries, one round trip each, and faults worded for people.

use std::time::Duration;

use consensus::model::{ActionFault, ActionFaultKind};
use probe::postgres::{Refusal, connect};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage, SimpleQueryRow};

use super::super::unprotected;
use super::Order;
use crate::actors::attempt::{Attempt, fault};

/// The server gives up by itself before we do, so that nothing runs on there after its report.
const STATEMENT: Duration = Duration::from_millis(4_500);

/// One session; it ends when this is dropped, and nothing more is sent.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<Result<(), Error>>,
    place: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Connects and logs in.
    pub(super) async fn open(attempt: &Attempt, order: &Order<'_>) -> Result<Self, ActionFault> {
        let place = order.place();
        attempt.begin("connecting to the database")?;
        let stream = order.connect().await?;

        attempt.enter("logging in to the database");
        let mut config = Config::new();
        let limit = STATEMENT.as_millis();
        config.options(format!("-c statement_timeout={limit} -c client_min_messages=error"));
        let host = &order.database.address;
        let opened = connect(stream, host, order.login, order.trust, config).await;
        let (client, connection) = opened.map_err(|refusal| match refusal {
            Refusal::Server(error) => told(&place, "log-in", &error),
            Refusal::TooOld(why) => fault(ActionFaultKind::Refused, format!("`{place}` {why}")),
            Refusal::Unprotected(why) => unprotected(&place, &why),
        })?;
        Ok(Self { client, driver: tokio::spawn(connection), place })
    }

    /// Where the server is.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Runs statements in one round trip; `what` names them if they fail.
    pub(super) async fn run(&self, what: &str, sql: &str) -> Result<Vec<Row>, ActionFault> {
        let answered = self.client.simple_query(sql).await;
        let messages = answered.map_err(|error| told(&self.place, what, &error))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(Row(row)),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Runs statements whose last gives one row.
    pub(super) async fn row(&self, what: &str, sql: &str) -> Result<Row, ActionFault> {
        let row = self.run(what, sql).await?.pop();
        row.ok_or_else(|| {
            fault(ActionFaultKind::Unknown, format!("`{}` gave no row for {what}", self.place))
        })
    }
}

/// One row, as text; what is missing, null or no number reads as absent.
pub(super) struct Row(SimpleQueryRow);

impl Row {
    pub(super) fn text(&self, column: &str) -> Option<&str> {
        self.0.try_get(column).ok().flatten()
    }

    pub(super) fn number<N: std::str::FromStr>(&self, column: &str) -> Option<N> {
        self.text(column)?.parse().ok()
    }

    pub(super) fn is_true(&self, column: &str) -> bool {
        self.text(column) == Some("t")
    }
}

/// Words what the server, or the way to it, said.
fn told(place: &str, what: &str, error: &Error) -> ActionFault {
    match error.as_db_error() {
        Some(said) => {
            let code = said.code().code();
            fault(
                meaning(code),
                format!("`{place}` refuses {what}: {} (SQLSTATE {code})", said.message()),
            )
        }
        None => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            let cause = cause.unwrap_or_default();
            fault(ActionFaultKind::Unknown, format!("{what} at `{place}` broke: {error}{cause}"))
        }
    }
}

/// Will another try meet the same refusal? By class of SQLSTATE (PostgreSQL manual, appendix A).
fn meaning(code: &str) -> ActionFaultKind {
    // Two executors making the schema at the same time: one of them only has to try again.
    let raced = ["42P06", "42P07", "42710"].contains(&code);
    let lasting = ["28", "3D", "42", "0A"].iter().any(|class| code.starts_with(class));
    match lasting && !raced {
        true => ActionFaultKind::Refused,
        false => ActionFaultKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_lasts_and_a_stumble_does_not() {
        for (code, kind) in [
            ("28P01", ActionFaultKind::Refused), // wrong password
            ("28000", ActionFaultKind::Refused), // no entry in pg_hba.conf
            ("42501", ActionFaultKind::Refused), // no right
            ("3D000", ActionFaultKind::Refused), // no such database
            ("42P07", ActionFaultKind::Unknown), // made by another just now
            ("57P03", ActionFaultKind::Unknown), // starting up
            ("53300", ActionFaultKind::Unknown), // too many connections
            ("57014", ActionFaultKind::Unknown), // statement_timeout
        ] {
            assert_eq!(meaning(code), kind, "{code}");
        }
    }
}
