//! A guard's lease rests on what voters granted, by clocks that begin again when their hosts are booted anew.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// A majority of the voters reboots while a guard lives by their grants, and then its host is cut off from everybody but the
/// clients: by their clocks nothing that they granted has run out, or all of it, and they wait for it all the same.
fn voters_reboot(lab: &Lab, dialect: Dialect) {
    let mut world: Guarded<'_, 2> = Guarded::start(lab, alone(dialect), TWO);
    // Up for long, and not equally long.
    for (n, agent) in (1..).zip(&mut world.mesh.agents) {
        agent.kill();
        agent.set_up(|setup| setup.up_for = DAY * 400 * n);
        agent.start();
    }
    world.takes_more(0);
    world.ready();
    for agent in &mut world.mesh.agents[..3] {
        agent.kill();
        agent.set_up(|setup| setup.up_for = Duration::ZERO);
    }
    world.mesh.start();
    assert!(world.reaches(0), "nothing was wrong with the primary");
    let cut = cut_away(lab, &world);
    judged(&world, &world.writers.acknowledged(), [0, 1], cut);
}

mod nginx_postgres_bind {
    use super::*;

    #[test]
    fn voters_that_were_booted_anew_wait_for_what_they_granted_before() {
        inside(|lab: &Lab| voters_reboot(lab, Dialect::Postgres));
    }
}
