//! A stack's web server: a child that says `ready`, and refuses to talk to the addresses it is told to.
//!
//! It takes orders on its input, one a line (`refuse ADDRESS`, `accept ADDRESS`), and ends with it. A refused caller's
//! connection is reset before a byte is read, as a firewall between the two would do.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::process::{Farewell, Folder, Process, Task, Trouble, own_program};

/// The most bytes of a request's head.
const HEAD_LIMIT: u64 = 8 * 1024;
/// How long a request may take to come.
const HEAD_TIME: Duration = Duration::from_secs(2);

/// What `quorate demo web` takes.
#[derive(Debug, clap::Args)]
pub struct WebArgs {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// What to answer
    #[arg(long)]
    words: String,
}

type Refused = Arc<Mutex<BTreeSet<IpAddr>>>;

/// Serves until its input ends.
pub async fn serve(args: &WebArgs) -> ExitCode {
    let listener = match TcpListener::bind(args.listen).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("quorate: cannot listen on `{}`: {error}", args.listen);
            return ExitCode::FAILURE;
        }
    };
    let refused = Refused::default();
    let body = format!("ready: {}\n", args.words);
    let answer: Arc<str> = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into();
    let (over, ended) = oneshot::channel();
    let orders = refused.clone();
    // Standard input cannot be waited for; a thread may hang in it until the process ends.
    std::thread::spawn(move || {
        obey(&orders);
        over.send(())
    });
    tokio::select! {
        _ = ended => {}
        () = welcome(listener, &refused, &answer) => {}
    }
    ExitCode::SUCCESS
}

fn obey(refused: &Refused) {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let Some((verb, address)) = line.split_once(' ') else { continue };
        let Ok(address) = address.parse() else { continue };
        let mut refused = refused.lock().expect("nobody panics while holding it");
        match verb {
            "refuse" => refused.insert(address),
            _ => refused.remove(&address),
        };
    }
}

async fn welcome(listener: TcpListener, refused: &Refused, answer: &Arc<str>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of files for a moment.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if refused.lock().expect("nobody panics while holding it").contains(&from.ip()) {
            // Closing without lingering is a reset.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            continue;
        }
        let answer = answer.clone();
        tokio::spawn(async move { timeout(HEAD_TIME, reply(stream, &answer)).await });
    }
}

async fn reply(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader.take(HEAD_LIMIT)).lines();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    writer.write_all(answer.as_bytes()).await?;
    writer.shutdown().await
}

/// One web server, as the demo holds it.
pub struct Web {
    /// Of which app.
    pub app: &'static str,
    /// Of which stack.
    pub stack: &'static str,
    /// Where it listens.
    pub at: SocketAddr,
    /// Its process, while there is one.
    process: Option<Process>,
}

impl Web {
    /// A server that is not running yet.
    pub fn new(app: &'static str, stack: &'static str, at: SocketAddr) -> Self {
        Self { app, stack, at, process: None }
    }

    /// Starts it, if it does not run.
    pub fn start(&mut self, folder: &Folder) -> Result<(), Trouble> {
        if self.process.is_some() {
            return Ok(());
        }
        let Self { app, stack, at, .. } = self;
        let name = format!("web-{app}-{stack}-{}", at.ip());
        let words = format!("{app} in {stack}, at {}", at.ip());
        let arguments = ["demo", "web", "--listen", &at.to_string(), "--words", &words];
        let task = Task {
            name: &name,
            program: &own_program()?,
            arguments: arguments.iter().map(Into::into).collect(),
            user: None,
            farewell: Farewell::Kill,
        };
        self.process = Some(Process::start_ordered(folder, &task)?);
        Ok(())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Talks to this address no more, or again.
    pub fn refuse(&mut self, address: IpAddr, refused: bool) -> Result<(), Trouble> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(input) = &mut process.input else { return Ok(()) };
        let verb = if refused { "refuse" } else { "accept" };
        let told = writeln!(input, "{verb} {address}").and_then(|()| input.flush());
        told.map_err(Trouble::cannot("tell", process.name()))
    }
}
