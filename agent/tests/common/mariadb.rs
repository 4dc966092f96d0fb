//! MariaDB: a primary, and replicas of it by GTID (TESTBED.md 2.4).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{Process, command_as, documented, eventually, free_port, release, run};

/// The user MariaDB runs as where tests run as root, which it refuses.
const USER: &str = "mysql";

/// The user that has the documented rights and no more; its password is its name.
pub const ROLE: &str = "quorate";

/// A running server, or one that was killed.
pub struct MariaDb {
    pub port: u16,
    pub id: u32,
    folder: TempDir,
    process: Process,
}

impl MariaDb {
    /// A new primary with a table `app.t` and the user [`ROLE`].
    pub async fn primary() -> Self {
        Self::primary_with(&[]).await
    }

    /// The same with settings of its own.
    pub async fn primary_with(settings: &[&str]) -> Self {
        let primary = Self::start(settings).await;
        for sql in documented("CREATE USER quorate ") {
            primary.sql(&sql).await;
        }
        primary.sql("create database app").await;
        primary.sql("create table app.t (i int primary key)").await;
        primary.sql("create user app@'%' identified by 'app'").await;
        primary.sql("grant all on app.* to app@'%'").await;
        primary
    }

    /// A replica of this server, connected and with all it has.
    pub async fn replica(&self) -> Self {
        let replica = Self::start(&["--read-only=1"]).await;
        let port = self.port;
        replica
            .sql(&format!(
                "change master to master_host = '127.0.0.1', master_port = {port}, master_user = '{ROLE}', \
                 master_password = '{ROLE}', master_use_gtid = slave_pos, master_connect_retry = 1, \
                 master_heartbeat_period = 1"
            ))
            .await;
        replica.sql("start slave").await;
        replica.caught_up(self).await;
        replica
    }

    async fn start(settings: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::Builder::new().prefix("quorate-my-").tempdir().expect("a folder");
        run(Command::new("cp").args(["-a", "-T"]).arg(template()).arg(folder.path().join("data")));
        own(folder.path());
        for _ in 0..5 {
            let port = free_port();
            let mut process = launch(&folder, port, id, settings);
            let up = eventually("MariaDB starts or gives up", || {
                let up = process.is_running();
                async move {
                    match up {
                        false => Some(false),
                        true => root(port).await.map(|_| true),
                    }
                }
            })
            .await;
            if up {
                return Self { port, id, folder, process };
            }
        }
        let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("MariaDB does not start: {log}");
    }

    /// Runs a statement as root; the first column of the first row.
    pub async fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, where it may fail.
    pub async fn try_sql(&self, sql: &str) -> Result<String, String> {
        let mut conn = root(self.port).await.ok_or("no log-in")?;
        let row: Option<mysql_async::Row> =
            conn.query_first(sql).await.map_err(|error| error.to_string())?;
        let text = row.and_then(|row| row.get_opt::<String, _>(0)).and_then(Result::ok);
        let _ = conn.disconnect().await;
        Ok(text.unwrap_or_default())
    }

    /// Waits until it has all that this primary wrote.
    pub async fn caught_up(&self, primary: &Self) {
        let written = primary.sql("select @@gtid_binlog_pos").await;
        let wait = format!("select master_gtid_wait('{written}', 10)");
        assert_eq!(self.sql(&wait).await, "0", "it catches up");
    }

    /// Kills it, as a lost machine would.
    pub fn kill(&mut self) {
        self.process.end(Signal::KILL);
    }

    /// Starts it again with what it had on its disk.
    pub async fn restart(&mut self) {
        self.process = launch(&self.folder, self.port, self.id, &["--read-only=1"]);
        eventually("MariaDB is back", || root(self.port)).await;
    }
}

/// A connection as root, if it answers.
async fn root(port: u16) -> Option<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some("root"))
        .prefer_socket(false);
    Conn::new(options).await.ok()
}

fn launch(folder: &TempDir, port: u16, id: u32, settings: &[&str]) -> Process {
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [data, socket, pid] = ["data", "socket", "pid"].map(place);
    let own = [
        "--no-defaults".to_owned(),
        format!("--datadir={data}"),
        format!("--socket={socket}"),
        format!("--pid-file={pid}"),
        // At its start every server removes what others left in the place it shares with them.
        format!("--tmpdir={}", folder.path().display()),
        format!("--port={port}"),
        format!("--server-id={id}"),
    ];
    let mut arguments: Vec<&str> = own.iter().map(String::as_str).collect();
    arguments.extend([
        "--bind-address=127.0.0.1",
        "--log-bin=bin",
        "--log-slave-updates",
        "--gtid-strict-mode=1",
        "--skip-name-resolve",
        "--skip-slave-start=0",
        "--max-connections=10",
        "--innodb-buffer-pool-size=16M",
        "--innodb-log-file-size=8M",
        "--innodb-flush-log-at-trx-commit=2",
        "--sync-binlog=0",
        "--performance-schema=OFF",
    ]);
    arguments.extend(settings);
    Process::start(Some(USER), &folder.path().join("log"), &PathBuf::from("mariadbd"), &arguments)
}

/// A data folder as `mariadb-install-db` leaves it, made once in the build folder and copied for every server.
fn template() -> PathBuf {
    let builds = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = builds.join(release("mariadb").as_deref().unwrap_or("mariadb"));
    let lock = File::create(builds.join("mariadb.lock")).expect("the build folder takes files");
    lock.lock().expect("files can be locked");
    if !template.exists() {
        let fresh = tempfile::Builder::new().prefix("quorate-my-").tempdir().expect("a folder");
        own(fresh.path());
        let data = fresh.path().join("data");
        let mut make = command_as(Some(USER), Path::new("mariadb-install-db"));
        // Root may log in from anywhere, so that tests need no socket.
        make.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        make.args(["--skip-name-resolve", "--innodb-log-file-size=8M"]);
        run(make.arg(format!("--datadir={}", data.display())).env("TMPDIR", fresh.path()));
        let half = builds.join("mariadb.half");
        let _ = fs::remove_dir_all(&half);
        run(Command::new("cp").args(["-a", "-T"]).arg(data).arg(&half));
        fs::rename(&half, &template).expect("same folder");
    }
    template
}

fn own(folder: &Path) {
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("-R").arg(USER).arg(folder));
    }
}
