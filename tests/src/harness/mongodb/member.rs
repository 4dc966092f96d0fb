//! A server that speaks MongoDB's protocol (`OP_MSG`, SCRAM-SHA-256) and understands the commands that Quorate and pymongo send
//! to a member of a replica set. Written by the manual, by what pymongo accepts, and corrected by a real `mongod` 3.6
//! ([`super::real`]); none of 4.0 or newer is to be had.
//!
//! What the members agree on stands in a file that all of them read ([`Set`]): who is the primary, by which election. Whoever
//! writes the file is the election.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use bson::{Binary, DateTime, Timestamp, cstr, rawdoc, spec::BinarySubtype};
use probe::mongodb::wire::Facts;
use ring::{digest, hmac, pbkdf2};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// What the members of a set agree on, and what a test wants of one of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Set {
    /// Every member, `host:port`.
    pub members: Vec<String>,
    /// Who takes writes.
    pub primary: Option<String>,
    /// Which election made it the primary.
    pub term: i64,
    /// The second of the last write.
    pub written: u32,
    /// Who has an older state than the primary, and by how many seconds.
    pub behind: Option<(String, u32)>,
    /// Who goes on claiming to be the primary by an older election: cut off from its set.
    pub claims: Option<(String, i64)>,
    /// Who can never be elected.
    pub passive: Option<String>,
    /// How each member is, for those that are not as they should be.
    pub ails: Option<(String, Ailment)>,
    /// Every write that was acknowledged, and by whom.
    pub rows: Vec<(String, i32)>,
    /// Every request to step down, and what was asked for with it.
    pub stepped: Vec<String>,
}

/// What is wrong with a member; with a command, from that one on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ailment {
    /// Takes connections, and says nothing on them: not even in a TLS handshake.
    Dumb,
    /// Never answers that.
    Silent(String),
    /// Answers it a byte at a time, for hours.
    Trickles(String),
    /// Answers with a length of two thousand million bytes, and goes on for ever.
    Boundless(String),
    /// Waits for a lock that nobody lets go of, until half of the time is up that it was allowed: whoever allowed it is there still.
    Stuck(String),
    /// Takes no more connections.
    Full,
    /// Ends the TLS handshake, and hangs up: as a `mongod` does that wants a client's certificate and was shown none.
    Choosy,
    /// The user lacks `clusterMonitor`.
    Revoked,
    /// Of another time: a `mongod` of before 3.6.
    Ancient,
    /// In no set.
    Alone,
    /// Neither primary nor secondary.
    Recovering,
}

impl Set {
    /// A set whose first member is the primary.
    pub fn of(members: &[String]) -> Self {
        Self {
            members: members.to_vec(),
            primary: members.first().cloned(),
            term: 3,
            written: 1_000_000,
            behind: None,
            claims: None,
            passive: None,
            ails: None,
            rows: Vec::new(),
            stepped: Vec::new(),
        }
    }

    /// What stands in the file now.
    pub fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("the set's file is there");
        serde_json::from_str(&text).expect("the set's file is whole")
    }

    /// Changes what stands in the file, in one step.
    pub fn change<T>(file: &Path, change: impl FnOnce(&mut Self) -> T) -> T {
        // Two members write at the same time only where a test lets them.
        let mut set = Self::read(file);
        let result = change(&mut set);
        set.write(file);
        result
    }

    /// Makes this the file.
    pub fn write(&self, file: &Path) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let new = file.with_extension(format!("{}-{number}", std::process::id()));
        std::fs::write(&new, serde_json::to_string(self).expect("plain data")).expect("own folder");
        std::fs::rename(&new, file).expect("own folder");
    }

    /// Another election, won by this member; nobody but a test, or a primary that steps down, holds one.
    pub fn elect(&mut self, member: &str) {
        self.primary = Some(member.to_owned());
        self.term += 1;
        self.written += 1;
    }
}

/// Serves one member at these addresses for ever; over TLS alone, if it is given that.
pub async fn serve(
    listener: TcpListener,
    member: String,
    file: PathBuf,
    login: (String, String),
    tls: Option<Arc<ServerConfig>>,
) {
    let tls = tls.map(TlsAcceptor::from);
    while let Ok((stream, _)) = listener.accept().await {
        let (member, file, login, tls) = (member.clone(), file.clone(), login.clone(), tls.clone());
        // A session that breaks off is the client's to notice.
        tokio::spawn(async move {
            let session = Session { member, file, login, user: None, begun: None };
            let set = Set::read(&session.file);
            if session.ails(&set, &Ailment::Full) {
                return None;
            }
            if session.ails(&set, &Ailment::Dumb) {
                return hear_out(stream).await;
            }
            match tls {
                Some(tls) => {
                    let stream = tls.accept(stream).await.ok()?;
                    if session.ails(&set, &Ailment::Choosy) {
                        return None;
                    }
                    session.run(stream).await
                }
                None => session.run(stream).await,
            }
        });
    }
}

/// Reads on, and says nothing, until the other end is gone.
async fn hear_out(mut stream: impl AsyncRead + Unpin) -> Option<()> {
    let mut heard = [0; 1024];
    while 0 < stream.read(&mut heard).await.ok()? {}
    None
}

struct Session {
    member: String,
    file: PathBuf,
    login: (String, String),
    /// Who logged in.
    user: Option<String>,
    begun: Option<(String, String)>,
}

const SALT: [u8; 16] = *b"sixteen bytes, 0";
const ROUNDS: u32 = 4_096;
/// Codes of errors, by MongoDB's `error_codes.yml`.
const AUTHENTICATION_FAILED: i32 = 18;
const UNAUTHORIZED: i32 = 13;
const NO_SUCH_COMMAND: i32 = 59;
const NOT_WRITABLE_PRIMARY: i32 = 10107;
const MAX_TIME_MS_EXPIRED: i32 = 50;
const EXCEEDED_TIME_LIMIT: i32 = 262;
/// Between two bytes of an answer that trickles.
const TRICKLE: Duration = Duration::from_millis(50);

fn no(code: i32, name: &str, text: &str) -> RawDocumentBuf {
    rawdoc! { "ok": 0.0, "errmsg": text, "code": code, "codeName": name }
}

impl Session {
    async fn run(mut self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        loop {
            let mut head = [0; 16];
            stream.read_exact(&mut head).await.ok()?;
            let number = |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().expect("four"));
            // A TLS handshake, or anything else: a `mongod` without TLS hangs up.
            if ![2004, 2013].contains(&number(12)) {
                return None;
            }
            let length = usize::try_from(number(0)).ok()?.checked_sub(16)?;
            let mut body = vec![0; length.min(1 << 20)];
            stream.read_exact(&mut body).await.ok()?;
            // What old clients begin with (`OP_QUERY`) is answered in kind: flags, name, two numbers, a document.
            let old = number(12) == 2004;
            let from = match old {
                true => 4 + body.get(4..)?.iter().position(|byte| *byte == 0)? + 1 + 8,
                false => 5,
            };
            let document = body.get(from..)?;
            let end = i32::from_le_bytes(document.get(..4)?.try_into().ok()?);
            let document = document.get(..usize::try_from(end).ok()?)?.to_vec();
            let asked = RawDocumentBuf::from_bytes(document).ok()?;
            let set = Set::read(&self.file);
            let name = asked.iter().next()?.ok()?.0.as_str().to_owned();
            let ails = |ailment: fn(String) -> Ailment| self.ails(&set, &ailment(name.clone()));
            if ails(Ailment::Silent) {
                return hear_out(stream).await;
            }
            let mut said = None;
            if ails(Ailment::Stuck) {
                let millis = Facts(&asked).number("maxTimeMS").filter(|it| 0 < *it);
                let Some(millis) = millis else { return hear_out(stream).await };
                let millis = Duration::from_millis(millis.unsigned_abs()) / 2;
                // Whoever asked is gone: nobody is told.
                if timeout(millis, hear_out(&mut stream)).await.is_ok() {
                    return None;
                }
                let text = "operation exceeded time limit";
                said = Some(no(MAX_TIME_MS_EXPIRED, "MaxTimeMSExpired", text));
            }
            let (trickles, boundless) = (ails(Ailment::Trickles), ails(Ailment::Boundless));
            let said = match said {
                Some(said) => said,
                None => self.answer(&asked)?,
            };
            let mut message = Vec::new();
            let front = if old { 36 } else { 21 };
            let length = i32::try_from(front + said.as_bytes().len()).ok()?;
            for it in [length, 0, number(4), if old { 1 } else { 2013 }] {
                message.extend(it.to_le_bytes());
            }
            match old {
                // Flags, a cursor of eight bytes, where it begins, how many.
                true => {
                    message.extend([8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
                }
                false => message.extend([0; 5]),
            }
            message.extend(said.as_bytes());
            if boundless {
                message[..4].copy_from_slice(&i32::MAX.to_le_bytes());
                while stream.write_all(&message).await.is_ok() {}
                return None;
            }
            if trickles {
                let mut pace = tokio::time::interval(TRICKLE);
                for byte in message {
                    pace.tick().await;
                    stream.write_all(&[byte]).await.ok()?;
                }
                continue;
            }
            stream.write_all(&message).await.ok()?;
            stream.flush().await.ok()?;
        }
    }

    fn ails(&self, set: &Set, ailment: &Ailment) -> bool {
        set.ails.as_ref().is_some_and(|(member, it)| *member == self.member && it == ailment)
    }

    /// None: hangs up.
    fn answer(&mut self, asked: &RawDocumentBuf) -> Option<RawDocumentBuf> {
        let (name, _) = asked.iter().next()?.ok()?;
        let facts = Facts(asked);
        let set = Set::read(&self.file);
        let name = name.as_str().to_owned();
        let open = ["hello", "ismaster", "isMaster", "saslStart", "saslContinue", "endSessions"];
        if self.user.is_none() && !open.contains(&name.as_str()) {
            let text = format!("Command {name} requires authentication");
            return Some(no(UNAUTHORIZED, "Unauthorized", &text));
        }
        Some(match name.as_str() {
            "hello" | "ismaster" | "isMaster" => self.hello(&set, &name, facts),
            "saslStart" => self.begin(facts),
            "saslContinue" => self.proved(facts),
            "replSetGetStatus" if self.ails(&set, &Ailment::Revoked) => {
                let text = "not authorized on admin to execute command { replSetGetStatus: 1.0 }";
                no(UNAUTHORIZED, "Unauthorized", text)
            }
            "replSetGetStatus" => self.status(&set),
            "replSetStepDown" => self.step_down(facts),
            "ping" | "endSessions" | "killCursors" => rawdoc! { "ok": 1.0 },
            "insert" => self.insert(facts),
            "count" => rawdoc! { "ok": 1.0, "n": i32::try_from(set.rows.len()).ok()? },
            other => {
                let text = format!("no such command: '{other}'");
                no(NO_SUCH_COMMAND, "CommandNotFound", &text)
            }
        })
    }

    fn leads(&self, set: &Set) -> bool {
        set.primary.as_ref() == Some(&self.member)
    }

    /// By which election it says that it is the primary, if it says so.
    fn claim(&self, set: &Set) -> Option<i64> {
        let claims = set.claims.as_ref().filter(|(member, _)| *member == self.member);
        claims.map(|(_, term)| *term).or(self.leads(set).then_some(set.term))
    }

    /// The last write that it has.
    fn place(&self, set: &Set) -> Timestamp {
        let behind = set.behind.as_ref().filter(|(member, _)| *member == self.member);
        Timestamp { time: set.written - behind.map_or(0, |(_, by)| *by), increment: 1 }
    }

    fn hello(&self, set: &Set, name: &str, asked: Facts<'_>) -> RawDocumentBuf {
        let claim = self.claim(set).filter(|_| !self.ails(set, &Ailment::Recovering));
        let secondary = claim.is_none() && !self.ails(set, &Ailment::Recovering);
        let newest = if self.ails(set, &Ailment::Ancient) { 5 } else { 21 };
        // Each name has its own word.
        let leads = if name == "hello" { cstr!("isWritablePrimary") } else { cstr!("ismaster") };
        let mut said = rawdoc! {
            "secondary": secondary,
            "minWireVersion": 0,
            "maxWireVersion": newest,
            "maxBsonObjectSize": 16_777_216,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": DateTime::now(),
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": 1,
            "readOnly": false,
            "ok": 1.0,
        };
        said.append(leads, claim.is_some());
        if asked.says("helloOk") {
            said.append(cstr!("helloOk"), true);
        }
        let known = format!("admin.{}", self.login.0);
        if asked.text("saslSupportedMechs") == Some(&known) {
            said.append(cstr!("saslSupportedMechs"), bson::rawbson!(["SCRAM-SHA-256"]));
        }
        if self.ails(set, &Ailment::Alone) {
            return said;
        }
        let mut hosts = bson::raw::RawArrayBuf::new();
        let passive = |member: &&String| set.passive.as_ref() == Some(member);
        set.members.iter().filter(|it| !passive(it)).for_each(|it| hosts.push(it.as_str()));
        let mut passives = bson::raw::RawArrayBuf::new();
        set.members.iter().filter(passive).for_each(|it| passives.push(it.as_str()));
        let last = rawdoc! {
            "opTime": { "ts": self.place(set), "t": set.term },
            "lastWriteDate": DateTime::from_millis(i64::from(self.place(set).time) * 1000),
        };
        said.append(cstr!("setName"), "rs0");
        said.append(cstr!("setVersion"), 1);
        said.append(cstr!("hosts"), hosts);
        said.append(cstr!("passives"), passives);
        said.append(cstr!("me"), self.member.as_str());
        said.append(cstr!("lastWrite"), last);
        if set.passive.as_ref() == Some(&self.member) {
            said.append(cstr!("passive"), true);
        }
        if let Some(primary) = &set.primary {
            said.append(cstr!("primary"), primary.as_str());
        }
        if let Some(term) = claim {
            let mut id = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
            id[4..].copy_from_slice(&term.to_be_bytes());
            said.append(cstr!("electionId"), ObjectId::from_bytes(id));
        }
        said
    }

    fn status(&self, set: &Set) -> RawDocumentBuf {
        let mut members = bson::raw::RawArrayBuf::new();
        for (number, member) in (0_i32..).zip(&set.members) {
            let leads = set.primary.as_ref() == Some(member);
            let behind = set.behind.as_ref().filter(|(it, _)| it == member).map_or(0, |it| it.1);
            let mut said = rawdoc! {
                "_id": number,
                "name": member.as_str(),
                "state": if leads { 1 } else { 2 },
                "stateStr": match leads {
                    _ if set.ails == Some((member.clone(), Ailment::Recovering)) => "RECOVERING",
                    true => "PRIMARY",
                    false => "SECONDARY",
                },
                "optime": { "ts": Timestamp { time: set.written - behind, increment: 1 }, "t": set.term },
                "optimeDate": DateTime::from_millis(i64::from(set.written - behind) * 1000),
                "syncSourceHost": set.primary.as_deref().filter(|_| !leads).unwrap_or_default(),
            };
            // Nobody hears himself.
            match *member == self.member {
                true => said.append(cstr!("self"), true),
                false => said.append(cstr!("lastHeartbeatRecv"), DateTime::now()),
            }
            members.push(said);
        }
        rawdoc! {
            "set": "rs0", "date": DateTime::now(), "term": set.term,
            // What was written and not applied yet is told apart since MongoDB 8 only.
            "optimes": { "appliedOpTime": { "ts": self.place(set), "t": set.term } },
            "members": members,
            "ok": 1.0,
        }
    }

    /// As `replSetStepDown`: refused by who is no primary, and, unless forced, where no other member has caught up.
    fn step_down(&self, asked: Facts<'_>) -> RawDocumentBuf {
        Set::change(&self.file, |set| {
            let asked =
                ["replSetStepDown", "secondaryCatchUpPeriodSecs"].map(|it| asked.number(it));
            let force = if asked.contains(&None) { "no period, " } else { "" };
            if !self.leads(set) {
                let text = "not primary so can't step down";
                return no(NOT_WRITABLE_PRIMARY, "NotWritablePrimary", text);
            }
            set.stepped.push(format!("{force}{asked:?}"));
            let (behind, passive) = (set.behind.clone(), set.passive.clone());
            let behind = behind.map(|(member, _)| member);
            let mut others = set.members.iter().filter(|it| **it != self.member);
            let heir =
                others.find(|it| Some(*it) != behind.as_ref() && Some(*it) != passive.as_ref());
            match heir.cloned() {
                Some(heir) => {
                    set.elect(&heir);
                    rawdoc! { "ok": 1.0 }
                }
                None => {
                    let text = "No electable secondaries caught up as of now. Please use the \
                                replSetStepDown command with the argument {force: true} to force node to step down.";
                    no(EXCEEDED_TIME_LIMIT, "ExceededTimeLimit", text)
                }
            }
        })
    }

    fn insert(&self, asked: Facts<'_>) -> RawDocumentBuf {
        Set::change(&self.file, |set| {
            if !self.leads(set) {
                return no(NOT_WRITABLE_PRIMARY, "NotWritablePrimary", "not primary");
            }
            let rows = asked.list("documents").filter_map(|it| it.as_document()).count();
            let row = i32::try_from(set.rows.len()).unwrap_or(i32::MAX);
            set.rows.push((self.member.clone(), row));
            set.written += 1;
            rawdoc! { "ok": 1.0, "n": i32::try_from(rows.max(1)).unwrap_or(i32::MAX) }
        })
    }

    /// The first half of SCRAM-SHA-256 (RFC 7677), from the server's side.
    fn begin(&mut self, asked: Facts<'_>) -> RawDocumentBuf {
        let payload = asked.bytes("payload").unwrap_or_default();
        let first = String::from_utf8_lossy(payload).into_owned();
        let field = |name| first.split(',').find_map(|it| it.strip_prefix(name));
        let (Some("SCRAM-SHA-256"), Some(user), Some(nonce)) =
            (asked.text("mechanism"), field("n="), field("r="))
        else {
            return no(AUTHENTICATION_FAILED, "AuthenticationFailed", "Authentication failed.");
        };
        let salt = data_encoding::BASE64.encode(&SALT);
        let challenge = format!("r={nonce}server,s={salt},i={ROUNDS}");
        self.begun = Some((user.to_owned(), format!("n={user},r={nonce},{challenge}")));
        conversation(challenge, false)
    }

    fn proved(&mut self, asked: Facts<'_>) -> RawDocumentBuf {
        let payload = asked.bytes("payload").unwrap_or_default();
        if payload.is_empty() && self.user.is_some() {
            return conversation(String::new(), true);
        }
        let second = String::from_utf8_lossy(payload).into_owned();
        let keyed = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
        };
        let mut salted = [0; 32];
        let rounds = ROUNDS.try_into().expect("not zero");
        let password = self.login.1.as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &SALT, password, &mut salted);
        let stored = digest::digest(&digest::SHA256, &keyed(&salted, b"Client Key"));
        let expected = self.begun.take().and_then(|(user, before)| {
            let (bare, proof) = second.split_once(",p=")?;
            let all = format!("{before},{bare}");
            let proof = data_encoding::BASE64.decode(proof.as_bytes()).ok()?;
            let signature = keyed(stored.as_ref(), all.as_bytes());
            let key: Vec<u8> =
                proof.iter().zip(&signature).map(|(one, other)| one ^ other).collect();
            let known = digest::digest(&digest::SHA256, &key).as_ref() == stored.as_ref();
            (known && user == self.login.0).then_some((user, all))
        });
        let Some((user, all)) = expected else {
            return no(AUTHENTICATION_FAILED, "AuthenticationFailed", "Authentication failed.");
        };
        self.user = Some(user);
        let signature = keyed(&keyed(&salted, b"Server Key"), all.as_bytes());
        conversation(format!("v={}", data_encoding::BASE64.encode(&signature)), true)
    }
}

fn conversation(payload: String, done: bool) -> RawDocumentBuf {
    let payload = Binary { subtype: BinarySubtype::Generic, bytes: payload.into_bytes() };
    rawdoc! { "ok": 1.0, "conversationId": 1, "done": done, "payload": payload }
}
