//! MongoDB: nothing of it is ever driven; a primary is asked to step down.
//!
//! The role `clusterManager` of the database `admin` is needed for that (`replSetStateChange`), and never `force`: a primary
//! that no other member catches up with says no, and goes on. No token is kept there: instead the primary is asked which
//! election it leads by, and nobody of another one is asked for anything.

use bson::rawdoc;
use consensus::model::{ActionFault, ActionFaultKind, Done};
use probe::mongodb::wire::{Broken, Facts, Link};
use probe::mongodb::{greet, leads_by, log_in};
use probe::{Stream, protect};

use super::{Order, unprotected};
use crate::actors::attempt::{Attempt, fault};

/// For so many seconds whoever stepped down is not elected again.
const ASIDE: i32 = 60;
/// For so many it refuses writes and waits until another member has everything; it goes on if none does. Less than an action
/// may take. What it spends beside that, on locks and on the operations it ends, is bounded by what is left of the action
/// (`maxTimeMS`, by the link): a primary that is interrupted takes writes again and stays one (MongoDB's
/// `jstests/replsets/stepdown_killop.js`). So nobody steps down after it was said to be unknown, but for the way there.
const CATCH_UP: i32 = 3;

pub(super) async fn step_down(
    attempt: &mut Attempt,
    order: &Order<'_>,
    term: u32,
) -> Result<Done, ActionFault> {
    let (place, login) = (order.place(), order.login);
    let mut link = connect(attempt, order).await?;
    let broken = |what: &str, error: Broken| match error {
        Broken::Io(error) => {
            fault(ActionFaultKind::Unknown, format!("{what} at `{place}` broke: {error}"))
        }
        Broken::Refused(no) => {
            fault(ActionFaultKind::Refused, format!("`{place}` refuses {what}: {}", no.text))
        }
    };
    attempt.enter("looking at the database");
    let hello = greet(&mut link, login).await.map_err(|error| broken("a look", error))?;
    attempt.enter("logging in to the database");
    log_in(&mut link, login, Facts(&hello)).await.map_err(|error| broken("log-in", error))?;
    attempt.enter("looking at the database");
    // Once more: a log-in takes its time.
    let hello = greet(&mut link, login).await.map_err(|error| broken("a look", error))?;
    match leads_by(Facts(&hello)) {
        Some(found) if found == term => {}
        Some(found) => {
            let text = format!("`{place}` leads by election {found}, and not by {term} any more");
            return Err(fault(ActionFaultKind::Refused, text));
        }
        None => {
            let text =
                format!("`{place}` does not say that it is the primary, and by which election");
            return Err(fault(ActionFaultKind::Refused, text));
        }
    }
    attempt.commit("asking it to step down")?;
    let command = rawdoc! {
        "replSetStepDown": ASIDE,
        "secondaryCatchUpPeriodSecs": CATCH_UP,
        "$db": "admin",
    };
    match link.ask(&command).await {
        Ok(_) => {}
        // Until MongoDB 4.2 whoever steps down hangs up on all its clients, and on who asked it to before it can answer.
        Err(Broken::Io(_)) if leads_no_more(attempt, order, term).await => {}
        Err(error) => return Err(broken("stepping down", error)),
    }
    let text = format!("steps down from election {term}: its set elects another");
    Ok(Done { proven: false, position: None, text })
}

async fn connect(attempt: &Attempt, order: &Order<'_>) -> Result<Link<Stream>, ActionFault> {
    let place = order.place();
    attempt.begin("connecting to the database")?;
    let stream = order.connect().await?;
    let (host, tls) = (&order.database.address, &order.login.tls);
    let stream = protect(stream, host, tls, order.trust).await;
    let stream = stream.map_err(|why| unprotected(&place, &why))?;
    Ok(Link::over(stream, attempt.left()))
}

/// Does it say, asked anew, that it is not the primary by this election any more?
async fn leads_no_more(attempt: &Attempt, order: &Order<'_>, term: u32) -> bool {
    let Ok(mut link) = connect(attempt, order).await else { return false };
    let hello = greet(&mut link, order.login).await;
    hello.is_ok_and(|hello| leads_by(Facts(&hello)) != Some(term))
}
