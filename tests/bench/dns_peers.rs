//! The DNS servers of others, each as Debian has it, with its limits and logs off.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// A running server: a process group of its own, killed when dropped.
pub struct Server {
    pub name: &'static str,
    pub port: u16,
    child: Child,
}

/// How each is started, given a folder that holds the zone as `zone`.
pub const PEERS: [fn(&Path) -> Server; 4] = [knot, nsd, gdnsd, powerdns];

impl Server {
    pub fn spawn(name: &'static str, port: u16, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        Self { name, port, child }
    }

    /// Of all its processes.
    pub fn cpu_seconds(&self) -> f64 {
        // Fields 14 and 15 of proc(5)'s `stat`, in hundredths of a second.
        let ticks = self.processes().into_iter().map(|stat| {
            let times = stat.iter().skip(11).take(2);
            times.map(|field| field.parse::<f64>().expect("a number")).sum::<f64>()
        });
        ticks.sum::<f64>() / 100.0
    }

    /// Resident in all its processes, in MiB; what they share counts once for each.
    pub fn memory(&self) -> f64 {
        let pages = self.processes().into_iter();
        pages.map(|stat| stat[21].parse::<f64>().expect("a number")).sum::<f64>() * 4096.0
            / (1024.0 * 1024.0)
    }

    /// The fields of `stat` from the third on, for every process of the group.
    fn processes(&self) -> Vec<Vec<String>> {
        let group = self.child.id().to_string();
        let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
        let stats = entries.filter_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, fields) = stat.rsplit_once(')')?;
            Some(fields.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        });
        stats.filter(|fields| fields.get(2) == Some(&group)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("below the folder")).expect("a scratch folder");
    fs::write(&path, text).expect("a scratch folder takes files");
    path
}

fn knot(folder: &Path) -> Server {
    let (port, home) = (5301, folder.join("knot"));
    let home = home.display();
    let text = format!(
        "server:\n  rundir: {home}\n  listen: 127.0.0.1@{port}\ndatabase:\n  storage: {home}\n\
         log:\n  - target: stderr\n    any: error\nzone:\n  - domain: bench.test\n    file: {}\n    \
         zonefile-sync: -1\n    journal-content: none\n",
        folder.join("zone").display()
    );
    let file = write(folder, "knot/knot.conf", &text);
    Server::spawn("knot", port, Command::new("/usr/sbin/knotd").arg("-c").arg(file))
}

fn nsd(folder: &Path) -> Server {
    let (port, home) = (5302, folder.join("nsd"));
    let home = home.display();
    let text = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  rrl-ratelimit: 0\n  \
         rrl-whitelist-ratelimit: 0\n  username: \"\"\n  database: \"\"\n  pidfile: \"\"\n  \
         zonelistfile: {home}/zones\n  xfrdfile: {home}/xfrd\n  xfrdir: {home}\n  zonesdir: {home}\n\
         remote-control:\n  control-enable: no\n\
         zone:\n  name: bench.test\n  zonefile: {}\n",
        folder.join("zone").display()
    );
    let file = write(folder, "nsd/nsd.conf", &text);
    Server::spawn("nsd", port, Command::new("/usr/sbin/nsd").args(["-d", "-c"]).arg(file))
}

fn gdnsd(folder: &Path) -> Server {
    let (port, home) = (5303, folder.join("gdnsd"));
    let text = format!(
        "options => {{ listen => 127.0.0.1:{port}, run_dir => {home}/run, state_dir => {home}/state }}\n",
        home = home.display()
    );
    write(folder, "gdnsd/config", &text);
    let zone = fs::read_to_string(folder.join("zone")).expect("written a moment ago");
    write(folder, "gdnsd/zones/bench.test", &zone);
    for below in ["run", "state"] {
        fs::create_dir_all(home.join(below)).expect("a scratch folder");
    }
    Server::spawn(
        "gdnsd",
        port,
        Command::new("/usr/sbin/gdnsd").arg("-c").arg(home).arg("start").stderr(Stdio::null()),
    )
}

fn powerdns(folder: &Path) -> Server {
    let port = 5304;
    let zones = format!(
        "zone \"bench.test\" {{ type master; file \"{}\"; }};\n",
        folder.join("zone").display()
    );
    let zones = write(folder, "pdns/named.conf", &zones);
    let text = format!(
        "launch=bind\nbind-config={}\nlocal-address=127.0.0.1\nlocal-port={port}\nsocket-dir={}\n\
         daemon=no\nguardian=no\nloglevel=3\nsecurity-poll-suffix=\nzone-cache-refresh-interval=0\n",
        zones.display(),
        folder.join("pdns").display()
    );
    write(folder, "pdns/pdns.conf", &text);
    let mut command = Command::new("/usr/sbin/pdns_server");
    command.arg(format!("--config-dir={}", folder.join("pdns").display()));
    Server::spawn("pdns", port, command.stderr(Stdio::null()))
}
