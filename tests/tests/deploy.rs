//! What is shipped beside the binary: the unit is one that systemd takes without a word, and hardened.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `systemd-analyze security` may find at most, times ten; 100 is a service without any protection.
const EXPOSURE: u32 = 20;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// The unit in a folder of its own, with a program in `ExecStart` that is there.
fn unit() -> (tempfile::TempDir, PathBuf) {
    let text = fs::read_to_string(deploy("quorate.service")).expect("the unit is there");
    let start = "ExecStart=/usr/bin/quorate ";
    assert!(text.contains(start), "the unit does not start /usr/bin/quorate");
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let file = folder.path().join("quorate.service");
    let program = std::env::current_exe().expect("a running program has a path");
    let here = format!("ExecStart={} ", program.display());
    fs::write(&file, text.replace(start, &here)).expect("own folder");
    (folder, file)
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(unit).env("SYSTEMD_PAGER", "");
    command.output().expect("systemd-analyze is installed")
}

#[test]
fn systemd_takes_the_unit_without_a_word() {
    let (_folder, file) = unit();
    let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    // Unknown keys are only warned of.
    assert_eq!(said, "");
}

/// With what makes it a guard's, and the unit that shuts the doors before it.
#[test]
fn systemd_takes_a_guards_units_without_a_word() {
    let (folder, file) = unit();
    let beside = folder.path().join("quorate.service.d");
    fs::create_dir(&beside).expect("own folder");
    fs::copy(deploy("quorate-guard.conf"), beside.join("guard.conf")).expect("own folder");
    let program = std::env::current_exe().expect("a running program has a path");
    let doors = fs::read_to_string(deploy("quorate-doors.service")).expect("the unit is there");
    let here = format!("ExecStart={} ", program.display());
    fs::write(
        folder.path().join("quorate-doors.service"),
        doors.replace("ExecStart=/usr/bin/quorate ", &here),
    )
    .expect("own folder");
    for unit in [file, folder.path().join("quorate-doors.service")] {
        let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &unit);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        assert_eq!(said, "");
    }
}

#[test]
fn an_unknown_key_would_be_noticed() {
    let (_folder, file) = unit();
    let text = fs::read_to_string(&file).expect("just written");
    fs::write(&file, text.replace("WatchdogSec=", "WatchDogSecs=")).expect("own folder");
    let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &file);
    assert!(String::from_utf8_lossy(&output.stderr).contains("WatchDogSecs"));
}

#[test]
fn the_unit_is_hardened() {
    let (_folder, file) = unit();
    let threshold = format!("--threshold={EXPOSURE}");
    let output = analyze(&["security", "--offline=true", "--no-pager", &threshold], &file);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}", output.status);
}

#[test]
fn the_unit_waits_for_readiness_and_is_watched() {
    let text = fs::read_to_string(deploy("quorate.service")).expect("the unit is there");
    for line in ["Type=notify", "WatchdogSec=10", "User=quorate", "StateDirectory=quorate"] {
        assert!(text.lines().any(|found| found == line), "`{line}` is missing");
    }
}

#[test]
fn the_user_of_the_unit_is_made() {
    let text = fs::read_to_string(deploy("quorate.sysusers")).expect("sysusers file is there");
    assert!(text.lines().any(|line| line.starts_with("u quorate ")));
}

mod mariadb {
    use super::*;

    /// The script with a data folder that holds one file.
    fn rebuilt(place: &Path, from: &str) -> bool {
        let mut command = Command::new(deploy("rebuild-mariadb"));
        command.args(["--from", from, "--data"]).arg(place.join("data"));
        command.output().expect("the script runs").status.success()
    }

    #[test]
    fn a_copy_that_breaks_off_costs_nothing() {
        costs_nothing(rebuilt, &["exit 1", "true", "echo this is no backup", "kill -9 $$"]);
    }
}

/// A script that copies a server anew leaves the data as they were, however what it runs breaks off.
fn costs_nothing(rebuilt: fn(&Path, &str) -> bool, ways: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let row = folder.path().join("data/row");
    fs::create_dir(folder.path().join("data")).expect("own folder");
    fs::write(&row, "kept").expect("own folder");
    for way in ways {
        assert!(!rebuilt(folder.path(), way), "{way}");
        assert_eq!(fs::read_to_string(&row).ok().as_deref(), Some("kept"), "{way}");
    }
    // Ended between the two names, the run before left them like this.
    let (data, old) = (folder.path().join("data"), folder.path().join("data.replaced"));
    fs::rename(data, old).expect("own folder");
    assert!(!rebuilt(folder.path(), ways[0]));
    assert_eq!(fs::read_to_string(&row).ok().as_deref(), Some("kept"));
}

mod mysql {
    use super::*;

    /// The script with a data folder that holds one file, and this in place of a server.
    fn rebuilt(place: &Path, server: &str) -> bool {
        let mut command = Command::new(deploy("rebuild-mysql"));
        let primary = [("HOST", "192.0.2.1"), ("PORT", "3306")];
        command.envs(primary.map(|(name, value)| (format!("QUORATE_PRIMARY_{name}"), value)));
        command.env("QUORATE_USER", "quorate").args(["--server", server, "--data"]);
        command.arg(place.join("data")).output().expect("the script runs").status.success()
    }

    #[test]
    fn a_copy_that_breaks_off_costs_nothing() {
        // One that makes no empty folder, one that makes it and never answers, one that is killed.
        costs_nothing(rebuilt, &["false", "true", "sh -c 'kill -9 $PPID; kill -9 $$'"]);
    }
}

/// A host that boots: systemd on what this machine has, with what `deploy/README.md` has an owner install.
mod booted {
    use std::net::TcpStream;
    use std::time::Duration;

    use tests::harness::agents::program;
    use tests::harness::fabric::address;
    use tests::harness::lab::{Lab, inside};
    use tests::harness::process::{Process, run};
    use tests::harness::wait::eventually;

    use super::*;

    const BOOT: Duration = Duration::from_secs(60);
    /// Stands for a database: whatever listens there.
    const DATABASE: &str = "[Unit]\nRequires=quorate-doors.service\nAfter=quorate-doors.service\n[Service]\n\
         ExecStart=/usr/bin/python3 -m http.server 5432 --directory /run\n[Install]\nWantedBy=multi-user.target\n";

    struct Host {
        process: Process,
    }

    fn said(command: &mut Command) -> Result<String, String> {
        let done = command.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        let complained = String::from_utf8_lossy(&done.stderr);
        if done.status.success() { Ok(said) } else { Err(format!("{said}{complained}")) }
    }

    /// The control groups that a host leaves behind belong to no namespace that would end with its world.
    fn sweep() -> Result<(), String> {
        let script = "find /sys/fs/cgroup/*/payload /sys/fs/cgroup/*/supervisor -depth -type d -exec rmdir {} + 2>/dev/null; \
                      ls -d /sys/fs/cgroup/*/payload 2>/dev/null; true";
        match said(Command::new("sh").args(["-c", script]))? {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        }
    }

    impl Host {
        /// Its first process.
        fn leader(&self) -> Result<String, String> {
            let found = said(Command::new("pgrep").args(["-P", &self.process.id().to_string()]));
            found.map_err(|_| "it has not begun to boot".to_owned())
        }

        /// What a command prints within it.
        fn says(&self, words: &[&str]) -> Result<String, String> {
            let mut command = Command::new("nsenter");
            command.args(["-t", &self.leader()?, "-m", "-u", "-i", "-n", "-p", "-C", "--"]);
            said(command.args(words))
        }

        /// Pulls its plug: with its first process all others end.
        fn end(mut self) {
            let leader = self.leader().expect("it runs");
            run(Command::new("kill").args(["-s", "KILL", &leader]));
            self.process.wait(BOOT);
        }

        fn shows(&self, unit: &str, key: &str, value: &str) -> Result<(), String> {
            let found = self.says(&["systemctl", "show", unit, "--value", "-p", key])?;
            if found == value { Ok(()) } else { Err(format!("{unit}: {key} is {found}")) }
        }
    }

    /// Installs as an owner is told to, into a copy of this machine's files that is forgotten with the test's world.
    fn boot(lab: &Lab, host: &str) -> Host {
        assert!(rustix::process::getuid().is_root(), "booting a host takes root");
        let place = lab.folder("host");
        run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&place));
        let [upper, work, root] = ["upper", "work", "root"].map(|name| place.join(name));
        for folder in [&upper, &work, &root] {
            fs::create_dir(folder).expect("just mounted");
        }
        let layers = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
        run(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &layers]).arg(&root));
        let inside = |path: &str| root.join(path.trim_start_matches('/'));
        // Nothing of this machine's own comes up.
        for target in ["multi-user", "timers", "sockets", "sysinit", "network-online"] {
            let wants = inside(&format!("/etc/systemd/system/{target}.target.wants"));
            if wants.exists() {
                fs::remove_dir_all(wants).expect("own layer");
            }
        }
        fs::write(inside("/etc/machine-id"), "").expect("own layer");
        let agents = ["ams-1,eu,voter,127.0.0.1:4790", "b,us,voter,127.0.0.2:4790"];
        let mut init = Command::new(program());
        init.args(["init", "--out"]).arg(inside("/root/mesh"));
        init.args(["--data-dir", "/var/lib/quorate", "--agent", agents[0], "--agent", agents[1]]);
        run(init.args(["--agent", "c,as,voter,127.0.0.3:4790"]));
        fs::copy(program(), inside("/usr/bin/quorate")).expect("own layer");
        let at = inside("/root/deploy");
        run(Command::new("cp").arg("-r").arg(deploy("")).arg(&at));
        fs::write(inside("/etc/systemd/system/database.service"), DATABASE).expect("own layer");
        let script = "set -e\ncd /root\n\
             install -m 644 deploy/quorate.sysusers /usr/lib/sysusers.d/quorate.conf && systemd-sysusers\n\
             install -d -o quorate -g quorate -m 750 /etc/quorate /var/lib/quorate\n\
             install -o quorate -g quorate -m 640 mesh/ams-1/*.crt mesh/ams-1/*.key mesh/ams-1/*.toml /etc/quorate/\n\
             cp -r mesh/ams-1/data/. /var/lib/quorate/ && chown -R quorate: /var/lib/quorate\n\
             chmod 600 /etc/quorate/agent.key\n\
             printf '\\n[[guard.door]]\\napp = \"shop\"\\ndatabase = \"orders\"\\nports = [5432]\\n' >>/etc/quorate/agent.toml\n\
             install -m 644 deploy/quorate.service deploy/quorate-doors.service /etc/systemd/system/\n\
             install -D -m 644 deploy/quorate-guard.conf /etc/systemd/system/quorate.service.d/guard.conf\n\
             systemctl enable quorate database\n";
        run(Command::new("chroot").arg(&root).args(["bash", "-c", script]));
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn.args(["--boot", "--machine=ams-1", "--register=no", "--keep-unit"]);
        nspawn.args(["--console=pipe", "--capability=CAP_NET_ADMIN"]);
        nspawn.arg(format!("--network-namespace-path=/run/netns/{host}")).arg("-D").arg(&root);
        Host { process: Process::start(lab, "host", &mut nspawn) }
    }

    #[test]
    fn a_guards_host_comes_up_with_its_door_shut_and_its_agent_comes_back() {
        inside(|lab: &Lab| {
            eventually(BOOT, "no host of before is left", sweep);
            let host = boot(lab, "s1");
            let closed = || TcpStream::connect((address("s1"), 5432)).is_err();
            // Whoever tries all the while is never let in.
            eventually(BOOT, "the database runs", || {
                assert!(closed(), "a client was let in");
                host.shows("database", "SubState", "running")
            });
            let here =
                ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 5432))"];
            eventually(BOOT, "it listens, as its own host sees", || host.says(&here));
            assert!(closed(), "its door is shut");
            eventually(BOOT, "the agent is ready", || host.shows("quorate", "SubState", "running"));
            eventually(BOOT, "all is up", || {
                host.says(&["systemctl", "is-active", "multi-user.target"])
            });
            assert!(closed(), "no lease, and no way in");

            // A member of the group asks.
            let socket = "/var/lib/quorate/agent.sock";
            let asked = ["quorate", "--agent", socket, "status"];
            let member =
                ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--groups", "quorate"];
            let said = host.says(&[&member[..], &asked[..]].concat()).expect("it answers");
            assert!(said.contains("as ams-1 in eu sees it"), "{said}");
            let stranger = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"];
            assert!(host.says(&[&stranger[..], &asked[..]].concat()).is_err());

            host.says(&["systemctl", "kill", "-s", "KILL", "quorate"]).expect("it is killed");
            eventually(BOOT, "it is started again", || host.shows("quorate", "NRestarts", "1"));
            eventually(BOOT, "it is ready again", || host.says(&asked));
            assert!(closed(), "the kernel kept the door shut");
            host.end();
            eventually(BOOT, "nothing is left of it", sweep);
        });
    }
}
