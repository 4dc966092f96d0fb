//! A member of a MongoDB replica set → what it says of itself, in one connection: `hello`, a log-in, `replSetGetStatus`.
//!
//! The set elects its own primary, and numbers elections: the *term* is the `timeline`, and of two that both claim to be the
//! primary the one of the higher term is right. A position is a place in the set's log, the second of its clock in the upper
//! half; so positions compare, and what a member lacks is seconds. The history (`system`) is the set's name with its
//! members: two sets of one name are told apart.
//!
//! `upstream_name` is the name under which the set could elect a secondary; who has none (priority 0, hidden) never becomes
//! the primary. `hello` needs no right; without a password it is all that is asked. With one, the user, of the database
//! `admin`, needs the role `clusterMonitor`, and what it is refused is said. Whoever does not know `hello` is asked by its old
//! name, `isMaster`, which answers the same but for one word.

use std::io;
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use bson::{Binary, cstr, rawdoc, spec::BinarySubtype};
use consensus::model::{Database, DatabaseSight, FaultKind};
use data_encoding::BASE64;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::database::secure::{self, answered};
use crate::fault::{Trouble, When, of_io};
use crate::phases::{Stage, Stopwatch};
use crate::tls::{is_of_tls, of_tls};
use crate::{Login, Means, Tls, tcp};

mod scram;
pub mod wire;

use scram::Mechanism;
use wire::{Broken, Facts, Link, Refusal, line, strange};

/// The versions of the protocol that are spoken: of MongoDB 3.6, which brought `OP_MSG`, and of 8.
const SPOKEN: std::ops::RangeInclusive<i64> = 6..=29;
/// The longest name of a member: a host's, and a port.
const NAME: usize = 262;
/// The most members that a set may have, and more.
const MEMBERS: usize = 64;

/// `CommandNotFound`.
const NO_SUCH_COMMAND: i64 = 59;

/// The election of who was never told of one (MongoDB's `OpTime::kUninitializedTerm`).
const UNELECTED: i64 = -1;

/// Logs in and asks once.
pub(crate) async fn look(
    database: &Database,
    login: &Login,
    means: &Means,
    watch: &mut Stopwatch,
) -> Result<DatabaseSight, Trouble> {
    let stream = tcp::connect(&database.address, database.port, means, watch).await?;
    watch.enter(Stage::Tls);
    let stream = secure::over(stream, &database.address, &login.tls, &means.trust).await;
    let stream = stream.map_err(unprotected)?;
    let mut link = Link::over(stream, watch.left());
    watch.enter(Stage::Process);
    let hello = greet(&mut link, login).await.map_err(|error| unheard(&error, login))?;
    fit(Facts(&hello))?;
    let trouble = |error: &Broken| trouble(error, &login.user);
    log_in(&mut link, login, Facts(&hello)).await.map_err(|error| trouble(&error))?;
    let status = match login.password {
        Some(_) => {
            let status = link.ask(&rawdoc! { "replSetGetStatus": 1, "$db": "admin" }).await;
            Some(status.map_err(|error| trouble(&error))?)
        }
        None => None,
    };
    watch.stop();
    read(Facts(&hello), status.as_deref().map(Facts))
}

/// Asks a member who it is, and by what this user can log in there.
///
/// Not by `isMaster` with `helloOk` first, as drivers do who keep their connections: of one that is asked once, who knows
/// `hello` (4.4.2 or newer) is asked nothing else.
///
/// # Errors
/// If the server says no, or nothing that can be understood.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    login: &Login,
) -> Result<RawDocumentBuf, Broken> {
    let user = login.password.as_ref().map(|_| format!("admin.{}", login.user));
    let ask = |mut command: RawDocumentBuf| {
        if let Some(user) = &user {
            command.append(cstr!("saslSupportedMechs"), user.as_str());
        }
        command
    };
    match link.ask(&ask(rawdoc! { "hello": 1, "$db": "admin" })).await {
        Err(Broken::Refused(no)) if no.code == NO_SUCH_COMMAND => {
            link.ask(&ask(rawdoc! { "isMaster": 1, "$db": "admin" })).await
        }
        other => other,
    }
}

/// By what a user logs in, as drivers choose it: servers before 4.0, and those that know no such user, do not say.
fn mechanism(hello: Facts<'_>) -> Mechanism {
    let name = Mechanism::Sha256.name();
    match hello.list("saslSupportedMechs").any(|it| it.as_str() == Some(name)) {
        true => Mechanism::Sha256,
        false => Mechanism::Sha1,
    }
}

/// Logs in, if this user has a password, by what the member offered when it was [`greet`]ed.
///
/// # Errors
/// If the server refuses it, or does not prove that it knows the password, too.
pub async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    login: &Login,
    hello: Facts<'_>,
) -> Result<(), Broken> {
    let Some(password) = &login.password else { return Ok(()) };
    let mut nonce = [0; 18];
    SystemRandom::new().fill(&mut nonce).map_err(|_| io::Error::other("no random numbers"))?;
    let mechanism = mechanism(hello);
    let nonce = BASE64.encode(&nonce);
    let (begun, first) = scram::Begun::new(mechanism, &login.user, password, &nonce);
    let payload =
        |text: String| Binary { subtype: BinarySubtype::Generic, bytes: text.into_bytes() };
    let begin = rawdoc! {
        "saslStart": 1,
        "mechanism": mechanism.name(),
        "payload": payload(first),
        "options": { "skipEmptyExchange": true },
        "$db": "admin",
    };
    let challenge = link.say(&begin).await?;
    let number = Facts(&challenge).number("conversationId").unwrap_or_default();
    let number = i32::try_from(number).map_err(|_| strange("no such conversation"))?;
    let said = Facts(&challenge).bytes("payload").unwrap_or_default();
    let (proved, second) = begun.prove(said).map_err(strange)?;
    let go_on = |text: String| {
        rawdoc! {
            "saslContinue": 1,
            "conversationId": number,
            "payload": payload(text),
            "$db": "admin",
        }
    };
    let last = link.say(&go_on(second)).await?;
    if !proved.believes(Facts(&last).bytes("payload").unwrap_or_default()) {
        return Err(strange("the server does not prove that it knows the password").into());
    }
    // Whoever does not know `skipEmptyExchange` wants one more word.
    if !Facts(&last).says("done") {
        link.say(&go_on(String::new())).await?;
    }
    Ok(())
}

/// Whoever speaks no TLS hangs up on whoever begins with it, without a word.
fn unprotected(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Theirs(fault) if fault.kind == FaultKind::Reset => {
            let text = "hangs up in the TLS handshake: it offers no encryption, and the credential asks for it (`tls`), or it \
                        has too many connections";
            Trouble::theirs(FaultKind::Credential, text)
        }
        other => other,
    }
}

/// Nothing was heard of the very first question.
fn unheard(error: &Broken, login: &Login) -> Trouble {
    match error {
        // Whoever is too full hangs up on everybody, and who speaks TLS alone on who does not: both are there.
        Broken::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
            ) =>
        {
            let or = match login.tls {
                Tls::AsOffered => ", or it speaks TLS alone, and the credential lacks `tls`",
                // It ends the handshake first, and hangs up on who showed none (MongoDB's `ssl_manager_openssl.cpp`).
                Tls::Encrypted | Tls::Verified(_) => {
                    ", or it asks for a client's certificate, and an agent has none to show \
                     (`net.tls.allowConnectionsWithoutCertificates`)"
                }
            };
            let text = format!(
                "hangs up on whoever connects: it has too many connections (`net.maxIncomingConnections`){or}"
            );
            unready(text)
        }
        Broken::Refused(refusal) if refusal.code == NO_SUCH_COMMAND => unready(
            "does not know `hello`, nor `isMaster`: expected MongoDB 3.6 or newer".to_owned(),
        ),
        other => trouble(other, &login.user),
    }
}

fn trouble(error: &Broken, user: &str) -> Trouble {
    match error {
        // A server that wants more than it was shown says so only now, where it speaks TLS 1.3.
        Broken::Io(error) if is_of_tls(error) => answered(of_tls(error)),
        Broken::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            Trouble::theirs(FaultKind::Protocol, error.to_string())
        }
        Broken::Io(error) => of_io(error, When::Later, "talking to the database"),
        Broken::Refused(Refusal { code, text }) => match kind_of(*code) {
            FaultKind::Credential => {
                Trouble::theirs(FaultKind::Credential, format!("refuses `{user}`: {text}"))
            }
            kind => Trouble::theirs(kind, format!("says: {text}")),
        },
    }
}

/// By the error's number (MongoDB's `error_codes.yml`).
fn kind_of(code: i64) -> FaultKind {
    match code {
        // No such user, unauthorized, authentication failed, no such mechanism for the user, log in again.
        11 | 13 | 18 | 334 | 391 => FaultKind::Credential,
        // Shutting down, stepping down or recovering, not yet a member of a set.
        91 | 11600 | 11602 | 189 | 10107 | 13435 | 13436 | 76 | 93 | 94 => FaultKind::Unready,
        // By its own clock the time is up: MaxTimeMSExpired, ExceededTimeLimit.
        50 | 262 => FaultKind::Timeout,
        _ => FaultKind::Protocol,
    }
}

fn unready(text: String) -> Trouble {
    Trouble::theirs(FaultKind::Unready, text)
}

/// Is it a member of a set that can be followed, and of a version that is spoken?
fn fit(hello: Facts<'_>) -> Result<(), Trouble> {
    let (least, most) = (hello.number("minWireVersion"), hello.number("maxWireVersion"));
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    if most < *SPOKEN.start() || *SPOKEN.end() < least {
        let (from, to) = (SPOKEN.start(), SPOKEN.end());
        return Err(unready(format!(
            "speaks versions {least} to {most} of its protocol, expected one of {from} to {to}: MongoDB 3.6 to 8"
        )));
    }
    let why = if hello.text("msg") == Some("isdbgrid") {
        "is a router of a sharded cluster (`mongos`), which has no primary: name a member of the set"
    } else if hello.says("isreplicaset") {
        "belongs to a replica set that was never initiated"
    } else if hello.text("setName").is_none() {
        "is a member of no replica set: there is nothing to follow"
    } else if hello.says("arbiterOnly") {
        "is an arbiter, which holds no data: name a member that does"
    } else {
        return Ok(());
    };
    Err(unready(why.to_owned()))
}

/// Does it say that it is the primary? `isMaster` has another word for that than `hello`.
fn leads(hello: Facts<'_>) -> bool {
    hello.says("isWritablePrimary") || hello.says("ismaster")
}

/// By which election a member says that it is the primary, if it says so, and names one.
pub fn leads_by(hello: Facts<'_>) -> Option<u32> {
    let written_in = || hello.document("lastWrite")?.place("opTime").map(|(term, _)| term);
    let term = || hello.term_of_election("electionId").or_else(written_in);
    let term = leads(hello).then(term).flatten();
    term.and_then(timeline)
}

/// Elections are counted from one; before the first it is 0.
fn timeline(term: i64) -> Option<u32> {
    u32::try_from(term).ok()
}

fn unlike(text: &str) -> Trouble {
    Trouble::theirs(FaultKind::Protocol, text)
}

/// What `hello` says, and the state of the set as this member sees it, where that could be asked.
fn read(hello: Facts<'_>, status: Option<Facts<'_>>) -> Result<DatabaseSight, Trouble> {
    let members = || status.into_iter().flat_map(|it| it.list("members")).take(MEMBERS);
    let members = || members().filter_map(|it| it.as_document()).map(Facts);
    let me = members().find(|it| it.says("self"));
    let (primary, secondary) = (leads(hello), hello.says("secondary"));
    if primary && secondary {
        return Err(unlike("says that it is the primary and a secondary at once"));
    }
    if !primary && !secondary {
        let state = me.and_then(|me| me.text("stateStr")).unwrap_or("neither");
        let state: String = line(state).chars().take(24).collect();
        return Err(unready(match state.as_str() {
            "PRIMARY" => "is elected, and not yet ready to take writes".to_owned(),
            "neither" => "is neither a primary nor a secondary just now".to_owned(),
            state => format!("is neither a primary nor a secondary, but {state}"),
        }));
    }
    let written = hello.document("lastWrite").and_then(|it| it.place("opTime"));
    let lacks = || unlike("the database's answer lacks `lastWrite.opTime`");
    let (written_in, replayed) = written.ok_or_else(lacks)?;
    let told = status.and_then(|it| it.number("term")).unwrap_or(written_in);
    let told = told.max(written_in);
    if !primary && told == UNELECTED {
        return Err(unready("knows of no election of its set yet".to_owned()));
    }
    let term = if primary { leads_by(hello) } else { timeline(told) };
    let term = term.ok_or_else(|| unlike("the database's answer names no election that can be"))?;
    let received = status.and_then(|it| it.document("optimes")?.place("writtenOpTime"));
    let position = received.map_or(replayed, |(_, at)| at.max(replayed));
    let leader = members().find(|it| it.number("state") == Some(1));
    let between = |later: Option<i64>, earlier: Option<i64>| {
        let millis = later?.saturating_sub(earlier?).max(0);
        Some(Duration::from_millis(millis.unsigned_abs()))
    };
    let date = |it: Option<Facts<'_>>| it.and_then(|it| it.millis("optimeDate"));
    let electable = !hello.says("passive") && !hello.says("hidden");
    let sane = |it: &&str| it.len() <= NAME && !it.contains(char::is_control);
    let name = hello.text("me").filter(sane).filter(|_| electable && !primary);
    let source = me.and_then(|me| me.text("syncSourceHost")).is_some_and(|it| !it.is_empty());
    // Who has all that it heard of the primary looks for a source only once there is more.
    let place = |it: Option<Facts<'_>>| it.and_then(|it| it.place("optime"));
    let has_all = place(leader).is_some_and(|last| place(me).is_some_and(|own| last <= own));
    Ok(DatabaseSight {
        replica: !primary,
        read_only: !primary,
        system: history(hello),
        timeline: term,
        position: if primary { replayed } else { position },
        replayed,
        // Where that cannot be asked, a secondary is taken to receive: one that does not falls behind, and that shows.
        streaming: !primary && (status.is_none() || source || has_all),
        heard: status
            .and_then(|it| between(it.millis("date"), leader?.millis("lastHeartbeatRecv")))
            .filter(|_| !primary),
        lag: between(date(leader), date(me)).filter(|_| !primary),
        upstream_name: name.map(str::to_owned),
        synchronous: Vec::new(),
        receivers: Vec::new(),
        slots_at_risk: Vec::new(),
    })
}

/// The set's name and its members, as one number.
fn history(hello: Facts<'_>) -> u64 {
    let lists = ["hosts", "passives"].into_iter().flat_map(|key| hello.list(key).take(MEMBERS));
    let mut members: Vec<&str> = lists.filter_map(|it| it.as_str()).collect();
    members.sort_unstable();
    let mut whole = digest::Context::new(&digest::SHA256);
    for word in hello.text("setName").into_iter().chain(members) {
        whole.update(word.as_bytes());
        whole.update(b"\n");
    }
    let digest = whole.finish();
    digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
