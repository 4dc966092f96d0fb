//! A mesh by hand: agents meet, agree on an app, serve it, and go on after a restart.

use std::time::Duration;

use consensus::model::DecisionKind;
use tests::harness::agents::{Agent, Mesh, quorate};
use tests::harness::app::{INSIDE, Shop};
use tests::harness::bind::Updates;
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::nginx::Web;
use tests::harness::resolver::{Answer, ask};
use tests::harness::wait::{eventually, throughout};
use tests::harness::world::{SETTLE, World};

/// Web servers only, published by the agents themselves.
fn web_only() -> Shop {
    Shop { databases: false, outside: false, ..Shop::default() }
}

#[test]
fn five_agents_meet_and_know_one_another_by_certificate() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        let view = mesh.agents[0].view().expect("a1 answers");
        let members = view.members.iter().map(|member| {
            let region = member.region.as_ref().map_or("", |region| region.as_str());
            (member.agent.as_str(), region, member.voter, member.heard)
        });
        let expected: Vec<_> =
            [("a1", "r1"), ("a2", "r2"), ("a3", "r3"), ("a4", "r4"), ("a5", "r5")]
                .map(|(name, region)| (name, region, true, true))
                .into();
        assert_eq!(members.collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_quiet_mesh_stays_quiet() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        throughout(Duration::from_secs(5), "everybody hears everybody", || {
            mesh.agents
                .iter()
                .map(|agent| agent.view().map(|view| view.quorum.heard))
                .collect::<Vec<_>>()
        });
    });
}

#[test]
fn a_cut_between_two_agents_does_not_take_the_quorum() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        mesh.start();
        lab.fabric.cut("r1", "r2");
        eventually(SETTLE, "a1 misses a2", || {
            let view = mesh.agents[0].view()?;
            let missed = view.members.iter().any(|m| m.agent.as_str() == "a2" && !m.heard);
            if missed && view.quorum.why.is_none() { Ok(()) } else { Err(format!("{view:?}")) }
        });
        lab.fabric.heal();
        mesh.start();
    });
}

#[test]
fn three_of_five_decide_behind_nginx_though_two_of_them_hear_each_other_by_the_third_alone() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mut mesh = Mesh::new(lab);
        mesh.start();
        for name in ["a4", "a5"] {
            mesh.agent(name).kill();
        }
        lab.fabric.cut("r1", "r2");
        eventually(SETTLE, "two miss three of the others, and one two", || {
            let missed = |agent: &Agent<'_>| {
                let members = agent.view()?.members.into_iter();
                Ok::<_, String>(members.filter(|member| !member.heard).count())
            };
            let counts: Vec<_> = mesh.running().map(missed).collect::<Result<_, _>>()?;
            if counts == [3, 3, 2] { Ok(()) } else { Err(format!("{counts:?}")) }
        });
        // Whatever a1 proposes takes a2's vote (PROTOCOL.md A.5).
        mesh.apply(lab, &web_only().text());
        let before = mesh.settle(SETTLE, "shop", "s1").epoch;
        mesh.agents[0].ready(SETTLE, "shop");
        webs[0].kill();
        let after = mesh.settle(SETTLE, "shop", "s2").epoch;
        assert_eq!(after.0, before.0 + 1);
        // And without the third neither decides anything.
        lab.fabric.cut("r1", "r3");
        let words = ["freeze", "shop", "--for", "10m", "--reason", "alone", "--yes"];
        mesh.agents[0].quorate(&words).expect_refused();
    });
}

#[test]
fn an_app_that_nginx_serves_is_applied_answered_and_answered_again_after_a_restart() {
    inside(|lab: &Lab| {
        let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mut mesh = Mesh::new(lab);
        mesh.start();
        assert!(matches!(ask(mesh.agents[0].dns(), INSIDE), Answer::Failed(_)), "not ours yet");
        mesh.apply(lab, &web_only().text());
        mesh.settle(SETTLE, "shop", "s1");
        let first = Answer::Addresses(vec![address("s1")]);
        for agent in &mesh.agents {
            assert_eq!(ask(agent.dns(), INSIDE), first, "{}", agent.name);
        }
        // Alone, and without anybody to ask: from what it saved.
        for agent in &mut mesh.agents {
            agent.kill();
        }
        mesh.agents[4].start();
        assert_eq!(ask(mesh.agents[4].dns(), INSIDE), first);
    });
}

#[test]
fn a_web_only_app_behind_nginx_moves_by_dns_alone() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mut mesh = Mesh::new(lab);
        mesh.start();
        mesh.apply(lab, &web_only().text());
        mesh.settle(SETTLE, "shop", "s1");
        webs[0].kill();
        mesh.settle(SETTLE, "shop", "s2");
        let second = Answer::Addresses(vec![address("s2")]);
        for agent in &mesh.agents {
            assert_eq!(ask(agent.dns(), INSIDE), second, "{}", agent.name);
        }
    });
}

#[test]
fn nothing_moves_to_a_stack_whose_nginx_is_down_too() {
    inside(|lab: &Lab| {
        let mut webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
        let mut mesh = Mesh::new(lab);
        mesh.start();
        mesh.apply(lab, &web_only().text());
        let before = mesh.settle(SETTLE, "shop", "s1").epoch;
        for web in &mut webs {
            web.kill();
        }
        throughout(Duration::from_secs(8), "all down: nothing moves", || {
            mesh.agents[0].app("shop").map(|view| (view.active, view.epoch))
        });
        webs[1].restart();
        let after = mesh.settle(SETTLE, "shop", "s2").epoch;
        assert!(before < after);
    });
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn a_switchover_moves_without_loss() {
        inside(|lab: &Lab| {
            let world = World::new(lab);
            let watches = world.watches(&[2]);
            let agent = &world.mesh.agents[1];
            agent.quorate(&["switchover", "shop", "--to", "s2", "--yes"]).expect_done();
            let view = world.settle_on_standby(&watches);
            assert_eq!(view.decision.kind, DecisionKind::Switchover);
            assert_eq!(view.decision.loss_bytes, Some(0));
        });
    }

    #[test]
    fn a_forced_failover_moves_though_everything_is_well() {
        inside(|lab: &Lab| {
            let world = World::new(lab);
            let watches = world.watches(&[2]);
            let agent = &world.mesh.agents[3];
            agent.quorate(&["failover", "shop", "--to", "s2", "--yes"]).expect_done();
            let view = world.settle_on_standby(&watches);
            assert_eq!(view.decision.kind, DecisionKind::Forced);
        });
    }

    #[test]
    fn plan_tells_what_apply_would_change() {
        inside(|lab: &Lab| {
            let world = World::unapplied(lab, Updates::Granted);
            let file = lab.folder("apps").join("shop.toml");
            std::fs::write(&file, Shop::default().text()).expect("scratch folder takes files");
            let path = file.to_string_lossy();
            let agent = &world.mesh.agents[0];
            let code = || agent.quorate(&["plan", &path]).status.code();
            assert_eq!(code(), Some(2), "changes are pending");
            world.apply(lab, &Shop::default());
            assert_eq!(code(), Some(0), "nothing to change");
            let unchanged = agent.quorate(&["apply", "--yes", &path]).expect_done();
            assert!(!unchanged.is_empty());
        });
    }
}

#[test]
fn an_app_file_is_validated_without_a_mesh() {
    inside(|lab: &Lab| {
        let file = lab.folder("apps").join("shop.toml");
        std::fs::write(&file, Shop::default().text()).expect("scratch folder takes files");
        let path = file.to_string_lossy();
        quorate(lab, "client", &["validate", &path]).expect_done();
        let broken = Shop::default().text().replace("interval =", "intervall =");
        std::fs::write(&file, broken).expect("scratch folder takes files");
        let said = quorate(lab, "client", &["validate", &path]);
        assert_eq!(said.status.code(), Some(2), "{said:?}");
        assert!(said.errors.contains("`intervall`") && said.errors.contains("`interval`"));
    });
}
