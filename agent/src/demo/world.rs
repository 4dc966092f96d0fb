//! The demo's world on loopback: every address in it, the files that say so, and the processes that serve there.
//!
//! Agents, stacks and databases each have an address of their own in 127.0.0.0/8, so that a web server can tell agents
//! apart and a DNS answer tells stacks apart; ports are the same for all of a kind. Below the ephemeral range, so that no
//! outgoing connection takes one in the moment between looking and listening.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt;
use toml::{Table, Value};

use super::postgres::{Databases, Installed, Places, QUORATE};
use super::process::{Farewell, Folder, Process, Task, Trouble, own_program};
use super::web::Web;
use crate::cli::client::Client;
use crate::identity::write_secret;

/// The demo's agents: name, region, address.
pub const AGENTS: [(&str, &str, Ipv4Addr); 5] = [
    ("ams-1", "ams", Ipv4Addr::new(127, 0, 1, 1)),
    ("ams-2", "ams", Ipv4Addr::new(127, 0, 1, 2)),
    ("fra-1", "fra", Ipv4Addr::new(127, 0, 2, 1)),
    ("fra-2", "fra", Ipv4Addr::new(127, 0, 2, 2)),
    ("nyc-1", "nyc", Ipv4Addr::new(127, 0, 3, 1)),
];
/// The stacks of both apps, in order of preference, and the network each lives in.
pub const STACKS: [(&str, u8); 2] = [("east", 11), ("west", 12)];
/// The app with databases, where there are any.
pub const SHOP: &str = "shop";
/// The app without.
pub const BLOG: &str = "blog";
/// How the demo's apps are watched.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// Down only after this long without one success.
pub const WINDOW: Duration = Duration::from_secs(2);

/// The last numbers of the addresses of an app's web servers.
fn web_hosts(app: &str) -> &'static [u8] {
    if app == SHOP { &[1, 2] } else { &[3] }
}

/// The last number of a database's address.
const DATABASE_HOST: u8 = 9;
const PORTS: std::ops::Range<u16> = 12_000..30_000;
const TRIES: usize = 200;

/// The addresses an app's name stands for while a stack is active.
pub fn addresses(app: &str, stack: &str) -> Vec<Ipv4Addr> {
    let network = STACKS.iter().find(|(name, _)| *name == stack).map_or(0, |(_, network)| *network);
    web_hosts(app).iter().map(|host| Ipv4Addr::new(127, 0, network, *host)).collect()
}

/// The stack that an address belongs to.
pub fn stack_at(ip: IpAddr) -> &'static str {
    let IpAddr::V4(ip) = ip else { return "?" };
    let found = STACKS.iter().find(|(_, network)| *network == ip.octets()[2]);
    found.map_or("?", |(stack, _)| stack)
}

/// The name clients look up.
pub fn domain(app: &str) -> String {
    format!("{app}.test")
}

/// One port for each kind of service.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    mesh: u16,
    status: u16,
    dns: u16,
    web: u16,
    database: u16,
}

impl Ports {
    /// Five ports in a row that are free at every address that needs them.
    fn find() -> Result<Self, Trouble> {
        let mut rng = rand::rng();
        let mut last = None;
        for _ in 0..TRIES {
            let first = rng.random_range(PORTS);
            let ports = Self {
                mesh: first,
                status: first + 1,
                dns: first + 2,
                web: first + 3,
                database: first + 4,
            };
            match ports.free() {
                Ok(()) => return Ok(ports),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map(|error| format!(": {error}")).unwrap_or_default();
        Err(Trouble(format!("no free ports on loopback{why}")))
    }

    fn free(self) -> io::Result<()> {
        for (_, _, ip) in AGENTS {
            UdpSocket::bind((ip, self.mesh))?;
            TcpListener::bind((ip, self.status))?;
            UdpSocket::bind((ip, self.dns))?;
            TcpListener::bind((ip, self.dns))?;
        }
        for (stack, _) in STACKS {
            for app in [SHOP, BLOG] {
                for ip in addresses(app, stack) {
                    TcpListener::bind((ip, self.web))?;
                }
            }
            TcpListener::bind((database_ip(stack), self.database))?;
        }
        Ok(())
    }
}

fn database_ip(stack: &str) -> Ipv4Addr {
    let [a, b, c, _] = addresses(BLOG, stack)[0].octets();
    Ipv4Addr::new(a, b, c, DATABASE_HOST)
}

/// One agent of the demo.
pub struct Agent {
    /// Its name.
    pub name: &'static str,
    /// Where it is, and where it looks from.
    pub ip: Ipv4Addr,
    home: PathBuf,
    ports: Ports,
    process: Option<Process>,
}

impl Agent {
    /// The socket that commands travel over.
    pub fn socket(&self) -> PathBuf {
        self.home.join("data").join("agent.sock")
    }

    /// Where its DNS server answers.
    pub fn dns(&self) -> SocketAddr {
        (self.ip, self.ports.dns).into()
    }

    /// Where its status page is.
    pub fn status(&self) -> SocketAddr {
        (self.ip, self.ports.status).into()
    }

    /// Somebody to ask it.
    pub fn client(&self) -> Client {
        Client::open(&self.socket().to_string_lossy())
    }

    /// Starts it, if it does not run.
    pub fn start(&mut self, folder: &Folder) -> Result<(), Trouble> {
        if self.process.is_some() {
            return Ok(());
        }
        let config = self.home.join("agent.toml");
        let task = Task {
            name: self.name,
            program: &own_program()?,
            arguments: vec!["agent".into(), "--config".into(), config.into()],
            user: None,
            farewell: Farewell::Kill,
        };
        self.process = Some(Process::start(folder, &task)?);
        Ok(())
    }

    /// Its process, while it has one.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}

/// Everything that runs, and the folder it all lives in, which goes last.
pub struct World {
    /// The agents.
    pub agents: Vec<Agent>,
    /// The web servers of both apps.
    pub webs: Vec<Web>,
    /// The databases of the shop, once they run.
    pub databases: Option<Databases>,
    /// Where the databases are to be, and with which PostgreSQL.
    pub postgres: Option<(Installed, Places)>,
    /// Where everything is kept.
    pub folder: Folder,
    ports: Ports,
}

impl World {
    /// Makes a mesh as `quorate init` does, and writes every file; nothing runs yet.
    pub async fn make(installed: Option<Installed>) -> Result<Self, Trouble> {
        let folder = Folder::make(installed.as_ref().is_some_and(Installed::shared))?;
        let ports = Ports::find()?;
        let postgres = installed.map(|installed| {
            let at = |stack| SocketAddr::from((database_ip(stack), ports.database));
            let password = format!("{:032x}", rand::random::<u128>());
            (installed, Places { east: at("east"), west: at("west"), password })
        });
        let mesh = folder.path().join("mesh");
        init(&mesh, ports).await?;
        let mut agents = Vec::new();
        for (name, _, ip) in AGENTS {
            let home = mesh.join(name);
            set_up(&home, ip, postgres.as_ref().map(|(_, places)| places))?;
            agents.push(Agent { name, ip, home, ports, process: None });
        }
        let mut webs = Vec::new();
        for (stack, _) in STACKS {
            for app in [SHOP, BLOG] {
                for ip in addresses(app, stack) {
                    webs.push(Web::new(app, stack, (ip, ports.web).into()));
                }
            }
        }
        let world = Self { agents, webs, databases: None, postgres, folder, ports };
        for app in [SHOP, BLOG] {
            let path = world.file(app);
            fs::write(&path, world.definition(app)).map_err(Trouble::cannot("write", &path))?;
        }
        Ok(world)
    }

    /// The app file.
    pub fn file(&self, app: &str) -> PathBuf {
        self.folder.path().join(format!("{app}.toml"))
    }

    /// What the app file says.
    pub fn definition(&self, app: &str) -> String {
        let Ports { web, database, .. } = self.ports;
        let name = domain(app);
        let mut text = format!(
            "[app]\nname = \"{app}\"\ncooldown = \"0s\"\n\n[quorum]\nregions = 2\n\n\
             [probe]\ninterval = \"{}ms\"\nwindow = \"{}s\"\n",
            INTERVAL.as_millis(),
            WINDOW.as_secs(),
        );
        let databases = app == SHOP && self.postgres.is_some();
        if databases {
            text += "\n[data]\nmax_loss = \"0\"\nfencing = \"best-effort\"\n";
        }
        text += &format!(
            "\n[[zone]]\nname = \"{name}\"\nns = [\"ns1.{name}\"]\ncontact = \"hostmaster@{name}\"\n"
        );
        for (stack, _) in STACKS {
            text += &format!("\n[[stack]]\nname = \"{stack}\"\n");
            for ip in addresses(app, stack) {
                text += &format!(
                    "\n[[stack.endpoint]]\nurl = \"http://{ip}:{web}/\"\n\
                     expect = {{ status = [200], body = \"ready\" }}\n"
                );
            }
            if databases {
                text += &format!(
                    "\n[[stack.database]]\nname = \"orders\"\nengine = \"postgres\"\n\
                     address = \"{}:{database}\"\ncredential = \"orders\"\n",
                    database_ip(stack)
                );
            }
        }
        text + &format!("\n[[record]]\nname = \"{name}\"\ntype = \"A\"\nttl = 1\n")
    }

    /// Has a process ended that nobody killed? In one line, which and why.
    pub fn unexpected(&mut self) -> Option<Trouble> {
        let Self { agents, folder, .. } = self;
        agents.iter_mut().find_map(|agent| {
            let status = agent.process.as_mut()?.ended()?;
            let (name, said) = (agent.name, folder.last_words(agent.name));
            Some(Trouble(format!("agent {name} ended ({status}): {said}")))
        })
    }

    /// The agent of this name.
    pub fn agent(&mut self, name: &str) -> Option<&mut Agent> {
        self.agents.iter_mut().find(|agent| agent.name == name)
    }

    /// The web servers of one stack of an app.
    pub fn webs_of<'w>(
        &'w mut self,
        app: &'w str,
        stack: &'w str,
    ) -> impl Iterator<Item = &'w mut Web> {
        self.webs.iter_mut().filter(move |web| web.app == app && web.stack == stack)
    }

    /// Where a web server of an app is reached, for a browser.
    pub fn url(&self, app: &str, stack: &str) -> String {
        format!("http://{}:{}/", addresses(app, stack)[0], self.ports.web)
    }
}

/// Runs `quorate init`.
async fn init(mesh: &Path, ports: Ports) -> Result<(), Trouble> {
    let mut command = tokio::process::Command::new(own_program()?);
    command.arg("init").arg("--out").arg(mesh);
    for (name, region, ip) in AGENTS {
        let Ports { mesh, status, dns, .. } = ports;
        command
            .arg("--agent")
            .arg(format!("{name},{region},voter,{ip}:{mesh},status={ip}:{status},dns={ip}:{dns}"));
    }
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    let done = command.output().await.map_err(Trouble::cannot("run", "quorate init"))?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            Err(Trouble(format!("`quorate init` failed: {said}")))
        }
    }
}

/// Adds to an agent's file what `init` does not know: where it looks from, and how it logs in to the databases.
fn set_up(home: &Path, ip: Ipv4Addr, places: Option<&Places>) -> Result<(), Trouble> {
    let path = home.join("agent.toml");
    let text = fs::read_to_string(&path).map_err(Trouble::cannot("read", &path))?;
    let mut file: Table =
        text.parse().map_err(|why| Trouble(format!("`{}` is no TOML: {why}", path.display())))?;
    if let Some(Value::Table(agent)) = file.get_mut("agent") {
        agent.insert("source".into(), IpAddr::from(ip).to_string().into());
    }
    if let Some(places) = places {
        let secret = home.join("orders.password");
        write_secret(&secret, places.password.as_bytes())
            .map_err(Trouble::cannot("write", &secret))?;
        let mut login = Table::new();
        login.insert("user".into(), QUORATE.into());
        login.insert("password_file".into(), "orders.password".into());
        let mut credentials = Table::new();
        credentials.insert("orders".into(), login.into());
        file.insert("credentials".into(), credentials.into());
    }
    fs::write(&path, file.to_string()).map_err(Trouble::cannot("write", &path))
}
