//! Servers of a release that is older than any that is driven: each says so of itself, and nothing is done to it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use agent::config::Credentials;
use consensus::model::{
    ActionFaultKind, Candidate, Database, Effect, Engine, FaultKind, Outcome, TargetId, Watched,
};
use consensus::outbox::{Look, Subject};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use probe::{Login, Means};

use crate::common::postgres::Postgres;
use crate::common::redis::Make;
use crate::common::{Process, command_as, eventually, foreign, free_port, run};
use crate::{act, kind, login, text, token};

fn database(engine: Engine, port: u16) -> Database {
    Database {
        name: "main".parse().expect("a name"),
        engine,
        address: "127.0.0.1".to_owned(),
        port,
        credential: "main".parse().expect("a name"),
        guard: None,
        view: Default::default(),
    }
}

/// Whatever is asked of it, it is refused in these words.
async fn is_left_alone(engine: Engine, port: u16, user: &str, words: &str) {
    let database = database(engine, port);
    let target = TargetId {
        app: "shop".parse().expect("a name"),
        stack: "a".parse().expect("a name"),
        name: database.name.clone(),
    };
    let look = Look {
        watched: Watched::Target(target),
        subject: Subject::Database(Arc::new(database.clone())),
        limit: Duration::from_secs(4),
    };
    let means = Means::of_host(None).with_login(Some(Arc::new(Login::new(user, None))));
    let Outcome::Failed(fault) = probe::look(&look, &means).await.outcome else {
        panic!("{engine:?}: it looked")
    };
    assert_eq!(fault.kind, FaultKind::Unready, "{fault:?}");
    assert!(fault.text.contains(words), "{fault:?}");

    let held: Credentials = [(database.credential.clone(), login(user, None))].into();
    let candidate = Candidate { name: database.name.clone(), system: 1, timeline: 1, position: 0 };
    for effect in [
        Effect::Fence(database.clone()),
        Effect::Unfence(database.clone()),
        Effect::Promote { database: database.clone(), candidate, at_least: None },
        Effect::Follow { database: database.clone(), primary: database.clone() },
    ] {
        let refused = act(&held, token(2, 1), effect).await;
        assert_eq!(kind(&refused), Some(ActionFaultKind::Refused), "{refused:?}");
        assert!(text(&refused).contains(words), "{refused:?}");
    }
}

#[tokio::test]
async fn foreign_postgres_before_12_is_left_alone() {
    let postgres = Postgres::foreign("postgresql-10").await;
    let words = "is of version `10.3 (Ubuntu 10.3-1)`, expected 12 or newer";
    is_left_alone(Engine::Postgres, postgres.port, "postgres", words).await;
    assert_eq!(postgres.sql("SHOW default_transaction_read_only").await, "off");
    postgres.sql("CREATE TABLE t (i int)").await;
}

#[tokio::test]
async fn foreign_redis_before_6_is_left_alone() {
    let redis = Make::Foreign("redis-5.0").primary().await;
    let words = "is of version `5.0.7`, expected 6 or newer";
    is_left_alone(Engine::Redis, redis.port, "default", words).await;
    assert_eq!(redis.info("role").await, "master");
    assert_eq!(redis.ask(&["SET", "a", "1"]).await.text(), Some("OK"));
}

#[tokio::test]
async fn foreign_mysql_before_8_is_left_alone() {
    let home = tempfile::Builder::new().prefix("quorate-my-").tempdir().expect("a folder");
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("postgres").arg(home.path()));
    }
    let release = foreign("mysql-5.7").canonicalize().expect("it is there");
    let program = release.join("run");
    let place = |name: &str| home.path().join(name).display().to_string();
    let common = [
        "mysqld".to_owned(),
        "--no-defaults".to_owned(),
        "--secure-file-priv=NULL".to_owned(),
        format!("--lc-messages-dir={}", release.join("root/usr/share/mysql").display()),
        format!("--datadir={}", place("data")),
        format!("--tmpdir={}", place("")),
    ];
    run(command_as(Some("postgres"), &program).args(&common).arg("--initialize-insecure"));
    let port = free_port();
    let own = [
        format!("--port={port}"),
        format!("--socket={}", place("socket")),
        format!("--pid-file={}", place("pid")),
        "--bind-address=127.0.0.1".to_owned(),
        "--skip-ssl".to_owned(),
    ];
    let words: Vec<&str> = common.iter().chain(&own).map(String::as_str).collect();
    let log = Path::new(&place("log")).to_owned();
    let _server = Process::start(Some("postgres"), &log, &program, &words);
    let reach = || async {
        let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port);
        Conn::new(options.user(Some("root")).prefer_socket(false)).await.ok()
    };
    let mut conn = eventually("MySQL 5.7 starts", reach).await;
    let words = "is of version `5.7.21-1ubuntu1`, expected MariaDB 10.5 or MySQL 8.0.23";
    is_left_alone(Engine::Mysql, port, "root", words).await;
    let read_only: Option<u8> = conn.query_first("select @@read_only").await.expect("it answers");
    assert_eq!(read_only, Some(0), "{}", fs::read_to_string(&log).unwrap_or_default());
}
