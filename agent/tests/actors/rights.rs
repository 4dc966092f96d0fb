//! What a log-in lacks, by what real servers say of it.

use agent::actors::{Uses, lacking};
use consensus::model::{Database, Engine};
use probe::redis::resp::Reply;
use probe::{Login, Trust};

use crate::common::mariadb::MariaDb;
use crate::common::postgres::Postgres;
use crate::common::redis::Make;

const ALL: Uses = Uses { follows: true, sync: true, log: false };

/// What this user lacks there.
async fn lacks(engine: Engine, port: u16, user: &str, uses: Uses) -> Vec<String> {
    let database = Database {
        name: "orders".parse().expect("a name"),
        engine,
        address: "127.0.0.1".to_owned(),
        port,
        credential: "orders".parse().expect("a name"),
        guard: None,
        view: Default::default(),
    };
    let app = "shop".parse().expect("a name");
    let password = (user == "quorate").then_some("quorate");
    let login = Login::new(user, password);
    lacking(&app, &database, uses, &login, &Trust::of_host()).await.expect("it answers")
}

#[tokio::test]
async fn each_right_that_is_missing_at_postgresql_is_named() {
    let primary = Postgres::primary().await;
    let lacking = async |uses| lacks(Engine::Postgres, primary.port, "quorate", uses).await;
    assert!(lacks(Engine::Postgres, primary.port, "postgres", ALL).await.is_empty());
    primary.sql("CREATE ROLE quorate LOGIN PASSWORD 'quorate'").await;
    let none = lacking(ALL).await;
    assert_eq!(none.len(), 10, "{none:#?}");
    primary.sql("DROP ROLE quorate").await;
    primary.grant_documented_rights().await;
    assert_eq!(lacking(ALL).await, Vec::<String>::new());

    for (right, what, uses) in [
        ("pg_monitor", "see how it replicates", Uses::default()),
        ("pg_signal_backend", "end sessions", Uses::default()),
        (
            "ALTER SYSTEM ON PARAMETER default_transaction_read_only",
            "make it read-only",
            Uses::default(),
        ),
        ("EXECUTE ON FUNCTION pg_reload_conf()", "have its settings read again", Uses::default()),
        ("EXECUTE ON FUNCTION pg_promote(boolean, integer)", "promote it", Uses::default()),
        ("CREATE ON DATABASE postgres", "keep the token of a promotion", Uses::default()),
        ("ALTER SYSTEM ON PARAMETER primary_conninfo", "tell it whom to follow", ALL),
        ("EXECUTE ON FUNCTION pg_read_file(text)", "read its history", ALL),
        ("ALTER SYSTEM ON PARAMETER synchronous_standby_names", "set whom it waits for", ALL),
        ("EXECUTE ON FUNCTION pg_show_all_file_settings()", "read what its files say", ALL),
    ] {
        primary.sql(&format!("REVOKE {right} FROM quorate")).await;
        let place = format!("127.0.0.1:{}", primary.port);
        let named = format!("`quorate` may not {what} at `{place}`: `GRANT {right} TO quorate`");
        assert_eq!(lacking(ALL).await, std::slice::from_ref(&named));
        let least = lacking(Uses::default()).await;
        assert_eq!(least.contains(&named), !uses.sync, "{least:?}");
        // What is said is what helps.
        primary.sql(&format!("GRANT {right} TO quorate")).await;
        assert!(lacking(ALL).await.is_empty());
    }

    // Its slot is made by this role, too.
    primary.sql("ALTER ROLE quorate NOREPLICATION").await;
    assert!(lacking(ALL).await.is_empty());
    primary.sql("ALTER SYSTEM SET primary_slot_name = 'west'").await;
    primary.sql("SELECT pg_reload_conf()").await;
    primary.until("SHOW primary_slot_name", "west").await;
    let said = lacking(ALL).await;
    assert!(said.len() == 1 && said[0].ends_with("`ALTER ROLE quorate REPLICATION`"), "{said:?}");
    assert!(lacking(Uses::default()).await.is_empty());
    primary.sql("ALTER ROLE quorate REPLICATION").await;
    assert!(lacking(ALL).await.is_empty());
    primary.sql("ALTER SYSTEM RESET primary_slot_name").await;

    // Who has the table needs to make none.
    primary.sql("CREATE SCHEMA quorate; CREATE TABLE quorate.epoch (app text, token int8)").await;
    primary.sql("REVOKE CREATE ON DATABASE postgres FROM quorate").await;
    let said = lacking(ALL).await;
    assert!(said.len() == 2 && said[0].contains("USAGE ON SCHEMA quorate"), "{said:?}");
    primary.sql("GRANT USAGE ON SCHEMA quorate TO quorate").await;
    primary.sql("GRANT SELECT, INSERT, UPDATE ON quorate.epoch TO quorate").await;
    assert!(lacking(ALL).await.is_empty());
    let count = "SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'";
    assert_eq!(primary.sql(count).await, "0", "nothing was set");
}

#[tokio::test]
async fn each_right_that_is_missing_at_mariadb_is_named() {
    let primary = MariaDb::primary().await;
    let replica = primary.replica().await;
    replica.sql("create user if not exists quorate@'%' identified by 'quorate'").await;
    let lacking = async |port| lacks(Engine::Mysql, port, "quorate", ALL).await;
    assert!(lacks(Engine::Mysql, primary.port, "root", ALL).await.is_empty());
    for server in [&primary, &replica] {
        assert_eq!(lacking(server.port).await, Vec::<String>::new());
        for (right, on) in [
            ("BINLOG MONITOR", "*.*"),
            ("SLAVE MONITOR", "*.*"),
            ("REPLICATION MASTER ADMIN", "*.*"),
            ("REPLICATION SLAVE", "*.*"),
            ("REPLICATION SLAVE ADMIN", "*.*"),
            ("READ_ONLY ADMIN", "*.*"),
            ("CONNECTION ADMIN", "*.*"),
            ("BINLOG ADMIN", "*.*"),
            ("PROCESS", "*.*"),
            ("RELOAD", "*.*"),
            ("CREATE", "quorate.*"),
            ("UPDATE", "quorate.*"),
        ] {
            server
                .sql(&format!("set sql_log_bin = 0; revoke {right} on {on} from quorate@'%'"))
                .await;
            let place = format!("127.0.0.1:{}", server.port);
            let named = format!(
                "'quorate'@'%' lacks {right} on `{on}` at `{place}`: `GRANT {right} ON {on} TO 'quorate'@'%'`"
            );
            assert_eq!(lacking(server.port).await, [named]);
            server.sql(&format!("set sql_log_bin = 0; grant {right} on {on} to quorate@'%'")).await;
        }
    }
}

async fn each_right_that_is_missing_at_redis_is_named_and_nothing_is_done(make: Make) {
    let primary = make.primary().await;
    let replica = primary.replica().await;
    // The replica counts the way to its primary.
    for (server, sessions) in [(&primary, "1"), (&replica, "2")] {
        let lacking = async || lacks(Engine::Redis, server.port, "quorate", ALL).await;
        assert!(lacks(Engine::Redis, server.port, "default", ALL).await.is_empty());
        server.grant_documented_rights().await;
        assert_eq!(lacking().await, Vec::<String>::new());
        for right in [
            "get",
            "info",
            "config|get",
            "config|set",
            "client|kill",
            "exec",
            "set",
            "eval",
            "replicaof",
        ] {
            let set = async |sign| {
                let word = format!("{sign}{right}");
                let done = server.ask(&["ACL", "SETUSER", "quorate", &word]).await;
                assert_eq!(done, Reply::Text("OK".to_owned()));
            };
            set("-").await;
            let place = format!("127.0.0.1:{}", server.port);
            let named = format!(
                "`quorate` may not use `{right}` at `{place}`: `ACL SETUSER quorate +{right}`"
            );
            assert_eq!(lacking().await, [named]);
            set("+").await;
        }
        for (word, named) in [("-multi", "+multi"), ("resetkeys", "~quorate:*")] {
            server.ask(&["ACL", "SETUSER", "quorate", word]).await;
            let said = lacking().await;
            assert!(said[0].ends_with(&format!("`ACL SETUSER quorate {named}`")), "{said:?}");
            server.ask(&["ACL", "SETUSER", "quorate", named]).await;
        }
        // It leaves no session behind.
        server.until("connected_clients", sessions).await;
    }
    // What was asked for and not done.
    let commands = primary.ask(&["INFO", "commandstats"]).await;
    let commands = commands.text().unwrap_or_default();
    for command in ["config|set:", "client|kill:", "replicaof:", "eval:", "set:", "get:"] {
        let done = commands.lines().any(|line| {
            line.starts_with(&format!("cmdstat_{command}")) && !line.contains("calls=0,")
        });
        assert!(!done, "{command}: {commands}");
    }
    assert_eq!(replica.info("master_link_status").await, "up");
}

/// What is read by `rejoin-redis`, or by replicas that log in as it does, takes rights of its own.
async fn each_right_that_is_missing_to_read_a_log_of_redis_is_named_and_nothing_is_copied(
    make: Make,
) {
    let primary = make.primary().await;
    let replica = primary.replica().await;
    let synced = primary.info("sync_full").await;
    for (server, place) in [(&primary, primary.port), (&replica, replica.port)] {
        let lacking = async |log| {
            let uses = Uses { log, ..ALL };
            lacks(Engine::Redis, server.port, "quorate", uses).await
        };
        let named = |right: &str| {
            format!(
                "`quorate` may not use `{right}` at `127.0.0.1:{place}`: `ACL SETUSER quorate +{right}`"
            )
        };
        let set = async |words: &[&str]| {
            let done = server.ask(words).await;
            assert_eq!(done, Reply::Text("OK".to_owned()), "{words:?}");
        };
        let may = async |word: &str| set(&["ACL", "SETUSER", "quorate", word]).await;
        server.grant_documented_rights().await;
        assert_eq!(lacking(false).await, Vec::<String>::new());
        assert_eq!(lacking(true).await, [named("psync"), named("replconf")]);
        may("+psync").await;
        assert_eq!(lacking(true).await, [named("replconf")]);
        may("+replconf").await;
        assert_eq!(lacking(true).await, Vec::<String>::new());

        set(&["CONFIG", "SET", "masteruser", "quorate"]).await;
        assert_eq!(lacking(false).await, [named("ping")]);
        may("+ping").await;
        assert_eq!(lacking(false).await, Vec::<String>::new());
        may("-psync").await;
        assert_eq!(lacking(false).await, [named("psync")]);
        set(&["CONFIG", "SET", "masteruser", "somebody-else"]).await;
        assert_eq!(lacking(false).await, Vec::<String>::new());
    }
    for (key, value) in [("sync_full", &*synced), ("connected_slaves", "1")] {
        assert_eq!(primary.info(key).await, value, "{key}");
    }
    assert_eq!(replica.info("role").await, "slave");
    assert_eq!(replica.info("master_link_status").await, "up");
    assert_eq!(replica.info("sync_full").await, "0");
}

servers!(
    redis,
    Make::Redis,
    [
        each_right_that_is_missing_at_redis_is_named_and_nothing_is_done,
        each_right_that_is_missing_to_read_a_log_of_redis_is_named_and_nothing_is_copied,
    ]
);
// Its rights are refused in words of its own, and that a refused command does nothing is its own doing.
servers!(
    foreign_valkey,
    Make::Valkey,
    [
        each_right_that_is_missing_at_redis_is_named_and_nothing_is_done,
        each_right_that_is_missing_to_read_a_log_of_redis_is_named_and_nothing_is_copied,
    ]
);
