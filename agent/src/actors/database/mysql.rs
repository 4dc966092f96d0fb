//! MariaDB and MySQL: closed, opened again, promoted, told whom to follow.
//!
//! # The rights it takes
//!
//! They stand in README.md, "Rights", from where tests take them, and [`rights`] says what of them is lacking.
//!
//! Of MySQL (8.0.23 or newer): `gtid_mode = ON`, `enforce_gtid_consistency = ON` and `super_read_only = ON` belong into the
//! configuration of every server.
//!
//! Of MariaDB: `gtid_strict_mode = 1`, `log_slave_updates = 1` and `read_only = 1` belong into the configuration of every
//! server: one that is started again then takes no writes until it is told to. Where commits wait for a replica
//! (`rpl_semi_sync_*`), `init_rpl_role = SLAVE` and `rpl_semi_sync_slave_enabled = 1` as well: a primary that died then gives
//! up what it had logged and no replica got, and can follow; without, it is left alone as one that has transactions of its
//! own.
//!
//! # What the server compares
//!
//! `quorate.epoch (app, token)`, as everywhere. The row is written *before* a replica is opened, so that whoever finds it
//! half way knows that it is to be finished.

mod rights;
mod session;

use consensus::model::{ActionFault, Candidate, Done};
use probe::Tls;
use probe::mysql::Dialect;

pub(super) use self::rights::lacking;
use self::session::{Session, quoted};
use super::Order;
use crate::actors::attempt::Attempt;

/// What both understand.
const OPEN: &str = "set global read_only = 0";

pub(super) async fn fence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    if session.replica().await?.is_some() {
        let text = "is a replica, and so nobody's primary".to_owned();
        return Ok(Done { proven: false, position: None, text });
    }
    session.compare(order.app, order.token).await?;
    let ended = session.shut(attempt).await?;
    attempt.enter("reading the database's last position");
    let position = session.written().await?;
    let text = format!("read-only until it is restarted, {ended} sessions ended; not proven");
    Ok(Done { proven: false, position, text })
}

pub(super) async fn unfence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    if session.replica().await?.is_some() {
        let text = "is a replica: there is nothing to open".to_owned();
        return Ok(Done { proven: false, position: None, text });
    }
    // First the row: from here on, a late fence of the decision that was taken back is refused.
    attempt.commit("raising `quorate.epoch`")?;
    session.unlock().await?;
    session.raise(order.app, order.token).await?;
    attempt.commit("opening the database")?;
    session.run("opening it", OPEN).await?;
    let position = session.written().await?;
    Ok(Done { proven: false, position, text: "takes writes".to_owned() })
}

pub(super) async fn promote(
    attempt: &mut Attempt,
    order: &Order<'_>,
    candidate: &Candidate,
    at_least: Option<u64>,
) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let held = session.compare(order.app, order.token).await?;
    let text = match session.replica().await? {
        Some(seen) => {
            session.fit(&seen, candidate)?;
            session.all_received().await?;
            session.start_applying(attempt, &seen).await?;
            session.receive(attempt, at_least.unwrap_or_default()).await?;
            attempt.commit("ending its receiver")?;
            session.run("ending its receiver", session.words.deafen).await?;
            session.apply(attempt).await?;
            attempt.commit("promoting")?;
            session.run("promotion", session.words.stop).await?;
            session.unlock().await?;
            session.raise(order.app, order.token).await?;
            attempt.commit("promoting")?;
            session.run("promotion", session.words.forget).await?;
            "promoted"
        }
        // Marked and no replica any more: this very promotion came so far.
        None if held == Some(order.token) => "was promoted before",
        None => return Err(session.refused("is a primary already, and not by this promotion")),
    };
    attempt.commit("opening the database")?;
    session.run("opening it", OPEN).await?;
    let position = session.written().await?;
    Ok(Done { proven: false, position, text: text.to_owned() })
}

/// Makes a server a replica of the agreed primary, by GTID.
///
/// A server that holds transactions which that primary never received is left alone: nothing could merge them. So is one that
/// comes back without its data, or after the primary gave up the logs of what it lacks: by logs alone it would never have all.
pub(super) async fn follow(
    attempt: &mut Attempt,
    order: &Order<'_>,
    upstream: &Order<'_>,
) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let (host, port) = (&upstream.database.address, upstream.database.port);
    let place = upstream.place();
    let replica = session.replica().await?;
    if let Some(seen) = &replica
        && seen.text("Master_Host") == host
        && seen.number("Master_Port") == Some(port)
        && seen.text("Slave_SQL_Running") == "Yes"
        && seen.text("Slave_IO_Running") != "No"
    {
        let text = format!("follows `{place}` already");
        return Ok(Done { proven: false, position: None, text });
    }
    let held = session.compare(order.app, order.token).await?;
    let mut primary = Session::open(attempt, upstream).await?;
    attempt.enter("looking at the primary that is to be followed");
    let above_held = primary.compare(order.app, order.token).await?;
    let above = primary.state().await?;
    if primary.replica().await?.is_some() || above_held < held {
        return Err(primary.refused("is no primary that may be followed: its token is older"));
    }
    session.all_had(above.text("state"), &place).await?;
    let (Some(password), Ok(_)) = (&upstream.login.password, host.parse::<std::net::IpAddr>())
    else {
        return Err(session.refused(
            "cannot be told whom to follow: the primary needs an address and its login a password",
        ));
    };
    if replica.is_none() {
        session.can_arrive(&above, &place).await?;
    }
    match replica {
        Some(_) => {
            attempt.commit("making the database read-only")?;
            session.run("making it read-only", session.words.close).await?;
        }
        None => {
            session.shut(attempt).await?;
            // What waited to be written while another commit waited for a replica has been by now.
            session.all_had(above.text("state"), &place).await?;
        }
    }
    attempt.commit("telling it whom to follow")?;
    session.run("ending replication", session.words.stop).await?;
    session.wait_for_nobody().await?;
    if replica.is_none() && session.dialect == Dialect::MariaDb {
        // What it wrote itself counts as received; one that was rebuilt has no log yet, and stands where that says.
        session.run("setting its place", "set global gtid_slave_pos = @@gtid_current_pos").await?;
    }
    let (user, password) = (quoted(&upstream.login.user), quoted(password));
    let sql = following(session.dialect, host, port, &upstream.login.tls, &user, &password);
    session.run("following", &sql).await?;
    session.run("following", session.words.start).await?;
    Ok(Done { proven: false, position: None, text: format!("follows `{place}`") })
}

/// Whom to follow, as a statement. Whether the certificate is checked is the server's own setting (`ssl_ca` and its kin).
fn following(
    dialect: Dialect,
    host: &str,
    port: u16,
    tls: &Tls,
    user: &str,
    password: &str,
) -> String {
    let (change, word, gtid) = match dialect {
        Dialect::MariaDb => ("master", "master", "master_use_gtid = slave_pos"),
        Dialect::MySql { .. } => ("replication source", "source", "source_auto_position = 1"),
    };
    let safe = match (tls, dialect) {
        (Tls::Encrypted | Tls::Verified(_), _) => format!(", {word}_ssl = 1"),
        // Without TLS, MySQL's log-in needs the server's key, to hide the password in.
        (Tls::AsOffered, Dialect::MySql { .. }) => ", get_source_public_key = 1".to_owned(),
        (Tls::AsOffered, Dialect::MariaDb) => String::new(),
    };
    format!(
        "change {change} to {word}_host = '{host}', {word}_port = {port}, {word}_user = {user}, \
         {word}_password = {password}, {gtid}, {word}_connect_retry = 1, {word}_heartbeat_period = 1{safe}"
    )
}
