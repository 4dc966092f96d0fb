//! What may be linked in: licences, banned crates and sources, as `deny.toml` lists them.
//!
//! `cargo deny` reads the same list and knows more (licence texts, advisories), but takes five minutes to build on every
//! new machine; what `cargo metadata` tells without a network is enough to refuse a change that breaks the list.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use tests::harness::process::output;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Resolved>,
}

/// A package that is really in the tree, with the packages that it really uses.
#[derive(Deserialize)]
struct Resolved {
    id: String,
    dependencies: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    source: Option<String>,
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

fn list() -> Deny {
    let text = std::fs::read_to_string(top().join("deny.toml")).expect("deny.toml is there");
    toml::from_str(&text).expect("deny.toml is what it always was")
}

fn metadata() -> Metadata {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--offline", "--locked"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(top());
    serde_json::from_str(&output(&mut command)).expect("cargo's own shape")
}

#[test]
fn every_licence_is_on_the_list() {
    let allowed = list().licenses.allow;
    for package in metadata().packages {
        let licence = package.license.unwrap_or_default();
        assert!(permitted(&licence, &allowed), "{} is under `{licence}`", package.name);
    }
}

#[test]
fn no_banned_crate_is_in_the_tree() {
    let metadata = metadata();
    let name_of = |id: &str| {
        let package = metadata.packages.iter().find(|package| package.id == id);
        package.expect("every node is a package").name.as_str()
    };
    for banned in list().bans.deny {
        let is_banned = |id: &String| name_of(id) == banned.name;
        let nodes = &metadata.resolve.nodes;
        let users = nodes.iter().filter(|node| node.dependencies.iter().any(is_banned));
        let stray = users.map(|node| name_of(&node.id));
        let stray: Vec<_> =
            stray.filter(|user| !banned.wrappers.iter().any(|name| name == user)).collect();
        assert!(stray.is_empty(), "`{}` is banned and used by {stray:?}", banned.name);
    }
}

#[test]
fn everything_comes_from_crates_io_with_a_version() {
    for package in metadata().packages {
        if let Some(source) = &package.source {
            assert_eq!(source, CRATES_IO, "{} {}", package.name, package.version);
            continue;
        }
        let outside = package.dependencies.iter().filter(|dependency| dependency.source.is_some());
        for dependency in outside {
            assert_ne!(dependency.req, "*", "{} wants any {}", package.name, dependency.name);
        }
    }
}

/// Does an SPDX expression leave a choice that is allowed throughout? `/` is an older way to write `OR`.
fn permitted(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let (permitted, rest) = either(&words, allowed);
    permitted && rest.is_empty()
}

fn either<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut permitted, mut rest) = both(words, allowed);
    while let ["OR", more @ ..] = rest {
        let (next, left) = both(more, allowed);
        (permitted, rest) = (permitted || next, left);
    }
    (permitted, rest)
}

fn both<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut permitted, mut rest) = single(words, allowed);
    while let ["AND", more @ ..] = rest {
        let (next, left) = single(more, allowed);
        (permitted, rest) = (permitted && next, left);
    }
    (permitted, rest)
}

fn single<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let has = |name: &str| allowed.iter().any(|licence| licence == name);
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (permitted, [")", rest @ ..]) => (permitted, rest),
            (_, rest) => (false, rest),
        },
        [name, "WITH", exception, rest @ ..] => (has(&format!("{name} WITH {exception}")), rest),
        [name, rest @ ..] => (has(name), rest),
        [] => (false, words),
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    let cases = [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("MIT AND (GPL-3.0 OR AGPL-3.0)", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT OR GPL-3.0 AND GPL-2.0", true),
        ("MIT WITH anything", false),
        ("(MIT", false),
        ("", false),
    ];
    for (expression, expected) in cases {
        assert_eq!(permitted(expression, &allowed), expected, "{expression}");
    }
}
