//! MySQL on a host, as `tests/foreign` fetches it: a primary, or a replica of another host's by GTID.
//!
//! What a primary acknowledges, one of its replicas has: commits wait for that (semi-synchronous replication), for ever.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::authority::options;
use super::fabric::address;
use super::lab::{Lab, build_folder, foreign, give_to_server_user, server_user};
use super::postgres::{PASSWORD, USER};
use super::process::{Process, run};
use super::sql::{PORT, START, SqlServer, Words, deploy, kept_alive, quorate, service};
use super::wait::eventually;

/// What Quorate may do, as README.md asks for it ("Rights").
const RIGHTS: [&str; 2] = [
    "replication slave, replication client, replication_slave_admin, system_variables_admin, connection_admin, process, \
     reload on *.*",
    "create, select, insert, update on quorate.*",
];

/// The tests log in from the router.
const INIT: &str = "create user root@'%';\ngrant all on *.* to root@'%' with grant option;\n";

/// One that is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The last that knows `SHOW MASTER STATUS`.
    V8_0,
    /// It knows `SHOW BINARY LOG STATUS` only.
    V8_4,
}

impl Version {
    fn name(self) -> &'static str {
        match self {
            Self::V8_0 => "mysql-8.0",
            Self::V8_4 => "mysql-8.4",
        }
    }
}

/// MySQL on a host.
pub struct MySql<'a> {
    lab: &'a Lab,
    host: String,
    folder: PathBuf,
    version: Version,
    /// Its process.
    pub process: Process,
}

impl<'a> MySql<'a> {
    /// A primary with a table `app.ledger`, and a replica of it on every other host.
    pub fn start<const N: usize>(lab: &'a Lab, version: Version, hosts: [&str; N]) -> [Self; N] {
        let primary = hosts[0];
        let servers = hosts.map(|host| {
            let settings: &[&str] = if host == primary { &[] } else { &REPLICA };
            Self::launch(lab, version, host, settings)
        });
        let first = &servers[0];
        first.furnish(&RIGHTS);
        for replica in &servers[1..] {
            replica.follow(first);
        }
        first.sql("set global rpl_semi_sync_source_timeout = 3600000");
        first.sql("set global rpl_semi_sync_source_enabled = 1");
        servers
    }

    fn launch(lab: &'a Lab, version: Version, host: &str, settings: &[&str]) -> Self {
        let folder = lab.folder(&format!("{host}-mysql"));
        let data = folder.join("data");
        run(Command::new("cp").args(["-a", "-T"]).arg(template(lab, version)).arg(&data));
        // Who it is, it makes up itself.
        let _ = fs::remove_file(data.join("auto.cnf"));
        fs::write(folder.join("init.sql"), "").expect("own folder");
        give_to_server_user(&folder);
        let process = spawn(lab, version, host, &folder, settings);
        let server = Self { lab, host: host.to_owned(), folder, version, process };
        server.answers();
        server
    }

    fn follow(&self, primary: &Self) {
        let from = address(&primary.host);
        self.sql(&format!(
            "change replication source to source_host = '{from}', source_port = {PORT}, source_user = '{USER}', \
             source_password = '{PASSWORD}', source_auto_position = 1, source_connect_retry = 1, \
             source_heartbeat_period = 1, get_source_public_key = 1"
        ));
        self.sql("start replica");
        eventually(START, &format!("{} has all", self.host), || self.has_all_of(primary));
    }

    /// Copies the new primary anew with `deploy/rebuild-mysql`.
    fn rebuild(&self) -> String {
        let (script, data) = (deploy("rebuild-mysql"), self.folder.join("data"));
        let user = server_user().map(|user| format!(" --user {user}")).unwrap_or_default();
        let server = program(self.version).join(" ");
        format!("{script} --data {}{user} --server '{server} {SMALL}'", data.display())
    }
}

impl SqlServer for MySql<'_> {
    const WORDS: Words = Words {
        status: "show replica status",
        source: "Source_Host",
        sound: [
            ("Replica_IO_Running", "Yes"),
            ("Replica_SQL_Running", "Yes"),
            ("Auto_Position", "1"),
        ],
        held: "select @@global.gtid_executed",
        closed: "select @@super_read_only",
        waits_for_nobody: "set global rpl_semi_sync_source_enabled = 0",
        patient: ["stop replica", "set global replica_net_timeout = 30", "start replica"],
        row: ["###   @1=", "\n"],
    };

    fn lab(&self) -> &Lab {
        self.lab
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.lab, self.version, &self.host, &self.folder, &REPLICA);
        self.answers();
    }

    fn restart_as_service(&mut self) {
        let words = [program(self.version), of_place(self.lab, &self.host, &self.folder)]
            .concat()
            .join(" ");
        let server = format!("{words} {} {}", FIXED.join(" "), REPLICA.join(" "));
        let mut command = self.lab.fabric.command_as_server(&self.host, "sh");
        command.args(["-c", &kept_alive(&self.folder, &server)]).current_dir("/");
        self.process.kill();
        self.process = Process::start(self.lab, &format!("{}-mysql", self.host), &mut command);
    }

    fn lose_data(&mut self) {
        self.process.kill();
        let data = self.folder.join("data");
        fs::remove_dir_all(&data).expect("nobody uses it");
        run(Command::new("cp").args(["-a", "-T"]).arg(template(self.lab, self.version)).arg(&data));
        let _ = fs::remove_file(data.join("auto.cnf"));
        let init = "set sql_log_bin = 0;\n".to_owned() + &quorate(&RIGHTS);
        fs::write(self.folder.join("init.sql"), init).expect("own folder");
        give_to_server_user(&self.folder);
    }

    fn rejoins(&self, rebuilt_from: Option<&Self>) -> Vec<String> {
        let place = |name: &str| self.folder.join(name).display().to_string();
        // What MariaDB has under this name does not know MySQL's GTIDs.
        let log = self.folder.join("mysqlbinlog");
        let run = foreign(self.version.name()).join("run");
        let text = format!("#!/bin/sh\nexec {} mysqlbinlog \"$@\"\n", run.display());
        fs::write(&log, text).expect("own folder");
        fs::set_permissions(&log, Permissions::from_mode(0o755)).expect("own file");
        let bin = self.folder.display().to_string();
        let mut words = vec![deploy("rejoin-mysql"), "--socket".into(), place("socket")];
        words.extend(["--bin".to_owned(), bin]);
        if rebuilt_from.is_none() {
            return words;
        }
        let [stop, start] = service(&self.folder);
        let server = [program(self.version), FIXED.map(str::to_owned).to_vec()].concat().join(" ");
        let id = address(&self.host).octets()[2];
        for (option, value) in [
            ("--data", place("data")),
            ("--server", format!("{server} --server-id={id} --tmpdir={}", self.folder.display())),
            ("--stop", stop),
            ("--start", start),
            ("--rebuild", self.rebuild()),
        ] {
            words.extend([option.to_owned(), value]);
        }
        if let Some(user) = server_user() {
            words.extend(["--user".to_owned(), user.to_owned()]);
        }
        words
    }
}

const REPLICA: [&str; 2] = ["--super-read-only=1", "--rpl-semi-sync-replica-enabled=1"];

fn spawn(lab: &Lab, version: Version, host: &str, folder: &Path, settings: &[&str]) -> Process {
    let mut command = server(lab, version, host);
    command.args(of_place(lab, host, folder)).args(FIXED).args(settings).current_dir("/");
    Process::start(lab, &format!("{host}-mysql"), &mut command)
}

/// What goes by where it is.
fn of_place(lab: &Lab, host: &str, folder: &Path) -> Vec<String> {
    let id = address(host).octets()[2];
    let place = |name: &str| folder.join(name).display().to_string();
    let settings = [
        ("datadir", place("data")),
        ("socket", place("socket")),
        ("pid-file", place("pid")),
        ("tmpdir", folder.display().to_string()),
        ("init-file", place("init.sql")),
        ("port", PORT.to_string()),
        ("server-id", id.to_string()),
    ];
    let settings = settings.map(|(setting, value)| format!("--{setting}={value}"));
    settings.into_iter().chain(options(lab, host)).collect()
}

/// The program as a host's server.
fn server(lab: &Lab, version: Version, host: &str) -> Command {
    let words = program(version);
    let mut command = lab.fabric.command_as_server(host, &words[0]);
    command.args(&words[1..]);
    command
}

/// The program with the words that it always needs, because it is not where it was built for.
fn program(version: Version) -> Vec<String> {
    let folder = foreign(version.name());
    let own = folder.join("root/usr");
    let run = folder.join("run").display().to_string();
    let mut words = [&run, "mysqld", "--no-defaults"].map(str::to_owned).to_vec();
    for (setting, place) in
        [("basedir", ""), ("plugin-dir", "lib/mysql/plugin"), ("lc-messages-dir", "share/mysql")]
    {
        words.push(format!("--{setting}={}", own.join(place).display()));
    }
    words
}

const SMALL: &str = "--innodb-redo-log-capacity=8M";

const FIXED: [&str; 18] = [
    "--bind-address=0.0.0.0",
    "--mysqlx=OFF",
    "--secure-file-priv=NULL",
    "--log-bin=bin",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--plugin-load-add=rpl_semi_sync_source=semisync_source.so",
    "--plugin-load-add=rpl_semi_sync_replica=semisync_replica.so",
    "--plugin-load-add=clone=mysql_clone.so",
    "--skip-name-resolve",
    "--replica-net-timeout=5",
    "--innodb-buffer-pool-size=16M",
    SMALL,
    "--innodb-use-native-aio=OFF",
    "--performance-schema=OFF",
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
    "--innodb-doublewrite=OFF",
];

/// A data folder as `mysqld --initialize-insecure` leaves it, made once and copied for every server: that takes seconds.
fn template(lab: &Lab, version: Version) -> PathBuf {
    let name = version.name();
    let folder = build_folder();
    fs::create_dir_all(&folder).expect("the build folder takes folders");
    let template = folder.join(name);
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("it takes files");
    lock.lock().expect("files can be locked");
    if !template.exists() {
        let fresh = lab.folder(&format!("{name}-template"));
        let (data, init) = (fresh.join("data"), fresh.join("init.sql"));
        fs::write(&init, INIT).expect("scratch folder takes files");
        give_to_server_user(&fresh);
        let mut make = server(lab, version, "client");
        make.args(["--initialize-insecure", SMALL]).current_dir("/");
        make.arg(format!("--init-file={}", init.display()));
        run(make.arg(format!("--datadir={}", data.display())).env("TMPDIR", &fresh));
        let half = folder.join(format!("{name}.half"));
        let _ = fs::remove_dir_all(&half);
        run(Command::new("cp").args(["-a", "-T"]).arg(data).arg(&half));
        fs::rename(&half, &template).expect("same folder");
    }
    template
}
