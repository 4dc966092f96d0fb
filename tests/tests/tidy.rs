//! How the code is laid out, held by reading it: who may import whom, what may not be said where, how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The stages of the core: below `node`, above everything they exchange, and never one another.
const STAGES: [&str; 8] =
    ["judge", "gossip", "evidence", "ballot", "voters", "lease", "failover", "readiness"];

/// What `consensus` may not name: every clock, socket, file, thread, logger, and anything in an order that differs from
/// run to run.
const IMPURE: [&str; 14] = [
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::fs",
    "std::thread",
    "tokio",
    "tracing",
    "HashMap",
    "HashSet",
    "println!",
    "rand::rng",
];

/// More code than this in one file, and a noun in it wants its own module.
const FILE_LIMIT: usize = 500;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// Every Rust file below these folders of the workspace, with its text.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut waiting: Vec<_> = folders.iter().map(|folder| top().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("source folders can be read");
            waiting.extend(entries.map(|entry| entry.expect("folder stays as it is").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            found.push((path.strip_prefix(top()).expect("below the top").to_owned(), text));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing below {folders:?}");
    found
}

/// A module's tests in a file of their own, or a whole crate of tests.
fn is_tests(path: &Path) -> bool {
    path.starts_with("tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

fn everything() -> Vec<(PathBuf, String)> {
    sources(&[
        "consensus/src",
        "probe/src",
        "agent/src",
        "tests/src",
        "tests/simulator/src",
        "tests/tests",
        "tests/bench",
    ])
}

/// The lines that are code, before a module's own tests, numbered from one.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
}

fn complain(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Does `line` hold `word` with nothing of a name before or after it?
fn names(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !(before.is_some_and(part) || word.ends_with(part) && after.is_some_and(part))
    })
}

/// How far up the house a module of `consensus` lives.
fn floor(module: &str) -> usize {
    match module {
        "model" | "moment" => 0,
        "codec" | "message" | "saved" | "value" | "mutant" | "config" | "view" => 1,
        "outbox" => 2,
        stage if STAGES.contains(&stage) => 3,
        "node" => 4,
        other => {
            panic!("`consensus::{other}` has no floor yet: give it one in tests/tests/tidy.rs")
        }
    }
}

/// The modules named after `crate::` in a piece of code, `crate::{a, b::c}` included.
fn imported(code: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut modules = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            modules.push(name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                other if start && !other.is_whitespace() => {
                    modules.push(name(&group[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    modules
}

#[test]
fn imports_are_read_with_their_groups() {
    let cases = [
        ("use crate::model::{A, B};", vec!["model"]),
        ("use crate::{moment::Moment, model::{A, B}, codec};", vec!["moment", "model", "codec"]),
        ("let a = crate::codec::encode(x); crate::outbox::y()", vec!["codec", "outbox"]),
        ("use std::fmt;", vec![]),
    ];
    for (code, expected) in cases {
        assert_eq!(imported(code), expected, "{code}");
    }
}

#[test]
fn the_core_imports_downwards_and_stages_never_one_another() {
    let mut faults = Vec::new();
    for (path, text) in sources(&["consensus/src"]) {
        let inside = path.strip_prefix("consensus/src").expect("asked for");
        let first = inside.iter().next().expect("a file has a name").to_string_lossy();
        let module = first.trim_end_matches(".rs");
        if module == "lib" || is_tests(&path) {
            continue;
        }
        let code: String = code(&text).map(|(_, line)| format!("{line}\n")).collect();
        for other in imported(&code) {
            let (own, its) = (floor(module), floor(&other));
            let fine = other == module || its < own || (its == own && own < 2);
            if !fine {
                faults.push(format!("{}: `{module}` imports `{other}`", path.display()));
            }
        }
    }
    complain(&faults);
}

#[test]
fn the_core_is_pure() {
    let mut faults = Vec::new();
    for (path, text) in sources(&["consensus/src"]) {
        if is_tests(&path) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in IMPURE.iter().filter(|word| names(line, word)) {
                faults.push(format!("{}:{number}: `{word}` in the core", path.display()));
            }
        }
    }
    complain(&faults);
}

#[test]
fn a_file_fits_a_sitting() {
    let mut faults = Vec::new();
    for (path, text) in everything() {
        let lines = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
        let count = lines.count();
        if FILE_LIMIT < count {
            faults.push(format!("{}: {count} lines of code, {FILE_LIMIT} at most", path.display()));
        }
    }
    complain(&faults);
}

#[test]
fn every_file_says_first_what_it_is() {
    let mut faults = Vec::new();
    for (path, text) in everything() {
        let own_tests = path.file_name().is_some_and(|name| name == "tests.rs");
        if !own_tests && !text.starts_with("//! ") {
            faults.push(format!("{}: does not begin with a `//!` header", path.display()));
        }
    }
    complain(&faults);
}

#[test]
fn nothing_is_left_undone_and_no_test_is_skipped() {
    // Written in halves, so that this file does not find itself.
    let words = [
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("dbg", "!("),
    ];
    let mut faults = Vec::new();
    for (path, text) in everything() {
        for (number, line) in (1..).zip(text.lines()) {
            for word in words.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{number}: `{word}`", path.display()));
            }
        }
    }
    complain(&faults);
}

#[test]
fn no_test_sleeps() {
    let words = [concat!("thread::", "sleep"), concat!("time::", "sleep"), concat!(" sleep", "(")];
    // Waiting lives in one place, which polls with a deadline.
    let waits = Path::new("tests/src/harness/wait.rs");
    let mut faults = Vec::new();
    for (path, text) in everything() {
        let own_tests = text.lines().position(|line| line.trim() == "#[cfg(test)]");
        let from = if is_tests(&path) { Some(0) } else { own_tests };
        let Some(from) = from.filter(|_| path != waits) else { continue };
        for (number, line) in (1..).zip(text.lines()).skip(from) {
            if words.iter().any(|word| line.contains(word)) {
                faults.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    complain(&faults);
}

fn manifest(path: &str) -> toml::Table {
    let text = fs::read_to_string(top().join(path)).expect("every crate has a manifest");
    toml::from_str(&text).expect("cargo reads it too")
}

/// The dependencies of a member, from all of its tables.
fn dependencies(member: &str) -> BTreeMap<String, toml::Value> {
    let manifest = manifest(&format!("{member}/Cargo.toml"));
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = tables.iter().filter_map(|name| manifest.get(*name)?.as_table());
    tables.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[test]
fn crates_import_in_one_line() {
    let line = ["consensus", "probe", "agent", "tests", "tests/simulator"];
    for (place, member) in line.iter().enumerate() {
        for name in dependencies(member).keys() {
            let other = line.iter().position(|crate_name| crate_name == name);
            assert!(other.is_none_or(|other| other < place), "`{member}` imports `{name}`");
        }
    }
}

#[test]
fn versions_stand_in_the_top_manifest_only() {
    for member in ["consensus", "probe", "agent", "tests", "tests/simulator"] {
        for (name, value) in dependencies(member) {
            let inherits = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            assert!(inherits, "{member}/Cargo.toml: `{name}` does not inherit its version");
        }
    }
}

#[test]
fn nothing_released_can_switch_a_safety_rule_off() {
    let features = |value: &toml::Value| value.get("features").map(ToString::to_string);
    for member in ["probe", "agent"] {
        for (name, value) in dependencies(member) {
            let features = features(&value).unwrap_or_default();
            assert!(!features.contains("mutants"), "{member}/Cargo.toml: `{name}` with mutants");
        }
    }
    let shared = manifest("Cargo.toml");
    let consensus = &shared["workspace"]["dependencies"]["consensus"];
    assert_eq!(features(consensus), None, "Cargo.toml: `consensus` with features for everybody");
    let own = manifest("consensus/Cargo.toml");
    assert!(own["features"].get("default").is_none(), "consensus/Cargo.toml: default features");
}

/// The words that follow `first` in the code blocks of the README, without options.
fn mentioned(first: &str) -> Vec<String> {
    let readme = fs::read_to_string(top().join("README.md")).expect("README.md is there");
    let mut words = Vec::new();
    let mut within = false;
    for line in readme.lines() {
        if line.trim_start().starts_with("```") {
            within = !within;
        } else if within {
            let mut found = line.split_whitespace().skip_while(|word| !word.ends_with(first));
            let next = found.nth(1).filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
            words.extend(next.map(str::to_owned));
        }
    }
    words
}

#[test]
fn the_readme_names_only_parts_that_the_runner_has() {
    let runner = fs::read_to_string(top().join("tests/run")).expect("tests/run is there");
    // The text that `./tests/run --help` prints names one part a line.
    let parts: Vec<_> = runner.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    for part in mentioned("tests/run") {
        let known = parts.iter().any(|line| line.split(' ').next() == Some(part.as_str()));
        assert!(known, "README.md: `./tests/run {part}`");
    }
}

/// A program that starts processes and is missing in the group would run beside all others on two cores.
#[test]
fn test_programs_with_processes_are_the_same_for_both_runners() {
    let between = |text: &str, before: &str, after: &str| -> Option<String> {
        let rest = text.split_once(before)?.1;
        Some(rest.split_once(after)?.0.to_owned())
    };
    let runner = fs::read_to_string(top().join("tests/run")).expect("tests/run is there");
    let listed = between(&runner, "\nprocesses=(", ")").expect("tests/run lists `processes`");
    let listed: BTreeSet<_> = listed.split_whitespace().collect();
    let config = manifest(".config/nextest.toml");
    let overrides = config["profile"]["default"]["overrides"].as_array().expect("a list of them");
    let group =
        |it: &&toml::Value| it.get("test-group").and_then(toml::Value::as_str) == Some("worlds");
    let filter = overrides.iter().find(group).and_then(|it| it["filter"].as_str());
    let grouped = between(filter.expect("a filter for `worlds`"), "binary(/^(", ")$/)");
    let grouped = grouped.expect("a filter by the names of programs");
    let grouped: BTreeSet<_> = grouped.split('|').collect();
    assert_eq!(grouped, listed, "`worlds` in .config/nextest.toml, `processes` in tests/run");
    for name in listed {
        assert!(top().join(format!("tests/tests/{name}.rs")).exists(), "no test program `{name}`");
    }
}
