//! What a person got wrong, or what broke: one clear line each, and nothing agreed is lost.

use std::fs;
use std::process::Command;
use std::time::Duration;

use consensus::model::{Abstention, FaultKind, Health};
use tests::harness::agents::{Agent, MESH_PORT, Mesh, init};
use tests::harness::app::{INSIDE, OUTSIDE, Shop};
use tests::harness::bind::{Bind, Updates};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::nginx::Web;
use tests::harness::process::run;
use tests::harness::resolver::{Answer, ask};
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::{SETTLE, World};

/// Starts an agent that must not come up; returns the one line it says about it.
fn refuses_to_start(agent: &mut Agent<'_>) -> String {
    agent.launch();
    let status = agent.process().wait(SETTLE);
    assert!(!status.success(), "{} came up and went", agent.name);
    let said = agent.said();
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("quorate: ")).collect();
    assert_eq!(errors.len(), 1, "one line says why:\n{said}");
    errors[0].to_owned()
}

/// Waits until an agent has logged a line with all of these words.
fn says(agent: &Agent<'_>, words: &[&str]) -> String {
    eventually(SETTLE, &format!("{} says {words:?}", agent.name), || {
        let said = agent.said();
        let line = said.lines().find(|line| words.iter().all(|word| line.contains(word)));
        line.map(str::to_owned).ok_or("nothing of the sort")
    })
}

/// Nobody's quorum suffers from what a stranger does.
fn undisturbed(mesh: &Mesh<'_>) {
    throughout(Duration::from_secs(3), "the mesh is whole", || {
        mesh.running().map(|agent| agent.view().map(|view| view.quorum.heard)).collect::<Vec<_>>()
    });
}

#[test]
fn an_agent_of_another_authority_is_refused_and_told_why() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        let foreign = lab.folder("foreign");
        init(lab, &foreign, mesh.agents.len());
        let mut stranger = Agent::new(lab, "stranger", "client", &foreign.join("a1"));
        stranger.launch();
        says(&stranger, &["authority"]);
        undisturbed(&mesh);
        for agent in &mesh.agents {
            assert_eq!(agent.view().expect("answers").quorum.heard, 5);
        }
    });
}

#[test]
fn a_certificate_without_its_key_is_said_at_once() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        let [own, other] = ["a1", "a2"].map(|name| mesh.folder.join(name).join("agent.key"));
        fs::copy(other, &own).expect("init wrote both");
        let line = refuses_to_start(&mut mesh.agents[0]);
        assert!(line.contains(&*own.to_string_lossy()), "{line}");
    });
}

#[test]
fn a_missing_certificate_is_said_at_once() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        let certificate = mesh.folder.join("a1/agent.crt");
        fs::remove_file(&certificate).expect("init wrote it");
        let line = refuses_to_start(&mut mesh.agents[0]);
        assert!(line.contains(&*certificate.to_string_lossy()), "{line}");
    });
}

#[test]
fn a_reused_name_is_refused_with_a_line_that_says_so() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        // As when a host is cloned: certificate, key and store.
        let clone = lab.folder("clone");
        run(Command::new("cp").args(["-a", "-T"]).arg(mesh.folder.join("a3")).arg(&clone));
        mesh.start();
        let mut double = Agent::new(lab, "double", "client", &clone);
        double.launch();
        eventually(SETTLE, "somebody says that a3 is there twice", || {
            let all = mesh.agents.iter().chain([&double]);
            let mut lines =
                all.flat_map(|agent| agent.said().lines().map(str::to_owned).collect::<Vec<_>>());
            lines.find(|line| line.contains("the name `a3` is already in use")).ok_or("nobody")
        });
        undisturbed(&mesh);
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        // a2 where a1 runs.
        mesh.agent("a2").kill();
        let mut second = Agent::new(lab, "second", "r1", &mesh.folder.join("a2"));
        let line = refuses_to_start(&mut second);
        assert!(line.contains(&MESH_PORT.to_string()), "{line}");
    });
}

#[test]
fn a_locked_data_folder_is_named() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        let data = mesh.agents[0].data().to_owned();
        let mut second = Agent::new(lab, "second", "client", &mesh.folder.join("a1"));
        let line = refuses_to_start(&mut second);
        assert!(line.contains(&*data.to_string_lossy()), "{line}");
        undisturbed(&mesh);
    });
}

#[test]
fn the_data_folder_of_another_agent_is_refused() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        for name in ["a1", "a2"] {
            mesh.agent(name).kill();
        }
        let data = mesh.agents[1].data().to_owned();
        mesh.agents[0].set_up(|setup| setup.data = data);
        let line = refuses_to_start(&mut mesh.agents[0]);
        assert!(line.contains("belongs to agent `a2`"), "{line}");
    });
}

#[test]
fn a_damaged_store_is_noticed_and_does_not_vote() {
    inside(|lab: &Lab| {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mut mesh = Mesh::new(lab);
        mesh.start();
        let shop = Shop { databases: false, outside: false, ..Shop::default() };
        mesh.apply(lab, &shop.text());
        mesh.settle(SETTLE, "shop", "s1");
        mesh.agents[2].kill();
        // One bit in the middle of what it promised: no checksum may miss it.
        let log = mesh.agents[2].data().join("log");
        let mut bytes = fs::read(&log).expect("every voter has one");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&log, bytes).expect("own file");
        mesh.agents[2].launch();
        says(&mesh.agents[2], &["damaged"]);
        eventually(SETTLE, "a1 knows that a3 does not vote", || {
            let view = mesh.agents[0].view()?;
            let a3 = view.members.iter().find(|member| member.agent.as_str() == "a3");
            match a3.and_then(|member| member.abstention.as_ref()) {
                Some(_) => Ok(()),
                None => Err(format!("{a3:?}")),
            }
        });
        // The other four go on.
        mesh.settle(SETTLE, "shop", "s1");
    });
}

/// Four of five voters lose all that is outside the mesh but the standby: to them the active stack is dead, and they are a
/// majority. What they also do not reach are the canaries, so their word does not count, and nothing moves.
#[test]
fn a_majority_whose_canaries_are_gone_says_so_and_moves_nothing() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let _canaries = [Web::start(lab, "dns"), Web::start(lab, "client")];
        let mut mesh = Mesh::new(lab);
        for agent in &mut mesh.agents {
            agent.set_up(|setup| {
                let far = ["dns", "client"].map(address);
                setup.canaries =
                    vec![format!("http://{}/", far[0]), format!("tcp://{}:80", far[1])];
            });
        }
        mesh.start();
        mesh.apply(lab, &Shop { databases: false, outside: false, ..Shop::default() }.text());
        let before = mesh.settle(SETTLE, "shop", "s1");
        let ready = |mesh: &Mesh<'_>| {
            let unready = mesh.agents[4].app("shop")?.unready;
            if unready.is_empty() { Ok(()) } else { Err(format!("{unready:?}")) }
        };
        eventually(SETTLE, "a failover would succeed", || ready(&mesh));

        let blind = ["r1", "r2", "r3", "r4"];
        lab.fabric.split(&blind, &["s1", "dns", "client"]);
        eventually(SETTLE, "four agents say that they are cut off", || {
            mesh.agents[..4].iter().try_for_each(|agent| match agent.view()?.abstention {
                Some(Abstention::CutOff) => Ok(()),
                other => Err(format!("{}: {other:?}", agent.name)),
            })
        });
        // Five windows.
        throughout(Duration::from_secs(10), "nothing moves", || {
            mesh.agents[4].app("shop").map(|view| (view.active, view.epoch))
        });
        assert_eq!(mesh.agents[4].app("shop").expect("answers").epoch, before.epoch);
        let status = mesh.agents[0].quorate(&["status"]).expect_done();
        assert!(status.contains("a1 does not vote: reaches too few of its canaries"), "{status}");
        let members = mesh.agents[4].quorate(&["members"]).expect_done();
        assert!(members.contains("reaches too few of its canaries"), "{members}");

        // The world is there again, and their word counts: now the stack dies in earnest.
        lab.fabric.heal();
        eventually(SETTLE, "a failover would succeed again", || ready(&mesh));
        webs[0].kill();
        mesh.settle(SETTLE, "shop", "s2");
    });
}

mod nginx_bind {
    use super::*;

    #[test]
    fn a_name_server_that_refuses_the_update_is_named_and_the_rest_goes_on() {
        inside(|lab: &Lab| {
            let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let bind = Bind::start(lab, Updates::Refused);
            let mut mesh = Mesh::new(lab);
            mesh.start();
            mesh.apply(lab, &Shop { databases: false, ..Shop::default() }.text());
            let server = address("dns").to_string();
            eventually(SETTLE, "the executor names the server that refused", || {
                let said = mesh.agents.iter().map(Agent::said).collect::<String>();
                let mut lines = said.lines();
                let line = lines.find(|line| line.contains(&server) && line.contains("refuses"));
                line.map(str::to_owned).ok_or("nobody does")
            });
            assert_eq!(ask(bind.address(), OUTSIDE), Answer::Empty);
            let inside = Answer::Addresses(vec![address("s1")]);
            assert_eq!(ask(mesh.agents[0].dns(), INSIDE), inside);
        });
    }
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn a_credential_that_the_database_refuses_is_named_and_is_no_outage() {
        inside(|lab: &Lab| {
            let mut world = World::unapplied(lab, Updates::Granted);
            for agent in &mut world.mesh.agents {
                agent.kill();
                agent.set_up(|setup| setup.password = "wrong".to_owned());
            }
            world.mesh.start();
            world.mesh.apply(lab, &Shop::default().text());
            eventually(SETTLE, "everybody is refused and says so", || {
                let view = world.mesh.agents[0].app("shop")?;
                let targets = view.stacks.iter().flat_map(|stack| &stack.targets);
                let beliefs = targets
                    .filter(|target| target.database)
                    .flat_map(|target| target.beliefs.values());
                let beliefs: Vec<_> = beliefs.collect();
                let refused = beliefs.iter().filter(|belief| {
                    let kind = belief.fault.as_ref().map(|fault| fault.kind);
                    kind == Some(FaultKind::Credential) && belief.health != Health::Down
                });
                match refused.count() {
                    10 => Ok(()),
                    count => Err(format!("{count} of 10: {beliefs:?}")),
                }
            });
            let view = world.mesh.agents[0].app("shop").expect("a1 answers");
            assert!(!view.unready.is_empty(), "a failover would not succeed");
            let epoch = view.epoch;
            throughout(Duration::from_secs(5), "a refused credential is no outage", || {
                world.mesh.agents[0].app("shop").map(|view| view.active)
            });
            assert_eq!(world.epoch(), epoch);
        });
    }
}
