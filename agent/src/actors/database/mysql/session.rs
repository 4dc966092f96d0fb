//! One session with a MariaDB or MySQL: what the actor asks it, in the server's own words.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use consensus::model::{ActionFault, ActionFaultKind, AppId, Candidate, Token};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use probe::mysql::{Dialect, Facts, ask, in_mariadbs_words, open, own, pairs, written};
use tokio::time::{sleep, timeout};

use super::Order;
use crate::actors::attempt::{Attempt, fault};

/// Between two looks at what is being applied.
const PACE: Duration = Duration::from_millis(5);
/// As for whoever is reached at all, with time to log in.
const OPENED: Duration = Duration::from_millis(2_500);
/// No statement waits longer for another's lock: sessions that hold one are ended, and it is tried again.
const LOCK_SECONDS: u32 = 1;

const MARKED: &str = "(select count(*) from information_schema.tables where table_schema = 'quorate' and \
     table_name = 'epoch') as marked";
const STATE: &str = "select @@gtid_binlog_state as state, @@server_id as server_id, @@global.gtid_slave_pos as applied, \
     @@global.gtid_current_pos as current";
/// A MySQL that wrote something by itself cannot be told from one that was a primary once, without the primary of now.
const STATE_OF_MYSQL: &str = "select @@global.gtid_executed as state, @@global.gtid_purged as purged, @@server_id as server_id";
/// Who waits for a replica comes last: that wait is the others' too, who are told that they have committed once it ends, and
/// must not be there any more by then.
const SESSIONS: &str = "select id from information_schema.processlist where id <> connection_id() \
     and user not in ('system user', 'event_scheduler') and command not like 'Binlog Dump%' and command <> 'Daemon' \
     order by coalesce(state, '') like 'Waiting for semi-sync%', id limit 10000";

/// What each says in words of its own.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub close: &'static str,
    pub deafen: &'static str,
    pub apply: &'static str,
    pub stop: &'static str,
    pub start: &'static str,
    pub forget: &'static str,
    pub end: &'static str,
}

const MARIADB: Words = Words {
    close: "set global read_only = 1",
    deafen: "stop slave io_thread",
    apply: "start slave sql_thread",
    stop: "stop slave",
    start: "start slave",
    forget: "reset slave all",
    end: "kill hard connection",
};

const MYSQL: Words = Words {
    // Also for administrators, whom `read_only` alone does not stop.
    close: "set global super_read_only = 1",
    deafen: "stop replica io_thread",
    apply: "start replica sql_thread",
    stop: "stop replica",
    start: "start replica",
    forget: "reset replica all",
    end: "kill connection",
};

/// One session; it ends when this is dropped.
pub(super) struct Session {
    conn: Conn,
    place: String,
    pub dialect: Dialect,
    pub words: Words,
}

impl Session {
    /// Connects and logs in.
    pub async fn open(attempt: &Attempt, order: &Order<'_>) -> Result<Self, ActionFault> {
        let place = order.place();
        attempt.begin("connecting to the database")?;
        let addresses = order.addresses().await?;
        let opened = open(&order.database.address, &addresses, order.login, order.trust);
        let unreached = |why| {
            let text = format!("cannot reach `{place}`{why}");
            Err(fault(ActionFaultKind::Unknown, text))
        };
        // The client tells nothing before it has logged in.
        let conn = tokio::select! {
            opened = timeout(OPENED, opened) => match opened {
                Ok(opened) => opened.map_err(|error| told(&place, "log-in", &error))?,
                Err(_) => return unreached(format!(" within {OPENED:?}")),
            },
            () = order.silence() => return unreached(": timed out".to_owned()),
        };
        let (dialect, words) = (Dialect::MariaDb, MARIADB);
        let mut session = Self { conn, place, dialect, words };
        let version =
            session.ask("log-in", "select @@version as version").await?.unwrap_or_default();
        session.dialect = match Dialect::of(version.text("version")) {
            Ok(dialect) => dialect,
            Err(why) => return Err(session.refused(why)),
        };
        if session.dialect != Dialect::MariaDb {
            session.words = MYSQL;
        }
        let sql = format!("set session lock_wait_timeout = {LOCK_SECONDS}");
        session.run("log-in", &sql).await?;
        Ok(session)
    }

    pub async fn run(&mut self, what: &str, sql: &str) -> Result<(), ActionFault> {
        let done = self.conn.query_drop(sql).await;
        done.map_err(|error| told(&self.place, what, &error))
    }

    pub async fn ask(&mut self, what: &str, sql: &str) -> Result<Option<Facts>, ActionFault> {
        ask(&mut self.conn, sql).await.map_err(|error| told(&self.place, what, &error))
    }

    /// The first column of every row.
    pub async fn list(&mut self, what: &str, sql: &str) -> Result<Vec<String>, ActionFault> {
        let rows = self.conn.query(sql).await;
        rows.map_err(|error| told(&self.place, what, &error))
    }

    /// Whom it follows, if it follows anybody.
    pub async fn replica(&mut self) -> Result<Option<Facts>, ActionFault> {
        let seen = self.ask("looking", self.dialect.replica()).await?;
        Ok(seen.map(in_mariadbs_words))
    }

    pub async fn state(&mut self) -> Result<Facts, ActionFault> {
        let state = match self.dialect {
            Dialect::MariaDb => STATE,
            Dialect::MySql { .. } => STATE_OF_MYSQL,
        };
        Ok(self.ask("looking", &format!("{state}, {MARKED}")).await?.unwrap_or_default())
    }

    /// The transactions it holds and another server, of this state, never had.
    async fn beyond(&mut self, theirs: &str) -> Result<Vec<String>, ActionFault> {
        match self.dialect {
            Dialect::MariaDb => Ok(errant(self.state().await?.text("state"), theirs)),
            Dialect::MySql { .. } => {
                self.subtract("@@global.gtid_executed", &quoted(theirs), "errant").await
            }
        }
    }

    /// What is in one of two sets of a MySQL and not in the other, asked for by a name of its own.
    async fn subtract(
        &mut self,
        set: &str,
        other: &str,
        name: &str,
    ) -> Result<Vec<String>, ActionFault> {
        let sql = format!("select gtid_subtract({set}, {other}) as {name}");
        let left = self.ask("comparing transactions", &sql).await?.unwrap_or_default();
        let left = left.text(name).split(',').map(str::trim);
        Ok(left.filter(|gtid| !gtid.is_empty()).map(str::to_owned).collect())
    }

    /// Fails if a primary's logs alone would never make it what that primary, of this state, is.
    pub async fn can_arrive(&mut self, primary: &Facts, place: &str) -> Result<(), ActionFault> {
        let own = self.state().await?;
        let empty = ["state", "applied", "current"].iter().all(|it| own.text(it).is_empty());
        if empty && !primary.text("state").is_empty() {
            return Err(self.refused(format!("is empty, and `{place}` is not: rebuild it")));
        }
        if self.dialect == Dialect::MariaDb {
            return Ok(());
        }
        let purged = quoted(primary.text("purged"));
        match self.subtract(&purged, "@@global.gtid_executed", "lacking").await?.as_slice() {
            [] => Ok(()),
            lacking => Err(self.refused(format!(
                "lacks transactions whose logs `{place}` has no more ({}): rebuild it",
                lacking.join(", ")
            ))),
        }
    }

    /// Has its commits wait for no replica any more: what it receives would wait for one, too, and never be applied. Asked of who
    /// has no clients left, for they would be told that they have committed. The setting that did it, if they waited.
    pub async fn wait_for_nobody(&mut self) -> Result<Option<&'static str>, ActionFault> {
        let asked = pairs(&mut self.conn, "show global variables like 'rpl_semi_sync_%'").await;
        let found = asked.map_err(|error| told(&self.place, "looking", &error))?;
        let names = ["rpl_semi_sync_master_enabled", "rpl_semi_sync_source_enabled"];
        let waits = names.into_iter().find(|name| found.text(name) == "ON");
        if let Some(name) = waits {
            self.run("waiting for no replica", &format!("set global {name} = 0")).await?;
        }
        Ok(waits)
    }

    /// Fails if it holds transactions that another server, of this state, never had: nothing could merge them.
    pub async fn all_had(&mut self, theirs: &str, place: &str) -> Result<(), ActionFault> {
        match self.beyond(theirs).await?.as_slice() {
            [] => Ok(()),
            errant => Err(self.refused(format!(
                "holds transactions that `{place}` never received ({}): export them (`mysqlbinlog`), then rebuild it",
                errant.join(", ")
            ))),
        }
    }

    /// Lets its administrators write, and nobody else: MySQL keeps even them from it.
    pub async fn unlock(&mut self) -> Result<(), ActionFault> {
        match self.dialect {
            Dialect::MariaDb => Ok(()),
            // `read_only` stays what it is. Whoever shut it may have died half way (`shut_beyond_waits`).
            Dialect::MySql { .. } => {
                let sql = "set global super_read_only = 0, global offline_mode = 0";
                self.run("opening it for ourselves", sql).await
            }
        }
    }

    /// How far its own log goes.
    pub async fn written(&mut self) -> Result<Option<u64>, ActionFault> {
        let own = written(&mut self.conn, self.dialect).await;
        own.map_err(|error| told(&self.place, "reading its position", &error))
    }

    /// The token it holds, if any; fails if it has been given a higher one than ours.
    pub async fn compare(
        &mut self,
        app: &AppId,
        ours: Token,
    ) -> Result<Option<Token>, ActionFault> {
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
    pub async fn raise(&mut self, app: &AppId, token: Token) -> Result<(), ActionFault> {
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

    /// Makes it read-only and ends every client's session. How many.
    pub async fn shut(&mut self, attempt: &mut Attempt) -> Result<usize, ActionFault> {
        attempt.commit("making the database read-only")?;
        // It waits for whoever writes just now, or waits for a replica; ending the sessions ends the wait.
        let close = self.words.close;
        let first = self.run("making it read-only", close).await;
        attempt.commit("ending the database's sessions")?;
        let mut ended = self.end_sessions().await?;
        if first.is_err()
            && let Err(again) = self.run("making it read-only", close).await
        {
            match self.dialect {
                Dialect::MariaDb => return Err(again),
                Dialect::MySql { .. } => ended += self.shut_beyond_waits(attempt).await?,
            }
        }
        Ok(ended)
    }

    /// Makes a MySQL read-only whose commits wait for a replica that does not come: they outlast `KILL` (seen at 8.4),
    /// and it is not read-only before they end. So it waits for nobody for that long, when no client is there any more who
    /// would be told of a commit, and lets nobody in meanwhile. How many sessions were ended.
    async fn shut_beyond_waits(&mut self, attempt: &mut Attempt) -> Result<usize, ActionFault> {
        let what = "ending commits that wait for a replica";
        attempt.commit(what)?;
        self.run(what, "set global offline_mode = 1").await?;
        let ended = self.end_sessions().await?;
        let waits = self.wait_for_nobody().await?;
        let closed = self.run("making it read-only", self.words.close).await;
        if let Some(name) = waits {
            self.run(what, &format!("set global {name} = 1")).await?;
        }
        self.run(what, "set global offline_mode = 0").await?;
        closed.map(|()| ended)
    }

    /// Ends every client's session; replication is none. How many.
    async fn end_sessions(&mut self) -> Result<usize, ActionFault> {
        let found: Result<Vec<u64>, Error> = self.conn.query(SESSIONS).await;
        let found = found.map_err(|error| told(&self.place, "listing sessions", &error))?;
        let mut ended = 0;
        for id in found {
            // Gone by itself meanwhile, or one that we may not end.
            ended +=
                usize::from(self.conn.query_drop(format!("{} {id}", self.words.end)).await.is_ok());
        }
        Ok(ended)
    }

    /// Is the replica what the decision saw: of that primary, with at least what it had then?
    pub fn fit(&self, seen: &Facts, candidate: &Candidate) -> Result<(), ActionFault> {
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
    pub async fn all_received(&mut self) -> Result<(), ActionFault> {
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

    /// Starts its applier where somebody stopped it: whatever it received is to be applied now. One that stopped by itself says
    /// why, and is left alone ([`Self::apply`]).
    pub async fn start_applying(
        &mut self,
        attempt: &mut Attempt,
        seen: &Facts,
    ) -> Result<(), ActionFault> {
        let failed = seen.number::<u32>("Last_SQL_Errno").is_some_and(|error| error != 0);
        if failed || seen.text("Slave_SQL_Running") != "No" {
            return Ok(());
        }
        let what = "starting its applier";
        attempt.commit(what)?;
        if self.dialect == Dialect::MariaDb && seen.text("Slave_IO_Running") == "No" {
            self.keep_relay_log(what, seen).await?;
        }
        self.run(what, self.words.apply).await
    }

    /// A MariaDB that goes by GTID and runs neither of its threads throws away all that it received as soon as one of them is
    /// started (seen at 10.11), unless it is told to go on by place.
    async fn keep_relay_log(&mut self, what: &str, seen: &Facts) -> Result<(), ActionFault> {
        let (file, place) = (quoted(seen.text("Relay_Log_File")), seen.number("Relay_Log_Pos"));
        let place: u64 = place.ok_or_else(|| self.refused("does not say what it applies next"))?;
        let sql = format!(
            "change master to master_use_gtid = no, relay_log_file = {file}, relay_log_pos = {place}"
        );
        self.run(what, &sql).await
    }

    /// Waits until it has received this much; the action's limit ends it.
    pub async fn receive(&mut self, attempt: &Attempt, position: u64) -> Result<(), ActionFault> {
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
    pub async fn apply(&mut self, attempt: &Attempt) -> Result<(), ActionFault> {
        attempt.enter("waiting for the replica to apply what it received");
        let seen = self.replica().await?.unwrap_or_default();
        let wait = match self.dialect {
            Dialect::MariaDb => {
                format!("select master_gtid_wait({}, 0.05)", quoted(seen.text("Gtid_IO_Pos")))
            }
            Dialect::MySql { .. } => format!(
                "select wait_for_executed_gtid_set({}, 0.05)",
                quoted(seen.text("Retrieved_Gtid_Set"))
            ),
        };
        loop {
            let seen = self.replica().await?.unwrap_or_default();
            if seen.number::<u32>("Last_SQL_Errno").is_some_and(|error| error != 0) {
                let why = seen.text("Last_SQL_Error").to_owned();
                return Err(self.refused(format!("cannot apply what it received: {why}")));
            }
            let waited =
                self.ask("waiting", &format!("{wait} as waited")).await?.unwrap_or_default();
            if waited.text("waited") == "0" {
                return Ok(());
            }
        }
    }

    pub fn refused(&self, what: impl Display) -> ActionFault {
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

/// A text within a statement.
pub(super) fn quoted(text: &str) -> String {
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
