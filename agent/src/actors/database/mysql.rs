//! MariaDB: closed, opened again, promoted, told whom to follow.
//!
//! # The rights it takes
//!
//! On every server of the app, and so that any of them may follow any other:
//!
//! ```sql
//! CREATE USER quorate IDENTIFIED BY '…';
//! GRANT BINLOG MONITOR, SLAVE MONITOR, REPLICATION MASTER ADMIN, REPLICATION SLAVE, REPLICATION SLAVE ADMIN,
//!   READ_ONLY ADMIN, CONNECTION ADMIN, BINLOG ADMIN, PROCESS, RELOAD ON *.* TO quorate;
//! GRANT CREATE, SELECT, INSERT, UPDATE ON quorate.* TO quorate;
//! ```
//!
//! `gtid_strict_mode = 1`, `log_slave_updates = 1` and `read_only = 1` belong into the configuration of every server: one
//! that is started again then takes no writes until it is told to. Where commits wait for a replica (`rpl_semi_sync_*`),
//! `init_rpl_role = SLAVE` and `rpl_semi_sync_slave_enabled = 1` as well: a primary that died then gives up what it had
//! logged and no replica got, and can follow; without, it is left alone as one that has transactions of its own.
//!
//! # What the server compares
//!
//! `quorate.epoch (app, token)`, as everywhere. The row is written *before* a replica is opened, so that whoever finds it
//! half way knows that it is to be finished.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use consensus::model::{ActionFault, ActionFaultKind, AppId, Candidate, Done, Token};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use probe::mysql::{Facts, ask, open, own};
use tokio::time::sleep;

use super::Order;
use crate::actors::attempt::{Attempt, fault};

/// Between two looks at what is being applied.
const PACE: Duration = Duration::from_millis(5);
/// No statement waits longer for another's lock: sessions that hold one are ended, and it is tried again.
const LOCK_SECONDS: u32 = 1;

const STATE: &str = "select @@global.read_only as read_only, @@gtid_binlog_state as state, @@server_id as server_id, \
     @@global.gtid_slave_pos as applied, @@global.gtid_current_pos as current, \
     (select count(*) from information_schema.tables where table_schema = 'quorate' and table_name = 'epoch') as marked";
const SESSIONS: &str = "select id from information_schema.processlist where id <> connection_id() \
     and user not in ('system user', 'event_scheduler') and command not like 'Binlog Dump%' and command <> 'Daemon' \
     limit 10000";

pub(super) async fn fence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    if session.replica().await?.is_some() {
        let text = "is a replica, and so nobody's primary".to_owned();
        return Ok(Done { proven: false, position: None, text });
    }
    session.compare(order.app, order.token).await?;
    attempt.commit("making the database read-only")?;
    // It waits for whoever writes just now; ending the sessions ends the wait.
    let first = session.run("making it read-only", "set global read_only = 1").await;
    attempt.commit("ending the database's sessions")?;
    let ended = session.end_sessions().await?;
    if first.is_err() {
        session.run("making it read-only", "set global read_only = 1").await?;
    }
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
    session.raise(order.app, order.token).await?;
    attempt.commit("opening the database")?;
    session.run("opening it", "set global read_only = 0").await?;
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
            session.receive(attempt, at_least.unwrap_or_default()).await?;
            attempt.commit("ending its receiver")?;
            session.run("ending its receiver", "stop slave io_thread").await?;
            session.apply(attempt).await?;
            attempt.commit("promoting")?;
            session.run("promotion", "stop slave").await?;
            session.raise(order.app, order.token).await?;
            attempt.commit("promoting")?;
            session.run("promotion", "reset slave all").await?;
            "promoted"
        }
        // Marked and no replica any more: this very promotion came so far.
        None if held == Some(order.token) => "was promoted before",
        None => return Err(session.refused("is a primary already, and not by this promotion")),
    };
    attempt.commit("opening the database")?;
    session.run("opening it", "set global read_only = 0").await?;
    let position = session.written().await?;
    Ok(Done { proven: false, position, text: text.to_owned() })
}

/// Makes a server a replica of the agreed primary, by GTID.
///
/// A server that holds transactions which that primary never received is left alone: nothing could merge them.
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
    let own = session.state().await?;
    let errant = errant(own.text("state"), above.text("state"));
    if !errant.is_empty() {
        return Err(session.refused(format!(
            "holds transactions that `{place}` never received ({}): export them (`mysqlbinlog`), then rebuild it",
            errant.join(", ")
        )));
    }
    let (Some(password), Ok(_)) = (upstream.password, host.parse::<std::net::IpAddr>()) else {
        return Err(session.refused(
            "cannot be told whom to follow: the primary needs an address and its login a password",
        ));
    };
    attempt.commit("making the database read-only")?;
    session.run("making it read-only", "set global read_only = 1").await?;
    if replica.is_none() {
        session.end_sessions().await?;
    }
    attempt.commit("telling it whom to follow")?;
    session.run("ending replication", "stop slave").await?;
    if replica.is_none() {
        // What it wrote itself counts as received.
        session.run("setting its place", "set global gtid_slave_pos = @@gtid_binlog_pos").await?;
    }
    let (user, password) = (quoted(upstream.user), quoted(password));
    let sql = format!(
        "change master to master_host = '{host}', master_port = {port}, master_user = {user}, \
         master_password = {password}, master_use_gtid = slave_pos, master_connect_retry = 1, \
         master_heartbeat_period = 1"
    );
    session.run("following", &sql).await?;
    session.run("following", "start slave").await?;
    Ok(Done { proven: false, position: None, text: format!("follows `{place}`") })
}

/// A text within a statement.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The transactions of one server that another never had, by what each logged last of every domain and writer:
/// `domain-server-sequence`, separated by commas.
fn errant(ours: &str, theirs: &str) -> Vec<String> {
    let read = |text: &str| -> BTreeMap<(String, String), u64> {
        let each = text.split(',').filter_map(|gtid| {
            let mut parts = gtid.trim().split('-').map(str::to_owned);
            let (domain, server) = (parts.next()?, parts.next()?);
            Some(((domain, server), parts.next()?.parse().ok()?))
        });
        each.collect()
    };
    let theirs = read(theirs);
    let beyond = read(ours).into_iter().filter_map(|((domain, server), last)| {
        let known = theirs.get(&(domain.clone(), server.clone())).copied().unwrap_or_default();
        (known < last).then(|| match last - known {
            1 => format!("{domain}-{server}-{last}"),
            _ => format!("{domain}-{server}-{} to {last}", known + 1),
        })
    });
    beyond.collect()
}

/// One session; it ends when this is dropped.
struct Session {
    conn: Conn,
    place: String,
}

impl Session {
    /// Connects and logs in.
    async fn open(attempt: &Attempt, order: &Order<'_>) -> Result<Self, ActionFault> {
        let place = order.place();
        attempt.begin("connecting to the database")?;
        let addresses = order.addresses().await?;
        let conn = open(&addresses, order.user, order.password).await;
        let conn = conn.map_err(|error| told(&place, "log-in", &error))?;
        let mut session = Self { conn, place };
        let sql = format!("set session lock_wait_timeout = {LOCK_SECONDS}");
        session.run("log-in", &sql).await?;
        Ok(session)
    }

    async fn run(&mut self, what: &str, sql: &str) -> Result<(), ActionFault> {
        let done = self.conn.query_drop(sql).await;
        done.map_err(|error| told(&self.place, what, &error))
    }

    async fn ask(&mut self, what: &str, sql: &str) -> Result<Option<Facts>, ActionFault> {
        ask(&mut self.conn, sql).await.map_err(|error| told(&self.place, what, &error))
    }

    /// Whom it follows, if it follows anybody.
    async fn replica(&mut self) -> Result<Option<Facts>, ActionFault> {
        self.ask("looking", "show slave status").await
    }

    async fn state(&mut self) -> Result<Facts, ActionFault> {
        Ok(self.ask("looking", STATE).await?.unwrap_or_default())
    }

    /// How far its own log goes.
    async fn written(&mut self) -> Result<Option<u64>, ActionFault> {
        let own = self.ask("reading its position", "show master status").await?;
        Ok(own.and_then(|own| own.position("File", "Position")))
    }

    /// The token it holds, if any; fails if it has been given a higher one than ours.
    async fn compare(&mut self, app: &AppId, ours: Token) -> Result<Option<Token>, ActionFault> {
        if self.state().await?.text("marked") != "1" {
            return Ok(None);
        }
        let sql = format!("select token from quorate.epoch where app = '{app}'");
        let row = self.ask("reading `quorate.epoch`", &sql).await?;
        match row.and_then(|row| row.number("token")).map(Token) {
            Some(newer) if ours < newer => Err(self.superseded(newer)),
            held => Ok(held),
        }
    }

    fn superseded(&self, newer: Token) -> ActionFault {
        let text = format!("`{}` holds the newer token {newer} in `quorate.epoch`", self.place);
        fault(ActionFaultKind::Superseded, text)
    }

    /// Raises the row to our token.
    async fn raise(&mut self, app: &AppId, token: Token) -> Result<(), ActionFault> {
        let what = "raising `quorate.epoch`";
        if self.state().await?.text("marked") != "1" {
            self.run(what, "create database if not exists quorate").await?;
            let make = "create table if not exists quorate.epoch \
                        (app varchar(63) primary key, token bigint unsigned not null) engine = innodb";
            self.run(what, make).await?;
        }
        let number = token.0;
        let sql = format!(
            "insert into quorate.epoch (app, token) values ('{app}', {number}) \
             on duplicate key update token = greatest(token, values(token))"
        );
        self.run(what, &sql).await?;
        self.compare(app, token).await.map(drop)
    }

    /// Ends every client's session; replication is none. How many.
    async fn end_sessions(&mut self) -> Result<usize, ActionFault> {
        let found: Result<Vec<u64>, Error> = self.conn.query(SESSIONS).await;
        let found = found.map_err(|error| told(&self.place, "listing sessions", &error))?;
        let mut ended = 0;
        for id in found {
            // Gone by itself meanwhile, or one that we may not end.
            ended += usize::from(
                self.conn.query_drop(format!("kill hard connection {id}")).await.is_ok(),
            );
        }
        Ok(ended)
    }

    /// Is the replica what the decision saw: of that primary, with at least what it had then?
    fn fit(&self, seen: &Facts, candidate: &Candidate) -> Result<(), ActionFault> {
        let primary = seen.number::<u64>("Master_Server_Id");
        if primary != Some(candidate.system) {
            let found = seen.text("Master_Server_Id");
            let expected = candidate.system;
            return Err(
                self.refused(format!("followed server {found}, expected server {expected}"))
            );
        }
        let (has, expected) = (seen.received().unwrap_or_default(), candidate.position);
        match expected <= has {
            true => Ok(()),
            false => Err(self.refused(format!("has received {has}, expected at least {expected}"))),
        }
    }

    /// Fails if it wrote anything by itself, which no other server could ever follow.
    async fn all_received(&mut self) -> Result<(), ActionFault> {
        let state = self.state().await?;
        match own(&state).as_slice() {
            [] => Ok(()),
            own => {
                let own = own.join(", ");
                Err(self
                    .refused(format!("holds transactions of its own that no primary sent: {own}")))
            }
        }
    }

    /// Waits until it has received this much; the action's limit ends it.
    async fn receive(&mut self, attempt: &Attempt, position: u64) -> Result<(), ActionFault> {
        attempt.enter("waiting for the replica to receive what the old primary wrote");
        loop {
            let seen = self.replica().await?.unwrap_or_default();
            if position <= seen.received().unwrap_or_default() {
                return Ok(());
            }
            sleep(PACE).await;
        }
    }

    /// Waits until all that it received is applied; the action's limit ends it.
    async fn apply(&mut self, attempt: &Attempt) -> Result<(), ActionFault> {
        attempt.enter("waiting for the replica to apply what it received");
        let seen = self.replica().await?.unwrap_or_default();
        let received = quoted(seen.text("Gtid_IO_Pos"));
        loop {
            let seen = self.replica().await?.unwrap_or_default();
            if seen.number::<u32>("Last_SQL_Errno").is_some_and(|error| error != 0) {
                let why = seen.text("Last_SQL_Error").to_owned();
                return Err(self.refused(format!("cannot apply what it received: {why}")));
            }
            let sql = format!("select master_gtid_wait({received}, 0.05) as waited");
            let waited = self.ask("waiting", &sql).await?.unwrap_or_default();
            if waited.text("waited") == "0" {
                return Ok(());
            }
        }
    }

    fn refused(&self, what: impl Display) -> ActionFault {
        fault(ActionFaultKind::Refused, format!("`{}` {what}", self.place))
    }
}

/// Words what the server, or the way to it, said.
fn told(place: &str, what: &str, error: &Error) -> ActionFault {
    match error {
        Error::Server(said) => fault(
            meaning(said.code),
            format!("`{place}` refuses {what}: {} (error {})", said.message, said.code),
        ),
        other => fault(ActionFaultKind::Unknown, format!("{what} at `{place}` broke: {other}")),
    }
}

/// Will another try meet the same refusal?
fn meaning(code: u16) -> ActionFaultKind {
    match code {
        1044 | 1045 | 1130 | 1142 | 1227 | 1698 | 1064 => ActionFaultKind::Refused,
        _ => ActionFaultKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_never_had_is_named() {
        for (ours, theirs, expected) in [
            ("0-1-5", "0-1-5,0-2-7", vec![]),
            ("0-1-6", "0-1-5,0-2-7", vec!["0-1-6"]),
            ("0-1-9", "0-1-5", vec!["0-1-6 to 9"]),
            ("0-1-5,1-3-1", "0-1-5", vec!["1-3-1"]),
            ("", "0-1-5", vec![]),
        ] {
            assert_eq!(errant(ours, theirs), expected, "{ours} against {theirs}");
        }
    }

    #[test]
    fn a_text_stays_within_its_quotes() {
        assert_eq!(quoted(r"a'b\c"), r"'a''b\\c'");
    }

    #[test]
    fn a_refusal_lasts_and_a_stumble_does_not() {
        for (code, kind) in [
            (1045, ActionFaultKind::Refused), // wrong password
            (1227, ActionFaultKind::Refused), // no right
            (1040, ActionFaultKind::Unknown), // too many connections
            (1205, ActionFaultKind::Unknown), // waited for a lock
            (1053, ActionFaultKind::Unknown), // shutting down
        ] {
            assert_eq!(meaning(code), kind, "{code}");
        }
    }
}
