//! The weak doors of this host → checks: would this agent get at the database to shut it? Looks, and changes nothing.

use std::time::Duration;

use consensus::model::{AgentId, Definition, FaultKind, Outcome, TargetId};
use probe::Means;

use super::{Check, Found, Heard};
use crate::config::{AgentConfig, Credential, WeakDoorConfig};
use crate::weak;

const AREA: &str = "weak door";
/// How long a database may take to take a log-in.
const LIMIT: Duration = Duration::from_secs(4);

/// Is there a database behind each weak door that may have one, and does it take the log-in it would be shut with?
pub async fn checks(config: &AgentConfig, heard: &Heard) -> Vec<Check> {
    let means = Means::of_host(config.source);
    let mut checks = Vec::new();
    for door in &config.weak_doors {
        checks.push(check(config, &means, door, (&heard.view.agent, &heard.definitions)).await);
    }
    checks
}

async fn check(
    config: &AgentConfig,
    means: &Means,
    door: &WeakDoorConfig,
    (agent, definitions): (&AgentId, &[Definition]),
) -> Check {
    let WeakDoorConfig { app, stack, database } = door;
    let target = TargetId { app: app.clone(), stack: stack.clone(), name: database.clone() };
    let wrong = |why: String| Check::new(AREA, Found::Wrong, format!("{target} has none: {why}"));
    let Some(definition) = definitions.iter().find(|it| it.name == *app) else {
        let words = format!("{target} is not looked at: nobody has applied {app} yet");
        return Check::new(AREA, Found::Skipped, words);
    };
    let database = match weak::behind(definition, &target, agent) {
        Ok(database) => database,
        Err(why) => return wrong(why),
    };
    let login = match config.credentials.get(&database.credential) {
        Some(Credential::Login(login)) => login.clone(),
        Some(Credential::Key { .. } | Credential::Token { .. }) | None => {
            let lacks = &database.credential;
            return wrong(format!("this agent holds no log-in `{lacks}` to shut it with"));
        }
    };
    let user = login.user.clone();
    let found = weak::look(&target, &database, means.with_login(Some(login)), LIMIT).await;
    match found {
        Ok(Outcome::Up(_)) => {
            let words = format!("{target} takes the log-in of `{user}`, with which it is shut");
            Check::new(AREA, Found::Fine, words)
        }
        Ok(Outcome::Failed(fault)) if fault.kind == FaultKind::Credential => {
            wrong(format!("it does not take the log-in it would be shut with: {fault}"))
        }
        Ok(Outcome::Failed(fault)) => wrong(format!("it cannot be got at: {fault}")),
        Ok(Outcome::Invalid(fault)) => {
            let words = format!("{target} could not be looked at from here: {fault}");
            Check::new(AREA, Found::Skipped, words)
        }
        Err(why) => Check::new(AREA, Found::Skipped, format!("{target}: {why}")),
    }
}
