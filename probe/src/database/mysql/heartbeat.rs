//! The heartbeat's row in MariaDB and MySQL.

use consensus::model::{Database, FaultKind, TargetId};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

use super::{ask, reach, trouble};
use crate::fault::{Trouble, When};
use crate::phases::Stopwatch;
use crate::{Login, Means};

/// By which a server, or its table, says that it is closed to writes: `--read-only`, in read-only mode.
const CLOSED: [u16; 2] = [1290, 1836];
/// No such database, no such table.
const LACKS: [u16; 2] = [1049, 1146];
/// Those of earlier looks that wait still, for longer than a look has.
const EARLIER: &str = "select count(*) as waiting from information_schema.processlist \
     where id <> connection_id() and info like 'insert into quorate.heartbeat %' and";
const MAKE: [&str; 2] = [
    "create database if not exists quorate",
    "create table if not exists quorate.heartbeat (app varchar(63), name varchar(63), at datetime(6) not null, \
     primary key (app, name)) engine = InnoDB",
];

/// Writes it. The role needs `CREATE, SELECT, INSERT, UPDATE ON quorate.*`.
pub(crate) async fn write(
    (target, database): (&TargetId, &Database),
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<(), Trouble> {
    let mut conn = reach(database, login, means, watch).await?;
    let patience = watch.left().as_secs() + 1;
    let written = beat(&mut conn, target, patience).await;
    let _ = conn.disconnect().await;
    match written {
        Ok(0) => Ok(()),
        Ok(waiting) => Err(Trouble::theirs(
            FaultKind::Unready,
            format!("{waiting} of its earlier heartbeats wait still, for a replica maybe"),
        )),
        Err(Error::Server(said)) if CLOSED.contains(&said.code) => Ok(()),
        Err(error) => Err(trouble(&error, When::Later, login)),
    }
}

/// Writes it, but where earlier ones wait: a commit that waits for a replica is ended by no limit of a statement, and each look
/// would leave one more session behind. How many wait.
async fn beat(conn: &mut Conn, target: &TargetId, patience: u64) -> Result<u64, Error> {
    let earlier = ask(conn, &format!("{EARLIER} {patience} < time")).await?.unwrap_or_default();
    match earlier.number("waiting").unwrap_or_default() {
        0 => put(conn, target, patience).await.map(|()| 0),
        waiting => Ok(waiting),
    }
}

async fn put(conn: &mut Conn, target: &TargetId, patience: u64) -> Result<(), Error> {
    // What waits for a lock ends by itself.
    let limits = format!(
        "set session lock_wait_timeout = {patience}, session innodb_lock_wait_timeout = {patience}"
    );
    conn.query_drop(limits).await?;
    let row = format!(
        "insert into quorate.heartbeat (app, name, at) values ('{}', '{}', utc_timestamp(6)) \
         on duplicate key update at = values(at)",
        target.app, target.name
    );
    match conn.query_drop(&row).await {
        Err(Error::Server(said)) if LACKS.contains(&said.code) => {
            for sql in MAKE {
                conn.query_drop(sql).await?;
            }
            conn.query_drop(row).await
        }
        written => written,
    }
}
