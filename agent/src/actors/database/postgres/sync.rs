//! Whom a PostgreSQL primary waits for before it acknowledges a commit: set, unless what is set rests on something newer.
//!
//! The setting itself bears the version that it rests on (`consensus::model::Waits`), as one more name. Who reads it and
//! writes it holds a lock meanwhile, and writes in the session that holds it: a server goes through the requests of a session in
//! order, so that none is carried out once the lock is gone, however late it is read. It is looked at in a session that was
//! begun under the lock, for an older one may not have read the configuration again since.
//!
//! Who wrote it may have ended before the server was told to read it. What its files say is therefore compared, too.
//!
//! Whoever holds the lock and is heard of no more loses it by the server's own clocks ([`BOUNDS`]).

use std::time::Duration;

use consensus::model::{ActionFault, ActionFaultKind, Done, Unchanged, Waits};
use probe::postgres::{Standbys, setting};
use tokio::time::{Instant, sleep};

use super::session::Session;
use super::{Order, epoch};
use crate::actors::attempt::{Attempt, fault};

/// How long the reload may take to show.
const RELOAD: Duration = Duration::from_secs(1);
const PACE: Duration = Duration::from_millis(2);

/// What ends the session that holds the lock, or waits for it, once nobody is behind it: in milliseconds, or seconds for
/// `tcp_keepalives_*`. An action has 5 s in all, so whoever says nothing for so long is out of time. Before version 14 nothing
/// ends a session whose host answers still while its agent stands still; a host that is gone is noticed in 10 s there.
const BOUNDS: &str = "SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES \
                      ('lock_timeout', '4000'), ('idle_session_timeout', '5000'), \
                      ('tcp_user_timeout', '10000'), ('tcp_keepalives_idle', '4'), \
                      ('tcp_keepalives_interval', '2'), ('tcp_keepalives_count', '3') \
                      ) AS bounds (name, value) USING (name)";
/// Whoever sets whom it waits for holds this, till the session ends.
const LOCK: &str =
    "SELECT pg_advisory_lock(hashtext('quorate'), hashtext('synchronous_standby_names'))";
const LOOK: &str = "SELECT pg_is_in_recovery() AS recovery, \
                    to_regclass('quorate.epoch') IS NOT NULL AS has_table, \
                    current_setting('synchronous_commit') AS commits, \
                    current_setting('synchronous_standby_names') AS standbys";

/// May it be asked what its files say?
const WRITTEN: &str = "SELECT has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') \
                       AS may, quote_ident(current_user) AS role";
/// The last line counts. (`pg_file_settings` is this function, and takes a second right.)
const FILES: &str = "SELECT (SELECT setting FROM pg_show_all_file_settings() \
                     WHERE lower(name) = 'synchronous_standby_names' ORDER BY seqno DESC LIMIT 1) \
                     AS standbys";

pub(in crate::actors::database) async fn wait_for(
    attempt: &mut Attempt,
    order: &Order<'_>,
    asked: &Waits,
) -> Result<Done, ActionFault> {
    let lock = Session::open(attempt, order).await?;
    attempt.enter("waiting for whoever sets whom it waits for");
    lock.run("locking", &format!("{BOUNDS}; {LOCK}")).await?;
    let session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let seen = session.row("looking", LOOK).await?;
    if seen.is_true("recovery") {
        let text = format!("`{}` is in recovery: it waits for nobody", session.place());
        return Err(fault(ActionFaultKind::Refused, text));
    }
    if let Some(commits @ ("off" | "local" | "remote_write")) = seen.text("commits") {
        let text =
            format!("`{}` has `synchronous_commit = {commits}`: no commit waits", session.place());
        return Err(fault(ActionFaultKind::Refused, text));
    }
    let held = epoch::held(&session, order.app, seen.is_true("has_table")).await?;
    epoch::compare(&session, held, order.token)?;
    let running = waits_of(seen.text("standbys"));
    let (written, text) = written(&session).await?;
    // What was written and is not gone by yet counts as well: anybody's reload makes the server go by it.
    let held = running.taking(&written).unwrap_or_else(|_| running.clone());
    let waits = match held.taking(asked) {
        Ok(waits) => waits,
        Err(why) => {
            let kind = match why {
                Unchanged::ForAnother(_) => ActionFaultKind::Refused,
                Unchanged::Newer(_) => ActionFaultKind::Superseded,
            };
            if kind == ActionFaultKind::Superseded && held == written && running != written {
                reload(attempt, &session, &text).await?;
            }
            return Err(fault(kind, format!("whom `{}` waits for {why}", session.place())));
        }
    };
    let wanted = setting(&waits);
    attempt.commit("setting whom it waits for")?;
    let literal = wanted.replace('\'', "''");
    let sql = format!("ALTER SYSTEM SET synchronous_standby_names = '{literal}'");
    lock.run("setting `synchronous_standby_names`", &sql).await?;
    reload(attempt, &session, &wanted).await?;
    let names: Vec<_> = waits.names.iter().map(String::as_str).collect();
    let text = match names.as_slice() {
        [] => "waits for no replica".to_owned(),
        names => format!("waits for {}", names.join(", ")),
    };
    Ok(Done { proven: false, position: None, text })
}

/// Whom the server waits for once it reads its files again, and that setting itself.
async fn written(session: &Session) -> Result<(Waits, String), ActionFault> {
    let row = session.row("reading its files", WRITTEN).await?;
    if !row.is_true("may") {
        let text = format!(
            "`{}` does not tell what its files say, and whom it waits for may be newer there: \
             `GRANT EXECUTE ON FUNCTION pg_show_all_file_settings()` to `{}`",
            session.place(),
            row.text("role").unwrap_or_default()
        );
        return Err(fault(ActionFaultKind::Refused, text));
    }
    let row = session.row("reading its files", FILES).await?;
    let text = row.text("standbys").unwrap_or_default();
    Ok((waits_of(Some(text)), text.to_owned()))
}

fn waits_of(setting: Option<&str>) -> Waits {
    let read = Standbys::read(setting.unwrap_or_default());
    read.map(|it| it.waits()).unwrap_or_default()
}

/// A copy of a primary waits, once it is promoted, for whom that waited for: for nobody, until the mesh says for whom.
pub(super) async fn forget(
    attempt: &mut Attempt,
    session: &Session,
    standbys: &str,
) -> Result<(), ActionFault> {
    let marked = Standbys::read(standbys).is_some_and(|it| 0 < it.waits().version);
    if !marked {
        return Ok(());
    }
    attempt.commit("having it wait for nobody")?;
    let sql = "ALTER SYSTEM SET synchronous_standby_names = ''";
    session.run("setting `synchronous_standby_names`", sql).await?;
    reload(attempt, session, "").await
}

/// Has the server read its configuration again, and waits until that shows.
async fn reload(attempt: &mut Attempt, session: &Session, wanted: &str) -> Result<(), ActionFault> {
    attempt.commit("reloading the database's configuration")?;
    session.run("reloading", "SELECT pg_reload_conf()").await?;
    let until = Instant::now() + RELOAD;
    let sql = "SELECT current_setting('synchronous_standby_names') AS standbys";
    loop {
        let row = session.row("reading `synchronous_standby_names`", sql).await?;
        if row.text("standbys") == Some(wanted) {
            return Ok(());
        }
        if until <= Instant::now() {
            let found = row.text("standbys").unwrap_or_default().to_owned();
            let text = format!(
                "`{}` still has `synchronous_standby_names = '{found}'`: its command line says so?",
                session.place()
            );
            return Err(fault(ActionFaultKind::Refused, text));
        }
        sleep(PACE).await;
    }
}
