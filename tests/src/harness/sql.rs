//! What a MariaDB and a MySQL on a host have in common: where they listen, who logs in, and what they answer.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, Row};

use super::fabric::address;
use super::lab::Lab;
use super::postgres::{PASSWORD, USER, runtime};
use super::process::Process;
use super::wait::eventually;
use super::writer::Acknowledged;

/// The client that may do nothing but write.
pub const CLIENT: &str = "app";

/// Where MariaDB and MySQL listen.
pub(super) const PORT: u16 = 3306;
/// How long one may take until it answers.
pub(super) const START: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(5);

/// What one is asked as a replica: the same of both, in words of their own.
pub struct Words {
    /// What it says of itself as a replica; nothing, if it is none.
    pub status: &'static str,
    /// The column of whom it follows.
    pub source: &'static str,
    /// The columns of its receiver, its applier and its going by GTID, and what stands there where all is well.
    pub sound: [(&'static str, &'static str); 3],
    /// Everything it holds.
    pub held: &'static str,
    /// Is it closed to everybody but its own replication?
    pub closed: &'static str,
    /// Its commits wait for no replica.
    pub waits_for_nobody: &'static str,
    /// A replica takes half a minute to notice that its primary says nothing more.
    pub patient: [&'static str; 3],
    /// What stands before and after the number of a row of `app.ledger` where its log is exported as text.
    pub row: [&'static str; 2],
}

/// A server on port 3306 of a host. Quorate logs in as [`USER`], the tests as root, clients as [`CLIENT`].
pub trait SqlServer {
    /// How it is asked as a replica.
    const WORDS: Words;

    /// The world that it is in.
    fn lab(&self) -> &Lab;

    /// The host that it is on.
    fn host(&self) -> &str;

    /// Where its data and its socket are.
    fn folder(&self) -> &Path;

    /// Its process.
    fn process(&mut self) -> &mut Process;

    /// Starts it again on the same data, as a server of which nobody knows yet what it is to be.
    fn restart(&mut self);

    /// Starts it again on the same data as a host's service manager would, which [`Self::rejoins`] knows how to stop. Does not
    /// wait for an answer: its door may be shut.
    fn restart_as_service(&mut self);

    /// Its data are gone: what is started next is a server with nothing but its users.
    fn lose_data(&mut self);

    /// The words of its program in `deploy`, as [`Self::restart_as_service`] keeps it alive; rebuilt from another, if at all.
    fn rejoins(&self, rebuilt_from: Option<&Self>) -> Vec<String>;

    /// Where it listens.
    fn address(&self) -> SocketAddr {
        (address(self.host()), PORT).into()
    }

    /// Runs a statement as root at its host, where no door is in the way; the first column of the first row.
    fn at_host(&self, sql: &str) -> Result<String, String> {
        let mut command = self.lab().fabric.command(self.host(), "mariadb");
        command.arg("--no-defaults").arg("--socket").arg(self.folder().join("socket"));
        command.args(["-u", "root", "-BN", "-e", sql]);
        let done = command.output().map_err(|error| error.to_string())?;
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        }
    }

    /// Runs a statement as root; the first column of the first row.
    fn sql(&self, sql: &str) -> String {
        self.ask(sql).unwrap_or_else(|error| panic!("{}: {sql}: {error}", self.host()))
    }

    /// The same, where failing is an answer.
    fn ask(&self, sql: &str) -> Result<String, String> {
        let row = asked(self.address(), sql)?.into_iter().next();
        let text = row.and_then(|row| row.get_opt::<String, _>(0)).and_then(Result::ok);
        Ok(text.unwrap_or_default())
    }

    /// One column of what it says of itself as a replica; empty on a server that is none.
    fn replica(&self, column: &str) -> Result<String, String> {
        let row = asked(self.address(), Self::WORDS.status)?.into_iter().next();
        let text = row.and_then(|row| row.get_opt::<String, _>(column)).and_then(Result::ok);
        Ok(text.unwrap_or_default())
    }

    /// Does it follow another by GTID, connected, and apply what it gets?
    fn follows(&self, other: &Self) -> Result<(), String> {
        let Words { source, sound, .. } = Self::WORDS;
        let other = address(other.host()).to_string();
        let words = [(source, other.as_str())].into_iter().chain(sound);
        let found: Vec<_> = words.map(|(column, word)| (self.replica(column), word)).collect();
        match found.iter().all(|(it, word)| it.as_deref() == Ok(word)) {
            true => Ok(()),
            false => Err(format!("{found:?}, {:?}", self.replica("Last_IO_Error"))),
        }
    }

    /// Has it applied all that another wrote?
    fn has_all_of(&self, other: &Self) -> Result<(), String> {
        match (self.ask(Self::WORDS.held)?, other.ask(Self::WORDS.held)?) {
            (own, other) if own == other => Ok(()),
            (own, other) => Err(format!("{own}, not {other}")),
        }
    }

    /// Waits until it answers.
    fn answers(&self) {
        eventually(START, &format!("a server on {} answers", self.host()), || self.ask("select 1"));
    }

    /// Makes what a primary of these tests has: Quorate with its rights, a client, and a table `app.ledger`.
    fn furnish(&self, rights: &[&str]) {
        self.sql(&format!("create user {USER}@'%' identified by '{PASSWORD}'"));
        for rights in rights {
            self.sql(&format!("grant {rights} to {USER}@'%'"));
        }
        self.sql("create database app");
        self.sql("create table app.ledger (id bigint primary key)");
        self.sql(&format!("create user {CLIENT}@'%' identified by '{CLIENT}'"));
        self.sql(&format!("grant all on app.* to {CLIENT}@'%'"));
    }

    /// The acknowledged rows that it does not hold.
    fn lost(&self, ledger: &[Acknowledged]) -> Vec<i64> {
        let rows =
            asked(self.address(), "select id from app.ledger").expect("the survivor answers");
        let held: BTreeSet<i64> = rows.iter().filter_map(|row| row.get(0)).collect();
        ledger.iter().map(|entry| entry.row).filter(|row| !held.contains(row)).collect()
    }
}

/// A program of `deploy`.
pub(super) fn deploy(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name).display().to_string()
}

/// Starts a server of this folder again whenever it ends, as a service manager does, but while it is stopped.
pub(super) fn kept_alive(folder: &Path, server: &str) -> String {
    let stopped = stopped(folder);
    format!("while :; do if [ -e {stopped} ]; then sleep 0.1; else {server}; sleep 0.1; fi; done")
}

/// The commands that stop and start what [`kept_alive`] keeps alive.
pub(super) fn service(folder: &Path) -> [String; 2] {
    let (stopped, folder) = (stopped(folder), folder.display());
    let pid = format!("{folder}/pid");
    [
        format!("touch {stopped}; kill $(cat {pid}); while [ -e {pid} ]; do sleep 0.05; done"),
        format!(
            "rm -f {stopped}; until mariadb-admin --no-defaults -S {folder}/socket -u root ping; do sleep 0.1; done"
        ),
    ]
}

/// There while the service manager is to leave it alone.
fn stopped(folder: &Path) -> String {
    format!("{}.stopped", folder.display())
}

/// What an empty server is told at its start, in nobody's log, so that Quorate may log in: after what every server is told.
pub(super) fn quorate(rights: &[&str]) -> String {
    let user = format!(
        "create user if not exists {USER}@'%' identified by '{PASSWORD}';\n\
         create database if not exists quorate;\n"
    );
    let grants = rights.iter().map(|rights| format!("grant {rights} to {USER}@'%';\n"));
    user + &grants.collect::<String>()
}

/// A session over TCP.
pub(super) async fn connect(
    server: SocketAddr,
    user: &str,
    password: Option<&str>,
) -> Result<Conn, mysql_async::Error> {
    let options = OptsBuilder::default()
        .ip_or_hostname(server.ip().to_string())
        .tcp_port(server.port())
        .user(Some(user))
        .pass(password)
        .prefer_socket(false);
    Conn::new(options).await
}

/// What a server answers root.
fn asked(server: SocketAddr, sql: &str) -> Result<Vec<Row>, String> {
    runtime().block_on(limited(async {
        let mut conn = connect(server, "root", None).await?;
        let rows = conn.query(sql).await;
        conn.disconnect().await?;
        rows
    }))
}

async fn limited<T>(
    asked: impl Future<Output = Result<T, mysql_async::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {LIMIT:?}")),
    }
}
