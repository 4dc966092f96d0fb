//! What is done to databases: closed, opened again, promoted.
//!
//! # PostgreSQL: the rights it takes
//!
//! A superuser has them all. Otherwise, on every server of the app (`ALTER SYSTEM` can be granted since 15):
//!
//! ```sql
//! CREATE ROLE quorate LOGIN PASSWORD '…' IN ROLE pg_monitor, pg_signal_backend;
//! GRANT ALTER SYSTEM ON PARAMETER default_transaction_read_only TO quorate;
//! GRANT EXECUTE ON FUNCTION pg_reload_conf() TO quorate;
//! GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO quorate;
//! GRANT CREATE ON DATABASE postgres TO quorate;
//! ```
//!
//! Sessions of superusers are then left open by a fence, and it says so. The log-in is to the database `postgres`,
//! directly, without a pooler, and for now without TLS.
//!
//! # What the server compares
//!
//! `quorate.epoch (app, token)` holds the token under which this server was last promoted or opened. Every action
//! refuses to go below it. A standby that was never reached by a newer token cannot know of it: a late promotion is
//! refused at the row only after it has happened (PROTOCOL.md 0.1 i), and a fence is never proven (C.4).

mod epoch;
mod fence;
mod postgres;
mod promote;
mod unfence;

use consensus::model::{
    Action, ActionFault, ActionFaultKind, AppId, Candidate, Database, Done, Engine, Token,
};

use super::attempt::{Attempt, fault};
use crate::config::{Credential, Credentials};

/// An action on a database, with what it takes to log in.
pub(super) struct Order<'a> {
    app: &'a AppId,
    token: Token,
    database: &'a Database,
    user: &'a str,
    password: Option<&'a str>,
}

impl<'a> Order<'a> {
    /// Finds the secret that the database names.
    pub(super) fn new(
        action: &'a Action,
        database: &'a Database,
        credentials: &'a Credentials,
    ) -> Result<Self, ActionFault> {
        let name = &database.credential;
        match credentials.get(name) {
            Some(Credential::Login { user, password }) => Ok(Self {
                app: &action.app,
                token: action.token,
                database,
                user,
                password: password.as_deref(),
            }),
            Some(Credential::Key { .. }) => Err(fault(
                ActionFaultKind::Refused,
                format!("credential `{name}` is a TSIG key, expected a user and password"),
            )),
            None => Err(fault(
                ActionFaultKind::Refused,
                format!("no credential `{name}` is held here; see `[credentials]` in agent.toml"),
            )),
        }
    }
}

/// Closes a primary to writes, as far as it can be asked to.
pub(super) async fn fence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Postgres => fence::fence(attempt, order).await,
    }
}

/// Opens a primary again.
pub(super) async fn unfence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Postgres => unfence::unfence(attempt, order).await,
    }
}

/// Makes a replica the primary.
pub(super) async fn promote(
    attempt: &mut Attempt,
    order: &Order<'_>,
    candidate: &Candidate,
    at_least: Option<u64>,
) -> Result<Done, ActionFault> {
    match order.database.engine {
        Engine::Postgres => promote::promote(attempt, order, candidate, at_least).await,
    }
}
