//! Which of the rights that [`super`] names does a log-in lack? A server looks at them before it queues a command for a
//! transaction; this one is left without being carried out, and each command in it would change nothing if it were.
//!
//! `ACL DRYRUN` says the same, and takes rights of its own.

use consensus::model::{ActionFault, ActionFaultKind};

use super::super::Order;
use super::{REQUIRED, Session, key};
use crate::actors::attempt::{Attempt, fault};

const WHAT: &str = "reading its rights";

pub(in crate::actors::database) async fn lacking(
    attempt: &Attempt,
    order: &Order<'_>,
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
    let commands: [(&str, &[&str]); 8] = [
        ("+get", &["GET", &key]),
        ("+eval", &["EVAL", "return 0", "1", &key]),
        // Neither there nor absent, no number, nobody, no port.
        ("+set", &["SET", &key, "0", "NX", "XX"]),
        ("+info", &["INFO", "replication"]),
        ("+config|get", &["CONFIG", "GET", REQUIRED]),
        ("+config|set", &["CONFIG", "SET", REQUIRED, "none"]),
        ("+client|kill", &["CLIENT", "KILL", "ID", "0"]),
        ("+replicaof", &["REPLICAOF", "nobody", "none"]),
    ];
    for (right, command) in commands {
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
