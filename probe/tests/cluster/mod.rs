//! A real PostgreSQL primary and its standbys, in a folder of their own, ended with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Long enough for a slow disk; every wait polls.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server.
pub struct Cluster {
    pub port: u16,
    home: TempDir,
    binaries: PathBuf,
    as_postgres: bool,
}

impl Cluster {
    /// A primary with these lines in its configuration and in `pg_hba.conf` (before those that trust the socket).
    pub fn primary(settings: &[&str], hba: &[&str]) -> Self {
        let mut cluster = Self::empty();
        let data = cluster.data();
        let initdb = ["-A", "trust", "-U", "postgres", "--no-sync", "--no-instructions"];
        cluster.must("initdb", &[&["-D", &data, "--locale=C", "-E", "UTF8"], &initdb[..]].concat());
        let trusting = ["local all all trust", "host replication all 127.0.0.1/32 trust"];
        let hba: Vec<&str> = trusting.iter().chain(hba).copied().collect();
        cluster.write("pg_hba.conf", &hba.join("\n"));
        let common = [
            "listen_addresses = '127.0.0.1'",
            "fsync = off",
            "shared_buffers = 16MB",
            "wal_level = replica",
            "wal_keep_size = 64MB",
            "max_wal_senders = 4",
        ];
        let lines: Vec<&str> = common.iter().chain(settings).copied().collect();
        cluster.write("quorate.conf", &lines.join("\n"));
        cluster.append("postgresql.conf", "include 'quorate.conf'");
        cluster.start();
        cluster
    }

    /// A streaming standby of this server, which knows it by `name` if one is given.
    pub fn standby(&self, conninfo: &str, settings: &[&str]) -> Self {
        let mut standby = Self::empty();
        let port = self.port.to_string();
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
        let how = ["-X", "stream", "-c", "fast", "--no-sync"];
        let data = standby.data();
        standby.must("pg_basebackup", &[&from[..], &["-D", &data], &how[..]].concat());
        let conninfo = format!("host=127.0.0.1 port={port} user=postgres {conninfo}");
        let conninfo = conninfo.replace('\'', "''");
        standby.append("quorate.conf", &format!("primary_conninfo = '{conninfo}'"));
        for setting in settings {
            standby.append("quorate.conf", setting);
        }
        standby.append("standby.signal", "");
        standby.start();
        standby
    }

    /// Whoever receives its log under this name, and says at once what it has on disk.
    pub fn receiver(&self, name: &str) -> Receiver {
        let folder = tempfile::Builder::new().prefix("wal-").tempdir_in(self.home.path());
        let folder = folder.expect("a folder").keep();
        self.give(&folder, "700");
        let port = self.port;
        let from = format!("host=127.0.0.1 port={port} user=postgres application_name={name}");
        let mut command = self.command("pg_receivewal");
        command.args(["--synchronous", "--no-loop", "-d", &from, "-D"]).arg(folder);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Receiver(command.spawn().expect("the program runs"))
    }

    /// What this statement answers, as `psql -At` prints it.
    pub fn sql(&self, statement: &str) -> String {
        let output = self.psql(statement);
        assert!(output.status.success(), "{statement}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// Asks until it answers this.
    pub fn wait_for(&self, statement: &str, answer: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.psql(statement);
            if text(&output.stdout).trim() == answer {
                return;
            }
            assert!(Instant::now() < deadline, "{statement}: {output:?}");
        }
    }

    pub fn stop(&self, mode: &str) {
        let data = self.data();
        let _ = self.run("pg_ctl", &["-D", &data, "-s", "-w", "-m", mode, "stop"]);
    }

    /// Puts a file into the data folder.
    pub fn write(&self, name: &str, content: &str) {
        let path = Path::new(&self.data()).join(name);
        std::fs::write(&path, format!("{content}\n")).expect("the data folder is ours");
        self.give(&path, "600");
    }

    /// What the server wrote about itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    fn append(&self, name: &str, content: &str) {
        let path = Path::new(&self.data()).join(name);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        self.write(name, &format!("{before}{content}"));
    }

    fn empty() -> Self {
        let binaries = ["15", "16", "17", "18", "14", "13"]
            .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
            .into_iter()
            .find(|path| path.join("initdb").exists())
            .expect("PostgreSQL is installed: `apt-get install postgresql`");
        let home = tempfile::Builder::new().prefix("quorate-pg-").tempdir().expect("a folder");
        let as_postgres = rustix::process::geteuid().is_root();
        let cluster = Self { port: 0, home, binaries, as_postgres };
        cluster.give(cluster.home.path(), "700");
        cluster
    }

    fn data(&self) -> String {
        self.home.path().join("data").display().to_string()
    }

    /// Starts, on another port if somebody else took the one that was free.
    fn start(&mut self) {
        let data = self.data();
        let home = self.home.path().display().to_string();
        let mut last = None;
        for _ in 0..5 {
            self.port = free_port();
            let options = format!("-p {} -k {home}", self.port);
            let log = format!("{home}/log");
            let output = self.run(
                "pg_ctl",
                &["-D", &data, "-s", "-w", "-t", "60", "-l", &log, "-o", &options, "start"],
            );
            if output.status.success() {
                return;
            }
            last = Some((output, std::fs::read_to_string(&log).unwrap_or_default()));
        }
        panic!("PostgreSQL does not start: {last:?}");
    }

    fn psql(&self, statement: &str) -> Output {
        let home = self.home.path().display().to_string();
        let port = self.port.to_string();
        let to = ["-h", &home, "-p", &port, "-U", "postgres", "-d", "postgres"];
        self.run("psql", &[&["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement], &to[..]].concat())
    }

    fn must(&self, program: &str, arguments: &[&str]) {
        let output = self.run(program, arguments);
        assert!(output.status.success(), "{program}: {}", text(&output.stderr));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(program);
        // A server that `pg_ctl` leaves behind must not hold our pipes: they are files.
        let out = tempfile::tempfile().expect("a file");
        let err = tempfile::tempfile().expect("a file");
        let status = command
            .args(arguments)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a handle"))
            .stderr(err.try_clone().expect("a handle"))
            .status()
            .expect("the program runs");
        Output { status, stdout: content(out), stderr: content(err) }
    }

    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if self.as_postgres {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
        }
        command.arg(program);
        command
    }

    fn give(&self, path: &Path, mode: &str) {
        if self.as_postgres {
            let given = Command::new("chown").arg("postgres:postgres").arg(path).status();
            assert!(given.is_ok_and(|status| status.success()), "chown {}", path.display());
        }
        let set = Command::new("chmod").arg(mode).arg(path).status();
        assert!(set.is_ok_and(|status| status.success()), "chmod {}", path.display());
    }
}

/// Receives a server's log, and is none; ends when dropped.
pub struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop("immediate");
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn content(mut file: std::fs::File) -> Vec<u8> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut bytes).expect("a file");
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
