//! The heartbeat's row in MariaDB and MySQL.

use consensus::model::{Database, TargetId};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

use super::{reach, trouble};
use crate::fault::{Trouble, When};
use crate::phases::Stopwatch;
use crate::{Login, Means};

/// By which a server, or its table, says that it is closed to writes: `--read-only`, in read-only mode.
const CLOSED: [u16; 2] = [1290, 1836];
/// No such database, no such table.
const LACKS: [u16; 2] = [1049, 1146];
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
    // What waits for longer than we do ends by itself: each look would leave one more session behind.
    let patience = watch.left().as_secs() + 1;
    let written = put(&mut conn, target, patience).await;
    let _ = conn.disconnect().await;
    match written {
        Err(Error::Server(said)) if CLOSED.contains(&said.code) => Ok(()),
        written => written.map_err(|error| trouble(&error, When::Later, login)),
    }
}

async fn put(conn: &mut Conn, target: &TargetId, patience: u64) -> Result<(), Error> {
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
