//! What befalls the disk under a voter: it never answers with what it did not keep, and nothing agreed is lost.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tests::harness::agents::{Agent, Mesh, enrol};
use tests::harness::app::{INSIDE, Shop};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::process::{Process, run};
use tests::harness::resolver::{Answer, ask};
use tests::harness::wait::eventually;
use tests::harness::world::SETTLE;

#[path = "stores/clocks.rs"]
mod clocks;

#[path = "stores/voters.rs"]
mod voters;

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

/// The same folder again, as it was then.
fn restore(copy: &Path, data: &Path) {
    fs::remove_dir_all(data).expect("own folder");
    run(Command::new("cp").args(["-a", "-T"]).arg(copy).arg(data));
}

/// Waits until the agent sees that this store of another is lost and a fresh one stands by.
fn lost(at: &Agent<'_>, name: &str, old: &str) {
    eventually(SETTLE, &format!("{} sees that {name} lost its store {old}", at.name), || {
        let voters = at.view()?.voters;
        let voter = voters.members.iter().find(|voter| voter.agent.as_str() == name);
        match voter {
            Some(voter) if voter.acceptor == old && voter.standby_store.is_some() => Ok(()),
            _ => Err(format!("{voters:?}")),
        }
    });
}

/// The store by which the voters know an agent.
fn store(at: &Agent<'_>, name: &str) -> String {
    let voters = at.view().expect("it answers").voters;
    let voter = voters.members.into_iter().find(|voter| voter.agent.as_str() == name);
    voter.unwrap_or_else(|| panic!("{name} is no voter")).acceptor
}

/// Waits until every running agent goes by these voters alone.
fn all_go_by(mesh: &Mesh<'_>, version: u64) {
    eventually(SETTLE, &format!("all go by version {version}"), || {
        mesh.running().try_for_each(|agent| {
            let voters = agent.view()?.voters;
            match (voters.version == version, &voters.changing) {
                (true, None) => Ok(()),
                _ => Err(format!("{}: {voters:?}", agent.name)),
            }
        })
    });
}

/// Waits until a1 sees somebody stand by.
fn stands_by(mesh: &Mesh<'_>, name: &str) {
    eventually(SETTLE, &format!("a1 sees that {name} stands by"), || {
        let voters = mesh.agents[0].view()?.voters;
        match voters.standing_by.iter().any(|agent| agent.as_str() == name) {
            true => Ok(()),
            false => Err(format!("{voters:?}")),
        }
    });
}

/// A2 votes with this store, and its vote is needed: two of the others are gone.
fn votes_again(lab: &Lab, mesh: &mut Mesh<'_>, version: u64, n: u64) {
    for name in ["a4", "a5"] {
        mesh.agent(name).kill();
    }
    all_go_by(mesh, version);
    applied(lab, &mesh.agents[0], n);
    mesh.settle(SETTLE, "shop", "s1");
}

/// Spoils the store of a2 while it is stopped; it notices, says so, is no hindrance to the others, and is taken back by a
/// word under another id.
fn taken_back(lab: &Lab, spoil: impl FnOnce(&Lab, &mut Mesh<'_>), why: &str) {
    let mut mesh = Mesh::new(lab);
    mesh.start();
    applied(lab, &mesh.agents[0], 1);
    mesh.settle(SETTLE, "shop", "s1");
    let old = store(&mesh.agents[0], "a2");
    spoil(lab, &mut mesh);
    let a2 = mesh.agent("a2");
    if !a2.is_started() {
        a2.launch();
    }
    lost(&mesh.agents[0], "a2", &old);
    let said = mesh.agents[1].said();
    assert!(said.contains(why), "{why}:\n{said}");
    // The others decide without it, and the status tells what to do.
    applied(lab, &mesh.agents[0], 2);
    let status = mesh.agents[0].quorate(&["status"]).expect_done();
    assert!(status.contains("`quorate voters replace a2`"), "{status}");
    let list = mesh.agents[0].quorate(&["voters", "list"]).expect_done();
    assert!(list.contains("a2") && list.contains("stands by"), "{list}");

    let done = mesh.agents[0].quorate(&["voters", "replace", "a2", "--yes"]).expect_done();
    assert!(done.contains("done: voters version 3"), "{done}");
    votes_again(lab, &mut mesh, 3, 3);
    assert_ne!(store(&mesh.agents[0], "a2"), old);
}

#[test]
fn a_voter_whose_data_folder_was_deleted_is_taken_back() {
    let spoil = |_: &Lab, mesh: &mut Mesh<'_>| {
        mesh.agent("a2").kill();
        fs::remove_dir_all(mesh.agent("a2").data()).expect("own folder");
    };
    inside(|lab: &Lab| taken_back(lab, spoil, "there was no log"));
}

#[test]
fn a_voter_whose_log_has_a_flipped_bit_is_taken_back() {
    let spoil = |_: &Lab, mesh: &mut Mesh<'_>| {
        mesh.agent("a2").kill();
        let log = mesh.agent("a2").data().join("log");
        let mut bytes = fs::read(&log).expect("every voter has one");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&log, bytes).expect("own file");
    };
    inside(|lab: &Lab| taken_back(lab, spoil, "the log was damaged at byte"));
}

#[test]
fn a_voter_whose_log_lacks_its_middle_is_taken_back() {
    let spoil = |_: &Lab, mesh: &mut Mesh<'_>| {
        mesh.agent("a2").kill();
        let log = mesh.agent("a2").data().join("log");
        let bytes = fs::read(&log).expect("every voter has one");
        let third = bytes.len() / 3;
        fs::write(&log, [&bytes[..third], &bytes[2 * third..]].concat()).expect("own file");
    };
    inside(|lab: &Lab| taken_back(lab, spoil, "the log was damaged at byte"));
}

/// Others saw more of its store than it holds. As under systemd: it ends with a line, and is started again.
fn ends_as_a_copy(agent: &mut Agent<'_>) {
    agent.launch();
    let status = agent.process().wait(SETTLE);
    assert!(!status.success(), "it ends, and is not to stay away: {status}");
    agent.forget();
    let said = agent.said();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("quorate: ") && last.contains("a copy from before"), "{last}");
}

/// What is left of its log is whole, and a start would not tell it from one that was torn before anybody was told of its end.
#[test]
fn a_voter_whose_log_lost_what_it_had_told_ends_and_is_taken_back() {
    let spoil = |lab: &Lab, mesh: &mut Mesh<'_>| {
        let log = mesh.agent("a2").data().join("log");
        let before = fs::metadata(&log).expect("every voter has one").len();
        applied(lab, &mesh.agents[0], 5);
        mesh.settle(SETTLE, "shop", "s1");
        mesh.agent("a2").kill();
        let log = File::options().write(true).open(&log).expect("own file");
        assert!(before < log.metadata().expect("own file").len());
        log.set_len(before).expect("own file");
        ends_as_a_copy(mesh.agent("a2"));
    };
    inside(|lab: &Lab| taken_back(lab, spoil, "a copy from before"));
}

#[test]
fn a_voter_whose_data_is_yesterdays_ends_and_is_taken_back() {
    let spoil = |lab: &Lab, mesh: &mut Mesh<'_>| {
        mesh.agent("a2").kill();
        let (yesterday, data) = (lab.folder("yesterday"), mesh.agent("a2").data().to_owned());
        run(Command::new("cp").args(["-a", "-T"]).arg(&data).arg(&yesterday));
        mesh.agent("a2").start();
        applied(lab, &mesh.agents[0], 5);
        mesh.settle(SETTLE, "shop", "s1");
        mesh.agent("a2").kill();
        restore(&yesterday, &data);
        ends_as_a_copy(mesh.agent("a2"));
    };
    inside(|lab: &Lab| taken_back(lab, spoil, "a copy from before"));
}

#[test]
fn a_torn_tail_costs_no_vote() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        applied(lab, &mesh.agents[0], 1);
        mesh.settle(SETTLE, "shop", "s1");
        mesh.agent("a2").kill();
        // What a power cut leaves of a record that nobody was told of.
        let log = mesh.agent("a2").data().join("log");
        let mut bytes = fs::read(&log).expect("every voter has one");
        bytes.extend([7; 9]);
        fs::write(&log, bytes).expect("own file");
        mesh.agent("a2").start();
        votes_again(lab, &mut mesh, 1, 2);
        assert!(!mesh.agent("a2").said().contains("fresh store"));
    });
}

#[test]
fn a_lost_store_is_replaced_by_the_mesh_itself_after_a_minute() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        applied(lab, &mesh.agents[0], 1);
        let old = store(&mesh.agents[0], "a2");
        mesh.agent("a2").kill();
        fs::remove_dir_all(mesh.agent("a2").data()).expect("own folder");
        mesh.agent("a2").launch();
        lost(&mesh.agents[0], "a2", &old);
        // A minute of silence, and as long as a lease may run.
        eventually(SETTLE * 2, "the mesh takes in its fresh store", || {
            let voters = mesh.agents[0].view()?.voters;
            if voters.version == 3 { Ok(()) } else { Err(format!("{voters:?}")) }
        });
        votes_again(lab, &mut mesh, 3, 2);
        assert_ne!(store(&mesh.agents[0], "a2"), old);
    });
}

#[test]
fn a_voter_is_replaced_under_load_while_its_region_is_cut_off() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        applied(lab, &mesh.agents[0], 1);
        let home = enrol(&mesh.folder, "a6", "r6", true);
        let mut a6 = Agent::new(lab, "a6", "client", &home);
        a6.start();
        stands_by(&mesh, "a6");
        lab.fabric.isolate("r5");
        eventually(SETTLE, "a1 misses a5", || match mesh.agents[0].view()?.quorum.heard {
            4 => Ok(()),
            heard => Err(format!("{heard} heard")),
        });

        let ending = AtomicBool::new(false);
        let (loaded, other) = (&mesh.agents[0], &mesh.agents[1]);
        let (taken, most) = thread::scope(|scope| {
            let load = scope.spawn(|| {
                let (mut taken, mut most) = (0, 0);
                for n in 2.. {
                    if ending.load(Ordering::Relaxed) {
                        break;
                    }
                    taken += u32::from(apply(lab, loaded, &version(n)).is_ok());
                    let to = if n % 2 == 0 { "s2" } else { "s1" };
                    let words = ["failover", "shop", "--to", to, "--yes", "--no-wait"];
                    taken += u32::from(loaded.quorate(&words).status.success());
                    // Whatever the voters do, epochs only grow.
                    let epoch = loaded.app("shop").expect("it answers").epoch.0;
                    assert!(most <= epoch, "epoch {epoch} after {most}");
                    most = epoch;
                }
                (taken, most)
            });
            let said = other.quorate(&["voters", "replace", "a5", "a6", "--yes"]);
            ending.store(true, Ordering::Relaxed);
            let done = said.expect_done();
            assert!(done.contains("done: voters version 3"), "{done}");
            load.join().expect("the load ran")
        });
        println!("{taken} commands were agreed while the voters changed, up to epoch {most}");
        assert!(10 <= taken, "{taken} commands were agreed while the voters changed");

        // A5 comes back, learns that it is out, and begins anew.
        lab.fabric.heal();
        let a5 = mesh.agent("a5");
        a5.process().wait(SETTLE);
        let said = a5.said();
        assert!(said.contains("was replaced or removed by voters version 3"), "{said}");
        a5.forget();
        // Three of the five that vote by now decide, and a6 is one of them.
        mesh.agent("a3").kill();
        mesh.agent("a4").kill();
        mesh.agents.push(a6);
        applied(lab, &mesh.agents[0], 999);
        let epoch = mesh.agents[0].app("shop").expect("it answers").epoch.0;
        assert!(most <= epoch, "epoch {epoch} after {most}");
        eventually(SETTLE, "all go by one state", || {
            let views: Result<Vec<_>, _> = mesh.running().map(|agent| agent.app("shop")).collect();
            let views = views?;
            let same = views
                .iter()
                .all(|view| (view.epoch, view.revision) == (views[0].epoch, views[0].revision));
            if same { Ok(()) } else { Err(format!("{views:?}")) }
        });
    });
}
