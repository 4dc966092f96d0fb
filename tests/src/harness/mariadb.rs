//! MariaDB on a host: a primary, or a replica of another host's by GTID.
//!
//! What a primary acknowledges, one of its replicas has: commits wait for that (semi-synchronous replication), for ever.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::authority::options;
use super::fabric::address;
use super::lab::{Lab, build_folder, give_to_server_user, release, server_user};
use super::postgres::{PASSWORD, USER};
use super::process::{Process, run};
use super::sql::{PORT, START, SqlServer, Words, deploy, kept_alive, quorate, service};
use super::wait::eventually;

/// What Quorate may do, as its documentation asks for it.
const RIGHTS: [&str; 2] = [
    "binlog monitor, slave monitor, replication master admin, replication slave, replication slave admin, \
     read_only admin, connection admin, binlog admin, process, reload on *.*",
    "create, select, insert, update on quorate.*",
];

/// The tests log in from the router; this is told to every server by itself and is in nobody's log.
const INIT: &str = "set sql_log_bin = 0;\ncreate user if not exists root@'%';\n\
     grant all on *.* to root@'%' with grant option;\n";

/// What a commit waits for.
const WAITING: [&str; 3] = [
    "set global rpl_semi_sync_master_wait_point = 'AFTER_SYNC'",
    "set global rpl_semi_sync_master_timeout = 3600000",
    "set global rpl_semi_sync_master_enabled = 1",
];

/// MariaDB on a host.
pub struct MariaDb<'a> {
    lab: &'a Lab,
    host: String,
    folder: PathBuf,
    /// Its process.
    pub process: Process,
}

impl<'a> MariaDb<'a> {
    /// A primary with a table `app.ledger`, and a replica of it on every other host.
    pub fn start<const N: usize>(lab: &'a Lab, hosts: [&str; N]) -> [Self; N] {
        let primary = hosts[0];
        let servers = hosts.map(|host| {
            let settings: &[&str] = if host == primary { &[] } else { &REPLICA };
            Self::launch(lab, host, template(lab), settings)
        });
        let first = &servers[0];
        first.furnish(&RIGHTS);
        for replica in &servers[1..] {
            replica.follow(first);
        }
        for setting in WAITING {
            first.sql(setting);
        }
        servers
    }

    fn launch(lab: &'a Lab, host: &str, template: PathBuf, settings: &[&str]) -> Self {
        let folder = lab.folder(&format!("{host}-mariadb"));
        run(Command::new("cp").args(["-a", "-T"]).arg(template).arg(folder.join("data")));
        fs::write(folder.join("init.sql"), INIT).expect("scratch folder takes files");
        give_to_server_user(&folder);
        let process = spawn(lab, host, &folder, settings);
        let server = Self { lab, host: host.to_owned(), folder, process };
        server.answers();
        server
    }

    fn follow(&self, primary: &Self) {
        let from = address(&primary.host);
        self.sql(&format!(
            "change master to master_host = '{from}', master_port = {PORT}, master_user = '{USER}', \
             master_password = '{PASSWORD}', master_use_gtid = slave_pos, master_connect_retry = 1, \
             master_heartbeat_period = 1"
        ));
        self.sql("start slave");
        eventually(START, &format!("{} has all", self.host), || self.has_all_of(primary));
    }

    /// Copies another server anew with `deploy/rebuild-mariadb`; what would come over ssh comes from its folder here.
    fn rebuild(&self, from: &Self) -> String {
        let (script, data) = (deploy("rebuild-mariadb"), self.folder.join("data"));
        let (data, folder) = (data.display(), from.folder.display());
        let user = server_user().map(|user| format!(" --user {user}")).unwrap_or_default();
        format!(
            "{script} --data {data}{user} --from 'mariadb-backup --no-defaults --backup --stream=xbstream \
             --datadir={folder}/data --socket={folder}/socket --user=root'"
        )
    }
}

impl SqlServer for MariaDb<'_> {
    const WORDS: Words = Words {
        status: "show slave status",
        source: "Master_Host",
        sound: [
            ("Slave_IO_Running", "Yes"),
            ("Slave_SQL_Running", "Yes"),
            ("Using_Gtid", "Slave_Pos"),
        ],
        held: "select @@gtid_binlog_pos",
        closed: "select @@read_only",
        waits_for_nobody: "set global rpl_semi_sync_master_enabled = 0",
        patient: ["stop slave", "set global slave_net_timeout = 30", "start slave"],
        row: ["insert into app.ledger values (", ")"],
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
        self.process = spawn(self.lab, &self.host, &self.folder, &REPLICA);
        self.answers();
    }

    fn restart_as_service(&mut self) {
        let words = words(self.lab, &self.host, &self.folder).join(" ");
        let script = kept_alive(
            &self.folder,
            &format!("mariadbd {words} --read-only=1 --rpl-semi-sync-slave-enabled=1"),
        );
        let mut command = self.lab.fabric.command_as_server(&self.host, "sh");
        command.args(["-c", &script]).current_dir("/");
        self.process.kill();
        self.process = Process::start(self.lab, &format!("{}-mariadb", self.host), &mut command);
    }

    fn lose_data(&mut self) {
        self.process.kill();
        let data = self.folder.join("data");
        fs::remove_dir_all(&data).expect("nobody uses it");
        run(Command::new("cp").args(["-a", "-T"]).arg(template(self.lab)).arg(&data));
        let init = INIT.to_owned() + &quorate(&RIGHTS);
        fs::write(self.folder.join("init.sql"), init).expect("own folder");
        give_to_server_user(&self.folder);
    }

    fn rejoins(&self, rebuilt_from: Option<&Self>) -> Vec<String> {
        let place = |name: &str| self.folder.join(name).display().to_string();
        let mut words = vec![deploy("rejoin-mariadb"), "--socket".into(), place("socket")];
        let Some(other) = rebuilt_from else { return words };
        let [stop, start] = service(&self.folder);
        let options: Vec<_> = words_without_place(self.lab, &self.host, &self.folder);
        for (option, value) in [
            ("--data", place("data")),
            ("--server", format!("mariadbd {}", options.join(" "))),
            ("--stop", stop),
            ("--start", start),
            ("--rebuild", self.rebuild(other)),
        ] {
            words.extend([option.to_owned(), value]);
        }
        if let Some(user) = server_user() {
            words.extend(["--user".to_owned(), user.to_owned()]);
        }
        words
    }
}

/// One that is started as a replica gives up what it logged and no replica has (`init-rpl-role`, since 10.11.9).
const REPLICA: [&str; 3] =
    ["--read-only=1", "--rpl-semi-sync-slave-enabled=1", "--init-rpl-role=SLAVE"];

fn spawn(lab: &Lab, host: &str, folder: &Path, settings: &[&str]) -> Process {
    let mut command = lab.fabric.command_as_server(host, "mariadbd");
    command.args(words(lab, host, folder)).args(settings).current_dir("/");
    Process::start(lab, &format!("{host}-mariadb"), &mut command)
}

/// What every server is started with.
fn words(lab: &Lab, host: &str, folder: &Path) -> Vec<String> {
    let id = address(host).octets()[2];
    let place = |name: &str| folder.join(name).display().to_string();
    let settings = [
        ("datadir", place("data")),
        ("socket", place("socket")),
        ("pid-file", place("pid")),
        // At its start every server removes what others left in the place it shares with them.
        ("tmpdir", folder.display().to_string()),
        ("init-file", place("init.sql")),
        ("port", PORT.to_string()),
        ("server-id", id.to_string()),
    ];
    let settings = settings.map(|(setting, value)| format!("--{setting}={value}"));
    // In memory there is nothing to sync to.
    let sync = if lab.on_disk() { "--sync-binlog=1" } else { "--sync-binlog=0" };
    let words = ["--no-defaults".to_owned()].into_iter().chain(settings);
    let fixed = FIXED.into_iter().chain([sync]).map(str::to_owned);
    words.chain(fixed).chain(options(lab, host)).collect()
}

/// The same but for where it is reached and where its data lie.
fn words_without_place(lab: &Lab, host: &str, folder: &Path) -> Vec<String> {
    let of_place = ["--datadir", "--socket", "--init-file", "--port", "--bind-address"];
    let mut words = words(lab, host, folder);
    words.retain(|word| !of_place.iter().any(|it| word.starts_with(it)));
    words
}

const FIXED: [&str; 10] = [
    "--bind-address=0.0.0.0",
    "--log-bin=bin",
    "--log-slave-updates",
    "--gtid-strict-mode=1",
    "--skip-name-resolve",
    "--slave-net-timeout=5",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--performance-schema=OFF",
    "--innodb-flush-log-at-trx-commit=2",
];

/// A data folder as `mariadb-install-db` leaves it, made once and copied for every server: that takes seconds.
fn template(lab: &Lab) -> PathBuf {
    let folder = build_folder();
    fs::create_dir_all(&folder).expect("the build folder takes folders");
    let template = folder.join(release("mariadb").as_deref().unwrap_or("mariadb"));
    let lock = File::create(folder.join("mariadb.lock")).expect("build folder takes files");
    lock.lock().expect("files can be locked");
    if !template.exists() {
        let fresh = lab.folder("mariadb-template");
        give_to_server_user(&fresh);
        let mut make = lab.fabric.command_as_server("client", "mariadb-install-db");
        make.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        make.args(["--skip-name-resolve", "--innodb-log-file-size=8M"]).current_dir("/");
        run(make.arg(format!("--datadir={}", fresh.display())).env("TMPDIR", &fresh));
        let half = folder.join("mariadb.half");
        let _ = fs::remove_dir_all(&half);
        run(Command::new("cp").args(["-a", "-T"]).arg(fresh).arg(&half));
        fs::rename(&half, &template).expect("same folder");
    }
    template
}
