//! `quorate demo` as whoever tries it first meets it: it ends well, says so, and leaves nothing behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::harness::agents::program;
use tests::harness::wait::eventually;

/// A folder for temporary files that a database's user may pass through.
fn scratch() -> TempDir {
    let folder = tempfile::tempdir().expect("the system's folder for temporary files takes files");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("own folder");
    folder
}

fn demo(scratch: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("demo").args(words).env("TMPDIR", scratch).env_remove("NO_COLOR");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
fn play(words: &[&str]) -> Output {
    let scratch = scratch();
    let done = demo(scratch.path(), words).output().expect("the binary runs");
    if let Err(left) = nothing_left(scratch.path()) {
        panic!("left behind: {left}");
    }
    done
}

/// No file, and no process that was told of this folder.
fn nothing_left(scratch: &Path) -> Result<(), String> {
    let files = fs::read_dir(scratch).expect("own folder");
    let files = files.flatten().map(|entry| entry.path().display().to_string());
    let told = scratch.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").expect("Linux").flatten().filter_map(|entry| {
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        words.contains(&told).then(|| format!("{:?}: {words}", entry.file_name()))
    });
    let left: Vec<_> = files.chain(processes).collect();
    if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn everything_happens_as_expected_and_the_report_says_so() {
    let done = play(&["--json", "--databases", "auto"]);
    let (stdout, stderr) = said(&done);
    assert!(done.status.success(), "{}\n{stdout}{stderr}", done.status);
    assert_eq!(stderr, "");
    let report: Value = serde_json::from_str(&stdout).expect("one report and nothing else");
    assert_eq!(report["agreed"], true);
    assert!(report["took_ms"].as_u64().expect("a time") < 60_000, "{report}");
    assert_eq!(report["settings"]["demo"]["window"], "2s");

    let blinded = &report["observer_blinded"];
    assert_eq!((&blinded["moved"], &blinded["epochs"]), (&json!(false), &json!([1, 1])));
    assert!(blinded["next"].as_str().expect("a reason").contains("1 of 5"), "{blinded}");

    let killed = &report["stack_killed"];
    assert_eq!(killed["epochs"], json!([1, 2]));
    assert_eq!(killed["dns"]["before"], json!(["127.0.11.1", "127.0.11.2"]));
    assert_eq!(killed["dns"]["after"], json!(["127.0.12.1", "127.0.12.2"]));
    assert_eq!(killed["dns"]["changes"], json!([1, 1, 1, 1, 1]));
    assert!(3 <= killed["first_evidence"]["down"].as_u64().expect("a count"), "{killed}");
    if report["databases"].is_string() {
        let rows = &killed["rows"];
        assert_eq!(rows["written_before"], rows["found_after"]);
        assert!(rows["written_after"].as_u64() > Some(0), "{rows}");
        assert!(killed["phases"]["promoted_ms"].is_u64(), "{killed}");
        assert!(3 <= killed["second_evidence"]["down"].as_u64().expect("a count"), "{killed}");
    }

    let executor = &report["executor_killed"];
    assert!(executor["killed"].is_string() && executor["finished_by"].is_string(), "{executor}");
    assert_ne!(executor["killed"], executor["finished_by"]);
    // A second try, should the executor have been quicker than the demo, goes the other way.
    let attempts = executor["attempts"].as_u64().expect("a count");
    assert_eq!(executor["epochs"], json!([attempts, attempts + 1]));
}

/// Waits until everything runs, ends the demo with this signal, and looks for what it left.
fn interrupt(signal: Signal) -> Option<i32> {
    let scratch = scratch();
    // A group of its own, as a shell gives it: the signal is for the demo alone.
    let mut child = demo(scratch.path(), &[]).process_group(0).spawn().expect("the binary runs");
    let story = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut lines = story.lines().map_while(Result::ok);
    lines.find(|line| line.contains("shop is agreed")).expect("it tells of its first app");
    assert!(nothing_left(scratch.path()).is_err(), "there is something to leave behind");
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a number");
    kill_process(id, signal).expect("it runs");
    let status = ended(&mut child);
    eventually(Duration::from_secs(30), "nothing is left", || nothing_left(scratch.path()));
    status
}

fn ended(child: &mut Child) -> Option<i32> {
    eventually(Duration::from_secs(30), "it ends", || {
        child.try_wait().expect("an own child can be waited for").ok_or("still running")
    })
    .code()
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    assert_eq!(interrupt(Signal::INT), Some(1));
}

#[test]
fn a_killed_demo_leaves_nothing_behind() {
    assert_eq!(interrupt(Signal::KILL), None);
}
