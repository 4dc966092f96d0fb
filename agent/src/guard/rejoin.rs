//! An old primary on this host is made a replica again, by the command that the host's owner configured for it.
//!
//! Whoever is asked twice, or late, does no harm: the token of what is asked for is compared with the highest one that was
//! ever acted on, and written down before anything is done. What the command says last is the report; it may take its time,
//! and what it prints is kept in a file, of which only the end is read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use consensus::model::{Lost, TargetId, Token};
use consensus::outbox::{Input, Rejoin};
use probe::Tls;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::clock;
use crate::config::{Credential, Credentials, DoorConfig};

/// A large database may have to be copied anew.
const LIMIT: Duration = Duration::from_secs(12 * 3600);
/// What is read of what the command printed.
const SAID: u64 = 4096;
/// What is told of it.
const TOLD: usize = 300;

/// Why a database was not made a replica.
#[derive(Debug, thiserror::Error)]
enum RejoinFault {
    #[error("no `rejoin` is configured for it")]
    Nothing,
    #[error("its deadline passed before it began")]
    Late,
    #[error("the newer token {0} was acted on")]
    Superseded(Token),
    #[error("cannot keep its token")]
    Token(#[source] io::Error),
    #[error("cannot run `{0}`")]
    Run(String, #[source] io::Error),
    #[error("no end within {LIMIT:?}")]
    Hangs,
    #[error("{0}")]
    Failed(String),
}

/// Makes databases of this host replicas again.
#[derive(Clone, Debug)]
pub struct Rejoins {
    commands: Arc<BTreeMap<(String, String), Vec<String>>>,
    credentials: Arc<Credentials>,
    folder: PathBuf,
    inputs: mpsc::Sender<Input>,
}

impl Rejoins {
    /// By what these doors say, with tokens and what is kept below this folder.
    pub fn new(
        doors: &[DoorConfig],
        credentials: Arc<Credentials>,
        data_dir: &Path,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let named = |door: &DoorConfig| {
            ((door.app.to_string(), door.database.to_string()), door.rejoin.clone())
        };
        let commands = doors.iter().filter(|door| !door.rejoin.is_empty()).map(named);
        let folder = data_dir.join("rejoin");
        Self { commands: Arc::new(commands.collect()), credentials, folder, inputs }
    }

    /// Begins; what comes of it follows as an input. Within a tokio runtime.
    pub fn start(&self, rejoin: Rejoin) {
        let rejoins = self.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            let what = rejoins.carry_out(&rejoin).await.map_err(|fault| worded(&fault));
            let lost = rejoins.lost(&rejoin.target);
            let (target, token) = (rejoin.target, rejoin.token);
            let input = Input::Rejoined { target, token, took: began.elapsed(), what, lost };
            // A loop that has ended wants no report.
            let _ = rejoins.inputs.send(input).await;
        });
    }

    async fn carry_out(&self, rejoin: &Rejoin) -> Result<String, RejoinFault> {
        let Rejoin { target, token, deadline, database, primary } = rejoin;
        let name = (target.app.to_string(), target.name.to_string());
        let words = self.commands.get(&name).ok_or(RejoinFault::Nothing)?;
        let (program, arguments) = words.split_first().ok_or(RejoinFault::Nothing)?;
        let file = self.folder.join(format!("{}.{}.token", name.0, name.1));
        raise(&file, *token)?;
        let log = self.log(target);
        let said = File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (said, complained) = said.map_err(RejoinFault::Token)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("QUORATE_APP", &name.0)
            .env("QUORATE_STACK", target.stack.to_string())
            .env("QUORATE_DATABASE", &name.1)
            .env("QUORATE_TOKEN", token.to_string())
            .env("QUORATE_HOST", &database.address)
            .env("QUORATE_PORT", database.port.to_string())
            .env("QUORATE_PRIMARY_HOST", &primary.address)
            .env("QUORATE_PRIMARY_PORT", primary.port.to_string())
            .env("QUORATE_KEEP", self.kept(target, *token))
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(complained);
        if let Some(Credential::Login(login)) = self.credentials.get(&primary.credential) {
            command.env("QUORATE_USER", &login.user);
            command.env("QUORATE_PASSWORD", login.password.as_deref().unwrap_or_default());
            let (word, authority) = match &login.tls {
                Tls::AsOffered => ("", None),
                Tls::Encrypted => ("encrypted", None),
                Tls::Verified(authority) => ("verified", authority.as_deref()),
            };
            command.env("QUORATE_TLS", word);
            command.envs(authority.map(|pem| ("QUORATE_TLS_AUTHORITY", pem)));
        }
        if *deadline < clock::now() {
            return Err(RejoinFault::Late);
        }
        let run = |error| RejoinFault::Run(program.clone(), error);
        let mut child = command.spawn().map_err(run)?;
        let status = match timeout(LIMIT, child.wait()).await {
            Ok(ended) => ended.map_err(run)?,
            Err(_) => return Err(RejoinFault::Hangs),
        };
        let last = last_line(&log).unwrap_or_default();
        match status.success() {
            true => Ok(last),
            false => Err(RejoinFault::Failed(format!("`{program}` failed ({status}): {last}"))),
        }
    }

    /// What the command printed.
    fn log(&self, target: &TargetId) -> PathBuf {
        self.folder.join(format!("{}.{}.log", target.app, target.name))
    }

    /// What the old primary alone had, if the command said so.
    fn lost(&self, target: &TargetId) -> Option<Lost> {
        let said = end_of(&self.log(target)).ok()?;
        said.lines().rev().find_map(lost)
    }

    /// Where the command is to keep what would be lost.
    fn kept(&self, target: &TargetId, token: Token) -> PathBuf {
        self.folder.join(format!("{}.{}.{token}", target.app, target.name))
    }
}

/// Compares a token with the highest that was acted on, and writes it down.
fn raise(file: &Path, token: Token) -> Result<(), RejoinFault> {
    let held = match fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map(Token).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Token::default()),
        Err(error) => Err(error),
    };
    let held = held.map_err(RejoinFault::Token)?;
    if token < held {
        return Err(RejoinFault::Superseded(held));
    }
    write(file, token).map_err(RejoinFault::Token)
}

fn write(file: &Path, token: Token) -> io::Result<()> {
    let folder = file.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    fs::create_dir_all(folder)?;
    let half = file.with_extension("half");
    let mut written = File::create(&half)?;
    write!(written, "{}", token.0)?;
    written.sync_all()?;
    fs::rename(&half, file)?;
    File::open(folder)?.sync_all()
}

/// The last line that says anything, shortened.
fn last_line(log: &Path) -> io::Result<String> {
    let text = end_of(log)?;
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok(last.chars().take(TOLD).collect())
}

/// `lost: 52 transactions, 8840 bytes, 1 s`.
fn lost(line: &str) -> Option<Lost> {
    let mut parts = line.strip_prefix("lost: ")?.split(", ");
    let mut number = |unit: &str| parts.next()?.strip_suffix(unit)?.trim().parse().ok();
    let (transactions, bytes) = (number("transactions")?, number("bytes")?);
    let time = Duration::from_secs(number("s")?);
    Some(Lost { transactions, bytes, time })
}

fn end_of(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(end.saturating_sub(SAID)))?;
    let mut bytes = Vec::new();
    file.take(SAID).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn worded(fault: &RejoinFault) -> String {
    match std::error::Error::source(fault) {
        Some(cause) => format!("{fault}: {cause}"),
        None => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::model::Epoch;
    use consensus::moment::Moment;
    use probe::Login;

    fn rejoins(words: &[&str], folder: &Path) -> (Rejoins, mpsc::Receiver<Input>) {
        let (sender, inputs) = mpsc::channel(1);
        let door = DoorConfig {
            app: "shop".parse().expect("a name"),
            database: "orders".parse().expect("a name"),
            ports: vec![5432],
            allow: vec![],
            rejoin: words.iter().map(|word| (*word).to_owned()).collect(),
            heartbeat: false,
        };
        (Rejoins::new(&[door], Arc::default(), folder, sender), inputs)
    }

    fn rejoin(epoch: u32, deadline: Moment) -> Rejoin {
        let database = consensus::model::Database {
            name: "orders".parse().expect("a name"),
            engine: consensus::model::Engine::Postgres,
            address: "192.0.2.1".to_owned(),
            port: 5432,
            credential: "orders".parse().expect("a name"),
            guard: None,
            view: Default::default(),
        };
        Rejoin {
            target: TargetId {
                app: "shop".parse().expect("a name"),
                stack: "east".parse().expect("a name"),
                name: "orders".parse().expect("a name"),
            },
            token: Token::new(Epoch(epoch), 1, 6),
            deadline,
            primary: database.clone(),
            database,
        }
    }

    #[tokio::test]
    async fn the_last_line_is_the_report_and_a_lower_token_does_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let words = ["sh", "-c", "echo working; echo \"after $QUORATE_TOKEN\"; echo"];
        let (rejoins, _inputs) = rejoins(&words, folder.path());
        let said = rejoins.carry_out(&rejoin(3, Moment::NEVER)).await;
        assert_eq!(said.expect("done"), "after 3.1.6");
        let again = rejoins.carry_out(&rejoin(3, Moment::NEVER)).await;
        assert_eq!(again.expect("the same once more"), "after 3.1.6");
        let older = rejoins.carry_out(&rejoin(2, Moment::NEVER)).await;
        assert_eq!(worded(&older.expect_err("older")), "the newer token 3.1.6 was acted on");
    }

    #[tokio::test]
    async fn the_command_is_told_where_it_is_and_how_to_log_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let words = ["sh", "-c", "env | grep ^QUORATE_ | sort | tr '\\n' ' '"];
        let (mut rejoins, _inputs) = rejoins(&words, folder.path());
        let tls = Tls::Verified(Some("PEM".into()));
        let login = Login { tls, ..Login::new("quorate", Some("secret")) };
        let held = [("orders".parse().expect("a name"), Credential::Login(Arc::new(login)))];
        rejoins.credentials = Arc::new(held.into());
        let said = rejoins.carry_out(&rejoin(3, Moment::NEVER)).await.expect("it ends");
        let keep = folder.path().join("rejoin/shop.orders.3.1.6");
        let expected = format!(
            "QUORATE_APP=shop QUORATE_DATABASE=orders QUORATE_HOST=192.0.2.1 QUORATE_KEEP={} QUORATE_PASSWORD=secret \
             QUORATE_PORT=5432 QUORATE_PRIMARY_HOST=192.0.2.1 QUORATE_PRIMARY_PORT=5432 QUORATE_STACK=east \
             QUORATE_TLS=verified QUORATE_TLS_AUTHORITY=PEM QUORATE_TOKEN=3.1.6 QUORATE_USER=quorate",
            keep.display()
        );
        let told = fs::read_to_string(rejoins.log(&rejoin(3, Moment::NEVER).target));
        assert_eq!(told.expect("it is there").trim(), expected);
        assert!(expected.starts_with(&said), "{said}");
    }

    #[test]
    fn what_was_lost_is_read_and_nothing_else_is_taken_for_it() {
        let said = |transactions, bytes, seconds| {
            Some(Lost { transactions, bytes, time: Duration::from_secs(seconds) })
        };
        for (line, expected) in [
            ("lost: 52 transactions, 8840 bytes, 1 s", said(52, 8840, 1)),
            ("lost: 0 transactions, 0 bytes, 0 s", said(0, 0, 0)),
            ("lost: -1 transactions, 0 bytes, 0 s", None),
            ("lost: 52 transactions", None),
            ("52 transactions, 8840 bytes, 1 s", None),
        ] {
            assert_eq!(lost(line), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn what_comes_late_or_fails_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (late, _inputs) = rejoins(&["touch", "never"], folder.path());
        let late = late.carry_out(&rejoin(1, Moment::ZERO)).await;
        assert_eq!(worded(&late.expect_err("late")), "its deadline passed before it began");
        let (fails, _inputs) = rejoins(&["sh", "-c", "echo no room >&2; exit 3"], folder.path());
        let failed = worded(&fails.carry_out(&rejoin(1, Moment::NEVER)).await.expect_err("fails"));
        assert_eq!(failed, "`sh` failed (exit status: 3): no room");
    }
}
