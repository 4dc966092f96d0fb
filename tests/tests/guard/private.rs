//! Databases that nobody but the guard on their host looks at (`view = "guard"`).

use tests::harness::guards::private_door;

use super::*;

/// Nobody's role: whoever looks at a server with it is turned away, and what turns people away moves nothing.
const STRANGER: &str = "stranger";

/// A world whose agents have no way into any database, served from `s1`.
fn world(lab: &Lab) -> (World<'_>, [Agent<'_>; 2]) {
    let mut world = World::small(lab, Replication::Synchronous);
    for agent in &mut world.mesh.agents {
        agent.kill();
        agent.set_up(|setup| setup.user = STRANGER.to_owned());
    }
    world.mesh.start();
    let mut guards = enrolled(lab, &world.mesh);
    for guard in &mut guards {
        guard.set_up(|setup| setup.more = private_door());
        guard.start();
    }
    world.apply(lab, &Shop { guarded: true, hidden: true, ..Shop::default() });
    holds(&guards[0], SETTLE);
    (world, guards)
}

/// What an agent shows of the database of this stack, seen through its guard.
fn shown(world: &World<'_>, agent: usize, stack: &str) -> String {
    let explained = world.mesh.agents[agent].quorate(&["explain", "shop"]).expect_done();
    let line = explained.lines().find(|line| line.contains(&format!("{stack}/orders")));
    // What is well has no line.
    line.unwrap_or_default().to_owned()
}

#[test]
fn what_its_guard_says_is_dead_is_moved_from_though_no_agent_can_look() {
    inside(|lab: &Lab| {
        let (mut world, guards) = world(lab);
        let watches = world.watches(&[0]);
        let kill = world.kill_active();
        world.settle_on_standby(&watches);
        let took = kill.at.elapsed();
        let why = world.mesh.agents[0].quorate(&["explain", "shop"]).expect_done();
        println!("served {} ms after the primary died\n{why}", took.as_millis());
        let promoted = said(&guards[1], &["is done for shop with 2.1.3", "promoted"]);
        assert!(promoted.is_some(), "its own guard alone could");
        eventually(SETTLE, "every agent is told by the guard", || {
            let told = shown(&world, 1, "s1");
            told.contains("g1 says: ").then_some(()).ok_or(told)
        });
    });
}

#[test]
fn a_host_that_is_gone_with_its_guard_is_moved_from_once_the_lease_has_ended() {
    inside(|lab: &Lab| {
        let (mut world, mut guards) = world(lab);
        let watches = world.watches(&[0]);
        let kill = world.kill_active();
        guards[0].kill();
        world.settle_on_standby(&watches);
        let took = kill.at.elapsed();
        println!("served {} ms after the host died", took.as_millis());
        // It was renewed every quarter of its length.
        assert!(LEASE * 3 / 4 - Duration::from_millis(500) <= took, "{took:?}");
        let told = shown(&world, 1, "s1");
        assert!(told.contains("its guard g1 does not answer"), "{told}");
    });
}

#[test]
fn voters_that_do_not_hear_a_guard_are_too_few_and_whose_guard_starts_anew_is_not_missed() {
    inside(|lab: &Lab| {
        let (world, mut guards) = world(lab);
        let before = world.epoch();
        for region in &REGIONS[..2] {
            lab.fabric.cut(region, "s1");
        }
        eventually(SETTLE, "two agents see it down", || {
            let told = shown(&world, 0, "s1");
            told.contains("does not answer").then_some(()).ok_or(told)
        });
        throughout(Duration::from_secs(8), "nothing moves", || world.epoch() == before);
        lab.fabric.heal();
        eventually(SETTLE, "they hear it again", || {
            let told = shown(&world, 0, "s1");
            (!told.contains("does not answer")).then_some(()).ok_or(told)
        });
        guards[0].kill();
        guards[0].start();
        throughout(Duration::from_secs(8), "nothing moves", || world.epoch() == before);
    });
}
