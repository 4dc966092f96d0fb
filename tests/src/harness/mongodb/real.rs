//! A real replica set: two members that hold data and an arbiter, each a `mongod` 3.6 that `tests/foreign` fetched.
//!
//! Whoever wants to talk to it logs in. The tests do by the shell that came with it, as root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{PORT, name};
use crate::harness::lab::{Lab, foreign, write_private};
use crate::harness::postgres::{PASSWORD, USER};
use crate::harness::process::Process;
use crate::harness::wait::eventually;

const START: Duration = Duration::from_secs(60);
/// By what members know one another.
const KEY: &str = "bm90aGluZyBidXQgYSB0ZXN0";
/// Who may do anything.
const ROOT: &str = "root";

/// One member.
pub struct Mongod<'a> {
    lab: &'a Lab,
    host: String,
    folder: PathBuf,
    /// Its process.
    pub process: Process,
}

impl<'a> Mongod<'a> {
    /// A member of no set yet, which answers.
    pub fn start(lab: &'a Lab, host: &str) -> Self {
        let folder = lab.folder(&format!("{host}-mongod"));
        write_private(&folder.join("key"), KEY);
        std::fs::create_dir_all(folder.join("data")).expect("own folder");
        let process = spawn(lab, host, &folder);
        let member = Self { lab, host: host.to_owned(), folder, process };
        member.answers();
        member
    }

    /// Kills it, and starts it again on the same data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.lab, &self.host, &self.folder);
        self.answers();
    }

    fn answers(&self) {
        let what = format!("mongod on {} answers", self.host);
        eventually(START, &what, || self.claims().map(drop));
    }

    /// Does it say that it is the primary, and by which election?
    pub fn claims(&self) -> Result<Option<u32>, String> {
        let script =
            "var it = db.isMaster(); print(it.ismaster ? it.electionId.str.substr(8) : 'none')";
        let said = self.shell(&name(&self.host), &[], script)?;
        match said.as_str() {
            "none" => Ok(None),
            term => u32::from_str_radix(term, 16).map(Some).map_err(|error| error.to_string()),
        }
    }

    /// What a script of the shell prints, run as root from the router, from which nothing is cut.
    pub fn ask(&self, script: &str) -> Result<String, String> {
        self.shell(&name(&self.host), &["-u", ROOT, "-p", PASSWORD], script)
    }

    /// The same, for what has to go well.
    pub fn run(&self, script: &str) -> String {
        self.ask(script).unwrap_or_else(|error| panic!("{}: {script}: {error}", self.host))
    }

    /// Stops applying what it is sent, or goes on.
    pub fn applies(&self, applies: bool) {
        let mode = if applies { "off" } else { "alwaysOn" };
        let point = format!("configureFailPoint: 'rsSyncApplyStop', mode: '{mode}'");
        self.run(&format!("assert.commandWorked(db.adminCommand({{ {point} }}))"));
    }

    fn shell(&self, place: &str, login: &[&str], script: &str) -> Result<String, String> {
        self.output(Command::new(program()), place, login, script)
    }

    /// At its host, to whoever calls from where a server lets in anybody until it has a user.
    fn at_host(&self, script: &str) -> Result<String, String> {
        let command = self.lab.fabric.command(&self.host, program());
        self.output(command, &format!("127.0.0.1:{PORT}"), &[], script)
    }

    fn output(
        &self,
        mut shell: Command,
        place: &str,
        login: &[&str],
        script: &str,
    ) -> Result<String, String> {
        shell.args(["mongo", "--quiet", "--norc", &format!("{place}/admin")]).args(login);
        shell.args(["--eval", script]).env("HOME", &self.folder);
        let done = shell.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        if done.status.success() { Ok(said) } else { Err(said) }
    }
}

/// The set.
pub struct Real<'a> {
    /// The members on the hosts it was given: the first primary, a secondary, an arbiter.
    pub members: [Mongod<'a>; 3],
}

impl<'a> Real<'a> {
    /// Starts it, and waits until the second member has everything of the first; a primary that is not heard for so long is
    /// replaced.
    pub fn start(lab: &'a Lab, hosts: [&str; 3], patience: Duration) -> Self {
        let members = hosts.map(|host| Mongod::start(lab, host));
        let [first, ..] = &members;
        let [one, two, three] = hosts.map(name);
        let told = |script: &str| {
            first.at_host(script).unwrap_or_else(|error| panic!("{script}: {error}"));
        };
        // Alone it need not be patient.
        told(&format!(
            "assert.commandWorked(rs.initiate({{ _id: 'rs0', members: [{{ _id: 0, host: '{one}' }}], \
             settings: {{ electionTimeoutMillis: 500, heartbeatIntervalMillis: 500, heartbeatTimeoutSecs: 2 }} }}))"
        ));
        eventually(START, "the first member leads alone", || {
            first.claims()?.ok_or_else(|| "not yet".to_owned())
        });
        // Once there is a user, the host's own way in is shut.
        told(&format!("db.createUser({{ user: '{ROOT}', pwd: '{PASSWORD}', roles: ['root'] }})"));
        let rights = "roles: ['clusterMonitor', 'clusterManager']";
        first.run(&format!("db.createUser({{ user: '{USER}', pwd: '{PASSWORD}', {rights} }})"));
        first.run("db.createUser({ user: 'nobody', pwd: 'nobody', roles: [] })");
        first.run(&format!(
            "var it = rs.conf(); it.version += 1; it.settings.electionTimeoutMillis = {}; it.members.push({{ _id: 1, host: '{two}' }}, \
             {{ _id: 2, host: '{three}', arbiterOnly: true }}); assert.commandWorked(rs.reconfig(it))",
            patience.as_millis()
        ));
        let set = Self { members };
        set.is_whole();
        set
    }

    /// Waits until one leads, the other follows it and has everything, and the arbiter is there.
    pub fn is_whole(&self) {
        let script = "var it = rs.status().members; \
                      print(it.map(function(m) { return m.state }).sort() + ' ' + \
                      it.map(function(m) { return m.optime ? tojson(m.optime.ts) : '' }).slice(0, 2).join('='))";
        eventually(START, "the set is whole", || {
            let said = self.members[0].ask(script)?;
            let (states, places) = said.split_once(' ').ok_or_else(|| said.clone())?;
            match places.split_once('=') {
                Some((one, other)) if states == "1,2,7" && one == other => Ok(()),
                _ => Err(said),
            }
        });
    }
}

fn program() -> PathBuf {
    foreign("mongodb-3.6").join("run")
}

fn spawn(lab: &Lab, host: &str, folder: &Path) -> Process {
    let mut command = lab.fabric.command(host, program());
    command.args(["mongod", "--replSet", "rs0", "--bind_ip", "0.0.0.0", "--port"]);
    command.arg(PORT.to_string()).arg("--dbpath").arg(folder.join("data"));
    command.arg("--keyFile").arg(folder.join("key"));
    command.args(["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "16", "--nounixsocket"]);
    // Its files lie in memory: no hundreds of megabytes of a log that is made before it is needed.
    command.args(["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=4MB)"]);
    command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
    command.args(["--setParameter", "enableTestCommands=1"]);
    Process::start(lab, &format!("{host}-mongod"), &mut command)
}
