//! Resolvers that keep old answers after a move: real agents, nginx, and unbound.

use std::time::Duration;

use tests::harness::agents::Mesh;
use tests::harness::app::{INSIDE, Shop};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::nginx::Web;
use tests::harness::unbound::Unbound;
use tests::harness::wait::eventually;
use tests::harness::world::SETTLE;

mod nginx {
    use super::*;

    #[test]
    fn who_still_hands_out_the_old_address_is_shown_until_nobody_does() {
        inside(|lab: &Lab| {
            const TTL: u32 = 15;
            let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let mut mesh = Mesh::new(lab);
            let host = mesh.agents[0].host.clone();
            let (resolver, nobody) = ("127.0.0.1:5300", "127.0.0.1:5301");
            mesh.agents[0]
                .set_up(|setup| setup.resolvers = [resolver, nobody].map(str::to_owned).into());
            mesh.start();
            let text = Shop { databases: false, outside: false, ..Shop::default() }.text();
            mesh.apply(lab, &text.replace("ttl = 5", &format!("ttl = {TTL}")));
            mesh.settle(SETTLE, "shop", "s1");
            let unbound = Unbound::start(lab, &host, "edge.test", mesh.agents[0].dns());
            let told = |stack: &str| match unbound.dig(INSIDE, "A") {
                text if text.contains(&address(stack).to_string()) => Ok(()),
                text => Err(text),
            };
            eventually(SETTLE, "s2 is fit", || {
                let unready = mesh.agents[0].app("shop")?.unready;
                if unready.is_empty() { Ok(()) } else { Err(unready.join("; ")) }
            });
            eventually(SETTLE, "unbound keeps the first answer", || told("s1"));

            let words = ["switchover", "shop", "--to", "s2", "--now", "--yes"];
            mesh.agents[0].quorate(&words).expect_done();
            let shown = || mesh.agents[0].quorate(&["status"]).expect_done();
            let old = format!("{resolver} still has {} of {INSIDE}", address("s1"));
            eventually(SETTLE, "unbound is named", || {
                let shown = shown();
                if shown.contains(&old) { Ok(()) } else { Err(shown) }
            });
            assert!(told("s1").is_ok(), "unbound hands it out");
            let limit = Duration::from_secs(TTL.into()) + SETTLE;
            eventually(limit, "unbound is named no more", || {
                let shown = shown();
                let followed = shown.contains(&format!("{resolver} had followed after"));
                if followed && !shown.contains(&old) { Ok(()) } else { Err(shown) }
            });
            assert!(told("s2").is_ok(), "unbound has followed");
            let silent = format!("{nobody} does not tell: {INSIDE}");
            assert!(shown().contains(&silent), "who does not answer is neither old nor new");
        });
    }
}
