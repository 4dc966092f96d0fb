//! Resolvers that keep old answers after a move: real agents, nginx, and unbound.

use std::time::Duration;

use agent::status::history::Story;
use tests::harness::agents::Mesh;
use tests::harness::app::{INSIDE, Shop};
use tests::harness::fabric::address;
use tests::harness::lab::{Lab, inside};
use tests::harness::nginx::Web;
use tests::harness::unbound::Unbound;
use tests::harness::wait::eventually;
use tests::harness::world::SETTLE;

/// Beyond the lifetime of the old answers, until nobody is asked any more.
const KEPT_BY_NOBODY: Duration = Duration::from_secs(60).saturating_add(SETTLE);

/// A name that is an alias of another while each stack is the active one.
const ALIAS: &str = "\n[[record]]\nname = \"www.edge.test\"\ntype = \"CNAME\"\nttl = 5\n\
     values = { s1 = [\"one.edge.test\"], s2 = [\"two.edge.test\"] }\n";

mod nginx {
    use super::*;

    #[test]
    fn who_still_hands_out_the_old_address_is_shown_until_nobody_does() {
        inside(|lab: &Lab| {
            const TTL: u32 = 15;
            let _webs = [Web::start(lab, "s1"), Web::start(lab, "s2")];
            let mut mesh = Mesh::new(lab);
            let [host, other] = [0, 1].map(|agent: usize| mesh.agents[agent].host.clone());
            let (resolver, nobody) = (Unbound::address().to_string(), "127.0.0.1:5301");
            mesh.agents[0]
                .set_up(|setup| setup.resolvers = [&resolver, nobody].map(str::to_owned).into());
            mesh.agents[1].set_up(|setup| setup.resolvers = vec![resolver.clone()]);
            mesh.start();
            let shop = Shop { databases: false, outside: false, more: ALIAS, ..Shop::default() };
            let text = shop.text();
            mesh.apply(lab, &text.replace("ttl = 5", &format!("ttl = {TTL}")));
            mesh.settle(SETTLE, "shop", "s1");
            let unbound = Unbound::start(lab, &host, "edge.test", mesh.agents[0].dns());
            let told = |stack: &str| match unbound.dig(INSIDE, "A") {
                text if text.contains(&address(stack).to_string()) => Ok(()),
                text => Err(text),
            };
            mesh.agents[0].ready(SETTLE, "shop");
            eventually(SETTLE, "unbound keeps the first answer", || told("s1"));
            let elsewhere = Unbound::start(lab, &other, "edge.test", mesh.agents[1].dns());
            let kept = elsewhere.dig(INSIDE, "A");
            assert!(kept.contains(&address("s1").to_string()), "{kept}");
            let alias = unbound.dig("www.edge.test", "CNAME");
            assert!(alias.contains("one.edge.test"), "{alias}");

            let words = ["switchover", "shop", "--to", "s2", "--now", "--yes"];
            mesh.agents[0].quorate(&words).expect_done();
            let shown = || mesh.agents[0].quorate(&["status"]).expect_done();
            let old =
                [(INSIDE, address("s1").to_string()), ("www.edge.test", "one.edge.test".into())]
                    .map(|(name, value)| format!("{resolver} still has {value} of {name}"));
            eventually(SETTLE, "unbound is named", || {
                let shown = shown();
                if old.iter().all(|line| shown.contains(line)) { Ok(()) } else { Err(shown) }
            });
            assert!(told("s1").is_ok(), "unbound hands it out");
            let limit = Duration::from_secs(TTL.into()) + SETTLE;
            eventually(limit, "unbound is named no more", || {
                let shown = shown();
                let followed = shown.contains(&format!("{resolver} had followed after"));
                let none = !old.iter().any(|line| shown.contains(line));
                if followed && none { Ok(()) } else { Err(shown) }
            });
            assert!(told("s2").is_ok(), "unbound has followed");
            // Who does not answer is neither old nor new.
            let silent = format!("{nobody} does not tell: {INSIDE}: ");
            eventually(SETTLE, "who does not answer is named as such", || {
                let shown = shown();
                if shown.contains(&silent) { Ok(()) } else { Err(shown) }
            });
            // Each agent writes down what came of it at the resolvers that it asks, once.
            let written = |agent: usize| {
                let text = mesh.agents[agent].quorate(&["history", "shop", "--json"]).expect_done();
                let story: Story = serde_json::from_str(&text).expect("a history");
                let ends = story.entries.into_iter().map(|entry| (entry.event, entry.text));
                ends.filter(|(event, _)| event.starts_with("resolvers-")).collect::<Vec<_>>()
            };
            for (agent, limit, event, words) in [
                (1, SETTLE, "resolvers-followed", format!("{resolver} was the last")),
                (
                    0,
                    KEPT_BY_NOBODY,
                    "resolvers-given-up",
                    format!("{nobody} had not followed, 1 of 2 had"),
                ),
            ] {
                eventually(limit, "the end of the tail is written down", || {
                    match written(agent).as_slice() {
                        [(found, text)] if found == event && text.ends_with(&words) => Ok(()),
                        ends => Err(format!("{agent}: {ends:?}")),
                    }
                });
            }
        });
    }
}
