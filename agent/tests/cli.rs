//! The built binary: what it says, where, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples");

fn quorate(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(words)
        .env_remove("QUORATE_AGENT")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// How it ended, and what it said.
fn said(words: &[&str]) -> (i32, String, String) {
    let output = quorate(words);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("it ended by itself"), text(output.stdout), text(output.stderr))
}

fn shop() -> String {
    format!("{EXAMPLES}/shop.toml")
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    (folder, path)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our own path")
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    assert_eq!(said(&[]).0, 2);
    assert_eq!(said(&["nonsense"]).0, 2);
    assert_eq!(said(&["validate"]).0, 2);
    assert_eq!(said(&["init", "--out", "/tmp/x", "--agent", "a,b,boss,h:1"]).0, 2);
    let (code, out, _) = said(&["--help"]);
    assert!(code == 0 && out.contains("quorate demo"), "{out}");
    assert!(said(&["--version"]).1.starts_with("quorate 0."));
    assert!(said(&["init", "--help"]).1.contains("--agent ams-1,ams,voter,198.51.100.1:4790"));
}

#[test]
fn a_good_file_is_valid_and_its_warnings_are_said() {
    let (code, out, err) = said(&["validate", &shop()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("valid") && out.contains("shop.toml (app file), 1 warning"), "{out}");
    assert!(err.contains("nothing proves that the old primary takes no writes"), "{err}");
    assert!(!out.contains('\x1b') && !err.contains('\x1b'), "no colour where there is no terminal");
}

#[test]
fn a_broken_file_ends_with_2_and_says_where() {
    let (_folder, path) = scratch();
    let (bad, none) = (path.join("bad.toml"), path.join("none.toml"));
    fs::write(&bad, "[app]\nname = \"x\"\nmoed = \"automatic\"\n").expect("own folder");
    let (code, out, err) = said(&["validate", text(&bad), &shop(), text(&none)]);
    assert_eq!(code, 2);
    assert!(
        err.contains("bad.toml:3:1: unknown key `moed` in `[app]`: did you mean `mode`?"),
        "{err}"
    );
    assert!(err.contains("3 | moed = \"automatic\"\n   | ^^^^"), "{err}");
    assert!(err.contains("none.toml: cannot read: No such file"), "{err}");
    assert_eq!(out.lines().count(), 3, "{out}");
    for verb in ["apply", "agent"] {
        let file = if verb == "agent" {
            vec!["agent", "--config", text(&bad)]
        } else {
            vec![verb, text(&bad)]
        };
        assert_eq!(said(&file).0, 2, "{verb}");
    }
    assert_eq!(said(&["plan", text(&bad)]).0, 1, "plan keeps 2 for pending changes");
}

#[test]
fn validate_speaks_json() {
    let (_folder, path) = scratch();
    let bad = path.join("bad.toml");
    fs::write(&bad, "[app]\nname = \"x\"\nmoed = 1\n").expect("own folder");
    let (code, out, _) = said(&["validate", "--json", text(&bad)]);
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, 2);
    assert_eq!(found[0]["valid"], false);
    assert_eq!(found[0]["faults"][0]["line"], 3);
    assert_eq!(found[0]["faults"][0]["weight"], "error");
}

#[test]
fn without_an_agent_there_is_one_clear_line() {
    let (_folder, path) = scratch();
    let socket = path.join("agent.sock");
    let at = text(&socket);
    for words in [
        &["plan", &shop(), "--agent", at][..],
        &["apply", &shop(), "--yes", "--agent", at],
        &["--agent", at, "switchover", "shop", "--yes"],
        &["failover", "shop", "--yes", "--agent", at],
        &["--agent", at, "voters", "list"],
        &["voters", "replace", "a1", "--yes", "--agent", at],
    ] {
        let (code, out, err) = said(words);
        assert_eq!((code, out.as_str()), (1, ""), "{words:?}: {err}");
        let last = err.lines().last().unwrap_or_default();
        assert!(last.starts_with("quorate: no agent answers at") && last.contains(at), "{err}");
    }
}

#[test]
fn a_stack_that_is_not_there_is_wrong_usage() {
    let (code, _, err) = said(&["apply", &shop(), "--active", "moon"]);
    assert_eq!(code, 2);
    assert!(err.contains("no stack is named `moon`: expected one of aws-east, do-west"), "{err}");
}

#[test]
fn init_makes_a_mesh_that_validates_and_never_again() {
    let (_folder, path) = scratch();
    let mesh = path.join("mesh");
    let (code, out, err) = said(&["init", "--out", text(&mesh), "--dry-run"]);
    assert!(code == 0 && out.contains("would make") && !mesh.exists(), "{out}{err}");
    let (code, out, err) = said(&["init", "--out", text(&mesh)]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("3 voters in 3 regions") && out.contains("authority.key"), "{out}");
    let files: Vec<PathBuf> =
        ["a1", "a2", "a3"].map(|name| mesh.join(name).join("agent.toml")).into();
    let words: Vec<&str> =
        ["validate"].into_iter().chain(files.iter().map(|file| text(file))).collect();
    assert_eq!(said(&words).0, 0);
    let (code, _, err) = said(&["init", "--out", text(&mesh)]);
    assert!(code == 1 && err.contains("is there already"), "{err}");
}

#[test]
fn a_mesh_is_recovered_from_one_stopped_agent() {
    let (_folder, path) = scratch();
    let (mesh, new) = (path.join("mesh"), path.join("new"));
    assert_eq!(said(&["init", "--out", text(&mesh)]).0, 0);
    let data = mesh.join("a1/data");
    let agents =
        ["--agent", "a1,east,voter,127.0.0.1:4790", "--agent", "b1,west,voter,127.0.0.2:4790"];
    let words = |more: &[&'static str]| -> Vec<String> {
        let all = ["recover", text(&data), "--out", text(&new)];
        all.iter().chain(&agents).chain(more).map(ToString::to_string).collect()
    };
    let said =
        |more: &[&'static str]| said(&words(more).iter().map(String::as_str).collect::<Vec<_>>());
    let (code, _, err) = said(&[]);
    assert!(code == 2 && err.contains("--unsafe"), "{err}");
    let (code, _, err) = said(&["--unsafe"]);
    assert!(code == 2 && err.contains("no terminal to ask on"), "{err}");
    let (code, out, _) = said(&["--unsafe", "--dry-run"]);
    assert!(code == 0 && out.contains("at risk") && !new.exists(), "{out}");
    let (code, _, err) = said(&["--unsafe", "--yes", "--active", "shop=a"]);
    assert!(code == 2 && err.contains("knows no app `shop`"), "{err}");
    let (code, out, err) = said(&["--unsafe", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(new.join("b1/agent.toml").exists() && new.join("authority.key").exists());
    assert!(!data.join("log").exists(), "the old log is put away");
    let (code, _, err) = said(&["--unsafe", "--yes"]);
    assert!(code == 1 && err.contains("there is no log"), "{err}");
}

#[test]
fn the_doctor_says_what_it_could_look_at_and_ends_with_1() {
    let (_folder, path) = scratch();
    let mesh = path.join("mesh");
    assert_eq!(said(&["init", "--out", text(&mesh)]).0, 0);
    let file = mesh.join("a1/agent.toml");
    let (code, out, _) = said(&["doctor", "--config", text(&file)]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("wrong    agent        no agent answers at"), "{out}");
    assert!(out.contains("fine     certificate  `"), "{out}");
    let (code, out, _) = said(&["doctor", "--config", text(&file), "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &found["well"]), (1, &serde_json::Value::Bool(false)));
    let (code, out, _) = said(&["doctor", "--config", text(&path.join("none.toml"))]);
    assert!(code == 1 && out.contains("none.toml: cannot read"), "{out}");
}

#[test]
fn schema_completion_and_manual_are_printed() {
    let (code, out, _) = said(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &schema["properties"]["app"]["description"]), (0, &"The app itself.".into()));
    assert!(said(&["schema", "agent"]).1.contains("data_dir"));
    assert!(said(&["completion", "bash"]).1.contains("complete -F _quorate"));
    assert!(said(&["man"]).1.contains(".TH quorate 1"));
    let (_folder, path) = scratch();
    assert_eq!(said(&["man", "--out", text(&path)]).0, 0);
    assert!(path.join("quorate.1").exists() && path.join("quorate-apply.1").exists());
}

#[test]
fn who_does_not_read_complaints_costs_no_panic_either() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["validate", "/nonexistent"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(2));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
