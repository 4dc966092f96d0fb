//! A Redis or Valkey server → what it says of itself, in one connection and one round trip after log-in.
//!
//! Replicas share their primary's *replication id*, and positions are bytes of one stream under that id: so the id is
//! the history (`system`), and two positions compare wherever the ids are equal. A promoted server draws a new id; a
//! primary that came back without its data has another one, too, and is so told apart from the one that was lost.
//!
//! The log-in needs `+info +config|get` and no key. Without `config|get` a fence does not show.

use std::io;
use std::time::Duration;

use consensus::model::{Database, DatabaseSight, FaultKind};

use crate::database::secure::{self, Stream};
use crate::fault::{Trouble, When, of_io};
use crate::phases::{Stage, Stopwatch};
use crate::{Login, Means, Tls, tcp};

mod heartbeat;
mod mismatch;
pub mod resp;
mod seen;

pub(crate) use heartbeat::write;
pub use seen::Seen;

use resp::{Info, Link, Reply};

/// A primary with this many required replicas, or more, was closed to writes by us: what is beyond it is what its
/// owner asks for.
pub const CLOSED: u64 = 2_000_000_000;
/// The user that every server has; it logs in by password alone, as before version 6.
pub const DEFAULT_USER: &str = "default";
/// Where users with rights of their own came from (`ACL`): what is older is not driven.
const OLDEST: u32 = 6;

/// What replicas a primary asks for before it takes a write.
const REQUIRED: &str = "min-replicas-to-write";

/// A protected connection; nobody has logged in over it.
async fn reach(
    database: &Database,
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<Link<Stream>, Trouble> {
    let stream = tcp::connect(&database.address, database.port, means, watch).await?;
    watch.enter(Stage::Tls);
    let protected = secure::over(stream, &database.address, &login.tls, &means.trust);
    let stream = tokio::select! {
        biased;
        protected = protected => protected.map_err(unprotected)?,
        trouble = mismatch::answers_plainly(database, means, watch.limit()) => return Err(trouble),
    };
    watch.enter(Stage::Process);
    Ok(Link::over(stream))
}

/// Whoever has no connection left hangs up before the handshake, for it has no word that would be understood there: it is full,
/// and not dead.
fn unprotected(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Theirs(fault) if fault.kind == FaultKind::Reset => {
            let text = "hangs up in the TLS handshake, as one does that has too many clients (`maxclients`)";
            Trouble::theirs(FaultKind::Unready, text)
        }
        other => other,
    }
}

/// Logs in and asks once.
pub(crate) async fn look(
    database: &Database,
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<DatabaseSight, Trouble> {
    match ask(database, login, means, watch).await {
        Err(Trouble::Theirs(fault))
            if fault.kind == FaultKind::Reset && login.tls == Tls::AsOffered =>
        {
            let mismatch = mismatch::speaks_tls(database, means, watch.limit()).await;
            Err(mismatch.unwrap_or(Trouble::Theirs(fault)))
        }
        other => other,
    }
}

async fn ask(
    database: &Database,
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<DatabaseSight, Trouble> {
    let mut link = reach(database, login, means, watch).await?;
    let log_in = log_in(&login.user, login.password.as_deref());
    let mut commands: Vec<&[&str]> = Vec::new();
    commands.extend(log_in.as_deref());
    commands.push(&["INFO"]);
    commands.push(&["CONFIG", "GET", REQUIRED]);
    link.send(&commands).await.map_err(|it| broken(&it))?;
    if log_in.is_some() {
        let reply = link.hear().await.map_err(|it| broken(&it))?;
        if let Some(why) = reply.refusal() {
            return Err(refused_log_in(why, &login.user));
        }
    }
    let info = match link.hear().await.map_err(|it| broken(&it))? {
        Reply::Text(info) => info,
        Reply::Refused(why) => return Err(refused(&why, &login.user)),
        other => return Err(Trouble::theirs(FaultKind::Protocol, format!("answers `{other:?}`"))),
    };
    let required = link.hear().await.map_err(|it| broken(&it))?;
    let required = required.setting(REQUIRED).and_then(|required| required.parse().ok());
    watch.stop();
    read(Info(&info), required)
}

/// How this user logs in, if it has a password.
pub fn log_in<'a>(user: &'a str, password: Option<&'a str>) -> Option<Vec<&'a str>> {
    password.map(|password| match user {
        DEFAULT_USER => vec!["AUTH", password],
        user => vec!["AUTH", user, password],
    })
}

/// What a replica is told first so that it follows as its primary is reached: by TLS, where the log-in asks for that.
pub fn follows_by(tls: &Tls) -> Option<[&'static str; 4]> {
    match tls {
        Tls::AsOffered => None,
        Tls::Encrypted | Tls::Verified(_) => Some(["CONFIG", "SET", "tls-replication", "yes"]),
    }
}

fn broken(error: &io::Error) -> Trouble {
    match (error.kind(), error.get_ref()) {
        (io::ErrorKind::InvalidData, Some(inner)) => {
            Trouble::theirs(FaultKind::Protocol, inner.to_string())
        }
        _ => of_io(error, When::Later, "talking to the database"),
    }
}

fn refused(why: &str, user: &str) -> Trouble {
    match kind_of(why) {
        FaultKind::Credential => {
            Trouble::theirs(FaultKind::Credential, format!("refuses `{user}`: {why}"))
        }
        kind => Trouble::theirs(kind, format!("says: {why}")),
    }
}

/// Whatever is wrong with a log-in is the credential, unless the server says that it serves nobody.
fn refused_log_in(why: &str, user: &str) -> Trouble {
    match kind_of(why) {
        FaultKind::Unready => Trouble::theirs(FaultKind::Unready, format!("says: {why}")),
        _ => Trouble::theirs(FaultKind::Credential, format!("refuses `{user}`: {why}")),
    }
}

/// By the word that an error begins with.
fn kind_of(why: &str) -> FaultKind {
    match why.split(' ').next().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => FaultKind::Credential,
        "LOADING" | "BUSY" | "MASTERDOWN" | "MISCONF" | "OOM" => FaultKind::Unready,
        "ERR" if why.contains("max number of clients") => FaultKind::Unready,
        _ => FaultKind::Protocol,
    }
}

/// What `INFO` says; `required` is how many replicas a write needs, where that could be asked.
fn read(info: Info<'_>, required: Option<u64>) -> Result<DatabaseSight, Trouble> {
    fit(info)?;
    let lacks = |key: &str| {
        Trouble::theirs(FaultKind::Protocol, format!("the database's answer lacks `{key}`"))
    };
    let number = |key: &str| info.number::<u64>(key).ok_or_else(|| lacks(key));
    let replica = match info.text("role") {
        Some("master") => false,
        Some("slave" | "replica") => true,
        _ => return Err(lacks("role")),
    };
    let system = info.history("master_replid").ok_or_else(|| lacks("master_replid"))?;
    if !replica {
        let good = info.number::<u64>("min_slaves_good_slaves");
        let short = good.zip(required).is_some_and(|(good, required)| good < required);
        let position = number("master_repl_offset")?;
        return Ok(DatabaseSight {
            replica,
            read_only: short || required.is_some_and(|required| CLOSED <= required),
            system,
            timeline: 1,
            position,
            replayed: position,
            streaming: false,
            heard: None,
            lag: None,
            upstream_name: None,
            synchronous: Vec::new(),
            receivers: Vec::new(),
            slots_at_risk: Vec::new(),
        });
    }
    let replayed = number("slave_repl_offset")?;
    // Before version 7 what was received is what was applied.
    let position = info.number("slave_read_repl_offset").unwrap_or(replayed).max(replayed);
    let streaming = info.text("master_link_status") == Some("up");
    let seconds = |key: &str| info.number::<u64>(key).map(Duration::from_secs);
    let heard = match streaming {
        true => seconds("master_last_io_seconds_ago"),
        false => seconds("master_link_down_since_seconds"),
    };
    Ok(DatabaseSight {
        replica,
        read_only: info.text("slave_read_only") != Some("0"),
        system,
        timeline: 1,
        position,
        replayed,
        streaming,
        heard,
        // All that came before it last heard its primary it has. Once the link is given up, it only says since when, and that
        // may be a minute after the last word that came (`repl-timeout`).
        lag: heard.filter(|_| streaming),
        upstream_name: upstream(info),
        synchronous: Vec::new(),
        receivers: Vec::new(),
        slots_at_risk: Vec::new(),
    })
}

fn upstream(info: Info<'_>) -> Option<String> {
    Some(format!("{}:{}", info.text("master_host")?, info.text("master_port")?))
}

/// Is it a server that may be watched and driven? Its mode and its version, of what `INFO` says.
///
/// # Errors
/// What it is, if not.
pub fn driven(info: Info<'_>) -> Result<(), String> {
    // Valkey's own word, and Redis's.
    let mode = info.text("server_mode").or_else(|| info.text("redis_mode"));
    if let Some(mode @ ("cluster" | "sentinel")) = mode {
        return Err(format!("runs in {mode} mode, which moves its own primaries: not driven"));
    }
    let version = info.text("redis_version").unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        let version: String = version.chars().take(40).collect();
        return Err(format!("is of version `{version}`, expected {OLDEST} or newer"));
    }
    Ok(())
}

/// Is it one that is driven, and through with its start?
fn fit(info: Info<'_>) -> Result<(), Trouble> {
    let unready = |text: String| Err(Trouble::theirs(FaultKind::Unready, text));
    driven(info).or_else(unready)?;
    if info.text("loading") == Some("1") {
        return unready("is loading its data".to_owned());
    }
    if info.text("master_sync_in_progress") == Some("1") {
        return unready(
            "is being copied anew from its primary: what it held is being replaced".to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "redis_version:7.0.15\r\nredis_mode:standalone\r\nloading:0\r\n";
    const ID: &str = "master_replid:8b1f6a1f4be7e0c7c4f1a4f8d5a0c93e2f7f9d10\r\n";

    fn seen(rest: &str, required: Option<u64>) -> Result<DatabaseSight, Trouble> {
        read(Info(&format!("{SERVER}{ID}{rest}")), required)
    }

    #[test]
    fn who_hangs_up_in_the_handshake_is_full_and_whatever_else_goes_wrong_there_stays_what_it_was()
    {
        use FaultKind::{Certificate, Credential, Refused, Reset, Timeout, Tls, Unready};
        for (kind, told) in [
            (Reset, Unready),
            (Refused, Refused),
            (Timeout, Timeout),
            (Tls, Tls),
            (Certificate, Certificate),
            (Credential, Credential),
        ] {
            match unprotected(Trouble::theirs(kind, "a fault")) {
                Trouble::Theirs(fault) => assert_eq!(fault.kind, told, "{kind:?}"),
                Trouble::Ours(fault) => panic!("{kind:?}: {fault:?}"),
            }
        }
    }

    #[test]
    fn a_replica_says_what_it_received_and_what_it_applied() {
        let text = "role:slave\r\nmaster_host:192.0.2.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
                    master_last_io_seconds_ago:3\r\nslave_read_repl_offset:120\r\nslave_repl_offset:100\r\n\
                    slave_read_only:1\r\n";
        let sight = seen(text, Some(0)).expect("it is whole");
        assert!(sight.replica && sight.read_only && sight.streaming);
        assert_eq!((sight.position, sight.replayed), (120, 100));
        assert_eq!(sight.heard, Some(Duration::from_secs(3)));
        assert_eq!(sight.upstream_name.as_deref(), Some("192.0.2.1:6379"));
        let down = text.replace("status:up", "status:down").replace("ago:3", "ago:-1");
        let sight = seen(&format!("{down}master_link_down_since_seconds:9\r\n"), None);
        let sight = sight.expect("it is whole");
        assert!(!sight.streaming);
        assert_eq!(sight.heard, Some(Duration::from_secs(9)));
    }

    #[test]
    fn a_primary_that_refuses_writes_says_so() {
        let text = "role:master\r\nmaster_repl_offset:7\r\n";
        for (rest, required, read_only) in [
            ("", Some(0), false),
            ("", None, false),
            ("", Some(CLOSED + 1), true),
            ("min_slaves_good_slaves:1\r\n", Some(1), false),
            ("min_slaves_good_slaves:0\r\n", Some(1), true),
        ] {
            let sight = seen(&format!("{text}{rest}"), required).expect("it is whole");
            assert_eq!(sight.read_only, read_only, "{rest:?} {required:?}");
            assert_eq!((sight.system, sight.position), (0x8b1f_6a1f_4be7_e0c7, 7));
        }
    }

    #[test]
    fn what_moves_by_itself_is_old_or_not_ready_is_not_judged() {
        let whole = format!("{SERVER}{ID}role:master\r\nmaster_repl_offset:7\r\n");
        for (from, to, words) in [
            ("standalone", "cluster", "cluster mode"),
            ("standalone", "sentinel", "sentinel mode"),
            ("redis_mode:standalone", "server_mode:cluster", "cluster mode"),
            ("redis_mode:standalone", "server_mode:sentinel", "sentinel mode"),
            ("7.0.15", "5.0.7", "version `5.0.7`"),
            ("loading:0", "loading:1", "is loading"),
            ("loading:0", "master_sync_in_progress:1", "being replaced"),
        ] {
            let trouble = read(Info(&whole.replace(from, to)), None).expect_err("it is unfit");
            let Trouble::Theirs(fault) = trouble else { panic!("theirs: {trouble:?}") };
            assert_eq!(fault.kind, FaultKind::Unready, "{fault}");
            assert!(fault.text.contains(words), "{fault}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (why, kind) in [
            ("NOAUTH Authentication required.", FaultKind::Credential),
            ("WRONGPASS invalid username-password pair", FaultKind::Credential),
            ("NOPERM this user has no permissions", FaultKind::Credential),
            ("DENIED Redis is running in protected mode", FaultKind::Credential),
            ("LOADING Redis is loading the dataset in memory", FaultKind::Unready),
            ("ERR max number of clients reached", FaultKind::Unready),
            ("BUSY Redis is busy running a script", FaultKind::Unready),
            ("ERR unknown command", FaultKind::Protocol),
            ("", FaultKind::Protocol),
        ] {
            assert_eq!(kind_of(why), kind, "{why}");
        }
    }
}
