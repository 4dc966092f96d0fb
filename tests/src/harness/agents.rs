//! The agents under test: the real binary, one in each region, and the command that talks to them.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use agent::cli::client::Client;
use agent::guard::DoorView;
use agent::identity::{Authority, Member};
use agent::status::Beside;
use consensus::model::{Epoch, Phase};
use consensus::view::{AppView, View};
use tokio::runtime;

use super::bind::{KEY, SECRET};
use super::fabric::{REGIONS, address};
use super::lab::{Lab, target_folder, write_private};
use super::postgres::{PASSWORD, USER};
use super::process::{Process, run};
use super::wait::{eventually, promptly};

/// Long enough for an agent to start on a machine that is busy compiling.
const START: Duration = Duration::from_secs(30);

/// The port agents speak to each other on.
pub const MESH_PORT: u16 = 4790;

/// The binary under test: `QUORATE` where `./tests/run` built it, else built now.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(program) = env::var_os("QUORATE") {
            return PathBuf::from(program);
        }
        // Not the one that test builds leave behind: that one holds the mutants.
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--profile", "processes", "--package", "agent"]);
        run(build.args(["--bin", "quorate", "--manifest-path"]).arg(manifest));
        target_folder().join("processes/quorate")
    })
}

/// What `quorate` said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
    /// What it complained of.
    pub errors: String,
}

impl Said {
    /// What it printed; panics unless it succeeded.
    pub fn expect_done(self) -> String {
        assert!(self.status.success(), "{}\n{}{}", self.status, self.output, self.errors);
        self.output
    }

    /// Its one line of complaint; panics unless it failed and said just that.
    pub fn expect_refused(self) -> String {
        assert!(!self.status.success(), "was done: {}", self.output);
        self.errors
    }
}

/// Runs `quorate` with these words on a host.
pub fn quorate(lab: &Lab, host: &str, words: &[&str]) -> Said {
    let mut command = lab.fabric.command(host, program());
    let done = command.args(words).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: done.status, output: text(&done.stdout), errors: text(&done.stderr) }
}

/// Makes a mesh of `a1` on `r1` and so on: below `folder`, one folder for each with all it needs.
pub fn init(lab: &Lab, folder: &Path, agents: usize) {
    let members = (1..).zip(&REGIONS[..agents]).map(|(n, host)| {
        let own = address(host);
        format!("a{n},{host},voter,{own}:{MESH_PORT},dns={own}:53")
    });
    let members: Vec<_> = members.collect();
    let at = folder.to_string_lossy();
    let mut words = vec!["init", "--out", &at];
    for member in &members {
        words.extend(["--agent", member]);
    }
    quorate(lab, "client", &words).expect_done();
}

/// Enrols one more agent with the authority that [`init`] made: its folder, as its host would have it. Nothing is in its
/// data folder yet, and `voters.toml` is everybody's.
pub fn enrol(mesh: &Path, name: &str, region: &str, voter: bool) -> PathBuf {
    let read = |name: &str| fs::read_to_string(mesh.join(name)).expect("init wrote it");
    let authority = Authority::load(&read("mesh.crt"), &read("authority.key")).expect("its own");
    let (agent, region) = (name.parse().expect("a name"), region.parse().expect("a name"));
    let member = Member { name: agent, region, voter };
    let issued = authority.issue(&member).expect("chance");
    let home = mesh.join(name);
    fs::create_dir_all(&home).expect("scratch folder takes folders");
    fs::write(home.join("agent.crt"), issued.certificate_pem).expect("own folder");
    write_private(&home.join("agent.key"), &issued.key_pem);
    for shared in ["mesh.crt", "voters.toml"] {
        fs::copy(mesh.join("a1").join(shared), home.join(shared)).expect("init wrote it");
    }
    home
}

/// What a test may want different in one agent's file.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The role it logs in to databases as.
    pub user: String,
    /// The password it logs in to databases with.
    pub password: String,
    /// What else its credential for databases says.
    pub tls: String,
    /// The secret of its key for DNS servers.
    pub dns_secret: String,
    /// Its port for other agents.
    pub port: u16,
    /// The hosts of those that it may join by.
    pub seeds: Vec<String>,
    /// Where its certificate, its key, the authority and the voters lie.
    pub identity: PathBuf,
    /// Where it keeps its data.
    pub data: PathBuf,
    /// What it looks at to know whether it is the one that is cut off.
    pub canaries: Vec<String>,
    /// Whom it asks who still hands out old addresses.
    pub resolvers: Vec<String>,
    /// The certificate authorities of its host, if they are others than the machine's.
    pub authorities: Option<PathBuf>,
    /// What else its `[dns]` says.
    pub dns: String,
    /// What else its file says.
    pub more: String,
    /// For how much longer than this machine its host has been up, by its boot-time clock.
    pub up_for: Duration,
}

/// One agent.
pub struct Agent<'a> {
    lab: &'a Lab,
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub host: String,
    folder: PathBuf,
    setup: Setup,
    process: Option<Process>,
}

impl<'a> Agent<'a> {
    /// An agent that is not running yet: `name` on `host`, from a folder as [`init`] left it.
    pub fn new(lab: &'a Lab, name: &str, host: &str, home: &Path) -> Self {
        let folder = lab.folder(&format!("{name}-agent"));
        let setup = Setup {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            tls: String::new(),
            dns_secret: SECRET.to_owned(),
            port: MESH_PORT,
            seeds: REGIONS.map(str::to_owned).to_vec(),
            identity: home.to_owned(),
            data: home.join("data"),
            canaries: vec![],
            resolvers: vec![],
            authorities: None,
            dns: String::new(),
            more: String::new(),
            up_for: Duration::ZERO,
        };
        let (name, host) = (name.to_owned(), host.to_owned());
        Self { lab, name, host, folder, setup, process: None }
    }

    /// Changes what its file will say the next time it starts.
    pub fn set_up(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
    }

    /// Starts it; whether it comes up is the caller's question.
    pub fn launch(&mut self) {
        let file = self.write_file();
        let mut command = match self.setup.up_for {
            Duration::ZERO => self.lab.fabric.command(&self.host, program()),
            longer => {
                let mut command = self.lab.fabric.command(&self.host, "unshare");
                command.args(["--time", "--fork", "--boottime", &longer.as_secs().to_string()]);
                command.arg("--").arg(program());
                command
            }
        };
        command.args(["agent", "--config"]).arg(file).env("NO_COLOR", "1");
        if let Some(authorities) = &self.setup.authorities {
            command.env("SSL_CERT_FILE", authorities);
        }
        self.process = Some(Process::start(self.lab, &self.name, &mut command));
    }

    /// Runs it at its host with these words behind its file, to its end.
    pub fn run_once(&self, words: &[&str]) -> Said {
        let file = self.write_file();
        let file = file.to_str().expect("our own path");
        let all: Vec<_> = ["agent", "--config", file].iter().chain(words).copied().collect();
        quorate(self.lab, &self.host, &all)
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self) {
        self.launch();
        eventually(START, &format!("{} answers", self.name), || {
            let process = self.process.as_mut().expect("just launched");
            match process.ended() {
                Some(status) => panic!("{} ended: {status}", self.name),
                None => self.view().map(|_| ()),
            }
        });
    }

    fn write_file(&self) -> PathBuf {
        let own = address(&self.host);
        let Setup { user, password, tls, dns_secret, port, identity, data, .. } = &self.setup;
        let Setup { seeds, canaries, resolvers, dns, more, .. } = &self.setup;
        let seeds: Vec<_> =
            seeds.iter().map(|host| format!("\"{}:{MESH_PORT}\"", address(host))).collect();
        let (data, identity) = (data.display(), identity.display());
        let text = format!(
            "[agent]\ndata_dir = \"{data}\"\n\n\
             [mesh]\nlisten = \"{own}:{port}\"\nadvertise = \"{own}:{port}\"\n\
             seeds = [{}]\ncertificate = \"{identity}/agent.crt\"\n\
             key = \"{identity}/agent.key\"\nauthority = \"{identity}/mesh.crt\"\n\
             voters = \"{identity}/voters.toml\"\n\n\
             [status]\nlisten = \"127.0.0.1:4791\"\nsocket = \"{}\"\n\
             states = \"{}\"\nresolvers = {resolvers:?}\n\n[dns]\nlisten = [\"{own}:53\"]\nstatus = true\n{dns}\n\
             [credentials.orders]\nuser = \"{user}\"\npassword = \"{password}\"\n{tls}\n\n\
             [credentials.dns-key]\nname = \"{KEY}\"\nalgorithm = \"hmac-sha256\"\n\
             secret = \"{dns_secret}\"\n\n\
             [health]\ncanaries = {canaries:?}\n{more}",
            seeds.join(", "),
            self.socket().display(),
            self.states().display(),
        );
        let file = self.file();
        write_private(&file, &text);
        file
    }

    /// Its file, once it was started.
    pub fn file(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Where it tells who is online.
    pub fn states(&self) -> PathBuf {
        self.folder.join("states")
    }

    /// Where commands reach it.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// Runs `quorate` against this agent.
    pub fn quorate(&self, words: &[&str]) -> Said {
        let socket = self.socket();
        let mut all = vec!["--agent", socket.to_str().expect("our own path")];
        all.extend(words);
        quorate(self.lab, &self.host, &all)
    }

    /// The same, without waiting for its end.
    pub fn begin(&self, words: &[&str]) -> Process {
        let mut command = self.lab.fabric.command(&self.host, program());
        command.arg("--agent").arg(self.socket()).args(words);
        Process::start(self.lab, &format!("{}-quorate", self.name), &mut command)
    }

    /// What it sees, thinks and knows: as `quorate status` asks, and without a process, for it is asked all the time.
    pub fn view(&self) -> Result<View, String> {
        let client = Client::open(self.socket().to_str().expect("our own path"));
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let found = runtime.block_on(client.read("/api/v1/status"));
        found.map_err(|error| format!("{}: {error}", self.name))
    }

    /// The doors of its host, as it says.
    pub fn doors(&self) -> Vec<DoorView> {
        self.beside().guard.doors
    }

    /// What it says of its own host, and of what it found by itself.
    pub fn beside(&self) -> Beside {
        let said = self.quorate(&["status", "--json"]).expect_done();
        serde_json::from_str(&said).expect("an agent's status")
    }

    /// What it knows of an app.
    pub fn app(&self, app: &str) -> Result<AppView, String> {
        let view = self.view()?;
        let found = view.apps.into_iter().find(|view| view.app.as_str() == app);
        found.ok_or_else(|| format!("{} knows no app `{app}`", self.name))
    }

    /// Waits until it finds nothing that would keep an app from being moved.
    pub fn ready(&self, limit: Duration, app: &str) {
        eventually(limit, &format!("{app} could be moved"), || {
            let unready = self.app(app)?.unready;
            if unready.is_empty() { Ok(()) } else { Err(unready.join("; ")) }
        });
    }

    /// Where its built-in DNS server listens.
    pub fn dns(&self) -> SocketAddr {
        (address(&self.host), 53).into()
    }

    /// Everything it has logged, over all its runs.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.lab.log(&self.name)).unwrap_or_default()).into()
    }

    /// Is it running, as far as the test itself started and stopped it?
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the test started it")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// Takes note that it ended by itself.
    pub fn forget(&mut self) {
        self.process = None;
    }

    /// Where it keeps its data.
    pub fn data(&self) -> &Path {
        &self.setup.data
    }
}

/// Agents, `a1` and so on, each in a region of its own, `r1` and so on.
pub struct Mesh<'a> {
    /// The agents, by number.
    pub agents: Vec<Agent<'a>>,
    /// What [`init`] left: one folder for each agent.
    pub folder: PathBuf,
}

impl<'a> Mesh<'a> {
    /// Makes five agents, with the authority and the certificates; starts nobody.
    pub fn new(lab: &'a Lab) -> Self {
        Self::of(lab, REGIONS.len())
    }

    /// Three, the least that survive one: for what is about databases more than about agreement, at half the cost.
    pub fn small(lab: &'a Lab) -> Self {
        Self::of(lab, 3)
    }

    fn of(lab: &'a Lab, agents: usize) -> Self {
        let folder = lab.folder("mesh");
        init(lab, &folder, agents);
        let hosts = &REGIONS[..agents];
        let agents = (1..).zip(hosts).map(|(n, host)| {
            let name = format!("a{n}");
            let mut agent = Agent::new(lab, &name, host, &folder.join(&name));
            agent.set_up(|setup| setup.seeds = hosts.iter().map(ToString::to_string).collect());
            agent
        });
        Self { agents: agents.collect(), folder }
    }

    /// Starts all that are not running and waits until each hears every other.
    pub fn start(&mut self) {
        for agent in self.agents.iter_mut().filter(|agent| !agent.is_started()) {
            agent.launch();
        }
        let all = self.agents.len();
        eventually(START, "all agents hear one another", || {
            self.agents.iter().try_for_each(|agent| {
                let quorum = agent.view()?.quorum;
                match quorum.heard == all {
                    true => Ok(()),
                    false => Err(format!("{} hears {} of {all}", agent.name, quorum.heard)),
                }
            })
        });
    }

    /// Where its agents run.
    pub fn hosts(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.host.clone()).collect()
    }

    /// The agent of this name.
    pub fn agent(&mut self, name: &str) -> &mut Agent<'a> {
        let agent = self.agents.iter_mut().find(|agent| agent.name == name);
        agent.unwrap_or_else(|| panic!("no agent `{name}`"))
    }

    /// Waits until an executor has claimed this phase of an app's epoch, and returns its name.
    pub fn executor_at(&self, app: &str, phase: Phase, epoch: Epoch) -> String {
        let what = format!("epoch {} is {phase} by somebody", epoch.0);
        let begin = format!("learns {app} epoch {} {phase} at ", epoch.0);
        promptly(START * 2, &what, || {
            let claimed = self.running().find_map(|agent| {
                let said = agent.said();
                let mut lines = said.lines().filter(|line| line.contains(&begin));
                let (_, name) = lines.find_map(|it| it.split_once(", carried out by "))?;
                Some(name.chars().take_while(|c| c.is_alphanumeric()).collect::<String>())
            });
            claimed.ok_or("nobody yet")
        })
    }

    /// Those that the test has running.
    pub fn running(&self) -> impl Iterator<Item = &Agent<'a>> {
        self.agents.iter().filter(|agent| agent.is_started())
    }

    /// Puts an app file before the mesh through the first running agent.
    pub fn apply(&self, lab: &Lab, text: &str) {
        let file = lab.folder("apps").join("app.toml");
        fs::write(&file, text).expect("scratch folder takes files");
        let agent = self.running().next().expect("somebody runs");
        agent.quorate(&["apply", "--yes", &file.to_string_lossy()]).expect_done();
    }

    /// Waits until every running agent says that a failover of the app would succeed.
    pub fn ready(&self, limit: Duration, app: &str) {
        eventually(limit, &format!("a failover of {app} would succeed"), || {
            self.running().try_for_each(|agent| match agent.app(app)?.unready {
                unready if unready.is_empty() => Ok(()),
                unready => Err(format!("{}: {}", agent.name, unready.join("; "))),
            })
        });
    }

    /// Waits until every running agent knows the app to be idle with this stack active.
    pub fn settle(&self, limit: Duration, app: &str, stack: &str) -> AppView {
        eventually(limit, &format!("all agree that {app} is idle on {stack}"), || {
            let mut views = self.running().map(|agent| (agent, agent.app(app)));
            let mut last = Err("nobody runs".to_owned());
            for (agent, view) in views.by_ref() {
                let view = view?;
                if let Ok(AppView { epoch, .. }) = last
                    && epoch != view.epoch
                {
                    return Err(format!(
                        "{}: epoch {:?}, others {epoch:?}",
                        agent.name, view.epoch
                    ));
                }
                if view.active.as_str() != stack || view.phase != Phase::Idle {
                    let AppView { active, phase, epoch, next, .. } = view;
                    let name = &agent.name;
                    return Err(format!("{name}: {active}, {phase}, epoch {epoch:?}: {next}"));
                }
                last = Ok(view);
            }
            last
        })
    }
}
