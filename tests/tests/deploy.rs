//! What is shipped beside the binary: the unit is one that systemd takes without a word, and hardened.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `systemd-analyze security` may find at most, times ten; 100 is a service without any protection.
const EXPOSURE: u32 = 20;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// The unit in a folder of its own, with a program in `ExecStart` that is there.
fn unit() -> (tempfile::TempDir, PathBuf) {
    let text = fs::read_to_string(deploy("quorate.service")).expect("the unit is there");
    let start = "ExecStart=/usr/bin/quorate ";
    assert!(text.contains(start), "the unit does not start /usr/bin/quorate");
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let file = folder.path().join("quorate.service");
    let program = std::env::current_exe().expect("a running program has a path");
    let here = format!("ExecStart={} ", program.display());
    fs::write(&file, text.replace(start, &here)).expect("own folder");
    (folder, file)
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(unit).env("SYSTEMD_PAGER", "");
    command.output().expect("systemd-analyze is installed")
}

#[test]
fn systemd_takes_the_unit_without_a_word() {
    let (_folder, file) = unit();
    let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    // Unknown keys are only warned of.
    assert_eq!(said, "");
}

/// With what makes it a guard's, and the unit that shuts the doors before it.
#[test]
fn systemd_takes_a_guards_units_without_a_word() {
    let (folder, file) = unit();
    let beside = folder.path().join("quorate.service.d");
    fs::create_dir(&beside).expect("own folder");
    fs::copy(deploy("quorate-guard.conf"), beside.join("guard.conf")).expect("own folder");
    let program = std::env::current_exe().expect("a running program has a path");
    let doors = fs::read_to_string(deploy("quorate-doors.service")).expect("the unit is there");
    let here = format!("ExecStart={} ", program.display());
    fs::write(
        folder.path().join("quorate-doors.service"),
        doors.replace("ExecStart=/usr/bin/quorate ", &here),
    )
    .expect("own folder");
    for unit in [file, folder.path().join("quorate-doors.service")] {
        let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &unit);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        assert_eq!(said, "");
    }
}

#[test]
fn an_unknown_key_would_be_noticed() {
    let (_folder, file) = unit();
    let text = fs::read_to_string(&file).expect("just written");
    fs::write(&file, text.replace("WatchdogSec=", "WatchDogSecs=")).expect("own folder");
    let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &file);
    assert!(String::from_utf8_lossy(&output.stderr).contains("WatchDogSecs"));
}

#[test]
fn the_unit_is_hardened() {
    let (_folder, file) = unit();
    let threshold = format!("--threshold={EXPOSURE}");
    let output = analyze(&["security", "--offline=true", "--no-pager", &threshold], &file);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}", output.status);
}

#[test]
fn the_unit_waits_for_readiness_and_is_watched() {
    let text = fs::read_to_string(deploy("quorate.service")).expect("the unit is there");
    for line in ["Type=notify", "WatchdogSec=10", "User=quorate", "StateDirectory=quorate"] {
        assert!(text.lines().any(|found| found == line), "`{line}` is missing");
    }
}

#[test]
fn the_user_of_the_unit_is_made() {
    let text = fs::read_to_string(deploy("quorate.sysusers")).expect("sysusers file is there");
    assert!(text.lines().any(|line| line.starts_with("u quorate ")));
}
