//! The actors against real servers: PostgreSQL with a streaming standby, Redis with a replica, BIND with signed updates.

mod common;

/// A module of tests at servers of this make, each the function of its name. What needs no server of Debian's is named so that
/// `./tests/run --without` can leave it out.
macro_rules! servers {
    ($module:ident, $make:expr, [$($test:ident),+ $(,)?]) => {
        mod $module {
            use crate::common::redis::Make;

            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($make).await;
                }
            )+
        }
    };
}

#[path = "actors/dns.rs"]
mod dns;
#[path = "actors/heartbeat.rs"]
mod heartbeat;
#[path = "actors/mariadb.rs"]
mod mariadb;
#[path = "actors/mysql8.rs"]
mod mysql8;
#[path = "actors/postgres.rs"]
mod postgres;
#[path = "actors/providers.rs"]
mod providers;
#[path = "actors/redis.rs"]
mod redis;
#[path = "actors/rejoin.rs"]
mod rejoin;
#[path = "actors/releases.rs"]
mod releases;
#[path = "actors/rights.rs"]
mod rights;
#[path = "actors/silent.rs"]
mod silent;
#[path = "actors/tls.rs"]
mod tls;

use std::sync::Arc;
use std::time::Duration;

use agent::actors::Actors;
use agent::clock;
use agent::config::{Credential, Credentials};
use consensus::model::{Action, ActionFault, ActionFaultKind, Done, Effect, Epoch, Report, Token};
use consensus::moment::Moment;
use consensus::outbox::Input;
use probe::Login;
use tokio::sync::mpsc;

/// Carries out one action with these credentials, begun in time.
async fn act(credentials: &Credentials, token: Token, effect: Effect) -> Result<Done, ActionFault> {
    let deadline = clock::now() + Duration::from_secs(5);
    report(Actors::new, credentials, token, effect, deadline, Duration::from_secs(5)).await.result
}

/// The same, with actors, a deadline and a limit of one's own.
async fn report(
    actors: impl FnOnce(Arc<Credentials>, mpsc::Sender<Input>) -> Actors,
    credentials: &Credentials,
    token: Token,
    effect: Effect,
    deadline: Moment,
    limit: Duration,
) -> Report {
    let (sender, mut receiver) = mpsc::channel(4);
    let app = "shop".parse().expect("a name");
    let action = Action { app, token, term: 1, item: 3, deadline, limit, effect };
    let actors = actors(Arc::new(credentials.clone()), sender);
    actors.start(action.clone());
    drop(actors);
    let Some(Input::Report(report)) = receiver.recv().await else { panic!("no report") };
    assert_eq!(
        (&report.app, report.token, report.term, report.item),
        (&action.app, token, 1, 3),
        "the report names its action"
    );
    assert!(receiver.recv().await.is_none(), "one action, one report");
    report
}

fn token(epoch: u32, step: u8) -> Token {
    Token::new(Epoch(epoch), 0, step)
}

fn kind(result: &Result<Done, ActionFault>) -> Option<ActionFaultKind> {
    result.as_ref().err().map(|fault| fault.kind)
}

fn text(result: &Result<Done, ActionFault>) -> &str {
    match result {
        Ok(done) => &done.text,
        Err(fault) => &fault.text,
    }
}

fn login(user: &str, password: Option<&str>) -> Credential {
    Credential::Login(Arc::new(Login::new(user, password)))
}
