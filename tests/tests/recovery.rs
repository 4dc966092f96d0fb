//! The majority is gone for good: what one voter knew becomes the beginning of another mesh (README, "The majority is gone").

use std::fs;
use std::path::{Path, PathBuf};

use tests::harness::agents::{Agent, MESH_PORT, Mesh, Said, quorate};
use tests::harness::app::{INSIDE, Shop};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::nginx::Web;
use tests::harness::resolver::{Answer, ask};
use tests::harness::wait::eventually;
use tests::harness::world::SETTLE;

/// The agents of the new mesh and their hosts: a2 is left of the old one, and runs on.
const HEIRS: [(&str, &str); 3] = [("a1", "r1"), ("a3", "r3"), ("a4", "r4")];

/// Makes a new mesh of what the store in `data` knew.
fn recover(lab: &Lab, data: &Path, out: &Path) -> Said {
    let agents = HEIRS.map(|(name, host)| {
        let own = address(host);
        format!("{name},{host},voter,{own}:{MESH_PORT},dns={own}:53")
    });
    let (data, out) = (data.to_string_lossy(), out.to_string_lossy());
    let mut words = vec!["recover", "--unsafe", &data, "--out", &out, "--yes"];
    for agent in &agents {
        words.extend(["--agent", agent]);
    }
    quorate(lab, "r1", &words)
}

/// Three of five lose their disks, and nothing can be decided any more. Returns the folder that one of the others leaves.
fn lose_the_majority(mesh: &mut Mesh<'_>) -> PathBuf {
    for name in ["a3", "a4", "a5"] {
        mesh.agent(name).kill();
        fs::remove_dir_all(mesh.agent(name).data()).expect("own folder");
    }
    eventually(SETTLE, "nothing is decided any more", || {
        let said = mesh.agents[0].quorate(&["freeze", "shop", "--yes"]);
        if said.errors.contains("2 of 5") { Ok(()) } else { Err(said.errors) }
    });
    mesh.agent("a1").kill();
    mesh.agents[0].data().to_owned()
}

#[test]
fn a_lost_majority_is_followed_by_another_mesh_that_knows_the_apps_and_decides() {
    inside(|lab: &Lab| {
        let (mut east, _west) = (Web::start(lab, "s1"), Web::start(lab, "s2"));
        let mut old = Mesh::new(lab);
        old.start();
        old.apply(lab, &Shop { databases: false, outside: false, ..Shop::default() }.text());
        let before = old.settle(SETTLE, "shop", "s1");
        let left = lose_the_majority(&mut old);

        let folder = lab.folder("heirs").join("mesh");
        let said = recover(lab, &left, &folder).expect_done();
        assert!(said.contains("lost voters that come back are a mesh of their own"), "{said}");
        let again = recover(lab, &left, &lab.folder("again").join("mesh")).expect_refused();
        assert!(again.contains("log"), "the old store is put away: {again}");

        let agents = HEIRS.map(|(name, host)| Agent::new(lab, name, host, &folder.join(name)));
        let mut new = Mesh { agents: agents.into(), folder };
        for agent in &mut new.agents {
            agent.start();
            let first = Answer::Addresses(vec![address("s1")]);
            assert_eq!(ask(agent.dns(), INSIDE), first, "{} answers from its start", agent.name);
        }
        let known = new.settle(SETTLE, "shop", "s1");
        assert!(before.epoch.0 + 1_000 <= known.epoch.0, "{} after {}", known.epoch, before.epoch);

        // Whoever is left of the old mesh is a stranger, and hears nobody.
        eventually(SETTLE, "a2 hears nobody", || match old.agents[1].view()?.quorum.heard {
            1 => Ok(()),
            heard => Err(format!("{heard} heard")),
        });
        eventually(SETTLE, "the standby is known to be well", || {
            let app = new.agents[0].app("shop")?;
            let fit = app.stacks.iter().any(|it| it.stack.as_str() == "s2" && it.unfit.is_empty());
            if fit { Ok(()) } else { Err(format!("{:?}", app.stacks)) }
        });
        east.kill();
        new.settle(SETTLE, "shop", "s2");
        for agent in &new.agents {
            let moved = Answer::Addresses(vec![address("s2")]);
            assert_eq!(ask(agent.dns(), INSIDE), moved, "{}", agent.name);
        }
        let app = old.agent("a2").app("shop").expect("it knows what it knew");
        assert_eq!((app.active.as_str(), app.epoch), ("s1", before.epoch));
    });
}
