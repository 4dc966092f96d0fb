//! Who votes is changed one by one, and what the mesh can lose with it.

use super::*;

/// Every running agent goes by these voters.
fn are_voters(mesh: &Mesh<'_>, version: u64, names: &[&str]) {
    all_go_by(mesh, version);
    let voters = mesh.agents[0].view().expect("it answers").voters;
    let members: Vec<_> = voters.members.iter().map(|it| it.agent.as_str()).collect();
    assert_eq!(members, names);
}

#[test]
fn a_voter_is_added_and_another_removed_and_majorities_follow() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        applied(lab, &mesh.agents[0], 1);
        let change = |mesh: &Mesh<'_>, words: &[&str]| {
            let all: Vec<_> = ["voters"].iter().chain(words).copied().collect();
            mesh.agents[0].quorate(&all)
        };
        // What makes no sense is said before anybody is asked.
        for (words, why) in [
            (["add", "a1", "--yes"], "a1 votes already"),
            (["add", "a6", "--yes"], "a6 does not stand by to become a voter (nobody does)"),
            (["remove", "a9", "--yes"], "a9 is no voter: expected one of a1, a2, a3, a4, a5"),
        ] {
            let said = change(&mesh, &words).expect_refused();
            assert!(said.contains(why), "{said}");
        }

        let home = enrol(&mesh.folder, "a6", "r6", true);
        let mut a6 = Agent::new(lab, "a6", "client", &home);
        a6.start();
        mesh.agents.push(a6);
        stands_by(&mesh, "a6");
        let plan = change(&mesh, &["add", "a6", "--dry-run"]).expect_done();
        assert!(plan.contains("4 of 6 decide, 2 may fail"), "{plan}");
        let done = change(&mesh, &["add", "a6", "--yes"]).expect_done();
        assert!(done.contains("done: voters version 3"), "{done}");
        are_voters(&mesh, 3, &["a1", "a2", "a3", "a4", "a5", "a6"]);

        // Three of six are no majority, and four are.
        for name in ["a4", "a5", "a6"] {
            mesh.agent(name).process().pause();
        }
        apply(lab, &mesh.agents[0], &version(2)).expect_err("three of six are no majority");
        mesh.agent("a6").process().resume();
        applied(lab, &mesh.agents[0], 3);
        for name in ["a4", "a5"] {
            mesh.agent(name).process().resume();
        }
        mesh.settle(SETTLE, "shop", "s1");

        let done = change(&mesh, &["remove", "a5", "--yes"]).expect_done();
        assert!(done.contains("done: voters version 5"), "{done}");
        // It learns that its store is out, and ends: its service manager starts it anew, with another.
        let a5 = mesh.agent("a5");
        a5.process().wait(SETTLE);
        assert!(a5.said().contains("was replaced or removed by voters version 5"), "{}", a5.said());
        a5.forget();
        are_voters(&mesh, 5, &["a1", "a2", "a3", "a4", "a6"]);
        mesh.agent("a5").start();
        stands_by(&mesh, "a5");
        // Three of the five that vote by now decide, and a5 is not needed.
        for name in ["a3", "a4", "a5"] {
            mesh.agent(name).kill();
        }
        applied(lab, &mesh.agents[0], 4);
        mesh.settle(SETTLE, "shop", "s1");
    });
}
