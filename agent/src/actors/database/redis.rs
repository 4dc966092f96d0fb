//! Redis and Valkey: closed, opened again, promoted.
//!
//! # The rights it takes
//!
//! The user `default` has them all; what else has them stands in README.md, "Rights", from where tests take it, and
//! [`rights`] says what of it is lacking.
//!
//! # What the server compares
//!
//! The key `quorate:epoch:APP` of database 0 holds the token under which this server was last promoted or opened; it
//! travels to replicas like all data, so that a standby knows of newer tokens as far as it was told.
//!
//! # Who follows whom
//!
//! A replica logs in at its primary with `masteruser` and `masterauth`: where a password is asked for, every server is to
//! be configured with them, for any of them may have to follow any other.
//!
//! # What a fence is
//!
//! A number of required replicas that nobody has (`min-replicas-to-write`): every write is refused with `NOREPLICAS`,
//! while replicas go on receiving; then all sessions are ended, so that clients look for the new primary. It is not
//! written to the configuration file: **a primary that is restarted takes writes again**, which is why it is never
//! proven. What its owner asks for is kept in the number itself.

mod rights;

use std::fmt::Display;
use std::io;
use std::time::Duration;

use consensus::model::{ActionFault, ActionFaultKind, AppId, Candidate, Done, Token};
use probe::redis::resp::{Info, Link, Reply};
use probe::redis::{CLOSED, Seen, driven, follows_by, log_in};
use probe::{Stream, protect};
use tokio::time::sleep;

use super::{Order, Tail, unprotected};
use crate::actors::attempt::{Attempt, fault};

pub(super) use self::rights::lacking;

/// Between two looks at a replay in progress.
const PACE: Duration = Duration::from_millis(2);

const REQUIRED: &str = "min-replicas-to-write";
/// While this is zero, the required replicas are not asked for.
const LAG: &str = "min-replicas-max-lag";

/// Raises the key to our token unless it holds a higher one; gives what it then holds. Tokens are below 2^48, which a
/// script's numbers hold exactly.
const RAISE: &str = "local held = tonumber(redis.call('GET', KEYS[1]) or '0') \
                     if held <= tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1] end \
                     return redis.call('GET', KEYS[1])";

pub(super) async fn fence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let seen = session.info().await?;
    if !seen.is_primary() {
        let text = "is a replica, and so takes no writes".to_owned();
        return Ok(Done { proven: false, position: None, text });
    }
    session.compare(order.app, order.token).await?;
    let limits = session.limits().await?;

    attempt.commit("making the database refuse writes")?;
    if limits.lag == 0 {
        session.set(LAG, CLOSED).await?;
    }
    session.set(REQUIRED, CLOSED + limits.owner().required).await?;
    attempt.commit("ending the database's sessions")?;
    let ended = session.ask("ending sessions", &["CLIENT", "KILL", "TYPE", "normal"]).await;

    attempt.enter("reading the database's last position");
    let position = session.info().await?.position();
    let mut text = "refuses writes until it is restarted".to_owned();
    text += &match ended {
        Ok(Reply::Number(ended)) => format!(", {ended} sessions ended; not proven"),
        Ok(_) => "; not proven".to_owned(),
        Err(fault) => format!("; its sessions go on: {}; not proven", fault.text),
    };
    Ok(Done { proven: false, position, text })
}

pub(super) async fn unfence(attempt: &mut Attempt, order: &Order<'_>) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    if !session.info().await?.is_primary() {
        let text = "is a replica: there is nothing to open".to_owned();
        return Ok(Done { proven: false, position: None, text });
    }
    session.compare(order.app, order.token).await?;
    attempt.commit("opening the database and raising its token")?;
    session.open_under(order.app, order.token).await?;
    let position = session.info().await?.position();
    Ok(Done { proven: false, position, text: "takes writes".to_owned() })
}

pub(super) async fn promote(
    attempt: &mut Attempt,
    order: &Order<'_>,
    candidate: &Candidate,
    at_least: Option<u64>,
) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let seen = session.info().await?;
    session.compare(order.app, order.token).await?;
    let before = match seen.is_primary() {
        false => {
            session.fit(&seen, candidate)?;
            session.replay(attempt, at_least.unwrap_or_default().max(candidate.position)).await?;
            attempt.commit("promoting")?;
            session.ask("promotion", &["REPLICAOF", "NO", "ONE"]).await?;
            "promoted"
        }
        true => {
            session.descends(&seen, candidate)?;
            "was promoted before"
        }
    };
    attempt.commit("opening the database and raising its token")?;
    session.open_under(order.app, order.token).await?;
    let seen = session.info().await?;
    let left = seen.info().number::<u64>("second_repl_offset").unwrap_or_default();
    let text = format!("{before}, at position {}", left.saturating_sub(1));
    Ok(Done { proven: false, position: seen.position(), text })
}

/// Makes a server a replica of the agreed primary.
///
/// A replica drops what it holds when it follows a primary of another history. So nothing is asked for that could wipe
/// data: not to follow a server that is itself no primary, is empty, or knows an older token; and not of a primary that
/// holds data of its own and is not the one that this primary was promoted from. One that was started again from its file
/// has a new history, and tells only where it left the old one: it is told to follow if it has nothing beyond that, and this
/// primary has all of it. And nothing is asked for that drops what a guard keeps aside, or may ([`Tail`]).
pub(super) async fn follow(
    attempt: &mut Attempt,
    order: &Order<'_>,
    upstream: &Order<'_>,
) -> Result<Done, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("looking at the database");
    let seen = session.info().await?;
    let (host, port) = (&upstream.database.address, upstream.database.port.to_string());
    let place = upstream.place();
    let at = (seen.info().text("master_host"), seen.info().text("master_port"));
    if !seen.is_primary() && at == (Some(host), Some(&port)) {
        let mut text = format!("follows `{place}` already");
        let setting = follows_by(&upstream.login.tls).filter(|_| !seen.is_linked());
        if let Some(setting) = setting {
            attempt.commit("telling it to encrypt")?;
            session.ask("encrypting what it follows", &setting).await?;
            text += ", and is told to encrypt that";
        }
        return Ok(Done { proven: false, position: seen.position(), text });
    }
    let held = session.compare(order.app, order.token).await?;
    let mut primary = Session::open(attempt, upstream).await?;
    attempt.enter("looking at the primary that is to be followed");
    let above = primary.info().await?;
    let above_held = primary.compare(order.app, order.token).await?;
    if !above.is_primary() || above_held < held {
        return Err(primary.refused("is no primary that may be followed: its token is older"));
    }
    let (here, there) = (session.is_empty().await?, primary.is_empty().await?);
    if there && !here {
        return Err(primary.refused(format!(
            "is empty, and `{}` is not: following it would wipe what is left",
            session.place
        )));
    }
    let fork = above.left_of(&seen);
    let known = fork.is_some() || above.has_all_of(&seen);
    let lost = fork.and_then(|fork| seen.position()?.checked_sub(fork)).filter(|lost| 0 < *lost);
    let lost = lost.filter(|_| seen.is_primary());
    let alone = lost.is_some() || (seen.is_primary() && !here && !known);
    match &order.tail {
        Tail::Dropped => {}
        Tail::Kept if alone => {
            return Err(session.refused(format!(
                "holds what `{place}` never had: the `rejoin` of its door keeps that aside, and then makes it a replica"
            )));
        }
        Tail::Elsewhere(guard) if alone => {
            return Err(session.refused(format!(
                "holds what `{place}` never had, which only its guard {guard} may keep aside: start that (it needs the \
                 credential `{}`), or make it a replica by hand (`REPLICAOF {host} {port}`), which drops it",
                order.database.credential
            )));
        }
        Tail::Kept | Tail::Elsewhere(_) => {}
    }
    if seen.is_primary() && !here && !known {
        return Err(session.refused(format!(
            "is a primary with data that `{place}` never had: look at it, then make it a replica by hand \
             (`REPLICAOF {host} {port}`), which drops that data"
        )));
    }
    attempt.commit("telling it whom to follow")?;
    if let Some(setting) = follows_by(&upstream.login.tls) {
        session.ask("encrypting what it follows", &setting).await?;
    }
    session.ask("following", &["REPLICAOF", host, &port]).await?;
    let mut text = format!("follows `{place}`");
    if let Some(lost) = lost {
        text +=
            &format!("; gives up the last {lost} bytes of its log, which that one never received");
    }
    Ok(Done { proven: false, position: seen.position(), text })
}

/// What a primary asks for before it takes a write.
struct Limits {
    required: u64,
    lag: u64,
}

impl Limits {
    /// What its owner asks for, whatever a fence has made of it.
    fn owner(&self) -> Self {
        let without = |number: u64| if CLOSED <= number { number - CLOSED } else { number };
        Self { required: without(self.required), lag: without(self.lag) }
    }
}

/// One session; it ends when this is dropped.
struct Session {
    link: Link<Stream>,
    place: String,
}

impl Session {
    /// Connects and logs in.
    async fn open(attempt: &Attempt, order: &Order<'_>) -> Result<Self, ActionFault> {
        let place = order.place();
        attempt.begin("connecting to the database")?;
        let stream = order.connect().await?;
        let host = &order.database.address;
        let stream = protect(stream, host, &order.login.tls, order.trust).await;
        let stream = stream.map_err(|why| unprotected(&place, &why))?;
        let mut session = Self { link: Link::over(stream), place };
        // Sent with the log-in: every step waits for this.
        let log_in = log_in(&order.login.user, order.login.password.as_deref());
        let server: &[&str] = &["INFO", "server"];
        let commands: Vec<_> = log_in.as_deref().into_iter().chain([server]).collect();
        attempt.enter("logging in to the database");
        session.link.send(&commands).await.map_err(|error| session.broke("log-in", &error))?;
        if log_in.is_some() {
            let reply = session.link.hear().await;
            let reply = session.told("log-in", reply)?;
            session.granted("log-in", reply)?;
        }
        let reply = session.link.hear().await;
        // Whoever may not ask is refused what it asks next, too, or is here to learn what it may not.
        if let Some(server) = session.told("a look", reply)?.text() {
            driven(Info(server)).map_err(|why| session.refused(why))?;
        }
        Ok(session)
    }

    /// Asks one thing; `what` names it if it is refused.
    async fn ask(&mut self, what: &str, command: &[&str]) -> Result<Reply, ActionFault> {
        let reply = self.answer(what, command).await?;
        self.granted(what, reply)
    }

    /// What was asked for, unless it was refused.
    fn granted(&self, what: &str, reply: Reply) -> Result<Reply, ActionFault> {
        let place = &self.place;
        match reply.refusal() {
            None => Ok(reply),
            Some(why) => Err(fault(meaning(why), format!("`{place}` refuses {what}: {why}"))),
        }
    }

    /// The same, where to be refused is an answer.
    async fn answer(&mut self, what: &str, command: &[&str]) -> Result<Reply, ActionFault> {
        let reply = self.link.ask(command).await;
        self.told(what, reply)
    }

    fn told(&self, what: &str, reply: io::Result<Reply>) -> Result<Reply, ActionFault> {
        reply.map_err(|error| self.broke(what, &error))
    }

    fn broke(&self, what: &str, error: &io::Error) -> ActionFault {
        fault(ActionFaultKind::Unknown, format!("{what} at `{}` broke: {error}", self.place))
    }

    /// The last answer to several that are sent at once.
    async fn last(&mut self, what: &str, commands: &[&[&str]]) -> Result<Reply, ActionFault> {
        let asked = async {
            self.link.send(commands).await?;
            for _ in 1..commands.len() {
                self.link.hear().await?;
            }
            self.link.hear().await
        };
        let reply = asked.await;
        self.told(what, reply)
    }

    async fn info(&mut self) -> Result<Seen, ActionFault> {
        match self.ask("looking", &["INFO", "replication"]).await? {
            Reply::Text(text) => Ok(Seen(text)),
            other => Err(fault(
                ActionFaultKind::Unknown,
                format!("`{}` answers `{other:?}` to a look", self.place),
            )),
        }
    }

    /// Does it hold nothing at all?
    async fn is_empty(&mut self) -> Result<bool, ActionFault> {
        let reply = self.ask("counting its keys", &["INFO", "keyspace"]).await?;
        Ok(!reply.text().unwrap_or_default().lines().any(|line| line.starts_with("db")))
    }

    /// The token it holds, if any; fails if it has been given a higher one than ours.
    async fn compare(&mut self, app: &AppId, ours: Token) -> Result<Option<Token>, ActionFault> {
        let key = key(app);
        let held = self.ask("reading its token", &["GET", &key]).await?;
        match held.text().and_then(|held| held.parse().ok()).map(Token) {
            Some(newer) if ours < newer => Err(self.superseded(newer)),
            held => Ok(held),
        }
    }

    fn superseded(&self, newer: Token) -> ActionFault {
        let text = format!("`{}` holds the newer token {newer}", self.place);
        fault(ActionFaultKind::Superseded, text)
    }

    async fn limits(&mut self) -> Result<Limits, ActionFault> {
        let mut read = async |name: &str| {
            let reply = self.ask("reading its settings", &["CONFIG", "GET", name]).await?;
            Ok(reply.setting(name).and_then(|value| value.parse().ok()).unwrap_or_default())
        };
        Ok(Limits { required: read(REQUIRED).await?, lag: read(LAG).await? })
    }

    async fn set(&mut self, name: &str, value: u64) -> Result<(), ActionFault> {
        let value = value.to_string();
        self.ask("changing its settings", &["CONFIG", "SET", name, &value]).await.map(drop)
    }

    /// Takes a fence away and raises the token, in one step that nobody comes between: a late fence of a decision that
    /// was taken back finds the newer token. For that step no replica is asked for, since a new primary has none yet.
    async fn open_under(&mut self, app: &AppId, token: Token) -> Result<(), ActionFault> {
        let owner = self.limits().await?.owner();
        let (key, token_text) = (key(app), token.0.to_string());
        let (required, lag) = (owner.required.to_string(), owner.lag.to_string());
        let commands: [&[&str]; 6] = [
            &["MULTI"],
            &["CONFIG", "SET", REQUIRED, "0"],
            &["EVAL", RAISE, "1", &key, &token_text],
            &["CONFIG", "SET", LAG, &lag],
            &["CONFIG", "SET", REQUIRED, &required],
            &["EXEC"],
        ];
        let mut last = Reply::Nothing;
        for command in commands {
            last = self.ask("opening it and raising its token", command).await?;
        }
        let replies = if let Reply::List(replies) = last { replies } else { Vec::new() };
        if let Some(why) = replies.iter().find_map(Reply::refusal) {
            let text = format!("`{}` refuses to be opened and marked: {why}", self.place);
            return Err(fault(meaning(why), text));
        }
        match replies.get(1).and_then(Reply::text).and_then(|held| held.parse().ok()).map(Token) {
            Some(held) if held == token => Ok(()),
            Some(newer) => Err(self.superseded(newer)),
            None => Err(fault(
                ActionFaultKind::Unknown,
                format!("`{}` does not say which token it holds", self.place),
            )),
        }
    }

    /// Is the replica what the decision saw: of its history, with at least what it had then?
    fn fit(&self, seen: &Seen, candidate: &Candidate) -> Result<(), ActionFault> {
        if seen.info().history("master_replid") != Some(candidate.system) {
            return Err(self.refused("has another replication id than when it was chosen"));
        }
        let received = seen.info().number::<u64>("slave_read_repl_offset");
        let has = received.or(seen.position()).unwrap_or_default();
        let expected = candidate.position;
        match expected <= has {
            true => Ok(()),
            false => Err(self.refused(format!("has received {has}, expected at least {expected}"))),
        }
    }

    /// Is a server that is a primary already what this promotion would have made of it?
    fn descends(&self, seen: &Seen, candidate: &Candidate) -> Result<(), ActionFault> {
        let second = seen.info().history("master_replid2");
        let left = seen.info().number::<u64>("second_repl_offset");
        match second == Some(candidate.system) && left.is_some_and(|at| candidate.position < at) {
            true => Ok(()),
            false => Err(self.refused("is a primary already, and not by this promotion")),
        }
    }

    /// Waits until the replica has applied this much, and all that it received; the action's limit ends it.
    async fn replay(&mut self, attempt: &Attempt, position: u64) -> Result<(), ActionFault> {
        attempt.enter("waiting for the replica to apply what it received");
        loop {
            let seen = self.info().await?;
            let applied = seen.position().unwrap_or_default();
            let received = seen.info().number("slave_read_repl_offset").unwrap_or(applied);
            if seen.is_primary() || (position <= applied && received <= applied) {
                return Ok(());
            }
            sleep(PACE).await;
        }
    }

    fn refused(&self, what: impl Display) -> ActionFault {
        fault(ActionFaultKind::Refused, format!("`{}` {what}", self.place))
    }
}

fn key(app: &AppId) -> String {
    format!("quorate:epoch:{app}")
}

/// Will another try meet the same refusal? By the word that it begins with.
fn meaning(why: &str) -> ActionFaultKind {
    match why.split(' ').next().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => ActionFaultKind::Refused,
        "ERR" if why.contains("AUTH") || why.contains("unknown command") => {
            ActionFaultKind::Refused
        }
        _ => ActionFaultKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_lasts_and_a_stumble_does_not() {
        for (why, kind) in [
            ("WRONGPASS invalid username-password pair", ActionFaultKind::Refused),
            ("NOPERM this user has no permissions", ActionFaultKind::Refused),
            ("ERR unknown command `CONFIG`", ActionFaultKind::Refused),
            ("LOADING Redis is loading the dataset in memory", ActionFaultKind::Unknown),
            ("ERR max number of clients reached", ActionFaultKind::Unknown),
            ("NOREPLICAS Not enough good replicas to write.", ActionFaultKind::Unknown),
        ] {
            assert_eq!(meaning(why), kind, "{why}");
        }
    }

    #[test]
    fn what_the_owner_asks_for_is_kept_in_the_number() {
        let limits = |required, lag| Limits { required, lag };
        let kept = |it: Limits| (it.owner().required, it.owner().lag);
        assert_eq!(kept(limits(CLOSED + 1, 10)), (1, 10));
        assert_eq!(kept(limits(1, CLOSED)), (1, 0));
        assert_eq!(kept(limits(0, 0)), (0, 0));
    }
}
