//! The demo's children: real processes that die with it, however it ends, and the folder they live in.
//!
//! Each child is begun as `quorate demo child … -- PROGRAM`, which asks the kernel for a signal at its parent's death, takes
//! on the user it is to run as, and becomes the program. The folder is emptied by the demo; a broom, a child that outlives
//! its parent by a moment, sees to it if the demo cannot.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::set_parent_process_death_signal;
use rustix::process::{Gid, Pid, Signal, Uid, getpid, getppid, kill_process};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

/// How long a child may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a folder is tried to be removed, and what lies between.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at something that takes milliseconds.
const PACE: Duration = Duration::from_millis(5);

/// Why the demo cannot go on, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

impl Trouble {
    /// Words an error of the operating system: `cannot start `x`: no such file`.
    pub fn cannot(doing: &str, what: impl AsRef<OsStr>) -> impl FnOnce(io::Error) -> Self {
        let words = format!("cannot {doing} `{}`", what.as_ref().to_string_lossy());
        move |error| Self(format!("{words}: {error}"))
    }
}

/// A user to run a program as, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// The user of this name, from `/etc/passwd`.
    pub fn find(name: &str) -> Option<Self> {
        let text = fs::read_to_string("/etc/passwd").ok()?;
        let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.first() == Some(&name))?;
        Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

/// A folder of the demo's own, gone when it is dropped.
pub struct Folder {
    path: PathBuf,
    broom: Option<Process>,
}

impl Folder {
    /// Makes one below the system's folder for temporary files. With `shared`, other users may pass through to what is
    /// theirs in it.
    pub fn make(shared: bool) -> Result<Self, Trouble> {
        let name = format!("quorate-demo-{:08x}", rand::random::<u32>());
        let path = std::env::temp_dir().join(name);
        let mode = if shared { 0o711 } else { 0o700 };
        DirBuilder::new().mode(mode).create(&path).map_err(Trouble::cannot("make", &path))?;
        let mut folder = Self { path, broom: None };
        folder.sub("logs")?;
        let mut broom = Command::new(own_program()?);
        broom.args(["demo", "broom"]).arg(&folder.path);
        folder.broom = Some(Process::launch("broom", broom, Stdio::piped(), Stdio::null())?);
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder within, made if it is not there yet.
    pub fn sub(&self, name: &str) -> Result<PathBuf, Trouble> {
        let path = self.path.join(name);
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&path);
        made.map_err(Trouble::cannot("make", &path))?;
        Ok(path)
    }

    /// A folder within that belongs to somebody else.
    pub fn sub_of(&self, name: &str, user: Option<User>) -> Result<PathBuf, Trouble> {
        let path = self.sub(name)?;
        give(&path, user)?;
        Ok(path)
    }

    /// Where the process of this name writes what it says.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// The last line a process said, for messages.
    pub fn last_words(&self, name: &str) -> String {
        let text = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        last.unwrap_or("it said nothing").trim().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
        // Its input ends, it finds nothing left to do, and ends as well.
        if let Some(mut broom) = self.broom.take() {
            broom.input = None;
            broom.await_end(PATIENCE);
        }
    }
}

/// Gives a file or a folder to a user, if one is named.
pub fn give(path: &Path, user: Option<User>) -> Result<(), Trouble> {
    let Some(User { uid, gid }) = user else { return Ok(()) };
    chown(path, Some(uid), Some(gid)).map_err(Trouble::cannot("give away", path))
}

/// Removes a folder, again if somebody still writes to it: a database that was just told to end.
fn remove(path: &Path) {
    for _ in 0..TRIES {
        if fs::remove_dir_all(path).is_ok() || !path.exists() {
            return;
        }
        sleep(PAUSE);
    }
}

/// What is to run, and as whom.
pub struct Task<'a> {
    /// What it is called in logs and messages.
    pub name: &'a str,
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The user it runs as; the demo's own if none is named.
    pub user: Option<User>,
    /// What it is told when the demo ends.
    pub farewell: Farewell,
}

/// What a child is told when its parent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// SIGKILL: it keeps nothing that outlives it.
    Kill,
    /// SIGQUIT: PostgreSQL's immediate shutdown, which takes its shared memory with it.
    Quit,
}

impl Farewell {
    fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Quit => Signal::QUIT,
        }
    }
}

/// Everything up to the program's own words: the launcher and its orders.
pub fn command(task: &Task<'_>) -> Result<Command, Trouble> {
    let mut command = Command::new(own_program()?);
    command.args(["demo", "child", "--parent"]).arg(getpid().as_raw_nonzero().to_string());
    if task.farewell == Farewell::Quit {
        command.arg("--quit");
    }
    if let Some(User { uid, gid }) = task.user {
        command.arg("--user").arg(format!("{uid}:{gid}"));
    }
    command.arg("--").arg(task.program).args(&task.arguments);
    // Neither the demo's own systemd nor its user's settings are the children's.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    for name in ["QUORATE_AGENT", "QUORATE_LOG_FORMAT", "QUORATE_LOG_LEVEL"] {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1").current_dir("/");
    Ok(command)
}

/// This very program.
pub fn own_program() -> Result<PathBuf, Trouble> {
    std::env::current_exe().map_err(Trouble::cannot("find", "the program itself"))
}

/// A running child, alone in its process group: Ctrl-C is for the demo. Ended when dropped.
pub struct Process {
    name: String,
    child: Child,
    farewell: Farewell,
    /// Where it reads its orders, if it takes any.
    pub input: Option<ChildStdin>,
}

impl Process {
    /// Begins a task with its words going to the log of its name.
    pub fn start(folder: &Folder, task: &Task<'_>) -> Result<Self, Trouble> {
        Self::start_with(folder, task, Stdio::null())
    }

    /// The same with a pipe for orders.
    pub fn start_ordered(folder: &Folder, task: &Task<'_>) -> Result<Self, Trouble> {
        Self::start_with(folder, task, Stdio::piped())
    }

    fn start_with(folder: &Folder, task: &Task<'_>, input: Stdio) -> Result<Self, Trouble> {
        let path = folder.log(task.name);
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.map_err(Trouble::cannot("open", &path))?;
        let mut started = Self::launch(task.name, command(task)?, input, log.into())?;
        started.farewell = task.farewell;
        Ok(started)
    }

    fn launch(
        name: &str,
        mut command: Command,
        input: Stdio,
        errors: Stdio,
    ) -> Result<Self, Trouble> {
        command.stdin(input).stdout(Stdio::null()).stderr(errors).process_group(0);
        let mut child = command.spawn().map_err(Trouble::cannot("start", name))?;
        let input = child.stdin.take();
        Ok(Self { name: name.to_owned(), child, farewell: Farewell::Kill, input })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has it ended by itself, and how?
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// `kill -9`, and nothing else.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Stops it where it is.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to end, waits, and insists.
    pub fn end(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(self.farewell.signal());
        if !self.await_end(PATIENCE) {
            self.kill();
        }
    }

    fn await_end(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if self.ended().is_some() {
                return true;
            }
            sleep(PACE);
        }
        false
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It has not been waited for, so the number is still its own.
        let _ = kill_process(pid.expect("a child has a number"), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// What `quorate demo child` takes.
#[derive(Debug, clap::Args)]
pub struct ChildArgs {
    /// Whose death is to be noticed
    #[arg(long)]
    parent: i32,
    /// SIGQUIT at that death in place of SIGKILL
    #[arg(long)]
    quit: bool,
    /// UID:GID to run as
    #[arg(long)]
    user: Option<String>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the program; returns only if that fails.
pub fn become_child(args: &ChildArgs) -> ExitCode {
    let why = match prepare(args) {
        Ok(()) => {
            let [program, arguments @ ..] = args.command.as_slice() else {
                return ExitCode::FAILURE;
            };
            Trouble::cannot("start", program)(Command::new(program).args(arguments).exec())
        }
        Err(error) => Trouble(format!("cannot prepare a child: {error}")),
    };
    eprintln!("quorate: {why}");
    ExitCode::FAILURE
}

fn prepare(args: &ChildArgs) -> io::Result<()> {
    if let Some(user) = &args.user {
        let (uid, gid) = user.split_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        let number = |text: &str| text.parse().map_err(|_| io::ErrorKind::InvalidInput);
        set_thread_groups(&[])?;
        set_thread_gid(Gid::from_raw(number(gid)?))?;
        set_thread_uid(Uid::from_raw(number(uid)?))?;
    }
    // After the change of user, which would take it away again (prctl(2)).
    let signal = if args.quit { Signal::QUIT } else { Signal::KILL };
    set_parent_process_death_signal(Some(signal))?;
    match getppid().map(|pid| pid.as_raw_nonzero().get()) == Some(args.parent) {
        true => Ok(()),
        false => Err(io::Error::other("whoever started it is gone")),
    }
}

/// `quorate demo broom`: waits for the end of its input, which is the end of the demo, and removes the folder.
pub fn sweep(folder: &Path) -> ExitCode {
    let ours = folder
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"quorate-demo-"));
    if !ours {
        eprintln!("quorate: `{}` is no folder of the demo", folder.display());
        return ExitCode::FAILURE;
    }
    let _ = io::stdin().read_to_end(&mut Vec::new());
    remove(folder);
    ExitCode::SUCCESS
}
