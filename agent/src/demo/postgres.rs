//! Two PostgreSQL servers of the demo's own: a primary, and a standby without whose word it acknowledges nothing.
//!
//! They run as the demo's user, or as `postgres` where that is root, on loopback addresses only, with passwords drawn at
//! random. Nothing of an installed cluster is touched.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::process::{Farewell, Folder, Process, Task, Trouble, User, command, give};

/// The role that the agents log in with.
pub const QUORATE: &str = "quorate";
/// The role that writes rows.
pub const SHOP: &str = "shop";
/// How long a server may take to start, or the standby to stream.
const START: Duration = Duration::from_secs(20);
/// How long one of the tools may take.
const TOOL: Duration = Duration::from_secs(30);
const QUERY: Duration = Duration::from_secs(5);
const PACE: Duration = Duration::from_millis(20);

/// An installed PostgreSQL, and who may run it.
#[derive(Clone, Debug)]
pub struct Installed {
    programs: PathBuf,
    user: Option<User>,
}

impl Installed {
    /// The newest one.
    ///
    /// # Errors
    /// Why there is none to use.
    pub fn find() -> Result<Self, String> {
        let programs = programs()
            .ok_or("it is not installed (no `initdb` in /usr/lib/postgresql/*/bin or PATH)")?;
        let user = match rustix::process::getuid().is_root() {
            true => Some(User::find("postgres").ok_or(
                "it refuses to run as root, and there is no user `postgres` to run it as",
            )?),
            false => None,
        };
        Ok(Self { programs, user })
    }

    /// Must its folder be passed through by another user?
    pub fn shared(&self) -> bool {
        self.user.is_some()
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// Where the newest PostgreSQL's programs are. Debian keeps each version's in a folder of its own, Red Hat's builds in another;
/// elsewhere they are in the path.
pub fn programs() -> Option<PathBuf> {
    let version = |path: &Path| -> Option<u32> {
        let name = path.file_name()?.to_str()?;
        name.trim_start_matches("pgsql-").parse().ok()
    };
    let versions = ["/usr/lib/postgresql", "/usr"]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin"))));
    let whole = |folder: &Path| {
        ["initdb", "postgres", "pg_basebackup"].iter().all(|name| folder.join(name).is_file())
    };
    let newest = versions.filter(|(_, folder)| whole(folder)).max();
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest
        .map(|(_, folder)| folder)
        .or_else(|| std::env::split_paths(&path).find(|folder| whole(folder)))
}

/// Where the two are, and what opens them.
#[derive(Clone, Debug)]
pub struct Places {
    /// The primary of the beginning.
    pub east: SocketAddr,
    /// The standby of the beginning.
    pub west: SocketAddr,
    /// The password of every role.
    pub password: String,
}

/// The two servers.
pub struct Databases {
    /// What the servers say they are: `15.18`.
    pub version: String,
    east: Server,
    _west: Server,
}

struct Server {
    data: PathBuf,
    process: Process,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.end();
        self.forget_memory();
    }
}

impl Server {
    /// A server that was killed leaves a few bytes of System V shared memory; its lock file names them.
    fn forget_memory(&self) {
        let Ok(text) = fs::read_to_string(self.data.join("postmaster.pid")) else { return };
        let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) else {
            return;
        };
        // Where there is no `ipcrm`, they stay until the machine is started again.
        let _ = Command::new("ipcrm")
            .args(["-m", id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

impl Databases {
    /// Makes and starts both, and waits until the one acknowledges nothing without the other.
    pub async fn start(
        folder: &Folder,
        installed: &Installed,
        places: &Places,
    ) -> Result<Self, Trouble> {
        let maker = Maker { folder, installed, places };
        let east = maker.primary().await?;
        let west = maker.standby().await?;
        let version = ask(&places.admin(places.east), "show server_version").await?;
        let version = version.split(' ').next().unwrap_or_default().to_owned();
        Ok(Self { version, east, _west: west })
    }

    /// `kill -9` of the primary; its own children follow it by themselves.
    pub fn kill_primary(&mut self) {
        self.east.process.kill();
        self.east.forget_memory();
    }
}

impl Places {
    /// How whoever writes rows logs in.
    pub fn shop(&self, server: SocketAddr) -> Config {
        self.login(server, SHOP)
    }

    fn admin(&self, server: SocketAddr) -> Config {
        self.login(server, "postgres")
    }

    fn login(&self, server: SocketAddr, user: &str) -> Config {
        let mut config = Config::new();
        config.host(server.ip().to_string()).port(server.port()).user(user).dbname("postgres");
        config.password(&self.password).connect_timeout(Duration::from_secs(1));
        config
    }
}

struct Maker<'a> {
    folder: &'a Folder,
    installed: &'a Installed,
    places: &'a Places,
}

impl Maker<'_> {
    async fn primary(&self) -> Result<Server, Trouble> {
        let data = self.folder.sub_of("postgres-east", self.installed.user)?;
        let secret = self.folder.sub_of("postgres", self.installed.user)?.join("password");
        let written = fs::write(&secret, &self.places.password)
            .and_then(|()| fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)));
        written.map_err(Trouble::cannot("write", &secret))?;
        give(&secret, self.installed.user)?;
        let mut words: Vec<OsString> = ["-U", "postgres", "-A", "scram-sha-256", "--no-sync"]
            .iter()
            .chain(&["--locale=C", "--encoding=UTF8", "--pwfile"])
            .map(Into::into)
            .collect();
        words.extend([secret.into(), "-D".into(), data.clone().into()]);
        self.tool("initdb", words, None).await?;
        let server = self.server("east", data, self.places.east).await?;
        let Places { east, password, .. } = self.places;
        let sql = format!(
            "create role {QUORATE} superuser login password '{password}'; \
             create role {SHOP} login password '{password}'; \
             create table ledger (row bigint primary key); \
             grant select, insert on ledger to {SHOP}"
        );
        ask(&self.places.admin(*east), &sql).await?;
        Ok(server)
    }

    async fn standby(&self) -> Result<Server, Trouble> {
        let data = self.folder.sub_of("postgres-west", self.installed.user)?;
        let Places { east, west, password } = self.places;
        let from =
            format!("host={} port={} user=postgres application_name=west", east.ip(), east.port());
        let mut words: Vec<OsString> = ["-R", "-X", "stream", "-C", "-S", "west", "-c", "fast"]
            .iter()
            .chain(&["--no-sync", "-d", from.as_str(), "-D"])
            .map(Into::into)
            .collect();
        words.push(data.clone().into());
        self.tool("pg_basebackup", words, Some(password)).await?;
        let server = self.server("west", data, *west).await?;
        let admin = self.places.admin(*east);
        let state = "select state from pg_stat_replication where application_name = 'west'";
        until(&admin, state, "streaming").await?;
        // Of the primary alone: the standby, once promoted, has nobody to wait for.
        ask(&admin, "alter system set synchronous_standby_names = 'west'").await?;
        ask(&admin, "select pg_reload_conf()").await?;
        let state = "select sync_state from pg_stat_replication where application_name = 'west'";
        until(&admin, state, "sync").await?;
        Ok(server)
    }

    async fn server(&self, name: &str, data: PathBuf, at: SocketAddr) -> Result<Server, Trouble> {
        self.configure(&data, at)?;
        let name = format!("postgres-{name}");
        let task = Task {
            name: &name,
            program: &self.installed.program("postgres"),
            arguments: vec!["-D".into(), data.clone().into()],
            user: self.installed.user,
            farewell: Farewell::Quit,
        };
        let mut server = Server { data, process: Process::start(self.folder, &task)? };
        let limit = Instant::now() + START;
        loop {
            let why = match ask(&self.places.admin(at), "select 1").await {
                Ok(_) => return Ok(server),
                Err(why) => why,
            };
            if let Some(status) = server.process.ended() {
                let said = self.folder.last_words(&name);
                return Err(Trouble(format!("{name} ended ({status}): {said}")));
            }
            if limit <= Instant::now() {
                return Err(Trouble(format!("{name} does not answer: {why}")));
            }
            sleep(PACE).await;
        }
    }

    fn configure(&self, data: &Path, at: SocketAddr) -> Result<(), Trouble> {
        // No Unix sockets: their lock file would be copied along with the data, or lie in /tmp for all to see.
        let settings = format!(
            "listen_addresses = '{}'\nport = {}\nunix_socket_directories = ''\n\
             wal_level = replica\nhot_standby = on\nmax_wal_senders = 4\nmax_replication_slots = 4\n\
             shared_buffers = 16MB\nmax_connections = 60\ndynamic_shared_memory_type = mmap\n\
             wal_receiver_timeout = 5s\nwal_retrieve_retry_interval = 200ms\n",
            at.ip(),
            at.port()
        );
        let access = "host all all 127.0.0.0/8 scram-sha-256\n\
                      host replication all 127.0.0.0/8 scram-sha-256\n";
        for (name, text) in [("postgresql.conf", settings.as_str()), ("pg_hba.conf", access)] {
            let path = data.join(name);
            fs::write(&path, text).map_err(Trouble::cannot("write", &path))?;
            give(&path, self.installed.user)?;
        }
        Ok(())
    }

    /// Runs one of PostgreSQL's tools to its end.
    async fn tool(
        &self,
        name: &str,
        arguments: Vec<OsString>,
        password: Option<&String>,
    ) -> Result<(), Trouble> {
        let task = Task {
            name,
            program: &self.installed.program(name),
            arguments,
            user: self.installed.user,
            farewell: Farewell::Kill,
        };
        let mut command = tokio::process::Command::from(command(&task)?);
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        let done = match timeout(TOOL, command.output()).await {
            Ok(done) => done.map_err(Trouble::cannot("run", name))?,
            Err(_) => return Err(Trouble(format!("{name} did not end within {TOOL:?}"))),
        };
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Err(Trouble(format!("{name} failed ({}): {said}", done.status)))
    }
}

/// Waits until a query gives this answer.
async fn until(config: &Config, sql: &str, wanted: &str) -> Result<(), Trouble> {
    let limit = Instant::now() + START;
    loop {
        let found = ask(config, sql).await?;
        if found == wanted {
            return Ok(());
        }
        if limit <= Instant::now() {
            return Err(Trouble(format!("the standby does not get to `{wanted}`: `{found}`")));
        }
        sleep(PACE).await;
    }
}

/// Connects within a second.
pub async fn connect(config: &Config) -> Result<Client, Trouble> {
    let failed = |error: &tokio_postgres::Error| {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        Trouble(format!("{error}{}", cause.unwrap_or_default()))
    };
    match timeout(QUERY, config.connect(NoTls)).await {
        Ok(Ok((client, connection))) => {
            // Ends with the client, whose own errors tell what went wrong.
            tokio::spawn(async move { drop(connection.await) });
            Ok(client)
        }
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(Trouble("no answer".to_owned())),
    }
}

/// The first column of the first row, as text; empty without rows.
async fn ask(config: &Config, sql: &str) -> Result<String, Trouble> {
    Ok(rows(config, sql).await?.into_iter().next().unwrap_or_default())
}

/// The first column of every row, as text.
pub async fn rows(config: &Config, sql: &str) -> Result<Vec<String>, Trouble> {
    let client = connect(config).await?;
    let answered = timeout(QUERY, client.simple_query(sql)).await;
    let messages = answered
        .map_err(|_| Trouble("a database does not answer".to_owned()))?
        .map_err(|error| Trouble(format!("a database refuses: {error}")))?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    Ok(rows.collect())
}
