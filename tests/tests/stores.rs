//! What befalls the disk under a voter: it never answers with what it did not keep, and nothing agreed is lost.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tests::harness::agents::{Agent, Mesh};
use tests::harness::app::{INSIDE, Shop};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::process::{Process, run};
use tests::harness::resolver::{Answer, ask};
use tests::harness::wait::eventually;
use tests::harness::world::SETTLE;

/// The exit status of an agent that could not keep what it must: `EX_IOERR`.
const STORE_FAILED: i32 = 74;

/// An app of which nothing is looked at: what is agreed about it is all that matters here.
fn shop() -> Shop {
    Shop { databases: false, outside: false, ..Shop::default() }
}

/// The n-th version of the app, each another definition.
fn version(n: u64) -> String {
    Shop { window: Duration::from_millis(2_000 + n), ..shop() }.text()
}

/// Puts an app file before the mesh through one agent; whether it is agreed is the caller's question.
fn apply(lab: &Lab, agent: &Agent<'_>, text: &str) -> Result<String, String> {
    let file = lab.folder("apps").join("shop.toml");
    fs::write(&file, text).expect("scratch folder takes files");
    let said = agent.quorate(&["apply", "--yes", &file.to_string_lossy()]);
    if said.status.success() { Ok(said.output) } else { Err(said.errors) }
}

/// Applies a version again and again until the mesh takes it: what is in progress must end first.
fn applied(lab: &Lab, agent: &Agent<'_>, n: u64) {
    eventually(SETTLE, &format!("version {n} is applied"), || apply(lab, agent, &version(n)));
}

/// Waits until an agent that could not keep something has ended, and says so in its last line.
fn ends_for_its_store(agent: &mut Agent<'_>, why: &str) {
    let status = agent.process().wait(SETTLE);
    assert_eq!(status.code(), Some(STORE_FAILED), "{}", agent.said());
    let said = agent.said();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains(why) && last.contains("ends, because"), "{last}");
    agent.forget();
}

/// Every sync of this agent's log fails from now on; strace is ended with what it returns.
fn fail_every_sync(lab: &Lab, agent: &mut Agent<'_>) -> Process {
    let id = agent.process().id().to_string();
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-p", &id]);
    let strace = Process::start(lab, "strace", &mut command);
    eventually(SETTLE, "strace holds the agent", || {
        let said = strace.said();
        if said.contains("attached") { Ok(()) } else { Err(said) }
    });
    strace
}

#[test]
fn a_voter_whose_sync_fails_ends_without_having_answered() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        applied(lab, &mesh.agents[0], 1);
        mesh.settle(SETTLE, "shop", "s1");
        // Now nothing can be agreed without a3.
        for name in ["a4", "a5"] {
            mesh.agent(name).kill();
        }
        let before = mesh.agents[0].app("shop").expect("a1 answers").revision;
        let strace = fail_every_sync(lab, mesh.agent("a3"));
        apply(lab, &mesh.agents[0], &version(2)).expect_err("two of five are no majority");
        ends_for_its_store(mesh.agent("a3"), "cannot sync `");
        drop(strace);
        for name in ["a1", "a2"] {
            assert_eq!(mesh.agent(name).app("shop").expect("answers").revision, before, "{name}");
        }
        mesh.agent("a3").start();
        applied(lab, &mesh.agents[0], 3);
        let view = mesh.settle(SETTLE, "shop", "s1");
        assert!(before < view.revision);
    });
}

#[test]
fn a_full_disk_stops_one_agent_and_loses_nothing() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        let small = lab.folder("small");
        let mount = ["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs"];
        run(Command::new("mount").args(mount).arg(&small));
        let data = small.join("data");
        run(Command::new("cp").args(["-a", "-T"]).arg(mesh.agent("a3").data()).arg(&data));
        mesh.agent("a3").set_up(|setup| setup.data = data);
        mesh.start();
        applied(lab, &mesh.agents[0], 1);

        let filler = small.join("filler");
        let full =
            Command::new("dd").arg("if=/dev/zero").arg(format!("of={}", filler.display())).output();
        assert!(!full.expect("dd is there").status.success(), "3 MB were not enough");
        let mut n = 2;
        eventually(SETTLE, "a3 ends", || {
            let _ = apply(lab, &mesh.agents[0], &version(n));
            n += 1;
            mesh.agent("a3").process().ended().map(|_| ()).ok_or("it runs")
        });
        ends_for_its_store(mesh.agent("a3"), "cannot write `");

        // The reserve is for this start; the room may be used up again, and then it ends again.
        mesh.agent("a3").start();
        mesh.agent("a3").kill();
        fs::remove_file(&filler).expect("own file");
        mesh.agent("a3").start();
        applied(lab, &mesh.agents[0], n);
        let agreed = mesh.settle(SETTLE, "shop", "s1").revision;
        for agent in &mut mesh.agents {
            agent.kill();
        }
        let alone = mesh.agent("a3");
        alone.start();
        assert_eq!(alone.app("shop").expect("it knows shop").revision, agreed);
        assert_eq!(ask(alone.dns(), INSIDE), Answer::Addresses(vec![address("s1")]));
    });
}
