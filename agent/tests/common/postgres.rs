//! PostgreSQL: a primary, and standbys that stream from it (TESTBED.md 2.3).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use agent::demo::postgres_programs;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::{Process, command_as, documented, eventually, foreign, free_port, release, run};

/// The user PostgreSQL runs as where tests run as root, which it refuses.
const USER: &str = "postgres";

/// The role that has the documented rights and no more; its password is its name.
pub const ROLE: &str = "quorate";

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = replica
wal_log_hints = on
hot_standby = on
max_wal_senders = 5
max_connections = 30
shared_buffers = 16MB
fsync = off
logging_collector = off
password_encryption = scram-sha-256
";

const ACCESS: &str = "
host all quorate 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
";

/// A running server, or one that was killed.
pub struct Postgres {
    pub port: u16,
    pub folder: TempDir,
    programs: PathBuf,
    process: Process,
}

impl Postgres {
    /// A new, empty primary.
    pub async fn primary() -> Self {
        match release("postgresql") {
            Some(release) => Self::foreign(&release).await,
            None => Self::made(postgres_programs().expect("`./tests/run install`")).await,
        }
    }

    /// The same of a release that `tests/foreign` fetches.
    pub async fn foreign(release: &str) -> Self {
        let versions = foreign(release).join("root/usr/lib/postgresql");
        let version = fs::read_dir(versions).expect("it has its programs").flatten().next();
        Self::made(version.expect("it has one").path().join("bin")).await
    }

    async fn made(programs: PathBuf) -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        as_postgres(&programs.join("initdb"))
            .args(["--no-sync", "--locale=C", "-A", "trust", "-U", "postgres"])
            .arg("-D")
            .arg(&data)
            .run();
        append(&data.join("postgresql.conf"), SETTINGS);
        let version = fs::read_to_string(data.join("PG_VERSION")).expect("initdb wrote it");
        let keep = match version.trim().parse::<u32>().expect("a number") {
            ..13 => "wal_keep_segments = 4",
            13.. => "wal_keep_size = 64MB",
        };
        append(&data.join("postgresql.conf"), keep);
        fs::write(data.join("pg_hba.conf"), ACCESS).expect("pg_hba.conf is written");
        Self::start(folder, programs).await
    }

    /// A standby that streams from this server, under this name.
    pub async fn standby(&self, name: &str) -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        let source =
            format!("host=127.0.0.1 port={} user=postgres application_name={name}", self.port);
        as_postgres(&self.programs.join("pg_basebackup"))
            .args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", &source])
            .arg("-D")
            .arg(&data)
            .run();
        let standby = Self::start(folder, self.programs.clone()).await;
        standby
            .until("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'", "1")
            .await;
        standby
    }

    /// The same server as a standby, with all that it wrote as a primary.
    pub async fn standby_again(mut self) -> Self {
        self.process.end(Signal::INT);
        fs::write(self.folder.path().join("data/standby.signal"), "").expect("its folder is there");
        Self::start(self.folder, self.programs).await
    }

    async fn start(folder: TempDir, programs: PathBuf) -> Self {
        let data = folder.path().join("data");
        let log = folder.path().join("log");
        let mut last = String::new();
        // Another may take the port between drawing and binding it.
        for _ in 0..5 {
            let port = free_port();
            let setting = format!("port={port}");
            let data = data.to_str().expect("a plain path");
            let program = programs.join("postgres");
            let mut process =
                Process::start(Some(USER), &log, &program, &["-D", data, "-c", &setting]);
            let up = eventually("PostgreSQL starts or gives up", || {
                let up = process.is_running();
                async move {
                    match up {
                        false => Some(false),
                        true => try_sql(port, "SELECT 1").await.ok().map(|_| true),
                    }
                }
            })
            .await;
            if up {
                return Self { port, folder, programs, process };
            }
            last = fs::read_to_string(&log).unwrap_or_default();
        }
        panic!("PostgreSQL does not start: {last}");
    }

    /// Runs statements as superuser; the first column of the last row.
    pub async fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, where it may fail.
    pub async fn try_sql(&self, sql: &str) -> Result<String, String> {
        try_sql(self.port, sql).await
    }

    /// Waits until a query gives this.
    pub async fn until(&self, sql: &str, expected: &str) {
        eventually(&format!("`{sql}` gives `{expected}`"), || async {
            let found = self.try_sql(sql).await.ok()?;
            (found == expected).then_some(())
        })
        .await;
    }

    /// The history it belongs to.
    pub async fn system(&self) -> u64 {
        let system = self.sql("SELECT system_identifier FROM pg_control_system()").await;
        system.parse().expect("a number")
    }

    /// Makes [`ROLE`] with the rights that the documentation names.
    pub async fn grant_documented_rights(&self) {
        let grants = self.version().await >= 15;
        for sql in documented("CREATE ROLE quorate ") {
            if grants || !sql.contains("ON PARAMETER") {
                self.sql(&sql).await;
            }
        }
        if !grants {
            self.sql("ALTER ROLE quorate SUPERUSER").await;
        }
    }

    /// Its first number.
    pub async fn version(&self) -> u32 {
        let number: u32 = self.sql("SHOW server_version_num").await.parse().expect("a number");
        number / 10_000
    }

    /// Kills it, as a lost machine would.
    pub fn kill(&mut self) {
        self.process.end(Signal::KILL);
    }

    /// Stops it where it is; it keeps its connections and answers nothing.
    pub fn freeze(&mut self) {
        self.process.signal(Signal::STOP);
    }
}

async fn try_sql(port: u16, sql: &str) -> Result<String, String> {
    let place = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) =
        tokio_postgres::connect(&place, NoTls).await.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let answered = client.simple_query(sql).await;
    drop(client);
    let _ = driver.await;
    let messages = answered.map_err(|error| match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => error.to_string(),
    })?;
    let last = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(last.unwrap_or_default())
}

/// A folder that PostgreSQL's user may enter and owns.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("quorate-pg-").tempdir().expect("a folder");
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg(USER).arg(folder.path()));
    }
    folder
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(path).expect("initdb wrote it");
    file.write_all(text.as_bytes()).expect("it can be written");
}

struct Tool(Command);

fn as_postgres(program: &Path) -> Tool {
    Tool(command_as(Some(USER), program))
}

impl Tool {
    fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.0.args(arguments);
        self
    }

    fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    fn run(mut self) {
        run(&mut self.0);
    }
}
