//! A MariaDB or MySQL server → what it says of itself, in one connection, one log-in and three or four questions.
//!
//! A position is a place in the *primary's* binary log: file and offset, which both sides name alike, so that what a
//! replica lacks is bytes. The history (`system`) is the primary's `server_id`: a replica that follows another server is
//! in another history, whatever its positions look like. Whether histories forked is asked by GTID when somebody acts.
//!
//! A replica does not say when it last heard its primary. Seen from here its link is as good as its receiver's thread
//! says, and a primary that is idle is not vouched for by it. How far behind in time it may be is told from what it was seen to
//! receive ([`Silences`]).
//!
//! The log-in needs `BINLOG MONITOR, SLAVE MONITOR`, and `REPLICATION MASTER ADMIN` where commits wait for a replica. It
//! is encrypted where the credential asks for it ([`Tls`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use consensus::model::{Database, DatabaseSight, FaultKind};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, IoError, OptsBuilder, Row, SslOpts, Value};
use tokio::time::Instant;

use crate::database::secure;
use crate::fault::{Trouble, When, of_io};
use crate::names::bare;
use crate::phases::{Stage, Stopwatch};
use crate::tls::of_tls;
use crate::{Login, Means, Tls, Trust};

mod dialect;
mod errant;
mod heartbeat;
mod silence;

pub(crate) use heartbeat::write;

pub use dialect::{Dialect, in_mariadbs_words};
pub use errant::Errants;
pub use silence::Silences;

/// The longest answer that is read.
const PACKET: usize = 1 << 20;
/// A commit that waits for a replica goes on without after this: what is longer is as good as for ever.
const FOR_EVER_MS: u64 = 3_600_000;
const SERVER: &str = "select @@version as version, @@server_id as server_id, @@global.read_only as read_only, \
     @@global.gtid_slave_pos as applied, @@global.gtid_current_pos as current, \
     @@global.rpl_semi_sync_master_enabled as waits, @@global.rpl_semi_sync_master_timeout as patience, \
     @@global.rpl_semi_sync_master_wait_point as wait_point";
/// The same of MySQL, with what is there only where a plugin is.
const MYSQL: &str = "select @@version as version, @@server_id as server_id, @@global.super_read_only as read_only, \
     @@global.gtid_mode as gtid_mode, @@global.log_bin as log_bin";
const SEMI_SYNC: &str = "show global variables like 'rpl_semi_sync_%'";
const WAITING: &str = "show global status like 'Rpl_semi_sync_%'";

/// What MariaDB heard of a primary that had nothing to send.
const HEARTBEATS: &str = "show global status like 'Slave_received_heartbeats'";

/// Who agrees with others on where to write (Galera, Group Replication) is not promoted by anybody else.
const AGREES: &str =
    "show global variables where variable_name in ('wsrep_on', 'group_replication_group_name')";

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
    host: &str,
    addresses: &[SocketAddr],
    login: &Login,
    trust: &Trust,
) -> Result<Conn, Error> {
    let port = addresses.first().map_or(3306, SocketAddr::port);
    let tls = match &login.tls {
        Tls::AsOffered => None,
        // Whose certificate it is, is not asked; that the server holds its key, is.
        Tls::Encrypted => Some(SslOpts::default().with_danger_accept_invalid_certs(true)),
        Tls::Verified(authority) => {
            let roots = match authority {
                Some(pem) => vec![pem.as_bytes().to_vec().into()],
                None => trust.certificates().iter().map(|it| it.to_vec().into()).collect(),
            };
            Some(SslOpts::default().with_disable_built_in_roots(true).with_root_certs(roots))
        }
    };
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    // What is given here is not asked for: each question is a round trip.
    let options = OptsBuilder::default()
        .ip_or_hostname(bare(host))
        .ssl_opts(tls)
        .resolved_ips(Some(ips))
        .tcp_port(port)
        .user(Some(&login.user))
        .pass(login.password.as_deref())
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

/// How far a server's own log goes, if it keeps one. Of MariaDB, as far as is committed: what waits for a replica before it
/// is, nobody was told of.
///
/// # Errors
/// What the server, or the way to it, said.
pub async fn written(conn: &mut Conn, dialect: Dialect) -> Result<Option<u64>, Error> {
    match dialect {
        Dialect::MariaDb => {
            let own = pairs(conn, dialect.written()).await?;
            Ok(own.position("binlog_snapshot_file", "binlog_snapshot_position"))
        }
        Dialect::MySql { .. } => {
            let own = ask(conn, dialect.written()).await?.unwrap_or_default();
            Ok(own.position("File", "Position"))
        }
    }
}

/// Finds the server and logs in.
async fn reach(
    database: &Database,
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<Conn, Trouble> {
    let Database { address, port, .. } = database;
    let addresses = means.names.find(address, *port, means.source, watch).await?;
    watch.set_peer(format!("`{address}` port {port}"));
    watch.enter(Stage::Connect);
    let conn = open(address, &addresses, login, &means.trust).await;
    let conn = conn.map_err(|error| trouble(&error, When::AtOnce, login))?;
    watch.enter(Stage::Process);
    Ok(conn)
}

/// Logs in and asks.
pub(crate) async fn look(
    database: &Database,
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<DatabaseSight, Trouble> {
    let mut conn = reach(database, login, means, watch).await?;
    let sight = asked(&mut conn, (database, login, means)).await;
    watch.stop();
    // Courtesy: a server counts those that leave without a word.
    let _ = conn.disconnect().await;
    sight
}

async fn asked(
    conn: &mut Conn,
    place: (&Database, &Login, &Means),
) -> Result<DatabaseSight, Trouble> {
    let (_, login, means) = place;
    let told = |error: Error| trouble(&error, When::Later, login);
    // MariaDB's variables are not there in MySQL: then its own are asked for.
    let server = match ask(conn, SERVER).await {
        Err(Error::Server(said)) if said.code == 1193 => mysql(conn).await,
        server => server.map(Option::unwrap_or_default),
    };
    let server = server.map_err(told)?;
    let dialect = Dialect::of(server.text("version")).map_err(unready)?;
    let agrees = pairs(conn, AGREES).await.map_err(told)?;
    if agrees.text("wsrep_on") == "ON" {
        return Err(unready("is a node of a Galera cluster: it is not driven".to_owned()));
    }
    if !agrees.text("group_replication_group_name").is_empty() {
        let text = "is set up for Group Replication, which chooses its primary: it is not driven";
        return Err(unready(text.to_owned()));
    }
    let read_only = server.text("read_only") != "0";
    if let Some(replica) = ask(conn, dialect.replica()).await.map_err(told)? {
        let replica = in_mariadbs_words(replica);
        let mut sight = replicates(&server, &replica, read_only)?;
        let beats = match dialect {
            Dialect::MariaDb => pairs(conn, HEARTBEATS).await.map_err(told)?,
            Dialect::MySql { .. } => Facts::default(),
        };
        let beats = beats.number("slave_received_heartbeats").unwrap_or_default();
        let silence = means.silences.of(place.0, (sight.position, beats), Instant::now());
        // What is applied of all that came, and what has not come since.
        sight.lag = sight.lag.zip(silence).map(|(applied, came)| applied.saturating_add(came));
        return match dialect {
            Dialect::MariaDb => Ok(sight),
            Dialect::MySql { .. } => {
                match means.errants.of(conn, place, &replica).await.map_err(told)? {
                    none if none.is_empty() => Ok(sight),
                    errant => Err(wrote(&errant)),
                }
            }
        };
    }
    let position = written(conn, dialect).await.map_err(told)?.ok_or_else(|| {
        unready("keeps no binary log (`log_bin`): nothing can follow it".to_owned())
    })?;
    let waits = server.text("waits") == "1"
        && server.number("patience").is_some_and(|it: u64| FOR_EVER_MS <= it)
        && server.text("wait_point") == "AFTER_SYNC";
    let synchronous = match waits {
        true => waited_for(conn, dialect).await.map_err(told)?,
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
        receivers: Vec::new(),
        slots_at_risk: Vec::new(),
    })
}

/// What MySQL says of itself, in the words of [`SERVER`].
async fn mysql(conn: &mut Conn) -> Result<Facts, Error> {
    let mut server = ask(conn, MYSQL).await?.unwrap_or_default();
    let semi_sync = pairs(conn, SEMI_SYNC).await?;
    for (ours, theirs) in
        [("waits", "enabled"), ("patience", "timeout"), ("wait_point", "wait_point")]
    {
        let of = |word: &str| semi_sync.text(&format!("rpl_semi_sync_{word}_{theirs}")).to_owned();
        let value = ["source", "master"].map(of).into_iter().find(|it| !it.is_empty());
        let value = value.map(|value| if value == "ON" { "1".to_owned() } else { value });
        server.0.extend(value.map(|value| (ours.to_owned(), value)));
    }
    Ok(server)
}

/// Rows of a name and a value, by their names in small letters.
///
/// # Errors
/// What the server, or the way to it, said.
pub async fn pairs(conn: &mut Conn, sql: &str) -> Result<Facts, Error> {
    let rows: Vec<Row> = conn.query(sql).await?;
    let facts = rows.into_iter().map(Facts::of);
    let pair =
        |it: Facts| (it.text("Variable_name").to_ascii_lowercase(), it.text("Value").to_owned());
    Ok(Facts(facts.map(pair).collect()))
}

/// Whom every commit waits for. A commit waits for *one* of the replicas that confirm: only where one receives at all, and one
/// confirms, that is known to be it. Counted before and after they are listed, for a replica that confirms may leave between.
async fn waited_for(conn: &mut Conn, dialect: Dialect) -> Result<Vec<String>, Error> {
    if !one_confirms(conn).await? {
        return Ok(Vec::new());
    }
    let replicas: Vec<Row> = conn.query(dialect.replicas()).await?;
    let replicas = replicas.into_iter().map(Facts::of).map(in_mariadbs_words);
    let replicas: Vec<Facts> = replicas.collect();
    Ok(match replicas.as_slice() {
        [only] if one_confirms(conn).await? => vec![only.text("Server_id").to_owned()],
        _ => Vec::new(),
    })
}

/// Do commits wait, and is there one replica that confirms them?
async fn one_confirms(conn: &mut Conn) -> Result<bool, Error> {
    let states = pairs(conn, WAITING).await?;
    let of = |what: &str| {
        let names = ["master", "source"].map(|word| format!("rpl_semi_sync_{word}_{what}"));
        names.map(|name| states.text(&name).to_owned()).into_iter().find(|it| !it.is_empty())
    };
    Ok(of("status").as_deref() == Some("ON") && of("clients").as_deref() == Some("1"))
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
    // The one word is MariaDB's, the other MySQL's.
    if it.text("Using_Gtid") == "No" || it.text("Auto_Position") == "0" {
        let text =
            "is a replica without `MASTER_USE_GTID` or `SOURCE_AUTO_POSITION`: it is not driven";
        return Err(unready(text.to_owned()));
    }
    if let Some(seconds) = it.number::<u32>("SQL_Delay").filter(|it| *it != 0) {
        let text = format!("applies everything {seconds} s late on purpose: it is no standby");
        return Err(unready(text));
    }
    let own = own(server);
    if !own.is_empty() {
        return Err(wrote(&own.join(", ")));
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
        receivers: Vec::new(),
        slots_at_risk: Vec::new(),
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

/// A replica wrote this by itself.
fn wrote(own: &str) -> Trouble {
    unready(format!("holds transactions of its own that no primary sent: {own}"))
}

fn unready(text: String) -> Trouble {
    Trouble::theirs(FaultKind::Unready, text)
}

fn trouble(error: &Error, when: When, login: &Login) -> Trouble {
    let user = &login.user;
    match error {
        Error::Server(said) => match kind_of(said.code) {
            FaultKind::Credential => {
                // A user that has to encrypt is refused in the same words as one with a wrong password.
                let plainly = match login.tls {
                    Tls::AsOffered => " (without TLS: the credential asks for none)",
                    Tls::Encrypted | Tls::Verified(_) => "",
                };
                let text = format!("refuses `{user}`: {}{plainly}", said.message);
                Trouble::theirs(FaultKind::Credential, text)
            }
            kind => Trouble::theirs(kind, format!("says: {}", said.message)),
        },
        Error::Driver(DriverError::NoClientSslFlagFromServer) => secure::offers_none(),
        Error::Io(IoError::Io(error))
            if error.get_ref().is_some_and(|it| it.is::<rustls::Error>()) =>
        {
            secure::answered(of_tls(error))
        }
        Error::Io(IoError::Tls(error)) => {
            Trouble::theirs(FaultKind::Credential, format!("the TLS handshake fails: {error}"))
        }
        Error::Io(IoError::Io(error)) => of_io(error, when, "talking to the database"),
        Error::Driver(DriverError::ConnectionClosed) => {
            Trouble::theirs(FaultKind::Reset, "the database closed the connection")
        }
        other => Trouble::theirs(
            FaultKind::Protocol,
            format!("not an answer of MariaDB or MySQL: {other}"),
        ),
    }
}

/// By the error's number (MariaDB documentation, error codes).
fn kind_of(code: u16) -> FaultKind {
    match code {
        // Access denied, by user, database, command, column, privilege or host.
        1044 | 1045 | 1130 | 1142 | 1143 | 1227 | 1698 | 4151 | 3159 | 1835 => {
            FaultKind::Credential
        }
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
        for (name, text) in [
            ("Last_SQL_Errno", "1062"),
            ("Last_IO_Errno", "1236"),
            ("Using_Gtid", "No"),
            ("Auto_Position", "0"),
        ] {
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
    fn codes_are_told_apart() {
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
