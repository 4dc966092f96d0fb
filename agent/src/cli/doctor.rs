//! `quorate doctor`: would the mesh hold, and would this host do its part?
//!
//! Every check is one line with what was found, and what to do where something is wrong. Checks of this host read the
//! agent's file and look; checks of the mesh ask the agent. What cannot be looked at is said to be skipped, never passed.

mod host;
mod mesh;
mod rights;
mod traffic;
mod weak;

use std::path::PathBuf;
use std::process::ExitCode;

use consensus::model::Definition;
use consensus::view::View;
use serde_json::{Value, json};

use super::client::{AgentArgs, Client};
use super::table::{Ink, Out, Sheet, WIDTH, wrap};
use crate::clock;
use crate::config::{self, AgentConfig};

/// What `quorate doctor` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The agent's file
    #[arg(long, short, value_name = "FILE", default_value = "/etc/quorate/agent.toml")]
    config: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// As it should be.
    Fine,
    /// It could not be looked at.
    Skipped,
    /// Works, and should be better.
    Careful,
    /// Does not work, or will not when it must.
    Wrong,
}

impl Found {
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Skipped => "skipped",
            Self::Careful => "careful",
            Self::Wrong => "wrong",
        }
    }

    const fn ink(self) -> Ink {
        match self {
            Self::Fine => Ink::Good,
            Self::Skipped => Ink::Faint,
            Self::Careful => Ink::Wary,
            Self::Wrong => Ink::Bad,
        }
    }
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Of what sort: one word.
    pub area: &'static str,
    /// What was found.
    pub found: Found,
    /// In words.
    pub words: String,
}

impl Check {
    /// One thing looked at.
    pub fn new(area: &'static str, found: Found, words: impl Into<String>) -> Self {
        Self { area, found, words: words.into() }
    }
}

/// What the agent says, if it answers.
pub struct Heard {
    /// What it sees.
    pub view: View,
    /// The apps as defined.
    pub definitions: Vec<Definition>,
}

/// Looks at everything, and says it.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let config = config::read_agent(&args.config);
    let client = match (&args.agent.agent, &config) {
        (None, Ok(config)) => Client::open(&config.socket.to_string_lossy()),
        (Some(_), _) | (None, Err(_)) => args.agent.client(),
    };
    let heard = ask(&client).await;
    let mut checks = Vec::new();
    match &config {
        Ok(config) => {
            checks.extend(host(config, heard.as_ref().ok()));
            if let Ok(heard) = &heard {
                checks.extend(traffic::checks(config, heard).await);
                checks.extend(weak::checks(config, heard).await);
                checks.extend(rights::checks(config, heard).await);
            }
        }
        Err(faults) => {
            let words = format!("{faults}").lines().next().unwrap_or_default().to_owned();
            checks.push(Check::new("file", Found::Wrong, words));
        }
    }
    match &heard {
        Ok(heard) => checks.extend(mesh::checks(heard)),
        Err(why) => checks.push(Check::new("agent", Found::Wrong, why.clone())),
    }
    match args.json {
        true => out.json(&document(&checks)),
        false => out.print(&sheet(&checks, out.colour)),
    }
    match checks.iter().any(|check| check.found == Found::Wrong) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn host(config: &AgentConfig, heard: Option<&Heard>) -> Vec<Check> {
    let mut checks = host::identity(config, clock::wall_ms() / 1000);
    checks.push(host::clock());
    checks.extend(host::data(config, heard.is_some()));
    checks.extend(host::ports(config, heard.map(|heard| &heard.view)));
    if let Some(device) = config.watchdog {
        checks.push(host::watchdog(device));
        let leases = heard.map(|it| host::leases(&it.view.agent, &it.definitions));
        checks.extend(leases.unwrap_or_default());
    }
    if let Some(heard) = heard {
        checks.push(mesh::credentials(config, heard));
        checks.push(mesh::canaries(config, heard));
    }
    checks
}

async fn ask(client: &Client) -> Result<Heard, String> {
    let view: View = client.read("/api/v1/status").await.map_err(|error| super::chain(&error))?;
    let mut definitions = Vec::new();
    for app in &view.apps {
        let path = format!("/api/v1/apps/{}/definition", app.app);
        let answer: Value = client.read(&path).await.map_err(|error| super::chain(&error))?;
        definitions.extend(serde_json::from_value(answer["definition"].clone()));
    }
    Ok(Heard { view, definitions })
}

fn document(checks: &[Check]) -> Value {
    let well = checks.iter().all(|check| check.found != Found::Wrong);
    let checks = checks.iter().map(
        |check| json!({ "area": check.area, "found": check.found.word(), "words": check.words }),
    );
    json!({ "well": well, "checks": checks.collect::<Vec<_>>() })
}

/// A line a check, and one that counts them.
pub fn sheet(checks: &[Check], colour: bool) -> String {
    const FOUND: usize = 7;
    const AREA: usize = 11;
    let mut sheet = Sheet::new(colour);
    for check in checks {
        let lines = wrap(&check.words, WIDTH - FOUND - AREA - 4);
        for (number, line) in lines.iter().enumerate() {
            let first = number == 0;
            sheet.cell(check.found.ink(), if first { check.found.word() } else { "" }, FOUND);
            sheet.cell(Ink::Strong, if first { check.area } else { "" }, AREA);
            sheet.put(Ink::Plain, line).end();
        }
    }
    sheet.end();
    let count = |found| checks.iter().filter(|check| check.found == found).count();
    let (wrong, careful) = (count(Found::Wrong), count(Found::Careful));
    let (ink, words) = match (wrong, careful) {
        (0, 0) => (Ink::Good, "nothing is wrong".to_owned()),
        (0, careful) => (Ink::Wary, format!("nothing is wrong, {careful} could be better")),
        (wrong, 0) => (Ink::Bad, format!("{wrong} wrong")),
        (wrong, careful) => (Ink::Bad, format!("{wrong} wrong, {careful} could be better")),
    };
    sheet.put(ink, &words);
    sheet.put(Ink::Faint, &format!("  {} checks", checks.len())).end();
    sheet.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::golden;
    use crate::status::fixture;

    #[test]
    fn every_check_is_a_line_and_the_last_line_counts_them() {
        let heard = Heard {
            view: fixture::view(),
            definitions: fixture::agreed()
                .apps
                .iter()
                .map(|state| (*state.definition).clone())
                .collect(),
        };
        let mut checks = vec![
            Check::new(
                "certificate",
                Found::Fine,
                "`agent.crt` is valid until 2036-11-24T09:30:46Z",
            ),
            Check::new(
                "clock",
                Found::Skipped,
                "whether it is set from the network is not known here",
            ),
            Check::new("ports", Found::Wrong, "DNS on UDP `192.0.2.1:53`: connection refused"),
        ];
        checks.extend(mesh::checks(&heard));
        golden::same("doctor.txt", &sheet(&checks, false));
        assert_eq!(document(&checks)["well"], false);
        assert_eq!(sheet(&checks[..1], false).lines().last(), Some("nothing is wrong  1 checks"));
    }
}
