//! Hosts that were booted at other times, and anew: no clock of one means anything to another, nor after a reboot.

use tests::harness::guarded::{Guarded, Plan};
use tests::harness::guards::LEASE;
use tests::harness::postgres::Replication;
use tests::harness::wait::throughout;
use tests::harness::writer::{Dialect, handover};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

mod nginx_postgres_bind {
    use tests::harness::app::TWO;

    use super::*;

    /// A guard's lease rests on what voters granted; each is booted anew while it runs, and their clocks begin again.
    #[test]
    fn voters_are_booted_anew_while_a_guard_holds_its_lease() {
        inside(|lab: &Lab| {
            let plan = Plan {
                dialect: Dialect::Postgres,
                replication: Replication::Synchronous,
                max_loss: "0",
                kept: false,
            };
            let mut world: Guarded<'_, 2> = Guarded::start(lab, plan, TWO);
            // Up for long, and not equally long.
            for (n, agent) in (1..).zip(&mut world.mesh.agents) {
                agent.kill();
                agent.set_up(|setup| setup.up_for = DAY * 400 * n);
                agent.start();
            }
            world.takes_more(0);
            world.ready();
            // One after the other reboots: by its clock nothing that it granted before has run out, or all of it has.
            for n in 0..5 {
                let agent = &mut world.mesh.agents[n];
                agent.kill();
                agent.set_up(|setup| setup.up_for = Duration::ZERO);
                agent.start();
                throughout(LEASE / 5, "the primary's door stays open", || world.reaches(0));
            }
            assert_eq!((world.view().active.as_str(), world.took(1)), ("s1", 0));
            world.takes_more(0);
            world.ready();
            world.kill(0);
            world.mesh.settle(SETTLE, "shop", "s2");
            world.takes(1);
            let ledger = world.writers.acknowledged();
            let [old, new] = world.servers.each_ref().map(|it| it.address());
            handover(&ledger, old, new).expect("one after the other");
            assert_eq!(world.servers[1].lost(&ledger), Vec::<i64>::new());
        });
    }
}

#[test]
fn agents_whose_hosts_were_booted_at_other_times_agree_and_one_that_reboots_votes_on() {
    inside(|lab: &Lab| {
        let mut mesh = Mesh::new(lab);
        for (n, agent) in (0..).zip(&mut mesh.agents) {
            agent.set_up(|setup| setup.up_for = DAY * 90 * n);
        }
        mesh.start();
        applied(lab, &mesh.agents[0], 1);
        mesh.settle(SETTLE, "shop", "s1");
        for name in ["a1", "a2"] {
            mesh.agent(name).kill();
        }
        // From here on none of three can be missed.
        let a5 = mesh.agent("a5");
        a5.kill();
        a5.set_up(|setup| setup.up_for = Duration::ZERO);
        a5.start();
        let a3 = mesh.agents.iter().find(|it| it.name == "a3").expect("one of five");
        applied(lab, a3, 2);
        mesh.settle(SETTLE, "shop", "s1");
    });
}
