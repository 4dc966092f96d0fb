//! Programs that a test starts, and what it does to them.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpgid};

use super::lab::Lab;
use super::wait::eventually;

/// Runs a command to its end and expects success.
pub fn run(command: &mut Command) {
    output(command);
}

/// Runs a command to its end, expects success, and returns what it printed.
pub fn output(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let complained = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}\n{said}{complained}", done.status);
    said
}

/// A running program: the leader of a process group of its own, killed when dropped.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command` with its output appended to the log called `name`.
    pub fn start(lab: &Lab, name: &str, command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt as _;
        let log = lab.log(name);
        let file = OpenOptions::new().create(true).append(true).open(&log).expect("log opens");
        let errors = file.try_clone().expect("a file can be had twice");
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        Self { name: name.to_owned(), log, child }
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far, this run and earlier ones of the same name.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Has it ended, and how?
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("an own child can be waited for")
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        eventually(limit, &format!("{name} ends"), || self.ended().ok_or("still running"))
    }

    /// `kill -9`, its group with it.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("an own child can be waited for");
        // What it had started is this process's to bury where that is the first of its world: to a server whose lock file names
        // one that was not, it lives.
        while waitpgid(self.group(), WaitOptions::empty()).is_ok() {}
    }

    /// Asks it to end, as systemd would, and waits.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Stops it where it is, as a debugger or a paused machine would.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        // A thread that runs is not stopped yet, and may answer once more.
        let moves = |state: char| !matches!(state, 'T' | 't' | 'Z' | 'X');
        eventually(Duration::from_secs(5), "every thread stands still", || {
            match threads(self.child.id()).into_iter().any(moves) {
                false => Ok(()),
                true => Err("one goes on"),
            }
        });
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Stops it and all that it started, in whatever groups these are, as a machine does that stands still.
    pub fn freeze(&self) {
        // First the one that would start more.
        self.pause();
        self.signal_family(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal_family(Signal::CONT);
        self.resume();
    }

    fn signal_family(&self, signal: Signal) {
        let mut family = vec![self.child.id()];
        let parents = parents();
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            next += 1;
        }
        for id in family.split_off(1) {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("of a process");
            // Whoever ended meanwhile needs no signal.
            let _ = kill_process(id, signal);
        }
    }

    fn signal(&self, signal: Signal) {
        // Refused only when the group is gone, which is what every caller wants in the end.
        let _ = kill_process_group(self.group(), signal);
    }

    fn group(&self) -> Pid {
        let id = i32::try_from(self.child.id()).expect("process numbers are small");
        Pid::from_raw(id).expect("a child has a number")
    }
}

/// The state of each thread of a process: proc_pid_stat(5). None once it is gone.
fn threads(process: u32) -> Vec<char> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let state = |stat: String| stat.rsplit_once(") ").and_then(|it| it.1.chars().next());
    tasks.filter_map(|it| state(std::fs::read_to_string(it.path().join("stat")).ok()?)).collect()
}

/// Every process of this world, and whose child it is: proc_pid_stat(5).
fn parents() -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").expect("`/proc` is mounted").flatten();
    let stats = entries.filter_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // Behind the name, which may hold anything: the state, then the parent.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((id, parent))
    });
    stats.collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}
