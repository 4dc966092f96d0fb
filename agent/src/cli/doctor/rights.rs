//! The databases of the apps → checks: may the log-ins that this agent holds do all that steps will ask for? That they are
//! taken is seen all the time; what else they may is tried for the first time when it must work. Looks, and changes nothing.

use consensus::model::{AgentId, AppId, Database, Mode};
use futures_util::future::join_all;
use probe::{Login, Trust};

use super::{Check, Found, Heard};
use crate::actors::{Uses, lacking};
use crate::config::{AgentConfig, Credential, DoorConfig};

const AREA: &str = "rights";

/// What is lacking at each database for which this agent holds a log-in, where the mesh does anything to it at all.
pub async fn checks(config: &AgentConfig, heard: &Heard) -> Vec<Check> {
    let (trust, agent) = (Trust::of_host(), &heard.view.agent);
    let driven = heard.definitions.iter().filter(|it| it.mode != Mode::Shadow);
    let all = driven.filter(|it| it.has_databases()).flat_map(|definition| {
        let databases = definition.stacks.iter().flat_map(|it| &it.databases);
        let reached = databases.filter(|it| it.seen_through().is_none_or(|guard| guard == agent));
        reached.filter(|it| !it.engine.is_followed()).filter_map(move |database| {
            // What is not held is told of elsewhere.
            let Credential::Login(login) = config.credentials.get(&database.credential)? else {
                return None;
            };
            Some((definition, database, login))
        })
    });
    let asked = all.map(|(definition, database, login)| {
        let trust = &trust;
        async move {
            let app = &definition.name;
            let guarded = database.guard.as_ref() == Some(agent);
            let uses = Uses {
                follows: 2 < definition.stacks.len(),
                sync: 0 < definition.data.sync,
                log: guarded && config.doors.iter().any(|door| reads(door, app, database)),
            };
            let lacking = lacking(app, database, uses, login, trust).await;
            found(app, database, login, agent, lacking)
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Does what is called at this database's door read its log? Another program may not.
fn reads(door: &DoorConfig, app: &AppId, database: &Database) -> bool {
    let own = door.app == *app && door.database == database.name;
    own && door.rejoin.iter().any(|word| word.contains("rejoin-redis"))
}

fn found(
    app: &AppId,
    database: &Database,
    login: &Login,
    agent: &AgentId,
    lacking: Result<Vec<String>, String>,
) -> Vec<Check> {
    let user = &login.user;
    let place = format!("{}:{}", database.address, database.port);
    match (lacking, &database.guard) {
        (Ok(lacks), _) if lacks.is_empty() => {
            let words = format!("`{user}` may do all that {app} asks of `{place}`");
            vec![Check::new(AREA, Found::Fine, words)]
        }
        // It may be meant to look and no more.
        (Ok(_), Some(guard)) if guard != agent => {
            let words = format!(
                "`{user}` may not do all that {app} asks of `{place}`, which is for its guard {guard} to do: ask \
                 `quorate doctor` there"
            );
            vec![Check::new(AREA, Found::Skipped, words)]
        }
        (Ok(lacks), _) => lacks.into_iter().map(|it| Check::new(AREA, Found::Wrong, it)).collect(),
        (Err(why), _) => {
            let words = format!("what `{user}` may do for {app} is not known: {why}");
            vec![Check::new(AREA, Found::Skipped, words)]
        }
    }
}

#[cfg(test)]
mod tests {
    use consensus::model::Engine;

    use super::*;

    fn database(engine: Engine, guard: Option<&str>) -> Database {
        Database {
            name: "orders".parse().expect("a name"),
            engine,
            address: "192.0.2.1".to_owned(),
            port: 5432,
            credential: "orders".parse().expect("a name"),
            guard: guard.map(|it| it.parse().expect("a name")),
            view: Default::default(),
        }
    }

    #[test]
    fn a_log_is_read_where_the_door_of_this_database_calls_for_it() {
        let of = |app: &str, name: &str, rejoin: &[&str]| DoorConfig {
            app: app.parse().expect("a name"),
            database: name.parse().expect("a name"),
            ports: vec![6379],
            allow: Vec::new(),
            rejoin: rejoin.iter().map(|word| (*word).to_owned()).collect(),
            heartbeat: false,
        };
        let ours = ["/usr/bin/quorate", "rejoin-redis"];
        let (app, database) = ("shop".parse().expect("a name"), database(Engine::Redis, None));
        for (door, expected) in [
            (of("shop", "orders", &ours), true),
            (of("shop", "orders", &["sh", "-c", "quorate rejoin-redis 2>>log"]), true),
            (of("shop", "orders", &["/usr/local/bin/another"]), false),
            (of("shop", "orders", &[]), false),
            (of("shop", "cache", &ours), false),
            (of("blog", "orders", &ours), false),
        ] {
            assert_eq!(reads(&door, &app, &database), expected, "{door:?}");
        }
    }

    #[test]
    fn whoever_acts_on_a_database_is_told_what_a_log_in_lacks_there() {
        let lacks = || Ok(vec!["it lacks this".to_owned(), "it lacks that".to_owned()]);
        let unknown = || Err("it does not answer".to_owned());
        type Case<'a> = (Option<&'a str>, Result<Vec<String>, String>, &'a [Found]);
        let cases: [Case<'_>; 7] = [
            (None, Ok(Vec::new()), &[Found::Fine]),
            (Some("g1"), Ok(Vec::new()), &[Found::Fine]),
            (None, lacks(), &[Found::Wrong, Found::Wrong]),
            (Some("a1"), lacks(), &[Found::Wrong, Found::Wrong]),
            (Some("g1"), lacks(), &[Found::Skipped]),
            (None, unknown(), &[Found::Skipped]),
            (Some("g1"), unknown(), &[Found::Skipped]),
        ];
        let (app, agent) = ("shop".parse().expect("a name"), "a1".parse().expect("a name"));
        let login = Login::new("quorate", None);
        for (guard, lacking, expected) in cases {
            let database = database(Engine::Postgres, guard);
            let said = format!("{guard:?} {lacking:?}");
            let checks = found(&app, &database, &login, &agent, lacking);
            let found: Vec<_> = checks.iter().map(|it| it.found).collect();
            assert_eq!(found, expected, "{said}: {checks:?}");
        }
    }
}
