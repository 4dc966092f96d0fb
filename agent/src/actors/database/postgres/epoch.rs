//! The epoch row: where a primary remembers the token it was opened under, and refuses a lower one.

use consensus::model::{ActionFault, ActionFaultKind, AppId, Token};

use super::session::{Row, Session};
use crate::actors::attempt::fault;

/// The token this server holds for the app, if it was ever given one.
pub(super) async fn held(
    session: &Session,
    app: &AppId,
    table: bool,
) -> Result<Option<Token>, ActionFault> {
    if !table {
        return Ok(None);
    }
    let sql = format!("SELECT token FROM quorate.epoch WHERE app = '{app}'");
    let rows = session.run("reading `quorate.epoch`", &sql).await?;
    Ok(rows.first().and_then(|row| row.number("token")).map(Token))
}

/// Fails if the server has been given a higher token.
pub(super) fn compare(
    session: &Session,
    held: Option<Token>,
    ours: Token,
) -> Result<(), ActionFault> {
    match held {
        Some(newer) if ours < newer => Err(superseded(session, newer)),
        _ => Ok(()),
    }
}

/// Raises the row to our token, in one transaction that waits for no replica; gives what is then known of the server.
///
/// `facts` are select-list items to ask for in the same round trip, after the commit.
pub(super) async fn raise(
    session: &Session,
    app: &AppId,
    token: Token,
    table: bool,
    facts: &str,
) -> Result<Row, ActionFault> {
    // Read-only by default may still be set, and a commit could wait for standbys that are gone.
    let open = "BEGIN READ WRITE; SET LOCAL synchronous_commit = local;";
    let make = match table {
        true => "",
        false => {
            "CREATE SCHEMA IF NOT EXISTS quorate; CREATE TABLE IF NOT EXISTS quorate.epoch \
             (app text PRIMARY KEY, token bigint NOT NULL);"
        }
    };
    let token_number = token.0;
    let sql = format!(
        "{open} {make} \
         INSERT INTO quorate.epoch AS held (app, token) VALUES ('{app}', {token_number}) \
         ON CONFLICT (app) DO UPDATE SET token = excluded.token WHERE held.token <= excluded.token; \
         COMMIT; \
         SELECT token, {facts} FROM quorate.epoch WHERE app = '{app}'"
    );
    let row = session.row("raising `quorate.epoch`", &sql).await?;
    compare(session, row.number("token").map(Token), token)?;
    Ok(row)
}

fn superseded(session: &Session, newer: Token) -> ActionFault {
    fault(
        ActionFaultKind::Superseded,
        format!("`{}` holds the newer token {newer} in `quorate.epoch`", session.place()),
    )
}
