//! A MariaDB server → what it says of itself, in one connection, one log-in and two or three questions.
//!
//! A position is a place in the *primary's* binary log: file and offset, which both sides name alike, so that what a
//! replica lacks is bytes. The history (`system`) is the primary's `server_id`: a replica that follows another server is
//! in another history, whatever its positions look like. Whether histories forked is asked by GTID when somebody acts.
//!
//! A replica does not say when it last heard its primary. Seen from here its link is as good as its receiver's thread
//! says, and a primary that is idle is not vouched for by it.
//!
//! The log-in needs `BINLOG MONITOR, SLAVE MONITOR`, and `REPLICATION MASTER ADMIN` where commits wait for a replica. It
//! is not encrypted yet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use consensus::model::{Database, DatabaseSight, FaultKind};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, IoError, OptsBuilder, Row, Value};

use crate::fault::{Trouble, When, of_io};
use crate::phases::{Stage, Stopwatch};
use crate::{Login, Means};

/// The longest answer that is read.
const PACKET: usize = 1 << 20;
/// A commit that waits for a replica goes on without after this: what is longer is as good as for ever.
const FOR_EVER_MS: u64 = 3_600_000;
/// Where `SLAVE MONITOR`, `READ_ONLY ADMIN` and their kin came from.
const OLDEST: (u32, u32) = (10, 5);

const SERVER: &str = "select @@version as version, @@server_id as server_id, @@global.read_only as read_only, \
     @@global.gtid_slave_pos as applied, @@global.gtid_current_pos as current, \
     @@global.rpl_semi_sync_master_enabled as waits, @@global.rpl_semi_sync_master_timeout as patience, \
     @@global.rpl_semi_sync_master_wait_point as wait_point";
const REPLICA: &str = "show slave status";
const PRIMARY: &str = "show master status";
const WAITING: &str = "show global status like 'Rpl_semi_sync_master_status'";
const REPLICAS: &str = "show slave hosts";

/// One row, as text; what is missing or null reads as absent.
#[derive(Clone, Debug, Default)]
pub struct Facts(BTreeMap<String, String>);

impl Facts {
    fn of(row: Row) -> Self {
        let names: Vec<String> =
            row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
        let texts = row.unwrap().into_iter().map(|value| match value {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Value::Int(number) => Some(number.to_string()),
            Value::UInt(number) => Some(number.to_string()),
            Value::NULL
            | Value::Float(_)
            | Value::Double(_)
            | Value::Date(..)
            | Value::Time(..) => None,
        });
        Self(names.into_iter().zip(texts).filter_map(|(name, text)| Some((name, text?))).collect())
    }

    /// A column's text.
    pub fn text(&self, column: &str) -> &str {
        self.0.get(column).map_or("", String::as_str)
    }

    /// A column's number.
    pub fn number<N: std::str::FromStr>(&self, column: &str) -> Option<N> {
        self.text(column).parse().ok()
    }

    /// The place in a binary log that two columns name.
    pub fn position(&self, file: &str, offset: &str) -> Option<u64> {
        position(self.text(file), self.number(offset)?)
    }

    /// Of a replica: how much of its primary's log it has received.
    pub fn received(&self) -> Option<u64> {
        self.position("Master_Log_File", "Read_Master_Log_Pos")
    }

    /// Of a replica: how much of its primary's log it has applied.
    pub fn applied(&self) -> Option<u64> {
        self.position("Relay_Master_Log_File", "Exec_Master_Log_Pos")
    }
}

/// A place in a binary log as one number: files are counted, and hold less than 4 GiB.
fn position(file: &str, offset: u64) -> Option<u64> {
    let (_, number) = file.rsplit_once('.')?;
    let number: u32 = number.parse().ok()?;
    Some(u64::from(number) << 32 | offset.min(u64::from(u32::MAX)))
}

/// Connects and logs in.
///
/// # Errors
/// What the server, or the way to it, said.
pub async fn open(
    addresses: &[SocketAddr],
    user: &str,
    password: Option<&str>,
) -> Result<Conn, Error> {
    let port = addresses.first().map_or(3306, SocketAddr::port);
    let name = addresses.first().map(|it| it.ip().to_string()).unwrap_or_default();
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    // What is given here is not asked for: each question is a round trip.
    let options = OptsBuilder::default()
        .ip_or_hostname(name)
        .resolved_ips(Some(ips))
        .tcp_port(port)
        .user(Some(user))
        .pass(password)
        .prefer_socket(false)
        .max_allowed_packet(Some(PACKET))
        .wait_timeout(Some(28_800));
    Conn::new(options).await
}

/// Asks for one row.
///
/// # Errors
/// What the server, or the way to it, said.
pub async fn ask(conn: &mut Conn, sql: &str) -> Result<Option<Facts>, Error> {
    Ok(conn.query_first::<Row, _>(sql).await?.map(Facts::of))
}

/// Logs in and asks.
pub(crate) async fn look(
    database: &Database,
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<DatabaseSight, Trouble> {
    let Database { address, port, .. } = database;
    let addresses = means.names.find(address, *port, means.source, watch).await?;
    watch.set_peer(format!("`{address}` port {port}"));
    watch.enter(Stage::Connect);
    let mut conn = open(&addresses, &login.user, login.password.as_deref())
        .await
        .map_err(|error| trouble(&error, When::AtOnce, &login.user))?;
    watch.enter(Stage::Process);
    let sight = asked(&mut conn, &login.user).await;
    watch.stop();
    // Courtesy: a server counts those that leave without a word.
    let _ = conn.disconnect().await;
    sight
}

async fn asked(conn: &mut Conn, user: &str) -> Result<DatabaseSight, Trouble> {
    let told = |error: Error| trouble(&error, When::Later, user);
    // Variables of other servers are not there: their version says more than that error.
    let server = match ask(conn, SERVER).await {
        Err(Error::Server(said)) if said.code == 1193 => {
            return Err(unready("is no MariaDB, and MySQL's dialect is not spoken yet".to_owned()));
        }
        server => server.map_err(told)?.unwrap_or_default(),
    };
    fit(server.text("version"))?;
    let read_only = server.text("read_only") != "0";
    if let Some(replica) = ask(conn, REPLICA).await.map_err(told)? {
        return replicates(&server, &replica, read_only);
    }
    let own = ask(conn, PRIMARY).await.map_err(told)?.unwrap_or_default();
    let position = own.position("File", "Position").ok_or_else(|| {
        unready("keeps no binary log (`log_bin`): nothing can follow it".to_owned())
    })?;
    let waits = server.text("waits") == "1"
        && server.number("patience").is_some_and(|it: u64| FOR_EVER_MS <= it)
        && server.text("wait_point") == "AFTER_SYNC";
    let synchronous = match waits {
        true => waited_for(conn).await.map_err(told)?,
        false => Vec::new(),
    };
    Ok(DatabaseSight {
        replica: false,
        read_only,
        system: server.number("server_id").unwrap_or_default(),
        timeline: 1,
        position,
        replayed: position,
        streaming: false,
        heard: None,
        lag: None,
        upstream_name: None,
        synchronous,
    })
}

/// Whom every commit waits for. A commit waits for *one* of its replicas: only where there is one, that is known to be it.
async fn waited_for(conn: &mut Conn) -> Result<Vec<String>, Error> {
    let status = ask(conn, WAITING).await?.unwrap_or_default();
    if status.text("Value") != "ON" {
        return Ok(Vec::new());
    }
    let replicas: Vec<Row> = conn.query(REPLICAS).await?;
    let replicas: Vec<Facts> = replicas.into_iter().map(Facts::of).collect();
    Ok(match replicas.as_slice() {
        [only] => vec![only.text("Server_id").to_owned()],
        _ => Vec::new(),
    })
}

fn replicates(server: &Facts, it: &Facts, read_only: bool) -> Result<DatabaseSight, Trouble> {
    for (number, text, what) in [
        ("Last_SQL_Errno", "Last_SQL_Error", "cannot apply what it received"),
        ("Last_IO_Errno", "Last_IO_Error", "cannot go on from its primary"),
    ] {
        let number = it.number::<u32>(number).unwrap_or_default();
        // Of the receiver's, 1236 alone is for ever: the primary does not have what the replica asks for.
        if (text == "Last_SQL_Error" && number != 0) || number == 1236 {
            return Err(unready(format!("{what}: {}", it.text(text))));
        }
    }
    if it.text("Using_Gtid") == "No" {
        return Err(unready("is a replica without `MASTER_USE_GTID`: it is not driven".to_owned()));
    }
    let own = own(server);
    if !own.is_empty() {
        let own = own.join(", ");
        return Err(unready(format!("holds transactions of its own that no primary sent: {own}")));
    }
    let replayed = it.applied().unwrap_or_default();
    let lag = it.number("Seconds_Behind_Master").map(std::time::Duration::from_secs);
    Ok(DatabaseSight {
        replica: true,
        read_only,
        system: it.number("Master_Server_Id").unwrap_or_default(),
        timeline: 1,
        position: it.received().unwrap_or_default().max(replayed),
        replayed,
        streaming: it.text("Slave_IO_Running") == "Yes",
        heard: None,
        lag,
        upstream_name: Some(server.text("server_id").to_owned()),
        synchronous: Vec::new(),
    })
}

/// What a replica wrote by itself after all that it applied, of a row with `current`, `applied` and `server_id`: nobody else
/// has it. What it wrote as a primary, before it became one, counts as applied from then on.
pub fn own(server: &Facts) -> Vec<&str> {
    let (applied, id) = (server.text("applied"), server.text("server_id"));
    // `domain-server-sequence`. Others' are of no interest: more may be applied between the reading of one and the other.
    let own = |gtid: &&str| gtid.split('-').nth(1).is_some_and(|writer| writer == id);
    let gtids = server.text("current").split(',').map(str::trim).filter(own);
    gtids.filter(|gtid| !applied.split(',').any(|it| it.trim() == *gtid)).collect()
}

fn unready(text: String) -> Trouble {
    Trouble::theirs(FaultKind::Unready, text)
}

/// Is it a server that may be watched and driven?
fn fit(version: &str) -> Result<(), Trouble> {
    let mut numbers = version.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    match version.contains("MariaDB") && OLDEST <= found {
        true => Ok(()),
        false => {
            let (major, minor) = OLDEST;
            let text =
                format!("is of version `{version}`, expected MariaDB {major}.{minor} or newer");
            Err(unready(text))
        }
    }
}

fn trouble(error: &Error, when: When, user: &str) -> Trouble {
    match error {
        Error::Server(said) => match kind_of(said.code) {
            FaultKind::Credential => {
                let text = format!("refuses `{user}`: {}", said.message);
                Trouble::theirs(FaultKind::Credential, text)
            }
            kind => Trouble::theirs(kind, format!("says: {}", said.message)),
        },
        Error::Io(IoError::Io(error)) => of_io(error, when, "talking to the database"),
        Error::Driver(mysql_async::DriverError::ConnectionClosed) => {
            Trouble::theirs(FaultKind::Reset, "the database closed the connection")
        }
        other => Trouble::theirs(FaultKind::Protocol, format!("not a MariaDB answer: {other}")),
    }
}

/// By the error's number (MariaDB documentation, error codes).
fn kind_of(code: u16) -> FaultKind {
    match code {
        // Access denied, by user, database, command, privilege or host.
        1044 | 1045 | 1130 | 1142 | 1227 | 1698 | 4151 => FaultKind::Credential,
        // Too many connections, of all or of this user; blocked for too many broken ones; shutting down; killed; no memory.
        1040 | 1203 | 1226 | 1129 | 1053 | 1927 | 1317 | 1037 | 1041 => FaultKind::Unready,
        _ => FaultKind::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Facts {
        Facts(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    const STATUS: [(&str, &str); 11] = [
        ("Master_Log_File", "bin.000002"),
        ("Read_Master_Log_Pos", "700"),
        ("Relay_Master_Log_File", "bin.000002"),
        ("Exec_Master_Log_Pos", "600"),
        ("Slave_IO_Running", "Yes"),
        ("Master_Server_Id", "1"),
        ("Using_Gtid", "Slave_Pos"),
        ("Seconds_Behind_Master", "3"),
        ("Last_IO_Errno", "0"),
        ("Last_SQL_Errno", "0"),
        ("Last_SQL_Error", "duplicate"),
    ];

    fn with(name: &str, text: &str) -> Result<DatabaseSight, Trouble> {
        let mut status = facts(&STATUS);
        status.0.insert(name.to_owned(), text.to_owned());
        replicates(&facts(&[("server_id", "2")]), &status, true)
    }

    #[test]
    fn a_replica_says_what_it_received_and_what_it_applied() {
        let sight = with("Slave_IO_Running", "Yes").expect("it is well");
        assert_eq!((sight.position, sight.replayed), (2 << 32 | 700, 2 << 32 | 600));
        assert_eq!((sight.system, sight.upstream_name.as_deref()), (1, Some("2")));
        assert!(sight.streaming && sight.read_only && sight.replica);
        assert!(!with("Slave_IO_Running", "Connecting").expect("it is well").streaming);
        for (name, text) in
            [("Last_SQL_Errno", "1062"), ("Last_IO_Errno", "1236"), ("Using_Gtid", "No")]
        {
            assert!(with(name, text).is_err(), "{name}");
        }
        assert!(with("Last_IO_Errno", "2003").is_ok(), "a primary that is gone is no fault of it");
    }

    #[test]
    fn what_a_replica_wrote_by_itself_is_named() {
        for (current, applied, expected) in [
            ("0-1-5", "0-1-5", vec![]),
            ("0-2-6", "0-1-5", vec!["0-2-6"]),
            ("0-1-6", "0-1-5", vec![]),
            ("0-1-5,1-2-1", "0-1-5", vec!["1-2-1"]),
            ("0-2-5", "0-2-5", vec![]),
            ("", "", vec![]),
        ] {
            let server = facts(&[("current", current), ("applied", applied), ("server_id", "2")]);
            assert_eq!(own(&server), expected, "{current} after {applied}");
        }
    }

    #[test]
    fn positions_grow_over_files() {
        assert_eq!(position("bin.000001", 7), Some(1 << 32 | 7));
        assert!(position("bin.000009", u64::from(u32::MAX)) < position("bin.000010", 4));
        assert_eq!(position("", 7), None);
        assert_eq!(position("bin", 7), None);
    }

    #[test]
    fn versions_and_codes_are_told_apart() {
        for (version, fits) in [
            ("10.11.19-MariaDB-0+deb12u1", true),
            ("11.4.2-MariaDB", true),
            ("10.4.30-MariaDB", false),
            ("8.0.36", false),
            ("", false),
        ] {
            assert_eq!(fit(version).is_ok(), fits, "{version}");
        }
        for (code, kind) in [
            (1045, FaultKind::Credential),
            (1227, FaultKind::Credential),
            (1040, FaultKind::Unready),
            (1053, FaultKind::Unready),
            (1064, FaultKind::Protocol),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }
}
