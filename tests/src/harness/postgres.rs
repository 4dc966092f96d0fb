//! The databases of a world: a PostgreSQL primary and a standby that streams from it.
//!
//! Quorate logs in as [`USER`] with [`PASSWORD`]; the tests as the superuser, who needs none.

use std::fs::{self, File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agent::demo::postgres_programs;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::fabric::address;
use super::lab::{Lab, build_folder, foreign, give_to_server_user, release, server_user};
use super::process::{Process, output, run};
use super::wait::eventually;

/// The role that Quorate logs in with.
pub const USER: &str = "quorate";
/// Its password.
pub const PASSWORD: &str = "open sesame";

const START: Duration = Duration::from_secs(30);
/// After `kill -9`, dying children may still hold the shared memory, and a start is refused until they are gone.
const START_TRIES: usize = 50;
const QUERY: Duration = Duration::from_secs(5);

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// The standby has it on disk.
    Synchronous,
    /// Nothing but the primary.
    Asynchronous,
}

/// One PostgreSQL server on port 5432 of a host.
pub struct Postgres<'a> {
    lab: &'a Lab,
    host: String,
    folder: PathBuf,
    process: Process,
}

impl<'a> Postgres<'a> {
    /// A primary with the role for Quorate and a table `ledger` for [`super::writer::Writer`].
    pub fn primary(lab: &'a Lab, host: &str) -> Self {
        let folder = lab.folder(&format!("{host}-data"));
        copy(&template(lab), &folder);
        configure(lab, host, &folder);
        let primary = Self::launch(lab, host, folder);
        primary.query(&role());
        primary.query("create table ledger (row bigint primary key)");
        primary
    }

    /// A standby that streams from `primary`, and is waited for by its commits if so wished.
    pub fn standby(primary: &Self, host: &str, replication: Replication) -> Self {
        let lab = primary.lab;
        let folder = lab.folder(&format!("{host}-data"));
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("own folder");
        give_to_server_user(&folder);
        let from = address(&primary.host);
        let mut copy = lab.fabric.command_as_server(host, program("pg_basebackup"));
        copy.arg("-d").arg(format!("host={from} user=postgres application_name={host}"));
        copy.args(["-R", "-X", "stream", "-C", "-S", host, "-c", "fast", "--no-sync", "-D"]);
        run(copy.arg(&folder).current_dir("/"));
        configure(lab, host, &folder);
        let standby = Self::launch(lab, host, folder);
        let streams =
            format!("select state from pg_stat_replication where application_name = '{host}'");
        eventually(START, &format!("{host} streams from {}", primary.host), || {
            match primary.try_query(&streams)?.as_str() {
                "streaming" => Ok(()),
                state => Err(format!("state {state:?}")),
            }
        });
        if replication == Replication::Synchronous {
            // Only the primary waits: the standby, once promoted, has nobody to wait for.
            primary.query(&format!("alter system set synchronous_standby_names = '{host}'"));
            primary.query("select pg_reload_conf()");
            let sync = format!(
                "select sync_state from pg_stat_replication where application_name = '{host}'"
            );
            eventually(START, &format!("{host} is synchronous"), || {
                match primary.try_query(&sync)?.as_str() {
                    "sync" => Ok(()),
                    state => Err(format!("state {state:?}")),
                }
            });
        }
        standby
    }

    fn launch(lab: &'a Lab, host: &str, folder: PathBuf) -> Self {
        let mut command = lab.fabric.command_as_server(host, program("postgres"));
        command.arg("-D").arg(&folder).current_dir("/");
        let process = Process::start(lab, &format!("{host}-postgres"), &mut command);
        let mut server = Self { lab, host: host.to_owned(), folder, process };
        let mut tries = 1;
        eventually(START, &format!("PostgreSQL on {host} answers"), || {
            let Some(status) = server.process.ended() else { return server.try_query("select 1") };
            assert!(tries < START_TRIES, "PostgreSQL on {host}: {status}");
            tries += 1;
            server.process = Process::start(lab, &format!("{host}-postgres"), &mut command);
            Err(format!("ended: {status}"))
        });
        server
    }

    /// `kill -9` of the postmaster; its children follow it by themselves.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Starts it again on the same data.
    pub fn restart(&mut self) {
        *self = Self::launch(self.lab, &self.host, self.folder.clone());
    }

    /// Kills it and starts it again without its data: a primary of a history of its own, at the same address.
    pub fn come_back_empty(&mut self) {
        self.lose_data();
        self.restart();
    }

    /// Kills it, and its data are gone: what is started next is a primary of a history of its own, with the role for Quorate.
    pub fn lose_data(&mut self) {
        self.kill();
        // Its children use it until they have noticed.
        eventually(START, "its data are gone", || fs::remove_dir_all(&self.folder));
        let folder = self.lab.folder(&format!("{}-data", self.host));
        // Not the template: the identifier in there is that of every primary.
        initialise(self.lab, &self.host, &folder);
        configure(self.lab, &self.host, &folder);
        // By itself: where its door is shut nobody reaches it.
        let (user, single) = (as_server_user(), program("postgres"));
        let (single, data) = (single.display(), folder.display());
        let make = format!("echo \"{}\" | {user}{single} --single -D {data} postgres", role());
        run(self.lab.fabric.command(&self.host, "sh").args(["-c", &make]).current_dir("/"));
    }

    /// Kills it and starts it again on the same data as a standby: of whom it followed before, or of nobody.
    pub fn restart_as_standby(&mut self) {
        self.kill();
        fs::write(self.folder.join("standby.signal"), "").expect("own folder");
        give_to_server_user(&self.folder);
        self.restart();
    }

    /// Starts it again as a host's service manager would: what ends is started anew, unless it was stopped on purpose with
    /// [`Self::service`]. Does not wait for an answer: its door may be shut.
    pub fn restart_as_service(&mut self) {
        let (postgres, data) = (program("postgres"), self.folder.display());
        let stopped = self.stopped();
        let script = format!(
            "while :; do if [ -e {stopped} ]; then sleep 0.1; else {} -D {data}; sleep 0.1; fi; done",
            postgres.display()
        );
        let mut command = self.lab.fabric.command_as_server(&self.host, "sh");
        command.args(["-c", &script]).current_dir("/");
        self.process = Process::start(self.lab, &format!("{}-postgres", self.host), &mut command);
    }

    /// The commands that stop and start what [`Self::restart_as_service`] keeps alive, to be run on its host.
    pub fn service(&self) -> [String; 2] {
        let (control, ready) = (program("pg_ctl"), program("pg_isready"));
        let (stopped, data) = (self.stopped(), self.folder.display());
        let user = as_server_user();
        let ready = ready.display();
        [
            format!(
                "touch {stopped}; {user}{} -D {data} -m fast -w stop || true",
                control.display()
            ),
            format!("rm -f {stopped}; until {ready} -q -h 127.0.0.1; do sleep 0.1; done"),
        ]
    }

    /// The command that copies the new primary anew in place of its data.
    pub fn rebuild(&self) -> String {
        let (copy, user, data) =
            (program("pg_basebackup"), as_server_user(), self.folder.display());
        format!(
            "find {data} -mindepth 1 -delete; PGPASSWORD=$QUORATE_PASSWORD {user}{} -D {data} \
             -h $QUORATE_PRIMARY_HOST -U $QUORATE_USER -X stream -c fast --no-sync",
            copy.display()
        )
    }

    /// Lets Quorate's role in over TLS alone, once it has a certificate.
    pub fn refuse_in_the_clear(&self) {
        let file = self.folder.join("pg_hba.conf");
        let access = fs::read_to_string(&file).expect("a server has one");
        let refused = format!(
            "hostnossl all {USER} all reject\nhostnossl replication {USER} all reject\n\
             hostssl replication {USER} all scram-sha-256\n{access}"
        );
        fs::write(file, refused).expect("own file");
        self.query_at_host("select pg_reload_conf()").expect("it answers");
    }

    /// Changes its configuration file, for its next start.
    pub fn set(&self, name: &str, value: &str) {
        let file = self.folder.join("postgresql.conf");
        let text = fs::read_to_string(&file).expect("a server has one");
        // The last line counts.
        fs::write(&file, format!("{text}{name} = {value}\n")).expect("scratch folder takes files");
    }

    /// There while the service manager is to leave it alone.
    fn stopped(&self) -> String {
        format!("{}.stopped", self.folder.display())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (address(&self.host), 5432).into()
    }

    /// Does it answer, and does it take writes?
    pub fn writable(&self) -> Result<bool, String> {
        let answer = self.try_query(
            "select pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool",
        )?;
        Ok(answer == "f")
    }

    /// The first column of the first row, as text; empty without rows. Expects success.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|error| panic!("{} on {sql:?}: {error}", self.host))
    }

    /// The same, where failing is an answer.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        Ok(self.rows(sql)?.into_iter().next().unwrap_or_default())
    }

    /// The same, asked from its own host: no door is in the way there.
    pub fn query_at_host(&self, sql: &str) -> Result<String, String> {
        let mut ask = self.lab.fabric.command_as_server(&self.host, program("psql"));
        ask.args(["-h", "127.0.0.1", "-U", "postgres", "-XAtqc", sql]).current_dir("/");
        let done = ask.output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match done.status.success() {
            true => Ok(text(&done.stdout)),
            false => Err(text(&done.stderr)),
        }
    }

    /// The first column of every row.
    pub fn rows(&self, sql: &str) -> Result<Vec<String>, String> {
        rows(self.address(), sql)
    }

    /// Where it keeps its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The first column of every row of a server that anybody may have started.
pub fn rows(server: SocketAddr, sql: &str) -> Result<Vec<String>, String> {
    let config = superuser(server);
    let runtime = runtime();
    let asked = runtime.block_on(async {
        tokio::time::timeout(QUERY, async {
            let (client, connection) = config.connect(NoTls).await?;
            let driven = tokio::spawn(connection);
            let messages = client.simple_query(sql).await;
            driven.abort();
            messages
        })
        .await
    });
    let messages = match asked {
        Ok(Ok(messages)) => messages,
        Ok(Err(error)) => return Err(plain(&error)),
        Err(_) => return Err(format!("no answer within {QUERY:?}")),
    };
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    Ok(rows.collect())
}

/// An error with its cause: tokio-postgres prints only the kind.
pub(super) fn plain(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

pub(super) fn superuser(server: SocketAddr) -> Config {
    let mut config = Config::new();
    config.host(server.ip().to_string()).port(server.port()).user("postgres").dbname("postgres");
    config.connect_timeout(Duration::from_secs(1));
    config
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("threads can have a runtime")
}

/// A program of the release that was asked for, or else of the newest that is installed.
pub fn program(name: &str) -> PathBuf {
    let programs = match release("postgresql") {
        Some(release) => {
            let versions = foreign(&release).join("root/usr/lib/postgresql");
            let version = fs::read_dir(versions).into_iter().flatten().flatten().next();
            version.map(|version| version.path().join("bin"))
        }
        None => postgres_programs(),
    };
    programs.expect("PostgreSQL is not installed: `./tests/run install` does that").join(name)
}

/// A data folder as `initdb` leaves it, made once and copied for every test: that saves half a second each.
fn template(lab: &Lab) -> PathBuf {
    let folder = build_folder();
    fs::create_dir_all(&folder).expect("the build folder takes folders");
    let template = folder.join(release("postgresql").as_deref().unwrap_or("postgres"));
    let lock = File::create(folder.join("postgres.lock")).expect("build folder takes files");
    lock.lock().expect("files can be locked");
    if !template.exists() {
        let fresh = lab.folder("template");
        initialise(lab, "client", &fresh);
        let half = folder.join("postgres.half");
        let _ = fs::remove_dir_all(&half);
        copy(&fresh, &half);
        fs::rename(&half, &template).expect("same folder");
    }
    template
}

/// Makes a data folder of a folder that is empty.
fn initialise(lab: &Lab, host: &str, folder: &Path) {
    give_to_server_user(folder);
    let mut init = lab.fabric.command_as_server(host, program("initdb"));
    init.args(["-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "--encoding=UTF8"]);
    // Since version 18 there are checksums unless one says so, and whoever has them can be rewound.
    let help = output(Command::new(program("initdb")).arg("--help"));
    init.args(help.contains("--no-data-checksums").then_some("--no-data-checksums"));
    run(init.args(["--no-instructions", "-D"]).arg(folder).current_dir("/"));
}

/// Copies a folder with its permissions; `to` may be there already, if empty.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-a", "-T"]).arg(from).arg(to));
}

/// Makes the role for Quorate.
fn role() -> String {
    format!("create role {USER} superuser login password '{PASSWORD}'")
}

/// Before a command that root runs as the server's user.
fn as_server_user() -> String {
    server_user().map_or_else(String::new, |user| {
        format!("setpriv --reuid {user} --regid {user} --init-groups -- ")
    })
}

fn configure(lab: &Lab, host: &str, folder: &Path) {
    // Outside the data folder, or the standby's copy would hold the primary's lock file and not start.
    let sockets = lab.folder(&format!("{host}-sockets"));
    give_to_server_user(&sockets);
    let settings = format!(
        "listen_addresses = '*'\nport = 5432\nunix_socket_directories = '{}'\n\
         wal_level = replica\nhot_standby = on\nwal_log_hints = on\nmax_wal_senders = 5\n\
         max_replication_slots = 5\nwal_keep_size = 64MB\nshared_buffers = 16MB\n\
         max_connections = 60\nfsync = {}\nwal_receiver_timeout = 5s\nwal_retrieve_retry_interval = 200ms\n",
        sockets.display(),
        // In memory there is nothing to sync to.
        if lab.on_disk() { "on" } else { "off" },
    );
    fs::write(folder.join("postgresql.conf"), settings).expect("scratch folder takes files");
    let access = format!(
        "local all all trust\nhost all {USER} all scram-sha-256\nhost all all all trust\n\
         host replication all all trust\n"
    );
    fs::write(folder.join("pg_hba.conf"), access).expect("scratch folder takes files");
    give_to_server_user(folder);
}
