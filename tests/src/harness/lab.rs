//! A world of one's own for a test: namespaces, a scratch folder, and logs that are shown when it fails.
//!
//! [`inside`] starts the test's own program again within new namespaces and runs the very same test there. The outer run
//! only waits. Programs that are no tests do the same in two halves, [`start_inside`] and [`within`]. A world that cannot be made fails the test and says what is missing; it is never skipped.

use std::any::type_name;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fabric::Fabric;
use super::process::{output, run};
use super::room::Room;

/// Set inside: the file in which the inner run says how far it came.
const MARK: &str = "QUORATE_LAB_MARK";

const STARTED: &str = "started";
const FINISHED: &str = "finished";

/// Set where figures are taken: a folder on a real disk, in place of memory.
const DISK: &str = "QUORATE_LAB_DISK";

/// Programs that every world needs, with the Debian packages they come from.
const NEEDED: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
];

/// How much of each log is shown when a test fails.
const TAIL_LINES: usize = 40;

/// Are figures taken? Else a world is one of several on the same cores, and looks less often.
pub fn for_figures() -> bool {
    env::var_os(DISK).is_some()
}

/// Runs `story` in a world of its own; the test's name is taken from the type of the closure.
pub fn inside<F: FnOnce(&Lab)>(story: F) {
    let name = test_name::<F>();
    if env::var_os(MARK).is_some() {
        within(&name, story);
    } else {
        start_inside(&["--exact", &name, "--nocapture", "--test-threads=1"]);
    }
}

/// Runs `story` in the world that [`start_inside`] made for this program.
pub fn within(name: &str, story: impl FnOnce(&Lab)) {
    let mark = PathBuf::from(env::var_os(MARK).expect("started by `start_inside`"));
    append(&mark, STARTED);
    let lab = Lab::new(name);
    story(&lab);
    append(&mark, FINISHED);
}

/// Runs this program once more, with these arguments, in a world of its own; returns what it reported.
pub fn start_inside(arguments: &[&str]) -> Vec<String> {
    let missing: Vec<_> = NEEDED.iter().filter(|(program, _)| !installed(program)).collect();
    assert!(missing.is_empty(), "not installed: {missing:?}: run `./tests/run install`");
    let _room = Room::take();
    let folder = tempfile::tempdir().expect("the system's folder for temporary files takes files");
    let mark = folder.path().join("mark");
    let status =
        again(arguments).env(MARK, &mark).status().expect("`setpriv` was found a moment ago");
    let reached = fs::read_to_string(&mark).unwrap_or_default();
    let mut lines: Vec<_> = reached.lines().map(str::to_owned).collect();
    assert!(
        lines.first().is_some_and(|line| line == STARTED),
        "cannot make namespaces ({status}): run as root, or allow user namespaces \
         (`sysctl kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu)"
    );
    let finished = lines.pop().is_some_and(|line| line == FINISHED);
    assert!(status.success() && finished, "failed inside its world: {status}");
    lines.split_off(1)
}

/// This program once more, within new namespaces that die with it.
fn again(arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.env("PATH", search_path());
    command.args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--mount", "--pid", "--ipc"]);
    command.args(["--fork", "--mount-proc", "--kill-child", "--propagation", "private"]);
    if !rustix::process::getuid().is_root() {
        // Not `--map-root-user`: PostgreSQL refuses to run as root.
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    command.arg("--").arg(env::current_exe().expect("a running program has a path"));
    command.args(arguments);
    command
}

/// `crate::story::{{closure}}` is the closure in the test `story`.
fn test_name<F>() -> String {
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_, name)| name).to_owned()
}

fn installed(program: &str) -> bool {
    env::split_paths(&search_path()).any(|folder| folder.join(program).exists())
}

/// Users other than root often have no system folders on their path.
fn search_path() -> OsString {
    let folders = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::join_paths(env::split_paths(&folders).chain(system)).expect("came from a path")
}

fn append(file: &Path, line: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(file).expect("mark opens");
    writeln!(file, "{line}").expect("mark takes a line");
}

/// The world.
pub struct Lab {
    name: String,
    root: PathBuf,
    /// Its network.
    pub fabric: Fabric,
}

impl Lab {
    fn new(name: &str) -> Self {
        for folder in ["/run", "/dev/shm"] {
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=1777", "tmpfs", folder]));
        }
        let root = scratch(name);
        fs::create_dir_all(root.join("logs")).expect("scratch folder takes folders");
        Self { name: name.to_owned(), root, fabric: Fabric::new() }
    }

    /// A folder for one thing's files, made if it is not there yet.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder).expect("scratch folder takes folders");
        folder
    }

    /// Where a process of this name writes what it says.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// Are its files on a real disk, where syncing takes its time?
    pub fn on_disk(&self) -> bool {
        for_figures()
    }

    /// Hands a line to whoever called [`start_inside`].
    pub fn report(&self, line: &str) {
        append(Path::new(&env::var_os(MARK).expect("a lab is only made inside")), line);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.root);
            return;
        }
        let kept = build_folder().join("failed").join(&self.name);
        let _ = fs::remove_dir_all(&kept);
        let copied = fs::create_dir_all(&kept).is_ok();
        let logs = fs::read_dir(self.root.join("logs")).into_iter().flatten().flatten();
        let mut logs: Vec<_> = logs.map(|entry| entry.path()).collect();
        logs.sort();
        for log in logs {
            let name = log.file_name().expect("an entry has a name");
            eprintln!("--- {} ---\n{}", name.to_string_lossy(), tail(&log));
            if copied {
                let _ = fs::copy(&log, kept.join(name));
            }
        }
        if copied {
            eprintln!("--- whole logs: {} ---", kept.display());
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn scratch(name: &str) -> PathBuf {
    let root = match env::var_os(DISK) {
        Some(folder) => PathBuf::from(folder).join(name),
        None => PathBuf::from("/run/lab"),
    };
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).expect("scratch folder can be made");
    root
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// `target/processes`, beside the test programs: templates and the logs of failed tests outlive a world.
pub(super) fn build_folder() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let profile = program.ancestors().nth(2).expect("test programs lie in `target/PROFILE/deps`");
    profile.join("processes")
}

/// Where all builds go: `target`.
pub(super) fn target_folder() -> PathBuf {
    build_folder().ancestors().nth(2).expect("it lies in `target/PROFILE`").to_owned()
}

/// The release of this server that tests are to be about (`./tests/run releases`), if it is not Debian's.
pub(super) fn release(server: &str) -> Option<String> {
    env::var("QUORATE_RELEASE").ok().filter(|release| release.starts_with(server))
}

/// Where `tests/foreign` put a server that Debian 12 has not; `run PROGRAM` in it runs one.
pub(super) fn foreign(name: &str) -> PathBuf {
    let folder = target_folder().join("foreign").join(name);
    assert!(folder.join("run").exists(), "{name} is missing: run `./tests/run install`");
    // What it is linked to is found by whole paths, from wherever it runs.
    folder.canonicalize().expect("it is there")
}

/// The user that servers run as which refuse to be root; the test's own user where that is not root.
pub(super) fn server_user() -> Option<&'static str> {
    rustix::process::getuid().is_root().then_some("postgres")
}

/// Gives a folder and everything in it to [`server_user`].
pub fn give_to_server_user(folder: &Path) {
    let Some(user) = server_user() else { return };
    let id = |option: &str| {
        let text = output(Command::new("id").args([option, user]));
        text.trim().parse().expect("`id` prints a number")
    };
    chown_all(folder, id("-u"), id("-g"));
}

fn chown_all(path: &Path, user: u32, group: u32) {
    chown(path, Some(user), Some(group)).expect("root may give files away");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("root may read folders") {
            chown_all(&entry.expect("folder stays while it is read").path(), user, group);
        }
    }
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, text: &str) {
    let mut file = File::create(path).expect("scratch folder takes files");
    file.set_permissions(fs::Permissions::from_mode(0o600)).expect("own file");
    file.write_all(text.as_bytes()).expect("scratch folder takes files");
}
