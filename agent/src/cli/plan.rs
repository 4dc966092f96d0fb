//! `quorate plan FILE`: what applying it would change.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use consensus::model::{AppId, Definition, Driver};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AgentArgs, Client, ClientError};
use super::difference::{Change, difference};
use super::table::{Ink, Out, Sheet, widest};
use super::{INVALID, failed};
use crate::config::{self, App};

/// What `quorate plan` takes.
///
/// Exit status: 0 nothing would change, 2 something would, 1 any error.
#[derive(clap::Args)]
pub struct Args {
    /// The app file
    file: PathBuf,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// What the mesh has of an app.
#[derive(Deserialize)]
pub struct Defined {
    /// Which revision.
    pub revision: u64,
    /// The definition.
    pub definition: Definition,
}

/// Compares, and prints.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let app = match config::read_app(&args.file) {
        Ok(app) => app,
        Err(faults) => {
            super::complain(&faults);
            return ExitCode::FAILURE;
        }
    };
    let defined = match defined(&args.agent.client(), &app.definition.name).await {
        Ok(defined) => defined,
        Err(error) => return failed(error),
    };
    let changes = difference(defined.as_ref().map(|d| &d.definition), &app.definition);
    match args.json {
        true => out.json(&document(&app, defined.as_ref(), &changes)),
        false => print(&app, defined.as_ref(), &changes, out),
    }
    match changes.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(INVALID),
    }
}

/// What the mesh has of this app; `None` if it does not know it.
pub async fn defined(client: &Client, app: &AppId) -> Result<Option<Defined>, ClientError> {
    match client.read(&format!("/api/v1/apps/{app}/definition")).await {
        Ok(defined) => Ok(Some(defined)),
        Err(ClientError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The stable shape that scripts read.
pub fn document(app: &App, defined: Option<&Defined>, changes: &[Change]) -> Value {
    json!({
        "app": app.definition.name,
        "revision": defined.map(|defined| defined.revision),
        "changes": changes,
        "left_behind": defined.map(|defined| left_behind(&defined.definition, &app.definition)),
        "uncompared": uncompared(&app.definition),
        "warnings": app.warnings,
    })
}

/// Prints a plan, its file's warnings first.
pub fn print(app: &App, defined: Option<&Defined>, changes: &[Change], out: &mut Out<'_>) {
    let name = &app.definition.name;
    for warning in &app.warnings {
        super::complain(warning);
    }
    out.print(&sheet(name, defined.map(|defined| defined.revision), changes, out.colour));
    for name in defined.map(|it| left_behind(&it.definition, &app.definition)).into_iter().flatten()
    {
        super::complain(format_args!(
            "warning: `{name}` is published no more: what stands there, and at its marker, stays until somebody takes it away"
        ));
    }
    for name in uncompared(&app.definition) {
        super::complain(format_args!(
            "note: `{name}` is changed without comparing, for its provider has no means for that: a request that comes late may \
             undo a failover until it is read back and put right"
        ));
    }
}

/// The names whose provider cannot make a change depend on what stands there (PROTOCOL.md D.3, "unfenceable").
fn uncompared(definition: &Definition) -> BTreeSet<&str> {
    let records = definition.records.iter().filter(|it| !it.driver.compares());
    records.map(|it| it.name.as_str()).collect()
}

/// The names that drivers published and publish no longer: nobody would change them any more.
fn left_behind(old: &Definition, new: &Definition) -> Vec<String> {
    let published = |definition: &Definition| -> BTreeSet<String> {
        let records = definition.records.iter();
        records.filter(|it| it.driver != Driver::BuiltIn).map(|it| it.name.clone()).collect()
    };
    published(old).difference(&published(new)).cloned().collect()
}

fn sheet(app: &AppId, revision: Option<u64>, changes: &[Change], colour: bool) -> String {
    let mut sheet = Sheet::new(colour);
    sheet.put(Ink::Strong, app.as_str());
    match (revision, changes.len()) {
        (None, _) => sheet.put(Ink::Plain, " is new to the mesh"),
        (Some(revision), 0) => sheet.put(
            Ink::Plain,
            &format!(" is at revision {revision} as the file has it: nothing to change"),
        ),
        (Some(revision), 1) => sheet.put(Ink::Plain, &format!(", 1 change to revision {revision}")),
        (Some(revision), n) => {
            sheet.put(Ink::Plain, &format!(", {n} changes to revision {revision}"))
        }
    };
    sheet.end();
    let width = widest(changes.iter().map(|change| change.path.as_str()), 60);
    for change in changes {
        let (ink, mark) = match (&change.from, &change.to) {
            (None, _) => (Ink::Good, "+"),
            (_, None) => (Ink::Bad, "-"),
            _ => (Ink::Wary, "~"),
        };
        sheet.put(ink, &format!("  {mark} ")).cell(ink, &change.path, width);
        match (&change.from, &change.to) {
            (Some(from), Some(to)) => {
                sheet.put(Ink::Faint, from).put(Ink::Plain, " → ").put(Ink::Strong, to)
            }
            (from, to) => sheet.put(Ink::Plain, to.as_ref().or(from.as_ref()).map_or("", |v| v)),
        };
        sheet.end();
    }
    sheet.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_drivers_publish_no_longer_are_named() {
        const SHOP: &str = include_str!("../../../deploy/examples/shop.toml");
        let definition = |text: &str| {
            config::parse_app(text, "shop.toml", None).expect("a good file").definition
        };
        let without = SHOP.split("[[record]]").filter(|it| !it.contains("www.example.org"));
        let without = without.collect::<Vec<_>>().join("[[record]]");
        let (whole, without) = (definition(SHOP), definition(&without));
        assert_eq!(left_behind(&whole, &without), ["www.example.org"]);
        assert_eq!(left_behind(&without, &whole), [""; 0]);
        assert_eq!(left_behind(&whole, &whole), [""; 0]);
    }

    #[test]
    fn names_at_providers_that_compare_nothing_are_named() {
        const SHOP: &str = include_str!("../../../deploy/examples/shop.toml");
        const BLOG: &str = "[app]\nname = \"blog\"\n\
             [[stack]]\nname = \"a\"\n[[stack.endpoint]]\nurl = \"http://192.0.2.1/\"\n\
             [[stack]]\nname = \"b\"\n[[stack.endpoint]]\nurl = \"http://192.0.2.2/\"\n\
             [[record]]\nname = \"www.example.org\"\ntype = \"A\"\nttl = 60\n\
             driver = \"digitalocean\"\nzone = \"example.org\"\ncredential = \"key\"\n";
        let definition =
            |text: &str| config::parse_app(text, "app.toml", None).expect("a good file").definition;
        assert_eq!(uncompared(&definition(BLOG)), ["www.example.org"].into());
        assert_eq!(uncompared(&definition(SHOP)), [].into(), "dynamic updates compare");
    }

    #[test]
    fn a_plan_reads_like_a_difference() {
        let change = |path: &str, from: Option<&str>, to: Option<&str>| Change {
            path: path.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let changes = [
            change("probe.window", Some("8s"), Some("12s")),
            change("stack[b].site", None, Some("b")),
            change("zone[x].ns", Some("ns1.x"), None),
        ];
        let app: AppId = "shop".parse().expect("a name");
        assert_eq!(
            sheet(&app, Some(3), &changes, false),
            "shop, 3 changes to revision 3\n  ~ probe.window   8s → 12s\n  + stack[b].site  b\n  - zone[x].ns     ns1.x\n"
        );
        assert_eq!(
            sheet(&app, Some(3), &[], false),
            "shop is at revision 3 as the file has it: nothing to change\n"
        );
        assert!(sheet(&app, None, &changes, true).contains("\x1b[32m  + \x1b[0m"));
    }
}
