//! Which of the rights that [`super`] names does a log-in lack? A server looks at them before it queues a command for a
//! transaction; this one is left without being carried out, and each command in it would change nothing if it were.
//!
//! `ACL DRYRUN` says the same, and takes rights of its own.

use consensus::model::{ActionFault, ActionFaultKind};

use super::super::Order;
use super::{REQUIRED, Session, key};
use crate::actors::Uses;
use crate::actors::attempt::{Attempt, fault};

const WHAT: &str = "reading its rights";
/// As whom replicas log in at their primary.
const REPLICAS: &str = "masteruser";
/// No transaction takes `PSYNC`. So it is asked for as whoever is to take over does (Redis 6.2 or newer), by an id that no server
/// has; and right behind another command, whose answer is still to be sent then. Either is refused, and nothing is copied.
const SYNC: [&[&str]; 2] = [&["EXEC"], &["PSYNC", "quorate-doctor", "-1", "FAILOVER"]];

pub(in crate::actors::database) async fn lacking(
    attempt: &Attempt,
    order: &Order<'_>,
    uses: Uses,
) -> Result<Vec<String>, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter(WHAT);
    let (place, user, key) = (order.place(), &order.login.user, key(order.app));
    let words = |right: &str| {
        let what = right.trim_start_matches(['+', '~']);
        format!("`{user}` may not use `{what}` at `{place}`: `ACL SETUSER {user} {right}`")
    };
    let mut lacks = Vec::new();
    // Outside of a transaction it does nothing.
    if lacks_it(session.answer(WHAT, &["EXEC"]).await?.refusal()).is_some() {
        lacks.push(words("+exec"));
    }
    let replicas = session.answer(WHAT, &["CONFIG", "GET", REPLICAS]).await?;
    let replicas = replicas.setting(REPLICAS) == Some(&*order.login.user);
    let log = replicas || uses.log;
    if log && lacks_it(session.last(WHAT, &SYNC).await?.refusal()).is_some() {
        lacks.push(words("+psync"));
    }
    let begun = session.answer(WHAT, &["MULTI"]).await?;
    if lacks_it(begun.refusal()).is_some() {
        lacks.push(words("+multi"));
        lacks.push(format!("what else `{user}` may not use at `{place}` is not known without it"));
        return Ok(lacks);
    }
    if begun.text() != Some("OK") {
        let text = format!("`{place}` begins no transaction: {begun:?}");
        return Err(fault(ActionFaultKind::Unknown, text));
    }
    let commands: [(&str, &[&str], bool); 10] = [
        ("+get", &["GET", &key], true),
        ("+eval", &["EVAL", "return 0", "1", &key], true),
        // Neither there nor absent, no number, nobody, no port.
        ("+set", &["SET", &key, "0", "NX", "XX"], true),
        ("+info", &["INFO", "replication"], true),
        ("+config|get", &["CONFIG", "GET", REQUIRED], true),
        ("+config|set", &["CONFIG", "SET", REQUIRED, "none"], true),
        ("+client|kill", &["CLIENT", "KILL", "ID", "0"], true),
        ("+replicaof", &["REPLICAOF", "nobody", "none"], true),
        ("+replconf", &["REPLCONF", "capa", "eof"], log),
        ("+ping", &["PING"], replicas),
    ];
    for (right, command, _) in commands.into_iter().filter(|(_, _, used)| *used) {
        let reply = session.answer(WHAT, command).await?;
        match (reply.refusal(), reply.text()) {
            (Some(why), _) => match lacks_it(Some(why)) {
                Some(Lacks::Key) => lacks.push(words("~quorate:*")),
                Some(Lacks::Command) => lacks.push(words(right)),
                // As a replica that takes no writes says, or one that is still loading.
                None => {}
            },
            (None, Some("QUEUED")) => {}
            (None, _) => {
                let text = format!("`{place}` queues nothing: {reply:?}");
                return Err(fault(ActionFaultKind::Unknown, text));
            }
        }
    }
    lacks.dedup();
    Ok(lacks)
}

/// What is not allowed.
enum Lacks {
    Command,
    Key,
}

/// Is a command, or its key, refused to this user?
fn lacks_it(why: Option<&str>) -> Option<Lacks> {
    let why = why?;
    // So begins what is said of an `EXEC` that is refused.
    let why = why.strip_prefix("EXECABORT Transaction discarded because of: ").unwrap_or(why);
    if !why.starts_with("NOPERM") {
        return None;
    }
    match why.contains(" key") {
        true => Some(Lacks::Key),
        false => Some(Lacks::Command),
    }
}
