//! An old Redis primary of this host → a replica of the agreed one, and a folder with what it alone had.
//!
//! What `quorate rejoin-redis` does, which a guard runs (`rejoin` of a `[[guard.door]]`). A replica drops what its new primary
//! never had, so that is copied first, the way a replica would get it: by `PSYNC` from where the two histories parted on, out
//! of the old primary's own log. Where that reaches back no more, or the histories tell no such place, the same request gives
//! all its data, and those are kept.
//!
//! The order is what makes it safe to end this at any moment: writes are refused first, the copy is whole and on disk before
//! the server is told to follow, and nothing else is ever done to it. Asked again, it begins anew. This room knows no leases,
//! voters or agreements: it is told two places.

mod kept;
mod log;
mod session;

use std::io;
use std::path::PathBuf;

use probe::redis::Seen;
use probe::{Login, Trust};

use self::kept::Folder;
use self::log::{Commands, Log, Tally};
use self::session::Session;

/// How often more of the log is read before it is believed that writes go on in spite of all.
const ROUNDS: usize = 100;
/// What a primary writes into its log by itself, now and then: `PING`.
const PING: u64 = 14;

/// Where a server listens.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its address or name.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub struct Setup {
    /// The app, which names the key of the token.
    pub app: String,
    /// The old primary.
    pub here: Place,
    /// The agreed one.
    pub primary: Place,
    /// For both.
    pub login: Login,
    /// The folder for what would be lost; made if there is something.
    pub keep: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Ended {
    /// What the old primary alone had, where that is known, as the guard reads it.
    pub lost: Option<String>,
    /// What was done, or why not, in a line for people.
    pub what: Result<String, String>,
}

/// Makes the server a replica, once what it alone has is kept.
pub async fn run(setup: &Setup) -> Ended {
    let mut lost = None;
    let what = follow(setup, &mut lost).await;
    Ended { lost, what }
}

async fn follow(setup: &Setup, lost: &mut Option<String>) -> Result<String, String> {
    let trust = Trust::of_host();
    let mut here = Session::open(&setup.here, &setup.login, &trust).await?;
    let mut there = Session::open(&setup.primary, &setup.login, &trust).await?;
    let upstream = &setup.primary;
    let above = there.seen().await?;
    if !above.is_primary() {
        return Err(format!("`{upstream}` is no primary"));
    }
    let seen = here.seen().await?;
    if !seen.is_primary() {
        let [host, port] = ["master_host", "master_port"].map(|key| seen.info().text(key));
        let (host, port) = (host.unwrap_or_default(), port.unwrap_or_default());
        return match (host, port) == (&upstream.host, &upstream.port.to_string()) {
            true => {
                if !seen.is_linked() {
                    here.encrypt(&setup.login.tls).await?;
                }
                Ok(format!("follows {host} already"))
            }
            false => Err(format!("is a replica of {host}:{port}")),
        };
    }
    if there.token(&setup.app).await? < here.token(&setup.app).await? {
        return Err(format!("`{upstream}` holds an older token"));
    }
    let databases = here.databases().await?;
    if !databases.is_empty() && there.databases().await?.is_empty() {
        return Err(format!("`{upstream}` is empty: following it would wipe what is left"));
    }
    let changed = here.close().await?;
    let seen = here.seen().await?;
    let from = above.left_of(&seen).or_else(|| above.saved_of(&seen));
    let copied = match from {
        None if databases.is_empty() => Copied::nothing("it is empty"),
        Some(from) if position(&seen)? <= from => {
            Copied { lost: Some(Tally::default()), ..Copied::nothing("nothing was diverged") }
        }
        from => copy(setup, &trust, &mut here, (&seen, from), &databases).await?,
    };
    *lost = copied.lost.as_ref().map(Tally::to_string);
    let tail = copied.text;
    match here.follow(upstream, &setup.login.tls).await {
        Ok(end) => {
            // Nobody writes any more, but what expires.
            let more = copied.end.map_or(0, |kept| end.saturating_sub(kept));
            let late = match more <= PING {
                true => String::new(),
                false => format!("; {more} bytes more came at the last moment and are not kept"),
            };
            let done = format!("follows {}; {tail}{late}", upstream.host);
            // What asks for replicas that nobody has is no harm to a replica, and taken back when it is promoted.
            let settled = here.settle(&changed).await;
            Ok(done + &settled.err().map(|why| format!("; {why}")).unwrap_or_default())
        }
        Err(why) => Err(format!("{why}; {tail}")),
    }
}

/// What was kept of an old primary.
struct Copied {
    /// What it alone had, where that is known.
    lost: Option<Tally>,
    /// Up to where its log was read.
    end: Option<u64>,
    text: String,
}

impl Copied {
    fn nothing(why: &str) -> Self {
        Self { lost: None, end: None, text: why.to_owned() }
    }
}

/// Keeps what the old primary has beyond this offset of its log, or all that it has.
async fn copy(
    setup: &Setup,
    trust: &Trust,
    here: &mut Session,
    (seen, from): (&Seen, Option<u64>),
    databases: &[u32],
) -> Result<Copied, String> {
    let kept = setup.keep.display();
    let history = from.and_then(|from| Some((seen.info().text("master_replid")?, from)));
    let session = Session::open(&setup.here, &setup.login, trust).await?;
    let (mut log, whole) = Log::begin(session, history).await?;
    let folder = Folder::make(&setup.keep)?;
    let begin = log.at();
    let mut data = None;
    if let Some(whole) = whole {
        let mut file = folder.file("dump.rdb")?;
        log.data(whole, &mut file).await?;
        data = Some(file);
    }
    let file = folder.file("commands.resp")?;
    let only = if let [only] = databases { Some(*only) } else { None };
    let mut commands = Commands::into(file, only);
    caught_up(here, &mut log, &mut commands).await?;
    let (file, tally, told) = commands.end();
    let (end, count) = (log.at(), tally.transactions);
    let why = match (data.is_some(), from) {
        (false, _) => String::new(),
        (true, None) => {
            "its history is not that one's (it was started again, or alone for long)".into()
        }
        (true, Some(from)) => {
            format!("its log does not reach back to {from}, where the two parted")
        }
    };
    let copied = match data {
        Some(data) => {
            data.finish()?;
            folder.note(&format!("dump.rdb: all data of {}, at {begin}: {why}", setup.here))?;
            let text = format!(
                "{why}: all its data are kept in {kept}; how many of its writes that one lacks is not known"
            );
            Copied { lost: None, end: Some(end), text }
        }
        None if count == 0 => {
            Copied { end: Some(end), lost: Some(tally), ..Copied::nothing("nothing was diverged") }
        }
        None => {
            let bytes = tally.bytes;
            let text = format!(
                "{count} transactions ({bytes} bytes) that it alone had are kept in {kept}{told}"
            );
            let note = format!(
                "commands.resp: {count} transactions ({bytes} bytes) of {} in the history {}, from {begin} to {end}, as \
                 `redis-cli --pipe` takes them{told}",
                setup.here,
                seen.info().text("master_replid").unwrap_or_default()
            );
            folder.note(&note)?;
            Copied { lost: Some(tally), end: Some(end), text }
        }
    };
    match count {
        0 => file.discard()?,
        _ => file.finish()?,
    }
    folder.done()?;
    // Making it durable may have taken its time.
    let mut late = Commands::into(io::sink(), None);
    caught_up(here, &mut log, &mut late).await?;
    match late.end().1.transactions {
        0 => Ok(Copied { end: Some(log.at()), ..copied }),
        more => Err(format!(
            "took {more} writes while it was copied, though it was closed: to be begun anew"
        )),
    }
}

/// Reads on until nothing is left of the log.
async fn caught_up<W: io::Write>(
    here: &mut Session,
    log: &mut Log,
    commands: &mut Commands<W>,
) -> Result<(), String> {
    for _ in 0..ROUNDS {
        let end = position(&here.seen().await?)?;
        if end <= log.at() {
            return Ok(());
        }
        log.read(end, commands).await?;
    }
    Err("takes writes though it was closed".to_owned())
}

fn position(seen: &Seen) -> Result<u64, String> {
    seen.position().ok_or_else(|| "does not say how far its log goes".to_owned())
}
