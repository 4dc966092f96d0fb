//! Patroni with etcd, repmgr and Redis Sentinel, as Debian 12 has them, each set up as its manual says.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::harness::fabric::address;
use tests::harness::lab::{Lab, give_to_server_user};
use tests::harness::postgres::{Postgres, Replication, program, rows};
use tests::harness::process::{Process, run};
use tests::harness::redis::Redis;
use tests::harness::wait::eventually;

use crate::database::{Death, Profile, commands, insert, set, statements};
use crate::sentinel::{self, known};

const UP: Duration = Duration::from_secs(90);
/// Where etcd and whoever else votes lives.
const VOTERS: [&str; 3] = ["r1", "r2", "r3"];

/// A PostgreSQL pair under Patroni, its state in an etcd of three.
pub fn patroni(lab: &Lab, profile: Profile) {
    let _etcd = VOTERS.map(|host| etcd(lab, host));
    let mut first = Patroni::start(lab, "s1", profile);
    eventually(UP, "s1 is the primary", || insert_table(first.server()));
    let second = Patroni::start(lab, "s2", profile);
    let streams = "select count(*) from pg_stat_replication where state = 'streaming'";
    eventually(UP, "s2 streams", || is_one(&rows(first.server(), streams)?));
    let row = "select count(*) from ledger";
    eventually(UP, "s2 has all", || is_one(&rows(second.server(), row)?));
    let death = Death::of_s1(lab, statements(lab, "s1-patroni", first.server()));
    first.process.kill();
    // Its server is a group of its own.
    let postmaster = fs::read_to_string(first.folder.join("data/postmaster.pid"));
    let postmaster = postmaster.expect("it runs").lines().next().unwrap_or_default().to_owned();
    run(Command::new("kill").args(["-KILL", &postmaster]));
    death.report(lab, || insert(second.server()));
}

fn is_one(rows: &[String]) -> Result<(), String> {
    if rows == ["1"] { Ok(()) } else { Err(format!("{rows:?}")) }
}

fn insert_table(server: SocketAddr) -> Result<(), String> {
    rows(server, "create table if not exists ledger (row bigint primary key)")?;
    insert(server)
}

fn etcd(lab: &Lab, host: &str) -> Process {
    let own = address(host);
    let all = VOTERS.map(|host| format!("{host}=http://{}:2380", address(host)));
    let mut command = lab.fabric.command(host, "etcd");
    command.args(["--name", host, "--initial-cluster", &all.join(",")]);
    command.args(["--initial-cluster-state", "new", "--data-dir"]);
    command.arg(lab.folder(&format!("{host}-etcd")));
    for (name, port) in [
        ("--listen-client-urls", 2379),
        ("--advertise-client-urls", 2379),
        ("--listen-peer-urls", 2380),
        ("--initial-advertise-peer-urls", 2380),
    ] {
        command.arg(name).arg(format!("http://{own}:{port}"));
    }
    Process::start(lab, &format!("{host}-etcd"), &mut command)
}

/// Patroni on a host, and the server it runs.
struct Patroni {
    host: String,
    folder: PathBuf,
    process: Process,
}

impl Patroni {
    fn start(lab: &Lab, host: &str, profile: Profile) -> Self {
        let folder = lab.folder(&format!("{host}-patroni"));
        let own = address(host);
        // 20 is the least `ttl` that Patroni takes, and 3 the least `retry_timeout`.
        let (ttl, wait, retry) = match profile {
            Profile::Defaults => (30, 10, 10),
            Profile::Fast => (20, 1, 3),
        };
        let etcd = VOTERS.map(|host| format!("{}:2379", address(host))).join(", ");
        let place = folder.display();
        let programs = program("postgres");
        let programs = programs.parent().expect("in a folder").display();
        let text = format!(
            "scope: shop\nname: {host}\nrestapi:\n  listen: {own}:8008\n  connect_address: {own}:8008\n\
             etcd3:\n  hosts: [{etcd}]\n\
             bootstrap:\n  dcs:\n    ttl: {ttl}\n    loop_wait: {wait}\n    retry_timeout: {retry}\n    \
             postgresql:\n      use_pg_rewind: true\n  \
             initdb:\n  - encoding: UTF8\n  - locale: C\n  - auth: trust\n  \
             pg_hba:\n  - local all all trust\n  - host all all all trust\n  - host replication all all trust\n\
             postgresql:\n  listen: {own}:5432\n  connect_address: {own}:5432\n  data_dir: {place}/data\n  \
             bin_dir: {programs}\n  pgpass: {place}/pgpass\n  \
             authentication:\n    superuser: {{username: postgres, password: a}}\n    \
             replication: {{username: replicator, password: b}}\n  \
             parameters:\n    unix_socket_directories: {place}\n    shared_buffers: 16MB\n    fsync: {}\n",
            if lab.on_disk() { "'on'" } else { "'off'" },
        );
        let file = folder.join("patroni.yml");
        fs::write(&file, text).expect("scratch folder takes files");
        give_to_server_user(&folder);
        let mut command = lab.fabric.command_as_server(host, "/usr/bin/patroni");
        command.arg(file).current_dir("/");
        let process = Process::start(lab, &format!("{host}-patroni"), &mut command);
        Self { host: host.to_owned(), folder, process }
    }

    fn server(&self) -> SocketAddr {
        (address(&self.host), 5432).into()
    }
}

/// A PostgreSQL pair with a repmgrd beside each server.
pub fn repmgr(lab: &Lab, profile: Profile) {
    let mut primary = Postgres::primary(lab, "s1");
    primary.query("alter system set shared_preload_libraries = 'repmgr'");
    primary.kill();
    primary.restart();
    let files = [("s1", 1), ("s2", 2)].map(|(host, id)| repmgr_file(lab, host, id, profile));
    register(lab, "s1", &files[0], "primary");
    let standby = Postgres::standby(&primary, "s2", Replication::Asynchronous);
    register(lab, "s2", &files[1], "standby");
    let mut daemons = [("s1", &files[0]), ("s2", &files[1])].map(|(host, file)| {
        let mut command = lab.fabric.command_as_server(host, "repmgrd");
        command.arg("-f").arg(file).args(["--daemonize=false", "--no-pid-file"]).current_dir("/");
        Process::start(lab, &format!("{host}-repmgrd"), &mut command)
    });
    eventually(UP, "the standby's daemon watches the primary", || {
        let said = daemons[1].said();
        if said.contains("monitoring connection to upstream node") { Ok(()) } else { Err(said) }
    });
    let death = Death::of_s1(lab, statements(lab, "s1-postgres", primary.address()));
    daemons[0].kill();
    primary.kill();
    death.report(lab, || insert(standby.address()));
}

fn repmgr_file(lab: &Lab, host: &str, id: u32, profile: Profile) -> PathBuf {
    let own = address(host);
    let folder = lab.folder(&format!("{host}-repmgr"));
    let file = folder.join("repmgr.conf");
    let (data, place) = (lab.folder(&format!("{host}-data")), file.display());
    let programs = program("postgres");
    let programs = programs.parent().expect("in a folder").display();
    // `failover` is off by default; all else that has a default keeps it.
    let pace = match profile {
        Profile::Defaults => "",
        Profile::Fast => "monitor_interval_secs=1\nreconnect_attempts=1\nreconnect_interval=1\n",
    };
    let text = format!(
        "node_id={id}\nnode_name='{host}'\n\
         conninfo='host={own} user=postgres dbname=postgres connect_timeout=2'\n\
         data_directory='{}'\npg_bindir='{programs}'\nfailover=automatic\n\
         promote_command='repmgr standby promote -f {place} --log-to-file'\n\
         follow_command='repmgr standby follow -f {place} --log-to-file --upstream-node-id=%n'\n{pace}",
        data.display()
    );
    fs::write(&file, text).expect("scratch folder takes files");
    give_to_server_user(&folder);
    file
}

fn register(lab: &Lab, host: &str, file: &Path, role: &str) {
    let mut command = lab.fabric.command_as_server(host, "repmgr");
    run(command.arg("-f").arg(file).args([role, "register", "--force"]).current_dir("/"));
}

/// A Redis pair and three Sentinels.
pub fn sentinel(lab: &Lab, profile: Profile) {
    let mut primary = Redis::start(lab, "s1", None);
    let replica = Redis::start(lab, "s2", Some("s1"));
    // As long as our shortest window.
    let pace = match profile {
        Profile::Defaults => String::new(),
        Profile::Fast => {
            "sentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 10000\n"
                .to_owned()
        }
    };
    let _sentinels = VOTERS.map(|host| sentinel::watcher(lab, host, &pace));
    eventually(UP, "every sentinel knows the others and the replica", || {
        VOTERS.iter().try_for_each(|host| known(host))
    });
    let death = Death::of_s1(lab, || commands(&primary));
    primary.process.kill();
    death.report(lab, || set(&replica));
}
