//! Hosts that were booted at other times, and anew: no clock of one means anything to another, nor after a reboot.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

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
